"""Asking an engine: requests as names and parameters, or as the text of a frame; answers as what they hold."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from ndb_models.engine import Engine


class _Found(msgspec.Struct):
    keys: dict[str, msgspec.Raw]


class Asker:
    """Asks one engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    async def __call__(self, command: str, **params: object) -> dict[str, Any]:
        """Return the body of the answer, which must have the command's name."""
        name, body = await self.frame(json.dumps({command: params}))
        assert name == f"{command}_RSP"
        return body

    async def frame(self, frame: str | bytes) -> tuple[str, dict[str, Any]]:
        """Return the name and the body of the answer to a frame."""
        answer = json.loads(await self.engine.handle(frame.encode() if isinstance(frame, str) else frame))
        assert isinstance(answer, dict)
        ((name, body),) = answer.items()
        assert isinstance(body, dict)
        assert type(body["st"]) is int
        return name, body

    async def status(self, command: str, **params: object) -> int:
        """Return the status of the answer."""
        status = (await self(command, **params))["st"]
        assert isinstance(status, int)
        return status

    async def new(self, **expiry: object) -> int:
        """Create a session and return its token."""
        token = (await self("SH_NEW", expiry=expiry) if expiry else await self("SH_NEW"))["tkn"]
        assert isinstance(token, int)
        return token

    async def write(self, name: str, text: str) -> None:
        """Set a shared key to a JSON text as it stands here."""
        _, body = await self.frame(f'{{"KV_SET":{{"keys":{{{json.dumps(name)}:{text}}}}}}}')
        assert body == {"st": 1}

    async def text(self, name: str) -> str:
        """Return the JSON text that a shared key has in an answer."""
        answer = await self.engine.handle(json.dumps({"KV_GET": {"keys": [name]}}).encode())
        return bytes(msgspec.json.decode(answer, type=dict[str, _Found])["KV_GET_RSP"].keys[name]).decode()

    async def shared(self) -> dict[str, Any]:
        """Return all shared keys."""
        names = (await self("KV_KEYS"))["keys"]
        keys = (await self("KV_GET", keys=names))["keys"]
        assert isinstance(keys, dict)
        return keys
