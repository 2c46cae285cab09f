/* What all rows share: matrices of runs, tables of phases; and their derivatives. Double precision. */
#include "plan.h"
#include <math.h>
#include <string.h>

static inline cx mul(cx a, cx b) { return (cx){a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re}; }
static inline cx conj_(cx a) { return (cx){a.re, -a.im}; }
static inline cx add(cx a, cx b) { return (cx){a.re + b.re, a.im + b.im}; }
static inline cx over(cx a, double d) { return (cx){a.re / d, a.im / d}; }

static void times(const cx *a, const cx *b, cx *out) { /* a b */
  cx o[4];
  for (int i = 0; i < 2; i++)
    for (int j = 0; j < 2; j++) o[2 * i + j] = add(mul(a[2 * i], b[j]), mul(a[2 * i + 1], b[2 + j]));
  memcpy(out, o, sizeof o);
}
static void adjoint(const cx *a, cx *out) {
  cx o[4] = {conj_(a[0]), conj_(a[2]), conj_(a[1]), conj_(a[3])};
  memcpy(out, o, sizeof o);
}

static void matrix_of(const factor_t *f, const wave_t *waves, cx *m) {
  const cx zero = {0, 0};
  if (f->kind == FIXED) { memcpy(m, f->m, 4 * sizeof(cx)); return; }
  double c = waves[f->angle].c, s = waves[f->angle].s;
  m[0] = m[3] = (cx){c, 0};
  if (f->kind == RX) m[1] = m[2] = (cx){0, -s};
  else if (f->kind == RY) { m[1] = (cx){-s, 0}; m[2] = (cx){s, 0}; }
  else {
    m[1] = m[2] = zero;
    m[0] = f->kind == RZ ? (cx){c, -s} : (cx){1, 0};
    m[3] = (cx){c, s};
  }
}

/* u = diag(p) (c, -s; s, c) diag(q), as euler() in runs.py */
static void euler(const cx *u, double *c, double *s, cx *p, cx *q) {
  const cx one = {1, 0};
  *c = hypot(u[0].re, u[0].im);
  *s = hypot(u[2].re, u[2].im);
  q[0] = one;
  if (!(*c < *s)) {
    p[0] = over(u[0], *c);
    p[1] = *s > 0 ? over(u[2], *s) : one;
    q[1] = over(mul(u[3], conj_(p[1])), *c);
  } else {
    p[1] = over(u[2], *s);
    p[0] = *c > 0 ? over(u[0], *c) : one;
    q[1] = over(mul(u[1], conj_(p[0])), -*s);
  }
}

static void evaluate(const run_t *run, const wave_t *waves, run_value_t *out) {
  const cx one = {1, 0};
  cx m[4];
  double c = 1, s = 0;
  out->p[0] = out->p[1] = out->q[0] = out->q[1] = one;
  if (run->form == DIAGONAL || run->form == SIMPLE) {
    cx *side = run->form == SIMPLE ? out->q : out->p;
    for (int j = 0; j < run->n; j++) {
      matrix_of(&run->f[j], waves, m);
      if (run->form == SIMPLE && j == run->turn) { c = m[0].re; s = m[2].re; side = out->p; continue; }
      side[0] = mul(side[0], m[0]);
      side[1] = mul(side[1], m[3]);
    }
  } else {
    cx *u = out->u;
    u[0] = u[3] = one; u[1] = u[2] = (cx){0, 0};
    for (int j = 0; j < run->n; j++) { matrix_of(&run->f[j], waves, m); times(m, u, u); }
    if (run->form == GENERAL) euler(u, &c, &s, out->p, out->q);
  }
  out->swapped = fabs(c) < fabs(s);
  out->scale = out->swapped ? s : c;
  out->t = out->swapped ? c / s : s / c;
}

/* Fills runs, waves, and per operation the square by which measured generators are too small; the root's scale. */
double prepare_shared(const plan_t *p, const double *weights, run_value_t *runs, wave_t *waves, double *factors) {
  for (int i = 0; i < p->n_shared; i++) {
    const angle_t *a = &p->shared[i];
    double angle = a->column < 0 ? a->offset : a->scale * weights[a->column] + a->offset;
    waves[i].c = cos(angle);
    waves[i].s = sin(angle);
  }
  for (int i = 0; i < p->n_runs; i++) evaluate(&p->runs[i], waves, &runs[i]);
  double f = 1;
  for (int i = p->n_ops - 1; i >= 0; i--) {
    const op_t *op = &p->ops[i];
    if (op->kind == DIAG && op->table) f = 1;
    factors[i] = f * f;
    if (op->kind == SHARED) for (int j = 0; j < op->k; j++) f *= runs[op->ids[j]].scale;
  }
  double root = 1;
  for (int j = 0; j < p->n_root; j++) root *= runs[p->root[j]].scale;
  return root;
}

/* The table of a DIAG by position; scratch has room for dim numbers. */
void fill_table(const plan_t *p, const op_t *op, const run_value_t *runs, const wave_t *waves, cx *out, cx *scratch) {
  double scale = 1;
  for (int j = 0; j < op->n_scale; j++) scale *= runs[op->scale[j]].scale;
  for (int i = 0; i < p->dim; i++) {
    cx d = op->constant ? op->constant[i] : (cx){1, 0};
    out[i] = (cx){d.re * scale, d.im * scale};
  }
  for (int j = 0; j < op->n_trees; j++) {
    const tree_t *tree = &op->trees[j];
    cx pairs[32][2];
    for (int w = 0; w < p->n; w++) pairs[w][0] = pairs[w][1] = (cx){1, 0};
    for (int e = 0; e < tree->n; e++) {
      const int32_t *x = tree->entries + 3 * e;
      const cx *d = x[2] ? runs[x[1]].q : runs[x[1]].p;
      pairs[x[0]][0] = mul(pairs[x[0]][0], d[0]);
      pairs[x[0]][1] = mul(pairs[x[0]][1], d[1]);
    }
    scratch[0] = (cx){1, 0};
    for (int w = p->n - 1, m = 1; w >= 0; w--, m *= 2) /* the last wire is the lowest bit */
      for (int i = 0; i < m; i++) { scratch[i + m] = mul(scratch[i], pairs[w][1]); scratch[i] = mul(scratch[i], pairs[w][0]); }
    for (int i = 0; i < p->dim; i++) out[i] = mul(out[i], scratch[tree->index[i]]);
  }
  for (int j = 0; j < op->n_shared; j++) {
    wave_t w = waves[op->shared[j].angle];
    for (int i = 0; i < p->dim; i++) {
      int f = op->shared[j].f[i];
      if (f) out[i] = mul(out[i], (cx){w.c, f * w.s});
    }
  }
}

/* grad: Im conj(lambda) psi by position, summed over rows. Adds Z before or after rotations, and angles. */
void pull_table(const plan_t *p, const op_t *op, double *grad, double *scratch, double *for_runs, double *for_angles) {
  for (int j = 0; j < op->n_trees; j++) {
    const tree_t *tree = &op->trees[j];
    double z[32];
    for (int i = 0; i < p->dim; i++) scratch[tree->index[i]] = grad[i];
    for (int w = 0, m = p->dim / 2; w < p->n; w++, m /= 2) { /* fold the highest bit away */
      double sum = 0;
      for (int i = 0; i < m; i++) { sum += scratch[i] - scratch[i + m]; scratch[i] += scratch[i + m]; }
      z[w] = sum;
    }
    for (int e = 0; e < tree->n; e++) {
      const int32_t *x = tree->entries + 3 * e;
      for_runs[4 * x[1] + 2 + x[2]] += z[x[0]];
    }
  }
  for (int j = 0; j < op->n_shared; j++) {
    double sum = 0;
    for (int i = 0; i < p->dim; i++) sum += op->shared[j].f[i] * grad[i];
    for_angles[op->shared[j].angle] -= sum;
  }
}

/* for_runs: per run X, Y, Z after the rotation, Z before it; phase: Im <lambda|psi>. Adds to for_angles. */
void pull_runs(const plan_t *p, const run_value_t *runs, const wave_t *waves, const double *for_runs, double phase,
               double *for_angles) {
  for (int i = 0; i < p->n_runs; i++) {
    const run_t *run = &p->runs[i];
    const double *g = for_runs + 4 * i;
    if (run->form == DIAGONAL || run->form == SIMPLE) {
      for (int j = 0; j < run->n; j++) {
        const factor_t *f = &run->f[j];
        double z = run->form == SIMPLE && j < run->turn ? g[3] : g[2];
        if (f->kind == RY) for_angles[f->angle] += g[1];
        else if (f->kind == RZ) for_angles[f->angle] += z;
        else if (f->kind == PHASE) for_angles[f->angle] -= 0.5 * (phase - z);
      }
      continue;
    }
    /* a = x X + y Y + z Z; before a factor F it is F^dag a F */
    cx a[4] = {{g[2], 0}, {g[0], -g[1]}, {g[0], g[1]}, {-g[2], 0}}, m[4], h[4];
    if (run->form == GENERAL) {
      cx turn = mul(runs[i].p[0], conj_(runs[i].p[1]));
      a[1] = mul(turn, a[1]);
      a[2] = conj_(a[1]);
    }
    for (int j = run->n - 1; j >= 0; j--) {
      const factor_t *f = &run->f[j];
      if (f->kind == RX) for_angles[f->angle] += a[2].re;
      else if (f->kind == RY) for_angles[f->angle] += a[2].im;
      else if (f->kind == RZ) for_angles[f->angle] += a[0].re;
      else if (f->kind == PHASE) for_angles[f->angle] -= 0.5 * (phase - a[0].re);
      if (j == 0) break;
      matrix_of(f, waves, m);
      adjoint(m, h);
      times(a, m, a);
      times(h, a, a);
    }
  }
}
