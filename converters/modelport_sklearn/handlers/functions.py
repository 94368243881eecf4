"""FunctionTransformer: functions of NumPy and SciPy that steps express, and functions somebody has registered."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..builder import Array, Builder, Table
from ..dispatch import transforms
from ..expressing import expressed
from ..ledger import Ledger

#: NumPy functions by our names of them; SciPy's are added when the user has imported SciPy.
FUNCTIONS = {
    "neg": "negative", "abs": "absolute", "sign": "sign", "sqrt": "sqrt", "square": "square", "reciprocal": "reciprocal",
    "floor": "floor", "ceil": "ceil", "round": "rint", "trunc": "trunc", "exp": "exp", "expm1": "expm1", "log": "log",
    "log1p": "log1p", "log2": "log2", "log10": "log10", "sin": "sin", "cos": "cos", "tan": "tan", "arcsin": "arcsin",
    "arccos": "arccos", "arctan": "arctan", "sinh": "sinh", "cosh": "cosh", "tanh": "tanh",
}  # fmt: skip

#: Functions of two numbers, as functools.partial(function, number) holds them.
PARTIAL = {
    np.add: "add", np.subtract: "sub", np.multiply: "mul", np.divide: "div", np.power: "pow", np.maximum: "max",
    np.minimum: "min",
}  # fmt: skip

#: What gives the rows as they are; those of the second line take an axis away, which one column does not feel.
SAME = (np.positive, np.asarray, np.asanyarray, np.array, np.copy, np.ascontiguousarray)
FLAT = (np.ravel, np.squeeze)


@transforms("FunctionTransformer")
def function_transformer(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """The rows as they are, or a function of every number."""
    ledger.waive("inverse_func", "inv_kw_args", "check_inverse", "feature_names_out", "accept_sparse", "validate")
    func, given, first = ledger["func"], dict(ledger["kw_args"] or {}), len(builder.steps)
    handler = expressed(func)
    if handler is not None:
        result = handler(builder, table, **given)
        builder.note_unsafe(first)
        if not isinstance(result, Table):
            raise ledger.refuse("func", f"has a handler that gives {type(result).__name__}: it gives a Table.")
        return result
    if func is None or (not given and any(func is f for f in SAME)) or (len(table) == 1 and any(func is f for f in FLAT)):
        return table
    if any(column.dtype == "str" for column in table.columns):
        raise ledger.refuse("func", f"is {shown(func, given)} of strings, which cannot be exported as code: {ADVICE}")
    if table.held != "float64":
        raise ledger.refuse("func", f"is applied to {table.held} columns, on which NumPy computes otherwise: encode as float64.")
    value = apply_function(builder, builder.matrix(table), func, given)
    if value is None:
        raise ledger.refuse("func", f"is {shown(func, given)}, which cannot be exported as code: {ADVICE}")
    builder.note_unsafe(first)
    return builder.table(value, table.names, sparse=table.sparse, held="bool" if func is np.isnan else "float64")


ADVICE = (
    f"use one of numpy's {', '.join(sorted(FUNCTIONS.values()))}, clip, round or nan_to_num, or register how steps express it "
    "with modelport_sklearn.expresses (docs/scikit-learn.md), or apply it to the rows before they reach the model."
)


def shown(func: Any, given: Mapping[str, Any]) -> str:
    name = getattr(func, "__name__", type(func).__name__)
    return f"{name} with kw_args={dict(given)!r}" if given else name


def apply_function(builder: Builder, x: str, func: Any, given: Mapping[str, Any]) -> str | None:
    """A value of steps that give func(x, **given) for numbers, or None where none are known."""
    arguments: tuple[Any, ...] = ()
    if isinstance(func, functools.partial):
        func, arguments, given = func.func, func.args, {**func.keywords, **given}
    if arguments:
        return _of_two_numbers(builder, x, func, arguments) if not given else None
    name = function_name(func)
    if name is not None:
        return builder.add("unary", x, hint=name, fn=name) if not given else None
    composed = next((compose for known, compose in _composed() if known is func), None)
    if composed is None:
        return None
    try:
        return composed(builder, x, **given)
    except (TypeError, ValueError):  # an argument that is not known here
        return None


def function_name(func: Any) -> str | None:
    """Our name of a NumPy or SciPy function."""
    known = {getattr(np, name): fn for fn, name in FUNCTIONS.items()}
    known[np.fabs] = "abs"
    special = sys.modules.get("scipy.special")
    if special is not None:
        known.update({special.expit: "sigmoid", special.log_expit: "log_sigmoid", special.erf: "erf", special.ndtri: "norm_ppf"})
    return next((fn for function, fn in known.items() if function is func), None)


def _of_two_numbers(builder: Builder, x: str, func: Any, arguments: tuple[Any, ...]) -> str | None:
    fn = next((fn for known, fn in PARTIAL.items() if known is func), None)
    if fn is None or len(arguments) != 1 or not isinstance(arguments[0], (int, float, np.number)):
        return None
    return builder.add("binary", builder.constant([float(arguments[0])], "number"), x, hint=fn, fn=fn)


def _composed() -> list[tuple[Any, Callable[..., str]]]:
    """Functions made of several steps."""
    found: list[tuple[Any, Callable[..., str]]] = [
        (np.clip, _clip), (np.round, _round), (np.around, _round), (np.nan_to_num, _nan_to_num), (np.isnan, _isnan),
        (np.exp2, _exp2), (np.cbrt, _cbrt), (np.arcsinh, _arcsinh), (np.arctanh, _arctanh),
        (np.deg2rad, _deg2rad), (np.radians, _deg2rad), (np.rad2deg, _rad2deg), (np.degrees, _rad2deg),
    ]  # fmt: skip
    special = sys.modules.get("scipy.special")
    if special is not None:
        found.append((special.logit, _logit))
    return found


def _clip(builder: Builder, x: str, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> str:
    low, high = a_min if min is None else min, a_max if max is None else max
    return builder.add("clip", x, hint="clipped", min_=_bound(low), max_=_bound(high))


def _bound(value: Any) -> Array | None:
    return None if value is None else np.atleast_1d(np.asarray(value, dtype=np.float64))


def _round(builder: Builder, x: str, decimals: int = 0) -> str:
    """Half to even of x times a power of ten, divided by it again; tens and hundreds the other way round."""
    power = np.array([10.0 ** abs(int(decimals))])
    first, last = ("mul", "div") if decimals >= 0 else ("div", "mul")
    moved = builder.add("scale", x, hint="moved", **{first: power}) if decimals else x
    rounded = builder.add("unary", moved, hint="round", fn="round")
    return builder.add("scale", rounded, hint="rounded", **{last: power}) if decimals else rounded


def _nan_to_num(builder: Builder, x: str, copy: bool = True, nan: float = 0.0, posinf: Any = None, neginf: Any = None) -> str:
    largest = np.finfo(np.float64).max
    present = builder.add("impute", x, hint="present", values=np.array([nan], dtype=np.float64))
    high, low = (largest if posinf is None else float(posinf)), (-largest if neginf is None else float(neginf))
    if (high, low) == (largest, -largest):
        return builder.add("clip", present, hint="finite", min_=np.array([low]), max_=np.array([high]))
    for match, replacement in ((np.inf, high), (-np.inf, low)):
        present = builder.add("impute", present, hint="finite", match=match, values=np.array([replacement]))
    return present


def _isnan(builder: Builder, x: str) -> str:
    return builder.add("is_missing", x, hint="is_nan")


def _exp2(builder: Builder, x: str) -> str:
    return builder.add("binary", builder.constant([2.0], "two"), x, hint="exp2", fn="pow")


def _cbrt(builder: Builder, x: str) -> str:
    size = builder.add("unary", x, hint="size", fn="abs")
    root = builder.add("binary", size, builder.constant([1 / 3], "third"), hint="root", fn="pow")
    return builder.add("binary", builder.add("unary", x, hint="sign", fn="sign"), root, hint="cbrt", fn="mul")


def _arcsinh(builder: Builder, x: str) -> str:
    """sign(x) log1p(a + a^2 / (1 + sqrt(a^2 + 1))) with a = |x|; log(a) + log 2 where a^2 could overflow."""
    size = builder.add("unary", x, hint="size", fn="abs")
    square = builder.add("unary", size, hint="square", fn="square")
    root = builder.add("unary", builder.add("scale", square, hint="square_1", add=[1.0]), hint="root", fn="sqrt")
    share = builder.add("binary", square, builder.add("scale", root, hint="root_1", add=[1.0]), hint="share", fn="div")
    near = builder.add("unary", builder.add("binary", size, share, hint="sum", fn="add"), hint="near", fn="log1p")
    far = builder.add("scale", builder.add("unary", size, hint="log_size", fn="log"), hint="far", add=[float(np.log(2.0))])
    is_far = builder.add("binary", size, builder.constant([2.0**28], "limit"), hint="is_far", fn="gt")
    value = builder.add("where", is_far, far, near, hint="arcsinh_size")
    return builder.add("binary", builder.add("unary", x, hint="sign", fn="sign"), value, hint="arcsinh", fn="mul")


def _arctanh(builder: Builder, x: str) -> str:
    """sign(x) log1p(2 a / (1 - a)) / 2 with a = |x|."""
    size = builder.add("unary", x, hint="size", fn="abs")
    rest = builder.add("scale", builder.add("unary", size, hint="negative", fn="neg"), hint="rest", add=[1.0])
    share = builder.add("binary", builder.add("scale", size, hint="twice", mul=[2.0]), rest, hint="share", fn="div")
    half = builder.add("scale", builder.add("unary", share, hint="log", fn="log1p"), hint="half", mul=[0.5])
    return builder.add("binary", builder.add("unary", x, hint="sign", fn="sign"), half, hint="arctanh", fn="mul")


def _deg2rad(builder: Builder, x: str) -> str:
    return builder.add("scale", x, hint="radians", mul=[np.pi / 180.0])


def _rad2deg(builder: Builder, x: str) -> str:
    return builder.add("scale", x, hint="degrees", mul=[180.0 / np.pi])


def _logit(builder: Builder, x: str) -> str:
    """log(x / (1 - x)), near 0.5 as log1p(s) - log1p(-s) with s = 2 (x - 0.5)."""
    rest = builder.add("scale", builder.add("unary", x, hint="negative", fn="neg"), hint="rest", add=[1.0])
    odds = builder.add("unary", builder.add("binary", x, rest, hint="odds", fn="div"), hint="log_odds", fn="log")
    twice = builder.add("scale", x, hint="twice", sub=[0.5], mul=[2.0])
    above = builder.add("unary", twice, hint="log_above", fn="log1p")
    below = builder.add("unary", builder.add("unary", twice, hint="mirrored", fn="neg"), hint="log_below", fn="log1p")
    near = builder.add("binary", above, below, hint="near", fn="sub")
    size = builder.add("unary", twice, hint="distance", fn="abs")
    is_far = builder.add("binary", size, builder.constant([0.3], "limit"), hint="is_far", fn="gt")
    return builder.add("where", is_far, odds, near, hint="logit")
