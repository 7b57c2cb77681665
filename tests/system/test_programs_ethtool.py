"""Debian's ethtool and genl, and a program that speaks netlink itself, on a host's stack as on Linux."""

from __future__ import annotations

import errno
import json
import sys

import pytest

from tests.system.standing import PROJECT, command

pytestmark = [pytest.mark.system, pytest.mark.timeout(300), pytest.mark.usefixtures("up")]

SHOWN = ("-i", "-l", "-g", "-k", "-n", "-x", "-S")
SHOW = f"for option in {' '.join(SHOWN)}; do echo ==$option; ethtool $option h2-eth0; done"
# Lines of `run.py ethtool`, which is a newer ethtool, that the installed one may not know
NEWER = ("RX Push", "TX push buff len", "HDS thresh", "CQE Size")
CHANGES = """
say() { "$@" 2>&1; echo "status $?"; }
say ethtool -G h2-eth0 rx 256
say ethtool -G h2-eth0 rx 99999
say ethtool -L h2-eth0 rx 4
say ethtool -K h2-eth0 sg off
say ethtool -K h2-eth0 tso on
say ethtool -K h2-eth0 sg on
say ethtool -N h2-eth0 flow-type tcp4 dst-port 5201 action 2
say ethtool -N h2-eth0 flow-type ip4 src-ip 10.0.1.1 m 0.0.0.255 l4proto 6 action -1 loc 9
say ethtool -X h2-eth0 context new equal 3
say ethtool -N h2-eth0 flow-type tcp6 dst-ip fd00::1:2 src-port 7 context 1
say ethtool -X h2-eth0 context 1 delete
say ethtool -X h2-eth0 equal 2
say ethtool -N h2-eth0 delete 9
say ethtool -i lo
genl ctrl get name netdev | head -3
"""
CHANGED = """\
status 0
netlink error: rx ring of 99999: choose 1 to 8192 (offset 36)
netlink error: Invalid argument
status 81
status 0
Actual changes:
tx-scatter-gather: off
tx-tcp-segmentation: off [not requested]
status 0
Could not change any device features
Actual changes:
tx-tcp-segmentation: off [requested on]
status 1
Actual changes:
tx-scatter-gather: on
tx-tcp-segmentation: on [not requested]
status 0
Added rule with ID 0
status 0
status 0
New RSS context is 1
status 0
Added rule with ID 1
status 0
Cannot set RX flow hash configuration: Device or resource busy
status 1
status 0
status 0
Cannot get driver information: Operation not supported
status 71

Name: netdev
ID: 0x14 Version: 0x1 header size: 0 max attribs: 0
"""
NETLINK_CLIENT = """
import array, fcntl, json, os, socket, struct, sys
from nodes.machine import dmabuf

def attribute(number, payload):
    return (struct.pack("=HH", 4 + len(payload), number) + payload).ljust(len(payload) + 7 & ~3, b"\\0")

def u32(number, value):
    return attribute(number, struct.pack("=I", value))

def each(data):
    while len(data) >= 4:
        length, number = struct.unpack_from("=HH", data)
        yield number & 0x3FFF, data[4:length]
        data = data[length + 3 & ~3:]

class Netlink:
    def __init__(self):
        self.sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16)
        self.sock.setsockopt(270, 11, 1)  # NETLINK_EXT_ACK
        self.sock.bind((0, 0))
    def ask(self, family, command, attributes, flags=5):
        "Attributes of the replies, errno, extack."
        self.sock.send(struct.pack("=IHHIIBBH", 20 + len(attributes), family, flags, 1, 0, command, 1, 0)
                       + attributes)
        replies = []
        while True:
            data = self.sock.recv(65536)
            while data:
                length, kind = struct.unpack_from("=IH", data)
                if kind in (2, 3):
                    error, = struct.unpack_from("=i", data, 16)
                    echoed = 20 + len(attributes) if error and kind == 2 else 16
                    return replies, -error, dict(each(data[20 + echoed:length]))
                replies.append(dict(each(data[20:length])))
                data = data[length + 3 & ~3:]
    def family(self, name):
        replies, _, _ = self.ask(16, 3, attribute(2, name + b"\\0"))
        return struct.unpack("=H", replies[0][1])[0]

def queue(number):
    return attribute(0x8002, u32(1, number) + u32(3, 0))

asking = Netlink()
netdev, ethtool = asking.family(b"netdev"), asking.family(b"ethtool")
index = socket.if_nametoindex("h2-eth0")
rings = attribute(0x8001, attribute(2, b"h2-eth0\\0")) + attribute(11, b"\\2")
said = {"split": asking.ask(ethtool, 16, rings)[1]}

def bound():
    replies, _, _ = asking.ask(netdev, 10, u32(2, index), 0x301)
    return {struct.unpack("=I", r[1])[0]: struct.unpack("=I", r[5])[0] for r in replies if 5 in r}

memory = dmabuf.export(1 << 20)
fd = memory.fd
binding = Netlink()
replies, error, _ = binding.ask(netdev, 13, u32(1, index) + u32(3, fd) + queue(1) + queue(2))
said |= {"bind": error, "id": struct.unpack("=I", replies[0][4])[0], "bound": bound()}
refused, error, extack = asking.ask(netdev, 13, u32(1, index) + u32(3, fd) + queue(0) + queue(99))
said["refused"] = [error, extack[1].decode().rstrip("\\0"), *struct.unpack("=I", extack[2])]
_, error, extack = asking.ask(netdev, 13, u32(1, index) + u32(3, fd) + attribute(0x8002, u32(3, 0)))
said["missing"] = [error, *struct.unpack("=I", extack[5]), *struct.unpack("=I", extack[6])]
said["closed"] = asking.ask(netdev, 13, u32(1, index) + u32(3, 777) + queue(0))[1:2]
duplicate = os.dup(binding.sock.fileno())
binding.sock.close()
said["after a close"] = bound()
os.close(duplicate)
said["after the last"] = bound()
ifreq = array.array("B", struct.pack("=16sQ", b"h2-eth0", 0))
try:
    fcntl.ioctl(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0x8946, ifreq)
except OSError as e:
    said["bad address"] = e.errno
print(json.dumps(said))
"""


def supervised(*words: str) -> str:
    """What the program said; the supervisor has closed all that it opened."""
    python = (sys.executable, "-W", "always::ResourceWarning")
    argv = ("exec", "h2", "--", *python, "-m", "nodes.supervisor", "--", *words)
    ran = command(*argv, timeout_s=120)
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr
    assert "ResourceWarning" not in ran.stderr
    return ran.stdout


def words(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def sections(text: str) -> dict[str, list[str]]:
    parts = (each.partition("\n") for each in text.split("==")[1:])
    return {option: words(body) for option, _, body in parts}


def test_ethtool_changes_a_nic_and_shows_what_run_py_ethtool_shows() -> None:
    said = words(supervised("sh", "-c", CHANGES))
    assert said == CHANGED.splitlines()
    shown = sections(supervised("sh", "-c", SHOW))
    for option in SHOWN:
        ours = words(command("ethtool", "h2", option).stdout)
        theirs = shown[option]
        if option == "-g":
            ours = [line for line in ours if not line.startswith(NEWER)]
            theirs = [line for line in theirs if not line.startswith(NEWER)]
        elif option == "-k":  # ethtool names every feature that it knows
            ours = [line for line in ours if not line.startswith(("tx-checksum-ip", "tx-scatter", "tx-tcp"))]
            theirs = [line for line in theirs if line in ours]
        assert theirs[: len(ours)] == ours, option
    assert "RX: 256" in shown["-g"]
    assert "4 RX rings available" in shown["-n"]


def test_a_netlink_program_binds_a_dmabuf_until_its_last_descriptor_is_closed() -> None:
    find = f"import sys; sys.path.insert(0, {str(PROJECT)!r})\n"
    said = json.loads(supervised(sys.executable, "-c", find + NETLINK_CLIENT))
    number = said["id"]
    both = {"1": number, "2": number}
    assert (said["split"], said["bind"], said["bound"]) == (0, 0, both)
    # behind the headers (20 bytes), ifindex, fd, and the first queue (8, 8 and 20), its header and its id's
    refused = [errno.EINVAL, "rx queue 99 does not exist, the device has 9", 20 + 8 + 8 + 20 + 4]
    assert said["refused"] == refused
    assert said["missing"] == [errno.EINVAL, 1, 20 + 8 + 8]
    assert said["closed"] == [errno.EBADF]
    assert (said["after a close"], said["after the last"]) == (both, {})
    assert said["bad address"] == errno.EFAULT
