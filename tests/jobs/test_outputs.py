"""Files of outputs: whole or not there, whatever the order in which batches come."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.recording_keys import PROGRAM

from zkinfer.errors import MalformedProofError, ResourceError
from zkinfer.files.proof import OutputTensor, PrivateTensor, Proof
from zkinfer.jobs.manifest import JobBatch
from zkinfer.jobs.outputs import OutputFiles, claimed_outputs

ITEMS, SIZE = 10, 3


def batch(first: int, dead: tuple[int, ...] = ()) -> JobBatch:
    return JobBatch(first, min(first + SIZE, ITEMS), dead, b"", b"", "", b"")


def integers(items: np.ndarray) -> np.ndarray:
    """Outputs that tell their item."""
    return np.stack([items, -items], axis=1)


@given(st.permutations(range(0, ITEMS, SIZE)))
def test_batches_come_in_any_order(tmp_path_factory: pytest.TempPathFactory, order: list[int]) -> None:
    folder = tmp_path_factory.mktemp("job")
    files = OutputFiles(folder, ITEMS, PROGRAM)
    for first in order:
        part = batch(first, dead=(4,) if first == 3 else (9,) if first == 9 else ())
        files.write(part, [integers(part.items)] if part.size else [])
    assert not (folder / "outputs.npy").exists()
    files.publish()
    files.close()
    assert [path.name for path in folder.iterdir()] == ["outputs.npy"]
    found = np.load(folder / "outputs.npy")
    assert (found.shape, found.dtype) == ((ITEMS, 2), np.float64)
    living = np.setdiff1d(np.arange(ITEMS), [4, 9])
    assert np.array_equal(found[living], np.ldexp(integers(living).astype(float), -PROGRAM.output_tensors[0].frac_bits))
    assert np.isnan(found[[4, 9]]).all()


def test_what_is_not_whole_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "outputs.npy").write_bytes(b"of an earlier run")
    files = OutputFiles(tmp_path, ITEMS, PROGRAM)
    files.write(batch(0), [integers(np.arange(3))])
    files.close()
    assert [path.name for path in tmp_path.iterdir()] == ["outputs.npy"]
    assert (tmp_path / "outputs.npy").read_bytes() == b"of an earlier run"


def test_a_full_disk_is_said_to_be_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    files = OutputFiles(tmp_path, ITEMS, PROGRAM)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResourceError, match="No space left"):
        files.publish()
    files.close()
    with pytest.raises(ResourceError, match="cannot write"):
        OutputFiles(tmp_path / "nowhere", ITEMS, PROGRAM)


def test_what_a_proof_claims_of_its_items() -> None:
    outputs = integers(np.arange(4))
    proof = Proof("native", bytes(32), (OutputTensor.of(outputs, 6),), b"")
    assert np.array_equal(claimed_outputs(proof, 3)[0], outputs[:3])
    with pytest.raises(MalformedProofError, match="of 5 items"):
        claimed_outputs(proof, 5)
    hidden = Proof("native", bytes(32), (OutputTensor.of(outputs, 6), PrivateTensor((4, 2), bytes(32))), b"")
    assert claimed_outputs(hidden, 4) == []
