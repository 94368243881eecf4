"""A public scorer as the original of a PMML file: its answers, field by field, never ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from modelport_pmml.consumers import Scorer, Undecided, jpmml, pypmml
from modelport_pmml.declared import data_fields
from numpy.typing import NDArray

from modelport.errors import InputError, Unsupported, UsageError

from .declaring import PmmlFile

__all__ = ["SCORERS", "Asked", "scored"]

Array = NDArray[Any]
Flags = NDArray[np.bool_]

SCORERS = {"jpmml": jpmml, "pypmml": pypmml}


class Asked:
    """A scorer as the original: rows that it refuses are refused by the original."""

    def __init__(self, name: Any, file: PmmlFile) -> None:
        self._scorer = scored(name, file)
        self._wanted = [o.name for o in file.carried.outputs]
        self.engine = self._scorer.engine
        given = self._scorer.given()
        fields = file.carried.fields.outputs
        self._kept = [n for n in self._wanted if given is None or set(fields[n]) <= given]
        if not self._kept:
            raise Unsupported(f"{self.engine} answers none of the outputs {', '.join(self._wanted)} of the PMML file.")
        self._scorer.outputs = tuple(o for o in self._scorer.outputs if o.name in self._kept)

    def given(self) -> dict[str, None]:
        """The outputs that it answers."""
        return dict.fromkeys(self._kept)

    def answer(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Its outputs; ValueError for rows that it refuses."""
        try:
            return self._scorer.run(feeds)
        except InputError as error:
            raise ValueError(str(error)) from error

    def undecided(self, feeds: Mapping[str, Array]) -> Flags:
        """The rows at which it stops for want of something that the specification has."""
        n = len(next(iter(feeds.values())))
        flags = np.zeros(n, dtype=np.bool_)
        start = 0
        while start < n:
            stop = self._answered(feeds, start, n, flags)
            start = stop
        return flags

    def _answered(self, feeds: Mapping[str, Array], start: int, stop: int, flags: Flags) -> int:
        """Ask for the rows from start on; the row behind the last that is known now."""
        try:
            self._scorer.run({name: array[start:stop] for name, array in feeds.items()})
        except InputError as error:
            if stop - start > 1:
                return self._answered(feeds, start, start + max(1, (stop - start) // 2), flags)
            flags[start] = isinstance(error, Undecided)
        return stop


def scored(name: Any, file: PmmlFile) -> Scorer:
    """The file in a scorer; MissingDependency where it is not installed."""
    if name not in SCORERS:
        raise UsageError(f"There is no scorer {name!r} for PMML files; there are: {', '.join(SCORERS)}.")
    fields = data_fields(file.root)
    types = {f: fields[f].get("dataType", "") for names in file.carried.fields.inputs.values() for f in names if f in fields}
    return SCORERS[name](file.data, file.carried, types)
