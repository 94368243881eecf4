"""The files of --modelport-report=DIR: a report per test, as JSON, as Markdown, and as HTML."""

from __future__ import annotations

import hashlib
import importlib
import itertools
import json
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..artifact import Artifact, write_atomically
from ..consumers import consumers_of
from ..errors import MissingDependency, ModelportError
from ..outcomes import Outcome, markdown
from ..verify import Report

__all__ = ["file_name", "write_files"]


def file_name(test: str) -> str:
    """A test's id as a file's name, another for every id.

    >>> file_name("tests/test_iris.py::test_iris[json-c]")
    'tests-test_iris.py-test_iris-json-c-6a1458'
    """
    plain = re.sub(r"[^A-Za-z0-9_.]+", "-", test).strip("-.")[:120]
    return f"{plain}-{hashlib.sha256(test.encode('utf-8', 'replace')).hexdigest()[:6]}"


def write_files(
    folder: Path, test: str, outcomes: Sequence[Outcome], report: Report, artifact: Artifact, taken: set[str], **sources: Any
) -> None:
    """Write the reports of one verification; a test that verifies several artifacts has files for each. taken are the names of
    files the test has already."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = [test] if report.format in test else []
    numbered = (f"{test} {report.format} {number}" for number in itertools.count(2))
    name = next(n for n in map(file_name, itertools.chain(plain, [f"{test} {report.format}"], numbered)) if n not in taken)
    taken.add(name)
    base = folder / name
    said = {"test": test, "outcomes": [outcome.to_json() for outcome in outcomes], "report": report.to_json()}
    write_atomically(f"{base}.json", json.dumps(said, indent=1, allow_nan=False).encode("utf-8"))
    write_atomically(f"{base}.md", markdown(outcomes, test).encode("utf-8"))
    write_page(f"{base}.html", test, report, artifact, **sources)


def write_page(path: str, title: str, report: Report, artifact: Artifact, **sources: Any) -> None:
    """The same as an HTML page, where what draws it is installed: the artifact is asked again by the consumers of the report."""
    try:
        module = importlib.import_module("modelport.report")
    except ModuleNotFoundError:
        return
    answered = {c.consumer for c in report.consumers if c.problem is None}
    names = [c.name for c in consumers_of(artifact.format)[1:] if c.name in answered]
    try:
        module.write_report(path, artifact, with_=names, title=title, **sources)
    except MissingDependency:
        return
    except ModelportError as error:  # a page that cannot be drawn must not hide what the test found
        warnings.warn(f"There is no HTML report of {title}: {error}", stacklevel=2)
