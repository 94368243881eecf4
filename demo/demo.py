"""Train on real data, convert to JSON, ONNX and PMML, replay every artifact in every consumer, print the parity table.

Usage: python demo/demo.py [--output demo-output]
Writes the artifacts, report.md, report.json and, where matplotlib is installed, report.html. Exit code 1 when any consumer
answers differently from the original.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
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
from modelport.report import gather, write_page
from modelport.verify import ConsumerReport, Report

ROOT = Path(__file__).resolve().parent.parent
FORMATS = ("json", "onnx", "pmml")


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


def nets(skipped: dict[str, str]) -> Iterator[tuple[str, Any, Any]]:
    """A small net of PyTorch and one of Keras, trained on the digits, where these are installed."""
    import numpy as np
    from sklearn.datasets import load_digits

    digits = load_digits()
    images, labels = (digits.images / 16.0).astype(np.float32), digits.target
    if importlib.util.find_spec("torch") and importlib.util.find_spec("onnxscript"):
        yield "digits CNN, PyTorch", _torch_net(images[:, None], labels), images[:, None]
    else:
        skipped["digits CNN, PyTorch"] = "torch and onnxscript are not installed: pip install 'modelport[torch]'"
    if importlib.util.find_spec("keras") and importlib.util.find_spec("tensorflow"):
        rows = images.reshape(len(images), -1)
        yield "digits MLP, Keras", _keras_net(rows, labels), rows
    else:
        skipped["digits MLP, Keras"] = "keras and tensorflow are not installed: pip install 'modelport[keras]' tensorflow"


def _torch_net(images: Any, labels: Any) -> Any:
    import torch
    from torch import nn

    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 10)]
    net = nn.Sequential(*layers, nn.Softmax(-1))
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    for _ in range(4):
        for part in torch.randperm(len(x)).split(128):
            optimizer.zero_grad()
            nn.functional.nll_loss(torch.log(net(x[part]) + 1e-9), y[part]).backward()
            optimizer.step()
    return net.eval()


def _keras_net(rows: Any, labels: Any) -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(32, activation="gelu"), keras.layers.Dense(10, activation="softmax")]
    net = keras.Sequential([keras.Input((64,)), *layers])
    net.compile("adam", "sparse_categorical_crossentropy")
    net.fit(rows, labels, epochs=6, batch_size=64, verbose=0)
    return net


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
    rows, reports, pages, failed = [], [], [], 0
    skipped: dict[str, str] = {}
    for name, model, sample in itertools.chain(models(), nets(skipped)):
        written, spent = [], {}
        for format_ in FORMATS:
            path = folder / f"{name.replace(',', '').replace(' ', '_')}.{format_}"
            started = time.perf_counter()
            try:
                modelport.convert(model, path, sample=sample)
            except (MissingDependency, Unsupported) as error:
                skipped[f"{name} to {format_}"] = str(error)
                continue
            spent[format_] = time.perf_counter() - started
            written.append(path)
        if not written:
            continue
        facts = gather(written, model=model, sample=sample, with_="all", title=name)
        pages.append(facts)
        for artifact in facts.artifacts:
            report = artifact.report
            seconds = spent[report.format]
            reports.append({"model": name, "convert_seconds": seconds, "bytes": artifact.bytes, **report.to_json()})
            skipped |= {f"{consumer} on {report.format}": why for consumer, why in report.not_run.items()}
            for consumer in report.consumers:
                if consumer.passed and consumer.consumer.endswith("carried rows"):
                    continue
                failed += not consumer.passed
                rows.append([name, report.format, consumer.consumer, str(report.rows), *_summary(consumer)])
    table = _table(["model", "format", "consumer", "rows", "label flips", "largest error", "result"], rows)
    print(table)
    for what, why in skipped.items():
        print(f"skipped: {what}: {why}")
    print(f"{len(rows)} replays, {failed} failed, {len(skipped)} skipped; artifacts and report in {folder}{os.sep}")
    notes = "\n".join(f"* skipped: {what}: {why}" for what, why in skipped.items())
    (folder / "report.md").write_text(f"# Parity of the demo\n\n{table}\n\n{notes}\n", encoding="utf-8")
    (folder / "report.json").write_text(json.dumps(reports, indent=1, allow_nan=False), encoding="utf-8")
    try:
        write_page(folder / "report.html", pages, "The demo")
    except MissingDependency as error:
        print(f"skipped: report.html: {error}")
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


__all__ = ["Report", "main", "models", "nets"]

if __name__ == "__main__":
    sys.exit(main())
