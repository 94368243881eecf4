"""A stranger's package: installed as a user would, found through its entry points, held to the same contract as our own."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
MODEL = """
from toyframework import LinearModel
model = LinearModel([[2.5, -1.0]], [0.25])
X = [[float(i), i * i / 7] for i in range(20)]
"""


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory, need) -> Path:  # type: ignore[no-untyped-def]
    """The folder into which pip installed the toy plugin, without a network."""
    for tool in ("pip", "setuptools"):
        if importlib.util.find_spec(tool) is None:
            need(tool, f"{tool} is not installed, so the toy plugin cannot be")
    source, target = tmp_path_factory.mktemp("source") / "toy", tmp_path_factory.mktemp("installed")
    shutil.copytree(HERE / "thirdparty" / "toy_plugin", source, ignore=shutil.ignore_patterns("__pycache__"))
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(target)]
    done = subprocess.run([sys.executable, "-m", "pip", "install", *options, str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


def environment(*folders: Path) -> dict[str, str]:
    """This process's environment with folders put before the module search path."""
    inherited = [os.path.abspath(p) for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
    path = os.pathsep.join([*map(str, folders), str(ROOT), str(ROOT / "converters"), *inherited])
    return {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


def python(code: str, cwd: Path, *folders: Path) -> str:
    """Standard output of code run in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, env=environment(*folders), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def modelport(arguments: list[str], cwd: Path, *folders: Path) -> subprocess.CompletedProcess[str]:
    """The command line in a fresh interpreter."""
    command = [sys.executable, "-m", "modelport.cli", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment(*folders), capture_output=True, text=True)


def plugin(folder: Path, group: str, entry: str, module: str, code: str) -> Path:
    """A folder for sys.path that holds one installed plugin module."""
    info = folder / f"{module}-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[modelport.{group}]\n{entry} = {module}\n", encoding="utf-8")
    (folder / f"{module}.py").write_text(code, encoding="utf-8")
    return folder


@pytest.fixture
def saved(toy: Path, tmp_path: Path) -> Path:
    """A working folder with house.pkl and rows.csv."""
    python(
        f"{MODEL}\nimport pickle\npickle.dump(model, open('house.pkl', 'wb'))\n"
        "open('rows.csv', 'w').write('area,rooms\\n' + ''.join(f'{a!r},{b!r}\\n' for a, b in X))",
        tmp_path,
        toy,
    )
    return tmp_path


def test_plugins_are_listed(toy: Path, tmp_path: Path) -> None:
    found = json.loads(modelport(["plugins", "--json"], tmp_path, toy).stdout)
    assert found["readers"]["toyframework"] == "modelport_toy.reader"
    assert found["writers"]["toytable"] == "modelport_toy.table"
    assert found["stubs"]["toy"] == "toytable"
    assert {"sklearn"} <= set(found["readers"])
    assert "toy stub" in modelport(["doctor"], tmp_path, toy).stdout


def test_a_foreign_model_becomes_our_format_and_theirs(toy: Path, tmp_path: Path) -> None:
    code = f"""{MODEL}
import json, modelport
results = dict()
for to, consumer in (("json", "python"), ("toytable", "toy")):
    artifact = modelport.convert(model, f"house.{{to}}", sample=X)
    report = modelport.verify(f"house.{{to}}", model=model, sample=X, with_=consumer)
    answers = modelport.load(f"house.{{to}}").predict(X)["prediction"]
    consumers = [c.consumer for c in report.consumers if "carried" not in c.consumer]
    results[to] = [artifact.format, artifact.report.passed, report.passed, consumers,
                   bool(abs(answers - model.predict(X)).max() < 1e-12)]
print(json.dumps(results))
"""
    results = json.loads(python(code, tmp_path, toy))
    assert results["json"][:3] == ["json", True, True]
    assert results["json"][3][1:] == ["python"]
    assert results["toytable"] == ["toytable", True, True, ["toytable", "toy"], True]
    assert (tmp_path / "house.toytable").read_text(encoding="utf-8").startswith("toytable,1\ninput,X,2\n")


PIPELINE = """
import json, modelport, numpy as np
from sklearn.datasets import load_iris
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from toyframework.estimators import Winsorizer
X, y = load_iris(return_X_y=True)
inner = make_pipeline(Winsorizer(0.1, 0.9), LogisticRegression(max_iter=500))
model = make_pipeline(Winsorizer(), VotingClassifier([("inner", inner)])).fit(X, y)
"""


def test_a_foreign_transformer_is_read_inside_scikit_learn_models(toy: Path, tmp_path: Path) -> None:
    code = f"""{PIPELINE}
artifact = modelport.convert(model, "json", sample=X)
ops = [step["op"] for step in modelport.inspect(artifact)["steps"]]
same = (modelport.load(artifact).predict(X * 1.3)["label"] == model.predict(X * 1.3)).all()
print(json.dumps([artifact.report.passed, ops.count("clip"), bool(same)]))
"""
    assert json.loads(python(code, tmp_path, toy)) == [True, 2, True]


def test_without_its_handler_a_foreign_transformer_is_refused(toy: Path, tmp_path: Path) -> None:
    (tmp_path / "framework").mkdir()
    shutil.copytree(toy / "toyframework", tmp_path / "framework" / "toyframework")
    code = f"""{PIPELINE}
try:
    modelport.convert(model, "json", sample=X)
except modelport.ModelportError as error:
    print(type(error).__name__, error)
"""
    said = python(code, tmp_path, tmp_path / "framework")
    assert said.startswith("UnsupportedModel No transformer handler knows toyframework.estimators.Winsorizer")


def test_an_attribute_the_handler_does_not_know_is_refused(toy: Path, tmp_path: Path) -> None:
    code = f"""{PIPELINE}
model[0].offset_ = 1.0
try:
    modelport.convert(model, "json", sample=X)
except modelport.ModelportError as error:
    print(type(error).__name__, error.attribute)
"""
    assert python(code, tmp_path, toy) == "UnsupportedAttribute offset_\n"


def test_a_class_of_ones_own_needs_no_package(tmp_path: Path) -> None:
    code = """
import modelport, modelport_sklearn
import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

class Reverse(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self
    def transform(self, X):
        return X[:, ::-1]

@modelport_sklearn.transforms(Reverse)
def reverse(ledger, builder, table):
    return table.select(range(len(table) - 1, -1, -1))

X = np.array([[1.0, 2.0, 4.0], [3.0, 5.0, 4.5], [7.0, 1.0, 0.5]])
model = make_pipeline(StandardScaler(), Reverse()).fit(X)
artifact = modelport.convert(model, "json", sample=X)
print(artifact.report.passed, (modelport.load(artifact).predict(X)["transformed"] == model.transform(X)).all())

class Wrong(Reverse):
    def transform(self, X):
        return X + 1e-9

try:
    modelport.convert(make_pipeline(StandardScaler(), Wrong()).fit(X), "json", sample=X)
except modelport.ModelportError as error:
    print(type(error).__name__, "overrides Reverse.transform" in str(error))
"""
    assert python(code, tmp_path) == "True True\nUnsupportedModel True\n"


def test_the_command_line_knows_them(saved: Path, toy: Path) -> None:
    arguments = ["convert", "house.pkl", "--sample", "rows.csv", "--trust", "--to", "json", "--to", "toytable"]
    done = modelport(arguments, saved, toy)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("PASSED") == 2
    done = modelport(["verify", "house.toytable", "--with", "toy"], saved, toy)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "toy " in done.stdout
    assert "area, rooms" in modelport(["inspect", "house.toytable"], saved, toy).stdout
    done = modelport(["predict", "house.toytable", "rows.csv"], saved, toy)
    assert done.stdout.splitlines()[:2] == ["prediction[0]", "0.25"]
    assert modelport(["stub", "toy", "-o", "copied"], saved, toy).returncode == 0
    assert sorted(p.name for p in (saved / "copied").iterdir()) == ["README.md", "cli.py", "toy.py"]


def test_a_stub_of_another_format_says_so(saved: Path, toy: Path) -> None:
    modelport(["convert", "house.pkl", "--sample", "rows.csv", "--trust", "-o", "house.json"], saved, toy)
    done = modelport(["verify", "house.json", "--with", "toy"], saved, toy)
    assert done.returncode == 3
    assert "the toy stub reads toytable, not json" in done.stdout


def test_a_falsified_foreign_artifact_is_refused_by_core_and_stub(saved: Path, toy: Path) -> None:
    modelport(["convert", "house.pkl", "--sample", "rows.csv", "--trust", "-o", "house.toytable"], saved, toy)
    text = (saved / "house.toytable").read_text(encoding="utf-8")
    assert "weight,2.5,-1.0\n" in text
    (saved / "wrong.toytable").write_text(text.replace("weight,2.5,-1.0\n", "weight,2.5,-1.5\n"), encoding="utf-8")
    done = modelport(["predict", "wrong.toytable", "rows.csv"], saved, toy)
    assert (done.returncode, done.stdout) == (1, "")
    assert "does not answer as the original model did" in done.stderr
    stub = [sys.executable, str(toy / "modelport_toy" / "stub" / "cli.py"), "verify", "wrong.toytable"]
    assert subprocess.run(stub, cwd=saved, capture_output=True).returncode == 1


@pytest.mark.parametrize(
    ("group", "entry", "code", "lacking", "ask"),
    [
        ("readers", "partframe", "def write(): ...", "read", "registry.load('readers', 'partframe')"),
        ("writers", "part", "FORMAT = 'part'\nSUFFIXES = ('.part',)\ndef sniff(head): ...", "write", "registry.writer('part')"),
        ("delegates", "partdel", "ROOTS = ()\nFORMATS = ()", "convert", "registry.load('delegates', 'partdel')"),
        ("stubs", "partstub", "", "FOLDERS", "registry.load('stubs', 'partstub')"),
    ],
)
def test_a_plugin_that_lacks_a_part_is_named(tmp_path: Path, group: str, entry: str, code: str, lacking: str, ask: str) -> None:
    folder = plugin(tmp_path / "part", group, entry, "part_plugin", code)
    said = python(
        f"from modelport import registry\nfrom modelport.errors import PluginError\n"
        f"try:\n    {ask}\nexcept PluginError as error:\n    print(error)",
        tmp_path,
        folder,
    )
    assert said == f"The {group[:-1]} {entry!r} (part_plugin) is incomplete: it has no {lacking}; see docs/add-a-converter.md.\n"


def test_a_plugin_that_cannot_be_imported_is_named(tmp_path: Path) -> None:
    folder = plugin(tmp_path / "gone", "writers", "gone", "gone_plugin", "import package_that_is_nowhere")
    done = modelport(["convert", "model.pkl", "--sample", "rows.csv", "--to", "gone"], tmp_path, folder)
    assert done.returncode == 3
    assert "The writer 'gone' needs package_that_is_nowhere" in done.stderr
    assert "Traceback" not in done.stderr


WRONG_READER = """
from dataclasses import replace
from modelport.graph import Graph, Step
from modelport_toy.reader import read as honest

def read(model, sample, options=None):
    reading = honest(model.inner, sample, options)
    linear = reading.graph.steps[0]
    other = Step(linear.op, linear.inputs, linear.output, {**linear.attributes, "bias": linear.attributes["bias"] + 1e-6})
    return replace(reading, graph=Graph(reading.graph.inputs, [other], reading.graph.outputs))

class Model:
    def __init__(self, inner):
        self.inner = inner
"""


def test_a_reader_whose_answers_differ_from_its_graph_is_refused(toy: Path, tmp_path: Path) -> None:
    folder = plugin(tmp_path / "wrong", "readers", "wrong_reader", "wrong_reader", WRONG_READER)
    code = f"""{MODEL}
import modelport, wrong_reader
try:
    modelport.convert(wrong_reader.Model(model), "house.json", sample=X)
except modelport.ModelportError as error:
    print(type(error).__name__, error)
"""
    said = python(code, tmp_path, toy, folder)
    assert said.startswith("Mismatch The graph read from the model does not answer as the model does; nothing was written.")
    assert "first step that diverges: 'linear' (linear)" in said
    assert not (tmp_path / "house.json").exists()
