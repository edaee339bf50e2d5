"""Artifacts that lie: each check on an artifact, with an edited artifact that it refuses.

Two kinds of edits: of the golden vector's Solidity text, and small artifacts written here as functions over the
machine, which deviate from an honest one in exactly one thing.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from zkinfer.errors import InvalidProofError, MalformedCommitmentError, MalformedProofError, VerificationError
from zkinfer.ezkl.verifier.bn254 import BASE_MODULUS, G2_GENERATOR, GENERATOR, SCALAR_MODULUS, G1Point, scale
from zkinfer.ezkl.verifier.halo2 import EvmVerifier, load
from zkinfer.ezkl.verifier.machine import EC_ADD, EC_PAIRING, Machine, MachineLimits, Returned, Reverted

R = SCALAR_MODULUS


def edited(vector: Any, before: str, after: str, count: int = -1) -> bytes:
    """The vector's artifact with a piece of text replaced, everywhere unless `count` says otherwise."""
    source: str = vector.commitment.key.artifact.decode()
    assert before in source
    return source.replace(before, after, count).encode()


def set_word(vector: Any, name: str, word: int) -> bytes:
    """The vector's artifact with another word wherever it loads this part of its key."""
    lines = vector.commitment.key.artifact.decode().splitlines()
    marked = [i for i, line in enumerate(lines) if line.endswith(f"// {name}")]
    assert marked
    for i in marked:
        address = lines[i].split("(")[1].split(",")[0]
        lines[i] = f"mstore({address}, {word}) // {name}"
    return "\n".join(lines).encode()


def get_word(vector: Any, name: str) -> int:
    """A word of the artifact's key."""
    lines = vector.commitment.key.artifact.decode().splitlines()
    line = next(line for line in lines if line.endswith(f"// {name}"))
    return int(line.split(", ")[1].split(")")[0], 16)


def check(vector: Any, source: bytes) -> None:
    """Run an edited artifact on the vector's valid proof."""
    load(source).check(vector.instances, vector.proof.data, vector.points)


def test_honest_artifact_accepts(vector: Any) -> None:
    artifact = load(vector.commitment.key.artifact)
    artifact.check(vector.instances, vector.proof.data, vector.points)
    assert artifact.num_instances == len(vector.instances)
    assert artifact.proof_bytes == len(vector.proof.data)
    assert artifact.logrows == vector.commitment.key.srs.logrows


def test_budgets_leave_room_and_are_not_wasteful(vector: Any) -> None:
    artifact = load(vector.commitment.key.artifact)

    def limited(**limits: int) -> EvmVerifier:
        changed = dataclasses.replace(artifact.limits, **limits)
        return dataclasses.replace(artifact, limits=changed)

    half = dataclasses.asdict(artifact.limits)
    limited(**{name: value // 2 for name, value in half.items()}).check(
        vector.instances, vector.proof.data, vector.points
    )
    for name, value in half.items():
        with pytest.raises(MalformedCommitmentError):
            limited(**{name: value // 40}).check(vector.instances, vector.proof.data, vector.points)


# What an artifact says of itself.


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (f"R = {R}", f"R = {R + 2}", "not written for BN254"),
        ("DELTA = 4131629893567559867", "DELTA = 4131629893567559868", "not written for BN254"),
        (" VK_MPTR", " VK_MPTX", "has no VK_MPTR"),
        (" K_MPTR =", " K_MPTX =", "has no K_MPTR"),
        (", proof.length", ", instances.length", "0 different proof lengths"),
        ("let success := true", "let success := true pop(eq(0x20, proof.length))", "2 different proof lengths"),
    ],
)
def test_text_that_contradicts_itself(dense: Any, before: str, after: str, message: str) -> None:
    with pytest.raises(MalformedCommitmentError, match=message):
        load(edited(dense, before, after))


@pytest.mark.parametrize("length", ["0x20", "0x00", "0x0d21", "0xffffffff"])
def test_impossible_proof_length(dense: Any, length: str) -> None:
    honest = f"eq(0x{len(dense.proof.data):04x}, proof.length)"
    with pytest.raises(MalformedCommitmentError, match="bytes is impossible"):
        load(edited(dense, honest, f"eq({length}, proof.length)"))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("k", lambda k: k + 1, "omega does not generate"),
        ("k", lambda k: k - 1, "omega does not generate"),
        ("k", lambda k: 0, "not a domain"),
        ("k", lambda k: 29, "not a domain"),
        ("k", lambda k: 2**255, "not a domain"),
        ("omega", lambda w: 1, "omega does not generate"),
        ("omega", lambda w: w * w % R, "omega does not generate"),
        ("omega_inv", lambda w: w + 1, "contradict each other"),
        ("omega_inv", lambda w: w * pow(5, (R - 1) // 6, R) % R, "contradict each other"),
        ("n_inv", lambda w: w + 1, "contradict each other"),
        ("omega_inv_to_l", lambda w: w + 1, "contradict each other"),
        ("has_accumulator", lambda w: 1, "expects an accumulator"),
        ("g1_x", lambda w: 2, "generators"),
        ("g1_y", lambda w: BASE_MODULUS - 2, "generators"),
        ("g2_y_1", lambda w: BASE_MODULUS - w, "generators"),
        ("neg_s_g2_x_1", lambda w: w + 1, "SRS point is not in G2"),
        ("neg_s_g2_x_1", lambda w: w + BASE_MODULUS, "SRS point is not in G2"),
        ("num_instances", lambda n: 2**255, "instances do not fit"),
    ],
)
def test_key_word_that_contradicts_the_others(
    dense: Any, name: str, change: Callable[[int], int], message: str
) -> None:
    with pytest.raises(MalformedCommitmentError, match=message):
        load(set_word(dense, name, change(get_word(dense, name))))


def test_key_loaded_twice_must_be_the_same(dense: Any) -> None:
    """The number of instances is loaded before the transcript and again after it."""
    source = dense.commitment.key.artifact.decode()
    lines = source.splitlines()
    last = max(i for i, line in enumerate(lines) if line.endswith("// num_instances"))
    lines[last] = lines[last].replace("0x00000000", "0x00000001", 2)
    with pytest.raises(MalformedCommitmentError, match="two different words"):
        load("\n".join(lines).encode())


# What an artifact does.


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("let success := true", "let success := true mstore(0x00, 1) return(0x00, 0x20)", "without a pairing"),
        ("ret := and(ret, mload(0x00))", "ret := success", "whatever the pairing check says"),
        ("ret := and(success, staticcall(gas(), 0x08, 0x00, 0x180, 0x00, 0x20))", "ret := 1 mstore(0, 1)", "without"),
        ("// Return 1 as result", "success := ec_pairing(1, 0, 0, 0, 0) //", "more than one pairing"),
        ("mstore(0x00, lhs_x)", "mstore(0x00, 0)", None),
        ("mstore(hash_mptr, instance)", "mstore(hash_mptr, 0)", "instances and the proof in their order"),
        ("mstore(hash_mptr, x)", "mstore(hash_mptr, 1)", "instances and the proof in their order"),
        ("mstore(hash_mptr, eval)", "mstore(hash_mptr, 1)", "instances and the proof in their order"),
        ("keccak256(0x00, hash_mptr)", "keccak256(0x20, hash_mptr)", "those before it"),
        ("mstore(0x00, hash)", "mstore(0x00, 0)", "those before it"),
        ("mstore8(0x20, 0x01)", "mstore8(0x20, 0x02)", "instances and the proof in their order"),
        ("let omega := mload(OMEGA_MPTR)", "let omega := calldataload(0)", "reads calldata"),
        ("let omega := mload(OMEGA_MPTR)", "for { } 1 { } { } let omega", "runs longer"),
        ("let omega := mload(OMEGA_MPTR)", "mstore(not(0), 0) let omega", "uses memory"),
        (
            "let omega := mload(OMEGA_MPTR)",
            "for { } 1 { } { pop(ec_mul_acc(1, 5)) } let omega",
            "more work on the curve",
        ),
        ("let omega := mload(OMEGA_MPTR)", "pop(staticcall(gas(), 0x09, 0, 0, 0, 0)) let omega", "calls address"),
    ],
)
def test_edited_artifact_is_found_out(dense: Any, before: str, after: str, message: str | None) -> None:
    """None: the edit makes the artifact refuse its own proof, as honest ones refuse."""
    with pytest.raises(VerificationError) as caught:
        check(dense, edited(dense, before, after))
    if message is None:
        assert type(caught.value) is InvalidProofError
    else:
        assert type(caught.value) is MalformedCommitmentError
        assert message in str(caught.value)


@pytest.mark.parametrize("end", ["return(0x00, 0x40)", "return(0x20, 0x20)", "return(0x00, 0x00)", "pop(0)"])
def test_any_answer_but_one_word_of_one_is_a_refusal(dense: Any, end: str) -> None:
    source = edited(dense, "return(0x00, 0x20)", end)
    with pytest.raises(InvalidProofError):
        check(dense, source)


def test_pairing_of_other_points_is_found_out(dense: Any) -> None:
    """Infinity on both sides pairs to 1, whatever the proof is."""
    source = dense.commitment.key.artifact.decode()
    arguments = [f"mload(PAIRING_{side}_{axis}_MPTR)" for side in ("LHS", "RHS") for axis in "XY"]
    call = source.index("success := ec_pairing(")
    tail = source[call:]
    for argument in arguments:
        assert argument in tail
        tail = tail.replace(argument, "0", 1)
    with pytest.raises(MalformedCommitmentError, match="not that of a KZG opening"):
        check(dense, (source[:call] + tail).encode())


def test_artifact_of_another_key_refuses(dense: Any, columns: Any) -> None:
    artifact = load(dense.commitment.key.artifact)
    with pytest.raises(MalformedCommitmentError, match="canonical instances"):
        artifact.check(columns.instances, dense.proof.data, dense.points)
    with pytest.raises(MalformedProofError, match="bytes where"):
        artifact.check(dense.instances, columns.proof.data, dense.points)


# Small artifacts that deviate in one thing.

PROOF_POINTS: tuple[G1Point, ...] = (scale(GENERATOR, 11), scale(GENERATOR, 12), scale(GENERATOR, 13))
PROOF = b"".join(c.to_bytes(32, "big") for point in PROOF_POINTS for c in point)
KEY_DIGEST = bytes(range(32))
INSTANCES = [5, 6]
MINUS_G2 = (G2_GENERATOR[0], G2_GENERATOR[1], BASE_MODULUS - G2_GENERATOR[2], BASE_MODULUS - G2_GENERATOR[3])
"""A reference string of secret 1: the check is that the last sum is the proof's last point."""


def small(run: Callable[[Machine], None]) -> EvmVerifier:
    limits = MachineLimits(steps=1000, memory=4096, curve_operations=10)
    return EvmVerifier(len(INSTANCES), 4, len(PROOF), KEY_DIGEST, MINUS_G2, limits, run)


def put(m: Machine, *words: int) -> None:
    for i, word in enumerate(words):
        m.store(32 * i, word)


def absorb(m: Machine, words: int = 4) -> None:
    """One challenge from key, instances and the first words of the proof."""
    content = [int.from_bytes(PROOF[32 * i : 32 * i + 32], "big") for i in range(words)]
    put(m, int.from_bytes(KEY_DIGEST, "big"), *INSTANCES, *content)
    m.keccak(0, 32 * (3 + words))


def combine(m: Machine) -> G1Point:
    """11 G + 12 G - 10 G = 13 G, over the first two points of the proof."""
    put(m, *PROOF_POINTS[0], *PROOF_POINTS[1])
    m.call(EC_ADD, 0, 0x80, 0, 0x40)
    put(m, m.load(0), m.load(32), *scale(GENERATOR, -10))
    m.call(EC_ADD, 0, 0x80, 0, 0x40)
    return m.load(0), m.load(32)


def pair(m: Machine, left: G1Point, right: G1Point = PROOF_POINTS[2], twist: Any = MINUS_G2) -> int:
    put(m, *left, *G2_GENERATOR, *right, *twist)
    m.call(EC_PAIRING, 0, 0x180, 0, 0x20)
    return m.load(0)


def answer(m: Machine, verdict: int) -> None:
    if not verdict:
        raise Reverted
    raise Returned((1).to_bytes(32, "big"))


def honest(m: Machine) -> None:
    absorb(m)
    answer(m, pair(m, combine(m)))


def check_small(run: Callable[[Machine], None], points: int = 1) -> None:
    small(run).check(INSTANCES, PROOF, tuple(PROOF[64 * i : 64 * i + 64] for i in range(points)))


def test_small_honest_artifact_accepts() -> None:
    check_small(honest, points=2)


def test_unabsorbed_proof_is_found_out() -> None:
    def forgetful(m: Machine) -> None:
        absorb(m, words=2)
        answer(m, pair(m, combine(m)))

    with pytest.raises(MalformedCommitmentError, match="128 bytes of the proof are in no challenge"):
        check_small(forgetful)


def test_weights_that_take_no_part_are_found_out() -> None:
    def blind(m: Machine) -> None:
        absorb(m)
        put(m, *scale(GENERATOR, 6), *scale(GENERATOR, 7))
        m.call(EC_ADD, 0, 0x80, 0, 0x40)
        answer(m, pair(m, (m.load(0), m.load(32))))

    check_small(blind, points=0)
    with pytest.raises(MalformedCommitmentError, match="weights takes no part"):
        check_small(blind, points=1)


def test_pairing_with_something_else_than_the_last_sum_is_found_out() -> None:
    def sums_for_show(m: Machine) -> None:
        absorb(m)
        combine(m)
        put(m, *GENERATOR, *GENERATOR)
        m.call(EC_ADD, 0, 0x80, 0, 0x40)
        answer(m, pair(m, PROOF_POINTS[2]))

    with pytest.raises(MalformedCommitmentError, match="not that of a KZG opening"):
        check_small(sums_for_show)


def test_pairing_with_another_opening_is_found_out() -> None:
    def another(m: Machine) -> None:
        absorb(m)
        combine(m)
        put(m, *PROOF_POINTS[0], *GENERATOR)
        m.call(EC_ADD, 0, 0x80, 0, 0x40)
        answer(m, pair(m, PROOF_POINTS[1], PROOF_POINTS[1]))

    with pytest.raises(MalformedCommitmentError, match="not that of a KZG opening"):
        check_small(another)


def test_pairing_with_another_string_is_found_out() -> None:
    two_g2 = load_twice_g2()

    def another(m: Machine) -> None:
        absorb(m)
        put(m, *scale(GENERATOR, 13), *scale(GENERATOR, 13))
        m.call(EC_ADD, 0, 0x80, 0, 0x40)
        answer(m, pair(m, (m.load(0), m.load(32)), twist=two_g2))

    with pytest.raises(MalformedCommitmentError, match="not that of a KZG opening"):
        check_small(another, points=0)


def load_twice_g2() -> tuple[int, int, int, int]:
    """-2 G2."""
    from py_ecc import optimized_bn128 as reference

    x, y = reference.normalize(reference.neg(reference.double(reference.G2)))
    return int(x.coeffs[1]), int(x.coeffs[0]), int(y.coeffs[1]), int(y.coeffs[0])


def test_answer_that_ignores_the_pairing_is_found_out() -> None:
    def deaf(m: Machine) -> None:
        absorb(m)
        pair(m, combine(m))
        answer(m, 1)

    with pytest.raises(MalformedCommitmentError, match="whatever the pairing check says"):
        check_small(deaf)


def test_negative_pairing_refuses() -> None:
    def unlucky(m: Machine) -> None:
        absorb(m)
        put(m, *PROOF_POINTS[0], *PROOF_POINTS[1])
        m.call(EC_ADD, 0, 0x80, 0, 0x40)
        answer(m, pair(m, (m.load(0), m.load(32))))

    with pytest.raises(InvalidProofError):
        check_small(unlucky)


@pytest.mark.parametrize("instances", [[5], [5, 6, 7], [5, R], [-1, 6]])
def test_instances_are_counted_and_reduced(instances: list[int]) -> None:
    with pytest.raises(MalformedCommitmentError, match="2 canonical instances"):
        small(honest).check(instances, PROOF, ())


@pytest.mark.parametrize("proof", [PROOF[:-1], PROOF + bytes(1), PROOF + bytes(32), b""])
def test_proof_has_its_length(proof: bytes) -> None:
    with pytest.raises(MalformedProofError, match="192 are needed"):
        small(honest).check(INSTANCES, proof, ())


def test_reading_is_remembered(dense: Any) -> None:
    assert load(dense.commitment.key.artifact) is load(dense.commitment.key.artifact)
