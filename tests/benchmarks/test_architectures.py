"""Networks of the benchmark at small sizes: close to float, proven and verified, and what fails is said to."""

from collections.abc import Iterator
from types import ModuleType

import pytest
import torch
from support.benchmarks import loaded

pytestmark = pytest.mark.filterwarnings("ignore")  # the exporter's


@pytest.fixture(scope="module")
def architectures() -> Iterator[ModuleType]:
    yield from loaded("architectures")


def test_a_circuit_is_close_to_its_network(architectures: ModuleType) -> None:
    row = architectures.measure("ResNet", architectures.NETWORKS["ResNet-18 block"], proofs=False)
    assert row.good
    assert float(row.cosine) > 0.99999
    assert row.prove == ""


def test_a_network_is_proven_and_verified(architectures: ModuleType) -> None:
    row = architectures.measure("MLP", architectures.NETWORKS["MLP"], proofs=True)
    assert row.good
    assert all(float(cell.replace(",", "")) >= 0 for cell in (row.setup, row.prove, row.verify))
    assert int(row.proof.replace(",", "")) > 0


def test_sixteen_bits_survive_a_large_channel_and_eight_suffer(
    architectures: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(architectures, "OUTLIER_SETTINGS", ((6, "full"), (8, "full"), (16, "full")))
    monkeypatch.setattr(architectures, "OUTLIER_FACTORS", (50,))
    coarse, narrow, wide = (float(cosine) for _, _, cosine, _ in architectures.outliers())
    assert wide > 0.9999
    assert 1 - narrow > 100 * (1 - wide)
    assert narrow > coarse > 0.99


def test_a_network_that_is_refused_is_no_success(architectures: ModuleType) -> None:
    class Determinant(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.linalg.det(x.reshape(-1, 2, 2))

    row = architectures.measure("determinant", architectures.Network(Determinant, (4,)), proofs=True)
    assert not row.good
    assert row.network == "determinant: UnsupportedOperatorError"
    assert row.cells()[1:] == [""] * (len(architectures.HEADER) - 1)
