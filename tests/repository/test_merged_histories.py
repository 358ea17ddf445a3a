"""Any changes by several programs at once, command by command: the session is what a plain model of merging makes of it.

The model knows plain values alone, and the order in which writes were carried out. Each field of a save is merged once,
with what is stored when it is written.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import reduce
from typing import Annotated, Any, Final

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
    shop.page = key * 300


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


class WatchedTransport(SteppedTransport):
    """Notes the writes of a program to the session of a history."""

    def __init__(self, engine: Engine, history: History, program: int) -> None:
        super().__init__(engine)
        self._history = history
        self._program = program
        self.tkn = 0

    async def _perform(self, prepared: Prepared) -> dict[str, Any]:
        answer = await super()._perform(prepared)
        if prepared.tkn != self.tkn or answer["st"] != 1:
            return answer
        if prepared.command.name == "SH_SET" or (prepared.command.name == "SH_CHANGE" and answer["done"]):
            self._history.write(self._program, [*(prepared.values or ())])
        return answer

    async def request(self, exchange: Exchange) -> bytes:
        answer = await super().request(exchange)
        if json.loads(exchange.frame) == {"SH_END": {"tkn": self.tkn}}:
            self._history.has_ended = True
        return answer


CHANGE = st.tuples(st.sampled_from(CHANGES), st.sampled_from("abc"), st.integers(0, 4))


@dataclass(frozen=True)
class Program:
    """A program: the class that it has, its largest frame, and its edits. One that is to end the session does so last."""

    model: type[Fields]
    max_payload: int | None
    edits: Sequence[Sequence[Change]]
    ends: bool


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


def changed(shop: Fields, changes: Sequence[Change]) -> Fields:
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


async def carried_out(start: Sequence[Change], parties: Sequence[Program], order: Sequence[int]) -> None:
    """Have programs edit one session, one command at a time, and compare it with the model."""
    engine = Engine(MemoryStore())
    watching = EngineClient(engine)
    shop = changed(Shop(), start)
    history = History(plain(shop))
    tkn = (await Repository(watching, Shop).save(shop)).tkn
    transports = [WatchedTransport(engine, history, number) for number in range(len(parties))]
    doing = []
    for number, (program, transport) in enumerate(zip(parties, transports, strict=True)):
        transport.tkn = tkn
        repo = Repository(TransportClient(transport, program.max_payload), program.model)
        doing.append(run(program, number, repo, tkn, history))
    turns = Turns(transports, doing)
    choices = itertools.chain(order, itertools.count())
    while not turns.over:
        ready = await turns.ready()
        if ready:
            turns.step(ready[next(choices) % len(ready)])
        else:
            await asyncio.sleep(0.001)  # a save waits before it tries again
    assert await turns.results() == [None] * len(parties)
    found = {number: [each.tkn for each in await Repository(watching, NewShop).find(user=number)] for number in range(5)}
    if history.has_ended:
        assert not await Repository(watching, NewShop).exists(tkn)
        assert not any(found.values())
        return
    assert plain(await Repository(watching, NewShop).get(tkn)) == {**history.stored, "upgraded": True}
    assert found == {number: [tkn] * (number == history.stored["user"]) for number in range(5)}


@settings(max_examples=50, deadline=None)
@given(st.lists(CHANGE, max_size=6), st.lists(programs(2), min_size=2, max_size=4), st.lists(st.integers(0, 3), max_size=40))
async def test_whatever_several_programs_change_is_merged_as_the_model_merges_it(
    start: list[Change], parties: list[Program], order: list[int]
) -> None:
    await carried_out(start, parties, order)


@settings(max_examples=10, deadline=None)
@given(st.lists(CHANGE, max_size=6), st.lists(st.lists(CHANGE, min_size=1, max_size=6), min_size=2, max_size=3))
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
