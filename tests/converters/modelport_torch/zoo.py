"""Small PyTorch models of every kind the reader knows: random weights from fixed seeds, statistics of norms randomised.

A case is a module, what it is fed (a tuple of arrays, batch axis first) and the axes that vary besides the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["CASES", "Case", "case", "each_in_a_process", "shared"]

ROWS = 5


@dataclass(frozen=True)
class Case:
    """One model with its sample; lengths maps inputs to {array axis: name}; refused tells that it has to be refused."""

    name: str
    make: Callable[[], nn.Module]
    feed: Callable[[int, Mapping[str, int]], tuple[np.ndarray, ...]]
    lengths: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    example: Mapping[str, int] = field(default_factory=dict)
    refused: bool = False

    def model(self) -> nn.Module:
        """The module, made anew from its seed, in eval mode."""
        torch.manual_seed(len(self.name) * 7 + ord(self.name[0]))
        return randomised(self.make()).eval()

    def rows(self, n: int = ROWS, **lengths: int) -> tuple[np.ndarray, ...]:
        """n rows of what the module is fed, at the example lengths or others."""
        return self.feed(n, {**self.example, **lengths})


CASES: dict[str, Case] = {}


def case(
    name: str,
    feed: Callable[[int, Mapping[str, int]], tuple[np.ndarray, ...]],
    lengths: Mapping[str, Mapping[int, str]] | None = None,
    example: Mapping[str, int] | None = None,
    refused: bool = False,
) -> Callable[[Callable[[], nn.Module]], Callable[[], nn.Module]]:
    """Add a model to the zoo."""

    def add(make: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
        CASES[name] = Case(name, make, feed, lengths or {}, example or {}, refused)
        return make

    return add


def randomised(module: nn.Module) -> nn.Module:
    """Norms with parameters and running statistics as training would leave them, not as they begin."""
    for part in module.modules():
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm1d, nn.InstanceNorm2d)):
            for name, tensor in [*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)]:
                if tensor.is_floating_point():
                    low, high = (0.5, 2.0) if "var" in name or "weight" in name else (-0.7, 0.7)
                    with torch.no_grad():
                        tensor.uniform_(low, high)
    return module


def normal(*shape: int | str, seed: int = 0) -> Callable[[int, Mapping[str, int]], tuple[np.ndarray, ...]]:
    """Rows of normal numbers; a string is a named length."""

    def feed(n: int, lengths: Mapping[str, int]) -> tuple[np.ndarray, ...]:
        sizes = [lengths[k] if isinstance(k, str) else k for k in shape]
        return (np.random.default_rng(seed + n).normal(size=(n, *sizes)).astype(np.float32),)

    return feed


def tokens(*shape: int | str, high: int = 20, seed: int = 0) -> Callable[[int, Mapping[str, int]], tuple[np.ndarray, ...]]:
    """Rows of token numbers below `high`."""

    def feed(n: int, lengths: Mapping[str, int]) -> tuple[np.ndarray, ...]:
        sizes = [lengths[k] if isinstance(k, str) else k for k in shape]
        return (np.random.default_rng(seed + n).integers(0, high, size=(n, *sizes)),)

    return feed


def both(*feeds: Callable[[int, Mapping[str, int]], tuple[np.ndarray, ...]]) -> Callable[..., tuple[np.ndarray, ...]]:
    """Several inputs."""
    return lambda n, lengths: tuple(array for feed in feeds for array in feed(n, lengths))


class Fn(nn.Module):
    """A module whose forward is a function of itself and one input."""

    def __init__(self, forward: Callable[..., Any], **parts: Any) -> None:
        super().__init__()
        self.function = forward
        for name, part in parts.items():
            if isinstance(part, nn.Module):
                self.add_module(name, part)
            else:
                self.register_buffer(name, part)

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(self, x)


# --- dense and convolutional ---------------------------------------------------------------------------------------------------


@case("mlp", normal(4))
def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 3), nn.Softmax(dim=-1))


@case("cnn_batch_norm", normal(3, 12, 12))
def cnn_batch_norm() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AvgPool2d(3, stride=1, padding=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )


@case("depthwise_same", normal(4, 9, 9))
def depthwise_same() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(4, 4, 3, padding="same", groups=4),
        nn.Hardswish(),
        nn.Conv2d(4, 8, 1),
        nn.Hardsigmoid(),
        nn.Flatten(1),
        nn.Linear(648, 2),
    )


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.norms = nn.ModuleList([nn.BatchNorm2d(4), nn.BatchNorm2d(4)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.norms[0](self.first(x)))
        return F.relu(self.norms[1](self.second(y)) + x)


case("residual", normal(4, 7, 7))(Residual)


@case("dilated_conv1d", normal(3, "time"), {"x": {2: "time"}}, {"time": 11})
def dilated_conv1d() -> nn.Module:
    net = nn.Sequential(nn.Conv1d(3, 5, 3, dilation=2, padding=2), nn.ReLU(), nn.Conv1d(5, 4, 2, stride=2))
    return Fn(lambda self, x: self.net(x).mean(dim=2), net=net)


@case("conv_transpose", normal(3, 5, 5))
def conv_transpose() -> nn.Module:
    return nn.Sequential(
        nn.ConvTranspose2d(3, 6, 3, stride=2, padding=1, output_padding=1),
        nn.LeakyReLU(0.3),
        nn.ConvTranspose2d(6, 4, 2, stride=2, groups=2),
    )


@case("group_instance_norm", normal(6, 5, 5))
def group_instance_norm() -> nn.Module:
    return nn.Sequential(
        nn.GroupNorm(3, 6), nn.Conv2d(6, 4, 3), nn.InstanceNorm2d(4, affine=True), nn.ReLU(), nn.InstanceNorm2d(4)
    )


@case("upsample_reflect", normal(3, 6, 6))
def upsample_reflect() -> nn.Module:
    return nn.Sequential(
        nn.ReflectionPad2d(1),
        nn.Conv2d(3, 4, 3),
        nn.Upsample(scale_factor=2, mode="nearest"),
        nn.Conv2d(4, 2, 3, padding=1),
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
    )


@case("dropout_elu_prelu", normal(6))
def dropout_elu_prelu() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), nn.ELU(0.7), nn.Linear(8, 5), nn.PReLU(5), nn.Linear(5, 2), nn.SELU())


# --- recurrent -----------------------------------------------------------------------------------------------------------------


@case("lstm", normal("time", 3), {"x": {1: "time"}}, {"time": 6})
def lstm() -> nn.Module:
    return Fn(lambda self, x: self.head(self.cell(x)[0][:, -1]), cell=nn.LSTM(3, 5, batch_first=True), head=nn.Linear(5, 2))


@case("gru", normal("time", 3), {"x": {1: "time"}}, {"time": 6})
def gru() -> nn.Module:
    return Fn(lambda self, x: self.cell(x)[0], cell=nn.GRU(3, 4, batch_first=True))


class Bidirectional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTM(3, 4, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        sequence, (hidden, _) = self.cell(x)
        return self.head(sequence), torch.cat([hidden[-2], hidden[-1]], dim=1)


case("bidirectional_lstm", normal("time", 3), {"x": {1: "time"}}, {"time": 5})(Bidirectional)


# --- attention and embeddings --------------------------------------------------------------------------------------------------


@case("transformer_relu", normal("time", 8), {"x": {1: "time"}}, {"time": 5})
def transformer_relu() -> nn.Module:
    return nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)


# forward of the library's module calls its input src
CASES["transformer_relu"] = Case("transformer_relu", transformer_relu, normal("time", 8), {"src": {1: "time"}}, {"time": 5})


@case("transformer_gelu_norm_first", normal("time", 8), {"x": {1: "time"}}, {"time": 5})
def transformer_gelu() -> nn.Module:
    layer = nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", norm_first=True, batch_first=True)
    return Fn(lambda self, x: self.layer(x).mean(dim=1), layer=layer)


class SelfAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, query: torch.Tensor, memory: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.attention(query, memory, memory)


case(
    "multihead_attention",
    both(normal("time", 8), normal("past", 8, seed=3)),
    {"query": {1: "time"}, "memory": {1: "past"}},
    {"time": 4, "past": 6},
)(SelfAttention)


@case("embedding_mean", tokens("time"), {"x": {1: "time"}}, {"time": 7})
def embedding_mean() -> nn.Module:
    return Fn(
        lambda self, x: self.head(self.table(x).mean(dim=1)), table=nn.Embedding(20, 6, padding_idx=0), head=nn.Linear(6, 3)
    )


@case("embedding_bag", tokens(6))
def embedding_bag() -> nn.Module:
    return Fn(lambda self, x: self.head(self.table(x)), table=nn.EmbeddingBag(20, 5, mode="mean"), head=nn.Linear(5, 2))


@case("layer_norm_gelu", normal("time", 6), {"x": {1: "time"}}, {"time": 4})
def layer_norm_gelu() -> nn.Module:
    return Fn(lambda self, x: F.gelu(self.norm(self.first(x))), first=nn.Linear(6, 8), norm=nn.LayerNorm(8, eps=1e-3))


@case("layer_norm_gelu_tanh", normal(6))
def layer_norm_gelu_tanh() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.GELU(approximate="tanh"), nn.Linear(8, 2))


# --- several inputs and outputs, and code --------------------------------------------------------------------------------------


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.numbers, self.codes = nn.Linear(3, 4), nn.Embedding(20, 4)

    def forward(self, numbers: torch.Tensor, codes: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        return torch.where(keep, self.numbers(numbers) * self.codes(codes), self.codes(codes))


def _two_inputs(n: int, lengths: Mapping[str, int]) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(n)
    return rng.normal(size=(n, 3)).astype(np.float32), rng.integers(0, 20, size=(n,)), rng.random((n, 1)) < 0.5


case("several_inputs", _two_inputs)(TwoInputs)


@case("several_outputs", normal(5))
def several_outputs() -> nn.Module:
    return Fn(lambda self, x: (self.a(x), None, [self.b(x).argmax(dim=1), self.b(x) > 0]), a=nn.Linear(5, 3), b=nn.Linear(5, 2))


@case("dict_output", normal(5))
def dict_output() -> nn.Module:
    return Fn(lambda self, x: {"logits": self.a(x), "hidden": self.a(x).softmax(-1)}, a=nn.Linear(5, 3))


@case("shape_arithmetic", normal("time", 6), {"x": {1: "time"}}, {"time": 5})
def shape_arithmetic() -> nn.Module:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        batch, time, width = x.shape
        heads = x.view(batch, time, 2, width // 2).permute(0, 2, 1, 3).reshape(batch * 2, time, -1)
        half = heads[:, : time - 1] + heads[:, 1:]
        weights = torch.arange(time - 1, dtype=x.dtype, device=x.device) / time
        return self.head((half * weights[None, :, None]).sum(1).view(batch, -1)) * math_sqrt(width)

    return Fn(forward, head=nn.Linear(6, 4))


def math_sqrt(number: int) -> float:
    return float(number) ** 0.5


@case("python_if", normal(4), refused=True)
def python_if() -> nn.Module:
    return Fn(lambda self, x: self.a(x) if x.sum() > 0 else self.b(x), a=nn.Linear(4, 2), b=nn.Linear(4, 2))


@case("cond", normal(4))
def cond() -> nn.Module:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        return torch.cond(self.switch.sum() > 0, lambda x: self.a(x), lambda x: self.b(x) * 2.0, (x,))

    return Fn(forward, a=nn.Linear(4, 2), b=nn.Linear(4, 2), switch=torch.tensor([-1.0, 0.5]))


@case("static_loop", normal(4))
def static_loop() -> nn.Module:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        for i in range(3):
            x = torch.tanh(self.a(x)) + i * x
        return x

    return Fn(forward, a=nn.Linear(4, 4))


class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(x)
        return gradient * (s + x * s * (1 - s))


@case("autograd_function", normal(4))
def autograd_function() -> nn.Module:
    return Fn(lambda self, x: self.b(Swish.apply(self.a(x))), a=nn.Linear(4, 6), b=nn.Linear(6, 3))


@cache
def shared(name: str) -> nn.Module:
    """The module of a case, one for all tests of a process: exporting takes most of the time, and is done once per module."""
    return CASES[name].model()


def each_in_a_process() -> list[Any]:
    """The cases as parameters; those of one module stay in one process, which exports it once."""
    return [pytest.param(case, id=name, marks=pytest.mark.xdist_group(f"torch-{name}")) for name, case in CASES.items()]
