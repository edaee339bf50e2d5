"""The demonstration, step by step: the prover's part here, the verifier's in a process of its own."""

import resource
import sys
import time
from pathlib import Path

import numpy as np
import onnx
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

import zkinfer as zk
from zkinfer.demo.forgeries import changed_answer, passed_off_as, tampered_model
from zkinfer.demo.reference import Floats, Reference, run_float, share_correct, time_float
from zkinfer.demo.third_party import ThirdParty, Verdict
from zkinfer.durations import duration
from zkinfer.errors import InvalidInputError

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
    return "\n".join("".join(SHADES[level] * 2 for level in row) for row in levels)


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

    def _step(self, title: str, *lines: str) -> None:
        self.console.print(f"\n[bold cyan]{escape(title)}[/bold cyan]")
        for line in lines:
            self.console.print(f"  {escape(line)}", highlight=False)

    def _compile(self) -> zk.Circuit:
        reference = self.reference
        circuit = zk.compile(reference.model, reference.calibration)
        in_float = share_correct(run_float(self.float_model, reference.held_out), reference.labels)
        in_fixed = share_correct(np.asarray(circuit.run(reference.held_out)), reference.labels)
        self._step(
            "1. A model becomes a circuit",
            f"{reference.card['title']}: {reference.card['parameters']} weights, trained on {reference.card['data']}.",
            "Its floats become integers, its curves become lookup tables. On "
            f"{len(reference.labels)} digits that it never saw:",
            f"  float model  {in_float:.1%} right",
            f"  circuit      {in_fixed:.1%} right",
        )
        return circuit

    def _publish(self, circuit: zk.Circuit) -> tuple[zk.Keys, float]:
        began = time.perf_counter()
        keys = zk.setup(circuit)
        seconds = time.perf_counter() - began
        keys.commitment.save(self.sent / "model.zkc")
        self._step(
            "2. The provider commits to the model, once",
            f"model.zkc holds no weights. Its fingerprint is published: {keys.commitment.fingerprint}",
            "The reference string of this demonstration is for tests: whoever made it could forge. Real use takes the "
            "file of a public ceremony.",
        )
        return keys, seconds

    def _prove(self, keys: zk.Keys) -> tuple[zk.Proof, float]:
        np.save(self.sent / "digit.npy", self.image)
        began = time.perf_counter()
        proof = zk.prove(keys, self.image, context=REQUEST.encode())
        seconds = time.perf_counter() - began
        proof.save(self.sent / "proof.zkp")
        answer = int(np.asarray(proof.outputs).argmax())
        self._step("3. A customer sends a digit; the provider answers with a proof")
        self.console.print(draw_digit(self.image[0]), style="green", highlight=False)
        self._step(
            "",
            f"The model says {answer}; the person who labelled it said {self.label}.",
            f"The proof is bound to this digit, this answer, this model and {REQUEST!r}.",
        )
        return proof, seconds

    def _verify(self) -> Verdict:
        packages = self.third_party.prover_packages()
        verdict = self.third_party.verify("proof.zkp", "digit.npy", REQUEST)
        self._step(
            "4. A third party checks it, in a process of its own",
            f"It has model.zkc, digit.npy and proof.zkp, and runs {self.third_party.python}",
            f"Of the prover's packages it has {', '.join(packages) or 'none'}, and it has not seen the weights.",
        )
        self._show("the honest proof", verdict)
        return verdict

    def _forge(self, keys: zk.Keys, proof: zk.Proof) -> bool:
        """Try the forgeries; True if every one is refused."""
        self._step("5. Forgeries, each checked in the same way")
        answer = int(np.asarray(proof.outputs).argmax())
        changed_answer(proof, self.wrong).save(self.sent / "changed-answer.zkp")
        np.save(self.sent / "changed-digit.npy", self._other_digit())
        other = self._prove_with_another_model(keys.commitment)
        other.save(self.sent / "another-model.zkp")
        claimed = int(np.asarray(other.outputs).argmax())
        attempts = [
            (f"answer {answer} changed to {self.wrong}", "changed-answer.zkp", "digit.npy", REQUEST),
            (f"one weight changed, so that the model says {claimed}", "another-model.zkp", "digit.npy", REQUEST),
            ("the proof shown for another digit", "proof.zkp", "changed-digit.npy", REQUEST),
            (f"the proof shown again for {OTHER_REQUEST!r}", "proof.zkp", "digit.npy", OTHER_REQUEST),
        ]
        verdicts = []
        for what, sent_proof, inputs, context in attempts:
            verdicts.append(self.third_party.verify(sent_proof, inputs, context))
            self._show(what, verdicts[-1])
        return not any(verdict.accepted for verdict in verdicts)

    def _other_digit(self) -> Floats:
        """The digit with one pixel changed."""
        image = self.image.copy()
        image[0, 0, 3, 3] = 1 - image[0, 0, 3, 3]
        return image

    def _prove_with_another_model(self, published: zk.Commitment) -> zk.Proof:
        """A proof from the provider's keys for a model with one weight changed, relabelled as the published one's."""
        model = tampered_model(onnx.load(str(self.reference.model)), self.wrong)
        keys = zk.setup(zk.compile(model, self.reference.calibration))
        return passed_off_as(zk.prove(keys, self.image, context=REQUEST.encode()), published)

    def _show(self, what: str, verdict: Verdict) -> None:
        self.console.print(f"  {escape(what)}")
        style, word = ("green", "accepted") if verdict.accepted else ("red", "refused")
        reason = "" if verdict.accepted else f": {verdict.message}"
        self.console.print(f"    [{style}]{word}[/{style}]{escape(reason)}", highlight=False)

    def _price(self, keys: zk.Keys, setup_seconds: float, prove_seconds: float, verify_seconds: float) -> None:
        float_seconds = time_float(self.float_model, self.image)
        table = Table(title="6. What it cost, on this machine", title_justify="left", title_style="bold cyan", box=None)
        table.add_column("")
        table.add_column("", justify="right")
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * RSS_UNIT
        for name, value in (
            ("the float model, onnxruntime, one thread", duration(float_seconds)),
            ("setup, once a model", duration(setup_seconds)),
            ("proving one inference", duration(prove_seconds)),
            ("  times the float model", f"{prove_seconds / float_seconds:,.0f} x"),
            ("verifying, process start included", duration(verify_seconds)),
            ("peak memory of proving", decimal(peak)),
            ("proving keys on disk", decimal(_folder_bytes(keys.folder))),
            ("commitment, published once", decimal((self.sent / "model.zkc").stat().st_size)),
            ("proof, one an inference", decimal((self.sent / "proof.zkp").stat().st_size)),
        ):
            table.add_row(name, value)
        self.console.print()
        self.console.print(table)


def _folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
