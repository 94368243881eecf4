/* c_mutate.c - damages artifacts and shows them to the C stub, which has to refuse them or answer, never to fail.
 *
 *     cc -std=c11 -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -DMODELPORT_MORE -DMODELPORT_NN \
 *        -I stubs/c tests/stubs/c_mutate.c stubs/c/modelport.c -lm -o c_mutate
 *     ./c_mutate COUNT SEED ARTIFACT...
 *
 * Each of COUNT cases takes an artifact, changes one to four places (bytes, numbers, strings, types, whole members), and loads
 * the result with and without verification, sometimes with an allocator that runs dry. What loads predicts the carried rows,
 * damaged too at times. The run is the same for the same arguments. Exit code: 0; 1 if a single load takes more than two
 * seconds, or memory is not given back; whatever the sanitizers say; 64 for usage.
 */
#include "modelport.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_ARTIFACTS = 4096, MAX_TOKENS = 1 << 16, EXIT_USAGE = 64 };
static const double SLOW_SECONDS = 2.0;

/* -- random numbers: xorshift64* -- */

static uint64_t state;

static uint64_t draw(void) {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * UINT64_C(2685821657736338717);
}

static size_t below(size_t n) { return n ? (size_t)(draw() % n) : 0; }

/* -- texts -- */

typedef struct text { char *data; size_t size; } text;
typedef struct token { size_t at, size; } token; /* a number, a string, a word, or a whole array or object */

static void *checked(void *memory) {
    if (!memory) {
        fprintf(stderr, "c_mutate: no memory\n");
        exit(EXIT_USAGE);
    }
    return memory;
}

static text read_file(const char *path) {
    FILE *file = fopen(path, "rb");
    text t = {NULL, 0};
    if (!file) {
        fprintf(stderr, "c_mutate: cannot read %s\n", path);
        exit(EXIT_USAGE);
    }
    for (size_t n = 1, capacity = 0; n; t.size += n) {
        if (t.size == capacity) t.data = checked(realloc(t.data, capacity = capacity ? 2 * capacity : 4096));
        n = fread(t.data + t.size, 1, capacity - t.size, file);
    }
    fclose(file);
    return t;
}

/* A copy that is exactly as long as its text, so that reading beyond it is seen. */
static text exact_copy(const char *data, size_t size) {
    text t = {checked(malloc(size ? size : 1)), size};
    memcpy(t.data, data, size);
    return t;
}

/* t with [at, at + size) replaced. */
static void splice(text *t, size_t at, size_t size, const char *with, size_t with_size) {
    text n = {checked(malloc(t->size - size + with_size + 1)), t->size - size + with_size};
    memcpy(n.data, t->data, at);
    memcpy(n.data + at, with, with_size);
    memcpy(n.data + at + with_size, t->data + at + size, t->size - at - size);
    free(t->data);
    *t = n;
}

/* -- tokens -- */

static size_t end_of_string(const text *t, size_t at) {
    for (at++; at < t->size && t->data[at] != '"'; at++)
        if (t->data[at] == '\\') at++;
    return at < t->size ? at + 1 : t->size;
}

static bool is_word(char c) { return c && strchr("0123456789+-.abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", c); }

/* Lists the tokens; when there are more than fit, those of a random stretch. */
static size_t find_tokens(const text *t, token *tokens) {
    size_t n = 0, depth = 0, open[64];
    size_t from = t->size > MAX_TOKENS * 4 ? below(t->size) : 0;
    for (size_t at = from; at < t->size && n < MAX_TOKENS;) {
        char c = t->data[at];
        size_t end = at + 1;
        if (c == '"') {
            end = end_of_string(t, at);
        } else if (is_word(c)) {
            while (end < t->size && is_word(t->data[end])) end++;
        } else {
            if ((c == '[' || c == '{') && depth < 64) {
                open[depth++] = n;
                tokens[n++] = (token){at, 1};
            }
            if ((c == ']' || c == '}') && depth > 0) {
                token *whole = &tokens[open[--depth]];
                whole->size = at + 1 - whole->at;
            }
            at = end;
            continue;
        }
        tokens[n++] = (token){at, end - at};
        at = end;
    }
    return n;
}

/* -- mutations -- */

static const char *const SPECIAL[] = {
    "0", "-0", "-0.0", "1", "-1", "2", "3", "255", "256", "-128", "65536", "1048576", "1048577", "268435456", "268435457", "2147483647",
    "2147483648", "4294967295", "4294967296", "-2147483649", "9007199254740993", "9223372036854775807", "9223372036854775808",
    "-9223372036854775808", "18446744073709551616", "1e19", "1e-400", "4.9e-324", "1e308", "1e309", "0.5", "1e39", "3.4e38", "1e1000000000000",
    "2.2250738585072011e-308", "179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017977587207e210",
    "\"NaN\"", "\"Infinity\"", "\"-Infinity\"", "NaN", "null", "true", "false", "[]", "{}", "[[]]", "[[1, 2], [3]]", "[null]", "\"\"",
    "\"\\u0000\"", "\"\\ud83d\\ude00\"", "\"\\ud83d\"", "\"9223372036854775807\"", "\"b64\"", "\"AAAA\"", "\"AAAAAAAA8D8=\"",
    "{\"dtype\": \"f64\", \"shape\": [1], \"data\": [1]}", "{\"dtype\": \"str\", \"shape\": [], \"data\": [null]}",
    "{\"dtype\": \"f32\", \"shape\": [2, 1], \"enc\": \"b64\", \"data\": \"AACAPwAAAEA=\"}", "{\"dtype\": \"u8\", \"shape\": [0, 9999999999], \"data\": []}",
    "{\"dtype\": \"i64\", \"shape\": [4294967296, 4294967296], \"data\": [1]}", "\"f32\"", "\"f64\"", "\"i64\"", "\"str\"", "\"bool\"", "\"u8\"", "\"exact\"",
    "\"i8\"", "-1", "\"time\"", "[-1]", "[0, 0]", "[1, 1]", "[2, 1]", "4194304", "4194305", "[4194304]", "[-1, -1, -1]",
    "{\"dtype\": \"f32\", \"shape\": [2, 2], \"enc\": \"i8\", \"scale\": [0.5, 0.25], \"data\": \"AQL/gA==\"}",
    "{\"dtype\": \"f64\", \"shape\": [3], \"enc\": \"b64\", \"mask\": \"Ag==\", \"data\": \"AAAAAAAA8D8=\"}"};

static void mutate_bytes(text *t) {
    char bytes[8];
    size_t n = 1 + below(sizeof bytes), at = below(t->size + 1), left = t->size - at;
    for (size_t i = 0; i < n; i++) bytes[i] = below(3) ? "{}[]\",:\\0-+.eE19 "[below(17)] : (char)draw();
    switch (below(5)) {
    case 0: splice(t, at, 0, bytes, n); break;
    case 1: splice(t, at, n < left ? n : left, bytes, n); break;
    case 2: splice(t, at, n < left ? n : left, "", 0); break;
    case 3: if (left) t->data[at] = (char)(t->data[at] ^ (1 << below(8))); break;
    default: if (below(8) == 0) t->size = at; break; /* cut off, rarely: little is left to find */
    }
}

/* A token of the kind that begins with the same character (any digit for a number), if a few draws find one. */
static token draw_alike(const text *t, const token *tokens, size_t n, token a) {
    token b = tokens[below(n)];
    bool number = is_word(t->data[a.at]);
    for (int tries = 0; tries < 20; tries++, b = tokens[below(n)])
        if (number ? is_word(t->data[b.at]) : t->data[a.at] == t->data[b.at]) break;
    return b;
}

static void mutate_token(text *t, const token *tokens, size_t n) {
    token a = tokens[below(n)], b = below(4) ? draw_alike(t, tokens, n, a) : tokens[below(n)];
    text other = exact_copy(t->data + b.at, b.size);
    const char *special = SPECIAL[below(sizeof SPECIAL / sizeof *SPECIAL)];
    char nudged[64];
    size_t end = a.at + a.size;
    int choice = (int)below(12);
    if (choice < 4 && a.size < 40 && is_word(t->data[a.at])) {
        snprintf(nudged, sizeof nudged, "%.17g", strtod(t->data + a.at, NULL) + (double)below(5) - 2);
        splice(t, a.at, a.size, nudged, strlen(nudged));
    } else if (choice < 7) {
        splice(t, a.at, a.size, special, strlen(special));
    } else if (choice < 10) {
        splice(t, a.at, a.size, other.data, other.size);
    } else if (choice == 10) { /* delete it, with the comma or the colon behind it */
        splice(t, a.at, a.size + (end < t->size && below(4)), "", 0);
    } else { /* another element behind it */
        splice(t, end, 0, other.data, other.size);
        splice(t, end, 0, ", ", 2);
    }
    free(other.data);
}

static text mutated(const text *original, token *tokens) {
    text t = exact_copy(original->data, original->size);
    for (size_t k = below(3) ? 1 : 1 + below(4); k > 0; k--) {
        size_t n = below(5) ? find_tokens(&t, tokens) : 0;
        if (n) mutate_token(&t, tokens, n);
        else mutate_bytes(&t);
    }
    text exact = exact_copy(t.data, t.size);
    free(t.data);
    return exact;
}

/* {"inputs": ...} from the document's verification: the last key "inputs" of the text. */
static text carried_rows(const text *document, token *tokens) {
    static const char key[] = "\"inputs\"";
    size_t n = find_tokens(document, tokens), found = n;
    for (size_t i = 0; i + 1 < n; i++) {
        bool is_key = tokens[i].size == sizeof key - 1 && memcmp(document->data + tokens[i].at, key, sizeof key - 1) == 0;
        if (is_key && document->data[tokens[i + 1].at] == '{') found = i + 1;
    }
    text t = exact_copy("{\"inputs\": }", 12);
    if (found < n) splice(&t, 11, 0, document->data + tokens[found].at, tokens[found].size);
    return t;
}

/* -- an allocator that counts, and may run dry -- */

typedef struct ledger { long blocks, left; } ledger; /* left < 0: never runs dry */

static void *allocate(void *context, size_t size) {
    ledger *l = context;
    if (l->left == 0) return NULL;
    if (l->left > 0) l->left--;
    void *memory = malloc(size);
    l->blocks += memory != NULL;
    return memory;
}

static void release(void *context, void *memory) {
    ((ledger *)context)->blocks -= memory != NULL;
    free(memory);
}

/* -- one case -- */

static size_t loaded, answered;

static void ignore(void *context, const char *data, size_t size) {
    (void)context;
    if (size && data[0] == data[size - 1]) (void)data[size / 2]; /* the bytes are there */
}

/* Loads and predicts; false if a load is slow or memory is lost. */
static bool try_document(const text *document, const text *rows, bool no_verify) {
    ledger ledger = {0, below(8) ? -1 : (long)below(60)};
    mp_options options = {.no_verify = no_verify, .allocator = {allocate, release, &ledger}, .limits = {.memory = (size_t)1 << 28}};
    mp_error error;
    mp_model *model;
    clock_t start = clock();
    bool plain = !no_verify && below(4) == 0; /* as most callers do, without options */
    mp_code code = mp_load(document->data, document->size, plain ? NULL : &options, &model, &error);
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    if (seconds > SLOW_SECONDS) fprintf(stderr, "c_mutate: a load took %.1f s\n", seconds);
    if ((code == MP_OK) != (model != NULL) || (code != MP_OK && !error.message[0])) abort();
    if (model) {
        loaded++;
        mp_verify(model, NULL, 0, ignore, NULL, &error);
        answered += mp_predict_json(model, rows->data, rows->size, ignore, NULL, &error) == MP_OK;
    }
    mp_free(model);
    if (ledger.blocks) fprintf(stderr, "c_mutate: %ld blocks of memory were not given back\n", ledger.blocks);
    return seconds <= SLOW_SECONDS && ledger.blocks == 0;
}

int main(int argc, char **argv) {
    if (argc < 4 || argc - 3 > MAX_ARTIFACTS) {
        fprintf(stderr, "usage: c_mutate COUNT SEED ARTIFACT...\n");
        return EXIT_USAGE;
    }
    size_t count = strtoull(argv[1], NULL, 10), artifacts = (size_t)argc - 3;
    state = strtoull(argv[2], NULL, 10) * 2 + 1;
    token *tokens = checked(malloc(MAX_TOKENS * sizeof *tokens));
    text *originals = checked(malloc(artifacts * sizeof *originals));
    for (size_t i = 0; i < artifacts; i++) originals[i] = read_file(argv[3 + i]);
    bool good = true;
    for (size_t k = 0; k < count && good; k++) {
        size_t i = below(artifacts);
        text rows = carried_rows(&originals[i], tokens), document = mutated(&originals[i], tokens), strange = mutated(&rows, tokens);
        const text *fed = below(3) ? &rows : &strange;
        good = try_document(&document, fed, false) && try_document(&document, fed, true) && try_document(&originals[i], &strange, true);
        if (!good) fprintf(stderr, "c_mutate: case %zu of seed %s, a mutation of %s\n", k, argv[2], argv[3 + i]);
        free(rows.data);
        free(strange.data);
        free(document.data);
    }
    printf("%zu cases: %zu documents loaded, %zu answered\n", count, loaded, answered);
    for (size_t i = 0; i < artifacts; i++) free(originals[i].data);
    free(originals);
    free(tokens);
    return good ? 0 : 1;
}
