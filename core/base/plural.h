/* plural.h - the ending of a counted noun: "1 core", "2 cores". */
#ifndef TFR_BASE_PLURAL_H
#define TFR_BASE_PLURAL_H

#include <stdint.h>

static inline const char *tfr_plural(int64_t n) {
    return n == 1 ? "" : "s";
}

#endif
