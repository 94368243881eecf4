/* main.c - the command line around modelport.c (stubs/README.md).
 * SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
 */
#include "modelport.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 64, MAX_FILE = 512 << 20 };

static const char USAGE[] =
    "usage: modelport predict [--no-verify] ARTIFACT < inputs.json > outputs.json\n"
    "       modelport verify ARTIFACT [VECTORS]\n"
    "       modelport info ARTIFACT\n"
    "       modelport ops\n";

typedef struct text { char *data; size_t size; } text;

/* All bytes of a file, up to one more than a document may have; data is NULL if it cannot be read. */
static text read_all(FILE *file) {
    text t = {NULL, 0};
    size_t capacity = 0;
    for (;;) {
        if (t.size == capacity) {
            capacity = capacity ? 2 * capacity : 1 << 16;
            char *larger = realloc(t.data, capacity);
            if (!larger) break;
            t.data = larger;
        }
        size_t n = fread(t.data + t.size, 1, capacity - t.size, file);
        t.size += n;
        if (n == 0 && !ferror(file)) return t;
        if (n == 0 || t.size > MAX_FILE) break;
    }
    free(t.data);
    return (text){NULL, 0};
}

static text read_path(const char *path) {
    FILE *file = fopen(path, "rb");
    text t = {NULL, 0};
    if (file) {
        t = read_all(file);
        fclose(file);
    }
    if (!t.data) fprintf(stderr, "%s: The file cannot be read, or has more than 512 MB.\n", path);
    return t;
}

static void write_out(void *context, const char *data, size_t size) {
    fwrite(data, 1, size, context);
}

/* The exit code for what the library says; a refusal goes to stderr. */
static int finish(const char *path, mp_code code, const mp_error *error) {
    if (code != MP_OK) fprintf(stderr, "%s: %s\n", path, error->message);
    if (code == MP_OK && (fflush(stdout) != 0 || ferror(stdout))) {
        fprintf(stderr, "The output cannot be written.\n");
        return MP_REFUSED;
    }
    return code == MP_NO_MEMORY ? MP_REFUSED : (int)code;
}

/* -- info -- */

static void print_string(mp_string s) {
    putchar('"');
    for (size_t i = 0; i < s.size; i++) {
        unsigned char byte = (unsigned char)s.data[i];
        if (byte == '"' || byte == '\\') printf("\\%c", byte);
        else if (byte < 0x20) printf("\\u%04x", byte);
        else putchar(byte);
    }
    putchar('"');
}

static void print_strings(const mp_string *strings, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (i) printf(", ");
        print_string(strings[i]);
    }
}

/* {"name", "dtype", "shape"; a length that has a name is that name */
static void print_head(mp_string name, mp_dtype dtype, int rank, const size_t *shape, const mp_string *lengths) {
    printf("{\"name\": ");
    print_string(name);
    printf(", \"dtype\": \"%s\", \"shape\": [", mp_dtype_name(dtype));
    for (int k = 0; k < rank; k++) {
        if (k) printf(", ");
        if (lengths && lengths[k].data) print_string(lengths[k]);
        else printf("%zu", shape[k]);
    }
    printf("]");
}

static void print_input(const mp_input *in) {
    static const char *const missing[] = {"error", "nan", "null"};
    print_head(in->name, in->dtype, in->rank, in->shape, in->lengths);
    printf(", \"missing\": \"%s\"", missing[in->missing]);
    if (in->features) {
        printf(", \"features\": [");
        print_strings(in->features, in->width);
        printf("]");
    }
    printf("}");
}

static void print_output(const mp_output *out) {
    print_head(out->name, out->dtype, out->rank, out->shape, NULL);
    printf(", \"role\": ");
    print_string(out->role);
    if (out->n_classes) {
        printf(", \"classes\": [");
        if (out->class_strings) print_strings(out->class_strings, out->n_classes);
        for (size_t i = 0; !out->class_strings && i < out->n_classes; i++) {
            int64_t k = out->class_integers[i];
            bool safe = k < INT64_C(1) << 53 && k > -(INT64_C(1) << 53); /* beyond, an integer is written as a string */
            if (i) printf(", ");
            if (out->class_booleans) printf("%s", k ? "true" : "false");
            else printf(safe ? "%" PRId64 : "\"%" PRId64 "\"", k);
        }
        printf("]");
    }
    printf("}");
}

static void print_info(const mp_model *model) {
    const char *comma = "";
    printf("{\"inputs\": [");
    for (size_t i = 0; i < mp_input_count(model); i++) {
        if (i) printf(", ");
        print_input(mp_input_at(model, i));
    }
    printf("], \"outputs\": [");
    for (size_t i = 0; i < mp_output_count(model); i++) {
        if (i) printf(", ");
        print_output(mp_output_at(model, i));
    }
    printf("], \"ops\": [");
    for (size_t i = 0; mp_op_name(i); i++) {
        if (!mp_uses_op(model, i)) continue;
        printf("%s\"%s\"", comma, mp_op_name(i));
        comma = ", ";
    }
    printf("]}\n");
}

/* -- commands -- */

static int with_model(const char *command, const char *path, const char *vectors_path, bool no_verify) {
    bool predict = strcmp(command, "predict") == 0, verify = strcmp(command, "verify") == 0;
    const mp_options options = {.no_verify = no_verify || !predict}; /* verify reports by itself, info only reads */
    mp_error error;
    mp_model *model = NULL;
    text artifact = read_path(path), other = {NULL, 0};
    if (!artifact.data) return MP_REFUSED;
    mp_code code = mp_load(artifact.data, artifact.size, &options, &model, &error);
    free(artifact.data);
    if (code != MP_OK) return finish(path, code, &error);
    if (predict) {
        other = read_all(stdin);
        if (!other.data) fprintf(stderr, "The rows cannot be read from standard input, or have more than 512 MB.\n");
        else code = finish("predict", mp_predict_json(model, other.data, other.size, write_out, stdout, &error), &error);
        if (!other.data) code = MP_REFUSED;
    } else if (verify && vectors_path) {
        other = read_path(vectors_path);
        code = !other.data ? MP_REFUSED : finish(vectors_path, mp_verify(model, other.data, other.size, write_out, stdout, &error), &error);
    } else if (verify) {
        code = finish(path, mp_verify(model, NULL, 0, write_out, stdout, &error), &error);
    } else {
        print_info(model);
        code = finish(path, MP_OK, &error);
    }
    free(other.data);
    mp_free(model);
    return (int)code;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int list_ops(void) {
    const char *names[256];
    size_t n = 0;
    while (n < sizeof names / sizeof *names && (names[n] = mp_op_name(n)) != NULL) n++;
    qsort(names, n, sizeof *names, by_name);
    for (size_t i = 0; i < n; i++) puts(names[i]);
    return finish("ops", MP_OK, NULL);
}

int main(int argc, char **argv) {
    const char *words[3] = {NULL, NULL, NULL}; /* command, artifact, vectors */
    int n = 0;
    bool no_verify = false, fits = true;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--no-verify") == 0) no_verify = true;
        else if (n < 3) words[n++] = argv[i];
        else fits = false;
    }
    if (fits && n == 1 && strcmp(words[0], "ops") == 0 && !no_verify) return list_ops();
    bool predict = n == 2 && strcmp(words[0], "predict") == 0;
    bool verify = (n == 2 || n == 3) && strcmp(words[0], "verify") == 0 && !no_verify;
    bool info = n == 2 && strcmp(words[0], "info") == 0 && !no_verify;
    if (fits && (predict || verify || info)) return with_model(words[0], words[1], words[2], no_verify);
    fputs(USAGE, stderr);
    return EXIT_USAGE;
}
