"""Any changes by several programs at once, command by command, do what a plain model of merging says.

The model knows plain values alone, and the order in which writes were carried out. Each field of a save is merged once,
with what is stored when it is written.
"""

# The merged values have no types.
# pyright: reportUnknownVariableType=false

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import reduce
from typing import Annotated, Any, Final, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from ndb_models import Lookup, Merge, NdbClient, NewerVersionError, Repository, SessionGoneError, SessionModel
from ndb_models.engine import Engine
from ndb_models.protocol.exchange import Exchange
from ndb_models.protocol.prepared import Prepared
from ndb_models.server import NdbServer, ServerOptions
from ndb_models.stores.memory import MemoryStore
from tests.lookup.turns import SteppedTransport, TransportClient, Turns
from tests.reloading import in_place_of
from tests.repository.session_world import EngineClient

SMALL: Final = 1024


class Basket(BaseModel):
    name: str = ""
    items: dict[str, int] = {}


class Fields(SessionModel):
    cart: dict[str, int] = {}
    tree: dict[str, dict[str, int]] = {}
    tags: set[int] = set()
    log: list[str] = []
    count: Annotated[int, Merge.add] = 0
    best: Annotated[int, Merge.max] = 0
    page: str = ""
    basket: Basket = Basket()
    anything: int | str | list[int] | dict[str, int] | None = None
    user: Annotated[int, Lookup()] = 0


class Shop(Fields, schema="merged-history"):
    pass


@in_place_of(Shop)
class NewShop(Fields, schema="merged-history", version=2):
    upgraded: bool = False


@NewShop.upgrade(1)
def to_new(keys: dict[str, Any]) -> dict[str, Any]:
    return {**keys, "upgraded": True}


# What a program does to a session that it has read.


def _put(shop: Fields, key: str, number: int) -> None:
    shop.cart[key] = number


def _take(shop: Fields, key: str, number: int) -> None:
    shop.cart.pop(key, None)
    shop.tree.pop(key, None)


def _plant(shop: Fields, key: str, number: int) -> None:
    shop.tree.setdefault(key, {})[f"{number}"] = number


def _tag(shop: Fields, key: str, number: int) -> None:
    shop.tags ^= {number, number + 1}


def _append(shop: Fields, key: str, number: int) -> None:
    shop.log.append(key)


def _cut(shop: Fields, key: str, number: int) -> None:
    shop.log = shop.log[number:]


def _count(shop: Fields, key: str, number: int) -> None:
    shop.count += number - 1
    shop.best = number


def _turn(shop: Fields, key: str, number: int) -> None:
    shop.page = key * 600


def _rename(shop: Fields, key: str, number: int) -> None:
    shop.basket.name = key * 300
    shop.basket.items[key] = number


def _replace(shop: Fields, key: str, number: int) -> None:
    """Give it a value of another type."""
    values: Sequence[int | str | list[int] | dict[str, int] | None] = (number, key * 300, [number], {key: number}, None)
    shop.anything = values[number]


def _grow(shop: Fields, key: str, number: int) -> None:
    match shop.anything:
        case list():
            shop.anything.append(number)
        case dict():
            shop.anything[key] = number
        case _:
            shop.anything = [number] if number % 2 else {key: number}


def _move(shop: Fields, key: str, number: int) -> None:
    shop.user = number


CHANGES: Final = (_put, _take, _plant, _tag, _append, _cut, _count, _turn, _rename, _replace, _grow, _move)
S = TypeVar("S", bound=Fields)
Change = tuple[Callable[[Fields, str, int], None], str, int]

# A model of merging, on plain values.

MISSING: Final = object()


def merged(name: str, base: Any, mine: Any, theirs: Any) -> Any:
    if base == mine:
        return theirs
    if name == "count":
        return theirs + mine - base
    if name == "best" and theirs != base:
        return max(mine, theirs)
    return by_structure(base, mine, theirs)


def by_structure(base: Any, mine: Any, theirs: Any) -> Any:
    if base == mine:
        return theirs
    if base == theirs or type(mine) is not type(theirs):
        return mine
    base = type(mine)() if base in (None, MISSING) else base
    if type(base) is not type(mine):
        return mine
    match mine:
        case set():
            return (theirs - (base - mine)) | (mine - base)
        case dict():
            found = {key: value for key, value in theirs.items() if key in mine or key not in base}
            for key, value in mine.items():
                found[key] = by_structure(base.get(key, MISSING), value, theirs.get(key, MISSING))
            return {key: value for key, value in found.items() if value is not MISSING}
        case list():
            if mine[: len(base)] == base:
                return [*theirs, *mine[len(base) :]]
            return [*mine, *theirs[len(base) :]] if theirs[: len(base)] == base else mine
        case _:
            return mine


@dataclass
class Edit:
    """A change of a session by one program: what it read, and what it made of it."""

    base: dict[str, Any]
    mine: dict[str, Any]


@dataclass
class History:
    """What is stored, as the model has it, and the edits under way."""

    stored: dict[str, Any]
    edits: dict[int, Edit] = field(default_factory=dict)
    has_ended: bool = False

    def write(self, program: int, names: Sequence[str]) -> None:
        """Note that fields of a program's edit were written."""
        assert not self.has_ended
        edit = self.edits[program]
        for name in names:
            if name == "upgraded":
                self.stored[name] = True
            elif name in edit.mine:
                self.stored[name] = merged(name, edit.base[name], edit.mine[name], self.stored[name])
                edit.base[name] = edit.mine[name]  # a change is made once


class WatchedTransport(SteppedTransport):
    """Notes the writes of a program to the session of its history."""

    def __init__(self, engine: Engine, program: int) -> None:
        super().__init__(engine)
        self._program = program
        self.tkn = 0
        self.history = History({})

    async def _perform(self, prepared: Prepared) -> dict[str, Any]:
        answer = await super()._perform(prepared)
        if prepared.tkn != self.tkn or answer["st"] != 1:
            return answer
        if prepared.command.name == "SH_SET" or (prepared.command.name == "SH_CHANGE" and answer["done"]):
            self.history.write(self._program, [*(prepared.values or ())])
        return answer

    async def request(self, exchange: Exchange) -> bytes:
        answer = await super().request(exchange)
        if json.loads(exchange.frame) == {"SH_END": {"tkn": self.tkn}}:
            self.history.has_ended = True
        return answer


CHANGE = st.tuples(st.sampled_from(CHANGES), st.sampled_from("abc"), st.integers(0, 4))
STARTS = st.lists(CHANGE, max_size=6)


@dataclass(frozen=True)
class Program:
    """A program: the class that it has, its largest frame, its edits, and whether it ends the session after them."""

    model: type[Fields]
    max_payload: int | None
    edits: Sequence[Sequence[Change]]
    ends: bool = False


def programs(most_edits: int) -> st.SearchStrategy[Program]:
    return st.builds(
        Program,
        model=st.sampled_from([Shop, Shop, NewShop]),
        max_payload=st.sampled_from([None, SMALL]),
        edits=st.lists(st.lists(CHANGE, min_size=1, max_size=6), min_size=1, max_size=most_edits),
        ends=st.integers(0, 9).map(lambda drawn: drawn == 9),
    )


def plain(shop: Fields) -> dict[str, Any]:
    return {"upgraded": False, **shop.model_dump()}


def changed(shop: S, changes: Sequence[Change]) -> S:
    for change, key, number in changes:
        change(shop, key, number)
    return shop


async def run(program: Program, number: int, repo: Repository[Any], tkn: int, history: History) -> None:
    """Edit a session as a program does. Code of before an upgrade is refused after it."""
    try:
        for changes in program.edits:
            shop = await repo.get(tkn)
            base = plain(shop)
            history.edits[number] = Edit(base, plain(changed(shop, changes)))
            await repo.save(shop)
        if program.ends:
            await repo.delete(tkn)
    except SessionGoneError:
        assert history.has_ended
    except NewerVersionError:
        assert program.model is Shop
        assert history.stored["upgraded"]


class Stage:
    """An engine, and programs that change one session of it after the other."""

    def __init__(self, parties: Sequence[Program]) -> None:
        engine = Engine(MemoryStore())
        client = EngineClient(engine)
        self._old, self._new = Repository(client, Shop), Repository(client, NewShop)
        self._parties = parties
        self._transports = [WatchedTransport(engine, number) for number in range(len(parties))]
        self._repos = [
            Repository(TransportClient(transport, program.max_payload), program.model)
            for program, transport in zip(parties, self._transports, strict=True)
        ]

    async def play(self, start: Sequence[Change], order: Sequence[int]) -> None:
        """Have the programs edit a new session, one command at a time, and compare it with the model."""
        shop = changed(Shop(), start)
        history = History(plain(shop))
        tkn = (await self._old.save(shop)).tkn
        doing: list[Coroutine[Any, Any, None]] = []
        for number, (program, repo) in enumerate(zip(self._parties, self._repos, strict=True)):
            self._transports[number].tkn, self._transports[number].history = tkn, history
            doing.append(run(program, number, repo, tkn, history))
        turns = Turns(self._transports, doing)
        choices = itertools.chain(order, itertools.count())
        while not turns.over:
            ready = await turns.ready()
            if ready:
                turns.step(ready[next(choices) % len(ready)])
            else:
                await asyncio.sleep(0.001)  # a save waits before it tries again
        assert await turns.results() == [None] * len(doing)
        await self._compare(tkn, history)

    async def _compare(self, tkn: int, history: History) -> None:
        found = [number for number in range(5) if tkn in [each.tkn for each in await self._new.find(user=number)]]
        if history.has_ended:
            assert not await self._new.exists(tkn)
            assert not found
        else:
            assert plain(await self._new.get(tkn)) == {**history.stored, "upgraded": True}
            assert found == [history.stored["user"]]
            await self._new.delete(tkn)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(CHANGE, max_size=6),
    st.lists(programs(2), min_size=2, max_size=4),
    st.lists(st.integers(0, 3), max_size=40),
)
async def test_whatever_several_programs_change_is_merged_as_the_model_merges_it(
    start: list[Change], parties: list[Program], order: list[int]
) -> None:
    await Stage(parties).play(start, order)


# The first commands of two programs that are done in each order.
ORDERED: Final = 6

# Pairs of programs with what they do, after a start.
PAIRS: Final[dict[str, tuple[Sequence[Change], Sequence[Program]]]] = {
    "a list is cut and appended to": (
        [(_append, "a", 0), (_append, "b", 0)],
        [Program(Shop, None, [[(_cut, "", 1)]]), Program(Shop, None, [[(_append, "c", 0), (_count, "", 3)]])],
    ),
    "a change takes several frames": (
        [(_count, "", 2)],
        [
            Program(
                Shop, SMALL, [[(_count, "", 4), (_turn, "a", 0), (_rename, "a", 1), (_replace, "a", 1), (_tag, "", 1)]]
            ),
            Program(Shop, None, [[(_rename, "b", 2)], [(_tag, "", 2), (_count, "", 3)]]),
        ],
    ),
}


@pytest.mark.parametrize("pair", PAIRS)
async def test_two_programs_are_merged_in_each_order_of_their_commands(pair: str) -> None:
    start, parties = PAIRS[pair]
    stage = Stage(parties)
    for order in itertools.product((0, 1), repeat=ORDERED):
        await stage.play(start, order)


@settings(max_examples=10, deadline=None)
@given(STARTS, st.lists(st.lists(CHANGE, min_size=1, max_size=6), min_size=2, max_size=3))
async def test_each_field_is_what_some_order_of_the_saves_makes_of_it_through_a_server_of_small_frames(
    start: list[Change], edits: list[list[Change]]
) -> None:
    async with AsyncExitStack() as stack:
        server = NdbServer(Engine(MemoryStore()), ServerOptions(port=0, max_payload=SMALL))
        uri = (await stack.enter_async_context(server)).uri
        clients = [await stack.enter_async_context(NdbClient.connect(uri, max_payload=SMALL)) for _ in edits]
        repos = [Repository(client, Shop) for client in clients]
        tkn = (await repos[0].save(changed(Shop(), start))).tkn
        shops = [await repo.get(tkn) for repo in repos]
        before = plain(shops[0])
        made = [plain(changed(shop, changes)) for shop, changes in zip(shops, edits, strict=True)]
        await asyncio.gather(*[repo.save(shop) for repo, shop in zip(repos, shops, strict=True)])
        stored = plain(await repos[0].get(tkn))
        for name, value in stored.items():
            assert value in [
                reduce(lambda now, mine: merged(name, before[name], mine[name], now), order, before[name])
                for order in itertools.permutations(made)
            ]
        assert [each.tkn for each in await repos[0].find(user=stored["user"])] == [tkn]
