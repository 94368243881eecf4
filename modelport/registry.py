"""Plugins: readers, writers, delegates and stubs, found through entry points. Ours come in by the same door as a stranger's.

A plugin is a module. The group says what it offers:

* `modelport.readers`: the entry point's name is the root module of the framework ("sklearn"). The module has
  `read(model, sample, options) -> Reading`, and may have `sample_of(model, data) -> Sample | Arrays | None` for models that are
  fed something else than tables and texts, `own_sample(model) -> Sample | None` for files that carry rows of their own,
  `strings_of(model) -> {column: strings}` for columns of strings that a CSV file would not show as such, and
  `survey(model, sample, options)` for `modelport check`. Models may also be of classes in the reader's own package.
* `modelport.writers`: the name is the format ("json"). The module has `FORMAT`, `SUFFIXES`, `sniff(head) -> bool`,
  `write(document, options) -> bytes` and `load(data, options) -> Loaded`; optionally `ENGINE`, the name of what runs such a
  file in `load` (else it is called as the format is), `CONSUMERS`, a mapping name -> function `(data) -> Loaded` of further
  independent engines that can run such a file, `OPTIONS`, the names of the options it takes
  (then a misspelt one is refused), `EDITED`, the options with which `load` opens a file that was changed since it was written
  (so that a verification can say what differs before it fails), `load_quick(data, options, verify) -> Loaded | None`, what
  `modelport.load` asks first (a quicker engine that has replayed the carried rows itself if `verify`, or None),
  `DELEGATED = True` where only delegates write the format, and for `inspect` and `diff` `describe(data)`, `sizes(data)` (bytes of
  "model" and "vectors") and `parts(data)` (the steps of a file without a graph).
* `modelport.delegates`: the name is the delegate's ("skl2onnx"). The module has `ROOTS` (root modules of the models it takes),
  `FORMATS` and `convert(model, format, wanted, options) -> bytes | Written` (delegation.py); optionally `OPTIONS` as a writer has
  them, `missing() -> str | None`, a sentence about what is not installed, `OPT_IN = True` where `auto` must not use it unasked,
  and `ask(model, sample, options) -> Reading`, for models that no reader can ask.
* `modelport.estimators`: the name is the root module of estimators that live in scikit-learn pipelines ("xgboost"). The module
  has `TRANSFORMERS` and/or `PREDICTORS`, dicts from class name to a handler as the scikit-learn reader's own.
* `modelport.stubs`: the module has `FOLDERS`, a list of folders that hold a `stub.json`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType

from .errors import MissingDependency, NotFitted, PluginError, UnsupportedModel, UsageError

__all__ = ["GROUPS", "plugins", "reader_for", "roots", "writer", "writer_for_path", "writers"]

GROUPS = ("readers", "writers", "estimators", "delegates", "stubs")
CONTRACTS = {
    "readers": ("read",),
    "writers": ("FORMAT", "SUFFIXES", "sniff", "write", "load"),
    "delegates": ("ROOTS", "FORMATS", "convert"),
    "estimators": (),
    "stubs": ("FOLDERS",),
}


@cache
def _entries(group: str) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=f"modelport.{group}"):
        found.setdefault(entry.name, entry)
    return found


def plugins(group: str) -> dict[str, EntryPoint]:
    """Entry points of a group by name; nothing is imported."""
    return dict(_entries(group))


def load(group: str, name: str) -> ModuleType:
    """The plugin module; MissingDependency when something it needs is not installed."""
    entry = _entries(group).get(name)
    if entry is None:
        known = ", ".join(sorted(_entries(group))) or "none"
        raise UsageError(f"There is no {group[:-1]} called {name!r}; installed are: {known}.")
    try:
        module = entry.load()
    except ImportError as error:
        raise MissingDependency(
            f"The {group[:-1]} {name!r} needs {error.name or error}, which cannot be imported: pip install 'modelport[{name}]'."
        ) from error
    except Exception as error:  # a stranger's module can raise anything
        raise PluginError(
            f"The {group[:-1]} {name!r} ({entry.value}) cannot be loaded ({type(error).__name__}: {error}): uninstall it."
        ) from error
    lacking = [part for part in CONTRACTS[group] if not hasattr(module, part)]
    if lacking:
        raise PluginError(
            f"The {group[:-1]} {name!r} ({entry.value}) is incomplete: it has no {lacking[0]}; see docs/add-a-converter.md."
        )
    for part in ("SUFFIXES", "FOLDERS"):
        if part in CONTRACTS[group] and not isinstance(getattr(module, part), (list, tuple)):
            raise PluginError(
                f"The {group[:-1]} {name!r} ({entry.value}) has {part} that is no list; see docs/add-a-converter.md."
            )
    return module  # type: ignore[no-any-return]


def roots(model: object) -> list[str]:
    """Root modules of the classes a model is made of, the most special first.

    >>> import fractions
    >>> roots(fractions.Fraction(1))
    ['fractions', 'numbers', 'builtins']
    """
    return list(dict.fromkeys(cls.__module__.partition(".")[0] for cls in type(model).__mro__))


def reader_for(model: object) -> tuple[str, ModuleType]:
    """The reader of a model, found by the root modules of its class before anything is imported."""
    if isinstance(model, type):
        raise NotFitted(f"{model.__name__} is a class, not a fitted model: hand over the instance you fitted.")
    for root in roots(model):
        if root in _entries("readers"):
            return root, load("readers", root)
        own = next((name for name, entry in _entries("readers").items() if entry.value.partition(".")[0] == root), None)
        if own is not None:  # a class of the reader's own package, for files that are no framework's
            return own, load("readers", own)
    known = ", ".join(sorted(_entries("readers"))) or "none"
    cls = type(model)
    raise UnsupportedModel(
        f"No reader knows {cls.__module__}.{cls.__qualname__}; installed readers: {known}. Install a converter package for it."
    )


def writer(name: str) -> ModuleType:
    """The writer of a format."""
    return load("writers", name)


def writers() -> Iterator[tuple[str, ModuleType]]:
    """All writers that can be imported here."""
    for name in sorted(_entries("writers")):
        try:
            yield name, load("writers", name)
        except (MissingDependency, PluginError):
            continue


def writer_for_path(path: str) -> str | None:
    """The format whose suffix a path has, or None."""
    for name, module in writers():
        if path.lower().endswith(tuple(module.SUFFIXES)):
            return name
    for name in _entries("writers"):
        if path.lower().endswith(f".{name}"):
            load("writers", name)  # says why this format cannot be written here
    return None
