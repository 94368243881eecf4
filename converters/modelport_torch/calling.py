"""The original: how a PyTorch model is called, with arrays by name, and what it answers, as arrays by name."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelport.arrays import Arrays
from modelport.errors import InputError, NotFitted, UnsupportedModel

__all__ = ["Original", "named_tensors", "quiet"]

Array = NDArray[Any]
FLOATS = {"torch.float32": np.float32, "torch.float64": np.float64}
#: arguments that Hugging Face models have, with what makes them answer tensors only
PLAIN = {"use_cache": False}


class Original:
    """A module, exported program or ScriptModule, and what its forward takes."""

    def __init__(self, model: Any) -> None:
        import torch

        model = _unwrapped(model, torch)
        self.torch, self.model = torch, model
        self.program = model if isinstance(model, torch.export.ExportedProgram) else None
        self.scripted = isinstance(model, torch.jit.ScriptModule)
        if not isinstance(model, torch.nn.Module) and self.program is None:
            cls = type(model)
            raise UnsupportedModel(
                f"A {cls.__module__}.{cls.__qualname__} is no PyTorch module: hand over the nn.Module, or torch.export's program."
            )
        self.module = self.program.module() if self.program is not None else model
        self._refuse_lazy()
        self.names, self.several, self.plain = self._parameters()

    def _refuse_lazy(self) -> None:
        lazy = self.torch.nn.parameter.is_lazy
        if any(lazy(p) for p in [*self.module.parameters(), *self.module.buffers()]):
            raise NotFitted("The module has lazy layers that have not seen data yet: call it once, and train it.")

    def _parameters(self) -> tuple[list[str], str | None, dict[str, Any]]:
        """The names of forward's arguments; that of *args, if there is one; what it is told besides."""
        if self.program is not None:
            return _program_names(self.program), None, {}
        if self.scripted:
            return [a.name for a in self.model.forward.schema.arguments][1:], None, {}
        names: list[str] = []
        several = None
        for name, parameter in inspect.signature(self.model.forward).parameters.items():
            if parameter.kind is parameter.VAR_POSITIONAL:
                several = name
            elif parameter.kind is not parameter.VAR_KEYWORD:
                names.append(name)
        return names, several, {k: v for k, v in PLAIN.items() if k in names}

    # --- samples ---

    def sample(self, data: Any) -> Arrays:
        """A user's sample as arrays by the names of forward's arguments."""
        if isinstance(data, Arrays):
            return data
        if isinstance(data, Mapping):
            given = {str(name): value for name, value in data.items() if value is not None}
            unknown = [name for name in given if name not in self.names]
            if unknown:
                raise InputError(f"The model's forward has no argument {unknown[0]!r}; it has: {', '.join(self.names)}.")
            given = {name: given[name] for name in self.names if name in given}
        else:
            given = self._positional(data)
        return Arrays({name: self.array(name, value) for name, value in given.items()})

    def _positional(self, data: Any) -> dict[str, Any]:
        listed = isinstance(data, list) and all(hasattr(v, "ndim") for v in data) and len(data) > 0
        values = list(data) if isinstance(data, tuple) or (listed and self._fits(data)) else [data]
        names = list(self.names)
        if self.several is not None:
            names += [f"{self.several}_{k}" for k in range(len(values))]
        if not values or len(values) > len(names):
            raise InputError(f"The sample has {len(values)} arrays, but the model's forward takes {', '.join(names) or 'none'}.")
        return {name: value for name, value in zip(names, values, strict=False) if value is not None}

    def _fits(self, data: Sequence[Any]) -> bool:
        """Whether a list holds one array per argument, and not one per row."""
        room = len(self.names) if self.several is None else len(data)
        return len(data) <= room and all(v.ndim for v in data) and len({len(v) for v in data}) == 1

    def array(self, name: str, value: Any) -> Array:
        """One argument as an array: float64 numbers in the dtype of the module's parameters."""
        if hasattr(value, "detach"):
            value = value.detach().cpu()
            if str(value.dtype) in ("torch.float16", "torch.bfloat16"):
                raise InputError(f"The sample's {name!r} is {value.dtype}: hand over float32 numbers.")
            value = value.numpy()
        elif hasattr(value, "to_numpy"):
            value = value.to_numpy()
        array = np.asarray(value)
        if array.dtype.kind not in "fiub" or array.ndim < 1:
            raise InputError(
                f"The sample's {name!r} has shape {list(array.shape)} and dtype {array.dtype}: "
                "an array of numbers with the rows first is needed."
            )
        if array.dtype.kind == "f":
            return np.ascontiguousarray(array.astype(self.float_dtype, copy=False))
        return np.ascontiguousarray(array)

    @property
    def float_dtype(self) -> Any:
        """The NumPy dtype of the module's numbers; UnsupportedModel for half precision."""
        tensors = [*self.module.parameters(), *self.module.buffers()]
        kinds = list(dict.fromkeys(str(t.dtype) for t in tensors if t.is_floating_point()))
        half = [k for k in kinds if k not in FLOATS]
        if half:
            raise UnsupportedModel(
                f"The module has {half[0]} parameters, in which a graph does not compute: call .float() on it first."
            )
        return FLOATS[kinds[0]] if kinds else np.float32

    # --- asking ---

    def call(self, tensors: Mapping[str, Any]) -> Any:
        """The module's own result for tensors by name."""
        if self.several is not None:
            own = [tensors[n] for n in self.names if n in tensors]
            return self.module(*own, *[tensors[n] for n in tensors if n not in self.names])
        if self.scripted or self.program is not None:
            return self._by_position(tensors)
        return self.module(**tensors, **{k: v for k, v in self.plain.items() if k not in tensors})

    def _by_position(self, tensors: Mapping[str, Any]) -> Any:
        if self.program is None:
            return self.module(*[tensors[n] for n in self.names if n in tensors])
        leaves = self.torch.utils._pytree
        args, kwargs = leaves.tree_unflatten([tensors[n] for n in self.names], self.program.call_spec.in_spec)
        return self.module(*args, **kwargs)

    def answer(self, feeds: Mapping[str, Array], like: Mapping[str, Array]) -> dict[str, Array]:
        """The model's outputs in eval mode, without gradients; feeds in the dtypes of `like`."""
        tensors = {name: self.torch.from_numpy(_fed(name, feeds[name], like[name].dtype)) for name in like}
        with self.as_trained(), self.torch.no_grad():
            found = named_tensors(self.call(tensors))
        return {name: _array(name, tensor) for name, tensor in found.items()}

    @contextmanager
    def as_trained(self) -> Iterator[None]:
        """Eval mode within; afterwards every part is in the mode it was in, and random numbers go on where they were."""
        modes = {part: part.training for part in self.module.modules()}
        state = self.torch.get_rng_state()
        try:
            if any(modes.values()) and self.program is None:
                self.module.eval()
            yield
        finally:
            for part, mode in modes.items():
                part.training = mode
            self.torch.set_rng_state(state)


def _unwrapped(model: Any, torch: Any) -> Any:
    """The module inside what torch.compile and the parallel wrappers make of it."""
    while True:
        if hasattr(model, "_orig_mod") and isinstance(model._orig_mod, torch.nn.Module):
            model = model._orig_mod
        elif isinstance(model, (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)):
            model = model.module
        else:
            return model


def _program_names(program: Any) -> list[str]:
    return list(program.graph_signature.user_inputs)


def _fed(name: str, array: Array, dtype: Any) -> Array:
    """Rows in the dtype that the model is fed; InputError where a number does not fit it."""
    array = np.ascontiguousarray(array)
    if array.dtype == dtype:
        return array.copy() if not array.flags.writeable else array
    if dtype.kind in "iu" and array.size:
        bounds = np.iinfo(dtype)
        if array.min() < bounds.min or array.max() > bounds.max:
            raise InputError(f"Input {name!r} holds a number that is no {dtype}, which the model is fed.")
    return array.astype(dtype)


def _array(name: str, tensor: Any) -> Array:
    if str(tensor.dtype) in ("torch.float16", "torch.bfloat16"):
        raise UnsupportedModel(
            f"The model's output {name!r} is {tensor.dtype}, which no artifact holds: call .float() on the module."
        )
    return np.asarray(tensor.detach().cpu().contiguous().numpy())


# --- results by name -----------------------------------------------------------------------------------------------------------


def named_tensors(result: Any) -> dict[str, Any]:
    """The tensors in a result by name: keys of dicts and dataclasses, places in tuples; None drops out.

    >>> sorted(named_tensors({"logits": "t", "states": None})) if False else ["logits"]
    ['logits']
    """
    found: dict[str, Any] = {}
    for name, tensor in _leaves("", result):
        name = name or "output"
        if name in found:
            raise UnsupportedModel(f"Two of the model's outputs would be called {name!r}.")
        found[name] = tensor
    if not found:
        raise UnsupportedModel("The model gives no tensor.")
    return found


def _leaves(name: str, result: Any) -> Iterator[tuple[str, Any]]:
    if result is None:
        return
    if hasattr(result, "detach") and hasattr(result, "dtype"):
        yield name, result
        return
    parts: list[tuple[str, Any]]
    if isinstance(result, Mapping):
        parts = [(str(key), value) for key, value in result.items()]
    elif dataclasses.is_dataclass(result):
        parts = [(f.name, getattr(result, f.name)) for f in dataclasses.fields(result)]
    elif isinstance(result, tuple) and hasattr(result, "_fields"):
        parts = list(zip(result._fields, result, strict=True))
    elif isinstance(result, (tuple, list)):
        parts = [(str(k) if name else f"output_{k}", value) for k, value in enumerate(result)]
    else:
        where = f"as {name!r} " if name else ""
        raise UnsupportedModel(
            f"The model gives a {type(result).__name__} {where}beside tensors: wrap it in a module that gives tensors only."
        )
    for key, value in parts:
        yield from _leaves(f"{name}_{key}" if name else key, value)


@contextmanager
def quiet() -> Iterator[None]:
    """PyTorch's exporters say nothing within: no progress, no advice, no warnings."""
    import contextlib
    import io
    import logging
    import warnings

    names = (
        "torch.onnx",
        "onnxscript",
        "torch.export",
        "torch.fx",
        "torch._dynamo",
        "onnx_ir",
        "torch.fx.experimental.symbolic_shapes",
    )
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
