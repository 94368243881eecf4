"""What a saved model is, told by its content; no framework is imported, and nothing in the file is run."""

from __future__ import annotations

import io
import os
import pickletools
import zipfile
from types import ModuleType

from . import registry
from .errors import ArtifactError, ModelportError, UsageError

__all__ = ["KINDS", "kind_of", "owner_of", "pickle_globals"]

#: kind -> what a sentence calls such a file, and the reader that opens it ("" where no reader does)
KINDS = {
    "pickle": ("a pickle (joblib files too)", ""),
    "skops": ("a skops file", ""),
    "keras": ("a .keras file", "keras"),
    "keras-h5": ("a Keras model in HDF5", "keras"),
    "keras-weights": ("a file of Keras weights without the model", ""),
    "hdf5": ("an HDF5 file that is no Keras model", ""),
    "savedmodel": ("a TensorFlow SavedModel", "keras"),
    "pt2": ("an exported PyTorch program (.pt2)", "torch"),
    "torchscript": ("a TorchScript file", "torch"),
    "torch-module": ("a pickled PyTorch module", "torch"),
    "state-dict": ("a PyTorch state_dict, weights without the module", "torch"),
    "onnx": ("an ONNX model", "onnx"),
    "tflite": ("a LiteRT (TFLite) model", ""),
    "npz": ("a NumPy archive of arrays, not a model", ""),
}
#: how joblib's compressed files begin: gzip, bz2, xz, lzma, lz4, zlib
PACKED_PICKLES = (b"\x1f\x8b", b"BZ", b"\xfd7", b"\x5d\x00", b"\x04\x22", b"\x78")
HDF5 = b"\x89HDF\r\n\x1a\n"
#: the first pickle of a file that torch.save wrote before 1.6: its magic number
OLD_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
#: modules whose names a pickled state_dict holds; any other belongs to a module
PLAIN_ROOTS = ("collections", "torch._utils", "torch._tensor", "torch.storage", "torch", "numpy", "_codecs", "builtins")


def kind_of(path: str | os.PathLike[str], data: bytes) -> str:
    """The kind of a model file: a key of KINDS, or the kind that an installed reader owns ("xgboost", "lightgbm", "catboost").

    data are the bytes of the file (empty for a folder). Raises ArtifactError for a damaged or unknown file.
    """
    name = os.fspath(path)
    if os.path.isdir(path):
        if os.path.isfile(os.path.join(path, "saved_model.pb")):
            return "savedmodel"
        raise UsageError(f"The file {name!r} cannot be read: Is a directory, and no TensorFlow SavedModel (saved_model.pb).")
    if data[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return _kind_of_zip(name, data)
    if data[:8] == HDF5:
        if b"model_config" in data:
            return "keras-h5"
        return (
            "keras-weights"
            if b"layer_names" in data or b"_layer_checkpoint_dependencies" in data or b"layers" in data
            else "hdf5"
        )
    if data[4:8] == b"TFL3":
        return "tflite"
    if data.startswith(OLD_TORCH):
        return "state-dict" if _is_plain(_old_names(data)) else "torch-module"
    if data[:1] == b"\x80" and len(data) > 2 and data[1] <= 5:
        return "pickle"
    if data.startswith(PACKED_PICKLES):
        return "pickle"
    owner = owner_of(data)
    if owner is not None:
        return str(owner.FILE_KIND)
    if looks_like_onnx(data):
        return "onnx"
    raise ArtifactError(
        f"{name!r} is no model file of a known kind (joblib, pickle, skops, Keras, PyTorch, ONNX): it may be truncated."
    )


def owner_of(data: bytes) -> ModuleType | None:
    """The reader whose framework saves files that begin so, or None."""
    for name in sorted(registry.plugins("readers")):
        try:
            reader = registry.load("readers", name)
        except ModelportError:
            continue
        if hasattr(reader, "owns_file") and reader.owns_file(data[:4096]):
            return reader
    return None


def _kind_of_zip(name: str, data: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.namelist()
            inner = next((m for m in members if m.endswith("data.pkl")), None)
            pickled = archive.read(inner) if inner is not None else b""
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError):
        raise ArtifactError(f"{name!r} begins like a zip archive, but is damaged or truncated.") from None
    ends = {member.rpartition("/")[2] for member in members}
    if "schema.json" in members:
        return "skops"
    if {"config.json", "metadata.json"} <= set(members):
        return "keras"
    if "archive_format" in ends or "serialized_exported_program.json" in ends:
        return "pt2"
    if "constants.pkl" in ends and any("/code/" in member for member in members):
        return "torchscript"
    if inner is not None:
        return "state-dict" if _is_plain(_names(pickled)) else "torch-module"
    if members and all(member.endswith(".npy") for member in members):
        return "npz"
    raise ArtifactError(f"{name!r} is a zip archive, but no model file of a known kind.")


def pickle_globals(data: bytes) -> list[str]:
    """The names a pickle would import, listed without running it.

    >>> import pickle, fractions
    >>> pickle_globals(pickle.dumps(fractions.Fraction(1, 2)))
    ['fractions.Fraction']
    """
    names, strings = set(), []
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name in ("SHORT_BINUNICODE", "BINUNICODE", "UNICODE", "MEMOIZE") and isinstance(argument, str):
            strings.append(argument)
        elif opcode.name == "GLOBAL" and isinstance(argument, str):
            names.add(argument.replace(" ", "."))
        elif opcode.name == "STACK_GLOBAL" and len(strings) >= 2:
            names.add(f"{strings[-2]}.{strings[-1]}")
    return sorted(names)


def _names(data: bytes) -> list[str] | None:
    """The names a pickle would import, or None where it cannot be read."""
    try:
        return pickle_globals(data)
    except Exception:  # a damaged pickle can break off anywhere
        return None


def _old_names(data: bytes) -> list[str] | None:
    """The names in the pickles of a file of old torch: magic number, protocol, system, then the object."""
    names: list[str] = []
    stream = io.BytesIO(data)
    for _ in range(4):
        try:
            for opcode, argument, _ in pickletools.genops(stream):
                if opcode.name == "GLOBAL" and isinstance(argument, str):
                    names.append(argument.replace(" ", "."))
        except Exception:  # a damaged pickle can break off anywhere
            return None
    return names


def _is_plain(names: list[str] | None) -> bool:
    """Whether a pickle holds tensors in plain containers only."""
    return names is not None and all(name.rpartition(".")[0] in PLAIN_ROOTS for name in names)


def looks_like_onnx(data: bytes) -> bool:
    """Whether bytes are a protobuf with the fields every ONNX model has: ir_version, graph, opset_import. ONNX has no magic."""
    seen: dict[int, int] = {}
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        field, wire = key >> 3, key & 7
        if at < 0 or not 1 <= field <= 40:
            return False
        if wire == 0:
            _, at = _varint(data, at)
        elif wire == 2:
            size, at = _varint(data, at)
            at = at + size if at >= 0 else at
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        else:
            return False
        if not 0 <= at <= len(data):
            return False
        seen[field] = wire
    return seen.get(1) == 0 and seen.get(7) == 2 and seen.get(8) == 2


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A protobuf integer and the place behind it, -1 where there is none."""
    value = shift = 0
    while 0 <= at < len(data) and shift < 64:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
    return 0, -1
