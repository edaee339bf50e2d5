"""The parameter search: what it finds is secure, hides, and is the cheapest by the stated cost."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.paths import DOCS
from typer.testing import CliRunner

from zkinfer.cli import app
from zkinfer.errors import InvalidInputError
from zkinfer.protocol import security
from zkinfer.protocol.pcs import soundness
from zkinfer.protocol.pcs.params import Code, OpeningParameters
from zkinfer.protocol.pcs.search import Cost, _fewest_queries, _lengths, _priced, search


def error_bits(parameters: OpeningParameters, groups: int) -> float:
    return -math.log2(security.combine(soundness.opening(parameters, groups)).error)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 1 << 26), st.integers(1, 4), st.sampled_from([1, 10, 100]), st.sampled_from([60.0, 100.0, 130.0]))
def test_what_it_finds_is_secure_and_hides(cells: int, groups: int, proofs: int, bits: float) -> None:
    choice = search(cells, groups, proofs=proofs, error_bits=bits, max_log_columns=16)
    parameters = choice.parameters
    assert error_bits(parameters, groups) >= bits
    assert parameters.code.blinding >= proofs * parameters.queries
    assert choice.rows * parameters.code.columns >= cells
    assert max(parameters.query_grinding, parameters.weight_grinding) <= 20


@pytest.mark.parametrize("proofs", [1, 50])
@pytest.mark.parametrize(("log_columns", "log_length"), [(3, 12), (10, 12), (10, 15)])
def test_a_query_less_is_not_enough(log_columns: int, log_length: int, proofs: int) -> None:
    """By trying all smaller numbers one by one."""
    found = _fewest_queries(log_columns, log_length, (5, 4), 2, proofs, 100.0)
    first = None
    for queries in range(1, 600):
        blinding = queries * proofs
        if 2 * ((1 << log_columns) + blinding) > 1 << log_length:
            break
        parameters = OpeningParameters(Code(log_columns, blinding, log_length), queries, 5, 4)
        if error_bits(parameters, 2) >= 100:
            first = parameters
            break
    assert found == first


def test_no_neighbour_is_cheaper() -> None:
    cost = Cost()
    best = search(1 << 18, 2, error_bits=100)
    code = best.parameters.code
    for log_columns in (code.log_columns - 1, code.log_columns, code.log_columns + 1):
        for log_length in (code.log_length - 1, code.log_length, code.log_length + 1):
            for grinding in range(21):
                other = _fewest_queries(log_columns, log_length, (grinding, 0), 2, 1, 100.0)
                if other is not None:
                    assert _priced(other, -(-(1 << 18) >> log_columns), 2, 1, cost).cost >= best.cost


@pytest.mark.parametrize(("cells", "proofs"), [(1, 1), (300, 1), (40_000, 1), (40_000, 20)])
def test_the_choice_is_that_of_trying_everything(cells: int, proofs: int) -> None:
    """Nothing that is left out as too dear would have been chosen."""
    tried = [
        _priced(parameters, -(-cells // (1 << log_columns)), 2, proofs, Cost())
        for log_columns in range((cells - 1).bit_length() + 1)
        for log_length, work in _lengths(log_columns, 2, 100.0, 20)
        for query_grinding in range(21)
        if (parameters := _fewest_queries(log_columns, log_length, (query_grinding, work), 2, proofs, 100.0))
    ]
    assert search(cells, 2, proofs=proofs, error_bits=100.0) == min(tried, key=lambda choice: choice.cost)


def test_dear_bytes_make_short_proofs() -> None:
    cheap, dear = search(1 << 20, 2, cost=Cost(proof_byte=1)), search(1 << 20, 2, cost=Cost(proof_byte=10_000))
    assert dear.proof_bytes < cheap.proof_bytes


@settings(max_examples=10, deadline=None)
@given(
    st.integers(1, 1 << 26),
    st.sampled_from([(1, False), (1, True), (3, True), (100, True)]),
    st.lists(st.floats(1, 100_000), min_size=2, max_size=4),
)
def test_the_dearer_bytes_are_the_fewer_there_are(cells: int, kept: tuple[int, bool], prices: list[float]) -> None:
    """And the more time is spent: of what costs least at two prices, neither may be better in both."""
    proofs, stays = kept
    found = [
        search(cells, 1, proofs=proofs, kept=stays, committing=0.5, max_log_columns=18, cost=Cost(proof_byte=price))
        for price in sorted(prices)
    ]
    sizes = [choice.proof_bytes for choice in found]
    times = [choice.cost - price * size for choice, price, size in zip(found, sorted(prices), sizes, strict=True)]
    assert sizes == sorted(sizes, reverse=True)
    assert all(after >= before * (1 - 1e-9) for before, after in itertools.pairwise(times))


def test_row_lengths_can_be_prescribed() -> None:
    choice = search(1 << 20, 2, min_log_columns=8, max_log_columns=8)
    assert (choice.parameters.code.log_columns, choice.rows) == (8, 1 << 12)


def test_the_impossible_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="allow fewer proofs"):
        search(1 << 20, 2, proofs=100_000)
    with pytest.raises(InvalidInputError, match="nothing"):
        search(1 << 20, 2, error_bits=300)


DOCUMENT = DOCS / "protocol" / "transcript-and-commitment.md"


def documented_choices() -> list[list[str]]:
    table = DOCUMENT.read_text().partition("What it chooses")[2]
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("| 2^")
    ]


@pytest.mark.parametrize("row", documented_choices(), ids=lambda row: f"{row[0]}-{row[1]}")
def test_the_documented_choices_are_those_it_makes(row: list[str]) -> None:
    cells, proofs = 1 << int(row[0].removeprefix("2^")), int(row[1])
    choice = search(cells, 2, proofs=proofs)
    code = choice.parameters.code
    found = [f"2^{code.log_columns}", code.blinding, f"2^{code.log_length}", choice.parameters.queries]
    found += [choice.parameters.query_grinding, choice.parameters.weight_grinding, choice.rows]
    assert [*row[:2], *map(str, found), f"{choice.proof_bytes / 1e6:.2f}"] == row


def test_the_documented_report_is_what_is_printed() -> None:
    choice = search(1 << 22, 2)
    text = security.report(security.combine(soundness.opening(choice.parameters, 2)))
    assert "\n".join(f"    {line}" for line in text.splitlines()) in DOCUMENT.read_text()


def test_the_command_prints_parameters_and_security() -> None:
    printed = CliRunner().invoke(app, ["security", "65536", "--proofs", "10"])
    assert printed.exit_code == 0
    choice = search(1 << 16, 2, proofs=10)
    assert f"{choice.rows} rows of {choice.parameters.code.columns:,} columns" in printed.stdout
    assert security.report(security.combine(soundness.opening(choice.parameters, 2))) in printed.stdout
