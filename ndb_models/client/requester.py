"""What the command methods stand on: naming a request, sending it, and reading its answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from ndb_models.client.transport import Transport
from ndb_models.errors import NotConnectedError, ProtocolError, ResponseError
from ndb_models.types import JsonValue, SessionToken
from ndb_models.wire.codec import decode_answer, encode_request
from ndb_models.wire.commands import COMMANDS, Command
from ndb_models.wire.statuses import describe

_logger = logging.getLogger("ndb_models.client")

T = TypeVar("T")

# What `_ask` is told to expect: it looks at the outermost type, and that only.
OBJECT: Final[type[dict[str, JsonValue]]] = dict
NAMES: Final[type[list[str]]] = list
TOKENS: Final[type[list[SessionToken]]] = list


def _any_fits(_frame: bytes) -> bool:
    return True


class Exchange:
    """A request and what was read of its answer, which is decoded once: to see whether it fits, and to be used."""

    __slots__ = ("_answer", "_body", "_command", "_frame")

    def __init__(self, command: Command, body: Mapping[str, object]) -> None:
        self._command = command
        self._body = body
        self._frame = b""
        self._answer: dict[str, JsonValue] = {}

    def fits(self, frame: bytes) -> bool:
        """Tell whether a frame can be the answer, by what it repeats of the request."""
        try:
            answer = self.read(frame)
        except ProtocolError:
            return False
        return answer["st"] != self._command.success or self._command.echo(self._body, answer)

    def read(self, frame: bytes) -> dict[str, JsonValue]:
        """Return the body of the answer."""
        if frame is not self._frame:
            self._frame, self._answer = frame, decode_answer(frame)
        return self._answer


class Requester:
    """Sends requests over a transport, which it may not have yet or any more."""

    def __init__(self) -> None:
        self._transport: Transport | None = None

    async def request(self, command: Command, frame: bytes, fits: Callable[[bytes], bool] = _any_fits) -> bytes:
        """Send a request's frame and return the frame that answers it, whatever its status.

        For layers that read and write frames themselves; everyone else has a method for each command. See
        `Transport.request` for `fits`, and for what is raised besides `NotConnectedError`: the client is not open.
        """
        answer = await self._transport_in_use.request(command, frame, fits)
        if _logger.isEnabledFor(logging.DEBUG):
            _logger.debug("%s: %d bytes sent, %d received", command.name, len(frame), len(answer))
        return answer

    @property
    def _transport_in_use(self) -> Transport:
        if self._transport is None:
            raise NotConnectedError("the client is not open: call open(), or use NdbClient.connect()")
        return self._transport

    async def _call(self, name: str, /, **body: object) -> dict[str, JsonValue]:
        """Send a command and return the body of its answer, if that says that it was carried out."""
        command = COMMANDS[name]
        exchange = Exchange(command, body)
        answer = exchange.read(await self.request(command, encode_request(command, body), exchange.fits))
        if answer["st"] != command.success:
            raise failure(command, answer)
        return answer

    async def _done(self, name: str, /, **body: object) -> bool:
        """Send a command that only succeeds or fails; True, so that it can be asked with `if`."""
        await self._call(name, **body)
        return True

    async def _ask(self, name: str, answer_field: str, expected: type[T], /, **body: object) -> T:
        """Send a command and return one field of its answer, of the type that it must have."""
        value: Any = (await self._call(name, **body)).get(answer_field)
        if type(value) is not expected:
            raise ProtocolError(f"the answer to {name} has no {answer_field!r} of type {expected.__name__}")
        return value

    async def _describe(self, name: str, /, **body: object) -> dict[str, JsonValue]:
        """Send a command and return its answer without the status."""
        answer = await self._call(name, **body)
        del answer["st"]
        return answer


def failure(command: Command, answer: dict[str, JsonValue]) -> ResponseError:
    """Return the error for an answer whose status is not the command's success."""
    status = answer["st"]
    return ResponseError(command.name, answer, describe(status if isinstance(status, int) else 0))
