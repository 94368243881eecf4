"""What the documentation site needs beside mkdocs.yml: pages outside of docs/, links that work here and on a code host, a nav
that lists folders and leaves out what is not there."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
#: pages of the site that stand elsewhere in the repository: path there -> path here
OUTSIDE = {
    "stubs/README.md": "stubs/index.md",
    **{f"stubs/{page.parent.name}/README.md": f"stubs/{page.parent.name}.md" for page in sorted(ROOT.glob("stubs/*/README.md"))},
    "benchmarks/README.md": "benchmarks/index.md",
    "benchmarks/results.md": "benchmarks/results.md",
    "benchmarks/gates.md": "benchmarks/gates.md",
    "CHANGELOG.md": "changelog.md",
}
LINK = re.compile(r"(`+).*?\1|(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)", re.DOTALL)
FENCE = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)


def on_config(config: Any) -> Any:
    """The nav, with folders listed and without pages that are not there."""
    config["nav"] = expanded(config["nav"])
    return config


def expanded(nav: Any) -> Any:
    """A nav of what there is; None for nothing."""
    if isinstance(nav, list):
        return [entry for entry in map(expanded, nav) if entry is not None]
    if isinstance(nav, dict):
        found = {title: expanded(entry) for title, entry in nav.items()}
        return {title: entry for title, entry in found.items() if entry} or None
    if nav.endswith("/"):
        pages = sorted((ROOT / "docs" / nav).glob("*.md"), key=lambda page: (page.stem != "index", page.stem))
        return [f"{nav}{page.name}" for page in pages]
    return nav if source_of(nav).is_file() else None


def source_of(page: str) -> Path:
    """The file of a page of the site."""
    elsewhere = {here: there for there, here in OUTSIDE.items()}
    return ROOT / elsewhere.get(page, f"docs/{page}")


def on_files(files: Files, config: Any) -> Files:
    """The pages that stand outside of docs/."""
    for there, here in OUTSIDE.items():
        if (ROOT / there).is_file():
            files.append(File.generated(config, here, abs_src_path=str(ROOT / there)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links as they have to be in the site: they are written for the repository."""
    parts = FENCE.split(re.sub(r"^```console$", "```bash", markdown, flags=re.MULTILINE))
    return "".join(
        part if k % 2 else LINK.sub(lambda found: moved(found, page.file.src_uri), part) for k, part in enumerate(parts)
    )


def moved(found: re.Match[str], page: str) -> str:
    """One link: to the page of the site; to what is in the repository only, the text alone; anything else as it is."""
    whole, image, text, link = found[0], found[2], found[3], found[4]
    if link is None or re.match(r"[a-z]+:|#", link):
        return whole
    path, mark, anchor = link.partition("#")
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source_of(page).relative_to(ROOT).as_posix()), path))
    if target in OUTSIDE:
        here = OUTSIDE[target]
    elif target.startswith("docs/"):
        here = target.removeprefix("docs/")
    elif (ROOT / target).exists():
        return text
    else:
        return whole
    return f"{image}[{text}]({posixpath.relpath(here, posixpath.dirname(page) or '.')}{mark}{anchor})"
