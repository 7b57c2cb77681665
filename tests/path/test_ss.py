"""What ss and nstat would say of two stacks."""

from __future__ import annotations

import re
from socket import AF_INET6

from nodes.client.ss import table
from nodes.sock.inet_diag import PAGE, snmp, sockets
from nodes.uapi.socket_row import SocketRow
from tests.path.two_hosts import PathHost, TwoHosts


def rows(host: PathHost) -> list[SocketRow]:
    page = sockets(host.stack, 0)
    assert not page.more
    return [*page.rows]


def test_a_listener_shows_its_queue_and_its_backlog(hosts: TwoHosts) -> None:
    hosts.connect(5000, backlog=8)
    waiting = hosts.a.socket()
    waiting.start_connect(hosts.b.address, 5000, hosts.now)
    hosts.run_until(lambda: any(row.recv_q for row in rows(hosts.b) if row.state == "LISTEN"), 5)
    (listener,) = [row for row in rows(hosts.b) if row.state == "LISTEN"]
    assert listener == SocketRow("LISTEN", 1, 8, ("0.0.0.0", 5000), ("0.0.0.0", 0), {})


def test_a_connection_shows_what_is_unread_and_unacknowledged(hosts: TwoHosts) -> None:
    client, _ = hosts.connect(5000)
    hosts.a.send(client, b"bytes not read")
    hosts.rest(0.1)
    (server,) = [row for row in rows(hosts.b) if row.state == "ESTAB"]
    assert (server.recv_q, server.send_q, server.local) == (14, 0, ("10.0.1.2", 5000))
    assert server.info["bytes_received"] == 14
    hosts.to_b.lose = lambda _: True
    hosts.a.send(client, b"on its way")
    hosts.rest(0.001)
    (row,) = rows(hosts.a)
    assert (row.state, row.recv_q, row.send_q, row.remote) == ("ESTAB", 0, 10, ("10.0.1.2", 5000))
    hosts.to_b.lose = lambda _: False


def test_a_connection_in_time_wait_whose_last_ack_waits_for_the_nic_is_shown(hosts: TwoHosts) -> None:
    client, server = hosts.connect(5000)
    client.shutdown(1, hosts.now)
    hosts.rest(0.1)
    hosts.a.device.tx.ring_size = 0  # full
    server.shutdown(1, hosts.now)
    hosts.rest(0.1)
    assert [(row.state, row.local) for row in rows(hosts.a)] == [("TIME-WAIT", ("10.0.1.1", client.local[1]))]
    hosts.a.device.tx.ring_size = 1


def test_the_text_has_the_columns_and_names_of_ss(hosts: TwoHosts) -> None:
    client, _ = hosts.connect(5000, family=AF_INET6)
    assert client.connection is not None
    client.connection.sockopt.set_max_pacing_rate(10_000_000)
    hosts.a.send(client, bytes(60_000))
    hosts.rest(0.1)
    title, line, details = table(rows(hosts.a)).splitlines()
    assert title.split()[:3] == ["State", "Recv-Q", "Send-Q"]
    ends = [f"[2001:db8::1]:{client.local[1]}", "[2001:db8::2]:5000"]
    assert line.split() == ["ESTAB", "0", "0", *ends]
    assert details.startswith("\t cubic wscale:")
    assert re.search(r" rto:[\d.]+ rtt:[\d.]+/[\d.]+ mss:1428 ", details)
    assert " bytes_acked:60000 " in details
    assert re.search(r" pacing_rate \d+bps/80000000bps ", details)
    listener = table(rows(hosts.b)).splitlines()[-1]
    assert listener.split() == ["LISTEN", "0", "8", "[::]:5000", "[::]:*"]


def test_a_long_table_comes_in_pages(hosts: TwoHosts) -> None:
    listening = []
    for _ in range(PAGE + 10):
        sock = hosts.a.socket()
        sock.listen(1)
        listening.append(sock.local[1])
    first = sockets(hosts.a.stack, 0)
    second = sockets(hosts.a.stack, PAGE)
    assert (len(first.rows), first.more, len(second.rows), second.more) == (PAGE, True, 10, False)
    assert sorted(row.local[1] for row in (*first.rows, *second.rows)) == sorted(listening)


def test_counters_have_the_names_of_nstat(hosts: TwoHosts) -> None:
    hosts.connect(5000)
    counters = snmp(hosts.b.stack)
    assert counters["TcpPassiveOpens"] == 1
    assert counters["IpInReceives"] >= 2
    assert {"TcpExtListenDrops", "TcpExtSyncookiesSent", "Icmp6InPktTooBigs"} <= set(counters)
    name = re.compile(r"(Ip|Ip6|Icmp|Icmp6|Tcp|TcpExt|Udp|Udp6)[A-Z]\w+")
    assert [each for each in counters if not name.fullmatch(each)] == []
