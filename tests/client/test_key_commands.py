"""The `kv_*` methods and `sv_info`: names, arguments and results, by every way to reach an engine."""

from __future__ import annotations

import pytest

import ndb_models
from ndb_models.client import NdbClient, NdbError, NdbException, ResponseError
from ndb_models.protocol.statuses import Status
from ndb_models.types import JsonInput

USERS: dict[str, JsonInput] = {
    "billy": {"age": 30, "roles": ["admin", "dev"]},
    "jane": {"age": 41, "roles": []},
    "nobody": None,
}


async def test_what_was_set_is_what_is_got(client: NdbClient) -> None:
    assert await client.kv_set({"username": "billy", "password": "billy_passy"}) is True
    assert await client.kv_get(("username",)) == {"username": "billy"}


async def test_setting_writes_over_what_is_there(client: NdbClient) -> None:
    await client.kv_set({"a": 1, "b": 1})
    await client.kv_set({"a": [2]})
    assert await client.kv_get(["a", "b"]) == {"a": [2], "b": 1}


async def test_setting_nothing_changes_nothing(client: NdbClient) -> None:
    await client.kv_set({"a": 1})
    assert await client.kv_set({}) is True
    assert await client.kv_get(("a",)) == {"a": 1}


async def test_adding_leaves_existing_keys_alone(client: NdbClient) -> None:
    await client.kv_set({"a": "old"})
    assert await client.kv_add({"a": "new", "b": "new"}) is True
    assert await client.kv_get(("a", "b")) == {"a": "old", "b": "new"}


async def test_getting_leaves_out_missing_keys(client: NdbClient) -> None:
    await client.kv_set({"a": 1})
    assert await client.kv_get(("a", "missing")) == {"a": 1}
    assert await client.kv_get(("missing",)) == {}
    assert await client.kv_get(()) == {}


async def test_removing_keys(client: NdbClient) -> None:
    await client.kv_set({"a": 1, "b": 2})
    assert await client.kv_rmv(("a", "missing")) is True
    assert await client.kv_keys() == ["b"]


async def test_removing_no_keys_is_refused(client: NdbClient) -> None:
    with pytest.raises(ResponseError) as refused:
        await client.kv_rmv(())
    assert refused.value.status == Status.VALUE_SIZE


async def test_counting_and_naming_keys(client: NdbClient) -> None:
    assert await client.kv_count() == 0
    assert await client.kv_keys() == []
    await client.kv_set({"a": 1, "b": 2})
    assert await client.kv_count() == 2
    assert sorted(await client.kv_keys()) == ["a", "b"]


async def test_contains_returns_those_that_exist_in_their_order(client: NdbClient) -> None:
    await client.kv_set({"a": 1, "b": 2, "c": 3})
    assert await client.kv_contains(("c", "missing", "a")) == ["c", "a"]


async def test_clearing_returns_how_many_there_were(client: NdbClient) -> None:
    await client.kv_set({"a": 1, "b": 2})
    assert await client.kv_clear() == 2
    assert await client.kv_clear() == 0


async def test_clear_set_leaves_only_the_new_keys(client: NdbClient) -> None:
    await client.kv_set({"a": 1, "b": 2})
    assert await client.kv_clear_set({"c": 3}) == 2
    assert await client.kv_get(("a", "b", "c")) == {"c": 3}


async def test_find_returns_keys_values_or_paths(client: NdbClient) -> None:
    await client.kv_set(USERS)
    assert await client.kv_find("$[?@ > 40]") == ["jane"]
    assert await client.kv_find("$.roles[0]", "kv") == {"billy": USERS["billy"]}
    assert await client.kv_find("$.roles[*]", "paths") == ["$['roles'][0]", "$['roles'][1]"]
    assert await client.kv_find("$.nowhere") == []


async def test_find_searches_only_the_keys_that_it_is_told(client: NdbClient) -> None:
    await client.kv_set(USERS)
    assert sorted(await client.kv_find("$.age")) == ["billy", "jane"]
    assert await client.kv_find("$.age", "keys", ("jane", "nobody")) == ["jane"]


async def test_find_with_an_invalid_path_is_refused(client: NdbClient) -> None:
    await client.kv_set(USERS)
    with pytest.raises(ResponseError) as refused:
        await client.kv_find("$[")
    assert refused.value.status == Status.PATH_INVALID


async def test_update_replaces_what_the_path_leads_to(client: NdbClient) -> None:
    await client.kv_set(USERS)
    assert await client.kv_update("billy", "$.roles[*]", "guest") == 2
    assert await client.kv_update("billy", "$.nowhere", "guest") == 0
    assert await client.kv_get(("billy",)) == {"billy": {"age": 30, "roles": ["guest", "guest"]}}


async def test_update_of_an_unknown_key_is_refused(client: NdbClient) -> None:
    with pytest.raises(ResponseError) as refused:
        await client.kv_update("missing", "$", 1)
    assert refused.value.status == Status.KEY_NOT_EXIST


async def test_appending_to_an_array_and_to_a_member(client: NdbClient) -> None:
    await client.kv_set({"list": [1], "object": {"list": []}})
    assert await client.kv_arr_append("list", [2, (3,)]) is True
    assert await client.kv_arr_append("object", [{"a": None}], "list") is True
    assert await client.kv_get(("list", "object")) == {"list": [1, 2, [3]], "object": {"list": [{"a": None}]}}


@pytest.mark.parametrize(
    ("key", "name", "status"),
    [
        ("missing", None, Status.KEY_NOT_EXIST),
        ("text", None, Status.UNKNOWN),
        ("object", None, Status.UNKNOWN),
        ("object", "missing", Status.UNKNOWN),
    ],
)
async def test_appending_to_anything_else_is_refused(
    client: NdbClient, key: str, name: str | None, status: Status
) -> None:
    keys: dict[str, JsonInput] = {"text": "abc", "object": {"a": 1}}
    await client.kv_set(keys)
    with pytest.raises(ResponseError) as refused:
        await client.kv_arr_append(key, [1], name)
    assert refused.value.status == status
    assert await client.kv_get(("text", "object")) == keys


async def test_saved_keys_are_loaded_over_those_that_are_there(client: NdbClient) -> None:
    await client.kv_set({"a": 1, "b": 2})
    assert await client.kv_save("keys") is True
    await client.kv_clear_set({"a": "changed", "c": 3})
    assert await client.kv_load("keys") == 2
    assert await client.kv_get(("a", "b", "c")) == {"a": 1, "b": 2, "c": 3}


@pytest.mark.parametrize("name", ["never_saved", "../keys", "", "a/b", "."])
async def test_loading_an_unknown_data_set_is_refused(client: NdbClient, name: str) -> None:
    with pytest.raises((ResponseError, ValueError)) as refused:
        await client.kv_load(name)
    if isinstance(refused.value, ResponseError):
        assert refused.value.status == Status.LOAD_ERROR


@pytest.mark.parametrize("name", ["../keys", "", "a/b", "/tmp/keys", ".", "a\0b"])
async def test_saving_under_a_name_that_leaves_the_directory_is_refused(client: NdbClient, name: str) -> None:
    with pytest.raises(NdbError):
        await client.kv_save(name)


async def test_saving_without_a_persist_path_is_refused() -> None:
    async with NdbClient.connect("memory://") as client:
        for call in (client.kv_save, client.kv_load, client.sh_save, client.sh_load):
            with pytest.raises(ResponseError) as refused:
                await call("keys")
            assert refused.value.status == Status.COMMAND_DISABLED


async def test_server_info(client: NdbClient) -> None:
    info = await client.sv_info()
    assert info["serverVersion"] == f"ndb_models/{ndb_models.__version__}"
    assert info["persistEnabled"] is True
    assert "st" not in info


async def test_a_refusal_says_what_was_refused_and_why(client: NdbClient) -> None:
    with pytest.raises(ResponseError, match=r"KV_UPDATE.* 22 KEY_NOT_EXIST") as refused:
        await client.kv_update("missing", "$", 1)
    assert refused.value.command == "KV_UPDATE"
    assert refused.value.status == 22
    assert refused.value.rsp["st"] == 22


async def test_every_error_of_the_client_is_an_ndb_exception(client: NdbClient) -> None:
    assert issubclass(ResponseError, NdbException)
    assert NdbException is NdbError
    with pytest.raises(NdbException):
        await client.kv_rmv(())


async def test_a_client_goes_on_after_a_refusal(client: NdbClient) -> None:
    with pytest.raises(ResponseError):
        await client.kv_rmv(())
    await client.kv_set({"a": 1})
    assert await client.kv_get(("a",)) == {"a": 1}
