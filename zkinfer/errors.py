"""Every exception that zkinfer raises on purpose.

One root, `ZkinferError`, so that a caller can catch the library as a whole; one class for each thing that a
caller can do something about. A message says what is wrong, where, and what to do next.

`VerificationError` and its children are the only exceptions that the verifier raises, on any bytes whatever.
"""


class AccuracyWarning(UserWarning):
    """A circuit leaves the float model that it was compiled from; the message says on what inputs, and by how much."""


class ZkinferError(Exception):
    """Root of all deliberate zkinfer errors."""


class InvalidInputError(ZkinferError):
    """An array, file or argument handed in by the caller is not what was asked for."""


class ShapeError(InvalidInputError):
    """An array has the wrong number of dimensions or the wrong sizes."""


class InputRangeError(InvalidInputError):
    """A value lies outside the range that the circuit was compiled for."""


class NotFiniteError(InvalidInputError):
    """NaN or infinity where a number is needed."""


class ArtifactError(InvalidInputError):
    """A zkinfer file is truncated, edited, of another version, or of another kind."""


class WrongKindError(ArtifactError):
    """No zkinfer file, or one of another kind or version than is needed here."""


class CompileError(ZkinferError):
    """The model cannot be turned into a circuit."""


class UnsupportedOperatorError(CompileError):
    """The model contains an operator (or a form of one) that zkinfer does not lower."""


class DynamicShapeError(CompileError):
    """The model has a dimension whose size is not known at compile time."""


class BoundsError(CompileError):
    """A value could leave the range that keeps the integer arithmetic exact."""


class ToleranceError(CompileError):
    """No choice within the stated limits reaches the accuracy asked for."""


class ProvingError(ZkinferError):
    """A backend could not produce keys or a proof."""


class MissingDependencyError(ZkinferError):
    """An optional package is needed for this call; the message names the extra that installs it."""


class ResourceError(ProvingError):
    """The work needs more memory, disk or time than there is or than was allowed."""


class BudgetError(ProvingError):
    """The proving key has made all the proofs that its commitment can hide its weights for."""


class WrongKeyError(ProvingError):
    """A proving key belongs to another circuit or to another commitment."""


class VerificationError(ZkinferError):
    """The proof does not show what the caller states. The only error that a verifier raises."""


class MalformedProofError(VerificationError):
    """The bytes are not a proof: truncated, extended, not canonical, or of another version."""


class MalformedCommitmentError(VerificationError):
    """The commitment file is truncated, edited, or of another version."""


class StatementError(VerificationError):
    """The caller's inputs, outputs or context cannot be a statement about this commitment."""


class NothingCheckedError(VerificationError):
    """What was handed in is not what was asked for, so that nothing was checked; nothing is said about a proof."""


class UnreadableProofError(MalformedProofError, NothingCheckedError):
    """There is no such file, or it is not a proof, rotation or manifest but something else."""


class UnreadableCommitmentError(MalformedCommitmentError, NothingCheckedError):
    """There is no such file, or it is not a commitment but something else."""


class UnusableStatementError(StatementError, NothingCheckedError):
    """The caller's arguments make no statement: one is missing or no such array, or the proof is of too many runs."""


class CommitmentMismatchError(VerificationError):
    """The proof was made for another commitment: other weights, another circuit, or another key."""


class InvalidProofError(VerificationError):
    """The cryptographic check fails: the statement is not what was proven."""


class VerifierUnavailableError(VerificationError):
    """The verifier that the caller asked for cannot run here; nothing is said about the proof."""


class VerifierNotInstalledError(VerifierUnavailableError, MissingDependencyError):
    """The verifier of this backend's proofs needs a package that is not installed; the message names the extra.

    It is a `VerificationError` too, because a stranger's files may be what asks for that verifier.
    """
