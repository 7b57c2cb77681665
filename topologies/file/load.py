"""A topology file: its topology, or every problem that it has.

In: the path of a YAML file. Out: a `Topology`, or `Problem`s with their lines. Owns nothing. The format is
`topologies.file.schema`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from topologies import quantity
from topologies.draft import NicDraft
from topologies.file.reader import Document, Problem, read
from topologies.file.reader import Path as Place
from topologies.file.schema import HostEntry, LinkEntry, NicEntry, SwitchEntry, TopologyFile
from topologies.host import CEILING_MAX, CEILING_MIN, Accelerator
from topologies.link import LinkEnd
from topologies.link_options import LinkOptions
from topologies.names import check_address, check_address6, check_interface, check_mac, check_name
from topologies.net import Net
from topologies.topology import Topology
from topologies.topology_error import TopologyError
from topologies.traffic.check import check as check_traffic

SUFFIXES = (".yaml", ".yml")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


class FileProblems(TopologyError):
    """What is wrong with a file; str() is the first problem, and how many more there are."""

    def __init__(self, path: Path, problems: list[Problem]) -> None:
        first, *more = self.problems = sorted(set(problems))
        others = f"; `run.py validate` lists {len(more)} more" if more else ""
        super().__init__(f"{path}:{first.line}: {first.text}{others}")


def load(path: Path, net: Net) -> Topology:
    """The topology of a file, drawn on `net`, whose link options hold where the file says nothing. Raises
    FileProblems, and OSError."""
    document = read(path.read_text(encoding="utf-8", errors="replace"), TopologyFile)
    if document.value is None:
        raise FileProblems(path, document.problems)
    file: TopologyFile = document.value
    drawing = _Drawing(document, file, net)
    drawing.draw()
    problems = document.problems + drawing.problems
    if not problems:
        try:
            topology = net.topology(file.name or re.sub(r"[^A-Za-z0-9._-]", "-", path.stem))
        except TopologyError as wrong:
            problems.append(Problem(drawing.line_of(str(wrong)), str(wrong)))
        else:
            problems += _traffic_problems(file, topology, document)
    if problems:
        raise FileProblems(path, problems)
    return msgspec.structs.replace(topology, traffic=file.traffic)


def _traffic_problems(file: TopologyFile, topology: Topology, document: Document) -> Iterator[Problem]:
    for number, entry in enumerate(file.traffic):
        checked = check_traffic(entry, topology)
        for field, sentence in checked.items() if isinstance(checked, dict) else ():
            place = ("traffic", number)
            yield Problem(document.lines.get((*place, field), document.lines[place]), sentence)


def _ceiling(text: str) -> float:
    rate = quantity.byte_rate(text)
    if not CEILING_MIN <= rate <= CEILING_MAX:
        raise TopologyError(f"{text} is no rate of a bus; choose 1MB/s to {CEILING_MAX / 1e12:g}TB/s")
    return rate


class _Drawing:
    """Draws a file on a net, and goes on after a problem. An entry is None if it could not be read."""

    def __init__(self, document: Document, file: TopologyFile, net: Net) -> None:
        self.problems: list[Problem] = []
        self._lines = document.lines
        self._file = file
        self._net = net
        self._named: dict[str, int] = {}  # the line of each node and each interface

    def draw(self) -> None:
        name = self._file.name
        if name and not _NAME.fullmatch(name):
            self._say(
                ("name",), f"name {name!r} is not up to 40 letters, digits, dots, _ and -; choose another"
            )
        for name, host in self._file.hosts.items():
            self._host(name, host or HostEntry(), ("hosts", name))
        for name, switch in self._file.switches.items():
            self._switch(name, switch or SwitchEntry(), ("switches", name))
        self._check_options(self._file.defaults, ("defaults",))
        for number, link in enumerate(self._file.links):
            if link is not None:
                self._link(link, ("links", number))
        if len(self._file.hosts) < 2:
            self._say(("hosts",), f"the network has {len(self._file.hosts)} hosts; give it two or more")
        if None not in self._file.links:
            self._check_hosts()

    def line_of(self, sentence: str) -> int:
        """Of what a sentence about the whole network names first."""
        words = re.findall(r"[A-Za-z0-9-]+", sentence)
        return next((self._named[word] for word in words if word in self._named), 1)

    # Nodes

    def _host(self, name: str, entry: HostEntry, place: Place) -> None:
        count = entry.accelerators if isinstance(entry.accelerators, int) else 0
        if count < 0:
            self._say((*place, "accelerators"), f"host {name} has {count} accelerators; give 0 or more")
        with self._noting(place):
            self._name("host", name, place)
            self._net.host(name, entry.role, max(0, count))
            draft = self._net.draft.hosts[-1]
            draft.nics += [
                self._nic(interface, nic or NicEntry(), (*place, "nics", interface))
                for interface, nic in entry.nics.items()
            ]
            draft.accelerators = tuple(self._accelerators(entry, place))
            draft.host_mem_bw_bytes_per_s = self._read(entry.host_mem_bw, (*place, "host_mem_bw"), _ceiling)
            draft.pcie_bw_bytes_per_s = self._read(entry.pcie_bw, (*place, "pcie_bw"), _ceiling)

    def _nic(self, interface: str, entry: NicEntry, place: Place) -> NicDraft:
        self._named[interface] = self._lines[place]
        with self._noting(place):
            check_interface(interface)
        given = {name: getattr(entry, name) for name in entry.__struct_fields__}
        for name, value in given.items():
            check = check_mac if "mac" in name else check_address6 if name.endswith("6") else check_address
            with self._noting((*place, name)):
                if value:
                    check(interface, value)
        return NicDraft(interface, **given)

    def _accelerators(self, entry: HostEntry, place: Place) -> Iterator[Accelerator]:
        if not isinstance(entry.accelerators, int):
            for name, each in entry.accelerators.items():
                if each is None:
                    continue
                where = (*place, "accelerators", name)
                memory_bytes = self._read(each.memory, (*where, "memory"), quantity.size)
                with self._noting(where):
                    yield Accelerator(name, each.nic, int(memory_bytes))

    def _switch(self, name: str, entry: SwitchEntry, place: Place) -> None:
        with self._noting(place):
            self._name("switch", name, place)
            add = self._net.router if entry.kind == "router" else self._net.switch
            add(name)
            draft = self._net.draft.switches[-1]
            draft.address, draft.address6 = entry.address, entry.address6
        for field, check in (("address", check_address), ("address6", check_address6)):
            with self._noting((*place, field)):
                if getattr(entry, field):
                    check(name, getattr(entry, field))
                    if entry.kind == "bridge":
                        raise TopologyError(f"switch {name} is a bridge and has no address; make it a router")

    def _name(self, kind: str, name: str, place: Place) -> None:
        """Raises TopologyError."""
        check_name(kind, name)
        if name in self._named:
            raise TopologyError(f"{name} is a host and a switch; give each node a name of its own")
        self._named[name] = self._lines[place]

    def _check_hosts(self) -> None:
        """Once all links are drawn, a host has the NICs that it is to have."""
        for host in self._net.draft.hosts:
            nics = [nic.interface for nic in host.nics]
            if not nics:
                self._say(("hosts", host.name), f"host {host.name} ends no link; link it to a switch")
            for each in host.accelerators:
                if each.nic not in nics:
                    place = ("hosts", host.name, "accelerators", each.name)
                    known = ", ".join(nics)
                    self._say(
                        place, f"{each.name} sits beside {each.nic!r}, which is none of {known}; choose one"
                    )

    # Links

    def _link(self, entry: LinkEntry, place: Place) -> None:
        ends = [self._end(text, (*place, "endpoints", number)) for number, text in enumerate(entry.endpoints)]
        own = LinkOptions(**{name: getattr(entry, name) for name in LinkOptions.__struct_fields__})
        options = own.over(self._file.defaults).over(self._net.asked)
        if self._check_options(own, place) and not self._file.defaults.problems():
            with self._noting(place):
                options.ways()
                if ends[0] and ends[1]:
                    self._net.add_link((ends[0], ends[1]), options)

    def _end(self, text: str, place: Place) -> LinkEnd | None:
        node, _, interface = text.partition(":")
        with self._noting(place):
            if node not in self._file.hosts and node not in self._file.switches:
                raise TopologyError(
                    f"a link ends at {node!r}, which is no host or switch; add it, or correct it"
                )
            if node not in self._named:
                return None  # its own problem is told
            end = self._net.end(node, interface)
            self._named.setdefault(end.interface, self._lines[place])
            return end
        return None

    def _check_options(self, options: LinkOptions, place: Place) -> bool:
        problems = options.problems()
        for name, sentence in problems.items():
            self._say((*place, name), sentence)
        return not problems

    # Problems

    def _read(self, text: str, place: Place, parse: Callable[[str], float]) -> float:
        """0 for nothing, and after a problem."""
        with self._noting(place):
            return parse(text) if text else 0
        return 0

    @contextmanager
    def _noting(self, place: Place) -> Iterator[None]:
        """A TopologyError in the block becomes a problem, and the rest of the block is left out."""
        try:
            yield
        except TopologyError as wrong:
            self._say(place, str(wrong))

    def _say(self, place: Place, sentence: str) -> None:
        self.problems.append(Problem(self._lines[place], sentence))
