"""TLS for the server's port: version 1.2 or later; the certificate can be replaced while the server runs."""

from __future__ import annotations

import ssl
from pathlib import Path

from ndb_models.errors import InvalidArgumentError


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return a context with this certificate (with its intermediates) and this key, both PEM files.

    Raises:
        InvalidArgumentError: they cannot be read or do not belong together, or the key needs a passphrase.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    _load(context, certificate, key)
    return context


def replace_certificate(context: ssl.SSLContext | None, certificate: Path, key: Path) -> None:
    """Read both files again, for new connections. Raises as `server_context`; then the old ones stay.

    A server that has not started has no context yet (None): this only checks that the files are usable.
    """
    server_context(certificate, key)  # check them before the context in use is changed
    if context is not None:
        _load(context, certificate, key)


def _load(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    def no_passphrase() -> str:
        raise InvalidArgumentError(f"{key} is encrypted: nobody is there to type its passphrase; store it without")

    try:
        context.load_cert_chain(certificate, key, password=no_passphrase)
    except ssl.SSLError as exc:
        reason = exc.reason or "not PEM, or not a pair"
        raise InvalidArgumentError(f"{certificate} and {key} are no certificate with its key: {reason}") from exc
    except OSError as exc:
        raise InvalidArgumentError(f"{certificate} or {key} cannot be read: {exc.strerror}") from exc
