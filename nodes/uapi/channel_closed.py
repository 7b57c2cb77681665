"""The error of a channel whose other end is gone. Apart from `channel`, which is compiled: mypyc makes no
class of a built-in error.

In: a sentence. Out: an exception. Owns nothing.
"""

from __future__ import annotations

import errno


class ChannelClosed(ConnectionResetError):
    """The other end is closed: its process has ended, or has refused this one. ECONNRESET."""

    def __init__(self, text: str) -> None:
        super().__init__(errno.ECONNRESET, text)
