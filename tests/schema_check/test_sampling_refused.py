"""A sample of sessions that end while it is drawn, on a store that refuses, and with reserved keys of others."""

from __future__ import annotations

import pytest

from ndb_models import Expiry, Repository, SessionModel
from ndb_models.errors import ResponseError
from ndb_models.protocol.statuses import Status
from ndb_models.schema_check.sampling import sample_sessions
from tests.interposed import InterposedClient


class Hour(SessionModel, schema="Refused", expiry=Expiry(idle=3600)):
    name: str = ""


class Day(SessionModel, schema="Refused", expiry=Expiry(idle=86400)):
    name: str = ""


@pytest.fixture
async def client() -> InterposedClient:
    client = InterposedClient()
    await Repository(client, Day).create(Day(name="n"))
    return client


@pytest.mark.parametrize("command", ["SH_KEYS", "SH_PEEK", "SH_INFO"])
async def test_a_sample_that_the_store_refuses_is_an_error(client: InterposedClient, command: str) -> None:
    client.refuse_all(command, Status.COMMAND_DISABLED)
    with pytest.raises(ResponseError) as refused:
        await sample_sessions(client, [Hour])
    assert refused.value.status == Status.COMMAND_DISABLED


@pytest.mark.parametrize("command", ["SH_KEYS", "SH_PEEK"])
async def test_a_session_that_ends_before_it_is_read_is_gone(client: InterposedClient, command: str) -> None:
    client.before(command, client.sh_end_all)
    (report,) = await sample_sessions(client, [Hour])
    assert (report.live, report.looked_at, report.gone) == (1, 0, 1)


async def test_a_session_that_ends_before_its_timer_is_read_is_not_shortened(client: InterposedClient) -> None:
    client.before("SH_INFO", client.sh_end_all)
    (report,) = await sample_sessions(client, [Hour])
    assert (report.looked_at, report.shortened) == (1, 0)


async def test_a_reserved_key_without_a_version_is_no_session_of_ours(client: InterposedClient) -> None:
    tkn = (await client.sh_create_session()).tkn
    await client.sh_set({"__ndb__": {"schema": "Refused", "version": True, "tkn": tkn}}, tkn)
    (report,) = await sample_sessions(client, [Day])
    assert (report.live, report.looked_at, report.incomplete) == (1, 1, 0)


async def test_sessions_on_every_page_are_sampled(client: InterposedClient) -> None:
    for _ in range(300):
        await client.sh_create_session()
        await Repository(client, Day).create(Day())
    (report,) = await sample_sessions(client, [Day], limit=None)
    assert (report.live, report.looked_at) == (301, 301)
    assert client.asked.count("SH_LIST") > 1
