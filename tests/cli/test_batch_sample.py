"""Sampled jobs and single items from the shell: every step of the documentation, and what is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.example_programs import mlp
from support.recording_keys import item_reals
from typer.testing import CliRunner

from zkinfer.cli import app
from zkinfer.files.artifact import wrap
from zkinfer.native.setup import setup

ITEMS = 24
CHALLENGE = "hex:" + "5e" * 32


def run(*arguments: str | Path) -> tuple[int, str]:
    """Exit code, and what it printed."""
    result = CliRunner().invoke(app, ["batch", *(str(a) for a in arguments)])
    return result.exit_code, result.output


def value(text: str, name: str) -> str:
    """What a command says behind a name."""
    return next(line.split()[-1] for line in text.splitlines() if line.split()[:1] == [name])


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys, a commitment, and items of which one is poisoned; one of them alone, and a job that proves them all."""
    folder = tmp_path_factory.mktemp("shop")
    keys = setup(mlp().program, mlp().weights, folder=folder / "keys", proofs=100)
    keys.commitment.save(folder / "model.zkc")
    x = item_reals(ITEMS)
    np.save(folder / "mine.npy", x[[9]])
    x[7] = np.nan
    np.save(folder / "x.npy", x)
    code, text = run("run", folder / "night", "--keys", folder / "keys", "--inputs", folder / "x.npy", "--no-report")
    assert code == 7, text
    return folder


@pytest.fixture(scope="module")
def digest(shop: Path) -> str:
    """Of a sampled job in shop/sample, all of whose steps are done."""
    own = (shop / "sample", "--keys", shop / "keys", "--inputs", shop / "x.npy")
    code, text = run("commit-sample", *own, "--batch-size", "4", "--rate", "0.3", "--confidence", "0.8")
    assert code == 0, text
    assert "24 in 6 batches, 1 dead letter" in text
    assert "missed with probability 0.0667" in text
    digest = value(text, "digest")
    code, text = run("prove-sample", *own, "--challenge", CHALLENGE)
    assert code == 7, text
    assert "the other items are not" in text
    assert "30% wrong" in text
    return digest


@pytest.fixture(scope="module")
def receipt(shop: Path) -> str:
    """The receipt of the job, of which item 9 is handed out in shop/item."""
    code, text = run("item", shop / "night", "9", "-o", shop / "item", "--share-batch")
    assert code == 0, text
    return value(text, "receipt")


class TestSample:
    def verify(self, shop: Path, digest: str, *more: str, challenge: str = CHALLENGE) -> tuple[int, str]:
        own = (shop / "sample", shop / "model.zkc", "--inputs", shop / "x.npy", "--published", digest)
        return run("verify-sample", *own, "--challenge", challenge, *more)

    def test_it_is_verified_and_never_called_a_proof_of_all(self, shop: Path, digest: str) -> None:
        code, text = self.verify(shop, digest, "--workers", "2")
        assert code == 0, text
        assert "VALID SAMPLE: not a proof of all items" in text
        assert "30% wrong" in text
        code, text = run("verify", shop / "sample", shop / "model.zkc", "--inputs", shop / "x.npy")
        assert code == 1
        assert "zkinfer batch verify-sample" in text
        assert "holds a sampled job, not a proof of all items" in text

    def test_a_sample_too_small_for_the_verifier_is_refused(self, shop: Path, digest: str) -> None:
        assert self.verify(shop, digest, "--rate", "0.3", "--confidence", "0.8")[0] == 0
        code, text = self.verify(shop, digest, "--rate", "0.3", "--confidence", "0.95")
        assert code == 1
        assert "too small" in text
        code, text = self.verify(shop, digest, "--rate", "0.05", "--confidence", "0.8")
        assert code == 1
        assert "if 5% of the outputs were wrong" in text

    def test_the_rate_is_the_verifiers_or_said_to_be_the_operators(self, shop: Path, digest: str) -> None:
        code, text = self.verify(shop, digest, "--confidence", "0.5")
        assert (code, "--rate" in text, "VALID" in text) == (3, True, False)
        assert "the operator chose this rate" in self.verify(shop, digest)[1]
        assert "the operator chose this rate" not in self.verify(shop, digest, "--rate", "0.3")[1]

    def test_another_digest_and_another_challenge_are_refused(self, shop: Path, digest: str) -> None:
        code, text = self.verify(shop, "00" * 32)
        assert code == 1
        assert "not committed to by what was published" in text
        code, text = self.verify(shop, digest, challenge="another nonce, of 16 bytes")
        assert code == 1
        assert "another challenge than yours" in text

    @pytest.mark.parametrize(
        ("command", "options", "code", "complaint"),
        [
            ("commit-sample", ("--batch-size", "4"), 3, "holds a job already"),
            ("commit-sample", (), 2, "--batch-size"),
            ("prove-sample", (), 2, "--challenge"),
            ("prove-sample", ("--challenge", "short"), 3, "from 16 to"),
            ("prove-sample", ("--challenge", "hex:zz"), 3, "not hexadecimal"),
        ],
    )
    def test_what_cannot_be_done_is_said(
        self, shop: Path, digest: str, command: str, options: tuple[str, ...], code: int, complaint: str
    ) -> None:
        own = (shop / "sample", "--keys", shop / "keys", "--inputs", shop / "x.npy")
        found, text = run(command, *own, *options)
        assert (found, complaint in text) == (code, True), text


class TestItem:
    def verify(self, shop: Path, receipt: str, *more: str, item: int = 9, inputs: str = "mine.npy") -> tuple[int, str]:
        own = (shop / "item", shop / "model.zkc", "--inputs", shop / inputs, "--item", str(item))
        return run("verify", *own, "--receipt", receipt, *more)

    def test_it_is_verified_against_the_receipt_of_the_job(self, shop: Path, receipt: str) -> None:
        code, text = self.verify(shop, receipt)
        assert code == 0, text
        assert "9, of a job of 24" in text
        code, text = run("verify", shop / "night", shop / "model.zkc", "--inputs", shop / "x.npy", "--receipt", receipt)
        assert code == 0, text

    def test_what_is_refused(self, shop: Path, receipt: str) -> None:
        for answer, complaint in (
            (self.verify(shop, "00" * 32), "not one of the job"),
            (self.verify(shop, receipt, item=8), "about item 9"),
            (self.verify(shop, receipt, inputs="x.npy"), "item 9 alone"),
            (self.verify(shop, receipt, "--context", "x"), "another context"),
        ):
            assert answer[0] == 1
            assert complaint in answer[1]

    def test_what_is_not_asked_well(self, shop: Path, receipt: str) -> None:
        for answer, complaint in (
            (self.verify(shop, "00" * 31), "takes 32"),
            (self.verify(shop, receipt, "--inputs", "another"), "a single --inputs"),
            (run("verify", shop / "item", shop / "model.zkc", "--item", "9"), "--receipt"),
            (run("item", shop / "night", "24", "-o", shop / "none"), "no item 24"),
            (run("item", shop / "night", "9", "-o", shop / "none", "--keys", shop), "not a folder of keys"),
        ):
            assert answer[0] in (1, 3)
            assert complaint in answer[1]

    def test_other_items_are_shown_after_a_question_alone(self, shop: Path, receipt: str) -> None:
        """Where nobody can answer it takes an option."""
        code, text = run("item", shop / "night", "9", "-o", shop / "unasked")
        assert code == 3
        assert "would show the inputs and outputs of" in text
        assert not (shop / "unasked").exists()

    @pytest.mark.parametrize("answer", ["n", "y"])
    def test_in_a_terminal_the_command_asks(self, shop: Path, receipt: str, answer: str) -> None:
        """A terminal's other end is what a person sees and types."""
        ours, theirs = os.openpty()
        command = (sys.executable, "-m", "zkinfer", "batch", "item", str(shop / "night"), "9")
        target = shop / f"asked-{answer}"
        os.write(ours, f"{answer}\n".encode())
        done = subprocess.run([*command, "-o", target], stdin=theirs, capture_output=True, text=True, check=False)
        os.close(ours)
        os.close(theirs)
        assert "will show the inputs and outputs of" in done.stderr
        assert target.exists() == (answer == "y"), done.stderr
        assert (done.returncode == 0) == (answer == "y")

    def test_a_dead_letter_says_why(self, shop: Path) -> None:
        code, text = run("item", shop / "night", "7", "-o", shop / "dead")
        assert code == 0
        assert "NaN" in text


def test_a_sampled_job_is_a_job(shop: Path, digest: str, tmp_path: Path) -> None:
    """It is resumed, has a status and a report like any other, and waits for its challenge between its two steps."""
    own = (tmp_path / "job", "--keys", shop / "keys", "--inputs", shop / "x.npy", "--batch-size", "4")
    code, text = run("commit-sample", *own, "--rate", "0.3", "--confidence", "0.8")
    assert code == 0, text
    committed = value(text, "digest")
    code, text = run("status", tmp_path / "job")
    assert code == 0
    assert "waiting for a challenge: zkinfer batch prove-sample" in text
    assert value(text, "digest") == committed
    assert "0 proven, 24 not: 1 dead letter, 23 not yet picked" in " ".join(text.split())
    assert "24 items, executed and committed to" in text
    assert "of 0 done" not in text
    standing = json.loads(CliRunner().invoke(app, ["batch", "status", str(tmp_path / "job"), "--json"]).stdout)
    assert (standing["digest"], standing["proven"], standing["executed"]) == (committed, 0, 24)
    code, text = run("resume", tmp_path / "job")
    assert code == 0
    assert value(text, "digest") == committed
    code, text = run("prove-sample", tmp_path / "job", "--challenge", CHALLENGE, "--executor", "processes")
    assert code == 7, text
    assert "a sample of 4 batches" in (tmp_path / "job" / "report.html").read_text()
    code, text = run("resume", tmp_path / "job")
    assert code == 7
    assert "Sample proven, the other items are not: " in text
    assert "Job: complete" in run("status", tmp_path / "job")[1]
    standing = json.loads(CliRunner().invoke(app, ["batch", "status", str(tmp_path / "job"), "--json"]).stdout)
    assert (standing["digest"], standing["state"]) == (committed, "complete")


def test_inspect_names_the_version_of_earlier_samples(tmp_path: Path) -> None:
    (tmp_path / "sampled.zkm").write_bytes(wrap("smpl", 1, b""))
    result = CliRunner().invoke(app, ["inspect", str(tmp_path / "sampled.zkm")])
    assert result.exit_code == 0
    assert "an early version of zkinfer 0.1" in result.output


@pytest.mark.usefixtures("digest", "receipt")
@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("night/manifest.zkm", ("Manifest of a batch job", "23 items", "receipt", "not checked here")),
        ("item/item.zki", ("Item of a batch job", "leads to receipt", "not checked here")),
        ("sample/sample-commitment.zkm", ("Commitment of a sampled job", "6, of which 4 are picked", "nothing yet")),
        (
            "sample/manifest.zkm",
            ("Manifest of a sampled job", "not a proof of all items", "0.0667, it says", "not checked here"),
        ),
    ],
)
def test_inspect_tells_what_the_files_are(shop: Path, path: str, words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, ["inspect", str(shop / path)])
    assert result.exit_code == 0
    assert [word for word in words if word not in result.output] == []
