"""Saved models are told by their content, whatever they are called, and nothing is imported or run for it."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from modelport.errors import ArtifactError, Refused, UntrustedFile, UsageError
from modelport.files import kind_of_model, load_model, load_sample
from modelport.kinds import KINDS, looks_like_onnx


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as opened:
        for name, data in members.items():
            opened.writestr(name, data)
    return path


@pytest.fixture(scope="module")
def torch_files(tmp_path_factory, need_module) -> dict[str, Path]:  # type: ignore[no-untyped-def]
    need_module("torch", "torch")
    import torch

    folder = tmp_path_factory.mktemp("torch")
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU()).eval()
    found = {
        kind: folder / f"{kind}.bin" for kind in ("torch-module", "state-dict", "torchscript", "pt2", "old-module", "old-dict")
    }
    torch.save(net, found["torch-module"])
    torch.save(net.state_dict(), found["state-dict"])
    torch.save(net, found["old-module"], _use_new_zipfile_serialization=False)
    torch.save(net.state_dict(), found["old-dict"], _use_new_zipfile_serialization=False)
    torch.jit.save(torch.jit.trace(net, torch.zeros(1, 3)), str(found["torchscript"]))
    with open(found["pt2"], "wb") as stream:
        torch.export.save(torch.export.export(net, (torch.zeros(2, 3),)), stream)
    return found


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("torch-module", "torch-module"),
        ("state-dict", "state-dict"),
        ("torchscript", "torchscript"),
        ("pt2", "pt2"),
        ("old-module", "torch-module"),
        ("old-dict", "state-dict"),
    ],
)
def test_torch_files(torch_files: dict[str, Path], name: str, kind: str) -> None:
    assert kind_of_model(torch_files[name]) == kind


def test_a_pickled_module_needs_trust_and_a_state_dict_a_factory(torch_files: dict[str, Path]) -> None:
    with pytest.raises(UntrustedFile, match="--trust"):
        load_model(torch_files["torch-module"])
    with pytest.raises(Refused, match="--factory"):
        load_model(torch_files["state-dict"], trust=True)
    with pytest.raises(UsageError, match="a factory is for a state_dict only"):
        load_model(torch_files["torch-module"], trust=True, factory="m:f")


@pytest.fixture(scope="module")
def keras_files(tmp_path_factory, need_module) -> dict[str, Path]:  # type: ignore[no-untyped-def]
    need_module("keras", "keras")
    folder = tmp_path_factory.mktemp("keras")
    script = (
        "import keras; m = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]); "
        "m.save('whole.keras'); m.save('whole.h5'); m.save_weights('only.weights.h5')"
    )
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([sys.executable, "-c", script], cwd=folder, check=True, capture_output=True, env=environment)
    return {name: folder / name for name in ("whole.keras", "whole.h5", "only.weights.h5")}


@pytest.mark.parametrize(
    ("name", "kind"), [("whole.keras", "keras"), ("whole.h5", "keras-h5"), ("only.weights.h5", "keras-weights")]
)
def test_keras_files(keras_files: dict[str, Path], name: str, kind: str) -> None:
    assert kind_of_model(keras_files[name]) == kind


def test_weights_alone_are_no_model(keras_files: dict[str, Path]) -> None:
    with pytest.raises(Refused, match="without the model"):
        load_model(keras_files["only.weights.h5"])


def test_an_onnx_model_has_no_magic(iris, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    import modelport

    data = modelport.convert(iris[2], "onnx", sample=iris[0]).data
    assert kind_of_model(write(tmp_path / "model.bin", data)) == "onnx"
    for cut in (1, 10, len(data) // 2):
        assert not looks_like_onnx(data[:-cut])
    for wrong in (b"", b"\x08", b"\xff" * 40, b"{}", b"\x08\x07" * 30, os.urandom(64)):
        assert not looks_like_onnx(wrong)


def test_the_rest(tmp_path: Path) -> None:
    assert kind_of_model(write(tmp_path / "a", b"\x1c\x00\x00\x00TFL3" + bytes(40))) == "tflite"
    assert kind_of_model(write(tmp_path / "b", pickle.dumps([1, 2]))) == "pickle"
    assert kind_of_model(write(tmp_path / "c", b"\x89HDF\r\n\x1a\n" + bytes(100))) == "hdf5"
    folder = tmp_path / "saved"
    folder.mkdir()
    with pytest.raises(UsageError, match="Is a directory"):
        kind_of_model(folder)
    write(folder / "saved_model.pb", b"\x08\x01")
    assert kind_of_model(folder) == "savedmodel"
    for name in ("a", "c"):
        with pytest.raises(Refused):
            load_model(tmp_path / name)


@pytest.mark.parametrize("data", [b"PK\x03\x04", b"PK\x03\x04" + bytes(60), b"PK\x05\x06" + bytes(17)])
def test_damaged_archives(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ArtifactError, match="damaged or truncated"):
        kind_of_model(write(tmp_path / "model", data))


def test_archives_of_other_things(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no model file of a known kind"):
        kind_of_model(archive(tmp_path / "a", **{"word/document.xml": b"<x/>"}))
    assert kind_of_model(archive(tmp_path / "b", **{"m/data.pkl": b"garbage", "m/version": b"3"})) == "torch-module"


def test_every_kind_says_what_it_is() -> None:
    assert all(words and isinstance(reader, str) for words, reader in KINDS.values())


def test_arrays_are_samples(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.eye(3, dtype=np.float32))
    np.savez(tmp_path / "both.npz", x=np.eye(3), tokens=np.arange(6).reshape(3, 2))
    assert load_sample(tmp_path / "x.npy").dtype == np.float32
    found = load_sample(tmp_path / "both.npz")
    assert {name: array.shape for name, array in found.items()} == {"x": (3, 3), "tokens": (3, 2)}


def test_arrays_of_objects_are_never_unpickled(tmp_path: Path) -> None:
    from modelport.errors import InputError

    class Bomb:
        def __reduce__(self):  # type: ignore[no-untyped-def]
            return (os.mkdir, (str(tmp_path / "exploded"),))

    buffer = io.BytesIO()
    np.save(buffer, np.array([Bomb()], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="cannot be read as NumPy arrays"):
        load_sample(write(tmp_path / "x.npy", buffer.getvalue()))
    assert not (tmp_path / "exploded").exists()
