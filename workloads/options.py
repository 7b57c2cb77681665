"""The root of every workload's own record of options.

In: values from the command line. Out: frozen records that cross processes and end in manifest.json. Owns
nothing. A workload derives its record and annotates the fields with nodes.option.Option, which is what the
command line is built from.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from nodes.option import Option

ITERATIONS_MAX = 1_000_000  # of a rank: each is a row of samples.csv
DAY_S = 86400.0  # the longest duration that an option takes


Memory = Literal["accelerator", "ssd"]  # that payload comes from and goes to
MEMORIES: tuple[Memory, ...] = ("accelerator", "ssd")
Flows = Annotated[int, Option("Connections to each peer (collectives, patterns, traces).", min=1, max=64)]


class WorkloadOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one workload alone can be asked for."""


class RepeatedOptions(WorkloadOptions, frozen=True):
    """How often something is done in a trial, and whether what comes of it is compared."""

    iterations: Annotated[
        int, Option("Measured iterations a repetition.", flag="iters", min=1, max=ITERATIONS_MAX)
    ] = 3
    warmup: Annotated[
        int, Option("Iterations before them, marked as warm-up.", min=0, max=ITERATIONS_MAX)
    ] = 1
    warmup_time_s: Annotated[
        float,
        Option(
            "Seconds for which warm-up lasts at least, by rank 0's clock, by iterations beyond --warmup's.",
            flag="warmup-time",
            min=0,
            max=DAY_S,
        ),
    ] = 0.0
    pause_s: Annotated[
        float,
        Option(
            "Seconds from the end of an iteration to the beginning of the next one, at least.",
            flag="pause",
            min=0,
            max=DAY_S,
        ),
    ] = 0.0
    no_check: Annotated[bool, Option("Do not compare the results.")] = False

    @property
    def warmups(self) -> int:
        """How many iterations of warm-up there are at least: one where it lasts for some time."""
        return self.warmup or int(self.warmup_time_s > 0)


class TracedOptions(RepeatedOptions, frozen=True):
    """Of a workload that is a trace: its operations are nodes, whose times can be kept."""

    flows: Flows = 1

    operations: Annotated[
        bool, Option("Write when each operation began and ended: operations.csv and trace/.")
    ] = False


def warmup_time_s(options: WorkloadOptions) -> float:
    """How long warm-up goes on at least."""
    return options.warmup_time_s if isinstance(options, RepeatedOptions) else 0.0


def pause_s(options: WorkloadOptions) -> float:
    """How long no iteration follows another one."""
    return options.pause_s if isinstance(options, RepeatedOptions) else 0.0


def keeps_operations(options: WorkloadOptions) -> bool:
    return isinstance(options, TracedOptions) and options.operations
