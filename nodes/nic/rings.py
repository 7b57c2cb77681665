"""The ring parameters of a device, `ethtool -g` and `-G`: how received frames meet their buffers.

In: values that `control.ethtool` has checked. Out: the settings that net_device and rx_placement read for
each frame. Source: struct ethtool_ringparam, struct kernel_ethtool_ringparam (include/linux/ethtool.h).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class TcpDataSplit(enum.StrEnum):
    UNKNOWN = "unknown"
    DISABLED = "disabled"
    ENABLED = "enabled"


@dataclass(slots=True)
class Rings:
    """`rx`: buffers posted to each rx queue. `tcp_data_split`: header split. `hds_thresh`: frames of so many
    bytes or fewer are not split. `rx_buf_len`: bytes of a host receive buffer."""

    rx: int = 512
    rx_max: int = 8192
    tcp_data_split: TcpDataSplit = TcpDataSplit.UNKNOWN
    hds_thresh: int = 0
    hds_thresh_max: int = 1023
    rx_buf_len: int = 4096
