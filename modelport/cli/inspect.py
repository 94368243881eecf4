"""modelport inspect: what an artifact is."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from ..layout import Block, Rows
from .common import add_json, emit_json, say

__all__ = ["add", "described_blocks", "run"]

#: so many names, classes, categories or steps are shown; --json has all
MOST, MOST_STEPS = 8, 60


def add(commands: Any) -> None:
    """The command's options."""
    command = commands.add_parser("inspect", help="say what an artifact is: the model it was, its parts, what can run it")
    command.add_argument("artifact")
    add_json(command)
    command.set_defaults(run=run)


def run(a: argparse.Namespace) -> int:
    """modelport inspect"""
    from ..inspecting import inspect

    described = inspect(a.artifact)
    if a.json:
        emit_json(described)
    else:
        say(*described_blocks(a.artifact, described))
    return 0


def described_blocks(name: str, d: Mapping[str, Any]) -> list[Block]:
    """What `inspect` found, for a person."""
    blocks: list[Block] = [f"{name}: {d['format']}, {d['bytes']:,} bytes, run by {d['engine']}"]
    blocks.append(Rows(_origin(d)))
    blocks += ["", "Inputs:", _input_rows(d["inputs"])]
    if "steps" in d:
        profiles = f"; profiles: {', '.join(d['profiles'])}" if d.get("profiles") else ""
        title = f"Steps: {len(d['steps'])}, with {d['parameters']:,} parameters{profiles}"
        blocks += ["", title, _step_rows(d["steps"])]
    elif "contents" in d:
        blocks += ["", *_contents(d["contents"])]
    outputs = [(v["name"], v["dtype"], v["role"], f"classes {_some(v['classes'])}" if v["classes"] else "") for v in d["outputs"]]
    blocks += ["", "Outputs:", Rows(outputs), "", *_vector_blocks(d)]
    if d["sizes"] is not None:
        blocks += ["", "Sizes:", Rows(_size_rows(d["sizes"], d["bytes"]), right=frozenset({1, 2}))]
    consumers = [(_here(c), c["consumer"], c["says"]) for c in d["consumers"]]
    return [*blocks, "", "What can run it:", Rows(consumers)]


def _origin(d: Mapping[str, Any]) -> list[tuple[str, str]]:
    given = d["provenance"]
    framework = given.get("framework")
    said = (framework.get("name"), framework.get("version")) if isinstance(framework, Mapping) else ()
    made = " ".join(str(part) for part in said if part)
    rows = [
        ("name", d.get("name")),
        ("model", d["model"]),
        ("made with", made),
        ("written by", given.get("producer")),
        ("through", given.get("backend")),
        ("at", given.get("created")),
        ("gives up accuracy", d["approximation"]),
    ]
    known = [(key, str(value)) for key, value in rows if value]
    return known or [("model", "not recorded: the file was not written by modelport")]


def _input_rows(inputs: Sequence[Mapping[str, Any]]) -> Rows:
    rows = []
    for v in inputs:
        said = {"error": "missing values are refused", "nan": "NaN where missing", "null": "may be missing"}[v["missing"]]
        more = [f"columns {_some(v['features'])}"] if v["features"] else []
        several = len(v["categories"] or {}) > 1
        for column, texts in (v["categories"] or {}).items():
            more.append(f"{f'{column}: ' if several or v['features'] else ''}{_some(texts)}")
        shape = "" if v["shape"] in ([], [1]) else str(v["shape"])
        rows.append((v["name"], f"{v['dtype']}{shape}", "; ".join([said, *more])))
    return Rows(rows)


def _step_rows(steps: Sequence[Mapping[str, Any]]) -> Rows:
    shown = steps if len(steps) <= MOST_STEPS else [*steps[: MOST_STEPS // 2], None, *steps[-MOST_STEPS // 2 :]]
    rows = []
    for s in shown:
        if s is None:
            rows.append(("...", f"{len(steps) - len(shown) + 1} more", "", "", ""))
            continue
        op = f"{s['op']} ({s['says']})" if s["says"] else s["op"]
        rows.append((s["out"], op, s["type"], f"{s['parameters']:,}", _some(s["in"])))
    return Rows(rows, ("step", "op", "gives", "parameters", "reads"), frozenset({3}))


def _contents(contents: Mapping[str, Any]) -> list[Block]:
    """A file that does not read back to a graph: what its own format says."""
    nodes = contents.get("nodes", {})
    title = f"Nodes: {sum(nodes.values())}, with {contents.get('initializer_bytes', 0):,} bytes of weights in initializers"
    opsets = ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in contents.get("opsets", {}).items())
    rows = [(name, str(count)) for name, count in sorted(nodes.items(), key=lambda kind: (-kind[1], kind[0]))]
    return [title, Rows(rows[:20], right=frozenset({1})), *([f"  operators of {opsets}"] if opsets else [])]


def _vector_blocks(d: Mapping[str, Any]) -> list[Block]:
    vectors = d["vectors"]
    if vectors is None:
        return ["Vectors: none, nothing proves this artifact"]
    kinds = ", ".join(f"{count} {kind}" for kind, count in vectors["kinds"].items())
    sets = f" in {vectors['sets']} sets of lengths" if vectors["sets"] > 1 else ""
    head = f"Vectors: {vectors['rows']} rows{sets} with the original's answers ({vectors['source']})"
    return [head, *([Rows([("kinds", kinds)])] if kinds else []), Rows(list(vectors["in_words"].items()))]


def _size_rows(sizes: Mapping[str, int], total: int) -> list[tuple[str, str, str]]:
    return [(part, f"{count:,}", f"{count / total:.0%}") for part, count in sizes.items()]


def _here(c: Mapping[str, Any]) -> str:
    if c["takes"] is False:
        return "no"
    return "ok" if c["here"] and c["takes"] else "may" if c["here"] else "--"


def _some(texts: Sequence[Any] | None) -> str:
    """The first few of a list."""
    shown = [str(t) for t in (texts or ())[:MOST]]
    more = len(texts or ()) - len(shown)
    return ", ".join(shown) + (f", ... ({more} more)" if more else "")
