"""Whatever values the example models hold: what is saved is read back equal, else it is refused by its name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ndb_models import NdbClient, Repository, SessionModel, UnstorableError
from tests.sameness import described
from tests.zoo import ZOO
from tests.zoo_values import instances_of
from tests.zoo_ways import in_memory_and_some_elsewhere

MODELS = [model for model, _ in ZOO]

# The only fields that may be refused though they are valid: JSON, or Pydantic's way to it, has nothing for some of
# their values (bytes that are no text, numbers that are not finite, a time zone with seconds, fold=1 without a zone, a
# defaultdict with another factory).
REFUSABLE = {
    *("Scalars.blob", "Scalars.ratio", "Texts.blob", "Keyed.by_blob", "Keyed.by_ratio", "Infinities.ratio"),
    *("Infinities.ratios", "Fractional.ratio", "Fractional.point", "Infinite.ratio", "Owner.several", "Unions.many"),
    *("Unions.decimal_or_float", "Named.negative", "Extended.fruit", "Classes.fare", "CountedSpans.span"),
    *("Times.at", "Times.local", "Times.hour", "Moments.at", "Moments.hour", "Hidden.ordered", "Secretive.key"),
    *("Collections.row", "KindsOfTimes.naive", "KindsOfTimes.before", "KindsOfTimes.after", "Immutable.at"),
    *("Mappings.grouped", "Choices.literal", "Contacts.named", "KindsOfTimes.aware", "Checked.at", "Secrets.key"),
}

bounded = settings(
    max_examples=8, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


def refusable(model: type[SessionModel], field: str) -> bool:
    return f"{model.__name__.removeprefix('Strict')}.{field}" in REFUSABLE


async def refusal(client: NdbClient, repo: Repository[SessionModel], instance: SessionModel) -> list[str] | None:
    """Save an instance; return the fields that it is refused for, or None. Where it is, nothing has been stored."""
    before = await client.sh_info_all()
    try:
        assert await repo.save(instance) is instance
    except UnstorableError as exc:
        refused = [field for field, _ in exc.problems]
    else:
        return None
    assert await client.sh_info_all() == before
    assert not instance.is_saved
    return refused


@pytest.mark.slow
@in_memory_and_some_elsewhere("model", MODELS, [model.__name__ for model in MODELS], ["server"])
@bounded
@given(data=st.data())
async def test_what_a_class_can_hold_is_read_back_equal_or_refused_by_name(
    client: NdbClient, model: type[SessionModel], data: st.DataObject
) -> None:
    instance = data.draw(instances_of(model))
    original = instance.model_copy(deep=True)
    repo: Repository[SessionModel] = Repository(client, model)
    refused = await refusal(client, repo, instance)
    if refused is not None:
        assert [field for field in refused if not refusable(model, field)] == []
        return
    read = await repo.get(instance.tkn)
    assert described(read) == described(original)
    assert type(read) is model
    assert [type(value) for _, value in read] == [type(value) for _, value in original]
    assert described(await repo.save(read)) == described(original)
    assert described(await repo.get(instance.tkn)) == described(original)


ANY_INSTANCE = st.sampled_from([instance for _, instances in ZOO for instance in instances])


@pytest.mark.slow
@settings(bounded, max_examples=400)
@given(instance=ANY_INSTANCE, donor=ANY_INSTANCE, data=st.data())
async def test_what_was_assigned_unchecked_is_read_back_equal_or_refused_by_name(
    client: NdbClient, instance: SessionModel, donor: SessionModel, data: st.DataObject
) -> None:
    values: dict[str, Any] = dict(donor)
    field = data.draw(st.sampled_from([*type(instance).model_fields, ""]))
    if not field or not values:
        return
    value = data.draw(st.sampled_from(list(values.values())))
    spoilt = instance.model_copy(update={field: value}, deep=True)
    repo: Repository[SessionModel] = Repository(client, type(instance))
    refused = await refusal(client, repo, spoilt)
    if refused is None:
        assert await repo.get(spoilt.tkn) == spoilt
    else:
        # A default may be made of this field, and a validator or a serializer may find fault with the whole.
        assert set(refused) <= {"(model)", *type(instance).model_fields}
