"""`Lookup`, the mark of a field that sessions are found by; and the name of a value in the index.

Two values are the same if their stored JSON is the same. Every server, and every later version of a program, makes this
comparison alike. Values that are equal in Python but not as JSON cannot be looked up. The name of a value holds a hash,
which is short and keeps values out of listings, logs and data sets of keys. It does not hide them from readers of the
store, since the index leads to the sessions themselves.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Annotated, Any, Final, Never, get_args, get_origin

import msgspec
from pydantic import BaseModel, Secret, SecretBytes, SecretStr

from ndb_models.errors import InvalidArgumentError, SchemaError
from ndb_models.schema.field_types import field_types

# 160 bits, as hexadecimal digits: too many to search for two values with one name.
_DIGITS: Final = 40

# Field names that are arguments already, with the verbs that take them.
_TAKEN: Final[Mapping[str, str]] = {
    "but": "end_all_for",
    "extend": "find and find_one",
    "limit": "find",
    "order": "find",
}

_UNFIT: Final[Mapping[tuple[type, ...], str]] = {
    (float, complex): "a float is not found by its value, which is equal to itself to the last bit only; use an int,"
    " or a Decimal",
    (Set,): "a set is not found by its value: it is written in any order; use a tuple that is sorted",
    (SecretStr, SecretBytes, Secret): "a secret cannot be looked up: the name of its value would be a plain hash of it;"
    " look up a keyed hash of it, in a field of its own",
}

_UNKNOWN: Final = "Any says nothing of what it holds, which may be floats: declare it, such as dict[str, int]"
_BARE: Final = (object, dict, list, tuple)
_WRITE: Final = "write Annotated[int, Lookup()], with the field's own type in place of int"


@dataclass(frozen=True, slots=True, init=False)
class Lookup:
    """Marks a field that sessions are found by: `user_id: Annotated[int, Lookup()]`.

    `Repository.find` and `end_all_for` then take a value of the field. None is never looked up: a session with None in
    the field is not found by it.

    Args:
        unique: at most one session has a value, except None. A write of a value that another session has
            raises `DuplicateError`.
        limit: the most sessions that have a value, such as five devices of a user; None for any number. When one more
            session takes the value, the one that took it first is ended. Two that take it at
            the same moment may both stay for a moment.

    Raises:
        InvalidArgumentError: `unique` is neither True nor False, or `limit` no number from 1, or both are given, or one
            without its name.
    """

    unique: bool = False
    limit: int | None = None

    def __init__(self, *unnamed: Never, unique: bool = False, limit: int | None = None) -> None:
        if unnamed or unique not in (True, False):
            raise InvalidArgumentError("Lookup(unique=) is True or False, and given by its name: Lookup(unique=True)")
        if limit is not None and (type(limit) is not int or limit < 1 or unique):
            raise InvalidArgumentError("Lookup(limit=) is a number from 1, or None; a unique value has one session")
        object.__setattr__(self, "unique", unique)
        object.__setattr__(self, "limit", limit)

    def __repr__(self) -> str:
        return f"Lookup(unique={self.unique})" if self.limit is None else f"Lookup(limit={self.limit})"


def lookups_of(model: type[BaseModel]) -> dict[str, Lookup]:
    """Return the fields of a class, and of its bases, that are looked up.

    Raises:
        SchemaError: a field cannot be looked up as it is declared.
    """
    found: dict[str, Lookup] = {}
    for name, field in model.__pydantic_fields__.items():
        marks = [mark for mark in field.metadata if _is_mark(mark)]
        seen: list[Any] = []
        types = list(_types_in(field.annotation, seen))
        inside = list(_inside(types, seen))
        problem = _WRITE if _is_mark(field.default) else _misplaced(marks, types, inside)
        if marks and not problem:
            problem = _unfit(name, field.exclude is True, [*types, *inside])
        if problem:
            raise SchemaError(model.__name__, name, problem)
        found.update((name, mark) for mark in marks)
    return found


def _is_mark(metadata: object) -> bool:
    return metadata is Lookup or isinstance(metadata, Lookup)


def refuse_as_types(model: str, annotations: Mapping[str, Any]) -> None:
    """Refuse marks in the place of a type, because Pydantic would take them for one.

    Raises:
        SchemaError: a mark is in the place of a type.
    """
    for name, annotation in annotations.items():
        if isinstance(annotation, Lookup) or (isinstance(annotation, str) and annotation.startswith("Lookup(")):
            raise SchemaError(model, name, _WRITE)


def _misplaced(marks: list[Any], types: list[Any], inside: list[Any]) -> str | None:
    if Lookup in [*marks, *types]:
        return "write Lookup(), with parentheses"
    if any(map(_is_mark, types)):
        return "Lookup() marks a whole field, not a part of its type: Annotated[int | None, Lookup()]"
    if any(map(_is_mark, inside)):
        return "Lookup() marks fields of the session; inside of a nested model it marks nothing, so leave it out there"
    return "it has Lookup() twice; keep one" if len(marks) > 1 else None


def _unfit(name: str, excluded: bool, types: list[Any]) -> str | None:
    if name in _TAKEN:
        return f"this name is an argument of {_TAKEN[name]}; give the field another one"
    if excluded:
        return "it is excluded, so it is not stored, and cannot be looked up"
    for kinds, problem in _UNFIT.items():
        if any(isinstance(part, type) and issubclass(part, kinds) for part in types):
            return problem
    return _UNKNOWN if any(part is Any for part in types) else None


def types_within(annotation: Any) -> Iterator[Any]:
    """Yield all parts of an annotation, and of the fields of classes in it, at every depth."""
    seen: list[Any] = []
    types = list(_types_in(annotation, seen))
    yield from types
    yield from _inside(types, seen)


def _types_in(annotation: Any, seen: list[Any]) -> Iterator[Any]:
    """Yield all parts of an annotation, with the metadata of parts. `seen` stops at aliases of themselves."""
    if any(annotation is each for each in seen):
        return
    seen.append(annotation)
    origin = get_origin(annotation)
    yield annotation if origin is None else origin
    if any(annotation is bare for bare in _BARE):
        yield Any
    if origin is not None:
        yield from annotation.__metadata__ if origin is Annotated else ()
        for part in get_args(annotation):
            yield from _types_in(part, seen)
    for named in ("__value__", "__supertype__"):  # a `type` statement, and NewType
        if hasattr(annotation, named):
            yield from _types_in(getattr(annotation, named), seen)


def _inside(types: Iterable[Any], seen: list[Any]) -> Iterator[Any]:
    """Yield all parts of the fields of types, at every depth."""
    for kind in types:
        for part in field_types(kind).values() if isinstance(kind, type) else ():
            # The marks of a session inside of another are its own.
            yield from () if hasattr(kind, "session_options") else part.metadata
            found = list(_types_in(part.annotation, seen))
            yield from found
            yield from _inside(found, seen)


# Texts that are in that form already: short integers, and ASCII strings without escapes. Most values are such.
_in_form: Final = re.compile(rb'-?[1-9][0-9]{0,99}|0|"[ !#-\[\]-~]*"').fullmatch
_decode: Final = json.JSONDecoder().decode
_encode: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def digest(text: bytes) -> str:
    """Return the hash of a value, given as JSON. It is taken from a form in which the same value is the same text.

    So the format of the JSON, by a server or another version, makes no difference. JSON that Python cannot read, nested
    too deep or with a number of too many digits, is hashed as it stands. No model holds such a value.
    """
    form = text
    if not _in_form(text):
        with contextlib.suppress(ValueError, RecursionError):
            form = _encode(_decode(text.decode("utf-8", "surrogatepass"))).encode()
    return hashlib.sha256(form).hexdigest()[:_DIGITS]


class LookupValue(msgspec.Struct, frozen=True, gc=False, eq=False):
    """A value of a lookup field.

    Two are equal if they have one name.

    Args:
        field: the field.
        name: the name of the value in the index: the prefix of the field, then the hash.
        digest: the hash.
        text: a JSON text of the value, if known. It saves hashing equal texts.
    """

    field: str
    name: str
    digest: str
    text: bytes | None = None

    def is_in(self, keys: Mapping[str, bytes | msgspec.Raw]) -> bool:
        """Return True if these keys have this value."""
        found = keys.get(self.field)
        if found is None:
            return False
        text = bytes(found)
        return text == self.text or digest(text) == self.digest

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LookupValue) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"LookupValue({self.field!r})"


def index_prefix(schema: str, field: str) -> str:
    """Return the prefix of the shared keys that stand for the values of a field. The value's hash follows."""
    return f"__ndb__:{schema}:{field}:"


def digest_in(name: str, prefix: str) -> str | None:
    """Return the hash in the name of a value with this prefix, or None if it is no such name."""
    hashed = name.removeprefix(prefix)
    shaped = len(hashed) == _DIGITS and all(digit in "0123456789abcdef" for digit in hashed)
    return hashed if shaped and name != hashed else None
