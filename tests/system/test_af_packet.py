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


def test_a_link_that_goes_down_after_the_peek_costs_no_frame() -> None:
    command = ["unshare", "-n", sys.executable, "-c", _PROGRAM]
    place = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, cwd=place)
    assert done.stdout == "done\n", done.stderr
