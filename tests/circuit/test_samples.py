"""Samples in runs of a fixed batch, and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkinfer.circuit.program import PROGRAM_VERSION, Einsum, Program, Tensor
from zkinfer.circuit.samples import (
    CHUNK_ELEMENTS,
    as_runs,
    batch_of,
    chunks,
    count_runs,
    elements_per_run,
    from_runs,
    into_runs,
    stacked_shape,
)
from zkinfer.errors import ShapeError


@given(n=st.integers(1, 40), batch=st.integers(1, 12))
def test_there_and_back(n: int, batch: int) -> None:
    samples = np.arange(n * 3).reshape(n, 3)
    runs = into_runs(samples, batch)
    assert runs.shape == (count_runs(n, batch), batch, 3)
    np.testing.assert_array_equal(from_runs(runs, batch, n), samples)


def test_a_last_run_is_filled_from_the_front() -> None:
    np.testing.assert_array_equal(into_runs(np.array([1, 2, 3]), 2), [[1, 2], [3, 1]])
    np.testing.assert_array_equal(into_runs(np.array([1, 2]), 5), [[1, 2, 1, 2, 1]])


def test_an_output_without_a_batch_axis_is_one_sample_a_run() -> None:
    assert from_runs(np.zeros((4,)), 1, 4).shape == (4,)
    assert from_runs(np.zeros((4, 5)), 1, 4).shape == (4, 5)


@pytest.mark.parametrize(
    ("shape", "batch", "stacked"),
    [((4, 3), 4, (28, 3)), ((4,), 4, (28,)), ((3,), 4, (7, 3)), ((1, 3), 1, (7, 3)), ((3,), 1, (7, 3)), ((), 1, (7,))],
)
def test_runs_lie_one_after_another(shape: tuple[int, ...], batch: int, stacked: tuple[int, ...]) -> None:
    """As `from_runs` lays them, and as `as_runs` takes them apart."""
    assert stacked_shape(shape, batch, 7) == stacked
    runs = np.arange(7 * int(np.prod(shape))).reshape(7, *shape)
    laid = from_runs(runs, batch, stacked[0])
    assert laid.shape == stacked
    np.testing.assert_array_equal(as_runs(laid, shape, batch, "x"), runs)


def test_one_sample_needs_no_axis_of_samples() -> None:
    assert as_runs(np.zeros(3), (1, 3), 1, "x").shape == (1, 1, 3)
    assert as_runs(np.zeros(3), (3,), 1, "x").shape == (1, 3)
    assert as_runs(np.zeros(()), (), 1, "x").shape == (1,)
    with pytest.raises(ShapeError, match=r"x takes an array of shape \(samples, 3\), got \(3,\)"):
        as_runs(np.zeros(3), (2, 3), 2, "x")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        ((4, 3), "a multiple of 3 samples"),
        ((0, 3), "holds no samples"),
        ((3, 4), "of shape"),
        ((3,), "of shape"),
        ((1, 3, 3), "of shape"),
    ],
)
def test_arrays_that_are_no_runs(array: tuple[int, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        as_runs(np.zeros(array), (3, 3), 3, "x")


def test_batch_is_the_first_axis_of_the_inputs() -> None:
    for shape, batch in (((5, 2), 5), ((5,), 5), ((), 1)):
        program = Program(PROGRAM_VERSION, (Tensor("x", shape, 0, 0, 1),), (), (), (), (0,))
        assert batch_of(program) == batch


def test_weights_do_not_count_for_every_run() -> None:
    program = Program(
        PROGRAM_VERSION,
        inputs=(Tensor("x", (2, 3), 0, 0, 1),),
        weights=(Tensor("w", (3, 1000), 0, 0, 1),),
        tables=(),
        nodes=(Einsum(Tensor("y", (2, 1000), 0, 0, 3), "bi,io->bo", (0, 1)),),
        outputs=(2,),
    )
    assert elements_per_run(program) == 2 * 3 + 2 * 1000


@pytest.mark.parametrize("elements", [0, 1, 1000, CHUNK_ELEMENTS, 10 * CHUNK_ELEMENTS])
def test_chunks_cover_everything_once_and_stay_small(elements: int) -> None:
    parts = list(chunks(50, elements))
    assert [i for part in parts for i in range(part.start, part.stop)] == list(range(50))
    assert all((part.stop - part.start) * elements <= CHUNK_ELEMENTS or part.stop - part.start == 1 for part in parts)
