"""Cheating lookup provers: honest but for one lie, and consistent with it afterwards.

Each is refused by the check that the test names, and accepted, with only true claims left, once that check is taken
away. A prover whose lie would leave a false claim is caught by the opening; one test shows that, too.
"""

import pytest

from zkinfer.errors import InvalidInputError, InvalidProofError, MalformedProofError
from zkinfer.protocol.channel import ProverChannel, VerifierChannel
from zkinfer.protocol.field.encoding import decode_base
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ZERO, ext_add, ext_inv, ext_mul, ext_neg, ext_sub, mle
from zkinfer.protocol.lookup import reference
from zkinfer.protocol.lookup import verifier as lookup
from zkinfer.protocol.lookup.params import Block, LookupInstance
from zkinfer.protocol.lookup.tables import ExplicitTable, RangeTable, affine_table, step_table
from zkinfer.protocol.sumcheck.verifier import FINAL_CHECK
from zkinfer.protocol.transcript import Transcript

INSTANCE = LookupInstance((RangeTable(8), step_table(4, 0, 2)), (Block(0, 2), Block(0, 0), Block(1, 1)))
HONEST = [[[1, 7, 7, 0]], [[5]], [[0, 3], [0, 1]]]
OUTSIDE = [[[1, 7, 8, 0]], [[5]], [[0, 3], [0, 1]]]
"""8 is not in [0, 2^3)."""

WRONG_OUTPUT = [[[1, 7, 7, 0]], [[5]], [[0, 3], [0, 0]]]
"""The step of 3 is 1."""


@pytest.fixture(autouse=True)
def one_stack(monkeypatch):
    """All entries in one stack, which has cells that nothing fills, as the last one of many entries."""
    monkeypatch.setattr("zkinfer.protocol.lookup.params.MAX_ENTRY_STACKS", 1)


class Scripted(Transcript):
    """A transcript whose alpha is given, which no real one lets a prover choose."""

    def __init__(self, alpha):
        super().__init__(b"test")
        self.alpha = alpha

    def challenge_ext(self, label):
        drawn = super().challenge_ext(label)
        return self.alpha if label == "lookup alpha" and self.alpha is not None else drawn


def prove(
    blocks, counts, *, entries=reference.entry_leaves, rows=reference.row_leaves, alpha=None, roots=None, values=None
):
    """`reference.prove`, each of whose steps can be replaced."""
    channel = ProverChannel(Scripted(alpha))
    channel.absorb("lookup", INSTANCE.description())
    alpha, gamma = channel.challenge("lookup alpha"), channel.challenge("lookup gamma")
    (part,) = INSTANCE.entries
    left, right = entries(INSTANCE, part, blocks, alpha, gamma), rows(INSTANCE, counts, alpha, gamma)
    trees = [reference.tree(left), reference.tree(right)]
    (roots or reference.send_roots)([(t[0][0][0], t[0][1][0]) for t in trees], channel)
    point = reference.prove_trees(INSTANCE.stacks, trees, channel)
    (values or reference.send_values)(INSTANCE, blocks, counts, point, channel)
    return channel.message


def verified(message, blocks, counts, alpha=None):
    """Whether what is left after verification is true; raises what the verifier raises."""
    channel = VerifierChannel(Scripted(alpha), message)
    claims = lookup.verify(INSTANCE, channel)
    channel.finish()
    committed = [*blocks, *([c] for c in counts)]
    for claim, columns in zip(claims.blocks + claims.multiplicities, committed, strict=True):
        true = tuple(mle([(v % P, 0, 0) for v in column], claim.point) for column in columns)
        if tuple(v.constant for v in claim.values) != true:
            return False
    return True


@pytest.fixture
def remove(monkeypatch):
    """remove(check, ...): the verifier does not make these checks any more."""
    honest = VerifierChannel.require_zero

    def remove(*checks):
        def require_zero(self, check, value):
            if check not in checks:
                honest(self, check, value)

        monkeypatch.setattr(VerifierChannel, "require_zero", require_zero)

    return remove


def refused_by(check, remove, message, blocks, counts, alpha=None):
    with pytest.raises(InvalidProofError, match=check):
        verified(message, blocks, counts, alpha)
    remove(check)
    assert verified(message, blocks, counts, alpha)


def honest_counts():
    return reference.multiplicities(INSTANCE, HONEST)


def test_an_honest_proof_is_accepted():
    counts = honest_counts()
    assert verified(prove(HONEST, counts), HONEST, counts)


@pytest.mark.parametrize("blocks", [OUTSIDE, WRONG_OUTPUT])
def test_the_honest_prover_refuses_to_begin(blocks):
    with pytest.raises(InvalidInputError, match="is not in table"):
        reference.multiplicities(INSTANCE, blocks)


@pytest.mark.parametrize("blocks", [OUTSIDE, WRONG_OUTPUT])
@pytest.mark.parametrize("row", [0, 7])
def test_an_entry_outside_the_table_counted_at_another_row(blocks, row, remove):
    """The totals agree, the fractions do not."""
    counts = honest_counts()
    counts[0][7] -= 1
    counts[0][row] += 1
    refused_by(lookup.SUM_CHECK, remove, prove(blocks, counts), blocks, counts)


@pytest.mark.parametrize("change", [1, -1, 5])
def test_a_multiplicity_that_is_off(change, remove):
    counts = honest_counts()
    counts[0][7] += change
    refused_by(lookup.SUM_CHECK, remove, prove(HONEST, counts), HONEST, counts)


def test_a_multiplicity_off_by_the_modulus_has_no_encoding():
    """P more is the same element; as bytes it is refused, and the honest prover refuses to start."""
    counts = honest_counts()
    counts[0][7] += P
    with pytest.raises(InvalidInputError, match="multiplicity"):
        reference.prove(INSTANCE, HONEST, counts, ProverChannel(Transcript(b"test")))
    with pytest.raises(MalformedProofError, match="canonical"):
        decode_base(counts[0][7].to_bytes(7, "little"), 1)


def test_a_wrong_table_row(remove):
    """The prover's tree has the row 8 where the table has 6."""
    counts = honest_counts()
    counts[0][7], counts[0][6] = 1, 1

    def rows(instance, counts, alpha, gamma):
        numerators, denominators = reference.row_leaves(instance, counts, alpha, gamma)
        denominators[6] = ext_sub(alpha, (8, 0, 0))
        return numerators, denominators

    message = prove(OUTSIDE, counts, rows=rows)
    refused_by(lookup.ROW_DENOMINATOR_CHECK, remove, message, OUTSIDE, counts)


def test_another_entry_in_the_tree_than_in_the_commitment(remove):
    counts = honest_counts()
    message = prove(OUTSIDE, counts, entries=lambda i, part, _, a, g: reference.entry_leaves(i, part, HONEST, a, g))
    refused_by(lookup.ENTRY_DENOMINATOR_CHECK, remove, message, OUTSIDE, counts)


def test_another_entry_in_tree_and_messages_leaves_a_false_claim():
    """All checks pass; the commitment, which holds the other entry, does not open to the claimed value."""
    counts = honest_counts()
    message = prove(HONEST, counts)
    assert verified(message, HONEST, counts)
    assert not verified(message, OUTSIDE, counts)


def test_an_entry_left_out(remove):
    """Numerator 0 for the entry that is in no row."""
    counts = honest_counts()
    counts[0][7] -= 1

    def entries(instance, part, blocks, alpha, gamma):
        numerators, denominators = reference.entry_leaves(instance, part, blocks, alpha, gamma)
        numerators[2] = ZERO
        return numerators, denominators

    message = prove(OUTSIDE, counts, entries=entries)
    refused_by(lookup.ENTRY_NUMERATOR_CHECK, remove, message, OUTSIDE, counts)


def test_garbage_in_the_padding_of_the_entries(remove):
    """Seven cells of eight are filled; the last is made to hold what is missing, chosen after alpha."""
    assert [part.stack.filled for part in INSTANCE.entries] == [7]
    counts = honest_counts()
    counts[0][7] -= 1

    def entries(instance, part, blocks, alpha, gamma):
        numerators, denominators = reference.entry_leaves(instance, part, blocks, alpha, gamma)
        numerators[7] = ext_neg(ext_inv(ext_sub(alpha, (8, 0, 0))))
        return numerators, denominators

    message = prove(OUTSIDE, counts, entries=entries)
    refused_by(lookup.ENTRY_NUMERATOR_CHECK, remove, message, OUTSIDE, counts)


def test_garbage_in_denominator_and_numerator_of_the_padding(remove):
    """The padding cancels the bad entry: -1 / (alpha - 8). Either check alone refuses it."""
    counts = honest_counts()
    counts[0][7] -= 1

    def entries(instance, part, blocks, alpha, gamma):
        numerators, denominators = reference.entry_leaves(instance, part, blocks, alpha, gamma)
        numerators[7], denominators[7] = ext_neg(ONE), ext_sub(alpha, (8, 0, 0))
        return numerators, denominators

    message = prove(OUTSIDE, counts, entries=entries)
    both = (lookup.ENTRY_NUMERATOR_CHECK, lookup.ENTRY_DENOMINATOR_CHECK)
    for check in both:
        remove(*(c for c in both if c != check))
        with pytest.raises(InvalidProofError, match=check):
            verified(message, OUTSIDE, counts)
    remove(*both)
    assert verified(message, OUTSIDE, counts)


def test_garbage_in_the_padding_of_the_rows(remove):
    """Twelve cells of sixteen are filled."""
    assert INSTANCE.rows.filled == 12
    counts = honest_counts()
    counts[0][7] -= 1

    def rows(instance, counts, alpha, gamma):
        numerators, denominators = reference.row_leaves(instance, counts, alpha, gamma)
        numerators[15] = ext_inv(ext_sub(alpha, (8, 0, 0)))
        return numerators, denominators

    message = prove(OUTSIDE, counts, rows=rows)
    refused_by(lookup.ROW_NUMERATOR_CHECK, remove, message, OUTSIDE, counts)


def test_multiplicities_in_the_tree_that_are_not_the_committed_ones(remove):
    counts, committed = honest_counts(), honest_counts()
    committed[0][3] += 1

    def values(instance, blocks, _, point, channel):
        reference.send_values(instance, blocks, committed, point, channel)

    message = prove(HONEST, counts, values=values)
    refused_by(lookup.ROW_NUMERATOR_CHECK, remove, message, HONEST, committed)


@pytest.mark.parametrize("position", range(4))
def test_an_entry_outside_the_table_in_any_of_four_stacks(position, monkeypatch):
    """The quotients of all stacks are added up: what is missing in one is not made up for by another."""
    monkeypatch.setattr("zkinfer.protocol.lookup.params.MAX_ENTRY_STACKS", 4)
    sizes = (4, 3, 2, 1, 0)
    instance = LookupInstance((RangeTable(8),), tuple(Block(0, k) for k in sizes))
    assert [part.stack.filled for part in instance.entries] == [16, 8, 4, 3]
    blocks = [[[1] * (1 << k)] for k in sizes]
    counts = reference.multiplicities(instance, blocks)
    blocks[position][0][0] = 8
    for row in (1, 7):
        moved = [list(counts[0])]
        moved[0][1] -= 1
        moved[0][row] += 1
        channel = ProverChannel(Transcript(b"test"))
        reference.prove(instance, blocks, moved, channel)
        with pytest.raises(InvalidProofError, match=lookup.SUM_CHECK):
            lookup.verify(instance, VerifierChannel(Transcript(b"test"), channel.message))


FIVE_ROWS = [
    (RangeTable(5, -2), (3,)),
    (step_table(5, -2, 0), (3, 1)),
    (affine_table(5, -2, 2, 1), (3, 7)),
    (ExplicitTable((range(-2, 3), (4, 0, 0, 1, 1))), (3, 1)),
]
"""Tables of the inputs -2 .. 2, and the entry that would be the sixth row. Two more follow up to the power of two."""


@pytest.mark.parametrize(("table", "beyond"), FIVE_ROWS)
@pytest.mark.parametrize("row", range(8))
def test_the_entry_after_the_last_given_row(table, beyond, row):
    """Whichever row it is counted at; the rows from the sixth on repeat the fifth."""
    instance = LookupInstance((table,), (Block(0, 0),))
    entry, counts = [[value] for value in beyond], [[int(i == row) for i in range(8)]]
    channel = ProverChannel(Transcript(b"test"))
    reference.prove(instance, [entry], counts, channel)
    with pytest.raises(InvalidProofError, match=lookup.SUM_CHECK):
        lookup.verify(instance, VerifierChannel(Transcript(b"test"), channel.message))


@pytest.mark.parametrize(("table", "_"), FIVE_ROWS)
@pytest.mark.parametrize("row", range(4, 8))
def test_the_last_given_row_may_be_counted_at_any_of_its_places(table, _, row):
    """What the test above shows to be refused is the entry, not the row that it is counted at."""
    instance = LookupInstance((table,), (Block(0, 0),))
    entry = [[int(column[4])] for column in table.column_values()]
    channel = ProverChannel(Transcript(b"test"))
    reference.prove(instance, [entry], [[int(i == row) for i in range(8)]], channel)
    verifier = VerifierChannel(Transcript(b"test"), channel.message)
    lookup.verify(instance, verifier)
    verifier.finish()


def test_a_zero_denominator(remove):
    """If alpha were 8, the entries' root would be p / 0, and an inverse of 0 could be chosen to make it anything."""
    alpha, counts = (8, 0, 0), honest_counts()

    def roots(fractions, channel):
        (p, q), (rows_p, rows_q) = fractions
        assert q == ZERO
        channel.send("lookup roots", [element for fraction in fractions for element in fraction])
        inverse = ext_inv(rows_q)
        channel.send("lookup inverses", [ext_mul(ext_mul(rows_p, inverse), ext_inv(p)), inverse])

    message = prove(OUTSIDE, counts, alpha=alpha, roots=roots)
    refused_by(lookup.DENOMINATOR_CHECK, remove, message, OUTSIDE, counts, alpha)


def test_the_honest_prover_refuses_a_zero_denominator():
    with pytest.raises(reference.ZeroDenominatorError, match="fresh randomness"):
        prove(OUTSIDE, honest_counts(), alpha=(8, 0, 0))


def test_roots_that_are_equal_but_not_those_of_the_trees(remove):
    """The sum of the entries is replaced by that of the rows."""
    counts = honest_counts()

    def roots(fractions, channel):
        (_, q), (rows_p, rows_q) = fractions
        reference.send_roots([(ext_mul(rows_p, ext_mul(q, ext_inv(rows_q))), q), fractions[1]], channel)

    refused_by(FINAL_CHECK, remove, prove(OUTSIDE, counts, roots=roots), OUTSIDE, counts)


def test_the_same_row_of_another_table(remove):
    """(0, 3) is an entry of the step table only if the table's number is left out of the fingerprint."""
    blocks = [[[1, 7, 7, 0]], [[5]], [[0, 3], [0, 0]]]
    counts = reference.multiplicities(INSTANCE, HONEST)
    counts[1][3] -= 1
    counts[0][3] += 1
    with pytest.raises(InvalidProofError, match=lookup.SUM_CHECK):
        verified(prove(blocks, counts), blocks, counts)


def test_the_table_number_is_what_tells_tables_apart(monkeypatch):
    """Without it, the row 3 of the range table stands for (3, 0), which the step table does not have."""
    blocks = [[[1, 7, 7, 0]], [[5]], [[0, 3], [0, 0]]]
    counts = reference.multiplicities(INSTANCE, HONEST)
    counts[1][3] -= 1
    counts[0][3] += 1
    honest = LookupInstance.fingerprint_weights
    monkeypatch.setattr(LookupInstance, "fingerprint_weights", lambda self, g, t: (honest(self, g, t)[0], ZERO))
    assert verified(prove(blocks, counts), blocks, counts)


def test_a_layer_that_is_not_the_sum_of_its_children(remove, monkeypatch):
    """One node too large, all above it consistent with that: the layer's own sumcheck is wrong."""
    honest = reference.tree

    def tree(leaves):
        layers = honest(leaves)
        layers[1][0][0] = ext_add(layers[1][0][0], ONE)
        return layers

    monkeypatch.setattr(reference, "tree", tree)
    counts = honest_counts()
    refused_by(FINAL_CHECK, remove, prove(HONEST, counts), HONEST, counts)
