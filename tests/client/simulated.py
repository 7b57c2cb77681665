"""A clock that stands still unless a test or a sleep moves it, and an endpoint that answers from a script."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nodes.client.runtime import MACHINE, Condition, CpuTime, LocalSocket, Lock, Thread
from nodes.machine.buses import Buses, Server
from nodes.uapi.channel_closed import ChannelClosed
from nodes.uapi.syscalls import AnyReply, Record, Request


class ScriptedChannel:
    """Satisfies nodes.client.runtime.ClientChannel. `answer` returns a request's reply, None for none."""

    def __init__(self, answer: Callable[[Request], AnyReply | None]) -> None:
        self._answer = answer
        self._replies: list[AnyReply] = []
        self.closed = False

    def settimeout(self, seconds: float | None) -> None:
        """The script never waits."""

    def send(self, record: Record, fds: tuple[int, ...] = ()) -> None:
        assert not fds
        if self.closed:
            raise ChannelClosed("closed")
        assert isinstance(record, Request)
        reply = self._answer(record)
        if reply is not None:
            self._replies.append(reply)

    def receive_reply(self) -> tuple[AnyReply, list[int]]:
        return self._replies.pop(0), []

    def hang_up(self, patience_s: float) -> None:
        assert patience_s > 0
        self.close()

    def close(self) -> None:
        self.closed = True


class SimulatedRuntime:
    """Satisfies nodes.client.runtime.Runtime. `now` moves by `sleep` and by what the script does."""

    counted = False

    def __init__(self, answer: Callable[[Request], AnyReply | None]) -> None:
        self.now = 1000.0
        self.answer = answer
        self.channels: list[ScriptedChannel] = []

    def monotonic(self) -> float:
        return self.now

    def cpu(self) -> CpuTime:
        return CpuTime(0.0, 0.0)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def spawn(self, function: Callable[[], None], name: str) -> Thread:
        return MACHINE.spawn(function, name)

    def lock(self) -> Lock:
        return MACHINE.lock()

    def condition(self) -> Condition:
        return MACHINE.condition()

    def buses(self, path: str, names: Sequence[str], fds: Sequence[int]) -> Buses:
        return MACHINE.buses(path, names, fds)

    def device_memory(self, path: str) -> Server | None:  # noqa: ARG002
        return None

    def local_socket(self) -> LocalSocket:
        return MACHINE.local_socket()

    def connect(self, path: str) -> ScriptedChannel:
        assert path == "simulated"
        self.channels.append(ScriptedChannel(self.answer))
        return self.channels[-1]
