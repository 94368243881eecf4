"""Opens saved models and samples. What a file is, is told by its content; nothing in a pickle runs without trust."""

from __future__ import annotations

import os
import pickletools
import zipfile
from pathlib import Path
from typing import Any

from .artifact import read_bytes
from .errors import ArtifactError, InputError, MissingDependency, Refused, UntrustedFile, UsageError

__all__ = ["kind_of_model", "load_model", "load_sample", "pickle_globals"]

COMPRESSED = {b"\x1f\x8b": "gzip", b"BZ": "bz2", b"\xfd7": "xz", b"\x5d\x00": "lzma", b"\x04\x22": "lz4"}


def kind_of_model(path: str | os.PathLike[str]) -> str:
    """What a model file is, told by its content: "pickle" (joblib files too), "skops", "keras", "torch", "torchscript" or "hdf5".

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
    if data[:2] in COMPRESSED or data[:1] == b"\x78":
        return "pickle"
    raise ArtifactError(f"{name!r} is no model file of a known kind (joblib, pickle or skops): it may be truncated.")


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

    A skops file needs no trust for the types skops knows to be safe.
    """
    kind = kind_of_model(path)
    if kind == "skops":
        return _load_skops(path, trust)
    if kind != "pickle":
        raise Refused(f"{os.fspath(path)!r} is a {kind} file, which this version does not open: hand over the model from Python.")
    if not trust:
        raise UntrustedFile(
            f"Opening {os.fspath(path)!r} would run code stored in it (it is a pickle). If you made it, or trust who did, "
            "say --trust (trust=True); a skops file needs no trust."
        )
    return _load_pickle(path)


def _load_pickle(path: str | os.PathLike[str]) -> Any:
    data = read_bytes(path)
    try:
        import joblib
    except ImportError:
        joblib = None
    try:
        if joblib is not None:
            return joblib.load(path)
        import pickle

        if data[:1] != b"\x80":
            raise MissingDependency("A compressed model file needs joblib: pip install joblib.")
        return pickle.loads(data)
    except (MissingDependency, MemoryError):
        raise
    except ImportError as error:
        raise MissingDependency(
            f"The model in {os.fspath(path)!r} needs {error.name or error}, which cannot be imported here."
        ) from None
    except Exception as error:  # unpickling can raise anything at all
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ArtifactError(f"{os.fspath(path)!r} cannot be opened as a model: {first}. It may be truncated.") from None


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
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ArtifactError(f"{os.fspath(path)!r} cannot be opened as a skops file: {first}.") from None


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


def load_sample(path: str | os.PathLike[str]) -> Any:
    """A sample from a CSV or parquet file, as a DataFrame."""
    name = os.fspath(path)
    data = read_bytes(path)
    try:
        import pandas
    except ImportError:
        raise MissingDependency("Reading a sample file needs pandas: pip install pandas.") from None
    try:
        if data[:4] == b"PAR1":
            return pandas.read_parquet(path)
        if name.lower().endswith((".parquet", ".pq")):
            raise InputError(f"{name!r} is called parquet, but its content is not: it may be truncated.")
        return pandas.read_csv(path, float_precision="round_trip")
    except ImportError:
        raise MissingDependency("Reading parquet needs pyarrow: pip install pyarrow.") from None
    except (ValueError, OSError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name!r} cannot be read as a table: {(str(error).splitlines() or ['it is damaged'])[0]}.") from None
    except UsageError:
        raise
