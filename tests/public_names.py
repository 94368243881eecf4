"""Lists the public names: what docs/compatibility.md promises, one fact a line.

    python tests/public_names.py            prints them
    python tests/public_names.py --write    writes tests/public_names.txt (make names)

A parameter has its own line, so that a new optional one adds a line and takes none away. Writing refuses to lose a line while the
version does not allow it.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LIST = Path(__file__).with_name("public_names.txt")

#: module -> its public names; None: all of its __all__
PUBLIC: dict[str, tuple[str, ...] | None] = {
    "modelport": None,
    "modelport.errors": None,
    "modelport.verify": ("ConsumerReport", "Divergence"),
    "modelport.compare": ("OutputReport",),
    "modelport.files": ("load_model",),
    "modelport.sidebyside": ("Entry", "SideBySide", "side_by_side"),
    "modelport.convert": ("from_reading",),
    "modelport.graph": ("Graph", "Input", "Output", "Step", "ValueType"),
    "modelport.reading": ("Reading", "declaration", "placeholder"),
    "modelport.document": ("Document", "Loaded", "Tolerance", "Vectors"),
    "modelport.sample": ("Sample",),
    "modelport.delegation": ("Wanted", "Written"),
    "modelport.testing.parity": ("Parity", "Pending"),
}

#: what the library makes and users read: new fields may come, so what they are made with is not promised
READ = (
    "Artifact",
    "CheckReport",
    "ConsumerReport",
    "Difference",
    "Divergence",
    "Entry",
    "Loaded",
    "OutputReport",
    "Parity",
    "Pending",
    "Predictor",
    "Report",
    "SideBySide",
)


def names() -> list[str]:
    """Every line, sorted within its part."""
    return [*sorted(set(python_names())), *sorted(set(plugin_names())), *command_names(), *exit_codes()]


def python_names() -> Iterator[str]:
    """Functions, classes and their members."""
    for module_name, chosen in PUBLIC.items():
        module = importlib.import_module(module_name)
        for name in module.__all__ if chosen is None else chosen:
            thing, dotted = getattr(module, name), f"{module_name}.{name}"
            if inspect.isclass(thing):
                yield from class_lines(dotted, thing)
            elif callable(thing):
                yield from signature_lines(dotted, thing)
            else:
                yield dotted


def class_lines(dotted: str, cls: type) -> Iterator[str]:
    """A class, what it is made with, and its own and inherited public members."""
    bases = ", ".join(base.__name__ for base in cls.__bases__ if base is not object)
    yield f"class {dotted}({bases})"
    if "__init__" in vars(cls) and cls.__name__ not in READ:
        yield from list(signature_lines(dotted, cls))[1:]
    annotated = {name for base in cls.__mro__ for name in vars(base).get("__annotations__", {})}
    for name in sorted(annotated | set(dir(cls))):
        private = name.startswith("_") and not (name == "__call__" and "__call__" in vars(cls))
        if private or any(name in vars(base) for base in (Exception, BaseException, tuple, object)):
            continue
        value = inspect.getattr_static(cls, name, None)
        if isinstance(value, (staticmethod, classmethod)):
            value = value.__func__
        if inspect.isfunction(value):
            yield from signature_lines(f"{dotted}.{name}", value)
        elif issubclass(cls, Exception) and isinstance(value, int):
            yield f"{dotted}.{name} = {value}"
        else:
            yield f"{dotted}.{name}"


def signature_lines(dotted: str, function: Any) -> Iterator[str]:
    """A callable, and a line for every parameter."""
    yield f"{dotted}()"
    position = 0
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in ("self", "cls") and position == 0:
            continue
        kind = {
            parameter.KEYWORD_ONLY: "by keyword",
            parameter.VAR_POSITIONAL: "any number",
            parameter.VAR_KEYWORD: "any keyword",
        }.get(parameter.kind, f"at {position}")
        position += 1
        required = parameter.default is parameter.empty and not kind.startswith("any")
        yield f"{dotted}({parameter.name}) {kind}, {'required' if required else 'optional'}"


def plugin_names() -> Iterator[str]:
    """Groups of entry points and what a module of each must have; the pytest plugin's fixtures, markers and options."""
    from modelport.registry import CONTRACTS

    for group, parts in CONTRACTS.items():
        yield f"plugins modelport.{group}: {', '.join(parts) or 'see docs'}"
    yield from pytest_names("modelport.testing.plugin")


def pytest_names(module_name: str) -> Iterator[str]:
    """What the pytest plugin gives: fixtures, the mark, and options of pytest's command line."""
    module = importlib.import_module(module_name)
    for name, value in vars(module).items():
        if type(value).__name__ == "FixtureFunctionDefinition" or hasattr(value, "_pytestfixturefunction"):
            yield f"pytest fixture {name}"
    yield f"pytest mark {module.MARK}"
    found: list[str] = []

    class Parser:
        """Stands for pytest's, and writes down what it is given."""

        def getgroup(self, *_: object) -> Parser:
            return self

        def addoption(self, *options: str, metavar: str = "", **_: object) -> None:
            found.extend(f"pytest option {option} {metavar}".rstrip() for option in options)

    module.pytest_addoption(Parser())
    yield from found


def command_names() -> Iterator[str]:
    """Every command, its arguments and options."""
    from modelport.cli import build_parser

    commands = next(action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction))
    for name, parser in commands.choices.items():
        yield f"$ modelport {name}"
        yield from sorted(set(option_lines(f"$ modelport {name}", parser)))


def option_lines(command: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    """The arguments and options of a command."""
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        takes = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
        for name in action.option_strings or [""]:
            line = f"{command} {name}{takes}".replace("  ", " ")
            yield line + (" required" if action.required and action.option_strings else "")


def exit_codes() -> Iterator[str]:
    """The table at the head of docs/cli.md."""
    page = (Path(__file__).resolve().parent.parent / "docs" / "cli.md").read_text(encoding="utf-8")
    table = page[page.index("| exit code |") :].partition("\n\n")[0]
    for code, meaning in re.findall(r"^\| (\d+) \| ([^|:;]+)", table, re.MULTILINE):
        yield f"exit code {code}: {meaning.strip()}"


def listed() -> tuple[str, list[str]]:
    """(version, lines) of the list as it was written."""
    first, *lines = LIST.read_text(encoding="utf-8").splitlines()
    return first.removeprefix("modelport "), lines


def broken(before: list[str], after: list[str]) -> list[str]:
    """What of an earlier list no longer holds: lines that are gone, and new parameters and options that are required.

    >>> broken(["f()", "f(a) at 0, optional"], ["f()", "f(a) at 0, optional", "f(b) by keyword, optional"])
    []
    >>> broken(["f()", "f(a) at 0, optional"], ["f()", "f(b) by keyword, required"])
    ['gone: f(a) at 0, optional', 'now required: f(b) by keyword, required']
    >>> broken(["f()"], ["f()", "g()", "g(a) at 0, required"])
    []
    """
    known = set(before)
    found = [f"gone: {line}" for line in before if line not in set(after)]
    for line in after:
        if line in known or not line.endswith("required"):
            continue
        owner = line.split("(")[0] + "()" if not line.startswith("$") else " ".join(line.split()[:3])
        if owner in known:
            found.append(f"now required: {line}")
    return found


def allows_breaking(before: str, now: str) -> bool:
    """Whether a version may take away what another had: a higher first number, or a release that was not final yet.

    >>> allows_breaking("1.0.0rc1", "1.0.0"), allows_breaking("1.0.0", "1.1.0"), allows_breaking("1.9.2", "2.0.0")
    (True, False, True)
    """
    major_before, major_now = (int(version.split(".")[0]) for version in (before, now))
    return major_now > major_before or bool(re.search(r"(a|b|rc)\d+$", before))


def write() -> None:
    """Write the list."""
    from modelport.version import __version__

    now = names()
    if LIST.is_file():
        version, before = listed()
        lost = broken(before, now)
        if lost and not allows_breaking(version, __version__):
            sys.exit("\n".join([f"{version} promised what {__version__} may not take away (docs/compatibility.md):", *lost]))
    LIST.write_text("\n".join([f"modelport {__version__}", *now]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        write()
    else:
        print("\n".join(names()))
