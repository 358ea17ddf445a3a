"""Why an address cannot be listened on, said with the address."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Generator


@contextlib.contextmanager
def listening_on(host: str, port: int) -> Generator[None]:
    """Name the address in an error of the system; `errno` stays.

    Raises:
        OSError: the address cannot be listened on.
    """
    try:
        yield
    except OSError as exc:
        # Event loops have texts of their own, and not all of them name the port.
        reason = exc.strerror if isinstance(exc, socket.gaierror) or not exc.errno else os.strerror(exc.errno)
        failure = OSError(
            f"port {port} of {host or 'every address'} cannot be listened on: {(reason or str(exc)).lower()}"
        )
        failure.errno = exc.errno
        raise failure from exc
