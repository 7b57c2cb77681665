"""Distributions of flow sizes: points of a cumulative distribution function, published ones and a user's own.

In: a name, or a file of lines `bytes,cdf`. Out: its points, checked. Owns the published ones, the .csv files
beside it: docs/traffic.md says of which paper each is. Between two points sizes are spread evenly.
"""

from __future__ import annotations

import csv
import io
from itertools import pairwise
from pathlib import Path

from topologies.topology_error import TopologyError

Points = tuple[tuple[int, float], ...]  # bytes, and the share of flows that are no larger
PUBLISHED = ("web-search", "data-mining", "hadoop")
SIZE_MAX_BYTES = 1 << 40
_HEADER = ["bytes", "cdf"]
_READ_BYTES = 1 << 20  # of a file, and no more
_OWN = ".csv"


def flow_sizes(name: str) -> Points:
    """The points of a published distribution or of a file FILE.csv. Raises TopologyError."""
    if name in PUBLISHED:
        return _points(Path(__file__).with_name(f"{name}{_OWN}"), name)
    if not name.endswith(_OWN):
        raise TopologyError(
            f"there is no distribution of sizes {name!r}; choose from {', '.join(PUBLISHED)}, or name a "
            "FILE.csv"
        )
    return _points(Path(name), name)


def mean_bytes(points: Points) -> float:
    """Of a flow."""
    return sum((b_cdf - a_cdf) * (a + b) / 2 for (a, a_cdf), (b, b_cdf) in pairwise(points))


def _points(path: Path, name: str) -> Points:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            header, *rows = csv.reader(io.StringIO(file.read(_READ_BYTES)))
        points = tuple((int(size), float(share)) for size, share in rows)
    except OSError as failure:
        raise TopologyError(f"sizes {name} cannot be read ({failure.strerror}); correct the name") from None
    except (ValueError, csv.Error):
        raise _refusal(name, "it has other lines") from None
    if header != _HEADER:
        raise _refusal(name, "it begins otherwise")
    sizes, shares = [size for size, _ in points], [share for _, share in points]
    if len(points) < 2 or sizes != sorted(sizes) or shares != sorted(shares):
        raise _refusal(name, "its points do not ascend")
    if shares[0] != 0 or shares[-1] != 1 or sizes[0] < 0 or not 1 <= sizes[-1] <= SIZE_MAX_BYTES:
        raise _refusal(name, f"its points do not lead from cdf 0 to 1 with sizes up to {SIZE_MAX_BYTES}")
    return points


def _refusal(name: str, why: str) -> TopologyError:
    return TopologyError(
        f"sizes {name} is no distribution: {why}; write bytes,cdf and below it lines such as 1000,0.5"
    )
