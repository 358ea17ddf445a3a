"""The command line: `ndb-models serve`, and the subcommands that need no server."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import importlib.util
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ndb_models.cli.schema import add_schema_commands
from ndb_models.engine import Engine
from ndb_models.errors import NdbError
from ndb_models.server.server import NdbServer, ServerOptions
from ndb_models.stores.memory import MemoryStore
from ndb_models.version import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status: 0 done, 1 failed, 2 called wrongly."""
    options = _parser().parse_args(arguments)
    status: int = options.run(options)
    return status


def _run_server(options: argparse.Namespace) -> int:
    try:
        with asyncio.Runner(loop_factory=_fastest_loop()) as runner:
            runner.run(_serve(options))
    except (NdbError, OSError) as exc:
        sys.stderr.write(f"ndb-models: {exc}\n")
        return 1
    return 0


def _fastest_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes uvloop's event loops where that is installed (the extra `speed`); None for asyncio's own."""
    if importlib.util.find_spec("uvloop") is None:
        return None
    new_event_loop: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
    return new_event_loop


def _parser() -> argparse.ArgumentParser:
    defaults = ServerOptions()
    parser = argparse.ArgumentParser(
        prog="ndb-models", description="A server that speaks NemesisDB's protocol, and tools for session models."
    )
    parser.add_argument("--version", action="version", version=f"ndb-models {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="run the server until it is told to stop (SIGINT or SIGTERM)")
    serve.add_argument("--host", default=defaults.host, help="address to listen on (default: %(default)s)")
    serve.add_argument(
        "--port", type=_number(0, 65535), default=defaults.port, help="port; 0 for any free one (default: %(default)s)"
    )
    serve.add_argument(
        "--persist-path", type=_directory, metavar="DIR", help="directory for KV_SAVE, KV_LOAD, SH_SAVE and SH_LOAD"
    )
    serve.add_argument(
        "--max-payload",
        type=_number(64, 2**31 - 1),
        default=defaults.max_payload,
        metavar="N",
        help="largest request in bytes (default: %(default)s)",
    )
    serve.add_argument("--insecure", action="store_true", help="allow an address that other machines can reach")
    serve.set_defaults(run=_run_server)
    add_schema_commands(commands)
    return parser


def _number(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not between {least} and {most}")
        return value

    return number


def _directory(text: str) -> Path:
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is not a directory")
    return path


async def _serve(options: argparse.Namespace) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    server = NdbServer(
        Engine(MemoryStore(), persist_path=options.persist_path),
        ServerOptions(host=options.host, port=options.port, max_payload=options.max_payload, insecure=options.insecure),
    )
    async with server:
        sys.stdout.write(f"ndb-models {__version__} is ready on {server.uri}\n")
        sys.stdout.flush()
        await stopping.wait()
    sys.stdout.write("ndb-models stopped\n")


if __name__ == "__main__":
    sys.exit(main())
