"""Asking a fitted model for its answers: no handler and no graph is needed for it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelport.sample import Sample

from .builder import Array
from .missing import is_missing

__all__ = ["Original", "dense", "one_job", "parts"]


#: Estimators for which the rows of one call are not independent: NMF stops by a measure of all of them. An artifact answers every
#: row as the original answers it alone. (LabelBinarizer guesses the kind of labels from all rows, and IterativeImputer leaves its
#: first guess when no cell of a call is present: that one is asked alone for the rows with missing cells.)
ONE_AT_A_TIME = frozenset({"MiniBatchNMF", "NMF"})


@dataclass(frozen=True)
class Original:
    """A fitted model that is fed rows as in `sample`; `dtypes` maps the names of its outputs to the dtypes they are given in."""

    model: Any
    sample: Sample
    dtypes: Mapping[str, str]

    def as_given(self, rows: Any) -> dict[str, Array]:
        """Output name -> array [n, *row shape] for rows in the container the model is fed."""
        with quietly(self.model):
            parts_of = [_answers(self.model, part, self.dtypes) for part in self._calls(rows)]
        return {name: np.concatenate([as_dtype(dtype, given[name]) for given in parts_of]) for name, dtype in self.dtypes.items()}

    def answer(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Output name -> array [n, *row shape] for input name -> array [n, *row shape]."""
        return self.as_given(self.sample.restore(feeds))

    def probe(self, dtype: str, ask: Callable[[Any], Array]) -> Callable[[Mapping[str, Array]], Array]:
        """A function from feeds to an intermediate value, which ask(rows) gives."""

        def asked(feeds: Mapping[str, Array]) -> Array:
            with quietly(self.model):
                return np.concatenate([as_dtype(dtype, ask(part)) for part in self._calls(self.sample.restore(feeds))])

        return asked

    def _calls(self, rows: Any) -> list[Any]:
        """The rows of each call: all at once, or one at a time where rows of one call influence each other."""
        alone = np.full(len(rows), type(self.model).__name__ == "LabelBinarizer")
        for part in parts(self.model):
            if type(part).__name__ in ONE_AT_A_TIME:
                alone[:] = True
            elif type(part).__name__ == "IterativeImputer":
                alone |= _with_gaps(rows, part.missing_values)
        cuts = sorted({0, *np.flatnonzero(alone), *(np.flatnonzero(alone) + 1)} - {len(rows)})
        ends = [*cuts[1:], len(rows)]
        return [rows.iloc[i:j] if hasattr(rows, "iloc") else rows[i:j] for i, j in zip(cuts, ends, strict=True)]


def _with_gaps(rows: Any, marker: Any) -> Array:
    """bool [n]: rows with a missing cell; every row where that cannot be seen."""
    if not is_missing(marker):
        return np.ones(len(rows), dtype=bool)
    if hasattr(rows, "isna"):
        return np.asarray(rows.isna().any(axis=1))
    array = np.asarray(rows)
    return np.isnan(array).any(axis=1) if array.dtype.kind == "f" and array.ndim == 2 else np.ones(len(rows), dtype=bool)


def _answers(model: Any, rows: Any, names: Mapping[str, Any]) -> dict[str, Any]:
    """What the original gives for rows, under the names of the outputs."""
    given: dict[str, Any] = {}
    for name in ("prediction", "cluster", "label"):
        if name in names:
            given[name] = model.predict(rows)
    if "probability" in names:
        given["probability"] = model.predict_proba(rows)
    if "probability_0" in names:
        given.update({f"probability_{k}": p for k, p in enumerate(model.predict_proba(rows))})
    if "score" in names:
        given["score"] = model.decision_function(rows)
    if "transformed" in names:
        given["transformed"] = dense(model.transform(rows))
    if "transformed_0" in names:
        table = dense(model.transform(rows))
        given.update({f"transformed_{j}": table[:, j : j + 1] for j in range(table.shape[1])})
    return given


def dense(values: Any) -> Array:
    """A sparse matrix or a frame as an array."""
    if hasattr(values, "toarray"):
        values = values.toarray()
    return np.asarray(values.to_numpy() if hasattr(values, "to_numpy") else values)


def as_dtype(dtype: str, values: Any) -> Array:
    """The original's answer in the dtype of the value it is compared with; missing strings become None."""
    array = dense(values)
    if dtype == "str":
        plain = np.empty(array.shape, dtype=object)
        plain.ravel()[:] = [None if is_missing(v) else str(v) for v in array.ravel().tolist()]
        return plain
    wanted = {"f64": np.float64, "i64": np.int64, "bool": np.bool_}.get(dtype, np.float64)
    return array.astype(wanted)


@contextmanager
def quietly(model: Any) -> Iterator[None]:
    """Ask with one job and without warnings; a row that a library refuses in its own words is a ValueError."""
    with one_job(model), warnings.catch_warnings(), plain_errors():
        warnings.simplefilter("ignore")
        yield


#: Libraries whose errors are plain exceptions: no kind of ValueError.
OWN_ERRORS = ("lightgbm", "catboost", "_catboost")


@contextmanager
def plain_errors() -> Iterator[None]:
    """Raise what such a library raises as a ValueError."""
    try:
        yield
    except Exception as error:
        if type(error).__module__.partition(".")[0] in OWN_ERRORS:
            raise ValueError(str(error)) from error
        raise


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
        elif type(part).__name__ == "_CalibratedClassifier":
            queue.extend(vars(part).values())
