"""Loading and inspecting artifacts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from . import registry
from .artifact import Artifact
from .predictor import Predictor, replay, require_match

__all__ = ["inspect", "load"]


def load(artifact: str | os.PathLike[str] | Artifact | bytes, *, verify: bool = True, **options: Any) -> Predictor:
    """Load an artifact of any format into a Predictor, replaying the vectors it carries first.

    Raises ArtifactError for a damaged file or one without vectors, Mismatch when the numbers are not the original's,
    Unsupported for a newer format. verify=False skips the replay. options go to the format (`threads` for ONNX).
    """
    opened = Artifact.of(artifact)
    name = repr(os.fspath(artifact)) if isinstance(artifact, (str, os.PathLike)) else "The artifact"
    loaded = registry.writer(opened.format).load(opened.data, options)
    if verify:
        require_match(replay(loaded), name)
    return Predictor(loaded)


def inspect(artifact: str | os.PathLike[str] | Artifact | bytes) -> dict[str, Any]:
    """What an artifact is: format, size, inputs, outputs, steps, vectors, provenance. Nothing is run."""
    opened = Artifact.of(artifact)
    loaded = registry.writer(opened.format).load(opened.data, None)
    graph = loaded.graph
    description: dict[str, Any] = {
        "format": opened.format,
        "bytes": len(opened.data),
        "engine": loaded.engine,
        "inputs": [
            {
                "name": v.name,
                "dtype": v.dtype,
                "shape": list(v.shape),
                "missing": v.missing,
                "features": list(v.features) if v.features else None,
            }
            for v in loaded.inputs
        ],
        "outputs": [
            {"name": o.name, "dtype": o.dtype, "role": o.role, "classes": list(o.classes) if o.classes else None}
            for o in loaded.outputs
        ],
        "vectors": None if loaded.vectors is None else _vectors(loaded.vectors),
        "provenance": dict(loaded.provenance),
    }
    if graph is not None:
        description["steps"] = [
            {
                "out": s.output,
                "op": s.op,
                "in": list(s.inputs),
                "type": str(graph.types[s.output]),
                "parameters": _parameters(s.attributes),
            }
            for s in graph.steps
        ]
    return description


def _parameters(attributes: Mapping[str, Any]) -> int:
    return int(sum(value.size for value in attributes.values() if hasattr(value, "size")))


def _vectors(vectors: Any) -> dict[str, Any]:
    kinds: dict[str, int] = {}
    for note in vectors.rows:
        kinds[note] = kinds.get(note, 0) + 1
    return {
        "rows": len(vectors),
        "source": vectors.source,
        "kinds": kinds,
        "tolerance": {name: t.to_json() for name, t in vectors.tolerance.items()},
    }
