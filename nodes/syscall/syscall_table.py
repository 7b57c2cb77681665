"""Which class of call answers which request: the kernel's sys_call_table.

In: a request, its caller, the descriptor that came with it. Out: the call, made once. Owns nothing.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any, Final

from nodes.sock.devmem_socket import DevmemSocket
from nodes.syscall import file_calls, linked_calls, netlink_calls, process_calls, socket_calls
from nodes.syscall.system_call import Caller, SystemCall
from nodes.uapi import socket as uapi
from nodes.uapi import syscalls

_SOCKET_CALLS: Final[dict[type, Callable[[DevmemSocket, Any, Caller], SystemCall]]] = {
    syscalls.RecvMsg: socket_calls.RecvMsgCall,
    syscalls.SendMsg: socket_calls.SendMsgCall,
    syscalls.DontNeed: socket_calls.DontNeedCall,
    syscalls.SendThenRecv: linked_calls.SendThenRecvCall,
    syscalls.GetNames: socket_calls.GetNamesCall,
    syscalls.Bind: socket_calls.BindCall,
    syscalls.Listen: socket_calls.ListenCall,
    syscalls.Connect: socket_calls.ConnectCall,
    syscalls.Disconnect: socket_calls.DisconnectCall,
    syscalls.Accept: socket_calls.AcceptCall,
    syscalls.Shutdown: socket_calls.ShutdownCall,
    syscalls.ReadErrQueue: socket_calls.ReadErrQueueCall,
    syscalls.WaitCompletions: socket_calls.WaitCompletionsCall,
    syscalls.SetSockOpt: socket_calls.SetSockOptCall,
    syscalls.GetSockOpt: socket_calls.GetSockOptCall,
    syscalls.Ioctl: socket_calls.IoctlCall,
    syscalls.Watch: file_calls.WatchCall,
    syscalls.Close: file_calls.CloseCall,
}
_PROCESS_CALLS: dict[type, Callable[[Any, Caller], SystemCall]] = {
    syscalls.Hello: process_calls.HelloCall,
    syscalls.UnregisterMemory: process_calls.UnregisterMemoryCall,
    syscalls.OpenKernelSocket: process_calls.OpenKernelSocketCall,
    syscalls.WithholdMemory: process_calls.WithholdMemoryCall,
    syscalls.GetStats: process_calls.GetStatsCall,
    syscalls.GetSnmp: process_calls.GetSnmpCall,
    syscalls.GetSockets: process_calls.GetSocketsCall,
    syscalls.OpenSocket: file_calls.OpenSocketCall,
    syscalls.AttachSocket: file_calls.AttachSocketCall,
}
_DESCRIPTOR_CALLS: dict[type, Callable[[Any, Caller, int], SystemCall]] = {
    syscalls.RegisterMemory: process_calls.RegisterMemoryCall,
    syscalls.Netlink: netlink_calls.NetlinkCall,
}
TAKES_DESCRIPTOR = tuple(_DESCRIPTOR_CALLS)


def system_call(request: syscalls.AnyRequest, caller: Caller, fd: int) -> SystemCall:
    """The call of `request`. One of TAKES_DESCRIPTOR takes `fd` over (-1: none came). Raises OSError for a
    request that is wrong in itself: EINVAL, EFAULT, ENOTSOCK on a channel that serves no socket."""
    kind = type(request)
    socket_call = _SOCKET_CALLS.get(kind)
    if socket_call is not None:
        if caller.socket is None:
            raise _not_a_socket(request)
        return socket_call(caller.socket, request, caller)
    process_call = _PROCESS_CALLS.get(kind)
    if process_call is not None:
        return process_call(request, caller)
    return _DESCRIPTOR_CALLS[kind](request, caller, fd)


def _not_a_socket(request: syscalls.AnyRequest) -> OSError:
    """A control channel stands for a netlink socket (table D of docs/semantics.md)."""
    if isinstance(request, syscalls.SetSockOpt) and request.option == uapi.SO_DEVMEM_DONTNEED:
        return OSError(errno.EBADF, "SO_DEVMEM_DONTNEED is for TCP sockets, and this one is netlink")
    return OSError(errno.ENOTSOCK, "this channel is not a socket's")
