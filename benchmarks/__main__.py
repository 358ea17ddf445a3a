"""`python -m benchmarks`: measure, and print tables. `NDB_URI=ws://...` measures a server that is running.

With `--one-core` everything runs on one core: what is compared then is the work that each side makes, and not how long
a scheduler takes to wake a sleeping core, which on a virtual machine can be longer than a whole request.
"""

from __future__ import annotations

import argparse
import os
import sys

from benchmarks import (
    calls,
    capacity,
    changing,
    redis_store,
    repository,
    sqlite,
    synchronous,
    transport,
    verbs,
    versions,
    web,
)
from benchmarks.servers import allow_open_files, measured_server
from benchmarks.surroundings import surroundings


def main() -> None:
    """Measure all that there is."""
    parser = argparse.ArgumentParser(prog="benchmarks")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, to see that it runs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one-core", action="store_true", help="run everything on one core")
    options = parser.parse_args()
    pinned = options.one_core and hasattr(os, "sched_setaffinity")
    if pinned:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # what is started from here inherits it
    sys.stdout.write(surroundings())
    sys.stdout.write(
        f"{'All on one core' if pinned else 'On all cores'}; medians of {options.rounds} rounds, in turn\n"
    )
    scale = 0.1 if options.quick else 1.0
    allow_open_files(capacity.OPEN_FILES)  # here, for the server to have them too
    with measured_server() as server:
        calls.bench(server)
        transport.bench(server, scale=scale, rounds=options.rounds)
        repository.bench(server, scale=scale, rounds=options.rounds)
        changing.bench(server, scale=scale, rounds=options.rounds)
        capacity.bench(server, scale=scale)
    verbs.bench(scale=scale, rounds=options.rounds)
    synchronous.bench(scale=scale, rounds=options.rounds)
    versions.bench(scale=scale, rounds=options.rounds)
    sqlite.bench(scale=scale, rounds=options.rounds)
    web.bench(scale=scale, rounds=options.rounds)
    redis_store.bench(scale=scale, rounds=options.rounds)


if __name__ == "__main__":
    main()
