"""The raw client."""

from __future__ import annotations

import asyncio
import logging
import ssl
import warnings
from collections.abc import Callable, Generator, Mapping
from types import TracebackType
from typing import Final

from ndb_models import forks
from ndb_models.client.in_process import open_memory
from ndb_models.client.keys import KeyCommands
from ndb_models.client.options import Options
from ndb_models.client.peer import PeerCommands
from ndb_models.client.sessions import SessionCommands
from ndb_models.client.transport import Transport
from ndb_models.client.uri import EmbeddedUri, MemoryUri, Uri, WebSocketUri, parse_uri
from ndb_models.client.websocket import WebSocketTransport
from ndb_models.errors import ConnectError, InvalidArgumentError
from ndb_models.uncopyable import Uncopyable
from ndb_models.usage import NotEntered, NotSynchronous

# How many seconds closing waits for what is still being done for callers who have gone.
_LONGEST_FAREWELL: Final = 1.0

_logger = logging.getLogger("ndb_models")


class NdbClient(KeyCommands, SessionCommands, PeerCommands, NotEntered):
    """A client of a NemesisDB, of this package's server, or of an engine in this process.

    It may be used by many tasks of one event loop at once; each gets the answers to its own requests. Names, arguments
    and results are those of NemesisDB's own Python API, so that a program written for that runs with the import
    changed. Preferred for new code:

        async with NdbClient.connect("ws://127.0.0.1:1987/") as client:
            await client.kv_set({"username": "billy"})

    Args:
        debug: log commands and sizes to standard error; never values, never tokens.

    Attributes:
        max_payload: bytes of the largest frame that the server takes; None where there is no limit, as in this process.
    """

    USAGE = "a client is opened by NdbClient.connect(uri): async with NdbClient.connect(uri) as client: ..."
    INSTEAD = "open one where it is needed, NdbClient.connect(uri)"

    def __init__(self, debug: bool = False) -> None:
        super().__init__()
        given: object = debug
        if not isinstance(given, bool):
            raise InvalidArgumentError("NdbClient() takes no URI: use NdbClient.connect(uri), or open(uri)")
        self._shown_uri = ""
        # Held while opening and closing: two at once would leave a connection in nobody's hands.
        self._opening = asyncio.Lock()
        self.max_payload: int | None = None
        if debug:
            _log_to_stderr()

    @classmethod
    def connect(
        cls,
        uri: str,
        *,
        open_timeout: float = 10.0,
        request_timeout: float = 30.0,
        max_payload: int = 1024 * 1024,
        max_in_flight: int = 64,
        reconnect: bool = True,
        keepalive: float | None = 20.0,
        ssl: ssl.SSLContext | None = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        debug: bool = False,
    ) -> Connecting:
        """Return a client that is open, and closed again at the end: `async with NdbClient.connect(...) as client`.

        `await NdbClient.connect(...)` returns one that is yours to close.

        Args:
            uri: `memory://`, `memory://NAME`, `sqlite:///PATH`, `ws://HOST:PORT/` or `wss://HOST:PORT/`.
            open_timeout: seconds for a connection and its handshake.
            request_timeout: seconds for a request, from the call to the answer, reconnecting and repeating included.
            max_payload: bytes of the largest frame that the server takes; larger ones are refused before they are sent.
                A NemesisDB takes 1,024 in its default configuration, and 8,192 at the most.
            max_in_flight: the most requests that are sent before they are answered.
            reconnect: connect again when the connection is lost, and repeat what is safe to repeat.
            keepalive: seconds between two looks whether the other side still lives; None for none.
            ssl: the TLS context for `wss://`; None for the system's trusted certificates.
            token: the bearer token that opens the server; None for none. Never shown.
            headers: more headers for the handshake. Never shown.
            debug: see the class.

        All but `debug` are for `ws://` and `wss://`.

        Raises (when awaited or entered):
            InvalidArgumentError: the URI names nothing that can be opened.
            ConnectError: no connection can be made.
        """
        options = Options(
            open_timeout=open_timeout,
            request_timeout=request_timeout,
            max_payload=max_payload,
            max_in_flight=max_in_flight,
            reconnect=reconnect,
            keepalive=keepalive,
            ssl=ssl,
            token=token,
            headers=headers or {},
        )
        return Connecting(cls(debug), uri, options)

    async def open(self, uri: str) -> bool:
        """Connect; return whether that was possible. A client that is open is closed first.

        Raises:
            ValueError: the URI is empty, or names nothing that can be opened.
        """
        try:
            await self._open(uri, Options())
        except ConnectError as exc:
            _logger.debug("%s", exc)
            return False
        return True

    async def _open(self, uri: str, options: Options) -> None:
        target = parse_uri(uri)
        self._leave_to_parent()
        async with self._opening:
            await self._open_anew(target, options)

    async def _open_anew(self, target: Uri, options: Options) -> None:
        await self._close()
        self._shown_uri = target.shown
        self.creates_whole = True
        self.max_payload = options.max_payload if isinstance(target, WebSocketUri) else None
        transport: Transport
        if isinstance(target, MemoryUri):
            transport = open_memory(target)
        elif isinstance(target, EmbeddedUri):
            from ndb_models.client.embedded import open_embedded  # there are Pythons without sqlite3

            transport = await open_embedded(target.text)
        else:
            transport = await WebSocketTransport.open(target, options)
        self._use(transport)

    async def close(self) -> None:
        """Close the connection. Requests in flight fail; closing twice does no harm; `open` opens again.

        In a process that was forked since, what is open is the parent's, and is only let go of.
        """
        self._leave_to_parent()
        async with self._opening:
            await self._close()

    def _leave_to_parent(self) -> None:
        """After a fork, let go of what belongs to the parent: its transport, its tasks, and a lock that they hold."""
        if forks.count == self._forks:
            return
        transport = self._transport
        self._opening = asyncio.Lock()
        self._background.clear()
        self._use(None)
        if transport is not None:
            transport.abandon()

    async def _close(self) -> None:
        if self._background and self._transport is not None:
            await asyncio.wait(self._background, timeout=_LONGEST_FAREWELL)
        transport = self._transport
        self._use(None)
        if transport is not None:
            await transport.aclose()

    def __repr__(self) -> str:
        return f"<NdbClient {self._shown_uri or '(never opened)'}{'' if self._transport else ', not open'}>"

    def __del__(self, warn: Callable[..., None] = warnings.warn) -> None:
        transport: Transport | None = getattr(self, "_transport", None)
        if transport is None or forks.count != self._forks:  # after a fork it is the parent's to close
            return
        try:
            is_unclosed = transport.abandon()
        except Exception:  # noqa: BLE001 - at the end of the process anything may be gone, and there is nobody to tell
            is_unclosed = True
        if is_unclosed:
            warn(f"unclosed {self!r}", ResourceWarning, source=self)


class Connecting(Uncopyable, NotSynchronous):
    """A client on its way: enter it with `async with`, or await it."""

    INSTEAD = NdbClient.INSTEAD
    USAGE = NdbClient.USAGE

    def __init__(self, client: NdbClient, uri: str, options: Options) -> None:
        self._client = client
        self._uri = uri
        self._options = options

    async def __aenter__(self) -> NdbClient:
        await self._client._open(self._uri, self._options)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # the two are one
        return self._client

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._client.close()

    def __await__(self) -> Generator[None, None, NdbClient]:
        return self.__aenter__().__await__()


def _log_to_stderr() -> None:
    """Switch debug output on, once for the process."""
    _logger.setLevel(logging.DEBUG)
    if not any(type(handler) is logging.StreamHandler for handler in _logger.handlers):
        _logger.addHandler(logging.StreamHandler())
