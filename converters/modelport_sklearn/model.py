"""From a fitted estimator to a Reading: inputs from the sample, steps from the handlers, answers from the model itself."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np

from modelport.errors import InputError, NotFitted, UnsupportedAttribute
from modelport.graph import Output
from modelport.reading import Reading
from modelport.sample import Sample

from . import handlers  # noqa: F401  (defining is registering)
from .asking import Original, one_job
from .builder import Builder, Prediction, Ref, Table
from .dispatch import PREDICTORS, known_class, predict, transform
from .measuring import measured_tolerance
from .missing import accepting_columns, decided_markers, declared, holds_objects, split_if_needed, with_markers

#: Estimators that need no fit; check_is_fitted did not know that before scikit-learn 1.4.
STATELESS = ("FeatureHasher", "HashingVectorizer", "SparseCoder")
ROLES = {"prediction": "prediction", "cluster": "cluster"}


def read_model(model: Any, sample: Sample) -> Reading:
    """Read an estimator: see `modelport_sklearn.read`."""
    _check_fitted(model)
    _check_width(model, sample)
    with one_job(model):
        sample = split_if_needed(model, sample)
    builder = Builder(sample.inputs("error"))
    builder.markers.update(decided_markers(sample))
    table = _input_table(sample, builder)
    if _is_predictor(model):
        outputs = _prediction_outputs(builder, predict(model, builder, table))
    else:
        result = transform(model, builder, table)
        outputs = _transform_outputs(builder, result)
    fed = with_markers(sample, builder.markers)
    with one_job(model):
        builder.inputs = declared(builder.inputs, fed, accepting_columns(model, fed))
    graph = builder.graph(outputs)

    original = Original(model, fed, {o.name: o.dtype for o in outputs})
    probes = {
        name: original.probe(graph.types[name].dtype, probe) for name, probe in builder.probes.items() if name in graph.types
    }
    return Reading(
        graph,
        original.answer,
        provenance(model),
        probes,
        sample=fed,
        as_given=original.as_given,
        tolerance={} if builder.measured is None else measured_tolerance(graph, original, *builder.measured),
        approximate=builder.rounded,
        doubts=tuple(builder.doubts),
    )


def final_estimator(model: Any) -> Any:
    """The last step of a (nested) pipeline."""
    while type(model).__name__ == "Pipeline":
        model = model.steps[-1][1]
    return model


def _is_predictor(model: Any) -> bool:
    final = final_estimator(model)
    if final is None or isinstance(final, str):
        return False
    if hasattr(final, "transform") and not hasattr(final, "predict"):  # a search of a transformer, or a frozen one
        return False
    return known_class(final, PREDICTORS) is not None or hasattr(final, "predict")


def _check_fitted(model: Any) -> None:
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    name = type(model).__name__
    if isinstance(model, type):
        raise NotFitted(f"{model.__name__} is a class, not a fitted model: hand over the instance you fitted.")
    if hasattr(model, "cv_results_") and getattr(model, "refit", True) is False and not hasattr(model, "best_estimator_"):
        raise UnsupportedAttribute(
            f"{name}: refit is False, so no best estimator was kept: fit with refit=True, or convert the one you choose.", "refit"
        )
    if name == "FixedThresholdClassifier" and not hasattr(model, "estimator_"):
        return _check_fitted(model.estimator)  # scikit-learn uses one that was fitted before as it is
    if known_class(final_estimator(model), dict.fromkeys(STATELESS)):
        return
    try:
        check_is_fitted(final_estimator(model) if not hasattr(model, "__sklearn_is_fitted__") else model)
    except NotFittedError:
        raise NotFitted(f"This {name} is not fitted: call fit first, then convert.") from None
    except TypeError:
        pass


def _check_width(model: Any, sample: Sample) -> None:
    expected = getattr(model, "n_features_in_", None)
    if expected is not None and sample.kind != "text" and len(sample.columns) != expected:
        raise InputError(f"The sample has {len(sample.columns)} columns, but the model was fitted on {expected}.")
    names = getattr(model, "feature_names_in_", None)
    if names is not None and sample.named and list(names) != sample.names:
        missing = [n for n in names if n not in sample.names]
        what = f"column {missing[0]!r} is missing" if missing else "its columns are in another order"
        raise InputError(f"The sample does not fit the model: {what}. The model was fitted on {list(names)}.")


def _input_table(sample: Sample, builder: Builder) -> Table:
    refs = []
    places = [(value, j) for value in builder.inputs for j in range(value.type.width)]
    for column, (value, j) in zip(sample.columns, places, strict=True):
        name = column.name if sample.named or sample.kind != "matrix" else None
        held = "object" if value.dtype == "str" else "float64"
        origin = column.name if holds_objects(sample, column) else None
        categorical = type(column.original).__name__ == "CategoricalDtype" and sample.frame
        known = tuple(column.original.categories) if categorical else None
        refs.append(Ref(value.name, j, value.dtype, name, held, origin, known))
    return Table(tuple(refs))


def _prediction_outputs(builder: Builder, p: Prediction) -> list[Output]:
    if p.prediction is not None:
        return [builder.output("prediction", p.prediction, "prediction")]
    if p.cluster is not None:
        shares = [] if p.probability is None else [builder.output("probability", p.probability, "probability")]
        return [builder.output("cluster", p.cluster, "cluster"), *shares]
    assert p.label is not None, "a prediction has a label, a prediction or a cluster"
    outputs = [builder.output("label", p.label, p.role)]
    if p.probabilities:
        return outputs + [
            builder.output(f"probability_{k}", value, "probability", p.classes[k]) for k, value in enumerate(p.probabilities)
        ]
    if p.probability is not None:
        outputs.append(builder.output("probability", p.probability, "probability", p.classes))
    elif p.score is not None:
        many = p.classes is not None and builder.width(p.score) == len(p.classes) and not p.pairs
        outputs.append(builder.output("score", p.score, "score", p.classes if many else None))
    return outputs


def _transform_outputs(builder: Builder, result: Table) -> list[Output]:
    if any(c.dtype == "str" for c in result.columns):
        if all(c.dtype == "str" for c in result.columns):
            return [builder.output("transformed", builder.texts(result, "transformed"), "transform")]
        return [builder.output(f"transformed_{j}", builder.column(result, j), "transform") for j in range(len(result.columns))]
    return [builder.output("transformed", builder.matrix(result, "transformed"), "transform")]


def provenance(model: Any) -> dict[str, Any]:
    """Framework, versions, class and parameters, as far as they can be written down."""
    import sklearn

    return {
        "framework": {"name": "scikit-learn", "version": sklearn.__version__},
        "python": platform.python_version(),
        "numpy": np.__version__,
        "model": describe(model),
    }


def describe(model: Any) -> str:
    """A pipeline in one line: Pipeline(StandardScaler, LogisticRegression)."""
    steps = getattr(model, "steps", None) or getattr(model, "transformers_", None) or getattr(model, "transformer_list", None)
    name = type(model).__name__
    if isinstance(model, str):
        return model
    return f"{name}({', '.join(describe(step[1]) for step in steps)})" if steps else name
