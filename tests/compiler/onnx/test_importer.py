"""Import as a whole: what comes back, what is secret, what is refused, and that it is the same every time."""

from dataclasses import replace

import msgspec
import numpy as np
import onnx
import onnx_ir
import pytest
from support.model_comparison import build, compare, grid

from zkinfer.circuit.encoding import encode_program
from zkinfer.circuit.evaluate import evaluate
from zkinfer.circuit.program import Einsum, Lookup, View
from zkinfer.circuit.qformat import frac_bits_of, quantize
from zkinfer.compiler.calibration.calibrate import Calibration, TensorStats, calibrate
from zkinfer.compiler.lowering.activation import Activation, Constant
from zkinfer.compiler.lowering.emitter import Emitter
from zkinfer.compiler.lowering.precision import EZKL, Precision
from zkinfer.compiler.onnx import registry
from zkinfer.compiler.onnx.importer import import_model
from zkinfer.compiler.onnx.load import load_model
from zkinfer.errors import (
    BoundsError,
    InvalidInputError,
    NotFiniteError,
    UnsupportedOperatorError,
)

RNG = np.random.default_rng(3)
MLP = """h = Gemm(x, w, b)
r = Relu(h)
y = Gemm(r, v, c)"""
WEIGHTS = {
    "w": RNG.normal(size=(8, 6)),
    "b": RNG.normal(size=6),
    "v": RNG.normal(size=(6, 3)),
    "c": RNG.normal(size=3),
}


class TestProgram:
    def setup_method(self) -> None:
        self.result = compare(build(MLP, {"x": [1, 8]}, WEIGHTS), grid(200, 8))

    def test_of_two_layers_is_two_products_two_biases_and_one_lookup(self) -> None:
        kinds = [type(node) for node in self.result.program.nodes]
        assert kinds == [Einsum, View, Lookup, Einsum, View]

    def test_stays_close_to_the_float_model(self) -> None:
        assert self.result.error <= 0.02 * np.abs(self.result.floats[0]).max()

    def test_keeps_its_weights_out_of_the_public_part(self) -> None:
        assert {tensor.label for tensor in self.result.program.weights} == {"w", "b", "v", "c"}
        # The hidden units in another order: other weights, and not one byte of the program is different.
        order = RNG.permutation(6)
        w, b, v, c = (WEIGHTS[name] for name in "wbvc")
        other = {"w": w[:, order], "b": b[order], "v": v[order], "c": c}
        again = compare(build(MLP, {"x": [1, 8]}, other), grid(200, 8))
        assert encode_program(again.program) == encode_program(self.result.program)
        assert not np.array_equal(again.lowered.weights[0], self.result.lowered.weights[0])

    def test_names_the_tensors_that_it_holds(self) -> None:
        assert [layer.name for layer in self.result.lowered.layers] == ["h", "r", "y"]

    def test_layers_read_as_the_float_tensors(self) -> None:
        lowered = self.result.lowered
        x = grid(200, 8)
        model = load_model(build(MLP, {"x": [1, 8]}, WEIGHTS, outputs=["h", "r", "y"]), batch=1)
        values = evaluate(lowered.program, lowered.weights, [quantize(x[:, None], lowered.program.inputs[0])])
        floats = calibrate(model, x.astype(np.float32)).tensors
        for layer in lowered.layers:
            real = layer.read(values[layer.value], frac_bits_of(lowered.program.tensor(layer.value)))
            assert real.max() == pytest.approx(floats[layer.name].hi, rel=0.02)
            assert real.min() == pytest.approx(floats[layer.name].lo, rel=0.02, abs=0.02)

    def test_says_where_a_layer_saturates(self) -> None:
        saturation = {layer.name: layer.saturation for layer in self.result.lowered.layers}
        assert saturation["h"] is None
        assert saturation["y"] is None
        assert saturation["r"] is not None
        assert saturation["r"][0] == 0


def test_a_layer_with_a_factor_pending_is_read_through_it() -> None:
    body = """m = ReduceMean<axes=[1]>(x)
    n = Neg(m)
    y = Sigmoid(n)"""
    x = grid(50, 3)
    result = compare(build(body, {"x": [1, 3]}), x)
    layers = {layer.name: layer for layer in result.lowered.layers}
    values = evaluate(result.program, result.lowered.weights, [quantize(x[:, None], result.program.inputs[0])])
    layer = layers["m"]
    read = layer.read(values[layer.value], frac_bits_of(result.program.tensor(layer.value)))
    np.testing.assert_allclose(read[:, 0, 0], x.mean(axis=1), atol=1e-12)
    assert layers["n"].scale == pytest.approx(-1 / 3)


def test_a_batch_is_one_program() -> None:
    result = compare(build(MLP, {"x": [5, 8]}, WEIGHTS), grid(200, 8), batch=5)
    assert result.program.inputs[0].shape == (5, 8)
    assert result.program.output_tensors[0].shape == (5, 3)


def test_several_inputs_and_outputs_keep_their_order() -> None:
    body = """p = Add(x, z)
    q = Sub(x, z)"""
    model = build(body, {"z": [1, 3], "x": [1, 3]}, outputs=["q", "p"])
    result = compare(model, grid(8, 3, seed=1), grid(8, 3, seed=2))
    assert [tensor.label for tensor in result.program.inputs] == ["z", "x"]
    assert [tensor.label for tensor in result.program.output_tensors] == ["q", "p"]
    assert result.error == 0


def test_a_wide_product_saturates_where_calibration_ends() -> None:
    body = """h = Gemm(x, w)
    r = Relu(h)
    y = Gemm(r, v)"""
    tensors = {"w": np.ones((8, 1), dtype=np.float32), "v": np.ones((1, 1), dtype=np.float32)}
    # On this data the sum of the elements is 4; it could be 32.
    x = np.eye(8) * 4
    result = compare(build(body, {"x": [1, 8]}, tensors), x)
    program = result.program
    top = evaluate(program, result.lowered.weights, [np.full((1, 1, 8), program.inputs[0].hi)])[program.outputs[0]]
    assert 0 < top.item() * result.units[0] < 2 * result.floats[0].max()


@pytest.mark.parametrize("bits", [4, 6, 12, 16])
def test_more_bits_are_closer(bits: int) -> None:
    precision = Precision(activation_bits=bits, weight_bits=bits, max_table_entries=1 << max(bits, 11))
    result = compare(build(MLP, {"x": [1, 8]}, WEIGHTS), grid(200, 8, frac_bits=5), precision=precision)
    assert result.error <= 8 * 2.0**-bits * np.abs(result.floats[0]).max()


class TestRefused:
    def test_an_operator_that_is_not_lowered(self) -> None:
        message = r"node 'tangent' \(ai.onnx.Tan, opset 17\): the operator is not supported"
        with pytest.raises(UnsupportedOperatorError, match=message):
            compare(build("[tangent] y = Tan(x)", {"x": [1, 4]}), grid(8, 4))

    def test_an_output_that_a_lowering_does_not_give(self, monkeypatch: pytest.MonkeyPatch) -> None:
        all_outputs = registry.find("", "TopK", 17)

        def only_first(g: Emitter, X: Activation, K: Constant, *, axis: int = -1) -> Activation:
            results = all_outputs.handler(g, X, K, axis=axis)
            assert isinstance(results, tuple)
            assert isinstance(results[0], Activation)
            return results[0]

        monkeypatch.setitem(registry._operators, ("", "TopK", 11), replace(all_outputs, handler=only_first))
        call, tensors = "[top] v, i = TopK(x, k)", {"k": np.array([1])}
        assert compare(build(call, {"x": [1, 4]}, tensors, outputs=["v"]), grid(8, 4)).error == 0
        both = build(call, {"x": [1, 4]}, tensors, outputs=["v", "i"], integer_outputs=["i"])
        with pytest.raises(UnsupportedOperatorError, match=r"node 'top'.*output 'i' is not supported; only the first"):
            compare(both, grid(8, 4))

    def test_a_table_that_cannot_resolve_the_data(self) -> None:
        # The weights cancel on the data, so that what is proven is far from what is seen.
        body = """h = MatMul(x, w)
        y = Relu(h)"""
        w = np.concatenate([np.ones(64), -np.ones(64)])[:, None]
        x = np.repeat(grid(40, 1, lo=-127), 128, axis=1) + np.random.default_rng(0).integers(0, 2, (40, 128)) / 16
        with pytest.raises(BoundsError, match=r"y: on calibration data .*max_table_entries=\d+") as caught:
            compare(build(body, {"x": [1, 128]}, {"w": w.astype(np.float32)}), x)
        # What the message advises works.
        advised = int(str(caught.value).partition("max_table_entries=")[2].split()[0])
        result = compare(
            build(body, {"x": [1, 128]}, {"w": w.astype(np.float32)}),
            x,
            precision=msgspec.structs.replace(EZKL, max_table_entries=advised),
        )
        assert result.error <= 0.1

    def test_an_input_of_another_type(self) -> None:
        model = build("f = Cast<to=1>(c)\ny = Neg(f)", {"c": [1, 4]}, types={"c": onnx.TensorProto.INT4}, opset=21)
        normalized = load_model(model, batch=1)
        calibration = Calibration({"c": TensorStats(0.0, 1.0, 1.0, (), (), 4, binary=True)}, 1)
        with pytest.raises(UnsupportedOperatorError, match="input 'c' holds INT4; supported are float16"):
            import_model(normalized, calibration, EZKL)

    def test_the_calibration_of_another_model(self) -> None:
        one = load_model(build("y = Relu(x)", {"x": [1, 4]}), batch=1)
        other = load_model(build("z = Neg(x)", {"x": [1, 4]}, outputs=["z"]), batch=1)
        with pytest.raises(InvalidInputError, match="knows no tensor 'z': it is of another model"):
            import_model(other, calibrate(one, grid(8, 4).astype(np.float32)), EZKL)

    def test_a_weight_that_is_not_finite(self) -> None:
        model = load_model(build("y = MatMul(x, w)", {"x": [1, 2]}, {"w": np.ones((2, 2))}), batch=1)
        calibration = calibrate(model, grid(8, 2).astype(np.float32))
        model.graph.initializers["w"].const_value = onnx_ir.tensor(np.array([[1, 2], [np.inf, 4]], dtype=np.float32))
        with pytest.raises(NotFiniteError, match="'w' holds NaN or infinity"):
            import_model(model, calibration, EZKL)


class TestConstants:
    @pytest.mark.parametrize("size", [4, 63, 64, 65, 512])
    def test_elements_of_a_long_axis_are_gathered(self, size: int) -> None:
        """ONNX's reference evaluator fails from 64 elements on."""
        body = """t = GatherElements<axis=1>(d, i)
        f = Cast<to=1>(t)
        y = Add(x, f)"""
        table, index = np.arange(size)[None] % 7, np.array([[0, 1, size - 1, -1]])
        model = build(body, {"x": [1, 4]}, {"d": table, "i": index})
        result = compare(model, grid(20, 4))
        assert result.error == 0
        np.testing.assert_array_equal(result.fixed[0], grid(20, 4)[:, None] + np.take_along_axis(table, index, 1))

    def test_rows_that_such_elements_choose(self) -> None:
        """The types of tokens, as exporters write them: gathered from a buffer of 512, and looked up."""
        body = """t = GatherElements<axis=1>(d, i)
        e = Gather(w, t)
        y = Add(x, e)"""
        weights = {"d": np.arange(512)[None] % 2, "i": np.arange(4)[None], "w": grid(2, 3)}
        result = compare(build(body, {"x": [1, 4, 3]}, weights), grid(20, 4, 3))
        np.testing.assert_array_equal(result.fixed[0], grid(20, 4, 3)[:, None] + grid(2, 3)[[0, 1, 0, 1]])
