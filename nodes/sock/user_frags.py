"""Tokens: the fragments that an application holds, by number (sk_user_frags, include/net/sock.h).

In: a netmem, with a reference that the table takes over. Out: a token; later the reference is put. Owns those
references. Each socket numbers its own tokens, from 1, the lowest free number first, as xa_alloc does.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import Final

from nodes.netmem.netmem import Netmem
from nodes.uapi.socket import MAX_DONTNEED_FRAGS

TOKENS_MAX: Final = (1 << 31) - 1  # xa_limit_31b
_U32: Final = 1 << 32


class UserFrags:
    def __init__(self, tokens_max: int = TOKENS_MAX) -> None:
        self._tokens_max = tokens_max
        self._held: list[Netmem | None] = [None]  # by token; 0 is none
        self._count = 0  # of those that are held
        # No lower token is free. The search for a free one begins here, and most often ends here: tokens come
        # back in the order in which they were given.
        self._lowest = 1

    def __len__(self) -> int:
        return self._count

    def add(self, netmem: Netmem) -> int:
        """The token of `netmem`, whose reference the table takes over. When every token is held it raises
        OSError EBUSY, and takes no reference (xa_alloc)."""
        held, token = self._held, self._lowest
        while token < len(held) and held[token] is not None:
            token += 1
        self._lowest = token
        if token > self._tokens_max:
            raise OSError(errno.EBUSY, f"the socket's {self._tokens_max} tokens are held: return some")
        if token == len(held):
            held.append(netmem)
        else:
            held[token] = netmem
        self._lowest += 1
        self._count += 1
        return token

    def dontneed(
        self, tokens: Iterable[tuple[int, int]], frags_max: int | None = MAX_DONTNEED_FRAGS
    ) -> int:
        """Free fragments by (token_start, token_count); returns how many were held.

        A call visits at most `frags_max` tokens, None for any number. Unknown tokens are skipped: they count
        among the visited, not among the freed (sock_devmem_dontneed, net/core/sock.c).
        """
        before = self._count
        for start, count in tokens:
            if frags_max is not None:
                count = min(count, frags_max)
                frags_max -= count
            self._put(start, start + count)
            if start + count > _U32:  # token numbers wrap
                self._put(0, start + count - _U32)
        return before - self._count

    def _put(self, start: int, stop: int) -> None:
        """Put the references of those tokens of [start, stop) that are held."""
        held = self._held
        for token in range(start, min(stop, len(held))):
            netmem = held[token]
            if netmem is not None:
                held[token] = None
                self._count -= 1
                if token < self._lowest:
                    self._lowest = token
                netmem.put()

    def release_all(self) -> None:
        """The socket closes: every reference is put (tcp_release_user_frags)."""
        self._put(0, len(self._held))
