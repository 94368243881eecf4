/* c_rows.c - rows of a model with one matrix of numbers, answered all at once, in parts, and on threads: the same bits everywhere.
 *
 *     cc -std=c11 -DMODELPORT_FAST -DMODELPORT_MORE -DMODELPORT_NN -DMODELPORT_THREADS -pthread -I stubs/c \
 *        tests/stubs/c_rows.c stubs/c/modelport.c -lm -o c_rows
 *     ./c_rows ARTIFACT
 *
 * Prints "done"; exit code 1 and a sentence otherwise.
 */
#include "modelport.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 1501, MOST_OUTPUTS = 8, MOST_FILE = 1 << 24 };

static void stop(const char *what) {
    printf("%s\n", what);
    exit(1);
}

static void *room(size_t count, size_t size) {
    void *memory = calloc(count + 1, size);
    if (!memory) stop("no memory");
    return memory;
}

static size_t element_size(const mp_values *v) { return v->strings ? sizeof(mp_string) : 8; }
static const void *elements(const mp_values *v) { return v->strings ? (const void *)v->strings : v->integers ? (const void *)v->integers : v->numbers; }

/* Compares rows first..end - 1 of every output; strings by their bytes. */
static void compare(const mp_result *result, void *const *places, size_t first, size_t end, const char *what) {
    for (size_t k = 0; k < mp_result_count(result); k++) {
        const mp_values *v = mp_result_at(result, k);
        size_t width = v->output->width;
        for (size_t i = first * width; v->strings && i < end * width; i++) {
            const mp_string *got = (const mp_string *)places[k] + i;
            if (got->size != v->strings[i].size || (got->size && memcmp(got->data, v->strings[i].data, got->size) != 0)) stop(what);
        }
        if (v->strings || first == end) continue;
        size_t from = first * width * 8, bytes = (end - first) * width * 8;
        if (memcmp((const char *)places[k] + from, (const char *)elements(v) + from, bytes) != 0) stop(what);
    }
}

int main(int argc, char **argv) {
    static char text[MOST_FILE];
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    if (!file) stop("usage: c_rows ARTIFACT");
    size_t size = fread(text, 1, sizeof text, file);
    fclose(file);
    mp_error error;
    mp_model *model;
    mp_result *result;
    if (mp_load(text, size, NULL, &model, &error) != MP_OK) stop(error.message);
    const mp_input *in = mp_input_at(model, 0);
    if (mp_input_count(model) != 1 || mp_output_count(model) > MOST_OUTPUTS || in->dtype == MP_STR) stop("not such a model");
    double *x = room(ROWS * in->width, sizeof *x);
    unsigned state = 1;
    for (size_t i = 0; i < ROWS * in->width; i++) x[i] = (double)((state = state * 1103515245u + 12345u) >> 16) / 8192.0;
    const mp_feed feed = {.name = in->name.data, .name_size = in->name.size, .rows = ROWS, .width = in->width, .numbers = x};
    if (mp_predict(model, &feed, 1, &result, &error) != MP_OK) stop(error.message);

    void *places[MOST_OUTPUTS];
    mp_target targets[MOST_OUTPUTS];
    for (size_t k = 0; k < mp_output_count(model); k++) {
        const mp_values *v = mp_result_at(result, k);
        places[k] = room(ROWS * v->output->width, element_size(v)); /* exactly: what lies beyond is the sanitizer's */
        targets[k] = (mp_target){.numbers = v->numbers ? places[k] : NULL, .integers = v->integers ? places[k] : NULL, .strings = v->strings ? places[k] : NULL};
    }
    mp_call call = {.model = model, .feeds = &feed, .n_feeds = 1, .targets = targets};
    static const size_t ends[] = {1, 9, 40, 300, 301, 1000, ROWS};
    for (size_t k = 0, first = 0; k < sizeof ends / sizeof *ends; first = ends[k++]) {
        call.first = first;
        call.rows = ends[k] - first;
        if (mp_predict_rows(&call, &error) != MP_OK) stop(error.message);
        compare(result, places, 0, ends[k], "a part of the rows differs");
    }
    call.first = 0;
    call.rows = ROWS;
    for (size_t threads = 1; threads < 9; threads++) {
        for (size_t k = 0; k < mp_output_count(model); k++) {
            const mp_values *v = mp_result_at(result, k);
            memset(places[k], 0, ROWS * v->output->width * element_size(v));
        }
        if (mp_predict_threads(&call, threads, &error) != MP_OK) stop(error.message);
        compare(result, places, 0, ROWS, "threads differ");
    }
    call.first = ROWS;
    call.rows = 1;
    if (mp_predict_rows(&call, &error) != MP_REFUSED || mp_predict_threads(&call, 2, &error) != MP_REFUSED) stop("rows that are not there are not refused");
    call.first = 0;
    targets[0] = (mp_target){.numbers = NULL};
    if (mp_predict_rows(&call, &error) != MP_REFUSED || !strstr(error.message, "has no place")) stop("a missing place is not refused");
    for (size_t k = 0; k < mp_output_count(model); k++) free(places[k]);
    mp_result_free(result);
    mp_free(model);
    free(x);
    puts("done");
    return 0;
}
