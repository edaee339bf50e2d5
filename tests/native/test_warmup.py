"""After a warmup no proof has to wait for a compiler."""

import subprocess
import sys

import pytest

pytest.importorskip("numba")

PREAMBLE = """
import inspect
from importlib import import_module

import numpy as np
from numba.core import event
from numba.core.dispatcher import Dispatcher

from zkinfer.native.warmup import warmup

recorded = event.RecordingListener()

def compiled():
    return sum(1 for _, e in recorded.buffer if e.is_start)
"""

SECOND_PROCESS = """
with event.install_listener("numba:compile", recorded):
    warmup()
print(compiled())
"""

SIGNATURES = """
warmup()
names = ("sumcheck.kernels", "sumcheck.base_kernels", "lookup.kernels", "lookup.column_kernels", "merkle.kernels")
modules = [import_module(f"zkinfer.protocol.{name}") for name in names]
for module in modules:
    for name, member in inspect.getmembers(module, lambda m: isinstance(m, Dispatcher)):
        kept_on_disk = hasattr(member._cache, "_cache_file")
        if kept_on_disk:
            print(name, len(member.signatures))
"""

LARGER_PROOF = """
from zkinfer.protocol.lookup import prover
from zkinfer.protocol.lookup.params import Block, LookupInstance
from zkinfer.protocol.lookup.tables import RangeTable, affine_table
from zkinfer.protocol.channel import ProverChannel, Writer
from zkinfer.protocol.lookup.protocol import run_lookup
from zkinfer.protocol.transcript import Transcript

warmup()
instance = LookupInstance((RangeTable(64), affine_table(32, 0, 3, 1)), (Block(0, 11), Block(1, 9), Block(0, 1)))
inputs = np.arange(2048.0) % 32
blocks = [[inputs], [inputs[:512], 3 * inputs[:512] + 1], [inputs[:2]]]
with event.install_listener("numba:compile", recorded):
    counts = prover.multiplicities(instance, blocks)
    witness = prover.KernelWitness(instance, blocks, counts)
    run_lookup(instance, ProverChannel(Transcript(b"test"), Writer()), witness)
print(compiled())
"""


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", PREAMBLE + code], check=True, capture_output=True, text=True).stdout


def test_the_second_process_compiles_nothing() -> None:
    run("warmup()")
    assert run(SECOND_PROCESS) == "0\n"


def test_every_kernel_is_called() -> None:
    calls = dict(line.split() for line in run(SIGNATURES).splitlines())
    assert {"product_sums", "first_fold", "next_layer", "column_layer"} <= set(calls)
    assert "0" not in calls.values(), calls


def test_a_proof_of_another_shape_finds_all_its_kernels() -> None:
    assert run(LARGER_PROOF) == "0\n"
