/* What Python calls: the level of instructions is chosen by number, 0 (any processor), 3 (AVX2), 4 (AVX-512). */
#include "plan.h"

#define API __attribute__((visibility("default")))

#define DECLARE(level, type)                                       \
  int64_t saved_##level##_##type(const plan_t *, int64_t);         \
  int64_t reduced_##level##_##type(const call_t *);                \
  int forward_##level##_##type(call_t *);                          \
  int backward_##level##_##type(call_t *);
DECLARE(base, single) DECLARE(base, double)
#if defined(__x86_64__)
DECLARE(v3, single) DECLARE(v3, double) DECLARE(v4, single) DECLARE(v4, double)
#endif

/* The highest level of this processor. */
API int qimg_level(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("x86-64-v4")) return 4;
  if (__builtin_cpu_supports("x86-64-v3")) return 3;
#endif
  return 0;
}

#if defined(__x86_64__)
#define CHOOSE(name, ...)                                                                       \
  if (level == 4) return twice ? name##_v4_double(__VA_ARGS__) : name##_v4_single(__VA_ARGS__); \
  if (level == 3) return twice ? name##_v3_double(__VA_ARGS__) : name##_v3_single(__VA_ARGS__); \
  return twice ? name##_base_double(__VA_ARGS__) : name##_base_single(__VA_ARGS__);
#else
#define CHOOSE(name, ...) return twice ? name##_base_double(__VA_ARGS__) : name##_base_single(__VA_ARGS__);
#endif

API int64_t qimg_saved(const plan_t *plan, int level, int twice, int64_t batch) { CHOOSE(saved, plan, batch) }
API int64_t qimg_reduced(const call_t *call, int level, int twice) { CHOOSE(reduced, call) }
API int qimg_forward(call_t *call, int level, int twice) { CHOOSE(forward, call) }
API int qimg_backward(call_t *call, int level, int twice) { CHOOSE(backward, call) }
