"""`ndb-models info`: the version, contents and abilities of a store or a server."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any, Final

import typer

from ndb_models.cli.commands import command
from ndb_models.cli.output import JsonOption, print_facts, print_json
from ndb_models.cli.store_access import Work, on_store
from ndb_models.client import NdbClient
from ndb_models.errors import ResponseError, UnsupportedError
from ndb_models.version import __version__

_ADMINS: Final = "admins only"
# The status of a command that a server keeps for admins.
_DISABLED: Final = 14
# No session has this token, so nothing is read or changed.
_NO_SESSION: Final = 0
_ABILITIES: Final[Mapping[str, str]] = {
    "listing": "list sessions",
    "peeking": "read without extending",
    "changing": "compare and set",
}


def add_info_command(tree: typer.Typer) -> None:
    """Add `info` to the tree of commands."""
    command(
        tree,
        "info",
        "Shows the version of a server or a store, how many sessions and keys it holds, whether it can save data sets,"
        " and what it can do beyond NemesisDB's protocol.",
        summary="show what a store or a server is, and what it holds",
    )(run_info)


@on_store
def run_info(
    as_json: JsonOption = False,
) -> Work:
    """Show the facts."""

    async def run(client: NdbClient) -> None:
        found = await _found(client)
        if as_json:
            print_json(found)
        else:
            _print(found)

    return run


async def _found(client: NdbClient) -> dict[str, object]:
    server = await client.sv_info()
    sessions = await client.sh_info_all()
    return {
        "uri": client.uri,
        "client": __version__,
        "server": server.get("serverVersion"),
        "is_server": client.is_remote,
        "saves_data_sets": server.get("persistEnabled"),
        "sessions": sessions.get("totalSessions"),
        "keys_of_sessions": sessions.get("totalKeys"),
        "shared_keys": await client.kv_count(),
        "can": {
            "listing": await _can(client.sh_list("", count=1)),
            "peeking": await _can(client.sh_peek((), _NO_SESSION)),
            "changing": await _can(client.sh_change({}, _NO_SESSION)),
        },
    }


async def _can(asking: Coroutine[Any, Any, object]) -> bool | str:
    """Return True if a server carries out a command, `admins only` if it does so for admins, else False."""
    try:
        await asking
    except UnsupportedError:
        return False
    except ResponseError as exc:
        return _ADMINS if exc.status == _DISABLED else True  # there is no such session
    return True


def _print(found: Mapping[str, Any]) -> None:
    saves = "yes" if found["saves_data_sets"] else "no"
    can = {_ABILITIES[name]: {True: "yes", False: "no"}.get(able, able) for name, able in found["can"].items()}
    print_facts(
        {
            "store": found["uri"],
            "version": found["server"],
            "sessions": f"{found['sessions']} with {found['keys_of_sessions']} keys, the index included",
            "shared keys": f"{found['shared_keys']}, the index included",
            "saves data sets": saves,
            **can,
        }
    )
