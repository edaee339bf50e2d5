"""Processes that answer messages: they are found with their modules, and end when the other side closes."""

import os
import signal
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path
from socket import socketpair
from threading import Thread

import pytest

from zkinfer.jobs.processes import answer, start_process, stop_signals_blocked


def test_messages_are_answered_until_the_other_side_closes() -> None:
    ours, theirs = (Connection(end.detach()) for end in socketpair())
    thread = Thread(target=answer, args=(theirs, bytes.upper))
    thread.start()
    with closing(ours):
        for message in (b"one", b"two"):
            ours.send_bytes(message)
            assert ours.recv_bytes() == message.upper()
    thread.join(10)
    assert not thread.is_alive()


def test_a_process_finds_the_modules_that_this_one_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "echo.py").write_text(
        "import sys\n"
        "from multiprocessing.connection import Connection\n"
        "from zkinfer.jobs.processes import answer\n"
        "print('begun')\n"
        "answer(Connection(int(sys.argv[1])), lambda message: message + sys.argv[2].encode())\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with (tmp_path / "log").open("wb") as log:
        process, connection = start_process("echo", ["!"], os.environ, log)
    with closing(connection):
        connection.send_bytes(b"hello")
        assert connection.recv_bytes() == b"hello!"
    assert process.wait(30) == 0
    assert (tmp_path / "log").read_text() == "begun\n"


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_process_that_starts_with_signals_blocked_outlives_them_from_its_beginning(
    stop: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while it still imports what it needs; the process that started it gets such signals as before."""
    (tmp_path / "patient.py").write_text(
        "import sys\n"
        "from multiprocessing.connection import Connection\n"
        "from zkinfer.jobs.processes import answer\n"
        "answer(Connection(int(sys.argv[1])), bytes.upper)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with stop_signals_blocked():
        process, connection = start_process("patient", [], os.environ)
    process.send_signal(stop)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    with closing(connection):
        connection.send_bytes(b"hello")
        assert connection.recv_bytes() == b"HELLO"
    assert process.wait(30) == 0
