"""`ndb-models conformance`: does a server speak NemesisDB's protocol?"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ndb_models.cli.asking import YesOption, confirmed
from ndb_models.cli.commands import command
from ndb_models.cli.exits import FAILED, complain
from ndb_models.cli.output import JsonOption, Table, print_json, print_line
from ndb_models.cli.progress import Progress
from ndb_models.cli.store_access import TokenFileOption, run_async

if TYPE_CHECKING:
    from ndb_models.conformance import ConformanceReport

_NOTES: Final = """\
It sends the requests that were sent to NemesisDB 0.7.2, and compares the answers. Clients rely on the "required"
answers. In the "oddities" servers may differ. "extensions" are the commands of this package's server, and skipped on
a server without them. docs/protocol.md is the specification.

It writes keys under a prefix of its own, and sessions, and removes them. Data sets that it saves stay. Cases that would
count or clear the data of others are skipped, unless the store is empty or may be cleared (--destructive).
"""
_STYLES: Final = {"failed": "red", "otherwise": "yellow", "skipped": "cyan"}


def add_conformance_command(tree: typer.Typer) -> None:
    """Add `conformance` to the tree of commands."""
    command(
        tree,
        "conformance",
        "Runs the conformance tests of NemesisDB's protocol against a server, and reports the first difference of each"
        " case. It writes to the server.",
        summary="test if a server speaks NemesisDB's protocol",
        done="all required cases conform",
        statuses=(
            "1    a required case fails; or the server cannot be reached",
            "2    called wrongly; the line names the flag",
        ),
        notes=_NOTES,
    )(run_conformance_command)


def run_conformance_command(
    uri: Annotated[str, typer.Argument(metavar="URI", help="The server: ws://HOST:PORT/ or wss://HOST:PORT/.")],
    destructive: Annotated[
        bool, typer.Option("--destructive", help="Clear the server: end ALL sessions and remove ALL keys. Asks first.")
    ] = False,
    max_payload: Annotated[
        int | None,
        typer.Option(
            "--max-payload", metavar="N", min=64, help="The server's largest request in bytes, to test that limit."
        ),
    ] = None,
    yes: YesOption = False,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> int:
    """Test a server; return the exit status."""
    from ndb_models.conformance import run_conformance
    from ndb_models.conformance.conversation import Target
    from ndb_models.raising import naming
    from ndb_models.server.configuration import configure_access

    with naming("URI"):
        Target(uri)
    token = configure_access({"token_file": token_file}, os.environ).token
    question = "This ends ALL sessions of the server and removes ALL shared keys. Go on?"
    if destructive and not confirmed(question, yes=yes):
        return complain("nothing was done", FAILED)
    sys.stderr.write("ndb-models: this writes keys, sessions and data sets of its own to the server\n")

    async def run() -> int:
        with Progress("cases run") as progress:
            report = await run_conformance(
                Target(uri, token=token), destructive=destructive, max_payload=max_payload, report=progress.show
            )
        if as_json:
            print_json(report.as_json())
        else:
            _print(report)
        return 0 if report.is_conforming else FAILED

    return run_async(run())


def _print(report: ConformanceReport) -> None:
    from ndb_models.conformance import Outcome, Section

    table = Table(("section", "outcome", "case"))
    for each in report.results:
        if each.outcome is Outcome.PASSED:
            continue
        table.add(each.section, each.outcome, each.case, style=_STYLES.get(each.outcome))
        for line in each.lines:
            table.add("", "", f"  {line}")
    table.flush()
    for section in Section:
        counts = ", ".join(f"{count} {outcome}" for outcome, count in report.counts(section).items())
        print_line(f"{section}: {counts}")
    server = f" {report.server}" if report.server else ""
    skipped = report.counts(Section.REQUIRED)[Outcome.SKIPPED]
    reservation = f", as far as it was tested: {skipped} required cases were skipped" if skipped else ""
    print_line(f"the server{server} {f'conforms{reservation}' if report.is_conforming else 'does not conform'}")
