"""The C stub as the engine of JSON artifacts: compiled once on this machine, kept beside built stubs, called through ctypes.

Where there is no compiler, or `MODELPORT_ENGINE` or `engine` says "numpy", the reference evaluator answers instead. Whichever
engine answers has replayed the carried rows itself. What the C stub refuses is asked of the reference evaluator, which says why.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from collections.abc import Callable, Mapping
from ctypes import POINTER, Structure, byref, c_bool, c_char, c_char_p, c_int, c_size_t, c_void_p
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import ArtifactError, InputError, MissingDependency, ModelportError, UsageError
from .graph import DTYPES, Graph, Input, Output
from .stubs import Stub, build_of, built, data_folder, toolchain_problem

if TYPE_CHECKING:
    from .document import Loaded, Vectors

__all__ = ["ENGINES", "VARIABLE", "CompiledModel", "chosen_engine", "library", "load", "state"]

Array = NDArray[Any]
#: "auto" is "c" where that can be had, else "numpy"
ENGINES = ("auto", "c", "numpy")
VARIABLE = "MODELPORT_ENGINE"
FILES = ("modelport.c", "modelport.h", "modelport_fast.c", "modelport_more.c", "modelport_nn.c")
FLAGS = (
    *("-std=c11", "-O2", "-ffp-contract=off", "-fPIC", "-shared", "-pthread", "-D_DEFAULT_SOURCE"),
    *(f"-DMODELPORT_{part}" for part in ("FAST", "MORE", "NN", "THREADS")),
)
LIBRARY = "libmodelport.so"
#: as in modelport.h
DTYPE_NAMES = ("f64", "f32", "i64", "i32", "i16", "i8", "u32", "u16", "u8", "bool", "str")
MISSING_NAMES = ("error", "nan", "null")
#: a batch below so many rows is answered by one thread
ROWS_FOR_THREADS = 2048
F64 = np.dtype(np.float64)


# --- the structures of modelport.h ----------------------------------------------------------------------------------------------


class _Error(Structure):
    _fields_ = [("code", c_int), ("message", c_char * 512)]


class _String(Structure):
    _fields_ = [("data", c_void_p), ("size", c_size_t)]


class _Input(Structure):
    _fields_ = [
        *(("name", _String), ("dtype", c_int), ("rank", c_int), ("width", c_size_t), ("missing", c_int)),
        *(("features", POINTER(_String)), ("shape", POINTER(c_size_t)), ("lengths", POINTER(_String))),
    ]


class _Output(Structure):
    _fields_ = [
        *(("name", _String), ("dtype", c_int), ("rank", c_int), ("width", c_size_t), ("role", _String), ("n_classes", c_size_t)),
        *(("class_strings", POINTER(_String)), ("class_integers", POINTER(ctypes.c_int64)), ("class_booleans", c_bool)),
        ("shape", POINTER(c_size_t)),
    ]


class _Options(Structure):
    _fields_ = [("no_verify", c_bool), ("forget_vectors", c_bool), ("allocator", c_void_p * 3), ("limits", c_size_t * 9)]


class _Feed(Structure):
    _fields_ = [
        *(("name", c_char_p), ("name_size", c_size_t), ("rows", c_size_t), ("width", c_size_t)),
        *(("numbers", c_void_p), ("integers", c_void_p), ("strings", c_void_p), ("rank", c_int), ("shape", POINTER(c_size_t))),
    ]


class _Target(Structure):
    _fields_ = [("numbers", c_void_p), ("integers", c_void_p), ("strings", c_void_p)]


class _Call(Structure):
    _fields_ = [
        *(("model", c_void_p), ("feeds", POINTER(_Feed)), ("n_feeds", c_size_t), ("first", c_size_t), ("rows", c_size_t)),
        ("targets", POINTER(_Target)),
    ]


class _Values(Structure):
    _fields_ = [
        *(("output", POINTER(_Output)), ("rows", c_size_t)),
        *(("numbers", c_void_p), ("integers", c_void_p), ("strings", c_void_p)),
    ]


# --- the library ----------------------------------------------------------------------------------------------------------------


def _as_stub() -> Stub:
    """The library as something that is built and kept as stubs are."""
    line = ("cc", *FLAGS, "-o", f"{{build}}/{LIBRARY}", "{dir}/modelport.c", "-lm")
    return Stub("c-library", data_folder("stubs") / "c", needs=("cc",), files=FILES, build=(line,))


def state() -> tuple[bool, str]:
    """Whether the compiled engine can be used here, and a sentence's end that says so; nothing is built."""
    stub = _as_stub()
    problem = toolchain_problem(stub)
    try:
        target = build_of(stub)
    except (OSError, ModelportError) as error:
        return False, f"NumPy answers in modelport.load: {error}"
    if (target / LIBRARY).is_file():
        return True, f"answers in modelport.load; compiled, in {target}"
    if problem is not None:
        return False, f"NumPy answers in modelport.load, for {problem}"
    failed = _failure(target)
    if failed.is_file():
        return False, f"NumPy answers in modelport.load, for the C stub did not compile; remove {failed} to try again"
    return True, f"answers in modelport.load, which compiles it at first use; {VARIABLE}=numpy does without"


def _failure(target: Path) -> Path:
    return target.with_name(target.name + ".failed")


#: what decides where a build is kept and how it is made -> the library, or why there is none
_found: dict[tuple[str | None, ...], ctypes.CDLL | str] = {}
_DECIDING = ("MODELPORT_CACHE", "XDG_CACHE_HOME", "HOME", "MODELPORT_CC", "PATH")


def library() -> ctypes.CDLL:
    """The compiled C stub, built when that has not been done yet; MissingDependency says why there is none."""
    key = tuple(map(os.environ.get, _DECIDING))
    if key not in _found:
        stub = _as_stub()
        _found[key] = _open(stub, build_of(stub))
    found = _found[key]
    if isinstance(found, str):
        raise MissingDependency(f"The compiled engine cannot be used: {found}. Install a C compiler, or say engine='numpy'.")
    return found


def _open(stub: Stub, target: Path) -> ctypes.CDLL | str:
    """The library, or why there is none. That it does not compile is kept, so that it is not tried again in every process."""
    path, failed = target / LIBRARY, _failure(target)
    if not path.is_file():
        problem = toolchain_problem(stub)
        if problem is not None:
            return problem
        if failed.is_file():
            return f"it did not compile before ({failed} says how; remove that file to try again)"
        try:
            built(stub)
        except ModelportError as error:
            try:
                failed.parent.mkdir(parents=True, exist_ok=True)
                failed.write_text(f"{error}\n", encoding="utf-8")
            except OSError:
                return str(error)
            return str(error)
    try:
        owner = path.stat()
        if hasattr(os, "getuid") and (owner.st_uid not in (0, os.getuid()) or owner.st_mode & 0o002):
            return f"{path} belongs to somebody else, or anybody may write to it"
        return _declared(ctypes.CDLL(str(path)))
    except OSError as error:
        return str(error)


def _declared(lib: ctypes.CDLL) -> ctypes.CDLL:
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "mp_load": (c_int, [c_char_p, c_size_t, POINTER(_Options), POINTER(c_void_p), POINTER(_Error)]),
        "mp_free": (None, [c_void_p]),
        "mp_input_count": (c_size_t, [c_void_p]),
        "mp_output_count": (c_size_t, [c_void_p]),
        "mp_input_at": (POINTER(_Input), [c_void_p, c_size_t]),
        "mp_output_at": (POINTER(_Output), [c_void_p, c_size_t]),
        "mp_predict": (c_int, [c_void_p, POINTER(_Feed), c_size_t, POINTER(c_void_p), POINTER(_Error)]),
        "mp_result_at": (POINTER(_Values), [c_void_p, c_size_t]),
        "mp_result_free": (None, [c_void_p]),
        "mp_predict_rows": (c_int, [c_void_p, c_void_p]),
        "mp_predict_threads": (c_int, [c_void_p, c_size_t, c_void_p]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


# --- loading --------------------------------------------------------------------------------------------------------------------


def chosen_engine(options: Mapping[str, Any]) -> str:
    """What `engine`, or else the environment, asks for; UsageError for something else."""
    engine = options.get("engine") or os.environ.get(VARIABLE) or "auto"
    if engine not in ENGINES:
        raise UsageError(f"There is no engine {engine!r} for JSON artifacts: it is one of {', '.join(ENGINES)}.")
    return str(engine)


def load(data: bytes, verify: bool, options: Mapping[str, Any], reference: Callable[[], Loaded]) -> CompiledModel | None:
    """The document run by the compiled C stub, its rows replayed if `verify`; None where the reference evaluator has to answer.

    None too when the C stub refuses the document or its answers: then the reference evaluator says why, or answers itself.
    """
    engine = chosen_engine(options)
    if engine == "numpy" or "limits" in options:
        return None
    try:
        lib = library()
    except ModelportError:
        if engine == "c":
            raise
        return None
    model, error = c_void_p(), _Error()
    given = _Options(no_verify=not verify, forget_vectors=True)
    if lib.mp_load(data, len(data), byref(given), byref(model), byref(error)) == 0:
        return CompiledModel(lib, model, data, options.get("threads"), reference)
    if engine == "c":
        from .predictor import replay, require_match

        loaded = reference()  # raises the reference evaluator's own sentence
        if verify:
            require_match(replay(loaded), "The artifact")
        raise ArtifactError(f"The compiled engine refuses the artifact: {_text(error)}")
    return None


def _text(error: _Error) -> str:
    return str(error.message.decode("utf-8", "replace"))


def _string(value: _String) -> str | None:
    return None if value.data is None else ctypes.string_at(value.data, value.size).decode("utf-8", "surrogatepass")


def _name(value: _String) -> str:
    return _string(value) or ""


def _input(value: _Input) -> Input:
    names = [_string(value.lengths[k]) if value.lengths else None for k in range(value.rank)]
    shape = tuple(name if name is not None else value.shape[k] for k, name in enumerate(names))
    features = tuple(_name(value.features[k]) for k in range(value.width)) if value.features else None
    return Input(_name(value.name), DTYPE_NAMES[value.dtype], shape, MISSING_NAMES[value.missing], features)


class CompiledModel:
    """A loaded document, run by the compiled C stub; graph, vectors and provenance are read when they are asked for."""

    engine = "compiled C"

    def __init__(
        self, lib: ctypes.CDLL, model: c_void_p, data: bytes, threads: int | None, reference: Callable[[], Loaded]
    ) -> None:
        self._lib, self._model, self._data, self._threads = lib, model, data, threads
        self._read = reference
        weakref.finalize(self, lib.mp_free, model)
        self.inputs = tuple(_input(lib.mp_input_at(model, i).contents) for i in range(lib.mp_input_count(model)))
        self._named = any(value.lengths for value in self.inputs)
        said = [lib.mp_output_at(model, i).contents for i in range(lib.mp_output_count(model))]
        self._names = [(_name(o.name), DTYPE_NAMES[o.dtype], tuple(o.shape[k] for k in range(o.rank))) for o in said]
        self._feed_names = [value.name.encode("utf-8", "surrogatepass") for value in self.inputs]
        #: answers one row, or many, of the only input when that is a plain matrix; None where the rows have to be looked at
        self.direct: Callable[[Any], dict[str, Array] | None] | None = self._direct()

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self._data, self._threads)

    @cached_property
    def _reference(self) -> Loaded:
        return self._read()

    @cached_property
    def outputs(self) -> tuple[Output, ...]:
        """The declared outputs."""
        return self._reference.outputs

    @property
    def vectors(self) -> Vectors | None:
        """The rows that the document carries."""
        return self._reference.vectors

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Where the document comes from."""
        return self._reference.provenance

    @property
    def graph(self) -> Graph | None:
        """The graph of the document."""
        return self._reference.graph

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Output name -> array for input name -> array."""
        from .run import check_inputs

        checked = check_inputs(self.inputs, feeds)
        kept: list[Any] = []  # what the feeds point to
        rows = len(next(iter(checked.values())))
        array = (_Feed * len(self.inputs))(
            *(_feed(value, name, checked[value.name], kept) for value, name in zip(self.inputs, self._feed_names, strict=True))
        )
        error = _Error()
        answer = (self._by_result if self._named else self._by_targets)(array, rows, error)
        if answer is None:
            return self._explained(feeds, error)
        return answer

    def _explained(self, feeds: Mapping[str, Array], error: _Error) -> dict[str, Array]:
        """Raise the reference evaluator's sentence for rows that the C stub refuses, or that stub's own where it has none."""
        self._reference.run(feeds)
        raise InputError(_text(error))

    def _by_targets(self, feeds: Any, rows: int, error: _Error) -> dict[str, Array] | None:
        targets = _Targets(self._names, rows)
        call = _Call(self._model, feeds, len(feeds), 0, rows, targets.array)
        code = self._lib.mp_predict_threads(ctypes.addressof(call), self._workers(rows), ctypes.addressof(error))
        return targets.answer() if code == 0 else None

    def _by_result(self, feeds: Any, rows: int, error: _Error) -> dict[str, Array] | None:
        """Where lengths have names the shapes of outputs are known afterwards."""
        result = c_void_p()
        if self._lib.mp_predict(self._model, feeds, len(feeds), byref(result), byref(error)) != 0:
            return None
        try:
            answer = {}
            for k, (name, dtype, _) in enumerate(self._names):
                found = self._lib.mp_result_at(result, k).contents
                output = found.output.contents
                shape = (rows, *(output.shape[axis] for axis in range(output.rank)))
                held = np.empty(shape, dtype=_held(dtype))
                if held.size:
                    ctypes.memmove(held.ctypes.data, found.numbers or found.integers or found.strings, held.nbytes)
                answer[name] = _given_back(dtype, held)
            return answer
        finally:
            self._lib.mp_result_free(result)

    def _workers(self, rows: int) -> int:
        if rows < ROWS_FOR_THREADS:
            return 1
        return self._threads or processors()

    def _direct(self) -> Callable[[Any], dict[str, Array] | None] | None:
        only = self.inputs[0]
        if len(self.inputs) != 1 or self._named or only.dtype not in ("f64", "f32") or len(only.shape) != 1:
            return None
        width, kind, rows_of_call = only.type.width, np.ndarray, self._lib.mp_predict_rows
        names, model, feed_name = self._names, self._model, self._feed_names[0]
        spots: list[Any] = []

        def spot() -> Any:
            """Places for one row and its answers, used by one thread at a time."""
            x = np.zeros((1, width))
            targets = _Targets(names, 1)
            feed = (_Feed * 1)(_Feed(feed_name, 0, 1, width, x.ctypes.data))
            call = _Call(model, feed, 1, 0, 1, targets.array)
            return x, ctypes.addressof(call), targets.answer, (call, feed, targets)

        def direct(X: Any) -> dict[str, Array] | None:
            if X.__class__ is not kind or X.ndim != 2 or X.dtype != F64 or X.shape[1] != width:
                return None
            if len(X) == 1:
                try:
                    place = spots.pop()
                except IndexError:
                    place = spot()
                place[0][:] = X
                answer = place[2]() if rows_of_call(place[1], None) == 0 else None
                spots.append(place)
                return answer
            X = np.ascontiguousarray(X)
            feeds = (_Feed * 1)(_Feed(feed_name, 0, len(X), width, X.ctypes.data))
            return self._by_targets(feeds, len(X), _Error())

        return direct


def _again(data: bytes, threads: int | None) -> Any:
    """A model that was pickled after it had been verified."""
    from modelport_json import JsonModel, read_document

    def reference() -> Any:
        return JsonModel(read_document(data))

    return load(data, False, {"threads": threads}, reference) or reference()


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# --- arrays to C, and back ------------------------------------------------------------------------------------------------------

SPAN = np.dtype([("data", np.uintp), ("size", np.uintp)])


def _held(dtype: str) -> Any:
    """How the C stub holds elements of a dtype."""
    return SPAN if dtype == "str" else np.float64 if dtype in ("f64", "f32") else np.int64


class _Targets:
    """Arrays for the answers to so many rows, and the C array that points to them."""

    def __init__(self, outputs: list[tuple[str, str, tuple[int, ...]]], rows: int) -> None:
        self._outputs = [(name, dtype, np.empty((rows, *shape), dtype=_held(dtype))) for name, dtype, shape in outputs]
        self._fresh = rows != 1
        self.array = (_Target * len(outputs))()
        for target, (_, dtype, held) in zip(self.array, self._outputs, strict=True):
            field = "strings" if dtype == "str" else "numbers" if dtype in ("f64", "f32") else "integers"
            setattr(target, field, held.ctypes.data)

    def answer(self) -> dict[str, Array]:
        """Output name -> array; that of a single row leaves the places to the next one."""
        if self._fresh:
            return {name: _given_back(dtype, held) for name, dtype, held in self._outputs}
        return {name: held.copy() if dtype in ("f64", "i64") else _given_back(dtype, held) for name, dtype, held in self._outputs}


def _given_back(dtype: str, held: Array) -> Array:
    """An output as an array of its dtype: what is held, where that is the same."""
    if dtype != "str":
        return held.astype(DTYPES[dtype], copy=False)
    known: dict[tuple[int, int], str | None] = {}
    cells = np.empty(held.shape, dtype=object)
    flat = cells.reshape(-1)
    for i, (data, size) in enumerate(held.ravel().tolist()):
        if (data, size) not in known:
            known[data, size] = ctypes.string_at(data, size).decode("utf-8", "surrogatepass") if data else None
        flat[i] = known[data, size]
    return cells


def _feed(value: Input, name: bytes, array: Array, kept: list[Any]) -> _Feed:
    """Checked rows as a feed; what it points to goes to `kept`."""
    shape = array.shape[1:]
    width = int(np.prod(shape, dtype=np.int64))
    lengths = (c_size_t * len(shape))(*shape)
    feed = _Feed(name, len(name), len(array), width, rank=len(shape), shape=lengths)
    if value.dtype == "str":
        held = _spans(array, kept)
        feed.strings = held.ctypes.data
    elif value.dtype in ("f64", "f32"):
        held = np.ascontiguousarray(array, dtype=np.float64)
        feed.numbers = held.ctypes.data
    else:
        held = np.ascontiguousarray(array, dtype=np.int64)
        feed.integers = held.ctypes.data
    kept += [held, lengths]
    return feed


def _spans(array: Array, kept: list[Any]) -> Array:
    """Where each string is, and how long, in one block of bytes."""
    cells = array.ravel().tolist()
    encoded = [b"" if cell is None else cell.encode("utf-8", "surrogatepass") for cell in cells]
    block = ctypes.create_string_buffer(b"".join(encoded))
    spans = np.zeros(len(cells), dtype=SPAN)
    spans["size"] = np.fromiter(map(len, encoded), dtype=np.uintp, count=len(cells))
    spans["data"][1:] = np.cumsum(spans["size"])[:-1] if len(cells) else []
    spans["data"] += ctypes.addressof(block)
    missing = [i for i, cell in enumerate(cells) if cell is None]
    spans[missing] = (0, 0)
    kept.append(block)
    return spans
