"""Opens saved models and samples. What a file is, is told by its content; nothing in a pickle runs without trust."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import pickletools
import re
import zipfile
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from . import registry
from .artifact import format_of, read_bytes
from .errors import ArtifactError, InputError, MissingDependency, ModelportError, Refused, UntrustedFile

__all__ = ["kind_of_model", "load_model", "load_sample", "pickle_globals"]

#: how compressed files begin, and what pandas calls the method
COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ": "xz"}
#: how joblib's compressed files begin: gzip, bz2, xz, lzma, lz4, zlib
PACKED_PICKLES = (b"\x1f\x8b", b"BZ", b"\xfd7", b"\x5d\x00", b"\x04\x22", b"\x78")


def kind_of_model(path: str | os.PathLike[str]) -> str:
    """What a model file is, told by its content: "pickle" (joblib files too), "skops", "keras", "torch", "torchscript", "hdf5",
    or the kind of file that an installed reader owns ("xgboost", "lightgbm", "catboost").

    Raises ArtifactError for an empty, damaged or unknown file.
    """
    data = read_bytes(path)
    name = os.fspath(path)
    if data[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return _kind_of_zip(name)
    if data[:8] == b"\x89HDF\r\n\x1a\n":
        return "hdf5"
    if data[:1] == b"\x80" and len(data) > 2 and data[1] <= 5:
        return "pickle"
    if data.startswith(PACKED_PICKLES):
        return "pickle"
    owner = _owner(data)
    if owner is not None:
        return str(owner.FILE_KIND)
    raise ArtifactError(f"{name!r} is no model file of a known kind (joblib, pickle or skops): it may be truncated.")


def _owner(data: bytes) -> ModuleType | None:
    """The reader whose framework saves files that begin so, or None."""
    for name in sorted(registry.plugins("readers")):
        try:
            reader = registry.load("readers", name)
        except ModelportError:
            continue
        if hasattr(reader, "owns_file") and reader.owns_file(data[:4096]):
            return reader
    return None


def _kind_of_zip(name: str) -> str:
    try:
        with zipfile.ZipFile(name) as archive:
            members = set(archive.namelist())
    except (zipfile.BadZipFile, OSError):
        raise ArtifactError(f"{name!r} begins like a zip archive, but is damaged or truncated.") from None
    if "schema.json" in members:
        return "skops"
    if {"config.json", "metadata.json"} <= members:
        return "keras"
    if any(m.endswith("constants.pkl") for m in members):
        return "torchscript"
    if any(m.endswith("data.pkl") for m in members):
        return "torch"
    raise ArtifactError(f"{name!r} is a zip archive, but no model file of a known kind.")


def load_model(path: str | os.PathLike[str], *, trust: bool = False) -> Any:
    """The model in a file. Pickles (and joblib files) run code when opened: they need trust=True.

    A skops file needs no trust for the types skops knows to be safe, nor does a file of a boosting library (XGBoost's .json and
    .ubj, LightGBM's .txt, CatBoost's .json): it holds numbers and names. CatBoost's .cbm needs trust: a damaged one can end the
    process.
    """
    try:
        kind = kind_of_model(path)
    except ArtifactError as error:
        raise _not_a_model(path, error) from None
    if kind == "skops":
        return _load_skops(path, trust)
    data = read_bytes(path)
    owner = _owner(data) if kind != "pickle" else None
    if owner is not None:
        danger = owner.needs_trust(data[:4096]) if hasattr(owner, "needs_trust") else None
        if danger is not None and not trust:
            raise UntrustedFile(f"Opening {os.fspath(path)!r} needs trust: {danger} If you made it, say --trust (trust=True).")
        return _load_owned(path, owner, data)
    if kind != "pickle":
        raise Refused(f"{os.fspath(path)!r} is a {kind} file, which this version does not open: hand over the model from Python.")
    if not trust:
        raise UntrustedFile(
            f"Opening {os.fspath(path)!r} would run code stored in it (it is a pickle). If you made it, or trust who did, "
            "say --trust (trust=True); a skops file needs no trust."
        )
    return _load_pickle(path)


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
    return ArtifactError(
        f"{os.fspath(path)!r} is no saved model, but looks like {found}: convert takes a joblib, pickle or skops file."
    )


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


def load_sample(path: str | os.PathLike[str], strings: Mapping[str, Collection[str]] | None = None) -> Any:
    """A table from a CSV file (UTF-8, perhaps compressed) or a parquet file, as a DataFrame.

    strings names columns of a CSV file that hold strings, with strings that are known to be no missing value: "01" is then not
    the number 1, and "NA" is missing only where it is not known.
    """
    name = os.fspath(path)
    data = read_bytes(path)
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
