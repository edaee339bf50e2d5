"""Manifests: one encoding, every item accounted for, and nothing that a stranger writes gets past the checks."""

from typing import Any

import msgspec
import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.errors import MalformedProofError
from zkinfer.files.artifact import wrap
from zkinfer.files.statement import VALUES_CONTEXT
from zkinfer.jobs.manifest import MAX_BATCH_ITEMS, MAX_ITEMS, DeadLetter, JobBatch, Manifest, item_digests


def digests(items: int) -> bytes:
    return bytes(32 * items)


FIRST = JobBatch(0, 3, (1,), digests(2), digests(2), "000.proof", bytes(32))
SECOND = JobBatch(3, 5, (), digests(2), digests(2), "003.proof", bytes(32))
ALL_DEAD = JobBatch(5, 6, (5,), b"", b"", "", b"")
JOB = Manifest(
    commitment=bytes(32),
    program=bytes(32),
    context=b"night 1",
    saturate=False,
    private_inputs=False,
    private_outputs=False,
    circuit_batch=1,
    batch_size=3,
    items=6,
    batches=(FIRST, SECOND, ALL_DEAD),
    dead_letters=(DeadLetter(1, "NaN"), DeadLetter(5, "shape")),
)


def test_a_manifest_comes_back_as_it_was(tmp_path: Any) -> None:
    JOB.save(tmp_path / "manifest.zkm")
    assert Manifest.load(tmp_path / "manifest.zkm") == JOB
    assert JOB.proven == 4
    assert JOB.unproven == ()


def test_the_content_of_a_manifest_without_a_sample_by_hand() -> None:
    """As it was before jobs could be sampled, so that manifests and receipts of then are read and checked."""
    batches = [
        [0, 3, [1], digests(2), digests(2), "000.proof", bytes(32)],
        [3, 5, [], digests(2), digests(2), "003.proof", bytes(32)],
        [5, 6, [5], b"", b"", "", b""],
    ]
    fields = [bytes(32), bytes(32), b"night 1", False, False, False, 1, 3, 6, batches, [[1, "NaN"], [5, "shape"]]]
    assert JOB.to_bytes() == wrap("mani", 1, msgspec.msgpack.encode(fields))
    with pytest.raises(MalformedProofError, match="not in canonical form"):
        Manifest.from_bytes(wrap("mani", 1, msgspec.msgpack.encode([*fields, None])))


def test_a_batch_knows_the_samples_of_its_proof() -> None:
    assert FIRST.items.tolist() == [0, 2]
    assert FIRST.size == 2
    assert ALL_DEAD.items.tolist() == []


def test_a_batch_without_a_proof_is_found() -> None:
    unproven = msgspec.structs.replace(SECOND, proof="", proof_digest=b"")
    job = msgspec.structs.replace(JOB, batches=(FIRST, unproven, ALL_DEAD))
    assert Manifest.from_bytes(job.to_bytes()).unproven == (unproven,)
    assert job.proven == 2


def of_job(**changes: Any) -> Manifest:
    return msgspec.structs.replace(JOB, **changes)


def of_first(**changes: Any) -> Manifest:
    return of_job(batches=(msgspec.structs.replace(FIRST, **changes), SECOND, ALL_DEAD))


@pytest.mark.parametrize(
    ("forged", "complaint"),
    [
        (of_job(commitment=bytes(31)), "digest"),
        (of_job(program=b""), "digest"),
        (of_job(context=bytes((1 << 16) + 1)), "context"),
        (of_job(circuit_batch=0), "run"),
        (of_job(batch_size=0), "a batch has no items"),
        (of_job(batch_size=MAX_BATCH_ITEMS + 1), "more than any proof"),
        (of_job(batch_size=2), "larger than any batch"),
        (of_job(items=0), "no items"),
        (of_job(items=MAX_ITEMS + 1), "more than there can be"),
        (of_job(items=7), "its batches hold 6 of its 7"),
        (of_job(batches=(FIRST, ALL_DEAD)), "batch 1 does not begin"),
        (of_job(batches=(FIRST, FIRST, SECOND, ALL_DEAD)), "batch 1 does not begin"),
        (of_job(batches=(SECOND, FIRST, ALL_DEAD)), "batch 0 does not begin"),
        (of_job(dead_letters=()), "dead letters"),
        (of_job(dead_letters=JOB.dead_letters[::-1]), "dead letters"),
        (of_job(private_inputs=True), "one digest for each"),
        (of_first(dead=(1, 1)), "in order"),
        (of_first(dead=(3,)), "in order"),
        (of_first(stop=0), "batch 0 does not begin"),
        (of_first(input_digests=digests(3)), "one digest for each"),
        (of_first(output_digests=digests(1)), "one digest for each"),
        (of_first(proof=""), "lacks the digest"),
        (of_first(proof_digest=b""), "lacks the digest"),
        (of_first(proof="../0.proof"), "names no proof file"),
        (of_first(proof="0.proof\n"), "names no proof file"),
        (of_first(dead=(0, 1, 2), input_digests=b"", output_digests=b""), "proof of nothing"),
    ],
)
def test_a_forged_manifest_is_refused(forged: Manifest, complaint: str) -> None:
    with pytest.raises(MalformedProofError, match=complaint):
        Manifest.from_bytes(forged.to_bytes())


@given(st.binary(max_size=200), st.integers(0, 400))
def test_any_other_bytes_are_refused(data: bytes, position: int) -> None:
    good = JOB.to_bytes()
    forged = good[:position] + data + good[position + len(data) :]
    for attempt in (data, forged):
        if attempt != good:
            with pytest.raises(MalformedProofError, match="manifest"):
                Manifest.from_bytes(attempt)


def test_no_file_is_no_manifest(tmp_path: Any) -> None:
    with pytest.raises(MalformedProofError, match="cannot read"):
        Manifest.load(tmp_path / "manifest.zkm")


def test_an_items_digest_is_the_hash_of_its_integers_in_all_tensors() -> None:
    left, right = np.arange(6, dtype=np.int64).reshape(2, 3), np.array([[[7]], [[-8]]])
    expected = [
        blake3(np.array(row, dtype="<i8").tobytes(), derive_key_context=VALUES_CONTEXT).digest()
        for row in ([0, 1, 2, 7], [3, 4, 5, -8])
    ]
    assert item_digests([left, right]) == b"".join(expected)
