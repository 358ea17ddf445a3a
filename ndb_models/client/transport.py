"""What carries requests: a frame out, the frame that answers it back."""

from __future__ import annotations

from typing import Protocol

from ndb_models.wire.commands import Command


class Transport(Protocol):
    """A way to a server. Requests may be made from many tasks at once; each gets its own answer."""

    async def request(self, command: Command, frame: bytes) -> bytes:
        """Send the frame of a request, and return the frame that answers it.

        Cancelling is safe: the answer, when it comes, is dropped.

        Raises:
            ConnectionLostError: the connection failed before the answer came.
            RequestTimeoutError: no answer came in time.
            ProtocolError: what came cannot be the answer.
        """

    async def aclose(self) -> None:
        """Close. Requests in flight fail with `ConnectionLostError`. Closing twice does no harm."""
