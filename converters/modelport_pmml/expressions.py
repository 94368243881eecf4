"""Scalar expressions: every column of every value of a graph, as something PMML can compute.

Expressions are shared: two equal ones are one object. `nullable` says that the result may be missing (PMML's word for NaN and
null). Functions that some scorer refuses missing arguments for are guarded, and comparisons with a missing value are false, as
in the graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from modelport.errors import Unsupported

from .text import label

__all__ = ["Expression", "Expressions", "exact"]

#: functions that answer missing for a missing argument in every scorer
TOLERANT = frozenset({"+", "-", "*", "/"})


class Expression:
    """One node: kind and data say what it computes from args.

    type is double, float, integer (a column of 64-bit integers, which scorers read as double), boolean or string.

    kinds: `field` (data: name), `raw` (data: block, position), `constant` (data: value), `apply` (data: function), `default` (a
    missing argument becomes data), `map` (data: pairs, default, missing), `knots` (NormContinuous), `bins` (Discretize),
    `indicator` (NormDiscrete) and `float` (rounded to float32).
    """

    __slots__ = ("args", "data", "hint", "index", "kind", "level", "nullable", "type")

    def __init__(self, kind: str, args: tuple[Expression, ...], data: Any, type_: str, nullable: bool, index: int) -> None:
        self.kind, self.args, self.data, self.type, self.nullable, self.index = kind, args, data, type_, nullable, index
        self.level: int = data[0] + 1 if kind == "raw" else max((a.level for a in args), default=0)
        self.hint: str | None = None


class Expressions:
    """Makes expressions; equal ones are made once."""

    def __init__(self) -> None:
        self._known: dict[Any, Expression] = {}

    def __len__(self) -> int:
        return len(self._known)

    def _make(self, kind: str, args: tuple[Expression, ...], data: Any, type_: str, nullable: bool) -> Expression:
        key = (kind, tuple(a.index for a in args), type_, _hashable(data))
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = Expression(kind, args, data, type_, nullable, len(self._known))
        return found

    # --- leaves ---------------------------------------------------------------------------------------------------------------

    def field(self, name: str, type_: str, nullable: bool) -> Expression:
        """A column of the data."""
        return self._make("field", (), name, type_, nullable)

    def raw(self, block: int, position: int, nullable: bool, type_: str = "double") -> Expression:
        """What a model segment answers."""
        return self._make("raw", (), (block, position), type_, nullable)

    def constant(self, value: Any) -> Expression:
        """A constant: float, str or bool."""
        if isinstance(value, bool):
            return self._make("constant", (), value, "boolean", False)
        if isinstance(value, str):
            return self._make("constant", (), value, "string", False)
        return self._make("constant", (), exact(value), "double", False)

    def nothing(self, text: bool = False) -> Expression:
        """What is always missing."""
        return self.only_where(self.constant(False), self.constant("" if text else 0.0))

    @staticmethod
    def _is_nothing(x: Expression) -> bool:
        return x.kind == "apply" and x.data == "if" and x.args[0].kind == "constant"

    # --- arithmetic -----------------------------------------------------------------------------------------------------------

    def apply(self, function: str, *args: Expression, type_: str = "double") -> Expression:
        """function(args) where every missing argument gives a missing result."""
        plain = self._make("apply", args, function, type_, any(a.nullable for a in args))
        if function in TOLERANT:
            return plain
        for argument in reversed(dict.fromkeys(args)):
            if argument.nullable:
                plain = self._make("apply", (self.is_present(argument), plain), "if", type_, True)
        return plain

    def total(self, terms: Sequence[Expression]) -> Expression:
        """The sum of terms in ascending order."""
        if not terms:
            return self.constant(0.0)
        if len(terms) == 1:
            return terms[0]
        if len(terms) == 2 or any(t.nullable for t in terms):
            result = terms[0]
            for term in terms[1:]:
                result = self.apply("+", result, term)
            return result
        return self._make("apply", tuple(terms), "sum", "double", False)

    def product(self, factors: Sequence[Expression]) -> Expression:
        """The product of factors in their order."""
        if len(factors) < 3 or any(f.nullable for f in factors):
            result = factors[0]
            for factor in factors[1:]:
                result = self.apply("*", result, factor)
            return result
        return self._make("apply", tuple(factors), "product", "double", False)

    def extreme(self, function: str, terms: Sequence[Expression]) -> Expression:
        """min or max of terms, missing when one of them is."""
        return terms[0] if len(terms) == 1 else self.apply(function, *terms)

    # --- logic ----------------------------------------------------------------------------------------------------------------

    def is_missing(self, x: Expression) -> Expression:
        """true where x is missing."""
        return self._make("apply", (x,), "isMissing", "boolean", False) if x.nullable else self.constant(False)

    def is_present(self, x: Expression) -> Expression:
        """true where x is not missing."""
        return self._make("apply", (x,), "isNotMissing", "boolean", False) if x.nullable else self.constant(True)

    def is_given(self, x: Expression) -> Expression:
        """true where x is not missing, whether or not that is reckoned with."""
        return self._make("apply", (x,), "isNotMissing", "boolean", False)

    def choose(self, condition: Expression, yes: Expression, no: Expression, certain: bool = False) -> Expression:
        """yes where the condition holds, else no; certain: neither is missing where it is taken."""
        if condition.kind == "constant":
            return yes if condition.data else no
        if yes is no:
            return yes
        if self._is_nothing(no):
            return self.only_where(condition, yes)
        if self._is_nothing(yes):
            return self.only_where(self.logic("not", condition), no)
        nullable = (yes.nullable or no.nullable) and not certain
        return self._make("apply", (condition, yes, no), "if", yes.type, nullable)

    def only_where(self, condition: Expression, x: Expression) -> Expression:
        """x where the condition holds, else missing."""
        return self._make("apply", (condition, x), "if", x.type, True)

    def compare(self, function: str, x: Expression, y: Expression) -> Expression:
        """A comparison that is false (notEqual: true) where an argument is missing.

        A string is compared with a constant by an indicator, because some scorers read an empty Constant as missing.
        """
        if function == "equal" and x.type == "string" and y.kind == "constant":
            return self._make("apply", (self.indicator(x, y.data), self.constant(1.0)), function, "boolean", False)
        result = self._make("apply", (x, y), function, "boolean", False)
        for argument in (y, x):
            if argument.nullable:
                result = self.choose(self.is_missing(argument), self.constant(function == "notEqual"), result)
        return result

    def logic(self, function: str, *args: Expression) -> Expression:
        """and, or, not of booleans that are never missing."""
        return self._make("apply", args, function, "boolean", False)

    def all_of(self, conditions: Sequence[Expression]) -> Expression:
        """Where all of some conditions hold, which are never missing."""
        return conditions[0] if len(conditions) == 1 else self.logic("and", *conditions)

    def any_of(self, conditions: Sequence[Expression]) -> Expression:
        """Where one of some conditions holds, which are never missing."""
        return conditions[0] if len(conditions) == 1 else self.logic("or", *conditions)

    def number(self, condition: Expression) -> Expression:
        """1.0 where a boolean holds, else 0.0."""
        return self.choose(condition, self.constant(1.0), self.constant(0.0))

    # --- elements of their own ------------------------------------------------------------------------------------------------

    def default(self, x: Expression, value: Any) -> Expression:
        """x, or the value where x is missing."""
        if not x.nullable or value is None or value != value:
            return x
        return self._make("default", (x,), value, x.type, False)

    def table(
        self, x: Expression, pairs: Iterable[tuple[Any, Any]], default: Any, missing: Any, type_: str, refuses: bool = False
    ) -> Expression:
        """MapValues: the value beside the equal key; None as default or missing makes the result missing there.

        `refuses` says that the graph refuses such rows, so that a missing result need not be reckoned with.
        """
        rows = tuple((label(k), label(v)) for k, v in pairs)
        nullable = not refuses and (default is None or (x.nullable and missing is None))
        data = (rows, None if default is None else label(default), None if missing is None or not x.nullable else label(missing))
        return self._make("map", (x,), data, type_, nullable)

    def knots(self, x: Expression, points: Sequence[tuple[float, float]], outliers: str) -> Expression:
        """NormContinuous: piecewise linear through (x, y) points."""
        return self._make("knots", (x,), (tuple(points), outliers), "double", x.nullable or outliers == "asMissingValues")

    def bins(self, x: Expression, edges: Sequence[float], closure: str) -> Expression:
        """Discretize: the number of edges below x."""
        return self._make("bins", (x,), (tuple(edges), closure), "double", x.nullable)

    def indicator(self, x: Expression, value: Any) -> Expression:
        """NormDiscrete: 1.0 where x equals the value, 0.0 where not or missing."""
        return self._make("indicator", (x,), label(value), "double", False)

    def rounded(self, x: Expression) -> Expression:
        """x rounded to float32."""
        return x if x.type == "float" else self._make("float", (x,), None, "float", x.nullable)


def exact(value: Any) -> float:
    """A number as a float; Unsupported for integers that no double holds.

    >>> exact(3)
    3.0
    """
    number = float(value)
    if isinstance(value, int) and abs(value) > 2**53:
        raise Unsupported(
            f"The model holds the integer {value}, which PMML scorers read as the double {number}: write JSON or ONNX."
        )
    return number


def _hashable(data: Any) -> Any:
    """A dictionary key that tells -0.0 from 0.0 and 1.0 from True."""
    return (type(data).__name__, repr(data)) if isinstance(data, (float, bool)) else data
