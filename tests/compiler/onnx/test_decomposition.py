"""Decompositions: the rule that is the newest at an operator set, and hints for forms that no rule covers."""

import onnx_ir
import pytest

from zkinfer.compiler.onnx import decompositions as rules
from zkinfer.compiler.onnx.decomposition import decompositions, find_rule
from zkinfer.compiler.onnx.registry import hints


def node(op_type: str, domain: str = "") -> onnx_ir.Node:
    return onnx_ir.Node(domain, op_type, [])


@pytest.mark.parametrize(
    ("opset", "rule"),
    [
        (17, None),
        (18, rules.normalization.group_normalization_18),
        (20, rules.normalization.group_normalization_18),
        (21, rules.normalization.group_normalization),
        (26, rules.normalization.group_normalization),
    ],
)
def test_the_newest_rule_up_to_the_operator_set_applies(opset: int, rule: object) -> None:
    assert find_rule(node("GroupNormalization"), opset) is rule


def test_a_rule_belongs_to_a_domain() -> None:
    assert find_rule(node("TreeEnsemble", rules.classical.DOMAIN), 5) is rules.trees.ensemble
    assert find_rule(node("TreeEnsemble"), 26) is None
    assert find_rule(node("LSTM", "com.example"), 26) is None


def test_operators_without_a_rule_have_none() -> None:
    assert find_rule(node("Relu"), 26) is None


def test_no_rule_is_registered_twice() -> None:
    keys = [(d.domain, d.name, d.since_version) for d in decompositions()]
    assert len(set(keys)) == len(keys) > 20


def test_hints_name_the_limits_of_the_rules() -> None:
    assert str(rules.transforms.MAX_POINTS) in hints()["DFT"]
    assert str(rules.reduction.MAX_FACTORS) in hints()["ReduceProd"]
