"""The synchronous raw client."""

from __future__ import annotations

from types import TracebackType
from typing import Self, Unpack, overload

from ndb_models.client import NdbClient
from ndb_models.client.options import OptionArguments
from ndb_models.client.uri import MemoryUri, parse_uri
from ndb_models.errors import InvalidArgumentError
from ndb_models.sync.portal import Portal
from ndb_models.sync.verbs.key_commands import SyncKeyCommands
from ndb_models.sync.verbs.peer_commands import SyncPeerCommands
from ndb_models.sync.verbs.requester import SyncRequester
from ndb_models.sync.verbs.session_commands import SyncSessionCommands
from ndb_models.uncopyable import Uncopyable
from ndb_models.usage import NotAsynchronous


class SyncClient(SyncKeyCommands, SyncSessionCommands, SyncPeerCommands, SyncRequester, Uncopyable, NotAsynchronous):
    """A synchronous client: an `NdbClient` for programs without an event loop.

    Any number of threads may use it at once. The commands, their arguments, results and errors are those of
    `NdbClient`: `kv_*` for keys that all clients share, `sh_*` for the keys of the session `tkn`. A command that only
    succeeds or fails returns True. There are three ways to make a client:

    - `with SyncClient.connect(uri) as client`: connects now, and raises if it cannot.
    - `SyncClient(uri)`: needs no server, so it can be made at module level. It connects at its first use. After `close`
      it is as new. `with` closes it. In a forked process, such as a worker of gunicorn, it connects anew at its first
      use there.
    - `SyncClient()` and `client.open(uri)`, as in NemesisDB's own API.

    A call on `memory://` runs in the calling thread. Other calls run in a thread of the client's own, and the caller
    waits. A call that is interrupted, for example by Ctrl-C, is cancelled; it may or may not have been carried out. A
    client that is open when the process ends is closed then. In a thread with a running event loop, such as a
    notebook's, a call holds up that loop until it is done.

    Args:
        uri: as for `connect`.
        debug: log commands and sizes to standard error, never values or tokens.
        options: as for `connect`.

    Raises:
        InvalidArgumentError: the URI cannot be opened by any transport, or an option is wrong. After a fork, every call
            on a store in memory raises it, and so does every call of a client that was opened by `connect` or `open`.
            (For a file, such a client raises `StoreError`.)
        UnsupportedError: a call is made inside of the client's own work, such as a validator.
    """

    USAGE = "a SyncClient is synchronous: with SyncClient.connect(uri) as client: ..."
    INSTEAD = "open one where it is needed, SyncClient.connect(uri)"

    @overload
    def __init__(self, debug: bool, /) -> None: ...

    @overload
    def __init__(self, *, debug: bool = False) -> None: ...

    @overload
    def __init__(self, uri: str, *, debug: bool = False, **options: Unpack[OptionArguments]) -> None: ...

    def __init__(
        self, uri: str | bool | None = None, *, debug: bool = False, **options: Unpack[OptionArguments]
    ) -> None:
        if isinstance(uri, str):
            client, in_memory = NdbClient(uri, debug=debug, **options), _is_in_memory(uri)
        else:
            client, in_memory = _without_uri(uri is True or debug, options), False
        self._is_made_with_uri = isinstance(uri, str)
        self._is_opened = self._is_made_with_uri
        self._portal: Portal = Portal(client, runs_here=in_memory, renews=self._is_made_with_uri)

    @classmethod
    def connect(cls, uri: str, *, debug: bool = False, **options: Unpack[OptionArguments]) -> Self:
        """Open a client, and close it at the end of the block: `with SyncClient.connect(...) as client`.

        `SyncClient.connect(...)` returns a client that you close yourself.

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
            InvalidArgumentError: an option is wrong, or the URI cannot be opened by any transport.
            ConnectError: no connection can be made.
        """
        connecting = NdbClient.connect(uri, debug=debug, **options)
        client = cls()
        client._portal = portal = Portal(connecting.client, runs_here=_is_in_memory(uri), renews=False)
        try:
            portal.call(connecting.__aenter__)
        except BaseException:
            portal.close()
            raise
        client._is_opened = True
        return client

    def open(self, uri: str) -> bool:
        """Connect, and return whether that succeeded. An open client is closed first.

        Raises:
            ValueError: the URI is empty, or cannot be opened by any transport.
        """
        in_memory = _is_in_memory(uri)
        self._is_made_with_uri = False
        self._portal.runs_here = self._portal.renews = False
        self._is_opened = self._portal.call(lambda: self._asynchronous.open(uri))
        self._portal.runs_here = in_memory
        return self._is_opened

    def close(self) -> None:
        """Close the connection. Requests in flight fail; closing twice does no harm.

        `open` opens it again. A client that was made with a URI also connects again at its next use. After a fork the
        open connection belongs to the parent, so the child only lets go of it.
        """
        self._is_opened = self._is_made_with_uri
        self._portal.close()

    @property
    def is_open(self) -> bool:
        """Whether the client is open. One that was made with a URI opens at its first use."""
        return self._asynchronous.is_open

    @property
    def uri(self) -> str | None:
        """The URI of the store, without user, password and options. None if the client was never opened."""
        return self._asynchronous.uri

    @property
    def max_payload(self) -> int | None:
        """Bytes of the largest frame that the server takes; None for an engine in this process, which has no limit."""
        return self._asynchronous.max_payload

    @property
    def is_remote(self) -> bool:
        """Whether the server may be another program than an engine of this package."""
        return self._asynchronous.is_remote

    @property
    def prefers_looks(self) -> bool:
        """Whether a read that extends no expiry is much less work for the store than one that does."""
        return self._asynchronous.prefers_looks

    def __enter__(self) -> Self:
        if not self._is_opened:
            raise InvalidArgumentError(
                "a client needs a URI: with SyncClient.connect(uri) as client: ...; or client = SyncClient(uri), which"
                " connects at its first use"
            )
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return repr(self._asynchronous).replace("NdbClient", "SyncClient", 1)


def _is_in_memory(uri: str) -> bool:
    return isinstance(parse_uri(uri), MemoryUri)


def _without_uri(debug: bool, options: OptionArguments) -> NdbClient:
    if options:
        raise InvalidArgumentError("options are for a URI: SyncClient(uri, ...)")
    return NdbClient(debug=debug)


def portal_of(client: object, usage: str) -> Portal:
    """Return the portal of a client, for what stands on the client.

    Raises:
        InvalidArgumentError: it is not a `SyncClient`. The message is the usage.
    """
    if not isinstance(client, SyncClient):
        raise InvalidArgumentError(usage)
    return client._portal  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # users have no need of it
