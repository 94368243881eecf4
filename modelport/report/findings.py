"""What is wrong, in sentences: every output that does not match, who gives it, by how much, and in which row it is worst."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..compare import OutputReport
from ..verify import CARRIED, ConsumerReport
from .facts import ArtifactFacts, Facts
from .seen import OutputFacts, WorstRow
from .text import Html, apart, count, join, number, tag, text, tolerance

__all__ = ["Finding", "amount", "findings", "listed", "summary"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: in which artifact, which output (None: no answer at all), who gives it, and a sentence."""

    artifact: str
    output: str | None
    consumers: tuple[str, ...]
    sentence: Html


def findings(facts: Facts) -> list[Finding]:
    """Everything that is wrong; consumers that are wrong alike stand together, and the first of them speaks."""
    found: dict[tuple[object, ...], tuple[Html, list[str]]] = {}
    for artifact in facts.artifacts:
        known: set[str | None] = set()
        for consumer in sorted(artifact.report.consumers, key=lambda c: c.consumer.endswith(CARRIED)):
            for output, alike, sentence in _of(artifact, consumer):
                if output in known and consumer.consumer.endswith(CARRIED):
                    continue  # the carried rows say it again
                known.add(output)
                found.setdefault((artifact.name, output, alike), (sentence, []))[1].append(consumer.consumer)
    return [
        Finding(str(key[0]), None if key[1] is None else str(key[1]), tuple(who), sentence)
        for key, (sentence, who) in found.items()
    ]


def _of(artifact: ArtifactFacts, consumer: ConsumerReport) -> Iterator[tuple[str | None, object, Html]]:
    """Per output that does not match: what consumers that are wrong alike have in common, and a sentence."""
    if consumer.problem is not None or not consumer.outputs:
        sentence = text(consumer.problem or "it compared nothing.", 600)
        yield None, sentence, sentence
    seen = artifact.consumers.get(consumer.consumer)
    for o in consumer.outputs if consumer.problem is None else ():
        if not o.passed:
            rows = seen.outputs.get(o.output) if seen is not None else None
            said = f"{o.problem or amount(o, rows)}."
            worst = rows.worst[0] if o.problem is None and rows is not None and rows.worst else None
            parts = [text(said, 600)] if worst is None else [text(said, 600), " ", worst_row(worst)]
            yield o.output, (said, worst and worst.row), join(parts)


def amount(o: OutputReport, seen: OutputFacts | None) -> str:
    """How far an output that does not match lies from the original's."""
    if o.flips is not None:
        return f"{o.flips:,} of {count(o.rows, 'row')} {'has' if o.flips == 1 else 'have'} another answer"
    beyond = "rows differ"
    if seen is not None:
        beyond = f"{seen.beyond:,} of {count(o.rows, 'row')} {'differs' if seen.beyond == 1 else 'differ'}"
    if o.max_abs is None:
        return f"{beyond}, some by no number at all (NaN or infinity), where {tolerance(o.tolerance)} is allowed"
    return f"{beyond} by up to {number(o.max_abs)}, where {tolerance(o.tolerance)} is allowed"


def worst_row(row: WorstRow) -> Html:
    """The row that is worst, and what stands there."""
    kind = f" ({row.kind})" if row.kind else ""
    where = join([" at ", tag("bdi", row.where)]) if row.where is not None else Html("")
    expected, got = apart(row.expected, row.got)
    values = join([tag("strong", got), " instead of ", tag("strong", expected)])
    return join(["For one, " if row.error is None else "Worst: ", f"row {row.row:,}{kind}", where, ", ", values, "."])


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
