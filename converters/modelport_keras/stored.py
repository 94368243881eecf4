"""Saved Keras models read without Keras: `.keras` archives (JSON and HDF5 in a zip) and whole-model `.h5` files."""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from modelport.errors import ArtifactError, MissingDependency, Unsupported, UnsupportedModel

from .naming import container_keys
from .network import Call, Layer, Network, Ref, Source, flatten
from .weights import PathWeights, TreeWeights

__all__ = ["StoredModel", "is_archive", "is_hdf5", "load"]

#: bytes that one member of an archive may have
LARGEST_MEMBER = 1 << 33
MODELS = ("Functional", "Model", "Sequential")


@dataclass
class StoredModel:
    """A model in a file: its config, where its weights are, and the bytes themselves, for Keras to open where it is installed."""

    config: Mapping[str, Any]
    weights: Any
    version: str
    data: bytes = field(repr=False)
    suffix: str = ".keras"
    silence: str = ""
    _original: Any = field(default=None, repr=False)

    @property
    def class_name(self) -> str:
        """The class of the saved model."""
        return str(self.config["class_name"])

    @property
    def network(self) -> Network:
        """What the model is made of."""
        with as_written():
            return _Reader().model(self.config, self.weights)

    def original(self) -> Any:
        """The model as Keras opens it, or None: `silence` then says why."""
        if self._original is None and not self.silence:
            self._original, self.silence = _opened(self.data, self.suffix)
        return self._original


#: readers are found by the root module of a model's class
StoredModel.__module__ = "keras"


def _opened(data: bytes, suffix: str) -> tuple[Any, str]:
    """The model as Keras opens it, and an empty sentence; or None, and why it does not."""
    import os
    import tempfile
    from importlib.util import find_spec

    try:
        missing = find_spec("keras") is None
    except (ImportError, ValueError):
        missing = True
    if missing:
        return None, "Keras is not installed."
    try:
        import keras
    except Exception as error:  # its backend may be missing, or broken
        return (
            None,
            f"Keras cannot be imported ({str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__}).",
        )
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, f"model{suffix}")
        with open(path, "wb") as file:
            file.write(data)
        try:
            return keras.saving.load_model(path, compile=False, safe_mode=True), ""
        except Exception as error:  # whatever Keras finds in a file
            lines = [line for line in str(error).splitlines() if line.strip()]
            return None, f"Keras does not open it ({(lines or [type(error).__name__])[0]})."


@contextlib.contextmanager
def as_written() -> Iterator[None]:
    """ArtifactError where a config is not one that Keras writes, wherever that shows."""
    try:
        yield
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, OSError, RuntimeError, RecursionError) as error:
        raise ArtifactError(
            f"its config or its weights are not as Keras writes them ({type(error).__name__}: {error})."
        ) from None


def is_archive(head: bytes) -> bool:
    """Whether a file that begins so may be a `.keras` archive: a zip whose first member is one of Keras's."""
    names = (b"metadata.json", b"config.json", b"model.weights.h5", b"model.weights.npz", b"model.weights.json", b"assets/")
    return head.startswith(b"PK\x03\x04") and head[30:].startswith(names)


def is_hdf5(head: bytes) -> bool:
    """Whether a file that begins so is HDF5."""
    return head.startswith(b"\x89HDF\r\n\x1a\n")


def load(data: bytes) -> StoredModel:
    """The model in the bytes of a file. ArtifactError for a damaged one, Unsupported for one that holds no whole model."""
    try:
        import h5py  # noqa: F401
    except ImportError:
        raise MissingDependency("A saved Keras model needs h5py: pip install 'modelport[keras]'.") from None
    try:
        return _load_hdf5(data) if is_hdf5(data) else _load_archive(data)
    except (ArtifactError, Unsupported):
        raise
    except (KeyError, ValueError, TypeError, OSError, RuntimeError, AttributeError, zipfile.BadZipFile, RecursionError) as error:
        raise ArtifactError(f"it is no readable Keras model: {error}.") from None


def _load_archive(data: bytes) -> StoredModel:
    import h5py

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for member in archive.infolist():
            if member.file_size > LARGEST_MEMBER or member.file_size > (1 << 26) + 2000 * max(member.compress_size, 1):
                raise ArtifactError(f"its member {member.filename!r} is too large.")
        names = set(archive.namelist())
        if "config.json" not in names or "metadata.json" not in names:
            raise ArtifactError("it is a zip archive, but has no config.json and metadata.json.")
        if "model.weights.h5" not in names:
            raise Unsupported("Its weights are kept in shards or as npz: load it with Keras and save it as one .keras file.")
        config = json.loads(archive.read("config.json"))
        version = str(json.loads(archive.read("metadata.json")).get("keras_version", ""))
        weights = h5py.File(io.BytesIO(archive.read("model.weights.h5")), "r")
        assets = {name: archive.read(name) for name in names if name.endswith("/vocabulary.txt")}
    _check_version(version)
    return StoredModel(config, TreeWeights(weights, "", assets), version, data)


def _load_hdf5(data: bytes) -> StoredModel:
    import h5py

    file = h5py.File(io.BytesIO(data), "r")
    config = file.attrs.get("model_config")
    if config is None:
        raise Unsupported(
            "It holds weights only, and no model (a .weights.h5 file): build the model in Python, call load_weights, "
            "and hand it over, or save it whole as .keras."
        )
    version = _text(file.attrs.get("keras_version", b""))
    _check_version(version)
    group = file["model_weights"]
    arrays: dict[str, tuple[Any, str]] = {}

    def note(name: str, found: Any) -> None:
        if isinstance(found, h5py.Dataset):
            arrays[name] = (group, name)

    group.visititems(note)
    return StoredModel(json.loads(_text(config)), PathWeights(arrays), version, data, ".h5")


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _check_version(version: str) -> None:
    if not version.startswith("3."):
        raise Unsupported(
            f"It was saved by Keras {version or 'of an unknown version'}, whose layers have other configs: "
            "load it where that version is installed, and save it with Keras 3 as .keras."
        )


# --- configs ------------------------------------------------------------------------------------------------------------------


class _Reader:
    """Reads the configs of one file; a layer that stands in it twice is known again."""

    def __init__(self) -> None:
        self.same: dict[str, list[TreeWeights]] = {}

    def model(self, config: Mapping[str, Any], weights: Any) -> Network:
        """A model's config as a network."""
        name, inner = config["class_name"], config["config"]
        if name in MODELS and str(config.get("module") or "keras").partition(".")[0] == "keras":
            if name == "Sequential":
                return self._sequential(inner, weights)
            if "layers" in inner and "input_layers" in inner:
                return self._functional(inner, weights)
        raise UnsupportedModel(
            f"The file holds a {name}, a class of its own, whose code it does not have: hand the model over from Python, "
            "where it can be traced."
        )

    def layers(
        self, configs: Sequence[Mapping[str, Any]], weights: Any, skip: Callable[[Mapping[str, Any]], bool]
    ) -> list[Layer]:
        """The layers of a model, with their weights."""
        saved = [config for config in configs if not skip(config)]
        keys = iter(container_keys([config["class_name"] for config in saved]))
        made = []
        for index, config in enumerate(configs):
            name = str(config["config"].get("name", config["class_name"]))
            found = weights.child("layers", name) if skip(config) else weights.item("layers", index, next(keys), name)
            made.append(self.layer(config, found))
        return made

    def layer(self, config: Mapping[str, Any], weights: Any) -> Layer:
        """One layer or operation."""
        inner = config["config"]
        kind = "op" if _is_op(config) else "layer"
        if isinstance(weights, TreeWeights) and kind == "layer":
            weights.twins = self.same.setdefault(json.dumps(_bare(inner), sort_keys=True, default=str), [])
            weights.twins.append(weights)
        layer = Layer(config["class_name"], inner, weights, kind, config.get("registered_name"), module=config.get("module"))
        if kind == "layer" and config["class_name"] in MODELS and isinstance(inner.get("layers"), list) and not layer.own:
            network = self.model(config, weights)
            layer.network = lambda: network
            layer.config = {"name": inner.get("name", config["class_name"])}
        return layer

    def _sequential(self, inner: Mapping[str, Any], weights: Any) -> Network:
        configs = list(inner["layers"])
        if configs and configs[0]["class_name"] == "InputLayer":
            first = _input(configs[0]["config"])
            shape, dtype, name = first["batch_shape"], first["dtype"], first["name"]
        else:
            shape, dtype, name = inner.get("build_input_shape"), "float32", "input"
            if shape is None or not isinstance(shape, list):
                raise UnsupportedModel(
                    "The Sequential model in the file was saved before it was built: call build, or fit, first."
                )
        source = Source(("input",), str(name), tuple(shape[1:]), str(_dtype(dtype)))
        made = self.layers(configs, weights, lambda config: config["class_name"] == "InputLayer")
        calls: list[Call] = []
        last = Ref(source.key)
        for i, layer in enumerate(made):
            if layer.class_name == "InputLayer":
                continue
            calls.append(Call(layer, [last], {}, [("layer", i)]))
            last = Ref(("layer", i))
        return Network(str(inner["name"]), [source], Ref(source.key), calls, last, [str(made[-1].name)] if made else [])

    def _functional(self, inner: Mapping[str, Any], weights: Any) -> Network:
        configs = inner["layers"]
        made = self.layers(configs, weights, _is_op)
        names = [str(config.get("name", config["config"].get("name"))) for config in configs]
        nested = {name for name, layer in zip(names, made, strict=True) if layer.network and layer.class_name != "Sequential"}
        sources: dict[Hashable, Source] = {}
        calls: list[Call] = []
        for name, config, layer in zip(names, configs, made, strict=True):
            if config["class_name"] == "InputLayer":
                c = _input(config["config"])
                sources[name, 0, 0] = Source((name, 0, 0), name, tuple(c["batch_shape"][1:]), str(_dtype(c["dtype"])))
            for index, node in enumerate(config.get("inbound_nodes", ())):
                if not isinstance(node, Mapping):
                    raise UnsupportedModel("The calls in the file are written as Keras 2 does: save the model with Keras 3.")
                args, kwargs = _argument(node["args"]), _argument(node["kwargs"])
                calls.append(Call(layer, list(args), dict(kwargs), _Outputs(name, index)))
        ends = _ends(inner["output_layers"], nested)
        intake = _ends(inner["input_layers"], set())
        ordered = [sources[ref.key] for ref in flatten(intake)]
        return Network(str(inner["name"]), ordered, intake, _ordered(calls, ends), ends, [ref.key[0] for ref in flatten(ends)])


class _Outputs(Sequence[Hashable]):
    """The keys of what one call gives, of which a file does not tell the number."""

    def __init__(self, name: str, index: int) -> None:
        self.name, self.index = name, index

    def __getitem__(self, place: Any) -> Any:
        return (self.name, self.index, place)

    def __len__(self) -> int:
        return 1 << 16


def _bare(config: Any) -> Any:
    """A config without the numbers that tell objects apart, which differ from place to place."""
    if isinstance(config, Mapping):
        return {key: _bare(value) for key, value in config.items() if key != "shared_object_id"}
    return [_bare(value) for value in config] if isinstance(config, list) else config


def _is_op(config: Mapping[str, Any]) -> bool:
    """Whether a config is that of a function of keras.ops."""
    module = config.get("module")
    if module is not None:
        return str(module).startswith("keras.src.") and ".layers" not in module and ".models" not in module
    inner = config["config"]
    return config["class_name"] not in ("InputLayer", *MODELS) and "trainable" not in inner


def _input(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The config of an InputLayer; UnsupportedModel for one whose tensors are not dense."""
    if config.get("sparse") or config.get("ragged"):
        raise UnsupportedModel(f"Input {config['name']!r} takes sparse or ragged tensors, which have no rows of one shape.")
    return config


def _dtype(dtype: Any) -> str:
    return str(dtype["config"]["name"] if isinstance(dtype, Mapping) else dtype)


def _ends(tree: Any, nested: set[str]) -> Any:
    """The structure of a model's inputs or outputs; calls of models inside are counted from one there."""
    if isinstance(tree, list) and len(tree) == 3 and isinstance(tree[0], str) and all(isinstance(k, int) for k in tree[1:]):
        name, index, place = tree
        return Ref((name, index - 1 if name in nested else index, place))
    if isinstance(tree, Mapping):
        return {key: _ends(part, nested) for key, part in tree.items()}
    return [_ends(part, nested) for part in tree]


def _argument(value: Any) -> Any:
    """An argument of a call, with `Ref`s where tensors are."""
    if isinstance(value, list):
        return [_argument(part) for part in value]
    if not isinstance(value, Mapping):
        return value
    kind, inner = value.get("class_name"), value.get("config", {})
    if kind == "__keras_tensor__":
        return Ref(tuple(inner["keras_history"]))
    if kind in ("__tensor__", "__numpy__"):
        return np.asarray(inner["value"], dtype=inner["dtype"])
    if kind == "__ellipsis__":
        return Ellipsis
    if kind == "__slice__":
        return slice(*(_argument(inner[key]) for key in ("start", "stop", "step")))
    if kind == "__tuple__":
        return tuple(_argument(part) for part in value["items"])
    if isinstance(kind, str):
        raise UnsupportedModel(f"A call in the file has an argument of class {kind}, which is not known.")
    return {key: _argument(part) for key, part in value.items()}


def _ordered(calls: Sequence[Call], ends: Any) -> list[Call]:
    """The calls that lead to the outputs, in the order in which Keras makes them: by their distance from the outputs."""
    made = {call.outputs[0][:2]: call for call in calls}  # type: ignore[index]
    needs = {
        key: [leaf.key[:2] for leaf in flatten([call.args, call.kwargs]) if isinstance(leaf, Ref) and leaf.key[:2] in made]
        for key, call in made.items()
    }
    depth: dict[Any, int] = {}
    for key in reversed(_sorted([ref.key[:2] for ref in flatten(ends) if ref.key[:2] in made], needs)):
        distance = depth.setdefault(key, 0) + 1
        for need in needs[key]:
            depth[need] = max(depth.get(need, 0), distance)
    place = {key: i for i, key in enumerate(made)}
    return [made[key] for key in sorted(depth, key=lambda key: (-depth[key], place[key]))]


def _sorted(ends: Sequence[Any], needs: Mapping[Any, Sequence[Any]]) -> list[Any]:
    """What the ends need, and themselves, each behind all it needs. ArtifactError for a loop."""
    done: dict[Any, bool] = {}
    order = []
    waiting = [(key, False) for key in reversed(ends)]
    while waiting:
        key, complete = waiting.pop()
        if complete:
            done[key] = True
            order.append(key)
        elif key not in done:
            done[key] = False
            waiting.append((key, True))
            for need in needs[key]:
                if done.get(need) is False:
                    raise ArtifactError("its calls form a loop.")
                if need not in done:
                    waiting.append((need, False))
    return order


def nested(config: Mapping[str, Any], weights: Any) -> Layer:
    """A layer or a model that stands inside of a layer's config."""
    return _Reader().layer(config, weights)
