"""How long the costliest small documents take that docs/format.md allows, or would without its limit for a replay.

    python tests/fuzz/worst.py [--seconds 30] [--only WORDS] [STUB...]

Most documents have less than 150 kB. The first ones ask for as much as the limits of a row let them, and the limit of a replay
refuses them (2 in brackets, the exit code). The others carry as many rows as that limit lets them, for ops that take longer for
an operation than others. A replay is given up after so many seconds of processor time.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
for _folder in (ROOT, ROOT / "converters", ROOT / "tests", ROOT / "tests" / "fuzz"):
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))


Steps = list[dict[str, Any]]


def document(steps: Steps, dtype: str, shape: list[int], rows: int, answer: int, value: Any = 1) -> dict[str, Any]:
    """A document of these steps over `rows` rows of one value, with an output of `answer` f64 per row that is surely another."""
    width = 1
    for length in shape:
        width *= length
    return {
        "format": "modelport",
        "version": "1.1",
        "requires": list(dict.fromkeys(step["op"] for step in steps)),
        "inputs": [{"name": "x", "dtype": dtype, "shape": shape}],
        "steps": steps,
        "outputs": [{"name": "y", "from": steps[-1]["out"], "dtype": "f64", "role": "transform"}],
        "verification": {
            "source": "synthetic",
            "inputs": {"x": {"dtype": dtype, "shape": [rows, *shape], "data": [value] * (rows * width)}},
            "outputs": {"y": {"dtype": "f64", "shape": [rows] + [answer] * (answer > 0), "data": [-7] * (rows * max(1, answer))}},
            "tolerance": {"y": {"atol": 1e300, "rtol": 0}},
        },
    }


def filled(steps: Steps, dtype: str = "f64", value: Any = 1, shape: tuple[int, ...] = (1,)) -> dict[str, Any]:
    """A document of these steps with as many rows as a replay may have."""
    from modelport_json import read_document

    from modelport.graph import LIMITS, WORK_PER_BYTE

    rows = 1
    for _ in range(8):
        content = document(steps, dtype, list(shape), rows, 0, value)
        if rows == 1:
            graph = read_document(json.dumps(content).encode()).graph
            operations = graph.replaying(1, max(graph.longest, len(value) if isinstance(value, str) else 0))
        fits = min(LIMITS.vector_rows, (LIMITS.work + WORK_PER_BYTE * len(json.dumps(content))) // operations)
        if fits <= rows:
            break
        rows = fits
    return content


def sparse(*shape: int, dtype: str = "f64") -> dict[str, Any]:
    """A tensor of zeros, in a bit each."""
    count = 1
    for length in shape:
        count *= length
    mask = base64.b64encode(bytes((count + 7) // 8)).decode()
    return {"dtype": dtype, "shape": list(shape), "enc": "b64", "mask": mask, "data": ""}


def summed(steps: Steps, rank: int = 1) -> Steps:
    """The steps, and the sum of all elements of the last value."""
    axes = {} if rank == 1 else {"axes": list(range(rank))}
    return [*steps, {"op": "reduce", "in": [steps[-1]["out"]], "out": "y", "fn": "sum", **axes}]


def repeated(shape: list[int], times: int, op: str, inputs: int = 1, **attributes: Any) -> Steps:
    """An op on a value of 2^20 elements and so, several times."""
    wide = {"op": "expand", "in": ["x"], "out": "wide", "shape": shape}
    return [wide, *({"op": op, "in": ["wide"] * inputs, "out": f"v{k}", **attributes} for k in range(times))]


def slow() -> Iterator[tuple[str, dict[str, Any]]]:
    """Documents of ops that take longer for an operation than others."""
    n = 1 << 20
    column = [n, 1]
    scaled = repeated(column, 20, "scale", sub=[1], div=[3], mul=[2], add=[1])
    yield "scale along axes of length 1", filled(summed(scaled, 2))
    yield "normalize along axes of length 1", filled(summed(repeated(column, 20, "normalize", norm="l2"), 2))
    yield "sums over axes of length 1", filled(summed(repeated(column, 20, "reduce", fn="sum", axes=[1])))
    yield "transpose of rank 5", filled(summed(repeated([16] * 5, 20, "transpose", perm=[4, 3, 2, 1, 0]), 5))
    yield (
        "where",
        filled(
            summed(
                [
                    {"op": "expand", "in": ["x"], "out": "wide", "shape": [n]},
                    {"op": "binary", "in": ["wide", "x"], "out": "b", "fn": "eq"},
                    *({"op": "where", "in": ["b", "wide", "wide"], "out": f"v{k}"} for k in range(20)),
                ]
            )
        ),
    )
    for fn, value in (("sin", 1e300), ("norm_ppf", 1e-300), ("erf", 2.5), ("sinh", 3.0)):
        yield f"{fn} of {value:g}", filled(summed(repeated([n], 20, "unary", fn=fn)), value=value)
    yield "softmax", filled(summed(repeated([n], 20, "softmax")))
    yield "mish", filled(summed(repeated([n], 20, "activation", fn="mish")))
    yield "matrices of 1 x 1, times such", filled(summed(repeated([n, 1, 1], 20, "matmul", 2), 3))
    vector = {"op": "expand", "in": ["x"], "out": "long", "shape": [1, n]}
    dots = [{"op": "matmul", "in": ["long", "wide"], "out": f"p{k}"} for k in range(20)]
    yield "a row of 2^20 times a column", filled(summed([*repeated(column, 0, ""), vector, *dots], 2))
    yield "attention of single queries and keys", filled(summed(repeated([n, 1, 1], 20, "attention", 3), 3))
    yield "attention of 1,024 keys of 1 element", filled(summed(repeated([1024, 1], 5, "attention", 3), 2))
    yield "pool of windows of 1 element, 2^20 channels", filled(summed(repeated(column, 10, "pool", fn="max", size=[1]), 2))
    yield "pool of 32 x 32", filled(summed(repeated([1, 256, 256], 5, "pool", fn="max", size=[32, 32]), 3))
    one = {"dtype": "f64", "shape": [1, 1, 1, 1], "data": [1]}
    yield "conv of 1 x 1", filled(summed(repeated([1, 1024, 1024], 10, "conv", weight=one), 3))
    grouped = repeated([1 << 16, 1], 10, "conv", weight=sparse(1 << 16, 1, 1), groups=1 << 16)
    yield "conv of 2^16 groups of 1 x 1", filled(summed(grouped, 2))
    for op, gates in (("lstm", 4), ("gru", 3), ("rnn", 1)):
        u = repeated(column, 3, op, weight=[[0.5]] * gates, recurrent=[[0.5]] * gates)
        yield f"{op} of one unit, 2^20 times", filled(summed(u, 2))
    descending: Steps = [
        {"op": "expand", "in": ["x"], "out": "wide", "shape": [n]},
        {"op": "cumsum", "in": ["wide"], "out": "falling", "axis": 0},
        *({"op": "smallest", "in": ["falling"], "out": f"v{k}", "k": n // 2} for k in range(10)),
    ]
    yield "smallest of descending numbers", filled(summed(descending), value=-1)
    trees = {"op": "tree_ensemble", "in": ["x"], "out": "z", "start": list(range(1000)), "feature": [-1] * 1000}
    trees |= {"threshold": [], "right": [], "leaf_width": 1 << 16, "leaf": [0] * 1000, "leaf_table": sparse(1 << 16)}
    yield "1,000 trees of one leaf of 2^16 elements", filled(summed([trees]))
    near = {"op": "knn", "in": ["wide"], "out": "z", "k": 64, "weights": "uniform", "targets": sparse(64, 1 << 13)}
    yield "knn of 64 neighbours, 2^13 targets", filled(summed([*repeated([64], 0, ""), near]))
    yield from slow_solvers()
    yield from slow_texts()


def slow_solvers() -> Iterator[tuple[str, dict[str, Any]]]:
    """Solvers with rounds of next to no products, and without rounds."""
    table, rounds = [[1]], {"max_iter": 10_000}
    for solver, tol in (("mu", 1e-300), ("minibatch", 0)):
        nmf = {"op": "nmf", "in": ["x"], "out": "z", "components": table, "solver": solver, "beta": 0.5, "tol": tol, **rounds}
        yield f"nmf, {solver}, of a component of one number", filled(summed([nmf]))
    lda = {"op": "lda_topics", "in": ["x"], "out": "z", "prior": 0.001, "tol": 0}
    yield "lda_topics, a topic of a word", filled(summed([{**lda, "components": table, **rounds}]))
    yield "lda_topics, 50 topics of a word", filled(summed([{**lda, "components": [[k % 7 + 1] for k in range(50)], **rounds}]))
    large = {**lda, "in": ["wide"], "components": sparse(16, 1 << 15), "max_iter": 0}
    yield "lda_topics, 16 topics of 2^15 words, no round", filled(summed([*repeated([1 << 15], 0, ""), large]))
    lasso = {"op": "sparse_code", "in": ["x"], "out": "z", "atoms": [[1, 2]], "algorithm": "lasso_cd", "alpha": 0.001, "tol": 0}
    yield "sparse_code, lasso_cd, of one atom", filled(summed([{**lasso, **rounds}]), shape=(2,))


def slow_texts() -> Iterator[tuple[str, dict[str, Any]]]:
    """A long text that stands in the document once, and that rows and steps have often."""
    text, short = "a" * 20_000, "a" * 700
    long = {"op": "lookup", "in": ["x"], "out": "long", "keys": ["a"], "values": [text]}
    often = {"op": "expand", "in": ["long"], "out": "wide", "shape": [1 << 13]}
    found = {"op": "lookup", "in": ["wide"], "out": "z", "keys": [text], "values": [1]}
    yield "2^13 long keys that are looked up", filled(summed([long, often, found]), "str", "a")
    yield (
        "2^13 long strings that are compared",
        filled(summed([long, often, {"op": "is_missing", "in": ["wide"], "out": "z", "match": text}]), "str", "a"),
    )
    yield (
        "2^13 long terms that are hashed",
        filled(summed([long, often, {"op": "hash_terms", "in": ["wide"], "out": "z", "size": 4}]), "str", "a"),
    )
    terms = {"op": "count_terms", "out": "z", "analyzer": "char", "min_n": 1, "max_n": 64, "space": [32, 32], "vocabulary": ["q"]}
    yield "terms of a long text", filled(summed([long, {**terms, "in": ["long"]}]), "str", "a")
    folded = {**terms, "in": ["x"], "fold_from": [97], "fold_to": [short]}
    yield "terms of letters that are folded to a long text", filled(summed([folded]), "str", short)


def worst() -> Iterator[tuple[str, dict[str, Any]]]:
    """What it asks for, and the document."""
    wide = [
        {"op": "onehot", "in": ["x"], "out": "wide", "size": 2**22},
        {"op": "reduce", "in": ["wide"], "out": "y", "fn": "sum"},
    ]
    yield "values of 2^22 elements, 4,096 carried rows", document(wide, "i64", [], 4096, 0)
    table = base64.b64encode(bytes([255]) * 40_000).decode()
    powers = {"dtype": "u8", "shape": [40_000, 1], "enc": "b64", "data": table}
    poly = [
        {"op": "poly", "in": ["x"], "out": "many", "powers": powers},
        {"op": "reduce", "in": ["many"], "out": "y", "fn": "sum"},
    ]
    yield "poly: 40,000 products of 255 factors, 4,096 carried rows", document(poly, "f64", [1], 4096, 0)
    k = 327
    nmf = {"op": "nmf", "in": ["x"], "out": "y", "components": [[1 + (t * j) % 7 for j in range(2)] for t in range(k)]}
    nmf |= {"solver": "cd", "max_iter": 10_000, "tol": 0}
    yield "nmf at its limit of 2^30 a row, 4 carried rows", document([nmf], "f64", [2], 4, k)
    image = [
        {"op": "expand", "in": ["x"], "out": "image", "shape": [1, 2048, 2048]},
        {"op": "conv", "in": ["image"], "out": "z", "weight": {"dtype": "f64", "shape": [1, 1, 60, 60], "data": [1] * 3600}},
        {"op": "reduce", "in": ["z"], "out": "y", "fn": "sum", "axes": [0, 1, 2]},
    ]
    yield "conv of 2^33.7 multiplications a row, 1 carried row", document(image, "f64", [1, 1, 1], 1, 0)
    c = 1500
    votes = [
        {"op": "onehot", "in": ["x"], "out": "one", "size": c * (c - 1) // 2},
        {"op": "ovo_vote", "in": ["one"], "out": "v", "classes": c, "mode": "votes"},
        {"op": "reduce", "in": ["v"], "out": "y", "fn": "sum"},
    ]
    yield "ovo_vote of 1,500 classes, 4,096 carried rows", document(votes, "i64", [1], 4096, 0)
    yield from slow()


def main() -> None:
    """Print a table."""
    from mutate import Command, Once

    from modelport.stubs import command_for, stubs, toolchain_problem

    parser = argparse.ArgumentParser(description="How long the costliest small documents take.")
    parser.add_argument("stubs", nargs="*", metavar="STUB")
    parser.add_argument("--seconds", type=int, default=30, help="when a replay is given up")
    parser.add_argument("--only", default="", metavar="WORDS", help="documents whose name has these words")
    given = parser.parse_args()
    os.environ["MODELPORT_FUZZ_SECONDS"] = str(given.seconds)
    chosen = [stub for stub in stubs() if (not given.stubs or stub.name in given.stubs) and toolchain_problem(stub) is None]
    print("| document | kB |", " | ".join(f"{stub.name}: s, MB" for stub in chosen), "|")
    print("|---|---|" + "---|" * len(chosen))
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "worst.json"
        for what, content in worst():
            if given.only not in what:
                continue
            path.write_text(json.dumps(content))
            cells = []
            for stub in chosen:
                process = Once(command_for(stub), Path(name))
                (answer,) = process.ask([Command(["verify", str(path)])])
                process.stop()
                ended = answer.done.code in (0, 1, 2, 3)
                cells.append(f"{answer.seconds:.1f}{'' if ended else '+'}, {answer.memory >> 20} ({answer.done.code})")
            print(f"| {what} | {path.stat().st_size // 1000} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
