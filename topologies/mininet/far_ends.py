"""The ends, on this machine, of links between machines, while those are measured.

In: what to do at an end, and what the other end's machine told. Out: what was sent or received. Owns the open
ends, which the last action closes. Directions are told apart by the interface that sends.
"""

from __future__ import annotations

from collections.abc import Callable

from topologies.mininet.probing import Probes, Rate, Receiver, Sender, Stamps, Train
from topologies.mininet.protocol import Probe
from topologies.part import Part
from topologies.topology_error import TopologyError

Found = Probes | Stamps | Train | Rate | None


class FarEnds:
    """`pid_of` a node: a process in its network namespace."""

    def __init__(self, part: Part, pid_of: Callable[[str], int]) -> None:
        self._part, self._pid_of = part, pid_of
        self._open: dict[str, Sender | Receiver] = {}

    def act(self, request: Probe) -> Found:
        """Raises OSError, TopologyError."""
        if request.action == "open":
            self._close(request.sender)
            self._open[request.sender] = self._end(request.sender)
            return None
        end = self._open.get(request.sender)
        if end is None:
            raise TopologyError(f"no measurement from {request.sender} has begun here")
        if request.action == "close":
            self._close(request.sender)
        elif isinstance(end, Receiver):
            return _receive(end, request.sent)
        elif request.action == "rest":
            end.rest()
        else:
            return end.probes() if request.action == "probes" else end.train()
        return None

    def _end(self, sender: str) -> Sender | Receiver:
        for link in self._part.links:
            for near, far in (link.ends, link.ends[::-1]):
                if near.interface != sender:
                    continue
                kind, here = (Sender, near) if near.node in self._part.nodes else (Receiver, far)
                return kind(link.sent_by(near), here, self._pid_of(here.node))
        raise TopologyError(f"no link here has the interface {sender}")

    def _close(self, sender: str) -> None:
        if end := self._open.pop(sender, None):
            end.close()


def _receive(end: Receiver, sent: Probes | Train | None) -> Found:
    if isinstance(sent, Probes):
        return end.stamps(sent)
    return Rate(end.rate_bps(sent)) if isinstance(sent, Train) else None
