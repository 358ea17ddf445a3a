"""The counters of a server, as text for Prometheus (exposition format 0.0.4)."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias

from ndb_models.engine.answer_counts import AnswerCounts
from ndb_models.protocol.statuses import Status
from ndb_models.server.file_descriptors import descriptor_limit
from ndb_models.server.generations import WorkerState
from ndb_models.server.memory_limit import memory_used
from ndb_models.server.traffic import Ending, Histogram, Refusal, Traffic
from ndb_models.stores.contract import Statistics
from ndb_models.version import __version__

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_Samples: TypeAlias = Iterable[tuple[Mapping[str, object], float]]


def exposition(
    traffic: Traffic, answer_counts: AnswerCounts, store: Statistics | None, uptime: float, state: WorkerState
) -> str:
    """Return all metrics; `uptime` in seconds. Pass None as `store` if the store cannot be counted."""
    families = [_family(*each) for each in _labelled_metrics(traffic, answer_counts)]
    families += [
        _family(name, kind, meaning, [({}, value)])
        for name, kind, meaning, value in (
            *_traffic_metrics(traffic, uptime),
            *_store_metrics(store),
            *_generation_metrics(state),
            *process_metrics(),
        )
        if value is not None
    ]
    families += [_histogram(*each) for each in _durations(traffic)]
    return "".join(families)


def status_label(status: int) -> str:
    """Return the name of a status as NemesisDB spells it, such as `SessionNotExist`."""
    return Status(status).name.title().replace("_", "")


def _labelled_metrics(traffic: Traffic, answer_counts: AnswerCounts) -> Iterator[tuple[str, str, str, _Samples]]:
    yield "ndb_build_info", "gauge", "Always 1; the version is a label.", [({"version": __version__}, 1)]
    refused = [({"reason": reason.value}, traffic.refused[reason]) for reason in Refusal]
    yield "ndb_handshakes_refused_total", "counter", "Handshakes that were refused.", refused
    ended = [({"reason": reason.value}, traffic.ended[reason]) for reason in Ending]
    yield "ndb_connections_ended_total", "counter", "Connections that the server ended by itself.", ended
    requests = [
        ({"command": command, "status": status_label(status)}, number) for command, status, number in answer_counts
    ]
    yield "ndb_requests_total", "counter", "Requests that were answered, by command and status.", requests


def _traffic_metrics(traffic: Traffic, uptime: float) -> Iterator[Metric]:
    yield "ndb_uptime_seconds", "gauge", "Seconds since the server started.", uptime
    yield "ndb_connections", "gauge", "Clients that are connected.", traffic.admitted
    yield "ndb_connections_opened_total", "counter", "Clients that were connected.", traffic.opened
    yield "ndb_handshakes", "gauge", "Connections that are no clients yet.", traffic.handshakes
    meaning = "How often no connection could be accepted, for want of descriptors."
    yield "ndb_accepts_failed_total", "counter", meaning, traffic.accepts_failed
    yield "ndb_received_bytes_total", "counter", "Bytes that clients sent.", traffic.received
    yield "ndb_sent_bytes_total", "counter", "Bytes of answers.", traffic.sent
    meaning = "How often a connection had more to do than fits into one turn of the event loop."
    yield "ndb_turns_used_up_total", "counter", meaning, traffic.turns_used_up
    yield "ndb_misses_total", "counter", "Tokens that clients named and that no session has.", traffic.misses


def _store_metrics(store: Statistics | None) -> Iterator[Metric]:
    if store is not None:
        yield "ndb_sessions", "gauge", "Sessions in the store.", store.sessions
        yield "ndb_session_keys", "gauge", "Keys that all sessions hold together.", store.keys
        yield "ndb_expired_total", "counter", "How often a session was found to have expired.", store.expired
        meaning = "Bytes of memory that the store takes, as counted for its limit."
        yield "ndb_store_bytes", "gauge", meaning, store.size


def _generation_metrics(state: WorkerState) -> Iterator[Metric]:
    meaning = "Generation of tokens and certificate that this process serves."
    yield "ndb_generation", "gauge", meaning, state.served
    meaning = "Generation that the last reload asked for; it differs where the reload was refused."
    yield "ndb_generation_asked", "gauge", meaning, state.generations.asked


def _durations(traffic: Traffic) -> Iterator[tuple[str, str, Histogram]]:
    meaning = "From reading what a client sent to having answered it, of every read."
    yield "ndb_batch_seconds", meaning, traffic.batches
    yield "ndb_wait_seconds", "Answering requests that had to wait.", traffic.waits


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
    # Labels hold commands, statuses, reasons and bounds, which need no escaping.
    inner = ",".join(f'{label}="{content}"' for label, content in labels.items())
    return f"{name}{{{inner}}} {_number(value)}" if inner else f"{name} {_number(value)}"


def _number(value: float) -> str:
    return "+Inf" if value == math.inf else repr(value)


_SELF: Final = Path("/proc/self")
# Fields of /proc/self/stat after the name in parentheses, which may hold spaces: proc(5) numbers them from 3.
_START_TIME: Final = 22 - 3


Metric: TypeAlias = tuple[str, str, str, float | None]
"""Name, type, meaning, and value of a metric without labels; None for an unknown value, which is left out."""


def process_metrics() -> Iterator[Metric]:
    """Yield the system's figures for this process, with the names of Prometheus' client libraries.

    Times are in seconds, sizes in bytes. Most come from `/proc`. Unknown figures are left out.
    """
    yield "process_cpu_seconds_total", "counter", "User and system CPU time in seconds.", time.process_time()
    yield "process_max_fds", "gauge", "Most file descriptors that may be open.", descriptor_limit(wanted=0)
    try:
        fields = (_SELF / "stat").read_text("ascii", "replace").rpartition(")")[2].split()
        # Not counting the descriptor of this directory itself.
        open_fds = len(os.listdir(_SELF / "fd")) - 1  # noqa: PTH208 - only names, up to tens of thousands
        # Not from /proc/stat: a hardened service sees only its own processes.
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[_START_TIME]) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, IndexError, ValueError):  # no /proc, or none of this form
        return
    memory = memory_used()
    yield "process_start_time_seconds", "gauge", "When the process started, in seconds since 1970.", time.time() - age
    yield "process_virtual_memory_bytes", "gauge", "Virtual memory in bytes.", memory.virtual
    yield "process_resident_memory_bytes", "gauge", "Resident memory in bytes.", memory.resident
    yield "process_open_fds", "gauge", "Open file descriptors.", open_fds
