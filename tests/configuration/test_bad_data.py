"""What is stored and does not fit: listed by key, never repaired, never overwritten by itself."""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import Mapping
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from ndb_models import ConfigProblem, ConfigRepository, NdbClient, ProtocolError, StoredConfigError, UnstorableError
from ndb_models.server import NdbServer
from tests.configuration.models import App, Required, Span
from tests.server.plain_client import ask, plain
from tests.transport.servers import GUARD, Host, Script, Visit, honest

BAD: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "a wrong type": ({"app:debug": "canary"}, [("app:debug", "invalid")]),
    "null": ({"app:title": None}, [("app:title", "invalid")]),
    "out of range": ({"app:ratio": 7}, [("app:ratio", "invalid")]),
    "an object for a number": ({"app:ratio": {"canary": 1}}, [("app:ratio", "invalid")]),
    "something nested": ({"app:pool": {"size": 0, "hosts": ["canary"]}}, [("app:pool", "invalid")]),
    "a name in a dict": ({"app:limits": {"canary": "canary"}}, [("app:limits", "invalid")]),
    "a secret": ({"app:password": ["canary"]}, [("app:password", "invalid")]),
    "several": (
        {"app:debug": "canary", "app:title": 5, "app:ratio": 0.25},
        [("app:title", "invalid"), ("app:debug", "invalid")],
    ),
}


async def everything(client: NdbClient) -> dict[str, Any]:
    return dict(await client.kv_get(sorted(await client.kv_keys())))


@pytest.mark.parametrize("name", BAD)
async def test_load_lists_each_key_and_check_lists_the_same(
    config: ConfigRepository[App], client: NdbClient, name: str
) -> None:
    keys, expected = BAD[name]
    await client.kv_set({**keys, "other": 1})
    with pytest.raises(StoredConfigError) as caught:
        await config.load()
    problems = caught.value.problems
    assert [(problem.key, problem.kind) for problem in problems] == expected
    assert await config.check() == [*problems]
    assert caught.value.model == "App"
    assert all(key in str(caught.value) for key, _ in expected)
    assert "canary" not in "".join(traceback.format_exception(caught.value))
    assert await everything(client) == {**keys, "other": 1}


@pytest.mark.parametrize("name", BAD)
async def test_no_verb_writes_over_it(config: ConfigRepository[App], client: NdbClient, name: str) -> None:
    keys, _ = BAD[name]
    await client.kv_set(keys)

    async def edit() -> None:
        async with config.edit() as edited:
            edited.anything = 1

    for writing in (config.save(App()), config.update(anything=1), edit()):
        with pytest.raises(StoredConfigError):
            await writing
    with pytest.raises(StoredConfigError):
        await config.diff()
    assert await everything(client) == keys


async def test_save_writes_over_it_when_told_to(config: ConfigRepository[App], client: NdbClient) -> None:
    await client.kv_set({"app:debug": "canary", "app:unknown": 1})
    saved = await config.save(App(title="repaired"), replace_invalid=True)
    assert await config.load() == saved == App(title="repaired")
    assert await client.kv_get(["app:unknown"]) == {"app:unknown": 1}


async def test_the_raw_client_repairs_it(config: ConfigRepository[App], client: NdbClient) -> None:
    await client.kv_set({"app:debug": "canary", "app:title": 5})
    await client.kv_set({"app:debug": True})
    await client.kv_rmv(["app:title"])
    assert await config.load() == App(debug=True)


async def test_a_key_that_is_required_and_missing_is_a_problem(client: NdbClient) -> None:
    config = ConfigRepository(client, Required, namespace="app")
    await client.kv_set({"app:port": "canary"})
    assert [problem[:2] for problem in await config.check()] == [("app:host", "missing"), ("app:port", "invalid")]
    with pytest.raises(StoredConfigError, match="app:host: Field required"):
        await config.load()
    await client.kv_rmv(["app:port"])
    assert [problem[:2] for problem in await config.check()] == [("app:host", "missing"), ("app:port", "missing")]


async def test_a_store_that_is_empty_yet_can_be_saved_to(client: NdbClient) -> None:
    config = ConfigRepository(client, Required, namespace="app")
    await client.kv_set({"app:port": 1})
    await config.save(Required(host="h", port=2))
    assert await config.load() == Required(host="h", port=2)


async def test_what_fits_only_singly_is_a_problem_of_the_model(client: NdbClient) -> None:
    config = ConfigRepository(client, Span, namespace="span")
    await client.kv_set({"span:low": 20})
    refused = "a validator of the class refused it; what that says is not shown, since it may hold the value"
    assert await config.check() == [ConfigProblem("(model)", "invalid", refused)]
    with pytest.raises(StoredConfigError) as caught:
        await config.load()
    assert "canary" not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(StoredConfigError):
        await config.update(high=30)
    await client.kv_set({"span:high": 30})
    assert await config.load() == Span(low=20, high=30)


async def test_unknown_keys_of_the_namespace_are_told_and_do_no_harm(
    config: ConfigRepository[App], client: NdbClient
) -> None:
    await client.kv_set({"app:tilte": "typo", "app:web:title": "another's", "application:x": 1, "app": 1, "title": 1})
    assert await config.load() == App()
    assert await config.check() == [ConfigProblem("app:tilte", "unknown", "no field has this name")]
    await client.kv_set({"app:debug": "canary"})
    assert [(problem.key, problem.kind) for problem in await config.check()] == [
        ("app:debug", "invalid"),
        ("app:tilte", "unknown"),
    ]


async def test_without_a_namespace_no_key_is_unknown(client: NdbClient) -> None:
    await client.kv_set({"somebody's": 1, "title": 5})
    assert [problem[:2] for problem in await ConfigRepository(client, App).check()] == [("title", "invalid")]


UNREADABLE = {
    "nested too deep": "[" * 300 + "]" * 300,
    "too many digits": "9" * 5000,
}


def answering(stored: Mapping[str, str]) -> Script:
    """Answer from these texts, whatever they are; there are no other keys."""

    async def script(visit: Visit) -> None:
        while True:
            request = json.loads(await visit.next_request())
            if "KV_KEYS" in request:
                await visit.send(b'{"KV_KEYS_RSP":{"keys":[],"st":1}}')
            else:
                asked = request["KV_GET"]["keys"]
                keys = ",".join(f'"{key}":{text}' for key, text in stored.items() if key in asked)
                await visit.send(b'{"KV_GET_RSP":{"keys":{%b},"st":1}}' % keys.encode())

    return script


async def test_an_answer_that_is_no_json_is_a_breach_of_the_protocol() -> None:
    script = answering({"app:title": '"canary\\ud800"'})
    async with asyncio.timeout(GUARD), Host(script) as host, NdbClient.connect(host.uri) as client:
        with pytest.raises(ProtocolError, match="KV_GET"):
            await ConfigRepository(client, App, namespace="app").load()


@pytest.mark.parametrize("keys", ["5", "null", "[]", '["app:title"]', '"canary"'])
async def test_an_answer_whose_keys_are_no_object_is_a_breach_of_the_protocol(keys: str) -> None:
    async def confused(visit: Visit) -> None:
        while True:
            await visit.next_request()
            await visit.send(b'{"KV_GET_RSP":{"keys":%b,"st":1}}' % keys.encode())

    async with asyncio.timeout(GUARD), Host(confused) as host, NdbClient.connect(host.uri) as client:
        with pytest.raises(ProtocolError, match="KV_GET"):
            await ConfigRepository(client, App, namespace="app").load()


async def test_an_answer_about_other_keys_is_not_believed() -> None:
    async def confused(visit: Visit) -> None:
        await visit.next_request()
        await visit.send(b'{"KV_GET_RSP":{"keys":{"web:title":"another\'s"},"st":1}}')
        await visit.wait_closed()

    async with asyncio.timeout(GUARD), Host(confused, honest) as host, NdbClient.connect(host.uri) as client:
        assert await ConfigRepository(client, App, namespace="app").load() == App()
        assert host.handshakes == 2


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE)
async def test_what_cannot_even_be_parsed_is_named_and_hides_no_other_key(text: str) -> None:
    stored = {"app:anything": text, "app:debug": '"canary"', "app:host": text}
    async with asyncio.timeout(GUARD), Host(answering(stored)) as host, NdbClient.connect(host.uri) as client:
        config = ConfigRepository(client, App, namespace="app")
        problems = await config.check()
        assert [problem[:2] for problem in problems] == [("app:anything", "invalid"), ("app:debug", "invalid")]
        with pytest.raises(StoredConfigError) as caught:
            await config.load()
        assert [*caught.value.problems] == problems
        assert "canary" not in "".join(traceback.format_exception(caught.value))
        required = await ConfigRepository(client, Required, namespace="app").check()
        assert [problem[:2] for problem in required] == [
            ("app:host", "invalid"),
            ("app:port", "missing"),
            ("app:debug", "invalid"),
        ]


WEBSOCKET_CASES: dict[str, tuple[str, App | None]] = {
    "another formatting": ('{ "app:ratio" :  5e-1 , "app:debug":true }', App(debug=True)),
    "escapes": ('{"app:title":"\\u0062"}', App(title="b")),
    "other order": (
        '{"app:pool":{"hosts":["h"],"size":2},"app:debug":true}',
        App.model_validate({"pool": {"size": 2, "hosts": ["h"]}, "debug": True}),
    ),
    "a number for a bool": ('{"app:debug": 17}', None),
    "an array for text": ('{"app:title": ["b"]}', None),
    "an object for a list": ('{"app:pool": {"hosts": {}}}', None),
}


@pytest.mark.parametrize("name", WEBSOCKET_CASES)
async def test_what_a_plain_websocket_writes_is_loaded_or_refused(server: NdbServer, name: str) -> None:
    keys, expected = WEBSOCKET_CASES[name]
    async with plain(server) as websocket, NdbClient.connect(server.uri) as client:
        await websocket.send('{"KV_SET": {"keys": KEYS}}'.replace("KEYS", keys))
        assert json.loads(await websocket.recv()) == {"KV_SET_RSP": {"st": 1}}
        config = ConfigRepository(client, App, namespace="app")
        if expected is not None:
            assert await config.load() == expected
            assert await config.check() == []
            return
        before = await stored(websocket)
        with pytest.raises(StoredConfigError):
            await config.load()
        with pytest.raises(StoredConfigError):
            await config.update(anything=1)
        assert len(await config.check()) == 1
        assert await stored(websocket) == before


async def stored(websocket: ClientConnection) -> Any:
    names = sorted((await ask(websocket, "KV_KEYS"))["keys"])
    return (await ask(websocket, "KV_GET", keys=names))["keys"]


async def test_a_change_that_does_not_fit_is_refused_without_its_value(
    config: ConfigRepository[App], client: NdbClient
) -> None:
    await config.save(App())
    before = await everything(client)
    wrong: dict[str, Any] = {"password": ["canary"], "ratio": 7, "title": "t"}
    with pytest.raises(UnstorableError) as caught:
        await config.update(**wrong)
    assert [field for field, _ in caught.value.problems] == ["password", "ratio"]
    assert "canary" not in "".join(traceback.format_exception(caught.value))
    assert await everything(client) == before
