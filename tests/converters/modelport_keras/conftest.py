"""Keras is imported with the TensorFlow backend, quietly, and without a GPU; without Keras these tests are skipped."""

from __future__ import annotations

import importlib.util
import os

import pytest

from tests.conftest import missing

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

NEEDED = ("keras", "tensorflow", "h5py")
if any(importlib.util.find_spec(name) is None for name in NEEDED):
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(autouse=True)
def keras_is_there() -> None:
    """Skip, or fail where it is required."""
    for name in NEEDED:
        if importlib.util.find_spec(name) is None:
            missing(name, "it is not installed")
