"""Secrets in a session: stored as what they are, equal after a read, and shown nowhere else."""

from __future__ import annotations

import copy
import logging
import pickle
from datetime import date
from typing import Any

import pytest
from pydantic import Secret, SecretBytes, SecretStr, create_model

from ndb_models import (
    InvalidArgumentError,
    NdbClient,
    NdbError,
    Repository,
    SessionModel,
    StoredDataError,
    UnstorableError,
)
from ndb_models.schema.envelope import RESERVED_KEY
from tests.zoo import Login, Secretive


def secretive() -> Secretive:
    return Secretive(
        password=SecretStr("canary"),
        key=SecretBytes(b"canary"),
        pin=Secret(402913),
        born=Secret(date(1999, 12, 31)),
        recovery=[SecretStr("canary")],
        by_site={"site": SecretStr("canary")},
        login=Login(user="b", password=SecretStr("canary")),
        pair=(SecretStr("canary"), Login(user="b", password=SecretStr("canary"))),
    )


SECRETS = ("canary", "402913", "1999")


def shows_none(*texts: str) -> bool:
    return not [text for text in texts for secret in SECRETS if secret in text]


@pytest.fixture
def secrets(client: NdbClient) -> Repository[Secretive]:
    return Repository(client, Secretive)


async def test_a_secret_is_stored_as_its_value_at_every_depth(
    secrets: Repository[Secretive], client: NdbClient
) -> None:
    saved = await secrets.save(secretive())
    keys = await client.sh_get(await client.sh_keys(saved.tkn), saved.tkn)
    keys.pop(RESERVED_KEY)
    assert keys == {
        "password": "canary",
        "key": "canary",
        "pin": 402913,
        "born": "1999-12-31",
        "recovery": ["canary"],
        "by_site": {"site": "canary"},
        "login": {"user": "b", "password": "canary"},
        "pair": ["canary", {"user": "b", "password": "canary"}],
        "short": "ab",
    }


async def test_a_secret_is_equal_after_a_read_and_still_hidden(secrets: Repository[Secretive]) -> None:
    saved = await secrets.save(secretive())
    read = await secrets.get(saved.tkn)
    assert read == secretive()
    assert read.password.get_secret_value() == "canary"
    assert shows_none(repr(read), str(read), read.model_dump_json(), str(read.model_dump(mode="json")))
    assert shows_none(repr(copy.deepcopy(read)), repr(pickle.loads(pickle.dumps(read))))


async def test_a_changed_secret_is_written_and_an_unchanged_one_is_not(
    secrets: Repository[Secretive], client: NdbClient
) -> None:
    saved = await secrets.save(secretive())
    await client.sh_set({"pin": 1}, saved.tkn)
    async with secrets.edit(saved.tkn) as edited:
        edited.password = SecretStr("changed")
        edited.recovery.append(SecretStr("more"))
    assert await client.sh_get(["password", "recovery", "pin"], saved.tkn) == {
        "password": "changed",
        "recovery": ["canary", "more"],
        "pin": 1,
    }
    updated = await secrets.update(saved.tkn, password="given as text", pin=2)  # type: ignore[ndb-value]  # taken as its constructor takes it
    assert (updated.password, updated.pin) == (SecretStr("given as text"), Secret(2))
    assert await secrets.get(saved.tkn) == updated


async def test_no_error_shows_a_secret(secrets: Repository[Secretive], client: NdbClient) -> None:
    saved = await secrets.save(secretive())
    errors: list[NdbError] = []
    with pytest.raises(UnstorableError) as refused:
        await secrets.update(saved.tkn, short="c", password="canary")  # type: ignore[ndb-value]  # taken as its constructor takes it
    errors.append(refused.value)
    with pytest.raises(InvalidArgumentError) as unknown:
        await secrets.update(saved.tkn, passwort="canary")  # type: ignore[ndb-field]  # the mistake
    errors.append(unknown.value)
    spoilt = secretive()
    spoilt.key = SecretBytes(b"canary\xff")
    with pytest.raises(UnstorableError) as not_text:
        await secrets.save(spoilt)
    errors.append(not_text.value)
    await client.sh_set({"short": "c", "password": ["canary"]}, saved.tkn)
    with pytest.raises(StoredDataError) as misfit:
        await secrets.get(saved.tkn)
    errors.append(misfit.value)
    assert {name for name, _ in misfit.value.problems} == {"short", "password"}
    assert shows_none(*(repr(error) for error in errors), *(str(error) for error in errors))
    assert shows_none(*(str(error.__cause__) for error in errors))


async def test_no_log_shows_a_secret(secrets: Repository[Secretive], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    saved = await secrets.save(secretive())
    await secrets.update(saved.tkn, password="canary 2")  # type: ignore[ndb-value]  # taken as its constructor takes it
    await secrets.rotate(saved)
    await secrets.delete(saved.tkn)
    assert shows_none(caplog.text)


async def test_pydantic_goes_on_hiding_what_is_stored_in_the_open(secrets: Repository[Secretive]) -> None:
    await secrets.save(secretive())
    assert secretive().model_dump_json().count("*") > 0
    assert shows_none(Login(user="b", password=SecretStr("canary")).model_dump_json())


@pytest.mark.parametrize("name", ["metadata", "config", "default", "expected", "members", "function", "cls", "type"])
async def test_a_secret_is_stored_whatever_its_field_is_called(client: NdbClient, name: str) -> None:
    secret: Any = {name: (SecretStr, ...)}
    inner: Any = create_model("Inner", **secret)
    model: Any = create_model("Called", __base__=SessionModel, **secret, inner=(inner, ...))
    repo = Repository(client, model)
    session: Any = await repo.save(model(**{name: "canary", "inner": {name: "canary"}}))
    assert await repo.get(session.tkn) == session
