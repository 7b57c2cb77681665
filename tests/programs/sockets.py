"""sockets.py asyncio|ssl|workers serve|ask ...: Python programs that use its socket module.

In: the server's address; for the server of ssl a key and a certificate. Out: a line for what each side has
seen. It knows nothing of the testbed.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import socket
import ssl
import sys

PORT, CLIENTS, WORDS = 7100, 6, b"word " * 40_000
WORKERS = 3


# --- asyncio: all clients at once, each an echo


async def serve_asyncio() -> None:
    left, done = CLIENTS, asyncio.Event()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal left
        writer.write(await reader.read(-1))
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        left -= 1
        if not left:
            done.set()

    async with await asyncio.start_server(echo, "0.0.0.0", PORT):
        await done.wait()
    print("echoed", CLIENTS - left)


async def ask_asyncio(address: str) -> None:
    async def one() -> bool:
        reader, writer = await asyncio.open_connection(address, PORT)
        writer.write(WORDS)
        writer.write_eof()
        answer = await reader.read(-1)
        writer.close()
        return answer == WORDS

    print("right", sum(await asyncio.gather(*(one() for _ in range(CLIENTS)))))


# --- ssl: Python's own TLS over the descriptor


def serve_ssl(key: str, certificate: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("0.0.0.0", PORT)) as listener:
        connection, _ = listener.accept()
        with context.wrap_socket(connection, server_side=True) as secure:
            data = b""
            while len(data) < len(WORDS):
                data += secure.recv(65536)
            secure.sendall(data)
            print("secure", secure.version(), data == WORDS)
            secure.unwrap()


def ask_ssl(address: str) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((address, PORT)) as plain, context.wrap_socket(plain) as secure:
        secure.sendall(WORDS)
        with secure.makefile("rb") as answer:
            print("secure", secure.version(), answer.read() == WORDS)
        secure.unwrap()


# --- multiprocessing: workers that share a listener, and clients in a pool


def _work(listener: socket.socket, served: multiprocessing.SimpleQueue[int]) -> None:
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(connection.recv(100).upper())
        served.put(os.getpid())


def serve_workers() -> None:
    served: multiprocessing.SimpleQueue[int] = multiprocessing.SimpleQueue()
    with socket.create_server(("0.0.0.0", PORT)) as listener:
        workers = [multiprocessing.Process(target=_work, args=(listener, served)) for _ in range(WORKERS)]
        for worker in workers:
            worker.start()
        pids = [served.get() for _ in range(CLIENTS)]
        for worker in workers:
            worker.terminate()
            worker.join()
    print("served", len(pids), "by workers", {*pids} <= {worker.pid for worker in workers})


def _ask(address: str) -> bytes:
    with socket.create_connection((address, PORT)) as sock:
        sock.sendall(b"word")
        return sock.recv(100)


def ask_workers(address: str) -> None:
    with multiprocessing.Pool(WORKERS) as pool:
        print("right", pool.map(_ask, [address] * CLIENTS).count(b"WORD"))


def main(kind: str, side: str, *more: str) -> None:
    made = globals()[f"{side}_{kind}"](*more)
    if asyncio.iscoroutine(made):
        asyncio.run(made)


main(*sys.argv[1:])
