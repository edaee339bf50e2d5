"""Key files whose bytes changed: a proof verifies, or there is none, and a named error says what to do."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.example_programs import Example, mlp

from zkinfer.backend import Keys
from zkinfer.circuit.qformat import dequantize
from zkinfer.errors import ArtifactError, VerificationError, WrongKeyError
from zkinfer.files.rotation import ROTATION_FILE
from zkinfer.native import storage
from zkinfer.native.keys import MATRIX_FOLDER, NativeKeys
from zkinfer.native.rotate import rotate
from zkinfer.native.setup import key_sizes, setup
from zkinfer.verifier import verify
from zkinfer.verifier.lineage import follow

EXAMPLE = mlp()
COPY = f"{MATRIX_FOLDER}/copy-0"
COPY_FILES = [f"{COPY}/{name}" for name in (storage.BLINDING, storage.LEAVES, storage.NODES)]
FILES = [
    "commitment.zkc",
    "secret.zkk",
    "weights",
    *(f"{MATRIX_FOLDER}/{name}" for name in (storage.HEADER, storage.DATA, storage.COPIES, storage.BUDGET)),
    *COPY_FILES,
]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NativeKeys]:
    """Keys whose copies hide several openings and lie in folders, of which the first was used."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zkinfer.native.setup.OPENINGS_A_COPY", (3,))
        patch.setattr(storage, "STORED_BYTES", 0)
        key_sizes.cache_clear()
        folder = tmp_path_factory.mktemp("keys") / "original"
        keys = setup(EXAMPLE.program, EXAMPLE.weights, folder=folder, proofs=5)
        proves(keys, keys)
        yield keys
    key_sizes.cache_clear()


@pytest.fixture
def folder(original: NativeKeys, tmp_path: Path) -> Path:
    """A copy of them to damage."""
    return Path(shutil.copytree(original.folder, tmp_path / "keys"))


def proves(keys: Keys, original: Keys, example: Example = EXAMPLE) -> None:
    proof = keys.prove([example.x[None]], b"")
    verify(proof, original.commitment, inputs=dequantize(example.x, example.program.inputs[0]))


def change(path: Path, rng: np.random.Generator, count: int) -> None:
    """Other bytes at so many random places, in the file that processes have mapped."""
    with path.open("r+b") as file:
        size = path.stat().st_size
        for place in rng.integers(0, size, min(count, size)):
            file.seek(int(place))
            (before,) = file.read(1)
            file.seek(int(place))
            file.write(bytes([before ^ int(rng.integers(1, 256))]))


def test_these_are_all_files(original: NativeKeys) -> None:
    found = [str(path.relative_to(original.folder)) for path in original.folder.rglob("*") if path.is_file()]
    assert sorted(found) == sorted(FILES)


@pytest.mark.filterwarnings("ignore:invalid value")  # random symbols that became NaN
@pytest.mark.parametrize("loaded", [False, True])
@pytest.mark.parametrize("name", FILES)
def test_changed_bytes_end_in_a_proof_that_verifies_or_in_a_named_error(
    original: NativeKeys, folder: Path, name: str, loaded: bool, tmp_path: Path
) -> None:
    """Changed before the keys are loaded, or while a process proves from them."""
    rng = np.random.default_rng(FILES.index(name))
    for number, count in enumerate((1, 8, 500)):
        here = Path(shutil.copytree(folder, tmp_path / f"changed-{number}"))
        keys = NativeKeys.load(here) if loaded else None
        if keys:
            keys.matrix.take_reserved()
            _ = keys.executor
        change(here / name, rng, count)
        with contextlib.suppress(ArtifactError, WrongKeyError):
            proves(keys or NativeKeys.load(here), original)


def test_a_header_in_other_bytes_is_refused_although_it_says_the_same(folder: Path) -> None:
    path = folder / MATRIX_FOLDER / storage.HEADER
    path.write_text(path.read_text() + " ")
    with pytest.raises(WrongKeyError, match="damaged"):
        NativeKeys.load(folder)


@pytest.mark.parametrize("name", COPY_FILES)
def test_a_damaged_copy_is_found_before_anything_is_shown_and_made_again(
    original: NativeKeys, folder: Path, name: str
) -> None:
    keys = NativeKeys.load(folder)
    keys.matrix.take_reserved()
    path = folder / name
    with path.open("r+b") as file:  # in place, as the file is mapped by now; the second half is opened surely
        file.seek(path.stat().st_size // 2)
        file.write(bytes(path.stat().st_size // 2))
    with pytest.raises(WrongKeyError, match=r"damaged.*counted in the budget.*copy-0 was removed"):
        keys.prove([EXAMPLE.x[None]], b"")
    assert keys.proofs_left == original.proofs_left - 1
    assert not (folder / COPY).exists()
    for again in (keys, NativeKeys.load(folder)):
        proves(again, original)


def test_a_root_that_changed_in_a_copy_is_noticed_when_the_copy_is_loaded(original: NativeKeys, folder: Path) -> None:
    path = folder / COPY / storage.NODES
    data = bytearray(path.read_bytes())
    data[32] ^= 1
    path.write_bytes(data)
    proves(NativeKeys.load(folder), original)
    assert NativeKeys.load(folder).matrix.copy(0).nodes[1].tobytes() != data[32:64]


@pytest.mark.parametrize("name", ["weights", f"{MATRIX_FOLDER}/{storage.DATA}"])
def test_damaged_weights_cost_no_proof(original: NativeKeys, folder: Path, name: str) -> None:
    change(folder / name, np.random.default_rng(0), 1)
    keys = NativeKeys.load(folder)
    with pytest.raises(WrongKeyError, match="damaged"):
        keys.prove([EXAMPLE.x[None]], b"")
    assert keys.proofs_left == original.proofs_left


@pytest.mark.parametrize("name", [storage.DATA, storage.COPIES])
def test_a_file_that_was_cut_off_while_it_is_in_use_is_not_read(folder: Path, name: str) -> None:
    """Reading beyond its end would end the process."""
    keys = NativeKeys.load(folder)
    _ = keys.executor
    with (folder / MATRIX_FOLDER / name).open("r+b") as file:
        file.truncate(1)
    with pytest.raises(WrongKeyError, match="cut off"):
        keys.prove([EXAMPLE.x[None]], b"")


@pytest.mark.parametrize("name", COPY_FILES[:2])
def test_a_rotation_is_not_made_from_damaged_files(original: NativeKeys, folder: Path, name: str) -> None:
    keys = NativeKeys.load(folder)
    keys.matrix.take_reserved()
    path = folder / name
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
    target = folder.parent / "rotated"
    with pytest.raises(WrongKeyError, match="damaged"):
        rotate(keys, folder=target)
    assert not target.exists()
    rotated = rotate(keys, folder=target)
    try:
        follow(original.commitment, [target / ROTATION_FILE], rotated.commitment.digest)
    except VerificationError as error:
        pytest.fail(f"a rotation that does not verify: {error}")
