"""The relays of a network, which are the middles of links: started.

In: a topology's links. Out: running relays through which frames pass. Owns nothing: the processes are the
fabric's, which ends them. A relay that has died is a cut cable: nothing starts it again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from nodes.nic.gilbert_elliott import GilbertElliott
from nodes.nic.impairment import ImpairmentConfig
from nodes.relay.config import RelayConfig, RelayWay, encode
from topologies.link import Link
from topologies.mininet.fabric import Fabric, FabricError
from topologies.mininet.qdisc import token_bucket
from topologies.relay import Relay

_READY_S = 20.0
_READY_S_PER_RELAY = 2.0
_MODULE = "nodes.relay"


def start_relays(
    fabric: Fabric, directory: Path, add_process: Callable[[int], None], watch: Callable[[], None]
) -> None:
    """All that the fabric's topology needs; returns when frames pass. `directory` is for files that they
    make. Raises FabricError, what `watch` raises."""
    files = []
    for relay in fabric.part.relays:
        ready = directory / f"{relay.name}.ready"
        argv = [sys.executable, "-m", _MODULE, "--config", encode(relay_config(relay, ready))]
        add_process(fabric.spawn(relay.name, argv, f"{relay.name}.log"))
        files.append(ready)
    give_up_at = time.monotonic() + _READY_S + _READY_S_PER_RELAY * len(files)
    while missing := [file for file in files if not file.exists()]:
        watch()
        if time.monotonic() > give_up_at:
            raise FabricError(f"relay {missing[0].stem} did not start in time; try a quieter machine")
        time.sleep(0.02)


def relay_config(relay: Relay, ready: Path) -> RelayConfig:
    """A link's delay is between delay - jitter and delay + jitter, a relay's between delay and delay +
    jitter. Where packets are marked the relay has the queue, else the token buckets at the link's ends."""
    there, back = (_way(relay.link.sent_by(end)) for end in relay.link.ends)
    return RelayConfig(
        interfaces=(relay.near.interface, relay.far.interface), ways=(there, back), ready=str(ready)
    )


def _way(link: Link) -> RelayWay:
    """`link`: as the end that sends finds it."""
    marks = link.ecn_threshold_bytes > 0
    return RelayWay(
        impairment=_impairment(link),
        rate_bps=link.rate_bps if marks else 0,
        queue_bytes=token_bucket(link).limit if marks else 0,
        ecn_threshold_bytes=link.ecn_threshold_bytes,
    )


def _impairment(link: Link) -> ImpairmentConfig:
    bursts = link.gemodel
    return ImpairmentConfig(
        gemodel=None if bursts is None else GilbertElliott(**msgspec.structs.asdict(bursts)),
        loss=link.loss if bursts is None else 0.0,
        reorder=link.reorder,
        duplicate=link.duplicate,
        corrupt=link.corrupt,
        delay=link.delay_s - link.jitter_s,
        jitter=2 * link.jitter_s,
    )
