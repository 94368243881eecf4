"""What an artifact holds: a graph, the vectors that prove it, and where it comes from - and what a loaded one can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .errors import ArtifactError, InputError
from .graph import DTYPES, Graph, Input, Output, bind, longest_string

__all__ = ["EXACT", "Document", "Loaded", "Tolerance", "Vectors", "check_vectors"]

Array = NDArray[Any]


def ignored(key: str) -> bool:
    """Is it a key that evaluators ignore at every level of a document?"""
    return key in ("name", "doc", "provenance") or key.startswith("x-")


@dataclass(frozen=True)
class Tolerance:
    """How far an output may lie from the original's: `atol + rtol * |expected|`, or `ulp` units in the last place.

    The default is exact equality (NaN equals NaN, -0.0 equals 0.0).

    >>> Tolerance.from_json({"atol": 1e-12, "rtol": 0.0}).to_json()
    {'atol': 1e-12, 'rtol': 0.0}
    >>> Tolerance().to_json()
    'exact'
    """

    atol: float = 0.0
    rtol: float = 0.0
    ulp: int | None = None

    @property
    def exact(self) -> bool:
        """True when only equal values pass."""
        return self.atol == 0 and self.rtol == 0 and not self.ulp

    def to_json(self) -> Any:
        """As docs/format.md, section 10, writes it."""
        if self.ulp:
            return {"ulp": self.ulp}
        return "exact" if self.exact else {"atol": self.atol, "rtol": self.rtol}

    @classmethod
    def from_json(cls, value: Any) -> Tolerance:
        """From "exact", {"atol", "rtol"} or {"ulp"}; ArtifactError for anything else."""
        if value == "exact":
            return cls()
        said = {k: v for k, v in value.items() if not ignored(k)} if isinstance(value, Mapping) else {}
        numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) and 0 <= v < float("inf") for v in said.values())
        if numbers and set(said) == {"atol", "rtol"}:
            return cls(float(said["atol"]), float(said["rtol"]))
        if numbers and set(said) == {"ulp"} and isinstance(said["ulp"], int) and said["ulp"] < 2**53:
            return cls(ulp=said["ulp"])
        raise ArtifactError(
            f"A tolerance is {value!r}; it is 'exact', {{'atol', 'rtol'}} or {{'ulp'}} with finite numbers from 0."
        )


EXACT = Tolerance()


@dataclass(frozen=True)
class Vectors:
    """Recorded input rows with the original model's outputs.

    inputs and outputs map names to arrays [rows, *row shape]; `rows` says per row why it is there. `more` holds further sets of
    rows whose named lengths are others; tolerance and source are those of the first.
    """

    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]
    tolerance: Mapping[str, Tolerance] = field(default_factory=dict)
    source: str = "synthetic"
    rows: Sequence[str] = ()
    more: Sequence[Vectors] = ()

    def __len__(self) -> int:
        """Rows of all sets."""
        return sum(len(next(iter(part.inputs.values()), ())) for part in self.sets())

    def sets(self) -> tuple[Vectors, ...]:
        """The sets of rows, this one first, each without `more` and with the tolerance of the first.

        >>> two = Vectors({"x": np.zeros((2, 3))}, {}, more=[Vectors({"x": np.zeros((1, 5))}, {})])
        >>> [len(part) for part in two.sets()], len(two)
        ([2, 1], 3)
        """
        if not self.more:
            return (self,)
        first = replace(self, more=())
        return (first, *(replace(part, tolerance=self.tolerance, source=self.source, more=()) for part in self.more))

    @property
    def longest(self) -> int:
        """Code points of the longest string among the rows and their answers."""
        return longest_string(a for part in self.sets() for a in (*part.inputs.values(), *part.outputs.values()))

    @property
    def notes(self) -> list[str]:
        """Why the rows are there, of all sets."""
        return [note for part in self.sets() for note in part.rows]

    def take(self, index: Any) -> Vectors:
        """The vectors of some rows only."""
        if self.more:
            raise ValueError("rows are taken from one set")
        chosen = np.asarray(index)
        notes = [self.rows[i] for i in np.arange(len(self))[chosen]] if len(self.rows) else ()
        return Vectors(
            {k: v[chosen] for k, v in self.inputs.items()},
            {k: v[chosen] for k, v in self.outputs.items()},
            self.tolerance,
            self.source,
            notes,
        )


@dataclass(frozen=True)
class Document:
    """A graph with its vectors and provenance: what a writer writes and reads back."""

    graph: Graph
    vectors: Vectors | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    doc: str | None = None


@runtime_checkable
class Loaded(Protocol):
    """What a format gives back for a file: a runner with its declared inputs and outputs and the vectors it carries.

    `engine` names what computes ("numpy", "onnxruntime 1.31.1"); `graph` is None where a format has no way back to one.
    """

    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    vectors: Vectors | None
    provenance: Mapping[str, Any]
    graph: Graph | None
    engine: str

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Output name -> array [n, *row shape] for input name -> array [n, *row shape]."""
        ...


def check_vectors(vectors: Vectors, inputs: Sequence[Input], outputs: Sequence[Output], limit: int = 4096) -> None:
    """Refuse vectors that do not fit the declared inputs and outputs."""
    for part in vectors.sets():
        _check_set(part, inputs, outputs)
    if not 1 <= len(vectors) <= limit or not all(map(len, vectors.sets())):
        raise ArtifactError(f"The vectors have {len(vectors)} rows; 1 to {limit} are needed, and at least one in every set.")
    if set(vectors.tolerance) - {v.name for v in outputs}:
        raise ArtifactError("The vectors name a tolerance for an output that is not there.")


def _check_set(vectors: Vectors, inputs: Sequence[Input], outputs: Sequence[Output]) -> None:
    for kind, arrays, names in (
        ("input", vectors.inputs, {v.name: v.dtype for v in inputs}),
        ("output", vectors.outputs, {v.name: v.dtype for v in outputs}),
    ):
        if set(arrays) != set(names):
            raise ArtifactError(f"The vectors' {kind}s {sorted(arrays)} are not the model's: {sorted(names)}.")
        for name, array in arrays.items():
            if array.ndim < 1 or array.dtype != DTYPES[names[name]]:
                raise ArtifactError(f"The vectors of {kind} {name!r} hold {array.dtype}; {names[name]} rows are needed.")
    try:
        bind(inputs, {value.name: vectors.inputs[value.name].shape[1:] for value in inputs})
    except InputError as error:
        raise ArtifactError(f"The vectors do not fit: {error}") from None
    counts = {len(a) for a in (*vectors.inputs.values(), *vectors.outputs.values())}
    if len(counts) != 1:
        raise ArtifactError(f"The vectors have {sorted(counts)} rows; one equal number is needed.")
    if vectors.rows and len(vectors.rows) not in counts:
        raise ArtifactError(f"The vectors say why for {len(vectors.rows)} rows, but have {counts.pop()}.")
