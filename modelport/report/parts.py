"""The parts of a page about one model: parity, the model, sizes and times, provenance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..compare import OutputReport
from ..verify import ConsumerReport
from . import drawing
from .facts import ArtifactFacts, Facts, InputFacts, OutputDeclared
from .findings import listed
from .seen import OutputFacts
from .text import Html, count, join, number, size, span_of_time, tag, text, whole

__all__ = ["dl", "parity", "provenance", "table", "the_model", "times"]

#: outputs in a table, inputs and outputs listed, names in a cell
MOST_COLUMNS, MOST_LISTED, MOST_NAMED = 8, 40, 14

DTYPES = {"f64": "numbers, f64", "f32": "numbers, f32", "i64": "whole numbers, i64", "bool": "true or false", "str": "strings"}
MISSING = {"error": "refused", "nan": "taken, as NaN", "null": "taken"}


def table(caption: str, head: Sequence[object], *bodies: Html) -> Html:
    """A table in a frame that scrolls on its own where the page is narrow."""
    columns = tag("thead", tag("tr", *(tag("th", name, scope="col") for name in head)))
    inside = tag("table", tag("caption", caption), columns, *bodies)
    return tag("div", inside, class_="scroll", tabindex="0", role="group", aria_label=caption)


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
        for said in artifact.report.notes if artifact.report.passed else ():
            notes.append(tag("p", tag("bdi", artifact.name), ": ", text(said, 400), class_="note"))
    head = ["consumer", *(tag("bdi", text(name, 60)) for name in shown)]
    return join([table("Every consumer’s answers beside the original’s", head, *bodies), *notes])


def _parity_of(artifact: ArtifactFacts, names: Sequence[str]) -> Html:
    report = artifact.report
    held = f"{count(report.rows, 'row')} against {report.source}"
    said = tag("span", f"{artifact.format}, {size(artifact.bytes)}; {held}", class_="sub")
    rows = [tag("tr", tag("th", tag("bdi", artifact.name), said, scope="rowgroup", colspan=len(names) + 1))]
    for consumer in report.consumers:
        rows.append(tag("tr", _consumer(consumer, report.rows), *_cells(artifact, consumer, names)))
    return tag("tbody", *rows, class_="of")


def _consumer(consumer: ConsumerReport, usual: int) -> Html:
    """A consumer's name, and how many rows it answered where these are others than the artifact's."""
    rows = {o.rows for o in consumer.outputs} - {usual}
    said = tag("span", count(max(rows), "row"), class_="sub") if rows else ""
    return tag("th", tag("bdi", text(consumer.consumer, 80)), said, scope="row")


def _cells(artifact: ArtifactFacts, consumer: ConsumerReport, names: Sequence[str]) -> Iterator[Html]:
    if consumer.problem is not None or not consumer.outputs:
        problem = consumer.problem or "it compared nothing"
        yield tag(
            "td",
            tag("span", "✗ failed", class_="no"),
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


def _result(o: OutputReport, seen: OutputFacts | None) -> tuple[str, Html | str]:
    """An output's result in a word, and by how much."""
    if o.equality == "exact":
        return "every bit", ""
    if o.passed:
        return "within", join(["up to ", whole(number(o.max_abs))])
    if o.problem is not None:
        return "differs", text(o.problem, 200)
    if o.flips is not None:
        return count(o.flips, "flip"), f"of {count(o.rows, 'row')}"
    rows = f" in {count(seen.beyond, 'row')}" if seen is not None else ""
    if o.max_abs is None:
        return "differs", f"by no number (NaN or infinity){rows}"
    return "differs", join(["by up to ", whole(number(o.max_abs)), rows])


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
    parts.append(table("Inputs", ["name", "kind", "values in a row", "missing values"], tag("tbody", *rows)))
    parts += _rest(len(first.inputs) + first.more_inputs - len(rows), "input")
    rows = [_output(value) for value in first.outputs[:MOST_LISTED]]
    parts.append(table("Outputs", ["name", "role", "kind", "classes"], tag("tbody", *rows)))
    parts += _rest(len(first.outputs) + first.more_outputs - len(rows), "output")
    if facts.graph is None:
        why = "No graph is drawn: the file does not read back into steps, or into too many; beside the model it would be."
        return join([*parts, tag("p", why, class_="note")])
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
    shape = " × ".join(map(str, value.shape)) if len(value.shape) > 1 else f"{value.shape[0] if value.shape else 1}"
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
