"""A measuring run as it was asked for and checked.

In: nothing. Out: a record that crosses from the command line to what runs it. Owns nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from commands.machines import Division
from topologies.fault import Step
from topologies.topology import Topology
from topologies.traffic.check import Traffic
from workloads.experiment.records import ExperimentConfig


@dataclass(frozen=True, slots=True)
class RunRequest:
    """`argv`: the command line, for the manifest. `plan`: what is hurt, and when. `traffic`: what else is in
    the network. `as_json`: what is printed, in place of a table. `columns`: of the table; none: the
    workload's. `parquet`: files that are written, too. `division`: among machines, None for this one
    alone."""

    config: ExperimentConfig
    network: Topology
    run_dir: Path
    argv: Sequence[str]
    plan: Sequence[Step] = ()
    traffic: Sequence[Traffic] = ()
    as_json: bool = False
    columns: Sequence[str] = ()
    parquet: bool = False
    division: Division | None = None
