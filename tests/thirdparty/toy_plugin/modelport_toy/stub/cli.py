"""The stub protocol around toy.py: predict, verify, info, ops."""

from __future__ import annotations

import json
import math
import sys

from toy import Mismatch, Model, Refused

SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def number(value: object) -> float:
    """A JSON number, or one of the three strings that stand for numbers JSON lacks."""
    if isinstance(value, str) and value in SPECIAL:
        return SPECIAL[value]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Refused(f"{value!r} is no number")
    return float(value)


def spelled(value: float) -> object:
    """The reverse of number."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def rows_of(model: Model, text: bytes) -> list[list[float]]:
    """The rows of {"inputs": {name: tensor}}."""
    try:
        tensor = json.loads(text)["inputs"][model.input]
    except (ValueError, KeyError, TypeError):
        raise Refused(f"the rows are no JSON object with the input {model.input!r}") from None
    if isinstance(tensor, dict):
        flat, width = tensor.get("data"), model.width
        if not isinstance(flat, list) or tensor.get("shape") != [len(flat) // width, width]:
            raise Refused(f"the input {model.input!r} is no tensor of rows of {width} numbers")
        tensor = [flat[i : i + width] for i in range(0, len(flat), width)]
    if not isinstance(tensor, list) or any(not isinstance(row, list) or len(row) != model.width for row in tensor):
        raise Refused(f"the input {model.input!r} needs rows of {model.width} numbers")
    return [[number(v) for v in row] for row in tensor]


def predict(model: Model) -> str:
    answers = [model.answer(x) for x in rows_of(model, sys.stdin.buffer.read())]
    tensor = {
        "dtype": "f64",
        "shape": [len(answers), len(model.bias)],
        "data": [spelled(v) for answer in answers for v in answer],
    }
    return json.dumps({"outputs": {model.output: tensor}}, allow_nan=False)


def run(arguments: list[str]) -> int:
    options = [a for a in arguments if a.startswith("--")]
    command, *paths = [a for a in arguments if not a.startswith("--")] or [""]
    if command == "ops" and not paths:
        print("linear")
        return 0
    if command not in ("predict", "verify", "info") or len(paths) != 1 or set(options) - {"--no-verify"}:
        print("usage: cli.py predict|verify|info ARTIFACT [--no-verify]; cli.py ops", file=sys.stderr)
        return 64
    with open(paths[0], encoding="utf-8", newline="") as file:
        model = Model(file.read())
    if command == "info":
        print(json.dumps({"inputs": [model.input], "outputs": [model.output], "ops": ["linear"]}))
        return 0
    if "--no-verify" not in options:
        model.verify()
    print(predict(model) if command == "predict" else f"{model.output}: {len(model.rows)} rows match")
    return 0


def main(arguments: list[str]) -> int:
    try:
        return run(arguments)
    except Mismatch as error:
        print(error, file=sys.stderr)
        return 1
    except (Refused, OSError, UnicodeDecodeError) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
