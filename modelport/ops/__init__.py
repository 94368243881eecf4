"""Every op: name, attributes, how types follow, one NumPy function, exactness. docs/format.md states what they mean."""

from . import arithmetic, coding, columns, distances, factors, scores, text, trees
from .base import OPS, Attribute, Op, check

__all__ = [
    "OPS",
    "Attribute",
    "Op",
    "arithmetic",
    "check",
    "coding",
    "columns",
    "distances",
    "factors",
    "scores",
    "text",
    "trees",
]
