"""Whole hosts on simulated lines: the same stack, the same client, other seconds."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from nodes.client.host import Host
from nodes.simulation.machine_model import CpuCosts, MachineSpec
from nodes.simulation.machines import MACHINES
from nodes.simulation.output import QueueLimits
from nodes.simulation.simulation import Node, Simulation
from tests.docs.pages import block
from tests.simulation.programs import Stream

ROOT = Path(__file__).parents[2]
LINE_BPS = 200_000_000_000
HEADERS = 14 + 20 + 32  # Ethernet, IPv4, TCP with timestamps
EXAMPLE = block("docs/simulation.md", "from nodes.client.host import Host")


def pair(simulation: Simulation, mtu: int = 1500, machine: MachineSpec | None = None) -> tuple[Node, Node]:
    how = {"mtu": mtu, **({"machine": machine} if machine else {})}
    a = simulation.add_host("a", "10.0.0.1/24", **how)  # type: ignore[arg-type]
    b = simulation.add_host("b", "10.0.0.2/24", **how)  # type: ignore[arg-type]
    return a, b


def run(stream: Stream, simulation: Simulation, a: Node, b: Node) -> None:
    b.spawn(stream.receiver)
    a.spawn(stream.sender)
    simulation.run()


def header_limit(mtu: int) -> float:
    """Of a line's bits, those that are payload when headers alone take the others."""
    mss = mtu - 20 - 32
    return mss / (mss + HEADERS + 24)


@pytest.mark.parametrize("mtu", [1500, 8244])
def test_a_stream_takes_what_headers_leave_of_200_gigabits(mtu: int) -> None:
    stream = Stream(total=48 << 20)
    with Simulation() as simulation:
        a, b = pair(simulation, mtu)
        out, _ = simulation.join(a, b, LINE_BPS, 5_000)
        run(stream, simulation, a, b)
        assert b.simulated.host.stack.tcp.mib.TcpRetransSegs == 0
        assert out.carried_packets >= stream.total // (mtu - 52)
    assert stream.wrong == 0
    share = stream.bits_per_second(skipped=16 << 20) / LINE_BPS
    assert 0.99 * header_limit(mtu) <= share <= header_limit(mtu)


@pytest.mark.parametrize("mtu", [1500, 8244])
def test_both_ways_at_once_ordinary_sends_fill_what_headers_leave(mtu: int) -> None:
    """Received into device memory, as published for 200 Gbit/s: 189 of them, and 96.6 %."""
    there, back = Stream(total=64 << 20), Stream(total=64 << 20, address="10.0.0.1")
    with Simulation() as simulation:
        a, b = pair(simulation, mtu, MACHINES["a3-high"])
        simulation.join(a, b, LINE_BPS, 5_000)
        for stream, sender, receiver in ((there, a, b), (back, b, a)):
            receiver.spawn(stream.receiver)
            sender.spawn(stream.ordinary_sender)
        simulation.run()
        assert [node.simulated.host.stack.tcp.mib.TcpRetransSegs for node in (a, b)] == [0, 0]
    assert [there.wrong, back.wrong] == [0, 0]
    for stream in (there, back):
        share = stream.bits_per_second(skipped=32 << 20) / LINE_BPS
        assert 0.99 * header_limit(mtu) <= share <= header_limit(mtu)


def test_an_answer_does_not_wait_for_the_window_of_a_stream() -> None:
    """Where a super-packet takes 5.5 ms of the line: an answer waits for the one on the line and one more,
    and not until the stream of 0.36 s has ended."""
    trips: list[float] = []
    ended: list[int] = []

    def taker(host: Host, port: int = 7000) -> None:
        listener = host.socket()
        listener.bind(("", port))
        listener.listen()
        connection, _ = listener.accept()
        while data := connection.recv(1 << 20):
            if port != 7000:
                connection.sendall(data)
        ended.append(port)

    def stream(host: Host) -> None:
        host.runtime.sleep(1e-3)
        sock = host.socket()
        sock.connect(("10.0.0.2", 7000))
        sock.sendall(bytes(4 << 20))
        sock.close()

    def asker(host: Host) -> None:
        host.runtime.sleep(0.1)
        sock = host.socket()
        sock.connect(("10.0.0.2", 7001))
        for _ in range(5):
            began = host.runtime.monotonic()
            sock.sendall(b"?")
            assert sock.recv(1) == b"?"
            trips.append(host.runtime.monotonic() - began)
        sock.close()

    with Simulation() as simulation:
        a = simulation.add_host("a", "10.0.0.1/24")
        b = simulation.add_host("b", "10.0.0.2/24", tcp_rmem="4096,4194304,4194304")
        simulation.join(a, b, 100_000_000, 1_000_000)
        b.spawn(taker)
        b.spawn(partial(taker, port=7001))
        a.spawn(stream, "stream")
        a.spawn(asker)
        simulation.run()
    assert ended == [7001, 7000]
    assert max(trips) < 2e-3 + 3 * 5.6e-3


def test_device_memory_receives_nothing_in_host_memory_but_headers() -> None:
    stream = Stream(total=4 << 20)
    with Simulation() as simulation:
        a, b = pair(simulation)
        simulation.join(a, b, LINE_BPS, 5_000)
        run(stream, simulation, a, b)
        moved = b.simulated.host.ledger.snapshot()
        payload = {
            (m.route.source.value, m.route.destination.value): m.bytes
            for m in moved
            if m.route.what.value == "payload"
        }
    assert payload == {("wire", "device"): stream.total}


def test_no_net_iov_is_left_when_the_programs_have_ended() -> None:
    with Simulation() as simulation:
        a, b = pair(simulation)
        simulation.join(a, b, LINE_BPS, 5_000)
        run(Stream(total=2 << 20), simulation, a, b)
        device = b.simulated.host.devices[2]
        queue = device.all_rx_queues[7]
        assert (queue.pool.provider.dmabuf_id, b.simulated.host.netdev.bindings) == (0, ())
        assert [pool.inflight for pool in device.detached_pools] == [0] * len(device.detached_pools)


def digest(seed: int) -> str:
    with Simulation(seed=seed) as simulation:
        a, b = pair(simulation)
        simulation.join(a, b, LINE_BPS, 5_000)
        run(Stream(total=1 << 20), simulation, a, b)
        return simulation.journal.digest


def test_a_run_is_the_same_to_the_bit_in_another_process_with_other_hashes() -> None:
    code = "from tests.simulation.test_hosts import digest; print(digest(7))"
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    other = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert other.stdout.strip() == digest(7)
    assert digest(8) != digest(7)


def test_a_switch_joins_hosts_and_two_senders_share_its_port() -> None:
    to = [Stream(total=8 << 20, address="10.0.0.9"), Stream(total=8 << 20, address="10.0.0.10")]
    with Simulation() as simulation:
        switch = simulation.add_switch()
        senders = [simulation.add_host(f"s{i}", f"10.0.0.{i + 1}/24") for i in range(2)]
        receivers = [simulation.add_host(f"r{i}", f"10.0.0.{i + 9}/24") for i in range(2)]
        for node in (*senders, *receivers):
            simulation.plug(node, switch, 100_000_000_000, 500)
        for stream, sender, receiver in zip(to, senders, receivers, strict=True):
            receiver.spawn(stream.receiver)
            sender.spawn(stream.sender)
        simulation.run()
    assert [stream.wrong for stream in to] == [0, 0]
    for stream in to:  # each has a line of its own
        assert stream.bits_per_second(skipped=4 << 20) >= 0.98 * header_limit(1500) * 1e11


def test_loss_in_a_small_queue_is_repaired_and_no_byte_is_wrong() -> None:
    stream = Stream(total=8 << 20)
    with Simulation() as simulation:
        switch = simulation.add_switch(QueueLimits(bytes=100_000))
        a, b = pair(simulation)
        simulation.plug(a, switch, LINE_BPS, 500)
        simulation.plug(b, switch, 10_000_000_000, 500)
        run(stream, simulation, a, b)
        assert switch.outputs[1].dropped_packets > 0
        assert a.simulated.host.stack.tcp.mib.TcpRetransSegs > 0
    assert stream.wrong == 0


def test_a_slow_memory_bus_holds_back_what_crosses_host_memory() -> None:
    """Headers alone cross it: at 3 GB/s a stream of device memory keeps its rate."""
    slow = MachineSpec("slow", dram_bytes_per_second=3e9)
    stream = Stream(total=16 << 20)
    with Simulation() as simulation:
        a, b = pair(simulation, machine=slow)
        simulation.join(a, b, LINE_BPS, 5_000)
        run(stream, simulation, a, b)
    assert stream.bits_per_second(skipped=8 << 20) >= 0.98 * header_limit(1500) * LINE_BPS


def test_the_pcie_switch_limits_what_a_nic_brings() -> None:
    stream = Stream(total=16 << 20)
    with Simulation() as simulation:
        a, b = pair(simulation, machine=MachineSpec("narrow", pcie_bytes_per_second=5e9))
        simulation.join(a, b, LINE_BPS, 5_000)
        run(stream, simulation, a, b)
    rate = stream.bits_per_second(skipped=8 << 20) / 8
    assert 0.95 * 5e9 <= rate <= 5e9


def test_the_cost_of_a_packet_on_the_cpu_limits_the_stream() -> None:
    stream = Stream(total=16 << 20)
    with Simulation() as simulation:
        a, b = pair(simulation, machine=MachineSpec("busy", CpuCosts(packet_ns=10_000)))
        simulation.join(a, b, LINE_BPS, 5_000)
        run(stream, simulation, a, b)
        assert b.simulated.platform.cpu_s() > 0
    # A super-packet is at most 64 KiB, and its ACKs cost as much again.
    assert stream.bits_per_second(skipped=4 << 20) <= 65536 * 8 / 10e-6


def test_the_first_example_of_the_guide_runs() -> None:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(EXAMPLE, "docs/simulation.md", "exec"), {"__name__": "guide"})
    told, sha = out.getvalue().splitlines()
    assert told.startswith("1048576 bytes in ")
    assert re.fullmatch("[0-9a-f]{64}", sha)


def test_what_a_simulated_host_cannot_do_is_said() -> None:
    said: list[str] = []
    with Simulation() as simulation:
        node = simulation.add_host("a", "10.0.0.1/24")

        def program(host: object) -> None:
            with pytest.raises(OSError, match="path kernel needs Mininet") as refused:
                host.kernel_socket()  # type: ignore[attr-defined]
            said.append(str(refused.value))
            with pytest.raises(OSError, match="no descriptor to poll"):
                host.socket().fileno()  # type: ignore[attr-defined]

        node.spawn(program)
        simulation.run()
    assert said
