"""What a PMML file takes and gives: from our declaration where there is one, else from its MiningSchema and Output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from modelport.document import EXACT, Tolerance, Vectors
from modelport.errors import ArtifactError, Unsupported
from modelport.graph import LIMITS, Input, Limits, Output

from .declaration import EXTENDER, Carried, Declared, read_declaration
from .parse import Element
from .reading.texts import number_text

__all__ = ["DATA_TYPES", "declared_in", "final_model", "output_elements", "top_model"]

Array = np.ndarray[Any, np.dtype[Any]]
#: PMML dataType -> our dtype
DATA_TYPES = {"double": "f64", "float": "f32", "integer": "f64", "string": "str", "boolean": "bool"}
ROLES = {"probability": "probability", "predictedValue": "prediction", "affinity": "score"}


def top_model(root: Element) -> Element:
    """The model of a document."""
    found = root.models()
    if not found:
        raise ArtifactError("The PMML document holds no model.")
    if len(found) > 1:
        raise Unsupported(f"The PMML document holds {len(found)} models; this reader knows documents with one.")
    return found[0]


def final_model(model: Element) -> Element:
    """The model whose Output counts: the last one of a chain, else the model itself."""
    segmentation = model.find("Segmentation") if model.tag == "MiningModel" else None
    if segmentation is not None and segmentation.get("multipleModelMethod") == "modelChain":
        segments = list(segmentation.all("Segment"))
        inner = segments[-1].models() if segments else []
        if inner:
            return final_model(inner[0])
    return model


def output_elements(model: Element) -> list[Element]:
    """The OutputFields that are results, of the model itself and of the end of its chain."""
    places = [model]
    last = final_model(model)
    if last is not model:
        places.append(last)
    fields = [f for place in places for o in place.all("Output") for f in o.all("OutputField")]
    return [f for f in fields if f.get("isFinalResult", "true") != "false"]


def declared_in(root: Element, limits: Limits = LIMITS) -> Carried:
    """The declaration of a document."""
    header = root.find("Header")
    for extension in header.all("Extension") if header is not None else ():
        if extension.get("extender") == EXTENDER and extension.get("name") == "document":
            carried = read_declaration(extension.text, limits)
            _check_against(carried, root)
            return carried
    return _foreign(root, limits)


def data_fields(root: Element) -> dict[str, Element]:
    """DataField name -> element."""
    fields: dict[str, Element] = {}
    for f in root.require("DataDictionary").all("DataField"):
        name = f.need("name")
        if name in fields:
            raise ArtifactError(f"The DataDictionary defines the field {name!r} twice.")
        fields[name] = f
    return fields


def active_fields(model: Element) -> list[Element]:
    """The MiningFields that a model reads."""
    fields = model.require("MiningSchema").all("MiningField")
    return [f for f in fields if f.get("usageType", "active") == "active"]


def _check_against(carried: Carried, root: Element) -> None:
    """The declaration names fields of the XML, with the types and the treatment of missing values that the XML gives them."""
    model = top_model(root)
    dictionary, active = data_fields(root), {f.need("name"): f for f in active_fields(model)}
    named = {f.need("name") for f in output_elements(model)}
    for value in carried.inputs:
        for name in carried.fields.inputs[value.name]:
            if name not in dictionary or name not in active:
                raise ArtifactError(
                    f"The declaration says input {value.name!r} is field {name!r}, which the model does not read."
                )
            known = DATA_TYPES.get(dictionary[name].get("dataType", ""))
            widened = known == "f32" and value.dtype == "f64"  # a float field rounds the doubles it is given
            if known != ("f64" if value.dtype == "i64" else value.dtype) and not widened:
                raise ArtifactError(f"The declaration says input {value.name!r} is {value.dtype}, but field {name!r} is {known}.")
            refuses = active[name].get("missingValueTreatment") == "returnInvalid"
            if value.missing == "error" and not refuses and value.dtype in ("f64", "f32", "str"):
                raise ArtifactError(
                    f"The declaration says input {value.name!r} refuses missing values; its MiningField does not."
                )
    for output in carried.outputs:
        missing = [n for n in carried.fields.outputs[output.name] if n not in named]
        if missing:
            raise ArtifactError(
                f"The declaration says output {output.name!r} is field {missing[0]!r}, which the model does not give."
            )


# --- files of others ----------------------------------------------------------------------------------------------------------


def _foreign(root: Element, limits: Limits) -> Carried:
    model = top_model(root)
    dictionary = data_fields(root)
    inputs = []
    for f in active_fields(model):
        name = f.need("name")
        if name not in dictionary:
            raise ArtifactError(f"The MiningSchema reads the field {name!r}, which the DataDictionary does not define.")
        dtype = DATA_TYPES.get(dictionary[name].get("dataType", ""))
        if dtype is None:
            raise Unsupported(
                f"The field {name!r} is of dataType {dictionary[name].get('dataType')}, which this reader does not know."
            )
        refuses = f.get("missingValueTreatment") == "returnInvalid" or dtype == "bool"
        inputs.append(Input(name, dtype, (1,), "error" if refuses else "null" if dtype == "str" else "nan"))
    if not inputs:
        raise Unsupported("The model reads no field; this reader knows models with at least one.")
    outputs = tuple(_foreign_outputs(model, dictionary))
    fields = Declared({v.name: [v.name] for v in inputs}, {o.name: [o.name] for o in outputs})
    # a string that an expression gives has row shape [1]: no step makes it a single one
    handed = {f.get("name") for f in output_elements(model) if f.get("feature") == "transformedValue"}
    shapes: dict[str, tuple[int, ...]] = {o.name: (1,) if o.dtype == "str" and o.name in handed else () for o in outputs}
    carried = Carried(tuple(inputs), outputs, shapes, fields, None, {}, model.get("modelName"))
    vectors = _foreign_vectors(model, carried, limits)
    return Carried(carried.inputs, outputs, shapes, fields, vectors, _provenance(root), carried.name)


def target_field(model: Element) -> str | None:
    """The target of a model, or None."""
    fields = [f for f in model.require("MiningSchema").all("MiningField") if f.get("usageType") in ("target", "predicted")]
    return fields[0].need("name") if fields else None


def _foreign_outputs(model: Element, dictionary: Mapping[str, Element]) -> Iterator[Output]:
    """The target's predicted value, then every OutputField."""
    fields = output_elements(model)
    names = {f.need("name") for f in fields}
    target = target_field(model)
    numbers = model.get("functionName") == "regression"
    classes_dtype = "f64" if numbers else "str"
    if target is not None and target in dictionary:
        classes_dtype = DATA_TYPES.get(dictionary[target].get("dataType", ""), "str") if not numbers else "f64"
    if target is not None and target not in names:
        yield Output(target, target, "f64" if classes_dtype == "f32" else classes_dtype, "prediction")
    if target is None and not fields:
        yield Output(
            "prediction", "prediction", classes_dtype, "cluster" if model.get("functionName") == "clustering" else "prediction"
        )
    for f in fields:
        feature = f.get("feature", "predictedValue") or "predictedValue"
        dtype = DATA_TYPES.get(f.get("dataType", ""))
        if dtype is None:
            dtype = classes_dtype if feature == "predictedValue" else "str" if feature in ("entityId", "decision") else "f64"
        yield Output(f.need("name"), f.need("name"), "f64" if dtype == "f32" else dtype, ROLES.get(feature, "score"))


def _provenance(root: Element) -> dict[str, Any]:
    header = root.find("Header")
    application = header.find("Application") if header is not None else None
    if application is None:
        return {}
    return {"framework": {k: application.get(k) for k in ("name", "version") if application.get(k) is not None}}


def _foreign_vectors(model: Element, carried: Carried, limits: Limits) -> Vectors | None:
    """The rows of a ModelVerification that covers every input and output."""
    verification = model.find("ModelVerification")
    if verification is None:
        return None
    outputs = {o.name: o for o in carried.outputs}
    columns, tolerance = {}, dict.fromkeys(outputs, EXACT)
    for f in verification.require("VerificationFields").all("VerificationField"):
        name = f.need("field")
        columns[name] = (f.get("column") or name).rpartition(":")[2]
        if name in outputs and outputs[name].dtype == "f64":
            precision = number_text(f.get("precision", "1e-6"), "A precision")
            threshold = number_text(f.get("zeroThreshold", "1e-16"), "A zeroThreshold")
            tolerance[name] = Tolerance(atol=threshold * (1 + precision), rtol=precision)
    names = [v.name for v in carried.inputs] + [o.name for o in carried.outputs]
    table = verification.find("InlineTable")
    if table is None or any(n not in columns for n in names):
        return None
    rows = [{c.tag: c.text for c in row.children} for row in table.all("row")][: limits.vector_rows]
    if not rows:
        return None
    given = {v.name: _column(rows, columns[v.name], v.dtype)[:, None] for v in carried.inputs}
    wanted = {o.name: _column(rows, columns[o.name], o.dtype).reshape(-1, *carried.shapes[o.name]) for o in carried.outputs}
    return Vectors(given, wanted, tolerance, "sample")


def _column(rows: list[dict[str, str]], column: str, dtype: str) -> Array:
    cells = [row.get(column) for row in rows]
    if dtype == "str":
        array = np.empty(len(cells), dtype=object)
        array[:] = cells
        return array
    if dtype == "bool":
        return np.array([c == "true" for c in cells], dtype=bool)
    numbers = [float("nan") if c is None else number_text(c, f"Column {column!r} of the ModelVerification") for c in cells]
    return np.array(numbers, dtype=np.float64 if dtype == "f64" else np.float32)
