/* fuzz_c.c - libFuzzer for the C stub: the loader with a heap and with an arena, verification and prediction.
 *
 *     clang -std=c11 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -DMODELPORT_MORE -DMODELPORT_NN \
 *        -I stubs/c tests/fuzz/fuzz_c.c stubs/c/modelport.c stubs/c/modelport_more.c stubs/c/modelport_nn.c -lm -o fuzz_c
 *     ./fuzz_c -timeout=10 CORPUS
 *
 * An input is a document. What loads is verified and answers the rows it carries, those with a byte changed, and other rows that the
 * document is not about. The mutator is that of c_mutate.c (tokens: numbers, strings, whole members) for three inputs of four, and
 * libFuzzer's own for the rest. Memory that is not given back, and answers without a sentence, end the program.
 */
#define main c_mutate_main
#include "../stubs/c_mutate.c"
#undef main

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static token *tokens_of_all(void) {
    static token *tokens;
    if (!tokens) tokens = checked(malloc(MAX_TOKENS * sizeof *tokens));
    return tokens;
}

static void check(mp_code code, const mp_error *error) {
    if (code != MP_OK && !error->message[0]) abort();
    for (const char *c = error->message; code != MP_OK && *c; c++)
        if ((unsigned char)*c < 0x20) abort();
}

/* Small limits: inputs that compute much are no better than those that compute little. */
static const mp_limits LIMITS = {.memory = (size_t)1 << 26, .rows = 64, .row = 1 << 16, .total = 1 << 18, .multiplications = 1 << 24};

static void answer(const mp_model *model, const text *rows) {
    mp_error error;
    check(mp_predict_json(model, rows->data, rows->size, ignore, NULL, &error), &error);
    if (!rows->size) return;
    text strange = exact_copy(rows->data, rows->size);
    size_t at = (rows->size * 7 / 11 + 13) % rows->size;
    strange.data[at] = (char)(strange.data[at] ^ 1 << rows->size % 7);
    check(mp_predict_json(model, strange.data, strange.size, ignore, NULL, &error), &error);
    free(strange.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    text document = exact_copy((const char *)data, size), rows = carried_rows(&document, tokens_of_all());
    ledger ledger = {0, size % 8 ? -1 : (long)(size / 8 % 60)};
    mp_options options = {.no_verify = true, .allocator = {allocate, release, &ledger}, .limits = LIMITS};
    mp_error error;
    mp_model *model = NULL;
    mp_code code = mp_load(document.data, document.size, &options, &model, &error);
    check(code, &error);
    if ((code == MP_OK) != (model != NULL)) abort();
    if (model) {
        check(mp_verify(model, NULL, 0, ignore, NULL, &error), &error);
        answer(model, &rows);
    }
    mp_free(model);
    if (ledger.blocks) abort();

    size_t room = size % 3 ? (size_t)1 << 20 : size * 4; /* an arena that may be too small, at an address that is not aligned */
    char *arena = checked(malloc(room + 1));
    options.allocator = (mp_allocator){NULL, NULL, NULL};
    model = NULL;
    code = mp_load_arena(arena + 1, room, document.data, document.size, &options, &model, &error);
    check(code, &error);
    if (code == MP_OK) {
        check(mp_verify(model, NULL, 0, ignore, NULL, &error), &error);
        answer(model, &rows);
        mp_free(model);
    }
    free(arena);
    free(rows.data);
    free(document.data);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed) {
    if (seed % 4 == 0) return LLVMFuzzerMutate(data, size, max_size);
    state = (uint64_t)seed * 2 + 1;
    text original = {(char *)data, size}, mutant = mutated(&original, tokens_of_all());
    size_t kept = mutant.size < max_size ? mutant.size : max_size;
    memcpy(data, mutant.data, kept);
    free(mutant.data);
    return kept;
}
