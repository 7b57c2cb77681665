"""The string sets of ethtool: names of features, counters and hash functions, by their place in the set.

In: what a host's ethtool family says of a NIC. Out: the strings of a set. Owns nothing. A feature's place
means nothing beyond the set, as with Linux, whose features move from release to release.
Source: enum ethtool_stringset (include/uapi/linux/ethtool.h), net/ethtool/{common,strset}.c.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence

from nodes.client.netdev import Attributes

STATS, FEATURES, HASH_FUNCTIONS = 1, 4, 5  # ETH_SS_*
HASHES = ("toeplitz", "xor", "crc32")


def feature_names(reply: Attributes) -> tuple[str, ...]:
    """All the features of a reply of features-get."""
    return tuple(sorted({*reply["hw"], *reply["active"]}))


def strings(of_device: Mapping[int, Sequence[str]], number: int | None) -> Sequence[str]:
    """EOPNOTSUPP for a set that no NIC here has."""
    sets = {HASH_FUNCTIONS: HASHES, **of_device}
    if number not in sets:
        raise OSError(errno.EOPNOTSUPP, f"string set {number} is not known to this device")
    return sets[number]
