"""How models are put together: nested, shared, subclassed, with hooks; and what is refused, and its sentence."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import keras
import modelport_keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops

import modelport
from modelport.errors import ArtifactError, InputError, NotFitted, Unsupported, UnsupportedAttribute, UnsupportedModel, UsageError
from modelport.run import Evaluator
from tests.converters.modelport_keras.common import agree, check, normal, one, randomised, read
from tests.converters.modelport_keras.zoo import ZOO, Gated


def saved(model: Any, suffix: str, tmp_path: Any) -> Any:
    """The model as a file gives it."""
    path = tmp_path / f"model{suffix}"
    model.save(path)
    return modelport_keras.load_file(path.read_bytes())


def nested() -> Any:
    inner = keras.Sequential([keras.Input((4,)), L.Dense(4, activation="tanh"), L.BatchNormalization()], name="inner")
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    deeper = keras.Model({"a": a, "b": b}, {"sum": inner(a) + inner(b), "one": inner(inner(a))}, name="deeper")
    x = keras.Input((4,), name="x")
    shared = L.Dense(4, activation="relu")
    found = deeper({"a": shared(x), "b": shared(shared(x))})
    return randomised(keras.Model(x, L.Concatenate()([found["sum"], found["one"], inner(x)])))


def test_nested_and_shared_models() -> None:
    check(nested(), normal(5, 4))


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_nested_and_shared_models_in_files(suffix: str, tmp_path: Any) -> None:
    model = nested()
    compare_file(model, saved(model, suffix, tmp_path), normal(5, 4))


def compare_file(model: Any, file: Any, sample: Any) -> None:
    """What a file gives against the live model; Keras itself does not open every .h5 file that it wrote."""
    live, rows = read(model, sample)
    answers = live.answer(rows.feeds())
    reading, _ = read(file, sample, answers=answers)
    agree(Evaluator(reading.graph).run(rows.feeds()), answers)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_masks_operations_and_wrappers_in_files(suffix: str, tmp_path: Any) -> None:
    ids = keras.Input((None,), dtype="int32", name="ids")
    x = L.Embedding(9, 6, mask_zero=True)(ids)
    x = L.Bidirectional(L.RNN([L.LSTMCell(4), L.GRUCell(3)], return_sequences=True))(x)
    x = L.Add()([x, L.MultiHeadAttention(2, 3)(x, x, use_causal_mask=True)])
    x = L.TimeDistributed(keras.Sequential([keras.Input((6,)), L.Dense(6, activation="gelu")]).layers[0])(x)
    y = ops.relu(x[:, -1] * 2.0) + ops.mean(x, axis=1)
    model = randomised(keras.Model(ids, [L.Dense(2)(L.GRU(3)(x)), y]))
    rows = np.random.default_rng(0).integers(0, 9, size=(5, 6))
    rows[:, 4:] = 0
    compare_file(model, saved(model, suffix, tmp_path), rows)


def test_a_functional_model_of_a_class_of_its_own_is_read_as_it_answers() -> None:
    class Scaled(keras.Model):
        """Functional inside, with a call of its own."""

        def call(self, inputs: Any, **kwargs: Any) -> Any:
            return super().call(inputs, **kwargs) * 3.0

    x = keras.Input((4,))
    check(randomised(Scaled(x, L.Dense(2)(x))), normal(5, 4))


def test_subclassed_models_with_several_inputs() -> None:
    class Two(keras.Model):
        """Takes a dict and gives one."""

        def __init__(self) -> None:
            super().__init__()
            self.dense = L.Dense(3)

        def call(self, inputs: Any) -> Any:
            return {"total": self.dense(inputs["a"]) + inputs["b"], "first": inputs["a"] * 2.0}

    model = Two()
    sample = {"a": normal(5, 4), "b": normal(5, 3)}
    model({name: array[:1] for name, array in sample.items()})
    check(randomised(model), sample)


def test_subclassed_models_with_lengths() -> None:
    class Pooled(keras.Model):
        """An embedding and a mean over time."""

        def __init__(self) -> None:
            super().__init__()
            self.table, self.out = L.Embedding(9, 4), L.Dense(2)

        def call(self, ids: Any) -> Any:
            return self.out(ops.mean(self.table(ids), axis=1))

    model = Pooled()
    rows = np.random.default_rng(0).integers(0, 9, size=(5, 6))
    model(rows[:1])
    reading = check(randomised(model), rows, other=rows[:2, :3], lengths={"input": {1: "time"}})
    assert dict(reading.graph.lengths) == {"time": 6}
    assert not check(model, rows).graph.lengths


def test_a_subclassed_model_that_decides_by_its_data_is_refused() -> None:
    class Deciding(keras.Model):
        """Goes one way or the other."""

        def call(self, x: Any) -> Any:
            return x * 2.0 if float(ops.sum(x)) > 0 else x

    model = Deciding()
    with pytest.raises(UnsupportedModel, match="could not be traced"):
        read(model, normal(5, 4))


def test_hooks_read_custom_layers_live_and_from_files(tmp_path: Any) -> None:
    @modelport_keras.layers(Gated, masking=False)
    def gated(walker: Any, layer: Any, inputs: Any) -> Any:
        layer.waive("units")
        (scale,) = layer.take("scale")
        value = walker.floats(layer, inputs).plain
        parts = [layer.part(attribute, name, "kernel", "bias") for attribute, name in (("value", "dense"), ("gate", "dense_1"))]
        a, b = (walker.net.add("linear", value, weight=kernel.T, bias=bias) for kernel, bias in parts)
        made = walker.net.add("binary", a, walker.net.add("unary", b, fn="sigmoid"), fn="mul")
        return walker.net.value(walker.net.add("scale", made, mul=scale))

    try:
        model, sample, _ = ZOO["custom_layer"]()
        check(model, sample)
        reading, rows = read(saved(model, ".keras", tmp_path), sample)
        agree(Evaluator(reading.graph).run(rows.feeds()), reading.answer(rows.feeds()))
    finally:
        modelport_keras.registry.HOOKS.pop(Gated)


def test_custom_layers_that_call_layers_are_traced_with_their_masks() -> None:
    class Block(L.Layer):
        """A transformer's block."""

        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.attention, self.norm, self.drop = L.MultiHeadAttention(2, 3), L.LayerNormalization(), L.Dropout(0.3)
            self.supports_masking = True

        def call(self, x: Any, training: bool = False) -> Any:
            return self.norm(x + self.drop(self.attention(x, x), training=training))

    x = keras.Input((None, 6))
    check(randomised(keras.Model(x, L.GlobalAveragePooling1D()(Block()(x)))), normal(5, 4, 6), other=normal(2, 7, 6))


# --- samples ------------------------------------------------------------------------------------------------------------------


def test_samples_of_many_kinds() -> None:
    pandas = pytest.importorskip("pandas")
    age, town = keras.Input((1,), name="age"), keras.Input((1,), dtype="string", name="town")
    known = L.StringLookup(vocabulary=["oslo"], output_mode="one_hot")(town)
    model = keras.Model([age, town], L.Dense(2)(L.Concatenate()([age, known])))
    rows = {"age": np.arange(5.0), "town": np.array(["oslo", "rome", "oslo", "x", "y"])}
    expected = read(model, rows)[1].feeds()
    for sample in (pandas.DataFrame(rows), list(rows.values()), {k: v[:, None] for k, v in rows.items()}):
        feeds = read(model, sample)[1].feeds()
        assert all((feeds[name] == expected[name]).all() for name in expected)
    with pytest.raises(InputError, match="a dict of arrays by name"):
        read(model, normal(5, 2))
    with pytest.raises(InputError, match="inputs are age, town"):
        read(model, pandas.DataFrame({"age": [1.0]}))
    with pytest.raises(InputError, match="rows of shape"):
        read(one(L.Dense(2), (3,)), normal(5, 4))
    with pytest.raises(InputError, match="fraction"):
        read(one(L.Embedding(3, 2), (3,), "int32"), normal(5, 3))


def test_lengths_are_named_by_hand() -> None:
    a, b = keras.Input((None, 3), name="a"), keras.Input((None, 3), name="b")
    model = keras.Model([a, b], L.Add()([a, b]))
    sample = {"a": normal(5, 4, 3), "b": normal(5, 4, 3)}
    with pytest.raises(UnsupportedModel, match="give them one name"):
        read(model, sample)
    named = {"a": {1: "time"}, "b": {1: "time"}}
    reading = check(model, sample, other={"a": normal(2, 7, 3), "b": normal(2, 7, 3)}, lengths=named)
    assert dict(reading.graph.lengths) == {"time": 4}
    with pytest.raises(UsageError, match="does not have"):
        read(model, sample, lengths={"c": {1: "time"}})
    with pytest.raises(UsageError, match="fixed length"):
        read(model, sample, lengths={"a": {2: "width"}})


def test_a_net_whose_length_must_be_even() -> None:
    x = keras.Input((None, 2))
    down = L.MaxPooling1D(2)(L.Conv1D(2, 3, padding="same")(x))
    model = randomised(keras.Model(x, L.Add()([x, L.UpSampling1D(2)(down)])))
    check(model, normal(5, 8, 2), other=normal(2, 4, 2))


# --- refusals -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: keras.Sequential([L.Dense(2)]), NotFitted, "never built"),
        (lambda: one(L.Dense(2, dtype="mixed_float16"), (4,)), UnsupportedAttribute, "float32 or float64"),
        (lambda: one(L.Dense(2, activation="sparsemax"), (4,)), UnsupportedAttribute, "sparsemax"),
        (lambda: one(L.Softmax(axis=0), (4,)), UnsupportedModel, "mixes rows"),
        (lambda: one(L.BatchNormalization(renorm=True), (4,)), UnsupportedAttribute, "renorm"),
        (lambda: keras.Model(x := keras.Input((4,), dtype="float16"), L.Identity()(x)), UnsupportedModel, "float16"),
    ],
)
def test_refusals(make: Callable[[], Any], error: type[Exception], says: str) -> None:
    model = make()
    with pytest.raises(error, match=says):
        read(model, normal(5, 4))


def test_a_config_with_an_unknown_key_is_refused(tmp_path: Any) -> None:
    path = tmp_path / "model.keras"
    one(L.Dense(2), (4,)).save(path)
    with pytest.raises(UnsupportedAttribute, match="another_option"):
        read(twisted(path, lambda config: config["layers"][1]["config"].update(another_option=True)), normal(5, 4))


def twisted(path: Any, change: Callable[[dict[str, Any]], None]) -> Any:
    """The model of a saved file whose config was changed."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    change(config["config"])
    return modelport_keras.load_file(zipped({**members, "config.json": json.dumps(config).encode()}))


def test_a_class_of_another_module_is_no_layer_of_keras(tmp_path: Any) -> None:
    path = tmp_path / "model.keras"
    one(L.Dense(2), (4,)).save(path)

    def elsewhere(config: dict[str, Any]) -> None:
        config["layers"][1]["module"] = "somebody.layers"

    with pytest.raises(UnsupportedModel, match="not known here"):
        read(twisted(path, elsewhere), normal(5, 4))


def test_a_table_both_ways() -> None:
    ids = keras.Input((3,), dtype="int32")
    for options in ({}, {"tie_weights": False}, {"logit_soft_cap": 2.0}, {"mask_zero": True}):
        layer = L.ReversibleEmbedding(7, 4, **options)
        check(
            randomised(keras.Model(ids, [layer(L.Dense(4)(layer(ids)), reverse=True), L.LSTM(2)(layer(ids))])),
            np.arange(15).reshape(5, 3) % 7,
        )


def zipped(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def test_damaged_files_are_refused(tmp_path: Any) -> None:
    path = tmp_path / "model.keras"
    one(L.Dense(2), (4,)).save(path)
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for broken in (
        *(data[:100], data[:-200], zipped({k: v for k, v in members.items() if k != "config.json"})),
        *(zipped({**members, "config.json": b"{"}), zipped({**members, "model.weights.h5": b"\x89HDF\r\n\x1a\n"})),
        *(zipped({**members, "metadata.json": b"[]"}), b"", b"\x89HDF\r\n\x1a\n" + bytes(100)),
    ):
        with pytest.raises(ArtifactError):
            modelport_keras.load_file(broken)
    config = json.loads(members["config.json"])
    for change in ({}, {"layers": 3}, {"layers": [], "output_layers": [["x", 0, 0]]}, {"input_layers": [["nothing", 0, 0]]}):
        changed = {**config, "config": {**config["config"], **change} if change else {}}
        with pytest.raises((ArtifactError, UnsupportedModel)):
            read(modelport_keras.load_file(zipped({**members, "config.json": json.dumps(changed).encode()})), normal(5, 4))
    with pytest.raises(Unsupported, match=r"Keras 2\.15"):
        modelport_keras.load_file(zipped({**members, "metadata.json": b'{"keras_version": "2.15.0"}'}))
    with pytest.raises(Unsupported, match="shards"):
        modelport_keras.load_file(zipped({k: v for k, v in members.items() if k != "model.weights.h5"}))


def test_weights_alone_are_refused(tmp_path: Any) -> None:
    path = tmp_path / "model.weights.h5"
    one(L.Dense(2), (4,)).save_weights(path)
    with pytest.raises(Unsupported, match="weights only"):
        modelport_keras.load_file(path.read_bytes())


# --- answers that were recorded elsewhere -------------------------------------------------------------------------------------


def test_recorded_answers_stand_in_for_the_model(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = one(L.Dense(2, activation="tanh"), (4,))
    rows = normal(5, 4)
    answers = {"dense": np.asarray(model(rows))}
    file = saved(model, ".keras", tmp_path)
    answers = {read(file, rows)[0].graph.outputs[0].name: next(iter(answers.values()))}
    silent = saved(model, ".keras", tmp_path)
    monkeypatch.setattr(type(silent), "original", lambda self: None)
    silent.silence = "Keras is not installed."
    with pytest.raises(UnsupportedModel, match="nobody can answer for it"):
        read(silent, rows)
    artifact = modelport.convert(silent, "json", sample=rows, answers=answers)
    assert artifact.report.passed
    reading, _ = read(silent, rows, answers=answers)
    assert reading.recorded is not None
    np.savez(tmp_path / "answers.npz", **answers)
    assert read(silent, rows, answers=str(tmp_path / "answers.npz"))[0].recorded is not None
    with pytest.raises(InputError, match="shape"):
        read(silent, rows, answers={name: array[:2] for name, array in answers.items()})
    with pytest.raises(InputError, match="no output"):
        read(silent, rows, answers={"other": rows})
    with pytest.raises(UsageError, match="can be asked itself"):
        read(model, rows, answers=answers)
