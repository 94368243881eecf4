"""The sweep behind docs/coverage.md: every estimator x format x {plain rows, boundary rows}, against the original.

    python tests/sweep.py --write            all of it (some minutes); writes docs/coverage.json
    python tests/sweep.py Ridge SVC          these only, printed

Plain rows are the sample's own and rows on a grid through it; boundary rows are those chosen because the graph changes its mind
there, and extreme and missing cells. None of them is a row the artifact was proven on: they are drawn with another seed.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from catalogue import FITTED, NOT_EXPORTABLE

import modelport
from modelport import registry
from modelport.compare import compare
from modelport.document import EXACT, Vectors
from modelport.errors import ModelportError, Unsupported
from modelport.samples import checked_sample
from modelport.vectors import scale_of
from modelport.verify import answers, build_pool

FORMATS = ("json", "onnx", "pmml")
RESULT = Path(__file__).resolve().parent.parent / "docs" / "coverage.json"
#: rows that are there for no boundary's sake
PLAIN = ("sample", "grid", "plain", "between")
ORDER = ("exact", "within", "mismatch")


def swept(name: str, formats: Sequence[str] = FORMATS, seed: int = 2) -> dict[str, Any]:
    """What one estimator does in each format: {"refused"}, {"wrong"} (sentences) or figures for "plain" and "boundary" rows."""
    model, sample = FITTED[name]()
    results: dict[str, Any] = {}
    for format_ in formats:
        try:
            artifact = modelport.convert(model, format_, sample=sample, backend="graph")
        except Unsupported as error:
            results[format_] = {"refused": str(error)}
            continue
        except ModelportError as error:
            results[format_] = {"wrong": str(error).splitlines()[0]}
            continue
        rows = checked_sample(sample, model)
        reading = registry.reader_for(model)[1].read(model, rows, {})
        pool = build_pool(reading, rows, seed=seed, own_rows=True)
        loaded = registry.writer(format_).load(artifact.data, None)
        assert loaded.vectors is not None
        got = answers(loaded.run, pool)
        results[format_] = {
            "bytes": len(artifact.data),
            **{kind: figures(pool, got, loaded.vectors, kind == "plain") for kind in ("plain", "boundary")},
        }
    return {"predicts": hasattr(model, "predict"), "formats": results}


def figures(pool: Vectors, got: dict[str, Any], carried: Vectors, plain: bool) -> dict[str, Any] | None:
    """The worst of all outputs over the plain rows or the others: equality, ulps, error relative to the scale, flips."""
    index = np.flatnonzero([(note in PLAIN) == plain for note in pool.rows])
    if not len(index):
        return None
    worst: dict[str, Any] = {"rows": len(index), "equality": "exact", "ulp": 0.0, "relative": 0.0, "flips": 0}
    for name, expected in pool.outputs.items():
        report = compare(name, expected[index], got[name][index], carried.tolerance.get(name, EXACT))
        worst["equality"] = max(worst["equality"], report.equality, key=ORDER.index)
        worst["ulp"] = max(worst["ulp"], report.max_ulp or 0.0)
        worst["flips"] += report.flips or 0
        if expected.dtype.kind == "f" and report.max_abs is not None and expected.size:
            error = np.abs(got[name][index] - expected[index])
            size = np.maximum(np.abs(expected[index]), scale_of(expected, pool.rows))
            with np.errstate(invalid="ignore", divide="ignore"):
                relative = np.where(error > 0, error / size, 0.0)
            worst["relative"] = max(worst["relative"], float(np.nanmax(relative, initial=0.0)))
    worst["relative"] = float(f"{worst['relative']:.2g}")
    return worst


def main(names: list[str]) -> int:
    """Sweep; the exit code is 1 when something is wrong."""
    write = "--write" in names
    chosen = [n for n in names if not n.startswith("-")] or list(FITTED)
    warnings.simplefilter("ignore")
    found, wrong = {}, 0
    for name in chosen:
        begin = time.monotonic()
        found[name] = swept(name)
        said = {f: r.get("wrong") or r.get("refused") or _short(r) for f, r in found[name]["formats"].items()}
        bad = any("wrong" in r or "mismatch" in _short(r) for r in found[name]["formats"].values())
        wrong += bad
        print(f"{'WRONG ' if bad else ''}{name} ({time.monotonic() - begin:.1f} s): {said}", flush=True)
    if write:
        import sklearn

        sweep = {"scikit-learn": sklearn.__version__, "estimators": found, "not exportable": NOT_EXPORTABLE}
        text = json.dumps(sweep, indent=1, ensure_ascii=False)
        RESULT.write_text(text + "\n", encoding="utf-8")
    return 1 if wrong else 0


def _short(result: dict[str, Any]) -> str:
    parts = [result.get("plain"), result.get("boundary")]
    return " / ".join("-" if p is None else f"{p['equality']} {p['ulp']:.0f} ulp {p['relative']:.1g}" for p in parts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
