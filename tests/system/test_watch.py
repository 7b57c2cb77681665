"""docs/watch.md word for word on a network that carries traffic; a run that measures while it is watched."""

from __future__ import annotations

import http.client
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from commands.live.table import COLUMNS
from commands.running import find_host
from nodes.client.host import Host
from nodes.client.socket import Socket
from tests.docs.pages import block, command
from tests.system.reader import finish, project, running, standing, typed

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

UP, WATCH, ONCE, METRICS = (
    line.partition("#")[0].rstrip() for line in block("docs/watch.md", "python3 run.py up").splitlines()
)
DOWN = "python3 run.py down"
READERS = command("README.md", "python3 run.py watch")
MEASURE = "python3 run.py --topology pair --workload stream --path devmem --duration 3 --repeat 1 --results r"


@contextmanager
def stream() -> Iterator[None]:
    """Bytes from h1 to h2, by sockets of their endpoints, until the end."""
    enough = threading.Event()
    with ExitStack() as stack:
        h1, h2 = (stack.enter_context(closing(Host(find_host(name, None).channel))) for name in ("h1", "h2"))
        listener, sender = (stack.enter_context(closing(each.socket())) for each in (h2, h1))
        listener.bind((h2.address, 7000))
        listener.listen(1)
        sender.connect((h2.address, 7000))
        receiver = stack.enter_context(closing(listener.accept()[0]))
        threads = [
            threading.Thread(target=_send, args=(sender, enough)),
            threading.Thread(target=_drain, args=(receiver,)),
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            enough.set()
            for thread in threads:
                thread.join(30)


def _send(sender: Socket, enough: threading.Event) -> None:
    while not enough.is_set():
        sender.sendall(bytes(1 << 16))
    sender.shutdown(1)


def _drain(receiver: Socket) -> None:
    buffer = bytearray(1 << 20)
    while receiver.recv_into(buffer):
        pass


def figures(said: str, host: str) -> list[dict[str, str]]:
    """Of each table, by the field of HostRates."""
    fields = [each[3] for each in COLUMNS]
    rows = re.findall(rf"^{host} +(.*)$", said, re.M)
    return [dict(zip(fields, row.split(), strict=True)) for row in rows]


def payload(text: str) -> dict[tuple[str, str], float]:
    return {
        (sample.labels["host"], sample.labels["direction"]): sample.value
        for family in text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
        for sample in family.samples
        if sample.name == "devmem_nic_payload_bytes_total"
    }


def test_the_pages_commands_show_what_flows_and_serve_it(tmp_path: Path) -> None:
    place = project(tmp_path)
    with standing(UP, place) as network, running(WATCH, place) as watched:
        with stream():
            once = typed(ONCE, place)
            with running(f"exec {METRICS.replace('9464', '0').replace('5', '0.5')}", place) as served:
                assert served.stderr is not None
                assert served.stdout is not None
                port = int(re.findall(r"127\.0\.0\.1:(\d+)/metrics$", served.stderr.readline())[0])
                assert served.stdout.readline().startswith("run up-"), "a reading is there"
                with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
                    connection.request("GET", "/metrics")
                    text = connection.getresponse().read().decode()
                served.send_signal(signal.SIGINT)
                assert re.search(
                    r"stopped by SIGINT; run up-\S+ goes on\n$", served.communicate(timeout=20)[1]
                )
                assert served.returncode == 130
        assert network.poll() is None
        typed(DOWN, place)
        assert re.search(r"^run up-\S+ has ended\n\Z", finish(watched), re.M)
    (h1,), (h2,) = figures(once, "h1"), figures(once, "h2")
    assert float(h1["goodput_out_mbps"]) > 1
    assert float(h2["goodput_in_mbps"]) > 1
    assert float(h1["link_out_mbps"]) > 1
    assert float(h2["dram_GB_per_s"]) > 0
    assert float(h1["goodput_in_mbps"]) == float(h1["linux_retransmits_per_s"]) == 0
    counted = payload(text)
    assert counted["h1", "receive"] == counted["h2", "transmit"] == 0
    assert min(counted["h1", "transmit"], counted["h2", "receive"]) > 1e5, "they are read one after the other"


def test_a_run_that_measures_is_watched_to_its_end_and_is_not_hurt(tmp_path: Path) -> None:
    place = project(tmp_path)
    watch_when_up = f"until {READERS}; do sleep 0.2; done"
    with running(MEASURE, place) as measuring, running(watch_when_up, place) as watched:
        table = finish(measuring)
        said = finish(watched)
    assert "# Out of bounds values : 0 OK" in table
    assert any(float(row["goodput_out_mbps"]) > 1 for row in figures(said, "h1"))
    assert "(down)" not in said
    assert re.search(rf"^run \S+ has ended; what it leaves is in {place}/r/\S+\n\Z", said, re.M)
