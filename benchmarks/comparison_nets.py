"""Nets x converter: PyTorch's exporter and tf2onnx beside our own writer, each held to the same proof.

    python benchmarks/comparison_nets.py --write        # writes comparison_nets.json

The nets are those of the tests: PyTorch modules and Keras models of every common architecture, small, with random weights. The
exporters are asked as our delegates ask them (docs/delegates.md); a file is right when it answers as the net does, in every
length that the net was converted for. Needs torch, onnxscript, keras, tensorflow and tf2onnx.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.update(KERAS_BACKEND="tensorflow", TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")
ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "comparison_nets.json"
EXPORTERS = {"torch.onnx": ("torch", "onnxscript"), "tf2onnx": ("tf2onnx", "tensorflow-cpu", "keras")}


def nets() -> Iterator[tuple[str, str, Any, Any, dict[str, Any]]]:
    """(exporter, name, model, sample, options)."""
    from tests.converters.modelport_torch.zoo import CASES

    for case in CASES.values():
        if not case.refused:  # a module whose answer depends on an `if` on data has no graph
            rows = case.rows(4)
            yield "torch.onnx", case.name, case.model(), rows if len(rows) > 1 else rows[0], {"lengths": case.lengths}
    from tests.converters.modelport_keras.zoo import ZOO

    for name in sorted(ZOO):
        model, sample, _ = ZOO[name]()
        yield "tf2onnx", name, model, sample, {}


def verdict(model: Any, sample: Any, backend: str, options: dict[str, Any]) -> dict[str, Any]:
    """right, wrong (the file was held against the net and differs) or refused, and why."""
    import modelport
    from modelport.errors import Mismatch, ModelportError

    try:
        modelport.convert(model, "onnx", sample=sample, backend=backend, **options)
    except Mismatch as error:
        return {"verdict": "wrong", "why": said(error)}
    except ModelportError as error:
        return {"verdict": "refused", "why": said(error)}
    return {"verdict": "right"}


def said(error: Exception) -> str:
    """The first line, cut."""
    line = str(error).splitlines()[0]
    return line if len(line) <= 160 else f"{line[:157]}..."


def main() -> int:
    """Measure; print; write."""
    sys.path[:0] = [str(ROOT), str(ROOT / "converters")]
    warnings.simplefilter("ignore")
    found: dict[str, Any] = {name: {"with": ", ".join(f"{p} {version(p)}" for p in needs)} for name, needs in EXPORTERS.items()}
    for exporter, name, model, sample, options in nets():
        result = {backend: verdict(model, sample, backend, options) for backend in ("graph", exporter)}
        found[exporter].setdefault("nets", {})[name] = result
        print(exporter, name, {backend: one["verdict"] for backend, one in result.items()}, flush=True)
    if "--write" in sys.argv:
        RESULT.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
