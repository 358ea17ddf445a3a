"""What the verbs do, by each way to reach an engine: the same as the asynchronous ones."""

from __future__ import annotations

import asyncio
import itertools
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from ndb_models import (
    ConfigRepository,
    ConflictError,
    Credential,
    InvalidArgumentError,
    NdbClient,
    NdbError,
    NotConnectedError,
    Repository,
    ResponseError,
    SessionError,
    SessionGoneError,
    UnstorableError,
    UnsupportedError,
)
from ndb_models.sync import SyncClient, SyncConfigRepository, SyncRepository
from tests.conftest import VirtualClock
from tests.sync.models import AppConfig, Login, User


class NameView(BaseModel):
    username: str


def test_a_session_is_saved_read_changed_and_ended(client: SyncClient) -> None:
    repo = SyncRepository(client, User)
    session = repo.save(User(username="billy"))
    assert repo.get(session.tkn) == session
    session.roles.append("admin")
    repo.save(session)
    assert repo.update(session.tkn, visits=3).roles == ["admin"]
    assert repo.project(session.tkn, NameView) == NameView(username="billy")
    assert repo.exists(session.tkn)
    assert (repo.ttl(session.tkn) or 0) > 50
    assert repo.rotate(session).tkn == session.tkn
    assert repo.raw(session.tkn)["visits"] == "3"
    assert repo.delete(session.tkn)
    assert repo.get_or_none(session.tkn) is None
    with pytest.raises(SessionGoneError):
        repo.get(session.tkn)


def test_an_edit_is_written_at_the_end_of_the_block(client: SyncClient) -> None:
    repo = SyncRepository(client, User)
    tkn = repo.save(User(username="billy")).tkn
    with repo.edit(tkn) as session:
        session.roles.append("admin")
        assert repo.get(tkn).roles == []
    assert repo.get(tkn).roles == ["admin"]


def test_an_edit_that_raises_writes_nothing(client: SyncClient) -> None:
    repo = SyncRepository(client, User)
    tkn = repo.save(User(username="billy")).tkn

    def fail() -> None:
        with repo.edit(tkn) as session:
            session.roles.append("admin")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with pytest.raises(UnstorableError), repo.edit(tkn) as session:
        session.visits = "many"  # type: ignore[assignment]
    assert repo.get(tkn).roles == []


def test_overlapping_edits_are_merged(client: SyncClient) -> None:
    repo = SyncRepository(client, User)
    tkn = repo.save(User(username="billy")).tkn
    with repo.edit(tkn) as one, repo.edit(tkn) as other:
        one.visits += 1
        other.visits += 1
        other.username = "james"
    assert repo.get(tkn) == User(username="james", visits=2)


def test_a_mutation_is_tried_again_if_others_were_quicker(client: SyncClient) -> None:
    repo = SyncRepository(client, User)
    tkn = repo.save(User(username="billy")).tkn
    tries = itertools.count(1)

    def change(session: User) -> None:
        if next(tries) == 1:
            repo.update(tkn, username="james")
        session.visits += 1

    assert repo.mutate(tkn, change) == User(username="james", visits=1)
    assert next(tries) == 3

    def disturb(session: User) -> None:
        repo.update(tkn, visits=session.visits + 1)

    with pytest.raises(ConflictError):
        repo.mutate(tkn, disturb, attempts=2)


def test_sessions_are_gone_through_one_by_one(client: SyncClient) -> None:
    repo = SyncRepository(client, User)
    saved = {repo.save(User(username=str(number))).tkn for number in range(50)}
    seen = [session.tkn for session in repo.sessions(page=7) if not isinstance(session, SessionError)]
    assert len(seen) == 50
    assert set(seen) == saved
    first = next(repo.sessions(page=1))
    assert not isinstance(first, SessionError)
    with pytest.raises(InvalidArgumentError, match="page"):
        next(repo.sessions(page=0))


def test_a_part_of_the_sessions_is_enough(client: SyncClient) -> None:
    repo = SyncRepository(client, User)
    repo.save_many([User(username=str(number)) for number in range(20)])
    going = repo.sessions(page=2)
    next(going)
    going.close()
    assert len(list(itertools.islice(repo.sessions(page=2), 5))) == 5


def test_many_sessions_take_one_call(client: SyncClient) -> None:
    repo = SyncRepository(client, User)
    told: list[int] = []
    saved = repo.save_many((User(username=str(number)) for number in range(20)), progress=told.append)
    assert told == [20]
    tkns = [session.tkn for session in saved if not isinstance(session, NdbError)]
    assert repo.get_many(iter([*tkns, 1]))[:20] == saved
    assert repo.delete_many(set(tkns[:2])) == [True, True]
    with pytest.raises(InvalidArgumentError, match="many are given"):
        repo.get_many(tkns[0])  # type: ignore[arg-type]


def test_sessions_are_found_and_ended_by_a_value(client: SyncClient) -> None:
    repo = SyncRepository(client, Login)
    logins = [repo.create(Login(user_id=7, device=device)) for device in ("phone", "laptop")]
    assert {login.device for login in repo.find(user_id=7)} == {"phone", "laptop"}
    assert repo.end_all_for(user_id=7, but=(login for login in logins[:1])) == 1
    assert repo.find(user_id=7) == logins[:1]
    assert repo.reindex(login.tkn for login in logins).sessions >= 1
    with pytest.raises(InvalidArgumentError, match="by the names"):
        repo.find(7)  # type: ignore[arg-type]


def test_a_credential_is_issued_renewed_and_authenticated(client: SyncClient) -> None:
    repo = SyncRepository(client, Login)
    login = repo.create(Login(user_id=7))
    credential = repo.issue(login)
    assert isinstance(credential, Credential)
    assert repo.authenticate(str(credential)) == login
    renewed = repo.renew(login, 0)
    assert repo.authenticate(str(credential)) is None
    assert repo.authenticate(str(renewed)) == login
    assert repo.authenticate("nonsense") is None
    assert repo.describe(login, current=login).is_current
    assert repo.is_fresh(login, timedelta(minutes=1))
    repo.require_fresh(login, 60)


def test_the_raw_client_has_the_commands(client: SyncClient) -> None:
    assert client.kv_set({"a": 1, "b": [2]})
    assert client.kv_get(("a", "b", "c")) == {"a": 1, "b": [2]}
    assert client.kv_find("$[?@ == 2]", "kv") == {"b": [2]}
    session = client.sh_create_session(durationSeconds=60, deleteSessionOnExpire=True)
    assert client.sh_set({"name": "James"}, session.tkn)
    assert client.sh_get(("name",), session.tkn) == {"name": "James"}
    assert client.kv_save("data")
    assert client.kv_clear() == 2
    assert client.kv_load("data") == 2
    assert client.sh_end(session.tkn)
    with pytest.raises(ResponseError) as refused:
        client.sh_get(("name",), session.tkn)
    assert refused.value.status == 100


def test_a_configuration_is_stored_and_watched(client: SyncClient, clock: VirtualClock) -> None:
    config = SyncConfigRepository(client, AppConfig, namespace="app")
    assert config.save(AppConfig(title="a")) == config.load()
    watch = config.watch(AppConfig(title="a"), clock=clock, sleep=clock.move)
    with config.edit() as edited:
        edited.title = "b"
    change = next(watch)
    assert (change.old.title, change.new.title, change.fields) == ("a", "b", ("title",))
    assert watch.current == config.update(title="b")
    assert watch.problems == ()
    assert [difference.field for difference in config.diff()] == ["title"]
    assert config.check() == []
    for change in config.watch(AppConfig(title="a"), clock=clock, sleep=clock.move):
        assert change.new.title == "b"
        break


def test_a_watch_tells_of_what_does_not_fit_in_the_thread_that_waits(client: SyncClient, clock: VirtualClock) -> None:
    config = SyncConfigRepository(client, AppConfig)
    found: list[Exception] = []
    client.kv_set({"debug": "perhaps"})

    def repair(seconds: float) -> None:
        clock.move(seconds)
        client.kv_set({"debug": True})

    watch = config.watch(AppConfig(), clock=clock, sleep=repair, on_invalid=found.append)
    assert next(watch).fields == ("debug",)
    assert len(found) == 1


def test_a_closed_watch_ends(client: SyncClient) -> None:
    watch = SyncConfigRepository(client, AppConfig).watch()
    watch.close()
    watch.close()
    assert list(watch) == []


def test_what_a_nemesisdb_cannot_do_is_refused_by_name(nemesisdb_uri: str) -> None:
    with SyncClient.connect(nemesisdb_uri, max_payload=8192) as client:
        repo = SyncRepository(client, User)
        session = repo.save(User(username="billy"))
        assert client.is_remote
        assert client.max_payload == 8192
        with repo.edit(session.tkn) as edited:
            edited.roles = ["admin"]
        assert repo.get(session.tkn).roles == ["admin"]
        assert client.server_version() == "0.7.2"
        with pytest.raises(UnsupportedError, match="mutate"):
            repo.mutate(session.tkn, lambda _: None)
        with pytest.raises(UnsupportedError):
            next(repo.sessions())


def test_both_sides_share_a_store(uri: str) -> None:
    uri = uri.replace("memory://", "memory://shared-by-both")

    async def read(tkn: int) -> User:
        async with NdbClient.connect(uri) as client:
            return await Repository(client, User).get(tkn)

    with SyncClient.connect(uri) as client:
        session = SyncRepository(client, User).save(User(username="billy"))
        assert asyncio.run(read(session.tkn)) == session


def test_a_wrong_client_is_refused_with_the_right_one() -> None:
    for wrong in (NdbClient("memory://"), None, User):
        with pytest.raises(InvalidArgumentError, match=r"SyncRepository\(SyncClient\(uri\), UserSession\)"):
            SyncRepository(wrong, User)  # type: ignore[arg-type]
        with pytest.raises(InvalidArgumentError, match="needs a SyncClient"):
            SyncConfigRepository(wrong, AppConfig)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="SyncClient"):
        SyncRepository(User)  # type: ignore[arg-type, call-arg]
    with pytest.raises(InvalidArgumentError, match="open NdbClient"):
        Repository(SyncClient("memory://"), User)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="open NdbClient"):
        ConfigRepository(SyncClient("memory://"), AppConfig)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="subclass of SessionModel"):
        SyncRepository(SyncClient("memory://"), AppConfig)  # type: ignore[type-var]


async def test_asynchronous_use_is_refused_with_the_synchronous_one() -> None:
    client = SyncClient("memory://")
    repo = SyncRepository(client, User)
    objects: tuple[Any, ...] = (client, repo, repo.edit(7), SyncConfigRepository(client, AppConfig))
    for it in objects:
        with pytest.raises(InvalidArgumentError, match=r"with|needs no opening"):
            async with it:
                pass
        with pytest.raises(InvalidArgumentError, match=r"with|needs no opening"):
            await it
    with pytest.raises(InvalidArgumentError, match="needs no opening"), repo:  # type: ignore[attr-defined]
        pass


def test_a_client_is_opened_as_in_the_api_of_nemesisdb(uri: str) -> None:
    client = SyncClient()
    with pytest.raises(NotConnectedError):
        client.kv_count()
    with pytest.raises(InvalidArgumentError, match="needs a URI"), client:
        pass
    assert client.open(uri)
    with client:
        assert client.kv_count() == 0
    with pytest.raises(NotConnectedError):
        client.kv_count()
    assert not SyncClient().open("ws://127.0.0.1:1/")
    with pytest.raises(ValueError, match="URI"):
        client.open("")
    with pytest.raises(InvalidArgumentError, match="options are for a URI"):
        SyncClient(open_timeout=1)  # type: ignore[call-overload]
