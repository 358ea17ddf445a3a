"""Requests for callers that have JSON as text, and want no objects made of it.

Without a wire they need no frame: an engine in the same process takes them as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import Any, ClassVar, Final

import msgspec

from ndb_models.errors import ProtocolError
from ndb_models.expectations import Expected, told_by
from ndb_models.json_text import NO_MEMBERS, UNREADABLE, ObjectText, has_constants, is_nested_deeper
from ndb_models.protocol.commands import MAYBE_DONE, Command
from ndb_models.protocol.statuses import OK_STATUS
from ndb_models.raising import raise_without_context
from ndb_models.strict_json import MAX_NESTING
from ndb_models.types import ExpirySettings, SessionToken, expiry_parameter


class _Answer(msgspec.Struct):
    st: int
    tkn: int | None = None
    keys: msgspec.Raw = msgspec.Raw()
    m: str = ""
    done: bool = True
    maybe_done: bool = msgspec.field(default=False, name=MAYBE_DONE)


class _AnswerOfNames(msgspec.Struct):
    st: int
    keys: tuple[str, ...] | None = None
    m: str = ""


_decode = msgspec.json.Decoder(dict[str, _Answer]).decode
_decode_names = msgspec.json.Decoder(dict[str, _AnswerOfNames]).decode
_encode = msgspec.json.Encoder().encode


_SUCCESS: Final[dict[str, Any]] = {"st": OK_STATUS}
_DONE: Final[dict[str, Any]] = {"done": True, "st": OK_STATUS}
# The usual end of an answer with an object of keys; the first brace ends the object.
_KEYS_END: Final = b'},"st":%d}}' % OK_STATUS
_AFTER_KEYS: Final = len(_KEYS_END) - 1
# Most answers are too short to be nested too deep: each level has two brackets.
_SURELY_FLAT: Final = 2 * MAX_NESTING


def unreadable(command: str) -> ProtocolError:
    """Return the error for an answer that is not JSON of the expected form."""
    return ProtocolError(f"the server's answer to {command} cannot be read")


class reading_answer:  # noqa: N801 - used as a function; a generator would take several times as long
    """Take apart the keys of an answer, which are not validated before.

    Raises:
        ProtocolError: the keys are not one JSON object.
    """

    __slots__ = ("_command",)

    def __init__(self, command: Command) -> None:
        self._command = command

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, UNREADABLE):
            raise_without_context(unreadable(self._command.name))


class Parameters(dict[str, Any]):
    """The parameters of a request, without the session's token and the values to store. Made once for many requests.

    An `expiry` is given as `ExpirySettings`.
    """

    __slots__ = ("asks_for_keys", "known_text")

    def __init__(self, **body: Any) -> None:
        self.update(body)
        self.asks_for_keys: bool = "keys" in body
        """True if the answer holds keys."""
        self.known_text: bytes | None = None
        """The text, once it was made. Use `text`, unless a call costs too much."""

    @property
    def text(self) -> bytes:
        """The same as members of a JSON object, each with a comma before it. Made once, when a frame needs it."""
        if self.known_text is None:
            expiry: ExpirySettings | None = self.get("expiry")
            self.known_text = _members(self if expiry is None else {**self, "expiry": expiry_parameter(expiry)})
        return self.known_text


def _members(body: Mapping[str, Any]) -> bytes:
    return b"," + _encode(body)[1:-1] if body else b""


NO_PARAMETERS: Final = Parameters()


@lru_cache(maxsize=256)
def expiring(settings: ExpirySettings) -> Parameters:
    """Return the parameters of a request that creates a session with these settings."""
    return Parameters(expiry=settings)


def naming(keys: tuple[str, ...]) -> Parameters:
    """Return the parameters of a request that names keys, and is answered without them: `SH_RMV`."""
    parameters = Parameters(keys=keys)
    parameters.asks_for_keys = False
    return parameters


class Conditions(msgspec.Struct, gc=False):
    """The parameters of an `SH_CHANGE`: the values that keys must have, and the keys to remove.

    In this process nothing is encoded. In a frame, long texts are compared by their digests.
    """

    asks_for_keys: ClassVar[bool] = False

    expected: Expected
    removed: Collection[str] = ()
    known_text: bytes | None = None

    @property
    def text(self) -> bytes:
        """As `Parameters.text`."""
        if self.known_text is None:
            told = told_by(self.expected)
            if self.removed:
                told["remove"] = [*self.removed]
            self.known_text = b"," + _encode(told)[1:-1] if told else b""
        return self.known_text


class Prepared(msgspec.Struct):
    """A request with parameters that are known to fit its command.

    Args:
        command: the row of the table.
        tkn: the session's token, for a command of a session.
        body: the other parameters, without the values to store: `Parameters`, or `Conditions`.
        values: the values to store, as a JSON object.
        frame: empty until `to_frame` makes it.
        on_orphan: takes an answer that came after its caller stopped waiting.
    """

    is_checked: ClassVar[bool] = False

    command: Command
    tkn: SessionToken | None = None
    body: Any = NO_PARAMETERS
    values: Any = None
    frame: bytes = b""
    on_orphan: Callable[[bytes], None] | None = None

    def fits(self, answer: bytes) -> bool:
        """Return True: any frame of the right name can be the answer."""
        return True

    def to_frame(self) -> Prepared:
        """Make the frame, for a transport that needs it; return this request."""
        start, tkn, body, values = self.command.request_start, self.tkn, self.body, self.values
        parameters = body.text if body.known_text is None else body.known_text
        if tkn is None:
            members = parameters if values is None else b'%b,"keys":%b' % (parameters, values.text)
            self.frame = b"%b{%b}}" % (start, members[1:])
        elif values is None:
            self.frame = b'%b{"tkn":%d%b}}' % (start, tkn, parameters)
        else:
            self.frame = b'%b{"tkn":%d%b,"keys":%b}}' % (start, tkn, parameters, values.text)
        return self

    def read(self, answer: bytes) -> dict[str, Any]:
        """Return the body of an answer's frame, with its `keys` as an `ObjectText` that is not validated yet.

        Take them apart in a `reading_answer`. Code that takes their text must validate it itself.

        Raises:
            ProtocolError: the frame cannot be read as an answer, is nested too deep, or has keys that are not an
                object.
        """
        asks_for_keys = self.body.asks_for_keys
        if not asks_for_keys:
            if answer == self.command.bare_success:
                return _SUCCESS
            if answer == self.command.done_success:
                return _DONE
        if len(answer) > _SURELY_FLAT and is_nested_deeper(answer, MAX_NESTING):
            raise ProtocolError(
                f"the server's answer to {self.command.name} is nested deeper than {MAX_NESTING} levels"
            )
        start = self.command.keys_start
        if answer.startswith(start) and answer.endswith(_KEYS_END):
            text = answer[len(start) - 1 : -_AFTER_KEYS]
            if not has_constants(text):  # NaN and the like are not JSON, but a later reader may accept them
                return {"st": OK_STATUS, "keys": ObjectText(text)}
        try:
            ((_, body),) = _decode(answer).items()
        except (*UNREADABLE, ValueError):
            raise_without_context(unreadable(self.command.name))
        keys = bytes(body.keys)
        if not keys and not (asks_for_keys and body.st == OK_STATUS):
            keys = NO_MEMBERS
        if keys[:1] != b"{":
            raise ProtocolError(f"the server's answer to {self.command.name} has keys that are no object")
        return {
            "st": body.st,
            "tkn": body.tkn,
            "keys": ObjectText(keys),
            "m": body.m,
            "done": body.done,
            MAYBE_DONE: body.maybe_done,
        }


class NamesRequest(Prepared):
    """A request that is answered with the names of keys, which are the `keys` of the body: `SH_KEYS`."""

    def read(self, answer: bytes) -> dict[str, Any]:
        """Return the body of an answer's frame. Raises as `Prepared.read`."""
        try:
            ((_, body),) = _decode_names(answer).items()
        except (*UNREADABLE, ValueError):
            raise_without_context(unreadable(self.command.name))
        if body.keys is None and body.st == OK_STATUS:
            raise ProtocolError(f"the server's answer to {self.command.name} has no names")
        return {"st": body.st, "keys": body.keys, "m": body.m}


def key_size(name: str, text: bytes) -> int:
    """Return the size of a key in a frame in bytes, with the comma before it."""
    return len(_encode(name)) + 1 + len(text) + 1
