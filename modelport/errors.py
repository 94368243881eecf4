"""One class per reason to refuse; every message is a sentence that says what was found, where, and what to do.

Every class has a page in docs/errors: `address` is where it stands on the web, `modelport explain` prints it.

>>> from modelport.errors import Mismatch, ModelportError
>>> issubclass(Mismatch, ModelportError), Mismatch.exit_code
(True, 1)
>>> Mismatch("The numbers differ.").page
'mismatch'
"""

from __future__ import annotations

import re

__all__ = [
    "PAGES",
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
    "page_of",
]


#: where the pages of docs/errors stand on the web
PAGES = "https://modelport.readthedocs.io/en/stable/errors/"


def page_of(kind: type[ModelportError]) -> str:
    """The name of an error class's page; that of its nearest base in this module for a class of somebody else.

    >>> page_of(MissingDependency)
    'missing-dependency'
    """
    ours = next(cls for cls in kind.__mro__ if cls.__module__ == __name__)
    return re.sub(r"(?<!^)(?=[A-Z])", "-", ours.__name__).lower()


class ModelportError(Exception):
    """Base of all errors modelport raises on purpose; `exit_code` is what the command line answers with.

    str(error) is the sentence. Tracebacks show `hint` below it (Python 3.11 and newer).
    """

    exit_code = 2

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        if hasattr(self, "add_note"):
            self.add_note(self.hint)

    @property
    def page(self) -> str:
        """The name of the page that explains this class of errors, for `modelport explain`."""
        return page_of(type(self))

    @property
    def address(self) -> str:
        """The page that explains this class of errors, on the web."""
        return f"{PAGES}{self.page}/"

    @property
    def hint(self) -> str:
        """Where to read more."""
        return f"see {self.address} or: modelport explain {self.page}"


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

    def __reduce__(self) -> tuple[type[UnsupportedAttribute], tuple[str, str], dict[str, object]]:
        return type(self), (str(self), self.attribute), self.__dict__


class Misjudged(UnsupportedAttribute):
    """A model saved by another version of its framework, which the installed one answers otherwise, without saying so.

    There is no original here to hold an artifact against, so that no delegate is tried either.
    """
