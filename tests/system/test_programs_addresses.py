"""getifaddrs, psutil, `ip addr` and `ip route` on a host's stack: they tell what a program can bind to."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.program import H2, PROGRAMS, host_seen, run
from tests.system.standing import command

pytestmark = [pytest.mark.system, pytest.mark.timeout(300), pytest.mark.usefixtures("up")]

H2_6 = "fd00::1:2"


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
    assert command("route", "h2", "add", "10.9.0.0/16", "via", "10.0.1.1", "metric", "7").returncode == 0
    assert said("ip", "-o", "route").splitlines() == [
        f"10.0.0.0/16 dev h2-eth0 proto kernel scope link src {H2} ",
        "10.9.0.0/16 via 10.0.1.1 dev h2-eth0 metric 7 ",
    ]
    (own,) = json.loads(said("ip", "-6", "-json", "route", "show", "dev", "h2-eth0"))
    assert own["dst"] == "fd00::/64"
    assert "local 127.0.0.1 dev lo" in said("ip", "route", "show", "table", "local")
    (way,) = json.loads(said("ip", "-json", "route", "get", "10.9.1.1"))
    assert (way["gateway"], way["dev"], way["prefsrc"]) == ("10.0.1.1", "h2-eth0", H2)
    assert said("ip", "route", "get", "127.0.0.1").startswith("local 127.0.0.1 dev lo")
    status, _, err = run("h2", "ip", "route", "get", "192.0.2.1")
    assert (status, err) == (2, "RTNETLINK answers: Network is unreachable\n")


def test_links_neighbours_and_other_networks_are_linuxs() -> None:
    with host_seen("h2") as seen:
        ifindex = seen.ifindex
    links = json.loads(said("ip", "-json", "link"))
    assert {link["ifname"]: link["ifindex"] for link in links}["h2-eth0"] == ifindex
    code = "import socket; print(dict(map(reversed, socket.if_nameindex()))['h2-eth0'])"
    assert said("python3", "-c", code) == f"{ifindex}\n"
    assert json.loads(said("unshare", "--net", "ip", "-json", "link"))[0]["operstate"] == "DOWN"
    assert len(json.loads(said("unshare", "--net", "ip", "-json", "addr"))) == 1
