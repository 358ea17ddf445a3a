"""What is set aside from garbage collection for a large text comes back once the last such text is done with."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from ndb_models import NdbClient, garbage

LARGE = b"x" * garbage.LARGE


@pytest.fixture
def unfrozen() -> Iterator[None]:
    """A process that has frozen nothing itself, as that of an application."""
    gc.unfreeze()
    yield
    gc.freeze()


@pytest.mark.usefixtures("unfrozen")
def test_all_objects_are_set_aside_until_the_last_large_text_is_done_with() -> None:
    with garbage.set_aside(LARGE):
        assert gc.get_freeze_count() > 0
        with garbage.set_aside(LARGE):
            pass
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0
    with garbage.set_aside(b"small"):
        assert gc.get_freeze_count() == 0


def test_what_a_process_has_frozen_itself_stays_frozen() -> None:
    gc.freeze()
    frozen = gc.get_freeze_count()
    with garbage.set_aside(LARGE):
        pass
    assert gc.get_freeze_count() == frozen


@pytest.mark.usefixtures("unfrozen")
async def test_a_large_request_in_an_application_leaves_nothing_set_aside() -> None:
    async with NdbClient.connect("memory://") as client:
        value = [{"n": n} for n in range(20_000)]
        await client.kv_set({"a": value})
        assert await client.kv_update("a", "$[?@.n == 7].n", 8) == 1
        assert gc.get_freeze_count() == 0
        assert gc.isenabled()
