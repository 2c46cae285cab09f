/* Reads a plan from flat arrays. */
#include "plan.h"
#define API __attribute__((visibility("default")))
#include <stdlib.h>
#include <string.h>

typedef struct { const int32_t *i, *i_end; const double *r, *r_end; int bad; plan_t *plan; } reader_t;

static int next(reader_t *in) {
  if (in->i >= in->i_end) { in->bad = 1; return 0; }
  return *in->i++;
}
static const int32_t *many(reader_t *in, int64_t n) {
  const int32_t *at = in->i;
  if (n < 0 || in->i_end - in->i < n) { in->bad = 1; return at; }
  in->i += n;
  return at;
}
static double real(reader_t *in) {
  if (in->r >= in->r_end) { in->bad = 1; return 0; }
  return *in->r++;
}
static void *room(reader_t *in, int64_t n, size_t size) {
  void *out = n < 0 || in->bad ? NULL : calloc(n ? n : 1, size);
  if (!out) in->bad = 1;
  return out;
}

static void read_runs(reader_t *in, plan_t *p) {
  p->n_runs = next(in);
  p->runs = room(in, p->n_runs, sizeof(run_t));
  for (int i = 0; i < p->n_runs && !in->bad; i++) {
    run_t *run = &p->runs[i];
    run->form = next(in); run->turn = next(in); run->n = next(in);
    run->f = room(in, run->n, sizeof(factor_t));
    for (int j = 0; j < run->n && !in->bad; j++) {
      factor_t *f = &run->f[j];
      f->kind = next(in); f->angle = next(in);
      if (f->kind == FIXED) for (int k = 0; k < 4; k++) { f->m[k].re = real(in); f->m[k].im = real(in); }
    }
  }
}

static void read_parts(reader_t *in, plan_t *p) {
  p->n_parts = next(in);
  p->parts = room(in, p->n_parts, sizeof(part_t));
  for (int i = 0; i < p->n_parts && !in->bad; i++) {
    part_t *part = &p->parts[i];
    part->is_register = next(in); part->n = next(in);
    if (part->is_register) {
      part->imaginary = next(in);
      int64_t count = (int64_t)part->n << part->imaginary;
      part->entries = room(in, count, sizeof(angle_t));
      for (int64_t j = 0; j < count && !in->bad; j++) {
        angle_t *a = &part->entries[j];
        a->source = next(in); a->column = next(in); a->scale = real(in); a->offset = real(in);
      }
    } else {
      part->steps = room(in, part->n, sizeof(step_t));
      for (int j = 0; j < part->n && !in->bad; j++) { part->steps[j].kind = next(in); part->steps[j].id = next(in); }
    }
  }
}

static term_t *read_terms(reader_t *in, int *n, int dim) {
  *n = next(in);
  term_t *out = room(in, *n, sizeof(term_t));
  for (int i = 0; i < *n && !in->bad; i++) { out[i].angle = next(in); out[i].f = many(in, dim); }
  return out;
}

static void read_op(reader_t *in, plan_t *p, op_t *op) {
  op->kind = next(in);
  if (op->kind != DIAG) {
    op->k = next(in); op->wanted = next(in);
    op->ids = many(in, op->k);
    op->groups = next(in);
    op->index = many(in, (int64_t)op->groups << op->k);
    return;
  }
  op->table = next(in);
  op->at = op->table ? p->n_tables++ : -1;
  op->grad = next(in) ? p->n_grads++ : -1;
  if (next(in)) {
    if (in->r_end - in->r < 2 * p->dim) { in->bad = 1; return; }
    cx *own = room(in, p->dim, sizeof(cx));
    if (own) memcpy(own, in->r, sizeof(cx) * p->dim);
    op->constant = own;
    in->r += 2 * p->dim;
  }
  op->n_scale = next(in);
  op->scale = many(in, op->n_scale);
  op->n_trees = next(in);
  op->trees = room(in, op->n_trees, sizeof(tree_t));
  for (int i = 0; i < op->n_trees && !in->bad; i++) {
    op->trees[i].index = many(in, p->dim);
    op->trees[i].n = next(in);
    op->trees[i].entries = many(in, 3 * (int64_t)op->trees[i].n);
  }
  op->shared = read_terms(in, &op->n_shared, p->dim);
  op->rows = read_terms(in, &op->n_rows, p->dim);
}

API void qimg_free(plan_t *p) {
  if (!p) return;
  if (p->runs) for (int i = 0; i < p->n_runs; i++) free(p->runs[i].f);
  if (p->parts) for (int i = 0; i < p->n_parts; i++) { free(p->parts[i].steps); free(p->parts[i].entries); }
  if (p->ops) for (int i = 0; i < p->n_ops; i++) {
    op_t *op = &p->ops[i];
    free((void *)op->constant); free(op->trees); free(op->shared); free(op->rows);
  }
  free(p->shared); free(p->rows); free(p->runs); free(p->parts); free(p->ops); free(p->ints); free(p);
}

API plan_t *qimg_new(const int32_t *ints, int64_t n_ints, const double *reals, int64_t n_reals) {
  plan_t *p = calloc(1, sizeof(plan_t));
  if (!p) return NULL;
  p->ints = malloc(sizeof(int32_t) * (n_ints ? n_ints : 1));
  if (!p->ints) { free(p); return NULL; }
  memcpy(p->ints, ints, sizeof(int32_t) * n_ints);
  reader_t in = {p->ints, p->ints + n_ints, reals, reals + n_reals, 0, p};
  p->n = next(&in); p->dim = 1 << p->n; p->planes = next(&in);
  p->n_inputs = next(&in); p->n_weights = next(&in); p->weights_by_row = next(&in);
  p->n_shared = next(&in);
  p->shared = room(&in, p->n_shared, sizeof(angle_t));
  for (int i = 0; i < p->n_shared && !in.bad; i++) {
    p->shared[i].column = next(&in);
    p->shared[i].scale = real(&in); p->shared[i].offset = real(&in);
  }
  p->n_rows = next(&in);
  p->rows = room(&in, p->n_rows, sizeof(angle_t));
  for (int i = 0; i < p->n_rows && !in.bad; i++) {
    p->rows[i].source = next(&in); p->rows[i].column = next(&in);
    p->rows[i].scale = real(&in); p->rows[i].offset = real(&in);
  }
  if (!in.bad) read_runs(&in, p);
  if (!in.bad) read_parts(&in, p);
  if (!in.bad) { p->n_root = next(&in); p->root = many(&in, p->n_root); }
  if (!in.bad) {
    p->n_ops = next(&in);
    p->ops = room(&in, p->n_ops, sizeof(op_t));
    for (int i = 0; i < p->n_ops && !in.bad; i++) read_op(&in, p, &p->ops[i]);
    p->where = many(&in, p->dim);
  }
  if (in.bad || in.i != in.i_end || in.r != in.r_end) { qimg_free(p); return NULL; }
  return p;
}
