"""On a NemesisDB too, what `save` accepts, `get` returns equal; all else is refused by name."""

from __future__ import annotations

from collections import OrderedDict

import pytest

from ndb_models import NdbClient, Repository, SessionModel, UnstorableError
from ndb_models.wire.altered import why_altered
from tests.schema.test_round_trip import INSTANCES, names


def is_altered(model: SessionModel) -> bool:
    """Tell whether a model holds a number that a NemesisDB changes, or an order that it does not keep."""
    text = model.model_dump_json(round_trip=True).encode()
    ordered = [value for _, value in model if isinstance(value, OrderedDict)]
    return why_altered(text) is not None or any(list(value) != sorted(value) for value in ordered)


@pytest.mark.parametrize("model", INSTANCES, ids=names(INSTANCES))
async def test_what_is_saved_is_read_back_equal_or_was_refused_by_name(
    nemesisdb_client: NdbClient, model: SessionModel
) -> None:
    repo = Repository(nemesisdb_client, type(model))
    if is_altered(model):
        with pytest.raises(UnstorableError):
            await repo.save(model)
        assert await nemesisdb_client.sh_info_all() == {"totalSessions": 0, "totalKeys": 0}
        return
    saved = await repo.save(model.model_copy(deep=True))
    read = await repo.get(saved.tkn)
    assert read == model
    assert {name: type(value) for name, value in read} == {name: type(value) for name, value in model}
    before = await repo.raw(saved.tkn)
    await repo.save(read)
    assert await repo.raw(saved.tkn) == before
