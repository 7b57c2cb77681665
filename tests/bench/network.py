"""A network with endpoints and ranks for benchmarks: no Ray, everything else as run.py builds it.

In: a topology's size of super-packets, endpoint options. Out: ranks to call, processes to run in hosts.
"""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from nodes.client.host import Host, HostError
from topologies.mininet.fabric import Fabric
from topologies.shapes import registry
from workloads.experiment.rank import Rank
from workloads.experiment.records import ExperimentConfig, RankPlace, Sample, Trial
from workloads.experiment.rendezvous import rendezvous

PROJECT = Path(__file__).resolve().parents[2]
_ANSWER_S = 60.0


class Network:
    """Two hosts on one link without a shape, or what `shape`, `hosts` and `link` say, as run.py's options.
    `gso_max_bytes`: longest super-packet on every veth. `pids`: the endpoints, while they run."""

    def __init__(
        self,
        stack: ExitStack,
        gso_max_bytes: int = 65536,
        shape: str = "pair",
        hosts: int = 2,
        mtu: int = 1500,
        link: str = "",
    ) -> None:
        self.directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dmtb-bench-")))
        self.topology = registry.build(shape, hosts, mtu, gso_max_bytes, link)
        self.fabric = stack.enter_context(Fabric(self.topology, self.directory))
        self.pids: dict[str, int] = {}
        self._gso_max_bytes = gso_max_bytes

    def channel(self, name: str) -> str:
        return str(self.directory / f"{name}.sock")

    def address(self, name: str) -> str:
        return self.topology.host(name).nics[0].endpoint_address.partition("/")[0]

    def kernel_address(self, name: str) -> str:
        return self.topology.host(name).nics[0].kernel_address.partition("/")[0]

    def interface(self, name: str) -> str:
        return self.topology.host(name).nics[0].interface

    def do(self, name: str, command: str) -> str:
        """What a shell command in a host prints. SystemExit if it fails."""
        done = self.fabric.run(name, ["sh", "-ec", command], 30)
        if done.status:
            raise SystemExit(f"bench: `{command}` in {name} failed: {done.stderr}")
        return done.stdout

    @contextmanager
    def endpoints(
        self, niov_bytes: int = 65536, host_mem_bw: float | None = None, names: Sequence[str] = ()
    ) -> Iterator[None]:
        """An endpoint in each host, or those of `names`, while the context lasts."""
        with ExitStack() as stack:
            hosts = [host for host in self.topology.hosts if not names or host.name in names]
            for host in hosts:
                nic = host.nics[0]
                options = {
                    "interface": nic.interface, "address": nic.endpoint_address, "mac": nic.endpoint_mac,
                    "name": host.name, "channel": self.channel(host.name), "gso-max": self._gso_max_bytes,
                    "kernel-address": self.kernel_address(host.name), "rx-buf-len": niov_bytes,
                    "host-mem-bw": host_mem_bw, "address6": nic.endpoint_address6,
                }  # fmt: skip
                words = [w for n, v in options.items() if v is not None for w in (f"--{n}", str(v))]
                argv = [sys.executable, "-m", "nodes.endpoint", "--nodad", *words]
                self.pids[host.name] = self.fabric.spawn(host.name, argv, f"{host.name}.log")
                stack.callback(self.fabric.terminate, self.pids[host.name])
            for host in hosts:
                _wait_for(self.channel(host.name))
            yield

    def trial(self, config: ExperimentConfig, path: str) -> list[Sample]:
        """Of the first of `config`'s sizes, a rank in each host, each rank a process; rows in the ranks'
        order."""
        with ExitStack() as stack:
            hosts = enumerate(self.topology.hosts)
            places = [RankPlace(rank, host.name, self.channel(host.name)) for rank, host in hosts]
            ranks = [stack.enter_context(closing(RankProcess(place, config))) for place in places]
            trial = Trial(path, config.sizes_bytes[0], 0)
            trials = [trial] * len(ranks)
            each(ranks, "prepare", trials)
            each(ranks, "connect", rendezvous(each(ranks, "listen", trials)))
            rows: list[list[Sample]] = each(ranks, "run")
            each(ranks, "disconnect")
            each(ranks, "restore")
        return [sample for samples in rows for sample in samples]


class RankProcess:
    """A Rank in a process of its own, called through a pipe."""

    def __init__(self, place: RankPlace, config: ExperimentConfig) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, place, config), daemon=True)
        self._process.start()
        theirs.close()

    def begin(self, method: str, *arguments: Any) -> None:
        self._pipe.send((method, arguments))

    def answer(self) -> Any:
        """What the call begun last returned; raises what it raised."""
        if not self._pipe.poll(_ANSWER_S):
            raise TimeoutError(f"no answer from a rank within {_ANSWER_S:g} s")
        result = self._pipe.recv()
        if isinstance(result, BaseException):
            raise result
        return result

    def close(self) -> None:
        self._pipe.close()
        self._process.join(5)
        self._process.kill()


def each(ranks: Sequence[RankProcess], method: str, arguments: Sequence[Any] = ()) -> list[Any]:
    """Call `method` on all ranks at once."""
    for i, rank in enumerate(ranks):
        rank.begin(method, *arguments[i : i + 1])
    return [rank.answer() for rank in ranks]


def _serve(pipe: Connection, place: RankPlace, config: ExperimentConfig) -> None:
    rank = Rank(place, config)
    while True:
        try:
            method, arguments = pipe.recv()
        except EOFError:
            rank.close()
            return
        try:
            pipe.send(getattr(rank, method)(*arguments))
        except BaseException as failure:
            pipe.send(failure)


def _wait_for(channel: str) -> None:
    give_up_at = time.monotonic() + 20
    while True:
        try:
            with closing(Host(channel)):
                return
        except HostError:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.005)


def python(*words: str) -> subprocess.Popen[str]:
    """A module of this project as a process outside the hosts."""
    return subprocess.Popen([sys.executable, "-m", *words], cwd=PROJECT, stdout=subprocess.PIPE, text=True)
