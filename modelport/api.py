"""Loading artifacts."""

from __future__ import annotations

import os
from typing import Any

from . import registry
from .artifact import Artifact
from .inspecting import inspect
from .predictor import Predictor, replay, require_match

__all__ = ["inspect", "load"]


def load(artifact: str | os.PathLike[str] | Artifact | bytes, *, verify: bool = True, **options: Any) -> Predictor:
    """Load an artifact of any format into a Predictor, replaying the vectors it carries first.

    Raises ArtifactError for a damaged file or one without vectors, Mismatch when the numbers are not the original's,
    Unsupported for a newer format. verify=False skips the replay. options go to the format: `threads` for ONNX and JSON, and
    for JSON `engine`, one of "auto", "c" (the C stub, compiled at first use) and "numpy".
    """
    opened = Artifact.of(artifact)
    name = repr(os.fspath(artifact)) if isinstance(artifact, (str, os.PathLike)) else "The artifact"
    module = registry.writer(opened.format)
    quick = module.load_quick(opened.data, options, verify) if hasattr(module, "load_quick") else None
    if quick is not None:
        return Predictor(quick)
    loaded = module.load(opened.data, options)
    if verify:
        require_match(replay(loaded), name)
    return Predictor(loaded)
