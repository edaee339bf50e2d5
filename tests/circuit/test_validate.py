"""Programs from files are checked before anything is allocated for them."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.random_programs import random_program

from zkinfer.circuit.program import Einsum, Lookup, Program, Scales, Tensor, Term, View
from zkinfer.circuit.steps import Reshape
from zkinfer.circuit.table import Table
from zkinfer.circuit.validate import einsum_shape, validate
from zkinfer.errors import ArtifactError, ShapeError

replace = msgspec.structs.replace
X = Tensor("x", (2, 3), 0, -4, 4)
W = Tensor("w", (5, 3), 0, -1, 1)
TABLE = Table("t", -4, tuple(range(9)))
PROGRAM = Program(
    1,
    (X,),
    (W,),
    (TABLE,),
    (
        Lookup(Tensor("l", (2, 3), 0, 0, 8), 0, 0, 0),
        Einsum(Tensor("e", (2, 5), 0, -24, 24), "bi,oi->bo", (2, 1)),
        View(Tensor("v", (10,), 0, -24, 24), (Term(3, 1, (Reshape((10,)),)),)),
    ),
    (4,),
)


@given(st.integers(0, 2**32 - 1))
def test_programs_that_the_builder_makes_are_well_formed(seed: int) -> None:
    validate(random_program(np.random.default_rng(seed)).program)


def _with_node(index: int, **changes: Any) -> Program:
    nodes = list(PROGRAM.nodes)
    nodes[index] = replace(nodes[index], **changes)
    return replace(PROGRAM, nodes=tuple(nodes))


def _with_input(**changes: Any) -> Program:
    return replace(PROGRAM, inputs=(replace(X, **changes),))


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (replace(PROGRAM, version=0), "version 0"),
        (replace(PROGRAM, inputs=()), "at least one input"),
        (replace(PROGRAM, outputs=()), "at least one input and one output"),
        (replace(PROGRAM, outputs=(5,)), "does not exist"),
        (replace(PROGRAM, outputs=(-1,)), "does not exist"),
        (_with_input(shape=(0, 3)), "not one of a tensor"),
        (_with_input(shape=(1,) * 17), "not one of a tensor"),
        (_with_input(shape=(2**20, 2**20)), "elements"),
        (_with_input(lo=5), "not an interval"),
        (_with_input(hi=2**62), "not an interval"),
        (_with_input(lo=-(2**62)), "not an interval"),
        (_with_input(frac_bits=2000), "Q-format"),
        (_with_input(hi=5), "outside table"),
        (_with_input(lo=-5), "outside table"),
        (_with_input(scales=Scales(0, (0, 1, 2))), "do not fit shape"),
        (_with_input(scales=Scales(-2, (0, 1))), "do not fit shape"),
        (_with_input(scales=Scales(-3, (0,))), "do not fit shape"),
        (_with_input(scales=Scales(-1, (0, 1))), "do not fit shape"),
        (_with_input(scales=Scales(-1, (0, 0, 0))), "lowest terms"),
        (_with_input(scales=Scales(-1, (1, 2, 3))), "lowest terms"),
        (_with_input(scales=Scales(-1, (-1, 0, 3))), "lowest terms"),
        (_with_input(scales=Scales(-1, (0, 1, 513))), "lowest terms"),
        (_with_input(scales=Scales(-1, (0, 1, 2**80))), "lowest terms"),
        (replace(PROGRAM, weights=(replace(W, scales=Scales(-1, (0, 1, 2))),)), "only an input"),
        (_with_node(0, out=Tensor("l", (2, 3), 0, 0, 8, Scales(-1, (0, 1, 2)))), "only an input"),
        (_with_node(0, source=2), "does not exist yet"),
        (_with_node(0, source=-1), "does not exist yet"),
        (_with_node(0, table=1), "does not exist"),
        (_with_node(0, table=-1), "does not exist"),
        (_with_node(0, shift=63), "does not exist"),
        (_with_node(0, shift=-1), "does not exist"),
        (_with_node(0, out=Tensor("l", (3, 2), 0, 0, 8)), "declared shape"),
        (_with_node(1, operands=()), "does not exist yet"),
        (_with_node(1, operands=(2, 1, 1)), "operands"),
        (_with_node(1, subscripts="bi,oi->bz"), "in no operand"),
        (_with_node(1, out=Tensor("e", (5, 2), 0, -24, 24)), "declared shape"),
        (_with_node(2, out=Tensor("v", (10,), 0, 24, -24)), "not an interval"),
        (_with_node(2, terms=()), "does not exist yet"),
        (_with_node(2, terms=(Term(3, 1, (Reshape((11,)),)),)), "does not fit"),
        (_with_node(2, terms=(Term(3, 1, ()), Term(3, 1, (Reshape((10,)),)))), "not one"),
    ],
)
def test_each_defect_is_named(program: Program, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        validate(program)


def test_the_program_that_the_defects_are_made_from_is_well_formed() -> None:
    validate(PROGRAM)


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("ab", [(2, 3)]),
        ("ab->ab", [(2, 3), (2, 3)]),
        ("ab->ab", [(2,)]),
        ("a->a", [(2, 3)]),
        ("aa->a", [(2, 2)]),
        ("ab,b->ac", [(2, 3), (3,)]),
        ("ab,b->aa", [(2, 3), (3,)]),
        ("ab,b->a", [(2, 3), (4,)]),
        ("aB->a", [(2, 3)]),
        ("...->", [(2, 3, 4)]),
        ("a,b,c->", [(1,), (1,), (1,)]),
        ("->", []),
    ],
)
def test_subscripts_outside_the_documented_form_are_refused(subscripts: str, shapes: list[tuple[int, ...]]) -> None:
    with pytest.raises(ShapeError):
        einsum_shape(subscripts, shapes)
