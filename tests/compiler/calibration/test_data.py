"""Samples from loaders and tables: the same circuits as from arrays, and columns that go by their names."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
import pytest
from sklearn.linear_model import LogisticRegression
from support.model_comparison import build
from support.tables import table

import zkinfer as zk
from zkinfer.compiler.calibration import data
from zkinfer.compiler.calibration.data import inputs_of_module, is_loader, loaded
from zkinfer.errors import InvalidInputError, ShapeError
from zkinfer.typing import Array
from zkinfer.verifier import verify

torch = pytest.importorskip("torch")
DataLoader, TensorDataset = torch.utils.data.DataLoader, torch.utils.data.TensorDataset

X = np.random.default_rng(0).uniform(-1, 1, (40, 3)).astype(np.float32)


def weighted() -> onnx.ModelProto:
    """A model in which every feature counts differently."""
    return build("y = MatMul(x, w)", {"x": ["n", 3]}, {"w": [[1.0], [10.0], [100.0]]})


def added() -> onnx.ModelProto:
    return build("y = Add(a, b)", {"a": ["n", 3], "b": ["n", 3]})


def digest(calibration: Any) -> str:
    return zk.compile(weighted(), calibration).digest


class TestLoaders:
    @pytest.mark.parametrize(
        "loader",
        [
            lambda: DataLoader(TensorDataset(torch.tensor(X), torch.zeros(40)), batch_size=16),
            lambda: DataLoader([{"x": row} for row in X], batch_size=7),
            lambda: (X[start : start + 9] for start in range(0, 40, 9)),
            lambda: iter([X[:30], X[30:]]),
            lambda: iter(X),
            lambda: map(torch.tensor, X),
        ],
        ids=["with labels", "mappings", "generator", "iterator", "samples", "map of samples"],
    )
    def test_give_the_circuit_of_their_samples(self, loader: Callable[[], Any]) -> None:
        assert digest(loader()) == digest(X)

    def test_give_several_inputs(self) -> None:
        pairs = DataLoader(TensorDataset(torch.tensor(X), torch.tensor(X[::-1].copy())), batch_size=16)
        assert zk.compile(added(), pairs).digest == zk.compile(added(), [X, X[::-1]]).digest

    def test_serve_modules(self) -> None:
        module = torch.nn.Linear(3, 2)
        pairs = DataLoader(TensorDataset(torch.tensor(X), torch.zeros(40)), batch_size=16)
        assert zk.compile(module, pairs).digest == zk.compile(module, X).digest

    def test_that_are_exhausted_are_refused(self) -> None:
        used = iter([X])
        next(used)
        with pytest.raises(InvalidInputError, match="no batches"):
            digest(used)

    def test_that_never_end_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(data, "MAX_LOADED_BYTES", 1 << 16)

        def forever() -> Iterator[Array]:
            while True:
                yield X

        with pytest.raises(InvalidInputError, match="some of them"):
            digest(forever())

    @pytest.mark.parametrize(
        ("batches", "message"),
        [
            ([X, X[:, :2]], r"different shapes: \(40, 3\) and \(40, 2\)"),
            ([[X, X], [X]], "different parts"),
            ([{"x": X}, {"z": X}], "different parts"),
            ([np.float32(1.0)], "single numbers"),
            (["text"], "a text is not an array"),
        ],
    )
    def test_of_something_else_are_refused(self, batches: list[Any], message: str) -> None:
        with pytest.raises(InvalidInputError, match=message):
            loaded(iter(batches), None)

    @pytest.mark.parametrize("other", [X, torch.tensor(X), [X], (X,), {"x": X}, "x", b"x", range(3), {1.0}, 5, None])
    def test_are_nothing_else(self, other: Any) -> None:
        assert not is_loader(other)
        assert not is_loader(table(X, "a", "b", "c"))

    def test_what_a_module_needs_is_counted(self) -> None:
        class Many(torch.nn.Module):  # type: ignore[name-defined,misc]
            def forward(self, x: Any, y: Any, scale: float = 1.0) -> Any:
                return x + scale * y

        class Variadic(torch.nn.Module):  # type: ignore[name-defined,misc]
            def forward(self, *x: Any) -> Any:
                return sum(x)

        assert inputs_of_module(Many()) == 2
        assert inputs_of_module(Variadic()) is None


class TestTables:
    def test_give_the_circuit_of_their_columns(self) -> None:
        circuit = zk.compile(weighted(), table(X, "a", "b", "c"))
        assert circuit.digest == digest(X)
        assert circuit.columns == ("a", "b", "c")

    def test_columns_go_by_their_names(self) -> None:
        circuit = zk.compile(weighted(), table(X, "a", "b", "c"))
        turned = table(np.c_[X[:, 2], X[:, 1] * 7, X[:, 0], X[:, 1]], "c", "label", "a", "b")
        np.testing.assert_array_equal(circuit.run(turned), circuit.run(X))
        assert circuit.report(turned) == circuit.report(X)

    def test_the_file_of_a_circuit_keeps_them(self) -> None:
        circuit = zk.compile(weighted(), table(X, "a", "b", "c"))
        loaded_again = zk.Circuit.from_bytes(circuit.to_bytes())
        np.testing.assert_array_equal(loaded_again.run(table(X[:, ::-1], "c", "b", "a")), circuit.run(X))

    def test_a_missing_column_is_named(self) -> None:
        circuit = zk.compile(weighted(), table(X, "a", "b", "c"))
        with pytest.raises(InvalidInputError, match="lacks 1 of 3 columns: 'b'"):
            circuit.run(table(X, "a", "c", "x"))

    def test_a_circuit_that_knows_no_columns_refuses_a_table(self) -> None:
        with pytest.raises(InvalidInputError, match="knows no columns"):
            zk.compile(weighted(), X).run(table(X, "a", "b", "c"))

    def test_an_estimator_knows_its_own(self) -> None:
        estimator = LogisticRegression().fit(X, X[:, 0] > 0)
        estimator.feature_names_in_ = np.array(["a", "b", "c"], dtype=object)
        turned = table(X[:, [2, 0, 1]], "c", "a", "b")
        circuit = zk.compile(estimator, turned)
        assert circuit.columns == ("a", "b", "c")
        for mine, same in zip(circuit.run(turned), circuit.run(X), strict=True):
            np.testing.assert_array_equal(mine, same)

    def test_inputs_of_one_number_each_are_columns(self) -> None:
        model = build("y = Sub(left, right)", {"left": ["n", 1], "right": ["n", 1]})
        both = table(X[:, :2], "right", "left")
        circuit = zk.compile(model, both)
        np.testing.assert_allclose(np.asarray(circuit.run(both)).ravel(), X[:, 1] - X[:, 0], atol=1e-3)

    def test_texts_are_refused_by_their_column(self) -> None:
        names = table(np.array([["1", "2", "x"]] * 20), "a", "b", "c")
        with pytest.raises(InvalidInputError, match="column 'a': "):
            zk.compile(weighted(), names)

    def test_keys_and_verifiers_take_arrays(self) -> None:
        circuit = zk.compile(weighted(), table(X, "a", "b", "c"))
        keys, turned = zk.setup(circuit, proofs=1), table(X[:1, ::-1], "c", "b", "a")
        with pytest.raises(InvalidInputError, match=r"circuit\.arrays"):
            zk.prove(keys, turned)
        proof = zk.prove(keys, circuit.arrays(turned))
        assert verify(proof, keys.commitment, inputs=X[:1]).runs == 1


def test_a_batch_without_samples_axis_is_refused() -> None:
    with pytest.raises(ShapeError):
        loaded(iter([np.float32(3.0)]), 1)
