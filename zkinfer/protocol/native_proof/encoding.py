"""The bytes of a native proof, and the header with the sizes that its prover chose."""

import msgspec
from blake3 import blake3

from zkinfer.errors import InvalidInputError, MalformedProofError
from zkinfer.protocol.merkle.paths import DIGEST_BYTES
from zkinfer.protocol.pcs.copies import MAX_LOG_COPIES, Place
from zkinfer.protocol.pcs.params import Code, OpeningParameters
from zkinfer.protocol.transcript import MAX_GRINDING_BITS

HIDDEN_VALUES_CONTEXT = "zkinfer 2026 hidden values v1"


class Header(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What the prover chooses: sizes of the witness matrices' opening, and work before the lookup challenges."""

    log_columns: int
    blinding: int
    log_length: int
    queries: int
    query_grinding: int
    weight_grinding: int
    lookup_grinding: int

    @property
    def opening(self) -> OpeningParameters:
        """The parameters of the witness matrices' opening.

        Raises:
            InvalidInputError: they are out of range.
        """
        code = Code(self.log_columns, self.blinding, self.log_length)
        return OpeningParameters(code, self.queries, self.query_grinding, self.weight_grinding)


def encode_header(header: Header) -> bytes:
    """The header's canonical bytes, which the transcript binds."""
    return msgspec.msgpack.encode(header)


def hidden_values(header: Header, root: bytes) -> bytes:
    """The commitment to the values of a matrix, 32 bytes: to its root, and to the code that says how it is to be read.

    The root alone would not bind: a word may be near a codeword of one code and near another of another.
    """
    sizes = (header.log_columns, header.blinding, header.log_length)
    encoded = b"".join(size.to_bytes(8, "little") for size in sizes)
    digest: bytes = blake3(encoded + root, derive_key_context=HIDDEN_VALUES_CONTEXT).digest()
    return digest


class NativeProof(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The bytes of a native proof.

    Attributes:
        roots: of the matrices of private inputs, private outputs and witness; empty where a matrix has no rows.
        masks: root of the masks of the weights' opening; empty if weights are not opened, or bring their own.
        pads: root of the pads.
        copy, branch: the place of the copy of the weights that is opened, as in `Place`.
    """

    header: Header
    roots: tuple[bytes, bytes, bytes]
    masks: bytes
    pads: bytes
    lookup_nonce: int
    message: bytes
    weights: bytes
    witness: bytes
    about_pads: bytes
    copy: int = 0
    branch: bytes = b""

    @property
    def place(self) -> Place:
        """The copy of the weights that is opened."""
        return Place(self.copy, self.branch)


_decoder = msgspec.msgpack.Decoder(NativeProof)


def encode(proof: NativeProof) -> bytes:
    """The proof's canonical bytes."""
    return msgspec.msgpack.encode(proof)


def decode(data: bytes) -> NativeProof:
    """A proof from its bytes.

    Raises:
        MalformedProofError: the bytes are not a proof, or not the canonical ones.
    """
    try:
        proof = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MalformedProofError(f"not a native proof: {error}") from None
    if encode(proof) != data:
        raise MalformedProofError("a native proof that is not in canonical form")
    if (
        any(len(root) not in (0, DIGEST_BYTES) for root in (*proof.roots, proof.masks))
        or len(proof.pads) != DIGEST_BYTES
    ):
        raise MalformedProofError(f"a root has {DIGEST_BYTES} bytes")
    if not 0 <= proof.copy < 1 << MAX_LOG_COPIES or len(proof.branch) > DIGEST_BYTES * (MAX_LOG_COPIES + 1):
        raise MalformedProofError("the proof opens a copy of the weights that no commitment has")
    if proof.lookup_nonce < 0 or not 0 <= proof.header.lookup_grinding <= MAX_GRINDING_BITS:
        raise MalformedProofError("the work before the lookup challenges is out of range")
    try:
        opening = proof.header.opening
    except InvalidInputError as error:
        raise MalformedProofError(f"the proof's parameters: {error}") from None
    if opening.code.blinding < opening.queries:
        raise MalformedProofError("the proof's parameters: fewer random symbols a row than columns that are shown")
    return proof
