"""The rounds of factored blocks, against those of tables of all cells and weights."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.random_contractions import random_ext

from zkinfer.circuit.program import Einsum, Program, Tensor
from zkinfer.native import factored_blocks
from zkinfer.native.factored_blocks import FactoredBlock, rows_of
from zkinfer.native.reduction_witness import NativeReductionWitness
from zkinfer.protocol.field import scalar
from zkinfer.protocol.field.modular import from_exts
from zkinfer.protocol.field.scalar import ONE, ext_add, ext_polynomial
from zkinfer.protocol.reduction.box_functional import BoxFunctional
from zkinfer.protocol.reduction.boxes import Box
from zkinfer.protocol.reduction.claims import BlockSum
from zkinfer.protocol.reduction.contraction import PRODUCT
from zkinfer.protocol.reduction.layout import RowBlock
from zkinfer.protocol.reduction.plan import WEIGHTS
from zkinfer.protocol.reduction.restriction import AxisWeights
from zkinfer.protocol.reduction.weight_ranges import make_range_plan
from zkinfer.protocol.sumcheck.params import Batch, Instance
from zkinfer.typing import Array

PROGRAM = Program(
    1,
    (Tensor("x", (1, 5), 0, -3, 3),),
    (Tensor("w", (5,), 0, -7, 7),),
    (),
    (Einsum(Tensor("y", (1,), 0, -1, 1), "bi,i->b", (0, 1)),),
    (2,),
)
"""The plan that a witness is of; these sums do not depend on it."""

sizes = st.lists(st.integers(0, 4), min_size=1, max_size=3).filter(lambda bits: sum(bits) > 0).map(tuple)


def random_sum(rng: np.random.Generator, bits: tuple[int, ...], kinds: list[str]) -> BlockSum:
    """A sum over one box, from known points, vectors, and vectors whose first half is zero."""
    box, parts = Box((0,) * len(bits), bits), []
    for kind in kinds:
        if kind == "known":
            part = BoxFunctional(0, 0, 0, box, random_ext(rng), known=tuple(random_ext(rng) for _ in range(sum(bits))))
        else:
            vectors = [from_exts([random_ext(rng) for _ in range(1 << k)]) for k in bits]
            if kind == "half":
                vectors[0][:, : vectors[0].shape[1] // 2] = 0
            part = BoxFunctional(0, 0, 0, box, random_ext(rng), vectors=tuple(map(AxisWeights, vectors)))
        parts.append((random_ext(rng), part))
    return BlockSum(WEIGHTS, RowBlock(0, sum(bits)), tuple(parts))


def of_tables(one: BlockSum, cells: Array) -> NativeReductionWitness:
    """The prover that has tables of all cells, which it makes of field elements."""
    return NativeReductionWitness(make_range_plan(PROGRAM), {}, [cells.astype(np.float64)], [], [])


@settings(max_examples=20)
@given(
    st.integers(0, 2**32 - 1),
    sizes,
    st.lists(st.sampled_from(["known", "vectors", "half"]), min_size=1, max_size=3),
    st.sampled_from([np.int8, np.int16]),
    st.data(),
)
def test_every_round_is_that_of_tables(
    seed: int, bits: tuple[int, ...], kinds: list[str], dtype: type, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    one = random_sum(rng, bits, kinds)
    cells = rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, 1 << sum(bits), endpoint=True, dtype=dtype)
    ends = [sum(bits[:axis]) for axis in range(len(bits) + 1)]
    block = FactoredBlock(one, cells, data.draw(st.sampled_from(ends)))
    tables = of_tables(one, cells)
    assert [block.total] == tables.block_sums([one])
    batch = Batch((Instance(sum(bits), 2, PRODUCT),))
    expected = tables.block_sumcheck(batch, [one])
    target = block.total
    for done in range(sum(bits)):
        found = block.sums()
        assert ext_add(found[0], ext_polynomial(found, ONE)) == target, "the sum at 0 and at 1"
        doubled = [scalar.ext_scale(c, 2 ** (done + 1)) for c in found]
        assert doubled[1:] == expected.round_polynomial([ONE], [ONE] * done)
        challenge = random_ext(rng)
        target = ext_polynomial(found, challenge)
        block.bind(challenge)
        expected.bind(challenge)
    assert block.values() == expected.values(0)


@pytest.mark.parametrize(
    ("bits", "kinds", "rows"),
    [
        ((5, 6), ["vectors"], 5),
        ((0, 5, 6), ["vectors", "vectors"], 5),
        ((5, 6), ["known"], 5),
        ((2, 10), ["known"], 6),
        ((2, 10), ["vectors"], None),
        ((11,), ["vectors"], None),
        ((3, 3), ["known"], None),
    ],
)
def test_a_block_is_divided_where_its_tables_are_shortest(
    bits: tuple[int, ...], kinds: list[str], rows: int | None
) -> None:
    assert rows_of(random_sum(np.random.default_rng(0), bits, kinds)) == rows


def test_a_block_of_several_boxes_is_not_divided() -> None:
    one = random_sum(np.random.default_rng(0), (6, 6), ["known"])
    assert rows_of(replace(one, block=RowBlock(0, 13))) is None


def test_small_integers_are_divided_and_field_elements_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    one = random_sum(rng, (5, 6), ["vectors"])
    cells = rng.integers(-100, 100, 1 << 11, dtype=np.int8)
    made: list[int] = []
    honest = FactoredBlock.__init__

    def noted(self: FactoredBlock, one: BlockSum, cells: Array, rows: int) -> None:
        made.append(rows)
        honest(self, one, cells, rows)

    monkeypatch.setattr(factored_blocks.FactoredBlock, "__init__", noted)
    narrow = NativeReductionWitness(make_range_plan(PROGRAM), {}, [cells], [], [])
    assert narrow.block_sums([one]) == of_tables(one, cells).block_sums([one])
    assert made == [5]
