/* modelport.h - runs modelport JSON artifacts (docs/format.md, format 1). C11, libc and libm only.
 * SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
 *
 * modelport.c has the ops of profile tabular but a few; compiled with -DMODELPORT_MORE, and modelport_more.c beside it, those and
 * kernel, text and solver too; with -DMODELPORT_NN, and modelport_nn.c, profile nn and mp_load_arena; with -DMODELPORT_FAST, and
 * modelport_fast.c, the same answers sooner.
 *
 *     mp_model *model;
 *     mp_result *result;
 *     mp_error error;
 *     if (mp_load(text, size, NULL, &model, &error) != MP_OK) { fprintf(stderr, "%s\n", error.message); return 1; }
 *
 *     const double x[] = {5.1, 3.5, 1.4, 0.2};
 *     const mp_feed feed = {.name = "X", .rows = 1, .width = 4, .numbers = x};
 *     if (mp_predict(model, &feed, 1, &result, &error) == MP_OK) {
 *         const mp_values *p = mp_result_find(result, "probability");
 *         printf("%g\n", p->numbers[0]);
 *         mp_result_free(result);
 *     }
 *     mp_free(model);
 *
 * Loading replays the rows that the artifact carries and refuses it when the answers are not the original model's.
 * A loaded model never changes: any number of threads may predict with it. There is no global state.
 */
#ifndef MODELPORT_H
#define MODELPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- errors ------------------------------------------------------------------------------------------------------ */

typedef enum mp_code {
    MP_OK = 0,
    MP_MISMATCH = 1,    /* the numbers are not those of the vectors */
    MP_REFUSED = 2,     /* the artifact, or the rows, are not acceptable */
    MP_UNSUPPORTED = 3, /* an op or a version that this reader does not know */
    MP_NO_MEMORY = 4    /* the allocator gave nothing, or limits.memory is reached */
} mp_code;

typedef struct mp_error {
    mp_code code;
    char    message[512]; /* one sentence; UTF-8, no line breaks */
} mp_error;

/* ---- values ------------------------------------------------------------------------------------------------------ */

typedef enum mp_dtype {
    MP_F64, MP_F32, MP_I64, MP_I32, MP_I16, MP_I8, MP_U32, MP_U16, MP_U8, MP_BOOL, MP_STR
} mp_dtype;

typedef struct mp_string { /* UTF-8; data is NULL for a missing string */
    const char *data;
    size_t      size;
} mp_string;

typedef enum mp_missing { MP_MISSING_ERROR, MP_MISSING_NAN, MP_MISSING_NULL } mp_missing;

typedef struct mp_input {
    mp_string        name;
    mp_dtype         dtype;
    int              rank;     /* 0: one element per row, 1: `width` elements, 2 to 6: as many as the product of shape */
    size_t           width;
    mp_missing       missing;  /* what a row may lack */
    const mp_string *features; /* [width] names of the columns, or NULL */
    const size_t    *shape;    /* [rank]; of named lengths it has the document's examples */
    const mp_string *lengths;  /* [rank] names of lengths that rows choose (data NULL: a fixed length), or NULL */
} mp_input;

typedef struct mp_output {
    mp_string        name;
    mp_dtype         dtype;
    int              rank;
    size_t           width;
    mp_string        role;
    size_t           n_classes;      /* 0 without classes; otherwise one of the next two is not NULL */
    const mp_string *class_strings;
    const int64_t   *class_integers;
    bool             class_booleans; /* class_integers are 0 or 1 and mean false or true */
    const size_t    *shape;          /* [rank], of a model for the example lengths, of a result for those of its rows */
} mp_output;

/* ---- options ----------------------------------------------------------------------------------------------------- */

typedef struct mp_allocator { /* both functions or none (malloc and free); thread-safe if predictions run in threads */
    void *(*allocate)(void *context, size_t size); /* aligned for any type; NULL when there is no memory */
    void (*release)(void *context, void *memory);
    void *context;
} mp_allocator;

typedef struct mp_limits { /* 0 means the default of docs/format.md, section 5 */
    size_t bytes;    /* of a document: 512 MB */
    size_t depth;    /* of nesting: 16 (at most 512) */
    size_t steps;    /* 10,000 */
    size_t elements; /* of a tensor: 2^28 */
    size_t row;      /* elements per row of a value: 2^22 */
    size_t rows;     /* carried rows: 4,096 */
    size_t total;    /* elements per row of all values together: 2^25 */
    size_t memory;   /* bytes that loading may hold: 4 GB */
    size_t multiplications; /* per row, in all steps: 2^34 */
    size_t work;     /* operations that replaying the carried rows takes, beside 4,096 for every byte of the document: 2^30 */
} mp_limits;

typedef struct mp_options { /* {0} or NULL are the defaults */
    bool         no_verify; /* do not replay the carried rows; accept an artifact that carries none */
    bool         forget_vectors; /* do not keep the carried rows once they are replayed: mp_verify then needs others */
    mp_allocator allocator;
    mp_limits    limits;
} mp_options;

/* ---- model ------------------------------------------------------------------------------------------------------- */

typedef struct mp_model mp_model;

/* Reads an artifact of `size` bytes, which are not needed afterwards. On any code but MP_OK, *model is NULL.
 * `error` may be NULL here and below. */
mp_code mp_load(const char *data, size_t size, const mp_options *options, mp_model **model, mp_error *error);
void    mp_free(mp_model *model); /* NULL is fine */

/* As mp_load, but without a heap (with -DMODELPORT_NN): the model, what predicting needs and the results all lie in `memory`, which
 * has to last as long as they do. One call at a time; results are freed in the reverse order. When the memory does not suffice, the
 * code is MP_NO_MEMORY, and the sentence says how many bytes are needed up to there. Compiled with -DMODELPORT_NO_HEAP too, the
 * library calls neither malloc nor free. options.allocator and limits.memory do not count. mp_free frees nothing. */
mp_code mp_load_arena(void *memory, size_t memory_size, const char *data, size_t size, const mp_options *options, mp_model **model,
                      mp_error *error);
/* The most bytes of its arena that were in use at once since it was loaded, or since the last call with `restart`. */
size_t mp_arena_peak(mp_model *model, bool restart);

size_t           mp_input_count(const mp_model *model);
const mp_input  *mp_input_at(const mp_model *model, size_t index);
size_t           mp_output_count(const mp_model *model);
const mp_output *mp_output_at(const mp_model *model, size_t index);
size_t           mp_carried_rows(const mp_model *model); /* 0: the artifact carries none, or they are not kept */

/* The ops that this reader implements, in the order of docs/format.md, those of modelport_more.c last; NULL beyond the last. */
const char *mp_op_name(size_t index);
bool        mp_uses_op(const mp_model *model, size_t index);
const char *mp_dtype_name(mp_dtype dtype); /* "f64", "f32", "i64", ... */

/* ---- prediction -------------------------------------------------------------------------------------------------- */

/* Rows for one input, or for one column of a matrix input that has features (then width is 1). Elements are row-major,
 * rows x width. An input with named lengths needs a shape, unless it has only one, which then follows from the width. Numbers feed f64, f32 (rounded to it), i64 (integral) and bool (0 or 1); integers feed i64 and bool. */
typedef struct mp_feed {
    const char      *name;
    size_t           name_size; /* 0: the name ends with a NUL */
    size_t           rows, width;
    const double    *numbers;   /* exactly one of the three is given, but for 0 elements */
    const int64_t   *integers;
    const mp_string *strings;
    int              rank;      /* 0: the declared shape */
    const size_t    *shape;     /* [rank] of a row; width may then be 0 */
} mp_feed;

typedef struct mp_values { /* one output: rows x output->width elements (output->shape), row-major; one pointer is not NULL */
    const mp_output *output;
    size_t           rows;
    const double    *numbers;  /* f64, f32 */
    const int64_t   *integers; /* integers, bool */
    const mp_string *strings;  /* str */
} mp_values;

typedef struct mp_result mp_result;

/* Answers for all rows, or none: *result is NULL on any code but MP_OK. The result owns what it points to. */
mp_code mp_predict(const mp_model *model, const mp_feed *feeds, size_t n_feeds, mp_result **result, mp_error *error);
size_t           mp_result_count(const mp_result *result); /* as many as outputs, in their order */
const mp_values *mp_result_at(const mp_result *result, size_t index);
const mp_values *mp_result_find(const mp_result *result, const char *output_name); /* NULL if there is none */
void             mp_result_free(mp_result *result);                                /* NULL is fine */

/* ---- rows to places of the caller's (with -DMODELPORT_FAST) -------------------------------------------------------- */

/* Where an output goes: for all rows of the feeds, [rows, width]; the pointer that its dtype needs (see mp_values) is not NULL.
 * Strings stay where they are, in the feeds or in the model. */
typedef struct mp_target {
    double    *numbers;
    int64_t   *integers;
    mp_string *strings;
} mp_target;
typedef struct mp_call {
    const mp_model  *model;
    const mp_feed   *feeds;
    size_t           n_feeds;
    size_t           first, rows; /* rows first .. first + rows - 1 of the feeds are answered; the others' places stay as they are */
    const mp_target *targets;     /* one per output */
} mp_call;
/* The answers of mp_predict for some of the rows. Threads may share feeds and targets, and take different rows each. On any code
 * but MP_OK some of the places have been written. */
mp_code mp_predict_rows(const mp_call *call, mp_error *error);
/* The same on up to `threads` threads, this one among them (with -DMODELPORT_THREADS, and POSIX threads). */
mp_code mp_predict_threads(const mp_call *call, size_t threads, mp_error *error);

/* ---- JSON in, JSON out ------------------------------------------------------------------------------------------- */

/* Receives text piece by piece. Nothing is written before the whole answer is known. */
typedef void (*mp_writer)(void *context, const char *text, size_t size);

/* {"inputs": {name: tensor}} to {"outputs": {name: tensor}} (docs/format.md, section 11). */
mp_code mp_predict_json(const mp_model *model, const char *text, size_t size, mp_writer write, void *context,
                        mp_error *error);

/* Replays the carried rows (vectors NULL) or those of a `verification` object. Writes one line per output if `write` is
 * given. MP_OK or MP_MISMATCH when the rows could be compared. */
mp_code mp_verify(const mp_model *model, const char *vectors, size_t size, mp_writer write, void *context,
                  mp_error *error);

#ifdef __cplusplus
}
#endif
#endif
