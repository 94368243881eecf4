"""The saved form of an XGBoost model (`save_raw("json")`), parsed strictly: a key that is not known is refused."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from modelport_sklearn.boosted import nodes_of
from modelport_sklearn.builder import Array
from modelport_sklearn.handlers.tree_arrays import Nodes

from modelport.errors import UnsupportedAttribute

#: objective -> (how base_score becomes a margin, how a margin becomes a prediction)
OBJECTIVES = {
    "reg:squarederror": ("identity", "identity"),
    "reg:squaredlogerror": ("identity", "identity"),
    "reg:linear": ("identity", "identity"),
    "reg:pseudohubererror": ("identity", "identity"),
    "reg:absoluteerror": ("identity", "identity"),
    "reg:quantileerror": ("identity", "identity"),
    "reg:expectileerror": ("identity", "identity"),
    "reg:logistic": ("logit", "sigmoid"),
    "binary:logistic": ("logit", "sigmoid"),
    "binary:logitraw": ("identity", "identity"),
    "binary:hinge": ("identity", "step"),
    "count:poisson": ("log", "exp"),
    "reg:gamma": ("log", "exp"),
    "reg:tweedie": ("log", "exp"),
    "survival:cox": ("log", "exp"),
    "survival:aft": ("log", "exp"),
    "rank:pairwise": ("identity", "identity"),
    "rank:ndcg": ("identity", "identity"),
    "rank:map": ("identity", "identity"),
    "multi:softprob": ("identity", "softmax"),
    "multi:softmax": ("identity", "argmax"),
}
#: parameters of the objectives, which govern the fit alone
OBJECTIVE_PARAMETERS = (
    "name reg_loss_param softmax_multiclass_param poisson_regression_param tweedie_regression_param pseudo_huber_param "
    "quantile_loss_param expectile_loss_param lambdarank_param lambda_rank_param aft_loss_param ti- ti+"
).split()
LEARNER = "attributes feature_names feature_types gradient_booster learner_model_param objective".split()
PARAMETERS = "base_score boost_from_average num_class num_feature num_target".split()
#: what a tree must have, what records the fit, and what only some have
TREE = "left_children right_children split_indices split_conditions default_left tree_param".split()
TREE_RECORDS = "base_weights id loss_changes parents sum_hessian".split()
TREE_MORE = "leaf_weights split_type categories categories_nodes categories_segments categories_sizes".split()


#: XGBoost knows no category from this code on
MOST_CATEGORIES = 1 << 24


@dataclass(frozen=True)
class Model:
    """A parsed model with g outputs per row.

    margin [g] f32: the start of the sums. trees: T trees that compare f32 and hold f32 leaves, class_ [T] the output each adds to
    (None: leaves are vectors [g]). drop [T]: DART's weights, or None. weight [g, d], bias [g]: gblinear. ends: number of trees
    after each boosting round. categorical [d]; categories: per column the names (strings or integers) that have a code, if it
    was fitted on categories of a frame; None in place of a name that XGBoost did not save rightly.
    """

    objective: str
    margin: Array
    columns: int
    categorical: Array
    categories: Sequence[Sequence[Any] | None]
    names: Sequence[str] | None
    best_iteration: int | None
    trees: Sequence[Mapping[str, Any]] = ()
    class_: Array | None = None
    drop: Array | None = None
    ends: Sequence[int] = ()
    weight: Array | None = None
    bias: Array | None = None

    @property
    def outputs(self) -> int:
        """Numbers per row before the objective's transformation."""
        return len(self.margin)


def parse(booster: Any) -> Model:
    """The model in a Booster."""
    return parse_state(json.loads(bytes(booster.save_raw("json"))))


def parse_state(state: Mapping[str, Any]) -> Model:
    """The model in its saved form. Another error than ours (KeyError, TypeError, ValueError) when it is damaged."""
    _known(state, ("learner", "version", "Config"), "The model")
    learner = state["learner"]
    _known(learner, LEARNER, "learner")
    parameters, objective = learner["learner_model_param"], learner["objective"]
    _known(parameters, PARAMETERS, "learner_model_param")
    _known(objective, OBJECTIVE_PARAMETERS, "objective")
    name = objective["name"]
    if name not in OBJECTIVES:
        raise refused("objective", f"{name!r} is not known, nor how its margin becomes a prediction.")
    columns = int(parameters["num_feature"])
    types = learner.get("feature_types") or []
    outputs = max(int(parameters.get("num_class", 0)), int(parameters.get("num_target", 1)), 1)
    best = learner["attributes"].get("best_iteration")
    common: dict[str, Any] = {
        "objective": name,
        "margin": _margin(parameters["base_score"], OBJECTIVES[name][0], outputs),
        "columns": columns,
        "categorical": np.array([t == "c" for t in types] or [False] * columns, dtype=bool),
        "names": learner.get("feature_names") or None,
        "best_iteration": None if best is None else int(best),
    }
    gradient = learner["gradient_booster"]
    if gradient["name"] == "gblinear":
        return Model(**common, categories=[None] * columns, **_linear(gradient, columns, outputs))
    return Model(**common, **_trees(gradient, columns, outputs))


def refused(attribute: str, why: str) -> UnsupportedAttribute:
    """The error for a part of a model that cannot be exported (raise it)."""
    return UnsupportedAttribute(f"XGBoost model: {attribute} {why}", attribute)


def _known(state: Mapping[str, Any], names: Collection[str], where: str) -> None:
    unknown = sorted(set(state) - set(names))
    if unknown:
        raise refused(unknown[0], f"is a key of {where} that this version does not know, so the export could be wrong.")


def _margin(text: Any, link: str, outputs: int) -> Array:
    """base_score as the f32 margin from which the sums start: XGBoost saves it before the objective's link."""
    given = json.loads(text) if isinstance(text, str) else text
    score: Array = np.atleast_1d(np.asarray(given, dtype=np.float64)).astype(np.float32)
    if len(score) not in (1, outputs):
        raise refused("base_score", f"has {len(score)} numbers for {outputs} outputs.")
    if link == "logit":
        odds = np.float32(1) / score - np.float32(1)
        score = -np.log(odds.astype(np.float64)).astype(np.float32)
    elif link == "log":
        score = np.log(score.astype(np.float64)).astype(np.float32)
    if not np.isfinite(score).all():
        raise refused("base_score", f"{text} has no finite margin.")
    margin: Array = np.broadcast_to(score, (outputs,)).copy()
    return margin


def _linear(gradient: Mapping[str, Any], columns: int, outputs: int) -> dict[str, Any]:
    _known(gradient, ("name", "model"), "gradient_booster")
    _known(gradient["model"], ("boosted_rounds", "weights", "param"), "the linear model")
    table = np.array(gradient["model"]["weights"], dtype=np.float32).reshape(columns + 1, outputs)
    return {"weight": table[:-1].T.copy(), "bias": table[-1].copy()}


def _trees(gradient: Mapping[str, Any], columns: int, count: int) -> dict[str, Any]:
    _known(gradient, ("name", "model", "gbtree", "weight_drop"), "gradient_booster")
    if gradient["name"] not in ("gbtree", "dart"):
        raise refused("booster", f"{gradient['name']!r} is not known.")
    drop = np.array(gradient["weight_drop"], dtype=np.float32) if gradient["name"] == "dart" else None
    if drop is not None and len(drop) != len(gradient["gbtree"]["model"]["trees"]):
        raise refused("weight_drop", "has not one weight per tree: the model is damaged.")
    model = gradient["gbtree"]["model"] if drop is not None else gradient["model"]
    _known(model, ("cats", "gbtree_model_param", "iteration_indptr", "tree_info", "trees"), "the tree model")
    trees = model["trees"]
    for tree in trees:
        _known(tree, (*TREE, *TREE_RECORDS, *TREE_MORE), "a tree")
        _check_tree(tree, columns)
    vectors = any(int(tree["tree_param"].get("size_leaf_vector", 1)) > 1 for tree in trees)
    rounds = max(1, int(model["gbtree_model_param"].get("num_parallel_tree", 1)))
    outputs = np.asarray(model["tree_info"], dtype=np.int64)
    if len(outputs) != len(trees) or (len(outputs) and (outputs.min() < 0 or outputs.max() >= count)):
        raise refused("tree_info", "does not name an output for every tree: the model is damaged.")
    return {
        "trees": trees,
        "class_": None if vectors else np.array(model["tree_info"], dtype=np.int32),
        "drop": drop,
        "ends": model.get("iteration_indptr", list(range(0, len(trees) + 1, rounds)))[1:],
        "categories": _categories(model.get("cats"), columns),
    }


def _check_tree(tree: Mapping[str, Any], columns: int) -> None:
    """UnsupportedAttribute when a tree's arrays do not fit each other and the columns."""
    count = int(tree["tree_param"]["num_nodes"])
    for key in (*TREE[:-1], "parents", "split_type"):
        if key in tree and len(tree[key]) != count:
            raise refused(key, f"of a tree has {len(tree[key])} numbers for {count} nodes: the model is damaged.")
    left, right = (np.asarray(tree[key], dtype=np.int64) for key in TREE[:2])
    inner = left >= 0
    at = np.flatnonzero(inner)
    if (left[~inner] != -1).any() or (left >= count).any() or ((right[inner] < 0) | (right[inner] >= count)).any():
        raise refused("left_children", "of a tree points at a node that is not there: the model is damaged.")
    parents = np.asarray(tree.get("parents", []), dtype=np.int64)
    if parents.size and ((parents[left[at]] != at).any() or (parents[right[at]] != at).any()):
        raise refused("parents", "of a tree does not agree with its children: the model is damaged.")
    asked = np.asarray(tree["split_indices"])[inner]
    if ((asked < 0) | (asked >= columns)).any():
        raise refused("split_indices", "of a tree names a column that is not there: the model is damaged.")
    nodes_with = np.asarray(tree.get("categories_nodes", []), dtype=np.int64)
    begin, size = (np.asarray(tree.get(f"categories_{k}", []), dtype=np.int64) for k in ("segments", "sizes"))
    if not len(nodes_with) == len(begin) == len(size) or (
        len(begin)
        and not (
            0 <= nodes_with.min() <= nodes_with.max() < count
            and begin.min() >= 0
            and size.min() >= 0
            and (begin + size).max() <= len(tree["categories"])
            and 0 <= min(tree["categories"], default=0) <= max(tree["categories"], default=0) < MOST_CATEGORIES
        )
    ):
        raise refused("categories", "of a tree do not fit its nodes: the model is damaged.")


def _categories(cats: Mapping[str, Any] | None, columns: int) -> list[list[Any] | None]:
    """Per column the categories that have the codes 0, 1, ..., where the model was fitted on a frame with categories."""
    if not cats or not cats["enc"]:
        return [None] * columns
    _known(cats, ("enc", "feature_segments", "sorted_idx"), "cats")
    return [_category_names(column) for column in cats["enc"]]


def _category_names(column: Mapping[str, Any]) -> list[Any] | None:
    if "offsets" not in column:
        _known(column, ("type", "values"), "cats.enc")
        if not all(isinstance(v, int) for v in column["values"]):
            raise refused("cats", "holds categories that are neither strings nor integers.")
        return list(column["values"])
    _known(column, ("offsets", "values"), "cats.enc")
    offsets, text = column["offsets"], bytes(v & 0xFF for v in column["values"])
    if not offsets:
        return None
    if any(byte > 127 for byte in text):
        return [None] * (len(offsets) - 1)  # XGBoost cuts the names off, as it counts characters where it means bytes
    return [text[a:b].decode("ascii") for a, b in pairwise(offsets)]


def nodes(model: Model, count: int, in_place: bool) -> Nodes:
    """The first `count` trees; in_place: as rows are predicted without a DMatrix (see `_leaf_values`)."""
    trees = model.trees[:count]

    def joined(key: str, dtype: Any) -> Array:
        return np.concatenate([np.asarray(tree[key], dtype=dtype) for tree in trees])

    sizes = [len(tree["left_children"]) for tree in trees]
    left, right = joined("left_children", np.int64), joined("right_children", np.int64)
    category, sets = _category_sets(trees, sizes)
    categorical = category >= 0
    missing_left = joined("default_left", bool)
    return nodes_of(
        sizes,
        np.where(categorical, right, left),  # XGBoost sends the members of a set right
        np.where(categorical, left, right),
        joined("split_indices", np.int64),
        np.where(categorical, 0, joined("split_conditions", np.float32).astype(np.float64)),
        missing_left ^ categorical,
        np.concatenate([_leaf_values(model, t, tree, in_place) for t, tree in enumerate(trees)]).astype(np.float64),
        category if categorical.any() else None,
        sets,
    )


def _leaf_values(model: Model, number: int, tree: Mapping[str, Any], in_place: bool) -> Array:
    """[nodes, 1] or [nodes, g] f32; rows of inner nodes mean nothing.

    DART's weight w multiplies the leaf as XGBoost rounds it: w * ((margin + leaf) - margin) in place, w * leaf for a DMatrix.
    """
    if model.class_ is not None:
        values: Array = np.asarray(tree["split_conditions"], dtype=np.float32)[:, None]
        if model.drop is None:
            return values
        if in_place:
            margin = model.margin[model.class_[number]]
            values = (margin + values) - margin
        weighted: Array = model.drop[number] * values
        return weighted
    if model.drop is not None:
        raise refused("booster", "'dart' with leaves that are vectors is not known.")
    leaves = np.asarray(tree["left_children"]) < 0
    width = int(tree["tree_param"]["size_leaf_vector"])
    values = np.zeros((len(leaves), width), dtype=np.float32)
    weights = np.asarray(tree["leaf_weights"], dtype=np.float32).reshape(-1, width)
    values[leaves] = weights[np.asarray(tree["right_children"])[leaves]]
    return values


def _category_sets(trees: Sequence[Mapping[str, Any]], sizes: Sequence[int]) -> tuple[Array, Array | None]:
    """Per node the number of its set or -1, and the sets' members [S, m]."""
    category = np.full(sum(sizes), -1, dtype=np.int64)
    members: list[list[int]] = []
    origin = 0
    for tree, size in zip(trees, sizes, strict=True):
        for node, begin, count in zip(
            tree.get("categories_nodes", []), tree.get("categories_segments", []), tree.get("categories_sizes", []), strict=True
        ):
            category[origin + node] = len(members)
            members.append(tree["categories"][begin : begin + count])
        split_type = np.asarray(tree.get("split_type", []), dtype=np.int64)
        inner = np.asarray(tree["left_children"]) >= 0
        if split_type.size and ((split_type == 1) & inner != (category[origin : origin + size] >= 0) & inner).any():
            raise refused("split_type", "does not agree with the category sets of its tree.")
        origin += size
    if not members:
        return category, None
    sets = np.zeros((len(members), max((max(m, default=0) for m in members), default=0) + 1), dtype=bool)
    for row, values in zip(sets, members, strict=True):
        row[values] = True
    return category, sets
