"""`python -m benchmarks [--quick]`: measure, and print tables. `NDB_URI=ws://...` measures a server that is running."""

from __future__ import annotations

import argparse

from benchmarks import repository, transport
from benchmarks.servers import measured_server


def main() -> None:
    """Measure all that there is."""
    parser = argparse.ArgumentParser(prog="benchmarks")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, to see that it runs")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    scale = 0.1 if options.quick else 1.0
    with measured_server() as server:
        transport.bench(server, scale=scale, rounds=options.rounds)
        repository.bench(server, scale=scale, rounds=options.rounds)


if __name__ == "__main__":
    main()
