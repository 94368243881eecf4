"""Samples of every kind become named inputs, and feeds become what the model is fed again."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from modelport.errors import InputError
from modelport.sample import Sample

FRAME = pd.DataFrame(
    {
        "n": [1.5, np.nan, 3.0],
        "i": [1, 2, 3],
        "b": [True, False, True],
        "s": ["x", None, "z"],
        "c": pd.Categorical(["u", "v", None]),
        "o": [True, None, False],
    }
)


def test_a_mixed_frame_has_one_input_per_column() -> None:
    sample = Sample.of(FRAME)
    assert sample.kind == "table"
    assert [(v.name, v.dtype, v.shape) for v in sample.inputs()] == [
        ("n", "f64", (1,)),
        ("i", "f64", (1,)),
        ("b", "f64", (1,)),
        ("s", "str", (1,)),
        ("c", "str", (1,)),
        ("o", "f64", (1,)),
    ]
    feeds = sample.feeds()
    assert feeds["s"].tolist() == [["x"], [None], ["z"]]
    assert feeds["b"].tolist() == [[1.0], [0.0], [1.0]]
    assert np.isnan(feeds["o"][1, 0])


def test_restoring_gives_the_frames_kinds_back() -> None:
    sample = Sample.of(FRAME)
    frame = sample.restore(sample.feeds())
    assert list(frame.columns) == list(FRAME.columns)
    assert isinstance(frame["c"].dtype, pd.CategoricalDtype)
    assert frame["s"].isna().tolist() == [False, True, False]
    assert frame["n"].dtype == np.float64


def test_a_frame_of_numbers_is_one_matrix_with_features() -> None:
    sample = Sample.of(FRAME[["n", "i", "b"]])
    (value,) = sample.inputs()
    assert (value.name, value.shape, value.features) == ("X", (3,), ("n", "i", "b"))


def test_a_column_called_like_the_matrix_keeps_its_name() -> None:
    (value,) = Sample.of(pd.DataFrame({"X": [1.0], "X_": [2.0]})).inputs()
    assert value.features == ("X", "X_")
    assert value.name not in value.features


@pytest.mark.parametrize(
    "data",
    [[[1, 2], [3, 4]], np.array([[1, 2], [3, 4]], np.float32), {"a": [1, 3], "b": [2, 4]}, [{"a": 1, "b": 2}, {"a": 3, "b": 4}]],
)
def test_other_containers(data: object) -> None:
    np.testing.assert_array_equal(next(iter(Sample.of(data).feeds().values())), [[1.0, 2.0], [3.0, 4.0]])


def test_sparse_matrices_and_polars_like_frames() -> None:
    from scipy.sparse import csr_matrix

    assert Sample.of(csr_matrix(np.eye(2))).feeds()["X"].tolist() == [[1.0, 0.0], [0.0, 1.0]]

    class Frame:
        def to_pandas(self) -> pd.DataFrame:
            return FRAME

    assert Sample.of(Frame()).names == list(FRAME.columns)


def test_texts() -> None:
    sample = Sample.of(["one", "two"])
    assert sample.kind == "text"
    assert sample.inputs()[0].shape == ()
    assert sample.restore(sample.feeds()) == ["one", "two"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([1.0, 2.0], "two axes"),
        (np.zeros((2, 2, 2)), "two axes"),
        ([[1.0], [1.0, 2.0]], "differ in length"),
        ({"a": [1, 2], "b": [1]}, "differ in length"),
        ({"when": np.array(["2020-01-01"], "datetime64[D]")}, "no portable form"),
        ({"z": np.array([1j])}, "no portable form"),
        ({"mix": ["a", 1]}, "mixes strings with int"),
        ({"things": [object()]}, "holds object"),
        ({"d": [Decimal("1.5")]}, "holds Decimal"),
        ({"bytes": np.array([b"a"])}, "no portable form"),
        ({"huge": [10**400]}, "too large for a double"),
        ([[1.5, 10**400]], "too large for a double"),
        ({"one": 3}, "one value per row"),
        ({1: [1.0], "1": [2.0]}, "same name, '1'"),
        ([{"a": 1}, [2]], "Row 1 of the sample is of type list"),
        (np.ma.masked_array([[1.0, 2.0]], [[True, False]]), "masked"),
        (None, "two axes"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "same name"),
    ],
)
def test_what_cannot_be_a_sample(data: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Sample.of(data)


@pytest.mark.parametrize("rows", [[["x", 1.5], [None, 2.0]], [["x", 1.5], [float("nan"), 2.0]]])
def test_lists_of_mixed_rows_keep_their_kinds(rows: list) -> None:
    """NumPy alone would make strings of the numbers, and the string 'nan' of a missing cell."""
    sample = Sample.of(rows)
    assert [(c.dtype, c.values.tolist()) for c in sample.columns] == [("str", ["x", None]), ("f64", [1.5, 2.0])]


def test_a_column_of_a_nullable_dtype_without_any_value_is_still_numbers() -> None:
    frame = pd.DataFrame({"n": pd.array([None, None], dtype="Int64"), "s": pd.array([None, None], dtype="string")})
    assert [c.dtype for c in Sample.of(frame).columns] == ["f64", "str"]


def test_generators_of_rows_and_of_records() -> None:
    assert Sample.of([1.0, float(i)] for i in range(2)).feeds()["X"].tolist() == [[1.0, 0.0], [1.0, 1.0]]
    assert Sample.of({"a": i} for i in range(2)).names == ["a"]
