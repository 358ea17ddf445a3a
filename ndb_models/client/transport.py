"""What carries requests: a frame out, the frame that answers it back."""

# A protocol's methods have no bodies.
# pyright: reportReturnType=false

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ndb_models.wire.commands import Command


class Transport(Protocol):
    """A way to a server. Requests may be made from many tasks at once; each gets its own answer."""

    async def request(self, command: Command, frame: bytes, fits: Callable[[bytes], bool]) -> bytes:
        """Send the frame of a request, and return the frame that answers it.

        `fits` tells whether a frame of the right name can be the answer, by what it repeats of the request; it may be
        called before the frame is believed. Cancelling is safe: the answer, when it comes, is dropped.

        Raises:
            PayloadTooLargeError: the frame is larger than the server takes. Nothing was sent.
            ConnectionLostError: the connection failed before the answer came, and the request could not be repeated.
            RequestTimeoutError: no answer came in time.
        """

    async def aclose(self) -> None:
        """Close. Requests in flight fail with `ConnectionLostError`. Closing twice does no harm."""

    def abandon(self) -> bool:
        """Let go at once, because nobody is left who could wait. Return False if there was nothing to let go of."""
