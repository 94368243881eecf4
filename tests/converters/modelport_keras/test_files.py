"""Saved models: read where neither Keras nor a backend can be imported, they answer as Keras does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.converters.modelport_keras import offline
from tests.converters.modelport_keras.common import read
from tests.converters.modelport_keras.zoo import ZOO

ROOT = Path(__file__).resolve().parents[3]
#: what a file cannot hold, and what the refusal says
CODE = {"lambda_layer": "stored as code", "custom_layer": "not hold its code", "subclassed": "a class of its own"}
#: what a .h5 file does not hold
NO_VOCABULARY = ("string_lookup", "text_vectorization")


@pytest.fixture(scope="module")
def offline_answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("saved")
    for name, make in ZOO.items():
        model, sample, _ = make()
        reading, rows = read(model, sample)
        feeds = rows.feeds()
        arrays = {f"in:{k}": v.astype(str) if v.dtype == object else v for k, v in feeds.items()}
        arrays |= {f"out:{k}": v for k, v in reading.answer(feeds).items()}
        for suffix in (".keras", ".h5"):
            if name == "subclassed" and suffix == ".h5":
                continue  # Keras does not save it so
            model.save(folder / f"{name}{suffix}")
        np.savez(folder / f"{name}.npz", **arrays)
    done = subprocess.run(
        [sys.executable, offline.__file__, str(folder)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "converters")])},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("name", sorted(set(ZOO) - set(CODE)))
def test_a_file_answers_without_keras(offline_answers: dict[str, Any], name: str, suffix: str) -> None:
    found = offline_answers[f"{name}{suffix}"]
    if suffix == ".h5" and name in NO_VOCABULARY:
        assert "has no vocabulary" in found
    else:
        assert isinstance(found, float), found
        assert found < 1e-5


@pytest.mark.parametrize("name", sorted(CODE))
def test_code_in_a_file_is_refused(offline_answers: dict[str, Any], name: str) -> None:
    found = offline_answers[f"{name}.keras"]
    assert found.startswith("UnsupportedModel")
    assert CODE[name] in found
