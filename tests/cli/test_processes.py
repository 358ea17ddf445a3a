"""The command line as a process: how it is started, interrupted, and left by those who read what it writes."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from ndb_models import JsonValue, NdbClient, __version__

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
# Unbuffered, argparse itself passes over what it cannot write.
INHERITED = {k: v for k, v in os.environ.items() if not k.startswith("NDB_") and k != "PYTHONUNBUFFERED"}
ENVIRONMENT = {**INHERITED, "PYTHONPATH": str(ROOT)}
COMMAND = (sys.executable, "-W", "error", "-m", "ndb_models")
GUARD = 60


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # type: ignore[call-overload, no-any-return]  # options are those of the function
        [*COMMAND, *arguments], env=ENVIRONMENT, capture_output=True, text=True, timeout=GUARD, check=False, **options
    )


def test_the_package_runs_as_a_module_under_the_command_s_name() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"ndb-models {__version__}\n", "")
    assert run("--help").stdout.startswith("usage: ndb-models ")


def test_the_module_says_what_is_wrong_as_the_command_does() -> None:
    done = run("srve")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "ndb-models: there is no command 'srve', did you mean serve? (see ndb-models --help)\n"


@pytest.mark.parametrize("arguments", [("--help",), ("serve", "--help"), ("--version",)])
def test_a_reader_that_has_gone_is_no_traceback(arguments: tuple[str, ...]) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [*COMMAND, *arguments], env=ENVIRONMENT, stdout=write, stderr=subprocess.PIPE, timeout=GUARD, check=False
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_under_the_output_is_status_1_and_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, "--help"], env=ENVIRONMENT, stdout=full, stderr=subprocess.PIPE, timeout=GUARD, check=False
        )
    assert done.returncode == 1
    assert done.stderr == b"ndb-models: standard output cannot be written: No space left on device\n"


ALL_CLOSED = "<&- >&- 2>&-"


@pytest.mark.parametrize(
    ("arguments", "closed", "status"),
    [
        ("--version", "<&-", 0),
        ("--version", ">&-", 0),
        ("serve --help", ">&-", 0),
        ("serve --help", ALL_CLOSED, 0),
        ("srve", "2>&-", 2),
        ("srve", ALL_CLOSED, 2),
    ],
)
def test_a_standard_stream_that_is_closed_is_no_traceback(arguments: str, closed: str, status: int) -> None:
    line = f"{' '.join(COMMAND)} {arguments} {closed}"
    done = subprocess.run(["sh", "-c", line], env=ENVIRONMENT, capture_output=True, timeout=GUARD, check=False)
    assert done.returncode == status
    assert b"Traceback" not in done.stderr
    assert b"Exception" not in done.stderr


def test_a_backup_without_standard_streams_is_whole(tmp_path: Path) -> None:
    store, copy = tmp_path / "a.db", tmp_path / "b.db"
    asyncio.run(fill(store))
    line = f"{' '.join(COMMAND)} backup --store sqlite:///{store} --to {copy} <&- >&- 2>&-"
    assert subprocess.run(["sh", "-c", line], env=ENVIRONMENT, timeout=GUARD, check=False).returncode == 0
    assert asyncio.run(read(copy)) == {"a": 1}


def test_a_name_that_the_terminal_cannot_show_is_no_traceback(tmp_path: Path) -> None:
    store = tmp_path / "a.db"
    asyncio.run(fill(store))
    done = subprocess.run(
        [*COMMAND, "backup", "--store", f"sqlite:///{store}", "--to", str(tmp_path / "é.db")],
        env={**ENVIRONMENT, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        timeout=GUARD,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\xe9.db" in done.stdout


async def fill(store: Path) -> None:
    async with NdbClient.connect(f"sqlite:///{store}") as client:
        await client.kv_set({"a": 1})
        session = await client.sh_create_session()
        await client.sh_set({"user": 7, "__ndb__": {"schema": "a", "version": 1, "tkn": session.tkn}}, session.tkn)


async def read(store: Path) -> Mapping[str, JsonValue]:
    async with NdbClient.connect(f"sqlite:///{store}") as client:
        return await client.kv_get(("a",))


def test_a_server_goes_on_and_stops_cleanly_where_nobody_reads_what_it_says() -> None:
    with subprocess.Popen(
        [*COMMAND, "serve", "--port", "0"], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert b"is ready" in process.stdout.readline()
        process.stdout.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(GUARD) == 0
        assert process.stderr.read() == b""


def test_an_interrupted_command_ends_with_status_130_and_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it takes connections, and never answers
        copying = ("copy", "--from", "snapshot:///.?keys=a", "--to", f"ws://127.0.0.1:{silent.getsockname()[1]}/")
        with subprocess.Popen([*COMMAND, *copying], env=ENVIRONMENT, stderr=subprocess.PIPE) as process:
            connection, _ = silent.accept()
            with connection:
                connection.recv(1)
                process.send_signal(signal.SIGINT)
                assert process.wait(GUARD) == 130
            assert process.stderr is not None
            assert process.stderr.read() == b""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such terminals")
def test_ctrl_c_at_a_question_is_status_130_and_nothing_is_done(tmp_path: Path) -> None:
    import pty

    store = tmp_path / "a.db"
    asyncio.run(fill(store))
    ours, theirs = pty.openpty()
    removing = ("keys", "rm", "a", "--store", f"sqlite:///{store}")
    with subprocess.Popen([*COMMAND, *removing], env=ENVIRONMENT, stdin=theirs, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        asked = process.stderr.read(len("Remove 1 key of "))
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(GUARD) == 130
        finally:
            process.kill()
    os.close(ours)
    os.close(theirs)
    assert asked == b"Remove 1 key of "
    assert asyncio.run(read(store)) == {"a": 1}


@pytest.mark.parametrize("command", ["sessions ls --where user=7", "keys get a", "keys ls --json", "sessions export"])
def test_a_command_whose_reader_has_gone_is_status_141(command: str, tmp_path: Path) -> None:
    store = tmp_path / "a.db"
    asyncio.run(fill(store))
    read_end, write_end = os.pipe()
    os.close(read_end)
    line = [*COMMAND, *command.split(), "--store", f"sqlite:///{store}"]
    try:
        done = subprocess.run(
            line, env=ENVIRONMENT, stdout=write_end, stderr=subprocess.PIPE, timeout=GUARD, check=False
        )
    finally:
        os.close(write_end)
    assert done.returncode == 141
    assert b"Traceback" not in done.stderr


def test_a_port_in_use_is_status_1_and_one_line_that_names_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("serve", "--port", str(port))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"ndb-models: port {port} of 127.0.0.1 cannot be listened on: address already in use\n"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_host_that_does_not_exist_is_status_1_and_one_line_that_names_it(workers: str, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'a.db'}"
    done = run("serve", "--insecure", "--host", "no-such-host.invalid", "--workers", workers, "--store", store)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("ndb-models: port 1987 of no-such-host.invalid cannot be listened on: ")
    assert done.stderr.count("\n") == 1


def health(port: int, *more: str) -> subprocess.CompletedProcess[str]:
    return run("health", "--port", str(port), *more)


def test_health_says_why_a_server_is_not_healthy() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        done = health(port)
    assert (done.returncode, done.stdout) == (1, "")
    reason = "connection refused; is the server running there?"
    assert done.stderr == f"ndb-models: http://127.0.0.1:{port}/readyz: {reason}\n"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 8\r\n\r\nloading\n", "it answers 503, loading"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "it answers 404, without a reason"),
        (b"+PONG\r\n", "it does not speak HTTP"),
        (b"", "it does not speak HTTP"),
    ],
)
def test_health_says_what_it_was_answered(answer: bytes, reason: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        command = [*COMMAND, "health", "--port", str(listening.getsockname()[1])]
        with subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE) as process:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)
            assert process.wait(GUARD) == 1
            assert process.stderr is not None
            said = process.stderr.read().decode()
    assert reason in said
    assert said.count("\n") == 1


def test_health_of_what_speaks_no_tls_says_so() -> None:
    certificate = str(ROOT / "tests" / "transport" / "tls" / "certificate.pem")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        command = [*COMMAND, "health", "--port", str(listening.getsockname()[1]), "--tls-cert", certificate]
        with subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE) as process:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            assert process.wait(GUARD) == 1
            assert process.stderr is not None
            assert b"it does not speak TLS" in process.stderr.read()


def test_health_does_not_wait_for_ever() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun = time.monotonic()
        done = health(silent.getsockname()[1])
    assert done.returncode == 1
    assert "no answer within 5 s" in done.stderr
    assert time.monotonic() - begun < GUARD
