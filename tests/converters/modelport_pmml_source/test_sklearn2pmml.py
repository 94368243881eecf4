"""PMML files that sklearn2pmml wrote: read, proven against JPMML-Evaluator, and equal to the models they came from."""

from __future__ import annotations

from typing import Any

import modelport_pmml_source
import numpy as np
import pytest
from modelport_delegates import pmml_by_sklearn2pmml
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    BaggingClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, MinMaxScaler, OneHotEncoder, PolynomialFeatures, StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

import modelport
from modelport.errors import Mismatch, MissingDependency, Unsupported

NUMBERS = ["a", "b", "c", "d"]
iris = load_iris(as_frame=True)
X, NAMES = iris.data.set_axis(NUMBERS, axis=1), iris.target_names[iris.target]
D, t = load_diabetes(return_X_y=True, as_frame=True)
TWO = D[["bmi", "bp"]]
MIXED = X.assign(s=np.array(["u", "v", "w"])[np.arange(len(X)) % 3])
HOLES = X.assign(b=X["b"].where(np.arange(len(X)) % 7 > 0))

#: model, its rows, and what it is to answer
CLASSES = {
    "logistic": (make_pipeline(StandardScaler(), LogisticRegression()), X),
    "tree": (DecisionTreeClassifier(max_depth=4, random_state=0), X),
    "forest": (RandomForestClassifier(5, max_depth=4, random_state=0), X),
    "boosting": (GradientBoostingClassifier(n_estimators=4, max_depth=2, random_state=0), X),
    "histogram boosting": (HistGradientBoostingClassifier(max_iter=4, max_leaf_nodes=5, random_state=0), X),
    "support vectors": (SVC(), X),
    "linear support vectors": (LinearSVC(), X),
    "network": (MLPClassifier(hidden_layer_sizes=(6,), max_iter=300, random_state=0, tol=1e-2), X),
    "voting": (VotingClassifier([("a", LogisticRegression()), ("b", DecisionTreeClassifier(max_depth=2))], voting="soft"), X),
    "bagging": (BaggingClassifier(DecisionTreeClassifier(max_depth=2), 3, random_state=0), X),
    "strings": (
        make_pipeline(ColumnTransformer([("n", StandardScaler(), NUMBERS), ("s", OneHotEncoder(), ["s"])]), LogisticRegression()),
        MIXED,
    ),
    "missing values": (make_pipeline(SimpleImputer(), MinMaxScaler(), LogisticRegression()), HOLES),
    "components": (make_pipeline(PCA(2), LogisticRegression()), X),
    "bins": (
        make_pipeline(KBinsDiscretizer(3, encode="ordinal", quantile_method="averaged_inverted_cdf"), LogisticRegression()),
        X,
    ),
    "discriminant": (LinearDiscriminantAnalysis(), X),
    "one against the rest": (OneVsRestClassifier(LogisticRegression()), X),
}
NUMERIC = {
    "tree": (DecisionTreeRegressor(max_depth=4, random_state=0), D),
    "forest": (RandomForestRegressor(5, max_depth=4, random_state=0), D),
    "boosting": (GradientBoostingRegressor(n_estimators=4, max_depth=2, random_state=0), D),
    "histogram boosting": (HistGradientBoostingRegressor(max_iter=4, max_leaf_nodes=5, random_state=0), D),
    "support vectors": (SVR(), TWO),
    "network": (MLPRegressor(hidden_layer_sizes=(6,), max_iter=50, random_state=0, tol=1e3), D),
    "polynomials": (make_pipeline(PolynomialFeatures(2), Ridge()), TWO),
    "Poisson": (PoissonRegressor(), D),
}
#: what runs in CI; the others are nightly, as each starts a Java program
QUICK = {"strings", "missing values", "histogram boosting"}


def cases(models: dict[str, Any]) -> list[Any]:
    return [pytest.param(*models[name], id=name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in models]


@pytest.fixture(autouse=True)
def _needed(need_module, need_program) -> None:  # type: ignore[no-untyped-def]
    need_module("sklearn2pmml", "sklearn2pmml")
    need_program("java", "java")


def artifact_of(model: Any, rows: Any, need: Any) -> Any:
    """The model as JSON, by way of the file that sklearn2pmml writes; that file's original is JPMML-Evaluator."""
    file = modelport_pmml_source.load_file(pmml_by_sklearn2pmml._translated(model, list(rows.columns)))
    try:
        return modelport.convert(file, "json", sample=rows, scorer="jpmml")
    except MissingDependency as error:
        need("jpmml", str(error))
        raise


@pytest.mark.xdist_group("jpmml")
@pytest.mark.parametrize(("model", "rows"), cases(CLASSES))
def test_classes(model: Any, rows: Any, need) -> None:  # type: ignore[no-untyped-def]
    model.fit(rows, NAMES)
    artifact = artifact_of(model, rows, need)
    assert artifact.report.passed
    answers = modelport.load(artifact).predict(rows)
    assert answers["y"].tolist() == model.predict(rows).tolist()
    if hasattr(model, "predict_proba"):
        shares = np.column_stack([answers[f"probability({name})"] for name in model.classes_])
        # beside a tree the file reads every field as float32, the linear member's too
        atol = 1e-6 if isinstance(model, VotingClassifier) else 1e-12
        np.testing.assert_allclose(shares, model.predict_proba(rows), rtol=0, atol=atol)


@pytest.mark.xdist_group("jpmml")
@pytest.mark.parametrize(("model", "rows"), cases(NUMERIC))
def test_numbers(model: Any, rows: Any, need) -> None:  # type: ignore[no-untyped-def]
    model.fit(rows, t)
    artifact = artifact_of(model, rows, need)
    assert artifact.report.passed
    np.testing.assert_allclose(modelport.load(artifact).predict(rows)["y"], model.predict(rows), rtol=1e-12)


@pytest.mark.slow
@pytest.mark.xdist_group("jpmml")
def test_clusters(need) -> None:  # type: ignore[no-untyped-def]
    model = KMeans(3, random_state=0, n_init=1).fit(X)
    answers = modelport.load(artifact_of(model, X, need)).predict(X)
    assert answers["cluster"].astype(int).tolist() == model.labels_.tolist()


@pytest.mark.slow
@pytest.mark.xdist_group("jpmml")
@pytest.mark.parametrize(
    ("model", "error", "words"),
    [
        (
            GradientBoostingClassifier(n_estimators=2, max_depth=2).fit(X, NAMES == "setosa"),
            Unsupported,
            "bool that may be missing",
        ),
        (KNeighborsClassifier(3).fit(X, NAMES), Unsupported, r"neighbor\(1\)"),
        (GaussianNB().fit(X, NAMES), Mismatch, "does not answer as the model does"),
        (CalibratedClassifierCV(LogisticRegression(), cv=2).fit(X, NAMES), Mismatch, "does not refuse what the model refuses"),
    ],
    ids=["a bool that may be missing", "names of neighbours", "densities that underflow", "calibration"],
)
def test_what_cannot_be_proven_is_refused(model: Any, error: type[Exception], words: str, need) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=words):
        artifact_of(model, X, need)
