"""A request and its answer: the frame to send, the check of the answer, and the handling of a late answer."""

# A protocol's methods have no bodies.
# pyright: reportReturnType=false

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Protocol

from ndb_models.errors import ProtocolError
from ndb_models.protocol.codec import decode_answer
from ndb_models.protocol.commands import Command
from ndb_models.strict_json import encode_command
from ndb_models.types import JsonValue


class Exchange(Protocol):
    """A request as transports see it.

    Attributes:
        command: the row of the table.
        frame: the frame to send.
        on_orphan: takes an answer that came after its caller stopped waiting.
        is_checked: whether `fits` may refuse an answer.
    """

    command: Command
    frame: bytes
    on_orphan: Callable[[bytes], None] | None
    is_checked: ClassVar[bool]

    def fits(self, answer: bytes) -> bool:
        """Tell whether a frame of the right name can be the answer."""


def orphaned(exchange: Exchange, answer: bytes) -> None:
    """Hand over an answer that came after its caller stopped waiting."""
    if exchange.on_orphan is not None:
        exchange.on_orphan(answer)


class Call:
    """A command with its parameters. The answer is decoded once, for the check and for use.

    Raises:
        InvalidArgumentError: the parameters hold a value that is not JSON; the message says where.
    """

    __slots__ = ("_answer", "_body", "_read", "command", "frame", "on_orphan", "success")

    is_checked: ClassVar[bool] = True

    def __init__(self, command: Command, body: Mapping[str, object]) -> None:
        self.command: Command = command
        self.frame: bytes = encode_command(command.name, body)
        self.on_orphan: Callable[[bytes], None] | None = None
        self.success: int = command.success_status
        self._body = body
        self._read = b""
        self._answer: dict[str, JsonValue] = {}

    def fits(self, answer: bytes) -> bool:
        """Tell whether a frame of the right name can be the answer, by the parts of the request that it repeats."""
        try:
            body = self.read(answer)
        except ProtocolError:
            return False
        return body["st"] != self.success or self.command.echo(self._body, body)

    def read(self, answer: bytes) -> dict[str, JsonValue]:
        """Return the body of the answer.

        Raises:
            ProtocolError: the frame is not an answer.
        """
        if answer is not self._read:
            self._read, self._answer = answer, decode_answer(answer)
        return self._answer
