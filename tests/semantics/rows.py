"""What an application may rely on, rule by rule, and the test that proves each.

In: nothing. Out: `ROWS`, one entry a rule of the kernel's devmem behaviour: A control plane, B device-wide
rules, C receive, D freeing, E transmit. docs/semantics.md is generated from it (tests/semantics/document.py),
and tests/semantics/test_rows.py checks that every test named here exists. Sources, of Linux 6.18:
net/core/{devmem,netdev-genl,netdev_rx_queue,page_pool,sock}.c, net/ethtool/, net/ipv4/tcp.c.
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


_NO_XDP = "there is no XDP and no AF_XDP in this NIC"

ROWS: dict[str, Row] = {
    # --- A: bind-rx and bind-tx
    "A1": Row("bind-rx without CAP_NET_ADMIN: EPERM"),
    "A2": Row("bind-tx needs no privilege"),
    "A3": Row("ifindex, fd or queues missing: EINVAL, the attribute named as missing"),
    "A4": Row("an entry of queues without id or type: EINVAL"),
    "A5": Row("a tx queue in bind-rx: EINVAL"),
    "A6": Row("a queue type that is none, or ifindex 0: ERANGE by the policy"),
    "A7": Row("an rx queue that the device does not have: EINVAL"),
    "A8": Row("a queue named twice counts once"),
    "A9": Row("rx-page-size no power of two, or below a page: EINVAL or ERANGE"),
    "A10": Row("rx-page-size beyond what the device can do: EOPNOTSUPP"),
    "A11": Row("no device of that ifindex: ENODEV"),
    "A12": Row("a device that is not present: ENODEV"),
    "A13": Row("a driver without queue management: EOPNOTSUPP"),
    "A14": Row("a device without DMA: EOPNOTSUPP"),
    "A15": Row("queues of different DMA devices: EOPNOTSUPP"),
    "A16": Row("a descriptor that is not open: EBADF"),
    "A17": Row("a descriptor that is no dma-buf: EINVAL"),
    "A18": Row("the exporter refuses to attach or to map: its errno"),
    "A19": Row("a dma-buf that is no multiple of the net_iov size: EINVAL"),
    "A20": Row("a scatter entry that is not aligned to the net_iov size: EINVAL"),
    "A21": Row("more than 2^32-1 net_iovs: E2BIG"),
    "A22": Row("tcp-data-split off or unknown at bind: EINVAL"),
    "A23": Row("hds-thresh other than 0 at bind: EINVAL"),
    "A24": _absent("an XDP program on the device at bind: EEXIST", _NO_XDP),
    "A25": Row("a queue that has a memory provider: EEXIST"),
    "A26": _absent("a queue with an AF_XDP pool: EBUSY", _NO_XDP),
    "A27": _absent("a queue leased to a virtual device: EBUSY", "queue leasing (netkit) is not modelled"),
    "A28": Row("a driver that restarts the queue without the provider: ENODATA"),
    "A29": Row("a page pool without DMA mapping and sync: EOPNOTSUPP"),
    "A30": Row("a page pool of another order than the binding's net_iovs: E2BIG"),
    "A31": Row("bind-tx on a device without netmem TX: EOPNOTSUPP"),
    "A32": _absent("bind-tx on a virtual device without a leased queue: EOPNOTSUPP", "queue leasing (netkit)"
                   " is not modelled"),
    "A33": Row("out of memory: ENOMEM, and nothing is bound"),
    # --- B: while any rx queue has a memory provider
    "B1": Row("channel counts down to a bound queue, or to just above it: EINVAL"),
    "B2": Row("tcp-data-split off or auto while bound: EINVAL"),
    "B3": Row("hds-thresh above 0 while bound: EINVAL"),
    "B4": _absent("an XDP program while bound: EBUSY", _NO_XDP),
    "B5": _absent("AF_XDP zero-copy while bound: EBUSY", _NO_XDP),
    "B6": _absent("single-buffer XDP with tcp-data-split: EBUSY", _NO_XDP),
    "B7": _absent("tcp-data-split with single-buffer XDP: EINVAL", _NO_XDP),
    "B8": Row("channel counts below the RSS table's or a rule's queues: EINVAL"),
    # --- C: receive
    "C1": Row("recv without MSG_SOCK_DEVMEM at devmem data: EFAULT or the short count, and data stays"),
    "C2": Row("MSG_SOCK_DEVMEM at ordinary data: a plain copy and no control message"),
    "C3": Row("one call never mixes devmem and ordinary data"),
    "C4": Row("control buffer too small: ETOOSMALL or a short count, never a lost token"),
    "C5": Row("a bad buffer for the linear part: EFAULT"),
    "C6": Row("a fragment of another provider: ENODEV"),
    "C7": Row("the token table cannot grow: ENOMEM or EBUSY"),
    "C8": Row("fragments end before the bytes asked for: EFAULT"),
    "C9": Row("a listening socket: ENOTCONN"),
    "C10": Row("MSG_TRUNC discards and counts devmem data, without MSG_SOCK_DEVMEM too"),
    "C11": Row("MSG_PEEK makes new tokens each time"),
    "C12": Row("zero-copy receive, splice and packet sockets see no payload"),
    # --- D: freeing
    "D1": Row("DONTNEED on a socket that is not TCP: EBADF"),
    "D2": Row("DONTNEED shorter than 4 bytes: EINVAL"),
    "D3": Row("DONTNEED not of whole tokens, or of more than 128: EINVAL, nothing freed"),
    "D4": Row("DONTNEED without memory: ENOMEM; from bad memory: EFAULT"),
    "D5": Row("an unknown, returned or foreign token is skipped, and uses up the limit"),
    "D6": Row("more than 1024 frags: the first 1024 visited are freed and counted"),
    "D7": Row("DONTNEED returns the number of frags freed"),
    "D8": Row("token_count 0 does nothing"),
    "D9": Row("getsockopt(SO_DEVMEM_DONTNEED): ENOPROTOOPT"),
    # --- E: transmit
    "E1": Row("a malformed dmabuf control message: EINVAL"),
    "E2": Row("a dmabuf id without MSG_ZEROCOPY or SO_ZEROCOPY: EINVAL"),
    "E3": Row("an id that is unknown, unbound or an rx binding's: EINVAL"),
    "E4": Row("no route: EHOSTUNREACH"),
    "E5": Row("the route leaves by another device than the bound one: ENODEV"),
    "E6": Row("an offset beyond the dma-buf: EFAULT, or the short count"),
    "E7": Row("an iterator that is no user iovec: EFAULT"),
    "E8": Row("more than 17 frags: another skb, unseen"),
    "E9": Row("another notifier: another skb, unseen"),
    "E10": Row("readable and unreadable frags never share an skb"),
    "E11": Row("no notifier can be allocated: ENOBUFS"),
    "E12": Row("id 0 means no dma-buf"),
    "E13": Row("SO_ZEROCOPY other than 0 or 1: EINVAL"),
    "E14": Row("an skb that reaches a wrong device is dropped in silence and counted"),
    "E15": Row("a checksum or copy in software: the packet is dropped"),
    "E16": Row("a route without scatter-gather: EFAULT"),
}  # fmt: skip
