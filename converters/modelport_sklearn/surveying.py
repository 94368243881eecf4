"""A dry run over a fitted model: what can be read of it, estimator by estimator, going on behind a refusal."""

from __future__ import annotations

from typing import Any

from modelport.errors import ModelportError
from modelport.reading import SurveyPart
from modelport.sample import Sample

from .builder import Builder, Part
from .dispatch import predict, transform
from .missing import decided_markers, split_if_needed
from .model import _check_fitted, _check_width, _input_table, _is_predictor, one_job


def survey_model(model: Any, sample: Sample) -> list[SurveyPart]:
    """Every estimator inside a model, outermost first, with the steps it makes or the reason why it cannot be read."""
    _check_fitted(model)
    _check_width(model, sample)
    with one_job(model):
        sample = split_if_needed(model, sample)
    builder = Builder(sample.inputs("error"), surveying=True)
    builder.markers.update(decided_markers(sample))
    table = _input_table(sample, builder)
    (predict if _is_predictor(model) else transform)(model, builder, table)
    return [_described(builder, position) for position in range(len(builder.parts))]


def _described(builder: Builder, position: int) -> SurveyPart:
    part = builder.parts[position]
    inner: set[int] = set()
    for other in _inside(builder.parts, position):
        inner.update(range(other.first, other.last))
    steps = [builder.steps[k] for k in range(part.first, part.last) if k not in inner]
    name = type(part.estimator).__name__
    problem = None if part.problem is None else str(part.problem)
    try:
        return SurveyPart.of(name, part.depth, () if problem else steps, builder.types, problem)
    except ModelportError as error:
        return SurveyPart(name, part.depth, problem=str(error))


def _inside(parts: list[Part], position: int) -> list[Part]:
    found = []
    for other in parts[position + 1 :]:
        if other.depth <= parts[position].depth:
            break
        found.append(other)
    return found
