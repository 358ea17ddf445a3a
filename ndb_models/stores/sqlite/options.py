"""Which file, and how it is treated; and the URI that says so."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias, get_args
from urllib.parse import parse_qsl, unquote, urlsplit

from ndb_models.errors import InvalidArgumentError

Synchronous: TypeAlias = Literal["full", "normal"]

_EXAMPLE: Final = "try 'sqlite:///sessions.db', or 'sqlite:////var/lib/app/sessions.db' for a path from the root"
_LONGEST_WAIT: Final = 3600.0


@dataclass(frozen=True, slots=True)
class SqliteOptions:
    """How a file is treated.

    Args:
        synchronous: "full": what was acknowledged survives a power loss. "normal": it survives the process, killed or
            not, but a power loss may take the last of it; what is left is whole all the same.
        busy_timeout: how many seconds to wait for other processes that write, before it is a `StoreLockedError`.

    Raises:
        InvalidArgumentError: one of them is none of these.
    """

    synchronous: Synchronous = "full"
    busy_timeout: float = 5.0

    def __post_init__(self) -> None:
        if self.synchronous not in get_args(Synchronous):
            raise InvalidArgumentError("synchronous is 'full' or 'normal'")
        given: object = self.busy_timeout
        if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 <= given <= _LONGEST_WAIT:
            raise InvalidArgumentError(f"busy_timeout is a number of seconds from 0 to {_LONGEST_WAIT:g}")


@dataclass(frozen=True, slots=True)
class SqliteUri:
    """`sqlite:///PATH`, what is left of the options, and those that are the store's."""

    path: str
    options: SqliteOptions
    persist_path: str | None = None

    @property
    def shown(self) -> str:
        """The URI without its options."""
        return f"sqlite:///{self.path}"

    @property
    def file(self) -> str:
        """The file itself: the same for all the ways to write its path."""
        return os.path.realpath(self.path)


def parse_sqlite_uri(text: str) -> SqliteUri:
    """Return what a `sqlite://` URI says.

    Three slashes and a path: a relative one, or, with the fourth slash, one from the root. What has a meaning of its
    own in a URI is written as `%3F`, `%23` and `%25`.

    Raises:
        InvalidArgumentError: it names no file, or has options that do not exist, or are no such values.
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
    return SqliteUri(path, _read_options(options), persist_path)


def _read_options(given: Mapping[str, str]) -> SqliteOptions:
    unknown = given.keys() - {"synchronous", "busy_timeout"}
    if unknown:
        raise InvalidArgumentError(
            f"unknown option {min(unknown)!r} in the URI; sqlite:// has 'synchronous', 'busy_timeout', 'persist_path'"
        )
    options = SqliteOptions()
    if "busy_timeout" in given:
        try:
            options = replace(options, busy_timeout=float(given["busy_timeout"]))
        except ValueError:
            raise InvalidArgumentError("busy_timeout is a number of seconds") from None
    synchronous: Any = given.get("synchronous", options.synchronous)  # looked at by the options themselves
    return replace(options, synchronous=synchronous)
