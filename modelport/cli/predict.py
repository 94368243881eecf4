"""modelport predict: rows -> answers."""

from __future__ import annotations

import argparse
import io
import sys
from typing import Any

from ..errors import UsageError
from .common import TABLES, add_json, check_output

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """The command's options."""
    command = commands.add_parser("predict", help="answer rows with an artifact, after it has proven itself")
    command.add_argument("artifact")
    command.add_argument("rows", help=TABLES)
    command.add_argument("-o", "--output", metavar="PATH", help="a CSV or .npz file; CSV on standard output when left out")
    add_json(command, "the answers (docs/format.md, section 11)")
    command.set_defaults(run=run)


def run(a: argparse.Namespace) -> int:
    """modelport predict"""
    from ..api import load
    from ..artifact import write_atomically
    from ..files import load_sample

    if a.output not in (None, "-"):
        check_output(a.output)
        if a.json and a.output.lower().endswith((".csv", ".npz")):
            raise UsageError(f"--json contradicts -o {a.output!r}, whose suffix is that of another kind of file.")
    predictor = load(a.artifact)
    rows = load_sample(a.rows, predictor.known_strings())
    outputs = predictor.predict(rows)
    if a.output not in (None, "-") and a.output.lower().endswith(".npz"):
        write_atomically(a.output, outputs_as_npz(outputs))
        return 0
    csv_of = {o.name: o.classes for o in predictor.outputs}
    text = outputs_as_json(outputs) if a.json else outputs_as_csv(outputs, csv_of)
    if a.output not in (None, "-"):
        write_atomically(a.output, text.encode("utf-8"))
    elif isinstance(sys.stdout, io.TextIOWrapper):  # UTF-8, whatever the terminal's encoding: labels are data
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8"))
    else:
        print(text, end="")
    return 0


def outputs_as_json(outputs: dict[str, Any]) -> str:
    """Outputs as JSON text, as a stub answers: a tensor per output; numbers round-trip, NaN and infinities are strings."""
    import json

    from modelport_json.tensors import encode

    members = ",\n".join(f"{json.dumps(name, ensure_ascii=False)}: {encode(array)}" for name, array in outputs.items())
    return f'{{"outputs": {{\n{members}\n}}}}\n'


def outputs_as_npz(outputs: dict[str, Any]) -> bytes:
    """Outputs as the bytes of an .npz file; strings become NumPy's own, so that nothing is pickled."""
    import zipfile

    import numpy as np

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, values in outputs.items():
            array = np.asarray(values.tolist(), dtype=str) if values.dtype == object else values
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return buffer.getvalue()


def outputs_as_csv(outputs: dict[str, Any], classes: dict[str, Any]) -> str:
    """Outputs as CSV text: one column per output, or per class or position of a wider one; numbers round-trip."""
    import csv
    import io

    columns: list[tuple[str, list[Any]]] = []
    for name, values in outputs.items():
        if values.ndim == 1:
            columns.append((name, values.tolist()))
            continue
        flat = values.reshape(len(values), -1)
        named = classes.get(name)
        labels = named if named is not None and len(named) == flat.shape[1] else range(flat.shape[1])
        columns += [(f"{name}[{label}]", flat[:, j].tolist()) for j, label in enumerate(labels)]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([name for name, _ in columns])
    writer.writerows(zip(*(values for _, values in columns), strict=True))
    return out.getvalue()
