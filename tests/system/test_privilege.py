"""bind-rx and changes need CAP_NET_ADMIN of the process that asks, wherever it runs; bind-tx does not."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.system.network import Network
from topologies.mininet.fabric import PROJECT

pytestmark = pytest.mark.system

# Without attributes: a permitted caller learns that one is missing.
ASK = """
import errno, sys
from nodes.client.host import Host
from nodes.machine import dmabuf
h = Host(sys.argv[1])
for act in (lambda: h.netdev.do("bind-rx", {"colour": 1}), lambda: h.ethtool.do("ntuple-delete")):
    try:
        act()
    except OSError as e:
        print(errno.errorcode[e.errno], end=" ")
memory = dmabuf.export(1 << 16)
print("tx", h.netdev.bind_tx({"ifindex": h.ifindex, "fd": memory.fd})["id"] > 0)
"""
SETPRIV = {
    "root": [],
    "root without the capability": ["--bounding-set=-net_admin", "--inh-caps=-net_admin"],
    "user 65534 with the capability": [
        "--reuid=65534", "--inh-caps=+net_admin,+dac_override", "--ambient-caps=+net_admin,+dac_override",
    ],
    "user 65534 without it": ["--reuid=65534", "--inh-caps=+dac_override", "--ambient-caps=+dac_override"],
}  # fmt: skip


def test_the_capability_counts_not_the_user_nor_the_namespace(network: Network) -> None:
    network.host("h1").close()
    found = {}
    for who, options in SETPRIV.items():
        argv = ["setpriv", *options, sys.executable, "-c", ASK, network.channel("h1")]
        outside = subprocess.run(argv, cwd=PROJECT, capture_output=True, text=True, timeout=30, check=False)
        inside = network.fabric.run("h1", argv)
        found[who] = [outside.stdout.strip() or outside.stderr, inside.stdout.strip() or inside.stderr]
    permitted, refused = "EINVAL EINVAL tx True", "EPERM EPERM tx True"
    assert found == {
        "root": [permitted] * 2,
        "root without the capability": [refused] * 2,
        "user 65534 with the capability": [permitted] * 2,
        "user 65534 without it": [refused] * 2,
    }
