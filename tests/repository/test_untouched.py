"""What nobody touched is not written: a change is a difference of value, and what others changed meanwhile stays."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, PlainValidator

from ndb_models import Lookup, NdbClient, Repository, SessionModel, ZonedDatetime
from tests.repository.recording import RecordingEngine

_numbers = itertools.count()


def _with_nonce(text: str) -> str:
    return f"{text}|{next(_numbers)}"


def _without_nonce(text: Any) -> Any:
    return text.split("|")[0] if isinstance(text, str) else text


Nonced = Annotated[str, BeforeValidator(_without_nonce), PlainSerializer(_with_nonce)]
Array = Annotated[
    np.ndarray,
    PlainValidator(np.asarray),
    PlainSerializer(lambda array: array.tolist()),
]


class Part(BaseModel):
    names: frozenset[str] = frozenset()
    nonced: Nonced = ""


class Everything(SessionModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    seen: int = 0
    roles: set[str] = set()
    groups: dict[str, set[int]] = {}
    part: Part = Part()
    parts: list[Part] = []
    nonced: Nonced = ""
    array: Array = np.array([1.0, 2.0])
    at: datetime | None = None
    perhaps: int | None = Field(default=None, exclude_if=lambda value: value is None)


Change = Callable[[Repository[Everything], Everything], Any]


async def save(repo: Repository[Everything], session: Everything) -> None:
    session.seen += 1
    await repo.save(session)


async def save_much(repo: Repository[Everything], session: Everything) -> None:
    session.seen += 1
    await repo.save_many([session])


async def update(repo: Repository[Everything], session: Everything) -> None:
    await repo.update(session.tkn, seen=1)


async def rebuild(repo: Repository[Everything], session: Everything) -> None:
    """Save with everything made again, equal to what it was, in another order."""
    session.seen += 1
    session.roles = {*reversed([*session.roles])}
    session.groups = {name: {*reversed([*group])} for name, group in reversed(session.groups.items())}
    session.part = Part(names=frozenset(sorted(session.part.names)), nonced=session.part.nonced)
    session.parts = [part.model_copy(deep=True) for part in session.parts]
    session.array = np.array(session.array.tolist())
    await repo.save(session)


CHANGES: list[Change] = [save, save_much, rebuild]

NAMES = st.text("abcdefgh", min_size=1, max_size=6)
PARTS = st.builds(Part, names=st.frozensets(NAMES, max_size=8), nonced=NAMES)
SESSIONS: dict[str, Any] = {
    "roles": st.sets(NAMES, max_size=8),
    "groups": st.dictionaries(NAMES, st.sets(st.integers(0, 200), max_size=8), max_size=3),
    "part": PARTS,
    "parts": st.lists(PARTS, max_size=2),
    "nonced": NAMES,
    "at": st.none()
    | st.datetimes(timezones=st.just(ZoneInfo("Europe/Berlin")), allow_imaginary=True).filter(
        lambda at: at.year > 1950
    ),
    "perhaps": st.none() | st.integers(),
}


@pytest.fixture
async def second(uri: str) -> AsyncIterator[NdbClient]:
    """Another client of the same engine, where it can be reached twice."""
    if uri.startswith("memory://"):
        pytest.skip("reached through one client alone")
    async with NdbClient.connect(uri) as client:
        yield client


@pytest.mark.parametrize("change", CHANGES)
@settings(max_examples=15, deadline=None, suppress_health_check=[*HealthCheck])
@given(values=st.fixed_dictionaries(SESSIONS), other=st.fixed_dictionaries(SESSIONS), name=st.sampled_from([*SESSIONS]))
async def test_what_another_changed_meanwhile_survives(
    client: NdbClient, change: Change, values: dict[str, Any], other: dict[str, Any], name: str
) -> None:
    repo = Repository(client, Everything)
    session = await repo.create(Everything(**values))
    for stale in (session, await repo.get(session.tkn)):
        await repo.update(session.tkn, **{name: other[name]})
        before = await repo.raw(session.tkn)
        await change(repo, stale)
        after = await repo.raw(session.tkn)
        assert {key for key in after if after[key] != before.get(key)} <= {"seen", "__ndb__"}
        assert set(before) - set(after) == set()


async def test_two_programs_change_different_fields_and_both_changes_survive(
    client: NdbClient, second: NdbClient
) -> None:
    ours, theirs = Repository(client, Everything), Repository(second, Everything)
    for number in range(20):
        roles = {f"role{each}" for each in range(number)}
        session = await ours.save(Everything(roles=roles, part=Part(names=frozenset(roles)), nonced="x"))
        read = await theirs.get(session.tkn)
        await ours.update(session.tkn, roles={"new"}, part=Part(names=frozenset({"new"})), nonced="new")
        async with theirs.edit(session.tkn) as edited:
            edited.perhaps = number
        read.seen = 5
        await theirs.save(read)
        now: Any = await ours.get(session.tkn)
        assert (now.roles, now.part.names, now.nonced, now.perhaps, now.seen) == (
            {"new"},
            {"new"},
            "new",
            number,
            5,
        )


async def test_saving_a_session_that_nobody_changed_writes_nothing(
    watched: Repository[Any], timed: NdbClient, engine: RecordingEngine
) -> None:
    repo = Repository(timed, Everything)
    values: dict[str, Any] = {
        "roles": {str(number) for number in range(10)},
        "part": Part(names=frozenset("abcdef"), nonced="x"),
    }
    session = await repo.save(Everything(**values, nonced="x"))
    before = await repo.raw(session.tkn)
    for stale in (session, await repo.get(session.tkn)):
        for _ in range(3):
            await repo.save(stale)
    async with repo.edit(session.tkn) as edited:
        edited.roles = {*reversed([*edited.roles])}
        edited.part = edited.part.model_copy(deep=True)
    assert await repo.raw(session.tkn) == before


async def test_a_change_of_value_is_written_however_it_is_hidden(client: NdbClient) -> None:
    repo = Repository(client, Everything)
    session = await repo.save(Everything(roles={"a"}, part=Part(names=frozenset("ab")), nonced="x"))
    session.roles.add("b")
    session.part.names = frozenset("abc")
    session.nonced = "y"
    session.array = np.array([1.0, 3.0])
    await repo.save(session)
    read: Any = await repo.get(session.tkn)
    assert (read.roles, read.part.names, read.nonced, read.array.tolist()) == ({"a", "b"}, set("abc"), "y", [1.0, 3.0])


async def test_what_is_the_same_moment_is_no_change(client: NdbClient) -> None:
    repo = Repository(client, Everything)
    at = datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin"))
    session = await repo.save(Everything(at=at))
    await repo.update(session.tkn, at=at + timedelta(days=1))
    session.at = at.astimezone(ZoneInfo("UTC"))
    await repo.save(session)
    assert (await repo.get(session.tkn)).at == at + timedelta(days=1)


class Meeting(SessionModel):
    starts: ZonedDatetime
    others: dict[str, ZonedDatetime] = {}


async def test_a_zone_is_kept_and_its_change_is_one(client: NdbClient) -> None:
    repo = Repository(client, Meeting)
    berlin, paris = ZoneInfo("Europe/Berlin"), ZoneInfo("Europe/Paris")
    for fold in (0, 1):
        starts = datetime(2026, 10, 25, 2, 30, fold=fold, tzinfo=berlin)
        session = await repo.save(Meeting(starts=starts, others={"a": starts}))
        for read in ((await repo.get(session.tkn)).starts, (await repo.get(session.tkn)).others["a"]):
            assert (read.tzinfo, read.fold, read.hour) == (berlin, fold, 2)
        assert (await repo.get(session.tkn)).starts - timedelta(days=1) == starts - timedelta(days=1)
        await repo.update(session.tkn, starts=starts.astimezone(paris))
        assert (await repo.get(session.tkn)).starts.tzinfo == paris


class Ticket(SessionModel, schema="untouched-ticket"):
    """A field that is looked up, and written differently each time."""

    number: Annotated[int, Lookup()]
    owner: Annotated[Nonced, Lookup()] = ""
    tags: set[str] = set()


async def test_a_field_that_is_looked_up_is_moved_only_if_its_value_changes(client: NdbClient) -> None:
    repo = Repository(client, Ticket)
    session = await repo.save(Ticket(number=1, owner="a", tags=set("abc")))
    before = await repo.raw(session.tkn)
    keys = set(await client.kv_keys())
    session.tags = set("cba")
    await repo.save(session)
    assert await repo.raw(session.tkn) == before
    assert set(await client.kv_keys()) == keys
    session.number = 2
    await repo.save(session)
    assert [each.tkn for each in await repo.find(number=2)] == [session.tkn]
    assert await repo.find(number=1) == []


async def test_a_rotated_session_is_saved_like_the_one_before(client: NdbClient) -> None:
    repo = Repository(client, Everything)
    session = await repo.save(Everything(roles=set("abcdef"), nonced="x"))
    await repo.update(session.tkn, roles={"new"})
    await repo.rotate(session)
    session.seen = 1
    await repo.save(session)
    assert ((await repo.get(session.tkn)).roles, (await repo.get(session.tkn)).seen) == ({"new"}, 1)


class Old(SessionModel, schema="untouched-versioned"):
    roles: set[str] = set()
    seen: int = 0


class New(SessionModel, schema="untouched-versioned", version=2):
    roles: set[str] = set()
    nonced: Nonced = ""
    seen: int = 0


@New.upgrade(1)
def _with_word(keys: dict[str, Any]) -> dict[str, Any]:
    return {**keys, "nonced": "x"}


async def test_an_upgrade_writes_what_was_upgraded_and_what_has_changed(client: NdbClient) -> None:
    old = await Repository(client, Old).save(Old(roles=set("abcdef")))
    repo = Repository(client, New)
    session = await repo.get(old.tkn)
    roles = (await repo.raw(old.tkn))["roles"]
    session.seen = 1
    session.roles = {*reversed([*session.roles])}
    await repo.save(session)
    raw = await repo.raw(old.tkn)
    assert (raw["roles"], raw["nonced"], raw["seen"]) == (roles, '"x"', "1")
    await repo.update(old.tkn, roles={"new"})
    await repo.save(session)
    assert (await repo.get(old.tkn)).roles == {"new"}
