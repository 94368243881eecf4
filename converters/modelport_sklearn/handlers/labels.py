"""LabelEncoder, LabelBinarizer and MultiLabelBinarizer: labels, one or several per row, become numbers or indicators."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..builder import Array, Builder, Table
from ..dispatch import transforms
from ..ledger import Ledger
from .refusing import refuse_fractions


@transforms("LabelEncoder")
def label_encoder(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """The number of the label; any other label is refused."""
    classes = np.asarray(ledger["classes_"])
    x = _labels(ledger, builder, table, classes)
    if classes.dtype.kind in "iu":  # scikit-learn turns labels into the dtype of its classes
        x = builder.add("unary", x, hint="whole_label", fn="trunc")
    elif classes.dtype.kind == "b":
        x = builder.add("cast", builder.add("cast", x, hint="flag", to="bool"), hint="truth", to="f64")
    numbers = np.arange(len(classes), dtype=np.float64)
    return builder.table(builder.add("lookup", x, hint="code", keys=_keys(ledger, builder, x, classes), values=numbers))


@transforms("LabelBinarizer")
def label_binarizer(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """pos_label in the column of the label and neg_label elsewhere; two classes share one column, that of the second."""
    ledger.waive("sparse_input_")
    kind, classes = ledger["y_type_"], np.asarray(ledger["classes_"])
    if kind.startswith("multilabel"):
        raise ledger.refuse("y_type_", "is of rows of indicators, which it gives back as they are: leave it out.")
    negative, positive = float(ledger["neg_label"]), float(ledger["pos_label"])
    x, sparse = _labels(ledger, builder, table, classes), bool(ledger["sparse_output"])
    if builder.types[x].dtype == "f64":
        x = refuse_fractions(builder, x)
    if len(classes) > 2:
        keys, places, size = classes, np.arange(len(classes)), len(classes)
    else:
        keys, places, size = classes, np.arange(len(classes)) - 1, 1
    code = builder.add("lookup", x, hint="code", keys=_keys(ledger, builder, x, keys), values=places, default=-1)
    vector = builder.add("onehot", code, hint="indicator", size=size)
    if (negative, positive) != (0.0, 1.0):
        vector = builder.add("scale", vector, hint="label", mul=[positive - negative], add=[negative])
    return builder.table(vector, sparse=sparse)


@transforms("MultiLabelBinarizer")
def multi_label_binarizer(ledger: Ledger, builder: Builder, table: Table) -> Table:
    """1 in the columns of all the row's labels; labels it does not know are ignored, and so is a missing one."""
    ledger.waive("classes", "_cached_dict")
    classes, sparse = np.asarray(ledger["classes_"]), bool(ledger["sparse_output"])
    x = _labels(ledger, builder, table, classes)
    places = np.arange(len(classes))
    code = builder.add("lookup", x, hint="code", keys=_keys(ledger, builder, x, classes), values=places, default=-1)
    vectors, count = builder.add("onehot", code, hint="indicators", size=max(len(classes), 1)), len(table)
    while count > 1:  # the larger of the front half and the back half of the vectors; the middle one of an odd number twice
        half = (count + 1) // 2
        index = np.arange(half * len(classes))
        front = builder.add("select", vectors, hint="front", index=index)
        back = builder.add("select", vectors, hint="back", index=index + (count - half) * len(classes))
        vectors, count = builder.add("binary", front, back, hint="indicators", fn="max"), half
    return builder.table(vectors, sparse=sparse)


def _labels(ledger: Ledger, builder: Builder, table: Table, classes: Array) -> str:
    """The labels as one value, strings or numbers as the classes are."""
    text = table.columns[0].dtype == "str"
    wrong = next((c for c in classes.tolist() if isinstance(c, str) != text or not isinstance(c, (str, int, float))), None)
    if wrong is not None:
        raise ledger.refuse(
            "classes_",
            f"hold {wrong!r}, but the sample holds {'strings' if text else 'numbers'}: "
            "use labels that are all strings or all numbers, and such a sample.",
        )
    return builder.texts(table, "labels") if text else builder.matrix(table, "labels")


def _keys(ledger: Ledger, builder: Builder, x: str, classes: Array) -> Any:
    """The classes as keys of a lookup of x."""
    if builder.types[x].dtype == "str":
        keys = np.empty(len(classes), dtype=object)
        keys[:] = [str(c) for c in classes.tolist()]
        return keys
    numbers = classes.astype(np.float64)
    inexact = [c for c, n in zip(classes.tolist(), numbers.tolist(), strict=True) if n != c and n == n]
    if inexact:
        raise ledger.refuse("classes_", f"hold {inexact[0]!r}, which is no float64: use strings as labels.")
    return numbers
