"""The engine: the bytes of one frame in, the bytes of its answer out."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from ndb_models.beginning import begun
from ndb_models.command_purposes import described_request
from ndb_models.engine.answer_counts import AnswerCounts
from ndb_models.engine.context import DONE, OK, AnyRequest, Body, Context, EngineLimits, too_large
from ndb_models.engine.datasets import DataSets
from ndb_models.engine.handlers import ACTIONS, HANDLERS, Action, unknown_session
from ndb_models.engine.requests import RefusedError, Request, parse, parsing
from ndb_models.engine.typed_requests import typed_request
from ndb_models.errors import StoreError
from ndb_models.json_text import ObjectText
from ndb_models.protocol.commands import COMMANDS, MAYBE_DONE, TOKEN, UNKNOWN_COMMAND
from ndb_models.protocol.statuses import Status
from ndb_models.stores.contract import Limit, LimitError, Statistics, Store, TooLargeError, UnknownSessionError
from ndb_models.strict_json import MAX_NESTING
from ndb_models.turns import in_turns, next_turn
from ndb_models.uncopyable import Uncopyable

_SH_EXISTS: Final = COMMANDS["SH_EXISTS"]
# Looked up once, because finding a member of an enum is slow.
_OK: Final = Status.OK
_NO_SESSION: Final = Status.SESSION_NOT_EXIST

# Bytes of a frame. Reading a larger one may take longer than a turn.
_LARGE: Final = 32 * 1024

_logger = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode


def refusal(name: str, status: Status, message: str = "", *, maybe_done: bool = False) -> bytes:
    """Return the answer to a refused request. `name` is the name of the command, or `UNKNOWN_COMMAND`."""
    if name == UNKNOWN_COMMAND:
        return _encode({UNKNOWN_COMMAND: {"m": message, "st": status}})
    further = {MAYBE_DONE: True} if maybe_done else {}
    return _encode({f"{name}_RSP": {"m": message, "st": status, TOKEN: None, **further}})


_FULL: Final[Mapping[Limit, Status]] = {
    Limit.SESSIONS: Status.SESSION_NEW_FAIL,
    Limit.KEYS: Status.VALUE_SIZE,
    Limit.BYTES: Status.VALUE_SIZE,
}
"""The status of the answer when a change would exceed a limit of the store."""

BINARY_FRAME: Final = refusal(UNKNOWN_COMMAND, Status.OP_CODE_INVALID, "requests are text frames")
"""The answer to a binary frame."""


OnMiss: TypeAlias = Callable[[int], bool]
"""Takes the number of unknown tokens in a request. Returns False if the client must not learn the answer."""

_TOO_MANY_MISSES: Final = "too many tokens of sessions that do not exist: the server closes this connection"


class RefusedBody(dict[str, Any]):
    """The body of the answer to a request that failed: the status `st`, a message `m`, and `maybeDone` if so."""


_NO_MEMORY: Final = "there is not enough memory for this request now"


def _refusal(status: Status, message: str = "") -> RefusedBody:
    return RefusedBody(m=message, st=status)


_UNKNOWN_SESSION: Final = _refusal(_NO_SESSION)
"""The answer to most requests about a session that does not exist. Like `OK`, it is not to be changed."""


def _misses(request: Request, body: Body) -> int:
    """Return the number of unknown tokens: among the integers of `SH_EXISTS`, else 1 if the session is unknown."""
    if request.command is _SH_EXISTS and "exist" in body:
        return [*map(type, request.body["tkns"])].count(int) - len(body["exist"])
    return int(body["st"] is _NO_SESSION)


class Engine(Uncopyable):
    """Answers requests from a store.

    Args:
        store: where the keys live.
        persist_path: the directory for data sets (`*_SAVE`, `*_LOAD`), which must exist; None for no data sets.
        raise_store_errors: raise the `StoreError` of a failing store. This is for callers in this process, which may
            see everything. Otherwise it is logged, and the answer has status 1000 and the reason.
        max_nesting: the levels of arrays and objects that a frame may nest, at most `MAX_NESTING`.
        limits: the limits on the cost of one request.

    Attributes:
        answer_counts: the number of answers to frames, by command and status.
    """

    def __init__(
        self,
        store: Store,
        *,
        persist_path: Path | None = None,
        raise_store_errors: bool = False,
        max_nesting: int = MAX_NESTING,
        limits: EngineLimits | None = None,
    ) -> None:
        self.answer_counts: AnswerCounts = AnswerCounts()
        self._store = store
        self._raise_store_errors = raise_store_errors
        self._max_nesting = min(max_nesting, MAX_NESTING)
        # Absolute, because the working directory may change.
        folder = None if persist_path is None else persist_path.absolute()
        self._context = Context(store, DataSets(store, folder), limits or EngineLimits())
        self._verbs = store.verbs
        self._most = self._context.limits.most

    @property
    def store(self) -> Store:
        """The store, for those who look at sessions without a request."""
        return self._store

    async def handle(self, frame: bytes, *, admin: bool = True) -> bytes:
        """Return the answer to the text frame of one request. Every frame has an answer.

        If the store does not wait, this waits only for data sets and for long work, which runs in turns. `admin` is
        True if the client may use the commands for admins.

        Raises:
            StoreError: the store failed, and the engine has `raise_store_errors`.
        """
        answer = self.begin(frame, admin)
        return answer if isinstance(answer, bytes) else await answer

    def begin(
        self, frame: bytes, admin: bool = True, on_miss: OnMiss | None = None
    ) -> bytes | Coroutine[Any, Any, bytes]:
        """Work as `handle`, but return the answer itself if it is known at once, otherwise a coroutine for it.

        `on_miss` is called with the number of unknown tokens in the request, if there are any. If it returns False,
        the answer has status 14, which reveals no sessions to the client.
        """
        if len(frame) > _LARGE:
            return self._handle_large(frame, admin, on_miss)
        try:
            request = typed_request(frame, self._max_nesting) or parse(frame, self._max_nesting)
        except (RefusedError, MemoryError) as exc:
            return self._refuse_unread(exc)
        return self._carry_out(request, admin, on_miss)

    async def _handle_large(self, frame: bytes, admin: bool, on_miss: OnMiss | None) -> bytes:
        """Work as `handle`, and read the frame in turns."""
        await next_turn()  # several connections may have read a large frame
        try:
            request = await in_turns(parsing(frame, self._max_nesting, self._context.limits.paths.containers))
            await next_turn()  # carrying out the request may take a turn of its own
        except (RefusedError, MemoryError) as exc:
            return self._refuse_unread(exc)
        answer = self._carry_out(request, admin, on_miss)
        return answer if isinstance(answer, bytes) else await answer

    def _refuse_unread(self, failure: RefusedError | MemoryError) -> bytes:
        """Answer a frame that could not be read."""
        if isinstance(failure, MemoryError):
            return self._refuse(UNKNOWN_COMMAND, Status.UNKNOWN, _NO_MEMORY)
        return self._refuse(failure.name, failure.status, failure.message)

    def _carry_out(self, request: Request, admin: bool, on_miss: OnMiss | None) -> bytes | Coroutine[Any, Any, bytes]:
        command = request.command
        if command.for_admins and not admin:
            return self._refuse(command.name, Status.COMMAND_DISABLED, "this command is for admins")
        if command.of_session and request.tkn is None:
            return self._answer(request, _UNKNOWN_SESSION, on_miss)
        body = self.perform(request)
        if isinstance(body, dict):
            return self._answer(request, body, on_miss)
        return self._answer_later(request, body, on_miss)

    async def _answer_later(self, request: Request, performing: Awaitable[Body], on_miss: OnMiss | None) -> bytes:
        return self._answer(request, await performing, on_miss)

    def _answer(self, request: Request, body: Body, on_miss: OnMiss | None) -> bytes:
        """Return the answer with this body, and count it."""
        command = request.command
        if body is OK:
            self.answer_counts.succeeded[command.name] += 1
            return command.bare_success
        if body is DONE:
            self.answer_counts.succeeded[command.name] += 1
            return command.done_success
        if on_miss is not None and (misses := _misses(request, body)) and not on_miss(misses):
            return self._refuse(command.name, Status.COMMAND_DISABLED, _TOO_MANY_MISSES)
        if type(body) is RefusedBody:
            return self._refuse(command.name, body["st"], body["m"], maybe_done=MAYBE_DONE in body)
        keys, status = body.get("keys"), body["st"]
        if type(keys) is ObjectText:  # such an answer has only keys and a status
            answer = b'%b{"keys":%b,"st":%d}}' % (command.answer_start, keys.text, status)
        else:
            answer = _encode({command.answer_name: body})
        if status is command.success:
            self.answer_counts.succeeded[command.name] += 1
        else:
            self.answer_counts.note_refusal(command.name, status)
        return answer

    def _refuse(self, name: str, status: Status, message: str = "", *, maybe_done: bool = False) -> bytes:
        self.answer_counts.note_refusal(name, status)
        return refusal(name, status, message, maybe_done=maybe_done)

    def perform(self, request: AnyRequest) -> Body | Coroutine[Any, Any, Body]:
        """Carry out a request; return the body of its answer, or a coroutine for it if that takes waiting.

        Values stay texts. A failure is a `RefusedBody`. Callers in this process must make sure that the parameters fit
        the command and the values are JSON.
        """
        action = ACTIONS.get(request.command.name)
        try:
            if action is None:
                return self._handle_other(request)
            if self._verbs is None:
                return self._answered(request, self._begin(action, request), action)
            result = action.verb(self._verbs, request, self._most)
            if action.answer is not None:  # as `Action.body`, without a call
                return action.answer(request, result, self._most)
            if result is True:
                return DONE
            return {action.member: result, "st": _OK} if action.member else OK
        except Exception as exc:  # noqa: BLE001 - every failure is an answer
            return self._failed(request, exc)

    def _handle_other(self, request: AnyRequest) -> Body | Coroutine[Any, Any, Body]:
        """Carry out a request that is not one verb of the store."""
        handled = HANDLERS[request.command.name](self._context, request)
        if isinstance(handled, dict):
            return handled
        performing = self._answered(request, handled)
        may_wait = self._verbs is None or request.command.may_take_long
        return performing if may_wait else begun(performing)

    def _begin(self, action: Action, request: AnyRequest) -> Awaitable[Any]:
        """Hand an action to a store that waits; return an awaitable for the verb's result."""
        carry_out = self._store.write if action.writes else self._store.read
        return carry_out(lambda verbs: action.verb(verbs, request, self._most))

    async def _answered(self, request: AnyRequest, performing: Awaitable[Any], action: Action | None = None) -> Body:
        """Return the body of the answer. It is awaited, or made by an action of a result that is awaited."""
        try:
            result = await performing
            return result if action is None else action.body(request, result, self._most)
        except Exception as exc:  # noqa: BLE001 - every failure is an answer
            return self._failed(request, exc)

    def _failed(self, request: AnyRequest, failure: Exception) -> Body:
        """Return the answer to a request that failed. Only this method maps errors to statuses."""
        name = request.command.name
        match failure:
            case UnknownSessionError():
                return unknown_session(request) if name == "SH_INFO" else _UNKNOWN_SESSION
            case RefusedError():
                return _refusal(failure.status, failure.message)
            case TooLargeError():
                refused = too_large(name, failure.most)
                return _refusal(refused.status, refused.message)
            case LimitError():
                return _refusal(_FULL[failure.limit], str(failure))
            case StoreError():
                body = _refusal(Status.UNKNOWN, self._reason(name, failure))
                if failure.maybe_done:
                    body[MAYBE_DONE] = True
                return body
            case MemoryError():
                return _refusal(Status.UNKNOWN, _NO_MEMORY)
            case _:
                _logger.error("%s failed", described_request(name), exc_info=failure)
                return _refusal(Status.UNKNOWN)

    def _reason(self, command: str, failure: StoreError) -> str:
        """Log a failure and return the reason without the store's place, or raise it with `raise_store_errors`."""
        if self._raise_store_errors:
            raise failure
        _logger.error("%s failed: %s", described_request(command), failure)
        return failure.reason

    async def load(self, name: str, directory: Path) -> tuple[int, int]:
        """Load a data set of keys or of sessions; return the numbers of sessions and keys loaded.

        Raises:
            DataSetError: the directory has no data set of this name, or it is incomplete or damaged, or the store has
                no room for it. The store is unchanged.
        """
        return await DataSets(self._store, directory).restore(name)

    async def statistics(self) -> Statistics:
        """Return the store's figures. This may take as long as a visit to every session."""
        return await self._store.statistics()

    async def check(self) -> None:
        """Return if the store is reliable. See `Store.check`.

        Raises:
            StoreError: it is not; the reason is for operators.
        """
        await self._store.check()

    async def sweep(self) -> None:
        """Free the room that expired sessions occupy."""
        await self._store.sweep()

    async def aclose(self) -> None:
        """Close the store. Closing twice does no harm."""
        await self._store.aclose()
