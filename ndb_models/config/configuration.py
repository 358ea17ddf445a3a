"""`ConfigRepository`: stores a model as shared keys, one per field, that other programs can read and write."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic

from ndb_models import clocks
from ndb_models.client import NdbClient
from ndb_models.clocks import monotonic_clock
from ndb_models.config.access import C, ConfigAccess, check_model
from ndb_models.config.watching import ConfigWatch
from ndb_models.errors import ConfigProblem, InvalidArgumentError, StoredConfigError
from ndb_models.sessions.editing import Editing
from ndb_models.types import Clock
from ndb_models.uncopyable import Uncopyable
from ndb_models.usage import NotEntered


@dataclass(frozen=True, slots=True)
class ConfigDifference:
    """A field with different stored and given values. Secrets stay wrapped, and so are not shown."""

    field: str
    stored: object
    given: object


class ConfigRepository(Uncopyable, NotEntered, Generic[C]):
    """Stores the one configuration of a model class as shared keys: one per field, its value the field's JSON.

        config = ConfigRepository(client, AppConfig, namespace="app")
        current = await config.load()
        await config.update(maintenance=True)
        async for change in config.watch(current): ...

    A key is `NAMESPACE:FIELD`. Without a namespace it is `FIELD`, as `kv_set(data)` makes it. A field without a key has
    the model's default. The repository never repairs or removes keys on its own.

    Many tasks may use it at once. Besides the errors that are named below, every method raises the connection errors of
    `NdbClient`, and `ResponseError` if the server refuses. A cancelled call may or may not have been carried out.

    Args:
        client: an open client, which stays yours to close.
        model: any Pydantic model class. The token and expiry of a `SessionModel` play no part.
        namespace: the prefix of the keys. It may have parts, as in `"app:web"`; the keys of that are not keys of
            `"app"`.

    Raises:
        InvalidArgumentError: an argument is of the wrong kind, or the namespace is invalid.
        SchemaError: the class cannot be stored as a configuration. The message says why.
    """

    USAGE = "a ConfigRepository needs no opening: config = ConfigRepository(client, AppConfig); await config.load()"
    INSTEAD = "it holds a client; make one where it is needed, ConfigRepository(client, Model)"

    if not TYPE_CHECKING:  # a type checker reports a missing argument itself

        def __new__(cls, *given, **options):
            """Check the arguments first, for a clearer error than Python's own."""
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
        """Return the stored configuration. Fields that are not stored have the model's defaults.

        Raises:
            StoredConfigError: stored values do not fit the model. It lists each key. Nothing is changed.
        """
        return self._access.load(await self._access.space.read())

    async def check(self) -> list[ConfigProblem]:
        """Return the problems of the stored configuration: those that `load` raises, and unknown keys in the namespace.

        Never raises for stored values, and changes nothing. An unknown key is not an error. Without a namespace,
        unknown keys are not looked for.
        """
        problems: list[ConfigProblem] = []
        try:
            await self.load()
        except StoredConfigError as exc:
            problems.extend(exc.problems)
        return problems + await self._access.unknown()

    async def diff(self, other: C | None = None) -> list[ConfigDifference]:
        """Return the fields in which the stored configuration differs from another one.

        Args:
            other: a configuration, or None for the model's defaults. A field without a default does not differ from
                them.

        Raises:
            StoredConfigError: stored values do not fit the model.
            UnstorableError: `other` holds a value that cannot be stored.
        """
        texts = await self._access.space.read()
        stored = self._access.load(texts)
        if other is not None:
            self._access.dump(other)
            given = other
        else:
            given = self._access.with_defaults(stored, texts)
        ours, theirs = stored.__dict__, given.__dict__
        return [
            ConfigDifference(name, ours[name], theirs[name]) for name in self._access.codec.differing(stored, given)
        ]

    # Writing

    async def save(self, config: C, *, replace_invalid: bool = False) -> C:
        """Store a whole configuration, and return it. Every field is written, also those at their defaults.

        Changes that others made since it was read are overwritten. To change some fields, use `update` or `edit`. The
        write is atomic, unless it is larger than the server takes in one frame. The errors below are raised before any
        write.

        Args:
            config: the configuration.
            replace_invalid: overwrite values that do not fit the model, too.

        Raises:
            UnstorableError: a value does not fit the model, or would not come back equal.
            StoredConfigError: stored values do not fit the model. Missing keys do not count.
            PayloadTooLargeError: a single field is larger than the server takes.
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
        """Apply `changes`, new values by the names of their fields, and return the resulting configuration.

        Each field validates its change, and the model's validators validate the whole. A named field is stored from
        then on, even at the model's default. A value that is stored already is not written again. Other fields are
        written only if a validator changed them. The errors below are raised before any write.

        Raises:
            InvalidArgumentError: a name is not that of a field.
            UnstorableError: a value does not fit its field, or would not come back equal.
            StoredConfigError: stored values do not fit the model.
        """
        before = await self._access.space.read()
        config = self._access.load(before)
        changed, keys = self._access.codec.with_changes(config.model_copy(), changes)
        texts = self._access.dump(changed) if keys is None else keys
        unstored = {name for name in changes if name not in before}
        names = unstored.union(self._access.codec.differing(config, changed))
        await self._access.write(texts, names.intersection({*texts, *before}))
        return changed

    def edit(self) -> AbstractAsyncContextManager[C]:
        """Load the configuration, let it be changed freely, and store the changes: `async with config.edit() as c`.

        On a clean exit the whole is validated, together with changes that others made meanwhile, and the fields that
        changed are written. On an exception, including cancellation, no field is written. Overlapping edits of
        different fields both survive. Of overlapping edits of one field, the later one survives.

        Raises (on entry as `load`, on exit as `update`).
        """
        loaded: list[tuple[dict[str, bytes], C]] = []

        async def load() -> C:
            before = await self._access.space.read()
            config = self._access.load(before)
            loaded.append((before, config.model_copy(deep=True)))
            return config

        async def save(config: C) -> None:
            ((before, unchanged),) = loaded
            texts = self._access.dump(config)
            await self._access.write_over(before, texts, self._access.codec.differing(unchanged, config))

        return Editing(load, save, "edit() is entered: async with config.edit() as current: ...")

    # Watching

    def watch(
        self,
        since: C | None = None,
        *,
        interval: float = 1.0,
        on_invalid: Callable[[StoredConfigError], None] | None = None,
        clock: Clock = monotonic_clock,
        sleep: Callable[[float], Awaitable[object]] = clocks.sleep,
    ) -> ConfigWatch[C]:
        """Return an iterator over the changes of the stored configuration: `async for change in config.watch()`.

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
        return ConfigWatch(
            self._access, since=since, interval=interval, on_invalid=on_invalid, clock=clock, sleep=sleep
        )


def _check_client(client: object) -> None:
    if not isinstance(client, NdbClient):
        raise InvalidArgumentError("a ConfigRepository needs an open NdbClient: ConfigRepository(client, AppConfig)")
