"""The proof file: the prover's message, and the outputs that it claims.

What a verifier believes comes from its caller. The proof names its commitment and carries the claimed outputs for
convenience: the first is compared, the second is checked, neither is trusted.
"""

import math
import os
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from zkinfer.artifact import HEADER_BYTES, one_line, read_bounded, unwrap, wrap, write_atomically
from zkinfer.circuit.program import MAX_MAGNITUDE
from zkinfer.errors import ArtifactError, MalformedProofError

PROOF_KIND = "prof"
PROOF_VERSION = 2
MAX_PROOF_BYTES = 256 << 20
MAX_DIMENSIONS = 17
MAX_FRAC_BITS = 512
DIGEST_BYTES = 32
STATED_BYTES = 3 * DIGEST_BYTES

WIDTHS = (1, 2, 4, 8)
"""Bytes that a claimed integer may take."""

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


class OutputTensor(msgspec.Struct, frozen=True, array_like=True, tag="public", forbid_unknown_fields=True):
    """A claimed output of all runs: integers in row-major order and the digits after the binary point.

    Attributes:
        shape: sizes, at least 1 each; samples of all runs first, as `circuit.samples.stacked_shape` says.
        frac_bits: the real numbers are `integers / 2**frac_bits`.
        values: the integers, below `MAX_MAGNITUDE` in magnitude: signed, little-endian, each as wide as the least of
            1, 2, 4 and 8 bytes in which all of them fit.
    """

    shape: tuple[int, ...]
    frac_bits: int
    values: bytes

    @classmethod
    def of(cls, integers: IntArray, frac_bits: int) -> "OutputTensor":
        """The claim of an int64 array, of any shape and layout."""
        width = _least_width(integers)
        return cls(integers.shape, frac_bits, integers.astype(f"<i{width}").tobytes())

    def integers(self) -> IntArray:
        """The claimed integers, int64, of the claim's shape.

        Raises:
            MalformedProofError: there are more or fewer than the shape says, or they are not in the least width.
        """
        size = math.prod(self.shape)
        width = len(self.values) // size if size else 0
        if width not in WIDTHS or len(self.values) != width * size:
            raise MalformedProofError(f"proof: {len(self.values)} bytes hold no claimed output of shape {self.shape}")
        narrow = np.frombuffer(self.values, dtype=f"<i{width}")
        if _least_width(narrow) != width:
            raise MalformedProofError(f"proof: a claimed output is written with {width} bytes a value; fewer would do")
        return narrow.astype(np.int64).reshape(self.shape)


class PrivateTensor(msgspec.Struct, frozen=True, array_like=True, tag="private", forbid_unknown_fields=True):
    """An input or output of all runs that the proof hides: a salted commitment to its values.

    Attributes:
        shape: as in `OutputTensor`; the shape is public.
        root: 32 bytes, the root of the commitment.
    """

    shape: tuple[int, ...]
    root: bytes


class _Payload(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    backend: str
    commitment: bytes
    private_inputs: tuple[PrivateTensor | None, ...]
    outputs: tuple[OutputTensor | PrivateTensor, ...]
    proof: bytes
    stated: bytes


_decoder = msgspec.msgpack.Decoder(_Payload)


def _least_width(integers: npt.NDArray[np.signedinteger[Any]]) -> int:
    """Bytes that every one of the integers fits into, the least of `WIDTHS`."""
    lo, hi = int(integers.min(initial=0)), int(integers.max(initial=0))
    return next(width for width in WIDTHS if -1 << (8 * width - 1) <= lo and hi < 1 << (8 * width - 1))


def _check_shape(tensor: OutputTensor | PrivateTensor) -> None:
    if len(tensor.shape) > MAX_DIMENSIONS or any(n < 1 for n in tensor.shape):
        raise MalformedProofError("proof: it speaks of a tensor with a shape that no tensor has")


def _check_output(tensor: OutputTensor) -> None:
    if abs(tensor.frac_bits) > MAX_FRAC_BITS:
        raise MalformedProofError(f"proof: {tensor.frac_bits} fraction bits of a claimed output are not a Q-format")
    integers = tensor.integers()
    if int(integers.min()) <= -MAX_MAGNITUDE or int(integers.max()) >= MAX_MAGNITUDE:
        raise MalformedProofError("proof: a claimed output is larger than any value of a program")


def _check_payload(payload: _Payload) -> None:
    """What the types leave open.

    Raises:
        MalformedProofError: a part that no proof has.
    """
    if len(payload.commitment) != DIGEST_BYTES:
        raise MalformedProofError(f"proof: a commitment's digest has {DIGEST_BYTES} bytes")
    if len(payload.stated) not in (0, STATED_BYTES):
        raise MalformedProofError(f"proof: what it was made for is told in {STATED_BYTES} bytes or not at all")
    if payload.private_inputs and not any(payload.private_inputs):
        raise MalformedProofError("proof: it lists its private inputs and hides none")
    for tensor in (*payload.private_inputs, *payload.outputs):
        if tensor is None:
            continue
        _check_shape(tensor)
        if isinstance(tensor, OutputTensor):
            _check_output(tensor)
        elif len(tensor.root) != DIGEST_BYTES:
            raise MalformedProofError(f"proof: the commitment to a hidden tensor has {DIGEST_BYTES} bytes")


class Proof:
    """A proof of any number of runs of a program.

    Attributes:
        backend: which prover made it.
        commitment_digest: digest of the commitment that it was made for.
        output_tensors: for each output of the program its integers, or, where it is hidden, a commitment to them.
        data: the backend's proof bytes.
        private_inputs: for each input of the program the commitment to it, or None where it is public; empty where all
            are.
        stated: digests of the inputs, the outputs and the context that it was made for, so that a refusal can say which
            of them differs; empty where the backend does not tell. Never trusted.
    """

    def __init__(
        self,
        backend: str,
        commitment_digest: bytes,
        output_tensors: tuple[OutputTensor | PrivateTensor, ...],
        data: bytes,
        private_inputs: tuple[PrivateTensor | None, ...] = (),
        stated: bytes = b"",
    ) -> None:
        self.backend = backend
        self.commitment_digest = commitment_digest
        self.output_tensors = output_tensors
        self.data = data
        self.private_inputs = private_inputs
        self.stated = stated

    @property
    def outputs(self) -> FloatArray | tuple[FloatArray | None, ...] | None:
        """The claimed outputs as real numbers: float64 of shape (samples, ...), None where the proof hides them.

        One of these, or a tuple of them for a model with several outputs.
        """
        arrays = tuple(
            np.asarray(np.ldexp(t.integers().astype(np.float64), -t.frac_bits)) if isinstance(t, OutputTensor) else None
            for t in self.output_tensors
        )
        return arrays[0] if len(arrays) == 1 else arrays

    def to_bytes(self) -> bytes:
        """The proof file's content, canonical."""
        payload = _Payload(
            self.backend, self.commitment_digest, self.private_inputs, self.output_tensors, self.data, self.stated
        )
        return wrap(PROOF_KIND, PROOF_VERSION, msgspec.msgpack.encode(payload))

    @classmethod
    def from_bytes(cls, data: bytes) -> "Proof":
        """A proof from a proof file's content; says nothing about whether it is valid.

        Raises:
            MalformedProofError: truncated, extended, edited, another version or not a proof.
        """
        try:
            payload = _decoder.decode(unwrap(data, PROOF_KIND, PROOF_VERSION, max_bytes=MAX_PROOF_BYTES))
        except ArtifactError as error:
            raise MalformedProofError(f"proof: {one_line(error)}") from None
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise MalformedProofError(
                f"proof: its content does not have the form of a proof: {one_line(error)}"
            ) from None
        _check_payload(payload)
        proof = cls(
            payload.backend, payload.commitment, payload.outputs, payload.proof, payload.private_inputs, payload.stated
        )
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
