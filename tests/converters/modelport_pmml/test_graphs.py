"""Graphs built by hand from fitted scikit-learn models that have heads of their own; the judge is the model."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import QuantileTransformer, StandardScaler
from sklearn.svm import SVC, SVR

from modelport.document import Tolerance
from modelport.graph import Graph, Input, Output, Step
from tests.converters.modelport_pmml.common import CLOSE, ENGINES, agree, chain, engine, strings, write

pytestmark = pytest.mark.parametrize("kind", ENGINES)


def far_rows(X: np.ndarray) -> np.ndarray:
    """The rows, and rows so far away that every density underflows and every exponential overflows."""
    return np.vstack([X, X * 1e4, -X * 1e4, np.zeros((1, X.shape[1])), np.full((1, X.shape[1]), -0.0)])


@pytest.mark.parametrize("load", [load_iris, load_wine, load_digits])
def test_naive_bayes_far_from_its_classes(load, kind: str, need) -> None:  # type: ignore[no-untyped-def]
    X, y = load(return_X_y=True)
    model = GaussianNB(var_smoothing=1e-3).fit(X, y)
    graph = chain(
        [Input("X", "f64", (X.shape[1],))],
        [
            (
                "gaussian_ll",
                ["X"],
                "likelihood",
                {"mean": model.theta_, "var": model.var_, "log_prior": np.log(model.class_prior_)},
            ),
            ("softmax", ["likelihood"], "share", {}),
            ("reduce", ["likelihood"], "index", {"fn": "argmax"}),
            ("take", ["index"], "class", {"table": model.classes_.astype(np.int64)}),
        ],
        [("label", "class", "prediction"), ("probability", "share", "probability")],
    )
    rows = far_rows(X[:: 1 + len(X) // 20])
    expected = {"label": model.predict(rows), "probability": model.predict_proba(rows)}
    # what is left of a difference of two sums near 1e10 is off by 1e-6, in any order
    tolerance = {"probability": Tolerance(1e-9, 1e-6)}
    certain = np.abs(np.diff(np.sort(model.predict_joint_log_proba(rows), axis=1)[:, -2:], axis=1))[:, 0] > 1e-3
    rows, expected = rows[certain], {k: v[certain] for k, v in expected.items()}
    loaded = engine(kind, write(graph, {"X": rows}, expected, tolerance), need)
    agree(loaded, {"X": rows}, expected, tolerance)


def kernel_steps(model, gamma: float) -> list:  # type: ignore[type-arg,no-untyped-def]
    """Decisions of the pairs of classes of a fitted SVC: pairwise, then linear."""
    coefficients = pair_weights(model)
    settings = {"points": model.support_vectors_, "metric": "rbf", "gamma": gamma}
    return [
        ("pairwise", ["scaled"], "kernel", settings),
        ("linear", ["kernel"], "decision", {"weight": coefficients, "bias": model.intercept_}),
    ]


def pair_weights(model) -> np.ndarray:  # type: ignore[no-untyped-def]
    """dual_coef_ of libsvm as one row per pair of classes."""
    ends = np.cumsum(model.n_support_)
    starts = ends - model.n_support_
    k = len(model.classes_)
    rows = []
    for i in range(k):
        for j in range(i + 1, k):
            row = np.zeros(len(model.support_vectors_))
            row[starts[i] : ends[i]] = model.dual_coef_[j - 1, starts[i] : ends[i]]
            row[starts[j] : ends[j]] = model.dual_coef_[i, starts[j] : ends[j]]
            rows.append(row)
    return np.array(rows) if k > 2 else model.dual_coef_


def test_support_vectors_vote(kind: str, need) -> None:  # type: ignore[no-untyped-def]
    X, y = load_wine(return_X_y=True)
    scaler = StandardScaler().fit(X)
    model = SVC(gamma=0.1, decision_function_shape="ovr").fit(scaler.transform(X), strings("red", "white", "other")[y])
    graph = chain(
        [Input("X", "f64", (13,))],
        [
            ("scale", ["X"], "scaled", {"sub": scaler.mean_, "div": scaler.scale_}),
            *kernel_steps(model, 0.1),
            ("ovo_vote", ["decision"], "shape", {"classes": 3, "mode": "ovr"}),
            ("ovo_vote", ["decision"], "votes", {"classes": 3, "mode": "votes"}),
            ("reduce", ["votes"], "index", {"fn": "argmax"}),
            ("take", ["index"], "class", {"table": model.classes_.astype(object)}),
        ],
        [("label", "class", "prediction"), ("score", "shape", "score")],
    )
    rows = X[::3] + np.random.default_rng(0).normal(size=X[::3].shape)
    scaled = scaler.transform(rows)
    expected = {"label": model.predict(scaled).astype(object), "score": model.decision_function(scaled)}
    loaded = engine(kind, write(graph, {"X": rows}, expected, {"score": CLOSE}), need)
    agree(loaded, {"X": rows}, expected, {"score": CLOSE})


def test_support_vectors_of_two_classes(kind: str, need) -> None:  # type: ignore[no-untyped-def]
    X, y = load_breast_cancer(return_X_y=True)
    scaler = StandardScaler().fit(X)
    model = SVC(gamma=0.02).fit(scaler.transform(X), y)
    graph = chain(
        [Input("X", "f64", (30,))],
        [
            ("scale", ["X"], "scaled", {"sub": scaler.mean_, "div": scaler.scale_}),
            *kernel_steps(model, 0.02),
            ("constant", [], "zero", {"value": np.zeros(1)}),
            ("concat", ["zero", "decision"], "both", {}),
            ("reduce", ["both"], "index", {"fn": "argmax"}),
            ("take", ["index"], "class", {"table": np.array([0, 1])}),
            ("reduce", ["decision"], "margin", {"fn": "max"}),
        ],
        [("label", "class", "prediction"), ("score", "margin", "score")],
    )
    rows = X[::4]
    expected = {"label": model.predict(scaler.transform(rows)), "score": model.decision_function(scaler.transform(rows))}
    agree(engine(kind, write(graph, {"X": rows}, expected, {"score": CLOSE}), need), {"X": rows}, expected, {"score": CLOSE})


@pytest.mark.parametrize("metric", ["rbf", "poly", "sigmoid", "dot"])
def test_support_vector_regression(metric: str, kind: str, need) -> None:  # type: ignore[no-untyped-def]
    X = load_iris(return_X_y=True)[0]
    model = SVR(kernel={"dot": "linear"}.get(metric, metric), gamma=0.05, coef0=0.5, degree=2).fit(X[:, :3], X[:, 3])
    settings = {"points": model.support_vectors_, "metric": metric, "gamma": 0.05, "coef0": 0.5, "degree": 2.0}
    graph = chain(
        [Input("X", "f64", (3,), "error", ("a", "b", "c"))],
        [
            ("pairwise", ["X"], "kernel", settings),
            ("linear", ["kernel"], "y", {"weight": model.dual_coef_, "bias": model.intercept_}),
            ("reduce", ["y"], "value", {"fn": "max"}),
        ],
        [("prediction", "value", "prediction")],
    )
    rows, tolerance = X[::3, :3], {"prediction": Tolerance(1e-11, 1e-11)}
    expected = {"prediction": model.predict(rows)}
    agree(engine(kind, write(graph, {"X": rows}, expected, tolerance), need), {"X": rows}, expected, tolerance)


def test_one_against_the_rest(kind: str, need) -> None:  # type: ignore[no-untyped-def]
    X, y = load_iris(return_X_y=True)
    model = OneVsRestClassifier(LogisticRegression()).fit(X, y)
    weight = np.vstack([e.coef_ for e in model.estimators_])
    graph = chain(
        [Input("X", "f64", (4,))],
        [
            ("linear", ["X"], "score", {"weight": weight, "bias": np.array([e.intercept_[0] for e in model.estimators_])}),
            ("unary", ["score"], "each", {"fn": "sigmoid"}),
            ("reduce", ["each"], "total", {"fn": "sum", "keep": True}),
            ("binary", ["each", "total"], "share", {"fn": "div"}),
            ("reduce", ["each"], "index", {"fn": "argmax"}),
            ("take", ["index"], "class", {"table": np.arange(3)}),
        ],
        [("label", "class", "prediction"), ("probability", "share", "probability")],
    )
    expected = {"label": model.predict(X), "probability": model.predict_proba(X)}
    loaded = engine(kind, write(graph, {"X": X}, expected, {"probability": CLOSE}), need)
    agree(loaded, {"X": X}, expected, {"probability": CLOSE})


def forest_attributes(trees) -> dict:  # type: ignore[type-arg,no-untyped-def]
    """scikit-learn trees as attributes of tree_ensemble, with the depth of each leaf as isolation forests count it."""
    from sklearn.ensemble._iforest import _average_path_length

    feature, threshold, right, leaf, start = [], [], [], [], []
    for t in trees:
        origin = len(feature)
        start.append(origin)
        depth = np.zeros(t.node_count)
        for i in range(t.node_count):
            feature.append(int(t.feature[i]) if t.children_left[i] >= 0 else -1)
            if t.children_left[i] < 0:
                leaf.append(depth[i] + _average_path_length([t.n_node_samples[i]])[0])
                continue
            depth[[t.children_left[i], t.children_right[i]]] = depth[i] + 1
            limit = np.float32(t.threshold[i])
            threshold.append(limit if limit <= t.threshold[i] else np.nextafter(limit, np.float32(-np.inf)))
            right.append(int(t.children_right[i]))
    return {
        "dtype": "f32",
        "start": np.array(start),
        "feature": np.array(feature),
        "threshold": np.array(threshold, dtype=np.float32),
        "right": np.array(right),
        "leaf": np.array(leaf),
    }


def test_isolation_forest(kind: str, need) -> None:  # type: ignore[no-untyped-def]
    from sklearn.ensemble._iforest import _average_path_length

    X = load_wine(return_X_y=True)[0]
    model = IsolationForest(n_estimators=8, max_samples=64, contamination=0.1, random_state=0).fit(X)
    graph = chain(
        [Input("X", "f64", (13,))],
        [
            ("tree_ensemble", ["X"], "depth", forest_attributes([e.tree_ for e in model.estimators_])),
            (
                "scale",
                ["depth"],
                "power",
                {"div": np.array([-8.0 * _average_path_length([64])[0]]), "mul": np.array([np.log(2.0)])},
            ),
            ("unary", ["power"], "outlying", {"fn": "exp"}),
            ("scale", ["outlying"], "score", {"mul": np.array([-1.0]), "add": np.array([-model.offset_])}),
            ("constant", [], "zero", {"value": np.zeros(1)}),
            ("binary", ["score", "zero"], "outside", {"fn": "lt"}),
            ("cast", ["outside"], "index", {"to": "i64"}),
            ("reduce", ["score"], "decision", {"fn": "max"}),
            ("take", ["index"], "inlier", {"table": np.array([1, -1])}),
        ],
        [("label", "inlier", "anomaly"), ("score", "decision", "score")],
    )
    expected = {"label": model.predict(X)[:, None], "score": model.decision_function(X)}
    agree(engine(kind, write(graph, {"X": X}, expected, {"score": CLOSE}), need), {"X": X}, expected, {"score": CLOSE})


def test_normal_quantiles_keep_their_digits(kind: str, need) -> None:  # type: ignore[no-untyped-def]
    X = load_iris(return_X_y=True)[0][:, :1]
    model = QuantileTransformer(n_quantiles=20, output_distribution="normal").fit(X)
    x, q = np.unique(model.quantiles_[:, 0], return_index=True)
    bounds = {"min": np.array([1e-7 - np.spacing(1)]), "max": np.array([1 - 1e-7 + np.spacing(1)])}
    graph = chain(
        [Input("x", "f64", (1,))],
        [
            ("interp", ["x"], "share", {"x": x, "y": model.references_[q], "outside": "clip"}),
            ("clip", ["share"], "inside", bounds),
            ("unary", ["inside"], "normal", {"fn": "norm_ppf"}),
        ],
        [("transformed", "normal", "transform")],
    )
    rows = np.vstack([[[v] for v in np.linspace(4.0, 8.2, 57)]])
    strict = (rows[:, 0] < x[0]) | (rows[:, 0] > x[-1])
    rows = rows[strict | ~np.isin(rows[:, 0], x)]
    from scipy.stats import norm

    shares = np.interp(rows, x, model.references_[q])
    expected = {"transformed": np.clip(norm.ppf(shares), norm.ppf(1e-7 - np.spacing(1)), norm.ppf(1 - 1e-7 + np.spacing(1)))}
    tolerance = {"transformed": Tolerance(1e-11, 1e-11)}
    agree(engine(kind, write(graph, {"x": rows}, expected, tolerance), need), {"x": rows}, expected, tolerance)


def test_stacked_models(kind: str, need) -> None:  # type: ignore[no-untyped-def]
    """The answers of a forest are fields of a logistic regression; a second ensemble starts from a linear model."""
    from sklearn.tree import DecisionTreeRegressor

    X, y = load_iris(return_X_y=True)
    first = DecisionTreeRegressor(max_depth=3, random_state=0).fit(X, y)
    shallow = forest_attributes([first.tree_])
    shallow["leaf"] = first.tree_.value[first.tree_.children_left < 0, 0, 0]
    graph = Graph(
        [Input("X", "f64", (4,), "error", ("a", "b", "c", "d"))],
        [
            Step("linear", ["X"], "line", {"weight": np.array([[0.1, -0.2, 0.3, 0.4]]), "bias": np.array([0.5])}),
            Step("tree_ensemble", ["X", "line"], "sum", shallow),
            Step("concat", ["sum", "X"], "more", {}),
            Step("linear", ["more"], "score", {"weight": np.array([[1.0, 0.0, 0.1, 0.0, -0.5]])}),
            Step("unary", ["score"], "p", {"fn": "sigmoid"}),
            Step("two_class", ["p"], "share", {}),
        ],
        [Output("probability", "share", "f64", "probability", ("no", "yes")), Output("between", "sum", "f64", "score")],
    )
    between = X @ [0.1, -0.2, 0.3, 0.4] + 0.5 + first.predict(X)
    p = 1 / (1 + np.exp(-(between + 0.1 * X[:, 1] - 0.5 * X[:, 3])))
    expected = {"probability": np.column_stack([1 - p, p]), "between": between[:, None]}
    tolerance = {"probability": CLOSE, "between": CLOSE}
    agree(engine(kind, write(graph, {"X": X}, expected, tolerance), need), {"X": X}, expected, tolerance)


def test_ties_go_to_the_first_of_many_classes(kind: str, need) -> None:  # type: ignore[no-untyped-def]
    names = strings(*"hgfedcba")
    graph = chain(
        [Input("X", "f64", (8,))],
        [
            ("softmax", ["X"], "share", {}),
            ("reduce", ["X"], "index", {"fn": "argmax"}),
            ("take", ["index"], "class", {"table": names}),
        ],
        [("label", "class", "prediction"), ("probability", "share", "probability")],
    )
    rows = np.array(
        [[0, 1, 1, 0, 1, 0, 0, 1], [2, 2, 2, 2, 2, 2, 2, 2], [0, 0, 0, 0, 0, 900, 0, 900], [0, 0, 0, 3, 0, 0, 3, -900]],
        dtype=float,
    )
    power = np.exp(rows - rows.max(axis=1, keepdims=True))
    expected = {"label": names[rows.argmax(axis=1)], "probability": power / power.sum(axis=1, keepdims=True)}
    agree(
        engine(kind, write(graph, {"X": rows}, expected, {"probability": CLOSE}), need),
        {"X": rows},
        expected,
        {"probability": CLOSE},
    )


def test_equally_near_clusters(kind: str, need) -> None:  # type: ignore[no-untyped-def]
    points = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 0.0], [1.0, -1.0], [0.0, 2.0], [2.0, 2.0]])
    graph = chain(
        [Input("X", "f64", (2,))],
        [
            ("pairwise", ["X"], "far", {"points": points, "metric": "sqeuclidean"}),
            ("reduce", ["far"], "nearest", {"fn": "argmin"}),
        ],
        [("cluster", "nearest", "cluster")],
    )
    rows = np.array([[1.0, 0.0], [1.0, 1.0], [1.5, 1.5], [0.0, 1.0], [9.0, 9.0], [1.0, 2.0], [2.0, 1.0], [1e30, 1e30]])
    expected = {"cluster": ((rows[:, None] - points) ** 2).sum(axis=2).argmin(axis=1)}
    agree(engine(kind, write(graph, {"X": rows}, expected), need), {"X": rows}, expected)


def test_a_threshold_of_its_own(kind: str, need) -> None:  # type: ignore[no-untyped-def]
    """A label that is not the largest probability is written out."""
    graph = chain(
        [Input("x", "f64", (1,))],
        [
            ("linear", ["x"], "s", {"weight": np.array([[1.0]])}),
            ("unary", ["s"], "p", {"fn": "sigmoid"}),
            ("two_class", ["p"], "share", {}),
            ("constant", [], "limit", {"value": np.array([0.25])}),
            ("binary", ["p", "limit"], "above", {"fn": "ge"}),
            ("reduce", ["p"], "scalar", {"fn": "max"}),
            ("reduce", ["limit"], "bound", {"fn": "max"}),
            ("binary", ["scalar", "bound"], "over", {"fn": "ge"}),
            ("cast", ["over"], "index", {"to": "i64"}),
            ("take", ["index"], "class", {"table": np.array([False, True])}),
        ],
        [("label", "class", "prediction"), ("probability", "share", "probability"), ("flag", "above", "score")],
    )
    rows = np.array([[-3.0], [-1.2], [-1.0], [0.0], [2.0]])
    p = 1 / (1 + np.exp(-rows))
    expected = {"label": (p >= 0.25)[:, 0], "probability": np.hstack([1 - p, p]), "flag": p >= 0.25}
    agree(
        engine(kind, write(graph, {"x": rows}, expected, {"probability": CLOSE}), need),
        {"x": rows},
        expected,
        {"probability": CLOSE},
    )
