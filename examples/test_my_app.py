"""Tests of an application with sessions. No test sleeps, and none needs a server that somebody has started.

Run them with `pytest examples/test_my_app.py`, after `pip install 'ndb_models[testing]' pytest-asyncio`.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from ndb_models import Expiry, NdbClient, Repository, SessionModel, UnavailableError
from ndb_models.testing import MovableClock, RunningServer

# The application: usually in modules of its own.


class UserSession(SessionModel, expiry=Expiry(idle=timedelta(minutes=30), absolute=timedelta(days=365))):
    """A user who is logged in."""

    username: str
    roles: set[str] = set()
    cart: dict[str, int] = {}


async def log_in(users: Repository[UserSession], username: str) -> int:
    """Return the token of a new session."""
    return (await users.save(UserSession(username=username))).tkn


async def greet(users: Repository[UserSession], tkn: int) -> str:
    """Greet a user, or ask a stranger to log in."""
    session = await users.get_or_none(tkn)
    return "please log in" if session is None else f"hello, {session.username}"


async def put_into_cart(users: Repository[UserSession], tkn: int, item: str) -> None:
    """Add one more of an item."""
    async with users.edit(tkn) as session:
        session.cart[item] = session.cart.get(item, 0) + 1


# The tests.


@pytest.fixture(params=["memory", "sqlite", "served"])
def ndb_kind(request: pytest.FixtureRequest) -> str:
    """Run the tests on each kind of store; without this fixture, they run in memory alone."""
    kind: str = request.param
    return kind


@pytest.fixture
def users(ndb_client: NdbClient) -> Repository[UserSession]:
    """The sessions of this test: there are none yet."""
    return Repository(ndb_client, UserSession)


@pytest.mark.asyncio
async def test_a_session_ends_after_half_an_hour_without_use(
    users: Repository[UserSession], ndb_clock: MovableClock
) -> None:
    tkn = await log_in(users, "billy")
    ndb_clock.advance(timedelta(minutes=29))
    assert await greet(users, tkn) == "hello, billy"  # a use, which starts the half hour anew
    ndb_clock.advance(timedelta(minutes=29))
    assert await greet(users, tkn) == "hello, billy"
    ndb_clock.advance(timedelta(minutes=30))
    assert await greet(users, tkn) == "please log in"


@pytest.mark.asyncio
async def test_after_a_year_everyone_logs_in_again(users: Repository[UserSession], ndb_clock: MovableClock) -> None:
    tkn = await log_in(users, "billy")
    await users.expire(tkn, Expiry(absolute=timedelta(days=365)))  # as "remember me" does
    ndb_clock.advance(timedelta(days=364))
    assert await greet(users, tkn) == "hello, billy"
    ndb_clock.advance(timedelta(days=1))
    assert await greet(users, tkn) == "please log in"


@pytest.mark.asyncio
async def test_two_tabs_lose_no_item(users: Repository[UserSession]) -> None:
    tkn = await log_in(users, "billy")
    await asyncio.gather(put_into_cart(users, tkn, "apple"), put_into_cart(users, tkn, "pear"))
    assert (await users.get(tkn)).cart == {"apple": 1, "pear": 1}


def test_without_an_asynchronous_test(users: Repository[UserSession]) -> None:
    tkn = asyncio.run(log_in(users, "billy"))
    assert asyncio.run(greet(users, tkn)) == "hello, billy"


@pytest.mark.asyncio
async def test_an_outage_is_no_logout(ndb_server: RunningServer) -> None:
    async with ndb_server.connect(connect_wait=0.1) as client:
        users = Repository(client, UserSession)
        tkn = await log_in(users, "billy")
        ndb_server.stop()
        with pytest.raises(UnavailableError):
            await greet(users, tkn)
    ndb_server.start()
    async with ndb_server.connect() as client:
        assert await greet(Repository(client, UserSession), tkn) == "hello, billy"


def test_no_session_loses_anything(assert_round_trips: Callable[..., None]) -> None:
    assert_round_trips(UserSession, UserSession(username="billy", roles={"admin"}, cart={"apple": 1}))
