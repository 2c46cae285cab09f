/* x86-64-v3: AVX2 and FMA, vectors of 32 bytes. */
#if defined(__x86_64__)
#pragma GCC target("arch=x86-64-v3")
#define LEVEL v3
#define LEVEL_BYTES 32
#include "level.h"
#endif
