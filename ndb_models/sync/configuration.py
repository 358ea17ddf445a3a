"""`SyncConfigRepository`: a `ConfigRepository` for programs without an event loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from pydantic import BaseModel

from ndb_models import clocks
from ndb_models.clocks import monotonic_clock
from ndb_models.config import ConfigRepository
from ndb_models.config.access import check_model
from ndb_models.errors import StoredConfigError
from ndb_models.sync.calls import lent, told
from ndb_models.sync.client import SyncClient, portal_of
from ndb_models.sync.portal import Portal
from ndb_models.sync.verbs.config_repository import SyncConfigRepositoryVerbs
from ndb_models.sync.watching import SyncConfigWatch
from ndb_models.types import Clock
from ndb_models.uncopyable import Uncopyable
from ndb_models.usage import NotAsynchronous, NotSynchronous

C = TypeVar("C", bound=BaseModel)

_USAGE: Final = "a SyncConfigRepository needs a SyncClient: SyncConfigRepository(SyncClient(uri), AppConfig)"


class SyncConfigRepository(SyncConfigRepositoryVerbs[C], Uncopyable, NotSynchronous, NotAsynchronous):
    """Stores the one configuration of a model class as shared keys, synchronously.

        config = SyncConfigRepository(client, AppConfig, namespace="app")
        current = config.load()
        config.update(maintenance=True)
        for change in config.watch(current): ...

    The verbs, their arguments, results and errors are those of `ConfigRepository`, which documents them together. Any
    number of threads may use a repository at once.

    Args:
        client: a synchronous client, which stays yours to close.
        model: as for `ConfigRepository`.
        namespace: as for `ConfigRepository`.

    Raises:
        InvalidArgumentError: an argument is of the wrong kind, or the namespace is invalid.
        SchemaError: the class cannot be stored as a configuration. The message says why.
    """

    USAGE = "a SyncConfigRepository needs no opening: config = SyncConfigRepository(client, AppConfig); config.load()"
    INSTEAD = "it holds a client; make one where it is needed, SyncConfigRepository(client, Model)"

    if not TYPE_CHECKING:  # a type checker reports a missing argument itself

        def __new__(cls, *given, **options):
            """Check the arguments first, for a clearer error than Python's own."""
            given = dict(zip(("client", "model"), given, strict=False)) | options
            portal_of(given.get("client"), _USAGE)
            check_model(given.get("model"))
            return super().__new__(cls)

    def __init__(self, client: SyncClient, model: type[C], *, namespace: str | None = None) -> None:
        self._client = client
        self._portal: Portal = portal_of(client, _USAGE)
        self._asynchronous: ConfigRepository[C] = ConfigRepository(self._portal.client, model, namespace=namespace)

    def __repr__(self) -> str:
        return repr(self._asynchronous).replace("ConfigRepository", "SyncConfigRepository", 1)

    def watch(
        self,
        since: C | None = None,
        *,
        interval: float = 1.0,
        on_invalid: Callable[[StoredConfigError], None] | None = None,
        clock: Clock = monotonic_clock,
        sleep: Callable[[float], object] = clocks.block,
    ) -> SyncConfigWatch[C]:
        """Return an iterator over the changes of the stored configuration: `for change in config.watch()`.

        `ConfigWatch` documents its guarantees.

        Args:
            since: the configuration that you have. A stored configuration that differs from it is the first change, so
                no change since its `load` is missed. None for the configuration stored at the first step.
            interval: seconds between two looks at the store.
            on_invalid: called when the stored configuration no longer fits, once for each set of problems. The last
                good configuration stays. None to log a warning.
            clock: tells the time for the interval, in seconds.
            sleep: waits for a number of seconds.

        Raises:
            InvalidArgumentError: the interval is not a positive number, or `since` is of another class.
        """
        slept = clocks.sleep if sleep is clocks.block else lent(sleep)
        watch = self._asynchronous.watch(
            since, interval=interval, on_invalid=told(on_invalid), clock=clock, sleep=slept
        )
        return SyncConfigWatch(self._portal, watch)
