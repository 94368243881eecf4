"""The Rust stub as a library: the example of its README, rows and columns, kinds of errors, threads, hostile files."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from modelport.stubs import data_folder

FOLDER = data_folder("stubs") / "rust"
MODEL = {
    "format": "modelport",
    "version": "1.0",
    "requires": ["linear"],
    "inputs": [{"name": "X", "dtype": "f64", "shape": [4], "features": ["a", "b", "c", "d"]}],
    "steps": [{"op": "linear", "in": ["X"], "out": "y", "weight": [[1, 2, 3, 4]], "bias": [0.5]}],
    "outputs": [{"name": "score", "from": "y", "dtype": "f64", "role": "score"}],
    "verification": {
        "source": "synthetic",
        "inputs": {"X": [[1, 1, 1, 1]]},
        "outputs": {"score": [[10.5]]},
        "tolerance": {"score": {"atol": 1e-12, "rtol": 1e-12}},
    },
}
PROGRAM = """
mod modelport;
mod modelport_nn;
use modelport::{Error, Limits, Model, Tensor};

fn immutable<T: Send + Sync>(_: &T) {}

fn main() {
    let read = |name: &str| std::fs::read(name).unwrap();
    let model = Model::load(&read("model.json")).unwrap();
    immutable(&model);
    let rows: Vec<Vec<f64>> = (0..100).map(|k| vec![f64::from(k), 0.0, 1.0, 2.0]).collect();
    let expected: Vec<f64> = (0..100).map(|k| f64::from(k) + 11.5).collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let outputs = model.predict_rows(&rows).unwrap();
                    assert_eq!(outputs.get("score").unwrap().floats().unwrap(), expected);
                }
            });
        }
    });
    let column = |name, v: f64| (name, Tensor::from(vec![v]));
    let columns = [column("a", 1.0), column("b", 2.0), ("c", Tensor::from(vec![3i64])), ("d", Tensor::from(vec![true]))];
    assert_eq!(model.predict(&columns).unwrap().get("score").unwrap().floats(), Some(&[18.5][..]));
    assert_eq!(model.inputs()[0].features.as_ref().unwrap()[3], "d");
    assert!(model.verify().unwrap().iter().all(|check| check.passed));

    assert!(matches!(model.predict(&columns[..3]), Err(Error::Refused(s)) if s.contains("\\"d\\"")));
    assert!(matches!(model.predict_rows(&[[1.0, f64::NAN, 0.0, 0.0]]), Err(Error::Refused(s)) if s.contains("missing value")));
    assert!(matches!(model.predict_rows(&[[1.0]]), Err(Error::Refused(_))));
    assert!(matches!(Model::load(&read("liar.json")), Err(Error::Mismatch(s)) if s.contains("score")));
    let nn = read("nn.json");
    assert!(matches!(Model::load(&nn), Err(Error::Unsupported(s)) if s.contains("activation")));
    assert!(matches!(Model::load(&read("bare.json")), Err(Error::Refused(_))));
    let relu = Model::open(&nn, &[&modelport_nn::OPS], &Limits::default()).unwrap();
    assert_eq!(relu.predict_rows(&[[-1.0, 2.0]]).unwrap().get("score").unwrap().floats(), Some(&[-0.25, 2.0][..]));
    let small = Limits { memory: 1000, ..Limits::default() };
    let error: Box<dyn std::error::Error> = Box::new(Model::open(&nn, &[&modelport_nn::OPS], &small).unwrap_err());
    assert!(error.to_string().contains("memory"));

    // Whatever is cut or changed, there is an answer or an error, and no panic.
    let good = read("model.json");
    for k in 0..good.len() {
        let _ = Model::load(&good[..k]);
        for byte in [b'0', b'-', b'9', b'"', b'[', b'{', b'\\\\', 0xff] {
            let mut changed = good.clone();
            changed[k] = byte;
            let _ = Model::load(&changed);
        }
    }
    println!("done");
}
"""


@pytest.fixture
def run(tmp_path: Path, need_program: Callable[[str, str], None]) -> Callable[[str], str]:
    """What a program beside the stub's library prints."""
    need_program("rust", "rustc")

    def built(program: str) -> str:
        for name in ("modelport.rs", "modelport_nn.rs"):
            shutil.copy(FOLDER / name, tmp_path)
        (tmp_path / "main.rs").write_text(program, encoding="utf-8")
        flags = ["-C", "overflow-checks=on", "-D", "warnings", "-A", "dead-code"]
        command = ["rustc", "-O", "--edition", "2021", *flags, "-o", str(tmp_path / "main"), str(tmp_path / "main.rs")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        done = subprocess.run([str(tmp_path / "main")], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return built


def test_the_library_answers_in_threads_and_tells_errors_apart(tmp_path: Path, run: Callable[[str], str]) -> None:
    def write(name: str, document: object) -> None:
        (tmp_path / name).write_text(json.dumps(document), encoding="utf-8")

    nn = {
        **MODEL,
        "version": "1.1",
        "requires": ["activation"],
        "inputs": [{"name": "X", "dtype": "f64", "shape": [2]}],
        "steps": [{"op": "activation", "in": ["X"], "out": "y", "fn": "leaky_relu", "alpha": 0.25}],
    }
    del nn["verification"]
    bare = {key: value for key, value in MODEL.items() if key != "verification"}
    liar = json.loads(json.dumps(MODEL).replace("10.5", "10.25"))
    for name, document in {"model": MODEL, "nn": nn, "bare": bare, "liar": liar}.items():
        write(f"{name}.json", document)
    assert run(PROGRAM) == "done\n"


def test_the_quick_start_of_the_readme_runs(tmp_path: Path, run: Callable[[str], str]) -> None:
    found = re.search(r"```rust\n(.*?)```", (FOLDER / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    (tmp_path / "model.json").write_text(json.dumps(MODEL), encoding="utf-8")
    said = run(found[1])
    assert said.startswith("X f64 [Length(4)]\n")
    answers = json.loads(said.partition("\n")[2])["outputs"]["score"]["data"]
    assert answers == pytest.approx([5.1 + 7.0 + 4.2 + 0.8 + 0.5, 6.2 + 5.8 + 12.9 + 5.2 + 0.5])


@pytest.mark.parametrize("name", ["modelport.rs", "modelport_more.rs", "modelport_nn.rs", "main.rs"])
def test_unsafe_code_is_forbidden(name: str) -> None:
    assert "#![forbid(unsafe_code)]" in (FOLDER / name).read_text(encoding="utf-8")
