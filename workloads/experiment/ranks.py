"""The ranks of an experiment as Ray actors, one long-lived actor a host.

In: the configuration, the ranks' places, a `watch` that is called all the time and raises when the run has to
end. Out: a trial's rows. Owns the actors.
Ray is the control plane only: a trial costs four calls a rank, none of them within a collective.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError
from ray.util.placement_group import placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from workloads.experiment.rank import Rank
from workloads.experiment.ray_session import SLOT
from workloads.experiment.records import (
    ExperimentConfig,
    ExperimentError,
    RankFailure,
    RankPlace,
    Sample,
    Trial,
)
from workloads.experiment.rendezvous import rendezvous

_START_S = 60.0
_POLL_S = 0.2


class RankActors:
    """Started together or not at all. Every method raises RankFailure, ExperimentError or what `watch`
    raises."""

    def __init__(
        self, config: ExperimentConfig, places: Sequence[RankPlace], watch: Callable[[], None]
    ) -> None:
        self._watch = watch
        self._places = places
        gang = placement_group([{SLOT: 1}] * len(places))
        if not gang.wait(timeout_seconds=_START_S):
            raise ExperimentError(
                f"Ray did not start {len(places)} ranks within {_START_S:g} s; try fewer hosts"
            )
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
        self._all("pid")

    def run(self, trial: Trial) -> list[Sample]:
        """One trial on all ranks; returns their rows."""
        listening = self._all("listen", *([trial] * len(self._actors)))
        self._all("connect", *rendezvous(listening))
        rows: list[list[Sample]] = self._all("run")
        self._all("disconnect")
        return [sample for samples in rows for sample in samples]

    def close(self) -> None:
        self._all("close")

    def _all(self, method: str, *arguments: Any) -> list[Any]:
        """Call `method` on every rank at once, with its own argument if there are any; return the answers."""
        each = zip(arguments, strict=True) if arguments else [()] * len(self._actors)
        calls = [getattr(actor, method).remote(*own) for actor, own in zip(self._actors, each, strict=True)]
        pending = calls
        while pending:
            # All of them, so that it returns at once when they are done, and soon when one has failed.
            done, pending = ray.wait(pending, num_returns=len(pending), timeout=_POLL_S)
            self._watch()
            for call in done:
                self._raise_failure(call, self._places[calls.index(call)])
        return list(ray.get(calls))

    def _raise_failure(self, call: Any, place: RankPlace) -> None:
        try:
            ray.get(call)
        except RayTaskError as failure:
            self._watch_again()
            raise RankFailure(str(failure.cause)) from None
        except RayActorError:
            self._watch_again()
            raise ExperimentError(
                f"the process of rank {place.rank} (host {place.host}) ended; start a new run"
            ) from None

    def _watch_again(self) -> None:
        """A rank often fails because something else failed; when `watch` has learnt of that, it raises the
        better reason."""
        time.sleep(_POLL_S)
        self._watch()
