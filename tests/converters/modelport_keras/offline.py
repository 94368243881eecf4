"""Reads saved models in a process where neither Keras nor a backend can be imported, and says how far its answers are off.

    python offline.py FOLDER

FOLDER has files of models, and beside each an .npz of rows ("in:NAME") and of what Keras answers ("out:NAME"), "in:NAME" as
strings where the input takes text. Writes a JSON object: file -> largest error relative to the output's scale, or the refusal.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

BLOCKED = ("keras", "tensorflow", "torch", "jax")


class Blocked:
    """Pretends that the frameworks are not installed."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)


def main(folder: Path) -> dict[str, object]:
    sys.meta_path.insert(0, Blocked())
    import modelport_keras
    import numpy as np

    from modelport.errors import ModelportError
    from modelport.run import Evaluator

    found: dict[str, object] = {}
    for path in sorted(folder.glob("*.keras")) + sorted(folder.glob("*.h5")):
        with np.load(path.with_suffix(".npz"), allow_pickle=False) as archive:
            rows = {k[3:]: archive[k] for k in archive.files if k.startswith("in:")}
            wanted = {k[4:]: archive[k] for k in archive.files if k.startswith("out:")}
        try:
            model = modelport_keras.load_file(path.read_bytes())
            sample = modelport_keras.sample_of(model, rows)
            reading = modelport_keras.read(model, sample, {"answers": wanted})
            got = Evaluator(reading.graph).run(sample.feeds())
        except ModelportError as error:
            found[path.name] = f"{type(error).__name__}: {error}"
            continue
        worst = 0.0
        for name, expected in wanted.items():
            scale = max(float(np.abs(expected).max(initial=0.0)), 1e-6)
            error = np.abs(got[name].astype(np.float64) - expected).max(initial=0.0) / scale
            worst = max(worst, float(error) if error == error else float("inf"))
        found[path.name] = worst
    assert not set(BLOCKED) & {name.partition(".")[0] for name in sys.modules}
    return found


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
