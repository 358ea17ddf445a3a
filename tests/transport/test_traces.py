"""What a client shows of itself in text: commands and sizes, never what they hold, nor who it says it is."""

from __future__ import annotations

import asyncio
import logging
import secrets
import traceback

import pytest

from ndb_models import NdbClient
from ndb_models.client.options import Options
from ndb_models.client.uri import parse_uri
from ndb_models.errors import NdbError
from tests.transport.servers import GUARD, Host, deadly, honest, refusing_port

pytestmark = pytest.mark.usefixtures("restored_logger")

VALUE = f"value-{secrets.token_hex()}"
PASSWORD = f"password-{secrets.token_hex()}"
BEARER = f"Bearer {secrets.token_hex()}"


def require_silence(text: str) -> None:
    for secret in (VALUE, PASSWORD, BEARER, BEARER.removeprefix("Bearer ")):
        assert secret not in text


def shown(error: BaseException) -> str:
    """Return an error as a log would show it, with its causes."""
    return repr(error) + "".join(traceback.format_exception(error))


async def test_debug_output_names_commands_and_sizes_and_nothing_of_what_they_hold(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "ndb_models.client")
    async with asyncio.timeout(GUARD), Host() as host, NdbClient.connect(host.uri, debug=True) as client:
        tkn = (await client.sh_create_session()).tkn
        await asyncio.gather(*(client.sh_set({"a": VALUE}, tkn) for _ in range(3)))
        assert await client.sh_get(("a",), tkn) == {"a": VALUE}
        sizes = [len(request) for request in host.requests]
    messages = [record.getMessage() for record in caplog.records if record.name.startswith("ndb_models.client")]
    for command, size in (("SH_NEW", sizes[0]), ("SH_SET", sizes[1]), ("SH_GET", sizes[-1])):
        assert any(command in message and str(size) in message for message in messages)
    for message in messages:
        require_silence(message)
        assert str(tkn) not in message


async def test_an_application_that_logs_everything_logs_no_header_and_no_password(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    # The server logs for itself, and here it is in the same process.
    for name in ("websockets.server", "asyncio"):
        caplog.set_level(logging.ERROR, name)
    async with asyncio.timeout(GUARD), Host(deadly, honest) as host:
        uri = host.uri.replace("ws://", f"ws://billy:{PASSWORD}@")
        async with NdbClient.connect(uri, headers={"X-Authorization": BEARER}, debug=True) as client:
            assert await client.kv_set({"a": VALUE})
            assert host.handshakes == 2
            for text in (repr(client), str(client)):
                require_silence(text)
    require_silence(caplog.text)


@pytest.mark.parametrize(
    "uri",
    [
        f"ws://billy:{PASSWORD}@127.0.0.1:PORT/",
        f"ws://billy:{PASSWORD}@127.0.0.1:PORT/#fragment",
        f"ws://{PASSWORD}@127.0.0.1:PORT/",
        f"ws://billy:%ff{PASSWORD}@127.0.0.1:PORT/",
        f"ws://billy:{PASSWORD}@{'ä' * 70}:PORT/",
        f"ws://127.0.0.1:PORT/?token={PASSWORD}",
        f"ws://127.0.0.1:PORT/?token={PASSWORD}#fragment",
        f"http://billy:{PASSWORD}@127.0.0.1:PORT/",
        f"ws://billy:{PASSWORD}@127.0.0.1:PORTS/",
        f"ws://billy:{PASSWORD}@[127.0.0.1:PORT/",
    ],
    ids=lambda uri: str(uri).replace(PASSWORD, "PASSWORD").replace("ä" * 70, "LONG"),
)
async def test_an_error_of_opening_shows_no_credentials_and_neither_do_its_causes(uri: str) -> None:
    with refusing_port() as port, pytest.raises(NdbError) as failed:
        await NdbClient.connect(uri.replace("PORT", str(port)), headers={"Authorization": BEARER})
    require_silence(shown(failed.value))


def test_what_is_known_of_a_server_is_shown_without_credentials() -> None:
    require_silence(repr(parse_uri(f"wss://billy:{PASSWORD}@127.0.0.1/?token={PASSWORD}")))
    require_silence(repr(Options(headers={"Authorization": BEARER})))
    connecting = NdbClient.connect(f"ws://billy:{PASSWORD}@127.0.0.1/", headers={"Authorization": BEARER})
    require_silence(f"{connecting!r} {connecting}")
