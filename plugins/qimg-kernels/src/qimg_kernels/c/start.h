/* The state before the first operation: a product of single wires and registers, and the way back. */

ALWAYS void NAME(mul)(V ar, V ai, V br, V bi, V *r, V *i) { *r = ar * br - ai * bi; *i = ar * bi + ai * br; }

/* v = M v, v = (re0, im0, re1, im1) */
ALWAYS void NAME(matrix)(const cx *m, V *v) {
  R a = m[0].re, b = m[0].im, c = m[1].re, d = m[1].im, e = m[2].re, f = m[2].im, g = m[3].re, h = m[3].im;
  V xr = v[0], xi = v[1], yr = v[2], yi = v[3];
  v[0] = a * xr - b * xi + c * yr - d * yi;
  v[1] = a * xi + b * xr + c * yi + d * yr;
  v[2] = e * xr - f * xi + g * yr - h * yi;
  v[3] = e * xi + f * xr + g * yi + h * yr;
}
ALWAYS void NAME(matrix_back)(const cx *m, V *v) {
  cx h[4] = {{m[0].re, -m[0].im}, {m[2].re, -m[2].im}, {m[1].re, -m[1].im}, {m[3].re, -m[3].im}};
  NAME(matrix)(h, v);
}
/* A gate by row: exp(-i phi P), or diag(1, exp(i phi)). */
ALWAYS void NAME(gate)(int kind, V c, V s, V *v) {
  V xr = v[0], xi = v[1], yr = v[2], yi = v[3];
  if (kind == RX) {
    v[0] = c * xr + s * yi; v[1] = c * xi - s * yr;
    v[2] = c * yr + s * xi; v[3] = c * yi - s * xr;
  } else if (kind == RY) {
    v[0] = c * xr - s * yr; v[1] = c * xi - s * yi;
    v[2] = c * yr + s * xr; v[3] = c * yi + s * xi;
  } else {
    if (kind == RZ) { v[0] = c * xr + s * xi; v[1] = c * xi - s * xr; }
    v[2] = c * yr - s * yi; v[3] = c * yi + s * yr;
  }
}
/* X, Y, Z: Im <u|P|v>. */
ALWAYS void NAME(generators)(const V *u, const V *v, V *x, V *y, V *z) {
  *x = u[0] * v[3] - u[1] * v[2] + u[2] * v[1] - u[3] * v[0];
  *y = u[2] * v[0] + u[3] * v[1] - u[0] * v[2] - u[1] * v[3];
  *z = u[0] * v[1] - u[1] * v[0] - u[2] * v[3] + u[3] * v[2];
}

/* v of a wire after its own gates. */
static void NAME(wire)(const part_t *part, const run_value_t *runs, const V *waves, V *v) {
  v[0] = NAME(all)(1); v[1] = v[2] = v[3] = NAME(all)(0);
  for (int j = 0; j < part->n; j++) {
    const step_t *s = &part->steps[j];
    if (s->kind == FIXED) NAME(matrix)(runs[s->id].u, v);
    else NAME(gate)(s->kind, waves[2 * s->id], waves[2 * s->id + 1], v);
  }
}
/* u is the cotangent of v; adds to generators of runs (3 each) and to angles by row. */
static void NAME(wire_back)(const part_t *part, const run_value_t *runs, const V *waves, V *v, V *u, V *for_runs, V *for_rows) {
  for (int j = part->n - 1; j >= 0; j--) {
    const step_t *s = &part->steps[j];
    V g[3];
    NAME(generators)(u, v, &g[0], &g[1], &g[2]);
    if (s->kind == FIXED) {
      for (int k = 0; k < 3; k++) for_runs[3 * s->id + k] += g[k];
      NAME(matrix_back)(runs[s->id].u, v);
      NAME(matrix_back)(runs[s->id].u, u);
      continue;
    }
    if (s->kind == PHASE) for_rows[s->id] -= u[2] * v[3] - u[3] * v[2];
    else for_rows[s->id] += g[s->kind - RX];
    NAME(gate)(s->kind, waves[2 * s->id], -waves[2 * s->id + 1], v);
    NAME(gate)(s->kind, waves[2 * s->id], -waves[2 * s->id + 1], u);
  }
}

/* Product of the first parts; parts hold (re, im) for each entry, planes as the state's. Returns the size. */
ALWAYS int NAME(product)(int upto, const V *const *parts, const int *sizes, R root, V *out, const int PLANES) {
  int m = 1;
  out[0] = NAME(all)(root);
  if (PLANES == 2) out[1] = NAME(all)(0);
  for (int f = 0; f < upto; f++) {
    const V *a = parts[f];
    const int d = sizes[f];
    for (int j = m - 1; j >= 0; j--) {
      if (PLANES == 1) {
        V x = out[j];
        for (int k = d - 1; k >= 0; k--) out[j * d + k] = x * a[2 * k];
      } else {
        V r = out[2 * j], i = out[2 * j + 1];
        for (int k = d - 1; k >= 0; k--)
          NAME(mul)(r, i, a[2 * k], a[2 * k + 1], &out[2 * (j * d + k)], &out[2 * (j * d + k) + 1]);
      }
    }
    m *= d;
  }
  return m;
}

/* One level of the way back: before (m), lambda (m d) -> lambda (m), u (d). */
ALWAYS void NAME(unproduct)(const V *before, const V *a, V *lam, V *u, int m, int d, const int PLANES) {
  for (int k = 0; k < 2 * d; k++) u[k] = NAME(all)(0);
  for (int j = 0; j < m; j++) {
    if (PLANES == 1) {
      V sum = NAME(all)(0), x = before[j];
      for (int k = 0; k < d; k++) { V l = lam[j * d + k]; u[2 * k] += x * l; sum += a[2 * k] * l; }
      lam[j] = sum;
      continue;
    }
    V sr = NAME(all)(0), si = sr, xr = before[2 * j], xi = before[2 * j + 1];
    for (int k = 0; k < d; k++) {
      V lr = lam[2 * (j * d + k)], li = lam[2 * (j * d + k) + 1], ar = a[2 * k], ai = a[2 * k + 1];
      u[2 * k] += xr * lr + xi * li; u[2 * k + 1] += xr * li - xi * lr;
      sr += ar * lr + ai * li; si += ar * li - ai * lr;
    }
    lam[2 * j] = sr; lam[2 * j + 1] = si;
  }
}
