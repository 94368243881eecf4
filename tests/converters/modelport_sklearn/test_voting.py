"""Voting and stacking: weights, ties, dropped estimators, what is passed through, and both as transformers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import (
    RandomForestClassifier,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from modelport.doubts import in_doubt
from modelport.errors import NotFitted, UnsupportedAttribute
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import check, check_formats, check_probes, hard_rows, on_splits, read

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore:Label:UserWarning")

IRIS, KIND = load_iris(return_X_y=True)
NAMES = load_iris().target_names[KIND]
X, Y = load_diabetes(return_X_y=True)
TISSUE, BENIGN = (part[:200] for part in load_breast_cancer(return_X_y=True))
MANY = np.column_stack([KIND == 0, IRIS[:, 1] > 3.0, IRIS[:, 2] > 4.0]).astype(int)
FRAME = pd.DataFrame(IRIS, columns=["a b", "c", "d", "e"]).assign(
    town=np.array(["Oslo", "Bergen", "Røst"])[(IRIS[:, 0] * 10).astype(int) % 3]
)


def voters():
    linear = make_pipeline(StandardScaler(), LogisticRegression())
    return [("linear", linear), ("bayes", GaussianNB()), ("forest", RandomForestClassifier(5, max_depth=4, random_state=0))]


def stumps(count=5):
    """Trees that disagree often."""
    return [(f"t{k}", DecisionTreeClassifier(max_depth=2, max_features=1, random_state=k)) for k in range(count)]


def regressors():
    return [("ridge", Ridge()), ("tree", DecisionTreeRegressor(max_depth=3, random_state=0)), ("linear", LinearRegression())]


def prepared(estimator):
    return make_pipeline(
        make_column_transformer((StandardScaler(), ["a b", "c"]), (OneHotEncoder(handle_unknown="ignore"), ["town"])), estimator
    )


@pytest.mark.parametrize("voting", ["hard", "soft"])
@pytest.mark.parametrize("weights", [None, [1, 2, 0.5], [1, 0, 0]], ids=str)
@pytest.mark.parametrize("labels", [KIND, NAMES, KIND > 1], ids=["integers", "strings", "booleans"])
def test_votes(voting, weights, labels):
    reading = check(VotingClassifier(voters(), voting=voting, weights=weights).fit(IRIS, labels), IRIS, rtol=1e-12, atol=1e-14)
    assert [o.name for o in reading.graph.outputs] == ["label"] + ["probability"] * (voting == "soft")


@pytest.mark.parametrize("voting", ["hard", "soft"])
@pytest.mark.parametrize("weights", [None, [1.0, 1.0, 2.0, 0.5, 0.5], [0.1, 0.2, 0.3, 0.1, 0.2]], ids=str)
def test_votes_of_trees_are_exact_ties_too(voting, weights):
    model = VotingClassifier(stumps(), voting=voting, weights=weights).fit(IRIS, NAMES)
    rows = on_splits(model, IRIS)
    check(model, IRIS, rows, hard_rows(4))
    counts = np.sort(np.stack([np.bincount(row, minlength=3) for row in model._predict(rows)]), axis=1)
    assert weights or (counts[:, -1] == counts[:, -2]).any(), "there are ties among these rows"


def test_a_vote_that_rounding_decides_is_in_doubt():
    linear = LogisticRegression().fit(IRIS, KIND > 0)
    model = VotingClassifier([("linear", linear), ("bayes", GaussianNB())]).fit(IRIS, KIND > 0)
    inner = model.estimators_[0]
    inner.intercept_ -= inner.decision_function(IRIS[7:8])  # row 7 lies on the border, as far as can be told
    reading = read(model, Sample.of(IRIS))
    assert np.flatnonzero(in_doubt(reading.graph, reading.doubts, {"X": IRIS})).tolist() == [7]
    exact = VotingClassifier(stumps()).fit(IRIS, NAMES)
    assert not read(exact, Sample.of(IRIS)).doubts


@pytest.mark.parametrize("voting", ["hard", "soft"])
def test_a_dropped_voter_takes_its_weight_along(voting):
    model = VotingClassifier(voters(), voting=voting, weights=[1, 5, 2]).set_params(bayes="drop").fit(IRIS, NAMES)
    check(model, IRIS, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("weights", [None, [1, 2, 3]], ids=str)
def test_voting_regressor(weights):
    check(VotingRegressor(regressors(), weights=weights).fit(X, Y), X, rtol=1e-12)
    check(VotingRegressor(regressors(), weights=weights).set_params(tree="drop").fit(X, Y), X, rtol=1e-12)


@pytest.mark.parametrize("voting", ["hard", "soft"])
def test_a_vote_inside_a_pipeline_is_a_transformer(voting):
    model = make_pipeline(StandardScaler(), VotingClassifier(voters(), voting=voting), LogisticRegression()).fit(IRIS, NAMES)
    check_probes(check(model, IRIS, rtol=1e-11, atol=1e-13), IRIS, 1e-9, 1e-12)
    check(make_pipeline(VotingRegressor(regressors()), LinearRegression()).fit(X, Y), X, rtol=1e-11)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"passthrough": True},
        {"stack_method": "predict"},
        {"stack_method": "predict_proba", "final_estimator": RandomForestClassifier(5, random_state=0)},
        {"final_estimator": LinearSVC()},
        {"final_estimator": VotingClassifier([("a", GaussianNB()), ("b", LogisticRegression())])},
    ],
    ids=str,
)
@pytest.mark.parametrize(("rows", "labels"), [(IRIS, NAMES), (TISSUE, BENIGN > 0)], ids=["three", "two"])
def test_stacks(options, rows, labels):
    check(StackingClassifier(voters(), cv=3, **options).fit(rows, labels), rows, rtol=1e-11, atol=1e-13)


def test_a_stack_of_scores():
    inner = [("svc", LinearSVC()), ("logistic", LogisticRegression(max_iter=40))]
    check(StackingClassifier(inner, stack_method="decision_function", cv=3).fit(IRIS, NAMES), IRIS, rtol=1e-11, atol=1e-13)
    check(StackingClassifier(inner, cv=3).set_params(svc="drop").fit(IRIS, NAMES), IRIS, rtol=1e-11, atol=1e-13)


def test_a_stack_of_estimators_fitted_before():
    inner = [("svc", LinearSVC().fit(IRIS, KIND)), ("bayes", GaussianNB().fit(IRIS, KIND))]
    check(StackingClassifier(inner, cv="prefit").fit(IRIS, KIND), IRIS, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(
    "final", [RandomForestClassifier(4, random_state=0), MLPClassifier((5,), max_iter=60, random_state=0)], ids=str
)
@pytest.mark.parametrize("labels", [MANY, MANY[:, :2]], ids=["three", "two"])
def test_stacks_of_several_labels_per_row(final, labels):
    """scikit-learn then gives the share of each label's first class, and leaves out a column when there are two labels."""
    inner = [
        ("forest", RandomForestClassifier(4, random_state=0)),
        ("net", MLPClassifier((5,), max_iter=60, random_state=0)),
    ]
    model = StackingClassifier(inner, final_estimator=final, cv=3).fit(IRIS, labels)
    reading = check(model, IRIS, rtol=1e-10, atol=1e-12)
    assert reading.graph.types[reading.graph.outputs[0].source].shape == (labels.shape[1],)


@pytest.mark.parametrize("passthrough", [True, False])
def test_stacking_regressor(passthrough):
    check(StackingRegressor(regressors(), passthrough=passthrough, cv=3).fit(X, Y), X, rtol=1e-11)
    check(make_pipeline(StackingRegressor(regressors(), passthrough=passthrough, cv=3), Ridge()).fit(X, Y), X, rtol=1e-11)


@pytest.mark.parametrize("kind", [VotingClassifier, StackingClassifier])
def test_columns_of_a_frame_reach_the_estimators_by_name(kind):
    model = kind([("p", prepared(LogisticRegression())), ("q", prepared(RandomForestClassifier(3, random_state=0)))])
    model.fit(FRAME, NAMES)
    unseen = FRAME.assign(town="Tromsø")
    check(model, FRAME, unseen, rtol=1e-11, atol=1e-13)
    check_formats(model, FRAME, "onnx", "pmml")


@pytest.mark.parametrize(
    "model",
    [
        VotingClassifier(voters(), weights=[1, 2, 0.5]),
        VotingClassifier(voters(), voting="soft"),
        StackingClassifier(voters(), passthrough=True),
        make_pipeline(VotingClassifier(voters()), LogisticRegression()),
        make_pipeline(StackingClassifier(voters()), LogisticRegression()),
    ],
    ids=str,
)
def test_all_formats(model):
    check_formats(model.fit(IRIS, NAMES), IRIS, "onnx", "pmml")


def test_refusals():
    with pytest.raises(NotFitted, match="VotingClassifier"):
        read(VotingClassifier(voters()), Sample.of(IRIS))
    negative = VotingClassifier(voters(), weights=[1, -1, 1]).fit(IRIS, NAMES)
    with pytest.raises(UnsupportedAttribute, match="negative"):
        read(negative, Sample.of(IRIS))
    unflat = make_pipeline(VotingClassifier(voters(), voting="soft", flatten_transform=False)).fit(IRIS, NAMES)
    check(unflat, IRIS, rtol=1e-12, atol=1e-14)  # as a predictor it does not matter
    for model in (VotingRegressor(regressors()).fit(X, Y), StackingRegressor(regressors()).fit(X, Y)):
        model.extra_ = 1
        with pytest.raises(UnsupportedAttribute, match="extra_"):
            read(model, Sample.of(X))
