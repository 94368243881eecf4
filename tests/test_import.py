"""import modelport is quick and brings no framework along; neither do inspect, verify and --help."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

FRAMEWORKS = (
    "sklearn",
    "scipy",
    "pandas",
    "torch",
    "tensorflow",
    "keras",
    "onnx",
    "onnxruntime",
    "joblib",
    "skops",
    "lxml",
    "pypmml",
)


def modules_after(code: str) -> set[str]:
    """Root modules imported once the code has run in a fresh interpreter."""
    script = f"{code}\nimport sys, json\nprint('@@' + json.dumps(sorted(set(m.partition('.')[0] for m in sys.modules))))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.rpartition("@@")[2]))


def test_import_brings_no_framework() -> None:
    assert not modules_after("import modelport") & set(FRAMEWORKS)


def test_json_is_loaded_verified_and_inspected_without_a_framework(iris, tmp_path: Path) -> None:
    import modelport

    X, _, model = iris
    path = tmp_path / "model.json"
    modelport.convert(model, path, sample=X)
    rows = "[[5.0, 3.0, 1.0, 0.1]]"
    code = f"from modelport import load, verify, inspect; p = {str(path)!r}; load(p).predict({rows}); verify(p); inspect(p)"
    loaded = modules_after(code)
    assert not loaded & (set(FRAMEWORKS) - {"onnx", "onnxruntime"})
    assert not loaded & {"onnx", "onnxruntime"}


def test_help_brings_no_framework() -> None:
    code = "from modelport.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass"
    assert not modules_after(code) & set(FRAMEWORKS)


def test_import_stays_under_a_fifth_of_a_second() -> None:
    code = "import time; t = time.process_time(); import modelport; print(time.process_time() - t)"
    runs = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout) for _ in range(5)
    ]
    assert min(runs) < 0.2


@pytest.mark.parametrize("name", ["convert", "verify", "load", "inspect"])
def test_public_verbs_are_functions_even_after_their_modules_were_imported(name: str) -> None:
    import modelport
    import modelport.convert
    import modelport.verify

    assert callable(getattr(modelport, name))
