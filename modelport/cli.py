"""The command line. Every error is one sentence; exit codes: 0 done, 1 mismatch, 2 refused, 3 unsupported, 64 usage."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from .errors import ModelportError, Unsupported, UsageError
from .version import __version__

__all__ = ["main"]


class Parser(argparse.ArgumentParser):
    """argparse with our exit code for usage errors."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(UsageError.exit_code, f"{self.prog}: {message}\n")


TABLES = "CSV or parquet, or as .npy or .npz arrays for a net"


def _add_net_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--factory", metavar="MODULE:FUNCTION", help="makes the module of a PyTorch state_dict (needs --trust)")
    command.add_argument(
        "--lengths",
        action="append",
        default=[],
        metavar="INPUT:AXIS=NAME",
        help="an axis of a net's input that varies, such as x:1=time",
    )


def build_parser() -> Parser:
    """All commands and their options."""
    parser = Parser(prog="modelport", description="Export trained models to artifacts that prove themselves.")
    parser.add_argument("--version", action="version", version=f"modelport {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)

    convert = commands.add_parser("convert", help="convert a saved model to json, onnx or pmml, with the vectors that prove it")
    convert.add_argument(
        "model", help="a saved model: joblib, pickle, skops, .keras, .h5, .pt2, .pt, .onnx, a booster's file, ..."
    )
    convert.add_argument("--to", action="append", default=[], metavar="FORMAT", help="json, onnx, pmml, tflite; may repeat")
    convert.add_argument("--sample", required=True, metavar="FILE", help=f"rows the model is fed, as {TABLES}")
    convert.add_argument("-o", "--output", metavar="PATH", help="the file to write; with several formats, its suffix is replaced")
    convert.add_argument("--trust", action="store_true", help="open a pickle, which runs code stored in it")
    _add_net_options(convert)
    convert.add_argument(
        "--answers", metavar="FILE", help="a Keras file's outputs for the sample's rows (.npz), where Keras is absent"
    )
    convert.add_argument(
        "--quantize", metavar="KIND", help="JSON: int8; ONNX: int8, static or float16; the report says what it costs"
    )
    convert.add_argument("--prune", type=float, metavar="SHARE", help="JSON: the smallest SHARE of every weight becomes 0")
    convert.add_argument("--backend", default="auto", help="auto, graph, or a delegate's name such as skl2onnx")
    convert.add_argument("--carry-sample", action="store_true", help="carry rows of the sample instead of synthetic ones")
    convert.add_argument("--name", help="a name to write into the artifact")
    convert.add_argument("--target", help="for ONNX: the oldest runtime, such as 'onnxruntime>=1.17'")
    style = convert.add_mutually_exclusive_group()
    style.add_argument("--readable", action="store_const", const="readable", dest="style", help="JSON: every number in decimal")
    style.add_argument("--compact", action="store_const", const="compact", dest="style", help="JSON: most tensors in base64")
    convert.add_argument("--compare", action="store_true", help="write nothing; put our artifact beside every delegate's")
    convert.add_argument("--json", action="store_true", help="with --compare: print the comparison as JSON")
    convert.set_defaults(run=run_convert)

    check = commands.add_parser("check", help="say what of a saved model can be exported, how exactly, and what can run it")
    check.add_argument("model", help="a saved model")
    check.add_argument("--sample", required=True, metavar="FILE", help=f"rows the model is fed, as {TABLES}")
    check.add_argument("--trust", action="store_true", help="open a pickle, which runs code stored in it")
    check.add_argument("--json", action="store_true", help="print the report as JSON")
    check.set_defaults(run=run_check)

    verify = commands.add_parser("verify", help="hold an artifact against the original's answers")
    verify.add_argument("artifact")
    verify.add_argument("--model", help="the saved model, to verify against it with boundary rows added")
    verify.add_argument("--sample", metavar="FILE", help=f"rows the model is fed, as {TABLES}")
    _add_net_options(verify)
    verify.add_argument(
        "--with",
        dest="consumers",
        action="append",
        default=[],
        metavar="CONSUMER",
        help="a stub, an engine, or any command; may repeat",
    )
    verify.add_argument("--trust", action="store_true", help="open a pickle, which runs code stored in it")
    verify.add_argument("--json", action="store_true", help="print the report as JSON")
    verify.set_defaults(run=run_verify)

    predict = commands.add_parser("predict", help="answer rows with an artifact, after it has proven itself")
    predict.add_argument("artifact")
    predict.add_argument("rows", help=TABLES)
    predict.add_argument("-o", "--output", metavar="PATH", help="a CSV or .npz file; CSV on standard output when left out")
    predict.set_defaults(run=run_predict)

    inspect = commands.add_parser("inspect", help="say what an artifact is")
    inspect.add_argument("artifact")
    inspect.add_argument("--json", action="store_true")
    inspect.set_defaults(run=run_inspect)

    plugins = commands.add_parser("plugins", help="list readers, writers, delegates and stubs")
    plugins.add_argument("--json", action="store_true")
    plugins.set_defaults(run=run_plugins)

    doctor = commands.add_parser("doctor", help="say what is installed and what is missing for what")
    doctor.add_argument("--json", action="store_true")
    doctor.set_defaults(run=run_doctor)

    stub = commands.add_parser("stub", help="write a consumer stub's files into a folder")
    stub.add_argument("language")
    stub.add_argument("-o", "--output", required=True, metavar="DIR")
    stub.set_defaults(run=run_stub)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name the terminal cannot show must not end in a traceback
    try:
        parsed = build_parser().parse_args(arguments)
        code = int(parsed.run(parsed))
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except ModelportError as error:
        complain(str(error))
        return error.exit_code
    except BrokenPipeError:
        _drop_stdout()
        return 0
    except KeyboardInterrupt:
        complain("interrupted; nothing was left half written.")
        return 130
    except MemoryError:
        complain("there is not enough memory for this.")
        return 2
    except OSError as error:
        _drop_stdout()
        complain(f"{error.strerror or error}{f' ({error.filename})' if error.filename else ''}.")
        return 2
    except Exception as error:
        if os.environ.get("MODELPORT_DEBUG"):
            raise
        first = (str(error).splitlines() or [""])[0]
        complain(f"an unexpected {type(error).__name__} ({first}): please report it; MODELPORT_DEBUG=1 shows where it happened.")
        return 2


def say(text: object) -> None:
    """Print lines; control characters in them (names come from files of others) are shown, not obeyed."""
    print("\n".join(map(_shown, str(text).split("\n"))))


def complain(sentence: str) -> None:
    """An error, on standard error."""
    print("\n".join(map(_shown, f"modelport: {sentence}".split("\n"))), file=sys.stderr)


def _shown(line: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in line)


def _drop_stdout() -> None:
    """Standard output cannot be written to: let the interpreter's own flush at exit go nowhere."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# --- commands -----------------------------------------------------------------------------------------------------------------


def run_convert(a: argparse.Namespace) -> int:
    """modelport convert"""
    from . import registry
    from .artifact import write_atomically
    from .convert import convert
    from .files import load_model, load_sample
    from .progress import Progress

    if a.json and not a.compare:
        raise UsageError("--json prints a comparison: say --compare too, or leave it out.")
    targets = _targets(a.to, a.output, a.model, registry.writer_for_path)
    for format_, _ in targets:
        registry.writer(format_)
    if a.compare:
        return _compare(a, [format_ for format_, _ in targets])
    for _, path in targets:
        _check_output(path)
        if os.path.exists(path) and os.path.exists(a.model) and os.path.samefile(path, a.model):
            raise UsageError(f"{path!r} is the model itself, which would be overwritten: say -o FILE.")
    options = _options(a, [format_ for format_, _ in targets])
    if a.answers is not None:
        answers = load_sample(a.answers)
        options = {format_: {**own, "answers": answers} for format_, own in options.items()}
    with Progress(2 + len(targets)) as bar:
        bar.stage(f"opening {a.model}")
        model = load_model(a.model, trust=a.trust, factory=_factory(a))
        bar.stage(f"reading {a.sample}")
        sample = load_sample(a.sample)
        artifacts = []
        for format_, path in targets:
            bar.stage(f"converting to {format_}")
            artifact = convert(
                model,
                format_,
                sample=sample,
                backend=a.backend,
                vectors="sample" if a.carry_sample else "synthetic",
                name=a.name,
                **options[format_],
            )
            artifacts.append((path, artifact))
    for path, artifact in artifacts:
        write_atomically(path, artifact.data)
    for path, artifact in artifacts:
        say(f"{path}: {len(artifact.data):,} bytes; {artifact.report}")
    return 0


def _compare(a: argparse.Namespace, formats: Sequence[str]) -> int:
    """modelport convert --compare"""
    from .files import load_model, load_sample
    from .sidebyside import side_by_side

    if a.output is not None or a.backend != "auto":
        raise UsageError("--compare tries every backend and writes nothing: leave out -o and --backend, and say --to FORMAT.")
    found = side_by_side(
        load_model(a.model, trust=a.trust, factory=_factory(a)),
        formats,
        sample=load_sample(a.sample),
        options=_options(a, formats),
        vectors="sample" if a.carry_sample else "synthetic",
        name=a.name,
    )
    say(json.dumps(found.to_json(), indent=1, allow_nan=False) if a.json else found)
    return 0 if found.passed else Unsupported.exit_code


def _options(a: argparse.Namespace, formats: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Per format the options that are its own; UsageError for an option of a format that is not written."""
    options: dict[str, dict[str, Any]] = {format_: {} for format_ in formats}
    for name, flag, takers in (
        ("style", f"--{a.style}", ("json",)),
        ("target", "--target", ("onnx",)),
        ("quantize", "--quantize", ("json", "onnx")),
        ("prune", "--prune", ("json",)),
    ):
        value = getattr(a, name)
        if value is None:
            continue
        asked = [format_ for format_ in takers if format_ in options]
        if not asked:
            raise UsageError(
                f"{flag} is an option of {' and '.join(takers)}, which is not asked for: leave it out, or add --to {takers[0]}."
            )
        for format_ in asked:
            options[format_][name] = value
    lengths = _lengths(a.lengths)
    return {format_: own | ({"lengths": lengths} if lengths else {}) for format_, own in options.items()}


def _factory(a: argparse.Namespace) -> str | None:
    """The name of the user's function, which is run."""
    if a.factory is not None and not a.trust:
        raise UsageError("--factory runs a function of yours: say --trust too.")
    return a.factory  # type: ignore[no-any-return]


def _lengths(given: Sequence[str]) -> dict[str, dict[int, str]]:
    """INPUT:AXIS=NAME, repeated, as the option `lengths`."""
    found: dict[str, dict[int, str]] = {}
    for text in given:
        where, equals, name = text.partition("=")
        value, colon, axis = where.rpartition(":")
        if not (equals and colon and value and name and axis.isascii() and axis.isdigit()):
            raise UsageError(
                f"--lengths {text!r} is not understood: it is INPUT:AXIS=NAME, such as tokens:1=time (0 is the batch)."
            )
        found.setdefault(value, {})[int(axis)] = name
    return found


def _check_output(path: str) -> None:
    """Refuse what cannot become a file, before the work is done."""
    folder = os.path.dirname(path) or "."
    if path == "-" or not os.path.basename(path) or os.path.isdir(path):
        raise UsageError(f"{path!r} is no name of a file: say -o FILE.")
    if not os.path.isdir(folder):
        raise UsageError(f"There is no folder {folder!r} to write {os.path.basename(path)!r} into: make it first.")


def _targets(formats: Sequence[str], output: str | None, model: str, by_path: Any) -> list[tuple[str, str]]:
    """(format, path) for every artifact to write."""
    if not formats:
        if output is None:
            raise UsageError("Say what to write: --to FORMAT, or -o PATH with a format's suffix.")
        found = by_path(output)
        if found is None:
            raise UsageError(f"The suffix of {output!r} is no format's: say --to FORMAT.")
        return [(found, output)]
    formats = list(dict.fromkeys(formats))
    if len(formats) == 1 and output is not None:
        found = by_path(output)
        if found not in (None, formats[0]):
            raise UsageError(f"--to {formats[0]} contradicts -o {output!r}, whose suffix is that of {found}.")
        return [(formats[0], output)]
    base = os.path.splitext(output if output is not None else os.path.basename(model))[0]
    return [(format_, f"{base}.{format_}") for format_ in formats]


def run_check(a: argparse.Namespace) -> int:
    """modelport check"""
    from .check import check
    from .files import load_model, load_sample

    report = check(load_model(a.model, trust=a.trust), load_sample(a.sample))
    say(json.dumps(report.to_json(), indent=1, allow_nan=False) if a.json else report)
    return 0 if report.passed else Unsupported.exit_code


def run_verify(a: argparse.Namespace) -> int:
    """modelport verify"""
    from .files import load_model, load_sample
    from .verify import verify

    if (a.model is None) != (a.sample is None):
        raise UsageError("--model and --sample go together: the sample says what the model is fed.")
    model = load_model(a.model, trust=a.trust, factory=_factory(a)) if a.model else None
    sample = load_sample(a.sample) if a.sample else None
    lengths = _lengths(a.lengths)
    options: dict[str, Any] = {"lengths": lengths} if lengths else {}
    report = verify(a.artifact, model=model, sample=sample, with_=a.consumers, **options)
    say(json.dumps(report.to_json(), indent=1, allow_nan=False) if a.json else report)
    if report.passed:
        return 0
    codes = [c.exit_code for c in report.consumers if c.problem is not None and c.exit_code]
    mismatch = any(c.problem is None and not c.passed for c in report.consumers)
    return 1 if mismatch or not codes else codes[0]


def run_predict(a: argparse.Namespace) -> int:
    """modelport predict"""
    from .api import load
    from .artifact import write_atomically
    from .files import load_sample

    if a.output not in (None, "-"):
        _check_output(a.output)
    predictor = load(a.artifact)
    rows = load_sample(a.rows, predictor.known_strings())
    outputs = predictor.predict(rows)
    if a.output not in (None, "-") and a.output.lower().endswith(".npz"):
        write_atomically(a.output, outputs_as_npz(outputs))
        return 0
    text = outputs_as_csv(outputs, {o.name: o.classes for o in predictor.outputs})
    if a.output not in (None, "-"):
        write_atomically(a.output, text.encode("utf-8"))
    elif isinstance(sys.stdout, io.TextIOWrapper):  # UTF-8, whatever the terminal's encoding: labels are data
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8"))
    else:
        print(text, end="")
    return 0


def outputs_as_npz(outputs: dict[str, Any]) -> bytes:
    """Outputs as the bytes of an .npz file; strings become NumPy's own, so that nothing is pickled."""
    import zipfile

    import numpy as np

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, values in outputs.items():
            array = np.asarray(values.tolist(), dtype=str) if values.dtype == object else values
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return buffer.getvalue()


def outputs_as_csv(outputs: dict[str, Any], classes: dict[str, Any]) -> str:
    """Outputs as CSV text: one column per output, or per class or position of a wider one; numbers round-trip."""
    import csv
    import io

    columns: list[tuple[str, list[Any]]] = []
    for name, values in outputs.items():
        if values.ndim == 1:
            columns.append((name, values.tolist()))
            continue
        flat = values.reshape(len(values), -1)
        named = classes.get(name)
        labels = named if named is not None and len(named) == flat.shape[1] else range(flat.shape[1])
        columns += [(f"{name}[{label}]", flat[:, j].tolist()) for j, label in enumerate(labels)]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([name for name, _ in columns])
    writer.writerows(zip(*(values for _, values in columns), strict=True))
    return out.getvalue()


def run_inspect(a: argparse.Namespace) -> int:
    """modelport inspect"""
    from .api import inspect

    described = inspect(a.artifact)
    if a.json:
        say(json.dumps(described, indent=1))
        return 0
    say(f"{a.artifact}: {described['format']}, {described['bytes']:,} bytes, run by {described['engine']}")
    model = described["provenance"].get("model")
    if model:
        say(f"  model     {model}")
    for value in described["inputs"]:
        features = (
            f" ({', '.join(value['features'][:6])}{', ...' if len(value['features']) > 6 else ''})" if value["features"] else ""
        )
        say(f"  input     {value['name']}: {value['dtype']}{value['shape']}, missing: {value['missing']}{features}")
    for step in described.get("steps", ()):
        say(
            f"  step      {step['out']} = {step['op']}({', '.join(step['in'])}) -> {step['type']}, "
            f"{step['parameters']:,} parameters"
        )
    for value in described["outputs"]:
        say(f"  output    {value['name']}: {value['dtype']}, {value['role']}{_classes(value)}")
    vectors = described["vectors"]
    say(
        "  vectors   none: nothing proves this artifact"
        if vectors is None
        else f"  vectors   {vectors['rows']} rows, {vectors['source']}: {vectors['kinds']}; tolerance {vectors['tolerance']}"
    )
    return 0


def _classes(output: dict[str, Any]) -> str:
    return f", classes {output['classes']}" if output["classes"] else ""


def run_plugins(a: argparse.Namespace) -> int:
    """modelport plugins"""
    from . import registry
    from .stubs import stubs

    found = {group: {name: entry.value for name, entry in registry.plugins(group).items()} for group in registry.GROUPS[:4]}
    found["stubs"] = {stub.name: stub.format for stub in stubs()}
    if a.json:
        say(json.dumps(found, indent=1))
        return 0
    for group, entries in found.items():
        say(f"{group}: {', '.join(f'{name} ({value})' for name, value in sorted(entries.items())) or 'none'}")
    return 0


def run_doctor(a: argparse.Namespace) -> int:
    """modelport doctor"""
    from .doctor import diagnose

    findings = diagnose()
    if a.json:
        say(json.dumps(findings, indent=1))
        return 0
    for finding in findings:
        say(f"{'ok  ' if finding['ok'] else '--  '} {finding['what']:<28} {finding['says']}")
    return 0


def run_stub(a: argparse.Namespace) -> int:
    """modelport stub"""
    from pathlib import Path

    from .artifact import write_atomically
    from .stubs import find_stub, stubs

    stub = find_stub(a.language)
    if stub is None:
        raise UsageError(f"There is no stub {a.language!r}; there are: {', '.join(s.name for s in stubs())}.")
    folder = Path(a.output)
    folder.mkdir(parents=True, exist_ok=True)
    for name in dict.fromkeys((*stub.library, *stub.files, "README.md")):
        source = stub.folder / name
        if source.is_file():
            say(write_atomically(folder / name, source.read_bytes()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
