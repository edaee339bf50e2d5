"""The witness of a run, element by element, against what a lookup is."""

import numpy as np
import numpy.typing as npt
import pytest
from support.example_programs import everything
from support.native_prover import Case, make_case
from support.random_statements import random_case, witness_of
from support.two_layer_program import INPUT, PROGRAM, SUMS, WEIGHTS, X

from zkinfer.circuit.program import rounding_half
from zkinfer.errors import BoundsError, InvalidInputError
from zkinfer.execution.tables import AppliedTable
from zkinfer.native.witness import Witness, trace, values_read
from zkinfer.protocol.field.kernels.arrays import is_balanced
from zkinfer.protocol.field.params import P
from zkinfer.protocol.reduction.plan import INPUTS, OUTPUTS, WITNESS, LookupSite

SEEDS = range(30)


def test_a_prover_reads_inputs_outputs_sources_of_lookups_and_operands_of_products() -> None:
    """Not the operands of views and of sums over one tensor."""
    program = everything().program
    read = {program.tensor(value).label for value in values_read(program)}
    assert read == {"x", "gate", "kernel", "windows", "conv", "relu", "pooled", "shifted"}


def columns_of(case: Case, witness: Witness, site: LookupSite) -> list[npt.NDArray[np.int64]]:
    """Index, output and limbs of a site, each as a tensor."""
    count = 1 + (not site.identity) + len(site.limb_bits)
    tensors = [np.zeros(site.cut.shape, dtype=np.int64) for _ in range(count)]
    for box, numbers in zip(site.cut.boxes, site.blocks, strict=True):
        columns = [column for number in numbers for column in witness.blocks[number]]
        for tensor, column in zip(tensors, columns, strict=True):
            site.cut.put(column.astype(np.int64), box, tensor)
    return tensors


@pytest.mark.parametrize("seed", SEEDS)
def test_index_and_limbs_make_up_the_source_and_the_output_is_in_the_row(seed: int) -> None:
    case = random_case(seed)
    witness = witness_of(case)
    for site in case.plan.sites:
        index, *rest = columns_of(case, witness, site)
        out = index if site.identity else rest.pop(0)
        source = case.values[site.source]
        if site.table is None:
            assert np.array_equal(index, source)
            continue
        remainder = sum((w * limb for w, limb in zip(site.limb_weights, rest, strict=True)), np.zeros_like(index))
        assert np.array_equal((index << site.shift) + remainder - rounding_half(site.shift), source)
        assert ((remainder >= 0) & (remainder < 1 << site.shift)).all()
        table = case.plan.program.tables[site.table]
        assert np.array_equal(table.array[index - table.lo], out)
        assert np.array_equal(out, case.values[site.value])


@pytest.mark.parametrize("seed", SEEDS)
def test_columns_and_multiplicities_are_where_the_matrix_has_them(seed: int) -> None:
    """What is looked up is what is committed: the same memory, no copy that could differ."""
    case = random_case(seed)
    witness = witness_of(case)
    stack = witness.stacks[-1]
    layout = case.plan.layouts[WITNESS]
    for site in case.plan.sites:
        if site.out is None:
            assert all(np.shares_memory(witness.blocks[n[0]][0], witness.stacks[0]) for n in site.blocks)
            continue
        for box, numbers in enumerate(site.blocks):
            out = witness.blocks[numbers[0]][-1]
            vectors = [(out, site.out)]
            limbs = (witness.blocks[number][0] for number in numbers[1:])
            vectors += list(zip(limbs, site.limbs, strict=True))
            for column, vector in vectors:
                offset = layout.offsets[vector][box]
                assert np.shares_memory(column, stack[offset : offset + len(column)])
                assert column.size == 1 << layout.cuts[vector].boxes[box].total
    for counts, vector in zip(witness.counts, case.plan.multiplicities, strict=True):
        (offset,) = layout.offsets[vector]
        assert np.array_equal(stack[offset : offset + len(counts)], counts)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_entry_is_counted_once_at_its_row(seed: int) -> None:
    case = random_case(seed)
    witness, instance = witness_of(case), case.plan.instance
    if instance is None:
        assert not witness.counts
        return
    for number, (table, counts) in enumerate(zip(instance.tables, witness.counts, strict=True)):
        rows = list(zip(*(column.tolist() for column in table.column_values()), strict=True))[: table.rows]
        found = dict.fromkeys(rows, 0)
        for block, columns in zip(instance.blocks, witness.blocks, strict=True):
            if block.table == number:
                for entry in zip(*(column.astype(np.int64).tolist() for column in columns), strict=True):
                    found[tuple(value % P for value in entry)] += 1
        assert counts.tolist()[: table.rows] == [found[row] for row in rows]
        assert not counts[table.rows :].any()


@pytest.mark.parametrize("seed", SEEDS)
def test_stacks_are_whole_rows_of_balanced_elements_and_end_in_zeros(seed: int) -> None:
    case = random_case(seed)
    witness = witness_of(case)
    for matrix, stack in zip((INPUTS, OUTPUTS, WITNESS), witness.stacks, strict=True):
        layout = case.plan.layouts[matrix]
        assert len(stack) == layout.rows(2) << 2
        assert is_balanced(stack)
        assert not stack[layout.cells :].any()


@pytest.mark.parametrize("matrix", [INPUTS, OUTPUTS])
def test_hidden_values_lie_in_their_own_stacks(matrix: int) -> None:
    case = make_case(PROGRAM, WEIGHTS, [INPUT], (True,), (True, True))
    stack, layout = witness_of(case).stacks[matrix - INPUTS], case.plan.layouts[matrix]
    values = [X] if matrix == INPUTS else PROGRAM.outputs
    for value, cut, offsets in zip(values, layout.cuts, layout.offsets, strict=True):
        tensor = np.zeros(cut.shape, dtype=np.int64)
        for box, offset in zip(cut.boxes, offsets, strict=True):
            cut.put(stack[offset : offset + (1 << box.total)].astype(np.int64), box, tensor)
        assert np.array_equal(tensor, case.values[value])


def test_values_beyond_a_table_or_a_range_are_refused() -> None:
    """An honest prover does not begin what it could not end."""
    case = make_case(PROGRAM, WEIGHTS, [INPUT], (True,))
    tables = [AppliedTable(table) for table in PROGRAM.tables]
    values = dict(case.values)
    values[SUMS] = np.full_like(values[SUMS], 8 * 26)
    with pytest.raises(BoundsError, match="clamp"):
        trace(case.plan, values, tables, 2)
    values = dict(case.values)
    values[X] = np.full_like(values[X], 9)
    with pytest.raises(InvalidInputError, match="not from -8 to 8"):
        trace(case.plan, values, tables, 2)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
def test_values_may_have_any_integer_type_and_order_in_memory(dtype: type[np.signedinteger]) -> None:
    """As the executor hands them out."""
    case = make_case(PROGRAM, WEIGHTS, [INPUT], (True,), (True, True))
    tables = [AppliedTable(table) for table in PROGRAM.tables]
    values = {
        number: np.asfortranarray(np.clip(array, -128, 127)).astype(dtype) for number, array in case.values.items()
    }
    expected = trace(case.plan, {n: np.clip(a, -128, 127) for n, a in case.values.items()}, tables, 2)
    found = trace(case.plan, values, tables, 2)
    for a, b in zip(expected.stacks, found.stacks, strict=True):
        assert np.array_equal(a, b)
