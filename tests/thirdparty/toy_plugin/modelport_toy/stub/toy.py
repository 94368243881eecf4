"""Runs toytable files: standard library only."""

from __future__ import annotations

import csv
import io
import math

Row = list[float]


class Refused(Exception):
    """The file or the rows are not acceptable (exit code 2)."""


class Mismatch(Exception):
    """The file does not answer as it says it does (exit code 1)."""


class Model:
    """One linear step with the rows that prove it."""

    def __init__(self, text: str) -> None:
        lines = list(csv.reader(io.StringIO(text)))
        if not lines or lines[0] != ["toytable", "1"]:
            raise Refused("this is no toytable of version 1")
        kinds: dict[str, list[list[str]]] = {}
        for line in lines[1:]:
            kinds.setdefault(line[0] if line else "", []).append(line[1:])
        try:
            self.input, self.width = kinds["input"][0][0], int(kinds["input"][0][1])
            self.output, self.atol, self.rtol = kinds["output"][0][0], float(kinds["output"][0][1]), float(kinds["output"][0][2])
            self.weight = [[float(v) for v in line] for line in kinds["weight"]]
            self.bias = [float(v) for v in kinds["bias"][0]]
            self.rows = [[float(v) for v in line[1:]] for line in kinds.get("row", [])]
        except (KeyError, IndexError, ValueError) as error:
            raise Refused(f"the toytable is damaged: {error}") from None
        if any(len(w) != self.width for w in self.weight) or len(self.bias) != len(self.weight):
            raise Refused("the toytable is damaged: weights and bias do not fit the input")
        if any(len(row) != self.width + len(self.bias) for row in self.rows):
            raise Refused("the toytable is damaged: a row has another number of columns")

    def answer(self, x: Row) -> Row:
        """sum_j x[j] * weight[k][j] in ascending j, then + bias[k]."""
        if any(math.isnan(v) for v in x):
            raise Refused(f"input {self.input!r} has a missing value, which this model does not accept")
        result = []
        for weights, bias in zip(self.weight, self.bias):
            total = 0.0
            for v, w in zip(x, weights):
                total += v * w
            result.append(total + bias)
        return result

    def verify(self) -> None:
        """Replay the rows the file carries; zero rows are no proof."""
        if not self.rows:
            raise Refused("the toytable carries no rows, so nothing proves it")
        for number, row in enumerate(self.rows):
            x, expected = row[: self.width], row[self.width :]
            for got, wanted in zip(self.answer(x), expected):
                if not abs(got - wanted) <= self.atol + self.rtol * abs(wanted):
                    raise Mismatch(f"row {number}: {got!r} instead of {wanted!r}")
