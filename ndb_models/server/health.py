"""Ask a server on this machine whether it is ready, for containers and scripts."""

from __future__ import annotations

import http.client
import ssl
from http import HTTPStatus
from typing import Final

from ndb_models.server.listening import reason_of

_WITHIN: Final = 5.0
# Another program may answer on this port: bytes to read of its answer, and characters to show.
_MOST: Final = 1024
_SHOWN: Final = 80
_EVERYWHERE: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


def why_not_ready(host: str, port: int, *, secure: bool) -> str | None:
    """Return None if a server on this machine answers `/readyz` with 200; else the reason, for people.

    Connecting, and each wait for data, may take 5 s.

    Args:
        host: the address that the server listens on; if that is every address, loopback is asked.
        port: its port.
        secure: True if it speaks TLS. Its certificate is not verified.
    """
    host = _EVERYWHERE.get(host, host)
    shown = f"{'https' if secure else 'http'}://{f'[{host}]' if ':' in host else host}:{port}/readyz"
    try:
        status, text = _ask(host, port, secure=secure)
    except TimeoutError:
        return f"{shown}: no answer within {_WITHIN:g} s"
    except ssl.SSLError:
        return f"{shown}: it does not speak TLS; leave --tls-cert out, or ask another port"
    except (http.client.HTTPException, ConnectionResetError):
        return f"{shown}: it does not speak {'HTTP' if secure else 'HTTP; if it speaks TLS, give --tls-cert'}"
    except OSError as exc:
        return f"{shown}: {reason_of(exc)}; is the server running there?"
    return None if status == HTTPStatus.OK else f"{shown}: it answers {status}, {text or 'without a reason'}"


def _ask(host: str, port: int, *, secure: bool) -> tuple[int, str]:
    connection = (
        http.client.HTTPSConnection(host, port, timeout=_WITHIN, context=_trusting())
        if secure
        else http.client.HTTPConnection(host, port, timeout=_WITHIN)
    )
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        lines = answer.read(_MOST).decode("ascii", "replace").split("\n")
        return answer.status, "".join(filter(str.isprintable, lines[0]))[:_SHOWN]
    finally:
        connection.close()


def _trusting() -> ssl.SSLContext:
    """Return a context that takes any certificate: the request holds no secret and stays on this machine."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
