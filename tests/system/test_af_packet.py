"""The wire's own troubles, on a veth pair in a namespace that lives as long as the test's process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

_PROGRAM = """
import select, socket, subprocess
from nodes.nic.af_packet import AfPacket

def ip(command):
    subprocess.run(["ip", *command.split()], check=True)

ip("link add v0 type veth peer name v1")
ip("link set v0 up")
ip("link set v1 up")
mac = bytes.fromhex("020000000001")
wire = AfPacket("v0", mac)
frame = mac + bytes.fromhex("0200000000020800") + bytes(range(100))
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
    sender.bind(("v1", 0))
    for _ in range(3):
        sender.send(frame)
for take in ("receive", "drop"):
    select.select([wire], [], [], 10)
    assert wire.peek().length == len(frame)
    ip("link set v0 down")
    got = bytearray(len(frame))
    if take == "receive":
        wire.receive([memoryview(got)])
        assert got == frame
    else:
        wire.drop()
    ip("link set v0 up")
assert wire.peek().length == len(frame)
print("done")
"""

_ON_A_BRIDGE = """
import select, socket, subprocess, time
from nodes.nic.af_packet import AfPacket

def ip(command):
    subprocess.run(["ip", *command.split()], check=True)

ip("link add v0 type veth peer name v1")
ip("link add br0 type bridge forward_delay 0")
ip("link set v0 master br0")
for name in ("v0", "v1", "br0"):
    ip(f"link set {name} up")
mac = bytes.fromhex("020000000001")
frame = mac + bytes.fromhex("02000000000288b5") + bytes(range(100))
wire = AfPacket("br0", mac)
deadline = time.monotonic() + 10
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
    sender.bind(("v1", 0))
    while not select.select([wire], [], [], 0.1)[0] and time.monotonic() < deadline:
        sender.send(frame)
assert wire.peek().length == len(frame)
wire.close()
shown = subprocess.run(["ip", "-d", "link", "show", "br0"], capture_output=True, text=True, check=True).stdout
assert "promiscuity 0 " in shown
print("done")
"""


_OFFLOADS = """
import select, subprocess
from nodes.nic.af_packet import AfPacket
from nodes.nic.wire_port import TxOffload
from nodes.wire import ipv4, tcp
from nodes.wire.tcp import ACK, TcpHeader

for command in ("link add v0 type veth peer name v1", "link set v0 up", "link set v1 up"):
    subprocess.run(["ip", *command.split()], check=True)
ours, theirs = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
sender, receiver = AfPacket("v0", ours), AfPacket("v1", theirs)
src, dst = 0x0A000001, 0x0A000002

def frame(payload_bytes):
    segment = tcp.emit_partial(TcpHeader(1, 2, 3, 4, ACK, 5), src, dst, payload_bytes)
    packet = ipv4.emit(src, dst, ipv4.TCP, len(segment) + payload_bytes) + segment
    return theirs + ours + bytes.fromhex("0800") + packet

large, small, bare = TxOffload(54, 1000, 34, 16), TxOffload(54, 0, 34, 16), TxOffload()
for offload in (large, large, small, large, bare, small, small, bare):
    payload = bytes(3000 if offload is large else 1000)
    assert sender.send(frame(len(payload)), [memoryview(payload)], offload)
    select.select([receiver], [], [], 10)
    got = receiver.peek()
    assert (got.length, got.gso_size) == (54 + len(payload), offload.gso_size), offload
    assert got.checksum_good is (offload is not bare)
    receiver.drop()
print("done")
"""

_SLOW = """
import select, subprocess, sys
from nodes.nic.af_packet import AfPacket
from nodes.nic.own_queue import LIMIT_BYTES
from nodes.nic.wire_port import TxOffload

ours, theirs = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
frame = theirs + ours + bytes.fromhex("88b5") + bytes(1400)

def run(command):
    return subprocess.run(command.split(), check=True, capture_output=True, text=True).stdout

def slow(interface):
    run(f"tc qdisc replace dev {interface} root tbf rate 10mbit burst 80000 limit 4000000")

def fill(wire):
    for count in range(5000):
        if not wire.send(frame, [], TxOffload()):
            break
    return count * len(frame)

def up(*names):
    for name in names:
        run(f"ip link set {name} up")

run("ip link add v0 type veth peer name v1")
"""

_OWN_QUEUE = (
    _SLOW
    + """
up("v0", "v1")
slow("v0")
wire = AfPacket("v0", ours)
poll = select.poll()
poll.register(wire, select.POLLOUT)
for _ in range(2):
    taken = fill(wire)
    assert LIMIT_BYTES / 8 < taken < LIMIT_BYTES + 80000, taken
    assert not poll.poll(0)
    assert not wire.send(frame, [], TxOffload())
    assert poll.poll(10_000)  # half of the queue has left
    assert LIMIT_BYTES / 8 < int(run("tc -s qdisc show dev v0").split("backlog ")[1].split("b ")[0])
run("tc qdisc del dev v0 root")  # and what waited is lost
assert poll.poll(10_000)
assert wire.send(frame, [], TxOffload())
print("done")
"""
)

_SHARED_QUEUE = (
    _SLOW
    + """
import socket
up("v0", "v1")
slow("v0")
wire = AfPacket("v0", ours)
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as other:
    other.setsockopt(socket.SOL_SOCKET, 32, 16 << 20)  # SO_SNDBUFFORCE
    other.bind(("v0", 0))
    for _ in range(3 * LIMIT_BYTES // len(frame)):
        other.send(frame)
    assert fill(wire) < LIMIT_BYTES + 80000
    poll = select.poll()
    poll.register(wire, select.POLLOUT)
    assert not poll.poll(0)
    assert poll.poll(10_000)
    assert wire.send(frame, [], TxOffload())
print("done")
"""
)

_QUEUE_BEYOND = (
    _SLOW
    + """
run("ip link add v2 type veth peer name v3")
run("ip link add br0 type bridge forward_delay 0")
run("ip link set v1 master br0")
run("ip link set v2 master br0")
up("v0", "v1", "v2", "v3", "br0")
slow("v2")
slow("v0")
run("tc qdisc change dev v0 root tbf rate 10gbit burst 1000000 limit 4000000")
wire = AfPacket("v0", ours)
assert fill(wire) > 5 * LIMIT_BYTES
print("done")
"""
)

_MOVED_ON = (
    _SLOW
    + """
import time
run("ip link add v2 type veth peer name v3")
run("ip link add br0 type bridge forward_delay 0")
run("ip link set v1 master br0")
run("ip link set v2 master br0")
up("v0", "v1", "v2", "v3", "br0")
for port in ("v0", "v2"):
    run(f"tc qdisc replace dev {port} root tbf rate 80kbit burst 2000 limit 4000000")
wire = AfPacket("v0", ours)
poll = select.poll()
poll.register(wire, select.POLLOUT)
fill(wire)
wire.look_again()
assert not wire.send(frame, [], TxOffload())  # more than half of the queue is still there
run("tc qdisc change dev v0 root tbf rate 1gbit burst 80000 limit 4000000")
while " backlog 0b " not in run("tc -s qdisc show dev v0"):
    time.sleep(0.01)
assert not poll.poll(0)
assert not wire.send(frame, [], TxOffload())  # all of it counts
wire.look_again()
assert wire.send(frame, [], TxOffload())
assert fill(wire) > LIMIT_BYTES / 2
print("done")
"""
)


def run_alone(program: str) -> None:
    """In a network namespace of its own."""
    command = ["unshare", "-n", sys.executable, "-c", program]
    place = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=place)
    assert done.stdout == "done\n", done.stderr


def test_a_link_that_goes_down_after_the_peek_costs_no_frame() -> None:
    run_alone(_PROGRAM)


def test_every_frame_is_sent_with_its_own_offload() -> None:
    run_alone(_OFFLOADS)


def test_a_bridge_hands_over_frames_to_a_mac_that_is_not_its_own() -> None:
    run_alone(_ON_A_BRIDGE)


def test_a_wire_is_busy_while_its_own_queue_is_full_until_half_has_left() -> None:
    run_alone(_OWN_QUEUE)


def test_frames_that_wait_beyond_a_bridge_keep_no_wire_busy() -> None:
    run_alone(_QUEUE_BEYOND)


def test_a_second_look_finds_that_the_queue_has_moved_on_beyond_a_bridge() -> None:
    run_alone(_MOVED_ON)


def test_a_wire_goes_on_though_most_of_its_interfaces_queue_is_anothers() -> None:
    run_alone(_SHARED_QUEUE)
