"""What a notebook shows: what a thing is and is worth, with nothing in it that a browser would obey."""

import dataclasses
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from support.example_programs import mlp
from support.html_tags import Tags

import zkinfer as zk
from zkinfer.files.proof import OutputTensor, PrivateTensor, Proof
from zkinfer.notebook import MAX_TEXT, card
from zkinfer.verifier import VerifiedInference
from zkinfer.verifier.result import in_a_sentence

HOSTILE = "<script>alert(1)</script>\"'&\u202e\x1b[31m<img src=x onerror=alert(1)>"


def shown(thing: Any) -> str:
    """The text that a notebook shows, of which only the card's own tags are markup."""
    found = Tags(thing._repr_html_())
    assert {tag for tag, _ in found.tags} <= {"div", "strong", "table", "tr", "th", "td", "p"}
    assert all(attributes in ([], [("style", "text-align:left")]) for _, attributes in found.tags)
    assert found.text.isprintable()
    return found.text


RESULT = VerifiedInference(
    outputs=np.array([[1.5, -2.0]]),
    inputs=np.zeros((1, 3)),
    input_commitments=(None,),
    output_commitments=(None,),
    runs=1,
    fingerprint="0123 4567",
    program_digest="00" * 32,
    context=HOSTILE.encode(),
    engine="python",
    test_only=False,
    security_bits=128.3,
    weights_in_bounds=True,
    public="shown: the program",
    zero_knowledge="hidden: the weights",
    security="hashes",
    seconds=0.25,
)


@pytest.mark.parametrize("place", ["title", "name", "value", "remark"])
def test_everything_in_a_card_is_text(place: str) -> None:
    parts = {key: HOSTILE if key == place else key for key in ("title", "name", "value", "remark")}
    text = card(parts["title"], [(parts["name"], parts["value"])], [parts["remark"]])
    found = Tags(text)
    assert [tag for tag, _ in found.tags] == ["div", "strong", "table", "tr", "th", "td", "p"]
    assert "<script>alert(1)</script>" in found.text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_a_card_is_short_and_leaves_out_what_is_empty() -> None:
    text = card("t", [("long", "x" * 10**6), ("empty", "")], ["", "r"])
    assert len(text) < 2 * MAX_TEXT
    assert "empty" not in text
    assert text.count("<p>") == 1


def test_a_verified_inference_says_what_was_shown_by_which_model_and_worth_what() -> None:
    text = shown(RESULT)
    for part in (
        "Proven: this model",
        "0123 4567",
        "1 run of the circuit",
        "[[ 1.5 -2. ]]",
        "about 128 bits",
        "within",
    ):
        assert part in text
    assert "forge" not in text


def test_a_verified_inference_that_is_worth_nothing_says_so_first() -> None:
    text = shown(dataclasses.replace(RESULT, test_only=True, weights_in_bounds=False))
    assert text.startswith("Test only")
    assert "WORTH NOTHING AS EVIDENCE" in text
    assert "Proven" not in text
    assert "nothing shows that they lie within" in text


def test_hidden_values_are_named_by_their_commitments() -> None:
    hidden = dataclasses.replace(
        RESULT, outputs=None, output_commitments=(b"\1" * 32,), inputs=None, input_commitments=(b"\2" * 32,)
    )
    text = shown(hidden)
    assert "hidden behind " + "01" * 32 in text
    assert "02" * 32 in text


@pytest.mark.parametrize(
    ("inputs", "outputs", "sentence"),
    [
        ((None,), (None,), "this model, on these inputs, gives these outputs"),
        ((b"1",), (None,), "this model, on inputs that the proof hides, gives these outputs"),
        ((b"1", None), (b"2",), "on these inputs and others that the proof hides, gives outputs that the proof hides"),
        ((), (b"1", None), "on these inputs, gives these outputs and others that the proof hides"),
    ],
)
def test_a_result_claims_nothing_of_values_that_are_hidden(
    inputs: tuple[bytes | None, ...], outputs: tuple[bytes | None, ...], sentence: str
) -> None:
    result = dataclasses.replace(RESULT, input_commitments=inputs, output_commitments=outputs)
    assert in_a_sentence(result).endswith(sentence)
    if len(outputs) == 1:
        assert sentence in shown(result)


def test_values_that_were_clipped_are_named_beside_the_inputs() -> None:
    result = dataclasses.replace(RESULT, inputs=np.zeros((1000, 3)), clipped=1234)
    assert "on these inputs (1,234 of 3,000 values clipped), gives" in in_a_sentence(result)


def test_a_proof_is_not_called_valid() -> None:
    claims = (OutputTensor.of(np.array([[1, 2]]), 0), PrivateTensor((1, 2), bytes(32)))
    text = shown(Proof(HOSTILE, bytes(32), claims, b"x" * 1234, (PrivateTensor((1, 3), bytes(32)),)))
    for part in ("not checked yet", "(1, 2), public; (1, 2), hidden", "1,234 bytes", "some or all hidden"):
        assert part in text


def test_circuit_and_keys_say_that_they_are_secret(tmp_path: Path) -> None:
    example = mlp()
    named = msgspec.structs.replace(example.program.inputs[0], label=HOSTILE)
    program = msgspec.structs.replace(example.program, inputs=(named,))
    circuit = zk.Circuit(program, example.weights, (), b"")
    text = shown(circuit)
    assert "Secret: it holds the weights" in text
    assert circuit.digest in text
    keys = zk.setup(circuit, folder=tmp_path / "keys", proofs=3)
    text = shown(keys)
    for part in ("Secret: they hold the weights", keys.commitment.fingerprint, "3 of 3", str(tmp_path / "keys")):
        assert part in text
    assert "temporary" not in text
    assert "in a temporary folder" in shown(zk.setup(circuit, proofs=1))
