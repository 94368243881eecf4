"""An artifact: the bytes of a converted model, its format and the report that proves it."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
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
    def of(cls, given: str | os.PathLike[str] | Artifact | bytes) -> Artifact:
        """An artifact from a path, from bytes, or as it is."""
        if isinstance(given, Artifact):
            return given
        if isinstance(given, (bytes, bytearray, memoryview)):
            return cls(format_of(bytes(given)), bytes(given))
        return cls.open(given)

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
    matching = [name for name, module in registry.writers() if _sniffs(module, data[:4096])]
    if by_suffix in matching:
        return str(by_suffix)
    if matching:
        return matching[0]
    known = ", ".join(name for name, _ in registry.writers())
    if by_suffix is not None:
        raise ArtifactError(
            f"{path!r} is called {by_suffix}, but its content is no {by_suffix} artifact: it is damaged or something else."
        )
    hint = ": it looks like a saved model, so convert it first" if data[:1] == b"\x80" or data[:2] == b"PK" else ""
    raise ArtifactError(f"{repr(path) if path else 'This'} is no artifact of a known format ({known}){hint}.")


def _sniffs(module: ModuleType, head: bytes) -> bool:
    try:
        return bool(module.sniff(head))
    except Exception:  # a stranger's plugin must not keep others from opening their files
        return False


def write_atomically(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write to a temporary name in the same folder, then rename: a reader never sees half a file.

    A link is followed and an existing file keeps its permissions. A device or a pipe is written to as it is.
    """
    try:
        mode = _mode(path)
        if mode is None or stat.S_ISREG(mode):
            _replace(Path(os.path.realpath(path)), data, None if mode is None else stat.S_IMODE(mode))
        elif stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        else:
            Path(path).write_bytes(data)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        why = getattr(error, "strerror", None) or error
        raise WriteError(f"{os.fspath(path)!r} could not be written ({why}); nothing was left behind.") from None
    return Path(path)


def _mode(path: str | os.PathLike[str]) -> int | None:
    """What is at a path, behind links: its kind and permissions, or None when nothing is there."""
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        return None


def _replace(target: Path, data: bytes, permissions: int | None) -> None:
    temporary = target.parent / f".modelport-{secrets.token_hex(8)}.part"
    try:
        with open(temporary, "xb") as file:
            if permissions is not None:
                os.chmod(temporary, permissions)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
