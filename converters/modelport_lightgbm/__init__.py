"""Reads LightGBM models into graphs: native boosters and the scikit-learn wrappers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelport.reading import Reading, SurveyPart
from modelport.sample import Sample

__all__ = ["FILE_KIND", "load_file", "owns_file", "read", "survey"]

#: what `modelport.files` calls a file of this library
FILE_KIND = "lightgbm"


def read(model: Any, sample: Sample, options: Mapping[str, Any] | None = None) -> Reading:
    """Read a Booster (its answers: `predict(rows)`) or a fitted wrapper such as LGBMClassifier.

    Raises NotFitted, UnsupportedModel or UnsupportedAttribute for what no step expresses.
    """
    import lightgbm
    from modelport_sklearn.boosted import read_boosted

    from .native import as_estimator

    return read_boosted(as_estimator(model, sample), sample, "lightgbm", lightgbm.__version__, type(model).__name__)


def survey(model: Any, sample: Sample, options: Mapping[str, Any] | None = None) -> list[SurveyPart]:
    """What can be read of the model; a refusal is noted."""
    from modelport_sklearn.boosted import survey_boosted

    from .native import as_estimator

    return survey_boosted(as_estimator(model, sample), sample)


def owns_file(head: bytes) -> bool:
    """Whether a file that begins so is a model saved by LightGBM."""
    return head.replace(b"\r\n", b"\n").startswith(b"tree\nversion=")


def load_file(data: bytes) -> Any:
    """The Booster in a file, which holds numbers and names, and no code."""
    from .native import loaded

    return loaded(data)
