"""User functions told apart by their code, so that a module loaded again has the same functions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Final, cast

_ADDRESS: Final = re.compile(r" at 0x[0-9a-f]+")


def without_address(value: object) -> str:
    """Return the repr of a value without its memory address."""
    return _ADDRESS.sub("", repr(value))


def code_in(node: object) -> Iterator[str]:
    """Yield texts that tell the functions in a core schema or in `Annotated` metadata apart: names, code, closures."""
    if isinstance(node, dict):
        for name, part in cast("dict[str, object]", node).items():
            if name not in ("metadata", "cls", "default"):
                yield from code_in(part)
    elif type(node) in (list, tuple):
        for part in cast("list[object]", node):
            yield from code_in(part)
    elif is_dataclass(node) and not isinstance(node, type):
        yield from code_in([getattr(node, field.name) for field in fields(node)])
    elif isinstance(node, MethodType):
        yield from code_in(node.__func__)
    elif isinstance(node, partial):
        yield from code_in([node.func, *node.args, *node.keywords.values()])
    elif isinstance(node, FunctionType):
        yield f"{node.__module__}.{node.__qualname__}"
        yield from _code(node.__code__)
        yield from (without_address(cell.cell_contents) for cell in node.__closure__ or ())


def _code(code: CodeType) -> Iterator[str]:
    yield code.co_code.hex()
    yield " ".join(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code(constant)
        elif isinstance(constant, frozenset):  # its order differs from process to process
            yield " ".join(sorted(map(repr, cast("frozenset[object]", constant))))
        else:
            yield without_address(constant)
