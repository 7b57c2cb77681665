"""Every collective's algorithms, by name; the first of each is the default.

In: names. Out: schedules. Owns the table.
"""

from __future__ import annotations

from workloads.schedules import direct, dissemination, halving_doubling, hierarchical, ring, tree
from workloads.schedules.schedule import Schedule

ALGORITHMS: dict[str, dict[str, Schedule]] = {
    "all_reduce": {
        "ring": ring.all_reduce,
        "halving_doubling": halving_doubling.all_reduce,
        "tree": tree.all_reduce,
        "hierarchical": hierarchical.all_reduce,
    },
    "reduce_scatter": {"ring": ring.reduce_scatter},
    "all_gather": {"ring": ring.all_gather},
    "broadcast": {"ring": ring.broadcast, "tree": tree.broadcast},
    "reduce": {"ring": ring.reduce, "tree": tree.reduce},
    "gather": {"direct": direct.gather},
    "scatter": {"direct": direct.scatter},
    "all_to_all": {"direct": direct.all_to_all},
    "all_to_allv": {"direct": direct.all_to_allv},
    "sendrecv": {"direct": direct.sendrecv},
    "barrier": {"dissemination": dissemination.barrier},
}
