"""What a program may do with descriptors of sockets: printed line by line. An argument is the peer's address.

It knows Python's own socket module and nothing of the testbed.
"""

import array
import os
import select
import socket
import subprocess
import sys
import threading

PORT = 7000


def connected() -> socket.socket:
    return socket.create_connection((sys.argv[1], PORT), timeout=20)


def duplicates() -> None:
    """The peer sees the end when the last descriptor is closed."""
    sock = connected()
    sock.settimeout(None)
    copy = os.dup(sock.fileno())
    sock.close()
    os.write(copy, b"dup")
    place = os.open(os.devnull, os.O_RDONLY)
    os.dup2(copy, place)
    os.close(copy)
    os.write(place, b"licate")
    os.dup2(os.open(os.devnull, os.O_RDONLY), place)  # closes the last one
    print("duplicates")


def children() -> None:
    """A child writes after its parent has closed; the end of the child is the end of the stream."""
    sock = connected()
    child = os.fork()
    if child == 0:
        sock.sendall(b"from the child")
        os._exit(0)
    sock.close()
    print("children", os.waitpid(child, 0)[1])


def executed() -> None:
    """A descriptor without close-on-exec lives on in another program; one with it does not."""
    kept, lost = connected(), connected()
    code = f"import os; os.write({kept.fileno()}, b'another program')"
    code += f"; print(os.path.exists('/proc/self/fd/{lost.fileno()}'))"
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, pass_fds=[kept.fileno()], stdout=subprocess.PIPE, check=True)
    print("executed", done.stdout.decode().strip())


def handed_over() -> None:
    """SCM_RIGHTS to another process."""
    sock = connected()
    here, there = socket.socketpair()
    child = os.fork()
    if child == 0:
        _, ancdata, _, _ = there.recvmsg(1, socket.CMSG_SPACE(4))
        (fd,) = array.array("i", ancdata[0][2][:4])
        os.write(fd, b"handed over")
        os._exit(0)
    here.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [sock.fileno()]))])
    print("handed over", os.waitpid(child, 0)[1])
    sock.close()


def threads() -> None:
    """One thread is blocked in recv; others send on the same socket and on another."""
    sock, other = connected(), connected()
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(sock.recv(100)))
    reader.start()
    other.sendall(b"meanwhile")
    other.close()
    sock.sendall(b"echo me\n")
    reader.join(20)
    print("threads", got)
    sock.close()


def polled() -> None:
    """poll, select and epoll are the kernel's own, of a socket that does not block."""
    sock = connected()
    sock.setblocking(False)
    try:
        sock.recv(1)
    except BlockingIOError:
        print("would block")
    print("poll", select.select([sock], [sock], [], 0)[:2] == ([], [sock]))
    sock.send(b"echo me\n")
    epoll = select.epoll()
    epoll.register(sock.fileno(), select.EPOLLIN)
    print("epoll", epoll.poll(20) == [(sock.fileno(), select.EPOLLIN)], sock.recv(100))
    sock.close()


if __name__ == "__main__":
    for act in (duplicates, children, executed, handed_over, threads, polled):
        act()
        sys.stdout.flush()
