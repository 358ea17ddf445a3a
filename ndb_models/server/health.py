"""Asking a server on this machine whether it is ready, for containers and scripts."""

from __future__ import annotations

import http.client
import ssl
from http import HTTPStatus
from typing import Final

from ndb_models.server.options import ServerOptions

_WITHIN: Final = 5.0
_EVERYWHERE: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


def is_healthy(options: ServerOptions) -> bool:
    """Tell whether the server of these options, on this machine, answers `/readyz` with 200 within 5 s."""
    host = _EVERYWHERE.get(options.host, options.host)
    connection = (
        http.client.HTTPSConnection(host, options.port, timeout=_WITHIN, context=_trusting())
        if options.secure
        else http.client.HTTPConnection(host, options.port, timeout=_WITHIN)
    )
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _trusting() -> ssl.SSLContext:
    """Return a context that takes any certificate: nothing secret is sent, and it goes to this machine."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
