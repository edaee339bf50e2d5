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


def accuracies(text: str) -> tuple[float, float]:
    """Percent of the float model and of the circuit, as examples print them."""
    (found,) = re.findall(r"float (\d+\.\d)%, circuit (\d+\.\d)%", text)
    return float(found[0]), float(found[1])


def test_every_example_is_tested() -> None:
    named = re.findall(r'ROOT / "examples" / "(\w+\.py)"', Path(__file__).read_text())
    assert {path.name for path in (ROOT / "examples").glob("*.py")} == set(named)


def test_digits_from_torch() -> None:
    """A CNN, compiled for a target."""
    text = run(ROOT / "examples" / "digits_from_torch.py")
    float_accuracy, circuit_accuracy = accuracies(text)
    assert float_accuracy >= 96
    assert circuit_accuracy >= float_accuracy - 1
    assert "this is a 2 (labelled 2)" in text
    assert "the same proof is refused: the inputs differ" in text


def test_digits_transformer() -> None:
    text = run(ROOT / "examples" / "digits_transformer.py")
    float_accuracy, circuit_accuracy = accuracies(text)
    assert float_accuracy >= 95
    assert circuit_accuracy >= float_accuracy - 0.5
    assert "same answer as float" in text
    assert "64 answers proven" in text
    assert "a forged answer is refused: the proof does not show this statement" in text


def test_diagnosis_trees() -> None:
    text = run(ROOT / "examples" / "diagnosis_trees.py")
    float_accuracy, circuit_accuracy = accuracies(text)
    assert float_accuracy >= 94
    assert circuit_accuracy == float_accuracy
    assert "malignant, with probability" in text
    assert "measurements None" in text
    assert "a letter with another diagnosis is refused: output 'label'" in text


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


def test_the_image_installs_what_is_locked_and_compiles_the_kernels() -> None:
    """Images are not built here; their lines name what exists."""
    text = (ROOT / "examples" / "docker" / "Dockerfile").read_text()
    assert (ROOT / "constraints" / "locked.txt").is_file()
    assert "--constraint /src/constraints/locked.txt '/src[prove]'" in text
    assert text.index("ENV NUMBA_CACHE_DIR=") < text.index("RUN zkinfer warmup")
