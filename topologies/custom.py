"""A network that somebody has as a Mininet Topo subclass, as `mn --custom FILE --topo NAME` takes it.

In: FILE.py,NAME and perhaps arguments of the class. Out: a `Topology`, and what it leaves out. Owns nothing.
NAME is a key of the file's `topos` or a class. Links have TCLink's options: `bw` in Mbit/s, `delay` and
`jitter` as tc(8) has them, `loss` in percent, `max_queue_size` in packets.
"""

from __future__ import annotations

import re
import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mininet.topo import Topo
from mininet.util import natural, splitArgs

from topologies.link_options import LinkOptions
from topologies.net import Net
from topologies.topology import Topology
from topologies.topology_error import TopologyError

WORDS = re.compile(r"(.+?\.py),(.+)")
_LINK = ("bw", "delay", "jitter", "loss", "max_queue_size")
# How Mininet makes a link or a host, which is decided here otherwise, or alike.
_LINK_MAKING = {
    "node1", "node2", "port1", "port2", "intfName1", "intfName2", "cls", "cls1", "cls2", "intf", "fast",
    "addr1", "addr2", "params1", "params2", "use_htb", "use_tbf", "use_hfsc", "gro", "txo", "rxo",
}  # fmt: skip
_HOST = {"cls", "mac", "ip", "defaultRoute", "inNamespace", "privateDirs"}
_HOST_CLASSES = ("Host", "Node", "CPULimitedHost")


def load(text: str, net: Net, routers: bool = False) -> tuple[Topology, str]:
    """The topology of "FILE.py,NAME", drawn on `net`, and a sentence about what it leaves out, or "".
    Its switches are bridges, or else `routers`. Raises TopologyError, and OSError."""
    match = WORDS.fullmatch(text)
    if match is None:
        raise TopologyError(
            f"{text!r} is not FILE.py,NAME; write the file and the class or key of its `topos`"
        )
    file, name = match.groups()
    topo = _made(Path(file), name)
    addressed = []
    for host in topo.hosts():
        options = topo.nodeInfo(host)
        _check_host(host, options)
        if "ip" in options:
            addressed.append(f"{host} not {options['ip']}")
        net.host(host)
    for switch in topo.switches():
        add = net.router if routers else net.switch
        add(switch)
    for node1, node2, info in topo.links(withInfo=True):
        ends = (_end(net, node1, info, 1), _end(net, node2, info, 2))
        net.add_link(ends, _options(f"{node1}<->{node2}", info).over(net.asked))
    for draft in net.draft.hosts:
        draft.nics.sort(key=lambda nic: natural(nic.interface))
        for nic in draft.nics[:1]:
            nic.kernel_mac = str(topo.nodeInfo(draft.name).get("mac", "")).lower()
    try:
        return net.topology(name.partition(",")[0]), _note(addressed)
    except TopologyError as reason:
        if "loop of bridges" in str(reason):
            raise TopologyError(
                f"{str(reason).partition(';')[0]}; give --routers, or leave the link out"
            ) from None
        raise


def _note(addressed: list[str]) -> str:
    return f"hosts have the addresses of the address plan: {', '.join(addressed)}" if addressed else ""


def _made(file: Path, name: str) -> Topo:
    """The Topo, built. What a user's file raises becomes a sentence."""
    if not file.exists():
        raise TopologyError(f"there is no file {file}; correct the name")
    try:
        found = runpy.run_path(str(file))
    except Exception as failure:
        raise TopologyError(
            f"{file} cannot be run: {_sentence(failure)}; see that `mn --custom` takes it"
        ) from None
    key, arguments, named = splitArgs(name)
    topos = {
        each: value for each, value in found.items() if isinstance(value, type) and issubclass(value, Topo)
    }
    topos.pop("Topo", None)
    topos |= found.get("topos", {})
    if key not in topos:
        raise TopologyError(f"{file} has no Topo {key!r}; choose from {', '.join(sorted(topos)) or 'none'}")
    try:
        topo = topos[key](*arguments, **named)
    except Exception as failure:
        raise TopologyError(
            f"{key} of {file} cannot be made: {_sentence(failure)}; correct its arguments"
        ) from None
    if not isinstance(topo, Topo):
        raise TopologyError(f"{key} of {file} makes a {type(topo).__name__}; let it make a mininet.topo.Topo")
    return topo


def _end(net: Net, node: str, info: Mapping[str, Any], side: int) -> Any:
    port, name = info[f"port{side}"], info.get(f"intfName{side}", "")
    if beyond := set(info.get(f"params{side}", {})) - {"ip", "mac"}:
        raise TopologyError(
            f"the interface of {node} has {', '.join(sorted(beyond))} by itself; give it to the link"
        )
    return net.end(node, name or f"{node}-eth{port}")


def _check_host(name: str, options: Mapping[str, Any]) -> None:
    if (kind := options.get("cls")) is not None and kind.__name__ not in _HOST_CLASSES:
        raise TopologyError(
            f"host {name} is a {kind.__name__}, which does more than a host; leave its cls out"
        )
    if beyond := set(options) - _HOST:
        raise TopologyError(
            f"host {name} has {', '.join(sorted(beyond))}, which is not understood; leave it out"
        )


def _options(link: str, info: Mapping[str, Any]) -> LinkOptions:
    if beyond := set(info) - _LINK_MAKING - set(_LINK):
        raise TopologyError(
            f"link {link} has {', '.join(sorted(beyond))}, which is not understood; choose from "
            f"{', '.join(_LINK)}"
        )
    said = {name: info[name] for name in _LINK if info.get(name) is not None}
    try:
        return LinkOptions(
            rate=f"{float(said['bw'])!r}Mbit" if "bw" in said else None,
            delay=_time(said["delay"]) if "delay" in said else None,
            jitter=_time(said["jitter"]) if "jitter" in said else None,
            loss=float(said["loss"]) / 100 if "loss" in said else None,
            queue_packets=int(said["max_queue_size"]) if "max_queue_size" in said else None,
        )
    except (TypeError, ValueError):
        raise TopologyError(f"link {link} has {said}, which are no numbers; correct them") from None


def _time(said: object) -> str:
    """tc(8) takes a number without a unit as microseconds."""
    return f"{said}us" if re.fullmatch(r"[\d.]+", str(said)) else re.sub(r"(?<=[\dmu])secs?$", "s", str(said))


def _sentence(failure: Exception) -> str:
    return " ".join(f"{type(failure).__name__}: {failure}".split())
