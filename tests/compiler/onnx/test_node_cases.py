"""A part of the standard's own operator tests: none crashes, none is silently wrong, and what is wrong is seen."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import zkinfer
from benchmarks import node_cases
from benchmarks.node_cases import NodeCase, Outcome, check, difference, forms
from zkinfer.errors import CompileError

PASSING = (
    "test_add",
    "test_argmax_keepdims_example",
    "test_averagepool_2d_pads",
    "test_clip",
    "test_concat_2d_axis_1",
    "test_conv_with_strides_padding",
    "test_gelu_tanh_1",
    "test_gemm_all_attributes",
    "test_instancenorm_example",
    "test_logsoftmax_axis_1",
    "test_matmul_3d",
    "test_maxpool_2d_default",
    "test_reduce_mean_keepdims_example",
    "test_softmax_axis_2",
    "test_transpose_default",
)


@pytest.fixture(scope="module")
def cases() -> list[NodeCase]:
    return node_cases.node_cases()


@pytest.fixture(scope="module")
def relu(cases: list[NodeCase]) -> NodeCase:
    return next(case for case in cases if case.name == "test_relu")


def test_no_case_crashes_or_is_silently_wrong(cases: list[NodeCase]) -> None:
    verdicts = [check(case) for case in cases[::20]]
    assert len(verdicts) > 40
    assert not [v for v in verdicts if v.outcome in (Outcome.WRONG, Outcome.CRASHED)]
    assert all(v.error and v.detail for v in verdicts if v.outcome is Outcome.REFUSED)


def test_common_operators_pass(cases: list[NodeCase]) -> None:
    found = {case.name: check(case).outcome for case in cases if case.name in PASSING}
    assert found == dict.fromkeys(PASSING, Outcome.PASSED)


def test_a_wrong_answer_is_seen(relu: NodeCase) -> None:
    (expected,) = relu.outputs
    shifted = replace(relu, outputs=(expected + np.float32(0.01),))
    assert check(shifted).outcome is Outcome.WRONG


def test_any_exception_but_the_library_s_own_is_a_crash(relu: NodeCase, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(error: Exception) -> None:
        def fail(*args: object, **kwargs: object) -> None:
            raise error

        monkeypatch.setattr(zkinfer, "compile", fail)

    failing(KeyError("lost"))
    assert (check(relu).outcome, check(relu).error) == (Outcome.CRASHED, "KeyError")
    failing(CompileError("cannot"))
    assert (check(relu).outcome, check(relu).detail) == (Outcome.REFUSED, "cannot")


def test_the_gravest_form_counts(cases: list[NodeCase], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a matrix product with both factors computed, and with a constant one, the first crashes here."""
    case = next(case for case in cases if case.name == "test_matmul_2d")
    genuine = zkinfer.compile

    def crashing(model: Any, arrays: list[Any], **kwargs: Any) -> object:
        if len(arrays) == 2:
            raise RuntimeError("both computed")
        return genuine(model, arrays, **kwargs)

    monkeypatch.setattr(zkinfer, "compile", crashing)
    assert forms(case) == [(0, 1), (0,)]
    assert check(case).outcome is Outcome.CRASHED


def named(cases: list[NodeCase], name: str) -> NodeCase:
    return next(case for case in cases if case.name == name)


def test_what_an_operator_takes_as_constants_is_constant_in_one_form(cases: list[NodeCase]) -> None:
    """Of a quantized product, both factors are data and the scales are the model's: a form that passes."""
    case = named(cases, "test_qlinearmatmul_2D_uint8_float32")
    assert (0, 3) in forms(case)
    assert check(case).outcome is Outcome.PASSED


def test_a_form_for_every_kind_of_operator(cases: list[NodeCase]) -> None:
    assert forms(named(cases, "test_and2d")) == [(0, 1), (0,)]
    assert forms(named(cases, "test_clip")) == [(0, 1, 2), (0,)]
    # What is taken apart first has no lowering of its own.
    assert forms(named(cases, "test_layer_normalization_2d_axis0")) == [(0, 1, 2), (0,)]
    assert all(form for case in cases for form in forms(case))


@pytest.mark.parametrize(
    "name", ["test_shape_start_1_end_2", "test_size_example", "test_range_float_type_positive_delta"]
)
def test_what_is_known_beforehand_is_folded_and_held_against_the_test(cases: list[NodeCase], name: str) -> None:
    case = named(cases, name)
    assert check(case).outcome is Outcome.FOLDED
    (expected,) = case.outputs
    wrong = check(replace(case, outputs=(expected + 1,)))
    assert (wrong.outcome, wrong.detail.partition(",")[0]) == (Outcome.WRONG, "largest error 1")


def test_only_operators_that_describe_tensors_may_be_folded(cases: list[NodeCase]) -> None:
    """What is refused with computed inputs is refused, although its value could be computed beforehand."""
    assert check(named(cases, "test_unique_sorted_without_axis")).outcome is Outcome.REFUSED


@pytest.mark.parametrize(
    ("found", "expected", "message"),
    [
        ([1.0, 2.0], np.array([1.0, 2.0], np.float32), ""),
        ([1.0, 2.0015], np.array([1.0, 2.0], np.float32), ""),
        ([1.0, 2.003], np.array([1.0, 2.0], np.float32), "largest error"),
        ([0.001], np.array([0.0], np.float32), "largest error"),
        ([1.0, 0.0], np.array([True, False]), ""),
        ([1.0, 1.0], np.array([True, False]), "largest error 1"),
        ([3.0005], np.array([3]), "largest error"),
        ([-7.0], np.array([-8], np.int8), "largest error 1"),
        ([30001.0], np.array([30000], np.int16), ""),
        ([30100.0], np.array([30000], np.uint16), "largest error 100"),
        ([1.0], np.array([1.0, 2.0]), "shape"),
        ([1.0], np.array([np.nan]), "NaN"),
    ],
)
def test_outputs_are_held_against_the_tolerance(found: list[float], expected: np.ndarray, message: str) -> None:
    detail = difference(np.array(found), expected)
    assert detail.startswith(message)
    assert bool(detail) == bool(message)


def test_an_output_is_no_finer_than_the_steps_of_its_inputs() -> None:
    expected = np.array([0.5, 1.0], np.float32)
    assert difference(np.array([0.5, 1.02]), expected) != ""
    assert difference(np.array([0.5, 1.02]), expected, largest_input=1000.0) == ""
    assert difference(np.array([0.5, 1.05]), expected, largest_input=1000.0) != ""
