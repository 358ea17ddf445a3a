"""Looks for what an exception holds, at every depth of what hangs on it."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

CANARY = "".join(["can", "ary", "-7301"])
"""What must not be found. No source line holds it, since tracebacks show those."""

# The token that a session error is about: the caller gave it, and it is redacted in the message.
_NOT_A_VALUE = frozenset({"tkn"})


def leaks_of(error: BaseException, canary: str = CANARY) -> list[str]:
    """Return where an exception holds the canary, and whether its traceback shows it."""
    found = [where for where, thing in _parts(error, type(error).__name__, set()) if _holds(thing, canary)]
    if canary in "".join(traceback.format_exception(error)):
        found.append("its traceback")
    return found


def _parts(thing: object, where: str, seen: set[int]) -> Iterator[tuple[str, object]]:
    """Yield all that hangs on an exception, with how to get there."""
    if id(thing) in seen or len(seen) > 10_000:
        return
    seen.add(id(thing))
    yield where, thing
    if isinstance(thing, BaseException):
        parts: dict[str, Any] = {"args": thing.args, "cause": thing.__cause__, "context": thing.__context__}
        parts |= {name: value for name, value in vars(thing).items() if name not in _NOT_A_VALUE}
        for name in ("object", "doc", "exceptions", "filename", "name", "obj"):
            if hasattr(thing, name):
                parts[name] = getattr(thing, name)
        if isinstance(thing, ValidationError):
            parts["errors"] = thing.errors()
        for name, part in parts.items():
            yield from _parts(part, f"{where}.{name}", seen)
    elif isinstance(thing, Mapping):
        for name, part in thing.items():
            yield from _parts(name, f"{where} key", seen)
            yield from _parts(part, f"{where}[]", seen)
    elif isinstance(thing, (list, tuple, set, frozenset)):
        for part in thing:
            yield from _parts(part, f"{where}[]", seen)


def _holds(thing: object, canary: str) -> bool:
    if isinstance(thing, (bytes, bytearray, memoryview)):
        return canary.encode() in bytes(thing)
    if isinstance(thing, str):
        return canary in thing
    if isinstance(thing, (int, float)):
        return thing != thing or abs(thing) > 2**63
    if isinstance(thing, (BaseException, Mapping, list, tuple, set, frozenset, type)) or thing is None:
        return isinstance(thing, BaseException) and canary in f"{thing} {thing!r}"
    return _tells(thing, canary)


def _tells(thing: object, canary: str) -> bool:
    """Tell whether an object shows the canary, or is one of a test's that holds it."""
    if type(thing).__module__.startswith("tests."):
        return True
    try:
        return canary in repr(thing)
    except Exception:  # noqa: BLE001 - an object that cannot be shown has no place in an error
        return True
