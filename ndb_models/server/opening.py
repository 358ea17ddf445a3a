"""A connection during its opening handshake: bounded in bytes, and to be evicted where there are too many."""

from __future__ import annotations

import asyncio
import logging
import time
from abc import abstractmethod
from http import HTTPStatus
from typing import Any

from websockets.asyncio.connection import Connection
from websockets.asyncio.server import Server, ServerConnection
from websockets.server import ServerProtocol

from ndb_models.server.connection_registry import address_of
from ndb_models.server.handshake import RequestEnd
from ndb_models.server.options import ServerOptions
from ndb_models.server.traffic import Refusal, Traffic

_logger = logging.getLogger(__name__)


class OpeningConnection(ServerConnection):
    """What a connection is before it is a client.

    Its request is read up to `max_header_bytes`, line feeds included; a longer one gets HTTP status 431. Nothing more
    is read until the request is answered; what came in one segment with it waits, and what follows a refusal is thrown
    away. `peer` is where it comes from, to be logged, and `address` what limits count it by. One that is for
    `only_probes` is refused as a client.
    """

    def __init__(
        self,
        protocol: ServerProtocol,
        server: Server,
        *,
        options: ServerOptions,
        traffic: Traffic,
        peer: str,
        only_probes: bool = False,
        **more: Any,
    ) -> None:
        super().__init__(protocol, server, **more)
        self.peer = peer
        self.address = address_of(peer)
        self.arrived_at = time.monotonic()
        self.only_probes = only_probes
        self._options = options
        self._traffic = traffic
        self._head_left = options.max_header_bytes
        self._request_end = RequestEnd()
        # What came behind the request before it was answered: frames already.
        self._early: list[bytes] = []
        self._is_held = False
        self._is_connected = False
        self.has_shaken_hands = False
        # In whose course TLS is agreed on, before there is a transport.
        self._opened_by = asyncio.current_task()

    @property
    def is_answered(self) -> bool:
        """Whether the request was answered, or refused before it was whole."""
        return self.response is not None or self.protocol.handshake_exc is not None

    def hang_up(self) -> None:
        """End the connection at once, if it was made."""
        if self._is_connected:
            self.transport.abort()

    def evict(self) -> None:
        """End at once, also while TLS is agreed on, or an answer is made that waits for the store."""
        if not self.has_shaken_hands and self._opened_by is not None:
            self._opened_by.cancel()
        self.hang_up()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin. Not as websockets' server does: its task is started for it."""
        self._is_connected = True
        Connection.connection_made(self, transport)

    def data_received(self, data: bytes) -> None:
        """Take bytes of the request, and keep what follows it until it is answered."""
        if self.is_answered:
            return
        if self.request is not None:
            self._early.append(data)
            return
        head, rest = self._request_end.split(data)
        head = head[: self._head_left]
        self._head_left -= len(head)
        self._hand_over(head)
        if self.protocol.handshake_exc is not None:
            self._note_refusal(Refusal.REQUEST)
        elif self._has_request():
            self._hold()
            if rest:
                self._early.append(rest)
        elif not self._head_left:
            self._refuse_head()

    def _hand_over(self, data: bytes) -> None:
        """Have websockets take these bytes."""
        super().data_received(data)

    def _has_request(self) -> bool:
        return self.request is not None

    @abstractmethod
    def _begin_with(self, early: bytes) -> None:
        """Begin to answer a client: the handshake has ended, and this came together with it."""

    def _refuse_head(self) -> None:
        text = f"The request and its headers are larger than {self._options.max_header_bytes} bytes.\n"
        self.response = self.protocol.reject(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, text)
        self.protocol.send_response(self.response)
        self.send_data()
        self._note_refusal(Refusal.REQUEST)

    def _note_refusal(self, reason: Refusal) -> None:
        self._traffic.refused[reason] += 1
        _logger.info("handshake refused", extra={"fields": {"reason": reason.value, "peer": self.peer}})

    def _hold(self) -> None:
        self._is_held = True
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def send_data(self) -> None:
        """Send what websockets has to say. Once that is the answer to the request, read on."""
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
