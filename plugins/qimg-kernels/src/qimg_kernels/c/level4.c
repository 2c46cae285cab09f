/* x86-64-v4: AVX-512, vectors of 64 bytes. */
#if defined(__x86_64__)
#pragma GCC target("arch=x86-64-v4,prefer-vector-width=512")
#define LEVEL v4
#define LEVEL_BYTES 64
#include "level.h"
#endif
