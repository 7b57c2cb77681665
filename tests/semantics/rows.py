"""The rules of the kernel's devmem that applications may rely on, and the tests that prove them.

In: nothing. Out: `ROWS`, one entry a rule: A control plane, B device-wide rules, C receive, D freeing,
E transmit, as they are in the default kernel version; tests/semantics/since.py says from when on.
docs/semantics.md is generated from both (tests/semantics/document.py), and tests/semantics/test_rows.py
checks that every test named here exists. Sources: net/core/{devmem,netdev-genl,netdev_rx_queue,page_pool,
sock}.c, net/ethtool/, net/ipv4/tcp.c.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["holds", "not modelled", "unproven"]


@dataclass(frozen=True)
class Row:
    """`test` is file::function (several: comma-separated); `reason` says why a rule is not modelled."""

    rule: str
    status: Status = "unproven"
    reason: str = ""
    test: str = ""


def _absent(rule: str, reason: str) -> Row:
    return Row(rule, "not modelled", reason)


_RECEIVE = "tests/semantics/test_receive.py::"
_FREEING = "tests/semantics/test_freeing.py::"
_TRANSMIT = "tests/semantics/test_transmit.py::"
_BIND = "tests/control/test_table_a.py::"
_BOUND = "tests/control/test_table_b.py::"
_NO_XDP = "there is no XDP and no AF_XDP in this NIC"

ROWS: dict[str, Row] = {
    # --- A: bind-rx and bind-tx
    "A1": Row(
        "bind-rx without CAP_NET_ADMIN: EPERM",
        "holds",
        test=_BIND + "test_a1_bind_rx_without_cap_net_admin_is_eperm_before_anything_else"
        ", tests/system/test_privilege.py::test_the_capability_counts_not_the_user_nor_the_namespace",
    ),
    "A2": Row(
        "bind-tx needs no privilege",
        "holds",
        test=_BIND + "test_a2_bind_tx_needs_no_privilege",
    ),
    "A3": Row(
        "ifindex, fd or queues missing: EINVAL, the attribute named as missing",
        "holds",
        test=_BIND + "test_a3_a_missing_attribute_is_einval",
    ),
    "A4": Row(
        "an entry of queues without id or type: EINVAL",
        "holds",
        test=_BIND + "test_a4_an_entry_without_id_or_type_is_einval",
    ),
    "A5": Row(
        "a tx queue in bind-rx: EINVAL",
        "holds",
        test=_BIND + "test_a5_a_tx_queue_is_einval",
    ),
    "A6": Row(
        "an unknown queue type, or ifindex 0: ERANGE by the policy",
        "holds",
        test=_BIND + "test_a6_a_type_that_is_none_and_ifindex_0_are_erange",
    ),
    "A7": Row(
        "an rx queue that the device does not have: EINVAL",
        "holds",
        test=_BIND + "test_a7_a_queue_beyond_the_device_is_einval",
    ),
    "A8": Row(
        "a queue named twice counts once",
        "holds",
        test=_BIND + "test_a8_a_queue_named_twice_is_bound_once",
    ),
    "A9": Row(
        "rx-page-size below a page: ERANGE; not a power of two: EINVAL",
        "holds",
        test=_BIND + "test_a9_an_rx_page_size_below_a_page_is_erange_another_wrong_one_einval",
    ),
    "A10": Row(
        "rx-page-size above the device's maximum: EOPNOTSUPP",
        "holds",
        test=_BIND + "test_a10_an_rx_page_size_beyond_the_devices_is_eopnotsupp",
    ),
    "A11": Row(
        "no device has that ifindex: ENODEV",
        "holds",
        test=_BIND + "test_a11_an_unknown_ifindex_is_enodev",
    ),
    "A12": _absent(
        "a device that is not present: ENODEV",
        "the emulated device exists as long as its endpoint",
    ),
    "A13": Row(
        "a driver without queue management: EOPNOTSUPP",
        "holds",
        test=_BIND + "test_a13_a_driver_without_queue_management_is_eopnotsupp_but_can_send",
    ),
    "A14": Row(
        "a device without DMA: EOPNOTSUPP",
        "holds",
        test=_BIND + "test_a14_a_device_without_dma_is_eopnotsupp_ahead_of_the_descriptor",
    ),
    "A15": Row(
        "queues of different DMA devices: EOPNOTSUPP",
        "holds",
        test=_BIND + "test_a15_queues_of_different_dma_devices_are_eopnotsupp",
    ),
    "A16": Row(
        "a descriptor that is not open: EBADF",
        "holds",
        test=_BIND + "test_a16_a_descriptor_that_is_not_open_is_ebadf",
    ),
    "A17": Row(
        "a descriptor that is not a dma-buf: EINVAL",
        "holds",
        test=_BIND + "test_a17_a_descriptor_that_is_no_dma_buf_is_einval",
    ),
    "A18": Row(
        "the exporter refuses to attach or to map: its errno",
        "holds",
        "the exporter is a memfd: EACCES for a descriptor that may only be read",
        _BIND + "test_a18_what_the_memory_refuses_is_the_binds_errno",
    ),
    "A19": Row(
        "a dma-buf size that is not a multiple of the net_iov size: EINVAL",
        "holds",
        test=_BIND + "test_a19_a_size_that_is_no_multiple_of_the_net_iovs_is_einval",
    ),
    "A20": _absent(
        "a scatter entry that is not aligned to the net_iov size: EINVAL",
        "a dma-buf here is contiguous: it has no scatter list",
    ),
    "A21": _absent(
        "more than 2^32-1 net_iovs: E2BIG",
        "2^32 net_iovs are 16 TiB, more memory than a machine has",
    ),
    "A22": Row(
        "tcp-data-split off or unknown at bind: EINVAL",
        "holds",
        test=_BIND + "test_a22_header_split_that_is_not_enabled_is_einval",
    ),
    "A23": Row(
        "hds-thresh other than 0 at bind: EINVAL",
        "holds",
        test=_BIND + "test_a23_a_threshold_of_header_split_is_einval",
    ),
    "A24": _absent("an XDP program on the device at bind: EEXIST", _NO_XDP),
    "A25": Row(
        "a queue that has a memory provider: EEXIST",
        "holds",
        test=_BIND + "test_a25_a_queue_with_a_memory_provider_is_eexist_and_no_other_is_bound",
    ),
    "A26": _absent("a queue with an AF_XDP pool: EBUSY", _NO_XDP),
    "A27": _absent("a queue leased to a virtual device: EBUSY", "queue leasing (netkit) is not modelled"),
    "A28": Row(
        "a driver that restarts the queue without the provider: ENODATA",
        "holds",
        test=_BIND + "test_a28_a_driver_whose_pool_ignores_the_provider_is_enodata",
    ),
    "A29": Row(
        "a page pool without DMA mapping and sync: EOPNOTSUPP",
        "holds",
        test=_BIND + "test_a29_a_pool_that_is_not_mapped_and_synced_is_eopnotsupp",
    ),
    "A30": Row(
        "a page pool of another order than the binding's net_iovs: E2BIG",
        "holds",
        test=_BIND + "test_a30_a_pool_of_another_order_than_the_bindings_is_e2big",
    ),
    "A31": Row(
        "bind-tx on a device without netmem TX: EOPNOTSUPP",
        "holds",
        test=_BIND + "test_a31_a_device_without_netmem_tx_is_eopnotsupp",
    ),
    "A32": _absent("bind-tx on a virtual device without a leased queue: EOPNOTSUPP", "queue leasing (netkit)"
                   " is not modelled"),
    "A33": Row(
        "out of memory: ENOMEM, and nothing is bound",
        "holds",
        test=_BIND + "test_a33_without_memory_it_is_enomem_and_nothing_is_bound",
    ),
    # --- B: while any rx queue has a memory provider
    "B1": Row(
        "channel counts down to a bound queue, or to just above it: EINVAL",
        "holds",
        test=_BOUND + "test_b1_channels_stay_above_the_highest_bound_queue_by_more_than_one",
    ),
    "B2": Row(
        "tcp-data-split off or auto while bound: EINVAL",
        "holds",
        test=_BOUND + "test_b2_header_split_stays_while_bound",
    ),
    "B3": Row(
        "hds-thresh above 0 while bound: EINVAL",
        "holds",
        test=_BOUND + "test_b3_the_threshold_stays_0_while_bound",
    ),
    "B4": _absent("an XDP program while bound: EBUSY", _NO_XDP),
    "B5": _absent("AF_XDP zero-copy while bound: EBUSY", _NO_XDP),
    "B6": _absent("single-buffer XDP with tcp-data-split: EBUSY", _NO_XDP),
    "B7": _absent("tcp-data-split with single-buffer XDP: EINVAL", _NO_XDP),
    "B8": Row(
        "channel counts below the RSS table's or a rule's queues: EINVAL",
        "holds",
        test=_BOUND + "test_b8_channels_stay_above_what_tables_and_rules_name",
    ),
    # --- C: receive
    "C1": Row(
        "recv without MSG_SOCK_DEVMEM at devmem data: EFAULT or the short count, and data stays",
        "holds",
        test=_RECEIVE + "test_without_msg_sock_devmem_device_memory_is_efault_or_a_short_count",
    ),
    "C2": Row(
        "MSG_SOCK_DEVMEM at ordinary data: a plain copy and no control message",
        "holds",
        test=_RECEIVE + "test_msg_sock_devmem_at_ordinary_data_is_a_copy_without_cmsgs",
    ),
    "C3": Row(
        "one call never mixes devmem and ordinary data",
        "holds",
        test=_RECEIVE + "test_one_call_never_mixes_devmem_and_ordinary_data",
    ),
    "C4": Row(
        "control buffer too small: ETOOSMALL or a short count, never a lost token",
        "holds", test="tests/semantics/test_receive.py::"
        "test_a_control_buffer_for_no_fragment_is_etoosmall_and_nothing_is_consumed, tests/semantics/"
        "test_receive.py::test_a_control_buffer_that_fills_up_ends_the_call_with_no_invisible_token",
    ),
    "C5": Row(
        "a bad buffer for the linear part: EFAULT",
        "holds",
        test=_RECEIVE + "test_a_bad_buffer_for_the_linear_part_is_efault_and_nothing_is_consumed",
    ),
    "C6": _absent("a fragment of another provider: ENODEV",
                  "dma-bufs are the only memory providers here"),
    "C7": Row(
        "the token table cannot grow: ENOMEM or EBUSY",
        "holds",
        "EBUSY when 2^31-1 tokens are held; the test lowers that limit",
        _RECEIVE + "test_a_full_token_table_is_ebusy_or_the_short_count_until_a_token_returns",
    ),
    "C8": _absent("fragments end before the requested bytes: EFAULT",
                  "lengths and fragments cannot disagree here"),
    "C9": Row(
        "a listening socket: ENOTCONN",
        "holds",
        test=_RECEIVE + "test_a_listening_socket_is_enotconn",
    ),
    "C10": Row(
        "MSG_TRUNC discards and counts devmem data, without MSG_SOCK_DEVMEM too",
        "holds",
        test=_RECEIVE + "test_msg_trunc_discards_and_counts_without_cmsg_or_token",
    ),
    "C11": Row(
        "MSG_PEEK makes new tokens each time",
        "holds",
        test=_RECEIVE + "test_msg_peek_gives_the_same_fragments_and_new_tokens_each_time",
    ),
    "C12": Row("zero-copy receive, splice and packet sockets see no payload",
        "holds", "captures take the place of packet sockets; there is no zero-copy receive and no splice",
        "tests/nic/test_capture.py::test_of_device_memory_only_headers_are_stored"),
    # --- D: freeing
    "D1": Row(
        "DONTNEED on a socket that is not TCP: EBADF",
        "holds",
        test=_FREEING + "test_on_a_channel_that_serves_no_tcp_socket_it_is_ebadf",
    ),
    "D2": Row(
        "DONTNEED shorter than 4 bytes: EINVAL",
        "holds",
        test=_FREEING + "test_a_value_shorter_than_four_bytes_is_einval",
    ),
    "D3": Row(
        "DONTNEED not of whole tokens, or of more than 128: EINVAL, nothing freed",
        "holds",
        test=_FREEING + "test_no_whole_tokens_or_more_than_128_is_einval_and_nothing_is_freed",
    ),
    "D4": _absent("DONTNEED without memory: ENOMEM; from bad memory: EFAULT",
                  "option values are part of the call, and need no allocation"),
    "D5": Row(
        "an unknown, returned or foreign token is skipped, and uses up the limit",
        "holds", test="tests/semantics/test_freeing.py::"
        "test_unknown_and_returned_tokens_are_skipped_and_not_counted, tests/semantics/test_freeing.py::"
        "test_unknown_tokens_use_up_the_limit, tests/semantics/test_freeing.py::"
        "test_another_sockets_tokens_are_not_touched",
    ),
    "D6": Row(
        "more than 1024 frags: the first 1024 visited are freed and counted",
        "holds",
        test=_FREEING + "test_of_more_than_1024_the_first_visited_are_freed_and_counted",
    ),
    "D7": Row(
        "DONTNEED returns the number of frags freed",
        "holds",
        test=_FREEING + "test_it_returns_how_many_it_freed_whatever_the_batch",
    ),
    "D8": Row(
        "token_count 0 does nothing",
        "holds",
        test=_FREEING + "test_a_count_of_zero_does_nothing",
    ),
    "D9": Row(
        "getsockopt(SO_DEVMEM_DONTNEED): ENOPROTOOPT",
        "holds",
        test=_FREEING + "test_there_is_nothing_to_get",
    ),
    # --- E: transmit
    "E1": Row(
        "a malformed dmabuf control message: EINVAL",
        "holds",
        test=_TRANSMIT + "test_a_dmabuf_control_message_of_another_length_is_einval",
    ),
    "E2": Row(
        "a dmabuf id without MSG_ZEROCOPY or SO_ZEROCOPY: EINVAL",
        "holds",
        test=_TRANSMIT + "test_a_dmabuf_id_without_msg_zerocopy_or_so_zerocopy_is_einval",
    ),
    "E3": Row(
        "an id that is unknown, unbound or an rx binding's: EINVAL",
        "holds",
        test=_TRANSMIT + "test_an_unknown_unbound_or_receiving_id_is_einval",
    ),
    "E4": Row(
        "no route: EHOSTUNREACH",
        "holds",
        "as in the kernel, the old route counts until a packet has found that it is obsolete",
        "tests/path/test_routes.py::test_device_memory_without_a_route_is_ehostunreach",
    ),
    "E5": Row(
        "the route leaves by another device than the bound one: ENODEV",
        "holds",
        test=_TRANSMIT + "test_a_route_by_another_device_is_enodev, tests/path/test_routes.py::"
        "test_device_memory_of_another_device_than_the_new_routes_is_enodev",
    ),
    "E6": Row(
        "an offset beyond the dma-buf: EFAULT, or the short count",
        "holds",
        test=_TRANSMIT + "test_an_offset_beyond_the_dmabuf_undoes_the_skb",
    ),
    "E7": _absent("an iterator that is not a user iovec: EFAULT",
                  "there is no io_uring and no splice"),
    "E8": Row(
        "more than 17 frags: a new skb, which the application does not see",
        "holds",
        test=_TRANSMIT + "test_seventeen_fragments_fill_an_skb",
    ),
    "E9": _absent("a second notifier: a new skb, which the application does not see",
                  "an application cannot tell"),
    "E10": Row(
        "readable and unreadable frags never share an skb",
        "holds",
        test=_TRANSMIT + "test_readable_and_unreadable_bytes_never_share_a_packet",
    ),
    "E11": Row(
        "no notifier can be allocated: ENOBUFS",
        "holds",
        test=_TRANSMIT + "test_without_a_notifier_a_zero_copy_send_is_enobufs",
    ),
    "E12": Row(
        "id 0 means no dma-buf",
        "holds",
        test=_TRANSMIT + "test_id_0_means_no_dma_buf_and_an_offset_is_a_bad_address",
    ),
    "E13": Row(
        "SO_ZEROCOPY other than 0 or 1: EINVAL",
        "holds",
        test=_TRANSMIT + "test_so_zerocopy_is_0_or_1",
    ),
    "E14": Row(
        "an skb that reaches a wrong device is dropped in silence and counted",
        "holds",
        test=_TRANSMIT + "test_what_the_device_cannot_send_is_dropped_in_silence_and_tcp_repeats_it",
    ),
    "E15": Row(
        "a checksum or copy in software: the packet is dropped",
        "holds",
        "a copy when there is no scatter-gather; the NIC always computes checksums",
        _TRANSMIT + "test_what_would_have_to_be_copied_is_dropped_in_silence_and_tcp_repeats_it",
    ),
    "E16": Row(
        "a route without scatter-gather: EFAULT",
        "holds",
        "checked at each call; the kernel checks when the connection is made",
        _TRANSMIT + "test_without_scatter_gather_a_dma_buf_is_efault_and_ordinary_memory_goes",
    ),
}  # fmt: skip
