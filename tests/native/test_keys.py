"""Key folders of the native backend: whole or absent, private, checked when read, and never more proofs than hidden."""

import json
import multiprocessing
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.example_programs import Example, everything, mlp
from support.paths import TESTS as TESTS_FOLDER

from zkinfer.backend import Keys
from zkinfer.circuit.program import Program
from zkinfer.errors import ArtifactError, BudgetError, InvalidInputError, WrongKeyError
from zkinfer.execution.executor import Executor
from zkinfer.files.artifact import wrap
from zkinfer.files.budget import create
from zkinfer.files.integers import array_width
from zkinfer.files.key_folder import COMMITMENT_FILE, SECRET_FILE, SECRET_KIND
from zkinfer.native import storage
from zkinfer.native.keys import MATRIX_FOLDER, SECRET_VERSION, WEIGHTS_FILE, NativeKeys
from zkinfer.native.setup import setup
from zkinfer.typing import IntArray

SEED = bytes(range(100, 132))
TESTS = str(TESTS_FOLDER)
MAPPED = [WEIGHTS_FILE, *(f"{MATRIX_FOLDER}/{name}" for name in ("data", "copies"))]
"""Files that loading maps without reading them."""


@pytest.fixture(scope="module")
def example() -> Example:
    return mlp()


@pytest.fixture(scope="module")
def keys(example: Example) -> NativeKeys:
    return setup(example.program, example.weights, proofs=4, seed=SEED)


@pytest.fixture
def copy(keys: NativeKeys, tmp_path: Path) -> Path:
    """A copy of the keys to damage."""
    return Path(shutil.copytree(keys.folder, tmp_path / "copy"))


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def flip(path: Path, position: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def test_load_gives_back_what_setup_made(keys: NativeKeys, example: Example) -> None:
    for verify_files in (False, True):
        loaded = Keys.load(keys.folder, verify_files=verify_files)
        assert isinstance(loaded, NativeKeys)
        assert loaded.commitment == keys.commitment
        assert loaded.seed == SEED
        assert loaded.proofs_left == loaded.budget == 4
        for weights, expected in zip(loaded.weights, example.weights, strict=True):
            assert weights.dtype == np.int64
            np.testing.assert_array_equal(weights, expected)


@pytest.mark.parametrize("top", [127, 128, 32768, 2**40])
def test_weights_of_every_width_come_back(tmp_path: Path, top: int) -> None:
    """Written with the least width; a scalar is a tensor too."""
    from zkinfer.circuit.program import PROGRAM_VERSION, Einsum, Program, Tensor

    inputs = (Tensor("x", (1,), 0, 0, 1),)
    weights = (Tensor("w", (3,), 0, -(2**41), 2**41), Tensor("s", (), 0, -5, 5))
    nodes = (Einsum(Tensor("y", (1, 3), 0, -(2**42), 2**42), "b,o->bo", (0, 1)),)
    program = Program(PROGRAM_VERSION, inputs, weights, (), nodes, (3,))
    values = [np.array([top, -top, 0]), np.array(-5)]
    setup(program, values, folder=tmp_path / "keys", proofs=1)
    loaded = NativeKeys.load(tmp_path / "keys", verify_files=True)
    for found, expected in zip(loaded.weights, values, strict=True):
        np.testing.assert_array_equal(found, expected)
    widths = {127: 1, 128: 2, 32768: 4, 2**40: 8}
    assert (tmp_path / "keys" / WEIGHTS_FILE).stat().st_size == 3 * widths[top] + 1


def test_weights_are_executed_in_the_integers_that_they_are_stored_in(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[np.dtype[Any]] = []
    honest = Executor.__init__

    def noted(self: Executor, program: Program, weights: Sequence[IntArray], **options: Any) -> None:
        given.extend(weight.dtype for weight in weights)
        honest(self, program, weights, **options)

    monkeypatch.setattr(Executor, "__init__", noted)
    loaded = NativeKeys.load(copy)
    assert loaded.executor.program == loaded.program
    assert given == [np.dtype(f"i{array_width(weight)}") for weight in loaded.weights]
    assert max(dtype.itemsize for dtype in given) < 8


def test_all_but_the_commitment_is_for_the_owner_alone(keys: NativeKeys) -> None:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in files(keys.folder)}
    assert modes.pop(COMMITMENT_FILE) == 0o644
    assert set(modes.values()) == {0o600}
    assert len(modes) == 6
    for folder in (keys.folder, keys.folder / MATRIX_FOLDER):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_the_seed_is_in_one_file(keys: NativeKeys) -> None:
    assert [path.name for path in files(keys.folder) if SEED in path.read_bytes()] == [SECRET_FILE]


@pytest.mark.parametrize(
    "name", [COMMITMENT_FILE, SECRET_FILE, *MAPPED, f"{MATRIX_FOLDER}/header.json", f"{MATRIX_FOLDER}/budget"]
)
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(ArtifactError, match=Path(name).stem):
        Keys.load(copy)


@pytest.mark.parametrize("name", [COMMITMENT_FILE, SECRET_FILE, *MAPPED])
@pytest.mark.parametrize("bytes_more", [-1, 1])
def test_a_file_of_another_size_is_refused(copy: Path, name: str, bytes_more: int) -> None:
    os.truncate(copy / name, (copy / name).stat().st_size + bytes_more)
    with pytest.raises(ArtifactError):
        Keys.load(copy)


@pytest.mark.parametrize("name", [COMMITMENT_FILE, SECRET_FILE, f"{MATRIX_FOLDER}/header.json"])
def test_a_flipped_bit_in_what_is_read_is_found(copy: Path, name: str) -> None:
    flip(copy / name)
    with pytest.raises(ArtifactError, match=re.escape(Path(name).parts[0])):
        Keys.load(copy)


@pytest.mark.parametrize("name", MAPPED)
@pytest.mark.parametrize("position", [40, -1])
def test_a_flipped_bit_in_what_is_mapped_is_found_on_request(copy: Path, name: str, position: int) -> None:
    position = min(position, (copy / name).stat().st_size - 1)
    flip(copy / name, position)
    with pytest.raises((WrongKeyError, ArtifactError), match=r"damaged|do not belong together"):
        Keys.load(copy, verify_files=True)


def test_damaged_weights_are_found_before_a_proof_is_spent(copy: Path, example: Example) -> None:
    keys = NativeKeys.load(copy)
    flip(copy / WEIGHTS_FILE)
    with pytest.raises(WrongKeyError, match="damaged"):
        keys.prove([example.x[None]], b"")
    assert keys.proofs_left == 4


@pytest.mark.parametrize("part", [COMMITMENT_FILE, SECRET_FILE, MATRIX_FOLDER])
def test_parts_of_other_keys_are_refused(copy: Path, example: Example, part: str) -> None:
    """Same program, same weights, same sizes: only the randomness differs."""
    foreign = setup(example.program, example.weights, proofs=4)
    if part == MATRIX_FOLDER:
        shutil.rmtree(copy / part)
        shutil.copytree(foreign.folder / part, copy / part)
    else:
        shutil.copyfile(foreign.folder / part, copy / part)
    with pytest.raises(WrongKeyError, match="belongs to other keys"):
        Keys.load(copy)


def test_a_matrix_for_another_number_of_proofs_than_was_published_is_refused(copy: Path) -> None:
    header = json.loads((copy / MATRIX_FOLDER / storage.HEADER).read_text())
    (copy / MATRIX_FOLDER / storage.HEADER).write_text(json.dumps(header | {"proofs": 3}))
    (copy / MATRIX_FOLDER / storage.BUDGET).unlink()
    create(copy / MATRIX_FOLDER / storage.BUDGET, bytes.fromhex(header["root"]), 3)
    with pytest.raises(WrongKeyError, match=r"for 3 proofs, commitment.zkc for 4"):
        Keys.load(copy)


def test_secrets_of_another_form_are_refused(copy: Path) -> None:
    for payload in (b"", b"\x90", b"\xff"):
        (copy / SECRET_FILE).write_bytes(wrap(SECRET_KIND, SECRET_VERSION, payload))
        with pytest.raises(ArtifactError, match=SECRET_FILE):
            Keys.load(copy)


def test_keys_of_ezkl_are_not_mistaken(copy: Path) -> None:
    vectors = Path(TESTS) / "ezkl" / "verifier" / "data"
    shutil.copyfile(vectors / "dense.zkc", copy / COMMITMENT_FILE)
    with pytest.raises((ArtifactError, WrongKeyError)):
        Keys.load(copy)
    with pytest.raises((ArtifactError, WrongKeyError)):
        NativeKeys.load(copy)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        for load in (Keys.load, NativeKeys.load):
            with pytest.raises(ArtifactError):
                load(path)


def test_save_moves_keys_and_budget(copy: Path, tmp_path: Path) -> None:
    keys = NativeKeys.load(copy)
    keys.counter.spend()
    assert keys.save(tmp_path / "moved") == tmp_path / "moved"
    assert not copy.exists()
    assert keys.proofs_left == 3
    keys.counter.spend()
    assert Keys.load(tmp_path / "moved", verify_files=True).proofs_left == 2
    with pytest.raises(InvalidInputError, match="exists"):
        keys.save(tmp_path / "moved")


def test_a_process_that_still_has_the_old_path_spends_nothing(copy: Path, tmp_path: Path) -> None:
    behind = NativeKeys.load(copy)
    NativeKeys.load(copy).save(tmp_path / "moved")
    with pytest.raises(ArtifactError, match="budget file"):
        behind.counter.spend()
    assert Keys.load(tmp_path / "moved").proofs_left == 4


@pytest.mark.parametrize("how", ["replaced", "overwritten", "restored"])
def test_a_service_does_not_spend_the_budget_of_keys_that_took_the_place_of_its_own(
    example: Example, copy: Path, tmp_path: Path, how: str
) -> None:
    """It has made two of four proofs when the keys are renewed: by a new folder, by `cp -r`, or from a backup."""
    backup = shutil.copytree(copy, tmp_path / "backup")
    service = NativeKeys.load(copy)
    for _ in range(2):
        service.prove([example.x[None]], b"")
    new = tmp_path / "new"
    setup(example.program, example.weights, folder=new, proofs=4)
    if how == "overwritten":
        for path in (COMMITMENT_FILE, f"{MATRIX_FOLDER}/budget"):
            shutil.copyfile(new / path, copy / path)
    else:
        shutil.rmtree(copy)
        shutil.copytree(new if how == "replaced" else backup, copy)
    with pytest.raises(WrongKeyError, match=r"renewed"):
        service.prove([example.x[None]], b"")
    if how == "replaced":
        assert NativeKeys.load(copy).proofs_left == 4


# Crashes and processes beside one another.


def test_parallel_provers_share_the_budget(example: Example, tmp_path: Path) -> None:
    setup(example.program, example.weights, folder=tmp_path / "keys", proofs=30)
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert sum(pool.map(_spend_all, [tmp_path / "keys"] * 3)) == 30
    assert Keys.load(tmp_path / "keys").proofs_left == 0


def _spend_all(folder: Path) -> int:
    keys = NativeKeys.load(folder)
    made = 0
    while True:
        try:
            keys.counter.spend()
        except BudgetError:
            return made
        made += 1


def run_until_killed(script: str, *arguments: str, seconds: float) -> str:
    """What the script has printed when it is killed, that many seconds after its first line."""
    process = subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {TESTS!r})\n{script}", *arguments],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    return first + process.communicate()[0]


PROVE_FOREVER = """
from pathlib import Path
from support.example_programs import mlp
from zkinfer.native.keys import NativeKeys
keys, x = NativeKeys.load(Path(sys.argv[1])), mlp().x
while True:
    keys.prove([x[None]], b"")
    print("made", flush=True)
"""


def test_killed_provers_never_give_a_proof_back(example: Example, tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    keys = setup(example.program, example.weights, folder=folder, proofs=200)
    keys.counter.spend()
    made = run_until_killed(PROVE_FOREVER, str(folder), seconds=0.2).count("made")
    assert made >= 1
    assert made <= keys.counter.spent - 1 <= made + 1
    assert Keys.load(folder, verify_files=True).proofs_left == 200 - keys.counter.spent


SETUP = """
from pathlib import Path
from support.example_programs import mlp
from zkinfer.native.setup import setup
from zkinfer.typing import IntArray
example = mlp()
print("begun", flush=True)
setup(example.program, example.weights, folder=Path(sys.argv[1]), proofs=500)
print("done", flush=True)
"""


def test_kills_during_setup_leave_nothing_that_looks_like_keys(tmp_path: Path) -> None:
    target = tmp_path / "keys"
    for seconds in (0.02, 0.1, 0.3):
        run_until_killed(SETUP, str(target), seconds=seconds)
        assert not target.exists() or Keys.load(target, verify_files=True)
        shutil.rmtree(target, ignore_errors=True)
    example = everything()
    setup(example.program, example.weights, folder=target, proofs=1)
    assert [path.name for path in tmp_path.iterdir()] == ["keys"], "what was left behind was cleaned up"
