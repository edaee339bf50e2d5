"""Checking that a commitment of the ezkl backend is consistent with itself, before any proof is looked at.

Claim: the artifact, the settings, the weight points and the program of the commitment agree on one circuit size, one
number of public values and one weight vector, and a commitment made with the public test string is marked as such. Not
decided here is whether the artifact's constraints are the program's: for that, the keys have to be made again.
"""

import msgspec

from zkinfer.circuit.program import Program
from zkinfer.counts import counted
from zkinfer.errors import MalformedCommitmentError
from zkinfer.ezkl.instances import STATEMENT_WORDS
from zkinfer.ezkl.verifier.bn254 import BASE_MODULUS, G2Point, is_canonical_point
from zkinfer.ezkl.verifier.halo2 import EvmVerifier, load
from zkinfer.ezkl.verifier.kzg import UNUSABLE_ROWS, column_count
from zkinfer.ezkl.verifying_key import EZKL_VERSION, POINT_BYTES, EzklVerifyingKey
from zkinfer.files.artifact import one_line
from zkinfer.files.commitment import Commitment

MAX_SETTINGS_BYTES = 1 << 20
MAX_SETTINGS_DEPTH = 32

TEST_ONLY_S_G2: G2Point = (
    0x11FE3A6CBC274151BA539D45868E32FA72259EC66A4474ECA8CD1ABE46E26FCA,
    0x2C5176556F6D4A2C99DC27C198D74E864F7728749333F4A83E3C1DFA57A07F2D,
    0x15F5CF6CC6B815FDB70511F67D33198F1D4DEF2742D347161E2E2750D1A37979,
    0x0CD67CBCBE7685722C52B9378773BC11A1A5AD7193BD3FD5990AB35027A9E0C1,
)
"""The second G2 point of the public test string, whose secret everyone knows."""


class _RunArguments(msgspec.Struct, frozen=True):
    logrows: int


class _ModuleSizes(msgspec.Struct, frozen=True):
    polycommit: list[int]


class _Settings(msgspec.Struct, frozen=True):
    """The part of ezkl's settings that a verifier compares."""

    run_args: _RunArguments
    module_sizes: _ModuleSizes
    version: str


_settings_decoder = msgspec.json.Decoder(_Settings)


def _fail(message: str) -> MalformedCommitmentError:
    return MalformedCommitmentError(f"commitment: {message}")


def _read_settings(data: bytes) -> _Settings:
    if len(data) > MAX_SETTINGS_BYTES:
        raise _fail(f"settings of {counted(len(data), 'byte')}; at most {MAX_SETTINGS_BYTES:,} are accepted")
    depth = 0
    for byte in data:
        depth += (byte in b"[{") - (byte in b"]}")
        if depth > MAX_SETTINGS_DEPTH:
            raise _fail("its settings are nested too deeply")
    try:
        return _settings_decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _fail(f"its settings are not those of ezkl: {one_line(error)}") from None


def instance_count(program: Program) -> int:
    """How many public values a proof for this program has: statement words, inputs, outputs."""
    return STATEMENT_WORDS + sum(tensor.size for tensor in (*program.inputs, *program.output_tensors))


def _check_weight_points(key: EzklVerifyingKey, program: Program, committed: list[int], artifact: EvmVerifier) -> None:
    """The proof must begin with exactly the points of the columns that the weights and their salt fill.

    A column holds weights, then `salt_count` elements of salt; so do all the columns that the weights need.
    """
    weights = sum(tensor.size for tensor in program.weights)
    room = (1 << artifact.logrows) - UNUSABLE_ROWS - key.salt_count
    if room < 1:
        raise _fail(f"{key.salt_count} salt elements leave no room for weights in 2**{artifact.logrows} rows")
    length = weights + key.salt_count * max(1, -(-weights // room))
    if committed[:1] != [length]:
        raise _fail(f"its settings do not commit {counted(weights, 'weight')} and their salt first")
    wanted = column_count(length, artifact.logrows)
    if len(key.weight_points) != wanted:
        raise _fail(f"{len(key.weight_points)} points commit to the weights where {wanted} are needed")
    for point in key.weight_points:
        x, y = int.from_bytes(point[:32], "big"), int.from_bytes(point[32:], "big")
        if len(point) != POINT_BYTES or not is_canonical_point(x, y):
            raise _fail("a weight commitment is not a point of the curve")
    if POINT_BYTES * wanted > artifact.proof_bytes:
        raise _fail("its proofs are too short to hold the weight commitments")


def check_key(commitment: Commitment) -> EvmVerifier:
    """The commitment's verifier artifact, once everything around it fits.

    Raises:
        MalformedCommitmentError: something does not.
    """
    key, program = commitment.key_as(EzklVerifyingKey), commitment.program
    if key.ezkl_version != EZKL_VERSION:
        raise _fail(f"made with ezkl {key.ezkl_version[:20]!a}; this zkinfer checks proofs of ezkl {EZKL_VERSION}")
    artifact = load(key.artifact)
    settings = _read_settings(key.settings)
    if settings.version != EZKL_VERSION:
        raise _fail(f"its settings are of ezkl {settings.version[:20]!a}, not {EZKL_VERSION}")
    if not settings.run_args.logrows == key.srs.logrows == artifact.logrows:
        raise _fail(
            f"rows do not agree: 2**{settings.run_args.logrows} in the settings, 2**{key.srs.logrows} in the "
            f"reference string, 2**{artifact.logrows} in the verifier artifact"
        )
    if artifact.num_instances != instance_count(program):
        raise _fail(
            f"its verifier artifact takes {artifact.num_instances} public values, its program has "
            f"{instance_count(program)}"
        )
    _check_weight_points(key, program, settings.module_sizes.polycommit, artifact)
    x_1, x_2, y_1, y_2 = artifact.negated_s_g2
    if (x_1, x_2, -y_1 % BASE_MODULUS, -y_2 % BASE_MODULUS) == TEST_ONLY_S_G2 and not key.srs.test_only:
        raise _fail("made with the public test string, under which everyone can forge, without saying so")
    return artifact
