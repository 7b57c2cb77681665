"""A server: prints what each connection brought once it has ended, and echoes what says so. Its argument is
how many connections it serves."""

import os
import socket
import sys
import threading


def serve(sock: socket.socket) -> None:
    got = b""
    while data := sock.recv(65536):
        got += data
        if got.endswith(b"echo me\n"):
            sock.sendall(got)
    os.write(1, got.strip() + b"\n")  # in one piece, beside the other threads'


if __name__ == "__main__":
    with socket.create_server(("0.0.0.0", 7000)) as listener:
        threads = []
        for _ in range(int(sys.argv[1])):
            threads.append(threading.Thread(target=serve, args=[listener.accept()[0]]))
            threads[-1].start()
        for thread in threads:
            thread.join()
