"""`ndb-models bench`: a store's throughput and latency, measured with throw-away sessions."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ndb_models.cli.asking import YesOption, confirmed
from ndb_models.cli.commands import command
from ndb_models.cli.exits import FAILED, INTERRUPTED, MISUSE, complain
from ndb_models.cli.output import JsonOption, Table, print_json, print_line
from ndb_models.cli.store_access import (
    MaxPayloadOption,
    StoreOption,
    TokenFileOption,
    cancel_on_sigterm,
    run_async,
    store_access,
)

if TYPE_CHECKING:
    from ndb_models.bench import BenchReport
    from ndb_models.client import NdbClient

_NOTES: Final = """\
It creates sessions of some 300 bytes, reads them, changes them (reads, changes one field, saves), and ends them. All
are ended at the end, also on Ctrl-C; sessions that a killed run leaves expire within ten minutes. Other sessions are
not touched, but all the load is real.
"""


def add_bench_command(tree: typer.Typer) -> None:
    """Add `bench` to the tree of commands."""
    command(
        tree,
        "bench",
        "Measures the throughput and the latency of a store with throw-away sessions. Asks first:"
        " it is load on the store.",
        summary="measure a store's throughput and latency",
        statuses=("1    the store failed, some requests did, or the answer was no", MISUSE),
        notes=_NOTES,
    )(run_bench)


def run_bench(
    store: StoreOption = None,
    seconds: Annotated[
        float, typer.Option("--seconds", metavar="SECONDS", min=0.1, max=3600, help="How long to measure.")
    ] = 10,
    tasks: Annotated[int, typer.Option("--tasks", metavar="N", min=1, max=1000, help="How many tasks at once.")] = 50,
    yes: YesOption = False,
    token_file: TokenFileOption = None,
    max_payload: MaxPayloadOption = None,
    as_json: JsonOption = False,
) -> int:
    """Measure a store; return the exit status."""
    from ndb_models.web.audited import store_settings

    access = store_access(store, token_file, max_payload, may_create=True)
    shown = store_settings(access.uri).shown
    question = f"This puts as much load on {shown} as it takes, for {seconds:g} s, also if it is in production. Go on?"
    if not confirmed(question, yes=yes):
        return complain("nothing was done", FAILED)

    async def run() -> int:
        async with access.opened() as client:
            report = await _measured(client, seconds, tasks)
        if as_json:
            print_json(report.as_json())
        else:
            _print(report)
        return FAILED if report.left or any(each.failed for each in report.measured) else 0

    try:
        return run_async(run())
    except (KeyboardInterrupt, asyncio.CancelledError):
        return complain("interrupted; its sessions were ended", INTERRUPTED)


async def _measured(client: NdbClient, seconds: float, tasks: int) -> BenchReport:
    from ndb_models.bench import measure

    cancel_on_sigterm()

    def tell(verb: str) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"ndb-models: {verb}\n")

    return await measure(client, seconds=seconds, tasks=tasks, report=tell)


def _print(report: BenchReport) -> None:
    table = Table(("verb", "a second", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms", "count", "failed"))
    for each in report.measured:
        latencies = [f"{value:.2f}" for value in each.latencies.values()] or [""] * 4
        failed = ", ".join(f"{count} {name}" for name, count in each.failed.items())
        style = "red" if failed else None
        table.add(
            each.verb, f"{each.rate:.0f}", *latencies, f"{each.longest:.2f}", str(each.count), failed, style=style
        )
    table.flush()
    print_line(f"{report.tasks} tasks; {report.created} sessions were created")
    if report.left:
        print_line(f"{report.left} sessions could not be ended; they expire within ten minutes")
