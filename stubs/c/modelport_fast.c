/* modelport_fast.c - the same answers sooner, for modelport.c: trees for many rows at once, and rows on several threads.
 * SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
 *
 * modelport.c includes this file when it is compiled with -DMODELPORT_FAST. Compiled by itself it is empty. No bit of an answer
 * depends on it: every row takes the same comparisons, and its leaves are added tree by tree, in their order.
 * Sections: 1 Lanes, 2 Few leaves, 3 Keys, 4 Neighbours, 5 Rows. With -DMODELPORT_THREADS too it has mp_predict_threads, which needs POSIX threads.
 */
#ifndef MODELPORT_C
typedef int modelport_fast_is_included_by_modelport_c;
#else

#ifdef MODELPORT_THREADS
#include <pthread.h>
#endif

/* ==== 1 Lanes ===================================================================================================== */

/* Eight walks at once: lane k begins at node[k], and finds column j of its row at x[8 j + k]. node[k] becomes the leaf it
 * reaches. No leaf is nearer than `sure` steps. */
#define BEGIN(k) uint32_t i##k = node[k];
#define FINISH(k) node[k] = i##k;
#define GO(k, NODE, COLUMN, DELTA) { const NODE *q = nodes + i##k; i##k += DELTA + !(x[(size_t)(COLUMN) * LANES + k] <= q->threshold); }
#define SMALL(k) GO(k, small_node, q->link & (SMALL_COLUMNS - 1), (q->link >> COLUMN_BITS))
#define SMALL_WATCHED(k) going |= nodes[i##k].link; SMALL(k)
static void walk_small(const small_node *nodes, const float *x, uint32_t sure, uint32_t node[LANES]) {
    uint32_t going;
    EIGHT(BEGIN)
    while (sure--) { EIGHT(SMALL) }
    do { going = 0; EIGHT(SMALL_WATCHED) } while (going >> COLUMN_BITS);
    EIGHT(FINISH)
}
#define LARGE(k) GO(k, large_node, q->column, q->delta)
#define LARGE_WATCHED(k) going |= nodes[i##k].delta; LARGE(k)
static void walk_large(const large_node *nodes, const double *x, uint32_t sure, uint32_t node[LANES]) {
    uint32_t going;
    EIGHT(BEGIN)
    while (sure--) { EIGHT(LARGE) }
    do { going = 0; EIGHT(LARGE_WATCHED) } while (going);
    EIGHT(FINISH)
}
static void walk(const forest *f, const void *group, uint32_t sure, uint32_t node[LANES]) {
    if (f->small) walk_small(f->small, group, sure, node);
    else walk_large(f->large, group, sure, node);
}
/* A group of eight lanes is [columns][8] of float or double. */
static void fill_lane(const forest *f, char *group, size_t k, const double *x) { fill_columns(f, x, group + k * column_size(f), LANES); }
/* One row, eight trees at once. */
static void run_row(const forest *f, const double *x, double *y, char *group) {
    for (size_t k = 0; k < LANES; k++) fill_lane(f, group, k, x);
    for (size_t t = 0; t < f->trees; t += LANES) {
        uint32_t node[LANES], sure = UINT32_MAX;
        for (size_t k = 0; k < LANES; k++) {
            size_t tree = t + k < f->trees ? t + k : t;
            node[k] = f->root[tree];
            if (f->depth[tree] < sure) sure = f->depth[tree];
        }
        walk(f, group, sure, node);
        for (size_t k = 0; k < LANES && t + k < f->trees; k++) add_leaf(f, t + k, leaf_at(f, node[k]), y);
    }
}
/* Adds the leaves of eight rows. */
static void add_leaves(const forest *f, size_t tree, const uint32_t node[LANES], double *y) {
    if (f->leaf_width == 2 && !f->acc32) /* of two classes: the most frequent forest */
        for (size_t k = 0; k < LANES; k++, y += 2) {
            const double *leaf = leaf_at(f, node[k]);
            y[0] += leaf[0]; y[1] += leaf[1];
        }
    else
        for (size_t k = 0; k < LANES; k++, y += f->width) add_leaf(f, tree, leaf_at(f, node[k]), y);
}
static void run_groups(const forest *f, const char *lanes, size_t stride, size_t groups, double *y) {
    for (size_t t = 0; t < f->trees; t++)
        for (size_t g = 0; g < groups; g++) { /* the tree stays in the cache */
            uint32_t node[LANES], root = f->root[t];
            for (size_t k = 0; k < LANES; k++) node[k] = root;
            walk(f, lanes + g * stride, f->depth[t], node);
            add_leaves(f, t, node, y + g * LANES * f->width);
        }
}

/* ==== 2 Few leaves ================================================================================================ */

/* A tree of up to 64 leaves answers a block of rows without walking: every row begins with a bit for each leaf, every inner
 * node takes away the leaves to its left from the rows that go right, and the lowest bit that is left is the leaf. Rows go
 * right when their rank in a column, the number of its thresholds below them, is above that of the node's. */
#if defined __GNUC__ && !defined MODELPORT_PLAIN_C
enum { BLOCK = 128, FEW_ROWS = 24, MOST_LEAVES = 64, LEAST_NODES = 8 /* per column, to be worth the ranks */ };
typedef struct quick_node { uint32_t column; int32_t rank; uint64_t stay; } quick_node; /* column: of those used; stay: the leaves of rows that go right */
typedef struct quick {
    int        lane;             /* bytes of a mask, and of a rank: 1, 2, 4 or 8 */
    size_t     used;
    uint32_t   *column, *steps;  /* [used] the forest's; the largest step of halving through its edges, a power of two */
    double     **edges;          /* [used][2 steps - 1] thresholds, ascending; infinity at the end */
    quick_node *nodes;
    uint32_t   *first_node, *first_leaf, *rows; /* [trees + 1], [trees]; rows: [leaves] of the table, NULL: the leaf's own number */
} quick;

/* Sorts numbers, by merging runs; returns those of the two arrays that has them. */
static double *sort_numbers(double *from, double *to, size_t n) {
    for (size_t run = 1; run < n; run *= 2) {
        for (size_t low = 0; low < n; low += 2 * run) {
            size_t middle = low + run < n ? low + run : n, high = middle + run < n ? middle + run : n, i = low, j = middle;
            for (size_t k = low; k < high; k++) to[k] = i < middle && (j == high || from[i] <= from[j]) ? from[i++] : from[j++];
        }
        double *swap = from; from = to; to = swap;
    }
    return from;
}
static void quicken(planting *p) {
    forest *f = p->f; loader *l = p->l; size_t most = 0, leaves = 0, inner = 0, columns = 2 * f->d + 1, used = 0; bool never = false;
    for (size_t t = 0; t < f->trees; t++) {
        size_t n = (tree_start(p, t + 1) - tree_start(p, t) + 1) / 2;
        if (n > most) most = n;
    }
    if (l->model->pool || f->by_value || most > MOST_LEAVES || p->inner < 2 || p->nodes > UINT32_MAX / 2) return;
    mark before = mark_arena(l->scratch);
    uint32_t *count = take_zeroed(l->c, l->scratch, columns, sizeof *count), *place = take(l->c, l->scratch, columns, sizeof *place);
    for (size_t i = 0; i < p->nodes; i++) if (!is_leaf(p, i)) count[inner_node(p, i).column]++;
    for (size_t j = 0; j < columns; j++) if (count[j]) place[j] = (uint32_t)used++;
    if (p->inner >= LEAST_NODES * used) {
        arena *keep = l->keep;
        quick *q = take_zeroed(l->c, keep, 1, sizeof *q); size_t longest = 0;
        *q = (quick){.used = used, .column = take(l->c, keep, used, 4), .steps = take(l->c, keep, used, 4), .edges = take(l->c, keep, used, sizeof *q->edges),
                     .nodes = take(l->c, keep, p->inner, sizeof *q->nodes), .first_node = take(l->c, keep, f->trees + 1, 4),
                     .first_leaf = take(l->c, keep, f->trees, 4), .rows = p->leaf ? take(l->c, keep, p->leaves, 4) : NULL};
        double **all = take_zeroed(l->c, l->scratch, columns, sizeof *all);
        for (size_t j = 0; j < columns; j++) {
            if (count[j]) all[j] = take(l->c, l->scratch, count[j], sizeof(double));
            count[j] = 0;
        }
        for (size_t i = 0; i < p->nodes; i++) {
            large_node n = is_leaf(p, i) ? (large_node){NAN, 0, 0} : inner_node(p, i);
            never |= !is_leaf(p, i) && is_nan(n.threshold);
            if (!is_nan(n.threshold)) all[n.column][count[n.column]++] = n.threshold;
        }
        for (size_t j = 0; j < columns; j++) {
            if (!all[j]) continue;
            double *sorted = sort_numbers(all[j], take(l->c, l->scratch, count[j], sizeof *sorted), count[j]); size_t n = 0, steps = 1;
            for (size_t i = 0; i < count[j]; i++) if (n == 0 || sorted[n - 1] < sorted[i]) sorted[n++] = sorted[i];
            while (2 * steps - 1 < n) steps *= 2;
            double *edges = take(l->c, keep, 2 * steps - 1, sizeof *edges);
            for (size_t i = 0; i < 2 * steps - 1; i++) edges[i] = i < n ? sorted[i] : INFINITY;
            q->column[place[j]] = (uint32_t)j; q->steps[place[j]] = (uint32_t)steps; q->edges[place[j]] = edges;
            if (2 * steps > longest) longest = 2 * steps;
        }
        q->lane = most <= 8 && longest <= 256 && !never ? 1 : most <= 16 && longest <= 32768 ? 2 : most <= 32 ? 4 : 8;
        for (size_t t = 0; t < f->trees; t++) {
            size_t first = tree_start(p, t), end = tree_start(p, t + 1);
            q->first_node[t] = (uint32_t)inner; q->first_leaf[t] = (uint32_t)leaves;
            for (size_t i = first; i < end; i++) {
                if (is_leaf(p, i)) {
                    if (p->leaf) q->rows[leaves] = (uint32_t)p->leaf[leaves];
                    leaves++; continue;
                }
                large_node n = inner_node(p, i); uint32_t k = place[n.column]; int32_t rank = 0;
                size_t left = ((size_t)p->right.data.i[p->number[i]] - (i - first)) / 2; /* leaves: one more than inner nodes */
                for (uint32_t step = q->steps[k]; step; step /= 2) if (q->edges[k][(uint32_t)rank + step - 1] < n.threshold) rank += (int32_t)step;
                if (is_nan(n.threshold)) rank = -1; /* no row goes left */
                q->nodes[inner++] = (quick_node){k, q->lane == 1 ? rank - 128 : rank, ~(((UINT64_C(1) << left) - 1) << (leaves - q->first_leaf[t]))};
            }
        }
        q->first_node[f->trees] = (uint32_t)inner; f->quick = q;
    }
    if (l->keep != l->scratch) reset_arena(l->scratch, before);
}

/* Ranks of a block of rows, column by column: [used][BLOCK] of the lane's type. Rows beyond n are of no interest. */
#define SEEK(k) const double *at##k = edges, v##k = v[i + k];
#define HALVE(k) at##k = v##k <= at##k[step - 1] ? at##k : at##k + step; /* NaN is behind all edges */
#define FOUND(k) rank[i + k] = (int32_t)(at##k - edges);
#define FOUR_ROWS(DO) DO(0) DO(1) DO(2) DO(3)
static void rank_rows(const forest *f, const quick *q, const double *x, size_t n, void *ranks) {
    double v[BLOCK] = {0}; int32_t rank[BLOCK];
    for (size_t j = 0; j < q->used; j++) {
        size_t column = q->column[j], k = column > f->d ? column - f->d - 1 : column; const double *edges = q->edges[j];
        for (size_t i = 0; i < n; i++) {
            v[i] = rounded(f->f32, x[i * f->d + k]);
            if (column > f->d && is_nan(v[i])) v[i] = -INFINITY; /* which goes left */
        }
        for (size_t i = 0; i < n; i += 4) {
            FOUR_ROWS(SEEK)
            for (size_t step = q->steps[j]; step; step /= 2) { FOUR_ROWS(HALVE) }
            FOUR_ROWS(FOUND)
        }
        for (size_t i = 0; q->lane == 1 && i < n; i++) ((int8_t *)ranks)[j * BLOCK + i] = (int8_t)(rank[i] - 128);
        for (size_t i = 0; q->lane == 2 && i < n; i++) ((int16_t *)ranks)[j * BLOCK + i] = (int16_t)rank[i];
        for (size_t i = 0; q->lane == 4 && i < n; i++) ((int32_t *)ranks)[j * BLOCK + i] = rank[i];
        for (size_t i = 0; q->lane == 8 && i < n; i++) ((int64_t *)ranks)[j * BLOCK + i] = rank[i];
    }
}
/* The leaves that are left of a tree, for every row of a block: four vectors of rows at a time. */
#define MASKS(T) { \
        typedef T lanes __attribute__((vector_size(32), may_alias)); \
        enum { EACH = 32 / sizeof(T), PART = BLOCK < 4 * EACH ? BLOCK : 4 * EACH }; \
        for (size_t part = 0; part < BLOCK / EACH; part += PART / EACH) { \
            const lanes zero = {0}; lanes a = ~zero, b = a, c = a, d = a, *to = (lanes *)masks + part; \
            for (const quick_node *n = from; n < end; n++) { \
                const lanes *x = (const lanes *)ranks + n->column * (BLOCK / EACH) + part; \
                lanes rank = zero + (T)n->rank, stay = zero + (T)n->stay; \
                a &= (lanes)(x[0] <= rank) | stay; b &= (lanes)(x[1] <= rank) | stay; c &= (lanes)(x[2] <= rank) | stay; d &= (lanes)(x[3] <= rank) | stay; \
            } \
            to[0] = a; to[1] = b; to[2] = c; to[3] = d; \
        } \
    }
/* Adds the leaf of the lowest bit to every row of a block. */
#define SUMS(U, FIRST) { \
        const U *mask = masks; \
        if (one) for (size_t i = 0; i < n; i++) rows[i * f->width + f->target[t]] += leaves[FIRST(mask[i])]; \
        else for (size_t i = 0; i < n; i++) { \
            size_t k = leaf + (size_t)FIRST(mask[i]); \
            add_leaf(f, t, f->table + (size_t)(q->rows ? q->rows[k] : k) * f->leaf_width, rows + i * f->width); \
        } \
    }
#define RUN_TREES { \
        for (size_t t = 0; t < f->trees; t++) { \
            const quick_node *from = q->nodes + q->first_node[t], *end = q->nodes + q->first_node[t + 1]; size_t leaf = q->first_leaf[t]; \
            bool one = f->leaf_width == 1 && !f->acc32 && !q->rows; const double *leaves = f->table + leaf; \
            switch (q->lane) { \
            case 1: MASKS(int8_t) SUMS(uint8_t, __builtin_ctz) break; \
            case 2: MASKS(int16_t) SUMS(uint16_t, __builtin_ctz) break; \
            case 4: MASKS(int32_t) SUMS(uint32_t, __builtin_ctz) break; \
            default: MASKS(int64_t) SUMS(uint64_t, __builtin_ctzll) \
            } \
        } \
    }
#define TREES_ARGUMENTS const forest *f, const quick *q, const void *ranks, void *masks, size_t n, double *rows
#if defined __x86_64__ && !defined __AVX2__ && !defined MODELPORT_NO_HEAP
#define WIDE_TREES 1
__attribute__((target("avx2,bmi"))) static void run_trees_wide(TREES_ARGUMENTS) RUN_TREES /* the same bits in wider registers */
#endif
static void run_trees_plain(TREES_ARGUMENTS) RUN_TREES
static void run_trees(TREES_ARGUMENTS) {
#ifdef WIDE_TREES
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi")) { run_trees_wide(f, q, ranks, masks, n, rows); return; }
#endif
    run_trees_plain(f, q, ranks, masks, n, rows);
}
/* Blocks of rows; returns how many rows that were. */
static size_t run_quick(runner *r, const forest *f, const double *x, double *y) {
    const quick *q = f->quick; size_t done = 0;
    if (!q || r->rows < FEW_ROWS) return 0;
    void *ranks = take_aligned(r->c, r->a, q->used * BLOCK, (size_t)q->lane, CACHE_LINE), *masks = take_aligned(r->c, r->a, BLOCK, (size_t)q->lane, CACHE_LINE);
    for (size_t n; r->rows - done >= FEW_ROWS; done += n) {
        n = r->rows - done < BLOCK ? r->rows - done : BLOCK;
        rank_rows(f, q, x + done * f->d, n, ranks); run_trees(f, q, ranks, masks, n, y + done * f->width);
    }
    return done;
}
#else
static void quicken(planting *p) { (void)p; }
static size_t run_quick(runner *r, const forest *f, const double *x, double *y) { (void)r, (void)f, (void)x, (void)y; return 0; }
#endif

static size_t run_lanes(runner *r, const forest *f, const double *x, double *y) {
    size_t done = run_quick(r, f, x, y), groups = (r->rows - done) / LANES, stride = f->columns * LANES * column_size(f);
    char *lanes = take_aligned(r->c, r->a, groups + 1, stride, CACHE_LINE);
    for (size_t i = 0; i < groups * LANES; i++) fill_lane(f, lanes + i / LANES * stride, i % LANES, x + (done + i) * f->d);
    run_groups(f, lanes, stride, groups, y + done * f->width);
    for (size_t i = done + groups * LANES; i < r->rows; i++) run_row(f, x + i * f->d, y + i * f->width, lanes + groups * stride);
    return r->rows;
}

/* ==== 3 Keys ====================================================================================================== */

/* A key lies in one of the eight places behind its hash, or in none when they were full: then halving finds it, so that no choice of
 * keys makes finding slow. */
enum { PLACES = 8, LEAST_KEYS = 4 };
static size_t hash_string(mp_string s) {
    uint64_t h = s.size + UINT64_C(0x9e3779b97f4a7c15), w;
    const char *at = s.data;
    for (size_t left = s.size; left >= 8; left -= 8, at += 8) { memcpy(&w, at, 8); h = (h ^ w) * UINT64_C(0xff51afd7ed558ccd); h ^= h >> 32; }
    w = 0;
    if (s.size % 8) memcpy(&w, at, s.size % 8);
    h = (h ^ w) * UINT64_C(0xc4ceb9fe1a85ec53);
    return (size_t)(h ^ h >> 29);
}
static void hash_keys(loader *l, directory *d) {
    size_t size = 2 * PLACES;
    if (d->dtype != MP_STR || d->n < LEAST_KEYS || d->n > UINT32_MAX / 8 || l->model->pool) return;
    while (size < 2 * d->n) size *= 2;
    uint32_t *slots = take_zeroed(l->c, l->keep, size, sizeof *slots); /* the position of a key, and 1; 0 is empty */
    for (size_t k = 0; k < d->n; k++) {
        if (!d->keys.s[k].data) continue;
        size_t h = hash_string(d->keys.s[k]), p = 0;
        while (p < PLACES && slots[(h + p) & (size - 1)]) p++;
        if (p < PLACES) slots[(h + p) & (size - 1)] = (uint32_t)k + 1;
    }
    d->mask = size - 1; d->slots = slots;
}
static ptrdiff_t find_hashed(const directory *d, column x, size_t i) {
    mp_string s = d->slots ? x.s[i] : (mp_string){NULL, 0};
    if (!s.data) return find(d, x, i);
    size_t h = hash_string(s);
    for (size_t p = 0; p < PLACES; p++) {
        uint32_t k = d->slots[(h + p) & d->mask];
        if (k == 0) return NOT_FOUND;
        if (same_string(s, d->keys.s[k - 1])) return (ptrdiff_t)k - 1;
    }
    return find(d, x, i);
}

/* ==== 4 Neighbours ================================================================================================ */

/* A pairwise step whose distances only a knn step reads is joined with that one: no distance is kept but the k least of a row, and
 * most are never summed. They are summed as the format says only where a screen lets a point pass, and the screen holds back none
 * that could be among the k nearest.
 * With a = x - c and b = p - c, for the centre c of the points, D = |a|^2 + |b|^2 - 2 a.b. Products and sums of n columns in f32, u = 2^-24,
 * leave a.b - |b|^2 / 2 an error of at most (2.04 n + 2.1) u (|a|^2 + |b|^2), those of a and b included, and 2^-120 (n + 16) for numbers
 * that are too small for f32. So where the sum does not exceed (|a|^2 (1 - (6 n + 20) u) - slack - W) / 2, having begun at
 * -|b|^2 (1 - (6 n + 20) u) / 2, D is at least W, a little above the k-th least sum so far: no later point that far is nearer. */
#ifdef MODELPORT_MORE
enum { LEAST_POINTS = 64, POINTS_PER_NEIGHBOUR = 8, MOST_SCREENED = 1 << 16, ABREAST_POINTS = 2 * LANES, SCREENED_ROWS = 1 << 14, KEPT_AT_ONCE = 1 << 18 };
static const double LARGEST_SQUARE = 1e30;
/* panels: of 16 points, where the sums begin and then the columns. */
typedef struct joined { const step *pairs; size_t points, n_panels; float *panels; double *centre; } joined;
static double screen_error(size_t width) { return (6 * (double)width + 20) * 0x1p-24; }
static double screen_slack(size_t width) { return ((double)width + 16) * 0x1p-120; }

/* Whether 2 k sums, a row after the other with 16 points, exceed the row's limit or are NaN: a bit for each. */
#define SCREEN_ARGUMENTS const float *x, size_t rows, size_t width, const float *panel, const float *limit, uint32_t *found
#if defined __GNUC__ && !defined MODELPORT_PLAIN_C
typedef float eight_floats __attribute__((vector_size(32), aligned(4), may_alias));
typedef int32_t eight_masks __attribute__((vector_size(32), may_alias));
#define OPEN_SCREEN(q) eight_floats a##q = *(const eight_floats *)panel, b##q = *(const eight_floats *)(panel + LANES);
#define ADD_SCREEN(q) { float v = x[q * width + j]; a##q += v * left; b##q += v * right; }
#define ADD_SCREEN_FUSED(q) { float u = x[q * width + j]; eight_floats v = {u, u, u, u, u, u, u, u}; \
        a##q = __builtin_ia32_vfmaddps256(v, left, a##q); b##q = __builtin_ia32_vfmaddps256(v, right, b##q); }
#define CLOSE_SCREEN(q) { eight_masks l = ~(eight_masks)(a##q <= limit[q]), r = ~(eight_masks)(b##q <= limit[q]); found[q] = MASK_BITS(l, r); }
#define SCREEN_TILE(ROWS, ADD) { \
        const float *at = panel + ABREAST_POINTS; \
        ROWS(OPEN_SCREEN) \
        for (size_t j = 0; j < width; j++, at += ABREAST_POINTS) { eight_floats left = *(const eight_floats *)at, right = *(const eight_floats *)(at + LANES); ROWS(ADD) } \
        ROWS(CLOSE_SCREEN) \
    }
#define SIX_ROWS(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5)
#define ONE_ROW(DO) DO(0)
#define SCREEN_ROWS(ADD) { \
        for (; rows >= 6; rows -= 6, x += 6 * width, limit += 6, found += 6) SCREEN_TILE(SIX_ROWS, ADD) \
        for (; rows > 0; rows--, x += width, limit++, found++) SCREEN_TILE(ONE_ROW, ADD) \
    }
static uint32_t mask_bits(const eight_masks *left, const eight_masks *right) {
    uint64_t w[8], any = 0; uint32_t bits = 0;
    memcpy(w, left, 32); memcpy(w + 4, right, 32);
    for (size_t k = 0; k < 8; k++) any |= w[k];
    for (unsigned k = 0; any && k < LANES; k++) bits |= (uint32_t)((*left)[k] & 1) << k | (uint32_t)((*right)[k] & 1) << (k + LANES);
    return bits;
}
#define MASK_BITS(l, r) mask_bits(&l, &r)
static void screen_plain(SCREEN_ARGUMENTS) SCREEN_ROWS(ADD_SCREEN)
#if defined __x86_64__ && !defined __AVX__ && !defined MODELPORT_NO_HEAP
#define WIDE_SCREEN 1
#undef MASK_BITS
#define MASK_BITS(l, r) (uint32_t)__builtin_ia32_movmskps256((eight_floats)l) | (uint32_t)__builtin_ia32_movmskps256((eight_floats)r) << LANES
__attribute__((target("avx2,fma"))) static void screen_wide(SCREEN_ARGUMENTS) SCREEN_ROWS(ADD_SCREEN_FUSED)
#endif
#else
static void screen_plain(SCREEN_ARGUMENTS) {
    for (size_t i = 0; i < rows; i++) {
        float sums[ABREAST_POINTS];
        memcpy(sums, panel, sizeof sums); found[i] = 0;
        for (size_t j = 0; j < width; j++) for (size_t k = 0; k < ABREAST_POINTS; k++) sums[k] += x[i * width + j] * panel[(j + 1) * ABREAST_POINTS + k];
        for (unsigned k = 0; k < ABREAST_POINTS; k++) found[i] |= (uint32_t)!(sums[k] <= limit[i]) << k;
    }
}
#endif
static void screen(SCREEN_ARGUMENTS) {
#ifdef WIDE_SCREEN
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) { screen_wide(x, rows, width, panel, limit, found); return; }
#endif
    screen_plain(x, rows, width, panel, limit, found);
}

/* The screen of a pairwise step's points; NULL where f32 cannot hold them, or where it would not be worth it. */
static const joined *make_screen(loader *l, const step *pairs, size_t points, size_t width, size_t k) {
    if (points < LEAST_POINTS || k > points / POINTS_PER_NEIGHBOUR || width == 0 || width > MOST_SCREENED) return NULL;
    size_t n = (points + ABREAST_POINTS - 1) / ABREAST_POINTS; double error = screen_error(width), slack = screen_slack(width);
    joined *s = take(l->c, l->keep, 1, sizeof *s);
    *s = (joined){pairs, points, n, take_aligned(l->c, l->keep, product(l, n, width + 1), ABREAST_POINTS * sizeof(float), CACHE_LINE), take_zeroed(l->c, l->keep, width, sizeof(double))};
#define POINT(i, j) pairs->table[((i) / LANES * width + (j)) * LANES + (i) % LANES]
    for (size_t i = 0; i < points; i++) for (size_t j = 0; j < width; j++) s->centre[j] += POINT(i, j) / (double)points;
    for (size_t i = 0; i < n * ABREAST_POINTS; i++) {
        float *at = s->panels + i / ABREAST_POINTS * (width + 1) * ABREAST_POINTS + i % ABREAST_POINTS; double square = 0;
        for (size_t j = 0; j < width; j++) {
            double b = i < points ? POINT(i, j) - s->centre[j] : 0;
            square += b * b; at[(j + 1) * ABREAST_POINTS] = (float)b;
        }
        if (!(square <= LARGEST_SQUARE)) return NULL;
        *at = i < points ? (float)-((square * (1 - error) - slack) / 2) : -(float)LARGEST_SQUARE;
    }
#undef POINT
    return s;
}
static bool is_step(const step *s, const char *name) { return strcmp(s->op->name, name) == 0; }
/* Joins steps, before values have places. The distances get none: their width becomes 0, and nothing computes them. */
static void join_steps(loader *l) {
    mp_model *m = l->model; plan *p = l->plan;
    if (m->n_names || m->pool) return;
    mark before = mark_arena(l->scratch); size_t *uses = take_zeroed(l->c, l->scratch, m->n_values, sizeof *uses);
    for (size_t i = 0; i < m->n_steps; i++) for (size_t k = 0; k < p->steps[i].n_in; k++) uses[p->steps[i].in[k]]++;
    for (size_t k = 0; k < m->n_outputs; k++) uses[m->sources[k]]++;
    for (size_t i = 0; i < m->n_steps; i++) {
        step *s = &p->steps[i]; size_t from = is_step(s, "knn") ? s->in[0] : 0;
        if (from < m->n_inputs || uses[from] != 1) continue;
        const step *pairs = &p->steps[from - m->n_inputs];
        if (!is_step(pairs, "pairwise") || (pairs->word != M_EUCLIDEAN && pairs->word != M_SQEUCLIDEAN)) continue;
        s->plan = make_screen(l, pairs, p->values[from].width, p->values[pairs->in[0]].width, s->size);
        if (s->plan) { s->in[0] = pairs->in[0]; p->values[from].width = 0; }
    }
    if (l->keep != l->scratch) reset_arena(l->scratch, before);
}

static bool is_farther(const neighbour *a, const neighbour *b) {
    int order = compare_doubles(a->distance, b->distance);
    return order > 0 || (order == 0 && a->at > b->at);
}
/* Restores a heap of n, the farthest on top, below position i. */
static void sink_neighbour(neighbour *heap, size_t n, size_t i) {
    neighbour sinking = heap[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && is_farther(&heap[child + 1], &heap[child])) child++;
        if (!is_farther(&heap[child], &sinking)) break;
        heap[i] = heap[child];
    }
    heap[i] = sinking;
}
/* The neighbours of a row so far. limit: what a sum of the screen does not exceed for points that are not nearer; NaN: all may be. */
typedef struct nearby { neighbour *heap; size_t n; double square; } nearby;
static void add_neighbour(nearby *near, size_t k, bool root, double sum, size_t at) {
    neighbour found = {sum, sum, at};
    if (near->n == k && !(sum < near->heap[0].sum || is_nan(near->heap[0].sum))) return; /* of equal ones the earlier is in the heap already */
    if (root) found.distance = sqrt(sum);
    if (near->n < k) {
        near->heap[near->n++] = found;
        for (size_t i = near->n == k ? k / 2 : 0; i-- > 0;) sink_neighbour(near->heap, k, i);
    } else if (found.distance < near->heap[0].distance || (is_nan(near->heap[0].distance) && !is_nan(found.distance))) {
        near->heap[0] = found; sink_neighbour(near->heap, k, 0);
    }
}
static float screen_limit(const nearby *near, size_t k, size_t width) {
    double farthest = near->n == k ? near->heap[0].sum : NAN;
    if (!(farthest < INFINITY && near->square <= LARGEST_SQUARE)) return NAN;
    double limit = (near->square * (1 - screen_error(width)) - screen_slack(width) - farthest * (1 + ((double)width + 8) * 0x1p-52)) / 2;
    return (float)(limit - fabs(limit) * 0x1p-22 - 0x1p-120);
}
static void find_nearest(runner *r, const joined *s, const double *x, size_t rows, size_t width, size_t k, nearby *near) {
    float *copy = take(r->c, r->a, rows * width, sizeof *copy), *limit = take(r->c, r->a, rows, sizeof *limit);
    uint32_t *found = take(r->c, r->a, rows, sizeof *found);
    for (size_t i = 0; i < rows; i++, near[i - 1].n = 0, limit[i - 1] = NAN) {
        near[i].square = 0;
        for (size_t j = 0; j < width; j++) { double a = x[i * width + j] - s->centre[j]; near[i].square += a * a; copy[i * width + j] = (float)a; }
    }
    for (size_t panel = 0; panel < s->n_panels; panel++) {
        screen(copy, rows, width, s->panels + panel * (width + 1) * ABREAST_POINTS, limit, found);
        for (size_t i = 0; i < rows; i++) {
            if (!found[i]) continue;
            for (size_t first = panel * ABREAST_POINTS, half = found[i]; half && first < s->points; first += LANES, half >>= LANES) {
                double sums[LANES];
                if (!(half & 0xff)) continue;
                pair_rows(true, x + i * width, 1, width, s->pairs->table + first * width, sums);
                for (size_t q = 0; q < LANES && first + q < s->points; q++)
                    if (half >> q & 1) add_neighbour(&near[i], k, s->pairs->word == M_EUCLIDEAN, sums[q], first + q);
            }
            limit[i] = screen_limit(&near[i], k, width);
        }
    }
}
static bool run_joined(runner *r, const step *s) {
    const joined *join = s->plan;
    if (!join) return false;
    io b = io_of(r, s); size_t k = s->size, most = SCREENED_ROWS / (b.in + 1) / 6 * 6 + 6, rows;
    if (most > KEPT_AT_ONCE / k + 1) most = KEPT_AT_ONCE / k + 1;
    if (most > r->rows) most = r->rows;
    neighbour *heaps = take(r->c, r->a, most * k, sizeof *heaps); nearby *near = take(r->c, r->a, most, sizeof *near); mark before = mark_arena(r->a);
    for (size_t i = 0; i < most; i++) near[i].heap = heaps + i * k;
    for (size_t done = 0; done < r->rows; done += rows, reset_arena(r->a, before)) {
        rows = r->rows - done < most ? r->rows - done : most;
        find_nearest(r, join, b.x.f + done * b.in, rows, b.in, k, near);
        for (size_t i = 0; i < rows; i++) {
            for (size_t end = k; end-- > 1;) {
                neighbour last = near[i].heap[end];
                near[i].heap[end] = near[i].heap[0]; near[i].heap[0] = last; sink_neighbour(near[i].heap, end, 0);
            }
            let_vote(s, near[i].heap, b.y.f + (done + i) * b.out, b.out);
        }
    }
    return true;
}
#else
static void join_steps(loader *l) { (void)l; }
#endif

/* ==== 5 Rows ====================================================================================================== */

/* Of modelport.c, which includes this file before them. */
static size_t match_feeds(context *c, arena *a, const mp_model *m, const mp_feed *feeds, size_t n, source *sources, size_t *lengths);
static const plan *plan_for(context *c, arena *a, const mp_model *m, size_t *lengths);
static size_t *unknown_lengths(context *c, arena *a, const mp_model *m);
static void run_rows(context *c, arena *a, const mp_model *m, const plan *p, const source *sources, size_t first, size_t end, column *out);
static arena call_arena(const mp_model *m);

typedef struct part { const mp_call *call; size_t first, rows; arena a; } part;
static void predict_part(context *c, void *argument) {
    part *p = argument; const mp_call *call = p->call; const mp_model *m = call->model; size_t *lengths = unknown_lengths(c, &p->a, m);
    source *sources = take_zeroed(c, &p->a, m->n_inputs, sizeof *sources); size_t rows = match_feeds(c, &p->a, m, call->feeds, call->n_feeds, sources, lengths);
    if (call->first > rows || call->rows > rows - call->first) refuse(c, "Rows %zu to %zu are not among the %zu that are given.", call->first, call->first + call->rows, rows);
    const plan *made = plan_for(c, &p->a, m, lengths); column *out = take(c, &p->a, m->n_outputs, sizeof *out);
    for (size_t k = 0; k < m->n_outputs; k++) {
        const mp_target *t = &call->targets[k]; mp_dtype dtype = made->outputs[k].dtype;
        if (is_float(dtype)) out[k].f = t->numbers;
        else if (dtype == MP_STR) out[k].s = t->strings;
        else out[k].i = t->integers;
        if (!out[k].any && p->rows && made->outputs[k].width) refuse(c, "The output %s has no place for its %s.", quote(made->outputs[k].name).text, DTYPES[dtype].name);
    }
    run_rows(c, &p->a, m, made, sources, p->first, p->first + p->rows, out);
}
static mp_code run_part(part *p, mp_error *error) {
    context c; mp_error unseen; p->a = call_arena(p->call->model);
    mp_code code = attempt(&c, error ? error : &unseen, predict_part, p);
    free_arena(&p->a); return code;
}
mp_code mp_predict_rows(const mp_call *call, mp_error *error) {
    part p = {.call = call, .first = call->first, .rows = call->rows};
    return run_part(&p, error);
}
#ifdef MODELPORT_THREADS
typedef struct worker { pthread_t thread; part part; mp_code code; mp_error error; } worker;
static void *work(void *argument) { worker *w = argument; w->code = run_part(&w->part, &w->error); return NULL; }
enum { MOST_THREADS = 64, ROWS_PER_THREAD = 256 };
mp_code mp_predict_threads(const mp_call *call, size_t threads, mp_error *error) {
    worker workers[MOST_THREADS]; size_t n = threads < MOST_THREADS ? threads : MOST_THREADS, begun = 0, worst, share;
    if (n > call->rows / ROWS_PER_THREAD) n = call->rows / ROWS_PER_THREAD;
    if (n < 2 || call->model->pool) return mp_predict_rows(call, error);
    for (share = (call->rows / n + ROWS_PER_THREAD - 1) / ROWS_PER_THREAD * ROWS_PER_THREAD; begun < n && begun * share < call->rows; begun++) {
        worker *w = &workers[begun]; size_t left = call->rows - begun * share;
        w->part = (part){.call = call, .first = call->first + begun * share, .rows = left < share || begun + 1 == n ? left : share};
        if (begun + 1 == n || (begun + 1) * share >= call->rows || pthread_create(&w->thread, NULL, work, w) != 0) { /* the last part, or all that is left */
            w->part.rows = left; work(w); begun++; break;
        }
    }
    for (size_t k = 0; k + 1 < begun; k++) pthread_join(workers[k].thread, NULL);
    for (worst = 0; worst + 1 < begun && workers[worst].code == MP_OK;) worst++; /* the first rows that fail, as one thread would say */
    if (error) *error = workers[worst].error;
    return workers[worst].code;
}
#endif

#endif
