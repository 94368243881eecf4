/* modelport_nn.c - ops of profile nn (docs/format.md, section 6.3), and what their rows need, for modelport.c.
 * SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
 *
 * modelport.c includes this file when it is compiled with -DMODELPORT_NN. Compiled by itself it is empty. Beside the ops it has what
 * only networks need: axes, named lengths, quantized and sparse tensors, products of matrices; and mp_load_arena.
 * Sections: 1 Memory, 2 Tensors, 3 Lengths, 4 Products, 5 Shapes, 6 Images, 7 Norms, 8 Sequences, 9 Attention, 10 Arena. The ops stand
 * about in the order of docs/format.md. As in modelport.c, the check of an op reads its attributes and says what it defines, for given
 * lengths, and its run computes a block of rows. A new op is added to NN_OPS, at the end.
 */
#ifndef MODELPORT_C
typedef int modelport_nn_is_included_by_modelport_c;
#else

/* ==== 1 Memory ==================================================================================================== */

static void *take_from_pool(context *c, pool *p, bool lasting, size_t bytes, size_t align) {
    uintptr_t begin = (uintptr_t)p->memory;
    size_t room = p->high - p->low, skip = lasting ? (align - (begin + p->low) % align) % align : (begin + p->high - bytes) % align;
    if (bytes > room || skip > room - bytes)
        fail(c, MP_NO_MEMORY, "The arena has %zu bytes; up to here %zu are needed.", p->size, p->size - room + bytes + skip);
    size_t at = lasting ? p->low + skip : p->high - bytes - skip;
    if (lasting) p->low = at + bytes;
    else p->high = at;
    if (p->size - (p->high - p->low) > p->peak) p->peak = p->size - (p->high - p->low);
    return p->memory + at;
}

/* ==== 2 Tensors =================================================================================================== */

/* All bytes of a text of base64. */
static uint8_t *decode_base64(loader *l, mp_string text, size_t *size) {
    size_t pad; uint8_t *bytes = take(l->c, l->scratch, text.size / 4 + 1, 3);
    *size = measure_base64(text, &pad);
    if (*size == SIZE_MAX) refuse(l->c, "%s: its data is not standard base64 with padding.", l->what);
    decode_piece(l, text, pad, 0, text.size / 4, bytes); return bytes;
}

/* Which elements are written: bit k % 8 of byte k / 8. NULL if all are. *written counts them. */
static const uint8_t *read_mask(loader *l, const json *mask, const tensor *t, size_t *written) {
    *written = t->count;
    if (!mask) return NULL;
    if (mask->kind != J_STRING || t->dtype == MP_BOOL) refuse(l->c, "%s: its key \"mask\" is a string, beside any dtype but bool.", l->what);
    size_t size;
    const uint8_t *bits = decode_base64(l, string_of(l->c, l->scratch, mask), &size);
    if (size != t->count / 8 + (t->count % 8 > 0)) refuse(l->c, "%s: its mask has %zu bytes for %zu elements.", l->what, size, t->count);
    *written = 0;
    for (size_t k = 0; k < 8 * size; k++) {
        bool set = bits[k / 8] >> k % 8 & 1;
        if (set && k >= t->count) refuse(l->c, "%s: its mask goes beyond its elements.", l->what);
        *written += set;
    }
    return bits;
}

/* The scales of a quantized tensor: one for all, or one per index of its first axis. */
static void read_scale(loader *l, const json *scale, tensor *t) {
    if (!is_float(t->dtype) || !scale || scale->kind != J_ARRAY || scale->kinds != J_NUMBER)
        refuse(l->c, "%s: quantized, it is f32 or f64, with a \"scale\" that is an array of numbers.", l->what);
    tensor s = {.dtype = t->dtype, .count = scale->count, .data = {take(l->c, l->keep, scale->count, sizeof(double))}};
    read_elements(l, scale, &s);
    t->scale = s.data.f;
    t->scales = s.count;
    if (s.count != 1 && (t->rank == 0 || s.count != t->dims[0])) refuse(l->c, "%s: it has %zu scales.", l->what, s.count);
    for (size_t i = 0; i < s.count; i++)
        if (!(s.data.f[i] > 0)) refuse(l->c, "%s: its scale %zu is not positive.", l->what, i);
}

static void read_encoded(loader *l, const json *data, const json *scale, const json *mask, bool quantized, tensor *t) {
    size_t size, written, each = quantized ? 1 : DTYPES[t->dtype].bytes;
    size_t most = mask ? 8 * (size_t)(mask->end - mask->text) : (size_t)(data->end - data->text); /* before anything is taken by the shape */
    if (t->count > most) refuse(l->c, "%s: its shape has more elements than its data.", l->what);
    if (quantized) read_scale(l, scale, t);
    bool plain = !quantized || !l->as_it_is;
    int8_t *quanta = plain ? NULL : take_zeroed(l->c, l->keep, t->count, 1);
    if (plain) t->data.any = take_zeroed(l->c, l->keep, t->count, 8); /* first, as keep may be scratch */
    mark before = mark_arena(l->scratch);
    const uint8_t *bits = read_mask(l, mask, t, &written), *bytes = decode_base64(l, string_of(l->c, l->scratch, data), &size);
    if (size % each || size / each != written) refuse(l->c, "%s: its shape and its %zu bytes do not agree.", l->what, size);
    for (size_t i = 0; i < t->count; i++) {
        if (bits && !(bits[i / 8] >> i % 8 & 1)) continue;
        int8_t q = (int8_t)(*bytes < 128 ? *bytes : *bytes - 256);
        if (!quantized) unpack(l, t->dtype, bytes, 1, t->data, i);
        else if (!plain) quanta[i] = q;
        else t->data.f[i] = rounded(t->dtype == MP_F32, q * t->scale[t->scales == 1 ? 0 : i / (t->count / t->scales)]);
        bytes += each;
    }
    t->quanta = quanta;
    reset_arena(l->scratch, before);
}

/* ==== 3 Lengths =================================================================================================== */

static void count_value(loader *l, size_t index);
static void lay_out_values(loader *l);
static void shape_output(context *c, const mp_model *m, plan *p, size_t index);

/* The example lengths of a document. */
static void read_lengths(loader *l, const json *lengths) {
    mp_model *m = l->model;
    if (lengths->kind != J_OBJECT || lengths->count == 0) refuse(l->c, "The key \"lengths\" is not an object with a length.");
    m->n_names = lengths->count;
    m->names = take(l->c, l->keep, m->n_names, sizeof *m->names);
    m->plan.lengths = take(l->c, l->keep, m->n_names, sizeof *m->plan.lengths);
    l->named = take_zeroed(l->c, l->scratch, m->n_names, sizeof *l->named);
    const json *given = lengths->child;
    for (size_t k = 0; k < m->n_names; k++, given = given->next) {
        const char *stop;
        int64_t length = 0;
        if (given->kind != J_NUMBER || !read_integer(given->text, given->end, &stop, &length) || length < 1 || length > 1 << 20)
            refuse(l->c, "The length %s is not an integer from 1 to %d.", quote(given->key).text, 1 << 20);
        m->names[k] = keep_string(l->c, l->keep, given->key);
        m->plan.lengths[k] = (size_t)length;
    }
    m->by_length = new_directory(l->c, l->keep, MP_STR, (column){.s = m->names}, m->n_names);
}

/* Keeps the attributes of a step, so that it can be checked again with other lengths: what is not a tensor as text, tensors as read. */
static void keep_attributes(loader *l, const json *object, size_t index) {
    mp_model *m = l->model;
    if (!m->attributes) m->attributes = take_zeroed(l->c, l->keep, m->n_steps, sizeof *m->attributes);
    json *kept = &m->attributes[index], **tail = &kept->child;
    *kept = *object;
    kept->child = NULL;
    for (const json *a = object->child; a; a = a->next) {
        bool scalar = a->kind & (J_NUMBER | J_STRING | J_BOOL);
        if (!scalar && !a->memo) continue;
        json *copy = *tail = take(l->c, l->keep, 1, sizeof *copy);
        *copy = *a;
        copy->child = copy->next = NULL;
        copy->key = keep_string(l->c, l->keep, a->key);
        tail = &copy->next;
        if (!scalar) continue;
        mp_string text = keep_string(l->c, l->keep, (mp_string){a->text, (size_t)(a->end - a->text)});
        copy->text = text.data;
        copy->end = text.data + text.size;
    }
}

static bool same_shape(const value *a, const value *b) {
    return a->rank == b->rank && memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims) == 0;
}

/* The model for other lengths than its examples, on the arena of a call. Tensors and tables of the loaded model are used as they are. */
static const plan *specialise(context *c, arena *a, const mp_model *m, size_t *lengths) {
    plan *p = take_zeroed(c, a, 1, sizeof *p);
    loader l = {.c = c, .keep = a, .scratch = a, .limits = &m->limits, .model = (mp_model *)m, .plan = p};
    *p = (plan){.lengths = lengths, .values = take(c, a, m->n_values, sizeof *p->values), .steps = take(c, a, m->n_steps, sizeof *p->steps),
                .outputs = take(c, a, m->n_outputs, sizeof *p->outputs)};
    memcpy(p->values, m->plan.values, m->n_values * sizeof *p->values);
    if (m->n_steps) memcpy(p->steps, m->plan.steps, m->n_steps * sizeof *p->steps);
    memcpy(p->outputs, m->plan.outputs, m->n_outputs * sizeof *p->outputs);
    for (size_t i = 0; i < m->n_inputs; i++) {
        size_t dims[MAX_RANK] = {0};
        locate(c, "input %s", quote(m->inputs[i].name).text);
        for (int k = 0; k < m->inputs[i].rank; k++) dims[k] = m->axes[i][k] == NOT_FOUND ? m->inputs[i].shape[k] : lengths[m->axes[i][k]];
        define_value(&l, i, m->inputs[i].dtype, m->inputs[i].rank, dims);
        count_value(&l, i);
    }
    for (size_t i = 0; i < m->n_steps; i++) {
        step *s = l.step = &p->steps[i];
        bool same = true;
        for (size_t k = 0; k < s->n_in; k++) same &= same_shape(&p->values[s->in[k]], &m->plan.values[s->in[k]]);
        p->values[s->out] = m->plan.values[s->out];
        if (same) {
            count_value(&l, s->out);
            continue;
        }
        l.json = &m->attributes[i];
        locate(c, "step %s (%s), with these lengths", quote(p->values[s->out].name).text, s->op->name);
        s->op->check(&l);
        count_value(&l, s->out);
    }
    locate(c, "%s", "with these lengths");
    for (size_t k = 0; k < m->n_outputs; k++) shape_output(c, m, p, k);
    lay_out_values(&l);
    locate(c, "%s", "");
    return p;
}

/* ==== 4 Products ================================================================================================== */

#ifdef MODELPORT_NO_HEAP
enum { PANEL = LANES, STRIP = 16 }; /* which lies on the stack */
#else
enum { PANEL = LANES, STRIP = 128 };
#endif

/* A matrix for sums of products with its rows: doubles, floats, or signed bytes that a scale per row multiplies, as the document
 * has them. In panels of 8 rows, so that eight sums run side by side, or plain, row by row. */
typedef struct weights {
    enum { HELD_F64, HELD_F32, HELD_I8 } held;
    bool   f32, plain, finite;
    size_t rows, columns;
    void   *elements;
    double *scale;
} weights;

static size_t weight_place(const weights *w, size_t k, size_t j) {
    return w->plain ? k * w->columns + j : (k / PANEL * w->columns + j) * PANEL + k % PANEL;
}

static void hold_weight(weights *w, size_t to, const tensor *t, size_t from) {
    if (w->held == HELD_I8) {
        ((int8_t *)w->elements)[to] = t->quanta[from];
        return;
    }
    w->finite &= isfinite(t->data.f[from]) != 0;
    if (w->held == HELD_F32) ((float *)w->elements)[to] = (float)t->data.f[from];
    else ((double *)w->elements)[to] = t->data.f[from];
}

/* An attribute that becomes a matrix with a row per index of its first axis; `old` is what it became already. t gets its shape. */
static const weights *weights_attribute(loader *l, const char *name, mp_dtype dtype, int rank, bool plain, const weights *old, tensor *t) {
    arena *keep = l->keep;
    mark before = mark_arena(l->scratch);
    l->keep = l->scratch;
    l->as_it_is = true;
    tensor_attribute(l, name, (int)dtype, rank, true, t);
    l->keep = keep;
    l->as_it_is = false;
    if (old) return old;
    weights *w = take_zeroed(l->c, keep, 1, sizeof *w);
    size_t rows = t->dims[0], padded = plain ? rows : (rows + PANEL - 1) / PANEL * PANEL;
    *w = (weights){.held = t->quanta ? HELD_I8 : dtype == MP_F32 ? HELD_F32 : HELD_F64, .f32 = dtype == MP_F32, .plain = plain, .finite = true,
                   .rows = rows, .columns = rows ? t->count / rows : 0};
    size_t each = t->quanta ? 1 : dtype == MP_F32 ? sizeof(float) : sizeof(double);
    w->elements = take_zeroed(l->c, keep, padded, (w->columns ? w->columns : 1) * each);
    for (size_t k = 0, from = 0; k < rows; k++)
        for (size_t j = 0; j < w->columns; j++) hold_weight(w, weight_place(w, k, j), t, from++);
    if (t->quanta) w->scale = take_zeroed(l->c, keep, padded, sizeof(double));
    for (size_t k = 0; t->quanta && k < rows; k++) w->scale[k] = t->scale[t->scales == 1 ? 0 : k];
    reset_arena(l->scratch, before); /* from here on only the shape of the tensor is needed */
    return w;
}

#if defined __GNUC__ && !defined MODELPORT_PLAIN_C /* vectors, which other compilers do without */
#define VECTORS 1
typedef double four __attribute__((vector_size(32), aligned(8), may_alias));
typedef float four_floats __attribute__((vector_size(16), aligned(4), may_alias));
#if defined __x86_64__ && !defined __AVX__ && !defined MODELPORT_NO_HEAP
#define WIDE 1
#ifdef __clang__
#define OPEN_FOUR(at) __builtin_convertvector(*(const four_floats *)(at), four)
#define ROUND_FOUR(x) __builtin_convertvector(x, four_floats)
#else /* GCC makes two halves of that, by way of the stack */
#define OPEN_FOUR(at) __builtin_ia32_cvtps2pd256(*(const four_floats *)(at))
#define ROUND_FOUR(x) __builtin_ia32_cvtpd2ps256(x)
#endif
__attribute__((target("avx"))) static void open_floats_wide(const float *x, size_t n, double *to) { /* n is a multiple of 4 */
    for (size_t i = 0; i < n; i += 4) *(four *)(to + i) = OPEN_FOUR(x + i);
}
#endif
#endif
static void open_floats(const float *x, size_t n, double *to) {
#ifdef WIDE
    if (__builtin_cpu_supports("avx")) { open_floats_wide(x, n, to); return; }
#endif
    for (size_t i = 0; i < n; i++) to[i] = (double)x[i];
}

/* Columns from..from + n of a panel as doubles: in place, or in `buffer`, [n][8]. */
static const double *open_panel(const weights *w, size_t panel, size_t from, size_t n, double *buffer) {
    size_t at = (panel * w->columns + from) * PANEL;
    if (w->held == HELD_F64) return (const double *)w->elements + at;
    if (w->held == HELD_F32) {
        open_floats((const float *)w->elements + at, n * PANEL, buffer);
        return buffer;
    }
    const int8_t *quanta = (const int8_t *)w->elements + at;
    const double *scale = w->scale + panel * PANEL;
    double *to = buffer;
    for (size_t j = 0; j < n; j++, quanta += PANEL, to += PANEL)
        for (size_t k = 0; k < PANEL; k++) to[k] = quanta[k] * scale[k];
    for (size_t i = 0; w->f32 && i < n * PANEL; i++) buffer[i] = to_f32(buffer[i]);
    return buffer;
}

/* Adds to the sums [rows][8] of rows x, `stride` apart, their products with n columns of a panel, column by column, in f64. Products of
 * two f32 numbers are exact in f64, so that for them fused multiply-add gives the same bits. */
#define PRODUCTS_ARGUMENTS(ELEMENT) const double *x, size_t stride, size_t rows, size_t n, const ELEMENT *panel, double *sums
#define SIX(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5)
#define ONE(DO) DO(0)
#ifdef VECTORS
#define LOAD_SUMS(q) four a##q = *(const four *)(sums + PANEL * q), b##q = *(const four *)(sums + PANEL * q + 4);
#define ADD_PRODUCTS(q) { double v = x[q * stride + j]; a##q += v * left; b##q += v * right; }
#define ADD_FUSED(q) { double u = x[q * stride + j]; four v = {u, u, u, u}; a##q = __builtin_ia32_vfmaddpd256(v, left, a##q); b##q = __builtin_ia32_vfmaddpd256(v, right, b##q); }
#define STORE_SUMS(q) *(four *)(sums + PANEL * q) = a##q; *(four *)(sums + PANEL * q + 4) = b##q;
#define ADD_COLUMN(ROWS, ADD) { four left = OPEN(panel + j * PANEL), right = OPEN(panel + j * PANEL + 4); ROWS(ADD) }
#else
#define LOAD_SUMS(q) double *s##q = sums + PANEL * q;
#define ADD_PRODUCTS(q) for (size_t k = 0; k < PANEL; k++) s##q[k] += x[q * stride + j] * panel[j * PANEL + k];
#define STORE_SUMS(q)
#define ADD_COLUMN(ROWS, ADD) { ROWS(ADD) }
#endif
#define ADD_ROWS(ROWS, ADD) \
    { \
        ROWS(LOAD_SUMS) \
        for (size_t j = 0; j < n; j++) ADD_COLUMN(ROWS, ADD) \
        ROWS(STORE_SUMS) \
    }
/* Six rows at a time, then one: a tile of sums stays in registers. */
#define ADD_ALL_ROWS(ADD) \
    { \
        for (; rows >= 6; rows -= 6, x += 6 * stride, sums += 6 * PANEL) ADD_ROWS(SIX, ADD) \
        for (; rows > 0; rows--, x += stride, sums += PANEL) ADD_ROWS(ONE, ADD) \
    }
#define OPEN(at) (*(const four *)(at))
#ifdef WIDE
__attribute__((target("avx"))) static void add_products_wide(PRODUCTS_ARGUMENTS(double)) ADD_ALL_ROWS(ADD_PRODUCTS) /* the same sums in wider registers */
__attribute__((target("avx,fma"))) static void add_products_fused(PRODUCTS_ARGUMENTS(double)) ADD_ALL_ROWS(ADD_FUSED)
#undef OPEN
#define OPEN OPEN_FOUR
__attribute__((target("avx,fma"))) static void add_products_opened(PRODUCTS_ARGUMENTS(float)) ADD_ALL_ROWS(ADD_FUSED)
#undef OPEN
#define OPEN(at) (*(const four *)(at))
#endif
static void add_products_plain(PRODUCTS_ARGUMENTS(double)) ADD_ALL_ROWS(ADD_PRODUCTS)
#undef OPEN
static void add_products(PRODUCTS_ARGUMENTS(double), bool exact) {
#ifdef WIDE
    if (exact && __builtin_cpu_supports("fma")) { add_products_fused(x, stride, rows, n, panel, sums); return; }
    if (__builtin_cpu_supports("avx")) { add_products_wide(x, stride, rows, n, panel, sums); return; }
#endif
    (void)exact; add_products_plain(x, stride, rows, n, panel, sums);
}

/* The sums of products of `rows` rows x, `stride` apart, with the rows of a panel: sums [rows][8]. exact: x and the weights are f32. */
static void multiply_panel_of(const weights *w, size_t panel, const double *x, size_t stride, size_t rows, double *sums, bool exact) {
    double buffer[STRIP * PANEL];
    memset(sums, 0, rows * PANEL * sizeof *sums);
#ifdef WIDE
    if (w->held == HELD_F32 && exact && __builtin_cpu_supports("fma")) {
        add_products_opened(x, stride, rows, w->columns, (const float *)w->elements + panel * w->columns * PANEL, sums);
        return;
    }
#endif
    for (size_t from = 0; from < w->columns; from += STRIP) { /* a strip stays in the cache */
        size_t n = w->columns - from < STRIP ? w->columns - from : STRIP;
        add_products(x + from, stride, rows, n, open_panel(w, panel, from, n, buffer), sums, exact);
    }
}
static void multiply_panel(const weights *w, size_t panel, const double *x, size_t stride, size_t rows, double *sums) {
    multiply_panel_of(w, panel, x, stride, rows, sums, false);
}

/* One row with four panels: enough sums side by side that none waits for another. False if there is no such kernel. */
enum { ABREAST = 4 };
#ifdef WIDE
#define BEGIN_PANEL(k) const ELEMENT *p##k = (const ELEMENT *)w->elements + (panel + k) * w->columns * PANEL; four a##k = {0}, b##k = {0};
#define ADD_PANEL(k) a##k = ADD(OPEN(p##k), a##k); b##k = ADD(OPEN(p##k + 4), b##k); p##k += PANEL;
#define END_PANEL(k) *(four *)(sums + PANEL * k) = a##k; *(four *)(sums + PANEL * k + 4) = b##k;
#define PANELS(DO) DO(0) DO(1) DO(2) DO(3)
#define MULTIPLY_ROW \
    { \
        PANELS(BEGIN_PANEL) \
        for (size_t j = 0; j < w->columns; j++) { four v = {x[j], x[j], x[j], x[j]}; PANELS(ADD_PANEL) } \
        PANELS(END_PANEL) \
    }
#define ELEMENT float
#define OPEN OPEN_FOUR
#define ADD(y, sum) ((sum) + v * (y))
__attribute__((target("avx"))) static void multiply_row_f32(const weights *w, size_t panel, const double *x, double *sums) MULTIPLY_ROW
#undef ADD
#define ADD(y, sum) __builtin_ia32_vfmaddpd256(v, y, sum) /* of products of two f32, as above */
__attribute__((target("avx,fma"))) static void multiply_row_fused(const weights *w, size_t panel, const double *x, double *sums) MULTIPLY_ROW
#undef ADD
#undef ELEMENT
#undef OPEN
#define ELEMENT double
#define OPEN(at) (*(const four *)(at))
#define ADD(y, sum) ((sum) + v * (y))
__attribute__((target("avx"))) static void multiply_row_f64(const weights *w, size_t panel, const double *x, double *sums) MULTIPLY_ROW
#undef ADD
static bool multiply_row(const weights *w, size_t panel, const double *x, double *sums, bool exact) {
    if (w->held == HELD_I8 || (panel + ABREAST) * PANEL > w->rows || !__builtin_cpu_supports("avx")) return false;
    if (w->held == HELD_F64) multiply_row_f64(w, panel, x, sums);
    else (exact && __builtin_cpu_supports("fma") ? multiply_row_fused : multiply_row_f32)(w, panel, x, sums);
    return true;
}
#else
static bool multiply_row(const weights *w, size_t panel, const double *x, double *sums, bool exact) {
    (void)w, (void)panel, (void)x, (void)sums, (void)exact; return false;
}
#endif

/* y[i][0..n - 1], `stride` apart, is sums[i][..] + bias, rounded to f32. False if there is no such kernel. */
#ifdef WIDE
__attribute__((target("avx"))) static void round_panels_wide(const double *sums, size_t rows, size_t n, const double *bias, double *y, size_t stride) {
    for (size_t i = 0; i < rows; i++, sums += PANEL, y += stride)
        for (size_t k = 0; k < n; k += 4) {
            four sum = *(const four *)(sums + k) + (bias ? *(const four *)(bias + k) : (four){0});
            four_floats narrow = ROUND_FOUR(sum);
            *(four *)(y + k) = OPEN_FOUR(&narrow);
        }
}
#endif
static bool round_panels(const double *sums, size_t rows, size_t n, const double *bias, bool f32, double *y, size_t stride) {
#ifdef WIDE
    if (f32 && n % 4 == 0 && __builtin_cpu_supports("avx")) { round_panels_wide(sums, rows, n, bias, y, stride); return true; }
#endif
    (void)sums, (void)rows, (void)n, (void)bias, (void)f32, (void)y, (void)stride; return false;
}

/* -- linear: of profile tabular, in place of the plain one -- */
static void linear_check(loader *l) { /* t[0] bias; plan: weight */
    mp_dtype dtype = one_float(l); tensor weight;
    l->step->plan = weights_attribute(l, "weight", dtype, 2, false, l->step->plan, &weight); need_columns(l, "weight", &weight);
    if (tensor_attribute(l, "bias", (int)dtype, 1, false, &l->step->t[0])) need_count(l, "bias", &l->step->t[0], weight.dims[0]);
    define_last(l, dtype, weight.dims[0]);
    set_work_each(l, weight.dims[1]);
}
static void linear_run(runner *r, const step *s) {
    enum { FEW = 3, CACHED = 1 << 15, LEAST_ROWS = 12 }; /* a block of rows stays in the cache while all panels pass */
    const weights *w = s->plan; const double *bias = s->t[0].data.f, *x = floats(r, s, 0); double *y = io_of(r, s).y.f;
    size_t n = r->rows * before_last(input_of(r, s, 0)), most = CACHED / (w->columns + 1) / 6 * 6, rows;
    if (most < LEAST_ROWS) most = LEAST_ROWS;
    double *sums = take(r->c, r->a, n < most ? n : most, ABREAST * PANEL * sizeof *sums);
    for (; n; n -= rows, x += rows * w->columns, y += rows * w->rows) {
        rows = n < most ? n : most;
        if (rows <= FEW) rows = 1;
        for (size_t first = 0, done; first < w->rows; first += done) {
            bool abreast = rows == 1 && multiply_row(w, first / PANEL, x, sums, s->f32);
            done = abreast ? ABREAST * PANEL : PANEL;
            if (!abreast) multiply_panel_of(w, first / PANEL, x, w->columns, rows, sums, s->f32);
            size_t wide = w->rows - first < done ? w->rows - first : done;
            if (!round_panels(sums, rows, wide, bias ? bias + first : NULL, s->f32, y + first, w->rows))
                for (size_t i = 0; i < rows; i++)
                    for (size_t k = 0; k < wide; k++) y[i * w->rows + first + k] = rounded(s->f32, sums[i * PANEL + k] + (bias ? bias[first + k] : 0));
        }
    }
}

/* y [to - from] = rows from..to - 1 of a matrix times x. */
static void multiply_vector(const weights *w, size_t from, size_t to, const double *x, double *y) {
    double sums[PANEL];
    for (size_t panel = from / PANEL; panel * PANEL < to; panel++) {
        multiply_panel(w, panel, x, w->columns, 1, sums);
        for (size_t k = 0; k < PANEL; k++) {
            size_t row = panel * PANEL + k;
            if (row >= from && row < to) y[row - from] = sums[k];
        }
    }
}

/* A matrix [rows, columns] of values as weights, its rows, or with `across` its columns, being the rows; in memory that is there. */
static weights values_as_weights(const double *x, size_t rows, size_t columns, bool across, double *panels) {
    weights w = {.held = HELD_F64, .rows = across ? columns : rows, .columns = across ? rows : columns, .elements = panels};
    for (size_t first = 0; first < w.rows; first += PANEL)
        for (size_t j = 0; j < w.columns; j++, panels += PANEL)
            for (size_t k = 0; k < PANEL; k++)
                panels[k] = first + k >= w.rows ? 0.0 : across ? x[j * columns + first + k] : x[(first + k) * columns + j];
    return w;
}

static double *take_panels(runner *r, size_t rows, size_t columns) {
    return take(r->c, r->a, (rows + PANEL - 1) / PANEL, columns * PANEL * sizeof(double));
}

/* ==== 5 Shapes ==================================================================================================== */

/* -- rows of any rank -- */
/* Where elements come from: element (o1, .., or) is x[at[0][o1] + .. + at[r - 1][or]], or a filling where one of them is OUTSIDE. */
typedef struct picking { int rank; size_t dims[MAX_RANK], width; ptrdiff_t *at[MAX_RANK]; } picking;
enum { OUTSIDE = -1 };

static size_t stride_of(const value *v, int axis) {
    size_t n = 1;
    for (int k = axis + 1; k < v->rank; k++) n *= v->dims[k];
    return n;
}

static void pick(mp_dtype t, column to, size_t first, column from, size_t base, const picking *p, column filling) {
    size_t index[MAX_RANK] = {0}, inner = p->rank ? p->dims[p->rank - 1] : 1, size = element_size(t);
    for (size_t i = 0; i < p->width; i += inner) {
        ptrdiff_t offset = 0;
        bool outside = false;
        char *y = (char *)to.any + (first + i) * size;
        for (int k = 0; k + 1 < p->rank; k++) {
            outside |= p->at[k][index[k]] == OUTSIDE;
            offset += p->at[k][index[k]];
        }
        const char *x = (const char *)from.any + ((ptrdiff_t)base + (outside ? 0 : offset)) * (ptrdiff_t)size;
        for (size_t j = 0; j < inner; j++, y += size) {
            ptrdiff_t at = p->rank ? p->at[p->rank - 1][j] : 0;
            const char *element = outside || at == OUTSIDE ? (const char *)filling.any : x + at * (ptrdiff_t)size;
            if (size == 8) memcpy(y, element, 8);
            else memcpy(y, element, size);
        }
        for (int k = p->rank - 2; k >= 0 && ++index[k] == p->dims[k]; k--) index[k] = 0;
    }
}

/* How the elements of a value spread to a shape it broadcasts to. */
static picking spreading(context *c, arena *a, const value *v, int rank, const size_t *dims) {
    picking p = {.rank = rank, .width = 1};
    for (int k = 0; k < rank; k++) {
        int axis = k - (rank - v->rank);
        size_t stride = axis >= 0 && v->dims[axis] != 1 ? stride_of(v, axis) : 0;
        p.dims[k] = dims[k];
        p.width *= dims[k];
        p.at[k] = take(c, a, dims[k], sizeof *p.at[k]);
        for (size_t i = 0; i < dims[k]; i++) p.at[k][i] = (ptrdiff_t)(i * stride);
    }
    return p;
}

static column spread_operand(runner *r, const step *s, size_t k) {
    const value *v = input_of(r, s, k), *y = output_of(r, s);
    column x = in_column(r, s, k), spread = {take(r->c, r->a, r->rows * y->width, element_size(v->dtype))};
    picking p = spreading(r->c, r->a, v, y->rank, y->dims);
    for (size_t i = 0; i < r->rows; i++) pick(v->dtype, spread, i * y->width, x, i * v->width, &p, x);
    return spread;
}

/* -- reduce with axes: those left out come to stand last -- */
static void reduce_axes_check(loader *l, mp_dtype dtype, bool keep) { /* size: elements that become one; plan: a picking */
    const value *x = in_value(l, 0);
    bool out[MAX_RANK] = {false};
    size_t dims[MAX_RANK];
    int rank = 0, k = 0;
    tensor axes = integers_attribute(l, "axes", 1, 0, x->rank - 1);
    if (axes.count == 0 || (dtype == MP_I64 && axes.count > 1)) refuse(l->c, "Its attribute \"axes\" has %zu elements.", axes.count);
    for (size_t i = 0; i < axes.count; i++) {
        if (i && axes.data.i[i] <= axes.data.i[i - 1]) refuse(l->c, "Its attribute \"axes\" does not ascend.");
        out[axes.data.i[i]] = true;
    }
    picking *p = take_zeroed(l->c, l->keep, 1, sizeof *p);
    p->width = x->width;
    p->rank = x->rank;
    l->step->size = 1;
    l->step->plan = p;
    for (int pass = 0; pass < 2; pass++)
        for (int axis = 0; axis < x->rank; axis++) {
            if (out[axis] != pass) continue;
            p->dims[k] = x->dims[axis];
            p->at[k] = take(l->c, l->keep, p->dims[k], sizeof(ptrdiff_t));
            for (size_t i = 0; i < p->dims[k]; i++) p->at[k][i] = (ptrdiff_t)(i * stride_of(x, axis));
            if (pass) l->step->size *= p->dims[k];
            k++;
        }
    for (int axis = 0; axis < x->rank; axis++)
        if (!out[axis] || keep) dims[rank++] = out[axis] ? 1 : x->dims[axis];
    define_shape(l, dtype, rank, dims);
}

static void reduce_axes(runner *r, const step *s) {
    io b = io_of(r, s);
    const double *x = floats(r, s, 0);
    double *buffer = take(r->c, r->a, b.in, sizeof *buffer);
    for (size_t i = 0; i < r->rows; i++) {
        pick(MP_F64, (column){.f = buffer}, 0, (column){.f = (double *)x}, i * b.in, s->plan, (column){.f = buffer});
        for (size_t k = 0; k < b.out; k++, b.y.f++) {
            reduce_map(&(row){r, s, s->f32, buffer + k * s->size, s->size, b.y, 1});
            if (is_float(b.to)) *b.y.f = rounded(s->f32, *b.y.f);
        }
    }
}

/* -- what the checks of this file use -- */
/* Refuses a wrong number of inputs, and an axis of no elements. Returns the first input. */
static const value *nn_inputs(loader *l, size_t least, size_t most) {
    arity(l, least, most);
    for (size_t k = 0; k < l->step->n_in; k++)
        if (in_value(l, k)->width == 0) refuse(l->c, "Its input %zu has an axis of length 0.", k);
    return in_value(l, 0);
}

/* As one_float, for ops of this file. */
static mp_dtype nn_floats(loader *l, size_t least, size_t most, size_t floats) {
    nn_inputs(l, least, most);
    for (size_t k = 0; k < floats && k < l->step->n_in; k++) need_float(l, k);
    return step_dtype(l);
}

static void need_rank(loader *l, size_t k, int least, int most) {
    int rank = in_value(l, k)->rank;
    if (rank < least || rank > most) refuse(l->c, "Its input %zu has rows of rank %d, which its op does not take.", k, rank);
}

/* `count` integers from least to most; all are `otherwise` if the attribute is absent. */
static const int64_t *integers_or(loader *l, const char *name, int64_t least, int64_t most, size_t count, int64_t otherwise) {
    if (attribute(l, name)) return counted_integers(l, name, least, most, count).data.i;
    int64_t *same = take(l->c, l->keep, count, sizeof *same);
    for (size_t k = 0; k < count; k++) same[k] = otherwise;
    return same;
}

static double real_number(loader *l, const char *name, double otherwise) {
    double x = number(l, name, MP_F64, otherwise);
    if (attribute(l, name) && attribute(l, name)->kind != J_NUMBER) refuse(l->c, "Its attribute \"%s\" is not a finite number.", name);
    return x;
}

static double need_finite(loader *l, const char *name) {
    need_kind(l, l->json, name, J_NUMBER, "a number");
    return real_number(l, name, 0);
}

/* -- reshape, transpose, slice, expand: elements picked from the row -- */
/* The attributes shape and copy, which takes lengths of `from`; *open is the axis of length -1, or NOT_FOUND. Returns the rank. */
static int read_target(loader *l, const value *from, size_t dims[MAX_RANK], int *open) {
    tensor shape = integers_attribute(l, "shape", 1, -1, INT64_MAX);
    if (shape.count > MAX_RANK) refuse(l->c, "What it defines has rank %zu, more than the limit of %d.", shape.count, MAX_RANK);
    const int64_t *copy = from ? integers_or(l, "copy", -1, from->rank - 1, shape.count, -1) : NULL;
    *open = NOT_FOUND;
    for (size_t k = 0; k < shape.count; k++) {
        int64_t length = shape.data.i[k];
        bool copies = copy && copy[k] >= 0;
        if (copies != (length == 0)) refuse(l->c, "Its shape has 0 exactly where a length is copied, but not on axis %zu.", k);
        if (length == -1 && *open != NOT_FOUND) refuse(l->c, "Two lengths of its shape are -1.");
        if (length == -1) *open = (int)k;
        dims[k] = copies ? from->dims[copy[k]] : length == -1 ? 1 : (size_t)length;
        if (dims[k] > l->limits->row) refuse(l->c, "Its rows have more elements than the limit of %zu.", l->limits->row);
    }
    return (int)shape.count;
}

static void reshape_check(loader *l) {
    const value *x = nn_inputs(l, 1, 1);
    size_t dims[MAX_RANK] = {0}, width = 1;
    int open, rank = read_target(l, x, dims, &open);
    for (int k = 0; k < rank; k++) width = product(l, width, dims[k]);
    if (open != NOT_FOUND) {
        dims[open] = x->width / width;
        width *= dims[open];
    }
    if (width != x->width) refuse(l->c, "Its shape does not have the %zu elements of its input.", x->width);
    define_shape(l, x->dtype, rank, dims);
}

static void reshape_run(runner *r, const step *s) {
    io b = io_of(r, s);
    if (b.y.any != b.x.any) copy_elements(b.to, b.y, 0, b.x, 0, b.n);
}

/* A picking of the given lengths, its places not yet filled in, as the step's plan; defines the value. */
static picking *new_picking(loader *l, int rank, const size_t *dims) {
    picking *p = take_zeroed(l->c, l->keep, 1, sizeof *p);
    define_shape(l, in_value(l, 0)->dtype, rank, dims);
    l->step->plan = p;
    p->rank = rank;
    p->width = l->plan->values[l->step->out].width;
    for (int k = 0; k < rank; k++) {
        p->dims[k] = dims[k];
        p->at[k] = take(l->c, l->keep, dims[k], sizeof *p->at[k]);
    }
    return p;
}

static void pick_rows(runner *r, const step *s) { /* plan: a picking; t[1] what is outside */
    io b = io_of(r, s);
    const picking *p = s->plan;
    for (size_t i = 0; i < r->rows; i++) pick(b.to, b.y, i * b.out, b.x, i * b.in, p, s->t[1].data);
}

static void transpose_check(loader *l) {
    const value *x = nn_inputs(l, 1, 1);
    const int64_t *perm = counted_integers(l, "perm", 0, x->rank - 1, (size_t)x->rank).data.i;
    size_t dims[MAX_RANK];
    bool seen[MAX_RANK] = {false};
    for (int k = 0; k < x->rank; k++) {
        if (seen[perm[k]]) refuse(l->c, "Its attribute \"perm\" holds %d twice.", (int)perm[k]);
        seen[perm[k]] = true;
        dims[k] = x->dims[perm[k]];
    }
    picking *p = new_picking(l, x->rank, dims);
    for (int k = 0; k < x->rank; k++)
        for (size_t i = 0; i < dims[k]; i++) p->at[k][i] = (ptrdiff_t)(i * stride_of(x, (int)perm[k]));
}

static void transpose_run(runner *r, const step *s) { pick_rows(r, s); }

/* A start or stop of slice: below 0 it has the length added once, then it is moved into its range. */
static int64_t slice_end(int64_t at, int64_t length, bool up) {
    int64_t least = up ? 0 : -1, most = up ? length : length - 1;
    if (at < 0) at += length;
    return at < least ? least : at > most ? most : at;
}

static void slice_check(loader *l) {
    const value *x = nn_inputs(l, 1, 1);
    need_rank(l, 0, 1, MAX_RANK);
    tensor axes = integers_attribute(l, "axes", 1, 0, x->rank - 1);
    const int64_t *starts = counted_integers(l, "starts", INT64_MIN, INT64_MAX, axes.count).data.i;
    const int64_t *stops = counted_integers(l, "stops", INT64_MIN, INT64_MAX, axes.count).data.i;
    const int64_t *steps = integers_or(l, "steps", INT64_MIN, INT64_MAX, axes.count, 1);
    size_t dims[MAX_RANK];
    int64_t first[MAX_RANK] = {0}, stride[MAX_RANK];
    bool seen[MAX_RANK] = {false};
    for (int k = 0; k < x->rank; k++) {
        dims[k] = x->dims[k];
        stride[k] = 1;
    }
    for (size_t i = 0; i < axes.count; i++) {
        int axis = (int)axes.data.i[i];
        int64_t length = (int64_t)x->dims[axis], by = stride[axis] = steps[i];
        if (seen[axis]) refuse(l->c, "Its attribute \"axes\" holds %d twice.", axis);
        if (by == 0) refuse(l->c, "A step of it is 0.");
        seen[axis] = true;
        int64_t start = first[axis] = slice_end(starts[i], length, by > 0), stop = slice_end(stops[i], length, by > 0);
        uint64_t span = by > 0 ? (uint64_t)(stop - start) : (uint64_t)(start - stop), each = by > 0 ? (uint64_t)by : 0 - (uint64_t)by;
        if (by > 0 ? stop <= start : stop >= start) refuse(l->c, "It takes no index of axis %d.", axis);
        dims[axis] = (size_t)((span - 1) / each + 1);
    }
    picking *p = new_picking(l, x->rank, dims);
    for (int k = 0; k < x->rank; k++)
        for (size_t i = 0; i < dims[k]; i++) p->at[k][i] = (ptrdiff_t)((first[k] + (int64_t)i * stride[k]) * (int64_t)stride_of(x, k));
}

static void slice_run(runner *r, const step *s) { pick_rows(r, s); }

static void expand_check(loader *l) {
    const value *x = nn_inputs(l, 1, 2);
    size_t dims[MAX_RANK] = {0}, joint[MAX_RANK];
    int open, rank = read_target(l, l->step->n_in == 2 ? in_value(l, 1) : NULL, dims, &open), joint_rank = rank;
    if (open != NOT_FOUND) refuse(l->c, "A length of its shape is -1.");
    memcpy(joint, dims, sizeof joint);
    if (x->rank <= rank) broadcast(l, &joint_rank, joint, x->rank, x->dims);
    if (x->rank > rank || memcmp(joint, dims, (size_t)rank * sizeof *dims) != 0) refuse(l->c, "Its input does not broadcast to its shape.");
    define_shape(l, x->dtype, rank, dims);
    picking *p = take(l->c, l->keep, 1, sizeof *p);
    *p = spreading(l->c, l->keep, x, rank, dims);
    l->step->plan = p;
}

static void expand_run(runner *r, const step *s) { pick_rows(r, s); }

/* -- positions, gather, embedding -- */
static void positions_check(loader *l) {
    const value *x = nn_inputs(l, 1, 1);
    define(l, MP_I64, 1, x->dims[whole(l, "axis", 0, x->rank - 1)]);
}

static void positions_run(runner *r, const step *s) {
    io b = io_of(r, s);
    for (size_t i = 0; i < b.n; i++) b.y.i[i] = (int64_t)(i % b.out);
}

static void gather_check(loader *l) { /* word: axis */
    const value *x = nn_inputs(l, 2, 2), *index = in_value(l, 1);
    need_dtype(l, 1, is_integer(index->dtype), "integers");
    int axis = l->step->word = (int)whole(l, "axis", 0, x->rank - 1), rank = 0;
    size_t dims[2 * MAX_RANK];
    for (int k = 0; k < axis; k++) dims[rank++] = x->dims[k];
    for (int k = 0; k < index->rank; k++) dims[rank++] = index->dims[k];
    for (int k = axis + 1; k < x->rank; k++) dims[rank++] = x->dims[k];
    define_shape(l, x->dtype, rank, dims);
}

static void gather_run(runner *r, const step *s) {
    io b = io_of(r, s);
    const value *v = input_of(r, s, 0);
    size_t length = v->dims[s->word], inner = stride_of(v, s->word), outer = b.in / length / inner, n = in_width(r, s, 1);
    const int64_t *index = in_column(r, s, 1).i;
    for (size_t i = 0; i < r->rows; i++, index += n)
        for (size_t k = 0; k < n; k++) {
            int64_t at = index[k] < 0 ? index[k] + (int64_t)length : index[k];
            if (at < 0 || at >= (int64_t)length) refuse_row(r, s, i, "the index %" PRId64 " is outside the axis of %zu.", index[k], length);
            for (size_t o = 0; o < outer; o++)
                copy_elements(b.to, b.y, i * b.out + (o * n + k) * inner, b.x, i * b.in + (o * length + (size_t)at) * inner, inner);
        }
}

/* An element by its place in the tensor. */
static double weight_at(const weights *w, size_t i) {
    size_t k = i / w->columns, at = w->plain ? i : weight_place(w, k, i % w->columns);
    if (w->held == HELD_I8) return rounded(w->f32, ((const int8_t *)w->elements)[at] * w->scale[k]);
    return w->held == HELD_F32 ? (double)((const float *)w->elements)[at] : ((const double *)w->elements)[at];
}

static void embedding_check(loader *l) { /* plan: weight */
    const value *x = nn_inputs(l, 1, 1);
    tensor t;
    size_t dims[MAX_RANK + 1];
    need_dtype(l, 0, is_integer(x->dtype), "integers");
    l->step->plan = weights_attribute(l, "weight", step_dtype(l), 2, true, l->step->plan, &t);
    memcpy(dims, x->dims, sizeof x->dims);
    dims[x->rank] = t.dims[1];
    define_shape(l, l->step->f32 ? MP_F32 : MP_F64, x->rank + 1, dims);
}

static void embedding_run(runner *r, const step *s) {
    io b = io_of(r, s);
    const weights *w = s->plan;
    for (size_t i = 0; i < r->rows * b.in; i++, b.y.f += w->columns) {
        int64_t k = b.x.i[i];
        if (k < 0 || (uint64_t)k >= w->rows) refuse_row(r, s, i / b.in, "the index %" PRId64 " is outside the table of %zu.", k, w->rows);
        for (size_t j = 0; j < w->columns; j++) b.y.f[j] = weight_at(w, (size_t)k * w->columns + j);
    }
}

/* -- pad -- */
enum { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE, PAD_WRAP };

/* The value that fills: a number, cast to the dtype. */
static void read_filling(loader *l, mp_dtype dtype, tensor *t) {
    double x = real_number(l, "value", 0);
    t->data.any = take_zeroed(l->c, l->keep, 1, 8);
    if (is_float(dtype)) {
        *t->data.f = rounded(dtype == MP_F32, x);
    } else if (dtype == MP_BOOL) {
        *t->data.i = x != 0;
    } else {
        x = trunc(x);
        bool fits = x >= -0x1p63 && x < 0x1p63;
        *t->data.i = fits ? (int64_t)x : 0;
        if (!fits || *t->data.i < DTYPES[dtype].least || *t->data.i > DTYPES[dtype].most)
            refuse(l->c, "Its value does not fit into %s.", DTYPES[dtype].name);
    }
}

static void pad_check(loader *l) { /* t[1] value */
    const value *x = nn_inputs(l, 1, 1);
    size_t dims[MAX_RANK];
    need_dtype(l, 0, x->dtype != MP_STR, "any dtype but str");
    int64_t longest = (int64_t)l->limits->row;
    const int64_t *before = counted_integers(l, "before", 0, longest, (size_t)x->rank).data.i;
    const int64_t *after = counted_integers(l, "after", 0, longest, (size_t)x->rank).data.i;
    int mode = choice(l, "mode", "constant reflect edge wrap", PAD_CONSTANT);
    if (mode == PAD_CONSTANT) read_filling(l, x->dtype, &l->step->t[1]);
    for (int k = 0; k < x->rank; k++) {
        int64_t most = mode == PAD_REFLECT ? (int64_t)x->dims[k] - 1 : mode == PAD_WRAP ? (int64_t)x->dims[k] : longest;
        if (before[k] > most || after[k] > most) refuse(l->c, "It pads axis %d of length %zu by more than its mode can.", k, x->dims[k]);
        dims[k] = x->dims[k] + (size_t)before[k] + (size_t)after[k];
    }
    picking *p = new_picking(l, x->rank, dims);
    for (int k = 0; k < x->rank; k++)
        for (size_t i = 0; i < dims[k]; i++) {
            int64_t n = (int64_t)x->dims[k], at = (int64_t)i - before[k];
            bool inside = at >= 0 && at < n;
            if (mode == PAD_REFLECT) at = at < 0 ? -at : at >= n ? 2 * (n - 1) - at : at;
            if (mode == PAD_EDGE) at = at < 0 ? 0 : at >= n ? n - 1 : at;
            if (mode == PAD_WRAP) at = at < 0 ? at + n : at >= n ? at - n : at;
            p->at[k][i] = inside || mode != PAD_CONSTANT ? (ptrdiff_t)(at * (int64_t)stride_of(x, k)) : OUTSIDE;
        }
}

static void pad_run(runner *r, const step *s) { pick_rows(r, s); }

/* ==== 6 Images ===================================================================================================== */

/* -- resize -- */
enum { NEAREST, LINEAR, CUBIC };
enum { HALF_PIXEL, ALIGN_CORNERS, ASYMMETRIC };
enum { ROUND_FLOOR, ROUND_CEIL, ROUND_HALF_DOWN, ROUND_HALF_UP };

/* One axis: element o of [outer, to, inner] is the sum of weight[k] times element place[k] of [outer, from, inner], see place_taps. */
typedef struct resizing { size_t outer, from, to, inner, taps; int fn, at, round; double factor, cubic; } resizing;
enum { MOST_TAPS = 4, PLACED = 128 /* elements whose taps are found at a time, so that they take no memory */ };
typedef struct resize_plan { size_t n, largest; resizing *axis; } resize_plan;

static size_t move_into(double u, size_t n) { return u <= 0 ? 0 : u >= (double)(n - 1) ? n - 1 : (size_t)u; }

static double cubic_kernel(double z, double a) {
    return z <= 1 ? ((a + 2) * z - (a + 3)) * z * z + 1 : z < 2 ? ((a * z - 5 * a) * z + 8 * a) * z - 4 * a : 0.0;
}

static void place_taps(const resizing *z, size_t o, size_t *place, double *weight) {
    size_t n = z->from;
    double x = (double)o, u = z->at == HALF_PIXEL ? (x + 0.5) / z->factor - 0.5 : x / z->factor;
    if (z->at == ALIGN_CORNERS) u = z->to == 1 ? 0.0 : x * (double)(n - 1) / (double)(z->to - 1);
    if (z->fn == NEAREST) {
        int round = z->round;
        double i = round == ROUND_FLOOR ? floor(u) : round == ROUND_CEIL ? ceil(u) : round == ROUND_HALF_DOWN ? ceil(u - 0.5) : floor(u + 0.5);
        place[0] = move_into(i, n);
        weight[0] = 1;
    } else if (z->fn == LINEAR) {
        u = u < 0 ? 0 : u > (double)(n - 1) ? (double)(n - 1) : u;
        place[0] = move_into(floor(u), n);
        place[1] = place[0] + 1 < n ? place[0] + 1 : n - 1;
        weight[1] = u - floor(u);
        weight[0] = 1 - weight[1];
    } else {
        for (int q = -1; q <= 2; q++) {
            place[q + 1] = move_into(floor(u) + q, n);
            weight[q + 1] = cubic_kernel(fabs(u - floor(u) - q), z->cubic);
        }
    }
}

static void resize_check(loader *l) { /* plan: a resize_plan */
    mp_dtype dtype = nn_floats(l, 1, 1, 1);
    const value *x = in_value(l, 0);
    need_rank(l, 0, 1, MAX_RANK);
    tensor axes = integers_attribute(l, "axes", 1, 0, x->rank - 1);
    bool by_scale = attribute(l, "scales") != NULL, seen[MAX_RANK] = {false};
    if (by_scale == (attribute(l, "sizes") != NULL)) refuse(l->c, "It has both or none of \"sizes\" and \"scales\"; one is needed.");
    const double *scales = by_scale ? counted(l, "scales", MP_F64, axes.count).data.f : NULL;
    const int64_t *sizes = by_scale ? NULL : counted_integers(l, "sizes", 1, (int64_t)l->limits->row, axes.count).data.i;
    int fn = choice(l, "fn", "nearest linear cubic", REQUIRED), at = choice(l, "at", "half_pixel align_corners asymmetric", REQUIRED);
    int round = fn == NEAREST ? choice(l, "round", "floor ceil half_down half_up", ROUND_HALF_DOWN) : 0;
    double a = fn == CUBIC ? real_number(l, "cubic", -0.75) : 0;
    resize_plan *p = take_zeroed(l->c, l->keep, 1, sizeof *p);
    l->step->plan = p;
    p->n = axes.count;
    p->axis = take_zeroed(l->c, l->keep, p->n, sizeof *p->axis);
    value v = *x;
    size_t work = 0;
    for (size_t i = 0; i < p->n; i++) {
        resizing *z = &p->axis[i];
        int axis = (int)axes.data.i[i];
        size_t n = v.dims[axis];
        if (seen[axis]) refuse(l->c, "Its attribute \"axes\" holds %d twice.", axis);
        seen[axis] = true;
        double length = by_scale ? floor((double)n * scales[i]) : (double)sizes[i];
        if (!(length >= 1 && length <= (double)l->limits->row)) refuse(l->c, "It makes axis %d, of length %zu, shorter than 1 or too long.", axis, n);
        *z = (resizing){1, n, (size_t)length, stride_of(&v, axis), fn == NEAREST ? 1 : fn == LINEAR ? 2 : MOST_TAPS, fn, at, round, 0, a};
        z->outer = v.width / n / z->inner;
        z->factor = by_scale ? scales[i] : (double)z->to / (double)n;
        v.dims[axis] = z->to;
        v.width = product(l, z->outer * z->inner, z->to);
        if (v.width > l->limits->row) refuse(l->c, "Its rows have more elements than the limit of %zu.", l->limits->row);
        if (v.width > p->largest) p->largest = v.width;
        work += v.width;
    }
    define_shape(l, dtype, x->rank, v.dims);
    set_work(l, work, 4);
}

static void resize_axis(const resizing *z, bool f32, const double *x, double *y) {
    size_t places[PLACED * MOST_TAPS], inner = z->inner, taps = z->taps;
    double weights[PLACED * MOST_TAPS];
    for (size_t first = 0; first < z->to; first += PLACED) {
        size_t n = z->to - first < PLACED ? z->to - first : PLACED;
        for (size_t i = 0; i < n; i++) place_taps(z, first + i, places + i * taps, weights + i * taps);
        for (size_t o = 0; o < z->outer; o++)
            for (size_t i = 0; i < n; i++) {
                const size_t *place = places + i * taps;
                const double *weight = weights + i * taps, *from = x + o * z->from * inner;
                double *to = y + (o * z->to + first + i) * inner;
                for (size_t j = 0; j < inner; j++) {
                    double sum = taps == 1 ? from[place[0] * inner + j] : from[place[0] * inner + j] * weight[0];
                    for (size_t k = 1; k < taps; k++) sum += from[place[k] * inner + j] * weight[k];
                    to[j] = rounded(f32, sum);
                }
            }
    }
}

static void resize_run(runner *r, const step *s) {
    io b = io_of(r, s);
    const resize_plan *p = s->plan;
    const double *x = floats(r, s, 0);
    double *buffer[2] = {take(r->c, r->a, p->largest, sizeof(double)), take(r->c, r->a, p->largest, sizeof(double))};
    for (size_t i = 0; i < r->rows; i++, x += b.in, b.y.f += b.out) {
        const double *from = x;
        for (size_t k = 0; k < p->n; k++) {
            double *to = k + 1 == p->n ? b.y.f : buffer[k % 2];
            resize_axis(&p->axis[k], s->f32, from, to);
            from = to;
        }
        if (p->n == 0) memcpy(b.y.f, x, b.out * sizeof *x);
    }
}

/* -- matmul -- */
/* Axes before the last two: where the matrix of every joint position begins in a row of the value. */
static size_t *matrix_places(context *c, arena *a, const value *v, int rank, const size_t *dims, size_t n) {
    value outer = *v;
    size_t *places = take(c, a, n, sizeof *places), index[MAX_RANK] = {0}, matrix = v->dims[v->rank - 1] * v->dims[v->rank - 2];
    outer.rank -= 2;
    for (size_t i = 0; i < n; i++) {
        places[i] = 0;
        for (int k = 0; k < outer.rank; k++)
            if (outer.dims[k] != 1) places[i] += index[rank - outer.rank + k] * stride_of(&outer, k) * matrix;
        for (int k = rank - 1; k >= 0 && ++index[k] == dims[k]; k--) index[k] = 0;
    }
    return places;
}

/* What matmul and attention do to matrices: how many there are in a row, and where each begins in every input. */
typedef struct matrices { size_t n, m, k, l, e, *place[3]; bool causal; double scale; picking bias; } matrices;

static matrices *join_matrices(loader *l, size_t inputs, int *rank, size_t dims[MAX_RANK]) {
    matrices *p = take_zeroed(l->c, l->keep, 1, sizeof *p);
    l->step->plan = p;
    *rank = 0;
    p->n = 1;
    for (size_t k = 0; k < inputs; k++) {
        need_rank(l, k, 2, MAX_RANK);
        broadcast(l, rank, dims, in_value(l, k)->rank - 2, in_value(l, k)->dims);
    }
    for (int k = 0; k < *rank; k++) p->n = product(l, p->n, dims[k]);
    if (p->n > l->limits->row) refuse(l->c, "Its rows have more elements than the limit of %zu.", l->limits->row);
    for (size_t k = 0; k < inputs; k++) p->place[k] = matrix_places(l->c, l->keep, in_value(l, k), *rank, dims, p->n);
    return p;
}

static size_t length_from_end(const loader *l, size_t k, int axis) { return in_value(l, k)->dims[in_value(l, k)->rank - axis]; }

static void matmul_check(loader *l) { /* plan: matrices [m, k] times [k, l] */
    mp_dtype dtype = nn_floats(l, 2, 2, 2);
    size_t dims[MAX_RANK + 2];
    int rank;
    matrices *p = join_matrices(l, 2, &rank, dims);
    p->m = dims[rank] = length_from_end(l, 0, 2);
    p->k = length_from_end(l, 0, 1);
    p->l = dims[rank + 1] = length_from_end(l, 1, 1);
    if (length_from_end(l, 1, 2) != p->k) refuse(l->c, "It multiplies rows of %zu elements with columns of %zu.", p->k, length_from_end(l, 1, 2));
    define_shape(l, dtype, rank + 2, dims);
    set_work_each(l, p->k);
}

/* y [m, rows of w] = x [m, columns of w] times w; sums [m][8]. */
static void multiply_matrix(const weights *w, const double *x, size_t m, double *sums, double *y) {
    for (size_t first = 0; first < w->rows; first += PANEL) {
        multiply_panel(w, first / PANEL, x, w->columns, m, sums);
        for (size_t i = 0; i < m; i++)
            for (size_t k = first; k < first + PANEL && k < w->rows; k++) y[i * w->rows + k] = sums[i * PANEL + k - first];
    }
}

static void matmul_run(runner *r, const step *s) {
    io b = io_of(r, s);
    const matrices *p = s->plan;
    const double *x = floats(r, s, 0), *z = floats(r, s, 1);
    double *sums = take(r->c, r->a, p->m, PANEL * sizeof *sums), *panels = take_panels(r, p->l, p->k);
    for (size_t i = 0; i < r->rows; i++, x += b.in, z += in_width(r, s, 1))
        for (size_t j = 0; j < p->n; j++, b.y.f += p->m * p->l) {
            weights w = values_as_weights(z + p->place[1][j], p->k, p->l, true, panels);
            multiply_matrix(&w, x + p->place[0][j], p->m, sums, b.y.f);
            for (size_t k = 0; s->f32 && k < p->m * p->l; k++) b.y.f[k] = to_f32(b.y.f[k]);
        }
}

/* -- windows: conv, conv_transpose, pool -- */
enum { SPACE_AXES = 3 };
enum { AUTO_NONE, SAME_UPPER, SAME_LOWER };

/* One axis of space: lengths of the input and of the result, and which elements the window of a result has. */
typedef struct window { size_t in, out, kernel, stride, dilation, before, after; } window;

/* Axes of space, those that are not there of length 1, so that there are always three; w: the kernel, row-major. */
typedef struct windows {
    size_t         channels, groups, out_channels, in, out, taps; /* in, out, taps: elements of space, of a window */
    window         axis[SPACE_AXES];
    int            fn;
    bool           count_pad, direct;
    const weights *w;
    tensor         bias;
} windows;

static size_t reach(const window *a) { return (a->kernel - 1) * a->dilation + 1; }

/* The attributes strides, dilations, pads (and auto), and the axes of space of the first input, [c, s1..sk]; sizes are the kernel's. */
static windows *read_windows(loader *l, const size_t *sizes, bool may_be_auto) {
    const value *x = in_value(l, 0);
    windows *p = take_zeroed(l->c, l->keep, 1, sizeof *p);
    size_t k = (size_t)x->rank - 1;
    int64_t most = 1 << 20;
    l->step->plan = p;
    p->channels = x->dims[0];
    p->in = x->width / x->dims[0];
    p->out = p->taps = 1;
    int same = may_be_auto ? choice(l, "auto", "none same_upper same_lower", AUTO_NONE) : AUTO_NONE;
    const int64_t *strides = integers_or(l, "strides", 1, most, k, 1), *dilations = integers_or(l, "dilations", 1, most, k, 1);
    if (same != AUTO_NONE && attribute(l, "pads")) refuse(l->c, "It has \"pads\" beside \"auto\"; one of them says how it pads.");
    const int64_t *pads = integers_or(l, "pads", 0, most, 2 * k, 0);
    for (size_t i = 0; i < SPACE_AXES; i++) {
        window *a = &p->axis[i];
        *a = (window){1, 1, 1, 1, 1, 0, 0};
        if (i + k < SPACE_AXES) continue;
        size_t j = i + k - SPACE_AXES;
        *a = (window){x->dims[1 + j], 0, sizes[j], (size_t)strides[j], (size_t)dilations[j], (size_t)pads[j], (size_t)pads[k + j]};
        if (a->kernel == 0 || a->kernel > l->limits->row || (a->kernel - 1) > l->limits->row / a->dilation)
            refuse(l->c, "Its window on axis %zu is empty or too long.", 1 + j);
        p->taps = product(l, p->taps, a->kernel);
        if (same == AUTO_NONE) continue;
        size_t positions = (a->in + a->stride - 1) / a->stride, needed = (positions - 1) * a->stride + reach(a);
        size_t total = needed > a->in ? needed - a->in : 0;
        a->before = same == SAME_UPPER ? total / 2 : total - total / 2;
        a->after = total - a->before;
    }
    return p;
}

/* How many windows fit: floor, or with `up` ceil. */
static void count_windows(loader *l, windows *p, bool up) {
    for (size_t i = 0; i < SPACE_AXES; i++) {
        window *a = &p->axis[i];
        size_t padded = a->in + a->before + a->after;
        if (padded < reach(a) && !(up && reach(a) - padded < a->stride))
            refuse(l->c, "Its window is longer than an axis of %zu elements with its padding.", a->in);
        size_t room = padded < reach(a) ? 0 : padded - reach(a);
        a->out = room / a->stride + (up && room % a->stride != 0) + 1;
        if (up && (a->out - 1) * a->stride >= a->in + a->before) a->out--;
        p->out = product(l, p->out, a->out);
    }
}

/* Defines [channels, lengths of space]. */
static void define_space(loader *l, mp_dtype dtype, const windows *p) {
    int rank = in_value(l, 0)->rank;
    size_t dims[MAX_RANK] = {p->out_channels};
    for (int k = 1; k < rank; k++) dims[k] = p->axis[SPACE_AXES - rank + k].out;
    define_shape(l, dtype, rank, dims);
}

static mp_dtype read_space_input(loader *l) {
    mp_dtype dtype = nn_floats(l, 1, 1, 1);
    need_rank(l, 0, 2, 1 + SPACE_AXES);
    return dtype;
}

/* The channels of weight and bias; channels of the result are those of `out`. */
static void read_bias(loader *l, mp_dtype dtype, windows *p, const windows *old, size_t out) {
    p->out_channels = out;
    if (old) p->bias = old->bias;
    if (tensor_attribute(l, "bias", (int)dtype, 1, false, &p->bias)) need_count(l, "bias", &p->bias, out);
}

/* -- conv -- */
/* Products with a matrix of windows; a loop over taps where there are groups, where a weight times the 0 of the padding is not 0,
 * and where windows are so large that some of them would fill the memory. */
enum { LARGEST_WINDOW = 1 << 16 };

static void conv_check(loader *l) { /* plan: windows */
    const windows *old = l->step->plan;
    mp_dtype dtype = read_space_input(l);
    tensor t;
    int rank = in_value(l, 0)->rank + 1;
    size_t groups = attribute(l, "groups") ? (size_t)whole(l, "groups", 1, (int64_t)l->limits->row) : 1;
    const weights *w = weights_attribute(l, "weight", dtype, rank, groups > 1, old ? old->w : NULL, &t);
    windows *p = read_windows(l, t.dims + 2, true);
    p->groups = groups;
    if (p->channels % groups || t.dims[0] % groups || t.dims[0] == 0 || t.dims[1] != p->channels / groups)
        refuse(l->c, "Its weight, of %zu times %zu channels, does not fit %zu channels in %zu groups.", t.dims[0], t.dims[1], p->channels, groups);
    read_bias(l, dtype, p, old, t.dims[0]);
    count_windows(l, p, false);
    define_space(l, dtype, p);
    set_work_each(l, t.count / t.dims[0]);
    p->direct = w->plain || !w->finite || w->columns > LARGEST_WINDOW;
    p->w = w;
}

/* y += w * x over the elements of a result that tap (z, y, x) of the window reaches; of all axes but the last, one by one. */
static void add_tap(const windows *p, const size_t tap[SPACE_AXES], double w, const double *x, double *y) {
    const window *a = p->axis;
    size_t first[SPACE_AXES], end[SPACE_AXES];
    ptrdiff_t shift[SPACE_AXES];
    for (int k = 0; k < SPACE_AXES; k++) {
        shift[k] = (ptrdiff_t)(tap[k] * a[k].dilation) - (ptrdiff_t)a[k].before; /* the element is o * stride + shift */
        ptrdiff_t s = (ptrdiff_t)a[k].stride, n = (ptrdiff_t)a[k].in;
        first[k] = shift[k] >= 0 ? 0 : (size_t)((-shift[k] + s - 1) / s);
        end[k] = n - 1 - shift[k] < 0 ? 0 : (size_t)((n - 1 - shift[k]) / s) + 1;
        if (end[k] > a[k].out) end[k] = a[k].out;
        if (first[k] > end[k]) first[k] = end[k];
    }
    for (size_t i = first[0]; i < end[0]; i++)
        for (size_t j = first[1]; j < end[1]; j++) {
            size_t line = ((size_t)((ptrdiff_t)(i * a[0].stride) + shift[0]) * a[1].in + (size_t)((ptrdiff_t)(j * a[1].stride) + shift[1])) * a[2].in;
            const double *from = x + line + ((ptrdiff_t)(first[2] * a[2].stride) + shift[2]);
            double *to = y + (i * a[1].out + j) * a[2].out;
            if (a[2].stride == 1) for (size_t k = first[2]; k < end[2]; k++) to[k] += w * *from++;
            else for (size_t k = first[2]; k < end[2]; k++, from += a[2].stride) to[k] += w * *from;
        }
}

/* Calls add_tap for all taps of one pair of channels, whose weights begin at `from`. */
static void add_taps(const windows *p, size_t from, const double *x, double *y) {
    size_t tap[SPACE_AXES];
    for (tap[0] = 0; tap[0] < p->axis[0].kernel; tap[0]++)
        for (tap[1] = 0; tap[1] < p->axis[1].kernel; tap[1]++)
            for (tap[2] = 0; tap[2] < p->axis[2].kernel; tap[2]++) add_tap(p, tap, weight_at(p->w, from++), x, y);
}

static void conv_directly(const windows *p, const double *x, double *y) {
    size_t in = p->channels / p->groups, out = p->out_channels / p->groups;
    memset(y, 0, p->out_channels * p->out * sizeof *y);
    for (size_t o = 0; o < p->out_channels; o++)
        for (size_t i = 0; i < in; i++)
            add_taps(p, (o * in + i) * p->taps, x + (o / out * in + i) * p->in, y + o * p->out);
}

/* The elements of the windows of results first..first + n, [n, channels, taps]; 0 outside. */
static void open_windows(const windows *p, const double *x, size_t first, size_t n, double *to) {
    const window *a = p->axis, *b = a + 1, *c = a + 2;
    for (size_t o = first; o < first + n; o++) {
        ptrdiff_t begin[SPACE_AXES] = {(ptrdiff_t)(o / c->out / b->out * a->stride) - (ptrdiff_t)a->before,
                                       (ptrdiff_t)(o / c->out % b->out * b->stride) - (ptrdiff_t)b->before,
                                       (ptrdiff_t)(o % c->out * c->stride) - (ptrdiff_t)c->before};
        bool inside = begin[2] >= 0 && (size_t)begin[2] + reach(c) <= c->in;
        for (size_t channel = 0; channel < p->channels; channel++)
            for (size_t i = 0; i < a->kernel; i++)
                for (size_t j = 0; j < b->kernel; j++) {
                    ptrdiff_t z = begin[0] + (ptrdiff_t)(i * a->dilation), y = begin[1] + (ptrdiff_t)(j * b->dilation);
                    if (z < 0 || z >= (ptrdiff_t)a->in || y < 0 || y >= (ptrdiff_t)b->in) {
                        for (size_t k = 0; k < c->kernel; k++) *to++ = 0;
                        continue;
                    }
                    const double *line = x + channel * p->in + ((size_t)z * b->in + (size_t)y) * c->in;
                    if (inside) {
                        for (size_t k = 0, at = (size_t)begin[2]; k < c->kernel; k++, at += c->dilation) *to++ = line[at];
                        continue;
                    }
                    for (size_t k = 0; k < c->kernel; k++) {
                        ptrdiff_t at = begin[2] + (ptrdiff_t)(k * c->dilation);
                        *to++ = at < 0 || at >= (ptrdiff_t)c->in ? 0.0 : line[at];
                    }
                }
    }
}

/* y [channels of the result, positions], block by block of positions. */
static void conv_by_products(runner *r, const windows *p, const double *x, double *y) {
    size_t columns = p->w->columns, most = r->m->pool ? 4 : columns < 256 ? 64 : columns < 2048 ? 16384 / columns : 8;
    double *block = take(r->c, r->a, most, columns * sizeof *block), *sums = take(r->c, r->a, most, PANEL * sizeof *sums);
    for (size_t first = 0; first < p->out; first += most) {
        size_t n = p->out - first < most ? p->out - first : most;
        open_windows(p, x, first, n, block);
        for (size_t o = 0; o < p->out_channels; o += PANEL) {
            multiply_panel(p->w, o / PANEL, block, columns, n, sums);
            for (size_t k = 0; k < PANEL && o + k < p->out_channels; k++)
                for (size_t i = 0; i < n; i++) y[(o + k) * p->out + first + i] = sums[i * PANEL + k];
        }
    }
}

/* Adds the bias and rounds. */
static void finish_channels(const windows *p, bool f32, double *y) {
    for (size_t o = 0; o < p->out_channels; o++)
        for (size_t i = 0; i < p->out; i++, y++) *y = rounded(f32, *y + (p->bias.data.f ? p->bias.data.f[o] : 0.0));
}

static void conv_run(runner *r, const step *s) {
    io b = io_of(r, s);
    const windows *p = s->plan;
    const double *x = floats(r, s, 0);
    mark before = mark_arena(r->a);
    for (size_t i = 0; i < r->rows; i++, x += b.in, b.y.f += b.out) {
        if (p->direct) conv_directly(p, x, b.y.f);
        else conv_by_products(r, p, x, b.y.f);
        finish_channels(p, s->f32, b.y.f);
        reset_arena(r->a, before);
    }
}

/* -- conv_transpose: the windows of the convolution that it turns round, whose results are its input -- */
static void conv_transpose_check(loader *l) { /* plan: windows */
    const windows *old = l->step->plan;
    mp_dtype dtype = read_space_input(l);
    const value *x = in_value(l, 0);
    tensor t;
    size_t k = (size_t)x->rank - 1, groups = attribute(l, "groups") ? (size_t)whole(l, "groups", 1, (int64_t)l->limits->row) : 1;
    const weights *w = weights_attribute(l, "weight", dtype, x->rank + 1, true, old ? old->w : NULL, &t);
    windows *p = read_windows(l, t.dims + 2, false);
    const int64_t *more = integers_or(l, "output_padding", 0, (int64_t)l->limits->row, k, 0);
    p->groups = groups;
    p->w = w;
    if (p->channels % groups || t.dims[0] != p->channels || t.dims[1] == 0)
        refuse(l->c, "Its weight, of %zu times %zu channels, does not fit %zu channels in %zu groups.", t.dims[0], t.dims[1], p->channels, groups);
    read_bias(l, dtype, p, old, product(l, t.dims[1], groups));
    size_t largest = l->limits->row;
    for (size_t i = 0; i < SPACE_AXES; i++) {
        window *a = &p->axis[i];
        size_t extra = i + k < SPACE_AXES ? 0 : (size_t)more[i + k - SPACE_AXES];
        if (extra && extra >= a->stride && extra >= a->dilation) refuse(l->c, "Its output_padding %zu is not below the stride or the dilation.", extra);
        if (a->in - 1 > largest / a->stride) refuse(l->c, "Its rows have more elements than the limit of %zu.", largest);
        size_t whole_length = a->stride * (a->in - 1) + extra + reach(a);
        if (whole_length <= a->before + a->after) refuse(l->c, "It cuts off all of an axis of %zu elements.", whole_length);
        a->out = whole_length - a->before - a->after;
        p->out = product(l, p->out, a->out);
    }
    define_space(l, dtype, p);
    set_work(l, x->width, t.count / t.dims[0]);
}

/* As add_tap, from the other side: the element of the result is i * stride + shift. */
static void spread_tap(const windows *p, const size_t tap[SPACE_AXES], double w, const double *x, double *y) {
    const window *a = p->axis;
    ptrdiff_t shift[SPACE_AXES], at[SPACE_AXES];
    for (int k = 0; k < SPACE_AXES; k++) shift[k] = (ptrdiff_t)(tap[k] * a[k].dilation) - (ptrdiff_t)a[k].before;
    for (size_t i = 0; i < a[0].in; i++)
        for (size_t j = 0; j < a[1].in; j++, x += a[2].in) {
            at[0] = (ptrdiff_t)(i * a[0].stride) + shift[0];
            at[1] = (ptrdiff_t)(j * a[1].stride) + shift[1];
            if (at[0] < 0 || at[0] >= (ptrdiff_t)a[0].out || at[1] < 0 || at[1] >= (ptrdiff_t)a[1].out) continue;
            double *line = y + ((size_t)at[0] * a[1].out + (size_t)at[1]) * a[2].out;
            for (size_t k = 0; k < a[2].in; k++) {
                at[2] = (ptrdiff_t)(k * a[2].stride) + shift[2];
                if (at[2] >= 0 && at[2] < (ptrdiff_t)a[2].out) line[at[2]] += w * x[k];
            }
        }
}

static void conv_transpose_run(runner *r, const step *s) {
    io b = io_of(r, s);
    const windows *p = s->plan;
    const double *x = floats(r, s, 0);
    size_t out = p->out_channels / p->groups, tap[SPACE_AXES];
    memset(b.y.f, 0, b.n * sizeof *b.y.f);
    for (size_t i = 0; i < r->rows; i++, b.y.f += b.out) {
        for (size_t c = 0, at = 0; c < p->channels; c++, x += p->in)
            for (size_t o = c / (p->channels / p->groups) * out, n = 0; n < out; n++, o++)
                for (tap[0] = 0; tap[0] < p->axis[0].kernel; tap[0]++)
                    for (tap[1] = 0; tap[1] < p->axis[1].kernel; tap[1]++)
                        for (tap[2] = 0; tap[2] < p->axis[2].kernel; tap[2]++)
                            spread_tap(p, tap, weight_at(p->w, at++), x, b.y.f + o * p->out);
        finish_channels(p, s->f32, b.y.f);
    }
}

/* -- pool -- */
enum { POOL_MAX, POOL_MEAN };

/* The taps of a result that are inside: from *first to *end; returns how many are inside the padded input. */
static size_t taps_inside(const window *a, size_t o, size_t *first, size_t *end) {
    size_t begin = o * a->stride, d = a->dilation, last = a->before + a->in, padded = last + a->after;
    *first = begin >= a->before ? 0 : (a->before - begin + d - 1) / d;
    *end = last <= begin ? 0 : (last - begin + d - 1) / d;
    if (*end > a->kernel) *end = a->kernel;
    size_t counted = padded <= begin ? 0 : (padded - begin + d - 1) / d;
    return counted > a->kernel ? a->kernel : counted;
}

static void pool_check(loader *l) { /* plan: windows */
    mp_dtype dtype = read_space_input(l);
    size_t k = (size_t)in_value(l, 0)->rank - 1, sizes[SPACE_AXES];
    const int64_t *size = counted_integers(l, "size", 1, 1 << 20, k).data.i;
    for (size_t j = 0; j < k; j++) sizes[j] = (size_t)size[j];
    windows *p = read_windows(l, sizes, true);
    p->fn = choice(l, "fn", "max mean", REQUIRED);
    p->count_pad = p->fn == POOL_MEAN && flag(l, "count_pad", false);
    p->out_channels = p->channels;
    for (size_t i = 0; i < SPACE_AXES; i++)
        if (p->axis[i].before >= reach(&p->axis[i]) || p->axis[i].after >= reach(&p->axis[i]))
            refuse(l->c, "Its pads are not below the reach of its window.");
    count_windows(l, p, flag(l, "ceil", false));
    for (size_t i = 0; i < SPACE_AXES; i++)
        for (size_t o = 0, first, end; o < p->axis[i].out; o++) {
            taps_inside(&p->axis[i], o, &first, &end);
            if (first >= end) refuse(l->c, "A window of it holds no element of its input.");
        }
    define_space(l, dtype, p);
    set_work_each(l, p->taps);
}

static double pool_window(const windows *p, const double *x, const size_t o[SPACE_AXES]) {
    const window *a = p->axis;
    size_t first[SPACE_AXES], end[SPACE_AXES], count = 1, inside = 1;
    double sum = 0, most = -INFINITY;
    for (int k = 0; k < SPACE_AXES; k++) {
        count *= taps_inside(&a[k], o[k], &first[k], &end[k]);
        inside *= end[k] - first[k];
    }
    for (size_t i = first[0]; i < end[0]; i++)
        for (size_t j = first[1]; j < end[1]; j++) {
            size_t z = o[0] * a[0].stride + i * a[0].dilation - a[0].before, y = o[1] * a[1].stride + j * a[1].dilation - a[1].before;
            const double *line = x + (z * a[1].in + y) * a[2].in;
            for (size_t k = first[2]; k < end[2]; k++) {
                double v = line[o[2] * a[2].stride + k * a[2].dilation - a[2].before];
                sum += v;
                if (v > most || (is_nan(v) && !is_nan(most))) most = v;
            }
        }
    return p->fn == POOL_MAX ? most : sum / (double)(p->count_pad ? count : inside);
}

static void pool_run(runner *r, const step *s) {
    io b = io_of(r, s);
    const windows *p = s->plan;
    const double *x = floats(r, s, 0);
    size_t o[SPACE_AXES];
    for (size_t i = 0; i < r->rows * p->channels; i++, x += p->in)
        for (o[0] = 0; o[0] < p->axis[0].out; o[0]++)
            for (o[1] = 0; o[1] < p->axis[1].out; o[1]++)
                for (o[2] = 0; o[2] < p->axis[2].out; o[2]++) *b.y.f++ = rounded(s->f32, pool_window(p, x, o));
}

/* ==== 7 Norms ====================================================================================================== */

/* -- batch_norm, layer_norm, group_norm -- */
static void batch_norm_check(loader *l) { /* t: mean, var; per: scale, bias; number[0] eps */
    step *s = l->step;
    mp_dtype dtype = nn_floats(l, 1, 1, 1);
    need_rank(l, 0, 1, MAX_RANK);
    size_t c = in_value(l, 0)->dims[0];
    s->t[0] = counted(l, "mean", dtype, c);
    s->t[1] = counted(l, "var", dtype, c);
    s->per[0].f = attribute(l, "scale") ? counted(l, "scale", dtype, c).data.f : NULL;
    s->per[1].f = attribute(l, "bias") ? counted(l, "bias", dtype, c).data.f : NULL;
    s->number[0] = need_finite(l, "eps");
    define_alike(l, dtype);
}

static double scaled(const step *s, double x, size_t k) {
    if (s->per[0].f) x *= s->per[0].f[k];
    return rounded(s->f32, s->per[1].f ? x + s->per[1].f[k] : x);
}

static void batch_norm_run(runner *r, const step *s) {
    io b = io_of(r, s);
    const double *x = floats(r, s, 0);
    size_t c = input_of(r, s, 0)->dims[0], n = b.in / c;
    for (size_t i = 0; i < r->rows * c; i++) {
        double mean = s->t[0].data.f[i % c], root = sqrt(s->t[1].data.f[i % c] + s->number[0]);
        for (size_t j = 0; j < n; j++) *b.y.f++ = scaled(s, (*x++ - mean) / root, i % c);
    }
}

/* An optional tensor of the shape of the last `axes` axes. */
static double *last_axes_attribute(loader *l, const char *name, mp_dtype dtype, int axes) {
    const value *x = in_value(l, 0);
    tensor t;
    if (!tensor_attribute(l, name, (int)dtype, axes, false, &t)) return NULL;
    if (memcmp(t.dims, x->dims + x->rank - axes, (size_t)axes * sizeof *t.dims) != 0)
        refuse(l->c, "Its attribute \"%s\" has not the shape of the last %d axes.", name, axes);
    return t.data.f;
}

static void layer_norm_check(loader *l) { /* per: scale, bias; number[0] eps; size: elements; word: center */
    step *s = l->step;
    mp_dtype dtype = nn_floats(l, 1, 1, 1);
    const value *x = in_value(l, 0);
    int axes = attribute(l, "axes") ? (int)whole(l, "axes", 1, x->rank) : 1;
    need_rank(l, 0, axes, MAX_RANK);
    s->per[0].f = last_axes_attribute(l, "scale", dtype, axes);
    s->per[1].f = last_axes_attribute(l, "bias", dtype, axes);
    s->number[0] = need_finite(l, "eps");
    s->word = flag(l, "center", true);
    s->size = stride_of(x, x->rank - axes - 1);
    define_alike(l, dtype);
}

/* The mean (0 without center) of n elements, and the root of their variance about it plus eps. */
static double center(const double *x, size_t n, bool center, double eps, double *root) {
    double sum = 0, squares = 0;
    for (size_t j = 0; center && j < n; j++) sum += x[j];
    double mean = sum / (double)n;
    for (size_t j = 0; j < n; j++) squares += (x[j] - mean) * (x[j] - mean);
    *root = sqrt(squares / (double)n + eps);
    return mean;
}

static void layer_norm_run(runner *r, const step *s) {
    io b = io_of(r, s);
    const double *x = floats(r, s, 0);
    for (size_t i = 0; i < b.n; i += s->size, x += s->size) {
        double root, mean = center(x, s->size, s->word, s->number[0], &root);
        for (size_t j = 0; j < s->size; j++) b.y.f[i + j] = scaled(s, (x[j] - mean) / root, j);
    }
}

static void group_norm_check(loader *l) { /* per: scale, bias; number[0] eps; size: elements of a group */
    step *s = l->step;
    mp_dtype dtype = nn_floats(l, 1, 1, 1);
    const value *x = in_value(l, 0);
    need_rank(l, 0, 1, MAX_RANK);
    size_t c = x->dims[0], groups = (size_t)whole(l, "groups", 1, (int64_t)c);
    if (c % groups) refuse(l->c, "Its %zu channels do not make %zu groups.", c, groups);
    s->per[0].f = attribute(l, "scale") ? counted(l, "scale", dtype, c).data.f : NULL;
    s->per[1].f = attribute(l, "bias") ? counted(l, "bias", dtype, c).data.f : NULL;
    s->number[0] = need_finite(l, "eps");
    s->size = x->width / groups;
    define_alike(l, dtype);
}

static void group_norm_run(runner *r, const step *s) {
    io b = io_of(r, s);
    const double *x = floats(r, s, 0);
    size_t n = b.in / input_of(r, s, 0)->dims[0];
    for (size_t i = 0; i < b.n; i += s->size, x += s->size) {
        double root, mean = center(x, s->size, true, s->number[0], &root);
        for (size_t j = 0; j < s->size; j++) b.y.f[i + j] = scaled(s, (x[j] - mean) / root, (i + j) % b.in / n);
    }
}

/* -- activation -- */
enum {
    A_ELU, A_CELU, A_SELU, A_LEAKY_RELU, A_GELU, A_GELU_TANH, A_QUICK_GELU, A_SILU, A_HARD_SIGMOID, A_HARD_SWISH, A_SOFTSIGN, A_MISH,
    A_TANH_SHRINK, A_HARD_SHRINK, A_SOFT_SHRINK, A_THRESHOLD, A_SQUAREPLUS
};
static const char ACTIVATION_WORDS[] =
    "elu celu selu leaky_relu gelu gelu_tanh quick_gelu silu hard_sigmoid hard_swish softsign mish tanh_shrink hard_shrink soft_shrink "
    "threshold squareplus";
/* Which of alpha and beta a fn has, and their defaults. */
static const struct { bool alpha, beta; double defaults[2]; } ACTIVATIONS[] = {
    [A_ELU] = {true, false, {1, 0}},             [A_CELU] = {true, false, {1, 0}},          [A_LEAKY_RELU] = {true, false, {0.01, 0}},
    [A_QUICK_GELU] = {true, false, {1.702, 0}},  [A_HARD_SIGMOID] = {true, true, {1.0 / 6, 0.5}},
    [A_HARD_SHRINK] = {true, false, {0.5, 0}},   [A_SOFT_SHRINK] = {true, false, {0.5, 0}}, [A_THRESHOLD] = {true, true, {0, 0}},
    [A_SQUAREPLUS] = {true, false, {4, 0}},
};

static double unit(double x) { return x < 0 ? 0.0 : x > 1 ? 1.0 : x; }

static double activate(int fn, double x, double alpha, double beta) {
    if (is_nan(x)) return x;
    switch (fn) {
    case A_ELU: return x > 0 ? x : alpha * expm1(x);
    case A_CELU: return fmax(x, 0.0) + fmin(0.0, alpha * expm1(x / alpha));
    case A_SELU: return 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * expm1(x));
    case A_LEAKY_RELU: return x >= 0 ? x : alpha * x;
    case A_GELU: return x / 2 * (1 + f_erf(x / sqrt(2.0)));
    case A_GELU_TANH: return x / 2 * (1 + tanh(0.7978845608028654 * (x + 0.044715 * (x * x * x))));
    case A_QUICK_GELU: return x * f_sigmoid(alpha * x);
    case A_SILU: return x * f_sigmoid(x);
    case A_HARD_SIGMOID: return unit(alpha * x + beta);
    case A_HARD_SWISH: return x * unit(x / 6 + 0.5);
    case A_SOFTSIGN: return x / (1 + fabs(x));
    case A_MISH: return x * tanh(f_softplus(x));
    case A_TANH_SHRINK: return x - tanh(x);
    case A_HARD_SHRINK: return fabs(x) > alpha ? x : 0.0;
    case A_SOFT_SHRINK: return x > alpha ? x - alpha : x < -alpha ? x + alpha : 0.0;
    case A_THRESHOLD: return x > alpha ? x : beta;
    default: return (x + sqrt(x * x + alpha)) / 2;
    }
}

static void activation_check(loader *l) { /* word: fn; number: alpha, beta */
    mp_dtype dtype = nn_floats(l, 1, 1, 1);
    int fn = l->step->word = choice(l, "fn", ACTIVATION_WORDS, REQUIRED);
    if (ACTIVATIONS[fn].alpha) l->step->number[0] = real_number(l, "alpha", ACTIVATIONS[fn].defaults[0]);
    if (ACTIVATIONS[fn].beta) l->step->number[1] = real_number(l, "beta", ACTIVATIONS[fn].defaults[1]);
    if (fn == A_CELU && l->step->number[0] == 0) refuse(l->c, "Its attribute \"alpha\" is 0.");
    define_alike(l, dtype);
    set_work_each(l, COSTLY);
}

static void activation_run(runner *r, const step *s) {
    io b = io_of(r, s);
    const double *x = floats(r, s, 0);
    for (size_t i = 0; i < b.n; i++) b.y.f[i] = rounded(s->f32, activate(s->word, x[i], s->number[0], s->number[1]));
}

/* -- prelu -- */
static void prelu_check(loader *l) { /* t[0] slope; plan: how it spreads */
    mp_dtype dtype = nn_floats(l, 1, 1, 1);
    const value *x = in_value(l, 0);
    tensor t = read_tensor(l, need(l, l->json, "slope"), (int)dtype, "slope");
    if (t.dtype != dtype) refuse(l->c, "Its attribute \"slope\" is not %s.", DTYPES[dtype].name);
    value v = {.dtype = dtype, .rank = t.rank};
    bool fits = t.rank <= x->rank;
    for (int k = 0; fits && k < t.rank; k++) {
        v.dims[k] = t.dims[k];
        fits = t.dims[k] == 1 || t.dims[k] == x->dims[x->rank - t.rank + k];
    }
    if (!fits) refuse(l->c, "Its slope does not broadcast to the rows of its input.");
    picking *p = take(l->c, l->keep, 1, sizeof *p);
    *p = spreading(l->c, l->keep, &v, x->rank, x->dims);
    l->step->t[0] = t;
    l->step->plan = p;
    define_alike(l, dtype);
}

static void prelu_run(runner *r, const step *s) {
    io b = io_of(r, s);
    const double *x = floats(r, s, 0);
    double *slope = take(r->c, r->a, b.in, sizeof *slope);
    pick(MP_F64, (column){.f = slope}, 0, s->t[0].data, 0, s->plan, s->t[0].data);
    for (size_t i = 0; i < b.n; i++) b.y.f[i] = x[i] >= 0 ? x[i] : rounded(s->f32, slope[i % b.in] * x[i]);
}

/* ==== 8 Sequences ================================================================================================== */

enum { G_TANH, G_SIGMOID, G_RELU, G_HARD_SIGMOID, G_LINEAR, G_SOFTSIGN, G_SILU, G_ELU, G_SELU, G_SOFTPLUS, G_GELU };
static const char GATE_WORDS[] = "tanh sigmoid relu hard_sigmoid linear softsign silu elu selu softplus gelu";
enum { SEQUENCE, LAST, CELL };

/* gates: how many rows per unit the matrices have (lstm 4, gru 3, rnn 1). */
typedef struct recurrence {
    size_t         t, i, u, gates;
    int            fn, gate_fn, result, mask; /* mask: the number of that input, or NOT_FOUND */
    bool           initial, reverse, zero_masked, reset_after;
    const weights *w, *recurrent;
    const double  *bias, *recurrent_bias;
} recurrence;

static double gate(int fn, double x) {
    switch (fn) {
    case G_TANH: return tanh(x);
    case G_SIGMOID: return f_sigmoid(x);
    case G_RELU: return f_relu(x);
    case G_HARD_SIGMOID: return activate(A_HARD_SIGMOID, x, 1.0 / 6, 0.5);
    case G_SOFTSIGN: return activate(A_SOFTSIGN, x, 0, 0);
    case G_SILU: return activate(A_SILU, x, 0, 0);
    case G_ELU: return activate(A_ELU, x, 1, 0);
    case G_SELU: return activate(A_SELU, x, 0, 0);
    case G_SOFTPLUS: return f_softplus(x);
    case G_GELU: return activate(A_GELU, x, 0, 0);
    default: return x;
    }
}

/* What the three have in common; `states` is how many vectors begin the recurrence. */
static recurrence *read_recurrence(loader *l, size_t gates, size_t states, const char *results) {
    step *s = l->step;
    const recurrence *old = s->plan;
    recurrence *p = take_zeroed(l->c, l->keep, 1, sizeof *p);
    nn_inputs(l, 1, 2 + states);
    size_t n = s->n_in - 1, u;
    tensor t;
    p->mask = in_value(l, n)->dtype == MP_BOOL ? (int)n-- : NOT_FOUND;
    if (n != 0 && n != states) refuse(l->c, "It has %zu inputs beside its sequence; its recurrence begins with %zu.", n, states);
    for (size_t k = 0; k <= n; k++) need_float(l, k);
    mp_dtype dtype = step_dtype(l);
    need_rank(l, 0, 2, 2);
    p->gates = gates;
    p->initial = n > 0;
    p->t = in_value(l, 0)->dims[0];
    p->i = in_value(l, 0)->dims[1];
    p->recurrent = weights_attribute(l, "recurrent", dtype, 2, false, old ? old->recurrent : NULL, &t);
    p->u = u = t.dims[1];
    if (u == 0 || t.dims[0] / gates != u || t.dims[0] % gates) refuse(l->c, "Its attribute \"recurrent\" is not [%zu u, u].", gates);
    size_t work = t.count;
    p->w = weights_attribute(l, "weight", dtype, 2, false, old ? old->w : NULL, &t);
    if (t.dims[0] != gates * u || t.dims[1] != p->i)
        refuse(l->c, "Its attribute \"weight\" has shape [%zu, %zu]; [%zu, %zu] is needed.", t.dims[0], t.dims[1], gates * u, p->i);
    for (size_t k = 1; k <= n; k++)
        if (in_value(l, k)->rank != 1 || in_value(l, k)->width != u) refuse(l->c, "Its input %zu is not a row of %zu elements.", k, u);
    if (p->mask != NOT_FOUND && (in_value(l, (size_t)p->mask)->rank != 1 || in_value(l, (size_t)p->mask)->width != p->t))
        refuse(l->c, "Its mask is not a row of %zu elements.", p->t);
    p->bias = attribute(l, "bias") ? counted(l, "bias", dtype, gates * u).data.f : NULL;
    p->fn = choice(l, "fn", GATE_WORDS, G_TANH);
    if (gates > 1) p->gate_fn = choice(l, "gate_fn", GATE_WORDS, G_SIGMOID);
    p->reverse = flag(l, "reverse", false);
    p->zero_masked = flag(l, "zero_masked", false);
    if (p->zero_masked && p->mask == NOT_FOUND) refuse(l->c, "It has \"zero_masked\", but no mask.");
    p->result = choice(l, "result", results, SEQUENCE);
    set_work(l, p->t, work + t.count + 3 * COSTLY * gates * u);
    if (p->result == SEQUENCE) define_shape(l, dtype, 2, (size_t[]){p->t, u});
    else define(l, dtype, 1, u);
    s->plan = p;
    return p;
}

/* The vectors of one row while it runs: z = weight x + bias, v = recurrent h (+ recurrent_bias), of all gates. */
typedef struct recurring { const recurrence *p; bool f32; double *h, *c, *z, *v, *w; } recurring;
typedef void (*recurring_step)(const recurring *);

static void lstm_step(const recurring *q) {
    const recurrence *p = q->p;
    size_t u = p->u;
    multiply_vector(p->recurrent, 0, 4 * u, q->h, q->v);
    for (size_t k = 0; k < u; k++) {
        double i = gate(p->gate_fn, q->z[k] + q->v[k]), f = gate(p->gate_fn, q->z[u + k] + q->v[u + k]);
        double g = gate(p->fn, q->z[2 * u + k] + q->v[2 * u + k]), o = gate(p->gate_fn, q->z[3 * u + k] + q->v[3 * u + k]);
        double c = f * q->c[k] + i * g;
        q->c[k] = rounded(q->f32, c);
        q->h[k] = rounded(q->f32, o * gate(p->fn, c));
    }
}

static void gru_step(const recurring *q) {
    const recurrence *p = q->p;
    size_t u = p->u;
    multiply_vector(p->recurrent, 0, p->reset_after ? 3 * u : 2 * u, q->h, q->v);
    if (!p->reset_after) {
        for (size_t k = 0; k < u; k++) {
            double bias = p->recurrent_bias ? p->recurrent_bias[u + k] : 0;
            q->w[k] = gate(p->gate_fn, q->z[u + k] + q->v[u + k] + bias) * q->h[k];
        }
        multiply_vector(p->recurrent, 2 * u, 3 * u, q->w, q->v + 2 * u);
    }
    for (size_t k = 0; p->recurrent_bias && k < 3 * u; k++) q->v[k] += p->recurrent_bias[k];
    for (size_t k = 0; k < u; k++) {
        double z = gate(p->gate_fn, q->z[k] + q->v[k]), reset = p->reset_after ? gate(p->gate_fn, q->z[u + k] + q->v[u + k]) : 1;
        double n = gate(p->fn, q->z[2 * u + k] + reset * q->v[2 * u + k]);
        q->h[k] = rounded(q->f32, (1 - z) * n + z * q->h[k]);
    }
}

static void rnn_step(const recurring *q) {
    const recurrence *p = q->p;
    multiply_vector(p->recurrent, 0, p->u, q->h, q->v);
    for (size_t k = 0; k < p->u; k++) q->h[k] = rounded(q->f32, gate(p->fn, q->z[k] + q->v[k]));
}

static double *take_numbers(runner *r, size_t n) { return take(r->c, r->a, n, sizeof(double)); }

static void recur(runner *r, const step *s, recurring_step next) {
    io b = io_of(r, s);
    const recurrence *p = s->plan;
    const double *x = floats(r, s, 0), *h = p->initial ? floats(r, s, 1) : NULL, *c = p->initial && p->gates == 4 ? floats(r, s, 2) : NULL;
    const int64_t *mask = p->mask == NOT_FOUND ? NULL : in_column(r, s, (size_t)p->mask).i;
    size_t u = p->u, n = p->gates * u, most = r->m->pool ? 1 : p->t < 32 ? p->t : 32; /* so many times a product of matrices */
    double *z = take(r->c, r->a, most, n * sizeof *z), *sums = take(r->c, r->a, most, PANEL * sizeof *sums);
    recurring q = {p, s->f32, take_numbers(r, u), take_numbers(r, u), NULL, take_numbers(r, n), take_numbers(r, u)};
    for (size_t i = 0; i < r->rows; i++, x += b.in, b.y.f += b.out) {
        for (size_t k = 0; k < u; k++) {
            q.h[k] = h ? h[i * u + k] : 0;
            q.c[k] = c ? c[i * u + k] : 0;
        }
        for (size_t k = 0, first = 0; k < p->t; k++) {
            size_t t = p->reverse ? p->t - 1 - k : k;
            bool passed = mask && !mask[i * p->t + t];
            if (k % most == 0) {
                size_t times = p->t - k < most ? p->t - k : most;
                first = p->reverse ? t + 1 - times : t;
                multiply_matrix(p->w, x + first * p->i, times, sums, z);
            }
            if (!passed) {
                q.z = z + (t - first) * n;
                for (size_t j = 0; p->bias && j < n; j++) q.z[j] += p->bias[j];
                next(&q);
            }
            if (p->result != SEQUENCE) continue;
            for (size_t j = 0; j < u; j++) b.y.f[t * u + j] = passed && p->zero_masked ? 0.0 : q.h[j];
        }
        if (p->result != SEQUENCE) memcpy(b.y.f, p->result == CELL ? q.c : q.h, u * sizeof *q.h);
    }
}

static void lstm_check(loader *l) { read_recurrence(l, 4, 2, "sequence last cell"); }
static void lstm_run(runner *r, const step *s) { recur(r, s, lstm_step); }

static void gru_check(loader *l) {
    recurrence *p = read_recurrence(l, 3, 1, "sequence last");
    p->reset_after = flag(l, "reset_after", false);
    mp_dtype dtype = l->step->f32 ? MP_F32 : MP_F64;
    p->recurrent_bias = attribute(l, "recurrent_bias") ? counted(l, "recurrent_bias", dtype, 3 * p->u).data.f : NULL;
}
static void gru_run(runner *r, const step *s) { recur(r, s, gru_step); }

static void rnn_check(loader *l) { read_recurrence(l, 1, 1, "sequence last"); }
static void rnn_run(runner *r, const step *s) { recur(r, s, rnn_step); }

/* ==== 9 Attention ================================================================================================== */

static void attention_check(loader *l) { /* plan: matrices: m queries, l keys, k and e elements of keys and values */
    mp_dtype dtype = nn_floats(l, 3, 4, 4);
    size_t dims[MAX_RANK + 2];
    int rank;
    matrices *p = join_matrices(l, 3, &rank, dims);
    p->m = length_from_end(l, 0, 2);
    p->k = length_from_end(l, 0, 1);
    p->l = length_from_end(l, 1, 2);
    p->e = length_from_end(l, 2, 1);
    if (length_from_end(l, 1, 1) != p->k || length_from_end(l, 2, 2) != p->l)
        refuse(l->c, "Its queries, keys and values do not fit each other.");
    p->scale = attribute(l, "scale") ? real_number(l, "scale", 0) : 1 / sqrt((double)p->k);
    p->causal = flag(l, "causal", false);
    size_t scores = product(l, product(l, p->n, p->m), p->l);
    dims[rank] = p->m;
    dims[rank + 1] = p->l;
    if (l->step->n_in == 4) {
        const value *bias = in_value(l, 3);
        size_t joint[MAX_RANK + 2];
        int joint_rank = rank + 2;
        if (scores > l->limits->row || rank + 2 > MAX_RANK) refuse(l->c, "Its scores have more elements than the limit of %zu.", l->limits->row);
        memcpy(joint, dims, sizeof joint);
        if (bias->rank <= joint_rank) broadcast(l, &joint_rank, joint, bias->rank, bias->dims);
        if (bias->rank > joint_rank || memcmp(joint, dims, (size_t)joint_rank * sizeof *dims) != 0)
            refuse(l->c, "Its bias does not broadcast to its scores.");
        p->bias = spreading(l->c, l->keep, bias, rank + 2, dims);
    }
    dims[rank + 1] = p->e;
    define_shape(l, dtype, rank + 2, dims);
    set_work(l, scores, p->k + p->e + COSTLY);
}

/* The scores of one query, for n keys, become weights. */
static void weigh(const matrices *p, size_t n, const double *bias, double *s) {
    double sum = 0;
    for (size_t j = 0; j < n; j++) s[j] = p->scale * s[j] + (bias ? bias[j] : 0.0);
    double most = s[find_extreme(s, n, false)];
    for (size_t j = 0; j < n; j++) sum += s[j] = exp(s[j] - most);
    for (size_t j = 0; j < n; j++) s[j] /= sum;
}

/* y = the products of the first n columns of a matrix, in panels, with x. */
static void multiply_beginning(const weights *w, size_t n, const double *x, double *y) {
    for (size_t first = 0; first < w->rows; first += PANEL) {
        double sums[PANEL] = {0};
        add_products(x, n, 1, n, (const double *)w->elements + first * w->columns, sums, false);
        for (size_t k = 0; k < PANEL && first + k < w->rows; k++) y[first + k] = sums[k];
    }
}

static void attention_run(runner *r, const step *s) {
    io b = io_of(r, s);
    const matrices *p = s->plan;
    const double *q = floats(r, s, 0), *k = floats(r, s, 1), *v = floats(r, s, 2), *bias = s->n_in == 4 ? floats(r, s, 3) : NULL;
    size_t most = r->m->pool || p->l > 1 << 14 ? 1 : (1 << 16) / p->l; /* queries at a time */
    if (most > p->m) most = p->m;
    double *scores = take(r->c, r->a, most, p->l * sizeof *scores), *sums = take(r->c, r->a, most, PANEL * sizeof *sums);
    double *key_panels = take_panels(r, p->l, p->k), *value_panels = take_panels(r, p->e, p->l);
    double *all = bias ? take(r->c, r->a, p->bias.width, sizeof *all) : NULL;
    for (size_t i = 0; i < r->rows; i++) {
        if (bias) pick(MP_F64, (column){.f = all}, 0, (column){.f = (double *)bias}, i * in_width(r, s, 3), &p->bias, (column){.f = all});
        for (size_t j = 0; j < p->n; j++) {
            weights keys = values_as_weights(k + i * in_width(r, s, 1) + p->place[1][j], p->l, p->k, false, key_panels);
            weights values = values_as_weights(v + i * in_width(r, s, 2) + p->place[2][j], p->l, p->e, true, value_panels);
            for (size_t first = 0; first < p->m; first += most) {
                size_t n = p->m - first < most ? p->m - first : most;
                multiply_matrix(&keys, q + i * in_width(r, s, 0) + p->place[0][j] + first * p->k, n, sums, scores);
                for (size_t m = 0; m < n; m++) {
                    size_t counted = p->causal && first + m + 1 < p->l ? first + m + 1 : p->l;
                    weigh(p, counted, bias ? all + (j * p->m + first + m) * p->l : NULL, scores + m * p->l);
                    if (p->causal) multiply_beginning(&values, counted, scores + m * p->l, b.y.f + m * p->e);
                }
                if (!p->causal) multiply_matrix(&values, scores, n, sums, b.y.f);
                for (size_t m = 0; m < n * p->e; m++, b.y.f++) *b.y.f = rounded(s->f32, *b.y.f);
            }
        }
    }
}

/* -- cumsum -- */
enum { EXCLUSIVE = 1, REVERSE = 2 };

static void cumsum_check(loader *l) { /* word: axis; size: EXCLUSIVE and REVERSE */
    const value *x = nn_inputs(l, 1, 1);
    need_dtype(l, 0, is_float(x->dtype) || x->dtype == MP_I64, "f64, f32 or i64");
    mp_dtype dtype = step_dtype(l);
    l->step->word = (int)whole(l, "axis", 0, x->rank - 1);
    l->step->size = (size_t)(flag(l, "exclusive", false) * EXCLUSIVE + flag(l, "reverse", false) * REVERSE);
    define_alike(l, is_float(x->dtype) ? dtype : MP_I64);
}

static void cumsum_run(runner *r, const step *s) {
    io b = io_of(r, s);
    const value *v = input_of(r, s, 0);
    bool whole_numbers = v->dtype == MP_I64;
    const double *x = whole_numbers ? NULL : floats(r, s, 0);
    size_t n = v->dims[s->word], inner = stride_of(v, s->word);
    for (size_t i = 0; i < b.n; i++) {
        if (i / inner % n != 0) continue; /* the beginning of a line along the axis */
        double sum = 0;
        uint64_t total = 0;
        for (size_t k = 0; k < n; k++) {
            size_t at = i + (s->size & REVERSE ? n - 1 - k : k) * inner;
            if (!(s->size & EXCLUSIVE)) { /* then the element itself counts */
                if (whole_numbers) total += (uint64_t)b.x.i[at];
                else sum += x[at];
            }
            if (whole_numbers) memcpy(&b.y.i[at], &total, sizeof total);
            else b.y.f[at] = rounded(s->f32, sum);
            if (!(s->size & EXCLUSIVE)) continue;
            if (whole_numbers) total += (uint64_t)b.x.i[at];
            else sum += x[at];
        }
    }
}

/* ==== 10 Arena ===================================================================================================== */

static mp_code load_model(pool *p, const char *data, size_t size, const mp_options *options, mp_model **model, mp_error *error);

mp_code mp_load_arena(void *memory, size_t memory_size, const char *data, size_t size, const mp_options *options, mp_model **model,
                      mp_error *error) {
    mp_error unseen;
    size_t skip = (_Alignof(max_align_t) - (uintptr_t)memory % _Alignof(max_align_t)) % _Alignof(max_align_t), least = skip + sizeof(pool);
    *model = NULL;
    if (!error) error = &unseen;
    if (memory_size < least) {
        *error = (mp_error){MP_NO_MEMORY, ""};
        snprintf(error->message, sizeof error->message, "The arena has %zu bytes; up to here %zu are needed.", memory_size, least);
        return error->code;
    }
    pool *p = (void *)((char *)memory + skip);
    *p = (pool){memory, memory_size, least, memory_size, least};
    return load_model(p, data, size, options, model, error);
}

size_t mp_arena_peak(mp_model *model, bool restart) {
    if (!model->pool) return 0;
    size_t peak = model->pool->peak;
    if (restart) model->pool->peak = model->pool->size - (model->pool->high - model->pool->low);
    return peak;
}

#define NN_OPS \
    RUN_IN_PLACE(reshape), RUN(transpose), RUN(slice), RUN(expand), RUN(positions), RUN(gather), RUN(embedding), RUN(pad), RUN(resize), \
    RUN(matmul), RUN(conv), RUN(conv_transpose), RUN(pool), RUN_IN_PLACE(batch_norm), RUN(layer_norm), RUN(group_norm), RUN_IN_PLACE(activation), \
    RUN(prelu), RUN(lstm), RUN(gru), RUN(rnn), RUN(attention), RUN(cumsum),

#endif
