"""The page: one file without scripts, that loads nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..version import __version__
from . import parts
from .differences import differences
from .facts import Facts
from .findings import findings, listed, summary
from .text import Html, count, join, number, tag, text, visible, whole

__all__ = ["page"]

#: nothing is loaded and nothing runs, whatever a name in an artifact may say
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
MOST_FINDINGS = 12


def page(groups: Sequence[Facts], title: str | None = None) -> str:
    """The whole file for one model, or for several one after the other."""
    alone = len(groups) == 1
    called = title or (groups[0].title if alone else f"Parity of {count(len(groups), 'model')}")
    passed = all(facts.passed for facts in groups)
    body = list(_one(groups[0], called)) if alone else list(_many(groups, called))
    word = "PASSED" if passed else "FAILED"
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="generator", content=f"modelport {__version__}"),
        tag("title", f"{word}: {visible(called, 100)}"),
        Html(f"<style>{(Path(__file__).parent / 'style.css').read_text(encoding='utf-8')}</style>"),
    ]
    document = tag("html", tag("head", *head), tag("body", *body), lang="en")
    return f"<!doctype html>\n{document}\n"


def _one(facts: Facts, title: str) -> Iterator[Html]:
    """A page about one model."""
    sections = list(_sections(facts, 3, ""))
    yield tag("a", "To the report", href="#main", class_="skip")
    yield tag(
        "header",
        _eyebrow(facts.created),
        tag("h1", tag("bdi", text(title, 100))),
        tag("p", text(_model_of(facts), 400), class_="lead") if _model_of(facts) else "",
        _verdict(facts, title),
        tag("nav", tag("ul", *(tag("li", tag("a", name, href=f"#{id_}")) for name, id_, _ in sections)), aria_label="Sections"),
    )
    content = [tag("section", tag("h2", name, id=id_), inside, aria_labelledby=id_) for name, id_, inside in sections]
    yield tag("main", *content, _environment(facts, 2), id="main")
    yield _footer(facts)


def _many(groups: Sequence[Facts], title: str) -> Iterator[Html]:
    """A page about several models: a table of all, then each with its parts folded."""
    failed = [facts for facts in groups if not facts.passed]
    word = tag("p", "FAILED" if failed else "PASSED", class_="word")
    artifacts = sum(len(facts.artifacts) for facts in groups)
    all_match = "every answer is the original’s, in every bit or within the tolerance."
    said = (
        join([f"{len(failed):,} of {count(len(groups), 'model')}: ", listed([facts.title for facts in failed]), "."])
        if failed
        else f"{count(artifacts, 'artifact')} of {count(len(groups), 'model')}: {all_match}"
    )
    yield tag("a", "To the report", href="#main", class_="skip")
    verdict = tag("div", word, tag("p", said), class_=f"verdict{' failed' if failed else ''}")
    yield tag("header", _eyebrow(groups[0].created), tag("h1", tag("bdi", text(title, 100))), verdict)
    rows = [_overview(facts, k) for k, facts in enumerate(groups)]
    head = ["model", "result", "flips", "largest", "rows"]
    content = [parts.table("All models", head, tag("tbody", *rows))]
    for k, facts in enumerate(groups):
        folded = [
            tag("details", tag("summary", tag("h3", name, id=id_)), inside, open=name.startswith("Diff") and not facts.passed)
            for name, id_, inside in _sections(facts, 4, f"m{k}-")
            if name != "Parity"
        ]
        lead = tag("p", text(_model_of(facts), 400), class_="lead") if _model_of(facts) else ""
        verdict = (
            _verdict(facts, facts.title) if not facts.passed else tag("p", tag("span", "✓ passed. ", class_="ok"), summary(facts))
        )
        head_ = tag("h2", tag("bdi", text(facts.title, 100)), id=f"m{k}")
        content.append(tag("section", head_, lead, verdict, parts.parity(facts), *folded, aria_labelledby=f"m{k}"))
    yield tag("main", *content, _environment(groups[0], 2), id="main")
    yield _footer(groups[0])


def _overview(facts: Facts, k: int) -> Html:
    outputs = [o for a in facts.artifacts for c in a.report.consumers for o in c.outputs]
    flips = [o.flips for o in outputs if o.flips is not None]
    apart = [o.max_abs for o in outputs if o.flips is None]
    largest = "–" if not apart else number(None if None in apart else max(a for a in apart if a is not None))
    result = tag("span", "✓ passed" if facts.passed else "✗ failed", class_="ok" if facts.passed else "no")
    rows = f"{max((a.report.rows for a in facts.artifacts), default=0):,}"
    formats = tag("span", ", ".join(dict.fromkeys(a.format for a in facts.artifacts)), class_="sub")
    name = tag("th", tag("a", tag("bdi", text(facts.title, 80)), href=f"#m{k}"), formats, scope="row")
    return tag("tr", name, *(tag("td", cell) for cell in (result, f"{sum(flips):,}" if flips else "–", whole(largest), rows)))


def _sections(facts: Facts, level: int, prefix: str) -> Iterator[tuple[str, str, Html]]:
    yield "Parity", f"{prefix}parity", parts.parity(facts)
    yield "Differences", f"{prefix}differences", differences(facts, level, prefix)
    yield "The model", f"{prefix}model", parts.the_model(facts, level)
    yield "Sizes and times", f"{prefix}times", parts.times(facts)
    yield "Provenance", f"{prefix}provenance", parts.provenance(facts, level)


def _environment(facts: Facts, level: int) -> Html:
    return tag(
        "section", tag(f"h{level}", "Environment", id="environment"), parts.dl(facts.environment), aria_labelledby="environment"
    )


def _verdict(facts: Facts, title: str) -> Html:
    """Passed, or what is wrong, where, and by how much."""
    if facts.passed:
        return tag("div", tag("p", "PASSED", class_="word"), tag("p", summary(facts)), class_="verdict")
    found = findings(facts)
    items = []
    for finding in found[:MOST_FINDINGS]:
        in_ = [] if len(facts.artifacts) == 1 else [" in ", tag("bdi", finding.artifact)]
        if finding.output is None:
            items.append(tag("li", tag("b", listed(finding.consumers)), *in_, ": ", finding.sentence))
        else:
            who = [", given by ", listed(finding.consumers), ": "]
            items.append(tag("li", tag("b", tag("bdi", finding.output)), *in_, *who, finding.sentence))
    if len(found) > MOST_FINDINGS:
        items.append(tag("li", f"and {len(found) - MOST_FINDINGS:,} more."))
    for artifact in facts.artifacts:
        begins = artifact.report.divergence
        if begins is not None:
            in_ = [] if len(facts.artifacts) == 1 else [" in ", tag("bdi", artifact.name)]
            at = [
                " at step ",
                tag("b", tag("bdi", begins.step)),
                " (",
                tag("span", begins.op, class_="mono"),
                f"), row {begins.row:,}: ",
            ]
            values = [tag("strong", text(begins.got, 200)), " instead of ", tag("strong", text(begins.expected, 200)), "."]
            items.append(tag("li", tag("b", "It begins"), *in_, *at, *values))
    for said in dict.fromkeys(note for a in facts.artifacts if not a.report.passed for note in a.report.notes):
        items.append(tag("li", text(f"{said[:1].upper()}{said[1:]}.", 400)))
    failed = [a for a in facts.artifacts if not a.report.passed]
    rows = max((a.report.rows for a in failed), default=0)
    said = f"{len(failed):,} of {count(len(facts.artifacts), 'artifact')} " if len(facts.artifacts) > 1 else "The artifact "
    does = "does" if len(failed) == 1 or len(facts.artifacts) == 1 else "do"
    mismatch = any(c.problem is None for a in failed for c in a.report.consumers if not c.passed)
    lead = (
        f"{said}{does} not answer as the original did; {count(rows, 'row')} {'was' if rows == 1 else 'were'} compared."
        if mismatch
        else f"{said}could not be verified wholly."
    )
    return tag("div", tag("p", "FAILED", class_="word"), tag("p", lead), tag("ul", *items), class_="verdict failed")


def _model_of(facts: Facts) -> str | None:
    return next((a.model for a in facts.artifacts if a.model), None)


def _eyebrow(created: str) -> Html:
    return tag("p", f"modelport report · {created[:10]} {created[11:16]} UTC", class_="eyebrow")


def _footer(facts: Facts) -> Html:
    said = (
        "The answers of the original model were recorded or asked again; those of every consumer were compared with them in one "
        "place, with the tolerances shown. This file loads nothing and runs nothing."
    )
    return tag("footer", tag("p", said))
