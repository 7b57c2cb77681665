"""Arguments as strace writes them."""

from __future__ import annotations

import socket
import struct

from nodes.supervisor import describe
from nodes.supervisor.layouts import Iovec
from nodes.uapi import socket as uapi


def test_sockets_addresses_and_options_have_their_names() -> None:
    flags = socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    assert describe.kind(10, flags, 6) == [
        "AF_INET6",
        "SOCK_STREAM|SOCK_CLOEXEC|SOCK_NONBLOCK",
        "IPPROTO_TCP",
    ]
    assert describe.kind(99, 9, 99) == ["99", "9", "99"]
    assert describe.address(("10.0.1.2", 80), socket.AF_INET) == (
        '{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("10.0.1.2")}'
    )
    assert describe.address(("fd00::1", 80), socket.AF_INET6) == (
        '{sa_family=AF_INET6, sin6_port=htons(80), inet_pton(AF_INET6, "fd00::1")}'
    )
    assert describe.option(1, 80) == ["SOL_SOCKET", "SO_DEVMEM_DONTNEED"]
    assert describe.option(6, 1) == ["SOL_TCP", "TCP_NODELAY"]
    assert describe.option(6, 999) == ["SOL_TCP", "999"]


def test_values_are_tokens_numbers_or_bytes() -> None:
    tokens = struct.pack("=IIII", 1, 2, 7, 1)
    assert describe.value(1, 80, tokens) == "[{token_start=1, token_count=2}, {token_start=7, token_count=1}]"
    assert describe.value(1, 2, struct.pack("=i", -5)) == "[-5]"
    assert describe.value(6, 13, b'cub"\0\n') == '"cub\\"\\0\\n"'
    assert describe.text(b"x" * 40) == '"' + "x" * 32 + '"...'


def test_a_message_shows_fragments_bindings_and_completions() -> None:
    frag = uapi.DMABUF_CMSG.pack(4096, 100, 3, 9, 0)
    sent = struct.pack("=I", 9)
    completion = uapi.EXTENDED_ERR.pack(0, 5, 0, 0, 0, 1, 4)
    assert describe.message([Iovec(0, 8)], [(1, 79, frag)], 0x2000000) == (
        "{msg_iov=[{iov_base=0x0, iov_len=8}], msg_control=[{cmsg_level=SOL_SOCKET, "
        "cmsg_type=SCM_DEVMEM_DMABUF, frag_offset=4096, frag_size=100, frag_token=3, dmabuf_id=9, flags=0}], "
        "msg_flags=MSG_SOCK_DEVMEM}"
    )
    assert "cmsg_type=SCM_DEVMEM_DMABUF, dmabuf_id=9}" in describe.message([], [(1, 79, sent)])
    assert "cmsg_type=IP_RECVERR, ee_errno=0, ee_origin=5, ee_type=0, ee_code=0, ee_info=1, ee_data=4}" in (
        describe.message([], [(0, 11, completion)])
    )
    assert describe.flags(0x2002) == "MSG_PEEK|MSG_ERRQUEUE"
    assert describe.flags(0) == "0"
