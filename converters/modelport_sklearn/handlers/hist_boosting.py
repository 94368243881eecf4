"""Gradient boosting over binned features: HistGradientBoosting*. Prediction compares raw float64 values, not bins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..builder import Array, Builder, Prediction, Table
from ..dispatch import predicts, transform
from ..ledger import Ledger
from .boosting import CLASSIFICATION_LINKS, link_of
from .linear import two_class_probability
from .tree_arrays import Nodes, tree_attributes

#: How the trees were grown and stopped; _predictors and _baseline_prediction hold the result.
BINNING = (
    "categorical_features class_weight do_early_stopping_ early_stopping interaction_cst l2_regularization learning_rate "
    "loss max_bins max_depth max_features max_iter max_leaf_nodes min_samples_leaf monotonic_cst n_iter_no_change "
    "n_trees_per_iteration_ quantile scoring tol train_score_ validation_fraction validation_score_ _feature_subsample_rng "
    "_fitted_with_sw _in_fit _label_encoder _n_features _random_seed _scorer _use_validation_data"
).split()


@predicts("HistGradientBoostingRegressor")
def hist_boosting_regressor(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """The inverse link (identity, or exp for poisson and gamma) of the baseline plus the trees in order."""
    link = link_of(ledger, ("IdentityLink", "LogLink"))
    identity = link == "IdentityLink"
    raw = builder.scalar(_raw(ledger, builder, table, "raw"), "prediction" if identity else "log_prediction")
    return Prediction(prediction=raw if identity else builder.add("unary", raw, hint="prediction", fn="exp"))


@predicts("HistGradientBoostingClassifier")
def hist_boosting_classifier(ledger: Ledger, builder: Builder, table: Table) -> Prediction:
    """Two classes (or one): the second where the score is above 0. More: the class of the largest score, ties to the first."""
    link_of(ledger, CLASSIFICATION_LINKS)
    classes = ledger["classes_"]
    score = _raw(ledger, builder, table, "score")
    if builder.width(score) == 1:
        score = builder.scalar(score, "decision")
        probability = two_class_probability(builder, score)
    else:
        probability = builder.add("softmax", score, hint="probability")
    builder.probe_table(builder.table(score), ledger.estimator.decision_function)
    if len(classes) > 1:
        label = builder.label_of_score(score, classes)
    elif _largest_score(ledger.estimator) > 0:
        raise ledger.refuse("_predictors", "lead away from the only class there is: fit it on two classes or more.")
    else:
        label = builder.only_label(classes)
    return Prediction(label=label, classes=classes, probability=probability, score=score)


def _largest_score(estimator: Any) -> float:
    """No row has a larger score: the baseline plus the largest leaf of every tree."""
    leaves = [tree.nodes["value"][tree.nodes["is_leaf"].astype(bool)].max() for trees in estimator._predictors for tree in trees]
    return float(np.sum(estimator._baseline_prediction) + np.sum(leaves))


def _raw(ledger: Ledger, builder: Builder, table: Table, hint: str) -> str:
    """[k]: the baseline, then += the leaf of each tree, iteration by iteration and class by class."""
    ledger.waive(*BINNING)
    table = _encoded(ledger, builder, table)
    iterations: list[list[Any]] = ledger["_predictors"]
    baseline = np.asarray(ledger["_baseline_prediction"], dtype=np.float64).reshape(-1) + 0.0
    attributes = tree_attributes(hist_nodes([tree for iteration in iterations for tree in iteration]), "f64")
    if len(baseline) > 1:
        order = np.tile(np.arange(len(baseline), dtype=np.int32), len(iterations))
        attributes |= {"class": order, "size": len(baseline)}
    return builder.add("tree_ensemble", builder.matrix(table), hint=hint, init=baseline, **attributes)


def _encoded(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """Categorical columns as codes 0, 1, ... (NaN: missing or unknown), before the numeric ones: what the trees were grown on."""
    ledger.waive("_is_categorical_remapped")
    categorical, mapper = ledger["is_categorical_"], ledger["_bin_mapper"]
    if categorical is None:
        ledger.waive("_preprocessor")
        return table
    if ledger.get("_preprocessor") is None:
        raise ledger.refuse(
            "is_categorical_",
            "comes without the encoder that scikit-learn keeps since 1.4: fit the model with that or a newer one.",
        )
    encoder = _encoder(ledger, categorical)
    codes = transform(encoder, builder, table.select(np.flatnonzero(categorical).tolist()))
    _check_known(ledger, mapper, encoder)
    return codes + table.select(np.flatnonzero(~np.asarray(categorical, dtype=bool)).tolist())


def _encoder(ledger: Ledger, categorical: Array) -> Any:
    """The ordinal encoder inside the preprocessor that fit makes: categorical columns encoded, then the others as they are."""
    fitted = [step for step in ledger["_preprocessor"].transformers_ if step[0] != "remainder"]
    expected = (("encoder", "OrdinalEncoder", categorical), ("numerical", "FunctionTransformer", ~categorical))
    if len(fitted) != 2 or not all(
        name == wanted and type(part).__name__ == kind and np.array_equal(columns, mask)
        for (name, part, columns), (wanted, kind, mask) in zip(fitted, expected, strict=True)
    ):
        raise ledger.refuse("_preprocessor", "is not the encoder of categories that scikit-learn makes: refit the model.")
    return fitted[0][1]


def _check_known(ledger: Ledger, mapper: Any, encoder: Any) -> None:
    """Every code that the encoder gives is known to the trees (a code unknown to them would go where NaN goes)."""
    bitsets, row_of = mapper.make_known_categories_bitsets()
    known = unpacked(bitsets)
    for column, categories in enumerate(encoder.categories_):
        codes = len(categories) - (column in encoder._missing_indices)
        if not known[row_of[column], :codes].all():
            raise ledger.refuse("_bin_mapper", "does not know a category that the encoder knows: refit the model.")


def hist_nodes(predictors: Sequence[Any]) -> Nodes:
    """The nodes of TreePredictors; NaN, an unknown category too, goes where its node says."""
    nodes = np.concatenate([predictor.nodes for predictor in predictors])
    counts = [len(predictor.nodes) for predictor in predictors]
    leaf, categorical = nodes["is_leaf"].astype(bool), nodes["is_categorical"].astype(bool)
    bitsets = [predictor.raw_left_cat_bitsets.reshape(-1, 8) for predictor in predictors]
    first = np.cumsum([0, *(len(b) for b in bitsets[:-1])])
    category = np.where(categorical & ~leaf, nodes["bitset_idx"].astype(np.int64) + np.repeat(first, counts), -1)
    return Nodes(
        start=np.cumsum([0, *counts[:-1]]),
        left=np.where(leaf, -1, nodes["left"].astype(np.int64)),
        right=np.where(leaf, -1, nodes["right"].astype(np.int64)),
        feature=nodes["feature_idx"],
        threshold=nodes["num_threshold"],
        missing_left=nodes["missing_go_to_left"].astype(bool),
        leaf=nodes["value"][leaf].reshape(-1, 1),
        receives_nan=True,
        category=category,
        sets=unpacked(np.concatenate(bitsets)),
    )


def unpacked(bitsets: Array) -> Array:
    """[s, 8] words of 32 bits as bool [s, 256]."""
    octets = np.ascontiguousarray(bitsets).astype("<u4").view(np.uint8).reshape(len(bitsets), 32)
    return np.unpackbits(octets, axis=1, bitorder="little").astype(bool)
