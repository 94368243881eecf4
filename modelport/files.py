"""Opens saved models and samples. What a file is, is told by its content; nothing in a pickle runs without trust."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from . import registry
from .artifact import format_of, read_bytes
from .errors import ArtifactError, InputError, MissingDependency, ModelportError, Refused, UntrustedFile, UsageError
from .kinds import KINDS, kind_of, owner_of, pickle_globals

__all__ = ["kind_of_model", "load_model", "load_sample", "pickle_globals"]

#: how compressed files begin, and what pandas calls the method
COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ": "xz"}


def kind_of_model(path: str | os.PathLike[str]) -> str:
    """What a model file or folder is, told by its content: a key of kinds.KINDS ("pickle", "keras", "pt2", "onnx", ...), or the
    kind that an installed reader owns ("xgboost", "lightgbm", "catboost").

    Raises ArtifactError for an empty, damaged or unknown file.
    """
    return kind_of(path, b"" if os.path.isdir(path) else read_bytes(path))


def load_model(path: str | os.PathLike[str], *, trust: bool = False, factory: str | None = None) -> Any:
    """The model in a file. Pickles (joblib files and pickled PyTorch modules too) run code when opened: they need trust=True.

    factory is "module:function" of yours, for a file that holds weights only (a PyTorch state_dict): it makes the module.

    A skops file needs no trust for the types skops knows to be safe, nor does a file of a boosting library (XGBoost's .json and
    .ubj, LightGBM's .txt, CatBoost's .json): it holds numbers and names. CatBoost's .cbm needs trust: a damaged one can end the
    process.
    """
    try:
        kind = kind_of_model(path)
    except ArtifactError as error:
        raise _not_a_model(path, error) from None
    if factory is not None and kind != "state-dict":
        raise UsageError(
            f"{os.fspath(path)!r} is {KINDS[kind][0] if kind in KINDS else kind}: a factory is for a state_dict only."
        )
    if kind == "skops":
        return _load_skops(path, trust)
    if kind in KINDS and kind != "pickle":
        return _load_by_kind(path, kind, trust, factory)
    data = read_bytes(path)
    owner = owner_of(data) if kind != "pickle" else None
    if owner is not None:
        danger = owner.needs_trust(data[:4096]) if hasattr(owner, "needs_trust") else None
        if danger is not None and not trust:
            raise UntrustedFile(f"Opening {os.fspath(path)!r} needs trust: {danger} If you made it, say --trust (trust=True).")
        return _load_owned(path, owner, data)
    if not trust:
        raise UntrustedFile(
            f"Opening {os.fspath(path)!r} would run code stored in it (it is a pickle). If you made it, or trust who did, "
            "say --trust (trust=True); a skops file needs no trust."
        )
    return _load_pickle(path)


#: what to do with a file that no reader opens
ADVICE = {
    "keras-weights": "save the whole model (model.save('model.keras')) and convert that.",
    "tflite": "it is an end of the line: convert the model it was made from.",
    "npz": "hand it over as the sample (--sample), beside a model.",
}


def _load_by_kind(path: str | os.PathLike[str], kind: str, trust: bool, factory: str | None) -> Any:
    """The model in a file of a framework whose reader opens it."""
    called, reader = KINDS[kind]
    name = repr(os.fspath(path))
    if not reader:
        raise Refused(f"{name} is {called}: {ADVICE.get(kind, 'hand over the model from Python.')}")
    if kind == "torch-module" and not trust:
        raise UntrustedFile(
            f"Opening {name} would run code stored in it (it is {called}). If you made it, or trust who did, say --trust "
            "(trust=True); a .pt2 file (torch.export.save) needs no trust."
        )
    if kind == "state-dict" and factory is None:
        raise Refused(f"{name} is {called}: say which function makes the module, --factory package.module:function.")
    try:
        return registry.load("readers", reader).open_file(os.fspath(path), kind, trust=trust, factory=factory)
    except ArtifactError as error:
        raise ArtifactError(f"{name}: {error}") from None
    except ImportError as error:
        raise MissingDependency(f"Opening {name} needs {error.name}: pip install 'modelport[{reader}]'.") from None


def _load_owned(path: str | os.PathLike[str], reader: ModuleType, data: bytes) -> Any:
    try:
        return reader.load_file(data)
    except ArtifactError as error:
        raise ArtifactError(f"{os.fspath(path)!r}: {error}") from None
    except ImportError as error:
        raise MissingDependency(
            f"Opening {os.fspath(path)!r} needs {error.name}: pip install 'modelport[{reader.FILE_KIND}]'."
        ) from None


def _not_a_model(path: str | os.PathLike[str], error: ArtifactError) -> ArtifactError:
    """The error about an unknown file, or a better one when it is an artifact."""
    try:
        found = format_of(read_bytes(path), os.fspath(path))
    except ModelportError:
        return error
    return ArtifactError(f"{os.fspath(path)!r} is no saved model, but looks like {found}: convert takes a saved model.")


def _load_pickle(path: str | os.PathLike[str]) -> Any:
    data = read_bytes(path)
    try:
        return _unpickled(path, data)
    except (MissingDependency, MemoryError):
        raise
    except (ImportError, AttributeError) as error:
        older = _saved_by_another(data)
        if older is None:
            raise _cannot_open(path, error) from None
        return _load_older(path, data, older)
    except Exception as error:  # unpickling can raise anything at all
        raise _cannot_open(path, error) from None


def _unpickled(path: str | os.PathLike[str], data: bytes) -> Any:
    try:
        import joblib
    except ImportError:
        import pickle

        if data[:1] != b"\x80":
            raise MissingDependency("A compressed model file needs joblib: pip install joblib.") from None
        return pickle.loads(data)
    return joblib.load(path)


def _load_older(path: str | os.PathLike[str], data: bytes, version: str) -> Any:
    """A file of another scikit-learn version, opened with the names it was written with put back."""
    try:
        with registry.load("readers", "sklearn").old_names():
            return _unpickled(path, data)
    except Exception as error:
        raise MissingDependency(
            f"The model in {os.fspath(path)!r} was saved by scikit-learn {version}, and the one installed here cannot open it "
            f"({_first_line(error)}): convert it where scikit-learn {version} is installed."
        ) from None


def _cannot_open(path: str | os.PathLike[str], error: Exception) -> ModelportError:
    name = repr(os.fspath(path))
    if isinstance(error, ImportError):
        return MissingDependency(f"The model in {name} needs {error.name or error}, which cannot be imported here.")
    if isinstance(error, AttributeError):
        return MissingDependency(
            f"The model in {name} needs something that is not found here ({_first_line(error)}): "
            "install what it was made with, and keep classes of your own in a module that can be imported."
        )
    return ArtifactError(f"{name} cannot be opened as a model: {_first_line(error)}. It may be truncated.")


def _saved_by_another(data: bytes) -> str | None:
    """The scikit-learn version a pickle says it was saved by, when another one is installed; nothing of it is run."""
    try:
        import sklearn
    except ImportError:
        return None
    for unpack in (bytes, zlib.decompress, gzip.decompress, bz2.decompress, lzma.decompress):
        try:
            found = re.search(rb"_sklearn_version\W{0,4}?[\x8cX].{1,4}?(\d+\.\d+(?:\.\w+)*)", unpack(data), re.DOTALL)
        except (OSError, ValueError, EOFError, zlib.error, lzma.LZMAError):
            continue
        if found is not None:
            version = found[1].decode("ascii")
            return None if version == sklearn.__version__ else version
    return None


def _load_skops(path: str | os.PathLike[str], trust: bool) -> Any:
    try:
        from skops import io
    except ImportError:
        raise MissingDependency("A skops file needs skops: pip install skops.") from None
    try:
        unknown = io.get_untrusted_types(file=Path(path))
        if unknown and not trust:
            raise UntrustedFile(
                f"{os.fspath(path)!r} holds types that skops does not know to be safe ({', '.join(sorted(unknown)[:5])}): "
                "say --trust (trust=True) if you trust its maker."
            )
        return io.load(Path(path), trusted=unknown)
    except UntrustedFile:
        raise
    except Exception as error:  # a damaged file can fail anywhere inside
        raise ArtifactError(f"{os.fspath(path)!r} cannot be opened as a skops file: {_first_line(error)}.") from None


def load_sample(path: str | os.PathLike[str], strings: Mapping[str, Collection[str]] | None = None) -> Any:
    """A table from a CSV file (UTF-8, perhaps compressed) or a parquet file, as a DataFrame; an array from a .npy file; a dict of
    arrays, input by input, from an .npz file.

    strings names columns of a CSV file that hold strings, with strings that are known to be no missing value: "01" is then not
    the number 1, and "NA" is missing only where it is not known.
    """
    name = os.fspath(path)
    data = read_bytes(path)
    if data[:6] == b"\x93NUMPY" or (data[:4] == b"PK\x03\x04" and kind_of(path, data) == "npz"):
        return _load_arrays(name, data)
    try:
        import pandas
    except ImportError:
        raise MissingDependency("Reading a sample file needs pandas: pip install pandas.") from None
    try:
        if data[:4] == b"PAR1":
            return pandas.read_parquet(io.BytesIO(data))
        if name.lower().endswith((".parquet", ".pq")):
            raise InputError(f"{name!r} is called parquet, but its content is not: it may be truncated.")
        return _csv(pandas, name, data, strings or {})
    except InputError:
        raise
    except ImportError:
        raise MissingDependency("Reading parquet needs pyarrow: pip install pyarrow.") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{name!r} is no text in UTF-8 (byte {error.start}): save the table as UTF-8, or as parquet.") from None
    except MemoryError:
        raise
    except Exception as error:  # a damaged file can fail anywhere inside
        raise InputError(f"{name!r} cannot be read as a table: {_first_line(error)}.") from None


def _load_arrays(name: str, data: bytes) -> Any:
    """An .npy file as an array, an .npz file as a dict of arrays; arrays of Python objects are never unpickled."""
    import numpy as np

    try:
        opened = np.load(io.BytesIO(data), allow_pickle=False)
        return opened if isinstance(opened, np.ndarray) else {key: opened[key] for key in opened.files}
    except MemoryError:
        raise
    except Exception as error:  # a damaged file can fail anywhere inside
        raise InputError(f"{name!r} cannot be read as NumPy arrays: {_first_line(error)}.") from None


def _csv(pandas: Any, name: str, data: bytes, strings: Mapping[str, Collection[str]]) -> Any:
    packed = next((method for magic, method in COMPRESSED.items() if data.startswith(magic)), None)

    def read(**options: Any) -> Any:
        return pandas.read_csv(io.BytesIO(data), compression=packed, float_precision="round_trip", low_memory=False, **options)

    frame = read(dtype=dict.fromkeys(strings, str))
    first = str(frame.columns[0]) if len(frame.columns) == 1 else ""
    if ";" in first or "\t" in first:
        raise InputError(f"{name!r} has one column called {first[:80]!r}: separate the columns by commas.")
    doubtful = [n for n in strings if n in frame and frame[n].isna().any()]
    if doubtful:
        cells = read(dtype=str, keep_default_na=False, usecols=doubtful)
        for n in doubtful:
            frame[n] = frame[n].where(frame[n].notna() | ~cells[n].isin(list(strings[n])), cells[n])
    return frame


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0].rstrip(". ") or type(error).__name__
