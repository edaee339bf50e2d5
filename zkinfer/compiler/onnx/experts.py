"""Mixtures of experts of Hugging Face's transformers, in a form that exporters take.

Their modules run every token through the few experts that it chooses: which products that takes depends on the data,
and a circuit is the same for all data. Here all experts take every token, and the results of those that it did not
choose are multiplied by zero.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType, ModuleType
from typing import Any

_NEEDED = (
    "num_experts",
    "down_proj",
    "has_gate",
    "has_bias",
    "has_post_expert_norm",
    "is_transposed",
    "act_fn",
    "_apply_gate",
)
"""What the modules have that transformers lets run in several ways."""


@contextmanager
def dense_experts(torch: ModuleType, module: Any) -> Iterator[None]:
    """Within the block, the experts inside a module are dense; the module is otherwise as it was, and is afterwards."""
    found = [part for part in module.modules() if all(hasattr(part, name) for name in _NEEDED)]
    own = [vars(part).get("forward") for part in found]

    def forward(self: Any, hidden_states: Any, top_k_index: Any, top_k_weights: Any) -> Any:
        return _dense(torch, self, hidden_states, top_k_index, top_k_weights)

    try:
        for part in found:
            part.forward = MethodType(forward, part)
        yield
    finally:
        for part, before in zip(found, own, strict=True):
            if before is None:
                del part.forward
            else:
                part.forward = before


def _dense(torch: ModuleType, experts: Any, hidden: Any, index: Any, weights: Any) -> Any:
    """What the experts give for tokens (tokens, units), of which each chose some: numbers and weights (tokens, k)."""
    name = "gate_up_proj" if experts.has_gate else "up_proj"
    product = "eio" if experts.is_transposed else "eoi"

    def layer(subscripts: str, x: Any, name: str) -> Any:
        result = torch.einsum(f"{subscripts},{product}->teo", x, getattr(experts, name))
        return result + getattr(experts, f"{name}_bias") if experts.has_bias else result

    inner = layer("ti", hidden, name)
    inner = experts._apply_gate(inner) if experts.has_gate else experts.act_fn(inner)
    results = layer("tei", inner, "down_proj")
    if experts.has_post_expert_norm:
        results = experts.post_expert_norm(results)
    chosen = index[..., None] == torch.arange(experts.num_experts, device=index.device)
    shares = (chosen.to(weights.dtype) * weights[..., None]).sum(dim=-2)
    return torch.einsum("teo,te->to", results, shares.to(results.dtype)).to(hidden.dtype)
