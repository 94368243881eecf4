"""Where answers differ: how the errors spread, the worst rows, the labels that flipped, the step at which it begins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..compare import OutputReport
from ..verify import CARRIED
from . import plots
from .facts import ArtifactFacts, Facts
from .findings import listed
from .parts import table
from .seen import Flip, Histogram, OutputFacts, WorstRow
from .text import Html, apart, count, join, number, tag, text, tolerance, whole

__all__ = ["differences"]

#: outputs whose differences are shown
MOST_SHOWN = 24


@dataclass(frozen=True)
class Same:
    """Consumers whose answers of an output differ from the original's in the same way."""

    consumers: tuple[str, ...]
    report: OutputReport
    seen: OutputFacts


def differences(facts: Facts, level: int, prefix: str) -> Html:
    """For every output that is not equal in every bit: how the errors spread, the worst rows, the flips; failures first."""
    entries = [(a, name, same) for a in facts.artifacts for name, same in _differing(a)]
    failed = [e for e in entries if not all(s.report.passed for s in e[2])]
    within = [e for e in entries if all(s.report.passed for s in e[2])]
    parts = list(_begins(facts, level, bool(failed)))
    spans = {}
    for name in dict.fromkeys(name for _, name, _ in entries):
        alike = [s for _, other, same in entries if other == name for s in same]
        spans[name] = plots.span_of([s.seen.histogram for s in alike if s.seen.histogram], [_bound(s) for s in alike])
    numbered = {id(e): f"{prefix}d{k}" for k, e in enumerate(entries)}
    parts += [_difference(*e, spans[e[1]], level, numbered[id(e)]) for e in failed[:MOST_SHOWN]]
    if len(failed) > MOST_SHOWN:
        parts.append(tag("p", f"{len(failed) - MOST_SHOWN:,} more outputs do not match.", class_="note"))
    calm = [_difference(*e, spans[e[1]], level, numbered[id(e)]) for e in within[:MOST_SHOWN]]
    if len(within) > MOST_SHOWN:
        calm.append(tag("p", f"{len(within) - MOST_SHOWN:,} more outputs differ within the tolerance.", class_="note"))
    if failed and within:
        differ = "differs" if len(within) == 1 else "differ"
        summary = tag("summary", f"{count(len(within), 'output')} that {differ} within the tolerance")
        parts.append(tag("details", summary, *calm))
    else:
        parts += calm
    if not parts:
        parts = [tag("p", "No answer differs from the original’s in any bit.")]
    return join(parts)


def _differing(artifact: ArtifactFacts) -> Iterator[tuple[str, list[Same]]]:
    """Outputs that some consumer does not answer in every bit, and the consumers that do so in the same way."""
    answered = [(c.consumer, {o.output: o for o in c.outputs}) for c in artifact.report.consumers]
    for name in dict.fromkeys(name for _, outputs in answered for name in outputs):
        groups: list[Same] = []
        for consumer, outputs in answered:
            o = outputs.get(name)
            if o is None or o.equality == "exact":
                continue
            facts = artifact.consumers.get(consumer)
            seen = facts.outputs.get(name, OutputFacts()) if facts is not None else OutputFacts()
            at = next((k for k, s in enumerate(groups) if s.seen == seen and s.report == o), None)
            if at is None:
                groups.append(Same((consumer,), o, seen))
            else:
                groups[at] = Same((*groups[at].consumers, consumer), o, seen)
        if groups:
            yield name, sorted(groups, key=lambda s: s.report.passed)


def _begins(facts: Facts, level: int, failed: bool) -> Iterator[Html]:
    """Where it begins to differ, where that is known."""
    for artifact in facts.artifacts:
        found = artifact.report.divergence
        if found is not None:
            values = [tag("strong", text(found.got, 200)), " instead of ", tag("strong", text(found.expected, 200)), "."]
            step, op = tag("bdi", found.step), tag("span", found.op, class_="mono")
            yield tag(f"h{level}", "Where it begins: step ", step, " of ", tag("bdi", artifact.name))
            said = f"). In row {found.row:,} it gives "
            yield tag("p", "The first step whose value is not the original’s is ", step, " (", op, said, *values)
        elif failed and artifact.report.source != "the model" and not artifact.report.passed:
            options = [tag("code", "--model"), " and ", tag("code", "--sample"), "."]
            said = " begins to differ is known only beside the model: report with "
            yield tag("p", "Which step of ", tag("bdi", artifact.name), said, *options, class_="note")


def _difference(
    artifact: ArtifactFacts, name: str, same: Sequence[Same], span: tuple[int, int] | None, level: int, id_: str
) -> Html:
    parts = [tag(f"h{level}", tag("bdi", name), " in ", tag("bdi", artifact.name), id=id_)]
    if any(s.report.max_abs is not None or s.report.problem is not None or s.report.flips is None for s in same):
        parts.append(_numbers(same))
    drawn = [s for s in same if s.seen.histogram is not None and s.report.problem is None]
    drawn = [s for s in drawn if not s.report.passed or not s.consumers[0].endswith(CARRIED)] or drawn
    figures = [
        tag("figure", tag("figcaption", listed(s.consumers), tag("span", "rows by their largest error", class_="sub")), plot)
        for k, s in enumerate(drawn)
        if (plot := plots.draw(s.seen.histogram or Histogram(), span, _bound(s), f"{id_}-{k}"))
    ]
    if figures:
        parts.append(tag("div", *figures, class_="plots"))
        if any(_bound(s) is not None for s in drawn):
            note = "Dashed: where errors begin to be too large. Each element is held against its own bound, which grows with it."
            parts.append(tag("p", note, class_="note"))
    shown = [s for s in same if not s.report.passed] or same[:1]
    for k, s in enumerate(shown):
        rows = [*([_flips(s)] if s.seen.flips else []), *([_worst(s, len(same) > 1)] if s.seen.worst else [])]
        folded = (
            "The rows that lie furthest apart" if s.report.passed else f"The worst rows in {text_of(s.consumers)}" if k else None
        )
        parts += rows if folded is None else [tag("details", tag("summary", folded), *rows)] if rows else []
    return join(parts)


def _bound(s: Same) -> float | None:
    """The smallest error that may be beyond the tolerance."""
    said = s.report.tolerance
    return said["atol"] if isinstance(said, dict) and said.get("atol") else None


def _numbers(same: Sequence[Same]) -> Html:
    rows = [
        tag("tr", tag("th", listed(s.consumers), scope="row"), tag("td", f"{s.seen.differing:,} of {s.report.rows:,}"),
            tag("td", tag("span", f"{s.seen.beyond:,}", class_="no") if s.seen.beyond else "0"),
            *(tag("td", whole(number(n))) for n in (s.report.max_abs, s.report.max_rel, s.report.max_ulp)),
            tag("td", tolerance(s.report.tolerance)))
        for s in same
    ]  # fmt: skip
    head = ["consumer", "rows that differ", "beyond", "largest", "relative", "in ulp", "allowed"]
    return table("How far answers lie apart", head, tag("tbody", *rows))


def _flips(s: Same) -> Html:
    rows = [_flip(flip) for flip in s.seen.flips]
    head = ["expected", "given", "rows", "such as"]
    return table("Labels that flipped", head, tag("tbody", *rows))


def _flip(flip: Flip) -> Html:
    label = tag("th", tag("bdi", text(flip.expected, 300)), scope="row")
    given = tag("td", tag("bdi", text(flip.got, 300)), class_="got")
    return tag("tr", label, given, tag("td", f"{flip.count:,}"), tag("td", ", ".join(f"{row:,}" for row in flip.rows)))


def _worst(s: Same, several: bool) -> Html:
    caption = ("Rows that flipped" if s.seen.flips else "The worst rows") + (f", in {text_of(s.consumers)}" if several else "")
    places = any(row.where is not None for row in s.seen.worst)
    numbers = any(row.error is not None for row in s.seen.worst)
    head = ["row", *(["at"] if places else []), "expected", "given", *(["apart"] if numbers else [])]
    body = tag(
        "tbody",
        *(part for row in s.seen.worst for part in _worst_row(row, places, numbers)),
        class_=None if not s.report.passed else "within",
    )
    return table(caption, head, body)


def text_of(names: Sequence[str]) -> str:
    """Consumers in a caption."""
    return ", ".join(name[:40] for name in names[:3]) + (", …" if len(names) > 3 else "")


def _worst_row(row: WorstRow, places: bool, numbers: bool) -> Iterator[Html]:
    kind = tag("span", row.kind, class_="sub") if row.kind else ""
    cells = [tag("th", f"{row.row:,}", kind, scope="row")]
    if places:
        cells.append(tag("td", tag("bdi", row.where or "")))
    expected, got = apart(row.expected, row.got)
    cells += [tag("td", tag("bdi", expected)), tag("td", tag("bdi", got), class_="got")]
    if numbers:
        cells.append(tag("td", "no number" if row.error is None else number(row.error)))
    yield tag("tr", *cells, class_="followed")
    pairs = [tag("div", tag("dt", tag("bdi", name)), tag("dd", tag("bdi", text(value, 200)))) for name, value in row.inputs]
    more = tag("p", f"and {row.further:,} more", class_="note") if row.further else ""
    yield tag("tr", tag("td", tag("dl", *pairs, class_="cells"), more, colspan=len(cells)), class_="inputs")
