/* W rows side by side in one vector; R, NAME, LEVEL_BYTES come from the file that includes this. */
#undef W
#undef V
#undef VI
#undef RI
#undef LOW
#undef HIGH
#define W ((int)(LEVEL_BYTES / sizeof(R)))
#define V NAME(vector)
#define VI NAME(mask)
typedef R V __attribute__((vector_size(LEVEL_BYTES)));
#ifdef SINGLE
typedef int32_t NAME(integer);
#else
typedef int64_t NAME(integer);
#endif
#define RI NAME(integer)
typedef RI VI __attribute__((vector_size(LEVEL_BYTES)));
#define UNROLL_ALL _Pragma("GCC unroll 16")
#ifndef ALWAYS
#define ALWAYS static inline __attribute__((always_inline))
#endif

ALWAYS V NAME(all)(R x) { return x - (V){0}; }
ALWAYS double NAME(sum)(V x) {
  double s = 0;
  for (int i = 0; i < W; i++) s += x[i];
  return s;
}
ALWAYS int NAME(any)(VI where) {
  int64_t x[LEVEL_BYTES / 8], out = 0;
  memcpy(x, &where, sizeof x);
  for (int i = 0; i < LEVEL_BYTES / 8; i++) out |= x[i];
  return out != 0;
}
ALWAYS V NAME(pick)(VI where, V a, V b) { return (V)(((VI)a & where) | ((VI)b & ~where)); }

/* Returns which lanes were too large (or NaN) to be right. cos and sin after Cody and Waite with the polynomials of Cephes (float) and fdlibm (double); correct to about
   rounding up to LIMIT, beyond it libm. */
ALWAYS VI NAME(cossin)(V x, V *c, V *s) {
#ifdef SINGLE
  const R limit = 8192, magic = 12582912.f;
  const R part[3] = {1.5703125f, 4.837512969970703125e-4f, 7.54978995489188216e-8f};
#else
  const R limit = 500000, magic = 6755399441055744.0;
  const R part[3] = {1.57079632673412561417e+00, 6.07710050630396597660e-11, 2.02226624879595063154e-21};
#endif
  V shifted = x * (R)0.63661977236758134308 + magic;
  VI quarter = (VI)shifted;
  V k = shifted - magic;
  V r = ((x - k * part[0]) - k * part[1]) - k * part[2], z = r * r;
#ifdef SINGLE
  V sine = r + r * z * (((-1.9515295891e-4f * z) + 8.3321608736e-3f) * z - 1.6666654611e-1f);
  V cosine = 1 - 0.5f * z + z * z * ((2.443315711809948e-5f * z - 1.388731625493765e-3f) * z + 4.166664568298827e-2f);
#else
  V sine = r + r * z * (-1.66666666666666324348e-01 + z * (8.33333333332248946124e-03 + z * (-1.98412698298579493134e-04 +
           z * (2.75573137070700676789e-06 + z * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10)))));
  V cosine = 1 - (0.5 * z - z * z * (4.16666666666666019037e-02 + z * (-1.38888888888741095749e-03 + z * (2.48015872894767294178e-05 +
             z * (-2.75573143513906633035e-07 + z * (2.08757232129817482790e-09 + z * -1.13596475577881948265e-11))))));
#endif
  VI odd = -(quarter & 1);
  VI sign_s = (quarter & 2) << (8 * sizeof(R) - 2), sign_c = ((quarter + 1) & 2) << (8 * sizeof(R) - 2);
  *s = (V)((VI)NAME(pick)(odd, cosine, sine) ^ sign_s);
  *c = (V)((VI)NAME(pick)(odd, sine, cosine) ^ sign_c);
  return ~((x <= limit) & (x >= -limit));
}
/* In place: x[2 i] holds an angle and becomes its cos, x[2 i + 1] its sin. Large angles go through libm. */
static void NAME(waves)(V *x, int n) {
  for (int i = 0; i < n; i++) {
    V angle = x[2 * i], c, s;
    VI bad = NAME(cossin)(angle, &c, &s);
    if (NAME(any)(bad)) {
      for (int k = 0; k < W; k++) { /* other rows keep their bits */
        if (!bad[k]) continue;
#ifdef SINGLE
        c[k] = cosf(angle[k]); s[k] = sinf(angle[k]);
#else
        c[k] = cos(angle[k]); s[k] = sin(angle[k]);
#endif
      }
    }
    x[2 * i] = c; x[2 * i + 1] = s;
  }
}

/* Alternating lanes of the first and of the second half of two vectors. */
#define LOW2 0, 2
#define HIGH2 1, 3
#define LOW4 0, 4, 1, 5
#define HIGH4 2, 6, 3, 7
#define LOW8 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH8 4, 12, 5, 13, 6, 14, 7, 15
#define LOW16 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH16 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#define ZIP(a, b, order) __builtin_shufflevector(a, b, order)
#if defined(SINGLE) && LEVEL_BYTES == 16 || !defined(SINGLE) && LEVEL_BYTES == 32
#define LOW LOW4
#define HIGH HIGH4
#elif !defined(SINGLE) && LEVEL_BYTES == 16
#define LOW LOW2
#define HIGH HIGH2
#elif defined(SINGLE) && LEVEL_BYTES == 32 || !defined(SINGLE) && LEVEL_BYTES == 64
#define LOW LOW8
#define HIGH HIGH8
#else
#define LOW LOW16
#define HIGH HIGH16
#endif

/* A square of numbers, W by W, transposed. */
ALWAYS void NAME(transpose)(V *x) {
  V y[W];
  UNROLL_ALL for (int step = 1; step < W; step *= 2) {
    UNROLL_ALL for (int i = 0; i < W / 2; i++) { y[2 * i] = ZIP(x[i], x[i + W / 2], LOW); y[2 * i + 1] = ZIP(x[i], x[i + W / 2], HIGH); }
    UNROLL_ALL for (int i = 0; i < W; i++) x[i] = y[i];
  }
}
ALWAYS V NAME(load)(const R *from) { V x; memcpy(&x, from, sizeof x); return x; }
ALWAYS void NAME(store)(R *to, V x) { memcpy(to, &x, sizeof x); }

/* Columns of up to W rows, one vector each; missing rows repeat the last. */
static void NAME(load_columns)(V *to, const R *from, int64_t n, int64_t row, int64_t column, int rows) {
  int64_t c = 0;
  if (column == 1 && rows == W)
    for (; c + W <= n; c += W) {
      V x[W];
      for (int k = 0; k < W; k++) x[k] = NAME(load)(from + k * row + c);
      NAME(transpose)(x);
      for (int k = 0; k < W; k++) to[c + k] = x[k];
    }
  for (; c < n; c++) {
    R x[W];
    for (int k = 0; k < W; k++) x[k] = from[(k < rows ? k : rows - 1) * row + c * column];
    to[c] = NAME(load)(x);
  }
}
/* The way back, to rows of n contiguous numbers. */
static void NAME(store_columns)(R *to, const V *from, int64_t n, int rows) {
  int64_t c = 0;
  for (; c + W <= n; c += W) {
    V x[W];
    for (int k = 0; k < W; k++) x[k] = from[c + k];
    NAME(transpose)(x);
    for (int k = 0; k < rows; k++) NAME(store)(to + k * n + c, x[k]);
  }
  for (; c < n; c++) for (int k = 0; k < rows; k++) to[k * n + c] = from[c][k];
}
