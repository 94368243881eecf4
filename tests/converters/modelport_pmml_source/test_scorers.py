"""PMML files of other producers' shapes: the graph answers what JPMML-Evaluator answers, and refuses what it refuses."""

from __future__ import annotations

from typing import Any

import modelport_pmml_source
import numpy as np
import pandas as pd
import pytest
from modelport_pmml.reader import to_graph
from modelport_pmml_source.scoring import Asked

import modelport
from modelport.errors import ArtifactError, InputError, Mismatch, MissingDependency, UsageError
from modelport.run import Evaluator
from tests.converters.modelport_pmml_source.files import (
    FILES,
    File,
    X,
    Z,
    apply,
    constant,
    document,
    expression,
    feeds_of,
    line,
    number,
    segment,
)

#: files that JPMML-Evaluator does not read
UNREAD = {"svm-coefficients"}
ASKED = [pytest.param(f, id=f.name, marks=pytest.mark.xdist_group("jpmml")) for f in FILES if f.name not in UNREAD]


def asked(file: File, need: Any) -> Asked:
    try:
        return Asked("jpmml", modelport_pmml_source.load_file(file.data))
    except MissingDependency as error:
        need("jpmml", str(error))
        raise


def same(ours: Any, theirs: Any) -> bool:
    """Equal cells: numbers to 1e-12 of their size, at least of 1."""
    if ours is None or theirs is None or isinstance(ours, (str, bool)):
        return bool(ours == theirs)
    if np.isnan(theirs):
        return bool(np.isnan(ours))
    return bool(ours == theirs or abs(ours - theirs) <= 1e-12 * max(1.0, abs(theirs)))


@pytest.mark.parametrize("file", ASKED)
def test_answers_are_the_scorers(file: File, need) -> None:  # type: ignore[no-untyped-def]
    original = asked(file, need)
    model = modelport_pmml_source.load_file(file.data)
    ours = Evaluator(to_graph(model.root, model.carried))
    feeds = feeds_of(file.rows)
    told = np.flatnonzero(~original.undecided(feeds))
    assert told.size >= 2
    feeds = {k: v[told] for k, v in feeds.items()}
    theirs, got = original.answer(feeds), ours.run(feeds)
    assert set(got) == set(theirs)
    for name, column in theirs.items():
        for i, (mine, wanted) in enumerate(zip(got[name].ravel().tolist(), column.ravel().tolist(), strict=True)):
            assert same(mine, wanted), f"{name}, row {i}: {mine!r} instead of {wanted!r}"
    refused = feeds_of(file.refused)
    for i in range(len(next(iter(refused.values()), ()))):
        row = {k: v[i : i + 1] for k, v in refused.items()}
        with pytest.raises(ValueError):
            original.answer(row)
        with pytest.raises(InputError):
            ours.run(row)


WHOLE = (
    *("interval-as-value", "word-missing", "tree-surrogate-defaultChild-returnNullPrediction", "glm-classes", "first-classes"),
    *("clusters-cityBlock-2", "neighbors-weightedAverage", "bayes", "svm-OneAgainstAll", "scorecard", "expression-ln-partial"),
)


@pytest.mark.xdist_group("jpmml")
@pytest.mark.parametrize("name", WHOLE)
def test_a_conversion_asks_the_scorer_on_boundary_rows(name: str, need) -> None:  # type: ignore[no-untyped-def]
    file = next(f for f in FILES if f.name == name)
    asked(file, need)
    model = modelport_pmml_source.load_file(file.data)
    rows = pd.DataFrame(
        {k: pd.Series(v, dtype=object if None in v or isinstance(v[0], str) else float) for k, v in file.rows.items()}
    )
    report = modelport.convert(model, "json", sample=rows, scorer="jpmml").report
    assert report is not None
    assert report.passed
    assert report.rows > len(rows)


@pytest.mark.xdist_group("jpmml")
def test_a_scorer_that_parts_from_the_graph_stops_the_conversion(need, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    file = next(f for f in FILES if f.name == "replaced")
    asked(file, need)
    answer = Asked.answer
    monkeypatch.setattr(Asked, "answer", lambda self, feeds: {k: v + 1e-6 for k, v in answer(self, feeds).items()})
    with pytest.raises(Mismatch, match="graph read from the model"):
        modelport.convert(modelport_pmml_source.load_file(file.data), "json", sample=file.rows, scorer="jpmml")


@pytest.mark.xdist_group("jpmml")
def test_answers_that_are_too_few_are_no_answers(need) -> None:  # type: ignore[no-untyped-def]
    """A segment without the model's target: JPMML-Evaluator then drops rows."""
    bare = line(1, 2).replace('<MiningField name="y" usageType="target"/>', "")
    body = f'<Segmentation multipleModelMethod="selectFirst">{segment(bare)}</Segmentation>'
    schema = '<MiningSchema><MiningField name="x"/><MiningField name="y" usageType="target"/></MiningSchema>'
    data = document(number("x") + number("y"), f'<MiningModel functionName="regression">{schema}{body}</MiningModel>')
    with pytest.raises(ArtifactError, match="answers for 2 rows"):
        asked(File("bare", data, {}), need).answer({"x": np.array([[1.0], [2.0]])})


def test_an_unknown_scorer_is_named() -> None:
    with pytest.raises(UsageError, match=r"'other'.*jpmml, pypmml"):
        Asked("other", modelport_pmml_source.load_file(FILES[0].data))


@pytest.mark.xdist_group("pypmml")
def test_pypmml_answers_the_output_fields_only(need) -> None:  # type: ignore[no-untyped-def]
    file = next(f for f in FILES if f.name == "two-classes-logit")
    try:
        report = modelport.convert(
            modelport_pmml_source.load_file(file.data), "json", sample={"x": file.rows["x"]}, scorer="pypmml"
        ).report
    except MissingDependency as error:
        need("pypmml", str(error))
        raise
    assert report is not None
    assert report.passed
    assert any("'y'" in note for note in report.notes)


@pytest.mark.xdist_group("jpmml")
@pytest.mark.parametrize("body", ["sqrt", "ln", "log10", "/"])
def test_what_has_no_result_is_refused_where_it_is_evaluated(body: str, need) -> None:  # type: ignore[no-untyped-def]
    partial = apply(body, X) if body != "/" else apply("/", X, Z)
    rows = {"x": [-1.0, 4.0, -1.0, 0.0], "z": [0.0, 2.0, 1.0, 0.0], "s": ["a", "b", "a", "a"]}
    for expression_ in (partial, apply("if", apply("greaterThan", X, constant(0)), partial, constant(-7))):
        file = File("partial", expression(expression_), rows)
        original = asked(file, need)
        model = modelport_pmml_source.load_file(file.data)
        ours = Evaluator(to_graph(model.root, model.carried))
        for i, feeds in enumerate({k: v[i : i + 1] for k, v in feeds_of(rows).items()} for i in range(4)):
            told = [True, True]
            for k, ask in enumerate((original.answer, ours.run)):
                try:
                    ask(feeds)
                except (ValueError, InputError):
                    told[k] = False
            assert told[0] == told[1], f"row {i} of {body}"
            assert told[1] or expression_ is partial
