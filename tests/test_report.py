"""modelport report: what the page says is what verifying found; names of strangers inject nothing; it is accessible."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import modelport_json
import numpy as np
import pytest
from browser import Browser, find_browser
from suite import liars

import modelport
from modelport.cli import main
from modelport.compare import by_row, compare
from modelport.document import Document, Tolerance, Vectors
from modelport.errors import ArtifactError, MissingDependency, UsageError
from modelport.graph import Graph, Input, Output, Step
from modelport.report import gather, plots, write_page, write_report
from modelport.report.drawing import MOST_LANES, Node, lanes
from modelport.report.facts import Facts
from modelport.report.page import page
from modelport.report.seen import Histogram
from modelport.verify import Report

AXE = "4.14.1"
LIARS = {path.parent.name: path for path in liars()}
EVIL = (
    "</td></title></style><script>document.title='hit'</script><img src=http://example.org/x onerror=\"document.title='hit'\">"
    "\"' `$\\frac{1}{2}$` *_|~ \u202eevil\u2066 \x1b[31m\x00\r\n &amp; javascript:alert(1)"
)


# --- reading a page -----------------------------------------------------------------------------------------------------------


def read(text: str) -> Any:
    """The page as a tree; lxml reads it as browsers do, near enough."""
    from lxml import html

    return html.document_fromstring(text)


def words(element: Any) -> str:
    return " ".join(element.text_content().split())


def words_of(text: str) -> str:
    return " ".join(text.split())


def parity_of(tree: Any) -> dict[tuple[str, str, str], tuple[str, str]]:
    """(artifact, consumer, output) -> (result, how far) of the parity table."""
    (table,) = tree.xpath("//section[h2[@id='parity']]//table")
    head = [words(th) for th in table.xpath("./thead//th")][1:]
    found = {}
    for body in table.xpath("./tbody"):
        first, *rows = body.xpath("./tr")
        artifact = first.xpath("string(.//bdi)")
        for row in rows:
            consumer = row.xpath("string(./th/bdi)")
            for output, cell in zip(head, row.xpath("./td"), strict=False):
                found[artifact, consumer, output] = (words(cell.xpath("./span")[0]), words(cell))
    return found


def expected_of(report: Report) -> dict[tuple[str, str, str], tuple[str, list[str]]]:
    """What the parity table has to say of a report: per cell the mark and word, and numbers that stand in it."""
    found = {}
    for c in report.consumers:
        for o in c.outputs:
            if o.equality == "exact":
                said: tuple[str, list[str]] = ("✓ every bit", [])
            elif o.passed:
                said = ("✓ within", [f"{o.max_abs:.3g}"])
            elif o.flips is not None:
                said = (f"✗ {o.flips} flip{'' if o.flips == 1 else 's'}", [f"of {o.rows:,} row"])
            else:
                said = ("✗ differs", [f"{o.max_abs:.3g}"] if o.max_abs is not None else [])
            found[str(report.artifact), c.consumer, o.output] = said
    return found


def check_parity(tree: Any, reports: list[Report]) -> None:
    shown = parity_of(tree)
    expected = {key: said for report in reports for key, said in expected_of(report).items()}
    assert shown.keys() == expected.keys()
    for key, (word, parts) in expected.items():
        assert shown[key][0] == word, key
        assert all(part in shown[key][1] for part in parts), (key, shown[key])


def check_self_contained(text: str) -> None:
    """Nothing is loaded, and nothing can run."""
    tree = read(text)
    assert not tree.xpath("//script | //link | //img | //iframe | //object | //embed | //form | //base | //*[@src]")
    assert not [name for e in tree.iter() for name in getattr(e, "attrib", ()) if name.lower().startswith("on")]
    addresses = [e.get(name) for e in tree.iter() if hasattr(e, "attrib") for name in e.attrib if name.endswith("href")]
    assert addresses
    assert all(address.startswith("#") for address in addresses)
    assert "@import" not in text
    assert not re.findall(r"url\((?!#)", "".join(tree.xpath("//style/text()") + tree.xpath("//@style")))
    assert "default-src 'none'" in tree.xpath("//meta[@http-equiv='Content-Security-Policy']")[0].get("content")
    ids = tree.xpath("//@id")
    assert len(set(ids)) == len(ids)
    assert {address[1:] for address in addresses} <= set(ids)


# --- facts --------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shown(mixed, tmp_path_factory: pytest.TempPathFactory, need_module) -> tuple[Path, Facts, str]:  # type: ignore[no-untyped-def]
    """A folder with the artifacts of a pipeline, one of them with a changed number; their facts, and the page."""
    need_module("onnxruntime", "onnxruntime")
    folder = tmp_path_factory.mktemp("report")
    frame, model = mixed
    for name in ("model.json", "model.onnx", "model.pmml"):
        modelport.convert(model, folder / name, sample=frame)
    document = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    next(step for step in document["steps"] if step["op"] == "scale")["sub"][1] += 0.5
    (folder / "wrong.json").write_text(json.dumps(document), encoding="utf-8")
    names = ["wrong.json", "model.json", "model.onnx", "model.pmml"]
    facts = gather([folder / n for n in names], model=model, sample=frame, with_="python", title="a mixed pipeline")
    return folder, facts, page([facts])


def test_the_table_says_what_verify_found(shown: tuple[Path, Facts, str], mixed) -> None:  # type: ignore[no-untyped-def]
    folder, facts, text = shown
    frame, model = mixed
    tree = read(text)
    reports = [modelport.verify(folder / "wrong.json", model=model, sample=frame, with_="python")]
    reports += [modelport.verify(folder / "model.json", model=model, sample=frame, with_="python")]
    reports += [modelport.verify(folder / f"model.{f}", model=model, sample=frame) for f in ("onnx", "pmml")]
    assert [report.to_json() for report in facts.reports] == [report.to_json() for report in reports]
    assert [report.passed for report in reports] == [False, True, True, True]
    check_parity(tree, reports)
    check_self_contained(text)


def test_a_failure_says_at_once_what_is_wrong_where_and_by_how_much(shown: tuple[Path, Facts, str]) -> None:
    _, facts, text = shown
    tree = read(text)
    assert tree.xpath("string(//title)").startswith("FAILED: a mixed pipeline")
    (verdict,) = tree.xpath("//header//div[contains(@class, 'verdict')]")
    assert words(verdict.xpath("./p")[0]) == "FAILED"
    items = [words(item) for item in verdict.xpath("./ul/li")]
    report = facts.reports[0]
    label, probability = report.consumers[0].outputs
    assert any(
        f"{label.flips} of {label.rows} rows have another answer" in i and i.startswith("label in wrong.json") for i in items
    )
    assert any(f"by up to {probability.max_abs:.3g}" in i and i.startswith("probability in wrong.json") for i in items)
    assert all(str(number) in " ".join(items) for number in (probability.worst or "").split(" instead of "))
    assert report.divergence is not None
    assert any(f"at step {report.divergence.step} " in i and report.divergence.got in i for i in items)
    assert not any("model.onnx" in item for item in items)
    marked = tree.xpath("//ol[@class='map']/li[contains(@class, 'marked')]")
    assert [words(li.xpath("./span[@class='what']/b")[0]) for li in marked] == [report.divergence.step]


def test_worst_rows_and_flips_are_those_of_the_rows(shown: tuple[Path, Facts, str], mixed) -> None:  # type: ignore[no-untyped-def]
    _, facts, text = shown
    frame, model = mixed
    seen = facts.artifacts[0].consumers["python"].outputs
    report = facts.reports[0].consumers[0].outputs
    assert [seen[o.output].worst[0].row for o in report] == [o.worst_row for o in report]
    assert sum(flip.count for flip in seen["label"].flips) == seen["label"].beyond == report[0].flips
    worst = seen["probability"].worst
    assert [row.error for row in worst] == sorted((row.error for row in worst), reverse=True)
    assert worst[0].error == report[1].max_abs
    assert seen["probability"].histogram is not None
    counted = seen["probability"].histogram
    assert counted.none + sum(i + b for _, i, b in counted.decades) + counted.no_number == report[1].rows
    assert sum(b for _, _, b in counted.decades) == seen["probability"].beyond
    # the inputs shown are the row's own: the model gives them the expected number
    first = next(row for row in worst if row.kind == "sample")
    assert first.expected in map(repr, model.predict_proba(frame.iloc[[first.row]])[0].tolist())
    for column, said in first.inputs:
        value = frame[column].iloc[first.row]
        if value is None or value != value:
            assert said in ("missing", "NaN")
        else:
            assert said == (f"“{value}”" if isinstance(value, str) else repr(float(value)))
    for value in (first.expected, first.got):
        assert value in words(read(text))


def test_json_facts_are_plain_values(shown: tuple[Path, Facts, str]) -> None:
    facts = shown[1]
    said = json.loads(json.dumps(facts.to_json(), allow_nan=False))
    assert not said["passed"]
    assert [a["report"] for a in said["artifacts"]] == [json.loads(json.dumps(r.to_json())) for r in facts.reports]
    assert said["artifacts"][0]["consumers"]["python"]["outputs"]["label"]["flips"]
    assert {"modelport", "Python", "numpy"} <= set(said["environment"])


def test_the_model_is_described(shown: tuple[Path, Facts, str]) -> None:
    folder, _, text = shown
    tree = read(text)
    described = modelport.inspect(folder / "model.json")
    tables = {words(t.xpath("./caption")[0]): t for t in tree.xpath("//section[h2[@id='model']]//table")}
    rows = [[words(c) for c in tr.xpath("./th | ./td")] for tr in tables["Inputs"].xpath("./tbody/tr")]
    assert [row[0] for row in rows] == [value["name"] for value in described["inputs"]]
    policy = {"error": "refused", "nan": "taken, as NaN", "null": "taken"}
    assert [row[3] for row in rows] == [policy[value["missing"]] for value in described["inputs"]]
    outputs = [words(tr.xpath("./th")[0]) for tr in tables["Outputs"].xpath("./tbody/tr")]
    assert outputs == [value["name"] for value in described["outputs"]]
    drawn = tree.xpath("//ol[@class='map']/li")
    steps = [words(li.xpath("./span[@class='what']/b")[0]) for li in drawn if "step" in li.get("class")]
    assert steps == [step["out"] for step in described["steps"]]
    assert len(drawn) == len(described["inputs"]) + len(steps) + len(outputs)
    provenance = words(tree.xpath("//section[h2[@id='provenance']]")[0])
    assert "scikit-learn" in provenance
    assert described["provenance"]["model"] in provenance


@pytest.mark.parametrize("name", sorted(LIARS))
def test_liars_are_shown_as_such(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "report.html"
    assert main(["report", str(LIARS[name]), "-o", str(path)]) == 1
    tree = read(path.read_text(encoding="utf-8"))
    report = modelport.verify(LIARS[name])
    assert not report.passed
    assert words(tree.xpath("//header//p[@class='word']")[0]) == "FAILED"
    check_parity(tree, [report])
    (bad,) = [o for c in report.consumers for o in c.outputs if not o.passed]
    items = [words(item) for item in tree.xpath("//header//ul/li") if words(item).startswith(f"{bad.output}, given by")]
    assert len(items) == 1
    assert f"row {bad.worst_row:,}" in items[0]
    assert f"FAILED  {LIARS[name].name}" in capsys.readouterr().out


def test_strings_that_look_alike_are_told_apart(tmp_path: Path) -> None:
    write_report(tmp_path / "r.html", LIARS["text-that-looks-alike"])
    item = words(read((tmp_path / "r.html").read_text(encoding="utf-8")).xpath("//header//ul/li")[0])
    assert re.search(r"“(\\xe9|e\\u0301)” instead of “(e\\u0301|\\xe9)”", item)


def test_rows_are_counted_through_the_sets_of_a_net(tmp_path: Path) -> None:
    facts = gather(LIARS["further-set-off"])
    o = facts.reports[0].consumers[0].outputs[0]
    (seen,) = facts.artifacts[0].consumers.values()
    sets = modelport.load(LIARS["further-set-off"], verify=False).vectors.sets()  # type: ignore[union-attr]
    assert (seen.sets, seen.rows) == (len(sets), o.rows) == (3, 4)
    worst = seen.outputs["y"].worst[0]
    assert worst.row == o.worst_row
    assert worst.row >= len(sets[0])
    length = sets[1 if worst.row < len(sets[0]) + len(sets[1]) else 2].inputs["x"].shape[1]
    assert worst.inputs[0][1].startswith(f"{length}×2, from ")


def test_lengths_that_vary_are_named(tmp_path: Path) -> None:
    reports = write_report(tmp_path / "r.html", LIARS["further-set-off"])
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    check_parity(read(text), reports)
    assert "time × 2" in text
    assert "4 rows in 3 sets" in text


# --- by row -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tolerance", [Tolerance(), Tolerance(1e-3), Tolerance(0, 1e-3), Tolerance(ulp=2)])
@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_rows_and_outputs_are_judged_alike(tolerance: Tolerance, dtype: str) -> None:
    rng = np.random.default_rng(5)
    expected = rng.normal(size=(60, 3)).astype(dtype)
    got = expected + (rng.random((60, 3)) < 0.2) * 10.0 ** rng.uniform(-18, 0, (60, 3))
    got = got.astype(dtype)
    got[::13, 1], got[5, 2], expected[7, 0] = np.nan, np.inf, np.nan
    for n in range(60):
        whole = compare("y", expected[n : n + 1], got[n : n + 1], tolerance)
        rows = by_row(expected[n : n + 1], got[n : n + 1], tolerance)
        assert rows.passed.tolist() == [whole.passed]
        assert rows.differs.tolist() == [whole.equality != "exact"]
        assert rows.error is not None
        assert rows.error[0] == (np.inf if whole.max_abs is None else whole.max_abs)
    rows, whole = by_row(expected, got, tolerance), compare("y", expected, got, tolerance)
    assert whole.passed == rows.passed.all()
    assert not rows.passed[whole.worst_row]


@pytest.mark.parametrize("got", [np.zeros((2, 2)), np.zeros(2, dtype="f4"), np.array(["a", "b"])])
def test_answers_of_another_shape_or_dtype_fail_in_every_row(got: np.ndarray) -> None:
    rows = by_row(np.zeros(2), got, Tolerance(1e9))
    assert not rows.passed.any()
    assert rows.error is None


def test_histograms_add_up() -> None:
    rows = by_row(np.zeros(5), np.array([0, 2e-3, 5e-3, 7.0, np.nan]), Tolerance(3e-3))
    one = Histogram.of(rows)
    assert one == Histogram(1, ((-3, 1, 1), (0, 0, 1)), 1)
    assert one + one == Histogram(2, ((-3, 2, 2), (0, 0, 2)), 2)
    drawn = plots.draw(one, plots.span_of([one]), 3e-3, "p")
    assert drawn.startswith("<svg")
    assert "1 row from 1e-3 to 1e-2, beyond the tolerance" in drawn
    assert "1 row that is not a number apart" in drawn
    assert drawn.count(">1</text>") >= 2, "rows beyond the tolerance are counted in the drawing"
    assert drawn == plots.draw(one, plots.span_of([one]), 3e-3, "p")


# --- strangers' names ---------------------------------------------------------------------------------------------------------


def artifact_of(graph: Graph, vectors: Vectors, **provenance: Any) -> modelport.Artifact:
    tolerance = {o.name: vectors.tolerance.get(o.name, Tolerance()) for o in graph.outputs}
    document = Document(graph, replace(vectors, tolerance=tolerance), provenance)
    return modelport.Artifact("json", modelport_json.write(document))


def hostile() -> modelport.Artifact:
    """A failing artifact in which everything that can be named is called like an attack."""
    x = np.arange(12.0).reshape(3, 4)
    graph = Graph(
        [Input(f"i{EVIL}", "f64", (4,), features=tuple(f"{i}{EVIL}" for i in range(4)))],
        [
            Step("scale", [f"i{EVIL}"], f"s{EVIL}", {"sub": np.ones(4)}),
            Step("reduce", [f"s{EVIL}"], f"n{EVIL}", {"fn": "argmax"}),
            Step("take", [f"n{EVIL}"], f"l{EVIL}", {"table": np.array([EVIL] * 3 + ["x"], dtype=object)}),
        ],
        [
            Output(f"o{EVIL}", f"s{EVIL}", "f64", "score", classes=tuple(f"c{i}{EVIL}" for i in range(4))),
            Output(f"p{EVIL}", f"l{EVIL}", "str", "prediction"),
        ],
        name=EVIL,
    )
    outputs = {f"o{EVIL}": x - 1 + np.array([[0], [0.5], [np.nan]]), f"p{EVIL}": np.array([f"{EVIL}z", "x", EVIL], dtype=object)}
    vectors = Vectors({f"i{EVIL}": x}, outputs, {f"o{EVIL}": Tolerance(1e-9)}, "synthetic", (EVIL,) * 3)
    return artifact_of(graph, vectors, model=EVIL, **{EVIL: EVIL, "nested": {EVIL: {"a": EVIL}}})


def test_hostile_names_inject_nothing(tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    assert not write_report(path, hostile(), title=EVIL, with_=f"{shutil.which('false')} {EVIL.split()[0]!r}")[0].passed
    text = path.read_text(encoding="utf-8")
    check_self_contained(text)
    assert not [c for c in text if not c.isprintable() and c != "\n"]
    assert "\\u202eevil" in text
    plain = artifact_of(
        Graph([Input("x")], [Step("scale", ["x"], "y", {"sub": np.ones(1)})], [Output("y", "y", "f64", "score")]),
        Vectors({"x": np.ones((1, 1))}, {"y": np.ones((1, 1))}, {}, "synthetic", ("plain",)),
    )
    write_report(path, plain)
    kinds = {e.tag for e in read(path.read_text(encoding="utf-8")).iter() if isinstance(e.tag, str)}
    assert {e.tag for e in read(text).iter() if isinstance(e.tag, str)} <= kinds | {"u", "bdi", "strong", "details", "summary"}


def long_names() -> modelport.Artifact:
    name = "n" * 10_000
    graph = Graph(
        [Input(name, "f64", (4000,), features=tuple(f"{i}{name[:200]}" for i in range(4000)))],
        [Step("scale", [name], f"{name}s", {"sub": np.ones(4000)})],
        [Output(f"{name}o", f"{name}s", "f64", "score")],
    )
    x = np.random.default_rng(0).normal(size=(4, 4000))
    return artifact_of(graph, Vectors({name: x}, {f"{name}o": x - 1 + (x > 3)}, {}, "synthetic", ("plain",) * 4))


def many_inputs() -> modelport.Artifact:
    names = [f"c{i}" for i in range(4000)]
    steps = [Step("concat", names[:2000], "a", {}), *(Step("unary", [n], f"u{n}", {"fn": "neg"}) for n in names[2000:])]
    graph = Graph(
        [Input(n) for n in names],
        [*steps, Step("concat", ["a", *(f"u{n}" for n in names[2000:])], "y", {})],
        [Output("y", "y", "f64", "score")],
    )
    x = np.random.default_rng(0).normal(size=(2, 4000))
    signs = np.where(np.arange(4000) < 2000, 1.0, -1.0)
    vectors = Vectors({n: x[:, [i]] for i, n in enumerate(names)}, {"y": x * signs + 1e-3}, {}, "synthetic", ("plain",) * 2)
    return artifact_of(graph, vectors)


def wide_output() -> modelport.Artifact:
    width = 10**6
    graph = Graph([Input("x")], [Step("linear", ["x"], "y", {"weight": np.ones((width, 1))})], [Output("y", "y", "f64", "score")])
    y = np.repeat([[1.0], [2.0]], width, axis=1) + np.linspace(0, 1e-6, width)
    vectors = Vectors({"x": np.array([[1.0], [2.0]])}, {"y": y}, {"y": Tolerance(1e-9)}, "synthetic", ("plain",) * 2)
    return artifact_of(graph, vectors)


def many_steps_and_outputs(steps: int = 3000) -> modelport.Artifact:
    chain = [Step("unary", ["x" if not i else f"s{i - 1}"], f"s{i}", {"fn": "neg"}) for i in range(steps)]
    outputs = [Output(f"o{i}", f"s{i}", "f64", "score") for i in range(steps // 6)]
    graph = Graph([Input("x")], chain, outputs)
    x = np.ones((2, 1))
    values = {f"o{i}": (-x if i % 2 == 0 else x) + (i % 3 == 0) for i in range(steps // 6)}
    return artifact_of(graph, Vectors({"x": x}, values, {}, "synthetic", ("plain",) * 2))


@pytest.mark.parametrize("make", [long_names, many_inputs, wide_output, many_steps_and_outputs])
def test_large_things_give_a_small_page(make: Callable[[], modelport.Artifact], tmp_path: Path) -> None:
    (report,) = write_report(tmp_path / "r.html", make())
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert not report.passed
    assert len(text) < 1_000_000
    check_self_contained(text)
    assert "FAILED" in words(read(text).xpath("//header")[0])


# --- the drawing --------------------------------------------------------------------------------------------------------------


def test_lines_run_from_where_a_value_is_made_to_where_it_is_read() -> None:
    rng = np.random.default_rng(3)
    for n in (3, 30, 90):
        nodes = [Node("input", "v0", "input", (), ("v0",))]
        for i in range(1, n):
            reads = tuple(f"v{k}" for k in sorted(set(rng.integers(0, i, size=rng.integers(1, 4)).tolist())))
            nodes.append(Node("step", f"v{i}", "op", reads, (f"v{i}",)))
        rows = lanes(nodes)
        last = {value: i for i, node in enumerate(nodes) for value in node.reads}
        where = {node.makes[0]: row.lane for node, row in zip(nodes, rows, strict=True)}
        for i, (node, row) in enumerate(zip(nodes, rows, strict=True)):
            crossing = [v for k, v in enumerate(where) if k < i and last.get(v, -1) >= i]
            assert sorted(where[v] for v in node.reads) == sorted([*row.ends, *row.reads])
            assert sorted(where[v] for v in crossing if last[v] == i) == sorted(row.ends)
            on = {min(where[v], MOST_LANES - 1) for v in crossing if last[v] > i}
            assert set(row.passes) == on
            assert len({where[v] for v in crossing}) == len(crossing), "no two values share a line of their own"
            assert row.goes_on == (last.get(node.makes[0], -1) > i)


def test_an_onnx_file_is_drawn_node_by_node(shown: tuple[Path, Facts, str]) -> None:
    import onnx

    path = shown[0] / "model.onnx"
    model = onnx.load(path)
    facts = gather(path)
    tree = read(page([facts]))
    drawn = [
        words(li.xpath("./span[@class='what']/span[@class='op']")[0]) for li in tree.xpath("//ol[@class='map']/li[@class='step']")
    ]
    assert drawn == [node.op_type for node in model.graph.node]
    held = sum(int(np.prod(t.dims)) for t in model.graph.initializer)
    assert facts.graph is not None
    assert sum(step.parameters for step in facts.graph.steps) >= held > 0
    names = {tensor.name for tensor in model.graph.initializer}
    for step, node in zip(facts.graph.steps, model.graph.node, strict=True):
        assert list(step.reads) == [name for name in node.input if name and name not in names]


# --- the command --------------------------------------------------------------------------------------------------------------


def test_the_same_input_gives_the_same_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    pages = []
    for k in range(2):
        write_report(tmp_path / f"{k}.html", LIARS["float-off"], with_="python")
        text = (tmp_path / f"{k}.html").read_text(encoding="utf-8")
        pages.append(re.sub(r'<td class="time">[^<]*</td>', "", text))
        assert len(pages[-1]) < len(text)
    assert pages[0] == pages[1]
    assert "2023-11-14 22:13 UTC" in pages[0]


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], mixed) -> None:  # type: ignore[no-untyped-def]
    import joblib

    frame, model = mixed
    artifact = modelport.convert(model, tmp_path / "model.json", sample=frame)
    joblib.dump(model, tmp_path / "model.joblib")
    frame.to_csv(tmp_path / "rows.csv", index=False)
    out, paths = tmp_path / "report.html", [str(tmp_path / "model.json")]
    against = ["--model", str(tmp_path / "model.joblib"), "--trust", "--sample", str(tmp_path / "rows.csv")]
    assert main(["report", *paths, *against, "-o", str(out), "--json", "--title", "spring"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["title"], said["passed"]) == ("spring", True)
    assert said["artifacts"][0]["report"]["source"] == "the model"
    assert words(read(out.read_text(encoding="utf-8")).xpath("//h1")[0]) == "spring"
    assert main(["report", *paths, "-o", str(out)]) == 0
    assert "PASSED" in out.read_text(encoding="utf-8")
    assert main(["report", *paths, "--with", "no-such-consumer", "-o", str(out)]) == 64
    assert main(["report", *paths]) == 64
    assert main(["report", *paths, "-o", str(tmp_path)]) == 64
    assert main(["report", *paths, *against[:2], "-o", str(out)]) == 64
    assert main(["report", str(tmp_path / "absent.json"), "-o", str(out)]) == 64
    bare = json.loads(artifact.data)
    del bare["verification"]
    (tmp_path / "bare.json").write_text(json.dumps(bare), encoding="utf-8")
    out.unlink()
    assert main(["report", str(tmp_path / "bare.json"), "-o", str(out)]) == 2
    assert "carries no vectors" in capsys.readouterr().err
    assert not out.exists()
    assert main(["report", str(tmp_path / "bare.json"), *against, "-o", str(out)]) == 0


def test_a_consumer_that_cannot_run_is_no_pass(tmp_path: Path) -> None:
    (report,) = write_report(tmp_path / "r.html", LIARS["one-ulp-off-exact"], with_=str(shutil.which("false")))
    tree = read((tmp_path / "r.html").read_text(encoding="utf-8"))
    problem = report.consumers[1].problem
    assert problem
    name = report.consumers[1].consumer
    assert any(words(item) == f"{name}: {words_of(problem)}" for item in tree.xpath("//header//ul/li"))


def test_without_matplotlib_the_report_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependency, match=r"modelport\[report\]"):
        write_report(tmp_path / "r.html", LIARS["float-off"])
    assert not (tmp_path / "r.html").exists()
    assert not gather(LIARS["float-off"]).passed


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no artifact"):
        gather([])
    (tmp_path / "x.json").write_text("{", encoding="utf-8")
    with pytest.raises(ArtifactError):
        write_report(tmp_path / "r.html", [tmp_path / "x.json"])


def test_of_several_artifacts_the_one_that_is_refused_is_named(tmp_path: Path) -> None:
    document = json.loads(LIARS["float-off"].read_text(encoding="utf-8"))
    del document["verification"]
    (tmp_path / "bare.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"^bare\.json: .* carries no vectors"):
        gather([LIARS["float-off"], tmp_path / "bare.json"])


def test_files_of_one_name_are_told_apart() -> None:
    facts = gather([LIARS["float-off"], LIARS["label-flipped"], LIARS["float-off"]])
    names = [artifact.name for artifact in facts.artifacts]
    assert names == ["float-off/model.json (1)", "label-flipped/model.json", "float-off/model.json (2)"]


def test_several_models_on_one_page(shown: tuple[Path, Facts, str], tmp_path: Path) -> None:
    path = write_page(tmp_path / "all.html", [shown[1], gather(LIARS["label-flipped"])], "Everything")
    text = path.read_text(encoding="utf-8")
    tree = read(text)
    check_self_contained(text)
    assert [words(h) for h in tree.xpath("//h1")] == ["Everything"]
    assert [words(h) for h in tree.xpath("//h2")] == ["a mixed pipeline", "model.json", "Environment"]


# --- in a real browser --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium(need: Callable[[str, str], None]) -> Iterator[Browser]:
    command = find_browser()
    if command is None:
        need("chromium", "no browser is on the PATH")
    with Browser(str(command)) as browser:
        yield browser


@pytest.fixture(scope="module")
def axe(need: Callable[[str, str], None]) -> str:
    """The source of axe-core, installed once into the cache folder."""
    base = Path(os.environ.get("MODELPORT_CACHE") or Path.home() / ".cache") / f"modelport-axe-{AXE}"
    source = base / "node_modules" / "axe-core" / "axe.min.js"
    if not source.is_file():
        npm = shutil.which("npm")
        if npm is None:
            need("chromium", "checking accessibility needs npm, which is not on the PATH")
        base.mkdir(parents=True, exist_ok=True)
        command = [
            str(npm),
            "install",
            "--silent",
            "--no-save",
            "--no-audit",
            "--no-fund",
            "--prefix",
            str(base),
            f"axe-core@{AXE}",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode != 0 or not source.is_file():
            need("chromium", f"axe-core could not be installed: {done.stderr[-300:]}")
    return source.read_text(encoding="utf-8")


RULES = "axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map(v => [v.id, v.nodes.map(n => n.html)]))"
#: headings that skip a level, and elements that reach over the page's edge outside of frames that scroll
OUTLINE = "[...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])"
#: page -> (width, dark theme) of the windows it is opened in
WINDOWS = {
    "failed": [(390, False), (390, True), (1180, True)],
    "passed": [(1180, False)],
    "several": [(390, True)],
    "hostile": [(390, True)],
    "long": [(390, False)],
    "branches": [(390, True)],
}


def check_page(chromium: Browser, axe: str, path: Path, windows: list[tuple[int, bool]]) -> None:
    for width, dark in windows:
        chromium.open(path, width=width, dark=dark)
        assert [url.split("/")[-1] for url in chromium.requests] == [path.name], "nothing else is loaded"
        assert chromium.run("document.title") != "hit"
        assert chromium.run("document.documentElement.scrollWidth") <= width, "the page scrolls sideways"
        chromium.run("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert chromium.run("document.documentElement.scrollWidth") <= width
        light = chromium.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert light != dark
        chromium.run(axe)
        assert chromium.run(RULES) == [], (width, dark)
    outline = chromium.run(OUTLINE)
    assert outline[0] == 1
    assert outline.count(1) == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(outline))


@pytest.mark.parametrize("name", WINDOWS)
def test_the_page_is_accessible(name: str, chromium: Browser, axe: str, shown: tuple[Path, Facts, str], tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    facts = shown[1]
    groups = {
        "failed": lambda: [facts],
        "passed": lambda: [replace(facts, artifacts=facts.artifacts[1:])],
        "several": lambda: [replace(facts, artifacts=facts.artifacts[1:]), gather(LIARS["float-off"])],
        "hostile": lambda: [gather(hostile(), title=EVIL)],
        "long": lambda: [gather(long_names())],
        "branches": lambda: [gather(many_steps_and_outputs(60))],
    }
    write_page(path, groups[name]())
    check_page(chromium, axe, path, WINDOWS[name])


def test_axe_notices(chromium: Browser, axe: str, tmp_path: Path) -> None:
    (tmp_path / "bad.html").write_text("<!doctype html><p style='color:#999;background:#fff'>pale<img src=''>", encoding="utf-8")
    chromium.open(tmp_path / "bad.html")
    chromium.run(axe)
    found = {rule for rule, _ in chromium.run(RULES)}
    assert {"color-contrast", "image-alt", "html-has-lang"} <= found


def test_tables_that_are_too_wide_scroll_by_keyboard(chromium: Browser, shown: tuple[Path, Facts, str], tmp_path: Path) -> None:
    path = write_page(tmp_path / "report.html", [shown[1]])
    chromium.open(path, width=390)
    script = "[...document.querySelectorAll('*')].filter(e => e.scrollWidth > e.clientWidth + 1 && e.tabIndex < 0 && " \
             "getComputedStyle(e).overflowX !== 'visible' && e.tagName !== 'svg').map(e => e.outerHTML.slice(0, 80))"  # fmt: skip
    assert chromium.run(script) == []
    chromium.run("document.activeElement.blur()")
    chromium.call("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
    assert chromium.run("document.activeElement.className") == "skip"
