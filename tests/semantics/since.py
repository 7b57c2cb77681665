"""From which kernel release on the rules of rows.py hold, where that is not every version.

In: nothing. Out: `SINCE`, by the name of the rule. Owns nothing. docs/semantics.md shows it, and
tests/semantics/test_rows.py checks that the tests exist. The commits are in nodes/kernel_version.py.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Since:
    """`release`: the first in mainline, further ones that are the first of a stable series; `before`: what
    older ones do; `test`: file::function that tells the versions apart (several: comma-separated)."""

    release: str
    before: str = ""
    test: str = ""


_VERSIONS = "tests/control/test_versions.py::"
_TRANSMIT = "tests/semantics/test_transmit.py::"
_QUEUES = _VERSIONS + "test_a_queue_that_is_not_there_or_is_named_twice"
_BEHIND = _VERSIONS + "test_queues_are_read_behind_the_dma_buf_or_ahead_of_it"
_NO_TX = Since("6.16", "EINVAL", _TRANSMIT + "test_a_kernel_without_devmem_tx_refuses_the_control_message")

SINCE: dict[str, Since] = {
    "A2": Since("6.16", "there was no bind-tx", _VERSIONS + "test_binding_for_sending"),
    "A4": Since("6.18", "the dma-buf's errors came first", _BEHIND),
    "A5": Since("6.18", "the dma-buf's errors came first", _BEHIND),
    "A7": Since("6.18", "ERANGE, and the dma-buf's errors came first", f"{_QUEUES}, {_BEHIND}"),
    "A8": Since("6.18", "EEXIST", _QUEUES),
    "A9": Since("7.3", "there was no such attribute: EINVAL", _VERSIONS + "test_rx_page_size"),
    "A10": Since("7.3", "there was no such attribute: EINVAL", _VERSIONS + "test_rx_page_size"),
    "A13": Since(
        "6.15", "the dma-buf's and the queues' errors came first",
        _VERSIONS + "test_a_driver_without_queue_management",
    ),
    "A14": Since("6.18", "EINVAL, behind the descriptor's errors", _VERSIONS + "test_a_device_without_dma"),
    "A15": Since("6.18", "bound", _VERSIONS + "test_queues_of_two_dma_devices"),
    "A19": Since(
        "7.1, 7.0.11, 6.18.35", "bound, without what lies behind the last whole net_iov",
        f"{_VERSIONS}test_a_dma_buf_that_ends_within_a_net_iov, "
        f"{_TRANSMIT}test_of_a_dma_buf_that_ends_within_a_page_whole_pages_are_sent_or_none",
    ),
    "A20": Since("7.1, 7.0.11, 6.18.35"),
    "A21": Since("7.4"),
    "A22": Since("6.14", "ENODATA", _VERSIONS + "test_without_header_split"),
    "A23": Since("6.14", "there was no hds-thresh", _VERSIONS + "test_the_threshold_of_header_split"),
    "A31": Since("6.16", "there was no bind-tx", _VERSIONS + "test_binding_for_sending"),
    "B1": Since("6.12", "granted", _VERSIONS + "test_taking_a_bound_queue_out_of_use"),
    "B2": Since(
        "6.14", "left to the driver; here EINVAL, too",
        _VERSIONS + "test_header_split_stays_on_while_bound_in_every_version",
    ),
    "B3": Since("6.14", "there was no hds-thresh", _VERSIONS + "test_the_threshold_of_header_split"),
    "D6": Since(
        "6.12", "no limit", "tests/semantics/test_freeing.py::test_v17_alone_has_no_such_limit"
    ),
    **{f"E{number}": _NO_TX for number in (1, 2, 3, 5, 6, 7, 8, 9)},
    "E4": Since("6.18"),
    "E10": Since(
        "7.3, 7.2.6, 6.18.52: what does not fit begins another skb",
        "host memory behind device memory was EFAULT; device memory behind host memory was EFAULT from 7.2, "
        "7.1.9 and 6.18.45 on, and mixed before that",
        f"{_TRANSMIT}test_zero_copy_host_memory_behind_unsent_device_memory, "
        f"{_TRANSMIT}test_device_memory_behind_unsent_host_memory",
    ),
    **{f"E{number}": _NO_TX for number in (11, 12, 14, 15, 16)},
}  # fmt: skip
