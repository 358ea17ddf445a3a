"""A private file that appears whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Generator
from pathlib import Path
from typing import IO

from ndb_models.errors import InvalidArgumentError
from ndb_models.private_files import make_private_file
from ndb_models.raising import raise_without_context


@contextlib.contextmanager
def private_output(path: Path, flag: str, *, overwrite: bool) -> Generator[IO[bytes]]:
    """Write a file of mode 0600. It gets its name at the end of the block, and is left out if the block raises.

    Args:
        path: its name.
        flag: the flag that gives the name, for errors.
        overwrite: replace a file that is there.

    Raises:
        InvalidArgumentError: there is a file already, or it cannot be written; names the flag.
    """
    if not overwrite and os.path.lexists(path):
        raise InvalidArgumentError(f"{flag}: {path} is there already; --overwrite replaces it")
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = make_private_file(partial)
    except OSError as exc:
        raise_without_context(InvalidArgumentError(f"{flag}: {path} cannot be written: {exc.strerror or exc}"))
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            partial.unlink()
