"""iperf3's control protocol over any sockets, both roles, one TCP stream: enough to meet the real program.

In: sockets that `connect` or `accept` makes. Out: bytes of the test as each side counts them. Owns nothing.
Source: the states of iperf_api.h and the exchange they name, as observed between two iperf3 3.12.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

from nodes.client.socket import Socket

_COOKIE = b"our-own-stack-against-linux-iperf3-x\0"  # 36 characters and a zero
TEST_START, TEST_RUNNING, TEST_END, PARAM_EXCHANGE, CREATE_STREAMS = 1, 2, 4, 9, 10
EXCHANGE_RESULTS, DISPLAY_RESULTS, IPERF_DONE = 13, 14, 16


def serve(accept: Callable[[], Socket], buffer: memoryview) -> int:
    """Be the server that an iperf3 client sends to; returns the bytes that came."""
    control = accept()
    cookie = _read(control, len(_COOKIE))
    _say(control, PARAM_EXCHANGE)
    assert _read_json(control)["tcp"]
    _say(control, CREATE_STREAMS)
    data = accept()
    assert _read(data, len(_COOKIE)) == cookie
    _say(control, TEST_START)
    _say(control, TEST_RUNNING)
    data.settimeout(0.2)
    control.settimeout(0.0)
    count, ended = 0, False
    while True:
        try:
            got = data.recv_into(buffer)
        except TimeoutError:
            got = 0
        count += got
        if not got and ended:
            break
        if not ended and _state(control) == TEST_END:
            ended = True
            data.settimeout(2)  # what is on its way may have to be sent again
    control.settimeout(10)
    _say(control, EXCHANGE_RESULTS)
    _read_json(control)
    _write_json(control, _results(count))
    _say(control, DISPLAY_RESULTS)
    assert _read(control, 1)[0] == IPERF_DONE
    return count


def measure(connect: Callable[[], Socket], content: memoryview, pause: Callable[[], None]) -> dict[str, Any]:
    """Be the client that sends `content` to an iperf3 server; `pause` until it has read it. Its results."""
    control = connect()
    control.sendall(_COOKIE)
    _expect(control, PARAM_EXCHANGE)
    _write_json(control, {"tcp": True, "omit": 0, "time": 10, "parallel": 1, "len": 131072})
    _expect(control, CREATE_STREAMS)
    data = connect()
    data.sendall(_COOKIE)
    _expect(control, TEST_START)
    _expect(control, TEST_RUNNING)
    data.sendall(content)
    pause()
    _say(control, TEST_END)
    _expect(control, EXCHANGE_RESULTS)
    _write_json(control, _results(len(content)))
    theirs = _read_json(control)
    _expect(control, DISPLAY_RESULTS)
    _say(control, IPERF_DONE)
    return theirs


def _results(count: int) -> dict[str, Any]:
    stream = {
        "id": 1, "bytes": count, "retransmits": 0, "jitter": 0, "errors": 0, "omitted_errors": 0,
        "packets": 0, "omitted_packets": 0, "start_time": 0, "end_time": 1,
    }  # fmt: skip
    usage = {"cpu_util_total": 0, "cpu_util_user": 0, "cpu_util_system": 0, "sender_has_retransmits": 1}
    return {**usage, "streams": [stream]}


def _say(control: Socket, state: int) -> None:
    control.sendall(bytes([state]))


def _expect(control: Socket, state: int) -> None:
    assert _read(control, 1)[0] == state


def _state(control: Socket) -> int:
    try:
        return control.recv(1)[0]
    except BlockingIOError:
        return 0


def _read(sock: Socket, count: int) -> bytes:
    got = b""
    while len(got) < count:
        part = sock.recv(count - len(got))
        assert part, "iperf3 closed its connection"
        got += part
    return got


def _read_json(control: Socket) -> dict[str, Any]:
    (length,) = struct.unpack("!I", _read(control, 4))
    found: dict[str, Any] = json.loads(_read(control, length))
    return found


def _write_json(control: Socket, value: dict[str, Any]) -> None:
    text = json.dumps(value).encode()
    control.sendall(struct.pack("!I", len(text)) + text)
