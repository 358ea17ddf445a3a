"""The files of the page, and the headers that keep it to itself.

There is no inline script or style, and nothing is loaded from elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

_FOLDER: Final = Path(__file__).parent / "static"

_POLICY: Final = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
)

SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "; ".join(_POLICY),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""The headers of every answer."""


class PageFile(NamedTuple):
    """A file of the page, and its media type."""

    content: bytes
    kind: str


def _read(name: str, kind: str) -> PageFile:
    return PageFile((_FOLDER / name).read_bytes(), kind)


FILES: Final[Mapping[str, PageFile]] = {
    "": _read("index.html", "text/html; charset=utf-8"),
    "dashboard.css": _read("dashboard.css", "text/css; charset=utf-8"),
    "dashboard.js": _read("dashboard.js", "text/javascript; charset=utf-8"),
    "charts.js": _read("charts.js", "text/javascript; charset=utf-8"),
    "icon.svg": _read("icon.svg", "image/svg+xml"),
}
"""The files of the page, by their paths below it."""
