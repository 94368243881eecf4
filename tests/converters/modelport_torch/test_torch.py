"""PyTorch models as a source: samples, modes, outputs, files, the delegate, refusals."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import modelport_torch
import numpy as np
import onnx
import pytest
import torch
from modelport_torch import exporting
from modelport_torch.calling import Original, named_tensors
from torch import nn

import modelport
from modelport.errors import ArtifactError, InputError, MissingDependency, NotFitted, Refused, UnsupportedModel, UsageError
from modelport.files import load_model
from modelport.run import Evaluator
from tests.converters.modelport_torch.zoo import CASES

ROWS = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)


class Named(nn.Module):
    """Three arguments, one of them optional."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.dense = nn.Embedding(9, 3), nn.Linear(4, 3)

    def forward(self, ids: torch.Tensor, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        y = self.table(ids).sum(1) + self.dense(x)
        return y if mask is None else y * mask


class Several(nn.Module):
    """Any number of arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(4, 2)

    def forward(self, *parts: torch.Tensor) -> torch.Tensor:
        return self.dense(sum(parts))


@dataclasses.dataclass
class Held:
    """A result with fields."""

    score: torch.Tensor
    extra: Any = None


class Pair(NamedTuple):
    """A result with names."""

    first: torch.Tensor
    second: torch.Tensor


class Giving(nn.Module):
    """Gives what a function makes of its result."""

    def __init__(self, result: Any) -> None:
        super().__init__()
        self.dense, self.result = nn.Linear(4, 2), result

    def forward(self, x: torch.Tensor) -> Any:
        return self.result(self.dense(x))


def ids(dtype: Any = np.int64, high: int = 9) -> np.ndarray:
    return np.random.default_rng(1).integers(0, high, size=(6, 5)).astype(dtype)


def converted(model: Any, sample: Any, **options: Any) -> Any:
    artifact = modelport.convert(model, "json", sample=sample, **options)
    assert artifact.report.passed
    return json.loads(artifact.data)


# --- samples -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sample", [{"x": ROWS, "ids": ids()}, (ids(), ROWS), [torch.from_numpy(ids()), torch.from_numpy(ROWS)]])
def test_samples_bind_to_the_arguments_of_forward(sample: Any) -> None:
    found = modelport_torch.sample_of(Named(), sample)
    assert found is not None
    assert list(found.values) == ["ids", "x"]


def test_samples_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="'q'"):
        modelport_torch.sample_of(Named(), {"q": ROWS})
    with pytest.raises(InputError, match="takes ids, x, mask"):
        modelport_torch.sample_of(Named(), (ids(), ROWS, ROWS, ROWS))
    with pytest.raises(InputError, match="rows first"):
        modelport_torch.sample_of(Named(), (3.0, ROWS))
    with pytest.raises(InputError, match="bfloat16"):
        modelport_torch.sample_of(nn.Linear(4, 2), torch.zeros(3, 4, dtype=torch.bfloat16))
    with pytest.raises(UnsupportedModel, match="does not answer"):
        modelport.convert(nn.Linear(4, 2), "json", sample=ROWS[:, :3])


def test_a_list_of_rows_is_one_array() -> None:
    found = modelport_torch.sample_of(nn.Linear(4, 2), ROWS.tolist())
    assert found is not None
    assert found.values["input"].shape == (6, 4)
    assert found.values["input"].dtype == np.float32


def test_doubles_are_fed_to_a_float_module_as_floats() -> None:
    assert converted(nn.Linear(4, 2), ROWS.astype(np.float64))["inputs"][0]["dtype"] == "f32"
    assert converted(nn.Linear(4, 2).double(), ROWS)["inputs"][0]["dtype"] == "f64"


def test_optional_arguments_and_int32() -> None:
    document = converted(Named(), {"ids": ids(np.int32), "x": ROWS, "mask": np.ones((6, 1), dtype=np.float32)})
    assert [(v["name"], v["dtype"]) for v in document["inputs"]] == [("ids", "i64"), ("x", "f32"), ("mask", "f32")]
    original = Original(Named())
    with pytest.raises(InputError, match="no int32"):
        original.answer({"ids": np.full((1, 5), 1 << 40), "x": ROWS[:1]}, {"ids": ids(np.int32), "x": ROWS})


def test_any_number_of_arguments() -> None:
    document = converted(Several(), (ROWS, ROWS * 2))
    assert [v["name"] for v in document["inputs"]] == ["parts_0", "parts_1"]


# --- results -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "names"),
    [
        (lambda y: y, ["output"]),
        (lambda y: (y, None, [y * 2]), ["output_0", "output_2_0"]),
        (lambda y: {"a": y, "b": {"c": y * 3}}, ["a", "b_c"]),
        (lambda y: Held(y), ["score"]),
        (lambda y: Pair(y, y > 0), ["first", "second"]),
    ],
)
def test_results_have_names(result: Any, names: list[str]) -> None:
    assert [o["name"] for o in converted(Giving(result), ROWS)["outputs"]] == names


def test_results_that_are_no_tensors_are_refused() -> None:
    with pytest.raises(UnsupportedModel, match="gives a float"):
        modelport.convert(Giving(lambda y: (y, 3.0)), "json", sample=ROWS)
    with pytest.raises(UnsupportedModel, match="no tensor"):
        named_tensors(None)
    with pytest.raises(UnsupportedModel, match="no axis for the batch"):
        modelport.convert(Giving(lambda y: y.sum()), "json", sample=ROWS)


# --- the model stays as it was -------------------------------------------------------------------------------------------------


def test_mode_gradients_and_seeds_are_left_alone() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 2))
    model[1].eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    converted(model, ROWS)
    assert [part.training for part in model.modules()] == [True, True, False, True, True]
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_default_dtype() is torch.float32
    assert torch.is_grad_enabled()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_a_model_is_exported_once_until_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    exports = []
    plain = exporting._export
    monkeypatch.setattr(exporting, "_export", lambda *given: exports.append(1) or plain(*given))
    model = nn.Linear(4, 2)
    converted(model, ROWS)
    converted(model, ROWS)
    assert len(exports) == 1
    with torch.no_grad():
        model.weight.mul_(2)
    converted(model, ROWS)
    assert len(exports) == 2


def test_every_export_of_a_recurrence_in_a_process_is_for_all_lengths() -> None:
    class Last(nn.Module):
        def __init__(self, first: bool) -> None:
            super().__init__()
            self.first, self.cell = first, nn.LSTM(3, 4, batch_first=first)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.cell(x)[0][:, -1] if self.first else self.cell(x.transpose(0, 1))[0][-1]

    rows = np.random.default_rng(2).normal(size=(4, 5, 3)).astype(np.float32)
    for first in (True, True, False):
        model = Last(first).eval()
        reading = modelport_torch.read(model, modelport_torch.sample_of(model, rows), {"lengths": {"x": {1: "time"}}})
        assert [step.op for step in reading.graph.steps] == ["lstm"]
        longer = np.random.default_rng(4).normal(size=(2, 9, 3)).astype(np.float32)
        got = Evaluator(reading.graph.at({"time": 9})).run({"x": longer})["output"]
        with torch.no_grad():
            np.testing.assert_allclose(got, model(torch.from_numpy(longer)).numpy(), rtol=1e-5, atol=1e-6)


def test_the_exported_file_tells_nothing_of_the_source_and_is_the_same_again() -> None:
    model = CASES["residual"].model()
    sample = modelport_torch.sample_of(model, CASES["residual"].rows(3))
    assert sample is not None
    first = exporting._export(Original(model), sample).data
    assert first == exporting._export(Original(model), sample).data
    assert b"zoo.py" not in first
    assert b"stack_trace" not in first
    proto = onnx.load_from_string(first)
    assert [v.name for v in proto.graph.input] == ["x"]
    assert [v.name for v in proto.graph.output] == ["output"]
    assert any(t.name.startswith("first.") or t.name.startswith("norms.") for t in proto.graph.initializer)
    onnx.checker.check_model(proto, full_check=True)


def test_masks_that_let_nothing_pass_answer_zeros() -> None:
    """PyTorch gives zeros where a position may attend to nothing; its exporter would spread the attention over everything."""

    class Masked(nn.Module):
        def forward(self, x: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
            q = x[:, None]
            return nn.functional.scaled_dot_product_attention(q, q, q, attn_mask=keep[:, None, None, :])[:, 0] + 0.0 * x

    rng = np.random.default_rng(3)
    x, keep = rng.normal(size=(6, 5, 4)).astype(np.float32), rng.random((6, 5)) < 0.5
    keep[0] = False
    reading = modelport_torch.read(Masked(), modelport_torch.sample_of(Masked(), (x, keep)), {})
    answered = reading.answer({"x": x, "keep": keep})["output"]
    assert not answered[0].any()
    assert converted(Masked(), (x, keep), lengths={"x": {1: "time"}, "keep": {1: "time"}})["lengths"] == {"time": 5}


# --- files ---------------------------------------------------------------------------------------------------------------------


def mlp() -> nn.Module:
    """A factory, and the model of the files below."""
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2)).eval()


def test_an_exported_program(tmp_path: Path) -> None:
    model = mlp()
    program = torch.export.export(model, (torch.from_numpy(ROWS),), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    torch.export.save(program, tmp_path / "net.pt2")
    loaded = load_model(tmp_path / "net.pt2")
    artifact = modelport.convert(loaded, "json", sample=ROWS)
    got = next(iter(modelport.load(artifact).predict(ROWS).values()))
    np.testing.assert_allclose(got, model(torch.from_numpy(ROWS)).detach().numpy(), rtol=1e-6, atol=1e-7)


def test_an_exported_program_for_a_fixed_batch_is_refused() -> None:
    program = torch.export.export(mlp(), (torch.from_numpy(ROWS),))
    with pytest.raises(UnsupportedModel, match="6 rows at once"):
        modelport.convert(program, "json", sample=ROWS)


def test_torchscript(tmp_path: Path) -> None:
    torch.jit.script(mlp()).save(str(tmp_path / "net.pt"))
    artifact = modelport.convert(load_model(tmp_path / "net.pt"), "json", sample=ROWS)
    assert artifact.report.passed


def test_a_pickled_module_needs_trust(tmp_path: Path) -> None:
    torch.save(mlp(), tmp_path / "net.pt")
    with pytest.raises(Refused, match="trust"):
        load_model(tmp_path / "net.pt")
    assert converted(load_model(tmp_path / "net.pt", trust=True), ROWS)


def test_weights_need_a_factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_factory.py").write_text(
        "from torch import nn\n\n\ndef make():\n    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))\n\n\n"
        "def other():\n    return nn.Linear(4, 3)\n"
    )
    torch.save(mlp().state_dict(), tmp_path / "weights.pt")
    torch.save({"epoch": 3, "state_dict": mlp().state_dict()}, tmp_path / "checkpoint.pt")
    with pytest.raises(Refused, match="factory"):
        load_model("weights.pt")
    for name in ("weights.pt", "checkpoint.pt"):
        model = load_model(name, trust=True, factory="own_factory:make")
        assert torch.equal(model[0].weight, mlp()[0].weight)
    with pytest.raises(Refused, match="do not fit"):
        load_model("weights.pt", trust=True, factory="own_factory:other")
    for factory in ("own_factory", "own_factory:absent", "absent_module:make"):
        with pytest.raises(UsageError, match="factory"):
            load_model("weights.pt", trust=True, factory=factory)


def test_a_damaged_file(tmp_path: Path) -> None:
    held = io.BytesIO()
    torch.jit.script(mlp()).save(str(tmp_path / "net.pt"))
    held.write((tmp_path / "net.pt").read_bytes())
    with pytest.raises((ArtifactError, MissingDependency)):
        modelport_torch.open_file(str(tmp_path / "absent.pt"), "torchscript")
    (tmp_path / "broken.pt").write_bytes(held.getvalue()[:200])
    with pytest.raises(ArtifactError):
        modelport_torch.open_file(str(tmp_path / "broken.pt"), "torchscript")


# --- the delegate --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mlp", "several_inputs", "dict_output"])
def test_the_delegate(name: str) -> None:
    case = CASES[name]
    artifact = modelport.convert(case.model(), "onnx", sample=case.rows(6), backend="torch.onnx")
    assert artifact.backend == "torch.onnx"
    assert artifact.report.passed
    assert artifact.report.notes[0].startswith("written by torch.onnx ")


def test_the_delegate_casts_int32_itself() -> None:
    artifact = modelport.convert(Named(), "onnx", sample=(ids(np.int32), ROWS), backend="torch.onnx")
    assert artifact.report.passed


def test_an_output_with_the_name_of_an_input() -> None:
    class Echo(nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"x": torch.tanh(x), "same": x}

    for to, backend in (("json", "graph"), ("onnx", "torch.onnx")):
        artifact = modelport.convert(Echo(), to, sample=ROWS, backend=backend)
        np.testing.assert_allclose(modelport.load(artifact).predict(ROWS)["x"], np.tanh(ROWS), rtol=1e-5)


# --- refusals ------------------------------------------------------------------------------------------------------------------


class Projected(nn.Module):
    """An LSTM whose states are projected."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(4, 8, proj_size=3, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rnn(x)[0]


def test_a_projection_that_the_exporter_drops_is_refused() -> None:
    with pytest.raises(UnsupportedModel, match="proj_size"):
        modelport.convert(Projected().eval(), "json", sample=np.ones((2, 5, 4), np.float32))


class Layered(nn.Module):
    """Layers by name, one of them used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3)
        self.head = nn.Sequential(nn.Linear(6, 6), nn.Tanh())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.head(self.norm(self.stem(x)).flatten(1))) * 2


def test_steps_have_the_names_of_the_layers() -> None:
    model = Layered().eval()
    reading = modelport_torch.read(model, modelport_torch.sample_of(model, np.ones((2, 2, 4), np.float32)), {})
    steps = [(step.op, step.output) for step in reading.graph.steps]
    assert ("conv", "norm") in steps
    assert [name for op, name in steps if op == "linear"] == ["head.0", "head.0 2"]
    assert [name for op, name in steps if op == "unary"] == ["head.1", "head.1 2"]


def test_refusals() -> None:
    with pytest.raises(NotFitted, match="lazy"):
        modelport.convert(nn.LazyLinear(3), "json", sample=ROWS)
    with pytest.raises(UnsupportedModel, match=r"\.float\(\)"):
        modelport.convert(nn.Linear(4, 2).half(), "json", sample=ROWS)
    with pytest.raises(UsageError, match="'q'"):
        modelport.convert(mlp(), "json", sample=ROWS, lengths={"q": {1: "time"}})


def test_what_mixes_the_rows_of_a_batch_is_refused() -> None:
    class Centred(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x - x.mean(dim=0, keepdim=True)

    with pytest.raises(UnsupportedModel, match="rows beside it"):
        modelport.convert(Centred(), "json", sample=ROWS)


def test_a_length_that_the_model_fixes_is_refused() -> None:
    with pytest.raises(UnsupportedModel):
        modelport.convert(mlp(), "json", sample=ROWS, lengths={"input": {1: "width"}})


# --- Hugging Face --------------------------------------------------------------------------------------------------------------


def tokens() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    mask = np.ones((4, 7), dtype=np.int64)
    mask[1, 4:] = 0
    mask[2, 5:] = 0
    return {"input_ids": rng.integers(0, 50, size=(4, 7)), "attention_mask": mask}


def test_bert_of_two_layers(need_module) -> None:  # type: ignore[no-untyped-def]
    need_module("transformers", "transformers")
    import transformers

    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    model, lengths = transformers.BertModel(config), {n: {1: "time"} for n in tokens()}
    assert modelport.convert(model, "onnx", sample=tokens(), lengths=lengths).report.passed
    document = converted(model, tokens(), lengths=lengths)
    assert [o["name"] for o in document["outputs"]] == ["last_hidden_state", "pooler_output"]
    assert sum(step["op"] == "layer_norm" for step in document["steps"]) == 5


def test_gpt2_of_two_layers(need_module) -> None:  # type: ignore[no-untyped-def]
    need_module("transformers", "transformers")
    import transformers

    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=50, n_positions=64, n_embd=16, n_layer=2, n_head=2, bos_token_id=1, eos_token_id=2
    )
    model = transformers.GPT2LMHeadModel(config)
    sample, lengths = {"input_ids": tokens()["input_ids"]}, {"input_ids": {1: "time"}}
    assert modelport.convert(model, "onnx", sample=sample, lengths=lengths).report.passed
    document = converted(model, sample, lengths=lengths)
    assert [o["name"] for o in document["outputs"]] == ["logits"]
    assert sum(step["op"] == "activation" for step in document["steps"]) == 2


def test_the_version_that_it_was_made_with_is_recorded() -> None:
    model, sample = nn.Linear(3, 2).eval(), np.ones((4, 3), np.float32)
    artifact = modelport.convert(model, "json", sample=sample)
    document = json.loads(artifact.data)
    assert document["provenance"]["framework"] == {"name": "torch", "version": str(torch.__version__)}
    document["provenance"]["framework"]["version"] = "0.1"
    document["steps"][-1]["bias"][0] += 1.0
    report = modelport.verify(json.dumps(document).encode())
    assert any("it was made with torch 0.1 (" in note for note in report.notes)
