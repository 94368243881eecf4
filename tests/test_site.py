"""The documentation site builds without a warning, fetches nothing, and its web page works in a browser."""

from __future__ import annotations

import functools
import html
import http.server
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from test_docs import BLOCK, ROOT, TITLE, folder, run, steps  # noqa: F401 - folder is a fixture

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--dump-dom", "--virtual-time-budget=20000"),
)


def build(config: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """mkdocs, with every warning an error."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(config), "--site-dir", str(out)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, need_module) -> Path:  # type: ignore[no-untyped-def]
    """The folder of the built site."""
    for module in ("mkdocs", "material", "mkdocstrings_handlers.python"):
        need_module("mkdocs", module)
    out = tmp_path_factory.mktemp("site") / "site"
    done = build(ROOT / "mkdocs.yml", out)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return out


class Fetched(HTMLParser):
    """What a page makes a browser fetch by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag in ("script", "img", "iframe", "source", "video", "audio", "embed") and given.get("src"):
            self.found.append(given["src"] or "")
        if tag == "link" and given.get("rel") in ("stylesheet", "icon", "preload", "preconnect", "modulepreload"):
            self.found.append(given.get("href") or "")


def fetched(page: str) -> list[str]:
    """Addresses of what a page fetches."""
    parser = Fetched()
    parser.feed(page)
    return parser.found


def test_the_site_fetches_nothing_from_elsewhere(built: Path) -> None:
    pages = sorted(built.rglob("*.html"))
    assert len(pages) > 25
    for page in pages:
        found = fetched(page.read_text(encoding="utf-8"))
        assert bool(found) != (page.name == "demo-report.html"), page  # a report is one file
        assert not [address for address in found if re.match(r"(?:[a-z]+:)?//", address)], page
    for sheet in built.rglob("*.css"):
        assert not re.search(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", sheet.read_text(encoding="utf-8")), sheet


def test_what_is_fetched_is_seen() -> None:
    page = '<script src="//a/b.js"></script><link rel="stylesheet" href="https://c/d.css"><a href="https://e/">x</a>'
    assert fetched(page) == ["//a/b.js", "https://c/d.css"]


def test_every_page_is_in_the_site_and_can_be_searched(built: Path) -> None:
    index = json.loads((built / "search" / "search_index.json").read_text(encoding="utf-8"))
    places = {entry["location"].partition("#")[0] for entry in index["docs"]}
    for page in (ROOT / "docs").rglob("*.md"):
        place = page.relative_to(ROOT / "docs").with_suffix("").as_posix()
        place = re.sub(r"(^|/)index$", r"\1", place)
        assert {f"{place}/", place} & places, f"docs/{place}.md"
    assert {"stubs/", "stubs/c/", "benchmarks/results/"} <= places


def test_the_reference_has_every_public_name(built: Path) -> None:
    import modelport

    page = (built / "reference" / "python" / "index.html").read_text(encoding="utf-8")
    for name in set(modelport.__all__) - {"__version__"}:
        assert re.search(rf'id="modelport\.(?:\w+\.)*{name}"', page), name


def test_a_dead_link_fails_the_build(tmp_path: Path, need_module) -> None:  # type: ignore[no-untyped-def]
    need_module("mkdocs", "mkdocs")
    need_module("mkdocs", "material")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# A\n\n[b](b.md) [c](#c)\n", encoding="utf-8")
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    kept = [part for part in re.split(r"\n(?=\S)", text) if not part.startswith(("nav:", "hooks:", "plugins:", "# A folder"))]
    (tmp_path / "mkdocs.yml").write_text("\n".join(kept), encoding="utf-8")
    done = build(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert done.returncode != 0
    assert "b.md" in done.stderr
    assert "#c" in done.stderr


def module(path: Path) -> ModuleType:
    """A Python file of docs/, imported."""
    spec = importlib.util.spec_from_file_location(f"site_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_the_nav_lists_folders_and_leaves_out_what_is_not_there(need_module) -> None:  # type: ignore[no-untyped-def]
    need_module("mkdocs", "mkdocs")
    hooks = module(ROOT / "docs" / "hooks.py")
    nav = [
        {"Here": "index.md"},
        {"Nowhere": "no.md"},
        {"Part": ["no.md", {"Deep": "cli.md"}]},
        {"Empty": "nowhere/"},
        "tutorials/",
    ]
    found = hooks.expanded(nav)
    assert found[:2] == [{"Here": "index.md"}, {"Part": [{"Deep": "cli.md"}]}]
    assert found[2][0] == "tutorials/index.md"
    assert "tutorials/keras.md" in found[2]


def test_links_are_moved_into_the_site(need_module) -> None:  # type: ignore[no-untyped-def]
    need_module("mkdocs", "mkdocs")
    hooks = module(ROOT / "docs" / "hooks.py")

    class Page:
        class file:
            src_uri = "how-to/android.md"

    same = "`[d](e.md)` [f](gone.md)\n```\n[g](../../modelport/cli)\n```\n"
    text = f"[a](../../stubs/java/README.md#more-ops) [b](../cli.md) [c](../../modelport/cli) {same}"
    moved = f"[a](../stubs/java.md#more-ops) [b](../cli.md) c {same}"
    assert hooks.on_page_markdown(text, Page, None, None) == moved


def test_examples_of_docstrings_become_blocks(need_module) -> None:  # type: ignore[no-untyped-def]
    need_module("mkdocs", "griffe")
    fenced = module(ROOT / "docs" / "doctests.py").fenced
    assert fenced("A <b> `<c>`.\n\n>>> 1 < 2\nTrue\n\nMore.") == "A &lt;b> `<c>`.\n\n``` pycon\n>>> 1 < 2\nTrue\n```\n\nMore."
    assert fenced("Nothing.") == "Nothing."


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def served(folder: Path) -> Iterator[tuple[Path, str]]:  # noqa: F811
    """The folder of a page, and the address at which it is served, on this machine only."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_page_for_the_browser_says_what_is_shown(served, tmp_path: Path, need) -> None:  # type: ignore[no-untyped-def]
    """docs/how-to/browser.md: its HTML in a real browser; the text block behind it is what the page answers."""
    browser = os.environ.get("MODELPORT_CHROMIUM") or next((p for name in BROWSERS if (p := shutil.which(name))), None)
    if browser is None:
        need("chromium", f"none of {', '.join(BROWSERS)} is on the PATH")
    page, (place, address) = ROOT / "docs" / "how-to" / "browser.md", served
    assert run(steps(page), place).returncode == 0
    blocks = list(BLOCK.finditer(page.read_text(encoding="utf-8")))
    at = next(i for i, block in enumerate(blocks) if block[1] == "html")
    title = TITLE.search(blocks[at][2])
    assert title is not None
    command = [str(browser), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", f"{address}/{title[1]}"]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120, check=False)
    said = re.search(r"<output>(.*?)</output>", done.stdout, re.DOTALL)
    assert said is not None, done.stderr[-2000:]
    assert blocks[at + 1][1] == "text"
    assert html.unescape(said[1]) == blocks[at + 1][3].strip()
