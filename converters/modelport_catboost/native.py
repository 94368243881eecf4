"""A CatBoost model that stands alone: its categories by name, its rows as it takes them; and files."""

from __future__ import annotations

import ast
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from modelport_sklearn.builder import Array, Builder, Prediction, Table
from modelport_sklearn.dispatch import predicts
from modelport_sklearn.ledger import Ledger

from modelport.errors import ArtifactError, NotFitted, UnsupportedAttribute
from modelport.sample import Sample

from .estimators import RECORDS, answer
from .model import CLASS_LOSSES, REGRESSION_LINKS, parse, parse_state

__all__ = ["Alone", "AloneClassifier", "as_estimator", "hashes", "loaded"]


class Alone:
    """A model and the sample of its rows; categorical columns of whole numbers are handed to it as integers."""

    def __init__(self, estimator: Any, sample: Sample) -> None:
        self.estimator = estimator
        self.sample = sample
        self.n_features_in_ = len(estimator.feature_names_)

    def predict(self, rows: Any) -> Array:
        """The model's predict, with one thread."""
        return np.asarray(self.estimator.predict(self.fed(rows), thread_count=1))

    def fed(self, rows: Any) -> Any:
        """Rows whose categorical columns hold integers or strings; ValueError for a fraction."""
        columns = self.estimator.get_cat_feature_indices()
        if not columns:
            return rows
        import pandas

        frame = pandas.DataFrame(rows).copy() if not hasattr(rows, "iloc") else rows.copy()
        for j in columns:
            values = frame.iloc[:, j]
            if values.dtype.kind == "f" if hasattr(values.dtype, "kind") else False:
                frame[frame.columns[j]] = _integers(values.to_numpy())
            elif values.isna().any():
                raise ValueError(f"column {frame.columns[j]!r} has a missing category")
        return frame


class AloneClassifier(Alone):
    """A classifier that stands alone."""

    @property
    def classes_(self) -> Array:
        """The model's classes."""
        return np.asarray(self.estimator.classes_)

    def predict_proba(self, rows: Any) -> Array:
        """The model's predict_proba, with one thread."""
        return np.asarray(self.estimator.predict_proba(self.fed(rows), thread_count=1))


def _integers(values: Array) -> Array:
    if not np.all(np.abs(values) < 2.0**53) or np.any(values != np.rint(values)):
        raise ValueError("a category is no whole number")
    return values.astype(np.int64)


@predicts(Alone, AloneClassifier)
def alone(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """What predict (and predict_proba) give."""
    estimator, sample = ledger["estimator"], ledger["sample"]
    unknown = sorted(set(vars(estimator)) - set(RECORDS))
    if unknown:
        raise UnsupportedAttribute(
            f"{type(estimator).__name__} has the attribute {unknown[0]!r}, and no step is known to express it.", unknown[0]
        )
    model = parse(estimator)
    known: dict[int, dict[int, Any]] = {}
    for feature in model.tested():
        column = sample.columns[model.categorical[feature]]
        present = {v for v in column.values.tolist() if v is not None and v == v}
        if column.dtype == "f64":
            present = {int(v) for v in present if v == int(v)}
        known[feature] = {number: name for name, number in hashes(present).items()}
    return answer(builder, table, estimator, model, known)


def hashes(categories: set[Any]) -> dict[Any, int]:
    """The number by which CatBoost knows each category (a string, or an integer, which it takes for its digits).

    CatBoost tells in the model it exports as a program: a model of one tree is fitted on the categories.
    """
    import catboost
    import pandas

    names = {str(v): v for v in categories}
    if not names:
        return {}
    words = sorted(names)
    fillers = ["first filler", "second filler"] * 4  # so that there is something to fit on, whatever the words
    label = np.append(np.zeros(len(words)), [0, 1] * 4)
    pool = catboost.Pool(pandas.DataFrame({"category": [*words, *fillers]}), label=label, cat_features=[0])
    settings = {
        "iterations": 1,
        "depth": 1,
        "verbose": 0,
        "allow_writing_files": False,
        "thread_count": 1,
        "one_hot_max_size": 255,
    }
    model = catboost.CatBoost(settings).fit(pool)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.py"
        model.save_model(str(path), format="python", pool=pool)
        text = path.read_text(encoding="utf-8")
    begin = text.index("cat_features_hashes = ") + len("cat_features_hashes = ")
    table = ast.literal_eval(text[begin : text.index("\n}", begin) + 2])
    found = {key.encode("latin-1").decode("utf-8"): number for key, number in table.items()}
    lost = [word for word in words if word not in found]
    if lost or len(set(found.values())) != len(found):
        raise UnsupportedAttribute(
            f"CatBoost does not tell the hash of the category {lost[0]!r}." if lost else "Two categories have one hash.",
            "cat_features",
        )
    return {names[word]: found[word] for word in words}


def as_estimator(model: Any, sample: Sample) -> Any:
    """The estimator around a model; NotFitted when it is not fitted."""
    import catboost

    if not model.is_fitted():
        raise NotFitted(f"This {type(model).__name__} is not fitted: call fit first, then convert.")
    return (AloneClassifier if isinstance(model, catboost.CatBoostClassifier) else Alone)(model, sample)


def loaded(data: bytes) -> Any:
    """The model in the bytes of a file: a classifier or regressor by its loss, else a plain CatBoost."""
    import catboost

    kind = "cbm" if data.startswith(b"CBM1") else "json"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model.{kind}"
        path.write_bytes(data)
        try:
            if kind == "json":
                parse_state(json.loads(data))
            model = catboost.CatBoost().load_model(str(path), format=kind)
            loss = parse(model).loss
            cls = catboost.CatBoostClassifier if loss in CLASS_LOSSES else catboost.CatBoost
            cls = catboost.CatBoostRegressor if loss in REGRESSION_LINKS or loss == "RMSE" else cls
            return cls().load_model(str(path), format=kind)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, catboost.CatBoostError) as error:
            reason = (str(error).splitlines() or [""])[0].rstrip(".")
            raise ArtifactError(f"The file is no CatBoost model, or it is damaged: {reason}.") from None
