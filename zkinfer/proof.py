"""The proof file: the prover's message, and the outputs that it claims.

What a verifier believes comes from its caller. The proof names its commitment and carries the claimed outputs for
convenience: the first is compared, the second is checked, neither is trusted.
"""

import math
import os

import msgspec
import numpy as np
import numpy.typing as npt

from zkinfer.artifact import HEADER_BYTES, one_line, read_bounded, unwrap, wrap, write_atomically
from zkinfer.circuit.program import MAX_MAGNITUDE
from zkinfer.errors import ArtifactError, MalformedProofError

PROOF_KIND = "prof"
PROOF_VERSION = 1
MAX_PROOF_BYTES = 16 << 20
MAX_DIMENSIONS = 16
MAX_FRAC_BITS = 512
DIGEST_BYTES = 32


class OutputTensor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A claimed output: integers in row-major order and the digits after the binary point.

    Attributes:
        shape: sizes, at least 1 each.
        frac_bits: the real numbers are `values / 2**frac_bits`.
        values: as many as the shape says, below `MAX_MAGNITUDE` in magnitude.
    """

    shape: tuple[int, ...]
    frac_bits: int
    values: tuple[int, ...]


class _Payload(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    backend: str
    commitment: bytes
    outputs: tuple[OutputTensor, ...]
    proof: bytes


_decoder = msgspec.msgpack.Decoder(_Payload)


def _check_output(tensor: OutputTensor) -> None:
    if len(tensor.shape) > MAX_DIMENSIONS or any(n < 1 for n in tensor.shape):
        raise MalformedProofError("proof: a claimed output has a shape that no tensor has")
    if math.prod(tensor.shape) != len(tensor.values):
        raise MalformedProofError(f"proof: a claimed output has {len(tensor.values)} values for shape {tensor.shape}")
    if abs(tensor.frac_bits) > MAX_FRAC_BITS:
        raise MalformedProofError(f"proof: {tensor.frac_bits} fraction bits of a claimed output are not a Q-format")
    if max(map(abs, tensor.values)) >= MAX_MAGNITUDE:
        raise MalformedProofError("proof: a claimed output is larger than any value of a program")


class Proof:
    """A proof of one inference, or of one batch.

    Attributes:
        backend: which prover made it.
        commitment_digest: digest of the commitment that it was made for.
        output_tensors: the claimed outputs, as integers.
        data: the backend's proof bytes.
    """

    def __init__(
        self, backend: str, commitment_digest: bytes, output_tensors: tuple[OutputTensor, ...], data: bytes
    ) -> None:
        self.backend = backend
        self.commitment_digest = commitment_digest
        self.output_tensors = output_tensors
        self.data = data

    @property
    def outputs(self) -> npt.NDArray[np.float64] | tuple[npt.NDArray[np.float64], ...]:
        """The claimed outputs as real numbers: one float64 array, or a tuple of them for a model with several."""
        arrays = tuple(
            np.asarray(np.ldexp(np.array(t.values, dtype=np.float64).reshape(t.shape), -t.frac_bits))
            for t in self.output_tensors
        )
        return arrays[0] if len(arrays) == 1 else arrays

    def to_bytes(self) -> bytes:
        """The proof file's content, canonical."""
        payload = _Payload(self.backend, self.commitment_digest, self.output_tensors, self.data)
        return wrap(PROOF_KIND, PROOF_VERSION, msgspec.msgpack.encode(payload))

    @classmethod
    def from_bytes(cls, data: bytes) -> "Proof":
        """A proof from a proof file's content; says nothing about whether it is valid.

        Raises:
            MalformedProofError: truncated, extended, edited, another version or not a proof.
        """
        try:
            payload = _decoder.decode(unwrap(data, PROOF_KIND, PROOF_VERSION, max_bytes=MAX_PROOF_BYTES))
        except (ArtifactError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise MalformedProofError(f"proof: {one_line(error)}") from None
        if len(payload.commitment) != DIGEST_BYTES:
            raise MalformedProofError(f"proof: a commitment's digest has {DIGEST_BYTES} bytes")
        for tensor in payload.outputs:
            _check_output(tensor)
        proof = cls(payload.backend, payload.commitment, payload.outputs, payload.proof)
        if proof.to_bytes() != data:
            raise MalformedProofError("proof: not in canonical form")
        return proof

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the proof file, atomically.

        Raises:
            ResourceError: the file cannot be written.
        """
        write_atomically(path, self.to_bytes())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Proof":
        """Read a proof file.

        Raises:
            MalformedProofError: see `from_bytes`; also when there is no such file.
        """
        try:
            return cls.from_bytes(read_bounded(path, max_bytes=MAX_PROOF_BYTES + HEADER_BYTES))
        except ArtifactError as error:
            raise MalformedProofError(one_line(error)) from None

    def __repr__(self) -> str:
        return (
            f"Proof(backend={self.backend!r}, {len(self.data)} bytes, outputs {[t.shape for t in self.output_tensors]})"
        )
