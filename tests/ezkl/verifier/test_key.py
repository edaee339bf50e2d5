"""A commitment whose parts contradict each other is refused before its proofs are looked at."""

import dataclasses
import json
from typing import Any

import msgspec
import pytest

from zkinfer.errors import MalformedCommitmentError
from zkinfer.ezkl.srs import _test_tau
from zkinfer.ezkl.verifier import key as key_module
from zkinfer.ezkl.verifier.bn254 import scale_g2
from zkinfer.ezkl.verifier.key import TEST_ONLY_S_G2, check_key, instance_count


def refused(commitment: Any, message: str) -> None:
    with pytest.raises(MalformedCommitmentError, match=message):
        check_key(commitment)


def test_golden_commitments_are_consistent(vector: Any) -> None:
    assert check_key(vector.commitment).num_instances == instance_count(vector.commitment.program)


def test_the_public_test_string_is_that_of_the_prover() -> None:
    assert scale_g2(_test_tau()) == TEST_ONLY_S_G2


def test_other_ezkl_is_refused(dense: Any) -> None:
    refused(dense.bend_key(ezkl_version="23.0.6"), "made with ezkl '23.0.6'")
    refused(dense.bend_settings(lambda s: s.update(version="22.0.0")), "settings are of ezkl '22.0.0'")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (b"", "not those of ezkl"),
        (b"{}", "not those of ezkl"),
        (b"[1, 2]", "not those of ezkl"),
        (b"\xff\xfe", "not those of ezkl"),
        (b'{"version": "\xff"}', "not those of ezkl"),
        (b'{"run_args": {"logrows": "9"}}', "not those of ezkl"),
        (b'{"x":' + b"[" * 1_000_000, "nested too deeply"),
        (b'{"x":' + b'{"y":' * 40, "nested too deeply"),
        (b" " * ((1 << 20) + 1), "settings of 1,048,577 bytes"),
    ],
    ids=lambda value: value[:12] if isinstance(value, bytes) else None,
)
def test_settings_that_are_none(dense: Any, settings: bytes, message: str) -> None:
    refused(dense.bend_key(settings=settings), message)


def test_rows_must_agree(dense: Any) -> None:
    def more_rows(settings: dict[str, Any]) -> None:
        settings["run_args"]["logrows"] += 1

    refused(dense.bend_settings(more_rows), "rows do not agree")
    srs = dense.commitment.key.srs
    refused(dense.bend_key(srs=msgspec.structs.replace(srs, logrows=srs.logrows + 1)), "rows do not agree")


def test_artifact_of_another_program_is_refused(dense: Any, columns: Any) -> None:
    refused(dense.bend_program(columns.commitment.program), "public values, its program has")
    other = columns.commitment.key
    srs = msgspec.structs.replace(dense.commitment.key.srs, logrows=other.srs.logrows)
    refused(dense.bend_key(artifact=other.artifact, settings=other.settings, srs=srs), "public values")


def test_artifact_that_is_none(dense: Any) -> None:
    refused(dense.bend_key(artifact=b""), "verifier artifact")


def test_points_must_be_as_many_as_the_weights_fill(columns: Any) -> None:
    points = columns.points
    assert len(points) == 3
    for count in (0, 1, 2, 4):
        wrong = (points * 2)[:count]
        refused(columns.bend_key(weight_points=wrong), f"{count} points commit to the weights where 3 are needed")


def test_committed_vector_must_be_weights_and_salt(columns: Any) -> None:
    key = columns.commitment.key

    def one_more(settings: dict[str, Any]) -> None:
        settings["module_sizes"]["polycommit"][0] += 1

    def witness_first(settings: dict[str, Any]) -> None:
        settings["module_sizes"]["polycommit"].reverse()

    def none(settings: dict[str, Any]) -> None:
        settings["module_sizes"]["polycommit"] = []

    for change in (one_more, witness_first, none):
        refused(columns.bend_settings(change), "do not commit 600 weights and their salt first")
    refused(columns.bend_key(salt_count=key.salt_count + 1), "do not commit 600 weights and their salt first")


@pytest.mark.parametrize("salt", [250, 251, 1 << 20])
def test_salt_must_leave_room(columns: Any, salt: int) -> None:
    refused(columns.bend_key(salt_count=salt), "leave no room for weights")


@pytest.mark.parametrize(
    "point",
    [bytes(64), bytes(63) + b"\1", b"\xff" * 64, (1).to_bytes(32, "big") + (3).to_bytes(32, "big"), b"\0" * 63],
    ids=["infinity", "off the curve", "not reduced", "near the generator", "short"],
)
def test_weight_points_are_on_the_curve(dense: Any, point: bytes) -> None:
    refused(dense.bend_key(weight_points=(point,)), "not a point of the curve")


def test_longer_encoding_of_a_point_is_refused(dense: Any) -> None:
    (point,) = dense.points
    refused(dense.bend_key(weight_points=(point + bytes(1),)), "not a point of the curve")


def test_proofs_must_be_long_enough_for_the_points(dense: Any) -> None:
    artifact = dataclasses.replace(check_key(dense.commitment), proof_bytes=32)
    committed = json.loads(dense.commitment.key.settings)["module_sizes"]["polycommit"]
    with pytest.raises(MalformedCommitmentError, match="too short to hold"):
        key_module._check_weight_points(dense.commitment.key, dense.commitment.program, committed, artifact)


def test_public_test_string_cannot_pass_for_a_ceremony(dense: Any) -> None:
    srs = dense.commitment.key.srs
    assert srs.test_only
    refused(dense.bend_key(srs=msgspec.structs.replace(srs, test_only=False)), "public test string")


def test_program_without_weights_commits_to_salt(dense: Any) -> None:
    program = msgspec.structs.replace(dense.commitment.program, weights=())
    key, artifact = dense.commitment.key, check_key(dense.commitment)
    key_module._check_weight_points(key, program, [key.salt_count], artifact)
    with pytest.raises(MalformedCommitmentError, match="0 points commit to the weights where 1 are needed"):
        key_module._check_weight_points(
            msgspec.structs.replace(key, weight_points=()), program, [key.salt_count], artifact
        )


def test_settings_are_compared_not_believed(dense: Any) -> None:
    """Members that a verifier has no use for may be anything: ezkl reads them, we do not."""
    settings = json.loads(dense.commitment.key.settings)
    assert settings["run_args"]["logrows"] == dense.commitment.key.srs.logrows
    check_key(dense.bend_settings(lambda s: s.update(num_rows=-1)))
