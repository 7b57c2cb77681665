"""How long to wait for processes of this machine before they count as hung.

In: seconds on a machine with nothing else to do, Linux's load average. Out: seconds. Owns nothing.
"""

from __future__ import annotations

import os

_FACTOR_MAX = 5.0


def patience_s(quiet_s: float) -> float:
    """`quiet_s`, or where more processes want to run than there are CPUs as many times longer, five times at
    most. Load averages of one minute: getloadavg(3)."""
    load = os.getloadavg()[0] / len(os.sched_getaffinity(0))
    return quiet_s * min(max(load, 1.0), _FACTOR_MAX)
