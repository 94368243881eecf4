# SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
"""The stub protocol around modelport_stub.py (modelport_stub_pure.py where there is no NumPy): predict, verify, info, ops."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys

USAGE = """usage: cli.py predict [--no-verify] ARTIFACT < inputs.json > outputs.json
       cli.py verify ARTIFACT [VECTORS]
       cli.py info ARTIFACT
       cli.py ops"""
DONE, MISMATCH, REFUSED, UNSUPPORTED, USAGE_ERROR = 0, 1, 2, 3, 64


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def predict(path: str, verify: bool) -> str:
    from modelport_stub import load

    model = load(read(path), verify=verify)
    return json.dumps(model.predict_json(sys.stdin.buffer.read()), allow_nan=False)


def verify(path: str, vectors: str | None) -> tuple[str, int]:
    from modelport_stub import Refused, load, parse_json

    model = load(read(path), verify=False)
    if vectors is None and model.vectors is None:
        raise Refused("the document carries no verification")
    checks = model.verify(None if vectors is None else parse_json(read(vectors)))
    wrong = [check.problem for check in checks if check.problem]
    if wrong:
        print("; ".join(wrong), file=sys.stderr)
    lines = [f"{c.output}: {c.rows} rows, {c.tolerance}, {'different' if c.problem else 'equal'}" for c in checks]
    return "\n".join(lines), MISMATCH if wrong else DONE


def run(arguments: list[str]) -> tuple[str, int]:
    """(what goes to stdout, exit code)."""
    match arguments:
        case ["predict", path] | ["predict", path, "--no-verify"] | ["predict", "--no-verify", path]:
            return predict(path, verify="--no-verify" not in arguments), DONE
        case ["verify", path]:
            return verify(path, None)
        case ["verify", path, vectors]:
            return verify(path, vectors)
        case ["info", path]:
            from modelport_stub import load

            return json.dumps(load(read(path), verify=False).info(), indent=1), DONE
        case ["ops"]:
            from modelport_stub import ops

            return "\n".join(ops()), DONE
    print(USAGE, file=sys.stderr)
    return "", USAGE_ERROR


def main(arguments: list[str]) -> int:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # no threads are started that would never be used
    if importlib.util.find_spec("numpy") is None:
        sys.modules["modelport_stub"] = importlib.import_module("modelport_stub_pure")
    from modelport_stub import Mismatch, ModelportError, Unsupported

    try:
        text, code = run(arguments)
    except ModelportError as error:
        code = UNSUPPORTED if isinstance(error, Unsupported) else MISMATCH if isinstance(error, Mismatch) else REFUSED
        print(error, file=sys.stderr)
        return code
    except OSError as error:
        print(f"{error.filename} cannot be read: {error.strerror}", file=sys.stderr)
        return REFUSED
    except MemoryError:
        print("the document or the rows need more memory than there is", file=sys.stderr)
        return REFUSED
    if text:
        sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace") + b"\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
