"""Train on real data, convert to JSON, ONNX and PMML, replay every artifact in every consumer, print the parity table.

Usage: python demo/demo.py [--output demo-output]
Writes the artifacts, report.md and report.json. Exit code 1 when any consumer answers differently from the original.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import modelport
from modelport.errors import MissingDependency, Unsupported
from modelport.verify import ConsumerReport, Report

ROOT = Path(__file__).resolve().parent.parent
CONSUMERS = {"json": ["python", "javascript", "java", "c"], "onnx": [], "pmml": ["pypmml", "jpmml"]}


def models() -> Iterator[tuple[str, Any, Any]]:
    """(name, fitted model, sample) on the bundled real data sets and a mixed frame with missing values."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.compose import ColumnTransformer
    from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
    from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler
    from sklearn.svm import SVC

    iris = load_iris(as_frame=True)
    named = iris.target_names[iris.target]
    yield "iris", make_pipeline(StandardScaler(), LogisticRegression()).fit(iris.data, named), iris.data

    wine = load_wine(as_frame=True)
    yield "wine", RandomForestClassifier(50, random_state=0).fit(wine.data, wine.target), wine.data

    cancer = load_breast_cancer(as_frame=True)
    holes = cancer.data.mask(_holes(cancer.data.shape, 0.05))
    yield "breast cancer", HistGradientBoostingClassifier(max_iter=40, random_state=0).fit(holes, cancer.target), holes

    diabetes = load_diabetes(as_frame=True)
    yield "diabetes", GradientBoostingRegressor(random_state=0).fit(diabetes.data, diabetes.target), diabetes.data

    digits = load_digits()
    mlp = MLPClassifier((32,), max_iter=60, random_state=0)
    yield "digits", make_pipeline(MinMaxScaler(), mlp).fit(digits.data, digits.target), digits.data

    support = make_pipeline(StandardScaler(), SVC())
    yield "wine calibrated", CalibratedClassifierCV(support, ensemble=False).fit(wine.data, wine.target), wine.data

    frame, progressed = _mixed_frame()
    numbers, strings = ["age (years)", "body.mass", "blutdruck größe"], ["sex", "weight class", "clinic"]
    prepare = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()), numbers),
            ("strings", make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")), strings),
            ("flag", "passthrough", ["glucose high"]),
        ]
    )
    yield "mixed frame", make_pipeline(prepare, LogisticRegression(max_iter=500)).fit(frame, progressed), frame


def _holes(shape: tuple[int, int], share: float) -> Any:
    import numpy as np

    return np.random.default_rng(0).random(shape) < share


def _mixed_frame() -> tuple[Any, Any]:
    spec = importlib.util.spec_from_file_location("mixed_frame", ROOT / "fixtures" / "recipes" / "mixed_frame.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.mixed_frame()


def main() -> int:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", default="demo-output")
    folder = Path(parser.parse_args().output)
    folder.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    rows, reports, skipped, failed = [], [], {}, 0
    for name, model, sample in models():
        for format_ in CONSUMERS:
            path = folder / f"{name.replace(' ', '_')}.{format_}"
            started = time.perf_counter()
            try:
                artifact = modelport.convert(model, path, sample=sample)
            except (MissingDependency, Unsupported) as error:
                skipped[f"{name} to {format_}"] = str(error)
                continue
            spent = time.perf_counter() - started
            report = modelport.verify(path, model=model, sample=sample, with_=CONSUMERS[format_])
            reports.append({"model": name, "convert_seconds": spent, "bytes": len(artifact.data), **report.to_json()})
            for consumer in report.consumers:
                if consumer.passed and consumer.consumer.endswith("carried rows"):
                    continue
                if consumer.problem is not None and consumer.exit_code == 3:
                    skipped[f"{consumer.consumer} on {format_}"] = consumer.problem
                    continue
                failed += not consumer.passed
                rows.append([name, format_, consumer.consumer, str(report.rows), *_summary(consumer)])
    table = _table(["model", "format", "consumer", "rows", "label flips", "largest error", "result"], rows)
    print(table)
    for what, why in skipped.items():
        print(f"skipped: {what}: {why}")
    print(f"{len(rows)} replays, {failed} failed, {len(skipped)} skipped; artifacts and report in {folder}{os.sep}")
    notes = "\n".join(f"* skipped: {what}: {why}" for what, why in skipped.items())
    (folder / "report.md").write_text(f"# Parity of the demo\n\n{table}\n\n{notes}\n", encoding="utf-8")
    (folder / "report.json").write_text(json.dumps(reports, indent=1, allow_nan=False), encoding="utf-8")
    return 1 if failed or not rows else 0


def _summary(consumer: ConsumerReport) -> list[str]:
    """Label flips, largest error and result of one consumer."""
    if consumer.problem is not None:
        return ["-", "-", f"FAILED: {consumer.problem}"]
    flips = [o.flips for o in consumer.outputs if o.flips is not None]
    errors = [o for o in consumer.outputs if o.equality != "exact"]
    worst = max(errors, key=lambda o: o.max_abs if o.max_abs is not None else float("inf"), default=None)
    largest = (
        "0" if worst is None else f"{worst.max_abs:.2g} ({worst.output})" if worst.max_abs is not None else f"? ({worst.output})"
    )
    result = "FAILED" if not consumer.passed else "every bit" if not errors else "within tolerance"
    return [str(sum(flips)) if flips else "-", largest, result]


def _table(header: list[str], rows: list[list[str]]) -> str:
    widths = [max(len(r[i]) for r in [header, *rows]) for i in range(len(header))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)) + " |" for r in [header, *rows]]
    return "\n".join([lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]])


__all__ = ["Report", "main", "models"]

if __name__ == "__main__":
    sys.exit(main())
