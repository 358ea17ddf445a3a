"""The server that is measured: one of our own in a process of its own, or the one that `NDB_URI` names."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class MeasuredServer:
    """Where it is, and its process id if it is ours."""

    uri: str
    pid: int | None

    def resident_bytes(self) -> int | None:
        """Return how much memory the server's process occupies, where that can be seen."""
        status = Path(f"/proc/{self.pid}/status")
        if self.pid is None or not status.exists():
            return None
        found = re.search(r"VmRSS:\s+(\d+) kB", status.read_text("ascii"))
        return int(found[1]) * 1024 if found else None


@contextlib.contextmanager
def measured_server() -> Iterator[MeasuredServer]:
    """Start a server, and stop it at the end; or use the one that `NDB_URI` names."""
    if uri := os.environ.get("NDB_URI"):
        yield MeasuredServer(uri, None)
        return
    command = [sys.executable, "-m", "ndb_models.server.cli", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"ws://\S+", process.stdout.readline())
        if found is None:
            raise SystemExit("the server did not start")
        try:
            yield MeasuredServer(found[0], process.pid)
        finally:
            process.terminate()
            process.stdout.read()
