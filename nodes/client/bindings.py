"""The bindings that end with a control channel, and the warning when it ends without close().

In: ids of bindings. Out: a ResourceWarning, as for a socket.socket that was not closed. Owns the ids.
"""

from __future__ import annotations

import warnings


class Bindings:
    """Of the channel at `path`: collected with it."""

    __slots__ = ("_ids", "_path")

    def __init__(self, path: str) -> None:
        self._path = path
        self._ids: list[int] = []

    def add(self, dmabuf_id: int) -> None:
        self._ids.append(dmabuf_id)

    def forget(self) -> None:
        """They have ended in order, or are not this process's."""
        self._ids.clear()

    def __del__(self) -> None:
        if self._ids:
            ids = ", ".join(map(str, self._ids))
            warnings.warn(
                f"the Host of {self._path} was collected without close(): its bindings end "
                f"(dmabuf_id {ids}); keep the Host for as long as they are used",
                ResourceWarning,
                stacklevel=1,
            )
