"""Run the conformance tests against a server, and clean up behind each case."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from ndb_models import clocks
from ndb_models.conformance.answers import body_of, parts_of
from ndb_models.conformance.conversation import NO_ANSWER, Conversation, Target, conversation
from ndb_models.conformance.frames import FRAME_CHECKS, FrameCheck, Surroundings
from ndb_models.conformance.placeholders import Placeholders, difference
from ndb_models.conformance.report import ConformanceReport, Outcome, Result
from ndb_models.conformance.steps import Answer, Case, Need, Section, Step, recorded_cases
from ndb_models.errors import ConnectError
from ndb_models.protocol.statuses import Status

_CHOSEN: Final = 2
_NOT_ALONE: Final = "the store holds data of others, which this case would count or clear: --destructive clears it"
_NO_PERSISTENCE: Final = "the server has no persist path"
_ABSENT: Final = "the server does not have this extension"
_DISABLED: Final = "the token does not allow it, or the server is not set up for it (status 14)"


async def run_conformance(
    target: Target,
    *,
    destructive: bool = False,
    max_payload: int | None = None,
    report: Callable[[int, int], None] = lambda _done, _of: None,
    sleep: Callable[[float], Awaitable[object]] = clocks.sleep,
) -> ConformanceReport:
    """Run all cases against a server, and report how it answered.

    This writes to the server: shared keys under a prefix of its own, sessions, and data sets if the server keeps them.
    Keys and sessions are removed behind each case. Data sets stay, as the protocol cannot remove them. Cases that
    count, list or clear all data run on an empty store only.

    Args:
        target: the server.
        destructive: clear the store before each case that needs an empty one.
        max_payload: the size in bytes of the largest request that the server is set up to take. Without it, that limit
            is not tested.
        report: called after each check and case, with the number that are done, and of all.
        sleep: waits for sessions to expire.

    Raises:
        ConnectError: the server cannot be reached, or refuses the handshake. Once the run has begun, the cases that
            it cannot be reached for have failed instead.
    """
    async with conversation(target) as talk:
        info = body_of(await talk.ask('{"SV_INFO":{}}'), "SV_INFO_RSP")
    version = info.get("serverVersion")
    runner = _Runner(target, destructive, info.get("persistEnabled") is True)
    result = ConformanceReport(version if isinstance(version, str) and version.isprintable() else "")
    cases = recorded_cases()
    total = len(FRAME_CHECKS) + len(cases)
    for done, check in enumerate(FRAME_CHECKS, 1):
        result.results.extend(await _checked(check, Surroundings(target, max_payload, sleep)))
        report(done, total)
    for done, case in enumerate(cases, len(FRAME_CHECKS) + 1):
        result.results.append(await runner.run(case))
        report(done, total)
    return result


async def _checked(check: FrameCheck, surroundings: Surroundings) -> list[Result]:
    try:
        return await check(surroundings)
    except ConnectError as exc:
        return [Result(Section.REQUIRED, check.__name__.replace("_", " "), Outcome.FAILED, (str(exc),))]


class _Runner:
    def __init__(self, target: Target, destructive: bool, persists: bool) -> None:
        self._target = target
        self._is_destructive = destructive
        self._persists = persists
        self._prefix = f"ndb-conformance-{secrets.token_hex(4)}:"

    async def run(self, case: Case) -> Result:
        """Return the result of a case. A server that cannot be reached any more fails it."""
        try:
            return await self._prepared(case)
        except ConnectError as exc:
            return Result(case.section, case.case, Outcome.FAILED, (str(exc),))

    async def _prepared(self, case: Case) -> Result:
        if Need.PERSIST in case.needs and not self._persists:
            return Result(case.section, case.case, Outcome.SKIPPED, (_NO_PERSISTENCE,))
        if Need.EMPTY in case.needs and not await self._is_alone():
            return Result(case.section, case.case, Outcome.SKIPPED, (_NOT_ALONE,))
        placeholders = Placeholders(
            self._prefix,
            f"ndb-conformance-{secrets.token_hex(8)}",
            tuple(secrets.randbits(64) for _ in range(_CHOSEN)),
        )
        try:
            return await self._run(case, placeholders)
        finally:
            await self._clean(case, placeholders)

    async def _is_alone(self) -> bool:
        """Return True if the store holds no data. Clear it first, if that is allowed."""
        async with conversation(self._target) as talk:
            if self._is_destructive:
                await talk.ask('{"KV_CLEAR":{}}')
                await talk.ask('{"SH_END_ALL":{}}')
            keys = body_of(await talk.ask('{"KV_COUNT":{}}'), "KV_COUNT_RSP")
            sessions = body_of(await talk.ask('{"SH_INFO_ALL":{}}'), "SH_INFO_ALL_RSP")
        return keys.get("cnt") == 0 and sessions.get("totalSessions") == 0

    async def _run(self, case: Case, placeholders: Placeholders) -> Result:
        ways: set[Outcome] = set()
        async with conversation(self._target) as talk:
            for number, step in enumerate(case.steps, 1):
                sent = placeholders.fill(step.send)
                answer = None if sent is None else await _asked(talk, step, sent)
                placeholders.note(answer)
                way = _way(step, answer, placeholders)
                if way is Outcome.FAILED:
                    return _differing(case, placeholders, number, step, answer)
                ways.add(way)
        if case.section is not Section.ODDITIES:
            return Result(case.section, case.case, Outcome.PASSED)
        known = Outcome.AS_NDB_MODELS if Outcome.AS_NDB_MODELS in ways else Outcome.AS_NEMESISDB
        return Result(case.section, case.case, known)

    async def _clean(self, case: Case, placeholders: Placeholders) -> None:
        """Remove the keys and sessions of a case. A data set stays: the protocol cannot remove it."""
        names = placeholders.shared_names(case)
        with contextlib.suppress(ConnectError):
            await self._remove(names, placeholders)

    async def _remove(self, names: Sequence[str], placeholders: Placeholders) -> None:
        async with conversation(self._target) as talk:
            if names:
                await talk.ask(json.dumps({"KV_RMV": {"keys": names}}))
            for tkn in placeholders.tokens:
                await talk.ask(json.dumps({"SH_END": {"tkn": tkn}}))


async def _asked(talk: Conversation, step: Step, sent: str) -> Any:
    if step.binary:
        await talk.send_binary(sent.encode())
        return await talk.answer()
    return await talk.ask(sent)


def _way(step: Step, answer: object, placeholders: Placeholders) -> Outcome:
    """Return which of the known answers this is; `FAILED` for any other answer."""
    if placeholders.matches(step.recv, answer):
        return Outcome.AS_NEMESISDB
    if step.ours is not None and placeholders.matches(step.ours, answer):
        return Outcome.AS_NDB_MODELS
    return Outcome.FAILED


def _differing(case: Case, placeholders: Placeholders, number: int, step: Step, answer: object) -> Result:
    """Return the result of a case with an answer that is not among the known ones."""
    status = parts_of(answer)[1].get("st")
    if status == Status.COMMAND_DISABLED:
        return Result(case.section, case.case, Outcome.SKIPPED, (_DISABLED,))
    if case.section is Section.EXTENSIONS and status == Status.COMMAND_NOT_EXIST:
        return Result(case.section, case.case, Outcome.SKIPPED, (_ABSENT,))
    outcome = Outcome.OTHERWISE if case.section is Section.ODDITIES else Outcome.FAILED
    expected: Answer = step.recv
    shown = NO_ANSWER if answer is None else answer
    return Result(case.section, case.case, outcome, tuple(difference(placeholders, number, step.send, expected, shown)))
