"""What keys and proofs of the ezkl backend will take, predicted before any is made."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.filesize import decimal

from zkinfer.backend import Estimate
from zkinfer.errors import ResourceError
from zkinfer.ezkl.cost import (
    KEY_MEGABYTES,
    PEAK_MEGABYTES,
    PROVING_SECONDS,
    SETUP_SECONDS,
    CircuitSize,
)
from zkinfer.progress import duration


@dataclass(frozen=True)
class EzklEstimate(Estimate):
    """Predicted cost on one core of the reference machine; within a factor of about two.

    Attributes:
        logrows: k, the circuit has 2**k rows.
        cells: assignments in the main region.
        setup_seconds, prove_seconds: wall-clock time.
        memory_bytes: peak resident memory of setup and of proving.
        disk_bytes: size of the key folder.
    """

    logrows: int
    cells: int
    setup_seconds: float
    prove_seconds: float
    memory_bytes: int
    disk_bytes: int

    @property
    def title(self) -> str:
        """See `Estimate.title`."""
        return "Estimate, ezkl, for one core; within a factor of about two"

    def rows(self) -> list[tuple[str, str]]:
        """See `Estimate.rows`."""
        return [
            ("rows", f"2^{self.logrows}: the reference string has to be for k = {self.logrows}"),
            ("cells", f"{self.cells:,}"),
            ("setup", duration(self.setup_seconds)),
            ("prove", duration(self.prove_seconds)),
            ("memory", decimal(self.memory_bytes)),
            ("disk", decimal(self.disk_bytes)),
        ]


def estimate_size(size: CircuitSize, logrows: int) -> EzklEstimate:
    """The estimate for a circuit of this size at this k."""
    return EzklEstimate(
        logrows=logrows,
        cells=size.cells,
        setup_seconds=SETUP_SECONDS.predict(size, logrows),
        prove_seconds=PROVING_SECONDS.predict(size, logrows),
        memory_bytes=int(PEAK_MEGABYTES.predict(size, logrows) * 2**20),
        disk_bytes=int(KEY_MEGABYTES.predict(size, logrows) * 2**20) + (128 << logrows),
    )


def check_resources(estimate: EzklEstimate, folder: Path) -> None:
    """Refuse work that this machine cannot finish.

    Raises:
        ResourceError: too little free memory or disk; says what is needed and what there is.
    """
    free_disk = _free_disk(folder)
    if free_disk < 2 * estimate.disk_bytes:
        raise ResourceError(
            f"the keys need about {decimal(estimate.disk_bytes)} and {folder} has {decimal(free_disk)} free; "
            "choose another folder"
        )
    free_memory = _free_memory()
    if free_memory < estimate.memory_bytes:
        raise ResourceError(
            f"making keys needs about {decimal(estimate.memory_bytes)} of memory and {decimal(free_memory)} are free; "
            "compile with a smaller batch or fewer bits"
        )


def _free_disk(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _free_memory() -> int:
    return int(psutil.virtual_memory().available)
