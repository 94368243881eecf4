"""From values of a graph to expressions, column by column and on demand, so that nothing unused is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modelport.errors import Unsupported
from modelport.graph import FLOATS, Graph, Step, ValueType

from .blocks import Block
from .expressions import Expression, Expressions
from .trees import Forest

__all__ = ["COLUMNS", "Compiler", "columns"]

Column = Callable[["Compiler", Step, int], Expression]
#: op -> function that gives column j of a step's value
COLUMNS: dict[str, Column] = {}
#: integers of the data are read as doubles, which hold those below 2^53
TYPES = {"f64": "double", "f32": "float", "i64": "integer", "bool": "boolean", "str": "string"}
MAX_EXPRESSIONS = 500_000
#: ops of nets that keep columns where they are
ROWWISE = ("activation", "batch_norm", "layer_norm", "prelu", "reshape")


def columns(*ops: str) -> Callable[[Column], Column]:
    """Register the function that writes the columns of an op."""

    def register(function: Column) -> Column:
        COLUMNS.update(dict.fromkeys(ops, function))
        return function

    return register


class Compiler:
    """Gives the columns of a graph's values as expressions, and collects the model segments they need.

    loose: f32 is computed in double, and not rounded step by step.
    """

    def __init__(self, graph: Graph, loose: bool = False) -> None:
        self.graph = graph
        self.loose = loose
        self.make = Expressions()
        self.blocks: list[Block] = []
        self.producers: dict[str, Step] = {step.output: step for step in graph.steps}
        self._columns: dict[tuple[str, int], Expression] = {}
        self._rows: dict[tuple[str, str], list[Expression]] = {}
        self._known_blocks: dict[Any, int] = {}
        self._forests: dict[str, Forest] = {}
        self.fields = input_fields(graph)
        #: DataField name -> the values that a lookup without default accepts there
        self.accepted: dict[str, list[Any]] = {}
        #: what holds in the rows that the graph does not refuse, beside what the data dictionary says
        self.guards: dict[int, Expression] = {}

    # --- columns --------------------------------------------------------------------------------------------------------------

    def type(self, value: str) -> ValueType:
        """dtype and row shape of a value."""
        return self.graph.types[value]

    def column(self, value: str, j: int) -> Expression:
        """Column j of a value."""
        found = self._columns.get((value, j))
        if found is None:
            found = self._input(value, j) if value in self.fields else self._step(value, j)
            if found.hint is None and found.kind not in ("field", "constant"):
                found.hint = self._label(value, j)
            self._columns[value, j] = found
            if len(self.make) > MAX_EXPRESSIONS:
                where = self.producers.get(value, value)
                raise Unsupported(f"{where} would need more than {MAX_EXPRESSIONS} PMML expressions: write JSON or ONNX.")
        return found

    def row(self, value: str) -> list[Expression]:
        """All columns of a value."""
        return [self.column(value, j) for j in range(self.type(value).width)]

    def _input(self, value: str, j: int) -> Expression:
        given = self.graph.input(value)
        assert given is not None, "fields are inputs"
        name = self.fields[value][j]
        return self.make.field(name, TYPES[given.dtype], given.missing != "error")

    def _step(self, value: str, j: int) -> Expression:
        step = self.producers[value]
        function = COLUMNS.get(step.op)
        if function is None:
            raise no_form(step)
        return function(self, step, j)

    def per_row(self, step: Step, key: str, compute: Callable[[], list[Expression]]) -> list[Expression]:
        """Expressions that all columns of a step share, computed once."""
        if (step.output, key) not in self._rows:
            self._rows[step.output, key] = compute()
        return self._rows[step.output, key]

    def _label(self, value: str, j: int) -> str:
        if self.type(value).width == 1:
            return value
        return f"{value}({self.column_label(value, j)})"

    def column_label(self, value: str, j: int) -> str:
        """The name of the input column that column j is made of alone, or its number."""
        number = j
        while value not in self.fields:
            step = self.producers[value]
            if step.op == "concat":
                for name in step.inputs:
                    if j < self.type(name).width:
                        value = name
                        break
                    j -= self.type(name).width
            elif step.op == "select":
                value, j = step.inputs[0], int(step.attributes["index"][j])
            elif step.op in ("scale", "clip", "cast", "impute", "is_missing", "unary", "bucketize", "interp", "lookup", *ROWWISE):
                value = step.inputs[0]
            else:
                return str(number)
        return self.fields[value][j]

    # --- what the functions of ops use ----------------------------------------------------------------------------------------

    def parameter(self, step: Step, name: str, j: int) -> float | None:
        """A per-column attribute's element for column j."""
        values = step.attributes.get(name)
        return None if values is None else float(values[j if values.size > 1 else 0])

    def in_dtype(self, step: Step, x: Expression) -> Expression:
        """x rounded to the step's dtype: f32 results are fields of dataType float."""
        return self.make.rounded(x) if not self.loose and step.attributes.get("dtype") == "f32" else x

    def broadcast(self, step: Step, which: int, j: int) -> Expression:
        """Column j of an input that may have one element for all."""
        value = step.inputs[which]
        return self.column(value, j if self.type(value).width > 1 else 0)

    def raw(self, key: Any, build: Callable[[], Block], position: int = 0) -> Expression:
        """What a model segment answers; the segment is built once."""
        if key not in self._known_blocks:
            block = build()
            block.index = len(self.blocks)
            self.blocks.append(block)
            self._known_blocks[key] = block.index
        block = self.blocks[self._known_blocks[key]]
        return self.make.raw(block.index, position, block.nullable, block.type)

    def forest(self, step: Step, rounded: frozenset[int], narrow: frozenset[int]) -> Forest:
        """The nodes of a tree_ensemble step, prepared once for all its columns (see Forest)."""
        if step.output not in self._forests:
            self._forests[step.output] = Forest(step, rounded, narrow)
        return self._forests[step.output]

    def accepts(self, field: str, values: list[Any]) -> None:
        """A lookup without default reads the field: other values than these are refused."""
        known = self.accepted.get(field)
        self.accepted[field] = [v for v in values if known is None or v in known]

    def require(self, condition: Expression) -> None:
        """Rows in which the condition (never missing) does not hold are refused: no output is given for them."""
        if condition.kind != "constant" or not condition.data:
            self.guards.setdefault(condition.index, condition)

    def acceptance(self) -> Expression | None:
        """Where all conditions hold; None when there is none."""
        if not self.guards:
            return None
        whole = self.make.all_of(list(self.guards.values()))
        whole.hint = "is accepted"
        return whole


def input_fields(graph: Graph) -> dict[str, list[str]]:
    """Input name -> the names of its DataFields: the features of a matrix, else the input's own name.

    A matrix without features has columns x0, x1, ...; names that clash are told apart by a trailing underscore.
    """
    taken: set[str] = set()
    fields: dict[str, list[str]] = {}
    for value in graph.inputs:
        if value.features is not None:
            names = list(value.features)
        elif value.type.width == 1:
            names = [value.name]
        else:
            names = [f"x{j}" for j in range(value.type.width)]
        fields[value.name] = [unique(name, taken) for name in names]
    return fields


def unique(name: str, taken: set[str]) -> str:
    """The name, with as many underscores as make it new; it is added to those taken."""
    while name in taken or not name:
        name += "_"
    taken.add(name)
    return name


def no_form(step: Step, why: str = "", instead: str = "JSON or ONNX") -> Unsupported:
    """The refusal of a step that PMML cannot express (raise it)."""
    reason = why or "PMML has no form for it"
    return Unsupported(f"{step} cannot be written as PMML: {reason}. Write {instead} instead.")


def is_float(value: ValueType) -> bool:
    """Is the value f64 or f32?"""
    return value.dtype in FLOATS
