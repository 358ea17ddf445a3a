"""Requests of event loops to a thread, and the delivery of the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from ndb_models.stores.contract import TooLargeError, UnknownSessionError
from ndb_models.stores.sqlite.tables import Tables

T = TypeVar("T")

Work: TypeAlias = Callable[[Tables], T]
"""The work of a request, to be done in a transaction."""


@dataclass(slots=True)
class QueuedWork:
    """Work, and the future that waits for its outcome. `durable`: the worker's `synchronous` applies to its commit."""

    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Any]
    work: Work[Any]
    durable: bool


Outcome: TypeAlias = tuple[Any, Exception | None]
"""A result, or the error that is the answer instead."""

_Answer: TypeAlias = tuple["asyncio.Future[Any]", Any, "Exception | None"]


def outcome_of(request: QueuedWork, tables: Tables) -> Outcome:
    """Do the work of a request in the caller's transaction; return the outcome.

    Raises:
        Exception: the work failed, and the transaction must not be committed.
    """
    try:
        return request.work(tables), None
    except (UnknownSessionError, TooLargeError) as exc:  # an answer like any other
        return None, exc


def deliver(requests: Sequence[QueuedWork], outcomes: Sequence[Outcome]) -> None:
    """Hand each loop its answers, all at once. Any thread may call this."""
    for loop in {request.loop for request in requests}:
        answers = [
            (request.answer, *outcome)
            for request, outcome in zip(requests, outcomes, strict=True)
            if request.loop is loop
        ]
        try:
            loop.call_soon_threadsafe(_set, answers)
        except RuntimeError:  # the loop was closed: no task waits
            continue


def _set(answers: Sequence[_Answer]) -> None:
    for answer, result, failure in answers:
        if answer.done():  # cancelled
            continue
        if failure is None:
            answer.set_result(result)
        else:
            answer.set_exception(failure)
