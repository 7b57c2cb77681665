"""The text that Prometheus reads, by prometheus_client's own parser, and the server that hands it out."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from commands.live.metrics_server import ADDRESS, MetricsServer
from commands.live.openmetrics import CONTENT_TYPE, Exposed, openmetrics
from commands.usage import UsageError
from tests.commands.live.readings import busy_run
from tests.docs import pages
from topologies.shapes.registry import build

NODES = {"h1-eth0": "h1", "s1-eth1": "s1"}
H1 = (("host", "h1"),)
NIC = (*H1, ("nic", "h1-eth0"))


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    return {
        (each.name, tuple(sorted(each.labels.items()))): each.value
        for family in families
        for each in family.samples
    }


def pool(number: str, memory: str) -> tuple[tuple[str, str], ...]:
    return (*H1, ("memory", memory), ("nic", "h1-eth0"), ("pool", number))


def test_every_counter_is_a_sample_with_its_labels() -> None:
    text = openmetrics(Exposed("r", busy_run(), NODES)).decode()
    assert text.endswith("# EOF\n")
    found = samples(text)
    rx, tx = (("direction", "receive"), *NIC), (("direction", "transmit"), *NIC)
    read, write = ((("access", kind), *H1) for kind in ("read", "write"))
    assert {key: value for key, value in found.items() if value} == {
        ("devmem_run_info", (("run", "r"),)): 1,
        ("devmem_host_up", H1): 1,
        ("devmem_nic_payload_bytes_total", rx): 11,
        ("devmem_nic_payload_bytes_total", tx): 12,
        ("devmem_tcp_retransmitted_segments_total", (*H1, ("stack", "endpoint"))): 13,
        ("devmem_tcp_retransmitted_segments_total", (*H1, ("stack", "linux"))): 19,
        ("devmem_host_receive_drops_total", H1): 14,
        ("devmem_host_dram_bytes_total", read): 15,
        ("devmem_host_dram_bytes_total", write): 16,
        ("devmem_interface_bytes_total", rx): 17,
        ("devmem_interface_bytes_total", tx): 18,
        ("devmem_queue_drops_total", (("interface", "h1-eth0"), ("node", "h1"))): 20,
        ("devmem_queue_drops_total", (("interface", "s1-eth1"), ("node", "s1"))): 21,
        ("devmem_endpoint_cpu_seconds_total", H1): 1.5,
        ("devmem_page_pool_use_ratio", H1): 0.25,
        ("devmem_page_pool_use_peak_ratio", H1): 0.5,
        ("devmem_page_pool_inflight_bytes", pool("1", "host")): 4096,
        ("devmem_page_pool_inflight_bytes", pool("2", "dmabuf")): 8192,
    }
    assert found["devmem_host_up", (("host", "h2"),)] == 0
    assert [key for key in found if ("host", "h2") in key[1]] == [("devmem_host_up", (("host", "h2"),))]


def test_the_page_lists_every_metric_and_no_other() -> None:
    rows = pages.table("docs/watch.md", "Metrics")
    listed = [(name, frozenset(labels.replace(",", "").split())) for name, labels, _ in rows]
    found = samples(openmetrics(Exposed("r", busy_run(), NODES)).decode())
    assert len(listed) == len(set(listed))
    assert {(f"`{name}`", frozenset(key for key, _ in labels)) for name, labels in found} == set(listed)


@pytest.fixture
def server() -> Iterator[MetricsServer]:
    with MetricsServer(0) as server:
        yield server


def get(server: MetricsServer, path: str) -> tuple[int, str | None, bytes]:
    port = int(server.url.removesuffix("/metrics").rpartition(":")[2])
    connection = http.client.HTTPConnection(ADDRESS, port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type"), answer.read()
    finally:
        connection.close()


def test_the_last_reading_is_served_on_loopback_alone(server: MetricsServer) -> None:
    assert server.url.startswith("http://127.0.0.1:")
    assert get(server, "/metrics")[0] == 503, "there is no reading yet"
    topology = build("star", 2)
    server.show("first", busy_run(), topology)
    server.show("r", busy_run(), topology)
    status, kind, body = get(server, "/metrics")
    assert (status, kind) == (200, CONTENT_TYPE)
    assert kind == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert body == openmetrics(Exposed("r", busy_run(), {**NODES, "s1-eth2": "s1", "h2-eth0": "h2"}))
    assert get(server, "/")[0] == 404


def test_a_port_that_is_in_use_is_named(server: MetricsServer) -> None:
    port = int(server.url.removesuffix("/metrics").rpartition(":")[2])
    with pytest.raises(UsageError, match=rf"^--metrics {port}: 127\.0\.0\.1:{port} .*; choose another port"):
        MetricsServer(port)
