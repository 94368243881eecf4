"""The saved form of a CatBoost model (`save_model(format="json")`), parsed strictly: a key that is not known is refused."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from modelport_sklearn.boosted import nodes_of
from modelport_sklearn.builder import Array
from modelport_sklearn.handlers.tree_arrays import Nodes

from modelport.errors import UnsupportedAttribute

TOP = "ctr_data features_info model_info oblivious_trees trees scale_and_bias".split()
FEATURES = "float_features categorical_features ctrs text_features embedding_features".split()
FLOAT_FEATURE = "borders feature_id feature_index feature_name flat_feature_index has_nans nan_value_treatment".split()
#: losses of which the raw value is what CatBoostRegressor and CatBoost answer
RAW_LOSSES = (
    "RMSE MAE Quantile MultiQuantile LogLinQuantile MAPE Huber Lq Expectile MultiRMSE MultiRMSEWithMissingValues LogCosh Cox "
    "SurvivalAft RMSPE QueryRMSE QuerySoftMax QueryCrossEntropy PairLogit PairLogitPairwise YetiRank YetiRankPairwise LambdaMart "
    "StochasticFilter StochasticRank GroupQuantile UserPerObjMetric UserQuerywiseMetric PythonUserDefinedPerObject "
    "PythonUserDefinedMultiTarget FairLoss"
).split()
#: losses of classifiers -> how raw values become probabilities
CLASS_LOSSES = {
    "Logloss": "sigmoid",
    "CrossEntropy": "sigmoid",
    "Focal": "sigmoid",
    "MultiClass": "softmax",
    "MultiClassOneVsAll": "sigmoid",
    "MultiLogloss": "sigmoid",
    "MultiCrossEntropy": "sigmoid",
}
MULTI_LABEL = ("MultiLogloss", "MultiCrossEntropy")
REGRESSION_LINKS = {"Poisson": "exp", "Tweedie": "exp", "RMSEWithUncertainty": "uncertainty"}


@dataclass(frozen=True)
class Model:
    """A parsed model with g outputs per row.

    columns: number of columns of the rows. place [float features]: the column of each; nan_right [float features]: whether NaN
    counts as larger than every border. categorical: column of each categorical feature by its number. scale, bias [g]: the
    result is sum * scale + bias. threshold: the probability above which the second of two classes is answered.
    """

    loss: str
    columns: int
    place: Mapping[int, int]
    nan_right: Mapping[int, bool]
    categorical: Mapping[int, int]
    trees: Sequence[Mapping[str, Any]]
    scale: float
    bias: Array
    threshold: float

    def tested(self) -> dict[int, list[int]]:
        """Categorical feature -> the hashes that some split compares it with, ascending."""
        found: dict[int, set[int]] = {}
        for split in (s for tree in self.trees for s in _splits(tree)):
            if split["split_type"] == "OneHotFeature":
                found.setdefault(split["cat_feature_index"], set()).add(split["value"])
        return {feature: sorted(values) for feature, values in sorted(found.items())}


def refused(attribute: str, why: str) -> UnsupportedAttribute:
    """The error for a part of a model that cannot be exported (raise it)."""
    return UnsupportedAttribute(f"CatBoost model: {attribute} {why}", attribute)


def _known(state: Mapping[str, Any], names: Collection[str], where: str) -> None:
    unknown = sorted(set(state) - set(names))
    if unknown:
        raise refused(unknown[0], f"is a key of {where} that this version does not know, so the export could be wrong.")


def parse(estimator: Any) -> Model:
    """The model in a fitted CatBoost estimator."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        estimator.save_model(str(path), format="json")
        return parse_state(json.loads(path.read_bytes()))


def parse_state(state: Mapping[str, Any]) -> Model:
    """The model in its saved form. Another error than ours (KeyError, TypeError, ValueError) when it is damaged."""
    _known(state, TOP, "the model")
    features = state["features_info"]
    _known(features, FEATURES, "features_info")
    for kind in ("text_features", "embedding_features"):
        if features.get(kind):
            raise refused(kind, "cannot be exported: fit without them, or turn them into numbers first.")
    floats, categories = features.get("float_features", []), features.get("categorical_features", [])
    for feature in floats:
        _known(feature, FLOAT_FEATURE, "a float feature")
        if feature["nan_value_treatment"] not in ("AsIs", "AsFalse", "AsTrue"):
            raise refused("nan_value_treatment", f"{feature['nan_value_treatment']!r} is not known.")
    scale, bias = state["scale_and_bias"]
    info = state["model_info"]
    trees = state.get("oblivious_trees") or state.get("trees") or []
    numbers = {f["feature_index"] for f in floats}, {f["feature_index"] for f in categories}
    parts = (*(f.get("borders", ()) for f in (*floats, *features.get("ctrs", ()))), *(f.get("values", ()) for f in categories))
    count = sum(map(len, parts))
    for split in (s for tree in trees for s in _splits(tree)):
        _check_split(split, *numbers)
        if not 0 <= split["split_index"] < count:
            raise refused("split_index", f"{split['split_index']} is beyond the {count} splits there are: the model is damaged.")
    return Model(
        loss=_loss(info),
        columns=max((f["flat_feature_index"] for f in (*floats, *categories)), default=-1) + 1,
        place={f["feature_index"]: f["flat_feature_index"] for f in floats},
        nan_right={f["feature_index"]: f["nan_value_treatment"] == "AsTrue" for f in floats},
        categorical={f["feature_index"]: f["flat_feature_index"] for f in categories},
        trees=trees,
        scale=float(scale),
        bias=np.atleast_1d(np.asarray(bias, dtype=np.float64)),
        threshold=float(info.get("binclass_probability_threshold", 0.5)),
    )


def _loss(info: Mapping[str, Any]) -> str:
    parameters = info.get("params") or {}
    if isinstance(parameters, str):
        parameters = json.loads(parameters)
    loss = parameters.get("loss_function", {}).get("type")
    if loss in RAW_LOSSES or loss in CLASS_LOSSES or loss in REGRESSION_LINKS:
        return str(loss)
    raise refused("loss_function", f"{loss!r} is not known, nor how its raw value becomes a prediction.")


def _check_split(split: Mapping[str, Any], floats: Collection[int], categories: Collection[int]) -> None:
    kind = split["split_type"]
    if kind == "OnlineCtr":
        raise refused(
            "ctr_data",
            "holds statistics of categories (CTRs), which cannot be exported: fit with a one_hot_max_size of at least the number "
            "of categories and max_ctr_complexity=0, or encode the categories before.",
        )
    if kind not in ("FloatFeature", "OneHotFeature"):
        raise refused("split_type", f"{kind!r} cannot be exported: fit on numbers and one-hot categories only.")
    asked, there = (split["float_feature_index"], floats) if kind == "FloatFeature" else (split["cat_feature_index"], categories)
    if asked not in there:
        raise refused("split", f"asks for feature {asked}, which is not there: the model is damaged.")


def _splits(tree: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """All splits of a symmetric (`splits`) or non-symmetric (`split`, `left`, `right`) tree."""
    if "split" not in tree:
        return list(tree.get("splits") or [])
    found, queue = [], [tree]
    while queue:
        node = queue.pop()
        if "split" in node:
            found.append(node["split"])
            queue += [node["right"], node["left"]]
    return found


def nodes(model: Model, place: Mapping[int, int], codes: Mapping[int, Mapping[int, int]]) -> Nodes:
    """The trees; place: the column of each categorical feature's code; codes: per feature the code of a hash."""
    outputs = len(model.bias)
    left, right, feature, threshold, missing_left, category = ([] for _ in range(6))
    leaf: list[Array] = []
    sizes = []
    pairs = sorted({(f, v) for f, values in model.tested().items() for v in values})
    number = {pair: k for k, pair in enumerate(pairs)}
    sets = np.zeros((len(pairs), 1 + max((codes[f][v] for f, v in pairs), default=0)), dtype=bool)
    for (f, v), k in number.items():
        sets[k, codes[f][v]] = True

    def inner(split: Mapping[str, Any]) -> tuple[int, float, bool, int]:
        if split["split_type"] == "OneHotFeature":
            f = split["cat_feature_index"]
            return place[f], 0.0, False, number[f, split["value"]]
        f = split["float_feature_index"]
        return model.place[f], float(np.float32(split["border"])), not model.nan_right[f], -1

    for tree in model.trees:
        shape = _symmetric(tree, outputs) if "split" not in tree and "value" not in tree else _general(tree, outputs)
        sizes.append(len(shape.left))
        left += shape.left
        right += shape.right
        described = {id(s): inner(s) for s in shape.split if s is not None}
        for split in shape.split:
            j, t, m, c = described[id(split)] if split is not None else (-1, 0.0, False, -1)
            feature.append(j)
            threshold.append(t)
            missing_left.append(m)
            category.append(c)
        leaf.append(shape.leaf)
    return nodes_of(
        sizes,
        np.array(left, dtype=np.int64),
        np.array(right, dtype=np.int64),
        np.array(feature, dtype=np.int64),
        np.array(threshold),
        np.array(missing_left, dtype=bool),
        np.concatenate(leaf),
        np.array(category, dtype=np.int64) if pairs else None,
        sets if pairs else None,
    )


@dataclass(frozen=True)
class _Shape:
    """One tree in preorder: children (-1 in leaves), the split of each node (None in leaves), leaf rows [nodes, g]."""

    left: list[int]
    right: list[int]
    split: list[Mapping[str, Any] | None]
    leaf: Array


def _symmetric(tree: Mapping[str, Any], outputs: int) -> _Shape:
    """All nodes of a level ask the same; bit i of a leaf's number is the answer to split i, asked from the last to the first."""
    splits = tree.get("splits") or []
    depth = len(splits)
    left, right, level, number = _full(depth)
    values = np.asarray(tree["leaf_values"], dtype=np.float64).reshape(1 << depth, outputs)
    flipped = sum(1 << i for i, s in enumerate(splits) if s["split_type"] == "OneHotFeature")
    leaf = np.zeros((len(left), outputs))
    ends = level == depth
    leaf[ends] = values[number[ends] ^ flipped]
    asked = [None if d == depth else splits[depth - 1 - d] for d in level.tolist()]
    return _Shape(left.tolist(), right.tolist(), asked, leaf)


@cache
def _full(depth: int) -> tuple[Array, Array, Array, Array]:
    """A full binary tree in preorder: left, right (-1 in leaves), level, and the number of each leaf from left to right."""
    size = (2 << depth) - 1
    left, right, level, number = (np.full(size, -1, dtype=np.int64) for _ in range(4))
    stack = [(0, 0, 0)]
    while stack:
        at, down, prefix = stack.pop()
        level[at] = down
        if down == depth:
            number[at] = prefix
            continue
        left[at], right[at] = at + 1, at + (1 << (depth - down))
        stack += [(int(right[at]), down + 1, 2 * prefix + 1), (at + 1, down + 1, 2 * prefix)]
    return left, right, level, number


def _general(tree: Mapping[str, Any], outputs: int) -> _Shape:
    left: list[int] = []
    right: list[int] = []
    split: list[Mapping[str, Any] | None] = []
    leaf: list[Array] = []
    stack: list[tuple[Mapping[str, Any], int]] = [(tree, -1)]
    while stack:
        node, parent = stack.pop()
        at = len(left)
        if parent >= 0:
            right[parent] = at
        asked = node.get("split")
        left.append(-1 if asked is None else at + 1)
        right.append(-1)
        split.append(asked)
        value = (
            np.zeros(outputs) if asked is not None else np.broadcast_to(np.asarray(node["value"], dtype=np.float64), (outputs,))
        )
        leaf.append(value)
        if asked is not None:
            first, second = ("right", "left") if asked["split_type"] == "OneHotFeature" else ("left", "right")
            stack += [(node[second], at), (node[first], -1)]
    return _Shape(left, right, split, np.array(leaf))
