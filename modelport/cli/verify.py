"""modelport verify: artifacts against the original's answers, one or many, or all that a project file declares."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..errors import ModelportError, UsageError
from .common import add_verifying_options, check_net_options, emit_json, factory_of, lengths_of, say

if TYPE_CHECKING:
    from ..many import Verified
    from ..project import Project

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """The command's options."""
    command = commands.add_parser("verify", help="hold artifacts against the original's answers, in any consumer")
    command.add_argument(
        "artifacts", nargs="*", metavar="ARTIFACT", help="none: all that modelport.toml, or [tool.modelport] here, declares"
    )
    add_verifying_options(command)
    command.add_argument("--project", metavar="FILE", help="the project file, where it is not in this folder")
    command.add_argument(
        "--update", action="store_true", help="with a project file: write artifacts that are missing or stale again"
    )
    style = command.add_mutually_exclusive_group()
    style.add_argument("--json", action="store_true", help="print the result as JSON, and errors as JSON on standard error")
    style.add_argument("--markdown", action="store_true", help="print the result as Markdown")
    command.set_defaults(run=run)


def run(a: argparse.Namespace) -> int:
    """modelport verify"""
    from ..outcomes import markdown, table, worst_exit_code, write_job_summary
    from ..progress import Progress

    project = None if a.artifacts else _project(a)
    if a.artifacts and (a.project is not None or a.update):
        raise UsageError(f"{'--project' if a.project else '--update'} goes with a project file, and not with artifacts.")
    if (a.model is None) != (a.sample is None):
        raise UsageError("--model and --sample go together: the sample says what the model is fed.")
    if a.artifacts:
        check_net_options(a)
    if len(a.artifacts) == 1:
        with Progress(1):
            found = [_one(a)]
    else:
        total = len(a.artifacts) if project is None else sum(1 + len(e.artifacts) + len(e.formats) for e in project.entries)
        with Progress(total) as bar:
            found = _many(a, project, bar)
    outcomes = [outcome for each in found for outcome in each.outcomes]
    code = worst_exit_code(outcomes)
    said = markdown(outcomes)
    write_job_summary(said)
    if a.json:
        one = found[0].report if len(a.artifacts) == 1 else None
        result = one.to_json() if one is not None else _as_json(found, code)
        emit_json(result)
    elif a.markdown:
        say(said.rstrip("\n"))
    elif len(a.artifacts) == 1:
        say(found[0].report)
    else:
        for text in dict.fromkeys(o.details for o in outcomes if o.verdict == "failed"):
            say(f"{text}\n")
        say(table(outcomes))
        for name, why in dict.fromkeys((o.consumer, o.details) for o in outcomes if o.verdict == "not run"):
            say(f"{name}: not run: {why}")
        for each in found:
            if each.updated:
                say(f"{each.model}: written")
    return code


def _project(a: argparse.Namespace) -> Project:
    """The project file; UsageError when there is none, and for options that it takes the place of."""
    from ..project import find_project, read_project

    path = a.project if a.project is not None else find_project()
    if path is None:
        raise UsageError("Say which artifacts to verify, or declare models in modelport.toml: this folder has no project file.")
    if a.model or a.sample or a.factory or a.lengths or a.trust:
        raise UsageError(
            "--model, --sample, --factory, --lengths and --trust go with artifacts: the project file says them itself."
        )
    return read_project(path)


def _sources(a: argparse.Namespace) -> tuple[Any, Any, dict[str, Any]]:
    """(model, sample, options) of the command line."""
    from ..files import load_model, load_sample

    model = load_model(a.model, trust=a.trust, factory=factory_of(a)) if a.model else None
    sample = load_sample(a.sample) if a.sample else None
    lengths = lengths_of(a.lengths)
    return model, sample, {"lengths": lengths} if lengths else {}


def _one(a: argparse.Namespace) -> Verified:
    """One artifact: what is wrong with the file or the call ends the command with its own sentence."""
    from ..many import Verified
    from ..outcomes import markdown, write_job_summary
    from ..verify import verify

    try:
        model, sample, options = _sources(a)
        return Verified.of(a.artifacts[0], verify(a.artifacts[0], model=model, sample=sample, with_=a.consumers, **options))
    except ModelportError as error:
        write_job_summary(markdown(Verified.failed(a.artifacts[0], "", error).outcomes))
        raise


def _many(a: argparse.Namespace, project: Project | None, bar: Any) -> list[Verified]:
    from ..many import verify_artifacts, verify_project

    if project is not None:
        return list(verify_project(project, bar.stage, consumers=a.consumers, update=a.update))
    model, sample, options = _sources(a)
    return list(verify_artifacts(a.artifacts, a.consumers, bar.stage, model=model, sample=sample, options=options))


def _as_json(found: list[Verified], code: int) -> dict[str, Any]:
    return {"passed": code == 0, "exit_code": code, "verified": [each.to_json() for each in found]}
