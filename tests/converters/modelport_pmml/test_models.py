"""Fitted scikit-learn models through the graph into PMML, in every engine; the judge is the model itself."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from modelport_sklearn import read
from sklearn import cluster, compose, ensemble, impute, linear_model, naive_bayes, neighbors, neural_network, svm, tree
from sklearn import preprocessing as prep
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.pipeline import make_pipeline

from modelport.document import EXACT, Tolerance
from modelport.run import Evaluator
from modelport.sample import Sample
from modelport.verify import build_pool
from tests.converters.modelport_pmml.common import ENGINES, agree, engine, write

RANDOM = np.random.default_rng(0)


def holes(X, share=0.1):  # type: ignore[no-untyped-def]
    return np.where(np.random.default_rng(1).random(X.shape) < share, np.nan, X)


def iris():  # type: ignore[no-untyped-def]
    data = load_iris(as_frame=True)
    return data.data, data.target_names[data.target].astype(str)


def cancer():  # type: ignore[no-untyped-def]
    X, y = load_breast_cancer(return_X_y=True)
    return X[:, :8], y.astype(bool)


def digits():  # type: ignore[no-untyped-def]
    X, y = load_digits(return_X_y=True)
    return X[:400], y[:400]


def diabetes():  # type: ignore[no-untyped-def]
    return load_diabetes(return_X_y=True, scaled=False)


def two_targets():  # type: ignore[no-untyped-def]
    X, y = diabetes()
    return X, np.column_stack([y, np.sqrt(y)])


def wine():  # type: ignore[no-untyped-def]
    return load_wine(return_X_y=True)


def few():  # type: ignore[no-untyped-def]
    X, y = iris()
    return X.iloc[::4], y[::4]


def codes():  # type: ignore[no-untyped-def]
    X, y = digits()
    return X[:120, 2:62:9] // 4, y[:120] % 3


def with_holes(data):  # type: ignore[no-untyped-def]
    X, y = data()
    return holes(X), y


def categories():  # type: ignore[no-untyped-def]
    """Two columns of category codes with unknown ones and missing cells, and a number."""
    r = np.random.default_rng(2)
    X = np.column_stack([r.integers(0, 12, 500), r.normal(size=500), r.integers(0, 4, 500)]).astype(float)
    y = ((X[:, 0] % 3 == 0) ^ (X[:, 1] > 0)).astype(int)
    return holes(X, 0.08), y


def texts():  # type: ignore[no-untyped-def]
    """Strings that XML and JSON have to escape, an empty one, missing ones, and a column named as an output."""
    r = np.random.default_rng(3)
    first = r.choice(["a", "b b", "", 'ü<&>"', " lead", "3", "3.0"], 300).astype(object)
    second = r.choice(np.array(["x", "y", None], dtype=object), 300, p=[0.5, 0.3, 0.2])
    number = holes(r.normal(size=300))
    frame = pd.DataFrame({'s "q" <&>': first, "ähnlich (x)": second, "label": number})
    return frame, np.where(np.nan_to_num(number) + (first == "a") > 0.3, "yes", "no")


def columns(strings, numbers):  # type: ignore[no-untyped-def]
    return compose.ColumnTransformer([("s", strings, ['s "q" <&>', "ähnlich (x)"]), ("n", numbers, ["label"])])


#: name -> (data, estimator, is every float output equal in every bit in our reader)
MODELS = {
    "linear": (diabetes, linear_model.LinearRegression(), False),
    "linear two targets": (two_targets, linear_model.LinearRegression(), False),
    "poisson": (diabetes, make_pipeline(prep.MinMaxScaler(clip=True), linear_model.PoissonRegressor()), False),
    "logistic": (iris, linear_model.LogisticRegression(max_iter=500), False),
    "scaled logistic bool": (cancer, make_pipeline(prep.StandardScaler(), linear_model.LogisticRegression()), False),
    "one against all sigmoids": (
        iris,
        make_pipeline(prep.StandardScaler(), linear_model.SGDClassifier(loss="log_loss", random_state=0)),
        False,
    ),
    "modified huber": (
        iris,
        make_pipeline(prep.StandardScaler(), linear_model.SGDClassifier(loss="modified_huber", random_state=0)),
        False,
    ),
    "scores of classes": (iris, svm.LinearSVC(random_state=0), False),
    "score of two classes": (cancer, linear_model.RidgeClassifier(), False),
    "tree": (iris, tree.DecisionTreeClassifier(random_state=0), True),
    "tree missing": (lambda: with_holes(cancer), tree.DecisionTreeClassifier(max_depth=6, random_state=0), True),
    "tree of one class": (lambda: (wine()[0], np.zeros(178, int)), tree.DecisionTreeClassifier(), True),
    "forest of ten classes": (digits, ensemble.RandomForestClassifier(6, random_state=0), True),
    "forest missing": (lambda: with_holes(wine), ensemble.RandomForestClassifier(6, max_depth=5, random_state=0), True),
    "forest weighted": (
        wine,
        ensemble.RandomForestClassifier(6, class_weight={0: 0.3, 1: 0.77, 2: 1.1}, max_depth=3, random_state=0),
        True,
    ),
    "forest regression": (diabetes, ensemble.RandomForestRegressor(6, max_depth=6, random_state=0), True),
    "forest two targets": (two_targets, ensemble.ExtraTreesRegressor(4, max_depth=4, random_state=0), True),
    "scaled forest": (wine, make_pipeline(prep.StandardScaler(), ensemble.RandomForestClassifier(5, random_state=0)), True),
    "boosting": (iris, ensemble.GradientBoostingClassifier(n_estimators=5, random_state=0), False),
    "boosting binary": (cancer, ensemble.GradientBoostingClassifier(n_estimators=8, random_state=0), False),
    "boosting regression": (diabetes, ensemble.GradientBoostingRegressor(n_estimators=10, random_state=0), True),
    "hist boosting missing": (
        lambda: with_holes(wine),
        ensemble.HistGradientBoostingClassifier(max_iter=5, random_state=0),
        False,
    ),
    "hist boosting categories": (
        categories,
        ensemble.HistGradientBoostingClassifier(max_iter=8, categorical_features=[0, 2], random_state=0),
        False,
    ),
    "hist boosting regression": (
        lambda: with_holes(diabetes),
        ensemble.HistGradientBoostingRegressor(max_iter=8, random_state=0),
        True,
    ),
    "hist boosting gamma": (diabetes, ensemble.HistGradientBoostingRegressor(loss="gamma", max_iter=5, random_state=0), False),
    "network": (
        iris,
        make_pipeline(prep.StandardScaler(), neural_network.MLPClassifier((6, 5), max_iter=100, random_state=0)),
        False,
    ),
    "network binary": (
        cancer,
        make_pipeline(prep.StandardScaler(), neural_network.MLPClassifier((5,), activation="tanh", max_iter=100, random_state=0)),
        False,
    ),
    "network two targets": (
        two_targets,
        make_pipeline(
            prep.StandardScaler(),
            neural_network.MLPRegressor(hidden_layer_sizes=(5,), activation="logistic", max_iter=60, random_state=0),
        ),
        False,
    ),
    "clusters": (digits, make_pipeline(prep.MinMaxScaler(), cluster.KMeans(10, n_init=1, random_state=0)), True),
    "one-hot logistic": (
        texts,
        make_pipeline(
            columns(prep.OneHotEncoder(handle_unknown="ignore"), impute.SimpleImputer(add_indicator=True)),
            linear_model.LogisticRegression(),
        ),
        False,
    ),
    "one-hot refusing": (
        texts,
        make_pipeline(
            columns(prep.OneHotEncoder(), impute.SimpleImputer()), tree.DecisionTreeClassifier(max_depth=5, random_state=0)
        ),
        True,
    ),
    "ordinal boosting": (
        texts,
        make_pipeline(
            columns(prep.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan), "passthrough"),
            ensemble.HistGradientBoostingClassifier(max_iter=4, categorical_features=[0, 1], random_state=0),
        ),
        False,
    ),
    "filled strings": (
        texts,
        compose.ColumnTransformer([("s", impute.SimpleImputer(strategy="constant", fill_value="none"), ["ähnlich (x)"])]),
        True,
    ),
    "ordinal codes": (texts, compose.ColumnTransformer([("s", prep.OrdinalEncoder(), ['s "q" <&>', "ähnlich (x)"])]), True),
    "bins": (wine, prep.KBinsDiscretizer(5, encode="ordinal", strategy="uniform"), True),
    "polynomial": (iris, prep.PolynomialFeatures(3), True),
    "normalizer": (wine, prep.Normalizer("l1"), False),
    "neighbours": (few, neighbors.KNeighborsClassifier(3), True),
    "neighbours by weight": (few, neighbors.KNeighborsClassifier(4, weights="distance", metric="canberra"), False),
    "mean of neighbours": (
        lambda: (diabetes()[0][:40, :4], two_targets()[1][:40]),
        neighbors.KNeighborsRegressor(3, weights="distance", metric="manhattan"),
        False,
    ),
    "cells of neighbours": (
        lambda: (holes(diabetes()[0][:40, :4]), None),
        make_pipeline(impute.KNNImputer(n_neighbors=2), prep.MaxAbsScaler()),
        False,
    ),
    "coupled pairs": (iris, svm.SVC(probability=True, random_state=0), False),
    "counted categories": (codes, naive_bayes.CategoricalNB(), False),
    "missing cells": (categories, impute.MissingIndicator(features="all"), True),
}


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("name", MODELS)
def test_a_model_answers_as_scikit_learn_does(name: str, kind: str, need) -> None:  # type: ignore[no-untyped-def]
    data, estimator, exact = MODELS[name]
    X, y = data()
    model = estimator.fit(X, y)
    reading = read(model, Sample.of(X))
    pool = build_pool(reading, Sample.of(X), seed=4, plain=32, boundary=48)
    tolerance = {} if exact and kind == "modelport" else _tolerance(reading, pool)
    finite = np.ones(len(pool), dtype=bool)
    if kind == "pypmml":  # it writes infinite answers as null
        for array in pool.outputs.values():
            if array.dtype.kind == "f":
                finite &= ~np.isinf(array.reshape(len(array), -1)).any(axis=1)
    pool = pool.take(np.flatnonzero(finite))
    loaded = engine(kind, write(reading.graph, pool.inputs, pool.outputs, _tolerance(reading, pool)), need)
    agree(loaded, pool.inputs, pool.outputs, tolerance)


def _tolerance(reading, pool) -> dict[str, Tolerance]:  # type: ignore[no-untyped-def]
    """1e-12, or ten times what the order of additions costs the reference evaluator, by output."""
    got = Evaluator(reading.graph).run(pool.inputs)
    stated = {}
    for name, expected in pool.outputs.items():
        if expected.dtype.kind != "f" or pool.tolerance[name].exact:
            stated[name] = EXACT
            continue
        with np.errstate(invalid="ignore"):
            off = np.abs(got[name] - expected)
        stated[name] = Tolerance(
            max(pool.tolerance[name].atol, 10 * float(np.nanmax(np.where(np.isfinite(off), off, 0.0)))), 1e-12
        )
    return stated


@pytest.mark.parametrize("name", ["logistic", "forest missing", "boosting", "network", "clusters", "one-hot logistic"])
def test_jpmml_verifies_the_rows_that_the_file_carries(name: str, need) -> None:  # type: ignore[no-untyped-def]
    data, estimator, _ = MODELS[name]
    X, y = data()
    reading = read(estimator.fit(X, y), Sample.of(X))
    pool = build_pool(reading, Sample.of(X), seed=5, plain=16, boundary=16)
    stated = _tolerance(reading, pool)
    engine("jpmml", write(reading.graph, pool.inputs, pool.outputs, stated), need).verify()  # type: ignore[attr-defined]


def test_files_fit_the_schema_of_pmml(need) -> None:  # type: ignore[no-untyped-def]
    validator = _schema(need)
    from lxml import etree

    names = ["logistic", "one-hot logistic", "tree", "tree of one class", "boosting", "hist boosting categories", "network"]
    names += ["neighbours", "coupled pairs", "counted categories"]
    for name in [*names, "clusters", "bins", "polynomial"]:
        data, estimator, _ = MODELS[name]
        X, y = data()
        reading = read(estimator.fit(X, y), Sample.of(X))
        pool = build_pool(reading, Sample.of(X), seed=6, plain=8, boundary=8)
        root = etree.fromstring(write(reading.graph, pool.inputs, pool.outputs, _tolerance(reading, pool)))
        assert validator.validate(root), f"{name}: {validator.error_log}"


def _schema(need):  # type: ignore[no-untyped-def]
    """The PMML 4.4 schema, which the JPMML library carries."""
    import zipfile
    from importlib.util import find_spec
    from pathlib import Path

    spec = find_spec("jpmml_evaluator")
    if spec is None or find_spec("lxml") is None:
        need("jpmml", "the PMML schema is in jpmml_evaluator, which is not installed")
    from lxml import etree

    jar = next((Path(spec.origin).parent / "dependencies").glob("pmml-model-[0-9]*.jar"))  # type: ignore[union-attr]
    with zipfile.ZipFile(jar) as archive:
        return etree.XMLSchema(etree.fromstring(archive.read("pmml.xsd")))
