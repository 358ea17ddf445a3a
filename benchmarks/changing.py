"""Requests on sessions that exist, against the same frames over a bare websockets connection.

- raw: `sh_set` of five keys, then `sh_get` of them.
- one field: `Repository.get`, a change of one field of six, `save`.
- six fields: the same with a change of every field. One is a list, so the save compares its stored text.
- bare: the two frames of that, ready-made, over websockets, without parsing and validation. As many are in flight.
- bare, uncompared: the same with an `SH_SET` in the place of the `SH_CHANGE` that compares the list.
- Pydantic alone: the same two frames over our client, and Pydantic reads and writes the model. Nothing is checked, and
  no change is looked for: a repository cannot take less time than this.

Run `python -m benchmarks.changing` for these tables alone.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Final

from benchmarks.harness import Side, compare, seconds_bare
from benchmarks.repository import SINCE, Measured, Plain, measured
from benchmarks.servers import MeasuredServer, measured_server
from ndb_models import NdbClient, Repository
from ndb_models.json_text import ObjectText
from ndb_models.protocol.commands import COMMANDS
from ndb_models.protocol.prepared import Conditions, Parameters, Prepared

DEPTH: Final = 64
KEYS: Final[Mapping[str, object]] = {"a": 1, "b": "xyz", "c": [1, 2, 3], "d": True, "e": 1.5}
NAMES: Final = [*Measured.model_fields, "__ndb__"]

Work = Callable[[int, int], Awaitable[object]]
"""Does the work of a number on the session of a token."""
Frames = Callable[[int, int, int], list[str]]
"""Returns the frames of that work, given also the number of the work before it on the same session; 0 for none."""


def _frame(command: str, **body: object) -> str:
    return json.dumps({command: body}, separators=(",", ":"))


def change_all(session: Measured | Plain, number: int) -> None:
    """Give all six fields new values."""
    session.username = f"billy{number}"
    session.email = f"billy{number}@example.org"
    session.roles = ["admin", str(number)]
    session.visits = number
    session.ratio = number + 0.5
    session.since = SINCE + timedelta(seconds=number)


def raw_frames(number: int, tkn: int, _former: int) -> list[str]:
    """Set and get."""
    return [_frame("SH_SET", tkn=tkn, keys={**KEYS, "a": number}), _frame("SH_GET", tkn=tkn, keys=[*KEYS])]


def one_field_frames(number: int, tkn: int, _former: int) -> list[str]:
    """Get, and set one field."""
    return [_frame("SH_GET", tkn=tkn, keys=NAMES), _frame("SH_SET", tkn=tkn, keys={"visits": number})]


def _changed_keys(number: int) -> dict[str, object]:
    """Return the keys after the work of a number; 0 for a new session."""
    session = measured(0)
    if number:
        change_all(session, number)
    return session.model_dump(mode="json")


def six_fields_frames(number: int, tkn: int, former: int) -> list[str]:
    """Get, and set all fields if the list is as it was."""
    roles = json.dumps(_changed_keys(former)["roles"], separators=(",", ":"))
    change = _frame("SH_CHANGE", tkn=tkn, texts={"roles": roles}, keys=_changed_keys(number))
    return [_frame("SH_GET", tkn=tkn, keys=NAMES), change]


def uncompared_frames(number: int, tkn: int, _former: int) -> list[str]:
    """Get, and set all fields."""
    return [_frame("SH_GET", tkn=tkn, keys=NAMES), _frame("SH_SET", tkn=tkn, keys=_changed_keys(number))]


def raw(client: NdbClient) -> Work:
    """Set and get."""

    async def work(number: int, tkn: int) -> None:
        await client.sh_set({**KEYS, "a": number}, tkn)  # type: ignore[dict-item]  # they are JSON
        await client.sh_get([*KEYS], tkn)

    return work


def one_field(client: NdbClient) -> Work:
    """Get, change one field, save."""
    repo = Repository(client, Measured)

    async def work(number: int, tkn: int) -> None:
        session = await repo.get(tkn)
        change_visits(session, number)
        await repo.save(session)

    return work


def six_fields(client: NdbClient) -> Work:
    """Get, change all fields, save."""
    repo = Repository(client, Measured)

    async def work(number: int, tkn: int) -> None:
        session = await repo.get(tkn)
        change_all(session, number)
        await repo.save(session)

    return work


def pydantic_alone(change: Callable[[Plain, int], object], names: set[str]) -> Callable[[NdbClient], Work]:
    """Get, change, write what changed, with ready-made requests and nothing else."""

    def work_of(client: NdbClient) -> Work:
        reading = Parameters(keys=NAMES)

        async def work(number: int, tkn: int) -> None:
            read = (await client.perform(Prepared(COMMANDS["SH_GET"], tkn, reading)))["keys"].text
            model = Plain.model_validate_json(read)
            former = b"[%b]" % read.partition(b'"roles":[')[2].partition(b"]")[0]
            change(model, number)
            values = ObjectText(model.__pydantic_serializer__.to_json(model, include=names))
            request = Prepared(COMMANDS["SH_SET"], tkn, values=values)
            if "roles" in names:
                request = Prepared(COMMANDS["SH_CHANGE"], tkn, Conditions({"roles": former}), values)
            await client.perform(request)

        return work

    return work_of


def change_visits(session: Measured | Plain, number: int) -> None:
    """Give one field a new value."""
    session.visits = number


async def _tokens(client: NdbClient, count: int) -> list[int]:
    repo = Repository(client, Measured)
    return [(await repo.create(measured(0))).tkn for _ in range(count)]


def ours(work_of: Callable[[NdbClient], Work], operations: int, depth: int) -> Callable[[str], Awaitable[float]]:
    """Do the work from so many tasks on one client, each on a session of its own."""

    async def run(uri: str) -> float:
        async with NdbClient.connect(uri) as client:
            work = work_of(client)

            async def task(first: int, tkn: int) -> None:
                for number in range(first + 1, operations + 1, depth):
                    await work(number, tkn)

            tokens = await _tokens(client, depth)
            started = time.perf_counter()
            await asyncio.gather(*(task(first, tkn) for first, tkn in enumerate(tokens)))
            return operations / (time.perf_counter() - started)

    return run


def bare(frames_of: Frames, operations: int, depth: int) -> Callable[[str], Awaitable[float]]:
    """The same frames, so many in flight."""

    async def run(uri: str) -> float:
        async with NdbClient.connect(uri) as client:
            tokens = await _tokens(client, depth)
        numbers = range(1, operations + 1)
        frames = [
            frame
            for number in numbers
            for frame in frames_of(number, tokens[(number - 1) % depth], max(0, number - depth))
        ]
        seconds = await seconds_bare(uri, frames, depth)
        if frames_of is not raw_frames:
            await _require_changed(uri, tokens[(operations - 1) % depth], operations)
        return operations / seconds

    return run


async def _require_changed(uri: str, tkn: int, number: int) -> None:
    """Check that the work of a number was done: an `SH_CHANGE` changes nothing if a key is not as expected."""
    async with NdbClient.connect(uri) as client:
        session = await Repository(client, Measured).get(tkn)
    if session.visits != number:
        raise SystemExit("the bare frames did not change the session")


def bench(server: MeasuredServer, *, scale: float, rounds: int) -> None:
    """Run all comparisons."""
    few, many = max(DEPTH, int(1_500 * scale)), max(DEPTH, int(6_400 * scale))
    alone_one, alone_six = pydantic_alone(change_visits, {"visits"}), pydantic_alone(change_all, {*Plain.model_fields})
    works: tuple[tuple[str, dict[str, Callable[[NdbClient], Work]], dict[str, Frames]], ...] = (
        ("sh_set and sh_get", {"ours": raw}, {"bare": raw_frames}),
        (
            "Get, change one field, save",
            {"Pydantic alone": alone_one, "ours": one_field},
            {"bare": one_field_frames},
        ),
        (
            "Get, change six fields, save",
            {"Pydantic alone": alone_six, "ours": six_fields},
            {"bare": six_fields_frames, "bare, uncompared": uncompared_frames},
        ),
    )
    for title, works_of, frames in works:
        for manner, operations, depth in (("one at a time", few, 1), ("64 in flight", many, DEPTH)):
            sides = [Side(name, bare(frames_of, operations, depth)) for name, frames_of in frames.items()]
            sides += [Side(name, ours(work_of, operations, depth)) for name, work_of in works_of.items()]
            compare(f"{title}, {manner}", sides, server.uri, 3 * rounds)


if __name__ == "__main__":
    with measured_server() as measured_one:
        bench(measured_one, scale=1.0, rounds=5)
