"""One class per reason to refuse; every message is a sentence that says what was found, where, and what to do.

>>> from modelport.errors import Mismatch, ModelportError
>>> issubclass(Mismatch, ModelportError), Mismatch.exit_code
(True, 1)
"""

from __future__ import annotations

__all__ = [
    "ArtifactError",
    "GraphError",
    "InputError",
    "Misjudged",
    "Mismatch",
    "MissingDependency",
    "ModelportError",
    "NotFitted",
    "PluginError",
    "Refused",
    "Unsupported",
    "UnsupportedAttribute",
    "UnsupportedModel",
    "UntrustedFile",
    "UsageError",
    "WriteError",
]


class ModelportError(Exception):
    """Base of all errors modelport raises on purpose; `exit_code` is what the command line answers with."""

    exit_code = 2


class Refused(ModelportError):
    """Something handed in is not acceptable: an artifact, a model, a sample or rows."""

    exit_code = 2


class Mismatch(ModelportError):
    """The numbers do not match what the original model answered.

    `report` holds the full comparison when there is one.
    """

    exit_code = 1

    def __init__(self, message: str, report: object = None) -> None:
        super().__init__(message)
        self.report = report


class Unsupported(ModelportError):
    """Known to exist, but not something this version can do: an op, a format version, an estimator, a feature of a format."""

    exit_code = 3


class UsageError(ModelportError):
    """The command or the call was put together wrongly: an unknown name, a missing file, contradicting options."""

    exit_code = 64


class ArtifactError(Refused):
    """A file is not a well-formed artifact of its format."""


class GraphError(ArtifactError):
    """A graph breaks a rule of docs/format.md: an undefined name, a wrong dtype, shape or attribute."""


class InputError(Refused):
    """Rows or a sample do not fit the model: a missing column, a wrong dtype, NaN where it is not accepted."""


class NotFitted(Refused):
    """The model has not been fitted yet."""


class UntrustedFile(Refused):
    """Opening the file would run code stored in it."""


class WriteError(Refused):
    """An artifact could not be written; nothing was left behind."""


class MissingDependency(Unsupported):
    """A package or program that this job needs is not installed."""


class PluginError(Unsupported):
    """An installed plugin does not keep the contract of its group."""


class UnsupportedModel(Unsupported):
    """No reader knows this kind of model, or a part of it."""


class UnsupportedAttribute(UnsupportedModel):
    """A fitted attribute or parameter changes the output in a way no step expresses.

    `attribute` is its name, so that a program can act on it.
    """

    def __init__(self, message: str, attribute: str) -> None:
        super().__init__(message)
        self.attribute = attribute


class Misjudged(UnsupportedAttribute):
    """A model saved by another version of its framework, which the installed one answers otherwise, without saying so.

    There is no original here to hold an artifact against, so that no delegate is tried either.
    """
