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
