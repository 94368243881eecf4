"""How long the costliest small documents take that docs/format.md allows: what its limits do not bound to two seconds.

    python tests/fuzz/worst.py [STUB...]

Every document has less than 100 kB and asks for as much as one limit lets it. The replay is given up after 30 seconds of
processor time.
"""

from __future__ import annotations

import base64
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))


def document(steps: list[dict[str, Any]], dtype: str, shape: list[int], rows: int, answer: int) -> dict[str, Any]:
    """A document of these steps over `rows` rows of ones, with an output of `answer` f64 per row that is surely another."""
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
            "inputs": {"x": {"dtype": dtype, "shape": [rows, *shape], "data": [1] * (rows * width)}},
            "outputs": {"y": {"dtype": "f64", "shape": [rows] + [answer] * (answer > 0), "data": [-7] * (rows * max(1, answer))}},
            "tolerance": {"y": {"atol": 1e300, "rtol": 0}},
        },
    }


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
    k = 103
    nmf = {"op": "nmf", "in": ["x"], "out": "y", "components": [[1 + (t * j) % 7 for j in range(2)] for t in range(k)]}
    nmf |= {"solver": "cd", "max_iter": 100_000, "tol": 0}
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


def main() -> None:
    """Print a table."""
    from mutate import Command, Once

    from modelport.stubs import command_for, stubs, toolchain_problem

    chosen = [stub for stub in stubs() if (not sys.argv[1:] or stub.name in sys.argv[1:]) and toolchain_problem(stub) is None]
    print("| document | kB |", " | ".join(f"{stub.name}: s, MB" for stub in chosen), "|")
    print("|---|---|" + "---|" * len(chosen))
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "worst.json"
        for what, content in worst():
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
