"""docs/comparison.md, from benchmarks/comparison.json (benchmarks/comparison.py writes it)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

RESULT = Path(__file__).resolve().parent.parent / "benchmarks" / "comparison.json"
NETS = RESULT.with_name("comparison_nets.json")
VERDICTS = ("right", "wrong", "refused")
KINDS = ("plain", "boundary", "missing")
Table = Callable[..., str]
HEADER = ("converter", "converts", "the file runs", "right on ordinary rows", "and on boundary rows", "and with missing cells")


def comparison(mark: str, table: Table) -> str:
    """The page; `table` makes a Markdown table."""
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    peers = result["peers"]
    count = max(len(peer["estimators"]) for peer in peers.values())
    totals = [
        (name, *(str(sum(column)) for column in zip(*map(passed, peer["estimators"].values())))) for name, peer in peers.items()
    ]
    wrong = {kind: [row for name, peer in peers.items() for row in wrongs(name, peer["estimators"], kind)] for kind in KINDS}
    header = ("converter", "estimator", "wrong", "the first of them")
    versions = "\n".join(
        f"* {name}: {peer['with'] or 'this version'}, scikit-learn {peer['scikit-learn']}" for name, peer in peers.items()
    )
    return f"""{mark}
# Comparison

What other converters do with the models and rows that [coverage.md](coverage.md) is about: the {count} estimators of scikit-learn
that can be exported, fitted once each on bundled real data: with few rounds, and with the default options but where others are
needed or say more (`tests/catalogue.py` has them all: `SimpleImputer` adds its indicator columns, for one).
`python benchmarks/comparison.py --write` measures it; every figure on this page is from there.

* Every converter is asked the same rows, scikit-learn's answers are the expected ones, and our own files are held to the same.
* A number is right within {result["bar"]:g} of the scale of its output, which is what single precision can keep; a label, when it
  is the same. Rows whose best two scores lie closer than that are left out, and so are rows far outside the sample.
* *Ordinary* rows are the data's own and rows drawn from between them. *Boundary* rows lie at, and one unit in the last place
  beside, a number at which the model changes its mind. Rows with *missing cells* are asked where scikit-learn answers them; no
  answer counts as a wrong one.
* For a file in single precision, numbers are rounded before anybody is asked, scikit-learn included, so that this rounding is not
  counted against it.
* A column counts the estimators that pass it and every column to its left.

{table(HEADER, totals)}

{versions}

skl2onnx writes single precision by default, and double precision when it is given doubles; in double precision it is asked as
our [delegate](delegates.md) asks it. onnxruntime runs ONNX files. What other options do, and models inside models, is not part of
this table.{absent(peers)}

## Converted without an error, and wrong on ordinary rows

{table(header, wrong["plain"]) if wrong["plain"] else "Nothing."}

## Wrong on boundary rows only

{table(header, wrong["boundary"]) if wrong["boundary"] else "Nothing."}

## Wrong with missing cells only

{table(header, wrong["missing"]) if wrong["missing"] else "Nothing."}

## Nets

The nets of the tests, small, of every common architecture, with random weights: our writer and the framework's exporter, each
held to the same proof, in every length that a net was converted for. The exporters are asked as our [delegates](delegates.md)
ask them, with what these mend. *Wrong*: the file answers otherwise than the net, or not at all, in one of the lengths.
*Refused*: there is no file, or one that cannot be used. `python benchmarks/comparison_nets.py --write` measures it.

{table(("nets", "to ONNX by", *VERDICTS), net_totals())}

{table(("exporter", "net", "", "why"), net_problems()) if net_problems() else "Every file was right."}

## Speed and size

[The benchmarks](../benchmarks/results.md) measure converting, loading and answering beside skl2onnx and sklearn2pmml in one run
on one machine.

## What else there is

Not measured here: m2cgen (writes source code in many languages; linear models, trees and a few more), treelite (compiles
ensembles of trees), Hummingbird (scikit-learn to PyTorch), and onnxmltools (boosters to ONNX). PyTorch's and TensorFlow's own
exporters are [delegates](delegates.md): what they write is verified like our own. If one of them does what you need, convert
with it and let modelport verify what it writes: [side by side](delegates.md#side-by-side).
"""


def absent(peers: Mapping[str, Any]) -> str:
    """What the script can measure and was not measured, in a sentence."""
    if any(name.startswith("sklearn2pmml") for name in peers):
        return ""
    return " The script also knows sklearn2pmml, run by JPMML-Evaluator; it was not measured for this table."


def net_totals() -> list[tuple[str, ...]]:
    """Verdicts per exporter, and ours on the same nets."""
    rows = []
    for exporter, one in json.loads(NETS.read_text(encoding="utf-8")).items():
        for backend, called in (("graph", "modelport"), (exporter, f"{exporter} ({one['with']})")):
            verdicts = [net[backend]["verdict"] for net in one["nets"].values()]
            kind = f"{len(verdicts)} of {'PyTorch' if exporter == 'torch.onnx' else 'Keras'}"
            rows.append((kind, called, *(str(verdicts.count(v)) for v in VERDICTS)))
    return rows


def net_problems() -> list[tuple[str, ...]]:
    """What is not right, and why."""
    found = []
    for exporter, one in json.loads(NETS.read_text(encoding="utf-8")).items():
        for name, net in one["nets"].items():
            for backend, result in net.items():
                if result["verdict"] != "right":
                    why = result["why"].replace("|", "/").replace("<", "&lt;").replace("_", "\\_").replace("*", "\\*")
                    called = "modelport" if backend == "graph" else exporter
                    found.append((called, f"`{name}`", result["verdict"], why))
    return found


def passed(one: Mapping[str, Any]) -> list[bool]:
    """Does one estimator pass each column, and every one to its left?"""
    steps = [one["converts"], one.get("runs", False), *(right(one, kind) for kind in KINDS)]
    return [all(steps[: k + 1]) for k in range(len(steps))]


def right(one: Mapping[str, Any], kind: str) -> bool:
    """Are all rows of a kind right? There may be none of it."""
    part = one.get(kind)
    return bool(one.get("runs")) and (part is None or part["wrong"] == 0)


def wrongs(name: str, estimators: Mapping[str, Any], kind: str) -> list[tuple[str, ...]]:
    """What is wrong on a kind of rows, and right on the kinds before."""
    before = KINDS[: KINDS.index(kind)]
    found = []
    for estimator, one in sorted(estimators.items()):
        if one.get("runs") and not right(one, kind) and all(right(one, k) for k in before):
            part = one[kind]
            found.append((name, f"`{estimator}`", f"{part['wrong']} of {part['rows']}", f"`{brief(part.get('first', ''))}`"))
    return found


def brief(first: str) -> str:
    """What is said of the first wrong answer, in one cell: lists are cut."""
    sides = [side if len(side) <= 36 else f"{side[:33]}..." for side in first.split(" instead of ")]
    return " instead of ".join(sides).replace("|", "/").replace("`", "'")
