"""bind-rx and changes need CAP_NET_ADMIN of the process that asks, wherever it runs; bind-tx does not."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from nodes.endpoint.credentials import NetAdmin, net_admin
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

# Connects as an ordinary user, leaves the socket to a child, and becomes a privileged program.
TURN_PRIVILEGED = """
import os, socket, sys
sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
sock.connect(sys.argv[1])
if os.fork() == 0:
    sock.recv(1)
    os._exit(0)
if sys.argv[2:]:
    os.execv(sys.argv[2], [sys.argv[2], "10"])
"""


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A directory that every user reaches; pytest's are root's alone."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize("how", ["set-user-id", "file capability", "ended"])
def test_a_program_that_is_executed_after_connect_gives_no_capability(open_path: Path, how: str) -> None:
    program, path = open_path / "sleep", open_path / "channel"
    shutil.copy(shutil.which("sleep") or "", program)
    program.chmod(0o4755 if how == "set-user-id" else 0o755)
    if how == "file capability":
        os.setxattr(program, "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 12, 0, 0, 0))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        path.chmod(0o777)
        listener.listen()
        user = 0 if how == "ended" else 65534
        argv = ["setpriv", f"--reuid={user}", "--clear-groups", "--inh-caps=-all", sys.executable, "-c"]
        argv += [TURN_PRIVILEGED, str(path), *([] if how == "ended" else [str(program)])]
        with subprocess.Popen(argv) as process:
            changed = process.wait if how == "ended" else lambda: _becomes(process.pid, program)
            changed()
            with listener.accept()[0] as accepted:
                privileged = any(net_admin(accepted))
            process.kill()
    assert not privileged


# Connects and waits for the end. The network namespace of the host is the first one's.
CONNECT = """
import socket, sys
sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
sock.connect(sys.argv[1])
sock.recv(1)
"""
NOBODY = ["setpriv", "--reuid=65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"]
WITHOUT = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"]
# The process, and what it may do over a network namespace that a user namespace of user 65534 owns.
NAMESPACES = {
    "root of the namespaces": ([*NOBODY, "unshare", "-Urn"], NetAdmin(initial=False, netns=True)),
    "there without the capability": ([*NOBODY, "unshare", "-Urn", *WITHOUT], NetAdmin(False, netns=False)),
    "who made them": (NOBODY, NetAdmin(initial=False, netns=True)),
    "another user": (["setpriv", "--reuid=65533", *NOBODY[2:]], NetAdmin(initial=False, netns=False)),
    "root of another namespace": ([*NOBODY, "unshare", "-Ur"], NetAdmin(initial=False, netns=False)),
    "root outside": ([], NetAdmin(initial=True, netns=True)),
}


@pytest.mark.parametrize("who", NAMESPACES)
def test_a_network_namespace_is_administered_by_who_owns_it(open_path: Path, who: str) -> None:
    """As ns_capable has it: CAP_NET_ADMIN in its user namespace or above, or the user who made that."""
    if subprocess.run([*NOBODY, "unshare", "-Urn", "true"], capture_output=True, check=False).returncode:
        pytest.skip("unshare -Urn: this machine lets no ordinary user make a user namespace")
    prefix, expected = NAMESPACES[who]
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener, ExitStack() as stack:
        listener.bind(str(open_path / "channel"))
        (open_path / "channel").chmod(0o777)
        listener.listen()
        listener.settimeout(20)
        ends = []
        for options in ([*NOBODY, "unshare", "-Urn"], prefix):
            argv = [*options, sys.executable, "-c", CONNECT, str(open_path / "channel")]
            process = stack.enter_context(subprocess.Popen(argv, cwd="/"))
            stack.callback(process.kill)
            ends.append((process.pid, stack.enter_context(listener.accept()[0])))
        owner = ends["-Urn" in prefix]  # whose network namespace it is
        assert net_admin(ends[1][1], Path(f"/proc/{owner[0]}/ns/net")) == expected


def _becomes(pid: int, program: Path) -> None:
    deadline = time.monotonic() + 20
    while os.readlink(f"/proc/{pid}/exe") != str(program):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    status = Path(f"/proc/{pid}/status").read_text()
    effective = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    assert int(effective, 16) & 1 << 12  # it has the capability now


def test_a_process_of_root_that_is_there_has_the_capability() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        assert all(net_admin(ours))
