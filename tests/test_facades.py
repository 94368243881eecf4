"""Typed facades: what is written for a model builds without a warning, runs, and answers what the artifact carries."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelport.artifact import Artifact
from modelport.cli import main
from modelport.document import Vectors
from modelport.errors import PluginError, Unsupported, UsageError
from modelport.facades import facade_files, library_for
from modelport.facades.example import LINES, WIDTH
from modelport.facades.naming import identifiers, shown
from modelport.facades.plan import plan_of
from modelport.stubs import Stub, find_stub, stubs, toolchain_problem

MODELS = Path(__file__).resolve().parent.parent / "fixtures" / "models"
LANGUAGES = [stub.name for stub in stubs() if stub.facade]
FIXTURES = (
    *("sklearn/iris_logistic", "sklearn/mixed_pipeline", "sklearn/diabetes_two_outputs", "sklearn/texts_tfidf_logistic"),
    *("sklearn/cancer_neighbours", "torch/several_inputs", "torch/cnn_batch_norm", "format/names", "format/dtypes-of-inputs"),
)

#: names that try to leave a comment, a string or a line, or that are words of a language
HOSTILE = [
    *("class", "def", "int", "switch", "yield", "errno", "constructor", "__proto__", "toString", "self", "None", "f64"),
    *('"; import os; os.abort(); "', "*/ #error x", "// \\", "\\u002a\\u002f x", "\\u0022); System.exit(9); //", "`${x}`"),
    *("a\nb", "a\r\nb", "a\u2028b", "\x00", "a\x00b", "??/", "??)", "%s%n", "${jndi}", "@p@", "@fields@", "@", "</script>"),
    *("a b", "a.b", "a_b", "A b", "aB", "a_b_2", "2nd", "2nd ", "größe", "GRÖSSE", "身長", "体重", "🙂", "\u202eevil"),
    *(" ", "-", "INFINITY", "<!--", "x" * 500, "'" * 3, '"' * 3, "\\"),
]


def document(
    inputs: list[dict[str, Any]],
    steps: list[dict[str, Any]],
    given: dict[str, Any],
    y: float,
    more: dict[str, Any] | None = None,
) -> bytes:
    """A model with the output y, a number, and one carried row; `more` has outputs that are equal to y or an input."""
    outputs = [{"name": "y", "from": "y", "dtype": "f64", "role": "prediction"}, *(more or {}).values()]
    said = {output["name"]: [y] if output["from"] == "y" else given[output["from"]] for output in outputs}
    return json.dumps(
        {
            "format": "modelport",
            "version": "1.0",
            "requires": sorted({step["op"] for step in steps}),
            "inputs": inputs,
            "steps": steps,
            "outputs": outputs,
            "verification": {
                "source": "synthetic",
                "inputs": given,
                "outputs": said,
                "tolerance": dict.fromkeys(said, "exact"),
            },
        }
    ).encode()


def summed(features: list[str]) -> bytes:
    """The sum of the columns of a matrix, of eighths."""
    values = [(k % 7) / 8 for k in range(len(features))]
    matrix = {"name": "X */", "dtype": "f64", "shape": [len(features)], "missing": "nan", "features": features}
    return document([matrix], [{"op": "reduce", "in": ["X */"], "out": "y", "fn": "sum"}], {"X */": [values]}, sum(values))


def many_inputs(count: int) -> bytes:
    """The sum of as many inputs of one column each, numbers and booleans in turn."""
    kinds = ["f64" if k % 2 else "bool" for k in range(count)]
    inputs = [{"name": f'c"{k}', "dtype": kind, "shape": [1]} for k, kind in enumerate(kinds)]
    casts = [{"op": "cast", "in": [f'c"{k}'], "out": f"n{k}", "to": "f64"} for k, kind in enumerate(kinds) if kind == "bool"]
    names = [f"n{k}" if kind == "bool" else f'c"{k}' for k, kind in enumerate(kinds)]
    steps = [*casts, {"op": "concat", "in": names, "out": "all"}, {"op": "reduce", "in": ["all"], "out": "y", "fn": "sum"}]
    given = {f'c"{k}': [[k / 4]] if kind == "f64" else [[k % 4 == 0]] for k, kind in enumerate(kinds)}
    return document(inputs, steps, given, sum(k / 4 if kind == "f64" else float(k % 4 == 0) for k, kind in enumerate(kinds)))


def odd_outputs() -> bytes:
    """Outputs with hostile names and classes, and with the names of what stands around them in the code."""
    names = [*HOSTILE, "k", "outputs", "words", "found", "j", "rows", "o0", "result", "answer", "this"]
    names = list({name.lower(): name for name in names}.values())  # keys of one object differ by more than case
    further: dict[str, Any] = {name: {"name": name, "from": "y", "dtype": "f64", "role": "score"} for name in names}
    further["by class"] = {"name": "by class", "from": "x", "dtype": "f64", "role": "probability", "classes": HOSTILE}
    x = {"name": "x", "dtype": "f64", "shape": [len(HOSTILE)]}
    values = [k / 8 for k in range(len(HOSTILE))]
    steps = [{"op": "reduce", "in": ["x"], "out": "y", "fn": "sum"}]
    return document([x], steps, {"x": [values]}, sum(values), further)


MADE: dict[str, Callable[[], bytes]] = {
    "hostile": lambda: summed(HOSTILE),
    "wide": lambda: summed([f'column {k} "*/' for k in range(10_000)]),
    "odd outputs": odd_outputs,
    "many": lambda: many_inputs(300),
}


def written(folder: Path, language: str, data: bytes, name: str = "model.json") -> Path:
    """A folder with the facade of an artifact."""
    (folder / "given").mkdir()
    (folder / "given" / name).write_bytes(data)
    assert main(["stub", language, "-o", str(folder / "out"), "--for", str(folder / "given" / name), "--quiet"]) == 0
    return folder / "out"


def call(command: list[str], folder: Path) -> str:
    """What a command says on standard output; it says nothing on standard error."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, encoding="utf-8")
    assert (done.returncode, done.stderr) == (0, ""), f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where compiled libraries are kept for the tests of this file."""
    return tmp_path_factory.mktemp("libraries")


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest, need: Callable[[str, str], None]) -> str:
    stub = find_stub(request.param)
    assert stub is not None
    problem = toolchain_problem(stub)
    if problem is not None:
        need(stub.name, problem)
    return stub.name


def ran(language: str, folder: Path, libraries: Path, program: str = "example") -> str:
    """Builds what was written with every warning an error, the library apart from it, and runs a program."""
    return RUNNERS[language](folder, libraries, program)


def ran_python(folder: Path, libraries: Path, program: str) -> str:
    return call([sys.executable, "-W", "error", f"{program}.py"], folder)


def ran_javascript(folder: Path, libraries: Path, program: str) -> str:
    return call(["node", f"{program}.mjs"], folder)


def ran_java(folder: Path, libraries: Path, program: str) -> str:
    javac = [os.environ.get("MODELPORT_JAVAC", "javac"), "-encoding", "UTF-8"]
    library = sorted(p.name for p in folder.glob("Modelport*.java"))
    classes = libraries / "-".join(["java", *library])
    if not classes.is_dir():
        call([*javac, "-nowarn", "-d", str(classes), *library], folder)
    sources = sorted(p.name for p in folder.glob("*.java") if p.name not in library)
    lint = ["--release", "8", "-Xlint:all", "-Xlint:-options", "-Werror"]
    call([*javac, *lint, "-cp", str(classes), "-d", "build", *sources], folder)
    java = [os.environ.get("MODELPORT_JAVA", "java"), "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    return call([*java, "-cp", f"build{os.pathsep}{classes}", program.capitalize()], folder)


def ran_c(folder: Path, libraries: Path, program: str) -> str:
    cc = [os.environ.get("MODELPORT_CC", "cc"), "-std=c11", "-ffp-contract=off"]
    further = [f"-DMODELPORT_{name}" for name in ("MORE", "NN") if (folder / f"modelport_{name.lower()}.c").is_file()]
    library = libraries / "".join(["c", *further, ".o"])
    if not library.is_file():
        call([*cc, "-O1", *further, "-c", "modelport.c", "-o", str(library)], folder)
    facade = next(folder.glob("*_facade.c")).name
    warnings = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror"]
    call([*cc, "-O1", *warnings, "-o", program, facade, f"{program}.c", str(library), "-lm"], folder)
    return call([f"./{program}"], folder)


def ran_rust(folder: Path, libraries: Path, program: str) -> str:
    rustc = [os.environ.get("MODELPORT_RUSTC", "rustc"), "--edition", "2021", "-D", "warnings", "-A", "dead-code"]
    modules = sorted(p.stem for p in folder.glob("modelport*.rs"))
    library = libraries / f"lib{'_'.join(modules)}.rlib"
    if not library.is_file():
        (folder / "library.rs").write_text("".join(f"pub mod {module};\n" for module in modules))
        call([*rustc, "--crate-type", "rlib", "--crate-name", "library", "-o", str(library), "library.rs"], folder)
    text = (folder / f"{program}.rs").read_text(encoding="utf-8")
    for module in modules:  # the library is not compiled once more
        text = text.replace(f"\nmod {module};\n", f"\nuse library::{module};\n")
    (folder / "program.rs").write_text(text, encoding="utf-8")
    call([*rustc, "-A", "unused-imports", "--extern", f"library={library}", "program.rs"], folder)
    return call(["./program"], folder)


def ran_go(folder: Path, libraries: Path, program: str) -> str:
    go = os.environ.get("MODELPORT_GO", "go")
    gofmt = Path(shutil.which(go) or go).resolve().parent / "gofmt"
    if gofmt.is_file():
        assert call([str(gofmt), "-l", *sorted(p.name for p in folder.glob("*_facade.go")), "example.go"], folder) == ""
    plain = ["-buildvcs=false", "-trimpath", "-gcflags=modelport=-N -l"]  # quicker to compile
    call([go, "build", *plain, "-o", program, f"{program}.go"], folder)
    return call([f"./{program}"], folder)


def ran_csharp(folder: Path, libraries: Path, program: str) -> str:
    facade = next(folder.glob("*Facade.cs")).name
    sources = [*sorted(p.name for p in folder.glob("Modelport*.cs") if p.name != facade), facade, f"{program.capitalize()}.cs"]
    said = call([sys.executable, str(stub_of("csharp").folder / "build.py"), "built", *sources], folder)
    assert "warning" not in said
    return call([os.environ.get("MODELPORT_DOTNET", "dotnet"), "built/modelport.dll"], folder)


RUNNERS = {"python": ran_python, "javascript": ran_javascript, "java": ran_java, "c": ran_c}
RUNNERS |= {"csharp": ran_csharp, "go": ran_go, "rust": ran_rust}


def carried(vectors: Vectors, outputs: list[str], lines: list[str]) -> bool:
    """Whether the lines that an example printed are the outputs of a carried row."""
    words = [line.partition(":")[2].strip() for line in lines]

    def same(name: str, word: str, row: int) -> bool:
        said, tolerance = vectors.outputs[name][row : row + 1], vectors.tolerance[name]
        if said.dtype == object:
            return word == " ".join("" if text is None else text for text in said.flat)
        got = [{"true": 1.0, "false": 0.0}.get(part.lower(), part) for part in word.split()]
        atol, rtol = (1e-300, tolerance.ulp * 2.0**-23) if tolerance.ulp is not None else (tolerance.atol, tolerance.rtol)
        flat = said.astype(np.float64).reshape(-1)
        return len(got) == len(flat) and np.allclose(np.array(got, np.float64), flat, rtol=rtol, atol=atol, equal_nan=True)

    rows = len(next(iter(vectors.inputs.values())))
    return any(all(same(name, word, row) for name, word in zip(outputs, words)) for row in range(rows))


@pytest.mark.parametrize("name", [*FIXTURES, *MADE])
def test_an_example_builds_and_answers_what_the_artifact_carries(
    language: str, name: str, tmp_path: Path, libraries: Path
) -> None:
    data = MADE[name]() if name in MADE else (MODELS / name / "model.json").read_bytes()
    folder = written(tmp_path, language, data)
    assert (folder / "model.json").read_bytes() == data
    *lines, last = ran(language, folder, libraries).splitlines()
    assert last == "The artifact carries the same answers."
    loaded = Artifact.of(data).load()
    assert loaded.vectors is not None
    assert len(lines) == len(loaded.outputs)
    assert carried(loaded.vectors, [output.name for output in loaded.outputs], lines)


def test_an_example_is_short_whatever_the_model() -> None:
    models = [path.read_bytes() for path in sorted(MODELS.glob("*/*/model.json"))] + [make() for make in MADE.values()]
    spelled, seen = 0, 0
    for data in models:
        loaded = Artifact.of(data).load()
        try:
            plan = plan_of(loaded, "model.json", "model", ["modelport", "modelport_more", "modelport_nn", "modelport_fast"])
        except Unsupported:
            continue
        for name in LANGUAGES:
            made = importlib.import_module(stub_of(name).facade).write(plan)
            example = next(text for file, text in made.items() if file.lower().startswith("example."))
            lines = example.removesuffix("\n").split("\n")
            assert len(lines) <= LINES <= 20, (name, plan.fields)
            assert max(map(len, lines)) <= WIDTH
            seen += 1
            spelled += not re.search(r"example_?row|_example\b|Example\(\)|::example|\.example", example, re.IGNORECASE)
    assert seen > 100
    assert 10 < spelled < seen


def test_an_example_says_when_answers_differ(language: str, tmp_path: Path, libraries: Path) -> None:
    folder = written(tmp_path, language, (MODELS / "sklearn/iris_logistic/model.json").read_bytes())
    example = next(p for p in folder.iterdir() if p.stem.lower() == "example")
    text = example.read_text(encoding="utf-8")
    assert text.count("4.3") == 1
    example.write_text(text.replace("4.3", "43.0"), encoding="utf-8")
    with pytest.raises(AssertionError, match=r"carries"):
        ran(language, folder, libraries)


#: a program that asks a row that is not filled in, and an artifact of other columns; it prints two sentences
PROGRAMS = {
    "python": """
from pathlib import Path
import model_facade as f
model = f.load(Path("model.json").read_bytes())
assert model.predict([]) == []
for call in (lambda: model.predict(f.Row(x=None)), lambda: f.load(Path("other.json").read_bytes())):
    try:
        call()
    except f.Refused as error:
        print(error)
""",
    "javascript": """
import { readFileSync } from "node:fs";
import { load } from "./model_facade.mjs";
const model = load(readFileSync("model.json"));
if (model.predict([]).length !== 0) process.exit(9);
for (const call of [() => model.predict({}), () => load(readFileSync("other.json"))]) {
  try { call(); } catch (error) { if (error.exitCode === 2) console.log(error.message); }
}
""",
    "java": """
import java.nio.file.*;
import java.util.*;
public final class Asking {
    public static void main(String[] args) throws Exception {
        ModelFacade model = ModelFacade.load(Files.readAllBytes(Paths.get("model.json")));
        if (!model.predict(new ArrayList<ModelFacade.Row>()).isEmpty()) System.exit(9);
        try { model.predict(new ModelFacade.Row()); } catch (Modelport.Refused e) { System.out.println(e.getMessage()); }
        byte[] other = Files.readAllBytes(Paths.get("other.json"));
        try { ModelFacade.load(other); } catch (Modelport.Refused e) { System.out.println(e.getMessage()); }
    }
}
""",
    "csharp": """
using System;
using System.IO;
using Modelport;
public static class Asking {
    public static void Main() {
        ModelFacade model = ModelFacade.Load(File.ReadAllBytes("model.json"));
        if (model.Predict(new ModelFacade.Row[0]).Count != 0) Environment.Exit(9);
        try { model.Predict(new ModelFacade.Row()); } catch (Refused e) { Console.WriteLine(e.Message); }
        try { ModelFacade.Load(File.ReadAllBytes("other.json")); } catch (Refused e) { Console.WriteLine(e.Message); }
    }
}
""",
    "c": """
#include "model_facade.h"
#include <math.h>
#include <stdio.h>
static char text[1 << 16];
static mp_code load(const char *path, model_model **model, mp_error *error) {
    FILE *file = fopen(path, "rb");
    size_t size = file ? fread(text, 1, sizeof text, file) : 0;
    if (file) fclose(file);
    return model_load(text, size, model, error);
}
int main(void) {
    model_model *model, *other;
    model_answers answers;
    mp_error error;
    const model_row row = {.x = NAN};
    if (load("model.json", &model, &error) != MP_OK) return 9;
    if (model_predict(model, &row, 0, &answers, &error) != MP_OK || answers.count != 0) return 9;
    if (model_predict(model, &row, 1, &answers, &error) == MP_REFUSED) puts(error.message);
    if (load("other.json", &other, &error) == MP_REFUSED && !other) puts(error.message);
    model_free(model);
    return 0;
}
""",
    "rust": """
mod model_facade;
mod modelport;
use model_facade::{Facade, Row};
fn main() {
    let model = Facade::load(std::fs::read("model.json").unwrap()).unwrap();
    assert!(model.predict_rows(&[]).unwrap().is_empty());
    println!("{}", model.predict(&Row::default()).unwrap_err());
    println!("{}", Facade::load(std::fs::read("other.json").unwrap()).err().unwrap());
}
""",
    "go": """//go:build ignore

package main

import (
	"errors"
	"fmt"
	"os"

	"modelport"
)

func main() {
	document, _ := os.ReadFile("model.json")
	other, _ := os.ReadFile("other.json")
	model, err := modelport.LoadModelFacade(document)
	if err != nil {
		os.Exit(9)
	}
	if none, err := model.PredictRows(nil); err != nil || len(none) != 0 {
		os.Exit(9)
	}
	var refused *modelport.Refused
	if _, err := model.Predict(modelport.ModelFacadeRow{}); errors.As(err, &refused) {
		fmt.Println(err)
	}
	if _, err := modelport.LoadModelFacade(other); errors.As(err, &refused) {
		fmt.Println(err)
	}
}
""",
}


def one_number(name: str) -> bytes:
    step = {"op": "scale", "in": [name], "out": "y", "mul": [2]}
    return document([{"name": name, "dtype": "f64", "shape": []}], [step], {name: [3.0]}, 6.0)


def test_a_row_that_is_not_filled_in_and_another_model_are_refused(language: str, tmp_path: Path, libraries: Path) -> None:
    folder = written(tmp_path, language, one_number("x"))
    (folder / "other.json").write_bytes(one_number("z"))
    endings = {"python": "asking.py", "javascript": "asking.mjs", "java": "Asking.java", "csharp": "Asking.cs"}
    endings |= {"c": "asking.c", "go": "asking.go", "rust": "asking.rs"}
    (folder / endings[language]).write_text(PROGRAMS[language], encoding="utf-8")
    row, other = ran(language, folder, libraries, "asking").splitlines()
    assert "missing" in row or "lacks the field x" in row
    assert "other inputs or outputs" in other


def test_a_facade_is_fully_typed(tmp_path: Path, need_module: Callable[[str, str], None]) -> None:
    folder = written(tmp_path, "python", (MODELS / "sklearn/mixed_pipeline/model.json").read_bytes())
    need_module("mypy", "mypy")
    options = ["--strict", "--python-version", "3.10", "--cache-dir", str(tmp_path / "cache"), "--follow-imports", "silent"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "model_facade.py", "example.py"], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


#: a program that uses all that the declarations of a facade in JavaScript have
TYPED = """import {{ readFileSync }} from "node:fs";
import * as facade from "./model_facade.mjs";

const row: facade.Row = {row};
const model: facade.Model = facade.load(readFileSync("model.json"));
const answer: facade.Answer = model.predict(row), answers: facade.Answer[] = model.predict([row]);
const words: ReadonlyArray<ReadonlyArray<string | number | bigint | boolean>> = [{constants}];
console.log(answer, answers.length, words.length);
// @ts-expect-error: a row has fields
model.predict({{}});
// @ts-expect-error: a model comes from load
new facade.Model();
"""


@pytest.mark.xdist_group("tsc")
def test_a_facade_in_javascript_is_fully_typed(tmp_path: Path, tsc: Callable[..., None]) -> None:
    (tmp_path / "node.d.ts").write_text(
        'declare module "node:fs" {\n  export function readFileSync(path: string): Uint8Array;\n}\n'
    )
    made = [(MODELS / name / "model.json").read_bytes() for name in FIXTURES] + [MADE[name]() for name in MADE if name != "wide"]
    programs = []
    for k, data in enumerate(made):
        (tmp_path / str(k)).mkdir()
        folder = written(tmp_path / str(k), "javascript", data)
        types = (folder / "model_facade.d.mts").read_text(encoding="utf-8")
        row = re.search(
            r"^const row = (\{.*?^\});$", (folder / "example.mjs").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
        )
        assert row is not None
        constants = ", ".join(f"facade.{name}" for name in re.findall(r"^export const (\w+):", types, re.MULTILINE))
        programs.append(folder / "asking.mts")
        programs[-1].write_text(TYPED.format(row=row[1], constants=constants), encoding="utf-8")
    tsc(tmp_path, "--noEmit", "node.d.ts", *map(str, programs))


# --- what is copied, and what is refused --------------------------------------------------------------------------------------


def stub_of(language: str) -> Stub:
    stub = find_stub(language)
    assert stub is not None
    return stub


@pytest.mark.parametrize(
    ("ops", "suffixes"),
    [
        (["scale", "linear"], []),
        (["scale", "knn", "pairwise"], ["more"]),
        (["hash_terms"], ["more"]),
        (["conv"], ["nn"]),
        (["nmf", "conv"], ["more", "nn"]),
    ],
)
def test_only_the_files_that_a_model_needs_are_copied(ops: list[str], suffixes: list[str]) -> None:
    for stub in map(stub_of, LANGUAGES):
        taken = library_for(stub, ops)
        assert [file for file in stub.library if file not in stub.further] == [file for file in taken if file not in stub.further]
        further = {Path(file).stem.lower().replace("_", "").replace("stub", "") for file in taken if file in stub.further}
        assert further == {f"modelport{suffix}" for suffix in suffixes}, stub.name
    assert "modelport_more.c" in library_for(stub_of("c"), ["poly"])
    assert "modelport_more.js" in library_for(stub_of("javascript"), ["poly"])
    assert "ModelportMore.java" in library_for(stub_of("java"), ["bucketize"])


def test_an_op_that_the_stub_does_not_have_is_named() -> None:
    small = Stub("small", Path(), profiles=("tabular",), library=("a", "b"), further={"b": ("knn",)})
    assert library_for(small, ["scale"]) == ["a"]
    assert library_for(small, ["knn"]) == ["a", "b"]
    with pytest.raises(Unsupported, match=r"small stub .* lacks conv\."):
        library_for(small, ["scale", "conv"])


def test_what_a_facade_cannot_do_is_one_sentence(tmp_path: Path) -> None:
    python, iris = stub_of("python"), Artifact.open(MODELS / "sklearn/iris_logistic/model.json")
    with pytest.raises(Unsupported, match=r"Input 'x' has a length that is known only when rows come \('time'\)"):
        facade_files(python, Artifact.open(MODELS / "torch/gru/model.json"), "model.json")
    with pytest.raises(Unsupported, match=r"a facade has at most 16,384"):
        facade_files(python, Artifact.of(summed([f"c{k}" for k in range(17_000)])), "model.json")
    with pytest.raises(Unsupported, match=r"has 501 characters"):
        facade_files(python, Artifact.of(summed(["y" * 501])), "model.json")
    with pytest.raises(UsageError, match=r"called 'Example.PY', as a file of the python facade is"):
        facade_files(python, iris, "Example.PY")
    with pytest.raises(UsageError, match=r"The stub 'plain' brings no facade: leave out --for"):
        facade_files(Stub("plain", tmp_path, run=("x",)), iris, "model.json")
    with pytest.raises(PluginError, match=r"no_such_module"):
        facade_files(Stub("odd", tmp_path, run=("x",), facade="no_such_module"), iris, "model.json")
    with pytest.raises(Unsupported, match=r"reads onnx, not json"):
        facade_files(Stub("other", tmp_path, run=("x",), format="onnx", facade="x"), iris, "model.json")


@pytest.mark.parametrize(("name", "code"), [("liars/" + "x", 64), ("nothing.json", 64)])
def test_an_artifact_that_is_not_there(name: str, code: int, tmp_path: Path) -> None:
    assert main(["stub", "python", "-o", str(tmp_path / "out"), "--for", str(tmp_path / name)]) == code
    assert not (tmp_path / "out").exists()


def test_an_artifact_that_lies_or_carries_nothing_gets_no_facade(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = json.loads(one_number("x"))
    said["verification"]["outputs"]["y"] = [7.0]
    (tmp_path / "liar.json").write_text(json.dumps(said))
    assert main(["stub", "python", "-o", str(tmp_path / "out"), "--for", str(tmp_path / "liar.json")]) == 1
    del said["verification"]
    (tmp_path / "bare.json").write_text(json.dumps(said))
    assert main(["stub", "python", "-o", str(tmp_path / "out"), "--for", str(tmp_path / "bare.json")]) == 2
    assert not (tmp_path / "out").exists()
    capsys.readouterr()


@pytest.mark.parametrize(
    "name", ["odd name; rm -rf.json", "class.json", "mp.json", "größe 2.json", 'q"\\u0022.json', "2024-v1.json"]
)
def test_an_artifact_of_any_name(name: str, tmp_path: Path, libraries: Path) -> None:
    folder = written(tmp_path, "python", one_number("x"), name)
    assert "same answers" in ran_python(folder, libraries, "example")
    for language in LANGUAGES:
        files = facade_files(stub_of(language), Artifact.of(one_number("x")), name)
        assert all(file == name or (file.isascii() and " " not in file) for file in files)
        if language in ("c", "javascript") and toolchain_problem(stub_of(language)) is None:
            shutil.rmtree(tmp_path / "again", ignore_errors=True)
            (tmp_path / "again").mkdir()
            for file, data in files.items():
                (tmp_path / "again" / file).write_bytes(data)
            assert "same answers" in ran(language, tmp_path / "again", libraries)


# --- names --------------------------------------------------------------------------------------------------------------------


def test_identifiers_are_different_words_whatever_the_names() -> None:
    for style in ("snake", "camel"):
        found = identifiers([*HOSTILE, *(f"{'long ' * 30}{k}" for k in range(1000))], style, {"class", "def"})
        assert len(set(found)) == len(found)
        assert all(word.isidentifier() and word.isascii() and len(word) <= 63 and word[0].isalpha() for word in found)
        assert not {"class", "def"} & set(found)


def test_a_name_in_a_comment_ends_nothing() -> None:
    for name in HOSTILE:
        assert not set(shown(name)) & set("*/\\\n\r\"'`<@$")
