"""Where each microsecond of a 64 KiB packet goes, in the sender's endpoint and in the receiver's.

`python -m tests.bench.where` streams device memory between two hosts, samples both endpoints by perf, and
prints microseconds of CPU time a packet, by system call and by folder of nodes/. In: perf(1), as root; a
compiled nodes/, as the interpreter's own frames cannot be told from each other. Out: a table. Owns the
network, and perf while it samples.

A sample belongs to the system call in which it was taken, if there is one; else to the innermost function of
nodes/ on its stack, so that what that calls of Python itself is its own. A packet is 65,160 bytes of payload.
"""

from __future__ import annotations

import argparse
import functools
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from nodes.client.host import Host
from nodes.compiled.build import modules
from nodes.compiled.state import state
from tests.bench.network import Network
from tests.bench.rounds import machine
from tests.bench.transfers import DEVMEM, Way, transfers

PACKET_BYTES = 45 * 1448
_HZ = 997
_SKIP_S = 1.0
_FRAME = re.compile(r"\s+[0-9a-f]+ (\S+)")
_OURS = re.compile(r"CPyDef_(\w+?)___")
_ENTRIES = {"do_syscall_64", "entry_SYSCALL_64_after_hwframe", "el0_svc"}  # of a system call
# By the function of ours that made it.
_BY = {
    "AfPacket___peek": "peek at a frame",
    "AfPacket____take": "read a frame",
    "AfPacket___send": "send a frame",
}


def stacks(script: Iterable[str]) -> Iterator[list[str]]:
    """Of `perf script -F ip,sym`: a sample's symbols, the innermost first."""
    stack: list[str] = []
    for line in script:
        if found := _FRAME.match(line):
            stack.append(found[1])
        elif stack:
            yield stack
            stack = []
    if stack:
        yield stack


def place(stack: list[str]) -> str:
    """What a sample is counted as."""
    ours = [symbol for symbol in stack if symbol.startswith("CPyDef_")]
    if not _ENTRIES.isdisjoint(stack):
        for name, said in _BY.items():
            if ours and name in ours[0]:
                return f"kernel: {said}"
        if any("epoll" in symbol for symbol in stack):
            return "kernel: look and wait (epoll)"
        return "kernel: channel" if any(symbol.startswith("unix_") for symbol in stack) else "kernel: other"
    for symbol in ours:
        if (found := _OURS.match(symbol)) and found[1] in _folders():
            return _folders()[found[1]]
    return "Python that is not compiled"


@functools.cache
def _folders() -> dict[str, str]:
    """mypyc's short name of a module to its folder: the end of its dotted name that no other one has."""
    found: dict[str, str] = {}
    for path in modules():
        words = path.removesuffix(".py").split("/")
        folder = f"{words[1]}/" if len(words) > 2 else f"{words[1]}.py"
        for at in range(len(words)):
            found.setdefault("___".join(words[at:]), folder)
    return found


def sampled(pids: Iterable[int], seconds: float, directory: Path) -> dict[int, Counter[str]]:
    """Samples of each process, by place."""
    running = {}
    for pid in pids:
        out = directory / f"perf.{pid}"
        argv = ["perf", "record", "-q", "-e", "cpu-clock", "-F", str(_HZ), "--call-graph", "dwarf,16384"]
        argv += ["-p", str(pid), "-o", str(out), "--", "sleep", f"{seconds:g}"]
        running[pid] = out, subprocess.Popen(argv, stderr=subprocess.DEVNULL)
    found = {}
    for pid, (out, perf) in running.items():
        perf.wait()
        argv = ["perf", "script", "--no-inline", "-F", "ip,sym", "-i", str(out)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as script:
            assert script.stdout is not None
            found[pid] = Counter(place(stack) for stack in stacks(script.stdout))
    return found


def measure(seconds: float) -> dict[str, dict[str, float]]:
    """Microseconds a packet, of sender and receiver, by place; "CPU time" is the kernel's own count."""
    with ExitStack() as stack:
        network = Network(stack)
        stack.enter_context(network.endpoints())
        hosts = {name: stack.enter_context(closing(Host(network.channel(name)))) for name in network.pids}
        stream = threading.Thread(
            target=transfers, args=(network, [Way(DEVMEM, DEVMEM)], seconds + 2 * _SKIP_S, _SKIP_S)
        )
        stream.start()
        time.sleep(2 * _SKIP_S)
        processes = {name: psutil.Process(pid) for name, pid in network.pids.items()}
        before = {name: (hosts[name].stats(), _cpu_s(processes[name])) for name in hosts}
        began = time.monotonic()
        samples = {}
        watch = threading.Thread(
            target=lambda: samples.update(sampled(network.pids.values(), seconds, network.directory))
        )
        watch.start()
        time.sleep(max(0.0, began + seconds - time.monotonic()))
        after = {name: (hosts[name].stats(), _cpu_s(processes[name])) for name in hosts}
        watch.join()
        stream.join()
    if not all(samples[pid] for pid in network.pids.values()):
        raise SystemExit("where: perf took no samples: is the machine too busy, or perf not allowed here?")
    packets = (after["h2"][0].rx_bytes - before["h2"][0].rx_bytes) / PACKET_BYTES
    found = {}
    for name, side in (("h1", "sender"), ("h2", "receiver")):
        used = after[name][1] - before[name][1]
        counts = samples[network.pids[name]]
        found[side] = {place: used * n / counts.total() / packets * 1e6 for place, n in counts.items()}
        found[side]["CPU time"] = used / packets * 1e6
    return found


def _cpu_s(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    if shutil.which("perf") is None:
        print("where: perf is not installed: `apt-get install linux-perf`", file=sys.stderr)
        return 1
    if not state().compiled:
        print(f"where: nodes/ runs as {state()}", file=sys.stderr)
        return 1
    around = machine()
    found = measure(options.seconds)
    table = Table("us a 64 KiB packet", "sender", "receiver", title=", ".join(around.values()))
    places = {place for side in found.values() for place in side}
    for each in sorted(places, key=lambda place: -sum(side.get(place, 0) for side in found.values())):
        table.add_row(each, *(f"{side.get(each, 0):.1f}" for side in found.values()))
    Console(width=None if sys.stdout.isatty() else 110).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
