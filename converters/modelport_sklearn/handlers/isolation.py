"""IsolationForest: how soon random splits set a row apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..builder import Builder, Prediction, Table
from ..dispatch import accepts_nan, predicts
from ..ledger import Ledger
from .bagging import drawn
from .grown import add_grown
from .outliers import inlier_label
from .trees import inner_trees


@predicts("IsolationForest")
def isolation_forest(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """-(2 ** -(mean depth / mean depth of the training rows)) - offset_; inliers are at 0 or above.

    The label is decided by the sum of the depths, which is exact, at the depth where the score reaches 0.
    """
    ledger.waive("contamination", "max_samples_")
    estimators, columns = drawn(ledger, table)
    inner_trees(ledger, estimators)
    model = ledger.estimator
    leaves = [_depths(ledger, k, tree) for k, tree in enumerate(estimators)]
    given = columns if model._max_features != len(table) else None
    offset, divisor = float(ledger["offset_"]), float(len(estimators) * _path_length(model._max_samples)[0])
    if all((leaf == leaf[0]).all() for leaf in leaves):  # nothing was split, or everything once
        return _constant(builder, float(sum(leaf[0, 0] for leaf in leaves)), divisor, offset)
    nan = not table.sparse and accepts_nan(model)
    depth = builder.scalar(add_grown(builder, table, estimators, leaves, "depths", given, nan), "depth")
    share = builder.add("scale", depth, hint="share", div=[divisor])
    power = builder.add("unary", share, hint="exponent", fn="neg")
    anomaly = builder.add("binary", builder.constant(2.0, "two"), power, hint="anomaly", fn="pow")
    score = builder.add("scale", builder.add("unary", anomaly, hint="normality", fn="neg"), hint="score", sub=[offset])
    builder.probe_table(builder.table(score), model.decision_function)
    label = inlier_label(builder, depth, _depth_of_zero(divisor, offset))
    return Prediction(label=label, score=score, role="anomaly")


def _path_length(samples: Any) -> Any:
    from sklearn.ensemble._iforest import _average_path_length

    return _average_path_length([samples])


def _depths(ledger: Ledger, k: int, tree: Any) -> Any:
    """[leaves, 1]: the depth of each leaf of tree k, and of what would have been split further."""
    path, rest = ledger["_decision_path_lengths"][k], ledger["_average_path_length_per_tree"][k]
    return (path + rest - 1.0)[tree.tree_.children_left < 0].reshape(-1, 1)


def _score(depth: float, divisor: float, offset: float) -> float:
    """The score of a sum of depths as scikit-learn computes it."""
    share = np.array([depth]) / divisor if divisor else np.ones(1)
    return float((-(2**-share) - offset)[0])


def _constant(builder: Builder, depth: float, divisor: float, offset: float) -> Prediction:
    score = _score(depth, divisor, offset)
    label = builder.add("constant", hint="label", value=np.array(1 if score >= 0 else -1, dtype=np.int64))
    return Prediction(label=label, score=builder.constant(score, "score"), role="anomaly")


def _depth_of_zero(divisor: float, offset: float) -> float:
    """The smallest sum of depths whose score is not below 0; infinite when there is none."""

    def inside(bits: int) -> bool:
        return _score(_double(bits), divisor, offset) >= 0

    low, high = 0, int(np.array(np.finfo(np.float64).max).view(np.int64))  # positive doubles are ordered as their bits are
    if inside(low) or not inside(high):
        return 0.0 if inside(low) else np.inf
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if inside(middle) else (middle, high)
    return _double(high)


def _double(bits: int) -> float:
    return float(np.array(bits, dtype=np.int64).view(np.float64))
