"""A document as PMML 4.4: data dictionary, derived fields, one model or a chain of models, and the proof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelport.document import Document
from modelport.errors import Unsupported
from modelport.graph import Graph, Output

from . import columns, rows  # noqa: F401  (importing registers the ops)
from .blocks import Block, Model, assemble, schema
from .compiler import Compiler
from .declaration import Declared, declaration, seal, verification
from .expressions import Expression
from .fields import Names, Scope, count_uses
from .heads import Head, find_head
from .text import NAMESPACE, attribute, element, label, text

__all__ = ["write_document"]

OUTPUT_TYPES = {"f64": "double", "f32": "double", "str": "string", "bool": "boolean"}


@dataclass(frozen=True)
class Answer:
    """One OutputField: its name, feature, and where it comes from (a class, or an expression)."""

    name: str
    feature: str
    dtype: str
    value: Any = None
    source: Expression | None = None


class Writer:
    """Writes one document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.graph: Graph = document.graph
        self.compiler = Compiler(self.graph)
        self.head: Head = find_head(self.compiler)
        self.sources = {o.name: self._source(o) for o in self.graph.outputs}
        exported = [x for row in self.sources.values() for x in row]
        uses = count_uses([*exported, *self.head.inputs])
        self.blocks = self._needed(exported, self.head.inputs)
        uses.update(count_uses(x for b in self.blocks for x in b.inputs))
        self.head.absorb(self.compiler, uses)
        self.blocks = self._needed(exported, self.head.inputs)
        uses = count_uses([*exported, *self.head.inputs, *(x for b in self.blocks for x in b.inputs)])
        taken = {name for names in self.compiler.fields.values() for name in names}
        self.names = Names(taken, uses)
        for o in self.graph.outputs:
            taken.update(_wishes(o, self.compiler.type(o.source).width, self.head))
        for block in self.blocks:
            for position, wish in enumerate(block.wishes):
                self.names.raw[block.index, position] = self.names.unique(wish)
        self.shared = Scope(self.names)

    def _source(self, output: Output) -> list[Expression]:
        """The columns of an output that the head does not answer."""
        if output.name in (self.head.predicts, self.head.spreads, self.head.decides):
            return []
        return self.compiler.row(output.source)

    def _needed(self, exported: list[Expression], crowned: list[Expression]) -> list[Block]:
        """The model segments behind expressions, each after those it reads."""
        needed: set[int] = set()
        seen: set[int] = set()
        queue = [*exported, *crowned]
        while queue:
            x = queue.pop()
            if x.index in seen:
                continue
            seen.add(x.index)
            queue.extend(x.args)
            if x.kind == "raw" and x.data[0] not in needed:
                needed.add(x.data[0])
                queue.extend(self.compiler.blocks[x.data[0]].inputs)
        whole = getattr(self.head, "block", None)
        return [b for b in self.compiler.blocks if b.index in needed and b is not whole]

    # --- the document ---------------------------------------------------------------------------------------------------------

    def bytes(self) -> bytes:
        """The whole file."""
        model, answers = self._model()
        declared = Declared(self.compiler.fields, {name: [a.name for a in row] for name, row in answers.items()})
        proof = verification(self.document, declared)
        body = model(proof)
        parts = [
            '<?xml version="1.0" encoding="UTF-8"?>\n',
            f'<PMML xmlns="{NAMESPACE}" version="4.4">\n',
            self._header(declared),
            "\n",
            self._dictionary(),
            "\n",
            self.shared.transformations("TransformationDictionary"),
            "\n",
            body,
            "\n</PMML>\n",
        ]
        return seal("".join(parts).encode("utf-8"))

    def _header(self, declared: Declared) -> str:
        description = self.document.doc or self.graph.name
        application = element("Application", name="modelport")
        return element("Header", *declaration(self.document, declared), application, description=description)

    def _dictionary(self) -> str:
        fields = []
        for value in self.graph.inputs:
            for name in self.compiler.fields[value.name]:
                allowed = self.compiler.accepted.get(name)
                dtype = {"f32": "float", "str": "string", "bool": "boolean"}.get(value.dtype, "double")
                kind = "continuous" if dtype in ("double", "float") and allowed is None else "categorical"
                values = "".join(element("Value", value=label(_number(v))) for v in allowed or () if v is not None and v == v)
                fields.append(f'<DataField name="{attribute(name)}" optype="{kind}" dataType="{dtype}">{values}</DataField>')
        fields += self._targets
        return element("DataDictionary", *fields, numberOfFields=len(fields))

    # --- models ---------------------------------------------------------------------------------------------------------------

    def _model(self) -> tuple[Any, dict[str, list[Answer]]]:
        """The top model as a function of its ModelVerification, and the output fields by output."""
        segments = [self._segment(block) for block in self.blocks]
        scope = Scope(self.names, self.shared)
        crown = self.head.model(scope)
        target = self._target(crown)
        answers = {o.name: self._answers(o) for o in self.graph.outputs}
        output = element("Output", *(self._field(a, scope) for row in answers.values() for a in row))
        every = [name for names in self.compiler.fields.values() for name in names]
        treated = schema(every, target, self._treatments())
        local = scope.transformations("LocalTransformations")
        if not segments:
            return (lambda proof: assemble(crown, treated, output, local, proof)), answers
        inner = schema(list(scope.used), target)
        segments.append(assemble(crown, inner, output, local))
        chain = "".join(f'<Segment id="{i}"><True/>{model}</Segment>' for i, model in enumerate(segments, 1))
        method = '<Segmentation multipleModelMethod="modelChain">'
        whole = Model("MiningModel", {"functionName": crown.attributes["functionName"]}, [f"{method}{chain}</Segmentation>"])
        return (lambda proof: assemble(whole, treated, "", "", proof)), answers

    def _segment(self, block: Block) -> str:
        scope = Scope(self.names, self.shared)
        model = block.model(scope)
        self._targets += [element("DataField", name=name, optype="continuous", dataType="double") for name in model.targets]
        fields = []
        for position in range(len(block.wishes)):
            which = model.targets[position] if len(model.targets) > 1 else None
            name = self.names.raw[block.index, position]
            fields.append(_output_field(name, "predictedValue", "f64", targetField=which))
        local = scope.transformations("LocalTransformations")
        return assemble(model, schema(list(scope.used), model.targets), element("Output", *fields), local)

    @property
    def _targets(self) -> list[str]:
        return self.__dict__.setdefault("_target_fields", [])

    @_targets.setter
    def _targets(self, fields: list[str]) -> None:
        self.__dict__["_target_fields"] = fields

    def _target(self, crown: Model) -> list[str]:
        """The target fields of the top model, declared in the dictionary."""
        if crown.targets:
            self._targets += [element("DataField", name=n, optype="continuous", dataType="double") for n in crown.targets]
            return crown.targets
        classes = self.head.classes
        if classes is None and (self.head.predicts is None or crown.tag == "ClusteringModel"):
            return []
        name = self.names.unique("y")
        if classes is None:
            self._targets += [element("DataField", name=name, optype="continuous", dataType="double")]
        else:
            values = [element("Value", value=label(v)) for v in classes]
            self._targets += [element("DataField", *values, name=name, optype="categorical", dataType=_class_type(classes))]
        return [name]

    def _treatments(self) -> dict[str, dict[str, str]]:
        """Input fields that refuse a missing value say so."""
        treatments = {}
        for value in self.graph.inputs:
            for name in self.compiler.fields[value.name]:
                allowed = self.compiler.accepted.get(name)
                known = allowed is not None and not any(v is None or v != v for v in allowed)
                if value.missing == "error" or known:
                    treatments[name] = {"missingValueTreatment": "returnInvalid"}
        return treatments

    # --- outputs --------------------------------------------------------------------------------------------------------------

    def _answers(self, output: Output) -> list[Answer]:
        head, dtype = self.head, output.dtype
        names = [name for name in _wishes(output, self.compiler.type(output.source).width, head)]
        names = [self._output_name(name) for name in names]
        if output.name == head.predicts:
            return [Answer(names[0], "predictedValue", dtype)]
        if output.name == head.spreads:
            assert head.classes is not None, "probabilities of classes"
            return [Answer(n, "probability", dtype, value=k) for n, k in zip(names, head.classes, strict=True)]
        if output.name == head.decides:
            return [Answer(names[0], "decision", dtype)]
        return [Answer(n, "transformedValue", dtype, source=x) for n, x in zip(names, self.sources[output.name], strict=True)]

    def _output_name(self, wish: str) -> str:
        """The wish, unless a field has that name already."""
        inputs = {name for names in self.compiler.fields.values() for name in names}
        if wish not in inputs and wish not in self._given:
            self._given.add(wish)
            return wish
        return self.names.unique(wish)

    @property
    def _given(self) -> set[str]:
        found: set[str] = self.__dict__.setdefault("_given_names", set())
        return found

    def _field(self, answer: Answer, scope: Scope) -> str:
        if answer.feature == "decision":
            return _output_field(answer.name, "transformedValue", answer.dtype, self._decision())
        if answer.source is None:
            value = None if answer.value is None else label(answer.value)
            return _output_field(answer.name, answer.feature, answer.dtype, value=value)
        reference = element("FieldRef", field=scope.field(answer.source))
        return _output_field(answer.name, answer.feature, answer.dtype, reference)

    def _decision(self) -> str:
        """The second class where its probability is larger: a tie goes to the first, whatever order the scorer breaks ties in."""
        assert self.head.classes is not None and self.head.spreads is not None, "two classes with probabilities"
        fields = [self.spread_names[k] for k in (1, 0)]
        larger = element("Apply", *(element("FieldRef", field=f) for f in fields), function="greaterThan")
        type_ = _class_type(self.head.classes)
        options = [f'<Constant dataType="{type_}">{text(label(self.head.classes[k]))}</Constant>' for k in (1, 0)]
        return element("Apply", larger, *options, function="if")


def write_document(document: Document, options: Mapping[str, Any] | None = None) -> bytes:
    """The document as PMML bytes; Unsupported, naming the step, for what PMML cannot carry."""
    return Writer(document).bytes()
