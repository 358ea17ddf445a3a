"""`SessionModel`: the base class of the Pydantic models that declare sessions."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, ClassVar, Final, Self, TypeVar, Unpack, dataclass_transform
from weakref import WeakSet

import msgspec
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from ndb_models.errors import InvalidArgumentError, NotSavedError, SchemaError
from ndb_models.schema.class_keywords import KEYWORDS, Private, SessionKeywords, SessionMeta, keywords_of
from ndb_models.schema.defaults import check_defaults
from ndb_models.schema.expiry import Expiry, check_seconds, seconds_in
from ndb_models.schema.generic_names import generic_name
from ndb_models.schema.lookup import lookups_of, refuse_as_types
from ndb_models.schema.merge_marks import OF_CLASSES, Merge, refuse_marks_as_types
from ndb_models.schema.merge_rules import check_marks
from ndb_models.schema.unstable import warn_of_unstable_fields
from ndb_models.schema.versions import Outdated, Upgrades, UpgradeStep
from ndb_models.types import SessionToken

_M = TypeVar("_M", bound="SessionModel")
_S = TypeVar("_S", bound=UpgradeStep)

_UNKNOWN_KEYWORD: Final = (
    "unknown class keyword {!r}; there are expiry=, schema=, version=, oldest=, track=, private=, merge=, Pydantic's"
    " own, and those that a base names in its __init_subclass__ or __pydantic_init_subclass__"
)

_RESERVED: Final = frozenset({"tkn", "is_saved", "session_options", "upgrade"})


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """The options that a session class is declared with.

    `schema` is the name that its sessions are stored under. `upgrades` holds the steps that make older sessions
    current. `private` says how private attributes that are not at their default are treated. `merge` says how changes
    of fields without a mark are merged. `track` is in seconds: a last use is recorded at most once in this time;
    None if sessions are not tracked.
    """

    schema: str
    expiry: Expiry | None
    private: Private = "refuse"
    merge: Merge = Merge.structure
    upgrades: Upgrades = field(default_factory=lambda: Upgrades("SessionModel"), compare=False, repr=False)
    track: int | None = None
    # True if the class says `schema=`.
    is_named: bool = field(default=False, compare=False, repr=False)

    @property
    def version(self) -> int:
        """The version in which sessions of the class are stored."""
        return self.upgrades.version


class Stored(msgspec.Struct, frozen=True, gc=False):
    """The stored session of a model: its token, its keys as last read or written, and its deadline."""

    tkn: SessionToken
    keys: bytes
    deadline: int | None = None
    # The values of the fields of immutable types then; see `FieldChanges`. None if all fields have to be compared.
    values: tuple[object, ...] | None = None
    # Names with a last write that was not acknowledged: the values stored under them are unknown.
    unsure: frozenset[str] = frozenset()
    # True if another form of the class wrote the session last: the next write has to say so.
    by_another: bool = False
    # Set if reading upgraded the model and the upgrade is not stored yet.
    outdated: Outdated | None = None
    # The keys after each such write, if it was carried out.
    sent: tuple[bytes, ...] = ()

    def __repr__(self) -> str:
        return "Stored()"


# Repeated for this class, so that type checkers leave open whether it is frozen, and allow `frozen=True` below it.
@dataclass_transform(kw_only_default=True, field_specifiers=(Field, PrivateAttr))
class SessionModel(BaseModel, metaclass=SessionMeta):
    """The base of session models: a Pydantic model that a `Repository` can store.

        class UserSession(SessionModel, expiry=Expiry(idle=timedelta(minutes=30))):
            username: str
            roles: list[str] = []

    Instances are made like those of any model, anywhere; they hold no connection. A saved or read instance knows its
    token, `tkn`, and so do its copies and pickles. The token is not a field: comparisons ignore it, and reprs do not
    show it.

    Class keywords:
        expiry: when sessions end by themselves; None for never. Inherited.
        schema: the name that sessions are stored under; the class name if it is not given. A session is only read as
            the schema that it was written as. Subclasses do not inherit the name. `Box[int]` of a generic class with
            `schema="login.box"` has the schema `login.box[int]`.
        version: the version of the class, from 1. Raise it with each change that stored sessions need an upgrade for;
            see `upgrade`. A subclass is another schema, so it inherits neither the version nor the steps.
        oldest: the oldest version that is still upgraded. Sessions of older versions raise `OlderVersionError`.
        track: record in each session when it was created, when its user logged in (`rotate`) and when it was last read,
            and give it a public id; see `Repository.describe`. The last read is recorded at most once in this time, a
            `timedelta` or whole seconds, in the background; a read neither waits for that nor fails. None, the default,
            records nothing. Inherited.
        private: private attributes are not stored. `"refuse"`, the default, refuses a model if one of them, at any
            depth, would not come back as it is. `"drop"` leaves them out: a session that is read has them as a new
            model does. Use it for attributes that can be worked out again, such as a cache. Inherited.
        merge: how to store the change of a field if another request has changed the field since it was read.
            `Merge.structure`, the default, merges by the structure of the value: docs/concurrent_changes.md.
            With `Merge.later` the later write wins. With `Merge.conflict` it raises `ConflictError`. It applies to
            fields without a `Merge` mark at any depth. Inherited.

    Raises (at class definition):
        SchemaError: the class cannot be stored as it is declared.
    """

    __slots__ = ("__ndb_stored__",)

    model_config: ClassVar[ConfigDict] = ConfigDict(hide_input_in_errors=True)

    session_options: ClassVar[SessionOptions] = SessionOptions("SessionModel", None)

    def __init_subclass__(cls, **kwargs: Unpack[SessionKeywords]) -> None:
        own: dict[str, Any] = {**kwargs}
        others = {name: own.pop(name) for name in kwargs.keys() - KEYWORDS}
        unknown = others.keys() - keywords_of(cls, "__pydantic_init_subclass__", SessionModel)
        if unknown - keywords_of(cls, "__init_subclass__", SessionModel):
            raise SchemaError(cls.__name__, None, _UNKNOWN_KEYWORD.format(min(unknown)))
        super().__init_subclass__(**{name: others[name] for name in unknown})
        annotations = inspect.get_annotations(cls)
        _refuse_reserved(cls, {**vars(cls), **annotations})
        refuse_as_types(cls.__name__, annotations)
        refuse_marks_as_types(cls.__name__, annotations)
        cls.session_options = _options_of(cls, own)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**{name: kwargs[name] for name in kwargs.keys() - KEYWORDS})
        _refuse_reserved(cls, cls.__pydantic_fields__)
        generic = cls.__pydantic_generic_metadata__["origin"]
        if generic is not None and issubclass(generic, SessionModel):  # Page[int] cannot declare its own
            options = generic.session_options
            name = _generic_name(cls, options.schema)
            cls.session_options = replace(
                cls.session_options, schema=name, upgrades=options.upgrades, is_named=options.is_named
            )
        for name, declared in cls.__pydantic_fields__.items():
            if declared.exclude is True and declared.is_required():
                raise SchemaError(cls.__name__, name, "it is excluded, so it is not stored: give it a default")
        lookups_of(cls)
        if cls.__pydantic_complete__:  # else when it is first stored: its types are defined by then
            check_definition(cls)

    @classmethod
    def upgrade(cls, version: int) -> Callable[[_S], _S]:
        """Declare how sessions of a version become sessions of the next: `@UserSession.upgrade(1)` above a function.

        The function takes all keys of a session as that version stored them, decoded, without the reserved key. It
        returns the keys of the next version, as JSON values. It may change the dict that it is given. It runs once for
        each read of a session of that version or an older one, before the keys are validated. Sessions of the class's
        own version run no steps. The same keys must give the same result: two readers may run the step at once.

        Raises:
            SchemaError: the version is not below that of the class, or is below `oldest`, or has a step already; the
                function cannot be called with the keys alone, or is a coroutine function. A missing step is found when
                a `Repository` of the class is made, and by `ndb-models schema check`.
        """
        upgrades = cls.session_options.upgrades
        upgrades.check_start(version)

        def declared(step: _S) -> _S:
            upgrades.add(version, step)
            return step

        return declared

    @property
    def tkn(self) -> SessionToken:
        """The token under which this session is stored.

        Raises:
            NotSavedError: the model was never saved.
        """
        try:
            stored = _get_stored(self)
        except AttributeError:
            stored = None
        if stored is None:
            raise NotSavedError(type(self).__name__)
        return stored.tkn

    @property
    def is_saved(self) -> bool:
        """True if this model has a token. The session may have ended since."""
        return stored_of(self) is not None

    def __copy__(self) -> Self:
        return _with_stored(super().__copy__(), stored_of(self))

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return _with_stored(super().__deepcopy__(memo), copy.copy(stored_of(self)))

    def __getstate__(self) -> dict[Any, Any]:
        stored = stored_of(self)
        if stored is not None and stored.values is not None:
            stored = msgspec.structs.replace(stored, values=None)  # another form of the class may read them
        return {**super().__getstate__(), "__ndb_stored__": stored}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__({name: part for name, part in state.items() if name != "__ndb_stored__"})
        _with_stored(self, state.get("__ndb_stored__"))


_checked: Final[WeakSet[type[SessionModel]]] = WeakSet()


def check_definition(model: type[SessionModel]) -> None:
    """Check, once for each class, that models of it can be stored, as far as its fields tell.

    The class must be complete.

    Raises:
        SchemaError: models of the class cannot be stored.
    """
    if model not in _checked:
        check_marks(model)
        check_defaults(model)
        warn_of_unstable_fields(model)
        _checked.add(model)


def _options_of(cls: type[SessionModel], given: Mapping[str, Any]) -> SessionOptions:
    """Return the options of a class, declared by its keywords or inherited."""
    inherited = cls.session_options
    expiry, schema = given.get("expiry", inherited.expiry), given.get("schema")
    private, merge = given.get("private", inherited.private), given.get("merge", inherited.merge)
    if not (expiry is None or isinstance(expiry, Expiry)):
        raise SchemaError(cls.__name__, None, f"expiry= is an Expiry or None, not a {type(expiry).__name__}")
    if schema is not None and not (isinstance(schema, str) and schema and schema.isprintable()):
        raise SchemaError(cls.__name__, None, "the name of a schema is a printable string and not empty")
    if private not in ("refuse", "drop"):
        raise SchemaError(cls.__name__, None, 'private= is "refuse" or "drop"')
    if merge not in OF_CLASSES:
        raise SchemaError(cls.__name__, None, "merge= is Merge.structure, Merge.later or Merge.conflict")
    return SessionOptions(
        schema or cls.__name__,
        expiry,
        private,
        merge,
        Upgrades(cls.__name__, given.get("version", 1), given.get("oldest", 1)),
        _seconds_of_track(cls, given["track"]) if "track" in given else inherited.track,
        is_named=schema is not None,
    )


def _seconds_of_track(cls: type[SessionModel], track: timedelta | float | None) -> int | None:
    try:
        check_seconds("track=", track)
    except InvalidArgumentError as exc:
        raise SchemaError(cls.__name__, None, str(exc)) from exc
    return seconds_in(track)


def _generic_name(cls: type[SessionModel], base: str) -> str:
    try:
        return generic_name(base, cls.__pydantic_generic_metadata__["args"], cls.__module__)
    except NameError as exc:
        problem = (
            f"its argument {str(exc)!r} is not defined in {cls.__module__}, so the name of its schema cannot be told;"
            " define the type first, and write the type itself, without quotes"
        )
    raise SchemaError(cls.__name__, None, problem)


def _refuse_reserved(cls: type[SessionModel], names: dict[str, Any]) -> None:
    for name in _RESERVED.intersection(names):
        raise SchemaError(cls.__name__, name, "this name is taken by SessionModel; give it another one")


# Access the slot directly: Pydantic would look in other places too.
_slot: Any = SessionModel.__dict__["__ndb_stored__"]
_get_stored: Callable[[SessionModel], Stored | None] = _slot.__get__
set_stored: Callable[[SessionModel, Stored | None], None] = _slot.__set__
"""Notes the stored session of a model, or None for no session. Works for frozen models too."""


def stored_of(model: SessionModel) -> Stored | None:
    """Return the stored session of a model, or None if it has none."""
    try:
        return _get_stored(model)
    except AttributeError:
        set_stored(model, None)  # looking up a missing attribute is slow
        return None


def _with_stored(model: _M, stored: Stored | None) -> _M:
    if stored is not None:
        set_stored(model, stored)
    return model


def take_over(model: SessionModel, other: SessionModel) -> None:
    """Give a model the values of another, which is used up: fields, extras and private attributes."""
    for name in ("__dict__", "__pydantic_extra__", "__pydantic_fields_set__", "__pydantic_private__"):
        object.__setattr__(model, name, getattr(other, name))
