"""How an answer repeats parts of its request, so that it can be told from the answer to another one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

Echo: TypeAlias = Callable[[Mapping[str, Any], Mapping[str, Any]], bool]
"""Takes the parameters of a request and the body of an answer; tells whether the answer can belong to the request."""


def no_echo(_request: Mapping[str, Any], _answer: Mapping[str, Any]) -> bool:
    """The answer repeats nothing."""
    return True


# For more items than this, making a set is faster than searching a list.
_FEW: Final = 16


def _hashed(asked: Any) -> Any:
    try:
        return frozenset(asked)
    except TypeError:  # an item that cannot be hashed cannot be in an answer
        return frozenset(item for item in asked if isinstance(item, (str, int)))


def _is_collection(value: object) -> bool:
    return type(value) is dict or type(value) is list


def repeats(name: str) -> Echo:
    """The answer repeats a parameter unchanged."""
    return lambda request, answer: answer.get(name) == request.get(name)


def chooses(answer_name: str, name: str) -> Echo:
    """The answer holds, under `answer_name`, only items that were asked for under `name`."""

    def fits(request: Mapping[str, Any], answer: Mapping[str, Any]) -> bool:
        asked: Any = request[name]
        chosen: Any = answer.get(answer_name)
        if not _is_collection(chosen):
            return False
        if len(asked) > _FEW:
            asked = _hashed(asked)
        for item in chosen:  # noqa: SIM110 - half the time of all()
            if item not in asked:
                return False
        return True

    return fits
