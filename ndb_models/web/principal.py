"""`Principal`, the mark of the fields that name the user of a session, and the user's rights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final, get_args, get_origin

from ndb_models.errors import SchemaError
from ndb_models.schema import Lookup, SessionModel
from ndb_models.schema.lookup import lookups_of


@dataclass(frozen=True, slots=True)
class Principal:
    """Marks a field that names the user, or a right of the user: `user_id: Annotated[int, Principal()]`.

    The first marked field of a class is the user. When it changes, the session gets a new cookie, and the one before is
    dead at once. When another marked field changes, such as a role, the session gets a new cookie too; the one before
    lasts for the grace period, so that requests under way succeed.
    """


_PARENTHESES: Final = "write Principal(), with parentheses"
_WHOLE: Final = "Principal() marks a whole field of the session, not a part of its type"
_NO_USER: Final = (
    "these sessions name no user to find sessions by: mark one field with both marks,"
    " user_id: Annotated[int, Principal(), Lookup()]"
)


def principals_of(model: type[SessionModel]) -> tuple[str, ...]:
    """Return the marked fields of a class, in their order.

    Raises:
        SchemaError: a mark is in the wrong place.
    """
    marked: list[str] = []
    for name, field in model.__pydantic_fields__.items():
        if Principal in field.metadata:
            raise SchemaError(model.__name__, name, _PARENTHESES)
        if any(map(_is_mark, _inside(field.annotation))):
            raise SchemaError(model.__name__, name, _WHOLE)
        if any(map(_is_mark, field.metadata)):
            marked.append(name)
    return tuple(marked)


def user_field(model: type[SessionModel]) -> str:
    """Return the field by which the sessions of one user are found: the first with `Principal()` and `Lookup()`.

    Raises:
        SchemaError: there is none.
    """
    lookups: dict[str, Lookup] = lookups_of(model)
    for name in principals_of(model):
        if name in lookups:
            return name
    raise SchemaError(model.__name__, None, _NO_USER)


def _is_mark(metadata: object) -> bool:
    return metadata is Principal or isinstance(metadata, Principal)


def _inside(annotation: Any) -> Iterator[object]:
    """Yield the marks inside of a type."""
    for part in get_args(annotation):
        if get_origin(annotation) is Annotated and part is not get_args(annotation)[0]:
            yield part
        else:
            yield from _inside(part)
