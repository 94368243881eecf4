"""atheris for the readers in Python: the stub, and modelport's own reader and evaluator.

    pip install atheris
    python tests/fuzz/fuzz_python.py stub|reader CORPUS [options of libFuzzer]

An input is a document. Both may raise their own errors, each with a sentence, and nothing else; what loads is replayed. Three
inputs of four come from the structured mutator (mutations.py), the rest from libFuzzer's own.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path

import atheris

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [
    str(ROOT),
    str(ROOT / "converters"),
    str(ROOT / "tests"),
    str(ROOT / "tests" / "fuzz"),
    str(ROOT / "stubs" / "python"),
]
#: small limits: inputs that compute much are no better than those that compute little
LEAST_ROWS, LEAST_WIDTH, LEAST_TOTAL, LEAST_WORK = 64, 1 << 14, 1 << 16, 1 << 20


def need_sentence(error: Exception) -> None:
    """An error says what is wrong."""
    assert str(error).strip(), f"{type(error).__name__} without a sentence"


def of_stub() -> Callable[[bytes], None]:
    """What an input does in the stub."""
    with atheris.instrument_imports(include=["modelport_stub", "modelport_stub_more", "modelport_stub_nn"]):
        import modelport_stub as stub
    limits = stub.Limits(carried_rows=LEAST_ROWS, value_width=LEAST_WIDTH, total_width=LEAST_TOTAL, multiplications=LEAST_WORK)

    def one(data: bytes) -> None:
        try:
            model = stub.load(data, verify=False, limits=limits)
            model.verify()
        except stub.ModelportError as error:
            need_sentence(error)

    return one


def of_reader() -> Callable[[bytes], None]:
    """What an input does in modelport's own reader."""
    with atheris.instrument_imports(include=["modelport_json", "modelport.graph", "modelport.ops", "modelport.document"]):
        import modelport_json
    from modelport.errors import ModelportError
    from modelport.graph import Limits
    from modelport.predictor import replay

    limits = Limits(vector_rows=LEAST_ROWS, value_width=LEAST_WIDTH, total_width=LEAST_TOTAL, multiplications=LEAST_WORK)

    def one(data: bytes) -> None:
        try:
            replay(modelport_json.load(data, {"limits": limits}))
        except ModelportError as error:
            need_sentence(error)

    return one


def main() -> None:
    """The command line."""
    if len(sys.argv) < 3 or sys.argv[1] not in ("stub", "reader"):
        sys.exit("usage: fuzz_python.py stub|reader CORPUS [options of libFuzzer]")
    one = of_stub() if sys.argv[1] == "stub" else of_reader()
    from mutate import seeds
    from mutations import Mutator, spelled

    documents = seeds(6000)
    mutator = Mutator(documents)
    corpus = Path(next(word for word in sys.argv[2:] if not word.startswith("-")))
    if corpus.is_dir() and not any(corpus.iterdir()):
        for i, document in enumerate(documents):
            (corpus / f"{i}.json").write_bytes(json.dumps(document).encode())

    def mutated(data: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            document = None
        if seed % 4 == 0 or not isinstance(document, dict) or not document:
            return bytes(atheris.Mutate(data, most))
        mutator.change(document, rng)
        return spelled(document)[:most]

    atheris.Setup([sys.argv[0], *sys.argv[2:]], one, custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
