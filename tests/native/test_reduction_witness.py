"""The prover's answers, against sums written out in Python integers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.linear_claims import value_of
from support.native_prover import SMALL, violated
from support.random_contractions import random_ext, random_functional
from support.random_statements import random_case, witness_of

from zkinfer.errors import InvalidInputError
from zkinfer.native.reduction_witness import NativeReductionWitness, add_weights, evaluate, evaluate_part
from zkinfer.protocol.channel import ProverChannel, Writer
from zkinfer.protocol.field import kernels, scalar
from zkinfer.protocol.field.modular import from_exts
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import Ext, ext_add, ext_mul, ext_powers
from zkinfer.protocol.native_proof.protocol import reduce_to_openings
from zkinfer.protocol.native_proof.shape import make_shape
from zkinfer.protocol.reduction.box_functional import BoxFunctional
from zkinfer.protocol.reduction.boxes import Box
from zkinfer.protocol.reduction.restriction import AxisWeights
from zkinfer.protocol.transcript import Transcript

seeds = st.integers(0, 2**32 - 1)
shapes = st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple)


@given(seeds, shapes, st.sampled_from([np.int8, np.int16, np.int32, np.int64]))
def test_a_functional_of_a_value(seed: int, shape: tuple[int, ...], dtype: type) -> None:
    rng = np.random.default_rng(seed)
    array = rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, endpoint=True, dtype=dtype)
    array = (array >> 14).astype(dtype) if dtype == np.int64 else array
    functional = random_functional(rng, shape)
    assert evaluate(functional, array) == value_of(functional, array)
    assert evaluate(functional, np.asfortranarray(array)) == value_of(functional, array)
    alike = np.broadcast_to(array[:1], shape)
    assert evaluate(functional, alike) == value_of(functional, alike)


@given(seeds, st.lists(st.integers(0, 5), min_size=1, max_size=3), st.sampled_from(["known", "eq", "other"]))
def test_the_part_of_a_functional_on_a_box(seed: int, bits: list[int], kind: str) -> None:
    """Weights that are a known point, those that turn out to be one, and others."""
    rng = np.random.default_rng(seed)
    box, scale, coefficient = Box((0,) * len(bits), tuple(bits)), random_ext(rng), random_ext(rng)
    points = [tuple(random_ext(rng) for _ in range(b)) for b in bits]
    vectors = [scalar.eq_table(p) for p in points]
    if kind == "other":
        vectors = [[random_ext(rng) for _ in range(1 << b)] for b in bits]
    if kind == "known":
        part = BoxFunctional(0, 0, 0, box, scale, known=tuple(c for point in points for c in point))
    else:
        part = BoxFunctional(0, 0, 0, box, scale, vectors=tuple(AxisWeights(from_exts(v)) for v in vectors))
    weights: list[Ext] = [scale]
    for vector in vectors:
        weights = [ext_mul(a, b) for a in weights for b in vector]
    cells = [int(c) for c in rng.integers(-P // 2 + 1, P // 2, len(weights))]
    assert evaluate_part(part, np.array(cells, dtype=np.float64)) == scalar.ext_base_dot(
        weights, [c % P for c in cells]
    )
    before = [random_ext(rng) for _ in weights]
    table = kernels.ext_from_ints(before)
    add_weights(table, part, coefficient)
    expected = [ext_add(b, ext_mul(coefficient, w)) for b, w in zip(before, weights, strict=True)]
    assert kernels.ext_to_ints(table) == expected


def prover_of(seed: int, pads: list[Ext] | None = None) -> tuple[ProverChannel, list[Ext]]:
    """The prover's channel of a random case, which it has reduced to openings, and its pads."""
    case = random_case(seed)
    header, witness = case.sizes.header, witness_of(case)
    shape = make_shape(case.plan, SMALL.weights.code, header)
    count = sum(variable is None for variable in shape.variables)
    pads = ext_powers((3, 1, 2), count) if pads is None else pads
    stacks = [case.matrix.data.reshape(-1), *witness.stacks]
    answers = NativeReductionWitness(case.plan, case.values, stacks, witness.blocks, witness.counts)
    channel = ProverChannel(Transcript(b"test"), Writer(), pads)
    codes = SMALL.weights.code, header.opening.code
    reduce_to_openings(case.plan, case.publics, channel, codes, answers, lookup_grinding=0)
    return channel, pads


@pytest.mark.parametrize("seed", range(20))
def test_the_pads_satisfy_the_constraints_of_the_reduction(seed: int) -> None:
    """All but those of the openings: what the prover sends is true."""
    channel, pads = prover_of(seed)
    constraints = channel.constraints()
    assert not violated(constraints, pads[: constraints.pads])
    shifted = [*pads[1 : constraints.pads], pads[0]]
    assert violated(constraints, shifted), "other pads satisfy them as well"


def test_too_few_pads_are_noticed() -> None:
    with pytest.raises(InvalidInputError, match="too few"):
        prover_of(0, ext_powers((3, 1, 2), 10))
