"""A PMML file as a graph, evaluated from its elements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from modelport.compare import compare
from modelport.document import EXACT, Vectors
from modelport.errors import ArtifactError, Mismatch, Unsupported
from modelport.graph import FLOATS, LIMITS, Graph, Input, Limits, Output
from modelport.run import Evaluator

from .declaration import Carried, intact
from .declared import DATA_TYPES, active_fields, data_fields, declared_in, top_model
from .parse import Element, parse
from .reading.build import Builder, Column, Vector
from .reading.formulas import Formulas
from .reading.mining import ModelTree
from .reading.prediction import predicted
from .reading.scope import Scope, Target
from .reading.treatment import boolean_of, treated

__all__ = ["PmmlModel", "load_document", "to_graph"]

Array = np.ndarray[Any, np.dtype[Any]]


class PmmlModel:
    """A loaded PMML file, run by the reference evaluator on the graph of its elements."""

    def __init__(self, graph: Graph, carried: Carried) -> None:
        self.graph: Graph | None = graph
        self.inputs: tuple[Input, ...] = graph.inputs
        self.outputs: tuple[Output, ...] = graph.outputs
        self.vectors: Vectors | None = carried.vectors
        self.provenance: Mapping[str, Any] = carried.provenance
        self.engine = "modelport pmml"
        self._evaluator = Evaluator(graph)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Output name -> array [n, *row shape] for input name -> array [n, *row shape]."""
        return self._evaluator.run(feeds)


def load_document(data: bytes, options: Mapping[str, Any] | None = None) -> PmmlModel:
    """Load a PMML file.

    options: `limits`, a modelport.graph.Limits; `altered`, True to accept a file that modelport wrote and something changed.
    A changed file is refused: with Mismatch when its own rows show the change, else with ArtifactError.
    """
    chosen = options or {}
    limits: Limits = chosen.get("limits", LIMITS)
    root = parse(data, limits)
    carried = declared_in(root, limits)
    try:
        graph = to_graph(root, carried, limits)
    except RecursionError:
        raise ArtifactError("The PMML document is nested too deeply, or a function of it calls itself.") from None
    model = PmmlModel(graph, carried)
    whole = intact(data)
    if (whole is False or (carried.own and whole is None)) and not chosen.get("altered", False):
        _refuse_altered(model)
    return model


def _refuse_altered(model: PmmlModel) -> None:
    changed = "The file was changed after it was written: its SHA-256 is not the one it carries"
    if model.vectors is not None:
        got = model.run(model.vectors.inputs)
        for name, expected in model.vectors.outputs.items():
            report = compare(name, expected, got[name], model.vectors.tolerance.get(name, EXACT))
            if not report.passed:
                raise Mismatch(
                    f"{changed}, and output {name!r} is not what the original answered ({report.worst or report.problem}).",
                    report,
                )
    raise ArtifactError(f"{changed}. Its rows still agree; if the change was meant, load it with altered=True.")


# --- elements to graph --------------------------------------------------------------------------------------------------------


def to_graph(root: Element, carried: Carried, limits: Limits = LIMITS) -> Graph:
    """The graph of a document's elements, with the declared inputs and outputs."""
    model = top_model(root)
    builder = Builder(carried.inputs)
    formulas = Formulas(builder)
    formulas.strict = not carried.own
    dictionary = data_fields(root)
    shared = Scope(targets={name: _target(f) for name, f in dictionary.items()})
    _define_inputs(builder, shared, carried, dictionary, model)
    for place in root.all("TransformationDictionary"):
        formulas.functions = {e.need("name"): e for e in place.all("DefineFunction")}
        formulas.define(list(place.all("DerivedField")), shared)
    tree = ModelTree(formulas)
    prediction, _, fields = tree.read(model, shared)
    accepted = _accepted(builder, carried, fields)
    outputs = []
    for declared in carried.outputs:
        columns = []
        for name in carried.fields.outputs[declared.name]:
            found = fields.get(name)
            if found is None and name in tree.refused:
                raise tree.refused[name]
            if found is None:
                found = Column(predicted(builder, prediction, None))
            columns.append(found)
        vector = builder.gather(columns, declared.name)
        if accepted is not None:
            vector = _where_accepted(builder, accepted, vector, declared.name)
        value = _typed(builder, vector, declared, carried.shapes[declared.name])
        outputs.append(Output(declared.name, value, declared.dtype, declared.role, declared.classes))
    steps = builder.kept({o.source for o in outputs})
    return Graph(carried.inputs, steps, outputs, carried.name, limits)


def _target(f: Element) -> Target:
    """A field's dataType and valid values, as classes of a target."""
    valid = [v.need("value") for v in f.all("Value") if v.get("property", "valid") == "valid"]
    return Target(f.get("dataType") or "string", tuple(dict.fromkeys(valid)))


def _define_inputs(b: Builder, scope: Scope, carried: Carried, dictionary: Mapping[str, Element], model: Element) -> None:
    """Every data field as a column of an input, treated as its MiningField says."""
    treatments = {f.need("name"): f for f in active_fields(model)}
    for value in carried.inputs:
        kind = {"str": "string", "bool": "bool"}.get(value.dtype, "number")
        name = value.name
        if value.dtype in ("f32", "i64"):
            name = b.add("cast", name, hint=f"{name}_f64", to="f64")
        vector = Vector(name, value.type.width, kind, value.missing != "error")
        fields = carried.fields.inputs[value.name]
        rounded = vector
        if value.dtype == "f64" and any(dictionary[f].get("dataType") == "float" for f in fields):
            rounded = replace(vector, value=_through_f32(b, name))
        for j, field in enumerate(fields):
            single = dictionary[field].get("dataType") == "float"
            column = _field(b, Column(rounded if single else vector, j), dictionary[field], treatments[field], not carried.own)
            scope.define(field, replace(column, vector=replace(column.vector, single=single)))


def _field(b: Builder, column: Column, data: Element, mining: Element, foreign: bool) -> Column:
    name = data.need("name")
    if data.get("dataType") not in DATA_TYPES:
        raise Unsupported(f"The field {name!r} is of dataType {data.get('dataType')}, which this reader does not know.")
    if foreign and data.get("dataType") == "boolean" and column.kind == "number":
        column = boolean_of(b, b.column(column), name)
    return treated(b, column, data, mining, foreign)


def _through_f32(b: Builder, name: str) -> str:
    """The doubles of a value, rounded as a field of dataType float rounds what it is given."""
    return b.add("cast", b.add("cast", name, hint=f"{name}_f32", to="f32"), hint=f"{name}_float", to="f64")


# --- outputs ------------------------------------------------------------------------------------------------------------------


def _accepted(b: Builder, carried: Carried, fields: Mapping[str, Column]) -> str | None:
    """A bool value that is true in every row: the others are refused, since true is the only key of a lookup."""
    name = carried.fields.accepts
    if name is None:
        return None
    if name not in fields:
        raise ArtifactError(f"The declaration says that the field {name!r} accepts rows, which the model does not give.")
    flag = b.boolean(b.column(fields[name]))
    holds = b.all_of(flag.value, flag.known)
    assert holds is not None, "the flag itself is one of them"
    return b.add("lookup", holds, hint=name, keys=np.array([True]), values=np.array([True]))


def _where_accepted(b: Builder, accepted: str, x: Vector, name: str) -> Vector:
    """A vector whose rows without acceptance are refused; what was missing for them alone is not missing any more."""
    nothing = b.constant(["" if x.kind == "string" else False if x.kind == "bool" else 0.0], x.kind)
    chosen = b.choose(accepted, Vector(x.value, x.width, x.kind), nothing, name)
    return replace(chosen, nullable=x.nullable)


def _typed(b: Builder, vector: Vector, declared: Output, shape: tuple[int, ...]) -> str:
    """One value of the declared dtype and row shape from the vector of an output's fields."""
    wanted = {"str": "string", "bool": "bool"}.get(declared.dtype, "number")
    if wanted == "number":
        vector = b.number(vector)
    if vector.kind != wanted or vector.known is not None:
        raise Unsupported(
            f"Output {declared.name!r} is {declared.dtype}, but the model answers {vector.kind} that may be missing."
        )
    value = vector.value
    if wanted == "number" and b.types[value].dtype != declared.dtype:
        value = b.add("cast", value, hint=declared.name, to=declared.dtype)
    return _shaped(b, value, declared.name, shape)


def _shaped(b: Builder, value: str, name: str, shape: tuple[int, ...]) -> str:
    """The value with row shape [] or [w]."""
    if b.types[value].shape == shape:
        return value
    if shape == ():
        return _scalar(b, value, name)
    return b.add("concat", value, hint=name)


def _scalar(b: Builder, value: str, name: str) -> str:
    """A row of one element as an element. Only numbers can be reduced, so other dtypes go through numbers and back."""
    dtype = b.types[value].dtype
    if dtype in FLOATS:
        return b.add("reduce", value, hint=name, fn="max", dtype=dtype)
    if dtype != "str":
        number = b.add("cast", value, hint=f"{name}_number", to="f64")
        return b.add("cast", _scalar(b, number, f"{name}_number"), hint=name, to=dtype)
    found = _possible(b, value)
    if found is None:
        raise Unsupported(
            f"Output {name!r} hands a string of the data through, which this reader does not know as a single value."
        )
    entries: Any = np.empty(len(found), dtype=object)
    entries[:] = list(found)
    places = np.arange(len(entries), dtype=np.float64)
    code = b.add("lookup", value, hint=f"{name}_code", keys=entries, values=places)
    return b.add("lookup", _scalar(b, code, f"{name}_code"), hint=name, keys=places, values=entries)


def _possible(b: Builder, value: str) -> dict[str | None, None] | None:
    """Every string that a value can hold, or None when it comes from the data."""
    producers = {step.output: step for step in b.steps}
    found: dict[str | None, None] = {}
    queue, seen = [value], set()
    while queue:
        step = producers.get(queue.pop())
        if step is None:
            return None
        if step.output in seen:
            continue
        seen.add(step.output)
        for key in ("value", "values", "table"):
            if key in step.attributes and step.attributes[key].dtype == object:
                found.update(dict.fromkeys(step.attributes[key].ravel().tolist()))
        if isinstance(step.attributes.get("default"), str):
            found.setdefault(step.attributes["default"])
        if step.op in ("where", "select", "concat", "impute"):
            queue.extend(step.inputs[1:] if step.op == "where" else step.inputs)
    return found
