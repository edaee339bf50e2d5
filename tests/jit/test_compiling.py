"""What compiling says to a person who waits."""

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("numba")

import zkinfer.jit.compiling
from zkinfer.jit.compiling import CompilationNotice, source_digest


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is announced."""
    lines: list[str] = []
    monkeypatch.setattr(zkinfer.jit.compiling, "notice", lines.append)
    return lines


def compiling(function: Any) -> Any:
    """Numba's event of a function that is about to be compiled."""
    return SimpleNamespace(data={"dispatcher": SimpleNamespace(py_func=function)})


def test_the_first_kernel_is_announced_and_no_other(said: list[str]) -> None:
    notice = CompilationNotice()
    for _ in range(3):
        notice.on_start(compiling(source_digest))
        notice.on_end(compiling(source_digest))
    assert len(said) == 1
    assert "zkinfer warmup" in said[0]


def test_kernels_of_other_packages_are_their_own_business(said: list[str]) -> None:
    CompilationNotice().on_start(compiling(pytest.importorskip))
    CompilationNotice().on_start(compiling(eval("lambda: 0", {})))
    assert said == []
