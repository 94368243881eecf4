"""Models of another scikit-learn version: which one is asked here, and what is said of a model it does not understand."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Any

from modelport.errors import UnsupportedModel
from modelport.reading import Reading


def sklearn_version() -> tuple[int, int]:
    """Major and minor version of the scikit-learn installed here."""
    import sklearn

    major, minor = sklearn.__version__.split(".")[:2]
    return int(major), int(minor)


@contextmanager
def understood() -> Iterator[None]:
    """Within, an estimator whose state is not the one that the installed scikit-learn expects ends in a sentence."""
    try:
        yield
    except AttributeError as error:
        lacking = getattr(error, "obj", None)
        if hasattr(lacking, "get_params") and not isinstance(lacking, type):
            what = f"This {type(lacking).__name__} has no attribute {error.name!r}, which scikit-learn {{}} needs to answer"
        elif isinstance(lacking, str) and error.name in METHODS:
            what = f"{lacking!r} stands in the place of an estimator in this model, where scikit-learn {{}} keeps an object"
        else:
            raise
        raise _saved_elsewhere(what) from None
    except TypeError as error:
        unknown = re.search(r"(\w+)\(\) got an unexpected keyword argument '(\w+)'", str(error))
        if unknown is None or not _inside_sklearn(error.__traceback__):
            raise
        what = f"This model holds the parameter {unknown[2]!r} of {unknown[1]}, which scikit-learn {{}} does not have"
        raise _saved_elsewhere(what) from None


#: what is asked of the estimators inside a model
METHODS = ("transform", "predict", "predict_proba", "decision_function")


def _saved_elsewhere(what: str) -> UnsupportedModel:
    import sklearn

    return UnsupportedModel(
        f"{what.format(sklearn.__version__)}: it was saved by another version. "
        "Convert it where that version is installed, or fit it again."
    )


def _inside_sklearn(traceback: TracebackType | None) -> bool:
    """Whether an exception comes out of scikit-learn's own code."""
    last = None
    while traceback is not None:
        last, traceback = traceback, traceback.tb_next
    return last is not None and str(last.tb_frame.f_globals.get("__name__", "")).partition(".")[0] == "sklearn"


def guarded(reading: Reading) -> Reading:
    """A reading whose model is asked within `understood`."""

    def within(ask: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def asked(rows: Any) -> Any:
            with understood():
                return ask(rows)

        return asked

    return replace(
        reading,
        answer=within(reading.answer),
        probes={name: within(probe) for name, probe in reading.probes.items()},
        as_given=None if reading.as_given is None else within(reading.as_given),
    )
