"""An artifact: the bytes of a converted model, its format and the report that proves it."""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import registry
from .document import Loaded
from .errors import ArtifactError, UsageError, WriteError

if TYPE_CHECKING:
    from .verify import Report

__all__ = ["Artifact", "read_bytes", "write_atomically"]


@dataclass(frozen=True)
class Artifact:
    """A converted model: `format`, `data` (bytes), and `report` (None when verification was switched off)."""

    format: str
    data: bytes
    report: Report | None = None
    backend: str = "graph"

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the file whole or not at all; WriteError says why not."""
        return write_atomically(path, self.data)

    def load(self) -> Loaded:
        """The artifact in its format's runner, not yet verified."""
        loaded: Loaded = registry.writer(self.format).load(self.data, None)
        return loaded

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Artifact:
        """Read an artifact from a file; the format is told by the content, and by the suffix where the content allows several."""
        data = read_bytes(path)
        return cls(format_of(data, os.fspath(path)), data)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """A file's bytes; UsageError when it cannot be read, ArtifactError when it is empty."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise UsageError(f"There is no file {os.fspath(path)!r}.") from None
    except OSError as error:
        raise UsageError(f"The file {os.fspath(path)!r} cannot be read: {error.strerror or error}.") from None
    if not data:
        raise ArtifactError(f"The file {os.fspath(path)!r} is empty.")
    return data


def format_of(data: bytes, path: str = "") -> str:
    """The format of an artifact's bytes."""
    by_suffix = registry.writer_for_path(path) if path else None
    matching = [name for name, module in registry.writers() if module.sniff(data[:4096])]
    if by_suffix in matching:
        return str(by_suffix)
    if matching:
        return matching[0]
    known = ", ".join(name for name, _ in registry.writers())
    if by_suffix is not None:
        raise ArtifactError(
            f"{path!r} is called {by_suffix}, but its content is no {by_suffix} artifact: it is damaged or something else."
        )
    raise ArtifactError(f"{path or 'This'!r} is no artifact of a known format ({known}).")


def write_atomically(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write to a temporary name in the same folder, then rename: a reader never sees half a file."""
    target = Path(path)
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name[:80]}.", suffix=".part", dir=target.parent or ".")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, target)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise WriteError(
            f"{os.fspath(path)!r} could not be written ({error.strerror or error}); nothing was left behind."
        ) from None
    return target
