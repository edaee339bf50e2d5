"""A process that ends as soon as anything in it opens a socket to a network, in whatever language it is written.

Linux asks a filter before each system call. This one kills the process at `socket`, and lets all others pass, and those
sockets too that lead to this machine alone: looking up the user's own name asks for one.
"""

import ctypes
import platform
import socket
import struct

SOCKET_CALL = {"x86_64": 41, "aarch64": 198}
SUPPORTED = platform.system() == "Linux" and platform.machine() in SOCKET_CALL

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_LOAD_WORD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_KILL_PROCESS, _ALLOW = 0x80000000, 0x7FFF0000


def forbid_networks() -> None:
    """From now on, for this process and those that it starts."""
    program = b"".join(
        struct.pack("HBBI", *line)
        for line in (
            (_LOAD_WORD, 0, 0, 0),  # the number of the call
            (_JUMP_IF_EQUAL, 0, 3, SOCKET_CALL[platform.machine()]),
            (_LOAD_WORD, 0, 0, 16),  # its first argument, the family of addresses
            (_JUMP_IF_EQUAL, 1, 0, socket.AF_UNIX),
            (_RETURN, 0, 0, _KILL_PROCESS),
            (_RETURN, 0, 0, _ALLOW),
        )
    )
    buffer = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer)))
    libc = ctypes.CDLL(None, use_errno=True)
    for call in ((_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header)):
        if libc.prctl(*call):
            raise OSError(ctypes.get_errno(), "cannot set a filter of system calls")
