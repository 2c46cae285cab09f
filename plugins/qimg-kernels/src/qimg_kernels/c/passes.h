/* The two entry points of a level and precision: forward and backward over all blocks. */

static double *NAME(doubles)(const plan_t *p, const call_t *c) {
  double *out = malloc(sizeof(double) * (p->n_weights + 1));
  if (out) for (int i = 0; i < p->n_weights; i++)
    out[i] = p->weights_by_row ? 0 : (double)((const R *)c->weights)[i * c->weights_column];
  return out;
}

static int NAME(registers)(const plan_t *p) {
  for (int i = 0; i < p->n_parts; i++) if (p->parts[i].is_register) return 1;
  return 0;
}

int NAME(forward)(call_t *c) {
  const plan_t *p = c->plan;
  layout_t at;
  NAME(lay)(p, c->batch, &at);
  int64_t blocks = (c->batch + W - 1) / W;
  char *saved = c->saved, *own = NULL;
  if (!saved) saved = own = NAME(room)(at.psi + (int64_t)LEVEL_BYTES * p->planes * p->dim);
  int64_t n_parts = NAME(parts_size)(p);
  int64_t n_columns = p->n_inputs + (NAME(spread)(p) ? p->n_weights : 0);
  V *work = NAME(room)(LEVEL_BYTES * (n_parts + p->dim + n_columns) + (sizeof(void *) + sizeof(int)) * (p->n_parts + 1));
  cx *tables = malloc(sizeof(cx) * 2 * p->dim);
  double *weights = NAME(doubles)(p, c);
  NAME(reader_t) reader;
  int bad = NAME(open_windows)(c, &reader) || !saved || !work || !tables || !weights;
  if (bad) goto done;
  run_value_t *runs = (run_value_t *)(saved + at.runs);
  wave_t *waves = (wave_t *)(saved + at.waves);
  double *factors = (double *)(saved + at.factors);
  factors[p->n_ops] = prepare_shared(p, weights, runs, waves, factors);
  for (int i = 0; i < p->n_ops; i++) {
    const op_t *op = &p->ops[i];
    if (op->kind != DIAG || !op->table) continue;
    fill_table(p, op, runs, waves, tables, tables + p->dim);
    R *to = (R *)(saved + at.tables + op->at * ROUND(sizeof(R) * 2 * p->dim));
    for (int k = 0; k < p->dim; k++) {
      if (op->table == 1) to[k] = (R)tables[k].re;
      else { to[2 * k] = (R)tables[k].re; to[2 * k + 1] = (R)tables[k].im; }
    }
  }
  NAME(block_t) b = {c, p, runs, waves, factors, (const R *)(saved + at.tables), 0, 0, NULL, work, work + n_parts, {0}, {0}, NULL, NULL};
  b.columns[1] = work + n_parts + p->dim;
  b.columns[2] = NAME(spread)(p) ? b.columns[1] + p->n_inputs : NULL;
  b.part = (const V **)(b.columns[1] + n_columns);
  b.sizes = (int *)(b.part + p->n_parts + 1);
  c->off = 0;
  const int has_register = NAME(registers)(p);
  for (int64_t k = 0; k < blocks; k++) {
    b.first = k * W;
    b.rows = (int)(c->batch - b.first < W ? c->batch - b.first : W);
    b.angles = (V *)(saved + at.rows) + 2 * p->n_rows * k;
    V *psi = (V *)(saved + at.psi) + (own ? 0 : (int64_t)p->planes * p->dim * k);
    NAME(load_block)(&b);
    for (int i = 0; i < p->n_rows; i++) b.angles[2 * i] = NAME(gather)(&b, &p->rows[i]);
    NAME(waves)(b.angles, p->n_rows);
    NAME(fill_parts)(&b, has_register ? &c->off : NULL);
    R root = (R)factors[p->n_ops];
    if (p->planes == 1) NAME(product)(p->n_parts, b.part, b.sizes, root, psi, 1);
    else NAME(product)(p->n_parts, b.part, b.sizes, root, psi, 2);
    NAME(evolve)(&b, psi, NAME(last)(p, c->mode));
    if (c->mode == WINDOWS) {
      V *rho = own || !c->reduced ? NULL : (V *)(saved + at.total) + reader.kept * k;
      NAME(read_windows)(&b, &reader, psi, rho);
    } else NAME(read)(&b, psi);
    if (c->off != c->off) break;
  }
done:
  NAME(close_windows)(&reader);
  free(own); free(work); free(tables); free(weights);
  return bad ? -1 : 0;
}

/* Sums over rows, by lane. */
typedef struct { V *prefix, *turns, *angles, *tables; V phase; } NAME(sums_t);

static void NAME(unevolve)(const NAME(block_t) *b, V *both, V *for_rows, NAME(sums_t) *sums, int last) {
  const plan_t *p = b->p;
  for (int i = last - 1; i >= 0; i--) {
    const op_t *op = &p->ops[i];
    const R factor = (R)b->factors[i];
    if (op->kind != DIAG) {
      NAME(turns_t) by;
      V room[6], y[3], x[3];
      NAME(turns)(b, op, &by, room);
      NAME(run_back)(p, op, both, &by, y, x);
      for (int w = 0; w < op->k; w++) {
        int id = op->ids[w];
        if (op->kind == SHARED) { sums->turns[2 * id] += x[w] * factor; sums->turns[2 * id + 1] += y[w] * factor; }
        else if (op->kind == ROWS) for_rows[id] += y[w] * factor;
        else sums->angles[id] += y[w] * factor;
      }
      continue;
    }
    const R *d = b->tables + op->at * (ROUND(sizeof(R) * 2 * p->dim) / (int64_t)sizeof(R));
    if (op->grad >= 0) NAME(diagonal_grad)(both, p->dim, d, sums->tables + (int64_t)op->grad * p->dim);
    else if (op->table == 2) NAME(diagonal)(both, p->dim, 4, 1, d, -1);
    else if (op->table && p->planes == 2) NAME(diagonal)(both, p->dim, 4, 0, d, -1);
    else if (op->table) NAME(diagonal)(both, p->dim, 2, 0, d, -1);
    for (int j = 0; j < op->n_rows; j++) {
      const term_t *term = &op->rows[j];
      const V *w = b->angles + 2 * term->angle, *a = both;
      V g = NAME(all)(0);
      for (int k = 0; k < p->dim; k++, a += 4) {
        if (!term->f[k]) continue;
        V e = a[2] * a[1] - a[3] * a[0];
        g += term->f[k] > 0 ? e : -e;
      }
      for_rows[term->angle] -= g * factor;
      NAME(phase_rows)(both, p->dim, 4, term->f, w[0], -w[1]);
    }
  }
}

static void NAME(unstart)(NAME(block_t) *b, const V *both, V *lam, V *levels, V *u, V *for_rows, NAME(sums_t) *sums) {
  const plan_t *p = b->p;
  R root = (R)b->factors[p->n_ops];
  for (int i = 0; i < p->dim; i++)
    for (int q = 0; q < p->planes; q++) lam[i * p->planes + q] = both[(2 * i + 1) * p->planes + q];
  for (int i = p->n_parts - 1; i >= 0; i--) {
    const part_t *part = &p->parts[i];
    const int d = b->sizes[i];
    int m;
    if (p->planes == 1) {
      m = NAME(product)(i, b->part, b->sizes, root, levels, 1);
      NAME(unproduct)(levels, b->part[i], lam, u, m, d, 1);
    } else {
      m = NAME(product)(i, b->part, b->sizes, root, levels, 2);
      NAME(unproduct)(levels, b->part[i], lam, u, m, d, 2);
    }
    if (!part->is_register) { NAME(wire_back)(part, b->runs, b->angles, (V *)b->part[i], u, sums->prefix, for_rows); continue; }
    for (int k = 0; k < d; k++) {
      NAME(scatter)(b, &part->entries[k], u[2 * k]);
      if (part->imaginary) NAME(scatter)(b, &part->entries[d + k], u[2 * k + 1]);
    }
  }
}

static void NAME(pull_shared)(const call_t *c, const NAME(block_t) *b, const NAME(sums_t) *sums, double *work) {
  const plan_t *p = c->plan;
  double *for_runs = work, *for_angles = for_runs + 4 * p->n_runs, *grad = for_angles + p->n_shared, *scratch = grad + p->dim;
  for (int i = 0; i < p->n_runs; i++) {
    double *g = for_runs + 4 * i;
    g[0] = NAME(sum)(sums->turns[2 * i]) + NAME(sum)(sums->prefix[3 * i]);
    g[1] = NAME(sum)(sums->turns[2 * i + 1]) + NAME(sum)(sums->prefix[3 * i + 1]);
    g[2] = NAME(sum)(sums->prefix[3 * i + 2]);
    g[3] = 0;
  }
  for (int i = 0; i < p->n_shared; i++) for_angles[i] = NAME(sum)(sums->angles[i]);
  int last = NAME(last)(p, c->mode);
  for (int i = 0; i < last; i++) {
    const op_t *op = &p->ops[i];
    if (op->kind != DIAG || op->grad < 0) continue;
    for (int k = 0; k < p->dim; k++) grad[k] = NAME(sum)(sums->tables[(int64_t)op->grad * p->dim + k]);
    pull_table(p, op, grad, scratch, for_runs, for_angles);
  }
  pull_runs(p, b->runs, b->waves, for_runs, NAME(sum)(sums->phase), for_angles);
  R *to = c->for_weights;
  for (int i = 0; i < p->n_shared; i++)
    if (p->shared[i].column >= 0) to[p->shared[i].column] += (R)(p->shared[i].scale * for_angles[i]);
}

int NAME(backward)(call_t *c) {
  const plan_t *p = c->plan;
  layout_t at;
  NAME(lay)(p, c->batch, &at);
  int64_t blocks = (c->batch + W - 1) / W, state = (int64_t)p->planes * p->dim;
  int64_t n_parts = NAME(parts_size)(p);
  int64_t n_sums = 5 * p->n_runs + p->n_shared + (int64_t)p->n_grads * p->dim;
  int64_t n_columns = p->n_inputs + (NAME(spread)(p) ? p->n_weights : 0);
  int64_t vectors = 2 * n_parts + p->dim + 4 * state + p->n_rows + n_sums + 2 * n_columns;
  V *work = NAME(room)(LEVEL_BYTES * vectors + (sizeof(void *) + sizeof(int)) * (p->n_parts + 1));
  double *numbers = malloc(sizeof(double) * (4 * p->n_runs + p->n_shared + 2 * p->dim + 1));
  NAME(reader_t) reader;
  int bad = NAME(open_windows)(c, &reader) || !work || !numbers;
  const int matrices = c->mode == WINDOWS && c->for_matrices;
  V *for_tables = matrices ? NAME(room)(LEVEL_BYTES * reader.numbers) : NULL;
  if (matrices && !for_tables) bad = 1;
  if (bad) goto done;
  if (for_tables) memset(for_tables, 0, LEVEL_BYTES * reader.numbers);
  const int further = c->mode != WINDOWS || c->for_inputs || c->for_weights;
  char *saved = c->saved;
  NAME(block_t) b = {c, p, (run_value_t *)(saved + at.runs), (wave_t *)(saved + at.waves), (double *)(saved + at.factors),
                     (const R *)(saved + at.tables), 0, 0, NULL, work, work + n_parts, {0}, {0}, NULL, NULL};
  V *u = work + n_parts + p->dim, *both = u + n_parts, *lam = both + 2 * state, *levels = lam + state, *for_rows = levels + state;
  V *sum = for_rows + p->n_rows;
  NAME(sums_t) sums = {sum, sum + 3 * p->n_runs, sum + 5 * p->n_runs, sum + 5 * p->n_runs + p->n_shared, NAME(all)(0)};
  b.columns[1] = sum + n_sums;
  b.gradients[1] = b.columns[1] + n_columns;
  b.columns[2] = NAME(spread)(p) ? b.columns[1] + p->n_inputs : NULL;
  b.gradients[2] = NAME(spread)(p) ? b.gradients[1] + p->n_inputs : NULL;
  b.part = (const V **)(b.gradients[1] + n_columns);
  b.sizes = (int *)(b.part + p->n_parts + 1);
  memset(sum, 0, LEVEL_BYTES * n_sums);
  if (c->for_weights && !p->weights_by_row) memset(c->for_weights, 0, sizeof(R) * p->n_weights);
  const int registers = NAME(registers)(p);
  for (int64_t k = 0; k < blocks; k++) {
    b.first = k * W;
    b.rows = (int)(c->batch - b.first < W ? c->batch - b.first : W);
    b.angles = (V *)(saved + at.rows) + 2 * p->n_rows * k;
    memset(for_rows, 0, LEVEL_BYTES * p->n_rows);
    const V *psi = (V *)(saved + at.psi) + state * k;
    if (c->mode == WINDOWS) { /* Im <lambda|psi> is zero */
      NAME(unread_windows)(&b, &reader, psi, (V *)(saved + at.total) + reader.kept * k, further ? lam : NULL, for_tables);
      if (!further) continue;
      for (int i = 0; i < p->dim; i++)
        for (int q = 0; q < p->planes; q++) {
          both[2 * i * p->planes + q] = psi[i * p->planes + q];
          both[(2 * i + 1) * p->planes + q] = lam[i * p->planes + q];
        }
    } else sums.phase += NAME(unread)(&b, psi, both);
    NAME(unevolve)(&b, both, for_rows, &sums, NAME(last)(p, c->mode));
    if (registers) NAME(load_block)(&b);
    memset(b.gradients[1], 0, LEVEL_BYTES * (k == 0 || p->weights_by_row ? n_columns : p->n_inputs));
    NAME(fill_parts)(&b, NULL);
    NAME(unstart)(&b, both, lam, levels, u, for_rows, &sums);
    for (int i = 0; i < p->n_rows; i++) NAME(scatter)(&b, &p->rows[i], for_rows[i]);
    if (c->for_inputs) NAME(store_columns)((R *)c->for_inputs + b.first * p->n_inputs, b.gradients[1], p->n_inputs, b.rows);
    if (c->for_weights && p->weights_by_row)
      NAME(store_columns)((R *)c->for_weights + b.first * p->n_weights, b.gradients[2], p->n_weights, b.rows);
  }
  if (c->for_weights && !p->weights_by_row && b.gradients[2] && blocks)
    for (int i = 0; i < p->n_weights; i++) ((R *)c->for_weights)[i] += (R)NAME(sum)(b.gradients[2][i]);
  if (c->for_weights && !p->weights_by_row) NAME(pull_shared)(c, &b, &sums, numbers);
  if (for_tables) NAME(pull_matrices)(c, &reader, for_tables);
done:
  NAME(close_windows)(&reader);
  free(work); free(numbers); free(for_tables);
  return bad ? -1 : 0;
}
