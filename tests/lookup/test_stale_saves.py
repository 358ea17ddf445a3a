"""A model that was read before others saved the session leaves what is stored by then, not what it knew."""

from __future__ import annotations

import pytest

from ndb_models import DuplicateError
from tests.lookup.models import Login
from tests.lookup.truth import Scene


async def test_the_value_that_another_save_gave_is_free_at_once(scene: Scene) -> None:
    tkn = (await scene.logins.save(Login(email="a", user_id=7))).tkn
    first, second = await scene.logins.get(tkn), await scene.logins.get(tkn)
    first.email, first.user_id = "b", 8
    await scene.logins.save(first)
    second.email, second.user_id = "c", 9
    await scene.logins.save(second)
    await scene.check()
    other = await scene.logins.create(Login(email="b"))
    assert await scene.logins.find_one(email="b") == other
    assert await scene.logins.find_one(email="c") == second
    assert (await scene.logins.reindex()).removed == 0


async def test_who_is_refused_is_told_that_the_value_may_be_nobodys_yet(scene: Scene) -> None:
    await scene.logins.save(Login(email="a"))
    with pytest.raises(DuplicateError, match=r"find_one\(email=\.\.\.\) returns the one that has it, if there is one"):
        await scene.logins.create(Login(email="a"))
