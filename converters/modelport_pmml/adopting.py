"""A foreign PMML file as an artifact: what is missing is written into it, everything else stays byte for byte.

Put in are the declaration and the seal (Header), fields that the model does not read but is fed, an OutputField for what is
predicted, the refusal of missing values where the original refuses them, and the carried rows as ModelVerification.
"""

from __future__ import annotations

import re
import xml.parsers.expat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelport.document import Document
from modelport.errors import ArtifactError, Unsupported
from modelport.graph import Input, Output

from .declaration import Declared, declaration, seal
from .declared import active_fields, data_fields, output_elements, top_model
from .parse import MODELS, Element, parse
from .text import attribute, element, label, lines
from .verification import model_verification

__all__ = ["adopt_document"]

#: a start tag, whole
TAG = re.compile(rb"<[^\s/>]+(?:\s+[\w:.-]+\s*=\s*(?:\"[^\"]*\"|'[^']*'))*\s*(/?)>")
PREDICTED = ("prediction", "anomaly", "cluster")
TYPES = {"f64": "double", "str": "string", "bool": "boolean"}


def adopt_document(data: bytes, document: Document, fields: Mapping[str, Sequence[str]]) -> bytes:
    """See `modelport_pmml.adopt`."""
    root = parse(data)
    model = _only_model(root)
    places = _places(data)
    if places.count("Header", 1) != 1 or places.count("DataDictionary", 1) != 1 or places.count("MiningSchema", 2) != 1:
        raise ArtifactError("The PMML file has not one Header, one DataDictionary and one MiningSchema of its model.")
    edits = _Edits(data)
    active = {f.need("name"): f for f in active_fields(model)}
    added = _Outputs(model, set(data_fields(root)))
    outputs = {o.name: added.fields_of(o, document, fields) for o in document.graph.outputs}
    declared = Declared(_inputs(document, fields), outputs)
    _add_fields(edits, places, document.graph.inputs, declared, active, set(data_fields(root)))
    _add_outputs(edits, places, added.new)
    edits.inside(places.first("Header", 1), lines(declaration(document, declared)), first=True)
    rows = model_verification(document, declared)
    if rows and not places.count("ModelVerification", 2):
        edits.insert(places.first("model", 1).end, rows)
    return seal(edits.done())


def _only_model(root: Element) -> Element:
    if not root.models():
        raise Unsupported("The PMML file holds no model, which a transformer alone does not become: write JSON or ONNX.")
    return top_model(root)


# --- what the document is called in the file ----------------------------------------------------------------------------------


def _inputs(document: Document, fields: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """Input -> its fields: the features of a matrix, else the name itself."""
    named = {v.name: fields.get(v.name) or v.features or _columns(v) for v in document.graph.inputs}
    return {name: list(columns) for name, columns in named.items()}


def _columns(value: Input) -> Sequence[str]:
    return [value.name] if value.shape in ((), (1,)) and value.features is None else [f"x{j}" for j in range(value.type.width)]


class _Outputs:
    """Which OutputFields the outputs are; `new` are the elements of those that have to be added."""

    def __init__(self, model: Element, taken: set[str]) -> None:
        self.known = {f.need("name"): f for f in output_elements(model)}
        self.taken = taken | set(self.known)
        self.new: list[str] = []

    def fields_of(self, output: Output, document: Document, fields: Mapping[str, Sequence[str]]) -> list[str]:
        """The fields of an output, in order."""
        width = document.graph.types[output.source].width
        named = list(fields.get(output.name, ()))
        if not named and output.role == "probability" and output.classes is not None:
            named = [self._probability(output, value) for value in output.classes]
        if not named and output.role in PREDICTED and width == 1:
            return [self._predicted(output)]
        if len(named) != width or not all(name in self.known for name in named):
            raise Unsupported(f"The PMML file gives no {output.name!r} of {width} columns, which the original does.")
        return named

    def _probability(self, output: Output, value: Any) -> str:
        wanted = {label(value), str(value), label(value).capitalize()}
        for name, f in self.known.items():
            if f.get("feature") == "probability" and f.get("value") in wanted:
                return name
        raise Unsupported(f"The PMML file gives no {output.name!r} of the class {value!r}.")

    def _predicted(self, output: Output) -> str:
        """A new field for what the model predicts; one that is there may be of another type."""
        name = output.name
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        kind = "continuous" if output.dtype == "f64" else "categorical"
        dtype = TYPES.get(output.dtype, "integer")
        self.new.append(element("OutputField", name=name, optype=kind, dataType=dtype, feature="predictedValue"))
        return name


# --- changing the file --------------------------------------------------------------------------------------------------------


def _add_fields(
    edits: _Edits, places: _Places, inputs: Sequence[Input], declared: Declared, active: Mapping[str, Element], known: set[str]
) -> None:
    """Every column as an active field, which refuses a missing value where the original does."""
    schema, dictionary = [], []
    for value in inputs:
        refuses = "returnInvalid" if value.missing == "error" else None
        for name in declared.inputs[value.name]:
            if name not in active:
                if name in known:
                    raise Unsupported(f"The PMML file has a field {name!r} that is no column of the sample.")
                kind = "continuous" if value.dtype == "f64" else "categorical"
                dictionary.append(element("DataField", name=name, optype=kind, dataType=TYPES[value.dtype]))
                schema.append(element("MiningField", name=name, missingValueTreatment=refuses))
            elif refuses and active[name].get("missingValueTreatment") != refuses:
                if active[name].get("missingValueReplacement") is not None:
                    raise Unsupported(f"The PMML file replaces missing values of {name!r}, which the original refuses.")
                edits.attribute(places.named(name), "missingValueTreatment", refuses)
    extra = sorted(set(active) - {name for names in declared.inputs.values() for name in names})
    if extra:
        raise Unsupported(f"The PMML file reads the field {extra[0]!r}, which the sample does not have.")
    edits.inside(places.first("DataDictionary", 1), lines(dictionary))
    if dictionary:
        edits.count(places.first("DataDictionary", 1), "numberOfFields", len(dictionary))
    edits.inside(places.first("MiningSchema", 2), lines(schema))


def _add_outputs(edits: _Edits, places: _Places, new: Sequence[str]) -> None:
    if not new:
        return
    if places.count("Output", 2):
        edits.inside(places.first("Output", 2), lines(new), first=True)
    else:
        edits.insert(places.after(places.first("MiningSchema", 2), edits.data), element("Output", lines(new)))


@dataclass
class _Place:
    """An element: where its start tag begins, and where its end tag does (the same where it is one tag)."""

    tag: str
    depth: int
    start: int
    end: int = -1
    name: str | None = None


@dataclass
class _Places:
    """The elements of the upper levels; a model is called "model"."""

    elements: list[_Place] = field(default_factory=list)

    def count(self, tag: str, depth: int) -> int:
        """How many elements of a tag there are at a depth."""
        return sum(p.tag == tag and p.depth == depth for p in self.elements)

    def first(self, tag: str, depth: int) -> _Place:
        """The first of them."""
        return next(p for p in self.elements if p.tag == tag and p.depth == depth)

    def named(self, field_name: str) -> _Place:
        """The model's own MiningField of a name."""
        return next(p for p in self.elements if p.tag == "MiningField" and p.name == field_name)

    def after(self, place: _Place, data: bytes) -> int:
        """The position behind an element."""
        return data.index(b">", place.end) + 1 if place.end != place.start else _tag(data, place).end()


def _places(data: bytes) -> _Places:
    """The elements down to the MiningFields of the model, with their byte positions."""
    parser = xml.parsers.expat.ParserCreate(namespace_separator=" ")
    found, stack = _Places(), []

    def start(tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition(" ")[2]
        depth = len(stack)
        place = _Place(
            "model" if depth == 1 and name in MODELS else name, depth, parser.CurrentByteIndex, name=attributes.get("name")
        )
        if depth < 3 or (depth == 3 and name == "MiningField" and stack[1].tag == "model"):
            found.elements.append(place)
        stack.append(place)

    def end(_: str) -> None:
        stack.pop().end = parser.CurrentByteIndex

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.Parse(data, True)
    return found


def _tag(data: bytes, place: _Place) -> re.Match[bytes]:
    match = TAG.match(data, place.start)
    if match is None:
        raise ArtifactError(f"The PMML file's {place.tag} is no UTF-8 element: save the file as UTF-8.")
    return match


class _Edits:
    """Insertions into a file, applied together; those at one position stay in the order they were made in."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._edits: list[tuple[int, int, bytes]] = []

    def insert(self, position: int, text: str, instead: int = 0) -> None:
        """Put text at a position, in place of so many bytes."""
        if text:
            self._edits.append((position, instead, text.encode("utf-8")))

    def inside(self, place: _Place, text: str, first: bool = False) -> None:
        """Put elements into an element, before or behind those it has."""
        tag = _tag(self.data, place)
        if tag[1]:  # <Header/> becomes <Header>...</Header>
            name = tag[0][1:].split()[0].rstrip(b"/>").decode("utf-8")
            self.insert(tag.start(1), f">{text}</{name}>" if text else "", tag.end() - tag.start(1))
        else:
            self.insert(tag.end() if first else place.end, text)

    def attribute(self, place: _Place, name: str, value: str) -> None:
        """Give an element an attribute, in place of one of that name."""
        tag = _tag(self.data, place)
        old = re.compile(rb"\s+" + name.encode("ascii") + rb"\s*=\s*(?:\"[^\"]*\"|'[^']*')").search(tag[0])
        position, length = (tag.start() + old.start(), len(old[0])) if old else (tag.end() - len(tag[1]) - 1, 0)
        self.insert(position, f' {name}="{attribute(value)}"', length)

    def count(self, place: _Place, name: str, more: int) -> None:
        """Raise an attribute that counts, where it is there."""
        old = re.compile(name.encode("ascii") + rb"\s*=\s*[\"'](\d+)").search(_tag(self.data, place)[0])
        if old:
            self.attribute(place, name, str(int(old[1]) + more))

    def done(self) -> bytes:
        """The changed file."""
        parts, position = [], 0
        for start, length, text in sorted(self._edits, key=lambda edit: edit[0]):
            parts += [self.data[position:start], text]
            position = start + length
        return b"".join([*parts, self.data[position:]])
