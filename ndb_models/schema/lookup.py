"""`Lookup`: the mark of a field by whose value sessions are found, and the name that a value has in the index.

Two values are the same where their stored JSON is: the one comparison that every server, and every later version of a
program, makes alike. What is equal in Python and is not as JSON cannot be looked up. The name of a value holds a hash:
it keeps values out of listings, logs and data sets of keys, and short. It keeps nothing from those who can read the
store, since the index leads to the sessions themselves.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Annotated, Any, Final, get_args, get_origin

from pydantic import BaseModel, Secret, SecretBytes, SecretStr

from ndb_models.errors import InvalidArgumentError, SchemaError

# 160 bits, as hexadecimal digits: nobody finds two values of one name.
_DIGITS: Final = 40

_TAKEN: Final = frozenset({"but"})

_UNFIT: Final[Mapping[tuple[type, ...], str]] = {
    (float, complex): "a float is not found by its value, which is equal to itself to the last bit only; use an int,"
    " or a Decimal",
    (Set,): "a set is not found by its value: it is written in any order; use a tuple that is sorted",
    (SecretStr, SecretBytes, Secret): "a secret cannot be looked up: the name of its value would be a plain hash of it;"
    " look up a keyed hash of it, in a field of its own",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Lookup:
    """Marks a field by whose value sessions are found: `user_id: Annotated[int, Lookup()]`.

    `Repository.find` and `end_all_for` take the field's value then. None is never looked up: a session whose field is
    None is not found by it.

    Args:
        unique: at most one session has a value, None excepted: what would take one that is taken raises
            `DuplicateError`.

    Raises:
        InvalidArgumentError: `unique` is neither True nor False.
    """

    unique: bool = False

    def __post_init__(self) -> None:
        if self.unique not in (True, False):
            raise InvalidArgumentError("Lookup(unique=) is True or False")


def lookups_of(model: type[BaseModel]) -> dict[str, Lookup]:
    """Return the fields of a class that are looked up, those of its bases too.

    Raises:
        SchemaError: a field cannot be, as it is declared.
    """
    found: dict[str, Lookup] = {}
    for name, field in model.__pydantic_fields__.items():
        marks = [mark for mark in field.metadata if _is_mark(mark)]
        types = list(_types_in(field.annotation, []))
        problem = _misplaced(marks, types)
        if marks and not problem:
            problem = _unfit(name, field.exclude is True, types)
        if problem:
            raise SchemaError(model.__name__, name, problem)
        found.update((name, mark) for mark in marks)
    return found


def _is_mark(metadata: object) -> bool:
    return metadata is Lookup or isinstance(metadata, Lookup)


def _misplaced(marks: list[Any], types: list[Any]) -> str | None:
    if Lookup in [*marks, *types]:
        return "write Lookup(), with parentheses"
    if any(map(_is_mark, types)):
        return "Lookup() marks a whole field, not a part of its type: Annotated[int | None, Lookup()]"
    return "it has Lookup() twice; keep one" if len(marks) > 1 else None


def _unfit(name: str, excluded: bool, types: list[Any]) -> str | None:
    if name in _TAKEN:
        return "this name is an argument of end_all_for; give the field another one"
    if excluded:
        return "it is excluded, so it is not stored, and cannot be looked up"
    for kinds, problem in _UNFIT.items():
        if any(isinstance(part, type) and issubclass(part, kinds) for part in types):
            return problem
    return None


def _types_in(annotation: Any, seen: list[Any]) -> Iterator[Any]:
    """Yield all that an annotation is made of, what marks its parts too. `seen` stops at aliases of themselves."""
    if any(annotation is each for each in seen):
        return
    seen.append(annotation)
    origin = get_origin(annotation)
    yield annotation if origin is None else origin
    if origin is not None:
        yield from annotation.__metadata__ if origin is Annotated else ()
        for part in get_args(annotation):
            yield from _types_in(part, seen)
    for named in ("__value__", "__supertype__"):  # a `type` statement, and NewType
        if hasattr(annotation, named):
            yield from _types_in(getattr(annotation, named), seen)


def digest(text: bytes) -> str:
    """Return the hash of a value, given as JSON: that of the one form in which the same value is the same text.

    How a server, or another version, formats JSON makes no difference.
    """
    form = json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(form.encode()).hexdigest()[:_DIGITS]


def index_prefix(schema: str, field: str) -> str:
    """Return what the shared keys that stand for the values of a field begin with. The value's hash follows."""
    return f"__ndb__:{schema}:{field}:"


def digest_in(name: str, prefix: str) -> str | None:
    """Return the hash in the name of a value that begins with this prefix, or None if it is no such name."""
    hashed = name.removeprefix(prefix)
    shaped = len(hashed) == _DIGITS and all(digit in "0123456789abcdef" for digit in hashed)
    return hashed if shaped and name != hashed else None
