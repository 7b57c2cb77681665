"""Tells each rank where its peers listen for it.

In: what every rank's `listen` returned, in the order of ranks. Out: what every rank's `connect` takes; pure.
Owns nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from workloads.experiment.records import RankAddresses


def rendezvous(listening: Sequence[RankAddresses]) -> list[RankAddresses]:
    """For each rank the addresses of the peers that it sends to, and the barrier of the next rank."""
    return [
        RankAddresses(
            payload={
                peer: addresses.payload[rank]
                for peer, addresses in enumerate(listening)
                if rank in addresses.payload
            },
            barrier=listening[(rank + 1) % len(listening)].barrier,
        )
        for rank in range(len(listening))
    ]
