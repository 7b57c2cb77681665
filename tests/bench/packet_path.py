"""The Python of a super-packet: two stacks in one process, joined by a wire that carries headers only.

Nothing here waits or copies payload, so that what is left is the code of a packet's way: sendmsg, TCP output,
the NIC on both sides, TCP input, recvmsg, tokens, ACKs. `python -m tests.bench.packet_path` prints its CPU
time, of both ends together; DEVMEM_PURE=1 before it measures the sources. Under `valgrind --tool=callgrind`
the same run counts instructions, which repeat.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import time
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from nodes.compiled.state import state
from nodes.nic.wire_port import RxFrame, TxOffload
from nodes.uapi.socket import DMABUF_TOKEN, MAX_DONTNEED_TOKENS
from tests.path.two_hosts import DEVMEM_PORT, CableEnd, DeviceKind, PathHost

PACKET_BYTES = 64 << 10  # of payload; a super-packet has somewhat less
CHUNK_BYTES = 1 << 20  # of a send, as the stream workload's
DMABUF_BYTES = 64 << 20
TURN_S = 1e-4
STALLED_S = 600.0  # of the wires' clock
NODES = f"{Path(__file__).parents[2]}/nodes/"


class HeaderWire(CableEnd):
    """Carries headers, and of payload only its length: the receiver's buffers keep what they had."""

    def __init__(self) -> None:
        self.peer = self
        self.frames: deque[tuple[bytes, int, int]] = deque()  # headers, bytes in all, gso_size
        self.sent = 0
        self.now = 100.0
        self.clock = lambda: self.now

    def peek(self) -> RxFrame | None:
        if not self.frames:
            return None
        headers, length, gso_size = self.frames[0]
        return RxFrame(headers, length, gso_size, True)

    def receive(self, views: Sequence[memoryview]) -> None:
        headers = self.frames.popleft()[0]
        views[0][: len(headers)] = headers

    def drop(self) -> None:
        self.frames.popleft()

    def send(self, headers: bytes, payload: Sequence[memoryview], offload: TxOffload) -> bool:
        self.sent += 1
        self.peer.frames.append((headers, len(headers) + sum(map(len, payload)), offload.gso_size))
        return True


class PacketPath:
    """A devmem stream from host `a` to host `b`, whose net_iovs have `niov_bytes`."""

    def __init__(self, niov_bytes: int = PACKET_BYTES) -> None:
        self.wires = HeaderWire(), HeaderWire()
        self.wires[0].peer, self.wires[1].peer = self.wires[1], self.wires[0]
        kind = DeviceKind()
        self.a, self.b = PathHost("a", 1, self.wires[0], kind), PathHost("b", 2, self.wires[1], kind)
        self.rx = self.b.bind_rx(DMABUF_BYTES, niov_bytes)
        self.tx, self.tx_id = self.a.bind_tx(bytes(CHUNK_BYTES))
        listener = self.b.socket()
        listener.bind(0, DEVMEM_PORT)
        listener.listen(1)
        self.client = self.a.socket()
        self.client.options.zerocopy = True
        self.client.start_connect(self.b.address, DEVMEM_PORT, self.wires[0].now)
        while not listener.accept_queue:
            self._turn()
        self.server = listener.accept()
        self.b.sockets.append(self.server)

    def _turn(self) -> None:
        self.a.turn()
        self.b.turn()
        for wire in self.wires:
            wire.now += TURN_S

    def run(self, count_bytes: int) -> int:
        """Stream so many bytes; returns how many frames both sides have sent, ACKs among them."""
        before = sum(wire.sent for wire in self.wires)
        received = offered = 0
        end = self.wires[0].now + STALLED_S
        while received < count_bytes:
            assert self.wires[0].now < end, f"{received} of {count_bytes} bytes have arrived"
            if offered < count_bytes:
                offered += self._offer()
            self._turn()
            received += self._drain()
        return sum(wire.sent for wire in self.wires) - before

    def _offer(self) -> int:
        self.client.errqueue.read()
        try:
            return self.a.send_devmem(self.client, self.tx_id, (0, CHUNK_BYTES))
        except BlockingIOError:
            return 0

    def _drain(self) -> int:
        got = 0
        while True:
            try:
                _, cmsgs = self.b.recv_devmem(self.server, CHUNK_BYTES)
            except BlockingIOError:
                return got
            got += sum(cmsg.frag_size for cmsg in cmsgs)
            for at in range(0, len(cmsgs), MAX_DONTNEED_TOKENS):
                taken = cmsgs[at : at + MAX_DONTNEED_TOKENS]
                tokens = b"".join(DMABUF_TOKEN.pack(cmsg.frag_token, 1) for cmsg in taken)
                self.server.devmem_dontneed(tokens)

    def close(self) -> None:
        self.rx.close()
        self.tx.close()


def packet_us(count_bytes: int = 1 << 30, niov_bytes: int = PACKET_BYTES) -> float:
    """Microseconds of CPU time for PACKET_BYTES of a stream, of both ends together."""
    path = PacketPath(niov_bytes)
    try:
        path.run(16 << 20)  # the congestion window has grown, every net_iov was used
        before = time.process_time()
        path.run(count_bytes)
        return 1e6 * (time.process_time() - before) / (count_bytes / PACKET_BYTES)
    finally:
        path.close()


def shares(count_bytes: int, niov_bytes: int) -> list[tuple[str, float]]:
    """Of the CPU time, by the folder of nodes/ whose Python was running, what it calls of others left out; by
    samples of each millisecond. Compiled code has no frames that could be seen."""
    found: Counter[str] = Counter()

    def sample(_: int, frame: FrameType | None) -> None:
        while frame is not None and not frame.f_code.co_filename.startswith(NODES):
            frame = frame.f_back
        inside = "" if frame is None else frame.f_code.co_filename.removeprefix(NODES)
        found[inside.partition("/")[0] or "this bench"] += 1

    path = PacketPath(niov_bytes)
    signal.signal(signal.SIGPROF, sample)
    signal.setitimer(signal.ITIMER_PROF, 1e-3, 1e-3)
    try:
        path.run(count_bytes)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        path.close()
    return [(name, count / found.total()) for name, count in found.most_common()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--bytes", type=int, default=1 << 30, help="of a stream")
    parser.add_argument("--niov", type=int, default=PACKET_BYTES, help="bytes of a net_iov")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--where", action="store_true", help="also print where the time goes")
    args = parser.parse_args()
    found = [packet_us(args.bytes, args.niov) for _ in range(args.rounds)]
    print(f"{statistics.median(found):.1f} us of CPU time a 64 KiB packet, both ends ({state()})")
    for name, share in shares(args.bytes, args.niov) if args.where else ():
        print(f"{share:6.1%} {share * statistics.median(found):5.1f} us  {name}")


if __name__ == "__main__":
    main()
