"""On a NemesisDB too, what `save` accepts, `get` returns equal; all else is refused by name."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest

from ndb_models import NdbClient, Repository, SessionModel, UnstorableError
from ndb_models.protocol.altered import why_altered
from ndb_models.schema.codec import ModelCodec
from tests.nemesisdb import as_kept
from tests.zoo_ways import INSTANCES, TELLING, names


def is_altered(model: SessionModel) -> bool:
    """Tell whether a model holds a number that a NemesisDB changes, or an order that it does not keep."""
    text = model.model_dump_json(round_trip=True).encode()
    ordered = [value for _, value in model if isinstance(value, OrderedDict)]
    return why_altered(text) is not None or any(list(value) != sorted(value) for value in ordered)


ALTERED = [model for model in INSTANCES if is_altered(model)]
KEPT = [model for model in INSTANCES if not is_altered(model)]
TELLING_AND_KEPT = [model for model in KEPT if type(model).__name__ in TELLING]


@pytest.mark.parametrize("model", KEPT, ids=names(KEPT))
def test_what_a_nemesisdb_makes_of_a_text_is_read_as_the_same(model: SessionModel) -> None:
    codec: ModelCodec[Any] = ModelCodec(type(model))
    text = codec.dump(model.model_copy(deep=True)).text
    read: Any = codec.load(as_kept(text), 1)
    assert read == model
    assert kinds(read) == kinds(model)


def kinds(model: SessionModel) -> dict[str, type]:
    """Return the types of a model's values, without what other tests had it compute and keep."""
    return {
        name: type(value) for name, value in model if name in {*type(model).model_fields, *(model.model_extra or {})}
    }


@pytest.mark.parametrize("model", TELLING_AND_KEPT, ids=names(TELLING_AND_KEPT))
async def test_what_is_saved_is_read_back_equal(nemesisdb_client: NdbClient, model: SessionModel) -> None:
    repo: Repository[Any] = Repository(nemesisdb_client, type(model))
    saved = await repo.save(model.model_copy(deep=True))
    read = await repo.get(saved.tkn)
    assert read == model
    before = await repo.raw(saved.tkn)
    await repo.save(read)
    assert await repo.raw(saved.tkn) == before


@pytest.mark.parametrize("model", ALTERED, ids=names(ALTERED))
async def test_what_would_be_altered_is_refused(nemesisdb_client: NdbClient, model: SessionModel) -> None:
    with pytest.raises(UnstorableError):
        await Repository(nemesisdb_client, type(model)).save(model)
    assert await nemesisdb_client.sh_info_all() == {"totalSessions": 0, "totalKeys": 0}
