"""A document as PMML 4.4: data dictionary, derived fields, one model or a chain of models, and the proof."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelport.document import Document
from modelport.errors import Unsupported
from modelport.graph import Input, Output

from . import categories, columns, dense, distances, rows  # noqa: F401  (importing registers the ops)
from .blocks import Block, Model, assemble, schema, segmentation
from .compiler import COLUMNS, Compiler, no_form, unique
from .declaration import Declared, declaration, seal
from .expressions import Expression
from .fields import Names, Scope, count_uses
from .heads import find_head
from .text import NAMESPACE, element, label, lines, text
from .verification import model_verification

__all__ = ["write_document"]

INPUT_TYPES = {"f32": "float", "str": "string", "bool": "boolean"}
ITERATES = "it iterates until its numbers settle"
TEXTS = "PMML's TextIndex splits text by other rules, and no function of PMML hashes"
#: why ops have no form in PMML
REASONS = {
    **dict.fromkeys(("lda_topics", "nmf", "sparse_code"), ITERATES),
    **dict.fromkeys(("count_terms", "hash_terms"), TEXTS),
    **dense.REASONS,
}
OUTPUT_TYPES = {"f64": "double", "f32": "double", "str": "string", "bool": "boolean"}


def write_document(document: Document, options: Mapping[str, Any] | None = None) -> bytes:
    """The document as PMML bytes; Unsupported, naming the step, for what PMML cannot carry."""
    try:
        return _Writer(document).document_bytes()
    except RecursionError:
        raise Unsupported("The graph is a chain of too many steps to be written as PMML: write JSON or ONNX instead.") from None


class _Writer:
    """Writes one document: outputs, then the models behind them, then the fields behind those."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.graph = document.graph
        self._refuse_unknown()
        dense.check_shapes(self.graph)
        self.compiler = Compiler(self.graph, dense.is_net(self.graph))
        self.head = find_head(self.compiler)
        answered = (self.head.predicts, self.head.spreads, self.head.decides)
        self.sources = {o.name: [] if o.name in answered else self._exportable(o) for o in self.graph.outputs}
        self.accepted = self.compiler.acceptance()
        if self.accepted is not None:
            make = self.compiler.make
            self.sources = {name: [make.only_where(self.accepted, x) for x in row] for name, row in self.sources.items()}
        self.exported = [x for row in self.sources.values() for x in row]
        self.head.absorb(self.compiler, count_uses(self._roots()))
        self.blocks = self._needed()
        self.data_fields = [name for names in self.compiler.fields.values() for name in names]
        if not self.data_fields:
            raise Unsupported("The model reads no column, and a PMML model reads at least one: write JSON or ONNX.")
        taken = set(self.data_fields)
        self.output_names = {o.name: [unique(w, taken) for w in self._wishes(o)] for o in self.graph.outputs}
        self.accepts = None if self.accepted is None else unique("accepted", taken)
        self.names = Names(self.data_fields, taken, count_uses(self._roots()))
        for block in self.blocks:
            for position, wish in enumerate(block.wishes):
                self.names.raw[block.index, position] = self.names.unique(wish)
        self.shared = Scope(self.names)
        self.target_fields: list[str] = []

    def _refuse_unknown(self) -> None:
        """Unsupported for an op without a translation, also where nothing reads its step."""
        for step in self.graph.steps:
            if step.op not in COLUMNS:
                reason = REASONS.get(step.op, "")
                raise no_form(step, TEXTS, "JSON") if reason is TEXTS else no_form(step, reason)

    def _exportable(self, output: Output) -> list[Expression]:
        """The columns of an output that becomes fields."""
        row = self.compiler.row(output.source)
        if any(x.type == "integer" for x in row):
            what = f"Output {output.name!r} hands 64-bit integers of the data through"
            raise Unsupported(f"{what}, which PMML scorers read as doubles: write JSON or ONNX.")
        return row

    def _roots(self) -> list[Expression]:
        """Every expression that an output, the head or a segment reads."""
        segments = [x for block in self._needed() for x in block.inputs]
        return [*self.exported, *self.head.inputs, *segments, *([] if self.accepted is None else [self.accepted])]

    def _needed(self) -> list[Block]:
        """The segments behind the outputs and the head, each after those it reads."""
        needed: set[int] = set()
        seen: set[int] = set()
        queue = [*self.exported, *self.head.inputs, *([] if self.accepted is None else [self.accepted])]
        while queue:
            x = queue.pop()
            if x.index not in seen:
                seen.add(x.index)
                queue.extend(x.args)
                if x.kind == "raw" and x.data[0] not in needed:
                    needed.add(x.data[0])
                    queue.extend(self.compiler.blocks[x.data[0]].inputs)
        return [block for block in self.compiler.blocks if block.index in needed]

    def _wishes(self, output: Output) -> list[str]:
        """Names for an output's fields: its own, or its own with the class or the position."""
        width = self.compiler.type(output.source).width
        if output.name in (self.head.predicts, self.head.decides) or width == 1:
            return [output.name]
        classes = self.head.classes if output.name == self.head.spreads else output.classes
        if classes is None or len(classes) != width:
            classes = [self.compiler.column_label(output.source, j) for j in range(width)]
        return [f"{output.name}({label(k)})" for k in classes]

    # --- the document ---------------------------------------------------------------------------------------------------------

    def document_bytes(self) -> bytes:
        """The whole file, sealed with its own hash."""
        declared = Declared(self.compiler.fields, self.output_names, self.accepts)
        model = self._model(model_verification(self.document, declared))
        description = self.document.doc or self.graph.name
        header = element(
            "Header",
            lines([*declaration(self.document, declared), element("Application", name="modelport")]),
            description=description,
        )
        parts = [
            '<?xml version="1.0" encoding="UTF-8"?>',
            f'<PMML xmlns="{NAMESPACE}" version="4.4">',
            header,
            self._dictionary(),
            self.shared.transformations("TransformationDictionary"),
            model,
            "</PMML>\n",
        ]
        return seal("\n".join(part for part in parts if part).encode("utf-8"))

    def _dictionary(self) -> str:
        fields = [self._data_field(value, name) for value in self.graph.inputs for name in self.compiler.fields[value.name]]
        fields += self.target_fields
        return element("DataDictionary", lines(fields), numberOfFields=len(fields))

    def _data_field(self, value: Input, name: str) -> str:
        allowed = self.compiler.accepted.get(name)
        values = [element("Value", value=label(v)) for v in allowed or () if v is not None and v == v]
        dtype = INPUT_TYPES.get(value.dtype, "double")
        kind = "continuous" if dtype in ("double", "float") and not values else "categorical"
        return element("DataField", *values, name=name, optype=kind, dataType=dtype)

    # --- models ---------------------------------------------------------------------------------------------------------------

    def _model(self, proof: str) -> str:
        """The top model: the crown alone, or a chain of segments that ends in it."""
        whole = getattr(self.head, "block", None)
        segments = [self._segment(block) for block in self.blocks if block is not whole]
        scope = Scope(self.names, self.shared)
        crown = self.head.model(scope)
        output = self._output(scope)
        targets = self._targets(crown)
        local = scope.transformations("LocalTransformations")
        top = schema(self.data_fields, targets, self._treatments())
        if not segments:
            return assemble(crown, top, output, local, proof)
        segments.append(assemble(crown, schema(scope.listed(scope.used), targets), output, local))
        content = segmentation(segments, "modelChain")
        attributes = {"functionName": crown.attributes["functionName"]}
        return assemble(Model("MiningModel", attributes, [content]), top, "", "", proof)

    def _segment(self, block: Block) -> str:
        """A block as a segment whose answers are fields for the segments after it."""
        scope = Scope(self.names, self.shared)
        model = block.model(scope)
        self._declare_numbers(model.targets)
        fields = []
        for position in range(len(block.wishes)):
            target = model.targets[position] if len(model.targets) > 1 else None
            name = self.names.raw[block.index, position]
            fields.append(_output_field(name, "predictedValue", "f64", targetField=target, dataType=block.type))
        local = scope.transformations("LocalTransformations")
        return assemble(model, schema(scope.listed(scope.used), model.targets), element("Output", *fields), local)

    def _declare_numbers(self, names: Sequence[str]) -> None:
        self.target_fields += [element("DataField", name=n, optype="continuous", dataType="double") for n in names]

    def _targets(self, crown: Model) -> list[str]:
        """The target fields of the crown, declared in the data dictionary."""
        classes = self.head.classes
        if crown.targets or classes is None:
            names = crown.targets
            if not names and self.head.predicts is not None and crown.attributes["functionName"] == "regression":
                names = [self.names.unique("y")]
            self._declare_numbers(names)
            return list(names)
        name = self.names.unique("y")
        values = [element("Value", value=label(v)) for v in classes]
        self.target_fields.append(element("DataField", *values, name=name, optype="categorical", dataType=_class_type(classes)))
        return [name]

    def _treatments(self) -> dict[str, dict[str, str]]:
        """Data fields that refuse a missing value."""
        treatments = {}
        for value in self.graph.inputs:
            for name in self.compiler.fields[value.name]:
                allowed = self.compiler.accepted.get(name)
                complete = allowed is not None and all(v is not None and v == v for v in allowed)
                if value.missing == "error" or complete:
                    treatments[name] = {"missingValueTreatment": "returnInvalid"}
        return treatments

    # --- outputs --------------------------------------------------------------------------------------------------------------

    def _output(self, scope: Scope) -> str:
        """The Output element: what the crown answers, fields, and last the label that reads the probabilities.

        Where rows are refused, the crown's answers are handed out by a field that is missing for those rows.
        """
        accepted = None if self.accepted is None else scope.field(self.accepted)
        fields, checked, last = [], [], []
        if self.accepts is not None:
            fields.append(_output_field(self.accepts, "transformedValue", "bool", _reference(accepted), isFinalResult="false"))
        crown = self._crown_names()
        for output in self.graph.outputs:
            names = self.output_names[output.name]
            if output.name in crown:
                hidden = "false" if accepted else None
                own = crown[output.name]
                if output.name == self.head.predicts:
                    fields.append(_output_field(own[0], "predictedValue", output.dtype, isFinalResult=hidden))
                else:
                    fields += [
                        _output_field(n, "probability", output.dtype, value=label(k), isFinalResult=hidden)
                        for n, k in zip(own, self._classes, strict=True)
                    ]
                if accepted:
                    pairs = zip(names, own, strict=True)
                    checked += [
                        _output_field(n, "transformedValue", output.dtype, _where(accepted, _reference(o))) for n, o in pairs
                    ]
            elif output.name == self.head.decides:
                decision = self._decision(scope, crown)
                body = _where(accepted, decision) if accepted else decision
                last.append(_output_field(names[0], "transformedValue", output.dtype, body))
            else:
                for name, x in zip(names, self.sources[output.name], strict=True):
                    fields.append(_output_field(name, "transformedValue", output.dtype, _reference(scope.field(x))))
        return element("Output", *fields, *checked, *last)

    def _crown_names(self) -> dict[str, list[str]]:
        """Outputs that the crown answers by itself -> the names of its fields: those of the outputs, unless rows are refused."""
        answered = {self.head.predicts, self.head.spreads}
        names = {name: own for name, own in self.output_names.items() if name in answered}
        if self.accepted is None:
            return names
        return {name: [self.names.unique(f"{n} of the model") for n in own] for name, own in names.items()}

    @property
    def _classes(self) -> Sequence[Any]:
        assert self.head.classes is not None, "a classifier's head has classes"
        return self.head.classes

    def _decision(self, scope: Scope, crown: Mapping[str, list[str]]) -> str:
        """The class of the largest number, ties to the first: halves of the classes against each other."""
        if self.head.by_inputs:
            fields = [scope.field(x) for x in self.head.inputs]
        else:
            assert self.head.spreads is not None, "the decision reads the probabilities"
            fields = crown[self.head.spreads]
        references = [_reference(f) for f in fields]
        type_ = _class_type(self._classes)
        constants = [f'<Constant dataType="{type_}">{text(label(k))}</Constant>' for k in self._classes]
        return _tournament(references, constants)


def _reference(field: str | None) -> str:
    return element("FieldRef", field=field)


def _where(condition: str, body: str) -> str:
    """The body where a field holds, else nothing."""
    return element("Apply", _reference(condition), body, function="if")


def _tournament(numbers: Sequence[str], winners: Sequence[str]) -> str:
    """The winner that stands beside the largest number, the first of equals."""
    if len(winners) == 1:
        return winners[0]
    middle = (len(winners) + 1) // 2
    first, second = (_largest(part) for part in (numbers[:middle], numbers[middle:]))
    beaten = element("Apply", second, first, function="greaterThan")
    halves = (_tournament(numbers[middle:], winners[middle:]), _tournament(numbers[:middle], winners[:middle]))
    return element("Apply", beaten, *halves, function="if")


def _largest(numbers: Sequence[str]) -> str:
    return numbers[0] if len(numbers) == 1 else element("Apply", *numbers, function="max")


def _class_type(classes: Sequence[Any]) -> str:
    first = classes[0]
    if isinstance(first, bool):
        return "boolean"
    return "string" if isinstance(first, str) else "integer" if isinstance(first, int) else "double"


def _output_field(name: str, feature: str, dtype: str, body: str = "", /, **attributes: str | None) -> str:
    kind = "continuous" if dtype in ("f64", "f32") else "categorical"
    settings = {"name": name, "optype": kind, "dataType": OUTPUT_TYPES.get(dtype, "integer"), "feature": feature, **attributes}
    return element("OutputField", body, **settings)
