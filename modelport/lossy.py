"""Options of a format that give up accuracy for size: what they cost is measured against the original and said in the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import Arrays
from .compare import OutputReport, compare
from .document import Tolerance, Vectors
from .sample import Sample
from .vectors import EXTREME, scale_of

__all__ = ["LOSSLESS", "Loss", "ordinary"]

Array = NDArray[Any]
#: an error beyond this share of an output's scale is no approximation of the model any more
WIDEST_LOSS = 0.25
#: below this share of bytes saved a file has not become smaller in a way that matters
SMALL_GAIN = 0.1


@dataclass
class Loss:
    """What some options of a format cost: `asked` names them; without any, nothing here changes a conversion.

    A format lists such options in LOSSY. `flips` counts the rows whose label they change; these are left out of the proof.
    """

    asked: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    flips: int = 0

    @classmethod
    def of(cls, module: ModuleType, options: Mapping[str, Any], sample: Sample | Arrays) -> Loss:
        """The lossy options among those of a format; rows to calibrate with go to its writer as the option `calibration`."""
        asked = {name: options[name] for name in getattr(module, "LOSSY", ()) if options.get(name) is not None}
        kept = {name: value for name, value in options.items() if value is not None}
        return cls(asked, {**kept, "calibration": sample.feeds()} if asked else kept)

    def __bool__(self) -> bool:
        return bool(self.asked)

    @property
    def provenance(self) -> dict[str, Any]:
        """What an artifact says of itself, so that it is later held against the model within the tolerance it states."""
        return {"approximation": dict(self.asked)} if self else {}

    @property
    def margin(self) -> float:
        """How many times the measured error the artifact states as its tolerance."""
        return 3.0 if self else 10.0

    def tolerable(self, expected: Array, got: Array, notes: Sequence[str]) -> bool:
        """Whether an output is still an approximation of the original's; far outside the sample only by its own size."""
        if expected.dtype.kind != "f" or expected.shape != got.shape:
            return False
        extreme = np.array([note in EXTREME for note in notes] or [False] * len(expected))
        stated = Tolerance(WIDEST_LOSS * scale_of(expected, notes), 0.0)
        far = Tolerance(WIDEST_LOSS * scale_of(expected, ()), 0.0)
        return (
            compare("", expected[~extreme], got[~extreme], stated).passed
            and compare("", expected[extreme], got[extreme], far).passed
        )

    def same_labels(self, run: Callable[[Mapping[str, Array]], dict[str, Array]], pool: Vectors, count: bool = True) -> Vectors:
        """Without the rows whose labels or codes the loss changes (counted in flips), and those far outside the sample."""
        if not self:
            return pool
        parts = []
        for part in pool.sets():
            got = run(part.inputs)
            keep = np.array([note not in EXTREME for note in part.rows] or [True] * len(part))
            for name, expected in part.outputs.items():
                if expected.dtype.kind != "f" and expected.shape == got[name].shape:
                    same = (expected == got[name]).reshape(len(expected), -1).all(axis=1)
                    self.flips += int((keep & ~same).sum()) if count else 0
                    keep &= same
            if keep.any():
                parts.append(part.take(np.flatnonzero(keep)))
        if not parts:
            return pool
        return replace(parts[0], more=tuple(parts[1:]))

    @property
    def advice(self) -> str:
        """For the refusal of an approximation that is none."""
        said = ", ".join(f"{name} {value}" for name, value in self.asked.items())
        return f" {said} changes the answers by more than {WIDEST_LOSS:.0%} of an output's scale: ask for less." if self else ""

    def notes(
        self,
        data: bytes,
        write: Callable[[Mapping[str, Any], bool], bytes],
        outputs: Sequence[OutputReport],
        settled: Vectors,
    ) -> tuple[str, ...]:
        """For the report: what the options cost, per output, and what they saved. write(options, whether with vectors) writes."""
        if not self:
            return ()
        said = ", ".join(f"{name} {value}" for name, value in self.asked.items())
        without = {name: value for name, value in self.options.items() if name not in (*self.asked, "calibration")}
        whole = len(write(without, True))
        bare, plain = len(write(self.options, False)), len(write(without, False))
        saved = 1 - bare / plain
        gain = f"{plain:,} bytes became {bare:,} ({whole:,} and {len(data):,} with the rows that are carried)"
        if saved < SMALL_GAIN:
            gain += ": the model is too small to gain by it" if saved >= 0 else ": the model is too small, and grew"
        lines = [f"{said}: {gain}"]
        for report in outputs:
            if report.max_abs is not None and report.dtype.startswith("float"):
                scale = max(scale_of(part.outputs[report.output], part.rows) for part in settled.sets())
                share = report.max_abs / scale
                lines.append(f"{said}: output {report.output!r} is off by {report.max_abs:.3g} at most, {share:.2%} of its scale")
        if self.flips:
            lines.append(f"{said}: the label changes on {self.flips} of the rows tried; they are no part of the proof")
        return tuple(lines)


def ordinary(pool: Vectors) -> Vectors:
    """The rows that lie near the sample: far outside it an approximation is held to nothing."""
    parts = [part.take(np.array([i for i, note in enumerate(part.rows) if note not in EXTREME])) for part in pool.sets()]
    kept = [part for part in parts if len(part)] or [pool]
    return replace(kept[0], more=tuple(kept[1:]))


LOSSLESS = Loss()
