"""What a relay is told of its link, and how its death is told."""

from __future__ import annotations

from pathlib import Path

import msgspec

from commands.endpoints import end_of
from commands.relays import relay_config
from nodes.nic.gilbert_elliott import GilbertElliott
from nodes.nic.impairment import ImpairmentConfig
from nodes.relay.config import RelayWay
from topologies import link
from topologies.mininet.protocol import ChildExited
from topologies.mininet.qdisc import buckets
from topologies.relay import relays
from topologies.shapes.registry import build
from topologies.topology import Topology


def pair(**quality: object) -> Topology:
    plain = build("pair", 2)
    (only,) = plain.links
    return msgspec.structs.replace(plain, links=(msgspec.structs.replace(only, **quality),))


def test_everything_that_is_asked_of_a_link_reaches_its_relay() -> None:
    asked = {"loss": 0.1, "reorder": 0.2, "duplicate": 0.3, "corrupt": 0.4}
    (relay,) = relays(pair(**asked, delay_s=0.5, jitter_s=0.25, rate_bps=10**8))
    config = relay_config(relay, Path("/r"))
    assert (config.interfaces, config.ready) == (("w1-eth0", "w1-eth1"), "/r")
    way = RelayWay(
        impairment=ImpairmentConfig(
            loss=0.1, reorder=0.2, duplicate=0.3, corrupt=0.4, delay=0.25, jitter=0.5
        )
    )
    assert config.ways == (way, way)


def test_what_is_asked_of_one_direction_reaches_that_one() -> None:
    bursts = link.GilbertElliott(0.01, 0.3, 0.9, 0.001)
    down = link.Quality(delay_s=0.2, loss=bursts.loss, gemodel=bursts)
    (relay,) = relays(pair(rate_bps=10**8, down=down))
    there, back = relay_config(relay, Path("/r")).ways
    assert there == RelayWay()
    assert back.impairment == ImpairmentConfig(delay=0.2, gemodel=GilbertElliott(0.01, 0.3, 0.9, 0.001))


def test_either_the_kernels_token_bucket_or_the_relay_has_the_queue() -> None:
    plain, marking = pair(rate_bps=10**8, delay_s=0.1), pair(rate_bps=10**8, ecn_threshold_bytes=30_000)
    assert set(buckets(plain.links)) == {"h1", "h2"}
    assert buckets(marking.links) == {}
    config, _ = relay_config(relays(marking)[0], Path("/r")).ways
    assert (config.rate_bps, config.queue_bytes, config.ecn_threshold_bytes) == (10**8, 1_514_000, 30_000)


def test_the_death_of_a_relay_names_its_link(tmp_path: Path) -> None:
    child = ChildExited("w1", 5, -9, ("python", "-m", "nodes.relay"))
    said = end_of(child, pair(delay_s=0.1), tmp_path)
    assert said == "the relay of link h1-eth0<->h2-eth0 ended with signal 9"
    (tmp_path / "w1.log").write_text("relay: interface 'w1-eth0' cannot be opened\n")
    assert end_of(child, pair(delay_s=0.1), tmp_path).endswith(
        "saying \"relay: interface 'w1-eth0' cannot be opened\""
    )
