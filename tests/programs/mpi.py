"""Two ranks of Open MPI: a ping-pong and an all-reduce of exact values. It needs no headers of the library.

It calls MPI's C interface; handles are the addresses of Open MPI's own objects.
"""

import ctypes
import sys

LIBRARY = "libmpi.so.40"
COUNT = 1 << 18  # doubles: 2 MiB
ROUNDS = 20

mpi = ctypes.CDLL(LIBRARY, ctypes.RTLD_GLOBAL)


def handle(name: str) -> ctypes.c_void_p:
    return ctypes.c_void_p(ctypes.addressof(ctypes.c_char.in_dll(mpi, name)))


WORLD, DOUBLE, SUM = handle("ompi_mpi_comm_world"), handle("ompi_mpi_double"), handle("ompi_mpi_op_sum")
Doubles = ctypes.c_double * COUNT


def number(function: str) -> int:
    found = ctypes.c_int()
    call(function, WORLD, ctypes.byref(found))
    return found.value


def call(function: str, *arguments: object) -> None:
    status = getattr(mpi, function)(*arguments)
    if status:
        sys.exit(f"{function}: {status}")


def ping_pong(rank: int) -> int:
    """How many values have come, at rank 0 by way of rank 1."""
    sent, got = Doubles(*range(COUNT)), Doubles()
    for at in range(ROUNDS):
        if rank == 0:
            call("MPI_Send", sent, COUNT, DOUBLE, 1, at, WORLD)
        call("MPI_Recv", got, COUNT, DOUBLE, 1 - rank, at, WORLD, None)
        if rank == 1:
            call("MPI_Send", got, COUNT, DOUBLE, 0, at, WORLD)
    return sum(value == at for at, value in enumerate(got))


def main() -> None:
    call("MPI_Init", None, None)
    rank, size = number("MPI_Comm_rank"), number("MPI_Comm_size")
    mine, total = Doubles(*(rank + at for at in range(COUNT))), Doubles()
    right = ping_pong(rank)
    call("MPI_Allreduce", mine, total, COUNT, DOUBLE, SUM, WORLD)
    reduced = sum(value == 2 * at + 1 for at, value in enumerate(total))
    print(f"rank {rank} of {size}: ping-pong {right} of {COUNT} right, all-reduce {reduced} of {COUNT} right")
    call("MPI_Finalize")


if __name__ == "__main__":
    main()
