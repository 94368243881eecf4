"""The pytest plugin, as users run it: fixture, mark, baselines, reports, workers - and what it costs who does not use it."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from importlib.metadata import entry_points
from pathlib import Path

import languages
import pytest

import modelport

pytest_plugins = ["pytester"]
ROOT = Path(__file__).resolve().parent.parent
#: consumers of JSON that cannot run where the programs they need are missing
NOT_RUN = len(languages.FOREIGN)
ENTRY = "[pytest11]\nmodelport = modelport.testing.plugin\n"
MODEL = """
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

def iris(C=1.0):
    X, y = load_iris(return_X_y=True, as_frame=True)
    return make_pipeline(StandardScaler(), LogisticRegression(C=C)).fit(X, y), X
"""


@pytest.fixture(scope="session")
def entry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for sys.path that holds our entry point, where the installed modelport does not have it."""
    folder = tmp_path_factory.mktemp("entry")
    if not any(found.value == "modelport.testing.plugin" for found in entry_points(group="pytest11")):
        info = folder / "modelport_entry-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: modelport_entry\nVersion: 1\n", encoding="utf-8")
        (info / "entry_points.txt").write_text(ENTRY, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def warm(iris) -> None:  # type: ignore[no-untyped-def]
    """Everything a run imports is imported: pytester forgets what was imported inside."""
    importlib.import_module("modelport.testing.parity")
    artifact = modelport.convert(iris[2], "json", sample=iris[0])
    modelport.verify(artifact, model=iris[2], sample=iris[0], with_="all")


@pytest.fixture
def user(pytester: pytest.Pytester, entry: Path, warm: None, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A user's folder; only the python stub is there beside our own engine."""
    monkeypatch.syspath_prepend(str(entry))
    for variable in languages.VARIABLES:
        monkeypatch.setenv(variable, "no-such-program")
    for name in ("MODELPORT_REQUIRE", "GITHUB_STEP_SUMMARY", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    pytester.makeini("[pytest]\naddopts = --strict-markers -p no:cacheprovider\n")
    return pytester


def run(user: pytest.Pytester, code: str, *arguments: str) -> pytest.RunResult:
    user.makepyfile(test_iris=f"{MODEL}\n{code}")
    return user.runpytest_inprocess("-rs", *arguments)


def said(result: pytest.RunResult) -> str:
    return "\n".join(result.outlines)


MARKED = """
calls = []

@pytest.mark.parity("json")
def test_iris():
    calls.append(1)
    return iris()

def test_trained_once():
    assert len(calls) == 1
"""


def test_the_entry_point_is_declared() -> None:
    assert '[project.entry-points.pytest11]\nmodelport = "modelport.testing.plugin"\n' in (ROOT / "pyproject.toml").read_text()


def test_the_mark_makes_a_test_per_consumer(user: pytest.Pytester) -> None:
    result = run(user, MARKED, "-v")
    result.assert_outcomes(passed=3, skipped=NOT_RUN)
    found = set(re.findall(r"test_iris\[([\w-]+)\] (\w+)", said(result)))
    assert found == {
        ("json-modelport", "PASSED"),
        ("json-python", "PASSED"),
        *((f"json-{name}", "SKIPPED") for name in languages.FOREIGN),
    }
    result.stdout.fnmatch_lines(["SKIPPED * test_iris.py:*: c: The c stub needs 'cc'*", "*"])
    result.stdout.fnmatch_lines([f"parity: 3 passed, {NOT_RUN} not run", "not run: c: The c stub needs*"])


def test_what_is_required_and_missing_fails(user: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELPORT_REQUIRE", "c,python")
    result = run(user, MARKED)
    result.assert_outcomes(passed=3, skipped=NOT_RUN - 1, failed=1)
    result.stdout.fnmatch_lines(["c is required here (MODELPORT_REQUIRE), but: The c stub needs 'cc'*"])


def test_the_mark_with_fixtures_parameters_and_classes(user: pytest.Pytester) -> None:
    code = """
@pytest.fixture
def C():
    return 0.5

@pytest.mark.parity("json", consumers=["modelport"])
@pytest.mark.parametrize("k", [1.0, 2.0])
class TestIris:
    def test_iris(self, C, k, tmp_path):
        return iris(C * k)
"""
    result = run(user, code, "-v")
    result.assert_outcomes(passed=2)
    assert len(set(re.findall(r"TestIris::test_iris\[([\w.-]+)\] PASSED", said(result)))) == 2


def test_a_failure_is_the_report(user: pytest.Pytester) -> None:
    code = """
@pytest.mark.parity("json", consumers=["python"], tolerance={"probability": 1e-15})
def test_iris():
    return iris()

def test_fixture(parity):
    model, X = iris()
    reports = parity(model, sample=X).to("json")
    assert [c.consumer.split()[0] for c in reports[0].consumers][:2] == ["numpy", "python"]
    assert list(reports[0].not_run) == FOREIGN
    parity(model, sample=X).to("json", consumers=["python"], tolerance={"probability": 1e-15})
""".replace("FOREIGN", repr(languages.FOREIGN))
    result = run(user, code)
    result.assert_outcomes(failed=2)
    text = said(result)
    assert text.count("FAILED  json against the model, ") == 2
    assert text.count("allows 2e-12 where the bound set for it allows 1e-15") == 2
    assert "Traceback" not in text
    assert "hidden" not in text
    assert "During handling" not in text
    assert "parity.py" not in text


UNHEARD = [
    ("@pytest.mark.parity()\ndef test_a():\n    return iris()", "The mark names no format"),
    ("@pytest.mark.parity(['json'])\ndef test_a():\n    return iris()", "The mark names no format"),
    ("@pytest.mark.parity('json', consumers=3)\ndef test_a():\n    return iris()", "consumers=3 is not understood"),
    ("def test_a(parity):\n    parity(*iris()[:1], sample=iris()[1]).to(['json'])", "names no format"),
    ("@pytest.mark.parity('jsn')\ndef test_a():\n    return iris()", "There is no writer called 'jsn'"),
    ("@pytest.mark.parity('json', consumers=['pyton'])\ndef test_a():\n    return iris()", "did you mean 'python'"),
    ("@pytest.mark.parity('json')\ndef test_a():\n    iris()", "test_a returned NoneType; with the mark 'parity' a function"),
    ("@pytest.mark.parity('json', styl='x')\ndef test_a():\n    return iris()", "json has no option 'styl'"),
    ("@pytest.mark.parity('json')\ndef test_a():\n    return iris()[0], None", "A sample of what the model is fed is needed"),
    ("@pytest.mark.parity('json')\ndef test_a():\n    1 / 0", "ZeroDivisionError"),
    (
        "import unittest\nclass TestA(unittest.TestCase):\n    @pytest.mark.parity('json')\n    def test_a(self):\n"
        "        return iris()",
        "Use the fixture 'parity'",
    ),
    (
        "@pytest.mark.parity('json')\n@pytest.mark.parity('pmml')\ndef test_a():\n    return iris()",
        "test_a has the mark 'parity' more than once",
    ),
    ("def test_a(parity):\n    model, X = iris()\n    parity(model, sample=X)", "alone verifies nothing"),
    (
        "def test_a(parity):\n    for format in []:\n        parity(*iris()).to(format)",
        "asks for the fixture 'parity' and verifies",
    ),
    ("def test_a(parity):\n    model, X = iris()\n    parity(model, sample=X).to()", "names no format"),
    (
        "def test_a(parity, monkeypatch):\n    from modelport.testing import parity as module\n"
        "    from modelport.verify import Report\n"
        "    monkeypatch.setattr(module.Prepared, 'report', lambda self, names: Report('json', 'nothing at all', 0, ()))\n"
        "    parity(*iris()[:1], sample=iris()[1]).to('json')",
        "json against nothing at all, 0 rows",
    ),
    ("def test_a(parity):\n    parity(3, sample=[[1.0]]).to('json')", "UnsupportedModel: No reader knows"),
    ("def test_a(parity):\n    parity.baseline('nowhere.json')", "There is no baseline 'nowhere.json': run pytest"),
]


def test_nothing_passes_unheard(user: pytest.Pytester) -> None:
    user.makepyfile(**{f"test_{number}": f"{MODEL}\n{code}" for number, (code, _) in enumerate(UNHEARD)})
    result = user.runpytest_inprocess("-rfE", "--continue-on-collection-errors")
    text = said(result)
    for number, (_, words) in enumerate(UNHEARD):
        assert re.search(rf"^(FAILED|ERROR) test_{number}\.py", text, re.MULTILINE), number
        assert words in text
    assert "INTERNALERROR" not in text


def test_a_test_that_skips_or_marks_need_not_call_the_fixture(user: pytest.Pytester) -> None:
    code = """
def test_skips(parity):
    pytest.skip("no data here")

@pytest.mark.parity("json", consumers=["modelport"])
def test_marked(parity):
    return iris()

@pytest.mark.parity("json", consumers=["modelport"])
class TestNearest:
    @pytest.mark.parity("pmml", consumers=["modelport"])
    def test_one(self):
        return iris()
"""
    result = run(user, code, "-v")
    result.assert_outcomes(passed=2, skipped=1)
    assert "test_one[pmml-modelport] PASSED" in said(result)


BASELINE = """
from pathlib import Path

def test_baseline(parity):
    model, X = iris({C})
    parity.baseline("models/iris.json", model=model, sample=X, consumers=["modelport"])

def test_alone(parity):
    assert parity.baseline("models/iris.json", consumers="modelport").source == "the vectors it carries"
"""


def test_a_baseline_is_written_when_asked_and_held_ever_after(user: pytest.Pytester) -> None:
    path = user.path / "models" / "iris.json"
    run(user, BASELINE.format(C=1.0)).assert_outcomes(failed=2)
    assert not path.exists()
    result = run(user, BASELINE.format(C=1.0), "--modelport-update")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["written: models/iris.json (commit it)"])
    before = path.read_bytes()
    run(user, BASELINE.format(C=1.0), "--modelport-update").assert_outcomes(passed=2)
    assert path.read_bytes() == before, "what passes is left as it is"
    run(user, BASELINE.format(C=1.0)).assert_outcomes(passed=2)

    result = run(user, BASELINE.format(C=0.5))
    result.assert_outcomes(passed=1, failed=1)
    assert "the model is another than the one it was made from: it was fitted again" in said(result)
    assert path.read_bytes() == before

    text = path.read_text(encoding="utf-8")
    start = text.index('"weight":[[') + len('"weight":[[')
    path.write_text(f"{text[:start]}-0.5{text[text.index(',', start) :]}", encoding="utf-8")
    result = run(user, BASELINE.format(C=1.0))
    result.assert_outcomes(failed=2)
    assert said(result).count("the file was changed, or what runs it answers otherwise now") == 2
    assert "first step that diverges: 'score' (linear)" in said(result)
    run(user, BASELINE.format(C=1.0), "--modelport-update").assert_outcomes(passed=2)


def test_a_damaged_baseline_is_a_sentence_and_is_written_again(user: pytest.Pytester) -> None:
    (user.path / "models").mkdir()
    (user.path / "models" / "iris.json").write_text('{"format": "modelport"', encoding="utf-8")
    result = run(user, BASELINE.format(C=1.0))
    result.assert_outcomes(failed=2)
    assert "The baseline 'models/iris.json' was not verified. ArtifactError: " in said(result)
    run(user, BASELINE.format(C=1.0), "--modelport-update").assert_outcomes(passed=2)


def test_names_of_others_cannot_inject_anything(user: pytest.Pytester, iris) -> None:  # type: ignore[no-untyped-def]
    document = json.loads(modelport.convert(iris[2], "json", sample=iris[0]).data)
    hostile = "y\x1b[31m<b>"

    def renamed(value: object) -> object:
        if isinstance(value, dict):
            pairs = {hostile if key == "probability" else key: renamed(each) for key, each in value.items()}
            return {**pairs, "name": hostile} if pairs.get("name") == "probability" else pairs
        return [renamed(each) for each in value] if isinstance(value, list) else value

    (user.path / "iris.json").write_text(json.dumps(renamed(document)), encoding="utf-8")
    code = """
def test_hostile(parity):
    parity.baseline("iris.json", consumers="modelport")

def test_failing(parity):
    parity.baseline("iris.json", consumers="modelport", tolerance={TOLERANCE: 1e-15})
""".replace("TOLERANCE", repr(hostile))
    result = run(user, code, "--junitxml=junit.xml", "--modelport-report=reports")
    result.assert_outcomes(passed=1, failed=1)
    assert "\x1b[31m<b>" not in said(result)
    names = [p.get("name") or "" for p in ET.parse(user.path / "junit.xml").iter("property")]
    assert "modelport.modelport.y\\x1b[31m<b>.max_abs" in names
    pages = [f.read_text(encoding="utf-8") for f in (user.path / "reports").glob("*.md")]
    assert len(pages) == 2
    assert not any("\x1b" in page for page in pages)


def test_reports_and_junit(user: pytest.Pytester) -> None:
    run(user, MARKED, "--modelport-report=reports", "--junitxml=junit.xml").assert_outcomes(passed=3, skipped=NOT_RUN)
    files = sorted((user.path / "reports").iterdir())
    assert [f.suffix for f in files if f.suffix != ".html"] == [".json", ".md"] * 2
    content = json.loads(next(f for f in files if f.suffix == ".json").read_text(encoding="utf-8"))
    assert content["test"] == "test_iris.py::test_iris[json-modelport]"
    assert content["report"]["passed"] is True
    page = next(f for f in files if f.suffix == ".md").read_text(encoding="utf-8")
    assert "| test\\_iris | json | numpy" in page
    cases = {case.get("name"): case for case in ET.parse(user.path / "junit.xml").iter("testcase")}
    properties = {p.get("name"): p.get("value") for p in cases["test_iris[json-python]"].iter("property")}
    assert properties["modelport.format"] == "json"
    assert properties["modelport.framework"].startswith("scikit-learn ")
    assert float(properties["modelport.python.probability.max_abs"]) < 1e-12
    assert properties["modelport.python.label.tolerance"] == "exact"
    assert properties["modelport.python.label.passed"] == "True"


def test_every_artifact_of_a_test_has_files_of_its_own(user: pytest.Pytester) -> None:
    code = """
def test_json_and_pmml(parity):
    model, X = iris()
    parity(model, sample=X).to("json", "pmml", consumers=["python"])
    parity(iris(0.5)[0], sample=X).to("json", consumers=["python"])
    parity(iris(0.1)[0], sample=X).to("json", consumers=["python"])
"""
    run(user, code, "--modelport-report=reports").assert_outcomes(passed=1)
    pages = [json.loads(page.read_text(encoding="utf-8")) for page in (user.path / "reports").glob("*.json")]
    assert sorted(page["report"]["format"] for page in pages) == ["json", "json", "json", "pmml"]


def test_reports_that_cannot_be_written_are_a_sentence(user: pytest.Pytester) -> None:
    (user.path / "reports").write_text("a file", encoding="utf-8")
    code = "def test_a(parity):\n    model, X = iris()\n    parity(model, sample=X).to('json', consumers=['python'])"
    result = run(user, code, "--modelport-report=reports")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["The files of --modelport-report cannot be written into 'reports': File exists."])
    assert "parity.py" not in said(result)


def test_the_job_summary_and_workers(user: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, entry: Path) -> None:
    pytest.importorskip("xdist")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(user.path / "summary.md"))
    monkeypatch.setenv("PYTHONPATH", str(entry), prepend=":")
    code = MARKED.replace("assert len(calls) == 1", "pass")
    user.makepyfile(test_iris=f"{MODEL}\n{code}")
    result = user.runpytest_subprocess("-n", "1", "--dist", "loadgroup")
    result.assert_outcomes(passed=3, skipped=NOT_RUN)
    result.stdout.fnmatch_lines([f"parity: 3 passed, {NOT_RUN} not run"])
    summary = (user.path / "summary.md").read_text(encoding="utf-8")
    assert summary.count("| test\\_iris | json | ") == 3 + NOT_RUN
    assert summary.count(f"## parity: 3 passed, {NOT_RUN} not run") == 1


COST = """
import sys
import pytest
code = pytest.main(["-q", "--collect-only", "-p", "no:cacheprovider", *sys.argv[1:], "test_plain.py"])
loaded = [name for name in ("numpy", "sklearn", "modelport.testing.parity", "modelport.verify") if name in sys.modules]
print("@@", int(code), loaded, "modelport.testing.plugin" in sys.modules)
"""


@pytest.mark.parametrize(("arguments", "plugin"), [([], True), (["-p", "no:modelport"], False)])
def test_who_does_not_use_it_pays_nothing(
    tmp_path: Path, entry: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], plugin: bool
) -> None:
    (tmp_path / "test_plain.py").write_text("def test_plain():\n    pass\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(entry), prepend=":")
    command = [sys.executable, "-c", COST, *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == f"@@ 0 [] {plugin}", done.stdout + done.stderr
