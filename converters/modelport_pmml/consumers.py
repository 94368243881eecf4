"""Two public scorers as independent judges of a PMML file: PMML4S (pypmml) and JPMML-Evaluator (jpmml_evaluator). Both need Java.

Neither is needed to write or read PMML. JPMML-Evaluator is under the AGPL and is used only where its user has installed it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from modelport.document import Vectors
from modelport.errors import ArtifactError, InputError, MissingDependency
from modelport.graph import DTYPES, FLOATS, Graph, Input, Output
from modelport.run import check_inputs

from .declaration import Carried
from .declared import declared_in
from .parse import parse

__all__ = ["Scorer", "Undecided", "jpmml", "pypmml"]

Array = np.ndarray[Any, np.dtype[Any]]
#: what PMML4S writes for a missing integer
MISSING_LONG = -(2**63)
#: keeps a Java program from talking to any host
OFFLINE = tuple(f"-D{scheme}.proxy{what}" for scheme in ("http", "https") for what in ("Host=127.0.0.1", "Port=9"))

#: dataType -> how a double is fed to a field of it
FED: Mapping[str, Callable[[Any], Any]] = {
    "integer": lambda v: int(v) if v == v // 1 else v,
    "boolean": lambda v: bool(v) if v in (0.0, 1.0) else v,
}
#: what JPMML-Evaluator stops with where the specification says that the result of a function or a model is missing
UNDECIDED = ("MissingArgumentException", "MissingFieldValueException")


class Undecided(InputError):
    """A row that a scorer does not answer, for want of something that the specification has."""


class Scorer:
    """A file in one of the scorers. Rows go in by field name; each output is put together from its fields."""

    graph: Graph | None = None

    def __init__(self, data: bytes, engine: str, declared: Carried | None = None, types: Mapping[str, str] | None = None) -> None:
        """declared is what the file is taken to declare, where its own declaration does not count; types are dataTypes of fields
        that are fed as whole numbers or booleans, though they come as doubles.
        """
        declared = declared_in(parse(data)) if declared is None else declared
        self._types = types or {}
        self.inputs: tuple[Input, ...] = declared.inputs
        self.outputs: tuple[Output, ...] = declared.outputs
        self.vectors: Vectors | None = declared.vectors
        self.provenance: Mapping[str, Any] = declared.provenance
        self.engine = engine
        self._fields = declared.fields
        self._shapes = declared.shapes

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Output name -> array [n, *row shape]."""
        checked = check_inputs(self.inputs, feeds)
        names, cells = [], []
        for value in self.inputs:
            matrix = checked[value.name].reshape(len(checked[value.name]), value.type.width)
            for j, name in enumerate(self._fields.inputs[value.name]):
                names.append(name)
                fed = FED.get(self._types.get(name, ""))
                cells.append([None if v is None or v != v else fed(v) if fed else v for v in matrix[:, j].tolist()])
        rows = [list(row) for row in zip(*cells, strict=True)] if cells else []
        results = self.score(names, rows) if rows else []
        return {o.name: self._gather(o, results) for o in self.outputs}

    def given(self) -> set[str] | None:
        """The fields it answers; None where it says nothing of them before it is asked."""
        return None

    def score(self, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[Mapping[str, Any]]:
        """Result field -> value, per row; each scorer has its own."""
        raise NotImplementedError

    def _gather(self, output: Output, results: Sequence[Mapping[str, Any]]) -> Array:
        fields = self._fields.outputs[output.name]
        dtype = DTYPES[output.dtype]
        array = np.empty((len(results), len(fields)), dtype=dtype)
        for i, result in enumerate(results):
            for j, name in enumerate(fields):
                if name not in result:
                    raise ArtifactError(f"{self.engine} answers no field {name!r}, of which output {output.name!r} is made.")
                array[i, j] = _cell(result[name], output.dtype, i, output.name, self.engine)
        return array.reshape(len(results), *self._shapes[output.name])


def _cell(value: Any, dtype: str, row: int, output: str, engine: str) -> Any:
    """One answer in the output's dtype; a missing integer or boolean has no form, so the row is refused."""
    missing = value is None or (dtype not in FLOATS and value == MISSING_LONG)
    if dtype == "str":
        return None if missing else str(value)
    if dtype in FLOATS:
        return float("nan") if missing else float(value)
    if missing:
        raise InputError(f"Row {row}: {engine} gives no {output!r}.")
    if dtype == "bool":
        return value if isinstance(value, bool) else str(value).lower() == "true"
    number, bounds = float(value), np.iinfo(DTYPES[dtype])
    if number != int(number) or not bounds.min <= int(number) <= bounds.max:
        raise InputError(f"Row {row}: {engine} gives {value} as {output!r}, which is no {dtype}.")
    return int(number)


def _need_java(package: str) -> None:
    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        raise MissingDependency(f"{package} needs Java, and no java is on the PATH: install a Java runtime (11 or newer).")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "of unknown version"


# --- PMML4S -------------------------------------------------------------------------------------------------------------------


class _Pypmml(Scorer):
    def __init__(self, data: bytes, declared: Carried | None, types: Mapping[str, str] | None) -> None:
        try:
            from pypmml import Model
        except ImportError:
            raise MissingDependency("pypmml is not installed: pip install pypmml.") from None
        _need_java("pypmml")
        super().__init__(data, f"pypmml {_version('pypmml')}", declared, types)
        try:
            self._model = Model.fromBytes(data)
        except Exception as error:  # py4j raises classes of its own for whatever happens in Java
            raise ArtifactError(f"pypmml cannot read the file: {_sentence(error)}") from None

    def given(self) -> set[str] | None:
        """With an Output it answers those fields alone, and not the target."""
        return {str(name) for name in self._model.outputNames}

    def score(self, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[Mapping[str, Any]]:
        """Rows travel as JSON with all digits: DataFrames lose them, dicts fail on NumPy numbers."""
        cells = ",".join(f"[{','.join(map(_json, row))}]" for row in rows)
        request = f'{{"columns":{json.dumps(list(names))},"data":[{cells}]}}'
        try:
            answer = json.loads(self._model.predict(request))
        except Exception as error:
            raise InputError(f"pypmml cannot score the rows: {_sentence(error)}") from None
        return [dict(zip(answer["columns"], row, strict=True)) for row in answer["data"]]


def _json(value: Any) -> str:
    """A cell as JSON; an infinity as a number too large for a double."""
    if isinstance(value, float) and value in (float("inf"), -float("inf")):
        return "1e999" if value > 0 else "-1e999"
    return json.dumps(value)


def pypmml(data: bytes, declared: Carried | None = None, types: Mapping[str, str] | None = None) -> Scorer:
    """The file scored by PMML4S; declared and types as in Scorer."""
    return _Pypmml(data, declared, types)


# --- JPMML-Evaluator ----------------------------------------------------------------------------------------------------------


def _backend() -> Any:
    """The Java machine in this process, started once, without a way to the network."""
    try:
        import jpype  # type: ignore[import-untyped]
        from jpmml_evaluator import _classpath
        from jpmml_evaluator.jpype import JPypeBackend
    except ImportError:
        raise MissingDependency(
            "jpmml_evaluator is not installed (AGPL-3.0, needs JPype1): pip install jpmml_evaluator JPype1."
        ) from None
    _need_java("jpmml_evaluator")
    if not jpype.isJVMStarted():
        jpype.startJVM(*OFFLINE, "-Xss64m", classpath=_classpath([]))
    try:
        return JPypeBackend()
    except Exception as error:
        raise MissingDependency(
            f"The running Java machine has no JPMML-Evaluator on its class path: {_sentence(error)}"
        ) from None


class _Jpmml(Scorer):
    def __init__(self, data: bytes, declared: Carried | None, types: Mapping[str, str] | None) -> None:
        self._backend = _backend()
        from jpmml_evaluator import make_evaluator

        super().__init__(data, f"jpmml_evaluator {_version('jpmml_evaluator')}", declared, types)
        try:
            self._evaluator = make_evaluator(data, backend=self._backend)
        except Exception as error:
            raise ArtifactError(f"jpmml_evaluator cannot read the file: {_sentence(error)}") from None
        #: the fields it may answer; it leaves out those that no row has an answer for
        self._named = [f.name for f in (*self._evaluator.getTargetFields(), *self._evaluator.getOutputFields())]

    def verify(self) -> None:
        """Replay the file's ModelVerification in JPMML-Evaluator; ArtifactError when it does not agree."""
        try:
            self._evaluator.verify()
        except Exception as error:
            raise ArtifactError(f"jpmml_evaluator does not agree with the file's ModelVerification: {_sentence(error)}") from None

    def score(self, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[Mapping[str, Any]]:
        """Rows travel as one table; a row that is refused stops the run."""
        from jpmml_evaluator import PythonEvaluatorUtil

        table = {"columns": list(names), "data": [list(column) for column in zip(*rows, strict=True)]}
        answer = PythonEvaluatorUtil.evaluateAll(self._backend, self._evaluator.javaEvaluator, table, None, 1)
        for i, error in enumerate(answer["errors"] or ()):
            if error is not None:
                kind = Undecided if any(name in str(error) for name in UNDECIDED) else InputError
                raise kind(f"Row {i}: jpmml_evaluator refuses it: {error}")
        columns = [str(name) for name in answer["columns"]]
        if not columns:  # no row has any answer
            return [dict.fromkeys(self._named)] * len(rows)
        short = [len(column) for column in answer["data"] if len(column) != len(rows)]
        if short:
            raise ArtifactError(
                f"{self.engine} gives {short[0]} answers for {len(rows)} rows: a segment may lack the model's target."
            )
        empty = dict.fromkeys(self._named)
        return [{**empty, **dict(zip(columns, row, strict=True))} for row in zip(*answer["data"], strict=True)]


def jpmml(data: bytes, declared: Carried | None = None, types: Mapping[str, str] | None = None) -> Scorer:
    """The file scored by JPMML-Evaluator; declared and types as in Scorer."""
    return _Jpmml(data, declared, types)


def _sentence(error: BaseException) -> str:
    """The first line of what a Java error says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]
