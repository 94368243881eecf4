"""What is wrong, in sentences: every output that does not match, who gives it, by how much, and in which row it is worst."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..compare import OutputReport
from ..verify import ConsumerReport
from .facts import ArtifactFacts, Facts
from .seen import OutputFacts, WorstRow
from .text import Html, count, join, number, tag, text, tolerance

__all__ = ["Finding", "amount", "findings", "listed", "summary"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: in which artifact, which output (None: no answer at all), who gives it, and a sentence."""

    artifact: str
    output: str | None
    consumers: tuple[str, ...]
    sentence: Html


def findings(facts: Facts) -> list[Finding]:
    """Everything that is wrong; consumers that say the same stand together."""
    found: dict[tuple[str, str | None, Html], list[str]] = {}
    for artifact in facts.artifacts:
        for consumer in artifact.report.consumers:
            for output, sentence in _of(artifact, consumer):
                found.setdefault((artifact.name, output, sentence), []).append(consumer.consumer)
    return [Finding(artifact, output, tuple(who), said) for (artifact, output, said), who in found.items()]


def _of(artifact: ArtifactFacts, consumer: ConsumerReport) -> list[tuple[str | None, Html]]:
    if consumer.problem is not None:
        return [(None, text(consumer.problem, 600))]
    if not consumer.outputs:
        return [(None, text("it compared nothing."))]
    seen = artifact.consumers.get(consumer.consumer)
    return [
        (o.output, _sentence(o, seen.outputs.get(o.output) if seen is not None else None))
        for o in consumer.outputs
        if not o.passed
    ]


def _sentence(o: OutputReport, seen: OutputFacts | None) -> Html:
    if o.problem is not None:
        return text(f"{o.problem}.", 600)
    said = f"{amount(o, seen)}."
    if seen is None or not seen.worst:
        return text(said, 600)
    return join([text(said, 600), " ", worst_row(seen.worst[0])])


def amount(o: OutputReport, seen: OutputFacts | None) -> str:
    """How far an output that does not match lies from the original's."""
    if o.flips is not None:
        return f"{count(o.flips, 'row')} of {o.rows:,} {'has' if o.flips == 1 else 'have'} another answer"
    beyond = f"{seen.beyond:,} of {count(o.rows, 'row')}" if seen is not None else "rows"
    if o.max_abs is None:
        return f"{beyond} differ, some by no number at all (NaN or infinity), where {tolerance(o.tolerance)} is allowed"
    return f"{beyond} differ by up to {number(o.max_abs)}, where {tolerance(o.tolerance)} is allowed"


def worst_row(row: WorstRow) -> Html:
    """The row that is worst, and what stands there."""
    kind = f" ({row.kind})" if row.kind else ""
    where = join([" at ", tag("bdi", row.where)]) if row.where is not None else Html("")
    values = join([tag("strong", text(row.got, 300)), " instead of ", tag("strong", text(row.expected, 300))])
    return join([f"Worst in row {row.row:,}{kind}", where, ": ", values, "."])


def summary(facts: Facts) -> str:
    """What a verification that passed has shown, in a sentence."""
    consumers = sum(len(a.report.consumers) for a in facts.artifacts)
    outputs = [(o, c.consumer, a.name) for a in facts.artifacts for c in a.report.consumers for o in c.outputs]
    apart = [entry for entry in outputs if entry[0].equality != "exact" and entry[0].max_abs is not None]
    rows = max((a.report.rows for a in facts.artifacts), default=0)
    several = f"{count(len(facts.artifacts), 'artifact')}, " if len(facts.artifacts) > 1 else ""
    head = f"{several}{count(consumers, 'replay')} of up to {count(rows, 'row')}: "
    if not apart:
        return f"{head}every answer is the original’s in every bit."
    o, _, artifact = max(apart, key=lambda entry: entry[0].max_abs or 0.0)
    where = f" in {text_of(artifact)}" if len(facts.artifacts) > 1 else ""
    return (
        f"{head}every answer is the original’s, in every bit or within the tolerance. The largest difference is "
        f"{number(o.max_abs)}, in {text_of(o.output)}{where}, where {tolerance(o.tolerance)} is allowed."
    )


def text_of(name: str) -> str:
    """A name inside a sentence."""
    return name if len(name) <= 60 else f"{name[:60]}…"


def listed(names: Sequence[str], most: int = 8) -> Html:
    """Names in a sentence: a, b and c."""
    shown = [tag("bdi", text(name, 80)) for name in names[:most]]
    if len(names) > most:
        return join([join(shown, ", "), f" and {len(names) - most:,} more"])
    return join([join(shown[:-1], ", "), " and ", shown[-1]]) if len(shown) > 1 else join(shown)
