"""ethtool's settings, changed under living connections: the flow goes where it is told, and loses no byte."""

from __future__ import annotations

from nodes.sock.devmem_socket import DevmemSocket
from nodes.uapi.netlink import Channels, FeaturesSet, Ntuple, Rings, Rss
from tests.path.two_hosts import TwoHosts

DATA = bytes(range(256)) * 1024


def transfer(hosts: TwoHosts, client: DevmemSocket, server: DevmemSocket) -> None:
    """DATA from one to the other."""
    sent, got = 0, b""
    while len(got) < len(DATA):
        if sent < len(DATA):
            sent += hosts.a.send(client, DATA[sent : sent + 65536])
        hosts.run_until(lambda: bool(server.recv_queue.length))
        got += hosts.b.recv(server, 1 << 20)
    assert got == DATA


def receives(hosts: TwoHosts) -> list[int]:
    """Packets that each rx queue of b has received."""
    return [rxq.counters.rx_packets for rxq in hosts.b.device.all_rx_queues]


def test_a_flow_follows_the_channels_the_table_and_the_rules(hosts: TwoHosts) -> None:
    client, server = hosts.connect(7000)
    ethtool, header = hosts.b.ethtool, hosts.b.header
    for change, queues in (
        (lambda: ethtool.channels_set(Channels(header, rx_count=2)), {0, 1}),
        (lambda: ethtool.channels_set(Channels(header, rx_count=8)), set(range(8))),
        (lambda: ethtool.rss_set(Rss(header, indir=(5,))), {5}),
        (lambda: ethtool.ntuple_insert(Ntuple(header, dst_port=7000, queue=3)), {3}),
        (lambda: ethtool.rss_create(Rss(header, indir=(6,))), {3}),
        (lambda: ethtool.ntuple_insert(Ntuple(header, dst_port=7000, context=1, location=0)), {6}),
        (lambda: ethtool.rings_set(Rings(header, rx=32, tcp_data_split="enabled")), {6}),
    ):
        before = receives(hosts)
        change()
        transfer(hosts, client, server)
        assert {i for i, n in enumerate(receives(hosts)) if n > before[i]} <= queues


def test_a_flow_that_a_rule_discards_goes_on_when_the_rule_has_gone(hosts: TwoHosts) -> None:
    client, server = hosts.connect(7000)
    location = hosts.b.ethtool.ntuple_insert(Ntuple(hosts.b.header, dst_port=7000, queue=-1))
    hosts.a.send(client, DATA[:1000])
    hosts.rest(2.0)
    assert not server.recv_queue.length
    assert hosts.b.device.rx_steering_drops > 1
    hosts.b.ethtool.ntuple_delete(location)
    hosts.run_until(lambda: server.recv_queue.length == 1000)
    assert hosts.b.recv(server, 1000) == DATA[:1000]


def test_without_segmentation_offload_new_connections_send_wire_packets(hosts: TwoHosts) -> None:
    hosts.a.ethtool.features_set(FeaturesSet(hosts.a.header, {"tx-tcp-segmentation": False}))
    transfer(hosts, *hosts.connect(7000))
    assert hosts.a.device.tx.counters.tx_hw_gso_packets == 0
    hosts.a.ethtool.features_set(FeaturesSet(hosts.a.header, {"tx-tcp-segmentation": True}))
    transfer(hosts, *hosts.connect(7001))
    assert hosts.a.device.tx.counters.tx_hw_gso_packets > 0
