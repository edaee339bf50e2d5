"""Modules that had another name before: importing one fails with a sentence that says where it is now.

`zkinfer.batch` was documented as the way to run jobs, so it still works, as another name of `zkinfer.jobs`.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

ALIASES = {"batch": "jobs"}
"""Old names that work."""

MOVED = {
    "approx": "compiler.approx",
    "approx.kernels": "execution.tables",
    "approx.slow": "circuit.lookup",
    "approx.table": "circuit.table",
    "artifact": "files.artifact",
    "backends": "backend",
    "backends.base": "backend",
    "backends.ezkl": "ezkl",
    "backends.moving": "files.key_folder",
    "backends.sumcheck": "native",
    "backends.sumcheck.execute": "execution.executor",
    "backends.sumcheck.execute_matmul": "execution.matmul",
    "backends.sumcheck.execute_products": "execution.products",
    "backends.sumcheck.execute_views": "execution.views",
    "backends.sumcheck.memory": "native.allocator",
    "backends.sumcheck.phases": "timings",
    "backends.sumcheck.trace": "execution.lookups",
    "batch.checks": "jobs.batch_checker",
    "batch.finish": "jobs.finalize",
    "batch.report_plots": "pictures.scatter",
    "batch.shown_item": "jobs.item_bundle",
    "batch.verbs": "jobs.api",
    "budget": "files.budget",
    "cli.batch_sample": "cli.batch",
    "cli.estimates": "backend",
    "commitment": "files.commitment",
    "commitment_audit": "audits.commitment",
    "demo.reference": "demo.digits",
    "durations": "progress",
    "field": "protocol.field",
    "field.arithmetic": "protocol.field.kernels.arithmetic",
    "field.arrays": "protocol.field.kernels.arrays",
    "field.combine": "protocol.field.kernels.combine",
    "field.compiling": "jit.compiling",
    "field.fast": "protocol.field.kernels",
    "field.fold": "protocol.field.kernels.fold",
    "field.inverse": "protocol.field.kernels.inverse",
    "field.ntt": "protocol.field.kernels.ntt",
    "field.packing": "protocol.field.kernels.packing",
    "field.slow": "protocol.field.scalar",
    "field.threads": "jit.threads",
    "field.vector": "protocol.field.kernels.vector",
    "field.warm": "protocol.field.kernels.warm",
    "lookup": "protocol.lookup",
    "model": "compiler.model",
    "native.timings": "timings",
    "onnx": "compiler.onnx",
    "pcs": "protocol.pcs",
    "pcs.merkle": "protocol.merkle.paths",
    "pcs.merkle_kernels": "protocol.merkle.kernels",
    "pcs.merkle_prover": "protocol.merkle.tree",
    "pcs.modular": "protocol.field.modular",
    "pcs.randomness": "protocol.randomness",
    "pcs.storage": "native.storage",
    "proof": "files.proof",
    "quantize": "compiler.lowering",
    "quantize.answers": "compiler.calibration.metrics",
    "quantize.calibrate": "compiler.calibration.calibrate",
    "quantize.lazy": "compiler.lowering.emitter",
    "quantize.lowered": "compiler.lowering.result",
    "quantize.ranges": "compiler.calibration.ranges",
    "quantize.reference": "compiler.calibration.float_model",
    "quantize.report": "compiler.calibration.report",
    "quantize.report_plot": "compiler.calibration.report_plot",
    "quantize.target": "compiler.calibration.target",
    "quantize.tournament": "compiler.lowering.maxima",
    "quantize.tune": "compiler.calibration.tune",
    "reduction": "protocol.reduction",
    "reduction.argument": "protocol.native_proof",
    "reduction.boxpart": "protocol.reduction.box_functional",
    "replay": "audits.log",
    "rotation": "files.rotation",
    "sampling": "audits.sampling",
    "security": "protocol.security",
    "statement": "files.statement",
    "sumcheck": "protocol.sumcheck",
    "sumcheck.channel": "protocol.channel",
    "sumcheck.pads": "protocol.pads.params",
    "sumcheck.pads_prover": "protocol.pads.prover",
    "transcript": "protocol.transcript",
    "verifier.bn254": "ezkl.verifier.bn254",
    "verifier.ezkl_child": "ezkl.verifier.child",
    "verifier.ezkl_engine": "ezkl.verifier.engine",
    "verifier.ezkl_proof": "ezkl.verifier.proof",
    "verifier.halo2": "ezkl.verifier.halo2",
    "verifier.interpreter": "ezkl.verifier.interpreter",
    "verifier.keccak": "ezkl.verifier.keccak",
    "verifier.key": "ezkl.verifier.key",
    "verifier.kzg": "ezkl.verifier.kzg",
    "verifier.machine": "ezkl.verifier.machine",
    "verifier.slow": "verifier.reference",
    "verifier.transcript": "ezkl.verifier.transcript",
    "verifier.yul": "ezkl.verifier.yul",
    "warmup": "native.warmup",
}
"""Old names, without "zkinfer.", and where they are now. What is in a folder of the list moved with it, unless it is
listed itself."""

PACKAGES = {
    *("approx", "backends", "backends.ezkl", "backends.sumcheck", "field", "lookup", "onnx", "onnx.ops", "pcs"),
    *("quantize", "reduction", "sumcheck", "verifier.slow"),
}
"""Old folders: each imports as an empty package, so that the sentence is about the module in it that is asked for."""


def new_name(old: str) -> str | None:
    """Where an old module is now, both with "zkinfer."; None where there was none of that name.

    Where that module is gone too, the nearest folder that is left.
    """
    former = known = old.removeprefix("zkinfer.")
    while known not in MOVED and known not in ALIASES:
        known = known.rpartition(".")[0]
        if not known:
            return None
    new = "zkinfer." + (MOVED.get(known) or ALIASES[known]) + former.removeprefix(known)
    while not _exists(new) and "." in new:
        new = new.rpartition(".")[0]
    return new


def _exists(module: str) -> bool:
    """Whether zkinfer has such a module; nothing is imported to find out."""
    base = Path(__file__).parent.joinpath(*module.split(".")[1:])
    return base.with_suffix(".py").is_file() or (base / "__init__.py").is_file()


class _Moved(MetaPathFinder, Loader):
    """Finds old names alone."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        new = new_name(fullname) if fullname.startswith("zkinfer.") else None
        if new is None or _exists(fullname):
            return None
        if fullname.removeprefix("zkinfer.") in (*ALIASES, *PACKAGES):
            return ModuleSpec(fullname, self, is_package=True)
        # Without `name`: `from zkinfer import proof` hides an error that names the module which it looked for.
        raise ModuleNotFoundError(f"{fullname} is now {new}")

    def exec_module(self, module: ModuleType) -> None:
        old, new = module.__name__.removeprefix("zkinfer."), new_name(module.__name__)
        if old in ALIASES:
            sys.modules[module.__name__] = import_module(f"zkinfer.{ALIASES[old]}")

        def refuse(name: str) -> Any:
            raise AttributeError(f"{module.__name__} is now {new}: look for {name!r} there")

        module.__dict__["__getattr__"] = refuse


def register() -> None:
    """Answer imports of old names, ahead of all other finders: what is in `zkinfer.jobs` must not be found a second
    time, as a part of `zkinfer.batch`."""
    sys.meta_path.insert(0, _Moved())
