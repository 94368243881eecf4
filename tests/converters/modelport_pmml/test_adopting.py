"""Files of others as artifacts: what is written into them, and what is refused. Expected answers follow from the coefficients."""

from __future__ import annotations

import modelport_pmml
import numpy as np
import pytest

from modelport.document import Document, Tolerance, Vectors
from modelport.errors import ArtifactError, InputError, Unsupported
from modelport.graph import Input, Output
from modelport.reading import placeholder

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<PMML xmlns="http://www.dmg.org/PMML-4_4" version="4.4">'
NUMBER = '<DataField name="{}" optype="continuous" dataType="double"/>'
TABLE = '<RegressionTable intercept="1"><NumericPredictor name="a" coefficient="2"/></RegressionTable>'
#: 1 + 2 a, in two spellings; the column "b >" is not read
PLAIN = (
    f'{HEAD}<Header/><DataDictionary numberOfFields="2">{NUMBER.format("a")}{NUMBER.format("y")}</DataDictionary>'
    '<RegressionModel functionName="regression"><MiningSchema><MiningField name="y" usageType="target"/>'
    f"<MiningField name='a'/></MiningSchema>{TABLE}</RegressionModel></PMML>"
)
OTHER = (
    f'{HEAD}<Header description="1 &gt; 0 >"><Application name="x"/></Header>'
    f"<DataDictionary>{NUMBER.format('a')}{NUMBER.format('y')}</DataDictionary>"
    '<RegressionModel functionName="regression" ><MiningSchema><MiningField name="y" usageType="target"/>'
    '<MiningField missingValueTreatment="asIs" name="a" /></MiningSchema>'
    '<Output><OutputField name="prediction" optype="continuous" dataType="double" feature="predictedValue"/></Output>'
    f"{TABLE}</RegressionModel></PMML>"
)
ROWS = np.array([[1.0, 5.0], [-2.0, 7.0]])


def asked(missing: str = "error", **output: object) -> Document:
    """A document that takes columns a and "b >" and gives 1 + 2 a."""
    said = {"name": "prediction", "dtype": "f64", "role": "prediction", "classes": None, **output}
    outputs = [Output(said["name"], "answered", said["dtype"], said["role"], said["classes"])]  # type: ignore[arg-type]
    shape = () if said["classes"] is None else (len(said["classes"]),)  # type: ignore[arg-type]
    graph = placeholder([Input("X", "f64", (2,), missing, ("a", "b >"))], outputs, {said["name"]: shape})  # type: ignore[dict-item]
    if shape:
        return Document(graph)
    vectors = Vectors(
        {"X": ROWS}, {"prediction": 1.0 + 2.0 * ROWS[:, 0]}, {"prediction": Tolerance()}, "synthetic", ("grid", "plain")
    )
    return Document(graph, vectors, {"backend": "somebody 1.0"})


@pytest.mark.parametrize("text", [PLAIN, OTHER], ids=["plain", "other"])
def test_a_foreign_file_becomes_an_artifact(text: str) -> None:
    data = modelport_pmml.adopt(text.encode(), asked(), {})
    loaded = modelport_pmml.load(data)
    assert [(v.name, v.shape, v.missing, v.features) for v in loaded.inputs] == [("X", (2,), "error", ("a", "b >"))]
    assert loaded.run({"X": ROWS})["prediction"].tolist() == [3.0, -3.0]
    assert loaded.vectors is not None
    np.testing.assert_array_equal(loaded.vectors.inputs["X"], ROWS)
    assert loaded.provenance == {"backend": "somebody 1.0"}
    with pytest.raises(InputError, match="missing value"):
        loaded.run({"X": np.array([[np.nan, 1.0]])})
    assert data == modelport_pmml.adopt(text.encode(), asked(), {}), "the same bytes again"


def test_what_is_added_stands_where_the_schema_wants_it() -> None:
    text = modelport_pmml.adopt(PLAIN.encode(), asked(), {}).decode()
    order = [
        "<Header>",
        "<DataDictionary",
        "<RegressionModel",
        "<MiningSchema>",
        "<Output>",
        "<RegressionTable",
        "<ModelVerification",
    ]
    assert [text.index(tag) for tag in order] == sorted(text.index(tag) for tag in order)
    assert 'numberOfFields="3"' in text
    assert text.count('missingValueTreatment="returnInvalid"') == 2
    assert '<DataField name="b &gt;" ' in text
    assert TABLE in text, "the model itself stays as it is"


def test_a_changed_file_is_refused() -> None:
    data = modelport_pmml.adopt(PLAIN.encode(), asked(), {})
    with pytest.raises(ArtifactError, match="changed after it was written"):
        modelport_pmml.load(data.replace(b"<RegressionModel ", b"<RegressionModel  "))


def test_missing_values_stay_accepted_where_the_original_accepts_them() -> None:
    text = modelport_pmml.adopt(PLAIN.encode(), asked("nan"), {}).decode()
    assert "returnInvalid" not in text
    assert np.isnan(modelport_pmml.load(text.encode()).run({"X": np.array([[np.nan, 1.0]])})["prediction"]).all()


@pytest.mark.parametrize(
    ("text", "document", "wrong"),
    [
        (f"{HEAD}<Header/><DataDictionary/></PMML>", asked(), "holds no model"),
        (PLAIN.replace('name="a"', 'name="c"').replace("name='a'", "name='c'"), asked(), "reads the field 'c', which the sample"),
        (PLAIN.replace("name='a'", "name='a' missingValueReplacement='0'"), asked(), "replaces missing values of 'a', which"),
        (PLAIN.replace('name="y"', 'name="b &gt;"'), asked(), "has a field 'b >' that is no column of the sample"),
        (PLAIN, asked(name="probability", role="probability", classes=("u", "v")), "no 'probability' of the class 'u'"),
        (PLAIN, asked(name="score", role="score"), "gives no 'score' of 1 columns"),
        (PLAIN.replace("<Header/>", ""), asked(), "not one Header"),
    ],
    ids=["no model", "other field", "replacement", "target", "class", "score", "header"],
)
def test_what_does_not_fit_is_refused_in_one_sentence(text: str, document: Document, wrong: str) -> None:
    with pytest.raises((Unsupported, ArtifactError), match=wrong) as caught:
        modelport_pmml.adopt(text.encode(), document, {})
    assert len(str(caught.value).splitlines()) == 1
