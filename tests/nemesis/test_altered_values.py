"""Values that a NemesisDB returns otherwise than it was sent them: refused by name there, kept everywhere else."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from enum import IntEnum
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, Json, JsonValue, PlainSerializer

from ndb_models import ConfigRepository, NdbClient, Repository, SessionModel, UnstorableError
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from ndb_models.stores.memory import MemoryStore
from tests.free_ports import free_port
from tests.nemesisdb import NemesisDbEngine
from tests.reloading import in_place_of
from tests.transport.servers import Host

BEYOND = 2**64


class Large(IntEnum):
    BEYOND = BEYOND


class Inner(BaseModel):
    z: int | float = 0
    a: OrderedDict[str, int] = OrderedDict()


def ordered_pairs(given: dict[str, int]) -> dict[str, int]:
    return PairedDict(given)


class PairedDict(dict[str, int]):
    """A dict of a user's, whose order counts."""

    def __eq__(self, other: object) -> bool:
        return type(other) is PairedDict and list(self.items()) == list(other.items())

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None


Paired = Annotated[dict[str, int], AfterValidator(ordered_pairs)]


class Everything(SessionModel, schema="altered-everything", extra="allow"):
    strict: Annotated[int, ...] = 0
    either: int | str = 0
    number: float = 0.0
    value: Any = None
    json_value: JsonValue = None
    items: list[int] = []
    ordered: OrderedDict[str, int] = OrderedDict()
    plain: dict[str, int] = {}
    paired: Paired = PairedDict()
    inner: Inner = Inner()
    large: Large | None = None
    written: Annotated[Decimal, PlainSerializer(int)] = Decimal(0)


ALTERED: dict[str, tuple[str, Any]] = {
    "an integer": ("strict", BEYOND),
    "a negative integer": ("strict", -(2**63) - 1),
    "an integer of a thousand digits": ("strict", 10**999),
    "an integer or a text": ("either", BEYOND),
    "an integer that is anything": ("value", BEYOND),
    "an integer deep in JSON": ("json_value", {"a": [[{"b": -BEYOND}]]}),
    "an integer in a list": ("items", [1, 2, BEYOND]),
    "an integer of an enumeration": ("large", Large.BEYOND),
    "an integer of a serializer": ("written", Decimal(BEYOND)),
    "an integer in an extra field": ("beyond", BEYOND),
    "an integer in a nested model": ("inner", Inner(z=BEYOND)),
    "a negative zero": ("number", -0.0),
    "a negative zero that is anything": ("value", [-0.0]),
    "a negative zero in a nested model": ("inner", Inner(z=-0.0)),
    "an ordered dict": ("ordered", OrderedDict(b=1, a=2)),
    "an ordered dict in a nested model": ("inner", Inner(a=OrderedDict(b=1, a=2))),
    "a dict of a user's with an order": ("paired", PairedDict(b=1, a=2)),
}
KEPT: dict[str, tuple[str, Any]] = {
    "the largest integer": ("either", BEYOND - 1),
    "the smallest integer": ("either", -(2**63)),
    "a time in nanoseconds": ("value", 1795426113855000000),
    "a text of digits": ("either", str(BEYOND)),
    "a text of a zero": ("value", '-0.0"\\'),
    "a name of digits": ("value", {str(BEYOND): "-0.0"}),
    "a large float": ("number", 1e22),
    "the largest float": ("number", 1.7976931348623157e308),
    "the smallest float": ("number", 5e-324),
    "a negative float": ("number", -0.05),
    "a float that is whole": ("value", 5.0),
    "a float of 17 digits": ("number", 0.30000000000000004),
    "a dict": ("plain", {"b": 1, "a": 2}),
    "an ordered dict in the order of its names": ("ordered", OrderedDict(a=1, b=2)),
    "a nested model": ("inner", Inner(z=1)),
    "a dict of a user's in order": ("paired", PairedDict(a=1, b=2)),
    "names beyond the BMP": ("ordered", OrderedDict([("\uffff", 1), ("\U00010000", 2)])),
}

altered = pytest.mark.parametrize(("field", "value"), ALTERED.values(), ids=ALTERED)


@pytest.fixture
def sessions(nemesisdb_client: NdbClient) -> Repository[Everything]:
    return Repository(nemesisdb_client, Everything)


def assert_refused(error: UnstorableError, field: str, value: Any) -> None:
    assert [name for name, _ in error.problems] == [field]
    shown = f"{error} {error.__cause__} {error.__context__}"
    assert "18446744073709551616" not in shown
    assert "server" in shown


async def edit(sessions: Repository[Everything], tkn: int, **changes: Any) -> None:
    async with sessions.edit(tkn) as session:
        for name, value in changes.items():
            setattr(session, name, value)


async def nothing_is_stored(client: NdbClient) -> bool:
    totals = await client.sh_info_all()
    return (totals["totalSessions"], totals["totalKeys"], await client.kv_count()) == (0, 0, 0)


class TestSessions:
    @altered
    @pytest.mark.parametrize("verb", ["create", "save"])
    async def test_what_would_be_altered_is_not_created(
        self, sessions: Repository[Everything], nemesisdb_client: NdbClient, verb: str, field: str, value: Any
    ) -> None:
        create = sessions.create if verb == "create" else sessions.save
        with pytest.raises(UnstorableError) as refused:
            await create(Everything(**{field: value}))
        assert_refused(refused.value, field, value)
        assert await nothing_is_stored(nemesisdb_client)

    @altered
    async def test_what_would_be_altered_is_not_written_over_what_is_there(
        self, sessions: Repository[Everything], field: str, value: Any
    ) -> None:
        tkn = (await sessions.save(Everything(either="as it was"))).tkn
        with pytest.raises(UnstorableError) as refused:
            await sessions.update(tkn, **{field: value})
        assert_refused(refused.value, field, value)
        with pytest.raises(UnstorableError):
            await edit(sessions, tkn, other="otherwise", **{field: value})
        assert (await sessions.get(tkn)) == Everything(either="as it was")

    @altered
    async def test_of_many_only_that_one_is_refused(
        self, sessions: Repository[Everything], field: str, value: Any
    ) -> None:
        results = await sessions.save_many([Everything(), Everything(**{field: value}), Everything()])
        assert [isinstance(result, UnstorableError) for result in results] == [False, True, False]

    @pytest.mark.parametrize(("field", "value"), KEPT.values(), ids=KEPT)
    async def test_all_else_comes_back_equal(self, sessions: Repository[Everything], field: str, value: Any) -> None:
        saved = await sessions.save(Everything(**{field: value}))
        read = await sessions.get(saved.tkn)
        assert read == saved
        assert type(getattr(read, field)) is type(getattr(saved, field))

    async def test_a_field_that_is_not_written_is_no_reason_to_refuse(self, nemesisdb_client: NdbClient) -> None:
        class Before(SessionModel, schema="grown"):
            visits: int = 0

        @in_place_of(Before)
        class After(SessionModel, schema="grown"):
            visits: int = 0
            balance: float = -0.0

        tkn = (await Repository(nemesisdb_client, Before).save(Before())).tkn
        assert (await Repository(nemesisdb_client, After).update(tkn, visits=1)).visits == 1


class Plain(SessionModel, schema="altered-plain"):
    """No field whose order counts, so the numbers alone are a reason to look."""

    seen: int = 0
    number: float = 0.0
    items: list[int] = []


@pytest.mark.parametrize(("field", "value"), [("seen", BEYOND), ("number", -0.0), ("items", [1, -BEYOND])])
async def test_a_number_is_refused_by_every_verb_where_no_order_counts(
    nemesisdb_client: NdbClient, field: str, value: Any
) -> None:
    repo = Repository(nemesisdb_client, Plain)
    with pytest.raises(UnstorableError, match=field):
        await repo.create(Plain(**{field: value}))
    tkn = (await repo.save(Plain(seen=1, items=[1]))).tkn
    before = await repo.raw(tkn)
    for session in (await repo.get(tkn), (await repo.get(tkn)).model_copy(deep=True)):
        setattr(session, field, value)
        with pytest.raises(UnstorableError, match=field):
            await repo.save(session)
    with pytest.raises(UnstorableError, match=field):
        await repo.update(tkn, **{field: value})
    with pytest.raises(UnstorableError, match=field):
        async with repo.edit(tkn) as session:
            setattr(session, field, value)
    assert await repo.raw(tkn) == before


class Settings(BaseModel):
    either: int | str = 0
    number: float = 0.0
    ordered: OrderedDict[str, int] = OrderedDict()
    value: Any = None


async def edit_config(config: ConfigRepository[Settings], field: str, value: Any) -> None:
    async with config.edit() as current:
        setattr(current, field, value)


SETTINGS = {name: case for name, case in ALTERED.items() if case[0] in Settings.model_fields}


class TestConfigurations:
    @pytest.mark.parametrize(("field", "value"), SETTINGS.values(), ids=SETTINGS)
    async def test_what_would_be_altered_is_not_written(
        self, nemesisdb_client: NdbClient, field: str, value: Any
    ) -> None:
        config = ConfigRepository(nemesisdb_client, Settings, namespace="app")
        with pytest.raises(UnstorableError) as refused:
            await config.save(Settings(**{field: value}))
        assert_refused(refused.value, field, value)
        with pytest.raises(UnstorableError):
            await config.update(**{field: value})
        if value != 0:
            with pytest.raises(UnstorableError):
                await edit_config(config, field, value)
        assert await nemesisdb_client.kv_count() == 0

    async def test_all_else_comes_back_equal(self, nemesisdb_client: NdbClient) -> None:
        config = ConfigRepository(nemesisdb_client, Settings, namespace="app")
        given = Settings(either=BEYOND - 1, number=1e22, ordered=OrderedDict(a=1, b=2), value={"b": 1, "a": [5.0]})
        await config.save(given)
        assert await config.load() == given


@altered
async def test_servers_of_this_package_keep_all_of_it(client: NdbClient, field: str, value: Any) -> None:
    repo = Repository(client, Everything)
    saved = await repo.save(Everything(**{field: value}))
    read = await repo.get(saved.tkn)
    assert read == saved
    assert math.copysign(1, read.number) == math.copysign(1, saved.number)
    assert (await repo.update(saved.tkn, **{field: value})) == saved


class TestAskingWhatTheServerIs:
    @pytest.fixture
    async def host(self) -> AsyncIterator[Host]:
        async with Host() as host:
            yield host

    @staticmethod
    def asked(host: Host) -> int:
        return sum(request.startswith(b'{"SV_INFO"') for request in host.requests)

    async def test_is_left_out_where_nothing_is_at_risk(self, host: Host) -> None:
        class Plain(SessionModel, schema="unaltered-plain"):
            number: float = 1.5
            ids: list[int] = [10**17]
            names: dict[str, str] = {"b": "-0.5", "a": "1234567890"}

        async with NdbClient.connect(host.uri) as client:
            repo = Repository(client, Plain)
            session = await repo.save(Plain())
            await repo.update(session.tkn, number=-2.5)
        assert self.asked(host) == 0

    async def test_is_done_once_for_each_connection(self, host: Host) -> None:
        async with NdbClient.connect(host.uri) as client:
            repo = Repository(client, Everything)
            await repo.save_many(Everything(either=BEYOND) for _ in range(20))
            await repo.save(Everything(ordered=OrderedDict(b=1, a=2)))
            assert self.asked(host) == 1
            await client.open(host.uri)
            await repo.save(Everything(either=BEYOND))
        assert self.asked(host) == 2

    async def test_is_done_again_when_another_server_has_taken_the_place(self) -> None:
        async def serving(engine: Callable[[], Any], port: int) -> NdbServer:
            server = NdbServer(engine(), ServerOptions(port=port))
            await server.start()
            return server

        from ndb_models.engine import Engine

        port = free_port()
        first = await serving(lambda: Engine(MemoryStore()), port)
        async with NdbClient.connect(first.uri) as client:
            repo = Repository(client, Everything)
            await repo.save(Everything(either=BEYOND))
            await first.stop()
            second = await serving(lambda: NemesisDbEngine(MemoryStore()), port)
            try:
                with pytest.raises(UnstorableError):
                    await repo.save(Everything(either=BEYOND))
                assert await client.server_version() == "0.7.2"
            finally:
                await second.stop()

    @pytest.mark.parametrize("version", ["0.7.2", "0.8.0", "1.0", "", "some other server"])
    async def test_takes_any_other_server_for_one_that_alters_values(self, version: str) -> None:
        engine = NemesisDbEngine(MemoryStore(), version=version)
        async with (
            NdbServer(engine, ServerOptions(port=0)) as server,
            NdbClient.connect(server.uri) as client,
        ):
            with pytest.raises(UnstorableError):
                await Repository(client, Everything).save(Everything(either=BEYOND))
            assert await client.server_version() == version


class Document(SessionModel):
    stored: Json[dict[str, int]] = {}


async def test_what_is_in_a_string_is_not_looked_into(nemesisdb_client: NdbClient) -> None:
    repo = Repository(nemesisdb_client, Document)
    saved = await repo.save(Document(stored='{"b": 18446744073709551616, "a": 1}'))  # type: ignore[arg-type]  # JSON
    assert (await repo.get(saved.tkn)).stored == {"b": BEYOND, "a": 1}
