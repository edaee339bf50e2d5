"""Completeness: an honest proof of a true statement always verifies."""

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from support.both_verifiers import cheap_boxes
from support.native_prover import Case, make_case, prove, small, verify
from support.random_programs import random_inputs, random_program
from support.two_layer_program import INPUT, PROGRAM, WEIGHTS

from zkinfer.circuit.program import Einsum, Lookup, Program, Tensor, Term, View
from zkinfer.circuit.steps import Pad, Reshape, Slice, Step, Transpose, Windows
from zkinfer.circuit.table import Table
from zkinfer.errors import InvalidProofError, ProvingError
from zkinfer.execution.tables import AppliedTable
from zkinfer.native.prove import ERROR_BITS, commit_run, header_for, prove_run, public_values
from zkinfer.protocol.native_proof.encoding import decode
from zkinfer.protocol.pcs.params import Code, OpeningParameters
from zkinfer.protocol.pcs.prover import CommittedMatrix, commit
from zkinfer.protocol.pcs.search import search
from zkinfer.protocol.reduction import opening
from zkinfer.protocol.reduction.boxes import cover
from zkinfer.protocol.reduction.layout import weight_matrix
from zkinfer.protocol.reduction.plan import WEIGHTS as WEIGHTS_MATRIX
from zkinfer.protocol.security import DEFAULT_BITS
from zkinfer.typing import IntArray
from zkinfer.verifier import native

Patch = pytest.MonkeyPatch


def accepted(case: Case) -> None:
    attempt = prove(case)
    assert not attempt.failing
    verify(case, attempt.proof)


def some_case(seed: int) -> Case:
    """A random program with a weight, on up to six runs, hidden here and there, in rows of 1 to 32 cells."""
    rng = np.random.default_rng(seed)
    built = random_program(rng, nodes=int(rng.integers(1, 10)))
    while not built.weights:
        built = random_program(rng, nodes=int(rng.integers(1, 10)))
    program = built.program
    inputs = random_inputs(rng, program, int(rng.integers(1, 7)))
    private_inputs = tuple(bool(x) for x in rng.integers(0, 2, len(program.inputs)))
    private_outputs = tuple(bool(x) for x in rng.integers(0, 2, len(program.outputs)))
    sizes = small(int(rng.integers(0, 6)))
    return make_case(program, built.weights, inputs, private_inputs, private_outputs, sizes)


@pytest.mark.parametrize("direct_cells", [0, 64])
@pytest.mark.parametrize("chunk", range(10))
def test_random_programs(chunk: int, direct_cells: int, monkeypatch: Patch) -> None:
    monkeypatch.setattr(opening, "DIRECT_CELLS", direct_cells)
    for seed in range(10 * chunk, 10 * chunk + 10):
        accepted(some_case(seed + 1000 * (direct_cells > 0)))


def two_of_everything() -> tuple[Program, list[IntArray]]:
    """Two inputs, two weights, two outputs; one weight is looked up, and one output is made of weights alone."""
    table = Table("squares", -9, tuple(i * i for i in range(-9, 10)))
    large = 1 << 20
    nodes = (
        Einsum(Tensor("a", (3,), 0, -large, large), "a,ba->b", (0, 2)),
        Lookup(Tensor("w2", (3,), 0, 0, 81), 3, 0, 0),
        Einsum(Tensor("b", (3,), 0, -large, large), "a,a->a", (1, 5)),
        View(Tensor("c", (3,), 0, -large, large), (Term(4, 1, ()), Term(6, -2, ())), 3),
        Einsum(Tensor("d", (), 0, -large, large), "a,a->", (5, 3)),
    )
    program = Program(
        1,
        (Tensor("x", (5,), 0, -8, 8), Tensor("y", (3,), 0, -3, 3)),
        (Tensor("w", (3, 5), 0, -9, 9), Tensor("v", (3,), 0, -9, 9)),
        (table,),
        nodes,
        (7, 8),
    )
    rng = np.random.default_rng(0)
    return program, [rng.integers(-9, 10, (3, 5)), rng.integers(-9, 10, 3)]


@pytest.mark.parametrize("private", [*itertools.product([False, True], repeat=4)], ids=repr)
@pytest.mark.parametrize("runs", [1, 3])
def test_every_visibility(private: tuple[bool, ...], runs: int) -> None:
    program, weights = two_of_everything()
    inputs = random_inputs(np.random.default_rng(runs), program, runs)
    accepted(make_case(program, weights, inputs, private[:2], private[2:]))


def turned_case(shape: tuple[int, ...], runs: int, log_columns: int) -> Case:
    """Lookups of a tensor of some shape and of products with it turned around, on random inputs."""
    rng = np.random.default_rng(0)
    letters = "abc"[: len(shape)]
    turned = tuple(range(len(shape)))[::-1]
    table = Table("half", -200, tuple(i // 2 for i in range(-200, 201)))
    steps: tuple[Step, ...] = (Transpose(turned),)
    nodes = (
        Lookup(Tensor("h", shape, 0, -100, 100), 0, 0, 1),
        View(Tensor("t", shape[::-1], 0, -300, 300), (Term(2, 2, steps), Term(0, 1, steps)), 1),
        Einsum(Tensor("p", shape[::-1], 0, -3000, 3000), f"{letters[::-1]},{letters}->{letters[::-1]}", (3, 1)),
        Lookup(Tensor("q", shape[::-1], 0, -100, 100), 4, 0, 4),
    )
    x, w = Tensor("x", shape, 0, -99, 99), Tensor("w", shape, 0, -9, 9)
    program = Program(1, (x,), (w,), (table,), nodes, (5, 4))
    inputs = rng.integers(-99, 100, (runs, *shape))
    weights = [rng.integers(-9, 10, shape)]
    return make_case(program, weights, [inputs], (runs == 3,), (False, runs == 6), small(log_columns))


@pytest.mark.parametrize("shape", [(7,), (5, 7), (3, 5, 7), (7, 7, 7), (1, 11, 1), (33,), (31, 3)])
@pytest.mark.parametrize("runs", [1, 3, 6])
@pytest.mark.parametrize(("direct_cells", "price"), [(0, 0), (64, 0), (64, 16)])
def test_sizes_of_several_boxes(
    shape: tuple[int, ...], runs: int, direct_cells: int, price: int, monkeypatch: Patch
) -> None:
    """No axis is a power of two; some weights have so many boxes that axes are flattened."""
    monkeypatch.setattr(opening, "DIRECT_CELLS", direct_cells)
    with cheap_boxes(price):
        accepted(turned_case(shape, runs, log_columns=3))


@pytest.mark.parametrize("seed", range(12))
def test_axes_of_up_to_a_hundred_places(seed: int) -> None:
    """As they are covered in earnest: by one box, by several, lengthened or not."""
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(1, 101, int(rng.integers(1, 4))))
    while np.prod(shape) > 1 << 14:
        shape = tuple(max(1, n // 2) for n in shape)
    accepted(turned_case(shape, 1 + seed % 3, log_columns=7))


def test_axes_of_up_to_a_hundred_places_have_one_box_and_several() -> None:
    counts = {len(cover((1, *shape)).boxes) for shape in [(97,), (33, 65), (10, 62, 62), (48, 24, 48)]}
    assert min(counts) == 1
    assert max(counts) > 3


@pytest.mark.parametrize("shape", [((1 << 14) + 1,), ((1 << 17) - 1,), ((1 << 16) + 1, 2)])
def test_long_axes(shape: tuple[int, ...]) -> None:
    """Sums of more canonical elements than int64 holds, on axes of several pieces."""
    accepted(turned_case(shape, 1, log_columns=9))


def test_logits_of_a_large_vocabulary_on_one_axis() -> None:
    """Axes over 2^14 behind a flattening: sums of more canonical elements than int64 holds."""
    shape, rng = (8, 50257), np.random.default_rng(0)
    clip = Table("clip", -24, tuple(min(9, max(-9, i)) for i in range(-24, 25)))
    nodes = (
        Einsum(Tensor("logits", shape, 0, -24, 24), "bi,oi->bo", (0, 1)),
        View(Tensor("flat", (8 * 50257,), 0, -24, 24), (Term(2, 1, (Reshape((8 * 50257,)),)),)),
        Lookup(Tensor("y", (8 * 50257,), 0, -9, 9), 3, 0, 0),
    )
    x, w = Tensor("x", (8, 2), 0, -4, 4), Tensor("w", (50257, 2), 0, -3, 3)
    program = Program(1, (x,), (w,), (clip,), nodes, (4,))
    accepted(make_case(program, [rng.integers(-3, 4, w.shape)], [rng.integers(-4, 5, (1, *x.shape))], sizes=small(9)))


def test_a_view_through_a_tensor_without_elements() -> None:
    """Valid, and zero whatever the source holds: every step has an adjoint also where there is nothing to move."""
    steps: tuple[Step, ...] = (Slice(2, 0, 0, 1), Transpose((0, 2, 1)), Pad((0, 0, 0), (0, 3, 0)), Reshape((48,)))
    nodes = (
        View(Tensor("nothing", (48,), 0, -4, 4), (Term(0, 1, steps),)),
        View(Tensor("flat", (48,), 0, -4, 4), (Term(0, 1, (Reshape((48,)),)), Term(2, 1, ()))),
        Einsum(Tensor("y", (2,), 0, -400, 400), "a,ab->b", (3, 1)),
    )
    x, w = Tensor("x", (4, 4, 3), 0, -4, 4), Tensor("w", (48, 2), 0, -1, 1)
    program, rng = Program(1, (x,), (w,), (), nodes, (4, 2)), np.random.default_rng(0)
    inputs = rng.integers(-4, 5, (2, *x.shape))
    case = make_case(program, [rng.integers(-1, 2, w.shape)], [inputs])
    assert not case.values[2].any()
    accepted(case)


def test_a_convolution_with_padding() -> None:
    rng = np.random.default_rng(0)
    steps: tuple[Step, ...] = (Pad((0, 1, 1), (0, 1, 1)), Windows(1, 3, 2, 1), Windows(3, 3, 1, 1))
    nodes = (
        View(Tensor("windows", (2, 3, 3, 7, 3), 0, -8, 8), (Term(0, 1, steps),), 0),
        Einsum(Tensor("sums", (4, 3, 7), 0, -2000, 2000), "cxayb,dcab->dxy", (2, 1)),
        View(Tensor("flat", (84,), 0, -2000, 2000), (Term(3, 1, (Reshape((84,)),)),), 0),
    )
    x, w = Tensor("x", (2, 5, 7), 0, -8, 8), Tensor("w", (4, 2, 3, 3), 0, -9, 9)
    program = Program(1, (x,), (w,), (), nodes, (4,))
    inputs = rng.integers(-8, 9, (2, 2, 5, 7))
    accepted(make_case(program, [rng.integers(-9, 10, (4, 2, 3, 3))], [inputs]))


@pytest.mark.parametrize("value", [-8, 0, 8])
@pytest.mark.parametrize("weight", [-5, 0, 5])
def test_extremes_of_every_bound(value: int, weight: int) -> None:
    """Both ends of the clamp, and sums that are all zero."""
    weights = [np.full((3, 5), weight), np.full((2, 3), weight)]
    accepted(make_case(PROGRAM, weights, [np.full((2, 5), value)], (True,), (True, False)))


def test_programs_in_which_a_matrix_is_empty() -> None:
    """A weight that no output depends on, none of the values committed, or all of them."""
    x, w = Tensor("x", (3,), 0, -8, 8), Tensor("w", (2,), 0, -5, 5)
    square = Einsum(Tensor("y", (3,), 0, 0, 64), "a,a->a", (0, 0))
    unread = Program(1, (x,), (w,), (), (square,), (2,))
    inputs = [np.arange(6).reshape(2, 3)]
    for private in itertools.product([False, True], repeat=2):
        accepted(make_case(unread, [np.array([1, 2])], inputs, private[:1], private[1:]))
    through = Program(1, (x,), (w,), (), (square,), (0, 1, 2))
    for private in itertools.product([False, True], repeat=4):
        accepted(make_case(through, [np.array([1, 2])], inputs, private[:1], private[1:]))


# The prover itself, with the sizes that it chooses


def weights_matrix(case: Case) -> tuple[CommittedMatrix, OpeningParameters]:
    """The weights with the parameters of a commitment for one proof."""
    program = case.plan.program
    cells = case.plan.layouts[WEIGHTS_MATRIX].cells
    parameters = search(cells, 2, proofs=1, error_bits=ERROR_BITS).parameters
    return commit(parameters.code, weight_matrix(program, case.weights, parameters.code.log_columns), 0), parameters


def proven(case: Case, matrix: CommittedMatrix, parameters: OpeningParameters) -> bytes:
    tables = [AppliedTable(table) for table in case.plan.program.tables]
    run = commit_run(case.plan, dict(case.values), tables, parameters)
    return prove_run(run, b"s" * 32, matrix, parameters)


@pytest.mark.parametrize("private", [(False, False), (True, True)])
def test_a_proof_of_full_size_is_worth_128_bits(private: tuple[bool, bool]) -> None:
    case = make_case(PROGRAM, WEIGHTS, [INPUT], private[:1], private[1:] * 2)
    matrix, parameters = weights_matrix(case)
    data = proven(case, matrix, parameters)
    publics = public_values(case.plan, case.values)
    proof = decode(data)
    found = native.verify_run(case.plan, publics, b"s" * 32, matrix.commitment, parameters, proof)
    assert found.bits >= DEFAULT_BITS
    assert proof.header == header_for(case.plan)


def test_a_program_whose_outputs_read_no_weight_spends_no_opening() -> None:
    x, w = Tensor("x", (3,), 0, -8, 8), Tensor("w", (2,), 0, -5, 5)
    program = Program(1, (x,), (w,), (), (Einsum(Tensor("y", (3,), 0, 0, 64), "a,a->a", (0, 0)),), (2,))
    case = make_case(program, [np.array([1, 2])], [np.array([[1, 2, 3]])])
    matrix, parameters = weights_matrix(case)
    for _ in range(2):
        proof = decode(proven(case, matrix, parameters))
        assert (proof.masks, proof.weights) == (b"", b"")
        publics = public_values(case.plan, case.values)
        native.verify_run(case.plan, publics, b"s" * 32, matrix.commitment, parameters, proof)


def test_a_matrix_that_was_opened_is_not_opened_again() -> None:
    case = make_case(PROGRAM, WEIGHTS, [INPUT])
    matrix, parameters = weights_matrix(case)
    proven(case, matrix, parameters)
    with pytest.raises(ProvingError, match="opened before"):
        proven(case, matrix, parameters)


def test_a_proof_that_would_be_worth_too_little_is_not_made() -> None:
    """With a commitment whose parameters are worth 20 bits; nothing is spent."""
    case = make_case(PROGRAM, WEIGHTS, [INPUT])
    parameters = OpeningParameters(Code(2, 40, 8), 40, 0, 0)
    data = weight_matrix(PROGRAM, WEIGHTS, 2)
    matrix = commit(parameters.code, data, 0)
    with pytest.raises(ProvingError, match=r"\d+\.\d bits secure, not 128"):
        proven(case, matrix, parameters)
    matrix.spend(parameters.queries)


def test_values_that_are_not_those_of_the_program_are_not_proven() -> None:
    """The prover checks what it is about to claim: a false statement is its own error, not the verifier's."""
    case = make_case(PROGRAM, WEIGHTS, [INPUT])
    matrix, parameters = weights_matrix(case)
    values: dict[int, Any] = dict(case.values)
    values[5] = values[5] + 1
    with pytest.raises(InvalidProofError, match="fails"):
        proven(dataclasses.replace(case, values=values), matrix, parameters)
