"""A headless Chromium, driven over a pair of pipes by its DevTools protocol.

In: a page's address, commands. Out: their results, what the console said, what was asked of a network. Owns
the process, which ends with it, and its profile, which begins empty. Messages are JSON, each ended by a NUL:
https://chromedevtools.github.io/devtools-protocol.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

_QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--disable-extensions", "--disable-default-apps",
    "--host-resolver-rules=MAP * 0.0.0.0",
    "--remote-debugging-pipe",
)  # fmt: skip
_TOLD = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")


def _above(descriptor: int) -> int:
    """The same file under a number of two digits, which no redirection to 3 or 4 hits."""
    found = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return found


class Browser:
    """One page. `messages`: of the console, `requests`: addresses that were asked for, since `open`."""

    def __init__(self, program: str = "chromium") -> None:
        self.messages: list[Any] = []
        self.requests: list[str] = []
        self._events: list[str] = []
        self._number = 0
        self._profile = tempfile.mkdtemp(prefix="chromium-")
        ours_in, its_out = map(_above, os.pipe())
        its_in, ours_out = map(_above, os.pipe())
        # Chromium reads from descriptor 3 and writes to descriptor 4.
        take = f'exec {program} "$@" 3<&{its_in} 4>&{its_out}'
        words = ["bash", "-c", take, program, *_QUIET, f"--user-data-dir={self._profile}", "about:blank"]
        nowhere = subprocess.DEVNULL
        self._process = subprocess.Popen(words, pass_fds=(its_in, its_out), stdout=nowhere, stderr=nowhere)
        os.close(its_in)
        os.close(its_out)
        self._from, self._to = os.fdopen(ours_in, "rb"), os.fdopen(ours_out, "wb")
        self._buffer = b""
        self._session = ""
        pages = self.call("Target.getTargets")["targetInfos"]
        target = next(each["targetId"] for each in pages if each["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session = ""
        self.call("Browser.close")
        self._process.wait(20)
        self._from.close()
        self._to.close()
        shutil.rmtree(self._profile, ignore_errors=True)

    def open(self, path: Path, width: int, dark: bool = False) -> None:
        """The file, in a window of so many pixels."""
        self.messages.clear()
        self.requests.clear()
        size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self._events.clear()
        self.call("Page.navigate", url=path.absolute().as_uri())
        while "Page.loadEventFired" not in self._events:
            self._read()

    def run(self, script: str) -> Any:
        """The value of an expression, or of the promise that it is."""
        done = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def call(self, method: str, **parameters: Any) -> Any:
        """A command of the protocol; returns its result."""
        self._number += 1
        asked = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            asked["sessionId"] = self._session
        self._to.write(json.dumps(asked).encode() + b"\0")
        self._to.flush()
        while (answer := self._read()).get("id") != self._number:
            pass
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def _read(self) -> Any:
        """The next message; an event is noted."""
        while b"\0" not in self._buffer:
            more = os.read(self._from.fileno(), 1 << 20)
            assert more, "chromium has ended"
            self._buffer += more
        message, _, self._buffer = self._buffer.partition(b"\0")
        told = json.loads(message)
        self._events.append(told.get("method", ""))
        if told.get("method") in _TOLD:
            self.messages.append(told["params"])
        if told.get("method") == "Network.requestWillBeSent":
            self.requests.append(told["params"]["request"]["url"])
        return told
