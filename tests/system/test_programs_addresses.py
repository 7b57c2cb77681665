"""getifaddrs, psutil, `ip addr` and `ip route` on a host's stack: they tell what a program can bind to."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.system.program import H2, PROGRAMS, Program, host_seen, run
from tests.system.standing import command
from tests.system.test_supervisor import descriptors_of

pytestmark = [pytest.mark.system, pytest.mark.timeout(300), pytest.mark.usefixtures("up")]

H1, H2_6 = "10.0.1.1", "fd00::1:2"


def said(*words: str) -> str:
    status, out, err = run("h2", *words)
    assert (status, err) == (0, "")
    return out.decode()


def test_getifaddrs_tells_addresses_that_bind(tmp_path: Path) -> None:
    binary = str(tmp_path / "addresses")
    how = ["gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-o", binary, str(PROGRAMS / "addresses.c")]
    subprocess.run(how, check=True)
    assert said(binary, "h2-eth0", "lo").splitlines() == [
        f"h2-eth0 {H2} 255.255.0.0 10.0.255.255 binds",
        f"h2-eth0 {H2_6} ffff:ffff:ffff:ffff:: - binds",
        "lo 127.0.0.1 255.0.0.0 - binds",
        "lo ::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff - binds",
    ]


def test_psutil_tells_them() -> None:
    code = "import psutil; print(*(each.address for each in psutil.net_if_addrs()['h2-eth0'][:2]))"
    assert said(sys.executable, "-c", code) == f"{H2} {H2_6}\n"


def test_ip_addr_tells_them() -> None:
    for words in ((), ("show", "dev", "h2-eth0")):
        links = json.loads(said("ip", "-json", "addr", *words))
        (nic,) = (link for link in links if link["ifname"] == "h2-eth0")
        assert [each["local"] for each in nic["addr_info"]] == [H2, H2_6]
    assert [each["local"] for each in links[0]["addr_info"]] == [H2, H2_6]
    assert "inet 127.0.0.1/8" in said("ip", "addr", "show", "lo")
    assert said("ip", "-4", "-br", "addr", "show", "h2-eth0").split()[1:] == ["UP", f"{H2}/16"]


def test_ip_route_tells_the_routes_of_the_hosts_stack() -> None:
    assert command("route", "h2", "add", "10.9.0.0/16", "via", H1, "metric", "7").returncode == 0
    assert said("ip", "-o", "route").splitlines() == [
        f"10.0.0.0/16 dev h2-eth0 proto kernel scope link src {H2} ",
        "10.9.0.0/16 via 10.0.1.1 dev h2-eth0 metric 7 ",
    ]
    (own,) = json.loads(said("ip", "-6", "-json", "route", "show", "dev", "h2-eth0"))
    assert own["dst"] == "fd00::/64"
    assert "local 127.0.0.1 dev lo" in said("ip", "route", "show", "table", "local")
    (way,) = json.loads(said("ip", "-json", "route", "get", "10.9.1.1"))
    assert (way["gateway"], way["dev"], way["prefsrc"]) == (H1, "h2-eth0", H2)
    near = [f"{H1} dev h2-eth0 src {H2} ", "    cache "]
    assert said("ip", "route", "get", H1).splitlines() == near
    assert said("ip", "route", "get", "127.0.0.1").startswith("local 127.0.0.1 dev lo")
    status, _, err = run("h2", "ip", "route", "get", "192.0.2.1")
    assert (status, err) == (2, "RTNETLINK answers: Network is unreachable\n")


LOOKS_UP = """
import os, socket
for at in range(300):
    socket.getaddrinfo("localhost", 80, flags=socket.AI_ADDRCONFIG)
print(len(os.listdir("/proc/self/fd")))
"""


def test_names_are_looked_up_without_a_descriptor_that_leaks(token: str) -> None:
    """getaddrinfo asks for the addresses by a netlink socket each time."""
    program = Program("h2", "python3", "-c", LOOKS_UP)
    most = 0
    while program.process.poll() is None:
        most = max([most, *descriptors_of(token, "nodes.supervisor").values()])
        time.sleep(0.02)
    assert program.result() == (0, b"4\n", "")
    assert 0 < most < 40


NARROW = """
import select, socket, struct
with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 0) as sock:
    sock.setblocking(False)
    sock.send(struct.pack("=IHHIIB7x", 24, 22, 0x301, 7, 0, 0))
    poll, kinds = select.poll(), []
    poll.register(sock, select.POLLIN)
    while 3 not in kinds and poll.poll(5000):
        try:
            length = len(sock.recv(65536, socket.MSG_PEEK))
            data, _, flags, sender = sock.recvmsg(length)
        except BlockingIOError:
            continue
        assert (len(data), flags, sender) == (length, 0, (0, 0)), (len(data), length, flags, sender)
        while data:
            length, kind = struct.unpack_from("=IH", data)
            kinds.append(kind)
            data = data[length + 3 & ~3:]
    print(kinds, poll.poll(0))
"""


def test_a_dump_is_looked_at_polled_for_and_received_without_blocking() -> None:
    """Two addresses of lo, two of the host; NLMSG_DONE; then nothing is readable."""
    assert said("python3", "-c", NARROW) == "[20, 20, 20, 20, 3] []\n"


def test_links_neighbours_and_other_networks_are_linuxs() -> None:
    with host_seen("h2") as seen:
        ifindex = seen.ifindex
    links = json.loads(said("ip", "-json", "link"))
    assert {link["ifname"]: link["ifindex"] for link in links}["h2-eth0"] == ifindex
    code = "import socket; print(dict(map(reversed, socket.if_nameindex()))['h2-eth0'])"
    assert said("python3", "-c", code) == f"{ifindex}\n"
    assert json.loads(said("unshare", "--net", "ip", "-json", "link"))[0]["operstate"] == "DOWN"
    assert len(json.loads(said("unshare", "--net", "ip", "-json", "addr"))) == 1
