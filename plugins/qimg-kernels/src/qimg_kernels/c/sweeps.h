/* Rotations of one to three wires in one sweep over a block's amplitudes, forwards and backwards.
   A state is dim amplitudes of PLANES vectors (real parts, imaginary parts). */

/* Where a wire's bit is 0 and 1: i, j. A rotation by a shared angle leaves its scale out. */
#define PAIRS(K, w, ...)                                               \
  for (int m_ = 0; m_ < (1 << (K)); m_++)                              \
    if (!(m_ & (1 << ((K) - 1 - (w))))) {                              \
      const int i = m_, j = m_ | (1 << ((K) - 1 - (w)));               \
      __VA_ARGS__                                                      \
    }
#define UNROLL _Pragma("GCC unroll 8")

/* t and other are the same numbers: were they one array, the compiler would multiply once before the branch, and
   an addition would no longer fuse with its product. */
ALWAYS void NAME(turn)(V *x, int K, const V *t, const V *other, const int *swapped) {
  UNROLL for (int w = 0; w < K; w++) {
    if (!swapped[w]) { UNROLL PAIRS(K, w, { V a = x[i], b = x[j]; x[i] = a - t[w] * b; x[j] = b + t[w] * a; }) }
    else { UNROLL PAIRS(K, w, { V a = x[i], b = x[j]; x[i] = other[w] * a - b; x[j] = other[w] * b + a; }) }
  }
}
ALWAYS void NAME(back)(V *x, int K, const V *t, const V *other, const int *swapped) {
  UNROLL for (int w = 0; w < K; w++) {
    if (!swapped[w]) { UNROLL PAIRS(K, w, { V a = x[i], b = x[j]; x[i] = a + t[w] * b; x[j] = b - t[w] * a; }) }
    else { UNROLL PAIRS(K, w, { V a = x[i], b = x[j]; x[i] = other[w] * a + b; x[j] = other[w] * b - a; }) }
  }
}
/* The same with an angle of its own in every row: waves are cos, sin for each wire. */
ALWAYS void NAME(turn_rows)(V *x, int K, const V *const *wave, int undo) {
  UNROLL for (int w = 0; w < K; w++) {
    const V c = wave[w][0], s = undo ? -wave[w][1] : wave[w][1];
    UNROLL PAIRS(K, w, { V a = x[i], b = x[j]; x[i] = c * a - s * b; x[j] = c * b + s * a; })
  }
}
/* Im <lambda|Y|psi>, one plane's share; l[m * STEP] is lambda's number m. Two short chains rather than a long one. */
ALWAYS void NAME(measure_y)(const V *x, V *const *at, int q, int K, V *y) {
  UNROLL for (int w = 0; w < K; w++) {
    V up = {0}, down = {0};
    UNROLL PAIRS(K, w, { up += at[j][q] * x[i]; down += at[i][q] * x[j]; })
    y[w] += up - down;
  }
}
/* Im <lambda|X|psi>: the other plane of lambda. */
ALWAYS void NAME(measure_x)(const V *x, V *const *at, int q, int K, V *g) {
  UNROLL for (int w = 0; w < K; w++) {
    V up = {0}, down = {0};
    UNROLL PAIRS(K, w, { up += at[i][q] * x[j]; down += at[j][q] * x[i]; })
    g[w] += up + down;
  }
}

typedef struct { V t[3], other[3]; int swapped[3]; const V *wave[3]; } NAME(turns_t);

ALWAYS void NAME(sweep)(V *psi, const op_t *op, const NAME(turns_t) *by, int rows, int K, int PLANES) {
  int swapped[3];
  for (int w = 0; w < K; w++) swapped[w] = by->swapped[w];
  const int32_t *index = op->index;
  for (int g = 0; g < op->groups; g++, index += 1 << K) {
    V *at[1 << K], x[1 << K];
    UNROLL for (int m = 0; m < (1 << K); m++) at[m] = psi + (int64_t)index[m] * PLANES;
    UNROLL for (int q = 0; q < PLANES; q++) {
      UNROLL for (int m = 0; m < (1 << K); m++) x[m] = at[m][q];
      if (rows) NAME(turn_rows)(x, K, by->wave, 0);
      else NAME(turn)(x, K, by->t, by->other, swapped);
      UNROLL for (int m = 0; m < (1 << K); m++) at[m][q] = x[m];
    }
  }
}

/* On the way back an amplitude is PLANES vectors of psi, then PLANES of lambda. Undoes the rotations on both;
   for_y and for_x get the generators, measured before. */
ALWAYS void NAME(sweep_back)(V *both, const op_t *op, const NAME(turns_t) *by, V *for_y, V *for_x, int rows,
                             int wanted, int K, int PLANES) {
  V y[3] = {{0}}, gx[3] = {{0}};
  int swapped[3];
  for (int w = 0; w < K; w++) swapped[w] = by->swapped[w];
  const int32_t *index = op->index;
  for (int g = 0; g < op->groups; g++, index += 1 << K) {
    V *at[1 << K], x[1 << K];
    UNROLL for (int m = 0; m < (1 << K); m++) at[m] = both + (int64_t)index[m] * (2 * PLANES);
    UNROLL for (int q = 0; q < 2 * PLANES; q++) {
      UNROLL for (int m = 0; m < (1 << K); m++) x[m] = at[m][q];
      if (q < PLANES) {
        if (wanted >= 1) NAME(measure_y)(x, at, PLANES + q, K, y);
        if (wanted >= 2 && q == 0) {
          V minus[3] = {{0}};
          NAME(measure_x)(x, at, 3, K, minus);
          UNROLL for (int w = 0; w < K; w++) gx[w] -= minus[w];
        }
        if (wanted >= 2 && q == 1) NAME(measure_x)(x, at, 2, K, gx);
      }
      if (rows) NAME(turn_rows)(x, K, by->wave, 1);
      else NAME(back)(x, K, by->t, by->other, swapped);
      UNROLL for (int m = 0; m < (1 << K); m++) at[m][q] = x[m];
    }
  }
  for (int w = 0; w < K; w++) { for_y[w] = y[w]; for_x[w] = gx[w]; }
}

#define BY_SHAPE(f, ...)                                                                        \
  switch (op->k * 2 + p->planes) {                                                              \
    case 3: f(__VA_ARGS__, 1, 1); break; case 4: f(__VA_ARGS__, 1, 2); break;                   \
    case 5: f(__VA_ARGS__, 2, 1); break; case 6: f(__VA_ARGS__, 2, 2); break;                   \
    case 7: f(__VA_ARGS__, 3, 1); break; case 8: f(__VA_ARGS__, 3, 2); break;                   \
  }

static void NAME(run_sweep)(const plan_t *p, const op_t *op, V *psi, const NAME(turns_t) *by) {
  if (op->kind == SHARED) { BY_SHAPE(NAME(sweep), psi, op, by, 0) }
  else { BY_SHAPE(NAME(sweep), psi, op, by, 1) }
}
static void NAME(run_back)(const plan_t *p, const op_t *op, V *both, const NAME(turns_t) *by, V *y, V *x) {
  if (op->kind != SHARED) { BY_SHAPE(NAME(sweep_back), both, op, by, y, x, 1, 1) }
  else if (op->wanted == 0) { BY_SHAPE(NAME(sweep_back), both, op, by, y, x, 0, 0) }
  else if (op->wanted == 1) { BY_SHAPE(NAME(sweep_back), both, op, by, y, x, 0, 1) }
  else { BY_SHAPE(NAME(sweep_back), both, op, by, y, x, 0, 2) }
}

/* Diagonals, on `count` vectors (planes, or psi and lambda) of each amplitude. A table has dim numbers, real or
   complex; phases by row are cos, sin and an integer by position. */
ALWAYS void NAME(diagonal)(V *x, int dim, int count, int complex_, const R *d, R sign) {
  for (int i = 0; i < dim; i++, x += count) {
    if (!complex_) { UNROLL for (int q = 0; q < count; q++) x[q] *= d[i]; continue; }
    const R c = d[2 * i], s = d[2 * i + 1] * sign;
    UNROLL for (int q = 0; q < count; q += 2) {
      V re = x[q], im = x[q + 1];
      x[q] = re * c - im * s;
      x[q + 1] = re * s + im * c;
    }
  }
}
/* On the way back, with the sum over rows of Im conj(lambda) psi. */
ALWAYS void NAME(diagonal_grad)(V *x, int dim, const R *d, V *sum) {
  for (int i = 0; i < dim; i++, x += 4) {
    const R c = d[2 * i], s = d[2 * i + 1];
    V a = x[0] * c + x[1] * s, b = x[1] * c - x[0] * s, e = x[2] * c + x[3] * s, f = x[3] * c - x[2] * s;
    x[0] = a; x[1] = b; x[2] = e; x[3] = f;
    sum[i] += e * b - f * a;
  }
}
ALWAYS void NAME(phase_rows)(V *x, int dim, int count, const int32_t *f, V c, V s) {
  for (int i = 0; i < dim; i++, x += count) {
    if (!f[i]) continue;
    const V t = f[i] > 0 ? s : -s;
    UNROLL for (int q = 0; q < count; q += 2) {
      V re = x[q], im = x[q + 1];
      x[q] = re * c - im * t;
      x[q + 1] = re * t + im * c;
    }
  }
}
