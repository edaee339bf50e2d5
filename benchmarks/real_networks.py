"""Convolutional networks at the sizes that are in use, in torch, with random weights."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from networks import randomized
from torch import Tensor, nn


def _convolution(inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """A convolution that keeps places, but for its stride, and its batch normalization."""
    padding = (size - 1) // 2
    return [
        nn.Conv2d(inputs, outputs, size, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]


class _BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut, which is a 1 x 1 convolution where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_convolution(inputs, outputs, 3, stride), nn.ReLU(), *_convolution(outputs, outputs, 3)
        )
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Sequential(*_convolution(inputs, outputs, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


def resnet18() -> nn.Module:
    """ResNet-18 (He and others 2016): 11.7 million weights."""
    layers: list[nn.Module] = [*_convolution(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    inputs = 64
    for outputs, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [_BasicBlock(inputs, outputs, stride), _BasicBlock(outputs, outputs, 1)]
        inputs = outputs
    return _module([*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000)])


class _InvertedResidual(nn.Module):
    """Expansion, depthwise convolution, projection; added to the input where the shape stays."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        expand = [*_convolution(inputs, hidden, 1), nn.ReLU6()] if expansion != 1 else []
        depthwise = [*_convolution(hidden, hidden, 3, stride, hidden), nn.ReLU6()]
        self.body = nn.Sequential(*expand, *depthwise, *_convolution(hidden, outputs, 1))
        self.added = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.body(x)
        return x + found if self.added else found


def mobilenet_v2() -> nn.Module:
    """MobileNetV2 (Sandler and others 2018): 3.5 million weights."""
    layers: list[nn.Module] = [*_convolution(3, 32, 3, 2), nn.ReLU6()]
    inputs = 32
    plan = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for expansion, outputs, count, stride in plan:
        for number in range(count):
            layers.append(_InvertedResidual(inputs, outputs, stride if number == 0 else 1, expansion))
            inputs = outputs
    layers += [*_convolution(320, 1280, 1), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return _module([*layers, nn.Linear(1280, 1000)])


class _Bottleneck(nn.Module):
    """Two 3 x 3 convolutions with SiLU and a residual sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_convolution(channels, channels, 3), nn.SiLU(), *_convolution(channels, channels, 3), nn.SiLU()
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class _CrossStage(nn.Module):
    """Half of the channels through a bottleneck, all joined again: the C2f block of recent YOLO versions."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.first = nn.Sequential(*_convolution(inputs, outputs, 1), nn.SiLU())
        self.inner = _Bottleneck(half)
        self.last = nn.Sequential(*_convolution(outputs + half, outputs, 1), nn.SiLU())

    def forward(self, x: Tensor) -> Tensor:
        kept, led = self.first(x).chunk(2, dim=1)
        return self.last(torch.cat([kept, led, self.inner(led)], dim=1))


class _Pyramid(nn.Module):
    """Max pooling of 5 x 5 three times, one after another, joined: the SPPF block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Sequential(*_convolution(channels, channels // 2, 1), nn.SiLU())
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.last = nn.Sequential(*_convolution(2 * channels, channels, 1), nn.SiLU())

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.first(x)]
        for _ in range(3):
            parts.append(self.pool(parts[-1]))
        return self.last(torch.cat(parts, dim=1))


class Detector(nn.Module):
    """A detector like the smallest YOLO of version 8: features of three sizes, joined upwards, and a head for each."""

    def __init__(self, width: int = 16, outputs: int = 84) -> None:
        super().__init__()
        sizes = [width * factor for factor in (1, 2, 4, 8, 16)]
        self.stem = nn.Sequential(*_convolution(3, sizes[0], 3, 2), nn.SiLU())
        self.stages = nn.ModuleList(
            nn.Sequential(*_convolution(a, b, 3, 2), nn.SiLU(), _CrossStage(b, b)) for a, b in pairwise(sizes)
        )
        self.pyramid = _Pyramid(sizes[4])
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.joined = nn.ModuleList(_CrossStage(sizes[k + 1] + sizes[k], sizes[k]) for k in (3, 2))
        self.heads = nn.ModuleList(
            nn.Sequential(*_convolution(size, 64, 3), nn.SiLU(), nn.Conv2d(64, outputs, 1))
            for size in (sizes[2], sizes[3], sizes[4])
        )

    def forward(self, x: Tensor) -> Tensor:
        features: list[Tensor] = []
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        top = self.pyramid(x)
        middle = self.joined[0](torch.cat([self.up(top), features[2]], dim=1))
        low = self.joined[1](torch.cat([self.up(middle), features[1]], dim=1))
        found = [head(part).flatten(2) for head, part in zip(self.heads, (low, middle, top), strict=True)]
        return torch.cat(found, dim=2)


def detector() -> nn.Module:
    """`Detector`, of about two million weights."""
    return _module([Detector()])


def _module(layers: Sequence[nn.Module]) -> nn.Module:
    """Layers one after another, in evaluation mode, with statistics as of a trained network."""
    return randomized(nn.Sequential(*layers).eval())
