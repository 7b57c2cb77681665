"""Routers in a grid whose rows and columns are circles: torus2d.

In: how many rows and columns. Out: a drawing on a `Net`. Owns nothing.
"""

from __future__ import annotations

import math
from itertools import product
from typing import Annotated

from topologies.address_plan import HOSTS_MAX
from topologies.net import Net
from topologies.shapes.shape import Parameter, shape
from topologies.topology_error import TopologyError

_SIDE_MAX = HOSTS_MAX // 2


@shape("a grid of routers with a host each, whose rows and columns are circles")
def torus2d(
    net: Net,
    hosts: Annotated[int, Parameter("rows times columns; 0: what these say", 4, HOSTS_MAX)] = 0,
    rows: Annotated[int, Parameter("rows; 0: as near to columns as hosts allow, or 3", 2, _SIDE_MAX)] = 0,
    columns: Annotated[int, Parameter("columns; 0: what hosts and rows leave", 2, _SIDE_MAX)] = 0,
) -> None:
    rows, columns = _sides(hosts, rows, columns)
    routers = {at: net.router() for at in product(range(rows), range(columns))}
    for router in routers.values():
        net.link(net.host(), router)
    for (row, column), here in routers.items():
        for side, after in ((columns, (row, (column + 1) % columns)), (rows, ((row + 1) % rows, column))):
            if side > 2 or after > (row, column):  # a circle of two is one link
                net.link(here, routers[after])


def _sides(hosts: int, rows: int, columns: int) -> tuple[int, int]:
    """All of them decided. Raises TopologyError."""
    if not hosts:
        return rows or columns or 3, columns or rows or 3
    fits = [each for each in range(2, math.isqrt(hosts) + 1) if hosts % each == 0]
    high = rows or (hosts // columns if columns else max(fits, default=1))
    wide = columns or hosts // high
    if min(high, wide) < 2 or high * wide != hosts:
        said = [f"{name}={value}" for name, value in (("rows", rows), ("columns", columns)) if value]
        near = [str(number) for number in range(hosts - 3, hosts + 4) if _divides(number)]
        raise TopologyError(
            f"topology torus2d cannot have {' '.join([f'{hosts} hosts', *said])}; choose rows times columns, "
            f"both 2 or more, as {', '.join(near)}"
        )
    return high, wide


def _divides(number: int) -> bool:
    """Whether it is a product of two numbers from 2 on."""
    return number >= 4 and any(number % each == 0 for each in range(2, math.isqrt(number) + 1))
