"""What a relay is told at its start: its two interfaces, and what the link between them does to frames.

In: values of a topology's link. Out: a frozen record that crosses to the relay's process as JSON. Owns
nothing.
"""

from __future__ import annotations

import msgspec

from nodes.nic.impairment import ImpairmentConfig


class RelayConfigError(ValueError):
    """The text describes no relay; str() is one sentence."""


class RelayWay(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One direction: what the line does to frames. `rate_bps`: the relay itself has the queue in front of the
    line, of `queue_bytes`, and marks packets that meet more than `ecn_threshold_bytes`; 0: it has none."""

    impairment: ImpairmentConfig = ImpairmentConfig()
    rate_bps: int = 0
    queue_bytes: int = 0
    ecn_threshold_bytes: int = 0


class RelayConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`ways`: from each of `interfaces` on. `ready`: a file that it makes when frames pass; "" for none."""

    interfaces: tuple[str, str]
    ways: tuple[RelayWay, RelayWay] = (RelayWay(), RelayWay())
    ready: str = ""


def encode(config: RelayConfig) -> str:
    """The JSON with which `python -m nodes.relay --config` starts this relay."""
    return msgspec.json.encode(config).decode()


def decode(text: str) -> RelayConfig:
    """Raises RelayConfigError."""
    try:
        return msgspec.json.decode(text, type=RelayConfig)
    except msgspec.DecodeError as reason:
        raise RelayConfigError(f"--config describes no relay: {reason}") from None
