"""The ledger of an estimator: every attribute is consumed or waived, or the export is refused.

Nearly every silently wrong conversion known is one ignored constructor option or fitted attribute. So a handler takes what it
uses out of a ledger, and `close()` refuses what is left over.
"""

from __future__ import annotations

from typing import Any

from modelport.errors import Misjudged, NotFitted, UnsupportedAttribute

#: Attributes that never change what a fitted estimator answers, whatever the estimator.
ALWAYS_WAIVED = frozenset(
    {
        "n_features_in_",
        "feature_names_in_",
        "n_jobs",
        "random_state",
        "verbose",
        "copy",
        "copy_X",
        "warm_start",
        "memory",
        "verbose_feature_names_out",
        "_sklearn_output_config",
        "_sklearn_version",
        "_metadata_request",
        "_repr_html_link",
        "_skl_callbacks",
    }
)


class Ledger:
    """Reads the attributes of one estimator and remembers which.

    >>> from sklearn.preprocessing import StandardScaler
    >>> ledger = Ledger(StandardScaler().fit([[1.0], [3.0]]))
    >>> ledger["mean_"].tolist(), ledger["scale_"].tolist(), ledger["with_mean"], ledger["with_std"]
    ([2.0], [1.0], True, True)
    >>> ledger.waive("var_", "n_samples_seen_")
    >>> ledger.close()
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator
        self.name = type(estimator).__name__
        self._seen: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        """The attribute, marked as consumed; NotFitted when a fitted attribute (name_) is not there."""
        self._seen.add(name)
        try:
            return getattr(self.estimator, name)
        except AttributeError:
            if name.endswith("_") and not any(n.endswith("_") and not n.startswith("_") for n in vars(self.estimator)):
                raise NotFitted(f"This {self.name} is not fitted (it has no {name}): call fit first, then convert.") from None
            raise UnsupportedAttribute(
                f"{self.name} has no attribute {name!r}: it was made by a scikit-learn version whose state is not known here.",
                name,
            ) from None

    def get(self, name: str, default: Any = None) -> Any:
        """The attribute, or a default where this version of the estimator does not have it."""
        self._seen.add(name)
        return getattr(self.estimator, name, default)

    def waive(self, *names: str) -> None:
        """State that these attributes do not change the output."""
        self._seen.update(names)

    def demand(self, name: str, *allowed: Any, instead: str) -> Any:
        """Consume a parameter of which only some values can be exported; `instead` says what the user can do."""
        value = self[name]
        if not any(value is a or (type(value) is type(a) and value == a) for a in allowed):
            raise UnsupportedAttribute(f"{self.name}({name}={value!r}) cannot be exported: {instead}", name)
        return value

    def refuse(self, name: str, why: str) -> UnsupportedAttribute:
        """The error for an attribute that cannot be exported (raise it)."""
        return UnsupportedAttribute(f"{self.name}: {name} {why}", name)

    def misjudged(self, name: str, why: str) -> Misjudged:
        """The error for an attribute of another scikit-learn version, which the installed one reads otherwise (raise it)."""
        return Misjudged(f"{self.name}: {name} {why}", name)

    def close(self) -> None:
        """Refuse whatever was neither consumed nor waived."""
        left = sorted(vars(self.estimator).keys() - self._seen - ALWAYS_WAIVED)
        if left:
            raise UnsupportedAttribute(
                f"{self.name} has the attribute {left[0]!r}, and no step is known to express it, so the export could be wrong. "
                "Refit without it, or update modelport.",
                left[0],
            )
