"""What a proof claims of a tensor, once a test knows which of the two kinds it is."""

from zkinfer.files.proof import OutputTensor, PrivateTensor


def public(claim: OutputTensor | PrivateTensor) -> OutputTensor:
    """A claim of values that are shown."""
    assert isinstance(claim, OutputTensor)
    return claim


def hidden_root(claim: OutputTensor | PrivateTensor | None) -> bytes:
    """The commitment to a tensor that is hidden, 32 bytes."""
    assert isinstance(claim, PrivateTensor)
    return claim.root
