"""Requests of a pipeline and the answers that a server gives to them, without I/O.

Each request asks for a key of its own, and its answer names that key, so that a test sees whose answer it has.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import ClassVar

from ndb_models.protocol.commands import COMMANDS, Command
from ndb_models.protocol.pipeline import Pipeline, Request

SMALL = 100
"""Bytes of an answer that lets any window grow."""


class Question:
    """Asks for one key. Takes only answers that name it; a trusting one takes all that have the right name.

    Trusting are in truth those whose answers repeat nothing of what was asked.
    """

    is_checked: ClassVar[bool] = True

    def __init__(self, key: str, command: str = "KV_GET", *, trusting: bool = False) -> None:
        self.command: Command = COMMANDS[command]
        self.frame: bytes = json.dumps({command: {"keys": [key]}}).encode()
        self.on_orphan: Callable[[bytes], None] | None = None
        self._marker = b"" if trusting else json.dumps(key).encode()

    def fits(self, answer: bytes) -> bool:
        return self._marker in answer


def ask(key: str, *, trusting: bool = False, deadline: float = 0.0) -> Request:
    """Return a request for a key."""
    return Request(Question(key, trusting=trusting), deadline)


def frame_of(request: Request) -> bytes:
    return request.exchange.frame


def is_fence(frame: bytes) -> bool:
    """Tell whether a frame asks for nothing that a server knows."""
    return next(iter(json.loads(frame))) not in COMMANDS


def answer_to(frame: bytes, *, size: int = SMALL) -> bytes:
    """Answer as a server does, unknown commands as well, with a frame of at least this size."""
    ((name, body),) = json.loads(frame).items()
    if name not in COMMANDS:
        return json.dumps({f"{name}_RSP": {"m": "", "st": 10, "tkn": None}}, separators=(",", ":")).encode()
    (key,) = body["keys"]
    answer = json.dumps({f"{name}_RSP": {"st": 1, "keys": {key: ""}}}, separators=(",", ":"))
    return answer.replace('""', f'"{"." * (size - len(answer))}"').encode()


def answers_to(frames: Iterable[bytes], *, size: int = SMALL) -> list[bytes]:
    return [answer_to(frame, size=size) for frame in frames]


def key_of(answer: bytes) -> str:
    """Return the key that an answer names."""
    ((body,),) = (json.loads(answer).values(),)
    (key,) = body["keys"]
    assert isinstance(key, str)
    return key


def deliver(pipeline: Pipeline[Request], answers: Iterable[bytes]) -> list[str]:
    """Hand answers to a pipeline; return the keys of the requests that were answered, each by its own answer."""
    answered: list[str] = []
    for answer in answers:
        for request in pipeline.receive(answer):
            key = key_of(request.answer)
            assert frame_of(request) == frame_of(ask(key))
            answered.append(key)
    return answered


def opened(window: int) -> Pipeline[Request]:
    """Return a pipeline whose window has grown to this size, with nothing in flight."""
    pipeline: Pipeline[Request] = Pipeline(window)
    for number in range(window):
        pipeline.push(ask(f"earlier{number}"))
        assert len(deliver(pipeline, answers_to(pipeline.take()))) == 1
    return pipeline


def burst(pipeline: Pipeline[Request], count: int) -> list[bytes]:
    """Push so many requests, for key0, key1, ...; return the frames that go out."""
    for number in range(count):
        pipeline.push(ask(f"key{number}"))
    return pipeline.take()


def keys(count: int) -> list[str]:
    """Return the keys that a burst of this size asks for."""
    return [f"key{number}" for number in range(count)]
