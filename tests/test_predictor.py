"""predict: the same rows in every container give the same answers; what does not fit is one sentence, never a guess."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

import modelport
from modelport.document import Document
from modelport.errors import InputError
from modelport.graph import Graph, Input, Output, Step
from modelport.predictor import Predictor, to_feeds

ROW = {"a": 1.5, "b": 2, "s": "x", "t": "u"}


@pytest.fixture(scope="module", params=["auto", "numpy"])
def table(request):  # type: ignore[no-untyped-def]
    """(DataFrame with columns a, b of numbers and s, t of strings, fitted pipeline, Predictor), in either engine."""
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "a": rng.normal(size=60),
            "b": rng.integers(0, 5, 60),
            "s": pd.Series(rng.choice(["x", "y", "nan"], 60), dtype=object).where(rng.random(60) > 0.3, None),
            "t": pd.Series(rng.choice(["u", "v"], 60), dtype=object),
        }
    )
    strings = make_pipeline(SimpleImputer(strategy="most_frequent", missing_values=None), OneHotEncoder(handle_unknown="ignore"))
    prepare = make_column_transformer((StandardScaler(), ["a", "b"]), (strings, ["s", "t"]))
    model = make_pipeline(prepare, LogisticRegression()).fit(frame, frame["a"] + frame["b"] > 2)
    return frame, model, modelport.load(modelport.convert(model, "json", sample=frame), engine=request.param)


def with_nan(frame: pd.DataFrame) -> pd.DataFrame:
    """Missing strings as NaN instead of None."""
    return frame.assign(s=pd.Series([np.nan if v is None else v for v in frame["s"]], dtype=object))


CONTAINERS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "records": lambda f: f.to_dict("records"),
    "records with NaN": lambda f: with_nan(f).to_dict("records"),
    "generator of records": lambda f: iter(f.to_dict("records")),
    "records with extra fields": lambda f: [{**r, f"extra {i}": 1} for i, r in enumerate(f.to_dict("records"))],
    "dict of lists": lambda f: {name: f[name].tolist() for name in f},
    "dict of lists with NaN": lambda f: {name: with_nan(f)[name].tolist() for name in f},
    "dict of columns [n, 1]": lambda f: {name: f[[name]].to_numpy() for name in f},
    "lists of lists": lambda f: f.to_numpy().tolist(),
    "lists of lists with NaN": lambda f: with_nan(f).to_numpy().tolist(),
    "array of objects": lambda f: f.to_numpy(),
    "columns of objects": lambda f: f.assign(b=pd.Series(list(f["b"].to_numpy()), dtype=object)),
    "nullable dtypes": lambda f: f.convert_dtypes(),
    "arrow dtypes": lambda f: f.convert_dtypes(dtype_backend="pyarrow"),
    "categoricals": lambda f: f.assign(s=f["s"].astype("category"), t=f["t"].astype("category")),
    "sparse column": lambda f: f.assign(a=pd.arrays.SparseArray(f["a"])),
    "another index": lambda f: f.set_index(np.arange(len(f))[::-1] + 100),
    "other order": lambda f: f[["t", "b", "a", "s"]].assign(extra=pd.Timestamp(0)),
    "columns without names": lambda f: f.set_axis(range(4), axis=1),
    "int8": lambda f: f.astype({"b": np.int8}),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_gives_the_same_answers(table, name: str) -> None:  # type: ignore[no-untyped-def]
    frame, model, predictor = table
    got = predictor.predict(CONTAINERS[name](frame))
    np.testing.assert_allclose(got["probability"], model.predict_proba(frame), rtol=1e-12, atol=1e-14)
    assert got["label"].tolist() == model.predict(frame).tolist()


@pytest.mark.parametrize("rows", [lambda f: f.iloc[:0], lambda f: {n: [] for n in f}, lambda f: f.iloc[7:8], lambda f: [ROW]])
def test_no_row_and_one_row(table, rows: Callable[[pd.DataFrame], Any]) -> None:  # type: ignore[no-untyped-def]
    frame, model, predictor = table
    given = rows(frame)
    expected = pd.DataFrame(given)
    got = predictor.predict(given)["probability"]
    assert got.shape == (len(expected), 2)
    if len(expected):
        np.testing.assert_allclose(got, model.predict_proba(expected), rtol=1e-12)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (ROW, "'a' is one value, not one per row"),
        ({**{k: [v, v] for k, v in ROW.items()}, "a": [[1], [1, 2]]}, "differ in length"),
        ({**{k: [v, v] for k, v in ROW.items()}, "a": [[1.0, 2.0], [3.0, 4.0]]}, r"'a' has the shape \[2, 2\]"),
        ({**{k: [v, v] for k, v in ROW.items()}, "a": [1.0]}, "differ in their number of rows"),
        ({**{k: [v, v] for k, v in ROW.items()}, "s": ["x", 1]}, "'s' holds 1 where a string"),
        ({**{k: [v, v] for k, v in ROW.items()}, "a": np.ma.masked_array([1.0, 2.0], [True, False])}, "'a' has masked cells"),
        ([{**ROW, "b": 10**400}], "'b' holds an integer too large"),
        ([{**ROW, "b": Decimal(2)}], "'b' holds Decimal"),
        ([{**ROW, "b": date(2020, 1, 1)}], "'b' holds datetime.date"),
        ([{**ROW, "b": "2"}], "'b' holds '2' where a number"),
        ([{**ROW, "b": 1j}], "'b' holds complex128"),
        ([{**ROW, "t": 2}], "'t' holds 2 where a string"),
        ([{**ROW, "t": b"u"}], "'t' holds b'u' where a string"),
        ([{**ROW, "t": None}, {k: v for k, v in ROW.items() if k != "t"}], "Row 1 has no field 't'"),
        ([{k: v for k, v in ROW.items() if k != "t"}], "'t' is missing"),
        ([ROW, list(ROW.values())], "Row 1 is of type list"),
        ([ROW, None], "Row 1 is of type NoneType"),
        ([list(ROW.values()), [1.0]], "differ in length"),
        (list(ROW.values()), "a single row is a list with one row in it"),
        (pd.DataFrame([ROW]).iloc[0], "a single row is a list with one row in it"),
        (pd.DataFrame([[1.0, 2.0, "x", "u", 3.0]], columns=["a", "b", "s", "t", "a"]), "2 columns called 'a'"),
        (pd.DataFrame([{**ROW, "a": pd.Timestamp(0)}]), "'a' holds datetime64"),
        (pd.DataFrame([{**ROW, "a": pd.Timestamp(0)}]).astype({"a": "datetime64[ns]"}), "'a' holds datetime64"),
        ([[pd.Timestamp(0), 2, "x", "u"]], "'a' holds Timestamp"),
        (None, "NoneType is no table of rows"),
        ("abc", "str is no table of rows"),
        ([], "shape"),
        ({}, "'a' is missing"),
    ],
)
def test_rows_that_do_not_fit(table, rows: Any, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=words):
        table[2].predict(rows)


def test_a_wrong_cell_of_a_matrix_is_named_by_its_column(iris) -> None:  # type: ignore[no-untyped-def]
    X, _, model = iris
    predictor = modelport.load(modelport.convert(model, "json", sample=X))
    with pytest.raises(InputError, match=r"Column 'petal length \(cm\)' holds 'wide'"):
        predictor.predict([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, "wide", 4.0]])
    twice = pd.concat([X, X[["sepal width (cm)"]] * 2], axis=1)
    with pytest.raises(InputError, match=r"2 columns called 'sepal width"):
        predictor.predict(twice)


def test_whole_numbers_and_booleans_keep_every_bit() -> None:
    """Inputs of dtype i64 and bool take what is exactly such a number, from every container, and nothing else."""
    inputs = [Input("i", "i64", (1,)), Input("b", "bool", (1,)), Input("x", "f64", (1,))]
    big = 2**53 + 1
    for rows in (
        [{"i": big, "b": True, "x": 1}],
        {"i": np.array([big]), "b": [np.True_], "x": [np.float32(1)]},
        pd.DataFrame({"i": [big], "b": [True], "x": [1.0]}).astype(object),
        [[big, True, 1]],
    ):
        feeds = to_feeds(inputs, rows)
        assert {k: v.tolist() for k, v in feeds.items()} == {"i": [[big]], "b": [[True]], "x": [[1.0]]}
        assert [feeds[v.name].dtype for v in inputs] == [np.int64, np.bool_, np.float64]
    assert to_feeds(inputs, np.array([[3.0, 1.0, 0.5]]))["i"].tolist() == [[3]]
    for row, words in (([1.5, 1, 1], "1.5 where i64"), ([float("nan"), 1, 1], "nan where i64"), ([1, 2, 1], "2 where bool")):
        with pytest.raises(InputError, match=words):
            to_feeds(inputs, [row])
    with pytest.raises(InputError, match="where i64"):
        to_feeds(inputs, np.array([[2.0**63, 1.0, 1.0]]))


def test_text_rows() -> None:
    from modelport_json import JsonModel

    graph = Graph(
        [Input("text", "str", ())],
        [Step("lookup", ["text"], "y", {"keys": np.array(["a", "b"], dtype=object), "values": np.array([1.0, 2.0])})],
        [Output("y", "y", "f64", "transform")],
    )
    predictor = Predictor(JsonModel(Document(graph)))
    for rows in (["a", "b"], np.array(["a", "b"]), pd.Series(["a", "b"]), iter(["a", "b"]), {"text": ["a", "b"]}):
        assert predictor.predict(rows)["y"].tolist() == [1.0, 2.0]
    with pytest.raises(InputError, match="str is no table of rows"):
        predictor.predict("a")


@pytest.mark.parametrize("format_", ["json", "onnx", "pmml"])
def test_one_predictor_for_all_formats(format_: str, iris, tmp_path, need_module) -> None:  # type: ignore[no-untyped-def]
    """The same containers, outputs, names, errors, replay and description."""
    if format_ == "onnx":
        need_module("onnxruntime", "onnxruntime")
    X, _, model = iris
    modelport.convert(model, tmp_path / f"m.{format_}", sample=X)
    predictor = modelport.load(tmp_path / f"m.{format_}")
    rows = X.iloc[[0, 60, 149]]
    expected = model.predict(rows).tolist()
    containers: list[Any] = [rows, rows.to_numpy(), rows.to_dict("list"), rows.to_dict("records"), rows[rows.columns[::-1]]]
    for given in containers:
        got = predictor.predict(given)
        assert list(got) == ["label", "probability"]
        assert got["label"].tolist() == expected
        assert np.all(np.abs(got["probability"] - model.predict_proba(rows)) <= 1e-12)
    one = predictor.predict(rows.iloc[:1])
    assert one["probability"].tolist() == predictor.predict(rows)["probability"][:1].tolist()
    for bad, said in (
        (rows.drop(columns=[rows.columns[1]]), rows.columns[1]),
        (rows.assign(**{rows.columns[0]: "a"}), rows.columns[0]),
    ):
        with pytest.raises(InputError, match=re.escape(repr(said))):
            predictor.predict(bad)
    with pytest.raises(InputError):
        predictor.predict(rows.assign(**{rows.columns[0]: np.nan}))
    reports = predictor.verify()
    assert [r.output for r in reports] == ["label", "probability"]
    assert all(r.passed and r.rows > 1 for r in reports)
    info = predictor.info()
    assert info["inputs"] == [
        {"name": "X", "dtype": "f64", "shape": [4], "missing": "error", "features": list(X.columns)},
    ]
    assert [(o["name"], o["role"], o.get("classes")) for o in info["outputs"]] == [
        ("label", "prediction", None),
        ("probability", "probability", list(model.classes_)),
    ]
    assert info["carried_rows"] == len(predictor.vectors)  # type: ignore[arg-type]
