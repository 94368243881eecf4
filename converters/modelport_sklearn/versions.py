"""Models of another scikit-learn version: which one is asked here, and what is said of a model it does not understand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
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
    """Within, an estimator that lacks an attribute which the installed scikit-learn expects ends in a sentence."""
    try:
        yield
    except AttributeError as error:
        lacking = getattr(error, "obj", None)
        if not hasattr(lacking, "get_params") or isinstance(lacking, type):
            raise
        import sklearn

        raise UnsupportedModel(
            f"This {type(lacking).__name__} has no attribute {error.name!r}, which scikit-learn {sklearn.__version__} needs to "
            "answer: it was saved by another version. Convert it where that version is installed, or fit it again."
        ) from None


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
