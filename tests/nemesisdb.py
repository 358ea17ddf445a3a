"""A stock NemesisDB for tests: this package's engine behind a filter that answers as NemesisDB 0.7.2 does.

Put it behind a server, since the differences are in the frames:

    server = NdbServer(NemesisDbEngine(MemoryStore()), ServerOptions(port=0, max_payload=8192))

`tests/protocol/test_transcripts.py` holds it to what a real one answered. Not imitated: that it sweeps every five
seconds, drops unread answers, cuts TCP, and takes comments in JSON.
"""

from __future__ import annotations

import json
import math
from collections.abc import Coroutine, Iterable
from typing import Any, Final

from ndb_models.engine import Engine
from ndb_models.engine.engine import refusal
from ndb_models.protocol.commands import UNKNOWN_COMMAND
from ndb_models.protocol.servers import OWN_SERVER
from ndb_models.protocol.statuses import Status
from ndb_models.stores.contract import Store

_ON_A_MAP: Final = ("SET", "ADD", "GET", "RMV", "CLEAR", "CLEAR_SET", "COUNT", "CONTAINS", "KEYS", "SAVE", "LOAD")
KV_COMMANDS: Final = frozenset(f"KV_{name}" for name in (*_ON_A_MAP, "FIND", "UPDATE", "ARR_APPEND"))
SH_COMMANDS: Final = frozenset(
    f"SH_{name}" for name in (*_ON_A_MAP, "NEW", "END", "END_ALL", "EXISTS", "INFO", "INFO_ALL")
)
COMMANDS: Final = KV_COMMANDS | SH_COMMANDS | {"SV_INFO"}
"""The commands of NemesisDB 0.7 to 0.8. This package's server has more."""

_LARGEST: Final = 2**64 - 1
_SMALLEST: Final = -(2**63)


def as_kept(text: bytes) -> bytes:
    """Return JSON as NemesisDB returns it.

    Raises:
        ValueError: it is not JSON.
    """
    kept = json.loads(
        text,
        object_pairs_hook=_first_of_each_sorted,
        parse_int=_integer,
        parse_float=_float,
        parse_constant=_refuse,
    )
    return json.dumps(kept, separators=(",", ":")).encode()


def _first_of_each_sorted(members: list[tuple[str, Any]]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in members:
        kept.setdefault(name, value)
    return dict(sorted(kept.items(), key=lambda member: member[0].encode("utf-8", "surrogatepass")))


def _integer(text: str) -> int | str:
    return int(text) if len(text) < 25 and _SMALLEST <= int(text) <= _LARGEST else text


def _float(text: str) -> float | None:
    number = float(text)
    return None if math.isinf(number) else number or 0.0


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


class NemesisDbEngine(Engine):
    """Keeps values as NemesisDB does, and knows none of the commands that this package's server has beyond its own.

    Args:
        store: where the keys live.
        version: what it says of itself.
        commands: those that it knows. Older and newer versions know fewer.
        others: as of `Engine`.

    Attributes:
        like_nemesisdb: False turns all of this off, so that it is an engine as any other.
    """

    like_nemesisdb = True

    def __init__(
        self, store: Store, *, version: str = "0.7.2", commands: Iterable[str] = COMMANDS, **others: Any
    ) -> None:
        super().__init__(store, **others)
        self._version = version
        self._commands = frozenset(commands)
        self._prefixes = {name[:2] for name in self._commands}
        # It answers all commands of a prefix that it does not know under the name of the first such one that it saw.
        self._first_unknown: str | None = None

    def begin(self, frame: bytes, admin: bool = True, *others: Any) -> bytes | Coroutine[Any, Any, bytes]:
        if not self.like_nemesisdb:
            return super().begin(frame, admin, *others)
        try:
            frame = as_kept(frame.removeprefix(b"\xef\xbb\xbf"))
            request = json.loads(frame)
        except (ValueError, RecursionError):
            return super().begin(frame, admin, *others)  # which refuses it
        if isinstance(request, dict) and len(request) == 1:
            ((name, body),) = request.items()
            if isinstance(body, dict) and "_" in name and name not in self._commands:
                return self._unknown(name)
            if name == "SV_INFO":
                return self._info(frame)
            if (
                isinstance(body, dict)
                and isinstance(body.get("expiry"), dict)
                and body["expiry"].pop("touchEvery", None)
            ):
                frame = json.dumps(request).encode()  # it ignores names that it does not know
        return super().begin(frame, admin, *others)

    def _unknown(self, name: str) -> bytes:
        prefix = name[:2]
        if prefix == "KV":
            name = UNKNOWN_COMMAND
        elif prefix not in self._prefixes:
            name = self._first_unknown = self._first_unknown or name
        return refusal(name, Status.COMMAND_NOT_EXIST)

    async def _info(self, frame: bytes) -> bytes:
        begun = super().begin(frame)
        answer = json.loads(begun if isinstance(begun, bytes) else await begun)
        body = answer["SV_INFO_RSP"]
        if str(body.get("serverVersion", "")).startswith(OWN_SERVER):
            body["serverVersion"] = self._version
        return json.dumps(answer).encode()
