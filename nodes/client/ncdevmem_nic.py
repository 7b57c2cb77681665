"""What ncdevmem changes in a NIC, and how it restores the NIC.

In: queues to keep free, a rule. Out: header split, RSS and steering as device memory needs them. When the
caller's stack ends, they are as they were. (The kernel's tool leaves RSS at its default, and no rules.) Owns
the callbacks on that stack.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial

from nodes.client.ethtool import Ethtool
from nodes.client.host import Host, HostError
from nodes.client.interruption import uninterrupted
from nodes.client.netdev import Attributes


@dataclass(frozen=True)
class Nic:
    """The NIC that -f names, and its ethtool family."""

    ifindex: int
    ethtool: Ethtool


class NicConfiguration:
    """Changes `nic` of the host that listens at `channel`. No signal can fall between a change and the
    callback on `stack` that undoes it. Methods raise OSError."""

    def __init__(self, nic: Nic, channel: str, stack: ExitStack) -> None:
        self._nic = nic
        self._ethtool = nic.ethtool
        self._channel = channel
        self._stack = stack

    def free(self, first: int) -> None:
        """Split headers, and have RSS use the queues below `first` only: the others get what is steered to
        them."""
        rings = self._ethtool.rings_get()
        # hds-thresh is left out when it is 0: older kernels do not have the attribute.
        names = [name for name in ("tcp-data-split", "hds-thresh") if rings.get(name)]
        before = {name: rings[name] for name in names}
        with uninterrupted():
            self._undo("header split", lambda ethtool: ethtool.rings_set(before))
            self.split_headers(True)
            table = self._ethtool.rss_restoring()
            self._undo("RSS", lambda ethtool: ethtool.rss_set(table))
            self._ethtool.rss_set({"equal": first})

    def split_headers(self, on: bool) -> None:
        wanted: Attributes = {"tcp-data-split": "enabled" if on else "disabled"}
        if self._ethtool.rings_get().get("hds-thresh"):
            wanted["hds-thresh"] = 0
        self._ethtool.rings_set(wanted)
        print(f"TCP header split: {'on' if on else 'off'}", file=sys.stderr, flush=True)

    def steer(self, rule: Attributes) -> None:
        """Make `rule` the only rule, for as long as the stack lasts."""
        for other in self._ethtool.ntuple_get():
            with uninterrupted():
                self._undo("a rule", partial(Ethtool.ntuple_insert, attributes=other))
                self._ethtool.ntuple_delete({"location": other["location"]})
        with uninterrupted():
            location = self._ethtool.ntuple_insert(rule)
            self._undo("steering", lambda ethtool: ethtool.ntuple_delete(location))

    def _undo(self, what: str, change: Callable[[Ethtool], object]) -> None:
        self._stack.callback(self._restore, what, change)

    def _restore(self, what: str, change: Callable[[Ethtool], object]) -> None:
        """Uses a new channel: a signal may have interrupted a call on the first one."""
        try:
            with uninterrupted(), closing(Host(self._channel)) as host:
                change(host.ethtool.of(self._nic.ifindex))
        except (HostError, OSError) as refused:
            why = getattr(refused, "strerror", None) or refused
            print(f"ncdevmem: {what} could not be restored: {why}", file=sys.stderr, flush=True)
