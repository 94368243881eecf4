"""Names that older scikit-learn versions wrote into files and that have moved since, put back while such a file is opened.

What a file then holds is the class of today, which must still be able to answer with the old state; the proof asks it.
"""

from __future__ import annotations

import importlib
import sys
from collections import UserList
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


class RemainderColumns(UserList):  # type: ignore[type-arg]
    """Columns of a ColumnTransformer's remainder, as versions 1.4 to 1.6 stored them (`_RemainderColsList`)."""


def _stateless_loss(cls: type, checksum: int, state: Any) -> Any:
    """An unpickled loss of versions before 1.4; those with parameters are not stateless."""
    if state not in (None, ()):
        raise AttributeError(f"the loss {cls.__name__} has a state of an older version")
    return cls()


@contextmanager
def old_names() -> Iterator[None]:
    """Within, files of scikit-learn 1.3 to 1.7 find the names they were written with."""
    losses = importlib.import_module("sklearn._loss._loss")
    columns = importlib.import_module("sklearn.compose._column_transformer")
    added: list[tuple[ModuleType, str]] = []

    def add(module: ModuleType, name: str, value: Any) -> None:
        if not hasattr(module, name):
            setattr(module, name, value)
            added.append((module, name))

    known = "_loss" in sys.modules
    if not known:
        sys.modules["_loss"] = losses
    for name in [n for n in dir(losses) if n.startswith("Cy")]:
        add(losses, f"__pyx_unpickle_{name}", _stateless_loss)
    add(columns, "_RemainderColsList", RemainderColumns)
    try:
        yield
    finally:
        if not known:
            sys.modules.pop("_loss", None)
        for module, name in added:
            delattr(module, name)
