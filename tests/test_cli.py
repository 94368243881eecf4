"""The command line: exit codes, one sentence per error, no traceback, no half-written file."""

from __future__ import annotations

import csv
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import joblib
import languages
import numpy as np
import pytest

import modelport
from modelport.cli import main

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def folder(iris, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with model.joblib, rows.csv and rows.parquet."""
    X, _, model = iris
    monkeypatch.chdir(tmp_path)
    joblib.dump(model, "model.joblib")
    X.to_csv("rows.csv", index=False)
    X.to_parquet("rows.parquet")
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        code = main(list(arguments))
    except SystemExit as exit_:
        code = int(exit_.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def sentence(err: str) -> str:
    """The one line an error is; below it stands where to read more, but for what has no class of errors."""
    lines = err.strip().splitlines()
    assert len(lines) == 1 or (len(lines) == 2 and lines[1].startswith("  see https://")), err
    assert "Traceback" not in err
    assert "unexpected" not in err
    return lines[0]


def test_convert_verify_predict_inspect(folder: Path, iris, capsys: pytest.CaptureFixture[str]) -> None:
    X, _, model = iris
    code, out, err = run(capsys, "convert", "model.joblib", "--to", "json", "--sample", "rows.csv", "-o", "model.json", "--trust")
    assert (code, err) == (0, "")
    assert "PASSED" in out
    assert run(capsys, "verify", "model.json")[0] == 0
    code, out, _ = run(capsys, "verify", "model.json", "--model", "model.joblib", "--sample", "rows.parquet", "--trust", "--json")
    assert code == 0
    assert json.loads(out)["passed"] is True
    assert run(capsys, "predict", "model.json", "rows.csv", "-o", "out.csv")[0] == 0
    with open("out.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [r["label"] for r in rows] == model.predict(X).tolist()
    np.testing.assert_allclose(
        [float(r["probability[setosa]"]) for r in rows], model.predict_proba(X)[:, 0], rtol=1e-12, atol=1e-14
    )
    code, out, _ = run(capsys, "inspect", "model.json")
    assert code == 0
    assert "Pipeline(StandardScaler, LogisticRegression)" in out
    code, out, _ = run(capsys, "inspect", "model.json", "--json")
    assert json.loads(out)["vectors"]["rows"] >= 8


def test_a_pickle_needs_trust(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for dump in (joblib.dump, lambda m, p: Path(p).write_bytes(pickle.dumps(m))):
        dump(joblib.load("model.joblib"), "again.pkl")
        code, _, err = run(capsys, "convert", "again.pkl", "--to", "json", "--sample", "rows.csv")
        assert code == 2
        assert "--trust" in sentence(err)


def test_a_hostile_pickle_does_not_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Evil:
        def __reduce__(self) -> tuple:
            return os.mkdir, ("ran",)

    Path("evil.pkl").write_bytes(pickle.dumps(Evil()))
    assert run(capsys, "convert", "evil.pkl", "--to", "json", "--sample", "rows.csv")[0] == 2
    assert not Path("ran").exists()


def test_skops_needs_no_trust_for_safe_types(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from skops import io

    io.dump(joblib.load("model.joblib"), "model.skops")
    assert run(capsys, "convert", "model.skops", "--sample", "rows.csv", "-o", "model.json")[0] == 0
    io.dump({"model": joblib.load("model.joblib"), "other": np.random.default_rng}, "odd.skops")
    code, _, err = run(capsys, "convert", "odd.skops", "--sample", "rows.csv", "-o", "odd.json")
    assert code == 2
    assert sentence(err)


def test_several_formats_at_once(folder: Path, capsys: pytest.CaptureFixture[str], need_module) -> None:  # type: ignore[no-untyped-def]
    need_module("onnxruntime", "onnxruntime")
    code, _, err = run(
        capsys,
        "convert",
        "model.joblib",
        "--to",
        "json",
        "--to",
        "onnx",
        "--to",
        "pmml",
        "--sample",
        "rows.csv",
        "-o",
        "m.json",
        "--trust",
    )
    assert (code, err) == (0, "")
    for suffix in ("json", "onnx", "pmml"):
        assert run(capsys, "verify", f"m.{suffix}")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["convert", "nowhere.joblib", "--to", "json", "--sample", "rows.csv"], 64, "no file 'nowhere.joblib'"),
        (["convert", "model.joblib", "--to", "json", "--sample", "nowhere.csv", "--trust"], 64, "no file 'nowhere.csv'"),
        (["convert", "model.joblib", "--to", "cobol", "--sample", "rows.csv", "--trust"], 64, "no writer called 'cobol'"),
        (["convert", "model.joblib", "--sample", "rows.csv", "--trust"], 64, "--to FORMAT"),
        (["convert", "empty.bin", "--to", "json", "--sample", "rows.csv", "--trust"], 2, "is empty"),
        (["convert", "half.joblib", "--to", "json", "--sample", "rows.csv", "--trust"], 2, "truncated"),
        (["convert", "text.txt", "--to", "json", "--sample", "rows.csv", "--trust"], 2, "no model file"),
        (["convert", "number.pkl", "--to", "json", "--sample", "rows.csv", "--trust"], 3, "No reader knows"),
        (["convert", "model.joblib", "--to", "json", "--sample", "three.csv", "--trust"], 2, "3 columns"),
        (["convert", "model.joblib", "--to", "json", "--sample", "empty.bin", "--trust"], 2, "is empty"),
        (["convert", "model.joblib", "--to", "json", "--sample", "header.csv", "--trust"], 2, "no rows"),
        (["convert", "model.joblib", "--to", "json", "--sample", "broken.parquet", "--trust"], 2, "truncated"),
        (["verify", "nowhere.json"], 64, "no file"),
        (["verify", "empty.bin"], 2, "is empty"),
        (["verify", "half.json"], 2, "not JSON"),
        (["verify", "text.txt"], 2, "no artifact"),
        (["verify", "bit.json"], 1, ""),
        (["predict", "bit.json", "rows.csv"], 1, "does not answer as the original"),
        (["predict", "model.json", "three.csv"], 2, "is missing"),
        (["inspect", "half.json"], 2, "not JSON"),
        (["verify", "model.json", "--model", "model.joblib"], 64, "go together"),
        (["stub", "cobol", "-o", "out"], 64, "no stub 'cobol'"),
        (["stub", "javascript", "-o", "rows.csv"], 2, "rows.csv"),
        (["convert", ".", "--to", "json", "--sample", "rows.csv", "--trust"], 64, "Is a directory"),
        (["convert", "model.json", "--to", "onnx", "--sample", "rows.csv", "--trust"], 2, "looks like json"),
        (["convert", "rows.parquet", "--to", "json", "--sample", "rows.csv", "--trust"], 2, "no model file"),
        (["convert", "model.joblib", "--to", "json", "--sample", "semicolons.csv", "--trust"], 2, "by commas"),
        (["convert", "model.joblib", "--to", "json", "--sample", "model.joblib", "--trust"], 2, "UTF-8"),
        (
            ["convert", "model.joblib", "--to", "json", "--sample", "rows.csv", "--trust", "-o", "nowhere/m"],
            64,
            "no folder 'nowhere'",
        ),
        (["convert", "model.joblib", "--to", "json", "--sample", "rows.csv", "--trust", "-o", "."], 64, "no name of a file"),
        (["convert", "model.joblib", "--to", "json", "--sample", "rows.csv", "--trust", "-o", "-"], 64, "no name of a file"),
        (["convert", "model.joblib", "--to", "json", "--sample", "rows.csv", "--trust", "-o", "m.onnx"], 64, "contradicts"),
        (
            ["convert", "model.joblib", "--to", "onnx", "--sample", "rows.csv", "--trust", "--compact"],
            64,
            "--compact is an option of json",
        ),
        (
            ["convert", "model.joblib", "--to", "json", "--sample", "rows.csv", "--trust", "--target", "x"],
            64,
            "--target is an option of onnx",
        ),
        (["convert", "model.joblib", "--to", "json", "--sample", "rows.csv", "--trust", "--name", "\udcff"], 64, "no text"),
        (
            ["convert", "model.joblib", "--to", "json", "--to", "pmml", "--sample", "rows.csv", "--trust", "--name", "\x01"],
            3,
            "XML",
        ),
        (["verify", "model.joblib"], 2, "convert it first"),
        (["inspect", "rows.csv"], 2, "no artifact"),
        (["predict", "rows.csv", "model.json"], 2, "no artifact"),
        (["predict", "model.json", "rows.csv", "-o", "nowhere/m"], 64, "no folder 'nowhere'"),
        (["predict", "model.json", "rows.csv", "-o", "."], 64, "no name of a file"),
    ],
)
def test_bad_input_is_one_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    run(capsys, "convert", "model.joblib", "--sample", "rows.csv", "-o", "model.json", "--trust")
    good = Path("model.json").read_text()
    Path("half.json").write_text(good[: len(good) // 2])
    place = good.index('"weight":[[') + len('"weight":[[') + 4
    Path("bit.json").write_text(good[:place] + ("1" if good[place] != "1" else "2") + good[place + 1 :])
    Path("empty.bin").write_bytes(b"")
    Path("text.txt").write_text("just words\n")
    Path("half.joblib").write_bytes(Path("model.joblib").read_bytes()[:200])
    Path("number.pkl").write_bytes(pickle.dumps(3.5))
    Path("three.csv").write_text("a,b,c\n1,2,3\n")
    Path("semicolons.csv").write_text("a;b;c\n1;2;3\n")
    Path("header.csv").write_text(Path("rows.csv").read_text().splitlines()[0] + "\n")
    Path("broken.parquet").write_bytes(Path("rows.parquet").read_bytes()[4:200])
    before = {p.name for p in folder.iterdir()}
    got, out, err = run(capsys, *arguments)
    assert got == code, (out, err)
    if words:
        assert words in sentence(err)
    else:
        assert "MISMATCH" in out
    assert {p.name for p in folder.iterdir()} == before


def test_usage_errors_exit_with_64(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["fly"], ["convert"], ["verify", "a", "--colour"]):
        code, _, err = run(capsys, *arguments)
        assert code == 64
        assert "Traceback" not in err


def test_a_lambda_is_refused_with_what_to_do(folder: Path, capsys: pytest.CaptureFixture[str], iris) -> None:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    import modelport
    from modelport.errors import UnsupportedModel

    X, labels, model = iris
    odd = make_pipeline(FunctionTransformer(lambda rows: rows * 2), model[-1]).fit(X, labels)
    with pytest.raises(UnsupportedModel, match="FunctionTransformer"):
        modelport.convert(odd, "json", sample=X)


def test_a_full_disk_leaves_nothing(folder: Path) -> None:
    """/dev/full refuses every byte; a file-size limit stops the write half-way."""
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from modelport.cli import main\n"
        "import sklearn.pipeline, pandas, scipy.stats\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "sys.exit(main(['convert', 'model.joblib', '--sample', 'rows.csv', '-o', 'model.json', '--trust']))\n"
    )
    before = sorted(folder.iterdir())
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "nothing was left behind" in sentence(done.stderr)
    assert sorted(folder.iterdir()) == before


def shell(line: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A shell line in which $modelport is the command line."""
    environment = {**os.environ, "modelport": f"{sys.executable} -m modelport.cli", **variables}
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"], capture_output=True, text=True, check=False, env=environment, encoding="utf-8"
    )


def test_standard_output_that_cannot_be_written_to(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "convert", "model.joblib", "--sample", "rows.csv", "-o", "model.json", "--trust")
    for command in ("inspect model.json", "predict model.json rows.csv"):
        done = shell(f"$modelport {command} > /dev/full")
        assert done.returncode == 2
        assert "No space left" in sentence(done.stderr)
        done = shell(f"$modelport {command} | head -n 1")
        assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)
        done = shell(f"$modelport {command} >&-")
        assert (done.returncode, done.stderr) == (0, "")


def test_rows_through_pipes(folder: Path, capsys: pytest.CaptureFixture[str], iris) -> None:  # type: ignore[no-untyped-def]
    run(capsys, "convert", "model.joblib", "--sample", "rows.csv", "-o", "model.json", "--trust")
    done = shell("gzip -c rows.csv | $modelport predict model.json /dev/stdin -o - | cut -d, -f1 | tail -n +2")
    assert done.stdout.split() == iris[2].predict(iris[0]).tolist()


def test_names_in_other_scripts_on_a_plain_terminal(folder: Path, capsys: pytest.CaptureFixture[str], iris) -> None:  # type: ignore[no-untyped-def]
    """What the terminal cannot show is shown escaped; answers are data and stay UTF-8."""
    from sklearn.linear_model import LogisticRegression

    X, labels, _ = iris
    joblib.dump(LogisticRegression(max_iter=500).fit(X, ["größe" if v == "setosa" else "模型" for v in labels]), "模型.joblib")
    done = shell("$modelport convert 模型.joblib --trust --sample rows.csv -o größe.json", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert r"gr\xf6\xdfe.json" in done.stdout
    done = shell("$modelport inspect größe.json --json", PYTHONIOENCODING="ascii")
    assert json.loads(done.stdout)["outputs"][1]["classes"] == ["größe", "模型"]
    done = shell("$modelport predict größe.json rows.csv", PYTHONIOENCODING="ascii")
    assert done.stdout.splitlines()[0] == "label,probability[größe],probability[模型]"
    done = shell("$modelport inspect $'\\xff.json'")
    assert done.returncode == 64
    assert sentence(done.stderr)


def test_control_characters_of_an_artifact_do_not_reach_the_terminal(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "convert", "model.joblib", "--sample", "rows.csv", "-o", "model.json", "--trust")
    document = json.loads(Path("model.json").read_text())
    document["provenance"]["model"] = "\x1b[2Jharmless\u202e"
    document["inputs"][0]["features"][0] = "\x1b]0;title\x07"
    Path("model.json").write_text(json.dumps(document))
    code, out, _ = run(capsys, "inspect", "model.json")
    assert code == 0
    assert r"\x1b[2Jharmless\u202e" in out
    assert not [c for c in out if not c.isprintable() and c != "\n"]


def test_strings_in_a_table_stay_strings(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Codes like 01, and NA for Namibia: what the model was fitted on, not what a CSV reader guesses."""
    import pandas as pd
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    import modelport

    rows = pd.DataFrame({"code": ["01", "02", "1", "01", "02", "1"] * 4, "land": ["NA", "NO", None] * 8}, dtype=object)
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression()).fit(rows, [0, 1, 2, 2, 1, 0] * 4)
    modelport.convert(model, "codes.json", sample=rows)
    rows.to_csv("codes.csv", index=False)
    assert run(capsys, "predict", "codes.json", "codes.csv", "-o", "answers.csv")[0] == 0
    answers = pd.read_csv("answers.csv", float_precision="round_trip")
    np.testing.assert_allclose(answers.iloc[:, 1:], model.predict_proba(rows), rtol=1e-12)


def test_an_interrupt_and_a_bug_are_one_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from modelport.cli import doctor

    def stop(a: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "run", stop)
    code, _, err = run(capsys, "doctor")
    assert (code, sentence(err)) == (130, "modelport: interrupted; nothing was left half written.")

    def fail(a: object) -> int:
        raise LookupError("a bug")

    monkeypatch.setattr(doctor, "run", fail)
    code, _, err = run(capsys, "doctor")
    assert code == 2
    assert err.startswith("modelport: an unexpected LookupError (a bug)")
    assert "Traceback" not in err
    monkeypatch.setenv("MODELPORT_DEBUG", "1")
    with pytest.raises(LookupError):
        main(["doctor"])


@pytest.mark.parametrize("command", ["verify model.json", "report model.json -o page.html"])
@pytest.mark.parametrize("option", ["--factory train:make --trust", "--lengths x:1=time"])
def test_how_a_model_is_opened_needs_a_model(
    folder: Path, iris, capsys: pytest.CaptureFixture[str], command: str, option: str
) -> None:
    modelport.convert(iris[2], "model.json", sample=iris[0])
    code, out, err = run(capsys, *command.split(), *option.split())
    assert (code, out) == (64, "")
    assert f"{option.split()[0]} goes with --model" in sentence(err)


class Ends:
    """A pickle that ends the process, as a script does that is imported."""

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return sys.exit, (0,)


@pytest.mark.parametrize("command", ["verify model.json --model ends.joblib", "convert ends.joblib -o other.json"])
def test_code_that_ends_the_process_is_no_success(folder: Path, iris, capsys: pytest.CaptureFixture[str], command: str) -> None:
    modelport.convert(iris[2], "model.json", sample=iris[0])
    joblib.dump(Ends(), "ends.joblib")
    code, out, err = run(capsys, *command.split(), "--sample", "rows.csv", "--trust")
    assert (code, out) == (2, "")
    assert "(SystemExit: 0), so nothing was done" in sentence(err)
    assert not Path("other.json").exists()


def test_quiet_in_pipes_and_a_bar_on_a_terminal(folder: Path) -> None:
    import io

    from modelport.progress import Progress

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, shown in ((io.StringIO(), False), (Terminal(), True)):
        with Progress(2, stream) as bar:
            bar.stage("converting")
            bar.stage("writing")
        assert ("converting" in stream.getvalue()) == shown


def test_plugins_and_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "plugins", "--json")
    found = json.loads(out)
    assert code == 0
    assert {"json", "onnx", "pmml"} <= set(found["writers"])
    assert "sklearn" in found["readers"]
    assert {*languages.NAMES} <= set(found["stubs"])
    code, out, _ = run(capsys, "doctor")
    assert code == 0
    assert "numpy" in out


def test_stub_writes_its_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for language in languages.NAMES:
        library = languages.SAID[language]["library"][0]
        code, out, _ = run(capsys, "stub", language, "-o", f"out/{language}")
        assert code == 0
        assert library in out
        assert (folder / "out" / language / library).read_text(encoding="utf-8")
