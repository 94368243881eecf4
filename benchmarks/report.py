"""Results as Markdown: per model one table of artifacts and one of consumers, each figure with its ratio to the rival's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

__all__ = ["ARTIFACT_COLUMNS", "CONSUMER_COLUMNS", "markdown", "model_tables"]

#: header -> (key of the result, factor to the unit shown)
ARTIFACT_COLUMNS = {"convert, s": ("convert", 1.0), "size, kB": ("size", 1e-3), "peak memory, MB": ("memory", 1e-6)}
CONSUMER_COLUMNS = {"load, ms": ("load", 1e3), "one row, us": ("one", 1e6), "batch, ms": ("batch", 1e3)}
ANSWER_COLUMNS = ("largest error", "labels that differ")


def model_tables(result: Mapping[str, Any]) -> str:
    """Both tables of one model, and below them why a contender is not in them."""
    artifacts, consumers = result["artifacts"], result["consumers"]
    first = [_row(name, artifacts, ARTIFACT_COLUMNS) for name in artifacts]
    second = [_row(name, consumers, CONSUMER_COLUMNS, ANSWER_COLUMNS) for name in consumers]
    parts = [
        f"## {result['model']}: {result['about']}",
        f"A batch is {result['rows']} rows; fitted in {result['fit_seconds']:.1f} s.",
        table(["artifact", *ARTIFACT_COLUMNS], first),
        table(["consumer", *CONSUMER_COLUMNS, *ANSWER_COLUMNS], second),
        "\n".join(f"* {name}: {e['problem']}" for name, e in (artifacts | consumers).items() if "problem" in e),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _row(
    name: str, entries: Mapping[str, Any], columns: Mapping[str, tuple[str, float]], further: Sequence[str] = ()
) -> list[str]:
    entry = entries[name]
    if "problem" in entry:
        return [name, entry["problem"].partition(":")[0], *["-"] * (len(columns) + len(further) - 1)]
    rival = entries.get(entry.get("rival") or "", {})
    figures = [_figure(entry.get(key), rival.get(key), factor) for key, factor in columns.values()]
    return [name, *figures, *([f"{entry['largest_error']:.1g}", str(entry["flips"])] if further else [])]


def _figure(samples: Sequence[float] | None, rival: Sequence[float] | None, factor: float) -> str:
    """The median in the column's unit, and in brackets how many times the rival's is that."""
    if not samples:
        return "-"
    own = median(samples)
    ratio = f" ({short(median(rival) / own, 2)}x)" if rival and own > 0 else ""
    return f"{short(own * factor)}{ratio}"


def short(value: float, digits: int = 3) -> str:
    """So many significant digits, without an exponent.

    >>> [short(v) for v in (0.012345, 9.876, 12345.6)]
    ['0.0123', '9.88', '12300']
    """
    if value == 0:
        return "0"
    return f"{float(f'{value:.{digits}g}'):.12f}".rstrip("0").rstrip(".")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, aligned so that it reads well as text too."""
    cells = [[c.replace("|", "/") for c in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in cells]
    return "\n".join([lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]])


def markdown(machine: Mapping[str, str], results: Sequence[Mapping[str, Any]]) -> str:
    """The whole page."""
    about = "\n".join(f"* {key}: {value}" for key, value in machine.items())
    note = (
        "Medians of interleaved repetitions in one run; README.md says what each column measures. In brackets: the rival's "
        "figure divided by this one, so above 1 is better than the rival. The rival is skl2onnx (with onnxruntime) for JSON and "
        "ONNX, sklearn2pmml (with the same scorer; with jpmml for modelport.load) for PMML."
    )
    return f"# Benchmarks\n\nWritten by `make bench`.\n\n{about}\n\n{note}\n\n" + "\n".join(model_tables(r) for r in results)
