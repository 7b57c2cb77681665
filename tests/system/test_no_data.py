"""docs/no-data.md word for word, and the stream that its chapter on small dma-bufs promises."""

from __future__ import annotations

import hashlib
import socket as linux
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.docs.pages import block
from tests.system.network import MIB, PORT, Network, accept, bind_rx, listen, receive_devmem
from tests.system.reader import project, standing, typed
from tests.system.transfer import Peers, send

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def test_linux_sends_32_mib_into_a_dmabuf_of_256_kib(network: Network) -> None:
    with ExitStack() as stack:
        peers = Peers(stack, network)
        memory = bind_rx(stack, peers.h2, size=256 << 10)
        listener = listen(stack, peers.h2)
        peer = peers.linux_socket()
        peer.settimeout(120)
        peer.connect((peers.h2.address, PORT))
        ours = accept(stack, listener)
        ours.settimeout(60)
        digest = hashlib.sha256()
        with ThreadPoolExecutor(1) as pool:
            sent = pool.submit(_send_and_end, peer, 32 * MIB)
            assert receive_devmem(ours, memory, digest) == 32 * MIB
            assert digest.hexdigest() == sent.result(10)


def _send_and_end(peer: linux.socket, size: int) -> str:
    digest = send(peer, memoryview(bytearray(MIB)), size, 3)
    peer.shutdown(linux.SHUT_WR)
    return digest


def test_the_pages_commands_show_rules_queues_pools_and_connections(tmp_path: Path) -> None:
    place = project(tmp_path)
    up, rules, queues, pools, counters, sockets, nstat, down = block(
        "docs/no-data.md", "python3 run.py up"
    ).splitlines()
    with standing(up, place):
        assert "rules" in typed(rules, place)
        assert '"id": 7' in typed(queues, place)
        assert "inflight" in typed(pools, place)
        assert "rx-alloc-fail" in typed(counters, place)
        assert typed(sockets, place).split()[:3] == ["State", "Recv-Q", "Send-Q"]
        assert "TcpExtTCPRcvQDrop" in typed(nstat, place)
        assert typed(down, place).endswith(" is down\n")
