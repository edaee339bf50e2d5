"""What both sides know before the first message."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.random_programs import random_program
from support.two_layer_program import ANSWER, HIDDEN, LOGITS, PROGRAM, V, W, X

from zkinfer.circuit.program import Einsum, Lookup, Program, Tensor, Term, View
from zkinfer.circuit.regions import varying
from zkinfer.circuit.table import Table
from zkinfer.errors import InvalidInputError, MalformedCommitmentError, ProvingError
from zkinfer.protocol.field.params import P
from zkinfer.protocol.reduction.boxes import cover
from zkinfer.protocol.reduction.plan import (
    INPUTS,
    MAX_HEIGHT,
    OUTPUTS,
    WEIGHTS,
    WITNESS,
    check_program,
    heights,
    make_plan,
)
from zkinfer.verifier.reference.plan import Plan

seeds = st.integers(0, 2**32 - 1)


def test_the_plan_of_two_layers() -> None:
    plan = make_plan(PROGRAM, 3)
    assert plan.committed == {W: (WEIGHTS, 0), V: (WEIGHTS, 1), HIDDEN: (WITNESS, 0), ANSWER: (WITNESS, 3)}
    assert [(site.value, site.source, site.shift, site.limb_bits, site.identity) for site in plan.sites] == [
        (HIDDEN, HIDDEN - 1, 3, (2, 1), False),
        (ANSWER, LOGITS, 2, (2,), True),
    ]
    assert [plan.shape(value) for value in (X, W, HIDDEN, ANSWER)] == [(3, 5), (1, 3, 5), (3, 3), (3, 2)]
    assert not plan.layouts[INPUTS].cuts
    assert not plan.layouts[OUTPUTS].cuts
    assert plan.layouts[WITNESS].cells == 3 * 16 + 2 * 8 + 64 + 4 + 2 + 128


def test_hidden_values_have_matrices_of_their_own() -> None:
    plan = make_plan(PROGRAM, 3, (True,), (False, True))
    assert plan.committed[X] == (INPUTS, 0)
    assert [part.shape for part in plan.layouts[INPUTS].cuts] == [(3, 5)]
    assert [part.shape for part in plan.layouts[OUTPUTS].cuts] == [(3, 2)]
    assert plan.sites[0].value == X
    assert plan.instance is not None
    assert plan.instance.tables[0].rows == 17, "a hidden input is shown to be within its bounds"


@given(seeds, st.integers(1, 6))
def test_every_place_of_a_box_is_in_a_block_and_in_one_of_every_limb(seed: int, runs: int) -> None:
    rng = np.random.default_rng(seed)
    program = random_program(rng, nodes=int(rng.integers(1, 9))).program
    private = tuple(bool(x) for x in rng.integers(0, 2, len(program.inputs)))
    plan = make_plan(program, runs, private)
    expected = 0
    for site in plan.sites:
        assert sum(site.limb_bits) == site.shift
        assert all(len(numbers) == 1 + len(site.limb_bits) for numbers in site.blocks)
        assert site.cut == cover(plan.shape(site.value))
        expected += sum(1 << box.total for box in site.cut.boxes) * (1 + len(site.limb_bits))
    blocks = () if plan.instance is None else plan.instance.blocks
    assert sum(1 << block.variables for block in blocks) == expected
    used = sorted(number for site in plan.sites for numbers in site.blocks for number in numbers)
    assert used == list(range(len(blocks)))


@given(seeds)
def test_what_is_made_of_weights_alone_has_one_run(seed: int) -> None:
    """Whatever reads an input, at any distance, has as many runs as there are."""
    program = random_program(np.random.default_rng(seed), nodes=6).program
    found = varying(program)
    assert found[: len(program.inputs)] == (True,) * len(program.inputs)
    plan = make_plan(program, 4)
    for value, varies in enumerate(found):
        assert plan.shape(value) == (4 if varies else 1, *program.tensor(value).shape)


def test_a_lookup_of_weights_is_proven_once_for_all_runs() -> None:
    table = Table("t", -5, tuple(range(11)))
    nodes = (Lookup(Tensor("y", (3,), 0, 0, 10), 1, 0, 0), Einsum(Tensor("z", (3,), 0, -80, 80), "a,a->a", (0, 2)))
    program = Program(1, (Tensor("x", (3,), 0, -8, 8),), (Tensor("w", (3,), 0, -5, 5),), (table,), nodes, (3,))
    plan = make_plan(program, 100)
    assert varying(program) == (True, False, False, True)
    assert plan.sites[0].cut.shape == (1, 3)


def test_remainders_of_as_many_bits_share_a_range() -> None:
    """Of three bits each: eight rows for all three limbs."""
    table = Table("t", -30, tuple(i * i for i in range(61)))
    x = Tensor("x", (2,), 0, -100, 100)
    nodes = tuple(Lookup(Tensor(f"y{i}", (2,), 0, 0, 3600), 0, 0, 3) for i in range(3))
    plan = make_plan(Program(1, (x,), (), (table,), nodes, (1, 2, 3)), 1)
    assert plan.instance is not None
    assert [table.rows for table in plan.instance.tables] == [61, 8]


@given(st.integers(0, 40), st.integers(0, (1 << 40) - 1))
def test_limbs_make_up_the_remainder(shift: int, rest: int) -> None:
    table = Table("t", -1, (0, 1, 2))
    x = Tensor("x", (2,), 0, -1, 1)
    plan = make_plan(Program(1, (x,), (), (table,), (Lookup(Tensor("y", (2,), 0, 0, 2), 0, 0, shift),), (1,)), 1)
    (site,) = plan.sites
    rest %= 1 << shift
    total, left = 0, rest
    for bits, weight in zip(site.limb_bits, site.limb_weights, strict=True):
        total += weight * (left & ((1 << bits) - 1))
        left >>= bits
    assert (total, left) == (rest, 0)
    largest = sum(w * ((1 << b) - 1) for w, b in zip(site.limb_weights, site.limb_bits, strict=True))
    assert largest == (1 << shift) - 1, "limbs in their ranges make a remainder in its range"


def test_equal_arguments_give_one_plan() -> None:
    """Sizes and dry runs are kept by plan: it is made once."""
    assert make_plan(PROGRAM, 3, (True,)) is make_plan(PROGRAM, 3, (True,))
    assert make_plan(PROGRAM, 3) is not make_plan(PROGRAM, 4)


# Refused


@pytest.mark.parametrize(
    ("runs", "inputs", "outputs"), [(0, (), ()), (-1, (), ()), (1, (True, True), ()), (1, (), (True,))]
)
def test_no_runs_or_flags_of_another_number(runs: int, inputs: tuple[bool, ...], outputs: tuple[bool, ...]) -> None:
    with pytest.raises(InvalidInputError):
        make_plan(PROGRAM, runs, inputs, outputs)


@pytest.mark.parametrize(("magnitude", "fits"), [(P // 2, True), (P // 2 + 1, False)])
@pytest.mark.parametrize("negative", [False, True])
def test_a_value_has_to_be_below_half_of_the_field(magnitude: int, fits: bool, negative: bool) -> None:
    """Two integers of absolute value below P / 2 are never equal modulo P."""
    x = Tensor("x", (1,), 0, -1, 1)
    lo, hi = (-magnitude, 0) if negative else (0, magnitude)
    program = Program(1, (x,), (), (), (View(Tensor("large", (1,), 0, lo, hi), (Term(0, 1, ()),)),), (1,))
    if fits:
        check_program(program)
    else:
        with pytest.raises(ProvingError, match=r"large: values of \d+ bits and a sign do not fit the field"):
            make_plan(program, 1)


@pytest.mark.parametrize(
    ("rows", "shift", "fits"), [(1 << 10, 39, True), (1 << 10, 40, False), ((1 << 10) + 1, 40, False)]
)
def test_a_decomposition_has_to_be_unique_in_the_field(rows: int, shift: int, fits: bool) -> None:
    """index 2^shift + remainder takes rows * 2^shift values: no more than the field has."""
    assert (rows << shift <= P) == fits
    x = Tensor("x", (1,), 0, -1, 1)
    table = Table("t", -2, (0,) * rows)
    program = Program(1, (x,), (), (table,), (Lookup(Tensor("far", (1,), 0, 0, 0), 0, 0, shift),), (1,))
    if fits:
        check_program(program)
    else:
        with pytest.raises(ProvingError, match=f"far: a shift by {shift} bits"):
            make_plan(program, 1)


@pytest.mark.parametrize(("hi", "fits"), [((1 << 20) - 1, True), (1 << 20, False)])
def test_a_hidden_input_has_a_range_of_at_most_twenty_bits(hi: int, fits: bool) -> None:
    program = Program(
        1, (Tensor("wide", (1,), 0, 0, hi),), (), (), (View(Tensor("y", (1,), 0, 0, hi), (Term(0, 1, ()),)),), (1,)
    )
    make_plan(program, 1)
    if fits:
        make_plan(program, 1, (True,))
    else:
        with pytest.raises(ProvingError, match="wide: a private input takes at most 20 bits"):
            make_plan(program, 1, (True,))


@pytest.mark.parametrize("floors", [MAX_HEIGHT, MAX_HEIGHT + 1])
def test_products_of_products_are_so_deep_and_no_deeper(floors: int) -> None:
    """Over two axes: each level's functional stays with an operand, and the claims on the lowest product are as many
    as there are products."""
    unit = Tensor("unit", (3, 3), 0, -1, 1)
    tower = Program(1, (unit,), (), (), tuple(Einsum(unit, "ab,ab->ab", (i, i)) for i in range(floors)), (floors,))
    assert heights(tower)[-1] == floors
    if floors <= MAX_HEIGHT:
        check_program(tower)
        Plan(tower, 1, (False,), (False,))
    else:
        with pytest.raises(ProvingError, match=f"{floors} deep, and at most {MAX_HEIGHT} are proven"):
            check_program(tower)
        with pytest.raises(MalformedCommitmentError, match="too deep"):
            Plan(tower, 1, (False,), (False,))


def test_a_lookup_begins_anew() -> None:
    unit, table = Tensor("unit", (3,), 0, -1, 1), Table("sign", -1, (-1, 0, 1))
    nodes = (Einsum(unit, "a,a->a", (0, 0)), View(unit, (Term(1, 1, ()),), 0), Lookup(unit, 2, 0, 0))
    program = Program(1, (unit,), (), (table,), (*nodes, Einsum(unit, "a,a->a", (3, 2))), (4,))
    assert heights(program) == (0, 1, 1, 0, 2)
