"""TreeModel elements, written node by node as strings.

Decisions are exact. A tree that compares in float32 (x32 <= t) is written for doubles: the threshold is the largest double that
rounds to a float32 not above t, so no scorer needs to round. Where missing values go is an explicit predicate of each node, which
scorers agree on, and not a defaultChild, which they do not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from modelport.errors import Unsupported
from modelport.graph import Step

from .blocks import Model, TreeBlock, assemble, regression_table, schema, segmentation
from .expressions import Expression
from .text import attribute, label, number

if TYPE_CHECKING:
    from .fields import Scope

__all__ = ["Forest", "classification", "narrow_limit", "probability_rows", "regression", "widest_double"]

Array = np.ndarray[Any, np.dtype[Any]]
LARGEST = 1.7976931348623157e308
TREE_MODEL = '<TreeModel functionName="{}" missingValueStrategy="none" splitCharacteristic="binarySplit"{}>'
#: an attribute that JPMML-Evaluator and this package know: numbers are float32, and so is every sum of them
SINGLE = {"x-mathContext": "float"}


def widest_double(threshold: Array) -> Array:
    """For float32 thresholds t, the largest double whose float32 rounding is at most t.

    >>> float(np.float32(widest_double(np.array([0.5], np.float32))[0]))
    0.5
    """
    low = threshold.astype(np.float64)
    with np.errstate(over="ignore"):
        high = np.nextafter(threshold, np.float32(np.inf)).astype(np.float64)
    high = np.where(np.isinf(high), 2.0**128, high)
    middle = low + (high - low) / 2
    with np.errstate(over="ignore"):
        kept = middle.astype(np.float32) <= threshold
    return np.where(np.isinf(low), low, np.where(kept, middle, np.nextafter(middle, -np.inf)))


def narrow_limit(threshold: Array, strict: bool) -> Array:
    """For float32 x: the float32 limit with x <= limit where x <= threshold (or, strict, x < threshold)."""
    with np.errstate(over="ignore"):
        limit = threshold.astype(np.float32)
    down = np.nextafter(limit, np.float32(-np.inf))
    above = limit >= threshold if strict else limit > threshold
    return np.where(above & np.isfinite(threshold), down, limit)


class Forest:
    """The arrays of a tree_ensemble step as Python lists, with predicates spelled out but for the field's name.

    rounded are columns that stand for their float32 rounding, narrow those whose field is a float32 itself. Inner node k
    (counted over inner nodes) sends a row left by `left[k]`, right by `right[k]`; each is text around the field name.
    """

    def __init__(self, step: Step, rounded: frozenset[int] = frozenset(), narrow: frozenset[int] = frozenset()) -> None:
        a = step.attributes
        self.step = step
        feature = a["feature"].astype(np.int64)
        self.feature: list[int] = feature.tolist()
        self.starts: list[int] = a["start"].tolist()
        self.ends = [*self.starts[1:], feature.size]
        inner = feature >= 0
        self.rank: list[int] = np.where(inner, np.cumsum(inner) - 1, np.cumsum(~inner) - 1).tolist()
        origin = np.repeat(a["start"].astype(np.int64), np.diff([*self.starts, feature.size]))[inner]
        self.right_child: list[int] = (a["right"].astype(np.int64) + origin).tolist()
        columns = feature[inner]
        self._predicates(a, np.isin(columns, list(rounded)), np.isin(columns, list(narrow)))
        self._leaves(a)

    def _predicates(self, a: Any, rounded: Array, narrow: Array) -> None:
        threshold, strict = a["threshold"], a["cmp"] == "lt"
        single = a["dtype"] == "f32"
        limits = threshold.astype(np.float64)
        inexact = np.full(threshold.size, strict)
        if single or rounded.any() or narrow.any():
            low = narrow_limit(threshold, strict)
            limits = np.where(narrow, low.astype(np.float64), np.where(rounded | single, widest_double(low), limits))
            inexact &= ~(narrow | rounded | single) | np.isinf(threshold)
        missing = a["missing"]
        to_left = a["missing_left"].tolist() if missing == "node" else [missing == "left"] * threshold.size
        category = a["category"].tolist() if "category" in a else [-1] * threshold.size
        if any(s >= 0 for s in category) and (single or rounded.any()):
            raise Unsupported(f"{self.step} compares categories in f32, which PMML cannot: write JSON or ONNX instead.")
        pairs = [
            self._pair(t, less, missing == "error", bool(left), self._members(a, s))
            for t, less, left, s in zip(limits.tolist(), inexact.tolist(), to_left, category, strict=True)
        ]
        self.left = [p for p, _ in pairs]
        self.right = [q for _, q in pairs]

    @staticmethod
    def _members(a: Any, which: int) -> list[int] | None:
        if which < 0:
            return None
        bounds = [*a["set_start"].tolist(), a["set"].size]
        return list(a["set"][bounds[which] : bounds[which + 1]].tolist())

    @staticmethod
    def _pair(
        threshold: float, strict: bool, refuse_missing: bool, missing_left: bool, members: list[int] | None
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The predicates of the two children as text pieces; the field's name goes between the pieces."""
        if members is not None:
            array = f'<Array type="int" n="{len(members)}">{" ".join(map(str, members))}</Array>'
            go: tuple[str, ...] = ('<SimpleSetPredicate field="', f'" booleanOperator="isIn">{array}</SimpleSetPredicate>')
            stay: tuple[str, ...] = ('<SimpleSetPredicate field="', f'" booleanOperator="isNotIn">{array}</SimpleSetPredicate>')
            if not members:
                go, stay = ("<False/>",), _simple("isNotMissing")
        elif math.isinf(threshold):
            go, stay = _infinite(threshold, strict)
        else:
            go = _simple("lessThan" if strict else "lessOrEqual", threshold)
            stay = _simple("greaterOrEqual" if strict else "greaterThan", threshold)
        if refuse_missing:
            return go, stay
        return (_or_missing(go) if missing_left else go), ("<True/>",)

    def _leaves(self, a: Any) -> None:
        width = a["leaf_width"]
        if "leaf_table" in a:
            table = a["leaf_table"].reshape(-1, width)
            self.leaf_row: list[int] = a["leaf"].tolist()
        else:
            rows = a["leaf"].reshape(-1, width)
            table, inverse = np.unique(rows, axis=0, return_inverse=True) if width > 1 else (rows, np.arange(len(rows)))
            self.leaf_row = inverse.ravel().tolist()
        self.table: Array = table

    def write(self, tree: int, names: dict[int, str], leaves: Sequence[tuple[str, str]], parts: list[str]) -> None:
        """Append the nodes of a tree; `leaves` holds, per row of the table, the score and what follows the predicate."""
        begin, end = self.starts[tree], self.ends[tree]
        predicate = [""] * (end - begin + 1)
        predicate[0] = "<True/>"
        open_children: list[int] = []
        for i in range(begin, end):
            column, k = self.feature[i], self.rank[i]
            if column >= 0:
                name = names[column]
                predicate[i - begin + 1] = name.join(self.left[k])
                predicate[self.right_child[k] - begin] = name.join(self.right[k])
                parts.append(f"<Node>{predicate[i - begin]}")
                open_children.append(2)
                continue
            score, rest = leaves[self.leaf_row[k]]
            parts.append(f'<Node score="{score}">{predicate[i - begin]}{rest}</Node>')
            while open_children:
                open_children[-1] -= 1
                if open_children[-1]:
                    break
                open_children.pop()
                parts.append("</Node>")

    def columns_of(self, tree: int) -> list[int]:
        """The columns a tree reads, ascending."""
        return sorted({f for f in self.feature[self.starts[tree] : self.ends[tree]] if f >= 0})


def _simple(operator: str, value: float | None = None) -> tuple[str, ...]:
    operand = "" if value is None else f' value="{number(value)}"'
    return '<SimplePredicate field="', f'" operator="{operator}"{operand}/>'


def _or_missing(go: tuple[str, ...]) -> tuple[str, ...]:
    """The predicate, or that the field is missing."""
    if len(go) == 1:
        return _simple("isMissing")
    before, after = go
    opening = '<CompoundPredicate booleanOperator="or"><SimplePredicate field="'
    return opening, f'" operator="isMissing"/>{before}', f"{after}</CompoundPredicate>"


def _infinite(threshold: float, strict: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Comparisons with an infinite threshold, which PMML cannot spell."""
    if threshold > 0:
        return (
            (_simple("lessOrEqual", LARGEST), _simple("greaterThan", LARGEST))
            if strict
            else (_simple("isNotMissing"), ("<False/>",))
        )
    if strict:
        return ("<False/>",), _simple("isNotMissing")
    return _simple("lessThan", -LARGEST), _simple("greaterOrEqual", -LARGEST)


# --- ensembles ----------------------------------------------------------------------------------------------------------------


def _tree_models(
    forest: Forest,
    trees: Sequence[int],
    inputs: dict[int, Expression],
    scope: Scope,
    kind: str,
    leaves: Sequence[tuple[str, str]],
    single: bool = False,
) -> list[str]:
    """TreeModel elements, each with a MiningSchema of the fields it reads."""
    names = {column: attribute(scope.field(x)) for column, x in inputs.items()}
    needs = {column: scope.visible(x) for column, x in inputs.items()}
    models = []
    for tree in trees:
        active = dict.fromkeys(name for column in forest.columns_of(tree) for name in needs[column])
        context = ' x-mathContext="float"' if single else ""
        parts = [TREE_MODEL.format(kind, context), schema(scope.listed(active))]
        forest.write(tree, names, leaves, parts)
        parts.append("</TreeModel>")
        models.append("".join(parts))
    return models


def _lone(model: str, kind: str) -> Model:
    """A lone TreeModel as a Model: what follows its MiningSchema is its content."""
    content = model.partition("</MiningSchema>")[2].removesuffix("</TreeModel>")
    attributes = {"functionName": kind, "missingValueStrategy": "none", "splitCharacteristic": "binarySplit"}
    return Model("TreeModel", attributes, [content])


def regression(block: TreeBlock, scope: Scope) -> Model:
    """One column of an ensemble as a regression model.

    An initial value is a first segment of its own, so that the sum runs in the order of the graph.
    """
    a = block.step.attributes
    forest = block.forest
    column = 0 if "class" in a else block.column
    trees = [t for t in range(len(forest.starts)) if "class" not in a or int(a["class"][t]) == block.column]
    leaves = [(number(v), "") for v in forest.table[:, column].tolist()]
    single = block.type == "float"
    models = _tree_models(forest, trees, block.columns, scope, "regression", leaves, single)
    first = _start(block, scope)
    if first is not None and not models:
        return first
    if first is not None:
        first.attributes.update(SINGLE if single else {})
        needs = scope.visible(block.start) if isinstance(block.start, Expression) else []
        models.insert(0, assemble(first, schema(scope.listed(needs)), "", ""))
    if len(models) == 1:
        return _lone(models[0], "regression")
    method = "average" if block.average else "sum"
    attributes = {"functionName": "regression", **(SINGLE if single else {})}
    return Model("MiningModel", attributes, [segmentation(models, method)])


def _start(block: TreeBlock, scope: Scope) -> Model | None:
    if isinstance(block.start, Expression):
        return Model("RegressionModel", {"functionName": "regression"}, [regression_table(scope, [(block.start, 1.0)], 0.0)])
    empty = "class" in block.step.attributes and block.column not in block.step.attributes["class"].tolist()
    if not block.start and not empty:
        return None
    return Model("RegressionModel", {"functionName": "regression"}, [regression_table(scope, [], float(block.start or 0.0))])


def probability_rows(step: Step) -> bool:
    """Are the leaves of the ensemble rows of probabilities?"""
    a = step.attributes
    rows = (a["leaf_table"] if "leaf_table" in a else a["leaf"]).reshape(-1, a["leaf_width"]).astype(float)
    return a["leaf_width"] > 1 and bool((rows >= 0).all() and (np.abs(rows.sum(axis=1) - 1.0) < 1e-6).all())


def classification(forest: Forest, inputs: dict[int, Expression], scope: Scope, classes: Sequence[Any]) -> Model:
    """An ensemble whose leaves are rows of probabilities as a classification model: the mean of its trees."""
    spelled = [attribute(label(c)) for c in classes]
    leaves = [(spelled[int(row.argmax())], _distribution(row.tolist(), spelled)) for row in forest.table]
    models = _tree_models(forest, range(len(forest.starts)), inputs, scope, "classification", leaves)
    if len(models) == 1:
        return _lone(models[0], "classification")
    return Model("MiningModel", {"functionName": "classification"}, [segmentation(models, "average")])


def _distribution(row: list[float], spelled: Sequence[str]) -> str:
    """ScoreDistributions that give exactly these probabilities.

    Record counts whose quotients are the probabilities are best: every scorer computes count / total. Where none are found,
    the probabilities stand beside the counts.
    """
    counts = record_counts(row)
    if counts is not None:
        return "".join(f'<ScoreDistribution value="{c}" recordCount="{k}"/>' for c, k in zip(spelled, counts, strict=True))
    parts = []
    for c, p in zip(spelled, row, strict=True):
        probability = "" if sum(row) == 1.0 else f' probability="{number(p)}"'
        parts.append(f'<ScoreDistribution value="{c}" recordCount="{number(p)}"{probability}/>')
    return "".join(parts)


def record_counts(row: list[float]) -> list[int] | None:
    """Whole numbers k with k / sum(k) equal to the row in every bit, or None.

    >>> record_counts([0.0, 1.0]), record_counts([1 / 3, 2 / 3]), record_counts([0.1234567890123, 0.8765432109877])
    ([0, 1], [1, 2], None)
    """
    total = 1
    for p in row:
        total = math.lcm(total, Fraction(p).limit_denominator(1_000_000).denominator)
        if total > 1_000_000_000:
            return None
    counts = [round(p * total) for p in row]
    whole = sum(counts)
    return counts if whole and all(k / whole == p for k, p in zip(counts, row, strict=True)) else None
