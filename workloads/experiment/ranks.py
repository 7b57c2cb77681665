"""The ranks of an experiment as Ray actors, long-lived ones.

In: the configuration, the ranks' places, an `alive` that is called at least once a second. Out: a trial's
rows. Owns the actors.
Ray is the control plane only: a trial costs seven calls a rank, none of them within a collective.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError
from ray.util.placement_group import placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from workloads.experiment.ledger_series import LedgerReading
from workloads.experiment.patience import patience_s
from workloads.experiment.rank import Rank
from workloads.experiment.ray_protocol import Rows
from workloads.experiment.records import (
    ExperimentConfig,
    ExperimentError,
    Operation,
    RankFailure,
    RankPlace,
    Sample,
    Trial,
)
from workloads.experiment.rendezvous import rendezvous
from workloads.experiment.tcp_info import TcpInfoSample
from workloads.options import keeps_operations
from workloads.progress import Movement

_START_S, _START_S_PER_RANK = 25.0, 2.0
_ANSWER_S = 25.0  # beside what a rank waits for other ranks
_POLL_S = 1.0


def start_patience_s(ranks: int) -> float:
    """How long so many may take to start."""
    return patience_s(_START_S + _START_S_PER_RANK * ranks)


def gang(bundles: Sequence[Mapping[str, float]], strategy: str, alive: Callable[[], None]) -> Any:
    """A placement group that Ray has made, all bundles at once; None if it has no place for them. Raises what
    `alive` raises."""
    group = placement_group([dict(each) for each in bundles], strategy=strategy)
    give_up_at = time.monotonic() + start_patience_s(len(bundles))
    while not group.wait(timeout_seconds=_POLL_S):
        alive()
        if time.monotonic() > give_up_at:
            return None
    return group


def seat(group: Any, bundle: int) -> dict[str, Any]:
    """Ray's options that place an actor there."""
    return {
        "scheduling_strategy": PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=bundle)
    }


class RankActors:
    """`seats`: Ray's options that place the rank of a number. `pids`: of each rank's process, in the pid
    namespace that Ray's workers are in. Every method raises RankFailure or ExperimentError."""

    def __init__(
        self,
        config: ExperimentConfig,
        places: Sequence[RankPlace],
        alive: Callable[[], None],
        seats: Callable[[int], Mapping[str, Any]],
    ) -> None:
        self._alive = alive
        self._places = places
        self._keeps_operations = keeps_operations(config.options)
        self._keeps_tcp_info = config.tcp_info_s is not None
        self._answer_s = patience_s(_ANSWER_S) + config.timeout_s
        start_s = start_patience_s(len(places))
        actor = ray.remote(Rank)
        self._actors: list[Any] = [
            actor.options(num_cpus=0, max_restarts=0, **seats(at)).remote(place, config)
            for at, place in enumerate(places)
        ]
        self.pids: tuple[int, ...] = tuple(self._all("pid", start_s))

    def run(self, trial: Trial) -> Rows:
        """One trial on all ranks."""
        each = [trial] * len(self._actors)
        self._all("prepare", self._answer_s, each)
        listening = self._all("listen", self._answer_s, each)
        self._all("connect", self._answer_s, rendezvous(listening))
        # A rank gives up when nothing has moved for timeout_s. One whose threads cannot run does not.
        with self._movement() as moved_at:
            rows: list[list[Sample]] = self._all("run", self._answer_s, moved_at=moved_at)
        done: list[list[Operation]] = []
        if self._keeps_operations:
            done = self._all("operations", self._answer_s)
        info: list[list[TcpInfoSample]] = []
        if self._keeps_tcp_info:
            info = self._all("tcp_info", self._answer_s)
        readings: list[list[LedgerReading]] = self._all("ledger_readings", self._answer_s)
        self._all("disconnect", self._answer_s)
        self._all("restore", self._answer_s)
        chained = itertools.chain.from_iterable
        kept = tuple(chained(rows)), tuple(chained(done)), tuple(chained(info))
        return Rows(*kept, tuple(map(tuple, readings)))

    @contextmanager
    def _movement(self) -> Iterator[Callable[[], float]]:
        """Tells when something has moved last. Of ranks on several machines it tells nothing: they hear of
        each other (far_link), and one that is lost ends its machine's part."""
        shared = self._all("progress_fd", self._answer_s)
        if len({*self._places[0].machines}) > 1:
            yield time.monotonic
            return
        with Movement(self.pids[0], shared[0]) as movement:
            yield movement.last_s

    def close(self) -> None:
        self._all("close", self._answer_s)

    def _all(
        self,
        method: str,
        within_s: float,
        arguments: Sequence[Any] = (),
        moved_at: Callable[[], float] = lambda: 0.0,
    ) -> list[Any]:
        """Call `method` on every rank at once, with its own argument if there are any; return the answers.
        They have `within_s` for that, since something has moved last."""
        each: Sequence[tuple[Any, ...]] = [(one,) for one in arguments] or [()] * len(self._actors)
        calls = [getattr(actor, method).remote(*own) for actor, own in zip(self._actors, each, strict=True)]
        began = time.monotonic()
        pending = calls
        while pending:
            # All of them, so that it returns at once when they are done, and soon when one has failed.
            done, pending = ray.wait(pending, num_returns=len(pending), timeout=_POLL_S)
            self._alive()
            for call in done:
                self._raise_failure(call, self._places[calls.index(call)])
            if pending and time.monotonic() > max(began, moved_at()) + within_s:
                late = self._places[calls.index(pending[0])]
                what = f"did not answer {method} within {within_s:g} s"
                if method == "run":
                    what = f"does not end its trial, in which nothing has moved for {within_s:g} s"
                raise ExperimentError(f"rank {late.rank} (host {late.host}) {what}; start a new run")
        return list(ray.get(calls))

    def _raise_failure(self, call: Any, place: RankPlace) -> None:
        try:
            ray.get(call)
        except RayTaskError as failure:
            raise RankFailure(str(failure.cause)) from None
        except RayActorError:
            raise ExperimentError(
                f"the process of rank {place.rank} (host {place.host}) ended; start a new run"
            ) from None
