"""A thread that does one job after the other: what lets a rank send while it receives.

In: jobs. Out: tickets to wait for. Owns the thread that does them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from nodes.client.runtime import Runtime

_JOIN_S = 1.0


class SendQueue:
    """The first job that raises ends the thread; every later `put` and `wait` raises the same exception."""

    def __init__(self, runtime: Runtime, name: str) -> None:
        self._jobs: deque[Callable[[], None] | None] = deque()
        self._changed = runtime.condition()
        self._put = self._done = 0
        self._failure: BaseException | None = None
        self._thread = runtime.spawn(self._work, name)

    def put(self, job: Callable[[], None]) -> int:
        """Queue a job; returns its ticket, the number of jobs put so far."""
        with self._changed:
            self._raise_failure()
            self._jobs.append(job)
            self._put += 1
            self._changed.notify_all()
            return self._put

    @property
    def idle(self) -> bool:
        """Whether all jobs are done. Raises what ended the thread."""
        with self._changed:
            self._raise_failure()
            return self._done == self._put

    @property
    def next_ticket(self) -> int:
        """Of the job that is put next."""
        with self._changed:
            return self._put + 1

    def is_done(self, ticket: int) -> bool:
        """Whether that job is done. Raises what ended the thread."""
        with self._changed:
            self._raise_failure()
            return self._done >= ticket

    def put_done(self) -> int:
        """While the queue is idle: count a job that the caller has done; returns its ticket."""
        with self._changed:
            self._put += 1
            self._done += 1
            return self._put

    def wait(self, ticket: int, timeout_s: float) -> None:
        """Until the job with that ticket, and so every earlier one, is done. Raises TimeoutError, or the
        exception that ended the thread."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._done >= ticket or self._failure, timeout_s):
                raise TimeoutError(f"a send was not accepted within {timeout_s:g} s")
            self._raise_failure()

    def close(self) -> None:
        """End the thread after its current job. A job that does not end is left alone after a second."""
        with self._changed:
            self._jobs.clear()
            self._jobs.append(None)
            self._changed.notify_all()
        self._thread.join(_JOIN_S)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs)
                job = self._jobs.popleft()
            if job is None:
                return
            try:
                job()
            except BaseException as failure:
                with self._changed:
                    self._failure = failure
                    self._changed.notify_all()
                return
            with self._changed:
                self._done += 1
                self._changed.notify_all()
