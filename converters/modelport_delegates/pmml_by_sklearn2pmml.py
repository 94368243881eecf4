"""The delegate `sklearn2pmml`: scikit-learn models as PMML, written by JPMML-SkLearn in Java. AGPL-3.0, so never used unasked.

On a failed conversion its Java program posts the exception to a server of its author's, and has no switch for that: it is run
with a proxy that is not there, so that no connection comes about.
"""

from __future__ import annotations

import contextlib
import copy
import io
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from modelport.delegation import Wanted, Written, first_line
from modelport.errors import MissingDependency, Unsupported

__all__ = ["FORMATS", "OFFLINE", "OPTIONS", "OPT_IN", "ROOTS", "convert", "missing"]

ROOTS = ("sklearn",)
FORMATS = ("pmml",)
OPTIONS = ()
#: `auto` does not fall back on it unless MODELPORT_DELEGATES names it
OPT_IN = True
#: what keeps the Java program from reaching any host
OFFLINE = tuple(f"-D{scheme}.proxy{what}" for scheme in ("https", "http") for what in ("Host=127.0.0.1", "Port=9"))
NEWEST = (1, 9, 0)
JAVA_OPTIONS, BANNER = "JAVA_TOOL_OPTIONS", "SKLEARN2PMML_BANNER"
#: what the Java program says it failed of, the clearest form first
FAILURES = (
    re.compile(r"^(?:Exception in thread \S+ )?((?:[\w$]+\.)+[\w$]*(?:Exception|Error)(?:: .+)?)$", re.MULTILINE),
    re.compile(r"^SEVERE: (.+)$", re.MULTILINE),
)


def missing() -> str | None:
    """What is not installed, as a sentence, or None."""
    try:
        version("sklearn2pmml")
    except PackageNotFoundError:
        return "The delegate sklearn2pmml needs sklearn2pmml (AGPL-3.0), which is not installed: pip install sklearn2pmml."
    if shutil.which("java") is None:
        return "The delegate sklearn2pmml needs Java, and no java is on the PATH: install a Java runtime (11 or newer)."
    return None


def convert(model: Any, format_: str, wanted: Wanted, options: Mapping[str, Any]) -> Written:
    """The model as sklearn2pmml translates it; Unsupported, in its words, when it does not."""
    lacking = missing()
    if lacking is not None:
        raise MissingDependency(lacking)
    _check_version()
    data = _translated(model, wanted.sample.names)
    fields = {}
    if any(o.role == "score" for o in wanted.outputs) and b'name="decisionFunction"' in data:
        fields["score"] = ["decisionFunction"]
    return Written(data, fields, f"sklearn2pmml {version('sklearn2pmml')}")


def _check_version() -> None:
    import sklearn

    found = tuple(int(part) for part in re.findall(r"\d+", sklearn.__version__)[:3])
    if found > NEWEST:
        newest = ".".join(map(str, NEWEST))
        raise Unsupported(
            f"sklearn2pmml takes scikit-learn up to {newest}, and {sklearn.__version__} is installed: use backend='graph'."
        )


def _translated(model: Any, names: list[str]) -> bytes:
    """The bytes of the PMML file. sklearn2pmml changes what it is given, so it gets a copy."""
    from sklearn2pmml import make_pmml_pipeline, sklearn2pmml

    target = "y"
    while target in names:
        target += "_"
    said = io.StringIO()
    with tempfile.TemporaryDirectory(prefix="modelport-") as folder:
        path = os.path.join(folder, "model.pmml")
        try:
            with warnings.catch_warnings(), contextlib.redirect_stdout(said), offline():
                warnings.simplefilter("ignore")
                pipeline = make_pmml_pipeline(copy.deepcopy(model), active_fields=names, target_fields=[target])
                sklearn2pmml(pipeline, path, java_opts=list(OFFLINE))
            return Path(path).read_bytes()
        except Exception as error:  # its exceptions have no common base
            why = _reason(said.getvalue()) or first_line(error)
            raise Unsupported(
                f"sklearn2pmml {version('sklearn2pmml')} cannot convert this {type(model).__name__}: {why}"
            ) from error


def _reason(said: str) -> str | None:
    """What the Java program says it failed of."""
    found = [failure for pattern in FAILURES for failure in pattern.findall(said)]
    return first_line(ValueError(found[0])) if found else None


@contextlib.contextmanager
def offline() -> Iterator[None]:
    """Every Java program started within is without a way to the network, and sklearn2pmml keeps its advertisement to itself."""
    before = {name: os.environ.get(name) for name in (JAVA_OPTIONS, BANNER)}
    os.environ[JAVA_OPTIONS] = " ".join(filter(None, [before[JAVA_OPTIONS], *OFFLINE]))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
