"""The stack above IP: which socket a segment is for, what connections want to send, when they wake.

In: skbs from the device, sockets' wishes, `now`. Out: TCP packets to the link. Owns the table of connections,
their timers, and the set of sockets that have changed since the endpoint last looked. What a packet is says
`ip_input`, who listens `ports`, where it goes `link`. Hands payload on untouched.
Source: net/ipv4/{af_inet,tcp_ipv4,inet_hashtables}.c, net/ipv6/tcp_ipv6.c.
"""

from __future__ import annotations

import errno
import hashlib
import heapq
import itertools
import random
from dataclasses import dataclass

from nodes.inet.ip_input import IpInput
from nodes.inet.link import Family, Link, family_v4, family_v6
from nodes.inet.mib import IpMib
from nodes.machine.cpu import Cpu
from nodes.nic.net_device import NetDevice
from nodes.skb import Frags, Skb
from nodes.sock.bind_table import V4, V6, Ports
from nodes.sock.devmem_socket import DevmemSocket, SocketOptions, error
from nodes.sock.request_sock import Ends, Handshakes, ends_of
from nodes.sock.send_pages import SendPages
from nodes.sock.tcp_err import IcmpErrors
from nodes.sock.timewait import Flow, TimeWaits
from nodes.tcp.config import WINDOW_MAX, TcpConfig
from nodes.tcp.connection import Connection, reset_for
from nodes.tcp.netns import TcpNetns
from nodes.tcp.segment import Segment
from nodes.tcp.state import State
from nodes.wire import ethernet, ip, ipv6, tcp
from nodes.wire.checksum import pseudo_header_sum

_PACKET_MAX = 1 << 20
_HEADERS_MAX = 60 + ipv6.JUMBO_BYTES  # what follows IP's before the payload
_MSS_MAX = 65495  # of the largest IPv4 packet
_SEGMENTS_PER_TURN = 32  # of one connection, before the next one's turn
_VOID_MAX = 64  # entries of timers that count no more, beyond as many as do
_HANDSHAKE = tcp.SYN | tcp.ACK | tcp.RST


@dataclass(frozen=True, slots=True)
class InetConfig:
    """Our addresses and links (integers, prefix lengths; address 0: none of that version) and the secrets
    of RFC 6528 and 6056."""

    address: int
    prefix: int
    seed: int
    send_memory_bytes: int = 256 << 20
    address6: int = 0
    prefix6: int = 64
    ecn: str = "grant"  # one of nodes.tcp.config.ECN_CHOICES


class Inet:
    def __init__(self, device: NetDevice, cpu: Cpu, config: InetConfig) -> None:
        self.device = device
        self.cpu = cpu
        self.mib = IpMib()
        self.send_pages = SendPages(cpu, config.send_memory_bytes)
        self.changed: dict[DevmemSocket, None] = {}  # since the endpoint last took them, in order
        self._ecn = config.ecn
        self._v4 = family_v4(config.address, config.prefix)
        self._v6 = family_v6(config.address6, config.prefix6)
        self._connections: dict[Flow, DevmemSocket] = {}
        chance = random.Random(config.seed)
        self._ports = Ports(chance)
        self.tcp = TcpNetns(config.seed)
        self.time_waits = TimeWaits(self._ports, self.tcp.mib, self.xmit_segment)
        self._icmp_errors = IcmpErrors(self._connections, self.time_waits, self.mib, self._after_segments)
        self.link = Link(device, cpu, (self._v4, self._v6), self._icmp_errors.no_neighbour)
        mibs = self.mib, self.tcp.mib
        self._input = IpInput(self.link, cpu, self.send_pages, mibs, self._icmp_errors.receive)
        self._to_transmit: dict[DevmemSocket, None] = {}
        self._timers: list[tuple[float, int]] = []  # a heap; an entry whose number is not in _timed is void
        self._timed: dict[int, DevmemSocket] = {}
        self._timer_numbers = itertools.count(1)
        self._isn_key = chance.randbytes(32)
        self._handshakes = Handshakes(self, chance.randbytes(32))

    def _family(self, address: int) -> Family:
        return self._v6 if ip.is_ipv6(address) else self._v4

    # --- ports

    def claim(self, sock: DevmemSocket, address: int, port: int) -> tuple[int, int]:
        """Give `sock` an address (0: any) and port; port 0 chooses one. EADDRNOTAVAIL, EADDRINUSE."""
        if address and address != self._family(address).address:
            raise error(errno.EADDRNOTAVAIL, f"{ip.address_text(address)} is not this endpoint's address")
        if address:
            versions: tuple[int, ...] = (V6 if ip.is_ipv6(address) else V4,)
        else:
            versions = tuple(version for version, is_open in sock.versions if is_open)
        return address, self._ports.claim(sock, versions, port)

    def listen(self, sock: DevmemSocket) -> None:
        self._ports.listen(sock)

    def connect(self, sock: DevmemSocket, address: int, port: int, now: float) -> None:
        """Send a SYN. ENETUNREACH off our link, and to ourselves: there is no loopback device here.
        EADDRNOTAVAIL when the very same connection lives, in TIME_WAIT perhaps."""
        family = self._family(address)
        version = V6 if ip.is_ipv6(address) else V4
        reachable = family.on_link(address) and address != family.broadcast
        if not reachable or version + sock.local[1] not in sock.slots:
            raise error(errno.ENETUNREACH, f"no route to {ip.address_text(address)}")
        flow = (sock.local[1], address, port)
        if flow in self._connections or flow in self.time_waits:
            raise error(errno.EADDRNOTAVAIL, f"a connection from port {sock.local[1]} to there lives")
        sock.local, sock.remote = (family.address, sock.local[1]), (address, port)
        iss = self.initial_sequence(Ends(sock.local, sock.remote).secret_input, now)
        config = self.tcp_config(sock.options, address, now)
        sock.connection = Connection.connect(config, sock.local[1], port, iss, now)
        self._connections[flow] = sock
        self.touch(sock)

    def tcp_config(self, options: SocketOptions, remote: int, now: float) -> TcpConfig:
        """For a connection with the address `remote`."""
        family, device = self._family(remote), self.device.config
        mtu = self._icmp_errors.path_mtus.limit(remote, device.mtu, now)
        mss = min(mtu - family.header_bytes - tcp.HEADER_BYTES, options.maxseg or _MSS_MAX)
        gso_max_bytes = device.gso_max_bytes if self.device.tso and self.device.sg else 0
        most = min(gso_max_bytes - ethernet.HEADER_BYTES, _PACKET_MAX)
        return TcpConfig(
            mss=mss,
            max_segment_bytes=max(mss, most - family.header_bytes - _HEADERS_MAX),
            send_buffer_bytes=options.send_buffer_bytes,
            receive_buffer_bytes=min(options.receive_buffer_bytes, WINDOW_MAX),
            congestion=options.congestion,
            nodelay=options.nodelay,
            cork=options.cork,
            ecn=self._ecn,
            keepalive=options.keepalive_times,
            user_timeout_s=options.user_timeout_ms / 1000,
            ip_header_bytes=family.header_bytes,
            max_pacing_rate=options.max_pacing_rate,
            netns=self.tcp,
        )

    def initial_sequence(self, flow: bytes, now: float) -> int:
        """RFC 6528: a clock of 4 us ticks plus a secret function of the flow."""
        secret = hashlib.blake2b(flow, key=self._isn_key, digest_size=4).digest()
        return int.from_bytes(secret, "big") + int(now * 250_000) & 0xFFFFFFFF

    # --- receive

    def poll(self, budget: int, now: float) -> int:
        """Take up to `budget` packets from the device through to their sockets; returns how many."""
        count = 0
        seen: dict[DevmemSocket, None] = {}
        for skb in self.device.poll(budget):
            count += 1
            arrival = self._input.receive(skb, now)
            sock = self._receive_segment(*arrival, now) if arrival is not None else None
            if sock is not None:
                seen[sock] = None
        for sock in seen:
            self._after_segments(sock)
        return count

    def _receive_segment(self, found: ip.IpHeader, segment: Segment, now: float) -> DevmemSocket | None:
        """Takes the segment; returns the socket whose connection saw it."""
        header = segment.header
        sock = self._connections.get((header.dst_port, found.src, header.src_port))
        if sock is None or sock.connection is None:
            return self._receive_unexpected(segment, found, now)
        embryo = sock.embryo
        if embryo and self._handshakes.must_wait(sock, segment):
            _release(segment)
            return None
        sock.connection.receive_segment(segment, now)
        if embryo:
            self._advance(sock)
        return sock

    def _receive_unexpected(
        self, segment: Segment, found: ip.IpHeader, now: float
    ) -> DevmemSocket | None:
        """A segment of no living connection: it belongs to one that is over, begins one, completes one that
        nothing was kept of, or is refused."""
        header, ends, iss = segment.header, ends_of(found, segment.header), None
        listener = self._ports.listener(found.dst, header.dst_port, ends.remote)
        flow = (header.dst_port, found.src, header.src_port)
        if flow in self.time_waits:
            iss = self.time_waits.receive(flow, segment, now, reopen=listener is not None)
            if iss is None:
                return None
        if listener is not None and header.flags & _HANDSHAKE == tcp.SYN:
            _release(segment)  # data on a SYN may be sent again (RFC 9293 section 3.10.7.2)
            return self._handshakes.syn(listener, segment, ends, now, iss)
        if listener is not None:
            taken_by = self._handshakes.ack(listener, segment, ends, now)
            if taken_by is not None:
                self._advance(taken_by)
                return taken_by
        if listener is None or header.flags & tcp.ACK:
            self._refuse(segment, found, now)
        _release(segment)
        return None

    def adopt(self, child: DevmemSocket) -> None:
        """A listener's new child: it holds the port too, and its segments find it."""
        self._ports.inherit(child, child.remote[0])
        self._connections[child.local[1], *child.remote] = child

    def _refuse(self, segment: Segment, found: ip.IpHeader, now: float) -> None:
        reset = reset_for(segment)
        if reset is not None:
            self.tcp.mib.TcpOutRsts += 1
            self.xmit_segment(reset, found.src, now)

    def _after_segments(self, sock: DevmemSocket) -> None:
        """The socket's connection saw segments or a timer."""
        if sock.connection is None:
            return
        self._advance(sock)
        self.touch(sock)

    def _advance(self, sock: DevmemSocket) -> None:
        """Take what the connection has; if that ends a handshake, now: a backlog holds within a batch too."""
        sock.absorb()
        if sock.embryo:
            listener = self._handshakes.advanced(sock)
            if listener is not None:
                self.changed[listener] = None

    # --- transmit

    def touch(self, sock: DevmemSocket) -> None:
        """Something happened to `sock`: its connection may have to send, its callers may go on."""
        self._to_transmit[sock] = None
        self.changed[sock] = None

    def transmit(self, now: float) -> bool:
        """Let connections send while the device takes frames; whether any has more to send."""
        waiting, self._to_transmit = self._to_transmit, {}
        for sock in waiting:
            if self.device.tx.stopped:
                self._to_transmit[sock] = None
                continue
            connection = sock.connection
            if connection is None:
                continue
            count, tos = 0, sock.tos
            for segment in connection.segments_to_send(now, _SEGMENTS_PER_TURN):
                self.xmit_segment(segment, sock.remote[0], now, tos)
                count += 1
            if count >= _SEGMENTS_PER_TURN:
                self._to_transmit[sock] = None
            if connection.state is State.TIME_WAIT:
                self._retire(sock, connection, now)
            elif connection.state is State.CLOSED:
                self.forget(sock)
            else:
                self._schedule(sock, connection.next_timeout())
        return bool(self._to_transmit) and not self.device.tx.stopped

    def xmit_segment(self, segment: Segment, remote: int, now: float, tos: int = 0) -> None:
        """`tos`: DSCP, at its place beside the ECN bits."""
        payload = segment.payload
        length = len(payload) if payload is not None else 0
        family = self._v6 if remote > 0xFFFFFFFF else self._v4
        header = tcp.emit(segment.header)
        l4_bytes = len(header) + length
        checksum = pseudo_header_sum(family.address, remote, ip.TCP, l4_bytes)
        at = tcp.CHECKSUM_OFFSET
        packet = (
            family.emit(family.address, remote, ip.TCP, l4_bytes, tos | segment.ecn)
            + header[:at] + checksum.to_bytes(2, "big") + header[at + 2 :]
        )
        assert payload is None or isinstance(payload, Frags)
        skb = Skb(memoryview(packet), payload)
        if segment.mss and length > segment.mss:
            skb.gso_size = segment.mss
            skb.wire_packets = -(-length // segment.mss)
        self.link.xmit_tcp(skb, remote, now)

    # --- timers and ends

    def _schedule(self, sock: DevmemSocket, at: float | None) -> None:
        """Make sure an entry fires no later than `at`. An entry that fires early is put back: deadlines
        move with every acknowledgement, and most moves are to later."""
        if at is not None and (sock.timer_at is None or at < sock.timer_at):
            self._timed.pop(sock.timer, None)
            sock.timer_at, sock.timer = at, next(self._timer_numbers)
            self._timed[sock.timer] = sock
            heapq.heappush(self._timers, (at, sock.timer))
            if len(self._timers) > 2 * len(self._timed) + _VOID_MAX:
                self._timers = [(s.timer_at, n) for n, s in self._timed.items() if s.timer_at is not None]
                heapq.heapify(self._timers)

    def next_timeout(self) -> float | None:
        timers = self._timers[0][0] if self._timers else None
        times = (
            timers, self.time_waits.next_timeout(), self.link.neighbours.next_timeout(),
            self._input.fragments.next_timeout(), self._icmp_errors.path_mtus.next_timeout(),
        )  # fmt: skip
        return min((at for at in times if at is not None), default=None)

    @property
    def paces_next(self) -> bool:
        """Whether the first timer to go off is of a connection whose pacer waits, and counts microseconds."""
        sock = self._timed.get(self._timers[0][1]) if self._timers else None
        return sock is not None and sock.connection is not None and sock.connection.pacing

    def handle_timeouts(self, now: float) -> None:
        self.link.neighbours.handle_timeout(now)
        self._input.fragments.handle_timeout(now)
        self.time_waits.handle_timeout(now)
        self._icmp_errors.handle_timeout(now, self.device.config.mtu)
        while self._timers and self._timers[0][0] <= now:
            sock = self._timed.pop(heapq.heappop(self._timers)[1], None)
            if sock is None or sock.connection is None:
                continue
            sock.timer_at = None
            due = sock.connection.next_timeout()
            if due is not None and due <= now:
                sock.connection.handle_timeout(now)
                self._after_segments(sock)
            else:
                self._schedule(sock, due)

    def release(self, sock: DevmemSocket, now: float) -> None:
        """The application closed `sock`: forget it now, or when its connection ends."""
        self._stop_listening(sock, now)
        if sock.connection is None:
            self._ports.release(sock)
        else:
            self.touch(sock)
        self.changed.pop(sock, None)

    def _stop_listening(self, sock: DevmemSocket, now: float) -> None:
        if sock.listening:
            self._ports.stop_listening(sock)
            for child in [c for c in self._connections.values() if c.listener is sock]:
                child.listener = None
                child.close(now)

    def disconnect(self, sock: DevmemSocket, now: float) -> None:
        """`sock`, whose connection has ended, starts afresh; if it listens it stops."""
        self._stop_listening(sock, now)
        for segment in sock.connection.segments_to_send(now) if sock.connection is not None else ():
            self.xmit_segment(segment, sock.remote[0], now, sock.tos)
        self.forget(sock)

    def _retire(self, sock: DevmemSocket, connection: Connection, now: float) -> None:
        """The connection is in TIME_WAIT: what must wait is small and needs no socket (tcp_time_wait)."""
        self.time_waits.add((sock.local[1], *sock.remote), sock, connection.retire(now))
        self.forget(sock)

    def forget(self, sock: DevmemSocket) -> None:
        """The connection is over; a socket that is still open keeps what can be read, and a port that it
        asked for by number."""
        self._timed.pop(sock.timer, None)
        sock.timer_at = None
        key = (sock.local[1], *sock.remote)
        if self._connections.get(key) is sock:
            del self._connections[key]
        if sock.closed or not sock.bound[1]:
            self._ports.release(sock)

    def sockets(self) -> list[DevmemSocket]:
        """Every socket with a connection or a backlog; those in TIME_WAIT are `time_waits`."""
        return [*self._connections.values(), *self._ports.listeners()]

    def tcp_retrans_segs(self) -> int:
        """TcpRetransSegs of the whole endpoint."""
        return self.tcp.mib.TcpRetransSegs


def _release(segment: Segment) -> None:
    if segment.payload is not None:
        segment.payload.release()
        segment.payload = None
