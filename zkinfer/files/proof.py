"""The proof file: the prover's message, and the outputs that it claims.

What a verifier believes comes from its caller. The proof names its commitment and carries the claimed outputs for
convenience: the first is compared, the second is checked, neither is trusted.
"""

import math

import msgspec
import numpy as np

from zkinfer import registry
from zkinfer.circuit.program import MAX_MAGNITUDE
from zkinfer.counts import counted
from zkinfer.errors import InvalidInputError, MalformedProofError
from zkinfer.files.commitment import fingerprint_of
from zkinfer.files.file import File
from zkinfer.files.integers import bit_width, pack_bits, packed_bytes, packed_extremes, unpack_bits
from zkinfer.files.kinds import PROOF
from zkinfer.notebook import card
from zkinfer.typing import FloatArray, IntArray

MAX_DIMENSIONS = 17
MAX_FRAC_BITS = 512
MAX_WIDTH = (2 * MAX_MAGNITUDE).bit_length() - 1
MAX_CLAIMED = 1 << 26
"""Numbers of all claimed outputs together: what bounds time for reading them, and memory, half a gibibyte, for having
them; reading holds no more than the file."""

DIGEST_BYTES = 32
STATED_BYTES = 3 * DIGEST_BYTES


class OutputTensor(msgspec.Struct, frozen=True, array_like=True, tag="public", forbid_unknown_fields=True):
    """A claimed output of all runs: integers in row-major order and the digits after the binary point.

    Attributes:
        shape: sizes, at least 1 each; samples of all runs first, as `circuit.samples.stacked_shape` says.
        frac_bits: the real numbers are `integers / 2**frac_bits`.
        lo: the least of the integers.
        width: the bits in which all their distances from `lo` fit, and no fewer.
        values: these distances, as `integers.pack_bits` writes them.
    """

    shape: tuple[int, ...]
    frac_bits: int
    lo: int
    width: int
    values: bytes

    @classmethod
    def of(cls, integers: IntArray, frac_bits: int) -> "OutputTensor":
        """The claim of an int64 array, of any shape and layout, not empty, below `MAX_MAGNITUDE` in magnitude."""
        lo, hi = int(integers.min()), int(integers.max())
        width = bit_width(lo, hi)
        return cls(integers.shape, frac_bits, lo, width, pack_bits(integers, lo, width))

    def check(self) -> None:
        """Check all that `integers` relies on, and hold no more than a block of them meanwhile.

        Raises:
            MalformedProofError: there are more or fewer than the shape says, they are larger than any value of a
                program, or written in another way than `of` does.
        """
        size = math.prod(self.shape)
        if size > MAX_CLAIMED:
            raise MalformedProofError(
                f"proof: an output of {counted(size, 'number')}; at most {MAX_CLAIMED:,} can be claimed"
            )
        if not 1 <= self.width <= MAX_WIDTH or len(self.values) != packed_bytes(size, self.width) or not self.values:
            raise MalformedProofError(f"proof: {len(self.values):,} bytes hold no claimed output of shape {self.shape}")
        least, largest = packed_extremes(self.values, size, self.width)
        if not -MAX_MAGNITUDE < self.lo <= self.lo + largest < MAX_MAGNITUDE:
            raise MalformedProofError("proof: a claimed output is larger than any value of a program")
        used = size * self.width % 8 or 8
        if least or bit_width(0, largest) != self.width or self.values[-1] >> used:
            raise MalformedProofError("proof: a claimed output is not written as shortly as it can be")

    def integers(self) -> IntArray:
        """The claimed integers, int64, of the claim's shape.

        Raises:
            MalformedProofError: as `check` does.
        """
        self.check()
        return unpack_bits(self.values, math.prod(self.shape), self.lo, self.width).reshape(self.shape)


class PrivateTensor(msgspec.Struct, frozen=True, array_like=True, tag="private", forbid_unknown_fields=True):
    """An input or output of all runs that the proof hides: a salted commitment to its values.

    Attributes:
        shape: as in `OutputTensor`; the shape is public.
        root: 32 bytes, the root of the commitment.
    """

    shape: tuple[int, ...]
    root: bytes


class _ProofPayload(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    backend: str
    commitment: bytes
    private_inputs: tuple[PrivateTensor | None, ...]
    outputs: tuple[OutputTensor | PrivateTensor, ...]
    proof: bytes
    stated: bytes


_decoder = msgspec.msgpack.Decoder(_ProofPayload)


def check_claimed(numbers: int) -> None:
    """Raises InvalidInputError where public outputs have more numbers together than a file may claim."""
    if numbers > MAX_CLAIMED:
        raise InvalidInputError(
            f"outputs of {counted(numbers, 'number')}; at most {MAX_CLAIMED:,} can be claimed: prove fewer samples "
            "at a time, or hide the outputs"
        )


def _check_shape(tensor: OutputTensor | PrivateTensor) -> None:
    if len(tensor.shape) > MAX_DIMENSIONS or any(n < 1 for n in tensor.shape):
        raise MalformedProofError("proof: it speaks of a tensor with a shape that no tensor has")


def _check_output(tensor: OutputTensor) -> None:
    if abs(tensor.frac_bits) > MAX_FRAC_BITS:
        raise MalformedProofError(f"proof: {tensor.frac_bits} fraction bits of a claimed output are not a Q-format")
    tensor.check()


class Proof(File):
    """A proof of any number of runs of a program; a `.zkp` file. Reading one says nothing about whether it is valid.

    Attributes:
        backend: the name of the backend that made it, as the proof says.
        commitment_digest: digest of the commitment that it was made for.
        output_tensors: for each output of the program its integers, or, where it is hidden, a commitment to them.
        data: the backend's proof bytes.
        private_inputs: for each input of the program the commitment to it, or None where it is public; empty where all
            are.
        stated: digests of the inputs, the outputs and the context that it was made for, so that a refusal can say which
            of them differs; empty where the backend does not tell. Never trusted.
    """

    KIND = PROOF

    def __init__(
        self,
        backend: str,
        commitment_digest: bytes,
        output_tensors: tuple[OutputTensor | PrivateTensor, ...],
        data: bytes,
        private_inputs: tuple[PrivateTensor | None, ...] = (),
        stated: bytes = b"",
    ) -> None:
        self.backend = registry.public_name(backend)
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

    def _encoded(self) -> bytes:
        payload = _ProofPayload(
            registry.name_in_files(self.backend),
            self.commitment_digest,
            self.private_inputs,
            self.output_tensors,
            self.data,
            self.stated,
        )
        return msgspec.msgpack.encode(payload)

    @classmethod
    def _decoded(cls, payload: bytes) -> "Proof":
        found = _decoder.decode(payload)
        return cls(found.backend, found.commitment, found.outputs, found.proof, found.private_inputs, found.stated)

    def _validate(self) -> None:
        if len(self.commitment_digest) != DIGEST_BYTES:
            raise MalformedProofError(f"proof: a commitment's digest has {DIGEST_BYTES} bytes")
        if len(self.stated) not in (0, STATED_BYTES):
            raise MalformedProofError(f"proof: what it was made for is told in {STATED_BYTES} bytes or not at all")
        if self.private_inputs and not any(self.private_inputs):
            raise MalformedProofError("proof: it lists its private inputs and hides none")
        tensors = [tensor for tensor in (*self.private_inputs, *self.output_tensors) if tensor is not None]
        for tensor in tensors:
            _check_shape(tensor)
        numbers = sum(math.prod(tensor.shape) for tensor in tensors if isinstance(tensor, OutputTensor))
        if numbers > MAX_CLAIMED:
            raise MalformedProofError(
                f"proof: outputs of {counted(numbers, 'number')}; at most {MAX_CLAIMED:,} can be claimed"
            )
        for tensor in tensors:
            if isinstance(tensor, OutputTensor):
                _check_output(tensor)
            elif len(tensor.root) != DIGEST_BYTES:
                raise MalformedProofError(f"proof: the commitment to a hidden tensor has {DIGEST_BYTES} bytes")

    def _parts(self) -> tuple[object, ...]:
        """All that the file holds."""
        claims = (self.output_tensors, self.private_inputs, self.stated)
        return self.backend, self.commitment_digest, self.data, *claims

    def __eq__(self, other: object) -> bool:
        """Whether the two are the same file, byte for byte."""
        return isinstance(other, Proof) and self._parts() == other._parts()

    def __hash__(self) -> int:
        return hash(self._parts())

    def _repr_html_(self) -> str:
        """For notebooks."""
        claims = [
            f"{t.shape}, hidden" if isinstance(t, PrivateTensor) else f"{t.shape}, public" for t in self.output_tensors
        ]
        hides = any(claim is not None for claim in self.private_inputs)
        rows = [
            ("backend", self.backend),
            ("for commitment", fingerprint_of(self.commitment_digest)),
            ("inputs", "some or all hidden" if hides else "public"),
            ("outputs", "; ".join(claims)),
            ("size", f"{len(self.data):,} bytes"),
        ]
        return card("Proof, not checked yet", rows, ["verify(proof, commitment, inputs) says what it shows."])

    def __repr__(self) -> str:
        shapes = [tensor.shape for tensor in self.output_tensors]
        return f"Proof(backend={self.backend!r}, {counted(len(self.data), 'byte')}, outputs {shapes})"
