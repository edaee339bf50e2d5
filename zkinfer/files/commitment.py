"""The commitment: the one small file that a model's owner publishes, and all that a verifier trusts.

It names a model by its program (public) and by a commitment to its weights, and carries the verifying key of its
backend. A short fingerprint stands for the whole of it.
"""

from functools import cached_property
from typing import Any, TypeVar

import msgspec
import numpy as np
from blake3 import blake3

from zkinfer import registry
from zkinfer.circuit.encoding import encoded_pieces, pack_program, program_digest, unpack_program
from zkinfer.circuit.program import Program
from zkinfer.errors import (
    ArtifactError,
    InvalidInputError,
    MalformedCommitmentError,
    UnreadableCommitmentError,
    WrongKeyError,
)
from zkinfer.files.artifact import Buffer, one_line
from zkinfer.files.file import File
from zkinfer.files.kinds import CIRCUIT, COMMITMENT, PROOF, FileKind

FINGERPRINT_CONTEXT = "zkinfer 2026 commitment fingerprint v1"


class VerifyingKey(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A backend's part of a commitment: what checking its proofs needs.

    Each backend has a subclass, whose tag (`msgspec.Struct`) is the backend's name in files.
    """

    @property
    def test_only(self) -> bool:
        """Whether the key was made with a reference string whose maker can forge proofs."""
        return False

    def check(self, program: Program) -> None:
        """Check that the key is possible and made for this program.

        Raises:
            InvalidInputError: it is not.
        """
        raise NotImplementedError

    def check_range_proof(self) -> None:
        """Check that a commitment of this kind can carry a proof about its weights; the proof is not looked at.

        Raises:
            InvalidInputError: it cannot.
        """
        raise ArtifactError("commitments of this backend carry no proof about their weights")


KeyType = TypeVar("KeyType", bound=VerifyingKey)


class _CommitmentPayload(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    program: bytes
    key: msgspec.Raw
    range_proof: bytes


class _Tagged(msgspec.Struct, frozen=True, array_like=True):
    """A key of any backend, of which only the first member is read."""

    backend: str


_decoder = msgspec.msgpack.Decoder(_CommitmentPayload)
_tag_decoder = msgspec.msgpack.Decoder(_Tagged)


def _name_in_files(key_type: type[VerifyingKey]) -> str:
    return str(key_type.__struct_config__.tag)


def _decode_key(data: msgspec.Raw) -> VerifyingKey:
    """The key, of the type of the backend that it names.

    Raises:
        ArtifactError, msgspec.MsgspecError: there is no such backend, or it is no key of it.
    """
    name = _tag_decoder.decode(data).backend
    try:
        key_type: type[VerifyingKey] = registry.find(name).verifying_key
    except InvalidInputError:
        raise ArtifactError(f"made for backend {name[:20]!a}, which this zkinfer does not have") from None
    return msgspec.msgpack.decode(data, type=key_type)


def _model_digest(program: Program, key: VerifyingKey) -> bytes:
    """The digest of the MessagePack array of the program's canonical bytes and the key, hashed piece by piece."""
    hasher = blake3(b"\x92", derive_key_context=FINGERPRINT_CONTEXT)
    length = sum(map(len, encoded_pieces(program)))
    size = next(size for size in (1, 2, 4) if length < 1 << 8 * size)
    hasher.update({1: b"\xc4", 2: b"\xc5", 4: b"\xc6"}[size] + length.to_bytes(size, "big"))
    for piece in encoded_pieces(program):
        hasher.update(piece)
    hasher.update(msgspec.msgpack.encode(key))
    digest: bytes = hasher.digest()
    return digest


def fingerprint_of(digest: bytes) -> str:
    """A commitment's digest for people, in groups of four digits."""
    text = digest.hex()
    return " ".join(text[i : i + 4] for i in range(0, len(text), 4))


class Commitment(File):
    """A published model: program, verification key and weight commitment; a `.zkc` file.

    Attributes:
        program: the integer program, without weights.
        key: the verifying key, of the type of its backend.
        range_proof: that all weights lie within the bounds that the program says; empty where it was not made. No
            other file needs it, and `verify` checks it.
    """

    KIND = COMMITMENT
    REFUSAL = MalformedCommitmentError
    UNREADABLE = UnreadableCommitmentError

    def __init__(self, program: Program, key: VerifyingKey, range_proof: bytes = b"") -> None:
        self.program = program
        self.key = key
        self.range_proof = range_proof
        self._digest = _model_digest(program, key)

    def __getattr__(self, name: str) -> Any:
        """Only called for what is not there: the two attributes of 0.1.0 are refused with where they went."""
        moved = ": it is now .key" if name in ("sumcheck", "ezkl") else ""
        raise AttributeError(f"'Commitment' object has no attribute {name!r}{moved}")

    @classmethod
    def _advice(cls, source: object) -> str:
        """Of what people hand in where a commitment is needed."""
        if isinstance(source, np.ndarray):
            return ": the order is verify(proof, commitment, inputs)"
        if isinstance(getattr(source, "commitment", None), cls):
            return ": hand in its .commitment"
        return cls._advice_of(source.KIND) if isinstance(source, File) else ""

    @classmethod
    def _advice_of(cls, found: FileKind | None) -> str:
        if found == PROOF:
            return ": the arguments are in the wrong order, verify(proof, commitment)"
        if found == CIRCUIT:
            return ": a circuit is secret; the commitment to it is that of its keys, zk.setup(circuit).commitment"
        return ""

    @property
    def backend(self) -> str:
        """The name of the backend whose proofs this commitment checks."""
        return registry.public_name(_name_in_files(type(self.key)))

    def key_as(self, key_type: type[KeyType]) -> KeyType:
        """The backend's part, of the type of that backend.

        Raises:
            WrongKeyError: the commitment is of another backend.
        """
        if not isinstance(self.key, key_type):
            wanted = registry.public_name(_name_in_files(key_type))
            raise WrongKeyError(f"the commitment is for backend {self.backend!r}; one for {wanted!r} is needed")
        return self.key

    @property
    def digest(self) -> bytes:
        """32 bytes that name program and key: all of a commitment but its proof about the weights, which names it."""
        return self._digest

    @property
    def fingerprint(self) -> str:
        """The digest for people, all 256 bits in groups of four digits: compare it over another channel.

        All of it, because an owner who looks for two commitments with one fingerprint needs the square root of what
        finding a second one for a given fingerprint takes.
        """
        return fingerprint_of(self.digest)

    @cached_property
    def program_digest(self) -> bytes:
        """32 bytes that name the program alone: equal for two sets of weights in one architecture."""
        return program_digest(self.program)

    def check(self) -> None:
        """Check that the key is possible and made for this program. A commitment that was read from a file is.

        Raises:
            MalformedCommitmentError: it is not.
        """
        try:
            self.key.check(self.program)
            if self.range_proof:
                self.key.check_range_proof()
        except InvalidInputError as error:
            raise MalformedCommitmentError(f"commitment: {one_line(error)}") from None

    def _encoded(self) -> bytes:
        return msgspec.msgpack.encode((pack_program(self.program), self.key, self.range_proof))

    @classmethod
    def _decoded(cls, payload: bytes) -> "Commitment":
        decoded = _decoder.decode(payload)
        return cls(unpack_program(decoded.program), _decode_key(decoded.key), decoded.range_proof)

    def _is_canonical(self, payload: Buffer) -> bool:
        """But for how the program was compressed, in which versions of zlib differ; no digest depends on it."""
        return msgspec.msgpack.encode((_decoder.decode(payload).program, self.key, self.range_proof)) == payload

    def _validate(self) -> None:
        self.check()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Commitment) and self._digest == other._digest and self.range_proof == other.range_proof

    def __hash__(self) -> int:
        return hash((self._digest, self.range_proof))

    def __repr__(self) -> str:
        return f"Commitment({self.fingerprint}, backend={self.backend!r})"
