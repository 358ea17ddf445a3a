"""Writes that a server refuses, and places that are no stores: an error, and nothing half done."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from ndb_models import ConfigRepository, InvalidArgumentError, NdbClient
from ndb_models.bench import measure
from ndb_models.conformance.placeholders import Placeholders
from ndb_models.errors import ResponseError
from ndb_models.moving.servers import ServerPlace
from ndb_models.protocol.statuses import Status
from ndb_models.server.page_logins import SharedLogins
from ndb_models.stores.redis.opening import reason_of
from ndb_models.stores.redis.options import parse_redis_uri
from tests.interposed import InterposedClient


class Limits(BaseModel):
    workers: int = 4
    title: str = ""


async def test_a_configuration_that_the_server_refuses_is_an_error() -> None:
    client = InterposedClient()
    config = ConfigRepository(client, Limits)
    client.refuse("KV_SET", Status.VALUE_SIZE)
    with pytest.raises(ResponseError) as refused:
        await config.save(Limits(workers=8))
    assert refused.value.status == Status.VALUE_SIZE
    assert await config.load() == Limits()


async def test_a_configuration_repository_may_have_arguments_of_its_own(client: NdbClient) -> None:
    class LimitsConfig(ConfigRepository[Limits]):
        def __init__(self, connected: NdbClient) -> None:
            super().__init__(connected, Limits)

    config = LimitsConfig(client)
    await config.save(Limits(workers=8))
    assert await config.load() == Limits(workers=8)


async def test_keys_that_a_server_refuses_are_not_copied() -> None:
    client = InterposedClient()
    client.refuse("KV_ADD", Status.VALUE_SIZE)
    with pytest.raises(ResponseError):
        await ServerPlace(client).put_keys({"a": b"1"})
    assert await client.kv_count() == 0


async def test_no_keys_are_copied_without_a_request() -> None:
    client = InterposedClient()
    await ServerPlace(client).put_keys({})
    assert "KV_ADD" not in client.asked


async def test_sessions_that_a_measurement_cannot_end_are_told() -> None:
    client = InterposedClient()
    client.refuse_all("SH_END", Status.COMMAND_DISABLED)
    report = await measure(client, seconds=0.1, tasks=2, report=lambda _: None)
    assert report.left > 0
    assert (await client.sh_info_all())["totalSessions"] == report.left


def test_a_step_of_a_conversation_needs_the_tokens_that_it_names() -> None:
    placeholders = Placeholders("prefix:", "name", (7,))
    assert placeholders.fill('{"SH_GET":{"tkn":$N1,"keys":["$Ka"]}}') == '{"SH_GET":{"tkn":7,"keys":["prefix:a"]}}'
    assert placeholders.fill('{"SH_GET":{"tkn":$T1,"keys":["a"]}}') is None


@pytest.mark.parametrize("uri", ["http://a.example.org/", "redis:a", "sqlite:///s.db", ""])
def test_what_is_no_uri_of_a_redis_is_refused_with_an_example(uri: str) -> None:
    with pytest.raises(InvalidArgumentError, match="no URI of a Redis"):
        parse_redis_uri(uri)


def test_a_host_that_cannot_have_its_name_is_told_without_it() -> None:
    failure = UnicodeError("label empty or too long")
    assert reason_of(failure) == "no host can have its name"


def test_a_cookie_that_is_none_logs_no_one_out() -> None:
    logins = SharedLogins()
    cookie = logins.log_in(b"d" * 32, 1000.0)
    logins.log_out("no cookie")
    logins.log_out("")
    assert logins.is_valid(cookie, [b"d" * 32], 1001.0)
    logins.log_out(cookie)
    assert not logins.is_valid(cookie, [b"d" * 32], 1001.0)
