"""modelport: export trained models to portable artifacts that prove themselves.

>>> import modelport
>>> sorted(modelport.__all__)[:4]
['Artifact', 'CheckReport', 'ModelportError', 'Predictor']
"""

from __future__ import annotations

# check, convert and verify are functions here; the modules of the same name are imported first so that they do not shadow them.
from .api import inspect, load
from .artifact import Artifact
from .check import CheckReport, check
from .convert import convert
from .errors import ModelportError
from .predictor import Predictor
from .verify import Report, verify
from .version import __version__

__all__ = [
    "Artifact",
    "CheckReport",
    "ModelportError",
    "Predictor",
    "Report",
    "__version__",
    "check",
    "convert",
    "inspect",
    "load",
    "verify",
]
