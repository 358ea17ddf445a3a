"""`ndb-models keys`: the keys that all clients of a store share."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Sequence
from typing import Annotated, Final, TypeAlias

import typer

from ndb_models.cli.asking import YesOption, confirmed
from ndb_models.cli.commands import command, group
from ndb_models.cli.corrections import at_least
from ndb_models.cli.exits import FAILED, FAILURE, MISUSE, complain
from ndb_models.cli.output import (
    JsonLinesOption,
    JsonOption,
    counted,
    print_json,
    print_json_line,
    print_line,
    printable,
)
from ndb_models.cli.session_facts import moment
from ndb_models.cli.store_access import Work, on_store
from ndb_models.client import NdbClient
from ndb_models.clocks import wall_clock
from ndb_models.errors import InvalidArgumentError, UnavailableError
from ndb_models.types import JsonValue

_OF_INDEX: Final = "__ndb__:"
# Seconds between two looks.
_SHORTEST_PAUSE: Final = 0.05

KeysArgument: TypeAlias = Annotated[list[str], typer.Argument(metavar="KEY", help="Names of keys.")]
EveryOption: TypeAlias = Annotated[
    float,
    typer.Option(
        "--every",
        metavar="SECONDS",
        help="Seconds between two looks.",
        callback=at_least("--every", _SHORTEST_PAUSE),
    ),
]
ChangesOption: TypeAlias = Annotated[
    int | None,
    typer.Option("--changes", metavar="N", help="End after so many lines.", callback=at_least("--changes", 1)),
]


def add_keys_commands(tree: typer.Typer) -> None:
    """Add `keys` to the tree of commands."""
    keys = group(
        "keys",
        "Reads, writes and watches the keys that all clients of a store share.",
        summary="read, write and watch the shared keys",
        parent=tree,
    )
    command(keys, "ls", "Lists the names of the keys, in order. Those of the index of sessions are left out.",
            summary="list the names of the keys")(run_ls)  # fmt: skip
    command(
        keys,
        "get",
        "Prints the value of a key as JSON; those of several keys as one JSON object.",
        summary="print the values of keys",
        statuses=("1    a key does not exist, or the command failed", MISUSE),
    )(run_get)
    command(
        keys,
        "set",
        "Writes a key. VALUE is JSON, or a text with --text; - reads it from standard input.",
        summary="write a key",
        statuses=(FAILURE, MISUSE),
    )(run_set)
    command(
        keys,
        "rm",
        "Removes keys. Asks first. Missing keys do no harm.",
        summary="remove keys; asks first",
        statuses=("1    it failed, or the answer was no", MISUSE),
    )(run_rm)
    command(
        keys,
        "watch",
        "Prints each change of some keys as it is seen: their values now, and then what others write. Looks again and"
        " again, and waits while the store gives no answer. Ctrl-C ends it.",
        summary="print the changes of keys",
    )(run_watch)


@on_store
def run_ls(
    prefix: Annotated[str, typer.Option("--prefix", metavar="TEXT", help="Only names that begin so.")] = "",
    with_index: Annotated[bool, typer.Option("--index", help="Also the keys of the index of sessions.")] = False,
    as_json: JsonLinesOption = False,
) -> Work:
    """List the names of keys."""

    async def run(client: NdbClient) -> None:
        names = await client.kv_keys()
        for name in sorted(names):
            if name.startswith(prefix) and (with_index or not name.startswith(_OF_INDEX)):
                if as_json:
                    print_json_line({"key": name})
                else:
                    print_line(name)

    return run


@on_store
def run_get(
    keys: KeysArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object by key, for one key too.")] = False,
) -> Work:
    """Print the values of keys."""

    async def run(client: NdbClient) -> int:
        found = await client.kv_get(keys)
        if as_json or len(keys) > 1:
            print_json(found)
        elif found:
            print_json(next(iter(found.values())))
        missing = sum(key not in found for key in keys)
        if missing:
            said = "there is no such key" if len(keys) == 1 else f"{missing} of {len(keys)} keys do not exist"
            return complain(said, FAILED)
        return 0

    return run


@on_store
def run_set(
    key: Annotated[str, typer.Argument(metavar="KEY", help="The name of the key.")],
    value: Annotated[str, typer.Argument(metavar="VALUE", help="Its value as JSON; - is standard input.")],
    as_text: Annotated[bool, typer.Option("--text", help="VALUE is a text, and is stored as a JSON string.")] = False,
    if_absent: Annotated[bool, typer.Option("--if-absent", help="Leave an existing key as it is.")] = False,
    as_json: JsonOption = False,
) -> Work:
    """Write a key."""
    _refuse_index([key])
    given = sys.stdin.read() if value == "-" else value
    parsed = given if as_text else _parsed(given)

    async def run(client: NdbClient) -> None:
        existed = as_json and bool(await client.kv_contains([key]))
        await (client.kv_add if if_absent else client.kv_set)({key: parsed})
        if as_json:
            print_json({"key": key, "existed": existed})

    return run


def _parsed(text: str) -> JsonValue:
    try:
        value: JsonValue = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise InvalidArgumentError(
            "VALUE: this is not JSON; a text is written with --text, or in quotes: '\"text\"'"
        ) from None
    return value


def _refuse_constant(_: str) -> None:
    raise ValueError


def _refuse_index(keys: Sequence[str]) -> None:
    if any(key.startswith(_OF_INDEX) for key in keys):
        raise InvalidArgumentError(f"KEY: names that begin with {_OF_INDEX} belong to the index of sessions")


@on_store
def run_rm(
    keys: KeysArgument,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> Work:
    """Remove keys."""
    _refuse_index(keys)

    async def run(client: NdbClient) -> int:
        there = await client.kv_contains(keys)
        if there and not confirmed(f"Remove {counted(len(there), 'key')} of {client.uri}?", yes=yes):
            return complain("no key was removed", FAILED)
        if there:
            await client.kv_rmv(there)
        if as_json:
            print_json({"removed": len(there)})
        else:
            sys.stdout.write(f"{counted(len(there), 'key')} removed\n")
        return 0

    return run


@on_store
def run_watch(
    keys: KeysArgument,
    every: EveryOption = 1.0,
    changes: ChangesOption = None,
    as_json: JsonLinesOption = False,
) -> Work:
    """Print the changes of keys until it is interrupted."""

    async def run(client: NdbClient) -> None:
        printed = 0
        async for key, value, is_there in _changes(client, keys, every):
            _print_change(key, value, is_there, as_json)
            printed += 1
            if printed == changes:
                return

    return run


async def _changes(client: NdbClient, keys: Sequence[str], every: float) -> AsyncGenerator[tuple[str, JsonValue, bool]]:
    """Yield each key with its value, now and whenever it changes; and whether it is there."""
    before: dict[str, JsonValue] | None = None
    is_told = False
    while True:
        try:
            now = await client.kv_get(keys)
            is_told = False
        except UnavailableError as exc:
            if before is None:
                raise
            if not is_told:
                sys.stderr.write(f"ndb-models: the store gives no answer, waiting: {exc}\n")
                is_told = True
            now = before
        for key in keys:
            if before is None or (key in before, before.get(key)) != (key in now, now.get(key)):
                yield key, now.get(key), key in now
        before = now
        await asyncio.sleep(every)


def _print_change(key: str, value: JsonValue, is_there: bool, as_json: bool) -> None:
    at = moment(wall_clock() * 1000)
    if as_json:
        print_json_line({"at": at, "key": key, "exists": is_there, "value": value})
    else:
        shown = json.dumps(value, ensure_ascii=False) if is_there else "(there is none)"
        sys.stdout.write(f"{at}  {printable(key)}  {printable(shown)}\n")
    sys.stdout.flush()
