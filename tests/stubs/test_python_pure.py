"""The Python stub without NumPy: the conformance suite, in an interpreter that cannot import it, and the library."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from modelport.conformance import findings
from modelport.fixtures import Fixtures
from modelport.ops import OPS
from modelport.profiles import profile_of
from modelport.stubs import Completed, data_folder

FOLDER = Path(__file__).resolve().parents[2] / "stubs" / "python"

TABULAR = {name for name in OPS if profile_of(name) == "tabular"}

#: answers one command line of cli.py after the other, in one process without NumPy
SERVER = """
import io, json, sys
sys.path.insert(0, sys.argv[1])
import cli
try:
    import numpy
except ModuleNotFoundError:
    pass
else:
    sys.exit("NumPy can be imported here")
lines, answers = sys.stdin, sys.stdout
for line in lines:
    args, given = json.loads(line)
    sys.stdin = io.TextIOWrapper(io.BytesIO(given.encode("latin-1")))
    sys.stdout, sys.stderr = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    code = cli.main(args)
    sys.stdout.flush()
    said = sys.stdout.buffer.getvalue().decode()
    answers.write(json.dumps([code, said, sys.stderr.getvalue()]) + "\\n")
    answers.flush()
"""


class Server:
    def __init__(self) -> None:
        command = [sys.executable, "-S", "-c", SERVER, str(FOLDER)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, args: list[str], given: bytes = b"", timeout: float = 0.0) -> Completed:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([args, given.decode("latin-1")]) + "\n")
        self._process.stdin.flush()
        code, out, err = json.loads(self._process.stdout.readline())
        return Completed(code, out.encode(), err)

    def stop(self) -> None:
        self._process.communicate()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.stop()


def lacks(problem: str) -> bool:
    """Whether a case was refused because it needs ops of other profiles than tabular, and says so."""
    ops = re.findall(r"'([a-z_0-9]+)'", problem.partition("not implemented here: ")[2])
    return bool(ops) and not any(op in TABULAR for op in ops)


def test_the_suite_without_numpy(server: Server, tmp_path: Path) -> None:
    suite = Fixtures(data_folder("fixtures"))
    asked, wrong = 0, []
    for name, problem in findings(server, suite, tmp_path):
        if problem is not None and lacks(problem):
            continue
        asked += 1
        if problem is not None:
            wrong.append(f"{name}: {problem}")
    assert not wrong, "\n".join(wrong[:20])
    assert asked > 1000


@pytest.fixture
def pure(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("modelport_stub_pure")


def test_it_answers_as_the_stub_with_numpy(pure: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    stub = importlib.import_module("modelport_stub")
    rng = np.random.default_rng(3)
    for path in sorted((data_folder("fixtures") / "models" / "sklearn").glob("*/model.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        numbers = all(i["dtype"] in ("f64", "f32") and all(isinstance(n, int) for n in i["shape"]) for i in document["inputs"])
        if not numbers or not set(document["requires"]) <= set(pure.ops()):
            continue
        rows = {i["name"]: rng.normal(0, 3, size=(20, *i["shape"])).round(2) for i in document["inputs"]}
        one, other = pure.load(path.read_bytes()), stub.load(path.read_bytes())
        got, said = one.predict({name: x.tolist() for name, x in rows.items()}), other.predict(rows)
        exact = {"tree_ensemble", "reduce", "take", "scale", "impute", "concat", "select", "constant"} >= set(
            document["requires"]
        )
        for name, expected in said.items():
            if expected.dtype.kind == "f" and not exact:
                np.testing.assert_allclose(np.array(got[name]), expected, rtol=1e-6, atol=1e-9)
            else:
                assert got[name] == expected.tolist(), (path, name)


def test_rows_columns_and_records_are_the_same_rows(pure: ModuleType) -> None:
    document: dict[str, Any] = {
        "format": "modelport",
        "version": "1.0",
        "requires": ["linear"],
        "inputs": [{"name": "X", "dtype": "f64", "shape": [2], "features": ["a", "b"]}],
        "steps": [{"op": "linear", "in": ["X"], "out": "y", "weight": [[1, 2]], "bias": [0.5]}],
        "outputs": [{"name": "score", "from": "y", "dtype": "f64", "role": "score"}],
    }
    model = pure.load(json.dumps(document), verify=False)
    expected = {"score": [[3.5], [5.5]]}
    assert model.predict([[1, 1], [1, 2.0]]) == expected
    assert model.predict({"b": [1, 2], "a": [1, 1]}) == expected
    assert model.predict([{"a": 1, "b": 1}, {"b": 2, "a": True}]) == expected
    assert model.predict({"X": np.array([[1.0, 1.0], [1.0, 2.0]])}) == expected
    assert model.predict([]) == {"score": []}
    for rows, sentence in [
        ([[1, None]], "missing"),
        ([{"a": 1}], "input 'b' is missing"),
        ([["x", 1]], "dtype is f64"),
        ([[1, 2, 3]], "rows of shape"),
    ]:
        with pytest.raises(pure.Refused, match=sentence):
            model.predict(rows)


def test_the_special_numbers_of_functions(pure: ModuleType) -> None:
    assert set(pure.ops()) == TABULAR
    values = [0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -2.5, 1.0, -1.0, 710.0, -710.0, 800.0, -800.0, 1e300, np.inf, -np.inf, np.nan]
    stub = importlib.import_module("modelport_stub")
    table = {**stub.UNARY_EXACT, **stub.UNARY_CLOSE}
    assert table.keys() == pure.UNARY.keys()
    with np.errstate(all="ignore"):
        for name, function in table.items():
            expected = function(np.array(values))
            got = np.array([pure.UNARY[name](v) for v in values])
            np.testing.assert_allclose(got, expected, rtol=1e-9, err_msg=name)
        for name, function in stub.ARITHMETIC.items():
            pairs = [(x, y) for x in values for y in values]
            expected = function(np.array([x for x, _ in pairs]), np.array([y for _, y in pairs]))
            got = np.array([pure.ARITHMETIC[name](x, y) for x, y in pairs])
            np.testing.assert_allclose(got, expected, rtol=1e-12, err_msg=name)
