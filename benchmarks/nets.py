"""What converting a net costs beyond its exporter.

    python benchmarks/nets.py            # prints the table and writes benchmarks/nets.md

Medians of CPU seconds; the ratio is of medians. A PyTorch module is converted with torch.onnx's exporter inside: *exporter* is
what that call took of the same conversion, the rest is reading, writing and the proof. A Keras model is read from its layers,
without an exporter: *exporter* is tf2onnx alone, in turn with ours, for the same model.

Needs torch, onnxscript, keras, tensorflow and tf2onnx.
"""

from __future__ import annotations

import logging
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.update(KERAS_BACKEND="tensorflow", TF_CPP_MIN_LOG_LEVEL="3", OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="-1")
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
RUNS = 5


def seconds(work: Callable[[], Any]) -> float:
    """CPU seconds of this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def torch_models() -> dict[str, tuple[Callable[[], Any], Any]]:
    """Name -> how a fresh module is made, and what it is fed."""
    import numpy as np
    import torch
    from torch import nn

    def mlp() -> Any:
        return nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)).eval()

    def cnn() -> Any:
        layers: list[Any] = []
        for i, o in ((3, 16), (16, 32), (32, 64)):
            layers += [nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU(), nn.MaxPool2d(2)]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 16, 10)).eval()

    def encoder() -> Any:
        return nn.TransformerEncoder(
            nn.TransformerEncoderLayer(64, 4, 128, batch_first=True), 4, enable_nested_tensor=False
        ).eval()

    def bert() -> Any:
        import transformers

        config = transformers.BertConfig(
            vocab_size=1000, hidden_size=128, num_hidden_layers=4, num_attention_heads=4, intermediate_size=256
        )
        return transformers.BertModel(config).eval()

    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    return {
        "MLP": (mlp, rng.normal(size=(4, 64)).astype(np.float32)),
        "CNN with batch norm": (cnn, rng.normal(size=(4, 3, 32, 32)).astype(np.float32)),
        "TransformerEncoder, 4 layers": (encoder, rng.normal(size=(4, 16, 64)).astype(np.float32)),
        "BERT, 4 layers": (bert, {"input_ids": rng.integers(0, 1000, size=(4, 16))}),
    }


def keras_models() -> dict[str, tuple[Callable[[], Any], Any]]:
    """Name -> how a fresh model is made, and what it is fed."""
    import keras
    import numpy as np

    def mlp() -> Any:
        layers = [keras.layers.Dense(256, activation="relu"), keras.layers.Dense(256, activation="relu"), keras.layers.Dense(10)]
        return keras.Sequential([keras.Input((64,)), *layers])

    def mobile() -> Any:
        return keras.applications.MobileNetV2(input_shape=(64, 64, 3), weights=None, classes=10)

    rng = np.random.default_rng(0)
    return {
        "Keras MLP": (mlp, rng.normal(size=(4, 64)).astype(np.float32)),
        "MobileNetV2, 64 x 64": (mobile, rng.uniform(0, 1, size=(2, 64, 64, 3)).astype(np.float32)),
    }


def export_keras(model: Any, sample: Any) -> Any:
    """tf2onnx alone."""
    import tensorflow as tf
    import tf2onnx

    signature = [tf.TensorSpec((None, *model.inputs[0].shape[1:]), tf.float32, name="x")]
    return tf2onnx.convert.from_function(tf.function(lambda x: model(x, training=False)), signature, opset=18)


class Inside:
    """CPU seconds that go into one function of a module while the block runs."""

    def __init__(self, module: Any, name: str) -> None:
        self.module, self.name, self.function, self.spent = module, name, getattr(module, name), 0.0

    def __enter__(self) -> Inside:
        def timed(*values: Any, **options: Any) -> Any:
            start = time.process_time()
            try:
                return self.function(*values, **options)
            finally:
                self.spent += time.process_time() - start

        setattr(self.module, self.name, timed)
        return self

    def __exit__(self, *_: object) -> None:
        setattr(self.module, self.name, self.function)


def through_torch(made: Callable[[], Any], sample: Any, format_: str) -> tuple[float, float]:
    """Medians of a conversion, proof included, and of what torch.onnx.export takes inside it."""
    import torch

    import modelport

    figures = []
    for turn in range(RUNS + 1):
        model = made()
        with Inside(torch.onnx, "export") as exporter:
            whole = seconds(partial(modelport.convert, model, format_, sample=sample))
        if turn:  # the first turn warms up
            figures.append((whole, exporter.spent))
    return statistics.median(w for w, _ in figures), statistics.median(e for _, e in figures)


def beside_tf2onnx(made: Callable[[], Any], sample: Any, format_: str) -> tuple[float, float]:
    """Medians of a conversion, proof included (Keras is read from its layers), and of tf2onnx alone, in turn."""
    import modelport

    figures = []
    for turn in range(RUNS + 1):
        alone = seconds(partial(export_keras, made(), sample))
        whole = seconds(partial(modelport.convert, made(), format_, sample=sample))
        if turn:
            figures.append((whole, alone))
    return statistics.median(w for w, _ in figures), statistics.median(a for _, a in figures)


def main() -> None:
    """Measure, print, and write the table."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    lines = ["| model | to | whole, CPU s | exporter, CPU s | ratio |", "|---|---|---|---|---|"]
    for models, measure in ((torch_models, through_torch), (keras_models, beside_tf2onnx)):
        for name, (made, sample) in models().items():
            for format_ in ("onnx", "json"):
                whole, exporter = measure(made, sample, format_)
                lines.append(f"| {name} | {format_} | {whole:.2f} | {exporter:.2f} | {whole / exporter:.2f} |")
                print(lines[-1], flush=True)
    text = "# Converting nets\n\n" + (__doc__ or "").split("\n\n")[2] + "\n\n" + "\n".join(lines) + "\n"
    (ROOT / "benchmarks" / "nets.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
