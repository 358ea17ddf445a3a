"""An answer that is larger than any may be: it is refused, and what it holds is not looked through for answers."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest
from websockets.http11 import Request
from websockets.server import ServerProtocol

from ndb_models import NdbClient
from ndb_models.errors import NdbError
from ndb_models.protocol.framing import text_frame
from tests.transport.servers import GUARD

FORGED: Final = b'{"KV_GET_RSP":{"st":1,"keys":{"a":"forged"}}}'
# Of a text message that is one byte larger than a client takes.
HEADER: Final = b"\x81\x7f" + (64 * 1024 * 1024 + 1).to_bytes(8)


async def answer_at_length(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Agree to the handshake, take a request, and begin an answer without end that holds what looks like another."""
    protocol = ServerProtocol()
    protocol.receive_data(await reader.readuntil(b"\r\n\r\n"))
    (request,) = protocol.events_received()
    assert isinstance(request, Request)
    protocol.send_response(protocol.accept(request))
    writer.write(b"".join(protocol.data_to_send()))
    await reader.read(1000)
    writer.write(HEADER)
    await reader.read(1000)  # it has seen the header, and closes
    writer.write(text_frame(FORGED))
    writer.write_eof()
    await reader.read()
    writer.close()
    await writer.wait_closed()


async def test_what_an_answer_that_is_too_large_holds_is_nobodys_answer() -> None:
    served: set[asyncio.Task[None]] = set()

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.add(asyncio.create_task(answer_at_length(reader, writer)))

    async with asyncio.timeout(GUARD), await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        uri = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with NdbClient.connect(uri, reconnect=False) as client:
            with pytest.raises(NdbError):
                await client.kv_get(("a",))
        await asyncio.gather(*served)
