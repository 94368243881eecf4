"""Doctor: what is installed, what is missing for what, and which versions are known not to work together.

Versions are read from metadata: no framework is imported.
"""

from __future__ import annotations

import platform
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from types import ModuleType
from typing import Any

from . import registry
from .compiled import state as compiled_state
from .delegation import VARIABLE, lacking
from .errors import Mismatch, ModelportError, PluginError, Unsupported
from .stubs import broken_stubs, stubs, toolchain, toolchain_problem
from .version import __version__

__all__ = ["COMBINATIONS", "PACKAGES", "Combination", "Diagnosis", "Finding", "diagnose", "older"]

#: names under which a package may be installed
ALIASES = {
    "tensorflow": ("tensorflow", "tensorflow-cpu", "tensorflow-macos", "tensorflow-intel"),
    "xgboost": ("xgboost", "xgboost-cpu"),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
}


@dataclass(frozen=True)
class Need:
    """What a job needs: all of `packages` and `programs`, and one of `one_of`, if any; `remedy` is how to get them."""

    what: str
    purpose: str
    remedy: str
    packages: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()


#: group -> jobs, in the order in which they are listed
NEEDS: Mapping[str, tuple[Need, ...]] = {
    "Models to convert": (
        Need("scikit-learn models", "reading them", "pip install 'modelport[sklearn]'", ("scikit-learn",)),
        Need(
            "PyTorch models",
            "exporting and reading them",
            "pip install 'modelport[torch]'",
            ("torch", "onnx", "onnxscript", "onnxruntime"),
        ),
        Need(
            "Keras models",
            "reading and asking them",
            "pip install 'modelport[keras]'",
            ("keras", "h5py"),
            ("tensorflow", "torch", "jax"),
        ),
        Need("Keras files", "reading .keras and .h5 files, with or without Keras", "pip install h5py", ("h5py",)),
        Need("ONNX files", "reading and asking them", "pip install 'modelport[onnx]'", ("onnx", "onnxruntime")),
        Need("XGBoost models", "asking them", "pip install 'modelport[xgboost]'", ("xgboost",)),
        Need("LightGBM models", "asking them", "pip install 'modelport[lightgbm]'", ("lightgbm",)),
        Need("CatBoost models", "asking them", "pip install 'modelport[catboost]'", ("catboost",)),
    ),
    "Formats to write, run and verify": (
        Need("json", "everything", "pip install numpy", ("numpy",)),
        Need("onnx", "writing, running and verifying ONNX", "pip install 'modelport[onnx]'", ("onnx", "onnxruntime")),
        Need("pmml", "everything", "pip install numpy", ("numpy",)),
        Need(
            "pmml in pypmml",
            "scoring PMML with PMML4S",
            "pip install 'modelport[pmml]', and Java",
            ("pypmml",),
            programs=("java",),
        ),
        Need(
            "pmml in jpmml",
            "scoring PMML with JPMML-Evaluator",
            "pip install jpmml_evaluator, and Java",
            ("jpmml-evaluator",),
            programs=("java",),
        ),
        Need("tflite", "running and verifying LiteRT files", "pip install 'modelport[tflite]'", ("ai-edge-litert",)),
    ),
    "Files to open": (
        Need("joblib files", "opening saved models", "pip install 'modelport[sklearn]'", ("joblib",)),
        Need("skops files", "opening saved models without trust", "pip install 'modelport[sklearn]'", ("skops",)),
        Need("CSV samples", "reading rows", "pip install 'modelport[sklearn]'", ("pandas",)),
        Need("parquet samples", "reading rows", "pip install 'modelport[parquet]'", ("pandas", "pyarrow")),
    ),
    "Reports and tests": (
        Need("HTML reports", "modelport report", "pip install 'modelport[report]'", ("matplotlib",)),
        Need("parity tests", "the pytest plugin", "pip install pytest", ("pytest",)),
    ),
    "Command line": (
        Need("colour and progress", "coloured output and bars", "pip install 'modelport[cli]'", ("rich",)),
        Need("shell completion", "modelport completion", "pip install 'modelport[cli]'", ("shtab",)),
    ),
}

#: every package that a job may need, and the delegates', under the names that it may have
PACKAGES: tuple[str, ...] = tuple(
    dict.fromkeys(
        name
        for package in (
            *("numpy", "skl2onnx", "tf2onnx", "sklearn2pmml"),
            *(package for needs in NEEDS.values() for need in needs for package in (*need.packages, *need.one_of)),
        )
        for name in ALIASES.get(package, (package,))
    )
)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: `ok` is False where it cannot be used, `bad` True where using it is known to go wrong."""

    group: str
    what: str
    ok: bool
    says: str
    bad: bool = False


@dataclass(frozen=True)
class Combination:
    """Versions known not to work together: `when` is told the versions of the packages, all of which are installed."""

    packages: tuple[str, ...]
    when: Callable[..., bool]
    says: str
    #: False where it ends in a refusal, and not in wrong numbers
    bad: bool = True


def older(a: str, b: str) -> bool:
    """Whether version a came before version b; what follows the numbers (rc1, .post1) does not count.

    >>> older("1.9.0", "1.10"), older("1.26.0", "1.26"), older("2.0rc1", "2.0")
    (True, False, False)
    """
    first, second = _numbers(a), _numbers(b)
    width = max(len(first), len(second))
    return first + (0,) * (width - len(first)) < second + (0,) * (width - len(second))


def _numbers(text: str) -> tuple[int, ...]:
    match = re.match(r"\d+(\.\d+)*", text)
    return tuple(map(int, match[0].split("."))) if match else ()


#: measured, or said by the package itself
COMBINATIONS: tuple[Combination, ...] = (
    Combination(
        ("onnxruntime",),
        lambda runtime: not older(runtime, "1.26") and older(runtime, "1.26.1"),
        "onnxruntime 1.26.0 answers binary random forests wrongly, where 1.25.1 is right: install another version, and verify "
        "the ONNX artifacts that ran on it",
    ),
    Combination(
        ("onnxruntime",),
        lambda runtime: older(runtime, "1.17"),
        "ONNX files are written for onnxruntime 1.17 and newer: this one does not run them",
    ),
    Combination(
        ("onnxruntime",),
        lambda runtime: not older(runtime, "1.17") and older(runtime, "1.21"),
        "ONNX files are written for onnxruntime 1.21 by default: say --target 'onnxruntime>=1.17' to run them on this one",
        bad=False,
    ),
    Combination(
        ("sklearn2pmml", "scikit-learn"),
        lambda pmml, sklearn: not older("0.133.1", pmml) and older("1.9.0", sklearn),
        "sklearn2pmml up to 0.133.1 refuses scikit-learn newer than 1.9.0: write PMML with modelport's own writer",
        bad=False,
    ),
)


@dataclass(frozen=True)
class Diagnosis:
    """All findings. `passed` is False where a plugin is broken, or where a version or a combination is known to go wrong."""

    findings: tuple[Finding, ...]
    exit_code: int = 0

    @property
    def passed(self) -> bool:
        """Is nothing known to go wrong?"""
        return not any(f.bad for f in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `json.dumps`."""
        return {"passed": self.passed, "findings": [asdict(f) for f in self.findings]}


def diagnose(check: bool = False) -> Diagnosis:
    """Look at what is installed; with check, convert a tiny model and replay it in everything that can run it here."""
    found = [
        Finding("modelport", "modelport", True, __version__),
        Finding("modelport", "Python", True, f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        Finding("modelport", "numpy", True, installed("numpy") or "installed"),
    ]
    for group, needs in NEEDS.items():
        found += [_finding(group, need) for need in needs]
    found += [*_plugins(), *_stubs(), *_together()]
    code = Unsupported.exit_code if any(f.bad for f in found) else 0
    if check:
        from .selftest import self_test

        tested = self_test()
        found += [Finding("Self test", what, ok, says, bad=not ok) for what, ok, says in tested]
        code = Mismatch.exit_code if not all(ok for _, ok, _ in tested) else code
    return Diagnosis(tuple(found), code)


def installed(package: str) -> str | None:
    """The version of a package, under whatever name it is installed, or None."""
    for name in ALIASES.get(package, (package,)):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None


def _finding(group: str, need: Need) -> Finding:
    versions = {package: installed(package) for package in need.packages}
    lacks = [package for package, found in versions.items() if found is None]
    if need.one_of:
        here = {package: found for package in need.one_of if (found := installed(package)) is not None}
        versions |= here
        lacks += [] if here else [f"one of {', '.join(need.one_of)}"]
    lacks += [program for program in need.programs if shutil.which(program) is None]
    if lacks:
        return Finding(group, need.what, False, f"{need.purpose} needs {' and '.join(lacks)}: {need.remedy}")
    return Finding(group, need.what, True, ", ".join(f"{package} {found}" for package, found in versions.items()))


def _plugins() -> Iterator[Finding]:
    """Delegates, and every plugin that cannot be used."""
    for group in (g for g in registry.GROUPS if g != "stubs"):
        for name in registry.plugins(group):
            try:
                module = registry.load(group, name)
            except ModelportError as error:
                broken = isinstance(error, PluginError)
                yield Finding("Plugins", f"{name} {group[:-1]}", False, str(error), broken)
                continue
            if group == "delegates":
                yield _delegate(name, module)


def _delegate(name: str, module: ModuleType) -> Finding:
    """Whether a delegate can be used here, for which formats, and whether it has to be asked for."""
    problem = lacking(module)
    if problem is not None:
        return Finding("Delegates", f"{name} delegate", False, problem)
    used = f"used when named, or when {VARIABLE} names it" if getattr(module, "OPT_IN", False) else "what 'auto' falls back on"
    return Finding("Delegates", f"{name} delegate", True, f"writes {', '.join(module.FORMATS)}; {used}")


def _stubs() -> Iterator[Finding]:
    usable, says = compiled_state()
    yield Finding("Stubs", "compiled engine", usable, says)
    yield from (Finding("Stubs", "stubs", False, problem, bad=True) for problem in broken_stubs())
    for stub in stubs():
        problem = toolchain_problem(stub)
        if problem is not None:
            yield Finding("Stubs", f"{stub.name} stub", False, problem)
            continue
        programs = "; ".join(f"{name}: {said}" for name, said in toolchain(stub).items())
        yield Finding("Stubs", f"{stub.name} stub", True, f"runs {stub.format}; {programs or 'needs no program'}")


def _together() -> Iterator[Finding]:
    """Versions that are too old, and combinations that are known to go wrong; one finding that says so where there are none."""
    bad = [*_too_old(), *_combined(COMBINATIONS)]
    yield from bad
    if not bad:
        yield Finding("What works together", "versions", True, "nothing is known against the versions that are installed")


def _combined(combinations: Sequence[Combination]) -> Iterator[Finding]:
    for known in combinations:
        versions = [installed(package) for package in known.packages]
        if all(versions) and known.when(*versions):
            what = " and ".join(f"{package} {found}" for package, found in zip(known.packages, versions, strict=True))
            yield Finding("What works together", what, False, known.says, known.bad)


#: a requirement of an extra, as metadata has it
REQUIREMENT = re.compile(r"^([\w.-]+)\s*\(?>=\s*([\d.]+).*?extra\s*==\s*[\"']([\w-]+)[\"']")


def _too_old() -> Iterator[Finding]:
    """Packages older than what modelport's own extras ask for."""
    try:
        asked = requires("modelport") or []
    except PackageNotFoundError:
        return
    seen = set()
    for match in filter(None, map(REQUIREMENT.match, asked)):
        package, least, extra = match[1], match[2], match[3]
        found = installed(package)
        if found is not None and older(found, least) and package not in seen:
            seen.add(package)
            says = f"modelport[{extra}] needs {least} or newer: pip install --upgrade 'modelport[{extra}]'"
            yield Finding("What works together", f"{package} {found}", False, says, bad=True)
