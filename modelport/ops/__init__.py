"""Every op: name, attributes, how types follow, one NumPy function, exactness. docs/format.md states what they mean."""

from . import (
    activations,
    arithmetic,
    coding,
    columns,
    distances,
    factors,
    norms,
    products,
    recurrent,
    resizing,
    scores,
    shapes,
    text,
    trees,
    windows,
)
from .base import OPS, Attribute, Op, check

__all__ = [
    "OPS",
    "Attribute",
    "Op",
    "activations",
    "arithmetic",
    "check",
    "coding",
    "columns",
    "distances",
    "factors",
    "norms",
    "products",
    "recurrent",
    "resizing",
    "scores",
    "shapes",
    "text",
    "trees",
    "windows",
]
