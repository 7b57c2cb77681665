"""What the traffic process of a host is told: whom it sends to and how much, and where it receives.

In: values of a run's traffic. Out: a frozen record that crosses to the process as JSON. Owns nothing.
"""

from __future__ import annotations

import msgspec

PORT = 9  # the discard service's, of TCP and UDP (RFC 863)


class TrafficConfigError(ValueError):
    """The text describes no traffic; str() is one sentence."""


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry's traffic of this host. `entry`: its number in the run. `peers`: IPv4 addresses; of constant
    and on-off each has an equal part of `rate_bps`, of poisson each flow draws one. `sizes`: points (bytes,
    share of flows that are no larger), of poisson. `seed`: of all that it draws."""

    entry: int
    kind: str
    protocol: str
    rate_bps: float
    peers: tuple[str, ...]
    seed: str
    sizes: tuple[tuple[int, float], ...] = ()
    on_s: float = 0.0
    off_s: float = 0.0


class TrafficConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`address`: the host's, where it receives. `datagram_bytes`: of UDP payload. `ready`: a file that it
    makes when it receives; `report`: the file of its Report, which it makes when it ends."""

    address: str
    sources: tuple[Source, ...]
    datagram_bytes: int
    ready: str
    report: str


def encode(config: TrafficConfig) -> str:
    """The JSON with which `python -m workloads.traffic --config` starts."""
    return msgspec.json.encode(config).decode()


def decode(text: str) -> TrafficConfig:
    """Raises TrafficConfigError."""
    try:
        return msgspec.json.decode(text, type=TrafficConfig)
    except msgspec.DecodeError as reason:
        raise TrafficConfigError(f"--config describes no traffic: {reason}") from None
