"""The fabric for real: networks that carry traffic, deaths that are noticed, nothing that stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.system.conftest import processes_with
from topologies.host import Host, Nic
from topologies.link import GSO_MAX_BYTES, Link, LinkEnd
from topologies.mininet.fabric import PROJECT, Fabric, FabricError
from topologies.mininet.protocol import ChildExited
from topologies.shapes.registry import build
from topologies.switch import Switch
from topologies.topology import Topology

pytestmark = pytest.mark.system
PATIENCE_S = 15.0
SLEEP = ["sleep", "600"]
# A parent that holds a fabric with a child and a grandchild, says so, and waits.
PARENT = """
import sys, time
from pathlib import Path
from topologies.mininet.fabric import Fabric
from topologies.shapes.registry import build
fabric = Fabric(build("pair", 2), Path(sys.argv[1]))
fabric.spawn("h1", ["sh", "-c", "sleep 600 & sleep 600"], "sleep.log")
print("up", flush=True)
time.sleep(600)
"""

# A fabric, then a mount outside of it: $1 is a directory.
MOUNT = """
import subprocess, sys
from pathlib import Path
from topologies.mininet.fabric import Fabric
from topologies.shapes.registry import build
place = Path(sys.argv[1])
with Fabric(build("pair", 2), place / "run") as fabric:
    subprocess.run(["mount", "-t", "tmpfs", "later", place], check=True)
    (place / "seen").touch()
    print(fabric.run("h1", ["ls", str(place)]).stdout, end="")
    subprocess.run(["umount", place], check=True)
"""


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether it comes true within PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while not (true := holds()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return true


def alive(pid: int) -> bool:
    """Whether a process has that pid and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def deaths(fabric: Fabric) -> list[ChildExited]:
    """The first deaths that the fabric reports."""
    found: list[ChildExited] = []

    def any_found() -> bool:
        found.extend(fabric.dead_children())
        return bool(found)

    assert eventually(any_found)
    return found


@pytest.mark.parametrize(("shape", "hosts"), [("pair", 2), ("star", 3)])
def test_every_host_reaches_every_other(shape: str, hosts: int, tmp_path: Path) -> None:
    topology = build(shape, hosts)
    with Fabric(topology, tmp_path) as fabric:
        for source in topology.hosts:
            for target in topology.hosts:
                for address in (target.nics[0].kernel_address, target.nics[0].kernel_address6):
                    ping = ["ping", "-c1", "-W2", address.split("/")[0]]
                    pinged = fabric.run(source.name, ping, timeout_s=5)
                    assert pinged.status == 0, pinged.stdout + pinged.stderr
        assert fabric.dead_children() == []


def test_a_mount_that_is_made_later_outside_is_seen_inside(tmp_path: Path) -> None:
    """Where mounts are shared, as systemd has them."""
    shared = ["unshare", "--mount", "--propagation", "shared"]
    argv = [*shared, sys.executable, "-c", MOUNT, str(tmp_path)]
    found = subprocess.run(argv, capture_output=True, text=True, cwd=PROJECT, timeout=60, check=False)
    assert (found.returncode, found.stdout) == (0, "seen\n"), found.stderr


@pytest.mark.parametrize("shape", ["pair", "star"])
def test_limits_are_set_on_every_end_and_bridge(shape: str, tmp_path: Path) -> None:
    topology = build(shape, 2, mtu=9000, gso_max_bytes=GSO_MAX_BYTES)
    with Fabric(topology, tmp_path) as fabric:
        found = fabric.interfaces()
    names = [end.interface for link in topology.links for end in link.ends] + [
        s.name for s in topology.switches
    ]
    assert [interface.name for interface in found] == names
    assert {interface.mtu for interface in found} == {9000}
    sizes = {(i.gso_max_bytes, i.gro_max_bytes, i.gso_ipv4_max_bytes, i.gro_ipv4_max_bytes) for i in found}
    assert sizes == {(GSO_MAX_BYTES,) * 4}


def test_a_star_carries_a_tcp_stream(tmp_path: Path) -> None:
    with Fabric(build("star", 2, gso_max_bytes=GSO_MAX_BYTES), tmp_path) as fabric:
        server = fabric.spawn("h1", ["iperf3", "-s"], "server.log")
        client = ["iperf3", "-c", "10.0.0.1", "-n", "50M", "-C", "cubic"]
        assert eventually(lambda: fabric.run("h2", client, timeout_s=20).status == 0)
        fabric.terminate(server)
        assert not alive(server)
        assert fabric.dead_children() == []
    assert "Server listening" in (tmp_path / "server.log").read_text()


def test_host_interfaces_carry_the_topologys_addresses(tmp_path: Path) -> None:
    topology = build("star", 2)
    with Fabric(topology, tmp_path) as fabric:
        for host in topology.hosts:
            (nic,) = host.nics
            shown = fabric.run(host.name, ["ip", "addr", "show", nic.interface]).stdout
            assert nic.kernel_address in shown
            assert nic.kernel_mac in shown
            assert [words.split()[0] for words in shown.split("inet6 ")[1:]] == [nic.kernel_address6]
            assert nic.endpoint_address.split("/")[0] not in shown
            assert nic.endpoint_address6.split("/")[0] not in shown


def two_planes() -> Topology:
    """Two hosts with two NICs each, every pair of NICs on a switch and in a subnet of its own."""

    def nic(host: int, plane: int) -> Nic:
        return Nic(
            interface=f"h{host}-eth{plane}",
            kernel_address=f"10.{plane}.0.{host}/16",
            kernel_mac=f"02:0{plane}:0a:00:00:0{host}",
            endpoint_address=f"10.{plane}.1.{host}/16",
            endpoint_mac=f"02:0{plane}:0a:00:01:0{host}",
            kernel_address6=f"fd0{plane}::{host}/64",
        )

    hosts = tuple(Host(f"h{host}", host, (nic(host, 0), nic(host, 1))) for host in (1, 2))
    links = tuple(
        Link(LinkEnd(host.name, each.interface), LinkEnd(f"s{plane}", f"s{plane}-eth{host.index}"))
        for host in hosts
        for plane, each in enumerate(host.nics)
    )
    return Topology("planes", hosts, (Switch("s0"), Switch("s1")), links)


def test_every_nic_of_a_host_has_its_addresses_and_its_link(tmp_path: Path) -> None:
    topology = two_planes()
    with Fabric(topology, tmp_path) as fabric:
        for host in topology.hosts:
            for nic in host.nics:
                shown = fabric.run(host.name, ["ip", "addr", "show", nic.interface]).stdout
                assert [words.split()[0] for words in shown.split("inet ")[1:]] == [nic.kernel_address]
                assert [words.split()[0] for words in shown.split("inet6 ")[1:]] == [nic.kernel_address6]
                assert nic.kernel_mac in shown
        for nic in topology.host("h2").nics:
            for address in (nic.kernel_address, nic.kernel_address6):
                pinged = fabric.run("h1", ["ping", "-c1", "-W2", address.split("/")[0]], timeout_s=5)
                assert pinged.status == 0, pinged.stdout + pinged.stderr


def test_a_link_too_small_for_ipv6_has_none(tmp_path: Path) -> None:
    with Fabric(build("pair", 2, mtu=1279), tmp_path) as fabric:
        assert "inet6" not in fabric.run("h1", ["ip", "addr", "show", "h1-eth0"]).stdout


def test_two_networks_of_the_same_names_live_side_by_side(tmp_path: Path) -> None:
    topology = build("star", 2)
    with Fabric(topology, tmp_path / "a") as first, Fabric(topology, tmp_path / "b") as second:
        for fabric in (first, second):
            assert fabric.run("h1", ["ping", "-c1", "-W2", "10.0.0.2"]).status == 0


def test_the_outside_sees_no_interface_of_the_network(tmp_path: Path) -> None:
    with Fabric(build("star", 2), tmp_path):
        names = os.listdir("/sys/class/net")
        assert not {"s1", "s1-eth1", "h1-eth0"} & set(names)


def test_pids_are_those_of_the_outside_and_paths_those_of_the_project(tmp_path: Path) -> None:
    with Fabric(build("pair", 2), tmp_path) as fabric:
        pid = fabric.spawn("h1", SLEEP, "sleep.log")
        assert eventually(lambda: Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x00600\x00")
        assert os.readlink(f"/proc/{pid}/cwd") == str(PROJECT)
        assert pid in fabric.pids
        assert all(alive(one) for one in fabric.pids)
        assert os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net")
    assert not alive(pid)


def test_a_command_answers_with_status_output_and_complaint(tmp_path: Path) -> None:
    with Fabric(build("pair", 2), tmp_path) as fabric:
        ended = fabric.run("h1", ["sh", "-c", "echo out; echo oops >&2; exit 3"])
        assert (ended.status, ended.stdout, ended.stderr) == (3, "out\n", "oops\n")
        assert len(fabric.run("h1", ["head", "-c", "1000000", "/dev/zero"]).stdout) == 1000000


def test_commands_of_several_threads_run_side_by_side(tmp_path: Path) -> None:
    """Each waits until all have begun."""
    meet = f"cd {tmp_path}; touch $0.met; while [ $(ls *.met | wc -l) -lt 4 ]; do sleep 0.02; done"
    with Fabric(build("pair", 2), tmp_path) as fabric, ThreadPoolExecutor(4) as pool:
        ended = pool.map(lambda name: fabric.run("h1", ["sh", "-c", meet, name], timeout_s=30), "abcd")
        assert [one.status for one in ended] == [0, 0, 0, 0]


def test_a_command_that_takes_too_long_is_killed_with_what_it_started(tmp_path: Path, token: str) -> None:
    with Fabric(build("pair", 2), tmp_path) as fabric:
        with pytest.raises(FabricError, match=r"sh in host h1 took more than 0.3 s and was killed"):
            fabric.run("h1", ["sh", "-c", "sleep 599 & sleep 599"], timeout_s=0.3)
        assert eventually(lambda: not any("sleep 599" in c for c in processes_with(token).values()))


def test_an_unknown_host_is_refused_by_name(tmp_path: Path) -> None:
    with Fabric(build("pair", 2), tmp_path) as fabric:
        with pytest.raises(FabricError, match="there is no host 'h7'; known: h1, h2"):
            fabric.run("h7", ["true"])
        with pytest.raises(FabricError, match="process 1 is none of this network's"):
            fabric.terminate(1)


def test_a_killed_child_is_reported_once(tmp_path: Path) -> None:
    with Fabric(build("pair", 2), tmp_path) as fabric:
        pid = fabric.spawn("h2", SLEEP, "sleep.log")
        os.kill(pid, signal.SIGKILL)
        (dead,) = deaths(fabric)
        assert pid not in fabric.pids
        assert (dead.host, dead.pid, dead.status, dead.argv) == ("h2", pid, -signal.SIGKILL, tuple(SLEEP))
        assert fabric.dead_children() == []


def test_a_command_that_cannot_start_is_reported_with_its_log(tmp_path: Path) -> None:
    with Fabric(build("pair", 2), tmp_path) as fabric:
        fabric.spawn("h1", ["no-such-command"], "child.log")
        assert deaths(fabric)[0].status != 0
        assert "No such file" in (tmp_path / "child.log").read_text()


def test_a_host_that_dies_is_reported_and_the_rest_still_closes(tmp_path: Path) -> None:
    with Fabric(build("pair", 2), tmp_path) as fabric:
        shell = fabric.pids[2]
        os.kill(shell, signal.SIGKILL)
        (dead,) = deaths(fabric)
        assert (dead.host, dead.pid) == ("h1", shell)
        with pytest.raises(FabricError, match="host h1 has died"):
            fabric.run("h1", ["true"])


def test_a_child_deaf_to_sigterm_is_killed_at_close(tmp_path: Path) -> None:
    with Fabric(build("pair", 2), tmp_path) as fabric:
        pid = fabric.spawn(
            "h1", ["sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 1; done"], "deaf.log"
        )
        assert eventually(lambda: (tmp_path / "deaf.log").read_text() == "deaf\n")
    assert not alive(pid)


def test_close_lets_children_end_in_good_order(tmp_path: Path) -> None:
    with Fabric(build("pair", 2), tmp_path) as fabric:
        fabric.spawn(
            "h1", ["sh", "-c", "trap 'echo bye; exit' TERM; echo up; sleep 600 & wait"], "polite.log"
        )
        assert eventually(lambda: (tmp_path / "polite.log").read_text() == "up\n")
    assert (tmp_path / "polite.log").read_text() == "up\nbye\n"


@pytest.mark.parametrize("which", [0, 1], ids=["attendant", "process 1"])
def test_sigkill_of_the_builder_leaves_nothing(which: int, tmp_path: Path, token: str) -> None:
    with Fabric(build("star", 3), tmp_path) as fabric:
        child = fabric.spawn("h1", ["sh", "-c", "sleep 600 & setsid sleep 600"], "sleep.log")
        pids = fabric.pids
        assert eventually(lambda: {*pids} <= {*processes_with(token)})  # one may still become its program
        os.kill(pids[which], signal.SIGKILL)
        assert eventually(lambda: not processes_with(token) and not any(alive(pid) for pid in pids))
        assert [dead.pid for dead in deaths(fabric)] == [child]
        with pytest.raises(FabricError, match="the network's builder ended with status"):
            fabric.run("h1", ["true"])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_parents_death_stops_everything(number: signal.Signals, tmp_path: Path, token: str) -> None:
    argv = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        parent.send_signal(number)
    assert eventually(lambda: not processes_with(token))


def test_ctrl_c_does_not_reach_the_network_before_its_owner(tmp_path: Path) -> None:
    with Fabric(build("pair", 2), tmp_path) as fabric:
        pid = fabric.spawn("h1", SLEEP, "sleep.log")
        for one in fabric.pids:
            assert os.getsid(one) != os.getsid(0)
        os.kill(fabric.pids[1], signal.SIGINT)
        assert fabric.run("h1", ["true"]).status == 0
        assert alive(pid)


def test_a_closed_fabric_says_so(tmp_path: Path) -> None:
    fabric = Fabric(build("pair", 2), tmp_path)
    fabric.close()
    fabric.close()
    with pytest.raises(FabricError, match="the network is closed; build a new one"):
        fabric.run("h1", ["true"])


def test_a_missing_command_is_named_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FabricError, match="the command mnexec is missing; run `make setup`"):
        Fabric(build("pair", 2), tmp_path)


def test_an_ordinary_user_is_told_to_be_root() -> None:
    code = "import os; from topologies.mininet.builder import main; os.setuid(65534); main(os.getppid())"
    argv = [sys.executable, "-c", code]
    ended = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=PROJECT)
    assert ended.returncode == 1
    assert "building a network needs root and this is user id 65534; run it with sudo" in ended.stdout
