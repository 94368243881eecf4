"""The gates: how quick each part has to be beside its rival. Prints a table: gate, measured ratio, rival, met or missed.

Usage: python benchmarks/gates.py [--quick] [--without-large] [--only WORD] [--repeats 7] [--keep DIR] [--output FILE]

Everything is measured in one run: the contenders of a gate in turn, one thread unless the gate says otherwise, medians of the
repetitions. Python consumers are measured in this process in CPU time, programs in other languages in theirs by the clock. A
rival that is not installed is printed as absent. --keep DIR keeps fitted models and artifacts for the next run.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import pickle
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from process import ENVIRONMENT, HERE, STUBS, Absent, Failed, Worker, converter_command, engine_command

os.environ.update(ENVIRONMENT)  # before anything here computes

import numpy as np
from boosters import boosters
from racing import Bench, Gate, Race, against, around, micro, race, rows_files
from report import table
from run import Settings, machine, read_answers

# --- the gates ----------------------------------------------------------------------------------------------------------------


def exactness(bench: Bench) -> Iterator[Gate]:
    """Bits of answers against the original's."""
    for name in ("rf100", "gb300", "hgb300"):
        case = bench.case(name)
        expected = case["model"].predict_proba(case["rows"])
        got = bench.ours(name).predict(case["rows"])["probability"]
        apart = np.abs(got.view(np.int64) - np.ascontiguousarray(expected).view(np.int64))
        bar = 1.0 if name == "rf100" else 0.999
        yield Gate(f"{name}: share of equal bits, C", "scikit-learn", bar, float((apart == 0).mean()))
        yield Gate(f"{name}: units in the last place, C", "scikit-learn", 0 if bar == 1 else 2, float(apart.max()), most=True)
    case = bench.case("rf100")
    engine, rows = bench.runtime(bench.artifact("rf100", "modelport onnx"), case["rows"])
    got = engine.answers(engine.predict(rows))[1]
    same = float((got == case["model"].predict_proba(case["rows"])).mean())
    yield Gate("rf100: share of equal bits, ONNX, one thread", "scikit-learn", 1.0, same)


BATCH = {"rf100": (4, 7), "gb300": (6, 9), "hgb300": (7, 4)}


def batches(bench: Bench) -> Iterator[Gate]:
    """10,000 rows through C in modelport.load, and through NumPy."""
    for name, (sklearn, runtime) in BATCH.items():
        case = bench.case(name)
        ours, plain = bench.ours(name), bench.ours(name, "numpy")
        engine, rows = bench.runtime(bench.rival(name), case["rows"])
        calls = {
            "c": partial(ours.predict, case["rows"]),
            "numpy": partial(plain.predict, case["rows"]),
            "scikit-learn": partial(case["model"].predict_proba, case["rows"]),
            "onnxruntime": partial(engine.predict, rows),
        }
        times = race(calls, bench.repeats)
        yield against(f"{name}: batch, modelport.load through C", "scikit-learn", sklearn, times, "c", "scikit-learn")
        yield against(f"{name}: batch, modelport.load through C", "onnxruntime", runtime, times, "c", "onnxruntime")
        least = 1.0 if name == "rf100" else 1.8
        yield against(f"{name}: batch, modelport.load, NumPy", "scikit-learn", least, times, "numpy", "scikit-learn")


def single_rows(bench: Bench) -> Iterator[Gate]:
    """One row in Python."""
    for name, bar in (("rf100", 3.0), ("gb300", 1.7), ("hgb300", 1.7), ("logreg", 1.7)):
        case = bench.case(name)
        singles = [case["rows"][i : i + 1] for i in range(64)]
        ours, plain = bench.ours(name), bench.ours(name, "numpy")
        engine, _ = bench.runtime(bench.rival(name), case["rows"])
        fed = [engine.row(row) for row in singles]
        calls = {
            "c": around(ours.predict, singles),
            "numpy": around(plain.predict, singles),
            "scikit-learn": around(case["model"].predict_proba, singles),
            "onnxruntime": around(engine.predict, fed),
        }
        times = race(calls, bench.repeats)
        yield against(f"{name}: one row, modelport.load through C", "onnxruntime", bar, times, "c", "onnxruntime")
        if name != "logreg":
            yield against(f"{name}: one row, modelport.load, NumPy", "scikit-learn", 8, times, "numpy", "scikit-learn")


def columns(bench: Bench) -> Iterator[Gate]:
    """A pipeline with one-hot columns: the C stub's own program against a worker with onnxruntime."""
    case = bench.case("columns")
    rows, cells = rows_files(bench, "columns", case["rows"])
    with Race(bench) as turns:
        turns.add("c", lambda: engine_command("c", rows, cells, bench.artifact("columns", "modelport json"), bench.build))
        turns.add("onnxruntime", lambda: engine_command("onnxruntime", rows, cells, bench.rival("columns"), bench.build))
        one, batch = turns.race("one 0.03"), turns.race("batch 0.05")
    yield against("one-hot pipeline: one row, C", "onnxruntime", 5, one, "c", "onnxruntime")
    yield against("one-hot pipeline: batch, C", "onnxruntime", 1, batch, "c", "onnxruntime")


def neighbours(bench: Bench) -> Iterator[Gate]:
    """Batches of distances and kernels."""
    for name in ("knn", "svc"):
        case = bench.case(name)
        ours, model = bench.ours(name), case["model"]
        ask = model.predict_proba if name == "knn" else model.decision_function
        calls = {"c": partial(ours.predict, case["rows"]), "scikit-learn": partial(ask, case["rows"])}
        try:
            engine, rows = bench.runtime(bench.rival(name), case["rows"])
            calls["onnxruntime"] = partial(engine.predict, rows)
        except Absent as why:
            yield Gate(f"{name}: batch of 1,000, C", "onnxruntime", 1, None, says=str(why))
        times = race(calls, bench.repeats)
        for rival in calls:
            if rival != "c":
                yield against(f"{name}: batch of 1,000, C", rival, 1, times, "c", rival)


def languages(bench: Bench) -> Iterator[Gate]:
    """The stubs in other languages against the C stub, each in its own program."""
    case = bench.case("rf100")
    rows, cells = rows_files(bench, "rf100", case["rows"])
    artifact = bench.artifact("rf100", "modelport json")
    bars = {"rust": 1.2, "java": 2.3, "javascript": 2.6, "go": 2.5, "csharp": 2.5}
    with Race(bench) as turns:
        for name in ("c", *bars):
            turns.add(name, partial(engine_command, name, rows, cells, artifact, bench.build))
        times, answers = turns.race("batch 0.1"), turns.answers(bench.folder)
    expected = case["model"].predict_proba(case["rows"])
    for name, bar in bars.items():
        if name not in times:
            yield Gate(f"rf100: batch, {name} stub, time", "C stub", bar, None, True, turns.problems.get(name, ""))
            continue
        yield against(f"rf100: batch, {name} stub, time", "C stub", bar, times, name, "c", most=True)
        same = float((read_answers(answers[name], len(expected))[1].reshape(expected.shape) == expected).mean())
        yield Gate(f"rf100: share of equal bits, {name}", "scikit-learn", 1.0, same)
    with Race(bench) as turns:
        for name, file in (("javascript", artifact), ("onnxruntime-node", bench.rival("rf100"))):
            turns.add(name, partial(engine_command, name, rows, cells, file, bench.build))
        batch, one = turns.race("batch 0.1"), turns.race("one 0.1")
    for what, bar, spent in (("batch", 4, batch), ("one row", 2.5, one)):
        if len(spent) == 2:
            yield against(f"rf100: {what}, JavaScript", "onnxruntime-node", bar, spent, "javascript", "onnxruntime-node")
        else:
            says = next(iter(turns.problems.values()), "")
            yield Gate(f"rf100: {what}, JavaScript", "onnxruntime-node", bar, None, says=says)


def dense(bench: Bench) -> Iterator[Gate]:
    """An f32 network 784-256-128-10, read from the ONNX file that onnxruntime runs."""
    import onnx
    from onnx import helper, numpy_helper

    import modelport

    rng, widths, nodes, weights, value = np.random.default_rng(0), (784, 256, 128, 10), [], [], "X"
    for k, (i, o) in enumerate(pairwise(widths)):
        weights.append(numpy_helper.from_array((rng.normal(size=(i, o)) / np.sqrt(i)).astype(np.float32), f"w{k}"))
        weights.append(numpy_helper.from_array(rng.normal(size=o).astype(np.float32), f"b{k}"))
        nodes.append(helper.make_node("Gemm", [value, f"w{k}", f"b{k}"], [f"g{k}"]))
        if o != 10:
            nodes.append(helper.make_node("Relu", [f"g{k}"], [value := f"r{k}"]))
    nodes.append(helper.make_node("Softmax", ["g2"], ["probability"], axis=1))
    ends = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["n", w]) for n, w in (("X", 784), ("probability", 10))]
    graph = helper.make_graph(nodes, "mlp", ends[:1], ends[1:], weights)
    net = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = bench.folder / "mlp.onnx"
    path.write_bytes(net.SerializeToString())
    X = rng.random((256, 784)).astype(np.float32)
    ours = modelport.load(modelport.convert(net, "json", sample=X[:64]), engine="c", threads=1)
    engine, rows = bench.runtime(path, X)
    wide, wide_row, row = X.astype(np.float64), X[:1].astype(np.float64), {"X": X[:1].copy()}
    one = race({"c": lambda: ours.predict(wide_row), "onnxruntime": lambda: engine.predict(row)}, bench.repeats)
    batch = race({"c": lambda: ours.predict(wide), "onnxruntime": lambda: engine.predict(rows)}, bench.repeats)
    flags = Path("/proc/cpuinfo")
    avx2 = flags.is_file() and " avx2 " in flags.read_text()
    yield against("MLP 784-256-128-10: one row, C, time", "onnxruntime", 1.2, one, "c", "onnxruntime", most=True)
    bar = 2.5 if avx2 else 4
    yield against(
        f"MLP 784-256-128-10: batch of 256, C, time{', AVX2' * avx2}", "onnxruntime", bar, batch, "c", "onnxruntime", True
    )


def files(bench: Bench) -> Iterator[Gate]:
    """Sizes, and what loading takes."""
    import modelport

    onnx = bench.artifact("rf100", "skl2onnx")
    packed, decimal = bench.artifact("rf100", "modelport json"), bench.artifact("rf100", "readable")
    for path, what, bar in ((decimal, "decimal", 3.5), (packed, "base64", 7)):
        ratio = onnx.stat().st_size / path.stat().st_size
        yield Gate(f"rf100: size, {what}", "skl2onnx", bar, ratio, says=f"{path.stat().st_size:,} bytes")
    case = bench.case("rf100")
    texts = {"decimal": decimal.read_bytes(), "base64": packed.read_bytes()}
    calls: dict[str, Callable[[], Any]] = {
        "onnxruntime": lambda: bench.runtime(onnx, case["rows"][:1]),
        **{what: partial(modelport.load, text, engine="c") for what, text in texts.items()},
        **{f"NumPy {what}": partial(modelport.load, text, engine="numpy") for what, text in texts.items()},
    }
    times = race(calls, bench.repeats)
    yield against("rf100: loading, Python, NumPy, decimal", "onnxruntime", 1.5, times, "NumPy decimal", "onnxruntime")
    yield against("rf100: loading, Python through C, base64", "onnxruntime", 25, times, "base64", "onnxruntime")
    yield against("rf100: loading, C, decimal", "onnxruntime", 20, times, "decimal", "onnxruntime")


#: without site-packages, and so without NumPy
PURE = ("-E", "-S")


def cold_starts(bench: Bench) -> Iterator[Gate]:
    """A process that loads a model and answers one row, in CPU seconds of the whole process."""
    case = bench.case("gb300")
    row = case["rows"][:1]
    given = json.dumps({"inputs": {"X": row.tolist()}}).encode()
    pickled, onnx = bench.folder / "gb300-cold.pkl", str(bench.rival("gb300"))
    pickled.write_bytes(pickle.dumps(case["model"]))
    rows = f"np.array({row.tolist()!r})"
    program = bench.build / "modelport"
    stub = json.loads((STUBS / "c/stub.json").read_text(encoding="utf-8"))
    line = [part.replace("{build}", str(bench.build)).replace("{dir}", str(STUBS / "c")) for part in stub["build"][0]]
    if not program.is_file():
        subprocess.run(line, check=True)
    artifact = str(bench.artifact("gb300", "modelport json"))
    session = f"import numpy as np, onnxruntime as o; s = o.InferenceSession({onnx!r})"
    commands = {
        "c": [str(program), "predict", artifact],
        "python": [sys.executable, *PURE, str(STUBS / "python/cli.py"), "predict", artifact],
        "python, NumPy": [sys.executable, str(STUBS / "python/cli.py"), "predict", artifact],
        "onnxruntime": [sys.executable, "-c", f"{session}; s.run(None, {{s.get_inputs()[0].name: {rows}.astype('f')}})"],
        "scikit-learn": [
            *(sys.executable, "-c"),
            f"import pickle, numpy as np; pickle.load(open({str(pickled)!r}, 'rb')).predict_proba({rows})",
        ],
    }
    spent: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(bench.repeats):
        for name, command in commands.items():
            before = os.times()
            subprocess.run(command, input=given, stdout=subprocess.DEVNULL, check=True)
            after = os.times()
            spent[name].append(after.children_user + after.children_system - before.children_user - before.children_system)
    times = {name: max(median(values), 1e-3) for name, values in spent.items()}
    yield against("gb300: cold start, C", "onnxruntime", 50, times, "c", "onnxruntime")
    for rival, bar in (("onnxruntime", 4), ("scikit-learn", 15)):
        says = f"{micro(times['python'])} against {micro(times[rival])}; with NumPy {micro(times['python, NumPy'])}"
        yield Gate("gb300: cold start, Python stub without NumPy", rival, bar, times[rival] / times["python"], says=says)


RESIDENT = """
import os, sys, gc
def resident():
    gc.collect()
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
if sys.argv[1] == "onnxruntime":
    import onnxruntime
    before = resident()
    kept = onnxruntime.InferenceSession(sys.argv[2])
else:
    import modelport, modelport_json
    modelport.load(sys.argv[3], engine="c")
    before = resident()
    kept = modelport.load(sys.argv[2], engine="c")
print(resident() - before)
"""


def large(bench: Bench) -> Iterator[Gate]:
    """A forest of 500 trees: resident memory of what is loaded, and converting."""
    found: dict[str, dict[str, float]] = {}
    model, case = bench.folder / "rf500-model.pkl", bench.case("rf500")
    model.write_bytes(pickle.dumps({"model": case["model"], "sample": case["sample"]}))
    for name in ("modelport json", "modelport onnx", "skl2onnx"):
        target = bench.folder / f"rf500-{name.replace(' ', '-')}.{'json' if 'json' in name else 'onnx'}"
        worker = Worker(converter_command(name, model, target))
        try:
            reply = worker.ask("convert", 900)
            found[name] = {"seconds": reply["seconds"], "bytes": reply["bytes"] or 0, "size": target.stat().st_size}
        finally:
            worker.close()
    times = {name: value["seconds"] for name, value in found.items()}
    yield against("rf500: converting to ONNX, with the proof", "skl2onnx", 50, times, "modelport onnx", "skl2onnx")
    yield against("rf500: converting to JSON, with the proof", "skl2onnx", 80, times, "modelport json", "skl2onnx")
    for name in ("modelport json", "modelport onnx"):
        ratio = found[name]["bytes"] / found[name]["size"]
        says = f"{found[name]['bytes'] / 1e6:.0f} MB for {found[name]['size'] / 1e6:.1f} MB"
        yield Gate(f"rf500: peak memory of converting, {name}", "its output", 3, ratio, True, says)
    small = str(bench.artifact("logreg", "modelport json"))
    held = {}
    for name, file in (("c", "rf500-modelport-json.json"), ("onnxruntime", "rf500-skl2onnx.onnx")):
        command = [sys.executable, "-c", RESIDENT, name, str(bench.folder / file), small]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        held[name] = float(done.stdout)
    says = f"{held['c'] / 1e6:.0f} MB against {held['onnxruntime'] / 1e6:.0f} MB"
    ratio = held["c"] / held["onnxruntime"]
    yield Gate("rf500: resident memory, modelport.load through C", "onnxruntime", 0.25, ratio, True, says)


def threads(bench: Bench) -> Iterator[Gate]:
    """Two threads give the bits of one, sooner by the clock."""
    case = bench.case("rf100")
    one, two = bench.ours("rf100"), bench.ours("rf100", threads=2)
    first, second = one.predict(case["rows"]), two.predict(case["rows"])
    same = float(np.mean([np.array_equal(first[name], second[name]) for name in first]))
    yield Gate("rf100: batch on two threads, equal outputs", "one thread", 1.0, same)


GROUPS: dict[str, Callable[[Bench], Iterator[Gate]]] = {
    "exactness": exactness,
    "batches": batches,
    "boosters": boosters,
    "rows": single_rows,
    "columns": columns,
    "neighbours": neighbours,
    "languages": languages,
    "dense": dense,
    "files": files,
    "cold": cold_starts,
    "threads": threads,
    "large": large,
}


# --- the command line ---------------------------------------------------------------------------------------------------------


def page(gates: Sequence[Gate], about: Mapping[str, str]) -> str:
    """The table as Markdown."""
    out = io.StringIO()
    counts = {verdict: sum(gate.verdict == verdict for gate in gates) for verdict in ("met", "missed", "absent")}
    print("# Gates\n", file=out)
    print(
        "What `make bench` held against each rival in one run (`benchmarks/gates.py`): ratios of medians of interleaved", file=out
    )
    print("repetitions, one thread. Above the bar is better, but where it says *at most*.\n", file=out)
    print("\n".join(f"* {key}: {value}" for key, value in about.items()), file=out)
    print(f"\n{counts['met']} met, {counts['missed']} missed, {counts['absent']} absent.\n", file=out)
    print(table(["gate", "rival", "bar", "measured", "verdict", "figures"], [gate.row() for gate in gates]), file=out)
    return out.getvalue()


def measured(bench: Bench, names: Sequence[str]) -> Iterator[Gate]:
    """All gates of some groups; one that cannot be measured says why."""
    for name in names:
        try:
            for gate in GROUPS[name](bench):
                print(" | ".join(gate.row()), file=sys.stderr, flush=True)
                yield gate
        except (Absent, Failed, ImportError) as why:
            yield Gate(name, "-", 0, None, says=str(why))
        except Exception:
            yield Gate(name, "-", 0, None, says=traceback.format_exc().strip().splitlines()[-1][:200])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write gates.md where everything was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small models, one repetition: does it run?")
    parser.add_argument("--without-large", action="store_true", help="leave out the forest of 500 trees")
    parser.add_argument("--only", help=f"some of {', '.join(GROUPS)}, separated by commas")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--keep", type=Path, help="a folder for models and artifacts, used again by the next run")
    parser.add_argument("--output", type=Path, help="a file for the table")
    said = parser.parse_args(arguments)
    names = said.only.split(",") if said.only else [name for name in GROUPS if not (said.without_large and name == "large")]
    unknown = sorted(set(names) - set(GROUPS))
    if unknown:
        parser.error(f"there is no {unknown[0]!r}: groups are {', '.join(GROUPS)}")
    warnings.simplefilter("ignore")
    repeats = 1 if said.quick else said.repeats
    about = machine(Settings(said.quick, (), (), repeats))
    with tempfile.TemporaryDirectory(prefix="modelport-gates-") as folder:
        bench = Bench(said.keep or Path(folder), said.quick, repeats)
        text = page(list(measured(bench, names)), about)
    print(text)
    target = said.output or (HERE / "gates.md" if not (said.quick or said.only or said.without_large) else None)
    if target is not None:
        target.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
