/* Any processor: vectors of 16 bytes. */
#define LEVEL base
#define LEVEL_BYTES 16
#include "level.h"
