"""Netcat over device memory: `python -m nodes.client.ncdevmem --help`.

In: a host's channel, addresses, lines to send on standard input. Out: what was received on standard output,
or whether it is the expected pattern; what happened on standard error; exit status 0 or 1. Owns a dma-buf and
the binding of it. Options, modes and meanings are those of the kernel's own tool,
tools/testing/selftests/drivers/net/hw/ncdevmem.c: -l receives into device memory, without -l lines are sent
from it, without addresses the driver's refusals are probed. The other end may be any netcat.
"""

from __future__ import annotations

import argparse
import ipaddress
import os
import socket as linux
import sys
from contextlib import ExitStack, closing
from dataclasses import dataclass

from nodes import uapi
from nodes.client.host import Host, HostError
from nodes.client.netdev import Attributes
from nodes.client.socket import Address, Socket
from nodes.machine import dmabuf
from nodes.machine.accelerator import Accelerator
from nodes.machine.ledger import Ledger
from nodes.machine.memory import Region

CHANNEL_VARIABLE = "DEVMEM_CHANNEL"
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


def _parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m nodes.client.ncdevmem",
        description="Netcat over device memory. With -l receive, else send the lines of standard input; "
        "with neither -s nor -c check that the device refuses what it must.",
    )
    add = p.add_argument
    add("-l", action="store_true", dest="listen", help="listen and receive")
    add("-s", dest="server", metavar="ADDRESS", help="the server's address")
    add("-c", dest="client", metavar="ADDRESS", help="the client's address; of a server: steer only its flow")
    add("-p", dest="port", type=int, metavar="PORT")
    add("-v", dest="validate", type=int, metavar="N", help="expect bytes 1 to N-1 and a newline, repeated")
    add("-q", dest="count", type=int, metavar="N", help="number of rx queues to bind")
    add("-t", dest="first", type=int, metavar="QUEUE", help="the first of them")
    add("-f", dest="ifname", required=True, metavar="NAME", help="the host's interface")
    add("-z", dest="chunk", type=int, metavar="BYTES", help="send a line as pieces of so many bytes")
    add("-L", action="store_true", dest="no_linear", help="fail on any byte that came in host memory")
    add("-n", action="store_true", dest="keep_nic", help="leave the NIC's configuration alone")
    add("-b", dest="rx_page_size", type=int, metavar="BYTES", help="size of the net_iovs")
    add("--channel", default=os.environ.get(CHANNEL_VARIABLE), metavar="PATH",
        help=f"the host's system calls; default: ${CHANNEL_VARIABLE}")  # fmt: skip
    return p


def main(argv: list[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    try:
        run(options)
    except (Failure, HostError) as failure:
        _say(f"ncdevmem: {failure}")
        return 1
    except OSError as failure:
        _say(f"ncdevmem: {failure.strerror or failure}")
        return 1
    return 0


def run(options: argparse.Namespace) -> None:
    """Raises Failure, HostError, OSError."""
    if not options.channel:
        raise Failure(f"no channel: give --channel PATH or set {CHANNEL_VARIABLE}")
    if options.validate is not None and not 2 <= options.validate <= 256:
        raise Failure(f"-v {options.validate}: give 2 to 256")
    with ExitStack() as stack:
        host = stack.enter_context(closing(Host(options.channel)))
        if options.ifname != host.ifname:
            raise Failure(f"-f {options.ifname!r}: this host's interface is {host.ifname!r}")
        _say(f"using ifindex={host.ifindex}")
        probing = options.server is None and options.client is None
        queues = _queues(options, host, probing)
        memory = stack.enter_context(closing(dmabuf.export(_MEMORY_BYTES)))
        if probing:
            _probe(options, host, queues, memory)
            return
        for name, value in (("-s", options.server), ("-p", options.port)):
            if value is None:
                raise Failure(f"{name} is missing: give the server's address and port")
        if options.listen:
            Server(options, host, queues, memory).serve(stack)
        else:
            _client(options, host, memory, stack)


def _queues(options: argparse.Namespace, host: Host, probing: bool) -> Queues:
    """Those that were asked for; else the last one, to probe the upper half."""
    if (options.first is None) != (options.count is None):
        raise Failure("-t and -q go together: give both, or neither")
    if options.first is not None:
        return Queues(options.first, options.count)
    there = host.ethtool.rx_queue_count()
    if there < 2:
        raise Failure(f"the device has {there} rx queue: start its endpoint with --rx-queues 2 or more")
    queues = Queues(there // 2, there // 2) if probing else Queues(there - 1, 1)
    _say(f"using queues {queues.first}..{queues.first + queues.count}")
    return queues


def _bind_rx(
    stack: ExitStack, options: argparse.Namespace, memory: Region, queues: list[Attributes]
) -> int:
    """Bind through a connection of its own, which ends the binding when it is closed; returns the id."""
    owner = stack.enter_context(closing(Host(options.channel)))
    request: Attributes = {"ifindex": owner.ifindex, "fd": memory.fd, "queues": queues}
    if options.rx_page_size is not None:
        request["rx-page-size"] = options.rx_page_size
    dmabuf_id = int(owner.netdev.bind_rx(request)["id"])
    _say(f"got dmabuf id={dmabuf_id}")
    return dmabuf_id


def _split_headers(host: Host, on: bool) -> None:
    state = "enabled" if on else "disabled"
    host.ethtool.rings_set({"tcp-data-split": state})
    _say(f"TCP header split: {'on' if on else 'off'}")


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
            self._configure(family, address)
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

    def _configure(self, family: int, address: Address) -> None:
        """Rules, header split, RSS, and the flow's rule, in the selftests' order."""
        ethtool = self._host.ethtool
        for rule in ethtool.ntuple_get():
            ethtool.ntuple_delete({"location": rule["location"]})
        _split_headers(self._host, True)
        ethtool.rss_set({"equal": self._queues.first})
        rule = {
            "flow-type": "tcp4" if family == linux.AF_INET else "tcp6",
            "dst-ip": address[0], "dst-port": address[1], "queue": self._queues.first,
        }  # fmt: skip
        if self._options.client is not None:
            client = _endpoint(self._options.client, self._options.port)[1]
            rule |= {"src-ip": client[0], "src-port": client[1]}
        ethtool.ntuple_insert(rule)

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
    """Bytes 1 to n-1 and a newline, over and over, from one buffer to the next."""

    def __init__(self, n: int) -> None:
        self._period = bytes((*range(1, n), ord("\n")))
        self._at = 0
        self._wrong = 0

    def check(self, data: bytes) -> None:
        """Say what differs; Failure when it is more than 20 bytes in all."""
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
    except BlockingIOError:
        raise Failure("did not receive tx completion") from None
    finally:
        sock.settimeout(None)
    _, control, _, _ = sock.recvmsg(0, 100, uapi.MSG_ERRQUEUE)
    done = uapi.ExtendedErr._make(uapi.EXTENDED_ERR.unpack(control[0][2]))
    if done.ee_origin != uapi.SO_EE_ORIGIN_ZEROCOPY or done.ee_errno:
        raise Failure(f"wrong completion: origin {done.ee_origin}, errno {done.ee_errno}")
    _say(f"tx complete [{done.ee_info},{done.ee_data}]")


# --- neither: what the device must refuse


def _probe(options: argparse.Namespace, host: Host, queues: Queues, memory: Region) -> None:
    """Bind without queues, bind without header split, bind, and deactivate what is bound."""
    host.ethtool.rss_set({"equal": queues.first})
    _split_headers(host, True)
    _must_fail(options, memory, [{}] * queues.count, "Binding empty queues array should have failed")
    _split_headers(host, False)
    _must_fail(options, memory, queues.ids(), "Configure dmabuf with header split off should have failed")
    _split_headers(host, True)
    with ExitStack() as bound:
        _bind_rx(bound, options, memory, queues.ids())
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
    """The address family and address; ::ffff:a.b.c.d is a.b.c.d."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise Failure(f"{text!r} is not an IP address") from None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return linux.AF_INET6, (str(address), port)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else address
    return linux.AF_INET, (str(mapped), port)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
