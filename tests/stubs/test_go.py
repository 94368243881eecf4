"""The Go stub as a library: typed errors, rows in every form, goroutines, formatting, and the README's quick start."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import replays
from suite import FIXTURES, liars

import modelport
from modelport.stubs import data_folder

FOLDER = data_folder("stubs") / "go"
CORE = ("modelport_values.go", "modelport_ops.go", "modelport_trees.go", "modelport.go")
LIBRARY = (*CORE, "modelport_more.go", "modelport_nn.go")
#: of the models in fixtures/, small ones with different parts
SEEDS = (
    *("format/escapes", "format/quantized-and-sparse", "format/named-lengths", "format/dtypes-of-inputs", "format/base64-rows"),
    *("sklearn/cancer_tree_missing", "sklearn/iris_logistic", "sklearn/texts_tfidf_logistic", "torch/several_inputs"),
)
PROGRAM = r"""
package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"sync"

	"example/modelport"
)

func check(holds bool, what string) {
	if !holds {
		fmt.Println("wrong:", what)
		os.Exit(1)
	}
}

func main() {
	document, err := os.ReadFile("model.json")
	check(err == nil, "reading")
	model, err := modelport.Load(document)
	check(err == nil, "loading")
	_, err = modelport.LoadFrom(bytes.NewReader(document))
	check(err == nil, "loading from a reader")
	_, err = modelport.LoadString(string(document))
	check(err == nil, "loading from a string")

	var refused *modelport.Refused
	var mismatch *modelport.Mismatch
	var unsupported *modelport.Unsupported
	_, err = modelport.Load([]byte("{"))
	check(errors.As(err, &refused) && refused.ExitCode() == 2, "refused")
	_, err = modelport.Load(bytes.Replace(document, []byte(`"version":"1.`), []byte(`"version":"7.`), 1))
	check(errors.As(err, &unsupported) && unsupported.ExitCode() == 3, "unsupported")
	liar, err := os.ReadFile("liar.json")
	check(err == nil, "reading")
	_, err = modelport.Load(liar)
	check(errors.As(err, &mismatch) && mismatch.ExitCode() == 1, "mismatch")
	checks, err := model.Verify()
	check(err == nil && len(checks) > 0 && checks[0].Passed, "verify")

	rows := [][]float64{{5.1, 3.5, 1.4, 0.2}, {6.2, 2.9, 4.3, 1.3}}
	expected, err := model.Predict(rows)
	check(err == nil, "predict")
	flat, err := model.Predict(modelport.Floats([]float64{5.1, 3.5, 1.4, 0.2, 6.2, 2.9, 4.3, 1.3}, 2, 4))
	check(err == nil, "predict a tensor")
	records := []map[string]any{{}, {}}
	columns := map[string]any{}
	for j, name := range model.Inputs()[0].Features {
		records[0][name], records[1][name] = rows[0][j], rows[1][j]
		columns[name] = []any{rows[0][j], rows[1][j]}
	}
	recorded, err := model.PredictRecords(records)
	check(err == nil, "predict records")
	named, err := model.PredictColumns(columns)
	check(err == nil, "predict columns")
	text := func(o modelport.Outputs) string {
		var out bytes.Buffer
		check(o.WriteJSON(&out) == nil, "writing")
		return out.String()
	}
	for _, other := range []modelport.Outputs{flat, recorded, named} {
		check(text(other) == text(expected), "equal outputs")
	}
	for k, row := range rows {
		one, err := model.Predict([][]float64{row})
		check(err == nil, "predict a row")
		for name, answer := range one {
			for j := 0; j < answer.Width(); j++ {
				check(answer.At(j) == expected[name].At(k*answer.Width()+j), "one row as in a batch")
			}
		}
		recorded, err := model.PredictRecord(records[k])
		check(err == nil && text(recorded) == text(one), "predict a record")
		values, err := model.PredictRow(row[0], row[1], row[2], row[3])
		check(err == nil && text(values) == text(one), "predict the values of a row")
	}
	large := [][]float64{}
	for k := 0; k < 5000; k++ {
		large = append(large, []float64{rows[k%2][0] + float64(k)/5000, rows[k%2][1], rows[k%2][2], rows[k%2][3]})
	}
	alone, err := modelport.LoadWith(document, modelport.Options{Threads: 1})
	check(err == nil, "loading for one goroutine")
	shared, err := modelport.LoadWith(document, modelport.Options{Threads: 3})
	check(err == nil, "loading for three goroutines")
	slow, err := alone.Predict(large)
	check(err == nil, "a large batch")
	fast, err := shared.Predict(large)
	check(err == nil && text(fast) == text(slow), "the same answers of three goroutines")
	large[4321][2], large[77][1] = math.NaN(), math.NaN()
	_, err = alone.Predict(large)
	_, other := shared.Predict(large)
	check(errors.As(err, &refused) && other != nil && err.Error() == other.Error(), "the same refusal of three goroutines")
	ragged := [][]float64{{1, 2, 3, 4}, {1}}
	for _, wrong := range []any{nil, 1.5, [][]float64{{1, 2}}, ragged, []string{"a"}, modelport.Floats(nil, 1, 4)} {
		_, err = model.Predict(wrong)
		check(errors.As(err, &refused), fmt.Sprint("rows that are refused: ", wrong))
	}
	for _, wrong := range [][]any{nil, {1, 2, 3}, {1, 2, 3, "a"}, {1, 2, 3, nil}, {1, 2, 3, 4, 5}} {
		_, err = model.PredictRow(wrong...)
		check(errors.As(err, &refused), fmt.Sprint("a row that is refused: ", wrong))
	}
	lacking, further := map[string]any{}, map[string]any{"another": 1.0}
	for k, name := range model.Inputs()[0].Features {
		further[name] = 1.0
		if k > 0 {
			lacking[name] = 1.0
		}
	}
	for _, wrong := range []map[string]any{nil, lacking, further} {
		_, err = model.PredictRecord(wrong)
		_, other = model.PredictRecords([]map[string]any{wrong})
		check(errors.As(err, &refused) && other != nil, fmt.Sprint("a record that is refused: ", wrong))
		check(wrong == nil || err.Error() == other.Error(), "one sentence for a record and for records")
	}
	limits := modelport.DefaultLimits()
	limits.Memory = 1000
	_, err = modelport.LoadWith(document, modelport.Options{Limits: &limits})
	check(errors.As(err, &refused), "a limit")

	var group sync.WaitGroup
	for k := 0; k < 16; k++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for i := 0; i < 50; i++ {
				got, err := model.Predict(rows)
				check(err == nil && text(got) == text(expected), "goroutines")
			}
		}()
	}
	group.Wait()
	fmt.Println(text(expected))
}
"""


@pytest.fixture(scope="module")
def go(need: Callable[[str, str], None]) -> str:
    name = os.environ.get("MODELPORT_GO", "go")
    if shutil.which(name) is None:
        need("go", f"{name} is not on the PATH")
    return name


@pytest.fixture(scope="module")
def artifact(iris) -> tuple[bytes, dict[str, np.ndarray]]:  # type: ignore[no-untyped-def]
    frame, _, pipeline = iris
    rows = np.array([[5.1, 3.5, 1.4, 0.2], [6.2, 2.9, 4.3, 1.3]])
    made = modelport.convert(pipeline, "json", sample=frame)
    return made.data, dict(made.load().run({made.load().inputs[0].name: rows}))


def ran(go: str, folder: Path, program: str, document: bytes, files: tuple[str, ...] = LIBRARY) -> str:
    """What a program beside a folder with the library prints."""
    (folder / "modelport").mkdir()
    for name in files:
        shutil.copy(FOLDER / name, folder / "modelport")
    (folder / "go.mod").write_text("module example\n\ngo 1.19\n", encoding="utf-8")
    (folder / "main.go").write_text(program, encoding="utf-8")
    (folder / "model.json").write_bytes(document)
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod", "GOPROXY": "off"}
    done = subprocess.run([go, "run", "."], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_library_keeps_its_promises(go: str, tmp_path: Path, artifact: tuple[bytes, dict[str, np.ndarray]]) -> None:
    document, expected = artifact
    shutil.copy(liars()[0], tmp_path / "liar.json")
    said = json.loads(ran(go, tmp_path, PROGRAM, document).splitlines()[-1])["outputs"]
    assert set(said) == set(expected)
    for name, answer in expected.items():
        got = np.array(said[name]["data"]).reshape(answer.shape)
        if answer.dtype.kind == "f":
            np.testing.assert_allclose(got, answer, rtol=1e-12, atol=1e-12)
        else:
            assert got.tolist() == answer.tolist()


@pytest.mark.parametrize("files", [CORE, LIBRARY[:-1], (*CORE, LIBRARY[-1])], ids=["alone", "more", "nn"])
def test_the_readme_runs(go: str, tmp_path: Path, artifact: tuple[bytes, dict[str, np.ndarray]], files: tuple[str, ...]) -> None:
    program = re.search(r"```go\n(.*?)```", (FOLDER / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert program is not None
    assert '"outputs"' in ran(go, tmp_path, program[1], artifact[0], files)


def test_the_files_are_formatted_and_vetted(go: str, tmp_path: Path) -> None:
    for name in (*LIBRARY, "main.go", "go.mod"):
        shutil.copy(FOLDER / name, tmp_path)
    assert not subprocess.run([go, "vet", "."], cwd=tmp_path, capture_output=True, text=True, check=False).stderr
    gofmt = Path(shutil.which(go) or go).resolve().parent / "gofmt"
    if gofmt.is_file():
        assert not subprocess.run([gofmt, "-l", "."], cwd=tmp_path, capture_output=True, text=True, check=True).stdout


def test_products_are_rounded_before_they_are_added(go: str, tmp_path: Path) -> None:
    """On arm64 the compiler fuses x * y + z; no such instruction may come of a product that the format wants rounded."""
    for name in (*LIBRARY, "main.go", "go.mod"):
        shutil.copy(FOLDER / name, tmp_path)
    environment = {**os.environ, "GOARCH": "arm64", "GOOS": "linux", "CGO_ENABLED": "0"}
    command = [go, "build", "-buildvcs=false", "-gcflags=modelport=-S", "-o", "out", "main.go"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    fused = re.findall(r"\((\S*modelport\w*\.go:\d+)\).*\tFN?M(?:ADD|SUB)D", done.stderr)
    assert not sorted(set(fused))


def test_products_have_the_bits_of_sums_in_order(go: str, tmp_path: Path) -> None:
    for path in (*(FOLDER / name for name in (*LIBRARY, "go.mod")), Path(__file__).parent / "go" / "multiply_test.go"):
        shutil.copy(path, tmp_path)
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod", "GOPROXY": "off"}
    command = [go, "test", "-run", "TestMultiply$", "."]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert done.stdout.startswith("ok")


def fuzz(go: str, folder: Path, target: str, runs: int) -> None:
    """Runs a fuzz target of tests/stubs/go so many times; what fails is printed with the input that made it."""
    for name in (*LIBRARY, "go.mod"):
        shutil.copy(FOLDER / name, folder)
    shutil.copy(Path(__file__).parent / "go" / "fuzz_test.go", folder)
    models, requests = folder / "testdata" / "models", folder / "testdata" / "requests"
    for made in (models, requests):
        made.mkdir(parents=True)
    for name in SEEDS:
        data = (FIXTURES / "models" / name / "model.json").read_bytes()
        (models / f"{name.replace('/', '-')}.json").write_bytes(data)
        given = json.dumps({"inputs": json.loads(data)["verification"]["inputs"]})
        (requests / f"{name.replace('/', '-')}.json").write_text(given, encoding="utf-8")
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod", "GOPROXY": "off"}
    command = [go, "test", "-run", "xxx", "-fuzz", f"{target}$", "-fuzztime", f"{runs}x", "-parallel", "1", "."]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.mark.parametrize(("target", "runs"), [("FuzzLoad", 20_000), ("FuzzPredict", 10_000)])
def test_mutated_documents_and_requests_do_no_harm(go: str, tmp_path: Path, target: str, runs: int) -> None:
    fuzz(go, tmp_path, target, runs)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["FuzzLoad", "FuzzPredict"])
def test_many_mutated_documents_and_requests_do_no_harm(go: str, tmp_path: Path, target: str) -> None:
    fuzz(go, tmp_path, target, 2_000_000)


WORK = r"""
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"example/modelport"
)

func main() {
	cases, _ := os.ReadFile("cases.txt")
	for _, line := range strings.Split(strings.TrimSpace(string(cases)), "\n") {
		words := strings.Fields(line)
		document, err := os.ReadFile(words[0])
		limits := modelport.DefaultLimits()
		limits.Work, _ = strconv.ParseInt(words[1], 10, 64)
		for _, skip := range []bool{false, true} {
			if err == nil {
				_, err = modelport.LoadWith(document, modelport.Options{SkipReplay: skip, Limits: &limits})
			}
			refused, ok := err.(*modelport.Refused)
			switch {
			case err == nil:
				fmt.Println("0")
			case ok:
				fmt.Println(refused.ExitCode(), err)
			default:
				panic(err)
			}
			err = nil
		}
	}
}
"""


def test_a_replay_of_too_many_operations_is_refused(go: str, tmp_path: Path) -> None:
    written = replays.write(tmp_path, [*replays.cases(tmp_path), *replays.of_ops(tmp_path)])
    replays.check(ran(go, tmp_path, WORK, b""), written)
