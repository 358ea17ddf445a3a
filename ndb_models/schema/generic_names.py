"""The names of generic schemas, such as `login.box[int]`. A type has one spelling, however the code writes it.

`list[int]` and `List[int]` have the same spelling, and so have `int | None`, `Optional[int]` and `None | int`. Classes
of the standard library and of Pydantic are spelled by their bare names. Others have the name of their module in front,
which tells two classes `Token` in two modules apart. Metadata in `Annotated` is left out.
"""

from __future__ import annotations

import sys
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Final, ForwardRef, Literal, TypeVar, Union, get_args, get_origin

from ndb_models.schema.code import code_in, without_address

# Packages with classes that keep their names when a module is moved or split.
_WELL_KNOWN: Final = sys.stdlib_module_names | {"pydantic", "pydantic_core", "typing_extensions", "annotated_types"}


def generic_name(base: str, arguments: tuple[Any, ...], module: str) -> str:
    """Return the name of the schema of a generic class with its arguments.

    Args:
        base: the name of the generic schema.
        arguments: the arguments of the class: types, or their names.
        module: the module in which such names are looked up.

    Raises:
        NameError: a named type does not exist yet, so its spelling is not known.
    """
    return f"{base}[{', '.join(_Spelling(module).of(each) for each in arguments)}]"


def generic_identity(arguments: tuple[Any, ...], module: str) -> tuple[str, ...]:
    """Return texts that tell the arguments of two generic classes apart: their spelling, and their metadata."""
    return tuple(_Spelling(module, metadata=True).of(each) for each in arguments)


class _Spelling:
    """Spells types. With `metadata`, the spelling includes its repr and its code, which later versions may change."""

    def __init__(self, module: str, *, metadata: bool = False) -> None:
        self._module = module
        self._metadata = metadata

    def of(self, annotation: Any) -> str:
        """Return the one spelling of a type."""
        if annotation is None or annotation is NoneType:
            return "None"
        if annotation is Any or annotation is ...:
            return "Any" if annotation is Any else "..."
        if isinstance(annotation, (str, ForwardRef)):
            return self._reference(annotation if isinstance(annotation, str) else annotation.__forward_arg__)
        if isinstance(annotation, TypeVar):
            return annotation.__name__
        generic: Any = getattr(annotation, "__pydantic_generic_metadata__", {}).get("origin")
        if generic is not None:
            return self._subscribed(_class_name(generic), annotation.__pydantic_generic_metadata__["args"])
        return self._special(annotation)

    def _special(self, annotation: Any) -> str:
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin is Annotated:
            plain, *marks = arguments
            return self.of(plain) + (f" {[_mark(each) for each in marks]}" if self._metadata else "")
        if origin in (Union, UnionType):
            return self._union(arguments)
        if origin is Literal:
            return f"Literal[{', '.join(sorted(map(_value, arguments)))}]"
        if origin is not None:
            name = self.of(origin) if hasattr(origin, "__value__") else _class_name(origin)
            is_bare = not arguments and not repr(annotation).endswith("[()]")
            return name if is_bare else self._subscribed(name, arguments)
        if hasattr(annotation, "__value__"):  # a `type` statement
            return self.of(annotation.__value__) if not _is_recursive(annotation) else _class_name(annotation)
        return _class_name(annotation)

    def _subscribed(self, name: str, arguments: tuple[Any, ...]) -> str:
        return f"{name}[{', '.join(map(self.of, arguments)) or '()'}]"

    def _union(self, members: tuple[Any, ...]) -> str:
        names = {self.of(member) for member in members}
        return " | ".join([*sorted(names - {"None"}), *(["None"] if "None" in names else [])])

    def _reference(self, name: str) -> str:
        """Return the spelling of a type given in quotes."""
        try:
            found: Any = eval(name, dict(vars(sys.modules.get(self._module, sys))))
        except Exception:  # noqa: BLE001 - any failure means that it names no type
            found = None
        if found is None and name != "None":
            raise NameError(name)
        return self.of(found)


def _mark(mark: Any) -> str:
    return "".join([without_address(mark), *code_in(mark)])


def _class_name(kind: Any) -> str:
    module = str(getattr(kind, "__module__", ""))
    name = str(getattr(kind, "__qualname__", None) or getattr(kind, "__name__", None) or kind)
    return name if module.partition(".")[0] in _WELL_KNOWN else f"{module}.{name}"


def _value(literal: object) -> str:
    return f"{_class_name(type(literal))}.{literal.name}" if isinstance(literal, Enum) else repr(literal)


def _is_recursive(alias: Any) -> bool:
    """Tell whether a `type` statement refers to itself, as `JsonValue` does."""
    seen: list[Any] = []

    def refers(annotation: Any) -> bool:
        if annotation is alias or (isinstance(annotation, ForwardRef) and annotation.__forward_arg__ == alias.__name__):
            return True
        if isinstance(annotation, str):
            return alias.__name__ in annotation
        if any(annotation is each for each in seen):
            return False
        seen.append(annotation)
        return any(map(refers, (*get_args(annotation), getattr(annotation, "__value__", None))))

    return refers(alias.__value__)
