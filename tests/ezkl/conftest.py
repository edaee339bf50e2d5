"""A small program, and keys for it made once."""

import pytest
from support.example_programs import Example, mlp

from zkinfer.ezkl.keys import EzklKeys
from zkinfer.ezkl.setup import setup


@pytest.fixture(scope="session")
def example() -> Example:
    return mlp()


@pytest.fixture(scope="session")
def keys(example: Example, tmp_path_factory: pytest.TempPathFactory) -> EzklKeys:
    """Keys for `example`, from a fixed seed."""
    folder = tmp_path_factory.mktemp("keys") / "keys"
    return setup(example.program, example.weights, folder=folder, proofs=64, seed=bytes(32))
