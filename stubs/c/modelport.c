/* modelport.c - runs modelport JSON artifacts (docs/format.md, format 1, profile tabular). See modelport.h.
 * SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
 *
 * With -DMODELPORT_MORE it includes modelport_more.c: rarer ops of tabular, and the profiles kernel, text and solver; with
 * -DMODELPORT_NN modelport_nn.c: profile nn; with -DMODELPORT_FAST modelport_fast.c: trees for many rows at once, and threads.
 * Sections: 1 Errors and memory, 2 JSON, 3 Tensors, 4 Special functions, 5 Ops, 6 Trees, 7 Model.
 * Answers must not depend on the compiler: build with -ffp-contract=off (or -std=c11) and never with -ffast-math.
 */
#define MODELPORT_C
#include "modelport.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#ifndef MODELPORT_NO_HEAP
#include <stdlib.h>
#endif
#include <string.h>

#ifdef __FAST_MATH__
#error "modelport.c: -ffast-math changes answers and breaks NaN; build without it"
#endif
#if defined FLT_EVAL_METHOD && FLT_EVAL_METHOD != 0
#error "modelport.c: excess precision changes answers; on x86 build with -msse2 -mfpmath=sse"
#endif
_Static_assert(sizeof(double) == 8 && DBL_MANT_DIG == 53, "double is IEEE binary64");
_Static_assert(sizeof(float) == 4 && FLT_MANT_DIG == 24, "float is IEEE binary32");

#if defined __GNUC__
#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))
#else
#define PRINTF_LIKE(text, first)
#endif
#define LENGTH(array) (sizeof(array) / sizeof *(array))

/* ==== 1 Errors and memory ========================================================================================= */

/* One call of the library. An error anywhere below ends it with fail(), which jumps to attempt(); what was allocated hangs
 * on arenas, which the caller of attempt() frees. So no function between has a return code to hand on, or to forget. */
typedef struct context {
    jmp_buf   escape;
    mp_error *error;
    char      where[160]; /* what is being read or run: the beginning of the sentence */
} context;
PRINTF_LIKE(3, 4)
static _Noreturn void fail(context *c, mp_code code, const char *format, ...) {
    char *message = c->error->message; size_t capacity = sizeof c->error->message, used = 0; va_list arguments;
    if (c->where[0]) used = (size_t)snprintf(message, capacity, "%s: ", c->where);
    va_start(arguments, format); vsnprintf(message + used, capacity - used, format, arguments); va_end(arguments);
    used = strlen(message);
    if (used == capacity - 1) /* cut off: end between two characters */
        while (used > 0 && (message[used - 1] & 0x80)) message[--used] = '\0';
    c->error->code = code; longjmp(c->escape, 1);
}
#define refuse(c, ...) fail((c), MP_REFUSED, __VA_ARGS__)
/* Says what is being read, for the sentences of fail(). */
#define locate(c, ...) snprintf((c)->where, sizeof (c)->where, __VA_ARGS__)
/* Runs body; the code is MP_OK unless it ended in fail(). */
static mp_code attempt(context *c, mp_error *error, void (*body)(context *, void *), void *argument) {
    c->error = error; c->where[0] = error->message[0] = '\0'; error->code = MP_OK;
    if (setjmp(c->escape)) return error->code;
    body(c, argument); return MP_OK;
}
typedef struct quoted { char text[64]; } quoted;
/* A name from a document, printable and short. */
static quoted quote(mp_string s) {
    quoted q; size_t n = 0;
    q.text[n++] = '"';
    while (n < 56 && n - 1 < s.size) {
        unsigned char byte = (unsigned char)s.data[n - 1];
        q.text[n++] = byte < 0x20 || byte == 0x7f ? '?' : (char)byte;
    }
    bool cut = n - 1 < s.size;
    while (cut && n > 1 && ((unsigned char)s.data[n - 1] & 0xc0) == 0x80) n--; /* not within a character */
    strcpy(q.text + n, cut ? "...\"" : "\""); return q;
}

/* -- arenas: blocks that are freed together -- */
enum { FIRST_BLOCK = 8 << 10, LARGEST_BLOCK = 8 << 20, CACHE_LINE = 64 };
typedef struct block { struct block *next; size_t size, used; max_align_t bytes[]; } block; /* size, used: of the bytes */
/* A caller's memory in place of a heap: what lasts grows from its beginning, at low, what passes from its end, at high. */
typedef struct pool { char *memory; size_t size, low, high, peak; } pool;
/* left: what it may still ask for; place: where it grows in the pool, if it has one; first: where it began. */
typedef struct arena { mp_allocator allocator; size_t left; block *top; pool *pool; size_t *place, first; } arena;
typedef struct mark { block *top; size_t used; } mark;
#ifdef MODELPORT_NO_HEAP
static void *default_allocate(void *unused, size_t size) { (void)unused; (void)size; return NULL; }
static void default_release(void *unused, void *memory) { (void)unused; (void)memory; }
#else
#ifdef MODELPORT_THREADS
static void *default_allocate(void *unused, size_t size); /* of modelport_fast.c */
#else
static void *default_allocate(void *unused, size_t size) { (void)unused; return malloc(size); }
#endif
static void default_release(void *unused, void *memory) { (void)unused; free(memory); }
#endif
static arena new_arena(const mp_allocator *allocator, size_t limit) {
    arena a = {{default_allocate, default_release, NULL}, limit, NULL, NULL, NULL, 0};
    if (allocator->allocate && allocator->release) a.allocator = *allocator;
    return a;
}
static arena pool_arena(pool *p, size_t *place) { return (arena){.pool = p, .place = place, .first = *place, .left = SIZE_MAX}; }
static mark mark_arena(const arena *a) { return (mark){a->top, a->pool ? *a->place : a->top ? a->top->used : 0}; }
/* Frees what was taken since the mark. */
static void reset_arena(arena *a, mark m) {
    if (a->pool) { *a->place = m.used; return; }
    while (a->top != m.top) {
        block *b = a->top; a->top = b->next; a->left += b->size;
        a->allocator.release(a->allocator.context, b);
    }
    if (a->top) a->top->used = m.used;
}
static void free_arena(arena *a) { reset_arena(a, (mark){NULL, a->first}); }
static size_t padding(const block *b, size_t align) { uintptr_t at = (uintptr_t)b->bytes + b->used; return (align - at % align) % align; }
static void *take_from_pool(context *c, pool *p, bool lasting, size_t bytes, size_t align); /* of modelport_nn.c */
static void *take_aligned(context *c, arena *a, size_t count, size_t size, size_t align) {
    if (count > (SIZE_MAX / 2) / size) fail(c, MP_NO_MEMORY, "%zu elements of %zu bytes do not fit into memory.", count, size);
    size_t bytes = count * size; block *b = a->top;
    if (a->pool) return take_from_pool(c, a->pool, a->place == &a->pool->low, bytes, align);
    if (!b || b->size - b->used < align || b->size - b->used - align < bytes) {
        size_t grown = b ? 2 * b->size : FIRST_BLOCK, want = bytes + align;
        if (grown > LARGEST_BLOCK) grown = LARGEST_BLOCK;
        if (want < grown && grown <= a->left) want = grown;
        if (want > a->left) fail(c, MP_NO_MEMORY, "More memory is needed than the limit allows.");
        b = a->allocator.allocate(a->allocator.context, sizeof *b + want);
        if (!b) fail(c, MP_NO_MEMORY, "The allocator has no %zu bytes.", want);
        *b = (block){a->top, want, 0}; a->left -= want; a->top = b;
    }
    b->used += padding(b, align);
    void *memory = (char *)b->bytes + b->used;
    b->used += bytes; return memory;
}
static void *take(context *c, arena *a, size_t count, size_t size) { return take_aligned(c, a, count, size, _Alignof(max_align_t)); }
static void *take_zeroed(context *c, arena *a, size_t count, size_t size) { return memset(take(c, a, count, size), 0, count * size); }
/* A copy that ends with a NUL. */
static mp_string keep_string(context *c, arena *a, mp_string s) {
    if (!s.data) return s;
    char *copy = take(c, a, s.size + 1, 1);
    memcpy(copy, s.data, s.size); copy[s.size] = '\0'; return (mp_string){copy, s.size};
}
static mp_string literal(const char *text) { return (mp_string){text, strlen(text)}; }
/* By code point (which is the order of UTF-8 bytes); missing comes first and equals missing. */
static int compare_strings(mp_string a, mp_string b) {
    if (!a.data || !b.data) return (a.data != NULL) - (b.data != NULL);
    int order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);
    return order ? order : (a.size > b.size) - (a.size < b.size);
}
static bool same_string(mp_string a, mp_string b) { return a.size == b.size && compare_strings(a, b) == 0; }

/* ==== 2 JSON ====================================================================================================== */

/* -- numbers: correctly rounded both ways, whatever the locale -- */
enum { POWER_STEP = 28, LEAST_POWER = -364, DIGITS_KEPT = 800 };
static const double TENS[23] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
/* The first 64 bits of 10^-364, 10^-336, ... 10^308. */
static const uint64_t POWERS[25] = {
    0xe1afa13afbd14d6d, 0xe3e27a444d8d98b7, 0xe61acf033d1a45df, 0xe858ad248f5c22c9, 0xea9c227723ee8bcb, 0xece53cec4a314ebd,
    0xef340a98172aace4, 0xf18899b1bc3f8ca1, 0xf3e2f893dec3f126, 0xf64335bcf065d37d, 0xf8a95fcf88747d94, 0xfb158592be068d2e,
    0xfd87b5f28300ca0d, 0x8000000000000000, 0x813f3978f8940984, 0x82818f1281ed449f, 0x83c7088e1aab65db, 0x850fadc09923329e,
    0x865b86925b9bc5c2, 0x87aa9aff79042286, 0x88fcf317f22241e2, 0x8a5296ffe33cc92f, 0x8bab8eefb6409c1a, 0x8d07e33455637eb2,
    0x8e679c2f5e44ff8f};
static uint64_t bits_of(double x) { uint64_t bits; memcpy(&bits, &x, sizeof bits); return bits; }
static double double_of(uint64_t bits) { double x; memcpy(&x, &bits, sizeof x); return x; }
static double to_f32(double x) { return (double)(float)x; }
static bool is_nan(double x) { return x != x; }
static int leading_zeros(uint64_t x) {
    int n = 0;
    for (int step = 32; step; step /= 2)
        if (!(x >> (64 - step))) { n += step; x <<= step; }
    return n;
}
/* The upper 64 bits of a * b, normalised (one bit may have to be shifted in); *exponent follows. */
static uint64_t multiply(uint64_t a, uint64_t b, int *exponent) {
    uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
    uint64_t middle = a1 * b0 + (a0 * b0 >> 32), other = a0 * b1 + (uint32_t)middle;
    uint64_t high = a1 * b1 + (middle >> 32) + (other >> 32), low = (other << 32) | (uint32_t)(a0 * b0);
    *exponent += 64;
    if (high >> 63) return high;
    *exponent -= 1; return high << 1 | low >> 63;
}

/* -- natural numbers of up to 5,120 bits, least limb first, for the few decimals that 64 bits leave open -- */
typedef struct natural { uint32_t limb[160]; int n; } natural;
static void multiply_add(natural *a, uint32_t factor, uint32_t add) {
    uint64_t carry = add;
    for (int i = 0; i < a->n; i++, carry >>= 32) a->limb[i] = (uint32_t)(carry += (uint64_t)a->limb[i] * factor);
    if (carry) a->limb[a->n++] = (uint32_t)carry;
}
static void multiply_by_power(natural *a, uint32_t base, int power) {
    for (; power >= 8; power -= 8) multiply_add(a, base * base * base * base * base * base * base * base, 0);
    for (; power > 0; power--) multiply_add(a, base, 0);
}
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
/* The digits in [at, end), a point among them, times 10^power, against odd * 2^exponent: below 0, 0, or above 0. */
static int compare_decimal(const char *at, const char *end, int64_t power, uint64_t odd, int exponent) {
    natural a = {{0}, 0}, b = {{(uint32_t)odd, (uint32_t)(odd >> 32)}, 2}; int digits = 0; bool dropped = false, after_point = false;
    for (; at < end; at++) {
        if (!is_digit(*at)) after_point = true;
        else if (digits < DIGITS_KEPT) { multiply_add(&a, 10, (uint32_t)(*at - '0')); digits += a.n > 0; power -= after_point; }
        else { dropped |= *at != '0'; power += !after_point; }
    }
    if (dropped) { /* no halfway case is that long: any digit that is not 0 stands for the rest */
        multiply_add(&a, 10, 1); power--;
    }
    multiply_by_power(power < 0 ? &b : &a, 5, (int)(power < 0 ? -power : power)); exponent -= (int)power;
    multiply_by_power(exponent < 0 ? &a : &b, 2, exponent < 0 ? -exponent : exponent);
    while (b.limb[b.n - 1] == 0) b.n--;
    if (a.n != b.n) return a.n < b.n ? -1 : 1;
    for (int i = a.n - 1; i >= 0; i--) if (a.limb[i] != b.limb[i]) return a.limb[i] < b.limb[i] ? -1 : 1;
    return 0;
}
/* w * 10^power, rounded to the nearest double, ties to even; if `more`, digits in [at, end) times 10^shift, of which w holds the
 * first 19. 64-bit arithmetic leaves an error below 6 units in the last place (32 with more digits); when that leaves the
 * rounding open, the digits are compared with the halfway point. */
static double round_decimal(uint64_t w, int power, bool more, const char *at, const char *end, int64_t shift) {
    int zeros = leading_zeros(w), exponent = -zeros, step = (power - LEAST_POWER) / POWER_STEP, small = (power - LEAST_POWER) % POWER_STEP;
    uint64_t m = w << zeros, five = 1;
    for (int i = 0; i < small; i++) five *= 5; /* 5^27 < 2^63 */
    if (small) { zeros = leading_zeros(five); exponent += small - zeros; m = multiply(m, five << zeros, &exponent); }
    int ten = LEAST_POWER + step * POWER_STEP, bits = ten * 217706; /* floor(log2(10^ten)) = floor(ten * 3.32193) */
    exponent += (bits < 0 ? bits - 65535 : bits) / 65536 - 63; m = multiply(m, POWERS[step], &exponent);
    int top = exponent + 63, drop = top < -1022 ? 11 - 1022 - top : 11; /* how many of the 64 bits do not fit */
    if (top > 1023) return INFINITY;
    if (drop > 64) return 0.0;
    uint64_t kept = drop == 64 ? 0 : m >> drop, half = UINT64_C(1) << (drop - 1), rest = m - (drop == 64 ? 0 : kept << drop);
    int side = rest > half ? 1 : -1;
    if (rest <= half && half - rest <= (more ? 32 : 6)) side = compare_decimal(at, end, shift, 2 * kept + 1, exponent + drop - 1);
    kept += side > 0 || (side == 0 && (kept & 1));
    return double_of(top < -1022 ? kept : kept + ((uint64_t)(top + 1022) << 52)); /* a carry moves into the exponent */
}
/* A number of well-formed JSON that begins at `at`; *stop is what follows it. Correctly rounded; infinite if it overflows. */
static double read_number(const char *at, const char *end, const char **stop) {
    const uint64_t full = UINT64_C(1000000000000000000); bool negative = *at == '-', more = false, point = false;
    const char *first = at += negative; uint64_t w = 0; int64_t power = 0, exponent = 0;
    for (; at < end && (is_digit(*at) || *at == '.'); at++) {
        if (*at == '.') point = true;
        else if (w < full) { w = w * 10 + (uint64_t)(*at - '0'); power -= point; }
        else { more |= *at != '0'; power += !point; }
    }
    const char *digits_end = at;
    if (at < end && (*at == 'e' || *at == 'E')) {
        bool minus = *++at == '-';
        if (minus || *at == '+') at++;
        for (; at < end && is_digit(*at); at++)
            if (exponent < INT64_C(1) << 40) exponent = exponent * 10 + (*at - '0');
        if (minus) exponent = -exponent;
    }
    *stop = at; power += exponent;
    double x;
    if (w == 0 || power < -345) x = 0.0;
    else if (power > 308) x = INFINITY;
    else if (!more && w >> 53 == 0 && power >= -22 && power <= 22) x = power < 0 ? (double)w / TENS[-power] : (double)w * TENS[power]; /* one rounding */
    else x = round_decimal(w, (int)power, more, first, digits_end, exponent);
    return negative ? -x : x;
}
/* A JSON integer at `at`; false if it has a fraction or an exponent, or leaves int64. */
static bool read_integer(const char *at, const char *end, const char **stop, int64_t *value) {
    bool negative = at < end && *at == '-'; uint64_t x = 0, most = negative ? UINT64_C(1) << 63 : INT64_MAX;
    const char *first = at += negative;
    for (; at < end && is_digit(*at); at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (x > (most - digit) / 10) return false;
        x = x * 10 + digit;
    }
    if (at == first || (at < end && (*at == '.' || *at == 'e' || *at == 'E'))) return false;
    *stop = at; *value = negative ? (int64_t)(0 - x) : (int64_t)x; return true;
}
enum { NUMBER_TEXT = 40 };
/* A decimal of a finite x that reads back as x, as short as 15 to 17 (f32: 6 to 9) digits allow. Returns its length. */
static size_t format_number(char text[NUMBER_TEXT], double x, bool f32) {
    for (int digits = f32 ? 6 : 15;; digits++) {
        char raw[NUMBER_TEXT]; size_t n = 0;
        snprintf(raw, sizeof raw, "%.*g", digits, x);
        for (const char *from = raw; *from; from++) { /* a locale writes its own point, perhaps in several bytes */
            if (is_digit(*from) || *from == '-' || *from == '+' || *from == 'e') text[n++] = *from;
            else if (n == 0 || text[n - 1] != '.') text[n++] = '.';
        }
        text[n] = '\0';
        const char *stop; double back = read_number(text, text + n, &stop);
        if (back == x || (f32 && to_f32(back) == x) || digits == 17) {
            if (x == 0 && text[0] == '-') strcpy(text, "-0.0"), n = 4; /* some readers take -0 for an integer */
            return n;
        }
    }
}

/* -- documents: one strict pass builds a tree of objects; arrays stay text and are read when their dtype is known -- */
enum { J_NULL = 1, J_FALSE = 2, J_TRUE = 4, J_NUMBER = 8, J_STRING = 16, J_ARRAY = 32, J_OBJECT = 64, J_BOOL = J_FALSE | J_TRUE };
/* A value: its text (a string with its quotes), and for objects their members, for arrays the objects in them. */
typedef struct json {
    const char  *text, *end;
    size_t       count, inner;             /* members or elements; the elements of all arrays in an array */
    unsigned     kind, kinds, inner_kinds; /* kinds: a bit for each that an array, or an array in it, holds */
    bool         ragged, used;             /* the arrays in an array differ in length; a member has been read */
    mp_string    key;
    struct json *child, *next;             /* members are sorted by key */
    const struct tensor *memo;             /* it, read */
} json;
typedef struct parser { context *c; arena *a; const char *begin, *at, *end; size_t depth; } parser; /* depth: the limit */
static _Noreturn void malformed(parser *p, const char *what) {
    refuse(p->c, "It is not JSON as RFC 8259 has it: %s at byte %zu.", what, (size_t)(p->at - p->begin));
}
static void skip_space(parser *p) { while (p->at < p->end && (*p->at == ' ' || *p->at == '\n' || *p->at == '\r' || *p->at == '\t')) p->at++; }
/* Four hex digits, or -1. */
static long read_hex(const char *at, const char *end) {
    long code = 0;
    if (end - at < 4) return -1;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        int digit = is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0) return -1;
        code = code * 16 + digit;
    }
    return code;
}
static void scan_escape(parser *p) {
    char c = p->end - p->at > 1 ? p->at[1] : '\0';
    if (c != 'u') {
        if (!c || !strchr("\"\\/bfnrt", c)) malformed(p, "an unknown escape stands");
        p->at += 2; return;
    }
    long code = read_hex(p->at + 2, p->end);
    if (code < 0) malformed(p, "\\u without four hex digits stands");
    if (code >= 0xdc00 && code <= 0xdfff) malformed(p, "half of a surrogate pair stands");
    p->at += 6;
    if (code >= 0xd800 && code <= 0xdbff) {
        bool escape = p->end - p->at > 1 && p->at[0] == '\\' && p->at[1] == 'u';
        code = escape ? read_hex(p->at + 2, p->end) : -1;
        if (code < 0xdc00 || code > 0xdfff) malformed(p, "half of a surrogate pair stands");
        p->at += 6;
    }
}
static void scan_utf8(parser *p) {
    const unsigned char *s = (const unsigned char *)p->at;
    size_t left = (size_t)(p->end - p->at), n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    bool good = s[0] >= 0xc2 && s[0] <= 0xf4 && left >= n;
    for (size_t i = 1; good && i < n; i++) good = (s[i] & 0xc0) == 0x80;
    if (good && n == 3) good = !(s[0] == 0xe0 && s[1] < 0xa0) && !(s[0] == 0xed && s[1] > 0x9f);
    if (good && n == 4) good = !(s[0] == 0xf0 && s[1] < 0x90) && !(s[0] == 0xf4 && s[1] > 0x8f);
    if (!good) malformed(p, "bytes that are not UTF-8 stand");
    p->at += n;
}
/* Whether one of eight bytes is a quote, a backslash, a control character or not ASCII. */
static bool is_special(const char *at) {
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7; uint64_t w, quote, slash;
    memcpy(&w, at, sizeof w); quote = w ^ ones * '"'; slash = w ^ ones * '\\';
    return (w | (w - ones * 0x20) | (quote - ones) | (slash - ones)) & tops;
}
static void scan_string(parser *p) {
    p->at++;
    for (;;) {
        while (p->end - p->at >= 8 && !is_special(p->at)) p->at += 8;
        while (p->at < p->end && *p->at != '"' && *p->at != '\\' && (unsigned char)(*p->at - 0x20) < 0x60) p->at++;
        if (p->at == p->end) malformed(p, "a string has no end");
        if (*p->at == '"') break;
        if (*p->at == '\\') scan_escape(p);
        else if ((unsigned char)*p->at < 0x20) malformed(p, "a control character stands within a string");
        else scan_utf8(p);
    }
    p->at++;
}
static size_t scan_digits(parser *p) {
    const char *first = p->at;
    while (p->at < p->end && is_digit(*p->at)) p->at++;
    if (p->at == first) malformed(p, "a digit is missing");
    return (size_t)(p->at - first);
}
static void scan_number(parser *p) {
    const char *first = p->at, *stop;
    p->at += *p->at == '-';
    bool zero = p->at < p->end && *p->at == '0'; size_t digits = scan_digits(p);
    if (zero && digits > 1) malformed(p, "a number begins with 0");
    if (p->at < p->end && *p->at == '.') { p->at++; scan_digits(p); }
    bool large = digits > 300;
    if (p->at < p->end && (*p->at == 'e' || *p->at == 'E')) {
        p->at++;
        bool signed_exponent = p->at < p->end && (*p->at == '-' || *p->at == '+');
        large |= !(signed_exponent && *p->at == '-'); p->at += signed_exponent; scan_digits(p);
    }
    if (large && isinf(read_number(first, p->at, &stop))) malformed(p, "a number that overflows f64 stands");
}
/* The bytes of a well-formed string between its quotes; a view of the text itself if it has no escapes. */
static mp_string unescape(context *c, arena *a, const char *at, const char *end) {
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    static const unsigned char lead[] = {0, 0xc0, 0xe0, 0xf0};
    if (at == end || !memchr(at, '\\', (size_t)(end - at))) return (mp_string){at, (size_t)(end - at)};
    char *out = take(c, a, (size_t)(end - at), 1); size_t n = 0;
    while (at < end) {
        if (*at != '\\') {
            out[n++] = *at++;
        } else if (at[1] != 'u') {
            out[n++] = meanings[strchr(letters, at[1]) - letters]; at += 2;
        } else {
            unsigned long code = (unsigned long)read_hex(at + 2, end);
            at += 6;
            if (code >= 0xd800 && code <= 0xdbff) {
                code = 0x10000 + ((code - 0xd800) << 10) + (unsigned long)read_hex(at + 2, end) - 0xdc00; at += 6;
            }
            int tail = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
            out[n++] = (char)(unsigned char)(lead[tail] | code >> (6 * tail));
            while (tail-- > 0) out[n++] = (char)(unsigned char)(0x80 | ((code >> (6 * tail)) & 0x3f));
        }
    }
    return (mp_string){out, n};
}
/* The string of an array that begins at `text`; *stop is what follows it. */
static mp_string read_string(context *c, arena *a, const char *text, const char **stop) {
    const char *end = text + 1;
    while (*end != '"') end += *end == '\\' ? 2 : 1;
    *stop = end + 1; return unescape(c, a, text + 1, end);
}
static mp_string string_of(context *c, arena *a, const json *value) { return unescape(c, a, value->text + 1, value->end - 1); }
static unsigned char lower(char c) { return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c); }
static int key_order(mp_string a, mp_string b) {
    for (size_t i = 0; i < a.size && i < b.size; i++) {
        int order = lower(a.data[i]) - lower(b.data[i]);
        if (order) return order;
    }
    return (a.size > b.size) - (a.size < b.size);
}
/* Sorts the first n of a list of members by key; *rest is what followed them. */
static json *sort_members(json *first, size_t n, json **rest) {
    if (n == 1) { *rest = first->next; first->next = NULL; return first; }
    json *b, *a = sort_members(first, n / 2, &b), *sorted, **tail = &sorted;
    b = sort_members(b, n - n / 2, rest);
    while (a && b) {
        json **least = key_order(a->key, b->key) <= 0 ? &a : &b;
        *tail = *least; tail = &(*tail)->next; *least = *tail;
    }
    *tail = a ? a : b; return sorted;
}
static void parse_value(parser *p, size_t depth, json *value);
static void parse_object(parser *p, size_t depth, json *object) {
    json **tail = &object->child, *rest;
    for (p->at++, skip_space(p); p->at == p->end || *p->at != '}' || object->count > 0; skip_space(p)) {
        if (p->at == p->end || *p->at != '"') malformed(p, "a key is missing");
        json *member = take_zeroed(p->c, p->a, 1, sizeof *member); const char *key = p->at, *stop;
        scan_string(p); member->key = read_string(p->c, p->a, key, &stop); skip_space(p);
        if (p->at == p->end || *p->at != ':') malformed(p, "':' is missing");
        p->at++; parse_value(p, depth + 1, member); *tail = member; tail = &member->next;
        object->count++;
        if (p->at == p->end || (*p->at != ',' && *p->at != '}')) malformed(p, "',' or '}' is missing");
        if (*p->at == '}') break;
        p->at++;
    }
    p->at++;
    if (object->count > 1) object->child = sort_members(object->child, object->count, &rest);
    for (const json *m = object->child; m && m->next; m = m->next)
        if (key_order(m->key, m->next->key) == 0)
            refuse(p->c, "The keys %s and %s of one object are the same (upper and lower case are not told apart).",
                   quote(m->key).text, quote(m->next->key).text);
}
static void parse_array(parser *p, size_t depth, json *array) {
    json **tail = &array->child; size_t length = 0;
    for (p->at++, skip_space(p); p->at == p->end || *p->at != ']' || array->count > 0; p->at++, skip_space(p)) {
        if (p->at < p->end && (*p->at == '-' || is_digit(*p->at))) { /* most of a large document is this */
            scan_number(p); array->kinds |= J_NUMBER; skip_space(p);
        } else {
            json element = {0};
            parse_value(p, depth + 1, &element); array->kinds |= element.kind;
            if (element.kind == J_ARRAY) {
                if (array->count == 0) length = element.count;
                array->ragged |= element.count != length; array->inner += element.count; array->inner_kinds |= element.kinds;
            } else if (element.kind == J_OBJECT) {
                *tail = take(p->c, p->a, 1, sizeof element); **tail = element; tail = &(*tail)->next;
            }
        }
        array->count++;
        if (p->at == p->end || (*p->at != ',' && *p->at != ']')) malformed(p, "',' or ']' is missing");
        if (*p->at == ']') break;
    }
    p->at++;
}
static bool scan_word(parser *p, const char *word) {
    size_t n = strlen(word);
    if ((size_t)(p->end - p->at) < n || memcmp(p->at, word, n) != 0) return false;
    p->at += n; return true;
}
/* Reads one value and the space around it. */
static void parse_value(parser *p, size_t depth, json *value) {
    skip_space(p);
    if (p->at == p->end) malformed(p, "a value is missing");
    value->text = p->at;
    char c = *p->at;
    if (c == '{' || c == '[') {
        if (depth > p->depth) refuse(p->c, "It is nested deeper than the limit of %zu.", p->depth);
        value->kind = c == '{' ? J_OBJECT : J_ARRAY;
        (c == '{' ? parse_object : parse_array)(p, depth, value);
    } else if (c == '"') { value->kind = J_STRING; scan_string(p); }
    else if (c == '-' || is_digit(c)) { value->kind = J_NUMBER; scan_number(p); }
    else value->kind = scan_word(p, "true") ? J_TRUE : scan_word(p, "false") ? J_FALSE : scan_word(p, "null") ? J_NULL : 0;
    if (!value->kind) malformed(p, "something that is no value (NaN and infinities are written as strings) stands");
    value->end = p->at; skip_space(p);
}
/* The document as a tree that points into `data`; objects and unescaped keys live on the arena. */
static json *parse_document(context *c, arena *a, const char *data, size_t size, const mp_limits *limits) {
    if (size > limits->bytes) refuse(c, "It has %zu bytes, more than the limit of %zu.", size, limits->bytes);
    parser p = {c, a, data, data, data + size, limits->depth}; json *root = take_zeroed(c, a, 1, sizeof *root);
    parse_value(&p, 1, root);
    if (p.at != p.end) malformed(&p, "something follows the document");
    if (root->kind != J_OBJECT) refuse(c, "It is a JSON value, but not an object.");
    return root;
}
/* The member of an object, marked as read; NULL if there is none. */
static const json *member(const json *object, const char *key) {
    for (json *m = object->child; m; m = m->next)
        if (same_string(m->key, literal(key))) {
            if (!m->used) m->used = true; /* written while loading only: later, threads may share it */
            return m;
        }
    return NULL;
}
static bool is_comment(mp_string key) {
    return (key.size >= 2 && memcmp(key.data, "x-", 2) == 0) || same_string(key, literal("name")) ||
           same_string(key, literal("doc")) || same_string(key, literal("provenance"));
}
/* Refuses a member that nothing has read, as it may change the meaning. */
static void refuse_unread(context *c, const json *object) {
    for (const json *m = object->child; m; m = m->next)
        if (!m->used && !is_comment(m->key)) refuse(c, "The key %s is not known here.", quote(m->key).text);
}

/* ==== 3 Tensors =================================================================================================== */

/* How elements are held: f64 and f32 as double, integers and bool as int64_t, str as mp_string. */
typedef union column { void *any; double *f; int64_t *i; mp_string *s; } column;
enum { MAX_RANK = 6, ANY_DTYPE = -1 /* by the elements of a bare array: str or f64 */ };
/* Row-major. If it was asked for as it is and is quantized, its data are NULL, and element i is quanta[i] times the scale of its row. */
typedef struct tensor {
    mp_dtype dtype; int rank; size_t dims[MAX_RANK], count; column data;
    const int8_t *quanta; const double *scale; size_t scales;
} tensor;
static const struct { const char *name; size_t bytes; int64_t least, most; } DTYPES[] = {
    [MP_F64] = {"f64", 8, 0, 0}, [MP_F32] = {"f32", 4, 0, 0}, [MP_BOOL] = {"bool", 1, 0, 1}, [MP_STR] = {"str", 0, 0, 0},
    [MP_I64] = {"i64", 8, INT64_MIN, INT64_MAX}, [MP_I32] = {"i32", 4, INT32_MIN, INT32_MAX}, [MP_I16] = {"i16", 2, INT16_MIN, INT16_MAX},
    [MP_I8] = {"i8", 1, INT8_MIN, INT8_MAX}, [MP_U32] = {"u32", 4, 0, UINT32_MAX}, [MP_U16] = {"u16", 2, 0, UINT16_MAX},
    [MP_U8] = {"u8", 1, 0, UINT8_MAX},
};
static bool is_float(mp_dtype t) { return t == MP_F64 || t == MP_F32; }
static bool is_integer(mp_dtype t) { return t >= MP_I64 && t <= MP_U8; }
static size_t element_size(mp_dtype t) { return t == MP_STR ? sizeof(mp_string) : 8; }
static void copy_elements(mp_dtype t, column to, size_t at, column from, size_t first, size_t n) {
    size_t size = element_size(t);
    if (n == 1 && size == 8) memcpy((char *)to.any + at * 8, (const char *)from.any + first * 8, 8); /* without a call */
    else if (n) memcpy((char *)to.any + at * size, (const char *)from.any + first * size, n * size);
}
static int compare_doubles(double a, double b) { return is_nan(a) || is_nan(b) ? is_nan(a) - is_nan(b) : (a > b) - (a < b); }
/* The order in which NaN is last and equals NaN, missing is first and equals missing, -0.0 equals 0.0. */
static int compare_elements(mp_dtype t, column a, size_t i, column b, size_t j) {
    if (is_float(t)) return compare_doubles(a.f[i], b.f[j]);
    if (t == MP_STR) return compare_strings(a.s[i], b.s[j]);
    return (a.i[i] > b.i[j]) - (a.i[i] < b.i[j]);
}
/* Elements with their positions sorted, to be found by halving. A merge sort: n log n whatever a hostile document holds. */
typedef struct directory { mp_dtype dtype; column keys; size_t n, *order, mask; uint32_t *slots; /* of modelport_fast.c, or NULL */ } directory;
enum { NOT_FOUND = -1 };
static directory new_directory(context *c, arena *a, mp_dtype dtype, column keys, size_t n) {
    size_t *from = take(c, a, n, sizeof *from), *to = take(c, a, n, sizeof *to);
    for (size_t i = 0; i < n; i++) from[i] = i;
    for (size_t run = 1; run < n; run *= 2) {
        for (size_t low = 0; low < n; low += 2 * run) {
            size_t middle = low + run < n ? low + run : n, high = middle + run < n ? middle + run : n, i = low, j = middle;
            for (size_t k = low; k < high; k++)
                to[k] = i < middle && (j == high || compare_elements(dtype, keys, from[i], keys, from[j]) <= 0) ? from[i++] : from[j++];
        }
        size_t *swap = from; from = to; to = swap;
    }
    return (directory){.dtype = dtype, .keys = keys, .n = n, .order = from};
}
/* The position of the key that equals element i of x, or NOT_FOUND. */
static ptrdiff_t find(const directory *d, column x, size_t i) {
    size_t low = 0, high = d->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2; int order = compare_elements(d->dtype, d->keys, d->order[middle], x, i);
        if (order == 0) return (ptrdiff_t)d->order[middle];
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    return NOT_FOUND;
}
static ptrdiff_t find_name(const directory *d, mp_string name) { return find(d, (column){.s = &name}, 0); }
/* The position of a key that occurs twice, or NOT_FOUND. */
static ptrdiff_t find_twice(const directory *d) {
    for (size_t i = 1; i < d->n; i++)
        if (compare_elements(d->dtype, d->keys, d->order[i - 1], d->keys, d->order[i]) == 0) return (ptrdiff_t)d->order[i];
    return NOT_FOUND;
}
/* What reading a document, vectors or rows needs. */
typedef struct loader {
    context     *c;
    arena       *keep, *scratch; /* for what outlives the reading, and for what does not */
    const char  *end, *what;     /* of the text; the attribute or member being read, for sentences */
    const mp_limits *limits;
    mp_model    *model;
    struct plan *plan;           /* what is being made */
    struct step *step;           /* the step being checked */
    const json  *json;
    size_t      longest;         /* code points of the longest string among the elements so far */
    arena       *memos;          /* NULL: tensors that have been read need not be remembered */
    bool        as_it_is, *named; /* a quantized tensor stays so; which lengths stand in a shape */
} loader;
static const json *need(loader *l, const json *object, const char *key) {
    const json *value = member(object, key);
    if (!value) refuse(l->c, "The key \"%s\" is missing.", key);
    return value;
}
static const json *need_kind(loader *l, const json *object, const char *key, unsigned kind, const char *wanted) {
    const json *value = need(l, object, key);
    if (value->kind != kind) refuse(l->c, "The key \"%s\" is not %s.", key, wanted);
    return value;
}
static mp_string need_string(loader *l, const json *object, const char *key) {
    return string_of(l->c, l->scratch, need_kind(l, object, key, J_STRING, "a string"));
}
/* The position of a string member among words, which spaces part. */
static int need_word(loader *l, const json *object, const char *key, const char *words) {
    mp_string word = need_string(l, object, key); const char *at = words, *end;
    for (int i = 0; *at; at = end + (*end == ' '), i++)
        if (same_string(word, (mp_string){at, (size_t)((end = at + strcspn(at, " ")) - at)})) return i;
    refuse(l->c, "The key \"%s\" is %s; it is one of: %s.", key, quote(word).text, words);
}
static mp_dtype dtype_named(loader *l, mp_string name) {
    for (size_t t = 0; t < LENGTH(DTYPES); t++)
        if (same_string(name, literal(DTYPES[t].name))) return (mp_dtype)t;
    refuse(l->c, "%s is not a dtype.", quote(name).text);
}
/* The strings of an array that holds nothing else, on the arena `to`. */
static mp_string *read_strings(loader *l, arena *to, const json *array, size_t *n) {
    if (array->kind != J_ARRAY || (array->kinds & ~(unsigned)J_STRING))
        refuse(l->c, "The key %s is not an array of strings.", quote(array->key).text);
    mp_string *strings = take(l->c, to, array->count, sizeof *strings); const char *at = array->text + 1;
    for (*n = 0; *n < array->count; ++*n) {
        while (*at != '"') at++;
        strings[*n] = keep_string(l->c, to, read_string(l->c, l->scratch, at, &at));
    }
    return strings;
}

/* -- elements -- */
static double read_float(loader *l, mp_dtype t, const char *at, const char **stop) {
    if (*at == '"') {
        mp_string word = read_string(l->c, l->scratch, at, stop);
        if (same_string(word, literal("NaN"))) return NAN;
        if (same_string(word, literal("Infinity"))) return INFINITY;
        if (same_string(word, literal("-Infinity"))) return -INFINITY;
        refuse(l->c, "%s: %s stands where a number is expected.", l->what, quote(word).text);
    }
    if (*at != '-' && !is_digit(*at)) refuse(l->c, "%s: something stands where a number is expected.", l->what);
    double x = read_number(at, l->end, stop);
    if (t == MP_F32 && isinf(x = to_f32(x))) refuse(l->c, "%s: a number overflows f32.", l->what);
    return x;
}
static int64_t read_whole(loader *l, mp_dtype t, const char *at, const char **stop) {
    enum { SAFE_BITS = 53 };
    int64_t x = 0; bool good, quoted = *at == '"'; /* exactly where a double could not hold the number */
    if (quoted) {
        mp_string digits = read_string(l->c, l->scratch, at, stop);
        const char *rest, *end = digits.data + digits.size, *first = digits.data + (digits.size && *digits.data == '-');
        good = end - first > 1 && *first != '0' && read_integer(digits.data, end, &rest, &x) && rest == end;
    } else {
        good = read_integer(at, l->end, stop, &x);
    }
    if (!good || quoted != (x >= INT64_C(1) << SAFE_BITS || x <= -(INT64_C(1) << SAFE_BITS)) || x < DTYPES[t].least || x > DTYPES[t].most)
        refuse(l->c, "%s: something stands where an integer of dtype %s is expected.", l->what, DTYPES[t].name);
    return x;
}
static mp_string measured(loader *l, mp_string s) {
    size_t points = 0;
    for (size_t i = 0; s.size > l->longest && i < s.size; i++) points += ((unsigned char)s.data[i] & 0xC0) != 0x80;
    if (points > l->longest) l->longest = points;
    return s;
}
/* The single element at `at` to to[i]. */
static void read_element(loader *l, mp_dtype t, const char *at, const char **stop, column to, size_t i) {
    if (is_float(t)) to.f[i] = read_float(l, t, at, stop);
    else if (is_integer(t)) to.i[i] = read_whole(l, t, at, stop);
    else if (t == MP_STR && *at == '"') to.s[i] = measured(l, keep_string(l->c, l->keep, read_string(l->c, l->scratch, at, stop)));
    else if (t == MP_STR && *at == 'n') { to.s[i] = (mp_string){NULL, 0}; *stop = at + 4; }
    else if (t == MP_BOOL && (*at == 't' || *at == 'f')) { to.i[i] = *at == 't'; *stop = at + (*at == 't' ? 4 : 5); }
    else refuse(l->c, "%s: something stands where %s is expected.", l->what, t == MP_STR ? "a string" : "true or false");
}
/* The elements of an array of scalars, or of all arrays in it, one after the other. */
static void read_elements(loader *l, const json *array, tensor *t) {
    const char *at = array->text;
    l->end = array->end;
    for (size_t i = 0; i < t->count; i++) {
        while (*at == ',' || (unsigned char)*at <= ' ' || *at == '[' || *at == ']') at++;
        read_element(l, t->dtype, at, &at, t->data, i);
    }
}

/* -- base64 -- */
/* Decodes groups of four characters, all of them, from the alphabet; false if one is not. */
static bool decode_groups(const char *text, size_t groups, uint8_t *bytes) {
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t value[256]; unsigned seen = 0; /* 255 for what is not in the alphabet */
    memset(value, 255, sizeof value);
    for (unsigned k = 0; k < 64; k++) value[(unsigned char)alphabet[k]] = (uint8_t)k;
    for (const unsigned char *at = (const unsigned char *)text; groups; groups--, at += 4, bytes += 3) {
        unsigned a = value[at[0]], b = value[at[1]], c = value[at[2]], d = value[at[3]], w = a << 18 | b << 12 | c << 6 | d;
        seen |= a | b | c | d; bytes[0] = (uint8_t)(w >> 16); bytes[1] = (uint8_t)(w >> 8); bytes[2] = (uint8_t)w;
    }
    return seen < 64;
}
/* The number of bytes that a text stands for, or SIZE_MAX; *pad of the last group's are not there. */
static size_t measure_base64(mp_string text, size_t *pad) {
    for (*pad = 0; *pad < 2 && *pad < text.size && text.data[text.size - 1 - *pad] == '=';) ++*pad;
    return text.size % 4 ? SIZE_MAX : text.size / 4 * 3 - *pad;
}
/* Groups from..from + n of a text; the last one's padding stands for 0, and the unused bits before it are 0. */
static void decode_piece(loader *l, mp_string text, size_t pad, size_t from, size_t n, uint8_t *bytes) {
    char last[4]; bool ends = pad && 4 * (from + n) == text.size, good = decode_groups(text.data + 4 * from, n - ends, bytes);
    if (ends) {
        memcpy(last, text.data + text.size - 4, 4);
        for (size_t k = 0; k < pad; k++) last[3 - k] = 'A'; /* which stands for 0 */
        good &= decode_groups(last, 1, bytes + 3 * (n - 1));
        for (size_t k = 1; k <= pad; k++) good &= bytes[3 * n - k] == 0;
    }
    if (!good) refuse(l->c, "%s: its data is not standard base64 with padding.", l->what);
}
/* Little-endian elements to to[i], to[i + 1], .. */
static void unpack(loader *l, mp_dtype t, const uint8_t *bytes, size_t n, column to, size_t i) {
#define LITTLE(T, k) ((T)bytes[k] << 8 * (k))
#define EACH(size, DO) for (size_t end = i + n; i < end; i++, bytes += size) { DO }
    size_t first = i;
    switch (t) {
    case MP_F64: EACH(8, uint64_t w = 0; for (unsigned k = 0; k < 8; k++) w |= LITTLE(uint64_t, k); to.f[i] = double_of(w);) break;
    case MP_F32: EACH(4, float x; uint32_t w = 0; for (unsigned k = 0; k < 4; k++) w |= LITTLE(uint32_t, k); memcpy(&x, &w, sizeof x); to.f[i] = (double)x;) break;
    case MP_I64: EACH(8, uint64_t w = 0; for (unsigned k = 0; k < 8; k++) w |= LITTLE(uint64_t, k); memcpy(&to.i[i], &w, sizeof w);) break;
    case MP_I32: EACH(4, uint32_t w = 0; for (unsigned k = 0; k < 4; k++) w |= LITTLE(uint32_t, k); to.i[i] = (int64_t)(w ^ 0x80000000u) - 0x80000000ll;) break;
    case MP_U32: EACH(4, uint32_t w = 0; for (unsigned k = 0; k < 4; k++) w |= LITTLE(uint32_t, k); to.i[i] = (int64_t)w;) break;
    case MP_I16: EACH(2, to.i[i] = (int64_t)((bytes[0] | (unsigned)bytes[1] << 8) ^ 0x8000u) - 0x8000;) break;
    case MP_U16: EACH(2, to.i[i] = (int64_t)(bytes[0] | (unsigned)bytes[1] << 8);) break;
    case MP_I8: EACH(1, to.i[i] = (int64_t)(bytes[0] ^ 0x80u) - 0x80;) break;
    default: EACH(1, to.i[i] = bytes[0];) break;
    }
    for (i = first; t == MP_BOOL && i < first + n; i++) if (to.i[i] > 1) refuse(l->c, "%s: a bool is neither 0 nor 1.", l->what);
#undef LITTLE
#undef EACH
}
static void read_base64(loader *l, const json *data, tensor *t) {
    enum { PIECE = 1024 }; /* groups: a multiple of 8 */
    uint8_t bytes[3 * PIECE]; size_t pad, each = DTYPES[t->dtype].bytes, i = 0;
    if (t->count > (size_t)(data->end - data->text)) refuse(l->c, "%s: its shape has more elements than its data.", l->what);
    t->data.any = take(l->c, l->keep, t->count, 8); /* first, as keep may be scratch */
    mark before = mark_arena(l->scratch); mp_string text = string_of(l->c, l->scratch, data); size_t size = measure_base64(text, &pad);
    if (size == SIZE_MAX) refuse(l->c, "%s: its data is not standard base64 with padding.", l->what);
    if (size % each || size / each != t->count) refuse(l->c, "%s: its shape and its %zu bytes do not agree.", l->what, size);
    for (size_t from = 0, groups = text.size / 4, n; from < groups; from += n, i += PIECE * 3 / each) {
        n = groups - from < PIECE ? groups - from : PIECE; decode_piece(l, text, pad, from, n, bytes);
        unpack(l, t->dtype, bytes, t->count - i < PIECE * 3 / each ? t->count - i : PIECE * 3 / each, t->data, i);
    }
    reset_arena(l->scratch, before);
}

/* -- the forms of a tensor -- */
static void check_elements(loader *l, size_t count) {
    if (count > l->limits->elements) refuse(l->c, "%s: it has %zu elements, more than the limit of %zu.", l->what, count, l->limits->elements);
}
static tensor read_tensor(loader *l, const json *value, int bare, const char *what);
/* Of modelport_nn.c: with enc "i8", or with a mask. */
static void read_encoded(loader *l, const json *data, const json *scale, const json *mask, bool quantized, tensor *t);
/* {"dtype", "shape", "data", "enc"?, "scale"?, "mask"?} */
static void read_object_tensor(loader *l, const json *object, tensor *t) {
    t->dtype = dtype_named(l, need_string(l, object, "dtype"));
    const json *data = need(l, object, "data"), *enc = member(object, "enc"), *scale = member(object, "scale"), *mask = member(object, "mask");
    tensor shape = read_tensor(l, need_kind(l, object, "shape", J_ARRAY, "an array"), MP_I64, l->what);
    bool empty = false;
    if (shape.rank != 1 || shape.count > MAX_RANK) refuse(l->c, "%s: its rank is above %d.", l->what, MAX_RANK);
    t->rank = (int)shape.count; t->count = 1;
    for (size_t k = 0; k < shape.count; k++) {
        uint64_t size = (uint64_t)shape.data.i[k];
        if (size > SIZE_MAX / 2) refuse(l->c, "%s: its shape is not made of non-negative integers.", l->what);
        t->dims[k] = (size_t)size; empty |= size == 0;
        if (size && t->count > SIZE_MAX / t->dims[k]) refuse(l->c, "%s: its shape has more elements than its data.", l->what);
        t->count *= size ? t->dims[k] : 1;
    }
    if (empty) t->count = 0;
    check_elements(l, t->count); refuse_unread(l->c, object);
    if (object->count != 3u + !!enc + !!scale + !!mask) refuse(l->c, "%s: it has another key than dtype, shape, data, enc, scale and mask.", l->what);
    mp_string how = enc && enc->kind == J_STRING ? string_of(l->c, l->scratch, enc) : literal("");
    bool quantized = same_string(how, literal("i8")), b64 = same_string(how, literal("b64"));
    if (!quantized && scale) refuse(l->c, "%s: it has a \"scale\" without the enc \"i8\".", l->what);
    if ((enc || mask) && (!(b64 || quantized) || data->kind != J_STRING || t->dtype == MP_STR))
        refuse(l->c, "%s: its key \"enc\" is \"b64\" or \"i8\", with data a string and any dtype but str, or absent (and then so is \"mask\").", l->what);
    if (quantized || mask) { read_encoded(l, data, scale, mask, quantized, t); return; }
    if (enc) { read_base64(l, data, t); return; }
    if (data->kind != J_ARRAY || (data->kinds & (J_ARRAY | J_OBJECT))) refuse(l->c, "%s: its data is not a flat array.", l->what);
    if (data->count != t->count) refuse(l->c, "%s: its shape has %zu elements, its data %zu.", l->what, t->count, data->count);
    t->data.any = take(l->c, l->keep, t->count, element_size(t->dtype)); read_elements(l, data, t);
}
static tensor read_bare_tensor(loader *l, const json *value, int bare) {
    tensor t = {0}; bool matrix = value->kinds == J_ARRAY;
    if (value->kind != J_ARRAY) refuse(l->c, "%s: it is no tensor (an array, or an object with dtype, shape and data).", l->what);
    if ((!matrix && (value->kinds & (J_ARRAY | J_OBJECT))) || (matrix && (value->ragged || (value->inner_kinds & (J_ARRAY | J_OBJECT)))))
        refuse(l->c, "%s: it is ragged, or an array of rank above 2.", l->what);
    unsigned kinds = matrix ? value->inner_kinds : value->kinds;
    if (bare == ANY_DTYPE) bare = (kinds & J_STRING) && !(kinds & ~(unsigned)(J_STRING | J_NULL)) ? MP_STR : MP_F64;
    t.dtype = (mp_dtype)bare; t.rank = matrix ? 2 : 1; t.dims[0] = value->count; t.dims[1] = matrix ? value->inner / value->count : 0;
    t.count = matrix ? value->inner : value->count; check_elements(l, t.count);
    t.data.any = take(l->c, l->keep, t.count, element_size(t.dtype)); read_elements(l, value, &t); return t;
}
/* A tensor in any form; a bare array has dtype `bare`. */
static tensor read_tensor(loader *l, const json *value, int bare, const char *what) {
    tensor t = {0};
    l->what = what;
    if (value->memo) return *value->memo;
    if (value->kind == J_OBJECT) read_object_tensor(l, value, &t);
    else t = read_bare_tensor(l, value, bare);
    if (l->memos) ((json *)value)->memo = memcpy(take(l->c, l->memos, 1, sizeof t), &t, sizeof t);
    return t;
}

/* -- writing -- */
typedef struct sink { mp_writer write; void *context; size_t used; char buffer[4096]; } sink;
static void flush(sink *k) {
    if (k->used && k->write) k->write(k->context, k->buffer, k->used);
    k->used = 0;
}
static void put(sink *k, const char *text, size_t size) {
    if (size > sizeof k->buffer - k->used) flush(k);
    if (size > sizeof k->buffer) { if (k->write) k->write(k->context, text, size); }
    else { memcpy(k->buffer + k->used, text, size); k->used += size; }
}
PRINTF_LIKE(2, 3)
static void put_format(sink *k, const char *format, ...) {
    char text[256]; va_list arguments; va_start(arguments, format);
    int n = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments); put(k, text, (size_t)n);
}
static void put_string(sink *k, mp_string s) {
    put(k, "\"", 1);
    for (size_t i = 0; i < s.size; i++) {
        unsigned char byte = (unsigned char)s.data[i];
        if (byte == '"' || byte == '\\') put_format(k, "\\%c", byte);
        else if (byte < 0x20) put_format(k, "\\u%04x", byte);
        else put(k, s.data + i, 1);
    }
    put(k, "\"", 1);
}
static void put_element(sink *k, mp_dtype t, column x, size_t i) {
    char text[NUMBER_TEXT];
    if (is_float(t) && isfinite(x.f[i])) put(k, text, format_number(text, x.f[i], t == MP_F32));
    else if (is_float(t)) put_format(k, is_nan(x.f[i]) ? "\"NaN\"" : x.f[i] > 0 ? "\"Infinity\"" : "\"-Infinity\"");
    else if (t == MP_BOOL) put_format(k, x.i[i] ? "true" : "false");
    else if (t == MP_STR && x.s[i].data) put_string(k, x.s[i]);
    else if (t == MP_STR) put_format(k, "null");
    else if (x.i[i] < INT64_C(1) << 53 && x.i[i] > -(INT64_C(1) << 53)) put_format(k, "%" PRId64, x.i[i]);
    else put_format(k, "\"%" PRId64 "\"", x.i[i]);
}
/* key, then n elements as an array */
static void put_list(sink *k, const char *key, mp_dtype dtype, column x, size_t n) {
    put_format(k, "%s[", key);
    for (size_t i = 0; i < n; i++) {
        if (i) put(k, ", ", 2);
        put_element(k, dtype, x, i);
    }
    put(k, "]", 1);
}
/* One element, short enough for a sentence. */
static quoted element_text(mp_dtype dtype, column x, size_t i) {
    if (dtype == MP_STR && x.s[i].data) return quote(x.s[i]);
    sink k = {0}; quoted q;
    put_element(&k, dtype, x, i);
    memcpy(q.text, k.buffer, k.used); /* a number: below NUMBER_TEXT */
    q.text[k.used] = '\0'; return q;
}

/* ==== 4 Special functions ========================================================================================= */

/* W. J. Cody, Rational Chebyshev approximations for the error function, Math. Comp. 23 (1969); coefficients of CALERF. */
static const double ERF_A[] = {3.16112374387056560e00, 1.13864154151050156e02, 3.77485237685302021e02, 3.20937758913846947e03,
                               1.85777706184603153e-1};
static const double ERF_B[] = {2.36012909523441209e01, 2.44024637934444173e02, 1.28261652607737228e03, 2.84423683343917062e03};
static const double ERF_C[] = {5.64188496988670089e-1, 8.88314979438837594e00, 6.61191906371416295e01, 2.98635138197400131e02,
                               8.81952221241769090e02, 1.71204761263407058e03, 2.05107837782607147e03, 1.23033935479799725e03, 2.15311535474403846e-8};
static const double ERF_D[] = {1.57449261107098347e01, 1.17693950891312499e02, 5.37181101862009858e02, 1.62138957456669019e03,
                               3.29079923573345963e03, 4.36261909014324716e03, 3.43936767414372164e03, 1.23033935480374942e03};
static const double ERF_P[] = {3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1, 1.60837851487422766e-2,
                               6.58749161529837803e-4, 1.63153871373020978e-2};
static const double ERF_Q[] = {2.56852019228982242e00, 1.87295284992346725e00, 5.27905102951428412e-1, 6.05183413124413191e-2,
                               2.33520497626869185e-3};
/* ((last z + a[0]) z + a[1]) z ... + a[n-1] */
static double chain(double last, const double *a, int n, double z) {
    double sum = last * z;
    for (int i = 0; i < n - 1; i++) sum = (sum + a[i]) * z;
    return sum + a[n - 1];
}
static double f_erf(double x) {
    double y = fabs(x), z = y * y;
    if (is_nan(x)) return x;
    if (y <= 0.46875) return x * chain(ERF_A[4], ERF_A, 4, z) / chain(1.0, ERF_B, 4, z);
    if (y > 26.6) return x < 0 ? -1.0 : 1.0;
    double r;
    if (y <= 4.0) r = chain(ERF_C[8], ERF_C, 8, y) / chain(1.0, ERF_D, 8, y);
    else { z = 1.0 / z; r = (5.6418958354775628695e-1 - z * chain(ERF_P[5], ERF_P, 5, z) / chain(1.0, ERF_Q, 5, z)) / y; }
    double whole = trunc(y * 16.0) / 16.0; /* exp(-y^2) in two exact parts */
    r = 1.0 - exp(-whole * whole) * exp(-(y - whole) * (y + whole)) * r; return x < 0 ? -r : r;
}
/* M. J. Wichura, Algorithm AS 241, Applied Statistics 37 (1988): PPND16. Numerators, then denominators, of three ranges. */
static const double PPF[6][8] = {
    {3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
     4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3},
    {1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
     2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3},
    {1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0,
     1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4},
    {1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
     1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9},
    {6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0, 2.96560571828504891230e-1,
     2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7},
    {1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
     7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15}};
static double ppf_ratio(int range, double r) {
    double top = PPF[2 * range][7], bottom = PPF[2 * range + 1][7];
    for (int i = 6; i >= 0; i--) { top = top * r + PPF[2 * range][i]; bottom = bottom * r + PPF[2 * range + 1][i]; }
    return top / bottom;
}
static double f_norm_ppf(double p) {
    if (!(p >= 0 && p <= 1)) return NAN;
    if (p == 0 || p == 1) return p == 0 ? -INFINITY : INFINITY;
    double q = p - 0.5;
    if (fabs(q) <= 0.425) return q * ppf_ratio(0, 0.180625 - q * q);
    double r = sqrt(-log(q < 0 ? p : 1.0 - p));
    r = r <= 5.0 ? ppf_ratio(1, r - 1.6) : ppf_ratio(2, r - 5.0); return q < 0 ? -r : r;
}

/* ==== 5 Ops ======================================================================================================= */

/* An input, or what a step defines: its row shape, and how many elements a row has; for limits an axis of length 0 counts as 1. */
typedef struct value { mp_string name; mp_dtype dtype; int rank; size_t dims[MAX_RANK], width, counted; } value;
typedef struct step step; typedef struct runner runner;
/* One row on its way through an op that maps a row of floats to a row: x [n], rounded to the step's dtype, to y [out]. */
typedef struct row { runner *r; const step *s; bool f32; const double *x; size_t n; column y; size_t out; } row;
/* An op: check reads the attributes of a step and says dtype and row shape of what it defines; run computes a block of rows,
 * or map a single one (elements of y that are floats are rounded to the step's dtype afterwards). */
typedef struct op {
    const char *name;
    void (*check)(loader *), (*run)(runner *, const step *), (*map)(const row *);
    bool in_place; /* run may write element i of its output where it has read element i of its input, the only one */
} op;
struct step {
    const op *op;
    size_t   *in, n_in, out;        /* values */
    bool      f32;                  /* ops with `dtype`: it is f32 */
    int       word;                 /* from here on attributes, as the check of each op says; a word is held as its position, */
    tensor    t[2];
    column    per[4];               /* and what is given per column as an array that long, or NULL */
    double    number[4], *table;
    size_t    size;
    double    work, strings;        /* of a row: multiplications (docs/format.md: mul), see set_work; strings beside those read and defined */
    directory keys;
    const struct forest *forest;
    const void *plan;               /* what other ops keep */
};
typedef struct tolerance { enum { EXACT, BOUND, ULPS } kind; double atol, rtol; uint64_t ulps; } tolerance;
/* Sets of rows; the first has the number of sets, and the tolerances of all. lengths: as of a plan. */
typedef struct vectors { size_t rows, sets, total, *lengths; double operations, strings; tensor *inputs, *expected; tolerance *tolerances; } vectors;
/* A model for given lengths, as checked. A step that gets what it got for the example lengths is a copy of that one. */
typedef struct plan {
    size_t    *lengths;                         /* of the names */
    value     *values;                          /* the inputs, then one per step */
    step      *steps;
    mp_output *outputs;
    double    total, work, operations, strings; /* of a row: elements of all values; mul; mul, and what steps read and define; strings of these */
    size_t    *places, alive, block_rows;       /* where values are in a block, and how large it is, in eights of bytes per row */
} plan;
struct mp_model {
    arena      arena;
    pool      *pool;                            /* NULL: it has a heap */
    mp_limits  limits;
    mp_input  *inputs;
    plan       plan;                            /* for the example lengths */
    mp_string *names;                           /* of lengths */
    ptrdiff_t  (*axes)[MAX_RANK];               /* the name of the length of an input's axis, or NOT_FOUND */
    size_t     n_inputs, n_outputs, n_values, n_steps, n_names, *sources; /* sources: the value of each output */
    directory  by_name, by_output, by_length;
    json      *attributes;                      /* of the steps, if there are named lengths */
    vectors   *vectors;                         /* NULL: none are carried */
};
/* One block of rows on its way through the steps: values[i] is [rows, width]; the first row has the number `first`. */
struct runner { context *c; arena *a; const mp_model *m; const plan *p; column *values; size_t rows, first; };
/* Where the rows of one input come from: one feed, or one per column. */
typedef struct source { const mp_feed *all, **columns; } source;

/* -- what checks use -- */
static const value *in_value(const loader *l, size_t k) {
    if (k >= l->step->n_in) refuse(l->c, "It has %zu inputs, which its op does not take.", l->step->n_in);
    return &l->plan->values[l->step->in[k]];
}
/* How many elements the last axis has, and how often the axes before it repeat it. */
static size_t last_axis(const value *v) { return v->rank ? v->dims[v->rank - 1] : 1; }
static size_t before_last(const value *v) {
    size_t n = 1;
    for (int k = 0; k + 1 < v->rank; k++) n *= v->dims[k];
    return n;
}
static void arity(loader *l, size_t least, size_t most) {
    if (l->step->n_in < least || l->step->n_in > most) refuse(l->c, "It has %zu inputs, which its op does not take.", l->step->n_in);
}
/* Refuses a dtype that an input may not have. */
static void need_dtype(loader *l, size_t k, bool fits, const char *wanted) {
    if (!fits) refuse(l->c, "Its input %zu is %s; it takes %s.", k, DTYPES[in_value(l, k)->dtype].name, wanted);
}
/* The dtype of the one input. */
static mp_dtype only_input(loader *l) { arity(l, 1, 1); return in_value(l, 0)->dtype; }
static void need_row(loader *l, size_t k) {
    if (in_value(l, k)->rank > 1) refuse(l->c, "Its input %zu has rows of rank %d; its op takes rank 0 or 1.", k, in_value(l, k)->rank);
}
static mp_dtype only_row(loader *l) { only_input(l); need_row(l, 0); return in_value(l, 0)->dtype; }
static size_t product(loader *l, size_t a, size_t b) {
    if (b && a > SIZE_MAX / b) refuse(l->c, "Its rows have more elements than the limit of %zu.", l->limits->row);
    return a * b;
}
static void define_value(loader *l, size_t index, mp_dtype dtype, int rank, const size_t *dims) {
    value *v = &l->plan->values[index], to = {.name = v->name, .dtype = dtype, .rank = rank, .counted = 1}; bool empty = false;
    if (rank > MAX_RANK) refuse(l->c, "What it defines has rank %d, more than the limit of %d.", rank, MAX_RANK);
    for (int k = 0; k < rank; k++) { to.dims[k] = dims[k]; empty |= dims[k] == 0; to.counted = product(l, to.counted, dims[k] ? dims[k] : 1); }
    if (to.counted > l->limits->row) refuse(l->c, "Its rows have %zu elements, more than the limit of %zu.", to.counted, l->limits->row);
    to.width = empty ? 0 : to.counted; *v = to;
}
static void define_shape(loader *l, mp_dtype dtype, int rank, const size_t *dims) { define_value(l, l->step->out, dtype, rank, dims); }
static void define(loader *l, mp_dtype dtype, int rank, size_t width) { define_shape(l, dtype, rank, &width); }
/* For elementwise ops: the row shape of the first input. */
static void define_alike(loader *l, mp_dtype dtype) { define_shape(l, dtype, in_value(l, 0)->rank, in_value(l, 0)->dims); }
/* The row shape of the first input with another last axis. */
static void define_last(loader *l, mp_dtype dtype, size_t width) {
    size_t dims[MAX_RANK]; int rank = in_value(l, 0)->rank ? in_value(l, 0)->rank : 1;
    memcpy(dims, in_value(l, 0)->dims, sizeof dims); dims[rank - 1] = width; define_shape(l, dtype, rank, dims);
}
/* How many multiplications the step takes per row (docs/format.md: mul), if not none; `each` for every element of what it defines. */
static void set_work(loader *l, size_t times, size_t each) { l->step->work = (double)times * (double)each; }
static void set_work_each(loader *l, size_t each) { set_work(l, l->plan->values[l->step->out].width, each); }
enum { COSTLY = 16, MOVED = 8 }; /* a function, or a search; an element that is read or defined */
enum { MOST_WHOLE = 1 << 28 }; /* the largest integer that is an attribute */
/* An attribute; NULL if it is absent. */
static const json *attribute(loader *l, const char *name) { return member(l->json, name); }
enum { REQUIRED = -1 };
/* The position of a string attribute among words; `otherwise` if it is absent. */
static int choice(loader *l, const char *name, const char *words, int otherwise) {
    return otherwise != REQUIRED && !attribute(l, name) ? otherwise : need_word(l, l->json, name, words);
}
static int64_t whole(loader *l, const char *name, int64_t least, int64_t most) {
    const json *given = need_kind(l, l->json, name, J_NUMBER, "an integer"); const char *stop; int64_t x;
    if (most > MOST_WHOLE) most = MOST_WHOLE;
    if (!read_integer(given->text, given->end, &stop, &x) || x < least || x > most)
        refuse(l->c, "Its attribute \"%s\" is not an integer from %" PRId64 " to %" PRId64 ".", name, least, most);
    return x;
}
static double number(loader *l, const char *name, mp_dtype dtype, double otherwise) {
    const json *given = attribute(l, name); const char *stop;
    l->what = name;
    if (given) l->end = given->end;
    return given ? read_float(l, dtype, given->text, &stop) : otherwise;
}
/* Reads `dtype` of an op that has it, and returns it. */
static mp_dtype step_dtype(loader *l) { return (l->step->f32 = choice(l, "dtype", "f64 f32", 0)) ? MP_F32 : MP_F64; }
static void need_float(loader *l, size_t k) { need_dtype(l, k, is_float(in_value(l, k)->dtype), "floats: put a cast before it"); }
/* For most ops: one float input (a row), `dtype`. Returns dtype. */
static mp_dtype one_float(loader *l) { only_input(l); need_float(l, 0); return step_dtype(l); }
static mp_dtype one_float_row(loader *l) { need_row(l, 0); return one_float(l); }
static bool flag(loader *l, const char *name, bool otherwise) {
    const json *given = attribute(l, name);
    if (given && !(given->kind & J_BOOL)) refuse(l->c, "Its attribute \"%s\" is not true or false.", name);
    return given ? given->kind == J_TRUE : otherwise;
}
/* A tensor attribute of a dtype (or ANY_DTYPE) and a rank; false if it is absent and may be. */
static bool tensor_attribute(loader *l, const char *name, int dtype, int rank, bool required, tensor *t) {
    if (!required && !attribute(l, name)) return false;
    *t = read_tensor(l, need(l, l->json, name), dtype, name);
    if (dtype != ANY_DTYPE && t->dtype != (mp_dtype)dtype) refuse(l->c, "Its attribute \"%s\" is not %s.", name, DTYPES[dtype].name);
    if (t->rank != rank) refuse(l->c, "Its attribute \"%s\" has rank %d; %d is needed.", name, t->rank, rank);
    return true;
}
/* A tensor of any integer dtype with elements from least to most. */
static tensor integers_attribute(loader *l, const char *name, int rank, int64_t least, int64_t most) {
    tensor t = read_tensor(l, need(l, l->json, name), MP_I64, name);
    if (!is_integer(t.dtype) || t.rank != rank) refuse(l->c, "Its attribute \"%s\" is no tensor of integers of rank %d.", name, rank);
    for (size_t i = 0; i < t.count; i++)
        if (t.data.i[i] < least || t.data.i[i] > most)
            refuse(l->c, "Its attribute \"%s\" holds %" PRId64 ", outside %" PRId64 "..%" PRId64 ".", name, t.data.i[i], least, most);
    return t;
}
static void need_count(loader *l, const char *name, const tensor *t, size_t count) {
    if (t->count != count) refuse(l->c, "Its attribute \"%s\" has %zu elements; %zu are needed.", name, t->count, count);
}
/* A vector of the dtype, or of integers, with exactly so many elements. */
static tensor counted(loader *l, const char *name, mp_dtype dtype, size_t count) {
    tensor t;
    tensor_attribute(l, name, (int)dtype, 1, true, &t); need_count(l, name, &t, count); return t;
}
static tensor counted_integers(loader *l, const char *name, int64_t least, int64_t most, size_t count) {
    tensor t = integers_attribute(l, name, 1, least, most);
    need_count(l, name, &t, count); return t;
}
/* Refuses a matrix that has not one column per element of the first input's last axis. */
static void need_columns(loader *l, const char *name, const tensor *t) {
    size_t width = last_axis(in_value(l, 0));
    if (t->dims[1] != width) refuse(l->c, "Its attribute \"%s\" has %zu columns, its input %zu.", name, t->dims[1], width);
}
/* A tensor with one element per column of the first input's last axis, or one for all; spread to one per column. NULL if it is absent. */
static column per_column(loader *l, const char *name, mp_dtype dtype, bool required) {
    tensor t; size_t width = last_axis(in_value(l, 0));
    if (!tensor_attribute(l, name, (int)dtype, 1, required, &t)) return (column){NULL};
    if (t.count == width) return t.data;
    need_count(l, name, &t, 1);
    column spread = {take(l->c, l->keep, width, element_size(dtype))};
    for (size_t j = 0; j < width; j++) copy_elements(dtype, spread, j, t.data, 0, 1);
    return spread;
}
/* Joins a shape with another, aligned at their last axes, to the one that both broadcast to. */
static void broadcast(loader *l, int *rank, size_t dims[MAX_RANK], int other, const size_t *with) {
    for (; *rank < other; ++*rank) { memmove(dims + 1, dims, (size_t)*rank * sizeof *dims); dims[0] = 1; }
    for (int k = 0; k < other; k++) {
        size_t *d = &dims[*rank - other + k];
        if (*d != 1 && with[k] != 1 && *d != with[k]) refuse(l->c, "Its inputs do not broadcast: axes of %zu and of %zu elements.", *d, with[k]);
        if (with[k] != 1) *d = with[k];
    }
}
/* Defines a value with the row shape of inputs that broadcast. */
static void define_broadcast(loader *l, mp_dtype dtype) {
    int rank = 0; size_t dims[MAX_RANK];
    for (size_t k = 0; k < l->step->n_in; k++) broadcast(l, &rank, dims, in_value(l, k)->rank, in_value(l, k)->dims);
    define_shape(l, dtype, rank, dims);
}

/* -- what runs use -- */
static double rounded(bool f32, double x) { return f32 ? to_f32(x) : x; }
static column in_column(const runner *r, const step *s, size_t k) { return r->values[s->in[k]]; }
static const value *input_of(const runner *r, const step *s, size_t k) { return &r->p->values[s->in[k]]; }
static const value *output_of(const runner *r, const step *s) { return &r->p->values[s->out]; }
static size_t in_width(const runner *r, const step *s, size_t k) { return input_of(r, s, k)->width; }
static quoted step_name(const runner *r, const step *s) { return quote(output_of(r, s)->name); }
/* The first input x and the output y of a block: dtypes, widths, and how many elements y has. */
typedef struct io { column x, y; mp_dtype from, to; size_t in, out, n; } io;
static io io_of(const runner *r, const step *s) {
    const value *y = output_of(r, s), *x = s->n_in ? input_of(r, s, 0) : y;
    return (io){s->n_in ? in_column(r, s, 0) : (column){NULL}, r->values[s->out], x->dtype, y->dtype, x->width, y->width, r->rows * y->width};
}
#define refuse_row(r, s, row, format, ...) \
    refuse((r)->c, "Row %zu, at the step that defines %s: " format, (r)->first + (row), step_name(r, s).text, __VA_ARGS__)
/* A row of the first input, rounded to the step's dtype: the row itself, or a copy in `buffer`. */
static const double *rounded_row(const runner *r, const step *s, size_t i, double *buffer) {
    size_t width = last_axis(input_of(r, s, 0)); const double *x = in_column(r, s, 0).f + i * width;
    bool changes = s->f32 && input_of(r, s, 0)->dtype == MP_F64;
    for (size_t j = 0; changes && j < width; j++) buffer[j] = to_f32(x[j]);
    return changes ? buffer : x;
}
/* Runs an op that maps rows: those of the last axis. */
static void map_rows(runner *r, const step *s) {
    io b = io_of(r, s); size_t n = before_last(input_of(r, s, 0)), in = last_axis(input_of(r, s, 0)), out = n ? b.out / n : 0;
    double *buffer = take(r->c, r->a, in, sizeof *buffer); mark before = mark_arena(r->a);
    for (size_t i = 0; i < r->rows * n; i++, b.y.f += out) {
        s->op->map(&(row){r, s, s->f32, rounded_row(r, s, i, buffer), in, b.y, out});
        for (size_t j = 0; s->f32 && is_float(b.to) && j < out; j++) b.y.f[j] = to_f32(b.y.f[j]);
        reset_arena(r->a, before);
    }
}
static column spread_operand(runner *r, const step *s, size_t k); /* of modelport_nn.c */
/* An input as an operand of the output's elements: *one if its rows have one element, else spread to the output's row shape. */
static column operand(runner *r, const step *s, size_t k, bool *one) {
    *one = in_width(r, s, k) == 1; return *one || in_width(r, s, k) == output_of(r, s)->width ? in_column(r, s, k) : spread_operand(r, s, k);
}

/* -- concat, select -- */
static void concat_check(loader *l) { /* size: how often the parts follow each other in a row */
    arity(l, 1, SIZE_MAX);
    const value *first = in_value(l, 0); bool joined = attribute(l, "axis") != NULL; int rank = joined ? first->rank : 1;
    int axis = joined ? (int)whole(l, "axis", 0, rank - 1) : 0; size_t dims[MAX_RANK] = {0};
    if (joined) memcpy(dims, first->dims, sizeof dims);
    l->step->size = 1; dims[axis] = 0;
    for (int k = 0; k < axis; k++) l->step->size *= dims[k];
    for (size_t k = 0; k < l->step->n_in; k++) {
        const value *v = in_value(l, k); bool fits = v->rank == rank;
        need_dtype(l, k, v->dtype == first->dtype, "the dtype of the first");
        if (!joined) need_row(l, k);
        for (int j = 0; joined && fits && j < rank; j++) fits = j == axis || v->dims[j] == dims[j];
        if (joined && !fits) refuse(l->c, "Its input %zu has another row shape than the first.", k);
        dims[axis] += joined ? v->dims[axis] : v->width;
        if (dims[axis] > l->limits->row) break; /* which define_shape refuses */
    }
    define_shape(l, first->dtype, rank, dims);
}
static void concat_run(runner *r, const step *s) {
    io b = io_of(r, s); size_t turns = r->rows * s->size, out = s->size ? b.out / s->size : 0;
    for (size_t k = 0, at = 0, part; k < s->n_in && out; k++, at += part) {
        part = in_width(r, s, k) / s->size;
        for (size_t i = 0; i < turns; i++) copy_elements(b.to, b.y, i * out + at, in_column(r, s, k), i * part, part);
    }
}
static void select_check(loader *l) { /* t[0] index */
    mp_dtype dtype = only_row(l); l->step->t[0] = integers_attribute(l, "index", 1, 0, (int64_t)in_value(l, 0)->width - 1);
    define(l, dtype, 1, l->step->t[0].count);
}
static void select_run(runner *r, const step *s) {
    io b = io_of(r, s);
    for (size_t i = 0; i < r->rows; i++)
        for (size_t k = 0; k < b.out; k++) copy_elements(b.to, b.y, i * b.out + k, b.x, i * b.in + (size_t)s->t[0].data.i[k], 1);
}
/* -- cast, constant -- */
static void cast_check(loader *l) {
    mp_dtype from = only_input(l), to = dtype_named(l, need_string(l, l->json, "to"));
    need_dtype(l, 0, to != MP_STR && from != MP_STR, "and gives any dtype but str: use lookup"); define_alike(l, to);
}
static void cast_run(runner *r, const step *s) {
    io b = io_of(r, s);
    for (size_t i = 0; i < b.n; i++) {
        if (is_float(b.to) && is_float(b.from)) b.y.f[i] = rounded(b.to == MP_F32, b.x.f[i]);
        else if (is_float(b.to)) b.y.f[i] = b.to == MP_F32 ? (double)(float)b.x.i[i] : (double)b.x.i[i]; /* one rounding */
        else if (b.to == MP_BOOL) b.y.i[i] = is_float(b.from) ? b.x.f[i] != 0 : b.x.i[i] != 0;
        else {
            double x = is_float(b.from) ? trunc(b.x.f[i]) : 0; bool fits = x >= -0x1p63 && x < 0x1p63;
            b.y.i[i] = !is_float(b.from) ? b.x.i[i] : fits ? (int64_t)x : 0;
            if (!fits || b.y.i[i] < DTYPES[b.to].least || b.y.i[i] > DTYPES[b.to].most)
                refuse_row(r, s, i / b.out, "a value does not fit into %s.", DTYPES[b.to].name);
        }
    }
}
static void constant_check(loader *l) { /* t[0] value */
    arity(l, 0, 0);
    tensor t = read_tensor(l, need_kind(l, l->json, "value", J_OBJECT, "a tensor in the object form"), ANY_DTYPE, "value");
    l->step->t[0] = t; define_shape(l, t.dtype, t.rank, t.dims);
}
static void constant_run(runner *r, const step *s) {
    io b = io_of(r, s);
    for (size_t i = 0; i < r->rows; i++) copy_elements(b.to, b.y, i * b.out, s->t[0].data, 0, b.out);
}
/* -- impute, is_missing -- */
static void is_missing_check(loader *l) { /* number[0] match, or per[1] the string (missing by default) */
    mp_dtype dtype = only_row(l);
    bool text = dtype == MP_STR && attribute(l, "match");
    need_dtype(l, 0, is_float(dtype) || dtype == MP_STR, "f64, f32 or str");
    l->step->number[0] = text ? NAN : number(l, "match", dtype, NAN);
    l->step->per[1].s = take_zeroed(l->c, l->keep, 1, sizeof(mp_string));
    if (text) *l->step->per[1].s = measured(l, keep_string(l->c, l->keep, need_string(l, l->json, "match")));
    define_alike(l, MP_F64);
}
static bool matches(const step *s, const io *b, size_t i) {
    if (b->from == MP_STR) return same_string(b->x.s[i], *s->per[1].s);
    return is_nan(s->number[0]) ? is_nan(b->x.f[i]) : b->x.f[i] == s->number[0];
}
static void is_missing_run(runner *r, const step *s) {
    io b = io_of(r, s);
    for (size_t i = 0; i < b.n; i++) b.y.f[i] = matches(s, &b, i);
}
static void impute_check(loader *l) { /* and per[0] values */
    is_missing_check(l);
    l->step->per[0] = per_column(l, "values", in_value(l, 0)->dtype, true); define_alike(l, in_value(l, 0)->dtype);
}
static void impute_run(runner *r, const step *s) {
    io b = io_of(r, s);
    for (size_t i = 0; i < b.n; i++) {
        bool match = matches(s, &b, i);
        copy_elements(b.to, b.y, i, match ? s->per[0] : b.x, match ? i % b.out : i, 1);
    }
}
/* -- lookup -- */
static void hash_keys(loader *l, directory *d); /* of modelport_fast.c */
static ptrdiff_t find_hashed(const directory *d, column x, size_t i);
static void lookup_check(loader *l) { /* keys, t[0] keys, t[1] values, per[0] default */
    step *s = l->step; mp_dtype dtype = only_input(l);
    if (s->keys.order) { define_alike(l, s->t[1].dtype); set_work_each(l, COSTLY); return; } /* with other lengths */
    need_dtype(l, 0, is_float(dtype) || dtype == MP_I64 || dtype == MP_BOOL || dtype == MP_STR, "f64, f32, i64, bool or str");
    tensor_attribute(l, "keys", (int)dtype, 1, true, &s->t[0]);
    tensor_attribute(l, "values", ANY_DTYPE, 1, true, &s->t[1]);
    need_count(l, "values", &s->t[1], s->t[0].count);
    s->keys = new_directory(l->c, l->keep, dtype, s->t[0].data, s->t[0].count);
    if (find_twice(&s->keys) != NOT_FOUND) refuse(l->c, "Its attribute \"keys\" holds the same key twice.");
    hash_keys(l, &s->keys);
    const json *otherwise = attribute(l, "default"); const char *stop;
    if (otherwise) {
        l->what = "default"; l->end = otherwise->end;
        if (otherwise->kind == J_NULL) refuse(l->c, "Its attribute \"default\" is null.");
        s->per[0].any = take(l->c, l->keep, 1, element_size(s->t[1].dtype));
        read_element(l, s->t[1].dtype, otherwise->text, &stop, s->per[0], 0);
    }
    define_alike(l, s->t[1].dtype); set_work_each(l, COSTLY);
}
static void lookup_run(runner *r, const step *s) {
    io b = io_of(r, s);
    for (size_t i = 0; i < b.n; i++) {
        ptrdiff_t k = find_hashed(&s->keys, b.x, i);
        if (k == NOT_FOUND && !s->per[0].any) refuse_row(r, s, i / b.out, "the category %s is not known.", element_text(b.from, b.x, i).text);
        copy_elements(b.to, b.y, i, k == NOT_FOUND ? s->per[0] : s->t[1].data, k == NOT_FOUND ? 0 : (size_t)k, 1);
    }
}
/* -- onehot -- */
static void onehot_check(loader *l) {
    need_dtype(l, 0, is_integer(only_row(l)), "integers"); l->step->size = (size_t)whole(l, "size", 1, (int64_t)l->limits->row);
    define(l, MP_F64, 1, product(l, in_value(l, 0)->width, l->step->size));
}
static void onehot_run(runner *r, const step *s) {
    io b = io_of(r, s); memset(b.y.f, 0, b.n * sizeof *b.y.f);
    for (size_t i = 0; i < r->rows * b.in; i++) {
        int64_t code = b.x.i[i];
        if (code < -1 || code >= (int64_t)s->size) refuse_row(r, s, i / b.in, "the code %" PRId64 " is outside -1..%zu.", code, s->size - 1);
        if (code >= 0) b.y.f[i * s->size + (size_t)code] = 1.0;
    }
}
/* -- scale, clip -- */
static void scale_check(loader *l) { /* per: sub, div, mul, add */
    static const char *const names[] = {"sub", "div", "mul", "add"};
    mp_dtype dtype = one_float(l);
    for (size_t k = 0; k < 4; k++) l->step->per[k] = per_column(l, names[k], dtype, false);
    define_alike(l, dtype);
}
static void scale_map(const row *w) {
    const double *sub = w->s->per[0].f, *div = w->s->per[1].f, *mul = w->s->per[2].f, *add = w->s->per[3].f; double *y = w->y.f;
    for (size_t j = 0; j < w->n; j++) y[j] = w->x[j];
    for (size_t j = 0; sub && j < w->n; j++) y[j] = rounded(w->f32, y[j] - sub[j]);
    for (size_t j = 0; div && j < w->n; j++) y[j] = rounded(w->f32, y[j] / div[j]);
    for (size_t j = 0; mul && j < w->n; j++) y[j] = rounded(w->f32, y[j] * mul[j]);
    for (size_t j = 0; add && j < w->n; j++) y[j] = rounded(w->f32, y[j] + add[j]);
}
static void clip_check(loader *l) { /* per: min, max */
    mp_dtype dtype = one_float(l);
    l->step->per[0] = per_column(l, "min", dtype, false); l->step->per[1] = per_column(l, "max", dtype, false);
    define_alike(l, dtype);
}
static void clip_map(const row *w) {
    const double *x = w->x, *min = w->s->per[0].f, *max = w->s->per[1].f;
    for (size_t j = 0; j < w->n; j++) w->y.f[j] = min && x[j] < min[j] ? min[j] : max && x[j] > max[j] ? max[j] : x[j];
}
/* -- unary -- */
static double f_neg(double x) { return -x; }
static double f_sign(double x) { return is_nan(x) ? x : (double)((x > 0) - (x < 0)); }
static double f_square(double x) { return x * x; }
static double f_reciprocal(double x) { return 1.0 / x; }
static double f_relu(double x) { return x > 0 || is_nan(x) ? x : 0.0; }
static double f_sigmoid(double x) { return 1 / (1 + exp(-x)); } /* where exp overflows the quotient is 0 */
static double f_log_sigmoid(double x) { return x >= 0 ? -log1p(exp(-x)) : x - log1p(exp(x)); }
static double f_softplus(double x) { return f_relu(x) + log1p(exp(-fabs(x))); }
typedef double function(double);
static const char UNARY_WORDS[] =
    "neg abs sign sqrt square reciprocal floor ceil round trunc relu exp expm1 log log1p log2 log10 sin cos tan arcsin arccos arctan "
    "sinh cosh tanh sigmoid log_sigmoid softplus erf norm_ppf not";
static function *const UNARY[] = {
    f_neg, fabs, f_sign, sqrt, f_square, f_reciprocal, floor, ceil, rint, trunc, f_relu, exp, expm1, log, log1p, log2, log10, sin, cos,
    tan, asin, acos, atan, sinh, cosh, tanh, f_sigmoid, f_log_sigmoid, f_softplus, f_erf, f_norm_ppf, NULL};
enum { EXACT_UNARY = 11 }; /* the first ones, and the last */
static void unary_check(loader *l) { /* word: fn */
    mp_dtype x = only_input(l), dtype = step_dtype(l);
    bool not = !UNARY[l->step->word = choice(l, "fn", UNARY_WORDS, REQUIRED)];
    need_dtype(l, 0, not ? x == MP_BOOL : is_float(x), not ? "bool" : "floats: put a cast before it");
    define_alike(l, not ? MP_BOOL : dtype); set_work_each(l, not || l->step->word < EXACT_UNARY ? 0 : COSTLY);
}
static void unary_run(runner *r, const step *s) {
    io b = io_of(r, s); function *fn = UNARY[s->word];
    if (fn == f_relu) { /* the most frequent, without a call; f32 numbers stay such */
        for (size_t i = 0; i < b.n; i++) { double x = rounded(s->f32, b.x.f[i]); b.y.f[i] = double_of(bits_of(x) & -(uint64_t)!(x <= 0)); /* no branch */ }
        return;
    }
    for (size_t i = 0; fn && i < b.n; i++) b.y.f[i] = rounded(s->f32, fn(rounded(s->f32, b.x.f[i])));
    for (size_t i = 0; !fn && i < b.n; i++) b.y.i[i] = !b.x.i[i];
}
/* -- binary, where -- */
enum { ADD, SUB, MUL, DIV, MIN, MAX, POW, EQ, NE, LT, LE, GT, GE, AND, OR, XOR };
static void binary_check(loader *l) { /* word: fn */
    arity(l, 2, 2);
    mp_dtype dtype = step_dtype(l), x = in_value(l, 0)->dtype, z = in_value(l, 1)->dtype;
    int fn = l->step->word = choice(l, "fn", "add sub mul div min max pow eq ne lt le gt ge and or xor", REQUIRED);
    bool fits = is_float(x) && is_float(z);
    if (fn >= EQ) fits |= (x == MP_I64 && z == MP_I64) || (fn <= NE && x == z && (x == MP_BOOL || x == MP_STR));
    if (fn >= AND) fits = x == MP_BOOL && z == MP_BOOL;
    if (!fits) refuse(l->c, "Its fn does not take %s and %s.", DTYPES[x].name, DTYPES[z].name);
    define_broadcast(l, fn < EQ ? dtype : MP_BOOL); set_work_each(l, fn == POW ? COSTLY : 0);
    l->step->strings = x == MP_STR ? (double)l->plan->values[l->step->out].counted : 0;
}
static double arithmetic(int fn, double a, double b) {
    switch (fn) {
    case ADD: return a + b;
    case SUB: return a - b;
    case MUL: return a * b;
    case DIV: return a / b;
    case MIN: return is_nan(a) || a < b ? a : b;
    case MAX: return is_nan(a) || a > b ? a : b;
    default: return pow(a, b);
    }
}
static bool compare(int fn, bool less, bool equal, bool greater) {
    if (fn == EQ || fn == NE) return equal == (fn == EQ);
    return (fn == LT || fn == LE ? less : greater) || (equal && (fn == LE || fn == GE));
}
static bool logic(int fn, bool a, bool b) { return fn == AND ? a && b : fn == OR ? a || b : a != b; }
static void binary_run(runner *r, const step *s) {
    io b = io_of(r, s); bool one_x, one_z; column x = operand(r, s, 0, &one_x), z = operand(r, s, 1, &one_z);
    for (size_t i = 0; i < b.n; i++) {
        size_t p = one_x ? i / b.out : i, q = one_z ? i / b.out : i;
        if (is_float(b.from)) {
            double u = rounded(s->f32, x.f[p]), v = rounded(s->f32, z.f[q]);
            if (s->word < EQ) b.y.f[i] = rounded(s->f32, arithmetic(s->word, u, v));
            else b.y.i[i] = compare(s->word, u < v, u == v, u > v);
        } else {
            int order = compare_elements(b.from, x, p, z, q);
            b.y.i[i] = s->word >= AND ? logic(s->word, x.i[p], z.i[q]) : compare(s->word, order < 0, order == 0, order > 0);
        }
    }
}
static void where_check(loader *l) {
    arity(l, 3, 3); need_dtype(l, 0, in_value(l, 0)->dtype == MP_BOOL, "bool");
    need_dtype(l, 2, in_value(l, 1)->dtype == in_value(l, 2)->dtype, "the dtype of input 1");
    define_broadcast(l, in_value(l, 1)->dtype);
}
static void where_run(runner *r, const step *s) {
    io b = io_of(r, s); bool one[3]; column x[3];
    for (size_t k = 0; k < 3; k++) x[k] = operand(r, s, k, &one[k]);
    for (size_t i = 0; i < b.n; i++) {
        size_t k = x[0].i[one[0] ? i / b.out : i] ? 1 : 2;
        copy_elements(b.to, b.y, i, x[k], one[k] ? i / b.out : i, 1);
    }
}
/* -- linear -- */
enum { LANES = 8 };
#define EIGHT(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7)
/* Input k of a block rounded to the step's dtype: itself, or a copy. */
static const double *floats(runner *r, const step *s, size_t k) {
    const double *x = in_column(r, s, k).f; size_t n = r->rows * in_width(r, s, k);
    if (!s->f32 || input_of(r, s, k)->dtype == MP_F32) return x;
    double *copy = take(r->c, r->a, n, sizeof *copy);
    for (size_t i = 0; i < n; i++) copy[i] = to_f32(x[i]);
    return copy;
}
#ifndef MODELPORT_NN /* which has its own, for quantized weights too */
static void linear_check(loader *l) { /* t[0] bias, t[1] weight */
    mp_dtype dtype = one_float(l); tensor *weight = &l->step->t[1];
    tensor_attribute(l, "weight", (int)dtype, 2, true, weight); need_columns(l, "weight", weight);
    if (tensor_attribute(l, "bias", (int)dtype, 1, false, &l->step->t[0])) need_count(l, "bias", &l->step->t[0], weight->dims[0]);
    define_last(l, dtype, weight->dims[0]); set_work_each(l, weight->dims[1]);
}
static void linear_run(runner *r, const step *s) {
    const double *x = floats(r, s, 0), *bias = s->t[0].data.f, *weight; double *y = io_of(r, s).y.f;
    size_t n = r->rows * before_last(input_of(r, s, 0)), out = s->t[1].dims[0], in = s->t[1].dims[1], k;
    for (size_t i = 0; i < n; i++, x += in)
        for (k = 0, weight = s->t[1].data.f; k < out; k += LANES) {
            double sums[LANES] = {0}; size_t most = out - k < LANES ? out - k : LANES; /* side by side */
            for (size_t j = 0; j < in; j++) for (size_t q = 0; q < most; q++) sums[q] += x[j] * weight[q * in + j];
            for (size_t q = 0; q < most; q++, weight += in) *y++ = rounded(s->f32, sums[q] + (bias ? bias[k + q] : 0));
        }
}
#endif
/* -- softmax, log_softmax, normalize -- */
static void softmax_check(loader *l) { define_alike(l, one_float(l)); set_work_each(l, COSTLY); }
static void log_softmax_check(loader *l) { softmax_check(l); }
/* The position of the largest or least element; the first NaN wins. */
static size_t find_extreme(const double *x, size_t n, bool least) {
    size_t best = 0;
    for (size_t j = 1; j < n && !is_nan(x[best]); j++)
        if (is_nan(x[j]) || (least ? x[j] < x[best] : x[j] > x[best])) best = j;
    return best;
}
/* y_j = x_j - max; returns the sum of exp(y_j). */
static double shift_row(const row *w) {
    double sum = 0, most = w->n ? w->x[find_extreme(w->x, w->n, false)] : 0;
    for (size_t j = 0; j < w->n; j++) sum += rounded(w->f32, exp(w->y.f[j] = rounded(w->f32, w->x[j] - most)));
    return rounded(w->f32, sum);
}
static void softmax_map(const row *w) {
    double sum = shift_row(w);
    for (size_t j = 0; j < w->n; j++) w->y.f[j] = rounded(w->f32, exp(w->y.f[j])) / sum;
}
static void log_softmax_map(const row *w) {
    double logarithm = rounded(w->f32, log(shift_row(w)));
    for (size_t j = 0; j < w->n; j++) w->y.f[j] -= logarithm;
}
enum { L1, L2, LARGEST_NORM };
/* word: norm */
static void normalize_check(loader *l) { define_alike(l, one_float(l)); l->step->word = choice(l, "norm", "l1 l2 max", REQUIRED); }
static double norm_of(int norm, const double *x, size_t n) {
    double sum = 0;
    for (size_t j = 0; j < n; j++) {
        double a = fabs(x[j]);
        if (norm == LARGEST_NORM) sum = is_nan(sum) || a <= sum ? sum : a;
        else sum += norm == L1 ? a : a * a;
    }
    return norm == L2 ? sqrt(sum) : sum;
}
static void normalize_map(const row *w) {
    double norm = rounded(w->f32, norm_of(w->s->word, w->x, w->n));
    for (size_t j = 0; j < w->n; j++) w->y.f[j] = norm == 0 ? w->x[j] : w->x[j] / norm;
}
/* -- reduce, two_class -- */
enum { R_SUM, R_PROD, R_MEAN, R_MIN, R_MAX, R_L2, R_LOGSUMEXP, R_ARGMAX, R_ARGMIN };
static void reduce_axes_check(loader *l, mp_dtype dtype, bool keep); /* of modelport_nn.c */
static void reduce_axes(runner *r, const step *s);
static void reduce_check(loader *l) { /* word: fn */
    mp_dtype dtype = one_float(l); bool keep = flag(l, "keep", false);
    int fn = l->step->word = choice(l, "fn", "sum prod mean min max l2 logsumexp argmax argmin", REQUIRED); mp_dtype to = fn >= R_ARGMAX ? MP_I64 : dtype;
    if (in_value(l, 0)->width == 0) refuse(l->c, "It reduces rows without elements.");
    if (attribute(l, "axes")) reduce_axes_check(l, to, keep);
    else { need_row(l, 0); define(l, to, keep, 1); }
    set_work(l, in_value(l, 0)->width, fn == R_LOGSUMEXP ? COSTLY : 0);
}
static void reduce_map(const row *w) {
    int fn = w->s->word; size_t best = find_extreme(w->x, w->n, fn == R_MIN || fn == R_ARGMIN);
    double sum = fn == R_PROD, m = w->x[best];
    for (size_t j = 0; j < w->n; j++) {
        double x = w->x[j];
        if (fn == R_PROD) sum *= x;
        else sum += fn == R_L2 ? x * x : fn == R_LOGSUMEXP ? exp(x - m) : x;
    }
    if (fn >= R_ARGMAX) *w->y.i = (int64_t)best;
    else if (fn == R_MIN || fn == R_MAX || (fn == R_LOGSUMEXP && isinf(m))) *w->y.f = m;
    else *w->y.f = fn == R_MEAN ? sum / (double)w->n : fn == R_L2 ? sqrt(sum) : fn == R_LOGSUMEXP ? m + log(sum) : sum;
}
static void reduce_run(runner *r, const step *s) { (s->plan ? reduce_axes : map_rows)(r, s); }
static void two_class_check(loader *l) {
    mp_dtype dtype = one_float_row(l);
    if (in_value(l, 0)->width != 1) refuse(l->c, "Its input has rows of %zu elements; 1 is needed.", in_value(l, 0)->width);
    define(l, dtype, 1, 2);
}
static void two_class_map(const row *w) { w->y.f[0] = 1 - *w->x; w->y.f[1] = *w->x; }
/* -- take -- */
static void take_check(loader *l) { /* t[0] table; size: elements per index */
    need_dtype(l, 0, is_integer(only_input(l)), "integers");
    tensor t = l->step->t[0] = read_tensor(l, need(l, l->json, "table"), ANY_DTYPE, "table");
    if (t.rank != 1 && t.rank != 2) refuse(l->c, "Its table has rank %d; 1 or 2 is needed.", t.rank);
    if (t.rank == 2 && in_value(l, 0)->width != 1) refuse(l->c, "Its table has rank 2, which takes one index per row.");
    l->step->size = t.rank == 2 ? t.dims[1] : 1;
    if (t.rank == 1) define_alike(l, t.dtype);
    else define(l, t.dtype, 1, t.dims[1]);
}
static void take_run(runner *r, const step *s) {
    io b = io_of(r, s);
    for (size_t i = 0; i < r->rows * b.in; i++) {
        int64_t k = b.x.i[i];
        if (k < 0 || (uint64_t)k >= s->t[0].dims[0]) refuse_row(r, s, i / b.in, "the index %" PRId64 " is outside the table of %zu.", k, s->t[0].dims[0]);
        copy_elements(b.to, b.y, i * s->size, s->t[0].data, (size_t)k * s->size, s->size);
    }
}
/* ==== 6 Trees ===================================================================================================== */

/* Nodes are packed so that a step needs no branch: children stand side by side, `delta` places behind their parent, and a
 * row goes to the second unless x <= threshold. A leaf has delta 0 and reads a column of -infinity, so that it steps to
 * itself; its threshold is the number of its row in the table. `x < t` is `x <= the number before t`.
 * Columns of a row of d: 0..d-1 are x, in which NaN goes right; d is -infinity; d+1..2d are x with -infinity for NaN, which
 * goes left. Places are chosen so that a pair shares a cache line with the pairs below it. */
typedef struct small_node { float threshold; uint32_t link; } small_node; /* link: delta << 10 | column */
typedef struct large_node { double threshold; uint32_t column, delta; } large_node;
enum { COLUMN_BITS = 10, SMALL_COLUMNS = 1 << COLUMN_BITS, SMALL_PLACES = 1 << (32 - COLUMN_BITS) };
enum { NAN_ERROR, NAN_LEFT, NAN_RIGHT, NAN_NODE };
#define CATEGORICAL UINT32_C(0x80000000) /* a flag of large_node.column; the threshold is the number of a set */
typedef struct forest {
    bool              f32, lt, acc32, mean, by_value; /* x rounded to f32; cmp; dtype of the sum; walk node by node, see below */
    int               missing;
    size_t            d, columns, trees, leaf_width, width;
    const small_node *small; /* one of the two is not NULL */
    const large_node *large;
    const uint32_t   *root, *depth, *target; /* [trees] place of the root; least depth of a leaf; column of the sum (leaf_width 1) */
    const double     *table, *init;          /* [k, leaf_width]; [width] */
    const int64_t    *set_start, *set;       /* set s is set[set_start[s]] .. set[set_start[s + 1] - 1] */
    const struct quick *quick;               /* of modelport_fast.c: how it answers blocks of rows, or NULL */
} forest;
/* The attributes while a forest is packed. Nodes are numbered in preorder: the left child of i is i + 1. */
typedef struct planting {
    loader  *l;
    forest  *f;
    tensor   start, feature, threshold, right, missing_left, category;
    size_t   nodes, inner, leaves;
    uint32_t *right_of;       /* [nodes] the right child, from the tree's root; 0: it is a leaf */
    uint32_t *place, *stack;  /* [nodes] from the tree's root; [2 x nodes of the largest tree + 4] */
    const int64_t *leaf;      /* [leaves] row of the table; NULL: the leaf's own number */
} planting;
static size_t tree_start(const planting *p, size_t t) { return t < p->f->trees ? (size_t)p->start.data.i[t] : p->nodes; }
static bool is_leaf(const planting *p, size_t node) { return p->feature.data.i[node] < 0; }
/* Checks that a tree, which begins with inner node *k, is one preorder, and finds the least depth of its leaves. */
static uint32_t check_tree(planting *p, size_t t, size_t *k) {
    size_t first = tree_start(p, t), end = tree_start(p, t + 1), open = 1;
    uint32_t least = UINT32_MAX, *ends = p->stack; /* of the subtrees that are open: where they end, and how deep they begin */
    ends[0] = (uint32_t)(end - first); ends[1] = 0;
    for (size_t i = first; i < end; i++) {
        uint32_t *top = ends + 2 * (open - 1), here = (uint32_t)(i - first), level = top[1];
        if (is_leaf(p, i)) {
            if (top[0] != here + 1) refuse(p->l->c, "Node %u of tree %zu is a leaf where its subtree has to go on.", here, t);
            if (level < least) least = level;
            p->right_of[i] = 0; open--; continue;
        }
        int64_t right = p->right.data.i[(*k)++];
        if (right <= (int64_t)here + 1 || right >= (int64_t)top[0]) refuse(p->l->c, "Node %u of tree %zu has no right child in its subtree.", here, t);
        top[1] = top[3] = level + 1; top[2] = p->right_of[i] = (uint32_t)right; open++;
    }
    return least;
}
/* Chooses the places of a tree's nodes: the root at 0, and pairs of children behind it, as many generations in one line of
 * `line` pairs as fit. Returns the number of places. */
static size_t lay_out(planting *p, size_t t, size_t line) {
    size_t first = tree_start(p, t), next = 2, waiting = 1; uint32_t *place = p->place + first; const uint32_t *right_of = p->right_of + first;
    place[0] = p->stack[0] = 0;
    while (waiting) {
        uint32_t near[2 * CACHE_LINE], head = 0, tail = 0;
        near[tail++] = p->stack[--waiting];
        if (!right_of[near[0]]) continue;
        size_t room = line - next / 2 % line;
        if (room < line && room <= line / 2) { next += 2 * room; room = line; }
        for (; head < tail && room; head++) {
            uint32_t left = near[head] + 1, right = right_of[near[head]];
            if (!right) continue;
            place[near[tail++] = left] = (uint32_t)next++; place[near[tail++] = right] = (uint32_t)next++; room--;
        }
        while (head < tail) p->stack[waiting++] = near[--tail];
    }
    return next;
}
/* The column that inner node k reads, which says where NaN goes, and its threshold for `x <= threshold`. */
static large_node inner_node(planting *p, size_t node, size_t k) {
    forest *f = p->f; size_t column = (size_t)p->feature.data.i[node];
    bool left = f->missing == NAN_LEFT || (f->missing == NAN_NODE && p->missing_left.data.i[k]); double t = p->threshold.data.f[k];
    if (f->lt) t = t == -INFINITY ? NAN : f->f32 ? (double)nextafterf((float)t, -INFINITY) : nextafter(t, -INFINITY);
    f->by_value |= left && is_nan(t); /* only then the column of -infinity would go right */
    large_node packed = {t, (uint32_t)(left ? f->d + 1 + column : column), 0};
    if (p->category.data.i && p->category.data.i[k] >= 0) {
        if (p->threshold.data.f[k] != 0) refuse(p->l->c, "Its inner node %zu has a category and a threshold that is not 0.", k);
        packed = (large_node){(double)p->category.data.i[k], packed.column | CATEGORICAL, 0}; f->by_value = true;
    }
    return packed;
}
/* Writes the nodes of a tree, which begins with inner node *k, to one of two arrays. */
static void pack_tree(planting *p, size_t t, size_t *k, small_node *small, large_node *large) {
    for (size_t i = tree_start(p, t), end = tree_start(p, t + 1); i < end; i++) {
        uint32_t place = p->place[i], leaf = is_leaf(p, i) ? (uint32_t)(i - *k) : 0;
        if (p->leaf && is_leaf(p, i)) leaf = (uint32_t)p->leaf[leaf];
        large_node n = {leaf, (uint32_t)p->f->d, 0};
        if (!is_leaf(p, i)) { n = inner_node(p, i, (*k)++); n.delta = p->place[i + 1] - place; }
        if (large) { large[place] = n; continue; }
        small[place] = (small_node){(float)n.threshold, n.delta << COLUMN_BITS | n.column};
        if (is_leaf(p, i)) memcpy(&small[place].threshold, &leaf, sizeof leaf); /* the bits of a tiny number */
    }
}
static void pack_forest(planting *p) {
    context *c = p->l->c; forest *f = p->f; bool small = f->f32 && f->columns <= SMALL_COLUMNS && !p->category.data.i;
    uint32_t *root = take(c, p->l->keep, f->trees, sizeof *root); size_t places = 0, largest = SIZE_MAX, node = 0;
    while (largest > SMALL_PLACES) { /* once more for large nodes if a tree is too large for small ones */
        node = small ? sizeof(small_node) : sizeof(large_node); places = largest = 0;
        for (size_t t = 0; t < f->trees; t++) {
            size_t n = lay_out(p, t, CACHE_LINE / node / 2), line = CACHE_LINE / node;
            root[t] = (uint32_t)places;
            if (n > largest) largest = n;
            places += (n + line - 1) / line * line;
            if (places > UINT32_MAX / 2) fail(c, MP_NO_MEMORY, "Its nodes do not fit into 31-bit places.");
        }
        if (!small) break;
        small = largest <= SMALL_PLACES;
    }
    void *nodes = memset(take_aligned(c, p->l->keep, places, node, CACHE_LINE), 0, places * node);
    for (size_t t = 0, k = 0; t < f->trees; t++)
        pack_tree(p, t, &k, small ? (small_node *)nodes + root[t] : NULL, small ? NULL : (large_node *)nodes + root[t]);
    f->small = small ? nodes : NULL; f->large = small ? NULL : nodes; f->root = root;
}
static void read_nodes(planting *p, mp_dtype dtype) {
    loader *l = p->l; forest *f = p->f;
    p->feature = integers_attribute(l, "feature", 1, -1, (int64_t)f->d - 1); p->nodes = p->feature.count;
    if (p->nodes > UINT32_MAX / 4) refuse(l->c, "It has more nodes than this reader counts.");
    p->start = integers_attribute(l, "start", 1, 0, (int64_t)p->nodes - 1); f->trees = p->start.count;
    if (f->trees == 0 || p->start.data.i[0] != 0) refuse(l->c, "Its attribute \"start\" does not begin with 0.");
    for (size_t t = 1; t < f->trees; t++)
        if (p->start.data.i[t] <= p->start.data.i[t - 1]) refuse(l->c, "Its attribute \"start\" does not ascend strictly at %zu.", t);
    for (size_t i = 0; i < p->nodes; i++) p->leaves += is_leaf(p, i);
    p->inner = p->nodes - p->leaves; p->threshold = counted(l, "threshold", dtype, p->inner);
    for (size_t k = 0; k < p->inner; k++)
        if (is_nan(p->threshold.data.f[k])) refuse(l->c, "Its threshold %zu is NaN.", k);
    p->right = counted_integers(l, "right", 0, (int64_t)p->nodes, p->inner);
    if (f->missing == NAN_NODE) p->missing_left = counted_integers(l, "missing_left", 0, 1, p->inner);
}
/* Ascending sets of categories. set_start gets the end of the last set behind it. */
static void read_sets(planting *p, arena *keep) {
    loader *l = p->l;
    if (!attribute(l, "category")) return;
    arena *passing = l->keep; l->keep = keep;
    tensor set = integers_attribute(l, "set", 1, 0, INT64_MAX); l->keep = passing;
    tensor start = integers_attribute(l, "set_start", 1, 0, (int64_t)set.count);
    p->category = counted_integers(l, "category", -1, (int64_t)start.count - 1, p->inner);
    int64_t *starts = take(l->c, keep, start.count + 1, sizeof *starts);
    for (size_t s = 0; s <= start.count; s++) starts[s] = s < start.count ? start.data.i[s] : (int64_t)set.count;
    if (starts[0] != 0) refuse(l->c, "Its category sets do not begin at 0.");
    for (size_t s = 0; s < start.count; s++) {
        if (starts[s] > starts[s + 1]) refuse(l->c, "Its attribute \"set_start\" does not ascend at %zu.", s);
        for (int64_t k = starts[s] + 1; k < starts[s + 1]; k++)
            if (set.data.i[k] <= set.data.i[k - 1]) refuse(l->c, "Its category set %zu does not ascend.", s);
    }
    p->f->set = set.data.i; p->f->set_start = starts;
}
static void read_leaves(planting *p, arena *keep) {
    loader *l = p->l; forest *f = p->f; mp_dtype acc = f->acc32 ? MP_F32 : MP_F64; tensor table; arena *passing = l->keep;
    f->width = f->leaf_width = attribute(l, "leaf_width") ? (size_t)whole(l, "leaf_width", 1, (int64_t)l->limits->row) : 1;
    set_work(l, f->trees, f->leaf_width); l->keep = keep;
    bool by_row = tensor_attribute(l, "leaf_table", (int)acc, 1, false, &table);
    if (!by_row) tensor_attribute(l, "leaf", (int)acc, 1, true, &table);
    l->keep = passing; f->table = table.data.f;
    if (by_row) {
        size_t rows = table.count / f->leaf_width;
        if (rows * f->leaf_width != table.count || rows > UINT32_MAX / 4) refuse(l->c, "Its leaf_table is not made of rows of %zu.", f->leaf_width);
        p->leaf = counted_integers(l, "leaf", 0, (int64_t)rows - 1, p->leaves).data.i;
    } else {
        need_count(l, "leaf", &table, product(l, p->leaves, f->leaf_width));
    }
    uint32_t *targets = take_zeroed(l->c, keep, f->trees, sizeof *targets); f->target = targets;
    if (!attribute(l, "class")) return;
    if (f->leaf_width != 1) refuse(l->c, "It has the attribute \"class\" and leaves of %zu elements; 1 is needed.", f->leaf_width);
    f->width = (size_t)whole(l, "size", 1, (int64_t)l->limits->row);
    tensor target = counted_integers(l, "class", 0, (int64_t)f->width - 1, f->trees);
    for (size_t t = 0; t < f->trees; t++) targets[t] = (uint32_t)target.data.i[t];
}
static void quicken(planting *p); /* of modelport_fast.c */
static void tree_ensemble_check(loader *l) {
    arena *keep = l->keep; mark before = mark_arena(l->scratch); forest *f = take_zeroed(l->c, keep, 1, sizeof *f);
    planting p = {.l = l, .f = f};
    arity(l, 1, 2); need_row(l, 0); need_float(l, 0);
    mp_dtype dtype = step_dtype(l);
    l->step->forest = f; f->f32 = dtype == MP_F32; f->lt = choice(l, "cmp", "le lt", 0);
    f->missing = choice(l, "missing", "error left right node", NAN_ERROR); f->acc32 = choice(l, "acc", "f64 f32", 0);
    f->mean = choice(l, "aggregate", "sum mean", 0); f->d = in_value(l, 0)->width;
    f->columns = f->missing == NAN_LEFT || f->missing == NAN_NODE ? 2 * f->d + 1 : f->d + 1;
    mp_dtype acc = f->acc32 ? MP_F32 : MP_F64;
    if (!l->memos) l->keep = l->scratch; /* the arrays only pass through */
    read_nodes(&p, dtype); read_sets(&p, keep); read_leaves(&p, keep); l->keep = keep;
    tensor init = {.count = 0};
    if (tensor_attribute(l, "init", (int)acc, 1, false, &init)) need_count(l, "init", &init, f->width);
    bool second = l->step->n_in == 2; f->init = init.data.f;
    if (second && f->init) refuse(l->c, "It has a second input and the attribute \"init\"; one of them begins the sum.");
    if (second) need_dtype(l, 1, in_value(l, 1)->dtype == acc && in_value(l, 1)->width == f->width, "a row of dtype acc, as wide as the output");
    define(l, acc, 1, f->width);
    size_t largest = 0;
    for (size_t t = 0; t < f->trees; t++)
        if (tree_start(&p, t + 1) - tree_start(&p, t) > largest) largest = tree_start(&p, t + 1) - tree_start(&p, t);
    p.place = take(l->c, l->scratch, p.nodes, sizeof *p.place); p.stack = take(l->c, l->scratch, 2 * largest + 4, sizeof *p.stack);
    uint32_t *depth = take(l->c, keep, f->trees, sizeof *depth); p.right_of = take(l->c, l->scratch, p.nodes, sizeof *p.right_of);
    for (size_t t = 0, k = 0; t < f->trees; t++) depth[t] = check_tree(&p, t, &k);
    f->depth = depth; pack_forest(&p); quicken(&p);
    if (keep != l->scratch) reset_arena(l->scratch, before);
}

/* -- walking -- */
static large_node node_at(const forest *f, size_t i) {
    if (f->large) return f->large[i];
    return (large_node){(double)f->small[i].threshold, f->small[i].link & (SMALL_COLUMNS - 1), f->small[i].link >> COLUMN_BITS};
}
static bool in_set(const forest *f, size_t s, double x) {
    if (!(x >= 0 && x < 0x1p63) || trunc(x) != x) return false;
    int64_t wanted = (int64_t)x, low = f->set_start[s], end = f->set_start[s + 1];
    for (int64_t high = end; low < high;) {
        int64_t middle = low + (high - low) / 2;
        if (f->set[middle] < wanted) low = middle + 1;
        else high = middle;
    }
    return low < end && f->set[low] == wanted;
}
/* One walk that looks at every value: for categories, and to find a NaN that a tree does not accept. */
static uint32_t walk_by_value(runner *r, const step *s, uint32_t i, const double *x, size_t row) {
    const forest *f = s->forest;
    for (large_node n; (n = node_at(f, i)).delta;) {
        size_t at = n.column & ~CATEGORICAL; bool left = at > f->d; double v = rounded(f->f32, x[left ? at - f->d - 1 : at]);
        if (!is_nan(v)) left = n.column & CATEGORICAL ? in_set(f, (size_t)n.threshold, v) : v <= n.threshold;
        else if (f->missing == NAN_ERROR) refuse_row(r, s, row, "%s", "a tree reads NaN, which this model does not accept.");
        i += n.delta + !left;
    }
    return i;
}
/* The row of the table that a leaf stands for. */
static uint32_t leaf_number(const forest *f, uint32_t node) {
    uint32_t number;
    if (!f->small) return (uint32_t)f->large[node].threshold;
    memcpy(&number, &f->small[node].threshold, sizeof number); return number;
}
static void add_leaf(const forest *f, size_t tree, const double *leaf, double *sum) {
    if (f->leaf_width == 1) sum += f->target[tree];
    for (size_t k = 0; k < f->leaf_width; k++) sum[k] = rounded(f->acc32, sum[k] + leaf[k]);
}
static const double *leaf_at(const forest *f, uint32_t node) { return f->table + (size_t)leaf_number(f, node) * f->leaf_width; }
/* The columns of a row, float or double as the nodes have it, `stride` apart. */
static void fill_columns(const forest *f, const double *x, void *columns, size_t stride) {
    float *small = columns; double *large = columns;
    for (size_t j = 0; j < f->columns; j++) {
        double v = j == f->d ? -INFINITY : x[j > f->d ? j - f->d - 1 : j];
        if (j > f->d && is_nan(v)) v = -INFINITY;
        if (f->small) small[j * stride] = (float)v;
        else large[j * stride] = rounded(f->f32, v);
    }
}
static size_t column_size(const forest *f) { return f->small ? sizeof(float) : sizeof(double); }
static uint32_t walk_row(const forest *f, uint32_t i, const void *columns) {
    const float *small = columns; const double *large = columns;
    for (const small_node *q; f->small && (q = f->small + i)->link >> COLUMN_BITS;)
        i += (q->link >> COLUMN_BITS) + !(small[q->link & (SMALL_COLUMNS - 1)] <= q->threshold);
    for (const large_node *q; f->large && (q = f->large + i)->delta;) i += q->delta + !(large[q->column] <= q->threshold);
    return i;
}
/* Of modelport_fast.c: answers rows from the first on, several at a time, and returns how many. */
static size_t run_lanes(runner *r, const forest *f, const double *x, double *y);
static void tree_ensemble_run(runner *r, const step *s) {
    const forest *f = s->forest; io b = io_of(r, s); const double *x = b.x.f; double *y = b.y.f; size_t d = f->d;
    for (size_t i = 0; i < b.n; i++) y[i] = s->n_in == 2 ? in_column(r, s, 1).f[i] : f->init ? f->init[i % f->width] : 0.0;
    for (size_t i = 0; i < r->rows; i++) {
        bool careful = f->by_value;
        for (size_t j = 0; f->missing == NAN_ERROR && j < d; j++) careful |= is_nan(x[i * d + j]); /* is it one that is read? */
        for (size_t t = 0; careful && t < f->trees; t++) {
            uint32_t node = walk_by_value(r, s, f->root[t], x + i * d, i);
            if (f->by_value) add_leaf(f, t, leaf_at(f, node), y + i * f->width);
        }
    }
    size_t done = f->by_value ? r->rows : run_lanes(r, f, x, y); void *columns = take(r->c, r->a, f->columns, column_size(f));
    for (size_t i = done; i < r->rows; i++) {
        fill_columns(f, x + i * d, columns, 1);
        for (size_t t = 0; t < f->trees; t++) add_leaf(f, t, leaf_at(f, walk_row(f, f->root[t], columns)), y + i * f->width);
    }
    for (size_t i = 0; f->mean && i < b.n; i++) y[i] = rounded(f->acc32, y[i] / (double)f->trees);
}

/* ==== 7 Model ===================================================================================================== */

#define RUN(op) {#op, op##_check, op##_run, NULL, false}
#define RUN_IN_PLACE(op) {#op, op##_check, op##_run, NULL, true}
#define MAP(op) {#op, op##_check, map_rows, op##_map, false}
#define BOTH(op) {#op, op##_check, op##_run, op##_map, false}
#ifdef MODELPORT_MORE /* ops of the profiles kernel, text and solver */
#include "modelport_more.c"
#else
#define MORE_OPS
#endif
#ifdef MODELPORT_NN /* ops of profile nn, and what its rows need: named lengths, rank 2 and more, quantized and sparse tensors */
#include "modelport_nn.c"
#else
#define NN_OPS
/* Stands for a function of modelport_nn.c. */
#define LACKS(type, name, arguments, c) \
    static type name arguments { fail(c, MP_UNSUPPORTED, "It needs modelport_nn.c, for a length, rows or a tensor that only profile nn has."); }
LACKS(void *, take_from_pool, (context *c, pool *p, bool lasting, size_t bytes, size_t align), ((void)p, (void)lasting, (void)bytes, (void)align, c))
LACKS(void, read_encoded, (loader *l, const json *data, const json *scale, const json *mask, bool quantized, tensor *t),
      ((void)data, (void)scale, (void)mask, (void)quantized, (void)t, l->c))
LACKS(column, spread_operand, (runner *r, const step *s, size_t k), ((void)s, (void)k, r->c))
LACKS(void, reduce_axes_check, (loader *l, mp_dtype dtype, bool keep), ((void)dtype, (void)keep, l->c))
LACKS(void, reduce_axes, (runner *r, const step *s), ((void)s, r->c))
LACKS(void, read_lengths, (loader *l, const json *lengths), ((void)lengths, l->c))
LACKS(void, keep_attributes, (loader *l, const json *object, size_t index), ((void)object, (void)index, l->c))
LACKS(const plan *, specialise, (context *c, arena *a, const mp_model *m, size_t *lengths), ((void)a, (void)m, (void)lengths, c))
#endif
#ifdef MODELPORT_FAST /* the same answers sooner */
#include "modelport_fast.c"
#else
static void quicken(planting *p) { (void)p; }
static void join_steps(loader *l) { (void)l; }
static void hash_keys(loader *l, directory *d) { (void)l, (void)d; }
static ptrdiff_t find_hashed(const directory *d, column x, size_t i) { return find(d, x, i); }
static size_t run_lanes(runner *r, const forest *f, const double *x, double *y) { (void)r, (void)f, (void)x, (void)y; return 0; }
#endif
static const op OPS[] = {
    RUN(concat), RUN(select), RUN(cast), RUN(constant), RUN(impute), RUN(is_missing), RUN(lookup), RUN(onehot),
    MAP(scale), MAP(clip), RUN_IN_PLACE(unary), RUN(binary), RUN(where), RUN(linear), MAP(softmax), MAP(log_softmax), MAP(normalize),
    BOTH(reduce), MAP(two_class), RUN(take), RUN(tree_ensemble),
    MORE_OPS
    NN_OPS
};
enum { BLOCK_ELEMENTS = 1 << 20, NEAR_ELEMENTS = 1 << 17 /* stay in the cache */, LEAST_ROWS = 8, LARGEST_BLOCK_ROWS = 2048, FOREST_ROWS = 16384 /* a tree's nodes come to the cache once for a block */, DEEPEST = 512 };
static const op *find_op(mp_string name) {
    for (size_t i = 0; i < LENGTH(OPS); i++) if (same_string(name, literal(OPS[i].name))) return &OPS[i];
    return NULL;
}

/* -- loading -- */
/* The objects of an array, which holds nothing else. */
static const json *need_objects(loader *l, const json *root, const char *key) {
    const json *array = need_kind(l, root, key, J_ARRAY, "an array");
    if (array->kinds & ~(unsigned)J_OBJECT) refuse(l->c, "The key \"%s\" holds something that is not an object.", key);
    return array;
}
static void check_header(loader *l, const json *root) {
    if (!same_string(need_string(l, root, "format"), literal("modelport"))) refuse(l->c, "Its format is not \"modelport\".");
    mp_string version = need_string(l, root, "version"); size_t major = 0, i;
    while (major < version.size && is_digit(version.data[major])) major++;
    bool well_formed = major > 0 && major + 1 < version.size && version.data[major] == '.';
    for (i = major + 1; well_formed && i < version.size; i++) well_formed = is_digit(version.data[i]);
    if (!well_formed) refuse(l->c, "Its version %s is not \"1.\" and a number.", quote(version).text);
    if (major != 1 || version.data[0] != '1') fail(l->c, MP_UNSUPPORTED, "Its version is %s; this reader knows version 1.", quote(version).text);
}
/* Fills listed[] with what `requires` names; names all that are not implemented. */
static void check_requires(loader *l, const json *root, bool listed[LENGTH(OPS)]) {
    size_t n, used = 0; const mp_string *names = read_strings(l, l->scratch, need(l, root, "requires"), &n); char unknown[320] = "";
    directory d = new_directory(l->c, l->scratch, MP_STR, (column){(void *)names}, n);
    if (find_twice(&d) != NOT_FOUND) refuse(l->c, "The key \"requires\" lists %s twice.", quote(names[find_twice(&d)]).text);
    for (size_t i = 0; i < n; i++)
        if (!find_op(names[i]) && used < sizeof unknown - 70) used += (size_t)sprintf(unknown + used, "%s%s", used ? ", " : "", quote(names[i]).text);
    if (used) fail(l->c, MP_UNSUPPORTED, "It requires what this reader does not implement: %s.", unknown);
    for (size_t i = 0; i < n; i++) listed[find_op(names[i]) - OPS] = true;
}
static void load_features(loader *l, const json *features, mp_input *in) {
    size_t n;
    in->features = read_strings(l, l->keep, features, &n);
    if (in->rank != 1 || in->lengths || n != in->width) refuse(l->c, "It has %zu features for rows of %zu elements.", n, in->width);
    directory d = new_directory(l->c, l->scratch, MP_STR, (column){(void *)in->features}, n);
    if (find_twice(&d) != NOT_FOUND) refuse(l->c, "Two of its features are %s.", quote(in->features[find_twice(&d)]).text);
}
/* The row shape of an input; the place of a name among the lengths, or NOT_FOUND, stands in the model's axes. */
static void load_shape(loader *l, const json *shape, mp_input *in) {
    mp_model *m = l->model; const char *at = shape->text + 1; size_t n = shape->count, *dims = take_zeroed(l->c, l->keep, MAX_RANK, sizeof *dims);
    if (n > MAX_RANK || (shape->kinds & ~(unsigned)(J_NUMBER | J_STRING))) refuse(l->c, "Its shape is not made of up to %d lengths and names.", MAX_RANK);
    mp_string *names = shape->kinds & J_STRING ? take_zeroed(l->c, l->keep, n, sizeof *names) : NULL; size_t width = 1; bool empty = false;
    in->rank = (int)n; in->shape = dims; in->lengths = names;
    for (size_t k = 0; k < n; k++) {
        int64_t length = -1; ptrdiff_t name = NOT_FOUND; const char *stop;
        while (*at != '"' && *at != '-' && !is_digit(*at)) at++;
        if (*at == '"') {
            names[k] = keep_string(l->c, l->keep, read_string(l->c, l->scratch, at, &stop)); name = find_name(&m->by_length, names[k]);
            if (name == NOT_FOUND || names[k].size == 0) refuse(l->c, "The length %s of its shape is not among \"lengths\".", quote(names[k]).text);
            length = (int64_t)m->plan.lengths[name]; l->named[name] = true;
        } else if (!read_integer(at, shape->end, &stop, &length) || length < 0 || (uint64_t)length > SIZE_MAX / 2) {
            refuse(l->c, "Its shape is not made of non-negative integers and names.");
        }
        at = stop; dims[k] = (size_t)length; empty |= length == 0; m->axes[in - m->inputs][k] = name;
    }
    for (size_t k = 0; k < n; k++) width = empty ? 0 : product(l, width, dims[k]);
    in->width = width;
}
static void load_input(loader *l, const json *object, mp_input *in) {
    in->name = keep_string(l->c, l->keep, need_string(l, object, "name")); locate(l->c, "input %s", quote(in->name).text);
    if (in->name.size == 0) refuse(l->c, "Its name is empty.");
    in->dtype = dtype_named(l, need_string(l, object, "dtype"));
    if (is_integer(in->dtype) && in->dtype != MP_I64) refuse(l->c, "Its dtype is %s; f64, f32, i64, bool or str is needed.", DTYPES[in->dtype].name);
    load_shape(l, need_kind(l, object, "shape", J_ARRAY, "an array"), in);
    const json *features = member(object, "features");
    in->missing = member(object, "missing") ? (mp_missing)need_word(l, object, "missing", "error nan null") : MP_MISSING_ERROR;
    if ((in->missing == MP_MISSING_NAN && !is_float(in->dtype)) || (in->missing == MP_MISSING_NULL && in->dtype != MP_STR))
        refuse(l->c, "Its dtype %s cannot be missing as \"%s\".", DTYPES[in->dtype].name, in->missing == MP_MISSING_NAN ? "nan" : "null");
    if (features) load_features(l, features, in);
    refuse_unread(l->c, object);
}
/* Adds a value to the sums over all of them, which have limits. */
static void count_value(loader *l, size_t index) {
    plan *p = l->plan; size_t n = l->model->n_inputs; const step *s = index < n ? NULL : &p->steps[index - n];
    double counted = (double)p->values[index].counted; p->total += counted;
    if (s) { p->work += s->work; p->operations += s->work; p->strings += s->strings; }
    for (size_t k = 0; s && k <= s->n_in; k++) {
        const value *v = &p->values[k < s->n_in ? s->in[k] : index];
        p->operations += MOVED * (double)v->counted; if (v->dtype == MP_STR) p->strings += (double)v->counted;
    }
    if (p->total > (double)l->limits->total) refuse(l->c, "The values of one row have more than %zu elements together.", l->limits->total);
    if (p->work > (double)l->limits->multiplications) refuse(l->c, "One row takes more than %zu multiplications.", l->limits->multiplications);
}
/* Inputs, and the names of all values. */
static void load_names(loader *l, const json *inputs, const json *steps) {
    mp_model *m = l->model;
    m->n_inputs = inputs->count; m->n_steps = steps->count; m->n_values = m->n_inputs + m->n_steps;
    if (m->n_inputs == 0) refuse(l->c, "It has no input.");
    if (m->n_steps > l->limits->steps) refuse(l->c, "It has %zu steps, more than the limit of %zu.", m->n_steps, l->limits->steps);
    m->inputs = take_zeroed(l->c, l->keep, m->n_inputs, sizeof *m->inputs); m->axes = take_zeroed(l->c, l->keep, m->n_inputs, sizeof *m->axes);
    m->plan.steps = take_zeroed(l->c, l->keep, m->n_steps, sizeof *m->plan.steps);
    m->plan.values = take_zeroed(l->c, l->keep, m->n_values, sizeof *m->plan.values);
    mp_string *names = take(l->c, l->keep, m->n_values, sizeof *names); const json *object = inputs->child;
    for (size_t i = 0; i < m->n_inputs; i++, object = object->next) {
        load_input(l, object, &m->inputs[i]); m->plan.values[i].name = m->inputs[i].name;
        define_value(l, i, m->inputs[i].dtype, m->inputs[i].rank, m->inputs[i].shape); count_value(l, i);
    }
    locate(l->c, "%s", "");
    for (size_t k = 0; k < m->n_names; k++)
        if (!l->named[k]) refuse(l->c, "The length %s stands in the shape of no input.", quote(m->names[k]).text);
    object = steps->child;
    for (size_t i = 0; i < m->n_steps; i++, object = object->next) {
        locate(l->c, "step %zu", i); value *v = &m->plan.values[m->n_inputs + i];
        v->name = keep_string(l->c, l->keep, need_string(l, object, "out"));
        if (v->name.size == 0) refuse(l->c, "The name it defines is empty.");
    }
    locate(l->c, "%s", "");
    for (size_t i = 0; i < m->n_values; i++) names[i] = m->plan.values[i].name;
    m->by_name = new_directory(l->c, l->keep, MP_STR, (column){names}, m->n_values);
    if (find_twice(&m->by_name) != NOT_FOUND) refuse(l->c, "The name %s is defined twice.", quote(names[find_twice(&m->by_name)]).text);
}
/* Places of values in a block of rows, none above one that is needed at the same time. */
static void lay_out_values(loader *l) {
    typedef struct span { size_t first, end, until; } span; /* a value that is alive until a step has run */
    mp_model *m = l->model; plan *p = l->plan; size_t live = 0, *last; span *spans;
    p->places = take_zeroed(l->c, l->keep, m->n_values, sizeof *p->places);
    mark before = mark_arena(l->scratch);
    spans = take(l->c, l->scratch, m->n_values, sizeof *spans); last = take_zeroed(l->c, l->scratch, m->n_values, sizeof *last);
    for (size_t i = 0; i < m->n_steps; i++) for (size_t k = 0; k < p->steps[i].n_in; k++) last[p->steps[i].in[k]] = m->n_inputs + i;
    for (size_t k = 0; k < m->n_outputs; k++) last[m->sources[k]] = SIZE_MAX;
    for (size_t i = 0; i < m->n_values; i++) {
        const value *v = &p->values[i]; size_t n = v->width * element_size(v->dtype) / 8, at = 0, kept = 0, place = 0, same = SIZE_MAX;
        const step *s = i < m->n_inputs ? NULL : &p->steps[i - m->n_inputs];
        if (s && s->op->in_place && last[s->in[0]] == i) same = p->places[s->in[0]];
        for (size_t j = 0; j < live; j++)
            if (i < m->n_inputs || spans[j].until >= i) spans[kept++] = spans[j];
        live = kept;
        while (place < live && spans[place].first != same) place++;
        if (place < live && n && spans[place].end == same + n) { spans[place].until = last[i]; p->places[i] = same; continue; }
        place = 0;
        while (place < live && spans[place].first - at < n) at = spans[place++].end; /* the first gap that is wide enough */
        memmove(spans + place + 1, spans + place, (live++ - place) * sizeof *spans);
        spans[place] = (span){at, at + n, last[i]}; p->places[i] = at;
        if (at + n > p->alive) p->alive = at + n;
    }
    if (l->keep != l->scratch) reset_arena(l->scratch, before);
    size_t most = LARGEST_BLOCK_ROWS; for (size_t i = 0; i < m->n_steps; i++) if (p->steps[i].forest) most = FOREST_ROWS;
    size_t width = p->alive ? p->alive : 1, rows = BLOCK_ELEMENTS / width, near = NEAR_ELEMENTS / width;
    if (most == LARGEST_BLOCK_ROWS && near < most / LEAST_ROWS && rows > LEAST_ROWS) rows = near > LEAST_ROWS ? near : LEAST_ROWS; /* of wide rows fewer */
    p->block_rows = m->pool || rows == 0 ? 1 : rows < most ? rows : most;
}
static void load_step(loader *l, const json *object, size_t index, bool used[LENGTH(OPS)]) {
    mp_model *m = l->model; step *s = &m->plan.steps[index];
    l->step = s; l->json = object; s->out = m->n_inputs + index;
    mp_string name = need_string(l, object, "op"); s->op = find_op(name);
    locate(l->c, "step %s (%s)", quote(m->plan.values[s->out].name).text, quote(name).text);
    if (!s->op) refuse(l->c, "Its op is not listed in \"requires\".");
    used[s->op - OPS] = true;
    const mp_string *names = read_strings(l, l->scratch, need(l, object, "in"), &s->n_in);
    s->in = take(l->c, l->keep, s->n_in, sizeof *s->in);
    for (size_t k = 0; k < s->n_in; k++) {
        ptrdiff_t found = find_name(&m->by_name, names[k]);
        if (found == NOT_FOUND || (size_t)found >= s->out) refuse(l->c, "It reads %s, which nothing before it defines.", quote(names[k]).text);
        s->in[k] = (size_t)found;
    }
    if (m->n_names) l->memos = l->keep;
    s->op->check(l);
    refuse_unread(l->c, object); l->memos = NULL;
    if (m->n_names) keep_attributes(l, object, index);
}
static void load_steps(loader *l, const json *steps, const bool listed[LENGTH(OPS)]) {
    mp_model *m = l->model; bool used[LENGTH(OPS)] = {false}; const json *object = steps->child;
    for (size_t i = 0; i < m->n_steps; i++, object = object->next) { load_step(l, object, i, used); count_value(l, m->n_inputs + i); }
    locate(l->c, "%s", "");
    for (size_t i = 0; i < LENGTH(OPS); i++)
        if (used[i] != listed[i])
            refuse(l->c, listed[i] ? "\"requires\" lists \"%s\", which no step uses." : "\"requires\" lacks \"%s\", which a step uses.", OPS[i].name);
}
/* Gives an output the row shape of its value. */
static void shape_output(context *c, const mp_model *m, plan *p, size_t index) {
    mp_output *out = &p->outputs[index]; const value *v = &p->values[m->sources[index]];
    out->rank = v->rank; out->width = v->width; out->shape = v->dims;
    if (out->n_classes && out->rank && out->n_classes != last_axis(v))
        refuse(c, "Output %s: it has %zu classes for %zu elements.", quote(out->name).text, out->n_classes, last_axis(v));
}
static void load_classes(loader *l, const json *classes, mp_output *out) {
    if (classes->kind != J_ARRAY) refuse(l->c, "Its classes are not an array.");
    bool strings = !(classes->kinds & ~(unsigned)J_STRING), numbers = classes->kinds == J_NUMBER;
    bool booleans = classes->kinds && !(classes->kinds & ~(unsigned)J_BOOL);
    if (!strings && !numbers && !booleans) refuse(l->c, "Its classes are not all strings, all integers or all booleans.");
    size_t longest = l->longest; tensor t = read_tensor(l, classes, strings ? MP_STR : numbers ? MP_I64 : MP_BOOL, "classes");
    l->longest = longest; /* classes are no elements */
    out->n_classes = t.count; out->class_booleans = booleans;
    if (strings) out->class_strings = t.data.s;
    else out->class_integers = t.data.i;
}
static void load_output(loader *l, const json *object, size_t index) {
    mp_model *m = l->model; mp_output *out = &m->plan.outputs[index];
    out->name = keep_string(l->c, l->keep, need_string(l, object, "name")); locate(l->c, "output %s", quote(out->name).text);
    if (out->name.size == 0) refuse(l->c, "Its name is empty.");
    mp_string from = need_string(l, object, "from"); ptrdiff_t found = find_name(&m->by_name, from);
    if (found == NOT_FOUND) refuse(l->c, "It comes from %s, which nothing defines.", quote(from).text);
    const value *v = &m->plan.values[found];
    m->sources[index] = (size_t)found; out->dtype = dtype_named(l, need_string(l, object, "dtype"));
    if (v->dtype != out->dtype) refuse(l->c, "It is declared %s, but %s is %s.", DTYPES[out->dtype].name, quote(from).text, DTYPES[v->dtype].name);
    need_word(l, object, "role", "prediction probability score transform cluster anomaly");
    out->role = keep_string(l->c, l->keep, need_string(l, object, "role"));
    const json *classes = member(object, "classes");
    if (classes) load_classes(l, classes, out);
    shape_output(l->c, m, &m->plan, index); refuse_unread(l->c, object);
}
static void load_outputs(loader *l, const json *outputs) {
    mp_model *m = l->model; m->n_outputs = outputs->count;
    if (m->n_outputs == 0) refuse(l->c, "It has no output.");
    m->plan.outputs = take_zeroed(l->c, l->keep, m->n_outputs, sizeof *m->plan.outputs);
    m->sources = take(l->c, l->keep, m->n_outputs, sizeof *m->sources);
    mp_string *names = take(l->c, l->keep, m->n_outputs, sizeof *names); const json *object = outputs->child;
    for (size_t i = 0; i < m->n_outputs; i++, object = object->next) { load_output(l, object, i); names[i] = m->plan.outputs[i].name; }
    locate(l->c, "%s", ""); m->by_output = new_directory(l->c, l->keep, MP_STR, (column){names}, m->n_outputs);
    if (find_twice(&m->by_output) != NOT_FOUND) refuse(l->c, "Two outputs are named %s.", quote(names[find_twice(&m->by_output)]).text);
}

/* -- vectors -- */
/* The rows of an input or output of a declared dtype and rank; all have the same number (*rows, SIZE_MAX before the first). */
static tensor read_rows(loader *l, const json *given, mp_dtype dtype, int rank, size_t *rows) {
    locate(l->c, "the vectors of %s", quote(given->key).text);
    tensor t = read_tensor(l, given, (int)dtype, "its tensor");
    if (t.dtype != dtype) refuse(l->c, "They are %s; %s is needed.", DTYPES[t.dtype].name, DTYPES[dtype].name);
    if (t.rank != 1 + rank) refuse(l->c, "They have rank %d; %d is needed.", t.rank, 1 + rank);
    if (*rows != SIZE_MAX && t.dims[0] != *rows) refuse(l->c, "There are %zu rows, elsewhere %zu.", t.dims[0], *rows);
    *rows = t.dims[0]; return t;
}
/* Holds the row shape of an input's rows against its declaration; lengths [names] are SIZE_MAX until they are known. */
static void bind_shape(context *c, const mp_model *m, size_t input, const size_t *dims, size_t *lengths) {
    const mp_input *in = &m->inputs[input];
    for (int k = 0; k < in->rank; k++) {
        ptrdiff_t name = m->axes[input][k]; size_t *wanted = &lengths[name == NOT_FOUND ? 0 : name];
        if (name == NOT_FOUND && dims[k] != in->shape[k]) refuse(c, "Input %s: axis %d of its rows has %zu elements; %zu are needed.", quote(in->name).text, k, dims[k], in->shape[k]);
        if (name == NOT_FOUND) continue;
        if (*wanted == SIZE_MAX) *wanted = dims[k];
        if (dims[k] == 0) refuse(c, "Input %s: the length %s is 0; 1 is the least.", quote(in->name).text, quote(m->names[name]).text);
        if (dims[k] != *wanted)
            refuse(c, "Input %s: the length %s is %zu, elsewhere %zu.", quote(in->name).text, quote(m->names[name]).text, dims[k], *wanted);
    }
}
/* The plan for lengths: the model's own for those of its examples. */
static const plan *plan_for(context *c, arena *a, const mp_model *m, size_t *lengths) {
    bool same = !m->n_names || memcmp(lengths, m->plan.lengths, m->n_names * sizeof *lengths) == 0;
    return same ? &m->plan : specialise(c, a, m, lengths);
}
static size_t *unknown_lengths(context *c, arena *a, const mp_model *m) {
    return memset(take(c, a, m->n_names + 1, sizeof(size_t)), 0xff, (m->n_names + 1) * sizeof(size_t)); /* SIZE_MAX each */
}
static void read_tolerance(loader *l, const json *given, tolerance *t) {
    const char *stop;
    l->what = "tolerance";
    if (given->kind == J_STRING && same_string(string_of(l->c, l->scratch, given), literal("exact"))) return;
    const json *atol = member(given, "atol"), *rtol = member(given, "rtol"), *ulp = member(given, "ulp"); /* of a string: none */
    int64_t ulps = 0; bool bound = atol && rtol && !ulp && atol->kind == J_NUMBER && rtol->kind == J_NUMBER;
    bool units = ulp && !atol && !rtol && ulp->kind == J_NUMBER && read_integer(ulp->text, ulp->end, &stop, &ulps) && ulps >= 0 && ulps < INT64_C(1) << 53;
    if (bound) *t = (tolerance){BOUND, read_number(atol->text, atol->end, &stop), read_number(rtol->text, rtol->end, &stop), 0};
    else if (units) *t = (tolerance){ULPS, 0, 0, (uint64_t)ulps};
    if (!(bound || units) || !(t->atol >= 0 && t->rtol >= 0))
        refuse(l->c, "A tolerance is not \"exact\", {\"atol\", \"rtol\"} or {\"ulp\"} with numbers from 0.");
    refuse_unread(l->c, given);
}
/* The inputs and outputs of one set of rows. */
static void read_set(loader *l, const json *object, vectors *v) {
    const mp_model *m = l->model;
    const json *inputs = need_kind(l, object, "inputs", J_OBJECT, "an object"), *reasons = member(object, "rows");
    const json *outputs = need_kind(l, object, "outputs", J_OBJECT, "an object");
    v->rows = SIZE_MAX; v->inputs = take_zeroed(l->c, l->keep, m->n_inputs, sizeof *v->inputs);
    v->expected = take_zeroed(l->c, l->keep, m->n_outputs, sizeof *v->expected); v->lengths = unknown_lengths(l->c, l->keep, m);
    for (const json *t = inputs->child; t; t = t->next) {
        ptrdiff_t i = find_name(&m->by_name, t->key);
        if (i == NOT_FOUND || (size_t)i >= m->n_inputs) refuse(l->c, "%s is not one of the inputs.", quote(t->key).text);
        v->inputs[i] = read_rows(l, t, m->inputs[i].dtype, m->inputs[i].rank, &v->rows);
        bind_shape(l->c, m, (size_t)i, v->inputs[i].dims + 1, v->lengths);
    }
    if (inputs->count != m->n_inputs || outputs->count != m->n_outputs) refuse(l->c, "It lacks an input or an output.");
    mark before = mark_arena(l->scratch); const plan *p = plan_for(l->c, l->scratch, m, v->lengths);
    for (const json *t = outputs->child; t; t = t->next) {
        ptrdiff_t i = find_name(&m->by_output, t->key);
        if (i == NOT_FOUND) refuse(l->c, "%s is not one of the outputs.", quote(t->key).text);
        const mp_output *o = &p->outputs[i]; tensor x = v->expected[i] = read_rows(l, t, o->dtype, o->rank, &v->rows);
        for (int k = 0; k < o->rank; k++)
            if (x.dims[1 + k] != o->shape[k]) refuse(l->c, "Axis %d of its rows has %zu elements; %zu are needed.", k, x.dims[1 + k], o->shape[k]);
    }
    v->operations = (double)v->rows * p->operations; v->strings = (double)v->rows * p->strings; locate(l->c, "verification");
    if (l->keep != l->scratch) reset_arena(l->scratch, before);
    if (reasons && (reasons->kind != J_ARRAY || (reasons->kinds & ~(unsigned)J_STRING) || reasons->count != v->rows))
        refuse(l->c, "Its key \"rows\" is not one string per row.");
}
/* A `verification` object. limit is that of carried rows. */
static vectors *read_vectors(loader *l, const json *object, size_t limit) {
    const mp_model *m = l->model;
    locate(l->c, "verification");
    if (object->kind != J_OBJECT) refuse(l->c, "It is not an object.");
    const json *more = member(object, "more") ? need_objects(l, object, "more") : NULL; size_t sets = 1 + (more ? more->count : 0), rows = 0;
    if (sets == 1 && more) refuse(l->c, "Its key \"more\" is empty.");
    vectors *v = take_zeroed(l->c, l->keep, sets, sizeof *v);
    need_word(l, object, "source", "synthetic sample");
    const json *tolerances = need_kind(l, object, "tolerance", J_OBJECT, "an object"), *next = more ? more->child : NULL;
    v->sets = sets; v->tolerances = take_zeroed(l->c, l->keep, m->n_outputs, sizeof *v->tolerances);
    for (const json *t = tolerances->child; t; t = t->next) {
        ptrdiff_t i = find_name(&m->by_output, t->key);
        if (i == NOT_FOUND) refuse(l->c, "There is a tolerance for %s, which is not one of the outputs.", quote(t->key).text);
        read_tolerance(l, t, &v->tolerances[i]);
    }
    if (tolerances->count != m->n_outputs) refuse(l->c, "It lacks a tolerance.");
    for (size_t k = 0; k < sets; k++) {
        const json *set = k ? next : object;
        read_set(l, set, &v[k]); refuse_unread(l->c, set);
        if (v[k].rows == 0 || v[k].rows > limit - rows) refuse(l->c, "It has %zu rows; 1 to %zu are needed in all sets.", v[k].rows + rows, limit);
        rows += v[k].rows;
        if (k) next = next->next;
    }
    v->total = rows; locate(l->c, "%s", ""); return v;
}
/* Refuses rows that take too long to replay, for a document of so many bytes. */
static void limit_operations(loader *l, const vectors *v, size_t bytes) {
    double all = 0, most = (double)l->limits->work + 4096.0 * (double)bytes;
    for (size_t k = 0; k < v->sets; k++) all += v[k].operations + v[k].strings * (double)l->longest;
    if (all > most) refuse(l->c, "Replaying the carried rows takes %.0f operations, more than the limit of %.0f (%zu, and 4096 for every byte of the document).",
                           all, most, l->limits->work);
}

/* -- predicting -- */
static mp_string feed_name(const mp_feed *f) { return f->name_size || !f->name ? (mp_string){f->name, f->name_size} : literal(f->name); }
/* Rows of tensors as a feed. */
static mp_feed feed_of(mp_string name, const tensor *t) {
    mp_feed f = {.name = name.size ? name.data : "", .name_size = name.size, .rows = t->dims[0], .width = 1, .rank = t->rank - 1, .shape = t->dims + 1};
    for (int k = 1; k < t->rank; k++) f.width *= t->dims[k]; /* its elements have been counted, but for a 0 */
    if (t->dtype == MP_STR) f.strings = t->data.s;
    else if (is_float(t->dtype)) f.numbers = t->data.f;
    else f.integers = t->data.i;
    return f;
}
/* Elements first..first + n of a feed, to every stride-th place of `to`. */
static void load_elements(context *c, const mp_input *in, const mp_feed *f, size_t first, size_t n, column to, size_t stride) {
    const double *numbers = is_float(in->dtype) ? f->numbers + first : NULL; bool f32 = in->dtype == MP_F32;
    for (size_t i = 0; numbers && i < n; i++) to.f[i * stride] = rounded(f32, numbers[i]);
    for (size_t i = 0; !numbers && i < n; i++) {
        size_t k = i * stride;
        if (in->dtype == MP_STR) {
            to.s[k] = f->strings[first + i];
        } else {
            double x = f->numbers ? f->numbers[first + i] : 0; bool fits = x >= -0x1p63 && x < 0x1p63 && trunc(x) == x;
            to.i[k] = f->integers ? f->integers[first + i] : fits ? (int64_t)x : 0;
            if (!fits || (in->dtype == MP_BOOL && (to.i[k] < 0 || to.i[k] > 1)))
                refuse(c, "Input %s, row %zu: a number is not of dtype %s.", quote(in->name).text, (first + i) / f->width, DTYPES[in->dtype].name);
        }
    }
}
/* The rows of an input for this block: a view of the caller's own, or a copy. */
static void load_rows(runner *r, size_t input, const source *from) {
    const mp_input *in = &r->m->inputs[input]; column *x = &r->values[input]; size_t width = r->p->values[input].width, n = r->rows * width;
    if (from->all && from->all->numbers && in->dtype == MP_F64) {
        x->f = (double *)(from->all->numbers + r->first * width); /* steps write to what they define alone */
    } else if (from->all) {
        load_elements(r->c, in, from->all, r->first * width, n, *x, 1);
    } else {
        for (size_t j = 0; j < width; j++)
            load_elements(r->c, in, from->columns[j], r->first, r->rows, (column){(char *)x->any + j * element_size(in->dtype)}, width);
    }
    bool checked = in->missing == MP_MISSING_ERROR && (is_float(in->dtype) || in->dtype == MP_STR), lacking = in->dtype == MP_STR;
    for (size_t i = 0; checked && is_float(in->dtype) && i < n; i++) lacking |= is_nan(x->f[i]);
    for (size_t i = 0; checked && lacking && i < n; i++)
        if (in->dtype == MP_STR ? !x->s[i].data : is_nan(x->f[i]))
            refuse(r->c, "Input %s, row %zu: a value is missing, which this model does not accept.", quote(in->name).text, r->first + i / width);
}
/* Computes rows first..end - 1 of every output, to their places in columns: out[k] is [rows, width of output k]. */
static void run_rows(context *c, arena *a, const mp_model *m, const plan *p, const source *sources, size_t first, size_t end, column *out) {
    mark before = mark_arena(a); runner r = {c, a, m, p, take(c, a, m->n_values, sizeof(column)), 0, first};
    size_t most = end - first < p->block_rows ? end - first : p->block_rows;
    char *block = take_aligned(c, a, p->alive, 8 * (most ? most : 1), CACHE_LINE); mark inner = mark_arena(a);
    for (; r.first < end; r.first += r.rows) {
        r.rows = end - r.first < most ? end - r.first : most;
        for (size_t i = 0; i < m->n_values; i++) r.values[i].any = block + p->places[i] * r.rows * 8;
        for (size_t i = 0; i < m->n_inputs; i++) load_rows(&r, i, &sources[i]);
        for (size_t i = 0; i < m->n_steps; i++) {
            p->steps[i].op->run(&r, &p->steps[i]);
            reset_arena(a, inner);
        }
        for (size_t k = 0; k < m->n_outputs; k++) {
            const mp_output *o = &p->outputs[k];
            copy_elements(o->dtype, out[k], r.first * o->width, r.values[m->sources[k]], 0, r.rows * o->width);
        }
    }
    reset_arena(a, before);
}
/* All rows. */
static column *run_model(context *c, arena *a, const mp_model *m, const plan *p, const source *sources, size_t rows) {
    column *out = take(c, a, m->n_outputs, sizeof *out);
    for (size_t k = 0; k < m->n_outputs; k++) {
        size_t width = p->outputs[k].width;
        if (width && rows > SIZE_MAX / width) fail(c, MP_NO_MEMORY, "The outputs do not fit into memory.");
        out[k].any = take(c, a, rows * width, element_size(p->outputs[k].dtype));
    }
    run_rows(c, a, m, p, sources, 0, rows, out); return out;
}
/* The row shape of a feed: as it says itself or, if it does not, as declared, with at most one named length by its width. */
static void feed_shape(context *c, const mp_model *m, size_t input, const mp_feed *f, size_t *lengths) {
    const mp_input *in = &m->inputs[input]; size_t dims[MAX_RANK] = {0}, known = 1, width = 1, named = 0, *open = NULL;
    if (f->rank && f->rank != in->rank) refuse(c, "The input %s has rows of rank %d; %d is needed.", quote(in->name).text, f->rank, in->rank);
    for (int k = 0; k < in->rank; k++) {
        dims[k] = f->rank ? f->shape[k] : in->shape[k];
        if (f->rank || m->axes[input][k] == NOT_FOUND) known *= in->shape[k] ? in->shape[k] : 1; /* within the limit of a row */
        else { open = &dims[k]; named++; }
    }
    if (named > 1) refuse(c, "The input %s needs a shape: more than one of its lengths is not known.", quote(in->name).text);
    if (open) *open = known ? f->width / known : 0;
    bind_shape(c, m, input, dims, lengths);
    for (int k = 0; k < in->rank; k++) { /* a length may be anything yet */
        if (width && dims[k] > m->limits.row / width) refuse(c, "The input %s has rows of more than %zu elements.", quote(in->name).text, m->limits.row);
        width *= dims[k];
    }
    if (f->width != width && (f->width || !f->rank)) refuse(c, "The input %s has rows of %zu elements; %zu are needed.", quote(in->name).text, f->width, width);
}
/* Finds the feed, or the feeds of the columns, for every input; each feed is used. Returns the number of rows. */
static size_t match_feeds(context *c, arena *a, const mp_model *m, const mp_feed *feeds, size_t n, source *sources, size_t *lengths) {
    mp_string *names = take(c, a, n, sizeof *names); bool *used = take_zeroed(c, a, n, sizeof *used);
    for (size_t i = 0; i < n; i++) names[i] = feed_name(&feeds[i]);
    directory d = new_directory(c, a, MP_STR, (column){names}, n);
    if (find_twice(&d) != NOT_FOUND) refuse(c, "The input %s is given twice.", quote(names[find_twice(&d)]).text);
    for (size_t i = 0; i < m->n_inputs; i++) {
        const mp_input *in = &m->inputs[i]; ptrdiff_t at = find_name(&d, in->name);
        bool by_column = at == NOT_FOUND && in->features && in->width;
        size_t parts = by_column ? in->width : 1;
        sources[i].columns = take(c, a, parts, sizeof *sources[i].columns);
        for (size_t j = 0; j < parts; j++) {
            const mp_string *name = by_column ? &in->features[j] : &in->name; ptrdiff_t k = find_name(&d, *name);
            if (k == NOT_FOUND && j > 0) refuse(c, "The column %s of the input %s is missing.", quote(*name).text, quote(in->name).text);
            if (k == NOT_FOUND) refuse(c, "The input %s is missing.", quote(in->name).text);
            const mp_feed *f = sources[i].columns[j] = &feeds[k];
            bool fits = in->dtype == MP_STR ? f->strings != NULL : f->numbers || (f->integers && !is_float(in->dtype));
            if (by_column && f->width != 1) refuse(c, "The input %s has rows of %zu elements; %d are needed.", quote(*name).text, f->width, 1);
            if (!by_column) feed_shape(c, m, i, f, lengths);
            if (!fits && f->rows && (in->width || in->lengths)) refuse(c, "The input %s is not given as %s.", quote(*name).text, DTYPES[in->dtype].name);
            used[k] = true;
        }
        sources[i].all = by_column ? NULL : sources[i].columns[0];
    }
    for (size_t i = 0; i < n; i++) {
        if (!used[i]) refuse(c, "The input %s is not one of the model's.", quote(names[i]).text);
        if (feeds[i].rows != feeds[0].rows)
            refuse(c, "The inputs %s and %s differ in their number of rows.", quote(names[0]).text, quote(names[i]).text);
        if (feeds[i].width && feeds[i].rows > SIZE_MAX / feeds[i].width / sizeof(mp_string))
            refuse(c, "The input %s is larger than memory.", quote(names[i]).text);
    }
    return n ? feeds[0].rows : 0;
}
static column *answer(context *c, arena *a, const mp_model *m, const mp_feed *feeds, size_t n, size_t *rows, const plan **p) {
    source *sources = take_zeroed(c, a, m->n_inputs, sizeof *sources); size_t *lengths = unknown_lengths(c, a, m);
    *rows = match_feeds(c, a, m, feeds, n, sources, lengths); *p = plan_for(c, a, m, lengths);
    return run_model(c, a, m, *p, sources, *rows);
}
struct mp_result { arena arena; size_t n; mp_values *values; };
typedef struct prediction { const mp_model *model; const mp_feed *feeds; size_t n_feeds; arena a; mp_result *result; } prediction;
static void predict(context *c, void *argument) {
    prediction *p = argument; const mp_model *m = p->model; size_t rows; const plan *made;
    mp_result *result = take_zeroed(c, &p->a, 1, sizeof *result);
    column *out = answer(c, &p->a, m, p->feeds, p->n_feeds, &rows, &made);
    result->n = m->n_outputs; result->values = take_zeroed(c, &p->a, m->n_outputs, sizeof *result->values);
    for (size_t k = 0; k < m->n_outputs; k++) {
        const mp_output *o = &made->outputs[k]; mp_values *v = &result->values[k];
        *v = (mp_values){.output = o, .rows = rows};
        if (is_float(o->dtype)) v->numbers = out[k].f;
        else if (o->dtype != MP_STR) v->integers = out[k].i;
        else v->strings = out[k].s;
        for (size_t i = 0; v->strings && i < rows * o->width; i++) out[k].s[i] = keep_string(c, &p->a, out[k].s[i]);
    }
    result->arena = p->a; p->result = result;
}
/* An arena for one call. */
static arena call_arena(const mp_model *m) { return m->pool ? pool_arena(m->pool, &m->pool->high) : new_arena(&m->arena.allocator, SIZE_MAX); }
mp_code mp_predict(const mp_model *model, const mp_feed *feeds, size_t n_feeds, mp_result **result, mp_error *error) {
    context c; mp_error unseen; prediction p = {model, feeds, n_feeds, call_arena(model), NULL};
    mp_code code = attempt(&c, error ? error : &unseen, predict, &p);
    if (code != MP_OK) free_arena(&p.a);
    *result = code == MP_OK ? p.result : NULL; return code;
}
size_t mp_result_count(const mp_result *result) { return result->n; }
const mp_values *mp_result_at(const mp_result *result, size_t index) { return &result->values[index]; }
const mp_values *mp_result_find(const mp_result *result, const char *output_name) {
    for (size_t k = 0; k < result->n; k++)
        if (same_string(result->values[k].output->name, literal(output_name))) return &result->values[k];
    return NULL;
}
void mp_result_free(mp_result *result) {
    arena a = result ? result->arena : (arena){.pool = NULL}; /* the result lies in it */
    free_arena(&a);
}

/* -- rows and vectors as JSON -- */
/* A call that reads a text and writes what it finds. */
typedef struct reading { const mp_model *model; arena a; const char *text; size_t size; sink sink; } reading;
static mp_code attempt_reading(void (*body)(context *, void *), const mp_model *m, const char *text, size_t size, sink to, mp_error *error) {
    context c; mp_error unseen; reading p = {m, call_arena(m), text, size, to};
    mp_code code = attempt(&c, error ? error : &unseen, body, &p);
    free_arena(&p.a); return code;
}
static void predict_json(context *c, void *argument) {
    reading *p = argument; const mp_model *m = p->model;
    loader l = {.c = c, .keep = &p->a, .scratch = &p->a, .limits = &m->limits}; locate(c, "the rows");
    json *root = parse_document(c, &p->a, p->text, p->size, &m->limits);
    const json *inputs = need_kind(&l, root, "inputs", J_OBJECT, "an object");
    refuse_unread(c, root);
    mp_feed *feeds = take_zeroed(c, &p->a, inputs->count, sizeof *feeds); size_t n = 0, rows; const plan *made;
    tensor *t = take(c, &p->a, inputs->count, sizeof *t);
    for (const json *given = inputs->child; given; given = given->next) {
        ptrdiff_t i = find_name(&m->by_name, given->key);
        locate(c, "the input %s", quote(given->key).text);
        if (i == NOT_FOUND || (size_t)i >= m->n_inputs) refuse(c, "It is not one of the model's.");
        const mp_input *in = &m->inputs[i]; t[n] = read_tensor(&l, given, (int)in->dtype, "its rows");
        if (t[n].dtype != in->dtype) refuse(c, "It is %s; %s is needed.", DTYPES[t[n].dtype].name, DTYPES[in->dtype].name);
        if (t[n].rank != 1 + in->rank) refuse(c, "It has rank %d; %d is needed.", t[n].rank, 1 + in->rank);
        feeds[n] = feed_of(given->key, &t[n]); n++;
    }
    locate(c, "%s", "");
    column *out = answer(c, &p->a, m, feeds, n, &rows, &made);
    for (size_t k = 0; k < m->n_outputs; k++) {
        const mp_output *o = &made->outputs[k]; put_format(&p->sink, k ? ", " : "{\"outputs\": {");
        put_string(&p->sink, o->name);
        put_format(&p->sink, ": {\"dtype\": \"%s\", \"shape\": [%zu", DTYPES[o->dtype].name, rows);
        for (int axis = 0; axis < o->rank; axis++) put_format(&p->sink, ", %zu", o->shape[axis]);
        put_list(&p->sink, "], \"data\": ", o->dtype, out[k], rows * o->width);
        put_format(&p->sink, "}");
    }
    put_format(&p->sink, "}}\n"); flush(&p->sink);
}
mp_code mp_predict_json(const mp_model *model, const char *text, size_t size, mp_writer write, void *context, mp_error *error) {
    return attempt_reading(predict_json, model, text, size, (sink){.write = write, .context = context}, error);
}
/* The position of a finite number among all doubles (f32: floats): neighbours are one apart. */
static int64_t position(double x, bool f32) {
    float narrow = (float)x; uint32_t bits;
    memcpy(&bits, &narrow, sizeof bits);
    int64_t magnitude = f32 ? (int64_t)(bits & INT32_MAX) : (int64_t)(bits_of(x) & INT64_MAX);
    return x < 0 ? -magnitude : magnitude;
}
/* Written so that an unexpected NaN or infinity fails. */
static bool agrees(mp_dtype dtype, const tolerance *t, column got, column expected, size_t i) {
    if (compare_elements(dtype, got, i, expected, i) == 0) return true;
    if (!is_float(dtype) || !isfinite(got.f[i]) || !isfinite(expected.f[i])) return false;
    uint64_t apart = (uint64_t)position(got.f[i], dtype == MP_F32) - (uint64_t)position(expected.f[i], dtype == MP_F32);
    if (t->kind == ULPS) return apart <= t->ulps || 0 - apart <= t->ulps;
    return t->kind == BOUND && fabs(got.f[i] - expected.f[i]) <= t->atol + t->rtol * fabs(expected.f[i]);
}
/* Replays sets of vectors: a line per output, then MP_MISMATCH for the first element that does not agree. */
static void replay(context *c, arena *a, const mp_model *m, const vectors *v, sink *lines) {
    typedef struct score { size_t n, bad; } score;
    source *sources = take_zeroed(c, a, m->n_inputs, sizeof *sources); mp_feed *feeds = take(c, a, m->n_inputs, sizeof *feeds);
    score *scores = take_zeroed(c, a, m->n_outputs, sizeof *scores); char sentence[400] = ""; mark before = mark_arena(a);
    for (size_t set = 0; set < v->sets; set++) {
        const plan *p = plan_for(c, a, m, v[set].lengths);
        for (size_t i = 0; i < m->n_inputs; i++) { feeds[i] = feed_of(m->inputs[i].name, &v[set].inputs[i]); sources[i].all = &feeds[i]; }
        column *out = run_model(c, a, m, p, sources, v[set].rows);
        for (size_t k = 0; k < m->n_outputs; k++) {
            const mp_output *o = &p->outputs[k]; size_t n = v[set].rows * o->width; column expected = v[set].expected[k].data;
            scores[k].n += n;
            for (size_t i = 0; i < n; i++) {
                if (agrees(o->dtype, &v->tolerances[k], out[k], expected, i)) continue;
                scores[k].bad++;
                if (sentence[0]) continue;
                snprintf(sentence, sizeof sentence, "Output %s, row %zu%s, element %zu is %s, but the original model answered %s.", quote(o->name).text,
                         i / o->width, set ? " of a further set" : "", i % o->width, element_text(o->dtype, out[k], i).text, element_text(o->dtype, expected, i).text);
            }
        }
        reset_arena(a, before);
    }
    for (size_t k = 0; k < m->n_outputs; k++) {
        put_string(lines, m->plan.outputs[k].name);
        if (scores[k].bad) put_format(lines, ": mismatch in %zu of %zu elements\n", scores[k].bad, scores[k].n);
        else put_format(lines, ": ok, %zu rows\n", v->total);
    }
    flush(lines);
    if (sentence[0]) fail(c, MP_MISMATCH, "%s", sentence);
}
static void verify(context *c, void *argument) {
    reading *p = argument; const mp_model *m = p->model; const vectors *v = m->vectors;
    loader l = {.c = c, .keep = &p->a, .scratch = &p->a, .limits = &m->limits, .model = (mp_model *)m};
    locate(c, "the vectors");
    if (p->text) v = read_vectors(&l, parse_document(c, &p->a, p->text, p->size, &m->limits), SIZE_MAX);
    if (!v) refuse(c, "The artifact carries none, or they were not kept, so nothing proves it.");
    locate(c, "%s", ""); replay(c, &p->a, m, v, &p->sink);
}
mp_code mp_verify(const mp_model *model, const char *vectors, size_t size, mp_writer write, void *context, mp_error *error) {
    return attempt_reading(verify, model, vectors, vectors ? size : 0, (sink){.write = write, .context = context}, error);
}

/* -- mp_load, mp_free, what a model says of itself -- */
typedef struct loading {
    const char *data; size_t size; const mp_options *options; mp_limits limits; pool *pool; arena keep, scratch; mp_model *model;
} loading;
static void load(context *c, void *argument) {
    loading *p = argument; mp_model *m = take(c, &p->keep, 1, sizeof *m);
    *m = (mp_model){.arena = p->keep, .pool = p->pool, .limits = p->limits}; p->model = m;
    loader l = {.c = c, .keep = &m->arena, .scratch = &p->scratch, .limits = &m->limits, .model = m};
    bool listed[LENGTH(OPS)] = {false}; const json *root = parse_document(c, &p->scratch, p->data, p->size, &m->limits);
    check_header(&l, root); check_requires(&l, root, listed);
    const json *inputs = need_objects(&l, root, "inputs"), *steps = need_objects(&l, root, "steps");
    const json *outputs = need_objects(&l, root, "outputs"), *verification = member(root, "verification"), *lengths = member(root, "lengths");
    l.plan = &m->plan; refuse_unread(c, root);
    if (lengths) read_lengths(&l, lengths);
    load_names(&l, inputs, steps); load_steps(&l, steps, listed); load_outputs(&l, outputs); join_steps(&l); lay_out_values(&l);
    if (p->options->forget_vectors) l.keep = l.scratch;
    vectors *v = verification ? read_vectors(&l, verification, m->limits.rows) : NULL;
    if (v) limit_operations(&l, v, p->size);
    if (!p->options->forget_vectors) m->vectors = v;
    if (p->options->no_verify) return;
    if (!verification) refuse(c, "It carries no vectors (\"verification\"), so nothing proves it: load it without verifying if you trust it.");
    replay(c, &p->scratch, m, v, &(sink){.write = NULL});
}
static mp_limits with_defaults(mp_limits given) {
    size_t memory = (size_t)(SIZE_MAX < UINT64_C(1) << 32 ? SIZE_MAX / 2 : UINT64_C(1) << 32);
    size_t limits[] = {(size_t)512 << 20, 16, 10000, (size_t)1 << 28, (size_t)1 << 22, 4096, (size_t)1 << 25, memory,
                       (size_t)(SIZE_MAX < UINT64_C(1) << 34 ? SIZE_MAX : UINT64_C(1) << 34), (size_t)1 << 30}, chosen[LENGTH(limits)];
    _Static_assert(sizeof limits == sizeof given, "a default for every limit, in their order"); memcpy(chosen, &given, sizeof given);
    for (size_t k = 0; k < LENGTH(limits); k++) if (chosen[k]) limits[k] = chosen[k];
    memcpy(&given, limits, sizeof given);
    if (given.depth > DEEPEST) given.depth = DEEPEST;
    return given;
}
/* On a heap (p NULL), or in a caller's memory. */
static mp_code load_model(pool *p, const char *data, size_t size, const mp_options *options, mp_model **model, mp_error *error) {
    static const mp_options defaults = {.no_verify = false};
    context c; mp_error unseen;
    if (!options) options = &defaults;
    mp_limits limits = with_defaults(options->limits); arena a = new_arena(&options->allocator, limits.memory);
    loading l = {data, size, options, limits, p, p ? pool_arena(p, &p->low) : a, p ? pool_arena(p, &p->high) : a, NULL};
    mp_code code = attempt(&c, error ? error : &unseen, load, &l);
    free_arena(&l.scratch);
    if (code != MP_OK && l.model) mp_free(l.model);
    *model = code == MP_OK ? l.model : NULL; return code;
}
mp_code mp_load(const char *data, size_t size, const mp_options *options, mp_model **model, mp_error *error) {
    return load_model(NULL, data, size, options, model, error);
}
void mp_free(mp_model *model) {
    arena a = model ? model->arena : (arena){.pool = NULL}; /* the model lies in it */
    free_arena(&a);
}
size_t mp_input_count(const mp_model *model) { return model->n_inputs; }
size_t mp_output_count(const mp_model *model) { return model->n_outputs; }
const mp_input *mp_input_at(const mp_model *model, size_t index) { return &model->inputs[index]; }
const mp_output *mp_output_at(const mp_model *model, size_t index) { return &model->plan.outputs[index]; }
size_t mp_carried_rows(const mp_model *model) { return model->vectors ? model->vectors->total : 0; }
bool mp_uses_op(const mp_model *model, size_t index) {
    for (size_t s = 0; s < model->n_steps; s++) if (model->plan.steps[s].op == &OPS[index]) return true;
    return false;
}
const char *mp_dtype_name(mp_dtype dtype) { return DTYPES[dtype].name; }
const char *mp_op_name(size_t index) { return index < LENGTH(OPS) ? OPS[index].name : NULL; }
