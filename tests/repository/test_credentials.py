"""Sessions that are opened by a credential: at most one read, and nothing but the right secret opens them."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import pytest

from ndb_models import (
    Credential,
    Expiry,
    InvalidArgumentError,
    JsonInput,
    Lookup,
    NdbClient,
    NdbError,
    NotSavedError,
    Repository,
    SessionExpiredError,
    SessionGoneError,
    SessionModel,
    StoredDataError,
)
from ndb_models.engine import Engine
from ndb_models.protocol.commands import COMMANDS
from ndb_models.schema.envelope import RESERVED_KEY
from ndb_models.server import NdbServer
from ndb_models.server.server import ServerOptions
from ndb_models.stores.memory import MemoryStore
from tests.conftest import VirtualClock
from tests.leaks import leaks_of
from tests.reloading import in_place_of
from tests.repository.expiring import Login, declared, reserved, timer
from tests.repository.models import EternalUser, Otp, User
from tests.repository.recording import RecordingEngine
from tests.repository.session_world import EngineClient
from tests.zoo import Open

Endless = declared(None)
Idle = declared(Expiry(idle=60))
Written = declared(Expiry(idle=60, on="write"))
Bounded = declared(Expiry(idle=60, absolute=600))
Later = declared(Expiry(idle=60), version=2)


class Owned(SessionModel, schema="credential-owned", expiry=Expiry(idle=60)):
    user_id: Annotated[int, Lookup()]
    email: Annotated[str, Lookup(unique=True)]


def asked(engine: RecordingEngine) -> list[str]:
    """Return the names of the requests so far, and forget them. Fences do not count."""
    frames, engine.frames = engine.frames, []
    return [name for name in (next(iter(json.loads(frame))) for frame in frames) if name in COMMANDS]


async def extended(client: NdbClient) -> None:
    """Wait for an extension in the background: it goes on behind the first question, and before the second."""
    for _ in range(2):
        await client.sh_info_all()


@pytest.fixture(params=["memory", "sqlite", "server", "nemesisdb"])
async def anywhere(request: pytest.FixtureRequest, tmp_path: Path, engine: RecordingEngine) -> AsyncIterator[NdbClient]:
    """A client of an engine by each way, and of what answers as a NemesisDB does."""
    if request.param in ("memory", "sqlite"):
        path = f"sqlite:///{tmp_path / 'sessions.db'}" if request.param == "sqlite" else "memory://"
        async with NdbClient.connect(path) as client:
            yield client
        return
    engine.like_nemesisdb = request.param == "nemesisdb"
    async with NdbServer(engine, ServerOptions(port=0)) as server, NdbClient.connect(server.uri) as client:
        yield client


async def test_the_credential_that_was_issued_opens_the_session(anywhere: NdbClient) -> None:
    repo = Repository(anywhere, User)
    user = await repo.save(User(username="billy"))
    credential = await repo.issue(user)
    assert credential.tkn == user.tkn
    opened = await repo.authenticate(str(credential))
    assert opened == user
    assert opened is not None
    opened.visits = 3
    await repo.save(opened)
    assert (await repo.get(user.tkn)).visits == 3
    assert await repo.authenticate(str(credential)) == opened


async def test_what_opens_nothing_is_none(anywhere: NdbClient) -> None:
    repo, others = Repository(anywhere, User), Repository(anywhere, Otp)
    user, other = await repo.save(User(username="a")), await repo.save(User(username="b"))
    assert await repo.authenticate(str(Credential(user.tkn, b"x" * 32))) is None  # it has no credential
    credential, otp = await repo.issue(user), await others.issue(await others.save(Otp(code=1)))
    raw = await anywhere.sh_create_session()
    for wrong in (
        str(Credential(user.tkn, b"x" * 32)),
        str(Credential(other.tkn, b"x" * 32)),
        str(Credential(raw.tkn, b"x" * 32)),
        str(Credential(7, b"x" * 32)),
        str(otp),
        str(credential)[:-1],
        "",
        None,
    ):
        assert await repo.authenticate(wrong) is None
    await repo.delete(user.tkn)
    assert await repo.authenticate(str(credential)) is None


async def test_the_old_secret_opens_until_its_grace_ends_and_not_after(
    on_store: NdbClient, clock: VirtualClock
) -> None:
    repo = Repository(on_store, EternalUser, clock=clock)
    user = await repo.save(EternalUser(username="b"))
    old = await repo.issue(user)
    new = await repo.renew(user)
    assert old != new
    assert old.tkn == new.tkn == user.tkn
    assert await repo.authenticate(str(old)) == await repo.authenticate(str(new)) == user
    clock.move(29.999)
    assert await repo.authenticate(str(old)) == user
    clock.move(0.001)
    assert await repo.authenticate(str(old)) is None
    assert await repo.authenticate(str(new)) == user


async def test_a_second_renewal_ends_the_secret_before_the_last_at_once(anywhere: NdbClient) -> None:
    repo = Repository(anywhere, User)
    user = await repo.save(User(username="b"))
    first, second, third = await repo.issue(user), await repo.renew(user), await repo.renew(user, timedelta(hours=1))
    opened = [await repo.authenticate(str(credential)) for credential in (first, second, third)]
    assert opened == [None, user, user]


@pytest.mark.parametrize("grace", [0, 0.0, timedelta(0)])
async def test_without_a_grace_period_the_old_secret_is_dead_at_once(users: Repository[User], grace: Any) -> None:
    user = await users.save(User(username="b"))
    first, second = await users.issue(user), await users.renew(user, grace)
    third = await users.issue(user)
    opened = [await users.authenticate(str(credential)) for credential in (first, second, third)]
    assert opened == [None, None, user]


@pytest.mark.parametrize("grace", [-1, -0.001, timedelta(seconds=-1), float("nan"), float("inf"), True, "30", None])
async def test_a_grace_period_is_a_time(users: Repository[User], grace: Any) -> None:
    user = await users.save(User(username="b"))
    credential = await users.issue(user)
    with pytest.raises(InvalidArgumentError):
        await users.renew(user, grace)
    assert await users.authenticate(str(credential)) == user


async def test_the_longest_grace_period_is_kept(users: Repository[User]) -> None:
    user = await users.save(User(username="b"))
    credential = await users.issue(user)
    await users.renew(user, timedelta.max)
    assert await users.authenticate(str(credential)) == user


async def test_a_renewal_changes_neither_token_nor_data_nor_lookups(anywhere: NdbClient) -> None:
    repo = Repository(anywhere, Owned)
    session = await repo.save(Owned(user_id=7, email="b@example.com"))
    before = await repo.raw(session.tkn)
    for _ in range(3):
        await repo.issue(session)
        await repo.renew(session)
        assert [found.tkn for found in await repo.find(user_id=7)] == [session.tkn]
        assert (await repo.find_one(email="b@example.com")) == session
    after = await repo.raw(session.tkn)
    assert {**after, RESERVED_KEY: ""} == {**before, RESERVED_KEY: ""}
    kept = {name: part for name, part in json.loads(after[RESERVED_KEY]).items() if name != "secret"}
    assert kept == json.loads(before[RESERVED_KEY])


async def test_a_model_that_was_read_before_is_saved_after_and_keeps_the_secret(users: Repository[User]) -> None:
    user = await users.save(User(username="b"))
    user.visits = 5
    credential = await users.issue(user)
    assert (await users.get(user.tkn)).visits == 0
    await users.save(user)
    async with users.edit(user.tkn) as session:
        session.roles.append("admin")
    opened = await users.authenticate(str(credential))
    assert opened == User(username="b", visits=5, roles=["admin"])


@pytest.mark.parametrize("model", [Idle, Bounded])
async def test_only_the_right_secret_extends_the_session(
    on_store: NdbClient, clock: VirtualClock, model: type[Login]
) -> None:
    repo = Repository(on_store, model, clock=clock)
    session = await repo.save(model(note="n"))
    credential = await repo.issue(session)
    clock.move(20)
    assert await repo.authenticate(str(Credential(session.tkn, b"x" * 32))) is None
    assert (await timer(on_store, session.tkn) or {})["remaining"] == 40
    assert await repo.authenticate(str(credential)) == session
    await extended(on_store)
    assert (await timer(on_store, session.tkn) or {})["remaining"] == 60


async def test_a_credential_that_was_right_is_read_and_counted_by_one_request(
    timed: NdbClient, engine: RecordingEngine, clock: VirtualClock
) -> None:
    repo = Repository(timed, Idle, clock=clock)
    session = await repo.save(Idle(note="n"))
    credential = await repo.issue(session)
    for expected in (["SH_PEEK", "SH_GET"], ["SH_GET"], ["SH_GET"]):
        asked(engine)
        clock.move(20)
        assert await repo.authenticate(str(credential)) == session
        await extended(timed)
        assert asked(engine)[: len(expected)] == expected
        assert (await timer(timed, session.tkn) or {})["remaining"] == 60


async def test_a_credential_that_was_replaced_extends_the_session_once_more_at_most(
    on_store: NdbClient, clock: VirtualClock
) -> None:
    repo = Repository(on_store, Idle, clock=clock)
    session = await repo.save(Idle(note="n"))
    old = await repo.issue(session)
    assert await repo.authenticate(str(old)) == session
    await extended(on_store)
    await repo.issue(session)
    clock.move(20)
    assert await repo.authenticate(str(old)) is None
    for _ in range(3):
        clock.move(10)
        assert await repo.authenticate(str(old)) is None
        await extended(on_store)
    assert (await timer(on_store, session.tkn) or {})["remaining"] == 30


async def test_a_credential_that_was_right_elsewhere_is_first_looked_at(
    timed: NdbClient, engine: RecordingEngine, clock: VirtualClock
) -> None:
    repo, other = (Repository(timed, Idle, namespace=name, clock=clock) for name in (None, "elsewhere"))
    credential = await repo.issue(await repo.save(Idle(note="n")))
    for _ in range(2):
        assert await repo.authenticate(str(credential)) is not None
    await extended(timed)
    asked(engine)
    assert await other.authenticate(str(credential)) is None
    assert asked(engine) == ["SH_PEEK"]


async def test_where_reads_do_not_extend_one_request_is_sent(
    timed: NdbClient, engine: RecordingEngine, clock: VirtualClock
) -> None:
    repo = Repository(timed, Written, clock=clock)
    credential = await repo.issue(await repo.save(Written()))
    asked(engine)
    assert await repo.authenticate(str(credential)) is not None
    assert asked(engine) == ["SH_PEEK"]


async def test_what_is_wrong_costs_one_read_and_what_is_malformed_none(
    watched: Repository[User], timed: NdbClient, engine: RecordingEngine, clock: VirtualClock
) -> None:
    user = await watched.save(User(username="b"))
    credential = await watched.issue(user)
    opens = Repository(timed, Open, clock=clock)
    opened = await opens.issue(await opens.save(Open()))
    asked(engine)
    for malformed in (None, "", str(user.tkn), str(credential)[:-1] + "=", "A" * 53, "+" * 54):
        assert await watched.authenticate(malformed) is None
    assert asked(engine) == []
    for tkn in (user.tkn, 7, opened.tkn):
        for repo in (watched, opens):
            assert await repo.authenticate(str(Credential(tkn, b"x" * 32))) is None
            assert asked(engine) == ["SH_PEEK"]
    assert await watched.authenticate(str(credential)) == user
    assert await opens.authenticate(str(opened)) == Open()
    await extended(timed)
    assert asked(engine)[:5] == ["SH_PEEK", "SH_GET", "SH_PEEK", "SH_KEYS", "SH_GET"]
    clock.move(60)
    assert await watched.authenticate(str(credential)) is None
    assert asked(engine) == ["SH_GET"]  # it was right a moment ago
    assert await watched.authenticate(str(credential)) is None
    assert asked(engine) == ["SH_PEEK"]


async def test_an_open_class_is_opened_whole(anywhere: NdbClient) -> None:
    repo = Repository(anywhere, Open)
    session = await repo.save(Open.model_validate({"theme": "dark"}))
    credential = await repo.issue(session)
    assert await repo.authenticate(str(credential)) == session


async def test_past_the_absolute_end_a_credential_opens_nothing(timed: NdbClient, clock: VirtualClock) -> None:
    repo = Repository(timed, Bounded, clock=clock)
    session = await repo.save(Bounded())
    credential = await repo.issue(session)
    for _ in range(11):
        clock.move(50)
        assert await repo.authenticate(str(credential)) == session
        await extended(timed)
    clock.move(50)
    assert await repo.authenticate(str(credential)) is None
    with pytest.raises(SessionGoneError):
        await repo.renew(session)


async def test_a_rotated_session_is_opened_by_no_credential_from_before(anywhere: NdbClient) -> None:
    repo = Repository(anywhere, User)
    user = await repo.save(User(username="b"))
    old = await repo.issue(user)
    await repo.rotate(user)
    assert await repo.authenticate(str(old)) is None
    secret = str(old)[11:]
    moved = Credential.parse(str(Credential(user.tkn, b"x" * 32))[:11] + secret)
    assert moved is None or await repo.authenticate(str(moved)) is None
    assert "secret" not in (await anywhere.sh_get([RESERVED_KEY], user.tkn))[RESERVED_KEY]  # type: ignore[operator]
    assert await repo.authenticate(str(await repo.issue(user))) == user


async def test_another_expiry_and_limits_of_the_class_keep_the_credential(
    on_store: NdbClient, clock: VirtualClock
) -> None:
    repo = Repository(on_store, Endless, clock=clock)
    session = await repo.save(Endless())
    credential = await repo.issue(session)
    limited = Repository(on_store, Idle, clock=clock)
    assert await limited.authenticate(str(credential)) is not None
    assert (await timer(on_store, session.tkn) or {})["duration"] == 60
    await repo.expire(session, Expiry(idle=1000))
    assert await repo.authenticate(str(credential)) == session
    clock.move(999)
    assert await repo.authenticate(str(credential)) == session


async def test_an_upgrade_keeps_the_credential(anywhere: NdbClient) -> None:
    session = await Repository(anywhere, Idle).save(Idle(note="n"))
    credential = await Repository(anywhere, Idle).issue(session)
    repo = Repository(anywhere, Later)
    upgraded = await repo.authenticate(str(credential))
    assert upgraded is not None
    upgraded.note = "later"
    await repo.save(upgraded)
    assert (await repo.authenticate(str(credential)) or Later()).note == "later"
    renewed = await repo.renew(upgraded)
    assert (await repo.authenticate(str(renewed)) or Later()).note == "later"


async def test_a_session_of_the_release_before_is_given_a_credential(client: NdbClient) -> None:
    stored: dict[str, JsonInput] = {"schema": "User", "version": 1, "idle": 60}
    session = await client.sh_create_session(60, deleteSessionOnExpire=True)
    await client.sh_set({"username": "b", RESERVED_KEY: {**stored, "tkn": session.tkn}}, session.tkn)
    repo = Repository(client, User)
    user = await repo.get(session.tkn)
    credential = await repo.issue(user)
    assert await repo.authenticate(str(credential)) == user
    found = await reserved(client, session.tkn)
    assert found == {**stored, "tkn": session.tkn, "secret": found["secret"]}


async def test_members_of_a_newer_release_stay(client: NdbClient) -> None:
    repo = Repository(client, User)
    user = await repo.save(User(username="b"))
    await client.sh_set({RESERVED_KEY: {**(await reserved(client, user.tkn)), "newer": [1]}}, user.tkn)
    credential = await repo.renew(user)
    assert (await reserved(client, user.tkn))["newer"] == [1]
    assert await repo.authenticate(str(credential)) == user


@pytest.mark.parametrize("secret", [7, "x", {}, [], [1], ["x", 1], ["x", "y", "z"]])
async def test_a_reserved_key_with_another_kind_of_secret_opens_nothing(client: NdbClient, secret: Any) -> None:
    repo = Repository(client, User)
    user = await repo.save(User(username="b"))
    credential = await repo.issue(user)
    await client.sh_set({RESERVED_KEY: {**(await reserved(client, user.tkn)), "secret": secret}}, user.tkn)
    assert await repo.authenticate(str(credential)) is None


@pytest.mark.parametrize("digest", ["", "é" * 43, "." * 43, "=" * 43])
async def test_a_digest_that_is_none_opens_nothing(client: NdbClient, digest: str) -> None:
    repo = Repository(client, User)
    user = await repo.save(User(username="b"))
    stored = await reserved(client, user.tkn)
    await client.sh_set({RESERVED_KEY: {**stored, "secret": [digest, digest, 2**62]}}, user.tkn)
    assert await repo.authenticate(str(Credential(user.tkn, b"x" * 32))) is None


async def test_of_renewals_at_the_same_time_none_is_lost(anywhere: NdbClient) -> None:
    repo = Repository(anywhere, User)
    user = await repo.save(User(username="b"))
    await repo.issue(user)
    credentials = await asyncio.gather(*(repo.renew(user) for _ in range(16)))
    opened = [await repo.authenticate(str(credential)) for credential in credentials]
    assert sum(session is not None for session in opened) == 2  # the last, and the one before in its grace period
    last = await repo.renew(user, 0)
    assert not any([await repo.authenticate(str(credential)) for credential in credentials])
    assert await repo.authenticate(str(last)) == user


async def test_a_renewal_that_meets_another_process_is_made_on_top_of_its(
    watched: Repository[User], engine: RecordingEngine, clock: VirtualClock
) -> None:
    user = await watched.save(User(username="b"))
    first = await watched.issue(user)
    other = Repository(EngineClient(engine), User, clock=clock)
    engine.hold("SH_CHANGE")
    renewing = asyncio.ensure_future(watched.renew(user))
    await engine.waiting.wait()
    theirs = await other.renew(await other.get(user.tkn))
    engine.release()
    ours = await renewing
    opened = [await watched.authenticate(str(credential)) for credential in (first, theirs, ours)]
    assert opened == [None, user, user]


async def test_a_model_without_a_session_or_of_another_class_has_no_credential(users: Repository[User]) -> None:
    with pytest.raises(NotSavedError):
        await users.issue(User(username="b"))
    with pytest.raises(InvalidArgumentError):
        await users.renew(Otp(code=1))  # type: ignore[arg-type]  # the mistake that is meant
    user = await users.save(User(username="b"))
    await users.delete(user.tkn)
    for verb in (users.issue, users.renew):
        with pytest.raises(SessionGoneError):
            await verb(user)


async def test_a_session_that_another_client_wrote_has_no_credential(client: NdbClient) -> None:
    session = await client.sh_create_session()
    await client.sh_set({"username": "b"}, session.tkn)
    repo = Repository(client, User, foreign=True)
    user = await repo.get(session.tkn)
    with pytest.raises(InvalidArgumentError, match="another client"):
        await repo.issue(user)
    assert await repo.authenticate(str(Credential(session.tkn, b"x" * 32))) is None


async def test_only_the_right_secret_learns_that_the_data_does_not_fit(client: NdbClient) -> None:
    repo = Repository(client, User)
    user = await repo.save(User(username="b"))
    credential = await repo.issue(user)
    await client.sh_set({"visits": -1}, user.tkn)
    assert await repo.authenticate(str(Credential(user.tkn, b"x" * 32))) is None
    with pytest.raises(StoredDataError):
        await repo.authenticate(str(credential))
    ending = Repository(client, User, on_invalid="end")
    assert await ending.authenticate(str(credential)) is None
    assert await repo.exists(user.tkn) is False


async def test_no_secret_is_in_a_log_a_repr_or_an_error(anywhere: NdbClient, caplog: pytest.LogCaptureFixture) -> None:
    repo = Repository(anywhere, User)
    shown: list[str] = []
    texts: list[str] = []
    errors: list[BaseException] = []
    with caplog.at_level(logging.DEBUG):
        user = await repo.save(User(username="b"))
        for credential in (await repo.issue(user), await repo.renew(user)):
            texts.append(str(credential))
            shown += [repr(credential), repr(repo), repr(user), repr(await repo.authenticate(str(credential)))]
        await anywhere.sh_set({"visits": -1}, user.tkn)
        for failing in (repo.authenticate(texts[1]), repo.renew(User(username="c"))):
            with pytest.raises(NdbError) as caught:
                await failing
            errors.append(caught.value)
        await repo.delete(user.tkn)
        with pytest.raises(NdbError) as caught:
            await repo.renew(user)
        errors.append(caught.value)
        await anywhere.close()
        assert await repo.authenticate("") is None
    for text in texts:
        assert text[11:] not in caplog.text + "".join(shown)
        assert not [leak for error in errors for leak in leaks_of(error, text[11:])]


PROCESS = """
import asyncio, sys
from ndb_models import NdbClient, Repository
from tests.repository.models import User

async def main(uri, tkn, rounds):
    async with NdbClient.connect(uri) as client:
        repo = Repository(client, User)
        user = await repo.get(tkn)
        for _ in range(rounds):
            credential = await repo.renew(user, 0)
            print(credential, flush=True)

asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "server"])
async def test_of_two_processes_that_renew_one_session_the_last_renewal_stays(kind: str, tmp_path: Path) -> None:
    async with NdbServer(Engine(MemoryStore()), ServerOptions(port=0)) as server:
        uri = server.uri if kind == "server" else f"sqlite:///{tmp_path / 'sessions.db'}"
        async with NdbClient.connect(uri) as client:
            repo = Repository(client, User)
            user = await repo.save(User(username="b"))
            processes = [
                await asyncio.create_subprocess_exec(
                    *(sys.executable, "-c", PROCESS, uri, str(user.tkn), "20"), stdout=asyncio.subprocess.PIPE
                )
                for _ in range(2)
            ]
            outputs = [(await asyncio.wait_for(process.communicate(), 60))[0] for process in processes]
            issued = [output.decode().split() for output in outputs]
            assert [len(texts) for texts in issued] == [20, 20]
            opened = [text for texts in issued for text in texts if await repo.authenticate(text) is not None]
            assert len(opened) == 1
            assert opened[0] in (issued[0][-1], issued[1][-1])


async def test_an_expired_session_is_not_renewed(timed: NdbClient, clock: VirtualClock) -> None:
    repo = Repository(timed, Bounded, clock=clock)
    session = await repo.save(Bounded(), expiry=Expiry(absolute=30))
    credential = await repo.issue(session)
    clock.move(30)
    with pytest.raises((SessionExpiredError, SessionGoneError)):
        await repo.issue(session)
    assert await repo.authenticate(str(credential)) is None


async def test_an_upgrade_does_not_undo_a_renewal_that_comes_before_its_write(
    timed: NdbClient, engine: RecordingEngine, clock: VirtualClock
) -> None:
    class Old(SessionModel, schema="renewed-while-upgraded"):
        name: str = ""

    @in_place_of(Old)
    class New(SessionModel, schema="renewed-while-upgraded", version=2):
        name: str = ""

    @New.upgrade(1)
    def same(keys: dict[str, Any]) -> dict[str, Any]:
        return keys

    old, new = Repository(timed, Old, clock=clock), Repository(timed, New, clock=clock)
    session = await old.save(Old(name="a"))
    former = str(await old.issue(session))
    upgraded = await new.get(session.tkn)
    upgraded.name = "b"
    engine.hold("SH_CHANGE")
    saving = asyncio.create_task(new.save(upgraded))
    await engine.waiting.wait()
    reserved: Any = json.loads((await old.raw(session.tkn))["__ndb__"])
    reserved["secret"][0] = "A" * 43  # another process renews
    await timed.sh_set({"__ndb__": reserved}, session.tkn)
    engine.release()
    await saving
    assert json.loads((await new.raw(session.tkn))["__ndb__"])["secret"] == reserved["secret"]
    assert await new.authenticate(former) is None
    assert (await new.get(session.tkn)).name == "b"
