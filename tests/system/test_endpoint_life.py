"""How an endpoint starts, what ends it, and how many interfaces it takes."""

from __future__ import annotations

import hashlib
import os
import signal
import struct
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from nodes.client.host import Host
from nodes.machine import dmabuf
from tests.system.network import MIB, Network, accept, receive_devmem

pytestmark = pytest.mark.system


@pytest.mark.usefixtures("hosts")
def test_an_endpoint_stops_at_sigterm_and_removes_its_channel(network: Network) -> None:
    assert network.fabric.terminate(network.pids["h1"]) == 0
    assert not Path(network.channel("h1")).exists()


def test_an_interface_that_cannot_be_had_is_named_in_one_sentence_with_status_1(network: Network) -> None:
    argv = [sys.executable, "-m", "nodes.endpoint", "--channel", str(network.directory / "x.sock")]
    nic = network.nic("h1")
    of_linux, of_another = "is an address of Linux itself: choose one that", "is used by another endpoint on"
    with closing(network.host("h1")):
        for interface, address, more, expected in [
            ("nope0", "10.0.1.9/16", [], "interface 'nope0' cannot be opened: No such device"),
            ("lo", "10.0.1.9/16", [], "interface 'lo' is no Ethernet link: give a veth"),
            (nic.interface, nic.kernel_address, [], f"--address {nic.kernel_address} {of_linux}"),
            (nic.interface, nic.endpoint_address, [], f"{of_another} {nic.interface}"),
            (nic.interface, "10.0.1.9/16", ["--address6", nic.kernel_address6], of_linux),
            (nic.interface, "10.0.1.9/16", ["--address6", nic.endpoint_address6], of_another),
        ]:
            words = ["--interface", interface, "--address", address, *more]
            done = network.fabric.run("h1", [*argv, *words], 20)
            assert done.status == 1, words
            assert expected in done.stderr
            assert done.stderr.startswith("endpoint: ")
            assert done.stderr.count("\n") == 1


def test_a_namespace_without_any_address_has_room_for_an_endpoint(network: Network) -> None:
    """There, Linux lets a socket be bound to whatever is asked for."""
    channel = network.channel("alone")
    command = (
        "ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up; "
        f"exec {sys.executable} -m nodes.endpoint --interface v0 --address 10.9.0.1/16 "
        f"--address6 fd01::1/64 --channel {channel}"
    )
    network.fabric.spawn("h1", ["unshare", "-n", "sh", "-c", command], "alone.log")
    with closing(network.host("alone")) as host:
        assert (host.address, host.address6) == ("10.9.0.1", "fd01::1")


def test_an_address_in_use_on_the_link_ends_the_second_endpoint(network: Network) -> None:
    taken = network.nic("h2").endpoint_address
    argv = [
        sys.executable, "-m", "nodes.endpoint", "--interface", "h1-eth0", "--address", taken,
        "--mac", "02:00:00:00:99:01", "--channel", str(network.directory / "second.sock"),
    ]  # fmt: skip
    with closing(network.host("h2")):
        done = network.fabric.run("h1", argv, 20)
    assert done.status == 1
    assert f"address {taken.partition('/')[0]} is in use on the link" in done.stderr


def test_without_descriptors_left_an_endpoint_refuses_and_goes_on(network: Network) -> None:
    network.fabric.terminate(network.pids["h2"])
    nic = network.nic("h2")
    command = (
        f"ulimit -n 40; exec {sys.executable} -m nodes.endpoint --interface {nic.interface}"
        f" --address {nic.endpoint_address} --mac {nic.endpoint_mac} --channel {network.channel('h2')}"
    )
    network.fabric.spawn("h2", ["sh", "-c", command], "few.log")
    with closing(network.host("h2")) as h2, ExitStack() as stack:
        with pytest.raises(OSError):
            for _ in range(60):
                stack.enter_context(closing(h2.socket()))
        stack.close()
        wait_until_open(h2)


def test_a_capture_is_whole_after_sigkill_and_a_full_trace_ends_nothing(network: Network) -> None:
    network.fabric.terminate(network.pids["h2"])
    file = network.directory / "h2.pcapng"
    network.start("h2", "--pcap", str(file), "--trace", "/dev/full")
    with closing(network.host("h1")) as h1, closing(network.host("h2")) as h2:
        with closing(h2.socket()) as listener, closing(h1.socket()) as client:
            listener.bind((network.address("h2"), 5000))
            listener.listen()
            client.connect((network.address("h2"), 5000))
            client.sendall(bytes(5000))
        log = network.directory / "h2.log"
        until_at_most(lambda: file.stat().st_size > 1000 and "/dev/full" in log.read_text())
        os.kill(network.pids["h2"], signal.SIGKILL)
    assert "'/dev/full' cannot be written any more (No space left on device)" in log.read_text()
    left = file.read_bytes()
    while left:
        (length,) = struct.unpack_from("=I", left, 4)
        assert struct.unpack_from("=I", left, length - 4) == (length,)
        left = left[length:]


def until_at_most(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def wait_until_open(host: Host) -> None:
    deadline = time.monotonic() + 5
    while True:
        try:
            host.socket().close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


TWO_RAILS = """
ip link add v1 type veth peer name v2; ip link add w1 type veth peer name w2
for each in v1 v2 w1 w2; do ip link set $each up; done
{python} -m nodes.endpoint --nodad --channel {first} --interface v1 --address 10.9.1.1/24 \\
    --interface w1 --address 10.9.2.1/24 --address6 fd02::1/64 &
exec {python} -m nodes.endpoint --nodad --channel {second} --interface v2 --address 10.9.1.2/24 \\
    --interface w2 --address 10.9.2.2/24 --address6 fd02::2/64
"""


def test_device_memory_is_reached_by_the_second_interface_of_an_endpoint(
    network: Network,
) -> None:
    channels = {name: network.channel(name) for name in ("first", "second")}
    script = TWO_RAILS.format(python=sys.executable, **channels)
    network.fabric.spawn("h1", ["unshare", "-n", "sh", "-c", script], "rails.log")
    with ExitStack() as stack:
        first, second = (stack.enter_context(closing(network.host(name))) for name in channels)
        assert [nic.ifname for nic in second.nics] == ["v2", "w2"]
        assert second.nics[1].address6 == "fd02::2"
        ifindex = second.nics[1].ifindex
        ethtool = second.ethtool.of(ifindex)
        ethtool.rings_set({"tcp-data-split": "enabled", "hds-thresh": 0})
        ethtool.rss_set({"equal": 7})
        ethtool.ntuple_insert({"flow-type": "tcp4", "dst-port": 5000, "queue": 7})
        memory = stack.enter_context(closing(dmabuf.export(4 * MIB)))
        second.netdev.bind_rx({"ifindex": ifindex, "fd": memory.fd, "queues": [{"type": "rx", "id": 7}]})
        listener = stack.enter_context(closing(second.socket()))
        listener.bind(("10.9.2.2", 5000))
        listener.listen()
        content = hashlib.sha256(b"rail").digest() * 30_000
        client = stack.enter_context(closing(first.socket()))
        client.connect(("10.9.2.2", 5000))
        server = accept(stack, listener)
        assert client.getsockname()[0] == "10.9.2.1"
        digest = hashlib.sha256()
        with ThreadPoolExecutor() as pool:
            received = pool.submit(receive_devmem, server, memory, digest)
            client.sendall(content)
            client.shutdown(1)
            assert received.result() == len(content)
        assert digest.hexdigest() == hashlib.sha256(content).hexdigest()
        other = second.netdev.dump("qstats-get", {"ifindex": second.nics[0].ifindex})
        assert sum(each.get("rx-packets", 0) for each in other) == 0
