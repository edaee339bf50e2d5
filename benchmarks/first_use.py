"""The first use on a machine, and the first proof of a process: `first_use.py [--model NAME] [--processes N]`.

Every measured process runs on one core, from the start of Python to its end:

* first use: with an empty cache of kernels it reads a circuit, makes keys and one proof;
* later: it reads the keys and makes one proof, and finds the kernels on disk; the median of N processes.

Processor seconds are what other programs disturb least. Kernels are counted once for each tuple of types.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from measure import ROOT, Stopwatch, markdown_table, provenance

import zkinfer as zk

BEGIN = """
import os, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import numpy as np
import zkinfer as zk
model, folder = sys.argv[1:]
"""

FIRST = (
    BEGIN
    + """
keys = zk.setup(zk.Circuit.load(folder + "/model.zkcircuit"), folder=folder + "/keys")
zk.prove(keys, np.load(model + "/held-out.npy")[:1])
"""
)

LATER = (
    BEGIN
    + """
zk.prove(zk.Keys.load(folder + "/keys"), np.load(model + "/held-out.npy")[:1])
"""
)

COUNT = """
import json
from numba.core.dispatcher import Dispatcher
modules = [module for name, module in sys.modules.items() if name.startswith("zkinfer.")]
found = {id(it): it.stats for module in modules for it in vars(module).values()
         if isinstance(it, Dispatcher) and it._cache.cache_path}
print(json.dumps([sum(sum(stats[i].values()) for stats in found.values()) for i in (2, 1)]))
"""
"""Of numba's statistics: what it has compiled to be kept, and what it has loaded."""


@dataclass(frozen=True)
class Use:
    """What one process took, and how many kernels it compiled and loaded."""

    processor: float
    wall: float
    compiled: int
    loaded: int


def measured(program: str, model: Path, folder: Path) -> Use:
    """Run a program in a process of its own, whose cache of kernels is in the folder."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder / "kernels"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program + COUNT, str(model), str(folder)]
    watch = Stopwatch()
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    processor, wall = watch.processor, watch.wall
    compiled, loaded = json.loads(done.stdout)
    return Use(processor, wall, compiled, loaded)


def row(name: str, uses: list[Use]) -> list[str]:
    """The median of some processes."""
    seconds = [statistics.median(getattr(use, field) for use in uses) for field in ("processor", "wall")]
    return [name, *(f"{s:.2f}" for s in seconds), str(uses[-1].compiled), str(uses[-1].loaded)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="digits-mlp", help="folder of circuits/")
    parser.add_argument("--processes", type=int, default=9, help="that make a proof each with kernels on disk")
    arguments = parser.parse_args()
    model = ROOT / "circuits" / arguments.model
    print(provenance("first_use.py"))
    with TemporaryDirectory() as name:
        folder = Path(name)
        zk.compile(model / "model.onnx", np.load(model / "calibration.npy")).save(folder / "model.zkcircuit")
        first = measured(FIRST, model, folder)
        later = [measured(LATER, model, folder) for _ in range(arguments.processes)]
    rows = [row("first use: keys and a proof", [first]), row("later: a proof", later)]
    print(markdown_table(["process", "processor s", "wall s", "kernels compiled", "loaded"], rows))


if __name__ == "__main__":
    main()
