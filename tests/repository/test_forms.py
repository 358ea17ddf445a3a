"""Two forms of one class at once, without another version: `on_invalid="end"` ends nothing that newer code wrote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Annotated, Any, Final, Literal

import pytest
from pydantic import AfterValidator

from ndb_models import (
    Expiry,
    JsonValue,
    NdbClient,
    OlderVersionError,
    Repository,
    SessionGoneError,
    SessionModel,
    StoredDataError,
)
from tests.reloading import in_place_of


class Old(SessionModel, schema="form-user", expiry=Expiry(idle=60)):
    role: Literal["guest", "admin"] = "guest"
    visits: int = 0


@in_place_of(Old)
class New(SessionModel, schema="form-user", expiry=Expiry(idle=60)):
    role: Literal["guest", "admin", "owner"] = "guest"
    visits: int | None = 0


@in_place_of(Old)
class Newest(SessionModel, schema="form-user", version=2, expiry=Expiry(idle=60)):
    role: Literal["guest"] = "guest"
    visits: int | None = 0


@Newest.upgrade(1)
def unchanged(keys: dict[str, Any]) -> dict[str, Any]:
    return keys


async def form_in(client: NdbClient, tkn: int) -> str | None:
    reserved: Any = (await client.sh_get(["__ndb__"], tkn))["__ndb__"]
    form = reserved.get("by") if isinstance(reserved, dict) else json.loads(reserved).get("by")
    return form if form is None else str(form)


async def test_what_newer_code_created_is_not_ended_by_older_code(client: NdbClient) -> None:
    saved = await Repository(client, New).save(New(role="owner"))
    old = Repository(client, Old, on_invalid="end")
    for read in (old.get, lambda tkn: old.update(tkn, visits=1)):
        with pytest.raises(StoredDataError) as caught:
            await read(saved.tkn)
        assert "may be newer" in "".join(caught.value.__notes__)
    assert (await Repository(client, New).get(saved.tkn)).role == "owner"


@pytest.mark.parametrize("verify", [False, True])
async def test_what_newer_code_changed_is_not_ended_by_older_code(client: NdbClient, verify: bool) -> None:
    tkn = (await Repository(client, Old).save(Old())).tkn
    new = Repository(client, New, verify_version=verify)
    async with new.edit(tkn) as session:
        session.visits = None
    with pytest.raises(StoredDataError):
        await Repository(client, Old, on_invalid="end").get(tkn)
    assert (await new.get(tkn)).visits is None


async def test_looking_at_a_session_does_not_make_it_anothers(client: NdbClient) -> None:
    tkn = (await Repository(client, Old).save(Old())).tkn
    written = await form_in(client, tkn)
    new = Repository(client, New)
    await new.save(await new.get(tkn))
    assert await form_in(client, tkn) == written
    await new.update(tkn, visits=5)
    signed = await form_in(client, tkn)
    assert signed != written
    assert await Repository(client, Old).get(tkn) == Old(visits=5)


async def test_what_this_form_wrote_is_ended_where_it_does_not_fit(client: NdbClient) -> None:
    repo = Repository(client, Old, on_invalid="end")
    saved = await repo.save(Old())
    await client.sh_set({"visits": "many"}, saved.tkn)
    with pytest.raises(SessionGoneError):
        await repo.get(saved.tkn)
    assert not await repo.exists(saved.tkn)


async def test_what_an_older_release_wrote_is_ended_where_it_does_not_fit(client: NdbClient) -> None:
    repo = Repository(client, Old, on_invalid="end")
    saved = await repo.save(Old())
    reserved: dict[str, JsonValue] = {"schema": "form-user", "version": 1, "tkn": saved.tkn}
    await client.sh_set({"visits": "many", "__ndb__": reserved}, saved.tkn)
    with pytest.raises(SessionGoneError):
        await repo.get(saved.tkn)


async def test_what_an_older_version_wrote_is_ended_where_it_does_not_fit(client: NdbClient) -> None:
    saved = await Repository(client, New).save(New(role="owner"))
    with pytest.raises(SessionGoneError):
        await Repository(client, Newest, on_invalid="end").get(saved.tkn)


async def test_a_version_without_an_upgrade_ends_what_older_code_wrote(client: NdbClient) -> None:
    @in_place_of(Old)
    class Strict(SessionModel, schema="form-user", version=2, oldest=2):
        role: int

    saved = await Repository(client, Old).save(Old())
    with pytest.raises(OlderVersionError):
        await Repository(client, Strict).get(saved.tkn)
    with pytest.raises(SessionGoneError):
        await Repository(client, Strict, on_invalid="end").get(saved.tkn)


async def test_a_new_token_keeps_the_form_that_wrote(client: NdbClient) -> None:
    new, old = Repository(client, New), Repository(client, Old, on_invalid="end")
    tkn = (await new.save(New())).tkn
    session = await old.get(tkn)
    async with new.edit(tkn) as changed:
        changed.visits = None
    await old.rotate(session)
    with pytest.raises(StoredDataError):
        await old.get(session.tkn)


async def test_a_class_that_stores_the_same_is_of_one_form(client: NdbClient) -> None:
    @in_place_of(Old)
    class Documented(Old, schema="form-user"):
        """With a docstring, and methods."""

        def shown(self) -> str:
            return self.role

    saved = await Repository(client, Documented).save(Documented())
    assert await form_in(client, saved.tkn) == await form_in(client, (await Repository(client, Old).save(Old())).tkn)


async def test_a_validator_that_takes_less_ends_nothing_that_another_one_took(client: NdbClient) -> None:
    def declared(limit: int) -> type[SessionModel]:
        def at_most(value: int) -> int:
            if value > limit:
                raise ValueError
            return value

        class Limited(SessionModel, schema="forms-limited"):
            visits: Annotated[int, AfterValidator(at_most)] = 0

        return Limited

    old, new = declared(10), declared(100)
    session = await Repository(client, new).save(new.model_validate({"visits": 50}))
    with pytest.raises(StoredDataError):
        await Repository(client, old, on_invalid="end").get(session.tkn)
    assert await Repository(client, new).exists(session.tkn)


_FORM: Final = """
from typing import Annotated
from pydantic import AfterValidator
from ndb_models import SessionModel
from ndb_models.schema.form import form_of
def known(value):
    if value not in {"a", "b", "c", "d", "e", "f"}:
        raise ValueError
    return value
class Letter(SessionModel):
    letter: Annotated[str, AfterValidator(known)]
print(form_of(Letter))
"""


@pytest.mark.slow
def test_a_class_is_of_one_form_in_every_process() -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", _FORM], env={**os.environ, "PYTHONHASHSEED": str(seed)}, stdout=subprocess.PIPE
        )
        for seed in range(3)
    ]
    forms = {each.communicate(timeout=60)[0] for each in started}
    assert len(forms) == 1
    assert len(forms.pop().strip()) == 3
