"""`ndb-models sessions ls` and `show`: looks at sessions. A look never extends a session."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncGenerator, Mapping
from typing import Annotated, Any, Final

import typer

from ndb_models.cli.commands import TokenCommand, command, group
from ndb_models.cli.corrections import at_least
from ndb_models.cli.exits import FAILED, MISUSE, complain
from ndb_models.cli.masking import MASK, ShowTokensOption, ShowValuesOption, shown_value
from ndb_models.cli.output import JsonLinesOption, JsonOption, Table, print_facts, print_json, print_json_line
from ndb_models.cli.session_ending import add_end_command
from ndb_models.cli.session_export import add_export_command
from ndb_models.cli.session_facts import COLUMNS, SessionFacts, facts_of
from ndb_models.cli.session_import import add_import_command
from ndb_models.cli.session_selection import (
    ModelOption,
    NamespaceOption,
    SchemaOption,
    Selected,
    Selection,
    WhereOption,
    parsed_token,
    selected,
    selection_of,
    token_of,
)
from ndb_models.cli.store_access import Work, on_store
from ndb_models.cli.unknown_fields import hint_at_unknown_fields
from ndb_models.client import NdbClient
from ndb_models.errors import NdbError
from ndb_models.schema.envelope import RESERVED_KEY, is_reserved
from ndb_models.sessions.bulk import in_bulk
from ndb_models.sessions.whole_sessions import read_all_keys
from ndb_models.types import JsonValue, SessionToken

NO_SUCH_SESSION: Final = "there is no such session: it has ended or expired, or it never existed"

_LONGEST_VALUE: Final = 400
# Pydantic's text for a secret.
_OF_PYDANTIC: Final = ("**********", "")


def add_sessions_commands(tree: typer.Typer) -> None:
    """Add `sessions` to the tree of commands."""
    sessions = group(
        "sessions",
        "Lists, shows, ends, exports and imports sessions.",
        summary="list, show, end, export and import sessions",
        parent=tree,
    )
    command(
        sessions,
        "ls",
        "Lists sessions, page by page, however many there are. A look extends no session. Tokens are shortened.",
        summary="list sessions",
    )(run_ls)
    command(
        sessions,
        "show",
        "Shows one session: its facts and its fields. A look does not extend it. Values are masked where the name of"
        " their field says that they are secret or personal.",
        summary="show one session with its fields",
        statuses=("1    there is no such session, or the command failed", MISUSE),
        kind=TokenCommand,
    )(run_show)
    add_end_command(sessions)
    add_export_command(sessions)
    add_import_command(sessions)


@on_store
def run_ls(
    schema: SchemaOption = None,
    namespace: NamespaceOption = None,
    where: WhereOption = None,
    model: ModelOption = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", help="At most so many sessions.", callback=at_least("--limit", 1)),
    ] = None,
    as_json: JsonLinesOption = False,
    show_tokens: ShowTokensOption = False,
) -> Work:
    """List sessions."""
    selection = selection_of(schema, namespace, where, model)

    async def run(client: NdbClient) -> None:
        pages = described(client, selection, limit)
        found = await (_print_lines(pages, show_tokens) if as_json else print_sessions(pages, show_tokens=show_tokens))
        if not found:
            await hint_at_unknown_fields(client, selection)

    return run


async def described(
    client: NdbClient, selection: Selection, limit: int | None = None
) -> AsyncGenerator[list[SessionFacts]]:
    """Yield the facts of the selected sessions in pages. A session that ends meanwhile is left out."""

    async def describe(each: Selected) -> SessionFacts | None:
        return await facts_of(client, each.tkn, each.reserved)

    left = limit
    async for page in selected(client, selection):
        found: list[SessionFacts] = []
        for facts in await in_bulk(describe, page if left is None else page[:left], None):
            if isinstance(facts, NdbError):
                raise facts
            if facts is not None:
                found.append(facts)
        if found:
            yield found
        if left is not None:
            left -= len(found)
            if left <= 0:
                return


async def _print_lines(pages: AsyncGenerator[list[SessionFacts]], show_tokens: bool) -> int:
    """Print the facts of sessions as JSON lines, page by page; return how many there are."""
    count = 0
    async for page in pages:
        count += len(page)
        for facts in page:
            print_json_line(facts.as_json(show_tokens=show_tokens))
        sys.stdout.flush()
    return count


async def print_sessions(pages: AsyncGenerator[list[SessionFacts]], *, show_tokens: bool) -> int:
    """Print the facts of sessions as a table, page by page; return how many there are."""
    table = Table(COLUMNS)
    async for page in pages:
        for facts in page:
            table.add(*facts.as_row(show_tokens=show_tokens), style=None if facts.is_whole else "yellow")
        table.flush()
    if not table.rows:
        sys.stderr.write("no session\n")
    return table.rows


@on_store
def run_show(
    tkn: Annotated[
        str, typer.Argument(metavar="TKN", help="The token, or the public id; - reads it from standard input.")
    ],
    model: ModelOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
    show_tokens: ShowTokensOption = False,
    show_values: ShowValuesOption = False,
) -> Work:
    """Show a session."""
    selection = selection_of(None, namespace, None, model)
    given = sys.stdin.readline().strip() if tkn == "-" else tkn
    parsed_token(given)  # a wrong one needs no connection to be refused

    async def run(client: NdbClient) -> int:
        token = await token_of(client, given)
        keys = None if token is None else await read_all_keys(client, token)
        if token is None or keys is None:
            return complain(NO_SUCH_SESSION, FAILED)
        facts = await facts_of(client, token, _parsed(keys).get(RESERVED_KEY))
        if facts is None:
            return complain(NO_SUCH_SESSION, FAILED)
        fields, problem = await _fields(client, selection, token, keys, show_values=show_values)
        if as_json:
            print_json({**facts.as_json(show_tokens=show_tokens), "problem": problem, "fields": fields})
        else:
            _print_session(facts, fields, problem, show_tokens=show_tokens)
        return 0

    return run


def _parsed(keys: Mapping[str, bytes]) -> dict[str, JsonValue]:
    return {name: json.loads(text) for name, text in keys.items()}


async def _fields(
    client: NdbClient, selection: Selection, tkn: SessionToken, keys: Mapping[str, bytes], *, show_values: bool
) -> tuple[dict[str, JsonValue], str | None]:
    """Return the fields to show, and why the session is not one of the model, if it is not."""
    stored = {name: value for name, value in _parsed(keys).items() if not is_reserved(name)}
    values, problem = stored, None
    if selection.model is not None:
        try:
            session = await selection.repository(client).get(tkn, extend=False)
        except NdbError as exc:
            problem = str(exc)
        else:
            dumped: dict[str, Any] = session.model_dump(mode="json")
            values = _with_secrets(dumped, stored) if show_values else dumped
    return {name: shown_value(name, _masked(value), full=show_values) for name, value in values.items()}, problem


def _with_secrets(dumped: Mapping[str, JsonValue], stored: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return values as the model reads them, with its secrets as they are stored."""
    return {name: stored.get(name, value) if value in _OF_PYDANTIC else value for name, value in dumped.items()}


def _masked(value: JsonValue) -> JsonValue:
    return MASK if value == _OF_PYDANTIC[0] else value


def _print_session(
    facts: SessionFacts, fields: Mapping[str, JsonValue], problem: str | None, *, show_tokens: bool
) -> None:
    about = facts.as_row(show_tokens=show_tokens)
    has_secret = facts.envelope is not None and facts.envelope.secret is not None
    print_facts(
        {
            **dict(zip(COLUMNS, about, strict=True)),
            "credential": "yes" if has_secret else "no",
            "problem": problem,
        }
    )
    sys.stdout.write("\n")
    table = Table(("field", "value"))
    for name, value in fields.items():
        text = json.dumps(value, ensure_ascii=False)
        cut = f"{text[:_LONGEST_VALUE]}… ({len(text)} characters; --json shows all)"
        table.add(name, text if len(text) <= _LONGEST_VALUE else cut)
    table.flush()
