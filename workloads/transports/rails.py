"""Which NIC of its host each connection of a rank goes by.

In: the rank's place and its NICs, flows, where peers listen. Out: NICs. Owns which one each connection has. A
channel's connections to a peer take the rank's NICs in turns, and are bound to one at both ends, as NCCL's
channels are: on the same rail where that can be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from workloads.experiment.records import Address, NicPlace, RankPlace


class Flow(NamedTuple):
    """The `number`-th connection between this rank and `peer`, in one direction, from 0 on."""

    peer: int
    number: int


class Rails:
    """`nics`: which `flows` connections take in turns. `receive_by`, `send_by`: of each connection."""

    def __init__(self, place: RankPlace, nics: Sequence[NicPlace], flows: int) -> None:
        self._place, self._nics, self._flows = place, nics, flows
        self.receive_by: dict[Flow, NicPlace] = {}
        self.send_by: dict[Flow, NicPlace] = {}

    def listening(self, flow: Flow) -> NicPlace:
        """Where the rank listens for it."""
        nic = self.receive_by[flow] = self._in_turn(flow)
        return nic

    def towards(self, flow: Flow, address: Address) -> NicPlace:
        """One of the rank's that reaches the peer's NIC: on the same rail if there is one, else that whose
        turn it is; or any one of the host that does."""
        wanted = [nic for nic in self._nics if nic.rail == address.rail]
        wanted += [self._in_turn(flow), *self._nics]
        reaching = (nic for nic in wanted if nic.network == address.network)
        nic = self.send_by[flow] = next(reaching, self._place.nic_to(address.network))
        return nic

    def far_bytes(self, sent: Mapping[Flow, int], received: Mapping[Flow, int]) -> tuple[int, int]:
        """What of that went by a NIC on another PCIe switch than the rank's accelerator."""
        return self._far_bytes(sent, self.send_by), self._far_bytes(received, self.receive_by)

    def _far_bytes(self, moved: Mapping[Flow, int], by: Mapping[Flow, NicPlace]) -> int:
        own, is_local = self._place.nic, self._place.is_local
        return sum(count for flow, count in moved.items() if by[flow] != own and not is_local(flow.peer))

    def _in_turn(self, flow: Flow) -> NicPlace:
        return self._nics[flow.number % self._flows % len(self._nics)]
