"""The pages that explain errors (docs/errors), as they come with the package."""

from __future__ import annotations

import re
from dataclasses import dataclass

from . import errors
from .errors import ModelportError, UsageError, page_of
from .stubs import data_folder

__all__ = ["Explanation", "classes", "explanation", "explanations"]


@dataclass(frozen=True)
class Explanation:
    """What is to say about a class of errors; `text` is its page in Markdown, `summary` the first sentence of it."""

    name: str
    page: str
    exit_code: int
    address: str
    summary: str
    text: str


def classes() -> dict[str, type[ModelportError]]:
    """Every class of errors by the name of its page.

    >>> classes()["mismatch"].exit_code
    1
    """
    found = [vars(errors)[name] for name in errors.__all__]
    return {page_of(cls): cls for cls in found if isinstance(cls, type)}


def explanations() -> list[Explanation]:
    """All pages, by exit code."""
    return sorted((explanation(page) for page in classes()), key=lambda e: (e.exit_code, e.page))


def explanation(name: str) -> Explanation:
    """The page of an error's class, of a page's name, or of an exit code; UsageError when there is none.

    >>> explanation("MissingDependency").page
    'missing-dependency'
    """
    known = classes()
    cls = known.get(_page_named(name))
    if cls is None:
        raise UsageError(f"There is no error {name!r}; there are: {', '.join(sorted(known))}.")
    page = page_of(cls)
    try:
        text = (data_folder("docs/errors") / f"{page}.md").read_text(encoding="utf-8")
    except OSError:
        raise UsageError(f"The page {page!r} does not come with this installation: it stands at {errors.PAGES}{page}/.") from None
    paragraphs = [p for p in text.split("\n\n") if p.strip() and not p.startswith(("#", "|", "`"))]
    first = re.split(r"(?<=\.)\s", " ".join(paragraphs[0].split()))[0] if paragraphs else ""
    return Explanation(cls.__name__, page, cls.exit_code, f"{errors.PAGES}{page}/", re.sub(r"[`*]", "", first), text)


#: what an exit code of a command or a stub says
BY_EXIT_CODE = {"1": "mismatch", "2": "refused", "3": "unsupported", "64": "usage-error"}


def _page_named(name: str) -> str:
    """The page's name that a class's name, a page's name or an exit code stands for."""
    text = name.strip().rpartition(".")[2]
    if text in BY_EXIT_CODE:
        return BY_EXIT_CODE[text]
    by_class = {cls.__name__.lower(): page for page, cls in classes().items()}
    return by_class.get(re.sub(r"[-_ ]", "", text.lower()), text)
