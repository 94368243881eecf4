"""Reads fitted scikit-learn estimators into graphs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelport.reading import Reading
from modelport.sample import Sample

__all__ = ["read"]


def read(model: Any, sample: Sample, options: Mapping[str, Any] | None = None) -> Reading:
    """Read a fitted estimator or pipeline.

    sample is what the model is fed. Raises NotFitted, UnsupportedModel (an estimator without handler) or
    UnsupportedAttribute (a parameter or fitted attribute that no step expresses).
    """
    from .model import read_model

    return read_model(model, sample)
