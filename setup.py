"""Builds the package of pyproject.toml from its sources alone.

By itself setuptools packs whatever an earlier build has left in `build`, also modules that have moved or gone since.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildPy(build_py):
    """Begins with an empty folder."""

    def run(self) -> None:
        shutil.rmtree(Path(self.build_lib) / "zkinfer", ignore_errors=True)
        super().run()


setup(cmdclass={"build_py": BuildPy})
