"""What event loops ask a thread to do, and how they get their answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from ndb_models.stores.contract import UnknownSessionError
from ndb_models.stores.sqlite.tables import Tables

T = TypeVar("T")

Work: TypeAlias = Callable[[Tables], T]
"""What is done in a transaction."""


@dataclass(slots=True)
class Request:
    """Something to do, and who waits for it. `durable`: the answer waits until it has reached the disk."""

    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Any]
    work: Work[Any]
    durable: bool


Outcome: TypeAlias = tuple[Any, Exception | None]
"""A result, or the error that is the answer."""

_Answer: TypeAlias = tuple["asyncio.Future[Any]", Any, "Exception | None"]


def outcome_of(request: Request, tables: Tables) -> Outcome:
    """Do what is asked for, in a transaction of the caller's.

    Raises:
        Exception: the transaction cannot be committed.
    """
    try:
        return request.work(tables), None
    except UnknownSessionError as exc:  # an answer like any other
        return None, exc


def deliver(requests: Sequence[Request], outcomes: Sequence[Outcome]) -> None:
    """Hand each loop its answers, all at once. May be called in any thread."""
    answers: dict[asyncio.AbstractEventLoop, list[_Answer]] = {}
    for request, outcome in zip(requests, outcomes, strict=True):
        answers.setdefault(request.loop, []).append((request.answer, *outcome))
    for loop, its_own in answers.items():
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits
            loop.call_soon_threadsafe(_set, its_own)


def _set(answers: Sequence[_Answer]) -> None:
    for answer, result, failure in answers:
        if answer.done():  # cancelled
            continue
        if failure is None:
            answer.set_result(result)
        else:
            answer.set_exception(failure)
