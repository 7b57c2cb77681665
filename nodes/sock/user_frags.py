"""Tokens: the fragments that an application holds, by number (sk_user_frags, include/net/sock.h).

In: a netmem, with a reference that the table takes over. Out: a token; later the reference is put. Owns those
references. Each socket numbers its own tokens, from 1, the lowest free number first, as xa_alloc does.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from heapq import heappop, heappush
from typing import Final

from nodes.netmem.netmem import Netmem
from nodes.uapi.socket import MAX_DONTNEED_FRAGS

TOKENS_MAX: Final = (1 << 31) - 1  # xa_limit_31b
_U32: Final = 1 << 32


class UserFrags:
    def __init__(self, tokens_max: int = TOKENS_MAX) -> None:
        self._tokens_max = tokens_max
        self._held: dict[int, Netmem] = {}
        self._free: list[int] = []  # below _next, a heap
        self._next = 1

    def __len__(self) -> int:
        return len(self._held)

    def add(self, netmem: Netmem) -> int:
        """The token of `netmem`, whose reference the table takes over. When every token is held it raises
        OSError EBUSY, and takes no reference (xa_alloc)."""
        if self._free:
            token = heappop(self._free)
        else:
            token = self._next
            if token > self._tokens_max:
                raise OSError(errno.EBUSY, f"the socket's {self._tokens_max} tokens are held: return some")
            self._next += 1
        self._held[token] = netmem
        return token

    def dontneed(
        self, tokens: Iterable[tuple[int, int]], frags_max: int | None = MAX_DONTNEED_FRAGS
    ) -> int:
        """Free fragments by (token_start, token_count); returns how many were held.

        A call visits at most `frags_max` tokens, None for any number. Unknown tokens are skipped: they count
        among the visited, not among the freed (sock_devmem_dontneed, net/core/sock.c).
        """
        freed = 0
        for start, count in tokens:
            if frags_max is not None:
                count = min(count, frags_max)
                frags_max -= count
            if count > len(self._held):  # only those that are held need a visit
                for token in sorted(token for token in self._held if (token - start) % _U32 < count):
                    freed += self._put(token)
            else:
                for i in range(count):
                    freed += self._put((start + i) % _U32)
        return freed

    def _put(self, token: int) -> bool:
        """Put the reference of a token; whether it was held."""
        netmem = self._held.pop(token, None)
        if netmem is None:
            return False
        heappush(self._free, token)
        netmem.put()
        return True

    def release_all(self) -> None:
        """The socket closes: every reference is put (tcp_release_user_frags)."""
        held, self._held = self._held, {}
        self._free, self._next = [], 1
        for netmem in held.values():
            netmem.put()
