"""The public scorers as consumers: what they need, how rows reach them, what a refusal looks like."""

from __future__ import annotations

import builtins
import sys

import modelport_pmml
import numpy as np
import pytest

from modelport.document import Document, Loaded
from modelport.errors import ArtifactError, InputError, MissingDependency
from modelport.graph import Graph, Input, Output, Step
from tests.converters.modelport_pmml.common import ENGINES, engine, strings, write


def doubled() -> Graph:
    return Graph(
        [Input("x y", "f64", (1,))],
        [Step("scale", ["x y"], "z", {"mul": np.array([2.0])})],
        [Output("z", "z", "f64", "transform")],
    )


@pytest.mark.parametrize(("kind", "module"), [("pypmml", "pypmml"), ("jpmml", "jpmml_evaluator")])
def test_a_missing_package_is_named(kind: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without(name: str, *rest, **more):  # type: ignore[no-untyped-def]
        if name.partition(".")[0] == module:
            raise ImportError(name)
        return original(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependency, match=f"{module}.*pip install"):
        modelport_pmml.CONSUMERS[kind](modelport_pmml.write(Document(doubled())))


@pytest.mark.parametrize("kind", ENGINES[1:])
def test_missing_java_is_named(kind: str, monkeypatch: pytest.MonkeyPatch, need) -> None:  # type: ignore[no-untyped-def]
    engine(kind, modelport_pmml.write(Document(doubled())), need)
    monkeypatch.setattr("shutil.which", lambda *_: None)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(MissingDependency, match="needs Java"):
        modelport_pmml.CONSUMERS[kind](modelport_pmml.write(Document(doubled())))


@pytest.mark.parametrize("kind", ENGINES)
def test_the_protocol(kind: str, need) -> None:  # type: ignore[no-untyped-def]
    data = write(doubled(), {"x y": np.array([[1.0]])}, {"z": np.array([[2.0]])})
    loaded = engine(kind, data, need)
    assert isinstance(loaded, Loaded)
    assert [v.name for v in loaded.inputs] == ["x y"]
    assert loaded.vectors is not None
    assert loaded.engine.startswith(kind)
    digits = np.array([[0.1], [1 / 3], [1e-300], [123456789.123456789], [5e-324], [-0.0]])
    assert np.array_equal(loaded.run({"x y": digits})["z"], digits * 2)
    assert loaded.run({"x y": np.zeros((0, 1))})["z"].shape == (0, 1)
    with pytest.raises(InputError, match="'x y'"):
        loaded.run({})


@pytest.mark.parametrize("kind", ENGINES)
def test_unknown_strings_are_refused_or_unanswered(kind: str, need) -> None:  # type: ignore[no-untyped-def]
    table = {"keys": strings("a", "b"), "values": np.array([1.0, 2.0])}
    graph = Graph([Input("s", "str", (1,))], [Step("lookup", ["s"], "code", table)], [Output("y", "code", "f64", "transform")])
    known = strings("a", "b")[:, None]
    loaded = engine(kind, write(graph, {"s": known}, {"y": np.array([[1.0], [2.0]])}), need)
    assert loaded.run({"s": known})["y"].tolist() == [[1.0], [2.0]]
    unknown = {"s": strings("c")[:, None]}
    if kind == "pypmml":
        assert np.isnan(loaded.run(unknown)["y"]).all()
        return
    with pytest.raises(InputError, match="Row 0"):
        loaded.run(unknown)


@pytest.mark.parametrize("kind", ENGINES[1:])
def test_a_file_that_the_scorer_cannot_read(kind: str, need) -> None:  # type: ignore[no-untyped-def]
    data = modelport_pmml.write(Document(doubled()))
    engine(kind, data, need)
    broken = data.replace(b'functionName="regression"', b'functionName="nonsense"')
    with pytest.raises((ArtifactError, InputError)):
        modelport_pmml.CONSUMERS[kind](broken).run({"x y": np.array([[1.0]])})


def test_importing_the_package_is_cheap() -> None:
    import subprocess

    heavy = ("pypmml", "jpype", "xml.parsers.expat", "modelport_pmml.reader")
    code = f"import sys, modelport_pmml; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
    assert done.stdout.strip() == "[]"
