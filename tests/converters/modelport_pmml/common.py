"""Shared by the tests of PMML: write a document, run it in every engine, compare with what the original answered."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from typing import Any

import modelport_pmml
import numpy as np

from modelport.compare import compare
from modelport.document import EXACT, Document, Loaded, Tolerance, Vectors
from modelport.errors import MissingDependency
from modelport.graph import Graph, Input, Output, Step

Array = np.ndarray[Any, np.dtype[Any]]
Feeds = Mapping[str, Array]
ENGINES = ("modelport", "pypmml", "jpmml")
NAMESPACE = 'xmlns="http://www.dmg.org/PMML-4_4" version="4.4"'
CLOSE = Tolerance(1e-12, 1e-12)


def engine(name: str, data: bytes, need: Callable[[str, str], None]) -> Loaded:
    """The file in an engine; a skip where the engine is not installed."""
    if name == "modelport":
        return modelport_pmml.load(data)
    if shutil.which("java") is None:
        need("java", "java is not on the PATH")
    try:
        return modelport_pmml.CONSUMERS[name](data)
    except MissingDependency as error:
        need(name, str(error))
        raise


def write(graph: Graph, feeds: Feeds, expected: Feeds, tolerance: Mapping[str, Tolerance] | None = None) -> bytes:
    """A document of a graph with all the rows as its vectors."""
    return modelport_pmml.write(Document(graph, Vectors(dict(feeds), dict(expected), tolerance or {})))


def agree(loaded: Loaded, feeds: Feeds, expected: Feeds, tolerance: Mapping[str, Tolerance] | None = None) -> None:
    """Every output is the expected one; exactly, unless there is a tolerance for it."""
    got = loaded.run(feeds)
    assert set(got) == set(expected)
    for name, rows in expected.items():
        report = compare(name, rows, got[name], (tolerance or {}).get(name, EXACT))
        assert report.passed, f"{loaded.engine}: {report}"


def strings(*values: str | None) -> Array:
    """A str array."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def chain(
    inputs: list[Input], steps: list[tuple[str, list[str], str, dict[str, Any]]], outputs: list[tuple[str, str, str]]
) -> Graph:
    """A graph from (op, inputs, name, attributes) and (output, source, role); dtypes follow."""
    made = [Step(op, names, out, attributes) for op, names, out, attributes in steps]
    types = Graph(inputs, made, [Output("any", inputs[0].name, inputs[0].dtype, "transform")]).types
    return Graph(inputs, made, [Output(name, source, types[source].dtype, role) for name, source, role in outputs])


def beside(values: Any) -> Array:
    """Each value, and its neighbours in f64 and in f32."""
    v = np.asarray(values, dtype=np.float64).ravel()
    narrow = v.astype(np.float32)
    near = [v, np.nextafter(v, -np.inf), np.nextafter(v, np.inf)]
    near += [np.nextafter(narrow, np.float32(s * np.inf)).astype(np.float64) for s in (-1, 1)]
    middle = (narrow.astype(np.float64) + near[-1]) / 2
    near += [narrow.astype(np.float64), middle, np.nextafter(middle, -np.inf), np.nextafter(middle, np.inf)]
    return np.concatenate(near)


def document(fields: str, model: str, transformations: str = "") -> bytes:
    """A PMML file written by somebody else."""
    return f"<PMML {NAMESPACE}><Header/><DataDictionary>{fields}</DataDictionary>{transformations}{model}</PMML>".encode()


def number_field(name: str) -> str:
    """A continuous DataField."""
    return f'<DataField name="{name}" optype="continuous" dataType="double"/>'


def schema(*names: str, target: str | None = None) -> str:
    """A MiningSchema."""
    fields = "".join(f'<MiningField name="{n}"/>' for n in names)
    last = f'<MiningField name="{target}" usageType="target"/>' if target else ""
    return f"<MiningSchema>{fields}{last}</MiningSchema>"


def derived(expression: str, *inputs: str, data_type: str = "double") -> bytes:
    """A file whose output `y` is an expression of number fields (names that begin with s are strings)."""
    fields = "".join(
        f'<DataField name="{n}" optype="categorical" dataType="string"/>' if n.startswith("s") else number_field(n)
        for n in inputs
    )
    kind = "continuous" if data_type == "double" else "categorical"
    place = f'<DerivedField name="d" optype="{kind}" dataType="{data_type}">{expression}</DerivedField>'
    said = f'name="y" optype="{kind}" dataType="{data_type}" feature="transformedValue"'
    output = f'<Output><OutputField {said}><FieldRef field="d"/></OutputField></Output>'
    table = '<RegressionTable intercept="0"/>'
    model = f'<RegressionModel functionName="regression">{schema(*inputs)}{output}{table}</RegressionModel>'
    return document(fields, model, f"<TransformationDictionary>{place}</TransformationDictionary>")
