"""Estimators that hand rows on: searches, frozen and self-trained ones, thresholds, and all of them inside each other."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import RFE, RFECV, SelectFromModel
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from modelport.errors import NotFitted, UnsupportedAttribute
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import (
    check,
    check_formats,
    check_probes,
    on_splits,
    read,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore:Label:UserWarning")

IRIS, KIND = load_iris(return_X_y=True)
NAMES = load_iris().target_names[KIND]
X, Y = load_diabetes(return_X_y=True)
TISSUE, BENIGN = (part[:240, :6] if part.ndim == 2 else part[:240] for part in load_breast_cancer(return_X_y=True))
WORDS = np.where(BENIGN == 1, "yes", "no")
HALF = np.where(np.arange(150) % 3 == 0, KIND, -1)
FRAME = pd.DataFrame(IRIS, columns=["a b", "c", "d", "e"]).assign(
    town=np.array(["Oslo", "Bergen", "Røst"])[(IRIS[:, 0] * 10).astype(int) % 3]
)


def logistic():
    return LogisticRegression(max_iter=40)


def prepared(estimator):
    prepare = make_column_transformer((StandardScaler(), ["a b", "c"]), (OneHotEncoder(handle_unknown="ignore"), ["town"]))
    return make_pipeline(prepare, estimator)


# --- searches -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [GridSearchCV, RandomizedSearchCV, HalvingGridSearchCV, HalvingRandomSearchCV])
def test_searches(kind):
    values = {"C": [0.1, 1.0, 3.0]}
    more = {"n_iter": 2, "random_state": 0} if kind is RandomizedSearchCV else {}
    model = kind(logistic(), values, cv=2, **more).fit(IRIS, NAMES)
    check(model, IRIS, rtol=1e-12, atol=1e-14)


def test_a_search_over_a_pipeline_in_a_frame():
    model = GridSearchCV(
        prepared(logistic()), {"logisticregression__C": [0.1, 1.0]}, scoring=["accuracy", "f1_macro"], refit="f1_macro"
    )
    check(model.fit(FRAME, NAMES), FRAME, FRAME.assign(town="Tromsø"), rtol=1e-12, atol=1e-14)
    check_formats(model, FRAME, "onnx", "pmml")


def test_searches_of_what_is_no_classifier():
    clusters = GridSearchCV(KMeans(n_init=1, random_state=0), {"n_clusters": [2, 3]}, cv=2).fit(IRIS)
    assert [o.name for o in check(clusters, IRIS).graph.outputs] == ["cluster"]
    projection = GridSearchCV(PCA(), {"n_components": [2, 3]}, cv=2).fit(IRIS)
    assert [o.name for o in check(projection, IRIS, rtol=1e-12, atol=1e-13).graph.outputs] == ["transformed"]
    check(make_pipeline(projection, logistic()).fit(IRIS, NAMES), IRIS, rtol=1e-11, atol=1e-13)
    outliers = GridSearchCV(IsolationForest(random_state=0), {"n_estimators": [3]}, scoring=lambda *_: 0.0, cv=2).fit(IRIS)
    assert [o.name for o in check(outliers, IRIS, rtol=1e-14).graph.outputs] == ["label", "score"]


def test_a_search_over_texts():
    texts = ["the quick brown fox", "lazy dogs bark", "cats and dogs", "red fox jumps", "no dogs here", "a cat sat"] * 4
    model = GridSearchCV(make_pipeline(TfidfVectorizer(), logistic()), {"logisticregression__C": [0.1, 1.0]}, cv=2)
    check_formats(model.fit(texts, [0, 1, 1, 0, 1, 0] * 4), texts)


def test_a_search_that_kept_no_estimator_is_refused():
    model = GridSearchCV(logistic(), {"C": [0.1, 1.0]}, refit=False).fit(IRIS, NAMES)
    with pytest.raises(UnsupportedAttribute, match="refit is False"):
        read(model, Sample.of(IRIS))
    nested = make_pipeline(StandardScaler(), GridSearchCV(logistic(), {"C": [0.1]})).fit(IRIS, NAMES)
    nested[-1].refit = False
    with pytest.raises(UnsupportedAttribute, match="refit"):
        read(nested, Sample.of(IRIS))


# --- frozen, self-trained, selected -------------------------------------------------------------------------------------------


def test_frozen_estimators():
    check(FrozenEstimator(logistic().fit(IRIS, NAMES)), IRIS, rtol=1e-12, atol=1e-14)
    check(FrozenEstimator(StandardScaler().fit(IRIS)), IRIS)
    check(make_pipeline(FrozenEstimator(StandardScaler().fit(IRIS)), logistic()).fit(IRIS, NAMES), IRIS, rtol=1e-12, atol=1e-14)
    check(FrozenEstimator(make_pipeline(StandardScaler(), PCA(2)).fit(IRIS)), IRIS, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("inner", [logistic(), DecisionTreeClassifier(max_depth=3, random_state=0)], ids=str)
@pytest.mark.parametrize("options", [{}, {"criterion": "k_best", "max_iter": None}, {"threshold": 0.9}], ids=str)
def test_self_training(inner, options):
    check(SelfTrainingClassifier(inner, **options).fit(IRIS, HALF), IRIS, rtol=1e-12, atol=1e-14)
    frame = FRAME.drop(columns="town")
    check(SelfTrainingClassifier(inner, **options).fit(frame, HALF), frame, rtol=1e-12, atol=1e-14)


def test_eliminations_and_selections():
    check(make_pipeline(StandardScaler(), RFE(logistic(), n_features_to_select=2)).fit(IRIS, NAMES), IRIS, rtol=1e-12, atol=1e-14)
    model = RFECV(RandomForestClassifier(4, random_state=0), cv=2).fit(IRIS, NAMES)
    check(model, IRIS)
    chosen = make_pipeline(SelectFromModel(GradientBoostingClassifier(n_estimators=3)), logistic()).fit(IRIS, NAMES)
    check(chosen, IRIS, rtol=1e-12, atol=1e-14)


# --- thresholds ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["auto", "predict_proba", "decision_function"])
@pytest.mark.parametrize("positive", [None, "yes", "no"], ids=str)
@pytest.mark.parametrize("threshold", ["auto", 0.3, -0.5])
def test_fixed_thresholds(method, positive, threshold):
    model = FixedThresholdClassifier(logistic(), threshold=threshold, pos_label=positive, response_method=method)
    check(model.fit(TISSUE, WORDS if positive else BENIGN), TISSUE, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("positive", [0, 1])
def test_a_threshold_that_trees_hit_exactly(positive):
    """A row whose share equals the threshold counts as positive."""
    inner = RandomForestClassifier(4, max_depth=2, random_state=0, max_features=1).fit(TISSUE, BENIGN)
    shares = np.unique(inner.predict_proba(TISSUE)[:, positive])
    for threshold in shares[:: max(1, len(shares) // 6)].tolist():
        model = FixedThresholdClassifier(inner, threshold=threshold, pos_label=positive)
        reading = check(model, TISSUE, on_splits(inner, TISSUE))
        assert not reading.doubts
    with pytest.raises(NotFitted):
        read(FixedThresholdClassifier(logistic()), Sample.of(TISSUE))


@pytest.mark.parametrize(
    "model",
    [
        TunedThresholdClassifierCV(logistic(), scoring="f1", store_cv_results=True),
        TunedThresholdClassifierCV(LinearSVC(), response_method="decision_function"),
        TunedThresholdClassifierCV(FrozenEstimator(logistic().fit(TISSUE, BENIGN)), cv="prefit", refit=False),
        TunedThresholdClassifierCV(RandomForestClassifier(5, random_state=0), thresholds=[0.2, 0.5, 0.8], cv=0.5),
    ],
    ids=str,
)
def test_tuned_thresholds(model):
    check(model.fit(TISSUE, BENIGN), TISSUE, rtol=1e-12, atol=1e-13)
    check_formats(model, TISSUE, "onnx", "pmml")


# --- inside each other --------------------------------------------------------------------------------------------------------


def nested():
    calibrated = CalibratedClassifierCV(BaggingClassifier(LinearSVC(), 2, random_state=0), cv=2)
    searched = GridSearchCV(logistic(), {"C": [0.1, 1.0]}, cv=2)
    stack = StackingClassifier([("c", calibrated), ("g", searched)], final_estimator=AdaBoostClassifier(n_estimators=3), cv=2)
    rest = OneVsRestClassifier(ExtraTreesClassifier(3, random_state=0))
    return make_pipeline(StandardScaler(with_mean=False), VotingClassifier([("s", stack), ("o", rest)], voting="soft"))


def test_nested_to_some_depth():
    reading = check(nested().fit(IRIS, NAMES), IRIS, rtol=1e-11, atol=1e-13)
    assert len(check_probes(reading, IRIS, 1e-9, 1e-11)) > 5
    model = GridSearchCV(prepared(nested()), {"pipeline__votingclassifier__voting": ["soft"]}, cv=2).fit(FRAME, NAMES)
    check(model, FRAME, FRAME.assign(town="Tromsø"), rtol=1e-11, atol=1e-13)
    check_formats(model, FRAME, "onnx", "pmml")


def test_predictors_as_transformers_side_by_side():
    voting = VotingClassifier([("l", logistic()), ("t", DecisionTreeClassifier(max_depth=3))], voting="soft")
    stack = StackingClassifier([("l", logistic()), ("t", DecisionTreeClassifier(max_depth=3))], cv=2)
    model = make_pipeline(make_union(voting, stack, PCA(2), KMeans(3, n_init=1, random_state=0)), logistic()).fit(IRIS, NAMES)
    check(model, IRIS, rtol=1e-10, atol=1e-12)


def test_refusals():
    for model in (SelfTrainingClassifier(logistic()).fit(IRIS, HALF), GridSearchCV(logistic(), {"C": [1.0]}).fit(IRIS, KIND)):
        model.extra_ = 1
        with pytest.raises(UnsupportedAttribute, match="extra_"):
            read(model, Sample.of(IRIS))
    with pytest.raises(NotFitted, match="GridSearchCV"):
        read(GridSearchCV(logistic(), {"C": [1.0]}), Sample.of(IRIS))
    with pytest.raises(NotFitted):
        read(FrozenEstimator(logistic()), Sample.of(IRIS))
