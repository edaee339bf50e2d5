"""Moving a folder of keys, with the budget that it may still spend."""

import errno
import shutil
from pathlib import Path

from zkinfer.errors import ResourceError
from zkinfer.files.artifact import building_folder, writing
from zkinfer.files.budget import retiring, sync_folder


def move_keys(source: Path, target: Path, budget_file: Path, budget: int) -> Path:
    """Move a folder of keys to a path that does not exist yet, whatever other processes do with it meanwhile.

    Within a file system the folder is renamed. To another one it is copied while nothing can be spent; then the old
    budget is used up before the new folder appears. A crash in between may cost the keys, but never gives proofs back.

    Args:
        source: the folder.
        target: absolute.
        budget_file: in `source`.
        budget: proofs in all.

    Returns:
        The target.

    Raises:
        ResourceError: the target exists, or cannot be written.
    """
    if target.exists():
        raise ResourceError(f"{target} exists; choose another folder or remove it first")
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            source.rename(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
        else:
            sync_folder(target.parent)
            return target
    with building_folder(target) as part, retiring(budget_file, budget):
        shutil.copytree(source, part, dirs_exist_ok=True)
    shutil.rmtree(source, ignore_errors=True)
    return target
