"""`ndb-models sessions export`: writes sessions as JSON lines."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import AsyncGenerator, Generator
from functools import partial
from pathlib import Path
from typing import IO, Annotated, Final

import typer

from ndb_models.cli.commands import command
from ndb_models.cli.masking import secrets_masked
from ndb_models.cli.output import counted
from ndb_models.cli.private_output import private_output
from ndb_models.cli.progress import Progress
from ndb_models.cli.session_facts import SessionFacts, facts_of, moment
from ndb_models.cli.session_file import exported_line
from ndb_models.cli.session_selection import (
    ModelOption,
    NamespaceOption,
    SchemaOption,
    Selected,
    Selection,
    WhereOption,
    selected,
    selection_of,
)
from ndb_models.cli.store_access import Work, on_store
from ndb_models.cli.unknown_fields import hint_at_unknown_fields
from ndb_models.client import NdbClient
from ndb_models.errors import NdbError
from ndb_models.schema.envelope import is_reserved
from ndb_models.sessions.bulk import in_bulk
from ndb_models.sessions.whole_sessions import read_all_keys

_NOTES: Final = """\
Each line is one session: its token, schema, expiry and keys, as `sessions import` reads them. It opens the session, so
keep the file as you keep the store. With --data-only a line has the session's fields and times, and nothing that opens
it: for a person who asks what is stored about them. Such a file cannot be imported.
"""


def add_export_command(sessions: typer.Typer) -> None:
    """Add `export` to the commands of `sessions`."""
    command(
        sessions,
        "export",
        "Writes sessions as JSON lines to a file of mode 0600, or to standard output. Extends no session.",
        summary="write sessions as JSON lines",
        notes=_NOTES,
    )(run_export)


@on_store
def run_export(
    schema: SchemaOption = None,
    namespace: NamespaceOption = None,
    where: WhereOption = None,
    model: ModelOption = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FILE", help="Where to write (default: standard output). Appears when complete."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE if it is there.")] = False,
    data_only: Annotated[
        bool, typer.Option("--data-only", help="Only fields and times: no tokens, and secret values masked.")
    ] = False,
) -> Work:
    """Export sessions."""
    selection = selection_of(schema, namespace, where, model)

    async def run(client: NdbClient) -> None:
        with _output(to, overwrite) as file:
            done = 0
            with Progress("sessions exported") as progress:
                async for lines in _exported(client, selection, data_only):
                    file.writelines(lines)
                    done += len(lines)
                    if to is not None or not sys.stdout.isatty():
                        progress.show(done)
        if not done:
            await hint_at_unknown_fields(client, selection)
        sys.stderr.write(f"{counted(done, 'session')} exported\n")

    return run


@contextlib.contextmanager
def _output(to: Path | None, overwrite: bool) -> Generator[IO[bytes]]:
    if to is not None:
        with private_output(to, "--to", overwrite=overwrite) as file:
            yield file
        return
    yield sys.stdout.buffer
    sys.stdout.buffer.flush()


async def _exported(client: NdbClient, selection: Selection, data_only: bool) -> AsyncGenerator[list[bytes]]:
    async for page in selected(client, selection):
        lines: list[bytes] = []
        for result in await in_bulk(partial(_line, client, data_only), page, None):
            if isinstance(result, NdbError):
                raise result
            if result is not None:
                lines.append(result)
        yield lines


async def _line(client: NdbClient, data_only: bool, each: Selected) -> bytes | None:
    """Return the line of a session; None if it has ended."""
    keys = await read_all_keys(client, each.tkn)
    facts = None if keys is None else await facts_of(client, each.tkn, each.reserved)
    if keys is None or facts is None:
        return None
    return _data_line(facts, keys) if data_only else exported_line(facts, keys)


def _data_line(facts: SessionFacts, keys: dict[str, bytes]) -> bytes:
    envelope = facts.envelope
    fields = {name: json.loads(text) for name, text in keys.items() if not is_reserved(name)}
    line = {
        "schema": facts.schema,
        "namespace": facts.namespace,
        "created": None if envelope is None else moment(envelope.created),
        "used": None if envelope is None else moment(envelope.used),
        "expires": facts.expires,
        "fields": secrets_masked(fields),
    }
    return json.dumps(line).encode() + b"\n"
