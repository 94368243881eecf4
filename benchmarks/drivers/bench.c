/* Measures stubs/c/modelport.c inside one process: bench ROWS ARTIFACT
 * Commands on standard input, one answer per line: ready | load | one SECONDS | batch SECONDS | answers FILE (see ../worker.py).
 */
#define _POSIX_C_SOURCE 200809L
#include "modelport.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { INPUTS = 64, SINGLES = 64, LINE = 4096 };

static mp_feed batch[INPUTS];
static size_t inputs;
static mp_model *model;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static void *room(size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size);
    if (!memory) fail("There is no memory for the rows.");
    return memory;
}

static char *copy(const char *text) {
    return strcpy(room(strlen(text) + 1, 1), text);
}

/* Per input a line "name kind width rows", then one element per line. */
static void read_rows(const char *path) {
    FILE *file = fopen(path, "r");
    char name[128], kind[8], line[LINE];
    size_t width, rows;
    if (!file) fail("The rows cannot be read.");
    while (fgets(line, sizeof line, file)) {
        if (inputs == INPUTS || sscanf(line, "%127s %7s %zu %zu", name, kind, &width, &rows) != 4) fail("The rows file is damaged.");
        bool text = strcmp(kind, "str") == 0;
        double *numbers = text ? NULL : room(rows * width, sizeof *numbers);
        mp_string *strings = text ? room(rows * width, sizeof *strings) : NULL;
        for (size_t k = 0; k < rows * width; k++) {
            if (!fgets(line, sizeof line, file)) fail("The rows file ends early.");
            line[strcspn(line, "\n")] = 0;
            if (text) strings[k] = (mp_string){copy(line), strlen(line)};
            else numbers[k] = strtod(line, NULL);
        }
        batch[inputs++] = (mp_feed){.name = copy(name), .rows = rows, .width = width, .numbers = numbers, .strings = strings};
    }
    fclose(file);
}

static void single(mp_feed *feeds, size_t row) {
    for (size_t i = 0; i < inputs; i++) {
        feeds[i] = batch[i];
        feeds[i].rows = 1;
        if (feeds[i].numbers) feeds[i].numbers += row * feeds[i].width;
        if (feeds[i].strings) feeds[i].strings += row * feeds[i].width;
    }
}

static void refuse(const mp_error *error) {
    printf("{\"error\": \"");
    for (const char *c = error->message; *c; c++) putchar(*c == '"' || *c == '\\' ? '\'' : *c);
    printf("\"}\n");
}

static void load(const char *path) {
    const mp_options options = {.no_verify = false};
    mp_error error;
    mp_free(model);
    model = NULL;
    double started = now();
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0) fail("The artifact cannot be read.");
    size_t size = (size_t)ftell(file);
    char *data = room(size, 1);
    rewind(file);
    if (fread(data, 1, size, file) != size) fail("The artifact cannot be read.");
    fclose(file);
    mp_code code = mp_load(data, size, &options, &model, &error);
    free(data);
    if (code != MP_OK) refuse(&error);
    else printf("%.9g\n", now() - started);
}

/* Seconds per call, going round the first rows (or with the whole batch) for at least so many seconds. */
static void repeated(bool whole, double least) {
    mp_feed feeds[SINGLES][INPUTS];
    mp_error error;
    mp_result *result;
    size_t count = whole ? 1 : batch[0].rows < SINGLES ? batch[0].rows : SINGLES;
    for (size_t k = 0; k < count; k++) {
        if (whole) memcpy(feeds[k], batch, sizeof batch);
        else single(feeds[k], k);
    }
    double started = now();
    for (size_t done = 1;; done++) {
        if (mp_predict(model, feeds[(done - 1) % count], inputs, &result, &error) != MP_OK) {
            refuse(&error);
            return;
        }
        mp_result_free(result);
        double spent = now() - started;
        if (spent >= least) {
            printf("%.9g\n", spent / (double)done);
            return;
        }
    }
}

static void answers(const char *path) {
    mp_error error;
    mp_result *result;
    FILE *out = fopen(path, "w");
    if (!out) fail("The answers cannot be written.");
    if (mp_predict(model, batch, inputs, &result, &error) != MP_OK) {
        fclose(out);
        refuse(&error);
        return;
    }
    const mp_values *label = mp_result_find(result, "label"), *probability = mp_result_find(result, "probability");
    for (size_t k = 0; k < label->rows; k++) fprintf(out, "%" PRId64 "\n", label->integers[k]);
    for (size_t k = 0; k < probability->rows * probability->output->width; k++) fprintf(out, "%.17g\n", probability->numbers[k]);
    fclose(out);
    mp_result_free(result);
    printf("null\n");
}

int main(int argc, char **argv) {
    char line[LINE];
    if (argc != 3) fail("usage: bench ROWS ARTIFACT");
    read_rows(argv[1]);
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        char *argument = strchr(line, ' ');
        if (argument) *argument++ = 0;
        if (strcmp(line, "ready") == 0) printf("null\n");
        else if (strcmp(line, "load") == 0) load(argv[2]);
        else if (!model || !argument) printf("{\"error\": \"There is no model, or no argument.\"}\n");
        else if (strcmp(line, "answers") == 0) answers(argument);
        else repeated(strcmp(line, "batch") == 0, strtod(argument, NULL));
        fflush(stdout);
    }
    mp_free(model);
    return 0;
}
