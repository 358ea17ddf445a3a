"""The commands of the protocol, one row each: parameters and their types, the status of success, safety of repeating.

The client reads the rows to name, send and repeat requests; the engine reads them to check and answer requests. The
commands on a map of keys exist twice on the wire: as `KV_*` on the one shared map, and as `SH_*` on a session's own.
Both are made here from one row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Final, TypeAlias

from ndb_models.expectations import TextDigest, is_digest
from ndb_models.protocol.echoes import Echo, chooses, no_echo, repeats
from ndb_models.protocol.statuses import Status

MAX_TOKEN: Final = 2**64 - 1
MAX_LISTED: Final = 4096
"""The most sessions that one `SH_LIST` looks at."""
TOKEN: Final = "tkn"
MAYBE_DONE: Final = "maybeDone"
"""In the answer of a server of this package to a failed request: the store may have carried it out all the same."""
UNKNOWN_COMMAND: Final = "ERR"
"""The name of an answer if the server could not tell the command of the request."""


def is_token(value: object) -> bool:
    """Tell whether a value can be a session token: an unsigned 64-bit integer, and neither a float nor a bool."""
    return type(value) is int and 0 <= value <= MAX_TOKEN


def _are_tokens(values: Sequence[Any]) -> bool:
    return set(map(type, values)) == {int} and min(values) >= 0 and max(values) <= MAX_TOKEN


class ParamType(Enum):
    """The JSON types of parameters: their names, and the types of their parsed values, None for any and for tokens."""

    ANY = "any", None
    STRING = "string", str
    BOOL = "bool", bool
    UINT = "unsigned integer", None
    ARRAY = "array", list
    OBJECT = "object", dict

    def __init__(self, shown: str, python_type: type | None) -> None:
        self.shown = shown
        self.python_type = python_type


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter: its name, its type, whether it is required, and the parameters inside it if it is an object.

    `of_strings` marks an array in which only strings count, `of_texts` an object that holds strings alone.
    """

    name: str
    kind: ParamType
    required: bool = True
    inner: tuple[Param, ...] = ()
    of_strings: bool = False
    of_texts: bool = False

    def takes(self, value: object) -> bool:
        """Tell whether a parsed JSON value is of this type."""
        if self.kind is ParamType.UINT:
            return is_token(value)  # the same check for every unsigned 64-bit integer
        return self.kind.python_type in (None, type(value))


@dataclass(frozen=True, slots=True)
class Check:
    """A condition on a parameter beyond its type, and the answer if it fails. Missing parameters are not checked."""

    param: str
    holds: Callable[[Any], bool]
    status: Status
    message: str


Rejection: TypeAlias = tuple[Status, str]
"""Why the parameters of a request are refused: the status and the message of the answer."""


@dataclass(frozen=True, slots=True)
class Command:
    """One row: a command as client and engine see it.

    Carrying out a `repeatable` command twice has the same effect and the same answer as once. So a client may send it
    again if it cannot know whether the first was carried out. `may_take_long` commands may keep the server busy for
    long: a late answer does not mean that the connection is frozen. `of_session` commands carry a session's token as
    `tkn`. `for_admins` commands are refused to credentials that are for data alone, if the server tells them apart.
    `beyond` commands are this package's own: a NemesisDB answers them with status 10. `stores_values` names the
    parameter that is kept as the JSON text that came, if there is one. `echo` tells whether a successful answer can
    belong to a request, by the parts of the request that it repeats.

    These are made from the name: `request_start`, the first bytes of a request; `answer_name`; `answer_start`, the
    first bytes of an answer; `keys_start`, the usual first bytes of an answer with an object of keys; `bare_success`,
    an answer that holds the status of success alone; `done_success`, one that also says that it was done.
    """

    name: str
    params: tuple[Param, ...] = ()
    checks: tuple[Check, ...] = ()
    success: Status = Status.OK
    repeatable: bool = False
    may_take_long: bool = False
    of_session: bool = False
    for_admins: bool = False
    beyond: bool = False
    stores_values: str | None = None
    echo: Echo = no_echo
    request_start: bytes = field(init=False)
    answer_name: str = field(init=False)
    answer_start: bytes = field(init=False)
    keys_start: bytes = field(init=False)
    bare_success: bytes = field(init=False)
    done_success: bytes = field(init=False)
    # `success` as a plain integer, which compares several times as fast.
    success_status: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "request_start", b'{"%s":' % self.name.encode())
        object.__setattr__(self, "answer_name", self.name + "_RSP")
        object.__setattr__(self, "answer_start", b'{"%s_RSP":' % self.name.encode())
        object.__setattr__(self, "keys_start", self.answer_start + b'{"keys":{')
        object.__setattr__(self, "success_status", int(self.success))
        object.__setattr__(self, "bare_success", self.answer_start + b'{"st":%d}}' % self.success)
        object.__setattr__(self, "done_success", self.answer_start + b'{"done":true,"st":%d}}' % self.success)

    def reject(self, body: Mapping[str, object]) -> Rejection | None:
        """Return why the parameters in `body` do not fit this command, or None if they fit.

        Names that the row does not list are ignored, as NemesisDB ignores them. Types are checked first, in the
        alphabetical order of names, and then the further checks.
        """
        rejection = _reject_params(self.params, body)
        if rejection is None:
            for check in self.checks:
                if check.param in body and not check.holds(body[check.param]):
                    return check.status, check.message
        return rejection


def _reject_params(params: Sequence[Param], body: Mapping[str, object]) -> Rejection | None:
    for param in params:
        if param.name not in body:
            if param.required:
                return Status.PARAM_MISSING, f"Missing parameter '{param.name}'"
            continue
        value = body[param.name]
        if not param.takes(value):
            return Status.VALUE_TYPE_INVALID, f"'{param.name}' must be of type {param.kind.shown}"
        if param.of_texts and isinstance(value, dict) and not {str}.issuperset(map(type, value.values())):  # pyright: ignore[reportUnknownArgumentType]
            return Status.VALUE_TYPE_INVALID, f"each of '{param.name}' must be a string"
        if param.inner and isinstance(value, dict):
            rejection = _reject_params(param.inner, value)  # pyright: ignore[reportUnknownArgumentType]
            if rejection is not None:
                return rejection
    return None


_KEYS_OBJECT = Param("keys", ParamType.OBJECT)
_KEYS_ARRAY = Param("keys", ParamType.ARRAY, of_strings=True)
_NAME = Param("name", ParamType.STRING)
_SOME_KEYS = Check("keys", bool, Status.VALUE_SIZE, "'keys' is empty")

_SAVE: Final = Command(
    "SAVE", (_NAME,), success=Status.SAVE_COMPLETE, may_take_long=True, for_admins=True, echo=repeats("name")
)
_LOAD: Final = replace(_SAVE, name="LOAD", success=Status.LOAD_COMPLETE)

_MAP_COMMANDS: Final = (
    Command("SET", (_KEYS_OBJECT,), repeatable=True, stores_values="keys"),
    Command("ADD", (_KEYS_OBJECT,), stores_values="keys"),
    Command("GET", (_KEYS_ARRAY,), repeatable=True, echo=chooses("keys", "keys")),
    Command("RMV", (_KEYS_ARRAY,), (_SOME_KEYS,), repeatable=True),
    Command("CLEAR"),
    Command("CLEAR_SET", (_KEYS_OBJECT,), stores_values="keys"),
    Command("COUNT", repeatable=True),
    Command("CONTAINS", (_KEYS_ARRAY,), repeatable=True, echo=chooses("contains", "keys")),
    Command("KEYS", repeatable=True),
)

# On the shared map, these delete the data of all callers.
_EMPTYING: Final = frozenset({"CLEAR", "CLEAR_SET"})

_EXPIRY: Final = (
    Param("deleteSession", ParamType.BOOL, required=False),
    Param("duration", ParamType.UINT),
    Param("extendOnGet", ParamType.BOOL, required=False),
    Param("extendOnSetAdd", ParamType.BOOL, required=False),
    # This package's own. A NemesisDB ignores it, as it ignores every name that it does not know.
    Param("touchEvery", ParamType.UINT, required=False),
)


_PAIR: Final = Param("pair", ParamType.ARRAY)


def _is_swap(value: Any) -> bool:
    """Tell whether a value in `SH_EXPIRE`'s keys is a pair: the value that the key must hold, and its new value."""
    return _PAIR.takes(value) and len(value) == 2


_OTHER_COMMANDS: Final = (
    Command(
        "KV_FIND",
        (
            Param("keys", ParamType.ARRAY, required=False),
            Param("path", ParamType.STRING),
            Param("rsp", ParamType.STRING),
        ),
        (
            Check("rsp", {"keys", "kv", "paths"}.__contains__, Status.COMMAND_SYNTAX, "'rsp' invalid value"),
            Check("path", bool, Status.VALUE_SIZE, "'path' is empty"),
        ),
        repeatable=True,
    ),
    Command(
        "KV_UPDATE",
        (Param("key", ParamType.STRING), Param("path", ParamType.STRING), Param("value", ParamType.ANY)),
        stores_values="value",
    ),
    Command(
        "KV_ARR_APPEND",
        (
            Param("items", ParamType.ARRAY),
            Param("key", ParamType.STRING),
            Param("name", ParamType.STRING, required=False),
        ),
        stores_values="items",
    ),
    replace(_SAVE, name="KV_SAVE"),
    replace(_LOAD, name="KV_LOAD"),
    Command("SH_NEW", (Param("expiry", ParamType.OBJECT, required=False, inner=_EXPIRY),)),
    Command(
        "SH_NEW_SET",
        (Param("expiry", ParamType.OBJECT, required=False, inner=_EXPIRY), _KEYS_OBJECT),
        of_session=True,
        beyond=True,
        stores_values="keys",
    ),
    Command("SH_PEEK", (_KEYS_ARRAY,), repeatable=True, of_session=True, beyond=True, echo=chooses("keys", "keys")),
    Command(
        "SH_EXPIRE",
        (
            Param("expiry", ParamType.OBJECT, inner=_EXPIRY),
            Param("keys", ParamType.OBJECT, required=False),
            Param("restart", ParamType.BOOL, required=False),
        ),
        (
            Check(
                "keys",
                lambda swaps: all(map(_is_swap, swaps.values())),
                Status.VALUE_TYPE_INVALID,
                "each of 'keys' must be an array of two values: the old and the new",
            ),
        ),
        repeatable=True,
        of_session=True,
        beyond=True,
        stores_values="keys",
    ),
    Command(
        "SH_CHANGE",
        (
            Param("absent", ParamType.ARRAY, required=False, of_strings=True),
            Param("digests", ParamType.OBJECT, required=False),
            _KEYS_OBJECT,
            Param("remove", ParamType.ARRAY, required=False, of_strings=True),
            Param("texts", ParamType.OBJECT, required=False, of_texts=True),
        ),
        (
            Check(
                "digests",
                lambda digests: all(map(is_digest, digests.values())),
                Status.VALUE_TYPE_INVALID,
                f"each of 'digests' must be {TextDigest.HEX_DIGITS} hexadecimal digits",
            ),
        ),
        of_session=True,
        beyond=True,
        stores_values="keys",
    ),
    Command(
        "SH_LIST",
        (
            Param("after", ParamType.UINT, required=False),
            Param("count", ParamType.UINT),
            Param("key", ParamType.STRING),
        ),
        (
            Check(
                "count",
                lambda count: 1 <= count <= MAX_LISTED,
                Status.VALUE_SIZE,
                f"'count' must be from 1 to {MAX_LISTED}",
            ),
        ),
        repeatable=True,
        may_take_long=True,
        for_admins=True,
        beyond=True,
    ),
    Command("SH_END", of_session=True, echo=repeats(TOKEN)),
    Command("SH_END_ALL", for_admins=True),
    Command("SH_EXISTS", (Param("tkns", ParamType.ARRAY),), repeatable=True, echo=chooses("exist", "tkns")),
    Command("SH_INFO", repeatable=True, of_session=True, echo=repeats(TOKEN)),
    Command("SH_INFO_ALL", repeatable=True),
    replace(
        _SAVE,
        name="SH_SAVE",
        params=(_NAME, Param("tkns", ParamType.ARRAY, required=False)),
        checks=(
            Check("tkns", bool, Status.VALUE_SIZE, "'tkns' empty"),
            Check("tkns", _are_tokens, Status.VALUE_TYPE_INVALID, "'tkns' contains invalid token"),
        ),
    ),
    replace(_LOAD, name="SH_LOAD"),
    Command("SV_INFO", repeatable=True),
)

COMMANDS: Final[Mapping[str, Command]] = {
    command.name: command
    for command in (
        *(replace(row, name=f"KV_{row.name}", for_admins=row.name in _EMPTYING) for row in _MAP_COMMANDS),
        *(replace(row, name=f"SH_{row.name}", of_session=True) for row in _MAP_COMMANDS),
        *_OTHER_COMMANDS,
    )
}
"""All commands by name."""
