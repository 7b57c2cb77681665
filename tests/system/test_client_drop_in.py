"""Programs that know only Python's sockets, over a host: the drop-in module, the installed one, run_with."""

from __future__ import annotations

import asyncio
import http.server
import os
import socket as linux
import ssl
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from nodes.client.host import Host
from nodes.client.sockets import installed, sockets
from nodes.client.tls import TlsSocket
from tests.system.both_stacks import CONTENT, PATIENCE_S, our_pair
from tests.system.network import Network

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

Hosts = tuple[Host, Host]


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers GET with CONTENT, and POST with what was posted."""

    def do_GET(self) -> None:
        self._answer(CONTENT)

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of h2: key and certificate in one file."""
    path = tmp_path_factory.mktemp("tls") / "h2.pem"
    key = path.with_suffix(".key")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    subject = ["-nodes", "-subj", "/CN=h2", "-addext", "subjectAltName=DNS:h2", "-days", "2"]
    subprocess.run([*command, *subject, "-keyout", key, "-out", path], check=True, capture_output=True)
    path.write_text(path.read_text() + key.read_text())
    return path


def contexts(certificate: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's and the client's."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    return server, ssl.create_default_context(cafile=str(certificate))


@contextmanager
def serving(server: http.server.HTTPServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join(PATIENCE_S)
        server.server_close()


def in_host(network: Network, name: str, *argv: str) -> str:
    """What a program prints whose host has this channel."""
    command = [sys.executable, "-m", "nodes.client.run_with", "--channel", network.channel(name), *argv]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


FETCH = """
import sys, urllib.request
print(len(urllib.request.urlopen(sys.argv[1], timeout=20).read()))
"""


def test_http_server_and_urllib_run_unmodified(network: Network, hosts: Hosts, tmp_path: Path) -> None:
    (tmp_path / "fetch.py").write_text(FETCH)
    with installed(hosts[1]):
        server = http.server.ThreadingHTTPServer((hosts[1].address, 8000), Handler)
        assert server.server_name == "h2"
        with serving(server):
            fetched = in_host(network, "h1", str(tmp_path / "fetch.py"), "http://h2:8000/")
            assert fetched == f"{len(CONTENT)}\n"
            fetched = in_host(network, "h1", str(tmp_path / "fetch.py"), f"http://{hosts[1].address}:8000/")
            assert fetched == f"{len(CONTENT)}\n"
    assert linux.socket.__module__ == "socket", "the real class is back"


def test_https_runs_unmodified_and_the_certificate_is_checked(hosts: Hosts, certificate: Path) -> None:
    serve, trust = contexts(certificate)
    with installed(hosts[1]):
        server = http.server.ThreadingHTTPServer((hosts[1].address, 8443), Handler)
        server.socket = serve.wrap_socket(server.socket, server_side=True)
    h1 = hosts[0]
    with serving(server), installed(h1):
        request = urllib.request.Request("https://h2:8443/", data=CONTENT)
        with urllib.request.urlopen(request, timeout=PATIENCE_S, context=trust) as answer:
            assert answer.read() == CONTENT
        with pytest.raises(urllib.error.URLError, match="self-signed certificate"):
            urllib.request.urlopen("https://h2:8443/", timeout=PATIENCE_S)


def test_asyncio_streams_run_unmodified_with_and_without_tls(hosts: Hosts, certificate: Path) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(len(CONTENT)))
        await writer.drain()
        writer.close()

    async def talk(h1: Any, h2: Any, port: int, serve: Any, trust: Any) -> bytes:
        listener = h2.create_server((hosts[1].address, port))
        server = await asyncio.start_server(echo, sock=listener, ssl=serve)
        async with server:
            near = h1.socket(linux.AF_INET, linux.SOCK_STREAM, 0)
            near.setblocking(False)
            loop = asyncio.get_running_loop()
            await asyncio.wait_for(loop.sock_connect(near, (hosts[1].address, port)), PATIENCE_S)
            name = "h2" if trust else None
            reader, writer = await asyncio.open_connection(sock=near, ssl=trust, server_hostname=name)
            writer.write(CONTENT)
            got = await asyncio.wait_for(reader.readexactly(len(CONTENT)), PATIENCE_S)
            writer.close()
            return got

    h1, h2 = (sockets(host) for host in hosts)
    assert asyncio.run(talk(h1, h2, 8100, None, None)) == CONTENT
    assert asyncio.run(talk(h1, h2, 8101, *contexts(certificate))) == CONTENT


ASYNC_CLIENT = """
import asyncio, sys
async def main():
    reader, writer = await asyncio.open_connection("h2", 8200)
    writer.write(b"asked by name")
    print((await reader.read()).decode())
asyncio.run(main())
"""


def test_asyncio_connects_to_hosts_by_name(network: Network, hosts: Hosts, tmp_path: Path) -> None:
    (tmp_path / "client.py").write_text(ASYNC_CLIENT)
    with hosts[1].socket() as listener:
        listener.settimeout(PATIENCE_S)
        listener.bind(("h2", 8200))
        listener.listen()

        def serve() -> None:
            with listener.accept()[0] as sock:
                sock.sendall(b"answer: " + sock.recv(100))

        thread = threading.Thread(target=serve)
        thread.start()
        assert in_host(network, "h1", str(tmp_path / "client.py")) == "answer: asked by name\n"
        thread.join(PATIENCE_S)


def test_the_drop_in_module_is_the_host_for_tcp_and_linux_for_the_rest(hosts: Hosts) -> None:
    h1, h2 = hosts
    ours = sockets(h1)
    with sockets(h2).create_server((h2.address, 8300)) as listener:
        for where in ((h2.address, 8300), ("h2", 8300)):
            with ours.create_connection(where, timeout=PATIENCE_S) as sock:
                assert isinstance(sock, ours.socket)
                assert sock.getsockname()[0] == h1.address
                listener.accept()[0].close()
    assert type(ours.socket(ours.AF_UNIX)).__mro__[1] is linux.socket
    assert ours.socket(ours.AF_INET, ours.SOCK_DGRAM).type == linux.SOCK_DGRAM
    with ours.socketpair()[0] as pair:
        assert isinstance(pair, ours.socket)
    assert ours.gethostbyname("h2") == h2.address
    assert ours.gethostbyaddr(str(h2.address6)) == ("h2", [], [h2.address6])
    assert {entry[4][0] for entry in ours.getaddrinfo("h2", 80)} == {h2.address, h2.address6}
    assert [entry[4] for entry in ours.getaddrinfo("127.0.0.1", 80, type=1)] == [("127.0.0.1", 80)]

    class Own(ours.socket):  # type: ignore[name-defined, misc]
        pass

    with pytest.raises(TypeError, match="subclass of socket"):
        Own(linux.AF_INET, linux.SOCK_STREAM)
    for arguments in ((linux.AF_INET, linux.SOCK_DGRAM), (linux.AF_INET, linux.SOCK_STREAM, 132)):
        with pytest.raises(OSError, match="a host has"):
            h1.socket(*arguments)


def test_an_ssl_context_without_our_class_refuses_and_closes_nothing_of_ours(
    hosts: Hosts, certificate: Path
) -> None:
    _, trust = contexts(certificate)
    with our_pair(hosts) as pair:
        before = pair.near.fileno()
        with pytest.raises(OSError, match=r"sslsocket_class = nodes\.client\.tls\.TlsSocket"):
            trust.wrap_socket(pair.near, server_hostname="h2")
        other = os.open("/dev/null", os.O_RDONLY)
        try:
            assert other == before, "SSLSocket has closed what it took: the number is another file's"
            assert pair.near.fileno() != other
            pair.near.close()
            os.fstat(other)
        finally:
            os.close(other)


def test_tls_blocks_times_out_and_ends_as_over_linux(hosts: Hosts, certificate: Path) -> None:
    serve, trust = contexts(certificate)
    for context in (serve, trust):
        context.sslsocket_class = TlsSocket  # type: ignore[assignment]
    theirs = linux.socketpair()
    with our_pair(hosts) as pair:
        answers = [_tls_script(ends, serve, trust) for ends in ((pair.near, pair.far), theirs)]
    assert answers[0] == answers[1]


def _tls_script(ends: Any, serve: ssl.SSLContext, trust: ssl.SSLContext) -> list[object]:
    """What the calls of a TLS connection over these two sockets answer."""
    answers: list[object] = []
    servers: list[Any] = []
    wrapping = threading.Thread(target=lambda: servers.append(serve.wrap_socket(ends[1], server_side=True)))
    wrapping.start()
    with trust.wrap_socket(ends[0], server_hostname="h2") as client:
        wrapping.join(PATIENCE_S)
        server = servers[0]
        answers += [client.version(), client.cipher(), client.getpeercert(), ends[0].fileno()]
        reader, back = client.makefile("rb"), server.makefile("rb")
        for sender, receiver in ((server, reader), (client, back)):
            sending = threading.Thread(target=sender.sendall, args=(CONTENT,))
            sending.start()
            answers.append(receiver.read(len(CONTENT)) == CONTENT)
            sending.join(PATIENCE_S)
        client.settimeout(0.05)
        answers.append(_outcome(client.recv, 10))
        client.setblocking(False)
        answers.append(_outcome(client.recv, 10))
        client.setblocking(True)
        buffer = bytearray(3)
        server.send(b"abcdef")
        answers += [client.recv_into(buffer), bytes(buffer), client.pending(), client.recv(10)]
        server.close()
        back.close()
        answers.append(_outcome(client.recv, 10))
        reader.close()
    answers.append(client.fileno())
    return answers


def _outcome(call: Any, *arguments: Any) -> object:
    try:
        return call(*arguments)
    except OSError as refused:
        return type(refused)


def test_run_with_passes_arguments_and_names_what_is_missing(network: Network, hosts: Hosts) -> None:
    said = in_host(network, "h1", "-m", "this")
    assert "Zen of Python" in said
    assert hosts
    for argv, sentence in (
        (["--channel", "/nowhere.sock", __file__], "no endpoint listens at '/nowhere.sock'"),
        (["--channel", network.channel("h1"), "/no/program.py"], "there is no program '/no/program.py'"),
        (["--channel", network.channel("h1")], "the program is missing"),
        ([__file__], "no channel: run it by `run.py exec HOST -- ...`"),
    ):
        command = [sys.executable, "-m", "nodes.client.run_with", *argv]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode
        assert sentence in done.stderr


def test_a_nonblocking_tls_write_that_found_no_room_is_tried_again(hosts: Hosts, certificate: Path) -> None:
    serve, trust = contexts(certificate)
    for context in (serve, trust):
        context.sslsocket_class = TlsSocket  # type: ignore[assignment]
    with our_pair(hosts) as pair:
        servers: list[Any] = []
        far = pair.far
        wrapping = threading.Thread(target=lambda: servers.append(serve.wrap_socket(far, server_side=True)))
        wrapping.start()
        with closing(trust.wrap_socket(pair.near, server_hostname="h2")) as client:
            wrapping.join(PATIENCE_S)
            client.setblocking(False)
            sent, got = 0, 0
            with pytest.raises(ssl.SSLWantWriteError):
                while True:
                    sent += client.send(CONTENT)
            begun = sent
            while sent == begun:  # what was given is still to be sent, as the other end makes room
                got += len(servers[0].recv(1 << 20))
                with suppress(ssl.SSLWantWriteError):
                    sent += client.send(CONTENT)
            client.shutdown(linux.SHUT_WR)  # a close would reset: session tickets have not been read
            while data := servers[0].recv(1 << 20):
                got += len(data)
            assert got == sent
            servers[0].close()
