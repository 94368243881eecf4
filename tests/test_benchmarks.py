"""The benchmark runs to its end, measures every column, and says what is absent. Its figures are nobody's business here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = [
    "convert, s",
    "size, kB",
    "peak memory, MB",
    "load, ms",
    "one row, us",
    "batch, ms",
    "largest error",
    "labels that differ",
]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks/run.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.slow
def test_quick_run(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    done = bench("--quick", "--output", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert all(f"| {column}" in done.stdout for column in COLUMNS)
    assert (tmp_path / "results.md").read_text(encoding="utf-8").count("\n## ") == 1
    (result,) = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["results"]
    entries = {**result["artifacts"], **result["consumers"]}
    assert all({"convert", "size"} <= e.keys() for n, e in result["artifacts"].items() if "problem" not in e)
    for name, entry in entries.items():
        problem = entry.get("problem", "")
        assert not problem.startswith("failed"), f"{name}: {problem}"
        if name in result["consumers"] and not problem:
            assert all(entry[key][0] > 0 for key in ("load", "one", "batch"))
            assert entry["flips"] == 0
            assert entry["largest_error"] < (1e-6 if name.startswith("skl2onnx") else 1e-9)
    needs_nothing = ["modelport json", "scikit-learn", "json, modelport.load", "json, python stub"]
    assert not [name for name in needs_nothing if "problem" in entries[name]]


def test_what_is_absent_or_fails_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import process
    import report

    monkeypatch.setitem(process.NEEDED, "skl2onnx", ("a package that is not there",))
    with pytest.raises(process.Absent, match="not there is not installed"):
        process.converter_command("skl2onnx", Path("m"), Path("a"))
    worker = process.Worker([sys.executable, "-c", "import sys; input(); sys.exit('no such luck')"])
    with pytest.raises(process.Failed, match="no such luck"):
        worker.ask("load")
    worker.close()
    slow = process.Worker([sys.executable, "-c", "import time; time.sleep(60)"])
    with pytest.raises(process.Failed, match="no answer within"):
        slow.ask("load", timeout=0.2)
    slow.close()
    own = {"convert": [1.0, 3.0, 2.0], "size": [5000], "memory": [], "rival": "rival"}
    entries = {"own": own, "rival": {"convert": [4.0], "size": [2500], "memory": [1e6]}, "third": {"problem": "absent: it"}}
    shown = report.model_tables({"model": "m", "about": "a", "rows": 1, "fit_seconds": 0, "artifacts": entries, "consumers": {}})
    assert "| 2 (2x)     | 5 (0.5x) | -" in shown
    assert "| third    | absent " in shown
    assert "* third: absent: it" in shown


def test_unknown_names_are_refused() -> None:
    for arguments in (["--models", "gpt"], ["--only", "nobody"]):
        done = bench(*arguments)
        assert done.returncode == 2
        assert "there is no" in done.stderr
