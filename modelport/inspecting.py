"""Inspect: what an artifact is, of any format - the model it was, inputs, steps, outputs, vectors, sizes, and what can run it.

Nothing of it is run.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from . import registry
from .artifact import Artifact
from .document import EXACT, Loaded, Vectors
from .graph import Graph, Input, Step
from .profiles import profiles_of
from .stubs import stubs, toolchain_problem

__all__ = ["ENGINES", "engine_problem", "inspect", "tolerance_in_words"]

#: engines of others beside a format's own: the modules and programs that they need
ENGINES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "pypmml": (("pypmml",), ("java",)),
    "jpmml": (("jpmml_evaluator",), ("java",)),
}


def inspect(artifact: str | os.PathLike[str] | Artifact | bytes) -> dict[str, Any]:
    """What an artifact is, as plain values; nothing of it is run.

    `format`, `bytes`, `sizes` by part, `engine`, `model`, `inputs`, `steps` (of formats that read back to a graph) or `contents`,
    `parameters`, `outputs`, `vectors` (None: nothing proves it), `consumers` that could run it here, `provenance`. Files of
    others are described as far as their format says what they are.
    """
    opened = Artifact.of(artifact)
    module = registry.writer(opened.format)
    loaded = module.load(opened.data, None)
    graph: Graph | None = loaded.graph
    provenance = dict(loaded.provenance)
    contents = module.describe(opened.data) if hasattr(module, "describe") else None
    described: dict[str, Any] = {
        "format": opened.format,
        "bytes": len(opened.data),
        "sizes": _sizes(module, opened.data),
        "engine": loaded.engine,
        "model": provenance.get("model"),
        "name": graph.name if graph is not None else None,
        "inputs": _inputs(loaded),
        "outputs": [
            {"name": o.name, "dtype": o.dtype, "role": o.role, "classes": list(o.classes) if o.classes else None}
            for o in loaded.outputs
        ],
        "vectors": None if loaded.vectors is None else _vectors(loaded.vectors),
        "approximation": provenance.get("approximation"),
        "consumers": _consumers(opened.format, module, loaded, contents),
        "provenance": provenance,
    }
    if graph is not None:
        described["steps"] = [_step(graph, step) for step in graph.steps]
        described["parameters"] = sum(step["parameters"] for step in described["steps"])
        if any(stub.format == opened.format for stub in stubs()):
            described["profiles"] = profiles_of(graph.requires)
    elif contents is not None:
        described["contents"] = contents
    return described


def _inputs(loaded: Loaded) -> list[dict[str, Any]]:
    strings = _strings(loaded)
    return [
        {
            "name": v.name,
            "dtype": v.dtype,
            "shape": list(v.shape),
            "missing": v.missing,
            "features": list(v.features) if v.features else None,
            "categories": strings.get(v.name),
        }
        for v in loaded.inputs
    ]


def _strings(loaded: Loaded) -> dict[str, dict[str, list[str]]]:
    """Per input of strings and per column of it, the strings that the model tells apart; nothing where that is not known."""
    if loaded.graph is None or all(v.dtype != "str" for v in loaded.inputs):
        return {}
    from .boundaries import Tracer, categories

    by_name = {v.name: v for v in loaded.inputs}
    found: dict[str, dict[str, list[str]]] = {}
    for (name, j), keys in categories(loaded.graph, Tracer(loaded.graph)).items():
        texts = [key for key in dict.fromkeys(keys) if isinstance(key, str)]
        if by_name[name].dtype == "str" and texts:
            found.setdefault(name, {})[_column_name(by_name[name], j)] = texts
    return found


def _column_name(value: Input, column: int) -> str:
    if value.features is not None:
        return value.features[column]
    return value.name if value.shape in ((), (1,)) else f"{value.name}[{column}]"


def _step(graph: Graph, step: Step) -> dict[str, Any]:
    return {
        "out": step.output,
        "op": step.op,
        "in": list(step.inputs),
        "type": str(graph.types[step.output]),
        "parameters": int(sum(value.size for value in step.attributes.values() if hasattr(value, "size"))),
        "says": _in_words(step),
    }


def _in_words(step: Step) -> str | None:
    """What a step is beside its op: the function, or how large a forest."""
    a = step.attributes
    if step.op == "tree_ensemble":
        return f"{len(a['start']):,} trees, {len(a['feature']):,} nodes"
    function = a.get("fn")
    return function if isinstance(function, str) else None


def _sizes(module: ModuleType, data: bytes) -> dict[str, int] | None:
    """Bytes by part, where the format's writer can tell."""
    if not hasattr(module, "sizes"):
        return None
    found = dict(module.sizes(data))
    return {**found, "rest": len(data) - sum(found.values())}


def _vectors(vectors: Vectors) -> dict[str, Any]:
    kinds: dict[str, int] = {}
    for note in vectors.notes:
        kinds[note] = kinds.get(note, 0) + 1
    return {
        "rows": len(vectors),
        "sets": len(vectors.sets()),
        "source": vectors.source,
        "kinds": kinds,
        "tolerance": {name: t.to_json() for name, t in vectors.tolerance.items()},
        "in_words": {name: tolerance_in_words(name, vectors) for name in vectors.outputs},
    }


def tolerance_in_words(output: str, vectors: Vectors) -> str:
    """What the tolerance of an output means.

    >>> import numpy as np
    >>> from modelport.document import Tolerance
    >>> y = {"y": np.array([2.0, 4.0])}
    >>> tolerance_in_words("y", Vectors({}, y, {"y": Tolerance(4e-12, 1e-12)}))
    'within 1e-12 of the scale, which is 4'
    >>> tolerance_in_words("y", Vectors({}, y))
    'equal in every bit'
    """
    tolerance = vectors.tolerance.get(output, EXACT)
    if tolerance.exact:
        return "equal in every bit"
    if tolerance.ulp:
        return f"within {tolerance.ulp} units in the last place"
    from .vectors import scale_of

    scales = [scale_of(part.outputs[output], part.rows or ("",) * len(part)) for part in vectors.sets()]
    scale = max(scales, default=1.0)
    share = max(tolerance.atol / scale, tolerance.rtol)
    return f"within {share:.2g} of the scale, which is {scale:.3g}"


# --- what can run it ----------------------------------------------------------------------------------------------------------


def _consumers(format_: str, module: ModuleType, loaded: Loaded, contents: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Everything known that takes the format: whether it takes this artifact (None: not known), and whether it is usable here."""
    target = (contents or {}).get("target")
    own = f"written for {target}" if target else "modelport's own"
    found = [{"consumer": loaded.engine, "takes": True, "here": True, "says": own}]
    needs = [] if loaded.graph is None else profiles_of(loaded.graph.requires)
    for stub in stubs():
        if stub.format != format_:
            continue
        lacks = [profile for profile in needs if profile not in stub.profiles]
        takes = (not lacks) if stub.profiles and loaded.graph is not None else None
        problem = toolchain_problem(stub)
        says = f"lacks profile {', '.join(lacks)}" if takes is False else problem or f"--with {stub.name}"
        found.append({"consumer": f"{stub.name} stub", "takes": takes, "here": problem is None, "says": says})
    for name in getattr(module, "CONSUMERS", {}):
        problem = engine_problem(name)
        found.append({"consumer": name, "takes": None, "here": problem is None, "says": problem or f"--with {name}"})
    return found


def engine_problem(name: str) -> str | None:
    """What another engine for a format lacks here, as the end of a sentence, or None; one that is not known lacks nothing."""
    modules, programs = ENGINES.get(name, ((), ()))
    lacking = [m for m in modules if importlib.util.find_spec(m) is None] + [p for p in programs if shutil.which(p) is None]
    return f"needs {' and '.join(lacking)}, not found here" if lacking else None
