"""The verbs that report events of sessions: hooks on a repository's own acts, and waiting for an end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from ndb_models import clocks
from ndb_models.clocks import monotonic_clock
from ndb_models.errors import InvalidArgumentError
from ndb_models.repository.core_verbs import CoreVerbs
from ndb_models.repository.hooks import Hook, HookFunction
from ndb_models.repository.session_end import SessionEnd
from ndb_models.repository.stored_state import known
from ndb_models.repository.watching import Interval, SessionWatch
from ndb_models.schema.model import SessionModel
from ndb_models.sessions.polling import check_interval
from ndb_models.sessions.writing import check_token
from ndb_models.types import Clock, SessionToken

M = TypeVar("M", bound=SessionModel)
R = TypeVar("R", bound="Awaitable[object] | None")

_POLL: Final = 1.0


class HookVerbs(CoreVerbs[M]):
    """The verbs of a `Repository` for hooks and watches.

    A hook is a function, or an asynchronous one, that is called after an act of this repository: after the server has
    acknowledged the act, and before the verb returns. `docs/hooks.md` lists the acts of each verb.

    Hooks run in the order of their registration. An act is told once to each. The acts on one session are told in
    order, also if many tasks act on it. A verb waits for the hooks of its acts, and is as slow as they are. If it is
    cancelled meanwhile, the act is done and the hooks go on. An act with an unknown outcome, such as one whose
    connection was lost, is not told.

    An `Exception` in a hook is logged, without its message, and changes nothing. A hook may use the repository. It is
    not told of acts that it makes itself. Verbs that it calls do not wait for hooks.
    """

    _watch: SessionWatch | None = None

    def on_created(self, hook: Callable[[M], R]) -> Callable[[M], R]:
        """Call `hook` with each new session: the model that `create` or `save` returns. Returns the function.

            @repo.on_created
            async def audit(session: UserSession) -> None: ...

        Registering a function twice has no effect.

        Raises:
            InvalidArgumentError: it is no function, or takes other arguments.
        """
        self._telling.created = _with(self._telling.created, "on_created", hook)
        return hook

    def on_changed(self, hook: Callable[[M, frozenset[str]], R]) -> Callable[[M, frozenset[str]], R]:
        """Call `hook` with each changed session, and the names of the fields that this act changed.

        The model is the one that the verb returns. Extending, renewing and upgrading a session is no change of fields.
        Otherwise as `on_created`.
        """
        self._telling.changed = _with(self._telling.changed, "on_changed", hook)
        return hook

    def on_ended(self, hook: Callable[[SessionEnd], R]) -> Callable[[SessionEnd], R]:
        """Call `hook` with the end of each session that this repository ends, or finds expired. Returns the function.

        Otherwise as `on_created`. The end has the token and the reason, and no model: keep what you need by the token.
        The store keeps the idle time. So an end by it is told only if `ended` watches the session.
        """
        self._telling.ended = _with(self._telling.ended, "on_ended", hook)
        return hook

    def remove_hook(self, hook: Callable[..., object]) -> bool:
        """Call a function no more that was registered as a hook of any kind. Return False if it was not.

        Hooks that are running go on, and acts that wait for their turn are still told.
        """
        telling = self._telling
        before = telling.created, telling.changed, telling.ended
        telling.created, telling.changed, telling.ended = (
            tuple([each for each in hooks if each.function != hook]) for hooks in before
        )
        return before != (telling.created, telling.changed, telling.ended)

    async def ended(
        self,
        *sessions: M | SessionToken,
        poll: float = _POLL,
        clock: Clock = monotonic_clock,
        sleep: Callable[[float], Awaitable[object]] = clocks.sleep,
    ) -> SessionEnd:
        """Wait until one of these sessions has ended, whoever ends it, and return its end.

            end = await repo.ended(session)
            await websocket.close(4401, end.reason)

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
        check_interval("poll=", poll)
        if not sessions:
            raise InvalidArgumentError("ended() takes at least one session: await repo.ended(session)")
        deadlines: dict[SessionToken, int | None] = {}
        for session in sessions:
            if isinstance(session, SessionModel):
                stored = known(self._checked(session))
                deadlines[stored.tkn] = stored.deadline
            else:
                check_token(session)
                deadlines.setdefault(session, None)
        if self._watch is None:
            self._watch = SessionWatch(self._client, self._access, self._name, self._telling)
        return await self._watch.first_end(deadlines, Interval(poll, clock, sleep))


def _with(hooks: tuple[Hook, ...], kind: str, function: HookFunction) -> tuple[Hook, ...]:
    """Return hooks with one more, unless it is among them."""
    hook = Hook(kind, function)
    return hooks if any(each.function == function for each in hooks) else (*hooks, hook)
