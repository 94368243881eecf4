"""A hardened XML parser: no document types, no entities, bounded depth and size. PMML elements become small Python objects.

Trees are by far the largest part of a PMML file, so the Nodes of a TreeModel are kept as compact `Node` objects.
"""

from __future__ import annotations

import xml.parsers.expat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, overload

from modelport.errors import ArtifactError, Unsupported
from modelport.graph import LIMITS, Limits

__all__ = ["MODELS", "Element", "Node", "parse"]

#: nesting of elements other than tree nodes, and of tree nodes
MAX_DEPTH, MAX_TREE_DEPTH = 100, 5000
#: attributes of an element, and characters of one of them
MAX_ATTRIBUTES, MAX_ATTRIBUTE = 256, 1 << 20
PREDICATES = frozenset({"SimplePredicate", "CompoundPredicate", "SimpleSetPredicate", "True", "False"})
CHUNK = 1 << 20
#: every model element of PMML 4.4
MODELS = frozenset(
    {
        "AnomalyDetectionModel",
        "AssociationModel",
        "BaselineModel",
        "BayesianNetworkModel",
        "ClusteringModel",
        "GaussianProcessModel",
        "GeneralRegressionModel",
        "MiningModel",
        "NaiveBayesModel",
        "NearestNeighborModel",
        "NeuralNetwork",
        "RegressionModel",
        "RuleSetModel",
        "Scorecard",
        "SequenceModel",
        "SupportVectorMachineModel",
        "TextModel",
        "TimeSeriesModel",
        "TreeModel",
    }
)


class Element:
    """One element: tag without namespace, attributes, child elements, and the text directly inside."""

    __slots__ = ("attributes", "children", "tag", "text")

    def __init__(self, tag: str, attributes: dict[str, str]) -> None:
        self.tag = tag
        self.attributes = attributes
        self.children: list[Any] = []
        self.text = ""

    @overload
    def get(self, name: str) -> str | None: ...

    @overload
    def get(self, name: str, default: str) -> str: ...

    def get(self, name: str, default: str | None = None) -> str | None:
        """An attribute, or the default."""
        return self.attributes.get(name, default)

    def need(self, name: str) -> str:
        """An attribute that has to be there."""
        value = self.attributes.get(name)
        if value is None:
            raise ArtifactError(f"A PMML element {self.tag} lacks the attribute {name!r}.")
        return value

    def find(self, tag: str) -> Element | None:
        """The first child of a tag, or None."""
        return next((c for c in self.children if c.tag == tag), None)

    def require(self, tag: str) -> Element:
        """The first child of a tag."""
        found = self.find(tag)
        if found is None:
            raise ArtifactError(f"A PMML element {self.tag} lacks its {tag}.")
        return found

    def models(self) -> list[Element]:
        """The children that are model elements."""
        return [c for c in self.children if c.tag in MODELS]

    def all(self, tag: str) -> Iterator[Element]:
        """The children of a tag."""
        return (c for c in self.children if c.tag == tag)

    def content(self) -> list[Element]:
        """The children but Extensions."""
        return [c for c in self.children if c.tag != "Extension"]


@dataclass(eq=False)
class Node:
    """A node of a tree: its predicate is (operator, field, value) for a SimplePredicate, else an Element."""

    __slots__ = ("attributes", "children", "counts", "predicate", "score", "tag")

    def __init__(self, attributes: dict[str, str]) -> None:
        self.tag = "Node"
        self.score = attributes.pop("score", None)
        self.attributes = attributes or None
        self.predicate: Any = None
        #: (value, recordCount, probability) per ScoreDistribution
        self.counts: tuple[tuple[str, str | None, str | None], ...] | None = None
        self.children: list[Node] = []


class _Handler:
    """Receives expat's events; the stack holds Elements and Nodes."""

    def __init__(self, limits: Limits) -> None:
        self.root: Element | None = None
        self.stack: list[Any] = []
        self.text: list[str] = []
        self.shared: dict[Any, Any] = {}
        self.skipping = 0
        self.nodes = self.others = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition(" ")[2]
        if len(attributes) > MAX_ATTRIBUTES:
            raise ArtifactError(
                f"A PMML element {name[:80]} has {len(attributes)} attributes, more than the limit of {MAX_ATTRIBUTES}."
            )
        if any(len(value) > MAX_ATTRIBUTE for value in attributes.values()):
            raise ArtifactError(f"A PMML element {name[:80]} has an attribute of more than {MAX_ATTRIBUTE:,} characters.")
        if self.skipping:
            self.skipping += 1
            if self.skipping > MAX_DEPTH:
                raise ArtifactError(f"The PMML is nested deeper than {MAX_DEPTH} levels.")
            return
        parent = self.stack[-1] if self.stack else None
        if name == "Node":
            self._start_node(parent, attributes)
            return
        if isinstance(parent, Node) and self._inside_node(parent, name, attributes):
            return
        self.others += 1
        if self.others > MAX_DEPTH:
            raise ArtifactError(f"The PMML is nested deeper than {MAX_DEPTH} levels.")
        element = Element(name, attributes)
        if parent is None:
            self.root = element
        elif isinstance(parent, Node):
            parent.predicate = element
        else:
            parent.children.append(element)
        self.stack.append(element)
        self.text = []

    def _start_node(self, parent: Any, attributes: dict[str, str]) -> None:
        self.nodes += 1
        if self.nodes > MAX_TREE_DEPTH:
            raise ArtifactError(f"A tree is nested deeper than {MAX_TREE_DEPTH} levels.")
        if parent is None:
            raise ArtifactError("The file begins with a Node; a PMML document begins with PMML.")
        node = Node(attributes)
        parent.children.append(node)
        self.stack.append(node)

    def _inside_node(self, node: Node, name: str, attributes: dict[str, str]) -> bool:
        """Keep a simple predicate or a ScoreDistribution with its node; True when nothing is left to be done at its end."""
        if name == "SimplePredicate":
            node.predicate = (attributes.get("operator"), attributes.get("field"), attributes.get("value"))
        elif name == "ScoreDistribution":
            count = (attributes.get("value", ""), attributes.get("recordCount"), attributes.get("probability"))
            node.counts = (*(node.counts or ()), self.shared.setdefault(count, count))
        elif name in PREDICATES:
            return False
        elif name not in ("Extension", "Partition"):
            raise Unsupported(f"A tree's Node holds the element {name}, which this reader does not know.")
        self.skipping = 1
        return True

    def end(self, tag: str) -> None:
        if self.skipping:
            self.skipping -= 1
            return
        done = self.stack.pop()
        if isinstance(done, Node):
            self.nodes -= 1
            if done.counts is not None:
                done.counts = self.shared.setdefault(done.counts, done.counts)
            return
        self.others -= 1
        if not done.children:
            done.text = "".join(self.text)
        self.text = []

    def characters(self, data: str) -> None:
        if not self.skipping:
            self.text.append(data)


def parse(data: bytes, limits: Limits = LIMITS) -> Element:
    """The PMML element of a file; ArtifactError for XML that is broken, too large, too deep or has a document type."""
    if len(data) > limits.document_bytes:
        raise ArtifactError(f"The document has {len(data)} bytes, more than the limit of {limits.document_bytes}.")
    handler = _Handler(limits)
    parser = xml.parsers.expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = handler.start
    parser.EndElementHandler = handler.end
    parser.CharacterDataHandler = handler.characters
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        for offset in range(0, len(data), CHUNK):
            parser.Parse(data[offset : offset + CHUNK], False)
        parser.Parse(b"", True)
    except xml.parsers.expat.ExpatError as error:
        raise ArtifactError(f"The file is not well-formed XML: {error}.") from None
    except LookupError:
        raise ArtifactError("The file is in a character encoding that is not known: save it as UTF-8.") from None
    root = handler.root
    if root is None or root.tag != "PMML":
        raise ArtifactError(f"The file's root is {root.tag if root else 'nothing'}, not PMML.")
    version = root.get("version") or ""
    if not version.startswith(("3.", "4.")):
        raise Unsupported(f"The file is of PMML version {version or 'unknown'}; this reader knows versions 3 and 4.")
    return root


def _refuse_doctype(*_: Any) -> None:
    raise ArtifactError("The file has a document type declaration (DOCTYPE), which is refused: remove it.")
