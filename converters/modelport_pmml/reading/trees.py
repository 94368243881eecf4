"""TreeModels as one tree_ensemble.

A PMML node tries its children in order; each test becomes a binary node whose "no" leads to the next test. What happens to
a missing value follows the model's strategy, or the explicit tests for missing values that the nodes make.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from modelport.errors import ArtifactError, Unsupported

from ..parse import Element, Node
from .build import Builder, Column, Vector
from .scope import Scope
from .texts import array_items, boolean_text, number_text

__all__ = ["Forest"]

Array = np.ndarray[Any, np.dtype[Any]]
STRATEGIES = ("none", "defaultChild", "nullPrediction", "lastPrediction")
COMPLEMENT = {
    "lessOrEqual": "greaterThan",
    "greaterThan": "lessOrEqual",
    "lessThan": "greaterOrEqual",
    "greaterOrEqual": "lessThan",
}
#: binary nodes per PMML node, and for every tree
GROWTH, SPARE = 16, 1000
LARGEST_INTEGER = 2**53

# What is left to be done at a place of a tree: a tuple whose first element says what.
#   ("node", node)            the node holds: its children are tried
#   ("next", node, i)         children from i on are tried
#   ("own", node)             the node's own score
#   ("null",)                 no prediction
#   ("test", predicate, yes, no, missing)
Task = tuple[Any, ...]
NULL: Task = ("null",)


class Leaves:
    """Distinct rows of leaf values.

    A classification leaf is the probabilities of the classes, then the position of the node's score among them; a regression leaf
    is one number.
    """

    def __init__(self, classes: Sequence[str] | None) -> None:
        self.classes = {c: i for i, c in enumerate(classes)} if classes is not None else None
        self.width = 1 if classes is None else len(self.classes or ()) + 1
        self.rows: list[tuple[float, ...]] = []
        self.has_null = False
        self.all_distributed = True
        self._known: dict[Any, int] = {}
        self._numbers = {_number_or_text(c): i for c, i in (self.classes or {}).items()}

    def of(self, node: Node) -> int:
        """The row of a node's score."""
        key = (node.score, node.counts)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = len(self.rows)
            self.rows.append(self._row(node))
        return found

    def null(self) -> int:
        """The row of no prediction."""
        self.has_null = True
        if None not in self._known:
            self._known[None] = len(self.rows)
            self.rows.append((math.nan,) * self.width)
        return self._known[None]

    def _row(self, node: Node) -> tuple[float, ...]:
        if node.score is None and not node.counts:
            self.has_null = True
            return (math.nan,) * self.width
        if self.classes is None:
            return (number_text(node.score, "A Node's score"),)
        shares = self._shares(node)
        if node.score is not None:
            return (*shares, float(self._position(node.score)))
        return (*shares, float(int(np.argmax(shares))))

    def _shares(self, node: Node) -> list[float]:
        shares = [0.0] * (self.width - 1)
        if not node.counts:
            self.all_distributed = False
            shares[self._position(str(node.score))] = 1.0
            return shares
        given = [p for _, _, p in node.counts]
        if any(p is not None for p in given):
            numbers = [number_text(p, "A ScoreDistribution's probability") for p in given]
        else:
            counts = [number_text(n, "A ScoreDistribution's recordCount") for _, n, _ in node.counts]
            total = _ascending(counts)
            if not total > 0:
                raise ArtifactError("The ScoreDistributions of a Node have no records.")
            numbers = [n / total for n in counts]
        for (value, _, _), share in zip(node.counts, numbers, strict=True):
            shares[self._position(value)] = share
        return shares

    def _position(self, value: str) -> int:
        assert self.classes is not None, "only classifications have classes"
        found = self.classes.get(value)
        if found is None:
            found = self._numbers.get(_number_or_text(value))
        if found is None:
            raise ArtifactError(f"A Node's score {value!r} is none of the target's values.")
        return found


def _ascending(numbers: Sequence[float]) -> float:
    total = 0.0
    for n in numbers:
        total += n
    return total


def _as_field(number: float, source: Column) -> float:
    """A number that a field is compared with, in the field's dataType."""
    if not source.vector.single:
        return number
    with np.errstate(over="ignore"):
        return float(np.float32(number))


def _number_or_text(value: str) -> Any:
    try:
        return float(value)
    except ValueError:
        return value


class Forest:
    """Collects TreeModels whose leaves are alike, and adds them to a graph as one step."""

    def __init__(self, builder: Builder, scope: Scope, classes: Sequence[str] | None) -> None:
        self.builder = builder
        self.scope = scope
        self.leaves = Leaves(classes)
        self.start: list[int] = []
        self.feature: list[int] = []
        self.threshold: list[float] = []
        self.right: list[int] = []
        self.missing_left: list[int] = []
        self.category: list[int] = []
        self.sets: dict[tuple[int, ...], int] = {}
        self.leaf: list[int] = []
        self._budget = 0
        self._columns: dict[str, int] = {}
        self._sources: list[Column] = []
        #: feature number -> the code of each of its strings
        self._codes: dict[int, dict[str, int]] = {}

    # --- adding trees ---------------------------------------------------------------------------------------------------------

    def add(self, model: Element, scope: Scope) -> None:
        """Add one TreeModel, whose fields are found in `scope`."""
        self.scope = scope
        self.strategy = model.get("missingValueStrategy", "none") or "none"
        if self.strategy not in STRATEGIES:
            raise Unsupported(
                f"A TreeModel has missingValueStrategy={self.strategy!r}; this reader knows {', '.join(STRATEGIES)}."
            )
        last = model.get("noTrueChildStrategy", "returnNullPrediction") == "returnLastPrediction"
        self.no_true_child = "own" if last else "null"
        roots = [c for c in model.children if isinstance(c, Node)]
        if len(roots) != 1:
            raise ArtifactError(f"A TreeModel has {len(roots)} root nodes; it has one.")
        self.start.append(len(self.feature))
        self._budget += SPARE + GROWTH * _count(roots[0])
        self._grow(roots[0])

    def constant(self, value: float) -> None:
        """Add a tree that is one leaf."""
        node = Node({"score": repr(value)})
        self.start.append(len(self.feature))
        self._put_leaf(self.leaves.of(node))

    def _grow(self, root: Node) -> None:
        """Write the tree in preorder; the stack holds tasks, and inner nodes that wait for their right child."""
        origin = len(self.feature)
        stack: list[Any] = [self._task(root.predicate, ("node", root), NULL, NULL)]
        while stack:
            task = stack.pop()
            if isinstance(task, int):
                self.right[task] = len(self.feature) - origin
                continue
            while task[0] in ("node", "next"):
                task = self._resolve(task)
            if task[0] == "test":
                self._split(task, stack)
            else:
                self._put_leaf(self.leaves.null() if task[0] == "null" else self.leaves.of(task[1]))
            if len(self.feature) > self._budget:
                raise ArtifactError("The predicates of a tree are combined in too many ways.")

    def _put_leaf(self, row: int) -> None:
        self.feature.append(-1)
        self.leaf.append(row)

    def _resolve(self, task: Task) -> Task:
        """One step closer to a test or a leaf."""
        node: Node = task[1]
        if task[0] == "node" and not node.children:
            return ("own", node)
        i = 0 if task[0] == "node" else task[2]
        if i == len(node.children):
            return ("own", node) if self.no_true_child == "own" else NULL
        child = node.children[i]
        no: Task = ("next", node, i + 1)
        after = no
        if i + 1 < len(node.children) and _complements(child.predicate, node.children[i + 1].predicate):
            no = ("node", node.children[i + 1])
            after = ("next", node, i + 2)
        return self._task(child.predicate, ("node", child), no, self._when_missing(node, after))

    def _when_missing(self, node: Node, after: Task) -> Task:
        """Where a value goes that is missing when a child's predicate asks for it."""
        if self.strategy == "none":
            return after
        if self.strategy == "nullPrediction":
            return NULL
        if self.strategy == "lastPrediction":
            return ("own", node)
        wanted = (node.attributes or {}).get("defaultChild")
        for child in node.children:
            if wanted is not None and (child.attributes or {}).get("id") == wanted:
                return ("node", child)
        raise ArtifactError("A Node has no defaultChild among its children, though its TreeModel's missing values go there.")

    # --- predicates -----------------------------------------------------------------------------------------------------------

    def _task(self, predicate: Any, yes: Task, no: Task, missing: Task) -> Task:
        """The task that a predicate stands for."""
        if isinstance(predicate, tuple):
            return ("test", predicate, yes, no, missing)
        if predicate is None:
            raise ArtifactError("A Node has no predicate.")
        if predicate.tag == "True":
            return yes
        if predicate.tag == "False":
            return no
        if predicate.tag == "SimplePredicate":
            return ("test", (predicate.get("operator"), predicate.get("field"), predicate.get("value")), yes, no, missing)
        if predicate.tag == "SimpleSetPredicate":
            return self._set_task(predicate, yes, no, missing)
        if predicate.tag == "CompoundPredicate":
            return self._compound(predicate, yes, no, missing)
        raise Unsupported(f"The predicate {predicate.tag} is not known to this reader.")

    def _set_task(self, predicate: Element, yes: Task, no: Task, missing: Task) -> Task:
        values = array_items(predicate.require("Array"))
        operator = predicate.need("booleanOperator")
        if operator not in ("isIn", "isNotIn"):
            raise ArtifactError(f"A SimpleSetPredicate has booleanOperator={operator!r}; it is isIn or isNotIn.")
        if operator == "isNotIn":
            yes, no = no, yes
        return ("test", ("among", predicate.need("field"), tuple(values)), yes, no, missing)

    def _compound(self, predicate: Element, yes: Task, no: Task, missing: Task) -> Task:
        """and, or, surrogate of predicates. Where strategies decide about missing values, only surrogate has a meaning here."""
        operator, parts = predicate.need("booleanOperator"), predicate.content()
        if operator == "surrogate":
            result = missing
            for part in reversed(parts):
                result = self._task(part, yes, no, result)
            return result
        if operator not in ("and", "or", "xor"):
            raise ArtifactError(f"A CompoundPredicate has booleanOperator={operator!r}; it is and, or, xor or surrogate.")
        if len(parts) == 2 and operator != "xor" and _guards(parts[0], parts[1], operator):
            return self._task(parts[1], yes, no, yes if operator == "or" else no)
        if operator == "xor":
            return self._odd(parts, yes, no, missing)
        if missing is no:  # what is unknown counts as what is false
            result = yes if operator == "and" else no
            for part in reversed(parts):
                result = self._task(part, result, no, no) if operator == "and" else self._task(part, yes, result, result)
            return result
        return self._logic(operator, parts, yes, no, missing)

    def _logic(self, operator: str, parts: Sequence[Any], yes: Task, no: Task, missing: Task) -> Task:
        """and, or, where a part that is unknown makes the whole unknown, unless another part decides."""
        through, unknown = (yes, missing) if operator == "and" else (no, missing)
        for part in reversed(parts):
            if operator == "and":
                through, unknown = self._task(part, through, no, unknown), self._task(part, unknown, no, unknown)
            else:
                through, unknown = self._task(part, yes, through, unknown), self._task(part, yes, unknown, unknown)
        return through

    def _odd(self, parts: Sequence[Any], yes: Task, no: Task, missing: Task) -> Task:
        """xor: an odd number of parts is true; unknown where one of them is."""
        odd, even = yes, no
        for part in reversed(parts):
            odd, even = self._task(part, even, odd, missing), self._task(part, odd, even, missing)
        return even

    # --- splits ---------------------------------------------------------------------------------------------------------------

    def _split(self, task: Task, stack: list[Any]) -> None:
        """Write a test as a binary node, or put simpler tests in its place on the stack."""
        _, (operator, name, value), yes, no, missing = task
        if name is None or operator is None:
            raise ArtifactError("A SimplePredicate lacks its field or its operator.")
        source = self.scope.column(name)
        nullable = source.vector.nullable or source.vector.known is not None
        if operator in ("isMissing", "isNotMissing"):
            absent, present = (yes, no) if operator == "isMissing" else (no, yes)
            if not nullable:
                stack.append(present)
            else:
                self._inner(name, math.inf, False, present, absent, stack)
            return
        if nullable and missing != yes and missing != no:
            known = ("test", (operator, name, value), yes, no, no)
            self._inner(name, math.inf, False, known, missing, stack)
            return
        to_yes = nullable and missing == yes
        if operator in ("equal", "notEqual", "among"):
            self._equality(operator, name, value, yes, no, to_yes, source, stack)
            return
        if source.kind != "number":
            raise ArtifactError(f"A SimplePredicate compares the field {name!r}, which holds no numbers, with {operator!r}.")
        limit = _as_field(number_text(value, "A SimplePredicate's value"), source)
        if limit != limit:
            raise ArtifactError("A SimplePredicate compares with NaN.")
        below = limit if operator in ("lessOrEqual", "greaterThan") else math.nextafter(limit, -math.inf)
        if operator in ("lessOrEqual", "lessThan"):
            self._inner(name, below, to_yes, yes, no, stack)
        elif operator in ("greaterThan", "greaterOrEqual"):
            self._inner(name, below, not to_yes, no, yes, stack)
        else:
            raise ArtifactError(f"A SimplePredicate has the unknown operator {operator!r}.")

    def _equality(
        self, operator: str, name: str, value: Any, yes: Task, no: Task, to_yes: bool, source: Column, stack: list[Any]
    ) -> None:
        """Membership in a set of codes (strings) or of whole numbers; other numbers are compared from both sides."""
        wanted = value if operator == "among" else (value,)
        if operator == "notEqual":
            yes, no, to_yes = no, yes, not to_yes
        if source.kind == "string":
            codes = self._codes.setdefault(self._column(name), {})
            members = [codes.setdefault(str(v), len(codes)) for v in wanted]
        else:
            spelled = boolean_text if source.kind == "bool" else lambda v: number_text(v, "A predicate's value")
            numbers = [_as_field(float(spelled(v)), source) for v in wanted]
            if not all(0 <= v < LARGEST_INTEGER and v == int(v) for v in numbers):
                self._from_both_sides(name, numbers, yes, no, to_yes, stack)
                return
            members = [int(v) for v in numbers]
        self._inner(name, 0.0, to_yes, yes, no, stack, tuple(sorted(set(members))))

    def _from_both_sides(self, name: str, numbers: Sequence[float], yes: Task, no: Task, to_yes: bool, stack: list[Any]) -> None:
        """x <= v, and not x < v, for each v."""
        result = no
        for v in sorted(set(numbers)):
            text, absent = repr(v), yes if to_yes else no
            inside: Task = ("test", ("lessThan", name, text), result, yes, absent)
            result = ("test", ("lessOrEqual", name, text), inside, no if result is no else result, absent)
        stack.append(result)

    def _inner(
        self,
        name: str,
        limit: float,
        missing_left: bool,
        left: Task,
        right: Task,
        stack: list[Any],
        members: tuple[int, ...] | None = None,
    ) -> None:
        index = len(self.threshold)
        self.feature.append(self._column(name))
        self.threshold.append(0.0 if members is not None else limit)
        self.missing_left.append(int(missing_left))
        self.category.append(-1 if members is None else self.sets.setdefault(members, len(self.sets)))
        self.right.append(0)
        stack += [right, index, left]

    def _column(self, name: str) -> int:
        """The feature number of a field; equal columns have one."""
        source = self.scope.column(name)
        found = self._columns.get(name)
        if found is None or self._sources[found] != source:
            found = next((i for i, known in enumerate(self._sources) if known == source), None)
            if found is None:
                found = len(self._sources)
                self._sources.append(source)
            self._columns[name] = found
        return found

    # --- the step -------------------------------------------------------------------------------------------------------------

    def step(self, hint: str, aggregate: str, start: Vector | None = None, single: bool = False) -> Vector:
        """Add the tree_ensemble step, which adds to `start`; the result has one element per leaf column.

        single: leaves are float32, and so is every sum of them.
        """
        b = self.builder
        columns = [self._as_numbers(i) for i in range(len(self._sources))] or [Column(b.constant([0.0], "number"))]
        row = b.gather(columns, f"{hint}_row")
        attributes: dict[str, Any] = {
            "start": np.array(self.start, dtype=np.int64),
            "feature": np.array(self.feature, dtype=np.int64),
            "threshold": np.array(self.threshold, dtype=np.float64),
            "right": np.array(self.right, dtype=np.int64),
            "leaf": np.array(self.leaf, dtype=np.int64),
            "leaf_table": np.array(self.leaves.rows, dtype=np.float64).ravel(),
            "leaf_width": self.leaves.width,
            "aggregate": aggregate,
            "missing": "node" if row.nullable else "error",
        }
        if row.nullable:
            attributes["missing_left"] = np.array(self.missing_left, dtype=np.int64)
        if self.sets:
            lengths = [len(s) for s in self.sets]
            attributes["category"] = np.array(self.category, dtype=np.int64)
            attributes["set_start"] = np.array([0, *np.cumsum(lengths)[:-1]], dtype=np.int64)
            attributes["set"] = np.array([v for s in self.sets for v in s], dtype=np.int64)
        inputs = [row.value] if start is None else [row.value, start.value]
        if single:
            attributes |= {"acc": "f32", "leaf_table": attributes["leaf_table"].astype(np.float32)}
            inputs[1:] = [b.add("cast", v, hint=f"{hint}_start", to="f32") for v in inputs[1:]]
        value = b.add("tree_ensemble", *inputs, hint=hint, **attributes)
        if single:
            value = b.add("cast", value, hint=f"{hint}_f64", to="f64")
        nullable = self.leaves.has_null or (start is not None and start.nullable)
        return replace(b.vector(value, "number", nullable), single=single)

    def _as_numbers(self, i: int) -> Column:
        source = self._sources[i]
        if source.kind == "number":
            return source
        b = self.builder
        if source.kind == "bool":
            return Column(b.number(b.column(source)))
        codes = self._codes.get(i, {})
        x = b.column(source)
        keys: Any = np.empty(len(codes) + x.nullable, dtype=object)
        keys[:] = [*codes, *([None] if x.nullable else [])]
        values = np.array([*map(float, codes.values()), *([math.nan] if x.nullable else [])])
        return Column(
            b.vector(b.add("lookup", x.value, hint="code", keys=keys, values=values, default=-1.0), "number", x.nullable)
        )


def _count(root: Node) -> int:
    """The number of nodes of a tree."""
    total, queue = 0, [root]
    while queue:
        node = queue.pop()
        total += 1
        queue.extend(node.children)
    return total


def _complements(one: Any, other: Any) -> bool:
    """Does the second predicate hold exactly where the first does not, for values that are not missing?"""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return COMPLEMENT.get(one[0] or "") == other[0] and one[1:] == other[1:]
    if isinstance(one, Element) and isinstance(other, Element) and one.tag == other.tag == "SimpleSetPredicate":
        operators = {one.get("booleanOperator"), other.get("booleanOperator")}
        same = one.get("field") == other.get("field") and operators == {"isIn", "isNotIn"}
        return same and array_items(one.require("Array")) == array_items(other.require("Array"))
    return False


def _guards(one: Element, other: Element, operator: str) -> bool:
    """Is this `isMissing x or <test of x>`, or `isNotMissing x and <test of x>`?"""
    asks = {"or": "isMissing", "and": "isNotMissing"}[operator]
    tests = other.tag in ("SimplePredicate", "SimpleSetPredicate") and other.get("field") == one.get("field")
    return tests and one.tag == "SimplePredicate" and one.get("operator") == asks
