"""The file and the options of a store, and the URI that gives both."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, get_args
from urllib.parse import parse_qsl, unquote, urlsplit

from ndb_models.errors import InvalidArgumentError, StoreError

Synchronous: TypeAlias = Literal["full", "normal"]

_EXAMPLE: Final = "try 'sqlite:///sessions.db', or 'sqlite:////var/lib/app/sessions.db' for a path from the root"
_MOST_SECONDS: Final[Mapping[str, float]] = {"busy_timeout": 3600.0, "extension_delay": 60.0}


@dataclass(frozen=True, slots=True)
class SqliteOptions:
    """The options of a store in a file.

    Args:
        synchronous: "full": acknowledged writes survive a power loss. "normal": they survive the process, killed or
            not, but a power loss may take the last ones. It never damages earlier ones.
        busy_timeout: the seconds that a batch of writes waits for other writing processes; then it raises
            `StoreLockedError`. A write that comes meanwhile waits for that batch first, so it may wait twice as long.
        extension_delay: the most seconds until an extension by a read is stored. It is never more than a quarter of
            the session's remaining time, so that the session does not expire for other processes meanwhile.

    Raises:
        InvalidArgumentError: an option has an invalid value.
    """

    synchronous: Synchronous = "full"
    busy_timeout: float = 5.0
    extension_delay: float = 1.0

    def __post_init__(self) -> None:
        if self.synchronous not in get_args(Synchronous):
            raise InvalidArgumentError("synchronous is 'full' or 'normal'")
        for name, most in _MOST_SECONDS.items():
            given: object = getattr(self, name)
            if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 <= given <= most:
                raise InvalidArgumentError(f"{name} is a number of seconds from 0 to {most:g}")


def resolved(path: str) -> str:
    """Return a path from the root, without links.

    Raises:
        InvalidArgumentError: it is not a valid path.
        StoreError: it cannot be followed: it is relative, say, and the working directory is gone.
    """
    try:
        return os.path.realpath(path)
    except ValueError:  # not as the cause: it holds the path
        raise InvalidArgumentError("a path holds neither a NUL nor half a surrogate pair") from None
    except OSError as exc:
        raise StoreError(path, f"the path cannot be followed: {exc.strerror or exc}") from exc


@dataclass(frozen=True, slots=True)
class SqliteUri:
    """The parts of `sqlite:///PATH`: the path, the store's options, and the engine's `persist_path`."""

    path: str
    options: SqliteOptions
    persist_path: str | None = None
    file: str = field(init=False)
    """The file itself, from the root: the same for every spelling of its path, even if links change later."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "file", resolved(self.path))

    @property
    def shown(self) -> str:
        """The URI without its options."""
        return f"sqlite:///{self.path}"


def parse_sqlite_uri(text: str) -> SqliteUri:
    """Parse a `sqlite://` URI.

    A path follows three slashes. It is relative, or, with a fourth slash, from the root. `?`, `#` and `%` in a path are
    written `%3F`, `%23` and `%25`.

    Raises:
        InvalidArgumentError: it names no file, or has unknown options or invalid values.
        StoreError: the path is relative, and the working directory is gone.
    """
    parts = urlsplit(text)
    path = unquote(parts.path[1:])
    if parts.netloc or not path or "\0" in path:
        raise InvalidArgumentError(f"the URI names no file; {_EXAMPLE}")
    if parts.fragment:
        raise InvalidArgumentError("the URI has a '#'; in a path it is written '%23'")
    if path.startswith(":memory:"):
        raise InvalidArgumentError("for a store in memory, use 'memory://'")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    persist_path = options.pop("persist_path", None)
    if persist_path:
        persist_path = resolved(persist_path)
    return SqliteUri(path, _read_options(options), persist_path)


def _read_options(given: Mapping[str, str]) -> SqliteOptions:
    known = ("synchronous", *_MOST_SECONDS)
    unknown = given.keys() - set(known)
    if unknown:
        has = ", ".join(map(repr, (*known, "persist_path")))
        raise InvalidArgumentError(f"unknown option {min(unknown)!r} in the URI; sqlite:// has {has}")
    read: dict[str, Any] = {**given}  # the options validate themselves
    for name in _MOST_SECONDS.keys() & given.keys():
        try:
            read[name] = float(given[name])
        except ValueError:
            raise InvalidArgumentError(f"{name} is a number of seconds") from None
    return SqliteOptions(**read)
