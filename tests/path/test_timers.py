"""The timers of a host's sockets: about as many heap entries as there are sockets with a deadline."""

from __future__ import annotations

from math import inf

from nodes.tcp.keepalive import Keepalive
from tests.path.two_hosts import TwoHosts


def test_requests_between_keepalives_leave_no_entries_behind(hosts: TwoHosts) -> None:
    """Each turn from idle to busy moves the deadline from two hours away to a fifth of a second."""
    client, server = hosts.connect(5000)
    for sock in (client, server):
        assert sock.connection is not None
        sock.connection.sockopt.set_keepalive(Keepalive(7200, 75, 9))
    for _ in range(500):
        hosts.a.send(client, b"request")
        hosts.rest(0.25)
        assert hosts.b.recv(server, 100) == b"request"
    assert max(len(host.stack._xmit.timers._heap) for host in (hosts.a, hosts.b)) < 80
    assert client.connection is not None
    deadline = client.connection.next_timeout()
    assert deadline is not None
    assert hosts.a.stack._xmit.timers._heap[0][0] <= deadline, "and what counts is still among them"
    client.connection.sockopt.set_keepalive(None)


def test_forty_sockets_keep_their_deadlines_when_entries_are_thrown_away(hosts: TwoHosts) -> None:
    pairs = [hosts.connect(5000 + number) for number in range(40)]
    for client, _ in pairs:
        assert client.connection is not None
        client.connection.sockopt.set_keepalive(Keepalive(1000, 75, 9))
    for _ in range(6):
        for client, _ in pairs:
            hosts.a.send(client, b"x")
        hosts.rest(0.25)
        for _, server in pairs:
            hosts.b.recv(server, 10)
    hosts.rest(1001)
    assert hosts.a.stack.tcp.mib.TcpExtTCPKeepAlive == len(pairs)
    for client, _ in pairs:
        assert client.connection is not None
        client.connection.sockopt.set_keepalive(None)


def test_only_a_pacer_that_waits_asks_for_fine_timers(hosts: TwoHosts) -> None:
    plain, _ = hosts.connect(5000)
    paced, _ = hosts.connect(5001)
    assert paced.connection is not None
    paced.connection.sockopt.set_max_pacing_rate(1_000_000)
    stack = hosts.a.stack
    for client, length, fine in ((plain, 40_000, False), (paced, 1000, False), (paced, 40_000, True)):
        hosts.rest(5)
        assert not stack.fine_next
        hosts.a.send(client, bytes(length))
        hosts.a.turn()
        assert stack.fine_next == fine
    hosts.rest(1)
    assert not stack.fine_next


def test_a_timer_shorter_than_a_round_trip_asks_for_fine_timers(hosts: TwoHosts) -> None:
    """RACK's and the one of compressed ACKs: epoll would round them up to a millisecond."""
    client, _ = hosts.connect(5000)
    connection = client.connection
    assert connection is not None
    hosts.rest(5)
    hosts.a.send(client, bytes(1000))
    hosts.a.turn()
    assert not hosts.a.stack.fine_next
    connection.tcb.sender.recovery.reo_timeout_at = 1e9
    assert hosts.a.stack.fine_next
    connection.tcb.sender.recovery.reo_timeout_at = inf
    connection.tcb.receiver.comp_sack.at = 1e9
    assert hosts.a.stack.fine_next
    connection.tcb.receiver.comp_sack.at = inf
    hosts.rest(1)
