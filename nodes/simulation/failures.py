"""How a simulation ends when its processes can never go on.

In: nothing. Out: exceptions. Owns nothing.
"""

from __future__ import annotations


class SimulationError(RuntimeError):
    """Simulated time cannot go on; str() is one sentence."""


class SpinError(SimulationError):
    """A thread looks at the clock and never waits: simulated time cannot go on."""


class StuckError(SimulationError):
    """A process waits for something of this machine, or computes without an end; the message says where."""


class DeadlockError(SimulationError):
    """Every process waits and nothing is due any more; the message names them."""
