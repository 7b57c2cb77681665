"""TCP of one host, from the IP layer to its sockets.

In: TCP packets, sockets' calls, `now`. Out: sockets that have changed, packets. Owns the IP layer, the tables
of sockets, the host's TCP counters and the pages for ordinary sends; the parts are `tcp_rcv`, `tcp_xmit`,
`request_sock`, `timewait` and `tcp_err`. Satisfies devmem_socket.Stack. Source: struct proto tcp_prot
(net/ipv4/tcp_ipv4.c), net/ipv4/af_inet.c.
"""

from __future__ import annotations

import errno
import random
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from nodes.inet.inet import Inet, Interface
from nodes.inet.link import Link
from nodes.inet.neighbour import Confirmation
from nodes.inet.route import Route
from nodes.kernel_version import DEFAULT, KernelVersion
from nodes.machine.cpu import Cpu
from nodes.skb import Skb
from nodes.sock.bind_table import V4, V6, BindTable
from nodes.sock.devmem_socket import DevmemSocket, error
from nodes.sock.flow import Flow
from nodes.sock.hashtables import Hashtables
from nodes.sock.request_sock import RequestSocks, complete_handshake
from nodes.sock.send_pages import SendPages
from nodes.sock.tcp_err import TcpErrors
from nodes.sock.tcp_init import ConnectionInit
from nodes.sock.tcp_rcv import TcpRcv
from nodes.sock.tcp_xmit import SEGMENTS_PER_TURN, TcpXmit, is_over
from nodes.sock.timewait import TimewaitTable
from nodes.tcp.connection import Connection
from nodes.tcp.netns import TCP_RMEM, TCP_WMEM, TcpMem, TcpNetns
from nodes.timer_heap import earlier
from nodes.wire import ip

MAX_ORPHANS = 8192  # sysctl tcp_max_orphans


@dataclass(frozen=True, slots=True)
class StackConfig:
    """`seed`: of the secrets of RFC 6528 and 6056; `ecn`: one of nodes.tcp.config.ECN_CHOICES; `realtime`: of
    CLOCK_REALTIME when the monotonic clock is 0; `counted`: payload has no content;
    `segments_per_turn`: of one connection, before frames are received again."""

    seed: int
    ecn: str = "grant"
    tcp_rmem: TcpMem = TCP_RMEM
    tcp_wmem: TcpMem = TCP_WMEM
    send_memory_bytes: int = 256 << 20
    kernel: KernelVersion = DEFAULT
    realtime: float = 0.0
    counted: bool = False
    segments_per_turn: int = SEGMENTS_PER_TURN


class TcpStack:
    def __init__(self, interfaces: Sequence[Interface], cpu: Cpu, config: StackConfig) -> None:
        self.kernel = config.kernel
        self.realtime = config.realtime
        self.counted = config.counted
        self.cpu = cpu
        self.devices = {each.device.ifindex: each.device for each in interfaces}
        self._devices = [*self.devices.values()]
        self.send_pages = SendPages(cpu, config.send_memory_bytes, config.counted)
        self.tcp = TcpNetns(config.seed, tcp_rmem=config.tcp_rmem, tcp_wmem=config.tcp_wmem)
        confirmation = Confirmation(lambda hop: self._progress_at(hop), random.Random(config.seed))
        self.inet = Inet(
            interfaces,
            cpu,
            lambda *error_v6_now: self._errors.receive(*error_v6_now),
            confirmation,
            random.Random(config.seed),
        )
        chance = random.Random(config.seed)
        self.ports: BindTable[DevmemSocket] = BindTable(chance)
        self._xmit = TcpXmit(self.inet, config.segments_per_turn)
        self.timewait = TimewaitTable(self.ports, self.tcp.mib, self._xmit.reply)
        self._tables = Hashtables(self.ports, self.timewait)
        self._init = ConnectionInit(self.tcp, self.inet.path_mtus, chance.randbytes(32), config.ecn)
        requests = RequestSocks(self._init, self.inet.routes, self.inet.mib, chance.randbytes(32))
        mibs = self.inet.mib, self.tcp.mib
        self._rcv = TcpRcv(self._tables, requests, self._xmit, self.send_pages, mibs)
        self._errors = TcpErrors(self._tables, self.inet, self._connection_changed)
        self._received: dict[DevmemSocket, None] = {}  # sockets that received segments in this batch

    # --- what sockets ask for

    def claim(self, sock: DevmemSocket, address: int, port: int) -> tuple[int, int]:
        """Give `sock` an address (0: any) and a port; port 0 chooses one. EADDRNOTAVAIL, EADDRINUSE."""
        if address and address not in self.inet.addresses:
            raise error(errno.EADDRNOTAVAIL, f"{ip.address_text(address)} is not this endpoint's address")
        if address:
            versions: tuple[int, ...] = (V6 if ip.is_ipv6(address) else V4,)
        else:
            versions = tuple(version for version, is_open in sock.versions if is_open)
        return address, self._tables.ports.claim(sock, versions, address, port)

    def listen(self, sock: DevmemSocket) -> None:
        self._tables.ports.listen(sock)

    def connect(self, sock: DevmemSocket, address: int, port: int, now: float) -> None:
        """Send a SYN. The errno of the route's lookup (RouteTable.resolve) where it finds none. EADDRNOTAVAIL
        when the same connection exists already, perhaps in TIME_WAIT."""
        version = V6 if ip.is_ipv6(address) else V4
        if version + sock.local[1] not in sock.slots:
            raise error(errno.ENETUNREACH, f"no route to {ip.address_text(address)}")
        route = self._xmit.route_to(address, sock)
        flow = Flow(route.source.address, sock.local[1], address, port)
        if flow.key in self._tables.established or flow in self.timewait:
            raise error(errno.EADDRNOTAVAIL, f"there is a connection from port {sock.local[1]} to there")
        sock.local, sock.remote, sock.route = flow.local, flow.remote, route
        sock.inet_id = self._init.initial_ident()
        iss = self._init.initial_sequence(flow, now)
        config = self._init.config(sock.options, route, address, now)
        sock.connection = Connection.connect(config, sock.local[1], port, iss, now)
        self._tables.established[flow.key] = sock
        self.touch(sock)

    def reroute(self, sock: DevmemSocket, now: float) -> Route | None:
        """Look up the route of a connection again; None where there is none."""
        return self._xmit.reroute(sock, now)

    def path_mtu(self, sock: DevmemSocket, now: float) -> int:
        """Bytes of the largest packet that the connection's route is known to take."""
        assert sock.route is not None
        return self._xmit.path_mtu(sock.route, sock.remote[0], now)

    def touch(self, sock: DevmemSocket) -> None:
        """The connection of `sock` may have something to send, and its callers may go on."""
        self._xmit.touch(sock)

    def forget(self, sock: DevmemSocket) -> None:
        """There is no connection any more. A socket that is still open keeps its unread data, and a port that
        bind asked for by number."""
        self._xmit.forget(sock, self._tables)

    def disconnect(self, sock: DevmemSocket, now: float) -> None:
        """`sock`, whose connection has ended, starts afresh; a listener stops listening."""
        self._stop_listening(sock, now)
        self._xmit.flush(sock, now)
        self.forget(sock)

    def release(self, sock: DevmemSocket, now: float) -> None:
        """The application closed `sock`: forget it now, or when its connection ends. Of too many such
        connections the newest ends by a reset (tcp_check_oom)."""
        self._stop_listening(sock, now)
        if sock.connection is None:
            self._tables.ports.release(sock)
        else:
            self._tables.orphans.add(sock)
            if len(self._tables.orphans) > MAX_ORPHANS:
                self.tcp.mib.TcpExtTCPAbortOnMemory += 1
                sock.connection.abort(now)
            self.touch(sock)
        self.changed.pop(sock, None)

    def _stop_listening(self, sock: DevmemSocket, now: float) -> None:
        if sock.listening:
            self._tables.ports.stop_listening(sock)
            for child in self._tables.children_of(sock):
                child.listener = None
                if child.in_handshake and child.connection is not None:
                    child.connection.tcb.end(0)  # without a word to the peer (reqsk_put)
                child.close(now)

    def _progress_at(self, next_hop: int) -> float:
        """When a connection through that neighbour last made progress, -inf for never (sk_dst_confirm). It is
        asked for when a neighbour's timer ends, so that an ACK costs nothing."""
        return max(
            (
                sock.connection.progress_at
                for sock in self._tables.established.values()
                if sock.connection is not None
                and sock.route is not None
                and sock.route.next_hop(sock.remote[0]) == next_hop
            ),
            default=-inf,
        )

    # --- a host's turn

    def receive(self, skb: Skb, link: Link, now: float) -> None:
        """One frame from the device of `link`, through to its socket."""
        packet = self.inet.input.receive(skb, link, now)
        if packet is None:
            return
        found, skb = packet
        sock = self._rcv.receive(found, skb, link.name, now)
        if sock is None:
            return
        if sock.connection is None or is_over(sock.connection):
            self._received.pop(sock, None)
            self._connection_changed(sock, now)
            return
        self._received[sock] = None
        if sock.connection.tcb.replies:
            self._xmit.reply_at_once(sock, sock.connection, now)
        if sock.in_handshake:  # at once: the backlog holds within a batch too
            self._absorb(sock, now)

    def count_csum_errors(self, count: int) -> None:
        """The NIC dropped so many TCP packets whose checksum is wrong; Linux drops them here."""
        self.tcp.mib.TcpInSegs += count
        self.tcp.mib.TcpInErrs += count
        self.inet.mib.TcpInCsumErrors += count

    def end_batch(self, now: float) -> None:
        """The devices have no more frames for now: sockets take what their connections received."""
        for device in self._devices:
            starved = device.take_starved()
            if starved:
                for sock in self._tables.fed_by(device, starved):
                    assert sock.connection is not None
                    sock.connection.prune()
                    self._received[sock] = None
        if self._received:
            received, self._received = self._received, {}
            for sock in received:
                self._connection_changed(sock, now)

    def _connection_changed(self, sock: DevmemSocket, now: float) -> None:
        """The connection of `sock` received segments, a timer or an error. If that ended it, it leaves the
        table before the next segment is looked at."""
        connection = sock.connection
        if connection is not None:
            self._absorb(sock, now)
            self.touch(sock)
            if is_over(connection):
                self._xmit.finish(sock, self._tables, now)

    def _absorb(self, sock: DevmemSocket, now: float) -> None:
        sock.absorb(now)
        if sock.in_handshake:
            listener = complete_handshake(sock)
            if listener is not None:
                self.changed[listener] = None

    def handle_timeouts(self, now: float) -> None:
        self.inet.handle_timeout(now)
        self.timewait.handle_timeout(now)
        self._errors.handle_timeout(now)
        while (sock := self._xmit.timers.pop_due(now)) is not None:
            connection = sock.connection
            due = None if connection is None else connection.next_timeout()
            if connection is None or due is None:
                continue
            if due <= now:
                connection.handle_timeout(now)
                self._connection_changed(sock, now)
            else:
                self._xmit.timers.schedule(sock, due)

    def transmit(self, now: float) -> bool:
        """Let connections send while the devices take frames; whether any has more to send."""
        return self._xmit.transmit(self._tables, now)

    @property
    def has_more(self) -> bool:
        """Whether a connection has more to send now."""
        return self._xmit.has_more

    def next_timeout(self) -> float | None:
        first = earlier(self._xmit.timers.next_timeout(), self.timewait.next_timeout())
        return earlier(first, earlier(self.inet.next_timeout(), self.inet.path_mtus.next_timeout()))

    @property
    def fine_next(self) -> bool:
        """Whether a millisecond is too coarse for the next timer."""
        return self._xmit.fine_next

    # --- a look at it

    @property
    def changed(self) -> dict[DevmemSocket, None]:
        """Sockets that have changed since `take_changed`, in order."""
        return self._xmit.changed

    def take_changed(self) -> dict[DevmemSocket, None]:
        changed, self._xmit.changed = self._xmit.changed, {}
        return changed

    def sockets(self) -> list[DevmemSocket]:
        """Every socket with a connection or a backlog; `timewait` has those in TIME_WAIT."""
        return self._tables.sockets()
