"""modelport: export trained models to portable artifacts that prove themselves.

>>> import modelport
>>> sorted(modelport.__all__)[:4]
['Artifact', 'ModelportError', 'Predictor', 'Report']
"""

from __future__ import annotations

# convert and verify are functions here; the modules of the same name are imported first so that they do not shadow them.
from .api import inspect, load
from .artifact import Artifact
from .convert import convert
from .errors import ModelportError
from .predictor import Predictor
from .verify import Report, verify
from .version import __version__

__all__ = ["Artifact", "ModelportError", "Predictor", "Report", "__version__", "convert", "inspect", "load", "verify"]
