"""A repository keeps every model of the zoo, and stores nothing of what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from ndb_models import NdbClient, Repository, SessionModel, UnstorableError
from tests.schema.unstorable import UNSTORABLE
from tests.zoo_ways import INSTANCES, all_here_some_there, names


@all_here_some_there("memory", ["sqlite", "server"], INSTANCES)
async def test_a_model_stays_what_it_is_saved_read_and_updated(client: NdbClient, model: SessionModel) -> None:
    repo: Repository[Any] = Repository(client, type(model))
    saved = await repo.save(model.model_copy(deep=True))
    stored = await client.sh_get(await client.sh_keys(saved.tkn), saved.tkn)
    read = await repo.get(saved.tkn)
    assert read == model
    assert type(read) is type(model)
    assert {name: type(value) for name, value in read} == {name: type(value) for name, value in model}
    await repo.save(read)
    assert await repo.update(saved.tkn) == model
    async with repo.edit(saved.tkn) as edited:
        assert edited == model
    assert await client.sh_get(await client.sh_keys(saved.tkn), saved.tkn) == stored
    assert await repo.get(saved.tkn) == model


@pytest.mark.parametrize("uri", ["memory"], indirect=True)
@pytest.mark.parametrize(("model", "fields"), UNSTORABLE, ids=names([model for model, _ in UNSTORABLE]))
async def test_what_is_refused_is_not_stored(client: NdbClient, model: SessionModel, fields: list[str]) -> None:
    with pytest.raises(UnstorableError) as caught:
        await Repository(client, type(model)).save(model)
    assert [field for field, _ in caught.value.problems] == fields
    assert not model.is_saved
    assert await client.sh_info_all() == {"totalSessions": 0, "totalKeys": 0}
