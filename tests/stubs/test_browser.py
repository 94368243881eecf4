"""The JavaScript stub in a real browser: demo.html loads an artifact and rows, and gives the artifact's own carried vectors.

Skipped, with the reason, where no chromium is installed; a failure instead when MODELPORT_REQUIRE names chromium.
"""

from __future__ import annotations

import base64
import functools
import html
import http.server
import json
import math
import os
import re
import shutil
import subprocess
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
STUB = ROOT / "stubs" / "javascript"
MODELS = sorted((ROOT / "fixtures" / "models").glob("*/*/model.json"))
LIARS = sorted((ROOT / "fixtures" / "liars").glob("*/model.json"))
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--dump-dom",
    "--virtual-time-budget=20000",
]
NUMPY = {"f64": "<f8", "f32": "<f4", "i64": "<i8", "i32": "<i4", "i16": "<i2", "i8": "i1", "u32": "<u4", "u16": "<u2", "u8": "u1"}

Document = dict[str, Any]


@pytest.fixture(scope="session")
def browser(need: Callable[[str, str], None]) -> str:
    """The command of a browser; MODELPORT_CHROMIUM overrides the search."""
    found = os.environ.get("MODELPORT_CHROMIUM") or next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        need("chromium", f"none of {', '.join(BROWSERS)} is on the PATH")
    return str(found)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server on this machine only, and the folder it serves: the library and the page."""
    folder = tmp_path / "site"
    folder.mkdir()
    for name in ("modelport.js", "modelport_fast.js", "modelport_more.js", "modelport_nn.js", "demo.html"):
        shutil.copy(STUB / name, folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietHandler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()


def run_page(browser: str, site: tuple[str, Path], profile: Path, artifact: str, rows: Document | None = None) -> Document:
    """What demo.html writes into #result for an artifact and rows."""
    address, folder = site
    (folder / "model.json").write_text(artifact, encoding="utf-8")
    query = {"model": "model.json"}
    if rows is not None:
        (folder / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
        query["rows"] = "rows.json"
    url = f"{address}/demo.html?{urllib.parse.urlencode(query)}"
    command = [browser, *FLAGS, f"--user-data-dir={profile}", url]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120, check=False)
    match = re.search(r'<pre id="result">(.*?)</pre>', done.stdout, re.DOTALL)
    text = match[1] if match else ""
    assert text, f"the page has no result (exit code {done.returncode}): {done.stderr[-2000:]}"
    result: Document = json.loads(html.unescape(text))
    return result


def elements(tensor: Any, dtype: str) -> list[Any]:
    """The elements of a tensor of the document, in base64 or decimal, flat."""
    if isinstance(tensor, dict) and "enc" in tensor:
        kind = NUMPY.get(dtype, "?")
        values: list[Any] = np.frombuffer(base64.b64decode(tensor["data"], validate=True), kind).tolist()
        return values
    data = tensor["data"] if isinstance(tensor, dict) else tensor
    flat = [x for row in data for x in (row if isinstance(row, list) else [row])]
    if dtype in ("str", "bool"):
        return flat
    return [float(x) if dtype in ("f64", "f32") else int(x) for x in flat]


def agree(got: Any, expected: Any, tolerance: Any, dtype: str) -> bool:
    """Section 10 of docs/format.md, for one element."""
    if dtype not in ("f64", "f32"):
        return type(got) is type(expected) and bool(got == expected)
    if got == expected or (math.isnan(got) and math.isnan(expected)):
        return True
    if tolerance == "exact" or not (math.isfinite(got) and math.isfinite(expected)):
        return False
    if "ulp" in tolerance:
        unit = np.spacing(np.asarray(abs(expected), "f8" if dtype == "f64" else "f4")).item()
        return bool(abs(got - expected) <= tolerance["ulp"] * unit)
    return bool(abs(got - expected) <= tolerance["atol"] + tolerance["rtol"] * abs(expected))


def check_outputs(document: Document, result: Document) -> None:
    """The outputs on the page are the carried ones: names, dtypes, shapes and every element."""
    assert "error" not in result, result
    vectors = document["verification"]
    assert result["outputs"].keys() == vectors["outputs"].keys()
    for output in document["outputs"]:
        name, dtype = output["name"], output["dtype"]
        tensor, tolerance = result["outputs"][name], vectors["tolerance"][name]
        got, expected = elements(tensor, dtype), elements(vectors["outputs"][name], dtype)
        assert tensor["dtype"] == dtype
        assert len(got) == len(expected) == math.prod(tensor["shape"]) > 0
        wrong = [i for i, (g, e) in enumerate(zip(got, expected, strict=True)) if not agree(g, e, tolerance, dtype)]
        assert not wrong, f"output {name!r} differs at {wrong[:5]}: {got[wrong[0]]} instead of {expected[wrong[0]]}"


def own_document() -> Document:
    """A stump over a scaled column, a logistic score, a label of non-ASCII text and an i64 beyond 2^53; expected: NumPy's."""
    stump = {"start": [0], "feature": [0, -1, -1], "threshold": [1.0], "right": [2], "leaf": [-0.1, 2.5]}
    ids = {"dtype": "i64", "shape": [2], "data": [7, "9007199254740993"]}
    rows = np.array([[-1.5, 0.25], [0.0, -0.0], [1e300, 3.0], [np.nextafter(0.5, 1), 0.1], [0.5, -7.0]])
    score = 1.0 / (1.0 + np.exp(-(rows[:, 1] * 0.75 - 0.125)))
    tree = np.where(rows[:, 0] / 0.5 <= 1.0, -0.1, 2.5)
    labels = ["über <&> 'x'", "日本"]
    return {
        "format": "modelport",
        "version": "1.0",
        "requires": ["select", "scale", "tree_ensemble", "linear", "unary", "binary", "constant", "cast", "take"],
        "inputs": [{"name": "X", "dtype": "f64", "shape": [2], "features": ["a b", "ü.c"]}],
        "steps": [
            {"op": "select", "in": ["X"], "out": "b", "index": [1]},
            {"op": "scale", "in": ["X"], "out": "s", "div": [0.5, 1]},
            {"op": "tree_ensemble", "in": ["s"], "out": "tree", **stump},
            {"op": "linear", "in": ["b"], "out": "z", "weight": [[0.75]], "bias": [-0.125]},
            {"op": "unary", "in": ["z"], "out": "p", "fn": "sigmoid"},
            {"op": "constant", "in": [], "out": "half", "value": {"dtype": "f64", "shape": [], "data": [0.5]}},
            {"op": "binary", "in": ["p", "half"], "out": "over", "fn": "gt"},
            {"op": "cast", "in": ["over"], "out": "index", "to": "i64"},
            {"op": "take", "in": ["index"], "out": "label", "table": labels},
            {"op": "take", "in": ["index"], "out": "id", "table": ids},
        ],
        "outputs": [
            {"name": "tree", "from": "tree", "dtype": "f64", "role": "score"},
            {"name": "p", "from": "p", "dtype": "f64", "role": "probability"},
            {"name": "label", "from": "label", "dtype": "str", "role": "prediction"},
            {"name": "id", "from": "id", "dtype": "i64", "role": "prediction"},
        ],
        "verification": {
            "source": "synthetic",
            "inputs": {"X": rows.tolist()},
            "outputs": {
                "tree": tree[:, None].tolist(),
                "p": score[:, None].tolist(),
                "label": [[labels[int(v > 0.5)]] for v in score],
                "id": {"dtype": "i64", "shape": [5, 1], "data": [ids["data"][int(v > 0.5)] for v in score]},
            },
            "tolerance": {"tree": "exact", "p": {"atol": 0, "rtol": 1e-15}, "label": "exact", "id": "exact"},
        },
    }


def test_own_artifact(browser: str, site: tuple[str, Path], tmp_path: Path) -> None:
    document = own_document()
    result = run_page(browser, site, tmp_path / "profile", json.dumps(document), {"inputs": document["verification"]["inputs"]})
    check_outputs(document, result)


def further_document() -> Document:
    """Ops of modelport_more.js: counts of words, the nearest of three points to them, and the two largest of three weights."""
    texts = ["Aa bb AA", "", "bb ΟΔΟΣ \U0001f600\U0001f600 bb"]
    points = np.array([[0.0, 0.0, 0.0, 0.0], [2.0, 1.0, 0.0, 0.0], [0.0, 2.0, 1.0, 1.0]])
    counts = np.array([[2.0, 1.0, 0.0, 0.0], [0.0] * 4, [0.0, 2.0, 1.0, 1.0]])
    weights = counts[:, [0, 1, 3]] * 2.0
    weights[np.arange(3), [2, 2, 0]] = 0.0
    words = {
        "analyzer": "word",
        "min_n": 1,
        "max_n": 1,
        "word": [97, 122, 945, 969, 0x1F600, 0x1F600],
        "vocabulary": ["aa", "bb", "οδος", "\U0001f600\U0001f600"],
    }
    folding = {
        "fold_from": [ord(letter) for letter in "ABCΔΟ"],
        "fold_to": list("abcδο"),
        "cased": [65, 90, 97, 122, 913, 937, 945, 969],
        "case_ignorable": [39, 39],
    }
    atoms = [[0.5, 0, 0, 0], [0, 0.5, 0, 0], [0, 0, 0, 0.5]]
    return {
        "format": "modelport",
        "version": "1.0",
        "requires": ["count_terms", "pairwise", "smallest", "sparse_code"],
        "inputs": [{"name": "text", "dtype": "str", "shape": [1]}],
        "steps": [
            {"op": "count_terms", "in": ["text"], "out": "counts", **words, **folding},
            {"op": "pairwise", "in": ["counts"], "out": "distance", "metric": "euclidean", "points": points.tolist()},
            {"op": "smallest", "in": ["distance"], "out": "nearest", "k": 1},
            {"op": "sparse_code", "in": ["counts"], "out": "weights", "algorithm": "omp", "nonzero": 2, "atoms": atoms},
        ],
        "outputs": [
            {"name": n, "from": n, "dtype": "f64", "role": "transform"} for n in ("counts", "distance", "nearest", "weights")
        ],
        "verification": {
            "source": "synthetic",
            "inputs": {"text": [[text] for text in texts]},
            "outputs": {
                "counts": counts.tolist(),
                "distance": np.sqrt(((counts[:, None] - points) ** 2).sum(axis=2)).tolist(),
                "nearest": np.eye(3)[[1, 0, 2]].tolist(),
                "weights": weights.tolist(),
            },
            "tolerance": {"counts": "exact", "distance": {"atol": 0, "rtol": 1e-15}, "nearest": "exact", "weights": "exact"},
        },
    }


def test_ops_of_the_second_file(browser: str, site: tuple[str, Path], tmp_path: Path) -> None:
    document = further_document()
    result = run_page(browser, site, tmp_path / "profile", json.dumps(document), {"inputs": document["verification"]["inputs"]})
    check_outputs(document, result)


def net_document() -> Document:
    """Ops of modelport_nn.js: a convolution of sequences of any length, its largest values, and attention; expected: NumPy's."""
    values = np.random.default_rng(3)
    weight = values.normal(size=(4, 2, 3)).astype("f4")

    def tensor(x: np.ndarray) -> Document:
        encoded = base64.b64encode(np.ascontiguousarray(x).tobytes()).decode()
        return {"dtype": "f32", "shape": list(x.shape), "enc": "b64", "data": encoded}

    def rows(n: int, time: int) -> Document:
        x = values.normal(size=(n, 2, time)).astype("f4")
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, ((0, 0), (0, 0), (1, 1))).astype("f8"), 3, axis=2)
        y = np.einsum("nctk,ock->not", windows, weight.astype("f8")).astype("f4")
        z = y.astype("f8").swapaxes(1, 2)
        scores = np.exp(z @ z.swapaxes(1, 2) / 2)
        mixed = scores / scores.sum(axis=2, keepdims=True) @ z
        return {"inputs": {"x": tensor(x)}, "outputs": {"top": tensor(y.max(axis=2)), "mixed": tensor(mixed.astype("f4"))}}

    return {
        "format": "modelport",
        "version": "1.1",
        "requires": ["conv", "transpose", "reduce", "attention"],
        "lengths": {"time": 5},
        "inputs": [{"name": "x", "dtype": "f32", "shape": [2, "time"]}],
        "steps": [
            {"op": "conv", "in": ["x"], "out": "y", "dtype": "f32", "weight": tensor(weight), "auto": "same_upper"},
            {"op": "transpose", "in": ["y"], "out": "z", "perm": [1, 0]},
            {"op": "reduce", "in": ["y"], "out": "top", "dtype": "f32", "fn": "max", "axes": [1]},
            {"op": "attention", "in": ["z", "z", "z"], "out": "mixed", "dtype": "f32"},
        ],
        "outputs": [{"name": n, "from": n, "dtype": "f32", "role": "transform"} for n in ("top", "mixed")],
        "verification": {
            "source": "synthetic",
            **rows(3, 5),
            "tolerance": {n: {"atol": 1e-5, "rtol": 1e-5} for n in ("top", "mixed")},
            "more": [rows(2, 1), rows(1, 40)],
        },
    }


@pytest.mark.parametrize("chosen", [None, 0, 1], ids=["time-5", "time-1", "time-40"])
def test_a_net_with_sequences_of_any_length(browser: str, site: tuple[str, Path], tmp_path: Path, chosen: int | None) -> None:
    document = net_document()
    rows = document["verification"] if chosen is None else document["verification"]["more"][chosen]
    result = run_page(browser, site, tmp_path / "profile", json.dumps(document), {"inputs": rows["inputs"]})
    document["verification"]["outputs"] = rows["outputs"]
    check_outputs(document, result)


def test_column_names_feed_a_matrix(browser: str, site: tuple[str, Path], tmp_path: Path) -> None:
    document = own_document()
    rows = document["verification"]["inputs"]["X"]
    columns = {"ü.c": [row[1] for row in rows], "a b": [row[0] for row in rows]}
    check_outputs(document, run_page(browser, site, tmp_path / "profile", json.dumps(document), {"inputs": columns}))


@pytest.mark.parametrize("path", MODELS[:: max(1, len(MODELS) // 8)], ids=lambda path: path.parent.name)
def test_model_fixtures(browser: str, site: tuple[str, Path], tmp_path: Path, path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    document = json.loads(text)
    result = run_page(browser, site, tmp_path / "profile", text, {"inputs": document["verification"]["inputs"]})
    check_outputs(document, result)


def test_wrong_vectors_are_refused(browser: str, site: tuple[str, Path], tmp_path: Path) -> None:
    document = own_document()
    document["verification"]["outputs"]["tree"][2][0] = 2.5000000000000004
    result = run_page(browser, site, tmp_path / "profile", json.dumps(document), {"inputs": document["verification"]["inputs"]})
    assert "outputs" not in result
    assert (result["error"]["name"], result["error"]["exitCode"]) == ("Mismatch", 1)


@pytest.mark.parametrize("path", LIARS[:3], ids=lambda path: path.parent.name)
def test_liars(browser: str, site: tuple[str, Path], tmp_path: Path, path: Path) -> None:
    result = run_page(browser, site, tmp_path / "profile", path.read_text(encoding="utf-8"))
    assert result["error"]["exitCode"] == 1


def test_rows_that_do_not_fit_are_refused(browser: str, site: tuple[str, Path], tmp_path: Path) -> None:
    result = run_page(browser, site, tmp_path / "profile", json.dumps(own_document()), {"inputs": {"X": [[1, 2, 3]]}})
    assert result["error"]["exitCode"] == 2
    assert '"X"' in result["error"]["message"]
