"""Every kind of file that zkinfer writes, listed once: what its header says, and which class reads it."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class FileKind:
    """A kind of file.

    Attributes:
        tag: four ASCII letters in the file's header.
        version: of the format; a file of another version is refused.
        name: what messages call such a file.
        suffix: of its usual name.
        max_bytes: a longer payload is refused before it is read.
        home: "module:class" of the `File` that reads it; empty where only the code that wrote it does.
        private: it holds secrets, so it is readable by its owner alone.
    """

    tag: str
    version: int
    name: str
    suffix: str
    max_bytes: int
    home: str = ""
    private: bool = False

    def load_class(self) -> Any:
        """The class that reads such a file; `home` must not be empty."""
        module, _, name = self.home.partition(":")
        return getattr(import_module(module), name)


CIRCUIT = FileKind("circ", 1, "circuit", ".zkcircuit", 1 << 33, "zkinfer.compiler.model:Circuit", private=True)
COMMITMENT = FileKind("comm", 7, "commitment", ".zkc", 256 << 20, "zkinfer.files.commitment:Commitment")
PROOF = FileKind("prof", 8, "proof", ".zkp", 256 << 20, "zkinfer.files.proof:Proof")
ROTATION = FileKind("rota", 6, "rotation", ".zkr", 256 << 20, "zkinfer.files.rotation:Rotation")
KEY_SECRET = FileKind("pkey", 1, "secret part of proving keys", ".zkk", 1 << 34, private=True)

MANIFEST = FileKind("mani", 1, "manifest", ".zkm", 1 << 30, "zkinfer.jobs.manifest:Manifest")
# A context, a reason and at most 48 digests fit many times.
ITEM = FileKind("item", 1, "item", ".zki", 1 << 20, "zkinfer.jobs.receipt:ItemReceipt")
KINDS = {kind.tag: kind for kind in (CIRCUIT, COMMITMENT, PROOF, ROTATION, KEY_SECRET, MANIFEST, ITEM)}
"""By tag."""

EARLIER = {"scom": "commitment of a sampled job", "smpl": "sampled receipt", "ssec": "secret part of a sampled job"}
"""Kinds that early versions of zkinfer 0.1 wrote and this one does not read, by tag."""
