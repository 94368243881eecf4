"""Gates beside other compilers of trees: tl2cgen, LightGBM itself, and lleaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from racing import Bench, Gate, against, race

__all__ = ["boosters"]


def _tl2cgen(bench: Bench, case: dict[str, Any]) -> Callable[[], Any]:
    """The C code of tl2cgen, which cc compiles as that package asks it to."""
    import tl2cgen
    import treelite

    library = bench.folder / f"gb300{'-quick' * bench.quick}-tl2cgen.so"
    tl2cgen.export_lib(treelite.sklearn.import_model(case["model"]), toolchain="gcc", libpath=library, params={"quantize": 1})
    predictor = tl2cgen.Predictor(library, nthread=1)
    return partial(predictor.predict, tl2cgen.DMatrix(case["rows"], dtype="float64"))


def _lightgbm(bench: Bench, case: dict[str, Any]) -> Callable[[], Any]:
    return partial(case["model"].predict_proba, case["rows"], num_threads=1)


def _lleaves(bench: Bench, case: dict[str, Any]) -> Callable[[], Any]:
    """LLVM's code for LightGBM's own file."""
    import lleaves

    text = Path(bench.folder / "lgb300.txt")
    case["model"].booster_.save_model(text)
    model = lleaves.Model(model_file=str(text))
    model.compile()
    return partial(model.predict, case["rows"], n_jobs=1)


#: a package, what it needs beside itself, the model, the bar, and how it is called
RIVALS: tuple[tuple[str, tuple[str, ...], str, float, Callable[[Bench, dict[str, Any]], Callable[[], Any]]], ...] = (
    ("tl2cgen", ("treelite",), "gb300", 5.0, _tl2cgen),
    ("lightgbm", (), "lgb300", 7.0, _lightgbm),
    ("lleaves", ("lightgbm",), "lgb300", 1.6, _lleaves),
)


def boosters(bench: Bench) -> Iterator[Gate]:
    """Batches of boosted trees beside programs made for them alone; what they answer has to be the same."""
    for package, more, name, bar, prepare in RIVALS:
        what = f"{name}: batch, modelport.load through C"
        lacking = [part for part in (package, *more) if find_spec(part) is None]
        if lacking:
            yield Gate(what, package, bar, None, says=f"{lacking[0]} is not installed")
            continue
        try:
            case = bench.case(name)
            ours, theirs = bench.ours(name), prepare(bench, case)
        except Exception as why:  # these packages raise whatever they like, also for versions of others that they do not know
            yield Gate(what, package, bar, None, says=f"{type(why).__name__}: {str(why).strip().splitlines()[0][:150]}")
            continue
        call = partial(ours.predict, case["rows"])
        answer = np.asarray(theirs()).reshape(len(case["rows"]), -1)[:, -1]
        if not np.allclose(answer, call()["probability"][:, -1], rtol=1e-4, atol=1e-5):
            yield Gate(what, package, bar, None, says=f"{package} answers something else than the model")
            continue
        yield against(what, package, bar, race({"c": call, package: theirs}, bench.repeats), "c", package)
