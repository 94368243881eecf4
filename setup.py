"""Copies what consumers and the conformance suite need into the package, so that a wheel is enough."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
SHIPPED = (
    *("stubs", "docs/errors"),
    *("fixtures/schema", "fixtures/ops", "fixtures/models", "fixtures/invalid", "fixtures/liars", "fixtures/compat"),
)


class BuildWithData(build_py):
    """build_py, then the folders of SHIPPED as modelport/_data/."""

    def run(self):
        super().run()
        if self.editable_mode:
            return
        for folder in SHIPPED:
            target = Path(self.build_lib) / "modelport" / "_data" / folder
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(ROOT / folder, target, ignore=shutil.ignore_patterns("__pycache__", "*.class", "*.o", "a.out"))


setup(cmdclass={"build_py": BuildWithData})
