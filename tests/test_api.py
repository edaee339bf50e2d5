"""The public interface, as its users meet it: what both backends do, then what each does alone."""

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import zkinfer as zk
from zkinfer.backend import PROOF_SIZES
from zkinfer.errors import (
    ArtifactError,
    BudgetError,
    InvalidInputError,
    ResourceError,
    ShapeError,
    VerificationError,
    ZkinferError,
)
from zkinfer.ezkl.estimate import EzklEstimate
from zkinfer.native.estimate import NativeEstimate
from zkinfer.typing import Array


def two_layers(batch: object = "n") -> bytes:
    """A GELU model of 4 inputs and 2 outputs, with an open batch."""
    rng = np.random.default_rng(0)
    weights = {
        "w1": rng.normal(size=(6, 4)).astype(np.float32) / 2,
        "b1": rng.normal(size=6).astype(np.float32) / 4,
        "w2": rng.normal(size=(2, 6)).astype(np.float32) / 2,
        "b2": rng.normal(size=2).astype(np.float32) / 4,
    }
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "w1", "b1"], ["h"], transB=1),
            helper.make_node("Gelu", ["h"], ["a"]),
            helper.make_node("Gemm", ["a", "w2", "b2"], ["y"], transB=1),
        ],
        "two_layers",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 2])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return bytes(model.SerializeToString())


@pytest.fixture(scope="module")
def calibration() -> Array:
    return np.random.default_rng(1).uniform(-1, 1, (64, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def circuit(calibration: Array) -> "zk.Circuit":
    return zk.compile(two_layers(), calibration, precision="ezkl")


@pytest.fixture(scope="module")
def keys(circuit: "zk.Circuit") -> "zk.Keys":
    """Of the ezkl backend."""
    return zk.setup(circuit, backend="ezkl", proofs=16)


@pytest.fixture(scope="module")
def native(circuit: "zk.Circuit") -> "zk.Keys":
    """Of the native backend, which is the default."""
    return zk.setup(circuit, proofs=16)


@pytest.mark.parametrize("backend", ["sumcheck", "ezkl"])
def test_from_model_to_a_verified_answer_through_files(
    circuit: "zk.Circuit",
    calibration: Array,
    tmp_path: Path,
    backend: str,
) -> None:
    keys = zk.setup(circuit, backend=backend, folder=tmp_path / "keys", proofs=4)
    keys.commitment.save(tmp_path / "model.zkc")
    x = calibration[:1]
    zk.prove(zk.Keys.load(tmp_path / "keys"), x, context=b"nonce").save(tmp_path / "proof.zkp")
    result = zk.verify(tmp_path / "proof.zkp", tmp_path / "model.zkc", inputs=x, context=b"nonce")
    np.testing.assert_array_equal(result.outputs, circuit.run(x))
    assert result.fingerprint == keys.commitment.fingerprint
    assert keys.proofs_left == 3


def test_the_native_backend_is_the_default(native: "zk.Keys") -> None:
    assert native.backend == native.commitment.backend == "native"


def test_one_native_proof_covers_any_number_of_samples(
    circuit: "zk.Circuit",
    native: "zk.Keys",
    calibration: Array,
) -> None:
    for count in (1, 2, 11):
        proof = zk.prove(native, calibration[:count])
        np.testing.assert_array_equal(proof.outputs, circuit.run(calibration[:count]))
        assert zk.verify(proof, native.commitment, inputs=calibration[:count]).runs == count


def test_a_native_proof_covers_whole_batches(calibration: Array) -> None:
    circuit = zk.compile(two_layers(), calibration, batch=3, precision="ezkl")
    keys = zk.setup(circuit, proofs=2)
    proof = zk.prove(keys, calibration[:6])
    np.testing.assert_array_equal(proof.outputs, circuit.run(calibration[:6]))
    assert zk.verify(proof, keys.commitment, inputs=calibration[:6]).runs == 2
    with pytest.raises(ShapeError, match="multiple of 3 samples"):
        zk.prove(keys, calibration[:4])
    assert keys.proofs_left == 1


def test_both_backends_give_one_answer(
    circuit: "zk.Circuit",
    native: "zk.Keys",
    keys: "zk.Keys",
    calibration: Array,
) -> None:
    x = calibration[5:6]
    assert zk.prove(native, x).output_tensors == zk.prove(keys, x).output_tensors
    assert native.commitment.program_digest == keys.commitment.program_digest


def test_inputs_and_outputs_may_be_hidden(native: "zk.Keys", calibration: Array) -> None:
    proof = zk.prove(native, calibration[:2], private_inputs=True)
    result = zk.verify(proof, native.commitment)
    assert result.inputs is None
    np.testing.assert_array_equal(result.outputs, proof.outputs)
    both = zk.prove(native, calibration[:2], private_inputs=True, private_outputs=True)
    assert both.outputs is None
    assert zk.verify(both, native.commitment).outputs is None


def test_no_proof_beyond_the_budget(circuit: "zk.Circuit", calibration: Array) -> None:
    keys = zk.setup(circuit, proofs=2)
    for _ in range(2):
        zk.prove(keys, calibration[:1])
    with pytest.raises(BudgetError, match="2 proofs"):
        zk.prove(keys, calibration[:1])


def test_a_batch_is_one_ezkl_proof(calibration: Array) -> None:
    circuit = zk.compile(two_layers(), calibration, batch=3, precision="ezkl")
    keys = zk.setup(circuit, backend="ezkl", proofs=2)
    proof = zk.prove(keys, calibration[:3])
    np.testing.assert_array_equal(proof.outputs, circuit.run(calibration[:3]))
    zk.verify(proof, keys.commitment, inputs=calibration[:3])
    with pytest.raises(ShapeError, match="exactly 3"):
        zk.prove(keys, calibration[:6])
    with pytest.raises(ShapeError, match="multiple of 3 samples"):
        zk.prove(keys, calibration[:4])


@pytest.mark.parametrize("which", ["native", "keys"])
def test_one_sample_needs_no_batch_axis(request: pytest.FixtureRequest, which: str, calibration: Array) -> None:
    keys = request.getfixturevalue(which)
    proof = zk.prove(keys, calibration[0])
    zk.verify(proof, keys.commitment, inputs=calibration[0])


@pytest.mark.parametrize("which", ["native", "keys"])
def test_saturation_is_asked_for_on_both_sides(request: pytest.FixtureRequest, which: str) -> None:
    keys = request.getfixturevalue(which)
    wild = np.full((1, 4), 100.0)
    with pytest.raises(ZkinferError, match="calibration data that covers it"):
        zk.prove(keys, wild)
    proof = zk.prove(keys, wild, saturate=True)
    with pytest.raises(VerificationError):
        zk.verify(proof, keys.commitment, inputs=wild)
    zk.verify(proof, keys.commitment, inputs=wild, saturate=True)


def test_an_estimate_is_near_what_ezkl_takes(circuit: "zk.Circuit", keys: "zk.Keys") -> None:
    estimate = zk.estimate(circuit, backend="ezkl", proofs=16)
    on_disk = sum(path.stat().st_size for path in keys.folder.iterdir())
    assert isinstance(estimate, EzklEstimate)
    assert estimate.disk_bytes / 2 < on_disk < 2 * estimate.disk_bytes
    assert 1 << estimate.logrows > max(len(table.values) for table in circuit.program.tables)
    assert estimate.prove_seconds > 0


def test_unknown_backends_are_named(circuit: "zk.Circuit") -> None:
    for call in (zk.setup, zk.estimate):
        with pytest.raises(InvalidInputError, match="choose one of: native, ezkl"):
            call(circuit, backend="groth17")


@pytest.mark.parametrize("proof_size", ["tiny", "", None, 3, ["small"]])
def test_unknown_sizes_of_proofs_are_named(circuit: "zk.Circuit", proof_size: object) -> None:
    for call in (zk.setup, zk.estimate):
        with pytest.raises(InvalidInputError, match="proof_size is 'balanced' or 'small', got "):
            call(circuit, proof_size=proof_size)  # type: ignore[arg-type]


def test_proofs_of_ezkl_have_one_size(circuit: "zk.Circuit") -> None:
    for call in (zk.setup, zk.estimate):
        with pytest.raises(InvalidInputError, match="proofs of the ezkl backend have one size: leave proof_size out"):
            call(circuit, backend="ezkl", proof_size="small")


def test_keys_for_small_proofs(circuit: "zk.Circuit", native: "zk.Keys", calibration: Array, tmp_path: Path) -> None:
    zk.setup(circuit, proofs=16, proof_size="small", folder=tmp_path / "keys")
    small = zk.Keys.load(tmp_path / "keys")
    proofs = [zk.prove(keys, calibration[:1]) for keys in (native, small)]
    assert [keys.proof_size for keys in (native, small)] == ["balanced", "small"]
    estimates = [zk.estimate(circuit, proofs=16, proof_size=size) for size in PROOF_SIZES]
    sizes = [cost.proof_bytes for cost in estimates if isinstance(cost, NativeEstimate)]
    assert len(sizes) == 2
    assert sizes[1] < sizes[0], "as is expected; those of two proofs differ by the paths that columns share"
    pairs = zip(proofs, (native, small), strict=True)
    found = [zk.verify(proof, keys.commitment, inputs=calibration[:1]) for proof, keys in pairs]
    np.testing.assert_array_equal(found[0].outputs, found[1].outputs)


def test_what_a_backend_does_not_do_is_named(circuit: "zk.Circuit", keys: "zk.Keys", calibration: Array) -> None:
    with pytest.raises(InvalidInputError, match="needs no reference string"):
        zk.setup(circuit, srs_path="some.srs")
    for inputs, outputs in ((True, False), (False, True)):
        with pytest.raises(InvalidInputError, match="to hide them"):
            zk.prove(keys, calibration[:1], private_inputs=inputs, private_outputs=outputs)


class TestArguments:
    """What is often handed in by mistake is refused with one line that says what to do."""

    @pytest.mark.parametrize("context", ["request 1", None, 5])
    def test_a_context_is_bytes(self, native: "zk.Keys", calibration: Array, context: object) -> None:
        left = native.proofs_left
        with pytest.raises(InvalidInputError, match=r"a context is bytes, .* got"):
            zk.prove(native, calibration[:1], context=context)  # type: ignore[arg-type]
        assert native.proofs_left == left

    @pytest.mark.parametrize("seed", ["s" * 32, b"short", 5])
    def test_a_seed_is_32_bytes(self, circuit: "zk.Circuit", native: "zk.Keys", seed: object) -> None:
        with pytest.raises(InvalidInputError, match="a seed "):
            zk.setup(circuit, seed=seed)  # type: ignore[arg-type]
        with pytest.raises(InvalidInputError, match="a seed "):
            zk.rotate(native, seed=seed)  # type: ignore[arg-type]

    def test_keys_come_first(self, circuit: "zk.Circuit", native: "zk.Keys", calibration: Array) -> None:
        with pytest.raises(InvalidInputError, match=r"wrong order: prove\(keys, x\)"):
            zk.prove(calibration[:1], native)  # type: ignore[arg-type]
        with pytest.raises(InvalidInputError, match=r"got Circuit: make them first, zk\.setup"):
            zk.prove(circuit, calibration[:1])  # type: ignore[arg-type]
        with pytest.raises(InvalidInputError, match=r"read their folder first, zk\.Keys\.load\('keys'\)"):
            zk.prove("keys", calibration[:1])  # type: ignore[arg-type]
        with pytest.raises(InvalidInputError, match="rotate takes keys"):
            zk.rotate(circuit)  # type: ignore[arg-type]

    @pytest.mark.parametrize("path", ["model.zkcircuit", Path("model.zkcircuit")])
    def test_a_path_is_no_circuit(self, path: object) -> None:
        for function in (zk.setup, zk.estimate):
            with pytest.raises(InvalidInputError, match=r"read it first, zk\.Circuit\.load\('model\.zkcircuit'\)"):
                function(path)  # type: ignore[arg-type]
        with pytest.raises(InvalidInputError, match="got NoneType: compile the model first"):
            zk.setup(None)  # type: ignore[arg-type]

    def test_numbers_of_numpy_are_numbers(self, calibration: Array) -> None:
        two = zk.compile(two_layers(), calibration, batch=np.int64(2), activation_bits=np.int32(8))  # type: ignore[arg-type]
        assert two.batch == 2
        assert zk.setup(two, proofs=np.int64(3)).proofs_left == 3  # type: ignore[arg-type]
        assert zk.estimate(two, samples=np.int64(4), proofs=np.int64(3)).prove_seconds > 0  # type: ignore[arg-type]

    @pytest.mark.parametrize("number", ["5", 2.5, 0, True])
    def test_numbers_are_whole(self, circuit: "zk.Circuit", calibration: Array, number: object) -> None:
        for call in (
            lambda: zk.compile(two_layers(), calibration, batch=number),  # type: ignore[arg-type]
            lambda: zk.setup(circuit, proofs=number),  # type: ignore[arg-type]
            lambda: zk.estimate(circuit, samples=number),  # type: ignore[arg-type]
        ):
            with pytest.raises(InvalidInputError, match="is a whole number from 1 on"):
                call()

    def test_a_folder_whose_name_is_too_long(self, circuit: "zk.Circuit", tmp_path: Path) -> None:
        with pytest.raises(ResourceError, match="too long"):
            zk.setup(circuit, folder=tmp_path / ("a" * 300))
        with pytest.raises(ArtifactError, match="is not a folder of zkinfer keys"):
            zk.Keys.load(tmp_path / ("a" * 300))

    def test_a_precision_is_no_number(self, calibration: Array) -> None:
        with pytest.raises(InvalidInputError, match=r"zkinfer\.Precision or a name, got int"):
            zk.compile(two_layers(), calibration, precision=8)  # type: ignore[arg-type]


def test_every_public_name_loads() -> None:
    for name in import_module("zkinfer").__all__:
        assert getattr(zk, name) is not None
        assert name in dir(zk)
        assert getattr(zk, name) is getattr(zk, name)  # no module of that name takes its place
    with pytest.raises(AttributeError):
        _ = import_module("zkinfer").nonsense
