"""Table C: what recvmsg does with device memory, one test a rule."""

from __future__ import annotations

import errno
import random
from collections.abc import Iterator
from typing import cast

import pytest

from nodes.machine.memory import Region
from nodes.nic.nic_model import MODELS
from nodes.sock.devmem_socket import DevmemSocket
from nodes.sock.recvmsg import Received, RecvCall, RecvRequest, recvmsg
from nodes.sock.user_frags import UserFrags
from nodes.syscall.socket_calls import RecvMsgCall
from nodes.syscall.system_call import BLOCKED, Caller
from nodes.uapi import socket as uapi
from nodes.uapi.socket import DMABUF_CMSG, MSG_SOCK_DEVMEM, DmabufCmsg
from nodes.uapi.syscalls import RecvMsg
from tests.path.conftest import assert_nothing_left
from tests.path.two_hosts import DEVMEM_PORT, DeviceKind, TwoHosts
from tests.semantics.refusal import errno_of

MIB = 1 << 20
NO_BUFFER = memoryview(b"")


class Stream:
    """A connection to host b. A test chooses whether its packets go to the bound queue or to another."""

    def __init__(self, hosts: TwoHosts) -> None:
        self.hosts = hosts
        self.memory: Region = hosts.b.bind_rx(MIB)
        self.rules = dict(hosts.b.device.steering.rules)
        self.client, self.server = hosts.connect(DEVMEM_PORT)

    def send(self, data: bytes, bound: bool = True) -> None:
        """`data` arrives in device memory if `bound`, else in host memory."""
        steering, expected = self.hosts.b.device.steering, self.server.recv_queue.length + len(data)
        steering.rules = dict(self.rules) if bound else {}
        self.hosts.b.device.steering_changed()
        assert self.hosts.a.send(self.client, data) == len(data)
        self.hosts.run_until(lambda: self.server.recv_queue.length == expected)

    def call(
        self, length: int, flags: int = MSG_SOCK_DEVMEM, control: int = 1 << 14, buffer: int = 0
    ) -> tuple[Received, list[DmabufCmsg], bytes]:
        """recvmsg: its result, its control messages, and the bytes that it copied."""
        memory = memoryview(bytearray(buffer))
        got = recvmsg(self.server, RecvRequest(length, control, flags, memory), self.hosts.now)
        cmsgs = [DmabufCmsg(*fields) for fields in DMABUF_CMSG.iter_unpack(got.cmsgs)]
        return got, cmsgs, bytes(memory[: got.copied])

    def bytes_of(self, cmsgs: list[DmabufCmsg], copied: bytes = b"") -> bytes:
        """The bytes that the control messages describe, in order."""
        parts, at = [], 0
        for c in cmsgs:
            if c.dmabuf_id:
                parts.append(bytes(self.memory.view[c.frag_offset : c.frag_offset + c.frag_size]))
            else:
                parts.append(copied[at : at + c.frag_size])
                at += c.frag_size
        return b"".join(parts)

    @property
    def waits(self) -> int:
        return self.server.recv_queue.length


@pytest.fixture
def stream(hosts: TwoHosts) -> Iterator[Stream]:
    each = Stream(hosts)
    yield each
    each.memory.close()


def test_without_msg_sock_devmem_device_memory_is_efault_or_a_short_count(stream: Stream) -> None:
    stream.send(b"host", bound=False)
    stream.send(b"device")
    got, _, data = stream.call(100, flags=0, buffer=100)
    assert (got.count, data) == (4, b"host")
    for flags in (0, uapi.MSG_DONTWAIT, uapi.MSG_PEEK, uapi.MSG_WAITALL):
        assert errno_of(stream.call, 100, flags, 1 << 14, 100) == errno.EFAULT
    assert stream.bytes_of(stream.call(100)[1]) == b"device"


def test_msg_sock_devmem_at_ordinary_data_is_a_copy_without_cmsgs(stream: Stream) -> None:
    stream.send(b"ordinary", bound=False)
    got, cmsgs, data = stream.call(100, buffer=100)
    assert (got.count, cmsgs, data) == (8, [], b"ordinary")


@pytest.mark.parametrize("first", [True, False], ids=["devmem first", "ordinary first"])
@pytest.mark.parametrize("flags", [0, uapi.MSG_WAITALL, uapi.MSG_DONTWAIT])
def test_one_call_never_mixes_devmem_and_ordinary_data(stream: Stream, first: bool, flags: int) -> None:
    """Where the kind changes, MSG_WAITALL does not wait for more either."""
    stream.send(b"a" * 3000, bound=first)
    stream.send(b"b" * 2000, bound=not first)
    stream.send(b"c" * 1000, bound=first)
    seen = []
    for _ in range(3):
        got, cmsgs, data = stream.call(10_000, flags | MSG_SOCK_DEVMEM, buffer=10_000)
        seen.append((got.count, bool(cmsgs), (stream.bytes_of(cmsgs) or data)[:1]))
        if seen[-1][0] == 2000:  # no other kind follows the last bytes: MSG_WAITALL would wait
            flags &= ~uapi.MSG_WAITALL
    assert seen == [(3000, first, b"a"), (2000, not first, b"b"), (1000, first, b"c")]


@pytest.mark.parametrize("control", [0, 16, 39])
def test_a_control_buffer_for_no_fragment_is_etoosmall_and_nothing_is_consumed(
    stream: Stream, control: int
) -> None:
    stream.send(b"x" * 9000)
    for flags in (0, uapi.MSG_WAITALL):
        assert errno_of(stream.call, 9000, flags | MSG_SOCK_DEVMEM, control) == uapi.ETOOSMALL
    assert (stream.waits, len(stream.server.user_frags)) == (9000, 0)


@pytest.mark.parametrize("fragments", [1, 2, 3, 6])
@pytest.mark.parametrize("spare", [0, 1, 39])
def test_a_control_buffer_that_fills_up_ends_the_call_with_no_invisible_token(
    stream: Stream, fragments: int, spare: int
) -> None:
    content = random.Random(fragments).randbytes(40_000)
    stream.send(content)
    # MSG_WAITALL for more bytes than have arrived: with a full control buffer the call does not wait.
    flags = MSG_SOCK_DEVMEM | uapi.MSG_WAITALL
    got, cmsgs, _ = stream.call(100_000, flags, control=fragments * 40 + spare)
    assert len(cmsgs) == fragments == len(stream.server.user_frags)
    assert got.count == sum(c.frag_size for c in cmsgs)
    assert stream.bytes_of(cmsgs) == content[: got.count]
    assert stream.waits == 40_000 - got.count


def test_a_full_token_table_is_ebusy_or_the_short_count_until_a_token_returns(stream: Stream) -> None:
    content = random.Random(7).randbytes(5 * 4096)
    stream.send(content)
    stream.server.user_frags = UserFrags(tokens_max=2)
    for flags in (MSG_SOCK_DEVMEM, MSG_SOCK_DEVMEM | uapi.MSG_WAITALL):
        got, cmsgs, _ = stream.call(len(content), flags | uapi.MSG_PEEK)
        assert [c.frag_token for c in cmsgs] == [1, 2]
        assert stream.bytes_of(cmsgs) == content[: got.count]
        assert errno_of(stream.call, len(content), flags) == errno.EBUSY
        assert (stream.waits, stream.server.user_frags.dontneed([(1, 2)])) == (len(content), 2)
    got, cmsgs, _ = stream.call(len(content))
    assert stream.waits == len(content) - got.count
    assert stream.server.user_frags.dontneed([(2, 1)]) == 1
    assert [c.frag_token for c in stream.call(len(content))[1]] == [2]


@pytest.fixture
def unsplit() -> Iterator[Stream]:
    """A NIC that splits after 128 bytes, not where the headers end."""
    two = TwoHosts(kind=DeviceKind(nic=MODELS["fixed-split"]))
    each = Stream(two)
    yield each
    each.memory.close()
    assert_nothing_left(two)


def test_the_linear_part_of_a_packet_comes_before_its_fragments(unsplit: Stream) -> None:
    content = random.Random(3).randbytes(1400)
    unsplit.send(content)
    unsplit.send(content[::-1])
    got, cmsgs, copied = unsplit.call(10_000, buffer=10_000)
    linear = [i for i, c in enumerate(cmsgs) if not c.dmabuf_id]
    assert linear[0] == 0
    assert len(linear) == 2  # one for each packet
    assert all((c.frag_token, c.frag_offset) == (0, 0) for c in cmsgs if not c.dmabuf_id)
    assert got.copied == sum(cmsgs[i].frag_size for i in linear) > 0
    assert unsplit.bytes_of(cmsgs, copied) == content + content[::-1]
    assert len(unsplit.server.user_frags) == len(cmsgs) - 2


def test_a_bad_buffer_for_the_linear_part_is_efault_and_nothing_is_consumed(unsplit: Stream) -> None:
    unsplit.send(b"x" * 3000)
    assert errno_of(unsplit.call, 3000) == errno.EFAULT
    assert errno_of(unsplit.call, 3000, MSG_SOCK_DEVMEM, 1 << 14, 10) == errno.EFAULT
    assert (unsplit.waits, len(unsplit.server.user_frags)) == (3000, 0)


def test_a_bad_buffer_for_a_later_linear_part_gives_the_short_count(unsplit: Stream) -> None:
    unsplit.send(b"x" * 3000)
    unsplit.send(b"y" * 3000)
    _, cmsgs, _ = unsplit.call(6000, flags=MSG_SOCK_DEVMEM | uapi.MSG_PEEK, buffer=6000)
    got, _, _ = unsplit.call(6000, buffer=cmsgs[0].frag_size)
    assert got.count == 3000
    assert unsplit.waits == 3000


def test_a_packet_that_lies_in_host_memory_as_a_whole_is_ordinary_data(unsplit: Stream) -> None:
    """The kernel's skb is readable then, also when it was received on a bound queue."""
    unsplit.send(b"short")
    got, cmsgs, data = unsplit.call(100, buffer=100)
    assert (got.count, cmsgs, data) == (5, [], b"short")


def test_a_listening_socket_is_enotconn(stream: Stream) -> None:
    listener = stream.hosts.b.socket()
    listener.bind(0, 6000)
    listener.listen(1)
    request = RecvRequest(10, 100, MSG_SOCK_DEVMEM, NO_BUFFER)
    assert errno_of(recvmsg, listener, request, stream.hosts.now) == errno.ENOTCONN


def test_msg_oob_without_urgent_data_is_einval(stream: Stream) -> None:
    stream.send(b"x")
    assert errno_of(stream.call, 1, MSG_SOCK_DEVMEM | uapi.MSG_OOB) == errno.EINVAL


@pytest.mark.parametrize("flags", [0, MSG_SOCK_DEVMEM])
def test_msg_trunc_discards_and_counts_without_cmsg_or_token(stream: Stream, flags: int) -> None:
    stream.send(b"x" * 5000)
    got, cmsgs, _ = stream.call(3000, flags | uapi.MSG_TRUNC, control=0)
    assert (got.count, cmsgs, len(stream.server.user_frags), stream.waits) == (3000, [], 0, 2000)
    got, _, _ = stream.call(9000, flags | uapi.MSG_TRUNC | uapi.MSG_PEEK, control=0)
    assert (got.count, stream.waits) == (2000, 2000)


def test_msg_peek_gives_the_same_fragments_and_new_tokens_each_time(stream: Stream) -> None:
    stream.send(b"x" * 5000)
    flags = MSG_SOCK_DEVMEM | uapi.MSG_PEEK
    seen = [stream.call(5000, flags)[1] for _ in range(3)]
    assert all([c[:2] for c in each] == [c[:2] for c in seen[0]] for each in seen)
    tokens = [c.frag_token for each in seen for c in each]
    assert len({*tokens}) == len(tokens) == len(stream.server.user_frags)
    assert stream.hosts.b.dontneed(stream.server, *tokens) == len(tokens)
    assert stream.waits == 5000


def test_a_fragment_that_two_calls_share_has_a_token_for_each(stream: Stream) -> None:
    stream.send(b"x" * 1000)
    _, first, _ = stream.call(400)
    _, second, _ = stream.call(1000)
    assert [c.frag_size for c in (*first, *second)] == [400, 600]
    assert second[0].frag_offset == first[0].frag_offset + 400
    assert first[0].frag_token != second[0].frag_token


def test_the_buffers_lengths_are_a_budget_that_device_memory_uses_up_untouched(stream: Stream) -> None:
    stream.send(b"x" * 5000)
    got, _, data = stream.call(3000, buffer=500)
    assert (got.count, got.copied, data) == (3000, 0, b"")
    assert stream.waits == 2000


def test_so_rcvlowat_and_msg_waitall_wait_for_as_much_as_they_say(stream: Stream) -> None:
    stream.server.options.rcvlowat = 2000
    stream.send(b"x" * 1000)
    assert errno_of(stream.call, 5000) == errno.EAGAIN
    assert stream.call(5000, MSG_SOCK_DEVMEM | uapi.MSG_DONTWAIT | uapi.MSG_PEEK)[0].count == 1000
    stream.send(b"x" * 1000)
    assert errno_of(stream.call, 5000, MSG_SOCK_DEVMEM | uapi.MSG_WAITALL) == errno.EAGAIN
    assert stream.call(5000)[0].count == 2000


def test_msg_waitall_takes_more_than_the_receive_buffer_holds(hosts: TwoHosts) -> None:
    memory = hosts.b.bind_rx(4 * MIB)
    listener = hosts.b.socket()
    listener.options.receive_buffer_bytes = 256 << 10
    listener.bind(0, DEVMEM_PORT)
    listener.listen(1)
    client = hosts.a.socket()
    client.start_connect(hosts.b.address, DEVMEM_PORT, hosts.now)
    hosts.run_until(lambda: bool(listener.accept_queue))
    server = listener.accept()
    hosts.b.sockets.append(server)
    content = random.Random(4).randbytes(MIB)
    assert hosts.a.send(client, content) == MIB
    flags = MSG_SOCK_DEVMEM | uapi.MSG_WAITALL
    call = RecvCall(server, RecvRequest(MIB, 1 << 20, flags, NO_BUFFER))
    received: list[Received] = []
    hosts.run_until(lambda: attempted(call, received, hosts))
    cmsgs = [DmabufCmsg(*fields) for fields in DMABUF_CMSG.iter_unpack(received[0].cmsgs)]
    assert received[0].count == MIB
    found = b"".join(bytes(memory.view[c.frag_offset : c.frag_offset + c.frag_size]) for c in cmsgs)
    assert found == content
    memory.close()


def attempted(call: RecvCall, into: list[Received], hosts: TwoHosts) -> bool:
    try:
        into.append(call.attempt(hosts.now))
    except BlockingIOError:
        return False
    return True


@pytest.mark.parametrize("seed", range(3))
def test_a_flow_that_moves_between_queues_loses_and_mixes_nothing(stream: Stream, seed: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    expected, received = bytearray(), bytearray()
    for _ in range(60):
        data = chance.randbytes(chance.randrange(1, 9000))
        stream.send(data, bound=chance.random() < 0.5)
        expected += data
        while stream.waits > chance.randrange(20_000):
            received += taken(stream, chance.randrange(1, 30_000), chance.choice((40, 120, 1 << 14)))
    while stream.waits:
        received += taken(stream, MIB, 1 << 14)
    assert received == expected


def taken(stream: Stream, length: int, control: int) -> bytes:
    """The bytes of one call, whose tokens are returned."""
    got, cmsgs, data = stream.call(length, control=control, buffer=length)
    found = stream.bytes_of(cmsgs, data) if cmsgs else data
    assert len(found) == got.count
    assert not (cmsgs and got.copied)
    server: DevmemSocket = stream.server
    stream.hosts.b.dontneed(server, *(c.frag_token for c in cmsgs))
    return found


def test_a_receive_that_must_wait_says_so_and_at_its_deadline_it_fails(hosts: TwoHosts) -> None:
    """Without an exception as long as it may wait: there is one of each message that a rank waits for."""
    _, server = hosts.connect(DEVMEM_PORT)
    asked = RecvMsg(length=100, control_bytes=0, flags=0, into=None, timeout_s=None)
    call = RecvMsgCall(server, asked, cast(Caller, None))
    assert call.attempt(hosts.now, True) is BLOCKED
    with pytest.raises(BlockingIOError):
        call.attempt(hosts.now, False)
