"""The process that talks to a Ray cluster for a run across machines: it has a process of ours started on each
machine, passes requests on to these, and starts the ranks on the machines of their hosts.

    python -m workloads.experiment.cluster_server

In: requests on stdin. Out: replies and events on stdout; what Ray prints on stderr. Owns an actor a machine
and one a rank. When stdin is closed, or something has failed, every machine's process is asked to end, and
awaited: what they wrote comes first.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NoReturn

import ray
from ray import cloudpickle
from ray.exceptions import RayError

from workloads.experiment import cluster_protocol, machine_agent
from workloads.experiment import ray_protocol as protocol
from workloads.experiment.cluster_protocol import ClusterMachine, Join
from workloads.experiment.machine_agent import MachineAgent
from workloads.experiment.ranks import RankActors, gang, seat
from workloads.experiment.records import ExperimentError, RankFailure
from workloads.sweep import cell_process, ray_task
from workloads.sweep.ray_driver import RESOURCE

_POLL_S = 0.5  # more than a machine takes to notice what has died on it
_END_S = 28.0
_FETCH = b""  # what a machine's process answers with the next piece of what it wrote
_PIECE_S, _PING_S, _REACH_S = 20.0, 10.0, 5.0


class Cluster:
    """The machines that take part. `alive` is called at least once a second while something is awaited. Every
    method but `finish` raises ExperimentError, and what `alive` raises."""

    def __init__(self, asked: Join, alive: Callable[[], None]) -> None:
        for module in (cell_process, ray_task, machine_agent):
            cloudpickle.register_pickle_by_value(module)  # a machine may have no sources, and says so then
        self._alive = alive
        self._agents: list[Any] = []
        self._over: list[Any] = []
        self.machines: tuple[ClusterMachine, ...] = ()
        _check_reachable(asked.address)
        ray.init(address=asked.address, log_to_driver=False, logging_level="ERROR")
        able = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get(RESOURCE, 0)]
        if len(able) < asked.machines:
            raise ExperimentError(
                f"--across {asked.machines}: the Ray cluster at {asked.address} has {len(able)} machines "
                f"with the resource {RESOURCE}; ask for fewer, or start Ray on more"
            )
        self._group = gang([{RESOURCE: 1}] * asked.machines, "STRICT_SPREAD", alive)
        if self._group is None:
            raise ExperimentError(
                f"--across {asked.machines}: of {len(able)} machines so many were not free at once; wait for "
                "other runs to end"
            )
        self._start(asked, {node["NodeID"]: node["NodeManagerAddress"] for node in able})

    def tell(self, requests: Sequence[bytes | None]) -> tuple[bytes | None, ...]:
        """One request a machine, at once; returns the answers."""
        calls = {
            at: self._agents[at].ask.remote(request)
            for at, request in enumerate(requests)
            if request is not None
        }
        self._await([*calls.values()])
        answers = {at: self._found(call, at) for at, call in calls.items()}
        for at, answer in answers.items():
            if answer[:1] != b"R":
                raise ExperimentError(f"machine {self.machines[at].name}: {answer[1:].decode()}")
        return tuple(answers[at][1:] if at in answers else None for at in range(len(requests)))

    def check(self) -> None:
        """Every machine's part goes on."""
        ended, _ = ray.wait(self._over, timeout=0) if self._over else ([], None)
        for each in ended:
            at = self._over.index(each)
            raise ExperimentError(f"machine {self.machines[at].name}: {self._found(each, at)}")

    def ping(self) -> None:
        """Every machine answers."""
        calls = [agent.machine.remote() for agent in self._agents]
        answered, _ = ray.wait(calls, num_returns=len(calls), timeout=_PING_S)
        for at, call in enumerate(calls):
            if call not in answered:
                raise ExperimentError(f"machine {self.machines[at].name} was lost (it does not answer)")
            self._found(call, at)

    def ranks(self, request: cluster_protocol.StartRanks) -> RankActors:
        def alive() -> None:
            self._alive()
            self.check()

        seats = [seat(self._group, self._bundles[home]) for home in request.homes]
        return RankActors(request.config, request.places, alive, seats.__getitem__)

    def finish(self, piece: Callable[[int, bytes], None] | None) -> None:
        """Every machine's process ends; before, what it wrote is handed to `piece`."""
        give_up_at = time.monotonic() + _END_S
        for at, agent in enumerate(self._agents):
            while piece is not None and time.monotonic() < give_up_at:
                try:
                    answer = ray.get(agent.ask.remote(_FETCH), timeout=_PIECE_S)
                except (RayError, TimeoutError):
                    break
                if answer[:1] != b"R" or not answer[1:]:
                    break
                piece(at, answer[1:])
        closing = [agent.close.remote() for agent in self._agents]
        while closing and time.monotonic() < give_up_at:
            _, closing = ray.wait(closing, num_returns=len(closing), timeout=_POLL_S)
            with suppress(OSError):
                self._alive_quietly()

    def _alive_quietly(self) -> None:
        with suppress(EOFError):
            self._alive()

    def _start(self, asked: Join, addresses: dict[str, str]) -> None:
        nodes = ray.util.placement_group_table(self._group)["bundles_to_node_id"]
        self._bundles = sorted(nodes, key=lambda bundle: _sortable(addresses[nodes[bundle]]))
        kind: Any = ray.remote(MachineAgent)
        own = {"num_cpus": 0, "resources": {RESOURCE: 1}, "max_restarts": 0, "max_concurrency": 4}
        self._agents = [
            kind.options(**own, **seat(self._group, bundle)).remote(asked.words, asked.project, asked.commit)
            for bundle in self._bundles
        ]
        calls = [agent.machine.remote() for agent in self._agents]
        self._await(calls)
        found = [self._found(call, at) for at, call in enumerate(calls)]
        if reasons := [reason for _, reason in found if reason]:
            raise ExperimentError(reasons[0])
        names, at = [name for name, _ in found], [addresses[nodes[bundle]] for bundle in self._bundles]
        self.machines = tuple(
            ClusterMachine(name if names.count(name) == 1 else address, nodes[bundle], address)
            for name, address, bundle in zip(names, at, self._bundles, strict=True)
        )
        self._over = [agent.over.remote() for agent in self._agents]

    def _await(self, calls: list[Any]) -> None:
        """Until all have answered, or one was lost."""
        pending = calls
        while pending:
            _, pending = ray.wait(pending, num_returns=len(pending), timeout=_POLL_S)
            self._alive()
            if pending:
                self.check()

    def _found(self, call: Any, at: int) -> Any:
        try:
            return ray.get(call)
        except RayError as failure:
            name = self.machines[at].name if self.machines else f"{at + 1} of those that take part"
            raise ExperimentError(
                f"machine {name} was lost ({type(failure).__name__}); look at the cluster by `ray status`, "
                "and start a new run"
            ) from None


def _check_reachable(address: str) -> None:
    """Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not port.isdecimal():
        return  # as `auto` is
    try:
        socket.create_connection((host.strip("[]"), int(port)), _REACH_S).close()
    except (OSError, OverflowError) as failure:
        said = getattr(failure, "strerror", None) or str(failure)
        raise ExperimentError(
            f"no Ray cluster answers at {address} ({said}); correct --ray-address, or start Ray there"
        ) from None


def _sortable(address: str) -> tuple[int, ...] | str:
    parts = address.split(".")
    return tuple(map(int, parts)) if all(part.isdigit() for part in parts) else address


class _Server:
    """Answers until its client closes, or something fails."""

    def __init__(self, requests: Any, messages: protocol.Outlet) -> None:
        self._requests, self._messages = requests, messages
        self._client_is_gone = threading.Event()
        self._cluster: Cluster | None = None
        self._ranks: RankActors | None = None
        threading.Thread(target=self._watch_client, daemon=True).start()

    def run(self) -> NoReturn:
        reason: protocol.Failed | None = None
        try:
            while True:
                self._messages.send(self._answer(self._next()))
        except (EOFError, BrokenPipeError):
            pass
        except RankFailure as failure:
            reason = self._of_a_machine() or protocol.Failed(str(failure), of_rank=True)
        except ExperimentError as failure:
            reason = self._of_a_machine() or protocol.Failed(str(failure), of_rank=False)
        except Exception as failure:
            said = (str(failure).strip() or type(failure).__name__).splitlines()[0]
            reason = protocol.Failed(f"Ray cannot be used ({said}); correct --ray-address", of_rank=False)
        with suppress(Exception):
            self._finish(reason is not None)
        with suppress(OSError):
            if reason is not None:
                self._messages.send(reason)
        os._exit(0 if reason is None else 1)  # Ray's own end may wait for machines that are no more

    def _next(self) -> Any:
        """The next request; meanwhile a machine may fail."""
        while not self._requests.poll(_POLL_S):
            self._alive()
            if self._cluster is not None:
                self._cluster.check()
        return self._requests.recv()

    def _answer(self, request: Any) -> object:
        if isinstance(request, Join):
            self._cluster = Cluster(request, self._alive)
            return cluster_protocol.Joined(self._cluster.machines)
        assert self._cluster is not None
        if isinstance(request, cluster_protocol.Tell):
            return cluster_protocol.Told(self._cluster.tell(request.requests))
        if isinstance(request, cluster_protocol.StartRanks):
            self._ranks = self._cluster.ranks(request)
            return protocol.Started(self._ranks.pids)
        assert self._ranks is not None
        if isinstance(request, protocol.Run):
            return self._ranks.run(request.trial)
        self._ranks.close()
        self._finish(with_files=True)
        return protocol.Closed()

    def _of_a_machine(self) -> protocol.Failed | None:
        """A rank often fails because something on its machine has, which is the better reason."""
        try:
            time.sleep(_POLL_S)
            if self._cluster is not None:
                self._cluster.check()
                self._cluster.ping()
        except ExperimentError as failure:
            return protocol.Failed(str(failure), of_rank=False)
        return None

    def _finish(self, with_files: bool) -> None:
        if (cluster := self._cluster) is not None:
            self._cluster = None
            cluster.finish(self._piece if with_files else None)

    def _piece(self, machine: int, data: bytes) -> None:
        self._messages.send(cluster_protocol.Piece(machine, data))

    def _alive(self) -> None:
        if self._client_is_gone.is_set():
            raise EOFError
        self._messages.send(protocol.Alive())

    def _watch_client(self) -> None:
        poll = select.poll()
        poll.register(self._requests.fileno(), 0)  # reports POLLHUP
        poll.poll()
        self._client_is_gone.set()


def main() -> None:
    """Until stdin is closed."""
    requests, messages = protocol.inlet(os.dup(0)), protocol.Outlet(os.dup(1))
    with open(os.devnull, "rb") as null:
        os.dup2(null.fileno(), 0)
    os.dup2(2, 1)
    messages.send(protocol.Alive())
    _Server(requests, messages).run()


if __name__ == "__main__":
    main()
