"""The pytest plugin, as the test files of users meet it: under each plugin for asynchronous tests, and under none."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import ndb_models
from ndb_models.testing import generating  # noqa: F401 - now, since an inner run forgets what it imported itself

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent.parent

SETTINGS = """
[pytest]
asyncio_default_fixture_loop_scope = function
"""

HEAD = """
import asyncio
from datetime import timedelta

import pytest
import pytest_asyncio

from ndb_models import Expiry, NdbClient, Repository, SessionModel


class Login(SessionModel, schema="{name}", expiry=Expiry(idle=timedelta(minutes=30), absolute=timedelta(days=365))):
    user: str = "billy"


async def ends_in_time(client, clock):
    '''A login ends half an hour after its last use, and a year after its creation.'''
    logins = Repository(client, Login)
    idle, used = await logins.save(Login()), await logins.save(Login())
    clock.advance(timedelta(minutes=29, seconds=59))
    await logins.get(used.tkn)
    clock.advance(1)
    assert await logins.get_or_none(idle.tkn) is None
    assert await logins.get(used.tkn) == used
    await logins.expire(used.tkn, Expiry(absolute=timedelta(days=365)))
    clock.advance(timedelta(days=364))
    assert await logins.get(used.tkn) == used
    clock.advance(timedelta(days=1))
    assert await logins.get_or_none(used.tkn) is None


@pytest.fixture(params=["memory", "sqlite", "served"])
def ndb_kind(request):
    return request.param
"""

UNDER_ASYNCIO = """
@pytest_asyncio.fixture(loop_scope="{scope}")
async def logins(ndb_client):
    logins = Repository(ndb_client, Login)
    await logins.save(Login())
    return logins


@pytest.mark.asyncio(loop_scope="{scope}")
class TestLogins:
    async def test_it_ends(self, ndb_client, ndb_clock):
        await ends_in_time(ndb_client, ndb_clock)

    async def test_a_fixture_of_the_same_loop_may_use_the_client(self, logins, ndb_client):
        assert (await ndb_client.sh_info_all())["totalSessions"] == 1

    async def test_a_server_is_there(self, ndb_server, ndb_clock):
        async with ndb_server.connect() as client:
            await ends_in_time(client, ndb_clock)
"""

UNDER_ANYIO = """
pytestmark = pytest.mark.anyio


@pytest.fixture(scope="{scope}")
def anyio_backend():
    return "asyncio"


@pytest.fixture
async def logins(ndb_client):
    logins = Repository(ndb_client, Login)
    await logins.save(Login())
    yield logins
    await ndb_client.sh_end_all()


async def test_it_ends(ndb_client, ndb_clock):
    await ends_in_time(ndb_client, ndb_clock)


async def test_a_fixture_may_use_the_client(logins, ndb_client):
    assert (await ndb_client.sh_info_all())["totalSessions"] == 1


async def test_a_server_is_there(ndb_server, ndb_clock):
    async with ndb_server.connect() as client:
        await ends_in_time(client, ndb_clock)
"""

WITHOUT_A_LOOP = """
def test_it_ends(ndb_client, ndb_clock):
    asyncio.run(ends_in_time(ndb_client, ndb_clock))


def test_an_application_opens_the_store_by_its_uri(ndb_uri, ndb_client):
    async def app():
        async with NdbClient.connect(ndb_uri) as client:
            return await Repository(client, Login).save(Login())

    assert asyncio.run(Repository(ndb_client, Login).get(asyncio.run(app()).tkn)).user == "billy"


def test_a_synchronous_application_opens_it_too(ndb_uri, ndb_client, ndb_clock):
    from ndb_models.sync import SyncClient, SyncRepository

    with SyncClient(ndb_uri) as client:
        logins = SyncRepository(client, Login)
        login = logins.save(Login())
        assert asyncio.run(Repository(ndb_client, Login).get(login.tkn)) == login
        ndb_clock.advance(timedelta(minutes=30))
        assert logins.get_or_none(login.tkn) is None


def test_each_test_has_a_store_of_its_own(ndb_client):
    assert asyncio.run(ndb_client.sh_info_all())["totalSessions"] == 0


def test_models_come_back(assert_round_trips):
    assert_round_trips(Login(user="b"))
"""


def file(name: str, body: str, scope: str = "") -> str:
    return HEAD.format(name=name) + body.format(scope=scope)


def run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    """Run the tests of a user, in this process."""
    always = ("-W", "error", "-p", "ndb_models_pytest", "-p", "no:cacheprovider")
    return pytester.runpytest_inprocess(*always, *options)


@pytest.fixture
def user(pytester: pytest.Pytester) -> pytest.Pytester:
    """The folder of a user who has written a setting that pytest-asyncio asks for, and nothing else."""
    pytester.makeini(SETTINGS)
    return pytester


def test_every_event_loop_scope_of_pytest_asyncio(user: pytest.Pytester) -> None:
    scopes = ("function", "class", "module", "package", "session")
    user.mkpydir("of_users")
    for scope in scopes:
        (user.path / "of_users" / f"test_{scope}.py").write_text(file(f"scope-{scope}", UNDER_ASYNCIO, scope))
    run(user).assert_outcomes(passed=7 * len(scopes))


def test_the_asyncio_backend_of_anyio(user: pytest.Pytester) -> None:
    scopes = ("function", "module", "session")
    user.makepyfile(**{f"test_{scope}": file(f"anyio-{scope}", UNDER_ANYIO, scope) for scope in scopes})
    run(user).assert_outcomes(passed=7 * len(scopes))


def test_anyio_without_pytest_asyncio(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(file("anyio-alone", UNDER_ANYIO, "module"))
    run(pytester, "-p", "no:asyncio").assert_outcomes(passed=7)


def test_tests_that_are_not_asynchronous(user: pytest.Pytester) -> None:
    user.makepyfile(file("no-loop", WITHOUT_A_LOOP))
    run(user).assert_outcomes(passed=13)


def test_the_automatic_mode_of_pytest_asyncio_and_a_setting_for_the_kind(user: pytest.Pytester) -> None:
    user.makepyfile("""
        async def test_kind(ndb_client, ndb_uri):
            assert ndb_uri.startswith("ws://")
            assert await ndb_client.sh_info_all()
    """)
    run(user, "-o", "asyncio_mode=auto", "-o", "ndb_kind=served").assert_outcomes(passed=1)


def test_a_kind_for_a_folder_is_a_fixture_in_its_conftest(user: pytest.Pytester) -> None:
    user.makeconftest("""
        import pytest

        @pytest.fixture(params=["sqlite", "served"])
        def ndb_kind(request):
            return request.param
    """)
    user.makepyfile("def test_kind(ndb_uri): assert ndb_uri.split(':')[0] in ('sqlite', 'ws')")
    run(user).assert_outcomes(passed=2)


def test_what_a_test_has_stored_is_gone_after_it(user: pytest.Pytester) -> None:
    user.makepyfile("""
        import asyncio
        from ndb_models import NdbClient

        before = []

        def test_one(ndb_uri, ndb_client):
            asyncio.run(ndb_client.kv_set({"name": 1}))
            before.append(ndb_uri)

        def test_the_next(ndb_uri, ndb_client):
            async def names(uri):
                async with NdbClient.connect(uri) as client:
                    return await client.kv_keys()

            assert ndb_uri not in before
            assert [asyncio.run(names(uri)) for uri in (ndb_uri, *before)] == [[], []]
    """)
    run(user).assert_outcomes(passed=2)


def test_the_clock_stops_at_the_end_of_a_test_that_fails(user: pytest.Pytester) -> None:
    user.makepyfile("""
        from datetime import datetime, timedelta, timezone
        from ndb_models.clocks import wall_clock

        def test_fails(ndb_clock):
            ndb_clock.advance(timedelta(days=365))
            assert not "moved"

        def test_the_next(ndb_clock):
            assert ndb_clock.now() - datetime.now(timezone.utc) < timedelta(hours=1)

        def test_without():
            assert wall_clock() - datetime.now().timestamp() < 3600
    """)
    run(user).assert_outcomes(passed=2, failed=1)


def test_what_goes_wrong_in_a_fixture_is_told_in_a_line(user: pytest.Pytester) -> None:
    user.makepyfile("""
        import pytest
        from ndb_models.testing import MovableClock

        def test_kind(ndb_client): pass

        @pytest.fixture
        def own():
            with MovableClock() as clock:
                yield clock

        def test_clock(own, ndb_clock): pass

        @pytest.mark.parametrize("ndb_kind", ["sqlite"])
        def test_store(ndb_uri_of_no_store, ndb_client): pass

        @pytest.fixture
        def ndb_uri_of_no_store(ndb_uri):
            from pathlib import Path
            Path(ndb_uri.removeprefix("sqlite:///").partition("?")[0]).write_bytes(b"no database" * 1000)
    """)
    result = run(user, "-o", "ndb_kind=redis")
    result.assert_outcomes(errors=3)
    result.stdout.fnmatch_lines(
        [
            "*ndb_kind is 'redis': there are memory, sqlite, served",
            "*ndb_clock: another clock moves the time of this process already*",
            "*ndb_client: *sessions.db*",
        ]
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*loop_thread.py*")


@pytest.mark.parametrize("options", [("-p", "ndb_models.testing.plugin"), ("-p", "ndb_models_pytest"), ()])
def test_a_plugin_that_is_loaded_in_several_ways_is_loaded_once(user: pytest.Pytester, options: Sequence[str]) -> None:
    user.makeconftest('pytest_plugins = ["ndb_models.testing.plugin", "ndb_models_pytest"]')
    user.makepyfile("def test_it(ndb_clock, pytestconfig): assert pytestconfig.getini('ndb_kind') == 'memory'")
    user.runpytest_inprocess("-W", "error", *options).assert_outcomes(passed=1)


def test_the_example(user: pytest.Pytester) -> None:
    shutil.copy(ROOT / "examples" / "test_my_app.py", user.path)
    run(user).assert_outcomes(passed=14)


def test_the_page_on_testing_is_a_test_file_that_passes(user: pytest.Pytester) -> None:
    page = (ROOT / "docs" / "testing.md").read_text("utf-8")
    # By the name of the example: the two classes of one name are the same class, loaded again.
    user.makepyfile(test_my_app="\n\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL)))
    run(user).assert_outcomes(passed=8)


@pytest.mark.slow
def test_processes_side_by_side_do_not_disturb_each_other(user: pytest.Pytester) -> None:
    user.makepyfile(test_one=file("xdist", UNDER_ASYNCIO, "session"), test_two=file("xdist-2", WITHOUT_A_LOOP))
    options = ("-W", "error", "-p", "ndb_models_pytest", "-p", "no:cacheprovider", "-n", "2")
    user.runpytest_subprocess(*options).assert_outcomes(passed=20)


@pytest.mark.slow
def test_a_run_that_uses_no_fixture_does_not_import_the_package(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile("""
        import sys

        def test_nothing(pytestconfig):
            assert pytestconfig.pluginmanager.has_plugin("ndb_models_pytest")
            assert not [name for name in sys.modules if name.split(".")[0] in ("ndb_models", "pydantic")]
    """)
    # Only this plugin: others may import Pydantic.
    program = "import os, pytest, sys; sys.exit(pytest.main(['-p', 'ndb_models_pytest', '-p', 'no:cacheprovider']))"
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", str(Path(ndb_models.__file__).parent.parent))
    assert pytester.run(sys.executable, "-c", program).ret == 0
