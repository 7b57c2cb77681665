"""Netcat over device memory: `python -m nodes.client.ncdevmem --help`.

In: a host's channel, addresses, lines to send on standard input. Out: the received bytes on standard output,
or whether they are the expected pattern; a log on standard error; exit status 0 or 1, 2 for wrong options,
130 or 143 when a signal ended it. Owns a dma-buf and its binding. Options, modes and output are those of the
kernel's tool, tools/testing/selftests/drivers/net/hw/ncdevmem.c: with -l it receives into device memory,
without -l it sends lines from it, and without addresses it checks what the driver must refuse. The peer may
be any netcat.
"""

from __future__ import annotations

import argparse
import socket as linux
import sys
from contextlib import ExitStack, closing
from dataclasses import dataclass

from nodes.client.address import Address
from nodes.client.host import Host, HostError
from nodes.client.interruption import Stopped, catch_signals, ignore_signals
from nodes.client.ncdevmem_nic import NicConfiguration
from nodes.client.ncdevmem_options import WrongOption, ip_address, parse
from nodes.client.netdev import Attributes
from nodes.client.socket import Socket
from nodes.machine import dmabuf
from nodes.machine.accelerator import Accelerator
from nodes.machine.ledger import Ledger
from nodes.machine.memory import Region
from nodes.uapi import socket as uapi

_MEMORY_BYTES = 16000 * uapi.PAGE_SIZE
_CONTROL_BYTES = 80000
_CALL_BYTES = 819200
_COMPLETION_S = 0.5
_WRONG_MAX = 20


class Failure(RuntimeError):
    """Why the program ends with status 1; one sentence."""


@dataclass(frozen=True)
class Queues:
    """`count` rx queues from `first` on."""

    first: int
    count: int

    def ids(self) -> list[Attributes]:
        return [{"type": "rx", "id": self.first + i} for i in range(self.count)]


def main(argv: list[str] | None = None) -> int:
    try:
        options = parse(argv)
        catch_signals()
        run(options)
    except WrongOption as wrong:
        _say(f"ncdevmem: {wrong}")
        return 2
    except Stopped as stopped:
        _say(f"ncdevmem: stopped by {stopped.signal.name}")
        return 128 + stopped.signal
    except (Failure, HostError) as failure:
        _say(f"ncdevmem: {failure}")
        return 1
    except OSError as failure:
        _say(f"ncdevmem: {failure.strerror or failure}")
        return 1
    return 0


def run(options: argparse.Namespace) -> None:
    """Raises Failure, Stopped, HostError, OSError."""
    with ExitStack() as stack:
        host = stack.enter_context(closing(Host(options.channel)))
        if options.ifname != host.ifname:
            raise Failure(f"-f {options.ifname!r}: this host's interface is {host.ifname!r}")
        _say(f"using ifindex={host.ifindex}")
        queues = _queues(options, host)
        memory = stack.enter_context(closing(dmabuf.export(_MEMORY_BYTES)))
        try:
            if options.probing:
                _probe(options, host, queues, memory, stack)
            elif options.listen:
                Server(options, host, queues, memory).serve(stack)
            else:
                _client(options, host, memory, stack)
        finally:
            ignore_signals()  # what `stack` restores now is restored completely


def _queues(options: argparse.Namespace, host: Host) -> Queues:
    """The queues of -t and -q; without them the last one, or to probe the upper half."""
    count = host.ethtool.rx_queue_count()
    if options.first is not None:
        queues = Queues(options.first, options.count)
        if queues.first + queues.count > count:
            raise Failure(
                f"-t {queues.first} -q {queues.count}: the device has {count} rx queues, 0 to {count - 1}"
            )
        return queues
    if count < 2:
        raise Failure(f"the device has {count} rx queue: start its endpoint with --rx-queues 2 or more")
    queues = Queues(count // 2, count // 2) if options.probing else Queues(count - 1, 1)
    _say(f"using queues {queues.first}..{queues.first + queues.count}")
    return queues


def _bind_rx(
    stack: ExitStack, options: argparse.Namespace, memory: Region, queues: list[Attributes]
) -> int:
    """Bind through a control channel of its own, whose end is the binding's; returns the dma-buf's id."""
    owner = stack.enter_context(closing(Host(options.channel)))
    request: Attributes = {"ifindex": owner.ifindex, "fd": memory.fd, "queues": queues}
    if options.rx_page_size is not None:
        request["rx-page-size"] = options.rx_page_size
    dmabuf_id = int(owner.netdev.bind_rx(request)["id"])
    _say(f"got dmabuf id={dmabuf_id}")
    return dmabuf_id


# --- the server


class Server:
    """One connection, received into device memory."""

    def __init__(self, options: argparse.Namespace, host: Host, queues: Queues, memory: Region) -> None:
        self._options = options
        self._host = host
        self._queues = queues
        self._memory = memory
        self._pattern = Pattern(options.validate) if options.validate else None
        self._accelerator = Accelerator(Ledger())
        self._total = 0
        self._aligned = self._unaligned = 0

    def serve(self, stack: ExitStack) -> None:
        family, address = _endpoint(self._options.server, self._options.port)
        if not self._options.keep_nic:
            nic = NicConfiguration(self._host, self._options.channel, stack)
            nic.free(self._queues.first)
            nic.steer(self._rule(family, address))
        self._dmabuf_id = _bind_rx(stack, self._options, self._memory, self._queues.ids())
        listener = stack.enter_context(closing(self._host.socket(family)))
        _say(f"binding to address {address[0]}:{address[1]}")
        listener.setsockopt(uapi.SOL_SOCKET, linux.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1)
        _say(f"Waiting for a connection on {address[0]}:{address[1]}")
        sock, peer = listener.accept()
        stack.enter_context(closing(sock))
        _say(f"Got connection from {peer[0]}:{peer[1]}")
        while self._receive(sock):
            _say(f"total_received={self._total}")
        _say("client exited")
        _say(f"page_aligned_frags={self._aligned}, non_page_aligned_frags={self._unaligned}")
        _say("ncdevmem: ok")

    def _rule(self, family: int, address: Address) -> Attributes:
        """The rule that steers the connection to the first queue."""
        rule: Attributes = {
            "flow-type": "tcp4" if family == linux.AF_INET else "tcp6",
            "dst-ip": address[0], "dst-port": address[1], "queue": self._queues.first,
        }  # fmt: skip
        if self._options.client is not None:
            client = _endpoint(self._options.client, self._options.port)[1]
            rule |= {"src-ip": client[0], "src-port": client[1]}
        return rule

    def _receive(self, sock: Socket) -> bool:
        """One recvmsg; False at the end of the stream."""
        count, control, _, _ = sock.recvmsg_into(
            [bytearray(65536), _CALL_BYTES - 65536], _CONTROL_BYTES, uapi.MSG_SOCK_DEVMEM
        )
        _say(f"recvmsg ret={count}")
        if count and not control:
            raise Failure("flow steering error: data came in host memory alone")
        for _, kind, body in control:
            frag = uapi.DmabufCmsg._make(uapi.DMABUF_CMSG.unpack(body))
            if kind == uapi.SCM_DEVMEM_LINEAR:
                _say(f"SCM_DEVMEM_LINEAR. dmabuf_cmsg->frag_size={frag.frag_size}")
                if self._options.no_linear:
                    raise Failure(f"{frag.frag_size} bytes came in the linear buffer")
            else:
                self._take(sock, frag)
        return count > 0

    def _take(self, sock: Socket, frag: uapi.DmabufCmsg) -> None:
        page = uapi.PAGE_SIZE
        self._total += frag.frag_size
        _say(
            f"received frag_page={frag.frag_offset // page}, in_page_offset={frag.frag_offset % page}, "
            f"frag_offset={frag.frag_offset}, frag_size={frag.frag_size}, token={frag.frag_token}, "
            f"total_received={self._total}, dmabuf_id={frag.dmabuf_id}"
        )
        if frag.dmabuf_id != self._dmabuf_id:
            raise Failure(f"received on wrong dmabuf_id {frag.dmabuf_id}: flow steering error")
        if frag.frag_size % page:
            self._unaligned += 1
        else:
            self._aligned += 1
        data = memoryview(bytearray(frag.frag_size))
        self._accelerator.copy_to_host(self._memory, frag.frag_offset, data)
        if self._pattern is None:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        else:
            self._pattern.check(bytes(data))
        token = uapi.DMABUF_TOKEN.pack(frag.frag_token, 1)
        if sock.setsockopt(uapi.SOL_SOCKET, uapi.SO_DEVMEM_DONTNEED, token) != 1:
            raise Failure(f"SO_DEVMEM_DONTNEED did not take token {frag.frag_token}")


class Pattern:
    """Bytes 1 to n-1 and a newline, repeated without regard to where buffers end."""

    def __init__(self, n: int) -> None:
        self._period = bytes((*range(1, n), ord("\n")))
        self._at = 0
        self._wrong = 0

    def check(self, data: bytes) -> None:
        """Log each byte that differs; Failure when more than 20 have differed in all."""
        n = len(self._period)
        start = self._at % n
        expected = (self._period * ((start + len(data)) // n + 1))[start : start + len(data)]
        self._at += len(data)
        if data != expected:
            for index, (want, have) in enumerate(zip(expected, data, strict=True)):
                if want != have:
                    _say(f"Failed validation: expected={want}, actual={have}, index={index}")
                    self._wrong += 1
                if self._wrong > _WRONG_MAX:
                    raise Failure("validation failed.")
        print("Validated buffer", flush=True)


# --- the client


def _client(options: argparse.Namespace, host: Host, memory: Region, stack: ExitStack) -> None:
    family, server = _endpoint(options.server, options.port)
    owner = stack.enter_context(closing(Host(options.channel)))
    dmabuf_id = int(owner.netdev.bind_tx({"ifindex": owner.ifindex, "fd": memory.fd})["id"])
    _say(f"got tx dmabuf id={dmabuf_id}")
    sock = stack.enter_context(closing(host.socket(family)))
    if options.client is not None:
        sock.setsockopt(uapi.SOL_SOCKET, linux.SO_REUSEADDR, 1)
        sock.bind(_endpoint(options.client, options.port)[1])
    sock.setsockopt(uapi.SOL_SOCKET, uapi.SO_ZEROCOPY, 1)
    _say(f"Connect to {server[0]} {server[1]} (via {host.ifname})")
    sock.connect(server)
    accelerator = Accelerator(Ledger())
    control = [(uapi.SOL_SOCKET, uapi.SCM_DEVMEM_DMABUF, uapi.TX_DMABUF_ID.pack(dmabuf_id))]
    for number, line in enumerate(sys.stdin.buffer):
        if len(line) > memory.size:
            raise Failure(f"a line of {len(line)} bytes: the dma-buf holds {memory.size}")
        accelerator.copy_to_device(memoryview(line), memory, 0)
        sent = sock.sendmsg(_pieces(len(line), options.chunk), control, uapi.MSG_ZEROCOPY)
        _say(f"sendmsg_ret={sent}")
        if sent != len(line):
            raise Failure(f"did not send all bytes: {sent} of {len(line)}")
        _wait_completion(sock, number + 1)
    _say("ncdevmem: tx ok")


def _pieces(size: int, chunk: int | None) -> list[tuple[int, int]]:
    """(offset, length) of a line's pieces."""
    if not chunk:
        return [(0, size)]
    pieces = [(at, min(chunk, size - at)) for at in range(0, size, chunk)]
    if len(pieces) > uapi.UIO_MAXIOV:
        raise Failure(f"{size} bytes make {len(pieces)} pieces, {uapi.UIO_MAXIOV} at most: give a larger -z")
    return pieces


def _wait_completion(sock: Socket, count: int) -> None:
    sock.settimeout(_COMPLETION_S)
    try:
        sock.wait_completions(count)
    except TimeoutError:
        raise Failure("did not receive tx completion") from None
    finally:
        sock.settimeout(None)
    _, control, _, _ = sock.recvmsg(0, 100, uapi.MSG_ERRQUEUE)
    done = uapi.ExtendedErr._make(uapi.EXTENDED_ERR.unpack_from(control[0][2]))
    if done.ee_origin != uapi.SO_EE_ORIGIN_ZEROCOPY or done.ee_errno:
        raise Failure(f"wrong completion: origin {done.ee_origin}, errno {done.ee_errno}")
    _say(f"tx complete [{done.ee_info},{done.ee_data}]")


# --- without addresses: what the device must refuse


def _probe(options: argparse.Namespace, host: Host, queues: Queues, memory: Region, stack: ExitStack) -> None:
    """Four requests: bind without queues, bind without header split, bind, and remove a bound queue. All but
    the third must be refused."""
    nic = NicConfiguration(host, options.channel, stack)
    nic.free(queues.first)
    _must_fail(options, memory, [{}] * queues.count, "Binding empty queues array should have failed")
    nic.split_headers(False)
    _must_fail(options, memory, queues.ids(), "Configure dmabuf with header split off should have failed")
    nic.split_headers(True)
    _bind_rx(stack, options, memory, queues.ids())
    try:
        kind = "combined-count" if "combined-count" in host.ethtool.channels_get() else "rx-count"
        host.ethtool.channels_set({kind: queues.count})
    except OSError as refused:
        _say(f"refused: {refused.strerror}")
    else:
        raise Failure("Deactivating a bound queue should be illegal.")


def _must_fail(options: argparse.Namespace, memory: Region, queues: list[Attributes], sentence: str) -> None:
    with ExitStack() as bound:
        try:
            _bind_rx(bound, options, memory, queues)
        except OSError as refused:
            _say(f"refused: {refused.strerror}")
            return
        raise Failure(sentence)


def _endpoint(text: str, port: int) -> tuple[int, Address]:
    address = ip_address(text)
    return (linux.AF_INET if address.version == 4 else linux.AF_INET6), (str(address), port)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
