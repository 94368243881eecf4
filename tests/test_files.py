"""Files in and out: models, tables and artifacts of every kind, damaged ones too; writing leaves a whole file or none."""

from __future__ import annotations

import gzip
import os
import pickle
import stat
import sys
import threading
import types
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest

from modelport.artifact import Artifact, write_atomically
from modelport.errors import ArtifactError, InputError, MissingDependency, Refused, UntrustedFile, UsageError, WriteError
from modelport.files import kind_of_model, load_model, load_sample

TABLE = pd.DataFrame({"a": [1.5, 2.0], "s": ["x", "y"]})


# --- writing ------------------------------------------------------------------------------------------------------------------


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_new_file_has_the_permissions_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "new", b"data")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640


def test_an_existing_file_keeps_its_permissions(tmp_path: Path) -> None:
    target = tmp_path / "secret"
    target.write_bytes(b"old")
    target.chmod(0o600)
    write_atomically(target, b"new")
    assert (target.read_bytes(), stat.S_IMODE(target.stat().st_mode)) == (b"new", 0o600)
    assert names(tmp_path) == ["secret"]


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "dangling").symlink_to("made")
    write_atomically(tmp_path / "link", b"new")
    write_atomically(tmp_path / "dangling", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == (tmp_path / "made").read_bytes() == b"new"


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    """A device or pipe (/dev/stdout, /dev/null) must never be replaced by a file."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()), daemon=True)
    reader.start()
    write_atomically(pipe, b"data")
    reader.join(10)
    assert got == [b"data"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert names(tmp_path) == ["pipe"]


def test_a_long_name_of_wide_characters(tmp_path: Path) -> None:
    name = "模" * 80 + ".json"
    write_atomically(tmp_path / name, b"data")
    assert names(tmp_path) == [name]


@pytest.mark.parametrize("path", [".", "folder", "nowhere/file", "nul\0byte"])
def test_what_cannot_be_written_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    with pytest.raises(WriteError, match="nothing was left behind"):
        write_atomically(path, b"data")
    assert names(tmp_path) == ["folder"]


def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file", b"data")
    assert names(tmp_path) == []


# --- tables -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["gzip", "bz2", "xz"])
def test_a_compressed_table_is_told_by_its_content(tmp_path: Path, method: str) -> None:
    TABLE.to_csv(tmp_path / "rows.csv", index=False, compression=method)
    pd.testing.assert_frame_equal(load_sample(tmp_path / "rows.csv"), TABLE)


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    TABLE.to_csv(tmp_path / "rows.csv", index=False, encoding="utf-8-sig")
    assert list(load_sample(tmp_path / "rows.csv").columns) == ["a", "s"]


def test_quoted_newlines_and_commas(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a,b": ["x\ny", '"'], "c\nd": [1, 2]})
    frame.to_csv(tmp_path / "rows.csv", index=False)
    pd.testing.assert_frame_equal(load_sample(tmp_path / "rows.csv"), frame)


def test_a_table_from_a_pipe_is_read_once(tmp_path: Path) -> None:
    """As in `modelport predict model.json <(zcat rows.csv.gz)`."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    threading.Thread(target=lambda: pipe.write_text(TABLE.to_csv(index=False)), daemon=True).start()
    pd.testing.assert_frame_equal(load_sample(pipe), TABLE)


def test_columns_of_strings_stay_strings(tmp_path: Path) -> None:
    """Where the model tells strings apart, '01' is not the number 1, and 'NA' (Namibia) is missing only if it is not known."""
    (tmp_path / "rows.csv").write_text("code,land,flag,n\n01,NA,True,7\n02,,False,NA\n03,null,True,8\n")
    plain = load_sample(tmp_path / "rows.csv")
    assert plain["code"].tolist() == [1, 2, 3]
    assert plain["land"].isna().all()
    frame = load_sample(tmp_path / "rows.csv", {"code": [], "land": ["NA", "NO"], "flag": [], "absent": ["x"]})
    assert frame["code"].tolist() == ["01", "02", "03"]
    assert frame["land"].isna().tolist() == [False, True, True]
    assert frame["land"][0] == "NA"
    assert frame["flag"].tolist() == ["True", "False", "True"]
    assert frame["n"].isna().tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("latin.csv", "größe,b\n1,2\n".encode("latin-1"), "no text in UTF-8"),
        ("wide.csv", "a,b\n1,2\n".encode("utf-16"), "no text in UTF-8"),
        ("semicolons.csv", b"a;b\n1;2\n", "separate the columns by commas"),
        ("tabs.csv", b"a\tb\n1\t2\n", "separate the columns by commas"),
        ("ragged.csv", b"a,b\n1,2\n1,2,3\n", "cannot be read as a table"),
        ("blank.csv", b"\n\n", "cannot be read as a table"),
        ("empty.csv", b"", "is empty"),
        ("half.csv", gzip.compress(b"a,b\n1,2\n" * 999, mtime=0)[:40], "cannot be read as a table"),
        ("rows.parquet", b"a,b\n1,2\n", "called parquet, but its content is not"),
        ("rows.pq", b"PAR1garbage", "cannot be read as a table"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Refused, match=words) as caught:
        load_sample(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_truncated_parquet_file(tmp_path: Path) -> None:
    TABLE.to_parquet(tmp_path / "rows.parquet")
    whole = (tmp_path / "rows.parquet").read_bytes()
    for content in (whole[: len(whole) // 2], whole[:60] + b"\xff" * 40 + whole[100:], whole[:-9] + b"\xff" + whole[-8:]):
        (tmp_path / "rows.parquet").write_bytes(content)
        with pytest.raises(InputError, match="cannot be read as a table"):
            load_sample(tmp_path / "rows.parquet")


def test_a_folder_or_nothing_is_no_file(tmp_path: Path) -> None:
    for read in (load_sample, load_model, Artifact.open):
        with pytest.raises(UsageError, match="Is a directory"):
            read(tmp_path)
        with pytest.raises(UsageError, match="no file"):
            read(tmp_path / "nowhere")


# --- models -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)])
def test_joblib_files_of_every_compression(tmp_path: Path, compress: object) -> None:
    joblib.dump({"a": np.arange(3)}, tmp_path / "model", compress=compress)
    assert kind_of_model(tmp_path / "model") == "pickle"
    with pytest.raises(UntrustedFile, match="--trust"):
        load_model(tmp_path / "model")
    assert load_model(tmp_path / "model", trust=True)["a"].tolist() == [0, 1, 2]


def test_a_pickle_of_a_module_that_is_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("gone_tomorrow")
    module.Model = type("Model", (), {"__module__": "gone_tomorrow"})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gone_tomorrow", module)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(module.Model()))
    del module.Model
    with pytest.raises(MissingDependency, match=r"not found here .*'Model'"):
        load_model(tmp_path / "model.pkl", trust=True)
    monkeypatch.delitem(sys.modules, "gone_tomorrow")
    with pytest.raises(MissingDependency, match="needs gone_tomorrow"):
        load_model(tmp_path / "model.pkl", trust=True)


@pytest.mark.parametrize("cut", [1, 50, 500])
def test_truncated_models(tmp_path: Path, iris, cut: int) -> None:  # type: ignore[no-untyped-def]
    from skops import io

    path = tmp_path / "model"
    joblib.dump(iris[2], path)
    joblib.dump(iris[2], tmp_path / "packed", compress=3)
    io.dump(iris[2], tmp_path / "skops")
    for name in ("model", "skops", "packed"):
        if name == "packed" and cut == 1:
            continue  # the last bytes are a checksum that joblib does not read: nothing of the model is lost
        whole = (tmp_path / name).read_bytes()
        path.write_bytes(whole[: len(whole) - cut])
        with pytest.raises(ArtifactError) as caught:
            load_model(path, trust=True)
        assert "\n" not in str(caught.value)


def test_an_artifact_is_no_model_and_a_model_no_artifact(tmp_path: Path, iris) -> None:  # type: ignore[no-untyped-def]
    import modelport

    X, _, model = iris
    path = modelport.convert(model, "json", sample=X).save(tmp_path / "model.json")
    with pytest.raises(ArtifactError, match="looks like json"):
        load_model(path, trust=True)
    joblib.dump(model, tmp_path / "model.joblib")
    with pytest.raises(ArtifactError, match="looks like a saved model, so convert it first"):
        modelport.load(tmp_path / "model.joblib")


def test_an_artifact_from_a_path_or_bytes(iris, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    import modelport

    artifact = modelport.convert(iris[2], "json", sample=iris[0])
    path = artifact.save(tmp_path / "model.json")
    for given in (artifact, path, str(path), artifact.data, bytearray(artifact.data)):
        assert modelport.inspect(given)["format"] == "json"
        assert modelport.verify(given).passed
        assert modelport.load(given).predict(iris[0][:3])["label"].shape == (3,)
    with pytest.raises(ArtifactError, match="This is no artifact"):
        modelport.load(b"words")
