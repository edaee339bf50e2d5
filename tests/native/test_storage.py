"""The long-lived commitment: its files, its budget across crashes and processes."""

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

from zkinfer.errors import ArtifactError, BudgetError, InvalidInputError, ProvingError
from zkinfer.files import budget
from zkinfer.native import storage
from zkinfer.native.storage import StoredMatrix, create, load
from zkinfer.protocol.field import kernels
from zkinfer.protocol.pcs.params import Code, MatrixCommitment, OpeningParameters
from zkinfer.protocol.pcs.protocol import verify_opening
from zkinfer.protocol.pcs.prover import commit, open_claims
from zkinfer.protocol.transcript import Transcript

PARAMETERS = OpeningParameters(Code(log_columns=3, blinding=30, log_length=7), 6, 0, 0)
"""Random symbols for five openings of six columns."""

STATEMENT = Statement.random(30, rows=(4,), claims=(1, 2), parameters=PARAMETERS)
DATA = STATEMENT.arrays()[0].astype(np.int8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create(tmp_path / "weights", PARAMETERS.code, DATA, PARAMETERS.queries)
    return tmp_path / "weights"


def prove(matrix: StoredMatrix, parameters: OpeningParameters = PARAMETERS) -> tuple[list[MatrixCommitment], bytes]:
    """An opening of the stored matrix, whose masks come in a matrix without data."""
    masks = commit(parameters.code, np.zeros((0, 8), dtype=np.int8), len(STATEMENT.groups) + 1)
    opening = open_claims(parameters, [matrix, masks], STATEMENT.groups, Transcript(DOMAIN))
    return [matrix.commitment, masks.commitment], opening


def test_is_opened_again_and_again_and_then_refuses(folder: Path) -> None:
    root = load(folder).commitment.root
    for left in (4, 3, 2, 1, 0):
        matrix = load(folder)
        assert matrix.commitment.root == root
        commitments, opening = prove(matrix)
        verify_opening(PARAMETERS, commitments, STATEMENT.groups, opening, Transcript(DOMAIN))
        verify_by_reference(PARAMETERS, commitments, STATEMENT.groups, opening)
        assert matrix.remaining == left
    with pytest.raises(BudgetError, match="5 proofs"):
        prove(load(folder))


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int64, np.float64])
def test_keeps_data_of_any_type(tmp_path: Path, dtype: type) -> None:
    matrix = create(tmp_path / "w", PARAMETERS.code, DATA.astype(dtype), PARAMETERS.queries)
    assert (
        kernels.to_ints(kernels.from_ints(DATA)) == kernels.to_ints(kernels.from_ints(matrix.data.astype(np.int64)))
    ).all()
    commitments, opening = prove(matrix)
    verify_opening(PARAMETERS, commitments, STATEMENT.groups, opening, Transcript(DOMAIN))


def test_files_are_for_their_owner_alone(folder: Path) -> None:
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(f.stat().st_mode) for f in folder.iterdir()} == {0o600}


def test_two_commitments_to_the_same_data_differ(folder: Path, tmp_path: Path) -> None:
    other = create(tmp_path / "other", PARAMETERS.code, DATA, PARAMETERS.queries)
    assert other.commitment.root != load(folder).commitment.root


def test_the_budget_is_spent_before_anything_of_the_proof_exists(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proof that fails at its very first step has used up its opening."""

    def crash(*_: object) -> None:
        assert load(folder).remaining == 4
        raise KeyboardInterrupt

    monkeypatch.setattr("zkinfer.protocol.pcs.protocol.absorb_statement", crash)
    with pytest.raises(KeyboardInterrupt):
        prove(load(folder))
    assert load(folder).remaining == 4


def test_an_opening_of_more_columns_is_refused(folder: Path) -> None:
    more = OpeningParameters(PARAMETERS.code, PARAMETERS.queries + 1, 0, 0)
    with pytest.raises(ProvingError, match="6 columns an opening, not 7"):
        prove(load(folder), more)
    assert load(folder).remaining == 5


def test_too_few_random_symbols_for_one_opening(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="do not hide"):
        create(tmp_path / "w", Code(3, 5, 7), DATA, 6)
    assert not (tmp_path / "w").exists()


def test_an_existing_folder_is_left_alone(folder: Path) -> None:
    before = load(folder).commitment
    prove(load(folder))
    with pytest.raises(FileExistsError):
        create(folder, PARAMETERS.code, DATA, PARAMETERS.queries)
    assert load(folder).commitment == before
    assert load(folder).remaining == 4


@pytest.mark.parametrize("name", [storage.HEADER, storage.DATA, storage.BLINDING, storage.LEAVES, storage.NODES])
@pytest.mark.parametrize("damage", ["missing", "truncated", "longer"])
def test_damaged_files(folder: Path, name: str, damage: str) -> None:
    path = folder / name
    if damage == "missing":
        path.unlink()
    else:
        os.truncate(path, path.stat().st_size + (1 if damage == "longer" else -1))
    with pytest.raises(ArtifactError):
        load(folder)


def test_a_missing_budget_is_not_an_unspent_one(folder: Path) -> None:
    matrix = load(folder)
    (folder / storage.BUDGET).unlink()
    with pytest.raises(ArtifactError, match="budget"):
        load(folder)
    with pytest.raises(ArtifactError, match="budget"):
        prove(matrix)


@pytest.mark.parametrize(("key", "value"), [("version", 1), ("root", "00" * 32), ("rows", 3), ("code", [3, 31, 7])])
def test_a_header_of_other_files(folder: Path, key: str, value: object) -> None:
    header = json.loads((folder / storage.HEADER).read_text())
    (folder / storage.HEADER).write_text(json.dumps(header | {key: value}))
    with pytest.raises(ArtifactError):
        load(folder)


def test_a_creation_that_was_interrupted_is_no_commitment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(budget, "create", crash)
    with pytest.raises(KeyboardInterrupt):
        create(tmp_path / "w", PARAMETERS.code, DATA, PARAMETERS.queries)
    with pytest.raises(ArtifactError, match="not finished"):
        load(tmp_path / "w")


def test_parallel_provers_share_the_budget(tmp_path: Path) -> None:
    code = Code(3, 6 * 100, 11)
    create(tmp_path / "w", code, DATA, 6)
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert sum(pool.map(_spend_all, [tmp_path / "w"] * 3)) == 100
    with pytest.raises(BudgetError):
        prove(load(tmp_path / "w"), OpeningParameters(code, 6, 0, 0))


def _spend_all(folder: Path) -> int:
    matrix = load(folder)
    spent = 0
    while True:
        try:
            matrix.spend(6)
        except BudgetError:
            return spent
        spent += 1


def test_killed_provers_waste_at_most_one_opening_each(tmp_path: Path) -> None:
    code = Code(3, 6 * 5000, 16)
    create(tmp_path / "w", code, DATA, 6)
    script = (
        "import sys; from pathlib import Path; from zkinfer.native.storage import load\n"
        "matrix = load(Path(sys.argv[1]))\n"
        "while True: matrix.spend(6); print('x', end='', flush=True)"
    )
    made = kills = 0
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "w")], stdout=subprocess.PIPE)
        assert process.stdout is not None
        made += len(process.stdout.read(3))
        process.send_signal(signal.SIGKILL)
        made += len(process.communicate()[0])
        kills += 1
    matrix = load(tmp_path / "w")
    assert made >= 3 * kills
    assert made <= matrix.budget - matrix.remaining <= made + kills
