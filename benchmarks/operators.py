"""The ONNX standard's own node tests: which operators compile to circuits that give the outputs expected of them.

    python benchmarks/operators.py [PATTERN ...] [--markdown FILE]

Names or shell patterns of cases narrow the run down. The exit status is 1 if a case is wrong or crashes.
"""

import argparse
import fnmatch
import sys
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from measure import markdown_table
from node_cases import PRECISION, TOLERANCE, Outcome, Verdict, check, node_cases
from rich.console import Console
from rich.markdown import Markdown

from zkinfer.compiler.onnx.load import MAX_OPSET
from zkinfer.progress import progress

MAX_DETAIL = 160
COLUMNS = (Outcome.PASSED, Outcome.FOLDED, Outcome.REFUSED, Outcome.WRONG, Outcome.CRASHED)

HEAD = """# The standard's own operator tests

The onnx package contains tests of single operators: inputs and the expected outputs. Every test that has one node, and
whose inputs and outputs are tensors of numbers, is compiled and run. This command writes the page:

```
python benchmarks/operators.py --markdown docs/operator-tests.md
```

* **Passed**: every output differs by at most {tolerance:g} of the largest magnitude in it, or, where that is less,
  by 2^-15 of the largest input, because inputs have steps of about that size. Truth values and whole numbers are equal,
  except whole numbers of 16 bits, which are as fine as the circuit's own steps and are compared as real numbers.
  Circuits have {activation} bits for activations, {weight} for weights, tables of up to {entries} entries, and are
  calibrated on the test's own inputs.
* **Folded**: the operator's output is known when the model is read, as with Shape, so that there is nothing to prove.
  The constant that it becomes is compared with the test.
* **Refused**: the library raises an error that says what is not supported. Examples are tests of tensors without
  elements, of NaN and infinity, of integers that wrap around in their type, and of training, and tests that
  onnxruntime, which runs the float model, does not implement.
* **Wrong**: the model compiled, but an output differs by more, or is NaN or infinite by the standard.
* **Crashed**: any other exception, or no answer within a minute.

A test does not say which of its inputs are data and which belong to the model. So each test is compiled in up to four
forms (all inputs are computed; those that [may be](operators.md); those that hold floats; only the first of these, or
of all), and the worst outcome that is not a refusal counts. Tests of operator sets beyond {opset} are stated in
operator set {opset}. Tests with dtypes that numpy lacks (bfloat16, floats of 8 bits, integers of 4 and 2 bits), and
tests of strings, sequences and optional values, are left out.
"""


def document(verdicts: Sequence[Verdict]) -> str:
    """The page: totals, a table by operator, and why cases are refused."""
    head = HEAD.format(
        tolerance=TOLERANCE,
        activation=PRECISION.activation_bits,
        weight=PRECISION.weight_bits,
        entries=f"{PRECISION.max_table_entries:,}",
        opset=MAX_OPSET,
    )
    counts = Counter(verdict.outcome for verdict in verdicts)
    total = ", ".join(f"{counts[outcome]} {outcome}" for outcome in COLUMNS)
    parts = [head, f"onnx {version('onnx')}, {len(verdicts)} tests: **{total}**.\n"]
    found = [verdict for verdict in verdicts if verdict.outcome in (Outcome.WRONG, Outcome.CRASHED)]
    if found:
        rows = [(v.case, v.outcome, v.error, _cell(v.detail)) for v in found]
        parts += ["## Wrong or crashed\n", markdown_table(("test", "outcome", "error", "detail"), rows, left=4)]
    parts += ["## By operator\n", _operator_table(verdicts), "## Why tests are refused\n", _refusal_table(verdicts)]
    return "\n".join(parts)


def _operator_table(verdicts: Sequence[Verdict]) -> str:
    counts = Counter((verdict.operator, verdict.outcome) for verdict in verdicts)
    names = sorted({verdict.operator for verdict in verdicts}, key=lambda name: ("." in name, name.lower()))
    rows = [(name, *(counts[name, outcome] or "" for outcome in COLUMNS)) for name in names]
    return markdown_table(("operator", *COLUMNS), rows)


def _refusal_table(verdicts: Sequence[Verdict]) -> str:
    """One line for each operator and class of error, with the first message."""
    groups: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.outcome is Outcome.REFUSED:
            groups.setdefault((verdict.operator, verdict.error), []).append(verdict)
    rows = [(name, error, len(group), _cell(group[0].detail)) for (name, error), group in sorted(groups.items())]
    return markdown_table(("operator", "error", "tests", "message of the first"), rows, left=4)


def _cell(text: str) -> str:
    line = " ".join(text.split()).replace("|", "\\|")
    return line if len(line) <= MAX_DETAIL else line[: MAX_DETAIL - 3] + "..."


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patterns", nargs="*", default=["*"], metavar="PATTERN")
    parser.add_argument("--markdown", type=Path, help="write the page here")
    arguments = parser.parse_args()
    cases = [c for c in node_cases() if any(fnmatch.fnmatch(c.name, p) for p in arguments.patterns)]
    verdicts = []
    with progress("checking operators", len(cases)) as advance:
        for case in cases:
            verdicts.append(check(case))
            advance(1)
    text = document(verdicts)
    Console().print(Markdown(text))
    if arguments.markdown:
        arguments.markdown.write_text(text)
    return int(any(verdict.outcome in (Outcome.WRONG, Outcome.CRASHED) for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main())
