"""Look at certificates: in files, and at a server."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path
from typing import Any, Final

from ndb_models.doctor.facts import CertificateFacts
from ndb_models.errors import InvalidArgumentError
from ndb_models.server.tls import server_context

_NOT_VALID: Final = {10: "the certificate has expired", 9: "the certificate is not valid yet"}


def certificate_in_files(certificate: Path, key: Path) -> CertificateFacts:
    """Return the facts about a certificate in a file, with its key in another.

    Both are used for a handshake in memory. A certificate that clients would refuse by its dates is refused there too.
    """
    try:
        serving = server_context(certificate, key)
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusting.check_hostname = False
        trusting.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
        trusting.load_verify_locations(certificate)
        return CertificateFacts(None, _end(_handshake(serving, trusting)))
    except InvalidArgumentError as exc:
        return CertificateFacts(str(exc))
    except ssl.SSLCertVerificationError as exc:
        return CertificateFacts(_NOT_VALID.get(exc.verify_code, exc.verify_message))
    except (ssl.SSLError, OSError) as exc:
        return CertificateFacts(f"{certificate} cannot be used: {exc.strerror or type(exc).__name__}")


def _handshake(serving: ssl.SSLContext, trusting: ssl.SSLContext) -> dict[str, Any]:
    """Return the certificate that a client gets from a server, in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(to_client, to_server, server_side=False)
    server = serving.wrap_bio(to_server, to_client, server_side=True)
    done: set[ssl.SSLObject] = set()
    while len(done) < 2:
        for side in (client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
                done.add(side)
    return client.getpeercert() or {}


async def certificate_of(host: str, port: int, seconds: float) -> CertificateFacts:
    """Return the facts about the certificate of a server, as a client with the system's certificates sees it."""
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(
                host, port, ssl=ssl.create_default_context(), server_hostname=host
            )
    except ssl.SSLCertVerificationError as exc:
        return CertificateFacts(_NOT_VALID.get(exc.verify_code, f"the certificate is refused: {exc.verify_message}"))
    except (OSError, TimeoutError) as exc:
        return CertificateFacts(f"there is no TLS: {getattr(exc, 'reason', None) or type(exc).__name__}")
    try:
        certificate: dict[str, Any] = writer.get_extra_info("ssl_object").getpeercert() or {}
        return CertificateFacts(None, _end(certificate))
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _end(certificate: dict[str, Any]) -> float | None:
    text: object = certificate.get("notAfter")
    return float(ssl.cert_time_to_seconds(text)) if isinstance(text, str) else None
