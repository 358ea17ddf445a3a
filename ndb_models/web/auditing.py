"""Find the web sessions of an application, and read the settings that the audit judges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final, cast

from starlette.middleware.cors import CORSMiddleware

from ndb_models.errors import InvalidArgumentError
from ndb_models.schema.lookup import lookups_of
from ndb_models.web.audited import AuditedSettings, CorsSettings, Csrf, store_settings
from ndb_models.web.csrf import CsrfMode
from ndb_models.web.middleware import SessionMiddleware
from ndb_models.web.starlette import WebSessions

_CSRF: Final[Mapping[CsrfMode, Csrf]] = {True: "origin", "token": "token", False: "off"}


@dataclass
class _Level:
    """An application with the middleware around it, and the applications that are mounted in it."""

    place: str
    sessions: list[WebSessions[Any]] = field(default_factory=list)
    cors: list[CorsSettings] = field(default_factory=list)
    is_debug: bool = False
    signed_cookies: bool = False
    below: list[_Level] = field(default_factory=list)

    def all(self) -> Iterator[_Level]:
        """Yield this level and all below it."""
        yield self
        for level in self.below:
            yield from level.all()


def settings_of(app: object, name: str, *, workers: int | None = None) -> list[AuditedSettings]:
    """Return the settings of each `SessionMiddleware` of an application, and of the applications mounted in it.

    Args:
        app: a Starlette or FastAPI application, or middleware around one.
        name: the name of the application in findings.
        workers: processes that serve it; None if that is not known.

    Raises:
        InvalidArgumentError: a middleware was added with arguments that it does not take.
    """
    found = list(_settings(_level(app, name, set()), ()))
    users: dict[str, list[tuple[str, WebSessions[Any]]]] = {}
    for settings, sessions in found:
        users.setdefault(settings.cookie_name, []).append((settings.place, sessions))
    return [
        replace(
            settings,
            workers=workers,
            same_cookie=tuple(place for place, other in users[settings.cookie_name] if other is not sessions),
        )
        for settings, sessions in found
    ]


def _settings(level: _Level, above: tuple[_Level, ...]) -> Iterator[tuple[AuditedSettings, WebSessions[Any]]]:
    around = [*above, *level.all()]
    for sessions in level.sessions:
        yield (
            replace(
                settings_of_sessions(sessions, level.place),
                cors=tuple(cors for each in around for cors in each.cors),
                is_debug=any(each.is_debug for each in around),
                signed_cookies=any(each.signed_cookies for each in around),
            ),
            sessions,
        )
    for below in level.below:
        yield from _settings(below, (*above, level))


def _level(app: object, place: str, seen: set[int]) -> _Level:
    """Return an application as a level: the chain of middleware around it, its own middleware, and its mounts."""
    level = _Level(place)
    node: Any = app
    while node is not None and id(node) not in seen:
        seen.add(id(node))
        _note(level, node)
        level.is_debug = level.is_debug or getattr(node, "debug", False) is True
        for entry in getattr(node, "user_middleware", ()):
            level.signed_cookies = level.signed_cookies or _keeps_signed_cookies(getattr(entry, "cls", None))
            _note(level, _made(entry))
        for route in _routes(node):
            mounted = getattr(route, "app", None)
            if mounted is not None:
                level.below.append(_level(mounted, _place_of(route, place), seen))
        node = getattr(node, "app", None)
    return level


def _routes(app: object) -> Iterable[object]:
    routes: object = getattr(app, "routes", None)
    return cast("list[object]", routes) if isinstance(routes, list) else ()


def _place_of(route: object, above: str) -> str:
    host: object = getattr(route, "host", None)
    return f"{above} {host}" if isinstance(host, str) else f"{above}{getattr(route, 'path', '')}"


def _note(level: _Level, middleware: object) -> None:
    if isinstance(middleware, SessionMiddleware):
        level.sessions.append(middleware.sessions)
    elif isinstance(middleware, CORSMiddleware):
        pattern = middleware.allow_origin_regex
        level.cors.append(
            CorsSettings(
                tuple(middleware.allow_origins),
                pattern.pattern if pattern is not None else None,
                middleware.allow_credentials,
            )
        )
    elif _keeps_signed_cookies(type(middleware)):
        level.signed_cookies = True


def _keeps_signed_cookies(kind: object) -> bool:
    """Return True for Starlette's own `SessionMiddleware`. It is not imported here: it needs itsdangerous."""
    bases = kind.__mro__ if isinstance(kind, type) else ()
    return any(
        (base.__module__, base.__name__) == ("starlette.middleware.sessions", "SessionMiddleware") for base in bases
    )


def _made(entry: Any) -> object:
    """Return the middleware of an entry in `user_middleware`, around no application; None for other kinds."""
    kind = getattr(entry, "cls", None)
    if not (isinstance(kind, type) and issubclass(kind, (SessionMiddleware, CORSMiddleware))):
        return None
    try:
        return kind(_no_application, *entry.args, **entry.kwargs)
    except TypeError as exc:
        raise InvalidArgumentError(f"{kind.__name__} cannot be made with the arguments that it was added with") from exc


async def _no_application(*_: object) -> None:
    """Stand in for the application that a middleware is around."""


def settings_of_sessions(sessions: WebSessions[Any], place: str) -> AuditedSettings:
    """Return the settings of sessions, without those of the application around them."""
    model = sessions.model
    lookups = lookups_of(model)
    principals = sessions.rules.principal
    user = next((name for name in principals if name in lookups), None)
    uri = sessions.client.uri
    renew_every = sessions.rules.renew_every
    check = sessions.csrf.check
    return AuditedSettings(
        place=place,
        model=model.__name__,
        expiry=model.session_options.expiry,
        short=sessions.rules.short,
        principals=principals,
        user_lookup=user,
        user_limit=lookups[user].limit if user is not None else None,
        is_tracked=model.session_options.track is not None,
        cookie_name=sessions.cookie.name,
        is_secure=sessions.cookie.secure,
        same_site=sessions.cookie.same_site,
        is_development=sessions.development,
        csrf=_CSRF[check.mode],
        trusted_origins=tuple(sorted(check.trusted_origins)),
        adopted_bits=None if sessions.adoption is None else sessions.adoption.cookie.secret_bits,
        renew_every=None if renew_every is None else timedelta(seconds=renew_every),
        grace=sessions.grace,
        store=None if uri is None else store_settings(uri),
    )
