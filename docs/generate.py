"""Writes what is generated: docs/ops.md from the table of ops, docs/coverage.md from the suite, the writers and the readers,
docs/comparison.md from benchmarks/comparison.json, and the pictures of docs/images/ that pictures.py draws.

Usage: python docs/generate.py [--check]
--check writes nothing and exits with 1 when a page on disk is not what would be written.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "converters"), str(ROOT / "docs")]

from comparison_tables import comparison  # noqa: E402
from pictures import badge, parity  # noqa: E402
from sweep_tables import estimators  # noqa: E402

from modelport.errors import Unsupported  # noqa: E402
from modelport.ops import OPS, Attribute, Op  # noqa: E402

MARK = "<!-- Written by docs/generate.py (make docs). -->"
CASES = ROOT / "fixtures" / "ops"
KINDS = {
    "float": "float tensor",
    "input": "tensor of the input's dtype",
    "acc": "tensor of dtype acc",
    "int": "integer tensor",
    "str": "string tensor",
    "any": "tensor",
    "f64": "f64 tensor",
    "typed": "tensor",
    "leaf": "tensor of dtype acc, or integers",
    "targets": "f64 tensor, or integers",
    "integer": "integer",
    "number": "number",
    "flag": "true or false",
    "element": "one element",
}


def pages() -> dict[str, str]:
    """File name -> content of every generated page."""
    return {
        "ops.md": ops_page(),
        "coverage.md": coverage_page(),
        "comparison.md": comparison(MARK, table),
        "images/coverage.svg": badge(),
        "images/parity.svg": parity(),
    }


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(cells)} |" for cells in (header, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(header), *lines[1:]])


def cases(op: str) -> list[dict[str, Any]]:
    """The conformance cases of an op."""
    path = CASES / f"{op}.json"
    return list(json.loads(path.read_text(encoding="utf-8"))["cases"]) if path.is_file() else []


# --- ops.md -------------------------------------------------------------------------------------------------------------------


def ops_page() -> str:
    """Every op: inputs, attributes, exactness, number of cases."""
    rows = [(f"`{name}`", inputs(op), attributes(op), exactness(op), str(len(cases(name)))) for name, op in sorted(OPS.items())]
    return f"""{MARK}
# Ops

Every op, from the table of ops in `modelport/ops/`. [format.md](format.md) states what each means: section 6, and section 7 for
`tree_ensemble`; sections 6.1, 6.2 and 6.3 for the profiles `text`, `solver` and `nn`.

`?` marks an optional attribute. *exact*: all readers give the same bits. *tolerance*: they agree within the tolerance that an
artifact states. The last column counts the cases in `fixtures/ops/`.

{table(("op", "inputs", "attributes", "numbers", "cases"), rows)}

{len(OPS)} ops, {sum(len(cases(name)) for name in OPS)} cases.
"""


def inputs(op: Op) -> str:
    """How many values an op reads."""
    low, high = op.inputs
    if high is None:
        return f"{low} or more"
    return str(low) if low == high else f"{low} {'or' if high == low + 1 else 'to'} {high}"


def attributes(op: Op) -> str:
    """An op's attributes with their kinds."""
    return "; ".join(f"`{name}`{'' if spec.required else '?'}: {kind(spec)}" for name, spec in op.attributes.items())


def kind(spec: Attribute) -> str:
    """What an attribute holds."""
    if spec.kind == "choice":
        said = " ".join(spec.options)
    else:
        said = KINDS[spec.kind]
        ranks = [rank for rank in spec.ranks if rank != 1]
        if "tensor" in said and ranks:
            few = len(spec.ranks) < 3
            said += f" of rank {' or '.join(map(str, spec.ranks)) if few else f'{spec.ranks[0]} to {spec.ranks[-1]}'}"
    return said if spec.default is None else f"{said} (default {json.dumps(spec.default).strip(chr(34))})"


def exactness(op: Op) -> str:
    """exact, tolerance, or which functions are exact."""
    functions = op.attributes["fn"].options if "fn" in op.attributes else ()
    exact = [fn for fn in functions if op.exact({"fn": fn})]
    if functions and 0 < len(exact) < len(functions):
        rest = [fn for fn in functions if fn not in exact]
        some, all_but = f"exact: {' '.join(exact)}", f"exact, but for {' '.join(rest)}"
        return all_but if len(rest) < len(exact) else some
    return "exact" if op.exact({"fn": functions[0]} if functions else {}) else "tolerance"


# --- coverage.md --------------------------------------------------------------------------------------------------------------


def coverage_page() -> str:
    """Ops x stubs, ops x writers, and what the scikit-learn reader knows."""
    return f"""{MARK}
# Coverage

## Ops and stubs

The numbers are cases of `fixtures/ops/` that pass. Every stub passes every case but those its `known_failures.txt` lists with a
reason; a listed case that passes fails the build.

{stub_table()}

## Ops and writers

The numbers are cases of `fixtures/ops/` whose one-step graph a writer writes; it refuses the others, naming the step. Cases that
are refused in every format are not counted.

{writer_table()}

## Estimators

Every estimator of scikit-learn, fitted on bundled real data (`tests/catalogue.py` says with which options), converted, and held
against the original on rows it was not proven on (`tests/sweep.py`). `make sweep` writes `coverage.json`; the nightly target
sweeps all of it again, CI a sample. *Plain* rows are the data's own and a grid through them; *boundary* rows lie on, just below
and just above every kind of boundary of the graph, with missing and extreme cells. *exact*: equal in every bit; else the worst
distance in units in the last place, and the worst error relative to the output's scale. Options and nesting
have tests of their own.

{estimators(table)}
"""


def stub_table() -> str:
    """op -> cases that pass, per stub."""
    described = sorted((ROOT / "stubs").glob("*/stub.json"))
    folders = [path.parent for path in described if json.loads(path.read_text(encoding="utf-8"))["format"] == "json"]
    failing = {folder.name: failures(folder) for folder in folders}
    rows = []
    for name in sorted(OPS):
        total = len(cases(name))
        rows.append((f"`{name}`", *(share(total - failing[folder.name][name], total) for folder in folders)))
    return table(("op", *(folder.name for folder in folders)), rows)


def failures(folder: Path) -> Counter[str]:
    """Op -> number of cases a stub is known to fail."""
    path = folder / "known_failures.txt"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    names = [line.partition(":")[0].strip() for line in lines if line.strip() and not line.startswith("#")]
    return Counter(name.split("/")[1] for name in names if name.startswith("ops/"))


def share(part: int, whole: int) -> str:
    """all, none, or how many of how many."""
    return "all" if part == whole else f"{part} of {whole}" if part else "none"


def writer_table() -> str:
    """op -> cases that can be written, per format."""
    import modelport_json
    import modelport_onnx
    import modelport_pmml

    writers: dict[str, Callable[..., bytes]] = {m.FORMAT: m.write for m in (modelport_json, modelport_onnx, modelport_pmml)}
    rows = []
    for name in sorted(OPS):
        documents = [document(case) for case in cases(name) if "error" not in case]
        written = [share(sum(can_write(write, d) for d in documents), len(documents)) for write in writers.values()]
        rows.append((f"`{name}`", *written))
    return table(("op", *writers), rows)


def document(case: dict[str, Any]) -> Any:
    """The one-step document a case stands for."""
    from modelport_json import read_document

    tolerance = {"y": case["tolerance"]}
    vectors = {"source": "synthetic", "inputs": case["feed"], "outputs": {"y": case["expected"]}, "tolerance": tolerance}
    output = {"name": "y", "from": case["step"]["out"], "dtype": case["expected"]["dtype"], "role": "transform"}
    text = {
        "format": "modelport",
        "version": "1.0",
        "requires": [case["step"]["op"]],
        "inputs": case["inputs"],
        "steps": [case["step"]],
        "outputs": [output],
        "verification": vectors,
    }
    return read_document(json.dumps(text, ensure_ascii=False).encode())


def can_write(write: Callable[..., bytes], described: Any) -> bool:
    """Whether a writer writes a document; Unsupported is its way to say no."""
    try:
        write(described, {})
    except Unsupported:
        return False
    return True


def main() -> int:
    """Write or check the pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = []
    for name, content in pages().items():
        path = ROOT / "docs" / name
        if not path.is_file() or path.read_text(encoding="utf-8") != content:
            stale.append(name)
            if not check:
                path.parent.mkdir(exist_ok=True)
                path.write_text(content, encoding="utf-8", newline="\n")
    done = "nothing to write" if not stale else f"{', '.join(stale)} {'stale: run make docs' if check else 'written'}"
    print(f"docs: {done}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
