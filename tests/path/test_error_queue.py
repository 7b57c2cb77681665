"""ICMP errors in the error queue; what is expected is what Linux 6.18 gave an application."""

from __future__ import annotations

import errno
import select
import socket
from contextlib import ExitStack
from socket import AF_INET, AF_INET6

import pytest

from nodes.sock.devmem_socket import DevmemSocket
from nodes.sock.errqueue import Event
from nodes.sock.tcp_poll import poll_events
from nodes.uapi import socket as uapi
from nodes.uapi import syscalls
from nodes.wire import icmp, icmpv6, ip
from tests.path.test_icmp_errors import Router, connecting
from tests.path.test_session import Kernel
from tests.path.test_tcp_options import give
from tests.path.two_hosts import PathHost, TwoHosts

IP, IPV6 = socket.IPPROTO_IP, socket.IPPROTO_IPV6
RECVERR: dict[int, tuple[int, int]] = {AF_INET: (IP, uapi.IP_RECVERR), AF_INET6: (IPV6, uapi.IPV6_RECVERR)}
ICMP, ICMP6 = uapi.SO_EE_ORIGIN_ICMP, uapi.SO_EE_ORIGIN_ICMP6
CASES = [
    (AF_INET, icmp.UNREACHABLE, 1, 0, uapi.ExtendedErr(errno.EHOSTUNREACH, ICMP, 3, 1, 0, 0, 0)),
    (AF_INET, icmp.TIME_EXCEEDED, 0, 0, uapi.ExtendedErr(errno.EHOSTUNREACH, ICMP, 11, 0, 0, 0, 0)),
    (AF_INET, icmp.PARAMETER_PROBLEM, 0, 20, uapi.ExtendedErr(errno.EPROTO, ICMP, 12, 0, 0, 20, 0)),
    (AF_INET6, icmpv6.UNREACHABLE, 3, 0, uapi.ExtendedErr(errno.EHOSTUNREACH, ICMP6, 1, 3, 0, 0, 0)),
    (AF_INET6, icmpv6.PARAMETER_PROBLEM, 1, 6, uapi.ExtendedErr(errno.EPROTO, ICMP6, 4, 1, 0, 6, 0)),
]


@pytest.fixture
def router(hosts: TwoHosts) -> Router:
    return Router(hosts)


def address_of(host: PathHost, family: int) -> int:
    return host.address6 if family == AF_INET6 else host.address


@pytest.mark.parametrize("recverr", [0, 1])
@pytest.mark.parametrize(("family", "kind", "code", "number", "expected"), CASES)
def test_an_attempt_to_connect_leaves_the_error_in_the_queue(
    router: Router, recverr: int, family: int, kind: int, code: int, number: int, expected: uapi.ExtendedErr
) -> None:
    """Whether or not IP_RECVERR is set. `number`: the pointer of a parameter problem."""
    client = connecting(router, family)
    give(client, *RECVERR[family], recverr)
    router.complain(kind, code, number)
    event, b = client.errqueue.first, router.hosts.b
    assert event is not None
    remote = address_of(b, family)
    syn = router.kept[0][54 if family == AF_INET6 else 34 :]
    assert event == Event(expected, None, syn, (remote, 5001), remote)
    assert poll_events(client) & select.POLLERR
    assert client.pending_error == expected.ee_errno


def test_reading_the_last_error_of_the_queue_clears_the_pending_one(router: Router) -> None:
    client = connecting(router, AF_INET)
    for kind in (icmp.TIME_EXCEEDED, icmp.PARAMETER_PROBLEM):
        error = errno.EHOSTUNREACH if kind == icmp.TIME_EXCEEDED else errno.EPROTO
        client.errqueue.add(Event(uapi.ExtendedErr(error, ICMP, kind, 0, 0, 0, 0)))
    client.read_errqueue()
    assert client.pending_error == errno.EPROTO
    client.read_errqueue()
    assert client.pending_error == 0
    client.pending_error = errno.ECONNRESET
    client.errqueue.add(Event(uapi.ExtendedErr(errno.ENOMSG, uapi.SO_EE_ORIGIN_TIMESTAMPING, 0, 0, 0, 0, 0)))
    client.read_errqueue()
    assert client.pending_error == errno.ECONNRESET


@pytest.mark.parametrize("family", [AF_INET, AF_INET6])
def test_recverr_set_to_0_forgets_the_errors(router: Router, family: int) -> None:
    client = connecting(router, family)
    router.complain(icmpv6.UNREACHABLE if family == AF_INET6 else icmp.UNREACHABLE, 1)
    give(client, *RECVERR[family], 1)
    assert client.errqueue.unread
    give(client, *RECVERR[family], 0)
    assert not client.errqueue.unread


def test_an_established_connection_has_nothing_in_the_queue(router: Router) -> None:
    hosts = router.hosts
    client, server = hosts.connect(5000)
    give(client, *RECVERR[AF_INET], 1)
    router.swallow()
    hosts.a.send(client, b"on its way")
    hosts.rest(0.01)
    router.complain(icmp.UNREACHABLE, 1)
    assert (client.pending_error, client.errqueue.unread) == (errno.EHOSTUNREACH, False)
    router.pass_on()
    hosts.run_until(lambda: server.recv_queue.length == 10, 10)


@pytest.mark.parametrize("family", [AF_INET, AF_INET6])
def test_of_a_next_hop_that_does_not_answer_the_offender_is_this_host(hosts: TwoHosts, family: int) -> None:
    client = hosts.a.socket(family)
    client.start_connect(address_of(hosts.a, family) + 7, 5000, hosts.now)
    hosts.run_until(lambda: client.errqueue.unread, 5)
    event = client.errqueue.read()
    assert event is not None
    assert event.offender == address_of(hosts.a, family)
    assert event.name == (address_of(hosts.a, family) + 7, 5000)
    assert event.extended_err.ee_origin == (ICMP6 if family == AF_INET6 else ICMP)


def attached(hosts: TwoHosts, stack: ExitStack, sock: DevmemSocket) -> syscalls.AnyReply | None:
    """What a process is told that reads the error queue of `sock`."""
    kernel = Kernel(hosts, hosts.a, stack)
    process = kernel.process()
    process.call(syscalls.OpenSocket(sock.family))
    assert process.session.socket is not None
    process.session.socket.errqueue = sock.errqueue
    return process.call(syscalls.ReadErrQueue())


@pytest.mark.parametrize(("family", "form"), [(AF_INET, "{}"), (AF_INET6, "::ffff:{}")])
def test_addresses_are_in_the_form_of_the_sockets_family(
    router: Router, hosts: TwoHosts, family: int, form: str
) -> None:
    """Also of an error of ICMP about a socket of AF_INET6."""
    hosts.connect(5000)
    router.swallow()
    client = hosts.a.socket(family)
    client.start_connect(hosts.b.address, 5001, hosts.now)
    hosts.rest(0.01)
    router.complain(icmp.UNREACHABLE, 1)
    with ExitStack() as stack:
        reply = attached(hosts, stack, client)
    assert isinstance(reply, syscalls.Completion)
    text = form.format(ip.address_text(hosts.b.address))
    assert (reply.name, reply.offender, len(reply.data)) == ((text, 5001), text, 40)
