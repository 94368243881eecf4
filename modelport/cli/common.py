"""What several commands share: how lines are printed, and options that mean the same everywhere."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from ..errors import ModelportError, UsageError
from ..layout import Block, lines_of
from .terminal import width_of, write

__all__ = [
    "TABLES",
    "add_json",
    "add_net_options",
    "add_verifying_options",
    "behave",
    "check_net_options",
    "check_output",
    "complain",
    "emit",
    "emit_json",
    "factory_of",
    "fail",
    "is_quiet",
    "lengths_of",
    "say",
    "speaks_json",
]

TABLES = "CSV or parquet, or as .npy or .npz arrays for a net"


def add_json(command: argparse.ArgumentParser, what: str = "the answer") -> None:
    """--json, which means the same for every command."""
    command.add_argument("--json", action="store_true", help=f"print {what} as JSON, and errors as JSON on standard error")


def add_net_options(command: argparse.ArgumentParser) -> None:
    """Options of commands that open a net."""
    command.add_argument("--factory", metavar="MODULE:FUNCTION", help="makes the module of a PyTorch state_dict (needs --trust)")
    command.add_argument(
        "--lengths",
        action="append",
        default=[],
        metavar="INPUT:AXIS=NAME",
        help="an axis of a net's input that varies, such as x:1=time",
    )


def check_net_options(a: argparse.Namespace) -> None:
    """Refuse what says how a model is opened where no model is: it would go unheard."""
    if a.model is None and (a.factory is not None or a.lengths):
        name = "--factory" if a.factory is not None else "--lengths"
        raise UsageError(f"{name} goes with --model: without it an artifact replays the rows it carries.")


class _Manners:
    """How this run of the command line speaks."""

    quiet = False
    as_json = False


def behave(*, quiet: bool, as_json: bool) -> None:
    """Set how the command line speaks from here on: `quiet` leaves out every word but errors and what was asked for as data."""
    from ..progress import Progress

    _Manners.quiet, _Manners.as_json = quiet, as_json
    Progress.enabled = not quiet


def is_quiet() -> bool:
    """Whether only errors and data are wanted."""
    return _Manners.quiet


def speaks_json() -> bool:
    """Whether JSON is wanted, of answers and errors."""
    return _Manners.as_json


def say(*blocks: Block | object) -> None:
    """Print lines and tables for a person; control characters in them (names come from files of others) are shown, not obeyed.

    With --quiet nothing is said, but for the one thing that --json asks for.
    """
    if not _Manners.quiet or _Manners.as_json:
        emit(*blocks)


def emit(*blocks: Block | object) -> None:
    """Print what was asked for as data, with --quiet too."""
    known = [block if isinstance(block, Block) else str(block) for block in blocks]
    write(list(lines_of(known, width_of(sys.stdout))), sys.stdout)


def emit_json(value: Any) -> None:
    """Print a value as JSON, and nothing else."""
    print(json.dumps(value, indent=1, allow_nan=False))


def complain(sentence: str) -> None:
    """A sentence on standard error."""
    write(list(lines_of([f"modelport: {sentence}"])), sys.stderr)


def fail(sentence: str, exit_code: int, error: BaseException | None = None) -> int:
    """Say on standard error why a command ends, as a JSON object under --json; returns the exit code."""
    ours = error if isinstance(error, ModelportError) else None
    if _Manners.as_json:
        said: dict[str, Any] = {"error": type(error).__name__ if error is not None else None, "message": sentence}
        said |= {"exit_code": exit_code, "page": ours.page if ours else None, "address": ours.address if ours else None}
        report = getattr(error, "report", None)
        if report is not None:
            said["report"] = report.to_json() if hasattr(report, "to_json") else [output.to_json() for output in report]
        print(json.dumps(said), file=sys.stderr)
    else:
        complain(f"{sentence}\n  {ours.hint}" if ours else sentence)
    return exit_code


def factory_of(a: argparse.Namespace) -> str | None:
    """The name of the user's function, which is run."""
    if a.factory is not None and not a.trust:
        raise UsageError("--factory runs a function of yours: say --trust too.")
    return a.factory  # type: ignore[no-any-return]


def lengths_of(given: Sequence[str]) -> dict[str, dict[int, str]]:
    """INPUT:AXIS=NAME, repeated, as the option `lengths`."""
    found: dict[str, dict[int, str]] = {}
    for text in given:
        where, equals, name = text.partition("=")
        value, colon, axis = where.rpartition(":")
        if not (equals and colon and value and name and axis.isascii() and axis.isdigit()):
            raise UsageError(
                f"--lengths {text!r} is not understood: it is INPUT:AXIS=NAME, such as tokens:1=time (0 is the batch)."
            )
        found.setdefault(value, {})[int(axis)] = name
    return found


def check_output(path: str) -> None:
    """Refuse what cannot become a file, before the work is done."""
    folder = os.path.dirname(path) or "."
    if path == "-" or not os.path.basename(path) or os.path.isdir(path):
        raise UsageError(f"{path!r} is no name of a file: say -o FILE.")
    if not os.path.isdir(folder):
        raise UsageError(f"There is no folder {folder!r} to write {os.path.basename(path)!r} into: make it first.")


def add_verifying_options(command: argparse.ArgumentParser) -> None:
    """What artifacts are held against, and in which consumers."""
    command.add_argument("--model", help="the saved model, to verify against it with boundary rows added")
    command.add_argument("--sample", metavar="FILE", help=f"rows the model is fed, as {TABLES}")
    add_net_options(command)
    command.add_argument(
        "--with",
        dest="consumers",
        action="append",
        default=[],
        metavar="CONSUMER",
        help="a stub, an engine, any command, or 'all' that can run here; may repeat",
    )
    command.add_argument("--trust", action="store_true", help="open a pickle, which runs code stored in it")
