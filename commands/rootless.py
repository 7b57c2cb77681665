"""Whether run.py builds a network without root.

In: words of a command line. Out: this process is root of a user namespace of its own, where the words build a
network and it is asked for, or there is no other way. Owns nothing. It is done before anything starts a
thread, as numpy does: the kernel moves only a process with one thread.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from topologies.mininet import user_namespace

ASKED = "--rootless"


def become_root(words: Sequence[str], builds_network: bool) -> None:
    """Where that is refused all stays as it was, and commands.place says why."""
    if not builds_network:
        return
    is_needed = os.geteuid() != 0 or ASKED in words or not user_namespace.owns_network()
    if is_needed and user_namespace.obstacle() is None:
        user_namespace.enter()
