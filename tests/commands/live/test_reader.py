"""Which hosts answer a reader: an endpoint that stops, and one that ends, keep nobody waiting."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import closing
from pathlib import Path

import pytest

from commands.live.reader import RunReader
from commands.running import find_run
from nodes.client.host import Host
from nodes.uapi.channel import Channel
from nodes.uapi.nic_records import NicInfo
from nodes.uapi.syscalls import Welcome
from topologies.mininet.inventory import Inventory, Record

WELCOME = Welcome("h1", "", (NicInfo("h1-eth0", 2, 1500, "10.0.1.1", 16),))
PATIENCE_S = 0.05


class Stopping:
    """An endpoint that welcomes the first who connects, and then stands still."""

    def __init__(self, path: Path) -> None:
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(str(path))
        self.listener.listen()
        self._channel: Channel | None = None
        self._thread = threading.Thread(target=self._welcome)
        self._thread.start()

    def _welcome(self) -> None:
        self._channel = Channel(self.listener.accept()[0])
        self._channel.receive_request()
        self._channel.send(WELCOME)

    def close(self) -> None:
        self._thread.join()
        if self._channel is not None:
            self._channel.close()
        self.listener.close()


def test_a_call_to_an_endpoint_that_stands_still_ends_by_the_time_limit(tmp_path: Path) -> None:
    with closing(Stopping(tmp_path / "h1.sock")):
        host = Host(str(tmp_path / "h1.sock"), 10)
        host.settimeout(PATIENCE_S)
        with pytest.raises(TimeoutError):
            host.stats()


def test_a_host_is_silent_while_its_endpoint_stands_still_and_down_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEVMEM_TESTBED_STATE", str(tmp_path / "state"))
    with Inventory.create("r") as inventory, closing(RunReader(PATIENCE_S)) as reader:
        inventory.add_host("h1", tmp_path / "h1.sock", os.getpid())
        run: Record = find_run("r")

        def state() -> str:
            (host,) = reader.read(run).hosts
            assert host.endpoint is None
            assert host.linux_retransmits is not None, "the Linux around it is there"
            return host.state

        with closing(Stopping(tmp_path / "h1.sock")):
            assert state() == "silent", "it has welcomed the reader"
            assert state() == "silent", "it does not even welcome it"
        assert state() == "down"
