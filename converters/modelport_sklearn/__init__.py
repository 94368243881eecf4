"""Reads fitted scikit-learn estimators into graphs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelport.reading import Reading, SurveyPart
from modelport.sample import Sample

from .dispatch import predicts, transforms
from .expressing import expresses
from .feeding import sample_of
from .old_names import old_names

__all__ = ["ask", "expresses", "old_names", "predicts", "read", "sample_of", "survey", "transforms"]


def read(model: Any, sample: Sample, options: Mapping[str, Any] | None = None) -> Reading:
    """Read a fitted estimator or pipeline.

    sample is what the model is fed. Raises NotFitted, UnsupportedModel (an estimator without handler) or
    UnsupportedAttribute (a parameter or fitted attribute that no step expresses).
    """
    from .model import read_model
    from .versions import guarded, understood

    with understood():
        return guarded(read_model(model, sample))


def ask(model: Any, sample: Sample, options: Mapping[str, Any] | None = None) -> Reading:
    """A reading without a graph, for a model that `read` does not know: what it takes and gives, and its answers."""
    from .unread import ask_model
    from .versions import guarded, understood

    with understood():
        return guarded(ask_model(model, sample))


def survey(model: Any, sample: Sample, options: Mapping[str, Any] | None = None) -> list[SurveyPart]:
    """What can be read of a fitted model, estimator by estimator; a refusal is noted and does not end the survey."""
    from .surveying import survey_model

    return survey_model(model, sample)
