"""The numbers and records that an application sees, with the kernel's names and layouts.

Sources: include/uapi/asm-generic/socket.h, include/linux/socket.h, include/uapi/linux/uio.h
(struct dmabuf_cmsg, struct dmabuf_token), include/uapi/linux/errqueue.h. Layouts are native-endian.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

SOL_SOCKET = 1
SO_SNDBUF = 7
SO_RCVBUF = 8
SO_ERROR = 4
SO_RCVLOWAT = 18
SO_RCVTIMEO = 20
SO_SNDTIMEO = 21
SO_SNDBUFFORCE = 32
SO_RCVBUFFORCE = 33
SO_TIMESTAMPING = SCM_TIMESTAMPING = 37
SO_BUSY_POLL = 46
SO_MAX_PACING_RATE = 47
SCM_TIMESTAMPING_OPT_STATS = 54
SO_INCOMING_NAPI_ID = 56
SO_INCOMING_CPU = 49
SO_ZEROCOPY = 60
SO_BINDTOIFINDEX = 62
SO_DEVMEM_LINEAR = SCM_DEVMEM_LINEAR = 78
SO_DEVMEM_DMABUF = SCM_DEVMEM_DMABUF = 79
SO_DEVMEM_DONTNEED = 80

IPPROTO_TCP = 6
TCP_NODELAY = 1
TCP_INFO = 11
TCP_CONGESTION = 13
TCP_THIN_LINEAR_TIMEOUTS = 16
TCP_THIN_DUPACK = 17
TCP_NOTSENT_LOWAT = 25
TCP_SAVE_SYN = 27
TCP_SAVED_SYN = 28
TCP_INQ = TCP_CM_INQ = 36

SOL_IP = 0
IP_MTU_DISCOVER = 10
IP_RECVERR = 11
IP_MTU = 14
IP_MINTTL = 21
IP_PMTUDISC_DONT: Final = 0
IP_PMTUDISC_WANT: Final = 1
IP_PMTUDISC_DO: Final = 2
IP_PMTUDISC_PROBE: Final = 3
IP_PMTUDISC_INTERFACE: Final = 4
IP_PMTUDISC_OMIT: Final = 5
SOL_IPV6 = 41
IPV6_MTU_DISCOVER = 23
IPV6_MTU = 24
IPV6_RECVERR = 25
IPV6_MINHOPCOUNT = 73

SIOCINQ, SIOCOUTQ, SIOCOUTQNSD = 0x541B, 0x5411, 0x894B  # the first is FIONREAD

MSG_OOB: Final = 0x1
MSG_PEEK: Final = 0x2
MSG_CTRUNC: Final = 0x8
MSG_TRUNC: Final = 0x20
MSG_DONTWAIT: Final = 0x40
MSG_EOR: Final = 0x80
MSG_WAITALL: Final = 0x100
MSG_NOSIGNAL: Final = 0x4000
MSG_MORE: Final = 0x8000
MSG_ERRQUEUE: Final = 0x2000
MSG_ZEROCOPY: Final = 0x4000000
MSG_SOCK_DEVMEM: Final = 0x2000000

ETOOSMALL: Final = 525  # not in Python's errno: include/linux/errno.h, leaks to user space from recvmsg
SO_EE_ORIGIN_ICMP: Final = 2
SO_EE_ORIGIN_ICMP6: Final = 3
SO_EE_ORIGIN_TIMESTAMPING: Final = 4
SO_EE_ORIGIN_ZEROCOPY: Final = 5
SCM_TSTAMP_SND, SCM_TSTAMP_SCHED, SCM_TSTAMP_ACK = range(3)  # ee_info of a stamp
# include/uapi/linux/net_tstamp.h
SOF_TIMESTAMPING_TX_HARDWARE, SOF_TIMESTAMPING_TX_SOFTWARE = 1, 2
SOF_TIMESTAMPING_RX_SOFTWARE, SOF_TIMESTAMPING_SOFTWARE = 8, 16
SOF_TIMESTAMPING_OPT_ID, SOF_TIMESTAMPING_TX_SCHED = 128, 256
SOF_TIMESTAMPING_TX_ACK, SOF_TIMESTAMPING_OPT_CMSG = 512, 1024
SOF_TIMESTAMPING_OPT_TSONLY, SOF_TIMESTAMPING_OPT_STATS = 2048, 4096
SOF_TIMESTAMPING_BIND_PHC, SOF_TIMESTAMPING_OPT_ID_TCP = 1 << 15, 1 << 16
SOF_TIMESTAMPING_TX_COMPLETION = 1 << 18
SOF_TIMESTAMPING_MASK = (1 << 19) - 1
SOF_TIMESTAMPING_TX_RECORD_MASK: Final = 1 | 2 | 256 | 512 | 1 << 18

PAGE_SIZE: Final = 4096
MAX_SKB_FRAGS: Final = 17
UIO_MAXIOV: Final = 1024
MAX_DONTNEED_TOKENS: Final = 128
MAX_DONTNEED_FRAGS: Final = 1024

DMABUF_CMSG = struct.Struct("=QIIII")  # frag_offset, frag_size, frag_token, dmabuf_id, flags
DMABUF_TOKEN = struct.Struct("=II")  # token_start, token_count
TX_DMABUF_ID = struct.Struct("=I")  # the body of SCM_DEVMEM_DMABUF in sendmsg
EXTENDED_ERR = struct.Struct("=IBBBBII")  # ee_errno, ee_origin, ee_type, ee_code, ee_pad, ee_info, ee_data

_CMSG_HEADER_BYTES: Final = 16  # struct cmsghdr on a 64-bit machine


def cmsg_len(length: int) -> int:
    """CMSG_LEN(length): bytes of a control message with a body of `length` bytes."""
    return _CMSG_HEADER_BYTES + length


def cmsg_space(length: int) -> int:
    """CMSG_SPACE(length): the same, padded to 8 bytes."""
    return _CMSG_HEADER_BYTES + (length + 7 & ~7)


class DmabufCmsg(NamedTuple):
    """struct dmabuf_cmsg: where in which dma-buf a piece of payload lies; sizes and offsets in bytes."""

    frag_offset: int
    frag_size: int
    frag_token: int
    dmabuf_id: int
    flags: int = 0


class ExtendedErr(NamedTuple):
    """struct sock_extended_err; for zero-copy completions [ee_info, ee_data] is the range of sends."""

    ee_errno: int
    ee_origin: int
    ee_type: int
    ee_code: int
    ee_pad: int
    ee_info: int
    ee_data: int
