"""Photographs of reports for docs/images: python docs/screenshots.py [demo-output]

Run `make demo` first: its report is photographed light, dark and on a phone. The failed one is made here, of the demo's pipeline
with one number changed. Needs chromium.
"""

from __future__ import annotations

import importlib.util
import io
import json
import sys
import tempfile
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
#: a picture has this many bytes and colours at most
MOST_BYTES, COLOURS = 150_000, 64
CHANGED = "mixed_frame.json"


def module(path: Path) -> ModuleType:
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def failed_report(path: Path) -> None:
    """The report of the demo's pipeline of numbers and strings after a mean in its JSON artifact was changed."""
    import modelport
    from modelport.report import write_report

    model, frame = next((m, x) for name, m, x in module(ROOT / "demo" / "demo.py").models() if name == "mixed frame")
    artifacts = [path.parent / CHANGED, path.parent / "mixed_frame.onnx"]
    for artifact in artifacts:
        modelport.convert(model, artifact, sample=frame)
    document = json.loads(artifacts[0].read_text(encoding="utf-8"))
    next(step for step in document["steps"] if step["op"] == "scale")["sub"][1] += 0.5
    artifacts[0].write_text(json.dumps(document), encoding="utf-8")
    write_report(path, artifacts, model=model, sample=frame, with_=["python", "javascript"], title="mixed frame")


def photograph(browser: Any, name: str, *, until: str, top: str | None = None) -> None:
    """Write the page as docs/images/NAME.png, from the element `top` on (JavaScript) to the end of the element `until`."""
    from PIL import Image

    start = 0 if top is None else int(browser.run(f"{top}.getBoundingClientRect().top + scrollY - 12"))
    height = int(browser.run(f"{until}.getBoundingClientRect().bottom + scrollY + 12")) - start
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw.png"
        browser.photograph(raw, top=start, height=height)
        picture = Image.open(io.BytesIO(raw.read_bytes())).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    target = IMAGES / f"{name}.png"
    picture.save(target, optimize=True)
    size = target.stat().st_size
    print(f"{target.relative_to(ROOT)}: {picture.width} x {picture.height}, {size:,} bytes")
    if size > MOST_BYTES:
        raise SystemExit(f"{name}.png is larger than {MOST_BYTES:,} bytes: show less of the page.")


def main() -> None:
    """Make all pictures."""
    warnings.simplefilter("ignore")
    demo = Path(sys.argv[1] if len(sys.argv) > 1 else "demo-output") / "report.html"
    if not demo.is_file():
        raise SystemExit(f"There is no {demo}: run make demo first.")
    driver = module(ROOT / "tests" / "browser.py")
    command = driver.find_browser()
    if command is None:
        raise SystemExit("There is no chromium to take photographs with.")
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, driver.Browser(command) as browser:
        failed = Path(folder) / "failed.html"
        failed_report(failed)
        browser.open(failed, width=1080)
        photograph(browser, "report-failed", until="document.querySelector('table')")
        browser.open(demo, width=1080)
        photograph(browser, "report-light", until="document.querySelector('table')")
        browser.open(demo, width=1080, dark=True)
        browser.run("document.querySelectorAll('details').forEach(part => part.open = true)")
        top = "document.querySelector('#m6-model')"
        photograph(browser, "report-dark", top=top, until=f"{top}.closest('details').querySelectorAll('.map li')[14]")
        browser.open(demo, width=390, height=844, scale=2)
        photograph(browser, "report-phone", until="document.querySelector('table')")


if __name__ == "__main__":
    main()
