"""Nonsense on an endpoint's channel harms no other process: streams go on, bindings stay, nothing leaks."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from contextlib import ExitStack

import pytest

from nodes.client.host import Host
from nodes.client.socket import Socket
from tests.system.network import PORT, Network, accept, bind_rx, listen
from topologies.mininet.fabric import PROJECT

pytestmark = pytest.mark.system

WITHOUT_ADMIN = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"]
CHUNK = 1 << 16


def test_other_applications_are_undisturbed_by_nonsense(
    network: Network, hosts: tuple[Host, Host], soak: bool
) -> None:
    h1, h2 = hosts
    seed = random.randrange(1 << 32) if soak else 11
    print(f"seed {seed}")
    with ExitStack() as stack:
        bind_rx(stack, h2)
        listener = listen(stack, h2, PORT + 1)
        sender = stack.enter_context(h1.socket())
        sender.settimeout(20)
        sender.connect((h2.address, PORT + 1))
        receiver = accept(stack, listener)
        open_before = descriptors(network.pids["h2"])
        noise = subprocess.Popen(
            [*WITHOUT_ADMIN, sys.executable, "-m", "tests.system.channel_noise",
             network.channel("h2"), str(seed), "100000" if soak else "5000"],
            cwd=PROJECT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        rounds = 0
        while noise.poll() is None or rounds < 3:
            sent = random.Random(rounds).randbytes(CHUNK)
            sender.sendall(sent)
            assert receive(receiver, CHUNK) == sent
            rounds += 1
        assert noise.stdout is not None
        assert noise.returncode == 0
        assert int(noise.stdout.read()) > 100, "hardly anything was answered"
        assert h2.netdev.queue_get()[7]["dmabuf"] == 1
        assert h2.ethtool.rings_get()["tcp-data-split"] == "enabled"
        deadline = time.monotonic() + 5
        while (left := descriptors(network.pids["h2"])) != open_before and time.monotonic() < deadline:
            time.sleep(0.05)
        assert left == open_before


def receive(sock: Socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += sock.recv(count - len(data))
    return data


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))
