"""GET /metrics on loopback: the last reading as OpenMetrics text.

In: readings. Out: answers to HTTP requests. Owns the listening socket and the threads that answer. A request
reads nothing from the run, so that many of them cost it nothing.
"""

from __future__ import annotations

import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from commands.live.counters import RunCount
from commands.live.openmetrics import CONTENT_TYPE, Exposed, openmetrics
from commands.usage import UsageError
from topologies.topology import Topology

ADDRESS = "127.0.0.1"
_REQUEST_S = 10.0


class MetricsServer:
    """A context manager. Raises UsageError when the port cannot be had; 0 is any that is free."""

    def __init__(self, port: int) -> None:
        self._last: Exposed | None = None
        try:
            self._server = _Server((ADDRESS, port), self._handler())
        except OSError as refused:
            raise UsageError(
                f"--metrics {port}: {ADDRESS}:{port} cannot be listened at ({refused.strerror}); choose "
                "another port, or 0 for any that is free"
            ) from None
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="metrics", daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://{ADDRESS}:{self._server.server_address[1]}/metrics"

    def show(self, run_id: str, count: RunCount, topology: Topology) -> None:
        """From now on this is the last reading."""
        nodes = {end.interface: end.node for link in topology.links for end in link.ends}
        self._last = Exposed(run_id, count, nodes)

    def __enter__(self) -> MetricsServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        def answer() -> tuple[HTTPStatus, str, bytes]:
            if self._last is None:
                return HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", b"no reading yet; try again\n"
            return HTTPStatus.OK, CONTENT_TYPE, openmetrics(self._last)

        class Handler(BaseHTTPRequestHandler):
            timeout = _REQUEST_S

            def do_GET(self) -> None:
                found = answer() if self.path.partition("?")[0] == "/metrics" else None
                status, kind, body = found or (HTTPStatus.NOT_FOUND, "text/plain", b"look at /metrics\n")
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """A dashboard is on the terminal."""

        return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a client that is slow does not keep the command

    def handle_error(self, *_: object) -> None:
        """A client has gone before it was answered: nothing to tell."""
