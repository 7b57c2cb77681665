"""TCP keeps little in a device: while the wire is busy, connections take turns."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from nodes.nic.wire_port import TxOffload
from nodes.sock.devmem_socket import DevmemSocket
from tests.path.two_hosts import STEP_S, CableEnd, TwoHosts

MESSAGE = bytes(2 << 20)
IN_DEVICE = 4  # super-packets of one turn of a connection: so many may find a busy wire


class Busy:
    """The wire of host a takes `room` frames."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room = 1 << 30
        self.lengths: list[int] = []
        send = CableEnd.send

        def limited(end: CableEnd, headers: bytes, payload: Sequence[memoryview], offload: TxOffload) -> bool:
            if not self.room:
                return False
            self.room -= 1
            self.lengths.append(sum(map(len, payload)))
            return send(end, headers, payload, offload)

        monkeypatch.setattr(CableEnd, "send", limited)


def grown(hosts: TwoHosts, port: int) -> tuple[DevmemSocket, DevmemSocket]:
    """A connection whose window has room for many super-packets."""
    client, server = hosts.connect(port)
    connection = client.connection
    assert connection is not None
    left = 8 * len(MESSAGE)
    while connection.bytes_acked < 8 * len(MESSAGE):
        if connection.send_room and left:
            left -= hosts.a.send(client, MESSAGE[:left])
        hosts.step()
        if server.recv_queue.length:
            hosts.b.recv(server, len(MESSAGE))
    return client, server


def test_a_busy_wire_leaves_little_of_a_connection_in_the_device(
    hosts: TwoHosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _ = grown(hosts, 5000)
    busy = Busy(monkeypatch)
    busy.room = 3
    hosts.a.send(client, MESSAGE)
    hosts.a.turn()
    assert len(busy.lengths) == 3
    assert 0 < hosts.a.device.tx.waiting <= IN_DEVICE
    assert client.connection is not None
    assert client.connection.unsent_bytes > len(MESSAGE) // 2
    busy.room = 1 << 30
    hosts.a.turn()
    assert not hosts.a.device.tx.waiting
    assert client.connection.unsent_bytes == 0, "a wire that is writable again is enough to go on"


def test_connections_take_turns_of_few_super_packets(
    hosts: TwoHosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = [grown(hosts, port)[0] for port in (5000, 5001)]
    busy = Busy(monkeypatch)
    busy.room = 16
    for client in clients:
        hosts.a.send(client, MESSAGE)
    hosts.a.turn()
    unsent = [client.connection.unsent_bytes for client in clients if client.connection is not None]
    assert abs(unsent[0] - unsent[1]) <= IN_DEVICE * max(busy.lengths)


def test_an_ack_leaves_behind_few_super_packets(hosts: TwoHosts, monkeypatch: pytest.MonkeyPatch) -> None:
    """One connection of a host sends, another one is sent to while the wire is busy."""
    receiver, theirs = hosts.connect(5001)
    sender, _ = grown(hosts, 5000)
    busy = Busy(monkeypatch)
    hosts.b.send(theirs, bytes(1400))
    hosts.b.send(theirs, bytes(1400))
    hosts.b.turn()
    busy.room = 1
    hosts.a.send(sender, MESSAGE)
    hosts.a.turn()
    assert hosts.a.device.tx.stopped
    hosts.now += STEP_S
    hosts.a.turn()
    assert hosts.a.recv(receiver, 3000) == bytes(2800)
    busy.lengths.clear()
    busy.room = 1 << 30
    hosts.a.turn()
    assert busy.lengths.index(0) <= 2 * IN_DEVICE, "what the device had, and one turn of the sender"
