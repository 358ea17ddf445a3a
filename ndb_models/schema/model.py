"""`SessionModel`: the Pydantic model that a session is declared as."""

from __future__ import annotations

import copy
import inspect
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, NamedTuple, Self, TypeAlias, TypeVar, dataclass_transform

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from ndb_models.errors import NotSavedError, SchemaError
from ndb_models.schema.expiry import Expiry
from ndb_models.schema.lookup import lookups_of
from ndb_models.types import SessionToken

_M = TypeVar("_M", bound="SessionModel")

_Inherited: TypeAlias = Literal["inherited"]

_RESERVED: Final = frozenset({"tkn", "is_saved", "session_options"})


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """What a session class is declared with. `schema` is the name under which its sessions are stored."""

    schema: str
    expiry: Expiry | None


class Stored(NamedTuple):
    """That a model is stored: under which token, its keys as they were when it was read or written, its deadline."""

    tkn: SessionToken
    keys: bytes
    deadline: int | None = None
    # Names whose last write was not acknowledged: what is stored under them nobody knows.
    unsure: frozenset[str] = frozenset()

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
            as the schema that it was written as.

    Raises (at class definition):
        SchemaError: the class cannot be stored as it is declared.
    """

    __slots__ = ("__ndb_stored__",)

    model_config: ClassVar[ConfigDict] = ConfigDict(hide_input_in_errors=True)

    session_options: ClassVar[SessionOptions] = SessionOptions("SessionModel", None)

    def __init_subclass__(
        cls, *, expiry: Expiry | _Inherited | None = "inherited", schema: str | None = None, **kwargs: Any
    ) -> None:
        if kwargs:
            raise SchemaError(
                cls.__name__,
                None,
                f"unknown class keyword {min(kwargs)!r}; there are expiry=, schema= and Pydantic's own",
            )
        super().__init_subclass__()
        _refuse_reserved(cls, inspect.get_annotations(cls))
        _check_options(cls, expiry, schema)
        inherited = cls.session_options.expiry
        cls.session_options = SessionOptions(schema or cls.__name__, inherited if expiry == "inherited" else expiry)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        _refuse_reserved(cls, cls.__pydantic_fields__)
        for name, declared in cls.__pydantic_fields__.items():
            if declared.exclude is True and declared.is_required():
                raise SchemaError(cls.__name__, name, "it is excluded, so it is not stored: give it a default")
        lookups_of(cls)

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


def _check_options(cls: type[SessionModel], expiry: object, schema: object) -> None:
    if not (expiry is None or expiry == "inherited" or isinstance(expiry, Expiry)):
        raise SchemaError(cls.__name__, None, f"expiry= is an Expiry or None, not a {type(expiry).__name__}")
    if schema is not None and not (isinstance(schema, str) and schema and schema.isprintable()):
        raise SchemaError(cls.__name__, None, "the name of a schema is a printable string and not empty")


def _refuse_reserved(cls: type[SessionModel], names: dict[str, Any]) -> None:
    for name in _RESERVED.intersection(names):
        raise SchemaError(cls.__name__, name, "this name is taken by SessionModel; give the field another one")


_slot: Any = SessionModel.__dict__["__ndb_stored__"]


def stored_of(model: SessionModel) -> Stored | None:
    """Return what is known of a model's session, or None if it has none."""
    try:
        stored: Stored | None = _slot.__get__(model)
    except AttributeError:  # straight from the slot: Pydantic would look for it elsewhere too
        return None
    return stored


def set_stored(model: SessionModel, stored: Stored) -> None:
    """Note under which token a model is stored, and as what. Works for frozen models too."""
    _slot.__set__(model, stored)


def _with_stored(model: _M, stored: Stored | None) -> _M:
    if stored is not None:
        set_stored(model, stored)
    return model
