"""Why a verification may have failed: a changed file, another runtime, or a model that was fitted again."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .verify import ConsumerReport, Prepared

__all__ = ["reasons"]

STALE = (
    "the artifact still answers as it did when it was made, so the model is another than the one it was made from: it was fitted "
    "again, or its framework answers otherwise now. If that is meant, convert the model again"
)
CHANGED = (
    "the artifact does not answer as it did when it was made: the file was changed, or what runs it answers otherwise now. "
    "Restore the file, or convert the model again"
)


def reasons(prepared: Prepared, reports: Sequence[ConsumerReport]) -> tuple[str, ...]:
    """Sentences about a failed verification; none when everything matches or nothing can be said."""
    differs = [r for r in reports if r.problem is None and not r.passed]
    engine = prepared.loaded.engine
    own = {r.consumer.removeprefix(engine): r for r in reports if r.consumer.startswith(engine)}
    if not differs:
        return ()
    found = []
    replayed = own.get(", carried rows") if prepared.reading is not None else own.get("")
    if replayed is not None and replayed.problem is None:
        if not replayed.passed:
            found.append(CHANGED)
        elif prepared.reading is not None and "" in own and not own[""].passed and not prepared.too_wide:
            found.append(STALE)
    return (*found, *_versions(prepared.loaded.provenance))


def _versions(provenance: Mapping[str, Any]) -> Iterator[str]:
    """What the artifact was made with, where something else is installed here."""
    framework = provenance.get("framework")
    pairs = {"python": (provenance.get("python"), platform.python_version()), "numpy": (provenance.get("numpy"), _here("numpy"))}
    if isinstance(framework, Mapping):
        pairs[str(framework.get("name"))[:40]] = (framework.get("version"), _here(framework.get("name")))
    moved = [
        f"{name} {then} ({now} here)" for name, (then, now) in pairs.items() if isinstance(then, str) and now not in (None, then)
    ]
    if moved:
        yield f"it was made with {', '.join(moved)}"[:400]


def _here(package: Any) -> str | None:
    """The installed version of a package; None for what is not installed, and for what is no package's name."""
    try:
        return version(package)
    except Exception:  # the name comes from a file: anything may stand there
        return None
