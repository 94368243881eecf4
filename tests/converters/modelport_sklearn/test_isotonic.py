"""IsotonicRegression: bit-exact between, on and beside its knots, and what it does outside them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.isotonic import IsotonicRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelport.errors import InputError, UnsupportedAttribute
from modelport.run import Evaluator
from modelport.sample import Sample
from tests.converters.modelport_sklearn.common import HARD, around, check, check_formats, check_unknown_and_unfitted, read

X, Y = load_diabetes(return_X_y=True)
BMI = X[:, 2:3]


@pytest.mark.parametrize("outside", ["nan", "clip"])
@pytest.mark.parametrize("increasing", [True, False, "auto"])
@pytest.mark.parametrize("bounds", [{}, {"y_min": 80.0, "y_max": 250.0}], ids=["free", "bounded"])
def test_knots_and_beyond(outside, increasing, bounds):
    model = IsotonicRegression(out_of_bounds=outside, increasing=increasing, **bounds).fit(BMI, Y)
    check(model, BMI, around(*model.X_thresholds_)[:, None], HARD[:, None], np.linspace(-1, 1, 301)[:, None])


def test_rows_outside_are_refused_when_asked_for():
    model = IsotonicRegression(out_of_bounds="raise").fit(BMI, Y)
    reading = check(model, BMI)
    low, high = model.X_thresholds_[[0, -1]]
    for outside in (np.nextafter(low, -1), np.nextafter(high, 1), 1e30):
        with pytest.raises(ValueError, match="interpolation range"):
            model.predict([[outside]])
        with pytest.raises(InputError):
            Evaluator(reading.graph).run({"X": np.array([[outside]])})


@pytest.mark.parametrize("outside", ["nan", "clip", "raise"])
def test_a_single_knot_is_a_constant(outside):
    check(IsotonicRegression(out_of_bounds=outside).fit([1.0, 1.0], [2.0, 4.0]), np.array([[0.0], [1.0], [2.0]]))


@pytest.mark.parametrize("outside", ["nan", "clip", "raise"])
def test_fitted_on_float32(outside):
    model = IsotonicRegression(out_of_bounds=outside).fit(BMI.astype(np.float32), Y.astype(np.float32))
    assert model.X_thresholds_.dtype == np.float32
    inside = BMI[(BMI[:, 0] > BMI.min()) & (BMI[:, 0] < BMI.max())]
    check(model, inside)


@pytest.mark.parametrize("outside", ["nan", "clip", "raise"])
def test_every_format(outside):
    check_formats(IsotonicRegression(out_of_bounds=outside).fit(BMI, Y), BMI, "onnx", "pmml")


def test_behind_a_scaler():
    check(make_pipeline(StandardScaler(), IsotonicRegression(out_of_bounds="clip")).fit(BMI, Y), BMI)


def test_unknown_attribute_and_unfitted_are_refused():
    check_unknown_and_unfitted(IsotonicRegression().fit(BMI, Y), BMI)


def test_damaged_fit_is_refused():
    model = IsotonicRegression(out_of_bounds="clip").fit(BMI, Y)
    model.X_min_ = 0.0
    with pytest.raises(UnsupportedAttribute, match="X_min_"):
        read(model, Sample.of(BMI))


@pytest.mark.parametrize("outside", ["nan", "clip"])
@pytest.mark.parametrize("count", [2, 3, 200])
def test_fitted_on_float32_with_slopes(outside, count):
    """A knot belongs to the segment that ends in it, and every operation is one of float32."""
    x = np.linspace(-3, 8, count)
    rising = (np.sort(np.sin(x * 7)) * 1e4 + x).astype(np.float32)
    model = IsotonicRegression(out_of_bounds=outside).fit(x.astype(np.float32), rising)
    check(model, x[:, None], around(*model.X_thresholds_)[:, None], np.linspace(-9, 9, 999)[:, None])


def test_fitted_on_float32_in_formats():
    model = IsotonicRegression(out_of_bounds="clip").fit(BMI.astype(np.float32), Y.astype(np.float32))
    check_formats(model, BMI, "onnx", "pmml")
