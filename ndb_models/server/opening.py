"""A connection in its opening handshake: its request is bounded in bytes, and it can be evicted."""

from __future__ import annotations

import asyncio
import logging
import time
from abc import abstractmethod
from http import HTTPStatus
from typing import Final, cast

from websockets.asyncio.connection import Connection
from websockets.asyncio.server import Server, ServerConnection
from websockets.http11 import Response
from websockets.server import ServerProtocol

from ndb_models.server.connection_registry import address_of
from ndb_models.server.context import ServerContext
from ndb_models.server.traffic import Refusal

# While a client's requests wait for a save, the server does not read its pongs either. This allows for long saves.
_PONG_WITHIN: Final = 120.0
_END_OF_REQUEST: Final = b"\r\n\r\n"

_logger = logging.getLogger(__name__)


class OpeningConnection(ServerConnection):
    """A connection that is no client yet.

    Its request may have `max_header_bytes`, line feeds included; a longer one gets HTTP status 431. Reading pauses
    until the request is answered. Bytes that came with the request wait; bytes after a refusal are thrown away.

    Attributes:
        peer: the IP address of the other side, for the log.
        address: the address that limits count by.
        only_probes: True if the connection may not become a client.
    """

    def __init__(self, protocol: ServerProtocol, context: ServerContext, *, peer: str, only_probes: bool) -> None:
        options = context.options
        server = cast("Server", context)  # websockets only asks it `is_serving`
        super().__init__(protocol, server, close_timeout=options.close_timeout, ping_timeout=_PONG_WITHIN)
        self.peer: str = peer
        self.address: str = address_of(peer)
        self.arrived_at: float = time.monotonic()
        self.only_probes: bool = only_probes
        self._options = options
        self._traffic = context.traffic
        self._head_left = options.max_header_bytes
        # The last bytes of the request so far: the mark of its end may span two pieces.
        self._head_tail = b""
        # Bytes that came after the request and before its answer: frames already.
        self._early: list[bytes] = []
        self._is_held = False
        self._is_connected = False
        self.has_shaken_hands: bool = False
        # The task that runs the TLS handshake: until it succeeds, there is no transport to abort.
        self._opened_by = asyncio.current_task()

    @property
    def is_answered(self) -> bool:
        """True if the request was answered, or refused before it was complete."""
        return self.response is not None or self.protocol.handshake_exc is not None

    def hang_up(self) -> None:
        """End the connection at once, if there is a transport."""
        if self._is_connected:
            self.transport.abort()

    def evict(self) -> None:
        """End the connection at once, even during the TLS handshake, or while its answer waits for the store."""
        if not self.has_shaken_hands and self._opened_by is not None:
            self._opened_by.cancel()
        self.hang_up()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport, but start no task, as websockets' server would: the server runs the connection."""
        self._is_connected = True
        Connection.connection_made(self, transport)

    def data_received(self, data: bytes) -> None:
        """Take bytes of the request; keep the bytes after it until it is answered."""
        if self.is_answered:
            return
        if self.request is not None:
            self._early.append(data)
            return
        head, rest = self._split(data)
        head = head[: self._head_left]
        self._head_left -= len(head)
        self._hand_over(head)
        if self.protocol.handshake_exc is not None:
            self.note_refusal(Refusal.REQUEST)
        elif self._has_request():
            self._hold()
            if rest:
                self._early.append(rest)
        elif not self._head_left:
            self._refuse_head()

    def _split(self, data: bytes) -> tuple[bytes, bytes]:
        """Split the next bytes into a part of the request and the rest after it."""
        seen = self._head_tail + data
        found = seen.find(_END_OF_REQUEST)
        if found < 0:
            self._head_tail = seen[1 - len(_END_OF_REQUEST) :]
            return data, b""
        end = found + len(_END_OF_REQUEST) - len(self._head_tail)
        return data[:end], data[end:]

    def _hand_over(self, data: bytes) -> None:
        """Give these bytes to websockets."""
        super().data_received(data)

    def _has_request(self) -> bool:
        return self.request is not None

    @abstractmethod
    def _begin_with(self, early: bytes) -> None:
        """Start answering a client after a successful handshake; `early` holds the bytes that came with it."""

    def _refuse_head(self) -> None:
        text = f"The request and its headers are larger than {self._options.max_header_bytes} bytes.\n"
        response = self.protocol.reject(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, text)
        self.response: Response | None = response
        self.protocol.send_response(response)
        self.send_data()
        self.note_refusal(Refusal.REQUEST)

    def note_refusal(self, reason: Refusal) -> None:
        """Count and log that the handshake is refused."""
        self._traffic.refused[reason] += 1
        _logger.info("handshake refused", extra={"fields": {"reason": reason.value, "peer": self.peer}})

    def _hold(self) -> None:
        self._is_held = True
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def send_data(self) -> None:
        """Send the output of websockets. Once it holds the answer to the request, resume reading."""
        super().send_data()
        if self._is_held and self.response is not None:
            self._is_held = False
            early = b"".join(self._early)
            self._early.clear()
            if not self.transport.is_closing():
                self.transport.resume_reading()
            if self.response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
                self.has_shaken_hands = True
                self._begin_with(early)
