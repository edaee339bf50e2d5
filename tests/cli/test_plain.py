"""`zkinfer verify` in a base install: what the whole command line says, with three packages."""

import inspect
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from support.example_programs import mlp
from typer.testing import CliRunner

from zkinfer.circuit.qformat import dequantize
from zkinfer.cli import app, plain
from zkinfer.cli.app import verify
from zkinfer.extras import EXTRAS
from zkinfer.native.prove import prove
from zkinfer.native.setup import setup

CONTEXT = "request 1"


@dataclass(frozen=True)
class Shop:
    """A proof, what it was made of, and words to check it with."""

    folder: Path

    @property
    def words(self) -> list[str]:
        names = (str(self.folder / name) for name in ("proof.zkp", "model.zkc", "x.npy"))
        proof, commitment, inputs = names
        return ["verify", proof, commitment, "--inputs", inputs, "--context", CONTEXT]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder, example = tmp_path_factory.mktemp("shop"), mlp()
    keys = setup(example.program, example.weights, proofs=2)
    rng = np.random.default_rng(0)
    inputs = [rng.integers(t.lo, t.hi + 1, (1, *t.shape)) for t in example.program.inputs]
    inputs[0].flat[0] = example.program.inputs[0].hi
    prove(keys, inputs, CONTEXT.encode()).save(folder / "proof.zkp")
    keys.commitment.save(folder / "model.zkc")
    (tensor,) = example.program.inputs
    np.save(folder / "x.npy", dequantize(inputs[0], tensor).reshape(-1, *tensor.shape[1:]))
    beyond = np.load(folder / "x.npy")
    beyond.flat[0] += 100
    np.save(folder / "beyond.npy", beyond)
    return Shop(folder)


def base_install(*words: str) -> subprocess.CompletedProcess[str]:
    """The command where no optional package can be imported."""
    code = (
        f"import sys\nfor name in {sorted(EXTRAS)}: sys.modules[name] = None\n"
        f"sys.argv = ['zkinfer', *{list(words)!r}]\nfrom zkinfer.cli import main; main()"
    )
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=os.environ | {"NO_COLOR": "1"}
    )


def without_time(text: str) -> list[str]:
    return [line for line in text.splitlines() if "checked by" not in line]


def test_a_proof_is_checked_in_the_same_words(shop: Shop) -> None:
    whole, base = CliRunner().invoke(app, shop.words), base_install(*shop.words)
    assert (base.returncode, base.stderr) == (0, "")
    assert base.stdout.startswith("VALID")
    assert without_time(base.stdout) == without_time(whole.output)


def test_values_that_were_clipped_are_counted(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(shop.folder / "beyond.npy") if word.endswith("x.npy") else word for word in shop.words]
    refused = CliRunner().invoke(app, words)
    assert (refused.exit_code, "--saturate" in refused.output) == (3, True)
    whole = CliRunner().invoke(app, [*words, "--saturate"])
    assert "1 of 3 values clipped), gives these outputs" in whole.output.splitlines()[0]
    assert plain.main([*words, "--saturate"]) == 0
    assert without_time(capsys.readouterr().out) == without_time(whole.output)
    for inputs, clipped in ((words, 1), (shop.words, 0)):
        assert plain.main([*inputs, "--saturate", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["clipped"] == clipped


def test_json_has_the_same_fields(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    assert plain.main([*shop.words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    expected = json.loads(CliRunner().invoke(app, [*shop.words, "--json"]).stdout)
    assert found | {"seconds": 0} == expected | {"seconds": 0}


def test_the_options_are_those_of_the_whole_command_line() -> None:
    given = vars(plain._parser("").parse_args(["verify", "proof.zkp", "model.zkc"]))
    assert set(given) == set(inspect.signature(verify).parameters) - {"call"}


@pytest.mark.parametrize(
    ("changes", "code", "line"),
    [
        (["--context", "request 2"], 1, "REFUSED (statement): "),
        (["--inputs", "nowhere.npy"], 3, "error: "),
        (["--rotation", "nowhere.zkr"], 3, "error: "),
    ],
)
def test_errors_have_the_same_line_and_code(
    shop: Shop, changes: list[str], code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plain.main([*shop.words, *changes]) == code
    told = capsys.readouterr().err
    assert told.startswith(line)
    assert told == CliRunner().invoke(app, [*shop.words, *changes]).stderr


@pytest.mark.parametrize("changes", [["--max-runs", "0"], ["--decimals", "-1"], ["--engine", "none"], ["--no-such"]])
def test_wrong_usage_ends_with_2(shop: Shop, changes: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        plain.main([*shop.words, *changes])
    assert ended.value.code == 2


def test_other_commands_say_what_to_install() -> None:
    ended = base_install("inspect", "proof.zkp")
    assert ended.returncode == 4
    assert ended.stderr.count("\n") == 1
    assert "pip install 'zkinfer[cli]'" in ended.stderr


def test_help_names_what_there_is() -> None:
    ended = base_install("--help")
    assert ended.returncode == 0
    assert "verify" in ended.stdout
    assert "zkinfer[cli]" in ended.stdout
