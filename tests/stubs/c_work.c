/* c_work.c - loads documents with a limit for the operations of their replay: with the replay, and without.
 *
 *     cc -std=c11 -DMODELPORT_FAST -DMODELPORT_MORE -DMODELPORT_NN -I stubs/c tests/stubs/c_work.c stubs/c/modelport.c -lm -o c_work
 *     ./c_work CASES
 *
 * CASES has a file and the limit in every line. Prints the code and the sentence, twice for every line.
 */
#include "modelport.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    static char text[1 << 20];
    char name[256];
    long long work;
    FILE *cases = argc == 2 ? fopen(argv[1], "r") : NULL;
    if (!cases) return 64;
    while (fscanf(cases, "%255s %lld", name, &work) == 2) {
        FILE *file = fopen(name, "rb");
        if (!file) return 64;
        size_t size = fread(text, 1, sizeof text, file);
        fclose(file);
        for (int without = 0; without < 2; without++) {
            mp_options options = {.no_verify = without, .limits = {.work = (size_t)work}};
            mp_error error = {.message = ""};
            mp_model *model;
            int code = mp_load(text, size, &options, &model, &error);
            printf("%d %s\n", code, code == MP_OK ? "" : error.message);
            mp_free(model);
        }
    }
    fclose(cases);
    return 0;
}
