"""Which ONNX versions a release of onnxruntime reads, and which of its faults a model for it must work around.

Source: measured. Every release was asked to load one-node models of rising versions, and to run the operators the writer uses;
`tests/converters/modelport_onnx/test_targets.py` repeats it for the installed release.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from modelport.errors import Unsupported, UsageError

__all__ = ["DEFAULT", "RELEASES", "Target", "parse"]

#: onnxruntime release -> newest ai.onnx opset, ai.onnx.ml opset and IR version that it loads without being told to.
RELEASES: dict[tuple[int, int], tuple[int, int, int]] = {
    (1, 17): (20, 4, 9),
    (1, 18): (21, 5, 10),
    (1, 19): (21, 5, 10),
    (1, 20): (21, 5, 10),
    (1, 21): (22, 5, 10),
    (1, 22): (22, 5, 10),
    (1, 23): (23, 5, 11),
    (1, 24): (25, 5, 13),
    (1, 25): (26, 5, 13),
    (1, 26): (26, 5, 13),
    (1, 31): (26, 5, 13),
}
DEFAULT = "onnxruntime>=1.21"
OPSET = 20
PATTERN = re.compile(r"\s*onnxruntime\s*(?:>=|==)?\s*(\d{1,4})\.(\d{1,4})(?:\.\d{1,4})?\s*")


@dataclass(frozen=True)
class Target:
    """The oldest onnxruntime release a model must run in.

    The versions written are the lowest that hold every operator used, so that other programs read the file too.
    """

    release: tuple[int, int]

    @property
    def name(self) -> str:
        """As `options["target"]` spells it."""
        return f"onnxruntime>={self.release[0]}.{self.release[1]}"

    @property
    def tree_ensemble(self) -> bool:
        """The operator TreeEnsemble of ai.onnx.ml 5 has a kernel for doubles from 1.21 on, though 1.18 knows its schema."""
        return self.release >= (1, 21)

    @property
    def full_range(self) -> bool:
        """Before 1.21, Exp of a double never falls below 5e-309, Log takes every subnormal for 2.2e-308, and Sqrt of a float32
        errs at both ends of its range.
        """
        return self.release >= (1, 21)

    @property
    def exact_norms(self) -> bool:
        """Up to 1.24, LayerNormalization takes the mean of squares less the square of the mean in float32: where the mean is
        large, what is left of that is wrong, or NaN. 1.31 does not.
        """
        return self.release >= (1, 31)

    @property
    def fused_tanh(self) -> bool:
        """1.17 fuses a matrix product with the Tanh behind it into an operator that it has no kernel of doubles for."""
        return self.release < (1, 18)

    @property
    def opsets(self) -> dict[str, int]:
        """Domain -> opset version written."""
        return {"": OPSET, "ai.onnx.ml": 5 if self.tree_ensemble else 3}

    @property
    def ir_version(self) -> int:
        """IR version written."""
        return 10 if self.tree_ensemble else 9


def parse(text: str) -> Target:
    """The target that "onnxruntime>=1.21" names.

    >>> parse("onnxruntime>=1.24").opsets
    {'': 20, 'ai.onnx.ml': 5}
    >>> parse("onnxruntime 1.17.3").ir_version
    9
    """
    match = PATTERN.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise UsageError(f"The ONNX target {text!r} is not understood; write it like {DEFAULT!r}.")
    release = int(match[1]), int(match[2])
    oldest = min(RELEASES)
    if release < oldest:
        raise Unsupported(f"ONNX models are written for onnxruntime {oldest[0]}.{oldest[1]} or newer, not for {text.strip()!r}.")
    known = max(r for r in RELEASES if r <= release)
    target = Target(release)
    written = (target.opsets[""], target.opsets["ai.onnx.ml"], target.ir_version)
    assert all(version <= newest for version, newest in zip(written, RELEASES[known], strict=True))
    return target
