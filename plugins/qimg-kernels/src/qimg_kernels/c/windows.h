/* <H> of matrices on windows of wires, and the way back.

   A window's values depend on its reduced state r_ij = sum conj(x_i) x_j alone. It is computed in tiles of two by two
   entries (i <= j), which fit the registers, and a tile is used at once: for the values; on the way back for the
   matrices, and, as an operator, on the state. Entries of a tile are real numbers in this order: r_ii, r_jj, r_ij of
   a tile on the diagonal, the four r_ij of another; an r_ij is its real part, then (two planes) its imaginary part. */

typedef struct {
  int d, groups, height, entries, kept; /* kept: whether its reduced states lie in the saved memory */
  const int32_t *index;                 /* (groups, d) positions */
  R *table;                             /* (height, entries): value = sum table * entry */
  int64_t column, at;                   /* its first value; its first entry among those of a block that are kept */
} NAME(window_t);

typedef struct {
  int count;
  int64_t numbers, kept; /* of tables; of entries kept for a block */
  NAME(window_t) *w;
  R *tables;
  V *values;
} NAME(reader_t);

/* Fewer groups than this, and it is less work to compute a reduced state again than to keep it. */
#define LEAST_GROUPS 16

static int64_t NAME(kept)(const call_t *c) {
  int64_t out = 0;
  const int planes = c->plan->planes;
  for (int64_t i = 0; i < c->n_windows; i++) {
    const int d = 1 << c->shapes[2 * i];
    if (c->plan->dim / d >= LEAST_GROUPS) out += planes == 2 ? d * d : d * (d + 1) / 2;
  }
  return out;
}
int64_t NAME(reduced)(const call_t *c) { return LEVEL_BYTES * ((c->batch + W - 1) / W) * NAME(kept)(c); }

/* Calls f for the entries (i, j) of a matrix in the order of the tiles. */
#define ENTRIES(d, f)                                                                                      \
  for (int i_ = 0; i_ < (d); i_ += 2)                                                                      \
    for (int j_ = i_; j_ < (d); j_ += 2) {                                                                 \
      if (i_ == j_) { f(i_, i_) f(i_ + 1, i_ + 1) f(i_, i_ + 1) }                                          \
      else { f(i_, j_) f(i_, j_ + 1) f(i_ + 1, j_) f(i_ + 1, j_ + 1) }                                     \
    }

/* The Hermitian part of m as the numbers that a reduced state's entries are multiplied with. */
static void NAME(pack)(const R *m, int d, int planes, R *to) {
#define TAKE(i, j)                                                       \
  {                                                                      \
    const R *a = m + 2 * ((i) * d + (j)), *b = m + 2 * ((j) * d + (i));  \
    if ((i) == (j)) *to++ = a[0];                                        \
    else { *to++ = a[0] + b[0]; if (planes == 2) *to++ = b[1] - a[1]; }  \
  }
  ENTRIES(d, TAKE)
#undef TAKE
}
/* The transpose: derivatives by the table's numbers (by lane) to those by the matrix. */
static void NAME(unpack)(const V *from, int d, int planes, R *m) {
#define GIVE(i, j)                                                            \
  {                                                                           \
    R *a = m + 2 * ((i) * d + (j)), *b = m + 2 * ((j) * d + (i));             \
    a[0] = b[0] = (R)NAME(sum)(*from++);                                      \
    b[1] = (i) != (j) && planes == 2 ? (R)NAME(sum)(*from++) : 0;             \
    a[1] = -b[1];                                                             \
  }
  ENTRIES(d, GIVE)
#undef GIVE
}

static void NAME(close_windows)(NAME(reader_t) *r) { free(r->w); free(r->tables); free(r->values); }

/* Returns 0, or -1 where there is no memory. */
static int NAME(open_windows)(const call_t *c, NAME(reader_t) *r) {
  const plan_t *p = c->plan;
  memset(r, 0, sizeof *r);
  if (c->mode != WINDOWS) return 0;
  r->count = (int)c->n_windows;
  r->w = malloc(sizeof(NAME(window_t)) * (r->count + 1));
  r->values = NAME(room)(LEVEL_BYTES * c->n_values);
  if (!r->w) return -1;
  int64_t column = 0;
  for (int i = 0; i < r->count; i++) {
    NAME(window_t) *w = &r->w[i];
    w->d = 1 << c->shapes[2 * i];
    w->groups = p->dim / w->d;
    w->height = c->shapes[2 * i + 1];
    w->entries = p->planes == 2 ? w->d * w->d : w->d * (w->d + 1) / 2;
    w->index = c->index + (int64_t)i * p->dim;
    w->kept = w->groups >= LEAST_GROUPS;
    w->column = column;
    w->at = r->kept;
    column += w->height;
    r->numbers += (int64_t)w->height * w->entries;
    if (w->kept) r->kept += w->entries;
  }
  r->tables = malloc(sizeof(R) * (r->numbers + 1));
  if (!r->values || !r->tables) return -1;
  R *to = r->tables;
  for (int i = 0; i < r->count; i++) {
    NAME(window_t) *w = &r->w[i];
    w->table = to;
    for (int k = 0; k < w->height; k++, to += w->entries)
      NAME(pack)((const R *)c->matrices[i] + 2 * (int64_t)k * w->d * w->d, w->d, p->planes, to);
  }
  return 0;
}

/* A tile of the reduced state: wires' states i, i + 1 beside j, j + 1. */
ALWAYS void NAME(tile)(const NAME(window_t) *w, const V *psi, int i, int j, V *out, const int SAME, const int PLANES) {
  const int32_t *index = w->index;
  V s[8] = {{0}};
  for (int g = 0; g < w->groups; g++, index += w->d) {
    const V *a = psi + (int64_t)index[i] * PLANES, *b = psi + (int64_t)index[i + 1] * PLANES;
    if (SAME) { /* every sum in two, for short chains */
      V x = a[0], y = b[0];
      s[0] += x * x; s[2] += y * y; s[4] += x * y;
      if (PLANES == 2) {
        V xi = a[1], yi = b[1];
        s[1] += xi * xi; s[3] += yi * yi; s[5] += xi * yi; s[6] += x * yi; s[7] += xi * y;
      }
      continue;
    }
    const V *e = psi + (int64_t)index[j] * PLANES, *f = psi + (int64_t)index[j + 1] * PLANES;
    if (PLANES == 1) {
      V x = a[0], y = b[0], u = e[0], v = f[0];
      s[0] += x * u; s[1] += x * v; s[2] += y * u; s[3] += y * v;
      continue;
    }
    V x = a[0], xi = a[1], y = b[0], yi = b[1], u = e[0], ui = e[1], v = f[0], vi = f[1];
    s[0] += x * u; s[1] += x * ui; s[2] += x * v; s[3] += x * vi;
    s[4] += y * u; s[5] += y * ui; s[6] += y * v; s[7] += y * vi;
    s[0] += xi * ui; s[1] -= xi * u; s[2] += xi * vi; s[3] -= xi * v;
    s[4] += yi * ui; s[5] -= yi * u; s[6] += yi * vi; s[7] -= yi * v;
  }
  if (!SAME) { UNROLL for (int m = 0; m < 4 * PLANES; m++) out[m] = s[m]; }
  else {
    out[0] = s[0] + s[1]; out[1] = s[2] + s[3]; out[2] = s[4] + s[5];
    if (PLANES == 2) out[3] = s[6] - s[7];
  }
}

/* lam += H psi, H the tile (both halves of it) with the entries a: 2 h_ij = a_ij - i a'_ij. */
ALWAYS void NAME(untile)(const NAME(window_t) *w, const V *psi, V *lam, int i, int j, const V *from,
                         const int SAME, const int PLANES) {
  const int32_t *index = w->index;
  V t[8];
  const int n = SAME ? 2 + PLANES : 4 * PLANES;
  UNROLL for (int m = 0; m < n; m++) t[m] = from[m];
  if (SAME) { t[0] *= 2; t[1] *= 2; }
  for (int g = 0; g < w->groups; g++, index += w->d) {
    const int64_t at = (int64_t)index[i] * PLANES, bt = (int64_t)index[i + 1] * PLANES;
    const V *a = psi + at, *b = psi + bt;
    V *la = lam + at, *lb = lam + bt;
    if (SAME) {
      V x = a[0], y = b[0], p = la[0] + t[0] * x + t[2] * y, q = lb[0] + t[1] * y + t[2] * x;
      if (PLANES == 1) { la[0] = p; lb[0] = q; continue; }
      V xi = a[1], yi = b[1];
      la[0] = p + t[3] * yi; lb[0] = q - t[3] * xi;
      la[1] = la[1] + t[0] * xi + t[2] * yi - t[3] * y;
      lb[1] = lb[1] + t[1] * yi + t[2] * xi + t[3] * x;
      continue;
    }
    const int64_t et = (int64_t)index[j] * PLANES, ft = (int64_t)index[j + 1] * PLANES;
    const V *e = psi + et, *f = psi + ft;
    V *le = lam + et, *lf = lam + ft;
    if (PLANES == 1) {
      V x = a[0], y = b[0], u = e[0], v = f[0];
      la[0] += t[0] * u + t[1] * v; lb[0] += t[2] * u + t[3] * v;
      le[0] += t[0] * x + t[2] * y; lf[0] += t[1] * x + t[3] * y;
      continue;
    }
    {
      V u = e[0], ui = e[1], v = f[0], vi = f[1], p = la[0], pi = la[1], q = lb[0], qi = lb[1];
      p += t[0] * u; pi += t[0] * ui; q += t[4] * u; qi += t[4] * ui;
      p += t[1] * ui; pi -= t[1] * u; q += t[5] * ui; qi -= t[5] * u;
      p += t[2] * v; pi += t[2] * vi; q += t[6] * v; qi += t[6] * vi;
      p += t[3] * vi; pi -= t[3] * v; q += t[7] * vi; qi -= t[7] * v;
      la[0] = p; la[1] = pi; lb[0] = q; lb[1] = qi;
    }
    {
      V x = a[0], xi = a[1], y = b[0], yi = b[1], p = le[0], pi = le[1], q = lf[0], qi = lf[1];
      p += t[0] * x; pi += t[0] * xi; q += t[2] * x; qi += t[2] * xi;
      p -= t[1] * xi; pi += t[1] * x; q -= t[3] * xi; qi += t[3] * x;
      p += t[4] * y; pi += t[4] * yi; q += t[6] * y; qi += t[6] * yi;
      p -= t[5] * yi; pi += t[5] * y; q -= t[7] * yi; qi += t[7] * y;
      le[0] = p; le[1] = pi; lf[0] = q; lf[1] = qi;
    }
  }
}

/* values (height) += what entries e to e + n give. */
ALWAYS void NAME(weigh)(const NAME(window_t) *w, const V *s, int e, const int n, V *values) {
  for (int k = 0; k < w->height; k++) {
    const R *t = w->table + (int64_t)k * w->entries + e;
    V sum = values[k];
    UNROLL for (int m = 0; m < n; m++) sum += t[m] * s[m];
    values[k] = sum;
  }
}
ALWAYS void NAME(unweigh)(const NAME(window_t) *w, const V *g, int e, const int n, V *a) {
  UNROLL for (int m = 0; m < n; m++) a[m] = g[0] * w->table[e + m];
  for (int k = 1; k < w->height; k++)
    UNROLL for (int m = 0; m < n; m++) a[m] += g[k] * w->table[(int64_t)k * w->entries + e + m];
}

ALWAYS void NAME(read_tile)(const NAME(window_t) *w, const V *psi, V *rho, V *values, int i, int j, int e,
                            const int SAME, const int PLANES) {
  const int n = SAME ? 2 + PLANES : 4 * PLANES;
  V s[8];
  NAME(tile)(w, psi, i, j, s, SAME, PLANES);
  NAME(weigh)(w, s, e, n, values + w->column);
  if (rho) { UNROLL for (int m = 0; m < n; m++) rho[e + m] = s[m]; }
}
ALWAYS void NAME(pull_tile)(const NAME(window_t) *w, const V *psi, const V *rho, const V *g, V *lam, V *sums,
                            int i, int j, int e, const int SAME, const int PLANES) {
  const int n = SAME ? 2 + PLANES : 4 * PLANES;
  V s[8];
  g += w->column;
  if (sums) {
    if (rho) { UNROLL for (int m = 0; m < n; m++) s[m] = rho[e + m]; }
    else NAME(tile)(w, psi, i, j, s, SAME, PLANES);
    for (int k = 0; k < w->height; k++)
      UNROLL for (int m = 0; m < n; m++) sums[(int64_t)k * w->entries + e + m] += g[k] * s[m];
  }
  if (lam) {
    NAME(unweigh)(w, g, e, n, s);
    NAME(untile)(w, psi, lam, i, j, s, SAME, PLANES);
  }
}
#define TILES(w, PLANES, f, ...)                                                                                 \
  for (int i = 0, e = 0; i < (w)->d; i += 2) {                                                                   \
    f(w, __VA_ARGS__, i, i, e, 1, PLANES);                                                                          \
    e += 2 + PLANES;                                                                                             \
    for (int j = i + 2; j < (w)->d; j += 2, e += 4 * PLANES) f(w, __VA_ARGS__, i, j, e, 0, PLANES);                 \
  }

/* Values of one block; rho has room for the entries that are kept, or is NULL. */
static void NAME(read_windows)(const NAME(block_t) *b, const NAME(reader_t) *r, const V *psi, V *rho) {
  const call_t *c = b->call;
  memset(r->values, 0, LEVEL_BYTES * c->n_values);
  for (int i = 0; i < r->count; i++) {
    const NAME(window_t) *w = &r->w[i];
    V *keep = rho && w->kept ? rho + w->at : NULL;
    if (b->p->planes == 1) { TILES(w, 1, NAME(read_tile), psi, keep, r->values) }
    else { TILES(w, 2, NAME(read_tile), psi, keep, r->values) }
  }
  NAME(store_columns)((R *)c->out + b->first * c->n_values, r->values, c->n_values, b->rows);
}

/* lam (or NULL) and sums (or NULL, as the tables) of one block; rho as in read_windows. */
static void NAME(unread_windows)(const NAME(block_t) *b, const NAME(reader_t) *r, const V *psi, const V *rho, V *lam,
                                 V *sums) {
  const call_t *c = b->call;
  V *g = r->values;
  NAME(load_columns)(g, (const R *)c->cotangent + b->first * c->cotangent_row, c->n_values, c->cotangent_row,
                     c->cotangent_column, b->rows);
  for (int64_t k = 0; k < c->n_values; k++) for (int m = b->rows; m < W; m++) g[k][m] = 0;
  if (lam) memset(lam, 0, (int64_t)LEVEL_BYTES * b->p->planes * b->p->dim);
  for (int i = 0; i < r->count; i++) {
    const NAME(window_t) *w = &r->w[i];
    const V *keep = w->kept ? rho + w->at : NULL;
    V *own = sums ? sums + (w->table - r->tables) : NULL;
    if (b->p->planes == 1) { TILES(w, 1, NAME(pull_tile), psi, keep, g, lam, own) }
    else { TILES(w, 2, NAME(pull_tile), psi, keep, g, lam, own) }
  }
}

static void NAME(pull_matrices)(const call_t *c, const NAME(reader_t) *r, const V *sums) {
  R *to = c->for_matrices;
  for (int i = 0; i < r->count; i++) {
    const NAME(window_t) *w = &r->w[i];
    for (int k = 0; k < w->height; k++, sums += w->entries, to += 2 * w->d * w->d)
      NAME(unpack)(sums, w->d, c->plan->planes, to);
  }
}
