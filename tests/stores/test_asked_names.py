"""The text of the keys that a read on Redis returns."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ndb_models.errors import InvalidArgumentError

pytest.importorskip("hiredis")
from ndb_models.stores.redis.asked_names import asked_names


@given(st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"])), st.none() | st.integers()), max_size=80))
def test_each_key_that_is_there_is_in_the_text_once_and_in_order(asked: list[tuple[str, int | None]]) -> None:
    stored = dict(asked)
    names = asked_names(tuple(name for name, _ in asked))
    assert names.names == tuple(stored)
    assert [encoded.decode() for encoded in names.encoded] == [*stored]
    found = names.object_of([None if value is None else b"%d" % value for value in stored.values()])
    there = {name: value for name, value in stored.items() if value is not None}
    assert json.loads(found.text) == there
    assert found.names == tuple(there)


def test_a_name_without_utf_8_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="half a surrogate"):
        asked_names(("a", "\ud800"))
