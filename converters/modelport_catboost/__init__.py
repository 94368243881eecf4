"""Reads CatBoost models into graphs: CatBoost, CatBoostClassifier, CatBoostRegressor, CatBoostRanker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelport.reading import Reading, SurveyPart
from modelport.sample import Sample

__all__ = ["FILE_KIND", "load_file", "needs_trust", "owns_file", "read", "survey"]

#: what `modelport.files` calls a file of this library
FILE_KIND = "catboost"


def read(model: Any, sample: Sample, options: Mapping[str, Any] | None = None) -> Reading:
    """Read a fitted CatBoost model; its answers are those of predict and predict_proba.

    The sample holds every category that the model tests: a model knows categories by their hash alone. Raises NotFitted,
    UnsupportedModel or UnsupportedAttribute for what no step expresses.
    """
    import catboost
    from modelport_sklearn.boosted import read_boosted

    from .native import as_estimator

    return read_boosted(as_estimator(model, sample), sample, "catboost", catboost.__version__, type(model).__name__)


def survey(model: Any, sample: Sample, options: Mapping[str, Any] | None = None) -> list[SurveyPart]:
    """What can be read of the model; a refusal is noted."""
    from modelport_sklearn.boosted import survey_boosted

    from .native import as_estimator

    return survey_boosted(as_estimator(model, sample), sample)


def owns_file(head: bytes) -> bool:
    """Whether a file that begins so is a model saved by CatBoost, in its own format or as JSON."""
    if head.startswith(b"CBM1"):
        return True
    text = head.lstrip()
    keys = (b'"features_info"', b'"ctr_data"', b'"model_info"', b'"oblivious_trees"')
    return text.startswith(b"{") and text[1:].lstrip().startswith(keys)


def needs_trust(head: bytes) -> str | None:
    """Why a file that begins so is opened only when it is trusted, or None."""
    if head.startswith(b"CBM1"):
        return "CatBoost can end the process on a damaged .cbm file (its JSON form needs no trust)."
    return None


def load_file(data: bytes) -> Any:
    """The model in a file, which holds numbers and names, and no code."""
    from .native import loaded

    return loaded(data)
