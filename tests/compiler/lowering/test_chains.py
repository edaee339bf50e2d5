"""Long chains of layers: the work of the compiler, counted, grows with the number of layers alone."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.model_comparison import build, compare, grid

import zkinfer as zk
from zkinfer.circuit.program import View
from zkinfer.compiler.approx.expressions import Function
from zkinfer.compiler.lowering.builder import MAX_STEPS
from zkinfer.compiler.lowering.emitter import MAX_FUSED_NODES
from zkinfer.compiler.lowering.precision import NATIVE

W = {"w": np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]}


def chain(layer: Callable[[int], str], length: int, **constants: object) -> object:
    """`h0 = x w`, then so many layers, each from `h{k}` to `h{k + 1}`."""
    body = "\n".join(["h0 = MatMul(x, w)", *(layer(k) for k in range(length)), f"y = Identity(h{length})"])
    return build(body, {"x": [1, 4]}, {**W, **constants}, opset=18)


def silu(k: int) -> str:
    return f"s{k} = Sigmoid(h{k})\nh{k + 1} = Mul(h{k}, s{k})"


def elementwise(k: int) -> str:
    return f"h{k + 1} = {('Relu', 'Tanh')[k % 2]}(h{k})"


@pytest.mark.parametrize("length", [10, 30])
def test_a_lookup_takes_the_place_of_an_expression_that_is_full(length: int) -> None:
    result = compare(chain(silu, length), grid(32, 4, frac_bits=7), precision=NATIVE)
    assert len(result.lookups) <= -(-2 * length // (MAX_FUSED_NODES - 4)) + 1
    assert result.error <= 2e-3


def test_hundreds_of_functions_in_a_row() -> None:
    x = grid(32, 4, frac_bits=7).astype(np.float32)
    circuit, h = zk.compile(chain(elementwise, 600), x), x @ W["w"]
    for k in range(600):
        h = np.tanh(h) if k % 2 else np.maximum(h, 0)
    np.testing.assert_allclose(circuit.run(x), h, atol=2e-3)
    assert len(circuit.program.nodes) <= 2 + 600 // (MAX_FUSED_NODES - 4) + 1


def test_a_pair_is_fused_again_behind_that_lookup() -> None:
    """Of `h * sigmoid(h)` with h made narrow, both factors are functions of the narrow form: no product is needed."""
    result = compare(chain(silu, 30), grid(32, 4, frac_bits=7), precision=NATIVE)
    assert len(result.program.nodes) == len(result.lookups) + 1


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Max"])
def test_two_functions_of_one_value_that_do_not_fit_together_are_combined_as_tensors(op: str) -> None:
    long = "\n".join(f"{name}{k + 1} = {f}({name}{k})" for name, f in (("a", "Tanh"), ("b", "Atan")) for k in range(25))
    body = f"a0 = MatMul(x, w)\nb0 = Identity(a0)\n{long}\ny = {op}(a25, b25)"
    result = compare(build(body, {"x": [1, 4]}, W), grid(32, 4, frac_bits=7), precision=NATIVE)
    assert result.error <= 1e-3


def evaluated(model: object, x: np.ndarray) -> int:
    """How many nodes of expressions are evaluated while a model is compiled."""
    count, evaluate = 0, Function.evaluate

    def counting(self: Function, *arguments: Any) -> object:
        nonlocal count
        count += len(self.nodes)
        return evaluate(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Function, "evaluate", counting)
        zk.compile(model, x, precision="ezkl")
    return count


@pytest.mark.parametrize("layer", [silu, elementwise])
def test_expressions_are_evaluated_in_proportion_to_the_layers(layer: Callable[[int], str]) -> None:
    x = grid(16, 4, frac_bits=7).astype(np.float32)
    first, second, third = (evaluated(chain(layer, length), x) for length in (40, 80, 120))
    # A full expression costs more nodes than one that grows: two of them at most begin or end within a part.
    assert third - second <= 1.5 * (second - first) <= 1.5 * 2 * first


def calls(model: object, x: np.ndarray) -> int:
    """How many Python functions are called while a model is compiled."""
    count = 0

    def counted(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(counted)
    try:
        zk.compile(model, x)
    finally:
        sys.setprofile(None)
    return count


LAYERS: dict[str, Callable[[int], str]] = {
    "Concat and Slice": lambda k: f"c{k} = Concat<axis=1>(h{k}, h{k})\nh{k + 1} = Slice(c{k}, start, end, axis)",
    "Pad and Slice": lambda k: f"c{k} = Pad(h{k}, pads)\nh{k + 1} = Slice(c{k}, one, five, axis)",
    "Reshape and Transpose": lambda k: (
        f"r{k} = Reshape(h{k}, square)\nt{k} = Transpose<perm=[0, 2, 1]>(r{k})\nh{k + 1} = Reshape(t{k}, flat)"
    ),
    "Mul": lambda k: f"h{k + 1} = Mul(h{k}, factor)",
    "MatMul": lambda k: f"h{k + 1} = MatMul(h{k}, w)",
}
CONSTANTS = {
    "start": np.array([0]),
    "end": np.array([4]),
    "axis": np.array([1]),
    "one": np.array([1]),
    "five": np.array([5]),
    "pads": np.array([0, 0, 0, 1]),
    "square": np.array([-1, 2, 2]),
    "flat": np.array([-1, 4]),
    "factor": np.array(0.99),
}


@pytest.mark.parametrize("name", LAYERS)
def test_the_compiler_makes_as_many_calls_for_a_late_layer_as_for_an_early_one(name: str) -> None:
    x = grid(16, 4, frac_bits=7).astype(np.float32)
    models = [chain(LAYERS[name], length, **CONSTANTS) for length in (25, 50, 75)]
    zk.compile(models[0], x)
    first, second, third = (calls(model, x) for model in models)
    assert third - second <= 1.1 * (second - first)


def test_views_of_a_long_chain_do_not_repeat_its_steps() -> None:
    result = compare(chain(LAYERS["Pad and Slice"], 200, **CONSTANTS), grid(16, 4, frac_bits=7), precision=NATIVE)
    steps = [len(term.steps) for node in result.program.nodes if isinstance(node, View) for term in node.terms]
    assert max(steps) <= MAX_STEPS
    assert sum(steps) <= 3 * 200
    assert result.error <= 1e-3
