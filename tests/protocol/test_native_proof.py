"""The parts of a native proof: their bytes, what is bound before the first challenge, what all of it is worth."""

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any
from unittest import mock

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from support.native_prover import SMALL, prove
from support.random_statements import random_case
from support.two_layer_program import PROGRAM

from zkinfer.circuit.program import Einsum, Lookup, Program, Tensor
from zkinfer.circuit.table import Table
from zkinfer.errors import MalformedProofError
from zkinfer.native.prove import ERROR_BITS, header_for
from zkinfer.native.setup import COLUMN_POINTS
from zkinfer.protocol import channel as channels
from zkinfer.protocol.channel import AffineForm
from zkinfer.protocol.field.scalar import Ext
from zkinfer.protocol.native_proof.encoding import Header, NativeProof, decode, encode
from zkinfer.protocol.native_proof.protocol import DOMAIN, PADS, Commitments, soundness, witness_commitments
from zkinfer.protocol.native_proof.shape import make_shape
from zkinfer.protocol.pcs.params import Code, OpeningParameters
from zkinfer.protocol.pcs.search import search
from zkinfer.protocol.reduction.plan import WEIGHTS, make_plan
from zkinfer.protocol.security import DEFAULT_BITS, MAX_GRINDING_IN_DEFAULT, SoundnessTerm
from zkinfer.protocol.transcript import MAX_GRINDING_BITS, Transcript

HEADER = Header(3, 20, 6, 10, 1, 2, 3)
PROOF = NativeProof(HEADER, (b"", b"i" * 32, b"w" * 32), b"m" * 32, b"p" * 32, 7, b"x" * 21, b"y", b"", b"z")


def test_a_proof_is_read_back() -> None:
    assert decode(encode(PROOF)) == PROOF
    assert PROOF.header.opening == OpeningParameters(Code(3, 20, 6), 10, 1, 2)


@pytest.mark.parametrize(
    "change",
    [
        {"roots": (b"", b"i" * 31, b"w" * 32)},
        {"roots": (b"", b"i" * 33, b"w" * 32)},
        {"masks": b"m"},
        {"pads": b""},
        {"pads": b"p" * 31},
        {"lookup_nonce": -1},
        {"copy": -1},
        {"copy": 1 << 20},
        {"branch": bytes(32 * 21 + 1)},
        {"header": replace(HEADER, log_columns=6)},
        {"header": replace(HEADER, log_columns=-1)},
        {"header": replace(HEADER, log_length=25)},
        {"header": replace(HEADER, blinding=56)},
        {"header": replace(HEADER, blinding=9)},
        {"header": replace(HEADER, queries=0)},
        {"header": replace(HEADER, queries=21)},
        {"header": replace(HEADER, query_grinding=MAX_GRINDING_BITS + 1)},
        {"header": replace(HEADER, weight_grinding=-1)},
        {"header": replace(HEADER, lookup_grinding=MAX_GRINDING_BITS + 1)},
        {"header": replace(HEADER, lookup_grinding=-1)},
    ],
    ids=repr,
)
def test_sizes_out_of_range_are_refused_when_read(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedProofError):
        decode(encode(replace(PROOF, **change)))


@given(st.binary(max_size=200))
def test_only_what_encodes_to_the_same_bytes_is_read(data: bytes) -> None:
    for bytes_ in (data, encode(PROOF)[: len(data)] + data):
        try:
            proof = decode(bytes_)
        except MalformedProofError:
            continue
        assert encode(proof) == bytes_


def challenge(change: Callable[[dict[str, Any]], None]) -> Any:
    """The first challenge after a changed beginning."""
    parts: dict[str, Any] = {
        "statement": b"s" * 32,
        "header": HEADER,
        "roots": [b"1" * 32, b"", b"3" * 32],
        "masks": b"m" * 32,
        "pads": b"p" * 32,
    }
    change(parts)
    transcript = Transcript(DOMAIN)
    statement = parts.pop("statement")
    Commitments(**parts).absorb(transcript, statement)
    return transcript.challenge_ext("first")


def test_everything_is_bound_before_the_first_challenge() -> None:
    def setter(**changes: Any) -> Callable[[dict[str, Any]], None]:
        return lambda parts: parts.update(changes)

    one, three = b"1" * 32, b"3" * 32
    changes = [
        setter(),
        setter(statement=b"t" * 32),
        setter(masks=b""),
        setter(masks=b"n" * 32),
        setter(pads=b"q" * 32),
        setter(roots=[one, three, b""]),
        setter(roots=[b"", one, three]),
        setter(roots=[three, b"", one]),
        setter(roots=[one, one, three]),
        setter(roots=[one, b"", b"4" * 32]),
        *(setter(header=replace(HEADER, **{name: getattr(HEADER, name) + 1})) for name in Header.__struct_fields__),
    ]
    drawn = [challenge(change) for change in changes]
    assert len(set(drawn)) == len(drawn)
    assert challenge(setter()) == drawn[0]


def test_a_matrix_is_committed_where_there_is_one() -> None:
    """Matrices without rows have no root; that of the witness brings the masks, even without rows."""
    root = b"r" * 32
    shown, hidden = make_plan(PROGRAM, 3), make_plan(PROGRAM, 3, (True,), (True, True))
    assert [c.rows for c in witness_commitments(shown, (b"", b"", root), 2, 3)] == [33]
    found = witness_commitments(hidden, (root, root, root), 2, 3)
    assert [(c.rows, c.masks) for c in found] == [(4, 0), (2, 0), (37, 3)]
    for plan, roots in [
        (shown, (root, b"", root)),
        (shown, (b"", root, root)),
        (shown, (b"", b"", b"")),
        (hidden, (b"", root, root)),
        (hidden, (root, b"", root)),
        (hidden, (root, root, b"")),
    ]:
        with pytest.raises(MalformedProofError, match="other matrices"):
            witness_commitments(plan, roots, 2, 3)


def test_a_program_without_lookups_has_no_witness_to_open() -> None:
    x, w = Tensor("x", (2,), 0, -1, 1), Tensor("w", (2,), 0, -1, 1)
    program = Program(1, (x,), (w,), (), (Einsum(Tensor("y", (), 0, -2, 2), "a,a->", (0, 1)),), (2,))
    plan = make_plan(program, 2)
    assert witness_commitments(plan, (b"", b"", b""), 0, 3) == []
    (commitment,) = witness_commitments(plan, (b"", b"", b"r" * 32), 1, 3)
    assert (commitment.rows, commitment.masks) == (0, 2)


@pytest.mark.parametrize("seed", range(10))
def test_a_dry_run_tells_the_variables_of_every_proof(seed: int) -> None:
    """Pads are committed before the messages: as many as the proof turns out to need, or it could not be made."""
    case = random_case(seed)
    shape = make_shape(case.plan, SMALL.weights.code, SMALL.header)
    attempt = prove(case)
    assert sum(variable is None for variable in shape.variables) * 21 >= len(attempt.proof.message)
    assert sum(count for _, count in attempt.labels) * 21 == len(attempt.proof.message)
    groups = shape.weight_groups + shape.witness_groups
    assert sum(variable is None for variable in shape.variables) == len(attempt.proof.message) // 21 + groups
    assert not attempt.failing


# What it is worth


def test_the_argument_is_worth_the_sum_of_its_terms() -> None:
    parameters = OpeningParameters(Code(3, 20, 6), 10, 0, 0)
    terms = [SoundnessTerm("one", 2.0**-40), SoundnessTerm("two", 2.0**-41)]
    pads = PADS.sizes(100)
    both = soundness(terms, parameters, parameters, (2, 3), pads)
    weights, witness, none = (
        soundness(terms, parameters, parameters, groups, pads) for groups in [(2, 0), (0, 3), (0, 0)]
    )
    assert {t.name for t in none.terms} == {"one", "two", "pads: constraints", "pads: point", "pads: queries"}
    assert len(both.terms) == len(weights.terms) + len(witness.terms) - len(none.terms)
    assert both.error > max(weights.error, witness.error) > none.error > 2.0**-40


def wide_program(width: int, layers: int, shift: int, rows: int) -> Program:
    """Square layers with a lookup behind each."""
    table = Table("f", -rows // 2, tuple(int(v) for v in np.random.default_rng(0).integers(-100, 100, rows)))
    lo, hi = -rows // 2 << shift, rows // 2 - 1 << shift
    weights = tuple(Tensor(f"w{i}", (width, width), 0, -127, 127) for i in range(layers))
    nodes: list[Any] = []
    source = 0
    for layer in range(layers):
        number = 1 + layers + 2 * layer
        nodes.append(Einsum(Tensor(f"sums{layer}", (width,), 0, lo, hi), "a,ba->b", (source, 1 + layer)))
        nodes.append(Lookup(Tensor(f"f{layer}", (width,), 0, -100, 100), number, 0, shift))
        source = number + 1
    return Program(1, (Tensor("x", (width,), 0, -100, 100),), weights, (table,), tuple(nodes), (source,))


@pytest.mark.parametrize(
    ("width", "layers", "runs"),
    [(16, 1, 1), (64, 4, 10), (512, 3, 64), (2048, 4, 1 << 11)],
)
@pytest.mark.parametrize("private", [False, True])
def test_realistic_proofs_are_worth_128_bits(width: int, layers: int, runs: int, private: bool) -> None:
    """Up to 2^24 lookups and as many elements of remainders, with the sizes that the prover and setup choose."""
    program = wide_program(width, layers, 12, 1 << 12)
    plan = make_plan(program, runs, (private,), (private,))
    header = header_for(plan)
    cells = plan.layouts[WEIGHTS].cells
    weights = search(cells, COLUMN_POINTS, proofs=100, error_bits=ERROR_BITS).parameters
    shape = make_shape(plan, weights.code, header)
    pads = PADS.sizes(len(shape.variables))
    found = soundness(shape.terms, weights, header.opening, (shape.weight_groups, shape.witness_groups), pads)
    assert found.bits >= DEFAULT_BITS
    assert found.grinding <= MAX_GRINDING_IN_DEFAULT
    assert {"lookups", "fraction trees", "pads: queries"} < {term.name for term in found.terms}
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(header), type=Header) == header


def coefficients_touched(lookups: int) -> int:
    """In affine forms, by the reduction of a program of so many lookups, all of them of one input."""
    out = Tensor("y", (3,), 0, 0, 12)
    nodes = [Lookup(out, 0, 0, 0) for _ in range(lookups)]
    table = Table("table", -8, tuple(i * i % 13 for i in range(17)))
    program = Program(1, (Tensor("x", (3,), 0, -8, 8),), (), (table,), tuple(nodes), (lookups,))
    touched = 0
    combination = channels.combination

    def counted(forms: Sequence[AffineForm], coefficients: Sequence[Ext]) -> AffineForm:
        nonlocal touched
        touched += sum(len(form.variables) for form in forms)
        return combination(forms, coefficients)

    users = [m for name, m in sys.modules.items() if name.startswith("zkinfer.protocol.") and "combination" in vars(m)]
    with ExitStack() as patched:
        for module in users:
            patched.enter_context(mock.patch.object(module, "combination", counted))
        make_shape(make_plan(program, 1, (True,)), Code(3, 20, 6), HEADER)
    return touched


def test_the_work_of_a_check_grows_as_the_program_does() -> None:
    """A sum that is copied with each summand takes the square of that, for whoever sends a program of many nodes."""
    assert coefficients_touched(256) < 10 * coefficients_touched(32)
