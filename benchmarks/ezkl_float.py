"""ezkl's own fixed-point quantization of a float model, at the best settings that a search finds.

The search, in ezkl's favour wherever a choice had to be made:

1. scales: the least sum of input and parameter scale whose worst error on the samples is within the tolerance;
2. lookup range: exactly what samples and calibration data need, no margin;
3. decomposition: every base and number of legs of `DECOMPOSITIONS` that computes the same witness;
4. k: every one from `LEAST_LOGROWS` to `MOST_LOGROWS`, each with the decomposition that is predicted to prove
   fastest; the predicted best is proven once, then its neighbours as long as they are faster.

A configuration is left out when ezkl refuses it, when a lookup leaves its range (its prover would hang), when it
does not finish within the limit, or when its proof does not verify.
"""

import json
import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from cases import Case
from measure import Stopwatch, float_outputs
from py_ecc.optimized_bn128 import curve_order

from zkinfer.errors import ZkinferError
from zkinfer.ezkl.cost import PROVING_SECONDS, blocks
from zkinfer.ezkl.runner import EzklCall, ProcessLimits, run
from zkinfer.ezkl.srs import forgeable_srs

DECOMPOSITIONS = ((128, 2), (256, 2), (512, 2), (1024, 2), (4096, 2), (64, 3), (128, 3), (256, 3), (1024, 3), (128, 4))
ROOMY = (4096, 3)
"""A decomposition that holds every value of a small model: for finding scales."""

CALIBRATION_SAMPLES = 16
"""How many of them ezkl has to have a witness for."""

FIRST_SAMPLES = 4
"""How many samples rule a scale out before all of them are computed."""

SCALES = range(4, 12)
LEAST_LOGROWS, MOST_LOGROWS = 9, 14
WIDE_RANGE = 1 << 20
LIMITS = ProcessLimits(seconds=120)

MODEL, SETTINGS, CIRCUIT, VERIFYING_KEY, PROVING_KEY, PROOF = (
    "model.onnx",
    "settings.json",
    "circuit",
    "vk",
    "pk",
    "proof",
)


@dataclass(frozen=True)
class Configuration:
    """ezkl's settings for one model; the names are ezkl's, but for `base` and `legs` (decomp_base, decomp_legs)."""

    input_scale: int
    param_scale: int
    base: int
    legs: int
    lookup_range: tuple[int, int]
    logrows: int
    visibility: str = "fixed"

    def arguments(self) -> dict[str, Any]:
        """As ezkl takes them."""
        return {
            "input_visibility": "public",
            "output_visibility": "public",
            "param_visibility": self.visibility,
            "input_scale": self.input_scale,
            "param_scale": self.param_scale,
            "decomp_base": self.base,
            "decomp_legs": self.legs,
            "lookup_range": list(self.lookup_range),
            "logrows": self.logrows,
            "num_inner_cols": 2,
            "ignore_range_check_inputs_outputs": True,
        }

    def __str__(self) -> str:
        scales = {self.input_scale, self.param_scale}
        scale = "/".join(map(str, (self.input_scale, self.param_scale) if len(scales) > 1 else scales))
        return f"scale {scale}, base {self.base}^{self.legs}, {self.visibility}"


@dataclass(frozen=True)
class Trial:
    """What the witnesses of a configuration show.

    Attributes:
        configuration: the settings.
        errors: absolute errors against the float model, all samples.
        lookup_range: smallest and largest argument of a static lookup.
        settings: ezkl's settings file.
    """

    configuration: Configuration
    errors: npt.NDArray[np.float64]
    lookup_range: tuple[int, int]
    settings: dict[str, Any]

    def predicted_seconds(self) -> float:
        """Proving time by the model of zkinfer's circuits, which ranks these well enough."""
        k = self.configuration.logrows
        lo, hi = self.configuration.lookup_range
        main = blocks(self.settings["num_rows"], k)
        tables = len(self.settings["required_lookups"]) * blocks(hi - lo + 1, k)
        tables += sum(blocks(hi - lo + 1, k) for lo, hi in self.settings["required_range_checks"])
        einsums = blocks(self.settings["einsum_params"]["total_einsum_col_size"], k)
        rates = PROVING_SECONDS
        weighted = rates.rows + rates.main * main + rates.main_tables * main * tables + rates.einsum * einsums
        return weighted * (1 << k)


@dataclass(frozen=True)
class FloatProof:
    """One setup and one proof.

    Attributes:
        setup, prove, verify: processor seconds: layout and keys; witness, proof and a first check; a check alone.
        wall: seconds of `prove` by the clock.
        peak_bytes: of any process.
        proving_key, verifying_key, proof: bytes.
        cells: assignments in the main region.
    """

    setup: float
    prove: float
    wall: float
    verify: float
    peak_bytes: int
    proving_key: int
    verifying_key: int
    proof: int
    cells: int


def _signed(element: str) -> int:
    value = int.from_bytes(bytes.fromhex(element), "little")
    return value - curve_order if value > curve_order // 2 else value


def _write_inputs(folder: Path, samples: npt.NDArray[np.float32]) -> list[str]:
    names = []
    for number, sample in enumerate(samples):
        names.append(f"input-{number}.json")
        (folder / names[-1]).write_text(json.dumps({"input_data": [sample.ravel().tolist()]}))
    return names


def try_out(case: Case, configuration: Configuration, count: int | None = None) -> Trial:
    """Lay a configuration out and compute witnesses; makes no keys.

    Args:
        case: the model and its data.
        configuration: the settings.
        count: how many samples; None for all of them and `CALIBRATION_SAMPLES` of the calibration data.

    Raises:
        ZkinferError: ezkl refuses it.
    """
    with tempfile.TemporaryDirectory(prefix="zkinfer-benchmark-") as name:
        folder = Path(name)
        (folder / MODEL).write_bytes(case.model)
        calibration = case.calibration[: CALIBRATION_SAMPLES if count is None else 0]
        inputs = _write_inputs(folder, np.concatenate([case.samples[:count], calibration]))
        calls = [
            EzklCall("gen_settings", (MODEL, SETTINGS), {"py_run_args": configuration.arguments()}),
            EzklCall("compile_circuit", (MODEL, CIRCUIT, SETTINGS)),
            *(EzklCall("gen_witness", (path, CIRCUIT, f"witness-{path}")) for path in inputs),
        ]
        run(calls, folder=folder, what="trying settings", limits=LIMITS)
        settings = json.loads((folder / SETTINGS).read_text())
        witnesses = [json.loads((folder / f"witness-{path}").read_text()) for path in inputs]
    scale = 2.0 ** settings["model_output_scales"][0]
    outputs: npt.NDArray[np.float64] = np.array(
        [[float(_signed(element)) for element in w["outputs"][0]] for w in witnesses[: len(case.samples[:count])]]
    )
    outputs /= scale
    errors = np.abs(outputs - float_outputs(case.model, case.samples[:count]).reshape(outputs.shape))
    used = (min(w["min_lookup_inputs"] for w in witnesses), max(w["max_lookup_inputs"] for w in witnesses))
    return Trial(configuration, errors, used, settings)


def _scale_pairs(case: Case) -> Iterator[tuple[int, int]]:
    pairs = [(i, p) for i in SCALES for p in (SCALES if case.has_weights else (i,)) if abs(i - p) <= 2]
    yield from sorted(pairs, key=lambda pair: (sum(pair), abs(pair[0] - pair[1])))


def find_scales(case: Case, tolerance: float) -> Trial:
    """The coarsest scales whose worst error is within the tolerance.

    Raises:
        ValueError: none of `SCALES` is.
    """
    for input_scale, param_scale in _scale_pairs(case):
        configuration = Configuration(input_scale, param_scale, *ROOMY, (-WIDE_RANGE, WIDE_RANGE), MOST_LOGROWS)
        try:
            if try_out(case, configuration, FIRST_SAMPLES).errors.max() > tolerance:
                continue
            trial = try_out(case, configuration)
        except ZkinferError:
            continue
        if trial.errors.max() <= tolerance:
            return trial
    raise ValueError(f"{case.name}: no scale of ezkl reaches an error of {tolerance:.4g}")


def candidates(case: Case, tolerance: float) -> list[Trial]:
    """Admissible configurations, one a k, the predicted fastest first."""
    roomy = find_scales(case, tolerance)
    lo, hi = min(roomy.lookup_range[0], -1), max(roomy.lookup_range[1], 1)
    found = []
    for base, legs in DECOMPOSITIONS:
        exact = replace(roomy.configuration, base=base, legs=legs, lookup_range=(lo, hi))
        try:
            trial = try_out(case, exact)
        except ZkinferError:
            continue
        if trial.errors.max() > tolerance or trial.lookup_range[0] < lo or trial.lookup_range[1] > hi:
            continue
        found.append(trial)
    fastest = [
        min(
            (replace(t, configuration=replace(t.configuration, logrows=logrows)) for t in found),
            key=Trial.predicted_seconds,
        )
        for logrows in range(LEAST_LOGROWS, MOST_LOGROWS + 1)
        if found
    ]
    return sorted(fastest, key=Trial.predicted_seconds)


def prove_once(case: Case, configuration: Configuration) -> FloatProof:
    """Make keys, prove the first sample, verify.

    Raises:
        ZkinferError: ezkl fails or does not finish.
    """
    srs = str(forgeable_srs(configuration.logrows))
    with tempfile.TemporaryDirectory(prefix="zkinfer-benchmark-") as name:
        folder = Path(name)
        (folder / MODEL).write_bytes(case.model)
        sample = _write_inputs(folder, case.samples[:1])[0]
        watch = Stopwatch()
        layout = EzklCall("gen_settings", (MODEL, SETTINGS), {"py_run_args": configuration.arguments()})
        run([layout], folder=folder, what="layout", limits=LIMITS)
        keys = [
            EzklCall("compile_circuit", (MODEL, CIRCUIT, SETTINGS)),
            EzklCall("setup", (CIRCUIT, VERIFYING_KEY, PROVING_KEY, srs)),
        ]
        made = run(keys, folder=folder, what="setup", limits=LIMITS)
        setup_seconds = watch.processor
        verify = EzklCall("verify", (PROOF, SETTINGS, VERIFYING_KEY, srs))
        prove = EzklCall("prove", ("witness.json", CIRCUIT, PROVING_KEY, PROOF), {"srs_path": srs})
        watch = Stopwatch()
        witness = EzklCall("gen_witness", (sample, CIRCUIT, "witness.json", VERIFYING_KEY, srs))
        computed = run([witness], folder=folder, what="witness", limits=LIMITS)
        proven = run([prove, verify], folder=folder, what="prove", limits=LIMITS)
        prove_seconds, wall = watch.processor, watch.wall
        watch = Stopwatch()
        run([verify], folder=folder, what="verify", limits=LIMITS)
        return FloatProof(
            setup=setup_seconds,
            prove=prove_seconds,
            wall=wall,
            verify=watch.processor,
            peak_bytes=max(made.peak_bytes, computed.peak_bytes, proven.peak_bytes),
            proving_key=(folder / PROVING_KEY).stat().st_size,
            verifying_key=(folder / VERIFYING_KEY).stat().st_size,
            proof=len(json.loads((folder / PROOF).read_text())["proof"]),
            cells=json.loads((folder / SETTINGS).read_text())["total_assignments"],
        )


def best(case: Case, tolerance: float) -> Trial:
    """The configuration that proves fastest: from the k predicted best, up and down as long as each is faster.

    Raises:
        ValueError: none works.
    """
    ranked = candidates(case, tolerance)
    by_logrows = {trial.configuration.logrows: trial for trial in ranked}
    seconds: dict[int, float] = {}

    def proves_in(logrows: int) -> float:
        if logrows not in by_logrows:
            return math.inf
        if logrows not in seconds:
            seconds[logrows] = _seconds_or_failure(case, by_logrows[logrows].configuration)
        return seconds[logrows]

    logrows = next((t.configuration.logrows for t in ranked if proves_in(t.configuration.logrows) < math.inf), None)
    if logrows is None:
        raise ValueError(f"{case.name}: no configuration of ezkl works")
    for step in (1, -1):
        while proves_in(logrows + step) < proves_in(logrows):
            logrows += step
    return by_logrows[logrows]


def _seconds_or_failure(case: Case, configuration: Configuration) -> float:
    try:
        seconds = prove_once(case, configuration).prove
    except ZkinferError as error:
        print(f"  ezkl, {configuration}, k {configuration.logrows}: {str(error)[:140]}", flush=True)
        return math.inf
    print(f"  ezkl, {configuration}, k {configuration.logrows}: proves in {seconds:.2f} s", flush=True)
    return seconds
