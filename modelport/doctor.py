"""What is installed, and what is missing for what. Versions are read from metadata: no framework is imported."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

from . import registry
from .delegation import VARIABLE, lacking
from .errors import ModelportError
from .stubs import broken_stubs, stubs, toolchain_problem
from .version import __version__

__all__ = ["diagnose"]

#: package -> what it is for, and how to get it
PACKAGES = {
    "numpy": ("everything", "pip install numpy"),
    "scikit-learn": ("reading scikit-learn models", "pip install 'modelport[sklearn]'"),
    "pandas": ("samples from CSV and parquet files, and DataFrames", "pip install 'modelport[sklearn]'"),
    "joblib": ("opening joblib files", "pip install joblib"),
    "skops": ("opening skops files", "pip install skops"),
    "pyarrow": ("parquet samples", "pip install pyarrow"),
    "onnx": ("writing and checking ONNX", "pip install 'modelport[onnx]'"),
    "onnxruntime": ("running and verifying ONNX", "pip install 'modelport[onnx]'"),
    "torch": ("reading PyTorch models", "pip install 'modelport[torch]'"),
    "onnxscript": ("exporting PyTorch models", "pip install 'modelport[torch]'"),
    "keras": ("asking Keras models", "pip install 'modelport[keras]'"),
    "h5py": ("reading .keras and .h5 files, with or without Keras", "pip install h5py"),
    "tf2onnx": ("writing ONNX of Keras models through a delegate", "pip install 'modelport[tf2onnx]'"),
    "ai-edge-litert": ("running and verifying LiteRT files", "pip install 'modelport[tflite]'"),
    "skl2onnx": ("writing ONNX through a delegate", "pip install 'modelport[delegates]'"),
    "sklearn2pmml": ("writing PMML through a delegate (AGPL-3.0)", "pip install sklearn2pmml, and Java"),
    "pypmml": ("scoring PMML with an independent engine", "pip install 'modelport[pmml]', and Java"),
}


def diagnose() -> list[dict[str, Any]]:
    """One finding per package and stub, and per plugin that cannot be used: {"what", "ok", "says"}."""
    findings = [{"what": "modelport", "ok": True, "says": f"{__version__} on Python {platform.python_version()}"}]
    for package, (purpose, remedy) in PACKAGES.items():
        try:
            findings.append({"what": package, "ok": True, "says": f"{version(package)}: {purpose}"})
        except PackageNotFoundError:
            findings.append({"what": package, "ok": False, "says": f"not installed; needed for {purpose}: {remedy}"})
    for group in ("readers", "writers", "delegates"):
        for name in registry.plugins(group):
            try:
                module = registry.load(group, name)
            except ModelportError as error:
                findings.append({"what": f"{name} {group[:-1]}", "ok": False, "says": str(error)})
                continue
            if group == "delegates":
                findings.append({"what": f"{name} delegate", **_delegate(name, module)})
    findings += [{"what": "stubs", "ok": False, "says": problem} for problem in broken_stubs()]
    for stub in stubs():
        problem = toolchain_problem(stub)
        findings.append({"what": f"{stub.name} stub", "ok": problem is None, "says": problem or "its toolchain is here"})
    return findings


def _delegate(name: str, module: ModuleType) -> dict[str, Any]:
    """Whether a delegate can be used here, for which formats, and whether it has to be asked for."""
    problem = lacking(module)
    if problem is not None:
        return {"ok": False, "says": problem}
    used = f"used when named, or when {VARIABLE} names it" if getattr(module, "OPT_IN", False) else "what 'auto' falls back on"
    return {"ok": True, "says": f"writes {', '.join(module.FORMATS)}; {used}"}
