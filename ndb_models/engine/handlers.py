"""The handlers of the commands.

A handler gets a call with parameters that fit the command's row, and returns the answer's body. The commands on a map
of keys have one handler each: `KV_*` runs it on the shared map, `SH_*` on a session's.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from ndb_models.engine.context import OK, AnyCall, Body, Context, Handler, joined, size_of, strings, too_large
from ndb_models.engine.document_handlers import kv_arr_append, kv_find, kv_update
from ndb_models.engine.requests import Call, RefusedError
from ndb_models.stores.contract import NEVER, SHARED, ExpirySettings, Scope, UnknownSessionError
from ndb_models.turns import next_turn
from ndb_models.version import __version__
from ndb_models.wire.commands import TOKEN, is_token
from ndb_models.wire.servers import OWN_SERVER
from ndb_models.wire.statuses import Status

# Up to this many names are read without checking first how large their values are.
_READ_AT_ONCE: Final = 64
# After looking up this many sessions, everything else on the event loop has a turn.
_LOOKED_UP_AT_ONCE: Final = 4096
# Bytes of a name of one letter in an answer, with its quotes and a comma.
_SHORTEST_NAME: Final = 4


# Looked up once, because finding a member of an enum is slow.
_OK_STATUS: Final = Status.OK

# On a map of keys


async def _set(context: Context, scope: Scope, call: AnyCall) -> Body:
    await context.store.set(scope, call.values)
    return OK


async def _add(context: Context, scope: Scope, call: AnyCall) -> Body:
    await context.store.add(scope, call.values)
    return OK


async def _get(context: Context, scope: Scope, call: AnyCall) -> Body:
    names = strings(call.body["keys"])
    await _require_room(context, scope, call, names)
    keys = await context.store.get(scope, names)
    return {"keys": joined(call.command.name, keys, context.limits.answer), "st": _OK_STATUS}


async def _require_room(context: Context, scope: Scope, call: AnyCall, names: Sequence[str]) -> None:
    """Refuse many names if their values are too large together. Stop before a store has copied all of them.

    A store with immediate verbs does not copy values, so it is not checked here.
    """
    if len(names) <= _READ_AT_ONCE or context.store.immediate is not None:
        return
    left = context.limits.answer
    for start in range(0, len(names), _READ_AT_ONCE):
        left -= size_of(await context.store.peek(scope, names[start : start + _READ_AT_ONCE]))
        if left < 0:
            raise too_large(call.command.name, context.limits.answer)


async def _rmv(context: Context, scope: Scope, call: AnyCall) -> Body:
    await context.store.remove(scope, strings(call.body["keys"]))
    return OK


async def _clear(context: Context, scope: Scope, _call: AnyCall) -> Body:
    return {"cnt": await context.store.clear(scope), "st": _OK_STATUS}


async def _clear_set(context: Context, scope: Scope, call: AnyCall) -> Body:
    return {"cnt": await context.store.replace(scope, call.values), "st": _OK_STATUS}


async def _count(context: Context, scope: Scope, _call: AnyCall) -> Body:
    return {"cnt": await context.store.count(scope), "st": _OK_STATUS}


async def _contains(context: Context, scope: Scope, call: AnyCall) -> Body:
    return {"contains": await context.store.contains(scope, strings(call.body["keys"])), "st": _OK_STATUS}


async def _keys(context: Context, scope: Scope, call: AnyCall) -> Body:
    most = context.limits.answer
    # One name more than an answer has room for: if it comes, the answer is too large.
    names = await context.store.names(scope, most // _SHORTEST_NAME + 1)
    if max(sum(map(len, names)), _SHORTEST_NAME * len(names)) > most:
        raise too_large(call.command.name, most)
    return {"keys": names, "st": _OK_STATUS}


# On sessions


# Any number of sessions has only a few different settings.
_settings = lru_cache(maxsize=256)(ExpirySettings)


# The last parameter and its settings. Most callers pass the same object again and again.
_latest: tuple[Mapping[str, Any] | None, ExpirySettings] = (None, NEVER)


def expiry_settings(given: Mapping[str, Any] | ExpirySettings | None) -> ExpirySettings:
    """Return the settings in an `expiry` parameter; None is `NEVER`."""
    global _latest
    if isinstance(given, ExpirySettings):
        return given
    latest, settings = _latest
    if given is not latest:
        settings = (
            NEVER
            if given is None
            else _settings(
                given["duration"],
                given.get("deleteSession", False),
                given.get("extendOnSetAdd", False),
                given.get("extendOnGet", False),
            )
        )
        _latest = given, settings
    return settings


async def _sh_new(context: Context, _scope: Scope, call: AnyCall) -> Body:
    expiry = expiry_settings(call.body.get("expiry"))
    while True:
        token = int.from_bytes(secrets.token_bytes(8))
        if token and await context.store.create(token, expiry):
            return {"st": _OK_STATUS, TOKEN: token}


async def _sh_new_set(context: Context, scope: Scope, call: AnyCall) -> Body:
    assert scope is not None
    created = await context.store.create(scope, expiry_settings(call.body.get("expiry")), call.values)
    return OK if created else {"m": "there is a session of this token", "st": Status.SESSION_NEW_FAIL}


async def _sh_peek(context: Context, scope: Scope, call: AnyCall) -> Body:
    names = strings(call.body["keys"])
    await _require_room(context, scope, call, names)
    keys = await context.store.peek(scope, names)
    return {"keys": joined(call.command.name, keys, context.limits.answer), "st": _OK_STATUS}


async def _sh_expire(context: Context, scope: Scope, call: AnyCall) -> Body:
    assert scope is not None
    pairs: Mapping[str, bytes] = call.values or {}
    done = await context.store.expire(
        scope,
        expiry_settings(call.body["expiry"]),
        restart=call.body.get("restart", True),
        swaps={name: _swap(pair) for name, pair in pairs.items()},
    )
    return {"done": done, "st": _OK_STATUS}


_decode_pair: Final = msgspec.json.Decoder(tuple[msgspec.Raw, msgspec.Raw]).decode


def _swap(pair: bytes) -> tuple[bytes, bytes]:
    """Return the texts of the two values in an array."""
    old, new = _decode_pair(pair)
    return bytes(old), bytes(new)


async def _sh_end(context: Context, scope: Scope, _call: AnyCall) -> Body:
    assert scope is not None
    ended = await context.store.end(scope)
    return {"st": _OK_STATUS if ended else Status.SESSION_NOT_EXIST, TOKEN: scope}


async def _sh_end_all(context: Context, _scope: Scope, _call: AnyCall) -> Body:
    return {"cnt": await context.store.end_all(), "st": _OK_STATUS}


async def _sh_exists(context: Context, _scope: Scope, call: AnyCall) -> Body:
    tokens: list[Any] = call.body["tkns"]
    found = await context.store.exist(filter(is_token, tokens[:_LOOKED_UP_AT_ONCE]))
    for start in range(_LOOKED_UP_AT_ONCE, len(tokens), _LOOKED_UP_AT_ONCE):
        await next_turn()
        found += await context.store.exist(filter(is_token, tokens[start : start + _LOOKED_UP_AT_ONCE]))
    return {"exist": found, "st": _OK_STATUS}


async def _sh_info(context: Context, scope: Scope, _call: AnyCall) -> Body:
    assert scope is not None
    try:
        info = await context.store.info(scope)
    except UnknownSessionError:
        return {"keyCnt": None, "shared": None, "st": Status.SESSION_NOT_EXIST, TOKEN: scope}
    answer: dict[str, Any] = {"expires": info.remaining is not None, "keyCnt": info.key_count, "shared": False}
    if info.remaining is not None:
        answer["expiry"] = {
            "deleteSession": info.expiry.delete_session,
            "duration": info.expiry.duration,
            "extendOnGet": info.expiry.extend_on_get,
            "extendOnSetAdd": info.expiry.extend_on_set_add,
            # A floating-point number, which may round the longest durations up.
            "remaining": min(int(info.remaining), info.expiry.duration),
        }
    return {**answer, "st": _OK_STATUS, TOKEN: scope}


async def _sh_info_all(context: Context, _scope: Scope, _call: AnyCall) -> Body:
    sessions, keys = await context.store.totals()
    return {"st": _OK_STATUS, "totalKeys": keys, "totalSessions": sessions}


# On the server


async def _sv_info(context: Context, _scope: Scope, _call: AnyCall) -> Body:
    return {"persistEnabled": context.data_sets.enabled, "serverVersion": OWN_SERVER + __version__, "st": _OK_STATUS}


# On data sets


async def _kv_save(context: Context, _scope: Scope, call: AnyCall) -> Body:
    return await context.data_sets.save_keys(call.body["name"])


async def _kv_load(context: Context, _scope: Scope, call: AnyCall) -> Body:
    return await context.data_sets.load_keys(call.body["name"])


async def _sh_save(context: Context, _scope: Scope, call: AnyCall) -> Body:
    return await context.data_sets.save_sessions(call.body["name"], call.body.get("tkns"))


async def _sh_load(context: Context, _scope: Scope, call: AnyCall) -> Body:
    return await context.data_sets.load_sessions(call.body["name"])


_ON_A_MAP: Final[Mapping[str, Handler]] = {
    "SET": _set,
    "ADD": _add,
    "GET": _get,
    "RMV": _rmv,
    "CLEAR": _clear,
    "CLEAR_SET": _clear_set,
    "COUNT": _count,
    "CONTAINS": _contains,
    "KEYS": _keys,
}

HANDLERS: Final[Mapping[str, Handler]] = {
    **{f"{prefix}_{name}": handler for prefix in ("KV", "SH") for name, handler in _ON_A_MAP.items()},
    "KV_FIND": kv_find,
    "KV_UPDATE": kv_update,
    "KV_ARR_APPEND": kv_arr_append,
    "KV_SAVE": _kv_save,
    "KV_LOAD": _kv_load,
    "SH_NEW": _sh_new,
    "SH_NEW_SET": _sh_new_set,
    "SH_PEEK": _sh_peek,
    "SH_EXPIRE": _sh_expire,
    "SH_END": _sh_end,
    "SH_END_ALL": _sh_end_all,
    "SH_EXISTS": _sh_exists,
    "SH_INFO": _sh_info,
    "SH_INFO_ALL": _sh_info_all,
    "SH_SAVE": _sh_save,
    "SH_LOAD": _sh_load,
    "SV_INFO": _sv_info,
}
"""The handler of every command in the table."""


def scope_of(call: Call) -> Scope:
    """Return the map that a call works on.

    Raises:
        RefusedError: the call needs a session, and its token is missing or invalid. Or an `SH_INFO` does not
            have exactly one parameter.
    """
    if not call.command.of_session:
        return SHARED
    if call.command.name == "SH_INFO" and len(call.body) != 1:
        raise RefusedError(call.command.name, Status.COMMAND_SYNTAX, "'tkn' stands alone")
    token = call.body.get(TOKEN)
    if not is_token(token):
        raise RefusedError(call.command.name, Status.SESSION_NOT_EXIST)
    return token
