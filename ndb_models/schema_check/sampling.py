"""Read live sessions and judge them by the code at hand. Read-only: nothing is written, ended or extended."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from ndb_models.client import NdbClient
from ndb_models.client.requester import failure
from ndb_models.client.sessions import MAX_LISTED
from ndb_models.clocks import wall_clock
from ndb_models.errors import InvalidArgumentError, NdbError, ResponseError, UnsupportedError
from ndb_models.json_text import ObjectText
from ndb_models.protocol.commands import COMMANDS
from ndb_models.protocol.prepared import Parameters, Prepared, reading_answer
from ndb_models.protocol.statuses import OK_STATUS, Status
from ndb_models.schema.envelope import RESERVED_KEY, Envelope
from ndb_models.schema.lifetime import Timer, exceeds
from ndb_models.schema.model import SessionModel
from ndb_models.schema.registry import stored_schema_name
from ndb_models.schema_check.drawing import MAX_DRAWN, Drawing
from ndb_models.schema_check.judging_stored import Judged, StoredJudge, is_shortened, readability_of_version
from ndb_models.schema_check.sample_report import SampleReport
from ndb_models.sessions.bulk import in_bulk
from ndb_models.sessions.reading import Mismatch, Read, judged
from ndb_models.sessions.splitting import split_names
from ndb_models.types import Clock, JsonValue, SessionToken

_SH_PEEK: Final = COMMANDS["SH_PEEK"]

# Sessions that are listed, or read, between two reports of the progress.
_TOGETHER: Final = MAX_LISTED // 8


class SampleProgress(NamedTuple):
    """How far a sample is.

    Attributes:
        listed: sessions listed, of any schema.
        sessions: all sessions, as there were at the beginning; None if that is not known.
        judged: sessions judged.
        to_judge: sessions to be judged; None while that is not known.
    """

    listed: int
    sessions: int | None
    judged: int
    to_judge: int | None


async def sample_sessions(
    client: NdbClient,
    models: Sequence[type[SessionModel]],
    *,
    limit: int | None = 1000,
    namespace: str | None = None,
    report: Callable[[SampleProgress], None] = lambda _: None,
    clock: Clock = wall_clock,
) -> list[SampleReport]:
    """Read live sessions of each model, and report how the code at hand reads them.

    All sessions of the store are listed, by their reserved keys alone: so the stored versions are counted exactly. Of
    each model, `limit` sessions are then drawn at random, evenly from its stored versions, and read whole. Upgrades
    and validators run on them; nothing is written, ended or extended. Memory is bounded by the limit. Others may use
    the store meanwhile: a session that has ended is counted as gone.

    Args:
        client: an open client.
        models: the classes.
        limit: the most sessions of each class that are read; None for all.
        namespace: as of `Repository`.
        report: called after each part.
        clock: the time in seconds.

    Raises:
        InvalidArgumentError: the limit is out of range.
        SchemaError: a class lacks a step of its upgrades.
        UnsupportedError: the server is a NemesisDB, which cannot list sessions.
        ResponseError: the client's token is for data alone. A list shows tokens, so it is for admins.
    """
    if limit is not None and not 1 <= limit <= MAX_DRAWN:
        raise InvalidArgumentError(f"a sample has 1 to {MAX_DRAWN} sessions")
    return await _Sampling(client, models, limit, namespace, report, clock).run()


class _Sampled:
    """One class, while its sessions are sampled."""

    def __init__(self, model: type[SessionModel], limit: int | None, namespace: str | None) -> None:
        self.options = model.session_options
        self.judge = StoredJudge(model)
        self.drawing = None if limit is None else Drawing(limit)
        schema = stored_schema_name(model, namespace)
        self.report = SampleReport(schema, model.__name__, self.options.version, limit is not None)

    def note(self, tkn: SessionToken, reserved: dict[str, JsonValue]) -> bool:
        """Count a listed session. Return True if it is to be read now."""
        version = reserved.get("version")
        if type(version) is not int:
            return False
        if reserved.get("tkn") != tkn:
            self.report.incomplete += 1
            return False
        self.report.versions[version] += 1
        refused = readability_of_version(version, self.options.upgrades)
        if refused is not None:
            self.report.add(version, Judged(refused))
            return False
        if self.drawing is None:
            return True
        self.drawing.offer(version, tkn)
        return False


class _Sampling:
    def __init__(
        self,
        client: NdbClient,
        models: Iterable[type[SessionModel]],
        limit: int | None,
        namespace: str | None,
        report: Callable[[SampleProgress], None],
        clock: Clock,
    ) -> None:
        self._client = client
        self._tell = report
        self._clock = clock
        self._sampled = {each.report.schema: each for each in (_Sampled(model, limit, namespace) for model in models)}
        self._listed = 0
        self._sessions: int | None = None
        self._judged = 0
        self._to_judge: int | None = None

    async def run(self) -> list[SampleReport]:
        total = (await self._client.sh_info_all()).get("totalSessions")
        self._sessions = total if isinstance(total, int) else None
        async for page in self._pages():
            for sampled, tkns in self._divided(page).items():
                await self._judge_all(sampled, tkns)
            self._told()
        drawn = [(each, [*each.drawing.sample()]) for each in self._sampled.values() if each.drawing is not None]
        self._to_judge = self._judged + sum(len(tkns) for _, tkns in drawn)
        for sampled, tkns in drawn:
            for start in range(0, len(tkns), _TOGETHER):
                await self._judge_all(sampled, tkns[start : start + _TOGETHER])
                self._told()
        return [each.report for each in self._sampled.values()]

    def _told(self) -> None:
        self._tell(SampleProgress(self._listed, self._sessions, self._judged, self._to_judge))

    async def _pages(self) -> AsyncIterator[dict[SessionToken, JsonValue]]:
        after = None
        while True:
            try:
                page = await self._client.sh_list(RESERVED_KEY, after, _TOGETHER)
            except UnsupportedError as exc:
                raise UnsupportedError("schema sample", f"it lists the server's sessions, and {exc.why}") from exc
            self._listed += len(page.values)
            yield page.values
            after = page.next
            if after is None:
                return

    def _divided(self, page: dict[SessionToken, JsonValue]) -> dict[_Sampled, list[SessionToken]]:
        """Count the sessions of a page, and return those to be read now, by their class."""
        divided: dict[_Sampled, list[SessionToken]] = {}
        for tkn, reserved in page.items():
            schema = reserved.get("schema") if isinstance(reserved, dict) else None
            sampled = self._sampled.get(schema) if isinstance(schema, str) else None
            if sampled is not None and isinstance(reserved, dict) and sampled.note(tkn, reserved):
                divided.setdefault(sampled, []).append(tkn)
        return divided

    async def _judge_all(self, sampled: _Sampled, tkns: Sequence[SessionToken]) -> None:
        async def judge(tkn: SessionToken) -> None:
            await self._judge(sampled, tkn)

        for failed in await in_bulk(judge, tkns, None):
            if isinstance(failed, NdbError):
                raise failed
        self._judged += len(tkns)

    async def _judge(self, sampled: _Sampled, tkn: SessionToken) -> None:
        found = await self._judged_twice(sampled, tkn)
        if found is None:
            sampled.report.gone += 1
            return
        envelope, verdict = found
        sampled.report.add(envelope.version, verdict)
        if await self._is_shortened(tkn, envelope, sampled):
            sampled.report.shortened += 1

    async def _judged_twice(self, sampled: _Sampled, tkn: SessionToken) -> tuple[Envelope, Judged] | None:
        """Return the verdict on a session; None if it has ended. A broken one is read again: others may write it."""
        before = None
        while True:
            whole = await self._look(tkn, sampled.report.schema)
            if whole is None or whole.envelope is None:
                return None
            verdict = sampled.judge.judge(tkn, whole)
            if not verdict.readability.is_broken or whole == before:
                return whole.envelope, verdict
            before = whole

    async def _look(self, tkn: SessionToken, schema: str) -> Read | None:
        """Return all keys of a session without extending it; None if it has ended or become another's."""
        try:
            names = tuple(name for name in await self._client.sh_keys(tkn) if name != RESERVED_KEY)
            keys: dict[str, bytes] = {}
            for part in split_names(_SH_PEEK, names, RESERVED_KEY, self._client.max_payload):
                keys |= await self._peek(tkn, part)
        except ResponseError as exc:
            _pass_over_ended(exc)
            return None
        found = judged(ObjectText.joined(keys), tkn, schema, foreign=False)
        return None if isinstance(found, Mismatch) else found

    async def _peek(self, tkn: SessionToken, names: tuple[str, ...]) -> Mapping[str, bytes]:
        answer: Any = await self._client.perform(Prepared(_SH_PEEK, tkn, Parameters(keys=names)))
        if answer["st"] != OK_STATUS:
            raise failure(_SH_PEEK, answer)
        with reading_answer(_SH_PEEK):
            keys: Mapping[str, bytes] = answer["keys"].split()
        return keys

    async def _is_shortened(self, tkn: SessionToken, envelope: Envelope, sampled: _Sampled) -> bool:
        expiry, now = sampled.options.expiry, self._clock() * 1000
        if not exceeds(envelope, expiry, now):
            return False
        try:
            info = await self._client.sh_info(tkn)
        except ResponseError as exc:
            _pass_over_ended(exc)
            return False
        return is_shortened(envelope, Timer.told(info), expiry, now)


def _pass_over_ended(error: ResponseError) -> None:
    """Return if an error says that the session has ended; else raise it."""
    if error.status != Status.SESSION_NOT_EXIST:
        raise error
