"""The compiled engine of modelport.load: the suite, the bits of NumPy on trees, threads, machines without a compiler."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from suite import artifacts, document_of_case, liars, op_cases

import modelport
from modelport import compiled
from modelport.compare import compare
from modelport.document import EXACT
from modelport.errors import InputError, Mismatch, MissingDependency, ModelportError, UsageError

Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module", autouse=True)
def compiler(need: Callable[[str, str], None]) -> None:
    name = os.environ.get("MODELPORT_CC", "cc")
    if shutil.which(name) is None:
        need("c", f"{name} is not on the PATH")


def load(document: Any, engine: str = "c", **options: Any) -> Any:
    data = document.read_bytes() if isinstance(document, Path) else json.dumps(document, ensure_ascii=False).encode("utf-8")
    predictor = modelport.load(data, engine=engine, **options)
    assert predictor.engine.startswith("compiled C" if engine == "c" else "numpy")
    return predictor


def test_every_op_case_in_the_compiled_engine() -> None:
    """Answers within the case's tolerance, in dtype and shape; refusals with the sentence of the reference evaluator."""
    wrong = []
    for op, case in op_cases():
        if "feed" in case.get("flags", ()):
            continue
        document = document_of_case(case)
        if "error" in case:
            continue
        predictor = load(document)
        vectors = predictor.vectors
        for part in vectors.sets():
            got = predictor._loaded.run(part.inputs)
            reports = [compare(name, part.outputs[name], got[name], part.tolerance.get(name, EXACT)) for name in got]
            wrong += [f"{op}: {case['name']}" for report in reports if not report.passed]
    assert not wrong


def test_every_artifact_in_the_compiled_engine() -> None:
    for path in artifacts():
        predictor, plain = load(path), load(path, "numpy")
        assert predictor.inputs == plain.inputs
        assert predictor.outputs == plain.outputs
        for part in predictor.vectors.sets():
            got = predictor._loaded.run(part.inputs)
            for name, expected in part.outputs.items():
                assert compare(name, expected, got[name], part.tolerance.get(name, EXACT)).passed, f"{path}: {name}"


def test_liars_are_refused_by_either_engine() -> None:
    for path in liars():
        for engine in ("auto", "c", "numpy"):
            with pytest.raises(Mismatch):
                modelport.load(path, engine=engine)


# --- trees --------------------------------------------------------------------------------------------------------------------


def tree(rng: np.random.Generator, leaves: int, columns: int, thresholds: Array) -> tuple[list[int], list[float], list[int]]:
    """(feature, threshold, right) of a tree of so many leaves in preorder, with offsets from its first node."""
    feature: list[int] = []
    threshold: list[float] = []
    right: list[int] = []

    def grow(count: int) -> None:
        if count == 1:
            feature.append(-1)
            return
        place, left = len(right), int(rng.integers(1, count))
        feature.append(int(rng.integers(columns)))
        threshold.append(float(rng.choice(thresholds)))
        right.append(0)
        grow(left)
        right[place] = len(feature)
        grow(count - left)

    grow(leaves)
    return feature, threshold, right


def forest(seed: int, leaves: int, **more: Any) -> dict[str, Any]:
    """A document of 40 trees of up to so many leaves over five columns; more are attributes of the step."""
    rng = np.random.default_rng(seed)
    step: dict[str, Any] = {"start": [], "feature": [], "threshold": [], "right": []}
    few = np.float32(rng.normal(size=30)).astype(float)
    for number in range(40):
        parts = tree(rng, leaves if number == 0 else int(rng.integers(1, leaves + 1)), 5, few)
        step["start"].append(len(step["feature"]))
        for key, part in zip(("feature", "threshold", "right"), parts, strict=True):
            step[key] += part
    count = step["feature"].count(-1)
    width = more.get("leaf_width", 1)
    step["leaf"] = rng.normal(size=count * width).astype(np.float32).astype(float).tolist()
    if more.get("missing") == "node":
        step["missing_left"] = rng.integers(0, 2, len(step["right"])).tolist()
    if more.pop("classes", False):
        step |= {"class": rng.integers(0, 3, 40).tolist(), "size": 3}
    if more.pop("table", False):
        step |= {"leaf_table": rng.normal(size=4).tolist(), "leaf": rng.integers(0, 4, count).tolist()}
    step |= more
    acc = more.get("acc", "f64")
    missing = "error" if "missing" not in more else "nan"
    return {
        "format": "modelport",
        "version": "1.0",
        "requires": ["tree_ensemble"],
        "inputs": [{"name": "X", "dtype": "f64", "shape": [5], "missing": missing}],
        "steps": [{"op": "tree_ensemble", "in": ["X"], "out": "y", **step}],
        "outputs": [{"name": "y", "from": "y", "dtype": acc, "role": "score"}],
    }


KINDS: dict[str, dict[str, Any]] = {
    "f64": {},
    "f32, less": {"dtype": "f32", "cmp": "lt"},
    "missing goes left": {"missing": "left"},
    "missing goes right, f32": {"missing": "right", "dtype": "f32"},
    "missing by node": {"missing": "node", "dtype": "f32"},
    "classes": {"classes": True},
    "wide leaves": {"leaf_width": 3, "aggregate": "mean"},
    "a table of leaves": {"table": True},
    "sums in f32": {"acc": "f32"},
}


@pytest.mark.parametrize("leaves", [3, 8, 16, 32, 64, 200])
@pytest.mark.parametrize("kind", KINDS)
def test_trees_have_the_bits_of_the_reference_evaluator(kind: str, leaves: int) -> None:
    """Blocks of rows, rows that are left over, and single ones, on and beside thresholds, with NaN and infinities."""
    document = forest(leaves, leaves, **KINDS[kind])
    rng = np.random.default_rng(1)
    edges = np.array(document["steps"][0]["threshold"])
    X = rng.choice(
        np.concatenate([edges, np.nextafter(edges, np.inf), rng.normal(size=20), [np.inf, -np.inf, 0.0, -0.0]]), (303, 5)
    )
    if "missing" in KINDS[kind]:
        X[rng.random(X.shape) < 0.1] = np.nan
    expected = load(document, "numpy", verify=False).predict(X)["y"]
    predictor = load(document, verify=False)
    got = predictor.predict(X)["y"]
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)
    for i in (0, 1, 302):
        np.testing.assert_array_equal(predictor.predict(X[i : i + 1])["y"], expected[i : i + 1])
    np.testing.assert_array_equal(predictor.predict(X[5:43])["y"], expected[5:43])


def test_an_edge_that_no_row_is_below() -> None:
    """x < -inf sends nobody to the left."""
    document = forest(3, 8, cmp="lt")
    document["steps"][0]["threshold"] = [
        "-Infinity" if i % 3 == 0 else t for i, t in enumerate(document["steps"][0]["threshold"])
    ]
    X = np.random.default_rng(2).normal(size=(200, 5))
    X[:5] = -np.inf
    expected = load(document, "numpy", verify=False).predict(X)["y"]
    np.testing.assert_array_equal(load(document, verify=False).predict(X)["y"], expected)


# --- neighbours ---------------------------------------------------------------------------------------------------------------

#: (points, rows) of so many columns, from a generator
POINTS: dict[str, Callable[[np.random.Generator, int, int], Array]] = {
    "normal": lambda rng, n, d: rng.normal(size=(n, d)),
    "ties": lambda rng, n, d: rng.integers(0, 3, (n, d)).astype(float),
    "far from 0": lambda rng, n, d: 1e8 + rng.normal(size=(n, d)),
    "two heaps": lambda rng, n, d: rng.choice([-1e7, 1e7], (n, 1)) + rng.normal(size=(n, d)),
    "tiny": lambda rng, n, d: 1e-24 * rng.normal(size=(n, d)),
    "smaller than f32": lambda rng, n, d: 1e-160 * rng.normal(size=(n, d)),
    "larger than f32": lambda rng, n, d: 1e40 * rng.normal(size=(n, d)),
    "all scales": lambda rng, n, d: rng.normal(size=(n, d)) * 10.0 ** rng.integers(-14, 14, (n, d)),
}


def neighbours(points: Array, k: int, metric: str, weights: str, joined: bool) -> dict[str, Any]:
    """A document of pairwise and knn; one that has the distances as an output keeps the two steps apart."""
    rng = np.random.default_rng(5)
    n, d = points.shape
    ends = [("y", "f64"), ("place", "f64")] + ([] if joined else [("distance", "f64"), ("again", "f64")])
    return {
        "format": "modelport",
        "version": "1.0",
        "requires": ["pairwise", "knn"],
        "inputs": [{"name": "X", "dtype": "f64", "shape": [d], "missing": "nan"}],
        "steps": [
            {"op": "pairwise", "in": ["X"], "out": "distance", "metric": metric, "points": points.tolist()},
            {"op": "pairwise", "in": ["X"], "out": "again", "metric": metric, "points": points.tolist()},
            *(
                {"op": "knn", "in": [name], "out": out, "k": k, "weights": weights, **targets}
                for name, out, targets in (
                    ("distance", "y", {"classes": 3, "targets": rng.integers(0, 3, n).tolist()}),
                    ("again", "place", {"targets": (2.0 ** rng.integers(0, 20, (n, 1))).tolist()}),
                )
            ),
        ],
        "outputs": [{"name": name, "from": name, "dtype": dtype, "role": "score"} for name, dtype in ends],
    }


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean"])
@pytest.mark.parametrize("kind", POINTS)
def test_neighbours_are_those_that_all_distances_say(kind: str, metric: str) -> None:
    """Joined with their distances, for whole and single rows, points themselves, and rows with NaN and infinities."""
    rng = np.random.default_rng(6)
    for n, d, k, weights in ((64, 1, 8, "uniform"), (203, 3, 1, "distance"), (409, 30, 5, "distance"), (131, 17, 16, "uniform")):
        points = POINTS[kind](rng, n, d)
        X = np.concatenate([POINTS[kind](rng, 40, d), points[rng.integers(0, n, 31)]])
        X[rng.integers(0, 40, 3), 0] = np.array([np.nan, np.inf, -np.inf])
        apart = load(neighbours(points, k, metric, weights, False), verify=False).predict(X)
        predictor = load(neighbours(points, k, metric, weights, True), verify=False)
        joined = predictor.predict(X)
        for name in ("y", "place"):
            np.testing.assert_array_equal(joined[name], apart[name])
            for i in (0, 40, 70):
                np.testing.assert_array_equal(predictor.predict(X[i : i + 1])[name], joined[name][i : i + 1])
        if weights == "uniform":
            plain = load(neighbours(points, k, metric, weights, True), "numpy", verify=False).predict(X)
            np.testing.assert_array_equal(joined["y"], plain["y"])


# --- threads ------------------------------------------------------------------------------------------------------------------


def test_threads_give_the_same_bits_and_the_first_refusal() -> None:
    document = forest(7, 16)
    X = np.random.default_rng(3).normal(size=(5000, 5))
    one, many = (load(document, verify=False, threads=n) for n in (1, 3))
    np.testing.assert_array_equal(many.predict(X)["y"], one.predict(X)["y"])
    X[[4321, 2345], 0] = np.nan
    for predictor in (one, many):
        with pytest.raises(InputError, match="Row 2345"):
            predictor.predict(X)


def test_one_predictor_answers_threads_of_the_caller(iris) -> None:  # type: ignore[no-untyped-def]
    from concurrent.futures import ThreadPoolExecutor

    X, _, model = iris
    predictor = modelport.load(modelport.convert(model, "json", sample=X), engine="c")
    expected, rows = predictor.predict(X.to_numpy()), [X.to_numpy()[i : i + 1] for i in range(len(X))]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(predictor.predict, rows * 20))
    for i, answer in enumerate(answers):
        for name, values in answer.items():
            np.testing.assert_array_equal(values[0], expected[name][i % len(X)])


# --- which engine -------------------------------------------------------------------------------------------------------------


def test_answers_of_single_rows_are_the_callers_own(iris) -> None:  # type: ignore[no-untyped-def]
    X, _, model = iris
    predictor = modelport.load(modelport.convert(model, "json", sample=X), engine="c")
    first = predictor.predict(X.to_numpy()[:1])
    kept = {name: values.copy() for name, values in first.items()}
    predictor.predict(X.to_numpy()[100:101])
    for name, values in kept.items():
        np.testing.assert_array_equal(first[name], values)


def test_a_pickled_predictor_answers_alike(iris) -> None:  # type: ignore[no-untyped-def]
    X, _, model = iris
    predictor = modelport.load(modelport.convert(model, "json", sample=X), engine="c")
    again = pickle.loads(pickle.dumps(predictor))
    np.testing.assert_array_equal(again.predict(X)["probability"], predictor.predict(X)["probability"])


def test_the_environment_and_the_argument_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    data = json.dumps(forest(1, 4)).encode()
    monkeypatch.setenv(compiled.VARIABLE, "numpy")
    assert modelport.load(data, verify=False).engine.startswith("numpy")
    assert modelport.load(data, verify=False, engine="c").engine == "compiled C"
    monkeypatch.setenv(compiled.VARIABLE, "fast")
    with pytest.raises(UsageError, match="no engine 'fast'"):
        modelport.load(data, verify=False)


def test_without_a_compiler_numpy_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = json.dumps(forest(1, 4)).encode()
    monkeypatch.setenv("MODELPORT_CACHE", str(tmp_path))
    monkeypatch.setenv("MODELPORT_CC", "no-such-compiler")
    assert modelport.load(data, verify=False, engine="auto").engine.startswith("numpy")
    assert compiled.state()[0] is False
    assert "'cc'" in compiled.state()[1]
    with pytest.raises(MissingDependency, match="compiler"):
        modelport.load(data, verify=False, engine="c")


def test_what_does_not_compile_is_not_tried_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tried = tmp_path / "tried"
    program = tmp_path / "broken-cc"
    program.write_text(
        f"#!{sys.executable}\nopen({str(tried)!r}, 'a').write('x')\nraise SystemExit('no such luck')\n", encoding="utf-8"
    )
    program.chmod(0o755)
    monkeypatch.setenv("MODELPORT_CACHE", str(tmp_path))
    monkeypatch.setenv("MODELPORT_CC", str(program))
    data = json.dumps(forest(1, 4)).encode()
    for _ in range(2):
        monkeypatch.setattr(compiled, "_found", {})
        assert modelport.load(data, verify=False, engine="auto").engine.startswith("numpy")
    assert tried.read_text(encoding="utf-8") == "x"
    usable, says = compiled.state()
    assert not usable
    assert "did not compile" in says
    with pytest.raises(MissingDependency, match="did not compile"):
        modelport.load(data, verify=False, engine="c")


def test_an_explicit_engine_says_what_is_wrong() -> None:
    with pytest.raises(ModelportError, match="no vectors"):
        modelport.load(json.dumps(forest(1, 4)).encode(), engine="c")
    with pytest.raises(ModelportError, match="no array"):
        modelport.load(b'{"format": "modelport", "version": "1.0"}', engine="c")


def test_importing_modelport_compiles_nothing() -> None:
    code = "import sys, modelport; assert 'modelport.compiled' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
