"""The base of the command methods: it names a request, sends it, and reads its answer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Coroutine, Mapping, Sequence
from logging import DEBUG
from typing import Any, Final, TypeVar

from ndb_models import forks
from ndb_models.client.transport import Transport
from ndb_models.client.unattended import UnattendedTask
from ndb_models.errors import (
    InvalidArgumentError,
    NdbError,
    NotConnectedError,
    ProtocolError,
    ResponseError,
    ServerUnavailableError,
    UnsupportedError,
    UnsupportedServerError,
)
from ndb_models.json_text import ObjectText
from ndb_models.protocol.commands import COMMANDS, MAYBE_DONE, Command
from ndb_models.protocol.data_sets import why_not_a_data_set
from ndb_models.protocol.exchange import Call, Exchange
from ndb_models.protocol.prepared import Prepared
from ndb_models.protocol.servers import no_sessions
from ndb_models.protocol.statuses import UNAVAILABLE, Status, describe
from ndb_models.types import JsonValue, SessionToken
from ndb_models.uncopyable import Uncopyable

_logger: Final = logging.getLogger("ndb_models.client")
# Called for each request, since the level may change at any time.
_is_enabled_for: Final = _logger.isEnabledFor

T = TypeVar("T")

_SH_GET: Final = COMMANDS["SH_GET"]
_SH_NEW_SET: Final = COMMANDS["SH_NEW_SET"]

# A NemesisDB's answer if the value is no array. The server has not failed.
_NO_ARRAY: Final = ("KV_ARR_APPEND", Status.UNKNOWN)

# Types that `_ask` can expect. It checks the outermost type only.
_STRINGS: Final = frozenset({str})
OBJECT: Final[type[dict[str, JsonValue]]] = dict
NAMES: Final[type[list[str]]] = list
TOKENS: Final[type[list[SessionToken]]] = list
VALUES: Final[type[list[JsonValue]]] = list


class Requester(Uncopyable):
    """Sends requests over a transport. It has no transport before it is opened and after it is closed.

    All requests pass here, by `request` or `begin`. Each is logged at DEBUG, by name and sizes.
    """

    def __init__(self) -> None:
        self._transport: Transport | None = None
        self._forks = forks.count
        # Commands that the server does not know, and the number of the connection on which it said so.
        self._unknown: frozenset[str] = frozenset()
        self._unknown_on = 0
        self.is_remote: bool = False
        """Whether the server may be another program than an engine of this package."""
        self.prefers_looks: bool = False
        """Whether a read that extends no expiry is much less work for the store than one that does."""
        # Work that goes on without a waiting caller.
        self._background: set[asyncio.Future[Any]] = set()

    def _use(self, transport: Transport | None) -> None:
        """Use this transport from now on; None for no transport."""
        self._transport = transport
        self._unknown = frozenset()
        self.is_remote = transport is not None and transport.is_remote
        self.prefers_looks = transport is not None and transport.prefers_looks
        self._forks = forks.count

    def request(self, exchange: Exchange) -> Awaitable[bytes]:
        """Send the request of an `exchange` and return the frame that answers it, also on a failure status.

        For layers that read and write frames themselves. Applications use the method of each command. Raises
        `NotConnectedError` if the client is not open, and the errors of `Transport.request`.
        """
        transport = self._transport_in_use
        if forks.count != self._forks:
            transport.refuse_fork()
        requesting = transport.request(exchange)
        return _logged_frames(exchange, requesting) if _is_enabled_for(DEBUG) else requesting

    def begin(self, prepared: Prepared) -> dict[str, Any] | Awaitable[dict[str, Any]]:
        """Send a prepared request; return the body of its answer, also on a failure status. Values stay texts.

        The body is a dict. If the answer takes waiting, an awaitable for it is returned. Raises as `request`.
        """
        transport = self._transport or self._transport_in_use
        if forks.count != self._forks:
            transport.refuse_fork()
        performing = transport.perform(prepared)
        return _logged(prepared, performing) if _is_enabled_for(DEBUG) else performing

    async def perform(self, prepared: Prepared) -> dict[str, Any]:
        """Send a prepared request, wait for its answer, and return the body. See `begin`."""
        begun = self.begin(prepared)
        return begun if isinstance(begun, dict) else await begun

    @property
    def connection_number(self) -> int:
        """The number of the connection for the next request."""
        transport = self._transport or self._transport_in_use
        return transport.connections + (not transport.is_connected)

    def may_know(self, command: Command) -> bool:
        """Return False if the server has said on this connection that it does not know a command."""
        return command.name not in self._unknown or self.connection_number != self._unknown_on

    def note_unknown(self, command: Command, asked_on: int | None = None) -> None:
        """Record that the server does not know a command. A new connection clears the record.

        `asked_on` is the number of the connection on which it said so, if another may have been made since then. Such a
        connection may lead to another server, so nothing is recorded.
        """
        connection = self.connection_number
        if asked_on not in (None, connection):
            return
        known = self._unknown if connection == self._unknown_on else frozenset[str]()
        self._unknown, self._unknown_on = known | {command.name}, connection

    async def attempt(self, prepared: Prepared) -> dict[str, Any] | None:
        """Send a prepared request beyond NemesisDB's protocol; return the body of its answer, also on a failure status.

        Return None if the server does not know the command. It is not asked again on the same connection.

        Raises as `request`.
        """
        command = prepared.command
        if not self.may_know(command):
            return None
        connection = self.connection_number
        answer = await self.perform(prepared)
        if answer["st"] != Status.COMMAND_NOT_EXIST:
            return answer
        self.note_unknown(command, connection)
        return None

    @property
    def _transport_in_use(self) -> Transport:
        if self._transport is None:
            raise NotConnectedError("the client is not open: call open(), or use NdbClient.connect()")
        return self._transport

    async def _call(self, name: str, /, **body: object) -> dict[str, JsonValue]:
        """Send a command and return the body of its answer. Raises the error for a failure status."""
        return await self._perform(Call(COMMANDS[name], body))

    async def _perform(self, call: Call) -> dict[str, JsonValue]:
        command = call.command
        if command.beyond and not self.may_know(command):
            raise unsupported(command.name, command)
        answer = call.read(await self.request(call))
        if answer["st"] != call.success:
            if command.beyond and answer["st"] == Status.COMMAND_NOT_EXIST:
                raise unsupported(command.name, command)
            raise await self.identified(failure(call.command, answer))
        return answer

    async def identified(self, error: NdbError) -> NdbError:
        """Return the error, with the server's version if that explains it; see `PeerCommands`."""
        return error

    async def _done(self, name: str, /, **body: object) -> bool:
        """Send a command that returns no data. Return True, so that it can stand in an `if`; a failure raises."""
        await self._perform(Call(COMMANDS[name], body))
        return True

    async def _ask(self, name: str, answer_field: str, expected: type[T], /, **body: object) -> T:
        """Send a command and return one field of its answer. Raises `ProtocolError` for a field of another type."""
        return field_of(await self._perform(Call(COMMANDS[name], body)), answer_field, expected)

    async def _ask_names(self, name: str, answer_field: str, /, **body: object) -> list[str]:
        """Send a command and return a field of its answer that holds names.

        Raises:
            ProtocolError: the field is no array of strings.
        """
        names = await self._ask(name, answer_field, NAMES, **body)
        if not _STRINGS.issuperset(map(type, names)):
            raise ProtocolError(f"the server's answer to {name} has names that are no strings")
        return names

    async def _describe(self, name: str, /, **body: object) -> dict[str, JsonValue]:
        """Send a command and return its answer without the status."""
        answer = await self._call(name, **body)
        del answer["st"]
        return answer

    def in_background(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T | None]:
        """Run work in the background. If it raises an `NdbError`, the task returns None instead."""

        async def quietly() -> T | None:
            with contextlib.suppress(NdbError):
                return await work
            return None

        return self._in_task(quietly())

    def leave_running(self, begun: Awaitable[object]) -> None:
        """Let a request that was begun go on without a waiting caller. If it fails, the error is dropped."""
        if isinstance(begun, asyncio.Future):  # which takes no task
            self._background.add(begun)
            begun.add_done_callback(self._forget)
        else:
            self.in_background(_done(begun))

    def _forget(self, begun: asyncio.Future[Any]) -> None:
        self._background.discard(begun)
        if not begun.cancelled():
            begun.exception()  # so asyncio does not complain that no one looked at it

    async def to_the_end(self, work: Coroutine[Any, Any, T]) -> T:
        """Do work that must not stop halfway, and return its result.

        If the caller is cancelled, the work goes on in the background, and its errors are dropped.
        """
        task = self._in_task(work)
        await asyncio.wait([task])
        return task.result()

    def _in_task(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = UnattendedTask(work, loop=asyncio.get_running_loop())
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task


async def _done(begun: Awaitable[object]) -> None:
    await begun


async def _logged_frames(exchange: Exchange, requesting: Awaitable[bytes]) -> bytes:
    try:
        answer = await requesting
    except BaseException as exc:
        _log_failure(exchange.command, exc)
        raise
    _logger.debug("%s: %d bytes sent, %d received", exchange.command.name, len(exchange.frame), len(answer))
    return answer


def _logged(
    prepared: Prepared, performing: dict[str, Any] | Awaitable[dict[str, Any]]
) -> dict[str, Any] | Awaitable[dict[str, Any]]:
    """Log a request with its answer: at once if it is there, so that logging changes no order of events."""
    if not isinstance(performing, dict):
        return _logged_values(prepared, performing)
    _log_values(prepared.command, prepared.values, performing.get("keys"))
    return performing


async def _logged_values(prepared: Prepared, performing: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    try:
        answer = await performing
    except BaseException as exc:
        _log_failure(prepared.command, exc)
        raise
    _log_values(prepared.command, prepared.values, answer.get("keys"))
    return answer


def _log_values(command: Command, sent: ObjectText | None, received: object) -> None:
    sizes = [len(keys.text) if isinstance(keys, ObjectText) else 0 for keys in (sent, received)]
    _logger.debug("%s: %d bytes of values sent, %d received", command.name, *sizes)


def _log_failure(command: Command, failure: BaseException) -> None:
    _logger.debug("%s: %s", command.name, type(failure).__name__)


def field_of(answer: Mapping[str, JsonValue], name: str, expected: type[T]) -> T:
    """Return a field of an answer, checked for its type.

    Raises:
        ProtocolError: the field is missing, or has another type.
    """
    value: Any = answer.get(name)
    if type(value) is not expected:
        raise ProtocolError(f"the server's answer has no {name!r} of type {expected.__name__}")
    return value


def failure(command: Command, answer: Mapping[str, JsonValue]) -> ResponseError:
    """Return the error for an answer with a failure status."""
    given = answer["st"]
    status = given if isinstance(given, int) else 0
    if status == Status.COMMAND_NOT_EXIST and command.name.startswith("SH_"):
        return UnsupportedServerError(command.name, _said(answer), no_sessions(None))
    is_unavailable = status in UNAVAILABLE and (command.name, status) != _NO_ARRAY
    error = ServerUnavailableError if is_unavailable else ResponseError
    return error(command.name, _said(answer), describe(status))


def _said(answer: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the parts of an answer that describe a failure, without values and tokens."""
    kinds = {"st": (int,), "m": (str, type(None)), "tkn": (type(None),), MAYBE_DONE: (bool,)}
    return {name: answer[name] for name, types in kinds.items() if name in answer and type(answer[name]) in types}


def checked_data_set(name: str) -> str:
    """Return the name, if a data set can have it.

    Raises:
        InvalidArgumentError: a data set cannot have this name.
    """
    reason = why_not_a_data_set(name)
    if reason is not None:
        raise InvalidArgumentError(reason)
    return name


def unsupported(what: str, command: Command) -> UnsupportedError:
    """Return the error for an operation that needs a command which the server does not know."""
    return UnsupportedError(what, f"the server does not know the command {command.name}, which NemesisDB does not have")


def names_of(keys: Sequence[str]) -> Sequence[str]:
    """Return the names of keys, if they are not one string.

    Raises:
        InvalidArgumentError: `keys` is a str. Each of its characters would count as a name.
    """
    if isinstance(keys, str):
        raise InvalidArgumentError('keys is a list or a tuple of names, not a str: ("name",)')
    return keys
