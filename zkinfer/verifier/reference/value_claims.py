"""Claims on values, level by level: docs/protocol/reduction.md, section 5."""

from collections.abc import Sequence

from zkinfer.circuit.program import Delay, Einsum, View, node_sources
from zkinfer.errors import MalformedCommitmentError
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ext_pow, ext_scale
from zkinfer.verifier.reference.channel import AffineForm, Channel, sum_of
from zkinfer.verifier.reference.claims import Claims
from zkinfer.verifier.reference.contraction import Contraction, contract
from zkinfer.verifier.reference.elements import total
from zkinfer.verifier.reference.plan import Plan
from zkinfer.verifier.reference.sumcheck import verify_products
from zkinfer.verifier.reference.weights import Weights, merged, pull_delay, pull_single, pull_term

Term = tuple[int, Weights]
"""A value's number, and a functional of it."""


class ValueClaims:
    """Reduces claims on values that are not committed to claims on committed tensors.

    Args:
        inputs: the integers of each input, row-major, over all runs; None where it is private.
        claims: those that wait are taken out, and those on committed tensors added.
    """

    def __init__(self, plan: Plan, inputs: Sequence[Sequence[int] | None], channel: Channel, claims: Claims) -> None:
        self._plan, self._inputs, self._channel, self._claims = plan, inputs, channel, claims
        self._pulled = 0

    def reduce(self) -> None:
        """Run levels until no claim waits."""
        while self._claims.waiting:
            self._level()

    def _level(self) -> None:
        contractions: list[Contraction] = []
        sums: list[AffineForm] = []
        for terms, claimed in self._combined():
            kept, rest = self._expanded(terms, claimed)
            einsums, values = self._split(kept, rest)
            contractions += einsums
            sums += values
        if contractions:
            results = verify_products(self._channel, [one.variables for one in contractions], sums)
            for one, (point, values) in zip(contractions, results, strict=True):
                for operand, weights, value in zip(one.operands, one.at(point), values, strict=True):
                    self._claims.add(operand, weights, value)

    def _combined(self) -> list[tuple[list[Term], AffineForm]]:
        """Step 1: one claim on each of the highest values that have claims."""
        heights = self._plan.heights
        highest = max(heights[value] for value, _, _ in self._claims.waiting)
        by_value: dict[int, list[tuple[Weights, AffineForm]]] = {}
        for value, weights, claimed in self._claims.waiting:
            if heights[value] == highest:
                by_value.setdefault(value, []).append((weights, claimed))
        self._claims.waiting = [claim for claim in self._claims.waiting if heights[claim[0]] < highest]
        most = max(map(len, by_value.values()))
        x = self._channel.draw("combined claims", most - 1) if most > 1 else ONE
        combined = []
        for value, found in by_value.items():
            terms = [(value, weights.scaled(ext_pow(x, i))) for i, (weights, _) in enumerate(found)]
            combined.append((terms, sum_of(claimed.scaled(ext_pow(x, i)) for i, (_, claimed) in enumerate(found))))
        return combined

    def _expanded(self, terms: list[Term], claimed: AffineForm) -> tuple[list[Term], AffineForm]:
        """Step 2: the same claim on committed values and Einsums of two operands, in the order of their numbers."""
        plan = self._plan
        lists: dict[int, list[Weights]] = {}
        for value, weights in terms:
            lists.setdefault(value, []).append(weights)
        kept: list[Term] = []
        while lists:
            value = max(lists, key=lambda value: (value not in plan.committed, value))
            for weights in merged(lists.pop(value)):
                if value in plan.committed:
                    kept.append((value, weights))
                elif value < len(plan.program.inputs):
                    integers = self._inputs[value]
                    assert integers is not None
                    claimed -= AffineForm(weights.of(integers))
                else:
                    claimed -= self._expand(value, weights, kept, lists)
        return sorted(kept, key=lambda term: term[0]), claimed

    def _expand(self, value: int, weights: Weights, kept: list[Term], lists: dict[int, list[Weights]]) -> AffineForm:
        """A functional of a node's result as functionals of its sources.

        Returns:
            What the node's own constant adds to the functional.
        """
        plan, node = self._plan, self._plan.node(value)
        if not (isinstance(node, Einsum) and len(node.operands) == 2):
            self._pulled += len(node_sources(node))
            if self._pulled > plan.most_pulled:
                raise MalformedCommitmentError("sums of sums are read in too many places")
        match node:
            case View(terms=terms, offset=offset):
                for term in terms:
                    pulled = pull_term(weights, term, plan.shape(term.source))
                    lists.setdefault(term.source, []).append(pulled)
                return AffineForm(ext_scale(total(weights.entries), offset % P))
            case Einsum(operands=(operand,)) as node:
                lists.setdefault(operand, []).append(pull_single(weights, node, plan.shape(operand)))
            case Delay(initial=initial, source=source):
                first, others = pull_delay(weights, plan.shape(initial), plan.shape(source))
                lists.setdefault(initial, []).append(first)
                lists.setdefault(source, []).append(others)
            case _:
                kept.append((value, weights))
        return AffineForm()

    def _split(self, kept: list[Term], claimed: AffineForm) -> tuple[list[Contraction], list[AffineForm]]:
        """Step 3: a value for each functional on an Einsum; the rest is claimed of the committed tensors."""
        committed = [term for term in kept if term[0] in self._plan.committed]
        contractions = [self._contraction(*term) for term in kept if term[0] not in self._plan.committed]
        if len(contractions) == 1 and not committed:
            return contractions, [claimed]
        values = self._channel.receive("summands", len(contractions)) if contractions else []
        rest = claimed - sum_of(values)
        if committed:
            self._claims.add_terms(committed, rest)
        else:
            self._channel.require_zero(rest)
        return contractions, values

    def _contraction(self, value: int, weights: Weights) -> Contraction:
        node = self._plan.node(value)
        assert isinstance(node, Einsum)
        a, b = node.operands
        return contract(node, weights, (self._plan.shape(a), self._plan.shape(b)))
