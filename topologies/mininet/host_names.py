"""The names of a network's hosts, as programs inside look them up: `ping h2`.

In: a topology, and the machine's /etc/hosts. Out: in this mount namespace /etc/hosts has these names in
front. Owns nothing: the mount ends with the namespace. hosts(5).
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from topologies.host import Host
from topologies.mininet.isolation import MS_BIND, mount
from topologies.topology import Topology

HOSTS = "/etc/hosts"
ENDPOINT = "-endpoint"  # h2 is Linux's stack in host h2, h2-endpoint the emulated one


def give_names(topology: Topology) -> None:
    """Put the hosts' names into this mount namespace's /etc/hosts. On a machine without that file there are
    none."""
    with suppress(FileNotFoundError):
        known = Path(HOSTS).read_text(errors="surrogateescape")
        number, path = tempfile.mkstemp()
        try:
            with open(number, "w", errors="surrogateescape") as file:
                file.write(hosts_lines(topology) + known)
            os.chmod(path, 0o644)
            mount(path, HOSTS, None, MS_BIND)
        finally:
            os.unlink(path)


def hosts_lines(topology: Topology) -> str:
    """Lines of hosts(5). A host's name means its first interface; each interface's name means itself."""
    return "".join(line for host in topology.hosts for line in _lines(host))


def _lines(host: Host) -> list[str]:
    lines = []
    for number, nic in enumerate(host.nics):
        names = [nic.interface] if number else [host.name, nic.interface]
        endpoint = [f"{name}{ENDPOINT}" for name in names]
        for address, called in (
            (nic.kernel_address, names),
            (nic.kernel_address6, names),
            (nic.endpoint_address, endpoint),
            (nic.endpoint_address6, endpoint),
        ):
            if address:
                lines.append(f"{address.partition('/')[0]} {' '.join(called)}\n")
    return lines
