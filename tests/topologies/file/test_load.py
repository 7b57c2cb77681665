"""A topology file: what it says arrives, and every problem is told with its line."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from topologies.file.load import FileProblems, load
from topologies.file.schema import json_schema
from topologies.link_options import LinkOptions
from topologies.net import Net
from topologies.topology import Topology

PUBLISHED = Path(__file__).resolve().parents[3] / "docs" / "topology.schema.json"
RACKS = """\
name: racks
defaults: {rate: 1Gbit, delay: 50us}
hosts:
  h1:
  h2: {role: storage, accelerators: 0}
  h3:
    nics:
      h3-eth0:
      h3-eth1: {kernel_mac: 02:00:00:00:00:07}
    accelerators: {gpu0: {nic: h3-eth1, memory: 16G}}
    host_mem_bw: 20GB/s
    pcie_bw: 16GB/s
switches:
  leaf1: {kind: router}
  leaf2: {kind: router}
links:
  - endpoints: [h1, leaf1]
  - {endpoints: [h2, leaf1], loss: 1%, duplicate: 1e-5, delay: 1ms, jitter: 10us, reorder: 0.5, corrupt: 0.25}
  - endpoints: [h3, leaf2]
  - {endpoints: ["h3:h3-eth1", leaf1], mtu: 9000}
  - {endpoints: ["leaf1:leaf1-up", leaf2], rate: 100Mbit, queue_packets: 100, ecn_threshold: 30K}
"""
TWO = "hosts: {h1: , h2: }\nlinks:\n- endpoints: [h1, h2]\n"


def loaded(text: str, tmp_path: Path, net: Net | None = None) -> Topology:
    (tmp_path / "my net.yaml").write_text(text)
    return load(tmp_path / "my net.yaml", net or Net())


def problems(text: str, tmp_path: Path) -> list[tuple[int, str]]:
    """Line and sentence of each."""
    with pytest.raises(FileProblems) as found:
        loaded(text, tmp_path)
    return [dataclasses.astuple(each) for each in found.value.problems]


def test_what_a_file_says_of_hosts_arrives(tmp_path: Path) -> None:
    topology = loaded(RACKS, tmp_path)
    assert topology.shape == "racks"
    first, second, third = topology.hosts
    assert (first.role, len(first.accelerators), second.role, second.accelerators) == (
        "compute",
        1,
        "storage",
        (),
    )
    assert [nic.interface for nic in third.nics] == ["h3-eth0", "h3-eth1"]
    assert [nic.kernel_mac for nic in third.nics] == ["02:00:0a:01:00:03", "02:00:00:00:00:07"]
    assert [(each.name, each.nic, each.memory_bytes) for each in third.accelerators] == [
        ("gpu0", "h3-eth1", 16 << 30)
    ]
    assert (third.host_mem_bw_bytes_per_s, third.pcie_bw_bytes_per_s) == (20e9, 16e9)
    assert [switch.kind for switch in topology.switches] == ["router", "router"]
    assert (first.nics[0].kernel_address, first.nics[0].gateway) == ("10.0.0.1/16", "10.0.255.254")


def test_what_a_file_says_of_links_arrives(tmp_path: Path) -> None:
    plain, bad, _, large, slow = loaded(RACKS, tmp_path).links
    assert (plain.rate_bps, plain.delay_s) == (10**9, 50e-6)
    assert (bad.rate_bps, bad.loss, bad.duplicate, bad.reorder, bad.corrupt) == (10**9, 0.01, 1e-5, 0.5, 0.25)
    assert (bad.delay_s, bad.jitter_s) == (1e-3, 10e-6)
    assert (large.a.interface, large.mtu, plain.mtu) == ("h3-eth1", 9000, 1500)
    assert (slow.a.interface, slow.b.interface) == ("leaf1-up", "leaf2-eth2")
    assert (slow.rate_bps, slow.queue_packets, slow.ecn_threshold_bytes) == (10**8, 100, 30 << 10)


def test_what_a_file_leaves_out_is_as_the_command_line_has_it(tmp_path: Path) -> None:
    asked = LinkOptions(rate="10Mbit", mtu=4000, loss=0.5)
    topology = loaded("defaults: {loss: 0.1}\n" + TWO, tmp_path, Net(asked))
    assert [(link.rate_bps, link.mtu, link.loss) for link in topology.links] == [(10**7, 4000, 0.1)]
    assert topology.shape == "my-net"  # the file's name, as a run's directory may be called


def test_addresses_that_a_file_gives_are_kept(tmp_path: Path) -> None:
    text = """\
hosts:
  h1: {nics: {h1-eth0: {kernel_address: 192.168.1.1/24, endpoint_address: 192.168.1.11/24}}}
  h2: {nics: {h2-eth0: {kernel_address: 192.168.1.2/24, endpoint_address: 192.168.1.12/24}}}
switches: {r1: {kind: router, address: 192.168.1.254/24}}
links: [{endpoints: [h1, r1]}, {endpoints: [h2, r1]}]
"""
    nic = loaded(text, tmp_path).hosts[1].nics[0]
    assert (nic.kernel_address, nic.endpoint_address, nic.gateway) == (
        "192.168.1.2/24", "192.168.1.12/24", "192.168.1.254",
    )  # fmt: skip
    assert problems(text.replace(", address: 192.168.1.254/24", ""), tmp_path) == [
        (4, "address of router r1 is missing beside 192.168.1.1/24 in the same segment; give all, or none")
    ]


BAD = """\
name: two racks
defaults: {rate: 1Gbit, dealy: 50us}
hosts:
  h1: {role: computer}
  "h 2":
  h1:
  h3:
    nics: {h3-eth0: {kernel_address: 10.0.0.300/16, kernel_mac: 02:00}}
    accelerators: {gpu0: {memory: 16G}, g-1: {nic: h3-eth0, memory: 16Q}}
    host_mem_bw: 20
  h4: {accelerators: -1, pcie_bw: 999KB/s}
switches:
  leaf1: {kind: bridge, address: 10.0.0.1/16}
  h3: {}
links:
  - {endpoints: [h1, leaf1, leaf2]}
  - {endpoints: [h1, leaf9], loss: 2, jitter: 1ms}
  - {endpoints: [h1, leaf1], loss: many, mtu: big}
  - [h1, h2]
  - {rate: 1Gbit}
  - {endpoints: [h1, leaf1], jitter: 1ms}
  - {endpoints: [h1, leaf1], mtu: 20}
"""
EXPECTED = [
    (1, "name 'two racks' is not up to 40 letters"),
    (2, "defaults has no 'dealy'; choose from rate, delay"),
    (4, "hosts.h1.role is 'computer'; write compute or storage"),
    (5, "host name 'h 2' is not a letter"),
    (6, "'h1' is here a second time, after line 4"),
    (8, "interface h3-eth0 has the MAC '02:00'"),
    (8, "interface h3-eth0 has the address '10.0.0.300/16'"),
    (9, "accelerator name 'g-1' is not a letter"),
    (9, "hosts.h3.accelerators.gpu0 has no nic; add it"),
    (9, "size '16Q' is not understood; write for example 64K"),
    (10, "rate '20' is not understood; write for example 2GB/s"),
    (11, "999KB/s is no rate of a bus; choose 1MB/s to 1000TB/s"),
    (11, "host h4 has -1 accelerators; give 0 or more"),
    (13, "switch leaf1 is a bridge and has no address; make it a router"),
    (14, "h3 is a host and a switch; give each node a name of its own"),
    (16, "links[0].endpoints has 3 entries; give 2"),
    (17, "a link ends at 'leaf9', which is no host or switch"),
    (17, "loss 2 is no chance; give 0 to 1"),
    (18, "chance 'many' is not understood"),
    (18, "links[2].mtu is 'big'; write a whole number"),
    (19, "links[3] is no mapping; write lines of NAME: VALUE"),
    (20, "links[4] has no endpoints; add it"),
    (21, "jitter_s 0.001 is more than delay_s 0"),
    (22, "mtu 20 of link h1-eth3<->leaf1-eth3 is outside 576 to 9000"),
]


def test_every_problem_is_told_with_its_line(tmp_path: Path) -> None:
    found = problems(BAD, tmp_path)
    assert [line for line, _ in found] == [line for line, _ in EXPECTED]
    for (_, said), (_, start) in zip(found, EXPECTED, strict=True):
        assert said.startswith(start)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [", [(1, "this is no YAML: expected the node content")]),
        ("\t- a", [(1, "this is no YAML: found character")]),
        ("\x00", [(1, "this is no YAML: ")]),
        ("[" * 5000, [(1, "this is no YAML: ")]),
        (TWO + "  mtu: 2026-99-99\n", [(4, "links[0].mtu is '2026-99-99'; write a whole number")]),
        (TWO + "  mtu: !!python/object:os.system 1\n", [(4, "links[0].mtu is '1'; write a whole number")]),
        (TWO + f"  mtu: {'9' * 5000}\n", [(4, "links[0].mtu is '9999")]),
        (TWO + "  loss: .nan\n", [(3, "loss nan is no chance; give 0 to 1")]),
        (TWO + "  <<: {mtu: 1}\n", [(4, "links[0] has no '<<'; choose from")]),
        ("", [(1, "the file has no hosts; add it"), (1, "the file has no links; add it")]),
        ("- 1", [(1, "the file is no mapping; write lines of NAME: VALUE")]),
        ("hosts: {h1: }\nlinks: []\n", [(1, "host h1 ends no link"), (1, "the network has 1 hosts; give")]),
        ("hosts: {h1: , h2: }\nlinks: 1\n", [(2, "links is no list; write")]),
        (TWO.replace("h1: ", "h1: , [a]: "), [(1, "a key in hosts is no word")]),
        (TWO + "- endpoints: [h1:h1-eth0, h2]\n", [(3, "interface 'h1-eth0' is used 2 times")]),
        (TWO + "- endpoints: [[h1], h2]\n", [(4, "links[1].endpoints[0] is no single value")]),
        (TWO.replace("h1: ", "h1: {accelerators: {a: {nic: x}}}"), [(1, "a sits beside 'x', which is")]),
        (TWO.replace("h1: ", "h1: {nics: 5}"), [(1, "hosts.h1.nics is no mapping")]),
        (
            "hosts: {h1: , h2: }\nswitches: {s1: , s2: }\nlinks:\n- endpoints: [h1, s1]\n"
            "- endpoints: [h2, s2]\n- endpoints: [s1, s2]\n- endpoints: [s2, s1]\n",
            [(7, "link s2-eth3<->s1-eth3 closes a loop of bridges")],
        ),
    ],
)  # fmt: skip
def test_a_problem_has_its_line(text: str, expected: list[tuple[int, str]], tmp_path: Path) -> None:
    found = problems(text, tmp_path)
    assert [line for line, _ in found] == [line for line, _ in expected]
    for (_, said), (_, start) in zip(found, expected, strict=True):
        assert said.startswith(start)


def test_one_sentence_says_the_first_problem_and_how_many_there_are(tmp_path: Path) -> None:
    with pytest.raises(FileProblems) as found:
        loaded(TWO + "- 1\n- 2\n- 3\n", tmp_path)
    assert str(found.value) == (
        f"{tmp_path}/my net.yaml:4: links[1] is no mapping; write lines of NAME: VALUE; `run.py validate` "
        "lists 2 more"
    )


def test_the_published_schema_is_that_of_the_records() -> None:
    assert json.loads(PUBLISHED.read_text()) == json_schema()


def accepts(text: str) -> bool:
    found: Any = yaml.safe_load(text)
    return bool(jsonschema.Draft202012Validator(json_schema()).is_valid(found))


def test_the_schema_takes_what_is_loaded_and_refuses_what_is_not() -> None:
    assert accepts(RACKS)
    assert accepts(TWO)
    for bad in ("- 1", TWO + "x: 1\n", TWO + "- rate: 1Gbit\n", TWO.replace("h1: ", "h1: {role: boss}")):
        assert not accepts(bad)


TRAFFIC = """\
traffic:
- {kind: poisson, load: 30%, from: h1+h2, to: h2}
- {kind: on-off, rate: 1Mbit, on: 5ms, off: 20ms, protocol: udp}
"""


def test_a_files_traffic_is_the_topologys_as_it_is_written(tmp_path: Path) -> None:
    topology = loaded(
        TWO.replace("]", "], rate: 1Gbit")
        .replace("- endpoints", "- {endpoints")
        .replace("1Gbit\n", "1Gbit}\n")
        + TRAFFIC,
        tmp_path,
    )
    assert [str(each) for each in topology.traffic] == [
        "poisson:from=h1+h2,to=h2,load=30%",
        "on-off:rate=1Mbit,on=5ms,off=20ms,protocol=udp",
    ]
    assert loaded(TWO, tmp_path).traffic == ()


def test_what_is_wrong_with_traffic_is_told_with_its_line(tmp_path: Path) -> None:
    assert [line for line, _ in problems(TWO + TRAFFIC, tmp_path)] == [5]
    more = "- {kind: constant}\n- {kind: constant, rate: 1Mbit, to: h9}\n- {kind: poison}\n"
    found = problems(TWO + TRAFFIC.replace("load: 30%", "rate: 1Mbit") + more, tmp_path)
    assert found == [(9, "traffic[4].kind is 'poison'; write constant or on-off or poisson")]
    found = problems(TWO + TRAFFIC.replace("load: 30%", "rate: 1Mbit") + more.rpartition("- ")[0], tmp_path)
    assert [(line, said.partition(";")[0]) for line, said in found] == [
        (7, "constant has no rate and no load"),
        (8, "there is no host 'h9'"),
    ]
