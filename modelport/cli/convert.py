"""modelport convert: model -> artifacts."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any

from ..errors import Unsupported, UsageError
from .common import TABLES, add_json, add_net_options, check_output, emit_json, factory_of, lengths_of, say

__all__ = ["add", "run"]

#: stages of converting to one format: reading, asking, comparing, writing
STAGES = 4


def add(commands: Any) -> None:
    """The command's options."""
    command = commands.add_parser("convert", help="convert a saved model to json, onnx or pmml, with the vectors that prove it")
    command.add_argument(
        "model", help="a saved model: joblib, pickle, skops, .keras, .h5, .pt2, .pt, .onnx, .pmml, a booster's file, ..."
    )
    command.add_argument("--to", action="append", default=[], metavar="FORMAT", help="json, onnx, pmml, tflite; may repeat")
    command.add_argument(
        "--sample", metavar="FILE", help=f"rows the model is fed, as {TABLES}; a PMML file with ModelVerification needs none"
    )
    command.add_argument("-o", "--output", metavar="PATH", help="the file to write; with several formats, its suffix is replaced")
    command.add_argument("--trust", action="store_true", help="open a pickle, which runs code stored in it")
    add_net_options(command)
    command.add_argument(
        "--answers",
        metavar="FILE",
        help="what the original answers for the sample's rows: a Keras file's outputs (.npz), a PMML file's (CSV or .npz)",
    )
    command.add_argument(
        "--keep", action="append", metavar="OUTPUT", help="an output of a PMML file to keep, where not all are wanted; may repeat"
    )
    command.add_argument("--scorer", metavar="NAME", help="who answers for a PMML file: jpmml or pypmml, where it is installed")
    command.add_argument(
        "--quantize", metavar="KIND", help="JSON: int8; ONNX: int8, static or float16; the report says what it costs"
    )
    command.add_argument("--prune", type=float, metavar="SHARE", help="JSON: the smallest SHARE of every weight becomes 0")
    command.add_argument("--backend", default="auto", help="auto, graph, or a delegate's name such as skl2onnx")
    command.add_argument("--carry-sample", action="store_true", help="carry rows of the sample instead of synthetic ones")
    command.add_argument("--name", help="a name to write into the artifact")
    command.add_argument("--target", help="for ONNX: the oldest runtime, such as 'onnxruntime>=1.17'")
    style = command.add_mutually_exclusive_group()
    style.add_argument("--readable", action="store_const", const="readable", dest="style", help="JSON: every number in decimal")
    style.add_argument("--compact", action="store_const", const="compact", dest="style", help="JSON: most tensors in base64")
    command.add_argument("--compare", action="store_true", help="write nothing; put our artifact beside every delegate's")
    add_json(command, "the reports, or with --compare the comparison,")
    command.set_defaults(run=run)


def run(a: argparse.Namespace) -> int:
    """modelport convert"""
    from .. import registry
    from ..artifact import write_atomically
    from ..convert import convert
    from ..files import load_model, load_sample
    from ..progress import Progress

    targets = _targets(a.to, a.output, a.model, registry.writer_for_path)
    for format_, _ in targets:
        registry.writer(format_)
    if a.compare:
        return _compare(a, [format_ for format_, _ in targets])
    for _, path in targets:
        check_output(path)
        if os.path.exists(path) and os.path.exists(a.model) and os.path.samefile(path, a.model):
            raise UsageError(f"{path!r} is the model itself, which would be overwritten: say -o FILE.")
    options = _options(a, [format_ for format_, _ in targets])
    if a.answers is not None:
        answers = load_sample(a.answers)
        options = {format_: {**own, "answers": answers} for format_, own in options.items()}
    for name in ("scorer", "keep"):
        if getattr(a, name) is not None:
            options = {format_: {**own, name: getattr(a, name)} for format_, own in options.items()}
    with Progress(2 + STAGES * len(targets)) as bar:
        bar.stage(f"opening {a.model}")
        model = load_model(a.model, trust=a.trust, factory=factory_of(a))
        sample = None
        if a.sample is not None:
            bar.stage(f"reading {a.sample}")
            sample = load_sample(a.sample, _strings(model))
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
    if a.json:
        emit_json({"artifacts": [_as_json(path, artifact) for path, artifact in artifacts]})
        return 0
    for path, artifact in artifacts:
        say(f"{path}: {len(artifact.data):,} bytes; {artifact.report}")
    return 0


def _strings(model: Any) -> Any:
    """The model's columns of strings, where its reader knows them."""
    from .. import registry
    from ..errors import ModelportError

    try:
        found = getattr(registry.reader_for(model)[1], "strings_of", None)
    except ModelportError:  # said where the model is read
        return None
    return None if found is None else found(model)


def _as_json(path: str, artifact: Any) -> dict[str, Any]:
    known = {"path": path, "format": artifact.format, "bytes": len(artifact.data), "backend": artifact.backend}
    return {**known, "report": None if artifact.report is None else artifact.report.to_json()}


def _compare(a: argparse.Namespace, formats: Sequence[str]) -> int:
    """modelport convert --compare"""
    from ..files import load_model, load_sample
    from ..sidebyside import side_by_side

    if a.output is not None or a.backend != "auto":
        raise UsageError("--compare tries every backend and writes nothing: leave out -o and --backend, and say --to FORMAT.")
    found = side_by_side(
        load_model(a.model, trust=a.trust, factory=factory_of(a)),
        formats,
        sample=None if a.sample is None else load_sample(a.sample),
        options=_options(a, formats),
        vectors="sample" if a.carry_sample else "synthetic",
        name=a.name,
    )
    if a.json:
        emit_json(found.to_json())
    else:
        say(found)
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
    lengths = lengths_of(a.lengths)
    return {format_: own | ({"lengths": lengths} if lengths else {}) for format_, own in options.items()}


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
