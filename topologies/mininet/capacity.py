"""What this machine's CPU takes to carry packets, and how many hosts at which rate it therefore carries.

    python -m topologies.mininet.capacity

In: nothing. Out: on stdout one JSON `BareLoop`, which `run.py doctor --capacity` makes a table of. Owns a
veth pair in a network namespace of its own, which ends with this process. What is measured is the least that
any endpoint does: a packet socket that sends super-packets, and one that receives them into a buffer. CPU
time is taken and not the clock's, so that others on the machine matter little.
"""

from __future__ import annotations

import os
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import msgspec

from topologies.mininet.isolation import CLONE_NEWNET, unshare
from topologies.mininet.rtnetlink import LinkSocket
from topologies.mininet.socket_buffer import set_buffers
from topologies.mininet.user_namespace import enter

PACKET_BYTES = 65226  # 45 wire packets of MTU 1500 in a super-packet, with one header
# What a host takes that sends and receives on path devmem, with its rank: measured with streams between two
# hosts at 0.095 and 2.34 Gbit/s, where a pair took 0.38 and 0.65 cores and a bare loop would have taken 0.003
# and 0.07. Busy endpoints handle packets in batches, others are woken for each.
AWAKE_CORES, BATCHED_FACTOR = 0.37, 4.1
WOKEN_FACTOR = 131.0
SHARE = 0.5  # of all cores that the hosts may take: Linux, Ray and waiting need the rest
HOSTS = (2, 4, 8, 16, 32, 64)
_BATCH, _ROUNDS, _ROUND_S = 32, 9, 0.15
_TIMEOUT_S, _SILENCE_S, _LOOK_S = 60.0, 10.0, 0.05
_SOL_PACKET, _PACKET_VNET_HDR, _PACKET_IGNORE_OUTGOING = 263, 15, 23
_VNET_BYTES = 10
_ETH_P_ALL = 0x0003
_FROM, _TO = bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2))  # for documentation: RFC 5737
_PROJECT = Path(__file__).resolve().parents[2]


class CapacityError(RuntimeError):
    """It could not be measured; str() is one sentence."""


class BareLoop(msgspec.Struct, frozen=True):
    """CPU seconds of a super-packet: to send it (with what the kernel does to deliver it), to receive it."""

    send_s: float
    receive_s: float

    @property
    def packet_s(self) -> float:
        return self.send_s + self.receive_s

    @property
    def bits_per_core_s(self) -> float:
        """What one core sends and receives."""
        return 8 * PACKET_BYTES / self.packet_s


class Carried(msgspec.Struct, frozen=True):
    """So many hosts at once, each sending and receiving at `rate_bps`."""

    hosts: int
    rate_bps: float


def measure() -> BareLoop:
    """Takes about 1.5 seconds of CPU time, in a process of its own. Raises CapacityError."""
    argv = [sys.executable, "-m", "topologies.mininet.capacity"]
    try:
        ended = subprocess.run(argv, capture_output=True, cwd=_PROJECT, timeout=_TIMEOUT_S, check=False)
        return msgspec.json.decode(ended.stdout, type=BareLoop)
    except (OSError, subprocess.TimeoutExpired, msgspec.DecodeError) as error:
        raise CapacityError(
            f"no packets can be sent over a veth pair here ({error}); run it as root, outside of any sandbox"
        ) from None


def carried(loop: BareLoop, cores: int, hosts: Sequence[int] = HOSTS) -> Iterator[Carried]:
    """The hosts together take SHARE of all cores, and one of them SHARE of two, since its endpoint and its
    rank are one process each. A host takes the less of two costs: of being woken for each packet, and of
    being awake and handling batches."""
    for count in hosts:
        share = SHARE * min(cores / count, 2.0)
        woken = share / WOKEN_FACTOR
        batched = (share - AWAKE_CORES) / BATCHED_FACTOR
        yield Carried(count, loop.bits_per_core_s * max(woken, batched))


def bare_loop() -> BareLoop:
    """Measured in a new network namespace of this process. Raises OSError."""
    if os.geteuid() == 0:
        unshare(CLONE_NEWNET)
    else:
        enter()
    subprocess.run(["ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1"], check=True)
    with LinkSocket() as links, ExitStack() as stack:
        for name in ("v0", "v1"):
            links.up(name)
        tx, rx = (stack.enter_context(closing(_open(name))) for name in ("v0", "v1"))
        _wait_for_carrier(tx, rx)
        rounds = [_round(tx, rx) for _ in range(_ROUNDS)]
    return BareLoop(*(statistics.median(times) for times in zip(*rounds, strict=True)))


def _open(interface: str) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    set_buffers(sock, 4 * _BATCH * PACKET_BYTES, 4 * PACKET_BYTES)
    sock.bind((interface, _ETH_P_ALL))
    return sock


def _wait_for_carrier(tx: socket.socket, rx: socket.socket) -> None:
    """The kernel drops frames until it has noticed that both ends are up. Raises TimeoutError."""
    rx.settimeout(_LOOK_S)
    give_up_at = time.monotonic() + _SILENCE_S
    while True:
        with suppress(OSError):  # ENOBUFS, or nothing has come
            tx.send(_frame())
            rx.recv(_VNET_BYTES)
            break
        if time.monotonic() > give_up_at:
            raise TimeoutError("no frame passes a veth pair")
    rx.settimeout(_SILENCE_S)


def _round(tx: socket.socket, rx: socket.socket) -> tuple[float, float]:
    """CPU seconds of a super-packet, sent and received."""
    frame, buffer = _frame(), bytearray(_VNET_BYTES + PACKET_BYTES)
    sent_s = received_s = 0.0
    packets, until_s = 0, time.process_time() + _ROUND_S
    while time.process_time() < until_s:
        began_s = time.process_time()
        for _ in range(_BATCH):
            tx.send(frame)
        between_s = time.process_time()
        for _ in range(_BATCH):
            rx.recv_into(buffer)
        ended_s = time.process_time()
        sent_s, received_s = sent_s + between_s - began_s, received_s + ended_s - between_s
        packets += _BATCH
    return sent_s / packets, received_s / packets


def _frame() -> bytes:
    """A TCP super-packet with its virtio_net_hdr, from nowhere to a multicast address that nobody answers."""
    payload = PACKET_BYTES - 14 - 20 - 20
    vnet = struct.pack("=BBHHHH", 1, 1, 54, 1448, 34, 16)  # its checksum is left to do; GSO_TCPV4
    ethernet = bytes.fromhex("0180c200000e") + bytes(6) + b"\x08\x00"
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40 + payload, 0, 0, 1, 6, 0, _FROM, _TO)
    tcp = struct.pack("!HHIIBBHHH", 9, 9, 0, 0, 0x50, 0x10, 0, 0, 0)
    return vnet + ethernet + ip + tcp + bytes(payload)


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(bare_loop()))
