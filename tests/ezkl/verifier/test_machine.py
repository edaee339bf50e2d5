"""Memory, calldata, budgets and precompiles of the machine."""

import pytest

from zkinfer.errors import MalformedCommitmentError
from zkinfer.ezkl.verifier.bn254 import (
    BASE_MODULUS,
    G2_GENERATOR,
    GENERATOR,
    INFINITY,
    SCALAR_MODULUS,
    G1Point,
    negate,
    scale,
)
from zkinfer.ezkl.verifier.machine import (
    EC_ADD,
    EC_MUL,
    EC_PAIRING,
    MODEXP,
    PROOF_OFFSET,
    CurveRecord,
    Machine,
    MachineLimits,
)
from zkinfer.ezkl.verifier.transcript import KeccakTranscript

PROOF = bytes(range(64))
INSTANCES = bytes(range(100, 196))
LIMITS = MachineLimits(steps=1000, memory=1024, curve_operations=3)


def machine(record: CurveRecord | None = None, limits: MachineLimits = LIMITS) -> Machine:
    return Machine(INSTANCES, PROOF, KeccakTranscript(bytes(32), INSTANCES, PROOF), record or CurveRecord(), limits)


def put(m: Machine, *words: int) -> None:
    """Words into memory from address 0."""
    for i, word in enumerate(words):
        m.store(32 * i, word)


def point(m: Machine) -> G1Point:
    return m.load(0), m.load(32)


def test_memory_is_bytes_and_starts_as_zeros() -> None:
    m = machine()
    assert m.load(0) == 0
    m.store(1, 2**256 - 1)
    assert m.load(0) == 2**248 - 1
    assert m.load(32) == 0xFF << 248
    m.store_byte(40, 0x1234)
    assert m.slice(40, 2) == b"\x34\0"


def test_memory_has_a_limit() -> None:
    m = machine()
    m.store(1024 - 32, 1)
    for address in (1024 - 31, 2**64, 2**256 - 1):
        with pytest.raises(MalformedCommitmentError, match="uses memory at"):
            m.load(address)
        with pytest.raises(MalformedCommitmentError, match="uses memory at"):
            m.store(address, 0)
        with pytest.raises(MalformedCommitmentError, match="uses memory at"):
            m.slice(address, 32)
    with pytest.raises(MalformedCommitmentError, match="uses memory at"):
        m.slice(0, 2**255)
    with pytest.raises(MalformedCommitmentError, match="uses memory at"):
        m.store_byte(1024, 0)
    assert len(m.memory) == 1024


def test_calldata_holds_proof_and_instances() -> None:
    m = machine()
    assert m.calldata(PROOF_OFFSET + 32) == int.from_bytes(PROOF[32:], "big")
    start = PROOF_OFFSET + len(PROOF) + 32
    assert m.instances_offset == start
    assert m.calldata(start + 64) == int.from_bytes(INSTANCES[64:], "big")


@pytest.mark.parametrize("address", [0, 4, 0x44, PROOF_OFFSET - 32, PROOF_OFFSET + 1, PROOF_OFFSET + 64, 2**256 - 32])
def test_other_calldata_is_refused(address: int) -> None:
    with pytest.raises(MalformedCommitmentError, match="reads calldata"):
        machine().calldata(address)


def test_calldata_ends_with_the_instances() -> None:
    end = PROOF_OFFSET + len(PROOF) + 32 + len(INSTANCES)
    for address in (end, end - 16, end + 32):
        with pytest.raises(MalformedCommitmentError, match="reads calldata"):
            machine().calldata(address)


def test_steps_have_a_limit() -> None:
    m = machine()
    m.spend(1000)
    with pytest.raises(MalformedCommitmentError, match="runs longer"):
        m.spend(1)


def test_addition() -> None:
    m = machine()
    put(m, *scale(GENERATOR, 3), *scale(GENERATOR, 4))
    assert m.call(EC_ADD, 0, 0x80, 0, 0x40) == 1
    assert point(m) == scale(GENERATOR, 7)
    put(m, *INFINITY, *GENERATOR)
    assert m.call(EC_ADD, 0, 0x80, 0, 0x40) == 1
    assert point(m) == GENERATOR
    put(m, *GENERATOR, *negate(GENERATOR))
    assert m.call(EC_ADD, 0, 0x80, 0, 0x40) == 1
    assert point(m) == INFINITY


def test_multiplication_takes_any_word() -> None:
    m = machine()
    put(m, *GENERATOR, SCALAR_MODULUS + 2)
    assert m.call(EC_MUL, 0, 0x60, 0, 0x40) == 1
    assert point(m) == scale(GENERATOR, 2)


BAD_POINTS = [(1, 1), (1, 2 + BASE_MODULUS), (1 + BASE_MODULUS, 2), (0, BASE_MODULUS), (BASE_MODULUS, 0)]


@pytest.mark.parametrize("bad", BAD_POINTS)
def test_point_off_the_curve_fails_the_call(bad: G1Point) -> None:
    m = machine()
    put(m, *GENERATOR, *bad)
    assert m.call(EC_ADD, 0, 0x80, 0, 0x40) == 0
    assert point(m) == GENERATOR, "a failed call leaves memory alone"
    put(m, *bad, 5)
    assert m.call(EC_MUL, 0, 0x60, 0, 0x40) == 0
    put(m, *bad, *G2_GENERATOR, *GENERATOR, *G2_GENERATOR)
    assert m.call(EC_PAIRING, 0, 0x180, 0, 0x20) == 0


def test_pairing() -> None:
    for second, verdict in ((negate(GENERATOR), 1), (GENERATOR, 0)):
        m = machine()
        put(m, *GENERATOR, *G2_GENERATOR, *second, *G2_GENERATOR)
        assert m.call(EC_PAIRING, 0, 0x180, 0, 0x20) == 1
        assert m.load(0) == verdict
        assert m.record.pairings[0].pairs == ((GENERATOR, G2_GENERATOR), (second, G2_GENERATOR))


def test_pairing_demands_points_of_g2() -> None:
    x_1, x_2, y_1, y_2 = G2_GENERATOR
    for bad in ((0, 0, 0, 0), (x_2, x_1, y_2, y_1), (x_1, x_2, y_1, y_2 + 1)):
        m = machine()
        put(m, *GENERATOR, *bad, *GENERATOR, *G2_GENERATOR)
        assert m.call(EC_PAIRING, 0, 0x180, 0, 0x20) == 0


def test_second_pairing_is_refused() -> None:
    m = machine(CurveRecord(verdict=True))
    put(m, *GENERATOR, *G2_GENERATOR, *GENERATOR, *G2_GENERATOR)
    m.call(EC_PAIRING, 0, 0x180, 0, 0x20)
    put(m, *GENERATOR, *G2_GENERATOR, *GENERATOR, *G2_GENERATOR)
    with pytest.raises(MalformedCommitmentError, match="more than one pairing"):
        m.call(EC_PAIRING, 0, 0x180, 0, 0x20)


@pytest.mark.parametrize("verdict", [False, True])
def test_verdict_can_be_dictated(verdict: bool) -> None:
    m = machine(CurveRecord(verdict=verdict))
    put(m, *GENERATOR, *G2_GENERATOR, *GENERATOR, *G2_GENERATOR)
    m.call(EC_PAIRING, 0, 0x180, 0, 0x20)
    assert m.load(0) == verdict


def test_pairing_remembers_the_last_sum() -> None:
    m = machine(CurveRecord(verdict=True))
    put(m, *GENERATOR, *GENERATOR)
    m.call(EC_ADD, 0, 0x80, 0, 0x40)
    put(m, *GENERATOR, 9)
    m.call(EC_MUL, 0, 0x60, 0, 0x40)
    put(m, *GENERATOR, *G2_GENERATOR, *GENERATOR, *G2_GENERATOR)
    m.call(EC_PAIRING, 0, 0x180, 0, 0x20)
    assert m.record.pairings[0].last_sum == scale(GENERATOR, 2)
    assert m.record.operands == {GENERATOR}


def test_curve_operations_have_a_limit() -> None:
    m = machine()
    for _ in range(3):
        put(m, *GENERATOR, 5)
        m.call(EC_MUL, 0, 0x60, 0, 0x40)
    with pytest.raises(MalformedCommitmentError, match="more work on the curve"):
        m.call(EC_MUL, 0, 0x60, 0, 0x40)


def test_second_run_takes_results_from_the_first() -> None:
    record = CurveRecord()
    first = machine(record)
    put(first, *GENERATOR, 5)
    first.call(EC_MUL, 0, 0x60, 0, 0x40)
    assert record.results == {(EC_MUL, *GENERATOR, 5): scale(GENERATOR, 5)}
    record.results[(EC_MUL, *GENERATOR, 5)] = (1, 2)
    second = machine(CurveRecord(results=record.results))
    put(second, *GENERATOR, 5)
    second.call(EC_MUL, 0, 0x60, 0, 0x40)
    assert point(second) == (1, 2)


def test_modular_exponentiation() -> None:
    m = machine()
    put(m, 32, 32, 32, 3, SCALAR_MODULUS - 2, SCALAR_MODULUS)
    assert m.call(MODEXP, 0, 0xC0, 0, 0x20) == 1
    assert m.load(0) * 3 % SCALAR_MODULUS == 1
    put(m, 32, 32, 32, 3, 5, 0)
    assert m.call(MODEXP, 0, 0xC0, 0, 0x20) == 1
    assert m.load(0) == 0


def test_modular_exponentiation_of_long_numbers_is_refused() -> None:
    for sizes in ((64, 32, 32), (32, 2**64, 32), (32, 32, 0)):
        m = machine()
        put(m, *sizes, 3, 5, 7)
        with pytest.raises(MalformedCommitmentError, match="other than words"):
            m.call(MODEXP, 0, 0xC0, 0, 0x20)


def test_modular_exponentiation_costs_steps() -> None:
    m = machine()
    put(m, 32, 32, 32, 3, 5, 7)
    for _ in range(3):
        m.call(MODEXP, 0, 0xC0, 0xC0, 0x20)
    with pytest.raises(MalformedCommitmentError, match="runs longer"):
        m.call(MODEXP, 0, 0xC0, 0xC0, 0x20)


@pytest.mark.parametrize(
    "call",
    [
        (1, 0, 0x80, 0, 0x20),
        (0x1234567890, 0, 0, 0, 0),
        (9, 0, 213, 0, 64),
        (EC_ADD, 0, 0x40, 0, 0x40),
        (EC_ADD, 0, 0x80, 0, 0x20),
        (EC_MUL, 0, 0x80, 0, 0x40),
        (EC_PAIRING, 0, 0, 0, 0x20),
        (EC_PAIRING, 0, 0xC0, 0, 0x20),
        (EC_PAIRING, 0, 0x180, 0, 0),
        (MODEXP, 0, 0xC0, 0, 0x40),
    ],
)
def test_other_calls_are_refused(call: tuple[int, int, int, int, int]) -> None:
    """A pairing over no points at all would say yes."""
    with pytest.raises(MalformedCommitmentError, match="calls address"):
        machine().call(*call)
