"""Mixtures of experts: all experts take every token, and the export computes what the module does."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import zkinfer as zk
from zkinfer.compiler.onnx.experts import dense_experts

TOKENS, UNITS, INNER, EXPERTS = 6, 4, 3, 4


class Experts(nn.Module):  # type: ignore[misc]
    """Written as transformers writes them: the products depend on which experts are chosen."""

    def __init__(self, *, gate: bool = True, bias: bool = False, transposed: bool = False, norm: bool = False) -> None:
        super().__init__()
        self.num_experts, self.act_fn = EXPERTS, nn.SiLU()
        self.has_gate, self.has_bias, self.is_transposed, self.has_post_expert_norm = gate, bias, transposed, norm
        outer = INNER * (2 if gate else 1)
        self.up = "gate_up_proj" if gate else "up_proj"
        for name, sizes in ((self.up, (outer, UNITS)), ("down_proj", (UNITS, INNER))):
            shape = (EXPERTS, *(sizes[::-1] if transposed else sizes))
            self.register_parameter(name, nn.Parameter(torch.randn(shape) / 2))
            if bias:
                self.register_parameter(f"{name}_bias", nn.Parameter(torch.randn(EXPERTS, sizes[0])))
        if norm:
            self.post_expert_norm = nn.LayerNorm(UNITS)

    def _apply_gate(self, x: Any) -> Any:
        gate, up = x.chunk(2, dim=-1)
        return self.act_fn(gate) * up

    def _layer(self, x: Any, name: str, expert: int) -> Any:
        weight = getattr(self, name)[expert]
        bias = getattr(self, f"{name}_bias")[expert] if self.has_bias else 0
        return x @ (weight if self.is_transposed else weight.T) + bias

    def forward(self, hidden_states: Any, top_k_index: Any, top_k_weights: Any) -> Any:
        result = torch.zeros_like(hidden_states)
        for token, (numbers, weights) in enumerate(zip(top_k_index.tolist(), top_k_weights, strict=True)):
            for expert, weight in zip(numbers, weights, strict=True):
                inner = self._layer(hidden_states[token], self.up, expert)
                inner = self._apply_gate(inner) if self.has_gate else self.act_fn(inner)
                part = self._layer(inner, "down_proj", expert)
                result[token] += weight * (self.post_expert_norm(part) if self.has_post_expert_norm else part)
        return result


class Mixture(nn.Module):  # type: ignore[misc]
    """Each token goes through two experts, chosen by a softmax over all."""

    def __init__(self) -> None:
        super().__init__()
        self.router, self.experts = nn.Linear(UNITS, EXPERTS), Experts()

    def forward(self, x: Any) -> Any:
        tokens = x.reshape(-1, UNITS)
        weights, index = torch.topk(torch.softmax(self.router(tokens), dim=-1), 2, dim=-1)
        return self.experts(tokens, index, weights / weights.sum(dim=-1, keepdim=True)).reshape(x.shape)


@pytest.mark.parametrize(
    "options", [{}, {"gate": False}, {"bias": True}, {"transposed": True, "bias": True}, {"norm": True}]
)
def test_dense_experts_compute_the_same(options: dict[str, bool]) -> None:
    torch.manual_seed(0)
    experts = Experts(**options)
    hidden, weights = torch.randn(TOKENS, UNITS), torch.rand(TOKENS, 2)
    index = torch.stack([torch.randperm(EXPERTS)[:2] for _ in range(TOKENS)])
    with torch.no_grad():
        expected = experts(hidden, index, weights)
        with dense_experts(torch, nn.Sequential(experts)):
            torch.testing.assert_close(experts(hidden, index, weights), expected)
            # A number beyond the experts is none of them.
            assert not experts(hidden, torch.full_like(index, EXPERTS), weights).any()


def test_modules_are_afterwards_as_they_were() -> None:
    def fail(module: Any) -> None:
        with dense_experts(torch, module):
            assert "forward" in vars(module.experts)
            raise ValueError("within")

    mixture = Mixture()
    with pytest.raises(ValueError, match="within"):
        fail(mixture)
    assert "forward" not in vars(mixture.experts)
    own = mixture.experts.forward
    mixture.experts.__dict__["forward"] = own
    with pytest.raises(ValueError, match="within"):
        fail(mixture)
    assert vars(mixture.experts)["forward"] is own


def test_a_mixture_of_experts_compiles_as_it_is() -> None:
    torch.manual_seed(0)
    module = Mixture().eval()
    x = np.random.default_rng(0).uniform(-2, 2, (24, 3, UNITS)).astype(np.float32)
    circuit = zk.compile(module, x)
    expected = module(torch.tensor(x[16:])).detach().numpy()
    found = circuit.run(x[16:], saturate=True)
    assert isinstance(found, np.ndarray)
    np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=0.02)
