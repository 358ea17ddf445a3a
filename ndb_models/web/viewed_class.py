"""A class of sessions as `request.session` shows it: its fields, their defaults, and which keys it takes. No I/O."""

# The values of sessions are of any type.
# pyright: reportUnknownVariableType=false

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import Any, Final, Generic, NoReturn, TypeVar

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from ndb_models.errors import InvalidArgumentError, UnstorableError
from ndb_models.raising import raise_without_context
from ndb_models.schema.envelope import is_reserved
from ndb_models.schema.model import SessionModel
from ndb_models.schema.problems import WHOLE, problems_of, raised, without_values
from ndb_models.schema.value_equality import OF_CHANGES, difference

M = TypeVar("M", bound=SessionModel)

# Factories whose values are compared with. Others may return another value each time, so such fields are always shown.
_PURE: Final = (dict, list, set, frozenset, tuple, str, int, float, bool)
_NO_JSON: Final = "it cannot be written as JSON; store what JSON has, or declare a field of its type"
_SIZED: Final = frozenset({dict, list, set, tuple})
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})


class ViewedClass(Generic[M]):
    """A class of sessions, as views show it. Made once for many views.

    Attributes:
        model: the class.
        fields: its stored fields.
        is_open: True if it takes extra keys.
    """

    def __init__(self, model: type[M]) -> None:
        self.model: type[M] = model
        self.fields: Mapping[str, FieldInfo] = {
            name: field for name, field in model.__pydantic_fields__.items() if field.exclude is not True
        }
        self.is_open: bool = model.model_config.get("extra") == "allow"
        self._has_typed_extras = any(
            "__pydantic_extra__" in inspect.get_annotations(base)
            for base in model.__mro__[: model.__mro__.index(SessionModel)]
        )
        self._defaults: dict[str, Any] = {}
        for name, field in self.fields.items():
            if field.default_factory in _PURE:
                self._defaults[name] = field.get_default(call_default_factory=True)
            elif field.default_factory is None and not field.is_required():
                self._defaults[name] = field.default

    def is_at_default(self, name: Any, value: Any) -> bool:
        """Tell whether a field has its default value."""
        if name not in self._defaults:
            return False
        default = self._defaults[name]
        if value is default:
            return True
        kind: type[Any] = type(value)
        if kind is not type(default):
            return False
        if kind in _SCALARS:
            return bool(value == default)
        if kind in _SIZED and len(value) != len(default):
            return False
        return difference(value, default, OF_CHANGES) is None

    def default(self, name: str, fields: dict[str, Any]) -> Any:
        """Return the default of a field as a value of its own, beside the values of other fields."""
        return self.fields[name].get_default(call_default_factory=True, validated_data=fields)

    def check_key(self, key: object) -> None:
        """Make sure that a value can be stored under a key.

        Raises:
            InvalidArgumentError: the key is no text or is reserved, or the class has no such field and is not open.
        """
        if not isinstance(key, str):
            raise InvalidArgumentError(f"the keys of a session are strings, not values of type {type(key).__name__}")
        if is_reserved(key) or (key in self.model.__pydantic_fields__ and key not in self.fields):
            raise InvalidArgumentError(f"{key!r} is not stored with sessions of {self.model.__name__}")
        if not (self.is_open or key in self.fields):
            raise InvalidArgumentError(
                f'{self.model.__name__} has no field {key!r}: declare it, or declare the class with extra="allow"'
            )

    def made_of(self, values: dict[str, Any]) -> M:
        """Return a new model with these values, validated.

        Raises:
            UnstorableError: they do not fit the class.
        """
        name = self.model.__name__
        try:
            return self.model.model_validate(values, by_alias=False, by_name=True)
        except ValidationError as exc:
            raise_without_context(UnstorableError(name, problems_of(exc)), without_values(exc))
        except Exception as exc:  # noqa: BLE001 - a user's validator may raise any error
            raise_without_context(UnstorableError(name, [(WHOLE, raised(exc))]))

    def turn_into_json(self, extras: dict[str, Any]) -> None:
        """Give values of extra keys the form that JSON brings back, as Starlette's cookie does.

        Values of a declared type stay as they are.

        Raises:
            UnstorableError: a value cannot be written as JSON.
        """
        if self._has_typed_extras:
            return
        problems: list[tuple[str, str]] = []
        for key, value in extras.items():
            if not _is_json(value):
                try:
                    extras[key] = json.loads(json.dumps(value))
                except (TypeError, ValueError, RecursionError):
                    problems.append((key, _NO_JSON))
        if problems:
            raise UnstorableError(self.model.__name__, problems)


def viewed_class(model: type[M], wanted: bool | None) -> ViewedClass[M] | None:
    """Return the class as `request.session` shows it, or None if that is not wanted; by default an open class is.

    Raises:
        InvalidArgumentError: `wanted` is neither a bool nor None.
    """
    if wanted not in (True, False, None):
        raise InvalidArgumentError("request_session= is True, False or None")
    viewed = ViewedClass(model)
    return viewed if wanted or (wanted is None and viewed.is_open) else None


class RefusedSession:
    """Stands for `request.session` if that is not wanted. Each use raises `InvalidArgumentError`."""

    def mark_accessed(self) -> NoReturn:
        """Refuse: Starlette calls this for each `request.session`."""
        raise InvalidArgumentError(
            "request.session is a dict over the session if that is wanted: WebSessions(..., request_session=True);"
            " otherwise use Depends(sessions.current) or await sessions.optional(request)"
        )

    def __getitem__(self, key: str) -> NoReturn:
        self.mark_accessed()

    def __setitem__(self, key: str, value: object) -> NoReturn:
        self.mark_accessed()

    def __contains__(self, key: object) -> NoReturn:
        self.mark_accessed()

    def __iter__(self) -> NoReturn:
        self.mark_accessed()

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        self.mark_accessed()


REFUSED: Final = RefusedSession()


def _is_json(value: Any) -> bool:
    """Tell whether JSON brings a value back as it is, type for type."""
    kind = type(value)
    if kind is dict:
        return all(type(key) is str and _is_json(part) for key, part in value.items())
    return kind in _SCALARS or (kind is list and all(map(_is_json, value)))
