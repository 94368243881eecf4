"""A Keras model as a reading: its network walked into a graph, and the original asked."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from modelport.arrays import Arrays, named_lengths
from modelport.document import Vectors
from modelport.errors import InputError, ModelportError, UnsupportedModel, UsageError
from modelport.graph import DTYPES, Graph, Input, Output, Step
from modelport.reading import Reading

from . import handlers as handlers
from . import live
from .builder import Builder, Value
from .feeding import HELD, axis_names, sample_of, sources_of
from .network import Array, Network, Source, flatten, mapped
from .savedmodel import SavedModel, read_saved
from .stored import StoredModel, as_written
from .walking import Walker

__all__ = ["ask_model", "called", "read_model"]

Ask = Callable[[Mapping[str, Array]], dict[str, Array]]
#: rows that the original is asked at once
CHUNK = 128
PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29)


def read_model(model: Any, sample: Any, options: Mapping[str, Any]) -> Reading:
    """A model as a graph; UnsupportedModel or UnsupportedAttribute where a layer cannot be expressed."""
    rows = sample if isinstance(sample, Arrays) else sample_of(model, sample)
    if isinstance(model, SavedModel):
        return read_saved(model, rows, options)
    if isinstance(model, StoredModel):
        with as_written():
            network, intake = _network(model, rows)
            rows = _named(network, rows, options)
            graph = _graph(network, intake, rows)
        return _stored_reading(model, graph, rows, options)
    if sources_of(model) is None:
        ranks = {name: array.ndim for name, array in rows.values.items()}
        rows = Arrays(rows.values, {**rows.names, **named_lengths(options.get("lengths"), ranks)}, rows.missing)
    network, intake = _network(model, rows)
    rows = _named(network, rows, options)
    graph = _graph(network, intake, rows)
    if options.get("answers") is not None:
        raise UsageError("answers= is for a saved model whose framework is not installed: this one can be asked itself.")
    return Reading(graph, _asker(model, graph, network.inputs), _provenance(model), sample=rows)


# --- networks -----------------------------------------------------------------------------------------------------------------


def _network(model: Any, rows: Arrays) -> tuple[Network, Any]:
    """The model as a network, and the structure in which it is given its inputs, with their names as leaves."""
    if isinstance(model, StoredModel):
        network = model.network
    elif sources_of(model) is not None:
        network = live.network_of(model)
    else:
        return _traced_model(model, rows)
    names = {source.key: source.name for source in network.inputs}
    return network, mapped(lambda ref: names[ref.key], network.intake)


def _traced_model(model: Any, rows: Arrays) -> tuple[Network, Any]:
    """A model of the user's own class, called once with tensors that stand for any."""
    intake = _structure(list(rows.values))
    names = list(flatten(intake))
    shapes = [(_open_shape(rows, name), _keras_dtype(rows.values[name])) for name in names]
    what = f"The model {model.name!r} ({type(model).__name__})"
    with _built(model, rows, intake):
        pass

    def call(*stand_ins: Any) -> Any:
        by_name = dict(zip(names, stand_ins, strict=True))
        return model.call(mapped(lambda name: by_name[name], intake), **_quiet(model))

    network = live.traced(call, shapes, what)
    inputs = [Source(s.key, name, s.shape, s.dtype) for s, name in zip(network.inputs, names, strict=True)]
    outputs = [str(i) for i in range(len(list(flatten(network.outputs))))]
    return Network(str(model.name), inputs, network.intake, network.calls, network.outputs, outputs), intake


@contextlib.contextmanager
def _built(model: Any, rows: Arrays, intake: Any) -> Iterator[None]:
    """Call the model once with a row, so that every layer has its weights; a model without weights is refused."""
    tensors = mapped(lambda name: _tensor(rows.values[name][:1], None), intake)
    before = len(model.weights)
    model(tensors, training=False)
    if before == 0 and model.weights:
        raise UnsupportedModel(
            f"The model {model.name!r} had no weights before it was asked: fit it, or load its weights, before it is converted."
        )
    yield


def _structure(names: Sequence[str]) -> Any:
    """How a model without declared inputs is called: the names `sample_of` gives tell."""
    if list(names) == ["input"]:
        return "input"
    if all(re.fullmatch(r"input_\d+", name) for name in names):
        return list(names)
    return {name: name for name in names}


def _quiet(model: Any) -> dict[str, Any]:
    import inspect

    return {"training": False} if "training" in inspect.signature(model.call).parameters else {}


def _open_shape(rows: Arrays, name: str) -> tuple[int | None, ...]:
    array = rows.values[name]
    named = rows.names.get(name, (None,) * (array.ndim - 1))
    return tuple(length if label is None else None for length, label in zip(array.shape[1:], named, strict=True))


def _keras_dtype(array: Array) -> str:
    return "string" if array.dtype == object else array.dtype.name


def _named(network: Network, rows: Arrays, options: Mapping[str, Any]) -> Arrays:
    """The sample with the names that the option `lengths` gives, for the inputs it names."""
    given = options.get("lengths")
    if given is None:
        return rows
    found = named_lengths(given, {source.name: len(source.shape) + 1 for source in network.inputs})
    for source in network.inputs:
        for axis, (label, length) in enumerate(zip(found.get(source.name, ()), source.shape, strict=False), start=1):
            if label is not None and length is not None:
                raise UsageError(
                    f"lengths names axis {axis} of input {source.name!r} {label!r}, "
                    f"but the model has the fixed length {length} there."
                )
    return Arrays(rows.values, {**axis_names(network.inputs), **rows.names, **found}, rows.missing)


# --- graphs -------------------------------------------------------------------------------------------------------------------


def _graph(network: Network, intake: Any, rows: Arrays) -> Graph:
    inputs = {value.name: value for value in rows.inputs()}
    ordered = [inputs[source.name] for source in network.inputs]
    lengths = rows.lengths
    problem: ModelportError | None = None
    for far in _others(lengths):
        try:
            return _walked(network, intake, ordered, lengths, far)
        except UnsupportedModel as error:
            problem = problem or error
    assert problem is not None
    if len(lengths) > 1 and _fits(network, intake, ordered, lengths):
        names = ", ".join(f"{name}={length}" for name, length in lengths.items())
        raise UnsupportedModel(
            f"{problem} The model fits these lengths ({names}), but not any others: where two are always equal, "
            "give them one name, such as lengths={'x': {1: 'time'}, 'y': {1: 'time'}}."
        )
    raise problem


def _fits(network: Network, intake: Any, inputs: Sequence[Input], lengths: Mapping[str, int]) -> bool:
    """Whether the model is read where all lengths are fixed."""
    try:
        _walked(network, intake, inputs, lengths, lengths)
    except UnsupportedModel:
        return False
    return True


def _others(lengths: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """Other lengths, by which those that vary are told: multiples, since a net may need lengths that can be halved."""
    if not lengths:
        yield {}
        return
    yield {name: length * PRIMES[i % len(PRIMES)] for i, (name, length) in enumerate(lengths.items())}
    yield {name: length + 16 * (i + 1) for i, (name, length) in enumerate(lengths.items())}
    yield {name: length + i + 1 for i, (name, length) in enumerate(lengths.items())}


def _walked(network: Network, intake: Any, inputs: Sequence[Input], near: Mapping[str, int], far: Mapping[str, int]) -> Graph:
    builder = Builder(inputs, near, far)
    walker = Walker(builder)
    values = {value.name: builder.value(value.name) for value in inputs}
    by_key = {source.key: _as_fed(walker, source, values[source.name]) for source in network.inputs}
    outputs = walker.network(network, mapped(lambda ref: by_key[ref.key], network.intake))
    ends = _named_outputs(network, outputs)
    made = [Output(name, value.plain, builder.near[value.plain].dtype, "prediction") for name, value in ends.items()]
    return Graph(inputs, _needed(builder.steps, made), made, network.name, lengths=near)


def _as_fed(walker: Walker, source: Source, value: Value) -> Value:
    """The input in our dtype of Keras's: f16 inputs and others that have none are refused."""
    walker.dtype(source.dtype)
    return value


def _named_outputs(network: Network, outputs: Any) -> dict[str, Value]:
    """The outputs by name: keys of a dict, else what Keras calls them; numbered where that is not unique."""
    named: list[tuple[str, Value]] = []
    if isinstance(outputs, Mapping) and all(isinstance(value, Value) for value in outputs.values()):
        named = [(str(key), outputs[key]) for key in outputs]
    else:
        flat = list(flatten(outputs))
        given = list(network.output_names)
        if len(given) != len(flat) or len(set(given)) != len(given):
            given = [f"output_{i + 1}" for i in range(len(flat))]
        if len(flat) == 1 and given[0].isdigit():
            given = ["output"]
        named = [(f"output_{int(name) + 1}" if name.isdigit() else name, value) for name, value in zip(given, flat, strict=True)]
    wrong = [name for name, value in named if not isinstance(value, Value)]
    if wrong:
        raise UnsupportedModel(f"The output {wrong[0]!r} of the model is no tensor.")
    return dict(named)


def _needed(steps: Sequence[Step], outputs: Sequence[Output]) -> list[Step]:
    """The steps that lead to an output."""
    wanted = {output.source for output in outputs}
    kept = []
    for step in reversed(steps):
        if step.output in wanted:
            kept.append(step)
            wanted.update(step.inputs)
    return kept[::-1]


# --- the original -------------------------------------------------------------------------------------------------------------


def _provenance(model: Any) -> dict[str, Any]:
    keras = live.keras()
    return {
        "framework": {"name": "keras", "version": str(keras.__version__), "backend": str(keras.config.backend())},
        "model": type(model).__name__,
    }


def _asker(model: Any, graph: Graph, sources: Sequence[Source]) -> Ask:
    """Asks a live model; it is called as the user calls it, with training=False."""
    dtypes = {source.name: source.dtype for source in sources}
    if sources_of(model) is not None:
        intake = _intake(model, sources)
    else:
        intake = _structure([source.name for source in sources])
    return asking(model, graph, intake, dtypes)


def asking(model: Any, graph: Graph, intake: Any, dtypes: Mapping[str, str]) -> Ask:
    """A function that asks a live Keras model for all outputs of a graph."""

    def ask(feeds: Mapping[str, Array]) -> dict[str, Array]:
        tensors = mapped(lambda name: _tensor(feeds[name], dtypes[name]), intake)
        with _without_gradients():
            given = model(tensors, training=False)
        flat = [given[o.name] for o in graph.outputs] if _by_name(given, graph) else list(live.keras().tree.flatten(given))
        if len(flat) != len(graph.outputs):
            raise InputError(f"The model answers {len(flat)} tensors, and {len(graph.outputs)} are known.")
        return {o.name: _numbers(tensor, o.dtype) for o, tensor in zip(graph.outputs, flat, strict=True)}

    def answer(feeds: Mapping[str, Array]) -> dict[str, Array]:
        count = len(next(iter(feeds.values())))
        parts = [ask({k: v[at : at + CHUNK] for k, v in feeds.items()}) for at in range(0, count, CHUNK)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    return answer


def _by_name(given: Any, graph: Graph) -> bool:
    return isinstance(given, Mapping) and set(given) == {o.name for o in graph.outputs}


def called(model: Any, inputs: Sequence[Input], rows: Any) -> Callable[[Mapping[str, Any], Sequence[Output]], dict[str, Any]]:
    """A function that calls a live model with tensors by input name, cast to what it declares, and gives tensors by output."""
    sources = sources_of(model)
    if sources is None:
        intake, dtypes = _structure([value.name for value in inputs]), {name: _keras_dtype(a) for name, a in rows.values.items()}
    else:
        intake, dtypes = _intake(model, sources), {source.name: source.dtype for source in sources}

    def call(tensors: Mapping[str, Any], outputs: Sequence[Output]) -> dict[str, Any]:
        cast = {name: t if dtypes[name] == "string" else live.keras().ops.cast(t, dtypes[name]) for name, t in tensors.items()}
        given = model(mapped(lambda name: cast[name], intake), training=False)
        if isinstance(given, Mapping) and set(given) == {output.name for output in outputs}:
            return dict(given)
        flat = list(live.keras().tree.flatten(given))
        return {output.name: tensor for output, tensor in zip(outputs, flat, strict=True)}

    return call


def _intake(model: Any, sources: Sequence[Source]) -> Any:
    """The structure in which a functional model is given its inputs, with their names as leaves."""
    inner = getattr(model, "_functional", None)
    structure = (inner if inner is not None else model)._inputs_struct
    names = {id(tensor): source.name for tensor, source in zip(live.keras().tree.flatten(structure), sources, strict=True)}
    return mapped(lambda tensor: names[id(tensor)], structure)


@contextlib.contextmanager
def _without_gradients() -> Iterator[None]:
    torch = sys.modules.get("torch") if live.keras().config.backend() == "torch" else None
    if torch is None:
        yield
    else:
        with torch.no_grad():
            yield


def _tensor(array: Array, dtype: str | None) -> Any:
    """What Keras is fed for rows: tensors of the dtype that the model declares."""
    keras = live.keras()
    if array.dtype == object:
        if keras.config.backend() != "tensorflow":
            return array.astype(str)
        return sys.modules["tensorflow"].constant(array.tolist(), dtype="string", shape=array.shape)
    wanted = array.dtype if dtype is None else HELD.get(dtype) or np.dtype(dtype)
    if wanted.kind in "iu" and array.dtype.kind in "iu" and array.size:
        limits = np.iinfo(wanted)
        if int(array.min()) < limits.min or int(array.max()) > limits.max:
            raise ValueError(f"a number does not fit {wanted}")
    return keras.ops.convert_to_tensor(array.astype(wanted))


def _numbers(tensor: Any, dtype: str) -> Array:
    array = (
        tensor if isinstance(tensor, np.ndarray) else live.numbers(tensor) if not isinstance(tensor, list) else np.asarray(tensor)
    )
    if dtype == "str":
        cells = [cell.decode("utf-8") if isinstance(cell, bytes) else str(cell) for cell in np.asarray(array).ravel().tolist()]
        held = np.empty(len(cells), dtype=object)
        held[:] = cells
        return held.reshape(np.shape(array))
    return np.asarray(array).astype(DTYPES[dtype])


# --- files --------------------------------------------------------------------------------------------------------------------


def _stored_reading(model: StoredModel, graph: Graph, rows: Arrays, options: Mapping[str, Any]) -> Reading:
    """A saved model: Keras answers where it is installed, else the user's recorded answers do."""
    provenance = {"framework": {"name": "keras", "version": model.version, "file": model.suffix}, "model": model.class_name}
    given = options.get("answers")
    if given is not None:
        recorded = Vectors(rows.feeds(), _recorded(graph, rows, given), {}, "sample")
        return Reading(graph, _unanswered, provenance, sample=rows, recorded=recorded)
    original = model.original()
    if original is None:
        raise UnsupportedModel(
            f"The model in the {model.suffix} file is read, but nobody can answer for it: {model.silence} "
            "Install Keras and its backend, or hand over what the model answers for the rows of the sample, recorded where "
            "it was trained, as the option answers={output: array} (or the path of an .npz with such arrays); the outputs are "
            f"{', '.join(output.name for output in graph.outputs)}."
        )
    return Reading(graph, _asker(original, graph, _sources(original, model)), provenance, sample=rows)


def _sources(original: Any, model: StoredModel) -> Sequence[Source]:
    found = sources_of(original)
    return model.network.inputs if found is None else found


def _unanswered(feeds: Mapping[str, Array]) -> dict[str, Array]:
    raise UnsupportedModel("The model cannot be asked here: only the answers that were handed over are known.")


def _recorded(graph: Graph, rows: Arrays, given: Any) -> dict[str, Array]:
    """The answers handed over, checked against the outputs."""
    if isinstance(given, (str, bytes)) or hasattr(given, "__fspath__"):
        try:
            with np.load(given, allow_pickle=False) as archive:
                given = {name: archive[name] for name in archive.files}
        except (OSError, ValueError) as error:
            raise InputError(f"answers={given!r} cannot be read as an .npz of arrays: {error}.") from None
    if not isinstance(given, Mapping):
        if len(graph.outputs) != 1:
            raise UsageError("answers= is a dict of arrays by the names of the outputs, or the path of an .npz.")
        given = {graph.outputs[0].name: given}
    found = {}
    for output in graph.outputs:
        if output.name not in given:
            raise InputError(f"answers= has no output {output.name!r}; it has {', '.join(map(str, given))}.")
        array = np.asarray(given[output.name])
        shape = (len(rows), *graph.types[output.source].shape)
        if array.shape != shape or (array.dtype.kind in "US") != (output.dtype == "str"):
            raise InputError(f"answers= has shape {list(array.shape)} for output {output.name!r}; {list(shape)} is needed.")
        found[output.name] = array.astype(DTYPES[output.dtype])
    odd = sorted(set(given) - set(found))
    if odd:
        raise InputError(f"answers= has the output {odd[0]!r}, which the model does not have: {', '.join(found)}.")
    return found


def ask_model(model: Any, sample: Any, options: Mapping[str, Any]) -> Reading:
    """A reading without a graph: what the model takes and gives, and its answers."""
    rows = sample if isinstance(sample, Arrays) else sample_of(model, sample)
    if isinstance(model, StoredModel):
        original = model.original()
        if original is None:
            raise UnsupportedModel(f"The model in the {model.suffix} file cannot be asked: {model.silence}")
        return ask_model(original, rows, options)
    sources = sources_of(model)
    if sources is None:
        sources = [Source(name, name, _open_shape(rows, name), _keras_dtype(array)) for name, array in rows.values.items()]
        intake: Any = _structure([source.name for source in sources])
    else:
        network = live.network_of(model)
        keys = {source.key: source.name for source in network.inputs}
        intake = mapped(lambda ref: keys[ref.key], network.intake)
    dtypes = {source.name: source.dtype for source in sources}
    feeds = {name: array[:1] for name, array in rows.feeds().items()}
    tensors = mapped(lambda name: _tensor(feeds[name], dtypes[name]), intake)
    with _without_gradients():
        given = model(tensors, training=False)
    if isinstance(given, Mapping):
        named = [(str(name), given[name]) for name in sorted(given)]
    else:
        flat = list(live.keras().tree.flatten(given))
        inner = getattr(model, "_functional", None)
        names = [str(name) for name in getattr(model if inner is None else inner, "output_names", ())]
        if len(names) != len(flat) or len(set(names)) != len(names):
            names = ["output"] if len(flat) == 1 else [f"output_{i + 1}" for i in range(len(flat))]
        named = list(zip(names, flat, strict=True))
    graph = _declared(rows, {name: live.numbers(tensor) for name, tensor in named})
    return Reading(graph, asking(model, graph, intake, dtypes), _provenance(model), sample=rows, unread=True)


def _declared(rows: Arrays, answers: Mapping[str, Array]) -> Graph:
    """A graph that declares the inputs and outputs of a model, and gives constants."""
    kinds = {"f": "f32", "i": "i64", "u": "i64", "b": "bool"}
    steps, outputs = [], []
    for name, array in answers.items():
        dtype = "f64" if array.dtype == np.float64 else kinds.get(array.dtype.kind)
        if dtype is None:
            raise UnsupportedModel(f"The output {name!r} of the model holds {array.dtype}, which is not known to delegates.")
        steps.append(Step("constant", (), f"answered {name}", {"value": np.zeros(array.shape[1:], DTYPES[dtype])}))
        outputs.append(Output(name, f"answered {name}", dtype, "prediction"))
    return Graph(rows.inputs(), steps, outputs, lengths=rows.lengths)
