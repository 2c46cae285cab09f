/* All blocks of rows, forwards and backwards; included once for each level and precision. */
#include "lanes.h"
#include "sweeps.h"
#include "start.h"

#define ROUND(x) (((int64_t)(x) + 63) / 64 * 64)

static void *NAME(room)(int64_t bytes) { return aligned_alloc(64, ROUND(bytes > 0 ? bytes : 64)); }

static void NAME(lay)(const plan_t *p, int64_t batch, layout_t *out) {
  int64_t blocks = (batch + W - 1) / W, at = 0;
  out->runs = at; at += ROUND(sizeof(run_value_t) * p->n_runs);
  out->waves = at; at += ROUND(sizeof(wave_t) * p->n_shared);
  out->factors = at; at += ROUND(sizeof(double) * (p->n_ops + 1));
  out->tables = at; at += ROUND(sizeof(R) * 2 * (int64_t)p->dim) * p->n_tables;
  out->rows = at; at += (int64_t)LEVEL_BYTES * 2 * p->n_rows * blocks;
  out->psi = at; at += (int64_t)LEVEL_BYTES * p->planes * p->dim * blocks;
  out->total = at;
}
int64_t NAME(saved)(const plan_t *p, int64_t batch) {
  layout_t at;
  NAME(lay)(p, batch, &at);
  return at.total;
}

/* What one block needs. */
typedef struct {
  const call_t *call;
  const plan_t *p;
  const run_value_t *runs;
  const wave_t *waves;
  const double *factors;
  const R *tables;
  int64_t first;
  int rows;
  V *angles, *parts, *scratch;  /* cos and sin by row; entries of the parts; room for dim numbers */
  V *columns[3], *gradients[3]; /* of inputs (1) and weights (2): numbers by row */
  const V **part;
  int *sizes;
} NAME(block_t);

static int NAME(parts_size)(const plan_t *p) {
  int n = 0;
  for (int i = 0; i < p->n_parts; i++) n += 2 * (p->parts[i].is_register ? p->parts[i].n : 2);
  return n;
}

/* Whether the weights are needed by row: they differ, or amplitudes of a register are among them. */
static int NAME(spread)(const plan_t *p) {
  if (p->weights_by_row) return 1;
  for (int i = 0; i < p->n_parts; i++)
    for (int k = 0; p->parts[i].is_register && k < p->parts[i].n << p->parts[i].imaginary; k++)
      if (p->parts[i].entries[k].source == 2) return 1;
  return 0;
}
static void NAME(load_block)(NAME(block_t) *b) {
  const call_t *c = b->call;
  const plan_t *p = b->p;
  NAME(load_columns)(b->columns[1], (const R *)c->inputs + b->first * c->inputs_row, p->n_inputs, c->inputs_row,
                     c->inputs_column, b->rows);
  if (p->weights_by_row || (b->columns[2] && b->first == 0))
    NAME(load_columns)(b->columns[2], (const R *)c->weights + b->first * c->weights_row, p->n_weights, c->weights_row,
                       c->weights_column, b->rows);
}
/* One affine number of each row of the block. */
ALWAYS V NAME(gather)(const NAME(block_t) *b, const angle_t *a) {
  V out = NAME(all)((R)a->offset);
  return a->source ? b->columns[a->source][a->column] * (R)a->scale + out : out;
}
ALWAYS void NAME(scatter)(const NAME(block_t) *b, const angle_t *a, V grad) {
  if (a->source) b->gradients[a->source][a->column] += grad * (R)a->scale;
}

static void NAME(fill_parts)(NAME(block_t) *b, double *off) {
  const plan_t *p = b->p;
  V *at = b->parts;
  for (int i = 0; i < p->n_parts; i++) {
    const part_t *part = &p->parts[i];
    b->part[i] = at;
    b->sizes[i] = part->is_register ? part->n : 2;
    if (!part->is_register) { NAME(wire)(part, b->runs, b->angles, at); at += 4; continue; }
    V norm = NAME(all)(0);
    for (int k = 0; k < part->n; k++) {
      V re = NAME(gather)(b, &part->entries[k]), im = NAME(all)(0);
      if (part->imaginary) im = NAME(gather)(b, &part->entries[part->n + k]);
      at[2 * k] = re; at[2 * k + 1] = im;
      norm += re * re + im * im;
    }
    at += 2 * part->n;
    if (off) for (int k = 0; k < b->rows; k++) {
      double d = fabs((double)norm[k] - 1);
      if (!(d <= *off)) *off = d; /* NaN stays */
      if (d != d) { *off = d; return; }
    }
  }
}

static void NAME(turns)(const NAME(block_t) *b, const op_t *op, NAME(turns_t) *by, V *room) {
  for (int w = 0; w < op->k; w++) {
    int id = op->ids[w];
    if (op->kind == SHARED) { by->t[w] = by->other[w] = NAME(all)((R)b->runs[id].t); by->swapped[w] = b->runs[id].swapped; continue; }
    by->t[w] = by->other[w] = NAME(all)(0); by->swapped[w] = 0;
    if (op->kind == ROWS) { by->wave[w] = b->angles + 2 * id; continue; }
    room[2 * w] = NAME(all)((R)b->waves[id].c); room[2 * w + 1] = NAME(all)((R)b->waves[id].s);
    by->wave[w] = room + 2 * w;
  }
}

static void NAME(evolve)(const NAME(block_t) *b, V *psi, int last) {
  const plan_t *p = b->p;
  for (int i = 0; i < last; i++) {
    const op_t *op = &p->ops[i];
    if (op->kind != DIAG) {
      NAME(turns_t) by;
      V room[6];
      NAME(turns)(b, op, &by, room);
      NAME(run_sweep)(p, op, psi, &by);
      continue;
    }
    const R *d = b->tables + op->at * (ROUND(sizeof(R) * 2 * p->dim) / (int64_t)sizeof(R));
    if (op->table == 2) NAME(diagonal)(psi, p->dim, 2, 1, d, 1);
    else if (op->table && p->planes == 2) NAME(diagonal)(psi, p->dim, 2, 0, d, 1);
    else if (op->table) NAME(diagonal)(psi, p->dim, 1, 0, d, 1);
    for (int j = 0; j < op->n_rows; j++) {
      const V *w = b->angles + 2 * op->rows[j].angle;
      NAME(phase_rows)(psi, p->dim, 2, op->rows[j].f, w[0], w[1]);
    }
  }
}

/* The last diagonal does not matter to what is read from squares. */
static int NAME(last)(const plan_t *p, int64_t mode) {
  int last = p->n_ops;
  if (mode != STATE && mode != WINDOWS && last && p->ops[last - 1].kind == DIAG) last--;
  return last;
}

/* scratch[i]: all sums over amplitudes with signs (-1)**popcount(i & mask), in place. */
static void NAME(hadamard)(V *x, int dim) {
  for (int h = 1; h < dim; h *= 2)
    for (int i = 0; i < dim; i += 2 * h)
      for (int j = i; j < i + h; j++) { V a = x[j], b = x[j + h]; x[j] = a + b; x[j + h] = a - b; }
}
/* The same where every mask has one bit at most: only those entries (and 0) are right. */
static void NAME(fold)(V *x, int dim) {
  for (int m = dim / 2; m >= 1; m /= 2) {
    V sum = NAME(all)(0);
    for (int i = 0; i < m; i++) { V a = x[i], b = x[i + m]; sum += a - b; x[i] = a + b; }
    x[m] = sum;
  }
}
static int NAME(single)(const call_t *c) {
  for (int64_t k = 0; k < c->n_masks; k++) if (c->masks[k] & (c->masks[k] - 1)) return 0;
  return 1;
}

static void NAME(read)(const NAME(block_t) *b, const V *psi) {
  const call_t *c = b->call;
  const plan_t *p = b->p;
  if (c->mode == STATE) {
    for (int i = 0; i < p->dim; i++) {
      R *to = (R *)c->out + 2 * (i * c->batch + b->first);
      V re = psi[p->where[i] * p->planes], im = p->planes == 2 ? psi[p->where[i] * p->planes + 1] : NAME(all)(0);
      if (b->rows == W) { NAME(store)(to, ZIP(re, im, LOW)); NAME(store)(to + W, ZIP(re, im, HIGH)); continue; }
      for (int k = 0; k < b->rows; k++) { to[2 * k] = re[k]; to[2 * k + 1] = im[k]; }
    }
    return;
  }
  V *x = b->scratch;
  for (int i = 0; i < p->dim; i++) {
    const V *a = psi + p->where[i] * p->planes;
    x[i] = p->planes == 2 ? a[0] * a[0] + a[1] * a[1] : a[0] * a[0];
  }
  if (c->mode == SQUARES) {
    for (int i = 0; i < p->dim; i++) {
      R *to = (R *)c->out + i * c->batch + b->first;
      if (b->rows == W) { NAME(store)(to, x[i]); continue; }
      for (int k = 0; k < b->rows; k++) to[k] = x[i][k];
    }
    return;
  }
  if (NAME(single)(c)) NAME(fold)(x, p->dim);
  else NAME(hadamard)(x, p->dim);
  R *to = (R *)c->out + b->first * c->n_masks;
  for (int64_t m = 0; m < c->n_masks; m++)
    for (int k = 0; k < b->rows; k++) to[k * c->n_masks + m] = x[c->masks[m]][k];
}

/* psi and lambda (see sweep_back) from the cotangent of what was read; returns Im <lambda|psi> where it is wanted. */
static V NAME(unread)(const NAME(block_t) *b, const V *psi, V *both) {
  const call_t *c = b->call;
  const plan_t *p = b->p;
  V phase = NAME(all)(0), *x = b->scratch;
  const R *from = c->cotangent;
  const int64_t row = c->cotangent_row, column = c->cotangent_column;
  if (c->mode == STATE) {
    for (int i = 0; i < p->dim; i++) {
      const V *a = psi + p->where[i] * p->planes;
      V *to = both + p->where[i] * 2 * p->planes;
      R r[W] = {0}, s[W] = {0};
      const R *g = from + 2 * (i * row + b->first * column);
      for (int k = 0; k < b->rows; k++) { r[k] = g[2 * k * column]; s[k] = g[2 * k * column + 1]; }
      const V re = NAME(load)(r), im = NAME(load)(s);
      if (p->planes == 1) { to[0] = a[0]; to[1] = re; continue; }
      to[0] = a[0]; to[1] = a[1]; to[2] = re; to[3] = im;
      phase += re * a[1] - im * a[0];
    }
    return phase;
  }
  if (c->mode == SQUARES) {
    for (int i = 0; i < p->dim; i++) {
      if (b->rows == W && column == 1) { x[i] = NAME(load)(from + i * row + b->first); continue; }
      R g[W] = {0};
      for (int k = 0; k < b->rows; k++) g[k] = from[i * row + (b->first + k) * column];
      x[i] = NAME(load)(g);
    }
  } else {
    for (int i = 0; i < p->dim; i++) x[i] = NAME(all)(0);
    for (int64_t m = 0; m < c->n_masks; m++) {
      R g[W] = {0};
      for (int k = 0; k < b->rows; k++) g[k] = from[(b->first + k) * row + m * column];
      x[c->masks[m]] += NAME(load)(g);
    }
    if (NAME(single)(c)) {
      for (int m = 1; m < p->dim; m *= 2) {
        V g = x[m];
        for (int i = 0; i < m; i++) { V a = x[i]; x[i + m] = a - g; x[i] = a + g; }
      }
    } else NAME(hadamard)(x, p->dim);
  }
  for (int i = 0; i < p->dim; i++) {
    const V g = x[i] * 2, *a = psi + p->where[i] * p->planes;
    V *to = both + p->where[i] * 2 * p->planes;
    for (int q = 0; q < p->planes; q++) { to[q] = a[q]; to[p->planes + q] = g * a[q]; }
  }
  return phase;
}
#include "windows.h"
#include "passes.h"
