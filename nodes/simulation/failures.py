"""How a simulation ends when its processes can never go on.

In: nothing. Out: exceptions. Owns nothing.
"""

from __future__ import annotations


class SpinError(RuntimeError):
    """A thread looks at the clock and never waits: simulated time cannot go on."""


class DeadlockError(RuntimeError):
    """Every process waits and nothing is due any more; the message names them."""
