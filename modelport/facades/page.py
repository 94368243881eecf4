"""BUILD.md: how a written facade is built and run."""

from __future__ import annotations

from collections.abc import Sequence

from .naming import fill, shown
from .plan import Plan

__all__ = ["build_page"]

PAGE = """# A facade of @model@

It needs @needs@.

```@language@
@commands@
```

The example asks the model one of the rows that the artifact carries, prints the answers, and compares them with those that the
artifact carries: exit code 0 when they are the same.

| file | what it is |
|---|---|
@files@

Loading replays all rows that the artifact carries and refuses it when an answer is not the original model's. It
refuses an artifact with other inputs or outputs than these, too: a retrained model with the same columns takes the place of the
file, a model with others needs `modelport stub @stub@ --for` again.
"""


def build_page(plan: Plan, needs: str, commands: str, written: Sequence[str], stub: str) -> str:
    """The page for a facade: `needs` names the tools, `commands` are lines for a shell, `written` the files that were made."""
    said = dict.fromkeys(written, "written for this model: the typed facade")
    said |= {name: "written for this model: asks one row" for name in written if name.lower().startswith("example")}
    said |= dict.fromkeys(plan.library, "the library, as it is")
    files = [f"| `{name}` | {what} |" for name, what in said.items()] + [f"| `{shown(plan.model)}` | the artifact |"]
    values = {"model": shown(plan.model), "needs": needs, "commands": commands, "files": "\n".join(files), "stub": stub}
    return fill(PAGE, {**values, "language": "console"})
