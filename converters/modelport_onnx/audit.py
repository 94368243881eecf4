"""What a model is held against before onnxruntime sees it: some releases crash or hang where a tree ensemble is broken."""

from __future__ import annotations

from typing import Any

import numpy as np

from modelport.errors import ArtifactError

from .proto import imported, nodes, tensors

__all__ = ["DEEPEST", "check_trees", "drop_empty_inputs", "refuse_external"]

Array = np.ndarray[Any, np.dtype[Any]]

#: onnxruntime reads trees by recursion: some 10,000 levels fit into a stack of 8 MB, which is the most a thread usually has.
DEEPEST = 5_000
OLDER = ("TreeEnsembleRegressor", "TreeEnsembleClassifier")


def refuse_external(model: Any) -> None:
    """Refuse tensors that live in other files: an artifact is one file, and a path in it could name any file."""
    external = imported("onnx").TensorProto.EXTERNAL
    for tensor in tensors(model):
        if tensor.data_location == external or tensor.external_data:
            raise ArtifactError(
                f"The ONNX model keeps the tensor {tensor.name!r} in another file: save it with its data inside, as one file."
            )


def drop_empty_inputs(model: Any) -> bool:
    """Leave out inputs at the end of a node's list that are not given; whether there were any.

    To name them "" means the same, and onnxruntime crashes where a LayerNormalization does.
    """
    changed = False
    for node in nodes(model):
        while node.input and not node.input[-1]:
            del node.input[-1]
            changed = True
    return changed


def check_trees(model: Any) -> None:
    """Refuse tree ensembles that refer to what is not there, that go round in circles or that are too deep."""
    for node in nodes(model):
        if node.domain == "ai.onnx.ml" and (node.op_type == "TreeEnsemble" or node.op_type in OLDER):
            attributes = {a.name: a for a in node.attribute}
            problem = _current(attributes) if node.op_type == "TreeEnsemble" else _older(attributes)
            if problem:
                raise ArtifactError(f"The tree ensemble {node.name or node.op_type!r} of the ONNX model is broken: {problem}.")


def _ints(attributes: dict[str, Any], name: str) -> Array:
    found = attributes.get(name)
    return np.fromiter(found.ints, dtype=np.int64, count=len(found.ints)) if found is not None else np.zeros(0, dtype=np.int64)


def _within(values: Array, end: int) -> bool:
    return bool(((values >= 0) & (values < end)).all())


def _current(attributes: dict[str, Any]) -> str | None:
    """What is wrong with a TreeEnsemble (ai.onnx.ml 5), or None."""
    feature, target, roots = (_ints(attributes, name) for name in ("nodes_featureids", "leaf_targetids", "tree_roots"))
    children, leaf = [], []
    for side in ("true", "false"):
        children.append(_ints(attributes, f"nodes_{side}nodeids"))
        leaf.append(_ints(attributes, f"nodes_{side}leafs") != 0)
    branches = len(feature)
    if any(len(values) != branches for values in (*children, *leaf)):
        return "its node attributes differ in length"
    targets = attributes["n_targets"].i if "n_targets" in attributes else 0
    if not len(roots) or not _within(roots, branches) or not _within(target, targets) or not (feature >= 0).all():
        return "a root, a feature or a target is not there"
    for ids, is_leaf in zip(children, leaf, strict=True):
        if not _within(ids[is_leaf], len(target)) or not _within(ids[~is_leaf], branches):
            return "a child is not there"
    return _depth_problem([np.where(is_leaf, -1, ids) for ids, is_leaf in zip(children, leaf, strict=True)])


def _older(attributes: dict[str, Any]) -> str | None:
    """What is wrong with a TreeEnsembleRegressor or TreeEnsembleClassifier, or None."""
    tree, number, feature = (_ints(attributes, f"nodes_{name}") for name in ("treeids", "nodeids", "featureids"))
    modes: list[bytes] = list(attributes["nodes_modes"].strings) if "nodes_modes" in attributes else []
    children = [_ints(attributes, f"nodes_{side}nodeids") for side in ("true", "false")]
    if not len(tree) or {len(number), len(feature), len(modes), *map(len, children)} != {len(tree)}:
        return "its node attributes are missing or differ in length"
    if not _within(tree, 1 << 31) or not _within(number, 1 << 31) or not (feature >= 0).all():
        return "a number is negative or too large"
    keys = tree << 31 | number
    order = np.argsort(keys, kind="stable")
    ascending = keys[order]
    if (ascending[1:] == ascending[:-1]).any():
        return "two nodes have the same number"

    def found(trees: Array, numbers: Array) -> Array:
        """The position of each node, -1 where there is none."""
        wanted = trees << 31 | numbers
        place = np.minimum(np.searchsorted(ascending, wanted), len(ascending) - 1)
        return np.where((ascending[place] == wanted) & _each_within(numbers) & _each_within(trees), order[place], -1)

    leaf = np.array([mode == b"LEAF" for mode in modes])
    places = [np.where(leaf, -1, found(tree, ids)) for ids in children]
    if any((place[~leaf] < 0).any() for place in places):
        return "a child is not there"
    kind = "target" if "target_ids" in attributes else "class"
    added = [_ints(attributes, f"{kind}_{name}") for name in ("treeids", "nodeids", "ids")]
    if len({len(values) for values in added}) != 1 or (found(added[0], added[1]) < 0).any():
        return "a leaf is not there"
    if not _within(added[2], _outputs(attributes)):
        return "a target is not there"
    return _depth_problem(places)


def _each_within(values: Array) -> Array:
    return (values >= 0) & (values < 1 << 31)


def _outputs(attributes: dict[str, Any]) -> int:
    """Number of targets, or of classes."""
    if "n_targets" in attributes:
        return int(attributes["n_targets"].i)
    labels = [attributes[name] for name in ("classlabels_int64s", "classlabels_strings") if name in attributes]
    return max((len(label.ints) + len(label.strings) for label in labels), default=0)


def _depth_problem(children: list[Array]) -> str | None:
    """Whether following the children (-1: none) of n nodes ends, and soon enough; parents are taken off before their children."""
    parents = np.bincount(np.concatenate([c[c >= 0] for c in children]), minlength=len(children[0]))
    level, left = np.flatnonzero(parents == 0), len(children[0])
    for _ in range(DEEPEST):
        left -= len(level)
        if not len(level):
            break
        below = np.concatenate([c[level] for c in children])
        reached, times = np.unique(below[below >= 0], return_counts=True)
        parents[reached] -= times
        level = reached[parents[reached] == 0]
    return f"its branches go round in circles, or are more than {DEEPEST} levels deep" if left else None
