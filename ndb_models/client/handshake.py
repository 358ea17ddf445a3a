"""Make a connection: race the addresses, then TLS, then the handshake. Explain a failure."""

from __future__ import annotations

import asyncio
import functools
import logging
import ssl
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, WebSocketException

from ndb_models.client.attempt_limits import AttemptLimits
from ndb_models.client.attempts import Attempt
from ndb_models.client.connection import NdbConnection
from ndb_models.client.options import Options
from ndb_models.client.racing import connected_socket, resolved
from ndb_models.client.uri import WebSocketUri
from ndb_models.errors import ConnectError, NdbError

# At DEBUG websockets logs whole frames and headers: values, tokens, credentials.
_websockets_logger: Final = logging.getLogger("ndb_models.client.websockets")
_websockets_logger.setLevel(logging.INFO)

_LARGEST_ANSWER: Final = 64 * 1024 * 1024


class _Connect(connect):
    """Follows no redirects: they would send headers and sessions to a server that the caller did not name."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def connected(
    uri: WebSocketUri,
    options: Options,
    limits: AttemptLimits,
    *,
    on_failure: Callable[[NdbConnection, Attempt, NdbError], None],
    on_unusable: Callable[[NdbConnection], None],
) -> NdbConnection:
    """Return a new connection. See `NdbConnection` for the limits and the functions.

    Raises:
        ConnectError: the server does not answer, does not speak WebSocket, or refuses the client.
    """
    # websockets wants a class here, but only calls it.
    make: Any = functools.partial(
        NdbConnection,
        max_in_flight=options.max_in_flight,
        request_timeout=options.request_timeout,
        max_answer=_LARGEST_ANSWER,
        limits=limits,
        on_failure=on_failure,
        on_unusable=on_unusable,
    )
    try:
        async with asyncio.timeout(options.open_timeout):
            return await _connected(uri, options, make)
    except InvalidStatus as exc:
        status = exc.response.status_code
        reason = f"the server answered the handshake with HTTP status {status}{_advice(status, options)}"
        raise ConnectError(uri.shown, reason) from exc
    except WebSocketException as exc:
        if isinstance(exc.__cause__, (EOFError, OSError)):
            raise ConnectError(uri.shown, f"the handshake was cut off; {uri.hint}") from exc
        raise ConnectError(uri.shown, "what answers there does not speak WebSocket") from exc
    except AssertionError as exc:  # from websockets, if the other side spoke first
        raise ConnectError(uri.shown, "what answers there does not speak WebSocket") from exc
    except ssl.SSLError as exc:
        raise ConnectError(uri.shown, _tls_reason(exc)) from exc
    except (OSError, EOFError, UnicodeError) as exc:
        if isinstance(exc, TimeoutError) and exc.errno is None:  # with an errno, the system's own timeout
            raise ConnectError(uri.shown, f"no handshake within {options.open_timeout:g} s") from exc
        reason = getattr(exc, "strerror", None) or type(exc).__name__
        raise ConnectError(uri.shown, f"{reason}; {uri.hint}") from exc


async def _connected(uri: WebSocketUri, options: Options, make: Any) -> NdbConnection:
    sock = await connected_socket(await resolved(uri.host, uri.port))
    try:
        connection = await _Connect(
            uri.text,
            sock=sock,
            create_connection=make,
            additional_headers=options.handshake_headers,
            close_timeout=options.open_timeout,
            compression=None,
            logger=_websockets_logger,
            max_size=_LARGEST_ANSWER,
            open_timeout=None,
            ping_interval=options.keepalive,
            ping_timeout=options.keepalive,
            proxy=None,
            ssl=(options.ssl or True) if uri.secure else None,
        )
    except BaseException:
        sock.close()
        raise
    assert isinstance(connection, NdbConnection)
    return connection


def _advice(status: int, options: Options) -> str:
    """Return advice on a refused handshake; an empty text for a status without advice."""
    if status != HTTPStatus.UNAUTHORIZED:
        return ""
    return "; it takes no " + ("token like this one" if options.token else "client without a token: token=...")


def _tls_reason(failure: ssl.SSLError) -> str:
    """Return the reason for a failure of TLS, with advice."""
    if isinstance(failure, ssl.SSLCertVerificationError):
        return (
            f"the server's certificate is not trusted: {failure.verify_message}; ssl= takes the context that trusts"
            " it: ssl.create_default_context(cafile=...)"
        )
    reason = (failure.reason or type(failure).__name__).replace("_", " ").lower()
    return f"TLS failed: {reason}; does the server speak TLS there? wss:// is with TLS, ws:// without; see ssl="
