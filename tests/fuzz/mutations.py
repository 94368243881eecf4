"""Structured damage: copies of valid artifacts with one to three changes, most of them where a reader could be misled.

`Mutator(documents).mutant(seed, number)` gives the same bytes for the same arguments on every machine. What a change can be is
listed in CHANGES: a function that takes the parsed document and a source of chance and changes it in place. Spellings that no
JSON writer makes (bare NaN, keys that stand twice) are put in as marks, which `spelled` turns into text at the end.
"""

from __future__ import annotations

import base64
import json
import random
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any

Document = dict[str, Any]
Change = Callable[["Mutator", Document, random.Random], None]

#: begins a string that stands for its own text, without quotes
RAW = "\ue000raw "
#: ends a key that may stand a second time in its object
AGAIN = "\ue001"

NUMBERS = [
    0, -0.0, 1, -1, 2, 3, 7, 255, 256, -128, -129, 65535, 65536, 2**20, 2**20 + 1, 2**22, 2**22 + 1, 2**25, 2**28, 2**28 + 1,
    2**31 - 1, 2**31, 2**32, -(2**31) - 1, 2**53 - 1, 2**53, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 2**64, 10**19, 10**40, 0.1,
    0.5, 1e-9, 1e-320, 5e-324, 1e308, -1e308, 3.4028235e38, 3.4028236e38, 1e39, 1e-46, 16777217, 1.5, 1e15 + 0.5,
]  # fmt: skip
SPELLINGS = [
    "NaN", "Infinity", "-Infinity", "nan", "1e999", "-1e999", "1e-999", "01", "-01", "1.", ".5", "+1", "0x10", "1e", "1e+", "-",
    "1_0", "1e5", "1.0", "-0", "-0.0", "0e0", "1E+2", "1e00002", "0.1e1", "10e-1",
    "100000000000000000000000000000000000000e-38", "1e400000000000000000000", "null", "true", "True", "'a'", "undefined", "[]",
    "{}", "[,]", "[1,]", "//", "/**/ 1", "1 1", "\"\\u12\"", "\"\\x41\"", "\"\\ud800\"", "\"\t\"", "\"a\x00b\"",
    "\"9007199254740993\"", "\"-0\"", "\"00\"", "\"1.0\"", "\"1e3\"", "\" 1\"", "\"9223372036854775808\"", "\"infinity\"",
    "\"+Infinity\"", "2.2250738585072011e-308", "0." + "0" * 400 + "1e401", "1" + "0" * 308, "1" + "0" * 309, "9" * 400,
    "1e-400",
]  # fmt: skip
TEXTS = [
    "", " ", "a", "NaN", "Infinity", "-Infinity", "null", "\x00", "\x7f", "\u00e9", "e\u0301", "\u0130", "\u03a3", "\uac00",
    "\ufeff", "\u2028", "\u202e", "\ud800", "\udc00\ud800", "\U0001f600", "\U0010ffff", "__proto__", "constructor", "toString",
    "hasOwnProperty", "\\", "\"", "'", "%s%n", "../x", "x" * 3000, "f64", "f32", "i64", "str", "bool", "u8", "i8", "b64",
    "exact", "error", "nan", "le", "lt", "node", "mean", "sum", "sequence", "last", "cell", "AAAAAAAA8D8=",
]  # fmt: skip
HOSTILE = [
    None, True, False, "", "x", [], [[]], {}, [[1], [1, 2]], [None], {"dtype": "f64"},
    {"dtype": "f64", "shape": [0], "data": []}, {"dtype": "str", "shape": [], "data": [None]},
    {"dtype": "f64", "shape": [1], "enc": "b64", "data": "AAAAAAAA8D8="},
]  # fmt: skip
SHAPES = [
    [0], [1], [2], [1, 1], [0, 2**40], [2**31], [2**32, 2**32], [2**63], [-1], [-1, -1], [1, 1, 1, 1, 1, 1], [1] * 7, [2**22],
    [2**22 + 1], [2**28], [2**28 + 1], [1.0], ["1"], [True], [2**16, 2**16], [4096], [4097], [],
]  # fmt: skip
TOLERANCES = [
    "exact", {"atol": 0, "rtol": 0}, {"atol": 1e300, "rtol": 0}, {"atol": -1, "rtol": 0}, {"atol": "NaN", "rtol": 0}, {"ulp": 4},
    {"ulp": 0}, {"ulp": 2**62}, {"ulp": 2**64}, {"ulp": -1}, {"ulp": 1.5}, {"atol": 1}, {}, None,
    {"atol": 1e-6, "rtol": 1e-6, "ulp": 1}, "loose", {"atol": 1e308, "rtol": 1e308},
]  # fmt: skip
FORMATS = {"f64": "d", "f32": "f", "i64": "q", "i32": "i", "i16": "h", "i8": "b", "u32": "I", "u16": "H", "u8": "B", "bool": "?"}
DTYPES = [*FORMATS, "str"]


def copied(value: Any) -> Any:
    """A copy that shares nothing."""
    if isinstance(value, dict):
        return {key: copied(child) for key, child in value.items()}
    return [copied(child) for child in value] if isinstance(value, list) else value


def places(value: Any) -> list[tuple[Any, Any]]:
    """(container, key or index) of every value inside."""
    found: list[tuple[Any, Any]] = []
    waiting = [value] if isinstance(value, (dict, list)) else []
    while waiting:
        node = waiting.pop()
        for key, child in node.items() if isinstance(node, dict) else enumerate(node):
            found.append((node, key))
            if isinstance(child, (dict, list)):
                waiting.append(child)
    return found


def tensors(value: Any) -> Iterator[tuple[Any, Any]]:
    """The places that hold a tensor in the object form."""
    return (place for place in places(value) if is_tensor(place[0][place[1]]))


def is_tensor(value: Any) -> bool:
    """Is it in the object form, more or less?"""
    return isinstance(value, dict) and {"dtype", "shape", "data"} <= value.keys()


def is_number(value: Any) -> bool:
    """A number of JSON."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def spelled(document: Any) -> bytes:
    """The text of a document, marks turned into what they stand for."""
    text = json.dumps(document, ensure_ascii=False)
    text = re.sub('"' + RAW + r'((?:[^"\\]|\\.)*)"', lambda found: json.loads(f'"{found[1]}"'), text)
    text = text.replace(AGAIN, "")
    return text.encode("utf-8", "surrogatepass") if any("\ud800" <= c <= "\udfff" for c in text) else text.encode()


# --- changes of any value -----------------------------------------------------------------------------------------------------


def replaced(mutator: Mutator, document: Document, rng: random.Random) -> None:
    """Any value by something hostile."""
    node, key = rng.choice(places(document))
    node[key] = rng.choice([copied(rng.choice(HOSTILE)), rng.choice(NUMBERS), rng.choice(TEXTS), RAW + rng.choice(SPELLINGS)])


def number(mutator: Mutator, document: Document, rng: random.Random) -> None:
    """A number by a neighbour, a boundary or a strange spelling."""
    found = [(node, key) for node, key in places(document) if is_number(node[key])]
    if not found:
        return
    node, key = rng.choice(found)
    old = node[key]
    choice = rng.randrange(6)
    if choice == 0:
        node[key] = rng.choice(NUMBERS)
    elif choice == 1:
        node[key] = RAW + rng.choice(SPELLINGS)
    elif choice == 2:
        node[key] = rng.choice(["NaN", "Infinity", "-Infinity"])
    elif choice == 3:
        node[key] = -old
    elif choice == 4 and abs(old) < 1e300:
        node[key] = old + rng.choice([1, -1, 2, 0.5, 1e-9, 1e6])
    else:
        node[key] = RAW + rng.choice([f"{old}.0", f"{old}e0", f"{old}0e-1", f" {old} ", f"{old}" + "0" * 20])


def text(mutator: Mutator, document: Document, rng: random.Random) -> None:
    """A string by another one, of this document or a strange one."""
    found = [(node, key) for node, key in places(document) if isinstance(node[key], str)]
    if not found:
        return
    node, key = rng.choice(found)
    node[key] = rng.choice(TEXTS) if rng.random() < 0.5 else rng.choice([other[place] for other, place in found])


def renamed(mutator: Mutator, document: Document, rng: random.Random) -> None:
    """A name of the document, everywhere it stands, by a strange one: often still a valid document."""
    named = [v.get("name") for k in ("inputs", "outputs") for v in listed(document, k)]
    names = [name for name in (*named, *(v.get("out") for v in listed(document, "steps"))) if isinstance(name, str)]
    if not names:
        return
    old, new = rng.choice(names), rng.choice([t for t in TEXTS if len(t) < 100])
    for node, key in places(document):
        if node[key] == old:
            node[key] = new
    for value in [node[key] for node, key in places(document)]:
        if isinstance(value, dict) and old in value and new not in value:
            value[new] = value.pop(old)


def listed(document: Document, key: str) -> list[Document]:
    """The objects of one of the document's lists."""
    found = document.get(key)
    return [v for v in found if isinstance(v, dict)] if isinstance(found, list) else []


# --- changes of containers ----------------------------------------------------------------------------------------------------


def removed(mutator: Mutator, document: Document, rng: random.Random) -> None:
    """A key or an element less."""
    node, key = rng.choice(places(document))
    del node[key]


def added(mutator: Mutator, document: Document, rng: random.Random) -> None:
    """A key more: an unknown one, one that is ignored, one of another object, one that stands twice, also in other letters."""
    objects = [document, *(node[key] for node, key in places(document) if isinstance(node[key], dict))]
    node, other = rng.choice(objects), rng.choice(objects)
    value = copied(rng.choice([*HOSTILE, 1, 0.5]))
    choice = rng.randrange(6)
    if choice == 0:
        node[rng.choice(["x-", "x-note", "doc", "name", "provenance"])] = value
    elif choice == 1 and other:
        key = rng.choice(list(other))
        node[key] = copied(other[key])
    elif choice in (2, 3) and node:
        key = rng.choice(list(node))
        again = key + AGAIN if choice == 2 else key.upper()
        node[again] = copied(node[key])
    elif choice == 4:
        node[rng.choice(["X-note", "y", *TEXTS])] = value
    else:
        node["x-deep"] = nested(rng.choice([2, 10, 14, 15, 16, 17, 200, 3000]))


def nested(depth: int) -> Any:
    """An empty array in so many arrays, as text: no writer goes so deep."""
    return RAW + "[" * depth + "]" * depth


def resized(mutator: Mutator, document: Document, rng: random.Random) -> None:
    """An array doubled, cut, emptied, turned around, or with an element more."""
    found = [(node, key) for node, key in places(document) if isinstance(node[key], list) and node[key]]
    if not found:
        return
    node, key = rng.choice(found)
    old = node[key]
    more = [*old, copied(rng.choice(old))]
    node[key] = rng.choice(
        [old * 2, old[:-1], old[1:], [], old[::-1], more, rng.sample(old, len(old)), [old], old * 50, old[: len(old) // 2]]
    )


def swapped(mutator: Mutator, document: Document, rng: random.Random) -> None:
    """Two values of one document."""
    found = places(document)
    (a, i), (b, j) = rng.choice(found), rng.choice(found)
    first, second = copied(a[i]), copied(b[j])
    a[i] = second
    if (isinstance(b, dict) and j in b) or (isinstance(b, list) and j < len(b)):
        b[j] = first


# --- changes of the graph -----------------------------------------------------------------------------------------------------


def crossed(mutator: Mutator, document: Document, rng: random.Random) -> None:
    """A value by the value of the same key in another artifact."""
    found = [(node, key) for node, key in places(document) if isinstance(node, dict) and key in mutator.pool]
    if found:
        node, key = rng.choice(found)
        node[key] = copied(rng.choice(mutator.pool[key]))


def attribute(mutator: Mutator, document: Document, rng: random.Random) -> None:
    """An attribute that another step of the same op has."""
    steps = [step for step in listed(document, "steps") if isinstance(step.get("op"), str) and mutator.attributes.get(step["op"])]
    if steps:
        step = rng.choice(steps)
        key, value = rng.choice(mutator.attributes[step["op"]])
        step[key] = copied(value)


def exchanged(mutator: Mutator, document: Document, rng: random.Random) -> None:
    """A whole part of another artifact: its verification, its inputs, its steps, its outputs, its lengths."""
    other = rng.choice(mutator.documents)
    key = rng.choice(["verification", "inputs", "steps", "outputs", "requires", "lengths"])
    if key in other:
        document[key] = copied(other[key])


def step_added(mutator: Mutator, document: Document, rng: random.Random) -> None:
    """A step of any artifact behind the others, reading what is there: often still a valid document."""
    steps = document.get("steps")
    names = [v["name"] for v in listed(document, "inputs") if isinstance(v.get("name"), str)]
    names += [v["out"] for v in listed(document, "steps") if isinstance(v.get("out"), str)]
    if not isinstance(steps, list) or not names:
        return
    step = copied(rng.choice(mutator.steps))
    step["in"] = [rng.choice(names) for _ in step.get("in", [])]
    step["out"] = "added" if rng.random() < 0.9 else rng.choice(names)
    steps.insert(len(steps) if rng.random() < 0.9 else rng.randrange(len(steps) + 1), step)
    requires = document.get("requires")
    if isinstance(requires, list) and step.get("op") not in requires and rng.random() < 0.95:
        requires.append(step.get("op"))


def rewired(mutator: Mutator, document: Document, rng: random.Random) -> None:
    """A step reads, or an output comes from, another value."""
    names = [v.get("name") for v in listed(document, "inputs")] + [v.get("out") for v in listed(document, "steps")]
    readers: list[tuple[Any, Any]] = [(v, "from") for v in listed(document, "outputs")]
    for step in listed(document, "steps"):
        if isinstance(step.get("in"), list):
            readers += [(step["in"], i) for i in range(len(step["in"]))]
    if readers and names:
        node, key = rng.choice(readers)
        node[key] = rng.choice(names)


def reordered(mutator: Mutator, document: Document, rng: random.Random) -> None:
    """Steps, inputs or outputs in another order; or the document's keys, which does not matter."""
    key = rng.choice(["steps", "inputs", "outputs", "requires"])
    if rng.random() < 0.3:
        items = list(document.items())
        rng.shuffle(items)
        document.clear()
        document.update(items)
    elif isinstance(document.get(key), list):
        rng.shuffle(document[key])


def shape(mutator: Mutator, document: Document, rng: random.Random) -> None:
    """A shape, of an input, a tensor or a reshape, or one of its lengths."""
    keys = ("shape", "sizes", "size", "axes", "pads", "powers")
    found = [(node, key) for node, key in places(document) if isinstance(node, dict) and key in keys]
    if not found:
        return
    node, key = rng.choice(found)
    if isinstance(node[key], list) and node[key] and rng.random() < 0.6:
        node[key][rng.randrange(len(node[key]))] = rng.choice([*NUMBERS[:24], "time", "", None, 2**22, 2**22, 1000])
    else:
        node[key] = copied(rng.choice(SHAPES)) if isinstance(node[key], (list, dict)) else rng.choice(NUMBERS[:36])


def wide(mutator: Mutator, document: Document, rng: random.Random) -> None:
    """An integer attribute that decides how much is computed, at or beyond a limit."""
    keys = (
        "size", "max_n", "min_n", "k", "groups", "max_iter", "length", "axis", "classes", "degree", "nonzero", "tol",
        "leaf_width", "cubic", "eps",
    )  # fmt: skip
    values = (
        0, 1, 2, 3, 63, 64, 65, 100, 1000, 4096, 10_000, 10_001, 100_000, 100_001,
        2**20, 2**22 - 1, 2**22, 2**22 + 1, 2**31, 2**53, 1e-300, 0.0,
    )  # fmt: skip
    found = [(node, key) for step in listed(document, "steps") for node, key in places(step) if key in keys]
    if found:
        node, key = rng.choice(found)
        node[key] = rng.choice(values)


# --- changes of tensors and vectors -------------------------------------------------------------------------------------------


def elements(tensor: Document) -> list[Any] | None:
    """The elements of a tensor in flat or b64 form, or None."""
    dtype, data = tensor["dtype"], tensor["data"]
    if isinstance(data, list) and "enc" not in tensor:
        return data
    if tensor.get("enc") != "b64" or "mask" in tensor or dtype not in FORMATS or not isinstance(data, str):
        return None
    try:
        raw = base64.b64decode(data, validate=True)
        return list(struct.unpack(f"<{len(raw) // struct.calcsize(FORMATS[dtype])}{FORMATS[dtype]}", raw))
    except (ValueError, struct.error):
        return None


def packed(values: Sequence[Any], dtype: str) -> str | None:
    """Elements as base64, or None where they do not fit."""
    special = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
    held = [special.get(v, v) if isinstance(v, str) else v for v in values]
    if dtype not in ("f32", "f64"):
        held = [int(v) if isinstance(v, str) and re.fullmatch("-?[0-9]{1,20}", v) else v for v in held]
    try:
        return base64.b64encode(struct.pack(f"<{len(held)}{FORMATS[dtype]}", *held)).decode()
    except (KeyError, struct.error, TypeError, OverflowError):
        return None


def decimal(value: Any) -> Any:
    """An element as JSON spells it."""
    if not isinstance(value, float) or abs(value) < float("inf"):
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def encoded(mutator: Mutator, document: Document, rng: random.Random) -> None:
    """A tensor in another form - base64, decimal, sparse, quantized, bare - most of them of the same meaning."""
    found = list(tensors(document))
    if not found:
        return
    node, key = rng.choice(found)
    tensor = node[key]
    values = elements(tensor)
    if values is None or not isinstance(tensor["dtype"], str):
        return
    dtype = tensor["dtype"]
    choice = rng.randrange(6)
    if choice == 0 and (data := packed(values, dtype)) is not None:
        node[key] = {"dtype": dtype, "shape": tensor["shape"], "enc": "b64", "data": data}
    elif choice == 1:
        node[key] = {"dtype": dtype, "shape": tensor["shape"], "data": [decimal(v) for v in values]}
    elif choice == 2:
        kept = [not (is_number(v) and v == 0 and str(v) != "-0.0") for v in values]
        data = packed([v for v, keep in zip(values, kept, strict=True) if keep], dtype)
        if data is not None:
            bits = bytearray(-(-len(values) // 8))
            for i, keep in enumerate(kept):
                bits[i // 8] |= keep << i % 8
            mask = base64.b64encode(bytes(bits)).decode()
            node[key] = {"dtype": dtype, "shape": tensor["shape"], "enc": "b64", "mask": mask, "data": data}
    elif choice == 3:
        codes = base64.b64encode(bytes(rng.randrange(256) for _ in values)).decode()
        scale: Any = rng.choice([[0.5], [1], [0], [-1], [1e-310], ["NaN"], [1e39], [0.5, 0.25], []])
        node[key] = {"dtype": dtype, "shape": tensor["shape"], "enc": "i8", "scale": scale, "data": codes}
    elif choice == 4:
        node[key] = list(values)
    else:
        tensor["dtype"] = rng.choice(DTYPES)


def base64_damaged(mutator: Mutator, document: Document, rng: random.Random) -> None:
    """A base64 text with another character, cut, with white space or padding where none belongs."""
    found = [(node, key) for node, key in places(document) if key in ("data", "mask") and isinstance(node[key], str)]
    if not found:
        encoded(mutator, document, rng)
        return
    node, key = rng.choice(found)
    old = node[key]
    at = rng.randrange(len(old) + 1)
    other = old[:at] + rng.choice("=-_ \n\x00\u00e9A/+9") + old[at + 1 :]
    spaced = old[:at] + " " + old[at:]
    node[key] = rng.choice([old[:at], old + "AAAA", old + "=", other, spaced, old.rstrip("="), "", old[4:]])


def vectors(mutator: Mutator, document: Document, rng: random.Random) -> None:
    """An expected or a carried number a little or much off, a row less, another tolerance."""
    carried = document.get("verification")
    if not isinstance(carried, dict):
        return
    choice = rng.randrange(4)
    tolerance = carried.get("tolerance")
    if choice == 0 and isinstance(tolerance, dict) and tolerance:
        tolerance[rng.choice(list(tolerance))] = copied(rng.choice(TOLERANCES))
        return
    found = [place for part in ("inputs", "outputs") for place in tensors(carried.get(part))]
    if not found:
        return
    node, key = rng.choice(found)
    values = elements(node[key])
    if not values:
        return
    values = list(values)
    i = rng.randrange(len(values))
    if choice == 1 and is_number(values[i]) and abs(values[i]) < 1e300:
        values[i] = rng.choice([values[i] * (1 + 2**-52), values[i] + 1e-9, values[i] + 1, -values[i], values[i] * 1.001])
    else:
        values[i] = rng.choice(
            ["NaN", "Infinity", 0, -0.0, 1e308, None, "x", True, 2**63 - 1, -1, 2**40, 1e-320, "\u03a3\u0130", "\ud800"]
        )
    node[key] = {"dtype": node[key]["dtype"], "shape": node[key]["shape"], "data": values}


# --- changes of bytes ---------------------------------------------------------------------------------------------------------


def damaged(data: bytes, rng: random.Random) -> bytes:
    """The text itself: cut, a byte changed, more or fewer bytes, some that are no UTF-8, something before or behind it."""
    at = rng.randrange(len(data) + 1)
    choice = rng.randrange(9)
    if choice == 0:
        return data[:at]
    if choice == 1:
        return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
    if choice == 2:
        return data[:at] + rng.choice([b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\x00", b" ", b"0", b"-"]) + data[at:]
    if choice == 3:
        return data[:at] + data[at + rng.randrange(1, 8) :]
    if choice == 4:
        strange = [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\xef\xbf\xbf"]
        return data[:at] + rng.choice(strange) + data[at:]
    if choice == 5:
        return rng.choice([b"\xef\xbb\xbf", b"\xff\xfe", b"\n\t ", b"\x0b", b"[", b"//\n"]) + data
    if choice == 6:
        return data + rng.choice([b" \n", b"\x00", b"}", b",", b"{}", b"\xff", data[:40]])
    if choice == 7:
        other = rng.randrange(len(data) + 1)
        return data[:at] + data[min(at, other) : max(at, other)] + data[at:]
    return data.decode("utf-8", "replace").encode("utf-16")


CHANGES: list[Change] = [
    replaced, number, number, text, renamed, removed, added, resized, swapped, crossed, attribute, attribute, exchanged,
    step_added, step_added, rewired, rewired, reordered, shape, wide, encoded, encoded, base64_damaged, vectors, vectors,
]  # fmt: skip


class Mutator:
    """Makes mutants of some valid documents, which also lend each other their parts."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self.documents = list(documents)
        self.pool: dict[str, list[Any]] = {}
        self.steps: list[Document] = []
        self.attributes: dict[str, list[tuple[str, Any]]] = {}
        for document in self.documents:
            self.steps += document["steps"]
            for node, key in places(document):
                if isinstance(node, dict):
                    self.pool.setdefault(key, []).append(node[key])
            for step in document["steps"]:
                known = self.attributes.setdefault(step["op"], [])
                known += [(key, value) for key, value in step.items() if key not in ("op", "in", "out")]

    def mutant(self, seed: int, number: int) -> bytes:
        """The mutant of this number: always the same."""
        rng = random.Random(f"{seed} {number}")
        document = copied(rng.choice(self.documents))
        for _ in range(rng.choice([1, 1, 1, 1, 2, 2, 3])):
            if rng.random() < 0.95 and places(document):
                self.change(document, rng)
        data = spelled(document)
        return damaged(data, rng) if rng.random() < 0.06 else data

    def change(self, document: Document, rng: random.Random) -> None:
        """One change somewhere."""
        rng.choice(CHANGES)(self, document, rng)
