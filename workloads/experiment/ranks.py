"""The ranks of an experiment as Ray actors, long-lived ones.

In: the configuration, the ranks' places, an `alive` that is called at least once a second. Out: a trial's
rows. Owns the actors.
Ray is the control plane only: a trial costs six calls a rank, none of them within a collective.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError
from ray.util.placement_group import placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

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
from workloads.options import keeps_operations
from workloads.progress import Movement

SLOT = "devmem_slot"  # the Ray resource of which each rank takes one
_START_S, _START_S_PER_RANK = 25.0, 2.0
_ANSWER_S = 25.0  # beside what a rank waits for other ranks
_POLL_S = 1.0


class RankActors:
    """Started together or not at all. `pids`: of each rank's process, in this process's pid namespace. Every
    method raises RankFailure or ExperimentError."""

    def __init__(
        self, config: ExperimentConfig, places: Sequence[RankPlace], alive: Callable[[], None]
    ) -> None:
        self._alive = alive
        self._places = places
        self._keeps_operations = keeps_operations(config.options)
        self._answer_s = patience_s(_ANSWER_S) + config.timeout_s
        start_s = patience_s(_START_S + _START_S_PER_RANK * len(places))
        gang = placement_group([{SLOT: 1}] * len(places))
        self._wait_for_gang(gang, start_s)
        actor = ray.remote(Rank)
        self._actors: list[Any] = [
            actor.options(
                num_cpus=0,
                resources={SLOT: 1},
                max_restarts=0,
                scheduling_strategy=PlacementGroupSchedulingStrategy(
                    gang, placement_group_bundle_index=place.rank
                ),
            ).remote(place, config)
            for place in places
        ]
        self.pids: tuple[int, ...] = tuple(self._all("pid", start_s))

    def run(self, trial: Trial) -> Rows:
        """One trial on all ranks."""
        each = [trial] * len(self._actors)
        self._all("prepare", self._answer_s, each)
        listening = self._all("listen", self._answer_s, each)
        self._all("connect", self._answer_s, rendezvous(listening))
        shared = self._all("progress_fd", self._answer_s)
        # A rank gives up when nothing has moved for timeout_s. One whose threads cannot run does not.
        with Movement(self.pids[0], shared[0]) as movement:
            rows: list[list[Sample]] = self._all("run", self._answer_s, moved_at=movement.last_s)
        done: list[list[Operation]] = (
            self._all("operations", self._answer_s) if self._keeps_operations else []
        )
        self._all("disconnect", self._answer_s)
        self._all("restore", self._answer_s)
        return Rows(tuple(itertools.chain(*rows)), tuple(itertools.chain(*done)))

    def close(self) -> None:
        self._all("close", self._answer_s)

    def _wait_for_gang(self, gang: Any, within_s: float) -> None:
        give_up_at = time.monotonic() + within_s
        while not gang.wait(timeout_seconds=_POLL_S):
            self._alive()
            if time.monotonic() > give_up_at:
                raise ExperimentError(
                    f"Ray had no place for {len(self._places)} ranks within {within_s:g} s; try fewer"
                )

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
