"""What the supervisor costs: a call that goes on to Linux, iperf3 on the host's stack, a compiled receiver.

In: a Bench. Out: its figures of part programs. Owns nothing; what it starts ends with each call.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from nodes.client.host import Host
from tests.bench.figure import at_least, at_most
from tests.bench.network import PROJECT, Network
from tests.bench.rounds import Bench, Round
from tests.bench.streams import iperf3
from topologies.mininet.fabric import FabricError

CALLS = """
import socket, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
begun = time.perf_counter()
for _ in range(5000):
    sock.getsockname()
print((time.perf_counter() - begun) / 5000 * 1e6)
"""
PORT = 5201
BYTES = 256 << 20
_START_S = 20.0


class Programs:
    def __init__(self, network: Network) -> None:
        self._network = network
        self._address, self._interface = network.address("h2"), network.interface("h2")
        self._devmem = str(network.directory / "devmem")
        source = str(PROJECT / "tests" / "programs" / "devmem.c")
        subprocess.run(["gcc", "-O2", "-o", self._devmem, source], check=True)

    def call_us(self, supervised: bool) -> float:
        """One getsockname of a UDP socket, which is none of ours."""
        argv = ["python3", "-c", CALLS]
        return float(self._run("h1", self._supervised("h1", argv) if supervised else argv))

    def iperf3_gbps(self, seconds: float) -> float:
        """From h1 to h2, both on the testbed's stack."""
        argv = self._supervised("h2", ["iperf3", "-s", "-1"])
        server = self._network.fabric.spawn("h2", argv, "receiver.log")
        self._wait_until_listening()
        argv = ["iperf3", "-c", self._address, "-t", str(max(1, round(seconds))), "-l", "1M", "-J"]
        said = self._run("h1", self._supervised("h1", argv), seconds + 30)
        self._end(server)
        return float(json.loads(said)["end"]["sum_received"]["bits_per_second"]) / 1e9

    def compiled_gbps(self) -> float:
        """Into device memory, by tests/programs/devmem.c under the supervisor; Linux sends."""
        argv = [self._devmem, "receive", self._interface, str(PORT), "0"]
        return self._received_gbps(self._supervised("h2", argv))

    def python_gbps(self) -> float:
        """Likewise by the testbed's ncdevmem."""
        words = ["-m", "nodes.client.ncdevmem", "--channel", self._network.channel("h2")]
        words += ["-l", "-s", self._address, "-p", str(PORT), "-f", self._interface]
        argv = [sys.executable, *words]
        return self._received_gbps(argv)

    def _received_gbps(self, argv: list[str]) -> float:
        server = self._network.fabric.spawn("h2", argv, "receiver.log")
        self._wait_until_listening()
        send = f"head -c {BYTES} /dev/zero | nc -N {self._network.address('h2')} {PORT}"
        begun = time.perf_counter()
        self._run("h1", ["sh", "-c", send], 60)
        took_s = time.perf_counter() - begun
        self._end(server)
        return BYTES * 8 / took_s / 1e9

    def _end(self, pid: int) -> None:
        with suppress(FabricError):  # it has ended by itself
            self._network.fabric.terminate(pid)

    def _supervised(self, host: str, argv: list[str]) -> list[str]:
        words = ["-m", "nodes.supervisor", "--channel", self._network.channel(host)]
        return [sys.executable, *words, "--", *argv]

    def _run(self, host: str, argv: list[str], timeout_s: float = 60) -> str:
        done = self._network.fabric.run(host, argv, timeout_s)
        if done.status:
            raise SystemExit(f"bench: {argv} failed: {done.stdout} {done.stderr}")
        return done.stdout

    def _wait_until_listening(self) -> None:
        give_up_at = time.monotonic() + _START_S
        host = Host(self._network.channel("h2"))
        try:
            while not any(row.state == "LISTEN" and row.local[1] == PORT for row in host.sockets()):
                if time.monotonic() > give_up_at:
                    log = Path(self._network.directory, "receiver.log")
                    raise SystemExit(f"bench: nothing listens: {log.read_text() if log.exists() else ''}")
                time.sleep(0.02)
        finally:
            host.close()


def programs(bench: Bench) -> None:
    """Under the supervisor, against the same without it."""
    with ExitStack() as stack:
        network = Network(stack)
        stack.enter_context(network.endpoints())
        here = Programs(network)

        def one_round() -> Round:
            calls = {"call_us": here.call_us(True), "plain call_us": here.call_us(False)}
            stream = {
                "iperf3_gbps": here.iperf3_gbps(bench.seconds),
                "Linux_gbps": iperf3(network, bench.seconds),
            }
            return {**calls, **stream, "c_gbps": here.compiled_gbps(), "ncdevmem_gbps": here.python_gbps()}

        rounds = bench.measure("programs", one_round)
    bench.add("a trapped call that Linux makes", [r["call_us"] for r in rounds], "us", at_most(20, "value"))
    bench.against("iperf3 on our stack, both ends", rounds, "iperf3_gbps", "Linux_gbps", "Gb/s")
    bench.against("compiled devmem receiver", rounds, "c_gbps", "ncdevmem_gbps", "Gb/s", at_least(0.7))
