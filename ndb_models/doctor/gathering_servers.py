"""Gather the facts about a server behind `ws://` or `wss://`. Nothing is written."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from email.utils import parsedate_to_datetime
from typing import Final

from ndb_models.client import NdbClient
from ndb_models.client.options import OptionArguments
from ndb_models.client.uri import WebSocketUri
from ndb_models.doctor.certificates import certificate_of
from ndb_models.doctor.facts import ServerFacts
from ndb_models.errors import ConnectError, NdbError
from ndb_models.web.audited import most_bits

_TIMEOUT: Final = 5.0
_TRIES: Final = 5
_LONGEST_HEAD: Final = 16 * 1024


async def server_facts(uri: WebSocketUri, token: str | None) -> ServerFacts:
    """Return the facts about a server. Unknown facts are None."""
    certificate = await certificate_of(uri.host, uri.port, _TIMEOUT) if uri.secure else None
    options: OptionArguments = {"token": token, "open_timeout": _TIMEOUT, "reconnect": False}
    unreachable, version, persists, latency = await _asked(uri.text, options)
    return ServerFacts(
        shown=uri.shown,
        host=uri.host,
        is_secure=uri.secure,
        token_bits=None if token is None else most_bits(token),
        unreachable=unreachable,
        version=version,
        persists=persists,
        latency=latency,
        certificate=certificate,
        skew=await _skew(uri) if unreachable is None else None,
        open_without_token=None if unreachable is not None else await _lets_in(uri.text) if token else True,
    )


async def _asked(uri: str, options: OptionArguments) -> tuple[str | None, str, bool | None, float | None]:
    """Return why a server cannot be used, its version, if it persists, and the seconds that a request takes."""
    try:
        async with NdbClient.connect(uri, **options) as client:
            info = await client.sv_info()
            latency = min([await _timed(client) for _ in range(_TRIES)])
    except NdbError as exc:
        return str(exc), "", None, None
    version, persists = info.get("serverVersion"), info.get("persistEnabled")
    return None, version if isinstance(version, str) else "", persists if isinstance(persists, bool) else None, latency


async def _timed(client: NdbClient) -> float:
    begun = time.perf_counter()
    await client.sv_info()
    return time.perf_counter() - begun


async def _lets_in(uri: str) -> bool:
    """Return True if a server lets a client in that has no token."""
    try:
        async with NdbClient.connect(uri, open_timeout=_TIMEOUT, reconnect=False):
            return True
    except ConnectError:
        return False


async def _skew(uri: WebSocketUri) -> float | None:
    """Return by how many seconds a server's clock is ahead, by the date in its answer to a plain request.

    The date is in whole seconds, and the answer takes a while: a difference within that counts as none.
    """
    before = time.time()
    with contextlib.suppress(OSError, TimeoutError, ValueError, asyncio.LimitOverrunError):
        async with asyncio.timeout(_TIMEOUT):
            head = await _head(uri)
        after = time.time()
        lines = [line.partition(":") for line in head.decode("latin-1").split("\r\n")]
        dates = [value.strip() for name, _, value in lines if name.lower() == "date"]
        told = parsedate_to_datetime(dates[0]).timestamp() if dates else None
        if told is not None:
            return told - after if told > after else min(0.0, told + 1 - before)
    return None


async def _head(uri: WebSocketUri) -> bytes:
    context = ssl.create_default_context() if uri.secure else None
    reader, writer = await asyncio.open_connection(uri.host, uri.port, ssl=context, limit=_LONGEST_HEAD)
    try:
        host = f"[{uri.host}]" if ":" in uri.host else uri.host
        request = f"GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        writer.write(request.encode("ascii", "replace"))
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as exc:
        return exc.partial
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
