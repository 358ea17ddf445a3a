"""Whatever values the example models hold: what is written is read back equal, or refused by its name."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ndb_models import SessionModel, UnstorableError
from ndb_models.schema.codec import ModelCodec
from tests.sameness import described
from tests.zoo import ZOO
from tests.zoo_values import instances_of
from tests.zoo_ways import INSTANCES

pytestmark = [pytest.mark.slow, pytest.mark.unmeasured]

MODELS = [model for model, _ in ZOO]
ANY_INSTANCE = st.sampled_from(INSTANCES)

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


@cache
def codec_of(model: type[SessionModel]) -> ModelCodec[Any]:
    return ModelCodec(model)


@pytest.mark.parametrize("model", MODELS, ids=[model.__name__ for model in MODELS])
@bounded
@given(data=st.data())
def test_what_a_class_can_hold_is_read_back_equal_or_refused_by_name(
    model: type[SessionModel], data: st.DataObject
) -> None:
    instance = data.draw(instances_of(model))
    original = instance.model_copy(deep=True)
    codec = codec_of(model)
    try:
        text = codec.dump(instance).text
    except UnstorableError as exc:
        assert [field for field, _ in exc.problems if not refusable(model, field)] == []  # noqa: PT017
        return
    read: Any = codec.load(text, 1)
    assert described(read) == described(original)
    assert type(read) is model
    assert [type(value) for _, value in read] == [type(value) for _, value in original]
    again = codec.dump(read)
    changes = codec.changes(read, again, text)
    assert (dict(changes.changed), [*changes.removed], changes.after) == ({}, [], text)
    assert described(codec.load(again.text, 1)) == described(original)


@settings(bounded, max_examples=400)
@given(instance=ANY_INSTANCE, donor=ANY_INSTANCE, data=st.data())
def test_what_was_assigned_unchecked_is_read_back_equal_or_refused_by_name(
    instance: SessionModel, donor: SessionModel, data: st.DataObject
) -> None:
    values: dict[str, Any] = dict(donor)
    field = data.draw(st.sampled_from([*type(instance).model_fields, ""]))
    if not field or not values:
        return
    value = data.draw(st.sampled_from(list(values.values())))
    spoilt = instance.model_copy(update={field: value}, deep=True)
    codec = codec_of(type(instance))
    try:
        text = codec.dump(spoilt).text
    except UnstorableError as exc:
        # A default or a private attribute may be made of this field; or a validator finds fault with the whole.
        others = {"(model)", *type(instance).__private_attributes__}
        assert {name for name, _ in exc.problems} <= {*others, *type(instance).model_fields}  # noqa: PT017
    else:
        assert codec.load(text, 1) == spoilt
