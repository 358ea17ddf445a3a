"""`ConfigRepository`: stores a model as shared keys, one a field, that other programs can read and write."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic

from ndb_models.client import NdbClient
from ndb_models.errors import ConfigProblem, InvalidArgumentError, StoredConfigError
from ndb_models.repository.config_access import C, ConfigAccess, check_model
from ndb_models.repository.editing import Editing
from ndb_models.repository.watching import ConfigWatch
from ndb_models.types import Clock
from ndb_models.uncopyable import Uncopyable
from ndb_models.usage import NotEntered


@dataclass(frozen=True, slots=True)
class ConfigDifference:
    """A field that is stored otherwise than it was given. Secrets are in their wrapping, and so are not shown."""

    field: str
    stored: object
    given: object


class ConfigRepository(Uncopyable, NotEntered, Generic[C]):
    """Stores the one configuration of a model class, as shared keys: one a field, its value the field's JSON.

        config = ConfigRepository(client, AppConfig, namespace="app")
        current = await config.load()
        await config.update(maintenance=True)
        async for change in config.watch(current): ...

    A key is `NAMESPACE:FIELD`; without a namespace `FIELD`, as `kv_set(data)` makes them. A field whose key is missing
    has the model's default. Nothing is ever repaired or removed by itself.

    It may be used by many tasks at once. Besides the errors that are named below, every method raises the connection
    errors of `NdbClient`, and `ResponseError` where the server refuses. A call that is cancelled may or may not have
    been carried out.

    Args:
        client: an open client, which stays yours to close.
        model: any Pydantic model class; of a `SessionModel`, token and expiry play no part.
        namespace: what the keys begin with. May itself have parts, `"app:web"`, whose keys are not those of `"app"`.

    Raises:
        InvalidArgumentError: an argument is none of these.
        SchemaError: the class cannot be stored as a configuration; the message says why.
    """

    USAGE = "a ConfigRepository needs no opening: config = ConfigRepository(client, AppConfig); await config.load()"
    INSTEAD = "it holds a client; make one where it is needed, ConfigRepository(client, Model)"

    if not TYPE_CHECKING:  # a checker sees by itself that an argument is missing

        def __new__(cls, *given, **options):
            """Say what is missing or wrong before Python says it in words of its own."""
            if cls.__init__ is ConfigRepository.__init__:
                given = dict(zip(("client", "model"), given, strict=False)) | options
                _check_client(given.get("client"))
                check_model(given.get("model"))
            return super().__new__(cls)

    def __init__(self, client: NdbClient, model: type[C], *, namespace: str | None = None) -> None:
        _check_client(client)
        self._access: ConfigAccess[C] = ConfigAccess(client, model, namespace)

    def __repr__(self) -> str:
        return f"<ConfigRepository of {self._access.name}>"

    # Reading

    async def load(self) -> C:
        """Return the configuration that is stored, with the model's defaults for what is not.

        Raises:
            StoredConfigError: what is stored does not fit; it lists each key. Nothing is changed.
        """
        return self._access.load(await self._access.read())

    async def check(self) -> list[ConfigProblem]:
        """Return what in the store does not fit: what `load` would raise, and unknown keys in the namespace.

        Never raises for what is stored, and changes nothing. Unknown keys are no error; without a namespace none are
        looked for.
        """
        problems: list[ConfigProblem] = []
        try:
            await self.load()
        except StoredConfigError as exc:
            problems.extend(exc.problems)
        return problems + await self._access.unknown()

    async def diff(self, other: C | None = None) -> list[ConfigDifference]:
        """Return in what the stored configuration differs from another one, field by field.

        Args:
            other: a configuration; None for the model's defaults, which fields without one do not differ from.

        Raises:
            StoredConfigError: what is stored does not fit.
            UnstorableError: `other` holds what could not be stored.
        """
        texts = await self._access.read()
        stored = self._access.load(texts)
        if other is not None:
            self._access.dump(other)
            given = other
        else:
            given = self._access.with_defaults(stored, texts)
        ours, theirs = stored.__dict__, given.__dict__
        return [ConfigDifference(name, ours[name], theirs[name]) for name in self._access.differing(stored, given)]

    # Writing

    async def save(self, config: C, *, replace_invalid: bool = False) -> C:
        """Store a configuration whole, and return it: every field is written, those at their defaults too.

        What others changed since it was read is written over; to change some fields, there are `update` and `edit`.
        All is written at once, unless it is more than the server takes in one frame.

        Args:
            config: the configuration.
            replace_invalid: write over values that do not fit the model, too.

        Raises:
            UnstorableError: a value does not fit the model, or would not come back equal. Nothing was stored.
            StoredConfigError: what is stored does not fit. Nothing was stored. Keys that are missing are no reason.
            PayloadTooLargeError: a field alone is larger than the server takes. Nothing was stored.
        """
        texts = self._access.dump(config)
        if not replace_invalid:
            try:
                await self.load()
            except StoredConfigError as exc:
                if any(problem.kind == "invalid" for problem in exc.problems):
                    raise
        await self._access.write(texts, self._access.codec.names)
        return config

    async def update(self, /, **changes: Any) -> C:
        """Change fields, and return the configuration as it is then.

        Every change is validated by its field, and the whole by the model's validators. What is named is stored from
        then on, even where it is the model's default; what is stored as it is named is not written again, nor is any
        other field.

        Raises:
            InvalidArgumentError: a name is not that of a field.
            UnstorableError: a value does not fit its field, or would not come back equal. Nothing was written.
            StoredConfigError: what is stored does not fit. Nothing was written.
        """
        before = await self._access.read()
        config = self._access.load(before)
        changed = self._access.codec.with_changes(config, changes)
        texts = self._access.dump(changed)
        unstored = {name for name in changes if name not in before}
        names = unstored.union(self._access.differing(config, changed))
        await self._access.write(texts, names.intersection({*texts, *before}))
        return changed

    def edit(self) -> AbstractAsyncContextManager[C]:
        """Load the configuration, let it be changed freely, and store what changed: `async with config.edit() as c`.

        On a clean exit the whole is validated, together with what others changed meanwhile, and the fields that changed
        are written. On an exception, cancellation too, nothing is. Two edits of different fields that overlap both
        survive; of the same field, the later one does.

        Raises (on entry as `load`, on exit as `update`).
        """
        return Editing(
            self._load_to_edit, self._save_edited, "edit() is entered: async with config.edit() as current: ..."
        )

    async def _load_to_edit(self) -> tuple[C, tuple[dict[str, bytes], C]]:
        before = await self._access.read()
        config = self._access.load(before)
        return config, (before, config.model_copy(deep=True))

    async def _save_edited(self, config: C, known: tuple[dict[str, bytes], C]) -> None:
        before, unchanged = known
        texts = self._access.dump(config)
        await self._access.write_over(before, texts, self._access.differing(unchanged, config))

    # Watching

    def watch(
        self,
        since: C | None = None,
        *,
        interval: float = 1.0,
        on_invalid: Callable[[StoredConfigError], None] | None = None,
        clock: Clock = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> ConfigWatch[C]:
        """Return an iterator over the changes of the stored configuration: `async for change in config.watch()`.

        See `ConfigWatch` for what it promises.

        Args:
            since: the configuration that you have: whatever is stored otherwise is the first change, so that nothing
                between its `load` and this is missed. None for what is stored at the first step.
            interval: seconds between two looks at the store.
            on_invalid: is called when what is stored no longer fits, once for each set of problems, while the last good
                configuration stays; None to log a warning.
            clock: tells the time for the interval, in seconds.
            sleep: waits for so many seconds.

        Raises:
            InvalidArgumentError: the interval is not a positive number, or `since` is of another class.
        """
        return ConfigWatch(
            self._access, since=since, interval=interval, on_invalid=on_invalid, clock=clock, sleep=sleep
        )


def _check_client(client: object) -> None:
    if not isinstance(client, NdbClient):
        raise InvalidArgumentError("a ConfigRepository needs an open NdbClient: ConfigRepository(client, AppConfig)")
