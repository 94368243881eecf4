/* edge.c - runs one row of a model without a heap: the model is part of the program, and what it needs lies in a static arena.
 * SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
 *
 * MODELPORT_EDGE_MODEL is a file of the artifact's bytes, MODELPORT_EDGE_ROW one of a row's numbers, both parted by commas:
 *
 *     python3 -c "print(*open('model.json', 'rb').read(), sep=',')" > model.inc
 *     echo 5.1, 3.5, 1.4, 0.2 > row.inc
 *     cc -std=c11 -Os -ffp-contract=off -DMODELPORT_NN -DMODELPORT_NO_HEAP -DMODELPORT_EDGE_MODEL='"model.inc"' \
 *        -DMODELPORT_EDGE_ROW='"row.inc"' -I . edge.c modelport.c -lm -o edge
 *
 * Without the two files it is empty.
 */
#ifndef MODELPORT_EDGE_MODEL
typedef int edge_has_no_model;
#else
#include "modelport.h"

#include <stdalign.h>
#include <stdio.h>

#ifndef MODELPORT_EDGE_BYTES
#define MODELPORT_EDGE_BYTES (128 << 10)
#endif

static const unsigned char MODEL[] = {
#include MODELPORT_EDGE_MODEL
};
static const double ROW[] = {
#include MODELPORT_EDGE_ROW
};
static alignas(max_align_t) unsigned char arena[MODELPORT_EDGE_BYTES];

int main(void) {
    const mp_options options = {.forget_vectors = true};
    mp_error error;
    mp_model *model;
    mp_result *result;
    if (mp_load_arena(arena, sizeof arena, (const char *)MODEL, sizeof MODEL, &options, &model, &error) != MP_OK) {
        fprintf(stderr, "%s\n", error.message);
        return (int)error.code;
    }
    size_t loading = mp_arena_peak(model, true);
    const mp_input *in = mp_input_at(model, 0);
    const mp_feed feed = {.name = in->name.data, .name_size = in->name.size, .rows = 1, .width = sizeof ROW / sizeof *ROW, .numbers = ROW};
    if (mp_predict(model, &feed, 1, &result, &error) != MP_OK) {
        fprintf(stderr, "%s\n", error.message);
        return (int)error.code;
    }
    for (size_t k = 0; k < mp_result_count(result); k++) {
        const mp_values *v = mp_result_at(result, k);
        for (size_t j = 0; j < v->output->width; j++) {
            if (v->numbers) printf("%.17g\n", v->numbers[j]);
            else if (v->integers) printf("%lld\n", (long long)v->integers[j]);
            else printf("%.*s\n", (int)v->strings[j].size, v->strings[j].data ? v->strings[j].data : "");
        }
    }
    mp_result_free(result);
    fprintf(stderr, "model: %zu bytes; arena: %zu bytes while loading, %zu while predicting\n", sizeof MODEL, loading, mp_arena_peak(model, true));
    return 0;
}
#endif
