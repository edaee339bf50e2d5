"""Jobs and items are accepted as they are, and every way to cheat on one of their items is found."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from blake3 import blake3
from support.example_programs import mlp
from support.paths import ROOT
from support.proven_jobs import CONTEXT, DEAD, ITEMS, ProvenJob, items, proven_job, some_keys

from zkinfer.errors import (
    CommitmentMismatchError,
    InvalidProofError,
    MalformedCommitmentError,
    MalformedProofError,
    StatementError,
    VerificationError,
    VerifierUnavailableError,
)
from zkinfer.files.commitment import Commitment
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.files.proof import Proof
from zkinfer.jobs import api, batch_checker, verification
from zkinfer.jobs.item_bundle import verify_item_folder, write_item_folder
from zkinfer.jobs.manifest import MANIFEST_FILE, DeadLetter, JobBatch
from zkinfer.jobs.receipt import ItemReceipt, item_receipt, receipt_of
from zkinfer.jobs.verification import verify_item
from zkinfer.verifier import VerifiedInference


@pytest.fixture
def job(tmp_path: Path) -> ProvenJob:
    return proven_job(tmp_path)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_honest_job(job: ProvenJob, workers: int) -> None:
    verified = job.verify(workers=workers, receipt=receipt_of(job.manifest))
    assert verified.receipt == receipt_of(job.manifest)
    assert (verified.items, verified.proven, verified.dead, verified.proofs) == (ITEMS, ITEMS - 1, 1, 3)
    assert verified.security_bits >= 128
    assert not verified.test_only
    assert verified.weights_in_bounds
    assert verified.clipped == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_values_that_were_clipped_are_counted(tmp_path: Path, workers: int) -> None:
    """Those of the items that are proven: a dead letter has none."""
    x = items()
    x[1] = [9e9, 0.0, -9e9]
    x[DEAD] = [np.nan, 9e9, 9e9]
    x[6, 2] = 9e9
    np.save(tmp_path / "x.npy", x)
    api.run(tmp_path / "job", some_keys(), tmp_path / "x.npy", batch_size=3, context=CONTEXT, saturate=True)
    job = ProvenJob(tmp_path / "job", tmp_path / "x.npy", hides=False)
    assert job.verify(workers=workers, saturate=True).clipped == 3
    write_item_folder(job.folder, 1, tmp_path / "item", some_keys().commitment, share_batch=True)
    np.save(tmp_path / "own.npy", x[1:2])
    own, receipt = tmp_path / "own.npy", receipt_of(job.manifest)
    verified = verify_item_folder(
        tmp_path / "item", 1, receipt, some_keys().commitment, own, context=CONTEXT, saturate=True
    )
    assert verified.clipped == 2


@pytest.mark.parametrize("workers", [1, 2])
def test_a_commitment_without_its_proof_about_the_weights_is_refused(job: ProvenJob, workers: int) -> None:
    """It has the same digest, but proofs rely on zeros behind its weights, which nothing shows."""
    published = some_keys().commitment
    bare = Commitment(published.program, published.key)
    with pytest.raises(MalformedCommitmentError, match="does not carry the proof about its weights"):
        verification.verify_job(job.folder, bare, job.inputs, context=CONTEXT, saturate=False, workers=workers)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_caller_says_what_proofs_have_to_be_worth(job: ProvenJob, workers: int) -> None:
    assert job.verify(workers=workers, min_bits=100).security_bits >= 128
    with pytest.raises(InvalidProofError, match=r"2\*\*200"):
        job.verify(workers=workers, min_bits=200)


def test_a_job_that_hides_its_inputs_and_outputs(tmp_path: Path) -> None:
    job = proven_job(tmp_path, hides=True)
    assert job.verify().proven == ITEMS - 1
    with pytest.raises(StatementError, match="hides its inputs"):
        job.verify(inputs=job.inputs)
    found = item_receipt(job.manifest, 5)
    assert found.item.input_digest == found.item.output_digest == b""
    verify_item(found, receipt_of(job.manifest), job.proof(1), some_keys().commitment, None, context=CONTEXT)


def test_a_short_manifest_cannot_claim_any_number_of_hidden_items(tmp_path: Path) -> None:
    job = proven_job(tmp_path, hides=True)
    last, size = job.manifest.batches[-1], 1 << 23
    longer = [
        msgspec.structs.replace(last, first=last.stop + n * size, stop=last.stop + (n + 1) * size) for n in range(2)
    ]
    job.forge(batches=(*job.manifest.batches, *longer), batch_size=size, items=ITEMS + 2 * size)
    with pytest.raises(MalformedProofError, match="at most 16,777,216 items"):
        job.verify()


def test_a_hidden_job_is_checked_by_its_proofs_before_its_items_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A manifest of half a megabyte may claim 2^24 items, none of which has a digest in it."""
    job = proven_job(tmp_path, hides=True)
    batches, size = list(job.manifest.batches), 1 << 12
    for n in range(4):
        first = ITEMS + n * size
        batches.append(
            msgspec.structs.replace(batches[-1], first=first, stop=first + size, proof_digest=bytes([n]) * 32)
        )
    job.forge(batches=tuple(batches), batch_size=size, items=ITEMS + 4 * size)
    monkeypatch.setattr(verification, "receipt_of", lambda _: pytest.fail("the items were counted"))
    with pytest.raises(MalformedProofError, match="is not the proof that the job names"):
        job.verify()
    batches[-1] = msgspec.structs.replace(batches[-1], stop=ITEMS + 4 * size + 1)
    job.forge(batches=tuple(batches), batch_size=2 * size, items=ITEMS + 4 * size + 1)
    with pytest.raises(MalformedProofError, match="at most 4,096 items are checked"):
        job.verify()


def test_it_needs_no_package_of_the_prover(job: ProvenJob) -> None:
    some_keys().commitment.save(job.folder / "model.zkc")
    code = (
        "import sys\n"
        "for name in ('numba', 'mpmath', 'onnx', 'onnxruntime', 'matplotlib', 'psutil', 'pyarrow'):\n"
        "    sys.modules[name] = None\n"
        "from zkinfer.jobs.verification import verify_job\n"
        f"verify_job({str(job.folder)!r}, {str(job.folder / 'model.zkc')!r}, {str(job.inputs)!r}, context={CONTEXT!r})"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


class TestTheCallersWordCounts:
    """What the caller hands in is what the job is held against."""

    def test_another_receipt(self, job: ProvenJob) -> None:
        with pytest.raises(InvalidProofError, match="not the one that was published"):
            job.verify(receipt=bytes(32))

    def test_another_context(self, job: ProvenJob) -> None:
        with pytest.raises(StatementError, match="another context"):
            job.verify(context=b"night 2")

    def test_another_context_that_the_manifest_agrees_with(self, job: ProvenJob) -> None:
        job.forge(context=b"night 2")
        with pytest.raises(StatementError, match="items 0 to 2: the context differs"):
            job.verify(context=b"night 2")

    def test_clipped_inputs(self, job: ProvenJob) -> None:
        with pytest.raises(StatementError, match="does not clip"):
            job.verify(saturate=True)

    def test_another_commitment(self, job: ProvenJob) -> None:
        other = Commitment(
            mlp().program, msgspec.structs.replace(some_keys().commitment.key_as(NativeVerifyingKey), root=bytes(32))
        )
        with pytest.raises(CommitmentMismatchError, match="another commitment"):
            job.verify(commitment=other)
        job.forge(commitment=other.digest)
        with pytest.raises(CommitmentMismatchError, match="items 0 to 2: the proof was made for another commitment"):
            job.verify(commitment=other)

    def test_another_program_beside_the_right_commitment(self, job: ProvenJob) -> None:
        job.forge(program=bytes(32))
        with pytest.raises(CommitmentMismatchError, match="the job was done for another commitment than"):
            job.verify()

    def test_runs_of_another_size(self, job: ProvenJob) -> None:
        job.forge(circuit_batch=2)
        with pytest.raises(StatementError, match="runs 1 item at a time, the job says otherwise"):
            job.verify()

    def test_no_inputs(self, job: ProvenJob) -> None:
        nothing: dict[str, Any] = {"the job's inputs are public": None, "there are no inputs": []}
        for complaint, missing in nothing.items():
            with pytest.raises(StatementError, match=f"{complaint}.* hand in"):
                job.verify(inputs=missing)

    @pytest.mark.parametrize("workers", [1, 2])
    def test_another_input(self, job: ProvenJob, workers: int) -> None:
        x = items()
        x[5, 0] += 0.25
        np.save(job.inputs, x)
        with pytest.raises(StatementError, match="item 5 was run on another input than yours"):
            job.verify(workers=workers)

    def test_more_or_fewer_inputs(self, job: ProvenJob) -> None:
        for x in (items()[:-1], np.concatenate([items(), items()])):
            np.save(job.inputs, x)
            with pytest.raises(StatementError, match=f"the job has {ITEMS} items"):
                job.verify()

    def test_a_file_that_holds_no_inputs(self, job: ProvenJob) -> None:
        job.inputs.write_bytes(b"no array")
        for workers in (1, 2):
            with pytest.raises(StatementError, match="not an array"):
                job.verify(workers=workers)

    def test_a_file_with_a_line_that_is_too_long(
        self, job: ProvenJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The item that it stands for is none that the circuit takes; that shows where the last items are read."""
        lines = [json.dumps(row) for row in items().tolist()]
        (tmp_path / "x.jsonl").write_text("\n".join(lines) + " " * 100)
        job.verify(inputs=tmp_path / "x.jsonl")
        monkeypatch.setattr("zkinfer.jobs.inputs.MAX_LINE_BYTES", 100)
        with pytest.raises(StatementError, match=r"items 6 to 7: .*cannot take: item 7"):
            job.verify(inputs=tmp_path / "x.jsonl")


class TestCheatingProvers:
    """The operator of the job changes what its folder holds."""

    def test_an_item_is_called_a_dead_letter(self, job: ProvenJob) -> None:
        letters = (DeadLetter(1, "unwelcome"), *job.manifest.dead_letters)
        job.forge_batch(0, lambda b: drop(b, 1), dead_letters=letters)
        with pytest.raises(StatementError, match="leaves out an item without need: item 1"):
            job.verify()

    def test_a_dead_letter_is_said_to_be_proven(self, job: ProvenJob) -> None:
        grown = dict.fromkeys(("input_digests", "output_digests"), bytes(96))
        job.forge_batch(1, lambda b: msgspec.structs.replace(b, dead=(), **grown), dead_letters=())
        with pytest.raises(StatementError, match=f"the circuit cannot take: item {DEAD}, .* in its order"):
            job.verify()

    def test_a_batch_is_not_proven(self, job: ProvenJob) -> None:
        job.forge_batch(1, lambda b: msgspec.structs.replace(b, proof="", proof_digest=b""))
        with pytest.raises(InvalidProofError, match="items 3 to 5 have no proof"):
            job.verify()

    def test_a_proof_stands_for_another_batch(self, job: ProvenJob) -> None:
        first = job.manifest.batches[1]
        job.forge_batch(2, lambda b: msgspec.structs.replace(b, proof=first.proof, proof_digest=first.proof_digest))
        with pytest.raises(InvalidProofError, match="items 6 to 7 have the proof of other items"):
            job.verify()

    def test_two_batches_swap_their_proofs(self, job: ProvenJob) -> None:
        _, one, other = job.manifest.batches
        job.forge_batch(1, lambda b: msgspec.structs.replace(b, proof=other.proof, proof_digest=other.proof_digest))
        job.forge_batch(2, lambda b: msgspec.structs.replace(b, proof=one.proof, proof_digest=one.proof_digest))
        with pytest.raises(StatementError, match="items 3 to 5: the inputs differ"):
            job.verify()

    def test_a_proof_of_fewer_items(self, job: ProvenJob) -> None:
        longer, shorter = job.manifest.batches[:2]
        job.forge_batch(0, lambda b: msgspec.structs.replace(b, proof=shorter.proof, proof_digest=shorter.proof_digest))
        job.forge_batch(1, lambda b: msgspec.structs.replace(b, proof=longer.proof, proof_digest=longer.proof_digest))
        with pytest.raises(StatementError, match=r"items 0 to 2: .*runs"):
            job.verify()

    def test_another_output_is_claimed(self, job: ProvenJob) -> None:
        job.forge_batch(0, lambda b: msgspec.structs.replace(b, output_digests=bytes(96)))
        with pytest.raises(InvalidProofError, match="items 0 to 2: the outputs that are proven are not those"):
            job.verify()

    def test_another_input_is_claimed(self, job: ProvenJob) -> None:
        job.forge_batch(0, lambda b: msgspec.structs.replace(b, input_digests=bytes(96)))
        with pytest.raises(StatementError, match="item 0 was run on another input"):
            job.verify()

    @pytest.mark.parametrize(("item", "value"), [(5, 0.0), (5, np.nan), (DEAD, 0.0)])
    def test_the_file_of_outputs_is_edited(self, job: ProvenJob, item: int, value: float) -> None:
        outputs = np.load(job.folder / "outputs.npy")
        outputs[item, 1] = value
        np.save(job.folder / "outputs.npy", outputs)
        with pytest.raises(InvalidProofError, match="items 3 to 5: the job's file of outputs"):
            job.verify()

    @pytest.mark.parametrize(
        "array", [np.zeros((ITEMS, 3)), np.zeros((ITEMS, 2), dtype=np.float32), np.zeros(()), np.zeros((ITEMS - 1, 2))]
    )
    def test_the_file_of_outputs_is_another(self, job: ProvenJob, array: Any) -> None:
        np.save(job.folder / "outputs.npy", array)
        with pytest.raises(MalformedProofError, match=r"outputs of|does not hold float64"):
            job.verify()

    @pytest.mark.parametrize("name", ["outputs.npy", MANIFEST_FILE, "proofs/000000000003.proof"])
    @pytest.mark.parametrize("keep", [None, 0, 40, -1])
    def test_files_are_missing_or_cut_off(self, job: ProvenJob, name: str, keep: int | None) -> None:
        path = job.folder / name
        if keep is None:
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(MalformedProofError):
            job.verify()

    def test_one_number_is_no_outputs_of_items(self, tmp_path: Path) -> None:
        """Of items whose output is a single number, too."""
        np.save(tmp_path / "outputs.npy", np.zeros(()))
        with pytest.raises(MalformedProofError, match=r"does not hold float64 numbers of shape \(\) an item"):
            batch_checker.map_rows(tmp_path / "outputs.npy", ())

    def test_bytes_are_put_behind_the_outputs(self, job: ProvenJob) -> None:
        """The same array, in a file that holds more than it."""
        path = job.folder / "outputs.npy"
        path.write_bytes(path.read_bytes() + bytes(16))
        with pytest.raises(MalformedProofError, match=r"outputs\.npy: .*cut off or was edited"):
            job.verify()

    def test_outputs_are_made_up_where_there_are_none(self, tmp_path: Path) -> None:
        """No proof covers a batch of dead letters alone, so that its rows of outputs have to be checked without one."""
        np.save(tmp_path / "x.npy", np.full((2, 3), np.nan))
        api.run(tmp_path / "job", some_keys(), tmp_path / "x.npy", batch_size=2, context=CONTEXT)
        job = ProvenJob(tmp_path / "job", tmp_path / "x.npy", hides=False)
        assert (job.verify().dead, job.verify().proofs) == (2, 0)
        np.save(job.folder / "outputs.npy", np.zeros((2, 2)))
        with pytest.raises(InvalidProofError, match="items 0 to 1: the job's file of outputs holds others than were"):
            job.verify()

    def test_a_proof_is_bent_and_its_digest_too(self, job: ProvenJob) -> None:
        good = Proof.load(job.proof(0))
        bent = Proof(
            good.backend, good.commitment_digest, good.output_tensors, good.data[:-1] + bytes([good.data[-1] ^ 1])
        ).to_bytes()
        job.proof(0).write_bytes(bent)
        job.forge_batch(0, lambda b: msgspec.structs.replace(b, proof_digest=blake3(bent).digest()))
        with pytest.raises(VerificationError, match="items 0 to 2"):
            job.verify()


class TestHiddenValues:
    """Where a proof hides values there is nothing to compare them with: the manifest must not gain by saying so."""

    @pytest.fixture
    def hidden(self, tmp_path: Path) -> ProvenJob:
        return proven_job(tmp_path, hides=True)

    def test_a_proof_of_fewer_items(self, hidden: ProvenJob) -> None:
        """Two batches of different sizes swap their proofs, and no inputs are at hand that would contradict."""
        swap_proofs(hidden, 0, 1)
        with pytest.raises(InvalidProofError, match="items 0 to 2: the proof is of 2 runs of the circuit: not as many"):
            hidden.verify()

    def test_outputs_are_claimed_that_the_proofs_hide(self, hidden: ProvenJob) -> None:
        show_outputs(hidden)
        with pytest.raises(InvalidProofError, match="items 0 to 2: the proof hides outputs that the job shows"):
            hidden.verify()

    def test_an_output_is_claimed_that_the_proof_of_the_item_hides(self, hidden: ProvenJob) -> None:
        show_outputs(hidden)
        found, receipt = item_receipt(hidden.manifest, 5), receipt_of(hidden.manifest)
        with pytest.raises(InvalidProofError, match="the proof hides outputs that the job shows"):
            verify_item(found, receipt, hidden.proof(1), some_keys().commitment, None, context=CONTEXT)

    def test_outputs_are_withheld_that_the_proofs_show(self, job: ProvenJob) -> None:
        batches = tuple(msgspec.structs.replace(batch, output_digests=b"") for batch in job.manifest.batches)
        job.forge(batches=batches, private_outputs=True)
        with pytest.raises(InvalidProofError, match="or shows some that it hides"):
            job.verify()

    def test_inputs_are_withheld_that_the_proofs_show(self, job: ProvenJob) -> None:
        batches = tuple(msgspec.structs.replace(batch, input_digests=b"") for batch in job.manifest.batches)
        job.forge(batches=batches, private_inputs=True)
        with pytest.raises(StatementError, match=r"items 0 to 2: .*is public in this proof"):
            job.verify(inputs=None)

    def test_an_item_stands_at_no_position(self, hidden: ProvenJob) -> None:
        """Nothing of the item is shown, so that only the number of runs says which positions there are."""
        found, receipt = item_receipt(hidden.manifest, 5), receipt_of(hidden.manifest)
        moved: ItemReceipt = msgspec.structs.replace(found, position=2)
        with pytest.raises(InvalidProofError, match="the proof has no position 2 for item 5"):
            verify_item(moved, receipt, hidden.proof(1), some_keys().commitment, None, context=CONTEXT)


def swap_proofs(job: ProvenJob, one: int, other: int) -> None:
    """Let the manifest name for each of two batches the proof of the other one."""
    batches = list(job.manifest.batches)
    first, second = batches[one], batches[other]
    batches[one] = msgspec.structs.replace(first, proof=second.proof, proof_digest=second.proof_digest)
    batches[other] = msgspec.structs.replace(second, proof=first.proof, proof_digest=first.proof_digest)
    job.forge(batches=tuple(batches))


def show_outputs(job: ProvenJob) -> None:
    """Let a job whose proofs hide the outputs name digests of any outputs, and have a file of them."""
    batches = tuple(
        msgspec.structs.replace(batch, output_digests=bytes(32 * batch.size)) for batch in job.manifest.batches
    )
    job.forge(batches=batches, private_outputs=False)
    np.save(job.folder / "outputs.npy", np.full((ITEMS, 2), np.nan))


def drop(batch: JobBatch, position: int) -> JobBatch:
    """The batch without one of its items, as an honest prover would write it."""

    def without(digests: bytes) -> bytes:
        return digests[: 32 * position] + digests[32 * (position + 1) :]

    return msgspec.structs.replace(
        batch,
        dead=(batch.first + position,),
        input_digests=without(batch.input_digests),
        output_digests=without(batch.output_digests),
    )


def test_processes_that_cannot_be_had(job: ProvenJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not a verdict on the job."""
    for missing in ("/bin/false", "/nowhere/python"):
        monkeypatch.setattr(sys, "executable", missing)
        with pytest.raises(VerifierUnavailableError, match="process"):
            job.verify(workers=2)


@pytest.mark.parametrize("shortage", [MemoryError, RecursionError])
def test_too_little_memory_is_no_verdict(
    job: ProvenJob, monkeypatch: pytest.MonkeyPatch, shortage: type[Exception]
) -> None:
    """Neither where all of the job is read, nor where one batch is checked."""

    def fail(*args: object, **options: object) -> None:
        raise shortage

    monkeypatch.setattr(batch_checker, "verify", fail)
    with pytest.raises(
        VerifierUnavailableError, match=rf"not enough memory or stack to verify \({shortage.__name__}\)$"
    ):
        job.verify()
    monkeypatch.setattr(verification, "load_manifest", fail)
    with pytest.raises(VerifierUnavailableError, match=rf"{shortage.__name__}\); nothing is said about the job"):
        job.verify()


class TestOneItem:
    """An item with its path, the proof of its batch, and the batch's inputs."""

    def verify(self, job: ProvenJob, index: int, **changes: Any) -> VerifiedInference:
        own = {
            "item": item_receipt(job.manifest, index),
            "receipt": receipt_of(job.manifest),
            "proof": job.proof(1),
            "commitment": some_keys().commitment,
            "inputs": items()[[3, 5]],
            "context": CONTEXT,
        }
        return verify_item(**{**own, **changes})

    @pytest.mark.parametrize(("index", "position"), [(3, 0), (5, 1)])
    def test_honest(self, job: ProvenJob, index: int, position: int) -> None:
        outputs = self.verify(job, index).outputs
        assert isinstance(outputs, np.ndarray)
        assert outputs[position].tolist() == np.load(job.folder / "outputs.npy")[index].tolist()

    def test_from_files(self, job: ProvenJob, tmp_path: Path) -> None:
        item_receipt(job.manifest, 3).save(tmp_path / "3.zki")
        some_keys().commitment.save(tmp_path / "model.zkc")
        self.verify(job, 3, item=tmp_path / "3.zki", commitment=tmp_path / "model.zkc")

    def test_of_another_job(self, job: ProvenJob) -> None:
        with pytest.raises(InvalidProofError, match="not one of the job"):
            self.verify(job, 3, receipt=bytes(32))

    def test_a_dead_letter(self, job: ProvenJob) -> None:
        with pytest.raises(InvalidProofError, match=f"item {DEAD} is covered by no proof: .*NaN"):
            self.verify(job, DEAD)

    def test_that_was_not_proven(self, job: ProvenJob) -> None:
        job.forge_batch(1, lambda b: msgspec.structs.replace(b, proof="", proof_digest=b""))
        with pytest.raises(InvalidProofError, match="item 3 is covered by no proof: it was not proven"):
            self.verify(job, 3, proof=job.folder / "proofs" / "000000000003.proof")

    def test_by_another_proof(self, job: ProvenJob) -> None:
        with pytest.raises(MalformedProofError, match="not the proof"):
            self.verify(job, 3, proof=job.proof(0))

    @pytest.mark.parametrize("position", [0, 2, 5000])
    def test_at_another_position(self, job: ProvenJob, position: int) -> None:
        moved: ItemReceipt = msgspec.structs.replace(item_receipt(job.manifest, 5), position=position)
        with pytest.raises(InvalidProofError, match=f"position {position}"):
            self.verify(job, 5, item=moved)

    def test_of_which_nothing_is_shown(self, job: ProvenJob) -> None:
        """A receipt of items without digests, at a position where the proof has nothing that would contradict."""
        found = item_receipt(job.manifest, 3)
        blank = msgspec.structs.replace(found.item, input_digest=b"", output_digest=b"")
        forged: ItemReceipt = msgspec.structs.replace(found, item=blank, position=5000)
        with pytest.raises(InvalidProofError, match="no position 5000"):
            self.verify(job, 3, item=forged, receipt=forged.receipt())
        with pytest.raises(MalformedProofError, match="no job has one like it"):
            ItemReceipt.from_bytes(forged.to_bytes())

    def test_whose_output_is_claimed_to_be_another(self, job: ProvenJob) -> None:
        """The receipt itself is of a job that claims another output: the proof does not show it."""
        job.forge_batch(1, lambda b: msgspec.structs.replace(b, output_digests=bytes(64)))
        with pytest.raises(InvalidProofError, match="the output of item 3"):
            self.verify(job, 3)

    @pytest.mark.parametrize(
        ("inputs", "complaint"),
        [
            (items()[[5, 3]], "inputs differ"),
            (items()[[3]], "runs"),
            (items()[[3, 5, 6]], "runs"),
            (items()[[3, DEAD]], "cannot take the input at position 1"),
            (items()[:0], "along their first axis"),
            (np.float64(1), "along their first axis"),
            ("x", "a text is not an array"),
            ({"y": items()[[3, 5]]}, "named"),
            (None, "the job's inputs are public"),
        ],
    )
    def test_with_other_inputs(self, job: ProvenJob, inputs: Any, complaint: str) -> None:
        with pytest.raises(StatementError, match=complaint):
            self.verify(job, 3, inputs=inputs)

    def test_with_another_context(self, job: ProvenJob) -> None:
        with pytest.raises(StatementError, match="context"):
            self.verify(job, 3, context=b"")
