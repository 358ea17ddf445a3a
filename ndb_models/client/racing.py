"""Connect to a name with several addresses. They are raced, so that an address that swallows packets causes no delay.

This follows RFC 8305 ("Happy Eyeballs") with getaddrinfo's order. Families take turns. The next address is tried when
the one before has failed, or has been silent for a quarter of a second. The first connection wins. asyncio can do this,
but uvloop cannot.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest
from typing import Any, Final, TypeAlias

Address: TypeAlias = tuple[int, Any]
"""A family, and the address to which its sockets connect."""

_NEXT_ADDRESS_DELAY: Final = 0.25


def in_turns(addresses: Iterable[Address]) -> list[Address]:
    """Return the addresses with alternating families, first the first address's. Within a family the order stays."""
    by_family: dict[int, list[Address]] = {}
    for address in dict.fromkeys(addresses):
        by_family.setdefault(address[0], []).append(address)
    turns = chain.from_iterable(zip_longest(*by_family.values()))
    return [address for address in turns if address is not None]


async def resolved(host: str, port: int) -> list[Address]:
    """Return the addresses of a host in the order in which to try them. A literal address needs no look-up.

    Raises:
        OSError: the name has no address, or cannot be looked up.
    """
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:  # a name, not an address
        infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return in_turns((info[0], info[4]) for info in infos)


async def connected_socket(addresses: Sequence[Address], *, delay: float = _NEXT_ADDRESS_DELAY) -> socket.socket:
    """Return a socket that is connected to one of the addresses. All other sockets are closed, even on cancellation.

    Args:
        addresses: in the order in which to try them.
        delay: seconds to wait for an answer before the next address is tried too.

    Raises:
        OSError: all addresses failed; the message gives the reasons.
    """
    waiting = [*reversed(addresses)]
    racing: set[asyncio.Task[socket.socket]] = set()
    failures: list[OSError] = []
    try:
        while waiting or racing:
            if waiting:
                racing.add(asyncio.create_task(_connected(waiting.pop())))
            done, _ = await asyncio.wait(
                racing, timeout=delay if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for attempt in done:
                racing.discard(attempt)
                try:
                    winner = attempt.result()
                except OSError as exc:
                    failures.append(exc)
                else:
                    racing |= done - {attempt}
                    return winner
        raise _all_failed(failures)
    finally:
        await _call_off(racing)


async def _connected(address: Address) -> socket.socket:
    family, target = address
    connecting = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        connecting.setblocking(False)
        connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(connecting, target)
    except BaseException:
        connecting.close()
        raise
    return connecting


async def _call_off(attempts: set[asyncio.Task[socket.socket]]) -> None:
    """End attempts. If one still succeeds, close its socket."""
    for attempt in attempts:
        attempt.add_done_callback(_close_unused)
        attempt.cancel()
    if attempts:
        await asyncio.wait(attempts)


def _close_unused(attempt: asyncio.Task[socket.socket]) -> None:
    with contextlib.suppress(asyncio.CancelledError, OSError):  # this attempt has no socket
        attempt.result().close()


def _all_failed(failures: Sequence[OSError]) -> OSError:
    """Return one error for the failures of all addresses, with each reason once, in words."""
    reasons = dict.fromkeys(os.strerror(failure.errno or 0) if failure.errno else str(failure) for failure in failures)
    failure = OSError(failures[-1].errno if failures else None, ", ".join(reasons) or "the name has no address")
    failure.__cause__ = failures[-1] if failures else None
    return failure
