"""The process that Ray lives in: starts Ray and the ranks, passes trials on to them.

    python -m workloads.experiment.ray_server

In: `workloads.experiment.ray_protocol` requests on stdin. Out: replies and events on stdout; what Ray prints
on stderr. Owns Ray and the ranks. It takes nothing down: it runs as `topologies.mininet.enclosure` starts it,
and the kernel ends with it everything that it has started.
"""

from __future__ import annotations

import os
import select
import threading
import time
from typing import NoReturn

import psutil
import ray

from workloads.experiment import ray_protocol as protocol
from workloads.experiment.ranks import RankActors, gang, seat
from workloads.experiment.records import ExperimentError, RankFailure

_SERVERS = ("gcs_server", "raylet")
_SLOT = "devmem_slot"  # the Ray resource of which each rank takes one
_LOOK_S = 0.1
_OBJECT_STORE_BYTES = 80 << 20  # Ray's minimum is 75 MB; nothing large goes through it


def main() -> None:
    """Serve until a request cannot be met; the enclosure ends this process when its client closes."""
    requests, messages = protocol.inlet(os.dup(0)), protocol.Outlet(os.dup(1))
    with open(os.devnull, "rb") as null:
        os.dup2(null.fileno(), 0)
    os.dup2(2, 1)
    messages.send(protocol.Alive())
    threading.Thread(target=_watch_servers, args=(messages,), daemon=True).start()
    try:
        ranks = _start(requests.recv(), messages)
        while True:
            messages.send(_answer(requests.recv(), ranks))
    except EOFError:
        os._exit(0)
    except RankFailure as failure:
        _fail(messages, protocol.Failed(str(failure), of_rank=True))
    except ExperimentError as failure:
        _fail(messages, protocol.Failed(str(failure), of_rank=False))
    except Exception as failure:
        reason = (str(failure).strip() or type(failure).__name__).splitlines()[0]
        _fail(messages, protocol.Failed(f"Ray failed ({reason}); start a new run", of_rank=False))


def _start(request: protocol.Start, messages: protocol.Outlet) -> RankActors:
    ray.init(
        address="local",
        num_cpus=_at_once(len(request.places)),
        resources={_SLOT: len(request.places)},
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        object_store_memory=_OBJECT_STORE_BYTES,
        _node_ip_address="127.0.0.1",
        _temp_dir=request.directory,
    )

    def alive() -> None:
        messages.send(protocol.Alive())

    alive()
    count = len(request.places)
    group = gang([{_SLOT: 1}] * count, "PACK", alive)
    if group is None:
        raise ExperimentError(f"Ray had no place for {count} ranks; try fewer")
    seats = [{"resources": {_SLOT: 1}, **seat(group, at)} for at in range(count)]
    ranks = RankActors(request.config, request.places, alive, seats.__getitem__)
    messages.send(protocol.Started(ranks.pids))
    return ranks


def _at_once(ranks: int) -> int:
    """How many CPUs Ray is told of: it starts as many processes at a time. Nothing else asks for one."""
    return min(ranks, len(os.sched_getaffinity(0)))


def _answer(request: protocol.Request, ranks: RankActors) -> protocol.Reply:
    if isinstance(request, protocol.Run):
        return ranks.run(request.trial)
    ranks.close()
    return protocol.Closed()


def _watch_servers(messages: protocol.Outlet) -> None:
    """Report when one of Ray's servers has ended, for whose return Ray itself would wait a minute. A thread's
    work, from before Ray starts."""
    own, found = psutil.Process(), dict[int, str]()
    while True:
        if len(found) < len(_SERVERS):
            for child in own.children():
                name = _name(child)
                if name in _SERVERS and name not in found.values():
                    found[os.pidfd_open(child.pid)] = name
        ended, _, _ = select.select(found, [], [], _LOOK_S if len(found) < len(_SERVERS) else None)
        if ended:
            reason = f"Ray's {found[ended[0]]} has ended; start a new run"
            _end(messages, protocol.Failed(reason, of_rank=False))


def _name(process: psutil.Process) -> str:
    """ "" if it has ended."""
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""


def _fail(messages: protocol.Outlet, failed: protocol.Failed) -> NoReturn:
    """Often a server's end is the reason, which its watch then tells first."""
    time.sleep(2 * _LOOK_S)
    _end(messages, failed)


def _end(messages: protocol.Outlet, failed: protocol.Failed) -> NoReturn:
    """Without what Ray would do at exit."""
    try:
        messages.send(failed)
    finally:
        os._exit(1)


if __name__ == "__main__":
    main()
