"""The graph drawn: one row per input, step and output from top to bottom, and a line for every value from where it is made to
where it is read.

The rows are a list that reads without the lines; they stay readable on a narrow screen, and with hundreds of steps.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .facts import GraphFacts
from .text import Html, count, join, tag, text

__all__ = ["Node", "draw", "lanes", "nodes_of"]

#: lines side by side at most, further ones share the last; the drawing's width and a line's at most, in pixels
MOST_LANES, WIDTH, PITCH = 28, 112.0, 15.0
#: rows that are shown at once; beyond them the middle is folded, and of very long graphs left out
OPEN, HEAD, TAIL, MOST_FOLDED = 40, 18, 14, 400
#: inputs and outputs with a row of their own
MOST_ALONE, MOST_GROUPS = 8, 16


@dataclass
class Node:
    """A row of the drawing: what it reads, and the values it makes (several for inputs that share a row)."""

    kind: str
    name: str
    op: str
    reads: tuple[str, ...] = ()
    makes: tuple[str, ...] = ()
    gives: str = ""
    parameters: int = 0


def nodes_of(graph: GraphFacts) -> list[Node]:
    """The rows of a graph; where there are many inputs or outputs, those that go the same way share one."""
    readers: dict[str, list[int]] = {}
    for i, step in enumerate(graph.steps):
        for name in step.reads:
            readers.setdefault(name, []).append(i)
    groups: dict[object, list[tuple[str, str]]] = {}
    for name, kind in graph.inputs:
        alone = len(graph.inputs) <= MOST_ALONE
        groups.setdefault(name if alone else (tuple(readers.get(name, ())), kind), []).append((name, kind))
    nodes = []
    if len(groups) > MOST_GROUPS:
        entries = list(groups.values())
        groups = dict(enumerate(entries[: MOST_GROUPS - 1]))
        groups["rest"] = [member for members in entries[MOST_GROUPS - 1 :] for member in members]
    for members in groups.values():
        names = tuple(name for name, _ in members)
        label = names[0] if len(names) == 1 else f"{len(names):,} inputs"
        nodes.append(Node("input", label, "input", (), names, members[0][1]))
    nodes += [
        Node(
            "step", s.name, f"{s.op}{f' ({s.detail})' if s.detail else ''}", s.reads, s.makes or (s.name,), s.gives, s.parameters
        )
        for s in graph.steps
    ]
    shown = graph.outputs if len(graph.outputs) <= MOST_ALONE else graph.outputs[: MOST_ALONE - 1]
    nodes += [Node("output", name, "output", (source,)) for name, source in shown]
    if len(shown) < len(graph.outputs):
        rest = graph.outputs[len(shown) :]
        nodes.append(Node("output", f"{len(rest):,} more outputs", "output", tuple(dict.fromkeys(source for _, source in rest))))
    return nodes


@dataclass
class Row:
    """The lines in one row: the node's own lane, lanes of values that end here, that are read here and go on, all that go on; and
    whether the node's own does."""

    lane: int
    ends: list[int] = field(default_factory=list)
    reads: list[int] = field(default_factory=list)
    passes: list[int] = field(default_factory=list)
    goes_on: bool = False


def lanes(nodes: Sequence[Node]) -> list[Row]:
    """Where the lines run: every value has a lane from the row that makes it to the last row that reads it."""
    made = {value: i for i, node in enumerate(nodes) for value in node.makes}
    last: dict[int, int] = {}
    for i, node in enumerate(nodes):
        for value in node.reads:
            if value in made:
                last[made[value]] = i
    open_: dict[int, int] = {}  # node -> lane
    near: set[int] = set()  # the open lanes that have a line of their own
    far = 0  # how many share the last line
    free: list[int] = []  # lanes to use again
    fresh = 0  # the first lane that was never used
    rows = []
    for i, node in enumerate(nodes):
        sources = list(dict.fromkeys(made[value] for value in node.reads if value in made))
        ended = [open_.pop(s) for s in sources if last[s] == i]
        reads = [open_[s] for s in sources if last[s] != i]
        for lane in ended:
            near.discard(lane)
            far -= lane >= MOST_LANES - 1
            heapq.heappush(free, lane)
        if not free:
            free, fresh = [fresh], fresh + 1
        lane = free[0]
        passes = sorted(near) + ([MOST_LANES - 1] if far else [])
        row = Row(lane, ended, reads, passes, i in last)
        if row.goes_on:
            open_[i] = heapq.heappop(free)
            far += lane >= MOST_LANES - 1
            near |= {lane} if lane < MOST_LANES - 1 else set()
        rows.append(row)
    return rows


def draw(graph: GraphFacts, marked: Mapping[str, str]) -> Html:
    """The graph as a list; marked maps names of steps to what is to be said of them (where answers begin to differ)."""
    nodes = nodes_of(graph)
    rows = lanes(nodes)
    highest = max((max([row.lane, *row.ends, *row.reads, *row.passes]) for row in rows), default=0)
    pitch = min(PITCH, WIDTH / (min(highest, MOST_LANES - 1) + 1))
    wide = pitch * (min(highest, MOST_LANES - 1) + 1)
    steps = {node.name for node in nodes if node.kind == "step"} & set(marked)

    def items(indices: Iterable[int]) -> Html:
        """Some rows, as one list."""
        chosen = ((nodes[i], rows[i]) for i in indices)
        said = (_item(n, row, pitch, wide, marked[n.name] if n.kind == "step" and n.name in steps else None) for n, row in chosen)
        return tag("ol", *said, class_="map")

    bent = (
        highest >= MOST_LANES and f"More than {MOST_LANES} values are waiting at once in places: their lines share the last one."
    )
    note = tag("p", bent, class_="note") if bent else Html("")
    n = len(nodes)
    if n <= OPEN:
        return join([items(range(n)), note])
    middle = range(HEAD, n - TAIL)
    half = MOST_FOLDED // 2
    kept = {i for i in middle if nodes[i].kind == "step" and nodes[i].name in steps}
    folded = sorted({*middle[:half], *middle[-half:], *kept})
    left_out = len(middle) - len(folded)
    summary = tag("summary", f"{count(len(middle), 'row')} between", f", {left_out:,} of them left out" if left_out else "")
    parts = [
        items(range(HEAD)),
        tag("details", summary, items(folded), class_="fold", open=bool(kept)),
        items(range(n - TAIL, n)),
    ]
    if left_out:
        said = (
            f"{count(left_out, 'step')} in the middle {'is' if left_out == 1 else 'are'} not drawn; modelport inspect lists all."
        )
        parts.append(tag("p", said, class_="note"))
    return join([*parts, note])


def _item(node: Node, row: Row, pitch: float, wide: float, mark: str | None) -> Html:
    """One row: its lines, and what it is in words."""

    def x(lane: int) -> str:
        return f"{(min(lane, MOST_LANES - 1) + 0.5) * pitch:.1f}"

    own = x(row.lane)
    straight = [f"M{x(k)} 0V100" for k in row.passes]
    places = dict.fromkeys(x(k) for k in [*row.ends, *row.reads])
    into = [f"M{at} 0V50" if at == own else f"M{at} 0C{at} 40 {own} 10 {own} 50" for at in places]
    out = [f"M{own} 50V100"] if row.goes_on else []
    path = "".join([*straight, *into, *out])
    lines = tag(
        "svg",
        Html(f'<path d="{path}"/>'),
        viewBox=f"0 0 {wide:.1f} 100",
        preserveAspectRatio="none",
        aria_hidden="true",
        focusable="false",
    )
    dot = tag("span", class_="dot", style=f"left:{own}px")
    reads = [text(name, 60) for name in node.reads[:4]]
    more = f" and {len(node.reads) - 4:,} more" if len(node.reads) > 4 else ""
    said = [tag("b", tag("bdi", node.name)), " ", tag("span", text(node.op, 160), class_="op")]
    if node.reads:
        said += [" ", tag("span", "reads ", join((tag("bdi", name) for name in reads), ", "), more, class_="reads")]
    if mark is not None:
        said += [" ", tag("strong", mark, class_="mark")]
    right = [text(node.gives, 40)] if node.gives else []
    right += [tag("span", count(node.parameters, "number"))] if node.parameters else []
    return tag(
        "li",
        tag("span", lines, dot, class_="lines", style=f"width:{wide:.1f}px"),
        tag("span", *said, class_="what"),
        tag("span", join(right, " "), class_="gives") if right else "",
        class_=f"{node.kind}{' marked' if mark is not None else ''}",
    )
