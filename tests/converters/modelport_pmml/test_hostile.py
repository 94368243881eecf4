"""Hostile files cannot crash, hang or exhaust the reader: every refusal is one of our errors, and quick."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator

import modelport_pmml
import pytest
from modelport_sklearn import read
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder

from modelport.document import Document, Vectors
from modelport.errors import ArtifactError, ModelportError, Unsupported
from modelport.graph import Limits
from modelport.sample import Sample
from tests.converters.modelport_pmml.common import derived, document, number_field, schema

HEAD = b'<?xml version="1.0"?>'
PLAIN = derived('<FieldRef field="x"/>', "x")


def nested(depth: int) -> bytes:
    opening, closing = '<Apply function="+"><Constant>1</Constant>' * depth, "</Apply>" * depth
    return derived(f'{opening}<FieldRef field="x"/>{closing}', "x")


def functions(count: int) -> bytes:
    """Functions that call the one before twice: 2 to the count calls."""
    text = ""
    for i in range(count):
        inner = f'<Apply function="f{i - 1}"><FieldRef field="p"/></Apply>' if i else '<FieldRef field="p"/>'
        text += (
            f'<DefineFunction name="f{i}"><ParameterField name="p"/><Apply function="+">{inner}{inner}</Apply></DefineFunction>'
        )
    call = f'<Apply function="f{count - 1}"><FieldRef field="x"/></Apply>'
    return derived(call, "x").replace(b"<TransformationDictionary>", f"<TransformationDictionary>{text}".encode())


def predicates(levels: int) -> bytes:
    """Compound predicates whose parts all lead to the same subtree."""
    parts = "".join(f'<SimplePredicate field="x" operator="lessOrEqual" value="{i}"/>' for i in range(40))
    node = '<Node score="1"><True/></Node>'
    for _ in range(levels):
        node = f'<Node score="1"><CompoundPredicate booleanOperator="or">{parts}</CompoundPredicate>{node}</Node>'
    return document(
        number_field("x"), f'<TreeModel functionName="regression">{schema("x")}<Node><True/>{node}</Node></TreeModel>'
    )


def deep_tree(depth: int) -> bytes:
    nodes = '<Node score="1"><True/>' * depth + "</Node>" * depth
    return document(number_field("x"), f'<TreeModel functionName="regression">{schema("x")}{nodes}</TreeModel>')


def sparse_network(width: int) -> bytes:
    place = '<DerivedField optype="continuous" dataType="double"><FieldRef field="{}"/></DerivedField>'
    inputs = "".join(f'<NeuralInput id="i{i}">{place.format("x")}</NeuralInput>' for i in range(width))
    neurons = "".join(f'<Neuron id="n{i}"><Con from="i{i}" weight="1"/></Neuron>' for i in range(width))
    outputs = f'<NeuralOutputs><NeuralOutput outputNeuron="n0">{place.format("y")}</NeuralOutput></NeuralOutputs>'
    body = f"<NeuralInputs>{inputs}</NeuralInputs><NeuralLayer>{neurons}</NeuralLayer>{outputs}"
    model = (
        f'<NeuralNetwork functionName="regression" activationFunction="identity">{schema("x", target="y")}{body}</NeuralNetwork>'
    )
    return document(number_field("x") + number_field("y"), model)


BOMB = b"".join(b'<!ENTITY a%d "%s">' % (i, b"&a%d;" % (i - 1) * 10 if i else b"aaaaaaaaaa") for i in range(10))
FILES = {
    "nothing": b"",
    "no XML": b"\x00\x01\x02",
    "JSON": b'{"format": "modelport"}',
    "another root": b"<html/>",
    "cut off": PLAIN[:-20],
    "document type": HEAD + b"<!DOCTYPE PMML>" + PLAIN,
    "external document type": HEAD + b'<!DOCTYPE PMML SYSTEM "http://example.invalid/pmml.dtd">' + PLAIN,
    "external entity": HEAD + b'<!DOCTYPE PMML [<!ENTITY e SYSTEM "secrets.txt">]>' + PLAIN,
    "entity bomb": HEAD + b"<!DOCTYPE PMML [" + BOMB + b"]><PMML>&a9;</PMML>",
    "unknown entity": PLAIN.replace(b"<Header/>", b"<Header>&e;</Header>"),
    "unknown encoding": b'<?xml version="1.0" encoding="klingon"?>' + PLAIN,
    "deep expression": nested(100_000),
    "doubling functions": functions(60),
    "a function that calls itself": functions(2).replace(b'"f0"', b'"f1"'),
    "predicates that multiply": predicates(30),
    "deep tree": deep_tree(100_000),
    "sparse network": sparse_network(20_000),
    "version 9": PLAIN.replace(b'version="4.4"', b'version="9.1"'),
    "two models": PLAIN.replace(b"</PMML>", PLAIN[PLAIN.index(b"<RegressionModel") :]),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_file_is_refused_quickly(name: str) -> None:
    start = time.process_time()  # the work, however busy the machine is
    with pytest.raises((ArtifactError, Unsupported)) as caught:
        modelport_pmml.load(FILES[name])
    assert time.process_time() - start < 10
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_size_is_limited() -> None:
    with pytest.raises(ArtifactError, match="more than the limit"):
        modelport_pmml.load(PLAIN, {"limits": Limits(document_bytes=100)})


def test_what_is_allowed_is_read() -> None:
    assert modelport_pmml.load(nested(80)).run({"x": [[1.0]]})["y"].tolist() == [81.0]
    assert modelport_pmml.load(deep_tree(4000)).run({"x": [[1.0]]})["prediction"].tolist() == [1.0]


def files() -> Iterator[bytes]:
    """Real files of many elements."""
    X, y = load_iris(return_X_y=True)
    bins = ColumnTransformer(
        [
            ("b", KBinsDiscretizer(3, quantile_method="averaged_inverted_cdf"), [0]),
            ("o", OneHotEncoder(handle_unknown="ignore"), [3]),
        ]
    )
    for model in (
        RandomForestClassifier(2, max_depth=3, random_state=0),
        GradientBoostingClassifier(n_estimators=2, random_state=0),
        MLPClassifier((3,), max_iter=20, random_state=0),
        make_pipeline(bins, LogisticRegression()),
    ):
        reading = read(model.fit(X, y), Sample.of(X))
        feeds = {"X": X[::30]}
        yield modelport_pmml.write(Document(reading.graph, Vectors(feeds, reading.answer(feeds))))
    yield predicates(1)
    yield functions(3)


def mutated(data: bytes, choose: random.Random) -> bytes:
    """A file with a tag or an attribute deleted, doubled, swapped or changed, or cut off."""
    text = data.decode()
    tags = list(re.finditer(r"<[^>]*>", text))
    one, other = choose.choice(tags), choose.choice(tags)
    values = list(re.finditer(r'(\w+)="([^"]*)"', text))
    value = choose.choice(values)
    odd = choose.choice(["", "NaN", "1e999", "-1", "x", "0", "INF", "true", "99999999999999999999"])
    return choose.choice(
        [
            text[: one.start()] + text[one.end() :],
            text[: one.end()] + one.group() + text[one.end() :],
            text[: one.start()] + other.group() + text[one.end() :],
            text[: value.start(2)] + odd + text[value.end(2) :],
            text[: value.start()] + text[value.end() :],
            text[: choose.randrange(len(text))],
            re.sub(r">([^<]+)<", lambda m: f">{odd}<" if choose.random() < 0.02 else m.group(), text),
        ]
    ).encode()  # fmt: skip


def test_mutations_raise_our_errors_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("warnings.showwarning", lambda *_, **__: None)
    choose = random.Random(7)
    originals = list(files())
    loaded = 0
    for i in range(600):
        data = mutated(originals[i % len(originals)], choose)
        try:
            model = modelport_pmml.load(data, {"altered": True})
            if model.vectors is not None:
                model.run(model.vectors.inputs)
            loaded += 1
        except ModelportError:
            continue
    assert 10 < loaded < 590
