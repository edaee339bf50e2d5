"""Modules under the names that they had before: each works, or is refused with a sentence that names the new one."""

import importlib
import re
import subprocess
import sys
from importlib.util import find_spec

import pytest

import zkinfer
from zkinfer.moved import ALIASES, MOVED, PACKAGES, new_name

BEFORE = """
.: __main__ api approx artifact backends batch budget circuit cli commitment commitment_audit demo durations errors
    field lookup model onnx pcs progress proof quantize reduction replay rotation sampling security statement
    sumcheck transcript verifier warmup
approx: arithmetic build cost custom domain expressions functions intervals kernels multiprecision primitives slow
    table tuner
backends: base ezkl moving
backends.ezkl: cost estimate graph keys lowering prove runner salting settings setup srs worker
backends.sumcheck: cost estimate execute execute_matmul execute_products execute_views keys memory party phases
    prove rotate setup tensors trace witness
batch: challenge check_worker checks cluster executors files finish inputs items job lock manifest outputs receipt
    report report_plots runner sample_verification sampled shown_item sizing state verbs verification work worker
circuit: bounds encoding evaluate program qformat samples selector_bounds steps validate view_bounds
cli: app arrays audit batch batch_progress batch_report batch_sample console engine estimates inspect inspect_batch
    rotate
demo: forgeries reference story third_party
field: arithmetic arrays combine compiling encoding fast fold inverse ntt packing params slow threads vector warm
lookup: kernels params prover slow tables trees verifier
onnx: attention catalog decompose export importer load ops recurrence registry steps transforms trees
onnx.ops: arguments elementwise linear logic normalization pooling quantized reduction resize selection structure
    windows
pcs: claims combinations merkle merkle_kernels merkle_prover modular params prover randomness rotation
    rotation_prover search storage verifier
quantize: answers arithmetic builder calibrate comparison cost lazy lowered precision ranges reference report
    report_plot selection softmax tables target tournament tune
reduction: adjoint argument boxes boxpart contraction factors functional layout opening party plan reduce tables
sumcheck: base_kernels base_rounds channel kernels pads pads_prover params prover rounds slow tables verifier
verifier: bn254 claims ezkl_child ezkl_engine ezkl_proof halo2 interpreter keccak key kzg lineage machine native
    native_proof result slow transcript verify yul
verifier.slow: channel lookups openings pads plan reduction weights
"""
"""Every module of zkinfer before its folders were laid out anew: a folder, and what was in it."""


def modules_before() -> list[str]:
    """Their full names."""
    names, folder = [], ""
    for word in BEFORE.split():
        if word.endswith(":"):
            folder = word.rstrip(":.")
        else:
            names.append(".".join(filter(None, ("zkinfer", folder, word))))
    return names


def refusal(module: str) -> str | None:
    """What the import system says of a module that it does not find; None of one that it finds."""
    try:
        found = find_spec(module)
    except ModuleNotFoundError as error:
        return str(error)
    return None if found else "not found"


@pytest.mark.parametrize("old", modules_before())
def test_every_module_of_before_is_found_or_names_one_that_is(old: str) -> None:
    sentence = refusal(old)
    if sentence is None:
        return
    new = sentence.removeprefix(f"{old} is now ")
    assert new.startswith("zkinfer.")
    assert new != old
    assert refusal(new) is None


@pytest.mark.parametrize("old", sorted(PACKAGES))
def test_what_an_old_folder_held_is_named_with_the_new_one(old: str) -> None:
    package = importlib.import_module(f"zkinfer.{old}")
    with pytest.raises(AttributeError, match=rf"^zkinfer\.{old} is now {new_name(f'zkinfer.{old}')}: look for 'prove'"):
        _ = package.prove


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("import zkinfer.proof", "zkinfer.proof is now zkinfer.files.proof"),
        ("from zkinfer import proof", "zkinfer.proof is now zkinfer.files.proof"),
        ("from zkinfer.proof import OutputTensor", "zkinfer.proof is now zkinfer.files.proof"),
        ("from zkinfer.approx import build", "zkinfer.approx.build is now zkinfer.compiler.approx.build"),
        ("from zkinfer.approx.table import Table", "zkinfer.approx.table is now zkinfer.circuit.table"),
        ("from zkinfer.quantize.lazy import x", "zkinfer.quantize.lazy is now zkinfer.compiler.lowering.emitter"),
        ("import zkinfer.verifier.halo2", "zkinfer.verifier.halo2 is now zkinfer.ezkl.verifier.halo2"),
        ("from zkinfer.backends.ezkl import srs", "zkinfer.backends.ezkl.srs is now zkinfer.ezkl.srs"),
        ("import zkinfer.batch.verbs", "zkinfer.batch.verbs is now zkinfer.jobs.api"),
        ("from zkinfer.pcs import nothing", "zkinfer.pcs.nothing is now zkinfer.protocol.pcs"),
    ],
)
def test_the_sentence_is_about_what_was_asked_for(statement: str, sentence: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=rf"^{re.escape(sentence)}$"):
        exec(statement)


@pytest.mark.parametrize("name", ["zkinfer.nothing", "zkinfer.files.nothing", "zkinfer.verifier.nothing"])
def test_names_that_never_were_are_not_found_as_ever(name: str) -> None:
    assert new_name(name) is None
    with pytest.raises(ModuleNotFoundError, match=f"No module named '{name}'"):
        importlib.import_module(name)


def test_the_documented_name_of_jobs_still_works() -> None:
    """In a process of its own, in which nothing is imported before."""
    code = (
        "import zkinfer.batch\n"
        "from zkinfer.batch import run, verify_job\n"
        "import zkinfer as zk, zkinfer.jobs\n"
        "assert zk.batch is zk.jobs is zkinfer.jobs is zkinfer.batch\n"
        "assert run is zk.jobs.run"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert zkinfer.batch is zkinfer.jobs


def test_no_old_name_hides_a_module_that_exists() -> None:
    for old in (*MOVED, *ALIASES):
        assert new_name(f"zkinfer.{old}") != f"zkinfer.{old}"
    assert importlib.import_module("zkinfer.verifier.verify").__name__ == "zkinfer.verifier.verify"
