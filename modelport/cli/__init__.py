"""The command line, a module per command. Every error is one sentence; exit codes: 0 done, 1 mismatch, 2 refused,
3 unsupported, 64 usage."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from ..errors import ModelportError, UsageError
from ..version import __version__
from . import check, convert, doctor, inspect, plugins, predict, report, stub, verify
from .common import complain

__all__ = ["build_parser", "main"]

#: in the order in which --help lists them
COMMANDS = (convert, check, verify, report, predict, inspect, plugins, doctor, stub)


class Parser(argparse.ArgumentParser):
    """argparse with our exit code for usage errors."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(UsageError.exit_code, f"{self.prog}: {message}\n")


def build_parser() -> Parser:
    """All commands and their options."""
    parser = Parser(prog="modelport", description="Export trained models to artifacts that prove themselves.")
    parser.add_argument("--version", action="version", version=f"modelport {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    for command in COMMANDS:
        command.add(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name the terminal cannot show must not end in a traceback
    try:
        parsed = build_parser().parse_args(arguments)
        code = int(parsed.run(parsed))
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except ModelportError as error:
        complain(str(error))
        return error.exit_code
    except BrokenPipeError:
        _drop_stdout()
        return 0
    except KeyboardInterrupt:
        complain("interrupted; nothing was left half written.")
        return 130
    except MemoryError:
        complain("there is not enough memory for this.")
        return 2
    except OSError as error:
        _drop_stdout()
        complain(f"{error.strerror or error}{f' ({error.filename})' if error.filename else ''}.")
        return 2
    except Exception as error:
        if os.environ.get("MODELPORT_DEBUG"):
            raise
        first = (str(error).splitlines() or [""])[0]
        complain(f"an unexpected {type(error).__name__} ({first}): please report it; MODELPORT_DEBUG=1 shows where it happened.")
        return 2


def _drop_stdout() -> None:
    """Standard output cannot be written to: let the interpreter's own flush at exit go nowhere."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
