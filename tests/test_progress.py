"""Progress is shown for long work in a terminal, and for nothing else."""

import io
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import ModuleType

import pytest
from support.displays import Displays

import zkinfer.progress
from zkinfer.progress import Turning, activity, duration, notice, progress, quiet


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _become_terminal(monkeypatch: pytest.MonkeyPatch) -> _Terminal:
    terminal = _Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    return terminal


def _counted(seconds: float) -> None:
    with progress("calibrating", 2) as advance:
        advance(1)
        time.sleep(seconds)
        advance(1)


def _uncounted(seconds: float) -> None:
    with activity("reading the model"):
        time.sleep(seconds)


@pytest.mark.parametrize(("work", "text"), [(_counted, "calibrating"), (_uncounted, "reading the model")])
class TestDisplay:
    def test_long_work_is_shown(
        self, work: Callable[[float], None], text: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        terminal = _become_terminal(monkeypatch)
        monkeypatch.setattr(zkinfer.progress, "PATIENCE_SECONDS", 0.02)
        work(0.2)
        assert text in terminal.getvalue()

    def test_short_work_shows_nothing(
        self, work: Callable[[float], None], text: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        terminal = _become_terminal(monkeypatch)
        work(0.01)
        assert text not in terminal.getvalue()

    def test_nothing_is_shown_outside_a_terminal(
        self, work: Callable[[float], None], text: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log = io.StringIO()
        monkeypatch.setattr("sys.stderr", log)
        monkeypatch.setattr(zkinfer.progress, "PATIENCE_SECONDS", 0.0)
        work(0.05)
        assert log.getvalue() == ""


def test_notices_can_be_kept_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _become_terminal(monkeypatch)
    notice("one")
    with quiet():
        notice("two")
    notice("three")
    assert terminal.getvalue() == "one\nthree\n"


@pytest.mark.parametrize("shown", [progress("work", 1), activity("work")])
def test_errors_pass_through(shown: AbstractContextManager[object]) -> None:
    with pytest.raises(ValueError, match="inside"), shown:
        raise ValueError("inside")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 us"), (0.00134, "1.34 ms"), (12.5, "12.5 s"), (119, "119 s"), (192, "3.2 min"), (9000, "2.5 h")],
)
def test_durations_have_three_digits_and_a_fitting_unit(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_notice_is_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _become_terminal(monkeypatch)
    notice("compiling")
    assert terminal.getvalue() == "compiling\n"


@pytest.fixture
def displays(monkeypatch: pytest.MonkeyPatch) -> Displays:
    found = Displays()
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    monkeypatch.setitem(sys.modules, "IPython.display", found)
    return found


class TestInNotebooks:
    def test_long_work_turns_until_it_is_done(self, displays: Displays, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(zkinfer.progress, "PATIENCE_SECONDS", 0.02)
        _uncounted(0.2)
        assert displays.texts[0] == "reading the model"
        assert displays.texts[1].startswith("reading the model: ")
        assert displays.turning == [True, False]

    def test_short_work_shows_nothing(self, displays: Displays) -> None:
        _uncounted(0.01)
        assert displays.shown == []

    def test_text_is_text(self, displays: Displays) -> None:
        Turning("<script>")
        assert "<script>" not in displays.shown[0]["text/html"]


def test_of_work_within_work_the_outer_is_shown(displays: Displays, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zkinfer.progress, "PATIENCE_SECONDS", 0.02)
    with activity("making keys"):
        _uncounted(0.1)
    _uncounted(0.1)
    assert [text.partition(":")[0] for text in displays.texts] == ["making keys"] * 2 + ["reading the model"] * 2


def test_a_notice_is_for_notebooks(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = io.StringIO()
    monkeypatch.setattr("sys.stderr", cell)
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    notice("compiling")
    assert cell.getvalue() == "compiling\n"


def test_a_notice_is_not_for_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    monkeypatch.setattr("sys.stderr", log)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    notice("compiling")
    assert log.getvalue() == ""
