"""Typed sessions in web applications.

sessions = WebSessions("sqlite:///sessions.db", UserSession)
app = FastAPI(middleware=[sessions.middleware])

The names that need Starlette are imported when they are first asked for: they need the extra `starlette`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from ndb_models.schema import SessionModel
from ndb_models.web.adopting import StarletteCookie
from ndb_models.web.cookies import CookieSettings
from ndb_models.web.devices import Device
from ndb_models.web.errors import AnswerBegunError, ChangedTooLateError
from ndb_models.web.principal import Principal

if TYPE_CHECKING:
    from ndb_models.web.http_errors import CrossSiteError, LoginTooOldError, NotLoggedInError, SessionsUnavailableError
    from ndb_models.web.middleware import SessionMiddleware
    from ndb_models.web.starlette import WebSessions

__all__ = [
    "AnswerBegunError",
    "ChangedTooLateError",
    "CookieSettings",
    "CrossSiteError",
    "Device",
    "LoginTooOldError",
    "NotLoggedInError",
    "Principal",
    "SessionMiddleware",
    "SessionModel",
    "SessionsUnavailableError",
    "StarletteCookie",
    "WebSessions",
]

_OF_STARLETTE: Final = {
    "CrossSiteError": "http_errors",
    "LoginTooOldError": "http_errors",
    "NotLoggedInError": "http_errors",
    "SessionMiddleware": "middleware",
    "SessionsUnavailableError": "http_errors",
    "WebSessions": "starlette",
}


def __getattr__(name: str) -> object:
    if name not in _OF_STARLETTE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = import_module(f"{__name__}.{_OF_STARLETTE[name]}")
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] != "starlette":
            raise
        raise ImportError(f"{__name__}.{name} needs Starlette: pip install 'ndb_models[starlette]'") from missing
    return getattr(module, name)
