"""Benchmarks are started without make, and onnxruntime sends no report of them to its maker."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
ALONE = BENCHMARKS / "runtime.py"


def imported(path: Path) -> set[str]:
    """The packages that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("path", sorted(BENCHMARKS.glob("*.py")), ids=lambda path: path.name)
def test_one_module_alone_loads_onnxruntime(path: Path) -> None:
    assert ("onnxruntime" in imported(path)) == (path == ALONE)


def test_that_module_switches_its_reports_off_before() -> None:
    lines = [ast.unparse(node) for node in ast.parse(ALONE.read_text()).body]
    switched = lines.index("os.environ['ORT_DISABLE_TELEMETRY'] = '1'")
    assert switched < min(number for number, line in enumerate(lines) if "import" in line and "onnxruntime" in line)


def test_no_benchmark_loads_it_by_another_way() -> None:
    """A package that a benchmark loads before, such as torch, might load it too."""
    loaded = "import sys, skl2onnx, sklearn, torch, onnx; sys.exit('onnxruntime' in sys.modules)"
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    assert subprocess.run([sys.executable, "-c", loaded], env=environment, check=False).returncode == 0
