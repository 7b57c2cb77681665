"""Streams through device memory, bounce buffers and Linux, against iperf3 and the bare loop on AF_PACKET.

In: a Bench. Out: its figures of parts 64k, 512k, both-ways and niov. Owns the networks, for as long as a part
is measured. All are of two hosts on one link without a shape.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from tests.bench.figure import at_least, at_most
from tests.bench.network import Network
from tests.bench.rounds import Bench, Round
from workloads.experiment.records import ExperimentConfig, Sample
from workloads.stream import StreamOptions

MESSAGE = 4 << 20
BIG_TCP = 524280  # the most the kernel's IFLA_GSO_MAX_SIZE takes: 512 KiB less 8
_PORT = 5201


def stream(
    network: Network, path: str, seconds: float, bidir: bool = False, niov: int = 65536
) -> tuple[float, list[Sample]]:
    """Goodput in Gb/s of all receivers together, and the rows. SystemExit where bytes are wrong."""
    config = ExperimentConfig(
        topology="pair", hosts=2, workload="stream", sizes_bytes=(MESSAGE,), paths=(path,),
        options=StreamOptions(duration_s=seconds, bidir=bidir), timeout_s=20, niov_bytes=niov,
    )  # fmt: skip
    rows = network.trial(config, path)
    wrong = sum(row.wrong_elements or 0 for row in rows)
    if wrong:
        raise SystemExit(f"bench: {wrong} bytes of a {path} stream are wrong")
    receivers = rows if bidir else rows[1:]
    return sum(row.payload_received_bytes * 8 / row.time_s / 1e9 for row in receivers), rows


def iperf3(network: Network, seconds: float, bidir: bool = False) -> float:
    """Gb/s of iperf3 -C cubic from h1 to h2, or both ways together."""
    pid = network.fabric.spawn("h2", ["iperf3", "-s", "-1", "-p", str(_PORT)], "iperf3.log")
    time.sleep(0.2)
    address = network.kernel_address("h2")
    argv = ["iperf3", "-c", address, "-p", str(_PORT), "-C", "cubic", "-t", str(max(1, round(seconds))), "-J"]
    done = network.fabric.run("h1", [*argv, *(["--bidir"] if bidir else [])], seconds + 20)
    if done.status:
        network.fabric.terminate(pid)
        raise SystemExit(f"bench: iperf3 failed: {done.stdout} {done.stderr}")
    end = json.loads(done.stdout)["end"]
    sums = ("sum_received", "sum_received_bidir_reverse")[: 1 + bidir]
    return sum(float(end[name]["bits_per_second"]) for name in sums) / 1e9


def bare_loop(network: Network, seconds: float) -> float:
    """Gb/s of the loop that does nothing else."""
    words = [sys.executable, "-m", "tests.bench.bare_loop"]
    sender = network.fabric.spawn("h1", [*words, "send", network.interface("h1")], "bare.log")
    argv = [*words, "receive", network.interface("h2"), f"{seconds:g}"]
    done = network.fabric.run("h2", argv, seconds + 20)
    network.fabric.terminate(sender)
    if done.status:
        raise SystemExit(f"bench: the bare loop failed: {done.stderr}")
    return float(done.stdout)


def one_way(bench: Bench, gso_max_bytes: int) -> None:
    label = f"{round(gso_max_bytes / 1024)} KiB"
    small = gso_max_bytes == 65536
    seconds = bench.seconds
    with ExitStack() as stack:
        network = Network(stack, gso_max_bytes)
        stack.enter_context(network.endpoints())

        def one_round() -> Round:
            devmem, rows = stream(network, "devmem", seconds)
            found = {"devmem_gbps": devmem, "iperf3_gbps": iperf3(network, seconds)}
            bounce, bounce_rows = stream(network, "bounce", seconds)
            kernel, kernel_rows = stream(network, "kernel", seconds)
            if small:
                found["bare loop_gbps"] = bare_loop(network, seconds)
            resident = max(_resident_mib(pid) for pid in network.pids.values())
            return {
                **found, "bounce_gbps": bounce, "kernel_gbps": kernel, "resident_mib": resident,
                "devmem_s_per_gb": _cpu_s_per_gb(rows), "kernel_s_per_gb": _cpu_s_per_gb(kernel_rows),
                "devmem_dram": _dram_per_byte(rows), "bounce_dram": _dram_per_byte(bounce_rows),
                "devmem_headers": _headers_per_byte(rows),
            }  # fmt: skip

        rounds = bench.measure(f"streams of {label}", one_round)
    if small:
        goal = at_least(0.8)
        bench.against(f"devmem {label} / bare loop", rounds, "devmem_gbps", "bare loop_gbps", "Gb/s", goal)
    goal = at_least(0.65 if small else 1.5)
    bench.against(f"devmem {label} / iperf3", rounds, "devmem_gbps", "iperf3_gbps", "Gb/s", goal)
    bench.against(f"devmem {label} / bounce", rounds, "devmem_gbps", "bounce_gbps", "Gb/s", at_least(1.6))
    bench.against(f"bounce {label} / kernel", rounds, "bounce_gbps", "kernel_gbps", "Gb/s", at_least(0.4))
    cpu = [[r[f"{path}_s_per_gb"] for r in rounds] for path in ("devmem", "kernel")]
    bench.add(f"CPU of both ends, devmem {label}", cpu[0], "s/GB", None, cpu[1], "kernel")
    _add(bench, rounds, label, small)


def _add(bench: Bench, rounds: list[Round], label: str, small: bool) -> None:
    """What is held against no other path."""

    def values(key: str) -> list[float]:
        return [r[key] for r in rounds]

    goal = at_most(80, "value")
    bench.add(f"endpoint beyond dma-bufs, {label}", values("resident_mib"), "MiB", goal)
    goal_dram = at_most(0.006, "value") if small else None
    bench.add(f"DRAM devmem, {label}", values("devmem_dram"), "B/B", goal_dram)
    bench.add(f"DRAM bounce, {label}", values("bounce_dram"), "B/B")
    bench.add(f"headers devmem without coalescing, {label}", values("devmem_headers"), "B/B")


def both_ways(bench: Bench) -> None:
    with ExitStack() as stack:
        network = Network(stack)
        stack.enter_context(network.endpoints())

        def one_round() -> Round:
            ours, _ = stream(network, "devmem", bench.seconds, bidir=True)
            return {"devmem_gbps": ours, "iperf3_gbps": iperf3(network, bench.seconds, bidir=True)}

        rounds = bench.measure("both ways at once", one_round)
    bench.against(
        "devmem both ways, the sum / iperf3 --bidir",
        rounds,
        "devmem_gbps",
        "iperf3_gbps",
        "Gb/s",
        at_least(0.8),
    )


def small_niovs(bench: Bench) -> None:
    """net_iovs of 4 KiB against those of 64 KiB."""
    with ExitStack() as stack:
        network = Network(stack)

        def one_round() -> Round:
            found = {}
            for size in (4096, 65536):
                with network.endpoints(niov_bytes=size):
                    found[f"{size >> 10} KiB_gbps"], _ = stream(network, "devmem", bench.seconds, niov=size)
            return found

        rounds = bench.measure("net_iovs", one_round)
    bench.against("devmem, 4 KiB net_iovs", rounds, "4 KiB_gbps", "64 KiB_gbps", "Gb/s", at_least(0.6))


def _resident_mib(pid: int) -> float:
    """Memory of a process that is no memfd: a dma-buf of an application is RssShmem."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return sum(int(status[name].split()[0]) for name in ("RssAnon", "RssFile")) / 1024


def _cpu_s_per_gb(rows: list[Sample]) -> float:
    """CPU seconds of applications and endpoints for each GB that was received."""
    used = sum(row.app_cpu_s + row.endpoint_cpu_s for row in rows)
    return used / (sum(row.payload_received_bytes for row in rows) / 1e9)


def _dram_per_byte(rows: list[Sample]) -> float:
    """Host DRAM accesses per payload byte sent or received (modelled)."""
    return sum(row.host_dram_read_bytes + row.host_dram_write_bytes for row in rows) / _payload(rows)


def _headers_per_byte(rows: list[Sample]) -> float:
    return sum(row.header_host_dram_uncoalesced_bytes or 0 for row in rows) / _payload(rows)


def _payload(rows: list[Sample]) -> int:
    return sum(row.payload_sent_bytes + row.payload_received_bytes for row in rows)
