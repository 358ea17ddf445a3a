"""No error of any verb holds a value: not in its message, its cause or context, its arguments, nor its attributes."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, TypeAlias

import pytest
from pydantic import AfterValidator, BaseModel, PlainSerializer, PrivateAttr, SecretBytes, SecretStr, model_validator
from pydantic_core import PydanticSerializationError

from ndb_models import (
    ConfigRepository,
    JsonValue,
    Lookup,
    NdbClient,
    NdbError,
    ProtocolError,
    Repository,
    SessionModel,
)
from ndb_models.client.transport import Transport
from ndb_models.protocol.exchange import Exchange
from ndb_models.protocol.prepared import Prepared
from tests.leaks import CANARY, leaks_of
from tests.lookup.faults import FaultyClient

pytestmark = pytest.mark.unmeasured

SURROGATE = CANARY + "\ud800"


class TelltaleError(Exception):
    """What a user's function raises, with the value that it was given."""


class Telltale:
    """Shows what it holds."""

    def __repr__(self) -> str:
        return CANARY

    __str__ = __repr__


class Unshowable:
    """Raises what it holds, whatever is done with it."""

    def __repr__(self) -> str:
        raise TelltaleError(CANARY)

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        raise TelltaleError(CANARY)

    __hash__ = None  # type: ignore[assignment]  # what says when it is equal says how it is hashed


def refusing(value: object) -> object:
    if value not in (None, "", 1):
        raise ValueError(f"{value} is refused")
    return value


def raising(value: object) -> object:
    if value not in (None, "", 1):
        raise TelltaleError(str(value))
    return value


def claiming(value: object) -> object:
    if value not in (None, ""):
        raise PydanticSerializationError(f"Unable to serialize unknown type: {value}")
    return value


class Inner(BaseModel):
    text: str = ""
    data: Any = None


class Loose(SessionModel, schema="leaks-loose"):
    text: Annotated[str, Lookup()] = ""
    number: Annotated[int, Lookup(unique=True)] = 1
    raw: bytes = b""
    ratio: float = 0.0
    data: dict[str, Any] = {}
    anything: Any = None
    inner: Inner = Inner()
    refused: Annotated[Any, AfterValidator(refusing)] = None
    written: Annotated[Any, PlainSerializer(raising)] = None
    claimed: Annotated[Any, PlainSerializer(claiming)] = None
    secret: SecretStr = SecretStr("")
    key: SecretBytes = SecretBytes(b"")
    _memo: Any = PrivateAttr(default=None)


class Whole(SessionModel, schema="leaks-whole"):
    """The model as a whole is refused."""

    text: str = ""

    @model_validator(mode="after")
    def refuse(self) -> Whole:
        assert not self.text, f"{self.text} is refused"
        return self


class Open(SessionModel, schema="leaks-open", extra="allow"):
    text: str = ""


class Settings(BaseModel):
    text: str = ""
    data: dict[str, Any] = {}
    refused: Annotated[Any, AfterValidator(refusing)] = None
    written: Annotated[Any, PlainSerializer(raising)] = None
    secret: SecretStr = SecretStr("")


def nested(levels: int) -> Any:
    value: Any = CANARY
    for _ in range(levels):
        value = [value]
    return value


ANYTHING: dict[str, Any] = {
    "a lone surrogate": SURROGATE,
    "a lone surrogate below": {"a": [SURROGATE]},
    "a lone surrogate in a name": {SURROGATE: 1},
    "bytes that are no text": CANARY.encode() + b"\xff",
    "a huge integer": 10**5000,
    "not a number": [CANARY, math.nan],
    "deep nesting": nested(600),
    "deeper nesting": nested(100_000),
    "an object that tells": Telltale(),
    "an object that raises": [CANARY, Unshowable()],
    "a name that tells": {CANARY: Telltale()},
    "an error": TelltaleError(CANARY),
    "a set": {CANARY},
    "an integer as a name": {1: CANARY},
}

BAD: dict[str, tuple[str, Any]] = {
    **{f"{name} in anything": ("anything", value) for name, value in ANYTHING.items()},
    **{f"{name} in a dict": ("data", {"a": value}) for name, value in ANYTHING.items()},
    "a lone surrogate in a text": ("text", SURROGATE),
    "another type": ("text", [CANARY]),
    "a text for a number": ("number", CANARY),
    "a huge number": ("number", 10**5000),
    "bytes": ("raw", CANARY.encode() + b"\xff"),
    "no number": ("ratio", math.nan),
    "a nested model with another type": ("inner", Inner.model_construct(text=[CANARY])),  # type: ignore[arg-type]  # wrong
    "a nested model that tells": ("inner", Inner(data=Telltale())),
    "a nested surrogate": ("inner", Inner(text=SURROGATE)),
    "what a validator refuses": ("refused", CANARY),
    "what a serializer refuses": ("written", CANARY),
    "what a serializer says of a type": ("claimed", CANARY),
    "a secret with a surrogate": ("secret", SecretStr(SURROGATE)),
    "a secret that is no text": ("key", SecretBytes(CANARY.encode() + b"\xff")),
    "a secret of another type": ("secret", CANARY),
    "what a validator refuses of a surrogate": ("refused", SURROGATE),
    "a private attribute": ("_memo", CANARY),
    "a private surrogate": ("_memo", SURROGATE),
    "a private attribute that raises": ("_memo", Unshowable()),
}

Doing: TypeAlias = Callable[[Repository[Loose], int, str, Any], Awaitable[object]]


def spoilt(name: str, value: object) -> Loose:
    session = Loose()
    setattr(session, name, value)
    return session


async def save_changed(repo: Repository[Loose], tkn: int, name: str, value: object) -> None:
    session = await repo.get(tkn)
    setattr(session, name, value)
    await repo.save(session)


async def edit(repo: Repository[Loose], tkn: int, name: str, value: object) -> None:
    async with repo.edit(tkn) as session:
        setattr(session, name, value)


WRITING: dict[str, Doing] = {
    "create": lambda repo, _, name, value: repo.create(spoilt(name, value)),
    "save": lambda repo, _, name, value: repo.save(spoilt(name, value)),
    "save changed": save_changed,
    "save many": lambda repo, _, name, value: repo.save_many([spoilt(name, value)]),
    "update": lambda repo, tkn, name, value: repo.update(tkn, **{name: value}),
    "edit": edit,
    "find": lambda repo, _, name, value: repo.find(**{name: value}),
    "find one": lambda repo, _, name, value: repo.find_one(number=value),
    "end all": lambda repo, _, name, value: repo.end_all_for(text=value),
    "get": lambda repo, _, name, value: repo.get(value),
    "exists": lambda repo, _, name, value: repo.exists(value),
    "delete many": lambda repo, _, name, value: repo.delete_many([value]),
}


async def error_of(doing: Awaitable[object]) -> NdbError | None:
    """Return the error of ours that is raised, or is in what is returned."""
    try:
        result = await doing
    except NdbError as exc:
        return exc
    except (TelltaleError, RecursionError):  # what a function of the user's raises is the user's
        return None
    return next((each for each in result if isinstance(each, NdbError)), None) if isinstance(result, list) else None


@contextmanager
def quiet_logs(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Log everything, and see to it that nothing of the values is in it."""
    caplog.set_level(logging.DEBUG)
    yield
    assert CANARY not in caplog.text


@pytest.mark.parametrize("verb", WRITING)
async def test_no_error_of_a_value_that_is_given_holds_it(
    client: NdbClient, verb: str, caplog: pytest.LogCaptureFixture
) -> None:
    repo = Repository(client, Loose)
    leaks: dict[str, list[str]] = {}
    errors = 0
    with quiet_logs(caplog):
        for kind, (name, value) in BAD.items():
            saved = await repo.save(Loose(number=len(leaks) + errors + 2))
            error = await error_of(WRITING[verb](repo, saved.tkn, name, value))
            if error is not None:
                errors += 1
                leaks[kind] = leaks_of(error)
            await repo.delete(saved.tkn)
    assert {kind: where for kind, where in leaks.items() if where} == {}
    assert errors > len(BAD) // 2


STORED: dict[str, dict[str, Any]] = {
    "another type": {"text": [CANARY]},
    "a text for a number": {"number": CANARY},
    "what a validator refuses": {"refused": CANARY},
    "another type below": {"inner": {"text": [CANARY], CANARY: 1}},
    "a secret of another type": {"secret": [CANARY], "key": {"a": CANARY}},
    "no object for an object": {"data": [CANARY]},
    "several": {"text": [CANARY], "number": CANARY, "ratio": CANARY, "raw": [CANARY]},
    "an envelope that is none": {"__ndb__": CANARY},
    "an envelope of another kind": {"__ndb__": {"schema": [CANARY], "version": CANARY}},
    "an envelope with another token": {"__ndb__": {"schema": "leaks-loose", "version": 1, "tkn": CANARY}},
    "a deadline that is none": {"__ndb__": {"schema": "leaks-loose", "version": 1, "tkn": 1, "deadline": CANARY}},
}


class Part(BaseModel):
    text: str = ""
    number: int = 1
    refused: Any = None
    inner: Inner = Inner()


READING: dict[str, Callable[[Repository[Loose], int], Awaitable[object]]] = {
    "get": lambda repo, tkn: repo.get(tkn),
    "get many": lambda repo, tkn: repo.get_many([tkn]),
    "project": lambda repo, tkn: repo.project(tkn, Part),
    "attach": lambda repo, tkn: repo.attach(Loose(), tkn),
    "update": lambda repo, tkn: repo.update(tkn, ratio=1.5),
    "touch": lambda repo, tkn: repo.touch(tkn),
    "ttl": lambda repo, tkn: repo.ttl(tkn),
    "expire": lambda repo, tkn: repo.expire(tkn, None),
    "find": lambda repo, _: repo.find(text="a"),
    "reindex": lambda repo, tkn: repo.reindex([tkn]),
    "delete": lambda repo, tkn: repo.delete(tkn),
}


@pytest.mark.parametrize("verb", READING)
async def test_no_error_of_what_is_stored_holds_it(
    client: NdbClient, verb: str, caplog: pytest.LogCaptureFixture
) -> None:
    repo = Repository(client, Loose)
    leaks: dict[str, list[str]] = {}
    with quiet_logs(caplog):
        for number, (kind, keys) in enumerate(STORED.items()):
            saved = await repo.save(Loose(text="a", number=number + 2))
            await client.sh_set(keys, saved.tkn)
            error = await error_of(READING[verb](repo, saved.tkn))
            leaks[kind] = [] if error is None else leaks_of(error)
            await client.sh_end_all()
            await client.kv_clear()
    assert {kind: where for kind, where in leaks.items() if where} == {}


class Step1(SessionModel, schema="leaks-step"):
    data: Any = None


class Step2(SessionModel, schema="leaks-step", version=2):
    data: Any = None


@Step2.upgrade(1)
def spoil(keys: dict[str, JsonValue]) -> dict[str, Any]:
    if keys["data"] == "raise":
        raise TelltaleError(CANARY)
    return {"data": ANYTHING[str(keys["data"])]}


@pytest.mark.parametrize("kind", ["raise", *ANYTHING])
async def test_no_error_of_an_upgrade_holds_what_its_step_returned(client: NdbClient, kind: str) -> None:
    saved = await Repository(client, Step1).save(Step1(data=kind))
    repo = Repository(client, Step2)
    for doing in (repo.get(saved.tkn), repo.update(saved.tkn, data=1), repo.project(saved.tkn, Step2)):
        error = await error_of(doing)
        assert error is None or leaks_of(error) == []


@pytest.mark.parametrize("model", [Whole, Open])
async def test_no_error_of_a_whole_model_or_of_extra_keys_holds_a_value(
    client: NdbClient, model: type[Whole] | type[Open]
) -> None:
    repo: Repository[Any] = Repository(client, model)
    saved = await repo.save(model())
    for value in ANYTHING.values():
        for name in ("text", "more"):
            session: Any = model()
            object.__setattr__(session, name, value) if model is Whole else setattr(session, name, value)
            for doing in (repo.create(session), repo.update(saved.tkn, text=value)):
                error = await error_of(doing)
                assert error is None or leaks_of(error) == []


async def test_no_error_of_a_configuration_holds_a_value(client: NdbClient) -> None:
    repo = ConfigRepository(client, Settings, namespace="leaks")
    for name in ("text", "data", "refused", "written", "secret"):
        for kind, value in {**ANYTHING, "a text": CANARY, "a secret": SecretStr(SURROGATE)}.items():
            spoilt = Settings()
            setattr(spoilt, name, value)
            for doing in (repo.save(spoilt), repo.update(**{name: value})):
                error = await error_of(doing)
                assert error is None or leaks_of(error) == [], (name, kind)
    await client.kv_set({"leaks:text": [CANARY], "leaks:refused": CANARY, "leaks:secret": [CANARY]})
    asking: list[Awaitable[object]] = [repo.load(), repo.check(), repo.update(text="a"), repo.save(Settings(text="b"))]
    for each in asking:
        error = await error_of(each)
        assert error is None or leaks_of(error) == []


RAW: dict[str, Callable[[NdbClient, Any], Awaitable[object]]] = {
    "kv_set": lambda client, value: client.kv_set({"key": value}),
    "kv_add": lambda client, value: client.kv_add({"key": [value]}),
    "kv_get": lambda client, value: client.kv_get([value]),
    "kv_update": lambda client, value: client.kv_update("key", "$", value),
    "kv_find": lambda client, value: client.kv_find(value),
    "kv_arr_append": lambda client, value: client.kv_arr_append("key", [value]),
    "sh_set": lambda client, value: client.sh_set({"key": value}, 1),
    "sh_get": lambda client, value: client.sh_get(["key"], value),
    "sh_end": lambda client, value: client.sh_end(value),
    "sh_session_exists": lambda client, value: client.sh_session_exists([value]),
    "kv_save": lambda client, value: client.kv_save(value),
}

# The raw client says where in what it was given something cannot be written, and names are where.
_NAMED = ("a lone surrogate in a name", "a name that tells")


@pytest.mark.parametrize("command", RAW)
async def test_no_error_of_the_raw_client_holds_a_value(
    client: NdbClient, command: str, caplog: pytest.LogCaptureFixture
) -> None:
    with quiet_logs(caplog):
        for kind, value in ANYTHING.items():
            if kind not in _NAMED:
                error = await error_of(RAW[command](client, value))
                assert error is None or leaks_of(error) == [], kind


class Babbling(Transport):
    """Answers with what the test says."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    async def request(self, exchange: Exchange) -> bytes:
        answer = self._answer % exchange.command.name.encode()
        if not exchange.fits(answer):
            raise ProtocolError("the server's answer is about something else")
        return answer

    async def perform(self, prepared: Prepared) -> Any:
        return prepared.read(await self.request(prepared))

    async def aclose(self) -> None:
        pass

    def abandon(self) -> bool:
        return False


BABBLE = {
    "no JSON": b'{"%b_RSP":{"st":1,"keys":' + CANARY.encode(),
    "no UTF-8": b'{"%b_RSP":{"st":1,"keys":{"text":"' + CANARY.encode() + b'\xff"}}}',
    "half a surrogate pair": b'{"%b_RSP":{"st":1,"keys":{"text":"' + CANARY.encode() + b'\\ud800"}}}',
    "no status": b'{"%b_RSP":{"st":"' + CANARY.encode() + b'"}}',
    "no keys": b'{"%b_RSP":{"st":1,"keys":"' + CANARY.encode() + b'"}}',
    "deep": b'{"%b_RSP":{"st":1,"keys":' + b"[" * 2000 + CANARY.encode() + b"]" * 2000 + b"}}",
    "no token": b'{"%b_RSP":{"st":1,"tkn":"' + CANARY.encode() + b'"}}',
    "names that are none": b'{"%b_RSP":{"st":1,"keys":[{"a":"' + CANARY.encode() + b'"}]}}',
    "a huge integer": b'{"%b_RSP":{"st":1,"keys":{"number":' + b"9" * 5000 + b',"text":"' + CANARY.encode() + b'"}}}',
}


@pytest.mark.parametrize("kind", BABBLE)
async def test_no_error_of_an_answer_holds_what_a_server_sent(kind: str) -> None:
    client = FaultyClient(Babbling(BABBLE[kind]), None)
    repo, settings = Repository(client, Loose), ConfigRepository(client, Settings)
    asking: list[Awaitable[object]] = [doing(repo, 1) for doing in READING.values()]
    asking += [doing(client, "key") for doing in RAW.values()]
    asking += [repo.save(Loose()), repo.raw(1), settings.load(), client.sh_create_session(), client.kv_keys()]
    for doing in asking:
        error = await error_of(doing)
        assert error is None or leaks_of(error) == []


@pytest.mark.parametrize(
    "uri",
    [
        f"ws://{SURROGATE}@127.0.0.1/",
        f"ws://user:{CANARY}@127.0.0.1/",
        f"ws://[{CANARY}/",
        f"ws://127.0.0.1:1/{CANARY}#a",
    ],
    ids=["a surrogate", "a password", "no address", "a fragment"],
)
async def test_no_error_of_a_uri_holds_its_secret(uri: str) -> None:
    error = await error_of(NdbClient.connect(uri, connect_wait=0.01))
    assert error is not None
    assert [where for where in leaks_of(error) if "context" in where or "object" in where] == []


def test_what_is_raised_without_context_has_its_cause_alone() -> None:
    async def read() -> None:
        async with NdbClient.connect("memory://") as client:
            await client.kv_set({"key": SURROGATE})

    with pytest.raises(NdbError) as refused:
        asyncio.run(read())
    assert (refused.value.__cause__, refused.value.__context__) == (None, None)
