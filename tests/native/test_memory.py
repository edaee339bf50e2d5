"""A proof for which a machine has too little memory is refused before it is begun."""

from pathlib import Path

import numpy as np
import pytest
from support.example_programs import mlp

from zkinfer.errors import ResourceError
from zkinfer.memory_limits import memory_limit
from zkinfer.native import estimate as estimates
from zkinfer.native import memory
from zkinfer.native.estimate import estimate
from zkinfer.native.memory import require_memory
from zkinfer.native.setup import setup

EXAMPLE = mlp()
PRESENT = 180_000_000
LARGEST = 1 << 18
"""Runs that take more than that: most of it is the process itself."""


def test_this_machine_has_memory() -> None:
    assert memory_limit() > 1 << 27


def test_what_does_not_fit_is_refused_with_what_does(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = setup(EXAMPLE.program, EXAMPLE.weights, proofs=2)
    (tensor,) = EXAMPLE.program.inputs
    monkeypatch.setattr(memory, "memory_limit", lambda: PRESENT)
    with pytest.raises(ResourceError, match="at once, or fewer") as caught:
        keys.prove([np.zeros((LARGEST, *tensor.shape), dtype=np.int64)], b"")
    assert keys.proofs_left == 2
    fitting = int(str(caught.value).partition(": prove ")[2].split()[0].replace(",", ""))
    assert 1 <= fitting < LARGEST
    require_memory(keys.commitment, fitting, private_inputs=False, private_outputs=False)
    assert len(keys.prove([np.zeros((1, *tensor.shape), dtype=np.int64)], b"").to_bytes())


def test_where_not_even_one_inference_fits_another_machine_is_advised(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = setup(EXAMPLE.program, EXAMPLE.weights, proofs=2)
    (tensor,) = EXAMPLE.program.inputs
    monkeypatch.setattr(memory, "memory_limit", lambda: 1 << 20)
    with pytest.raises(ResourceError, match=r"a machine with .* or more"):
        keys.prove([np.zeros((1, *tensor.shape), dtype=np.int64)], b"", private_inputs=True)


def test_an_estimate_says_what_the_machine_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    cost = estimate(EXAMPLE.program, EXAMPLE.weights, proofs=2)
    monkeypatch.setattr(estimates, "memory_limit", lambda: 1 << 50)
    assert "machine" not in dict(cost.rows())["memory"]
    monkeypatch.setattr(estimates, "memory_limit", lambda: 1 << 20)
    assert "this machine has 1.0 MB" in dict(cost.rows())["memory"]


def test_keys_that_do_not_fit_are_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "memory_limit", lambda: sum(weight.size for weight in EXAMPLE.weights))
    with pytest.raises(ResourceError, match=r"keys for [\d,]+ weights .* on a machine with .* or more"):
        setup(EXAMPLE.program, EXAMPLE.weights, folder=tmp_path / "keys", proofs=2)
    assert not list(tmp_path.iterdir())
