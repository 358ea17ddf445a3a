"""Models that take any field: what is beyond their own is stored, changed and removed like the rest."""

from __future__ import annotations

import pytest

from ndb_models import NdbClient, Repository, SessionGoneError, StoredDataError, UnstorableError
from ndb_models.schema.envelope import RESERVED_KEY
from tests.conftest import VirtualClock
from tests.repository.models import User
from tests.repository.recording import RecordingEngine
from tests.zoo import Open, OpenNumbers


class OpenUser(User, extra="allow"):
    """Expires after 60 s without use."""


def made(**fields: object) -> Open:
    return Open.model_validate(fields)


async def test_extras_are_added_changed_and_removed_by_saving(client: NdbClient) -> None:
    repo = Repository(client, Open)
    model = await repo.save(made(name="b", kept=[1], changed=1, removed=1))
    assert model.model_extra is not None
    model.model_extra.update({"changed": 2, "added": {"x": None}})
    del model.model_extra["removed"]
    await repo.save(model)
    assert await repo.get(model.tkn) == made(name="b", kept=[1], changed=2, added={"x": None})
    assert await client.sh_contains(["removed"], model.tkn) == []


async def test_extras_are_added_changed_and_removed_by_editing(client: NdbClient) -> None:
    repo = Repository(client, Open)
    model = await repo.save(made(nested={"list": [1]}, removed=1))
    async with repo.edit(model.tkn) as edited:
        assert edited.model_extra is not None
        edited.model_extra["nested"]["list"].append(2)
        edited.added = True  # type: ignore[attr-defined]  # it takes any field
        del edited.removed  # type: ignore[attr-defined]  # as above
    assert await repo.get(model.tkn) == made(nested={"list": [1, 2]}, added=True)


async def test_only_the_extras_that_changed_are_written(timed: NdbClient, engine: RecordingEngine) -> None:
    repo = Repository(timed, Open)
    model = await repo.save(made(kept=1, changed=1, removed=1))
    assert model.model_extra is not None
    model.model_extra["changed"] = 2
    del model.model_extra["removed"]
    engine.commands()
    await repo.save(model)
    assert engine.requests() == [
        ("SH_SET", {"tkn": model.tkn, "keys": {"changed": 2}}),
        ("SH_RMV", {"tkn": model.tkn, "keys": ["removed"]}),
    ]


async def test_overlapping_changes_of_different_extras_both_survive(client: NdbClient) -> None:
    repo = Repository(client, Open)
    tkn = (await repo.save(made(a=1, b=1))).tkn
    one, other = await repo.get(tkn), await repo.get(tkn)
    assert one.model_extra is not None
    assert other.model_extra is not None
    del one.model_extra["a"]
    other.model_extra["c"] = 1
    await repo.save(one)
    await repo.save(other)
    assert await repo.get(tkn) == made(b=1, c=1)


async def test_what_others_add_is_read_and_refreshed(client: NdbClient) -> None:
    repo = Repository(client, Open)
    model = await repo.save(made(name="b"))
    await client.sh_set({"theirs": [1]}, model.tkn)
    assert await repo.get(model.tkn) == made(name="b", theirs=[1])
    assert await repo.refresh(model) == made(name="b", theirs=[1])
    await client.sh_rmv(["theirs"], model.tkn)
    assert await repo.refresh(model) == made(name="b")


async def test_the_reserved_key_is_no_extra(client: NdbClient) -> None:
    repo = Repository(client, Open)
    model = await repo.save(made(name="b"))
    assert (await repo.get(model.tkn)).model_extra == {}
    assert model.model_extra is not None
    model.model_extra[RESERVED_KEY] = 1
    with pytest.raises(UnstorableError, match="reserved"):
        await repo.save(model)
    assert await repo.get(model.tkn) == made(name="b")


async def test_extras_that_have_a_type_are_held_to_it(client: NdbClient) -> None:
    repo = Repository(client, OpenNumbers)
    model = await repo.save(OpenNumbers.model_validate({"a": 1}))
    with pytest.raises(UnstorableError, match="b"):
        await repo.update(model.tkn, b="canary")
    await client.sh_set({"b": "canary"}, model.tkn)
    with pytest.raises(StoredDataError, match="b: ") as caught:
        await repo.get(model.tkn)
    assert "canary" not in str(caught.value)


async def test_removing_alone_counts_as_a_write(timed: NdbClient, clock: VirtualClock) -> None:
    repo = Repository(timed, OpenUser, clock=clock)
    model = await repo.save(OpenUser.model_validate({"username": "b", "removed": 1}))
    assert model.model_extra is not None
    clock.move(59)
    del model.model_extra["removed"]
    await repo.save(model)
    clock.move(59)
    assert await repo.exists(model.tkn)


async def test_removing_from_a_dead_session_says_that_it_is_gone(client: NdbClient) -> None:
    repo = Repository(client, Open)
    model = await repo.save(made(removed=1))
    await repo.delete(model.tkn)
    assert model.model_extra is not None
    del model.model_extra["removed"]
    with pytest.raises(SessionGoneError):
        await repo.save(model)
    assert (await client.sh_info_all())["totalSessions"] == 0
