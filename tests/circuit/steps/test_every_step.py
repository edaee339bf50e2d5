"""Every listed step with random parameters: definition, evaluation, execution, adjoint, bounds and encoding agree.

ezkl's graph is compared in `tests/ezkl/test_lowering.py`.
"""

import math
import typing

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.functionals import random_functional, value_on, weights
from support.steps import by_definition, random_step

from zkinfer.circuit.encoding import decode_program, encode_program
from zkinfer.circuit.program import PROGRAM_VERSION, Program, Tensor, Term, View
from zkinfer.circuit.steps import STEPS, Shape, Step, apply_to_runs, evaluate
from zkinfer.circuit.view_bounds import Known, Source, term_interval
from zkinfer.execution.views import execute
from zkinfer.protocol.field.scalar import ext_scale
from zkinfer.protocol.reduction.functional import pull
from zkinfer.verifier.reference.weights import Weights, pull_term

Case = tuple[Step, Shape, np.random.Generator]

every_step = pytest.mark.parametrize("kind", STEPS, ids=lambda kind: kind.__name__)
cases = given(st.lists(st.sampled_from([1, 2, 3, 5, 7]), max_size=3).map(tuple), st.integers(0, 2**32 - 1))
few = settings(max_examples=60, deadline=None)


def case(kind: type[Step], shape: Shape, seed: int) -> Case | None:
    """A step of this class on this shape, if there is one."""
    rng = np.random.default_rng(seed)
    step = random_step(rng, kind, shape)
    return None if step is None else (step, shape, rng)


@every_step
def test_steps_are_found_on_most_shapes(kind: type[Step]) -> None:
    """The tests below are not empty."""
    shapes = [(1,), (5,), (3, 1), (1, 4), (2, 5), (3, 1, 5)]
    assert sum(case(kind, shape, seed=0) is not None for shape in shapes) > len(shapes) // 2


@every_step
@few
@cases
def test_evaluation_is_by_the_definition(kind: type[Step], shape: Shape, seed: int) -> None:
    if (found := case(kind, shape, seed)) is None:
        return
    step, _, rng = found
    array = rng.integers(1, 1 << 60, (int(rng.integers(0, 3)), *shape))
    after = step.shape(shape)
    evaluated = apply_to_runs([step], array)
    assert evaluated.shape == (len(array), *after)
    for run, result in zip(array, evaluated, strict=True):
        np.testing.assert_array_equal(result, by_definition(step, run))


@every_step
@few
@cases
def test_execution_equals_evaluation(kind: type[Step], shape: Shape, seed: int) -> None:
    """Whatever the dtype, and the order of the axes in memory."""
    if (found := case(kind, shape, seed)) is None:
        return
    step, _, rng = found
    index_map = step.move(shape).index_map
    order = rng.permutation(1 + len(shape))
    in_memory = rng.integers(-100, 100, [(int(rng.integers(0, 3)), *shape)[i] for i in order])
    array = in_memory.astype(rng.choice(["int8", "int16", "int64"])).transpose(np.argsort(order))
    executed = execute(index_map, array)
    assert executed.dtype == array.dtype
    np.testing.assert_array_equal(executed, evaluate(index_map, array))


@every_step
@few
@cases
def test_the_adjoint_keeps_the_value(kind: type[Step], shape: Shape, seed: int) -> None:
    """<adjoint(w), x> == <w, step(x)> modulo P, and the reference verifier has the same adjoint, weight by weight."""
    if (found := case(kind, shape, seed)) is None:
        return
    step, _, rng = found
    runs = int(rng.integers(1, 4))
    array = rng.integers(-99, 100, (int(rng.choice([1, runs])), *shape))
    result = np.broadcast_to(apply_to_runs([step], array), (runs, *step.shape(shape)))
    functional = random_functional(rng, result.shape)
    pulled = pull(functional, [step], array.shape)
    assert value_on(weights(pulled), array) == value_on(weights(functional), result)
    reference = pull_term(Weights(result.shape, tuple(weights(functional))), Term(0, 7, (step,)), array.shape)
    assert list(reference.entries) == [ext_scale(weight, 7) for weight in weights(pulled)]


@every_step
@few
@cases
def test_bounds_contain_every_value(kind: type[Step], shape: Shape, seed: int) -> None:
    """Of a tensor that is known by its bounds, of which zero is none, and of one whose content is known."""
    if (found := case(kind, shape, seed)) is None:
        return
    step, _, rng = found
    coefficient = int(rng.integers(-3, 4))
    lo, hi = sorted(int(x) for x in rng.integers(1, 9, 2) * rng.choice([-1, 1]))
    content = rng.integers(lo, hi + 1, shape)
    values = coefficient * apply_to_runs([step], content[None])
    for source in (Source(shape, (lo, hi)), Source(shape, (lo, hi), content)):
        known = Known(lambda _, source=source: source, lambda _: pytest.fail("no table is read"))  # type: ignore[misc]
        low, high = term_interval(Term(0, coefficient, (step,)), known)
        assert np.all((values >= low) & (values <= high))


@every_step
@few
@cases
def test_the_encoding_holds_the_step(kind: type[Step], shape: Shape, seed: int) -> None:
    """Its tag and its fields, in order; the whole program is decoded to the same."""
    if (found := case(kind, shape, seed)) is None:
        return
    step, _, _ = found
    after = step.shape(shape)
    fields = [list(value) if isinstance(value, tuple) else value for value in msgspec.structs.astuple(step)]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(step)) == [kind.__name__.lower(), *fields]
    if not math.prod(after):
        return
    node = View(Tensor("y", after, 0, -9, 9), (Term(0, 1, (step,)),))
    program = Program(PROGRAM_VERSION, (Tensor("x", shape, 0, -9, 9),), (), (), (node,), (1,))
    assert decode_program(encode_program(program)) == program


def test_programs_encode_what_is_listed() -> None:
    assert set(typing.get_args(typing.get_type_hints(Term)["steps"])[:1]) == {Step}
    assert len({kind.__struct_config__.tag for kind in STEPS}) == len(STEPS)
