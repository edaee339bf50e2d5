"""ezkl's settings, chosen by us: exact integers, committed inputs, fixed parameters, and k from the cost model.

ezkl's own calibration is not used: it measures ranges on samples, and a range that a sample did not show makes
the prover hang. Ours are proven.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zkinfer.circuit.program import Lookup, Program
from zkinfer.circuit.regions import unroll
from zkinfer.errors import ResourceError
from zkinfer.ezkl.cost import INNER_COLUMNS, RESERVED_ROWS, CircuitSize, cheapest_logrows
from zkinfer.ezkl.instances import STATEMENT_WORDS
from zkinfer.ezkl.lowering import LoweredProgram, lower
from zkinfer.ezkl.runner import EzklCall, ProcessLimits, run

DECOMPOSITION_BASE = 256
DECOMPOSITION_LEGS = 4
MIN_LOGROWS = 8
MAX_LOGROWS = 24
MODEL_FILE = "model.onnx"
SETTINGS_FILE = "settings.json"


def run_arguments(logrows: int) -> dict[str, Any]:
    """The arguments that every zkinfer circuit is made with.

    Scale 0 and no lookup range: integers as they are, and no operation that would need ezkl's own rounding.
    `polycommit` inputs: ezkl publishes a KZG commitment of each graph input, the weights' first.
    """
    return {
        "input_visibility": "polycommit",
        "output_visibility": "public",
        "param_visibility": "fixed",
        "input_scale": 0,
        "param_scale": 0,
        "lookup_range": [0, 0],
        "logrows": logrows,
        "num_inner_cols": INNER_COLUMNS,
        "ignore_range_check_inputs_outputs": True,
        "decomp_base": DECOMPOSITION_BASE,
        "decomp_legs": DECOMPOSITION_LEGS,
    }


@dataclass(frozen=True)
class Settings:
    """ezkl's settings for one program.

    Attributes:
        text: the settings file, canonical JSON (keys sorted, no time stamp).
        logrows: k.
        size: what the circuit takes, as ezkl counts it.
    """

    text: str
    logrows: int
    size: CircuitSize


def minimum_logrows(program: Program, salt: int) -> int:
    """The least k whose columns hold the largest table, the instances and the salt.

    Raises:
        ResourceError: no supported k is large enough, or a recurrence has too many steps.
    """
    lookups = [node for node in unroll(program).nodes if isinstance(node, Lookup)]
    tables = [max(len(program.tables[node.table].values) + len(lookups), 1 << node.shift) for node in lookups]
    public = STATEMENT_WORDS + sum(t.size for t in (*program.inputs, *program.output_tensors))
    needed = max([public, 2 * salt, *tables]) + RESERVED_ROWS
    logrows = max(MIN_LOGROWS, (needed - 1).bit_length())
    if logrows > MAX_LOGROWS:
        raise ResourceError(
            f"{needed:,} rows need k = {logrows}, over the limit of {MAX_LOGROWS}; compile with fewer table "
            "entries or a smaller batch"
        )
    return logrows


def choose_settings(
    program: Program, salt: int, folder: Path, *, limits: ProcessLimits | None = None
) -> tuple[LoweredProgram, Settings]:
    """Lower a program for the cheapest k; leaves the model and its settings in `folder`.

    Args:
        program: a validated program.
        salt: random field elements in each committed column of weights.
        folder: where `MODEL_FILE` and `SETTINGS_FILE` go.
        limits: time and memory.

    Raises:
        BoundsError, ResourceError, EzklCallError: ezkl cannot lay the circuit out.
    """
    least = minimum_logrows(program, salt)
    lowered, settings = lay_out(program, salt, least, folder, limits=limits)
    logrows = cheapest_logrows(settings.size, least, MAX_LOGROWS)
    return (lowered, settings) if logrows == least else lay_out(program, salt, logrows, folder, limits=limits)


def lay_out(
    program: Program, salt: int, logrows: int, folder: Path, *, limits: ProcessLimits | None = None
) -> tuple[LoweredProgram, Settings]:
    """Lower a program for a given k and have ezkl count its cells; the same bytes each time.

    Raises:
        BoundsError, ResourceError, EzklCallError: ezkl cannot lay the circuit out in columns of 2**logrows rows.
    """
    lowered = lower(program, salt=salt, logrows=logrows)
    (folder / MODEL_FILE).write_bytes(lowered.model)
    call = EzklCall("gen_settings", (MODEL_FILE, SETTINGS_FILE), {"py_run_args": run_arguments(logrows)})
    run([call], folder=folder, what="laying out the circuit", limits=limits)
    path = folder / SETTINGS_FILE
    text = canonical(path.read_text())
    path.write_text(text)
    return lowered, Settings(text, logrows, circuit_size(text))


def canonical(text: str) -> str:
    """Settings without what differs from run to run: the time stamp, and the order of keys and of ezkl's hash sets."""
    settings = json.loads(text)
    settings["timestamp"] = 0
    sets = (settings["required_range_checks"], settings["required_lookups"], settings["einsum_params"]["equations"])
    for unordered in sets:
        unordered.sort(key=lambda entry: json.dumps(entry, sort_keys=True))
    return json.dumps(settings, sort_keys=True, separators=(",", ":"))


def circuit_size(text: str) -> CircuitSize:
    """The size of the circuit, from a settings file."""
    settings = json.loads(text)
    return CircuitSize(
        cells=settings["total_assignments"],
        einsum_cells=settings["einsum_params"]["total_einsum_col_size"],
        table_cells=settings["total_dynamic_col_size"],
        lookups=settings["num_dynamic_lookups"],
        committed_cells=tuple(settings["module_sizes"]["polycommit"]),
    )
