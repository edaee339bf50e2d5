"""Networks of the common architectures at small sizes, in torch, with random weights and inputs for them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

SEED = 0
SAMPLES = 24
"""Inputs of each network: two thirds calibrate, one third is held out."""

OUTLIER_CHANNEL = 7

WIDTH, HEADS, POSITIONS, VOCABULARY = 64, 4, 16, 256


class LeNet(nn.Module):
    """LeNet-5 on 28 x 28 pixels: two convolutions with average pooling, three linear layers, tanh."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2),
            nn.Tanh(),
            nn.AvgPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.Tanh(),
            nn.AvgPool2d(2),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))


class ResidualBlock(nn.Module):
    """ResNet's basic block: two 3 x 3 convolutions, batch-normalized, and a strided 1 x 1 convolution as a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


class InvertedResidual(nn.Module):
    """MobileNetV3's block: expansion, depthwise convolution, squeeze and excitation, projection, residual."""

    def __init__(self, channels: int, expanded: int) -> None:
        super().__init__()
        self.expand = nn.Sequential(
            nn.Conv2d(channels, expanded, 1, bias=False), nn.BatchNorm2d(expanded), nn.Hardswish()
        )
        self.depthwise = nn.Sequential(
            nn.Conv2d(expanded, expanded, 3, padding=1, groups=expanded, bias=False),
            nn.BatchNorm2d(expanded),
            nn.Hardswish(),
        )
        self.excite = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(expanded, expanded // 4, 1),
            nn.ReLU(),
            nn.Conv2d(expanded // 4, expanded, 1),
            nn.Hardsigmoid(),
        )
        self.project = nn.Sequential(nn.Conv2d(expanded, channels, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.depthwise(self.expand(x))
        return x + self.project(hidden * self.excite(hidden))


class UNet(nn.Module):
    """One level down and up again: max pooling, a transposed convolution, and the skipped features joined."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU())
        self.bottom = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU())
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.head = nn.Sequential(nn.Conv2d(16, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        skipped = self.down(x)
        return self.head(torch.cat([self.up(self.bottom(skipped)), skipped], dim=1))


class LSTMClassifier(nn.Module):
    """An LSTM over a sequence, and a linear layer on its last state."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(16, 32, batch_first=True)
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.recurrent(x)
        return self.head(states[:, -1])


class Attention(nn.Module):
    """Self-attention by torch's own function, causal or not."""

    def __init__(self, *, causal: bool, width: int = WIDTH, heads: int = HEADS) -> None:
        super().__init__()
        self.causal, self.heads = causal, heads
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, positions, width = x.shape
        shape = batch, positions, 3, self.heads, width // self.heads
        parts = self.query_key_value(x).view(shape).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(parts[0], parts[1], parts[2], is_causal=self.causal)
        return self.out(mixed.transpose(1, 2).reshape(batch, positions, width))


def feed_forward(width: int = WIDTH, gelu: str = "none") -> nn.Module:
    """A transformer's two linear layers with GELU between, in torch's name for its form."""
    return nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(approximate=gelu), nn.Linear(4 * width, width))


class PostNormLayer(nn.Module):
    """BERT's layer: normalization after each residual sum."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.feed_forward = Attention(causal=False), feed_forward()
        self.first, self.second = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x + self.attention(x))
        return self.second(x + self.feed_forward(x))


class PreNormLayer(nn.Module):
    """The layer of GPT-2 and of vision transformers: normalization before each part."""

    def __init__(self, *, causal: bool, width: int = WIDTH, heads: int = HEADS, gelu: str = "none") -> None:
        super().__init__()
        self.attention = Attention(causal=causal, width=width, heads=heads)
        self.feed_forward = feed_forward(width, gelu)
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.first(x))
        return x + self.feed_forward(self.second(x))


class Embedding(nn.Module):
    """Vectors of tokens, learned positions added."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, WIDTH)
        self.positions = nn.Parameter(0.1 * torch.randn(POSITIONS, WIDTH))

    def forward(self, tokens: Tensor) -> Tensor:
        return self.tokens(tokens) + self.positions


class Bert(nn.Module):
    """Two layers on tokens, and a classifier on the first position."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = Embedding()
        self.normalize = nn.LayerNorm(WIDTH)
        self.layers = nn.Sequential(PostNormLayer(), PostNormLayer())
        self.pool, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.layers(self.normalize(self.embedding(x)))
        return self.head(torch.tanh(self.pool(hidden[:, 0])))


class GPT2(nn.Module):
    """Two causal layers on tokens, and scores of the next token at every position."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = Embedding()
        self.layers = nn.Sequential(PreNormLayer(causal=True), PreNormLayer(causal=True))
        self.normalize = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.normalize(self.layers(self.embedding(x))))


class RMSNorm(nn.Module):
    """Root mean square normalization, as Llama writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5))


def rotated(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Rotary embedding: pairs of halves turned by an angle that grows with the position."""
    low, high = x.chunk(2, dim=-1)
    return x * cosines + torch.cat([-high, low], dim=-1) * sines


class LlamaLayer(nn.Module):
    """Grouped-query attention with rotary embeddings, and a feed-forward part gated by SiLU."""

    def __init__(self, groups: int = 2) -> None:
        super().__init__()
        self.groups, size = groups, WIDTH // HEADS
        self.first, self.second = RMSNorm(), RMSNorm()
        self.query, self.out = nn.Linear(WIDTH, WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        self.key, self.value = (nn.Linear(WIDTH, groups * size, bias=False) for _ in range(2))
        self.gate, self.up = (nn.Linear(WIDTH, 2 * WIDTH, bias=False) for _ in range(2))
        self.down = nn.Linear(2 * WIDTH, WIDTH, bias=False)
        angles = torch.outer(torch.arange(POSITIONS), 10000.0 ** (-torch.arange(0, size, 2) / size)).repeat(1, 2)
        self.register_buffer("cosines", angles.cos())
        self.register_buffer("sines", angles.sin())
        self.register_buffer("mask", torch.full((POSITIONS, POSITIONS), -1e4).triu(1))

    def attend(self, x: Tensor) -> Tensor:
        batch, positions, _ = x.shape

        def heads(y: Tensor, count: int) -> Tensor:
            return y.view(batch, positions, count, WIDTH // HEADS).transpose(1, 2)

        query = rotated(heads(self.query(x), HEADS), self.cosines, self.sines)
        key = rotated(heads(self.key(x), self.groups), self.cosines, self.sines)
        key, value = (
            y.repeat_interleave(HEADS // self.groups, dim=1) for y in (key, heads(self.value(x), self.groups))
        )
        scores = query @ key.transpose(-1, -2) / math.sqrt(WIDTH // HEADS) + self.mask
        return self.out((scores.softmax(-1) @ value).transpose(1, 2).reshape(batch, positions, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attend(self.first(x))
        normalized = self.second(x)
        return x + self.down(functional.silu(self.gate(normalized)) * self.up(normalized))


class Llama(nn.Module):
    """Two layers on tokens, and scores of the next token at every position."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.layers = nn.Sequential(LlamaLayer(), LlamaLayer())
        self.normalize, self.head = RMSNorm(), nn.Linear(WIDTH, VOCABULARY, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.normalize(self.layers(self.embedding(x))))


class VisionTransformer(nn.Module):
    """16 x 16 pixels in patches of 4 x 4, two layers, and the mean of all positions classified."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, WIDTH, 4, stride=4)
        self.positions = nn.Parameter(0.1 * torch.randn(1, 16, WIDTH))
        self.layers = nn.Sequential(PreNormLayer(causal=False), PreNormLayer(causal=False))
        self.normalize, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 10)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        return self.head(self.normalize(self.layers(tokens)).mean(dim=1))


def perceptron() -> nn.Module:
    """Three linear layers with GELU."""
    return nn.Sequential(nn.Linear(64, 128), nn.GELU(), nn.Linear(128, 64), nn.GELU(), nn.Linear(64, 10))


@dataclass(frozen=True)
class Network:
    """An architecture.

    Attributes:
        make: the module.
        shape: of one input.
        takes_tokens: whether inputs are tokens, whole numbers below `VOCABULARY`.
    """

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    takes_tokens: bool = False

    def module(self) -> nn.Module:
        """The module in evaluation mode, the same every time."""
        torch.manual_seed(SEED)
        return randomized(self.make().eval())

    def inputs(self) -> npt.NDArray[Any]:
        """`SAMPLES` inputs: tokens, or normal numbers, in images smoothed along both axes."""
        rng = np.random.default_rng(SEED)
        if self.takes_tokens:
            return rng.integers(0, VOCABULARY, (SAMPLES, *self.shape))
        data = rng.normal(size=(SAMPLES, *self.shape)).astype(np.float32)
        if len(self.shape) == 3:
            data = (data + np.roll(data, 1, axis=-1) + np.roll(data, 1, axis=-2)) / np.float32(3**0.5)
        return data


def randomized(module: nn.Module) -> nn.Module:
    """Weights as of a trained network: normalizations with scales, shifts and statistics of their own.

    All else keeps torch's initial values, which have the variance of one over the number of inputs.
    """
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.3)
            part.running_var.uniform_(0.3, 1.5)
        if isinstance(part, (nn.BatchNorm2d, nn.LayerNorm, RMSNorm)):
            nn.init.normal_(part.weight, 1, 0.2)
        if isinstance(part, (nn.BatchNorm2d, nn.LayerNorm)):
            nn.init.normal_(part.bias, 0, 0.2)
    return module


def with_outlier(module: Any, factor: float) -> Any:
    """A BERT-like network of which one channel is larger than the others by a factor, from its first layer on.

    What reads that channel has weights that are smaller by the factor, as training makes them; the residual sum, and
    the normalization after it, see the large channel.

    Args:
        module: a `Bert`; changed in place.
        factor: by which the channel grows.
    """
    norm, consumer = module.layers[0].second, module.layers[1].attention.query_key_value
    with torch.no_grad():
        norm.weight[OUTLIER_CHANNEL] *= factor
        norm.bias[OUTLIER_CHANNEL] *= factor
        consumer.weight[:, OUTLIER_CHANNEL] /= factor
    return module


NETWORKS = {
    "MLP": Network(perceptron, (64,)),
    "LeNet-5": Network(LeNet, (1, 28, 28)),
    "ResNet-18 block": Network(lambda: ResidualBlock(8, 16, 2), (8, 16, 16)),
    "MobileNetV3 block": Network(lambda: InvertedResidual(8, 24), (8, 12, 12)),
    "U-Net": Network(UNet, (1, 16, 16)),
    "LSTM": Network(LSTMClassifier, (12, 16)),
    "BERT": Network(Bert, (POSITIONS,), takes_tokens=True),
    "GPT-2": Network(GPT2, (POSITIONS,), takes_tokens=True),
    "Llama": Network(Llama, (POSITIONS,), takes_tokens=True),
    "ViT": Network(VisionTransformer, (1, 16, 16)),
}
