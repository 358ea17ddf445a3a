"""What a server counts, as text that Prometheus reads (exposition format 0.0.4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from ndb_models.engine.tally import Tally
from ndb_models.server.traffic import Ending, Histogram, Refusal, Traffic
from ndb_models.stores.contract import Statistics
from ndb_models.version import __version__

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_Samples: TypeAlias = Iterable[tuple[Mapping[str, object], float]]


def exposition(traffic: Traffic, tally: Tally, store: Statistics, uptime: float) -> str:
    """Return all that there is to tell; `uptime` in seconds."""
    return "".join(_families(traffic, tally, store, uptime))


def _families(traffic: Traffic, tally: Tally, store: Statistics, uptime: float) -> Iterator[str]:
    yield _family("ndb_info", "gauge", "The version of the server.", [({"version": __version__}, 1)])
    yield _one("ndb_uptime_seconds", "gauge", "Seconds since the server started.", uptime)
    yield _one("ndb_connections", "gauge", "Clients that are connected.", traffic.admitted)
    yield _one("ndb_connections_opened_total", "counter", "Clients that were connected.", traffic.opened)
    yield _family(
        "ndb_handshakes_refused_total",
        "counter",
        "Handshakes that were refused.",
        [({"reason": reason.value}, traffic.refused[reason]) for reason in Refusal],
    )
    yield _family(
        "ndb_connections_ended_total",
        "counter",
        "Connections that the server ended by itself.",
        [({"reason": reason.value}, traffic.ended[reason]) for reason in Ending],
    )
    yield _one("ndb_received_bytes_total", "counter", "Bytes that clients sent.", traffic.received)
    yield _one("ndb_sent_bytes_total", "counter", "Bytes of answers.", traffic.sent)
    yield _family(
        "ndb_requests_total",
        "counter",
        "Requests that were answered, by command and status.",
        [({"command": command, "status": status}, number) for command, status, number in tally],
    )
    yield _histogram(
        "ndb_batch_seconds", "From reading what a client sent to having answered it, one read in 16.", traffic.batches
    )
    yield _histogram("ndb_wait_seconds", "Answering requests that had to wait.", traffic.waits)
    yield _one("ndb_sessions", "gauge", "Sessions in the store.", store.sessions)
    yield _one("ndb_session_keys", "gauge", "Keys that all sessions hold together.", store.keys)
    if store.expired is not None:
        yield _one("ndb_expired_total", "counter", "How often a session was found to have expired.", store.expired)
    if store.size is not None:
        yield _one("ndb_store_bytes", "gauge", "Bytes of names and values in the store.", store.size)


def _one(name: str, kind: str, meaning: str, value: float) -> str:
    return _family(name, kind, meaning, [({}, value)])


def _family(name: str, kind: str, meaning: str, samples: _Samples) -> str:
    lines = [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]
    lines += [_sample(name, labels, value) for labels, value in samples]
    return "\n".join(lines) + "\n"


def _histogram(name: str, meaning: str, histogram: Histogram) -> str:
    counts = histogram.cumulative()
    bounds = [*map(_number, histogram.bounds), "+Inf"]
    lines = [f"# HELP {name} {meaning}", f"# TYPE {name} histogram"]
    lines += [_sample(f"{name}_bucket", {"le": bound}, count) for bound, count in zip(bounds, counts, strict=True)]
    lines += [_sample(f"{name}_sum", {}, histogram.total), _sample(f"{name}_count", {}, counts[-1])]
    return "\n".join(lines) + "\n"


def _sample(name: str, labels: Mapping[str, object], value: float) -> str:
    # Labels hold commands, statuses, reasons and bounds: nothing that would have to be escaped.
    inner = ",".join(f'{label}="{content}"' for label, content in labels.items())
    return f"{name}{{{inner}}} {_number(value)}" if inner else f"{name} {_number(value)}"


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.9g}"
