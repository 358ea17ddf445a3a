"""The engine: the bytes of one frame in, the bytes of its answer out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from ndb_models.engine.context import OK, AnyCall, Body, Context, EngineLimits, size_of
from ndb_models.engine.datasets import DataSets
from ndb_models.engine.handlers import HANDLERS, expiry_settings, scope_of
from ndb_models.engine.requests import Call, RefusedError, parse, parsing
from ndb_models.engine.tally import Tally
from ndb_models.engine.typed_requests import typed_call
from ndb_models.errors import StoreError
from ndb_models.stores.contract import (
    SHARED,
    ImmediateVerbs,
    Limit,
    LimitError,
    Scope,
    Statistics,
    Store,
    UnknownSessionError,
)
from ndb_models.texts import ObjectText
from ndb_models.turns import in_turns, next_turn
from ndb_models.types import SessionToken
from ndb_models.uncopyable import Uncopyable
from ndb_models.wire.commands import COMMANDS, TOKEN, UNKNOWN_COMMAND, Command
from ndb_models.wire.prepared import Prepared
from ndb_models.wire.statuses import Status
from ndb_models.wire.strict_json import MAX_NESTING

_SH_EXISTS: Final = COMMANDS["SH_EXISTS"]
_SH_GET: Final = COMMANDS["SH_GET"]
_SH_NEW_SET: Final = COMMANDS["SH_NEW_SET"]

_KEYS_END: Final = b',"st":%d}}' % Status.OK

# Looked up once, because finding a member of an enum is slow.
_NO_SESSION: Final = Status.SESSION_NOT_EXIST

# Bytes of a frame. Reading a larger one may take longer than a turn.
_LARGE: Final = 32 * 1024

_logger = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode


def refusal(name: str, status: Status, message: str = "") -> bytes:
    """Return the answer to a refused request. `name` is the name of the command, or `UNKNOWN_COMMAND`."""
    if name == UNKNOWN_COMMAND:
        return _encode({UNKNOWN_COMMAND: {"m": message, "st": status}})
    return _encode({f"{name}_RSP": {"m": message, "st": status, TOKEN: None}})


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


class _Failure(msgspec.Struct, frozen=True, gc=False):
    """A failed request: the status and the message for the client."""

    status: Status
    message: str = ""


_NO_SUCH_SESSION: Final = _Failure(_NO_SESSION)
_NO_MEMORY: Final = "there is not enough memory for this request now"


def _misses(call: Call, outcome: Body | _Failure) -> int:
    """Return the number of unknown tokens: among the integers of `SH_EXISTS`, else 1 if the session is unknown."""
    if isinstance(outcome, _Failure):
        return int(outcome.status is _NO_SESSION)
    if call.command is _SH_EXISTS:
        return [*map(type, call.body["tkns"])].count(int) - len(outcome["exist"])
    return int(outcome["st"] is _NO_SESSION)


def _may_be_told(misses: int, on_miss: OnMiss | None) -> bool:
    return not misses or on_miss is None or on_miss(misses)


class Immediate:
    """`SH_GET` and `SH_NEW_SET` for callers in this process, done at once: without a request and without waiting.

    Callers must make sure that the parameters fit the commands and the values are JSON.
    """

    def __init__(self, store: ImmediateVerbs) -> None:
        self._get = store.get_now
        self._create = store.create_now

    def read(self, tkn: SessionToken, names: tuple[str, ...], most: int | None = None) -> ObjectText | None:
        """Return the keys with these names; None if the session does not exist, or the keys are too large together.

        `most` is in bytes; None is no limit. It holds for several keys that are not one text already.
        """
        try:
            keys = self._get(tkn, names)
        except UnknownSessionError:
            return None
        if type(keys) is ObjectText:
            return keys
        if most is not None and len(keys) > 1 and size_of(keys) > most:
            return None
        return ObjectText.joined(keys)

    def create(self, tkn: SessionToken, expiry: Mapping[str, Any] | None, keys: ObjectText) -> bool:
        """Create a session with these keys. Return False if it exists or there is no room. A request tells which."""
        try:
            return self._create(tkn, expiry_settings(expiry), keys)
        except LimitError:
            return False


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
        tally: the number of answers to frames, by command and status.
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
        self.tally: Tally = Tally()
        self._store = store
        self._raise_store_errors = raise_store_errors
        self._max_nesting = min(max_nesting, MAX_NESTING)
        # Absolute, because the working directory may change.
        folder = None if persist_path is None else persist_path.absolute()
        self._context = Context(store, DataSets(store, folder), limits or EngineLimits())
        self._immediate = Immediate(store.immediate) if store.immediate is not None else None

    async def handle(self, frame: bytes, *, admin: bool = True) -> bytes:
        """Return the answer to the text frame of one request. Every frame has an answer.

        If the store does not wait, this waits only for data sets and for long work, which runs in turns. `admin` is
        True if the client may use the commands for admins.

        Raises:
            StoreError: the store failed, and the engine has `raise_store_errors`.
        """
        begun = self.begin(frame, admin)
        return begun if isinstance(begun, bytes) else await begun

    def begin(
        self, frame: bytes, admin: bool = True, on_miss: OnMiss | None = None
    ) -> bytes | Coroutine[Any, Any, bytes]:
        """Work as `handle`, but return the answer itself if it is known at once, otherwise a coroutine for it.

        `on_miss` is called with the number of unknown tokens in the request, if there are any. If it returns False,
        the answer has status 14, which reveals no sessions to the client.
        """
        if len(frame) > _LARGE:
            return self._handle_large(frame, admin=admin, on_miss=on_miss)
        try:
            call = typed_call(frame, self._max_nesting)
            if call is None:
                call = parse(frame, self._max_nesting)
            elif self._immediate is not None:
                try:
                    answer = self._answer_now(call, self._immediate)
                except MemoryError:
                    return self._out_of_memory(call.command.name)
                except Exception:
                    _logger.exception("%s failed", call.command.name)
                    return self._refuse(call.command.name, Status.UNKNOWN)
                if answer is not None:
                    return answer
        except (RefusedError, MemoryError) as exc:
            return self._refuse_unread(exc)
        return self._carry_out(call, admin, on_miss)

    async def _handle_large(self, frame: bytes, *, admin: bool, on_miss: OnMiss | None) -> bytes:
        """Work as `handle`, and read the frame in turns."""
        await next_turn()  # several connections may have read a large frame
        try:
            call = await in_turns(parsing(frame, self._max_nesting, self._context.limits.paths.containers))
            await asyncio.sleep(0)  # carrying out the call may take a turn of its own
        except (RefusedError, MemoryError) as exc:
            return self._refuse_unread(exc)
        return await self._carry_out(call, admin, on_miss)

    def _refuse_unread(self, failure: RefusedError | MemoryError) -> bytes:
        """Answer a frame that could not be read."""
        if isinstance(failure, MemoryError):
            return self._out_of_memory(UNKNOWN_COMMAND)
        return self._refuse(failure.name, failure.status, failure.message)

    async def _carry_out(self, call: Call, admin: bool, on_miss: OnMiss | None) -> bytes:
        command = call.command
        if command.for_admins and not admin:
            return self._refuse(command.name, Status.COMMAND_DISABLED, "this command is for admins")
        try:
            outcome = await self._execute(call, scope_of(call))
        except RefusedError as exc:
            outcome = _Failure(exc.status, exc.message)
        if outcome is OK:
            self.tally.succeeded[command.name] += 1
            return command.bare_success
        if not _may_be_told(_misses(call, outcome), on_miss):
            return self._refuse(command.name, Status.COMMAND_DISABLED, _TOO_MANY_MISSES)
        if isinstance(outcome, _Failure):
            return self._refuse(command.name, outcome.status, outcome.message)
        return self._answer(command, outcome)

    async def _execute(self, call: AnyCall, scope: Scope) -> Body | _Failure:
        """Carry out a command; return its answer or its failure. Only this method maps errors to statuses."""
        name = call.command.name
        try:
            return await HANDLERS[name](self._context, scope, call)
        except UnknownSessionError:
            return _NO_SUCH_SESSION
        except RefusedError as exc:
            return _Failure(exc.status, exc.message)
        except LimitError as exc:
            return _Failure(_FULL[exc.limit], str(exc))
        except StoreError as exc:
            return _Failure(Status.UNKNOWN, self._reason(name, exc))
        except MemoryError:
            return _Failure(Status.UNKNOWN, _NO_MEMORY)
        except Exception:
            _logger.exception("%s failed", name)
            return _Failure(Status.UNKNOWN)

    def _answer(self, command: Command, body: Body) -> bytes:
        """Return the answer with this body, and count it."""
        keys, status = body.get("keys"), body["st"]
        if type(keys) is ObjectText:  # such an answer has only keys and a status
            answer = b'%b{"keys":%b,"st":%d}}' % (command.answer_start, keys.text, status)
        else:
            answer = _encode({command.answer_name: body})
        if status is command.success:
            self.tally.succeeded[command.name] += 1
        else:
            self.tally.note_refusal(command.name, status)
        return answer

    def _answer_now(self, call: Call, immediate: Immediate) -> bytes | None:
        """Answer a frequent command if it succeeds. Otherwise change no key, and return None to try it as usual."""
        command = call.command
        if command is _SH_GET:
            keys = immediate.read(call.body[TOKEN], call.body["keys"], self._context.limits.answer)
            if keys is None:
                return None
            self.tally.succeeded[command.name] += 1
            return b'%b{"keys":%b%b' % (command.answer_start, keys.text, _KEYS_END)
        if command is _SH_NEW_SET and immediate.create(call.body[TOKEN], call.body.get("expiry"), call.values):
            self.tally.succeeded[command.name] += 1
            return command.bare_success
        return None

    def _out_of_memory(self, name: str) -> bytes:
        """Answer a request that ran out of memory. The memory that it held is freed with the error."""
        return self._refuse(name, Status.UNKNOWN, _NO_MEMORY)

    def _refuse(self, name: str, status: Status, message: str = "") -> bytes:
        self.tally.note_refusal(name, status)
        return refusal(name, status, message)

    async def perform(self, prepared: Prepared) -> Mapping[str, Any]:
        """Carry out a command without frames; return the body of the answer, with values as text.

        For callers in this process. They must make sure that the parameters fit the command and the values are JSON.
        """
        outcome = await self._execute(prepared, prepared.tkn if prepared.command.of_session else SHARED)
        return {"m": outcome.message, "st": outcome.status} if isinstance(outcome, _Failure) else outcome

    @property
    def immediate(self) -> Immediate | None:
        """The most frequent commands, without waiting; None if the store has to wait."""
        return self._immediate

    def _reason(self, command: str, failure: StoreError) -> str:
        """Log a failure and return the reason without the store's place, or raise it with `raise_store_errors`."""
        if self._raise_store_errors:
            raise failure
        _logger.error("%s failed: %s", command, failure)
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
