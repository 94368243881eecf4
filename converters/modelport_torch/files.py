"""Models saved by PyTorch. What a file is, is told by its content (modelport.kinds); nothing in a pickle runs without trust."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from modelport.delegation import first_line
from modelport.errors import ArtifactError, MissingDependency, Refused, UntrustedFile, UsageError

__all__ = ["made_by", "opened"]


def opened(path: str, kind: str, *, trust: bool, factory: str | None) -> Any:
    """See `modelport_torch.open_file`."""
    import torch

    try:
        if kind == "pt2":
            return torch.export.load(path)
        if kind == "torchscript":
            return torch.jit.load(path, map_location="cpu")
        if kind == "state-dict":
            return _with_weights(path, factory)
        if not trust:
            raise UntrustedFile(f"Opening {path!r} would run code stored in it: say --trust (trust=True) if you trust its maker.")
        model = torch.load(path, map_location="cpu", weights_only=False)
    except (Refused, UsageError, MissingDependency, MemoryError):
        raise
    except (ImportError, AttributeError) as error:
        raise MissingDependency(
            f"The model in {path!r} needs something that is not found here ({first_line(error)}) Keep its class in a module that "
            "can be imported."
        ) from error
    except Exception as error:  # a damaged file can fail anywhere inside
        raise ArtifactError(f"The file cannot be opened as a PyTorch model: {first_line(error)}") from error
    if not isinstance(model, torch.nn.Module):
        raise Refused(f"{path!r} holds a {type(model).__name__}, which is no module: save the model, or its state_dict.")
    return model


def _with_weights(path: str, factory: str | None) -> Any:
    """The factory's module with the weights of a file, in eval mode; all of them have to fit."""
    import torch

    if factory is None:
        raise Refused(
            f"{path!r} holds weights without the module: say which function makes it, factory='package.module:function'."
        )
    weights = torch.load(path, map_location="cpu", weights_only=True)
    for key in ("state_dict", "model_state_dict"):  # as checkpoints of training loops hold them
        if isinstance(weights, dict) and isinstance(weights.get(key), dict):
            weights = weights[key]
    if not isinstance(weights, dict) or not all(isinstance(v, torch.Tensor) for v in weights.values()):
        raise Refused(f"{path!r} holds no state_dict of tensors: save model.state_dict().")
    model = made_by(factory)
    if not isinstance(model, torch.nn.Module):
        raise UsageError(f"The factory {factory!r} gives a {type(model).__name__}: it has to give the nn.Module.")
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise Refused(f"The weights in {path!r} do not fit the module that {factory!r} makes: {first_line(error)}") from None
    return model.eval()


def made_by(factory: str) -> Any:
    """What the function "package.module:function" gives; the current folder is looked into, too."""
    module, colon, name = factory.partition(":")
    if not colon or not module or not name:
        raise UsageError(f"The factory {factory!r} is not understood: write it as package.module:function.")
    here = str(Path.cwd())
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"The factory {factory!r} cannot be found: {first_line(error)}") from None
    finally:
        if added and here in sys.path:
            sys.path.remove(here)
    return function()
