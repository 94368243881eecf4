"""What converting a net costs beside the exporter alone: PyTorch's (torch.onnx, dynamo) and tf2onnx, in turn, in one process.

    python benchmarks/nets.py            # prints the table and writes benchmarks/nets.md

Each figure is a median of CPU seconds; the ratio is of medians. The exporter is given the same model, rows and open axes. Needs
torch, onnxscript, keras, tensorflow and tf2onnx.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.update(KERAS_BACKEND="tensorflow", TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")
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


def export_torch(model: Any, sample: Any) -> Any:
    """torch.onnx.export alone."""
    import torch

    feeds = sample if isinstance(sample, dict) else None
    tensors = tuple(torch.from_numpy(a) for a in (feeds.values() if feeds else (sample,)))
    shapes = tuple({0: torch.export.Dim.DYNAMIC} for _ in tensors)
    if feeds is not None and hasattr(model, "config"):
        model.config.use_cache = False
    return torch.onnx.export(model, tensors, dynamo=True, verbose=False, dynamic_shapes=shapes)


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


def measured(
    made: Callable[[], Any], sample: Any, export: Callable[[Any, Any], Any], formats: tuple[str, ...]
) -> dict[str, float]:
    """Medians: "exporter", and per format our whole conversion, proof included."""
    import modelport

    figures: dict[str, list[float]] = {}
    for turn in range(RUNS + 1):
        works: dict[str, Callable[[], Any]] = {"exporter": partial(export, made(), sample)}
        for format_ in formats:
            works[format_] = partial(modelport.convert, made(), format_, sample=sample)
        for name, work in works.items():
            spent = seconds(work)
            if turn:  # the first turn warms up
                figures.setdefault(name, []).append(spent)
    return {name: statistics.median(values) for name, values in figures.items()}


def main() -> None:
    """Measure, print, and write the table."""
    warnings.simplefilter("ignore")
    lines = ["| model | exporter alone, CPU s | to ONNX, proven | ratio | to JSON, proven | ratio |", "|---|---|---|---|---|---|"]
    for models, export in ((torch_models, export_torch), (keras_models, export_keras)):
        for name, (made, sample) in models().items():
            found = measured(made, sample, export, ("onnx", "json"))
            alone = found["exporter"]
            cells = [f"{found[f]:.2f} | {found[f] / alone:.2f}" for f in ("onnx", "json")]
            lines.append(f"| {name} | {alone:.2f} | {cells[0]} | {cells[1]} |")
            print(lines[-1], flush=True)
    text = "# Converting nets\n\n" + (__doc__ or "").split("\n\n")[0] + "\n\n" + "\n".join(lines) + "\n"
    (ROOT / "benchmarks" / "nets.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
