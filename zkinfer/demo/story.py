"""The demonstration, step by step: the prover's part here, the verifier's in a process of its own."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

import zkinfer as zk
from zkinfer.demo.digits import Images, Reference, run_float, share_correct, time_float
from zkinfer.demo.forgeries import changed_answer, made_for, tampered_model
from zkinfer.demo.third_party import PROVER_PACKAGES, REQUEST, Attempt, ThirdParty, Verdict
from zkinfer.errors import InvalidInputError
from zkinfer.native.warmup import warmup
from zkinfer.progress import duration
from zkinfer.typing import IntArray

T = TypeVar("T")

REFERENCE_CIRCUIT = "digits-cnn"
OTHER_REQUEST = "request 2026-002"

SHADES = " .:-=+*#%@"
"""From no ink to full ink."""


BATCH = 32
"""Digits that the demonstration proves at once."""


def draw_digit(image: Images) -> str:
    """An image of shape (1, 8, 8), values 0 to 1, as eight lines of text."""
    levels = np.clip(np.rint(image[0] * (len(SHADES) - 1)), 0, len(SHADES) - 1).astype(int)
    return "\n".join(" " * 6 + "".join(SHADES[level] * 2 for level in row) for row in levels)


def run_demo(
    circuits: Path,
    folder: Path,
    verifier_python: Path | None,
    *,
    sample: int = 0,
    batch: int = BATCH,
    console: Console | None = None,
) -> bool:
    """Run the demonstration.

    Args:
        circuits: the repository's `circuits/` folder.
        folder: where the files go that the third party is sent; made if absent.
        verifier_python: interpreter of the verifying process; None for this one.
        sample: the first held-out digit that is proven.
        batch: how many digits one proof covers.
        console: where to print.

    Returns:
        Whether everything came out as it should: the proof accepted, every forgery refused.

    Raises:
        InvalidInputError: no reference model there, or no such sample.
        ProvingError: the backend failed.
    """
    reference = Reference.load(circuits / REFERENCE_CIRCUIT)
    return _Story(reference, folder, verifier_python, slice(sample, sample + batch), console or Console()).tell()


class _Story:
    def __init__(
        self, reference: Reference, folder: Path, verifier_python: Path | None, samples: slice, console: Console
    ) -> None:
        if not 0 <= samples.start < samples.stop <= len(reference.labels):
            raise InvalidInputError(
                f"samples {samples.start} to {samples.stop - 1}: the held-out split has samples 0 to "
                f"{len(reference.labels) - 1}"
            )
        self.reference = reference
        self.images, self.labels = reference.held_out[samples], reference.labels[samples]
        self.wrong = int(self.labels[0] + 1) % len(reference.card["classes"])
        self.float_model = reference.session()
        # Keys stay with the provider, in temporary folders; the third party is sent what is in this one.
        self.sent = folder
        self.sent.mkdir(parents=True, exist_ok=True)
        self.third_party = ThirdParty(verifier_python or Path(sys.executable), self.sent)
        self.console = console

    def tell(self) -> bool:
        self._warm_up()
        circuit = self._compile()
        keys, setup_seconds = self._publish(circuit)
        proof, prove_seconds = self._prove(keys)
        verdict = self._verify()
        refused = self._forge(keys, proof)
        native = Price("native", len(self.images), setup_seconds, prove_seconds, verdict.seconds)
        self._price(
            self._sized(native, keys, self.sent / "proof.zkp", self.sent / "model.zkc"),
            self._single(keys, setup_seconds, "one-digit.zkp", "model.zkc"),
            self._other_backend(circuit),
        )
        return verdict.accepted and refused

    def _title(self, title: str) -> None:
        self.console.print(f"\n[bold cyan]{escape(title)}[/bold cyan]")

    def _say(self, *lines: str) -> None:
        for line in lines:
            self.console.print(f"   {escape(line)}", highlight=False)

    def _warm_up(self) -> None:
        self._title("0. The prover's kernels are compiled, once for each machine")
        _, seconds = timed(warmup)
        self._say(f"That took {duration(seconds)}, which no time below has in it. Later runs find them on disk.")

    def _compile(self) -> zk.Circuit:
        self._title("1. A model becomes a circuit")
        reference = self.reference
        card = reference.card
        self._say(
            f"{card['title']}: {card['parameters']:,} weights, trained on {card['data']}.",
            "A proof is about exact integers, so floats become integers and nonlinear functions become lookup tables.",
        )
        circuit = zk.compile(reference.model, reference.calibration, precision="ezkl")
        in_float = share_correct(run_float(self.float_model, reference.held_out), reference.labels)
        in_fixed = share_correct(np.asarray(circuit.run(reference.held_out, saturate=True)), reference.labels)
        self._say(
            f"Of {len(reference.labels)} digits that it never saw, the float model gets {in_float:.1%} right "
            f"and the circuit {in_fixed:.1%}."
        )
        return circuit

    def _publish(self, circuit: zk.Circuit) -> tuple[zk.Keys, float]:
        self._title("2. The provider commits to its model, once")
        keys, seconds = timed(lambda: zk.setup(circuit))
        keys.commitment.save(self.sent / "model.zkc")
        self._say(
            "The commitment, model.zkc, fixes the weights without showing them. Its fingerprint:",
            f"   {keys.commitment.fingerprint}",
            f"Nobody had to be trusted to make it, and it hides the weights for {keys.budget:,} proofs.",
        )
        return keys, seconds

    def _prove(self, keys: zk.Keys) -> tuple[zk.Proof, float]:
        count = len(self.images)
        self._title(f"3. A customer sends {count} digits, and gets answers with one proof")
        np.save(self.sent / "digits.npy", self.images)
        self.console.print(draw_digit(self.images[0]), style="green", highlight=False)
        zk.prove(keys, self.images, context=b"the first proof of a process takes longer")
        proof, seconds = timed(lambda: zk.prove(keys, self.images, context=REQUEST.encode()))
        proof.save(self.sent / "proof.zkp")
        classes = top_classes(proof)
        self._say(
            f"The model says {classes[0]} of the first, drawn here. (Whoever wrote it meant {self.labels[0]}.) Of all "
            f"{count}, {int((classes == self.labels).sum())} are right.",
            f"The proof, proof.zkp, is bound to these digits, these answers, this model and {REQUEST!r}.",
        )
        return proof, seconds

    def _verify(self) -> Verdict:
        self._title("4. A third party checks the proof, in a process of its own")
        packages = ", ".join(self.third_party.prover_packages())
        self._say(
            "It has model.zkc, digits.npy and proof.zkp, but no weights, and runs",
            f"   {self.third_party.python}",
            f"where {', '.join(PROVER_PACKAGES)} are not installed."
            if not packages
            else f"where of the prover's packages there are {packages}; `make demo` uses an environment without them.",
        )
        verdict = self.third_party.verify(Attempt())
        self._show("the proof as it was sent", verdict)
        return verdict

    def _forge(self, keys: zk.Keys, proof: zk.Proof) -> bool:
        """Try the forgeries; True if every one is refused."""
        self._title("5. Forgeries, checked in the same way")
        self._say("The forger knows the format: all digests in these files are right for what the files claim.")
        published, request, other_request = keys.commitment, REQUEST.encode(), OTHER_REQUEST.encode()
        changed = self.images.copy()
        changed[0, 0, 3, 3] = 1 - changed[0, 0, 3, 3]
        np.save(self.sent / "changed-digits.npy", changed)
        model = tampered_model(onnx.load(str(self.reference.model)), self.wrong)
        others = zk.setup(zk.compile(model, self.reference.calibration, precision="ezkl"))
        others.commitment.save(self.sent / "another-model.zkc")
        other = zk.prove(others, self.images, context=request)
        forged = {
            "changed-answer": made_for(changed_answer(proof, self.wrong), published, self.images, request),
            "another-model": made_for(other, published, self.images, request),
            "for-another-model": made_for(proof, others.commitment, self.images, request),
            "changed-digits": made_for(proof, published, changed, request),
            "used-again": made_for(proof, published, self.images, other_request),
        }
        for name, file in forged.items():
            file.save(self.sent / f"{name}.zkp")
        first = top_classes(proof)[0]
        attempts = [
            (f"the first answer, {first}, changed to {self.wrong}", Attempt("changed-answer.zkp")),
            (
                f"an honest proof of another model: one weight changed, so that it says {top_classes(other)[0]}",
                Attempt("another-model.zkp"),
            ),
            (
                "the proof passed off as one of that other model",
                Attempt("for-another-model.zkp", commitment="another-model.zkc"),
            ),
            (
                "the proof used for other digits: one pixel changed",
                Attempt("changed-digits.zkp", inputs="changed-digits.npy"),
            ),
            (f"the proof used again, for {OTHER_REQUEST!r}", Attempt("used-again.zkp", context=OTHER_REQUEST)),
        ]
        verdicts = []
        for what, attempt in attempts:
            verdicts.append(self.third_party.verify(attempt))
            told = [verdict.message for verdict in verdicts[:-1]]
            self._show(what, verdicts[-1], again=verdicts[-1].message in told)
        return not any(verdict.accepted for verdict in verdicts)

    def _other_backend(self, circuit: zk.Circuit) -> "Price":
        """The same circuit with ezkl, which proves one digit at once."""
        keys, setup_seconds = timed(lambda: zk.setup(circuit, backend="ezkl"))
        keys.commitment.save(self.sent / "ezkl.zkc")
        return self._single(keys, setup_seconds, "ezkl.zkp", "ezkl.zkc")

    def _single(self, keys: zk.Keys, setup_seconds: float, name: str, commitment: str) -> "Price":
        """One digit with these keys, whose commitment is published."""
        image = self.images[:1]
        if keys.backend == "native":
            zk.prove(keys, image, context=b"the first proof of a size takes longer")
        proof, prove_seconds = timed(lambda: zk.prove(keys, image, context=REQUEST.encode()))
        proof.save(self.sent / name)
        np.save(self.sent / "one-digit.npy", image)
        verdict = self.third_party.verify(Attempt(name, commitment, "one-digit.npy"))
        price = Price(keys.backend, 1, setup_seconds, prove_seconds, verdict.seconds)
        return self._sized(price, keys, self.sent / name, self.sent / commitment)

    def _sized(self, price: "Price", keys: zk.Keys, proof: Path, commitment: Path) -> "Price":
        return replace(
            price,
            keys=sum(path.stat().st_size for path in keys.folder.rglob("*") if path.is_file()),
            proof=proof.stat().st_size,
            commitment=commitment.stat().st_size,
        )

    def _show(self, what: str, verdict: Verdict, *, again: bool = False) -> None:
        """What became of an attempt, and why: what was said of an earlier one is not said in full again."""
        style, word = ("green", "accepted") if verdict.accepted else ("red", "refused")
        self.console.print(f" [{style}]{word}[/{style}]  {escape(what)}", highlight=False)
        if not verdict.accepted:
            message = f"{verdict.message.partition(':')[0]}, likewise" if again else verdict.message
            self.console.print(f"          {escape(message)}", style="dim", highlight=False)

    def _price(self, *prices: "Price") -> None:
        """A column for each backend."""
        float_seconds = time_float(self.float_model, self.images[:1])
        self._title("6. What it cost, on this machine")
        self._say(f"The float model takes {duration(float_seconds)} for a digit (onnxruntime, one thread, median).")
        table = Table(box=None, padding=(0, 2, 0, 1))
        table.add_column("")
        for price in prices:
            table.add_column(f"zkinfer, {price.backend}", justify="right", no_wrap=True)
        rows: list[tuple[str, Callable[[Price], str]]] = [
            ("digits in one proof", lambda p: str(p.batch)),
            ("making the keys, once for each model", lambda p: duration(p.setup)),
            ("proving", lambda p: duration(p.prove)),
            ("proving, for each digit", lambda p: duration(p.prove / p.batch)),
            ("  in inferences of the float model", lambda p: f"{p.prove / p.batch / float_seconds:,.0f}"),
            ("verifying, start of the process included", lambda p: duration(p.verify)),
            ("proving keys on disk", lambda p: decimal(p.keys)),
            ("commitment, published once", lambda p: decimal(p.commitment)),
            ("proof", lambda p: decimal(p.proof)),
        ]
        for name, value in rows:
            table.add_row(name, *(value(price) for price in prices))
        self.console.print(table)
        self._say("(ezkl's keys are made with a test-only reference string, under which everyone can forge.)")


@dataclass(frozen=True)
class Price:
    """What one backend took.

    Attributes:
        batch: inferences in one proof.
        setup, prove, verify: seconds.
        keys, proof, commitment: bytes.
    """

    backend: str
    batch: int
    setup: float
    prove: float
    verify: float
    keys: int = 0
    proof: int = 0
    commitment: int = 0


def top_classes(proof: zk.Proof) -> IntArray:
    """The class that a proof claims of each sample."""
    classes: IntArray = np.asarray(proof.outputs).argmax(axis=1)
    return classes


def timed(call: Callable[[], T]) -> tuple[T, float]:
    """A call's result and its wall-clock seconds."""
    began = time.perf_counter()
    result = call()
    return result, time.perf_counter() - began
