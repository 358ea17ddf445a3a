"""A store that is away, or fails as one elsewhere does: without a word of whether it carried a verb out."""

from __future__ import annotations

from typing import Any

from ndb_models import NdbClient
from ndb_models.client.in_process import WaitingTransport
from ndb_models.engine import Engine
from ndb_models.errors import StoreError, StoreUnreachableError
from tests.stores.watched_store import WatchedStore

PLACE = "redis://127.0.0.1:6379"


class UncertainStore(WatchedStore):
    """Fails some verbs, before or after it carries them out, with an error that does not tell which.

    Attributes:
        is_away: it fails all verbs, and carries none out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_away = False
        self._failing: dict[tuple[str, bool], list[StoreError]] = {}
        self._goes_away = False

    def fail(self, verb: str, error: StoreError, *, done: bool, times: int = 1, goes_away: bool = False) -> None:
        """Fail a verb from now on, as often as this; it `goes_away` with that."""
        self._failing[verb, done] = [error] * times
        self._goes_away = goes_away

    async def before(self, verb: str, *_args: Any) -> None:
        if self.is_away:
            raise StoreUnreachableError(PLACE, f"{verb} had no reply within 10 s (no answer)")
        self._fail(verb, done=False)

    async def after(self, verb: str) -> None:
        self._fail(verb, done=True)

    def _fail(self, verb: str, *, done: bool) -> None:
        failures = self._failing.get((verb, done))
        if failures:
            self.is_away = self._goes_away
            raise failures.pop()


class UncertainClient(NdbClient):
    """A client of such a store in this process. It raises the errors of the store."""

    def __init__(self, store: UncertainStore) -> None:
        super().__init__()
        self._use(WaitingTransport(Engine(store, raise_store_errors=True)))
