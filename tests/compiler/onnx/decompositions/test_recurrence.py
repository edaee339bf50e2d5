"""Recurrent layers: the same numbers as the layer itself, in every form that is covered, and one region a direction."""

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator
from support.model_comparison import Comparison, build, compare
from support.recurrent_programs import check_all_agree

import zkinfer as zk
from zkinfer.circuit.program import Delay
from zkinfer.circuit.qformat import quantize
from zkinfer.circuit.regions import find_regions
from zkinfer.compiler.calibration.float_model import FloatModel
from zkinfer.compiler.lowering.precision import Precision
from zkinfer.compiler.onnx.load import load_model
from zkinfer.errors import UnsupportedOperatorError
from zkinfer.typing import FloatArray

if TYPE_CHECKING:
    from collections.abc import Callable

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
STEPS, BATCH, INPUTS, HIDDEN = 4, 2, 3, 5
FINE = Precision(activation_bits=12, weight_bits=12, max_table_entries=1 << 14)


def parameters(op: str, directions: int, *, bias: bool = True, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    n = GATES[op] * HIDDEN
    tensors = {"w": rng.normal(size=(directions, n, INPUTS)), "r": rng.normal(size=(directions, n, HIDDEN)) / 2}
    return tensors | ({"b": rng.normal(size=(directions, 2 * n))} if bias else {})


def model_of(
    op: str,
    direction: str = "forward",
    attributes: str = "",
    *,
    bias: bool = True,
    initial: str = "none",
    layout: int = 0,
    steps: int = STEPS,
    lengths: str = "none",
    states: bool = True,
) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """The layer with all of its outputs, and inputs for it; the batch is the first axis of what comes in."""
    directions = 2 if direction == "bidirectional" else 1
    tensors = parameters(op, directions, bias=bias)
    rng = np.random.default_rng(1)
    names = ["h0", "c0"] if op == "LSTM" else ["h0"]
    shape = [BATCH, directions, HIDDEN]
    inputs, data, body = {"x": [BATCH, steps, INPUTS]}, {"x": rng.normal(size=(BATCH, steps, INPUTS))}, list[str]()
    x, given, types = "x", names if initial != "none" else [], {}
    outputs = ["y", "yh", "yc"][: 1 + len(names)] if states else ["y"]
    if not layout:
        body.append("t = Transpose<perm=[1, 0, 2]>(x)")
        x = "t"
    for name in given:
        values = rng.normal(size=shape) / 2 if initial != "zero" else np.zeros(shape)
        if initial == "computed":
            inputs[name], data[name] = shape, values
            body += [] if layout else [f"{name}t = Transpose<perm=[1, 0, 2]>({name})"]
        else:
            tensors[name] = values if layout else values.transpose(1, 0, 2)
    counts: np.ndarray = rng.integers(1, steps + 1, BATCH).astype(np.int32)
    if lengths == "constant":
        tensors["n"] = counts
    elif lengths == "computed":
        inputs["n"], data["n"], types["n"] = [BATCH], counts, TensorProto.INT32
    given = [name + ("t" if initial == "computed" and not layout else "") for name in given]
    n = "" if lengths == "none" else "n"
    arguments = ", ".join([x, "w", "r", "b" if bias else "", n, *given]).rstrip(", ")
    listed = f'hidden_size={HIDDEN}, direction="{direction}", layout={layout}{attributes}'
    body.append(f"{', '.join(outputs)} = {op}<{listed}>({arguments})")
    # The batch has to come first in every output.
    perms = [[2, 0, 1, 3], [1, 0, 2], [1, 0, 2]]
    body += [
        f"z{i} = {'Identity' if layout else f'Transpose<perm={p}>'}({o})"
        for i, (o, p) in enumerate(zip(outputs, perms, strict=False))
    ]
    model = build("\n".join(body), inputs, tensors, outputs=[f"z{i}" for i in range(len(outputs))], types=types)
    return model, {name: array.astype(np.int32 if name == "n" else np.float32) for name, array in data.items()}


def assert_same(*args: Any, **options: Any) -> None:
    model, data = model_of(*args, **options)
    reference = ReferenceEvaluator(model).run(None, data)
    normalized = load_model(model, batch=BATCH)
    assert not {node.op_type for node in normalized.graph} & set(GATES)
    runs = FloatModel(normalized).run([data[value.name or ""][None] for value in normalized.graph.inputs])
    for i, expected in enumerate(reference):
        np.testing.assert_allclose(runs[f"z{i}"][0], expected, atol=1e-5)


@given(
    op=st.sampled_from(list(GATES)),
    direction=st.sampled_from(["forward", "reverse"]),
    bias=st.booleans(),
    initial=st.sampled_from(["none", "zero", "constant", "computed"]),
)
@settings(max_examples=12)
def test_a_layer(op: str, direction: str, bias: bool, initial: str) -> None:
    assert_same(op, direction, bias=bias, initial=initial)


@pytest.mark.parametrize("initial", ["none", "constant"])
@pytest.mark.parametrize("bias", [False, True])
def test_a_gru_that_is_linear_before_the_reset(initial: str, bias: bool) -> None:
    assert_same("GRU", attributes=", linear_before_reset=1", initial=initial, bias=bias)


@pytest.mark.parametrize("op", list(GATES))
def test_both_directions_are_those_of_torch(op: str) -> None:
    torch = pytest.importorskip("torch")
    layer = {"LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU, "RNN": torch.nn.RNN}[op](INPUTS, HIDDEN, bidirectional=True)
    order = {"LSTM": [0, 3, 1, 2], "GRU": [1, 0, 2], "RNN": [0]}[op]

    def stacked(name: str) -> np.ndarray:
        directions = [getattr(layer, f"{name}_l0{suffix}").detach().numpy() for suffix in ("", "_reverse")]
        return np.stack([np.concatenate([np.split(d, GATES[op])[k] for k in order]) for d in directions])

    tensors = {"w": stacked("weight_ih"), "r": stacked("weight_hh")}
    tensors["b"] = np.concatenate([stacked("bias_ih"), stacked("bias_hh")], axis=1)
    linear = ", linear_before_reset=1" if op == "GRU" else ""
    body = f"""t = Transpose<perm=[1, 0, 2]>(x)
    y = {op}<hidden_size={HIDDEN}, direction="bidirectional"{linear}>(t, w, r, b)
    z = Transpose<perm=[2, 0, 1, 3]>(y)"""
    model = load_model(build(body, {"x": [BATCH, STEPS, INPUTS]}, tensors, outputs=["z"]), batch=BATCH)
    x = np.random.default_rng(0).normal(size=(BATCH, STEPS, INPUTS)).astype(np.float32)
    expected = layer(torch.from_numpy(x.transpose(1, 0, 2)))[0].detach().numpy().reshape(STEPS, BATCH, 2, HIDDEN)
    np.testing.assert_allclose(FloatModel(model).run([x[None]])["z"][0], expected.transpose(1, 0, 2, 3), atol=1e-5)


def assert_same_as_whole(body: str, tensors: dict[str, np.ndarray], **inputs: np.ndarray) -> None:
    """As onnxruntime's own layer, which knows more forms than the reference implementation."""
    shapes = {name: list(array.shape) for name, array in inputs.items()}
    types = {"n": TensorProto.INT32}
    outputs = ["z", "zh", "zc"] if "LSTM" in body else ["z", "zh"]
    model = build(body, shapes, tensors, outputs=outputs, types=types)
    reference = onnxruntime.InferenceSession(model.SerializeToString()).run(None, inputs)
    normalized = load_model(model, batch=BATCH)
    assert not {node.op_type for node in normalized.graph} & set(GATES)
    runs = FloatModel(normalized).run([inputs[value.name or ""][None] for value in normalized.graph.inputs])
    for name, expected in zip(outputs, reference, strict=True):
        np.testing.assert_allclose(runs[name][0], expected, atol=1e-5)


def batch_last(op: str, attributes: str, arguments: str) -> str:
    """A layer whose inputs and outputs have the batch first in front of it and behind it."""
    results = "y, h, c" if op == "LSTM" else "y, h"
    body = f"""t = Transpose<perm=[1, 0, 2]>(x)
    {results} = {op}<hidden_size={HIDDEN}{attributes}>(t, {arguments})
    z = Transpose<perm=[2, 0, 1, 3]>(y)
    zh = Transpose<perm=[1, 0, 2]>(h)"""
    return body + ("\n    zc = Transpose<perm=[1, 0, 2]>(c)" if op == "LSTM" else "")


def sequences(seed: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(BATCH, STEPS, INPUTS)).astype(np.float32)


@pytest.mark.parametrize("op", list(GATES))
def test_operator_set_13(op: str) -> None:
    """Its recurrent layers are those of operator set 7: without a layout."""
    body, tensors = batch_last(op, "", "w, r, b"), parameters(op, 1)
    outputs = ["z", "zh", "zc"] if op == "LSTM" else ["z", "zh"]
    models = [
        load_model(build(body, {"x": [BATCH, STEPS, INPUTS]}, tensors, outputs=outputs, opset=opset), batch=BATCH)
        for opset in (13, 14)
    ]
    assert [node.op_type for node in models[0].graph] == [node.op_type for node in models[1].graph]
    assert op not in {node.op_type for node in models[0].graph}


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("attributes", ["", ", input_forget=1"])
def test_peepholes_and_coupled_gates(direction: str, attributes: str) -> None:
    directions = 2 if direction == "bidirectional" else 1
    tensors = parameters("LSTM", directions)
    tensors["p"] = np.random.default_rng(2).normal(size=(directions, 3 * HIDDEN))
    tensors["s"] = np.random.default_rng(3).normal(size=(directions, BATCH, HIDDEN))
    body = batch_last("LSTM", f'{attributes}, direction="{direction}"', "w, r, b, , s, s, p")
    assert_same_as_whole(body, tensors, x=sequences())


@pytest.mark.parametrize("op", list(GATES))
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("lengths", [[1, 4], [3, 3]])
@pytest.mark.parametrize("computed", [False, True])
def test_sequences_of_several_lengths(op: str, direction: str, lengths: list[int], computed: bool) -> None:
    """Beyond its length a sequence gives zeros, and keeps its state."""
    directions, counts = 2 if direction == "bidirectional" else 1, np.array(lengths, dtype=np.int32)
    tensors = parameters(op, directions)
    tensors["s"] = np.random.default_rng(3).normal(size=(directions, BATCH, HIDDEN))
    body = batch_last(op, f', direction="{direction}"', "w, r, b, n, s")
    if computed:
        assert_same_as_whole(body, tensors, x=sequences(), n=counts)
    else:
        assert_same_as_whole(body, tensors | {"n": counts}, x=sequences())


def test_several_lengths_in_integers() -> None:
    tensors = parameters("GRU", 1)
    body = batch_last("GRU", "", "w, r, b, n")
    inputs = {"x": [BATCH, STEPS, INPUTS], "n": [BATCH]}
    model = build(body, inputs, tensors, outputs=["z", "zh"], types={"n": TensorProto.INT32})
    x = np.random.default_rng(3).normal(size=(40 * BATCH, STEPS, INPUTS))
    counts = np.random.default_rng(4).integers(1, STEPS + 1, 40 * BATCH)
    assert compare(model, x, counts, batch=BATCH, precision=FINE).error <= 0.02


@pytest.mark.parametrize(
    "attributes",
    [
        ', activations=["Relu"]',
        ', activations=["HardSigmoid"], activation_alpha=[0.3], activation_beta=[0.4]',
        ", clip=0.5",
    ],
)
def test_other_activations_and_clipping(attributes: str) -> None:
    """Against the formula: `h' = f(W x + R h + b)`."""
    model, data = model_of("RNN", attributes=attributes)
    tensors = {name: array[0].astype(np.float32) for name, array in parameters("RNN", 1).items()}
    activations: dict[str, Callable[[FloatArray], FloatArray]] = {
        "Relu": lambda v: np.maximum(v, 0),
        "Hard": lambda v: np.clip(0.3 * v + 0.4, 0, 1),
        "clip": lambda v: np.tanh(np.clip(v, -0.5, 0.5)),
    }
    f = activations[next(key for key in activations if key in attributes)]
    h = np.zeros((BATCH, HIDDEN))
    for t in range(STEPS):
        h = f(data["x"][:, t] @ tensors["w"].T + h @ tensors["r"].T + tensors["b"][:HIDDEN] + tensors["b"][HIDDEN:])
    normalized = load_model(model, batch=BATCH)
    np.testing.assert_allclose(FloatModel(normalized).run([data["x"][None]])["z1"][0][:, 0], h, atol=1e-5)


def in_integers(op: str, direction: str = "forward", **form: Any) -> tuple[Comparison, list[np.ndarray]]:
    """The layer beside its float model, and the samples of each of its inputs."""
    model, given = model_of(op, direction, **form)
    rng = np.random.default_rng(3)
    steps = given["x"].shape[1]
    samples = [
        rng.integers(1, steps + 1, 12 * BATCH) if name == "n" else rng.normal(size=(12 * BATCH, *array.shape[1:]))
        for name, array in given.items()
    ]
    return compare(model, *samples, batch=BATCH, precision=FINE), samples


@pytest.mark.parametrize("op", list(GATES))
@pytest.mark.parametrize(
    "form",
    [
        {},
        {"direction": "bidirectional", "initial": "computed"},
        {"direction": "reverse", "initial": "constant", "layout": 1},
        {"lengths": "computed"},
        {"lengths": "constant", "direction": "bidirectional"},
    ],
    ids=lambda form: "-".join(map(str, form.values())) or "plain",
)
def test_the_nodes_are_those_of_one_step_however_many_there_are(op: str, form: dict[str, Any]) -> None:
    """There is one region for each direction, and errors do not grow from step to step."""
    few, many = (in_integers(op, steps=steps, **form)[0] for steps in (3, 17))
    # Formats are those of each model's data: a lookup between two of them is there or is not.
    assert abs(len(few.program.nodes) - len(many.program.nodes)) <= 4
    directions = 2 if form.get("direction") == "bidirectional" else 1
    for result, steps in ((few, 3), (many, 17)):
        assert [region.steps for region in find_regions(result.program)] == [steps] * directions
        assert result.error <= 0.02


def test_a_single_step_is_no_recurrence() -> None:
    assert not find_regions(in_integers("LSTM", steps=1, initial="computed")[0].program)


def test_a_memory_that_is_no_output_is_passed_on() -> None:
    """Of an LSTM's memory after a step the graph reads nothing: the next step does."""
    result, _ = in_integers("LSTM", states=False)
    delays = [node for node in result.program.nodes if isinstance(node, Delay)]
    assert len(delays) == 2
    assert result.error <= 0.02


def test_a_memory_that_its_own_step_reads_in_another_format() -> None:
    """Through peepholes. It is small after every step, because it is forgotten, and large before the first."""
    tensors = parameters("LSTM", 1)
    tensors["b"][0, 2 * HIDDEN : 3 * HIDDEN] = -20
    tensors["p"] = np.random.default_rng(2).normal(size=(1, 3 * HIDDEN)) / 8
    tensors["s"] = np.full((1, BATCH, HIDDEN), 0.5)
    tensors["c"] = np.full((1, BATCH, HIDDEN), 8.0)
    body, shapes = batch_last("LSTM", "", "w, r, b, , s, c, p"), {"x": [BATCH, STEPS, INPUTS]}
    model = build(body.replace("h, c =", "h, m =").replace("(c)", "(m)"), shapes, tensors, outputs=["z", "zh", "zc"])
    result = compare(
        model, np.random.default_rng(3).normal(size=(12 * BATCH, *shapes["x"][1:])), batch=BATCH, precision=FINE
    )
    formats = {node.out.label: node.out.frac_bits for node in result.lookups}
    assert formats["y/direction0/step/memory"] > formats["y/direction0/after1"]
    assert result.error <= 0.03


@given(
    op=st.sampled_from(list(GATES)),
    direction=st.sampled_from(["forward", "reverse", "bidirectional"]),
    steps=st.integers(1, 50),
    initial=st.sampled_from(["none", "zero", "constant", "computed"]),
    lengths=st.sampled_from(["none", "constant", "computed"]),
)
@settings(max_examples=10, deadline=None)
def test_everything_that_runs_a_layer_computes_the_same_integers(
    op: str, direction: str, steps: int, initial: str, lengths: str
) -> None:
    """The evaluator, the executor, and the program without regions, which is the one that ezkl proves."""
    result, samples = in_integers(op, direction, steps=steps, initial=initial, lengths=lengths)
    assert result.error <= 0.02
    program, weights = result.program, result.lowered.weights
    runs = [array.reshape(-1, BATCH, *array.shape[1:])[:2] for array in samples]
    integers = [quantize(run, tensor) for run, tensor in zip(runs, program.inputs, strict=True)]
    check_all_agree(program, weights, integers)


@pytest.mark.parametrize("op", list(GATES))
def test_layers_of_torch_become_regions(op: str) -> None:
    torch = pytest.importorskip("torch")
    layer = {"LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU, "RNN": torch.nn.RNN}[op]

    class Last(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer(INPUTS, HIDDEN, num_layers=2, batch_first=True)

        def forward(self, x: Any) -> Any:
            return self.layer(x)[0][:, -1]

    x = np.random.default_rng(3).normal(size=(8, 9, INPUTS)).astype(np.float32)
    circuit = zk.compile(Last(), x, precision=FINE, exporter="torchscript")
    assert [region.steps for region in find_regions(circuit.program)] == [9, 9]
    assert circuit.fidelity is not None
    assert not circuit.fidelity.left


class TestRefused:
    def refused(self, message: str, op: str, body: str, tensors: dict[str, np.ndarray], **inputs: list[int]) -> None:
        model = build(body, {"x": [1, 1, INPUTS], **inputs}, tensors)
        with pytest.raises(UnsupportedOperatorError, match=message):
            compare(model, *(np.ones(shape) for shape in ([8, *s[1:]] for s in [[1, 1, INPUTS], *inputs.values()])))

    @pytest.mark.parametrize("op", list(GATES))
    def test_sequences_without_a_step(self, op: str) -> None:
        body = f"y = {op}<hidden_size={HIDDEN}>(x, w, r, b, n)"
        tensors = {**parameters(op, 1), "n": np.array([0], dtype=np.int32)}
        self.refused("sequences of length 0 alone.*leave the layer out", op, body, tensors)

    def test_activations_that_are_no_operators(self) -> None:
        body = f'y = RNN<hidden_size={HIDDEN}, activations=["Affine"]>(x, w, r, b)'
        self.refused("activations that are operators", "RNN", body, parameters("RNN", 1))
