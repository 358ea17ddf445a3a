"""Hooks: functions that a repository calls after its own acts.

A hook cannot change the act that it is told of. Its exceptions are logged, without values and tokens. A hook is not
told of its own acts, so hooks that act come to an end.
"""

from __future__ import annotations

import inspect
import logging
import traceback
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from typing import Any, Final, TypeAlias

from ndb_models.errors import InvalidArgumentError
from ndb_models.schema.versions import takes

_logger = logging.getLogger(__name__)

HookFunction: TypeAlias = Callable[..., "Awaitable[object] | None"]

# What each kind of hook takes, for errors.
_ARGUMENTS: Final = {"on_created": ("session",), "on_changed": ("session", "fields"), "on_ended": ("end",)}

_RUNNING: ContextVar[frozenset[Hook]] = ContextVar("running hooks", default=frozenset())


class Hook:
    """A function that is told of acts.

    Args:
        kind: the method that registered it, for messages.
        function: a function or an asynchronous function.

    Raises:
        InvalidArgumentError: it is no such function, or takes other arguments.
    """

    __slots__ = ("function", "kind")

    def __init__(self, kind: str, function: HookFunction) -> None:
        self.kind: str = kind
        self.function: HookFunction = function
        given: object = function
        if not callable(given):
            raise InvalidArgumentError(f"{kind} takes a function: @repo.{kind}, or repo.{kind}(function)")
        if inspect.isgeneratorfunction(given) or inspect.isasyncgenfunction(given):
            raise InvalidArgumentError(f"a function with yield cannot be a hook; write {kind} without it")
        if not takes(given, len(_ARGUMENTS[kind])):
            raise InvalidArgumentError(f"a hook of {kind} takes ({', '.join(_ARGUMENTS[kind])})")

    def begin(self, arguments: tuple[Any, ...]) -> Awaitable[object] | None:
        """Call the function, unless it makes the act itself. Return an awaitable if it is asynchronous.

        Raises:
            BaseException: from the function. An `Exception` is logged.
        """
        running = _RUNNING.get()
        if self in running:
            return None
        before = _RUNNING.set(running | {self})
        try:
            returned: object = self.function(*arguments)
        except Exception as exc:  # noqa: BLE001 - a failing hook must not change the act
            self._log(exc)
            return None
        finally:
            _RUNNING.reset(before)
        return returned if returned is not None and isinstance(returned, Awaitable) else None

    async def finish(self, begun: Awaitable[object]) -> None:
        """Await the result of `begin`. Raises as `begin`."""
        before = _RUNNING.set(_RUNNING.get() | {self})
        try:
            await begun
        except Exception as exc:  # noqa: BLE001 - a failing hook must not change the act
            self._log(exc)
        finally:
            _RUNNING.reset(before)

    def _log(self, exc: Exception) -> None:
        # The message of an exception may hold values. Its stack is of source lines only.
        stack = "".join(traceback.format_tb(exc.__traceback__)).rstrip()
        name = getattr(self.function, "__qualname__", type(self.function).__name__)
        _logger.error("the %s hook %s raised %s; the act is done\n%s", self.kind, name, type(exc).__name__, stack)


class HookCalls:
    """The calls of hooks for one act, one after the other."""

    __slots__ = ("_arguments", "_begun", "_hooks")

    def __init__(self, hooks: Iterable[Hook], arguments: tuple[Any, ...]) -> None:
        self._hooks = iter(hooks)
        self._arguments = arguments
        self._begun: tuple[Hook, Awaitable[object]] | None = None

    def begin(self) -> bool:
        """Call hooks until one has to be awaited. Return False if all are done. Raises as `Hook.begin`."""
        self._begun = None
        for hook in self._hooks:
            begun = hook.begin(self._arguments)
            if begun is not None:
                self._begun = hook, begun
                return True
        return False

    async def finish(self) -> None:
        """Await the hook that has to be awaited, and call the others. Raises as `Hook.begin`."""
        while self._begun is not None:
            hook, begun = self._begun
            await hook.finish(begun)
            self.begin()


def is_in_hook() -> bool:
    """Return True if a hook, or a task that it started, is running this."""
    return bool(_RUNNING.get())
