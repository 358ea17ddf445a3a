"""What the command methods stand on: naming a request, sending it, and reading its answer."""

from __future__ import annotations

import logging
from typing import Any, TypeVar

from ndb_models.client.transport import Transport
from ndb_models.errors import NotConnectedError, ProtocolError, ResponseError
from ndb_models.types import JsonValue
from ndb_models.wire.codec import decode_answer, encode_request
from ndb_models.wire.commands import COMMANDS, Command
from ndb_models.wire.statuses import describe

_logger = logging.getLogger("ndb_models.client")

T = TypeVar("T")


class Requester:
    """Sends requests over a transport, which it may not have yet or any more."""

    def __init__(self) -> None:
        self._transport: Transport | None = None

    async def request(self, command: Command, frame: bytes) -> bytes:
        """Send a request's frame and return the frame that answers it, whatever its status.

        For layers that read and write frames themselves; everyone else has a method for each command.

        Raises:
            NotConnectedError: the client is not open.
            ConnectionLostError: the connection failed before the answer came.
            RequestTimeoutError: no answer came in time.
            ProtocolError: what came cannot be the answer.
        """
        if self._transport is None:
            raise NotConnectedError("the client is not open: call open(), or use NdbClient.connect()")
        answer = await self._transport.request(command, frame)
        if _logger.isEnabledFor(logging.DEBUG):
            _logger.debug("%s: %d bytes sent, %d received", command.name, len(frame), len(answer))
        return answer

    async def _call(self, name: str, /, **body: object) -> dict[str, JsonValue]:
        """Send a command and return the body of its answer, if that says that it was carried out."""
        command = COMMANDS[name]
        answer = decode_answer(await self.request(command, encode_request(command, body)))
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
        if not isinstance(value, expected):
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
