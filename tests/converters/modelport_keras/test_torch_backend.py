"""Keras on PyTorch: the same graphs, in a process of their own, since a backend is chosen once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
NAMES = [
    *("dense", "convolution", "channels first 1d", "channels first 2d", "channels first separable", "channels first transposed"),
    *("channels first 3d", "transposed and dilated", "pooling", "group norm", "rms", "recurrent", "attention", "converted"),
]


@pytest.fixture(scope="module")
def found(need_module) -> dict[str, str]:  # type: ignore[no-untyped-def]
    need_module("torch", "torch")
    done = subprocess.run(
        [sys.executable, str(HERE / "torch_backend.py")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "converters")]), "KERAS_BACKEND": "torch"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_every_case_has_a_name(found: dict[str, str]) -> None:
    assert list(found) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_keras_on_torch(found: dict[str, str], name: str) -> None:
    assert found[name] == ""
