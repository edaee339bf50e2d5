"""The long-lived commitment: its files, its copies, its budget across crashes and processes."""

import json
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.opening_prover import DOMAIN, Statement
from support.reference_statements import verify_by_reference
from support.stored_matrices import create

from zkinfer.errors import ArtifactError, BudgetError, InvalidInputError, ProvingError, WrongKeyError
from zkinfer.files import budget
from zkinfer.native import storage
from zkinfer.native.storage import Opened, StoredMatrix, load
from zkinfer.protocol.field import kernels
from zkinfer.protocol.pcs.copies import CopiesCommitment
from zkinfer.protocol.pcs.params import Code, MatrixCommitment, OpeningParameters
from zkinfer.protocol.pcs.protocol import verify_opening
from zkinfer.protocol.pcs.prover import DataArray, commit, open_claims
from zkinfer.protocol.transcript import Transcript

PARAMETERS = OpeningParameters(Code(log_columns=3, blinding=12, log_length=6), 6, 0, 0)
"""Random symbols for two openings of six columns."""

STATEMENT = Statement.random(30, rows=(4,), claims=(1, 2), parameters=PARAMETERS)
DATA = STATEMENT.arrays()[0].astype(np.int8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three copies for five proofs, one opening of the first being reserved."""
    create(tmp_path / "weights", PARAMETERS.code, DATA, PARAMETERS.queries, copies=3, proofs=5, reserved=1)
    return tmp_path / "weights"


@pytest.fixture
def large_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every copy has a folder."""
    monkeypatch.setattr(storage, "STORED_BYTES", 0)


def alone(folder: Path, openings: int = 5, log_length: int = 7) -> StoredMatrix:
    """A matrix without copies."""
    return create(folder, Code(3, 6 * openings, log_length), DATA, 6)


def prove(opened: Opened, parameters: OpeningParameters = PARAMETERS) -> tuple[list[MatrixCommitment], bytes]:
    """An opening of a matrix without copies, whose masks come in a matrix without data."""
    masks = commit(parameters.code, np.zeros((0, 8), dtype=np.int8), len(STATEMENT.groups) + 1)
    opening = open_claims(parameters, [opened.matrix, masks], STATEMENT.groups, Transcript(DOMAIN))
    return [opened.matrix.commitment, masks.commitment], opening


def test_is_opened_again_and_again_and_then_refuses(tmp_path: Path) -> None:
    parameters = OpeningParameters(Code(3, 30, 7), 6, 0, 0)
    root = alone(tmp_path / "w").commitment.root
    for left in (4, 3, 2, 1, 0):
        matrix = load(tmp_path / "w")
        assert matrix.commitment.root == root
        commitments, opening = prove(matrix.take(), parameters)
        verify_opening(parameters, commitments, STATEMENT.groups, opening, Transcript(DOMAIN))
        verify_by_reference(parameters, commitments, STATEMENT.groups, opening)
        assert matrix.counter.left == left
    with pytest.raises(BudgetError, match="5 proofs"):
        load(tmp_path / "w").take()


@pytest.mark.parametrize("large", [False, True])
def test_each_copy_is_opened_as_often_as_it_hides(folder: Path, large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of an opening says which copy it shows, whichever process takes it."""
    if large:
        monkeypatch.setattr(storage, "STORED_BYTES", 0)
    assert load(folder).take_reserved().place.number == 0
    opened = [load(folder).take() for _ in range(5)]
    assert [one.place.number for one in opened] == [0, 1, 1, 2, 2]
    commitment = load(folder).commitment
    roots = [commitment.matrix(one.place).root for one in opened]
    assert roots == [one.matrix.commitment.root for one in opened]
    assert len(set(roots)) == 3
    assert sorted(path.name for path in folder.glob("copy-*")) == (["copy-2"] if large else [])
    with pytest.raises(BudgetError):
        load(folder).take()


def test_a_copy_that_hides_one_opening_brings_its_masks(tmp_path: Path) -> None:
    matrix = create(tmp_path / "w", Code(3, 6, 5), DATA, 6, copies=4, reserved=1)
    opened = [matrix.take() for _ in range(3)]
    assert [one.place.number for one in opened] == [1, 2, 3]
    assert {(one.matrix.commitment.masks, len(one.matrix.masks)) for one in opened} == {(2, 6)}
    with pytest.raises(BudgetError):
        matrix.take()


def test_copies_have_the_data_and_the_veil_in_common_and_nothing_else(folder: Path) -> None:
    copies = [load(folder).copy(number) for number in range(3)]
    for copy in copies:
        np.testing.assert_array_equal(copy.data, DATA)
        np.testing.assert_array_equal(copy.veil, copies[0].veil)
    shown = [copy.leaves[[0]].tobytes() for copy in copies]
    symbols = np.concatenate([copies[0].veil.ravel(), *(copy.blinding.ravel() for copy in copies)])
    assert len({leaf[:32] for leaf in shown}) == 3
    assert len(np.unique(symbols)) == len(symbols)


@pytest.mark.usefixtures("large_copies")
def test_a_copy_with_a_folder_is_the_one_in_memory(folder: Path) -> None:
    kept = load(folder).copy(1)
    made = commit(PARAMETERS.code, DATA, 0, storage._Maker(*maker_arguments(folder)).randomness(1), kept.veil)
    np.testing.assert_array_equal(kept.nodes, made.nodes)
    np.testing.assert_array_equal(kept.blinding, made.blinding)
    np.testing.assert_array_equal(kept.leaves[range(64)], made.leaves[range(64)])


def maker_arguments(folder: Path) -> tuple[Path, CopiesCommitment, DataArray, bytes]:
    matrix = load(folder)
    return folder, matrix.commitment, matrix.data, matrix.stream


@pytest.mark.usefixtures("large_copies")
def test_a_process_that_is_behind_makes_its_copy_again(folder: Path) -> None:
    behind, ahead = load(folder), load(folder)
    first = behind.take()
    for _ in range(3):
        ahead.take()
    assert [path.name for path in folder.glob("copy-*")] == ["copy-2"]
    again = load(folder)._opened(0)
    assert again.matrix.commitment == first.matrix.commitment
    np.testing.assert_array_equal(again.matrix.leaves[[0, 63, 0]], first.matrix.leaves[[0, 63, 0]])


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int64, np.float64])
def test_keeps_data_of_any_type(tmp_path: Path, dtype: type) -> None:
    matrix = create(tmp_path / "w", PARAMETERS.code, DATA.astype(dtype), PARAMETERS.queries)
    assert (
        kernels.to_ints(kernels.from_ints(DATA)) == kernels.to_ints(kernels.from_ints(matrix.data.astype(np.int64)))
    ).all()
    commitments, opening = prove(matrix.take())
    verify_opening(PARAMETERS, commitments, STATEMENT.groups, opening, Transcript(DOMAIN))


def test_files_are_for_their_owner_alone(folder: Path) -> None:
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(f.stat().st_mode) for f in folder.iterdir()} == {0o600}


def test_two_commitments_to_the_same_data_differ(tmp_path: Path) -> None:
    assert alone(tmp_path / "a").commitment.root != alone(tmp_path / "b").commitment.root


def test_an_opening_of_more_columns_is_refused(tmp_path: Path) -> None:
    opened = alone(tmp_path / "w").take()
    with pytest.raises(ProvingError, match="6 columns an opening, not 7"):
        prove(opened, OpeningParameters(opened.matrix.code, 7, 0, 0))


def test_what_was_taken_is_opened_once(tmp_path: Path) -> None:
    opened = alone(tmp_path / "w").take()
    prove(opened, OpeningParameters(opened.matrix.code, 6, 0, 0))
    with pytest.raises(ProvingError, match="opened before"):
        prove(opened, OpeningParameters(opened.matrix.code, 6, 0, 0))


@pytest.mark.parametrize(
    ("blinding", "options"),
    [(5, (1, 1, 0)), (12, (1, 3, 0)), (12, (2, 5, 0)), (12, (1, 1, 3)), (12, (1, 0, 0))],
)
def test_too_few_random_symbols(tmp_path: Path, blinding: int, options: tuple[int, int, int]) -> None:
    copies, proofs, reserved = options
    with pytest.raises(InvalidInputError, match="do not hide"):
        create(tmp_path / "w", Code(3, blinding, 7), DATA, 6, copies=copies, proofs=proofs, reserved=reserved)
    assert not (tmp_path / "w" / storage.HEADER).exists()


def test_an_existing_folder_is_left_alone(folder: Path) -> None:
    before = load(folder).commitment
    load(folder).take()
    with pytest.raises(FileExistsError):
        create(folder, PARAMETERS.code, DATA, PARAMETERS.queries)
    assert load(folder).commitment == before
    assert load(folder).counter.left == 4


@pytest.mark.parametrize("name", [storage.HEADER, storage.DATA, storage.COPIES])
@pytest.mark.parametrize("damage", ["missing", "truncated", "longer"])
def test_damaged_files(folder: Path, name: str, damage: str) -> None:
    path = folder / name
    if damage == "missing":
        path.unlink()
    else:
        os.truncate(path, path.stat().st_size + (1 if damage == "longer" else -1))
    with pytest.raises(ArtifactError):
        load(folder)


@pytest.mark.parametrize("name", [storage.BLINDING, storage.LEAVES, storage.NODES])
@pytest.mark.usefixtures("large_copies")
def test_a_damaged_copy(folder: Path, name: str) -> None:
    load(folder).copy(0)
    path = folder / "copy-0" / name
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(WrongKeyError, match="damaged"):
        load(folder).verify_files()
    os.truncate(path, len(data) - 1)
    with pytest.raises(ArtifactError, match="not a copy of the matrix"):
        load(folder).copy(0)


@pytest.mark.parametrize("name", [storage.BLINDING, storage.LEAVES, storage.NODES])
@pytest.mark.usefixtures("large_copies")
def test_a_copy_whose_folder_was_removed_in_part_is_made_in_memory(folder: Path, name: str) -> None:
    """As by a process that was killed while it removed it, or that removes it just now."""
    before = load(folder).copy(0).commitment
    (folder / "copy-0" / name).unlink()
    assert load(folder).copy(0).commitment == before


@pytest.mark.parametrize("name", [storage.DATA, storage.COPIES])
def test_data_that_are_not_those_of_the_roots_are_opened_never(folder: Path, name: str) -> None:
    path = folder / name
    data = bytearray(path.read_bytes())
    data[-1 if name == storage.DATA else 4 * 32] ^= 1
    path.write_bytes(data)
    with pytest.raises(WrongKeyError, match="damaged"):
        load(folder).verify_files()
    with pytest.raises(ArtifactError, match="do not belong together"):
        load(folder).take()


def test_a_missing_budget_is_not_an_unspent_one(folder: Path) -> None:
    matrix = load(folder)
    (folder / storage.BUDGET).unlink()
    with pytest.raises(ArtifactError, match="budget"):
        load(folder)
    with pytest.raises(ArtifactError, match="budget"):
        matrix.take()


@pytest.mark.parametrize(
    ("key", "value"),
    [("version", 2), ("root", "00" * 32), ("rows", 3), ("code", [3, 13, 7]), ("proofs", 9), ("log_copies", 1)],
)
def test_a_header_of_other_files(folder: Path, key: str, value: object) -> None:
    header = json.loads((folder / storage.HEADER).read_text())
    (folder / storage.HEADER).write_text(json.dumps(header | {key: value}))
    with pytest.raises((ArtifactError, WrongKeyError)):
        load(folder).verify_files()


def test_a_creation_that_was_interrupted_is_no_commitment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(budget, "create", crash)
    with pytest.raises(KeyboardInterrupt):
        alone(tmp_path / "w")
    with pytest.raises(ArtifactError, match="not finished"):
        load(tmp_path / "w")


def test_parallel_provers_share_the_budget(tmp_path: Path) -> None:
    """No copy is opened more often than it hides, whoever opens it."""
    create(tmp_path / "w", PARAMETERS.code, DATA, 6, copies=20)
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        taken = [number for found in pool.map(_take_all, [tmp_path / "w"] * 3) for number in found]
    assert sorted(taken) == [number for number in range(20) for _ in range(2)]
    with pytest.raises(BudgetError):
        load(tmp_path / "w").take()


def _take_all(folder: Path) -> list[int]:
    matrix, taken = load(folder), []
    while True:
        try:
            taken.append(matrix.take().place.number)
        except BudgetError:
            return taken


def test_killed_provers_lose_openings_and_never_repeat_one(tmp_path: Path) -> None:
    matrix = create(tmp_path / "w", PARAMETERS.code, DATA, 6, copies=100)
    script = (
        "import sys; from pathlib import Path; from zkinfer.native.storage import load\n"
        "matrix = load(Path(sys.argv[1]))\n"
        "while True: print(matrix.take().place.number, flush=True)"
    )
    taken: list[str] = []
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "w")], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        taken += [process.stdout.readline() for _ in range(3)]
        process.send_signal(signal.SIGKILL)
        taken += [line for line in process.communicate()[0].splitlines(keepends=True) if line.endswith("\n")]
    assert len(taken) >= 9
    assert max(taken.count(line) for line in taken) <= 2
    assert len(taken) <= matrix.counter.spent <= len(taken) + 3
