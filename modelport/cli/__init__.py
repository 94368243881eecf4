"""The command line, a module per command. Every error is one sentence and where to read more; exit codes: 0 done, 1 mismatch,
2 refused, 3 unsupported, 64 usage."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from ..errors import ModelportError, Refused, UsageError
from ..version import __version__
from . import check, completion, conformance, convert, diff, doctor, explain, inspect, plugins, predict, report, stub, verify
from .common import behave, fail, speaks_json

__all__ = ["build_parser", "main"]

#: in the order in which --help lists them
COMMANDS = (convert, check, verify, report, predict, inspect, diff, plugins, doctor, stub, conformance, explain, completion)


class Parser(argparse.ArgumentParser):
    """argparse with our exit code for usage errors."""

    def error(self, message: str) -> NoReturn:
        if not speaks_json():
            self.print_usage(sys.stderr)
        sentence = f"{message} (see {self.prog} --help)."
        self.exit(fail(sentence, UsageError.exit_code, UsageError(sentence)))


def build_parser() -> Parser:
    """All commands and their options."""
    parser = Parser(prog="modelport", description="Export trained models to artifacts that prove themselves.")
    parser.add_argument("--version", action="version", version=f"modelport {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    for command in COMMANDS:
        command.add(commands)
    parser.add_argument("-q", "--quiet", action="store_true", help="print errors only, and what was asked for as data")
    for subparser in commands.choices.values():
        # without a default: one that was given before the command's name counts
        subparser.add_argument(
            "-q",
            "--quiet",
            action="store_true",
            default=argparse.SUPPRESS,
            help="print errors only, and what was asked for as data",
        )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name the terminal cannot show must not end in a traceback
    given = sys.argv[1:] if arguments is None else list(arguments)
    behave(quiet=False, as_json="--json" in given)
    try:
        parsed = build_parser().parse_args(given)
        behave(quiet=parsed.quiet, as_json=bool(getattr(parsed, "json", False)))
        code = _run(parsed)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except ModelportError as error:
        return fail(str(error), error.exit_code, error)
    except BrokenPipeError:
        _drop_stdout()
        return 0
    except KeyboardInterrupt as error:
        return fail("interrupted; nothing was left half written.", 130, error)
    except MemoryError as error:
        return fail("there is not enough memory for this.", 2, error)
    except OSError as error:
        _drop_stdout()
        return fail(f"{error.strerror or error}{f' ({error.filename})' if error.filename else ''}.", 2, error)
    except Exception as error:
        if os.environ.get("MODELPORT_DEBUG"):
            raise
        first = (str(error).splitlines() or [""])[0]
        sentence = f"an unexpected {type(error).__name__} ({first}): please report it; MODELPORT_DEBUG=1 shows where it happened."
        return fail(sentence, 2, error)


def _run(parsed: argparse.Namespace) -> int:
    """The command's exit code. Code of others that ends the process (a script without a main guard, a pickle) decides none."""
    try:
        return int(parsed.run(parsed))
    except SystemExit as error:
        said = (str(error).splitlines() or [""])[0]
        raise Refused(
            f"Code that was run for this command ended it (SystemExit: {said}), so nothing was done: "
            "what a model, a module or a factory runs must not call sys.exit."
        ) from None


def _drop_stdout() -> None:
    """Standard output cannot be written to: let the interpreter's own flush at exit go nowhere."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
