"""Stored whole proofs: both verifiers say of them what is stored, and the code makes them as they are."""

import base64
from typing import Any

import pytest
from support.both_verifiers import ask_both
from support.paths import DOCS
from support.proof_vectors import (
    CASES,
    FOLDER,
    LIES,
    argument_refusal,
    case_of,
    described,
    file_refusal,
    file_verdict,
    files,
    flipped,
    lie_about,
    primitives,
    proof_of,
    read,
    refusal,
)

from zkinfer.errors import InvalidProofError
from zkinfer.files.proof import Proof
from zkinfer.protocol.native_proof.encoding import decode, encode

PAGE = (DOCS / "protocol" / "vectors.md").read_text()


@pytest.mark.parametrize("name", CASES)
def test_a_case_is_what_the_code_makes(name: str) -> None:
    """Transcript, boxes, pads, products, constraints and terms; and the proof, with fixed randomness."""
    stored, made = read(name), described(name)
    assert made == {key: stored[key] for key in made}


@pytest.mark.parametrize("name", CASES)
def test_both_verifiers_accept_a_case_with_its_bits(name: str) -> None:
    stored = read(name)
    proof = decode(base64.b64decode(stored["proof"]))
    assert ask_both(case_of(name), proof) == pytest.approx(stored["bits"], abs=1e-6)
    assert stored["bits"] == pytest.approx(bits_of([term[1] for term in stored["terms"]]), abs=1e-4)


def bits_of(terms: list[float]) -> float:
    """The bits of security of some terms, by the formula of the page of the native proof."""
    error = sum(2.0**-bits for bits in terms)
    low, high = 0.0, 200.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if error + 2.0 ** (middle - 257) <= 2.0**-middle else (low, middle)
    return low


@pytest.mark.parametrize("name", CASES)
def test_flipped_bits_are_refused(name: str) -> None:
    stored = read(name)
    data = base64.b64decode(stored["proof"])
    for bit, message in stored["flips"]:
        assert refusal(name, flipped(data, bit)) == message


LYING = [(name, lie) for name in LIES for lie in read(name)["lies"]]


@pytest.mark.parametrize(("name", "lie"), LYING, ids=[lie["check"] for _, lie in LYING])
def test_the_lie_that_a_check_is_for_is_refused(name: str, lie: dict[str, Any]) -> None:
    """All that fails is what the pads are to show, and the constraint of this check is among that."""
    number, label, place = lie["message"]
    attempt = proof_of(case_of(name), lie_about(number, place))
    assert encode(attempt.proof) == base64.b64decode(lie["proof"])
    assert attempt.labels[number][0] == label
    assert lie["check"] in attempt.failing
    with pytest.raises(InvalidProofError, match="the pads satisfy the constraints"):
        ask_both(case_of(name), attempt.proof)


def test_every_check_of_a_case_has_its_lie() -> None:
    named = {check for name in CASES for check, *_ in read(name)["constraints"]}
    assert named == {check for checks in LIES.values() for check in checks}


def test_files_are_made_and_verified_as_they_are_stored() -> None:
    commitment, proof = (FOLDER / f"gemm.{suffix}" for suffix in ("zkc", "zkp"))
    assert files() == (commitment.read_bytes(), proof.read_bytes())
    stored = read("files")
    assert file_verdict(commitment.read_bytes(), proof.read_bytes()) == stored["bits"] >= 128


def test_changed_files_are_refused() -> None:
    commitment, proof = ((FOLDER / f"gemm.{suffix}").read_bytes() for suffix in ("zkc", "zkp"))
    stored, argument = read("files"), Proof.from_bytes(proof).data
    for bit, message in stored["flips"]:
        assert file_refusal(commitment, flipped(proof, bit)) == message
    for bit, message in stored["argument_flips"]:
        assert argument_refusal(commitment, flipped(argument, bit)) == message


def test_primitives_are_those_of_the_code() -> None:
    assert read("primitives") == primitives()


def test_the_page_describes_every_field() -> None:
    names = {key for name in (*CASES, "files", "primitives") for key in read(name)}
    assert {key for key in names if f"`{key}`" not in PAGE} == set()
    assert all(f"{name}.json" in PAGE for name in (*CASES, "files", "primitives"))
