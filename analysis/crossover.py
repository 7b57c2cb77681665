"""At which line rate bounce falls behind devmem, if host memory or the PCIe switch is the limit.

In: what a path needs of both for each byte of line rate; bandwidths. Out: the highest rate of a path, the
crossover. Pure. Owns the arithmetic, of the crossover's figure and of projections. A rate is payload each way
through a host's NICs, bytes a second; where both ways are busy, each has it.
"""

from dataclasses import dataclass

UNLIMITED = float("inf")


@dataclass(frozen=True, slots=True)
class Need:
    """For each byte of payload each way: `dram`, accesses of host DRAM; `pcie`, bytes through the PCIe switch
    in its busier direction."""

    dram: float
    pcie: float = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes a second; `pcie`: each way."""

    dram: float = UNLIMITED
    pcie: float = UNLIMITED


def highest_rate(need: Need, limits: Limits) -> float:
    """What a path with that need reaches, whatever the line: infinite if nothing limits it."""
    rates = ((limits.dram, need.dram), (limits.pcie, need.pcie))
    return min(limit / each if each > 0 else UNLIMITED for limit, each in rates)


def crossover(staged: Need, direct: Need, limits: Limits) -> float | None:
    """The line rate from which on the path that needs more is the slower one: up to it both are as fast as
    the line. None if it never falls behind."""
    at = highest_rate(staged, limits)
    return at if at < highest_rate(direct, limits) else None
