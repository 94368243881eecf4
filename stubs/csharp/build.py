# SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
"""Builds the command line into a folder: by the .NET SDK where there is one, else by Mono's compiler for a .NET Core runtime.

`build.py FOLDER` builds FOLDER/modelport.dll, `build.py FOLDER SOURCE...` the same of other sources; `--start=CLASS` before the
folder says which class begins where several could. `build.py --check` only says in a sentence what is missing. MODELPORT_DOTNET
and MODELPORT_MCS name other programs.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCES = ["ModelportCore.cs", "Modelport.cs", "ModelportMore.cs", "ModelportNn.cs", "Main.cs"]
#: assemblies of the runtime that the sources need, as reference assemblies for mcs
REFERENCES = [
    *[
        "System.Private.CoreLib",
        "netstandard",
        "System.Runtime",
        "System.Runtime.Extensions",
        "System.Console",
        "System.Collections",
    ],
    *[
        "System.Runtime.Numerics",
        "System.Threading",
        "System.Threading.Tasks.Parallel",
        "System.IO.FileSystem",
        "System.Runtime.InteropServices",
        "System.Linq",
    ],
]
PROJECT = """<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType>
    <TargetFramework>net{version}</TargetFramework>
    <AssemblyName>modelport</AssemblyName>
    <UseAppHost>false</UseAppHost>
    <ImplicitUsings>disable</ImplicitUsings>
    <EnableDefaultCompileItems>false</EnableDefaultCompileItems>
    <InvariantGlobalization>true</InvariantGlobalization>
    <ConcurrentGarbageCollection>false</ConcurrentGarbageCollection>
    <NoWarn>1718</NoWarn>{start}
  </PropertyGroup>
  <ItemGroup>{sources}</ItemGroup>
</Project>
"""


def program(name: str) -> str | None:
    return shutil.which(os.environ.get(f"MODELPORT_{name.upper()}", name))


def sdk(dotnet: str) -> str | None:
    """The version of the SDK, as 8.0; None where only a runtime is installed."""
    done = subprocess.run([dotnet, "--list-sdks"], capture_output=True, text=True, check=False)
    versions = [line.split(".")[:2] for line in done.stdout.splitlines() if line[:1].isdigit()] if done.returncode == 0 else []
    return ".".join(max(versions, key=lambda v: (int(v[0]), int(v[1])))) if versions else None


def frameworks(dotnet: str) -> list[Path]:
    """The folders of the runtime's assemblies, the newest last."""
    found = (Path(os.path.realpath(dotnet)).parent / "shared" / "Microsoft.NETCore.App").glob("*/System.Private.CoreLib.dll")
    return sorted(
        (file.parent for file in found), key=lambda folder: [int(part) for part in folder.name.split("-")[0].split(".")]
    )


def problem() -> str | None:
    """What is missing, in a sentence."""
    dotnet = program("dotnet")
    if dotnet is None:
        return "there is no 'dotnet' on the PATH: install the .NET SDK, or a runtime and set MODELPORT_DOTNET"
    if sdk(dotnet) is None and (program("mcs") is None or not frameworks(dotnet)):
        return "'dotnet' is a runtime without an SDK: install the .NET SDK, or the compiler mcs (Debian: mono-mcs)"
    return None


def with_sdk(dotnet: str, version: str, target: Path, files: list[Path], start: str) -> int:
    project = target / "project" / "modelport.csproj"
    project.parent.mkdir()
    sources = "".join(f'<Compile Include="{file}" />' for file in files)
    begins = f"<StartupObject>{start}</StartupObject>" if start else ""
    project.write_text(PROJECT.format(version=version, start=begins, sources=sources), encoding="utf-8")
    environment = {**os.environ, "DOTNET_CLI_TELEMETRY_OPTOUT": "1", "DOTNET_NOLOGO": "1"}
    command = [dotnet, "build", str(project), "-c", "Release", "-o", str(target), "--nologo", "-v", "quiet"]
    return subprocess.run(command, env=environment, check=False).returncode


def with_mcs(dotnet: str, mcs: str, target: Path, files: list[Path], start: str) -> int:
    framework = frameworks(dotnet)[-1]
    references = [f"-r:{framework / name}.dll" for name in REFERENCES]
    options = ["-nostdlib", "-noconfig", "-langversion:6", "-optimize+", "-nowarn:1718,1702"]
    options += [f"-main:{start}"] if start else []
    done = subprocess.run([mcs, *options, *references, f"-out:{target / 'modelport.dll'}", *map(str, files)], check=False)
    said = {
        "framework": {"name": "Microsoft.NETCore.App", "version": framework.name},
        "configProperties": {
            "System.Globalization.Invariant": True,
            "System.GC.Concurrent": False,
            "System.Runtime.TieredCompilation.QuickJitForLoops": True,  # starts sooner
        },
    }
    (target / "modelport.runtimeconfig.json").write_text(json.dumps({"runtimeOptions": said}), encoding="utf-8")
    return done.returncode


def main(arguments: list[str]) -> int:
    missing, start = problem(), ""
    if arguments and arguments[0].startswith("--start="):
        start, *arguments = arguments[0].partition("=")[2], *arguments[1:]
    if missing is not None or not arguments:
        print(missing or __doc__, file=sys.stderr)
        return 1
    if arguments == ["--check"]:
        return 0
    dotnet, target = str(program("dotnet")), Path(arguments[0]).resolve()
    files = [Path(name).resolve() for name in arguments[1:]] or [HERE / name for name in SOURCES]
    target.mkdir(exist_ok=True)
    version = sdk(dotnet)
    if version is not None:
        return with_sdk(dotnet, version, target, files, start)
    return with_mcs(dotnet, str(program("mcs")), target, files, start)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
