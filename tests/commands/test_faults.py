"""Faults are carried out in their order, overlapping ones together, and recorded as they happen."""

from __future__ import annotations

import signal
import struct
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from commands.faults import EVENTS_NAME, FaultError, FaultInjector, asked_faults
from commands.network import StartedHost, StartedNetwork
from commands.running import respawn_wish
from commands.usage import UsageError
from nodes.client.host import HostError
from topologies.fault import Event, Scope, Step, steps
from topologies.mininet.fabric import FabricError
from topologies.shapes.registry import build
from workloads.experiment.records import NetworkConfig, RankPlace

RUN = Scope(build("star", 3), ranks=3)
STANDING = Scope(build("star", 3), standing=True)


def plan(*texts: str, scope: Scope = RUN) -> tuple[Step, ...]:
    return steps(asked_faults(NetworkConfig(fault=texts), scope), 1)


class Network:
    """Notes what is asked of it."""

    def __init__(self, directory: Path) -> None:
        self.asked: list[object] = []
        channel = str(directory / "h1.sock")
        fields: dict[str, Any] = dict.fromkeys(StartedNetwork.__dataclass_fields__)
        fields |= {"hosts": (StartedHost("h1", channel, 1),), "kill": self.kill, "set_links": self.set_links}
        self.started, self.wish = StartedNetwork(**fields), respawn_wish(channel)

    def set_links(self, down: Collection[str], rates: Mapping[str, int]) -> float:
        self.asked.append((sorted(down), dict(rates)))
        return time.time()

    def kill(self, name: str) -> None:
        self.asked.append(name)

    def signal_rank(self, rank: int, number: signal.Signals) -> None:
        self.asked.append((rank, number))


@pytest.fixture
def network(tmp_path: Path) -> Network:
    return Network(tmp_path)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def carried_out(network: Network, tmp_path: Path, *texts: str, scope: Scope = RUN) -> FaultInjector:
    asked, told = plan(*texts, scope=scope), list[Event]()
    with FaultInjector(asked, tmp_path, told.append) as faults:
        faults.begin(network.started, network.signal_rank)
        until(lambda: len(told) == len(asked))
    faults.check()
    assert tuple(told) == faults.events()
    return faults


def test_a_link_is_down_as_long_as_one_fault_wants_it_so(network: Network, tmp_path: Path) -> None:
    carried_out(
        network, tmp_path, "link-down:h1-eth0,at=0,for=3ms", "partition:h1+h2,at=1ms,for=4ms",
    )  # fmt: skip
    assert network.asked == [
        (["h1-eth0"], {}), (["h1-eth0", "h2-eth0"], {}), (["h1-eth0", "h2-eth0"], {}), ([], {}),
    ]  # fmt: skip


def test_of_two_rates_the_later_one_holds(network: Network, tmp_path: Path) -> None:
    faster, slower = "value=2Mbit,until=3ms", "value=1Mbit,until=2ms"
    carried_out(network, tmp_path, f"rate:h1-eth0,at=0,{faster}", f"rate:h1-eth0,at=1ms,{slower}")
    rates = [cast(tuple[object, dict[str, int]], each)[1] for each in network.asked]
    assert rates == [{"h1-eth0": 2_000_000}, {"h1-eth0": 1_000_000}, {"h1-eth0": 2_000_000}, {}]


def test_a_rank_stands_still_and_goes_on_and_another_is_killed(network: Network, tmp_path: Path) -> None:
    faults = carried_out(
        network, tmp_path, "application-stopped:rank2,at=0,for=1ms", "application-killed:rank1,at=2ms"
    )
    assert network.asked == [(2, signal.SIGSTOP), (2, signal.SIGCONT), (1, signal.SIGKILL)]
    assert faults.killed == "application-killed:rank1,at=2ms"


def test_an_endpoint_that_is_killed_is_wished_back(network: Network, tmp_path: Path) -> None:
    carried_out(network, tmp_path, "endpoint-killed:h1,at=0,for=1ms", scope=STANDING)
    assert network.asked == ["h1"]
    assert network.wish.exists()


class Endpoint:
    """Notes the shares that are withheld."""

    shares: list[tuple[str, float]]

    def __init__(self, channel: str, _patience_s: float) -> None:
        self._channel = channel

    def withhold_memory(self, share: float) -> None:
        self.shares.append((self._channel, share))

    def close(self) -> None:
        pass


def test_of_two_shares_of_a_pool_the_later_one_holds_and_all_is_given_back(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Endpoint, "shares", [], raising=False)
    monkeypatch.setattr("commands.faults.Host", Endpoint)
    carried_out(network, tmp_path, "pool:h1,at=0,for=3ms,value=90%", "pool:h1,at=1ms,for=1ms,value=50%")
    (channel,) = {channel for channel, _ in Endpoint.shares}
    assert channel == network.started.hosts[0].channel
    assert [share for _, share in Endpoint.shares] == [0.9, 0.5, 0.9, 0.0]


def test_an_accelerators_factor_is_written_where_its_rank_reads_it(network: Network, tmp_path: Path) -> None:
    places = [RankPlace(rank, f"h{rank}", "", pace=str(tmp_path / f"rank{rank}.pace")) for rank in range(3)]
    asked = plan("accelerator-slow:rank1,at=0,for=1ms,value=4")
    seen: list[float] = []
    with FaultInjector(asked, tmp_path, lambda _: seen.append(factor(places[1].pace))) as faults:
        faults.begin(network.started, network.signal_rank, places)
        until(lambda: len(seen) == 2)
    faults.check()
    assert seen == [4.0, 1.0]
    assert not Path(places[0].pace).exists()


def factor(path: str) -> float:
    (found,) = struct.unpack("=d", Path(path).read_bytes())
    return float(found)


def test_each_step_is_a_line_when_it_has_happened(network: Network, tmp_path: Path) -> None:
    before = time.time()
    faults = carried_out(network, tmp_path, "link-down:h1-eth0,at=1ms,for=1ms")
    lines = (tmp_path / EVENTS_NAME).read_bytes().splitlines()
    assert tuple(msgspec.json.decode(line, type=Event) for line in lines) == faults.events()
    for event in faults.events():
        assert event.actual_s is not None
        assert event.time_s is not None
        assert event.actual_s >= event.asked_s
        assert before <= event.time_s <= time.time()


def test_what_the_run_did_not_live_to_see_has_no_time(network: Network, tmp_path: Path) -> None:
    with FaultInjector(plan("link-down:h1-eth0,at=0,for=1000s"), tmp_path) as faults:
        faults.begin(network.started)
        until(lambda: faults.events()[0].time_s)
    down, up = faults.events()
    assert (up.action, up.asked_s, up.actual_s, up.time_s) == ("up", 1000, None, None)
    assert down.action == "down"


@pytest.mark.parametrize("reason", [FabricError("no more"), HostError("no more"), OSError("no more")])
def test_a_fault_that_cannot_be_carried_out_is_one_sentence(
    network: Network, tmp_path: Path, reason: Exception
) -> None:
    def refuses(*_: object) -> float:
        raise reason

    network.started = StartedNetwork(
        **{name: getattr(network.started, name) for name in StartedNetwork.__dataclass_fields__}
        | {"set_links": refuses}
    )
    with FaultInjector(plan("link-down:h1-eth0,at=0,for=1s"), tmp_path) as faults:
        faults.check()
        faults.begin(network.started)
        with pytest.raises(FaultError, match=r"^fault link-down:h1-eth0,at=0,for=1s could not be "):
            until(lambda: faults.check())
    assert [each.time_s for each in faults.events()] == [None, None]


def test_a_schedule_that_cannot_be_read_is_named() -> None:
    with pytest.raises(UsageError, match="--faults /nowhere cannot be read"):
        asked_faults(NetworkConfig(faults="/nowhere"), RUN)
