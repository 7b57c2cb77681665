"""A reading as OpenMetrics text, for Prometheus and what draws its data.

In: a RunCount. Out: the text. Pure; owns the names, which follow Prometheus's: units in them, counters end in
_total. What is not known has no sample; a host that is down has devmem_host_up 0 and no other. A counter
begins anew with an endpoint that was started again, as Prometheus expects of a process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from commands.live.counters import EndpointCount, RunCount

CONTENT_TYPE = CONTENT_TYPE_LATEST
_HOST, _NIC, _DIRECTION = ["host"], ["host", "nic"], ["host", "nic", "direction"]


@dataclass(frozen=True, slots=True)
class Exposed(Collector):
    """A reading of the run. `nodes`: the host or switch of each interface, as far as known."""

    run_id: str
    count: RunCount
    nodes: Mapping[str, str]

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("devmem_run", "The run that is watched.", value={"run": self.run_id})
        up = GaugeMetricFamily("devmem_host_up", "1 if the host's endpoint has answered.", labels=_HOST)
        for host in self.count.hosts:
            up.add_metric([host.name], float(host.endpoint is not None))
        yield up
        yield from self._nics()
        yield from self._tcp()
        yield from self._links()
        yield from self._pools()
        yield from self._machine()

    def _endpoints(self) -> Iterator[tuple[str, EndpointCount]]:
        return ((host.name, host.endpoint) for host in self.count.hosts if host.endpoint is not None)

    def _nics(self) -> Iterator[Metric]:
        payload = _counter(
            "nic_payload_bytes", "Payload moved by the emulated NIC, without headers.", _DIRECTION, "bytes"
        )
        packets = _counter("nic_packets", "Wire packets of the emulated NIC.", _DIRECTION)
        failed = _counter("nic_receive_alloc_failures", "Packets without a buffer.", _NIC)
        dropped = _counter("host_receive_drops", "Packets that the host's emulated NICs have dropped.", _HOST)
        for host, endpoint in self._endpoints():
            dropped.add_metric([host], endpoint.rx_drops)
            for nic in endpoint.nics:
                payload.add_metric([host, nic.name, "receive"], nic.rx_payload_bytes)
                payload.add_metric([host, nic.name, "transmit"], nic.tx_payload_bytes)
                packets.add_metric([host, nic.name, "receive"], nic.rx_packets)
                packets.add_metric([host, nic.name, "transmit"], nic.tx_packets)
                failed.add_metric([host, nic.name], nic.rx_alloc_fail)
        yield from (payload, packets, failed, dropped)

    def _tcp(self) -> Iterator[Metric]:
        again = _counter(
            "tcp_retransmitted_segments", "Segments sent again, by the TCP that did.", ["host", "stack"]
        )
        for host, endpoint in self._endpoints():
            again.add_metric([host, "endpoint"], endpoint.retransmits)
        for each in self.count.hosts:
            if each.linux_retransmits is not None:
                again.add_metric([each.name, "linux"], each.linux_retransmits)
        yield again

    def _links(self) -> Iterator[Metric]:
        carried = _counter(
            "interface_bytes",
            "Bytes of the host's interface, of all paths, headers too.",
            _DIRECTION,
            "bytes",
        )
        for host in self.count.hosts:
            for name, count in host.interfaces.items():
                carried.add_metric([host.name, name, "receive"], count.rx_bytes)
                carried.add_metric([host.name, name, "transmit"], count.tx_bytes)
        drops = _counter(
            "queue_drops", "Packets dropped by the queue in front of a link.", ["node", "interface"]
        )
        for name, dropped in sorted((self.count.drops or {}).items()):
            if name in self.nodes:
                drops.add_metric([self.nodes[name], name], dropped)
        yield from (carried, drops)

    def _pools(self) -> Iterator[Metric]:
        inflight = _gauge(
            "page_pool_inflight_bytes",
            "Memory taken from its provider: in use, posted to the NIC, or at rest in the pool.",
            ["host", "nic", "pool", "memory"],
            "bytes",
        )
        share = _gauge(
            "page_pool_use_ratio", "In use, of the rx queue's memory that is used most.", _HOST, "ratio"
        )
        peak = _gauge("page_pool_use_peak_ratio", "The highest so far, or in a trial.", _HOST, "ratio")
        for host, endpoint in self._endpoints():
            share.add_metric([host], endpoint.pool_share)
            peak.add_metric([host], endpoint.pool_peak_share)
            for pool in endpoint.pools:
                labels = [host, pool.nic, str(pool.id), pool.memory]
                inflight.add_metric(labels, pool.inflight_bytes)
        yield from (inflight, share, peak)

    def _machine(self) -> Iterator[Metric]:
        dram = _counter(
            "host_dram_bytes",
            "Accesses to host memory by NIC and endpoint (modelled).",
            ["host", "access"],
            "bytes",
        )
        cpu = _counter("endpoint_cpu_seconds", "CPU time of the host's endpoint.", _HOST, "seconds")
        for host, endpoint in self._endpoints():
            dram.add_metric([host, "read"], endpoint.dram_read_bytes)
            dram.add_metric([host, "write"], endpoint.dram_write_bytes)
            cpu.add_metric([host], endpoint.cpu_s)
        yield from (dram, cpu)


def openmetrics(exposed: Exposed) -> bytes:
    """Ends with # EOF."""
    text: bytes = generate_latest(exposed)  # type: ignore[no-untyped-call]
    return text


def _counter(name: str, help: str, labels: list[str], unit: str = "") -> CounterMetricFamily:
    return CounterMetricFamily(f"devmem_{name}", help, labels=labels, unit=unit)


def _gauge(name: str, help: str, labels: list[str], unit: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"devmem_{name}", help, labels=labels, unit=unit)
