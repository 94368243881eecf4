"""The Rust stub as a library: the example of its README, rows and columns, kinds of errors, threads, hostile files."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import replays

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
mod modelport_more;
mod modelport_nn;
use modelport::{Error, Limits, Model, Tensor, Value};

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
    let record = |d: Value| [("a", Value::from(1.0)), ("b", Value::from(2i64)), ("d", d), ("c", Value::from(Some(3.0)))];
    let scores = |outputs: modelport::Outputs| outputs.get("score").unwrap().floats().unwrap().to_vec();
    assert_eq!(scores(model.predict_records(&[record(true.into()), record(0.5.into())]).unwrap()), [18.5, 16.5]);
    assert_eq!(scores(model.predict_records::<[(&str, Value); 4]>(&[]).unwrap()), [0.0; 0]);
    let refused = |found: Result<modelport::Outputs, Error>| if let Err(Error::Refused(s)) = found { s } else { String::new() };
    assert!(refused(model.predict_records(&[record(Value::Missing)])).contains("missing value in row 0"));
    assert!(refused(model.predict_records(&[record("x".into())])).contains("The field"));
    assert!(refused(model.predict_records(&[&record(true.into())[..], &[]])).contains("Record 1"));
    assert!(refused(model.predict_records(&[[("e", Value::from(1.0))]])).contains("have the field"));
    let text = std::fs::read_to_string("model.json").unwrap();
    assert_eq!(scores(Model::load(&text).unwrap().predict(&columns).unwrap()), [18.5]);
    let streamed = Model::load_from(std::fs::File::open("model.json").unwrap(), &[]).unwrap();
    assert_eq!(scores(streamed.predict(&columns).unwrap()), [18.5]);

    // However many threads there are, a large batch has the answers of its rows, and the first row that is refused is named.
    let mut many: Vec<[f64; 4]> = (0..9001).map(|k| [f64::from(k), 0.5, 0.25, 1.0]).collect();
    let expected: Vec<f64> = many.iter().map(|row| row[0] + 6.25).collect();
    for threads in [1, 2, 3, 16] {
        let model = Model::open(&text, &[], &Limits { threads, ..Limits::default() }).unwrap();
        assert_eq!(scores(model.predict_rows(&many).unwrap()), expected);
    }
    let parted = r#"{"op": "take", "in": ["i"], "out": "y", "table": [1, 2]}"#;
    let parted = r#"{"format": "modelport", "version": "1.0", "requires": ["take"],
        "inputs": [{"name": "i", "dtype": "i64", "shape": []}],
        "steps": [STEP], "outputs": [{"name": "y", "from": "y", "dtype": "f64", "role": "score"}]}"#.replace("STEP", parted);
    let parted = Model::open(&parted, &[], &Limits { threads: 3, ..Limits::default() }).unwrap();
    let mut index = vec![0i64; 9001];
    for row in [8000, 7000, 2500] {
        index[row] = 2;
        let error = parted.predict(&[("i", Tensor::from(index.clone()))]).unwrap_err();
        assert!(error.to_string().contains(&format!("refuses row {}:", row)), "{}", error);
    }
    many.truncate(0);
    assert_eq!(scores(model.predict_rows(&many).unwrap()), [0.0; 0]);

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

    // With a limit for the operations of a replay: what a document says when it is opened, and when its rows are replayed.
    for line in std::fs::read_to_string("cases.txt").unwrap().lines() {
        let (name, work) = line.split_once(' ').unwrap();
        let limits = Limits { work: work.parse().unwrap(), ..Limits::default() };
        match Model::open(&read(name), &[&modelport_more::OPS, &modelport_nn::OPS], &limits) {
            Err(Error::Refused(s)) => println!("2 {}\\n2 {}", s, s),
            Err(e) => panic!("{}", e),
            Ok(model) => {
                assert!(model.verify().unwrap().iter().all(|check| check.passed));
                println!("0\\n0");
            }
        }
    }
}
"""


@pytest.fixture
def run(tmp_path: Path, need_program: Callable[[str, str], None]) -> Callable[[str], str]:
    """What a program beside the stub's library prints."""
    need_program("rust", "rustc")

    def built(program: str) -> str:
        for name in ("modelport.rs", "modelport_fast.rs", "modelport_more.rs", "modelport_nn.rs"):
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
    written = replays.write(tmp_path)
    begin, said = run(PROGRAM).split("\n", 1)
    assert begin == "done"
    replays.check(said, written)


def test_the_quick_start_of_the_readme_runs(tmp_path: Path, run: Callable[[str], str]) -> None:
    found = re.search(r"```rust\n(.*?)```", (FOLDER / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    (tmp_path / "model.json").write_text(json.dumps(MODEL), encoding="utf-8")
    said = run(found[1])
    assert said.startswith("X f64 [Length(4)]\n")
    answers = json.loads(said.partition("\n")[2])["outputs"]["score"]["data"]
    assert answers == pytest.approx([5.1 + 7.0 + 4.2 + 0.8 + 0.5, 6.2 + 5.8 + 12.9 + 5.2 + 0.5])


#: asks every model of a list with and without modelport_fast.rs: batches of several sizes
TWICE = """
mod modelport;
mod modelport_fast;
mod modelport_more;
use modelport::{Limits, Model, Tensor};

fn main() {
    let mut state = 1u64;
    let mut random = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as f64 / (1u64 << 31) as f64
    };
    for path in std::fs::read_to_string("models.txt").unwrap().lines() {
        let bytes = std::fs::read(path).unwrap();
        let limits = Limits { threads: 1, ..Limits::default() };
        let plain = Model::open(&bytes, &[&modelport_more::OPS], &limits).unwrap();
        let fast = Model::open(&bytes, &[&modelport_fast::OPS, &modelport_more::OPS], &limits).unwrap();
        assert!(plain.verify().unwrap().iter().chain(&fast.verify().unwrap()).all(|check| check.passed), "{}", path);
        let input = &plain.inputs()[0];
        let width: usize = input.shape[0].to_string().parse().unwrap();
        let special = [0.0, -0.0, 1e300, -1e300, 0.1, 0.5, 1.0, 3.0];
        for n in [0, 1, 5, 7, 8, 9, 63, 64, 65, 127, 129, 1000] {
            let missing = if input.missing == "error" { 0.0 } else { 0.05 };
            let x: Vec<f64> = (0..n * width)
                .map(|k| match random() {
                    u if u < missing => f64::NAN,
                    u if u < 0.3 => special[k % 8],
                    u => (u - 0.5) * 20.0,
                })
                .collect();
            let answer = |model: &Model| {
                format!("{:?}", model.predict_tensor(Tensor::from(x.clone()).shaped(&[n, width]).unwrap()))
            };
            assert_eq!(answer(&plain), answer(&fast), "{} {}", path, n);
        }
    }
    println!("the same");
}
"""


def forest(leaves: int, dtype: str, cmp: str, missing: str, width: int, by_class: bool) -> dict[str, object]:
    """A model of random trees in preorder, with thresholds that rows may equal; what it carries proves nothing."""
    rng = random.Random(f"{leaves}{dtype}{cmp}{missing}{width}{by_class}")
    start, feature, right, threshold = [], [], [], []

    def grow(count: int, top: int) -> None:
        if count == 1:
            feature.append(-1)
            return
        feature.append(rng.randrange(4))
        threshold.append(rng.choice([0.0, -0.0, 0.5, 1.0, 3.0, "Infinity", "-Infinity", rng.uniform(-9, 9)]))
        at = len(right)
        right.append(0)
        left = rng.randint(1, count - 1)
        grow(left, top)
        right[at] = len(feature) - top
        grow(count - left, top)

    trees = 11
    for _ in range(trees):
        start.append(len(feature))
        grow(rng.randint(1, leaves), start[-1])
    step = {
        "op": "tree_ensemble",
        "in": ["X"],
        "out": "y",
        "dtype": dtype,
        "cmp": cmp,
        "missing": missing,
        "start": start,
        "feature": feature,
        "right": right,
        "threshold": threshold,
        "leaf": [rng.uniform(-1, 1) for _ in range(feature.count(-1) * width)],
        **({"class": [rng.randrange(3) for _ in start], "size": 3} if by_class else {"leaf_width": width}),
        **({"missing_left": [rng.randrange(2) for _ in right]} if missing == "node" else {}),
    }
    taken = "nan" if missing != "error" else "error"
    vectors = {
        "source": "synthetic",
        "inputs": {"X": [[0.0, 0.5, 1.0, -3.0]]},
        "outputs": {"y": [[0.0] * (3 if by_class else width)]},
        "tolerance": {"y": {"atol": 100, "rtol": 0}},
    }
    return {
        **MODEL,
        "requires": ["tree_ensemble"],
        "inputs": [{"name": "X", "dtype": "f64", "shape": [4], "missing": taken}],
        "steps": [step],
        "outputs": [{"name": "y", "from": "y", "dtype": "f64", "role": "score"}],
        "verification": vectors,
    }


def test_the_fast_ops_have_the_bits_of_the_plain_ones(tmp_path: Path, run: Callable[[str], str]) -> None:
    paths = []
    for leaves in (3, 30, 60, 200):
        for dtype, cmp, missing, width, by_class in [
            ("f32", "le", "error", 1, False),
            ("f64", "lt", "node", 3, False),
            ("f32", "lt", "left", 1, True),
            ("f64", "le", "right", 1, False),
        ]:
            paths.append(tmp_path / f"{leaves}-{dtype}-{cmp}.json")
            paths[-1].write_text(json.dumps(forest(leaves, dtype, cmp, missing, width, by_class)))
    for path in sorted((data_folder("fixtures") / "models" / "sklearn").glob("*/model.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        (first, *others) = document["inputs"]
        ops = {"tree_ensemble", "linear"} & set(document["requires"])
        if ops and not others and first["dtype"] in ("f64", "f32") and isinstance(first["shape"][0], int):
            paths.append(path)
    assert len(paths) > 25
    (tmp_path / "models.txt").write_text("\n".join(map(str, paths)), encoding="utf-8")
    assert run(TWICE) == "the same\n"


@pytest.mark.parametrize("name", ["modelport.rs", "modelport_fast.rs", "modelport_more.rs", "modelport_nn.rs", "main.rs"])
def test_unsafe_code_is_forbidden(name: str) -> None:
    assert "#![forbid(unsafe_code)]" in (FOLDER / name).read_text(encoding="utf-8")
