"""Transformed targets are transformed back; RANSAC answers as the regressor it keeps."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest
from modelport_sklearn import expresses
from scipy.stats import norm
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.datasets import load_diabetes
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import HuberRegressor, LinearRegression, RANSACRegressor, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.tree import DecisionTreeRegressor

from modelport.errors import UnsupportedAttribute, UnsupportedModel
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import around, check, check_formats, check_unknown_and_unfitted, read

pytestmark = pytest.mark.filterwarnings("ignore")

X, Y = load_diabetes(return_X_y=True)
TWO = np.column_stack([Y, Y[::-1] ** 1.1])
CLOSE = {"rtol": 1e-12, "atol": 1e-10}

TRANSFORMERS = [
    StandardScaler(),
    StandardScaler(with_mean=False),
    StandardScaler(with_mean=False, with_std=False),
    MinMaxScaler((-1, 3), clip=True),
    MaxAbsScaler(),
    RobustScaler(),
    RobustScaler(with_scaling=False),
    PowerTransformer(),
    PowerTransformer(standardize=False),
    PowerTransformer("box-cox"),
    QuantileTransformer(n_quantiles=40),
    QuantileTransformer(n_quantiles=40, output_distribution="normal"),
    FunctionTransformer(),
    FunctionTransformer(np.log1p, np.expm1),
    make_pipeline(FunctionTransformer(np.log, np.exp), "passthrough", StandardScaler()),
]


def fitted(transformer, target, regressor=None, **options):
    model = TransformedTargetRegressor(regressor, transformer=transformer, check_inverse=False, **options)
    return model.fit(X, target)


@pytest.mark.parametrize("transformer", TRANSFORMERS, ids=str)
@pytest.mark.parametrize("target", [Y, Y[:, None], TWO], ids=["[n]", "[n, 1]", "[n, 2]"])
def test_transformers(transformer, target):
    reading = check(fitted(transformer, target, LinearRegression()), X, X[:20] * 1.5, rtol=1e-11, atol=1e-10)
    assert reading.graph.types[reading.graph.outputs[0].source].shape == target.shape[1:]


@pytest.mark.parametrize(
    ("function", "inverse"), [(np.log, np.exp), (np.sqrt, np.square), (np.log1p, np.expm1), (None, None)], ids=str
)
def test_functions(function, inverse):
    model = TransformedTargetRegressor(Ridge(), func=function, inverse_func=inverse).fit(X, Y)
    check(model, X, **CLOSE)
    check_formats(model, X, "onnx", "pmml")


def identity_before(transformer):
    """The inverse alone: the regressor answers its only column."""
    model = TransformedTargetRegressor(LinearRegression(), transformer=transformer, check_inverse=False).fit(Y[:, None], Y)
    model.regressor_.coef_, model.regressor_.intercept_ = np.ones(1), 0.0
    return model


@pytest.mark.parametrize("power", [0.0, 1e-17, 0.5, 2.0, 2.7, -1.3])
@pytest.mark.parametrize("method", ["yeo-johnson", "box-cox"])
def test_powers_on_both_sides_of_zero(method, power):
    model = identity_before(PowerTransformer(method, standardize=False))
    model.transformer_.lambdas_ = np.array([power])
    rows = np.concatenate([np.linspace(-0.3, 0.35, 40), around(0.0), [-0.0, 5e-324]])[:, None]
    check(model, rows[np.isfinite(model.predict(rows))], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("output", ["uniform", "normal"])
def test_quantiles_at_their_ends_and_knots(output):
    model = identity_before(QuantileTransformer(n_quantiles=9, output_distribution=output))
    knots = model.transformer_.references_
    if output == "normal":
        knots = np.concatenate([norm.ppf(knots[1:-1]), norm.ppf([1e-7, 1 - 1e-7]), [-5.5, 5.5, -40.0, 40.0]])
    low, high = norm.ppf(1e-7), norm.ppf(1 - 1e-7)
    beside = np.concatenate([np.linspace(low * (1 - 1e-14), low * (1 + 1e-14), 25), np.linspace(high * (1 - 1e-9), high, 25)])
    rows = np.concatenate([around(*knots), beside, [-1.0, 2.0, 0.0, -0.0]])[:, None]
    check(model, rows, rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize("transformer", [TRANSFORMERS[0], TRANSFORMERS[7], TRANSFORMERS[9], *TRANSFORMERS[10:12]], ids=str)
def test_every_format(transformer):
    check_formats(fitted(transformer, Y, Ridge()), X, "onnx", "pmml")


def test_a_tree_stays_exact():
    check(fitted(StandardScaler(), Y, DecisionTreeRegressor(max_depth=3)), X)
    pipeline = make_pipeline(StandardScaler(), RandomForestRegressor(3, random_state=0))
    check(fitted(MinMaxScaler(), Y, pipeline), X)


@pytest.mark.parametrize("kind", [TransformedTargetRegressor, RANSACRegressor])
def test_missing_cells_and_unknown_categories_reach_the_regressor(kind):
    towns = np.array(["Oslo", "Bergen", "Tromsø"])[np.arange(len(Y)) % 3]
    frame = pd.DataFrame({"town": towns, "x": X[:, 2]})
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    boosting = HistGradientBoostingRegressor(max_iter=3)
    inner = (
        kind(boosting, transformer=StandardScaler()) if kind is TransformedTargetRegressor else kind(boosting, min_samples=100)
    )
    pipeline = make_pipeline(make_column_transformer((encoder, ["town"]), remainder="passthrough"), inner).fit(frame, Y)
    others = pd.DataFrame({"town": ["Bodø", "Oslo", "Bergen"], "x": [0.01, np.nan, -0.02]})
    check(pipeline, frame, others)


def test_linear_models_with_float64_coefficients_take_float32_codes():
    codes = np.column_stack([np.arange(len(Y)) % 5, np.arange(len(Y)) % 3]).astype(float)
    encoder = OneHotEncoder(dtype=np.float32)
    check(make_pipeline(encoder, HuberRegressor()).fit(codes, Y), codes, **CLOSE)
    with pytest.raises(UnsupportedAttribute, match="float32"):
        read(make_pipeline(encoder, Ridge()).fit(codes, Y), Sample.of(codes))


def test_inside_a_pipeline_and_inside_itself():
    inner = TransformedTargetRegressor(Ridge(), transformer=StandardScaler())
    outer = TransformedTargetRegressor(inner, func=np.log, inverse_func=np.exp)
    check(make_pipeline(StandardScaler(), outer).fit(X, Y), X, **CLOSE)


def test_default_regressor():
    check(TransformedTargetRegressor().fit(X, Y), X, **CLOSE)


def cube(values):
    return values**3


@pytest.mark.parametrize(
    ("transformer", "attribute"),
    [
        (FunctionTransformer(np.cbrt, cube), "inverse_func"),
        (FunctionTransformer(np.log, np.exp, inv_kw_args={"where": True}), "inverse_func"),
    ],
    ids=["own function", "arguments"],
)
def test_inverses_that_are_code_are_refused(transformer, attribute):
    with pytest.raises(UnsupportedAttribute, match="inverse_func") as caught:
        read(fitted(transformer, Y), Sample.of(X))
    assert caught.value.attribute == attribute


def test_an_inverse_that_nobody_knows_is_refused():
    with pytest.raises(UnsupportedModel, match="KBinsDiscretizer"):
        read(fitted(KBinsDiscretizer(3, encode="ordinal", quantile_method="linear"), TWO), Sample.of(X))


def test_attributes_of_the_transformer_are_looked_at():
    model = fitted(StandardScaler(), Y)
    model.transformer_.shift_ = 3.0
    with pytest.raises(UnsupportedAttribute, match="shift_"):
        read(model, Sample.of(X))


# --- RANSAC -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [
        RANSACRegressor(random_state=0),
        RANSACRegressor(make_pipeline(StandardScaler(), Ridge()), min_samples=30, loss="squared_error", random_state=0),
        RANSACRegressor(DecisionTreeRegressor(max_depth=3, random_state=0), min_samples=50, random_state=0),
    ],
    ids=str,
)
def test_ransac(model):
    check(model.fit(X, Y), X, X[:5] * 1e4, **CLOSE)
    check_formats(model, X, "onnx", "pmml")


def test_ransac_of_named_columns_and_several_targets():
    frame = pd.DataFrame(X, columns=[f"column {j}" for j in range(10)])
    check(RANSACRegressor(random_state=0).fit(frame, TWO), frame, **CLOSE)


@pytest.mark.parametrize("kind", [TransformedTargetRegressor, RANSACRegressor])
def test_unknown_attribute_and_unfitted_are_refused(kind):
    check_unknown_and_unfitted(kind().fit(X, Y), X)


def tripled(values):
    return values * 3


@expresses(tripled)
def tripled_in_steps(builder, table):
    return builder.table(builder.add("scale", builder.matrix(table), hint="tripled", mul=[3.0]))


@pytest.mark.parametrize(
    "transformer",
    [
        FunctionTransformer(np.sinh, np.arcsinh),
        FunctionTransformer(np.log2, np.exp2),
        FunctionTransformer(partial(np.multiply, 10.0), partial(np.multiply, 0.1)),
        FunctionTransformer(np.log1p, np.clip, inv_kw_args={"a_min": 4.5, "a_max": 5.25}, check_inverse=False),
        FunctionTransformer(np.log, tripled, check_inverse=False),
    ],
    ids=["arcsinh", "exp2", "partial", "clip", "own function"],
)
def test_inverses_of_several_steps(transformer):
    check(fitted(transformer, Y / 100), X, X[:40] * 1.5, **CLOSE)


@pytest.mark.parametrize("transformer", [PCA(2), PCA(2, whiten=True), PCA(1)], ids=str)
def test_projections_are_undone(transformer):
    check(fitted(transformer, np.column_stack([TWO, Y**0.5])), X, X[:40] * 1.5, **CLOSE)


def test_power_of_a_float32_target():
    model = fitted(PowerTransformer(), Y.astype(np.float32))
    assert model.transformer_.lambdas_.dtype == np.float32
    check(model, X, X[:40] * 1.5, rtol=1e-11)
