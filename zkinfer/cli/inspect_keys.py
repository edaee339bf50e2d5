"""What a folder of proving keys is and how many proofs it can still make, in words."""

from pathlib import Path

from rich.filesize import decimal

from zkinfer.backend import Keys, find_backend
from zkinfer.cli.console import Description
from zkinfer.files.key_folder import COMMITMENT_FILE

KEYS_REVEAL = f"""\
It holds the weights and what hides them. Keep it private; what is published is {COMMITMENT_FILE}. Prove from this
folder alone: a copy of it has a budget of its own, and both together show weights."""


def describe_keys(folder: Path) -> Description:
    """A folder of keys in words. Nothing is used up by it.

    Raises:
        ArtifactError, WrongKeyError: this is not a folder of keys, or a damaged one.
        MissingDependencyError: the packages of its backend are not installed.
    """
    keys = Keys.load(folder)
    backend = find_backend(keys.backend)
    size = [("proof size", keys.proof_size)] if len(backend.proof_sizes) > 1 else []
    rows = [
        ("folder", f"{folder}, {decimal(folder_bytes(folder))}"),
        ("fingerprint", keys.commitment.fingerprint),
        ("backend", keys.backend),
        ("proofs left", f"{keys.proofs_left:,} of {keys.budget:,}"),
        *size,
        *backend.describe(keys.commitment).rows,
    ]
    return Description("Proving keys", rows, KEYS_REVEAL)


def folder_bytes(folder: Path) -> int:
    """Of all its files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
