"""The saved form of a LightGBM model (`model_to_string()`), parsed strictly: a key that is not known is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from modelport_sklearn.builder import Array

from modelport.errors import UnsupportedAttribute

HEADER = (
    "version num_class num_tree_per_iteration label_index max_feature_idx objective average_output feature_names "
    "monotone_constraints feature_infos tree_sizes"
).split()
TREE = (
    "num_leaves num_cat split_feature split_gain threshold decision_type left_child right_child leaf_value leaf_weight "
    "leaf_count internal_value internal_weight internal_count cat_boundaries cat_threshold is_linear leaf_const "
    "num_features leaf_features leaf_coeff shrinkage"
).split()
#: objective -> (how a raw score becomes a prediction, the parameters its line may have)
OBJECTIVES: dict[str, tuple[str, tuple[str, ...]]] = {
    "regression": ("identity", ("sqrt",)),
    "regression_l1": ("identity", ("sqrt",)),
    "huber": ("identity", ("sqrt",)),
    "fair": ("identity", ("sqrt",)),
    "quantile": ("identity", ("sqrt", "alpha")),
    "mape": ("identity", ("sqrt",)),
    "poisson": ("exp", ()),
    "gamma": ("exp", ()),
    "tweedie": ("exp", ("tweedie_variance_power",)),
    "binary": ("sigmoid", ("sigmoid",)),
    "multiclass": ("softmax", ("num_class",)),
    "multiclassova": ("sigmoid", ("num_class", "sigmoid")),
    "cross_entropy": ("sigmoid", ()),
    "cross_entropy_lambda": ("softplus", ()),
    "lambdarank": ("identity", ()),
    "rank_xendcg": ("identity", ()),
    "custom": ("identity", ()),
    "none": ("identity", ()),
}


@dataclass(frozen=True)
class Tree:
    """One tree: inner nodes 0..n-1 (children >= 0, or ~leaf), n+1 leaves.

    feature, threshold, decision, left, right [n]; value [n+1]; sets: members of the category sets, which the threshold of a
    categorical node numbers; linear: per leaf (constant, features, coefficients), or None.
    """

    feature: Array
    threshold: Array
    decision: Array
    left: Array
    right: Array
    value: Array
    sets: Sequence[Array]
    linear: Sequence[tuple[float, list[int], list[float]]] | None


@dataclass(frozen=True)
class Model:
    """A parsed model: trees in order, `outputs` of them per iteration; average: the sums are divided by the iterations.

    rule and parameters: how a raw score becomes a prediction. categories: those of the categorical columns of the frame it was
    fitted on, in column order.
    """

    columns: int
    outputs: int
    trees: Sequence[Tree]
    average: bool
    rule: str
    parameters: Mapping[str, str]
    categories: Sequence[Sequence[Any]]


def refused(attribute: str, why: str) -> UnsupportedAttribute:
    """The error for a part of a model that cannot be exported (raise it)."""
    return UnsupportedAttribute(f"LightGBM model: {attribute} {why}", attribute)


def parse(booster: Any) -> Model:
    """The model in a Booster, up to its best iteration if it knows one: the trees that predict asks."""
    return parse_text(booster.model_to_string())


def parse_text(text: str) -> Model:
    """The model in the text of a saved file. ValueError or KeyError when it is damaged."""
    body, mark, end = text.partition("end of trees")
    if not mark:
        raise ValueError("it ends early")
    head, *parts = body.split("\nTree=")
    header = _fields(head, HEADER, "the header", flags=("tree", "average_output"))
    if header["version"] not in ("v3", "v4"):
        raise refused("version", f"is {header['version']!r}, and v3 and v4 are known.")
    rule, parameters = _objective(header.get("objective") or "none")
    model = Model(
        columns=int(header["max_feature_idx"]) + 1,
        outputs=int(header["num_tree_per_iteration"]),
        trees=[_tree(part.partition("\n")[2]) for part in parts],
        average="average_output" in header,
        rule=rule,
        parameters=parameters,
        categories=_categories(end),
    )
    sizes = [int(size) for size in header["tree_sizes"].split()]
    starts = np.cumsum([len(head.encode()) + 1, *sizes]).tolist()
    whole = body.encode()
    if len(sizes) != len(parts) or any(whole[i : i + 5] != b"Tree=" for i in starts[:-1]):
        raise ValueError("its trees are not where its tree_sizes say")
    if model.outputs < 1 or len(parts) % model.outputs:
        raise ValueError(f"it has {len(parts)} trees for {model.outputs} outputs")
    if any((tree.feature < 0).any() or (tree.feature >= model.columns).any() for tree in model.trees):
        raise ValueError("a node asks for a column that is not there")
    return model


def _fields(text: str, known: Sequence[str], where: str, flags: Sequence[str] = ()) -> dict[str, str]:
    """The lines `key=value`, and flags, which stand alone."""
    found: dict[str, str] = {}
    for line in filter(None, text.splitlines()):
        key, equal, value = line.partition("=")
        if (not equal and key not in flags) or (equal and key not in known):
            raise refused(key, f"is a key of {where} that this version does not know, so the export could be wrong.")
        found[key] = value
    return found


def _objective(line: str) -> tuple[str, dict[str, str]]:
    name, *rest = line.split()
    if name not in OBJECTIVES:
        raise refused("objective", f"{name!r} is not known, nor how its score becomes a prediction.")
    rule, known = OBJECTIVES[name]
    parameters = {word.partition(":")[0]: word.partition(":")[2] for word in rest}
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise refused("objective", f"{name!r} has the parameter {unknown[0]!r}, which is not known.")
    return "signed_square" if "sqrt" in parameters else rule, parameters


def _categories(end: str) -> list[list[Any]]:
    for line in reversed(end.splitlines()):
        if line.startswith("pandas_categorical:"):
            return json.loads(line.partition(":")[2]) or []
    return []


#: what a tree has once per inner node, and once per leaf
PER_NODE = (
    "split_feature split_gain threshold decision_type left_child right_child internal_value internal_weight internal_count"
).split()
PER_LEAF = "leaf_value leaf_weight leaf_count leaf_const num_features".split()


def _tree(text: str) -> Tree:
    fields = _fields(text, TREE, "a tree")
    leaves = int(fields["num_leaves"])

    def numbers(key: str, dtype: Any) -> Array:
        return np.array(fields.get(key, "").split(), dtype=dtype)

    for names, count in ((PER_NODE, leaves - 1), (PER_LEAF, leaves)):
        wrong = [key for key in names if key in fields and len(fields[key].split()) not in (count, 0 if leaves == 1 else count)]
        if wrong:
            raise ValueError(f"{wrong[0]} of a tree has not {count} numbers")
    bounds, words = numbers("cat_boundaries", np.int64), numbers("cat_threshold", np.uint32)
    if bounds.size != int(fields["num_cat"]) + (int(fields["num_cat"]) > 0):
        raise ValueError("cat_boundaries of a tree do not fit its num_cat")
    if bounds.size and (bounds[0] != 0 or np.any(np.diff(bounds) < 0) or bounds[-1] != words.size):
        raise ValueError("cat_boundaries of a tree do not fit its cat_threshold")
    tree = Tree(
        feature=numbers("split_feature", np.int64),
        threshold=numbers("threshold", np.float64),
        decision=numbers("decision_type", np.int64),
        left=numbers("left_child", np.int64),
        right=numbers("right_child", np.int64),
        value=numbers("leaf_value", np.float64),
        sets=[_members(words[a:b]) for a, b in pairwise(bounds.tolist())],
        linear=_linear(fields, leaves) if fields.get("is_linear", "0") == "1" else None,
    )
    _check_tree(tree, leaves)
    return tree


def _check_tree(tree: Tree, leaves: int) -> None:
    inner = leaves - 1
    arrays = (tree.feature, tree.threshold, tree.decision, tree.left, tree.right)
    if leaves < 1 or len(tree.value) != leaves or any(len(a) != inner for a in arrays):
        raise ValueError("a tree has not the numbers it needs")
    children = np.concatenate([tree.left, tree.right])
    if (children >= inner).any() or (children < -leaves).any():
        raise ValueError("a tree points at a node it does not have")
    numbers = tree.threshold[tree.decision & 1 == 1]
    if numbers.size and not (numbers.min() >= 0 and numbers.max() < len(tree.sets)):
        raise ValueError("a node names a category set that is not there")


def _members(words: Array) -> Array:
    """The numbers in a bit set of 32-bit words."""
    return np.flatnonzero(np.unpackbits(words.astype("<u4").view(np.uint8), bitorder="little"))


def _linear(fields: Mapping[str, str], leaves: int) -> list[tuple[float, list[int], list[float]]]:
    constants = [float(v) for v in fields["leaf_const"].split()]
    counts = [int(v) for v in fields["num_features"].split()]
    features, coefficients = fields.get("leaf_features", "").split(), fields.get("leaf_coeff", "").split()
    if not len(constants) == len(counts) == leaves or not len(features) == len(coefficients) == sum(counts):
        raise refused("leaf_coeff", "does not agree with the number of leaves: the model is damaged.")
    found, at = [], 0
    for constant, count in zip(constants, counts, strict=True):
        part = slice(at, at + count)
        found.append((constant, [int(v) for v in features[part]], [float(v) for v in coefficients[part]]))
        at += count
    return found
