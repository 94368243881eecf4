"""Answers many commands of the stub protocol in one process (tests/many.py). A line is a command: its standard input, then its
arguments, each in base64 behind a dot, between spaces; the answer is its exit code, standard output and standard error."""

import base64
import contextlib
import importlib.util
import io
import sys
import traceback

sys.path.insert(0, sys.argv[1])
spec = importlib.util.spec_from_file_location("cli", f"{sys.argv[1]}/cli.py")
cli = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cli)
lines, answer = sys.stdin.buffer, sys.stdout


def word(stream: io.TextIOWrapper) -> str:
    stream.flush()
    return "." + base64.b64encode(stream.buffer.getvalue()).decode()


for line in lines:
    stdin, *arguments = (base64.b64decode(part[1:]) for part in line.decode().split())
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace") for _ in range(2))
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin), "utf-8")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = cli.main([argument.decode() for argument in arguments])
        except Exception:
            traceback.print_exc()
            code = 1
    print(code, word(out), word(err), file=answer, flush=True)
