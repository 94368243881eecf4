"""Reads PMML files into graphs, whoever wrote them. The original is what the file's own ModelVerification says, a scorer, or the
user's recorded answers.

A reader plugin of modelport (see `modelport.registry`). The elements themselves are read by `modelport_pmml`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from modelport.reading import Reading
from modelport.sample import Sample

if TYPE_CHECKING:
    from .original import PmmlFile

__all__ = ["FILE_KIND", "OPTIONS", "load_file", "own_sample", "owns_file", "read", "sample_of", "strings_of"]

#: a scorer that is asked ("jpmml", "pypmml"), or what the original answers for the sample's rows, output by output; the outputs
#: to keep (all that can be proven, when left out)
OPTIONS = ("scorer", "answers", "keep")
FILE_KIND = "pmml"


def owns_file(head: bytes) -> bool:
    """Do these first bytes look like a PMML document?"""
    from modelport_pmml import sniff

    return sniff(head)


def load_file(data: bytes) -> PmmlFile:
    """The file, parsed; ArtifactError for XML that is broken, too large, too deep, or has a document type."""
    from .original import opened

    return opened(data)


def sample_of(model: PmmlFile, data: Any) -> Sample:
    """Rows for the fields that the model reads; columns it does not read are left out."""
    from .rows import sample

    return sample(model, data)


def own_sample(model: PmmlFile) -> Sample | None:
    """The rows that the file itself carries, or None."""
    from .rows import own_rows

    return own_rows(model)


def strings_of(model: PmmlFile) -> dict[str, set[str]]:
    """The fields of strings that a model reads, each with the values its DataField lists."""
    from .rows import strings

    return strings(model)


def read(model: PmmlFile, sample: Sample, options: Mapping[str, Any] | None = None) -> Reading:
    """Read a PMML file.

    `options["scorer"]` names a runtime that is asked as the original; `options["answers"]` maps outputs to what the original
    answers for the sample's rows. With neither, the file's ModelVerification is the original. Raises Refused where there is
    none, Mismatch where the graph does not answer what the file says, Unsupported for an element that no step expresses.
    """
    from .original import read_file

    return read_file(model, sample, options or {})
