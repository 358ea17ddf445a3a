"""`--store` and the flags of access: from a command line to an open client."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import signal
from collections.abc import AsyncGenerator, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple, TypeAlias
from urllib.parse import urlsplit

import typer

from ndb_models.cli.commands import with_parameters
from ndb_models.errors import InvalidArgumentError
from ndb_models.raising import naming

if TYPE_CHECKING:
    from ndb_models.client import NdbClient

STORE_VARIABLE: Final = "NDB_STORE"

StoreOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URI",
        help="The store: sqlite:///PATH, redis://HOST, redis+cluster://HOST, or a server, ws://HOST:PORT/ or wss://"
        f" ({STORE_VARIABLE}).",
    ),
]
TokenFileOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        help="For a server: the file with its bearer token, a line data:TOKEN or admin:TOKEN (NDB_TOKEN_FILE; or the"
        " token itself in NDB_TOKEN or NDB_ADMIN_TOKEN).",
    ),
]
MaxPayloadOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--max-payload", metavar="N", help="For a server: its largest request in bytes (NDB_MAX_PAYLOAD)."),
]
_PARAMETERS: Final = [
    inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
    for name, annotation in (("store", StoreOption), ("token_file", TokenFileOption), ("max_payload", MaxPayloadOption))
]


class StoreAccess(NamedTuple):
    """The store that a command line names, checked.

    Attributes:
        uri: its URI, which may hold a password.
        source: the flag or the variable that it comes from, for errors.
        token: the bearer token, for a server.
        max_payload: the bytes of the largest request, for a server.
        is_server: whether it is a server.
    """

    uri: str
    source: str
    token: str | None
    max_payload: int | None
    is_server: bool

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncGenerator[NdbClient]:
        """Open a client of the store, and close it at the end of the block.

        Raises:
            InvalidArgumentError: the URI cannot be opened; names its source.
            ConnectError, StoreError: there is no connection, or the store cannot be opened.
        """
        from ndb_models.client import NdbClient

        with naming(self.source):
            if self.is_server:
                client = await NdbClient.connect(self.uri, token=self.token, max_payload=self.max_payload or 0)
            else:
                client = await NdbClient.connect(self.uri)
        try:
            yield client
        finally:
            await client.close()


def named_store(store: str | None) -> tuple[str, str]:
    """Return the URI of the store, and its source: `--store` if it is given, else the variable.

    Raises:
        InvalidArgumentError: neither is given.
    """
    uri, source = (store, "--store") if store is not None else (os.environ.get(STORE_VARIABLE), STORE_VARIABLE)
    if not uri:
        raise InvalidArgumentError(f"--store URI is missing: name the store, or set {STORE_VARIABLE}")
    return uri, source


def store_access(
    store: str | None, token_file: str | None, max_payload: str | None, *, may_create: bool = False
) -> StoreAccess:
    """Return the store that the flags or the environment name.

    Args:
        store: the value of `--store`; None for the variable.
        token_file: the value of `--token-file`.
        max_payload: the value of `--max-payload`.
        may_create: a missing file will be created. Otherwise it is an error.

    Raises:
        InvalidArgumentError: no store is named, or a command cannot reach it; an access flag is wrong, or the store is
            no server. The error names the flag or the variable.
    """
    from ndb_models.server.configuration import OF_ACCESS, configure_access

    uri, source = named_store(store)
    with naming(source):
        is_server = _checked(uri, may_create=may_create)
    given = {"token_file": token_file, "max_payload": max_payload}
    if is_server:
        access = configure_access(given, os.environ)
        return StoreAccess(uri, source, access.token, access.max_payload, is_server)
    for setting in OF_ACCESS:
        if given[setting.name] is not None:
            raise InvalidArgumentError(f"{setting.flag}: it is for a server, ws:// or wss://, and the store is none")
    return StoreAccess(uri, source, None, None, is_server)


def _checked(uri: str, *, may_create: bool) -> bool:
    """Check a store's URI without opening the store. Return True if it names a server."""
    from ndb_models.client.uri import MemoryUri, WebSocketUri, parse_uri

    parsed = parse_uri(uri)
    if isinstance(parsed, MemoryUri):
        raise InvalidArgumentError(
            "a store in memory lives in the process that uses it, and this one would be empty: name a file, a Redis or"
            " the server that has it"
        )
    if urlsplit(uri).scheme == "sqlite":
        from ndb_models.stores.sqlite.options import parse_sqlite_uri

        path = Path(parse_sqlite_uri(uri).path)
        if not may_create and not path.exists():
            raise InvalidArgumentError(f"there is no file {path}")
    return isinstance(parsed, WebSocketUri)


Work: TypeAlias = Callable[[Any], Coroutine[Any, Any, int | None]]
"""The work of a command on an open client. It returns the exit status; None is 0."""


def on_store(prepare: Callable[..., Work]) -> Callable[..., int]:
    """Return a command with `--store` and the flags of access, which opens the store and does its work.

    Args:
        prepare: takes the other arguments of the command, checks them and returns the work. It runs before the store
            is opened.
    """

    def run(store: str | None, token_file: str | None, max_payload: str | None, **others: Any) -> int:
        access = store_access(store, token_file, max_payload)
        work = prepare(**others)

        async def opened() -> int | None:
            async with access.opened() as client:
                return await work(client)

        return run_async(opened())

    return with_parameters(run, [*inspect.signature(prepare, eval_str=True).parameters.values(), *_PARAMETERS])


def run_async(coroutine: Coroutine[Any, Any, int | None]) -> int:
    """Run a command's coroutine in an event loop, and return its exit status; None is 0."""
    return asyncio.run(coroutine) or 0


def cancel_on_sigterm() -> None:
    """Let SIGTERM cancel the running task, as Ctrl-C does, so that a command can clean up."""
    task = asyncio.current_task()
    assert task is not None
    with contextlib.suppress(NotImplementedError):  # Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
