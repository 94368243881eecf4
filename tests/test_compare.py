"""The comparison is written so that NaN fails, and knows shapes, dtypes, infinities and zeros."""

from __future__ import annotations

import numpy as np
import pytest

from modelport.compare import compare, ulps
from modelport.document import EXACT, Tolerance

NAN, INF = float("nan"), float("inf")
LOOSE = Tolerance(1e-6, 1e-6)


@pytest.mark.parametrize(
    ("expected", "got", "tolerance", "equality"),
    [
        ([1.0], [1.0], EXACT, "exact"),
        ([0.0], [-0.0], EXACT, "exact"),
        ([NAN], [NAN], EXACT, "exact"),
        ([INF, -INF], [INF, -INF], EXACT, "exact"),
        ([1.0], [1.0 + 1e-9], EXACT, "mismatch"),
        ([1.0], [1.0 + 1e-9], LOOSE, "within"),
        ([1.0], [1.1], LOOSE, "mismatch"),
        ([1.0], [NAN], LOOSE, "mismatch"),
        ([NAN], [1.0], LOOSE, "mismatch"),
        ([INF], [1e308], Tolerance(1e300, 1.0), "mismatch"),
        ([INF], [-INF], LOOSE, "mismatch"),
        ([1e308], [INF], Tolerance(0.0, 1.0), "mismatch"),
        ([1.0], [np.nextafter(1.0, 2.0)], Tolerance(ulp=1), "within"),
        ([1.0], [1.0 + 5e-16], Tolerance(ulp=1), "mismatch"),
        ([1.0], [NAN], Tolerance(ulp=5), "mismatch"),
        ([1.0], [INF], Tolerance(INF, 0.0), "mismatch"),
        ([INF], [1.0], Tolerance(0.0, INF), "mismatch"),
        ([INF], [np.finfo(float).max], Tolerance(ulp=2**53 - 1), "mismatch"),
        ([np.finfo(float).max], [INF], Tolerance(ulp=1), "mismatch"),
    ],
)
def test_floats(expected: list[float], got: list[float], tolerance: Tolerance, equality: str) -> None:
    result = compare("y", np.array(expected), np.array(got), tolerance)
    assert result.equality == equality
    assert result.passed == (equality != "mismatch")


def test_shape_and_dtype_come_first() -> None:
    ones = np.ones((2, 1))
    assert "shape" in str(compare("y", ones, np.ones(2), LOOSE).problem)
    assert "dtype" in str(compare("y", ones, ones.astype(np.float32), LOOSE).problem)
    assert "dtype" in str(compare("y", np.array([1]), np.array([True]), LOOSE).problem)


def test_labels_count_flips_and_name_the_row() -> None:
    result = compare("label", np.array(["a", "b", None], object), np.array(["a", "c", None], object), EXACT)
    assert (result.flips, result.worst_row, result.passed) == (1, 1, False)
    assert "'c' instead of 'b'" in str(result.worst)
    assert not compare("label", np.array([None], object), np.array(["None"], object), EXACT).passed


def test_ulps_count_across_zero() -> None:
    tiny = np.nextafter(0.0, 1.0)
    assert ulps(np.array([-tiny]), np.array([tiny])).tolist() == [2.0]
    assert ulps(np.array([1.0], np.float32), np.array([np.nextafter(np.float32(1), np.float32(2))])).tolist() == [1.0]


def test_tolerance_is_never_applied_to_integers() -> None:
    assert not compare("n", np.array([5]), np.array([6]), Tolerance(10.0, 1.0)).passed


def test_the_worst_row_is_the_one_with_the_largest_error() -> None:
    expected, got = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 2.25, 3.5, 4.0])
    assert compare("y", expected, got, Tolerance()).worst_row == 2
    within = compare("y", expected, got, Tolerance(atol=1.0))
    assert (within.passed, within.worst_row) == (True, 2)
    assert compare("y", np.array([1e6, 1.0]), np.array([1e6 + 1, 1.5]), Tolerance(rtol=1e-5)).worst_row == 1


def test_labels_are_shown_as_a_person_writes_them() -> None:
    assert compare("label", np.array([0, 1]), np.array([0, 2]), Tolerance()).worst == "2 instead of 1"
    assert compare("label", np.array(["a"], object), np.array(["b"], object), Tolerance()).worst == "'b' instead of 'a'"
