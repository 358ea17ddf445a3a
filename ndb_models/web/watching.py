"""WebSockets that close with their session."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Final, TypeVar

from starlette.exceptions import WebSocketException
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from ndb_models.errors import UnavailableError
from ndb_models.repository.session_end import SessionEnd
from ndb_models.schema.model import SessionModel

_M = TypeVar("_M", bound=SessionModel)

NOT_LOGGED_IN: Final = 4401
"""The code that closes a socket without a session, or whose session has ended. Scripts see it as `event.code`."""

_TRY_AGAIN_LATER: Final = 1013
_INTERNAL_ERROR: Final = 1011


@asynccontextmanager
async def bound(
    websocket: WebSocket,
    read: Callable[[WebSocket], Awaitable[_M | None]],
    ended: Callable[[_M], Awaitable[SessionEnd]],
    left: Callable[[], Awaitable[None]],
) -> AsyncGenerator[_M]:
    """Give the session to a body, and cancel the body when the session ends or the client has left.

    Without a session, the socket is accepted and then closed: a browser tells a script no reason for a handshake that
    was refused. If the store is away, the same is done with the code 1013, and the client connects again later.

    Args:
        websocket: accepted or not.
        read: reads its session; None if there is none.
        ended: waits for the end of a session.
        left: waits for the client's leave, if the body does not see it itself.

    Raises:
        WebSocketException: there is no session (4401), or the store is away (1013). The framework closes the socket.
        Exception: as the body raises. Or as `ended` raises; the socket is then closed with 1011.
    """
    session = await _session_of(websocket, read)
    watch, leave = asyncio.ensure_future(ended(session)), asyncio.ensure_future(left())
    try:
        async with _CutOff(watch), _CutOff(leave):
            yield session
    finally:
        leave.cancel()
        failure = await _close_if_over(websocket, watch)
    if failure is not None:
        raise failure


async def _session_of(websocket: WebSocket, read: Callable[[WebSocket], Awaitable[_M | None]]) -> _M:
    """Return the session of a socket. Without one, accept the socket, so that it can be closed with a reason."""
    try:
        session = await read(websocket)
    except UnavailableError as exc:  # it was logged
        await _accept(websocket)
        raise WebSocketException(_TRY_AGAIN_LATER, "try again later") from exc
    if session is None:
        await _accept(websocket)
        raise WebSocketException(NOT_LOGGED_IN, "not logged in")
    return session


async def _accept(websocket: WebSocket) -> None:
    """Accept a socket, unless that was done. Browsers fail a connection that answers none of their subprotocols."""
    if websocket.application_state is WebSocketState.CONNECTING:
        await websocket.accept(next(iter(websocket.scope.get("subprotocols") or ()), None))


async def _close_if_over(websocket: WebSocket, watch: asyncio.Future[SessionEnd]) -> BaseException | None:
    """Stop watching. If the session has ended or watching failed, close the socket. Return the failure."""
    watch.cancel()
    await asyncio.wait([watch])
    if watch.cancelled():
        return None
    failure = watch.exception()
    if failure is None:
        reason = watch.result().reason
        await _close(websocket, NOT_LOGGED_IN, f"the session has ended{'' if reason == 'unknown' else f': {reason}'}")
    else:
        await _close(websocket, _INTERNAL_ERROR, "")
    return failure


async def _close(websocket: WebSocket, code: int, reason: str) -> None:
    if WebSocketState.DISCONNECTED in (websocket.client_state, websocket.application_state):
        return
    with contextlib.suppress(WebSocketDisconnect, OSError):  # the client was quicker
        await _accept(websocket)
        await websocket.close(code, reason)


class _CutOff:
    """Cancels its body when a future is done. This cancellation goes no further, unlike those of others."""

    def __init__(self, watch: asyncio.Future[Any]) -> None:
        self._watch = watch
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._is_cut = False

    async def __aenter__(self) -> None:
        self._task = asyncio.current_task()
        if self._task is not None:
            self._cancelling = self._task.cancelling()
        self._watch.add_done_callback(self._cut)

    def _cut(self, _: asyncio.Future[Any]) -> None:
        if self._task is not None:
            self._is_cut = self._task.cancel()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        task, self._task = self._task, None  # a call of _cut that is under way does nothing any more
        if task is None or not self._is_cut:
            return False
        is_ours = task.uncancel() <= self._cancelling
        return is_ours and exc_type is not None and issubclass(exc_type, asyncio.CancelledError)
