"""The original of a PMML file, and the graph held against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from modelport_pmml.declaration import Carried
from modelport_pmml.declared import top_model
from modelport_pmml.reader import to_graph

from modelport.compare import compare
from modelport.document import EXACT, Tolerance, Vectors, check_vectors
from modelport.errors import ArtifactError, InputError, Mismatch, Refused, UsageError
from modelport.graph import DTYPES, Graph
from modelport.reading import Reading
from modelport.run import Evaluator
from modelport.sample import Sample

from .declaring import PmmlFile, subset

if TYPE_CHECKING:
    from .scoring import Asked

__all__ = ["PmmlFile", "opened", "read_file"]

Array = np.ndarray[Any, np.dtype[Any]]
#: the tolerance of recorded answers that state none: what their decimals and the order of sums allow
RECORDED = 1e-9


def opened(data: bytes) -> PmmlFile:
    """See `modelport_pmml_source.load_file`."""
    file = PmmlFile(data)
    top_model(file.root)
    return file


def read_file(file: PmmlFile, sample: Sample, options: Mapping[str, Any]) -> Reading:
    """See `modelport_pmml_source.read`."""
    scorer, answers = options.get("scorer"), options.get("answers")
    if scorer is not None and answers is not None:
        raise UsageError("scorer= and answers= both say what the original answers: give one of them.")
    carried, table = file.carried, file.table
    recorded: Vectors | None = None
    original: Asked | None = None
    if scorer is not None:
        from .scoring import Asked

        original = Asked(scorer, file)
        wanted = subset(carried, original.given())
    elif answers is not None:
        wanted = subset(carried, _known(answers, file))
        recorded = _recorded(wanted, sample, answers)
    elif table is not None:
        wanted = subset(carried, table.outputs)
        recorded = table
    else:
        raise Refused(
            "The PMML file has no ModelVerification, so nothing says what its original answers. Hand over what it answers "
            "for the rows of the sample (answers={output: values}, --answers FILE), or name a scorer that is installed here "
            "(scorer='jpmml', --scorer jpmml)."
        )
    wanted = _kept(wanted, options.get("keep"))
    if recorded is not None:
        recorded = replace(recorded, outputs={o.name: recorded.outputs[o.name] for o in wanted.outputs})
    try:
        graph = to_graph(file.root, wanted)
    except RecursionError:
        raise ArtifactError("The PMML document is nested too deeply, or a function of it calls itself.") from None
    if table is not None:
        _reproduce(graph, table)
    notes = _notes(file, wanted.outputs, recorded, table, answers is not None)
    provenance = _provenance(file, scorer)
    if original is not None:
        provenance["engine"] = original.engine
        return Reading(graph, original.answer, provenance, sample=sample, notes=notes, undecided=original.undecided)
    return Reading(graph, _unanswered, provenance, sample=sample, recorded=recorded, notes=notes)


def _kept(carried: Carried, keep: Any) -> Carried:
    """The outputs the user wants to keep."""
    if keep is None:
        return carried
    names = [keep] if isinstance(keep, str) else [str(n) for n in keep]
    known = [o.name for o in carried.outputs]
    odd = [n for n in names if n not in known]
    if odd or not names:
        raise UsageError(f"keep= names {odd[:1] or 'nothing'}; the outputs that can be proven are {', '.join(known)}.")
    return subset(carried, dict.fromkeys(names))


def _unanswered(_: Mapping[str, Array]) -> dict[str, Array]:
    raise InputError("The original of this PMML file cannot be asked here: name a scorer (scorer='jpmml').")


def _known(answers: Any, file: PmmlFile) -> dict[str, Any]:
    """The outputs that recorded answers are for."""
    names = list(answers.columns) if hasattr(answers, "columns") else list(answers) if isinstance(answers, Mapping) else None
    if not names:
        raise UsageError("answers= maps outputs of the PMML model to what the original answers: a dict, or a table with columns.")
    outputs = [o.name for o in file.carried.outputs]
    odd = [str(n) for n in names if n not in outputs]
    if odd:
        raise UsageError(f"answers= has {odd[0]!r}, which is no output of the PMML model: it gives {', '.join(outputs)}.")
    return dict.fromkeys(names)


def _recorded(wanted: Any, sample: Sample, answers: Any) -> Vectors:
    """The sample's rows with the user's answers."""
    from modelport.sample import as_array

    outputs: dict[str, Array] = {}
    tolerance = {}
    for output in wanted.outputs:
        cells = as_array(answers[output.name], f"The answers for {output.name!r}")
        if len(cells) != len(sample):
            raise InputError(f"There are {len(cells)} answers for {output.name!r}, but the sample has {len(sample)} rows.")
        outputs[output.name] = _typed(cells, output.dtype, output.name).reshape(len(cells), *wanted.shapes[output.name])
        tolerance[output.name] = Tolerance(0.0, RECORDED) if output.dtype in ("f64", "f32") else EXACT
    feeds = sample.feeds()
    odd = sorted(set(feeds) ^ {v.name for v in wanted.inputs})
    if odd:
        raise InputError(f"The sample gives {', '.join(feeds)}, but the PMML model takes {odd[0]!r}: give one column per field.")
    vectors = Vectors(feeds, outputs, tolerance, "sample", ("sample",) * len(sample))
    check_vectors(vectors, wanted.inputs, wanted.outputs, max(len(sample), 1))
    return vectors


def _typed(cells: Array, dtype: str, name: str) -> Array:
    if dtype == "str":
        array = np.empty(len(cells), dtype=object)
        array[:] = [None if c is None or c != c else str(c) for c in cells.ravel().tolist()]
        return array
    try:
        return cells.astype(DTYPES[dtype])
    except (TypeError, ValueError):
        raise InputError(f"The answers for {name!r} hold {cells.dtype}; the PMML model gives {dtype}.") from None


def _reproduce(graph: Graph, table: Vectors) -> None:
    """Mismatch where the graph does not answer what the file itself says its model answers."""
    try:
        got = Evaluator(graph).run(table.inputs)
    except InputError as error:
        raise Mismatch(f"The graph read from the PMML file refuses a row of the file's own ModelVerification: {error}") from None
    for name, expected in table.outputs.items():
        if name not in got:
            continue
        report = compare(name, expected, got[name], table.tolerance.get(name, EXACT))
        if not report.passed:
            where = f" in row {report.worst_row}: {report.worst}" if report.worst_row is not None else f": {report.problem}"
            raise Mismatch(
                f"The graph read from the PMML file does not answer what the file's own ModelVerification says: output {name!r} "
                f"differs{where}. Nothing was written.",
                [report],
            )


def _notes(file: PmmlFile, outputs: Any, recorded: Vectors | None, table: Vectors | None, answered: bool) -> tuple[str, ...]:
    notes = []
    left = [o.name for o in file.carried.outputs if o.name not in {w.name for w in outputs}]
    if left:
        notes.append(f"left out, not asked for or without an answer of the original: {', '.join(map(repr, left))}")
    if recorded is not None:
        whose = "were handed over" if answered else "stand in the file (ModelVerification)"
        if file.carried.own and not answered:
            whose = "are those the file carries"
        notes.append(f"the original was not asked: its answers {whose}, and no boundary row was tried")
    elif table is not None:
        notes.append(f"the {len(table)} rows of the file's ModelVerification were reproduced as well")
    return tuple(notes)


def _provenance(file: PmmlFile, scorer: str | None) -> dict[str, Any]:
    if file.carried.own:
        return {"read from": "pmml", **{k: v for k, v in file.carried.provenance.items() if k not in ("producer", "created")}}
    header = file.root.find("Header")
    application = header.find("Application") if header is not None else None
    framework: dict[str, Any] = {"name": "pmml", "version": file.root.get("version")}
    found: dict[str, Any] = {"framework": framework, "model": top_model(file.root).tag}
    if application is not None:
        found["written by"] = " ".join(filter(None, (application.get("name"), application.get("version"))))
    return found
