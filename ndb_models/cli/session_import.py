"""`ndb-models sessions import`: creates the sessions of an export again, under their tokens."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from array import array
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, Annotated, Final, Literal, NamedTuple

import typer

from ndb_models.cli.commands import command
from ndb_models.cli.exits import FAILED, MISUSE, complain
from ndb_models.cli.output import JsonOption, counted, print_json
from ndb_models.cli.progress import Progress
from ndb_models.cli.session_file import ExportedSession, parsed_line
from ndb_models.cli.session_selection import PAGE, ModelOption, NamespaceOption, Selection, selection_of
from ndb_models.cli.store_access import MaxPayloadOption, StoreOption, TokenFileOption, run_async, store_access
from ndb_models.client import NdbClient
from ndb_models.errors import InvalidArgumentError, NdbError
from ndb_models.index.without_model import end_session
from ndb_models.schema.lookup import lookups_of
from ndb_models.sessions.bulk import in_bulk
from ndb_models.sessions.whole_sessions import create_whole

_STANDARD_INPUT: Final = "standard input"

_NOTES: Final = """\
The whole file is checked before the first session is created: its form, with --model that the model reads every
session, and that none of the tokens is in use. Sessions that would have ended since the export are left out. The time
of the others starts anew. Without --model the lookups of the sessions are not known: they find these sessions once
Repository.reindex has been given their tokens.
"""

_Existing = Literal["refuse", "skip", "replace"]


def add_import_command(sessions: typer.Typer) -> None:
    """Add `import` to the commands of `sessions`."""
    command(
        sessions,
        "import",
        "Creates the sessions of an export again, under their tokens.",
        summary="create the sessions of an export again",
        statuses=("1    it failed, or some sessions could not be created; one line on standard error says why", MISUSE),
        notes=_NOTES,
    )(run_import)


def run_import(
    file: Annotated[str, typer.Argument(metavar="FILE", help="What `sessions export` wrote; - is standard input.")],
    model: ModelOption = None,
    namespace: NamespaceOption = None,
    existing: Annotated[
        _Existing,
        typer.Option(
            "--existing",
            metavar="WHAT",
            help="What to do if sessions of the file are in the store: refuse the file, skip them, or replace them.",
        ),
    ] = "refuse",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the file, and create nothing.")] = False,
    as_json: JsonOption = False,
    store: StoreOption = None,
    token_file: TokenFileOption = None,
    max_payload: MaxPayloadOption = None,
) -> int:
    """Import sessions; return the exit status."""
    access = store_access(store, token_file, max_payload, may_create=True)
    selection = selection_of(None, namespace, None, model)

    async def run() -> int:
        with _input(file) as (lines, source):
            total = await _check(lines, source, selection)
            async with access.opened() as client:
                importing = Importing(client, existing, datetime.now(UTC))
                if existing == "refuse":
                    await importing.require_none_existing(_sessions(lines, source))
                if dry_run:
                    return _say(Imported(), None, as_json, would=total)
                await importing.run(_sessions(lines, source), total)
                await importing.list_under_values(selection)
                return _say(importing.done, importing.first_failure, as_json)

    return run_async(run())


@contextlib.contextmanager
def _input(file: str) -> Generator[tuple[IO[bytes], str]]:
    """Open the file. Standard input is kept in an unnamed file, since it is read more than once."""
    if file == "-":
        with tempfile.TemporaryFile() as kept:
            shutil.copyfileobj(sys.stdin.buffer, kept)
            yield kept, _STANDARD_INPUT
        return
    try:
        opened = Path(file).open("rb")  # noqa: SIM115 - closed below
    except OSError as exc:
        raise InvalidArgumentError(f"FILE: {file} cannot be read: {exc.strerror or exc}") from None
    with opened:
        yield opened, file


def _numbered(lines: IO[bytes], source: str) -> Iterator[tuple[int, ExportedSession]]:
    lines.seek(0)
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield number, parsed_line(line, source, number)


def _sessions(lines: IO[bytes], source: str) -> Iterator[ExportedSession]:
    return (session for _, session in _numbered(lines, source))


async def _check(lines: IO[bytes], source: str, selection: Selection) -> int:
    """Read the whole file, with the model if there is one; return the number of its sessions.

    Raises:
        InvalidArgumentError: a line is no session, or the model does not read it; names the line.
    """
    if selection.model is None:
        return sum(1 for _ in _sessions(lines, source))
    total = 0
    # A store in memory reads the session exactly as the real one would.
    async with NdbClient.connect("memory://") as scratch:
        repository = selection.repository(scratch)
        for number, session in _numbered(lines, source):
            await create_whole(scratch, session.tkn, session.expiry, session.keys)
            try:
                await repository.get(session.tkn, extend=False)
            except NdbError as exc:
                raise InvalidArgumentError(f"{source}, line {number}: {exc}") from exc
            await scratch.sh_end(session.tkn)
            total += 1
    return total


class Imported(NamedTuple):
    """The outcome of an import: how many sessions were created, skipped, replaced, left out and refused."""

    created: int = 0
    skipped: int = 0
    replaced: int = 0
    expired: int = 0
    failed: int = 0


class Importing:
    """Creates sessions of a file.

    Args:
        client: an open client of the store.
        existing: the treatment of a session if its token is in use.
        now: the time, for sessions that have expired since.
    """

    def __init__(self, client: NdbClient, existing: _Existing, now: datetime) -> None:
        self._client = client
        self._existing = existing
        self._now = now
        self._tokens = array("Q")
        self.done: Imported = Imported()
        self.first_failure: NdbError | None = None

    async def require_none_existing(self, sessions: Iterator[ExportedSession]) -> None:
        """Refuse a file if tokens of its sessions are in use.

        Raises:
            InvalidArgumentError: there are such sessions.
        """
        found = 0
        for part in _parts(sessions):
            found += len(await self._client.sh_session_exists([each.tkn for each in part]))
        if found:
            raise InvalidArgumentError(
                f"--existing: {found} of these sessions {'is' if found == 1 else 'are'} in the store; write skip or"
                " replace"
            )

    async def run(self, sessions: Iterator[ExportedSession], total: int) -> None:
        """Create the sessions."""
        done = 0
        with Progress("sessions imported") as progress:
            for part in _parts(sessions):
                for result in await in_bulk(self._create, part, None):
                    if isinstance(result, NdbError):
                        self._note_failure(result)
                done += len(part)
                progress.show(done, total)

    async def _create(self, session: ExportedSession) -> None:
        if session.has_expired(self._now):
            self._note("expired")
            return
        create = partial(create_whole, self._client, session.tkn, session.expiry, session.keys)
        if await create():
            self._note("created")
        elif self._existing == "replace":
            await end_session(self._client, session.tkn)
            if await create():
                self._note("replaced")
        else:
            self._note("skipped")
            return
        self._tokens.append(session.tkn)

    async def list_under_values(self, selection: Selection) -> None:
        """List the new sessions in the index, so that lookups find them."""
        if selection.model is None or not lookups_of(selection.model) or not self._tokens:
            return
        result = await selection.repository(self._client).reindex(self._tokens)
        for problem in result.problems:
            self._note_failure(problem)

    def _note(self, outcome: str) -> None:
        self.done = self.done._replace(**{outcome: getattr(self.done, outcome) + 1})

    def _note_failure(self, error: NdbError) -> None:
        self._note("failed")
        self.first_failure = self.first_failure or error


def _parts(sessions: Iterator[ExportedSession]) -> Iterator[list[ExportedSession]]:
    while part := list(islice(sessions, PAGE)):
        yield part


def _say(done: Imported, failure: NdbError | None, as_json: bool, *, would: int | None = None) -> int:
    counts = done._asdict()
    if as_json:
        print_json(counts if would is None else {**counts, "would_import": would})
    elif would is not None:
        sys.stdout.write(f"{counted(would, 'session')} would be imported\n")
    else:
        told = (f"{count} {outcome}" for outcome, count in counts.items() if count or outcome == "created")
        sys.stdout.write(f"{', '.join(told)}\n")
    return complain(f"{counted(done.failed, 'session')} could not be imported: {failure}", FAILED) if done.failed else 0
