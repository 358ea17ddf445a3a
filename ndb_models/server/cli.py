"""The command line: `ndb-models serve`, and the subcommands that need no server."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import importlib.util
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Final

from ndb_models.cli.schema import add_schema_commands
from ndb_models.copying import Copied, Kinds, copy
from ndb_models.engine import Engine
from ndb_models.errors import NdbError
from ndb_models.server.server import NdbServer, ServerOptions
from ndb_models.stores.opening import open_store
from ndb_models.types import Clock
from ndb_models.version import __version__

_INTERRUPTED: Final = 130
_SECONDS_BETWEEN_REPORTS: Final = 1.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status: 0 done, 1 failed, 2 called wrongly, 130 interrupted."""
    options = _parser().parse_args(arguments)
    status: int = options.run(options)
    return status


def _run(running: Coroutine[None, None, None]) -> int:
    try:
        with asyncio.Runner(loop_factory=_fastest_loop()) as runner:
            runner.run(running)
    except KeyboardInterrupt:
        sys.stderr.write("ndb-models: interrupted\n")
        return _INTERRUPTED
    except (NdbError, OSError) as exc:
        sys.stderr.write(f"ndb-models: {exc}\n")
        return 1
    return 0


def _run_server(options: argparse.Namespace) -> int:
    return _run(_serve(options))


def _run_copy(options: argparse.Namespace) -> int:
    return _run(_copy(options))


def _fastest_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes uvloop's event loops where that is installed (the extra `speed`); None for asyncio's own."""
    if importlib.util.find_spec("uvloop") is None:
        return None
    new_event_loop: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
    return new_event_loop


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ndb-models",
        description="A server that speaks NemesisDB's protocol, and tools for data and models.",
    )
    parser.add_argument("--version", action="version", version=f"ndb-models {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_serve_options(commands.add_parser("serve", help="run the server until it is told to stop (SIGINT or SIGTERM)"))
    _add_copy_options(
        commands.add_parser(
            "copy",
            help="copy keys and sessions from one place to another",
            description="Places are sqlite:///PATH, snapshot:///DIR?sessions=NAME&keys=NAME (data sets in NemesisDB's"
            " format), and, for keys to be copied to, ws://HOST:PORT/. What is there already is left alone: run it"
            " again to go on with what was cut short. Sessions keep their tokens; their timers start afresh.",
        )
    )
    add_schema_commands(commands)
    return parser


def _add_serve_options(serve: argparse.ArgumentParser) -> None:
    defaults = ServerOptions()
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
    serve.add_argument(
        "--store",
        default="memory://",
        metavar="URI",
        help="where the data lives: memory:// or sqlite:///PATH (default: %(default)s)",
    )
    serve.add_argument("--insecure", action="store_true", help="allow an address that other machines can reach")
    serve.set_defaults(run=_run_server)


def _add_copy_options(copying: argparse.ArgumentParser) -> None:
    copying.add_argument("--from", required=True, dest="source", metavar="URI", help="where to copy from")
    copying.add_argument("--to", required=True, dest="target", metavar="URI", help="where to copy to")
    copying.add_argument("--only", choices=["keys", "sessions"], help="copy only these (default: all that there is)")
    copying.set_defaults(run=_run_copy)


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
    store = await open_store(options.store)
    try:
        server = NdbServer(
            Engine(store, persist_path=options.persist_path),
            ServerOptions(
                host=options.host, port=options.port, max_payload=options.max_payload, insecure=options.insecure
            ),
        )
        async with server:
            sys.stdout.write(f"ndb-models {__version__} is ready on {server.uri}\n")
            sys.stdout.flush()
            await stopping.wait()
    finally:
        await store.aclose()  # the server does so too, once it has started
    sys.stdout.write("ndb-models stopped\n")


async def _copy(options: argparse.Namespace) -> None:
    only = None if options.only is None else Kinds[options.only.upper()]
    copied = await copy(options.source, options.target, only=only, report=_Progress(time.monotonic))
    sys.stdout.write(f"{_described(copied)}\n")


class _Progress:
    """Writes to standard error how far it is, once in a while."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._written = clock()

    def __call__(self, copied: Copied) -> None:
        now = self._clock()
        if now - self._written >= _SECONDS_BETWEEN_REPORTS:
            self._written = now
            sys.stderr.write(f"ndb-models: {_described(copied)}\n")


def _described(copied: Copied) -> str:
    return f"keys copied: {copied.keys}; sessions copied: {copied.sessions}; there already: {copied.found}"


if __name__ == "__main__":
    sys.exit(main())
