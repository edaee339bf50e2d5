"""Sampled jobs: what a sample shows, exactly, and how each way to cheat on one is found."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from shutil import copytree
from tempfile import mkdtemp
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st
from support.proven_jobs import CONTEXT, DEAD, ITEMS, items, some_keys

from zkinfer.circuit.qformat import quantize
from zkinfer.errors import (
    ArtifactError,
    InvalidInputError,
    InvalidProofError,
    MalformedProofError,
    ProvingError,
    StatementError,
    VerificationError,
)
from zkinfer.jobs import sampled
from zkinfer.jobs.api import run
from zkinfer.jobs.challenge import (
    COMMITMENT_FILE,
    SAMPLED_FILE,
    OpenedBatch,
    SampleCommitment,
    SampledReceipt,
    Span,
    batches_needed,
    sampled_miss_probability,
)
from zkinfer.jobs.inputs import Inputs
from zkinfer.jobs.items import as_runs
from zkinfer.jobs.job import proofs_folder
from zkinfer.jobs.manifest import item_digests
from zkinfer.jobs.sample_verification import VerifiedSample, verify_sample
from zkinfer.jobs.sampled import SECRET_FILE, commit_sample, open_item, prove_sample
from zkinfer.native.keys import NativeKeys

CHALLENGE = b"beacon, round 1234567"
RATE = 0.4

sizes_lists = st.lists(st.integers(0, 4), min_size=1, max_size=7).filter(any)


class TestProbability:
    @given(sizes_lists, st.floats(0.01, 1), st.data())
    def test_the_worst_way_to_be_wrong(self, sizes: list[int], rate: float, data: st.DataObject) -> None:
        """No choice of batches that hold as many wrong outputs is missed more often than is said."""
        outputs = [n for n in sizes if n]
        drawn = data.draw(st.integers(0, len(outputs)))
        wrong = max(1, math.ceil(Fraction(repr(rate)) * sum(outputs)))
        fewest = min(
            count
            for count in range(1, len(outputs) + 1)
            for chosen in combinations(outputs, count)
            if sum(chosen) >= wrong
        )
        exact = Fraction(math.comb(len(outputs) - fewest, drawn), math.comb(len(outputs), drawn))
        assert sampled_miss_probability(sizes, drawn, rate) == pytest.approx(float(exact))

    @given(sizes_lists, st.floats(0.01, 1), st.floats(0.01, 0.99))
    def test_as_many_as_needed_and_no_more(self, sizes: list[int], rate: float, confidence: float) -> None:
        needed = batches_needed(sizes, rate, confidence)
        assert sampled_miss_probability(sizes, needed, rate) <= 1 - confidence
        assert needed == 1 or sampled_miss_probability(sizes, needed - 1, rate) > 1 - confidence

    @pytest.mark.parametrize("rate", [0.0, -1.0, 1.5, math.nan, math.inf])
    def test_rates_that_are_none(self, rate: float) -> None:
        with pytest.raises(InvalidInputError, match="rate"):
            sampled_miss_probability([1, 2], 1, rate)


@dataclass(frozen=True)
class SampledJob:
    """A job of four batches of two items, of which a challenge picked two; the digest was published before."""

    folder: Path
    inputs: Path
    published: bytes

    @property
    def receipt(self) -> SampledReceipt:
        return SampledReceipt.load(self.folder / SAMPLED_FILE)

    def forge(self, **changes: Any) -> None:
        msgspec.structs.replace(self.receipt, **changes).save(self.folder / SAMPLED_FILE)

    def forge_opened(self, change: Callable[[OpenedBatch], OpenedBatch]) -> None:
        first, *others = self.receipt.opened
        self.forge(opened=(change(first), *others))

    def forge_commitment(self, **changes: Any) -> bytes:
        """Returns the digest of the forged one."""
        forged: SampleCommitment = msgspec.structs.replace(self.receipt.commitment, **changes)
        self.forge(commitment=forged)
        return forged.digest

    def verify(self, **changes: Any) -> VerifiedSample:
        own = {
            "folder": self.folder,
            "commitment": some_keys().commitment,
            "inputs": self.inputs,
            "published": self.published,
            "challenge": CHALLENGE,
            "context": CONTEXT,
        }
        return verify_sample(**{**own, **changes})


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
    verified = job.verify()
    picked = job.receipt.commitment.picked(CHALLENGE)
    assert [batch.number for batch in job.receipt.opened] == picked
    assert verified.proofs == len(picked) == len(list(proofs_folder(job.folder).iterdir())) == 2
    assert verified.items == ITEMS
    assert verified.sampled in (3, 4)
    # Of 7 outputs 3 are wrong, which fills two of four batches: C(2, 2) / C(4, 2).
    assert verified.miss_probability == pytest.approx(1 / 6)
    assert verified.security_bits >= 128


def test_the_verifier_asks_about_a_rate_of_its_own(job: SampledJob) -> None:
    """Of 7 outputs 1 is wrong: it is in the sample in two of four cases."""
    verified = job.verify(rate=0.1)
    assert (verified.rate, verified.miss_probability) == (0.1, pytest.approx(1 / 2))
    job.verify(rate=0.1, confidence=0.5)
    job.verify(confidence=0.8)


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({"confidence": 0.9}, "too small: if 40% .* probability 0.167, and you ask for at most 0.1"),
        ({"rate": 0.1, "confidence": 0.8}, "too small: if 10%"),
        ({"rate": 0.0}, "rate"),
        ({"confidence": 1.0}, "confidence"),
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
    before, left = job.receipt, some_keys().proofs_left
    assert prove_sample(job.folder, some_keys(), [job.inputs], CHALLENGE, rate=RATE) == before
    assert some_keys().proofs_left == left
    next(proofs_folder(job.folder).iterdir()).write_bytes(b"cut off")
    prove_sample(job.folder, some_keys(), [job.inputs], CHALLENGE, rate=RATE)
    assert some_keys().proofs_left == left - 1
    job.verify()


def test_what_is_not_picked_stays_hidden(job: SampledJob) -> None:
    """Its digests are in none of the public files; its leaves are salted with what is in none either."""
    opened = {batch.number for batch in job.receipt.opened}
    public = (job.folder / COMMITMENT_FILE).read_bytes() + (job.folder / SAMPLED_FILE).read_bytes()
    for index in set(range(ITEMS)) - {DEAD}:
        digest = item_digests([quantize(items()[index : index + 1], some_keys().program.inputs[0])])
        assert (digest in public) == (index // 2 in opened)
    assert (job.folder / SECRET_FILE).stat().st_mode & 0o077 == 0


class TestCheatingOperators:
    """Each changes what the verifier sees, after the challenge."""

    def test_the_root_is_changed_after_the_challenge(self, job: SampledJob) -> None:
        job.forge_commitment(head=bytes(32))
        with pytest.raises(InvalidProofError, match="published before the challenge"):
            job.verify()

    def test_fewer_batches_are_proven_than_was_committed_to(self, job: SampledJob) -> None:
        job.forge_commitment(size=1)
        with pytest.raises(InvalidProofError, match="published before the challenge"):
            job.verify()

    def test_a_batch_is_left_out_of_the_sample(self, job: SampledJob) -> None:
        job.forge(opened=job.receipt.opened[1:])
        with pytest.raises(InvalidProofError, match="not the one that the challenge picks, which is of 2"):
            job.verify()

    def test_another_batch_is_proven_than_was_picked(self, job: SampledJob) -> None:
        other = next(n for n in range(4) if n not in job.receipt.commitment.picked(CHALLENGE))
        job.forge_opened(lambda b: msgspec.structs.replace(b, number=other))
        with pytest.raises(InvalidProofError, match="not the one that the challenge picks"):
            job.verify()

    def test_another_batch_stands_in_the_place_of_the_picked_one(self, job: SampledJob) -> None:
        first, second = job.receipt.opened
        swapped = (msgspec.structs.replace(second, number=first.number), first)
        job.forge(opened=(swapped[0], msgspec.structs.replace(swapped[1], number=second.number)))
        with pytest.raises(VerificationError, match=f"batch {first.number} of the sample is not"):
            job.verify()

    @pytest.mark.parametrize("part", ["salts", "input_digests", "output_digests", "siblings"])
    def test_something_else_is_opened(self, job: SampledJob, part: str) -> None:
        def flip(batch: OpenedBatch) -> OpenedBatch:
            data = getattr(batch, part)
            return msgspec.structs.replace(batch, **{part: bytes([data[0] ^ 1]) + data[1:]})

        job.forge_opened(flip)
        with pytest.raises(InvalidProofError, match="is not the one that was committed"):
            job.verify()

    @pytest.mark.parametrize("part", ["salts", "input_digests", "output_digests", "siblings", "proof_digest"])
    @pytest.mark.parametrize("keep", [0, 31, 33])
    def test_a_part_of_another_length(self, job: SampledJob, part: str, keep: int) -> None:
        job.forge_opened(lambda b: msgspec.structs.replace(b, **{part: (getattr(b, part) * 2)[:keep]}))
        with pytest.raises(MalformedProofError):
            job.verify()

    def test_the_operator_chooses_the_challenge(self, job: SampledJob) -> None:
        """It picks other batches than the verifier's challenge does, which is what the verifier goes by."""
        chosen = next(
            attempt
            for attempt in (bytes([i]) * 16 for i in range(256))
            if job.receipt.commitment.picked(attempt) != job.receipt.commitment.picked(CHALLENGE)
        )
        prove_sample(job.folder, some_keys(), [job.inputs], chosen, rate=RATE)
        with pytest.raises(InvalidProofError, match="another challenge than yours"):
            job.verify()
        job.forge(challenge=CHALLENGE)
        with pytest.raises(InvalidProofError, match="not the one that the challenge picks"):
            job.verify()

    @pytest.mark.parametrize("claimed", [0.0, 1 / 6 - 1e-4, 1 / 6 + 1e-4, math.nan, -1.0])
    def test_a_better_probability_is_claimed(self, job: SampledJob, claimed: float) -> None:
        job.forge(miss_probability=claimed)
        with pytest.raises(InvalidProofError, match=r"it is 0\.167"):
            job.verify()

    @pytest.mark.parametrize("rate", [0.0, math.nan, 2.0])
    def test_a_rate_that_is_none(self, job: SampledJob, rate: float) -> None:
        job.forge(rate=rate)
        with pytest.raises(StatementError, match="rate"):
            job.verify()

    def test_wrong_outputs_were_committed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The operator lies from the beginning, and opens what was committed: no proof shows it."""
        run = sampled._run
        monkeypatch.setattr(sampled, "_run", lambda *args: [output + 1 for output in run(*args)])
        lying = make(tmp_path, prove=False)
        with pytest.raises(ProvingError, match="not what was committed"):
            prove_sample(lying.folder, some_keys(), [lying.inputs], CHALLENGE, rate=RATE)
        monkeypatch.setattr(sampled, "_prove", prove_the_truth)
        prove_sample(lying.folder, some_keys(), [lying.inputs], CHALLENGE, rate=RATE)
        with pytest.raises(InvalidProofError, match="the outputs that are proven are not those"):
            lying.verify()

    def test_an_item_is_called_a_dead_letter(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """That is found whether or not its batch is picked."""
        read = sampled.read_items

        def without_item_1(inputs: Inputs, first: int, *args: Any) -> Any:
            arrays, dead = read(inputs, first, *args)
            return ([array[:1] for array in arrays], (1,)) if first == 0 else (arrays, dead)

        monkeypatch.setattr(sampled, "read_items", without_item_1)
        lying = make(tmp_path)
        with pytest.raises(StatementError, match="leaves out an item without need: item 1"):
            lying.verify()

    def test_the_file_of_outputs_holds_others_than_were_proven(self, job: SampledJob) -> None:
        outputs = np.load(job.folder / "outputs.npy")
        row = outputs[job.receipt.commitment.spans[job.receipt.opened[0].number].first]
        row[:] = np.nan_to_num(row) + 1  # a dead letter's row, too, holds nothing but NaN
        np.save(job.folder / "outputs.npy", outputs)
        with pytest.raises(InvalidProofError, match="the job's file of outputs"):
            job.verify()

    @given(data=st.binary(max_size=80), position=st.integers(0, 2000))
    def test_any_other_bytes(self, data: bytes, position: int) -> None:
        good = made().receipt.to_bytes()
        for attempt in (data, good[:position] + data + good[position + len(data) :]):
            if attempt != good:
                with pytest.raises(MalformedProofError, match="sampled receipt"):
                    SampledReceipt.from_bytes(attempt)


def prove_the_truth(
    path: Path, keys: NativeKeys, commitment: SampleCommitment, arrays: Sequence[Any], output_digests: bytes
) -> bytes:
    """What a prover writes who does not care what was committed."""
    proof = keys.prove(as_runs(arrays, keys.program), commitment.header.context)
    proof.save(path)
    return bytes(blake3(proof.to_bytes()).digest())


@pytest.mark.parametrize(
    "changes",
    [
        {"size": 0},
        {"size": 5},
        {"circuit_batch": 0},
        {"head": b""},
        {"spans": ()},
        {"spans": (Span(0, ITEMS, (1, 1)),), "size": 1},
        {"spans": (Span(1, ITEMS, ()),), "size": 1},
        {"spans": (Span(0, ITEMS + 1, ()),), "size": 1},
        {"spans": (Span(0, 0, ()), Span(0, ITEMS, ())), "size": 1},
    ],
)
def test_a_commitment_that_no_job_makes_is_refused(job: SampledJob, changes: dict[str, Any]) -> None:
    forged: SampleCommitment = msgspec.structs.replace(job.receipt.commitment, **changes)
    with pytest.raises(MalformedProofError, match="no sampled job commits to"):
        SampleCommitment.from_bytes(forged.to_bytes())


class TestChallenges:
    @pytest.mark.parametrize("challenge", [b"", b"7", bytes(15), bytes(70_000)])
    def test_one_that_could_be_guessed_is_refused(self, job: SampledJob, challenge: bytes) -> None:
        with pytest.raises(InvalidInputError, match="a challenge has from 16"):
            prove_sample(job.folder, some_keys(), [job.inputs], challenge)
        job.forge(challenge=challenge)
        with pytest.raises(StatementError, match="a challenge has from 16"):
            job.verify(challenge=challenge)

    def test_different_ones_pick_differently_and_evenly(self) -> None:
        commitment = made().receipt.commitment
        counts = np.zeros(4)
        for i in range(400):
            counts[commitment.picked(i.to_bytes(16, "little"))] += 1
        assert counts.sum() == 800
        assert (abs(counts - 200) < 60).all()


class TestOneItem:
    @pytest.mark.parametrize("index", [0, DEAD, ITEMS - 1])
    def test_is_shown_to_have_been_committed(self, job: SampledJob, index: int) -> None:
        open_item(job.folder, index).check(job.receipt.commitment)

    def test_another_is_refused(self, job: SampledJob) -> None:
        found = open_item(job.folder, 2)
        commitment = job.receipt.commitment
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


class TestOperator:
    def test_inputs_that_changed_are_refused(self, job: SampledJob) -> None:
        np.save(job.inputs, items()[::-1])
        with pytest.raises(InvalidInputError, match="changed since they were committed"):
            prove_sample(job.folder, some_keys(), [job.inputs], CHALLENGE)

    def test_a_folder_holds_one_sampled_job(self, job: SampledJob, tmp_path: Path) -> None:
        with pytest.raises(InvalidInputError, match="holds a sampled job already"):
            commit_sample(job.folder, some_keys(), [job.inputs], batch_size=2)
        with pytest.raises(ArtifactError, match="cannot read"):
            prove_sample(tmp_path, some_keys(), [job.inputs], CHALLENGE)

    def test_keys_of_another_backend(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInputError, match="not of 'ezkl'"):
            commit_sample(tmp_path, SimpleNamespace(backend="ezkl"), [], batch_size=1)  # type: ignore[arg-type]

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

    def test_a_job_and_a_sampled_job_do_not_share_a_folder(self, job: SampledJob, tmp_path: Path) -> None:
        with pytest.raises(InvalidInputError, match="holds a sampled job"):
            run(job.folder, some_keys(), job.inputs)
        run(tmp_path / "other", some_keys(), job.inputs, stopping=lambda: True)
        with pytest.raises(InvalidInputError, match="holds a job already"):
            commit_sample(tmp_path / "other", some_keys(), job.inputs, batch_size=2)

    def test_the_rate_of_the_receipt_is_that_of_the_commitment(self, job: SampledJob) -> None:
        assert prove_sample(job.folder, some_keys(), job.inputs, CHALLENGE).rate == RATE
        assert prove_sample(job.folder, some_keys(), job.inputs, CHALLENGE, rate=0.9).miss_probability == 0.0
