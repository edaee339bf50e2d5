"""`zkinfer rotate`, and verifying with what it publishes."""

from pathlib import Path

import numpy as np
import pytest
from support.example_programs import mlp
from typer.testing import CliRunner

from zkinfer.circuit.qformat import dequantize
from zkinfer.cli import app
from zkinfer.files.kinds import ROTATION
from zkinfer.native.setup import setup

EXAMPLE = mlp()


def run(*arguments: str | Path) -> tuple[int, str]:
    """Exit code, and what it printed."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys that were rotated twice, what was published of them, and a proof of the last ones."""
    folder = tmp_path_factory.mktemp("shop")
    keys = setup(EXAMPLE.program, EXAMPLE.weights, folder=folder / "keys", proofs=4)
    keys.commitment.save(folder / "model.zkc")
    np.save(folder / "x.npy", dequantize(EXAMPLE.x, EXAMPLE.program.inputs[0]))
    for arguments in (
        ("rotate", folder / "keys", "-o", folder / "second", "--publish", folder / "first.zkr"),
        ("rotate", folder / "second", "-o", folder / "third", "--seed", "hex:" + "17" * 32),
        ("prove", folder / "third", folder / "x.npy", "-o", folder / "proof.zkp"),
    ):
        code, text = run(*arguments)
        assert code == 0, text
    return folder


def verified(shop: Path, *rotations: Path) -> tuple[int, str]:
    options = [argument for path in rotations for argument in ("--rotation", path)]
    return run("verify", shop / "proof.zkp", shop / "model.zkc", "--inputs", shop / "x.npy", *options)


def test_a_proof_is_valid_with_the_rotations_in_order(shop: Path) -> None:
    code, text = verified(shop, shop / "first.zkr", shop / "third" / "rotation.zkr")
    assert code == 0
    assert text.startswith("VALID")


def test_without_them_it_is_for_another_commitment(shop: Path) -> None:
    for rotations in ([], [shop / "first.zkr"], [shop / "third" / "rotation.zkr", shop / "first.zkr"]):
        code, text = verified(shop, *rotations)
        assert code == 1
        assert "REFUSED (commitment)" in text


def test_a_damaged_rotation_stops_what_needs_it_and_nothing_else(shop: Path, tmp_path: Path) -> None:
    last = shop / "third" / "rotation.zkr"
    (tmp_path / "damaged.zkr").write_bytes(last.read_bytes()[:-1])
    assert verified(shop, shop / "first.zkr", last, tmp_path / "damaged.zkr")[0] == 0
    code, text = verified(shop, shop / "first.zkr", tmp_path / "damaged.zkr", last)
    assert code == 1
    assert "rotation 2 of the lineage: " in text
    code, text = verified(shop, shop / "first.zkr", last, tmp_path / "misspelt.zkr")
    assert code == 3
    assert "misspelt.zkr: there is no such file" in text


def test_what_rotating_says(shop: Path) -> None:
    code, text = run("rotate", shop / "keys", "-o", shop / "again")
    assert code == 0
    assert str(shop / "again" / "rotation.zkr") in text
    assert "2 with the old keys, 3 with the new ones" in text


def test_an_existing_folder_is_refused(shop: Path) -> None:
    code, text = run("rotate", shop / "keys", "-o", shop / "third")
    assert code == 3
    assert "exists" in text


def test_inspect_says_what_a_rotation_is(shop: Path) -> None:
    code, text = run("inspect", shop / "first.zkr")
    assert code == 0
    assert f"rotation, version {ROTATION.version}" in text
    assert "two commitments are to the same weights" in text


def test_a_damaged_rotation_is_refused(shop: Path, tmp_path: Path) -> None:
    data = bytearray((shop / "first.zkr").read_bytes())
    data[-1] ^= 1
    (tmp_path / "edited.zkr").write_bytes(data)
    code, text = verified(shop, tmp_path / "edited.zkr")
    assert code == 1
    assert "REFUSED (proof file): rotation 1 of the lineage" in text
