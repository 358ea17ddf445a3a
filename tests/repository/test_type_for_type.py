"""What comes back the same, and what is refused, is the same whichever way the engine is reached, by every verb."""

from __future__ import annotations

from typing import Any

import pytest

from ndb_models import ConfigRepository, NdbClient, Repository, UnstorableError
from tests.sameness import described
from tests.zoo_values_further import KEPT, REFUSED, declared, holding

TELLING = [
    "a time that occurs twice, the second",
    "times as keys",
    "times in a nested model",
    "a zoned time",
    "zoned times as keys",
    "numbers and truths",
    "a counter",
    "an ordered dict",
    "frozensets in a set",
    "dataclasses in a set",
    "a loose model",
    "a model that leaves None out",
    "an object without a comparison",
    "a decimal's digits",
]
LOSING = [
    "times of day in a zone",
    "a folded time without a zone",
    "a deque with a length",
    "an enum as text",
    "a number as a key of truths",
    "a subclass in a loose model",
    "private attributes in a dict",
    "a field that does not compare",
    "an attribute of an object",
]


@pytest.mark.parametrize("case", TELLING)
async def test_every_verb_keeps_it(client: NdbClient, case: str) -> None:
    annotation, value = KEPT[case]
    model: Any = holding(annotation, value)
    repo: Repository[Any] = Repository(client, type(model))
    config: ConfigRepository[Any] = ConfigRepository(client, type(model), namespace="app")
    session = await repo.save(model.model_copy(deep=True))
    assert described(await repo.get(session.tkn)) == described(model)
    assert described(await repo.update(session.tkn, value=value)) == described(model)
    async with repo.edit(session.tkn) as edited:
        edited.value = value
    assert described(await repo.project(session.tkn, declared(annotation))) == described(model, private=True)
    await config.save(model)
    assert await config.diff(model) == []
    assert described(await config.update(value=value)) == described(model)
    async with config.edit() as edited:
        edited.value = value
    assert described(await config.load()) == described(model)


@pytest.mark.parametrize("case", LOSING)
async def test_every_verb_refuses_it_by_name_and_changes_nothing(client: NdbClient, case: str) -> None:
    annotation, value, reason = REFUSED[case]
    model: Any = holding(annotation, value)
    repo: Repository[Any] = Repository(client, type(model))
    config: ConfigRepository[Any] = ConfigRepository(client, type(model))
    with pytest.raises(UnstorableError, match=reason):
        await repo.save(model)
    with pytest.raises(UnstorableError, match=reason):
        await repo.create(model)
    with pytest.raises(UnstorableError, match=reason):
        await config.save(model)
    assert await client.sh_info_all() == {"totalSessions": 0, "totalKeys": 0}
    assert await client.kv_count() == 0
