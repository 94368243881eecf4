"""Reads XGBoost models into graphs: native boosters and the scikit-learn wrappers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelport.reading import Reading, SurveyPart
from modelport.sample import Sample

__all__ = ["FILE_KIND", "load_file", "owns_file", "read", "survey"]

#: what `modelport.files` calls a file of this library
FILE_KIND = "xgboost"


def read(model: Any, sample: Sample, options: Mapping[str, Any] | None = None) -> Reading:
    """Read a Booster (its answers: `predict(DMatrix(rows))`) or a fitted wrapper such as XGBClassifier.

    Raises NotFitted, UnsupportedModel or UnsupportedAttribute for what no step expresses.
    """
    import xgboost
    from modelport_sklearn.boosted import read_boosted

    from .native import as_estimator

    return read_boosted(as_estimator(model, sample), sample, "xgboost", xgboost.__version__, type(model).__name__)


def survey(model: Any, sample: Sample, options: Mapping[str, Any] | None = None) -> list[SurveyPart]:
    """What can be read of the model; a refusal is noted."""
    from modelport_sklearn.boosted import survey_boosted

    from .native import as_estimator

    return survey_boosted(as_estimator(model, sample), sample)


def owns_file(head: bytes) -> bool:
    """Whether a file that begins so is a model saved by XGBoost as JSON or UBJSON."""
    text = head.lstrip()
    return text.startswith(b"{") and b"learner" in text[:32] and not text.startswith(b'{"learner_') and _is_object(text)


def _is_object(text: bytes) -> bool:
    key = text[1:].lstrip()
    return key.startswith(b'"learner"') or key[:1] in (b"L", b"l", b"i", b"I", b"U")


def load_file(data: bytes) -> Any:
    """The Booster in a file, or the wrapper that saved it; the file holds numbers and names, and no code."""
    from .native import loaded

    return loaded(data)
