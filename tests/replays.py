"""Documents whose replay takes a number of operations that is counted by hand here: for tests of the limit all readers keep."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import work

sys.path.insert(0, str(Path(__file__).resolve().parent / "fuzz"))

from worst import worst

#: what a document may take beside its limit, for every byte of its text
PER_BYTE = 4096
DEFAULT = 1 << 30
WIDTH = 1 << 18


def tabular() -> tuple[dict[str, Any], int]:
    """Three rows through ops of profile tabular and an activation, and the operations that they take."""
    steps: list[dict[str, Any]] = [
        {"op": "onehot", "in": ["x"], "out": "a", "size": WIDTH},
        {"op": "unary", "in": ["a"], "out": "b", "fn": "exp"},
        {"op": "unary", "in": ["b"], "out": "c", "fn": "neg"},
        {"op": "binary", "in": ["b", "c"], "out": "d", "fn": "pow"},
        {"op": "softmax", "in": ["d"], "out": "e"},
        {"op": "activation", "in": ["e"], "out": "f", "fn": "silu"},
        {"op": "reduce", "in": ["f"], "out": "g", "fn": "logsumexp", "keep": True},
        {"op": "linear", "in": ["g"], "out": "h", "weight": [[1], [2]]},
        {"op": "poly", "in": ["h"], "out": "y", "powers": [[3, 1]]},
    ]
    a_row = (
        8 * (1 + WIDTH)
        + (8 * (WIDTH + WIDTH) + 16 * WIDTH)
        + 8 * (WIDTH + WIDTH)
        + (8 * (WIDTH + WIDTH + WIDTH) + 16 * WIDTH)
        + (8 * (WIDTH + WIDTH) + 16 * WIDTH)
        + (8 * (WIDTH + WIDTH) + 16 * WIDTH)
        + (8 * (WIDTH + 1) + 16 * WIDTH)
        + (8 * (1 + 2) + 2 * 1)
        + (8 * (2 + 1) + (3 + 1))
    )
    verification = {
        "source": "synthetic",
        "inputs": {"x": {"dtype": "i64", "shape": [3], "data": [0, 1, 2]}},
        "outputs": {"y": {"dtype": "f64", "shape": [3, 1], "data": [0, 0, 0]}},
    }
    return document(steps, {"dtype": "i64", "shape": []}, verification), 3 * a_row


def lengths() -> tuple[dict[str, Any], int]:
    """One row of length 3, and two of length 200, in a further set; and the operations that all of them take."""
    steps: list[dict[str, Any]] = [
        {"op": "expand", "in": ["x", "x"], "out": "a", "shape": [0, 4000], "copy": [0, -1]},
        {"op": "unary", "in": ["a"], "out": "b", "fn": "exp"},
        {"op": "reduce", "in": ["b"], "out": "y", "fn": "max", "axes": [0, 1], "keep": True},
    ]

    def rows(n: int, t: int) -> dict[str, Any]:
        return {
            "inputs": {"x": {"dtype": "f64", "shape": [n, t, 1], "data": [0] * (n * t)}},
            "outputs": {"y": {"dtype": "f64", "shape": [n, 1, 1], "data": [1] * n}},
        }

    def operations(n: int, t: int) -> int:
        return n * (8 * (t + t + 4000 * t) + (8 * (4000 * t + 4000 * t) + 16 * 4000 * t) + 8 * (4000 * t + 1))

    verification = {"source": "synthetic", **rows(1, 3), "more": [rows(2, 200)]}
    given = document(steps, {"dtype": "f64", "shape": ["t", 1]}, verification)
    return {**given, "lengths": {"t": 3}}, operations(1, 3) + operations(2, 200)


def texts() -> tuple[dict[str, Any], int]:
    """Five rows of strings, the longest of which is a `match` of 17 code points in 30 bytes; and the operations they take."""
    n = 60_000
    emoji, longest = "\N{GRINNING FACE}", "\N{GREEK SMALL LETTER ALPHA}" * 13 + "zzzz"
    count = {"analyzer": "char", "min_n": 2, "max_n": 5, "space": [32, 32], "fold_from": [97, 98], "fold_to": [emoji * 4, ""]}
    numbers = {"vocabulary": ["q"], "first": 2, "unknown": 1, "fill": 0, "length": 5}
    steps: list[dict[str, Any]] = [
        {"op": "lookup", "in": ["x"], "out": "a", "keys": ["b"], "values": [emoji * 9], "default": emoji * 16},
        {"op": "expand", "in": ["a"], "out": "b", "shape": [1, n]},
        {"op": "expand", "in": ["x"], "out": "c", "shape": [2, 1]},
        {"op": "binary", "in": ["b", "c"], "out": "d", "fn": "eq"},
        {"op": "reshape", "in": ["b"], "out": "e", "shape": [n]},
        {"op": "impute", "in": ["e"], "out": "f", "match": longest, "values": [""]},
        {"op": "hash_terms", "in": ["f"], "out": "g", "prefix": ["p"], "size": 7},
        {"op": "count_terms", "in": ["x"], "out": "h", "vocabulary": ["a", "b"], **count},
        {"op": "count_terms", "in": ["x"], "out": "i", "vocabulary": ["a"], **count, "fold_to": ["c", "d"], "hangul": True},
        {"op": "term_ids", "in": ["x"], "out": "j", **count, **numbers},
        {"op": "constant", "in": [], "out": "y", "value": {"dtype": "f64", "shape": [1], "data": [7]}},
    ]
    elements = [1 + 1, 1 + n, 1 + 2, n + 2 + 2 * n, n + n, n + n, n + 7, 1 + 2, 1 + 1, 1 + 5, 1]
    strings = [2, 1 + n, 3, n + 2 + 2 * n, n + n, n + n, n + n, 1 + 4 * 14, 1 + 3 * 14, 1 + 4 * 14, 0]
    a_row = 8 * sum(elements) + 16 * 1 + len(longest) * sum(strings)
    verification = {
        "source": "synthetic",
        "inputs": {"x": {"dtype": "str", "shape": [5, 1], "data": ["a", "b", "c", emoji * 16, "\N{DEGREE SIGN}" * 16]}},
        "outputs": {"y": {"dtype": "f64", "shape": [5, 1], "data": [7] * 5}},
    }
    given = document(steps, {"dtype": "str", "shape": [1]}, verification)
    given["outputs"].append({"name": "z", "from": "a", "dtype": "str", "role": "transform", "classes": ["long" * 20]})
    answers = [emoji * (9 if k == 1 else 16) for k in range(5)]
    given["verification"]["outputs"]["z"] = {"dtype": "str", "shape": [5, 1], "data": answers}
    given["verification"]["tolerance"]["z"] = "exact"
    return given, 5 * a_row


def counted() -> list[tuple[str, str, int]]:
    """(op, document, operations) of every case with answers, and of strings whose operations are counted by hand."""
    given, operations = texts()
    return [*work.of_ops(), ("texts", json.dumps(given, ensure_ascii=False), operations)]


def document(steps: list[dict[str, Any]], given: dict[str, Any], verification: dict[str, Any]) -> dict[str, Any]:
    """Steps from x to y, with rows that agree whatever they give."""
    return {
        "format": "modelport",
        "version": "1.1",
        "doc": "\N{GREEK SMALL LETTER LAMDA}",
        "requires": list(dict.fromkeys(step["op"] for step in steps)),
        "inputs": [{"name": "x", **given}],
        "steps": steps,
        "outputs": [{"name": "y", "from": "y", "dtype": "f64", "role": "score"}],
        "verification": {**verification, "tolerance": {"y": {"atol": 1e300, "rtol": 0}}},
    }


def cases(folder: Path) -> Iterator[tuple[str, int, str]]:
    """Name of a file in the folder, the limit to load it with, and how the refusal has to begin (empty: it is accepted)."""
    for make in (tabular, lengths, texts):
        given, operations = make()
        data = json.dumps(given, ensure_ascii=False).encode()
        beside = PER_BYTE * len(data)
        assert beside < operations < DEFAULT
        name = f"{make.__name__}.json"
        (folder / name).write_bytes(data)
        limit = operations - 1
        sentence = f"takes {operations} operations, more than the limit of {limit} ({limit - beside}, and {PER_BYTE} for every"
        yield name, operations - beside, ""
        yield name, limit - beside, sentence
    _, given = next(worst())
    (folder / "worst.json").write_text(json.dumps(given), encoding="utf-8")
    yield "worst.json", DEFAULT, "Replaying the carried rows takes "


def of_ops(folder: Path) -> list[tuple[str, int, str]]:
    """A case for every op case of the fixtures that is to be refused whatever it takes, for what the reference counts."""
    (folder / "ops").mkdir()
    written = []
    for number, (_, text, operations) in enumerate(counted()):
        name = f"ops/{number}.json"
        (folder / name).write_text(text, encoding="utf-8")
        written.append((name, work.LEAST, f"takes {operations} operations, more than the limit of "))
    return written


def check(said: str, written: list[tuple[str, int, str]]) -> None:
    """Judges what a program said: for every case a line of the exit code and the sentence with a replay, and one without."""
    lines = iter(said.splitlines())
    for name, limit, sentence in written:
        for line in (next(lines), next(lines)):
            code, _, found = line.partition(" ")
            assert code == ("2" if sentence else "0"), (name, limit, line)
            assert sentence in found
    assert next(lines, None) is None


def write(folder: Path, written: list[tuple[str, int, str]] | None = None) -> list[tuple[str, int, str]]:
    """The cases, in the folder, with cases.txt: a file and its limit per line."""
    written = list(cases(folder)) if written is None else written
    (folder / "cases.txt").write_text("".join(f"{name} {limit}\n" for name, limit, _ in written), encoding="utf-8")
    return written
