"""`zkinfer audit`: what it says of a log, how it exits, and which files it reads."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.example_programs import everything, mlp
from typer.testing import CliRunner

from zkinfer.cli import app
from zkinfer.cli.audit import map_arrays
from zkinfer.compiler.model import Circuit
from zkinfer.errors import InvalidInputError


def run(*arguments: str | Path) -> tuple[int, str]:
    """Exit code, and what it printed."""
    result = CliRunner().invoke(app, ["audit", *(str(a) for a in arguments)])
    return result.exit_code, result.output


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A circuit and a log of 500 inferences."""
    example = mlp()
    circuit = Circuit(example.program, example.weights, (), b"")
    x = np.random.default_rng(0).integers(-15, 16, (500, 3)) / 8
    circuit.save(tmp_path / "c.zkcircuit")
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", circuit.run(x))
    return tmp_path


def files(log: Path) -> tuple[Path, Path, Path]:
    return log / "c.zkcircuit", log / "x.npy", log / "y.npy"


def edit(log: Path, number: int) -> None:
    y = np.load(log / "y.npy")
    y[number, 1] += 1
    np.save(log / "y.npy", y)


def test_an_honest_log(log: Path) -> None:
    code, text = run(*files(log), "--rate", "0.02", "--confidence", "0.95")
    assert code == 0
    assert text.startswith("AGREES")
    assert "500 inferences" in text
    assert "confidence 95%" in text
    assert "fewer than 2% of the log are wrong" in text


def test_a_difference_is_shown_and_refused(log: Path) -> None:
    edit(log, 321)
    code, text = run(*files(log), "--sample", "500")
    assert code == 1
    assert text.startswith("DIFFERS")
    assert "321, 1" in text
    assert "REFUSED (verification): 1 of 500 inferences" in text
    assert "confidence" not in text


def test_the_seed_decides_what_is_run_again(log: Path) -> None:
    edit(log, 321)
    codes = [run(*files(log), "--sample", "250", "--seed", f"hex:{i:064x}")[0] for i in range(8)]
    assert codes == [run(*files(log), "--sample", "250", "--seed", f"hex:{i:064x}")[0] for i in range(8)]
    assert set(codes) == {0, 1}


def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    example = everything()
    circuit = Circuit(example.program, example.weights, (), b"")
    circuit.save(tmp_path / "c.zkcircuit")
    rng = np.random.default_rng(0)
    x: dict[str, Any] = {"x": rng.integers(-4, 5, (20, 5)) / 4, "gate": rng.integers(0, 4, (20, 2)) / 1}
    np.savez(tmp_path / "x.npz", **x)
    y: dict[str, Any] = dict(zip(("pooled", "shifted"), circuit.run(x), strict=True))
    np.savez(tmp_path / "y.npz", **y)
    code, text = run(tmp_path / "c.zkcircuit", tmp_path / "x.npz", tmp_path / "y.npz")
    assert (code, text.split()[0]) == (0, "AGREES")


@pytest.mark.parametrize(
    "options", [("--rate", "0"), ("--confidence", "1"), ("--sample", "501"), ("--seed", "hex:00")], ids=lambda o: o[0]
)
def test_options_out_of_range_are_bad_input(log: Path, options: tuple[str, str]) -> None:
    code, text = run(*files(log), *options)
    assert code == 3
    assert text.startswith("error: ")


class TestMappedArrays:
    def test_nothing_is_read_before_it_is_used(self, log: Path) -> None:
        assert isinstance(map_arrays(log / "x.npy"), np.memmap)

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"not an array",
            b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f8'}",
            b"\x93NUMPY\x01\x00\x09\x00((((((((\n",
        ],
        ids=["empty", "text", "cut off", "no header"],
    )
    def test_files_that_are_no_arrays(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "x.npy").write_bytes(content)
        with pytest.raises(InvalidInputError, match=r"x\.npy"):
            map_arrays(tmp_path / "x.npy")

    def test_no_such_file(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInputError, match=r"x\.npy"):
            map_arrays(tmp_path / "x.npy")

    def test_python_objects_are_never_read(self, tmp_path: Path) -> None:
        np.save(tmp_path / "x.npy", np.array([{}, []], dtype=object), allow_pickle=True)
        with pytest.raises(InvalidInputError, match=r"x\.npy"):
            map_arrays(tmp_path / "x.npy")

    @pytest.mark.parametrize("change", [-1, 1])
    def test_a_file_of_another_length_than_its_header_says(self, log: Path, change: int) -> None:
        data = (log / "x.npy").read_bytes()
        (log / "x.npy").write_bytes(data[:change] if change < 0 else data + b"\0")
        with pytest.raises(InvalidInputError, match="cut off or was edited"):
            map_arrays(log / "x.npy")
