"""What the log says, once, about a cookie that is not protected, or that browsers will not keep."""

from __future__ import annotations

import logging

_logger = logging.getLogger("ndb_models.web")


class CookieNotices:
    """The notices of one application.

    Args:
        in_development: the cookie is sent over plain HTTP.
    """

    def __init__(self, *, in_development: bool) -> None:
        self._is_to_announce = in_development
        self._is_to_warn = True

    def announce(self) -> None:
        """Log that the cookie is not protected in development."""
        if self._is_to_announce:
            self._is_to_announce = False
            _logger.warning(
                "development=True: the session cookie is sent over plain http, without Secure and the prefix __Host-;"
                " only requests to localhost are answered. Leave it out in production"
            )

    def warn_of_plain_http(self) -> None:
        """Log that a browser will not keep a cookie that comes over plain HTTP."""
        if self._is_to_warn:
            self._is_to_warn = False
            _logger.warning(
                "a Secure cookie is sent over plain http, and some browsers drop it: say WebSessions(development=True)"
                " on your own machine; behind a proxy with TLS, let the server trust its headers, such as"
                " uvicorn --proxy-headers --forwarded-allow-ips=ADDRESS"
            )
