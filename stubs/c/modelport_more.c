/* modelport_more.c - rarer ops of profile tabular, and those of kernel, text and solver (docs/format.md, section 6).
 * SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
 *
 * modelport.c includes this file when it is compiled with -DMODELPORT_MORE. Compiled by itself it is empty.
 * Sections: 1 Tabular, 2 Kernel, 3 Text, 4 Solver. As in modelport.c, the check of an op reads its attributes and says what it
 * defines, and its run computes a block of rows, or its map a single one. A new op is added to MORE_OPS, at the end.
 */
#ifndef MODELPORT_C
typedef int modelport_more_is_included_by_modelport_c;
#else

/* ==== 1 Tabular =================================================================================================== */

/* -- bucketize -- */
static void bucketize_check(loader *l) { /* t[0] edges, t[1] sizes; word: right */
    tensor *edges = &l->step->t[0], *sizes = &l->step->t[1];
    mp_dtype dtype = only_row(l);
    need_float(l, 0);
    tensor_attribute(l, "edges", (int)dtype, 1, true, edges);
    *sizes = counted_integers(l, "sizes", 0, (int64_t)edges->count, in_value(l, 0)->width);
    l->step->word = choice(l, "side", "left right", REQUIRED);
    size_t at = 0;
    for (size_t j = 0, end; j < sizes->count; j++, at = end) {
        if ((end = at + (size_t)sizes->data.i[j]) > edges->count) refuse(l->c, "Its attribute \"sizes\" adds up to more than the edges.");
        for (size_t k = at; k < end; k++)
            if (!(edges->data.f[k > at ? k - 1 : k] <= edges->data.f[k])) refuse(l->c, "Its edges of column %zu do not ascend.", j);
    }
    need_count(l, "edges", edges, at);
    define_alike(l, MP_I64);
    set_work_each(l, COSTLY);
}
/* How many of n ascending edges lie below x (right: not above x). NaN lies above all. */
static size_t count_edges(const double *edges, size_t n, double x, bool right) {
    size_t low = 0;
    for (size_t high = n; low < high;) {
        size_t middle = low + (high - low) / 2;
        if (right ? x < edges[middle] : x <= edges[middle]) high = middle;
        else low = middle + 1;
    }
    return low;
}
static void bucketize_run(runner *r, const step *s) {
    io b = io_of(r, s); const double *edges = s->t[0].data.f; const int64_t *sizes = s->t[1].data.i;
    for (size_t j = 0; j < b.out; edges += sizes[j], j++)
        for (size_t i = j; i < b.n; i += b.out) b.y.i[i] = (int64_t)count_edges(edges, (size_t)sizes[j], b.x.f[i], s->word);
}
/* -- poly -- */
static void poly_check(loader *l) { /* t[0] powers */
    mp_dtype dtype = one_float_row(l);
    l->step->t[0] = integers_attribute(l, "powers", 2, 0, 255);
    need_columns(l, "powers", &l->step->t[0]);
    define(l, dtype, 1, l->step->t[0].dims[0]);
    size_t factors = 0;
    for (size_t k = 0; k < l->step->t[0].count; k++) factors += (size_t)l->step->t[0].data.i[k];
    set_work(l, factors, 1);
}

static void poly_map(const row *w) {
    const int64_t *power = w->s->t[0].data.i;
    for (size_t k = 0; k < w->out; k++, power += w->n) {
        double y = 1.0; /* times the last factor is that factor */
        for (size_t j = w->n; j-- > 0;) for (int64_t n = power[j]; n > 0; n--) y = rounded(w->f32, w->x[j] * y);
        w->y.f[k] = y;
    }
}
/* -- interp -- */
enum { OUTSIDE_CLIP, OUTSIDE_NAN, OUTSIDE_EXTEND };
static void interp_check(loader *l) { /* t[0] x, t[1] y; word: outside */
    mp_dtype dtype = one_float(l);
    tensor *x = &l->step->t[0], *y = &l->step->t[1];
    tensor_attribute(l, "x", (int)dtype, 1, true, x);
    *y = counted(l, "y", dtype, x->count);
    l->step->word = choice(l, "outside", "clip nan extend", REQUIRED);
    if (x->count < (l->step->word == OUTSIDE_EXTEND ? 2 : 1)) refuse(l->c, "It has %zu knots, too few.", x->count);
    for (size_t k = 0; k < x->count; k++) {
        if (!isfinite(x->data.f[k]) || !isfinite(y->data.f[k])) refuse(l->c, "Its knot %zu is not finite.", k);
        if (k && !(x->data.f[k - 1] < x->data.f[k])) refuse(l->c, "Its knots do not ascend strictly at %zu.", k);
    }
    define_alike(l, dtype);
    set_work_each(l, COSTLY);
}

static double interpolate(const step *s, double v) {
    const double *x = s->t[0].data.f, *y = s->t[1].data.f; size_t last = s->t[0].count - 1;
    bool f32 = s->f32, outside = v < x[0] || v > x[last];
    if (is_nan(v)) return v;
    if (v == x[last]) return y[last];
    if (outside && s->word == OUTSIDE_NAN) return NAN;
    if (outside && s->word == OUTSIDE_CLIP) return v < x[0] ? y[0] : y[last];
    size_t i = v < x[0] ? 0 : v > x[last] ? last - 1 : count_edges(x, last, v, true) - 1;
    double slope = rounded(f32, rounded(f32, y[i + 1] - y[i]) / rounded(f32, x[i + 1] - x[i]));
    return rounded(f32, slope * rounded(f32, v - x[i])) + y[i];
}

static void interp_map(const row *w) { for (size_t j = 0; j < w->n; j++) w->y.f[j] = interpolate(w->s, w->x[j]); }
/* -- gaussian_ll -- */
static void gaussian_ll_check(loader *l) { /* t[0] mean, t[1] var; table: log_prior - sum log(2 pi var) / 2 */
    tensor *mean = &l->step->t[0], *var = &l->step->t[1], prior;
    mp_dtype dtype = one_float_row(l);
    tensor_attribute(l, "mean", (int)dtype, 2, true, mean);
    tensor_attribute(l, "var", (int)dtype, 2, true, var);
    need_columns(l, "mean", mean); need_columns(l, "var", var);
    size_t k = mean->dims[0], n = mean->dims[1];
    if (var->dims[0] != k) refuse(l->c, "Its mean has %zu rows, its var %zu.", k, var->dims[0]);
    bool has_prior = tensor_attribute(l, "log_prior", (int)dtype, 1, false, &prior);
    if (has_prior) need_count(l, "log_prior", &prior, k);
    define(l, dtype, 1, k);
    set_work(l, k, n + COSTLY);
    l->step->table = take(l->c, l->keep, k, sizeof(double));
    for (size_t i = 0; i < k; i++) {
        double sum = 0;
        for (size_t j = 0; j < n; j++) sum += log(2.0 * 3.14159265358979323846 * var->data.f[i * n + j]);
        l->step->table[i] = (has_prior ? prior.data.f[i] : 0.0) - 0.5 * sum;
    }
}

static void gaussian_ll_map(const row *w) {
    const double *mean = w->s->t[0].data.f, *var = w->s->t[1].data.f;
    for (size_t k = 0; k < w->out; k++, mean += w->n, var += w->n) {
        double sum = 0;
        for (size_t j = 0; j < w->n; j++) sum += (w->x[j] - mean[j]) * (w->x[j] - mean[j]) / var[j];
        w->y.f[k] = w->s->table[k] - 0.5 * sum;
    }
}

/* ==== 2 Kernel ==================================================================================================== */

/* -- pairwise -- */
/* Eight sums over the columns in ascending order, from 0.0, each in f64; written out so that compilers keep them in registers.
 * ADD(k) adds what column j of the row x, v, makes with column j of eight vectors, panel[k], to s0 .. s7. */
#define ZERO(k) double s##k = 0;
#define STORE(k) sums[k] = s##k;
#define SUM_COLUMNS(ADD) \
    { \
        EIGHT(ZERO) \
        for (size_t j = 0; j < width; j++, panel += LANES) { double v = x[j]; EIGHT(ADD) } \
        EIGHT(STORE) \
    }
#define ADD_PRODUCT(k) s##k += v * panel[k];
static void sum_products(const double *x, size_t width, const double *panel, double sums[LANES]) SUM_COLUMNS(ADD_PRODUCT)

/* A matrix attribute [n, width of the input], for an output [n]. Its rows stay in `table`, in panels of 8: element (k, j) at
 * [k / 8][j][k % 8], so that eight sums run side by side. */
static tensor packed_matrix(loader *l, const char *name, mp_dtype dtype) {
    tensor t;
    arena *keep = l->keep;
    l->keep = l->memos ? keep : l->scratch;
    tensor_attribute(l, name, (int)dtype, 2, true, &t);
    l->keep = keep;
    need_columns(l, name, &t);
    define(l, dtype, 1, t.dims[0]);
    size_t width = t.dims[1];
    double *packed = l->step->table = take_zeroed(l->c, keep, product(l, (t.dims[0] + LANES - 1) / LANES, width), LANES * sizeof *packed);
    for (size_t k = 0; k < t.dims[0]; k++)
        for (size_t j = 0; j < width; j++) packed[(k / LANES * width + j) * LANES + k % LANES] = t.data.f[k * width + j];
    return t;
}

/* What is summed over the columns of a row x and a point p, and what those sums need beside them. */
enum { PRODUCTS, SQUARES, ABSOLUTES, LARGEST, POWERS_OF, RATIOS, SUMS, DIFFERENT, KNOWN_SQUARES, KNOWN, CHI2, NOTHING };

#define ADD_SQUARE(k) s##k += (v - panel[k]) * (v - panel[k]);
#define ADD_ABSOLUTE(k) s##k += fabs(v - panel[k]);
#define KEEP_LARGEST(k) s##k = fabs(v - panel[k]) <= s##k || is_nan(s##k) ? s##k : fabs(v - panel[k]);
#define ADD_POWER(k) s##k += pow(fabs(v - panel[k]), exponent);
#define ADD_RATIO(k) s##k += v == 0 && panel[k] == 0 ? 0.0 : fabs(v - panel[k]) / (fabs(v) + fabs(panel[k]));
#define ADD_SUM(k) s##k += fabs(v + panel[k]);
#define ADD_DIFFERENT(k) s##k += v != panel[k];
#define ADD_KNOWN_SQUARE(k) s##k += is_nan(v) || is_nan(panel[k]) ? 0.0 : (v - panel[k]) * (v - panel[k]);
#define ADD_KNOWN(k) s##k += !is_nan(v) && !is_nan(panel[k]);
#define ADD_CHI2(k) s##k += v + panel[k] == 0 ? 0.0 : (v - panel[k]) * (v - panel[k]) / (v + panel[k]);

/* Products and squares of rows x, one after the other, with a panel: sums [rows][8], four rows by eight points in registers. */
#define PAIR_ARGUMENTS const double *x, size_t rows, size_t width, const double *panel, double *sums
#if defined __GNUC__ && !defined MODELPORT_PLAIN_C
typedef double abreast __attribute__((vector_size(32), aligned(8), may_alias));
#define OPEN_PAIR(q) abreast a##q = {0}, b##q = {0};
#define PRODUCT_PAIR(q) { double v = x[q * width + j]; a##q += v * left; b##q += v * right; }
#define SQUARE_PAIR(q) { double v = x[q * width + j]; abreast c = v - left, d = v - right; a##q += c * c; b##q += d * d; }
#define CLOSE_PAIR(q) *(abreast *)(sums + LANES * q) = a##q; *(abreast *)(sums + LANES * q + 4) = b##q;
#define PAIR_TILE(ROWS, ADD) { \
        const double *at = panel; \
        ROWS(OPEN_PAIR) \
        for (size_t j = 0; j < width; j++, at += LANES) { abreast left = *(const abreast *)at, right = *(const abreast *)(at + 4); ROWS(ADD) } \
        ROWS(CLOSE_PAIR) \
    }
#define QUARTET(DO) DO(0) DO(1) DO(2) DO(3)
#define SOLO(DO) DO(0)
#define PAIR_ROWS(ADD) { \
        for (; rows >= 4; rows -= 4, x += 4 * width, sums += 4 * LANES) PAIR_TILE(QUARTET, ADD) \
        for (; rows > 0; rows--, x += width, sums += LANES) PAIR_TILE(SOLO, ADD) \
    }
#else
#define PRODUCT_PAIR(v, p) v * p
#define SQUARE_PAIR(v, p) (v - p) * (v - p)
#define PAIR_ROWS(ADD) { \
        memset(sums, 0, rows * LANES * sizeof *sums); \
        for (; rows > 0; rows--, x += width, sums += LANES) \
            for (size_t j = 0; j < width; j++) \
                for (size_t k = 0; k < LANES; k++) sums[k] += ADD(x[j], panel[j * LANES + k]); \
    }
#endif
#if defined __GNUC__ && !defined MODELPORT_PLAIN_C && defined __x86_64__ && !defined __AVX__ && !defined MODELPORT_NO_HEAP
#define WIDE_PAIRS 1
__attribute__((target("avx"))) static void products_wide(PAIR_ARGUMENTS) PAIR_ROWS(PRODUCT_PAIR) /* the same sums in wider registers */
__attribute__((target("avx"))) static void squares_wide(PAIR_ARGUMENTS) PAIR_ROWS(SQUARE_PAIR)
__attribute__((target("avx"))) static void roots_wide(double *x, size_t n) { /* n: a multiple of 8 */
    for (size_t i = 0; i < n; i += 4) *(abreast *)(x + i) = __builtin_ia32_sqrtpd256(*(abreast *)(x + i));
}
#endif
static void products_plain(PAIR_ARGUMENTS) PAIR_ROWS(PRODUCT_PAIR)
static void squares_plain(PAIR_ARGUMENTS) PAIR_ROWS(SQUARE_PAIR)
static void pair_rows(bool squares, PAIR_ARGUMENTS) {
#ifdef WIDE_PAIRS
    if (__builtin_cpu_supports("avx")) { (squares ? squares_wide : products_wide)(x, rows, width, panel, sums); return; }
#endif
    (squares ? squares_plain : products_plain)(x, rows, width, panel, sums);
}
static void take_roots(double *x, size_t n) {
#ifdef WIDE_PAIRS
    if (__builtin_cpu_supports("avx")) { roots_wide(x, n); return; }
#endif
    for (size_t i = 0; i < n; i++) x[i] = sqrt(x[i]);
}

/* A sum for each of the eight points of a panel. */
static void sum_panel(int kind, double exponent, const double *x, size_t width, const double *panel, double sums[LANES]) {
    switch (kind) {
    case PRODUCTS: sum_products(x, width, panel, sums); break;
    case SQUARES: SUM_COLUMNS(ADD_SQUARE) break;
    case ABSOLUTES: SUM_COLUMNS(ADD_ABSOLUTE) break;
    case LARGEST: SUM_COLUMNS(KEEP_LARGEST) break;
    case POWERS_OF: SUM_COLUMNS(ADD_POWER) break;
    case RATIOS: SUM_COLUMNS(ADD_RATIO) break;
    case SUMS: SUM_COLUMNS(ADD_SUM) break;
    case DIFFERENT: SUM_COLUMNS(ADD_DIFFERENT) break;
    case KNOWN_SQUARES: SUM_COLUMNS(ADD_KNOWN_SQUARE) break;
    case KNOWN: SUM_COLUMNS(ADD_KNOWN) break;
    case CHI2: SUM_COLUMNS(ADD_CHI2) break;
    default: break;
    }
}

enum {
    M_DOT, M_SQEUCLIDEAN, M_EUCLIDEAN, M_MANHATTAN, M_CHEBYSHEV, M_MINKOWSKI, M_COSINE, M_CANBERRA, M_BRAYCURTIS, M_HAMMING,
    M_NAN_EUCLIDEAN, M_CHI2, M_ADDITIVE_CHI2, M_RBF, M_LAPLACIAN, M_POLY, M_SIGMOID
};
static const char METRIC_WORDS[] =
    "dot sqeuclidean euclidean manhattan chebyshev minkowski cosine canberra braycurtis hamming "
    "nan_euclidean chi2 additive_chi2 rbf laplacian poly sigmoid";
static const struct { int sum, other; } METRICS[] = {
    [M_DOT] = {PRODUCTS, NOTHING},             [M_SQEUCLIDEAN] = {SQUARES, NOTHING}, [M_EUCLIDEAN] = {SQUARES, NOTHING},
    [M_MANHATTAN] = {ABSOLUTES, NOTHING},      [M_CHEBYSHEV] = {LARGEST, NOTHING},   [M_MINKOWSKI] = {POWERS_OF, NOTHING},
    [M_COSINE] = {PRODUCTS, NOTHING},          [M_CANBERRA] = {RATIOS, NOTHING},     [M_BRAYCURTIS] = {ABSOLUTES, SUMS},
    [M_HAMMING] = {DIFFERENT, NOTHING},        [M_NAN_EUCLIDEAN] = {KNOWN_SQUARES, KNOWN}, [M_CHI2] = {CHI2, NOTHING},
    [M_ADDITIVE_CHI2] = {CHI2, NOTHING},       [M_RBF] = {SQUARES, NOTHING},         [M_LAPLACIAN] = {ABSOLUTES, NOTHING},
    [M_POLY] = {PRODUCTS, NOTHING},            [M_SIGMOID] = {PRODUCTS, NOTHING},
};
enum { GAMMA, COEF0, DEGREE, EXPONENT };

static void pairwise_check(loader *l) { /* table: points; per[0] their norms; word: metric; number: gamma, coef0, degree, p */
    static const char *const names[] = {"gamma", "coef0", "degree", "p"};
    static const double defaults[] = {1, 0, 3, 2};
    step *s = l->step;
    mp_dtype dtype = one_float_row(l);
    tensor points = packed_matrix(l, "points", dtype);
    s->word = choice(l, "metric", METRIC_WORDS, REQUIRED);
    for (size_t k = 0; k < 4; k++) s->number[k] = number(l, names[k], dtype, defaults[k]);
    if (!(s->number[EXPONENT] > 0)) refuse(l->c, "Its attribute \"p\" is not above 0.");
    for (size_t i = 0; s->word != M_NAN_EUCLIDEAN && i < points.count; i++)
        if (is_nan(points.data.f[i])) refuse(l->c, "Its attribute \"points\" holds NaN, which its metric does not take.");
    size_t n = points.dims[0], width = points.dims[1];
    set_work(l, n, (s->word == M_MINKOWSKI ? COSTLY * width : width) + COSTLY);
    s->per[0].f = take(l->c, l->keep, n, sizeof(double));
    for (size_t k = 0; k < n; k++) s->per[0].f[k] = norm_of(L2, points.data.f + k * width, width);
}

/* The distance or kernel that a sum over `width` columns stands for. `other` is the second sum of the metric, or the product of
 * the norms. */
static double finish_pair(const step *s, double sum, double other, size_t width) {
    const double *n = s->number;
    switch (s->word) {
    case M_EUCLIDEAN: return sqrt(sum);
    case M_MINKOWSKI: return pow(sum, 1 / n[EXPONENT]);
    case M_COSINE: return other == 0 ? 1.0 : 1.0 - sum / other;
    case M_BRAYCURTIS: return sum / other;
    case M_HAMMING: return sum / (double)width;
    case M_NAN_EUCLIDEAN: return other == 0 ? NAN : sqrt((double)width / other * sum);
    case M_ADDITIVE_CHI2: return -sum;
    case M_CHI2:
    case M_RBF:
    case M_LAPLACIAN: return exp(-n[GAMMA] * sum);
    case M_POLY: return pow(n[GAMMA] * sum + n[COEF0], n[DEGREE]);
    case M_SIGMOID: return tanh(n[GAMMA] * sum + n[COEF0]);
    default: return sum;
    }
}

static void pairwise_run(runner *r, const step *s) {
    io b = io_of(r, s);
    int sum = METRICS[s->word].sum, other = METRICS[s->word].other;
    bool cosine = s->word == M_COSINE, tiled = sum == PRODUCTS || sum == SQUARES;
    const double *x = floats(r, s, 0);
    double *norms = take(r->c, r->a, r->rows, sizeof *norms), *sums = take(r->c, r->a, r->rows, LANES * sizeof *sums);
    double others[LANES] = {0};
    for (size_t i = 0; cosine && i < r->rows; i++) norms[i] = norm_of(L2, x + i * b.in, b.in);
    for (size_t first = 0; first < b.out; first += LANES) {
        const double *panel = s->table + first * b.in; /* which stays in the cache */
        size_t n = b.out - first < LANES ? b.out - first : LANES;
        if (tiled) pair_rows(sum == SQUARES, x, r->rows, b.in, panel, sums);
        for (size_t i = 0; !tiled && i < r->rows; i++) sum_panel(sum, s->number[EXPONENT], x + i * b.in, b.in, panel, sums + i * LANES);
        if (s->word == M_EUCLIDEAN) take_roots(sums, r->rows * LANES);
        for (size_t i = 0; i < r->rows; i++) {
            double *y = b.y.f + i * b.out + first, *found = sums + i * LANES;
            if (other != NOTHING) sum_panel(other, 0, x + i * b.in, b.in, panel, others);
            if (s->word == M_EUCLIDEAN || s->word == M_DOT || s->word == M_SQEUCLIDEAN) {
                for (size_t k = 0; k < n; k++) y[k] = rounded(s->f32, found[k]);
            } else if (s->word == M_RBF) {
                for (size_t k = 0; k < n; k++) y[k] = rounded(s->f32, exp(-s->number[GAMMA] * found[k]));
            } else {
                for (size_t k = 0; k < n; k++)
                    y[k] = rounded(s->f32, finish_pair(s, found[k], cosine ? norms[i] * s->per[0].f[first + k] : others[k], b.in));
            }
        }
    }
}

/* -- the k smallest: of smallest and knn -- */
/* Whether element a comes behind b: it is larger, or as large and has the higher position. NaN is largest. */
static bool is_behind(const double *x, size_t a, size_t b) {
    int order = compare_doubles(x[a], x[b]);
    return order > 0 || (order == 0 && a > b);
}

static void swap(size_t *a, size_t *b) {
    size_t c = *a;
    *a = *b;
    *b = c;
}

/* Restores a heap of n, the largest on top, below position i. */
static void sink_down(const double *x, size_t *heap, size_t n, size_t i) {
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && is_behind(x, heap[child + 1], heap[child])) child++;
        if (!is_behind(x, heap[child], heap[i])) return;
        swap(&heap[i], &heap[child]);
    }
}

/* The positions of the k smallest of n elements, as a heap. */
static void find_smallest(const double *x, size_t n, size_t *heap, size_t k) {
    for (size_t i = 0; i < k; i++) heap[i] = i;
    for (size_t i = k / 2; i-- > 0;) sink_down(x, heap, k, i);
    for (size_t i = k; i < n; i++) { /* of equal ones the earlier is in the heap already */
        if (!(x[i] < x[heap[0]] || (is_nan(x[heap[0]]) && !is_nan(x[i])))) continue;
        heap[0] = i;
        sink_down(x, heap, k, 0);
    }
}

/* Sorts a heap: the smallest comes first. */
static void sort_heap(const double *x, size_t *heap, size_t k) {
    for (size_t end = k; end-- > 1;) {
        swap(&heap[0], &heap[end]);
        sink_down(x, heap, end, 0);
    }
}

/* -- smallest -- */
static void smallest_check(loader *l) { /* size: k */
    only_row(l);
    need_float(l, 0);
    l->step->size = (size_t)whole(l, "k", 1, (int64_t)in_value(l, 0)->width);
    define(l, MP_F64, 1, in_value(l, 0)->width);
    set_work_each(l, 4 * COSTLY);
}

static void smallest_map(const row *w) {
    size_t k = w->s->size, *heap = take(w->r->c, w->r->a, k, sizeof *heap);
    find_smallest(w->x, w->n, heap, k);
    memset(w->y.f, 0, w->out * sizeof *w->y.f);
    for (size_t i = 0; i < k; i++) w->y.f[heap[i]] = 1.0;
}

/* -- knn -- */
static void knn_check(loader *l) { /* t[0] targets, of rank 1: classes; size: k; word: by distance */
    step *s = l->step;
    need_dtype(l, 0, only_row(l) == MP_F64, "f64");
    size_t points = in_value(l, 0)->width, width = 0;
    s->size = (size_t)whole(l, "k", 1, (int64_t)points);
    s->word = choice(l, "weights", "uniform distance", REQUIRED);
    if (attribute(l, "classes")) {
        width = (size_t)whole(l, "classes", 1, (int64_t)l->limits->row);
        s->t[0] = integers_attribute(l, "targets", 1, 0, (int64_t)width - 1);
    } else {
        tensor_attribute(l, "targets", MP_F64, 2, true, &s->t[0]);
        width = s->t[0].dims[1];
    }
    if (s->t[0].dims[0] != points) refuse(l->c, "Its targets have %zu rows, its input %zu columns.", s->t[0].dims[0], points);
    define(l, MP_F64, 1, width);
    set_work(l, points, s->size + COSTLY);
}

/* One of the k nearest: its place among the points, how far it is, and what that is the root of where there is one. */
typedef struct neighbour { double distance, sum; size_t at; } neighbour;
/* What the nearest, the first of them first, make of their targets. */
static void let_vote(const step *s, const neighbour *nearest, double *y, size_t out) {
    const tensor *targets = &s->t[0];
    double total = 0;
    bool zeros = false;
    for (size_t k = 0; k < s->size; k++) zeros |= nearest[k].distance == 0;
    memset(y, 0, out * sizeof *y);
    for (size_t k = 0; k < s->size; k++) {
        double d = nearest[k].distance, weight = !s->word ? 1.0 : zeros ? d == 0 : 1.0 / d;
        total += weight;
        if (targets->rank == 1) {
            y[targets->data.i[nearest[k].at]] += weight;
        } else {
            const double *target = targets->data.f + nearest[k].at * out;
            for (size_t j = 0; j < out; j++) y[j] += weight * target[j];
        }
    }
    for (size_t j = 0; j < out; j++) y[j] /= total;
}

static void knn_map(const row *w) {
    size_t k = w->s->size, *heap = take(w->r->c, w->r->a, k, sizeof *heap);
    neighbour *nearest = take(w->r->c, w->r->a, k, sizeof *nearest);
    find_smallest(w->x, w->n, heap, k);
    sort_heap(w->x, heap, k);
    for (size_t i = 0; i < k; i++) nearest[i] = (neighbour){w->x[heap[i]], 0, heap[i]};
    let_vote(w->s, nearest, w->y.f, w->out);
}

/* Of modelport_fast.c: answers a knn step together with the pairwise step before it, if join_steps has joined them. */
static bool run_joined(runner *r, const step *s);
#ifndef MODELPORT_FAST
static bool run_joined(runner *r, const step *s) { (void)r, (void)s; return false; }
#endif
static void knn_run(runner *r, const step *s) {
    if (!run_joined(r, s)) map_rows(r, s);
}

/* -- ovo_vote -- */
enum { VOTES, OVR, COUPLING };
static size_t most_rounds(size_t classes) { return classes > 100 ? classes : 100; }

static void ovo_vote_check(loader *l) { /* word: mode; t[0] prob_a, t[1] prob_b */
    static const char *const names[] = {"prob_a", "prob_b"};
    mp_dtype dtype = one_float_row(l);
    size_t classes = (size_t)whole(l, "classes", 2, 1 << 15), pairs = classes * (classes - 1) / 2, width = in_value(l, 0)->width;
    if (width != pairs) refuse(l->c, "Its input has rows of %zu elements; %zu classes need %zu.", width, classes, pairs);
    l->step->word = choice(l, "mode", "votes ovr coupling", REQUIRED);
    for (size_t k = 0; l->step->word == COUPLING && k < 2; k++) l->step->t[k] = counted(l, names[k], dtype, pairs);
    define(l, dtype, 1, classes);
    if (l->step->word == COUPLING) set_work(l, classes * classes, most_rounds(classes));
}

static void count_votes(const row *w, bool ovr, double *sums) {
    const double *d = w->x;
    double *y = w->y.f;
    for (size_t i = 0; i < w->out; i++) y[i] = sums[i] = 0;
    for (size_t i = 0; i < w->out; i++)
        for (size_t j = i + 1; j < w->out; j++, d++) {
            y[(ovr ? !(*d < 0) : *d > 0) ? i : j] += 1; /* they part at 0, and so do libsvm and scikit-learn */
            sums[i] += *d;
            sums[j] -= *d;
        }
    for (size_t i = 0; ovr && i < w->out; i++) y[i] += sums[i] / (3 * (fabs(sums[i]) + 1));
}

/* Q of Wu, Lin and Weng (2004) from r: [n, n] each. */
static void coupling_matrix(const double *r, double *q, size_t n) {
    for (size_t t = 0; t < n; t++) {
        double sum = 0;
        for (size_t j = 0; j < n; j++) q[t * n + j] = -r[j * n + t] * r[t * n + j];
        for (size_t j = 0; j < n; j++) sum += j == t ? 0 : r[j * n + t] * r[j * n + t];
        q[t * n + t] = sum;
    }
}

/* Their second method, as libsvm iterates it (docs/format.md, section 9): p [n] from q; qp is [n]. */
static void couple(const double *q, double *p, double *qp, size_t n) {
    for (size_t t = 0; t < n; t++) p[t] = 1.0 / (double)n;
    for (size_t round = 0; round < most_rounds(n); round++) {
        double pqp = 0, error = 0;
        for (size_t t = 0; t < n; t++) {
            qp[t] = 0;
            for (size_t j = 0; j < n; j++) qp[t] += q[t * n + j] * p[j];
            pqp += p[t] * qp[t];
        }
        for (size_t t = 0; t < n; t++) error = fabs(qp[t] - pqp) > error ? fabs(qp[t] - pqp) : error;
        if (!(error >= 0.005 / (double)n)) return;
        for (size_t t = 0; t < n; t++) {
            double diff = (pqp - qp[t]) / q[t * n + t];
            p[t] += diff;
            pqp = (pqp + diff * (diff * q[t * n + t] + 2 * qp[t])) / (1 + diff) / (1 + diff);
            for (size_t j = 0; j < n; j++) {
                qp[j] = (qp[j] + diff * q[t * n + j]) / (1 + diff);
                p[j] /= 1 + diff;
            }
        }
    }
}

static void ovo_vote_map(const row *w) {
    const double *a = w->s->t[0].data.f, *b = w->s->t[1].data.f;
    size_t n = w->out, pair = 0;
    if (w->s->word != COUPLING) {
        count_votes(w, w->s->word == OVR, take(w->r->c, w->r->a, n, sizeof(double)));
        return;
    }
    double *r = take_zeroed(w->r->c, w->r->a, n * (2 * n + 1), sizeof *r), *q = r + n * n, *qp = q + n * n;
    for (size_t i = 0; i < n; i++)
        for (size_t j = i + 1; j < n; j++, pair++) {
            double x = f_sigmoid(-(a[pair] * w->x[pair] + b[pair]));
            r[i * n + j] = x < 1e-7 ? 1e-7 : x > 1 - 1e-7 ? 1 - 1e-7 : x;
            r[j * n + i] = 1 - r[i * n + j];
        }
    coupling_matrix(r, q, n);
    if (n > 2) couple(q, w->y.f, qp, n);
    else memcpy(w->y.f, r + 1, 2 * sizeof *r); /* r_01, r_10 */
}

/* ==== 3 Text ====================================================================================================== */

enum { LAST_POINT = 0x10ffff, ASCII = 128, SPACE = 0x20, SIGMA = 0x3a3, SMALL_SIGMA = 0x3c3, FINAL_SIGMA = 0x3c2 };
enum { HANGUL = 0xac00, LAST_HANGUL = 0xd7a3, LEADS = 0x1100, VOWELS = 0x1161, TRAILS = 0x11a7, VOWEL_COUNT = 21, TRAIL_COUNT = 28 };
enum { MOST_UNITS = 64 };

/* -- UTF-8 -- */
/* The code points of a string; SIZE_MAX if it is not UTF-8. */
static size_t decode_utf8(mp_string s, uint32_t *points) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t count = 0;
    for (size_t i = 0, n; i < s.size; i += n) {
        uint32_t lead = (unsigned char)s.data[i], point = lead;
        n = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
        if (n > 1) point &= 0x7fu >> n;
        if (n > s.size - i || (lead >= 0x80 && lead < 0xc2) || lead > 0xf4) return SIZE_MAX;
        for (size_t k = 1; k < n; k++) {
            uint32_t next = (unsigned char)s.data[i + k];
            if ((next & 0xc0) != 0x80) return SIZE_MAX;
            point = point << 6 | (next & 0x3f);
        }
        if (point < least[n] || point > LAST_POINT || (point >= 0xd800 && point <= 0xdfff)) return SIZE_MAX;
        points[count++] = point;
    }
    return count;
}

/* Writes a code point as UTF-8; returns what follows it. */
static char *encode_utf8(char *to, uint32_t point) {
    if (point < 0x80) {
        *to++ = (char)point;
        return to;
    }
    int n = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    *to++ = (char)(uint8_t)(0xf00u >> n | point >> (6 * (n - 1)));
    for (int k = n - 2; k >= 0; k--) *to++ = (char)(uint8_t)(0x80 | ((point >> (6 * k)) & 0x3f));
    return to;
}

/* -- hashing -- */
static uint32_t rotate(uint32_t x, int by) { return x << by | x >> (32 - by); }

static uint32_t scramble(uint32_t k) { return rotate(k * UINT32_C(0xcc9e2d51), 15) * UINT32_C(0x1b873593); }

/* MurmurHash3 x86 32-bit, seed 0 (Austin Appleby). */
static uint32_t murmur(mp_string s) {
    uint32_t h = 0, k = 0;
    size_t whole = s.size & ~(size_t)3;
    for (size_t i = 0; i < whole; i += 4) {
        const unsigned char *b = (const unsigned char *)s.data + i;
        h = rotate(h ^ scramble(b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24), 13) * 5 + UINT32_C(0xe6546b64);
    }
    for (size_t i = s.size; i-- > whole;) k = k << 8 | (unsigned char)s.data[i];
    h ^= scramble(k) ^ (uint32_t)s.size;
    h = (h ^ h >> 16) * UINT32_C(0x85ebca6b);
    h = (h ^ h >> 13) * UINT32_C(0xc2b2ae35);
    return h ^ h >> 16;
}

/* The column of a hash, which counts by its absolute value as a signed number, and whether it is negative. */
static size_t hashed_column(uint32_t h, size_t size, bool *negative) {
    *negative = h >> 31;
    if (h == UINT32_C(0x80000000)) return (INT32_MAX - (size - 1)) % size;
    return (*negative ? 0 - h : h) % size;
}

/* Strings in buckets by hash, sorted within each: found at once as a rule, and by halving whatever a document holds. */
typedef struct dictionary { mp_string *strings; size_t *place, *start; int shift; } dictionary; /* place: in the original order */

static dictionary new_dictionary(loader *l, const char *name, const tensor *t, bool different) {
    int bits = 1;
    while (bits < 31 && (size_t)1 << bits < t->count) bits++;
    size_t buckets = (size_t)1 << bits;
    dictionary d = {take(l->c, l->keep, t->count, sizeof *d.strings), take(l->c, l->keep, t->count, sizeof *d.place),
                    take_zeroed(l->c, l->keep, buckets + 1, sizeof *d.start), 32 - bits};
    mark before = mark_arena(l->scratch);
    directory sorted = new_directory(l->c, l->scratch, MP_STR, t->data, t->count);
    size_t *bucket = take(l->c, l->scratch, t->count, sizeof *bucket), *end = take_zeroed(l->c, l->scratch, buckets, sizeof *end);
    if (different && find_twice(&sorted) != NOT_FOUND) refuse(l->c, "Its attribute \"%s\" holds the same string twice.", name);
    for (size_t i = 0; i < t->count; i++) {
        if (!t->data.s[i].data) refuse(l->c, "Its attribute \"%s\" holds null.", name);
        d.start[1 + (bucket[i] = murmur(t->data.s[i]) >> d.shift)]++;
    }
    for (size_t b = 0; b < buckets; b++) end[b] = d.start[b + 1] += d.start[b];
    for (size_t i = t->count; i-- > 0;) {
        size_t from = sorted.order[i], to = --end[bucket[from]];
        d.strings[to] = t->data.s[from];
        d.place[to] = from;
    }
    reset_arena(l->scratch, before);
    return d;
}

static ptrdiff_t find_string(const dictionary *d, mp_string s) {
    uint32_t bucket = murmur(s) >> d->shift;
    size_t low = d->start[bucket], high = d->start[bucket + 1];
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_strings(d->strings[middle], s);
        if (order == 0) return (ptrdiff_t)d->place[middle];
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    return NOT_FOUND;
}

/* -- sets of code points -- */
typedef struct ranges { const int64_t *pair; size_t n; bool ascii[ASCII]; } ranges; /* pair: lo, hi, lo, hi ... [n] */

static bool in_ranges(const ranges *set, uint32_t point) {
    if (point < ASCII) return set->ascii[point];
    size_t low = 0, high = set->n / 2; /* the number of pairs whose lo is not above the point */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (set->pair[2 * middle] <= (int64_t)point) low = middle + 1;
        else high = middle;
    }
    return low > 0 && (int64_t)point <= set->pair[2 * low - 1];
}

static void read_ranges(loader *l, const char *name, ranges *set) {
    tensor t = integers_attribute(l, name, 1, 0, LAST_POINT);
    bool good = t.count % 2 == 0;
    for (size_t i = 1; good && i < t.count; i++) good = i % 2 ? t.data.i[i - 1] <= t.data.i[i] : t.data.i[i - 1] < t.data.i[i];
    if (!good) refuse(l->c, "Its attribute \"%s\" is not made of ascending ranges lo, hi.", name);
    set->pair = t.data.i;
    set->n = t.count;
    for (size_t i = 0; i < t.count; i += 2)
        for (int64_t point = t.data.i[i]; point < ASCII && point <= t.data.i[i + 1]; point++) set->ascii[point] = true;
}

/* -- count_terms: reading it -- */
enum { A_WORD, A_CHAR, A_CHAR_WB };

/* What a code point becomes: folded[start[i]] .. folded[start[i + 1] - 1] for from[i]. */
typedef struct folding {
    const int64_t *from;
    size_t         n, *start;
    uint32_t      *folded;
    int32_t        found[ASCII]; /* i, or NOT_FOUND */
    bool           hangul, ascii, sigma;
    ranges         cased, ignorable;
} folding;

/* How terms are counted: in the columns of a vocabulary, or in those of their hashes; or, in_order, how they become numbers. */
typedef struct counting {
    bool       by_hash, alternate, binary, in_order;
    size_t     size;
    dictionary vocabulary;
    int64_t    first, unknown, fill;
} counting;

/* Where the terms of a row go: counts, or numbers, of which there are `used`. */
typedef struct terms { const counting *k; double *counts; int64_t *numbers; size_t used; } terms;

typedef struct text_plan {
    int        analyzer;
    size_t     least, most, least_word; /* units of a term; code points of a word */
    folding    fold;
    counting   count;
    ranges     word, space;
    dictionary stop;
    bool       stops;
} text_plan;

/* Refuses one of two attributes without the other; true if both are there. */
static bool both(loader *l, const char *one, const char *other) {
    if (!attribute(l, one) != !attribute(l, other)) refuse(l->c, "It has only one of the attributes \"%s\" and \"%s\".", one, other);
    return attribute(l, one) != NULL;
}

static void read_fold_table(loader *l, folding *f) {
    tensor from = integers_attribute(l, "fold_from", 1, 0, LAST_POINT), to;
    tensor_attribute(l, "fold_to", MP_STR, 1, true, &to);
    need_count(l, "fold_to", &to, from.count);
    size_t bytes = 0, used = 0;
    for (size_t i = 0; i < to.count; i++) {
        if (!to.data.s[i].data) refuse(l->c, "Its attribute \"fold_to\" holds null.");
        if (i && from.data.i[i - 1] >= from.data.i[i]) refuse(l->c, "Its attribute \"fold_from\" does not ascend.");
        bytes += to.data.s[i].size;
    }
    f->from = from.data.i;
    f->n = from.count;
    f->start = take(l->c, l->keep, from.count + 1, sizeof *f->start);
    f->folded = take(l->c, l->keep, bytes, sizeof *f->folded);
    for (size_t i = 0; i < from.count; i++) {
        f->start[i] = used;
        used += decode_utf8(to.data.s[i], f->folded + used); /* the parser has seen to it that this is UTF-8 */
        if (from.data.i[i] < ASCII) f->found[from.data.i[i]] = (int32_t)i;
    }
    f->start[from.count] = used;
}

static void read_folding(loader *l, folding *f) {
    for (size_t i = 0; i < ASCII; i++) f->found[i] = NOT_FOUND;
    if (both(l, "fold_from", "fold_to")) read_fold_table(l, f);
    f->hangul = flag(l, "hangul", false);
    f->ascii = flag(l, "ascii", false);
    f->sigma = both(l, "cased", "case_ignorable");
    if (f->ascii && (f->hangul || f->sigma)) refuse(l->c, "It has \"ascii\" beside \"hangul\" or \"cased\", which do not go together.");
    if (!f->sigma) return;
    read_ranges(l, "cased", &f->cased);
    read_ranges(l, "case_ignorable", &f->ignorable);
}

/* Reads `size` and `alternate`, and defines the rows of hashed terms. */
static void read_hashing(loader *l, counting *k) {
    k->by_hash = true;
    k->size = (size_t)whole(l, "size", 1, (int64_t)l->limits->row);
    k->alternate = flag(l, "alternate", true);
    define(l, MP_F64, 1, k->size);
}

/* What count_terms and term_ids have in common. */
static text_plan *read_text_plan(loader *l) {
    text_plan *p = take_zeroed(l->c, l->keep, 1, sizeof *p);
    tensor t;
    l->step->plan = p;
    need_dtype(l, 0, only_row(l) == MP_STR && in_value(l, 0)->width == 1, "one string per row");
    p->analyzer = choice(l, "analyzer", "word char char_wb", REQUIRED);
    p->least = (size_t)whole(l, "min_n", 1, MOST_UNITS);
    p->most = (size_t)whole(l, "max_n", (int64_t)p->least, MOST_UNITS);
    read_folding(l, &p->fold);
    if (p->analyzer == A_WORD) {
        read_ranges(l, "word", &p->word);
        p->least_word = attribute(l, "min_word") ? (size_t)whole(l, "min_word", 1, MOST_WHOLE) : 2;
        p->stops = tensor_attribute(l, "stop", MP_STR, 1, false, &t);
        if (p->stops) p->stop = new_dictionary(l, "stop", &t, false);
    } else {
        read_ranges(l, "space", &p->space);
    }
    size_t longest = p->fold.hangul ? 3 : 1; /* what a code point becomes */
    for (size_t i = 0; i < p->fold.n; i++)
        if (p->fold.start[i + 1] - p->fold.start[i] > longest) longest = p->fold.start[i + 1] - p->fold.start[i];
    l->step->strings = (double)longest * (double)((p->least + p->most) * (p->most - p->least + 1) / 2);
    return p;
}

static size_t read_vocabulary(loader *l, counting *k) {
    tensor t;
    tensor_attribute(l, "vocabulary", MP_STR, 1, true, &t);
    k->vocabulary = new_dictionary(l, "vocabulary", &t, true);
    return t.count;
}

static void count_terms_check(loader *l) { /* plan: a text_plan */
    text_plan *p = read_text_plan(l);
    p->count.binary = flag(l, "binary", false);
    if (attribute(l, "vocabulary")) define(l, MP_F64, 1, read_vocabulary(l, &p->count));
    else read_hashing(l, &p->count);
}

static void term_ids_check(loader *l) { /* plan: a text_plan */
    counting *k = &read_text_plan(l)->count;
    k->in_order = true;
    read_vocabulary(l, k);
    k->first = whole(l, "first", 0, MOST_WHOLE);
    k->unknown = whole(l, "unknown", 0, MOST_WHOLE);
    k->fill = whole(l, "fill", 0, MOST_WHOLE);
    k->size = (size_t)whole(l, "length", 1, (int64_t)l->limits->row);
    define(l, MP_I64, 1, k->size);
}

/* -- count_terms: folding -- */
/* One text on its way: code points, and of capital sigmas (if they are folded) which are final; on the arena of the run. */
typedef struct text { runner *r; const step *s; size_t row, n; uint32_t *points; bool *final; } text;

/* For every code point whether what stands before it (`step` 1) or behind it (-1), beyond case-ignorable ones, is cased. */
static void mark_cased(const folding *f, const text *t, int step, bool *marks) {
    bool cased = false;
    for (size_t k = 0; k < t->n; k++) {
        size_t i = step > 0 ? k : t->n - 1 - k;
        marks[i] = cased;
        if (!in_ranges(&f->ignorable, t->points[i])) cased = in_ranges(&f->cased, t->points[i]);
    }
}

/* A final sigma ends a word. */
static void mark_final(const folding *f, text *t) {
    runner *r = t->r;
    bool any = false;
    for (size_t i = 0; i < t->n; i++) any |= t->points[i] == SIGMA;
    if (!any) return;
    bool *behind = take(r->c, r->a, t->n, sizeof *behind);
    t->final = take(r->c, r->a, t->n, sizeof *t->final);
    mark_cased(f, t, 1, t->final);
    mark_cased(f, t, -1, behind);
    for (size_t i = 0; i < t->n; i++) t->final[i] &= !behind[i];
}

/* The place of a code point in fold_from, or NOT_FOUND. */
static ptrdiff_t find_fold(const folding *f, uint32_t point) {
    if (point < ASCII) return f->found[point];
    size_t low = 0, high = f->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (f->from[middle] < (int64_t)point) low = middle + 1;
        else high = middle;
    }
    return low < f->n && f->from[low] == (int64_t)point ? (ptrdiff_t)low : NOT_FOUND;
}

/* What code point k becomes, in `own` where it is not in the table; returns how many. */
static size_t fold_point(const folding *f, const text *t, size_t k, uint32_t own[3], const uint32_t **folded) {
    uint32_t point = t->points[k];
    *folded = own;
    if (f->sigma && point == SIGMA) {
        own[0] = t->final[k] ? FINAL_SIGMA : SMALL_SIGMA;
        return 1;
    }
    ptrdiff_t i = find_fold(f, point);
    if (i != NOT_FOUND) {
        *folded = f->folded + f->start[i];
        return f->start[i + 1] - f->start[i];
    }
    own[0] = point;
    if (f->ascii && point >= ASCII) return 0;
    if (!f->hangul || point < HANGUL || point > LAST_HANGUL) return 1;
    uint32_t syllable = point - HANGUL, trail = syllable % TRAIL_COUNT;
    own[0] = LEADS + syllable / (VOWEL_COUNT * TRAIL_COUNT);
    own[1] = VOWELS + syllable / TRAIL_COUNT % VOWEL_COUNT;
    own[2] = TRAILS + trail;
    return trail ? 3 : 2;
}

static void fold_text(const folding *f, text *t) {
    if (!f->n && !f->hangul && !f->ascii && !f->sigma) return;
    if (f->sigma) mark_final(f, t);
    runner *r = t->r;
    const uint32_t *folded;
    uint32_t own[3];
    size_t total = 0, limit = r->m->limits.elements;
    for (size_t i = 0; i < t->n && total <= limit; i++) total += fold_point(f, t, i, own, &folded);
    if (total > limit) refuse_row(r, t->s, t->row, "a text has more than %zu code points when it is folded.", limit);
    uint32_t *to = take(r->c, r->a, total, sizeof *to), *at = to;
    for (size_t i = 0; i < t->n; i++) {
        size_t n = fold_point(f, t, i, own, &folded);
        memcpy(at, folded, n * sizeof *at);
        at += n;
    }
    t->points = to;
    t->n = total;
}

/* Every run of two or more spaces becomes one U+0020. */
static void join_spaces(const ranges *space, text *t) {
    size_t n = 0;
    for (size_t i = 0, end; i < t->n; i = end) {
        for (end = i; end < t->n && in_ranges(space, t->points[end]); end++) {}
        if (end == i) end++;
        t->points[n++] = end > i + 1 ? SPACE : t->points[i];
    }
    t->n = n;
}

/* -- count_terms: terms -- */
/* The text in units, words or code points: unit i is bytes[begin[i]] .. bytes[end[i] - 1], so that a term is a piece of bytes. */
typedef struct units { char *bytes, *at; size_t n, *begin, *end; } units;

static units new_units(const text *t, size_t most) {
    runner *r = t->r;
    size_t *places = take(r->c, r->a, most, 2 * sizeof *places);
    char *bytes = take(r->c, r->a, most, 4);
    return (units){bytes, bytes, 0, places, places + most};
}

static void add_point(units *u, uint32_t point) {
    u->begin[u->n] = (size_t)(u->at - u->bytes);
    u->at = encode_utf8(u->at, point);
    u->end[u->n++] = (size_t)(u->at - u->bytes);
}

/* Writes a word behind a space, and takes it back if it is a stop word. */
static void add_word(const text_plan *p, units *u, const uint32_t *points, size_t n) {
    char *from = u->at;
    u->at = encode_utf8(u->at, SPACE);
    u->begin[u->n] = (size_t)(u->at - u->bytes);
    for (size_t i = 0; i < n; i++) u->at = encode_utf8(u->at, points[i]);
    u->end[u->n] = (size_t)(u->at - u->bytes);
    mp_string word = {u->bytes + u->begin[u->n], u->end[u->n] - u->begin[u->n]};
    if (p->stops && find_string(&p->stop, word) != NOT_FOUND) u->at = from;
    else u->n++;
}

/* Counts the term of n units from unit i on. */
static void count_term(const units *u, size_t i, size_t n, terms *y) {
    const counting *k = y->k;
    if (k->in_order && y->used == k->size) return;
    mp_string term = {u->bytes + u->begin[i], u->end[i + n - 1] - u->begin[i]};
    bool negative = false;
    ptrdiff_t column = k->by_hash ? (ptrdiff_t)hashed_column(murmur(term), k->size, &negative) : find_string(&k->vocabulary, term);
    if (k->in_order) y->numbers[y->used++] = column == NOT_FOUND ? k->unknown : k->first + column;
    else if (column == NOT_FOUND) return;
    else if (k->binary) y->counts[column] = 1.0;
    else y->counts[column] += negative && k->alternate ? -1.0 : 1.0;
}

/* All terms of the units from `first` on. */
static void count_runs(const text_plan *p, const units *u, size_t first, terms *y) {
    for (size_t n = p->least; n <= p->most && n <= u->n - first; n++)
        for (size_t i = first; i + n <= u->n; i++) count_term(u, i, n, y);
}

/* The terms of a word between spaces; if it is shorter than n, it is a term itself, once. */
static void count_within_word(const text_plan *p, const units *u, size_t first, terms *y) {
    size_t length = u->n - first;
    for (size_t n = p->least; n <= p->most; n++) {
        if (n >= length) {
            count_term(u, first, length, y);
            return;
        }
        for (size_t i = first; i + n <= u->n; i++) count_term(u, i, n, y);
    }
}

static void count_words(const text_plan *p, const text *t, terms *y) {
    units u = new_units(t, t->n + 1); /* a space for every word: no more than code points, but for the first */
    for (size_t i = 0, end; i < t->n; i = end + 1) {
        for (end = i; end < t->n && in_ranges(&p->word, t->points[end]); end++) {}
        if (end - i >= p->least_word) add_word(p, &u, t->points + i, end - i);
    }
    count_runs(p, &u, 0, y);
}

static void count_characters(const text_plan *p, const text *t, terms *y) {
    units u = new_units(t, t->n);
    for (size_t i = 0; i < t->n; i++) add_point(&u, t->points[i]);
    count_runs(p, &u, 0, y);
}

static void count_characters_of_words(const text_plan *p, const text *t, terms *y) {
    units u = new_units(t, t->n + 2);
    for (size_t i = 0, end; i < t->n; i = end + 1) {
        for (end = i; end < t->n && !in_ranges(&p->space, t->points[end]); end++) {}
        if (end == i) continue;
        u.n = 0;
        u.at = u.bytes;
        add_point(&u, SPACE);
        for (size_t k = i; k < end; k++) add_point(&u, t->points[k]);
        add_point(&u, SPACE);
        count_within_word(p, &u, 0, y);
    }
}

static void count_text(text *t, mp_string given, terms *y) {
    const text_plan *p = t->s->plan;
    if (!given.data) refuse_row(t->r, t->s, t->row, "%s", "a text is missing.");
    t->points = take(t->r->c, t->r->a, given.size, sizeof *t->points);
    t->n = decode_utf8(given, t->points);
    if (t->n == SIZE_MAX) refuse_row(t->r, t->s, t->row, "%s", "a text is not UTF-8.");
    fold_text(&p->fold, t);
    if (p->analyzer == A_WORD) {
        count_words(p, t, y);
        return;
    }
    join_spaces(&p->space, t);
    if (p->analyzer == A_CHAR) count_characters(p, t, y);
    else count_characters_of_words(p, t, y);
}

static void count_terms_run(runner *r, const step *s) {
    io b = io_of(r, s);
    memset(b.y.f, 0, b.n * sizeof *b.y.f);
    for (size_t i = 0; i < r->rows; i++) {
        mark before = mark_arena(r->a);
        text t = {r, s, i, 0, NULL, NULL};
        count_text(&t, b.x.s[i], &(terms){.k = &((const text_plan *)s->plan)->count, .counts = b.y.f + i * b.out});
        reset_arena(r->a, before);
    }
}

static void term_ids_run(runner *r, const step *s) {
    io b = io_of(r, s);
    const counting *k = &((const text_plan *)s->plan)->count;
    for (size_t i = 0; i < r->rows; i++) {
        mark before = mark_arena(r->a);
        text t = {r, s, i, 0, NULL, NULL};
        terms y = {.k = k, .numbers = b.y.i + i * b.out};
        count_text(&t, b.x.s[i], &y);
        while (y.used < k->size) y.numbers[y.used++] = k->fill;
        reset_arena(r->a, before);
    }
}

/* -- hash_terms -- */
static void hash_terms_check(loader *l) { /* per[0] prefix; plan: a counting */
    counting *k = take_zeroed(l->c, l->keep, 1, sizeof *k);
    l->step->plan = k;
    arity(l, 1, 2);
    size_t width = in_value(l, 0)->width;
    need_row(l, 0);
    need_dtype(l, 0, in_value(l, 0)->dtype == MP_STR, "str");
    if (l->step->n_in == 2)
        need_dtype(l, 1, in_value(l, 1)->dtype == MP_F64 && in_value(l, 1)->width == width, "f64, as wide as the first");
    l->step->per[0] = per_column(l, "prefix", MP_STR, false);
    for (size_t j = 0; l->step->per[0].s && j < width; j++)
        if (!l->step->per[0].s[j].data) refuse(l->c, "Its attribute \"prefix\" holds null.");
    read_hashing(l, k);
    l->step->strings = (double)in_value(l, 0)->counted;
}

/* The term of a cell of column j. */
static mp_string prefixed(runner *r, const step *s, size_t j, mp_string cell) {
    if (!s->per[0].s || s->per[0].s[j].size == 0) return cell;
    mp_string prefix = s->per[0].s[j];
    char *term = take(r->c, r->a, prefix.size + cell.size, 1);
    memcpy(term, prefix.data, prefix.size);
    memcpy(term + prefix.size, cell.data, cell.size);
    return (mp_string){term, prefix.size + cell.size};
}

static void hash_terms_run(runner *r, const step *s) {
    const counting *k = s->plan;
    io b = io_of(r, s);
    memset(b.y.f, 0, b.n * sizeof *b.y.f);
    for (size_t i = 0; i < r->rows * b.in; i++) {
        if (!b.x.s[i].data) continue;
        mark before = mark_arena(r->a);
        bool negative;
        size_t column = hashed_column(murmur(prefixed(r, s, i % b.in, b.x.s[i])), k->size, &negative);
        double value = s->n_in == 2 ? in_column(r, s, 1).f[i] : 1.0;
        b.y.f[i / b.in * b.out + column] += negative && k->alternate ? -value : value;
        reset_arena(r->a, before);
    }
}

/* ==== 4 Solver ==================================================================================================== */

enum { MOST_ROUNDS = 10000, MOST_PAIRED = 4096, ROUNDS_PER_ERROR = 10 };
#define MOST_WORK (UINT64_C(1) << 30)
static const double FLOAT_EPSILON = 0x1p-23, DOUBLE_EPSILON = 0x1p-52;

/* What an op of this section keeps. The table has k rows t of d numbers; its panels are as packed_matrix() makes them. */
typedef struct solver {
    int           kind;
    size_t        k, d, rounds, nonzero;
    bool          positive;
    double        tol, l1, l2, beta, prior, alpha;
    const double *table, *panels;
    double       *gram, *totals; /* [k, k] products of rows; [k] sums of rows */
} solver;

/* One row: x [d] is to become w [k]. */
typedef struct solving { runner *r; const solver *p; const double *x; double *w; } solving;

static double *take_doubles(const solving *v, size_t n) { return take_zeroed(v->r->c, v->r->a, n, sizeof(double)); }

/* -- reading -- */
static double finite_number(loader *l, const char *name, const double *otherwise, bool negative) {
    const json *given = attribute(l, name);
    if (!given && otherwise) return *otherwise;
    double x = number(l, name, MP_F64, NAN);
    if (!given || given->kind != J_NUMBER || !isfinite(x) || (x < 0 && !negative))
        refuse(l->c, "Its attribute \"%s\" is not a %snumber.", name, negative ? "" : "non-negative ");
    return x;
}

static double needed_number(loader *l, const char *name) { return finite_number(l, name, NULL, false); }

static double number_or(loader *l, const char *name, double otherwise) { return finite_number(l, name, &otherwise, false); }

static size_t whole_rounds(loader *l) { return (size_t)whole(l, "max_iter", 0, MOST_ROUNDS); }

/* Refuses factors that multiply to more than a row, or loading, may cost. */
static void need_work(loader *l, size_t a, size_t b, size_t c) {
    if (a && b && c && ((uint64_t)a > MOST_WORK / b || (uint64_t)a * b > MOST_WORK / c))
        refuse(l->c, "It may need more than 2^30 operations for a row or when it is loaded, which is more than the limit.");
}

/* The same, for the rounds of a row. */
static void need_row_work(loader *l, size_t a, size_t b, size_t c) { need_work(l, a, b, c); set_work(l, a * b, c); }
enum { ROUND = 64 }; /* multiplications that a round counts as for every row and column of its table */
static void add_rounds(loader *l, const solver *p, size_t rounds) { l->step->work += ROUND * (double)rounds * (double)(p->k + p->d); }

/* The table of an op on an f64 row; defines its output. */
static solver *new_solver(loader *l, const char *table, bool negative) {
    solver *p = take_zeroed(l->c, l->keep, 1, sizeof *p);
    need_dtype(l, 0, only_row(l) == MP_F64, "f64");
    tensor t = packed_matrix(l, table, MP_F64);
    p->k = t.dims[0];
    p->d = t.dims[1];
    p->panels = l->step->table;
    if (p->k == 0 || p->d == 0) refuse(l->c, "Its attribute \"%s\" is empty.", table);
    for (size_t i = 0; i < t.count; i++)
        if (!isfinite(t.data.f[i]) || (t.data.f[i] < 0 && !negative))
            refuse(l->c, "Its attribute \"%s\" holds a number that is not finite%s.", table, negative ? "" : ", or negative");
    double *kept = take(l->c, l->keep, t.count, sizeof *kept);
    memcpy(kept, t.data.f, t.count * sizeof *kept);
    p->table = kept;
    l->step->plan = p;
    return p;
}

/* y_t = sum_j x_j table_tj for the panels from `first` on. */
static void multiply_table(const solver *p, const double *x, size_t first, double *y) {
    double sums[LANES];
    for (size_t t = first / LANES * LANES; t < p->k; t += LANES) {
        sum_products(x, p->d, p->panels + t * p->d, sums);
        memcpy(y + t, sums, (p->k - t < LANES ? p->k - t : LANES) * sizeof *y);
    }
}

/* y_j = sum_t w_t table_tj. */
static void combine_rows(const solver *p, const double *w, double *y) {
    memset(y, 0, p->d * sizeof *y);
    for (size_t t = 0; t < p->k; t++)
        for (size_t j = 0; j < p->d; j++) y[j] += w[t] * p->table[t * p->d + j];
}

static double dot(const double *x, const double *y, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i] * y[i];
    return sum;
}

static double total(const double *x, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i];
    return sum;
}

static void compute_gram(loader *l, solver *p) {
    size_t k = p->k;
    if (k > MOST_PAIRED) refuse(l->c, "Its table has %zu rows, more than the limit of %d.", k, MOST_PAIRED);
    need_work(l, k, k, p->d);
    double *gram = p->gram = take(l->c, l->keep, product(l, k, k), sizeof *gram);
    for (size_t t = 0; t < k; t++) {
        multiply_table(p, p->table + t * p->d, t, gram + t * k);
        for (size_t r = t + 1; r < k; r++) gram[r * k + t] = gram[t * k + r];
    }
}

/* -- running -- */
/* What a row may hold, beyond finite numbers. */
enum { ANY_NUMBERS, NO_NEGATIVES, POSITIVES };

static void solve_rows(runner *r, const step *s, int accepted, void (*solve)(const solving *)) {
    const solver *p = s->plan;
    io b = io_of(r, s);
    memset(b.y.f, 0, b.n * sizeof *b.y.f);
    for (size_t i = 0; i < r->rows; i++) {
        const double *x = b.x.f + i * p->d;
        for (size_t j = 0; j < p->d; j++) {
            if (!isfinite(x[j])) refuse_row(r, s, i, "element %zu is not finite.", j);
            if ((accepted != ANY_NUMBERS && x[j] < 0) || (accepted == POSITIVES && x[j] == 0))
                refuse_row(r, s, i, "element %zu is %s, which this model does not accept.", j, x[j] < 0 ? "negative" : "0");
        }
        mark before = mark_arena(r->a);
        solve(&(solving){r, p, x, b.y.f + i * b.out});
        reset_arena(r->a, before);
    }
}

/* -- nmf -- */
enum { NMF_CD, NMF_MU, NMF_MINIBATCH };

static void nmf_check(loader *l) { /* plan: a solver */
    solver *p = new_solver(l, "components", false);
    double two = 2;
    p->kind = choice(l, "solver", "cd mu minibatch", REQUIRED);
    p->rounds = whole_rounds(l);
    p->tol = needed_number(l, "tol");
    p->l1 = number_or(l, "l1", 0);
    p->l2 = number_or(l, "l2", 0);
    p->beta = p->kind == NMF_CD ? 2 : finite_number(l, "beta", &two, true);
    need_row_work(l, p->rounds, p->k, p->kind == NMF_CD ? p->k : p->k + p->d); add_rounds(l, p, p->rounds);
    compute_gram(l, p);
    for (size_t t = 0; p->kind == NMF_CD && p->l2 != 0 && t < p->k; t++) p->gram[t * p->k + t] += p->l2;
    p->totals = take(l->c, l->keep, p->k, sizeof *p->totals);
    for (size_t t = 0; t < p->k; t++) p->totals[t] = total(p->table + t * p->d, p->d);
}

/* Coordinate descent: one round, which returns how far it was from an optimum. */
static double descend(const solver *p, const double *target, double *w) {
    double violation = 0;
    for (size_t t = 0; t < p->k; t++) {
        const double *q = p->gram + t * p->k;
        double gradient = -target[t];
        for (size_t r = 0; r < p->k; r++) gradient += q[r] * w[r];
        violation += fabs(w[t] == 0 ? (gradient < 0 ? gradient : 0) : gradient);
        if (q[t] == 0) continue;
        double moved = w[t] - gradient / q[t];
        w[t] = 0 > moved ? 0 : moved;
    }
    return violation;
}

static void nmf_descend(const solving *v) {
    const solver *p = v->p;
    double *target = take_doubles(v, p->k), first = 0;
    multiply_table(p, v->x, 0, target);
    for (size_t t = 0; p->l1 != 0 && t < p->k; t++) target[t] -= p->l1;
    for (size_t round = 0; round < p->rounds; round++) {
        double violation = descend(p, target, v->w);
        if (round == 0) first = violation;
        if (first == 0 || violation / first <= p->tol) return;
    }
}

/* Multiplicative updates: what is kept between rounds. totals: sums of the table's rows, to which l1 adds up (see nmf_multiply). */
typedef struct multiplying { const solving *v; double gamma, *top, *bottom, *y, *c, *b, *totals; } multiplying;

static double floored(double y) { return y < FLOAT_EPSILON ? FLOAT_EPSILON : y; }

/* The numerators and denominators for a beta that is not 2. */
static void divide_by_model(const multiplying *m) {
    const solver *p = m->v->p;
    const double *x = m->v->x, beta = p->beta;
    combine_rows(p, m->v->w, m->y);
    for (size_t j = 0; j < p->d; j++) {
        double y = m->y[j], s = beta < 2 ? floored(y) : y;
        m->c[j] = beta == 1 ? x[j] / s : beta == 0 ? (1 / s) * (1 / s) * x[j] : pow(s, beta - 2) * x[j];
        if (beta != 1) m->b[j] = pow(beta < 1 ? floored(y) : y, beta - 1);
    }
    multiply_table(p, m->c, 0, m->top);
    if (beta == 1) memcpy(m->bottom, m->totals, p->k * sizeof *m->bottom);
    else multiply_table(p, m->b, 0, m->bottom);
}

static void update_weights(const multiplying *m) {
    const solver *p = m->v->p;
    double *w = m->v->w;
    if (p->beta == 2) {
        multiply_table(p, m->v->x, 0, m->top);
        for (size_t t = 0; t < p->k; t++) m->bottom[t] = dot(w, p->gram + t * p->k, p->k);
    } else {
        divide_by_model(m);
    }
    for (size_t t = 0; t < p->k; t++) {
        double bottom = m->bottom[t];
        if (p->l1 > 0) bottom += p->l1;
        if (p->l2 > 0) bottom += p->l2 * w[t];
        double factor = m->top[t] / (bottom == 0 ? FLOAT_EPSILON : bottom);
        w[t] *= m->gamma == 1 ? factor : pow(factor, m->gamma);
    }
}

/* The divergence of x from the model y, for a beta that is not 2. */
static double divergence(const multiplying *m) {
    const solver *p = m->v->p;
    const double *x = m->v->x, *y = m->y, beta = p->beta;
    double given = 0, ratios = 0, logarithms = 0, powers = 0, mixed = 0, modelled = 0;
    for (size_t j = 0; j < p->d; j++) {
        if (beta != 1 && beta != 0) modelled += pow(y[j], beta);
        if (!(x[j] > FLOAT_EPSILON)) continue;
        double u = floored(y[j]), ratio = x[j] / u;
        if (beta == 1) {
            given += x[j];
            logarithms += x[j] * log(ratio);
        } else if (beta == 0) {
            ratios += ratio;
            logarithms += log(ratio);
        } else {
            powers += pow(x[j], beta);
            mixed += x[j] * pow(u, beta - 1);
        }
    }
    if (beta == 1) return logarithms + (dot(m->v->w, p->totals, p->k) - given);
    if (beta == 0) return ratios - (double)p->d - logarithms;
    return ((powers - beta * mixed) + modelled * (beta - 1)) / (beta * (beta - 1));
}

static double reconstruction_error(const multiplying *m) {
    const solver *p = m->v->p;
    combine_rows(p, m->v->w, m->y);
    if (p->beta != 2) {
        double r = divergence(m);
        return sqrt(2 * (r < 0 ? 0 : r));
    }
    double sum = 0;
    for (size_t j = 0; j < p->d; j++) sum += (m->v->x[j] - m->y[j]) * (m->v->x[j] - m->y[j]);
    return sqrt(sum);
}

static multiplying begin_multiplying(const solving *v) {
    const solver *p = v->p;
    double beta = p->beta, gamma = beta < 1 ? 1 / (2 - beta) : beta > 2 ? 1 / (beta - 1) : 1;
    double start = sqrt(total(v->x, p->d) / (double)p->d / (double)p->k);
    multiplying m = {v, gamma, take_doubles(v, p->k), take_doubles(v, p->k), take_doubles(v, p->d), take_doubles(v, p->d),
                     take_doubles(v, p->d), take_doubles(v, p->k)};
    for (size_t t = 0; t < p->k; t++) v->w[t] = start;
    memcpy(m.totals, p->totals, p->k * sizeof *m.totals);
    return m;
}

/* scikit-learn's solver mu. It keeps the denominators of beta 1 between rounds, so that l1 adds up in them. */
static void nmf_multiply(const solving *v) {
    const solver *p = v->p;
    multiplying m = begin_multiplying(v);
    double first = p->tol > 0 ? reconstruction_error(&m) : 0, last = first;
    for (size_t round = 1; round <= p->rounds; round++) {
        update_weights(&m);
        for (size_t t = 0; p->l1 > 0 && t < p->k; t++) m.totals[t] += p->l1;
        for (size_t t = 0; p->beta < 1 && t < p->k; t++)
            if (v->w[t] < DOUBLE_EPSILON) v->w[t] = 0;
        if (!(p->tol > 0) || round % ROUNDS_PER_ERROR) continue;
        double error = reconstruction_error(&m);
        if ((last - error) / first < p->tol) return;
        last = error;
    }
}

/* MiniBatchNMF's way: it stops when the weights do. */
static void nmf_multiply_batch(const solving *v) {
    const solver *p = v->p;
    multiplying m = begin_multiplying(v);
    double *old = take_doubles(v, p->k);
    for (size_t round = 1; round <= p->rounds; round++) {
        memcpy(old, v->w, p->k * sizeof *old);
        update_weights(&m);
        for (size_t t = 0; t < p->k; t++) old[t] = v->w[t] - old[t];
        if (p->tol > 0 && norm_of(L2, old, p->k) / norm_of(L2, v->w, p->k) <= p->tol) return;
    }
}

static void nmf_run(runner *r, const step *s) {
    static void (*const solve[])(const solving *) = {nmf_descend, nmf_multiply, nmf_multiply_batch};
    const solver *p = s->plan;
    int accepted = p->kind == NMF_MINIBATCH ? ANY_NUMBERS : p->kind == NMF_MU && p->beta <= 0 ? POSITIVES : NO_NEGATIVES;
    solve_rows(r, s, accepted, solve[p->kind]);
}

/* -- lda_topics -- */
static void lda_topics_check(loader *l) { /* plan: a solver */
    solver *p = new_solver(l, "components", false);
    p->prior = needed_number(l, "prior");
    p->rounds = whole_rounds(l);
    p->tol = needed_number(l, "tol");
    need_work(l, p->rounds, p->k, p->d); set_work(l, p->rounds + 1, 4 * p->k * p->d); add_rounds(l, p, p->rounds + 1);
}

/* The derivative of log gamma, as scikit-learn computes it (J. M. Bernardo, Algorithm AS 103, 1976). */
static double psi(double z) {
    if (z <= 1e-6) return -0.5772156649015329 - 1 / z;
    double r = 0;
    for (; z < 6; z += 1) r -= 1 / z;
    double q = 1 / z;
    r += log(z) - 0.5 * q;
    q *= q;
    return r - q * (1.0 / 12 - q * (1.0 / 120 - q * (1.0 / 252)));
}

/* The columns of a row that are not 0: n counts, and for every topic its numbers there. */
typedef struct words { size_t n; double *count, *table, *ratio; } words;

static words gather_words(const solving *v) {
    const solver *p = v->p;
    size_t n = 0, at = 0;
    for (size_t j = 0; j < p->d; j++) n += v->x[j] != 0;
    words g = {n, take_doubles(v, n), take_doubles(v, n * p->k), take_doubles(v, n)};
    for (size_t j = 0; j < p->d; j++) {
        if (v->x[j] == 0) continue;
        for (size_t t = 0; t < p->k; t++) g.table[t * n + at] = p->table[t * p->d + j];
        g.count[at++] = v->x[j];
    }
    return g;
}

/* ratio_j: the count of word j over what the topics, weighted by e, give it. */
static void explain_words(const words *g, const double *e, size_t k) {
    memset(g->ratio, 0, g->n * sizeof *g->ratio);
    for (size_t t = 0; t < k; t++)
        for (size_t j = 0; j < g->n; j++) g->ratio[j] += e[t] * g->table[t * g->n + j];
    for (size_t j = 0; j < g->n; j++) g->ratio[j] = g->count[j] / (g->ratio[j] + DOUBLE_EPSILON);
}

static void find_topics(const solving *v) {
    const solver *p = v->p;
    words g = gather_words(v);
    double *w = v->w, *e = take_doubles(v, p->k), start = exp(psi(1) - psi((double)p->k));
    for (size_t t = 0; t < p->k; t++) { w[t] = 1; e[t] = start; }
    for (size_t round = 0; round < p->rounds; round++) {
        double change = 0;
        explain_words(&g, e, p->k);
        for (size_t t = 0; t < p->k; t++) {
            double next = e[t] * dot(g.ratio, g.table + t * g.n, g.n) + p->prior;
            change += fabs(w[t] - next);
            w[t] = next;
        }
        double psi_total = psi(total(w, p->k));
        for (size_t t = 0; t < p->k; t++) e[t] = exp(psi(w[t]) - psi_total);
        if (change / (double)p->k < p->tol) break;
    }
    double sum = total(w, p->k);
    for (size_t t = 0; t < p->k; t++) w[t] /= sum;
}

static void lda_topics_run(runner *r, const step *s) { solve_rows(r, s, NO_NEGATIVES, find_topics); }

/* -- sparse_code -- */
enum { CODE_OMP, CODE_LASSO_CD };

static void sparse_code_check(loader *l) { /* plan: a solver */
    solver *p = new_solver(l, "atoms", true);
    p->kind = choice(l, "algorithm", "omp lasso_cd", REQUIRED);
    if (p->kind == CODE_OMP) {
        p->nonzero = (size_t)whole(l, "nonzero", 1, (int64_t)p->k);
        need_row_work(l, p->nonzero, p->k, p->nonzero + 1);
    } else {
        p->alpha = needed_number(l, "alpha");
        p->rounds = whole_rounds(l);
        p->tol = number_or(l, "tol", 1e-8);
        p->positive = flag(l, "positive", false);
        need_row_work(l, p->rounds, p->k, p->k); add_rounds(l, p, p->rounds);
    }
    compute_gram(l, p);
}

/* -- sparse_code: orthogonal matching pursuit -- */
/* The first n places of `order` are the atoms chosen; lower is the Cholesky factor of their products, row i at i (i + 1) / 2. */
typedef struct pursuit {
    const solving *v;
    size_t         n, *order;
    double        *lower, *products, *residual, *z, *w; /* of all atoms with x: products, and what is left of them */
} pursuit;

static double *lower_row(const pursuit *u, size_t i) { return u->lower + i * (i + 1) / 2; }

/* The place in the order of the first atom with the largest residual; NaN is largest. */
static size_t most_alike(const pursuit *u) {
    size_t best = 0;
    for (size_t m = 1; m < u->v->p->k; m++) {
        double held = fabs(u->residual[u->order[best]]), x = fabs(u->residual[u->order[m]]);
        if (is_nan(held)) break;
        if (is_nan(x) || x > held) best = m;
    }
    return best;
}

/* Adds the atom at place m of the order to those chosen; false if they already span it. */
static bool choose_atom(pursuit *u, size_t m) {
    size_t n = u->n, atom = u->order[m];
    const double *products = u->v->p->gram + atom * u->v->p->k; /* with all */
    double *last = lower_row(u, n), length = 0;
    for (size_t i = 0; i < n; i++) {
        const double *row = lower_row(u, i);
        last[i] = (products[u->order[i]] - dot(row, last, i)) / row[i];
        length += last[i] * last[i];
    }
    if (n && products[atom] - length <= DOUBLE_EPSILON) return false;
    last[n] = sqrt(n ? products[atom] - length : products[atom]);
    swap(&u->order[n], &u->order[m]);
    u->n++;
    return true;
}

/* The weights of the chosen atoms that fit x best, and what is left of the products of all. */
static void fit_chosen(pursuit *u) {
    size_t k = u->v->p->k;
    for (size_t i = 0; i < u->n; i++)
        u->z[i] = (u->products[u->order[i]] - dot(lower_row(u, i), u->z, i)) / lower_row(u, i)[i];
    for (size_t i = u->n; i-- > 0;) {
        double sum = 0;
        for (size_t j = i + 1; j < u->n; j++) sum += lower_row(u, j)[i] * u->w[j];
        u->w[i] = (u->z[i] - sum) / lower_row(u, i)[i];
    }
    memset(u->residual, 0, k * sizeof *u->residual);
    for (size_t i = 0; i < u->n; i++) {
        const double *row = u->v->p->gram + u->order[i] * k;
        for (size_t a = 0; a < k; a++) u->residual[a] += row[a] * u->w[i];
    }
    for (size_t a = 0; a < k; a++) u->residual[a] = u->products[a] - u->residual[a];
}

static void pursue(const solving *v) {
    runner *r = v->r;
    size_t k = v->p->k, most = v->p->nonzero;
    pursuit u = {v, 0, take(r->c, r->a, k, sizeof *u.order), take_doubles(v, most * (most + 1) / 2), take_doubles(v, k),
                 take_doubles(v, k), take_doubles(v, most), take_doubles(v, most)};
    for (size_t a = 0; a < k; a++) u.order[a] = a;
    multiply_table(v->p, v->x, 0, u.products);
    memcpy(u.residual, u.products, k * sizeof *u.residual);
    while (u.n < most) {
        size_t m = most_alike(&u);
        double c = u.residual[u.order[m]];
        if (m < u.n || c * c < DOUBLE_EPSILON || !choose_atom(&u, m)) break;
        fit_chosen(&u);
    }
    for (size_t i = 0; i < u.n; i++) v->w[u.order[i]] = u.w[i];
}

/* -- sparse_code: lasso by coordinate descent, with gap safe screening -- */
/* fitted [k]: the products of all atoms with the sum of weighted atoms. A screened atom is out: its weight is 0 at the optimum. */
typedef struct lasso { const solving *v; double square, gap, largest, *products, *fitted, *rest; bool *out; } lasso;

/* Sets the weight of an atom. */
static void set_weight(const lasso *u, size_t a, double weight) {
    const solver *p = u->v->p;
    double change = weight - u->v->w[a];
    for (size_t b = 0; b < p->k; b++) u->fitted[b] += change * p->gram[a * p->k + b];
    u->v->w[a] = weight;
}

/* The duality gap, with what screening needs: rest [k] and its largest element. */
static void measure_gap(lasso *u) {
    const solver *p = u->v->p;
    const double *w = u->v->w;
    double alike = dot(w, u->products, p->k), square = u->square + dot(w, u->fitted, p->k) - 2 * alike, squares = 0, weights = 0;
    for (size_t a = 0; a < p->k; a++) {
        u->rest[a] = u->products[a] - u->fitted[a];
        double rest = p->positive ? u->rest[a] : fabs(u->rest[a]);
        if (a == 0 || rest > u->largest) u->largest = rest;
        squares += u->rest[a] * u->rest[a];
        weights += fabs(w[a]);
    }
    double alpha = p->alpha, s = u->largest > alpha ? alpha / u->largest : 1;
    u->gap = squares;
    if (alpha != 0) u->gap = (0.5 * square + alpha * weights) - (-0.5 * (s * s) * square + s * (u->square - alike));
}

/* Drops the atoms that the gap shows to have weight 0. */
static void screen_atoms(const lasso *u) {
    const solver *p = u->v->p;
    double alpha = p->alpha, radius = sqrt(2 * fabs(u->gap)) / alpha, most = alpha > u->largest ? alpha : u->largest;
    for (size_t a = 0; alpha != 0 && a < p->k; a++) {
        if (u->out[a] || (1 - fabs(u->rest[a] / most)) / sqrt(p->gram[a * p->k + a]) <= radius) continue;
        u->out[a] = true;
        if (u->v->w[a] != 0) set_weight(u, a, 0);
    }
}

/* One round over the atoms; true if it changed little. */
static bool descend_lasso(const lasso *u) {
    const solver *p = u->v->p;
    double *w = u->v->w, most_change = 0, most_weight = 0;
    for (size_t a = 0; a < p->k; a++) {
        if (u->out[a]) continue;
        double own = p->gram[a * p->k + a], t = u->products[a] - u->fitted[a] + w[a] * own, beyond = fabs(t) - p->alpha;
        double weight = p->positive && t < 0 ? 0 : f_sign(t) * (beyond > 0 ? beyond : 0) / own, change = fabs(weight - w[a]);
        if (weight != w[a]) set_weight(u, a, weight);
        if (change > most_change) most_change = change;
        if (fabs(weight) > most_weight) most_weight = fabs(weight);
    }
    return most_weight == 0 || most_change / most_weight <= p->tol;
}

static void find_lasso(const solving *v) {
    const solver *p = v->p;
    double square = dot(v->x, v->x, p->d), enough = p->tol * square;
    lasso u = {v, square, 0, 0, take_doubles(v, p->k), take_doubles(v, p->k), take_doubles(v, p->k),
               take_zeroed(v->r->c, v->r->a, p->k, sizeof *u.out)};
    multiply_table(p, v->x, 0, u.products);
    measure_gap(&u);
    if (u.gap >= 0 && u.gap <= enough) return;
    for (size_t a = 0; a < p->k; a++) u.out[a] = p->gram[a * p->k + a] == 0;
    screen_atoms(&u);
    for (size_t round = 1; round <= p->rounds; round++) {
        if (!descend_lasso(&u) && round < p->rounds) continue;
        measure_gap(&u);
        if (u.gap <= enough) return;
        screen_atoms(&u);
    }
}

static void sparse_code_run(runner *r, const step *s) {
    const solver *p = s->plan;
    solve_rows(r, s, ANY_NUMBERS, p->kind == CODE_OMP ? pursue : find_lasso);
}

#define MORE_OPS \
    RUN(bucketize), MAP(poly), MAP(interp), MAP(gaussian_ll), RUN(pairwise), MAP(smallest), BOTH(knn), MAP(ovo_vote), \
    RUN(count_terms), RUN(term_ids), RUN(hash_terms), \
    RUN(nmf), RUN(lda_topics), RUN(sparse_code),

#endif
