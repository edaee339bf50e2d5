"""Checking batches in other processes of this machine, several at a time.

A process that dies ends the check; one that was stopped (SIGSTOP) is replaced, and its batch checked by another.
"""

import itertools
import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING

import msgspec

from zkinfer.errors import VerifierUnavailableError
from zkinfer.jobs.batch_checker import Setting
from zkinfer.jobs.check_worker import BatchVerdict
from zkinfer.jobs.manifest import JobBatch
from zkinfer.jobs.processes import STOPPED_SECONDS, Sender, is_stopped, start_process

if TYPE_CHECKING:
    import subprocess

LOOK_SECONDS = 0.5
"""Between two looks whether a process is stopped."""


@dataclass
class _Checker:
    process: "subprocess.Popen[bytes]"
    connection: Connection
    sender: Sender
    batch: JobBatch
    stopped: float = 0.0  # seconds of waiting for it


def check_in_processes(
    setting: Setting, batches: Sequence[JobBatch], workers: int
) -> Generator[BatchVerdict, None, None]:
    """The verdicts on batches, in the order in which they come.

    Args:
        setting: what they are checked against.
        batches: in increasing order.
        workers: how many are checked at once.

    Raises:
        VerifierUnavailableError: a process cannot be started, or died.
    """
    waiting = iter(batches)
    busy: list[_Checker] = []
    try:
        busy.extend(_start(setting, batch) for batch in itertools.islice(waiting, workers))
        while busy:
            ready = wait([checker.connection for checker in busy], LOOK_SECONDS)
            for checker in [checker for checker in busy if checker.connection in ready]:
                yield _receive(checker)
                batch_or_none = next(waiting, None)
                if batch_or_none is None:
                    busy.remove(checker)
                    _end(checker)
                else:
                    checker.batch = batch_or_none
                    checker.sender.send(msgspec.msgpack.encode(batch_or_none))
            if not ready:
                _replace_stopped(setting, busy)
    finally:
        for checker in busy:
            _end(checker)


def _replace_stopped(setting: Setting, busy: list[_Checker]) -> None:
    """Nothing came for `LOOK_SECONDS`: have the batches of those that were stopped for long checked by others."""
    for number, checker in enumerate(busy):
        checker.stopped = checker.stopped + LOOK_SECONDS if is_stopped(checker.process) else 0.0
        if checker.stopped >= STOPPED_SECONDS:
            _end(checker)
            busy[number] = _start(setting, checker.batch)


def _start(setting: Setting, batch: JobBatch) -> _Checker:
    try:
        process, connection = start_process("zkinfer.jobs.check_worker", [], os.environ)
    except OSError as error:
        raise VerifierUnavailableError(f"cannot start a process to verify with: {error}") from None
    sender = Sender(connection)
    sender.send(msgspec.msgpack.encode(setting), msgspec.msgpack.encode(batch))
    return _Checker(process, connection, sender, batch)


def _end(checker: _Checker) -> None:
    checker.process.kill()
    checker.process.wait()
    checker.sender.join()
    checker.connection.close()


def _receive(checker: _Checker) -> BatchVerdict:
    try:
        return msgspec.msgpack.decode(checker.connection.recv_bytes(), type=BatchVerdict)
    except (EOFError, ConnectionError):
        raise VerifierUnavailableError("a process that verifies died, perhaps for want of memory") from None
