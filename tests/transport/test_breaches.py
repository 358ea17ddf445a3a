"""A server that breaks the rules of framing, or has said goodbye: whatever comes behind that is nobody's answer."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest
from websockets.frames import Frame, Opcode

from ndb_models import NdbClient
from ndb_models.errors import NdbError
from ndb_models.protocol.framing import text_frame
from tests.transport.servers import GUARD, Host, Visit

FORGED: Final = b'{"KV_GET_RSP":{"st":1,"keys":{"a":"forged"}}}'

BREACHES: Final = {
    "a whole message amid a fragmented one": Frame(Opcode.TEXT, b"{", fin=False).serialize(mask=False)
    + text_frame(b""),
    "a fragment of nothing": Frame(Opcode.CONT, b"{}").serialize(mask=False),
    "an extension that was not agreed on": bytes([0xC1]) + text_frame(FORGED)[1:],
    "a masked message": Frame(Opcode.TEXT, FORGED).serialize(mask=True),
    "a frame of an unknown kind": b"\x8b\x00",
    "a close": Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=False),
}


@pytest.mark.parametrize("breach", BREACHES)
async def test_what_comes_behind_a_breach_is_nobodys_answer(breach: str) -> None:
    async def break_a_rule(visit: Visit) -> None:
        await visit.next_request()
        visit.connection.transport.write(BREACHES[breach] + text_frame(FORGED))
        await visit.wait_closed()

    async with (
        asyncio.timeout(GUARD),
        Host(break_a_rule) as host,
        NdbClient.connect(host.uri, reconnect=False) as client,
    ):
        with pytest.raises(NdbError):
            await client.kv_get(("a",))
