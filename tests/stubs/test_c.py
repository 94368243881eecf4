"""The C stub: no warning, clean under the address and undefined-behaviour sanitizers on the suite and on mutated artifacts."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import batches
import numpy as np
import pytest
import replays
from suite import artifacts, document_of_case, invalid_files, liars, op_cases

from modelport.stubs import data_folder

FOLDER = data_folder("stubs") / "c"
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-ffp-contract=off"]
MORE = "-DMODELPORT_MORE"  # with rarer ops of profile tabular, and the profiles kernel, text and solver
NN = "-DMODELPORT_NN"  # with profile nn
FAST = "-DMODELPORT_FAST"  # the same answers sooner
PROFILES = pytest.mark.parametrize(
    "profiles", [[], [MORE], [NN], [MORE, NN], [FAST]], ids=["tabular", "more", "nn", "all", "fast"]
)
SANITIZE = ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
ENVIRONMENT = {**os.environ, "ASAN_OPTIONS": "detect_leaks=1:allocator_may_return_null=1", "UBSAN_OPTIONS": "print_stacktrace=1"}

pytestmark = pytest.mark.xdist_group("c-sanitizers")


@pytest.fixture(scope="module")
def compiler(need: Callable[[str, str], None]) -> str:
    name = os.environ.get("MODELPORT_CC", "cc")
    if shutil.which(name) is None:
        need("c", f"{name} is not on the PATH")
    return name


def build(compiler: str, target: Path, *arguments: object) -> Path:
    done = subprocess.run(
        [compiler, *STRICT, *map(str, arguments), "-o", str(target), "-lm"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr.strip(), done.stderr
    return target


@pytest.fixture(scope="module")
def sanitized(compiler: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("c")
    return build(compiler, folder / "modelport", FAST, MORE, NN, *SANITIZE, FOLDER / "modelport.c", FOLDER / "main.c")


LEVELS = [  # what only a part of the profiles leaves unused is seen at any level; -O3 of a part sees what that of all sees
    pytest.param("-O0"),
    pytest.param("-O2", marks=pytest.mark.slow),
    pytest.param("-O3", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("level", ["-O2", "-O3"])
def test_no_warning_with_all_profiles(compiler: str, tmp_path: Path, level: str) -> None:
    build(compiler, tmp_path / "modelport", level, FAST, MORE, NN, FOLDER / "modelport.c", FOLDER / "main.c")


@pytest.mark.parametrize("level", LEVELS)
@PROFILES
def test_no_warning_at_any_level(compiler: str, tmp_path: Path, level: str, profiles: list[str]) -> None:
    build(compiler, tmp_path / "modelport", level, *profiles, FOLDER / "modelport.c", FOLDER / "main.c")


@PROFILES
def test_a_build_of_every_file_of_the_folder_works(compiler: str, tmp_path: Path, profiles: list[str]) -> None:
    build(compiler, tmp_path / "modelport", *profiles, *sorted(FOLDER.glob("*.c")))


def test_the_main_file_alone_leaves_further_profiles_out(compiler: str, sanitized: Path, tmp_path: Path) -> None:
    alone = build(compiler, tmp_path / "modelport", FOLDER / "modelport.c", FOLDER / "main.c")
    tabular, every = (set(run(program, "ops").stdout.decode().split()) for program in (alone, sanitized))
    more = every - tabular
    assert tabular < every
    assert {"pairwise", "knn", "ovo_vote", "conv", "lstm", "attention"} <= more
    cases = [(name, document_of_case(case)) for name, case in op_cases() if case["step"]["op"] in more and "error" not in case]
    assert cases
    for number, (name, document) in enumerate(cases):
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        done = run(alone, "verify", str(path))
        assert done.returncode == 3, name
        assert document["requires"][0] in done.stderr.decode()


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_products_have_the_same_bits_in_every_kernel(compiler: str, tmp_path: Path, dtype: str) -> None:
    """Single rows, tiles of six, and what is left of them; panels of eight, four side by side, and the last one."""
    parts = [NN, FAST, FOLDER / "modelport.c", FOLDER / "main.c"]
    wide, plain = (
        build(compiler, tmp_path / "wide", "-O2", *parts),
        build(compiler, tmp_path / "plain", "-DMODELPORT_PLAIN_C", *parts),
    )
    rng, model = np.random.default_rng(0), tmp_path / "model.json"

    def numbers(*shape: int) -> dict[str, Any]:
        return {"dtype": dtype, "shape": list(shape), "data": rng.normal(size=shape).astype(np.float32).ravel().tolist()}

    for outputs, inputs in [(1, 3), (4, 9), (8, 1), (10, 129), (32, 40), (45, 300), (68, 1031)]:
        for bias in ({}, {"bias": numbers(outputs)}):
            step = {"op": "linear", "weight": numbers(outputs, inputs), "dtype": dtype, **bias}
            for rows in (1, 2, 6, 13, 300):
                x = rng.normal(size=(rows, inputs)).astype(np.float32)
                given = batches.case(step, x, dtype)
                model.write_text(json.dumps(given["document"]), encoding="utf-8")
                feed = json.dumps({"inputs": {"x": x.tolist()}}).encode()
                answers = [
                    subprocess.run([program, "predict", "--no-verify", model], input=feed, capture_output=True, check=True).stdout
                    for program in (wide, plain)
                ]
                assert answers[0] == answers[1], (outputs, inputs, rows)
                assert json.loads(answers[0])["outputs"]["y"]["shape"] == [rows, outputs]


def run(program: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run([program, *arguments], capture_output=True, env=ENVIRONMENT, timeout=60, check=False)
    assert done.returncode in (0, 1, 2, 3, 64), done.stderr.decode()
    assert b"Sanitizer" not in done.stderr, done.stderr.decode()
    assert b"runtime error" not in done.stderr, done.stderr.decode()
    return done


def test_the_suite_is_clean_under_sanitizers(sanitized: Path, tmp_path: Path) -> None:
    for path in [*artifacts(), *invalid_files(), *liars()]:
        run(sanitized, "verify", str(path))
    for path in artifacts():
        assert run(sanitized, "verify", str(path)).returncode == 0
    case_file = tmp_path / "case.json"
    for _, case in op_cases():
        case_file.write_text(json.dumps(document_of_case(case), ensure_ascii=False), encoding="utf-8")
        run(sanitized, "verify", str(case_file))


# --- documents of nets, made with NumPy -----------------------------------------------------------------------------------------

NEW_OPS = (
    *("reshape", "transpose", "slice", "expand", "positions", "gather", "embedding", "pad", "resize", "matmul", "conv"),
    *(
        "conv_transpose",
        "pool",
        "batch_norm",
        "layer_norm",
        "group_norm",
        "activation",
        "prelu",
        "lstm",
        "gru",
        "rnn",
        "attention",
    ),
    *("cumsum", "term_ids"),
)
Array = np.ndarray[Any, Any]


def packed(values: Array) -> dict[str, Any]:
    """A tensor of f32 in base64."""
    data = values.astype("<f4").tobytes()
    return {"dtype": "f32", "shape": list(values.shape), "enc": "b64", "data": base64.b64encode(data).decode()}


def quantized(values: Array) -> tuple[dict[str, Any], Array]:
    """A tensor of one byte per element and a scale per row, and what it stands for, in f64."""
    scale = (np.abs(values).reshape(len(values), -1).max(axis=1) / 127).astype(np.float32).reshape(-1, *[1] * (values.ndim - 1))
    quanta = np.round(values / scale).astype(np.int8)
    data = base64.b64encode(quanta.tobytes()).decode()
    tensor = {"dtype": "f32", "shape": list(values.shape), "enc": "i8", "scale": scale.ravel().tolist(), "data": data}
    return tensor, (quanta * scale.astype(float)).astype(np.float32).astype(float)


def rounded(values: Array) -> Array:
    return values.astype(np.float32).astype(float)


def document(steps: list[dict[str, Any]], shape: list[Any], sets: list[tuple[Array, Array]], **more: Any) -> dict[str, Any]:
    """Of the input x and the output y, with sets of their rows."""
    found = [{"inputs": {"x": packed(x)}, "outputs": {"y": packed(y)}} for x, y in sets]
    tolerance = {"y": {"atol": 1e-6, "rtol": 1e-6}}
    return {
        "format": "modelport",
        "version": "1.1",
        "requires": sorted({step["op"] for step in steps}),
        **more,
        "inputs": [{"name": "x", "dtype": "f32", "shape": shape}],
        "steps": steps,
        "outputs": [{"name": "y", "from": "y", "dtype": "f32", "role": "score"}],
        "verification": {"source": "synthetic", **found[0], "tolerance": tolerance, **({"more": found[1:]} if found[1:] else {})},
    }


def edge_documents() -> dict[str, dict[str, Any]]:
    """A quantized MLP and a small quantized CNN; a row of each and its answer, with the weights that the bytes stand for."""
    rng = np.random.default_rng(0)
    (w1, v1), (w2, v2) = quantized(rng.normal(size=(16, 12))), quantized(rng.normal(size=(3, 16)))
    bias = rounded(rng.normal(size=16))
    x = rounded(rng.normal(size=(1, 12)))
    hidden = np.maximum(rounded(x @ v1.T + bias), 0)
    f32 = {"dtype": "f32"}
    steps = [
        {"op": "linear", "in": ["x"], "out": "a", **f32, "weight": w1, "bias": packed(bias)},
        {"op": "unary", "in": ["a"], "out": "b", **f32, "fn": "relu"},
        {"op": "linear", "in": ["b"], "out": "y", **f32, "weight": w2},
    ]
    found = {"mlp": document(steps, [12], [(x, rounded(hidden @ v2.T))])}
    kernel, value = quantized(rng.normal(size=(4, 2, 3, 3)))
    dense, matrix = quantized(rng.normal(size=(5, 36)))
    image = rounded(rng.normal(size=(1, 2, 6, 6)))
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(image[0], ((0, 0), (1, 1), (1, 1))), (3, 3), axis=(1, 2))
    maps = np.maximum(rounded(np.einsum("cyxij,ocij->oyx", windows, value)), 0).reshape(4, 3, 2, 3, 2).max(axis=(2, 4))
    steps = [
        {"op": "conv", "in": ["x"], "out": "a", **f32, "weight": kernel, "pads": [1, 1, 1, 1]},
        {"op": "unary", "in": ["a"], "out": "b", **f32, "fn": "relu"},
        {"op": "pool", "in": ["b"], "out": "c", **f32, "fn": "max", "size": [2, 2], "strides": [2, 2]},
        {"op": "reshape", "in": ["c"], "out": "d", "shape": [36]},
        {"op": "linear", "in": ["d"], "out": "y", **f32, "weight": dense},
    ]
    found["cnn"] = document(steps, [2, 6, 6], [(image, rounded(matrix @ maps.reshape(36))[None])])
    return found


def lengths_document() -> dict[str, Any]:
    """A sequence of any length: a line per time, scaled and moved, and the mean over time."""
    rng = np.random.default_rng(1)
    weight, bias = rounded(rng.normal(size=(4, 3))), rounded(rng.normal(size=4))

    def rows(n: int, length: int) -> tuple[Array, Array]:
        x = rounded(rng.normal(size=(n, length, 3)))
        return x, rounded(np.tanh(rounded(x @ weight.T + bias)).astype(np.float32).astype(float).mean(axis=1))

    steps = [
        {"op": "linear", "in": ["x"], "out": "a", "dtype": "f32", "weight": packed(weight), "bias": packed(bias)},
        {"op": "unary", "in": ["a"], "out": "b", "dtype": "f32", "fn": "tanh"},
        {"op": "reduce", "in": ["b"], "out": "y", "dtype": "f32", "fn": "mean", "axes": [0]},
    ]
    return document(steps, ["time", 3], [rows(2, 3), rows(1, 1), rows(3, 7)], lengths={"time": 3})


def test_rows_of_other_lengths(sanitized: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    given = lengths_document()
    path.write_text(json.dumps(given), encoding="utf-8")
    assert run(sanitized, "verify", str(path)).stdout.decode() == '"y": ok, 6 rows\n'
    info = json.loads(run(sanitized, "info", str(path)).stdout)
    assert info["inputs"][0]["shape"] == ["time", 3]
    given["verification"]["more"][1]["outputs"]["y"] = packed(np.zeros((3, 4)))
    path.write_text(json.dumps(given), encoding="utf-8")
    done = run(sanitized, "verify", str(path))
    assert done.returncode == 1
    assert "of a further set" in done.stderr.decode()


def test_a_set_of_a_length_that_a_step_does_not_take_is_refused(sanitized: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    given = lengths_document()
    given["steps"].insert(0, {"op": "reshape", "in": ["x"], "out": "flat", "shape": [9]})
    given["requires"].append("reshape")
    path.write_text(json.dumps(given), encoding="utf-8")
    done = run(sanitized, "verify", str(path))
    assert done.returncode == 2
    assert "with these lengths" in done.stderr.decode()


# --- without a heap -----------------------------------------------------------------------------------------------------------

HEAP = re.compile(r"\b(?:malloc|calloc|realloc|free|aligned_alloc|posix_memalign|strdup)\b")


def undefined_symbols(path: Path) -> str:
    return subprocess.run(["nm", "-u", str(path)], capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def nm(need: Callable[[str, str], None]) -> None:
    if shutil.which("nm") is None:
        need("c", "nm is not on the PATH")


def edge(compiler: str, folder: Path, given: dict[str, Any], size: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The program of a document and its first carried row, with an arena of so many bytes."""
    rows = given["verification"]["inputs"]["x"]
    row = np.frombuffer(base64.b64decode(rows["data"]), "<f4")[: int(np.prod(rows["shape"][1:]))]
    (folder / "model.inc").write_text(",".join(map(str, json.dumps(given).encode())), encoding="utf-8")
    (folder / "row.inc").write_text(",".join(repr(float(x)) for x in row), encoding="utf-8")
    flags = [NN, "-DMODELPORT_NO_HEAP", f"-DMODELPORT_EDGE_BYTES={size}"]
    flags += [f'-DMODELPORT_EDGE_MODEL="{folder / "model.inc"}"', f'-DMODELPORT_EDGE_ROW="{folder / "row.inc"}"']
    program = build(compiler, folder / "edge", *arguments, *flags, FOLDER / "edge.c", FOLDER / "modelport.c")
    return subprocess.run([program], capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_a_quantized_net_runs_without_a_heap(compiler: str, tmp_path: Path, name: str) -> None:
    given = edge_documents()[name]
    done = edge(compiler, tmp_path, given, 24 << 10, *SANITIZE)
    assert done.returncode == 0, done.stderr
    expected = np.frombuffer(base64.b64decode(given["verification"]["outputs"]["y"]["data"]), "<f4")
    np.testing.assert_allclose([float(x) for x in done.stdout.split()], expected, rtol=1e-6, atol=1e-6)
    size, loading, predicting = map(int, re.findall(r"\d+", done.stderr))
    assert size == len(json.dumps(given))
    assert 0 < predicting <= loading <= 24 << 10


def test_an_arena_that_does_not_suffice_says_what_is_needed(compiler: str, tmp_path: Path) -> None:
    done = edge(compiler, tmp_path, edge_documents()["cnn"], 4096, "-O0")
    assert done.returncode == 4
    said = re.search(r"has 4096 bytes; up to here (\d+) are needed", done.stderr)
    assert said is not None
    assert int(said[1]) > 4096


def test_what_runs_without_a_heap_refers_to_none(compiler: str, nm: None, tmp_path: Path) -> None:
    for name in ("model.inc", "row.inc"):
        (tmp_path / name).write_text("0", encoding="utf-8")
    flags = ["-DMODELPORT_NO_HEAP", FAST, MORE, NN, '-DMODELPORT_EDGE_MODEL="model.inc"', '-DMODELPORT_EDGE_ROW="row.inc"', "-I."]
    for name in ("modelport", "edge"):
        command = [compiler, *STRICT, "-O1", *flags, "-c", str(FOLDER / f"{name}.c"), "-o", f"{name}.o"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert "memcpy" in undefined_symbols(tmp_path / "modelport.o")
    assert "mp_load_arena" in undefined_symbols(tmp_path / "edge.o")
    assert not HEAP.search(undefined_symbols(tmp_path / "modelport.o") + undefined_symbols(tmp_path / "edge.o"))


# --- damaged documents ----------------------------------------------------------------------------------------------------------


def test_products_without_vectors_are_the_same(compiler: str, tmp_path: Path) -> None:
    plain = build(compiler, tmp_path / "plain", "-O1", NN, "-DMODELPORT_PLAIN_C", FOLDER / "modelport.c", FOLDER / "main.c")
    cases = [case for op, case in op_cases() if op in ("linear", "matmul", "conv") and "expected" in case]
    assert cases
    path = tmp_path / "case.json"
    for case in cases:
        path.write_text(json.dumps(document_of_case(case)), encoding="utf-8")
        assert run(plain, "verify", str(path)).returncode == 0, case["name"]


def mutate(compiler: str, folder: Path, count: int, seed: int) -> None:
    sources = [FOLDER / "modelport.c", Path(__file__).with_name("c_mutate.c")]
    program = build(compiler, folder / "mutate", FAST, MORE, NN, *SANITIZE, f"-I{FOLDER}", *sources)
    files = [str(path) for path in artifacts() if path.stat().st_size < 30_000]
    nets = [case for op, case in op_cases() if op in NEW_OPS and "expected" in case]
    for number, document in enumerate([*map(document_of_case, nets), lengths_document(), *edge_documents().values()]):
        path = folder / f"net-{number}.json"
        path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
        files += [str(path)] * (path.stat().st_size < 30_000)
    done = subprocess.run(
        [program, str(count), str(seed), *files], capture_output=True, text=True, env=ENVIRONMENT, timeout=3000, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]


def test_mutated_artifacts_never_crash_or_hang(compiler: str, tmp_path: Path) -> None:
    mutate(compiler, tmp_path, 2000, 1)


@pytest.mark.slow
def test_many_mutated_artifacts_never_crash_or_hang(compiler: str, tmp_path: Path) -> None:
    mutate(compiler, tmp_path, 100_000, 2)


# --- rows to the caller's arrays, and threads -----------------------------------------------------------------------------------


def test_rows_and_threads_under_sanitizers(compiler: str, tmp_path: Path) -> None:
    """Blocks of trees, rows that are left over, and parts of a batch: the bits of mp_predict, in the caller's places alone."""
    program = build(
        *(compiler, tmp_path / "rows", FAST, MORE, NN, "-DMODELPORT_THREADS", "-pthread", *SANITIZE, f"-I{FOLDER}"),
        *(Path(__file__).with_name("c_rows.c"), FOLDER / "modelport.c"),
    )
    for name in ("iris_stacked_and_calibrated", "diabetes_boosting", "wine_forest"):
        (path,) = (path for path in artifacts() if path.parent.name == name)
        assert run(program, str(path)).stdout.decode() == "done\n"


# --- what a document may ask for when it is loaded ------------------------------------------------------------------------------


def test_a_replay_of_too_many_operations_is_refused(compiler: str, tmp_path: Path) -> None:
    sources = [Path(__file__).with_name("c_work.c"), FOLDER / "modelport.c"]
    program = build(compiler, tmp_path / "work", "-O0", FAST, MORE, NN, f"-I{FOLDER}", *sources)
    written = replays.write(tmp_path)
    done = subprocess.run([program, "cases.txt"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    replays.check(done.stdout, written)


def test_operations_are_those_of_the_reference(compiler: str, tmp_path: Path) -> None:
    """Of every op, with a limit that refuses all documents, which only a changed library has."""
    limit, library = "(double)l->limits->work + 4096.0 * (double)bytes", (FOLDER / "modelport.c").read_text(encoding="utf-8")
    assert library.count(limit) == 1
    (tmp_path / "modelport.c").write_text(library.replace(limit, "-1 - 0.0 * (double)bytes"), encoding="utf-8")
    sources = [Path(__file__).with_name("c_work.c"), tmp_path / "modelport.c"]
    program = build(compiler, tmp_path / "work", "-O0", FAST, MORE, NN, f"-I{FOLDER}", *sources)
    written = replays.write(tmp_path, replays.of_ops(tmp_path))
    done = subprocess.run([program, "cases.txt"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    replays.check(done.stdout, written)
