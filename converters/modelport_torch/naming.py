"""Names of values after the layers that compute them: the exporter's own (`getitem`, `val_12`) say nothing to a reader."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["layer_names"]

SCOPES = "pkg.torch.onnx.name_scopes"
#: functions that a layer has beside its own: a part of a tuple, first states
SILENT = frozenset(("getitem", "zeros", "ones", "full"))
#: the module around the original that gives the exporter its arguments in order
WRAPPED = re.compile(r"^modelport_original\.?")


def layer_names(graph: Any) -> dict[str, str]:
    """Value of the exporter's file -> the layer's name as `named_modules()` gives it, and the function where it calls several.

    A layer of several nodes gives its name to the last of them. Values of the model itself keep their names.
    """
    placed = [(node.output[0], *_scope(node)) for node in graph.node if node.output and node.output[0]]
    functions: dict[str, set[str]] = {}
    for _, layer, function in placed:
        functions.setdefault(layer, set()).add(function)
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    taken |= {value.name for value in (*graph.initializer, *graph.input, *graph.output)}
    ends = {value.name for value in graph.output}
    found: dict[str, str] = {}
    for value, layer, function in reversed(placed):
        if not layer or value in ends:
            continue
        several = len(functions[layer] - {""}) > 1 and function
        name = start = f"{layer} {function}" if several else layer
        number = 2
        while name in taken:
            name, number = f"{start} {number}", number + 1
        taken.add(name)
        found[value] = name
    return found


def _scope(node: Any) -> tuple[str, str]:
    """(layer, function) of a node; both are empty where the exporter says nothing."""
    said: Mapping[str, str] = {p.key: p.value for p in node.metadata_props}
    scopes = re.findall(r"'([^']*)'", said.get(SCOPES, ""))
    if len(scopes) < 2:
        return "", ""
    function = re.sub(r"_\d+$", "", scopes[-1])
    return WRAPPED.sub("", scopes[-2]), "" if function in SILENT else function
