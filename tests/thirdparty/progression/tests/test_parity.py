"""The artifacts answer as the model does, in every consumer that can run here."""

import pytest
from train import model_and_sample


@pytest.mark.parity("json", "onnx", "pmml")
def test_the_model_in_every_format():
    return model_and_sample()


def test_the_answers_are_near_enough(parity):
    model, sample = model_and_sample()
    (report,) = parity(model, sample=sample).to("json", consumers=["python"])
    assert max(output.max_abs for output in report.consumers[0].outputs) < 1e-6


@pytest.mark.parametrize("path", ["models/progression.json", "models/progression.onnx"])
def test_a_committed_artifact_is_still_the_model(path, parity):
    model, sample = model_and_sample()
    parity.baseline(path, model=model, sample=sample)


@pytest.mark.parametrize("path", ["models/progression.json", "models/progression.onnx"])
def test_a_committed_artifact_answers_as_when_it_was_made(path, parity):
    parity.baseline(path)
