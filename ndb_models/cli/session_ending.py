"""`ndb-models sessions end`: ends sessions, and frees their lookups and unique values."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from functools import partial
from typing import Annotated, NamedTuple

import typer

from ndb_models.cli.asking import DryRunOption, YesOption, confirmed
from ndb_models.cli.commands import TokenCommand, command
from ndb_models.cli.exits import FAILED, MISUSE, complain
from ndb_models.cli.output import JsonOption, counted, print_json
from ndb_models.cli.progress import Progress
from ndb_models.cli.session_selection import (
    PAGE,
    ModelOption,
    NamespaceOption,
    SchemaOption,
    Selection,
    WhereOption,
    given_tokens,
    selected,
    selection_of,
    token_of,
)
from ndb_models.cli.store_access import Work, on_store
from ndb_models.cli.unknown_fields import hint_at_unknown_fields
from ndb_models.client import NdbClient
from ndb_models.errors import InvalidArgumentError, NdbError
from ndb_models.index.without_model import end_session
from ndb_models.sessions.bulk import in_bulk


class Ended(NamedTuple):
    """The outcome of ending sessions: how many were ended, had ended already, and could not be ended."""

    ended: int = 0
    gone: int = 0
    failed: int = 0
    first_failure: str | None = None

    def and_then(self, results: Sequence[bool | NdbError]) -> Ended:
        """Return the outcome with further results: True for a session that was ended, False for one that had ended."""
        failures = [each for each in results if isinstance(each, NdbError)]
        return Ended(
            self.ended + results.count(True),
            self.gone + results.count(False),
            self.failed + len(failures),
            self.first_failure or (str(failures[0]) if failures else None),
        )


def add_end_command(sessions: typer.Typer) -> None:
    """Add `end` to the commands of `sessions`."""
    command(
        sessions,
        "end",
        "Ends sessions: those of these tokens, or those that --schema, --model and --where select. It counts them and"
        " asks first. Their lookups and unique values are free then, with --model and without it.",
        summary="end sessions; asks first",
        done="the sessions are ended, or were ended already; or there are none",
        statuses=("1    some could not be ended, or the answer was no; what was ended stays so", MISUSE),
        kind=TokenCommand,
    )(run_end)


@on_store
def run_end(
    tkns: Annotated[
        list[str] | None,
        typer.Argument(metavar="TKN", help="Tokens or public ids; - reads them from standard input, one a line."),
    ] = None,
    schema: SchemaOption = None,
    namespace: NamespaceOption = None,
    where: WhereOption = None,
    model: ModelOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> Work:
    """End sessions."""
    selection = selection_of(schema, namespace, where, model)
    _require_one_way(tkns, schema, where, model)
    given = given_tokens(tkns or ())

    async def run(client: NdbClient) -> int:
        found = await _named(client, given) if given else await _selected(client, selection)
        if not (given or found):
            await hint_at_unknown_fields(client, selection)
        gone = max(0, len(given) - len(found))
        if dry_run:
            return _say(Ended(), as_json, would=len(found))
        if not found:
            return _say(Ended(gone=gone), as_json, would=None if gone else 0)
        if not confirmed(f"End {counted(len(found), 'session')} of {client.uri}?", yes=yes):
            return complain("no session was ended", FAILED)
        return _say(await _end_all(client, selection, found, gone), as_json)

    return run


def _require_one_way(
    tkns: Sequence[str] | None, schema: str | None, where: Sequence[str] | None, model: str | None
) -> None:
    if tkns and (schema or where):
        raise InvalidArgumentError("--schema and --where select sessions, so give either these or tokens")
    if not (tkns or schema or where or model):
        raise InvalidArgumentError("no sessions are named: give their tokens, or --where, --schema or --model")


async def _named(client: NdbClient, given: Sequence[str]) -> array[int]:
    """Return the tokens of the sessions that are named; a public id that no session has leads to none."""
    tokens = [await token_of(client, each) for each in given]
    return array("Q", [each for each in tokens if each is not None])


async def _selected(client: NdbClient, selection: Selection) -> array[int]:
    found = array("Q")
    with Progress("sessions found") as progress:
        async for page in selected(client, selection):
            found.extend(each.tkn for each in page)
            progress.show(len(found))
    return found


async def _end_all(client: NdbClient, selection: Selection, tkns: array[int], gone: int) -> Ended:
    work = partial(end_session, client) if selection.model is None else selection.repository(client).delete
    outcome = Ended(gone=gone)
    with Progress("sessions ended") as progress:
        for start in range(0, len(tkns), PAGE):
            outcome = outcome.and_then(await in_bulk(work, tkns[start : start + PAGE], None))
            progress.show(min(start + PAGE, len(tkns)), len(tkns))
    return outcome


def _say(outcome: Ended, as_json: bool, *, would: int | None = None) -> int:
    if as_json:
        told = {"ended": outcome.ended, "already_ended": outcome.gone, "failed": outcome.failed}
        print_json(told if would is None else {**told, "would_end": would})
    elif would is not None:
        sys.stdout.write(f"{counted(would, 'session')} would be ended\n" if would else "no session to end\n")
    else:
        more = f", {outcome.gone} had ended already" if outcome.gone else ""
        sys.stdout.write(f"{counted(outcome.ended, 'session')} ended{more}\n")
    if outcome.failed:
        return complain(f"{counted(outcome.failed, 'session')} could not be ended: {outcome.first_failure}", FAILED)
    return 0
