"""Linear models: predictions within 1e-12, labels without a flip, and no old or unknown state that slips through."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn import linear_model as lm
from sklearn.datasets import load_diabetes, load_iris, load_wine
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC, LinearSVR

from modelport.errors import NotFitted, UnsupportedAttribute, UnsupportedModel
from modelport.run import Evaluator
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import check, check_formats, check_probes, read

pytestmark = pytest.mark.filterwarnings("ignore")

X, Y = load_diabetes(return_X_y=True)
TWO = np.column_stack([Y, Y[::-1] ** 1.1])
IRIS, KIND = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])
WINE, GRAPE = load_wine(return_X_y=True)
CLOSE = {"rtol": 1e-12, "atol": 1e-12}


def edge_rows(rows: np.ndarray) -> np.ndarray:
    """Zeros of both signs, one huge column at a time, tiny numbers, and rows far away."""
    width = rows.shape[1]
    return np.concatenate(
        [np.zeros((1, width)), -np.zeros((1, width)), np.eye(width) * 1e30, np.eye(width) * 5e-324, rows[:5] * 1e6]
    )


REGRESSORS = [
    lm.LinearRegression(),
    lm.LinearRegression(fit_intercept=False),
    lm.LinearRegression(positive=True),
    lm.Ridge(alpha=0.3),
    lm.Ridge(solver="lbfgs", positive=True),
    lm.RidgeCV(store_cv_results=True),
    lm.RidgeCV(cv=3, fit_intercept=False),
    lm.Lasso(alpha=0.1),
    lm.Lasso(alpha=0.1, positive=True, fit_intercept=False),
    lm.LassoCV(cv=3),
    lm.ElasticNet(alpha=0.01),
    lm.ElasticNetCV(cv=3, l1_ratio=[0.2, 0.8]),
    lm.Lars(),
    lm.LarsCV(cv=3),
    lm.LassoLars(alpha=0.1),
    lm.LassoLarsCV(cv=3),
    lm.LassoLarsIC(),
    lm.OrthogonalMatchingPursuit(),
    lm.OrthogonalMatchingPursuitCV(cv=3),
    lm.BayesianRidge(compute_score=True),
    lm.ARDRegression(compute_score=True),
    lm.HuberRegressor(),
    lm.TheilSenRegressor(max_subpopulation=50, random_state=0),
    lm.QuantileRegressor(alpha=0.01),
    LinearSVR(random_state=0),
    LinearSVR(fit_intercept=False, random_state=0),
]


@pytest.mark.parametrize("model", REGRESSORS, ids=str)
def test_regressors(model):
    model.fit(X, Y)
    reading = check(model, X, edge_rows(X), **CLOSE)
    assert reading.graph.types[reading.graph.outputs[0].source].shape == ()


@pytest.mark.parametrize(
    "model",
    [
        lm.LinearRegression(),
        lm.Ridge(fit_intercept=False),
        lm.RidgeCV(alpha_per_target=True),
        lm.Lasso(alpha=0.1),
        lm.ElasticNet(),
        lm.MultiTaskLasso(alpha=0.2),
        lm.MultiTaskLassoCV(cv=3),
        lm.MultiTaskElasticNet(),
        lm.MultiTaskElasticNetCV(cv=3),
        lm.Lars(),
        lm.OrthogonalMatchingPursuit(),
    ],
    ids=str,
)
def test_several_targets(model):
    reading = check(model.fit(X, TWO), X, edge_rows(X), **CLOSE)
    assert reading.graph.types[reading.graph.outputs[0].source].shape == (2,)


def test_one_target_as_a_column_keeps_its_axis():
    check(lm.LinearRegression().fit(X, Y[:, None]), X, **CLOSE)
    check(lm.Ridge().fit(X, Y[:, None]), X, **CLOSE)


@pytest.mark.parametrize(
    "model",
    [
        lm.PoissonRegressor(),
        lm.GammaRegressor(alpha=0.1),
        lm.TweedieRegressor(power=1.5),
        lm.TweedieRegressor(power=0, link="identity"),
        lm.TweedieRegressor(power=0, link="log"),
    ],
    ids=str,
)
def test_generalized_linear_models(model):
    check(model.fit(X, Y), X, X[:5] * 100, **CLOSE)


CLASSIFIERS = [
    lm.LogisticRegression(max_iter=2000),
    lm.LogisticRegression(fit_intercept=False, max_iter=2000),
    lm.LogisticRegression(solver="saga", l1_ratio=0.5, max_iter=200, random_state=0),
    lm.LogisticRegressionCV(cv=3, Cs=3, max_iter=2000),
    lm.LogisticRegressionCV(
        cv=3, Cs=2, refit=False, max_iter=2000, use_legacy_attributes=False, l1_ratios=(0.0,), scoring="accuracy"
    ),
    LinearSVC(random_state=0),
    LinearSVC(fit_intercept=False, random_state=0),
    LinearSVC(multi_class="crammer_singer", random_state=0),
    lm.RidgeClassifier(),
    lm.RidgeClassifier(fit_intercept=False, class_weight="balanced"),
    lm.RidgeClassifierCV(store_cv_results=True),
    lm.RidgeClassifierCV(cv=3),
]
LABELS = {
    "strings": NAMES[KIND],
    "objects": NAMES[KIND].astype(object),
    "integers": KIND * 10 - 5,
    "floats": KIND.astype(float),
    "two": np.where(KIND > 1, "b", "a"),
    "booleans": KIND > 0,
    "negative": np.where(KIND > 0, 1, -1),
}


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("model", CLASSIFIERS, ids=str)
def test_classifiers(model, labels):
    reading = check(model.fit(IRIS, LABELS[labels]), IRIS, edge_rows(IRIS), **CLOSE)
    assert reading.graph.outputs[1].name == ("probability" if hasattr(model, "predict_proba") else "score")
    check_probes(reading, IRIS, **CLOSE)


@pytest.mark.parametrize("dual", [False, True])
def test_liblinear(dual):
    model = lm.LogisticRegression(solver="liblinear", dual=dual, intercept_scaling=3.0, random_state=0)
    check(model.fit(IRIS, KIND > 1), IRIS, edge_rows(IRIS), **CLOSE)


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg", "newton-cholesky", "sag", "saga", "liblinear"])
@pytest.mark.parametrize("kind", [lm.LogisticRegression, lm.LogisticRegressionCV])
def test_solvers(kind, solver):
    options = {"cv": 2, "Cs": 2} if kind is lm.LogisticRegressionCV else {}
    model = kind(solver=solver, max_iter=30, random_state=0, **options)
    check(model.fit(IRIS, KIND > 0), IRIS, edge_rows(IRIS), **CLOSE)
    if solver != "liblinear":
        check(model.fit(IRIS, NAMES[KIND]), IRIS, edge_rows(IRIS), **CLOSE)


def test_score_of_zero_is_the_first_class():
    model = lm.LogisticRegression(fit_intercept=False).fit(IRIS, np.where(KIND > 0, "later", "earlier"))
    zero = np.zeros((2, 4))
    assert model.predict(zero).tolist() == ["earlier", "earlier"]
    check(model, IRIS, zero, **CLOSE)


@pytest.mark.parametrize("model", [lm.LogisticRegression(C=1e9, max_iter=5000), lm.RidgeClassifier()], ids=str)
def test_large_offset_behind_a_scaler(model):
    rows = WINE + 1e7
    check(make_pipeline(StandardScaler(), model).fit(rows, GRAPE), rows, rtol=1e-10, atol=1e-10)


def test_float32_fit_answers_float64_rows():
    model = lm.Ridge().fit(X.astype(np.float32), Y.astype(np.float32))
    assert model.coef_.dtype == np.float32
    check(model, X, **CLOSE)
    check(lm.LogisticRegression(max_iter=500).fit(IRIS.astype(np.float32), KIND), IRIS, **CLOSE)


def test_sparse_coefficients():
    check(lm.LogisticRegression(solver="saga", l1_ratio=1, C=0.1, max_iter=100).fit(IRIS, KIND).sparsify(), IRIS, **CLOSE)


@pytest.mark.parametrize("model", [lm.RidgeClassifier(), lm.RidgeClassifierCV()], ids=str)
def test_several_labels_per_row(model):
    labels = np.column_stack([KIND > 0, KIND > 1, IRIS[:, 0] > 5.8]).astype(int)
    reading = check(model.fit(IRIS, labels), IRIS, edge_rows(IRIS), **CLOSE)
    assert reading.graph.types[reading.graph.outputs[0].source].shape == (3,)


@pytest.mark.parametrize("model", [lm.RidgeClassifier(), lm.RidgeClassifierCV()], ids=str)
def test_a_single_class(model):
    check(model.fit(IRIS, np.full(len(IRIS), "only")), IRIS, edge_rows(IRIS))
    check_formats(model, IRIS, "onnx", "pmml")
    model.coef_ = model.coef_ + 1.0
    with pytest.raises(UnsupportedAttribute, match="only class"):
        read(model, Sample.of(IRIS))


def test_class_names_and_features_reach_the_graph():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(IRIS, columns=["sepal length (cm)", "sepal.width", "pétale", "x y"])
    reading = check(lm.LogisticRegression(max_iter=500).fit(frame, NAMES[KIND]), frame, **CLOSE)
    assert reading.graph.inputs[0].features == tuple(frame.columns)
    assert reading.graph.outputs[1].classes == tuple(NAMES)


def test_nan_is_refused_like_the_original_does():
    assert read(lm.Ridge().fit(X, Y), Sample.of(X)).graph.inputs[0].missing == "error"


def test_unknown_attribute_is_refused():
    model = lm.Ridge().fit(X, Y)
    model.offset_ = 3.0
    with pytest.raises(UnsupportedAttribute, match="offset_") as caught:
        read(model, Sample.of(X))
    assert caught.value.attribute == "offset_"


@pytest.mark.parametrize("model", [lm.LogisticRegression(), lm.Lasso(), LinearSVC(), lm.RidgeClassifier()], ids=str)
def test_unfitted_is_refused(model):
    with pytest.raises(NotFitted, match="not fitted"):
        read(model, Sample.of(IRIS))


def test_subclass_with_own_predict_is_refused():
    class Louder(lm.LogisticRegression):
        def predict_proba(self, rows):
            return super().predict_proba(rows) ** 2

    with pytest.raises(UnsupportedModel, match="predict_proba"):
        read(Louder(max_iter=500).fit(IRIS, KIND), Sample.of(IRIS))


@pytest.mark.parametrize(
    ("labels", "state"),
    [
        (KIND, {"multi_class": "ovr"}),
        (KIND, {"multi_class": "auto", "solver": "liblinear"}),
        (KIND > 1, {"multi_class": "multinomial"}),
    ],
    ids=["one-vs-rest", "liblinear", "two classes by softmax"],
)
def test_old_multi_class_state_is_refused_where_the_installed_version_ignores_it(labels, state):
    model = lm.LogisticRegression(max_iter=500).fit(IRIS, labels)
    vars(model).update(state)
    with pytest.raises(UnsupportedAttribute, match="multi_class"):
        read(model, Sample.of(IRIS))


@pytest.mark.parametrize(("labels", "value"), [(KIND, "auto"), (KIND, "multinomial"), (KIND > 1, "auto"), (KIND > 1, "ovr")])
def test_old_multi_class_state_that_means_the_same_is_read(labels, value):
    model = lm.LogisticRegression(max_iter=500).fit(IRIS, labels)
    model.multi_class = value
    check(model, IRIS, **CLOSE)


class OldLogisticRegression(lm.LogisticRegression):
    """As before 1.8: the parameter multi_class is heeded."""

    def __init__(self, *, multi_class="auto", max_iter=100):
        super().__init__(max_iter=max_iter)
        self.multi_class = multi_class


def test_one_vs_rest_where_the_installed_version_heeds_it():
    parts = OneVsRestClassifier(lm.LogisticRegression(max_iter=500)).fit(IRIS, KIND)
    model = OldLogisticRegression(multi_class="ovr").fit(IRIS, KIND)
    model.coef_ = np.concatenate([part.coef_ for part in parts.estimators_])
    model.intercept_ = np.concatenate([part.intercept_ for part in parts.estimators_])
    far = np.concatenate([IRIS, IRIS[:3] - 1e5])
    reading = read(model, Sample.of(IRIS))
    got = Evaluator(reading.graph).run({"X": far})["probability"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_allclose(got, model._predict_proba_lr(far), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(got[: len(IRIS)], parts.predict_proba(IRIS), rtol=1e-12, atol=1e-12)


def test_two_classes_by_softmax_where_the_installed_version_heeds_it():
    model = OldLogisticRegression(multi_class="multinomial", max_iter=500).fit(IRIS, KIND > 1)
    got = Evaluator(read(model, Sample.of(IRIS)).graph).run({"X": IRIS})["probability"]
    scores = model.decision_function(IRIS)
    weights = np.exp(np.column_stack([-scores, scores]))
    np.testing.assert_allclose(got, weights / weights.sum(axis=1, keepdims=True), rtol=1e-10, atol=1e-12)


def test_callbacks_of_the_fit_do_not_matter():
    callback = pytest.importorskip("sklearn.callback")
    model = lm.LogisticRegression(max_iter=500).set_callbacks(callback.ScoringMonitor(scoring="accuracy")).fit(IRIS, KIND)
    assert model._skl_callbacks
    check(model, IRIS, **CLOSE)
