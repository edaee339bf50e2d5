"""How much memory codewords may take, and that proofs keep as many."""

from collections.abc import Iterator

import pytest
from support.native_prover import SMALL, make_case
from support.two_layer_program import INPUT, PROGRAM, WEIGHTS

from zkinfer.execution.tables import AppliedTable
from zkinfer.native import codewords, prove
from zkinfer.native.codewords import SHARE, kept_codeword_bytes
from zkinfer.native.prove import commit_run
from zkinfer.protocol.pcs.prover import KEPT_BYTES, ColumnsAgain


@pytest.fixture
def forgetting() -> Iterator[None]:
    """The limit is read again, now and afterwards."""
    codewords._limit.cache_clear()
    yield
    codewords._limit.cache_clear()


@pytest.mark.usefixtures("forgetting")
@pytest.mark.parametrize(
    ("limit", "threads", "kept"),
    [
        (64 << 30, 4, (64 << 30) // SHARE),
        (64 << 30, 1, (16 << 30) // SHARE),
        (64 << 30, 100, (64 << 30) // SHARE),
        (SHARE * KEPT_BYTES, 4, KEPT_BYTES),
        (SHARE * KEPT_BYTES, 1, KEPT_BYTES),
        (1 << 30, 4, KEPT_BYTES),
    ],
)
def test_a_share_of_the_memory_is_kept(limit: int, threads: int, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four processors: a process with one of them takes a fourth."""
    monkeypatch.setattr(codewords, "memory_limit", lambda: limit)
    monkeypatch.setattr(codewords, "available_processors", lambda: 4)
    monkeypatch.setattr(codewords, "get_threads", lambda: threads)
    assert kept_codeword_bytes() == kept


@pytest.mark.parametrize(("kept", "again"), [(0, True), (KEPT_BYTES, False)])
def test_a_proof_keeps_codewords_of_so_many_bytes(kept: int, again: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prove, "kept_codeword_bytes", lambda: kept)
    case = make_case(PROGRAM, WEIGHTS, [INPUT])
    tables = [AppliedTable(table) for table in PROGRAM.tables]
    run = commit_run(case.plan, dict(case.values), tables, SMALL.weights)
    assert [isinstance(matrix.leaves, ColumnsAgain) for matrix in run.matrices] == [again] * len(run.matrices)
    assert run.matrices
