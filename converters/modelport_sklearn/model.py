"""From a fitted estimator to a Reading: inputs from the sample, steps from the handlers, answers from the model itself."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from modelport.errors import InputError, NotFitted
from modelport.graph import Output
from modelport.reading import Reading
from modelport.sample import Sample

from . import handlers  # noqa: F401  (defining is registering)
from .builder import Array, Builder, Prediction, Ref, Table
from .dispatch import PREDICTORS, known_class, predict, transform
from .missing import accepting_columns, decided_markers, declared, holds_objects, is_missing, split_if_needed, with_markers

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

    def as_given(rows: Any) -> dict[str, Array]:
        with one_job(model), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            given = _answers(model, rows, [o.name for o in outputs])
        return {o.name: _as_dtype(o.dtype, given[o.name]) for o in outputs}

    def answer(feeds: Mapping[str, Array]) -> dict[str, Array]:
        return as_given(fed.restore(feeds))

    def ask(dtype: str, probe: Callable[[Any], Array]) -> Callable[[Mapping[str, Array]], Array]:
        def asked(feeds: Mapping[str, Array]) -> Array:
            with one_job(model), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return _as_dtype(dtype, probe(fed.restore(feeds)))

        return asked

    probes = {name: ask(graph.types[name].dtype, probe) for name, probe in builder.probes.items() if name in graph.types}
    return Reading(graph, answer, provenance(model), probes, sample=fed, as_given=as_given)


def final_estimator(model: Any) -> Any:
    """The last step of a (nested) pipeline."""
    while type(model).__name__ == "Pipeline":
        model = model.steps[-1][1]
    return model


def _is_predictor(model: Any) -> bool:
    final = final_estimator(model)
    if final is None or isinstance(final, str):
        return False
    return known_class(final, PREDICTORS) is not None or hasattr(final, "predict")


def _check_fitted(model: Any) -> None:
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    name = type(model).__name__
    if isinstance(model, type):
        raise NotFitted(f"{model.__name__} is a class, not a fitted model: hand over the instance you fitted.")
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
        refs.append(Ref(value.name, j, value.dtype, name, held, column.name if holds_objects(sample, column) else None))
    return Table(tuple(refs))


def _prediction_outputs(builder: Builder, p: Prediction) -> list[Output]:
    if p.prediction is not None:
        return [builder.output("prediction", p.prediction, "prediction")]
    if p.cluster is not None:
        return [builder.output("cluster", p.cluster, "cluster")]
    assert p.label is not None, "a prediction has a label, a prediction or a cluster"
    outputs = [builder.output("label", p.label, p.role)]
    if p.probabilities:
        return outputs + [
            builder.output(f"probability_{k}", value, "probability", p.classes[k]) for k, value in enumerate(p.probabilities)
        ]
    if p.probability is not None:
        outputs.append(builder.output("probability", p.probability, "probability", p.classes))
    elif p.score is not None:
        many = p.classes is not None and builder.width(p.score) == len(p.classes)
        outputs.append(builder.output("score", p.score, "score", p.classes if many else None))
    return outputs


def _transform_outputs(builder: Builder, result: Table) -> list[Output]:
    if any(c.dtype == "str" for c in result.columns):
        if all(c.dtype == "str" for c in result.columns):
            return [builder.output("transformed", builder.texts(result, "transformed"), "transform")]
        return [builder.output(f"transformed_{j}", builder.column(result, j), "transform") for j in range(len(result.columns))]
    return [builder.output("transformed", builder.matrix(result, "transformed"), "transform")]


def _answers(model: Any, rows: Any, names: list[str]) -> dict[str, Any]:
    """What the original gives for rows, under the names of the outputs."""
    given: dict[str, Any] = {}
    if "prediction" in names:
        given["prediction"] = model.predict(rows)
    if "cluster" in names:
        given["cluster"] = model.predict(rows)
    if "label" in names:
        given["label"] = model.predict(rows)
    if "probability" in names:
        given["probability"] = model.predict_proba(rows)
    if "probability_0" in names:
        given.update({f"probability_{k}": p for k, p in enumerate(model.predict_proba(rows))})
    if "score" in names:
        given["score"] = model.decision_function(rows)
    if "transformed" in names:
        given["transformed"] = _dense(model.transform(rows))
    if "transformed_0" in names:
        table = _dense(model.transform(rows))
        given.update({f"transformed_{j}": table[:, j : j + 1] for j in range(table.shape[1])})
    return given


def _dense(values: Any) -> Array:
    if hasattr(values, "toarray"):
        values = values.toarray()
    return np.asarray(values.to_numpy() if hasattr(values, "to_numpy") else values)


def _as_dtype(dtype: str, values: Any) -> Array:
    """The original's answer in the dtype of the value it is compared with; missing strings become None."""
    array = _dense(values)
    if dtype == "str":
        plain = np.empty(array.shape, dtype=object)
        plain.ravel()[:] = [None if is_missing(v) else str(v) for v in array.ravel().tolist()]
        return plain
    wanted = {"f64": np.float64, "i64": np.int64, "bool": np.bool_}.get(dtype, np.float64)
    return array.astype(wanted)


@contextmanager
def one_job(model: Any) -> Iterator[None]:
    """Run the model with n_jobs=1 everywhere (more jobs change the last bits of sums), then put back what was set."""
    changed: list[tuple[Any, Any]] = []
    for part in parts(model):
        if getattr(part, "n_jobs", None) not in (None, 1):
            changed.append((part, part.n_jobs))
            part.n_jobs = 1
    try:
        yield
    finally:
        for part, jobs in changed:
            part.n_jobs = jobs


def parts(model: Any) -> Iterator[Any]:
    """The model and every estimator inside it."""
    seen: set[int] = set()
    queue = [model]
    while queue:
        part = queue.pop()
        if id(part) in seen or isinstance(part, (str, bytes, np.ndarray, int, float)):
            continue
        seen.add(id(part))
        if isinstance(part, (list, tuple)):
            queue.extend(part[:1000])
        elif isinstance(part, dict):
            queue.extend(part.values())
        elif hasattr(part, "get_params") and not isinstance(part, type):
            yield part
            queue.extend(vars(part).values())


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
