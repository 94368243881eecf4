"""Shared fixtures: fitted models on bundled real data, and what to do when a toolchain is missing."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import languages
import pytest

ROOT = Path(__file__).resolve().parent.parent
#: packages and repositories of strangers, with tests of their own
collect_ignore = ["thirdparty"]
#: what a test can lack, beside the stubs: the names that MODELPORT_REQUIRE knows
OPTIONAL = {
    *("chromium", "onnxruntime", "pypmml", "jpmml", "skl2onnx", "sklearn2pmml", "xgboost", "lightgbm", "catboost"),
    *("libfuzzer", "atheris", "tsc"),
    *("onnxruntime-node", "torch", "keras", "tensorflow", "tf2onnx", "transformers", "litert", "h5py", "onnx", "onnxscript"),
    *("python3.10", "python3.11", "python3.12", "python3.13", "pip", "build", "setuptools", "twine"),
    *("mypy", "scipy", "mkdocs", "matplotlib", "rich", "shtab", "yaml", "markdown_it", "pre-commit"),
}
#: the version of the compiler that declarations are checked with
TYPESCRIPT = "5.9.3"
REQUIRED = {name.strip() for name in os.environ.get("MODELPORT_REQUIRE", "").split(",") if name.strip()}


if (
    "PYTEST_XDIST_WORKER" in os.environ
):  # each worker has a core: pools of threads that wait for each other cost many times the work
    for _pool in ("OMP_NUM", "OPENBLAS_NUM", "MKL_NUM", "TF_NUM_INTRAOP", "TF_NUM_INTEROP"):
        os.environ.setdefault(f"{_pool}_THREADS", "1")


def pytest_configure() -> None:
    """A name in MODELPORT_REQUIRE that no test asks for would require nothing."""
    unknown = sorted(REQUIRED - OPTIONAL - {*languages.NAMES})
    if unknown:
        raise pytest.UsageError(
            f"MODELPORT_REQUIRE names {unknown[0]!r}, which no test can lack: see OPTIONAL in tests/conftest.py."
        )


def missing(name: str, why: str) -> None:
    """A counted skip on a user's machine; a failure where MODELPORT_REQUIRE names it."""
    assert name in {*OPTIONAL, *languages.NAMES}, f"{name} is not in OPTIONAL: nothing could require it"
    if name in REQUIRED:
        pytest.fail(f"{name} is required here, but {why}")
    pytest.skip(f"{name}: {why}")


#: files of tests (by a part of their path) and what they import: without it they are skipped, or fail where it is required
IMPORTED = {
    "converters/modelport_torch/": ("torch", "onnx", "onnxscript"),
    "converters/modelport_keras/": ("keras", "tensorflow", "h5py"),
    "converters/modelport_onnx_source/": ("onnx", "onnxruntime"),
    "converters/modelport_onnx/test_nets.py": ("torch",),
    "converters/modelport_onnx/test_quantizing.py": ("torch",),
}


class LeftOut(pytest.Module):
    """A file of tests whose imports are not installed."""

    lacks = ""

    def collect(self) -> list[pytest.Item]:  # type: ignore[override]
        missing(self.lacks, f"it is not installed, and {self.path.name} needs it")
        return []


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """One counted skip for a file that could not even be imported."""
    for part, modules in IMPORTED.items():
        lacks = [name for name in modules if part in module_path.as_posix() and importlib.util.find_spec(name) is None]
        if lacks:
            module = LeftOut.from_parent(parent, path=module_path)
            module.lacks = lacks[0]
            return module
    return None


@pytest.fixture(scope="session")
def need() -> Callable[[str, str], None]:
    """need("java", "javac is not on the PATH") skips or fails."""
    return missing


@pytest.fixture(scope="session")
def need_module() -> Callable[[str, str], None]:
    """need_module("onnxruntime", "onnxruntime") skips or fails when the module cannot be imported."""

    def check(name: str, module: str) -> None:
        try:
            __import__(module)
        except ImportError as error:
            missing(name, str(error))

    return check


@pytest.fixture(scope="session")
def need_program() -> Callable[[str, str], None]:
    """need_program("chromium", "chromium") skips or fails when the program is not on the PATH."""

    def check(name: str, program: str) -> None:
        if shutil.which(program) is None:
            missing(name, f"{program} is not on the PATH")

    return check


@pytest.fixture(scope="session")
def npm_package(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str, str], Path]:
    """npm_package("tsc", "typescript", "5.9.3"): a package's folder, kept in the cache; a counted skip where it cannot be had."""

    def find(name: str, package: str, version: str) -> Path:
        cache = Path(os.environ.get("MODELPORT_CACHE") or tmp_path_factory.mktemp("cache"))
        folder = cache / f"{package}-{version}"
        if not (folder / "node_modules" / package).is_dir():
            if shutil.which("npm") is None:
                missing(name, "npm is not on the PATH")
            cache.mkdir(parents=True, exist_ok=True)
            made = Path(tempfile.mkdtemp(dir=cache))
            (made / "package.json").write_text("{}")
            options = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(made)]
            command = ["npm", "install", *options, f"{package}@{version}"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
            if done.returncode != 0:
                shutil.rmtree(made)
                missing(name, f"npm does not install it: {(done.stderr.splitlines() or ['it says nothing'])[-1]}")
            try:
                made.rename(folder)
            except OSError:  # another process was first
                shutil.rmtree(made)
        return folder / "node_modules" / package

    return find


@pytest.fixture(scope="session")
def tsc(need_program: Callable[[str, str], None], npm_package: Callable[[str, str, str], Path]) -> Callable[..., None]:
    """tsc(folder, "example.mts", ...): TypeScript, strict, finds nothing in files of a folder; options may come with them."""
    need_program("javascript", "node")
    compiler = npm_package("tsc", "typescript", TYPESCRIPT) / "bin" / "tsc"

    def check(folder: Path, *given: str) -> None:
        options = ["--strict", "--skipDefaultLibCheck", "--pretty", "false", "--target", "es2022", "--module", "nodenext"]
        command = ["node", str(compiler), *options, *given]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]

    return check


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(autouse=True)
def _quiet() -> None:
    warnings.simplefilter("ignore")


@pytest.fixture(scope="session")
def iris():  # type: ignore[no-untyped-def]
    """(X as a DataFrame, string labels, fitted pipeline)."""
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data = load_iris(as_frame=True)
    labels = data.target_names[data.target]
    return data.data, labels, make_pipeline(StandardScaler(), LogisticRegression()).fit(data.data, labels)


@pytest.fixture(scope="session")
def mixed():  # type: ignore[no-untyped-def]
    """(DataFrame of six kinds of columns with missing cells, fitted pipeline)."""
    import importlib.util

    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    spec = importlib.util.spec_from_file_location("mixed_frame", ROOT / "fixtures/recipes/mixed_frame.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    frame, target = module.mixed_frame()
    numbers, strings = ["age (years)", "body.mass", "blutdruck größe"], ["sex", "weight class", "clinic"]
    prepare = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()), numbers),
            ("strings", make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")), strings),
            ("flag", "passthrough", ["glucose high"]),
        ]
    )
    return frame, make_pipeline(prepare, LogisticRegression(max_iter=500)).fit(frame, target)
