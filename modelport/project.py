"""The project file: modelport.toml, or [tool.modelport] in pyproject.toml - models, samples, formats, consumers and tolerances.

Unknown keys are refused, with the nearest that is known: a misspelt key must not go unheard.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .bounds import bounds_of
from .consumers import ALL
from .errors import MissingDependency, ModelportError, Refused, UsageError

__all__ = ["Entry", "Project", "call_factory", "find_project", "options_for", "read_project"]

FILE, TABLE = "modelport.toml", "[tool.modelport]"
#: options of a conversion, and the formats that have them; the others hold for every format
TAKERS: Mapping[str, tuple[str, ...]] = {
    "style": ("json",),
    "target": ("onnx",),
    "quantize": ("json", "onnx"),
    "prune": ("json",),
}
#: key -> what it holds, in words
KEYS = {
    "name": "a text",
    "model": "a text",
    "trust": "true or false",
    "factory": "a text",
    "sample": "a text",
    "formats": "a list of texts",
    "artifacts": "a list of texts",
    "consumers": "'all' or a list of texts",
    "tolerance": "a table of outputs",
    "lengths": "a list of texts",
    "style": "a text",
    "target": "a text",
    "quantize": "a text",
    "prune": "a number",
    "backend": "a text",
}
#: words that people use for a key
ALSO = {"tolerances": "tolerance", "with": "consumers", "to": "formats", "artifact": "artifacts", "format": "formats"}


@dataclass(frozen=True)
class Entry:
    """One [[model]]: where the model comes from, what is made of it, and what it is held to."""

    name: str
    model: str | None = None
    trust: bool = False
    factory: str | None = None
    sample: str | None = None
    formats: tuple[str, ...] = ()
    artifacts: tuple[str, ...] = ()
    consumers: str | tuple[str, ...] = ALL
    tolerance: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def sources(self, root: Path) -> tuple[Any, Any]:
        """(model, sample), opened or made; (None, None) for committed artifacts alone."""
        from .files import load_model, load_sample

        if self.factory is not None:
            return call_factory(self.factory, root)
        if self.model is None or self.sample is None:
            return None, None
        return load_model(root / self.model, trust=self.trust), load_sample(root / self.sample)


@dataclass(frozen=True)
class Project:
    """A project file: its path and its entries. Paths in it are relative to its folder, `root`."""

    path: Path
    entries: tuple[Entry, ...]

    @property
    def root(self) -> Path:
        """The folder of the project file."""
        return self.path.parent


def find_project(folder: str | os.PathLike[str] = ".") -> Path | None:
    """A folder's project file, or None; UsageError when there are two."""
    own, shared = Path(folder) / FILE, Path(folder) / "pyproject.toml"
    declared = shared.is_file() and b"modelport" in shared.read_bytes() and "modelport" in _table(_parsed(shared), "tool", shared)
    if own.is_file() and declared:
        raise UsageError(f"Models are declared in {FILE} and in {TABLE} of pyproject.toml: keep one of them.")
    return own if own.is_file() else shared if declared else None


def read_project(path: str | os.PathLike[str]) -> Project:
    """The entries of a project file; UsageError for what it must not say."""
    path = Path(path)
    content: Any = _parsed(path)
    if path.name == "pyproject.toml":
        tools = _table(content, "tool", path)
        if "modelport" not in tools:
            raise UsageError(f"{str(path)!r} has no {TABLE}: declare models there, or in {FILE}.")
        content = _table(tools, "modelport", path)
    _check_keys(content, ("model",), f"{path.name}", "[[model]]")
    given = content.get("model")
    if not isinstance(given, list) or not given or not all(isinstance(each, dict) for each in given):
        raise UsageError(f"{path.name} declares no model: it has an entry [[model]] for each.")
    entries = tuple(_entry(each, number, path) for number, each in enumerate(given, 1))
    names = [entry.name for entry in entries]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"{path.name} has two models called {twice[0]!r}: every name is another.")
    return Project(path, entries)


def _parsed(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return dict(tomllib.loads(path.read_bytes().decode("utf-8-sig")))
    except FileNotFoundError:
        raise UsageError(f"There is no file {str(path)!r}.") from None
    except OSError as error:
        raise UsageError(f"The file {str(path)!r} cannot be read: {error.strerror or error}.") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{str(path)!r} is no text in UTF-8 (byte {error.start}).") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{str(path)!r} is no TOML: {str(error).rstrip('.')}.") from None


def _table(content: Mapping[str, Any], key: str, path: Path) -> Mapping[str, Any]:
    found = content.get(key, {})
    if not isinstance(found, dict):
        raise UsageError(f"{key!r} in {str(path)!r} is {found!r}; it is a table.")
    return found


def _check_keys(given: Mapping[str, Any], known: Sequence[str], where: str, has: str) -> None:
    for key in given:
        if key not in known:
            near = [ALSO[key]] if ALSO.get(key) in known else difflib.get_close_matches(key, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {has}."
            raise UsageError(f"{where} has the key {key!r}, which is not known: {hint}")


def _entry(given: Mapping[str, Any], number: int, path: Path) -> Entry:
    name = given.get("name")
    where = f"The model {name if isinstance(name, str) else number!r} in {path.name}"
    _check_keys(given, tuple(KEYS), where, ", ".join(KEYS))
    for key, value in given.items():
        if not _fits(value, KEYS[key]):
            raise UsageError(f"{where} says {key} = {value!r}; it is {KEYS[key]}.")
    if not name:
        raise UsageError(f"{where} has no name: give it one (name = ...).")
    if "factory" in given and ("model" in given or "sample" in given or "trust" in given):
        raise UsageError(f"{where} has a factory, which returns the model and its sample: leave out model, sample and trust.")
    if ("model" in given) != ("sample" in given):
        raise UsageError(f"{where} has only one of model and sample: they go together, as in modelport convert.")
    if not given.get("formats") and not given.get("artifacts"):
        raise UsageError(f"{where} has neither formats nor artifacts: say what to make of it, or what is committed.")
    if given.get("formats") and "model" not in given and "factory" not in given:
        raise UsageError(f"{where} has formats, but neither a model nor a factory of which to make them.")
    try:
        bounds_of(given.get("tolerance"))
        options = {key: given[key] for key in (*TAKERS, "backend") if key in given}
        if "lengths" in given:
            from .cli.common import lengths_of

            options["lengths"] = lengths_of(given["lengths"])
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None
    return Entry(
        name,
        given.get("model"),
        given.get("trust", False),
        given.get("factory"),
        given.get("sample"),
        tuple(dict.fromkeys(given.get("formats", ()))),
        tuple(dict.fromkeys(given.get("artifacts", ()))),
        given["consumers"] if isinstance(given.get("consumers"), str) else tuple(given.get("consumers", (ALL,))),
        given.get("tolerance", {}),
        options,
    )


def _fits(value: Any, kind: str) -> bool:
    texts = isinstance(value, list) and all(isinstance(each, str) and each for each in value)
    return {
        "a text": isinstance(value, str) and bool(value),
        "true or false": isinstance(value, bool),
        "a list of texts": texts,
        "'all' or a list of texts": value == ALL or (texts and bool(value)),
        "a table of outputs": isinstance(value, dict),
        "a number": isinstance(value, (int, float)) and not isinstance(value, bool),
    }[kind]


def options_for(format_: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a conversion that a format has.

    >>> options_for("pmml", {"quantize": "int8", "lengths": {"x": {1: "time"}}})
    {'lengths': {'x': {1: 'time'}}}
    """
    return {key: value for key, value in options.items() if format_ in TAKERS.get(key, (format_,))}


def call_factory(name: str, root: Path) -> tuple[Any, Any]:
    """What "module:function" returns, which is (model, sample); the module is looked for in the project's folder first."""
    module, colon, function = name.partition(":")
    if not (module and colon and function):
        raise UsageError(f"The factory {name!r} is not understood: it is MODULE:FUNCTION, such as train:model_and_sample.")
    with _first_on_the_path(root), redirect_stdout(sys.stderr):  # what it prints is no part of a result
        try:
            found = getattr(importlib.import_module(module), function)
        except ModuleNotFoundError as error:
            if error.name == module.partition(".")[0] or error.name == module:
                raise UsageError(f"The factory {name!r} is not found: there is no module {module!r} in {str(root)!r}.") from None
            raise MissingDependency(f"The factory {name!r} needs {error.name}, which cannot be imported here.") from None
        except AttributeError:
            raise UsageError(f"The factory {name!r} is not found: {module} has no {function!r}.") from None
        except (Exception, SystemExit) as error:  # a user's module can raise anything, and a script ends the process
            raise _failed(name, error) from None
        try:
            given = found()
        except ModelportError:
            raise
        except (Exception, SystemExit) as error:  # and so can a function
            raise _failed(name, error) from None
    if not isinstance(given, tuple) or len(given) != 2:
        raise UsageError(f"The factory {name!r} returned {type(given).__name__}; it returns (model, sample).")
    return given


def _failed(name: str, error: BaseException) -> Refused:
    said = (str(error).splitlines() or [""])[0]
    return Refused(f"The factory {name!r} failed ({type(error).__name__}: {said}): run it by itself.")


@contextmanager
def _first_on_the_path(folder: Path) -> Iterator[None]:
    path = os.path.abspath(folder)
    sys.path.insert(0, path)
    try:
        yield
    finally:
        if path in sys.path:
            sys.path.remove(path)
