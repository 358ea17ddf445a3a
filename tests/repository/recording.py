"""An engine that tells what it was asked, and lets a test hold answers back: what is on the wire, without guessing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any

from tests.nemesisdb import NemesisDbEngine


class RecordingEngine(NemesisDbEngine):
    """Behind a server it sees every frame. `frames` are the requests, in their order.

    It is a NemesisDB while `like_nemesisdb` says so.

    While commands are held, requests of these wait, before or after they are carried out, until `release`.
    """

    like_nemesisdb = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.frames: list[bytes] = []
        self.waiting = asyncio.Event()
        self.most_at_once = 0
        self._now = 0
        self._held: frozenset[str] = frozenset()
        self._held_back = True
        self._gate = asyncio.Event()

    def hold(self, *commands: str, carried_out: bool = False) -> None:
        """Let requests of these commands wait from now on; `carried_out` is whether only their answers do."""
        self._held, self._held_back = frozenset(commands), not carried_out
        self._gate.clear()
        self.waiting.clear()

    def release(self) -> None:
        """Let them go on, and hold no more."""
        self._held = frozenset()
        self._gate.set()

    def begin(self, frame: bytes, admin: bool = True, *others: Any) -> bytes | Coroutine[Any, Any, bytes]:
        return self._record(frame, admin, *others)

    async def _record(self, frame: bytes, admin: bool, *others: Any) -> bytes:
        self.frames.append(frame)
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        held = _name(frame) in self._held
        try:
            if held and self._held_back:
                await self._wait()
            begun = super().begin(frame, admin, *others)
            answer = begun if isinstance(begun, bytes) else await begun
            if held and not self._held_back:
                await self._wait()
            return answer
        finally:
            self._now -= 1

    async def _wait(self) -> None:
        self.waiting.set()
        await self._gate.wait()

    def requests(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the sessions' requests so far as (command, body), and forget them. Fences do not count."""
        frames, self.frames = self.frames, []
        asked = [next(iter(json.loads(frame).items())) for frame in frames]
        return [(name, body) for name, body in asked if name in _COMMANDS]

    def commands(self) -> list[str]:
        """Return the names of the sessions' requests so far, and forget them."""
        return [name for name, _ in self.requests()]


_COMMANDS = frozenset(
    f"SH_{name}"
    for name in (
        *("NEW", "NEW_SET", "SET", "ADD", "GET", "PEEK", "RMV", "KEYS"),
        *("INFO", "INFO_ALL", "END", "EXISTS", "EXPIRE", "CHANGE", "CLEAR", "LIST"),
    )
)


def _name(frame: bytes) -> str:
    return frame.split(b'"', 2)[1].decode()
