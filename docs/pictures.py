"""The pictures of README.md: the badge of coverage, from docs/coverage.json, and the table of parity, from docs/parity.json.

    python docs/pictures.py demo-output/report.json   # after make demo: writes docs/parity.json again

docs/generate.py (make docs) draws both.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
PARITY = DOCS / "parity.json"
#: the consumers that the picture shows, in order, and what each is called there
SHOWN = {
    "numpy": "JSON modelport",
    "python": "JSON Python",
    "javascript": "JSON JavaScript",
    "java": "JSON Java",
    "c": "JSON C",
    "onnxruntime": "ONNX onnxruntime",
    "modelport pmml": "PMML modelport",
    "jpmml": "PMML JPMML",
}


def badge() -> str:
    """The share of scikit-learn's estimators that JSON holds, proven, as an SVG."""
    found = json.loads((DOCS / "coverage.json").read_text(encoding="utf-8"))["estimators"]
    proven = sum(is_proven(one["formats"]["json"]) for one in found.values())
    return drawn_badge("estimators proven", f"{proven} of {len(found)}", "#1a7f37" if proven == len(found) else "#9a6700")


def is_proven(result: Mapping[str, Any]) -> bool:
    """Was an artifact written, and are all its answers the original's?"""
    parts = [result[kind] for kind in ("plain", "boundary") if result.get(kind)]
    return "bytes" in result and bool(parts) and all(p["equality"] in ("exact", "within") and p["flips"] == 0 for p in parts)


def drawn_badge(left: str, right: str, colour: str) -> str:
    """Two words side by side."""
    widths = [round(6.6 * len(text) + 14) for text in (left, right)]
    title = escape(f"{left}: {right}")
    return f"""<svg xmlns="http://www.w3.org/2000/svg" width="{sum(widths)}" height="20" role="img" aria-label="{title}">
<title>{title}</title>
<rect width="{sum(widths)}" height="20" rx="3" fill="#444d56"/>
<path d="M{widths[0]} 0h{widths[1] - 3}a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3h-{widths[1] - 3}z" fill="{colour}"/>
<g fill="#fff" font-family="DejaVu Sans,Verdana,sans-serif" font-size="11" text-anchor="middle">
<text x="{widths[0] / 2:g}" y="14">{escape(left)}</text>
<text x="{widths[0] + widths[1] / 2:g}" y="14">{escape(right)}</text>
</g>
</svg>
"""


def kept(report: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Of the demo's report what the picture shows: model -> consumer -> rows, flips, the largest error, whether it is exact."""
    models: dict[str, dict[str, Any]] = {}
    for one in report:
        for consumer in one["consumers"]:
            said = consumer["consumer"]
            name = next((name for name in SHOWN if said == name or said.startswith(f"{name} ")), None)
            if name is None or consumer["problem"] is not None or said.endswith(" rows"):
                continue
            outputs = consumer["outputs"]
            models.setdefault(one["model"], {})[name] = {
                "rows": one["rows"],
                "passed": consumer["passed"],
                "exact": all(o["equality"] == "exact" for o in outputs),
                "error": max((o["max_abs"] or 0.0 for o in outputs), default=0.0),
                "flips": sum(o["flips"] or 0 for o in outputs),
            }
    return models


def parity() -> str:
    """The table of parity as an SVG, for light and dark pages."""
    models = json.loads(PARITY.read_text(encoding="utf-8"))
    columns = [name for name in SHOWN if any(name in one for one in models.values())]
    left, wide, high, top = 172, 84, 30, 62
    width, height = left + wide * len(columns) + 12, top + high * len(models) + 40
    cells = []
    for k, name in enumerate(columns):
        kind, _, engine = SHOWN[name].partition(" ")
        x = left + wide * k + wide / 2
        cells.append(f'<text class="h" x="{x:g}" y="26">{escape(kind)}</text>')
        cells.append(f'<text class="s" x="{x:g}" y="44">{escape(engine)}</text>')
    for j, (model, found) in enumerate(models.items()):
        y = top + high * j
        if j % 2 == 0:
            cells.append(f'<rect class="b" x="6" y="{y}" width="{width - 12}" height="{high}" rx="4"/>')
        cells.append(f'<text class="m" x="16" y="{y + 20}">{escape(model)}</text>')
        for k, name in enumerate(columns):
            x, (text, style) = left + wide * k + wide / 2, cell(found.get(name))
            cells.append(f'<text class="{style}" x="{x:g}" y="{y + 20}">{escape(text)}</text>')
    every = [one for found in models.values() for one in found.values()]
    said = (
        f"Largest error of an output. {sum(one['rows'] for one in every):,} rows replayed against the original model's answers: "
        f"{sum(one['flips'] for one in every)} labels differ, {sum(not one['passed'] for one in every)} replays failed"
    )
    body = "\n".join(cells)
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return f"""<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="Parity of the demo's models">
<title>Parity of the demo's models. {escape(said)}.</title>
<style>
text {{ font: 12px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328; text-anchor: middle; }}
.m {{ text-anchor: start; font-weight: 600; }} .h {{ font-weight: 600; }} .s, .n {{ fill: #59636e; }}
.e {{ fill: #1a7f37; font-weight: 600; }}
.w {{ fill: #0b6b60; }} .f {{ fill: #b42318; font-weight: 700; }} .l {{ text-anchor: start; fill: #59636e; }}
.p {{ fill: #ffffff; }} .b {{ fill: #f3f5f7; }}
@media (prefers-color-scheme: dark) {{
text {{ fill: #e6edf3; }} .s, .n, .l {{ fill: #9da7b3; }} .e {{ fill: #4ac26b; }} .w {{ fill: #56d4c4; }} .f {{ fill: #ff7b72; }}
.p {{ fill: #0d1117; }} .b {{ fill: #1a2029; }}
}}
</style>
<rect class="p" width="{width}" height="{height}" rx="8"/>
{body}
<text class="l" x="16" y="{height - 14}">{escape(said)}.</text>
</svg>
"""


def cell(found: Mapping[str, Any] | None) -> tuple[str, str]:
    """What a cell says, and its style."""
    if found is None:
        return "–", "n"
    if not found["passed"]:
        return "FAILED", "f"
    return ("every bit", "e") if found["exact"] else (f"{found['error']:.0e}", "w")


if __name__ == "__main__":
    report = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    PARITY.write_text(json.dumps(kept(report), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
