"""Numbers, booleans and arrays as PMML spells them."""

from __future__ import annotations

from modelport.errors import ArtifactError

from ..parse import Element

__all__ = ["array_items", "boolean_text", "number_text"]


def number_text(text: str | None, where: str) -> float:
    """A number spelled in PMML.

    >>> number_text("1e3", "here")
    1000.0
    """
    spelled = (text or "").strip()
    try:
        if "_" in spelled:
            raise ValueError
        return float({"INF": "inf", "-INF": "-inf"}.get(spelled, spelled))
    except ValueError:
        raise ArtifactError(f"{where} is {spelled[:40]!r}, which is no number.") from None


def boolean_text(text: str | None) -> bool:
    """true or false (also 1 and 0)."""
    spelled = (text or "").strip().lower()
    if spelled in ("true", "1", "1.0"):
        return True
    if spelled in ("false", "0", "0.0"):
        return False
    raise ArtifactError(f"A boolean is {spelled[:40]!r}; it is true or false.")


def array_items(e: Element) -> list[str]:
    """The items of an Array: numbers separated by white space, strings also in double quotes with \\" inside.

    >>> a = Element("Array", {"type": "string"}); a.text = 'one "two three" "four\\\\"s"'
    >>> array_items(a)
    ['one', 'two three', 'four"s']
    """
    if e.get("type") != "string":
        return e.text.split()
    items: list[str] = []
    text, i = e.text, 0
    while i < len(text):
        if text[i].isspace():
            i += 1
            continue
        quoted = text[i] == '"'
        i += quoted
        item = []
        while i < len(text) and (text[i] != '"' if quoted else not text[i].isspace()):
            if quoted and text[i] == "\\" and text[i + 1 : i + 2] == '"':
                i += 1
            item.append(text[i])
            i += 1
        i += quoted
        items.append("".join(item))
    return items
