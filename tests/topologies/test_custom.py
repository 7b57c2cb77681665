"""A Mininet Topo that somebody has already: understood, or refused with a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from topologies.custom import load
from topologies.link_options import LinkOptions
from topologies.net import Net
from topologies.topology import Topology
from topologies.topology_error import TopologyError

FILE = """\
from mininet.link import TCLink
from mininet.node import CPULimitedHost, Node
from mininet.topo import Topo

class Two(Topo):
    "Two switches with hosts."
    def build(self, n=2, **link):
        left, right = self.addSwitch("leftSwitch", dpid="7"), self.addSwitch("s4")
        self.addLink(left, right, cls=TCLink, use_htb=True, **link)
        for i in range(n):
            h = self.addHost(f"h{i + 1}", ip=f"10.0.0.{i + 7}/24", mac=f"00:00:00:00:00:0{i + 1}")
            self.addLink(h, (left, right)[i % 2])

class Loop(Topo):
    def build(self):
        switches = [self.addSwitch(f"s{i}") for i in (1, 2, 3)]
        for i, switch in enumerate(switches):
            self.addLink(switch, switches[(i + 1) % 3])
            self.addLink(self.addHost(f"h{i}"), switch)

class Router(Node):
    pass

class Routed(Topo):
    def build(self):
        self.addLink(self.addNode("r0", cls=Router), self.addHost("h1"))

class Slow(Topo):
    def build(self):
        self.addLink(self.addHost("h1", cls=CPULimitedHost, cpu=0.5), self.addHost("h2"))

class OneWay(Topo):
    def build(self):
        self.addLink(self.addHost("h1"), self.addHost("h2"), params1={"bw": 1})

class Ports(Topo):
    def build(self):
        h1, h2 = self.addHost("h1"), self.addHost("h2")
        self.addLink(h1, h2, port1=1, port2=0)
        self.addLink(h2, h1, port1=1, port2=0, intfName1="h2-second")

topos = {"two": lambda: Two(3), "number": lambda: 5}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "my.py"
    path.write_text(FILE)
    return path


def loaded(words: str, routers: bool = False, net: Net | None = None) -> Topology:
    return load(words, net or Net(), routers)[0]


def refused(words: str) -> str:
    with pytest.raises(TopologyError) as reason:
        loaded(words)
    assert "\n" not in str(reason.value)
    return str(reason.value)


def test_a_topo_is_found_as_a_key_of_topos_and_as_a_class_with_arguments(file: Path) -> None:
    assert [len(loaded(f"{file},{name}").hosts) for name in ("two", "Two", "Two,4", "Two,n=5")] == [
        3,
        2,
        4,
        5,
    ]
    topology = loaded(f"{file},two")
    assert topology.shape == "two"
    assert [switch.kind for switch in topology.switches] == ["bridge", "bridge"]
    assert [switch.name for switch in topology.switches] == ["leftSwitch", "s4"]
    assert ("h3-eth0", "leftSwitch-eth3") in {
        tuple(end.interface for end in link.ends) for link in topology.links
    }


def test_tclinks_options_mean_what_they_do_in_mininet(file: Path) -> None:
    words = f"{file},Two,bw=2.5,delay=5ms,jitter=100,loss=2,max_queue_size=1000"
    (between,) = [link for link in loaded(words).links if link.b.node == "s4" and link.a.node == "leftSwitch"]
    assert (between.rate_bps, between.delay_s, between.loss) == (2_500_000, 5e-3, 0.02)
    assert (between.jitter_s, between.queue_packets) == (
        100e-6,
        1000,
    )  # tc takes a bare number as microseconds


def test_links_without_options_are_as_the_command_line_has_them(file: Path) -> None:
    topology = loaded(f"{file},Two,bw=1", net=Net(LinkOptions(rate="1Gbit", mtu=9000)))
    assert sorted({link.rate_bps for link in topology.links}) == [10**6, 10**9]
    assert {link.mtu for link in topology.links} == {9000}


def test_macs_are_kept_and_addresses_are_said_to_be_others(file: Path) -> None:
    topology, note = load(f"{file},Two", Net())
    assert [host.nics[0].kernel_mac for host in topology.hosts] == ["00:00:00:00:00:01", "00:00:00:00:00:02"]
    assert note == "hosts have the addresses of the address plan: h1 not 10.0.0.7/24, h2 not 10.0.0.8/24"
    assert load(f"{file},Ports", Net())[1] == ""


def test_interfaces_have_mininets_names_in_the_order_of_ports(file: Path) -> None:
    first, second = loaded(f"{file},Ports").hosts
    assert [nic.interface for nic in first.nics] == ["h1-eth0", "h1-eth1"]
    assert [nic.interface for nic in second.nics] == ["h2-eth0", "h2-second"]


def test_a_loop_of_bridges_floods_and_one_of_routers_does_not(file: Path) -> None:
    assert refused(f"{file},Loop").endswith("flood frames for ever; give --routers, or leave the link out")
    topology = loaded(f"{file},Loop", routers=True)
    assert {switch.kind for switch in topology.switches} == {"router"}
    assert {nic.gateway for host in topology.hosts for nic in host.nics} == {
        "10.0.255.254", "10.1.255.254", "10.2.255.254",
    }  # fmt: skip


def test_what_is_not_understood_is_refused_and_not_left_out(file: Path) -> None:
    assert "no Topo 'Three'; choose from Loop, OneWay, Ports, Routed, Slow, Two, number, two" in refused(
        f"{file},Three"
    )
    assert "link leftSwitch<->s4 has enable_ecn, which is not understood; choose from bw" in refused(
        f"{file},Two,enable_ecn=1"
    )
    assert "host r0 is a Router, which does more than a host" in refused(f"{file},Routed")
    assert "host h1 has cpu, which is not understood" in refused(f"{file},Slow")
    assert "the interface of h1 has bw by itself; give it to the link" in refused(f"{file},OneWay")
    assert "which are no numbers" in refused(f"{file},Two,bw=fast")
    assert "time '5 parsecs' is not understood" in refused(f"{file},Two,delay=5 parsecs")
    assert "number of" in refused(f"{file},number")
    assert "makes a int; let it make a mininet.topo.Topo" in refused(f"{file},number")
    assert "cannot be made: TypeError" in refused(f"{file},Loop,3")


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    assert "is not FILE.py,NAME; write the file" in refused(f"{tmp_path}/my.py")
    assert "there is no file" in refused(f"{tmp_path}/my.py,two")
    (tmp_path / "bad.py").write_text("import none_such")
    assert "cannot be run: ModuleNotFoundError: No module named 'none_such'" in refused(
        f"{tmp_path}/bad.py,x"
    )
