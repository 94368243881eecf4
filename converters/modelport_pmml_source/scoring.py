"""A public scorer as the original of a PMML file: its answers, field by field, never ours."""

from __future__ import annotations

from typing import Any

from modelport_pmml.consumers import Scorer, jpmml, pypmml
from modelport_pmml.declared import data_fields

from modelport.errors import UsageError

from .declaring import PmmlFile

__all__ = ["SCORERS", "scored"]

SCORERS = {"jpmml": jpmml, "pypmml": pypmml}


def scored(name: Any, file: PmmlFile) -> Scorer:
    """The file in a scorer; MissingDependency where it is not installed."""
    if name not in SCORERS:
        raise UsageError(f"There is no scorer {name!r} for PMML files; there are: {', '.join(SCORERS)}.")
    fields = data_fields(file.root)
    types = {f: fields[f].get("dataType", "") for names in file.carried.fields.inputs.values() for f in names if f in fields}
    return SCORERS[name](file.data, file.carried, types)
