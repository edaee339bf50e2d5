"""A backend is an object: one that zkinfer has never heard of goes the whole way, by one line in the registry."""

import copy
import pickle
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from support.example_programs import mlp
from support.ezkl_vectors import Vector
from support.revealing_backend import MAX_RUNS, RevealingEstimate, RevealingVerifyingKey
from typer.testing import CliRunner

import zkinfer as zk
from zkinfer import registry
from zkinfer.backend import Keys
from zkinfer.cli import app
from zkinfer.errors import (
    ArtifactError,
    BudgetError,
    CommitmentMismatchError,
    InvalidInputError,
    InvalidProofError,
    MalformedCommitmentError,
    MalformedProofError,
    MissingDependencyError,
    VerificationError,
    VerifierNotInstalledError,
    VerifierUnavailableError,
    WrongKeyError,
)
from zkinfer.files.commitment import Commitment
from zkinfer.files.native_key import NativeVerifyingKey
from zkinfer.files.proof import Proof
from zkinfer.files.rotation import Rotation
from zkinfer.jobs.sizing import Sizing
from zkinfer.typing import FloatArray

LINE = "support.revealing_backend"
"""All that zkinfer is told of the new backend."""


@pytest.fixture(autouse=True)
def line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry with one more line."""
    monkeypatch.setitem(registry.BACKENDS, "revealing", LINE)


@dataclass(frozen=True)
class Shop:
    """A circuit, its keys, and inputs."""

    circuit: zk.Circuit
    keys: Keys
    x: FloatArray


def circuit_of(seed: int = 0) -> zk.Circuit:
    """A circuit of 3 inputs and 2 outputs."""
    example = mlp(seed)
    return zk.Circuit(example.program, example.weights, (), b"")


@pytest.fixture
def shop() -> Shop:
    circuit = circuit_of()
    keys = zk.setup(circuit, backend="revealing", seed=bytes(range(32)))
    return Shop(circuit, keys, np.arange(-6, 6).reshape(4, 3) / 8)


class TestPublicFunctions:
    def test_from_a_circuit_to_a_verified_answer_through_files(self, shop: Shop, tmp_path: Path) -> None:
        shop.keys.save(tmp_path / "keys")
        loaded = zk.Keys.load(tmp_path / "keys")
        assert loaded.backend == loaded.commitment.backend == "revealing"
        zk.prove(loaded, shop.x, context=b"nonce").save(tmp_path / "proof.zkp")
        loaded.commitment.save(tmp_path / "model.zkc")
        result = zk.verify(tmp_path / "proof.zkp", tmp_path / "model.zkc", inputs=shop.x, context=b"nonce")
        np.testing.assert_array_equal(np.asarray(result.outputs), np.asarray(shop.circuit.run(shop.x)))
        assert (result.runs, result.security_bits) == (4, 128.0)
        assert result.zero_knowledge == "hidden: nothing"
        assert loaded.proofs_left == 6

    def test_a_lie_is_refused(self, shop: Shop) -> None:
        proof = zk.prove(shop.keys, shop.x)
        for changes in ({"inputs": shop.x[::-1]}, {"context": b"another"}):
            with pytest.raises(InvalidProofError):
                zk.verify(**{"proof": proof, "commitment": shop.keys.commitment, "inputs": shop.x} | changes)  # type: ignore[arg-type]
        cut = Proof(proof.backend, proof.commitment_digest, proof.output_tensors, proof.data[:-1])
        with pytest.raises(MalformedProofError, match="as many weights"):
            zk.verify(cut, shop.keys.commitment, inputs=shop.x)
        other = zk.setup(circuit_of(1), backend="revealing")
        with pytest.raises(CommitmentMismatchError, match="another commitment"):
            zk.verify(proof, other.commitment, inputs=shop.x)

    def test_proofs_of_another_backend_are_told_apart(self, shop: Shop) -> None:
        native = zk.setup(shop.circuit, proofs=1)
        with pytest.raises(CommitmentMismatchError, match="backend 'revealing'; this commitment checks 'native'"):
            zk.verify(zk.prove(shop.keys, shop.x), native.commitment, inputs=shop.x)
        with pytest.raises(WrongKeyError, match="for backend 'revealing'; one for 'native'"):
            shop.keys.commitment.key_as(NativeVerifyingKey)

    def test_its_defaults_and_its_budget(self, shop: Shop) -> None:
        assert shop.keys.budget == 7
        keys = zk.setup(shop.circuit, backend="revealing", proofs=1)
        zk.prove(keys, shop.x[:1])
        with pytest.raises(BudgetError):
            zk.prove(keys, shop.x[:1])

    def test_an_estimate(self, shop: Shop) -> None:
        estimate = zk.estimate(shop.circuit, backend="revealing", samples=MAX_RUNS)
        assert isinstance(estimate, RevealingEstimate)
        assert estimate.runs == MAX_RUNS
        with pytest.raises(InvalidInputError, match="the revealing backend covers at most 4 samples"):
            zk.estimate(shop.circuit, backend="revealing", samples=MAX_RUNS + 1)

    def test_an_audit(self, shop: Shop) -> None:
        commitment, weights, seed = shop.keys.commitment, shop.circuit.weights, shop.keys.seed
        assert "exactly the published commitment" in zk.audit_weights(commitment, weights, seed).checked[0]
        with pytest.raises(CommitmentMismatchError, match="another seed"):
            zk.audit_weights(commitment, weights, bytes(32))

    def test_what_it_does_not_do_is_said_in_its_name(self, shop: Shop, tmp_path: Path) -> None:
        commitment, weights = shop.keys.commitment, shop.circuit.weights
        with pytest.raises(InvalidInputError, match="'revealing' are not rotated"):
            zk.rotate(shop.keys)
        with pytest.raises(InvalidInputError, match="the revealing backend needs no reference string"):
            zk.setup(shop.circuit, backend="revealing", srs_path=tmp_path / "some.srs")
        with pytest.raises(InvalidInputError, match="the revealing backend takes no reference string"):
            zk.audit_weights(commitment, weights, shop.keys.seed, tmp_path / "some.srs")
        with pytest.raises(InvalidInputError, match="the revealing backend has no keys to audit"):
            zk.audit_keys(commitment, tmp_path / "some.srs")
        with pytest.raises(VerifierUnavailableError, match="takes engine 'python', not 'reference'"):
            zk.verify(zk.prove(shop.keys, shop.x), commitment, inputs=shop.x, engine="slow")

    def test_a_rotation_of_its_commitment_is_refused(self, shop: Shop) -> None:
        rotation = Rotation(shop.keys.commitment.digest, bytes(32), b"", 0, 0, b"", 0, b"", b"")
        proof = zk.prove(shop.keys, shop.x)
        elsewhere = Proof(proof.backend, bytes(32), proof.output_tensors, proof.data)
        with pytest.raises(CommitmentMismatchError, match="'revealing' have no rotations"):
            zk.verify(elsewhere, shop.keys.commitment, inputs=shop.x, lineage=[rotation])

    def test_jobs_keep_to_its_limits(self, shop: Shop) -> None:
        sizes = Sizing(None, shop.circuit.program, "revealing", workers=1, items=100, proofs=100)
        assert sizes.largest == sizes.smallest == MAX_RUNS


class TestCommands:
    @staticmethod
    def run(code: int, *arguments: str | Path) -> str:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == code, (result.output, result.exception)
        return result.output

    def test_the_whole_way(self, shop: Shop, tmp_path: Path) -> None:
        circuit, keys, published = tmp_path / "model.zkcircuit", tmp_path / "keys", tmp_path / "model.zkc"
        shop.circuit.save(circuit)
        np.save(tmp_path / "x.npy", shop.x)
        named = ["--backend", "revealing"]
        estimate = self.run(0, "estimate", circuit, "--samples", "3", *named)
        assert "Costs" in estimate
        assert re.search(r"Estimate, revealing backend\s+runs +3", estimate)
        text = self.run(0, "setup", circuit, "-o", keys, "--publish", published, *named)
        assert "forge" not in text
        self.run(0, "prove", keys, tmp_path / "x.npy", "-o", tmp_path / "proof.zkp", "--context", "nonce")
        files: list[str | Path] = [tmp_path / "proof.zkp", published, "--inputs", tmp_path / "x.npy"]
        assert "4 runs of the circuit" in self.run(0, "verify", *files, "--context", "nonce")
        assert "REFUSED (cryptographic check)" in self.run(1, "verify", *files, "--context", "another")
        assert "takes engine 'python'" in self.run(4, "verify", *files, "--engine", "reference")
        described = self.run(0, "inspect", published)
        assert re.search(r"backend +revealing", described)
        assert "hidden behind a hash, until the first proof shows them." in " ".join(described.split())
        self.run(0, "seed", keys, "-o", tmp_path / "seed")
        assert "Confirmed" in self.run(0, "audit-commitment", circuit, published, "--seed", f"@{tmp_path / 'seed'}")
        assert "no keys to audit" in self.run(3, "audit-keys", published, "--srs", circuit)
        assert "are not rotated" in self.run(3, "rotate", keys, "-o", tmp_path / "more")

    @pytest.mark.parametrize("command", ["setup", "estimate"])
    def test_a_backend_that_does_not_exist_is_wrong_usage(self, shop: Shop, tmp_path: Path, command: str) -> None:
        shop.circuit.save(tmp_path / "c")
        arguments: list[str | Path] = [tmp_path / "c", "--backend", "groth16"]
        if command == "setup":
            arguments += ["-o", tmp_path / "keys"]
        text = " ".join(self.run(2, command, *arguments).replace("\u2502", " ").split())
        assert "choose one of: native, ezkl, revealing" in text
        assert not (tmp_path / "keys").exists()

    def test_the_former_name_of_the_native_backend_is_accepted(self, shop: Shop, tmp_path: Path) -> None:
        shop.circuit.save(tmp_path / "c")
        self.run(0, "setup", tmp_path / "c", "-o", tmp_path / "keys", "--backend", "sumcheck", "--proofs", "1")
        assert zk.Keys.load(tmp_path / "keys").backend == "native"


class TestUnknownBackends:
    """Files of a backend that this zkinfer does not have."""

    def test_a_commitment(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        data = shop.keys.commitment.to_bytes()
        monkeypatch.delitem(registry.BACKENDS, "revealing")
        with pytest.raises(MalformedCommitmentError, match="backend 'revealing', which this zkinfer does not have"):
            Commitment.from_bytes(data)

    def test_a_folder_of_keys(self, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        shop.keys.save(tmp_path / "keys")
        monkeypatch.delitem(registry.BACKENDS, "revealing")
        with pytest.raises(ArtifactError, match="backend 'revealing', which this zkinfer does not have"):
            zk.Keys.load(tmp_path / "keys")

    def test_a_proof_is_read_and_then_refused(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        data = zk.prove(shop.keys, shop.x).to_bytes()
        native = zk.setup(shop.circuit, proofs=1)
        monkeypatch.delitem(registry.BACKENDS, "revealing")
        assert Proof.from_bytes(data).backend == "revealing"
        with pytest.raises(VerificationError, match="made by backend 'revealing'"):
            zk.verify(data, native.commitment, inputs=shop.x)

    def test_a_key_that_the_backend_does_not_take(self, shop: Shop) -> None:
        key = RevealingVerifyingKey(b"short", 1)
        with pytest.raises(MalformedCommitmentError, match="no key of the revealing backend"):
            Commitment.from_bytes(Commitment(shop.circuit.program, key).to_bytes())


class TestMissingVerifier:
    """A base install lacks py_ecc, which checking ezkl's proofs needs."""

    @pytest.fixture
    def without_py_ecc(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in [name for name in sys.modules if name.startswith(("py_ecc", "zkinfer.ezkl.verifier."))]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "py_ecc", None)

    @pytest.mark.usefixtures("without_py_ecc")
    def test_an_ezkl_proof_gets_an_error_that_names_the_extra(self, dense: Vector) -> None:
        """The commitment is read all the same."""
        assert Commitment.from_bytes(dense.commitment.to_bytes()).backend == "ezkl"
        with pytest.raises(
            VerifierNotInstalledError, match=r"needs py_ecc.*pip install 'zkinfer\[ezkl-verifier\]'"
        ) as error:
            dense.verify()
        assert isinstance(error.value, VerificationError)
        assert isinstance(error.value, MissingDependencyError)

    @pytest.mark.usefixtures("without_py_ecc")
    def test_the_command_says_so_and_calls_nothing_refused(self, dense: Vector, data: Path, tmp_path: Path) -> None:
        np.save(tmp_path / "x.npy", dense.inputs[0])
        text = TestCommands.run(4, "verify", data / "dense.proof", data / "dense.zkc", "--inputs", tmp_path / "x.npy")
        assert "zkinfer[ezkl-verifier]" in text
        assert "REFUSED" not in text
        assert "VALID" not in text


@pytest.mark.parametrize("backend", ["revealing", "native"])
class TestPickling:
    def test_pickled_keys_are_the_path_of_their_folder(self, tmp_path: Path, backend: str) -> None:
        keys = zk.setup(circuit_of(), backend=backend, folder=tmp_path / "keys", seed=bytes(range(32)), proofs=3)
        data = pickle.dumps(keys)
        assert keys.seed not in data
        assert len(data) < 1000
        loaded = pickle.loads(data)
        assert (loaded.folder, loaded.seed) == (keys.folder, keys.seed)
        loaded.counter.spend()
        assert keys.proofs_left == 2

    def test_keys_in_a_temporary_folder_are_not_passed_on(self, tmp_path: Path, backend: str) -> None:
        """The folder ends with the object, which may be before somebody unpickles."""
        keys = zk.setup(circuit_of(), backend=backend, proofs=1)
        for passing_on in (pickle.dumps, copy.copy):
            with pytest.raises(InvalidInputError, match=r"keys.save"):
                passing_on(keys)
        keys.save(tmp_path / "keys")
        assert pickle.loads(pickle.dumps(keys)).folder == tmp_path / "keys"

    def test_other_keys_in_their_place_are_not_taken_for_them(self, tmp_path: Path, backend: str) -> None:
        data = pickle.dumps(zk.setup(circuit_of(), backend=backend, folder=tmp_path / "keys", proofs=1))
        shutil.rmtree(tmp_path / "keys")
        zk.setup(circuit_of(), backend=backend, folder=tmp_path / "keys", proofs=1)
        with pytest.raises(WrongKeyError, match="renewed"):
            pickle.loads(data)
