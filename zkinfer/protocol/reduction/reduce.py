"""From a statement about a program to claims about committed matrices: one text for prover, verifier and dry run.

Order of the argument: the lookups of the whole program at once; one functional of each output, whose value is public or
committed; then the bilinear part, level by level: claims on one value are combined, views pull them back to their
sources, and all einsums of a level are contracted in one sumcheck; what is left concerns committed tensors.
docs/protocol/reduction.md states the argument and why it is sound.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from zkinfer.circuit.program import Delay, Einsum, Node, View, node_sources, rounding_half
from zkinfer.errors import InvalidInputError, ProvingError
from zkinfer.protocol import security
from zkinfer.protocol.channel import AffineForm, Channel, combination, difference
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext, ext_add, ext_neg, ext_powers, ext_scale
from zkinfer.protocol.lookup.protocol import run_lookup
from zkinfer.protocol.reduction.claims import CommittedClaim, CommittedTerm, ValueClaim
from zkinfer.protocol.reduction.contraction import Contraction, contract, expand_single
from zkinfer.protocol.reduction.functional import Functional, eq_functional, evaluate, padded_eq, pull, scaled, total
from zkinfer.protocol.reduction.gather import Gathering, is_gathered
from zkinfer.protocol.reduction.plan import INPUTS, OUTPUTS, WITNESS, LookupSite, Plan, most_pulled
from zkinfer.protocol.reduction.shared import Shared
from zkinfer.protocol.reduction.witness import ReductionWitness
from zkinfer.protocol.sumcheck.params import Batch, Claim, Point
from zkinfer.protocol.sumcheck.protocol import run_sumcheck
from zkinfer.protocol.sumcheck.witness import SumcheckWitness
from zkinfer.typing import IntArray

GATHER_SUMCHECK = "sumcheck of gathered boxes"
GATHER_CHECK = "the weights of gathered boxes"
CONTRACTIONS_SUMCHECK = "sumcheck of contractions"
SUM_CHECK = "the parts of a claim add up to it"


def reduce_statement(
    plan: Plan,
    publics: Mapping[int, IntArray] | None,
    channel: Channel,
    witness: ReductionWitness | None = None,
    *,
    lookup_grinding: int = 0,
) -> list[CommittedClaim]:
    """Reduce a statement to claims about committed vectors.

    Args:
        plan: what the proof is made of.
        publics: for each public input the value's number, for each public output len(program inputs, weights and
            nodes) + its position, its integers: int64 of shape (runs, *tensor.shape). None in a dry run.
        channel: of this side, padded. Its transcript must have absorbed statement and commitments.
        witness: of the prover's side.
        lookup_grinding: bits of work done just before, for the lookups' challenges.

    Returns:
        Claims on committed vectors of all four matrices.

    Raises:
        VerificationError: the messages are malformed, or a check fails.
        ProvingError: sums of sums are read too often, see `most_pulled`.
    """
    return _Reduction(plan, publics, channel, witness, lookup_grinding).run()


class _Reduction:
    """The state of the reduction: claims on values that are pending, and claims on committed vectors that are done."""

    def __init__(
        self,
        plan: Plan,
        publics: Mapping[int, IntArray] | None,
        channel: Channel,
        witness: ReductionWitness | None,
        lookup_grinding: int,
    ) -> None:
        self.plan = plan
        self.publics = publics
        self.channel = channel
        self.witness = witness
        self.lookup_grinding = lookup_grinding
        self.pending: list[ValueClaim] = []
        self.done: list[CommittedClaim] = []
        self.shared = Shared()
        self._pulled_left = most_pulled(plan.program)

    def run(self) -> list[CommittedClaim]:
        self._claim_outputs(self._lookups())
        while self.pending:
            self._level()
        return self.done

    def _lookups(self) -> Point:
        """Runs the lookup argument; the longest point of its claims."""
        plan = self.plan
        if plan.instance is None:
            return ()
        with phase_of(self.witness, "lookups"):
            entries = None if self.witness is None else self.witness.lookups()
            claims = run_lookup(plan.instance, self.channel, entries, grinding=self.lookup_grinding)
        sources: list[tuple[LookupSite, list[Point], list[AffineForm]]] = []
        for site in plan.sites:
            points: list[Point] = []
            values: list[AffineForm] = []
            for box, numbers in enumerate(site.blocks):
                index_claim, *limb_claims = (claims.blocks[number] for number in numbers)
                point = index_claim.point
                index, *outputs = index_claim.values
                out = index if site.identity else outputs[0]
                if site.out is None:
                    self._commit_box(INPUTS, plan.committed[site.value][1], box, point, out)
                    continue
                self._commit_box(WITNESS, site.out, box, point, out)
                # source = 2^shift index + remainder - half, on every element of the box
                limbs = [limb.values[0] for limb in limb_claims]
                for vector, limb in zip(site.limbs, limbs, strict=True):
                    self._commit_box(WITNESS, vector, box, point, limb)
                half = (rounding_half(site.shift), 0, 0)
                behind = ext_scale(site.cut.padding_at(site.cut.boxes[box], point), site.padding)
                constant = AffineForm(ext_neg(ext_add(half, behind)))
                weights: list[Ext] = [(weight, 0, 0) for weight in (1 << site.shift, *site.limb_weights)]
                points.append(point)
                values.append(combination([constant, index, *limbs], [ONE, *weights]))
            if site.out is not None:
                sources.append((site, points, values))
        for vector, claim in zip(plan.multiplicities, claims.multiplicities, strict=True):
            self._commit_box(WITNESS, vector, 0, claim.point, claim.values[0])
        self._claim_sources(sources)
        return max((claim.point for claim in claims.blocks + claims.multiplicities), key=len)

    def _claim_sources(self, sources: Sequence[tuple[LookupSite, list[Point], list[AffineForm]]]) -> None:
        """The claims on the source of each Lookup: those on its boxes, gathered to one where that is not too dear."""
        chosen = [found for found in sources if is_gathered(found[0].cut)]
        gathered = iter(self._gathered(chosen) if chosen else ())
        for site, points, values in sources:
            if is_gathered(site.cut):
                self._route(site.source, *next(gathered))
                continue
            for box, point, value in zip(site.cut.boxes, points, values, strict=True):
                self._route(site.source, self.shared.of(eq_functional, site.cut.shape, box, point), value)

    def _gathered(
        self, sources: Sequence[tuple[LookupSite, list[Point], list[AffineForm]]]
    ) -> Iterator[tuple[Functional, AffineForm]]:
        """One sumcheck for sources whose boxes are gathered; a functional of each, and its value."""
        most = max(len(points) for _, points, _ in sources)
        self.channel.note(security.batching("gathered boxes", most))
        coefficients = ext_powers(self.channel.challenge("gathered boxes"), most)
        gatherings = [
            Gathering(site.source, site.cut, tuple(points), tuple(coefficients[: len(points)]))
            for site, points, _ in sources
        ]
        sums = [combination(values, coefficients[: len(values)]) for _, _, values in sources]
        batch = Batch(tuple(one.instance for one in gatherings))
        with phase_of(self.witness, "gathered boxes"):
            tables = None if self.witness is None else self.witness.gather_sumcheck(batch, gatherings)
            reduced = noted_sumcheck(GATHER_SUMCHECK, batch, sums, self.channel, tables)
        for one, left in zip(gatherings, reduced, strict=True):
            weight, value = left.values
            self.channel.require_zero(GATHER_CHECK, weight - AffineForm(one.weight_at(left.point)))
            yield self.shared.of(padded_eq, one.cut.shape, left.point), value

    def _commit(self, matrix: int, vector: int, functional: Functional, value: AffineForm) -> None:
        self.done.append(CommittedClaim((CommittedTerm(matrix, vector, functional),), value))

    def _commit_box(self, matrix: int, vector: int, box: int, point: Point, value: AffineForm) -> None:
        self.done.append(CommittedClaim((CommittedTerm(matrix, vector, box=box, point=point),), value))

    def _claim_outputs(self, point: Point) -> None:
        """A random functional of each output: an eq table along every axis, at the end of one point."""
        plan = self.plan
        hidden = longest = 0
        for position, (value, private) in enumerate(zip(plan.program.outputs, plan.private_outputs, strict=True)):
            shape = (plan.runs, *plan.program.tensor(value).shape)
            bits = [(size - 1).bit_length() for size in shape]
            while len(point) < sum(bits):
                self.channel.note(security.batching("output point", 1))
                point = (self.channel.challenge("output point"), *point)
            longest = max(longest, sum(bits))
            stated = self.shared.of(padded_eq, shape, point[len(point) - sum(bits) :])
            functional = self.shared.linear(pull, stated, (), plan.shape(value))
            if private:
                (claimed,) = self._exchange_evaluation(value, functional)
                self._commit(OUTPUTS, hidden, functional, claimed)
                hidden += 1
            else:
                claimed = AffineForm(self._public(plan.program.num_values + position, stated))
            self._route(value, functional, claimed)
        self.channel.note(security.point("outputs at a point", longest))

    def _exchange_evaluation(self, value: int, functional: Functional) -> list[AffineForm]:
        witness = self.witness
        make = None if witness is None else lambda: [witness.evaluation(value, functional)]
        return self.channel.exchange("private output", 1, make)

    def _public(self, key: int, functional: Functional) -> Ext:
        if self.publics is None:
            return ZERO
        with phase_of(self.witness, "public values"):
            of = evaluate if self.witness is None else self.witness.public_evaluation
            return of(functional, self.publics[key])

    def _route(self, value: int, functional: Functional, claimed: AffineForm) -> None:
        """A claim on a value of the program: done where it is committed, pending where it is not."""
        if value in self.plan.committed:
            self._commit(*self.plan.committed[value], functional, claimed)
        else:
            self.pending.append(ValueClaim(((value, functional),), claimed))

    def _level(self) -> None:
        """Combine, pull back through views, contract: the claims on the highest values, which nothing that waits reads.

        So each value is met in one level, with all that is asked of it.
        """
        heights = self.plan.heights
        top = max(heights[claim.terms[0][0]] for claim in self.pending)
        claims = [claim for claim in self.pending if heights[claim.terms[0][0]] == top]
        self.pending = [claim for claim in self.pending if heights[claim.terms[0][0]] < top]
        claims = [self._expanded(claim) for claim in self._combined(claims)]
        contractions: list[Contraction] = []
        values: list[AffineForm] = []
        for claim in claims:
            committed = [(v, f) for v, f in claim.terms if v in self.plan.committed]
            products = [(v, f) for v, f in claim.terms if v not in self.plan.committed]
            einsums = [contract(self.plan, self._node(v), f, self.shared) for v, f in products]
            if len(einsums) == 1 and not committed:
                parts = [claim.value]
            else:
                parts = self._exchange_summands(einsums) if einsums else []
                rest = difference(claim.value, parts)
                if committed:
                    terms = tuple(CommittedTerm(*self.plan.committed[v], f) for v, f in committed)
                    self.done.append(CommittedClaim(terms, rest))
                else:
                    self.channel.require_zero(SUM_CHECK, rest)
            contractions += einsums
            values += parts
        if not contractions:
            return
        batch = Batch(tuple(contraction.instance for contraction in contractions))
        for contraction, left in zip(contractions, self._contract(batch, contractions, values), strict=True):
            functionals = contraction.functionals(left.point, self.shared)
            for value, functional, claimed in zip(contraction.operands, functionals, left.values, strict=True):
                self._route(value, functional, claimed)

    def _exchange_summands(self, einsums: Sequence[Contraction]) -> list[AffineForm]:
        """The sums of the contractions that a claim is made of."""
        with phase_of(self.witness, "contractions"):
            make = None if self.witness is None else partial(self.witness.contracted, einsums)
            return self.channel.exchange("summands", len(einsums), make)

    def _contract(self, batch: Batch, contractions: Sequence[Contraction], values: Sequence[AffineForm]) -> list[Claim]:
        """One sumcheck for many contractions."""
        with phase_of(self.witness, "contractions"):
            sums = None if self.witness is None else self.witness.contraction_sumcheck(batch, contractions)
            return noted_sumcheck(CONTRACTIONS_SUMCHECK, batch, values, self.channel, sums)

    def _node(self, value: int) -> Einsum:
        program = self.plan.program
        node = program.nodes[value - len(program.inputs) - len(program.weights)]
        assert isinstance(node, Einsum)
        return node

    def _combined(self, waiting: Sequence[ValueClaim]) -> list[ValueClaim]:
        """All claims on the same value as one, by powers of a challenge."""
        by_value: dict[int, list[ValueClaim]] = {}
        for claim in waiting:
            by_value.setdefault(claim.terms[0][0], []).append(claim)
        if all(len(claims) == 1 for claims in by_value.values()):
            return list(waiting)
        self.channel.note(security.batching("combined claims", max(map(len, by_value.values()))))
        challenge = self.channel.challenge("combined claims")
        combined = []
        for value, claims in by_value.items():
            coefficients = ext_powers(challenge, len(claims))
            terms = [(c, claim.terms[0][1]) for c, claim in zip(coefficients, claims, strict=True)]
            functionals = self.shared.merged(terms)
            total_value = combination([claim.value for claim in claims], coefficients)
            combined.append(ValueClaim(tuple((value, f) for f in functionals), total_value))
        return combined

    def _expanded(self, claim: ValueClaim) -> ValueClaim:
        """The same claim with committed values and einsums of two operands alone; what is public is subtracted."""
        value = claim.value
        program = self.plan.program
        leaves = len(program.inputs) + len(program.weights)
        waiting: dict[int, list[Functional]] = {}
        for number, functional in claim.terms:
            waiting.setdefault(number, []).append(functional)
        found: list[tuple[int, Functional]] = []
        while waiting:
            # Sources have smaller numbers, but for what a Delay names, which is committed: those are met last. So each
            # value is met once, with all that is asked of it.
            number = max(waiting, key=lambda value: (value not in self.plan.committed, value))
            functionals = self.shared.merged([(ONE, f) for f in waiting.pop(number)])
            node = program.nodes[number - leaves] if number >= leaves else None
            if number in self.plan.committed:
                found += [(number, f) for f in functionals]
            elif node is None:
                for functional in functionals:
                    value = value - AffineForm(self._public(number, functional))
            elif isinstance(node, Einsum) and len(node.operands) == 2:
                found += [(number, f) for f in functionals]
            else:
                for functional in functionals:
                    value = value - AffineForm(self._offset(node, functional))
                    for source, pulled in self._pulled(node, functional):
                        waiting.setdefault(source, []).append(pulled)
        terms_left = sorted(found, key=lambda term: term[0])
        return ValueClaim(tuple(terms_left), value)

    def _offset(self, node: Node, functional: Functional) -> Ext:
        """What a View's offset adds to a functional of its result."""
        if isinstance(node, View) and node.offset:
            return ext_scale(total(functional), node.offset)
        return ZERO

    def _pulled(self, node: Node, functional: Functional) -> Iterator[tuple[int, Functional]]:
        """What a functional of the result of a View, or of an Einsum of one operand, asks of the sources."""
        self._pulled_left -= len(node_sources(node))
        if self._pulled_left < 0:
            raise ProvingError(
                f"{node.out.label}: sums of sums are read in too many places, and a check would go through all of them "
                "for each; put a function of the values, such as a rounding, between them"
            )
        match node:
            case View() | Delay():
                for term in node.terms() if isinstance(node, Delay) else node.terms:
                    pulled = self.shared.linear(pull, functional, term.steps, self.plan.shape(term.source))
                    yield term.source, scaled(pulled, (term.coefficient % P, 0, 0))
            case Einsum(operands=(operand,)):
                shape = self.plan.shape(operand)
                yield operand, self.shared.linear(expand_single, functional, node.subscripts, shape)
            case _:
                raise InvalidInputError("the output of a lookup is always committed")


def noted_sumcheck(
    name: str, batch: Batch, claims: Sequence[AffineForm], channel: Channel, witness: SumcheckWitness | None
) -> list[Claim]:
    """A sumcheck whose soundness, and number of places, the channel records under a name."""
    channel.note(
        security.sumcheck(name, batch.variables, batch.degree), security.batching(f"{name}, batched", len(claims))
    )
    channel.places[name] += sum(1 << instance.variables for instance in batch.instances)
    return run_sumcheck(batch, claims, channel, witness)


def phase_of(witness: ReductionWitness | None, name: str) -> AbstractContextManager[None]:
    """The prover's measurement of a part of the proof; nothing on other sides."""
    return nullcontext() if witness is None else witness.phase(name)
