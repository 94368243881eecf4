"""Nearest neighbours: k of them or those within a radius; classifiers, regressors, transformers and the local outlier factor."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..builder import Array, Builder, Prediction, Table, labels_table
from ..dispatch import predicts, transforms
from ..ledger import Ledger
from ..versions import sklearn_version
from .clustering import nearest
from .distances import EPS, RELATIVE, SAME, Distances, add_distances, doubt_nearest, doubt_radius
from .guards import refuse_unless
from .linear import dense
from .outliers import inlier_label
from .pairwise_kernels import EXPANDED

#: The largest distance whose inverse is infinite.
NO_DISTANCE = 2.0**-1024

# --- k nearest ----------------------------------------------------------------------------------------------------------------


@predicts("KNeighborsClassifier")
def k_neighbors_classifier(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """The share of each class among the k nearest rows; the first of the largest shares."""
    weights, k = _weights(ledger), int(ledger["n_neighbors"])
    ledger.waive("radius", "n_samples_fit_")
    distances = add_distances(ledger, builder, table)
    classes, targets = _classes(ledger)
    _check_k(ledger, k, distances)
    doubt_nearest(builder, distances, k, targets, exact=weights == "distance")
    measured, values = _invertible(ledger, builder, distances, weights), []
    for column, names in zip(targets.T, classes, strict=True):
        attributes = {"k": k, "weights": weights, "classes": len(names), "targets": np.ascontiguousarray(column)}
        values.append(builder.add("knn", measured, hint="probability", **attributes))
    return class_shares(ledger, builder, values, classes)


@predicts("KNeighborsRegressor")
def k_neighbors_regressor(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """The mean target of the k nearest rows."""
    weights, k = _weights(ledger), int(ledger["n_neighbors"])
    ledger.waive("radius", "n_samples_fit_")
    distances = add_distances(ledger, builder, table)
    targets, flat = _targets(ledger)
    _check_k(ledger, k, distances)
    doubt_nearest(builder, distances, k, targets, exact=weights == "distance")
    measured = _invertible(ledger, builder, distances, weights)
    value = builder.add("knn", measured, hint="mean" if flat else "prediction", k=k, weights=weights, targets=targets)
    return Prediction(prediction=builder.scalar(value, "prediction") if flat else value)


def _invertible(ledger: Ledger, builder: Builder, distances: Distances, weights: str) -> str:
    """The distances, those whose inverse is infinite as 0: to the original such a row is the stored row itself.

    Only sums and maxima of differences can be so small, and only beside a stored 0 or a number as good as 0.
    """
    points = ledger.estimator._fit_X
    named = SAME.get(str(ledger.estimator.effective_metric_))
    if weights != "distance" or named not in ("manhattan", "chebyshev") or not (np.abs(dense(points)) < 2.0**-970).any():
        return distances.value
    bound = builder.constant([NO_DISTANCE], "no_distance")
    same = builder.add("binary", distances.value, bound, hint="is_same", fn="le")
    return builder.add("where", same, builder.constant([0.0], "zero"), distances.value, hint="distances")


def class_shares(ledger: Ledger, builder: Builder, values: list[str], classes: list[Array]) -> Prediction:
    """The label with the largest share, for one output or several."""
    if not ledger["outputs_2d_"]:
        return Prediction(label=builder.label_of_largest(values[0], classes[0]), classes=classes[0], probability=values[0])
    labels = [builder.label_of_largest(v, c, hint=f"label_{k}") for k, (v, c) in enumerate(zip(values, classes, strict=True))]
    return Prediction(label=builder.add("concat", *labels, hint="label"), classes=classes, probabilities=tuple(values))


def _weights(ledger: Ledger) -> str:
    weights = ledger["weights"]
    if callable(weights):
        name = getattr(weights, "__name__", type(weights).__name__)
        raise ledger.refuse("weights", f"is the function {name}, which cannot be exported as code: use 'uniform' or 'distance'.")
    return "uniform" if weights is None else str(weights)


def _check_k(ledger: Ledger, k: int, distances: Distances) -> None:
    if k > distances.size:
        raise ledger.refuse(
            "n_neighbors", f"is {k}, more than the {distances.size} rows it was fitted on, and predict refuses that: lower it."
        )


def _classes(ledger: Ledger) -> tuple[list[Array], Array]:
    """Class labels per output, and class numbers [rows, outputs]."""
    classes, numbers = ledger["classes_"], np.asarray(ledger["_y"], dtype=np.int64)
    if ledger["outputs_2d_"]:
        return [np.asarray(c) for c in classes], numbers
    return [np.asarray(classes)], numbers.reshape(-1, 1)


def _targets(ledger: Ledger) -> tuple[Array, bool]:
    """Targets [rows, outputs], and whether the original gives one number per row."""
    targets = np.asarray(ledger["_y"], dtype=np.float64)
    return np.ascontiguousarray(targets.reshape(len(targets), -1)), targets.ndim == 1


# --- within a radius ----------------------------------------------------------------------------------------------------------


@predicts("RadiusNeighborsClassifier")
def radius_neighbors_classifier(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """The share of each class among the rows within the radius; rows without any have the outlier label, or are refused."""
    ledger.waive("n_neighbors", "n_samples_fit_", "outlier_label")
    weights = _weights(ledger)
    distances, share = _within_radius(ledger, builder, table, weights)
    classes, targets = _classes(ledger)
    outliers = ledger["outlier_label_"]
    any_near = builder.add("binary", share.total, builder.constant([0.0], "zero"), hint="has_neighbors", fn="gt")
    probabilities, labels = [], []
    for k, names in enumerate(classes):
        counts = share.of((targets[:, [k]] == np.arange(len(names))).astype(np.float64), "counts")
        if outliers is None:
            total = refuse_unless(builder, share.total, any_near)
            probability = builder.add("binary", counts, total, hint="probability", fn="div")
            label = builder.label_of_largest(probability, names, hint=f"label_{k}")
        else:
            known = builder.add("binary", counts, share.total, hint="share", fn="div")
            alone = builder.constant(_outlier_row(ledger, distances, names, outliers[k]), "outlier_probability")
            probability = builder.add("where", any_near, known, alone, hint="probability")
            label = _or_outlier(builder, probability, names, outliers[k])
        probabilities.append(probability)
        labels.append(label)
    if not ledger["outputs_2d_"]:
        return Prediction(label=labels[0], classes=classes[0], probability=probabilities[0])
    return Prediction(label=builder.add("concat", *labels, hint="label"), classes=classes, probabilities=tuple(probabilities))


def _outlier_row(ledger: Ledger, distances: Distances, names: Array, label: Any) -> Array:
    """The probabilities of a row without neighbours: 1 for its label when that is a class.

    A search by brute force that counts classes at once takes the label for the number of a class, since scikit-learn 1.9.
    """
    if _counts_at_once(ledger, distances):
        wanted = ledger.estimator.outlier_label
        numbers = range(len(names)) if sklearn_version() >= (1, 9) else names
        found: Array = np.array([number == wanted for number in numbers], dtype=bool)
        last = np.flatnonzero(found)[-1:]
        return np.isin(np.arange(len(names)), last).astype(np.float64)
    found = np.asarray(names == label, dtype=bool)
    return found.astype(np.float64) if found.sum() == 1 else np.zeros(len(names))


def _counts_at_once(ledger: Ledger, distances: Distances) -> bool:
    model = ledger.estimator
    if model.weights != "uniform" or ledger["_fit_method"] != "brute" or model.outputs_2d_:
        return False
    try:
        from sklearn.metrics._pairwise_distances_reduction import RadiusNeighborsClassMode
    except ImportError:  # before scikit-learn 1.4
        return False
    metric = "euclidean" if model.metric == "minkowski" and model.p == 2 else model.metric
    rows = model._fit_X
    return bool(RadiusNeighborsClassMode.is_usable_for(rows.astype(np.float64)[:1], rows, metric))


def _or_outlier(builder: Builder, probability: str, names: Array, label: Any) -> str:
    """The class with the largest probability, and the outlier label where all are 0."""
    largest = builder.add("reduce", probability, hint="largest", fn="max")
    some = builder.add("binary", largest, builder.constant(0.0, "none"), hint="has_class", fn="gt")
    known = builder.label_of_largest(probability, names, hint="known_label")
    table = labels_table(np.asarray(names))
    alone = np.array([label], dtype=object).astype(table.dtype)[0]
    outlier = builder.add("constant", hint="outlier_label", value=_rank_0(alone, table.dtype))
    return builder.add("where", some, known, outlier, hint="label")


def _rank_0(value: Any, dtype: Any) -> Array:
    array = np.empty((), dtype=dtype)
    array[()] = str(value) if array.dtype == object else value
    return array


@predicts("RadiusNeighborsRegressor")
def radius_neighbors_regressor(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """The mean target of the rows within the radius; NaN where there is none, or what whole-number targets make of NaN."""
    ledger.waive("n_neighbors", "n_samples_fit_")
    share = _within_radius(ledger, builder, table, _weights(ledger))[1]
    targets, flat = _targets(ledger)
    mean = builder.add("binary", share.of(targets, "sums"), share.total, hint="mean", fn="div")
    some = builder.add("binary", share.total, builder.constant([0.0], "zero"), hint="has_neighbors", fn="gt")
    with np.errstate(invalid="ignore"):
        alone = np.full_like(np.asarray(ledger["_y"]).reshape(len(targets), -1)[0], np.nan).astype(np.float64)
    value = builder.add("where", some, mean, builder.constant(alone, "without_neighbors"), hint="value" if flat else "prediction")
    return Prediction(prediction=builder.scalar(value, "prediction") if flat else value)


class Share:
    """Weights [m] of the neighbours, 0 for all others, and their sum [1]."""

    def __init__(self, builder: Builder, weights: str) -> None:
        self.builder, self.weights = builder, weights
        self.total = builder.add("reduce", weights, hint="total", fn="sum", keep=True)

    def of(self, targets: Array, hint: str) -> str:
        """Weighted sums of the columns of targets [m, o]."""
        return self.builder.add("linear", self.weights, hint=hint, weight=np.ascontiguousarray(targets.T))


def _within_radius(ledger: Ledger, builder: Builder, table: Table, weights: str) -> tuple[Distances, Share]:
    """The distances, and the weights of the rows within the radius: 1, or 1 / distance."""
    distances, radius = add_distances(ledger, builder, table), float(ledger["radius"])
    doubt_radius(builder, distances, radius, exact=weights == "distance")
    inside = builder.add("binary", distances.value, builder.constant([radius], "radius"), hint="inside", fn="le")
    if weights == "uniform":
        return distances, Share(builder, builder.add("cast", inside, hint="weights", to="f64"))
    zero = builder.constant([0.0], "zero")
    inverse = builder.add("unary", distances.value, hint="inverse", fn="reciprocal")
    same = builder.add("binary", distances.value, zero, hint="is_same", fn="eq")
    on_it = builder.add("cast", same, hint="same", to="f64")
    some = builder.add("reduce", on_it, hint="some_same", fn="max", keep=True)
    found = builder.add("binary", some, zero, hint="has_same", fn="gt")
    weight = builder.add("where", found, on_it, inverse, hint="weight")
    return distances, Share(builder, builder.add("where", inside, weight, zero, hint="weights"))


# --- graphs of neighbours -----------------------------------------------------------------------------------------------------


@transforms("KNeighborsTransformer")
def k_neighbors_transformer(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """One column per stored row: 1 (or the distance) for the k nearest, one more of them with mode="distance"; else 0."""
    ledger.waive("radius", "n_samples_fit_", "_n_features_out")
    mode = ledger["mode"]
    k = int(ledger["n_neighbors"]) + (mode == "distance")
    distances = add_distances(ledger, builder, table)
    _check_k(ledger, k, distances)
    doubt_nearest(builder, distances, k, exact=mode == "distance")
    near = builder.add("smallest", distances.value, hint="is_near", k=k)
    return builder.table(near if mode == "connectivity" else chosen(builder, near, distances.value, "graph"), sparse=True)


@transforms("RadiusNeighborsTransformer")
def radius_neighbors_transformer(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """One column per stored row: 1 (or the distance) within the radius, else 0."""
    ledger.waive("n_neighbors", "n_samples_fit_", "_n_features_out")
    mode = ledger["mode"]
    distances, share = _within_radius(ledger, builder, table, "uniform")
    if mode == "connectivity":
        return builder.table(share.weights, sparse=True)
    doubt_radius(builder, distances, float(ledger["radius"]), exact=True)
    return builder.table(chosen(builder, share.weights, distances.value, "graph"), sparse=True)


def chosen(builder: Builder, marks: str, value: str, hint: str) -> str:
    """The value where the marks [m] are 1, else 0; what is not marked may be anything, NaN and infinities among it."""
    zero = builder.constant([0.0], "zero")
    marked = builder.add("binary", marks, zero, hint="is_marked", fn="gt")
    return builder.add("where", marked, value, zero, hint=hint)


@predicts("LocalOutlierFactor")
def local_outlier_factor(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """Minus the mean density of the k nearest rows over the row's own, minus offset_."""
    ledger.demand("novelty", True, instead="it has no answer for new rows; use novelty=True.")
    ledger.waive("n_neighbors", "contamination", "negative_outlier_factor_", "radius", "n_samples_fit_")
    k = int(ledger["n_neighbors_"])
    distances = add_distances(ledger, builder, table)
    own_reach = np.asarray(ledger["_distances_fit_X_"], dtype=np.float64)[:, k - 1]
    densities = np.asarray(ledger["_lrd"], dtype=np.float64)
    doubt_nearest(builder, distances, k, np.column_stack([own_reach, densities]))
    near = builder.add("smallest", distances.value, hint="is_near", k=k)
    # below a row's own reach a distance does not count, so that its digits need not be sure
    builder.doubt(lambda d, x: (distances.noisy(d, x) & (d >= own_reach * (1 - 1e-6))).any(axis=1), distances.value, distances.x)
    farthest = builder.constant(own_reach, "reach")
    reach = builder.add("binary", distances.value, farthest, hint="reachability", fn="max")
    total = builder.add("reduce", chosen(builder, near, reach, "near_reach"), hint="total", fn="sum")
    own = builder.add("scale", total, hint="inverse_density", div=[float(k)], add=[1e-10])
    others = builder.add("linear", near, hint="densities", weight=densities[None, :])
    ratio = builder.add("binary", builder.scalar(others, "density"), own, hint="ratio", fn="mul")
    mean = builder.add("scale", ratio, hint="factor", div=[-float(k)])
    score = builder.add("scale", mean, hint="score", sub=[float(ledger["offset_"])])
    builder.probe_table(builder.table(score), ledger.estimator.decision_function)
    return Prediction(label=inlier_label(builder, score), score=score, role="anomaly")


# --- centroids and learnt metrics ---------------------------------------------------------------------------------------------


@predicts("NearestCentroid")
def nearest_centroid(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """The nearest centroid for equal priors, else the largest discriminant score; scores and probabilities for euclidean ones."""
    ledger.waive("shrink_threshold", "priors", "deviations_")
    metric, classes, x = ledger["metric"], ledger["classes_"], builder.matrix(table)
    if metric not in ("euclidean", "manhattan"):
        raise ledger.refuse("metric", f"is {metric!r}, which is not known: use 'euclidean' or 'manhattan'.")
    centroids, priors = np.asarray(ledger["centroids_"], dtype=np.float64), ledger.get("class_prior_")
    if priors is None:  # before scikit-learn 1.6
        return Prediction(label=_nearest_label(builder, x, centroids, metric, classes), classes=classes)
    if np.isclose(priors, 1 / len(classes)).all():
        label = _nearest_label(builder, x, centroids, metric, classes)
        scores = _discriminants(ledger, builder, x, centroids, metric, priors) if metric == "euclidean" else None
    else:
        scores = _discriminants(ledger, builder, x, centroids, metric, priors)
        label = builder.label_of_largest(scores, classes)
        builder.doubt(_close_scores, scores)
    ledger.waive("within_class_std_dev_")
    if metric != "euclidean" or scores is None:
        return Prediction(label=label, classes=classes)
    probability, score = builder.add("softmax", scores, hint="probability"), scores
    builder.measure(*EXPANDED)
    _doubt_far_scores(builder, x, scores, probability, centroids)
    if len(classes) == 2:
        first, second = (builder.add("select", scores, hint=f"score_{k}", index=np.array([k])) for k in (0, 1))
        score = builder.scalar(builder.add("binary", second, first, hint="difference", fn="sub"), "score")
    return Prediction(label=label, classes=classes, probability=probability, score=score)


def _nearest_label(builder: Builder, x: str, centroids: Array, metric: str, classes: Array) -> str:
    if metric == "euclidean":
        index = nearest(builder, x, centroids, hint="index")
    else:
        distances = builder.add("pairwise", x, hint="distances", points=centroids, metric="manhattan")
        builder.doubt(lambda d: _close_scores(-d), distances)
        index = builder.add("reduce", distances, hint="index", fn="argmin")
    return builder.add("take", index, hint="label", table=labels_table(classes))


def _discriminants(ledger: Ledger, builder: Builder, x: str, centroids: Array, metric: str, priors: Array) -> str:
    """[classes]: minus the squared distance in units of the deviation within classes, plus twice the log of the prior."""
    spread = np.asarray(ledger["within_class_std_dev_"], dtype=np.float64)
    divisor = np.where(spread != 0, spread, 1.0)
    scaled = builder.add("scale", x, hint="scaled", div=divisor)
    kind = "sqeuclidean" if metric == "euclidean" else metric
    distances = builder.add("pairwise", scaled, hint="distances", points=centroids / divisor, metric=kind)
    if metric == "manhattan":
        distances = builder.add("unary", distances, hint="squared_distances", fn="square")
    with np.errstate(divide="ignore"):
        logs = 2.0 * np.log(np.asarray(priors, dtype=np.float64))
    return builder.add("scale", distances, hint="scores", mul=[-1.0], add=logs)


def _doubt_far_scores(builder: Builder, x: str, scores: str, probability: str, centroids: Array) -> None:
    """Rows far from every centroid whose scores have too few digits for the probabilities that hang on their differences."""
    share, usual = (8 + centroids.shape[1]) * EPS, float(np.square(centroids).sum(axis=1).max(initial=0.0))

    def judge(rows: Array, s: Array, p: Array) -> Array:
        far = ~(np.square(rows).sum(axis=1) <= 10 * usual)
        moved = share * np.abs(s).max(axis=1) * (p * (1 - p)).max(axis=1)
        return np.asarray(far & ~(moved <= 1e-13))

    builder.doubt(judge, x, scores, probability)


def _close_scores(scores: Array) -> Array:
    """Rows whose two largest scores lie closer together than rounding can tell."""
    two = np.partition(scores, -2, axis=1)[:, -2:]
    return np.asarray(~(two[:, 1] - two[:, 0] > RELATIVE * np.abs(two).max(axis=1)))


@transforms("NeighborhoodComponentsAnalysis")
def neighborhood_components(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """components_ x."""
    ledger.waive("callback", "init", "max_iter", "n_components", "n_iter_", "random_state_", "tol", "_n_features_out")
    weight = np.asarray(ledger["components_"], dtype=np.float64)
    return builder.table(builder.add("linear", builder.matrix(table), hint="embedded", weight=weight))
