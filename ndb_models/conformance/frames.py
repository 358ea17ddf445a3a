"""Checks that a transcript cannot hold: frames, pipelining, limits, and time."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple

from ndb_models.conformance.answers import close_code, new_token, status_alone
from ndb_models.conformance.conversation import NO_ANSWER, Target, conversation
from ndb_models.conformance.report import Outcome, Result
from ndb_models.conformance.steps import Section

# NemesisDB looks for expired sessions every five seconds.
_EXPIRED_AFTER: Final = 7
_BURST: Final = 64
_TOO_BIG: Final = 1009


class Surroundings(NamedTuple):
    """The surroundings of a check: the server, the size of its largest request if that is known, and a wait."""

    target: Target
    max_payload: int | None
    sleep: Callable[[float], Awaitable[object]]


FrameCheck = Callable[[Surroundings], Awaitable[list[Result]]]


def _required(case: str, is_met: bool, *lines: str) -> Result:
    return Result(Section.REQUIRED, case, Outcome.PASSED if is_met else Outcome.FAILED, () if is_met else lines)


def _expected(case: str, expected: object, answered: object) -> Result:
    return _required(case, expected == answered, f"expected {json.dumps(expected)}", f"answered {_shown(answered)}")


def _shown(answered: object) -> str:
    return answered if isinstance(answered, str) else json.dumps(answered)


async def fragments(around: Surroundings) -> list[Result]:
    """A message in fragments is one request."""
    async with conversation(around.target) as talk:
        await talk.send('{"KV_', 'GET":{"ke', 'ys":[]}}')
        return [_expected("a message in fragments", {"KV_GET_RSP": {"st": 1}}, status_alone(await talk.answer()))]


async def control_frames(around: Surroundings) -> list[Result]:
    """A ping is answered, and so is a close frame."""
    async with conversation(around.target) as talk:
        pinged = await talk.ping()
        code = await talk.close()
    return [
        _required("a ping", pinged, "expected a pong", "answered nothing"),
        _expected("a close frame", 1000, code),
    ]


async def binary_frame(around: Surroundings) -> list[Result]:
    """A binary frame is refused, and the connection goes on."""
    async with conversation(around.target) as talk:
        await talk.send_binary(b'{"KV_GET":{"keys":[]}}')
        refused = status_alone(await talk.answer())
        after = status_alone(await talk.ask('{"KV_GET":{"keys":[]}}'))
    return [_expected("a binary frame", [{"ERR": {"st": 2}}, {"KV_GET_RSP": {"st": 1}}], [refused, after])]


async def fence(around: Surroundings) -> list[Result]:
    """An unknown session command is answered under its own name: clients end a burst with one."""
    name = f"SH_{secrets.token_hex(4)}"
    async with conversation(around.target) as talk:
        answer = status_alone(await talk.ask(f'{{"{name}":{{}}}}'))
    return [_expected("an unknown SH_ command is answered under its name", {f"{name}_RSP": {"st": 10}}, answer)]


async def pipelining(around: Surroundings) -> list[Result]:
    """Requests that are sent together are carried out and answered in their order."""
    async with conversation(around.target) as talk:
        created = await talk.ask('{"SH_NEW":{}}')
        tkn = new_token(created)
        for number in range(_BURST):
            await talk.send(json.dumps({"SH_SET": {"tkn": tkn, "keys": {"a": number}}}))
            await talk.send(json.dumps({"SH_GET": {"tkn": tkn, "keys": ["a"]}}))
        answers: list[Any] = []
        while len(answers) < 2 * _BURST and not (answers and _is_end(answers[-1])):
            answers.append(await talk.answer())
        await talk.ask(json.dumps({"SH_END": {"tkn": tkn}}))
    return [_in_order(answers)]


def _is_end(answer: object) -> bool:
    return answer == NO_ANSWER or close_code(answer) is not None


def _in_order(answers: Sequence[Any]) -> Result:
    case = f"{2 * _BURST} requests that are sent together"
    for number, answer in enumerate(answers):
        value = {"keys": {"a": number // 2}, "st": 1}
        expected = {"SH_GET_RSP": value} if number % 2 else {"SH_SET_RSP": {"st": 1}}
        if answer != expected:
            return _required(case, False, f"answer {number + 1} of {2 * _BURST}", *_two_lines(expected, answer))
    return _required(case, True)


def _two_lines(expected: object, answer: object) -> tuple[str, str]:
    return f"expected {json.dumps(expected)}", f"answered {_shown(answer)}"


async def largest_request(around: Surroundings) -> list[Result]:
    """A request of the largest size is taken; one byte more ends the connection."""
    case, beyond, how = "a request of the largest size", "a request over it", "how a request over it is refused"
    limit = around.max_payload
    if limit is None:
        why = ("the server's limit is not known: --max-payload BYTES",)
        return [Result(Section.REQUIRED, each, Outcome.SKIPPED, why) for each in (case, beyond)]
    async with conversation(around.target) as talk:
        taken = status_alone(await talk.ask(_of_size(limit)))
    async with conversation(around.target) as talk:
        refused = await talk.ask(_of_size(limit + 1))
    code = close_code(refused)
    is_closed = code is not None
    way = Outcome.AS_NDB_MODELS if code == _TOO_BIG else Outcome.AS_NEMESISDB
    return [
        _expected(case, {"KV_GET_RSP": {"st": 1}}, taken),
        _required(beyond, is_closed, "expected the end of the connection", f"answered {_shown(refused)}"),
        Result(Section.ODDITIES, how, way if is_closed else Outcome.OTHERWISE),
    ]


def _of_size(size: int) -> str:
    """Return a read of one key that is a frame of this size."""
    frame = '{"KV_GET":{"keys":["%s"]}}'
    return frame % ("x" * (size - len(frame) + 2))


async def expiring(around: Surroundings) -> list[Result]:
    """A session ends after its duration; one that is kept loses its keys, and goes on."""
    async with conversation(around.target) as talk:
        tokens = [await _expiring_session(talk.ask, deletes) for deletes in (True, False)]
        await around.sleep(_EXPIRED_AFTER)
        answers = [answer async for answer in _looks(talk.ask, tokens)]
        for tkn in tokens:
            await talk.ask(json.dumps({"SH_END": {"tkn": tkn}}))
    return [
        _expected("an expired session is gone", {"SH_GET_RSP": {"st": 100}}, status_alone(answers[0])),
        _expected(
            "deleteSession: false keeps an expired session without its keys",
            {"SH_GET_RSP": {"keys": {}, "st": 1}},
            answers[1],
        ),
    ]


async def _expiring_session(ask: Callable[[str], Awaitable[Any]], deletes: bool) -> Any:
    created = await ask(json.dumps({"SH_NEW": {"expiry": {"duration": 1, "deleteSession": deletes}}}))
    tkn = new_token(created)
    await ask(json.dumps({"SH_SET": {"tkn": tkn, "keys": {"a": 1}}}))
    return tkn


async def _looks(ask: Callable[[str], Awaitable[Any]], tokens: Sequence[Any]) -> AsyncIterator[Any]:
    for tkn in tokens:
        yield await ask(json.dumps({"SH_GET": {"tkn": tkn, "keys": ["a"]}}))


FRAME_CHECKS: Final[Sequence[FrameCheck]] = (
    fragments,
    control_frames,
    binary_frame,
    fence,
    pipelining,
    largest_request,
    expiring,
)
"""The checks, in their order."""
