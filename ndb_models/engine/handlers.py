"""How each command is carried out.

Most commands are an `Action`: one verb of the store, and an answer made of its result. The others are handlers. A
handler may wait for several verbs, for turns of long work, or for data sets. If it need not wait, it returns the body
itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec

from ndb_models.engine.context import DONE, OK, AnyRequest, Body, Context, too_large
from ndb_models.engine.document_handlers import kv_arr_append, kv_find, kv_update
from ndb_models.expectations import expected_by
from ndb_models.protocol.commands import TOKEN, is_token
from ndb_models.protocol.prepared import Conditions
from ndb_models.protocol.servers import OWN_SERVER
from ndb_models.protocol.statuses import OK_STATUS, Status
from ndb_models.stores.contract import NO_KEYS, SessionInfo, Verbs
from ndb_models.turns import next_turn
from ndb_models.types import NEVER
from ndb_models.version import __version__

# After looking up this many sessions, everything else on the event loop has a turn.
_LOOKED_UP_AT_ONCE: Final = 4096
# Bytes of a name of one letter in an answer, with its quotes and a comma.
_SHORTEST_NAME: Final = 4


@dataclass(frozen=True, slots=True)
class Action:
    """A command that is one verb of the store.

    Args:
        verb: takes the verbs, the request and the most bytes that an answer may hold, None for no
            limit; returns the verb's result.
        member: the name of the result in the answer. A result of True is "done".
        answer: takes the request, the result and the most bytes, and returns the answer's body. Without it and
            `member`, the answer holds the status alone.
        writes: True if the verb may change keys.
    """

    verb: Callable[[Verbs, Any, int | None], Any]
    member: str = ""
    answer: Callable[[Any, Any, int | None], Body] | None = None
    writes: bool = False

    def body(self, request: AnyRequest, result: Any, most: int | None) -> Body:
        """Return the body of the answer."""
        if self.answer is not None:
            return self.answer(request, result, most)
        if result is True:
            return DONE
        return {self.member: result, "st": OK_STATUS} if self.member else OK


def _names(request: AnyRequest, names: list[str], most: int | None) -> Body:
    if most is not None and max(sum(map(len, names)), _SHORTEST_NAME * len(names)) > most:
        raise too_large(request.command.name, most)
    return {"keys": names, "st": OK_STATUS}


def _most_names(most: int | None) -> int | None:
    return None if most is None else most // _SHORTEST_NAME + 1


_MAP_ACTIONS: Final[Mapping[str, Action]] = {
    "SET": Action(lambda verbs, request, _: verbs.set(request.tkn, request.values), writes=True),
    "ADD": Action(lambda verbs, request, _: verbs.add(request.tkn, request.values), writes=True),
    "GET": Action(lambda verbs, request, most: verbs.get(request.tkn, request.body["keys"], most), "keys"),
    "RMV": Action(lambda verbs, request, _: verbs.remove(request.tkn, request.body["keys"]), writes=True),
    "CLEAR": Action(lambda verbs, request, _: verbs.replace(request.tkn, NO_KEYS), "cnt", writes=True),
    "CLEAR_SET": Action(lambda verbs, request, _: verbs.replace(request.tkn, request.values), "cnt", writes=True),
    "COUNT": Action(lambda verbs, request, _: verbs.count(request.tkn), "cnt"),
    "CONTAINS": Action(lambda verbs, request, _: verbs.contains(request.tkn, request.body["keys"]), "contains"),
    # Asks for one name more than an answer has room for: if the store has it, the answer would be too large.
    "KEYS": Action(lambda verbs, request, most: verbs.names(request.tkn, _most_names(most)), answer=_names),
}


def _created(_request: AnyRequest, created: bool, _most: int | None) -> Body:
    return OK if created else {"m": "there is a session of this token", "st": Status.SESSION_NEW_FAIL}


def _ended(request: AnyRequest, ended: bool, _most: int | None) -> Body:
    return {"st": OK_STATUS if ended else Status.SESSION_NOT_EXIST, TOKEN: request.tkn}


def _expire(verbs: Verbs, request: AnyRequest, _most: int | None) -> bool:
    assert request.tkn is not None
    pairs: Mapping[str, bytes] = request.values or {}
    restart = request.body.get("restart")
    swaps = {name: _swap(pair) for name, pair in pairs.items()}
    return verbs.expire(request.tkn, request.body["expiry"], restart=restart is not False, swaps=swaps)


_decode_pair: Final = msgspec.json.Decoder(tuple[msgspec.Raw, msgspec.Raw]).decode


def _swap(pair: bytes) -> tuple[bytes, bytes]:
    """Return the texts of the two values in an array."""
    old, new = _decode_pair(pair)
    return bytes(old), bytes(new)


def _change(verbs: Verbs, request: AnyRequest, _most: int | None) -> bool:
    body, keys = request.body, request.values
    if type(body) is Conditions:
        return verbs.change(request.tkn, keys, body.removed, body.expected)
    return verbs.change(request.tkn, keys, body.get("remove") or (), expected_by(body))


def _info(request: AnyRequest, info: SessionInfo, _most: int | None) -> Body:
    answer: dict[str, Any] = {"expires": info.remaining is not None, "keyCnt": info.key_count, "shared": False}
    if info.remaining is not None:
        answer["expiry"] = {
            "deleteSession": info.expiry.delete_session,
            "duration": info.expiry.duration,
            "extendOnGet": info.expiry.extend_on_get,
            "extendOnSetAdd": info.expiry.extend_on_set_add,
            # A float rounds the longest durations up.
            "remaining": min(int(info.remaining), info.expiry.duration),
        }
        if info.expiry.touch_every:
            answer["expiry"]["touchEvery"] = info.expiry.touch_every
    return {**answer, "st": OK_STATUS, TOKEN: request.tkn}


def unknown_session(request: AnyRequest) -> Body:
    """Return the answer to an `SH_INFO` about a session that does not exist."""
    return {"keyCnt": None, "shared": None, "st": Status.SESSION_NOT_EXIST, TOKEN: request.tkn}


ACTIONS: Final[Mapping[str, Action]] = {
    **{f"{prefix}_{name}": action for prefix in ("KV", "SH") for name, action in _MAP_ACTIONS.items()},
    "SH_NEW": Action(lambda verbs, request, _: verbs.new(request.body.get("expiry", NEVER)), TOKEN, writes=True),
    "SH_NEW_SET": Action(
        lambda verbs, request, _: verbs.create(request.tkn, request.body.get("expiry", NEVER), request.values),
        answer=_created,
        writes=True,
    ),
    "SH_PEEK": Action(lambda verbs, request, most: verbs.peek(request.tkn, request.body["keys"], most), "keys"),
    "SH_EXPIRE": Action(_expire, "done", writes=True),
    "SH_CHANGE": Action(_change, "done", writes=True),
    "SH_END": Action(lambda verbs, request, _: verbs.end(request.tkn), answer=_ended, writes=True),
    "SH_INFO": Action(lambda verbs, request, _: verbs.info(request.tkn), answer=_info),
}
"""The commands that are one verb of the store, by name."""


Handler: TypeAlias = Callable[[Context, Any], Body | Awaitable[Body]]
"""Carries out a request, and returns the body of its answer, or an awaitable for it if that takes waiting."""


async def _sh_end_all(context: Context, _request: AnyRequest) -> Body:
    return {"cnt": await context.store.end_all(), "st": OK_STATUS}


def _sh_exists(context: Context, request: AnyRequest) -> Body | Awaitable[Body]:
    tokens: list[Any] = request.body["tkns"]
    verbs = context.store.verbs
    if verbs is None or len(tokens) > _LOOKED_UP_AT_ONCE:
        return _exist_in_parts(context, tokens)
    return {"exist": verbs.exist(filter(is_token, tokens)), "st": OK_STATUS}


async def _exist_in_parts(context: Context, tokens: list[Any]) -> Body:
    found = await context.store.exist(filter(is_token, tokens[:_LOOKED_UP_AT_ONCE]))
    for start in range(_LOOKED_UP_AT_ONCE, len(tokens), _LOOKED_UP_AT_ONCE):
        await next_turn()
        found += await context.store.exist(filter(is_token, tokens[start : start + _LOOKED_UP_AT_ONCE]))
    return {"exist": found, "st": OK_STATUS}


async def _sh_list(context: Context, request: AnyRequest) -> Body:
    body = request.body
    page = await context.store.page(body["key"], body.get("after"), body["count"], context.limits.answer)
    following = {} if page.last is None else {"next": page.last}
    values = [msgspec.Raw(value) for value in page.values.values()]
    return {**following, "st": OK_STATUS, "tkns": [*page.values], "values": values}


async def _sh_info_all(context: Context, _request: AnyRequest) -> Body:
    sessions, keys = await context.store.totals()
    return {"st": OK_STATUS, "totalKeys": keys, "totalSessions": sessions}


def _sv_info(context: Context, _request: AnyRequest) -> Body:
    return {"persistEnabled": context.data_sets.enabled, "serverVersion": OWN_SERVER + __version__, "st": OK_STATUS}


HANDLERS: Final[Mapping[str, Handler]] = {
    "KV_FIND": kv_find,
    "KV_UPDATE": kv_update,
    "KV_ARR_APPEND": kv_arr_append,
    "KV_SAVE": lambda context, request: context.data_sets.save_keys(request.body["name"]),
    "KV_LOAD": lambda context, request: context.data_sets.load_keys(request.body["name"]),
    "SH_END_ALL": _sh_end_all,
    "SH_EXISTS": _sh_exists,
    "SH_INFO_ALL": _sh_info_all,
    "SH_LIST": _sh_list,
    "SH_SAVE": lambda context, request: context.data_sets.save_sessions(request.body["name"], request.body.get("tkns")),
    "SH_LOAD": lambda context, request: context.data_sets.load_sessions(request.body["name"]),
    "SV_INFO": _sv_info,
}
"""The handlers of all other commands, by name."""
