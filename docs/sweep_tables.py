"""The estimator tables of docs/coverage.md, from docs/coverage.json (tests/sweep.py writes it)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

RESULT = Path(__file__).with_name("coverage.json")
FORMATS = ("json", "onnx", "pmml")
Table = Callable[..., str]


def estimators(table: Table) -> str:
    """Totals, estimator x format x rows, the refusals, and what cannot be exported; `table` makes a Markdown table."""
    sweep = json.loads(RESULT.read_text(encoding="utf-8"))
    found = sweep["estimators"]
    header = ("estimator", *(f"{format_}, {rows}" for format_ in FORMATS for rows in ("plain", "boundary")))
    rows = [(f"`{name}`", *(cell for f in FORMATS for cell in cells(one["formats"][f]))) for name, one in sorted(found.items())]
    refusals = [(f"`{name}`", f, first(one["formats"][f])) for name, one in sorted(found.items()) for f in FORMATS]
    missing = [(f"`{name}`", why) for name, why in sorted(sweep["not exportable"].items())]
    return f"""{totals(found, sweep["scikit-learn"])}

{table(header, rows)}

### Refused

{table(("estimator", "format", "why"), [row for row in refusals if row[2]]) if any(row[2] for row in refusals) else "Nothing."}

### Not exportable

What these answer is no function of their fitted state and a row, or they answer nothing.

{table(("estimator", "why"), missing)}"""


def totals(found: Mapping[str, Any], version: str) -> str:
    """How many of how many, per format."""
    predictors = [one for one in found.values() if one["predicts"]]
    lines = [f"scikit-learn {version}: {len(found)} estimators that can be exported, {len(predictors)} of them predict."]
    for format_ in FORMATS:
        all_, some = (sum("bytes" in one["formats"][format_] for one in group) for group in (found.values(), predictors))
        lines.append(
            f"* {format_}: {all_} of {len(found)} ({100 * all_ / len(found):.1f} %); "
            f"of those that predict {some} of {len(predictors)} ({100 * some / len(predictors):.1f} %)."
        )
    flips = sum(part["flips"] for one in found.values() for part in parts(one))
    rows = sum(part["rows"] for one in found.values() for part in parts(one))
    lines.append(f"* {flips} label flips on {rows:,} rows.")
    return "\n".join(lines)


def parts(one: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The figures of one estimator, over formats and kinds of rows."""
    return [f[kind] for f in one["formats"].values() for kind in ("plain", "boundary") if f.get(kind)]


def cells(result: Mapping[str, Any]) -> list[str]:
    """Plain and boundary rows of one format."""
    if "bytes" not in result:
        return ["wrong" if "wrong" in result else "refused"] * 2
    return [cell(result[kind]) for kind in ("plain", "boundary")]


def cell(part: Mapping[str, Any] | None) -> str:
    """Equality class, worst ulp and error relative to the output's scale, flips."""
    if part is None:
        return "no rows"
    flips = f", {part['flips']} flips" if part["flips"] else ""
    if part["equality"] == "exact":
        return f"exact{flips}"
    ulp = f"{part['ulp']:.0f}" if part["ulp"] < 1e6 else "> 1e6"  # a number beside zero
    return f"{part['equality']}, {ulp} ulp, {part['relative']:.0e}{flips}"


def first(result: Mapping[str, Any]) -> str:
    """Why a format refuses, in one line."""
    return (
        str(result.get("wrong") or result.get("refused") or "").replace("|", "/").splitlines()[0] if "bytes" not in result else ""
    )
