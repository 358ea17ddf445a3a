"""`ndb-models doctor`: look at a store, a server or a configuration, and report faults with their remedies."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ndb_models.cli.commands import command
from ndb_models.cli.exits import FAILED
from ndb_models.cli.output import JsonOption, Table, print_json, print_line
from ndb_models.cli.store_access import TokenFileOption, run_async
from ndb_models.errors import InvalidArgumentError

if TYPE_CHECKING:
    from ndb_models.doctor import Diagnosis

_NOTES: Final = """\
With --store, it looks at that store or server. Without, it looks at the configuration of a server as `serve` would read
it, from --config and the environment, and at the store that this names. Nothing is changed.
"""
_STYLES: Final = {"problem": "red", "warning": "yellow", "note": "cyan", "ok": "green"}


def add_doctor_command(tree: typer.Typer) -> None:
    """Add `doctor` to the tree of commands."""
    command(
        tree,
        "doctor",
        "Looks at a store, a server, or the configuration of a server: if it can be reached, who else can read it, what"
        " loses sessions, clocks, versions, space. Says what to do about each finding.",
        summary="look at a store, a server or a configuration, and say what is wrong",
        done="there is no problem",
        statuses=("1    there is a problem; with --strict, or a warning", "2    called wrongly: no such URI or file"),
        notes=_NOTES,
    )(run_doctor)


def run_doctor(
    store: Annotated[
        str | None,
        typer.Option("--store", metavar="URI", help="The store or server to look at, as of NdbClient.connect."),
    ] = None,
    config: Annotated[
        str | None, typer.Option("--config", metavar="FILE", help="A server's configuration file (NDB_CONFIG).")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="A warning is an error, too.")] = False,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> int:
    """Print findings; return the exit status."""
    if store is not None and config is not None:
        raise InvalidArgumentError("--store names a store and --config a server's configuration: give one of them")
    diagnosis = _of_store(store, token_file) if store is not None else _of_configuration(config, token_file)
    if as_json:
        print_json(diagnosis.as_json())
    else:
        _print(diagnosis)
    return 0 if diagnosis.is_healthy(strict=strict) else FAILED


def _of_store(store: str, token_file: str | None) -> Diagnosis:
    from ndb_models.client.uri import WebSocketUri, parse_uri
    from ndb_models.doctor import diagnose_uri
    from ndb_models.raising import naming
    from ndb_models.server.configuration import configure_access

    with naming("--store"):
        is_server = isinstance(parse_uri(store), WebSocketUri)
    if not is_server and token_file is not None:
        raise InvalidArgumentError("--token-file: it is for a server, ws:// or wss://, and the store is none")
    token = configure_access({"token_file": token_file}, os.environ).token if is_server else None
    found: list[Diagnosis] = []

    async def run() -> None:
        with naming("--store"):
            found.append(await diagnose_uri(store, token=token))

    run_async(run())
    return found[0]


def _of_configuration(config: str | None, token_file: str | None) -> Diagnosis:
    from ndb_models.doctor import diagnose_configuration

    found: list[Diagnosis] = []

    async def run() -> None:
        found.append(await diagnose_configuration({"config": config, "token_file": token_file}, os.environ))

    run_async(run())
    return found[0]


def _print(diagnosis: Diagnosis) -> None:
    from ndb_models.doctor import Severity

    worst_first = [*reversed(Severity)]
    print_line(diagnosis.subject)
    table = Table(("severity", "rule", "finding"), header=False)
    for finding in sorted(diagnosis.findings, key=lambda each: worst_first.index(each.severity)):
        table.add(finding.severity, finding.rule, finding.what, style=_STYLES[finding.severity])
        if finding.advice:
            table.add("", "", f"  do: {finding.advice}")
    table.flush()
    counts = diagnosis.counts
    print_line(", ".join(f"{counts[severity]} {severity}" for severity in worst_first if counts[severity]))
