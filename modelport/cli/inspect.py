"""modelport inspect: what an artifact is."""

from __future__ import annotations

import argparse
import json
from typing import Any

from .common import say

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """The command's options."""
    command = commands.add_parser("inspect", help="say what an artifact is")
    command.add_argument("artifact")
    command.add_argument("--json", action="store_true")
    command.set_defaults(run=run)


def run(a: argparse.Namespace) -> int:
    """modelport inspect"""
    from ..api import inspect

    described = inspect(a.artifact)
    if a.json:
        say(json.dumps(described, indent=1))
        return 0
    say(f"{a.artifact}: {described['format']}, {described['bytes']:,} bytes, run by {described['engine']}")
    model = described["provenance"].get("model")
    if model:
        say(f"  model     {model}")
    for value in described["inputs"]:
        features = (
            f" ({', '.join(value['features'][:6])}{', ...' if len(value['features']) > 6 else ''})" if value["features"] else ""
        )
        say(f"  input     {value['name']}: {value['dtype']}{value['shape']}, missing: {value['missing']}{features}")
    for step in described.get("steps", ()):
        say(
            f"  step      {step['out']} = {step['op']}({', '.join(step['in'])}) -> {step['type']}, "
            f"{step['parameters']:,} parameters"
        )
    for value in described["outputs"]:
        say(f"  output    {value['name']}: {value['dtype']}, {value['role']}{_classes(value)}")
    vectors = described["vectors"]
    say(
        "  vectors   none: nothing proves this artifact"
        if vectors is None
        else f"  vectors   {vectors['rows']} rows, {vectors['source']}: {vectors['kinds']}; tolerance {vectors['tolerance']}"
    )
    return 0


def _classes(output: dict[str, Any]) -> str:
    return f", classes {output['classes']}" if output["classes"] else ""
