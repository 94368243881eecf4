"""The parts of a page about one model: parity, differences, the model, sizes and times, provenance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..compare import OutputReport
from ..verify import ConsumerReport
from . import drawing, plots
from .facts import ArtifactFacts, Facts, InputFacts, OutputDeclared
from .findings import listed
from .seen import Flip, OutputFacts, WorstRow
from .text import Html, count, join, number, size, span_of_time, tag, text, tolerance

__all__ = ["differences", "parity", "provenance", "table", "the_model", "times"]

#: outputs in a table, outputs whose differences are shown, inputs and outputs listed, names in a cell
MOST_COLUMNS, MOST_SHOWN, MOST_LISTED, MOST_NAMED = 8, 24, 60, 14

DTYPES = {"f64": "numbers, f64", "f32": "numbers, f32", "i64": "whole numbers, i64", "bool": "true or false", "str": "strings"}
MISSING = {"error": "refused", "nan": "taken, as NaN", "null": "taken"}


def table(caption: str, head: Sequence[object], *bodies: Html, label: str | None = None) -> Html:
    """A table in a frame that scrolls on its own where the page is narrow."""
    columns = tag("thead", tag("tr", *(tag("th", name, scope="col") for name in head)))
    inside = tag("table", tag("caption", caption), columns, *bodies)
    return tag("div", inside, class_="scroll", tabindex="0", role="region", aria_label=label or caption)


# --- parity -------------------------------------------------------------------------------------------------------------------


def parity(facts: Facts) -> Html:
    """Consumers by outputs, for every artifact."""
    reports = [o for a in facts.artifacts for c in a.report.consumers for o in c.outputs]
    failed = {o.output for o in reports if not o.passed}
    names = sorted(dict.fromkeys(o.output for o in reports), key=lambda name: name not in failed)
    shown = names[:MOST_COLUMNS]
    bodies = [_parity_of(artifact, shown) for artifact in facts.artifacts]
    notes = []
    if len(names) > len(shown):
        hidden = [name for name in names[len(shown) :] if name in failed]
        rest = (
            f"{count(len(hidden), 'output')} of them {'does' if len(hidden) == 1 else 'do'} not match"
            if hidden
            else "all of them match"
        )
        notes.append(tag("p", f"{len(names) - len(shown):,} more outputs are not shown here: {rest}.", class_="note"))
    for artifact in facts.artifacts:
        for name, why in artifact.report.not_run.items():
            notes.append(
                tag(
                    "p",
                    "Not run here: ",
                    tag("bdi", name),
                    " on ",
                    tag("bdi", artifact.name),
                    ": ",
                    text(why, 400),
                    class_="note",
                )
            )
        for said in artifact.report.notes:
            notes.append(tag("p", tag("bdi", artifact.name), ": ", text(said, 400), class_="note"))
    head = ["consumer", *(tag("bdi", text(name, 60)) for name in shown)]
    return join([table("Every consumer’s answers beside the original’s", head, *bodies), *notes])


def _parity_of(artifact: ArtifactFacts, names: Sequence[str]) -> Html:
    report = artifact.report
    said = tag("span", f"{artifact.format}, {size(artifact.bytes)}; against {report.source}", class_="sub")
    rows = [tag("tr", tag("th", tag("bdi", artifact.name), said, scope="rowgroup", colspan=len(names) + 1))]
    for consumer in report.consumers:
        rows.append(tag("tr", _consumer(consumer), *_cells(artifact, consumer, names)))
    return tag("tbody", *rows, class_="of")


def _consumer(consumer: ConsumerReport) -> Html:
    rows = {o.rows for o in consumer.outputs}
    said = tag("span", count(max(rows), "row"), class_="sub") if rows else ""
    return tag("th", tag("bdi", text(consumer.consumer, 80)), said, scope="row")


def _cells(artifact: ArtifactFacts, consumer: ConsumerReport, names: Sequence[str]) -> Iterator[Html]:
    if consumer.problem is not None or not consumer.outputs:
        problem = consumer.problem or "it compared nothing"
        yield tag(
            "td",
            tag("span", "✗ no answer", class_="no"),
            tag("span", text(problem, 400), class_="sub"),
            colspan=max(1, len(names)),
        )
        return
    outputs = {o.output: o for o in consumer.outputs}
    seen = artifact.consumers.get(consumer.consumer)
    for name in names:
        o = outputs.get(name)
        if o is None:
            yield tag("td", "–")
            continue
        word, sub = _result(o, seen.outputs.get(name) if seen is not None else None)
        mark = tag("span", f"{'✓' if o.passed else '✗'} {word}", class_="ok" if o.passed else "no")
        yield tag("td", mark, tag("span", sub, class_="sub") if sub else "")


def _result(o: OutputReport, seen: OutputFacts | None) -> tuple[str, str]:
    """An output's result in a word, and by how much."""
    if o.equality == "exact":
        return "every bit", ""
    if o.passed:
        return "within", f"up to {number(o.max_abs)}"
    if o.problem is not None:
        return "differs", text(o.problem, 200)
    if o.flips is not None:
        return count(o.flips, "flip"), f"of {count(o.rows, 'row')}"
    rows = f" in {count(seen.beyond, 'row')}" if seen is not None else ""
    return "differs", f"by up to {number(o.max_abs)}{rows}" if o.max_abs is not None else f"by no number (NaN or infinity){rows}"


# --- differences --------------------------------------------------------------------------------------------------------------


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
    spans = {
        name: plots.span_of([s.seen.histogram for _, other, same in entries if other == name for s in same if s.seen.histogram])
        for name in dict.fromkeys(name for _, name, _ in entries)
    }
    numbered = {id(e): f"{prefix}d{k}" for k, e in enumerate(entries)}
    parts += [_difference(*e, spans[e[1]], level, numbered[id(e)]) for e in failed[:MOST_SHOWN]]
    if len(failed) > MOST_SHOWN:
        parts.append(tag("p", f"{len(failed) - MOST_SHOWN:,} more outputs do not match.", class_="note"))
    calm = [_difference(*e, spans[e[1]], level, numbered[id(e)]) for e in within[:MOST_SHOWN]]
    if len(within) > MOST_SHOWN:
        calm.append(tag("p", f"{len(within) - MOST_SHOWN:,} more outputs differ within the tolerance.", class_="note"))
    if failed and within:
        summary = tag(
            "summary", f"{count(len(within), 'output')} that {'differs' if len(within) == 1 else 'differ'} within the tolerance"
        )
        parts.append(tag("details", summary, *calm))
    else:
        parts += calm
    if not parts:
        parts = [tag("p", "No answer differs from the original’s in any bit.")]
    return join(parts)


def _differing(artifact: ArtifactFacts) -> Iterator[tuple[str, list[Same]]]:
    """Outputs that some consumer does not answer in every bit, and the consumers that do so in the same way."""
    names = dict.fromkeys(o.output for c in artifact.report.consumers for o in c.outputs)
    for name in names:
        groups: list[Same] = []
        for consumer in artifact.report.consumers:
            o = next((o for o in consumer.outputs if o.output == name), None)
            if o is None or o.equality == "exact":
                continue
            facts = artifact.consumers.get(consumer.consumer)
            seen = facts.outputs.get(name, OutputFacts()) if facts is not None else OutputFacts()
            at = next((k for k, s in enumerate(groups) if s.seen == seen and s.report == o), None)
            if at is None:
                groups.append(Same((consumer.consumer,), o, seen))
            else:
                groups[at] = Same((*groups[at].consumers, consumer.consumer), o, seen)
        if groups:
            yield name, sorted(groups, key=lambda s: s.report.passed)


def _begins(facts: Facts, level: int, failed: bool) -> Iterator[Html]:
    """Where it begins to differ, where that is known."""
    for artifact in facts.artifacts:
        found = artifact.report.divergence
        if found is not None:
            values = [tag("strong", text(found.got, 200)), " instead of ", tag("strong", text(found.expected, 200))]
            yield tag(f"h{level}", "Where it begins: step ", tag("bdi", found.step), " of ", tag("bdi", artifact.name))
            yield tag(
                "p",
                "The first step whose value is not the original’s is ",
                tag("bdi", found.step),
                " (",
                tag("span", found.op, class_="mono"),
                f"). In row {found.row:,} it gives ",
                *values,
                ".",
            )
        elif failed and artifact.report.source != "the model" and not artifact.report.passed:
            yield tag(
                "p",
                "Which step of ",
                tag("bdi", artifact.name),
                " begins to differ is known only beside the model: report with --model and --sample.",
                class_="note",
            )


def _difference(
    artifact: ArtifactFacts, name: str, same: Sequence[Same], span: tuple[int, int] | None, level: int, id_: str
) -> Html:
    parts = [tag(f"h{level}", tag("bdi", name), " in ", tag("bdi", artifact.name), id=id_)]
    figures = [
        tag("figure", tag("figcaption", listed(s.consumers), tag("span", "rows by their largest error", class_="sub")),
            plots.draw(s.seen.histogram, span, _bound(s), f"{id_}-{k}"))
        for k, s in enumerate(same)
        if s.seen.histogram is not None and s.report.problem is None
    ]  # fmt: skip
    if any(s.report.max_abs is not None or s.report.problem is not None or s.report.flips is None for s in same):
        parts.append(_numbers(same))
    if figures:
        parts.append(tag("div", *figures, class_="plots"))
        if any(s.report.tolerance != "exact" for s in same):
            parts.append(
                tag(
                    "p",
                    "The dashed line is where the tolerance begins to be exceeded; each error is held against its own row’s.",
                    class_="note",
                )
            )
    shown = [s for s in same if not s.report.passed] or same[:1]
    for s in shown:
        parts += list(_flips(s)) if s.seen.flips else []
        if s.seen.worst:
            parts.append(_worst(s, len(same) > 1))
    return join(parts)


def _bound(s: Same) -> float | None:
    """The smallest error that may be beyond the tolerance."""
    said = s.report.tolerance
    return said["atol"] if isinstance(said, dict) and said.get("atol") else None


def _numbers(same: Sequence[Same]) -> Html:
    rows = [
        tag("tr", tag("th", listed(s.consumers), scope="row"), tag("td", f"{s.seen.differing:,} of {s.report.rows:,}"),
            tag("td", tag("span", f"{s.seen.beyond:,}", class_="no") if s.seen.beyond else "0"),
            tag("td", number(s.report.max_abs)), tag("td", number(s.report.max_rel)), tag("td", number(s.report.max_ulp)),
            tag("td", tolerance(s.report.tolerance)))
        for s in same
    ]  # fmt: skip
    head = ["consumer", "rows that differ", "beyond", "largest", "relative", "in ulp", "allowed"]
    return table("How far answers lie apart", head, tag("tbody", *rows))


def _flips(s: Same) -> Iterator[Html]:
    rows = [_flip(flip) for flip in s.seen.flips]
    head = ["expected", "given", "rows", "such as"]
    yield table("Labels that flipped", head, tag("tbody", *rows))


def _flip(flip: Flip) -> Html:
    label = tag("th", tag("bdi", text(flip.expected, 300)), scope="row")
    given = tag("td", tag("bdi", text(flip.got, 300)), class_="got")
    return tag("tr", label, given, tag("td", f"{flip.count:,}"), tag("td", ", ".join(f"{row:,}" for row in flip.rows)))


def _worst(s: Same, several: bool) -> Html:
    caption = "The worst rows" + (f", in {text_of(s.consumers)}" if several else "")
    places = any(row.where is not None for row in s.seen.worst)
    head = ["row", *(["at"] if places else []), "expected", "given", "apart"]
    body = tag(
        "tbody",
        *(part for row in s.seen.worst for part in _worst_row(row, places)),
        class_=None if not s.report.passed else "within",
    )
    return table(caption, head, body)


def text_of(names: Sequence[str]) -> str:
    """Consumers in a caption."""
    return ", ".join(name[:40] for name in names[:3]) + (", …" if len(names) > 3 else "")


def _worst_row(row: WorstRow, places: bool) -> Iterator[Html]:
    kind = tag("span", row.kind, class_="sub") if row.kind else ""
    cells = [tag("th", f"{row.row:,}", kind, scope="row")]
    if places:
        cells.append(tag("td", tag("bdi", row.where or "")))
    apart = "" if row.error is None else number(row.error)
    cells += [
        tag("td", tag("bdi", text(row.expected, 300))),
        tag("td", tag("bdi", text(row.got, 300)), class_="got"),
        tag("td", apart),
    ]
    yield tag("tr", *cells, class_="followed")
    pairs = [tag("div", tag("dt", tag("bdi", name)), tag("dd", tag("bdi", text(value, 200)))) for name, value in row.inputs]
    more = tag("p", f"and {row.further:,} more", class_="note") if row.further else ""
    yield tag("tr", tag("td", tag("dl", *pairs, class_="cells"), more, colspan=len(cells)), class_="inputs")


# --- the model ----------------------------------------------------------------------------------------------------------------


def the_model(facts: Facts, level: int) -> Html:
    """Inputs, outputs and the graph."""
    first = facts.artifacts[0]
    parts = []
    others = [a.name for a in facts.artifacts[1:] if (a.inputs, a.outputs) != (first.inputs, first.outputs)]
    if len(facts.artifacts) > 1:
        said = join(["As ", tag("bdi", first.name), " declares it", "; " if others else ", and so do the other artifacts."])
        parts.append(
            tag(
                "p",
                said,
                join([listed(others), f" {'declares' if len(others) == 1 else 'declare'} it otherwise."]) if others else "",
                class_="note",
            )
        )
    rows = [_input(value) for value in first.inputs[:MOST_LISTED]]
    parts.append(table("Inputs", ["name", "kind", "row shape", "missing values"], tag("tbody", *rows)))
    parts += _rest(len(first.inputs) + first.more_inputs - len(rows), "input")
    rows = [_output(value) for value in first.outputs[:MOST_LISTED]]
    parts.append(table("Outputs", ["name", "role", "kind", "classes"], tag("tbody", *rows)))
    parts += _rest(len(first.outputs) + first.more_outputs - len(rows), "output")
    if facts.graph is None:
        parts.append(
            tag(
                "p",
                "The artifact’s format does not read back into steps, so no graph is drawn; beside the model it would be.",
                class_="note",
            )
        )
        return join(parts)
    held = sum(step.parameters for step in facts.graph.steps)
    parts.append(tag(f"h{level}", "The graph"))
    parts.append(
        tag(
            "p",
            f"{count(len(facts.graph.steps), 'step')} with {count(held, 'number')}, as in ",
            tag("bdi", facts.graph.source),
            ": inputs at the top, outputs at the bottom, and a line for every value.",
            class_="lead",
        )
    )
    marks = {
        a.report.divergence.step: f"begins to differ here in {a.name}: row {a.report.divergence.row:,}"
        for a in facts.artifacts
        if a.report.divergence is not None
    }
    parts.append(drawing.draw(facts.graph, marks))
    return join(parts)


def _rest(n: int, noun: str) -> list[Html]:
    return [tag("p", f"and {count(n, f'more {noun}')}; modelport inspect --json lists them.", class_="note")] if n > 0 else []


def _input(value: InputFacts) -> Html:
    shape = " × ".join(map(str, value.shape)) if value.shape else "one value"
    names = tag("span", _some(value.features, value.further), class_="sub") if value.features else ""
    kind, missing = DTYPES.get(value.dtype, value.dtype), MISSING.get(value.missing, value.missing)
    return tag("tr", tag("th", tag("bdi", value.name), names, scope="row"), tag("td", kind), tag("td", shape), tag("td", missing))


def _output(value: OutputDeclared) -> Html:
    cells = [value.role, DTYPES.get(value.dtype, value.dtype), _some(value.classes, value.further) if value.classes else "–"]
    return tag("tr", tag("th", tag("bdi", value.name), scope="row"), *(tag("td", cell) for cell in cells))


def _some(names: Sequence[str], further: int) -> Html:
    """The first of many names."""
    shown = names if not further and len(names) <= MOST_NAMED else names[:MOST_NAMED]
    rest = len(names) + further - len(shown)
    return join([join((tag("bdi", text(name, 60)) for name in shown), ", "), f" and {rest:,} more" if rest else ""])


# --- sizes and times ----------------------------------------------------------------------------------------------------------


def times(facts: Facts) -> Html:
    """What one run took."""
    bodies = []
    for artifact in facts.artifacts:
        head = tag("span", f"{artifact.bytes:,} bytes", class_="sub")
        rows = [tag("tr", tag("th", tag("bdi", artifact.name), head, scope="rowgroup", colspan=4))]
        for name, seen in artifact.consumers.items():
            cells = [
                span_of_time(seen.to_load) if seen.to_load is not None else "with the answers",
                span_of_time(seen.seconds),
                span_of_time(seen.seconds / max(1, seen.rows)),
            ]
            sub = tag("span", count(seen.rows, "row") + (f" in {seen.sets} sets" if seen.sets > 1 else ""), class_="sub")
            rows.append(
                tag(
                    "tr",
                    tag("th", tag("bdi", text(name, 80)), sub, scope="row"),
                    *(tag("td", cell, class_="time") for cell in cells),
                )
            )
        bodies.append(tag("tbody", *rows, class_="of"))
    note = (
        "Measured once, while this report was made, on the machine described below: an order of magnitude, no benchmark. "
        "A consumer that is a process of its own starts, loads and answers in one."
    )
    return join(
        [
            tag("p", note, class_="lead"),
            table("Loading, and answering all rows", ["consumer", "load", "answer", "per row"], *bodies),
        ]
    )


# --- where it comes from ------------------------------------------------------------------------------------------------------


def provenance(facts: Facts, level: int) -> Html:
    """Where each artifact comes from, as it says itself, and which rows it was held against."""
    parts = []
    for artifact in facts.artifacts:
        parts.append(tag(f"h{level}", tag("bdi", artifact.name)))
        kinds = sorted(artifact.report.row_kinds.items(), key=lambda entry: (-entry[1], entry[0]))
        rows = ", ".join(f"{n:,} {kind[:40]}" for kind, n in kinds[:24])
        own = [("SHA-256", tag("span", artifact.sha256, class_="mono")), ("run by", artifact.engine), ("steps", artifact.steps)]
        pairs = [*own, ("rows", rows), *artifact.provenance]
        parts.append(dl([(name, value) for name, value in pairs if value not in (None, "")]))
    return join(parts)


def dl(pairs: Sequence[tuple[str, object]]) -> Html:
    """Names and what is said of them."""
    return tag(
        "dl",
        *(join([tag("dt", tag("bdi", name)), tag("dd", tag("bdi", text(value, 600)))]) for name, value in pairs),
        class_="facts",
    )
