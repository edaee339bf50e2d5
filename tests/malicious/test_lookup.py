"""Cheating lookup provers: honest but for one lie, and consistent with it afterwards.

Each is refused by the check that the test names, and accepted, with only true claims left, once that check is taken
away. A prover whose lie would leave a false claim is caught by the opening; one test shows that, too.
"""

from collections.abc import Callable, Sequence

import pytest
from support import plain_lookup
from support.channels import Change, LyingChannel, prove_on_channel, unchanged, verify_on_channel
from support.plain_lookup import Fractions, PlainTree, PlainWitness

from zkinfer.errors import InvalidInputError, InvalidProofError, MalformedProofError
from zkinfer.protocol.channel import AffineForm, Reader, VerifierChannel, Writer
from zkinfer.protocol.field.encoding import decode_base
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ONE, ZERO, Ext, ext_add, ext_inv, ext_mul, ext_neg, ext_sub, mle
from zkinfer.protocol.lookup import protocol as lookup
from zkinfer.protocol.lookup.params import Block, EntryStack, LookupInstance
from zkinfer.protocol.lookup.protocol import run_lookup
from zkinfer.protocol.lookup.tables import ExplicitTable, LookupTable, RangeTable, affine_table, step_table
from zkinfer.protocol.lookup.witness import FractionTree, ZeroDenominatorError
from zkinfer.protocol.sumcheck.protocol import FINAL_CHECK
from zkinfer.protocol.transcript import Transcript

INSTANCE = LookupInstance((RangeTable(8), step_table(4, 0, 2)), (Block(0, 2), Block(0, 0), Block(1, 1)))
HONEST = [[[1, 7, 7, 0]], [[5]], [[0, 3], [0, 1]]]
OUTSIDE = [[[1, 7, 8, 0]], [[5]], [[0, 3], [0, 1]]]
"""8 is not in [0, 2^3)."""

WRONG_OUTPUT = [[[1, 7, 7, 0]], [[5]], [[0, 3], [0, 0]]]
"""The step of 3 is 1."""


@pytest.fixture(autouse=True)
def one_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    """All entries in one stack, which has cells that nothing fills, as the last one of many entries."""
    monkeypatch.setattr("zkinfer.protocol.lookup.params.MAX_ENTRY_STACKS", 1)


Blocks = list[list[list[int]]]
Counts = list[list[int]]
Leaves = Callable[..., Fractions]
Remove = Callable[..., None]


class Scripted(Transcript):
    """A transcript whose alpha is given, which no real one lets a prover choose."""

    def __init__(self, alpha: Ext | None) -> None:
        super().__init__(b"test")
        self.alpha = alpha

    def challenge_ext(self, label: str) -> Ext:
        drawn = super().challenge_ext(label)
        return self.alpha if label == "lookup alpha" and self.alpha is not None else drawn


class LyingWitness(PlainWitness):
    """The witness of `INSTANCE`, with other leaves, trees or multiplicities than those that are committed."""

    def __init__(self, blocks: Blocks, counts: Counts, entries: Leaves, rows: Leaves, committed: Counts) -> None:
        super().__init__(INSTANCE, blocks, committed)
        self.blocks, self.in_tree, self.entries, self.rows = blocks, counts, entries, rows

    def trees(self, alpha: Ext, gamma: Ext) -> list[PlainTree]:
        (part,) = INSTANCE.entries
        leaves = (
            self.entries(INSTANCE, part, self.blocks, alpha, gamma),
            self.rows(INSTANCE, self.in_tree, alpha, gamma),
        )
        return [PlainTree(plain_lookup.tree(one)) for one in leaves]


def prove(
    blocks: Blocks,
    counts: Counts,
    *,
    entries: Leaves = plain_lookup.entry_leaves,
    rows: Leaves = plain_lookup.row_leaves,
    alpha: Ext | None = None,
    change: Change = unchanged,
    committed: Counts | None = None,
) -> bytes:
    """The message of a prover each of whose steps can be replaced."""
    wire = Writer()
    channel = LyingChannel(Scripted(alpha), wire, change=change)
    run_lookup(INSTANCE, channel, LyingWitness(blocks, counts, entries, rows, committed or counts))
    return wire.written


def verified(message: bytes, blocks: Blocks, counts: Counts, alpha: Ext | None = None) -> bool:
    """Whether what is left after verification is true; raises what the verifier raises."""
    channel = VerifierChannel(Scripted(alpha), Reader(message))
    claims = run_lookup(INSTANCE, channel)
    channel.finish()
    committed = [*blocks, *([c] for c in counts)]
    for claim, columns in zip(claims.blocks + claims.multiplicities, committed, strict=True):
        true = tuple(mle([(v % P, 0, 0) for v in column], claim.point) for column in columns)
        if tuple(form.constant for form in claim.values) != true:
            return False
    return True


def prove_instance(instance: LookupInstance, blocks: Blocks, counts: Counts) -> bytes:
    """The message of a prover who has these entries and multiplicities."""
    return prove_on_channel(lambda channel: run_lookup(instance, channel, PlainWitness(instance, blocks, counts)))[0]


@pytest.fixture
def remove(monkeypatch: pytest.MonkeyPatch) -> Remove:
    """remove(check, ...): the verifier does not make these checks any more."""
    honest = VerifierChannel.require_zero

    def remove(*checks: str) -> None:
        def require_zero(self: VerifierChannel, check: str, form: AffineForm) -> None:
            if check not in checks:
                honest(self, check, form)

        monkeypatch.setattr(VerifierChannel, "require_zero", require_zero)

    return remove


def refused_by(
    check: str, remove: Remove, message: bytes, blocks: Blocks, counts: Counts, alpha: Ext | None = None
) -> None:
    with pytest.raises(InvalidProofError, match=check):
        verified(message, blocks, counts, alpha)
    remove(check)
    assert verified(message, blocks, counts, alpha)


def honest_counts() -> Counts:
    return plain_lookup.multiplicities(INSTANCE, HONEST)


def test_an_honest_proof_is_accepted() -> None:
    counts = honest_counts()
    assert verified(prove(HONEST, counts), HONEST, counts)


@pytest.mark.parametrize("blocks", [OUTSIDE, WRONG_OUTPUT])
def test_the_honest_prover_refuses_to_begin(blocks: Blocks) -> None:
    with pytest.raises(InvalidInputError, match="is not in table"):
        plain_lookup.multiplicities(INSTANCE, blocks)


@pytest.mark.parametrize("blocks", [OUTSIDE, WRONG_OUTPUT])
@pytest.mark.parametrize("row", [0, 7])
def test_an_entry_outside_the_table_counted_at_another_row(blocks: Blocks, row: int, remove: Remove) -> None:
    """The totals agree, the fractions do not."""
    counts = honest_counts()
    counts[0][7] -= 1
    counts[0][row] += 1
    refused_by(lookup.SUM_CHECK, remove, prove(blocks, counts), blocks, counts)


@pytest.mark.parametrize("change", [1, -1, 5])
def test_a_multiplicity_that_is_off(change: int, remove: Remove) -> None:
    counts = honest_counts()
    counts[0][7] += change
    refused_by(lookup.SUM_CHECK, remove, prove(HONEST, counts), HONEST, counts)


def test_a_multiplicity_off_by_the_modulus_has_no_encoding() -> None:
    """P more is the same element; as bytes it is refused, and the honest prover refuses to start."""
    counts = honest_counts()
    counts[0][7] += P
    with pytest.raises(InvalidInputError, match="multiplicity"):
        PlainWitness(INSTANCE, HONEST, counts)
    with pytest.raises(MalformedProofError, match="canonical"):
        decode_base(counts[0][7].to_bytes(7, "little"), 1)


def test_a_wrong_table_row(remove: Remove) -> None:
    """The prover's tree has the row 8 where the table has 6."""
    counts = honest_counts()
    counts[0][7], counts[0][6] = 1, 1

    def rows(instance: LookupInstance, counts: Counts, alpha: Ext, gamma: Ext) -> Fractions:
        numerators, denominators = plain_lookup.row_leaves(instance, counts, alpha, gamma)
        denominators[6] = ext_sub(alpha, (8, 0, 0))
        return numerators, denominators

    message = prove(OUTSIDE, counts, rows=rows)
    refused_by(lookup.ROW_DENOMINATOR_CHECK, remove, message, OUTSIDE, counts)


def test_another_entry_in_the_tree_than_in_the_commitment(remove: Remove) -> None:
    counts = honest_counts()
    message = prove(OUTSIDE, counts, entries=lambda i, part, _, a, g: plain_lookup.entry_leaves(i, part, HONEST, a, g))
    refused_by(lookup.ENTRY_DENOMINATOR_CHECK, remove, message, OUTSIDE, counts)


def test_another_entry_in_tree_and_messages_leaves_a_false_claim() -> None:
    """All checks pass; the commitment, which holds the other entry, does not open to the claimed value."""
    counts = honest_counts()
    message = prove(HONEST, counts)
    assert verified(message, HONEST, counts)
    assert not verified(message, OUTSIDE, counts)


def test_an_entry_left_out(remove: Remove) -> None:
    """Numerator 0 for the entry that is in no row."""
    counts = honest_counts()
    counts[0][7] -= 1

    def entries(instance: LookupInstance, part: EntryStack, blocks: Blocks, alpha: Ext, gamma: Ext) -> Fractions:
        numerators, denominators = plain_lookup.entry_leaves(instance, part, blocks, alpha, gamma)
        numerators[2] = ZERO
        return numerators, denominators

    message = prove(OUTSIDE, counts, entries=entries)
    refused_by(lookup.ENTRY_NUMERATOR_CHECK, remove, message, OUTSIDE, counts)


def test_garbage_in_the_padding_of_the_entries(remove: Remove) -> None:
    """Seven cells of eight are filled; the last is made to hold what is missing, chosen after alpha."""
    assert [part.stack.filled for part in INSTANCE.entries] == [7]
    counts = honest_counts()
    counts[0][7] -= 1

    def entries(instance: LookupInstance, part: EntryStack, blocks: Blocks, alpha: Ext, gamma: Ext) -> Fractions:
        numerators, denominators = plain_lookup.entry_leaves(instance, part, blocks, alpha, gamma)
        numerators[7] = ext_neg(ext_inv(ext_sub(alpha, (8, 0, 0))))
        return numerators, denominators

    message = prove(OUTSIDE, counts, entries=entries)
    refused_by(lookup.ENTRY_NUMERATOR_CHECK, remove, message, OUTSIDE, counts)


def test_garbage_in_denominator_and_numerator_of_the_padding(remove: Remove) -> None:
    """The padding cancels the bad entry: -1 / (alpha - 8). Either check alone refuses it."""
    counts = honest_counts()
    counts[0][7] -= 1

    def entries(instance: LookupInstance, part: EntryStack, blocks: Blocks, alpha: Ext, gamma: Ext) -> Fractions:
        numerators, denominators = plain_lookup.entry_leaves(instance, part, blocks, alpha, gamma)
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


def test_garbage_in_the_padding_of_the_rows(remove: Remove) -> None:
    """Twelve cells of sixteen are filled."""
    assert INSTANCE.rows.filled == 12
    counts = honest_counts()
    counts[0][7] -= 1

    def rows(instance: LookupInstance, counts: Counts, alpha: Ext, gamma: Ext) -> Fractions:
        numerators, denominators = plain_lookup.row_leaves(instance, counts, alpha, gamma)
        numerators[15] = ext_inv(ext_sub(alpha, (8, 0, 0)))
        return numerators, denominators

    message = prove(OUTSIDE, counts, rows=rows)
    refused_by(lookup.ROW_NUMERATOR_CHECK, remove, message, OUTSIDE, counts)


def test_multiplicities_in_the_tree_that_are_not_the_committed_ones(remove: Remove) -> None:
    counts, committed = honest_counts(), honest_counts()
    committed[0][3] += 1

    message = prove(HONEST, counts, committed=committed)
    refused_by(lookup.ROW_NUMERATOR_CHECK, remove, message, HONEST, committed)


@pytest.mark.parametrize("position", range(4))
def test_an_entry_outside_the_table_in_any_of_four_stacks(position: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The quotients of all stacks are added up: what is missing in one is not made up for by another."""
    monkeypatch.setattr("zkinfer.protocol.lookup.params.MAX_ENTRY_STACKS", 4)
    sizes = (4, 3, 2, 1, 0)
    instance = LookupInstance((RangeTable(8),), tuple(Block(0, k) for k in sizes))
    assert [part.stack.filled for part in instance.entries] == [16, 8, 4, 3]
    blocks = [[[1] * (1 << k)] for k in sizes]
    counts = plain_lookup.multiplicities(instance, blocks)
    blocks[position][0][0] = 8
    for row in (1, 7):
        moved = [list(counts[0])]
        moved[0][1] -= 1
        moved[0][row] += 1
        message = prove_instance(instance, blocks, moved)
        with pytest.raises(InvalidProofError, match=lookup.SUM_CHECK):
            verify_on_channel(lambda channel: run_lookup(instance, channel), message)


FIVE_ROWS = [
    (RangeTable(5, -2), (3,)),
    (step_table(5, -2, 0), (3, 1)),
    (affine_table(5, -2, 2, 1), (3, 7)),
    (ExplicitTable((range(-2, 3), (4, 0, 0, 1, 1))), (3, 1)),
]
"""Tables of the inputs -2 .. 2, and the entry that would be the sixth row. Two more follow up to the power of two."""


@pytest.mark.parametrize(("table", "beyond"), FIVE_ROWS)
@pytest.mark.parametrize("row", range(8))
def test_the_entry_after_the_last_given_row(table: LookupTable, beyond: tuple[int, ...], row: int) -> None:
    """Whichever row it is counted at; the rows from the sixth on repeat the fifth."""
    instance = LookupInstance((table,), (Block(0, 0),))
    entry, counts = [[value] for value in beyond], [[int(i == row) for i in range(8)]]
    message = prove_instance(instance, [entry], counts)
    with pytest.raises(InvalidProofError, match=lookup.SUM_CHECK):
        verify_on_channel(lambda channel: run_lookup(instance, channel), message)


@pytest.mark.parametrize(("table", "_"), FIVE_ROWS)
@pytest.mark.parametrize("row", range(4, 8))
def test_the_last_given_row_may_be_counted_at_any_of_its_places(table: LookupTable, _: object, row: int) -> None:
    """What the test above shows to be refused is the entry, not the row that it is counted at."""
    instance = LookupInstance((table,), (Block(0, 0),))
    entry = [[int(column[4])] for column in table.column_values()]
    message = prove_instance(instance, [entry], [[int(i == row) for i in range(8)]])
    verify_on_channel(lambda channel: run_lookup(instance, channel), message)


def test_a_zero_denominator(remove: Remove, monkeypatch: pytest.MonkeyPatch) -> None:
    """If alpha were 8, the entries' root would be p / 0, and an inverse of 0 could be chosen to make it anything."""
    alpha, counts = (8, 0, 0), honest_counts()
    monkeypatch.setattr(lookup, "roots", lambda trees: [element for tree in trees for element in tree.root])
    monkeypatch.setattr(lookup, "inverses", chosen_inverses)
    message = prove(OUTSIDE, counts, alpha=alpha)
    refused_by(lookup.DENOMINATOR_CHECK, remove, message, OUTSIDE, counts, alpha)


def chosen_inverses(trees: Sequence[FractionTree]) -> list[Ext]:
    """An inverse of the entries' denominator, zero, that makes the sums agree."""
    (p, q), (rows_p, rows_q) = (tree.root for tree in trees)
    assert q == ZERO
    inverse = ext_inv(rows_q)
    return [ext_mul(ext_mul(rows_p, inverse), ext_inv(p)), inverse]


def test_the_honest_prover_refuses_a_zero_denominator() -> None:
    with pytest.raises(ZeroDenominatorError, match="fresh randomness"):
        prove(OUTSIDE, honest_counts(), alpha=(8, 0, 0))


def test_roots_that_are_equal_but_not_those_of_the_trees(remove: Remove) -> None:
    """The sum of the entries is replaced by that of the rows."""
    counts = honest_counts()

    def change(number: int, label: str, values: list[Ext]) -> list[Ext]:
        if label == "lookup roots":
            _, q, rows_p, rows_q = values
            values[0] = ext_mul(rows_p, ext_mul(q, ext_inv(rows_q)))
        return values

    refused_by(FINAL_CHECK, remove, prove(OUTSIDE, counts, change=change), OUTSIDE, counts)


def test_the_same_row_of_another_table(remove: Remove) -> None:
    """(0, 3) is an entry of the step table only if the table's number is left out of the fingerprint."""
    blocks = [[[1, 7, 7, 0]], [[5]], [[0, 3], [0, 0]]]
    counts = plain_lookup.multiplicities(INSTANCE, HONEST)
    counts[1][3] -= 1
    counts[0][3] += 1
    with pytest.raises(InvalidProofError, match=lookup.SUM_CHECK):
        verified(prove(blocks, counts), blocks, counts)


def test_the_table_number_is_what_tells_tables_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it, the row 3 of the range table stands for (3, 0), which the step table does not have."""
    blocks = [[[1, 7, 7, 0]], [[5]], [[0, 3], [0, 0]]]
    counts = plain_lookup.multiplicities(INSTANCE, HONEST)
    counts[1][3] -= 1
    counts[0][3] += 1
    honest = LookupInstance.fingerprint_weights
    monkeypatch.setattr(LookupInstance, "fingerprint_weights", lambda self, g, t: (honest(self, g, t)[0], ZERO))
    assert verified(prove(blocks, counts), blocks, counts)


def test_a_layer_that_is_not_the_sum_of_its_children(remove: Remove, monkeypatch: pytest.MonkeyPatch) -> None:
    """One node too large, all above it consistent with that: the layer's own sumcheck is wrong."""
    honest = plain_lookup.tree

    def tree(leaves: Fractions) -> list[Fractions]:
        layers = honest(leaves)
        layers[1][0][0] = ext_add(layers[1][0][0], ONE)
        return layers

    monkeypatch.setattr(plain_lookup, "tree", tree)
    counts = honest_counts()
    refused_by(FINAL_CHECK, remove, prove(HONEST, counts), HONEST, counts)
