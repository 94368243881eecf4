"""How each converter converts and each Python consumer loads and predicts. Runs inside worker.py; imports what it needs late."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["CONVERTERS", "ENGINES", "Engine"]

Array = np.ndarray[Any, np.dtype[Any]]
ROOT = Path(__file__).resolve().parent.parent


# --- converters: (model, sample, path) -> the artifact's bytes, or None for what writes the file itself ------------------------

Converter = Callable[[Any, Any, str], "bytes | None"]


def _modelport(format_: str) -> Converter:
    def convert(model: Any, sample: Any, path: str) -> bytes:
        import modelport

        return modelport.convert(model, format_, sample=sample).data

    return convert


def _skl2onnx(model: Any, sample: Any, path: str) -> bytes:
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    if hasattr(sample, "columns"):
        numeric = set(sample.select_dtypes("number").columns)
        types = [(name, (FloatTensorType if name in numeric else StringTensorType)([None, 1])) for name in sample.columns]
    else:
        types = [("X", FloatTensorType([None, sample.shape[1]]))]
    return bytes(to_onnx(model, initial_types=types, options={"zipmap": False}).SerializeToString())


def _sklearn2pmml(model: Any, sample: Any, path: str) -> None:
    from sklearn2pmml import make_pmml_pipeline, sklearn2pmml

    sklearn2pmml(make_pmml_pipeline(model, active_fields=fields(sample), target_fields=["y"]), path)


def fields(sample: Any) -> list[str]:
    """Column names; an array's are x0, x1, ..."""
    return list(sample.columns) if hasattr(sample, "columns") else [f"x{j}" for j in range(sample.shape[1])]


CONVERTERS: dict[str, Converter] = {
    "modelport json": _modelport("json"),
    "modelport onnx": _modelport("onnx"),
    "modelport pmml": _modelport("pmml"),
    "skl2onnx": _skl2onnx,
    "sklearn2pmml": _sklearn2pmml,
}


# --- consumers ----------------------------------------------------------------------------------------------------------------


class Engine:
    """One consumer: load a file, bring rows into the form it takes, predict, and read labels and probabilities from that."""

    def load(self, path: str) -> None:
        """Read the artifact and be ready to predict."""
        raise NotImplementedError

    def rows(self, data: Any) -> Any:
        """The form of rows that this consumer takes; not timed."""
        return data

    def row(self, data: Any) -> Any:
        """The form of one row, where that is another."""
        return self.rows(data)

    def predict(self, rows: Any) -> Any:
        """The consumer's own answer."""
        raise NotImplementedError

    def answers(self, answer: Any) -> tuple[Any, Any]:
        """(labels [n], probabilities [n, classes]) of an answer; not timed."""
        return answer["label"], answer["probability"]


class ScikitLearn(Engine):
    """The pickled model; probabilities alone, as most programs ask."""

    def load(self, path: str) -> None:
        self.model = pickle.loads(Path(path).read_bytes())["model"]

    def predict(self, rows: Any) -> Any:
        return self.model.predict_proba(rows)

    def answers(self, answer: Any) -> tuple[Any, Any]:
        return self.model.classes_[answer.argmax(axis=1)], answer


def named_columns(data: Any) -> dict[str, Array]:
    """Columns of a frame as [n, 1] arrays, or the matrix as X."""
    if not hasattr(data, "columns"):
        return {"X": data}
    return {name: data[name].to_numpy()[:, None] for name in data.columns}


class ModelportLoad(Engine):
    """modelport.load, any format; loading replays the vectors."""

    def load(self, path: str) -> None:
        import modelport

        self.model = modelport.load(path)

    def rows(self, data: Any) -> Any:
        return named_columns(data)

    def predict(self, rows: Any) -> Any:
        return self.model.predict(rows)


class PythonStub(Engine):
    """The single file of stubs/python; loading replays the vectors."""

    def load(self, path: str) -> None:
        folder = str(ROOT / "stubs/python")
        if folder not in sys.path:
            sys.path.insert(0, folder)
        import modelport_stub

        self.model = modelport_stub.load(Path(path).read_bytes())

    def rows(self, data: Any) -> Any:
        return named_columns(data)

    def predict(self, rows: Any) -> Any:
        return self.model.predict(rows)


class OnnxRuntime(Engine):
    """A bare session of one thread; rows in the dtype the file declares."""

    def load(self, path: str) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def rows(self, data: Any) -> Any:
        columns, feeds = named_columns(data), {}
        for value in self.session.get_inputs():
            dtype = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(string)": object}[value.type]
            feeds[value.name] = np.ascontiguousarray(columns[value.name].astype(dtype))
        return feeds

    def predict(self, rows: Any) -> Any:
        return self.session.run(None, rows)

    def answers(self, answer: Any) -> tuple[Any, Any]:
        by_name = dict(zip((o.name for o in self.session.get_outputs()), answer, strict=True))
        labels = next(v for k, v in by_name.items() if "label" in k)
        return labels, next(v for k, v in by_name.items() if "prob" in k)


class Pmml(Engine):
    """What the two scorers share: a frame goes in, and a frame with fields of probabilities comes out; one row is a dict."""

    def rows(self, data: Any) -> Any:
        import pandas

        return data if hasattr(data, "columns") else pandas.DataFrame(data, columns=fields(data))

    def row(self, data: Any) -> Any:
        (record,) = self.rows(data).to_dict("records")
        return {name: None if cell != cell else cell for name, cell in record.items()}

    def answers(self, answer: Any) -> tuple[Any, Any]:
        probabilities = answer[[name for name in answer.columns if "probability" in name]].to_numpy(dtype=np.float64)
        labels = [name for name in answer.columns if name in ("label", "y")]  # pypmml leaves out the target field
        return answer[labels[0]].to_numpy() if labels else probabilities.argmax(axis=1), probabilities


class Jpmml(Pmml):
    """JPMML-Evaluator in this process, one thread."""

    def load(self, path: str) -> None:
        from jpmml_evaluator import make_evaluator

        self.model = make_evaluator(path)

    def predict(self, rows: Any) -> Any:
        return self.model.evaluate(rows) if isinstance(rows, dict) else self.model.evaluateAll(rows, parallelism=1)


class Pypmml(Pmml):
    """PMML4S behind a socket, as the package runs it."""

    def load(self, path: str) -> None:
        from pypmml import Model

        self.model = Model.load(path)

    def predict(self, rows: Any) -> Any:
        return self.model.predict(rows)


ENGINES: dict[str, type[Engine]] = {
    "scikit-learn": ScikitLearn,
    "modelport.load": ModelportLoad,
    "python stub": PythonStub,
    "onnxruntime": OnnxRuntime,
    "jpmml": Jpmml,
    "pypmml": Pypmml,
}
