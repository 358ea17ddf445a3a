"""The interface of transports, which send a request's frame and return the answer's frame."""

# A protocol's methods have no bodies.
# pyright: reportReturnType=false

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from ndb_models.errors import InvalidArgumentError
from ndb_models.protocol.exchange import Exchange
from ndb_models.protocol.prepared import Prepared


class Transport(Protocol):
    """A way to a server. Many tasks may make requests at once; each gets its own answer.

    Attributes:
        connections: the number of connections made so far. A new one may lead to another server.
        is_remote: whether the server may be another program than this package's engine.
        prefers_looks: whether a read that extends no expiry is much less work for the store than one that does.
        perform: sends a prepared request. Returns the body of its answer; an awaitable for it if that takes waiting. A
            body is a dict, its values are texts. Otherwise as `request`.
    """

    perform: Callable[[Prepared], dict[str, Any] | Awaitable[dict[str, Any]]]

    connections: int = 1
    is_remote: bool = False
    prefers_looks: bool = False

    @property
    def is_connected(self) -> bool:
        """Whether there is a usable connection, as far as the client knows."""
        return True

    def request(self, exchange: Exchange) -> Awaitable[bytes]:
        """Send a request, and return the frame that answers it.

        Cancelling is safe: a late answer goes to `exchange.orphaned`.

        Raises:
            PayloadTooLargeError: the frame is larger than the server takes. It was not sent.
            ConnectionLostError: the connection failed before the answer came, and the request could not be repeated.
            RequestTimeoutError: no answer came in time.
        """

    def refuse_fork(self) -> None:
        """Refuse a request from a process that was forked from the one that opened the transport.

        Raises:
            InvalidArgumentError: always, unless the transport itself refuses such requests.
        """
        raise used_elsewhere()

    async def aclose(self) -> None:
        """Close. Requests in flight fail with `ConnectionLostError`. Closing twice does no harm."""

    def abandon(self) -> bool:
        """Let go at once, with no caller left to wait. Return False if the transport held no open resource."""


def used_elsewhere() -> InvalidArgumentError:
    """Return the error for a client that is used in another event loop or process than it was opened in."""
    return InvalidArgumentError("this client was opened in another event loop or process; open one in each")
