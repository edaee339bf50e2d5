"""Random small models of all supported operators beside onnxruntime, in and out of calibration.

    python benchmarks/fidelity.py [--count 300] [--seed 0] [--name PATTERN] [--networks] [--markdown FILE]

Each model has one supported operator, in units of its inputs and behind further operators that are drawn. It is
compiled on some samples and run on others: samples like those, and samples that are quieter, louder, or have a feature
at an end of its range, as far as the circuit accepts them. A model counts as

* right: on all of these the outputs are those of onnxruntime, as closely as `TYPICAL` and `STRESS` allow. Near ties are
  left out: decisions, such as the position of a maximum or the side of a threshold, that onnxruntime itself takes
  otherwise for inputs that differ by less than a circuit can tell apart, see `TIE`;
* warned: they are not, and an `AccuracyWarning` or saturations in a report say so;
* wrong: they are not, and nothing says so. The exit status is 1 if there is one, or one that crashed;
* refused: the library raises an error of its own;
* crashed: it raises another one.

With `--networks` small transformers are measured instead: with float masks, outlier channels and inputs in other units,
at 8 and at 16 bits.
"""

import argparse
import fnmatch
import sys
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from measure import ROOT, markdown_table, provenance
from onnx import TensorProto, helper, numpy_helper, parser
from runtime import onnxruntime

import zkinfer as zk
from zkinfer.circuit.qformat import dequantize
from zkinfer.errors import AccuracyWarning, ZkinferError

sys.path.insert(0, str(ROOT / "tests"))
from support.operator_cases import CASES, drawn

Array = npt.NDArray[Any]

CALIBRATION, HELD_OUT = 64, 24
TYPICAL, STRESS = 0.0447, 0.141
"""The largest root mean square error, relative to onnxruntime, or share of differing integers, that counts as right: a
cosine of 0.999 on inputs like those of calibration, and of 0.99 on others."""

LEAST_ELEMENTS = 4
"""Outputs with fewer numbers are compared over all samples alone, because one may happen to be near zero."""

FEW_VALUES = 3
"""Outputs that take no more values are decisions, where a tie costs a whole step."""

TIE, TIE_DRAWS = 2.0**-11, 16
"""An element is a near tie, and counts neither way, if onnxruntime itself decides it otherwise where its inputs move by
so much of what calibration saw in them: about what the formats and tables of 16 bits round to along the way."""

JUMP = 0.25
"""A quantity that moves by more than this share of the largest then is behind a decision: it jumps."""

DECADES = 3.0
"""Inputs have units from 10**-DECADES to 10**DECADES."""

TAILS = {
    "scaled": "{out} = Mul({x}, scale)",
    "Relu": "{out} = Relu({x})",
    "Tanh": "{out} = Tanh({x})",
    "Sigmoid": "{out} = Sigmoid({x})",
    "SiLU": "{out}_s = Sigmoid({x})\n{out} = Mul({x}, {out}_s)",
    "square": "{out} = Mul({x}, {x})",
    "centred": "{out}_m = ReduceMean({x}, last)\n{out} = Sub({x}, {out}_m)",
    "normalized": "{out} = LayerNormalization({x}, one)",
    "Softmax": "{out} = Softmax({x})",
    "total": "{out} = ReduceSum({x}, last)",
    "doubled": "{out} = Concat<axis=-1>({x}, {x})",
    "largest": "{out} = ReduceMax({x}, last)",
}
"""Operators that may follow, on a float tensor with a last axis."""


@dataclass(frozen=True)
class Drawn:
    """A random model and its samples.

    Attributes:
        name: of the operator's case, and of what follows it.
        model: in ONNX, for a batch of one.
        calibration, held_out: one array an input, samples first.
    """

    name: str
    model: onnx.ModelProto
    calibration: list[Array]
    held_out: list[Array]


@dataclass(frozen=True)
class Outcome:
    """What came of a model.

    Attributes:
        verdict: "right", "warned", "wrong", "refused" or "crashed".
        detail: the largest deviation and where, or the error.
    """

    verdict: str
    detail: str


def draw(case_name: str, seed: int) -> Drawn:
    """A model around an operator's case, and samples of it; the same for the same seed."""
    rng = np.random.default_rng(seed)
    case = CASES[case_name]
    model = case.model()
    samples = [_spread(rng, name, shape) for name, shape in case.with_beside().items()]
    names = [case_name]
    units: list[float] = []
    for value in model.graph.input:
        in_float = value.type.tensor_type.elem_type == TensorProto.FLOAT
        units.append(10 ** rng.uniform(-DECADES, DECADES) if in_float and rng.random() < 0.5 else 1.0)
    _put_units(model, units)
    samples = [(x * np.float32(u) if u != 1.0 else x) for x, u in zip(samples, units, strict=True)]
    for _ in range(rng.integers(0, 3)):
        tail = str(rng.choice(list(TAILS)))
        if _append(model, tail, len(names), rng):
            names.append(tail)
    return Drawn(" > ".join(names), model, [x[:CALIBRATION] for x in samples], [x[CALIBRATION:] for x in samples])


def _spread(rng: np.random.Generator, name: str, shape: Sequence[int]) -> Array:
    """Samples of an input: as the case draws them, and reals with rows of different sizes half of the time."""
    count = CALIBRATION + HELD_OUT
    x = drawn(rng, name[0], (count, 1, *shape))
    if name[0] in "xz" and rng.random() < 0.5:
        x = (x * np.exp(rng.uniform(-3, 0, (count, 1, *(1 for _ in shape))))).astype(np.float32)
    return x


def _put_units(model: onnx.ModelProto, units: Sequence[float]) -> None:
    """Inputs in other units, which the model divides by; in place."""
    first: list[onnx.NodeProto] = []
    for value, unit in zip(model.graph.input, units, strict=True):
        if unit != 1.0:
            name = value.name
            for node in model.graph.node:
                node.input[:] = [f"{name}_here" if i == name else i for i in node.input]
            first.append(helper.make_node("Mul", [name, f"{name}_unit"], [f"{name}_here"]))
            model.graph.initializer.append(numpy_helper.from_array(np.float32(1 / unit), f"{name}_unit"))
    nodes = [*first, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _append(model: onnx.ModelProto, tail: str, place: int, rng: np.random.Generator) -> bool:
    """Put further operators after the first output, if that holds floats and has a last axis; in place."""
    inferred = onnx.shape_inference.infer_shapes(model)
    output = inferred.graph.output[0]
    kind, shape = output.type.tensor_type.elem_type, output.type.tensor_type.shape
    is_old = next(o.version for o in model.opset_import if not o.domain) < 18
    if kind != TensorProto.FLOAT or len(shape.dim) < 2 or not shape.dim[-1].dim_value or is_old:
        return False
    x, out = output.name, f"tail{place}"
    width = shape.dim[-1].dim_value
    constants = {
        "scale": np.float32(10 ** rng.uniform(-2, 2)),
        "last": np.array([-1]),
        "one": np.ones(width, np.float32),
    }
    for line in TAILS[tail].format(x=x, out=out).splitlines():
        node = parser.parse_node(line)
        for number, name in enumerate(node.input):
            if name in constants:
                node.input[number] = f"{out}_{name}"
                model.graph.initializer.append(numpy_helper.from_array(np.asarray(constants[name]), f"{out}_{name}"))
        model.graph.node.append(node)
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info(out, TensorProto.FLOAT, None))
    return True


def of_onnxruntime(model: onnx.ModelProto, samples: Sequence[Array]) -> list[Array]:
    """The model's outputs, sample by sample, each of shape (samples, ...)."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    runs = [session.run(None, dict(zip(names, feed, strict=True))) for feed in zip(*samples, strict=True)]
    return [np.stack(arrays) for arrays in zip(*runs, strict=True)]


def is_decision(output: Array) -> bool:
    """Whether an output is one of a few values rather than a quantity."""
    return output.dtype.kind != "f" or len(np.unique(output)) <= FEW_VALUES


def differs(wanted: Array, found: Array, share: float = 0.01) -> npt.NDArray[np.bool_]:
    """Where two outputs differ by more than this share of the largest number."""
    return np.asarray(np.abs(wanted.astype(np.float64) - found) > share * np.abs(wanted).max(initial=1e-9))


def near_ties(example: Drawn, samples: Sequence[Array], expected: Sequence[Array]) -> list[npt.NDArray[np.bool_]]:
    """For each output, where onnxruntime decides otherwise if its inputs move by `TIE`."""
    ties = [np.zeros(output.shape, dtype=bool) for output in expected]
    rng = np.random.default_rng(0)
    for _ in range(TIE_DRAWS):
        moved = []
        for x, known in zip(samples, example.calibration, strict=True):
            by = TIE * np.abs(known).max(initial=0.0) * rng.choice([-1.0, 1.0], x.shape) if x.dtype.kind == "f" else 0
            moved.append((x + by).astype(x.dtype))
        for tie, output, other in zip(ties, expected, of_onnxruntime(example.model, moved), strict=True):
            with np.errstate(invalid="ignore"):
                tie |= differs(output, other) if is_decision(output) else differs(output, other, JUMP)
    return ties


def deviation(expected: Array, found: Array, ties: npt.NDArray[np.bool_]) -> float:
    """The relative root mean square error of floats, of all samples or of all but a tenth of them; or the share that
    differs, of integers and of what takes few values. Near ties are left out."""
    wanted = expected.astype(np.float64)
    found = np.where(ties, wanted, found)
    if is_decision(expected):
        return float(np.mean(differs(wanted, found)[~ties])) if not ties.all() else 0.0
    error, norm = np.linalg.norm(wanted - found), np.linalg.norm(wanted)
    pooled = float(error / norm) if norm else float(error > 0)
    if wanted[0].size < LEAST_ELEMENTS:
        return pooled
    rows, off = wanted.reshape(len(wanted), -1), (wanted - found).reshape(len(wanted), -1)
    norms, errors = np.linalg.norm(rows, axis=1), np.linalg.norm(off, axis=1)
    return max(pooled, float(np.quantile(np.where(norms > 0, errors / np.where(norms > 0, norms, 1), errors > 0), 0.9)))


def conditions(circuit: zk.Circuit, example: Drawn, rng: np.random.Generator) -> dict[str, list[Array]]:
    """Samples to run: held out, and others; all within the ranges that the circuit accepts."""
    held_out = example.held_out

    def scaled(factor: float) -> list[Array]:
        return [(x * np.float32(factor)).astype(x.dtype) if x.dtype.kind == "f" else x for x in held_out]

    ends = [x.copy() for x in held_out]
    for x, known in zip(ends, example.calibration, strict=True):
        rows, flat = np.arange(len(x)), x.reshape(len(x), -1)
        places = rng.integers(flat.shape[1], size=len(x))
        limits = known.reshape(len(known), -1)
        flat[rows, places] = np.where(rows % 2, limits.max(axis=0)[places], limits.min(axis=0)[places])
    found = {"held out": held_out, "x 0.1": scaled(0.1), "x 0.3": scaled(0.3), "x 1.2": scaled(1.2), "ends": ends}
    return {
        name: [_accepted(x, tensor) for x, tensor in zip(samples, circuit.program.inputs, strict=True)]
        for name, samples in found.items()
    }


def _accepted(x: Array, tensor: Any) -> Array:
    if x.dtype.kind != "f":
        return x
    lo, hi = (dequantize(np.full(x.shape[1:], bound), tensor) for bound in (tensor.lo, tensor.hi))
    return np.clip(x, lo, hi).astype(x.dtype)


def measured(example: Drawn) -> Outcome:
    """Compile a model and compare it with onnxruntime."""
    try:
        of_onnxruntime(example.model, example.held_out)
    except Exception as error:
        return Outcome("refused", f"onnxruntime: {str(error)[:100]}")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            circuit = zk.compile(example.model, [x[:, 0] for x in example.calibration])
        warned = any(issubclass(w.category, AccuracyWarning) for w in caught)
        worst = (0.0, "")
        for name, samples in conditions(circuit, example, np.random.default_rng(0)).items():
            expected = of_onnxruntime(example.model, samples)
            outputs = circuit.run([x[:, 0] for x in samples], saturate=True)
            ties = near_ties(example, samples, expected)
            for want, found, tie in zip(
                expected, outputs if isinstance(outputs, tuple) else (outputs,), ties, strict=True
            ):
                finite = np.isfinite(want.astype(np.float64)).reshape(len(want), -1).all(axis=1)
                off = deviation(want[finite], found.reshape(want.shape)[finite], tie[finite]) if finite.any() else 0.0
                limit = TYPICAL if name == "held out" else STRESS
                if off > limit and off / limit > worst[0]:
                    report = circuit.report([x[:, 0] for x in samples], stress=False)
                    warned = warned or report.saturated > 0
                    worst = (off / limit, f"{name}: off by {off:.3g}, {report.saturated} saturated")
    except ZkinferError as error:
        return Outcome("refused", f"{type(error).__name__}: {error}")
    except Exception as error:
        return Outcome("crashed", f"{type(error).__name__}: {error}")
    if not worst[0]:
        return Outcome("right", "")
    return Outcome("warned" if warned else "wrong", worst[1])


def random_models(count: int, seed: int, pattern: str, markdown: Path | None) -> int:
    """Measure so many models, all cases in turn; the exit status."""
    names = [name for name in CASES if fnmatch.fnmatch(name, pattern)]
    tally: Counter[str] = Counter()
    start = time.perf_counter()
    for number in range(count):
        example = draw(names[(seed + number) % len(names)], seed * 1_000_003 + number)
        outcome = measured(example)
        tally[outcome.verdict] += 1
        if outcome.verdict != "right":
            print(f"{outcome.verdict:8} {number:4} {example.name}: {outcome.detail[:170]}", flush=True)
    verdicts = ("right", "warned", "refused", "wrong", "crashed")
    print(", ".join(f"{verdict} {tally[verdict]}" for verdict in verdicts), f"in {time.perf_counter() - start:.0f} s")
    if markdown is not None:
        row = [str(count), *(str(tally[verdict]) for verdict in verdicts)]
        command = f"python benchmarks/fidelity.py --count {count} --seed {seed}"
        markdown.write_text(f"{provenance(command)}\n\n{markdown_table(('models', *verdicts), [row])}\n")
    return int(bool(tally["wrong"] or tally["crashed"]))


def main() -> int:
    parser_ = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser_.add_argument("--count", type=int, default=300, help="how many random models")
    parser_.add_argument("--seed", type=int, default=0, help="other models for another seed")
    parser_.add_argument("--name", default="*", help="only operators whose case matches this pattern")
    parser_.add_argument("--networks", action="store_true", help="measure small transformers instead")
    parser_.add_argument("--markdown", type=Path, help="write the table here")
    given = parser_.parse_args()
    if given.networks:
        from fidelity_networks import networks

        return networks(given.markdown)
    return random_models(given.count, given.seed, given.name, given.markdown)


if __name__ == "__main__":
    sys.exit(main())
