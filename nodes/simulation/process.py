"""Simulated processes: ordinary blocking code, each thread of it a greenlet.

In: functions to run. Out: the world that they wait in (nodes.client.runtime.Runtime): a clock, sleep,
threads, locks, channels. Owns the greenlets. A thread that waits is parked, and simulated time goes on; while
a thread runs it stands still. A thread that asks for the time again and again without ever waiting would hold
the run up for ever: it is ended with an error that names it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Protocol, TypeVar

from greenlet import GreenletExit, getcurrent, greenlet

from nodes.client.runtime import ClientChannel, CpuTime
from nodes.machine.buses import Buses, Server
from nodes.simulation.clock import Clock, Event, ns
from nodes.simulation.failures import SpinError
from nodes.simulation.local_socket import SimulatedSocket

_T = TypeVar("_T")
_SPINS_MAX: Final = 1_000_000  # looks at the clock without a wait in between


class Hosts(Protocol):
    """The hosts of the simulation, by the paths of their channels. OSError where there is none."""

    def connect(self, path: str, /) -> ClientChannel: ...

    def buses(self, path: str, /) -> Buses: ...

    def device_memory(self, path: str, /) -> Server | None: ...


class Scheduler:
    """Runs threads and events in turns; there is one in a simulation."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._hub = getcurrent()
        self.failures: list[tuple[str, BaseException]] = []
        self.alive: dict[greenlet, str] = {}
        self.spins = 0
        self.running: greenlet | None = None  # the thread that has gone on and not waited yet
        self.resumed = 0  # how many times one has gone on
        self._dying = False

    def spawn(self, function: Callable[[], None], name: str) -> SimulatedThread:
        """A thread that begins as soon as the current one waits."""
        thread = SimulatedThread(self)

        def run() -> None:
            try:
                function()
            except GreenletExit:
                pass
            except BaseException as failure:  # the caller of the simulation is told
                self.failures.append((name, failure))
            finally:
                del self.alive[getcurrent()]
                self.clock.paused = True  # the caller of the simulation may have waited for this end
                thread.end()

        green = greenlet(run, parent=self._hub)
        self.alive[green] = name
        self.clock.put(_Resume(self.clock.now_ns, self, green))
        return thread

    def resume(self, thread: greenlet) -> None:
        """Let a parked thread go on; returns when it waits again, or has ended. For events alone."""
        self.spins = 0
        if not thread.dead:
            self.resumed += 1
            self.running = thread
            thread.switch()
            self.running = None

    def park(self) -> None:
        """Wait until an event resumes this thread."""
        current = getcurrent()
        if current is self._hub:
            raise RuntimeError("only a process of the simulation can wait: spawn one")
        if self._dying:
            raise GreenletExit
        self._hub.switch()

    def wait(self, waiters: deque[greenlet], timeout_s: float | None) -> bool:
        """Stand in line until resumed, True, or until `timeout_s` has passed, False."""
        current = getcurrent()
        waiters.append(current)
        if timeout_s is None:
            self.park()
            return True
        timer = _Expiry(self._after_ns(timeout_s), self, current, waiters)
        self.clock.put(timer)
        self.park()
        self.clock.cancel(timer)
        return not timer.expired

    def sleep(self, seconds: float) -> None:
        """Wait for so long."""
        self.clock.put(_Resume(self._after_ns(seconds), self, getcurrent()))
        self.park()

    def _after_ns(self, seconds: float) -> int:
        return self.clock.now_ns + max(0, ns(seconds))

    def wake(self, waiters: deque[greenlet], count: int = 1) -> None:
        """The first `count` of those in line go on, as soon as the current thread waits."""
        while count and waiters:
            count -= 1
            self.clock.put(_Resume(self.clock.now_ns, self, waiters.popleft()))

    def look(self) -> float:
        """The time, for a thread."""
        self.spins += 1
        if self.spins > _SPINS_MAX:
            name = self.alive.get(getcurrent(), "the main program")
            raise SpinError(
                f"{name} has looked at the clock {_SPINS_MAX:,} times without waiting: simulated time stands "
                "still while a process runs, so let it sleep, or wait for its socket"
            )
        return self.clock.seconds()

    def kill(self) -> None:
        """End all threads that are left: each is told by GreenletExit where it waits, and waits no more."""
        self._dying = True
        for thread in [*self.alive]:
            thread.throw()


class _Resume(Event):
    """A thread goes on."""

    __slots__ = ("_greenlet", "_scheduler")

    def __init__(self, at_ns: int, scheduler: Scheduler, thread: greenlet) -> None:
        super().__init__(at_ns)
        self._scheduler = scheduler
        self._greenlet = thread

    def happen(self) -> None:
        self._scheduler.resume(self._greenlet)


class _Expiry(Event):
    """A thread has waited long enough: `expired`, unless it was woken in this very nanosecond."""

    __slots__ = ("_greenlet", "_scheduler", "_waiters", "expired")

    def __init__(self, at_ns: int, scheduler: Scheduler, thread: greenlet, waiters: deque[greenlet]) -> None:
        super().__init__(at_ns)
        self._scheduler = scheduler
        self._greenlet = thread
        self._waiters = waiters
        self.expired = False

    def happen(self) -> None:
        if self._greenlet in self._waiters:
            self.expired = True
            self._waiters.remove(self._greenlet)
            self._scheduler.resume(self._greenlet)


class SimulatedThread:
    """Satisfies nodes.client.runtime.Thread."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._joining: deque[greenlet] = deque()
        self._ended = False

    def join(self, timeout_s: float | None = None) -> None:
        if not self._ended:
            self._scheduler.wait(self._joining, timeout_s)

    def end(self) -> None:
        self._ended = True
        self._scheduler.wake(self._joining, len(self._joining))


class SimulatedLock:
    """Satisfies nodes.client.runtime.Lock and Condition; threads get it in the order in which they asked."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._held = False
        self._asking: deque[greenlet] = deque()
        self._waiting: deque[greenlet] = deque()

    def __enter__(self) -> SimulatedLock:
        while self._held:
            self._scheduler.wait(self._asking, None)
        self._held = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None, /
    ) -> None:
        self._held = False
        self._scheduler.wake(self._asking)

    def wait_for(self, predicate: Callable[[], _T], timeout: float | None = None, /) -> _T:
        clock = self._scheduler.clock
        give_up_ns = None if timeout is None else clock.now_ns + ns(timeout)
        while not (result := predicate()):
            left_s = None if give_up_ns is None else (give_up_ns - clock.now_ns) / 1e9
            if left_s is not None and left_s <= 0:
                break
            self.__exit__(None, None, None)
            self._scheduler.wait(self._waiting, left_s)
            self.__enter__()
        return result

    def notify_all(self) -> None:
        self._scheduler.wake(self._waiting, len(self._waiting))


class SimulatedRuntime:
    """Of one process. Its own computing takes no CPU time: what that is, is not modelled. `counted`: payload
    has no content."""

    def __init__(self, scheduler: Scheduler, hosts: Hosts, counted: bool = False) -> None:
        self.counted = counted
        self._scheduler = scheduler
        self._hosts = hosts
        self._bound: dict[int, SimulatedSocket] = {}

    def monotonic(self) -> float:
        return self._scheduler.look()

    def cpu(self) -> CpuTime:
        return CpuTime(0.0, 0.0)

    def sleep(self, seconds: float) -> None:
        self._scheduler.sleep(seconds)

    def spawn(self, function: Callable[[], None], name: str) -> SimulatedThread:
        return self._scheduler.spawn(function, name)

    def lock(self) -> SimulatedLock:
        return SimulatedLock(self._scheduler)

    def condition(self) -> SimulatedLock:
        return SimulatedLock(self._scheduler)

    def local_socket(self) -> SimulatedSocket:
        return SimulatedSocket(self._scheduler, self._bound)

    def connect(self, path: str) -> ClientChannel:
        return self._hosts.connect(path)

    def buses(self, path: str, names: Sequence[str], fds: Sequence[int]) -> Buses:  # noqa: ARG002
        return self._hosts.buses(path)

    def device_memory(self, path: str) -> Server | None:
        return self._hosts.device_memory(path)
