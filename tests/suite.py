"""Reads the conformance suite (fixtures/README.md) for the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modelport.fixtures import Fixtures, document_of_case, joinable, joined_cases

__all__ = [
    "FIXTURES", "SUITE", "artifacts", "document_of_case", "graph_cases", "invalid_files", "joinable", "joined_cases", "liars",
    "op_cases",
]  # fmt: skip

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
SUITE = Fixtures(FIXTURES)
op_cases, invalid_files, artifacts, liars = SUITE.op_cases, SUITE.invalid_files, SUITE.artifacts, SUITE.liars


def graph_cases() -> list[tuple[str, dict[str, Any]]]:
    """The cases that are about the op; those of how a program is fed rows are left out."""
    return [(op, case) for op, case in op_cases() if not ("error" in case and "feed" in case["flags"])]
