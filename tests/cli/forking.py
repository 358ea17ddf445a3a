"""`ndb-models` for scripts that call it many times: each call is a fork of one process that has imported it already.

`forking(folder)` puts the command into a folder. It behaves as `python -m ndb_models` does, with the arguments, the
environment, the working directory and the standard streams of its caller.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ndb_models.cli.main import main

_CALLER: Final = """\
#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as calling:
    calling.connect({path!r})
    call = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(calling, [len(call).to_bytes(4, "big")], [0, 1, 2])
    calling.sendall(call)
    sys.exit(int(calling.recv(3) or 70))
"""


@contextlib.contextmanager
def forking(folder: Path) -> Iterator[Path]:
    """Put `ndb-models` into a folder, until the end of the block."""
    path = folder / "calls"
    command = folder / "ndb-models"
    command.write_text(_CALLER.format(python=sys.executable, path=str(path)))
    command.chmod(0o755)
    with subprocess.Popen([sys.executable, "-m", "tests.cli.forking", path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield command
        finally:
            process.kill()


def serve(path: str) -> None:
    """Carry out each call in a fork."""
    with contextlib.redirect_stdout(None):
        main(["--version"])  # all commands are imported and made
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        os.write(1, b"ready\n")
        while True:
            caller, _ = listening.accept()
            with caller:
                if os.fork() == 0:
                    listening.close()
                    carry_out(caller)


def carry_out(caller: socket.socket) -> None:
    """Become the command that a caller asks for, tell it the status, and end."""
    size, streams, _, _ = socket.recv_fds(caller, 4, 3)
    with caller.makefile("rb") as file:
        arguments, directory, environment = json.loads(file.read(int.from_bytes(size, "big")))
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[0:0] = [directory, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    status: object = 1
    try:
        status = main(arguments)
    except SystemExit as exc:
        status = exc.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        caller.sendall(b"%d" % int(str(status or 0)))
        os._exit(0)


if __name__ == "__main__":
    serve(sys.argv[1])
