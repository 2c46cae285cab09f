/* Both precisions at one level; LEVEL (a word) and LEVEL_BYTES (of a vector) come from the including file. */
#include "plan.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#define JOIN3(a, b, c) a##_##b##_##c
#define JOIN(a, b, c) JOIN3(a, b, c)
#define R float
#define SINGLE
#define NAME(x) JOIN(x, LEVEL, single)
#include "block.h"
#undef R
#undef SINGLE
#undef NAME
#define R double
#define NAME(x) JOIN(x, LEVEL, double)
#include "block.h"
