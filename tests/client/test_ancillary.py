"""What sendmsg makes of the ranges it is given, and recvmsg of an event of the error queue."""

from __future__ import annotations

import errno
import socket

import pytest

from nodes.client.ancillary import completion, dmabuf_range, of_sendmsg
from nodes.uapi import socket as uapi
from nodes.uapi.syscalls import Completion


def test_a_range_is_two_integers() -> None:
    assert dmabuf_range((4096, 100)) == (4096, 100)
    assert dmabuf_range([0, -1]) == (0, -1)  # for the endpoint to refuse, as the kernel does


@pytest.mark.parametrize("wrong", [(0,), (0, 1, 2), (0, 1.5), ("0", 1)])
def test_another_pair_is_a_type_error_that_shows_it(wrong: object) -> None:
    with pytest.raises(TypeError, match="a range of a dma-buf is"):
        dmabuf_range(wrong)


@pytest.mark.parametrize("wrong", [(1 << 64, 1), (-1, 1), (0, 1 << 64)])
def test_what_64_bits_cannot_hold_overflows(wrong: tuple[int, int]) -> None:
    with pytest.raises(OverflowError, match="64 bits"):
        dmabuf_range(wrong)


def test_an_ordinary_buffer_is_efault() -> None:
    """Even one of two bytes."""
    with pytest.raises(OSError) as caught:
        dmabuf_range(b"ab")
    assert caught.value.errno == errno.EFAULT


ERR = uapi.EXTENDED_ERR.pack(113, uapi.SO_EE_ORIGIN_ICMP, 3, 1, 0, 0, 0)


def test_an_offender_is_a_sockaddr_without_a_port() -> None:
    event = Completion(ERR, (), b"", ("10.88.0.1", 9), "10.77.0.2")
    messages, flags = completion(event, socket.AF_INET, 100)
    assert flags == uapi.MSG_ERRQUEUE
    assert messages == [(0, 11, ERR + bytes.fromhex("020000000a4d00020000000000000000"))]
    event = Completion(ERR, (), b"", ("fd88::1", 9), "fd77::2")
    ((level, kind, body),), _ = completion(event, socket.AF_INET6, 100)
    assert (level, kind) == (41, 25)
    assert body[16:].hex() == "0a00000000000000" + "fd77" + "0" * 26 + "02" + "0" * 8


def test_nobody_offended_is_zeros() -> None:
    for family, size in ((socket.AF_INET, 16), (socket.AF_INET6, 28)):
        ((_, _, body),), _ = completion(Completion(ERR), family, 100)
        assert body == ERR + bytes(size)


def test_what_means_something_on_af_unix_alone_is_ignored() -> None:
    descriptors = [(uapi.SOL_SOCKET, kind, b"any") for kind in (socket.SCM_RIGHTS, socket.SCM_CREDENTIALS)]
    assert of_sendmsg(descriptors) == (0, -1)
    with pytest.raises(OSError, match="control message 3"):
        of_sendmsg([(uapi.SOL_SOCKET, 3, b"")])
