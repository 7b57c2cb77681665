"""How many hosts a command asks of a shape, where nobody has said."""

from __future__ import annotations

import pytest

from commands.topology import fewest_hosts, topology_of
from commands.usage import UsageError
from workloads.experiment.records import NetworkConfig


def test_a_run_has_as_many_hosts_as_the_shape_by_itself_and_up_the_fewest() -> None:
    config = NetworkConfig()
    for name, default, fewest in (("pair", 2, 2), ("star", 4, 2), ("line", 4, 2)):
        assert len(topology_of(name, None, config).hosts) == default
        assert fewest_hosts(name) == fewest
    assert fewest_hosts("leaf_spine:leaves=4") is None  # which has two a leaf
    with pytest.raises(UsageError, match="there is no topology 'blob'"):
        fewest_hosts("blob")


def test_links_have_the_mtu_that_was_asked_for() -> None:
    assert {link.mtu for link in topology_of("star", 2, NetworkConfig(mtu=9000)).links} == {9000}
