"""A model that no handler reads, but that can be asked: what it takes comes from the sample, what it gives from its answers."""

from __future__ import annotations

from typing import Any

import numpy as np

from modelport.errors import UnsupportedModel
from modelport.graph import Output
from modelport.reading import Reading, placeholder
from modelport.sample import Sample
from modelport.vectors import record

from .asking import Original, dense, quietly
from .builder import Array, class_names, labels_table
from .missing import accepting_columns, decided_markers, declared, is_missing, split_if_needed, with_markers
from .model import _check_fitted, _check_width, final_estimator, provenance

__all__ = ["ask_model"]

#: rows of the sample that the model is asked, to see what it gives
ROWS = 64


def ask_model(model: Any, sample: Sample) -> Reading:
    """A reading without a graph: see `modelport_sklearn.ask`."""
    _check_fitted(model)
    if not hasattr(model, "predict") and not hasattr(model, "transform"):
        raise UnsupportedModel(f"{type(model).__name__} has neither predict nor transform, so it gives nothing to export.")
    _check_width(model, sample)
    with quietly(model):
        sample = split_if_needed(model, sample)
        fed = with_markers(sample, decided_markers(sample))
        inputs = declared(sample.inputs("error"), fed, accepting_columns(model, fed))
    outputs = _outputs(model, fed)
    original = Original(model, fed, {o.name: o.dtype for o in outputs})
    first = {name: array[:ROWS] for name, array in fed.feeds().items()}
    answers, _ = record(original.answer, first)
    graph = placeholder(inputs, outputs, {name: array.shape[1:] for name, array in answers.items()})
    return Reading(graph, original.answer, provenance(model), sample=fed, as_given=original.as_given, unread=True)


def _outputs(model: Any, fed: Sample) -> list[Output]:
    """The outputs that a handler of such an estimator would give."""
    from sklearn.base import is_classifier, is_clusterer, is_outlier_detector

    final = final_estimator(model)
    if not hasattr(model, "predict"):
        return _transformed(model, fed)
    if is_clusterer(final):
        return [_output("cluster", "i64", "cluster")]
    if is_outlier_detector(final):
        score = [_output("score", "f64", "score")] if hasattr(model, "decision_function") else []
        return [_output("label", "i64", "anomaly"), *score]
    if is_classifier(final) or hasattr(model, "classes_"):
        return _classified(model)
    return [_output("prediction", "f64", "prediction")]


def _classified(model: Any) -> list[Output]:
    classes = getattr(model, "classes_", None)
    if classes is None:
        raise UnsupportedModel(f"{type(model).__name__} is a classifier without classes_, so what its answers mean is not known.")
    many = isinstance(classes, list)
    label = _output("label", _dtype(np.concatenate([np.asarray(c) for c in classes]) if many else classes), "prediction")
    if hasattr(model, "predict_proba"):
        if many:
            return [label, *(_output(f"probability_{k}", "f64", "probability", c) for k, c in enumerate(classes))]
        return [label, _output("probability", "f64", "probability", classes)]
    if hasattr(model, "decision_function"):
        return [label, _output("score", "f64", "score", classes if not many and len(classes) > 2 else None)]
    return [label]


def _transformed(model: Any, fed: Sample) -> list[Output]:
    def transform(feeds: Any) -> dict[str, Array]:
        with quietly(model):
            return {"transformed": dense(model.transform(fed.restore(feeds)))}

    table = record(transform, {name: array[:ROWS] for name, array in fed.feeds().items()})[0]["transformed"]
    if table.ndim != 2:
        raise UnsupportedModel(f"{type(model).__name__} gives rows of shape {list(table.shape[1:])}; one axis is known.")
    dtypes = [_column_dtype(table[:, j]) for j in range(table.shape[1])]
    if len(set(dtypes)) == 1:
        return [_output("transformed", dtypes[0], "transform")]
    return [_output(f"transformed_{j}", dtype, "transform") for j, dtype in enumerate(dtypes)]


def _column_dtype(column: Array) -> str:
    if column.dtype != object:
        return "str" if column.dtype.kind == "U" else "f64"
    return "str" if any(isinstance(v, str) for v in column.tolist() if not is_missing(v)) else "f64"


def _dtype(classes: Any) -> str:
    from modelport.ops.base import dtype_name

    return dtype_name(labels_table(classes))


def _output(name: str, dtype: str, role: str, classes: Any = None) -> Output:
    return Output(name, f"answered {name}", dtype, role, class_names(classes))
