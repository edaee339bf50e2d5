"""The demonstration, step by step: the prover's part here, the verifier's in a process of its own."""

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

import zkinfer as zk
from zkinfer.demo.forgeries import changed_answer, passed_off_as, tampered_model
from zkinfer.demo.reference import Floats, Reference, run_float, share_correct, time_float
from zkinfer.demo.third_party import PROVER_PACKAGES, ThirdParty, Verdict
from zkinfer.durations import duration
from zkinfer.errors import InvalidInputError

T = TypeVar("T")

REFERENCE_CIRCUIT = "digits-cnn"
REQUEST = "request 2026-001"
OTHER_REQUEST = "request 2026-002"

SHADES = " .:-=+*#%@"
"""From no ink to full ink."""


RSS_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes in a unit of the operating system's `ru_maxrss`."""


def draw_digit(image: Floats) -> str:
    """An image of shape (1, 8, 8), values 0 to 1, as eight lines of text."""
    levels = np.clip(np.rint(image[0] * (len(SHADES) - 1)), 0, len(SHADES) - 1).astype(int)
    return "\n".join(" " * 6 + "".join(SHADES[level] * 2 for level in row) for row in levels)


def run_demo(
    circuits: Path, folder: Path, verifier_python: Path | None, *, sample: int = 0, console: Console | None = None
) -> bool:
    """Run the demonstration.

    Args:
        circuits: the repository's `circuits/` folder.
        folder: where the files go that the third party is sent; made if absent.
        verifier_python: interpreter of the verifying process; None for this one.
        sample: which held-out digit is proven.
        console: where to print.

    Returns:
        Whether everything came out as it should: the proof accepted, every forgery refused.

    Raises:
        InvalidInputError: no reference model there, or no such sample.
        ProvingError: the backend failed.
    """
    story = _Story(Reference.load(circuits / REFERENCE_CIRCUIT), folder, verifier_python, sample, console or Console())
    return story.tell()


class _Story:
    def __init__(
        self, reference: Reference, folder: Path, verifier_python: Path | None, sample: int, console: Console
    ) -> None:
        if not 0 <= sample < len(reference.labels):
            raise InvalidInputError(f"sample {sample}: the held-out split has samples 0 to {len(reference.labels) - 1}")
        self.reference = reference
        self.image, self.label = reference.held_out[sample : sample + 1], int(reference.labels[sample])
        self.wrong = (self.label + 1) % len(reference.card["classes"])
        self.float_model = reference.session()
        # Keys stay with the provider, in temporary folders; the third party is sent what is in this one.
        self.sent = folder
        self.sent.mkdir(parents=True, exist_ok=True)
        self.third_party = ThirdParty(verifier_python or Path(sys.executable), self.sent)
        self.console = console

    def tell(self) -> bool:
        circuit = self._compile()
        keys, setup_seconds = self._publish(circuit)
        proof, prove_seconds = self._prove(keys)
        verdict = self._verify()
        refused = self._forge(keys, proof)
        self._price(keys, setup_seconds, prove_seconds, verdict.seconds)
        return verdict.accepted and refused

    def _title(self, title: str) -> None:
        self.console.print(f"\n[bold cyan]{escape(title)}[/bold cyan]")

    def _say(self, *lines: str) -> None:
        for line in lines:
            self.console.print(f"   {escape(line)}", highlight=False)

    def _compile(self) -> zk.Circuit:
        self._title("1. A model becomes a circuit")
        reference = self.reference
        card = reference.card
        self._say(
            f"{card['title']}: {card['parameters']:,} weights, trained on {card['data']}.",
            "A proof speaks of exact integers, so floats become integers and curves become lookup tables.",
        )
        circuit = zk.compile(reference.model, reference.calibration)
        in_float = share_correct(run_float(self.float_model, reference.held_out), reference.labels)
        in_fixed = share_correct(np.asarray(circuit.run(reference.held_out, saturate=True)), reference.labels)
        self._say(
            f"Of {len(reference.labels)} digits that it never saw, the float model gets {in_float:.1%} right "
            f"and the circuit {in_fixed:.1%}."
        )
        return circuit

    def _publish(self, circuit: zk.Circuit) -> tuple[zk.Keys, float]:
        self._title("2. The provider commits to its model, once")
        keys, seconds = timed(lambda: zk.setup(circuit, backend="ezkl"))
        keys.commitment.save(self.sent / "model.zkc")
        self._say(
            "The commitment, model.zkc, fixes the weights without showing them. Its fingerprint:",
            f"   {keys.commitment.fingerprint}",
            "(Made with a test-only reference string, under which everyone can forge. Real use takes the file of a",
            "public ceremony.)",
        )
        return keys, seconds

    def _prove(self, keys: zk.Keys) -> tuple[zk.Proof, float]:
        self._title("3. A customer sends a digit, and gets an answer with a proof")
        np.save(self.sent / "digit.npy", self.image)
        self.console.print(draw_digit(self.image[0]), style="green", highlight=False)
        proof, seconds = timed(lambda: zk.prove(keys, self.image, context=REQUEST.encode()))
        proof.save(self.sent / "proof.zkp")
        self._say(
            f"The model says {top_class(proof)}. (Whoever wrote it meant {self.label}.)",
            f"The proof, proof.zkp, is bound to this digit, this answer, this model and {REQUEST!r}.",
        )
        return proof, seconds

    def _verify(self) -> Verdict:
        self._title("4. A third party checks the proof, in a process of its own")
        packages = ", ".join(self.third_party.prover_packages())
        self._say(
            "It has model.zkc, digit.npy and proof.zkp, but no weights, and runs",
            f"   {self.third_party.python}",
            f"where {', '.join(PROVER_PACKAGES)} are not installed."
            if not packages
            else f"where of the prover's packages there are {packages}; `make demo` uses an environment without them.",
        )
        verdict = self.third_party.verify("proof.zkp", "digit.npy", REQUEST)
        self._show("the proof as it was sent", verdict)
        return verdict

    def _forge(self, keys: zk.Keys, proof: zk.Proof) -> bool:
        """Try the forgeries; True if every one is refused."""
        self._title("5. Forgeries, checked in the same way")
        changed_answer(proof, self.wrong).save(self.sent / "changed-answer.zkp")
        np.save(self.sent / "changed-digit.npy", self._changed_digit())
        other = self._prove_with_another_model(keys.commitment)
        other.save(self.sent / "another-model.zkp")
        attempts = [
            (f"the answer {top_class(proof)} changed to {self.wrong}", "changed-answer.zkp", "digit.npy", REQUEST),
            (
                f"an honest proof of another model: one weight changed, so that it says {top_class(other)}",
                "another-model.zkp",
                "digit.npy",
                REQUEST,
            ),
            ("the proof shown for another digit: one pixel changed", "proof.zkp", "changed-digit.npy", REQUEST),
            (f"the proof shown again, for {OTHER_REQUEST!r}", "proof.zkp", "digit.npy", OTHER_REQUEST),
        ]
        verdicts = []
        for what, sent_proof, inputs, context in attempts:
            verdicts.append(self.third_party.verify(sent_proof, inputs, context))
            self._show(what, verdicts[-1])
        return not any(verdict.accepted for verdict in verdicts)

    def _changed_digit(self) -> Floats:
        image = self.image.copy()
        image[0, 0, 3, 3] = 1 - image[0, 0, 3, 3]
        return image

    def _prove_with_another_model(self, published: zk.Commitment) -> zk.Proof:
        """A proof from keys for a model with one weight changed, relabelled as the published model's."""
        model = tampered_model(onnx.load(str(self.reference.model)), self.wrong)
        keys = zk.setup(zk.compile(model, self.reference.calibration), backend="ezkl")
        return passed_off_as(zk.prove(keys, self.image, context=REQUEST.encode()), published)

    def _show(self, what: str, verdict: Verdict) -> None:
        style, word = ("green", "accepted") if verdict.accepted else ("red", "refused")
        self.console.print(f" [{style}]{word}[/{style}]  {escape(what)}", highlight=False)
        if not verdict.accepted:
            self.console.print(f"          {escape(verdict.message)}", style="dim", highlight=False)

    def _price(self, keys: zk.Keys, setup_seconds: float, prove_seconds: float, verify_seconds: float) -> None:
        float_seconds = time_float(self.float_model, self.image)
        peak_bytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * RSS_UNIT
        self._title("6. What it cost, on this machine")
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 1))
        table.add_column()
        table.add_column(justify="right", no_wrap=True)
        for name, value in (
            ("the float model in onnxruntime, one thread, median", duration(float_seconds)),
            ("making the keys, once a model", duration(setup_seconds)),
            ("proving one inference", duration(prove_seconds)),
            ("proving, in inferences of the float model", f"{prove_seconds / float_seconds:,.0f}"),
            ("verifying, start of the process included", duration(verify_seconds)),
            ("peak memory of making keys and proving", decimal(peak_bytes)),
            ("proving keys on disk", decimal(_folder_bytes(keys.folder))),
            ("commitment, published once", decimal((self.sent / "model.zkc").stat().st_size)),
            ("proof, one an inference", decimal((self.sent / "proof.zkp").stat().st_size)),
        ):
            table.add_row(name, value)
        self.console.print(table)


def top_class(proof: zk.Proof) -> int:
    """The class that a proof of one sample claims."""
    return int(np.asarray(proof.outputs).argmax())


def timed(call: Callable[[], T]) -> tuple[T, float]:
    """A call's result and its wall-clock seconds."""
    began = time.perf_counter()
    result = call()
    return result, time.perf_counter() - began


def _folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
