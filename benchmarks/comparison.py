"""Every estimator of scikit-learn x converter: does it convert, does the file run, are its answers scikit-learn's?

    python benchmarks/comparison.py --write                            # what is installed; writes comparison.json
    python benchmarks/comparison.py --peers skl2onnx Ridge SVC         # these only, printed

The models are those of tests/catalogue.py, fitted on scikit-learn's bundled data. Every converter is asked the same rows (those
of tests/sweep.py); scikit-learn gives the expected answers. A number is right within 1e-4 of the scale of its output, which
single precision can keep, and a label when it is the same. Rows whose best two scores lie closer than that are left out, and so
are rows far outside the sample. A file in single precision is asked rows that single precision can hold, and so is the model.
--write keeps what stands in comparison.json for peers that are not measured in this run. A peer that is not installed is left
out; sklearn2pmml also needs Java and jpmml_evaluator, and takes half an hour.
"""

from __future__ import annotations

import argparse
import copy
import json
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "converters"), str(ROOT / "tests")]

import numpy as np  # noqa: E402
from catalogue import FITTED  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from sweep import PLAIN  # noqa: E402

import modelport  # noqa: E402
from modelport import registry  # noqa: E402
from modelport.delegation import Wanted, delegated, first_line  # noqa: E402
from modelport.document import Document, Tolerance, Vectors  # noqa: E402
from modelport.errors import ModelportError  # noqa: E402
from modelport.reading import Reading  # noqa: E402
from modelport.samples import checked_sample  # noqa: E402
from modelport.vectors import EXTREME, carried, record, scale_of, without_ties  # noqa: E402
from modelport.verify import build_pool  # noqa: E402

RESULT = ROOT / "benchmarks" / "comparison.json"
BAR = 1e-4
#: rows of the sample and between them; rows at a boundary or one unit in the last place beside it; rows with missing cells
KINDS = ("plain", "boundary", "missing")
SECONDS = 90
Array = NDArray[Any]
Run = Callable[[Mapping[str, Array]], Mapping[str, Array]]


class Refuses(Exception):
    """A converter that does not convert a model; the text is what it says."""


class Case:
    """One estimator: the model, its sample, and rows with scikit-learn's answers."""

    def __init__(self, name: str) -> None:
        self.model, self.given = FITTED[name]()
        self.rows = checked_sample(self.given, self.model)
        self.reading: Reading = registry.reader_for(self.model)[1].read(self.model, self.rows, {})
        self.sample: Any = self.reading.sample or self.rows
        pool = build_pool(self.reading, self.rows, seed=2, own_rows=True)
        self.pool = self.kept(pool.take(np.flatnonzero([note not in EXTREME for note in pool.rows])))

    def kept(self, pool: Vectors) -> Vectors:
        """The rows whose label does not hang on a difference below the bar."""
        limits = {
            name: Tolerance(1e-3 * BAR * scale_of(values, pool.rows) if values.dtype.kind == "f" else 0.0)
            for name, values in pool.outputs.items()
        }
        return pool.take(np.flatnonzero(without_ties(self.reading.graph, pool.outputs, limits)))

    def single(self) -> Vectors:
        """The rows rounded to single precision, answered again."""
        feeds = {k: v.astype(np.float32).astype(v.dtype) if v.dtype.kind == "f" else v for k, v in self.pool.inputs.items()}
        outputs, index = record(self.reading.answer, feeds)
        answered = Vectors({k: v[index] for k, v in feeds.items()}, outputs, self.pool.tolerance, "sample",
                           [self.pool.rows[i] for i in index])  # fmt: skip
        return self.kept(answered)

    @property
    def document(self) -> Document:
        """What a delegate's file is given: the declaration, and a few rows."""
        return Document(self.reading.graph, carried(self.pool, self.reading.graph), {})


# --- the peers: (case) -> the rows to ask, and how to ask them ------------------------------------------------------------------


def ours(format_: str) -> Callable[[Case], tuple[Vectors, Run]]:
    """modelport's own writer."""

    def converted(case: Case) -> tuple[Vectors, Run]:
        try:
            artifact = modelport.convert(case.model, format_, sample=case.given, backend="graph")
        except ModelportError as error:
            raise Refuses(str(error)) from error
        return case.pool, registry.writer(format_).load(artifact.data, None).run

    return converted


def through(name: str, format_: str, engine: str | None = None) -> Callable[[Case], tuple[Vectors, Run]]:
    """A delegate's file, as the delegate writes it (docs/delegates.md), in the engine; nothing is held back for being wrong."""

    def converted(case: Case) -> tuple[Vectors, Run]:
        wanted = Wanted.of(case.reading.graph, case.sample)
        try:
            by = delegated(name, case.model, format_, wanted, {})
        except ModelportError as error:
            raise Refuses(str(error)) from error
        data = by.write(case.document, {})
        module = registry.writer(format_)
        return case.pool, (module.load(data, None) if engine is None else module.CONSUMERS[engine](data)).run

    return converted


def skl2onnx_single(case: Case) -> tuple[Vectors, Run]:
    """skl2onnx as its documentation uses it: float32, labels and probabilities as tensors."""
    import onnxruntime
    from modelport_delegates.onnx_by_skl2onnx import _needs_columns, _refuse_endless
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    wanted = Wanted.of(case.reading.graph, case.sample)
    split = _needs_columns(case.model, wanted)
    kinds = {"f64": FloatTensorType, "str": StringTensorType}
    types = [(v.name, kinds[v.dtype]([None, v.type.width])) for v in wanted.inputs]
    if split:
        types = [(name, FloatTensorType([None, 1])) for name in wanted.sample.names]
    final = case.model
    while hasattr(final, "steps"):
        final = final.steps[-1][1]
    said: Exception | None = None
    scores = any(o.role == "score" for o in wanted.outputs)
    for options in ({"zipmap": False, **({"raw_scores": True} if scores else {})}, {"zipmap": False}, None):
        try:
            _refuse_endless(case.model)
            proto = to_onnx(case.model, initial_types=types, options=options and {id(final): options})
            break
        except NameError as error:  # an option that this converter does not have
            said = error
        except Exception as error:  # its exceptions have no common base
            raise Refuses(first_line(error)) from error
    else:
        raise Refuses(first_line(said or ValueError("no options fit")))
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])

    def run(feeds: Mapping[str, Array]) -> dict[str, Array]:
        arrays = [v.astype(np.float32) if v.dtype.kind == "f" else v for v in feeds.values()]
        arrays = [v.reshape(len(v), -1) for v in arrays]
        n = len(arrays[0])
        if split:
            arrays = [arrays[0][:, j : j + 1] for j in range(arrays[0].shape[1])]
        given = session.run(None, dict(zip((v.name for v in session.get_inputs()), arrays, strict=True)))
        answers = {}
        for output in case.reading.graph.outputs:
            position = 1 if output.role in ("probability", "score") else 0
            shape = case.reading.graph.types[output.source].shape
            value = given[position] if position < len(given) and "_" not in output.name else None
            if output.role == "score" and shape == () and np.ndim(value) == 2:
                value = value[:, -1]
            if not isinstance(value, np.ndarray) or (output.role != "transform" and value.size != n * int(np.prod(shape))):
                raise Refuses(f"It gives no output {output.name!r}.")
            answers[output.name] = value.reshape(n, *shape) if value.size == n * int(np.prod(shape)) else value
        return answers

    return case.single(), run


PEERS: dict[str, tuple[tuple[str, ...], Callable[[Case], tuple[Vectors, Run]]]] = {
    "modelport, JSON": ((), ours("json")),
    "modelport, ONNX": (("onnxruntime",), ours("onnx")),
    "modelport, PMML": ((), ours("pmml")),
    "skl2onnx, single": (("skl2onnx", "onnxruntime"), skl2onnx_single),
    "skl2onnx, double": (("skl2onnx", "onnxruntime"), through("skl2onnx", "onnx")),
    "sklearn2pmml, JPMML": (("sklearn2pmml", "jpmml_evaluator"), through("sklearn2pmml", "pmml", "jpmml")),
}


# --- measuring ----------------------------------------------------------------------------------------------------------------


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """TimeoutError when it takes longer."""

    def stop(*_: Any) -> None:
        raise TimeoutError(f"it did not end within {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def measured(case: Case, peer: Callable[[Case], tuple[Vectors, Run]]) -> dict[str, Any]:
    """{"converts": false, "why"}, or "runs" (with "why" when it does not) and the figures on every kind of rows."""
    try:
        with at_most(SECONDS):
            pool, run = peer(case)
    except Refuses as error:
        return {"converts": False, "why": first_line(error)}
    except TimeoutError as error:
        return {"converts": False, "why": str(error)}
    except Exception as error:  # the file was written and cannot be loaded
        return {"converts": True, "runs": False, "why": first_line(error)}
    try:
        with at_most(SECONDS):
            got = run(pool.inputs)
    except Refuses as error:
        return {"converts": False, "why": first_line(error)}
    except Exception as error:
        return {"converts": True, "runs": False, "why": first_line(error)}
    return {"converts": True, "runs": True, **{kind: figures(pool, got, kind) for kind in KINDS}}


def kind_of(note: str) -> str:
    """Which of KINDS a row is."""
    return "plain" if note in PLAIN else "missing" if note in ("missing", "all missing") else "boundary"


def figures(pool: Vectors, got: Mapping[str, Array], kind: str) -> dict[str, Any] | None:
    """Rows, rows with a wrong answer or none, and what the first of them is; None where there are no such rows."""
    index = np.flatnonzero([kind_of(note) == kind for note in pool.rows])
    if not len(index):
        return None
    wrong, first = np.zeros(len(index), dtype=bool), None
    for name, expected in pool.outputs.items():
        if name not in got:
            return {"rows": len(index), "wrong": len(index), "first": f"there is no output {name!r}"}
        scale = scale_of(expected, pool.rows) if expected.dtype.kind == "f" else 0.0
        bad = differs(expected, np.asarray(got[name]), scale)[index]
        if bad.any() and first is None:
            at = index[np.flatnonzero(bad)[0]]
            said = [str(np.asarray(v[at]).tolist())[:60] for v in (got[name], expected)]
            first = f"{name}: {said[0]} instead of {said[1]}"
        wrong |= bad
    return {"rows": len(index), "wrong": int(wrong.sum()), **({"first": first} if first else {})}


def differs(expected: Array, got: Array, scale: float) -> Array:
    """Per row: is an element not the original's? Numbers within the bar of the scale are; NaN only where NaN is expected."""
    n = len(expected)
    if got.size != expected.size:
        return np.ones(n, dtype=bool)
    a, b = expected.reshape(n, -1), got.reshape(n, -1)
    if expected.dtype.kind != "f":
        pairs = zip(a.ravel().tolist(), b.ravel().tolist(), strict=True)
        return np.array([not (x == y or str(x) == str(y)) for x, y in pairs], dtype=bool).reshape(a.shape).any(axis=1)
    if b.dtype.kind not in "fiub":
        return np.ones(n, dtype=bool)
    with np.errstate(invalid="ignore", over="ignore"):
        near = np.abs(b.astype(np.float64) - a) <= BAR * np.maximum(scale, np.abs(a))
        same = (a == b) | (np.isnan(a) & np.isnan(b.astype(np.float64)))
    return ~(near & np.isfinite(a) | same).all(axis=1)


def versions(peer: str) -> str:
    """The packages of a peer, with their versions."""
    needs, _ = PEERS[peer]
    return ", ".join(f"{name} {version(name)}" for name in needs)


def installed(peer: str) -> bool:
    """Are the packages of a peer there?"""
    try:
        versions(peer)
    except PackageNotFoundError:
        return False
    return True


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="estimators; all without")
    parser.add_argument("--peers", help="part of the peers' names")
    parser.add_argument("--write", action="store_true", help="write benchmarks/comparison.json")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    peers = [p for p in PEERS if (given.peers or "") in p and installed(p)]
    found: dict[str, dict[str, Any]] = {p: {} for p in peers}
    for name in given.names or FITTED:
        begin = time.monotonic()
        case = Case(name)
        for peer in peers:
            found[peer][name] = measured(own_copy(case), PEERS[peer][1])
        print(f"{name} ({time.monotonic() - begin:.1f} s): { {p: short(found[p][name]) for p in peers} }", flush=True)
    if given.write and not given.names:
        import sklearn

        kept = json.loads(RESULT.read_text(encoding="utf-8"))["peers"] if RESULT.is_file() else {}
        fresh = {p: {"with": versions(p), "scikit-learn": sklearn.__version__, "estimators": found[p]} for p in peers}
        every = {**kept, **fresh}
        content = {"bar": BAR, "peers": {p: every[p] for p in PEERS if p in every}}
        RESULT.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


def own_copy(case: Case) -> Case:
    """The case again: a converter may change the model it is handed, so each gets a copy."""
    twin = copy.copy(case)
    twin.model = copy.deepcopy(case.model)
    return twin


def short(result: Mapping[str, Any]) -> str:
    """One word or two."""
    if not result["converts"]:
        return "refuses"
    if not result["runs"]:
        return "does not run"
    parts = [result[kind] for kind in KINDS]
    return " / ".join("-" if p is None else "right" if not p["wrong"] else f"{p['wrong']} of {p['rows']} wrong" for p in parts)


__all__ = ["BAR", "PEERS", "RESULT", "Case", "figures", "measured", "own_copy"]

if __name__ == "__main__":
    sys.exit(main())
