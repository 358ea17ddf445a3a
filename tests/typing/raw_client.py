"""What a checker knows of the raw client: JSON goes in and comes out, and each answer has its type."""

from __future__ import annotations

from datetime import datetime
from typing import assert_type

from ndb_models import JsonInput, JsonValue, NdbClient, Session, SessionToken, format_token, parse_token


async def a_client_is_entered_awaited_or_opened() -> None:
    async with NdbClient.connect("memory://") as entered:
        assert_type(entered, NdbClient)
    assert_type(await NdbClient.connect("memory://", open_timeout=1), NdbClient)
    client = NdbClient()
    assert_type(await client.open("memory://"), bool)
    await client.close()


async def keys_have_types(client: NdbClient) -> None:
    assert_type(await client.kv_set({"a": 1, "b": ("x", None), "c": {"d": [1.5, True]}}), bool)
    values = await client.kv_get(("a", "b"))
    assert_type(values, dict[str, JsonValue])
    assert_type(values["a"], JsonValue)
    assert_type(await client.kv_rmv(["a"]), bool)
    assert_type(await client.kv_count(), int)
    assert_type(await client.kv_keys(), list[str])
    assert_type(await client.kv_contains(["a"]), list[str])
    assert_type(await client.kv_clear(), int)
    assert_type(await client.kv_find("$.a"), list[str])
    assert_type(await client.kv_find("$.a", "paths"), list[str])
    assert_type(await client.kv_find("$.a", "kv"), dict[str, JsonValue])
    assert_type(await client.kv_load("name"), int)


async def sessions_have_types(client: NdbClient) -> None:
    session = await client.sh_create_session(durationSeconds=60, deleteSessionOnExpire=True)
    assert_type(session, Session)
    assert_type(session.isValid, bool)
    assert_type(session.tkn, SessionToken)
    assert_type(await client.sh_set({"a": 1}, session.tkn), bool)
    assert_type(await client.sh_get(["a"], session.tkn), dict[str, JsonValue])
    assert_type(await client.sh_session_exists([session.tkn]), list[SessionToken])
    assert_type(await client.sh_info(session.tkn), dict[str, JsonValue])
    assert_type(await client.sh_end(session.tkn), bool)
    assert_type(await client.sh_end_all(), int)


async def wide_and_narrow_json_can_both_be_written(
    client: NdbClient, narrow: dict[str, int], wide: dict[str, JsonInput]
) -> None:
    await client.kv_set(narrow)
    await client.kv_set(wide)
    await client.kv_set({"nested": narrow, "list": [wide]})
    await client.kv_set(await client.kv_get(["a"]))


async def what_json_does_not_have_is_an_error(client: NdbClient, at: datetime) -> None:
    await client.kv_set({"a": at})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
    await client.kv_set({1: "a"})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
    await client.kv_set(["a"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await client.kv_set({"a": {1, 2}})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]


async def a_wrong_call_is_an_error(client: NdbClient, session: Session) -> None:
    await client.sh_set({"a": 1}, session)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await client.sh_set({"a": 1})  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await client.sh_create_session(duration=60)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await client.kv_find("$", "values")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    await client.kv_gett(["a"])  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    NdbClient.connect("memory://", timeout=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def a_value_is_not_used_before_its_type_is_known(client: NdbClient) -> None:
    visits = (await client.kv_get(["visits"]))["visits"]
    _ = visits + 1  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue, reportUnknownVariableType]
    if isinstance(visits, int):
        assert_type(visits + 1, int)


async def a_token_is_text_outside(session: Session) -> None:
    assert_type(format_token(session.tkn), str)
    assert_type(parse_token("AAAAAAAAAAA"), SessionToken | None)
    assert_type(parse_token(None), SessionToken | None)
    parse_token(b"AAAAAAAAAAA")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    format_token("AAAAAAAAAAA")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
