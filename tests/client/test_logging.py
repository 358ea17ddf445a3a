"""DEBUG shows every request from the moment it is switched on, by every way to an engine, and changes nothing else."""

from __future__ import annotations

import asyncio
import logging
import secrets

import pytest

from ndb_models import ConnectionLostError, NdbClient, Repository, SessionModel
from tests.client.scripted_server import scripted
from tests.client.test_failing_servers import abort

LOGGER = "ndb_models.client"
VALUE = f"value-{secrets.token_hex()}"


class Noted(SessionModel):
    text: str


def shown(caplog: pytest.LogCaptureFixture) -> list[str]:
    messages = [record.getMessage() for record in caplog.records if record.name == LOGGER]
    caplog.clear()
    return messages


@pytest.mark.parametrize("logger", [LOGGER, "ndb_models", ""])
async def test_it_may_be_switched_on_and_off_while_a_client_is_open(
    client: NdbClient, caplog: pytest.LogCaptureFixture, logger: str
) -> None:
    repo = Repository(client, Noted)
    session = await repo.save(Noted(text=VALUE))
    await repo.get(session.tkn)
    assert shown(caplog) == []
    with caplog.at_level(logging.DEBUG, logger):
        session = await repo.save(Noted(text=VALUE))
        await repo.get(session.tkn)
        session.text = VALUE[::-1]
        await repo.save(session)
        await client.kv_set({"a": VALUE})
        messages = shown(caplog)
    for command in ("SH_NEW_SET", "SH_GET", "SH_SET", "KV_SET"):
        said = [message for message in messages if message.startswith(f"{command}: ")]
        assert len(said) == 1
        assert any(character.isdigit() for character in said[0].partition(": ")[2])
    assert not any(VALUE in message or VALUE[::-1] in message or str(session.tkn) in message for message in messages)
    await repo.get(session.tkn)
    await client.kv_get(("a",))
    assert shown(caplog) == []


async def test_what_is_answered_is_the_same(client: NdbClient, caplog: pytest.LogCaptureFixture) -> None:
    repo = Repository(client, Noted)

    async def outcomes() -> list[object]:
        session = await repo.save(Noted(text="a"))
        calls = [repo.get(session.tkn), repo.exists(session.tkn), repo.delete(session.tkn), repo.get(session.tkn)]
        done: list[object] = []
        for call in calls:
            try:
                done.append(await call)
            except Exception as exc:  # noqa: BLE001 - whatever it is, it is compared
                done.append(type(exc))
        return done

    before = await outcomes()
    with caplog.at_level(logging.DEBUG, LOGGER):
        assert await outcomes() == before


async def test_a_request_that_fails_or_is_cancelled_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, LOGGER)
    async with scripted(abort) as uri, NdbClient.connect(uri) as client:
        with pytest.raises(ConnectionLostError):
            await client.kv_add({"a": VALUE})
    assert "KV_ADD: ConnectionLostError" in shown(caplog)
    async with NdbClient.connect("memory://") as client:
        waiting = asyncio.ensure_future(client.kv_set({"a": VALUE}))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
    assert not any(VALUE in message for message in shown(caplog))
