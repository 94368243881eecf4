"""The facade in C11: a struct and functions around modelport.c."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable
from typing import Any

from ..errors import Unsupported
from .example import hint, short
from .naming import fill, identifiers, shown, snake, wrapped
from .page import build_page
from .plan import Bound, Field, Plan, Result

__all__ = ["write"]

#: keywords of C and C++, and what headers and compilers define as macros
RESERVED = set(
    """alignas alignof and and_eq asm auto bitand bitor bool break case catch char class compl const const_cast constexpr
    continue decltype default delete do double dynamic_cast else enum explicit export extern false float for friend
    goto if inline int long mutable namespace new noexcept not not_eq nullptr operator or or_eq private protected
    public register reinterpret_cast restrict return short signed sizeof static static_assert static_cast struct
    switch template this thread_local throw true try typedef typeid typename typeof union unsigned using virtual void
    volatile wchar_t while xor xor_eq errno stdin stdout stderr offsetof assert linux unix i386 min max near far small
    huge interface isnan isinf isfinite isnormal signbit fpclassify noreturn complex""".split()
)
ONE = {"number": "double ", "integer": "int64_t ", "boolean": "bool ", "text": "const char *"}
MANY = {"number": "const double *", "integer": "const int64_t *", "boolean": "const bool *", "text": "const char *const *"}
#: what an answer has: booleans of an array are integers, 0 or 1, as the library gives them
SAID = {"number": "double ", "integer": "int64_t ", "boolean": "bool ", "text": "mp_string "}
SAID_MANY = {"number": "const double *", "integer": "const int64_t *", "boolean": "const int64_t *", "text": "const mp_string *"}
DATA = {"number": "numbers", "integer": "integers", "boolean": "integers", "text": "strings"}
ELEMENT = {"number": "double", "integer": "int64_t", "boolean": "int64_t", "text": "mp_string"}

HEADER = """/* @file@.h - a typed facade of @model@, written by `modelport stub c --for`: rows and answers by field. */
#ifndef @guard@
#define @guard@

#include <math.h>
#include <stdio.h>

#include "modelport.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What the model is asked. A missing number is NAN, a missing text NULL, which is refused where the model does not accept it. */
typedef struct @p@_row {
@fields@
} @p@_row;

/* What the model says: one value per output, or as many as stand behind it, row-major. */
typedef struct @p@_answer {
@results@
} @p@_answer;
@names@
typedef struct @p@_answers { /* one item for each row; they point into the result */
    size_t count;
    @p@_answer *items;
    mp_result *result;
} @p@_answers;

typedef struct @p@_model @p@_model;

/* The model of an artifact: it is checked, replays the rows it carries, and has to have the columns of this facade. */
mp_code @p@_load(const char *data, size_t size, @p@_model **model, mp_error *error);
mp_code @p@_load_file(const char *path, @p@_model **model, mp_error *error);
void @p@_free(@p@_model *model); /* NULL is fine */

/* The answers for `count` rows, or a code and a sentence; the answers are freed by @p@_answers_free. */
mp_code @p@_predict(const @p@_model *model, const @p@_row *rows, size_t count, @p@_answers *answers, mp_error *error);
void @p@_answers_free(@p@_answers *answers);

/* One of the rows that the artifact of this facade carries. */
extern const @p@_row @p@_example;

/* Prints an answer, a line per output. */
void @p@_print(FILE *file, const @p@_answer *answer);

/* MP_OK where an answer for the example row is the one that the artifact carries, else MP_MISMATCH and a sentence. */
mp_code @p@_compare(const @p@_answer *answer, mp_error *error);

#ifdef __cplusplus
}
#endif
#endif
"""

SOURCE = """/* @file@.c - a typed facade of @model@, written by `modelport stub c --for`. */
#include "@file@.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
@tables@
/* Inputs and outputs of the model that this file was written for. */
static const mp_string SIGNATURE[] = {
    @signature@,
};

struct @p@_model {
    mp_model *inner;
};

static mp_code fail(mp_error *error, mp_code code, const char *sentence) {
    if (error) {
        error->code = code;
        snprintf(error->message, sizeof error->message, "%s", sentence);
    }
    return code;
}

/* -- loading -- */

/* The place in SIGNATURE up to which a model agrees with it. */
typedef struct place {
    size_t at;
    bool same;
} place;

static void word(place *p, const char *data, size_t size) {
    const size_t n = sizeof SIGNATURE / sizeof SIGNATURE[0];
    p->same = p->same && p->at < n && SIGNATURE[p->at].size == size && memcmp(SIGNATURE[p->at].data, data, size) == 0;
    p->at++;
}

static void text(place *p, const char *data) {
    word(p, data, strlen(data));
}

static void integer(place *p, int64_t value) {
    char digits[24];
    snprintf(digits, sizeof digits, "%" PRId64, value);
    text(p, digits);
}

static void lengths(place *p, int rank, const size_t *shape) {
    char digits[200] = "";
    size_t size = 0;
    for (int k = 0; k < rank && k < 6; k++) {
        size += (size_t)snprintf(digits + size, sizeof digits - size, k ? "x%zu" : "%zu", shape[k]);
    }
    word(p, digits, size);
}

static bool has_signature(const mp_model *model) {
    static const char *const missing[] = {"error", "nan", "null"};
    place p = {0, true};
    for (size_t i = 0; i < mp_input_count(model); i++) {
        const mp_input *in = mp_input_at(model, i);
        text(&p, "input");
        word(&p, in->name.data, in->name.size);
        text(&p, mp_dtype_name(in->dtype));
        lengths(&p, in->rank, in->shape);
        text(&p, missing[in->missing]);
        integer(&p, in->features ? (int64_t)in->width : 0);
        for (size_t j = 0; in->features && j < in->width; j++) word(&p, in->features[j].data, in->features[j].size);
        for (int k = 0; in->lengths && k < in->rank; k++) p.same = p.same && !in->lengths[k].data;
    }
    for (size_t i = 0; i < mp_output_count(model); i++) {
        const mp_output *out = mp_output_at(model, i);
        text(&p, "output");
        word(&p, out->name.data, out->name.size);
        text(&p, mp_dtype_name(out->dtype));
        lengths(&p, out->rank, out->shape);
        integer(&p, (int64_t)out->n_classes);
        for (size_t j = 0; j < out->n_classes; j++) {
            if (out->class_strings) word(&p, out->class_strings[j].data, out->class_strings[j].size);
            else if (out->class_booleans) text(&p, out->class_integers[j] ? "true" : "false");
            else integer(&p, out->class_integers[j]);
        }
    }
    return p.same && p.at == sizeof SIGNATURE / sizeof SIGNATURE[0];
}

mp_code @p@_load(const char *data, size_t size, @p@_model **model, mp_error *error) {
    *model = NULL;
    mp_model *inner;
    mp_code code = mp_load(data, size, NULL, &inner, error);
    if (code != MP_OK) return code;
    @p@_model *made = has_signature(inner) ? malloc(sizeof *made) : NULL;
    if (!made) {
        code = has_signature(inner) ? MP_NO_MEMORY : MP_REFUSED;
        mp_free(inner);
        if (code == MP_NO_MEMORY) return fail(error, code, "There is no memory for the model.");
        return fail(error, code, "The artifact has other inputs or outputs than the one of this facade: write the facade again.");
    }
    made->inner = inner;
    *model = made;
    return MP_OK;
}

mp_code @p@_load_file(const char *path, @p@_model **model, mp_error *error) {
    *model = NULL;
    FILE *file = fopen(path, "rb");
    const long length = file && fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    char *data = length < 0 ? NULL : malloc((size_t)length + 1);
    if (data) rewind(file);
    const size_t size = data ? fread(data, 1, (size_t)length, file) : 0;
    if (file) fclose(file);
    const bool whole = data && size == (size_t)length;
    const mp_code code = whole ? @p@_load(data, size, model, error) : fail(error, MP_REFUSED, "The artifact cannot be read.");
    free(data);
    return code;
}

void @p@_free(@p@_model *model) {
    if (model) mp_free(model->inner);
    free(model);
}

/* -- predicting -- */

enum { FEEDS = @n_feeds@, COLUMNS = @n_columns@ };

static void *take(size_t count, size_t width, size_t size) {
    return count > SIZE_MAX / width / size ? NULL : malloc(count * width * size);
}

/* The rows as the library takes them; `held` has the memory of its COLUMNS arrays. */
static mp_code feed_rows(const @p@_row *rows, size_t count, mp_feed *feeds, void **held, mp_error *error) {
@inputs@
    return MP_OK;
}

static void fill_one(const mp_result *result, size_t r, @p@_answer *answer) {
@answers@
}

mp_code @p@_predict(const @p@_model *model, const @p@_row *rows, size_t count, @p@_answers *answers, mp_error *error) {
    *answers = (@p@_answers){0, NULL, NULL};
    if (count == 0) return MP_OK;
    void *held[COLUMNS] = {NULL};
    mp_feed *feeds = calloc(FEEDS, sizeof *feeds);
    if (!feeds) return fail(error, MP_NO_MEMORY, "There is no memory for the rows.");
    mp_code code = feed_rows(rows, count, feeds, held, error);
    if (code == MP_OK) code = mp_predict(model->inner, feeds, FEEDS, &answers->result, error);
    for (size_t k = 0; k < COLUMNS; k++) free(held[k]);
    free(feeds);
    if (code != MP_OK) return code;
    answers->items = take(count, 1, sizeof *answers->items);
    if (!answers->items) {
        @p@_answers_free(answers);
        return fail(error, MP_NO_MEMORY, "There is no memory for the answers.");
    }
    answers->count = count;
    for (size_t r = 0; r < count; r++) fill_one(answers->result, r, &answers->items[r]);
    return MP_OK;
}

void @p@_answers_free(@p@_answers *answers) {
    mp_result_free(answers->result);
    free(answers->items);
    *answers = (@p@_answers){0, NULL, NULL};
}

/* -- the row that the artifact carries -- */
@arrays@
const @p@_row @p@_example = {
    @row@,
};
@helpers@
void @p@_print(FILE *file, const @p@_answer *answer) {
@prints@
}

mp_code @p@_compare(const @p@_answer *answer, mp_error *error) {
@checks@
    return MP_OK;
}
"""

EXAMPLE = """/* Asks @model@ one row, prints its answer and compares it with the one that the artifact carries. */
#include "@file@.h"

int main(void) {
    mp_error error;
    @p@_model *model;
    @p@_answers answers;
    const @p@_row row = @row@
    if (@p@_load_file(@path@, &model, &error) != MP_OK) return fprintf(stderr, "%s\\n", error.message), (int)error.code;
    if (@p@_predict(model, &row, 1, &answers, &error) != MP_OK) return fprintf(stderr, "%s\\n", error.message), (int)error.code;
    @p@_print(stdout, &answers.items[0]); /* or one by one: @hint@ */
    const mp_code code = @p@_compare(&answers.items[0], &error);
    if (code != MP_OK) fprintf(stderr, "%s\\n", error.message);
    else puts("The artifact carries the same answers.");
    @p@_answers_free(&answers);
    @p@_free(model);
    return (int)code;
}
"""

#: kind -> how elements are printed and compared
COMPARE = {
    "number": """
static void print_numbers(FILE *file, const char *name, const double *got, size_t n) {
    fprintf(file, "%s:", name);
    for (size_t k = 0; k < n; k++) fprintf(file, " %.17g", got[k]);
    fprintf(file, "\\n");
}

static bool same_numbers(const double *got, const double *said, size_t n, double atol, double rtol) {
    bool same = true;
    for (size_t k = 0; k < n; k++) {
        const bool near = isfinite(said[k]) && fabs(got[k] - said[k]) <= atol + rtol * fabs(said[k]);
        const bool equal = !(got[k] < said[k]) && !(got[k] > said[k]) && !isnan(got[k]) && !isnan(said[k]);
        same = same && (near || equal || (isnan(got[k]) && isnan(said[k])));
    }
    return same;
}
""",
    "integer": """
static void print_integers(FILE *file, const char *name, const int64_t *got, size_t n) {
    fprintf(file, "%s:", name);
    for (size_t k = 0; k < n; k++) fprintf(file, " %" PRId64, got[k]);
    fprintf(file, "\\n");
}

static bool same_integers(const int64_t *got, const int64_t *said, size_t n) {
    bool same = true;
    for (size_t k = 0; k < n; k++) same = same && got[k] == said[k];
    return same;
}
""",
    "text": """
static void print_strings(FILE *file, const char *name, const mp_string *got, size_t n) {
    fprintf(file, "%s:", name);
    for (size_t k = 0; k < n; k++) fprintf(file, " %.*s", (int)got[k].size, got[k].data ? got[k].data : "");
    fprintf(file, "\\n");
}

static bool same_strings(const mp_string *got, const mp_string *said, size_t n) {
    bool same = true;
    for (size_t k = 0; k < n; k++) {
        same = same && !got[k].data == !said[k].data && got[k].size == said[k].size;
        same = same && (!got[k].data || memcmp(got[k].data, said[k].data, got[k].size) == 0);
    }
    return same;
}
""",
}


def write(plan: Plan) -> dict[str, str]:
    """File name -> text: header and source, the example, and how to build it."""
    if any("\0" in str(v) for f, values in zip(plan.fields, plan.row) if f.kind == "text" for v in values):
        raise Unsupported("Every row that the artifact carries has a NUL in a text, where a text ends in C: leave out --for.")
    prefix = snake(plan.stem)
    prefix = f"the_{prefix}" if prefix.partition("_")[0] in ("mp", "modelport") or prefix in RESERVED else prefix
    file = f"{prefix}_facade"
    fields = identifiers((f.name for f in plan.fields), "snake", RESERVED)
    results = identifiers((r.name for r in plan.results), "snake", RESERVED)
    tables = _tables(plan, prefix, fields, results)
    groups = plan.groups()
    columns = len(plan.apart()) + len(groups)
    values = {
        "model": shown(plan.model),
        "file": file,
        "p": prefix,
        "guard": f"{file.upper()}_H",
        "path": literal(plan.model),
        "fields": "\n".join(map(_field, plan.fields, fields)),
        "results": "\n".join(_result(r, n, prefix) for r, n in zip(plan.results, results)),
        "names": "\n" * bool(tables) + "".join(f"extern const {declared};\n" for declared, _ in tables),
        "tables": "".join(f"\nconst {declared} = {{\n    {body},\n}};\n" for declared, body in tables),
        "signature": wrapped(map(string, plan.signature), "    "),
        "n_feeds": str(len(plan.bounds)),
        "n_columns": str(columns),
        "inputs": "\n".join(
            [line for k, bound in enumerate(plan.apart()) for line in _input(plan, bound, fields, k)]
            + [
                line
                for k, number in enumerate(groups)
                for line in _group(plan, number, fields, prefix, len(plan.apart()) + k, _first_feed(plan, k))
            ]
        ),
        "answers": "\n".join(_answer(r, n, k) for k, (r, n) in enumerate(zip(plan.results, results))),
    }
    arrays = [(f"given{k}", f, v) for k, (f, v) in enumerate(zip(plan.fields, plan.row)) if f.width is not None]
    given = [
        f".{n} = " + (literal(v[0]) if f.width is None else f"given{k}")
        for k, (f, n, v) in enumerate(zip(plan.fields, fields, plan.row))
    ]
    kinds = {"integer" if r.kind == "boolean" else r.kind for r in plan.results}
    named = {
        "arrays": "".join(
            f"\nstatic {MANY[f.kind][:-1]}{name}[] = {{\n    {wrapped(map(literal, v), '    ')},\n}};" for name, f, v in arrays
        ),
        "row": wrapped(given, " " * 4),
        "prints": "\n".join(line for k, (r, n) in enumerate(zip(plan.results, results)) for line in _print(r, n, k)),
        "checks": "\n".join(_checks(plan, results)),
        "helpers": "".join(text for kind, text in COMPARE.items() if kind in kinds),
    }
    example = short(
        EXAMPLE,
        {**values, "hint": hint(results, "answers.items[0].")},
        None if arrays else {"row": f"{{\n        {wrapped(given, ' ' * 8)},\n    }};"},
        {"row": f"{prefix}_example; /* its fields can be set: .{fields[0]} = ... */"},
    )
    written = [f"{file}.h", f"{file}.c", "example.c"]
    flags = [f"-DMODELPORT_{name}" for name in ("FAST", "MORE", "NN") if f"modelport_{name.lower()}.c" in plan.library]
    line = ["cc", "-std=c11", "-O2", "-ffp-contract=off", *flags, "-o", "example", "modelport.c", written[1], "example.c", "-lm"]
    page = build_page(plan, "a C11 compiler", f"{shlex.join(line)}\n./example", written, "c")
    texts = (fill(HEADER, values), fill(SOURCE, {**values, **named}), example, page)
    return dict(zip([*written, "BUILD.md"], texts))


def literal(value: Any) -> str:
    """A value in C; of a string, what is not plain ASCII is an octal escape of three digits, and no trigraph can arise."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return "INT64_MIN" if value == -(2**63) else f"INT64_C({value})"
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else "NAN" if math.isnan(value) else "INFINITY" if value > 0 else "-INFINITY"
    return '"' + "".join(map(_byte, value.encode("utf-8", "surrogatepass"))) + '"'


def string(value: str | None) -> str:
    """An initializer of an mp_string."""
    return "{NULL, 0}" if value is None else f"{{{literal(value)}, {len(value.encode('utf-8', 'surrogatepass'))}}}"


def _byte(byte: int) -> str:
    return f"\\{byte:03o}" if byte < 32 or byte > 126 or chr(byte) in '"\\?' else chr(byte)


def _tables(plan: Plan, prefix: str, fields: list[str], results: list[str]) -> list[tuple[str, str]]:
    """(declarator, elements) of the names of columns and of classes."""
    found = []
    for field, name in zip(plan.fields, fields):
        if field.names:
            found.append((f"mp_string {prefix}_{name}_names[{len(field.names)}]", wrapped(map(string, field.names), "    ")))
    for result, name in zip(plan.results, results):
        if result.classes:
            kind = {"text": "mp_string", "integer": "int64_t", "boolean": "bool"}[result.class_kind]
            words = [string(c) if isinstance(c, str) else literal(c) for c in result.classes]
            found.append((f"{kind} {prefix}_{name}_classes[{len(words)}]", wrapped(words, "    ")))
    return found


def _field(field: Field, name: str) -> str:
    if field.width is None:
        return f"    {ONE[field.kind]}{name}; /* {shown(field.name)} */"
    return f"    {MANY[field.kind]}{name}; /* {shown(field.name)}: {field.width} elements */"


def _result(result: Result, name: str, prefix: str) -> str:
    if result.width is None:
        return f"    {SAID[result.kind]}{name}; /* {shown(result.name)} */"
    order = f", in the order of {prefix}_{name}_classes" if result.classes else ""
    return f"    {SAID_MANY[result.kind]}{name}; /* {shown(result.name)}: {result.width} elements{order} */"


def _first_feed(plan: Plan, k: int) -> int:
    return len(plan.apart()) + sum(len(group) for group in list(plan.groups().values())[:k])


def _element(kind: str, target: str, value: str) -> str:
    if kind == "text":
        return f"{target} = (mp_string){{{value}, {value} ? strlen({value}) : 0}};"
    return f"{target} = {value};"


def _input(plan: Plan, bound: Bound, fields: list[str], k: int) -> Iterable[str]:
    width, kind = math.prod(bound.shape), ELEMENT[bound.kind]
    yield f"    {kind} *in{k} = held[{k}] = take(count, {width}, sizeof *in{k});"
    yield f'    if (!in{k}) return fail(error, MP_NO_MEMORY, "There is no memory for the rows.");'
    yield "    for (size_t r = 0; r < count; r++) {"
    if bound.whole is not None:
        name = fields[bound.whole]
        yield f'        if (!rows[r].{name}) return fail(error, MP_REFUSED, "The field {name} of a row is not set.");'
        yield f"        for (size_t j = 0; j < {width}; j++) {{"
        yield f"            {_element(bound.kind, f'in{k}[{width} * r + j]', f'rows[r].{name}[j]')}"
        yield "        }"
    for j, cell in enumerate(bound.cells):
        place = f"in{k}[r]" if width == 1 else f"in{k}[{width} * r + {j}]"
        yield f"        {_element(bound.kind, place, f'rows[r].{fields[cell.field]}')}"
    yield "    }"
    name, size = literal(bound.input.name), len(bound.input.name.encode("utf-8", "surrogatepass"))
    yield (
        f"    feeds[{k}] = (mp_feed){{.name = {name}, .name_size = {size}, .rows = count, .width = {width}, "
        f".{DATA[bound.kind]} = in{k}}};"
    )


def _group(plan: Plan, number: int, fields: list[str], prefix: str, k: int, feed: int) -> Iterable[str]:
    name, field = fields[number], plan.fields[number]
    names = f"{prefix}_{name}_names"
    yield f"    {ELEMENT[field.kind]} *in{k} = held[{k}] = take(count, {field.width}, sizeof *in{k});"
    yield f'    if (!in{k}) return fail(error, MP_NO_MEMORY, "There is no memory for the rows.");'
    yield "    for (size_t r = 0; r < count; r++) {"
    yield f'        if (!rows[r].{name}) return fail(error, MP_REFUSED, "The field {name} of a row is not set.");'
    yield f"        for (size_t j = 0; j < {field.width}; j++) {{"
    yield f"            {_element(field.kind, f'in{k}[count * j + r]', f'rows[r].{name}[j]')}"
    yield "        }"
    yield "    }"
    yield f"    for (size_t j = 0; j < {field.width}; j++) {{"
    yield f"        const mp_string name = {names}[j];"
    yield f"        feeds[{feed} + j] = (mp_feed){{.name = name.data, .name_size = name.size, .rows = count, .width = 1,"
    yield f"                                  .{DATA[field.kind]} = in{k} + count * j}};"
    yield "    }"


def _answer(result: Result, name: str, k: int) -> str:
    data = f"mp_result_at(result, {k})->{DATA[result.kind]}"
    if result.width is None:
        return f"    answer->{name} = {data}[r]{' != 0' if result.kind == 'boolean' else ''};"
    return f"    answer->{name} = {data} + {result.width} * r;"


def _said(result: Result, value: Any) -> str:
    if result.kind == "text":
        return string(value)
    return literal(int(value) if result.kind == "boolean" else value)


def _place(result: Result, name: str, k: int) -> tuple[str, str, str]:
    """Code that comes before, the address of the elements of an answer, and how the names of the functions for them end."""
    ending = {"number": "numbers", "text": "strings"}.get(result.kind, "integers")
    if result.width is not None:
        return "", f"answer->{name}", ending
    if result.kind == "boolean":
        return f"    const int64_t got{k} = answer->{name};\n", f"&got{k}", ending
    return "", f"&answer->{name}", ending


def _print(result: Result, name: str, k: int) -> Iterable[str]:
    before, place, ending = _place(result, name, k)
    yield f'{before}    print_{ending}(file, "{name}", {place}, {result.width or 1});'


def _checks(plan: Plan, results: list[str]) -> Iterable[str]:
    for k, (result, name, said, (atol, rtol)) in enumerate(zip(plan.results, results, plan.answer, plan.tolerance)):
        before, place, ending = _place(result, name, k)
        words = wrapped([_said(result, v) for v in said], " " * 8)
        further = f", {atol!r}, {rtol!r}" if result.kind == "number" else ""
        yield f"    static const {ELEMENT[result.kind]} said{k}[] = {{{words}}};"
        yield f"{before}    if (!same_{ending}({place}, said{k}, {len(said)}{further})) {{"
        yield f'        return fail(error, MP_MISMATCH, "{name} is not what the artifact carries.");'
        yield "    }"
