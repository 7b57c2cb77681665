"""Device memory TCP with Python's own socket module, udmabuf's ioctls and mmap, as the kernel's ncdevmem has
it: `devmem.py receive BYTES` or `devmem.py send BYTES ADDRESS`. Bindings are made by the testbed's client.
"""

import ctypes
import fcntl
import mmap
import os
import select
import socket
import struct
import sys

from nodes.client.host import Host

PORT, QUEUE, SIZE = 5201, 7, 4 << 20
MSG_SOCK_DEVMEM, MSG_ZEROCOPY, MSG_ERRQUEUE = 0x2000000, 0x4000000, 0x2000
SO_ZEROCOPY, SCM_DEVMEM_DMABUF, SO_DEVMEM_DONTNEED = 60, 79, 80
UDMABUF_CREATE, DMA_BUF_IOCTL_SYNC = 0x40187542, 0x40086200
TOKENS_MAX = 128


class Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("len", ctypes.c_size_t))


class Msghdr(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p), ("namelen", ctypes.c_uint), ("iov", ctypes.c_void_p),
        ("iovlen", ctypes.c_size_t), ("control", ctypes.c_void_p), ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )  # fmt: skip


def udmabuf() -> tuple[int, mmap.mmap]:
    memfd = os.memfd_create("udmabuf-test", os.MFD_ALLOW_SEALING)
    os.ftruncate(memfd, SIZE)
    fcntl.fcntl(memfd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    device = os.open("/dev/udmabuf", os.O_RDWR)
    fd = fcntl.ioctl(device, UDMABUF_CREATE, bytearray(struct.pack("=IIQQ", memfd, 0, 0, SIZE)))
    fcntl.ioctl(fd, DMA_BUF_IOCTL_SYNC, bytearray(struct.pack("=Q", 2)))
    return fd, mmap.mmap(fd, SIZE)


def pattern(count: int) -> bytes:
    return (bytes(range(251)) * (count // 251 + 1))[:count]


def receive(host: Host, expected: int) -> None:
    fd, memory = udmabuf()
    host.ethtool.rings_set({"tcp-data-split": "enabled", "hds-thresh": 0})
    host.ethtool.rss_set({"equal": QUEUE})
    host.ethtool.ntuple_insert({"flow-type": "tcp4", "dst-port": PORT, "queue": QUEUE})
    queues = [{"type": "rx", "id": QUEUE}]
    dmabuf_id = host.netdev.bind_rx({"ifindex": host.ifindex, "fd": fd, "queues": queues})["id"]
    with socket.create_server(("0.0.0.0", PORT)) as listener:
        sock, _ = listener.accept()
    got = b""
    while True:
        data, cmsgs, _, _ = sock.recvmsg(819200, 100 * socket.CMSG_SPACE(24), MSG_SOCK_DEVMEM)
        if not data and not cmsgs:
            break
        tokens = b""
        for level, kind, body in cmsgs:
            offset, size, token, of, _ = struct.unpack("=QIIII", body)
            assert (level, kind, of) == (socket.SOL_SOCKET, SCM_DEVMEM_DMABUF, dmabuf_id)
            got += memory[offset : offset + size]
            tokens += struct.pack("=II", token, 1)
        assert len(tokens) <= TOKENS_MAX * 8
        sock.setsockopt(socket.SOL_SOCKET, SO_DEVMEM_DONTNEED, tokens)
    print("received", len(got), got == pattern(expected))


def send(host: Host, count: int, address: str) -> None:
    fd, memory = udmabuf()
    memory[:count] = pattern(count)
    dmabuf_id = host.netdev.bind_tx({"ifindex": host.ifindex, "fd": fd})["id"]
    sock = socket.create_connection((address, PORT))
    sock.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
    iov = Iovec(0, count)
    control = struct.pack("=QiiI4x", 20, socket.SOL_SOCKET, SCM_DEVMEM_DMABUF, dmabuf_id)
    body = ctypes.create_string_buffer(control, len(control))
    message = Msghdr(None, 0, ctypes.addressof(iov), 1, ctypes.addressof(body), len(control), 0)
    print("sent", ctypes.CDLL(None).sendmsg(sock.fileno(), ctypes.byref(message), MSG_ZEROCOPY))
    poll = select.poll()
    poll.register(sock, 0)
    print("POLLERR", poll.poll(20_000) == [(sock.fileno(), select.POLLERR)])
    _, ((_, _, report),), _, _ = sock.recvmsg(0, 512, MSG_ERRQUEUE)
    print("completed", struct.unpack_from("=IBBBBII", report)[5:])
    sock.close()


if __name__ == "__main__":
    here = Host(os.environ["DEVMEM_CHANNEL"])
    if sys.argv[1] == "receive":
        receive(here, int(sys.argv[2]))
    else:
        send(here, int(sys.argv[2]), sys.argv[3])
