"""What several commands share: how lines are printed, and options that mean the same everywhere."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from ..errors import UsageError

__all__ = ["TABLES", "add_net_options", "check_output", "complain", "factory_of", "lengths_of", "say"]

TABLES = "CSV or parquet, or as .npy or .npz arrays for a net"


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


def say(text: object) -> None:
    """Print lines; control characters in them (names come from files of others) are shown, not obeyed."""
    print("\n".join(map(_shown, str(text).split("\n"))))


def complain(sentence: str) -> None:
    """An error, on standard error."""
    print("\n".join(map(_shown, f"modelport: {sentence}".split("\n"))), file=sys.stderr)


def _shown(line: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in line)


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
