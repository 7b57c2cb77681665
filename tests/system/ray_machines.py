"""Network namespaces that stand for machines, a Ray cluster of them, and a run across them.

    python -m tests.system.ray_machines DIRECTORY FOUND MTU KILL WORD...

In: a place for Ray's files; a file for what was found; the MTU of the network between the machines; how many
seconds after the first trial Ray is killed on the second machine, or 0; the words of run.py's command line.
Out: what run.py prints, its exit status; FOUND, as JSON: packets of tunnels that crossed between the machines,
and what run.py has left behind. Owns everything, and it ends with this process's namespaces
(topologies.mininet.enclosure).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil

from topologies.mininet.isolation import CLONE_NEWNET, network_namespace_of, unshare

MACHINES = 2
RAY = Path(sys.executable).with_name("ray")
_PORT, _VXLAN_PORT = 6379, 4789
_UP_S, _GONE_S = 60.0, 20.0
_ETH_P_ALL = 0x0003


def namespace() -> int:
    """A process that keeps a new network namespace."""
    holder = subprocess.Popen(["sleep", "infinity"], preexec_fn=lambda: unshare(CLONE_NEWNET))
    ip(holder.pid, "link set lo up")
    return holder.pid


def ip(pid: int, words: str) -> str:
    argv = [*inside(pid), "ip", *words.split()]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def inside(pid: int) -> list[str]:
    return ["nsenter", f"--net=/proc/{pid}/ns/net", "--"]


def underlay(mtu: int) -> list[int]:
    """Machines 10.77.0.1, 10.77.0.2, ... at one bridge."""
    subprocess.run("ip link add under type bridge && ip link set under up", shell=True, check=True)
    pids = []
    for number in range(1, 1 + MACHINES):
        pids.append(namespace())
        ends = f"u{number} mtu {mtu} type veth peer name eth0 mtu {mtu} netns {pids[-1]}"
        subprocess.run(["ip", "link", "add", *ends.split()], check=True)
        subprocess.run(f"ip link set u{number} master under up", shell=True, check=True)
        ip(pids[-1], f"addr add 10.77.0.{number}/24 dev eth0")
        ip(pids[-1], "link set eth0 up")
    return pids


def ray(pid: int, number: int) -> subprocess.Popen[bytes]:
    where = [f"--address=10.77.0.1:{_PORT}"]
    if number == 1:
        where = ["--head", f"--port={_PORT}", "--include-dashboard=false"]
    words = [
        *where, "--block", f"--node-ip-address=10.77.0.{number}", "--num-cpus=1",
        '--resources={"emu_host": 1}', f"--object-store-memory={80 << 20}", "--disable-usage-stats",
    ]  # fmt: skip
    with open(os.devnull, "wb") as null:
        return subprocess.Popen([*inside(pid), str(RAY), "start", *words], stdout=null)


class Sniffer(threading.Thread):
    """Counts what comes to a machine from the others: `vnis`: packets of tunnels, by network identifier."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.vnis: Counter[int] = Counter()
        with network_namespace_of(pid):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        self._socket.bind(("eth0", _ETH_P_ALL))

    def run(self) -> None:
        while True:
            packet = self._socket.recv(64)
            if packet[9] == socket.IPPROTO_UDP and int.from_bytes(packet[22:24], "big") == _VXLAN_PORT:
                self.vnis[int.from_bytes(packet[32:35], "big")] += 1


def left(pids: list[int], known: set[int]) -> list[str]:
    """What a run should have taken away: tunnels, processes that are not Ray's, directories."""
    found = [line for pid in pids for line in ip(pid, "-o link show type vxlan").splitlines()]
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            words = " ".join(process.cmdline())
            if process.pid not in known and any(part in words for part in ("commands.", "topologies.", "nodes.")):
                found.append(words)
    return found + [str(path) for path in Path(tempfile.gettempdir()).glob("dmtb-*")]


def wait_for_nodes(pid: int) -> None:
    import ray

    give_up_at = time.monotonic() + _UP_S
    code = "import ray, sys; ray.init(address='auto', log_to_driver=False); sys.exit(len(ray.nodes()) != 2)"
    assert ray.__version__
    while subprocess.run([*inside(pid), sys.executable, "-c", code], capture_output=True).returncode:
        assert time.monotonic() < give_up_at, "Ray did not start on all machines"


def killer(ray_process: subprocess.Popen[bytes], samples: str, after_s: float) -> None:
    """Ends Ray on a machine as a power cut would, once a trial has been measured."""
    while not list(Path(samples).glob("*/samples.csv")):
        time.sleep(0.05)
    time.sleep(after_s)
    for process in psutil.Process(ray_process.pid).children(recursive=True):
        if process.name() == "raylet":
            process.send_signal(signal.SIGKILL)


def main(directory: str, found: str, mtu: str, kill: str, *words: str) -> int:
    os.environ.update(RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0", RAY_TMPDIR=directory)
    (Path(directory) / "ray").mkdir()
    os.environ["TMPDIR"] = directory
    pids = underlay(int(mtu))
    rays = [ray(pid, number) for number, pid in enumerate(pids, 1)]
    wait_for_nodes(pids[0])
    sniffer = Sniffer(pids[1])
    sniffer.start()
    known = {process.pid for process in psutil.process_iter()}
    if float(kill):
        results = words[words.index("--results") + 1]
        threading.Thread(target=killer, args=(rays[1], results, float(kill)), daemon=True).start()
    status = subprocess.call([*inside(pids[0]), sys.executable, *words])
    give_up_at = time.monotonic() + (_GONE_S if float(kill) else 0)
    while (remains := left(pids, known)) and time.monotonic() < give_up_at:
        time.sleep(0.2)
    Path(found).write_text(json.dumps({"vnis": sniffer.vnis, "left": remains}))
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
