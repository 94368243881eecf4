"""The arrays of layers in saved files: a `.keras` archive's tree of groups, or a whole-model `.h5` file's list of paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modelport.errors import ArtifactError, UnsupportedModel

from .network import Array

__all__ = ["PathWeights", "TreeWeights", "dataset", "group_in"]

#: elements that one array of a file may have
LARGEST = 1 << 28


def group_in(parent: Any, name: str) -> Any:
    """A group of an HDF5 file, or None; links to elsewhere are refused."""
    import h5py

    if parent is None or name not in parent:
        return None
    if not isinstance(parent.get(name, getlink=True), h5py.HardLink):
        raise ArtifactError(f"its weights have a link to elsewhere ({name!r})")
    found = parent[name]
    return found if isinstance(found, h5py.Group) else None


def dataset(parent: Any, name: str) -> Array | None:
    """An array of an HDF5 file, or None; what lies outside of the file is refused."""
    import h5py

    if parent is None or name not in parent:
        return None
    if not isinstance(parent.get(name, getlink=True), h5py.HardLink):
        raise ArtifactError(f"its weights have a link to elsewhere ({name!r})")
    found = parent[name]
    if not isinstance(found, h5py.Dataset):
        return None
    if found.external or found.is_virtual or found.size is None or found.size > LARGEST:
        raise ArtifactError(f"its weights have an array that is not in the file, or too large ({name!r})")
    return np.asarray(found[()])


class TreeWeights:
    """The weights of one layer of a `.keras` archive: a group, and the path of the layer's assets.

    twins: those of the same layer at other places of the model, of which only one was saved with weights.
    """

    def __init__(self, group: Any, path: str, assets: Mapping[str, bytes]) -> None:
        self.group, self.path, self.assets = group, path, assets
        self.twins: list[TreeWeights] = []

    def under(self, name: str) -> TreeWeights:
        """What is kept under a name."""
        return TreeWeights(group_in(self.group, name), f"{self.path}/{name}", self.assets)

    def _filled(self) -> TreeWeights:
        """These, or the twin that was saved with weights."""
        return next((w for w in (self, *self.twins) if _has_arrays(w.group)), self)

    def take(self, names: Sequence[str]) -> list[Array]:
        """The layer's own variables in order of creation."""
        source = self._filled() if names else self
        own = group_in(source.group, "vars")
        count = 0 if own is None else len(own)
        if count > len(names):
            raise UnsupportedModel(
                f"The file has {count} weights under {source.path!r}, and {len(names)} are known: {', '.join(names)}."
            )
        arrays = [dataset(own, str(i)) for i in range(len(names))]
        missing = [name for name, array in zip(names, arrays, strict=True) if array is None]
        if missing:
            raise KeyError(f"the file has no {missing[0]} under {source.path!r}")
        return [array for array in arrays if array is not None]

    def child(self, attribute: str, name: str) -> TreeWeights:
        """Those of a layer inside, by the attribute that holds it (which was a private one in older versions of Keras)."""
        source = self._filled()
        private = group_in(source.group, attribute) is None and group_in(source.group, f"_{attribute}") is not None
        return source.under(f"_{attribute}" if private else attribute)

    def item(self, attribute: str, index: int, key: str, name: str) -> TreeWeights:
        """Those of a layer in a list inside."""
        return self._filled().under(attribute).under(key)

    def vocabulary(self) -> list[str] | None:
        """The vocabulary in the archive's assets, or None."""
        for path in (path for w in (self, *self.twins) for path in (w.path, f"{w.path}/_lookup_layer")):
            data = self.assets.get(f"assets/{path.lstrip('/')}/vocabulary.txt")
            if data is not None:
                lines = data.decode("utf-8").splitlines()
                while lines and lines[-1] == "":
                    lines.pop()
                return lines
        return None

    def named(self, name: str) -> Array | None:
        """A variable kept under a name of its own, or None."""
        return dataset(group_in(self._filled().group, "vars"), name)


def _has_arrays(group: Any) -> bool:
    """Whether an array lies anywhere below a group."""
    import h5py

    return group is not None and bool(group.visititems(lambda name, found: isinstance(found, h5py.Dataset) or None))


class PathWeights:
    """The weights of one layer of a `.h5` file: paths such as "lstm/lstm_cell/kernel", of which a chain of names must be part."""

    def __init__(self, arrays: Mapping[str, tuple[Any, str]], chain: tuple[str, ...] = ()) -> None:
        self.arrays, self.chain = arrays, chain

    def take(self, names: Sequence[str]) -> list[Array]:
        """The variables of these names right below the last name of the chain."""
        found = []
        for name in names:
            fits = [path for path in self.arrays if self._fits(path, name)]
            if len(fits) != 1:
                raise KeyError(f"the file has {len(fits)} arrays {'/'.join((*self.chain, name))!r}")
            array = dataset(*self.arrays[fits[0]])
            if array is None:
                raise KeyError(f"{fits[0]!r} is no array")
            found.append(array)
        return found

    def _fits(self, path: str, name: str) -> bool:
        *above, last = path.split("/")
        if last.partition(":")[0] != name or not above or not self.chain:
            return False
        if above[0] != self.chain[0] or above[-1] != self.chain[-1]:
            return False
        waiting = iter(above)
        return all(part in waiting for part in self.chain)

    def child(self, attribute: str, name: str) -> PathWeights:
        """Those of a layer inside, by its name."""
        return PathWeights(self.arrays, (*self.chain, name))

    def item(self, attribute: str, index: int, key: str, name: str) -> PathWeights:
        """Those of a layer in a list inside, by its name."""
        return self.child(attribute, name)

    def vocabulary(self) -> list[str] | None:
        """Files of this kind have no vocabulary but in the config."""
        return None

    def named(self, name: str) -> Array | None:
        """Files of this kind have none."""
        return None
