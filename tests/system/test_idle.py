"""Many connections that say nothing: what they cost an endpoint, its channels to the application included."""

from __future__ import annotations

import resource
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from nodes.client.host import Host
from tests.system.network import PORT, Network, listen

pytestmark = pytest.mark.system

COUNT = 1000
OPEN = 10_000  # what the bound is for
BOUND_BYTES = 200 << 20
PEER = """
import resource, socket, sys, time
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
socks = [socket.create_connection((sys.argv[1], int(sys.argv[2]))) for _ in range(int(sys.argv[3]))]
time.sleep(60)
"""


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_idle_connections_send_nothing_and_ten_thousand_would_fit_in_200_mib(
    network: Network, hosts: tuple[Host, Host]
) -> None:
    h1, _ = hosts
    most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most[1] < 3 * COUNT:
        pytest.skip(f"the limit of open files is {most[1]}, and this needs {3 * COUNT}")
    pid = network.pids["h1"]
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most[1], most[1]))
        base = resident_bytes(pid)
        listener = listen(stack, h1)
        argv = [sys.executable, "-c", PEER, h1.address, str(PORT), str(COUNT)]
        network.fabric.spawn("h2", argv, "peer.log")
        for _ in range(COUNT):
            stack.enter_context(closing(listener.accept()[0]))
        each = (resident_bytes(pid) - base) / COUNT
        print(f"{base >> 20} MiB and {each / 1024:.1f} KiB a connection")
        assert base + OPEN * each < BOUND_BYTES
        time.sleep(0.5)
        before, ticks = h1.stats(), cpu_ticks(pid)
        time.sleep(2)
        after = h1.stats()
        assert after.tx_packets - before.tx_packets <= 2  # Linux may ask whether its neighbour is still there
        assert cpu_ticks(pid) - ticks <= 5
        assert len(h1.sockets()) == COUNT + 1
        assert h1.snmp()["TcpPassiveOpens"] == COUNT
