"""Starting another process of this Python, with a connection to it; and what it does there: it answers messages."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from threading import Thread
from typing import IO

STOPPED_SECONDS = 30.0
"""For a process that was stopped (SIGSTOP) with work to go on, before another one gets its work."""


def start_process(
    module: str, arguments: Sequence[str], environment: Mapping[str, str], log: IO[bytes] | None = None
) -> tuple["subprocess.Popen[bytes]", Connection]:
    """Start a process that runs a module, which finds the modules that this process finds.

    Args:
        module: is run with the number of a file descriptor, its end of the connection, and the arguments.
        log: for what it prints; None lets it print where this process does.

    Raises:
        OSError: it cannot be started.
    """
    ours, theirs = socket.socketpair()
    connection = Connection(ours.detach())
    try:
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", module, str(theirs.fileno()), *arguments],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
    except OSError:
        connection.close()
        raise
    return process, connection


class Sender:
    """Sends messages to a process that may be stopped, and then reads nothing: whoever sends does not wait.

    Args:
        connection: is closed after `join` alone, since a number of a file that is in use may not be given away.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._thread: Thread | None = None

    def send(self, *messages: bytes) -> None:
        """Begin to send, once the process has answered what was sent before."""
        self._thread = Thread(target=self._send, args=messages, daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait until all is sent, or the process is dead."""
        if self._thread is not None:
            self._thread.join()

    def _send(self, *messages: bytes) -> None:
        with suppress(OSError):  # a dead process shows when it is listened to
            for message in messages:
                self._connection.send_bytes(message)


def is_stopped(process: "subprocess.Popen[bytes]") -> bool:
    """Whether a signal has stopped a child, so that it does nothing until another one lets it go on."""
    with suppress(ChildProcessError):
        return os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None
    return False


@contextmanager
def stop_signals_blocked() -> Iterator[None]:
    """Processes that start within do not get the signals by which schedulers and terminals stop a group of processes.

    Unlike a handler that a process sets itself, this holds from its first instruction. This thread gets what comes
    meanwhile when the block ends.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def answer(connection: Connection, reply: Callable[[bytes], bytes]) -> None:
    """Reply to messages, one after another, until the other side closes."""
    with suppress(EOFError, ConnectionError):
        while True:
            connection.send_bytes(reply(connection.recv_bytes()))
