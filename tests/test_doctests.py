"""Every example in a docstring of the core and the converters runs and gives what it says."""

from __future__ import annotations

import doctest
import importlib
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def modules() -> list[str]:
    """Importable names of all modules below modelport/ and converters/."""
    found = []
    for start in (ROOT, ROOT / "converters"):
        for path in sorted(start.glob("modelport*/**/*.py")):
            found.append(".".join(path.relative_to(start).with_suffix("").parts).removesuffix(".__init__"))
    return found


@pytest.mark.parametrize("name", modules())
def test_examples(name: str) -> None:
    importlib.import_module(name)
    result = doctest.testmod(sys.modules[name], optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    for name in modules():
        importlib.import_module(name)
    assert sum(bool(test.examples) for name in modules() for test in finder.find(sys.modules[name])) > 20
