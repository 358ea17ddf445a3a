"""`SessionModel`: the Pydantic model that a session is declared as."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final, Literal, Self, TypeAlias, TypeVar, dataclass_transform
from weakref import WeakSet

import msgspec
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from ndb_models.errors import NotSavedError, SchemaError
from ndb_models.schema.class_keywords import keywords_of
from ndb_models.schema.defaults import check_defaults
from ndb_models.schema.expiry import Expiry
from ndb_models.schema.generic_names import generic_name
from ndb_models.schema.lookup import lookups_of, refuse_as_types
from ndb_models.schema.unstable import warn_of_unstable_fields
from ndb_models.schema.versions import Outdated, Upgrades, UpgradeStep
from ndb_models.types import SessionToken

_M = TypeVar("_M", bound="SessionModel")
_S = TypeVar("_S", bound=UpgradeStep)

_Inherited: TypeAlias = Literal["inherited"]

Private: TypeAlias = Literal["refuse", "drop"]
"""Whether a model whose private attributes would not come back is refused, or stored without them."""

_KEYWORDS: Final = frozenset({"expiry", "schema", "version", "oldest", "private"})

_UNKNOWN_KEYWORD: Final = (
    "unknown class keyword {!r}; there are expiry=, schema=, version=, oldest=, private=, Pydantic's own, and those"
    " that a base names in its __init_subclass__ or __pydantic_init_subclass__"
)

_RESERVED: Final = frozenset({"tkn", "is_saved", "session_options", "upgrade"})


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """What a session class is declared with.

    `schema` is the name under which its sessions are stored, `upgrades` how those of older versions become current,
    `private` what becomes of private attributes that are not at their default.
    """

    schema: str
    expiry: Expiry | None
    private: Private = "refuse"
    upgrades: Upgrades = field(default_factory=lambda: Upgrades("SessionModel"), compare=False, repr=False)
    # Whether the class says `schema=`.
    is_named: bool = field(default=False, compare=False, repr=False)

    @property
    def version(self) -> int:
        """The version in which sessions of the class are stored."""
        return self.upgrades.version


class Stored(msgspec.Struct, frozen=True, gc=False):
    """That a model is stored: under which token, its keys as they were when it was read or written, its deadline."""

    tkn: SessionToken
    keys: bytes
    deadline: int | None = None
    # Names whose last write was not acknowledged: what is stored under them nobody knows.
    unsure: frozenset[str] = frozenset()
    # Whether another form of the class wrote the session last, so that the next write has to say so.
    by_another: bool = False
    # Where the model was upgraded when it was read, and what is stored is not: what that is.
    outdated: Outdated | None = None

    def __repr__(self) -> str:
        return "Stored()"


# Said again of this class, so that checkers take it for neither frozen nor not, and allow `frozen=True` below it.
@dataclass_transform(kw_only_default=True, field_specifiers=(Field, PrivateAttr))
class SessionModel(BaseModel):
    """The base of session models: a Pydantic model that a `Repository` can store.

        class UserSession(SessionModel, expiry=Expiry(idle=timedelta(minutes=30))):
            username: str
            roles: list[str] = []

    Instances are made like those of any model, anywhere; they hold no connection. One that was saved or read knows its
    token, `tkn`; copies and pickles know it too. The token is no field: it does not count when models are compared, and
    it is not shown.

    Class keywords:
        expiry: when sessions end by themselves; inherited; None for never.
        schema: the name under which sessions are stored; the class name if it is not given. A session is only ever read
            as the schema that it was written as. A subclass does not inherit it; `Box[int]` of a generic class with
            `schema="login.box"` has the schema `login.box[int]`.
        version: counts the changes to the class after which sessions that were stored before have to be upgraded, from
            1; see `upgrade`. Neither this nor the steps are inherited: a subclass is another schema.
        oldest: the oldest version that is still upgraded; sessions of older ones are refused with `OlderVersionError`.
        private: private attributes are not stored. `"refuse"`, the default, refuses a model in which one would not come
            back as it is, at any depth. `"drop"` leaves them out: a session that is read has them as a new model does.
            For what is worked out again, such as a cache. Inherited.

    Raises (at class definition):
        SchemaError: the class cannot be stored as it is declared.
    """

    __slots__ = ("__ndb_stored__",)

    model_config: ClassVar[ConfigDict] = ConfigDict(hide_input_in_errors=True)

    session_options: ClassVar[SessionOptions] = SessionOptions("SessionModel", None)

    def __init_subclass__(
        cls,
        *,
        expiry: Expiry | _Inherited | None = "inherited",
        schema: str | None = None,
        version: int = 1,
        oldest: int = 1,
        private: Private | _Inherited = "inherited",
        **kwargs: Any,
    ) -> None:
        unknown = kwargs.keys() - keywords_of(cls, "__pydantic_init_subclass__", SessionModel)
        if unknown - keywords_of(cls, "__init_subclass__", SessionModel):
            raise SchemaError(cls.__name__, None, _UNKNOWN_KEYWORD.format(min(unknown)))
        super().__init_subclass__(**{name: kwargs[name] for name in unknown})
        annotations = inspect.get_annotations(cls)
        _refuse_reserved(cls, {**vars(cls), **annotations})
        refuse_as_types(cls.__name__, annotations)
        _check_options(cls, expiry, schema)
        _check_private(cls, private)
        inherited = cls.session_options
        cls.session_options = SessionOptions(
            schema or cls.__name__,
            inherited.expiry if expiry == "inherited" else expiry,
            inherited.private if private == "inherited" else private,
            Upgrades(cls.__name__, version, oldest),
            is_named=schema is not None,
        )

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**{name: kwargs[name] for name in kwargs.keys() - _KEYWORDS})
        _refuse_reserved(cls, cls.__pydantic_fields__)
        generic = cls.__pydantic_generic_metadata__["origin"]
        if generic is not None and issubclass(generic, SessionModel):  # Page[int] has nowhere to say its own
            options = generic.session_options
            name = _generic_name(cls, options.schema)
            cls.session_options = replace(
                cls.session_options, schema=name, upgrades=options.upgrades, is_named=options.is_named
            )
        for name, declared in cls.__pydantic_fields__.items():
            if declared.exclude is True and declared.is_required():
                raise SchemaError(cls.__name__, name, "it is excluded, so it is not stored: give it a default")
        lookups_of(cls)
        if cls.__pydantic_complete__:  # else once its types are defined, when it is first stored
            check_definition(cls)

    @classmethod
    def upgrade(cls, version: int) -> Callable[[_S], _S]:
        """Declare how sessions of a version become those of the next: `@UserSession.upgrade(1)` above a function.

        The function takes all keys of a session as they were stored in that version, decoded, without the reserved one,
        and returns those of the next version, as JSON values. It may change what it is given. It runs when a session
        of that version or an older one is read, before the keys are validated, once for each such read; where the
        version is the class's, nothing runs. It must give the same for the same keys: two readers may run it at once.

        Raises:
            SchemaError: the version is not below that of the class, or is below `oldest`, or has a step already; the
                function cannot be called, or is a coroutine function. That a step is missing is found when a
                `Repository` of the class is made, and by `ndb-models schema check`.
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
            NotSavedError: it was never saved.
        """
        stored = stored_of(self)
        if stored is None:
            raise NotSavedError(type(self).__name__)
        return stored.tkn

    @property
    def is_saved(self) -> bool:
        """Whether this model has a token. The session may have ended since."""
        return stored_of(self) is not None

    def __copy__(self) -> Self:
        return _with_stored(super().__copy__(), stored_of(self))

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return _with_stored(super().__deepcopy__(memo), copy.copy(stored_of(self)))

    def __getstate__(self) -> dict[Any, Any]:
        return {**super().__getstate__(), "__ndb_stored__": stored_of(self)}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__({name: part for name, part in state.items() if name != "__ndb_stored__"})
        _with_stored(self, state.get("__ndb_stored__"))


_checked: Final[WeakSet[type[SessionModel]]] = WeakSet()


def check_definition(model: type[SessionModel]) -> None:
    """Make sure that models of a class can be stored, as far as its fields tell; it must be complete. Once a class.

    Raises:
        SchemaError: they cannot.
    """
    if model not in _checked:
        check_defaults(model)
        warn_of_unstable_fields(model)
        _checked.add(model)


def _check_options(cls: type[SessionModel], expiry: object, schema: object) -> None:
    if not (expiry is None or expiry == "inherited" or isinstance(expiry, Expiry)):
        raise SchemaError(cls.__name__, None, f"expiry= is an Expiry or None, not a {type(expiry).__name__}")
    if schema is not None and not (isinstance(schema, str) and schema and schema.isprintable()):
        raise SchemaError(cls.__name__, None, "the name of a schema is a printable string and not empty")


def _check_private(cls: type[SessionModel], private: object) -> None:
    if private not in ("refuse", "drop", "inherited"):
        raise SchemaError(cls.__name__, None, 'private= is "refuse" or "drop"')


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


# Straight to the slot: Pydantic would look for it elsewhere too.
_slot: Any = SessionModel.__dict__["__ndb_stored__"]
_get_stored: Callable[[SessionModel], Stored | None] = _slot.__get__
set_stored: Callable[[SessionModel, Stored | None], None] = _slot.__set__
"""Notes under which token a model is stored, and as what. Works for frozen models too."""


def stored_of(model: SessionModel) -> Stored | None:
    """Return what is known of a model's session, or None if it has none."""
    try:
        return _get_stored(model)
    except AttributeError:
        set_stored(model, None)  # what is not there takes long to find
        return None


def _with_stored(model: _M, stored: Stored | None) -> _M:
    if stored is not None:
        set_stored(model, stored)
    return model
