"""Field names in sight of a PMML element."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from modelport.errors import ArtifactError, Unsupported

from .build import Column

__all__ = ["Scope", "Target"]


@dataclass(frozen=True)
class Target:
    """A target field: its dataType and its classes in order, as the data dictionary lists them."""

    data_type: str
    classes: tuple[str, ...]


class Scope:
    """Names and what they stand for; a scope inside a model sees those around it."""

    def __init__(self, parent: Scope | None = None, targets: Mapping[str, Target] | None = None) -> None:
        self._parent = parent
        self._columns: dict[str, Column] = {}
        self._refused: dict[str, Unsupported] = {}
        self.targets: Mapping[str, Target] = targets if targets is not None else parent.targets if parent is not None else {}

    def find(self, name: str) -> Column | None:
        """The field of a name, or None; Unsupported for one that cannot be read."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope._columns:
                return scope._columns[name]
            if name in scope._refused:
                raise scope._refused[name]
            scope = scope._parent
        return None

    def column(self, name: str) -> Column:
        """The field of a name; ArtifactError when nothing defines it."""
        found = self.find(name)
        if found is None:
            raise ArtifactError(f"A PMML element reads the field {name!r}, which nothing before it defines.")
        return found

    def define(self, name: str, column: Column) -> None:
        """Give a name to a column."""
        self._columns[name] = column
        self._refused.pop(name, None)

    def refuse(self, name: str, error: Unsupported) -> None:
        """Give a name to a field that cannot be read: whoever reads it meets the error."""
        self._columns.pop(name, None)
        self._refused[name] = error
