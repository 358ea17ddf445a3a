"""Access to the keys of a configuration: read, made into a model, written. The verbs and the watch are built on it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final, Generic, TypeVar

from pydantic import BaseModel, RootModel

from ndb_models.client import NdbClient
from ndb_models.config.keyspace import UNREADABLE, KeySpace, unreadable
from ndb_models.errors import (
    ConfigProblem,
    InvalidArgumentError,
    SchemaError,
    StoredConfigError,
    StoredDataError,
    UnstorableError,
)
from ndb_models.json_text import join_members
from ndb_models.schema.codec import ModelCodec
from ndb_models.schema.unstable import warn_of_unstable_fields
from ndb_models.sessions.altered import AlterationCheck

C = TypeVar("C", bound=BaseModel)

_NO_TOKEN: Final = 0
_UNKNOWN: Final = "no field has this name"


class ConfigAccess(Generic[C]):
    """Reads and writes the configuration of one model class.

    Raises:
        InvalidArgumentError: the class is not a model, or the namespace is invalid.
        SchemaError: the class cannot be stored as a configuration.
    """

    def __init__(self, client: NdbClient, model: type[C], namespace: str | None) -> None:
        check_model(model)
        self.model: type[C] = model
        self.name: str = model.__name__
        self.codec: ModelCodec[C] = ModelCodec(model)
        warn_of_unstable_fields(model)
        self._alteration: AlterationCheck[C] = AlterationCheck(client, model, self.codec)
        self.space: KeySpace = KeySpace(client, self.name, self.codec.names, namespace)

    async def write(self, texts: Mapping[str, bytes], names: Collection[str]) -> None:
        """Store the named fields of a configuration. A field with a text is written; one without a text is removed.

        Raises:
            UnstorableError: the server would alter some of them. No field was changed.
        """
        if self._alteration.is_due(join_members(texts)):
            await self._alteration.refuse_altered(texts, names)
        await self.space.write({name: texts[name] for name in names if name in texts})
        await self.space.remove(name for name in names if name not in texts)

    async def unknown(self) -> list[ConfigProblem]:
        """Return a problem for each key in the namespace that belongs to no field."""
        return [ConfigProblem(key, "unknown", _UNKNOWN) for key in await self.space.unknown()]

    def load(self, texts: Mapping[str, bytes]) -> C:
        """Return the model of these fields. Missing fields have their defaults.

        Raises:
            StoredConfigError: the fields do not fit the model.
        """
        try:
            return self.codec.load(join_members(texts), _NO_TOKEN)
        except StoredDataError as exc:
            raise StoredConfigError(self.name, self._problems(texts, exc.problems)) from exc.__cause__

    def _problems(self, texts: Mapping[str, bytes], found: Sequence[tuple[str, str]]) -> list[ConfigProblem]:
        """Return the problems by key. A text that cannot be parsed hides the problems of the other fields."""
        hiding = unreadable(texts)
        if hiding:
            readable = {name: text for name, text in texts.items() if name not in hiding}
            found = [(name, reason) for name, reason in self._misfits(readable) if name not in hiding]
        named = [*((name, UNREADABLE) for name in hiding), *found]
        return [self._problem(name, reason, missing=name not in texts) for name, reason in named]

    def _misfits(self, texts: Mapping[str, bytes]) -> Sequence[tuple[str, str]]:
        try:
            self.codec.load(join_members(texts), _NO_TOKEN)
        except StoredDataError as exc:
            return exc.problems
        return ()

    def _problem(self, name: str, reason: str, *, missing: bool) -> ConfigProblem:
        if name not in self.codec.names:  # the model as a whole
            return ConfigProblem(name, "invalid", reason)
        return ConfigProblem(self.space.key(name), "missing" if missing else "invalid", reason)

    def dump(self, config: C) -> Mapping[str, bytes]:
        """Return the fields of a model as texts.

        Raises:
            InvalidArgumentError: it is of another class.
            UnstorableError: it holds values that do not fit the class, or that would not come back equal.
        """
        return self.codec.dump(self.checked(config))

    def checked(self, config: C) -> C:
        """Return the given model, if it is of this class.

        Raises:
            InvalidArgumentError: it is of another class.
        """
        if type(config) is not self.model:
            raise InvalidArgumentError(f"this repository stores {self.name}, not {type(config).__name__}")
        return config

    def with_defaults(self, config: C, texts: Mapping[str, bytes]) -> C:
        """Return a copy of a configuration, with each field of `texts` at its default if it has one."""
        fields = self.model.__pydantic_fields__
        data = dict(config.__dict__)
        defaults = {
            name: fields[name].get_default(call_default_factory=True, validated_data=data)
            for name in texts
            if not fields[name].is_required()
        }
        return config.model_copy(update=defaults)

    async def write_over(self, before: Mapping[str, bytes], texts: Mapping[str, bytes], changed: Sequence[str]) -> None:
        """Store the changed fields of a configuration. It was valid as `before`; others may have changed it since.

        The errors below are raised before any write.

        Raises:
            StoredConfigError: the changes of others do not fit the model.
            UnstorableError: the changes of others fit, but not together with these; or as `write`.
        """
        if not changed:
            return
        current = await self.space.read()
        if current != before:
            self.load(current)
            try:
                kept = {name: text for name, text in current.items() if name not in changed}
                self.load({**kept, **{name: texts[name] for name in changed if name in texts}})
            except StoredConfigError as exc:
                problems = [
                    (problem.key, f"{problem.reason} (together with what was changed meanwhile)")
                    for problem in exc.problems
                ]
                raise UnstorableError(self.name, problems) from exc.__cause__
        await self.write(texts, changed)


def check_model(model: object) -> None:
    """Refuse an argument that cannot be stored as a configuration.

    Raises:
        InvalidArgumentError: it is not a model class.
        SchemaError: it is a model class that cannot be stored as a configuration.
    """
    if not (isinstance(model, type) and issubclass(model, BaseModel)) or model is BaseModel:
        raise InvalidArgumentError("a configuration is a Pydantic model: ConfigRepository(client, AppConfig)")
    name = model.__name__
    if issubclass(model, RootModel):
        raise SchemaError(name, None, "a RootModel has no fields, and a configuration has a key for each")
    if any(base.__name__ == "BaseSettings" and base.__module__.startswith("pydantic_") for base in model.__mro__):
        problem = (
            "settings read other sources whenever one is made, so that what is stored could not be told from them;"
            " declare the fields in a BaseModel that the settings inherit from, and store that"
        )
        raise SchemaError(name, None, problem)
    if model.model_config.get("extra") == "allow":
        raise SchemaError(name, None, "extra='allow' would take every key; declare a field of type dict")
    for field, declared in model.__pydantic_fields__.items():
        if declared.exclude is True and declared.is_required():
            raise SchemaError(name, field, "it is excluded, so it is not stored: give it a default")
