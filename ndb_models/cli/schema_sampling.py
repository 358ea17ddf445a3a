"""`ndb-models schema sample`: read live sessions by the code at hand, before a deployment."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ndb_models.cli.exits import FAILED
from ndb_models.cli.models import find_models
from ndb_models.cli.output import JsonOption, Table, print_json, print_line
from ndb_models.cli.progress import Progress
from ndb_models.cli.store_access import MaxPayloadOption, StoreOption, TokenFileOption, run_async, store_access
from ndb_models.errors import InvalidArgumentError
from ndb_models.raising import naming

if TYPE_CHECKING:
    from ndb_models.schema_check.sample_report import SampleReport

SAMPLE_STATUSES: Final = (
    "1    the code at hand cannot read some of the sessions; or the store failed, or cannot list sessions",
    "2    called wrongly: no such model or store",
)
SAMPLE_NOTES: Final = """\
All sessions are listed, so their versions are counted exactly. Of each model, the sample is drawn at random, evenly
from its stored versions. A sample may miss rare sessions: --all reads all. Nothing is written, ended or
extended. Whether old processes read what the code at hand writes, `schema check` tells. For a server, the token is
an admin's, since a list shows tokens.
"""


def run_sample(
    models: Annotated[
        list[str], typer.Argument(metavar="MODULE[:NAME]...", help="All session models of a module, or one.")
    ],
    store: StoreOption = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", min=1, help="How many sessions of each model are read (default: 1000)."),
    ] = None,
    read_all: Annotated[bool, typer.Option("--all", help="Read all sessions.")] = False,
    namespace: Annotated[
        str | None, typer.Option("--namespace", metavar="NAME", help="The namespace of the sessions, as of Repository.")
    ] = None,
    token_file: TokenFileOption = None,
    max_payload: MaxPayloadOption = None,
    as_json: JsonOption = False,
) -> int:
    """Read live sessions, and report what would break; return the exit status."""
    from ndb_models.repository.arguments import check_namespace

    if read_all and limit is not None:
        raise InvalidArgumentError("--all and --limit exclude each other: give one of them")
    with naming("--namespace"):
        check_namespace(namespace)
    with contextlib.redirect_stdout(sys.stderr):  # the user's code may print, and the report is read by programs
        found = find_models(models)
    access = store_access(store, token_file, max_payload)

    async def run() -> int:
        from ndb_models.schema_check.sampling import SampleProgress, sample_sessions

        with Progress("sessions") as progress:

            def show(state: SampleProgress) -> None:
                if state.to_judge is None:
                    progress.show(state.listed, state.sessions)
                else:
                    progress.show(state.judged, state.to_judge)

            async with access.opened() as client:
                most = None if read_all else limit or 1000
                with contextlib.redirect_stdout(sys.stderr):
                    reports = await sample_sessions(client, found, limit=most, namespace=namespace, report=show)
        if as_json:
            print_json([report.as_json() for report in reports])
        else:
            for report in reports:
                _print(report)
        return FAILED if any(report.broken for report in reports) else 0

    return run_async(run())


def _print(report: SampleReport) -> None:
    facts = report.as_json()
    print_line(f"{report.schema}: {_verdict(report)}")
    versions = ", ".join(f"{count} of version {version}" for version, count in facts["versions"].items())
    print_line(f"  {_live(report)}{f': {versions}' if versions else ''}; the code has version {report.version}")
    drawn = (
        "drawn at random, evenly from each version" if report.is_sample and report.looked_at < report.live else "all"
    )
    print_line(f"  {report.looked_at} read ({drawn}), {facts['upgraded']} of them after an upgrade")
    for count, what in (
        (facts["invalid"], "do not fit the model"),
        (facts["upgradeFailed"], "fail in an upgrade"),
        (facts["newer"], "are of a newer version than the code"),
        (facts["older"], "are of a version that the code no longer upgrades"),
        (report.shortened, "would end earlier than now, by the expiry of the class"),
        (report.incomplete, "are being created"),
        (report.gone, "ended before they were read"),
    ):
        if count:
            print_line(f"  {count} {what}")
    if facts["upgraded"]:
        print_line("  old processes refuse these sessions once new ones have written them: NewerVersionError")
    table = Table(("version", "field", "sessions", "reason"))
    for each in facts["problems"]:
        table.add(str(each["version"]), each["field"], str(each["sessions"]), each["reason"], style="red")
    table.flush()


def _live(report: SampleReport) -> str:
    return "1 live session" if report.live == 1 else f"{report.live} live sessions"


def _verdict(report: SampleReport) -> str:
    if report.broken:
        return "1 session breaks" if report.broken == 1 else f"{report.broken} sessions break"
    return "nothing breaks" if report.live else "there are no sessions"
