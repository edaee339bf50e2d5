"""Small transformers with what trained ones have: float masks, outliers, and inputs in other units."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from measure import markdown_table, provenance
from networks import NETWORKS, VOCABULARY, WIDTH, Embedding, PreNormLayer, feed_forward, randomized, with_outlier
from torch import Tensor, nn

import zkinfer as zk
from zkinfer.errors import AccuracyWarning, ZkinferError

Array = npt.NDArray[Any]

SAMPLES, HELD_OUT, TOKENS = 72, 8, 8
LEAST_COSINES = {8: 0.999, 16: 0.99999}
"""What a network has to reach with so many bits for activations and weights."""


class MaskedAttention(nn.Module):
    """Self-attention whose mask is a float tensor that is added to the scores."""

    def __init__(self, low: float, heads: int = 4) -> None:
        super().__init__()
        self.low, self.heads = low, heads
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        batch, positions, width = x.shape
        shape = batch, positions, self.heads, width // self.heads
        q, k, v = (layer(x).view(shape).transpose(1, 2) for layer in (self.query, self.key, self.value))
        scores = q @ k.transpose(2, 3) / (width // self.heads) ** 0.5 + (1 - mask[:, None, None, :]) * self.low
        mixed = torch.softmax(scores, dim=-1) @ v
        return mixed.transpose(1, 2).reshape(batch, positions, width)


class MaskedBert(nn.Module):
    """Two layers with a mask of the positions that count, 0 or 1, and the mean over these."""

    def __init__(self, low: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.attention = nn.ModuleList([MaskedAttention(low), MaskedAttention(low)])
        self.norms = nn.ModuleList([nn.LayerNorm(WIDTH) for _ in range(4)])
        self.forwards = nn.ModuleList([feed_forward(), feed_forward()])

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        x = self.embedding(tokens)
        for layer in range(2):
            x = self.norms[2 * layer](x + self.attention[layer](x, mask))
            x = self.norms[2 * layer + 1](x + self.forwards[layer](x))
        return (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


class LargeToken(nn.Module):
    """Pre-normalized layers whose first position has one activation that is far larger than all others."""

    def __init__(self, size: float) -> None:
        super().__init__()
        self.embedding = Embedding()
        with torch.no_grad():
            self.embedding.positions[0, 7] = size
        self.layers, self.final = (
            nn.Sequential(PreNormLayer(causal=True), PreNormLayer(causal=True)),
            nn.LayerNorm(WIDTH),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        return self.final(self.layers(self.embedding(tokens)))


class OtherUnits(nn.Module):
    """A network whose inputs come in units of its own: it multiplies them first."""

    def __init__(self, inner: nn.Module, unit: float) -> None:
        super().__init__()
        self.inner, self.unit = inner, unit

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x * (1 / self.unit))


@dataclass(frozen=True)
class Variant:
    """A network and its inputs.

    Attributes:
        make: the module, ready to run.
        inputs: takes a source of randomness to one array an input.
    """

    make: Callable[[], nn.Module]
    inputs: Callable[[np.random.Generator], list[Array]]


def _tokens(rng: np.random.Generator, positions: int = TOKENS) -> Array:
    return rng.integers(0, VOCABULARY, (SAMPLES, positions))


def _masked(rng: np.random.Generator) -> list[Array]:
    lengths = rng.integers(2, TOKENS + 1, SAMPLES)
    return [_tokens(rng), (np.arange(TOKENS) < lengths[:, None]).astype(np.float32)]


def _images(unit: float) -> Callable[[np.random.Generator], list[Array]]:
    return lambda rng: [(unit * rng.normal(size=(SAMPLES, 1, 16, 16))).astype(np.float32)]


def _known(name: str) -> Callable[[np.random.Generator], list[Array]]:
    return lambda rng: [_tokens(rng, NETWORKS[name].shape[0])]


VARIANTS = {
    "BERT": Variant(NETWORKS["BERT"].module, _known("BERT")),
    "BERT, mask of -1e4": Variant(lambda: randomized(MaskedBert(-1e4).eval()), _masked),
    "BERT, mask of -1e9": Variant(lambda: randomized(MaskedBert(-1e9).eval()), _masked),
    "BERT, channel x 50": Variant(lambda: with_outlier(NETWORKS["BERT"].module(), 50), _known("BERT")),
    "GPT-2": Variant(NETWORKS["GPT-2"].module, _known("GPT-2")),
    "GPT-2, token of 200": Variant(
        lambda: LargeToken(200.0).eval(), lambda rng: [_tokens(rng, NETWORKS["GPT-2"].shape[0])]
    ),
    "Llama": Variant(NETWORKS["Llama"].module, _known("Llama")),
    "ViT": Variant(NETWORKS["ViT"].module, _images(1.0)),
    "ViT, inputs of 1e-6": Variant(lambda: OtherUnits(NETWORKS["ViT"].module(), 1e-6).eval(), _images(1e-6)),
    "ViT, inputs of 1e6": Variant(lambda: OtherUnits(NETWORKS["ViT"].module(), 1e6).eval(), _images(1e6)),
}


def measured(variant: Variant, bits: int) -> tuple[float | None, str]:
    """The cosine similarity to float of the farthest output on held-out samples, None without a circuit; a remark."""
    torch.manual_seed(0)
    module, inputs = variant.make(), variant.inputs(np.random.default_rng(0))
    kept, held_out = [x[:-HELD_OUT] for x in inputs], [x[-HELD_OUT:] for x in inputs]
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            circuit = zk.compile(module, kept, activation_bits=bits, weight_bits=bits)
        rows = circuit.report(held_out, stress=False).outputs
    except ZkinferError as error:
        return None, f"{type(error).__name__}: {str(error)[:90]}"
    warned = any(issubclass(w.category, AccuracyWarning) for w in caught)
    worst = min(rows, key=lambda row: row.cosine)
    return worst.cosine, f"error {worst.rms_error:.2%}{', warned' if warned else ''}"


def networks(markdown: Path | None) -> int:
    """Measure all variants at all widths; 1 if one is below `LEAST_COSINES`."""
    rows, below = [], 0
    for name, variant in VARIANTS.items():
        cells = [name]
        for bits, least in LEAST_COSINES.items():
            cosine, remark = measured(variant, bits)
            below += cosine is None or cosine < least
            cells += ["refused" if cosine is None else f"{cosine:.7f}", remark]
        rows.append(cells)
        print(" | ".join(cells), flush=True)
    header = ("network", *(cell for bits in LEAST_COSINES for cell in (f"{bits} bits: cosine", "remark")))
    if markdown is not None:
        markdown.write_text(
            f"{provenance('python benchmarks/fidelity.py --networks')}\n\n{markdown_table(header, rows)}\n"
        )
    print(f"{below} of {len(rows) * len(LEAST_COSINES)} below what they have to reach")
    return int(below > 0)
