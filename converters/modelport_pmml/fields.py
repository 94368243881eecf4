"""Where expressions are written: DerivedFields of the whole document, or of one model segment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from itertools import pairwise

from .compiler import unique
from .expressions import Expression
from .text import attribute, element, label, lines, number, text

__all__ = ["Names", "Scope", "count_uses"]

#: nested deeper than this, an expression becomes a field of its own
MAX_NESTING = 20
#: kinds that are a field of their own wherever they are used
OWN_FIELD = frozenset({"map", "bins", "knots", "indicator", "float", "default"})
LEAVES = frozenset({"field", "raw", "constant"})


class Names:
    """All field names of a document, and how often an expression is used."""

    def __init__(self, data_fields: Sequence[str], taken: set[str], uses: Counter[int]) -> None:
        self.data_fields = data_fields
        self.taken = taken
        self.uses = uses
        #: (block, position) -> name of the field that holds what the segment answers
        self.raw: dict[tuple[int, int], str] = {}
        self._bases: dict[int, frozenset[str]] = {}

    def unique(self, name: str) -> str:
        """A new name close to the one wished for."""
        return unique(name, self.taken)

    def bases(self, x: Expression) -> frozenset[str]:
        """The data fields and segment answers that an expression is made of."""
        for part in below(x, self._bases):
            if part.kind == "field":
                self._bases[part.index] = frozenset((part.data,))
            elif part.kind == "raw":
                self._bases[part.index] = frozenset((self.raw[part.data],))
            else:
                self._bases[part.index] = frozenset().union(*(self._bases[a.index] for a in part.args))
        return self._bases[x.index]


def below(x: Expression, known: Container[int]) -> list[Expression]:
    """An expression and all it is made of that is not known yet, arguments first."""
    found: dict[int, Expression] = {}
    queue = [x]
    while queue:
        part = queue.pop()
        if part.index not in found and part.index not in known:
            found[part.index] = part
            queue.extend(part.args)
    return [found[i] for i in sorted(found)]


def count_uses(roots: Iterable[Expression]) -> Counter[int]:
    """How many expressions and roots use each expression below the roots."""
    uses: Counter[int] = Counter()
    queue = list(roots)
    while queue:
        x = queue.pop()
        uses[x.index] += 1
        if uses[x.index] == 1:
            queue.extend(x.args)
    return uses


class Scope:
    """DerivedFields in order of definition; a scope without parent is the TransformationDictionary."""

    def __init__(self, names: Names, parent: Scope | None = None) -> None:
        self.names = names
        self.parent = parent
        self.derived: list[str] = []
        self.used: dict[str, None] = {}
        self._fields: dict[int, str] = {}
        #: how deep a placed expression nests; 0 for fields
        self._depth: dict[int, int] = {}

    def field(self, x: Expression) -> str:
        """The name of the field that holds x; a DerivedField is written where there is none."""
        self.used.update(dict.fromkeys(sorted(self.names.bases(x))))
        return self._field(x)

    def listed(self, names: Iterable[str]) -> list[str]:
        """Names for a MiningSchema: it is never empty, though a model may read nothing."""
        found = list(names)
        if not found:
            self.used.setdefault(self.names.data_fields[0])
            found = [next(iter(self.used))]
        return found

    def visible(self, x: Expression) -> list[str]:
        """What the MiningSchema of a model inside this one lists for x: data fields, or the field that this one derives."""
        return sorted(self.names.bases(x)) if x.level == 0 else [self.field(x)]

    def _field(self, x: Expression) -> str:
        for part in below(x, self._depth):
            self._place(part)
        return self._name(x)

    def _place(self, x: Expression) -> None:
        """Note how deep an expression nests, and make it a field where it has to be one; its arguments were placed before."""
        depth = 1 + max((self._depth[a.index] for a in x.args), default=-1)
        asks = x.kind == "apply" and x.data in ("isMissing", "isNotMissing")
        shared = self.names.uses[x.index] > 1 and x.kind not in LEAVES and not asks
        own = x.kind in OWN_FIELD or shared or depth > MAX_NESTING
        self._depth[x.index] = 0 if own or x.kind in LEAVES else depth
        if own:
            self._name(x)

    def _name(self, x: Expression) -> str:
        """The name of x's field; its DerivedField is written when it is asked for first."""
        if x.kind == "field":
            return str(x.data)
        if x.kind == "raw":
            return self.names.raw[x.data]
        if self.parent is not None and x.level == 0:
            return self.parent._field(x)
        name = self._fields.get(x.index)
        if name is None:
            body = self._body(x)
            name = self._fields[x.index] = self.names.unique(x.hint or f"derived {x.index}")
            kind = "continuous" if x.type in ("double", "float") else "categorical"
            self.derived.append(
                f'<DerivedField name="{attribute(name)}" optype="{kind}" dataType="{x.type}">{body}</DerivedField>'
            )
        return name

    def _operand(self, x: Expression) -> str:
        """An expression inside another one: itself, or a reference to its field."""
        if x.kind in ("field", "raw") or (self._depth[x.index] == 0 and x.kind != "constant"):
            return f'<FieldRef field="{attribute(self._name(x))}"/>'
        return self._body(x)

    def _body(self, x: Expression) -> str:
        if x.kind == "constant":
            value = x.data if isinstance(x.data, (str, bool)) else number(x.data)
            return f'<Constant dataType="{x.type}">{text(label(value))}</Constant>'
        if x.kind == "apply":
            inside = "".join(self._operand(a) for a in x.args)
            return f'<Apply function="{x.data}">{inside}</Apply>'
        field = self._name(x.args[0])
        if x.kind == "default":
            return element("FieldRef", field=field, mapMissingTo=x.data)
        if x.kind == "float":
            return element("FieldRef", field=field)
        if x.kind == "indicator":
            return element("NormDiscrete", field=field, value=x.data, mapMissingTo="0")
        if x.kind == "map":
            return _map_values(x, field)
        if x.kind == "knots":
            points, outliers = x.data
            return element(
                "NormContinuous", *(element("LinearNorm", orig=p, norm=q) for p, q in points), field=field, outliers=outliers
            )
        return _discretize(x, field)

    def transformations(self, tag: str) -> str:
        """The DerivedFields as one element, or nothing."""
        return f"<{tag}>{lines(self.derived)}</{tag}>" if self.derived else ""


def _map_values(x: Expression, field: str) -> str:
    rows, default, missing = x.data
    table = "".join(f"<row><key>{text(k)}</key><value>{text(v)}</value></row>" for k, v in rows)
    return element(
        "MapValues",
        element("FieldColumnPair", field=field, column="key"),
        f"<InlineTable>{table}</InlineTable>",
        outputColumn="value",
        dataType=x.type,
        defaultValue=default,
        mapMissingTo=missing,
    )


def _discretize(x: Expression, field: str) -> str:
    edges, closure = x.data
    first, last = ("openClosed", "openOpen") if closure == "openClosed" else ("openOpen", "closedOpen")
    intervals = [element("Interval", closure=first, rightMargin=edges[0])]
    intervals += [element("Interval", closure=closure, leftMargin=a, rightMargin=b) for a, b in pairwise(edges)]
    intervals.append(element("Interval", closure=last, leftMargin=edges[-1]))
    bins = (element("DiscretizeBin", interval, binValue=float(i)) for i, interval in enumerate(intervals))
    return element("Discretize", *bins, field=field, dataType="double")
