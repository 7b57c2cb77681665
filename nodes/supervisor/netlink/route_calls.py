"""The system calls of a socket of NETLINK_ROUTE: getifaddrs, `ip addr` and `ip route` see the host's stack.

In: trapped calls. Out: new sockets as descriptors of the program; Linux makes each call, but for the
receiving of an answer that is not Linux's alone. Owns a control channel, by which routes are asked for.
"""

from __future__ import annotations

import socket as linux
import threading
from collections.abc import Sequence
from functools import partial

from nodes.client.host import Host
from nodes.supervisor import layouts, tracee
from nodes.supervisor.call import Call, GoOn, Handler, InThread, NewFd, Result
from nodes.supervisor.netlink import nlmsg, rtnl
from nodes.supervisor.netlink.datagram_calls import RECEIVING, SENDING, buffers, receive
from nodes.supervisor.netlink.netlink_file import reached
from nodes.supervisor.netlink.route_file import RouteFile
from nodes.uapi.nic_records import NicInfo

_TYPE_MASK = 0xF
_REQUESTS_BYTES = 8192  # a longer datagram asks for nothing


class RouteCalls:
    """`channel`: the path of the host's system-call channel; `nics`: its NICs."""

    def __init__(self, channel: str, nics: Sequence[NicInfo]) -> None:
        self._channel = channel
        self._nics = nics
        self._host: Host | None = None
        self._turn = threading.Lock()

    def socket(self, call: Call) -> Result | None:
        """None: it is no such socket, Linux refuses it, or the program has left the host's network."""
        family, kind, protocol = map(call.int_arg, range(3))
        plain = kind & _TYPE_MASK
        if (family, protocol) != (linux.AF_NETLINK, linux.NETLINK_ROUTE):
            return None
        if plain not in (linux.SOCK_RAW, linux.SOCK_DGRAM) or not tracee.in_our_network(call.pid):
            return None
        ifindexes = frozenset(nic.ifindex for nic in self._nics)
        file = RouteFile(plain, bool(kind & linux.SOCK_NONBLOCK), ifindexes)
        return NewFd(file, bool(kind & linux.SOCK_CLOEXEC))

    def make(self, call: Call, file: RouteFile) -> Handler:
        """GoOn: Linux makes it."""
        if call.name in SENDING:
            return self._send(call, file)
        if call.name in RECEIVING and file.answers:
            return receive(call, file.take)
        raise GoOn

    def _send(self, call: Call, file: RouteFile) -> Handler:
        """Linux gets the request too: what is not of the host's NICs it answers, and the end of a dump."""
        iov = buffers(call)
        if sum(each.length for each in iov) <= _REQUESTS_BYTES:
            asked = [
                each
                for request in nlmsg.requests(layouts.gather(call.pid, iov))
                if (each := rtnl.question(request)) is not None
            ]
            if asked:
                yield InThread(partial(self._answer, asked))
            for each in asked:
                file.answers.expect(each)
        raise GoOn

    def _answer(self, asked: Sequence[rtnl.Question]) -> int:
        """In a thread: an endpoint that does not answer holds up nobody else. ECONNREFUSED and ECONNRESET: it
        is gone."""
        for each in asked:
            if each.request.type == rtnl.GETADDR:
                each.ours = rtnl.addresses(self._nics, each.family, each.ifindex)
                continue
            with self._turn:
                route = self._reached().route
                try:
                    replies = route.dump_routes(each.family) if each.dump else [route.getroute(each.to)]
                    each.ours = [rtnl.route(reply, not each.dump) for reply in replies]
                except ConnectionError:
                    raise
                except OSError as refused:
                    each.refused = refused
        return 0

    def _reached(self) -> Host:
        if self._host is None:
            self._host = reached(self._channel)
        return self._host

    def close(self) -> None:
        """The program has ended."""
        if self._host is not None:
            self._host.close()
