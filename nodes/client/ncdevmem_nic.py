"""What ncdevmem changes in a NIC, and how it restores it.

In: queues to keep free, a steering rule. Out: header split, RSS and steering as device memory needs them.
Owns their undoing: when the caller's stack ends, the NIC is as the kernel's tool leaves it, with the rule
deleted, RSS at its default, and the rings as they were.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack, closing

from nodes.client.ethtool import Ethtool
from nodes.client.host import Host, HostError
from nodes.client.interruption import uninterrupted
from nodes.client.netdev import Attributes


class NicConfiguration:
    """Of `host`, whose channel is `channel`. No signal comes between a change and the callback that will undo
    it. Methods raise OSError."""

    def __init__(self, host: Host, channel: str, stack: ExitStack) -> None:
        self._ethtool = host.ethtool
        self._channel = channel
        self._stack = stack

    def free(self, first: int) -> None:
        """Split headers, and exclude the queues from `first` on from RSS: only steered packets reach them."""
        rings = self._ethtool.rings_get()
        # hds-thresh is 0 where kernels do not take the attribute.
        names = [name for name in ("tcp-data-split", "hds-thresh") if rings[name]]
        before = {name: rings[name] for name in names}
        with uninterrupted():
            self._undo("header split", lambda ethtool: ethtool.rings_set(before))
            self.split_headers(True)
            self._undo("RSS", lambda ethtool: ethtool.rss_set({"indir": []}))
            self._ethtool.rss_set({"equal": first})

    def split_headers(self, on: bool) -> None:
        wanted: Attributes = {"tcp-data-split": "enabled" if on else "disabled"}
        if self._ethtool.rings_get()["hds-thresh"]:
            wanted["hds-thresh"] = 0
        self._ethtool.rings_set(wanted)
        print(f"TCP header split: {'on' if on else 'off'}", file=sys.stderr, flush=True)

    def steer(self, rule: Attributes) -> None:
        """Make `rule` the only one. Earlier rules are not restored; the kernel's tool does not do so
        either."""
        for other in self._ethtool.ntuple_get():
            self._ethtool.ntuple_delete({"location": other["location"]})
        with uninterrupted():
            location = self._ethtool.ntuple_insert(rule)
            self._undo("steering", lambda ethtool: ethtool.ntuple_delete(location))

    def _undo(self, what: str, change: Callable[[Ethtool], None]) -> None:
        self._stack.callback(self._restore, what, change)

    def _restore(self, what: str, change: Callable[[Ethtool], None]) -> None:
        """By a channel of its own: a signal may have interrupted a call of `host`."""
        try:
            with uninterrupted(), closing(Host(self._channel)) as host:
                change(host.ethtool)
        except (HostError, OSError) as refused:
            why = getattr(refused, "strerror", None) or refused
            print(f"ncdevmem: {what} could not be restored: {why}", file=sys.stderr, flush=True)
