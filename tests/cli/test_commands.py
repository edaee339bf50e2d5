"""The commands, end to end: what they write, what they say, how they exit."""

import errno
import json
import os
import re
import socket
import subprocess
import sys
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.claims import hidden_root
from support.commands import as_json
from typer.testing import CliRunner

import zkinfer as zk
from zkinfer.cli import app, results
from zkinfer.errors import StatementError
from zkinfer.ezkl.verifying_key import EzklVerifyingKey

Words = list[str | Path]
"""A command line."""

SEED = bytes(range(32))
CONTEXT = "request 1"
EZKL = ["--backend", "ezkl", "--proofs", "9"]


@dataclass(frozen=True)
class Finished:
    """What a command said."""

    code: int
    text: str
    error: BaseException | None


def run(*arguments: str | Path) -> Finished:
    """Run one command in this process."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    return Finished(result.exit_code, result.output, result.exception)


def small_model() -> onnx.ModelProto:
    """A perceptron of 4 inputs and 3 outputs."""
    generator = np.random.default_rng(0)
    weights = {
        "w1": generator.normal(size=(4, 5)).astype(np.float32),
        "w2": generator.normal(size=(5, 3)).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["h"]),
        helper.make_node("Relu", ["h"], ["a"]),
        helper.make_node("MatMul", ["a", "w2"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "perceptron",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, its circuit, keys, commitment, one proof, and the inputs of it."""
    folder = tmp_path_factory.mktemp("shop")
    generator = np.random.default_rng(1)
    calibration = generator.uniform(-1, 1, size=(50, 4)).astype(np.float32)
    onnx.save(small_model(), folder / "model.onnx")
    np.save(folder / "calibration.npy", calibration)
    np.save(folder / "x.npy", calibration[:1])
    np.save(folder / "other.npy", calibration[1:2])
    (folder / "seed").write_bytes(SEED)
    circuit, keys, published = folder / "model.zkcircuit", folder / "keys", folder / "model.zkc"
    steps: list[Words] = [
        [
            "compile",
            folder / "model.onnx",
            "--calibration",
            folder / "calibration.npy",
            "-o",
            circuit,
            "--precision",
            "ezkl",
        ],
        ["setup", circuit, "-o", keys, "--publish", published, "--seed", f"@{folder / 'seed'}", *EZKL],
        ["prove", keys, folder / "x.npy", "-o", folder / "proof.zkp", "--context", CONTEXT],
    ]
    for step in steps:
        done = run(*step)
        assert done.code == 0, (done.text, done.error)
    return folder


def verify(shop: Path, *changes: str | Path, inputs: str = "x.npy", context: str = CONTEXT) -> Finished:
    return run(
        "verify", shop / "proof.zkp", shop / "model.zkc", "--inputs", shop / inputs, "--context", context, *changes
    )


def test_the_proof_is_valid(shop: Path) -> None:
    done = verify(shop)
    assert done.code == 0
    assert "VALID" in done.text
    assert zk.Commitment.load(shop / "model.zkc").fingerprint in done.text
    assert "everyone can forge" in done.text


def test_outputs_are_those_of_the_circuit(shop: Path, tmp_path: Path) -> None:
    outputs = zk.Circuit.load(shop / "model.zkcircuit").run(np.load(shop / "x.npy"))
    np.save(tmp_path / "y.npy", outputs)
    assert verify(shop, "--outputs", tmp_path / "y.npy").code == 0


def refused(done: Finished, check: str) -> None:
    assert done.code == 1
    assert f"REFUSED ({check})" in done.text
    assert "VALID" not in done.text


def nothing_checked(done: Finished, reason: str) -> None:
    """Nothing was found out about a proof, so nothing is said to be refused."""
    assert done.code == 3
    assert done.text.startswith("error: ")
    assert reason in done.text
    assert "REFUSED" not in done.text
    assert done.text.count("\n") == 1


def test_arguments_that_are_no_proof_or_no_commitment_are_bad_input(shop: Path, tmp_path: Path) -> None:
    """A file that is not there, of another kind, swapped with the other one, or no file at all."""
    proof, commitment, inputs = shop / "proof.zkp", shop / "model.zkc", shop / "x.npy"
    os.mkfifo(tmp_path / "pipe")
    nothing_checked(run("verify", commitment, proof, "--inputs", inputs), "kind 'proof' where 'commitment' is needed")
    nothing_checked(run("verify", tmp_path / "none", commitment, "--inputs", inputs), "No such file")
    nothing_checked(run("verify", proof, tmp_path / "none", "--inputs", inputs), "No such file")
    nothing_checked(run("verify", inputs, commitment, "--inputs", inputs), "not a zkinfer file")
    nothing_checked(run("verify", tmp_path / "pipe", commitment, "--inputs", inputs), "not a regular file")
    nothing_checked(run("verify", proof, shop, "--inputs", inputs), "not a regular file")
    nothing_checked(run("verify", proof, commitment, "--inputs", commitment), "not a NumPy file")
    nothing_checked(run("batch", "verify", shop, commitment, "--inputs", inputs), "holds no manifest.zkm")


BAD = "BAD"
FILE_ARGUMENTS: dict[str, list[str]] = {
    "compile": ["compile", BAD, "--calibration", "calibration.npy", "-o", "new"],
    "compile --calibration": ["compile", "model.onnx", "--calibration", BAD, "-o", "new"],
    "setup": ["setup", BAD, "-o", "new"],
    "estimate": ["estimate", BAD],
    "prove": ["prove", BAD, "x.npy", "-o", "new"],
    "prove inputs": ["prove", "keys", BAD, "-o", "new"],
    "verify": ["verify", BAD, "model.zkc", "--inputs", "x.npy"],
    "verify commitment": ["verify", "proof.zkp", BAD, "--inputs", "x.npy"],
    "verify --inputs": ["verify", "proof.zkp", "model.zkc", "--inputs", BAD],
    "verify --outputs": ["verify", "proof.zkp", "model.zkc", "--inputs", "x.npy", "--outputs", BAD],
    "verify --context": ["verify", "proof.zkp", "model.zkc", "--inputs", "x.npy", "--context", f"@{BAD}"],
    "inspect": ["inspect", BAD],
    "audit-commitment": ["audit-commitment", BAD, "model.zkcircuit", "--seed", "@seed"],
    "audit-commitment circuit": ["audit-commitment", "model.zkc", BAD, "--seed", "@seed"],
    "audit-commitment --seed": ["audit-commitment", "model.zkc", "model.zkcircuit", "--seed", f"@{BAD}"],
    "audit-keys": ["audit-keys", BAD, "--srs", "x.npy"],
    "audit-keys --srs": ["audit-keys", "model.zkc", "--srs", BAD],
    "seed": ["seed", BAD, "-o", "new"],
    "rotate": ["rotate", BAD, "-o", "new"],
    "batch run": ["batch", "run", "new", "--keys", BAD, "--inputs", "x.npy"],
    "batch run --inputs": ["batch", "run", "new", "--keys", "keys", "--inputs", BAD],
    "batch verify": ["batch", "verify", BAD, "model.zkc", "--inputs", "x.npy"],
    "batch status": ["batch", "status", BAD],
    "batch resume": ["batch", "resume", BAD],
}


@pytest.mark.parametrize("kind", ["pipe", "device", "socket", "folder", "long name", "hole of 8 GiB"])
@pytest.mark.parametrize("argument", FILE_ARGUMENTS)
def test_whatever_lies_in_the_place_of_a_file_is_bad_input(
    shop: Path, tmp_path: Path, argument: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is waited for, nothing without an end is read, and no error is Python's."""
    monkeypatch.chdir(shop)
    bad = tmp_path / (300 * "x" if kind == "long name" else "bad")
    match kind:
        case "pipe":
            os.mkfifo(bad)
        case "device":
            bad.symlink_to("/dev/zero")
        case "socket":
            monkeypatch.chdir(tmp_path)
            with socket.socket(socket.AF_UNIX) as made:
                made.bind("bad")
            monkeypatch.chdir(shop)
        case "folder":
            bad.mkdir()
        case "hole of 8 GiB":
            with bad.open("wb") as file:
                file.truncate(1 << 33)
    tracemalloc.start()
    try:
        done = run(*(word.replace(BAD, str(bad)) for word in FILE_ARGUMENTS[argument]))
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
    assert done.code == 3, (done.text, done.error)
    assert isinstance(done.error, SystemExit)
    assert "REFUSED" not in done.text
    assert not (shop / "new").exists()


def test_another_input_is_refused(shop: Path) -> None:
    refused(verify(shop, inputs="other.npy"), "cryptographic check")


def test_another_context_is_refused(shop: Path) -> None:
    refused(verify(shop, context="request 2"), "cryptographic check")


def test_a_commitment_that_is_worth_less_than_is_asked_for_is_refused(shop: Path) -> None:
    refused(verify(shop, "--min-bits", "128"), "cryptographic check")
    assert verify(shop, "--min-bits", "99").code == 0


def test_other_outputs_are_refused(shop: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", np.zeros((1, 3)))
    refused(verify(shop, "--outputs", tmp_path / "y.npy"), "statement")


def test_a_cut_off_proof_is_refused(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "proof.zkp").write_bytes((shop / "proof.zkp").read_bytes()[:-1])
    refused(run("verify", tmp_path / "proof.zkp", shop / "model.zkc", "--inputs", shop / "x.npy"), "proof file")


def test_an_edited_commitment_is_refused(shop: Path, tmp_path: Path) -> None:
    data = bytearray((shop / "model.zkc").read_bytes())
    data[-1] ^= 1
    (tmp_path / "model.zkc").write_bytes(data)
    refused(run("verify", shop / "proof.zkp", tmp_path / "model.zkc", "--inputs", shop / "x.npy"), "commitment file")


def test_verify_without_its_input_file_is_bad_input(shop: Path) -> None:
    done = verify(shop, inputs="none.npy")
    assert done.code == 3
    assert "cannot read" in done.text


@pytest.mark.parametrize(
    ("words", "missing"),
    [
        (["verify"], "PROOF"),
        (["verify", "a"], "COMMITMENT"),
        (["prove"], "KEYS"),
        (["prove", "keys"], "INPUT"),
        (["setup"], "CIRCUIT"),
        (["compile"], "MODEL"),
        (["rotate"], "KEYS"),
        (["batch", "verify", "job"], "COMMITMENT"),
        (["audit", "a", "b"], "OUTPUTS"),
    ],
)
def test_an_argument_that_is_missing_is_named(words: list[str], missing: str) -> None:
    done = run(*words)
    assert done.code == 2
    assert f"Missing argument '{missing}'" in done.text


def test_unknown_engine_is_wrong_usage(shop: Path) -> None:
    assert verify(shop, "--engine", "magic").code == 2


def test_debug_keeps_the_exception(shop: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", np.zeros((1, 3)))
    arguments: Words = ["verify", shop / "proof.zkp", shop / "model.zkc", "--inputs", shop / "x.npy"]
    done = run("--debug", *arguments, "--outputs", tmp_path / "y.npy", "--context", CONTEXT)
    assert isinstance(done.error, StatementError)


@pytest.mark.parametrize("error", [RecursionError("too deep"), ModuleNotFoundError("No module named 'x'", name="x")])
def test_a_fault_of_zkinfer_is_no_refusal(shop: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(zk, "estimate", fail)
    done = run("estimate", shop / "model.zkcircuit", "--json")
    assert done.code == 70
    found = json.loads(done.text.splitlines()[-1])
    assert (found["error"], found["check"]) == (type(error).__name__, None)
    assert str(error) in found["message"]
    assert "Traceback" not in done.text
    assert run("--debug", "estimate", shop / "model.zkcircuit").error is error


def test_circuit_is_private_and_described(shop: Path) -> None:
    assert (shop / "model.zkcircuit").stat().st_mode & 0o077 == 0
    done = run("inspect", shop / "model.zkcircuit")
    assert done.code == 0
    assert "It holds the weights" in done.text
    assert zk.Circuit.load(shop / "model.zkcircuit").digest in done.text


def test_secret_part_of_the_keys_is_named_and_not_shown(shop: Path) -> None:
    done = run("inspect", shop / "keys" / "secret.zkk")
    assert done.code == 0
    assert "It holds the weights" in done.text
    assert SEED.hex() not in done.text


def test_report_as_table_and_picture(shop: Path, tmp_path: Path) -> None:
    arguments: Words = [
        "compile",
        shop / "model.onnx",
        "--calibration",
        shop / "calibration.npy",
        "-o",
        tmp_path / "c",
    ]
    done = run(*arguments, "--report", "--plot", tmp_path / "report.png")
    assert done.code == 0
    assert "Fixed point against float" in done.text
    assert "The same on other inputs" in done.text
    assert "…" not in done.text, "figures are cut off"
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")


def test_compile_says_what_it_measured_and_warns(shop: Path, tmp_path: Path) -> None:
    arguments: Words = ["compile", shop / "model.onnx", "--calibration", shop / "calibration.npy", "-o", tmp_path / "c"]
    done = run(*arguments)
    assert done.code == 0
    assert "held-out cosine" in done.text
    assert "leaves the float model" not in done.text
    warned = run(*arguments, "--activation-bits", "3", "--weight-bits", "3")
    assert warned.code == 0
    assert "the circuit leaves the float model: held-out cosine 0." in " ".join(warned.text.split())
    assert "AccuracyWarning" not in warned.text


def test_compile_for_a_target_shows_what_was_traded(shop: Path, tmp_path: Path) -> None:
    arguments: Words = [
        "compile",
        shop / "model.onnx",
        "--calibration",
        shop / "calibration.npy",
        "-o",
        tmp_path / "c",
    ]
    done = run(*arguments, "--target", "cosine>=0.99")
    assert done.code == 0
    assert "Tuned for cosine>=0.99" in done.text
    assert "held-out samples" in done.text
    refused = run(*arguments, "--target", "cosine>1")
    assert refused.code == 3
    assert "is not a target" in refused.text


def test_estimate_names_the_size_of_the_reference_string(shop: Path) -> None:
    done = run("estimate", shop / "model.zkcircuit", "--backend", "ezkl")
    key = zk.Commitment.load(shop / "model.zkc").key_as(EzklVerifyingKey)
    assert done.code == 0
    assert f"k = {key.srs.logrows}" in done.text


def test_setup_does_not_touch_an_existing_folder(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("keep")
    done = run("setup", shop / "model.zkcircuit", "-o", tmp_path)
    assert done.code == 3
    assert "exists" in done.text
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def test_the_seed_is_written_for_its_owner_alone(shop: Path, tmp_path: Path) -> None:
    done = run("seed", shop / "keys", "-o", tmp_path / "seed")
    assert done.code == 0
    assert (tmp_path / "seed").read_bytes() == SEED
    assert (tmp_path / "seed").stat().st_mode & 0o077 == 0
    assert SEED.hex() not in done.text


def test_hidden_inputs_are_not_for_ezkl(shop: Path, tmp_path: Path) -> None:
    done = run("prove", shop / "keys", shop / "x.npy", "-o", tmp_path / "proof.zkp", "--private-inputs")
    assert done.code == 3
    assert "backend='native' to hide them" in done.text
    assert not (tmp_path / "proof.zkp").exists()


def test_public_inputs_have_to_be_handed_in(shop: Path) -> None:
    nothing_checked(run("verify", shop / "proof.zkp", shop / "model.zkc", "--context", CONTEXT), "hand in its values")


def test_seed_of_another_length_is_bad_input(shop: Path, tmp_path: Path) -> None:
    done = run("setup", shop / "model.zkcircuit", "-o", tmp_path / "keys", "--seed", "hex:00")
    assert done.code == 3
    assert "--seed holds 1 byte and takes 32" in done.text


def test_auditor_with_weights_and_seed_confirms(shop: Path) -> None:
    srs = shop / "keys" / "reference.srs"
    files: Words = [shop / "model.zkcircuit", shop / "model.zkc"]
    done = run("audit-commitment", *files, "--srs", srs, "--seed", f"hex:{SEED.hex()}")
    assert done.code == 0
    assert "Confirmed" in done.text
    refused(run("audit-commitment", *files, "--srs", srs, "--seed", f"hex:{bytes(32).hex()}"), "commitment")


def test_anyone_confirms_the_keys(shop: Path) -> None:
    done = run("audit-keys", shop / "model.zkc", "--srs", shop / "keys" / "reference.srs")
    assert done.code == 0
    assert "Confirmed" in done.text


# The native backend, by the same commands.


@pytest.fixture(scope="module")
def native(shop: Path) -> Path:
    """In the shop, native keys, their commitment, and a proof of three inferences with hidden inputs."""
    np.save(shop / "three.npy", np.load(shop / "calibration.npy")[:3])
    setup: Words = [
        "setup",
        shop / "model.zkcircuit",
        "-o",
        shop / "native",
        "--publish",
        shop / "native.zkc",
        "--proofs",
        "5",
    ]
    hidden: Words = [
        "prove",
        shop / "native",
        shop / "three.npy",
        "-o",
        shop / "hidden.zkp",
        "--private-inputs",
    ]
    shown: Words = [
        "prove",
        shop / "native",
        shop / "three.npy",
        "-o",
        shop / "shown.zkp",
        "--context",
        CONTEXT,
    ]
    for step in (setup, hidden, shown):
        done = run(*step)
        assert done.code == 0, (done.text, done.error)
    return shop


def test_three_inferences_in_one_proof(native: Path) -> None:
    files: Words = [native / "shown.zkp", native / "native.zkc"]
    done = run("verify", *files, "--inputs", native / "three.npy", "--context", CONTEXT)
    assert done.code == 0
    assert "3 runs of the circuit" in done.text
    assert "about 128 bits" in done.text
    assert "forge" not in done.text
    refused(run("verify", *files, "--inputs", native / "three.npy"), "statement")
    refused(run("verify", *files, "--inputs", native / "x.npy", "--context", CONTEXT), "statement")


def test_hidden_inputs_are_not_asked_for(native: Path) -> None:
    files: Words = [native / "hidden.zkp", native / "native.zkc"]
    done = run("verify", *files)
    assert done.code == 0
    (hidden,) = zk.Proof.load(native / "hidden.zkp").private_inputs
    assert hidden_root(hidden).hex() in done.text
    assert "as the prover chose" in done.text
    nothing_checked(run("verify", *files, "--inputs", native / "three.npy"), "is hidden in this proof")
    nothing_checked(run("verify", *files, "--max-runs", "1"), "max_runs=3")


def test_native_files_are_described(native: Path) -> None:
    assert re.search(r"backend +native", run("inspect", native / "native.zkc").text)
    done = run("inspect", native / "native" / "secret.zkk")
    assert "Keep it private" in done.text
    assert zk.Keys.load(native / "native").seed.hex() not in done.text


def test_the_seed_of_native_keys_is_for_the_auditor(native: Path, tmp_path: Path) -> None:
    assert run("seed", native / "native", "-o", tmp_path / "seed").code == 0
    files: Words = [native / "model.zkcircuit", native / "native.zkc"]
    done = run("audit-commitment", *files, "--seed", f"@{tmp_path / 'seed'}")
    assert done.code == 0
    assert "exactly the published commitment" in done.text
    refused(run("audit-commitment", *files, "--seed", f"hex:{bytes(32).hex()}"), "commitment")


def test_options_of_the_other_backend_are_bad_input(native: Path, tmp_path: Path) -> None:
    srs = native / "keys" / "reference.srs"
    setup = run("setup", native / "model.zkcircuit", "-o", tmp_path / "keys", "--srs", srs)
    audit = run("audit-keys", native / "native.zkc", "--srs", srs)
    for done in (setup, audit):
        assert done.code == 3
        assert "native backend" in done.text
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize("content", [b"", b"no model"])
def test_compile_of_something_else_is_bad_input(shop: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    done = run("compile", tmp_path / "model.onnx", "--calibration", shop / "calibration.npy", "-o", tmp_path / "c")
    assert done.code == 3
    assert "not an ONNX model" in done.text
    assert not (tmp_path / "c").exists()


def test_prove_with_an_input_of_another_shape_writes_nothing(shop: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((1, 5)))
    done = run("prove", shop / "keys", tmp_path / "x.npy", "-o", tmp_path / "proof.zkp")
    assert done.code == 3
    assert not (tmp_path / "proof.zkp").exists()


def test_a_circuit_for_a_folder_that_is_not_there_is_refused_before_the_model_is_read(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_text("no model, so that reading it would be another error")
    np.save(tmp_path / "x.npy", np.zeros((1, 4)))
    target = tmp_path / "missing" / "model.zkcircuit"
    done = run("compile", tmp_path / "model.onnx", "--calibration", tmp_path / "x.npy", "-o", target)
    assert done.code == 4
    assert "there is no folder" in done.text
    assert "make it first" in done.text
    assert not target.parent.exists()


def test_a_proof_that_cannot_be_written_takes_nothing_from_the_budget(native: Path, tmp_path: Path) -> None:
    left = zk.Keys.load(native / "native").proofs_left
    done = run("prove", native / "native", native / "three.npy", "-o", tmp_path / "missing" / "proof.zkp")
    assert done.code == 4
    assert "there is no folder" in done.text
    assert "make it first" in done.text
    assert zk.Keys.load(native / "native").proofs_left == left


def test_a_full_disk_takes_nothing_from_the_budget(
    native: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    left = zk.Keys.load(native / "native").proofs_left
    monkeypatch.setattr(os, "posix_fallocate", full)
    done = run("prove", native / "native", native / "three.npy", "-o", tmp_path / "proof.zkp")
    assert done.code == 4
    assert "No space left" in done.text
    assert zk.Keys.load(native / "native").proofs_left == left
    assert list(tmp_path.iterdir()) == []


def test_no_escape_sequences_where_the_output_is_no_terminal(shop: Path) -> None:
    assert "\x1b" not in verify(shop, inputs="other.npy").text


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, "NO_COLOR": "1"}
    )


def test_version_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "zkinfer", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"zkinfer {zk.__version__}"


@pytest.mark.parametrize(
    ("missing", "command", "extra"),
    [
        ("onnxruntime", ["compile", "m.onnx", "--calibration", "{shop}/calibration.npy", "-o", "c"], "prove"),
        ("ezkl", ["audit-keys", "{shop}/model.zkc", "--srs", "{shop}/keys/reference.srs"], "ezkl"),
    ],
)
def test_a_missing_package_names_its_extra(shop: Path, missing: str, command: list[str], extra: str) -> None:
    arguments: Words = [word.format(shop=shop) for word in command]
    done = run_python(
        f"import sys, importlib.metadata as m; sys.modules[{missing!r}] = None\n"
        f"real = m.version\n"
        f"def version(name):\n"
        f"    if name == {missing!r}: raise m.PackageNotFoundError(name)\n"
        f"    return real(name)\n"
        f"m.version = version\n"
        f"sys.argv = ['zkinfer', *{arguments!r}]\n"
        f"from zkinfer.cli import main; main()"
    )
    assert done.returncode == 4, done.stderr
    assert f"zkinfer[{extra}]" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_parameter_that_cannot_be_committed_to_is_published_by_name(tmp_path: Path) -> None:
    nodes = [helper.make_node("Sigmoid", ["x"], ["h"]), helper.make_node("Pow", ["h", "exponent"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "power",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(np.float32(2.7310584), "exponent")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).uniform(-1, 1, (16, 4)).astype(np.float32))
    words: list[str | Path] = [
        "compile",
        tmp_path / "m.onnx",
        "--calibration",
        tmp_path / "x.npy",
        "-o",
        tmp_path / "m.zkcircuit",
    ]
    refused = run(*words)
    assert refused.code != 0
    assert "publish" in refused.text
    assert run(*words, "--publish", "exponent").code == 0


# For scripts.


def test_what_the_owner_and_the_verifier_are_told_in_json(native: Path, tmp_path: Path) -> None:
    circuit, keys, x = tmp_path / "model.zkcircuit", tmp_path / "keys", native / "three.npy"
    compiled = as_json(
        results.Compiled, "compile", native / "model.onnx", "--calibration", native / "calibration.npy", "-o", circuit
    )
    assert (compiled.bytes, compiled.weights, compiled.warnings) == (circuit.stat().st_size, 35, [])
    assert compiled.program_digest == zk.Circuit.load(circuit).digest
    made = as_json(results.KeysMade, "setup", circuit, "-o", keys, "--proofs", "3")
    assert (made.proofs_left, made.test_only, made.backend) == (3, False, "native")
    assert made.fingerprint == zk.Commitment.load(made.commitment).fingerprint
    proven = as_json(results.ProofMade, "prove", keys, x, "-o", tmp_path / "proof.zkp")
    assert (proven.proofs_left, proven.bytes) == (2, (tmp_path / "proof.zkp").stat().st_size)
    verified = as_json(results.Verified, "verify", tmp_path / "proof.zkp", made.commitment, "--inputs", x)
    assert (verified.runs, verified.fingerprint) == (3, made.fingerprint)
    assert np.array_equal(verified.outputs[0], zk.Circuit.load(circuit).run(np.load(x)))
    inspected = as_json(results.Inspected, "inspect", made.commitment)
    assert inspected.kind == "commitment"
    assert results.Fact("fingerprint", made.fingerprint) in inspected.facts
    audited = as_json(
        results.Audited, "audit-commitment", circuit, made.commitment, "--seed", f"hex:{zk.Keys.load(keys).seed.hex()}"
    )
    assert audited.fingerprint == made.fingerprint
    assert as_json(results.Written, "seed", keys, "-o", tmp_path / "seed").bytes == 32
    assert as_json(results.Estimated, "estimate", circuit).backend == "native"
    rotated = as_json(results.Rotated, "rotate", keys, "-o", tmp_path / "new")
    assert (rotated.old_fingerprint, rotated.old_proofs_left) == (made.fingerprint, 1)
    assert rotated.new_fingerprint == zk.Commitment.load(tmp_path / "new" / "commitment.zkc").fingerprint
    parameters = as_json(results.Parameters, "security", "100000")
    assert parameters.rows * parameters.columns >= 100000
    assert parameters.security_bits >= 128


def test_a_hidden_output_is_null_in_json(native: Path) -> None:
    verified = as_json(results.Verified, "verify", native / "hidden.zkp", native / "native.zkc")
    (hidden,) = zk.Proof.load(native / "hidden.zkp").private_inputs
    assert verified.input_commitments == [hidden_root(hidden).hex()]
    assert verified.output_commitments == [None]


@pytest.mark.parametrize(
    ("inputs", "context", "code", "error", "check"),
    [
        ("three.npy", "another", 1, "StatementError", "statement"),
        ("none.npy", CONTEXT, 3, "ArtifactError", None),
        ("x.npy", CONTEXT, 1, "StatementError", "statement"),
    ],
)
def test_errors_in_json(native: Path, inputs: str, context: str, code: int, error: str, check: str | None) -> None:
    files: Words = [native / "shown.zkp", native / "native.zkc", "--inputs", native / inputs, "--context", context]
    failed = as_json(results.Failure, "verify", *files)
    assert (failed.exit_code, failed.error, failed.check) == (code, error, check)
    assert failed.message in run("verify", *files).text


def test_too_little_memory_is_answered_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise MemoryError

    np.save(tmp_path / "x.npy", np.zeros((1, 4)))
    monkeypatch.setattr(zk, "prove", fail)
    monkeypatch.setattr(zk.Keys, "load", lambda *arguments, **options: None)
    done = run("prove", tmp_path, tmp_path / "x.npy", "-o", tmp_path / "proof.zkp")
    assert done.code == 4
    assert "zkinfer batch run" in done.text


def test_words_and_json_do_not_mix(native: Path) -> None:
    """Warnings stay on standard error; the console speaks again after a command that was asked for JSON."""
    arguments = ["inspect", str(native / "native.zkc")]
    before = CliRunner().invoke(app, arguments).stdout
    CliRunner().invoke(app, [*arguments, "--json"])
    assert CliRunner().invoke(app, arguments).stdout == before != ""
    verified = CliRunner().invoke(
        app,
        [
            *("verify", str(native / "proof.zkp"), str(native / "model.zkc")),
            *("--inputs", str(native / "x.npy"), "--context", CONTEXT, "--json"),
        ],
    )
    assert "everyone can forge" in verified.stderr
    assert verified.stdout.startswith('{"command":"verify","exit_code":0,')


def test_prove_writes_over_no_proof_unless_it_is_told_to(native: Path, tmp_path: Path) -> None:
    target = tmp_path / "proof.zkp"
    target.write_bytes(b"mine")
    left = zk.Keys.load(native / "native").proofs_left
    arguments: Words = ["prove", native / "native", native / "three.npy", "-o", target]
    done = run(*arguments)
    assert done.code == 3
    assert "--force" in done.text
    assert (target.read_bytes(), zk.Keys.load(native / "native").proofs_left) == (b"mine", left)
    assert run(*arguments, "--force").code == 0
    assert zk.Proof.load(target).commitment_digest == zk.Commitment.load(native / "native.zkc").digest


def test_outputs_that_went_through_json_are_compared(native: Path, tmp_path: Path) -> None:
    outputs = np.asarray(zk.Proof.load(native / "shown.zkp").outputs)
    files: Words = [native / "shown.zkp", native / "native.zkc", "--inputs", native / "three.npy", "--context", CONTEXT]
    (tmp_path / "y.json").write_text(json.dumps(outputs.tolist()))
    assert run("verify", *files, "--outputs", tmp_path / "y.json").code == 0
    (tmp_path / "y.json").write_text(json.dumps(np.round(outputs, 3).tolist()))
    refused(run("verify", *files, "--outputs", tmp_path / "y.json"), "statement")
    assert run("verify", *files, "--outputs", tmp_path / "y.json", "--decimals", "3").code == 0
    refused(run("verify", *files, "--outputs", tmp_path / "y.json", "--decimals", "5"), "statement")
    nothing_checked(run("verify", *files, "--decimals", "3"), "hand them in")


def test_a_folder_of_keys_says_how_many_proofs_are_left(shop: Path, tmp_path: Path) -> None:
    """And uses up none; above the default budget, setup says what it will cost before it starts."""
    done = run("setup", shop / "model.zkcircuit", "-o", tmp_path / "keys", "--proofs", "2001")
    assert done.code == 0
    assert "keys for 2,001 proofs, estimated: setup, once" in done.text.replace("\n", " ")
    keys = zk.Keys.load(tmp_path / "keys")
    zk.prove(keys, np.zeros((1, 4), dtype=np.float32))
    for _ in range(2):
        done = run("inspect", tmp_path / "keys")
        assert done.code == 0
        assert "2,000 of 2,001" in done.text
        assert keys.commitment.fingerprint in done.text
    shown = as_json(results.Inspected, "inspect", tmp_path / "keys")
    assert shown.kind == "secret part of proving keys"
    assert shown.bytes == sum(path.stat().st_size for path in (tmp_path / "keys").rglob("*") if path.is_file())


def test_keys_for_small_proofs_say_so(shop: Path, tmp_path: Path) -> None:
    """An estimate says beforehand what either choice takes; a choice that there is not is wrong usage."""
    circuit = shop / "model.zkcircuit"
    for named, other in (("small", "balanced"), ("balanced", "small")):
        estimated = as_json(results.Estimated, "estimate", circuit, "--proofs", "9", "--proof-size", named)
        rows = {fact.name: fact.value for fact in estimated.facts}
        assert rows["proof size"] == named
        assert "prove" in rows[f"with proof size {other}"]
    assert run("setup", circuit, "-o", tmp_path / "keys", "--proofs", "9", "--proof-size", "small").code == 0
    shown = as_json(results.Inspected, "inspect", tmp_path / "keys")
    assert ("proof size", "small") in [(fact.name, fact.value) for fact in shown.facts]
    assert "proof size" not in run("inspect", shop / "keys").text, "keys of ezkl have no choice"
    commands: list[Words] = [["setup", circuit, "-o", tmp_path / "more"], ["estimate", circuit]]
    for command in commands:
        refused = run(*command, "--proof-size", "tiny")
        assert refused.code == 2
        assert "'balanced', 'small'" in refused.text
    refused = run("setup", circuit, "-o", tmp_path / "more", "--proof-size", "small", *EZKL)
    assert refused.code == 3
    assert "have one size" in refused.text
    assert not (tmp_path / "more").exists()


def test_a_folder_without_keys_cannot_be_inspected(tmp_path: Path) -> None:
    done = run("inspect", tmp_path)
    assert done.code != 0
    assert "commitment.zkc" in done.text.replace("\n", "")


@pytest.mark.parametrize(
    "words",
    [
        ["compile", "model.onnx", "--calibration", "calibration.npy", "-o"],
        ["setup", "model.zkcircuit", "-o", "new-keys", "--publish"],
        ["prove", "keys", "other.npy", "-o"],
        ["seed", "keys", "-o"],
        ["inspect", "model.zkc", "--graph"],
        ["rotate", "keys", "-o", "rotated", "--publish"],
    ],
    ids=lambda words: str(words[0]),
)
def test_nothing_is_written_where_it_would_be_gone(
    shop: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    """A store that is this process's memory is refused before any work, and before a proof of the budget is spent."""
    monkeypatch.chdir(shop)
    left = zk.Keys.load("keys").proofs_left
    done = run(*words, "memory://gone")
    assert done.code == 2
    assert "would be gone when this command ends" in " ".join(done.text.replace("│", " ").split())
    assert zk.Keys.load("keys").proofs_left == left
    assert not Path("new-keys").exists()
