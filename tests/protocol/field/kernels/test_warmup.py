"""After the first warmup on a machine nothing is left to compile."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("numba")

CODE = """
from numba.core import event
from zkinfer.protocol.field import warmup

recorded = event.RecordingListener()
with event.install_listener("numba:compile", recorded):
    warmup()
print(sum(1 for _, e in recorded.buffer if e.is_start))
"""


def compiled(cache: Path) -> int:
    """How many functions a new process compiles."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache)}
    return int(subprocess.run([sys.executable, "-c", CODE], env=environment, check=True, capture_output=True).stdout)


def test_the_second_process_compiles_nothing(tmp_path: Path) -> None:
    assert compiled(tmp_path) > 50
    assert compiled(tmp_path) == 0


def test_compiled_kernels_are_bound_to_the_text_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    from zkinfer.jit import compiling

    def kernel() -> None:
        return None

    def stamp() -> Any:
        compiled: Any = compiling.kernel(kernel)
        return compiled._cache._cache_file._source_stamp

    first = stamp()
    monkeypatch.setattr(compiling, "source_digest", lambda: "another text")
    second = stamp()
    assert first != second
    assert first[0] == second[0]


@pytest.mark.parametrize(
    "package",
    [
        "execution",
        "native/kernels",
        "protocol/field/kernels",
        "protocol/lookup",
        "protocol/merkle",
        "protocol/sumcheck",
        "jit",
    ],
)
def test_the_text_is_that_of_every_package_with_kernels(package: str, tmp_path: Path) -> None:
    """Kernels of lookups contain functions of the sumcheck's, both contain the field's."""
    from zkinfer.jit import compiling

    for name in (*compiling.PACKAGES, "jit"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "kernels.py").write_text("one text")
    before = compiling.source_digest(tmp_path)
    compiling.source_digest.cache_clear()
    assert compiling.source_digest(tmp_path) == before
    (tmp_path / package / "kernels.py").write_text("another text")
    compiling.source_digest.cache_clear()
    assert compiling.source_digest(tmp_path) != before


def test_no_other_package_has_kernels() -> None:
    from zkinfer.jit import compiling

    root = Path(compiling.__file__).parents[1]
    users = {
        str(path.parent.relative_to(root))
        for path in root.rglob("*.py")
        if "zkinfer.jit.compiling import" in path.read_text()
    }
    assert users == set(compiling.PACKAGES)
