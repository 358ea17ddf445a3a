"""A save looks at the fields that may have changed, and only at them. What it must not miss, and must not write."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, create_model

from ndb_models import InvalidArgumentError, NdbClient, Repository, SessionModel, UnstorableError
from ndb_models.json_text import ObjectText, join_members
from ndb_models.protocol.commands import COMMANDS
from ndb_models.protocol.prepared import Prepared


class Kind(Enum):
    GUEST = "guest"
    USER = "user"


class Address(BaseModel):
    street: str = ""
    lines: list[str] = []


class Everything(SessionModel, schema="looked-at-everything"):
    name: str = "billy"
    age: int = 7
    ratio: float = 0.5
    price: Decimal = Decimal("1.50")
    since: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    kind: Kind = Kind.GUEST
    nick: str | None = None
    pair: tuple[int, ...] = (1, 2)
    short: Annotated[str, Field(max_length=5)] = "abc"
    roles: list[str] = []
    marks: set[int] = set()
    cart: dict[str, int] = {}
    home: Address = Address()
    homes: list[Address] = []


class Twin(str):
    """Equal to a str, and none."""


async def saved(client: NdbClient) -> tuple[Repository[Everything], Everything]:
    repo = Repository(client, Everything)
    tkn = (await repo.save(Everything(roles=["a"], homes=[Address(lines=["x"])]))).tkn
    return repo, await repo.get(tkn)


CHANGES: list[tuple[str, Any]] = [
    ("name", lambda s: setattr(s, "name", "".join(["bil", "ly2"]))),
    ("age", lambda s: setattr(s, "age", 1000)),
    ("ratio", lambda s: setattr(s, "ratio", -0.0)),
    ("price", lambda s: setattr(s, "price", Decimal("1.500"))),
    ("since", lambda s: setattr(s, "since", s.since + timedelta(microseconds=1))),
    ("kind", lambda s: setattr(s, "kind", Kind.USER)),
    ("nick", lambda s: setattr(s, "nick", "")),
    ("pair", lambda s: setattr(s, "pair", (1, 2, 3))),
    ("short", lambda s: setattr(s, "short", "abcd")),
    ("roles", lambda s: s.roles.append("b")),
    ("marks", lambda s: s.marks.add(7)),
    ("cart", lambda s: s.cart.update(apple=1)),
    ("home", lambda s: setattr(s.home, "street", "Elm")),
    ("homes", lambda s: s.homes[0].lines.append("y")),
    ("name", lambda s: s.__dict__.update(name="by the dict")),
]


@pytest.mark.parametrize(("name", "change"), CHANGES)
@pytest.mark.parametrize("how", ["read", "saved", "updated", "copied", "deep", "pickled"])
async def test_each_kind_of_change_is_written_and_nothing_else(
    client: NdbClient, name: str, change: Any, how: str
) -> None:
    repo, session = await saved(client)
    match how:
        case "saved":
            await repo.save(session)
        case "updated":
            session = await repo.update(session.tkn, name="billy")
        case "copied":
            session = session.model_copy()
        case "deep":
            session = copy.deepcopy(session)
        case "pickled":
            session = pickle.loads(pickle.dumps(session))
        case _:
            pass
    change(session)
    assert repo.unsaved(session) == {name}
    others: dict[str, Any] = {"name": "theirs", "age": 99}
    others.pop(name, None)
    await repo.update(session.tkn, **others)
    await repo.save(session)
    stored = await repo.get(session.tkn)
    assert getattr(stored, name) == getattr(session, name)
    assert str(getattr(stored, name)) == str(getattr(session, name))
    assert {other: getattr(stored, other) for other in others} == others


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", Twin("billy")),
        ("age", True),
        ("age", 7.0),
        ("ratio", 1),
        ("ratio", float("nan")),
        ("nick", 7),
        ("short", "abcdef"),
        ("roles", ("a",)),
        ("roles", [Twin("a")]),
        ("marks", frozenset()),
        ("home", {"street": ""}),
        ("name", "\ud800"),
    ],
)
async def test_a_value_that_would_not_come_back_is_refused(client: NdbClient, name: str, value: Any) -> None:
    repo, session = await saved(client)
    before = await repo.raw(session.tkn)
    session.__dict__[name] = value
    with pytest.raises(UnstorableError, match=name):
        await repo.save(session)
    assert await repo.raw(session.tkn) == before


async def test_a_time_keeps_its_offset(client: NdbClient) -> None:
    repo, session = await saved(client)
    session.since = datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    assert not repo.unsaved(session)  # the same moment
    session.since += timedelta(seconds=1)
    await repo.save(session)
    assert (await repo.get(session.tkn)).since.utcoffset() == timedelta(hours=1)


async def test_a_deleted_attribute_is_refused(client: NdbClient) -> None:
    repo, session = await saved(client)
    del session.__dict__["age"]
    with pytest.raises(UnstorableError, match="age"):
        await repo.save(session)


async def test_a_field_that_is_not_stored_yet_is_written_once_it_changes(client: NdbClient) -> None:
    repo, session = await saved(client)
    await client.sh_rmv(["age", "roles"], session.tkn)
    session = await repo.get(session.tkn)
    session.name = "other"
    await repo.save(session)
    assert not {"age", "roles"} & {*await repo.raw(session.tkn)}
    session.roles = ["z"]
    session.age = 8
    await repo.save(session)
    assert (await repo.get(session.tkn)).model_dump() == session.model_dump()


async def test_a_field_back_at_its_value_is_not_written(client: NdbClient) -> None:
    repo, session = await saved(client)
    session.name = "".join(["bi", "lly"])
    session.since = session.since.astimezone(UTC)
    session.roles = [*session.roles]
    assert not repo.unsaved(session)
    await repo.update(session.tkn, name="theirs", roles=["theirs"])
    await repo.save(session)
    stored = await repo.get(session.tkn)
    assert (stored.name, stored.roles) == ("theirs", ["theirs"])


class Stubborn(Enum):
    """Its members are never equal to anything."""

    ONE = "one"
    TWO = "two"

    def __eq__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return 7


class Odd(SessionModel, schema="looked-at-odd"):
    number: int = 1000
    ratio: float = 1000.0
    name: str = "é"
    time: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    which: Stubborn = Stubborn.ONE
    others: list[Stubborn] = []
    sums: dict[str, int] = {}


async def test_equal_values_are_not_written_whatever_text_other_programs_stored(client: NdbClient) -> None:
    repo = Repository(client, Odd)
    tkn = (await repo.save(Odd(others=[Stubborn.TWO], sums={"a": 1, "b": 2}))).tkn
    written = {
        "number": b"1000.0",
        "ratio": b"1e3",
        "name": b'"\\u00e9"',
        "time": b'"2026-01-01T00:00:00+00:00"',
        "sums": b'{"b":2, "a":1}',
        "others": b'["two" ]',
    }
    await client.perform(Prepared(COMMANDS["SH_SET"], tkn, values=ObjectText(join_members(written))))
    session = await repo.get(tkn)
    session.number = int("1000")
    session.ratio = float("1000")
    session.name = "".join(["e"]).replace("e", "é")
    session.time = session.time.replace()
    session.which = Stubborn("one")
    session.others = [Stubborn.TWO]
    session.sums = {"a": 1, "b": 2}
    assert not repo.unsaved(session)
    await repo.save(session)
    assert {name: text.encode() for name, text in (await repo.raw(tkn)).items() if name in written} == written
    session.which = Stubborn.TWO
    session.ratio = -1000.0
    session.others = [Stubborn.ONE]
    session.sums = {"b": 2}
    assert repo.unsaved(session) == {"which", "ratio", "others", "sums"}


class Group(BaseModel):
    members: frozenset[str] = frozenset()


class Sets(SessionModel, schema="looked-at-sets"):
    """As many fields that cannot change as others, so each field is looked at by itself."""

    seen: int = 0
    name: str = ""
    note: str = ""
    roles: set[int] = set()
    group: Group = Group()
    groups: dict[str, list[set[str]]] = {}


def reordered(items: Any) -> Any:
    """Return an equal set that is written in another order."""
    others = [type(items)([*items][shift:] + [*items][:shift]) for shift in range(len(items))]
    return next(other for other in others if [*other] != [*items])


async def test_a_set_in_another_order_is_not_written(client: NdbClient) -> None:
    repo = Repository(client, Sets)
    names = [f"name {number}" for number in range(200)]
    group, groups = Group(members=frozenset(names)), {"a": [{*names}]}
    saved = await repo.save(Sets(roles={8, 16, 0}, group=group, groups=groups))
    session = await repo.get(saved.tkn)
    session.roles = reordered(session.roles)
    session.group = Group(members=reordered(session.group.members))
    session.groups["a"][0] = reordered(session.groups["a"][0])
    assert not repo.unsaved(session)
    theirs: dict[str, Any] = {"roles": {99}, "group": Group(), "groups": {"b": [{"c"}]}}
    await repo.update(saved.tkn, **theirs)
    session.seen = 1
    await repo.save(session)
    assert await repo.get(saved.tkn) == Sets(seen=1, **theirs)


class Numbers(SessionModel, schema="looked-at-numbers"):
    one: Annotated[Decimal, Field(allow_inf_nan=True)] = Decimal(1)
    name: str = ""
    many: list[Annotated[Decimal, Field(allow_inf_nan=True)]] = []


async def test_a_number_that_cannot_be_compared_is_replaced(client: NdbClient) -> None:
    repo = Repository(client, Numbers)
    tkn = (await repo.save(Numbers())).tkn
    await client.sh_set({"one": "sNaN", "many": ["sNaN"]}, tkn)
    session = await repo.get(tkn)
    session.one, session.many = Decimal(2), [Decimal(3)]
    await repo.save(session)
    assert await repo.get(tkn) == Numbers(one=Decimal(2), many=[Decimal(3)])


async def test_an_update_shares_no_value_with_its_caller(client: NdbClient) -> None:
    repo, session = await saved(client)
    roles, home = ["x"], Address(lines=["1"])
    updated = await repo.update(session.tkn, roles=roles, home=home)
    roles.append("y")
    home.lines.append("2")
    assert (updated.roles, updated.home.lines) == (["x"], ["1"])
    assert not repo.unsaved(updated)


async def test_an_update_names_the_field_that_does_not_fit(client: NdbClient) -> None:
    repo, session = await saved(client)
    with pytest.raises(UnstorableError, match="short"):
        await repo.update(session.tkn, short="too long")
    with pytest.raises(UnstorableError, match="homes"):
        await repo.update(session.tkn, homes=[{"lines": 7}])  # type: ignore[ndb-value]
    with pytest.raises(InvalidArgumentError, match="nme"):
        await repo.update(session.tkn, nme="x")  # type: ignore[ndb-field]


async def test_a_pickle_is_read_by_a_class_with_its_fields_in_another_order(client: NdbClient) -> None:
    def declared(*names: str) -> Any:
        fields: dict[str, Any] = dict.fromkeys(names, (int, 0))
        return create_model("Counts", __base__=SessionModel, __module__=__name__, **fields)

    globals()["Counts"] = before = declared("one", "two")
    repo: Repository[Any] = Repository(client, before)
    session = await repo.get((await repo.save(before(one=0, two=1))).tkn)
    text = pickle.dumps(session)
    globals()["Counts"] = after = declared("two", "one")
    session = pickle.loads(text)
    session.one, session.two = 1, 0
    repo = Repository(client, after)
    await repo.save(session)
    stored = await repo.get(session.tkn)
    assert (stored.one, stored.two) == (1, 0)
