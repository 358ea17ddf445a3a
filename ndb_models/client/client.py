"""The raw client."""

from __future__ import annotations

import asyncio
import logging
import threading
import warnings
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Final, Self, Unpack, overload

from ndb_models import forks
from ndb_models.client.elsewhere import check_elsewhere, open_elsewhere
from ndb_models.client.first_use import FirstUse
from ndb_models.client.in_process import open_memory
from ndb_models.client.keys import KeyCommands
from ndb_models.client.options import OptionArguments, Options
from ndb_models.client.peer import PeerCommands
from ndb_models.client.sessions import SessionCommands
from ndb_models.client.transport import Transport
from ndb_models.client.uri import ElsewhereUri, EmbeddedUri, MemoryUri, Uri, WebSocketUri, parse_uri
from ndb_models.client.websocket import WebSocketTransport
from ndb_models.errors import ConnectError, InvalidArgumentError
from ndb_models.uncopyable import Uncopyable
from ndb_models.usage import NotAwaited, NotSynchronous

# Seconds that closing waits for background work left by cancelled callers.
_LONGEST_FAREWELL: Final = 1.0

_logger = logging.getLogger("ndb_models")


class NdbClient(KeyCommands, SessionCommands, PeerCommands, NotAwaited):
    """A client of a NemesisDB, of this package's server, or of an engine in this process.

    Many tasks of one event loop may use it at once. Each gets the answers to its own requests. Names, arguments and
    results are the same as in NemesisDB's own Python API: a program for that API runs once its import is changed. There
    are three ways to make a client:

    - `async with NdbClient.connect(uri) as client`: connects now, and raises if it cannot.
    - `NdbClient(uri)`: needs no server and no event loop, so it can be made at module level. It connects at its first
      use, in the event loop of that use. It waits for an absent server as in any outage: `connect_wait`. After `close`
      it is as new, and may be used in another event loop. `async with` closes it.
    - `NdbClient()` and `await client.open(uri)`, as in NemesisDB's own API.

    `kv_*` commands are about keys that all clients share, `sh_*` commands about those of the session `tkn`. `keys` is a
    mapping to write, or a sequence of names. A command that only succeeds or fails returns True. A refusal raises
    `ResponseError`, with the status that the command names; an unknown session is status 100.

    Args:
        uri: as for `connect`.
        debug: log commands and sizes to standard error, never values or tokens.
        options: as for `connect`.

    Attributes:
        max_payload: bytes of the largest frame that the server takes; None for an engine in this process, which has no
            limit.

    Raises:
        InvalidArgumentError: the URI cannot be opened by any transport, or an option is wrong.
    """

    USAGE = (
        "a client needs a URI: async with NdbClient.connect(uri) as client: ...; or client = NdbClient(uri), which"
        " connects at its first use"
    )
    INSTEAD = "open one where it is needed, NdbClient.connect(uri)"

    @overload
    def __init__(self, debug: bool, /) -> None: ...

    @overload
    def __init__(self, *, debug: bool = False) -> None: ...

    @overload
    def __init__(self, uri: str, *, debug: bool = False, **options: Unpack[OptionArguments]) -> None: ...

    def __init__(
        self, uri: str | bool | None = None, *, debug: bool = False, **options: Unpack[OptionArguments]
    ) -> None:
        super().__init__()
        given: object = debug
        if not isinstance(given, bool):
            raise InvalidArgumentError(f"debug is a bool, not a {type(given).__name__}")
        self._shown_uri = ""
        # Held while opening and closing: two at once would leave a connection without an owner.
        self._opening = asyncio.Lock()
        self._opening_in: asyncio.AbstractEventLoop | None = None
        self._first_use_lock = threading.Lock()
        self._made_in = forks.count
        # The target that the first use opens, for a client that was made with a URI.
        self._target: Uri | None = None
        self._options = _checked_options(options)
        self.max_payload: int | None = None
        if uri is not None and not isinstance(uri, bool):
            self._target = _checked_target(uri, self._options)
            self._aim(self._target, self._options)
            self._use(self._first_use(self._target))
        elif options:
            raise InvalidArgumentError("options are for a URI: NdbClient(uri, ...)")
        if debug or uri is True:
            _log_to_stderr()

    @classmethod
    def connect(cls, uri: str, *, debug: bool = False, **options: Unpack[OptionArguments]) -> Connecting:
        """Open a client, and close it at the end of the block: `async with NdbClient.connect(...) as client`.

        `await NdbClient.connect(...)` returns a client that you close yourself.

        Args:
            uri: `memory://`, `memory://NAME`, `sqlite:///PATH`, `ws://HOST:PORT/` or `wss://HOST:PORT/`.
            debug: see the class.
            options: for `ws://` and `wss://`:

                open_timeout: seconds for a connection and its handshake; 10 by default.
                request_timeout: seconds for a request, from the call to the answer, including reconnecting and
                    repeating; 30 by default.
                attempt_timeout: seconds without an answer after which a connection counts as frozen; 5 by default.
                    Requests that are safe to repeat then go over a new connection. Commands that have taken longer
                    before get more time. Saving and loading data sets have no limit.
                connect_wait: seconds that requests wait for the end of an outage, counted from its beginning; 5 by
                    default. Later requests fail at once, until the server is back.
                max_payload: bytes of the largest frame that the server takes; 1 MiB by default. Larger frames are
                    refused before they are sent. A NemesisDB takes 1,024 in its default configuration, and at most
                    8,192.
                max_in_flight: the most requests that may wait for answers at once; 64 by default.
                reconnect: connect again when the connection is lost, and repeat requests that are safe to repeat; True
                    by default.
                keepalive: seconds between checks that the server is alive; 20 by default, None for no checks.
                ssl: the TLS context for `wss://`; None, the default, for the system's trusted certificates.
                token: the bearer token that the server asks for; None, the default, for no token. Never shown.
                headers: more headers for the handshake. Never shown.

        Raises:
            InvalidArgumentError: an option is wrong. When awaited or entered: the URI cannot be opened by any
                transport.
            ConnectError: when awaited or entered: no connection can be made.
        """
        return Connecting(cls(debug=debug), uri, _checked_options(options))

    async def open(self, uri: str) -> bool:
        """Connect, and return whether that succeeded. An open client is closed first.

        Raises:
            ValueError: the URI is empty, or cannot be opened by any transport.
        """
        try:
            await self._open(uri, Options())
        except ConnectError as exc:
            _logger.debug("%s", exc)
            return False
        return True

    async def _open(self, uri: str, options: Options) -> None:
        target = _checked_target(uri, options)
        self._leave_to_parent()
        async with self._opening_lock():
            self._target = None
            await self._close()
            self._aim(target, options)
            self._use(await _opened(target, options))

    def _aim(self, target: Uri, options: Options) -> None:
        """Set the shown URI and `max_payload` for a target, before there is a connection."""
        self._shown_uri = target.shown
        self.max_payload = options.max_payload if isinstance(target, WebSocketUri) else None

    def _first_use(self, target: Uri) -> FirstUse:
        return FirstUse(self._open_at_first_use, is_remote=isinstance(target, WebSocketUri))

    async def _open_at_first_use(self) -> Transport:
        if isinstance(self._target, MemoryUri):
            return self._open_memory_at_first_use(self._target)
        loop = asyncio.get_running_loop()
        with self._first_use_lock:
            if self._opening_in not in (None, loop) and not self._opening_in.is_closed():
                raise InvalidArgumentError(
                    "this client is in use in another event loop: close() it there first, or make one for each"
                )
            if self._opening_in is not loop:
                self._opening, self._opening_in = asyncio.Lock(), loop
        async with self._opening:
            if isinstance(self._transport, FirstUse) and self._target is not None:
                self._use(await _opened(self._target, self._options, waits=True))
            return self._transport_in_use

    def _open_memory_at_first_use(self, target: MemoryUri) -> Transport:
        """Open a store in memory. Several threads may use the client for the first time at once."""
        if forks.count != self._made_in:
            raise InvalidArgumentError(
                f"this client of {target.shown} was made before the process was forked, and would have a store of its"
                " own in each: to share sessions between processes use sqlite:///PATH or a server"
            )
        with self._first_use_lock:
            if isinstance(self._transport, FirstUse):
                self._use(open_memory(target))
            return self._transport_in_use

    def _opening_lock(self) -> asyncio.Lock:
        """Return the lock of the running loop. A closed client may move to another loop, which needs a new lock."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # the process was forked in the middle of a task
            return asyncio.Lock()
        if self._opening_in is not loop:
            self._opening, self._opening_in = asyncio.Lock(), loop
        return self._opening

    async def close(self) -> None:
        """Close the connection. Requests in flight fail; closing twice does no harm.

        `open` opens it again. A client that was made with a URI also connects again at its next use. After a fork the
        open connection belongs to the parent, so the child only lets go of it.
        """
        self._leave_to_parent()
        async with self._opening_lock():
            await self._close()

    def _leave_to_parent(self) -> None:
        """After a fork, let go of the parent's transport, its tasks, and a lock that they may hold."""
        if forks.count == self._forks:
            return
        transport = self._transport
        self._opening_in = None
        self._background.clear()
        self._use(None if self._target is None else self._first_use(self._target))
        if transport is not None:
            transport.abandon()

    async def _close(self) -> None:
        if self._background and self._transport is not None:
            await asyncio.wait(self._background, timeout=_LONGEST_FAREWELL)
        transport = self._transport
        self._use(None if self._target is None else self._first_use(self._target))
        if transport is not None:
            await transport.aclose()
        if self._target is not None:
            self._opening_in = None  # the next use may be in another loop

    async def __aenter__(self) -> Self:
        if self._transport is None:
            raise InvalidArgumentError(self.USAGE)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def is_open(self) -> bool:
        """Whether the client is open. One that was made with a URI opens at its first use."""
        return self._transport is not None and not isinstance(self._transport, FirstUse)

    @property
    def uri(self) -> str | None:
        """The URI of the store, without user, password and options. None if the client was never opened."""
        return self._shown_uri or None

    def __repr__(self) -> str:
        return f"<NdbClient {self._shown_uri or '(never opened)'}{'' if self.is_open else ', not open'}>"

    def __del__(self, warn: Callable[..., None] = warnings.warn) -> None:
        transport: Transport | None = getattr(self, "_transport", None)
        if transport is None or forks.count != self._forks:  # after a fork it is the parent's to close
            return
        try:
            is_unclosed = transport.abandon()
        except Exception:  # noqa: BLE001 - at the end of the process modules may be gone, and no caller is left
            is_unclosed = True
        if is_unclosed:
            warn(f"unclosed {self!r}", ResourceWarning, source=self)


class Connecting(Uncopyable, NotSynchronous):
    """A client that is not open yet: enter it with `async with`, or await it."""

    INSTEAD = NdbClient.INSTEAD
    USAGE = NdbClient.USAGE

    def __init__(self, client: NdbClient, uri: str, options: Options) -> None:
        self._client = client
        self._uri = uri
        self._options = options

    @property
    def client(self) -> NdbClient:
        """The client, which is not open before this was entered or awaited."""
        return self._client

    async def __aenter__(self) -> NdbClient:
        await self._client._open(self._uri, self._options)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # the two are one
        return self._client

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._client.close()

    def __await__(self) -> Generator[None, None, NdbClient]:
        return self.__aenter__().__await__()


def _checked_options(options: OptionArguments) -> Options:
    known = Options.__dataclass_fields__
    for name in options:
        if name not in known:
            raise InvalidArgumentError(f"there is no option {name!r}; there are {', '.join(known)}")
    return Options(**options)


def _checked_target(uri: str, options: Options) -> Uri:
    """Return the parsed target of a URI.

    Raises:
        InvalidArgumentError: the URI cannot be opened by any transport, or an option does not fit it.
    """
    target = parse_uri(uri)
    if options.ssl is not None and isinstance(target, WebSocketUri) and not target.secure:
        raise InvalidArgumentError("ssl= is for wss://, and the URI is ws://")
    if isinstance(target, EmbeddedUri):
        from ndb_models.client.embedded import check_embedded  # some Pythons have no sqlite3

        check_embedded(target.text)
    if isinstance(target, ElsewhereUri):
        check_elsewhere(target.text)
    return target


async def _opened(target: Uri, options: Options, *, waits: bool = False) -> Transport:
    """Open a target. With `waits`, the first request connects to a server, so that it can wait for an absent one."""
    if isinstance(target, MemoryUri):
        return open_memory(target)
    if isinstance(target, EmbeddedUri):
        from ndb_models.client.embedded import open_embedded  # some Pythons have no sqlite3

        return await open_embedded(target.text)
    if isinstance(target, ElsewhereUri):
        return await open_elsewhere(target.text)
    if waits and options.reconnect:
        return WebSocketTransport(target, options)
    return await WebSocketTransport.open(target, options)


def _log_to_stderr() -> None:
    """Switch debug output on, once for the process."""
    _logger.setLevel(logging.DEBUG)
    if not any(type(handler) is logging.StreamHandler for handler in _logger.handlers):
        _logger.addHandler(logging.StreamHandler())
