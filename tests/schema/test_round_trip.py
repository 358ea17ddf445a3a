"""What `save` accepts, `get` returns equal; what would not come back equal is refused by name."""

from __future__ import annotations

import pytest

from ndb_models import NdbClient, Repository, SessionModel, UnstorableError
from tests.schema.unstorable import UNSTORABLE
from tests.zoo import ZOO
from tests.zoo_ways import in_memory_and_some_elsewhere

INSTANCES = [instance for _, instances in ZOO for instance in instances]


def names(models: list[SessionModel]) -> list[str]:
    return [type(model).__name__ for model in models]


@pytest.mark.parametrize("model", INSTANCES, ids=names(INSTANCES))
async def test_what_is_saved_is_read_back_equal(client: NdbClient, model: SessionModel) -> None:
    repo = Repository(client, type(model))
    original = model.model_copy(deep=True)
    saved = await repo.save(original)
    read = await repo.get(saved.tkn)
    assert read == model
    assert type(read) is type(model)
    assert {name: type(value) for name, value in read} == {name: type(value) for name, value in model}


@in_memory_and_some_elsewhere("model", INSTANCES, names(INSTANCES), ["server"])
async def test_what_was_read_and_saved_again_is_still_the_same(client: NdbClient, model: SessionModel) -> None:
    repo = Repository(client, type(model))
    tkn = (await repo.save(model.model_copy(deep=True))).tkn
    before = await client.sh_get(await client.sh_keys(tkn), tkn)
    await repo.save(await repo.get(tkn))
    assert await client.sh_get(await client.sh_keys(tkn), tkn) == before
    assert await repo.get(tkn) == model


@pytest.mark.parametrize("model_class", [model for model, _ in ZOO], ids=[model.__name__ for model, _ in ZOO])
def test_every_model_of_the_zoo_has_instances_of_its_own(model_class: type[SessionModel]) -> None:
    instances = dict(ZOO)[model_class]
    assert instances
    assert all(type(instance) is model_class for instance in instances)


@pytest.mark.parametrize(("model", "fields"), UNSTORABLE, ids=names([model for model, _ in UNSTORABLE]))
async def test_what_would_not_come_back_equal_is_refused_by_name(
    client: NdbClient, model: SessionModel, fields: list[str]
) -> None:
    with pytest.raises(UnstorableError) as caught:
        await Repository(client, type(model)).save(model)
    assert [field for field, _ in caught.value.problems] == fields
    assert caught.value.model == type(model).__name__
    assert all(field in str(caught.value) for field in fields)
    assert "canary" not in str(caught.value).lower()
    assert not model.is_saved
    assert await client.sh_info_all() == {"totalSessions": 0, "totalKeys": 0}
