"""The examples, and the program in the README, run as they stand."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SECONDS = 300
"""Far more than an example takes; a machine may be busy with other tests."""


def run(*arguments: str | Path, folder: Path = ROOT) -> str:
    """Run a program, by default in the repository's root, and return what it printed."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_tested() -> None:
    named = re.findall(r'ROOT / "examples" / "(\w+\.py)"', Path(__file__).read_text())
    assert {path.name for path in (ROOT / "examples").glob("*.py")} == set(named)


def test_digits_from_torch() -> None:
    text = run(ROOT / "examples" / "digits_from_torch.py")
    assert "proven: this is a" in text
    assert "the same proof is refused" in text


def test_diagnosis_from_files() -> None:
    text = run(ROOT / "examples" / "diagnosis_from_files.py")
    assert "auditor: VALID" in text
    assert "auditor: REFUSED (statement): the inputs differ" in text


def test_own_activation(tmp_path: Path) -> None:
    text = run(ROOT / "examples" / "own_activation.py", tmp_path / "report.png")
    assert "proven: True" in text
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")


def test_audit() -> None:
    text = run(ROOT / "examples" / "audit.py")
    assert "of 450 answers of the circuit, 0 differ when run again" in text
    assert "audit passed: False" in text


def test_program_in_the_readme(tmp_path: Path) -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    (tmp_path / "readme.py").write_text(program)
    (tmp_path / "circuits").symlink_to(ROOT / "circuits")
    assert run(tmp_path / "readme.py", folder=tmp_path).strip() == "7"


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.name)
def test_examples_say_how_to_run_them(path: Path) -> None:
    assert f"python examples/{path.name}" in path.read_text().split('"""')[1]
