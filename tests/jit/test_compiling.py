"""What compiling says to a person who waits."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("numba")

from numba import njit
from numba.core import config
from support.displays import Displays

import zkinfer.jit.compiling
from zkinfer.jit.compiling import COMPILED, CompilationNotice, device, processor_features, source_digest
from zkinfer.progress import quiet


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


def test_in_a_notebook_a_spinner_turns_while_kernels_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    displays, kernel = Displays(), compiling(source_digest)
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    monkeypatch.setitem(sys.modules, "IPython.display", displays)
    monkeypatch.setattr(zkinfer.jit.compiling, "REST_SECONDS", 0.05)
    notice = CompilationNotice()
    for outer in range(2):
        for _ in range(2):  # one within the other, as a kernel and a function that it calls
            notice.on_start(kernel)
        notice.on_end(kernel)
        assert displays.turning == [True, False] * outer + [True], "the outer one is still compiled"
        notice.on_end(kernel)
        deadline = time.monotonic() + 10
        while displays.turning[-1] and time.monotonic() < deadline:
            time.sleep(0.01)
        assert displays.turning == [True, False] * (outer + 1)
    assert {text.partition(",")[0] for text in displays.texts} == {"zkinfer: compiling kernels", COMPILED}
    with quiet():
        CompilationNotice().on_start(kernel)
    assert len(displays.shown) == 4


def test_kernels_of_other_packages_are_their_own_business(said: list[str]) -> None:
    CompilationNotice().on_start(compiling(pytest.importorskip))
    CompilationNotice().on_start(compiling(eval("lambda: 0", {})))
    assert said == []


@device
def _twice(x: float) -> float:
    return 2 * x


_four_times: Any = njit(lambda x: _twice(_twice(x)))


def test_a_part_of_kernels_is_called_by_kernels_alone() -> None:
    """Before and after a kernel has compiled it; a crash of the process would be the alternative."""
    for _ in range(2):
        with pytest.raises(TypeError, match="_twice is a part of kernels"):
            _twice(1.0)
        assert _four_times(1.5) == 6.0


def test_a_constant_in_a_call_is_no_reason_to_compile_a_function_again() -> None:
    @device
    def sum_of(a: Any, b: Any) -> Any:
        return a + b

    @njit  # type: ignore[untyped-decorator]
    def total(x: int) -> int:
        return sum_of(x, 1) + sum_of(2, x) + sum_of(x, b=x)  # type: ignore[no-any-return]

    assert total(10) == 43
    compiled: Any = sum_of
    assert len(compiled.overloads) == 1


def test_code_that_is_kept_is_loaded_without_what_numba_compiles_with(tmp_path: Path) -> None:
    """The first process compiles the kernel, the second finds it, and imports neither numba's operators nor scipy's."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "import numpy as np\n"
        "from zkinfer.jit.compiling import kernel\n"
        "@kernel\n"
        "def total(values):\n"
        "    result = np.int64(0)\n"
        "    for value in values:\n"
        "        result += value\n"
        "    return result\n"
        "assert total(np.arange(5)) == 10\n"
        "print('numba.np.arraymath' in sys.modules, 'scipy.linalg' in sys.modules)\n"
    )
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    first, second = (
        subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    )
    assert first.startswith("True")
    assert second == "False False\n"


def test_kernels_know_which_processor_they_are_compiled_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "CPU_FEATURES", "+avx2,-avx512f")
    assert processor_features() == "+avx2,-avx512f"
    monkeypatch.setattr(config, "CPU_FEATURES", None)
    assert "," in processor_features()
