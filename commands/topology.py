"""Which network the words of --topology mean: a shape, a topology file, or a Mininet Topo.

In: words, a number of hosts, what links shall be. Out: a `Topology`, or one sentence (UsageError). Owns
nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from commands.usage import UsageError
from nodes.nic.nic_model import MODELS
from topologies import link_options
from topologies.file.load import SUFFIXES, load
from topologies.link_options import LinkOptions
from topologies.net import Net
from topologies.shapes.registry import build, named
from topologies.topology import Topology
from topologies.topology_error import TopologyError
from workloads.experiment.records import NetworkConfig


def topology_of(words: str, hosts: int | None, config: NetworkConfig) -> Topology:
    """What was asked for, with interfaces of as many queues as the endpoints' NICs. Raises UsageError when it
    cannot be."""
    try:
        if is_file(words) or is_topo(words):
            return _with_queues(_own(words, hosts, config), config)
        if config.routers:
            raise TopologyError("--routers is for a Mininet Topo, FILE.py,NAME; leave it out")
        asked = (config.mtu, config.gso_max_bytes, config.link, config.bottleneck)
        return _with_queues(build(words, hosts, *asked), config)
    except TopologyError as reason:
        raise UsageError(str(reason)) from None
    except OSError as failure:
        raise UsageError(f"{words} cannot be read ({failure.strerror}); correct the name") from None


def _with_queues(plain: Topology, config: NetworkConfig) -> Topology:
    rx = config.rx_queues
    tx = rx if config.nic in MODELS and MODELS[config.nic].combined else 1
    replace = msgspec.structs.replace
    hosts = [
        replace(host, nics=tuple(replace(nic, rx_queues=rx, tx_queues=tx) for nic in host.nics))
        for host in plain.hosts
    ]
    return replace(plain, hosts=tuple(hosts))


def is_file(words: str) -> bool:
    return words.endswith(SUFFIXES)


def is_topo(words: str) -> bool:
    return ".py," in words or words.endswith(".py")


def _own(words: str, hosts: int | None, config: NetworkConfig) -> Topology:
    """A user's own. Raises TopologyError, OSError."""
    if config.bottleneck:
        raise TopologyError("--bottleneck is for shapes that have one; write the rate into the file")
    net = Net(link_options.parse(config.link).over(LinkOptions(mtu=config.mtu)), None, config.gso_max_bytes)
    if is_file(words):
        if config.routers:
            raise TopologyError("--routers is for a Mininet Topo; write `kind: router` into the file")
        topology = load(Path(words), net)
    else:
        from topologies.custom import load as load_topo  # Mininet's import takes its time

        topology, note = load_topo(words, net, config.routers)
        if note:
            print(f"run.py: {note}", file=sys.stderr)
    if hosts not in (None, len(topology.hosts)):
        raise TopologyError(f"{words} has {len(topology.hosts)} hosts and not {hosts}; leave --hosts out")
    return topology


def fewest_hosts(words: str) -> int | None:
    """Of a shape that is named without parameters, which decide otherwise. Raises UsageError."""
    if ":" in words or is_file(words) or is_topo(words):
        return None
    try:
        return int(named(words).hosts.min)
    except TopologyError as reason:
        raise UsageError(str(reason)) from None
