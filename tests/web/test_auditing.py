"""Finding the sessions of an application, wherever their middleware stands, and reading their settings."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.sessions import SessionMiddleware as SignedCookieMiddleware
from starlette.routing import Host, Mount, Router

from ndb_models import Expiry, InvalidArgumentError, Lookup, NdbClient, SessionModel
from ndb_models.web import CookieSettings, Principal, SessionMiddleware, StarletteCookie, WebSessions
from ndb_models.web.auditing import settings_of


class Full(SessionModel, schema="audited", expiry=Expiry(idle=900, absolute=43200), track=60):
    role: Annotated[str, Principal()] = ""
    user_id: Annotated[int, Principal(), Lookup(limit=5)] = 0


class Bare(SessionModel, schema="audited-bare"):
    name: str = ""


ALL_OPEN: dict[str, Any] = {"allow_origins": ["*"], "allow_credentials": True}


def full(**options: Any) -> WebSessions[Full]:
    return WebSessions("memory://", Full, **options)


def inside(sessions: WebSessions[Any], **options: Any) -> Starlette:
    return Starlette(middleware=[Middleware(SessionMiddleware, sessions=sessions)], **options)


def added(sessions: WebSessions[Any]) -> FastAPI:
    app = FastAPI()
    app.add_middleware(SessionMiddleware, sessions=sessions)
    return app


PLACES: list[tuple[str, Callable[[WebSessions[Any]], Any]]] = [
    ("app", inside),
    ("app", added),
    ("app", lambda sessions: SessionMiddleware(Starlette(), sessions)),
    ("app", lambda sessions: SessionMiddleware(CORSMiddleware(Starlette()), sessions=sessions)),
    ("app", lambda sessions: CORSMiddleware(SessionMiddleware(Router(), sessions))),
    ("app/shop", lambda sessions: Starlette(routes=[Mount("/shop", inside(sessions))])),
    ("app/a/b", lambda sessions: Starlette(routes=[Mount("/a", routes=[Mount("/b", added(sessions))])])),
    ("app/shop", lambda sessions: Starlette(routes=[Mount("/shop", SessionMiddleware(Starlette(), sessions))])),
    (
        "app/shop",
        lambda sessions: Starlette(
            routes=[Mount("/shop", routes=[], middleware=[Middleware(SessionMiddleware, sessions=sessions)])]
        ),
    ),
    ("app shop.example.org", lambda sessions: Starlette(routes=[Host("shop.example.org", inside(sessions))])),
]


@pytest.mark.parametrize(("place", "make"), PLACES)
def test_sessions_are_found_wherever_their_middleware_stands(
    place: str, make: Callable[[WebSessions[Any]], Any]
) -> None:
    (settings,) = settings_of(make(full()), "app")
    assert (settings.place, settings.model) == (place, "Full")


def test_an_application_without_sessions_has_none() -> None:
    assert settings_of(Starlette(routes=[Mount("/", Starlette())]), "app") == []
    assert settings_of(Starlette(middleware=[Middleware(SignedCookieMiddleware, secret_key="x")]), "app") == []


def test_an_application_of_another_framework_has_its_sessions_around_it() -> None:
    class Other:
        """As other frameworks have them: attributes of the same names, and other things in them."""

        user_middleware = ["compression"]
        routes = ["/", object()]

        async def __call__(self, scope: object, receive: object, send: object) -> None: ...

    (settings,) = settings_of(SessionMiddleware(Other(), full()), "app")
    assert settings.place == "app"


def test_an_application_that_is_mounted_in_itself_is_looked_at_once() -> None:
    app = inside(full())
    app.routes.append(Mount("/again", app))
    assert len(settings_of(app, "app")) == 1


def test_what_is_declared_is_what_is_read() -> None:
    sessions = full(
        cookie=CookieSettings(name="__Host-id", same_site="strict"),
        short=Expiry(idle=60),
        renew_every=timedelta(hours=1),
        grace=10,
        csrf="token",
        trusted_origins=["https://shop.example.org"],
        adopt=StarletteCookie(["s" * 64, "0123456789abcdef"]),
    )
    (settings,) = settings_of(inside(sessions), "app", workers=3)
    assert settings.expiry == Expiry(idle=900, absolute=43200)
    assert settings.short == Expiry(idle=60)
    assert settings.principals == ("role", "user_id")
    assert (settings.user_lookup, settings.user_limit, settings.is_tracked) == ("user_id", 5, True)
    assert (settings.cookie_name, settings.is_secure, settings.same_site) == ("__Host-id", True, "strict")
    assert (settings.csrf, settings.trusted_origins) == ("token", ("https://shop.example.org:443",))
    assert settings.adopted_bits == 0  # of the weakest secret
    assert (settings.renew_every, settings.grace) == (timedelta(hours=1), timedelta(seconds=10))
    assert settings.store is not None
    assert (settings.store.shown, settings.workers) == ("memory://", 3)
    assert not settings.is_development


def test_what_is_not_declared_is_read_as_missing() -> None:
    (settings,) = settings_of(inside(WebSessions("memory://", Bare, development=True)), "app")
    assert (settings.expiry, settings.principals, settings.user_lookup) == (None, (), None)
    assert (settings.user_limit, settings.is_tracked) == (None, False)
    assert (settings.csrf, settings.trusted_origins, settings.adopted_bits) == ("origin", (), None)
    assert (settings.cookie_name, settings.is_secure, settings.is_development) == ("session", False, True)


def test_a_check_that_is_off_is_read_as_off() -> None:
    (settings,) = settings_of(inside(full(csrf=False)), "app")
    assert settings.csrf == "off"


def test_the_store_of_a_client_is_told_without_secrets() -> None:
    client = NdbClient("ws://user:hunter2@sessions.example.org:1987/", headers={"x": "hunter2"})
    (settings,) = settings_of(inside(WebSessions(client, Full)), "app")
    assert settings.store is not None
    assert settings.store.hosts == ("sessions.example.org",)
    assert "hunter2" not in repr(settings)


def test_a_client_without_a_uri_has_a_store_that_is_not_known() -> None:
    assert settings_of(inside(WebSessions(NdbClient(), Full)), "app")[0].store is None


@pytest.mark.parametrize(
    "make",
    [
        lambda session, cors: Starlette(middleware=[session, cors]),
        lambda session, cors: Starlette(middleware=[cors, session]),
        lambda session, _: CORSMiddleware(Starlette(middleware=[session]), **ALL_OPEN),
        lambda session, cors: Starlette(middleware=[session], routes=[Mount("/api", Starlette(middleware=[cors]))]),
        lambda session, cors: Starlette(middleware=[cors], routes=[Mount("/api", Starlette(middleware=[session]))]),
        lambda session, cors: Starlette(middleware=[session], routes=[Mount("/api", routes=[], middleware=[cors])]),
    ],
    ids=["inside", "outside", "wrapped", "below", "above", "of a mount"],
)
def test_cors_for_any_origin_with_cookies_is_found_wherever_it_stands(make: Callable[..., Any]) -> None:
    session = Middleware(SessionMiddleware, sessions=full())
    cors = Middleware(CORSMiddleware, allow_origin_regex=".*", **ALL_OPEN)
    (settings,) = settings_of(make(session, cors), "app")
    assert settings.cors[0].with_cookies
    assert "*" in settings.cors[0].origins


def test_cors_beside_the_sessions_does_not_concern_them() -> None:
    open_part = Starlette(middleware=[Middleware(CORSMiddleware, **ALL_OPEN)])
    (settings,) = settings_of(Starlette(routes=[Mount("/a", open_part), Mount("/b", inside(full()))]), "app")
    assert settings.cors == ()


def test_debug_mode_is_found() -> None:
    for app in (
        inside(full(), debug=True),
        Starlette(debug=True, routes=[Mount("/", inside(full()))]),
        inside(full(), routes=[Mount("/", Starlette(debug=True))]),
    ):
        assert settings_of(app, "app")[0].is_debug
    assert not settings_of(inside(full()), "app")[0].is_debug


def test_signed_cookies_beside_are_found() -> None:
    session = Middleware(SessionMiddleware, sessions=full())
    signed = Middleware(SignedCookieMiddleware, secret_key="x")
    assert settings_of(Starlette(middleware=[session, signed]), "app")[0].signed_cookies
    assert not settings_of(Starlette(middleware=[session]), "app")[0].signed_cookies


def test_different_sessions_under_one_cookie_are_found() -> None:
    shared = full()
    admin = WebSessions("memory://", Bare, cookie=CookieSettings(name="__Host-admin"))
    app = Starlette(
        routes=[Mount("/a", inside(shared)), Mount("/b", inside(shared)), Mount("/c", inside(admin))],
    )
    assert [each.same_cookie for each in settings_of(app, "app")] == [(), (), ()]
    app.routes.append(Mount("/d", inside(WebSessions("memory://", Bare))))
    assert [each.same_cookie for each in settings_of(app, "app")] == [
        ("app/d",), ("app/d",), (), ("app/a", "app/b"),
    ]  # fmt: skip


def test_middleware_with_wrong_arguments_is_named() -> None:
    app = Starlette(middleware=[Middleware(SessionMiddleware, session=full())])  # type: ignore[call-arg]  # the mistake
    with pytest.raises(InvalidArgumentError, match="SessionMiddleware cannot be made"):
        settings_of(app, "app")
