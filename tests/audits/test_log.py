"""Running a sample of a log again: an honest log passes, each wrong answer that is drawn is named, no more is read."""

import dataclasses
import io
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.console import Console
from support.example_programs import Example, everything, mlp

import zkinfer as zk
from zkinfer.audits import sampling
from zkinfer.audits.log import AuditReport, Difference, audit
from zkinfer.circuit.program import Einsum
from zkinfer.compiler.model import Circuit
from zkinfer.errors import (
    InputRangeError,
    InvalidInputError,
    NotFiniteError,
    ShapeError,
    VerificationError,
)

SEED = bytes(range(32))


def circuit_of(example: Example) -> Circuit:
    return Circuit(example.program, example.weights, (), b"")


SINGLE = circuit_of(mlp())
"""One input of 3 numbers in steps of 1/8 within 15/8, one output of 2, batch 1."""

PAIRS = circuit_of(everything())
"""Two inputs, two outputs, batch 2."""


def inputs_of(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-15, 16, (samples, 3)) / 8


def log_of(samples: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    x = inputs_of(samples, seed)
    return x, np.asarray(SINGLE.run(x))


def pairs_of(samples: int) -> tuple[list[np.ndarray], tuple[np.ndarray, ...]]:
    rng = np.random.default_rng(samples)
    x = [rng.integers(-4, 5, (samples, 5)) / 4, rng.integers(0, 4, (samples, 2)) / 1]
    outputs = PAIRS.run(x)
    assert isinstance(outputs, tuple)
    return x, tuple(array.copy() for array in outputs)


class TestHonestLogs:
    def test_agree_bit_for_bit(self) -> None:
        report = audit(SINGLE, *log_of(1000))
        assert report.ok
        report.raise_for_differences()
        assert (report.logged, report.rerun) == (1000, 368)
        assert report.circuit_digest == SINGLE.digest

    def test_whatever_batches_and_order_they_were_run_in(self) -> None:
        x, _ = log_of(50)
        one_by_one = np.concatenate([np.asarray(SINGLE.run(sample)) for sample in x])
        assert audit(SINGLE, x, one_by_one, sample=50).ok

    @pytest.mark.parametrize("samples", [1, 2, 3, 8, 11])
    def test_a_last_run_that_is_not_full(self, samples: int) -> None:
        """Two samples a run; one of eleven is alone and runs beside the first."""
        report = audit(PAIRS, *pairs_of(samples), rate=1e-6)
        assert report.ok
        assert report.logged == report.rerun == -(-samples // 2)

    def test_an_output_that_has_no_axis_of_samples(self) -> None:
        """A sum over everything, one number a run."""
        *nodes, last = SINGLE.program.nodes
        assert isinstance(last, Einsum)
        total = replace(last, out=replace(last.out, shape=()), subscripts="bi,oi->")
        circuit = Circuit(replace(SINGLE.program, nodes=(*nodes, total)), SINGLE.weights, (), b"")
        x = inputs_of(20)
        y = np.asarray(circuit.run(x))
        assert y.shape == (20,)
        assert audit(circuit, x, y, sample=20).ok
        y[7] += 1
        (difference,) = audit(circuit, x, y, sample=20).differences
        assert (difference.inference, difference.index) == (7, (7,))

    def test_inputs_and_outputs_by_name(self) -> None:
        (a, b), (y, z) = pairs_of(6)
        assert audit(PAIRS, {"gate": b, "x": a}, {"shifted": z, "pooled": y}).ok

    def test_logs_of_another_type_that_holds_the_outputs(self) -> None:
        x, y = log_of(20)
        assert audit(SINGLE, x.astype(np.float32), y.astype(np.float32), sample=20).ok

    def test_saturated_inferences(self) -> None:
        x = inputs_of(20) * 3
        y = SINGLE.run(x, saturate=True)
        assert audit(SINGLE, x, y, saturate=True, sample=20).ok
        with pytest.raises(InputRangeError):
            audit(SINGLE, x, y, sample=20)

    def test_is_the_public_function_whatever_was_imported_before(self) -> None:
        from zkinfer.audits.commitment import audit_weights

        assert zk.audit is audit
        assert zk.audit_weights is audit_weights


class TestWrongLogs:
    @settings(max_examples=50, deadline=None)
    @given(st.integers(0, 29), st.integers(0, 1), st.integers(0, 2**32))
    def test_the_last_bit_of_one_number_is_found(self, row: int, column: int, seed: int) -> None:
        x, y = log_of(30, seed)
        right = float(y[row, column])
        y[row, column] = np.nextafter(right, np.inf)
        report = audit(SINGLE, x, y, sample=30)
        assert not report.ok
        assert report.differences == (Difference(row, "y", (row, column), right, float(y[row, column])),)

    def test_exactly_those_that_are_drawn_are_named(self) -> None:
        x, y = log_of(200)
        wrong = np.arange(0, 200, 3)
        y[wrong, 1] += 0.5
        report = audit(SINGLE, x, y, sample=40, seed=SEED)
        assert [d.inference for d in report.differences] == np.intersect1d(wrong, report.sample).tolist()
        assert all(d.index == (d.inference, 1) and d.logged == d.expected + 0.5 for d in report.differences)

    def test_other_weights(self) -> None:
        """A model of the same architecture, one weight by one step away, as a silent update would be."""
        weights = [w.copy() for w in SINGLE.weights]
        weights[2][0, 0] += 1 if weights[2][0, 0] < 7 else -1
        other = Circuit(SINGLE.program, tuple(weights), (), b"")
        x = inputs_of(100)
        assert not audit(SINGLE, x, other.run(x), sample=100).ok

    def test_two_answers_exchanged(self) -> None:
        x, y = log_of(100)
        a, b = 0, next(i for i in range(100) if (y[i] != y[0]).all())
        y[[a, b]] = y[[b, a]]
        assert [d.inference for d in audit(SINGLE, x, y, sample=100).differences] == [a, b]

    def test_the_first_output_that_differs_is_named(self) -> None:
        x, (y, z) = pairs_of(7)
        right = float(z[5, 3])
        z[5, 3:] += 1
        z[6, 0] += 1
        y[6, 1] += 2
        report = audit(PAIRS, x, (y, z), sample=4)
        assert report.differences == (
            Difference(2, "shifted", (5, 3), right, right + 1),
            Difference(3, "pooled", (6, 1), float(y[6, 1]) - 2, float(y[6, 1])),
        )

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_what_is_no_number_is_wrong(self, value: float) -> None:
        x, y = log_of(5)
        y[3, 0] = value
        (difference,) = audit(SINGLE, x, y, sample=5).differences
        assert difference.inference == 3
        assert np.array_equal([difference.logged], [value], equal_nan=True)

    def test_the_error_names_the_first(self) -> None:
        x, y = log_of(30)
        y[4:6] += 1
        with pytest.raises(VerificationError, match=r"2 of 30 .* first is inference 4, where output 'y' at \[4, 0\]"):
            audit(SINGLE, x, y, sample=30).raise_for_differences()

    def test_the_table_names_some_and_counts_the_rest(self) -> None:
        x, y = log_of(30)
        y += 1
        report = audit(SINGLE, x, y, sample=30)
        console = Console(width=100, file=io.StringIO(), record=True)
        console.print(report.table(limit=4))
        text = console.export_text()
        assert "30 of 30 inferences differ" in text
        assert "and 26 more" in text
        assert repr(report.differences[3].expected) in text

    def test_a_rounded_log_is_a_mistake_not_an_accusation(self) -> None:
        """Weights a thousand times as large: outputs of 20 bits, of which float16 holds 11."""
        *first, last = SINGLE.program.nodes
        tensors = [replace(t, lo=1001 * t.lo, hi=1001 * t.hi) for t in (SINGLE.program.weights[2], last.out)]
        program = replace(
            SINGLE.program,
            weights=(*SINGLE.program.weights[:2], tensors[0]),
            nodes=(*first, replace(last, out=tensors[1])),
        )
        circuit = Circuit(program, (*SINGLE.weights[:2], SINGLE.weights[2] * 1001), (), b"")
        x = inputs_of(10)
        y = np.asarray(circuit.run(x))
        assert audit(circuit, x, y.astype(np.float32), sample=10).ok
        with pytest.raises(InvalidInputError, match=r"output 'y' of inference 0 is .* which float16 cannot hold"):
            audit(circuit, x, y.astype(np.float16), sample=10)


class TestTheSample:
    def test_is_drawn_from_the_seed_in_the_report(self) -> None:
        x, y = log_of(300)
        report = audit(SINGLE, x, y, sample=20)
        assert (audit(SINGLE, x, y, sample=20, seed=report.seed).sample == report.sample).all()
        assert (report.sample == sampling.draw(report.seed, 300, 20)).all()
        assert len(report.seed) == 32

    def test_is_fresh_each_time(self) -> None:
        x, y = log_of(300)
        assert (audit(SINGLE, x, y, sample=20).sample != audit(SINGLE, x, y, sample=20).sample).any()

    def test_what_is_not_drawn_is_not_looked_at(self) -> None:
        x, y = log_of(100)
        drawn = sampling.draw(SEED, 100, 10)
        left = np.setdiff1d(np.arange(100), drawn)
        y[left] = np.nan
        x[left] = np.nan
        assert audit(SINGLE, x, y, sample=10, seed=SEED).ok

    def test_one_wrong_answer_is_missed_as_often_as_the_report_says(self) -> None:
        x, y = log_of(20)
        y[3] += 1
        reports = [audit(SINGLE, x, y, sample=5, rate=0.05, seed=i.to_bytes(32, "big")) for i in range(400)]
        assert reports[0].miss_probability == pytest.approx(0.75)
        assert np.mean([report.ok for report in reports]) == pytest.approx(0.75, abs=0.1)

    def test_figures_of_the_report(self) -> None:
        x, y = log_of(1000)
        report = audit(SINGLE, x, y, rate=0.02, confidence=0.9)
        assert report.miss_probability <= 0.1 < dataclasses.replace(report, rerun=report.rerun - 1).miss_probability
        assert report.detectable_rate <= 0.02
        everything_again = dataclasses.replace(report, rerun=1000)
        assert (everything_again.miss_probability, everything_again.detectable_rate) == (0.0, 0.001)

    @pytest.mark.parametrize(
        ("arguments", "match"),
        [
            ({"sample": 0}, "from 1 to 10"),
            ({"sample": 11}, "from 1 to 10"),
            ({"rate": 0.0}, "rate"),
            ({"rate": 1.5, "sample": 5}, "rate"),
            ({"confidence": 1.0}, "confidence"),
            ({"confidence": 0.0, "sample": 5}, "confidence"),
            ({"seed": b"short"}, "seed of a sample has 32 bytes"),
        ],
    )
    def test_arguments_that_ask_for_no_sample(self, arguments: dict[str, Any], match: str) -> None:
        with pytest.raises(InvalidInputError, match=match):
            audit(SINGLE, *log_of(10), **arguments)


class TestWhatIsNoLog:
    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_an_input_that_is_no_number(self, value: float) -> None:
        x, y = log_of(30)
        x[17, 2] = value
        with pytest.raises(NotFiniteError, match="sample 17 of the log: 'x'"):
            audit(SINGLE, x, y, sample=30)

    def test_an_input_out_of_range(self) -> None:
        (a, b), y = pairs_of(9)
        b[4, 0] = 4
        with pytest.raises(InputRangeError, match="sample 4 of the log: 'gate' takes values from 0 to 3"):
            audit(PAIRS, [a, b], y, sample=5)

    @pytest.mark.parametrize(
        ("x", "y"),
        [
            (inputs_of(5)[:, :2], np.zeros((5, 2))),
            (inputs_of(0), np.zeros((0, 2))),
            (inputs_of(5), np.zeros((4, 2))),
            (inputs_of(5), np.zeros((5, 3))),
            (inputs_of(5), np.zeros(10)),
            (inputs_of(5), (np.zeros((5, 2)), np.zeros((5, 2)))),
            ([inputs_of(5), inputs_of(5)], np.zeros((5, 2))),
        ],
        ids=["inputs", "nothing", "fewer outputs", "wider outputs", "flat outputs", "two outputs", "two inputs"],
    )
    def test_wrong_shapes(self, x: Any, y: Any) -> None:
        with pytest.raises(ShapeError):
            audit(SINGLE, x, y)

    def test_inputs_of_different_lengths(self) -> None:
        (a, b), y = pairs_of(9)
        with pytest.raises(ShapeError, match=r"different numbers of samples: \[9, 8\]"):
            audit(PAIRS, [a, b[:8]], y)

    def test_wrong_names_of_outputs(self) -> None:
        x, y = log_of(5)
        with pytest.raises(InvalidInputError, match="named \\['y'\\], got arrays named \\['z'\\]"):
            audit(SINGLE, x, {"z": y})

    def test_outputs_that_are_no_numbers(self) -> None:
        x, y = log_of(5)
        with pytest.raises(InvalidInputError, match="does not hold real numbers"):
            audit(SINGLE, x, y.astype(str))


def test_a_log_larger_than_what_is_read(tmp_path: Path) -> None:
    """40 MB in two files; an audit of 459 inferences needs a small part of it."""
    count = 1_000_000
    x = np.lib.format.open_memmap(tmp_path / "x.npy", mode="w+", dtype=np.float64, shape=(count, 3))
    y = np.lib.format.open_memmap(tmp_path / "y.npy", mode="w+", dtype=np.float64, shape=(count, 2))
    x.flush()
    y[...] = SINGLE.run(np.zeros(3))
    y[::2000] += 1
    y.flush()
    x, y = (np.load(tmp_path / name, mmap_mode="r") for name in ("x.npy", "y.npy"))
    tracemalloc.start()
    report = audit(SINGLE, x, y)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert report.rerun == 459
    assert [d.inference for d in report.differences] == [i for i in report.sample if i % 2000 == 0]
    assert peak < 4_000_000


def test_pieces_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = log_of(60)
    y[::7] += 1
    whole = audit(SINGLE, x, y, sample=40, seed=SEED)
    monkeypatch.setattr("zkinfer.circuit.samples.CHUNK_ELEMENTS", 100)
    assert audit(SINGLE, x, y, sample=40, seed=SEED) == whole
    assert isinstance(whole, AuditReport)
