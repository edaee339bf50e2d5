"""One item in a folder of its own: its recipient checks it, and whatever is changed in the folder is found."""

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from support.example_programs import mlp
from support.proven_jobs import CONTEXT, DEAD, ProvenJob, items, proven_job, some_keys

from zkinfer.errors import (
    InvalidInputError,
    InvalidProofError,
    MalformedProofError,
    StatementError,
    VerificationError,
)
from zkinfer.files.commitment import Commitment
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.jobs.item_bundle import (
    ITEM_FILE,
    PROOF_FILE,
    VerifiedItem,
    shown_of_others,
    verify_item_folder,
    write_item_folder,
)
from zkinfer.jobs.receipt import ItemReceipt, receipt_of
from zkinfer.jobs.state import State

ASKED = 5


@pytest.fixture
def job(tmp_path: Path) -> ProvenJob:
    return proven_job(tmp_path)


def hand_out(job: ProvenJob, index: int = ASKED) -> Path:
    """The folder of an item, and the recipient's own copy of its input beside it."""
    folder = job.folder.parent / f"item-{index}"
    write_item_folder(job.folder, index, folder, some_keys().commitment, share_batch=True)
    np.save(job.folder.parent / "mine.npy", items()[[index]])
    return folder


def check(job: ProvenJob, folder: Path, **changes: Any) -> VerifiedItem:
    own = {
        "folder": folder,
        "index": ASKED,
        "receipt": receipt_of(job.manifest),
        "commitment": some_keys().commitment,
        "own": None if job.hides else job.folder.parent / "mine.npy",
        "context": CONTEXT,
    }
    return verify_item_folder(**{**own, **changes})


def test_an_honest_item(job: ProvenJob) -> None:
    verified = check(job, hand_out(job))
    assert (verified.index, verified.items) == (ASKED, job.manifest.items)
    (output,) = verified.outputs
    assert output.tolist() == np.load(job.folder / "outputs.npy")[ASKED].tolist()
    assert verified.security_bits >= 128


def test_nothing_is_shown_of_other_items_unasked(job: ProvenJob) -> None:
    """A proof covers its whole batch, and the other items may be those of other customers."""
    folder = job.folder.parent / "item"
    assert shown_of_others(job.folder, ASKED) == "the inputs and outputs of 1 other items in the same proof"
    with pytest.raises(InvalidInputError, match="would show the inputs and outputs of 1 other items"):
        write_item_folder(job.folder, ASKED, folder, some_keys().commitment)
    assert not folder.exists()


@pytest.mark.parametrize("index", [DEAD, ASKED])
def test_an_item_that_shows_nothing_of_others_needs_no_consent(tmp_path: Path, index: int) -> None:
    """A dead letter, which comes without a proof, and an item whose batch is hidden."""
    job = proven_job(tmp_path, hides=index == ASKED)
    assert shown_of_others(job.folder, index) == ""
    write_item_folder(job.folder, index, tmp_path / "item", some_keys().commitment)


def test_an_item_whose_inputs_and_outputs_are_hidden(tmp_path: Path) -> None:
    job = proven_job(tmp_path, hides=True)
    folder = hand_out(job)
    assert sorted(path.name for path in folder.iterdir()) == [PROOF_FILE, ITEM_FILE]
    assert check(job, folder).outputs == ()


def test_a_dead_letter_is_shown_to_be_one_and_is_not_proven(job: ProvenJob) -> None:
    folder = hand_out(job, DEAD)
    assert [path.name for path in folder.iterdir()] == [ITEM_FILE]
    with pytest.raises(InvalidProofError, match=f"item {DEAD} is covered by no proof: .*NaN"):
        check(job, folder, index=DEAD)
    np.save(job.folder.parent / "mine.npy", items()[[ASKED]])
    with pytest.raises(StatementError, match="the job left it out"):
        check(job, folder, index=DEAD)


def change_inputs(change: Callable[[Any], Any]) -> Callable[[Path], None]:
    def cheat(folder: Path) -> None:
        path = folder / "batch-inputs.npy"
        np.save(path, change(np.load(path)))

    return cheat


def move(folder: Path) -> None:
    msgspec.structs.replace(ItemReceipt.load(folder / ITEM_FILE), position=0).save(folder / ITEM_FILE)


@pytest.mark.parametrize(
    "cheat",
    [
        change_inputs(lambda x: x[::-1]),
        change_inputs(lambda x: x[:1]),
        change_inputs(lambda x: x.astype(np.float32)),
        change_inputs(lambda x: np.array([None, {}])),
        move,
        lambda folder: (folder / PROOF_FILE).write_bytes(b"x"),
        lambda folder: (folder / PROOF_FILE).unlink(),
        lambda folder: (folder / ITEM_FILE).unlink(),
        lambda folder: (folder / "batch-inputs.npy").unlink(),
    ],
)
def test_a_folder_that_was_tampered_with(job: ProvenJob, cheat: Callable[[Path], object]) -> None:
    folder = hand_out(job)
    cheat(folder)
    with pytest.raises(VerificationError):
        check(job, folder)


def test_another_item_than_the_one_asked_about(job: ProvenJob) -> None:
    """The operator hands out an item of the job that is proven, which is not the one in question."""
    folder = hand_out(job, 3)
    with pytest.raises(StatementError, match="about item 3, and not about item 5"):
        check(job, folder)
    np.save(job.folder.parent / "mine.npy", items()[[ASKED]])
    with pytest.raises(StatementError, match="another input than yours"):
        check(job, folder, index=3)


def test_an_item_that_is_proven_though_the_circuit_cannot_take_it(job: ProvenJob) -> None:
    """The operator proved the item with another input in the place of one that is not a number."""
    folder = hand_out(job)
    np.save(job.folder.parent / "mine.npy", items()[[DEAD]])
    with pytest.raises(StatementError, match="item 5 is not what your input shows: the circuit cannot take it"):
        check(job, folder)


def test_bytes_are_put_behind_the_inputs(job: ProvenJob) -> None:
    folder = hand_out(job)
    path = folder / "batch-inputs.npy"
    path.write_bytes(path.read_bytes() + bytes(24))
    with pytest.raises(MalformedProofError, match=r"declares shape \(2, 3\) of float64"):
        check(job, folder)


def test_inputs_of_another_shape(job: ProvenJob) -> None:
    folder = hand_out(job)
    change_inputs(lambda x: x[:, :2])(folder)
    with pytest.raises(MalformedProofError, match=r"does not hold float64 numbers of shape \(3,\) an item"):
        check(job, folder)


def test_my_own_file_holds_the_item_alone(job: ProvenJob) -> None:
    folder = hand_out(job)
    with pytest.raises(StatementError, match="hand in item 5 alone"):
        check(job, folder, own=job.inputs)
    with pytest.raises(StatementError, match="no file"):
        check(job, folder, own=job.folder / "none.npy")
    with pytest.raises(StatementError, match="your own"):
        check(job, folder, own=None)


def test_a_large_file_of_inputs_is_not_read(job: ProvenJob, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = hand_out(job)
    monkeypatch.setattr("zkinfer.jobs.item_bundle.MAX_INPUT_BYTES", 40)
    with pytest.raises(MalformedProofError, match="at most 40"):
        check(job, folder)


def test_what_cannot_be_handed_out(job: ProvenJob, tmp_path: Path) -> None:
    commitment, target = some_keys().commitment, tmp_path / "out"
    with pytest.raises(InvalidInputError, match="no item 99"):
        write_item_folder(job.folder, 99, target, commitment, share_batch=True)
    other = Commitment(mlp().program, msgspec.structs.replace(commitment.key_as(NativeVerifyingKey), root=bytes(32)))
    with pytest.raises(InvalidInputError, match="was done for another commitment than"):
        write_item_folder(job.folder, ASKED, target, other)
    with pytest.raises(InvalidInputError, match="holds no batch job"):
        write_item_folder(tmp_path, 0, target, commitment, share_batch=True)
    with closing(State(job.folder)) as state:
        inputs = Path(state.job.inputs[0].path)
    before = inputs.stat()
    os.utime(inputs, ns=(0, 0))
    with pytest.raises(InvalidInputError, match="changed since the job began"):
        write_item_folder(job.folder, ASKED, target, commitment, share_batch=True)
    x = items()
    x[ASKED, 0] += 0.25
    np.save(inputs, x)
    os.utime(inputs, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(InvalidInputError, match="items 3 to 5 changed since they were proven"):
        write_item_folder(job.folder, ASKED, target, commitment, share_batch=True)
    np.save(inputs, items())
    os.utime(inputs, ns=(before.st_atime_ns, before.st_mtime_ns))
    job.proof(1).write_bytes(b"damaged")
    with pytest.raises(InvalidInputError, match="resume makes lost and damaged proofs again"):
        write_item_folder(job.folder, ASKED, target, commitment, share_batch=True)
    assert not target.exists()
    target.mkdir()
    with pytest.raises(InvalidInputError, match="exists"):
        write_item_folder(job.folder, 0, target, commitment, share_batch=True)
    (job.folder / "manifest.zkm").unlink()
    with pytest.raises(InvalidInputError, match="not complete"):
        write_item_folder(job.folder, 0, tmp_path / "other", commitment, share_batch=True)
    assert not (tmp_path / "other").exists()
