"""The verifier: agrees with the reference on everything, and raises its own errors on any bytes whatever."""

import functools
import subprocess
import sys
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.channels import public_claim
from support.opening_prover import DOMAIN, SMALL, PlainProver, Statement, exts, random_ext
from support.reference_statements import matrix_root, opening_sizes, reference_accepts

from zkinfer.errors import InvalidInputError, VerificationError
from zkinfer.protocol.channel import AffineForm, Reader, VerifierChannel
from zkinfer.protocol.field import scalar
from zkinfer.protocol.field.params import P
from zkinfer.protocol.field.scalar import ZERO
from zkinfer.protocol.pcs.claims import ClaimGroup, RowClaim
from zkinfer.protocol.pcs.params import MatrixCommitment, OpeningParameters
from zkinfer.protocol.pcs.protocol import run_opening, verify_opening
from zkinfer.protocol.pcs.sizes import fixed_opening_bytes, max_opening_bytes
from zkinfer.protocol.transcript import Transcript
from zkinfer.verifier import reference


@functools.cache
def example() -> tuple[PlainProver, bytes]:
    prover = PlainProver(Statement.random(20))
    return prover, prover.open()


def changed_statement(prover: PlainProver, changes: dict[str, Any]) -> dict[str, Any]:
    """The prover's statement, but for the changes."""
    return {"parameters": prover.parameters, "commitments": prover.commitments, "groups": prover.groups} | changes


def fast_accepts(prover: PlainProver, opening: bytes, **changes: Any) -> bool:
    try:
        verify_opening(**changed_statement(prover, changes), opening=opening, transcript=Transcript(DOMAIN))
    except VerificationError:
        return False
    return True


def accepted(prover: PlainProver, opening: bytes, **changes: Any) -> bool:
    """Whether the verifiers, which must agree, accept."""
    fast = fast_accepts(prover, opening, **changes)
    assert fast == reference_accepts(**changed_statement(prover, changes), opening=opening)
    return fast


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_bit_can_be_changed(data: st.DataObject) -> None:
    prover, opening = example()
    bit = data.draw(st.integers(0, 8 * len(opening) - 1))
    changed = bytearray(opening)
    changed[bit // 8] ^= 1 << bit % 8
    assert not accepted(prover, bytes(changed))


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_no_length_but_the_right_one(data: st.DataObject) -> None:
    prover, opening = example()
    cut = data.draw(st.integers(0, len(opening) - 1))
    more = data.draw(st.binary(min_size=1, max_size=50))
    for changed in (opening[:cut], opening + more, opening[cut:], opening[:cut] + more + opening[cut:]):
        if changed != opening:
            assert not accepted(prover, changed)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 40_000))
def test_any_bytes_whatever(start: bytes, size: int) -> None:
    prover, opening = example()
    for data in (start, (start or b"\xff") * (size // max(len(start), 1)), start + opening[len(start) :]):
        assert accepted(prover, data) == (data == opening)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_parts_in_another_order(data: st.DataObject) -> None:
    """Elements of 21 bytes exchanged within the messages."""
    prover, opening = example()
    count = fixed_opening_bytes(SMALL, 2) // 21 - 1
    i, j = data.draw(st.integers(0, count)), data.draw(st.integers(0, count))
    parts = [opening[21 * k : 21 * k + 21] for k in range(count + 1)]
    parts[i], parts[j] = parts[j], parts[i]
    changed = b"".join(parts) + opening[21 * (count + 1) :]
    assert accepted(prover, changed) == (changed == opening)


def changed_statements() -> dict[str, dict[str, Any]]:
    """Each part of the statement changed by itself."""
    prover, _ = example()
    first, second = prover.groups
    one = (1, 0, 0)
    rows = first.claims[0].rows.copy()
    rows[0, 0] = (rows[0, 0] + 1) % P
    point = (scalar.ext_add(first.column_point[0], one), *first.column_point[1:])
    left, right = prover.commitments
    claims = first.claims
    code = SMALL.code
    parameters = {
        "more queries": OpeningParameters(code, SMALL.queries - 1, SMALL.query_grinding, SMALL.weight_grinding),
        "less work on queries": OpeningParameters(code, SMALL.queries, SMALL.query_grinding - 1, SMALL.weight_grinding),
        "less work on weights": OpeningParameters(code, SMALL.queries, SMALL.query_grinding, SMALL.weight_grinding - 1),
    }
    return {
        **{name: {"parameters": p} for name, p in parameters.items()},
        "value": {"groups": [ClaimGroup(first.column_point, (public_claim(claims[0].rows, ZERO), claims[1])), second]},
        "row vector": {
            "groups": [
                ClaimGroup(first.column_point, (public_claim(rows, claims[0].value.constant), claims[1])),
                second,
            ]
        },
        "column point": {"groups": [ClaimGroup(point, claims), second]},
        "order of claims": {"groups": [ClaimGroup(first.column_point, claims[::-1]), second]},
        "order of groups": {"groups": [second, first]},
        "a claim less": {"groups": [ClaimGroup(first.column_point, claims[:1]), second]},
        "root": {"commitments": [MatrixCommitment(right.root, left.rows, 0), right]},
        "rows moved": {
            "commitments": [
                MatrixCommitment(left.root, left.rows - 1, 0),
                MatrixCommitment(right.root, right.rows + 1, right.masks),
            ]
        },
    }


@pytest.mark.parametrize("name", changed_statements())
def test_an_opening_proves_its_own_statement_alone(name: str) -> None:
    prover, opening = example()
    assert accepted(prover, opening)
    assert not accepted(prover, opening, **changed_statements()[name])


def test_an_opening_belongs_to_its_transcript() -> None:
    prover, opening = example()
    transcript = Transcript(DOMAIN)
    transcript.absorb("something else", b"")
    with pytest.raises(VerificationError):
        verify_opening(prover.parameters, prover.commitments, prover.groups, opening, transcript)


def test_hostile_lengths_cost_no_memory() -> None:
    prover, opening = example()
    huge = bytes(max_opening_bytes(SMALL, [c.symbols for c in prover.commitments], 2) + 1)
    tracemalloc.start()
    with pytest.raises(VerificationError):
        verify_opening(prover.parameters, prover.commitments, prover.groups, huge, Transcript(DOMAIN))
    assert not fast_accepts(prover, opening[:100])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_padded_values_leave_the_constraints_of_the_reference() -> None:
    """Values sent less a pad, the mask value as well: both verifiers have one constraint a group, which is true."""
    statement = Statement.random(21)
    prover = PlainProver(statement)
    claim_pads = [[random_ext(prover.rng) for _ in g.claims] for g in statement.groups]
    mask_pads = [random_ext(prover.rng) for _ in statement.groups]
    prover.groups = [
        ClaimGroup(
            g.column_point,
            tuple(
                public_claim(c.rows, scalar.ext_sub(c.value.constant, pad))
                for c, pad in zip(g.claims, pads, strict=True)
            ),
        )
        for g, pads in zip(statement.groups, claim_pads, strict=True)
    ]
    honest_mask_values = prover.mask_values()
    prover.mask_values = lambda: [  # type: ignore[method-assign]
        scalar.ext_sub(v, pad) for v, pad in zip(honest_mask_values, mask_pads, strict=True)
    ]
    opening = prover.open()

    fast = VerifierChannel(Transcript(DOMAIN), Reader(b""), padded=True)
    padded = [
        ClaimGroup(
            g.column_point,
            tuple(RowClaim(c.rows, AffineForm(c.value.constant, {fast._new_pads(1): scalar.ONE})) for c in g.claims),
        )
        for g in prover.groups
    ]
    run_opening(prover.parameters, prover.commitments, padded, fast, Reader(opening))
    constraints = fast.constraints()
    constraints.check(constraints.expand([*(pad for pads in claim_pads for pad in pads), *mask_pads]))

    channel = reference.Channel(Transcript(DOMAIN), b"")
    groups = [
        reference.ClaimGroup(
            group.column_point,
            [reference.RowClaim(exts(c.rows), *channel.with_pads([c.value.constant])) for c in group.claims],
        )
        for group in prover.groups
    ]
    matrices = [matrix_root(commitment) for commitment in prover.commitments]
    reference.verify_opening(channel, opening_sizes(prover.parameters), matrices, groups, opening)
    assert channel.variables == constraints.variables
    assert [(one.constant, one.coefficients) for one in channel.constraints] == [
        (one.form.constant, one.form.variables) for one in constraints.linear
    ]


def test_needs_nothing_of_the_prover() -> None:
    blocked = ["numba", "mpmath", "onnx", "onnxruntime", "torch", "scipy"]
    code = f"import sys\nfor name in {blocked}: sys.modules[name] = None\n"
    parts = ("pcs.protocol", "transcript", "security", "pcs.search")
    code += "import " + ", ".join(f"zkinfer.protocol.{part}" for part in parts)
    subprocess.run([sys.executable, "-c", code], check=True)


class TestStatementsThatAreNotWellFormed:
    """They come from the caller and are its mistake, told before anything is read."""

    def check(self, match: str, **changes: Any) -> None:
        prover, opening = example()
        with pytest.raises(InvalidInputError, match=match):
            fast_accepts(prover, opening, **changes)

    def test_masks(self) -> None:
        left, right = example()[0].commitments
        self.check("masks", commitments=[left, MatrixCommitment(right.root, right.rows + 3, right.masks - 1)])
        self.check("masks", commitments=[MatrixCommitment(left.root, left.rows, 1), right])
        self.check("masks", groups=example()[0].groups[:1])

    def test_nothing_to_open(self) -> None:
        self.check("at least one", groups=[])
        self.check("at least one", commitments=[])
        self.check("at least one claim", groups=[ClaimGroup(g.column_point, ()) for g in example()[0].groups])

    def test_too_few_random_symbols_for_the_queries(self) -> None:
        self.check("do not hide", parameters=OpeningParameters(SMALL.code, SMALL.code.blinding + 1, 0, 0))

    @pytest.mark.parametrize("bad", [(3, 4), (2, 5), (3, 6)])
    def test_shapes_of_row_vectors(self, bad: tuple[int, int]) -> None:
        first, second = example()[0].groups
        claim = public_claim(np.zeros(bad, dtype=np.int64), ZERO)
        self.check("row vector", groups=[ClaimGroup(first.column_point, (claim,)), second])

    @pytest.mark.parametrize("bad", [-1, P])
    def test_elements_that_are_not_canonical(self, bad: int) -> None:
        first, second = example()[0].groups
        rows = np.zeros((3, 5), dtype=np.int64)
        self.check("value", groups=[ClaimGroup(first.column_point, (public_claim(rows, (0, bad, 0)),)), second])
        rows[1, 2] = bad
        self.check("not canonical", groups=[ClaimGroup(first.column_point, (public_claim(rows, ZERO),)), second])
        point = (ZERO, (bad, 0, 0), ZERO)
        self.check("column point", groups=[ClaimGroup(point, first.claims), second])
        self.check("coordinates", groups=[ClaimGroup(point[:2], first.claims), second])


@pytest.mark.parametrize(("rows", "masks"), [(-1, 1), (5, -1), (0, 0), ((1 << 24) + 1, 0)])
def test_a_matrix_has_rows_or_masks_and_never_less_than_none(rows: int, masks: int) -> None:
    with pytest.raises(InvalidInputError, match="empty or too large"):
        MatrixCommitment(bytes(32), rows, masks)


def test_row_vectors_of_other_types_are_refused() -> None:
    """Their bytes in the transcript would be others."""
    prover, opening = example()
    first, *rest = prover.groups
    claims = [RowClaim(claim.rows.astype(np.uint64), claim.value) for claim in first.claims]
    groups = [ClaimGroup(first.column_point, tuple(claims)), *rest]
    with pytest.raises(InvalidInputError, match="int64 row vector"):
        verify_opening(prover.parameters, prover.commitments, groups, opening, Transcript(DOMAIN))
