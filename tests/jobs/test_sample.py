"""Sampled jobs: what a sample shows, exactly, how each way to cheat on one is found, and how one survives crashes."""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from shutil import copytree
from tempfile import mkdtemp
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.proven_jobs import CONTEXT, DEAD, ITEMS, items, proven_job, some_keys

from zkinfer.circuit.qformat import quantize
from zkinfer.errors import (
    InvalidInputError,
    InvalidProofError,
    MalformedProofError,
    ProvingError,
    ResourceError,
    StatementError,
    VerificationError,
    WrongKeyError,
)
from zkinfer.files.artifact import wrap
from zkinfer.jobs import api, batch_checker, execution, runner
from zkinfer.jobs.inputs import Inputs
from zkinfer.jobs.item_bundle import write_item_folder
from zkinfer.jobs.job import SAMPLE_COMMITMENT_FILE, STATE_FILE, SamplePolicy, manifest_file, proofs_folder
from zkinfer.jobs.manifest import DeadLetter, JobBatch, Manifest, Opening, Sample, item_digests
from zkinfer.jobs.receipt import receipt_of
from zkinfer.jobs.runner import Runner
from zkinfer.jobs.sample import picked
from zkinfer.jobs.sampled import commit_sample, open_item, prove_sample
from zkinfer.jobs.verification import VerifiedJob, verify_job, verify_sample

CHALLENGE = b"beacon, round 1234567"
RATE = 0.4


@dataclass(frozen=True)
class SampledJob:
    """A job of four batches of two items, of which a challenge picked two; the digest was published before."""

    folder: Path
    inputs: Path
    published: bytes

    @property
    def manifest(self) -> Manifest:
        return Manifest.load(manifest_file(self.folder))

    @property
    def sample(self) -> Sample:
        assert self.manifest.sample is not None
        return self.manifest.sample

    @property
    def picked(self) -> list[int]:
        """The numbers of the batches that are proven."""
        return [number for number, batch in enumerate(self.manifest.batches) if batch.proof]

    def forge(self, **changes: Any) -> None:
        """Let the manifest say something else."""
        msgspec.structs.replace(self.manifest, **changes).save(manifest_file(self.folder))

    def forge_sample(self, **changes: Any) -> None:
        self.forge(sample=msgspec.structs.replace(self.sample, **changes))

    def forge_batch(self, number: int, change: Callable[[JobBatch], JobBatch]) -> None:
        batches = list(self.manifest.batches)
        batches[number] = change(batches[number])
        self.forge(batches=tuple(batches))

    def forge_two(self, number: int, change: Callable[[JobBatch], JobBatch], openings: tuple[Opening, ...]) -> None:
        """Change a batch and the openings at once, so that the manifest can be read in between."""
        batches = list(self.manifest.batches)
        batches[number] = change(batches[number])
        sample = msgspec.structs.replace(self.sample, openings=openings)
        self.forge(batches=tuple(batches), sample=sample)

    def forge_part(self, part: str, change: Callable[[bytes], bytes]) -> None:
        """Change the salts or siblings of the first opening, or a field of its batch."""
        if part in Opening.__struct_fields__:
            first, *others = self.sample.openings
            changed = msgspec.structs.replace(first, **{part: change(getattr(first, part))})
            self.forge_sample(openings=(changed, *others))
        else:
            self.forge_batch(
                self.picked[0], lambda batch: msgspec.structs.replace(batch, **{part: change(getattr(batch, part))})
            )

    def verify(self, **changes: Any) -> VerifiedJob:
        own = {"folder": self.folder, "commitment": some_keys().commitment, "inputs": self.inputs, **self.asked}
        return verify_job(**{**own, **changes})

    @property
    def asked(self) -> dict[str, Any]:
        """What the verifier knows of the sample."""
        return {"published": self.published, "challenge": CHALLENGE, "context": CONTEXT}


def make(folder: Path, *, prove: bool = True) -> SampledJob:
    np.save(folder / "x.npy", items())
    inputs = [folder / "x.npy"]
    committed = commit_sample(
        folder / "job", some_keys(), inputs, batch_size=2, rate=RATE, confidence=0.8, context=CONTEXT
    )
    if prove:
        prove_sample(folder / "job", some_keys(), inputs, CHALLENGE, rate=RATE)
    return SampledJob(folder / "job", folder / "x.npy", committed.digest)


@lru_cache(maxsize=1)
def made() -> SampledJob:
    return make(Path(mkdtemp(prefix="zkinfer-sampled-")))


@pytest.fixture
def job(tmp_path: Path) -> SampledJob:
    copytree(made().folder, tmp_path / "job")
    np.save(tmp_path / "x.npy", items())
    return SampledJob(tmp_path / "job", tmp_path / "x.npy", made().published)


def test_an_honest_sample(job: SampledJob) -> None:
    verified = verify_sample(job.folder, some_keys().commitment, job.inputs, **job.asked)
    assert job.picked == picked(job.manifest, CHALLENGE)
    assert verified.proofs == len(job.picked) == len(list(proofs_folder(job.folder).iterdir())) == 2
    assert (verified.items, verified.dead) == (ITEMS, 1)
    assert verified.published == job.published
    assert verified.sampled == verified.proven == job.manifest.proven
    assert verified.proven in (3, 4)
    # Of 7 outputs 3 are wrong, which fills two of four batches: C(2, 2) / C(4, 2).
    assert verified.miss_probability == pytest.approx(1 / 6)
    assert verified.security_bits >= 128


def test_the_receipt_covers_all_of_the_manifest(job: SampledJob) -> None:
    receipt = receipt_of(job.manifest)
    assert job.verify(receipt=receipt, workers=2).receipt == receipt
    with pytest.raises(InvalidProofError, match="not the one that was published"):
        job.verify(receipt=bytes(32))
    for changes in ({"rate": 0.5}, {"challenge": bytes(16)}, {"openings": job.sample.openings[::-1]}):
        other = msgspec.structs.replace(job.manifest, sample=msgspec.structs.replace(job.sample, **changes))
        assert receipt_of(other) != receipt
    job.forge_part("proof_digest", lambda digest: bytes(32))
    assert receipt_of(job.manifest) != receipt
    with pytest.raises(MalformedProofError, match="not the proof that the job names"):
        job.verify()


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({"context": b"night 2"}, "another context"),
        ({"saturate": True}, "does not clip"),
        ({"inputs": None}, "hand in your own copy"),
        ({"inputs": []}, "there are no inputs"),
    ],
)
def test_what_the_verifier_says_counts(job: SampledJob, asked: dict[str, Any], complaint: str) -> None:
    with pytest.raises(StatementError, match=complaint):
        job.verify(**asked)


def test_the_inputs_are_those_of_the_verifier(job: SampledJob) -> None:
    item = job.manifest.batches[job.picked[0]].items[0]
    x = items()
    x[item, 0] += 0.25
    np.save(job.inputs, x)
    with pytest.raises(StatementError, match=f"item {item} was run on another input than yours"):
        job.verify()


class TestPolicy:
    """A sample is never taken for a proof of all items, nor the other way round."""

    def test_without_digest_and_challenge_a_sampled_job_is_refused(self, job: SampledJob) -> None:
        for missing in ({"published": None, "challenge": None}, {"published": None}, {"challenge": None}):
            with pytest.raises(StatementError, match="a sampled job, not a proof of all items"):
                job.verify(**missing)

    def test_the_policy_cannot_be_taken_off_the_manifest(self, job: SampledJob) -> None:
        bare = msgspec.structs.replace(job.manifest, sample=None)
        bare.save(manifest_file(job.folder))
        with pytest.raises(MalformedProofError, match="one digest for each"):
            verify_job(job.folder, some_keys().commitment, job.inputs, context=CONTEXT)
        fields = ("input_digests", "output_digests")
        full = [
            batch if batch.proof else msgspec.structs.replace(batch, **dict.fromkeys(fields, bytes(32 * batch.size)))
            for batch in bare.batches
        ]
        msgspec.structs.replace(bare, batches=tuple(full)).save(manifest_file(job.folder))
        with pytest.raises(InvalidProofError, match="have no proof: the job is not proven"):
            verify_job(job.folder, some_keys().commitment, job.inputs, context=CONTEXT)

    @pytest.mark.parametrize(
        "asked", [{"published": bytes(32), "challenge": CHALLENGE}, {"rate": 0.1}, {"rate": 0.1, "confidence": 0.5}]
    )
    def test_a_job_that_is_no_sample_is_not_asked_for_one(self, tmp_path: Path, asked: dict[str, Any]) -> None:
        job = proven_job(tmp_path)
        with pytest.raises(StatementError, match="no sampled job"):
            job.verify(**asked)

    def test_no_item_of_it_is_handed_out_as_proven(self, job: SampledJob, tmp_path: Path) -> None:
        with pytest.raises(InvalidInputError, match=r"sampled.open_item"):
            write_item_folder(job.folder, 0, tmp_path / "item", some_keys().commitment, share_batch=True)


def test_the_verifier_asks_about_a_rate_of_its_own(job: SampledJob) -> None:
    """Of 7 outputs 1 is wrong: it is in the sample in two of four cases."""
    verified = job.verify(rate=0.1)
    assert verified.rate == 0.1
    assert verified.miss_probability == pytest.approx(1 / 2)
    assert not verified.rate_of_operator
    job.verify(rate=0.1, confidence=0.5)
    job.verify(rate=RATE, confidence=0.8)


def test_a_confidence_is_about_a_rate_of_the_verifier(job: SampledJob) -> None:
    """About the operator's it would say nothing: an operator may ask about 90 % of wrong outputs, and prove little."""
    with pytest.raises(InvalidInputError, match=r"name yours too, rate= \(--rate\)"):
        job.verify(confidence=0.5)


def test_without_a_rate_the_result_says_that_it_is_the_operators(job: SampledJob) -> None:
    verified = job.verify()
    assert verified.rate_of_operator
    assert "that rate is the operator's own" in str(verified)
    assert "operator" not in str(job.verify(rate=RATE))


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({"rate": RATE, "confidence": 0.9}, "too small: if 40% .* probability 0.167, and you ask for at most 0.1"),
        ({"rate": 0.1, "confidence": 0.8}, "too small: if 10%"),
        ({"rate": 0.0}, "rate"),
        ({"rate": RATE, "confidence": 1.0}, "confidence"),
    ],
)
def test_a_sample_that_shows_too_little_is_refused(job: SampledJob, asked: dict[str, float], complaint: str) -> None:
    with pytest.raises(StatementError, match=complaint):
        job.verify(**asked)


def test_it_says_that_it_was_sampled(job: SampledJob) -> None:
    assert str(job.verify()).startswith(f"sampled: {job.verify().sampled} of {ITEMS} items")


def test_the_outputs_are_those_of_a_job(job: SampledJob) -> None:
    outputs = np.load(job.folder / "outputs.npy")
    assert outputs.shape == (ITEMS, 2)
    assert np.isnan(outputs).any(axis=1).tolist() == [index == DEAD for index in range(ITEMS)]


def test_proving_again_keeps_the_proofs(job: SampledJob) -> None:
    before, left = job.manifest, some_keys().proofs_left
    assert prove_sample(job.folder, some_keys(), [job.inputs], CHALLENGE, rate=RATE) == before
    assert some_keys().proofs_left == left
    next(proofs_folder(job.folder).iterdir()).write_bytes(b"cut off")
    prove_sample(job.folder, some_keys(), [job.inputs], CHALLENGE, rate=RATE)
    assert some_keys().proofs_left == left - 1
    job.verify()


def test_what_is_not_picked_stays_hidden(job: SampledJob) -> None:
    """Its digests are in none of the public files; its leaves are salted with what is in none either."""
    public = (job.folder / SAMPLE_COMMITMENT_FILE).read_bytes() + manifest_file(job.folder).read_bytes()
    for index in set(range(ITEMS)) - {DEAD}:
        digest = item_digests([quantize(items()[index : index + 1], some_keys().program.inputs[0])])
        assert (digest in public) == (index // 2 in job.picked)
    assert (job.folder / STATE_FILE).stat().st_mode & 0o077 == 0


def test_what_is_committed_to_is_the_manifest_before_the_challenge(job: SampledJob) -> None:
    committed = Manifest.load(job.folder / SAMPLE_COMMITMENT_FILE)
    assert committed == job.manifest.committed()
    assert committed.digest == job.manifest.digest == job.published
    assert committed.proven == 0


class TestCheatingOperators:
    """Each changes what the verifier sees, after the challenge."""

    @pytest.mark.parametrize(
        "changes",
        [
            {"batch_size": 3},
            {"program": bytes(32)},
            {"commitment": bytes(32)},
            {"context": b"night 2"},
            {"saturate": True},
            {"circuit_batch": 2},
        ],
    )
    def test_something_that_was_committed_to_is_changed(self, job: SampledJob, changes: dict[str, Any]) -> None:
        job.forge(**changes)
        with pytest.raises(InvalidProofError, match="published before the challenge"):
            job.verify()

    @pytest.mark.parametrize("changes", [{"head": bytes(32)}, {"size": 1}])
    def test_the_root_or_the_size_is_changed(self, job: SampledJob, changes: dict[str, Any]) -> None:
        job.forge_sample(**changes)
        with pytest.raises(InvalidProofError, match="published before the challenge"):
            job.verify()

    def test_a_dead_letter_is_added(self, job: SampledJob) -> None:
        number = next(n for n in range(4) if n not in job.picked and job.manifest.batches[n].size == 2)
        dead = job.manifest.batches[number].first
        letters = [letter.index for letter in job.manifest.dead_letters]
        job.forge(
            batches=tuple(
                msgspec.structs.replace(batch, dead=(dead,)) if batch.first == dead else batch
                for batch in job.manifest.batches
            ),
            dead_letters=tuple(DeadLetter(index, "unwelcome") for index in sorted([*letters, dead])),
        )
        with pytest.raises(InvalidProofError, match="published before the challenge"):
            job.verify()

    def test_a_batch_is_left_out_of_the_sample(self, job: SampledJob) -> None:
        unproven = {"proof": "", "proof_digest": b"", "input_digests": b"", "output_digests": b""}
        job.forge_two(job.picked[0], lambda b: msgspec.structs.replace(b, **unproven), job.sample.openings[1:])
        with pytest.raises(InvalidProofError, match="not the one that the challenge picks, which is of 2"):
            job.verify()

    def test_another_batch_is_proven_than_was_picked(self, job: SampledJob) -> None:
        other = next(n for n in range(4) if n not in job.picked and job.manifest.batches[n].size)
        unproven = {"proof": "", "proof_digest": b"", "input_digests": b"", "output_digests": b""}
        first = job.manifest.batches[job.picked[0]]
        size = 32 * job.manifest.batches[other].size
        shown = {
            "proof": first.proof,
            "proof_digest": first.proof_digest,
            "input_digests": bytes(size),
            "output_digests": bytes(size),
        }
        job.forge_two(job.picked[0], lambda b: msgspec.structs.replace(b, **unproven), job.sample.openings[1:])
        openings = tuple(job.sample.openings) + job.sample.openings[:1]
        job.forge_two(other, lambda b: msgspec.structs.replace(b, **shown), openings)
        with pytest.raises(InvalidProofError, match="not the one that the challenge picks"):
            job.verify()

    def test_another_batch_stands_in_the_place_of_the_picked_one(self, job: SampledJob) -> None:
        job.forge_sample(openings=job.sample.openings[::-1])
        with pytest.raises(VerificationError, match=f"batch {job.picked[0]} of the sample is not"):
            job.verify()

    def test_a_picked_batch_has_no_opening(self, job: SampledJob) -> None:
        job.forge_sample(openings=job.sample.openings[1:])
        with pytest.raises(MalformedProofError, match="not every batch of the sample is proven and opened"):
            job.verify()

    @pytest.mark.parametrize("part", ["salts", "input_digests", "output_digests", "siblings"])
    def test_something_else_is_opened(self, job: SampledJob, part: str) -> None:
        job.forge_part(part, lambda data: bytes([data[0] ^ 1]) + data[1:])
        with pytest.raises(InvalidProofError, match="is not the one that was committed"):
            job.verify()

    @pytest.mark.parametrize("more", [-32, -1, 1, 32])
    def test_not_one_salt_for_each_item(self, job: SampledJob, more: int) -> None:
        number = job.picked[0]
        job.forge_part("salts", lambda data: (data + bytes(32))[: len(data) + more])
        with pytest.raises(MalformedProofError, match=f"batch {number} of the sample is not opened item by item"):
            job.verify()

    @pytest.mark.parametrize("part", ["salts", "input_digests", "output_digests", "siblings", "proof_digest"])
    @pytest.mark.parametrize("keep", [0, 31, 33])
    def test_a_part_of_another_length(self, job: SampledJob, part: str, keep: int) -> None:
        job.forge_part(part, lambda data: (data * 2)[:keep])
        with pytest.raises(MalformedProofError):
            job.verify()

    def test_the_operator_chooses_the_challenge(self, job: SampledJob) -> None:
        """It picks other batches than the verifier's challenge does, which is what the verifier goes by."""
        chosen = next(
            attempt for attempt in (bytes([i]) * 16 for i in range(256)) if picked(job.manifest, attempt) != job.picked
        )
        prove_sample(job.folder, some_keys(), [job.inputs], chosen, rate=RATE)
        with pytest.raises(InvalidProofError, match="another challenge than yours"):
            job.verify()
        job.forge_sample(challenge=CHALLENGE)
        with pytest.raises(InvalidProofError, match="not the one that the challenge picks"):
            job.verify()

    @pytest.mark.parametrize("claimed", [0.0, 1 / 6 - 1e-4, 1 / 6 + 1e-4, math.nan, -1.0])
    def test_a_better_probability_is_claimed(self, job: SampledJob, claimed: float) -> None:
        job.forge_sample(miss_probability=claimed)
        with pytest.raises(InvalidProofError, match=r"it is 0\.167"):
            job.verify()

    @pytest.mark.parametrize("rate", [0.0, math.nan, 2.0])
    def test_a_rate_that_is_none(self, job: SampledJob, rate: float) -> None:
        job.forge_sample(rate=rate)
        with pytest.raises(StatementError, match="rate"):
            job.verify()

    def test_wrong_outputs_were_committed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The operator lies from the beginning, and opens what was committed: no proof shows it."""
        run_items = execution.run_items
        monkeypatch.setattr(execution, "run_items", lambda *args: [output + 1 for output in run_items(*args)])
        lying = make(tmp_path, prove=False)
        with pytest.raises(ProvingError, match="not what was committed"):
            prove_sample(lying.folder, some_keys(), [lying.inputs], CHALLENGE, rate=RATE)
        assert not manifest_file(lying.folder).exists()
        monkeypatch.setattr(Runner, "_is_committed", lambda *args: True)
        prove_sample(lying.folder, some_keys(), [lying.inputs], CHALLENGE, rate=RATE)
        with pytest.raises(InvalidProofError, match="the outputs that are proven are not those"):
            lying.verify()

    def test_an_item_is_called_a_dead_letter(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """That is found whether or not its batch is picked."""
        read = batch_checker.read_items

        def without_item_1(inputs: Inputs, first: int, *args: Any) -> Any:
            found = read(inputs, first, *args)
            return found._replace(integers=[x[:1] for x in found.integers], reasons={1: "no"}) if first == 0 else found

        for module in (execution, runner):
            monkeypatch.setattr(module, "read_items", without_item_1)
        lying = make(tmp_path)
        with pytest.raises(StatementError, match="leaves out an item without need: item 1"):
            lying.verify()

    def test_the_file_of_outputs_holds_others_than_were_proven(self, job: SampledJob) -> None:
        outputs = np.load(job.folder / "outputs.npy")
        row = outputs[job.manifest.batches[job.picked[0]].first]
        row[:] = np.nan_to_num(row) + 1  # a dead letter's row, too, holds nothing but NaN
        np.save(job.folder / "outputs.npy", outputs)
        with pytest.raises(InvalidProofError, match="the job's file of outputs"):
            job.verify()

    @given(data=st.binary(max_size=80), position=st.integers(0, 2000))
    def test_any_other_bytes(self, data: bytes, position: int) -> None:
        good = made().manifest.to_bytes()
        for attempt in (data, good[:position] + data + good[position + len(data) :]):
            if attempt != good:
                with pytest.raises(MalformedProofError, match="manifest"):
                    Manifest.from_bytes(attempt)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"size": 0}, "a sample of 0 batches, where 4"),
        ({"size": 5}, "a sample of 5 batches, where 4"),
        ({"head": b""}, "digest"),
        ({"challenge": b""}, "without a challenge"),
        ({"openings": ()}, "proven and opened"),
    ],
)
def test_a_sample_that_no_job_has_is_refused(job: SampledJob, changes: dict[str, Any], complaint: str) -> None:
    forged = msgspec.structs.replace(job.sample, **changes)
    with pytest.raises(MalformedProofError, match=complaint):
        Manifest.from_bytes(msgspec.structs.replace(job.manifest, sample=forged).to_bytes())


@pytest.mark.parametrize("hidden", ["private_inputs", "private_outputs"])
def test_a_sampled_job_hides_nothing(job: SampledJob, hidden: str) -> None:
    kind = {"private_inputs": "input_digests", "private_outputs": "output_digests"}[hidden]
    batches = tuple(msgspec.structs.replace(batch, **{kind: b""}) for batch in job.manifest.batches)
    forged = msgspec.structs.replace(job.manifest, batches=batches, **{hidden: True})
    with pytest.raises(MalformedProofError, match="a sampled job hides no"):
        Manifest.from_bytes(forged.to_bytes())


def test_a_batch_that_is_not_picked_shows_no_digests(job: SampledJob) -> None:
    other = next(n for n in range(4) if n not in job.picked)
    job.forge_batch(other, lambda b: msgspec.structs.replace(b, input_digests=bytes(32 * b.size)))
    with pytest.raises(MalformedProofError, match="one digest for each"):
        job.verify()


class TestChallenges:
    @pytest.mark.parametrize("challenge", [b"", b"7", bytes(15), bytes(70_000)])
    def test_one_that_could_be_guessed_is_refused(self, job: SampledJob, challenge: bytes) -> None:
        with pytest.raises(InvalidInputError, match="a challenge has from 16"):
            prove_sample(job.folder, some_keys(), [job.inputs], challenge)
        forged = job.manifest.committed()
        if challenge:
            forged = msgspec.structs.replace(
                job.manifest, sample=msgspec.structs.replace(job.sample, challenge=challenge)
            )
        forged.save(manifest_file(job.folder))
        with pytest.raises(StatementError, match="a challenge has from 16"):
            job.verify(challenge=challenge)

    def test_different_ones_pick_differently_and_evenly(self) -> None:
        commitment = made().manifest
        counts = np.zeros(4)
        for i in range(400):
            counts[picked(commitment, i.to_bytes(16, "little"))] += 1
        assert counts.sum() == 800
        assert (abs(counts - 200) < 60).all()


class TestOneItem:
    @pytest.mark.parametrize("index", [0, DEAD, ITEMS - 1])
    def test_is_shown_to_have_been_committed(self, job: SampledJob, index: int) -> None:
        open_item(job.folder, index).check(job.manifest)

    def test_another_is_refused(self, job: SampledJob) -> None:
        found = open_item(job.folder, 2)
        commitment = Manifest.load(job.folder / SAMPLE_COMMITMENT_FILE)
        for forged in (
            msgspec.structs.replace(found, salt=bytes(32)),
            msgspec.structs.replace(found, item=msgspec.structs.replace(found.item, output_digest=bytes(32))),
            msgspec.structs.replace(found, item=msgspec.structs.replace(found.item, index=3)),
        ):
            with pytest.raises(InvalidProofError, match="not the one that was committed"):
                forged.check(commitment)
        with pytest.raises(MalformedProofError, match="no item 99"):
            msgspec.structs.replace(found, item=msgspec.structs.replace(found.item, index=99)).check(commitment)
        with pytest.raises(InvalidInputError, match="no item 99"):
            open_item(job.folder, 99)

    def test_a_job_of_which_all_is_proven_committed_to_no_item(self, job: SampledJob) -> None:
        whole = msgspec.structs.replace(job.manifest, sample=None)
        with pytest.raises(InvalidInputError, match="not a sampled one: all of it is proven"):
            open_item(job.folder, 2).check(whole)


class TestOperator:
    def test_inputs_that_changed_are_refused(self, job: SampledJob) -> None:
        np.save(job.inputs, items()[::-1])
        before = some_keys().proofs_left
        for path in proofs_folder(job.folder).iterdir():
            path.unlink()
        with pytest.raises(InvalidInputError, match="changed since they were committed"):
            prove_sample(job.folder, some_keys(), [job.inputs], CHALLENGE)
        np.save(job.inputs, items()[:-1])
        with pytest.raises(InvalidInputError, match="7 inputs; the job has 8"):
            prove_sample(job.folder, some_keys(), [job.inputs], CHALLENGE)
        assert some_keys().proofs_left == before

    def test_inputs_may_lie_elsewhere(self, tmp_path: Path) -> None:
        job = make(tmp_path, prove=False)
        moved = job.inputs.rename(tmp_path / "moved.npy")
        prove_sample(job.folder, some_keys(), moved, CHALLENGE)
        assert verify_sample(job.folder, some_keys().commitment, moved, **job.asked).proofs == 2

    def test_a_folder_holds_one_job(self, job: SampledJob, tmp_path: Path) -> None:
        with pytest.raises(InvalidInputError, match="holds a job already"):
            commit_sample(job.folder, some_keys(), [job.inputs], batch_size=2)
        with pytest.raises(InvalidInputError, match="holds no batch job"):
            prove_sample(tmp_path, some_keys(), [job.inputs], CHALLENGE)

    def test_keys_of_another_backend(self, tmp_path: Path) -> None:
        keys: Any = SimpleNamespace(backend="ezkl", program=some_keys().program)
        with pytest.raises(InvalidInputError, match="not of 'ezkl'"):
            commit_sample(tmp_path, keys, [], batch_size=1)

    def test_other_keys(self, job: SampledJob) -> None:
        from support.example_programs import mlp

        from zkinfer.native.setup import setup

        with pytest.raises(WrongKeyError, match="begun with other keys"):
            prove_sample(job.folder, setup(mlp(1).program, mlp(1).weights, proofs=1), job.inputs, CHALLENGE)

    @pytest.mark.parametrize(
        "changes",
        [{"batch_size": 0}, {"seed": b""}, {"rate": 0.0}, {"confidence": 1.0}, {"context": bytes(1 << 17)}],
    )
    def test_options_that_make_no_sense_are_refused_before_anything_is_executed(
        self, tmp_path: Path, changes: dict[str, Any]
    ) -> None:
        np.save(tmp_path / "x.npy", items())
        with pytest.raises(InvalidInputError):
            commit_sample(tmp_path / "job", some_keys(), tmp_path / "x.npy", **{"batch_size": 2, **changes})
        assert not (tmp_path / "job").exists()

    @pytest.mark.parametrize(
        ("changes", "complaint"),
        [({"batch_size": None}, "needs a batch size"), ({"private_outputs": True}, "hides neither")],
    )
    def test_options_that_do_not_go_with_a_sample(
        self, tmp_path: Path, changes: dict[str, Any], complaint: str
    ) -> None:
        np.save(tmp_path / "x.npy", items())
        own = {"batch_size": 2, "sample": SamplePolicy(rate=0.1, confidence=0.9)}
        with pytest.raises(InvalidInputError, match=complaint):
            api.run(tmp_path / "job", some_keys(), tmp_path / "x.npy", **{**own, **changes})

    def test_a_job_of_dead_letters_alone_has_no_sample(self, tmp_path: Path) -> None:
        np.save(tmp_path / "x.npy", np.full((3, 3), np.nan))
        with pytest.raises(InvalidInputError, match="nothing to draw a sample of"):
            commit_sample(tmp_path / "job", some_keys(), tmp_path / "x.npy", batch_size=2)

    def test_the_rate_of_the_manifest_is_that_of_the_commitment(self, job: SampledJob) -> None:
        def sample(**changes: float) -> Sample:
            found = prove_sample(job.folder, some_keys(), job.inputs, CHALLENGE, **changes).sample
            assert found is not None
            return found

        assert sample().rate == RATE
        assert sample(rate=0.9).miss_probability == 0.0
        assert sample().rate == RATE
        with pytest.raises(InvalidInputError, match="rate"):
            sample(rate=0.0)


class TestOneRunner:
    """A sampled job is a job: it waits, stops, fails, is resumed, and has workers like any other."""

    def test_it_waits_for_its_challenge(self, tmp_path: Path) -> None:
        job = make(tmp_path, prove=False)
        for outcome in (api.resume(job.folder, some_keys()), api.resume(job.folder, some_keys(), workers=2)):
            assert (outcome.complete, outcome.stopped) == (False, False)
            assert outcome.committed is not None
            assert outcome.committed.digest == job.published
        status = api.status(job.folder)
        assert status.awaits_challenge
        assert (status.counts.items, status.counts.executed) == (0, ITEMS)
        assert not list(proofs_folder(job.folder).iterdir())

    def test_no_challenge_is_taken_before_the_outputs_are_committed_to(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A process that dies while it executes has committed to nothing; the next one begins again."""

        def die(*args: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(execution, "run_items", die)
            with pytest.raises(KeyboardInterrupt):
                make(tmp_path)
        with pytest.raises(InvalidInputError, match="have committed to their outputs: this job has not"):
            api.resume(tmp_path / "job", some_keys(), challenge=CHALLENGE)
        with pytest.raises(InvalidInputError, match="has committed to its outputs"):
            open_item(tmp_path / "job", 0)
        committed = api.resume(tmp_path / "job", some_keys()).committed
        assert committed is not None
        assert api.resume(tmp_path / "job", some_keys(), challenge=CHALLENGE).complete
        assert SampledJob(tmp_path / "job", tmp_path / "x.npy", committed.digest).verify().proofs == 2

    def test_an_all_policy_job_takes_no_challenge(self, tmp_path: Path) -> None:
        job = proven_job(tmp_path)
        with pytest.raises(InvalidInputError, match="for sampled jobs"):
            api.resume(job.folder, some_keys(), challenge=CHALLENGE)

    def test_stopped_it_goes_on_and_repeats_nothing(self, tmp_path: Path) -> None:
        job, keys = make(tmp_path, prove=False), some_keys()
        left = keys.proofs_left
        outcome = api.resume(
            job.folder,
            keys,
            challenge=CHALLENGE,
            executor="processes",  # of one worker, for which no second batch waits
            stopping=lambda: keys.proofs_left < left,
        )
        assert outcome.stopped
        assert api.status(job.folder).counts.batches_done == 1
        assert api.resume(job.folder, some_keys()).complete
        assert some_keys().proofs_left == left - 2
        job.verify()

    def test_with_workers(self, tmp_path: Path) -> None:
        job = make(tmp_path, prove=False)
        outcome = api.resume(job.folder, some_keys(), challenge=CHALLENGE, executor="processes", workers=2)
        assert outcome.complete
        assert outcome.progress.counts.done == outcome.progress.counts.items == 4
        job.verify()

    def test_another_challenge_keeps_the_proofs_that_there_are(self, job: SampledJob) -> None:
        """Each of several verifiers draws its own."""
        other = next(
            c for c in (bytes([i]) * 16 for i in range(256)) if set(picked(job.manifest, c)) != set(job.picked)
        )
        first, left = set(job.picked), some_keys().proofs_left
        assert api.resume(job.folder, some_keys(), inputs=job.inputs, challenge=other, stopping=lambda: True).stopped
        assert not api.status(job.folder).complete
        prove_sample(job.folder, some_keys(), job.inputs, other)
        second = set(job.picked)
        assert some_keys().proofs_left == left - len(second - first)
        job.verify(challenge=other)
        with pytest.raises(InvalidProofError, match="another challenge than yours"):
            job.verify()
        prove_sample(job.folder, some_keys(), job.inputs, CHALLENGE)
        assert some_keys().proofs_left == left - len(second - first)
        job.verify()

    def test_whichever_write_fails_it_can_be_resumed(self, tmp_path: Path) -> None:
        """The nth synchronization of a file fails, and all after it, for every n until there is no nth."""
        real = os.fsync
        for failing in range(1, 100):
            folder = tmp_path / str(failing)
            folder.mkdir()
            calls = [0]

            def fsync(descriptor: int, failing: int = failing, calls: list[int] = calls) -> None:
                calls[0] += 1
                if calls[0] >= failing:
                    raise OSError(28, os.strerror(28))
                real(descriptor)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(os, "fsync", fsync)
                try:
                    make(folder, prove=False)
                except ResourceError as error:
                    assert "No space left" in str(error)  # noqa: PT017
            if not (folder / "job" / STATE_FILE).exists():
                continue
            committed = api.resume(folder / "job", some_keys()).committed
            assert committed is not None
            assert np.isnan(np.load(folder / "job" / "outputs.npy")).any(axis=1).sum() == 1
            if calls[0] < failing:
                assert failing > 4
                return


class TestEarlierVersion:
    """A folder in which an early version left a sampled job says so, and what to do."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "sampled.zkm").write_bytes(wrap("smpl", 1, b""))
        return tmp_path

    def test_it_is_refused(self, folder: Path) -> None:
        np.save(folder / "x.npy", items())
        with pytest.raises(InvalidInputError, match=r"an early version of zkinfer 0\.1 made"):
            prove_sample(folder, some_keys(), folder / "x.npy", CHALLENGE)
        with pytest.raises(InvalidInputError, match="commit to the outputs again, in a new folder"):
            commit_sample(folder, some_keys(), folder / "x.npy", batch_size=2)
        with pytest.raises(MalformedProofError, match="with the version that made it"):
            verify_sample(folder, some_keys().commitment, folder / "x.npy", bytes(32), CHALLENGE)
