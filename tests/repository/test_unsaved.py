"""What a save would write, and the facts that come with an opened session."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from ndb_models import Expiry, InvalidArgumentError, NdbClient, Repository, SessionModel, UnstorableError
from ndb_models.testing import MovableClock


class Basket(SessionModel, schema="unsaved.basket", expiry=Expiry(idle=1800, absolute=86400)):
    owner: str = ""
    items: dict[str, int] = {}
    marks: set[str] = set()


@pytest.fixture
def baskets(client: NdbClient) -> Repository[Basket]:
    return Repository(client, Basket)


async def test_it_names_the_fields_that_a_save_would_write(baskets: Repository[Basket]) -> None:
    basket = Basket(marks={"a", "b", "c"})
    assert baskets.unsaved(basket) == {"owner", "items", "marks"}
    await baskets.save(basket)
    assert baskets.unsaved(basket) == frozenset()
    basket.items["apple"] = 1
    basket.owner = "billy"
    assert baskets.unsaved(basket) == {"owner", "items"}
    basket.owner = ""
    assert baskets.unsaved(basket) == {"items"}
    await baskets.save(basket)
    assert baskets.unsaved(basket) == frozenset()
    read = await baskets.get(basket.tkn)
    assert baskets.unsaved(read) == frozenset()
    read.marks = {*sorted(read.marks, reverse=True)}
    assert baskets.unsaved(read) == frozenset()


async def test_what_is_no_json_has_no_names(baskets: Repository[Basket]) -> None:
    basket = await baskets.save(Basket())
    basket.items["apple"] = object()  # type: ignore[assignment]  # what a careless program does
    with pytest.raises(UnstorableError, match="items"):
        baskets.unsaved(basket)
    stranger: Any = SessionModel()
    with pytest.raises(InvalidArgumentError, match="Basket"):
        baskets.unsaved(stranger)


async def test_an_opened_session_tells_of_its_credential_and_its_expiry() -> None:
    with MovableClock() as time:
        async with NdbClient.connect("memory://") as client:
            baskets = Repository(client, Basket)
            basket = await baskets.save(Basket(owner="billy"))
            first = str(await baskets.issue(basket))
            begun = int(time.now().timestamp() * 1000)
            opened = await baskets.opened_by(first)
            assert opened is not None
            assert (opened.session, opened.is_current, opened.issued) == (basket, True, begun)
            assert (opened.idle, opened.absolute, opened.has_own_expiry) == (1800, 86400, False)
            time.advance(timedelta(seconds=10))
            second = str(await baskets.renew(basket))
            former, current = await baskets.opened_by(first), await baskets.opened_by(second)
            assert former is not None
            assert current is not None
            assert (former.is_current, current.is_current) == (False, True)
            assert {former.issued, current.issued} == {begun + 10_000}
            await baskets.expire(basket, Expiry(idle=60))
            own = await baskets.opened_by(second)
            assert own is not None
            assert (own.idle, own.absolute, own.has_own_expiry) == (60, None, True)
            for bad in (None, "", "nonsense", first[:-1], "A" * 54):
                assert await baskets.opened_by(bad) is None
