"""Train the model that predicts how a disease progresses; `python train.py` writes the artifacts that the service loads."""

from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

ALPHA = 1.0


def model_and_sample():
    """The fitted pipeline, and rows it is fed."""
    data = load_diabetes(as_frame=True, scaled=False)
    model = make_pipeline(StandardScaler(), Ridge(alpha=ALPHA, solver="cholesky"))
    return model.fit(data.data, data.target), data.data


def main():
    """Write what the service loads."""
    import modelport

    model, sample = model_and_sample()
    for path in ("models/progression.json", "models/progression.onnx"):
        print(modelport.convert(model, path, sample=sample).report)


if __name__ == "__main__":
    main()
