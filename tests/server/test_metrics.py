"""`/metrics` by the rules of Prometheus, and the dashboard that asks for them."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from ndb_models import __version__
from ndb_models.engine import Engine
from ndb_models.protocol.statuses import Status
from ndb_models.server import NdbServer, ServerOptions
from ndb_models.server.metrics import status_label
from ndb_models.stores.memory import MemoryStore
from ndb_models.stores.occupancy import StoreLimits
from tests.server.http_client import fetch
from tests.server.plain_client import ask, plain

DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana-dashboard.json"
UNITS = ("_seconds", "_bytes")
NO_PROC = not Path("/proc/self/stat").exists()


async def scraped(requests: int = 0) -> str:
    """Return the metrics of a server with every metric that there is, after some requests of a client."""
    store = MemoryStore(StoreLimits(size=1_000_000))
    async with NdbServer(Engine(store), ServerOptions(port=0)) as server, plain(server) as websocket:
        for _ in range(requests):
            await ask(websocket, "KV_COUNT")
        await ask(websocket, "SH_GET", tkn=7, keys=["a"])
        return (await fetch(server, "/metrics")).body


def families(text: str) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(text)}


async def test_a_parser_of_prometheus_reads_every_family() -> None:
    text = await scraped()
    read = families(text)
    declared = re.findall(r"(?m)^# TYPE (\S+) (\S+)$", text)
    assert len(declared) == len(read)
    for name, kind in declared:
        family = read[name.removesuffix("_total") if kind == "counter" else name]
        assert family.type == kind
        assert family.samples
        assert family.documentation.endswith(".")


async def test_names_follow_the_rules_of_prometheus() -> None:
    for family in families(await scraped()).values():
        assert re.fullmatch(r"(ndb|process)_[a-z_]+", family.name)
        assert not family.name.endswith(("_total", "_count", "_sum", "_bucket"))  # of counters the parser takes it off
        if family.type == "histogram":
            assert family.name.endswith(UNITS)
        for sample in family.samples:
            assert (family.type == "counter") is sample.name.endswith("_total")
            assert all(re.fullmatch(r"[a-z_]+", label) and not label.startswith("__") for label in sample.labels)


async def test_no_sample_stands_twice_and_each_ends_its_line() -> None:
    text = await scraped()
    samples = [line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")]
    assert len(set(samples)) == len(samples)
    assert text.endswith("\n")
    assert "\n\n" not in text


async def test_a_histogram_s_buckets_grow_and_end_with_its_count() -> None:
    for family in families(await scraped(20)).values():
        if family.type == "histogram":
            buckets = [sample for sample in family.samples if sample.name.endswith("_bucket")]
            bounds = [float(sample.labels["le"]) for sample in buckets]
            counts = [sample.value for sample in buckets]
            (count,) = [sample.value for sample in family.samples if sample.name.endswith("_count")]
            assert bounds == sorted(bounds)
            assert bounds[-1] == float("inf")
            assert counts == sorted(counts)
            assert counts[-1] == count


async def test_every_read_is_timed() -> None:
    """Each request of this client comes in a read of its own."""
    before, after = families(await scraped()), families(await scraped(33))
    counts = [
        sample.value
        for each in (before, after)
        for sample in each["ndb_batch_seconds"].samples
        if sample.name.endswith("_count")
    ]
    assert counts[1] - counts[0] == 33


async def test_statuses_have_the_protocol_s_names() -> None:
    requests = families(await scraped())["ndb_requests"].samples
    assert [(sample.labels, sample.value) for sample in requests] == [
        ({"command": "SH_GET", "status": "SessionNotExist"}, 1.0)
    ]
    labels = {status: status_label(status) for status in Status}
    assert labels[Status.OK] == "Ok"
    assert labels[Status.JSON_INVALID] == "JsonInvalid"
    assert labels[Status.SAVE_DIR_WRITE_FAIL] == "SaveDirWriteFail"
    assert len(set(labels.values())) == len(Status)


async def test_the_version_is_a_label_of_the_build() -> None:
    (sample,) = families(await scraped())["ndb_build_info"].samples
    assert (sample.labels, sample.value) == ({"version": __version__}, 1.0)


@pytest.mark.skipif(NO_PROC, reason="this system has no /proc")
async def test_the_process_tells_of_itself_what_the_system_says() -> None:
    read = families(await scraped())
    values = {name: family.samples[0].value for name, family in read.items() if name.startswith("process_")}
    assert values.keys() == {
        "process_cpu_seconds",
        "process_start_time_seconds",
        "process_virtual_memory_bytes",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_max_fds",
    }
    used = os.times()
    assert 0 < values["process_cpu_seconds"] <= used.user + used.system + 1
    begun = Path("/proc/self").stat().st_ctime  # when the kernel made the entry: at the start or later
    assert values["process_start_time_seconds"] <= min(begun, time.time()) + 1
    assert values["process_start_time_seconds"] > time.time() - used.elapsed
    assert 10e6 < values["process_resident_memory_bytes"] < values["process_virtual_memory_bytes"]
    assert 3 <= values["process_open_fds"] < values["process_max_fds"]


def queries(part: Any) -> Iterator[str]:
    """Yield every query of the dashboard, wherever in it that stands."""
    if isinstance(part, dict):
        for name, value in part.items():
            if name in ("expr", "query") and isinstance(value, str) and value != "prometheus":
                yield value
            else:
                yield from queries(value)
    elif isinstance(part, list):
        for each in part:
            yield from queries(each)


async def test_the_dashboard_asks_for_metrics_and_labels_that_exist() -> None:
    labels: dict[str, set[str]] = {}
    for family in families(await scraped(1)).values():
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels, {"job", "instance"})
    asked = list(queries(json.loads(DASHBOARD.read_text("utf-8"))))
    assert len(asked) > 10
    named: set[str] = set()
    for query in asked:
        metrics = set(re.findall(r"\b(?:ndb|process)_\w+", query))
        assert metrics, query
        assert metrics <= labels.keys(), query
        known = set[str]().union(*(labels[metric] for metric in metrics))
        grouped = {name.strip() for group in re.findall(r"\bby \(([^)]*)\)", query) for name in group.split(",")}
        matched = {
            name
            for braces in re.findall(r"\{([^}]*)\}", query)
            for name in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", braces)
        }
        assert grouped | matched <= known, query
        named |= metrics
    bare = {re.sub(r"_(bucket|count|sum)$", "", name) for name in named}
    assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in labels} - bare == {"process_virtual_memory_bytes"}


def test_every_rate_is_of_a_counter() -> None:
    for query in queries(json.loads(DASHBOARD.read_text("utf-8"))):
        for name in re.findall(r"\b(?:rate|increase)\(\s*(\w+)", query):
            assert name.endswith(("_total", "_bucket", "_count", "_sum")), query


def test_every_panel_has_a_title_a_place_and_the_chosen_data_source() -> None:
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in dashboard["panels"]:
        assert panel["title"]
        assert panel["gridPos"].keys() == {"h", "w", "x", "y"}
        if panel["type"] != "row":
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
