"""Copies from one source to one target, part by part."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from ndb_models.client import NdbClient
from ndb_models.client.options import OptionArguments
from ndb_models.errors import InvalidArgumentError
from ndb_models.moving.endpoints import Kinds, Source, Target
from ndb_models.moving.servers import ServerPlace
from ndb_models.moving.snapshots import SnapshotPlace, open_snapshots
from ndb_models.moving.stores import StorePlace, open_redis, open_sqlite
from ndb_models.raising import naming
from ndb_models.stores.redis.options import SCHEMES
from ndb_models.types import SessionToken

_PLACES: Final = (
    "'sqlite:///PATH', 'redis://HOST' and 'snapshot:///DIR?sessions=NAME&keys=OTHER'; shared keys alone are copied to"
    " 'ws://...' too"
)


@dataclass(slots=True)
class Copied:
    """How much was copied so far.

    Attributes:
        keys: the keys that were copied.
        sessions: the sessions that were copied.
        found: the entries that the target already had, where that can be known.
        most_sessions: a number that the sessions of the source do not exceed; None if it is not known.
    """

    keys: int = 0
    sessions: int = 0
    found: int = 0
    most_sessions: int | None = field(default=None, compare=False)


async def copy(
    source: str,
    target: str,
    *,
    only: Kinds | None = None,
    report: Callable[[Copied], None],
    names: tuple[str, str] = ("source", "target"),
    connect: OptionArguments | None = None,
) -> Copied:
    """Copy from one URI to another; return the counts.

    Sessions keep their tokens, their settings and their keys; their timers start afresh. To resume a copy that was cut
    short, call this again. A store or a server keeps the entries that it already has, and such sessions are not read
    again. A data set is written anew.

    Args:
        source: the URI of a place, see `_PLACES`.
        target: the URI of another place.
        only: the kinds to copy; None for all that the source has.
        report: called after each part.
        names: names for the two URIs in errors.
        connect: options of `NdbClient.connect`, such as `token`, for a target that is a server. None for the defaults,
            and for other targets.

    Raises:
        InvalidArgumentError: a URI names no place, `connect` is given for another target than a server, or the target
            cannot take the source's kinds. Then no data was copied. Also if a server would alter the value of a key:
            then the keys copied before stay.
        NdbError: a place failed.
    """
    async with contextlib.AsyncExitStack() as stack:
        with naming(names[0]):
            origin = await _open_source(source)
        stack.push_async_callback(origin.aclose)
        with naming(names[1]):
            destination = await _open_target(target, connect)
        stack.push_async_callback(destination.aclose)
        kinds = only or origin.kinds
        if kinds not in origin.kinds:
            raise InvalidArgumentError(f"{names[0]}: it names no {_listed(kinds & ~origin.kinds)}")
        if kinds not in destination.kinds:
            raise InvalidArgumentError(
                f"{names[1]}: it takes no {_listed(kinds & ~destination.kinds)}: {destination.refusal}"
            )
        return await _copy(origin, destination, kinds, report)


def _listed(kinds: Kinds) -> str:
    return " and no ".join(str(kind.name).lower() for kind in kinds)


async def _copy(source: Source, target: Target, kinds: Kinds, report: Callable[[Copied], None]) -> Copied:
    copied = Copied()
    if Kinds.KEYS in kinds:
        async for keys in source.keys():
            new = await target.put_keys(keys)
            copied.keys += len(keys) if new is None else new
            copied.found += 0 if new is None else len(keys) - new
            report(copied)
    if Kinds.SESSIONS in kinds:
        copied.most_sessions = await source.most_sessions()

        async def lacking(tokens: Sequence[SessionToken]) -> Sequence[SessionToken]:
            missing = await target.lacking(tokens)
            copied.found += len(tokens) - len(missing)
            report(copied)
            return missing

        async for records in source.sessions(lacking):
            created = await target.put_sessions(records)
            copied.sessions += created
            copied.found += len(records) - created
            report(copied)
    await target.finish(kinds)
    return copied


async def _open_source(uri: str) -> Source:
    if is_server(uri):
        raise InvalidArgumentError(
            "nothing is copied from a server: save there (SH_SAVE, KV_SAVE), and copy from the data sets,"
            " 'snapshot:///DIR?sessions=NAME&keys=OTHER'; 'sessions export' reads a server's sessions too"
        )
    return await _open_place(uri, is_source=True)


async def _open_target(uri: str, connect: OptionArguments | None) -> Target:
    if is_server(uri):
        return ServerPlace(await NdbClient.connect(uri, **(connect or {})))
    if connect is not None:
        raise InvalidArgumentError("options of a connection are for a server: 'ws://...'")
    return await _open_place(uri, is_source=False)


def is_server(uri: str) -> bool:
    """Tell whether `uri` names a server, not a file or a data set."""
    return uri.lower().startswith(("ws://", "wss://"))


async def _open_place(uri: str, *, is_source: bool) -> StorePlace | SnapshotPlace:
    try:
        scheme = urlsplit(uri).scheme
    except ValueError:
        raise InvalidArgumentError(f"a URI is malformed; places are {_PLACES}") from None
    if scheme == "sqlite":
        return await open_sqlite(uri, is_source=is_source)
    if scheme in SCHEMES:
        return await open_redis(uri)
    if scheme == "snapshot":
        return open_snapshots(uri)
    way = "from" if is_source else "to"
    raise InvalidArgumentError(f"nothing can be copied {way} there; places are {_PLACES}")
