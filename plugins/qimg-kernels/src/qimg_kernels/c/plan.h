/* A compiled circuit: what plan.c reads from the flat arrays of tables.py. */
#ifndef QIMG_PLAN_H
#define QIMG_PLAN_H
#include <stdint.h>

enum { STATE = 0, SIGNED = 1, SQUARES = 2, WINDOWS = 3 }; /* what is read */
enum { DIAGONAL = 0, SIMPLE = 1, GENERAL = 2, MATRIX = 3 };
enum { FIXED = 0, RX = 1, RY = 2, RZ = 3, PHASE = 4 }; /* factors; and steps of a prefix, where 0 is a run */
enum { DIAG = 0, SHARED = 1, ROWS = 2, CONTROL = 3 };  /* operations */

typedef struct { double re, im; } cx;
typedef struct { int kind, angle; cx m[4]; } factor_t;
typedef struct { int form, turn, n; factor_t *f; } run_t;
typedef struct { int source, column; double scale, offset; } angle_t; /* source 0: constant, 1: inputs, 2: weights */
typedef struct { int kind, id; } step_t;
typedef struct { int is_register, n, imaginary; step_t *steps; angle_t *entries; } part_t; /* n: steps, or size */
typedef struct { int n; const int32_t *index, *entries; } tree_t;  /* entries: wire, run, 1: before the rotation */
typedef struct { int angle; const int32_t *f; } term_t;
typedef struct {
  int kind;
  /* DIAG: table 0 none, 1 real, 2 complex; at: its place among tables, grad: its place among gradients or -1 */
  int table, at, grad, n_scale, n_trees, n_shared, n_rows;
  const cx *constant;
  const int32_t *scale;
  tree_t *trees;
  term_t *shared, *rows;
  /* sweeps */
  int k, wanted, groups;
  const int32_t *ids, *index;
} op_t;

typedef struct {
  int n, dim, planes, n_inputs, n_weights, weights_by_row;
  int n_shared, n_rows, n_runs, n_parts, n_ops, n_root, n_tables, n_grads;
  angle_t *shared, *rows;
  run_t *runs;
  part_t *parts;
  const int32_t *root, *where;
  op_t *ops;
  int32_t *ints;
} plan_t;

/* What all rows share, computed once a call. */
typedef struct {
  cx u[4], p[2], q[2];
  double t, scale; /* rotation = scale * (1, -t; t, 1), or scale * (t, -1; 1, t) if swapped */
  int swapped;
} run_value_t;
typedef struct { double c, s; } wave_t;

/* Where things lie in the memory kept between forward and backward; in bytes, multiples of 64. */
typedef struct { int64_t runs, waves, factors, tables, rows, psi, total; } layout_t;

/* One call. Strides in elements. */
typedef struct {
  const plan_t *plan;
  int64_t batch, mode, n_masks;
  const int64_t *masks;
  const void *inputs, *weights, *cotangent;
  int64_t inputs_row, inputs_column, weights_row, weights_column, cotangent_row, cotangent_column;
  void *out, *saved, *for_inputs, *for_weights;
  double off; /* how far the squared norm of an amplitude vector is from 1, the worst row */
  /* WINDOWS: wires and matrices of each, dim positions of each, complex matrices and, one after the other, their
     derivatives; n_values: matrices; reduced: whether reduced states are kept behind the other saved memory */
  int64_t n_windows, n_values, reduced;
  const int32_t *shapes, *index;
  const void *const *matrices;
  void *for_matrices;
} call_t;

double prepare_shared(const plan_t *p, const double *weights, run_value_t *runs, wave_t *waves, double *factors);
void fill_table(const plan_t *p, const op_t *op, const run_value_t *runs, const wave_t *waves, cx *out, cx *scratch);
void pull_table(const plan_t *p, const op_t *op, double *grad, double *scratch, double *for_runs, double *for_angles);
void pull_runs(const plan_t *p, const run_value_t *runs, const wave_t *waves, const double *for_runs, double phase,
               double *for_angles);
#endif
