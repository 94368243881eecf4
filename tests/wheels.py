"""Builds the sdist and the wheel from it, and makes environments of other Pythons that hold the wheel: for test_release.py."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Place:
    """An environment: a Python, a NumPy, and what scikit-learn needs there."""

    python: str
    numpy: str
    sklearn: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"python{self.python}-numpy{self.numpy or '-newest'}"


#: the oldest releases that pyproject.toml allows
OLDEST = (
    *("scikit-learn==1.3.0", "pandas==2.0.0", "joblib==1.2.0", "skops==0.11.0", "scipy==1.10.1"),
    *("onnx==1.16.0", "onnxruntime==1.21.0"),
)
NEWEST = ("scikit-learn", "pandas", "joblib", "skops", "onnx", "onnxruntime")
PLACES = (
    Place("3.10", "1.26.4", OLDEST),
    Place("3.11", "2.0.0"),
    Place("3.12", "1.26.4"),
    Place("3.13", "", NEWEST),
)
NIGHTLY = (
    Place("3.10", "2.0.0", ("scikit-learn==1.5.2", "pandas==2.2.2", *NEWEST[2:])),
    Place("3.11", "1.26.4", ("scikit-learn==1.4.2", "pandas==2.1.4", *NEWEST[2:])),
    Place("3.12", "2.1.3", ("scikit-learn==1.6.1", "pandas<3", *NEWEST[2:])),
    Place("3.13", "2.3.5", ("scikit-learn==1.7.2", "pandas<3", *NEWEST[2:])),
)


def interpreter(version: str) -> Path | None:
    """A Python of that version: on the PATH, or where pyenv keeps them; the newest of several."""
    found = []
    name = f"python{version}"
    on_path = shutil.which(name)
    if on_path is not None:
        found.append(Path(on_path))
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found += sorted(pyenv.glob(f"{version}.*/bin/{name}"), key=lambda path: numbers(path.parent.parent.name), reverse=True)
    question = "import sys; print('%d.%d' % sys.version_info[:2])"
    for path in found:  # pyenv's shims stand on the PATH for versions that are not active: ask
        with contextlib.suppress(OSError):
            done = subprocess.run([path, "-c", question], capture_output=True, text=True)
            if done.stdout.strip() == version:
                return path
    return None


def numbers(version: str) -> list[int]:
    """A version to sort by.

    >>> sorted(["3.10.13", "3.10.9"], key=numbers)
    ['3.10.9', '3.10.13']
    """
    return [int(part) for part in version.split(".") if part.isdigit()]


def outside(**more: str) -> dict[str, str]:
    """This process's environment without what would let a checkout in."""
    dropped = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "MODELPORT_REQUIRE", "PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST")
    kept = {key: value for key, value in os.environ.items() if key not in dropped and not key.startswith("PYTEST_XDIST")}
    return {**kept, "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8", **more}


def run(command: Sequence[object], folder: Path, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    """A process outside of the checkout."""
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=folder, env=outside(**more), input=stdin, capture_output=True, text=True)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def built(folder: Path, files: Sequence[Path]) -> tuple[Path, Path]:
    """(sdist, wheel) of a copy of the files, made once for all processes that share the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / "lock"):
        if not (folder / "dist").is_dir():
            source = folder / "source"
            for path in files:
                target = source / path.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, target)
            done = run([sys.executable, "-m", "build", "--outdir", folder / "made", source], folder)
            assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
            (folder / "made").rename(folder / "dist")
    (sdist,), (wheel,) = (folder / "dist").glob("*.tar.gz"), (folder / "dist").glob("*.whl")
    return sdist, wheel


def environment(python: Path, folder: Path, requirements: Sequence[object]) -> Path:
    """The Python of a fresh environment with the requirements, and nothing else: no pip either."""
    done = run([python, "-m", "venv", "--without-pip", folder], folder.parent)
    assert done.returncode == 0, done.stderr
    there = folder / "bin" / "python"
    install(there, requirements)
    return there


def install(python: Path, requirements: Sequence[object]) -> None:
    """Put wheels into an environment, by the pip of this one."""
    options = ["--quiet", "--no-compile", "--only-binary", ":all:", "--disable-pip-version-check"]
    done = run([sys.executable, "-m", "pip", "--python", python, "install", *options, *requirements], python.parent)
    assert done.returncode == 0, done.stderr[-3000:]


def shipped(setup: str) -> Mapping[str, str]:
    """Folder of the repository -> folder of the wheel, for what setup.py copies.

    >>> shipped('SHIPPED = ("stubs", "fixtures/schema")\\n\\n')
    {'stubs': 'modelport/_data/stubs', 'fixtures/schema': 'modelport/_data/fixtures/schema'}
    """
    said = setup[setup.index("SHIPPED = ") :].partition("\n\n")[0]
    return {folder: f"modelport/_data/{folder}" for folder in said.split('"')[1::2]}
