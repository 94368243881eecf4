"""Histograms of errors, drawn by matplotlib as SVG that takes its colours from the page."""

from __future__ import annotations

import html
import io
import math
import re
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from ..errors import MissingDependency
from .seen import Histogram
from .text import Html, count, tag

__all__ = ["draw", "require", "said", "span_of"]

SVG = "{http://www.w3.org/2000/svg}"
LINK = "{http://www.w3.org/1999/xlink}href"
#: what is drawn in these colours gets the page's own: text and axes, faint lines, rows that pass, rows that do not, the bound
INK, FAINT, GOOD, BAD, BOUND = "#010101", "#020202", "#030303", "#040404", "#050505"
COLOURS = {INK: "var(--soft)", FAINT: "var(--line)", GOOD: "var(--bar)", BAD: "var(--bad)", BOUND: "var(--ink)"}
#: columns of a histogram at most; where there are more powers of ten, several share a column
MOST_COLUMNS = 16
WIDTH, HEIGHT = 3.6, 1.5


def require() -> None:
    """MissingDependency where plots cannot be drawn; asked before the work is done."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise MissingDependency(
            "The report's plots are drawn by matplotlib, which is not installed: pip install 'modelport[report]'."
        ) from None


def span_of(histograms: Sequence[Histogram], bounds: Sequence[float | None] = ()) -> tuple[int, int] | None:
    """The first and last power of ten of histograms and bounds, so that they can be drawn alike; None where no row differs.

    >>> span_of([Histogram(3, ((-17, 1, 0),))], [1e-12])
    (-17, -12)
    """
    exponents = [e for h in histograms for e, _, _ in h.decades]
    exponents += [math.floor(math.log10(bound)) for bound in bounds if bound and exponents]
    return (min(exponents), max(exponents)) if exponents else None


def said(histogram: Histogram) -> str:
    """A histogram in words, for who cannot see it.

    >>> said(Histogram(300, ((-2, 0, 1),), 0))
    'Rows by their largest error. 300 rows without any; 1 row from 1e-2 to 1e-1, beyond the tolerance'
    """
    parts = [f"{count(histogram.none, 'row')} without any"]
    for exponent, inside, beyond in histogram.decades:
        where = f"from 1e{exponent} to 1e{exponent + 1}"
        parts += [f"{count(inside, 'row')} {where}"] if inside else []
        parts += [f"{count(beyond, 'row')} {where}, beyond the tolerance"] if beyond else []
    if histogram.no_number:
        parts.append(f"{count(histogram.no_number, 'row')} that {'is' if histogram.no_number == 1 else 'are'} not a number apart")
    return "Rows by their largest error. " + "; ".join(parts)


def draw(histogram: Histogram, span: tuple[int, int] | None, bound: float | None, name: str) -> Html:
    """A histogram as an inline SVG: a column of rows without error, one per power of ten, one of errors that are no numbers.

    span holds the powers of ten to show, bound is the smallest error that may be beyond the tolerance (a line is drawn there),
    name makes the identifiers in the drawing unique in the page.
    """
    columns = _columns(histogram, span)
    return _inlined(_drawn(columns, _place(bound, columns)), said(histogram), name)


class _Column:
    """A bar: its label, where its range begins and ends (powers of ten), and the rows in it."""

    def __init__(self, label: str, inside: int, beyond: int, low: float = 0.0, high: float = 0.0) -> None:
        self.label, self.inside, self.beyond, self.low, self.high = label, inside, beyond, low, high


def _columns(histogram: Histogram, span: tuple[int, int] | None) -> list[_Column]:
    columns = [_Column("none", histogram.none, 0)]
    if span is not None:
        low, high = span
        step = max(1, -(-(high - low + 1) // MOST_COLUMNS))
        for start in range(low, high + 1, step):
            part = [(i, b) for e, i, b in histogram.decades if start <= e < start + step]
            columns.append(_Column(f"1e{start}", sum(i for i, _ in part), sum(b for _, b in part), start, start + step))
    if histogram.no_number:
        columns.append(_Column("no\nnumber", 0, histogram.no_number))
    return columns


def _place(bound: float | None, columns: Sequence[_Column]) -> float | None:
    """Where the bound stands on the axis, in columns; None where it does not lie among them."""
    exponent = None if not bound else math.log10(bound)
    for i, column in enumerate(columns):
        if exponent is not None and column.low < column.high and column.low <= exponent <= column.high:
            return i - 0.5 + (exponent - column.low) / (column.high - column.low)
    return None


def _drawn(columns: Sequence[_Column], bound: float | None) -> bytes:
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    style: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": "modelport",
        "font.family": "sans-serif",
        "font.size": 9,
        "hatch.linewidth": 1.0,
        "text.color": INK,
        "axes.edgecolor": FAINT,
        "xtick.color": INK,
        "ytick.color": INK,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(WIDTH, HEIGHT))
        FigureCanvasSVG(figure)
        axes = figure.add_axes((0.11, 0.2, 0.87, 0.72))
        figure.patch.set_visible(False)
        axes.patch.set_visible(False)
        places = range(len(columns))
        highest = max(1, max(c.inside + c.beyond for c in columns))
        inside, beyond = ([_seen(n, highest) for n in counts] for counts in zip(*((c.inside, c.beyond) for c in columns)))
        axes.bar(places, inside, width=0.78, color=GOOD)
        axes.bar(places, beyond, bottom=inside, width=0.78, color=BAD)
        for place, column in enumerate(columns):
            if column.beyond:
                top = inside[place] + beyond[place]
                axes.text(place, top, f"{column.beyond:,}", ha="center", va="bottom", fontsize=8, color=BAD)
        if bound is not None:
            axes.axvline(bound, color=BOUND, linewidth=1.2, linestyle=(0, (3, 2)))
        axes.set_xlim(-0.6, max(len(columns), 6) - 0.4)
        every = max(1, -(-(len(columns) - 1) // 5))
        last = max((i for i in places if columns[i].low < columns[i].high), default=0)
        shown = [i for i in places if columns[i].low == columns[i].high or ((last - i) % every == 0 and i >= every)]
        axes.set_xticks(shown, [columns[i].label for i in shown])
        axes.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
        axes.set_ylim(0, highest * (1.16 if any(beyond) else 1.04))
        axes.tick_params(length=0, pad=3)
        axes.grid(axis="y", color=FAINT, linewidth=0.6)
        axes.set_axisbelow(True)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        out = io.BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return out.getvalue()


def _seen(rows: int, highest: int) -> float:
    """How high a bar is drawn: its rows, but never so low that it cannot be seen."""
    return max(float(rows), 0.02 * highest) if rows else 0.0


def _inlined(svg: bytes, label: str, name: str) -> Html:
    """matplotlib's file as part of a page: no declarations, metadata or identifiers of its own; the page's colours."""
    root = ElementTree.fromstring(svg)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.rpartition("}")[2] in ("metadata", "style", "title") or _empty_patch(child):
                parent.remove(child)
    used = {value[1:] for e in root.iter() if (value := e.get(LINK))}
    used |= {m for e in root.iter() for value in e.attrib.values() for m in re.findall(r"url\(#([^)]+)\)", value)}
    parts = [_markup(child, name, used) for child in root]
    box = root.get("viewBox", "")
    return tag("svg", *parts, viewBox=box, role="img", aria_label=label, class_="plot", width=f"{box.split()[2]}px")


def _empty_patch(element: ElementTree.Element) -> bool:
    """The invisible frame that matplotlib draws nothing of."""
    return element.tag == f"{SVG}g" and (element.get("id") or "").startswith("patch_") and not len(element)


def _markup(element: ElementTree.Element, name: str, used: set[str]) -> Html:
    attributes: dict[str, object] = {}
    for key, value in element.attrib.items():
        if key == "id":
            if value in used:
                attributes["id"] = f"{name}-{value}"
            continue
        for colour, ours in COLOURS.items():
            value = value.replace(colour, ours)
        value = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", value)
        attributes["href" if key == LINK else key.rpartition("}")[2]] = f"#{name}-{value[1:]}" if key == LINK else value
    content = [element.text] if element.text and element.text.strip() else []
    inside = [*content, *(_markup(child, name, used) for child in element)]
    return _tag_as_written(element.tag.rpartition("}")[2], inside, attributes)


def _tag_as_written(kind: str, inside: Sequence[object], attributes: dict[str, object]) -> Html:
    """An element whose attributes may have underscores, capitals and long values (paths)."""
    said = "".join(f' {key}="{html.escape(str(value), quote=True)}"' for key, value in attributes.items())
    content = "".join(part if isinstance(part, Html) else html.escape(str(part)) for part in inside)
    return Html(f"<{kind}{said}>{content}</{kind}>")
