"""The verbs for hooks and for waiting for an end, synchronous."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar, cast

from ndb_models import clocks
from ndb_models.clocks import monotonic_clock
from ndb_models.errors import InvalidArgumentError
from ndb_models.repository import SessionEnd
from ndb_models.schema.model import SessionModel
from ndb_models.sync.calls import in_caller
from ndb_models.sync.verb_bases import OfRepository
from ndb_models.types import Clock, SessionToken

M = TypeVar("M", bound=SessionModel)

Hook = Callable[..., None]
LentHook = Callable[..., Awaitable[None]]


class SyncHookVerbs(OfRepository[M]):
    """The verbs of `HookVerbs`, synchronous.

    A hook is called in the thread that made the call, and may make calls itself. If that thread has left, or no call is
    behind the act, it is called in another thread.
    """

    _lent_hooks: tuple[tuple[Hook, LentHook], ...] = ()

    def on_created(self, hook: Callable[[M], None]) -> Callable[[M], None]:
        """Call `hook` with each new session: the model that `create` or `save` returns. Returns the function.

            @repo.on_created
            def audit(session: UserSession) -> None: ...

        Registering a function twice has no effect.

        Raises:
            InvalidArgumentError: it is no function, or takes other arguments.
        """
        self._asynchronous.on_created(self._lent(hook))
        return hook

    def on_changed(self, hook: Callable[[M, frozenset[str]], None]) -> Callable[[M, frozenset[str]], None]:
        """Call `hook` with each changed session, and the names of the fields that this act changed.

        The model is the one that the verb returns. Extending, renewing and upgrading a session is no change of fields.
        Otherwise as `on_created`.
        """
        self._asynchronous.on_changed(self._lent(hook))
        return hook

    def on_ended(self, hook: Callable[[SessionEnd], None]) -> Callable[[SessionEnd], None]:
        """Call `hook` with the end of each session that this repository ends, or finds expired. Returns the function.

        Otherwise as `on_created`. The end has the token and the reason, and no model: keep what you need by the token.
        The store keeps the idle time. So an end by it is told only if `ended` watches the session.
        """
        self._asynchronous.on_ended(self._lent(hook))
        return hook

    def remove_hook(self, hook: Callable[..., object]) -> bool:
        """Call a function no more that was registered as a hook of any kind. Return False if it was not.

        Hooks that are running go on, and acts that wait for their turn are still told.
        """
        removed = [lent for each, lent in self._lent_hooks if each == hook]
        self._lent_hooks = tuple([each for each in self._lent_hooks if each[0] != hook])
        return bool(removed) and self._asynchronous.remove_hook(removed[0])

    def ended(
        self,
        *sessions: M | SessionToken,
        poll: float = 1.0,
        clock: Clock = monotonic_clock,
        sleep: Callable[[float], object] = clocks.block,
    ) -> SessionEnd:
        """Wait until one of these sessions has ended, whoever ends it, and return its end.

            end = repo.ended(session)
            websocket.close(4401, end.reason)

        The store is asked every `poll` seconds. No session is extended by that, and renewing its credential is no end.
        An end by this repository is returned at once. A session that has ended before is returned at once, too; the
        reason is then `"unknown"`.

        The reason is told as far as it can be known. A session that another process has ended or rotated is
        `"deleted"`. A deadline that another process brings forward is noticed when the session would have ended
        otherwise. On a NemesisDB, give the model, which knows its deadline: it cannot be read without extending.

        All calls share the requests: one asks for up to 4,096 sessions, or as many as the server's frame holds. While
        the store gives no answer, no session counts as ended; that is logged once. A cancelled call leaves nothing
        behind. End the calls before the client is closed.

        Args:
            sessions: models that were saved or read, or tokens; at least one.
            poll: seconds between two looks at the store.
            clock: tells the time for `poll`, in seconds.
            sleep: waits for a number of seconds.

        Raises:
            InvalidArgumentError: no session is given, or `poll` is no positive number.
            NotSavedError: a model was never saved.
            WrongSchemaError, ForeignSessionError, IncompleteSessionError: a session cannot be watched here.
            NotConnectedError: the client was closed.
            ResponseError: the server refuses.
        """
        return self._portal.call(
            lambda: self._asynchronous.ended(*sessions, poll=poll, clock=clock, sleep=_asynchronous_sleep(sleep))
        )

    def _lent(self, hook: Hook) -> LentHook:
        """Return the asynchronous function for a hook, the same one each time.

        Raises:
            InvalidArgumentError: the hook is asynchronous.
        """
        for each, lent in self._lent_hooks:
            if each == hook:
                return lent
        if inspect.iscoroutinefunction(hook):
            raise InvalidArgumentError("a hook of a SyncRepository is a plain function: def audit(session): ...")
        given: Any = hook
        if not callable(given) or inspect.isgeneratorfunction(given) or inspect.isasyncgenfunction(given):
            return cast("LentHook", given)  # it is refused as on the asynchronous side

        @wraps(hook)
        async def lent_hook(*arguments: Any) -> None:
            await in_caller(lambda: hook(*arguments))

        self._lent_hooks = (*self._lent_hooks, (hook, lent_hook))
        return lent_hook


@lru_cache
def _asynchronous_sleep(sleep: Callable[[float], object]) -> Callable[[float], Awaitable[object]]:
    """Return the same asynchronous function each time: calls that wait in the same way share their requests."""
    if sleep is clocks.block:
        return clocks.sleep

    async def slept(seconds: float) -> object:
        return await asyncio.to_thread(sleep, seconds)

    return slept
