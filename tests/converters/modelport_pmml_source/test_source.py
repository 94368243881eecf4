"""PMML files as a source: what proves them, what is refused, and the same answers in every stub."""

from __future__ import annotations

import json
import re
from pathlib import Path

import modelport_pmml_source
import numpy as np
import pytest

import modelport
from modelport.cli import main
from modelport.errors import ArtifactError, InputError, Mismatch, Refused, Unsupported, UsageError
from modelport.stubs import stubs, toolchain_problem
from tests.converters.modelport_pmml.common import document, number_field, schema
from tests.converters.modelport_pmml_source.files import FILES, field_file, mining, number

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures" / "pmml"
CARRIED = sorted(FIXTURES.glob("*.pmml"))


def verified(data: bytes, rows: list[tuple[float, float]], more: str = "") -> bytes:
    """A file of x and y with a ModelVerification."""
    cells = "".join(f"<row><a>{x!r}</a><b>{y!r}</b></row>" for x, y in rows)
    proof = (
        '<ModelVerification><VerificationFields><VerificationField field="x" column="a"/>'
        f'<VerificationField field="y" column="b"{more}/></VerificationFields>'
        f"<InlineTable>{cells}</InlineTable></ModelVerification>"
    )
    return data.replace(b"</RegressionModel>", f"{proof}</RegressionModel>".encode())


PLAIN = field_file(number("x"), mining("x"))  # y = 1 + 2 x
PROVEN = verified(PLAIN, [(1.0, 3.0), (-2.0, -3.0)])


@pytest.mark.parametrize("path", [pytest.param(p, id=p.stem) for p in CARRIED])
def test_the_files_prove_themselves(path: Path) -> None:
    for target in ("json", "onnx") if path.stem[0] in "wsb" else ("json",):
        artifact = modelport.convert(path, target)
        assert artifact.report is not None
        assert artifact.report.passed
        carried = modelport.load(artifact).vectors
        assert carried is not None
        assert len(carried) == int(re.findall(r'recordCount="(\d+)" fieldCount', path.read_text(encoding="utf-8"))[0])


def test_there_are_files() -> None:
    assert len(CARRIED) > 40


@pytest.mark.parametrize(
    "stub", [pytest.param(s, id=s.name, marks=pytest.mark.xdist_group(s.name)) for s in stubs() if s.format == "json"]
)
def test_they_run_in_every_stub(stub, tmp_path: Path, need) -> None:  # type: ignore[no-untyped-def]
    problem = toolchain_problem(stub)
    if problem is not None:
        need(stub.name, problem)
    for name in (
        "scorecard",
        "tree-words-returnNullPrediction",
        "glm-classes",
        "expression-pairs-map",
        "neighbors-weightedAverage",
    ):
        artifact = modelport.convert(FIXTURES / f"{name}.pmml", "json")
        report = modelport.verify(artifact, with_=stub.name)
        assert report.passed, f"{name}: {report}"


def test_a_changed_coefficient_is_a_mismatch(tmp_path: Path) -> None:
    changed = PROVEN.replace(b'coefficient="2"', b'coefficient="2.0001"')
    path = tmp_path / "model.pmml"
    path.write_bytes(changed)
    with pytest.raises(Mismatch, match=r"own ModelVerification.*'y'.*row 1"):
        modelport.convert(path, "json")
    with pytest.raises(Mismatch, match="own ModelVerification"):
        modelport.convert(path, "json", sample={"x": [1.0]}, answers={"y": [3.0002]})


def test_the_stated_precision_counts() -> None:
    near = verified(PLAIN, [(1.0, 3.0001)], ' precision="1e-3"')
    vectors = modelport.load(modelport.convert(modelport_pmml_source.load_file(near), "json")).vectors
    assert vectors is not None
    assert vectors.tolerance["y"].rtol == 1e-3
    with pytest.raises(Mismatch):
        modelport.convert(modelport_pmml_source.load_file(verified(PLAIN, [(1.0, 3.0001)], ' precision="1e-6"')), "json")
    for more in (' precision="2"', ' zeroThreshold="-1"', ' precision="nan"'):
        with pytest.raises(ArtifactError, match="precision"):
            modelport.convert(modelport_pmml_source.load_file(verified(PLAIN, [(1.0, 3.0)], more)), "json")


def test_a_refused_row_of_the_table_is_a_mismatch() -> None:
    strict = PROVEN.replace(b'<MiningField name="x"/>', b'<MiningField name="x" missingValueTreatment="returnInvalid"/>')
    strict = strict.replace(b"<row><a>1.0</a>", b"<row>")
    with pytest.raises(Mismatch, match="refuses a row of the file's own"):
        modelport.convert(modelport_pmml_source.load_file(strict), "json")


def test_without_anything_that_proves_it_a_file_is_refused() -> None:
    model = modelport_pmml_source.load_file(PLAIN)
    with pytest.raises(Refused, match=r"no ModelVerification.*--answers FILE.*--scorer jpmml"):
        modelport.convert(model, "json", sample={"x": [1.0]})
    with pytest.raises(UsageError, match="sample"):
        modelport.convert(model, "json")


def test_recorded_answers_are_the_original() -> None:
    model = modelport_pmml_source.load_file(PLAIN)
    rows = {"x": [0.0, 1.5, float("nan")], "unused": ["a", "b", "c"]}
    artifact = modelport.convert(model, "json", sample=rows, answers={"y": [1.0, 4.0, float("nan")]})
    assert artifact.report is not None
    assert artifact.report.rows == 3
    assert any("handed over" in note for note in artifact.report.notes)
    with pytest.raises(Mismatch):
        modelport.convert(model, "json", sample=rows, answers={"y": [1.0, 4.1, float("nan")]})
    for answers, error, said in (
        ({"z": [1, 2, 3]}, UsageError, "'z'.*no output"),
        ({"y": [1.0]}, InputError, "1 answers for 'y'.*3 rows"),
        ({"y": ["a", "b", "c"]}, InputError, "'y'"),
        ({}, UsageError, "answers="),
    ):
        with pytest.raises(error, match=said):
            modelport.convert(model, "json", sample=rows, answers=answers)
    with pytest.raises(UsageError, match="one of them"):
        modelport.convert(model, "json", sample=rows, answers={"y": [1.0, 4.0, 1.0]}, scorer="jpmml")


def test_samples_that_do_not_fit_are_named() -> None:
    model = modelport_pmml_source.load_file(PLAIN)
    with pytest.raises(InputError, match="no column 'x'"):
        modelport.convert(model, "json", sample={"z": [1.0]}, answers={"y": [3.0]})
    with pytest.raises(InputError, match=r"'x'.*holds strings"):
        modelport.convert(model, "json", sample={"x": ["a"]}, answers={"y": [3.0]})
    assert modelport.convert(model, "json", sample=[[1.0]], answers={"y": [3.0]}).report.passed  # type: ignore[union-attr]


def test_outputs_are_kept_by_name() -> None:
    path = FIXTURES / "tree-classes.pmml"
    artifact = modelport.convert(path, "json", keep=["best", "said"])
    assert [o.name for o in modelport.load(artifact).outputs] == ["said", "best"] or {
        o.name for o in modelport.load(artifact).outputs
    } == {"best", "said"}
    with pytest.raises(UsageError, match="'gone'"):
        modelport.convert(path, "json", keep="gone")


def test_an_output_that_cannot_be_read_matters_only_where_it_is_wanted() -> None:
    output = '<Output><OutputField name="why" feature="reasonCode" rank="1" dataType="string" optype="categorical"/></Output>'
    data = PROVEN.replace(b"<RegressionTable", output.encode() + b"<RegressionTable", 1)
    artifact = modelport.convert(modelport_pmml_source.load_file(data), "json")
    assert [o.name for o in modelport.load(artifact).outputs] == ["y"]
    assert any("'why'" in note for note in artifact.report.notes)  # type: ignore[union-attr]
    model = modelport_pmml_source.load_file(data)
    with pytest.raises(Unsupported, match=r"'why'.*reasonCode"):
        modelport.convert(model, "json", sample={"x": [1.0]}, answers={"y": [3.0], "why": ["a"]})


def test_files_of_our_own_carry_their_rows(iris, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    X, _, model = iris
    modelport.convert(model, tmp_path / "iris.pmml", sample=X)
    artifact = modelport.convert(tmp_path / "iris.pmml", "json")
    predictor = modelport.load(artifact)
    assert predictor.predict(X)["label"].tolist() == model.predict(X).tolist()
    assert predictor.inputs[0].features == tuple(X.columns)
    assert predictor.provenance["read from"] == "pmml"


def test_an_artifact_is_verified_against_its_source(tmp_path: Path) -> None:
    (tmp_path / "model.pmml").write_bytes(PROVEN)
    artifact = modelport.convert(tmp_path / "model.pmml", "json")
    assert modelport.verify(artifact, model=modelport_pmml_source.load_file(PROVEN)).passed
    other = modelport_pmml_source.load_file(verified(PLAIN.replace(b'"1"', b'"5"'), [(1.0, 7.0)]))
    assert not modelport.verify(artifact, model=other).passed


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("model.pmml").write_bytes(PROVEN)
    assert main(["convert", "model.pmml", "--to", "json", "--to", "onnx"]) == 0
    Path("rows.csv").write_text("x\n4\n")
    capsys.readouterr()
    for path in ("model.json", "model.onnx", "model.pmml"):
        assert main(["predict", path, "rows.csv"]) == 0
        assert capsys.readouterr().out.splitlines() == ["y", "9.0"]
    Path("bare.pmml").write_bytes(PLAIN)
    assert main(["convert", "bare.pmml", "--to", "json"]) == 64
    assert "--sample FILE" in capsys.readouterr().err
    Path("answers.csv").write_text("y\n9\n")
    assert main(["convert", "bare.pmml", "--to", "json", "--sample", "rows.csv", "--answers", "answers.csv"]) == 0
    assert json.loads(Path("bare.json").read_text())["verification"]["inputs"]["x"] == [[4]]
    Path("wrong.csv").write_text("y\n9.5\n")
    assert main(["convert", "bare.pmml", "--to", "json", "--sample", "rows.csv", "--answers", "wrong.csv"]) == 1


def test_strings_of_a_csv_file_stay_strings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fields = '<DataField name="s" optype="categorical" dataType="string"><Value value="01"/><Value value="NA"/></DataField>'
    table = '<RegressionTable intercept="1"><CategoricalPredictor name="s" value="01" coefficient="2"/></RegressionTable>'
    model = f'<RegressionModel functionName="regression">{schema("s", target="y")}{table}</RegressionModel>'
    Path("model.pmml").write_bytes(document(fields + number_field("y"), model))
    Path("rows.csv").write_text("s\n01\nNA\n")
    Path("answers.csv").write_text("y\n3\n1\n")
    assert main(["convert", "model.pmml", "--to", "json", "--sample", "rows.csv", "--answers", "answers.csv"]) == 0


BOMB = '<!DOCTYPE PMML [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
HOSTILE = {
    "entities": (BOMB.encode() + PROVEN.replace(b"<Header/>", b"<Header><Annotation>&b;</Annotation></Header>"), "DOCTYPE"),
    "external": (b'<!DOCTYPE PMML SYSTEM "http://example.com/x.dtd">' + PROVEN, "DOCTYPE"),
    "file": (b'<!DOCTYPE PMML [<!ENTITY x SYSTEM "file:passwd">]>' + PROVEN, "DOCTYPE"),
    "undefined entity": (PROVEN.replace(b"<Header/>", b"<Header>&nothing;</Header>"), "well-formed"),
    "cut": (PROVEN[: len(PROVEN) // 2], "well-formed"),
    "deep": (PROVEN.replace(b"<Header/>", b"<Header>" + b"<a>" * 200 + b"</a>" * 200 + b"</Header>"), "deeper"),
    "attributes": (
        PROVEN.replace(b"<Header/>", b"<Header " + b" ".join(b'a%d="1"' % i for i in range(5000)) + b"/>"),
        "attributes",
    ),
    "long attribute": (PROVEN.replace(b"<Header/>", b'<Header copyright="' + b"x" * (1 << 21) + b'"/>'), "attribute"),
    "encoding": (b'<?xml version="1.0" encoding="x-odd"?>' + PROVEN, "encoding|well-formed"),
    "no model": (document(number_field("x"), ""), "no model"),
    "two roots": (PROVEN + PROVEN, "well-formed"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused(name: str, tmp_path: Path) -> None:
    data, said = HOSTILE[name]
    path = tmp_path / "model.pmml"
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match=said):
        modelport.convert(path, "json")


def test_mutations_are_refused_or_answer_as_the_table_says(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    base = (FIXTURES / "scorecard.pmml").read_bytes()
    refused = 0
    for _ in range(40):
        data = bytearray(base)
        at = int(rng.integers(len(data)))
        how = rng.integers(3)
        if how == 0:
            data[at] = int(rng.integers(32, 127))
        elif how == 1:
            del data[at : at + int(rng.integers(1, 60))]
        else:
            data[at:at] = data[at : at + int(rng.integers(1, 60))]
        try:
            artifact = modelport.convert(modelport_pmml_source.load_file(bytes(data)), "json")
        except (Refused, Mismatch, Unsupported, UsageError):
            refused += 1
            continue
        assert artifact.report is not None
        assert artifact.report.passed
    assert refused > 15


def test_svm_coefficients_are_one_plane() -> None:
    file = next(f for f in FILES if f.name == "svm-coefficients")
    answers = [0.7 + 1.5 * x - 2.0 * z for x, z in zip(file.rows["x"], file.rows["z"], strict=True)]
    model = modelport_pmml_source.load_file(file.data)
    assert modelport.convert(model, "json", sample=file.rows, answers={"y": answers}).report.passed  # type: ignore[union-attr]


def test_what_is_refused_is_named() -> None:
    base = PROVEN.decode()
    cases = [
        (base.replace('name="x"/>', 'name="x" outliers="asExtremeValues"/>', 1), "outliers='asExtremeValues'"),
        (base.replace('name="x"/>', 'name="x" invalidValueTreatment="odd"/>', 1), "invalidValueTreatment='odd'"),
        (base.replace('name="x"/>', 'name="x" missingValueTreatment="odd"/>', 1), "missingValueTreatment='odd'"),
        (base.replace('functionName="regression"', 'functionName="regression" normalizationMethod="odd"'), "odd"),
        (re.sub("RegressionModel", "TimeSeriesModel", base), "TimeSeriesModel"),
    ]
    for text, said in cases:
        with pytest.raises(Unsupported, match=said):
            modelport.convert(modelport_pmml_source.load_file(text.encode()), "json")
