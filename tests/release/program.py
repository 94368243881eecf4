"""A user's program, as mypy --strict sees it against the installed wheel."""

from pathlib import Path

import modelport
from modelport import Artifact, ModelportError, Predictor, Report
from modelport.errors import Mismatch


def answers(path: Path) -> list[float]:
    """The first rows' answers."""
    predictor: Predictor = modelport.load(path)
    outputs = predictor.predict([[5.0, 3.0, 1.0, 0.1]])
    return [float(value) for value in outputs["probability"][0]]


def proven(model: object, sample: object) -> Report | None:
    """What was found, or None."""
    try:
        artifact: Artifact = modelport.convert(model, "json", sample=sample)
    except Mismatch as error:
        print(error.report, error.exit_code)
        return None
    except ModelportError as error:
        raise SystemExit(error.exit_code) from error
    report = modelport.verify(artifact, model=model, sample=sample, with_=["python"])
    passed: bool = report.passed
    print(passed, modelport.__version__.upper(), [output.max_abs for c in report.consumers for output in c.outputs])
    return report
