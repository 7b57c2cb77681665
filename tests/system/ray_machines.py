"""Network namespaces that stand for machines, a Ray cluster of them, and runs across them.

    python -m tests.system.ray_machines DIRECTORY PLAN FOUND

In: a place for Ray's files; PLAN, as JSON: the MTU of the network between the machines, what the clocks of
the second one are, and the runs, one after the other. Out: FOUND, as JSON: of each run its exit status, what
it printed, how many packets of tunnels came to the second machine, and what was left behind. Owns everything,
and it ends with this process's namespaces (topologies.mininet.enclosure).

A time namespace (time_namespaces(7)) makes the second machine's monotonic clocks others. There is none for
Unix time: a module that Python imports on its own replaces `time.time` in every Python of that machine.
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
from typing import Any

import msgspec
import psutil

from topologies.mininet.isolation import CLONE_NEWNET, network_namespace_of, unshare

CLONE_NEWTIME = 0x80

MACHINES = 2
_OFF = 2  # the machine whose clocks are others
OURS = ("commands.", "topologies.", "nodes.", "workloads.")
RAY = Path(sys.executable).with_name("ray")
_PORT, _VXLAN_PORT = 6379, 4789
_UP_S, RUN_S = 150.0, 200.0
_GONE_S, _REAPED_S = 20.0, 2.0
_ETH_P_ALL = 0x0003
# Python imports it under the name sitecustomize. Others are to take the function for time.time: pickle does.
_OTHER_UNIX_TIME = """
import time
_time, _ahead_s, _faster, _since_s = time.time, {0.unix_s!r}, {0.faster!r}, {1!r}
def other():
    return _time() + _ahead_s + _faster * (_time() - _since_s)
other.__module__, other.__name__, other.__qualname__ = "time", "time", "time"
time.time = other
"""


class Clocks(msgspec.Struct, frozen=True):
    """What a machine's are ahead of the first one's: the monotonic ones, Unix time, and how much faster
    Unix time goes, which is by as much more ahead every second."""

    monotonic_s: int = 0
    unix_s: float = 0.0
    faster: float = 0.0


def namespace(ahead: Clocks) -> int:
    """A process that keeps a new network namespace, and a new time namespace if its clocks are others."""

    def enter() -> None:
        unshare(CLONE_NEWNET)
        if ahead.monotonic_s:
            unshare(CLONE_NEWTIME)
            clocks = f"monotonic {ahead.monotonic_s} 0\nboottime {ahead.monotonic_s} 0\n"
            Path("/proc/self/timens_offsets").write_text(clocks)

    holder = subprocess.Popen(["sleep", "infinity"], preexec_fn=enter)
    ip(holder.pid, "link set lo up")
    return holder.pid


def ip(pid: int, words: str) -> str:
    argv = [*inside(pid), "ip", *words.split()]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def inside(pid: int) -> list[str]:
    words = ["nsenter", f"--net=/proc/{pid}/ns/net"]
    # `pid` itself is in its parent's time namespace on kernels that change it at fork only, not at execve.
    clocks = Path(f"/proc/{pid}/ns/time_for_children")
    return [*words, *([f"--time={clocks}"] if clocks.exists() else []), "--"]


def underlay(mtu: int, ahead: Clocks) -> list[int]:
    """Machines 10.77.0.1, 10.77.0.2, ... at one bridge. `ahead`: of the second."""
    subprocess.run("ip link add under type bridge && ip link set under up", shell=True, check=True)
    pids = []
    for number in range(1, 1 + MACHINES):
        pids.append(namespace(ahead if number == _OFF else Clocks()))
        ends = f"u{number} mtu {mtu} type veth peer name eth0 mtu {mtu} netns {pids[-1]}"
        subprocess.run(["ip", "link", "add", *ends.split()], check=True)
        subprocess.run(f"ip link set u{number} master under up", shell=True, check=True)
        ip(pids[-1], f"addr add 10.77.0.{number}/24 dev eth0")
        ip(pids[-1], "link set eth0 up")
    return pids


def other_unix_time(directory: str, ahead: Clocks) -> None:
    """For a Python that has `directory` in its path."""
    module = _OTHER_UNIX_TIME.format(ahead, time.time())
    (Path(directory) / "sitecustomize.py").write_text(module)


def environment(number: int) -> dict[str, str]:
    """Of what runs on that machine."""
    return os.environ | ({"PYTHONPATH": os.environ["TMPDIR"]} if number == _OFF else {})


def ray(pid: int, number: int) -> subprocess.Popen[bytes]:
    where = [f"--address=10.77.0.1:{_PORT}"]
    if number == 1:
        where = ["--head", f"--port={_PORT}", "--include-dashboard=false"]
    words = [
        *where, "--block", f"--node-ip-address=10.77.0.{number}", "--num-cpus=1",
        '--resources={"emu_host": 1}', f"--object-store-memory={80 << 20}", "--disable-usage-stats",
    ]  # fmt: skip
    with open(os.devnull, "wb") as null:
        argv = [*inside(pid), str(RAY), "start", *words]
        return subprocess.Popen(argv, stdout=null, env=environment(number))


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
            if process.pid not in known and any(part in words for part in OURS):
                found.append(words)
    return found + [str(path) for path in Path(tempfile.gettempdir()).glob("dmtb-*")]


def start_ray(pids: list[int]) -> list[subprocess.Popen[bytes]]:
    """On every machine; once more where it did not start, as on a busy machine of ours."""
    rays = [ray(pid, number) for number, pid in enumerate(pids, 1)]
    give_up_at = time.monotonic() + _UP_S
    code = "import ray, sys; ray.init(address='auto', log_to_driver=False); sys.exit(len(ray.nodes()) != 2)"
    while subprocess.run([*inside(pids[0]), sys.executable, "-c", code], capture_output=True).returncode:
        assert time.monotonic() < give_up_at, "Ray did not start on all machines"
        for at, each in enumerate(rays):
            if each.poll() is not None:
                rays[at] = ray(pids[at], at + 1)
    return rays


class Ending(threading.Thread):
    """Ends something once a trial has been measured: `ray` on the second machine, as a power cut would, an
    `endpoint` there (of h2), or the run, by `SIGINT`."""

    def __init__(self, what: str, samples: Path, ray_process: int, run: int) -> None:
        super().__init__(daemon=True)
        self._what, self._samples, self._ray, self._run_py = what, samples, ray_process, run

    def run(self) -> None:
        while not (self._samples.exists() and self._samples.read_text().count("\n") > 1):
            time.sleep(0.02)
        if self._what == "SIGINT":
            os.kill(self._run_py, signal.SIGINT)
        elif self._what == "ray":
            for process in psutil.Process(self._ray).children(recursive=True):
                if process.name() == "raylet":
                    process.kill()
        else:
            for process in psutil.process_iter():
                if "nodes.endpoint" in process.cmdline() and "h2.sock" in " ".join(process.cmdline()):
                    process.kill()


class Run(msgspec.Struct, frozen=True):
    """`words` of run.py's command line; `on` which machine; `ends`: see Ending; `samples`: the file."""

    words: tuple[str, ...]
    samples: str
    ends: str = ""
    on: int = 1


def carried_out(run: Run, pids: list[int], ray_process: int) -> dict[str, Any]:
    sniffer = Sniffer(pids[1])
    sniffer.start()
    known = {process.pid for process in psutil.process_iter()}
    argv = [*inside(pids[run.on - 1]), sys.executable, *run.words]
    pipe = subprocess.PIPE
    process = subprocess.Popen(argv, stdout=pipe, stderr=pipe, text=True, env=environment(run.on))
    if run.ends:
        Ending(run.ends, Path(run.samples), ray_process, process.pid).start()
    out, err = process.communicate(timeout=RUN_S)
    give_up_at = time.monotonic() + (_GONE_S if run.ends == "ray" else _REAPED_S)
    while (remains := left(pids, known)) and time.monotonic() < give_up_at:
        time.sleep(0.1)
    seen = dict(sniffer.vnis)
    return {"status": process.returncode, "out": out, "err": err, "vnis": seen, "left": remains}


def main(directory: str, plan: str, found: str) -> int:
    os.environ.update(RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0", RAY_TMPDIR=directory)
    (Path(directory) / "ray").mkdir()
    os.environ["TMPDIR"] = directory
    asked = json.loads(Path(plan).read_text())
    ahead = msgspec.convert(asked["ahead"], Clocks)
    if ahead.unix_s:
        other_unix_time(directory, ahead)
    pids = underlay(asked["mtu"], ahead)
    rays = start_ray(pids)
    done = []
    for run in msgspec.convert(asked["runs"], list[Run]):
        done.append(carried_out(run, pids, rays[1].pid))
        Path(found).write_text(json.dumps(done))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
