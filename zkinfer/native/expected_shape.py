"""What a proof of many runs is expected to look like, for estimates: from dry runs of few runs.

The work of a dry run is that of a verifier, and grows with the runs. Each quantity is affine in their number, or in its
logarithm, nearly: what is public of a program does not change.
"""

from collections import defaultdict

from zkinfer.protocol.native_proof.encoding import Header
from zkinfer.protocol.native_proof.shape import Shape, shape_of
from zkinfer.protocol.pcs.params import Code
from zkinfer.protocol.reduction.plan import Plan, make_plan
from zkinfer.protocol.security import SoundnessTerm

DRY_RUNS = 1 << 11
"""Runs of the largest dry run: less than a second, and tens of megabytes, for models of thousands of values."""


def expected_shape(plan: Plan, weights: Code, header: Header, log_copies: int) -> Shape:
    """The shape of a plan's proofs: exactly up to `DRY_RUNS` runs, and nearly for more.

    The variables beyond that are right in number and kind alone.
    """
    if plan.runs <= DRY_RUNS:
        return shape_of(plan, weights, header, log_copies)
    doublings = (-(-plan.runs // DRY_RUNS) - 1).bit_length()
    smaller, larger = (
        shape_of(_with_runs(plan, -(-plan.runs >> d)), weights, header, log_copies) for d in (doublings + 1, doublings)
    )
    sent, products = (_logarithmic(*pair, doublings) for pair in zip(_kinds(smaller), _kinds(larger), strict=True))
    return Shape(
        (None,) * sent + ((0, 0),) * products,
        larger.weight_groups,
        larger.witness_groups,
        _terms(smaller, larger, doublings),
        int(_affine(smaller.contracted, larger.contracted, doublings)),
        int(_affine(smaller.summed, larger.summed, doublings)),
    )


def _with_runs(plan: Plan, runs: int) -> Plan:
    return make_plan(plan.program, runs, plan.private_inputs, plan.private_outputs)


def _kinds(shape: Shape) -> tuple[int, int]:
    """How many variables are sent, and how many are products."""
    sent = sum(variable is None for variable in shape.variables)
    return sent, len(shape.variables) - sent


def _terms(smaller: Shape, larger: Shape, doublings: int) -> tuple[SoundnessTerm, ...]:
    """A term for each name; those that grow with the logarithm alone are overestimated."""
    errors: list[dict[str, float]] = []
    grinding: dict[str, int] = {}
    for shape in (smaller, larger):
        errors.append(defaultdict(float))
        for term in shape.terms:
            errors[-1][term.name] += term.error
            grinding[term.name] = term.grinding
    return tuple(
        SoundnessTerm(name, _affine(errors[0][name], errors[1][name], doublings), bits)
        for name, bits in grinding.items()
    )


def _affine(half: float, whole: float, doublings: int) -> float:
    """What is affine in the runs, after so many doublings, from its values at half the runs and at the runs."""
    return whole + 2 * max(whole - half, 0) * ((1 << doublings) - 1)


def _logarithmic(half: int, whole: int, doublings: int) -> int:
    """The same of what is affine in the logarithm."""
    return whole + max(whole - half, 0) * doublings
