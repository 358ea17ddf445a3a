"""What carries requests: a frame out, the frame that answers it back."""

# A protocol's methods have no bodies.
# pyright: reportReturnType=false

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, Protocol

from ndb_models.errors import InvalidArgumentError
from ndb_models.texts import ObjectText
from ndb_models.types import SessionToken
from ndb_models.wire.exchange import Exchange
from ndb_models.wire.prepared import Prepared


class Immediate(Protocol):
    """What is asked most, where nothing has to be waited for: done in the call."""

    def read(self, tkn: SessionToken, names: tuple[str, ...]) -> ObjectText | None:
        """Do what `SH_GET` does; return None if there is no such session."""

    def create(self, tkn: SessionToken, expiry: Mapping[str, Any] | None, keys: ObjectText) -> bool:
        """Do what `SH_NEW_SET` does; return False if there is a session of this token."""


class Transport(Protocol):
    """A way to a server. Requests may be made from many tasks at once; each gets its own answer.

    Attributes:
        connections: how many connections were made so far. After a new one, another server may be there.
        is_remote: whether the server may be another program than this package's engine.
    """

    connections: int = 1
    is_remote: bool = False

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection now, as far as is known."""
        return True

    @property
    def immediate(self) -> Immediate | None:
        """How to ask without waiting; None where that cannot be."""
        return None

    def request(self, exchange: Exchange) -> Awaitable[bytes]:
        """Send a request, and return the frame that answers it.

        Cancelling is safe: the answer, when it comes, goes to `exchange.orphaned`.

        Raises:
            PayloadTooLargeError: the frame is larger than the server takes. Nothing was sent.
            ConnectionLostError: the connection failed before the answer came, and the request could not be repeated.
            RequestTimeoutError: no answer came in time.
        """

    def perform(self, prepared: Prepared) -> Awaitable[Mapping[str, Any]]:
        """Send a prepared request, and return the body of its answer, values as their texts. Else as `request`."""

    async def aclose(self) -> None:
        """Close. Requests in flight fail with `ConnectionLostError`. Closing twice does no harm."""

    def abandon(self) -> bool:
        """Let go at once, because nobody is left who could wait. Return False if there was nothing to let go of."""


def used_elsewhere() -> InvalidArgumentError:
    """Return the error for a client that is used where it was not opened."""
    return InvalidArgumentError("this client was opened in another event loop or process; open one in each")
