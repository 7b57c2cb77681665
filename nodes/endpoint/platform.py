"""What Linux adds to an emulated host: poll files, sockets of its own stack, what a process used of the CPU.

In: sockets of the stack. Out: descriptors, seconds, counts. Owns the notifier of all poll files. Satisfies
nodes.syscall.system_call.Platform.
"""

from __future__ import annotations

import resource
import socket

from nodes.endpoint.poll_file import Notifier, PollFile
from nodes.machine.buses import Buses
from nodes.sock.devmem_socket import DevmemSocket


class LinuxPlatform:
    """`buses`: the host's, as far as they have a ceiling."""

    def __init__(self, buses: Buses | None = None) -> None:
        self._notifier = Notifier()
        self.buses = buses or Buses({})

    def open_poll_file(self, sock: DevmemSocket) -> PollFile:
        """A descriptor that polls as `sock` does."""
        return PollFile(self._notifier, sock)

    def open_kernel_socket(self) -> socket.socket:
        """A TCP socket of Linux in this process's network namespace, which is the host's."""
        return socket.socket(socket.AF_INET, socket.SOCK_STREAM)

    def cpu_s(self) -> float:
        """Seconds of CPU time of this process."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    def switches(self) -> tuple[int, int]:
        """Context switches of this process: voluntary and involuntary ones."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_nvcsw, usage.ru_nivcsw
