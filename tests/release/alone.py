"""Run in an environment that holds the wheel and NumPy only, in a folder that is not a checkout: what the wheel alone can do.

python alone.py FIXTURES
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import subprocess
import sys
from importlib.metadata import distribution, distributions, entry_points
from pathlib import Path


def main(fixtures: Path) -> None:
    """Every check; the first that fails ends it."""
    import modelport

    inside = Path(modelport.__file__).resolve()
    assert Path(sys.prefix).resolve() in inside.parents, inside
    installed = {found.metadata["Name"].lower() for found in distributions()}
    assert installed <= {"modelport", "numpy", "tomli"}, installed

    imported = sorted(modules())
    assert len(imported) > 250, "the wheel holds every module"
    for name in imported:
        importlib.import_module(name)
    groups = ("readers", "writers", "estimators", "delegates")
    assert all(entry.load() for group in groups for entry in entry_points(group=f"modelport.{group}"))

    artifacts = sorted(fixtures.glob("compat/v1/*.json"))
    assert len(artifacts) > 10
    for path in artifacts:
        report = modelport.verify(path, with_=["python"])
        assert report.passed, report
        assert len(report.consumers) == 2, report

    for arguments in (["doctor"], ["plugins"], ["inspect", str(artifacts[0])], ["stub", "c", "-o", "c"], ["--version"]):
        done = subprocess.run([str(Path(sys.executable).with_name("modelport")), *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done
    assert done.stdout.strip() == f"modelport {distribution('modelport').version}"
    assert Path("c/modelport.c").is_file()
    schemas = inside.parent / "_data" / "fixtures" / "schema"
    assert all(json.loads(path.read_text(encoding="utf-8")) for path in schemas.glob("*.json"))
    print("done")


def modules() -> set[str]:
    """Every module of the wheel; but what only runs as a program, and what only pytest imports."""
    pytests = {"modelport.testing.parity", *(entry.value for entry in entry_points(group="pytest11"))}
    tops = sorted({file.parts[0] for file in distribution("modelport").files or () if file.suffix == ".py"})
    found = set()
    for top in tops:
        package = importlib.import_module(top)
        found |= {top, *(module.name for module in pkgutil.walk_packages(package.__path__, f"{top}."))}
    return {name for name in found - pytests if not name.endswith(".__main__")}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
