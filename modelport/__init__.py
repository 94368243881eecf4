"""modelport: export trained models to portable artifacts that prove themselves.

Importing it costs next to nothing: what a name stands for, NumPy among it, is imported when the name is used.

>>> import modelport
>>> sorted(modelport.__all__)[:4]
['Artifact', 'CheckReport', 'Difference', 'ModelportError']
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .api import load
    from .artifact import Artifact
    from .check import CheckReport, check
    from .convert import convert
    from .diff import Difference, diff
    from .errors import ModelportError
    from .inspecting import inspect
    from .predictor import Predictor
    from .verify import Report, verify

__all__ = [
    "Artifact",
    "CheckReport",
    "Difference",
    "ModelportError",
    "Predictor",
    "Report",
    "__version__",
    "check",
    "convert",
    "diff",
    "inspect",
    "load",
    "verify",
]

#: public name -> the module that has it
_HOMES = {
    "Artifact": "artifact",
    "CheckReport": "check",
    "Difference": "diff",
    "ModelportError": "errors",
    "Predictor": "predictor",
    "Report": "verify",
    "check": "check",
    "convert": "convert",
    "diff": "diff",
    "inspect": "inspecting",
    "load": "api",
    "verify": "verify",
}


class _Package(ModuleType):
    """check, convert, diff and verify are functions here: the modules of the same name, once imported, do not shadow them."""

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType) and _HOMES.get(name) == name:
            value = getattr(value, name)
        super().__setattr__(name, value)


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOMES.get(name, name)
    try:
        module = importlib.import_module(f"{__name__}.{home}")
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{home}":
            raise
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    found = getattr(module, name) if name in _HOMES else module
    setattr(sys.modules[__name__], name, found)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


sys.modules[__name__].__class__ = _Package
