"""manifest.json of schema version 2, which names a workload but does not say what that measures.

In: such a document. Out: the same with the `measure` of schema version 3. Owns what the two workloads of that
time measured; this is the only file of analysis/ that knows a workload by name.
"""

from collections.abc import Mapping
from typing import Any

_ALL_REDUCE = {
    "columns": [
        "size", "count", "type", "redop", "root", "path", "time", "algbw", "busbw", "busbw_interval",
        "wrong", "dram",
    ],
    "size_is_key": True,
    "timed": "mean",
    "rate": "busbw",
    "checked": "whole",
}  # fmt: skip
_STREAM = {
    "columns": [
        "size", "type", "path", "time", "goodput", "both_ways", "goodput_interval", "retransmits", "wrong",
        "dram",
    ],
    "size_is_key": False,
    "timed": "receivers",
    "rate": "goodput",
    "bandwidth_factor": 1.0,
    "ranks": 2,
    "checked": "sample",
    "headline": "As a stream",
    "figure_title": "Goodput of a single stream, by data path",
}  # fmt: skip


def upgraded(document: Mapping[str, Any]) -> dict[str, Any]:
    """`document` with its measure; without one if the configuration lacks what it follows from. Raises
    ValueError for a workload that schema version 2 did not have."""
    config = document.get("config")
    workload = config.get("workload") if isinstance(config, Mapping) else None
    hosts = config.get("hosts") if isinstance(config, Mapping) else None
    if workload == "all_reduce" and isinstance(hosts, int) and hosts > 0:
        factor = 2 * (hosts - 1) / hosts
        return {**document, "measure": {**_ALL_REDUCE, "bandwidth_factor": factor, "ranks": hosts}}
    if workload == "stream":
        return {**document, "measure": _STREAM}
    if isinstance(workload, str) and workload != "all_reduce":
        raise ValueError(f"workload {workload!r} is unknown to schema version 2")
    return dict(document)
