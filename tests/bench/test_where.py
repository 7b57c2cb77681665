"""What a sample of perf is counted as: a system call, or the innermost compiled function of nodes/."""

from __future__ import annotations

import pytest

from nodes.compiled.state import State
from tests.bench.where import main, place, stacks
from tests.docs.pages import command

COMMAND = command("docs/performance.md", ".venv/bin/python -m tests.bench.where")

SCRIPT = """
\tffffffff81a0 _copy_to_iter ([kernel.kallsyms])
\tffffffff81b0 __x64_sys_recvmsg ([kernel.kallsyms])
\t7f10 __libc_recvmsg (/lib/libc.so.6)
\t7f20 CPyDef_af_packet___AfPacket___peek (/x/nodes__mypyc.so)
\t7f30 CPyDef_net_device___NetDevice___poll (/x/nodes__mypyc.so)

\t7f40 PyLong_FromLong (/usr/bin/python3.11)
\t7f50 CPyDef_tcp___parse (/x/nodes__mypyc.so)
\t7f60 CPyDef_tcp_rcv___TcpRcv___receive (/x/nodes__mypyc.so)
"""


def test_a_script_is_read_stack_by_stack() -> None:
    first, second = stacks(SCRIPT.splitlines())
    assert first[0] == "_copy_to_iter"
    assert second == ["PyLong_FromLong", "CPyDef_tcp___parse", "CPyDef_tcp_rcv___TcpRcv___receive"]


ENTRY, OURS = "do_syscall_64", "CPyDef_loop___Loop___serve_round"


@pytest.mark.parametrize(
    ("stack", "said"),
    [
        (["x", ENTRY, "CPyDef_af_packet___AfPacket___peek", OURS], "kernel: peek at a frame"),
        (["x", ENTRY, "CPyDef_af_packet___AfPacket____take"], "kernel: read a frame"),
        ([ENTRY, "CPyDef_af_packet___AfPacket___send"], "kernel: send a frame"),
        (["unix_seqpacket_sendmsg", ENTRY, "_PyEval_EvalFrameDefault", OURS], "kernel: channel"),
        (["schedule", "do_epoll_wait", ENTRY, OURS], "kernel: look and wait (epoll)"),
        ([ENTRY, OURS], "kernel: other"),
        (["PyLong_FromLong", "CPyDef_tcp___parse", "CPyDef_tcp_rcv___TcpRcv___receive"], "wire/"),
        (["CPyDef_tcp_rcv___TcpRcv___receive"], "sock/"),
        (["CPyDef_skb___Skb___put"], "skb.py"),
        (["_PyEval_EvalFrameDefault"], "Python that is not compiled"),
    ],
)  # fmt: skip
def test_a_sample_belongs_to_the_call_or_to_the_innermost_folder(stack: list[str], said: str) -> None:
    assert place(stack) == said


@pytest.mark.parametrize(("perf", "said"), [(None, "not installed: `apt-get"), ("/perf", "runs as pure")])
def test_what_is_missing_is_said(
    perf: str | None, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.which", lambda _: perf)
    monkeypatch.setattr("tests.bench.where.state", lambda: State(False, "it has not been compiled"))
    monkeypatch.setattr("sys.argv", COMMAND.split()[2:])
    assert main() == 1
    assert said in capsys.readouterr().err
