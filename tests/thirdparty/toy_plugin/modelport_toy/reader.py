"""Reads toyframework models: the plugin module of the entry point `toyframework` in the group `modelport.readers`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelport.errors import InputError, UnsupportedModel
from modelport.graph import Graph, Output, Step
from modelport.reading import Reading
from modelport.sample import Sample


def read(model: Any, sample: Sample, options: Mapping[str, Any] | None = None) -> Reading:
    """The model as one linear step."""
    if type(model).__name__ != "LinearModel":
        raise UnsupportedModel(f"The toy reader knows LinearModel, not {type(model).__name__}.")
    inputs = sample.inputs(missing="error")
    width = inputs[0].type.width
    if sample.kind != "matrix" or width != model.weight.shape[1]:
        raise InputError(f"The model takes rows of {model.weight.shape[1]} numbers: hand over such a sample.")
    linear = Step("linear", [inputs[0].name], "linear", {"weight": model.weight, "bias": model.bias})
    graph = Graph(inputs, [linear], [Output("prediction", "linear", "f64", "prediction")])

    def answer(feeds: Mapping[str, Any]) -> dict[str, Any]:
        return {"prediction": model.predict(sample.restore(feeds))}

    provenance = {"framework": {"name": "toyframework"}, "model": type(model).__name__}
    return Reading(graph, answer, provenance, probes={"linear": lambda feeds: model.predict(sample.restore(feeds))})
